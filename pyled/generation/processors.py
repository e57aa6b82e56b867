"""Rules that change the scores of the next token: one function each, in the order in which they act.

ids: (R, L) int64, all tokens so far; scores: (R, V) float32. No function modifies its input. Greedy search feeds the
chain with logits, beam search with their log-softmax; what comes out is not normalised again (transformers 5.23.0,
generation/utils.py, `_get_logits_processor` and logits_process.py).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..errors import GenerationError
from .contract import Ids, PrefixAllowedTokens, Processor, Scores
from .settings import Settings

NEVER = np.float32(-np.inf)

BiasIndex = list[tuple[Ids, Ids, Scores]]
NgramIndex = list[dict[tuple[int, ...], list[int]]]  # per document: the first n-1 ids of an n-gram to its last ones


def log_softmax(scores: Scores) -> Scores:
    """Rows shifted so that their exponentials sum to 1, in float32 as upstream."""
    with np.errstate(invalid="ignore"):  # a row of -inf only, or with +inf or NaN, becomes NaN
        shifted = scores - scores.max(axis=1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _penalized(scores: Scores, tokens: Ids, penalty: float) -> Scores:
    """Scores of `tokens` (R, any) further from 0 if negative and nearer to it if positive, for a penalty above 1."""
    chosen = np.take_along_axis(scores, tokens, axis=1)
    result = scores.copy()
    with np.errstate(all="ignore"):  # a penalty near 0 or beyond float32 gives infinities, as upstream
        np.put_along_axis(result, tokens, np.where(chosen < 0, chosen * penalty, chosen / penalty), axis=1)
    return result


def _without(scores: Scores, tokens: Sequence[int]) -> Scores:
    result = scores.copy()
    result[:, list(tokens)] = NEVER
    return result


def _only(scores: Scores, tokens: Sequence[int]) -> Scores:
    result = np.full_like(scores, NEVER)
    result[:, list(tokens)] = 0
    return result


def index_biases(biases: Mapping[tuple[int, ...], float]) -> BiasIndex:
    """The words of each length together: all but their last ids (words, n-1), their last ids, their biases."""
    groups: dict[int, list[tuple[tuple[int, ...], float]]] = {}
    for word, bias in sorted(biases.items(), key=lambda item: len(item[0]) > 1):  # single ids first, as upstream
        groups.setdefault(len(word), []).append((word, bias))
    return [
        (
            np.array([word[:-1] for word, _ in group], np.int64).reshape(len(group), n - 1),
            np.array([word[-1] for word, _ in group], np.int64),
            np.array([bias for _, bias in group], np.float32),
        )
        for n, group in groups.items()
    ]


def sequence_bias(ids: Ids, scores: Scores, index: BiasIndex) -> Scores:
    """Add each bias to the last token of its word, where the tokens so far end with the rest of the word."""
    length = ids.shape[1]
    total = np.zeros_like(scores)
    for prefixes, lasts, biases in index:
        n = prefixes.shape[1]
        if n <= length:
            matching = (ids[:, None, length - n :] == prefixes).all(axis=2)  # (R, words)
            rows, words = np.nonzero(matching)
            np.add.at(total, (rows, lasts[words]), biases[words])
    return scores + total


def distinct(encoder_ids: Ids) -> Ids:
    """The ids of each source once: (B, most), shorter rows filled with an id of their own. encoder_ids: (B, S)."""
    rows = [np.unique(document) for document in encoder_ids]
    most = max(len(row) for row in rows)
    return np.stack([np.pad(row, (0, most - len(row)), mode="edge") for row in rows])


def encoder_repetition_penalty(ids: Ids, scores: Scores, source: Ids, penalty: float) -> Scores:
    """Favour, for a penalty above 1, the tokens of the source; source: (B, any), as `distinct` gives it."""
    beams = len(scores) // len(source)
    return _penalized(scores, np.repeat(source, beams, axis=0), 1 / penalty)


def repetition_penalty(ids: Ids, scores: Scores, penalty: float) -> Scores:
    """Disfavour, for a penalty above 1, every token that is there already, the prompt's included."""
    return _penalized(scores, ids, penalty)


def no_repeat_ngram(ids: Ids, scores: Scores, n: int) -> Scores:
    """Forbid every token that would complete an n-gram that is there already."""
    length = ids.shape[1]
    if length < n:
        return scores
    starts = length - n + 1
    matching = np.ones((len(ids), starts), bool)  # (R, windows): the window's first n-1 ids are the last n-1 of all
    for i in range(n - 1):
        matching &= ids[:, i : i + starts] == ids[:, starts + i, None]
    rows, windows = np.nonzero(matching)
    result = scores.copy()
    result[rows, ids[rows, windows + n - 1]] = NEVER
    return result


def index_ngrams(encoder_ids: Ids, n: int) -> NgramIndex:
    """What follows each (n-1)-gram of each source; specials and padding count, as upstream. encoder_ids: (B, S)."""
    index: NgramIndex = []
    for document in encoder_ids.tolist():
        following: dict[tuple[int, ...], list[int]] = {}
        for ngram in zip(*(document[i:] for i in range(n)), strict=False):
            following.setdefault(ngram[:-1], []).append(ngram[-1])
        index.append(following)
    return index


def encoder_no_repeat_ngram(ids: Ids, scores: Scores, index: NgramIndex, n: int) -> Scores:
    """Forbid every token that would complete an n-gram of the source."""
    beams = len(scores) // len(index)
    result = scores.copy()
    for row, last in enumerate(ids[:, max(ids.shape[1] - n + 1, 0) :].tolist()):  # too few ids match nothing
        result[row, index[row // beams].get(tuple(last), [])] = NEVER
    return result


def bad_words(ids: Ids, scores: Scores, index: BiasIndex) -> Scores:
    """Forbid the last token of each word, where the tokens so far end with the rest of it: biases of -inf."""
    return sequence_bias(ids, scores, index)


def min_length(ids: Ids, scores: Scores, least: int, eos: Sequence[int]) -> Scores:
    """Forbid to end while there are fewer than `least` tokens, the prompt included."""
    return _without(scores, eos) if ids.shape[1] < least else scores


def prefix_allowed_tokens(ids: Ids, scores: Scores, allowed: PrefixAllowedTokens, beams: int) -> Scores:
    """Forbid whatever `allowed(document, ids)` does not list. Where that leaves a document nothing, its list alone
    decides.

    Raises GenerationError for an empty list.
    """
    mask = np.full_like(scores, NEVER)
    for row, sequence in enumerate(ids):
        tokens = list(allowed(row // beams, sequence))
        if not tokens:
            raise GenerationError(
                f"prefix_allowed_tokens_fn allows no token after {sequence.tolist()} (document {row // beams}): "
                "let it return at least one, the end of sequence for example"
            )
        if not all(0 <= token < scores.shape[1] for token in tokens):
            raise GenerationError(
                f"prefix_allowed_tokens_fn allows {tokens} after {sequence.tolist()} (document {row // beams}): "
                f"ids must be below the vocabulary's size {scores.shape[1]}"
            )
        mask[row, tokens] = 0
    result = scores + mask
    possible = (result.max(axis=1) != NEVER).reshape(-1, beams).any(axis=1)  # (B,)
    return np.where(np.repeat(possible, beams)[:, None], result, mask)


def forced_bos(ids: Ids, scores: Scores, token: int) -> Scores:
    """Leave only `token` after a prompt of one token."""
    return _only(scores, [token]) if ids.shape[1] == 1 else scores


def forced_eos(ids: Ids, scores: Scores, max_length: int, tokens: Sequence[int]) -> Scores:
    """Leave only `tokens` as the last that fits."""
    return _only(scores, tokens) if ids.shape[1] == max_length - 1 else scores


def remove_invalid_values(ids: Ids, scores: Scores) -> Scores:
    """NaN becomes 0, and infinities the largest and smallest float32."""
    return np.nan_to_num(scores, nan=0.0)


def exponential_decay_length_penalty(ids: Ids, scores: Scores, start: int, factor: float, eos: Sequence[int]) -> Scores:
    """Raise the score of an end by |score| * (factor^(tokens after `start`) - 1); `start` counts the prompt here."""
    beyond = ids.shape[1] - start
    if beyond <= 0:
        return scores
    ends = scores[:, list(eos)]
    with np.errstate(over="ignore", invalid="ignore"):
        raised = ends + np.abs(ends) * np.float32(np.float64(factor) ** beyond - 1)
    result = scores.copy()
    result[:, list(eos)] = np.where(np.isfinite(ends), raised, ends)
    return result


def suppress_tokens(ids: Ids, scores: Scores, tokens: Sequence[int]) -> Scores:
    """Forbid `tokens`."""
    return _without(scores, tokens)


def begin_suppress_tokens(ids: Ids, scores: Scores, tokens: Sequence[int], begin: int) -> Scores:
    """Forbid `tokens` as the first, when there are `begin` ids."""
    return _without(scores, tokens) if ids.shape[1] == begin else scores


def users_own(ids: Ids, scores: Scores, processor: Any) -> Scores:
    """What a user's processor makes of a copy of the scores. Raises GenerationError when that is no (R, V) array."""
    result = np.asarray(processor(ids, scores.copy()), np.float32)
    if result.shape != scores.shape:
        raise GenerationError(
            f"a logits_processor returned an array of shape {result.shape}: it must return scores of {scores.shape}"
        )
    return result


def renormalize(ids: Ids, scores: Scores) -> Scores:
    """Make log-probabilities of the scores again. A row without a possible token stays so (upstream: NaN)."""
    possible = scores.max(axis=1, keepdims=True) != NEVER
    return np.where(possible, log_softmax(scores), scores)


def chain(
    settings: Settings,
    encoder_ids: Ids | None,
    prefix_allowed_tokens_fn: PrefixAllowedTokens | None = None,
    own: Sequence[Processor] = (),
) -> list[Processor]:
    """The processors that `settings` ask for, in the order of transformers 5.23.0. encoder_ids: (B, S)."""
    s = settings
    eos, P = s.eos_token_id, s.prompt_length
    rules: list[Processor] = []
    if s.sequence_bias:
        rules.append(partial(sequence_bias, index=index_biases(dict(s.sequence_bias))))
    if s.encoder_repetition_penalty != 1 and encoder_ids is not None:
        rules.append(
            partial(encoder_repetition_penalty, source=distinct(encoder_ids), penalty=s.encoder_repetition_penalty)
        )
    if s.repetition_penalty != 1:
        rules.append(partial(repetition_penalty, penalty=s.repetition_penalty))
    if s.no_repeat_ngram_size:
        rules.append(partial(no_repeat_ngram, n=s.no_repeat_ngram_size))
    if s.encoder_no_repeat_ngram_size and encoder_ids is not None:
        n = s.encoder_no_repeat_ngram_size
        rules.append(partial(encoder_no_repeat_ngram, index=index_ngrams(encoder_ids, n), n=n))
    if s.bad_words_ids:
        rules.append(partial(bad_words, index=index_biases(dict.fromkeys(s.bad_words_ids, -np.inf))))
    if s.min_length and eos:
        rules.append(partial(min_length, least=s.min_length, eos=eos))
    if prefix_allowed_tokens_fn is not None:
        rules.append(partial(prefix_allowed_tokens, allowed=prefix_allowed_tokens_fn, beams=s.num_beams))
    if s.forced_bos_token_id is not None:
        rules.append(partial(forced_bos, token=s.forced_bos_token_id))
    if s.forced_eos_token_id:
        rules.append(partial(forced_eos, max_length=s.max_length, tokens=s.forced_eos_token_id))
    if s.remove_invalid_values:
        rules.append(remove_invalid_values)
    if s.exponential_decay_length_penalty is not None:
        start, factor = s.exponential_decay_length_penalty
        rules.append(partial(exponential_decay_length_penalty, start=int(start) + P, factor=factor, eos=eos))
    if s.suppress_tokens:
        rules.append(partial(suppress_tokens, tokens=s.suppress_tokens))
    if s.begin_suppress_tokens:
        begin = P if P > 1 or s.forced_bos_token_id is None else P + 1
        rules.append(partial(begin_suppress_tokens, tokens=s.begin_suppress_tokens, begin=begin))
    rules.extend(partial(users_own, processor=processor) for processor in own)
    if s.renormalize_logits:
        rules.append(renormalize)
    return rules
