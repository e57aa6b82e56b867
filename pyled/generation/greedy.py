"""Greedy search: the best token, again and again (transformers 5.23.0, generation/utils.py, `_sample`)."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import GenerationError
from .contract import GenerateEncoderDecoderOutput, Ids, Progress, Scores, Step
from .settings import Settings
from .stopping import Stops


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
        refuse_dead_ends(scores[going, tokens[going]], np.flatnonzero(going), length)
        if settings.eos_token_id:
            tokens = np.where(going, tokens, settings.pad_token_id)
        ids[:, length] = tokens
        length += 1
        going &= ~ended(ids[:, :length], all_scores)
        progress(length - P, limit - P)
    return GenerateEncoderDecoderOutput(ids[:, :length], all_scores, all_logits)


def refuse_dead_ends(best: Scores, documents: Ids, length: int) -> None:
    """Raise GenerationError where the best score of a document is no score. best, documents: (any,).

    Upstream goes on: greedily with token 0, in beam search with what is left of the prompt.
    """
    for score, document in zip(best, documents, strict=True):
        if np.isnan(score):
            raise GenerationError(
                f"document {document}: the scores of token {length} are not numbers; check the weights, or pass "
                "remove_invalid_values=True"
            )
        if score == -np.inf:
            raise GenerationError(
                f"document {document}: every token is forbidden at position {length}; loosen bad_words_ids, "
                "suppress_tokens, no_repeat_ngram_size or whatever else forbids tokens"
            )
