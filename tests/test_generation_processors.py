"""Each rule on scores: against the reference's answers, the literal tables of its tests, and plain definitions."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pyled.errors import GenerationError
from pyled.generation import processors
from pyled.generation.processors import chain
from pyled.generation.settings import resolve
from pyled.generation_config import GenerationConfig

GOLDEN = Path(__file__).parents[1] / "golden"
STEPS = SimpleNamespace(**runpy.run_path(str(GOLDEN / "generation_steps.py")))
TABLE = json.loads((GOLDEN / "generation.json").read_text())["processors"]
IDS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
NEVER = -np.inf

many = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)


def apply(name, ids, scores, encoder_ids, arguments):
    """Call a processor with the arguments of the table, prepared as `chain` prepares them."""
    more = dict(arguments)
    if name == "encoder_repetition_penalty":
        more["source"] = processors.distinct(encoder_ids)
    if name == "encoder_no_repeat_ngram":
        more["index"] = processors.index_ngrams(encoder_ids, more["n"])
    if name == "bad_words":
        more = {"index": processors.index_biases({tuple(word): NEVER for word in more["words"]})}
    if name == "sequence_bias":
        more = {"index": processors.index_biases({tuple(word): bias for word, bias in more["biases"]})}
    return getattr(processors, name)(ids, scores, **more)


# Against the reference


@pytest.mark.parametrize("row", TABLE["rows"], ids=lambda row: f"{row['name']} {json.dumps(row['arguments'])}")
def test_a_processor_does_what_the_reference_does_and_leaves_its_input_alone(row):
    ids, encoder_ids = np.array(TABLE["ids"]), np.array(TABLE["encoder_ids"])
    scores = STEPS.logits(TABLE["step"], np.array(TABLE["seeds"]), ids) - np.float32(TABLE["shift"])
    assert (scores < 0).any() and (scores > 0).any()
    before = [array.copy() for array in (ids, scores, encoder_ids)]
    for array in (ids, scores, encoder_ids):
        array.flags.writeable = False
    after = apply(row["name"], ids, scores, encoder_ids, row["arguments"])
    expected = np.array([[NEVER if v is None else v for v in values] for values in row["after"]], np.float32)
    assert after.dtype == np.float32
    if row["name"] == "renormalize":  # exponentials round
        np.testing.assert_allclose(after, expected, rtol=0, atol=2e-6)
    else:
        np.testing.assert_array_equal(after, expected)
    for array, copy in zip((ids, scores, encoder_ids), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_the_table_covers_every_rule_but_those_with_tests_of_their_own():
    own = {"prefix_allowed_tokens", "remove_invalid_values", "users_own"}
    rules = {"sequence_bias", "encoder_repetition_penalty", "repetition_penalty", "no_repeat_ngram", "bad_words",
             "encoder_no_repeat_ngram", "min_length", "forced_bos", "forced_eos", "suppress_tokens", "renormalize",
             "exponential_decay_length_penalty", "begin_suppress_tokens"}  # fmt: skip
    assert {row["name"] for row in TABLE["rows"]} == rules
    assert all(callable(getattr(processors, name)) for name in own | rules)


# The tables of the reference's own tests (tests/generation/test_logits_process.py)


def zeros(rows, vocab):
    return np.zeros((rows, vocab), np.float32)


def test_ngrams_of_the_reference_table():
    ids = np.array([[1, 1, 2, 1], [0, 1, 0, 1]])
    two = np.isneginf(processors.no_repeat_ngram(ids, zeros(2, 3), 2))
    three = np.isneginf(processors.no_repeat_ngram(ids, zeros(2, 3), 3))
    assert two.tolist() == [[False, True, True], [True, False, False]]
    assert three.tolist() == [[False, False, False], [True, False, False]]


def test_one_grams_ban_every_id_and_a_short_prefix_nothing():
    ids = np.array([[2, 0]])
    assert np.isneginf(processors.no_repeat_ngram(ids, zeros(1, 4), 1)).tolist() == [[True, False, True, False]]
    assert not np.isneginf(processors.no_repeat_ngram(ids, zeros(1, 4), 3)).any()


def test_encoder_ngrams_are_those_of_the_document_of_the_row():
    encoder_ids = np.array([[1, 2, 1, 3], [1, 0, 0, 0]])
    index = processors.index_ngrams(encoder_ids, 2)
    ids = np.array([[2, 1], [2, 2], [2, 1], [2, 0]])  # two beams per document
    banned = np.isneginf(processors.encoder_no_repeat_ngram(ids, zeros(4, 4), index, 2))
    assert [np.flatnonzero(row).tolist() for row in banned] == [[2, 3], [1], [0], [0]]


def test_repetition_penalty_pushes_both_signs_down_once_per_distinct_id():
    scores = np.array([[4.0, -4.0, 4.0, 0.0]], np.float32)
    after = processors.repetition_penalty(np.array([[0, 0, 1, 1, 3]]), scores, 2)
    assert after.tolist() == [[2.0, -8.0, 4.0, 0.0]]


def test_invalid_values_become_finite():
    largest = np.finfo(np.float32).max
    scores = np.array([[np.nan, np.inf, -np.inf, 1.5]], np.float32)
    after = processors.remove_invalid_values(np.array([[2]]), scores)
    assert after.tolist() == [[0.0, largest, -largest, 1.5]]


def test_an_infinite_end_is_not_raised():
    scores = np.array([[-np.inf, -2.0]], np.float32)
    after = processors.exponential_decay_length_penalty(np.array([[2, 3, 4]]), scores, 1, 2.0, (0, 1))
    assert after.tolist() == [[-np.inf, 4.0]]  # -2 + 2 * (2^2 - 1)


def test_renormalizing_leaves_a_row_without_tokens_as_it_is():
    scores = np.array([[-np.inf, -np.inf], [0.0, 0.0]], np.float32)
    after = processors.renormalize(np.array([[2], [2]]), scores)
    np.testing.assert_allclose(after, [[-np.inf, -np.inf], [-np.log(2)] * 2], rtol=1e-6)


# Plain definitions


def ngram_bans(sequence, context, n):
    """The tokens t for which the last n-1 ids of the context and t stand side by side in the sequence."""
    last = context[len(context) - n + 1 :] if n > 1 else []
    if len(last) < n - 1:
        return set()
    return {sequence[i + n - 1] for i in range(len(sequence) - n + 1) if sequence[i : i + n - 1] == last}


@many
@given(st.lists(st.lists(st.integers(0, 3), min_size=7, max_size=7), min_size=1, max_size=3), st.integers(1, 8))
def test_no_repeat_ngram_is_its_definition(rows, n):
    after = processors.no_repeat_ngram(np.array(rows), zeros(len(rows), 4), n)
    for row, banned in zip(rows, np.isneginf(after), strict=True):
        assert set(np.flatnonzero(banned).tolist()) == (ngram_bans(row, row, n) if n <= 7 else set())


@many
@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), min_size=1, max_size=5), st.integers(1, 5))
def test_encoder_no_repeat_ngram_is_its_definition(source, context, n):
    index = processors.index_ngrams(np.array([source], np.int64).reshape(1, -1), n)
    after = processors.encoder_no_repeat_ngram(np.array([context]), zeros(1, 4), index, n)
    assert set(np.flatnonzero(np.isneginf(after[0])).tolist()) == ngram_bans(source, context, n)


@many
@given(
    st.dictionaries(st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple), st.integers(-8, 8), max_size=6),
    st.lists(st.integers(0, 3), min_size=1, max_size=4),
)
def test_sequence_bias_is_its_definition(biases, context):
    after = processors.sequence_bias(np.array([context]), zeros(1, 4), processors.index_biases(biases))
    expected = [
        sum(bias for word, bias in biases.items() if (*context, token)[-len(word) :] == word) for token in range(4)
    ]
    assert after.tolist() == [expected]


@many
@given(arrays(np.float32, (3, 5), elements=st.floats(-20, 20, width=32)))
def test_log_softmax_sums_to_one(scores):
    after = processors.log_softmax(scores)
    exact = scores.astype(np.float64)
    exact = exact - np.log(np.exp(exact).sum(axis=1, keepdims=True))
    assert after.dtype == np.float32
    np.testing.assert_allclose(after, exact, rtol=0, atol=1e-5)


# What users plug in


def test_the_allowed_list_is_asked_per_document_and_row():
    asked = []

    def allowed(document, ids):
        asked.append((document, ids.tolist()))
        return [document]

    ids = np.array([[2, 0], [2, 1], [2, 2], [2, 3]])
    after = processors.prefix_allowed_tokens(ids, zeros(4, 3) + 7, allowed, beams=2)
    assert asked == [(0, [2, 0]), (0, [2, 1]), (1, [2, 2]), (1, [2, 3])]
    assert np.flatnonzero(after[0] == 7).tolist() == [0] and np.flatnonzero(after[3] == 7).tolist() == [1]
    assert (after == NEVER).sum() == 8


def test_an_allowed_list_that_leaves_a_document_nothing_decides_alone():
    scores = np.array([[NEVER, 1.0], [NEVER, 1.0], [NEVER, 1.0], [5.0, 1.0]], np.float32)
    after = processors.prefix_allowed_tokens(np.full((4, 1), 2), scores, lambda document, ids: [0], beams=2)
    assert after.tolist() == [[0.0, NEVER], [0.0, NEVER], [NEVER, NEVER], [5.0, NEVER]]


def test_what_users_functions_return_is_checked():
    ids, scores = np.array([[2, 3]]), zeros(1, 4)
    with pytest.raises(GenerationError, match=r"allows no token after \[2, 3\] \(document 0\): let it return at least"):
        processors.prefix_allowed_tokens(ids, scores, lambda document, ids: [], beams=1)
    for tokens in ([4], [-1]):
        with pytest.raises(GenerationError, match="ids must be below the vocabulary's size 4"):
            processors.prefix_allowed_tokens(ids, scores, lambda document, ids, tokens=tokens: tokens, beams=1)
    with pytest.raises(GenerationError, match=r"a logits_processor returned an array of shape \(4,\): it must return "):
        processors.users_own(ids, scores, lambda ids, scores: scores[0])


def test_a_users_processor_may_write_into_what_it_gets():
    def own(ids, scores):
        scores[:, 1] = 9
        return scores

    scores = zeros(1, 3)
    assert processors.users_own(np.array([[2]]), scores, own).tolist() == [[0.0, 9.0, 0.0]]
    assert not scores.any()


# The chain


def names(call, **more):
    settings, _ = resolve(call, None, GenerationConfig(**IDS), batch_size=1, vocab_size=50, positions=100)
    return [getattr(rule, "func", rule).__name__ for rule in chain(settings, np.array([[3, 4]]), **more)]


def test_the_order_is_the_references():
    everything = {
        "sequence_bias": [[[3], 1.0]],
        "encoder_repetition_penalty": 1.5,
        "repetition_penalty": 1.5,
        "no_repeat_ngram_size": 3,
        "encoder_no_repeat_ngram_size": 3,
        "bad_words_ids": [[5]],
        "min_length": 3,
        "forced_bos_token_id": 0,
        "forced_eos_token_id": 2,
        "remove_invalid_values": True,
        "exponential_decay_length_penalty": [3, 1.1],
        "suppress_tokens": [7],
        "begin_suppress_tokens": [8],
        "renormalize_logits": True,
    }
    order = [  # facts 5.2
        "sequence_bias", "encoder_repetition_penalty", "repetition_penalty", "no_repeat_ngram",
        "encoder_no_repeat_ngram", "bad_words", "min_length", "prefix_allowed_tokens", "forced_bos", "forced_eos",
        "remove_invalid_values", "exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens",
        "users_own", "renormalize",
    ]  # fmt: skip
    assert names(everything, prefix_allowed_tokens_fn=lambda d, i: [0], own=[lambda i, s: s]) == order
    assert names({}) == []


def test_neutral_values_and_missing_ends_ask_for_nothing():
    assert names({"repetition_penalty": 1.0, "encoder_repetition_penalty": 1, "suppress_tokens": []}) == []
    assert names({"eos_token_id": None, "min_length": 5}) == []
    assert names({"bad_words_ids": [[2]]}) == []  # the end of sequence is no bad word
