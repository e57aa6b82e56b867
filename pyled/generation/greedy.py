"""Greedy search: the best token, again and again (transformers 5.23.0, generation/utils.py, `_sample`)."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .contract import GenerateEncoderDecoderOutput, Ids, Progress, Scores, Step
from .settings import Settings
from .stopping import Stops, refuse_dead_ends, refuse_nan


def greedy_search(
    step: Step,
    state: Any,
    prompt: Ids,
    settings: Settings,
    process: Callable[[Ids, Scores], Scores],
    ended: Stops,
    progress: Progress,
) -> GenerateEncoderDecoderOutput:
    """Extend each row of prompt: (B, P) by its best token until all have ended; of equal ones the lowest id.

    Raises GenerationError when a row's scores are NaN or leave no token.
    """
    B, P = prompt.shape
    limit = settings.max_length
    ids = np.zeros((B, limit), np.int64)
    ids[:, :P] = prompt
    going = np.ones(B, bool)  # (B,)
    all_scores: tuple[Scores, ...] | None = () if settings.output_scores else None
    all_logits: tuple[Scores, ...] | None = () if settings.output_logits else None
    length = P
    while going.any():
        raw, state = step(ids[:, :length], state)
        logits = np.asarray(raw, np.float32)  # (B, V)
        scores = process(ids[:, :length], logits)
        if all_scores is not None:
            all_scores += (scores,)
        if all_logits is not None:
            all_logits += (logits,)
        tokens = scores.argmax(axis=1)  # (B,)
        chosen = scores[np.arange(B), tokens]
        refuse_nan(np.flatnonzero(np.isnan(chosen) & going), length)
        refuse_dead_ends(np.flatnonzero((chosen == -np.inf) & going), length)
        if settings.eos_token_id:
            tokens = np.where(going, tokens, settings.pad_token_id)
        ids[:, length] = tokens
        length += 1
        going &= ~ended(ids[:, :length], all_scores)
        progress(length - P, limit - P)
    return GenerateEncoderDecoderOutput(ids[:, :length], all_scores, all_logits)
