"""Drafts: the next tokens, guessed from the source, so that one step of the model computes several (prompt lookup).

A step takes the time of reading the weights, for one token or for four. A summary often repeats words of its source:
what follows there is computed along with the last token. Where the search chooses the same, its next scores are ready.
Wrong guesses change no result, and cost little.

Letters: R rows, T target tokens so far, S source tokens, V vocabulary.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Floats, Ids

# steps(ids: (R, T), state, count) -> (R, count, V) logits behind each of the last `count` tokens, and the state of all
# T. It has the method `cut(length)`, which returns the state of the first tokens. The bits of a token's logits do not
# depend on how many tokens a call computes.
Steps = Callable[[Ids, Any, int], tuple[Floats, Any]]

SIZE = 3  # tokens of a draft: with the last one they are four rows, which the products compute in the time of one
LONGEST = 4  # tokens whose place in the source is looked up


def draft(source: Ids, ids: Ids, size: int) -> Ids:
    """Return what follows the last of ids: (T,) in the source: (S,), at most `size` tokens.

    Of all places of the last token, those count that share most of the tokens before it, and of these the first. Where
    they share none, one place is enough for a draft, and two are not: such drafts are mostly wrong.

    >>> draft(np.array([7, 5, 8, 7, 6, 5, 9, 3]), np.array([2, 6, 5]), size=2)
    array([9, 3])
    >>> draft(np.array([7, 5, 8, 7, 6, 5, 9, 3]), np.array([2, 4, 5]), size=2)
    array([], dtype=int64)
    """
    places = np.flatnonzero(source[:-1] == ids[-1])
    is_sure = len(places) == 1
    for before in range(1, min(LONGEST, len(ids))):
        longer = places[(places >= before) & (source[places - before] == ids[-1 - before])]
        if not len(longer):
            break
        places, is_sure = longer, True
    return source[places[0] + 1 :][:size] if is_sure else source[:0]


class DraftedStep:
    """The `Step` of a search (see contract) that goes by drafts: it has the logits of a guessed token before the search
    chooses it.

    source: (S,) int64, where one row is decoded; empty for no drafts, and any number of rows
    max_length: the most tokens of a row
    """

    def __init__(self, steps: Steps, source: Ids, max_length: int) -> None:
        self._steps, self._source, self._max_length = steps, source, max_length
        self._ids: Ids | None = None  # (R, T + draft): the tokens of the last call of `steps`, the guessed ones last

    def __call__(self, ids: Ids, state: Any) -> tuple[Floats, Any]:
        """Return the logits behind ids: (R, T), (R, V), and their state; `state` is that of the last call."""
        T = ids.shape[1]
        if self._ids is None or not np.array_equal(ids, self._ids[:, :T]):
            # subtle: no draft behind the prompt, because a mask of the prompt has no place for it
            size = 0 if self._ids is None else min(SIZE, self._max_length - 1 - T)
            guess = draft(self._source, ids[0], size)
            self._ids = np.concatenate([ids, np.broadcast_to(guess, (len(ids), len(guess)))], axis=1)
            self._logits, self._state = self._steps(self._ids, state, 1 + len(guess))
        behind = self._ids.shape[1] - T  # the guessed tokens that are not chosen, or not yet
        logits = self._logits[:, -1 - behind]
        # A user may keep them: a copy keeps no logits of wrong guesses in memory.
        return logits.copy() if len(self._source) else logits, self._state.cut(T) if behind else self._state
