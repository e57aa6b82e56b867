"""Beam search: the few best beginnings side by side (transformers 5.23.0, generation/utils.py, `_beam_search`).

A hypothesis is the beginning of a target, with the sum of the log-probabilities of its tokens. Each document has
`num_beams` running hypotheses, and as many slots for finished ones. A step has four parts:

1. candidates: each running hypothesis with each token behind it; the best of these, by their sums, or, where tokens are
   sampled, some that are drawn by the softmax of their sums, in the order in which they are drawn;
2. finished: the candidates that stop compete for the slots, by their sums per length;
3. running: the best candidates that do not stop;
4. done: no running hypothesis could still beat the worst slot.

Scores are float32 and negative. ABSENT marks what is not there: beams that do not exist yet, empty slots, candidates
that take no part. Of equal scores the one with the lowest index (beam * V + token) comes first; upstream leaves that to
torch.topk. docs/generation.md goes through a search with numbers.

Letters: B documents, R rows (row = document * num_beams + beam), V vocabulary. Other sizes stand as words.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..arrays import Bools, Ids
from .contract import GenerateBeamEncoderDecoderOutput, Scores, Search
from .decoding import DEAD_END, NAN, Decoding, refuse
from .scores import best, log_softmax
from .settings import Settings

Choice = Callable[[Scores, int], Ids]

ABSENT = np.float32(-1e9)


@dataclass(frozen=True)
class Hypotheses:
    """Some hypotheses of each document, best first.

    ids: (B, any, max_length) int64, prompt included
    scores: (B, any) float32: sums of log-probabilities; in the slots for finished ones, sums per length
    rows: (B, any, max_length - prompt_length) int64, the row of all that each token was chosen from; -1 for none
    is_finished: (B, any) bool; False for an empty slot
    """

    ids: Ids
    scores: Scores
    rows: Ids
    is_finished: Bools

    def take(self, order: Ids) -> "Hypotheses":
        """Return the hypotheses at the places order: (B, any) of each document."""
        documents = np.arange(len(order))[:, None]  # (B, 1)
        return Hypotheses(*(array[documents, order] for array in vars(self).values()))  # each of the four arrays

    def of(self, documents: slice | Bools) -> "Hypotheses":
        """Return the hypotheses of some documents, which a slice or a mask names."""
        return Hypotheses(*(array[documents] for array in vars(self).values()))

    def put(self, documents: Ids, other: "Hypotheses") -> None:
        """Put the other's hypotheses in the place of those of some documents."""
        for array, others in zip(vars(self).values(), vars(other).values(), strict=True):
            array[documents] = others

    def beside(self, other: "Hypotheses") -> "Hypotheses":
        """Return these hypotheses of each document, and behind them the other's."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Hypotheses(*(np.concatenate(pair, axis=1) for pair in pairs))


def beam_search(decoding: Decoding, prompt: Ids, settings: Settings) -> Search:
    """Return the best `num_return_sequences` continuations of each row of prompt: (B, any).

    The documents advance in lock step. One that is done keeps its finished hypotheses. It leaves the search, or its
    rows are computed on, as upstream, and change nothing. Raises GenerationError where the scores of a document are NaN
    or forbid every token.
    """
    B, prompt_length = prompt.shape
    beams, length_penalty = settings.num_beams, settings.length_penalty
    max_new_tokens = settings.max_length - prompt_length
    # Each beam can end in as many ways as there are ends; of so many candidates, at least `beams` do not end.
    count = max(2, 1 + len(settings.eos_token_id)) * beams
    looks_ahead = settings.early_stopping == "never" and length_penalty > 0
    running, finished = _start(prompt, settings)
    is_done = np.zeros(B, bool)  # (B,)
    result = finished  # of all documents, also of those that have left

    def result_of(document: int, _: int) -> GenerateBeamEncoderDecoderOutput:
        return _output(result.of(slice(document, document + 1)), settings, decoding)

    for length in range(prompt_length, settings.max_length):
        generated = length + 1 - prompt_length  # tokens, with the one that this step chooses
        ids = running.ids[:, :, :length].reshape(-1, length)  # (R, length)
        scores = decoding.apply_rules(ids, log_softmax(decoding.next_logits(ids)))  # (R, V)
        candidates = _candidates(running, scores, length, count, decoding.documents, is_done, decoding.draws or best)
        targets = candidates.ids[:, :, : length + 1].reshape(-1, length + 1)  # (B * count, length + 1)
        is_stopped = decoding.is_stopped(targets).reshape(-1, count)
        finished = _next_finished(finished, candidates, is_stopped, is_done, generated, length_penalty)
        is_dead_end = ~finished.is_finished.any(axis=1) & (candidates.scores[:, 0] <= ABSENT / 2)  # (B,)
        refuse(is_dead_end & ~is_done, DEAD_END, length, decoding.documents)
        running = _next_running(candidates, is_stopped, beams)
        # The score that the best running hypothesis will have is guessed: that of stopping now, or, where it looks
        # ahead, that of losing nothing more up to the limit. A score that only equals the worst slot does not beat it.
        guess = _per_length(running.scores[:, 0], max_new_tokens if looks_ahead else generated, length_penalty)  # (B,)
        worst = np.where(finished.is_finished, finished.scores.min(axis=1, keepdims=True), ABSENT).min(axis=1)  # (B,)
        is_done |= ~(guess > worst) | is_stopped.all(axis=1)
        if settings.early_stopping is True:
            is_done |= finished.is_finished.all(axis=1)
        decoding.progress(generated, max_new_tokens)
        rows = running.rows[:, :, generated - 1] % beams + np.arange(len(is_done))[:, None] * beams  # (B, beams)
        if is_done.any():
            result.put(decoding.documents, finished)
        is_left = yield from decoding.leave(is_done, length + 1, result_of)
        if is_done.all():
            break
        running, finished, is_done = running.of(is_left), finished.of(is_left), is_done[is_left]
        decoding.reorder(rows[is_left].reshape(-1), rows.size)
    return _output(result, settings, decoding)


def _start(prompt: Ids, settings: Settings) -> tuple[Hypotheses, Hypotheses]:
    """Return the prompt as the only running hypothesis of each document, and empty slots; prompt: (B, any).

    The ids behind a hypothesis show in the output. Upstream fills them with the padding id, but with the first end of
    sequence where the padding id is 0, and with -1 where there is no end of sequence.
    """
    B, prompt_length = prompt.shape
    beams, max_length = settings.num_beams, settings.max_length
    filler = (settings.pad_token_id or settings.eos_token_id[0]) if settings.eos_token_id else -1
    ids = np.full((B, beams, max_length), filler, np.int64)
    ids[:, :, :prompt_length] = prompt[:, None]
    rows = np.full((B, beams, max_length - prompt_length), -1, np.int64)
    slots = Hypotheses(ids, np.full((B, beams), ABSENT), rows, np.zeros((B, beams), bool))
    scores = slots.scores.copy()
    scores[:, 0] = 0  # subtle: with the prompt in every beam, all beams would stay the same
    return replace(slots, scores=scores), slots


def _candidates(
    running: Hypotheses, scores: Scores, length: int, count: int, documents: Ids, is_done: Bools, choose: Choice
) -> Hypotheses:
    """Return `count` ways to extend the running hypotheses, of `length` tokens, by one: the best, or drawn ones.

    scores: (R, V); choose: `best`, or the draws, which choose by the softmax of the sums

    Raises GenerationError where the scores of a document that is not done are NaN. Here are two beams, [0, 1] and
    [0, 3], and four tokens to choose from:

    >>> running = Hypotheses(np.array([[[0, 1, 0], [0, 3, 0]]]), np.float32([[-1, -2]]),
    ...                      np.array([[[0, -1], [0, -1]]]), np.array([[False, False]]))
    >>> scores = np.float32([[-4, -3, -9, -2], [-0.5, -9, -9, -9]])
    >>> three = _candidates(running, scores, 2, 3, np.array([0]), np.array([False]), best)
    >>> three.ids.tolist(), three.scores.tolist(), three.rows.tolist()
    ([[[0, 3, 0], [0, 1, 3], [0, 1, 1]]], [[-2.5, -3.0, -4.0]], [[[0, 1], [0, 0], [0, 0]]])
    """
    B, beams = running.scores.shape
    V = scores.shape[1]
    with np.errstate(over="ignore", invalid="ignore"):  # twice the smallest float32 is -inf; NaN is refused below
        sums = (scores.reshape(B, beams, V) + running.scores[:, :, None]).reshape(B, beams * V)
    is_nan = np.isnan(sums.max(axis=1))  # (B,)
    refuse(is_nan & ~is_done, NAN, length, documents)
    sums[is_nan] = -np.inf  # only documents that are done are left
    places = choose(sums, count)  # (B, count)
    beam, token = places // V, places % V
    candidates = replace(running.take(beam), scores=np.take_along_axis(sums, places, axis=1))
    candidates.ids[:, :, length] = token
    generated = length + running.rows.shape[2] - running.ids.shape[2]  # before this token
    candidates.rows[:, :, generated] = beam + documents[:, None] * beams
    return candidates


def _per_length(sums: Scores, generated: int, length_penalty: float) -> Scores:
    """Return the scores by which finished hypotheses compete: sums / generated ** length_penalty.

    Sums are negative, so a length_penalty above 0 favours long targets, and one below 0 short ones. `generated` counts
    the end of sequence, not the prompt.

    >>> _per_length(np.float32([-6]), 3, 1.0), _per_length(np.float32([-6]), 3, 0.0)
    (array([-2.], dtype=float32), array([-6.], dtype=float32))
    """
    with np.errstate(over="ignore"):
        return sums / np.float32(float(generated) ** length_penalty)


def _next_finished(
    finished: Hypotheses, candidates: Hypotheses, is_stopped: Bools, is_done: Bools, generated: int, penalty: float
) -> Hypotheses:
    """Return the best of the finished hypotheses and of the candidates that have stopped; is_stopped: (B, count).

    Of the candidates, only the first `num_beams` may finish. A document that is done keeps its slots. Here is one slot,
    and of two candidates the first has stopped with its third token:

    >>> slot = Hypotheses(np.array([[[5]]]), np.float32([[-2.5]]), np.array([[[0]]]), np.array([[True]]))
    >>> two = Hypotheses(np.array([[[6], [7]]]), np.float32([[-6, -7]]), np.array([[[0], [0]]]), np.zeros((1, 2), bool))
    >>> after = _next_finished(slot, two, np.array([[True, False]]), np.array([False]), 3, 1.0)
    >>> after.ids.tolist(), after.scores.tolist()
    ([[[6]]], [[-2.0]])
    """
    beams = finished.scores.shape[1]
    is_finished = is_stopped & (np.arange(is_stopped.shape[1]) < beams)  # (B, count)
    scores = _per_length(candidates.scores, generated, penalty)
    scores += np.where(is_finished, np.float32(0), ABSENT)
    both = finished.beside(replace(candidates, scores=scores, is_finished=is_finished))
    order = best(both.scores, beams)
    order[is_done] = np.arange(beams)
    return both.take(order)


def _next_running(candidates: Hypotheses, is_stopped: Bools, beams: int) -> Hypotheses:
    """Return the best candidates that have not stopped; where they are too few, stopped ones as good as absent.

    >>> two = Hypotheses(np.array([[[6], [7]]]), np.float32([[-6, -7]]), np.array([[[0], [0]]]), np.zeros((1, 2), bool))
    >>> _next_running(two, np.array([[True, False]]), 1).ids.tolist()
    [[[7]]]
    """
    scores = candidates.scores + np.where(is_stopped, ABSENT, np.float32(0))
    return replace(candidates, scores=scores).take(best(scores, beams))


def _output(finished: Hypotheses, settings: Settings, decoding: Decoding) -> GenerateBeamEncoderDecoderOutput:
    """Return the best slots of each document, cut to the longest hypothesis among them."""
    shown = finished.take(np.tile(np.arange(settings.num_return_sequences), (len(finished.scores), 1)))
    ids = shown.ids.reshape(-1, settings.max_length)
    rows = shown.rows.reshape(len(ids), -1)
    longest = int((rows >= 0).sum(axis=1).max())
    return GenerateBeamEncoderDecoderOutput(
        sequences=ids[:, : settings.prompt_length + longest],
        sequences_scores=shown.scores.reshape(-1),
        scores=decoding.scores,
        logits=decoding.logits,
        beam_indices=rows[:, :longest],
    )
