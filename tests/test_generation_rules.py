"""Each rule on scores: against the reference's answers, and plain definitions."""

import json
import re
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
from pyled.generation import rules
from pyled.generation.settings import resolve
from pyled.generation_config import GenerationConfig

GOLDEN = Path(__file__).parents[1] / "golden"
STEPS = SimpleNamespace(**runpy.run_path(str(GOLDEN / "generation_steps.py")))
TABLE = json.loads((GOLDEN / "generation.json").read_text())["processors"]
IDS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
NEVER = -np.inf

many = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)


def apply(name, ids, scores, encoder_ids, arguments):
    """Apply a rule of the table, with its arguments as `rules_for` prepares them."""
    a = dict(arguments)
    if name.startswith("encoder_"):
        a["source"] = np.repeat(encoder_ids, len(ids) // len(encoder_ids), axis=0)
    function, a = {
        "bad_words": lambda: ("sequence_bias", {"biases": [(word, NEVER) for word in a["words"]]}),
        "forced_bos": lambda: ("forced_tokens", {"tokens": [a["token"]], "length": 1}),
        "forced_eos": lambda: ("forced_tokens", {"tokens": a["tokens"], "length": a["max_length"] - 1}),
        "begin_suppress_tokens": lambda: ("suppress_tokens", {"tokens": a["tokens"], "length": a["begin"]}),
    }.get(name, lambda: (name, a))()
    return getattr(rules, function)(ids, scores, **a)


# Against the reference


@pytest.mark.parametrize("row", TABLE["rows"], ids=lambda row: f"{row['name']} {json.dumps(row['arguments'])}")
def test_a_rule_does_what_the_reference_does_and_leaves_its_input_alone(row):
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


def test_the_table_covers_every_rule_but_those_with_tests_or_examples():
    assert {row["name"] for row in TABLE["rows"]} == {
        "sequence_bias", "encoder_repetition_penalty", "repetition_penalty", "no_repeat_ngram", "bad_words",
        "encoder_no_repeat_ngram", "min_length", "forced_bos", "forced_eos", "suppress_tokens", "renormalize",
        "exponential_decay_length_penalty", "begin_suppress_tokens",
    }  # fmt: skip


# Plain definitions


def zeros(rows, vocab):
    return np.zeros((rows, vocab), np.float32)


def test_ngrams_as_long_as_all_tokens_so_far():
    def forbidden(after):
        return np.flatnonzero(np.isneginf(after[0])).tolist()

    assert forbidden(rules.no_repeat_ngram(np.array([[1, 1]]), zeros(1, 4), 2)) == [1]
    assert forbidden(rules.no_repeat_ngram(np.array([[3]]), zeros(1, 4), 1)) == [3]
    assert forbidden(rules.no_repeat_ngram(np.array([[2, 0]]), zeros(1, 4), 3)) == []
    source = np.array([[2, 0, 2, 3, 1]])
    assert forbidden(rules.encoder_no_repeat_ngram(np.array([[2]]), zeros(1, 4), source, 2)) == [0, 3]


def test_an_infinite_end_is_not_raised():
    scores = np.array([[-np.inf, -2.0]], np.float32)
    after = rules.exponential_decay_length_penalty(np.array([[2, 3, 4]]), scores, 1, 2.0, (0, 1))
    assert after.tolist() == [[-np.inf, 4.0]]  # -2 + 2 * (2^2 - 1)


def ngram_bans(sequence, context, n):
    """The tokens t for which the last n-1 ids of the context and t stand side by side in the sequence."""
    last = context[len(context) - n + 1 :] if n > 1 else []
    if len(last) < n - 1:
        return set()
    return {sequence[i + n - 1] for i in range(len(sequence) - n + 1) if sequence[i : i + n - 1] == last}


@many
@given(st.lists(st.lists(st.integers(0, 3), min_size=7, max_size=7), min_size=1, max_size=3), st.integers(1, 8))
def test_no_repeat_ngram_is_its_definition(rows, n):
    after = rules.no_repeat_ngram(np.array(rows), zeros(len(rows), 4), n)
    for row, banned in zip(rows, np.isneginf(after), strict=True):
        assert set(np.flatnonzero(banned).tolist()) == (ngram_bans(row, row, n) if n <= 7 else set())


@many
@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), min_size=1, max_size=5), st.integers(1, 5))
def test_encoder_no_repeat_ngram_is_its_definition(source, context, n):
    sources = np.array([source], np.int64).reshape(1, -1)
    after = rules.encoder_no_repeat_ngram(np.array([context]), zeros(1, 4), sources, n)
    assert set(np.flatnonzero(np.isneginf(after[0])).tolist()) == ngram_bans(source, context, n)


@many
@given(
    st.dictionaries(st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple), st.integers(-8, 8), max_size=6),
    st.lists(st.integers(0, 3), min_size=1, max_size=4),
)
def test_sequence_bias_is_its_definition(biases, context):
    after = rules.sequence_bias(np.array([context]), zeros(1, 4), list(biases.items()))
    expected = [
        sum(bias for word, bias in biases.items() if (*context, token)[-len(word) :] == word) for token in range(4)
    ]
    assert after.tolist() == [expected]


@many
@given(arrays(np.float32, (3, 5), elements=st.floats(-20, 20, width=32)))
def test_log_softmax_sums_to_one(scores):
    after = rules.log_softmax(scores)
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
    after = rules.prefix_allowed_tokens(ids, zeros(4, 3) + 7, allowed, beams=2)
    assert asked == [(0, [2, 0]), (0, [2, 1]), (1, [2, 2]), (1, [2, 3])]
    assert np.flatnonzero(after[0] == 7).tolist() == [0] and np.flatnonzero(after[3] == 7).tolist() == [1]
    assert (after == NEVER).sum() == 8


def test_an_allowed_list_that_leaves_a_document_nothing_decides_alone():
    scores = np.array([[NEVER, 1.0], [NEVER, 1.0], [NEVER, 1.0], [5.0, 1.0]], np.float32)
    after = rules.prefix_allowed_tokens(np.full((4, 1), 2), scores, lambda document, ids: [0], beams=2)
    assert after.tolist() == [[0.0, NEVER], [0.0, NEVER], [NEVER, NEVER], [5.0, NEVER]]


def test_what_users_functions_return_is_checked():
    ids, scores = np.array([[2, 3]]), zeros(1, 4)
    for tokens in ([], [0, 4], [0, -1], 2, [[0]]):
        said = re.escape(
            f"allows {tokens} after [2, 3] (document 0): let it return one id or more, the end of sequence"
        )
        with pytest.raises(GenerationError, match=f"{said} for example, all from 0 to 3"):
            rules.prefix_allowed_tokens(ids, scores, lambda document, ids, tokens=tokens: tokens, beams=1)
    with pytest.raises(GenerationError, match=r"a logits_processor returned an array of shape \(4,\) and "):
        rules.users_rule(ids, scores, lambda ids, scores: scores[0])


def test_a_users_rule_may_write_into_its_argument():
    def nine(ids, scores):
        scores[:, 1] = 9
        return scores

    scores = zeros(1, 3)
    assert rules.users_rule(np.array([[2]]), scores, nine).tolist() == [[0.0, 9.0, 0.0]]
    assert not scores.any()


# Which rules act, and in which order


def asked_for(call, encoder_ids=((3, 4),), **more):
    """The rules of a call, as pairs of a function's name and its arguments."""
    settings, _ = resolve(call, None, GenerationConfig(**IDS), batch_size=1, vocab_size=50, positions=100)
    return [(rule.func.__name__, rule.keywords) for rule in rules.rules_for(settings, encoder_ids, **more)]


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
        "encoder_no_repeat_ngram", "sequence_bias", "min_length", "prefix_allowed_tokens", "forced_tokens",
        "forced_tokens", "remove_invalid_values", "exponential_decay_length_penalty", "suppress_tokens",
        "suppress_tokens", "users_rule", "renormalize",
    ]  # fmt: skip
    all_rules = asked_for(everything, prefix_allowed_tokens_fn=lambda d, i: [0], users_rules=[lambda i, s: s])
    assert [name for name, _ in all_rules] == order
    assert [list(a["biases"]) for name, a in all_rules if name == "sequence_bias"] == [[((3,), 1.0)], [((5,), NEVER)]]
    assert [list(a["tokens"]) for name, a in all_rules if name.endswith("_tokens") and "tokens" in a] == [
        [0],
        [2],
        [7],
        [8],
    ]
    assert asked_for({}) == []


def test_what_stands_in_front_of_a_prompt_is_not_penalised():
    """As RepetitionPenaltyLogitsProcessor of 5.23.0 with prompt_ignore_length; each beam has its document's."""
    ids, scores = np.array([[1, 2, 0, 0], [1, 2, 0, 0], [1, 2, 0, 2]]), np.float32([[6, -6, 4]] * 3)
    got = rules.repetition_penalty(ids, scores, penalty=2, skipped=np.array([2, 0, 1]))
    assert got.tolist() == [[3, -6, 4], [3, -12, 2], [3, -6, 2]]
    ((_, arguments),) = asked_for({"repetition_penalty": 2.0, "num_beams": 2}, skipped=np.array([3, 1]))
    assert arguments["skipped"].tolist() == [3, 3, 1, 1]


def test_biases_are_added_one_length_at_a_time_and_single_ids_first():
    biases = [[[5, 6, 7], 0.1], [[3], 0.2], [[1, 7], 0.3], [[1, 2, 7], 0.4]]
    ((_, arguments),) = asked_for({"sequence_bias": biases})
    assert [bias for _, bias in arguments["biases"]] == [0.2, 0.1, 0.4, 0.3]


def test_neutral_values_and_missing_ends_ask_for_nothing():
    assert asked_for({"repetition_penalty": 1.0, "encoder_repetition_penalty": 1, "suppress_tokens": []}) == []
    assert asked_for({"eos_token_id": None, "min_length": 5}) == []
    assert asked_for({"bad_words_ids": [[2]]}) == []  # the end of sequence is no bad word
    about_the_source = {"encoder_repetition_penalty": 2.0, "encoder_no_repeat_ngram_size": 3}
    assert asked_for(about_the_source, encoder_ids=None) == []
