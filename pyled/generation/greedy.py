"""Greedy search: the best token, again and again; or sampling: a drawn one (transformers 5.23.0, `_sample`).

Letters: B documents, R rows (one per document, but `num_return_sequences` where tokens are drawn), T target tokens so
far, V vocabulary.
"""

import numpy as np

from ..arrays import Ids
from .contract import GenerateEncoderDecoderOutput, Search
from .decoding import DEAD_END, NAN, Decoding, refuse
from .settings import Settings


def greedy_search(decoding: Decoding, prompt: Ids, settings: Settings) -> Search:
    """Extend each row of prompt: (B, any) by one token after another until it stops.

    The token is the best one, of equal scores the one with the lowest id. Where tokens are sampled, it is drawn by the
    softmax of the scores, for `num_return_sequences` rows of each document. Rows that have stopped are filled with
    padding; they are computed on until the last one stops, or all of their document where documents leave.

    Raises GenerationError where a row's scores are NaN or forbid every token.
    """
    per_document, max_length = settings.rows_per_document, settings.max_length
    prompt_length, R = prompt.shape[1], len(prompt) * per_document
    ids = np.full((R, max_length), settings.pad_token_id or 0, np.int64)
    ids[:, :prompt_length] = np.repeat(prompt, per_document, axis=0)
    rows, is_running = np.arange(R), np.ones(R, bool)  # those at work, (R,)

    def result_of(document: int, length: int) -> GenerateEncoderDecoderOutput:
        return GenerateEncoderDecoderOutput(ids[document * per_document : (document + 1) * per_document, :length])

    for length in range(prompt_length, max_length):
        target = ids[rows, :length]  # (R, T)
        scores = decoding.apply_rules(target, decoding.next_logits(target))  # (R, V)
        top = scores.max(axis=1)  # (R,)
        refuse(np.isnan(top) & is_running, NAN, length, decoding.documents)
        refuse((top == -np.inf) & is_running, DEAD_END, length, decoding.documents)
        tokens: Ids = scores.argmax(axis=1) if decoding.draws is None else decoding.draws(scores, 1)[:, 0]  # (R,)
        if settings.eos_token_id:  # as upstream: without an end of sequence there is no padding
            tokens[~is_running] = settings.pad_token_id or 0
        ids[rows, length] = tokens
        if decoding.streamer is not None:
            decoding.streamer.put(tokens)
        is_running &= ~decoding.is_stopped(ids[rows, : length + 1])
        decoding.progress(length + 1 - prompt_length, max_length - prompt_length)
        is_done = np.logical_not(is_running.reshape(-1, per_document).any(axis=1))  # (B,)
        is_left = yield from decoding.leave(is_done, length + 1, result_of)
        if is_done.all():
            break
        left = np.flatnonzero(np.repeat(is_left, per_document))
        decoding.reorder(left, len(rows))
        rows, is_running = rows[left], is_running[left]
    return GenerateEncoderDecoderOutput(ids[:, : length + 1], decoding.scores, decoding.logits)
