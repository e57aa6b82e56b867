"""The probabilities of scores, their entropy, and the best of them. Each row is computed by itself."""

import numpy as np

from ..arrays import Ids
from .contract import Scores

FORBIDDEN = np.float32(-np.inf)
_GROUPS = 256


def log_softmax(scores: Scores) -> Scores:
    """Return the rows shifted so that their exponentials sum to 1, in float32 as upstream."""
    with np.errstate(invalid="ignore"):  # a row of -inf only, or with +inf or NaN, becomes NaN
        shifted = scores - scores.max(axis=1, keepdims=True)
        shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return shifted


def softmax(scores: Scores) -> Scores:
    """Return the probabilities of each row.

    >>> softmax(np.float32([[3, 3, -np.inf]]))
    array([[0.5, 0.5, 0. ]], dtype=float32)
    """
    with np.errstate(invalid="ignore"):
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


def entropy(scores: Scores) -> Scores:
    """Return the expected surprise of each row, (R, 1).

    >>> entropy(np.float32([[3, 3, -np.inf]]))
    array([[0.6931472]], dtype=float32)
    """
    probs, top = softmax(scores), scores.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # 0 times the surprise of what cannot be
        log_of_sum = top + np.log(np.exp(scores - top).sum(axis=1, keepdims=True))  # (R, 1); it rounds as upstream's
        terms = np.where(probs == 0, np.float32(0), probs * (scores - log_of_sum))
    return -terms.sum(axis=1, keepdims=True)


def best(scores: Scores, count: int) -> Ids:
    """Return the places of the `count` largest of each row, largest first, of equal ones the lowest; scores: (R, any).

    >>> best(np.float32([[3, 9, 9, 1]]), 3)
    array([[1, 2, 0]])
    """
    if scores.shape[1] < 4 * _GROUPS:
        return np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return np.stack([_best_of(row, count) for row in scores])


def _best_of(values: Scores, count: int) -> Ids:
    """Return what `np.argsort(-values, kind="stable")[:count]` does, but sort only the largest; values: (any,).

    A bound is looked for first, which is faster than to partition 200,000 scores. Cut the values into _GROUPS groups;
    `count` groups have a member that is no less than the count-th largest of the groups' maxima.
    """
    if count <= _GROUPS:
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
