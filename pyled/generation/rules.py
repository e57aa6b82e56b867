"""Rules that change the scores of the next token: one function each; `rules_for` has them in their order.

A rule takes ids: (R, T) int64, all target tokens so far, and scores: (R, V) float32, and returns new scores; it changes
neither argument. Hugging Face calls it a logits processor. The first rule gets logits in greedy search, and
log-probabilities in beam search; nothing normalises the result again (transformers 5.23.0, generation/utils.py,
`_get_logits_processor`, and logits_process.py).

To add a rule: write its function here, add it to `rules_for` at its place in the order, and say its setting once, in
generation_config.py.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..annotations import is_integer
from ..arrays import Ids, as_array
from ..errors import GenerationError, brief
from .contract import PrefixAllowedTokens, Rule, Scores
from .scores import FORBIDDEN, log_softmax
from .settings import Settings
from .warpers import warpers_for


def sequence_bias(ids: Ids, scores: Scores, biases: Sequence[tuple[Sequence[int], float]]) -> Scores:
    """Add each bias to the last token of its word, where the tokens so far end with the rest of the word.

    >>> sequence_bias(np.array([[1, 2]]), np.float32([[4, 4, 4, 4]]), [([3], 1.5), ([2, 0], -9), ([1, 0], 7)])
    array([[-5. ,  4. ,  4. ,  5.5]], dtype=float32)
    """
    T = ids.shape[1]
    total = np.zeros_like(scores)
    for (*rest, last), bias in biases:
        if len(rest) <= T:
            total[(ids[:, T - len(rest) :] == rest).all(axis=1), last] += np.float32(bias)
    return scores + total


def encoder_repetition_penalty(ids: Ids, scores: Scores, source: Ids, penalty: float) -> Scores:
    """Favour, for a penalty above 1, the tokens of the source: (R, S).

    >>> encoder_repetition_penalty(np.array([[2]]), np.float32([[6, -6, 6]]), np.array([[0, 1, 0]]), penalty=2)
    array([[12., -3.,  6.]], dtype=float32)
    """
    return repetition_penalty(source, scores, 1 / penalty)


def repetition_penalty(ids: Ids, scores: Scores, penalty: float, skipped: Ids | None = None) -> Scores:
    """Disfavour, for a penalty above 1, every token that is there already, the prompt's included.

    skipped: (R,) int64, the first tokens of each row that count as absent; fewer than T

    >>> repetition_penalty(np.array([[1, 0, 0]]), np.float32([[6, -6, 6]]), penalty=2)
    array([[  3., -12.,   6.]], dtype=float32)
    >>> repetition_penalty(np.array([[1, 0, 0]]), np.float32([[6, -6, 6]]), penalty=2, skipped=np.array([1]))
    array([[ 3., -6.,  6.]], dtype=float32)
    """
    if skipped is not None:  # the first token that counts stands in the place of those that do not
        first = skipped[:, None]
        ids = np.where(np.arange(ids.shape[1]) < first, np.take_along_axis(ids, first, axis=1), ids)
    old = np.take_along_axis(scores, ids, axis=1)
    result = scores.copy()
    with np.errstate(all="ignore"):  # a penalty near 0 or beyond float32 gives infinities, as upstream
        np.put_along_axis(result, ids, np.where(old < 0, old * penalty, old / penalty), axis=1)
    return result


def no_repeat_ngram(ids: Ids, scores: Scores, n: int) -> Scores:
    """Forbid every token that would complete an n-gram that is there already.

    The last id is 0, and 0 was followed by 1:

    >>> no_repeat_ngram(np.array([[2, 0, 1, 0]]), np.float32([[4, 4, 4]]), n=2)
    array([[  4., -inf,   4.]], dtype=float32)
    """
    return encoder_no_repeat_ngram(ids, scores, ids, n)


def encoder_no_repeat_ngram(ids: Ids, scores: Scores, source: Ids, n: int) -> Scores:
    """Forbid every token that would complete an n-gram of the source: (R, S), specials and padding included.

    >>> encoder_no_repeat_ngram(np.array([[2, 1]]), np.float32([[4, 4, 4]]), np.array([[0, 1, 2, 1, 1]]), n=2)
    array([[  4., -inf, -inf]], dtype=float32)
    """
    start, windows = ids.shape[1] - n + 1, source.shape[1] - n + 1
    if start < 0 or windows < 1:
        return scores
    is_match = np.ones((len(ids), windows), bool)  # (R, windows): its first n-1 ids are the last n-1 of the target
    for i in range(n - 1):
        is_match &= source[:, i : i + windows] == ids[:, start + i, None]
    rows, starts = np.nonzero(is_match)
    result = scores.copy()
    result[rows, source[rows, starts + n - 1]] = FORBIDDEN
    return result


def min_length(ids: Ids, scores: Scores, least: int, eos: Sequence[int]) -> Scores:
    """Forbid to end while there are fewer than `least` tokens, the prompt included.

    >>> min_length(np.array([[2, 0]]), np.float32([[4, 4, 4]]), least=3, eos=[2])
    array([[  4.,   4., -inf]], dtype=float32)
    """
    return suppress_tokens(ids, scores, eos) if ids.shape[1] < least else scores


def prefix_allowed_tokens(ids: Ids, scores: Scores, allowed: PrefixAllowedTokens, beams: int) -> Scores:
    """Forbid whatever `allowed(document, ids)` does not list; where no token is left then, the list alone decides.

    Raises GenerationError for an empty list, and for ids that do not exist.

    >>> prefix_allowed_tokens(np.array([[2]]), np.float32([[4, 4, 4]]), lambda document, ids: [0, 1], beams=1)
    array([[  4.,   4., -inf]], dtype=float32)
    """
    mask = np.full_like(scores, FORBIDDEN)
    for row, sequence in enumerate(ids):
        answer = allowed(row // beams, sequence)
        tokens = list(answer) if isinstance(answer, Iterable) and getattr(answer, "ndim", 1) == 1 else []
        if not tokens or not all(is_integer(token, 0) and token < scores.shape[1] for token in tokens):
            raise GenerationError(
                f"prefix_allowed_tokens_fn allows {brief(answer)} after {brief(sequence.tolist())} (document "
                f"{row // beams}): let it return one id or more, the end of sequence for example, all from 0 to "
                f"{scores.shape[1] - 1}"
            )
        mask[row, tokens] = 0
    result = scores + mask
    is_possible = (result.max(axis=1) != FORBIDDEN).reshape(-1, beams).any(axis=1)  # (B,)
    return np.where(np.repeat(is_possible, beams)[:, None], result, mask)


def forced_tokens(ids: Ids, scores: Scores, tokens: Sequence[int], length: int) -> Scores:
    """Leave only `tokens` where there are `length` ids.

    >>> forced_tokens(np.array([[2]]), np.float32([[4, 4, 4]]), tokens=[0], length=1)
    array([[  0., -inf, -inf]], dtype=float32)
    """
    if ids.shape[1] != length:
        return scores
    result = np.full_like(scores, FORBIDDEN)
    result[:, list(tokens)] = 0
    return result


def remove_invalid_values(ids: Ids, scores: Scores) -> Scores:
    """Replace NaN by 0, and infinities by the largest and smallest float32.

    >>> remove_invalid_values(np.array([[2]]), np.float32([[np.nan, np.inf, -np.inf, 1.5]]))
    array([[ 0.0000000e+00,  3.4028235e+38, -3.4028235e+38,  1.5000000e+00]],
          dtype=float32)
    """
    return np.nan_to_num(scores, nan=0.0)


def exponential_decay_length_penalty(ids: Ids, scores: Scores, start: int, factor: float, eos: Sequence[int]) -> Scores:
    """Raise the score of an end by |score| * (factor ** (tokens beyond `start`) - 1); `start` counts the prompt here.

    Two tokens beyond 1, so -2 becomes -2 + 2 * (3 ** 2 - 1):

    >>> exponential_decay_length_penalty(np.array([[2, 0, 0]]), np.float32([[-1, -2]]), start=1, factor=3, eos=[1])
    array([[-1., 14.]], dtype=float32)
    """
    beyond = ids.shape[1] - start
    if beyond <= 0:
        return scores
    ends = scores[:, list(eos)]
    with np.errstate(over="ignore", invalid="ignore"):
        raised = ends + np.abs(ends) * np.float32(np.float64(factor) ** beyond - 1)
    result = scores.copy()
    result[:, list(eos)] = np.where(np.isfinite(ends), raised, ends)
    return result


def suppress_tokens(ids: Ids, scores: Scores, tokens: Sequence[int], length: int | None = None) -> Scores:
    """Forbid `tokens`; with a length, only where there are so many ids.

    >>> suppress_tokens(np.array([[2, 0]]), np.float32([[4, 4, 4]]), tokens=[0, 1])
    array([[-inf, -inf,   4.]], dtype=float32)
    """
    result = scores.copy()
    if length in (None, ids.shape[1]):
        result[:, list(tokens)] = FORBIDDEN
    return result


def users_rule(ids: Ids, scores: Scores, rule: Any) -> Scores:
    """Apply a user's rule to a copy of the scores. Raises GenerationError where it does not return a (R, V) array.

    >>> users_rule(np.array([[2]]), np.float32([[4, 4]]), lambda ids, scores: scores / 2)
    array([[2., 2.]], dtype=float32)
    """
    result = as_array(rule(ids, scores.copy()))
    if result.shape != scores.shape or result.dtype.kind not in "iuf":
        raise GenerationError(
            f"a logits_processor returned an array of shape {result.shape} and type {result.dtype}: it must return "
            f"scores of shape {scores.shape}"
        )
    return result.astype(np.float32)


def renormalize(ids: Ids, scores: Scores) -> Scores:
    """Make log-probabilities of the scores again. A row without a possible token stays as it is (upstream: NaN).

    >>> renormalize(np.array([[2], [2]]), np.float32([[5, 5], [-np.inf, -np.inf]]))
    array([[-0.6931472, -0.6931472],
           [      -inf,       -inf]], dtype=float32)
    """
    is_possible = scores.max(axis=1, keepdims=True) != FORBIDDEN
    return np.where(is_possible, log_softmax(scores), scores)


def rules_for(
    settings: Settings,
    encoder_ids: Ids | None,
    prefix_allowed_tokens_fn: PrefixAllowedTokens | None = None,
    users_rules: Sequence[Rule] = (),
    skipped: Ids | None = None,
) -> list[Rule]:
    """Return the rules that `settings` ask for, in the order of transformers 5.23.0.

    encoder_ids: (B, S)
    skipped: (B,), as in `repetition_penalty`
    """
    s, eos, rules = settings, settings.eos_token_id, list[Rule]()

    def add(is_asked_for: object, rule: Callable[..., Scores], **arguments: Any) -> None:
        if is_asked_for:
            rules.append(partial(rule, **arguments))

    lengths = [1, *(len(word) for word, _ in s.sequence_bias)]
    biases = sorted(s.sequence_bias, key=lambda item: lengths.index(len(item[0])))  # one length at a time, as upstream
    add(s.sequence_bias, sequence_bias, biases=biases)
    source = None if encoder_ids is None else np.repeat(encoder_ids, s.rows_per_document, axis=0)  # (R, S)
    has_source, penalty, n = source is not None, s.encoder_repetition_penalty, s.encoder_no_repeat_ngram_size
    add(has_source and penalty != 1, encoder_repetition_penalty, source=source, penalty=penalty)
    of_rows = None if skipped is None else np.repeat(skipped, s.rows_per_document)  # (R,)
    add(s.repetition_penalty != 1, repetition_penalty, penalty=s.repetition_penalty, skipped=of_rows)
    add(s.no_repeat_ngram_size, no_repeat_ngram, n=s.no_repeat_ngram_size)
    add(has_source and n, encoder_no_repeat_ngram, source=source, n=n)
    add(s.bad_words_ids, sequence_bias, biases=[(word, FORBIDDEN) for word in s.bad_words_ids])
    add(s.min_length and eos, min_length, least=s.min_length, eos=eos)
    add(prefix_allowed_tokens_fn, prefix_allowed_tokens, allowed=prefix_allowed_tokens_fn, beams=s.rows_per_document)
    add(s.forced_bos_token_id is not None, forced_tokens, tokens=[s.forced_bos_token_id], length=1)
    add(s.forced_eos_token_id, forced_tokens, tokens=s.forced_eos_token_id, length=s.max_length - 1)
    add(s.remove_invalid_values, remove_invalid_values)
    if s.exponential_decay_length_penalty is not None:
        after, factor = s.exponential_decay_length_penalty
        add(True, exponential_decay_length_penalty, start=int(after) + s.prompt_length, factor=factor, eos=eos)
    add(s.suppress_tokens, suppress_tokens, tokens=s.suppress_tokens)
    begin = s.prompt_length + (s.prompt_length == 1 and s.forced_bos_token_id is not None)  # behind a forced token
    add(s.begin_suppress_tokens, suppress_tokens, tokens=s.begin_suppress_tokens, length=begin)
    rules.extend(partial(users_rule, rule=rule) for rule in users_rules)
    rules.extend(warpers_for(s) if s.do_sample else ())
    add(s.renormalize_logits, renormalize)
    return rules
