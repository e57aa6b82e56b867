"""Greedy search: the best token, again and again (transformers 5.23.0, generation/utils.py, `_sample`).

Letters: B documents, which are the rows here, T target tokens so far, V vocabulary.
"""

import numpy as np

from ..arrays import Ids
from .contract import GenerateEncoderDecoderOutput
from .decoding import DEAD_END, NAN, Decoding, refuse
from .settings import Settings


def greedy_search(decoding: Decoding, prompt: Ids, settings: Settings) -> GenerateEncoderDecoderOutput:
    """Extend each row of prompt: (B, any) by its best token until it stops; of equal scores the lowest id wins.

    Rows that have stopped are computed on and filled with padding, until the last one stops. Raises GenerationError
    where a row's scores are NaN or forbid every token.
    """
    B, prompt_length = prompt.shape
    max_length = settings.max_length
    ids = np.zeros((B, max_length), np.int64)
    ids[:, :prompt_length] = prompt
    is_running = np.ones(B, bool)  # (B,)
    for length in range(prompt_length, max_length):
        target = ids[:, :length]  # (B, T)
        scores = decoding.apply_rules(target, decoding.next_logits(target))  # (B, V)
        tokens = scores.argmax(axis=1)  # (B,)
        best = scores[np.arange(B), tokens]  # (B,)
        refuse(np.isnan(best) & is_running, NAN, length)  # subtle: argmax takes NaN for the largest
        refuse((best == -np.inf) & is_running, DEAD_END, length)
        if settings.eos_token_id:  # as upstream: without an end of sequence there is no padding
            tokens = np.where(is_running, tokens, settings.pad_token_id)
        ids[:, length] = tokens
        is_running &= ~decoding.is_stopped(ids[:, : length + 1])
        decoding.progress(length + 1 - prompt_length, max_length - prompt_length)
        if not is_running.any():
            break
    return GenerateEncoderDecoderOutput(ids[:, : length + 1], decoding.scores, decoding.logits)
