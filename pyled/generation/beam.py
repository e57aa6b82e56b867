"""Beam search (transformers 5.23.0, generation/utils.py, `_beam_search` and the functions above it).

Per document there are n = num_beams running hypotheses and n slots for finished ones. All scores are float32 and
negative; -1e9 marks what is not there: the beams that do not exist yet, empty slots, candidates that may not go on.
Of equal scores the one with the lowest index (beam * V + token) comes first; upstream leaves that to torch.topk.

Letters beyond the contract's: n beams, K candidates, W = max_length, N = max_length - P.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .contract import GenerateBeamEncoderDecoderOutput, Ids, Progress, Scores, Step
from .processors import log_softmax
from .settings import Settings
from .stopping import Stops, refuse_dead_ends, refuse_nan

ABSENT = np.float32(-1e9)
_GROUPS = 256

Flags = NDArray[np.bool_]


def best(scores: Scores, count: int) -> Ids:
    """The indices of the `count` largest of each row, largest first, of equal ones the lowest; scores: (B, any)."""
    return np.stack([_best_of(row, count) for row in scores])


def _best_of(values: Scores, count: int) -> Ids:
    """As `best`, of one row: only those that reach the count-th largest value are sorted.

    A bound is found first, faster than by partitioning 200,000 scores: cut into _GROUPS groups, `count` of them have a
    member that is no less than the count-th largest of their maxima.
    """
    if count <= _GROUPS and len(values) >= 4 * _GROUPS:
        whole = len(values) // _GROUPS * _GROUPS
        maxima = values[:whole].reshape(-1, _GROUPS).max(axis=0)
        reaching = np.flatnonzero(values >= np.partition(maxima, -count)[-count])
    else:
        reaching = np.arange(len(values))
    few = values[reaching]
    last = np.partition(few, -count)[-count]
    above = np.flatnonzero(few > last)  # fewer than count
    equal = np.flatnonzero(few == last)[: count - len(above)]
    order = np.concatenate([above[np.argsort(-few[above], kind="stable")], equal])
    return reaching[order]


@dataclass(frozen=True)
class Hypotheses:
    """m hypotheses per document, best first.

    ids: (B, m, W) int64; scores: (B, m) float32; rows: (B, m, N) int64, the row each generated token was chosen from,
    -1 where there is none; ended: (B, m) bool, whether the hypothesis is a finished one.
    """

    ids: Ids
    scores: Scores
    rows: Ids
    ended: Flags

    def take(self, order: Ids) -> "Hypotheses":
        """The hypotheses at order: (B, any) of each document."""
        wide = order[:, :, None]
        return Hypotheses(
            np.take_along_axis(self.ids, wide, axis=1),
            np.take_along_axis(self.scores, order, axis=1),
            np.take_along_axis(self.rows, wide, axis=1),
            np.take_along_axis(self.ended, order, axis=1),
        )

    def beside(self, other: Self) -> "Hypotheses":
        """These and then the other's, of each document."""
        return Hypotheses(
            np.concatenate([self.ids, other.ids], axis=1),
            np.concatenate([self.scores, other.scores], axis=1),
            np.concatenate([self.rows, other.rows], axis=1),
            np.concatenate([self.ended, other.ended], axis=1),
        )


def beam_search(
    step: Step,
    state: Any,
    prompt: Ids,
    settings: Settings,
    process: Callable[[Ids, Scores], Scores],
    ended: Stops,
    progress: Progress,
) -> GenerateBeamEncoderDecoderOutput:
    """The best `num_return_sequences` continuations of each row of prompt: (B, P).

    The documents advance in lock step. One that is done keeps its finished hypotheses; its rows are computed on, as
    upstream, and touch nothing. Raises GenerationError when the scores of a document are NaN or leave no token.
    """
    B, P = prompt.shape
    n, limit = settings.num_beams, settings.max_length
    K = max(2, 1 + len(settings.eos_token_id)) * n
    running, finished = _start(prompt, settings)
    done = np.zeros(B, bool)  # (B,)
    all_scores: tuple[Scores, ...] | None = () if settings.output_scores else None
    all_logits: tuple[Scores, ...] | None = () if settings.output_logits else None
    length = P
    while True:
        ids = running.ids[:, :, :length].reshape(B * n, length)
        raw, state = step(ids, state)
        logits = np.asarray(raw, np.float32)  # (R, V)
        scores = process(ids, log_softmax(logits))
        if all_scores is not None:
            all_scores += (scores,)
        if all_logits is not None:
            all_logits += (logits,)
        candidates = _continuations(running, scores, length, K, done)
        stopped = ended(candidates.ids[:, :, : length + 1].reshape(B * K, length + 1), all_scores).reshape(B, K)
        finished = _collect(finished, candidates, stopped, done, settings, length + 1 - P)
        lost = ~done & ~finished.ended.any(axis=1) & (candidates.scores[:, 0] <= ABSENT / 2)
        refuse_dead_ends(np.flatnonzero(lost), length)
        running = _go_on(candidates, stopped, n)
        length += 1
        done |= ~_may_improve(running, finished, settings, length - P) | stopped.all(axis=1)
        if settings.early_stopping is True:
            done |= finished.ended.all(axis=1)
        progress(length - P, limit - P)
        if done.all():
            break
        rows = running.rows[:, :, length - P - 1].reshape(B * n)
        if not np.array_equal(rows, np.arange(B * n)):
            state = state.select(rows)
    return _output(finished, settings, all_scores, all_logits)


def _start(prompt: Ids, settings: Settings) -> tuple[Hypotheses, Hypotheses]:
    """The prompt as the only running hypothesis of each document, and empty slots.

    What lies beyond a hypothesis shows in the output. Upstream fills with the padding id, but with the first end of
    sequence where that id is 0, and with -1 where there is no end of sequence.
    """
    B, P = prompt.shape
    n = settings.num_beams
    filler = (settings.pad_token_id or settings.eos_token_id[0]) if settings.eos_token_id else -1
    ids = np.full((B, n, settings.max_length), filler, np.int64)
    ids[:, :, :P] = prompt[:, None]
    rows = np.full((B, n, settings.max_length - P), -1, np.int64)
    scores = np.full((B, n), ABSENT, np.float32)
    none = np.zeros((B, n), bool)
    first = scores.copy()
    first[:, 0] = 0
    return Hypotheses(ids, first, rows, none), Hypotheses(ids, scores, rows, none)


def _continuations(running: Hypotheses, scores: Scores, length: int, count: int, done: Flags) -> Hypotheses:
    """The `count` best ways to extend the running hypotheses, of `length` tokens, by one; scores: (R, V)."""
    B, n = running.scores.shape
    V = scores.shape[1]
    P = running.ids.shape[2] - running.rows.shape[2]
    with np.errstate(over="ignore"):  # remove_invalid_values leaves the smallest float32, and twice that is -inf
        sums = (scores.reshape(B, n, V) + running.scores[:, :, None]).reshape(B, n * V)
    tops = sums.max(axis=1)  # (B,)
    refuse_nan(np.flatnonzero(np.isnan(tops) & ~done), length)
    sums[np.isnan(tops)] = -np.inf  # of documents that are done, then
    chosen = best(sums, count)  # (B, K)
    beams, tokens = chosen // V, chosen % V
    taken = running.take(beams)
    taken.ids[:, :, length] = tokens
    taken.rows[:, :, length - P] = beams + np.arange(B)[:, None] * n
    return Hypotheses(taken.ids, np.take_along_axis(sums, chosen, axis=1), taken.rows, taken.ended)


def _go_on(candidates: Hypotheses, stopped: Flags, n: int) -> Hypotheses:
    """The n best candidates that have not stopped (and, were there too few, stopped ones as good as absent)."""
    scores = candidates.scores + np.where(stopped, ABSENT, np.float32(0))
    return Hypotheses(candidates.ids, scores, candidates.rows, candidates.ended).take(best(scores, n))


def _collect(
    finished: Hypotheses, candidates: Hypotheses, stopped: Flags, done: Flags, settings: Settings, generated: int
) -> Hypotheses:
    """The n best of the finished hypotheses and of the n best candidates, where these have stopped.

    The score of a candidate is its sum divided by generated ** length_penalty: the tokens generated, the end of
    sequence among them, the prompt not.
    """
    n = settings.num_beams
    ends = stopped & (np.arange(stopped.shape[1]) < n)  # (B, K)
    with np.errstate(over="ignore"):
        scores = candidates.scores / np.float32(float(generated) ** settings.length_penalty)
        scores += np.where(ends, np.float32(0), ABSENT)
    merged = finished.beside(Hypotheses(candidates.ids, scores, candidates.rows, ends))
    order = best(merged.scores, n)
    order[done] = np.arange(n)
    return merged.take(order)


def _may_improve(running: Hypotheses, finished: Hypotheses, settings: Settings, generated: int) -> Flags:
    """(B,): whether the best running hypothesis could still beat the worst finished one; it beats an empty slot.

    How long it may still grow is guessed: not at all, or, when early_stopping is "never" and length is rewarded, to
    the limit.
    """
    never = settings.early_stopping == "never" and settings.length_penalty > 0
    length = finished.rows.shape[2] if never else generated
    with np.errstate(over="ignore"):
        hoped = running.scores[:, 0] / np.float32(float(length) ** settings.length_penalty)  # (B,)
    return np.asarray(hoped > finished.scores.min(axis=1))


def _output(
    finished: Hypotheses,
    settings: Settings,
    all_scores: tuple[Scores, ...] | None,
    all_logits: tuple[Scores, ...] | None,
) -> GenerateBeamEncoderDecoderOutput:
    """The best slots of each document, cropped to the longest hypothesis among them."""
    returned = settings.num_return_sequences
    shown = finished.take(np.tile(np.arange(returned), (len(finished.scores), 1)))
    ids = shown.ids.reshape(-1, settings.max_length)
    rows = shown.rows.reshape(len(ids), -1)
    longest = int((rows >= 0).sum(axis=1).max())
    return GenerateBeamEncoderDecoderOutput(
        sequences=ids[:, : settings.prompt_length + longest],
        sequences_scores=shown.scores.reshape(-1),
        scores=all_scores,
        logits=all_logits,
        beam_indices=rows[:, :longest],
    )
