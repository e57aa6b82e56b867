"""The rules of sampling: which tokens can be drawn, and how alike their probabilities are.

They are rules like those of rules.py, and come behind all of them but `renormalize`, in the order of this file. Hugging
Face calls them logits warpers (transformers 5.23.0, generation/logits_process.py). `keep` is the number of tokens that
stay possible in any case: 1, and in beam search one more than there are ends.

Upstream computes in float32 and cumulates in float64. So do these, and forbid the same tokens, but where a probability
is within its rounding of a bound.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..arrays import Bools, Ids
from .contract import Rule, Scores
from .scores import FORBIDDEN, best, entropy, log_softmax, softmax
from .settings import Settings

_TOP = 100  # tokens that top_h looks at, as upstream


def temperature(ids: Ids, scores: Scores, value: float) -> Scores:
    """Divide by a temperature: above 1 probabilities become more alike, below 1 less.

    >>> temperature(np.array([[2]]), np.float32([[1, 3]]), 2.0)
    array([[0.5, 1.5]], dtype=float32)
    """
    return scores / np.float32(value)


def top_h(ids: Ids, scores: Scores, share: float) -> Scores:
    """Leave the likely tokens that together have at most that share of the entropy, and the best one in any case.

    Only the 100 likeliest count. Here each of four tokens has a quarter of the entropy:

    >>> top_h(np.array([[2]]), np.float32([[0, 0, 0, 0]]), 0.5)
    array([[  0.,   0., -inf, -inf]], dtype=float32)
    """
    order = np.argsort(-scores, axis=1, kind="stable")[:, :_TOP]  # (R, any)
    top = np.take_along_axis(scores, order, axis=1)
    probs = softmax(top)
    with np.errstate(divide="ignore"):
        terms = -probs * np.log(probs)  # NaN where a probability is 0, and so are the sums from there on
    stays = np.cumsum(terms, axis=1, dtype=np.float64).astype(np.float32) <= entropy(top) * np.float32(share)
    stays[:, 0] = True
    is_out = np.ones(scores.shape, bool)
    np.put_along_axis(is_out, order, ~stays, axis=1)
    return np.where(is_out, FORBIDDEN, scores)


def top_k(ids: Ids, scores: Scores, k: int, keep: int) -> Scores:
    """Leave the k best tokens, and those that equal the last of them.

    >>> top_k(np.array([[2]]), np.float32([[4, 3, 3, 1]]), 2, keep=1)
    array([[  4.,   3.,   3., -inf]], dtype=float32)
    """
    return np.where(scores < _last_of(scores, max(k, keep)), FORBIDDEN, scores)


def top_p(ids: Ids, scores: Scores, p: float, keep: int) -> Scores:
    """Leave the fewest tokens that have the probability p together. Of equal ones the highest ids stay.

    >>> top_p(np.array([[2]]), np.log(np.float32([[0.5, 0.25, 0.125, 0.125]])).round(2), 0.7, keep=1)
    array([[-0.69, -1.39,  -inf,  -inf]], dtype=float32)
    """
    order = np.argsort(scores, axis=1, kind="stable")  # (R, V), the least first
    probs = softmax(np.take_along_axis(scores, order, axis=1))
    is_out = np.cumsum(probs, axis=1, dtype=np.float64).astype(np.float32) <= np.float32(1 - p)
    is_out[:, -keep:] = False
    return _forbidden(scores, order, is_out)


def min_p(ids: Ids, scores: Scores, share: float, keep: int) -> Scores:
    """Leave the tokens that have at least that share of the best one's probability.

    >>> min_p(np.array([[2]]), np.float32([[0, -1, -3]]), 0.1, keep=1)
    array([[  0.,  -1., -inf]], dtype=float32)
    """
    probs = softmax(scores)
    is_out = probs < np.float32(share) * probs.max(axis=1, keepdims=True)
    np.put_along_axis(is_out, best(np.nan_to_num(probs), min(keep, probs.shape[1])), False, axis=1)
    return np.where(is_out, FORBIDDEN, scores)


def typical_p(ids: Ids, scores: Scores, mass: float, keep: int) -> Scores:
    """Leave the tokens whose surprise is nearest to the expected one, until they have the probability `mass`.

    The best token can go. Here the surprises are 0.69, 1.39 and 2.77, and 1.21 is expected:

    >>> scores = np.log(np.float32([[0.5, 0.25, 0.0625, 0.0625, 0.0625, 0.0625]])).round(2)
    >>> typical_p(np.array([[2]]), scores, 0.2, keep=1)
    array([[ -inf, -1.39,  -inf,  -inf,  -inf,  -inf]], dtype=float32)
    """
    log_probs = log_softmax(scores)
    expected = -np.nansum(log_probs * np.exp(log_probs), axis=1, keepdims=True)  # (R, 1)
    distances = np.abs(-log_probs - expected)
    order = np.argsort(distances, axis=1, kind="stable")  # (R, V), the nearest first
    probs = softmax(np.take_along_axis(scores, order, axis=1))
    sums = np.cumsum(probs, axis=1, dtype=np.float64).astype(np.float32)
    last = np.minimum((sums < np.float32(mass)).sum(axis=1, keepdims=True), scores.shape[1] - 1)  # (R, 1)
    ordered = np.take_along_axis(distances, order, axis=1)
    is_out = ordered > np.take_along_axis(ordered, last, axis=1)
    is_out[:, :keep] = False
    return _forbidden(scores, order, is_out)


def epsilon_cutoff(ids: Ids, scores: Scores, epsilon: float, keep: int) -> Scores:
    """Leave the tokens of at least the probability epsilon.

    >>> epsilon_cutoff(np.array([[2]]), np.float32([[0, -1, -3]]), 0.1, keep=1)
    array([[  0.,  -1., -inf]], dtype=float32)
    """
    is_out = (softmax(scores) < np.float32(epsilon)) & (scores < _last_of(scores, keep))
    return np.where(is_out, FORBIDDEN, scores)


def eta_cutoff(ids: Ids, scores: Scores, epsilon: float, keep: int) -> Scores:
    """Leave the tokens of at least the probability epsilon, or, where many are likely, of less: sqrt(epsilon) / e^H.

    H is the entropy. Eight equal tokens have log(8), so of 0.09 there is 0.3 / 8, and none of them goes:

    >>> eta_cutoff(np.array([[2]]), np.float32([[0] * 8 + [-1]]), 0.09, keep=1)[0, -1]
    np.float32(-1.0)
    """
    bound = np.sqrt(np.float32(epsilon)) * np.exp(-entropy(scores))  # (R, 1)
    is_out = (softmax(scores) < np.minimum(np.float32(epsilon), bound)) & (scores < _last_of(scores, keep))
    return np.where(is_out, FORBIDDEN, scores)


def _last_of(scores: Scores, count: int) -> Scores:
    """Return the count-th best score of each row, (R, 1); the least where there are fewer."""
    count = min(count, scores.shape[1])
    return np.partition(scores, -count, axis=1)[:, -count, None]


def _forbidden(scores: Scores, order: Ids, is_out: Bools) -> Scores:
    """Return the scores without those that are out; order: (R, V), the places of the columns of is_out: (R, V)."""
    result = scores.copy()
    np.put_along_axis(result, order, np.where(is_out, FORBIDDEN, np.take_along_axis(scores, order, axis=1)), axis=1)
    return result


def warpers_for(settings: Settings) -> list[Rule]:
    """Return the rules of sampling that `settings` ask for, in the order of transformers 5.23.0."""
    s, rules = settings, list[Rule]()
    keep = 1 if s.num_beams == 1 else 1 + max(1, len(s.eos_token_id))

    def add(is_asked_for: bool, rule: Callable[..., Scores], **arguments: Any) -> None:
        if is_asked_for:
            rules.append(partial(rule, **arguments))

    add(s.temperature != 1, temperature, value=s.temperature)
    add(s.top_h is not None, top_h, share=s.top_h)
    add(s.top_k > 0, top_k, k=s.top_k, keep=keep)
    add(s.top_p < 1, top_p, p=s.top_p, keep=keep)
    add(s.min_p is not None, min_p, share=s.min_p, keep=keep)
    add(s.typical_p < 1, typical_p, mass=s.typical_p, keep=keep)
    add(s.epsilon_cutoff > 0, epsilon_cutoff, epsilon=s.epsilon_cutoff, keep=keep)
    add(s.eta_cutoff > 0, eta_cutoff, epsilon=s.eta_cutoff, keep=keep)
    return rules
