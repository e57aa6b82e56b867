"""Greedy search: the best token, again and again; or sampling: a drawn one (transformers 5.23.0, `_sample`).

Letters: B documents, R rows (one per document, but `num_return_sequences` where tokens are drawn), T target tokens so
far, V vocabulary.
"""

import numpy as np

from ..arrays import Ids
from .contract import GenerateEncoderDecoderOutput
from .decoding import DEAD_END, NAN, Decoding, refuse
from .settings import Settings


def greedy_search(decoding: Decoding, prompt: Ids, settings: Settings) -> GenerateEncoderDecoderOutput:
    """Extend each row of prompt: (B, any) by one token after another until it stops.

    The token is the best one, of equal scores the one with the lowest id. Where tokens are sampled, it is drawn by the
    softmax of the scores, for `num_return_sequences` rows of each document. Rows that have stopped are computed on and
    filled with padding, until the last one stops.

    Raises GenerationError where a row's scores are NaN or forbid every token.
    """
    per_document, max_length = settings.rows_per_document, settings.max_length
    prompt_length, R = prompt.shape[1], len(prompt) * per_document
    ids = np.zeros((R, max_length), np.int64)
    ids[:, :prompt_length] = np.repeat(prompt, per_document, axis=0)
    is_running = np.ones(R, bool)  # (R,)
    for length in range(prompt_length, max_length):
        target = ids[:, :length]  # (R, T)
        scores = decoding.apply_rules(target, decoding.next_logits(target))  # (R, V)
        top = scores.max(axis=1)  # (R,)
        refuse(np.isnan(top) & is_running, NAN, length, per_document)
        refuse((top == -np.inf) & is_running, DEAD_END, length, per_document)
        tokens: Ids = scores.argmax(axis=1) if decoding.draws is None else decoding.draws(scores, 1)[:, 0]  # (R,)
        if settings.eos_token_id:  # as upstream: without an end of sequence there is no padding
            tokens[~is_running] = settings.pad_token_id or 0
        ids[:, length] = tokens
        if decoding.streamer is not None:
            decoding.streamer.put(tokens)
        is_running &= ~decoding.is_stopped(ids[:, : length + 1])
        decoding.progress(length + 1 - prompt_length, max_length - prompt_length)
        if not is_running.any():
            break
    return GenerateEncoderDecoderOutput(ids[:, : length + 1], decoding.scores, decoding.logits)
