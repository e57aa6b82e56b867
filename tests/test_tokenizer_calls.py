"""Whole calls of LEDTokenizer: windows, words, targets, and rows that know where their tokens come from."""

import copy
import inspect
import json
import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

from pyled.errors import InputError, PyledWarning
from pyled.tokenizer import BatchEncoding, LEDTokenizer

GOLDEN = Path(__file__).parent.parent / "golden"
TINY = GOLDEN / "tiny"
CASES = [json.loads(line) for line in (GOLDEN / "tokenizer.jsonl").read_text(encoding="ascii").splitlines()]

PLAIN = LEDTokenizer.from_pretrained(TINY)
UNTRIMMED = LEDTokenizer.from_pretrained(TINY, trim_offsets=False)
CUT_LEFT = LEDTokenizer.from_pretrained(TINY, truncation_side="left")
PREFIXED = LEDTokenizer.from_pretrained(TINY, add_prefix_space=True)
LEFT = LEDTokenizer.from_pretrained(TINY, add_prefix_space=True, padding_side="left", truncation_side="left")

properties = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
texts = st.lists(
    st.sampled_from([" ", "  ", "\n", "'s", "the", " document", "é", "日本", "😀", "<mask>", "</s>"])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    max_size=10,
).map("".join)


def cases(kind):
    return [case for case in CASES if case["kind"] == kind]


def as_stored(value):
    """Tuples as lists, as JSON has them."""
    return json.loads(json.dumps(value))


# Goldens


@pytest.mark.parametrize("case", cases("rows"), ids=lambda case: json.dumps(case["arguments"])[:80])
def test_windows_words_and_where_characters_are_found(case):
    batch = {"plain": PLAIN, "left": LEFT}[case["tokenizer"]](**case["arguments"], verbose=False)
    assert list(batch) == list(case["result"])
    assert as_stored(dict(batch)) == case["result"]
    assert len(batch.encodings) == len(case["rows"])
    for i, row in enumerate(case["rows"]):
        assert batch.tokens(i) == row["tokens"]
        assert batch.word_ids(i) == batch.words(i) == row["word_ids"]
        assert batch.sequence_ids(i) == row["sequence_ids"]
        assert batch.n_sequences == len(row["chars"])
        for sequence, (chars, words) in enumerate(zip(row["chars"], row["words"], strict=True)):
            assert [batch.char_to_token(i, c, sequence) for c in range(len(chars))] == chars
            assert as_stored([batch.word_to_tokens(i, w, sequence) for w in range(len(words))]) == words


@pytest.mark.parametrize("arguments", cases("refused")[0]["arguments"], ids=json.dumps)
def test_what_the_reference_refuses_is_refused(arguments):
    with pytest.raises(InputError):
        PLAIN(**arguments)


@pytest.mark.parametrize("case", cases("pad"), ids=lambda case: json.dumps(case["arguments"]))
def test_pad(case):
    assert dict(PLAIN.pad(case["inputs"], **case["arguments"])) == case["result"]


@pytest.mark.parametrize("case", cases("special"), ids=lambda case: str(case["ids"]))
def test_rows_of_ids_and_the_special_tokens_round_them(case):
    ids, pair = case["ids"]
    assert PLAIN.build_inputs_with_special_tokens(ids, pair) == case["row"]
    assert PLAIN.create_token_type_ids_from_sequences(ids, pair) == case["types"]
    assert PLAIN.get_special_tokens_mask(ids, pair) == case["mask"]
    assert PLAIN.get_special_tokens_mask(ids, already_has_special_tokens=True) == case["mask_of_row"]
    assert PLAIN.num_special_tokens_to_add(pair is not None) == case["count"]
    assert PLAIN.convert_tokens_to_string(PLAIN.convert_ids_to_tokens(ids)) == case["text"]
    assert PLAIN.batch_encode_plus([("a", "b"), "c"], False)["input_ids"] == case["batch"]
    assert PLAIN.tokenize("a b", "c", True, padding="max_length", max_length=9) == case["tokens"]
    assert PLAIN.encode("a", "b", True, "max_length", True, 9, 0, "left", "np").tolist() == case["encoded"]


def test_parameters_have_the_order_of_the_reference():
    """As far as a method passes its further arguments on to the call, the call's order counts."""
    stored = {case["method"]: [name for name in case["parameters"] if name != "kwargs"] for case in cases("names")}
    for method, names in stored.items():
        parameters = inspect.signature(getattr(PLAIN, method)).parameters.values()
        ours = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        if any(p.kind is p.VAR_POSITIONAL for p in parameters):
            ours += [*inspect.signature(PLAIN.__call__).parameters][4:]  # behind texts and targets
        assert ours[: len(names)] == names[: len(ours)], method
        assert len(ours) >= len(names) or method in ("encode", "tokenize"), method


# Windows


@properties
@given(texts, st.integers(3, 9), st.integers(0, 5), st.sampled_from([PLAIN, CUT_LEFT]))
def test_windows_cover_the_text_and_repeat_the_stride(text, length, stride, tokenizer):
    stride = min(stride, length - 3)
    whole = tokenizer(text, add_special_tokens=False)["input_ids"]
    asked = {"truncation": True, "max_length": length, "stride": stride, "return_overflowing_tokens": True}
    rows = tokenizer(text, **asked)["input_ids"]
    assert all(len(row) <= length and [row[0], row[-1]] == [0, 2] for row in rows)
    assert all(len(row) == length for row in rows[:-1])
    parts = [row[1:-1] for row in rows]
    in_order = parts if tokenizer is PLAIN else parts[::-1]
    assert in_order[0] + [i for part in in_order[1:] for i in part[stride:]] == whole
    assert all(part[:stride] == before[len(before) - stride :] for before, part in pairwise(in_order))


def test_a_text_of_a_pair_that_fits_may_be_as_short_as_the_stride():
    """As 4.57.6 answers."""
    asked = {"truncation": True, "max_length": 10, "stride": 2, "return_overflowing_tokens": True}
    second = [[68, 287, 289, 300], [289, 300, 305, 279], [305, 279, 374, 224], [374, 224, 75]]
    assert PLAIN("a b", "a b c d e f g h", **asked)["input_ids"] == [[0, 68, 287, 2, 2, *ids, 2] for ids in second]


def test_without_truncation_or_overflow_there_is_one_row_a_text():
    batch = PLAIN(["a b c", "d"], return_overflowing_tokens=True)
    assert batch["overflow_to_sample_mapping"] == [0, 1]
    cut = {"truncation": True, "max_length": 4, "stride": 1}
    assert PLAIN("a b c", **cut)["input_ids"] == [0, 68, 287, 2]
    assert PLAIN(["a b c"], **cut)["input_ids"] == [[0, 68, 287, 2]]


# Rows


@properties
@given(texts, texts, st.sampled_from([PLAIN, UNTRIMMED, LEFT]), st.sampled_from([0, 60]))
def test_a_row_leads_from_characters_and_words_to_tokens_and_back(first, second, tokenizer, padded):
    """What the methods find is what a search through the lists finds."""
    batch = tokenizer(first, second or "a", padding="max_length", max_length=padded, return_offsets_mapping=True)
    offsets, words, sequences = batch["offset_mapping"], batch.word_ids(), batch.sequence_ids()
    for token, (span, word, sequence) in enumerate(zip(offsets, words, sequences, strict=True)):
        assert batch.token_to_chars(token) == (None if sequence is None else span)
        assert (batch.token_to_word(token), batch.token_to_sequence(token)) == (word, sequence)
    for sequence, text in enumerate((first, second or "a")):
        of_text = [i for i, s in enumerate(sequences) if s == sequence]
        for char in range(len(text) + 1):
            first_token = next((i for i in of_text if offsets[i][0] <= char < offsets[i][1]), None)
            assert batch.char_to_token(0, char, sequence) == first_token
            assert batch.char_to_word(0, char, sequence) == (None if first_token is None else words[first_token])
        for word in range(max([words[i] for i in of_text], default=0) + 2):
            tokens = [i for i in of_text if words[i] == word]
            assert batch.word_to_tokens(0, word, sequence) == ((tokens[0], tokens[-1] + 1) if tokens else None)
            if tokens:
                assert batch.word_to_chars(0, word, sequence) == (offsets[tokens[0]][0], offsets[tokens[-1]][1])


@properties
@given(texts)
def test_words_are_the_whole_text_one_after_the_other(text):
    batch = UNTRIMMED(text, add_special_tokens=False)
    words = batch.word_ids()
    assert sorted(set(words)) == list(range(len(set(words)))) and words == sorted(words)
    assert "".join(text[slice(*batch.word_to_chars(word))] for word in sorted(set(words))) == text


@properties
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=5))
def test_given_words_are_encoded_one_by_one(words):
    batch = PREFIXED(words, is_split_into_words=True)
    ids = [PREFIXED.encode(word, add_special_tokens=False) for word in words]
    assert batch["input_ids"] == [0, *(i for part in ids for i in part), 2]
    assert batch.word_ids() == [None, *(n for n, part in enumerate(ids) for _ in part), None]


def test_what_is_not_asked_for_is_not_computed():
    texts = PLAIN(["a <mask>", "b"])[0].texts
    assert not {"spans", "words", "tokens"} & vars(texts[0]).keys()


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))], ids=["copy", "deepcopy", "pickle"]
)
def test_a_copy_of_an_encoding_knows_its_text(copied):
    batch = PLAIN("It's <mask> é", "b", return_offsets_mapping=True)
    other = copied(batch)
    assert type(other) is BatchEncoding and dict(other) == dict(batch)
    assert other.tokens() == ["<s>", "I", "t", "'s", " <mask>", "Ġ", "Ã", "©", "</s>", "</s>", "b", "</s>"]
    assert other.word_ids() == batch.word_ids() and other[0].offsets == batch["offset_mapping"]


def test_lists_that_are_changed_do_not_change_what_a_row_knows():
    batch = PLAIN("a b", return_offsets_mapping=True)
    for changed in (batch["offset_mapping"], batch.word_ids(), batch.tokens(), batch.sequence_ids(), batch[0].offsets):
        changed[1] = None
    assert (batch.token_to_chars(1), batch.char_to_word(0)) == ((0, 1), 0)
    assert (batch.tokens()[1], batch.sequence_ids()[1], batch.word_ids()[1]) == ("a", 0, 0)


def test_a_pickle_holds_no_vocabulary():
    assert "Ġdocument".encode() not in pickle.dumps(PLAIN("a"))


def test_an_encoding_is_a_mapping_and_a_list_of_rows():
    batch = PLAIN(["a b", "c"])
    assert batch.to("cpu") is batch
    assert [len(row) for row in batch[:]] == [4, 3] and batch[-1].tokens == ["<s>", "c", "</s>"]
    assert batch[np.int64(1)] is batch.encodings[1] and repr(batch[0]) == "Encoding(num_tokens=4, n_sequences=1)"
    assert batch.is_fast and batch.n_sequences == 1
    plain = BatchEncoding({"input_ids": [[0, 2], [0, 3]]})
    assert plain[:1] == {"input_ids": [[0, 2]]}
    assert not plain.is_fast and plain.n_sequences is None
    with pytest.raises(KeyError):
        _ = batch["labels"]


def test_a_row_has_the_masks_of_its_call_and_answers_as_the_batch():
    """The answers are those of tokenizers 0.22, which refuses a negative token."""
    row = PLAIN("a", "b c", padding="max_length", max_length=9)[0]
    assert row.attention_mask == [1, 1, 1, 1, 1, 1, 1, 0, 0]
    assert row.special_tokens_mask == [1, 0, 1, 1, 0, 0, 1, 1, 1] and row.type_ids == [0] * 9
    assert (row.n_sequences, row.word_to_tokens(1, 1), row.char_to_word(2, 1)) == (2, (5, 6), 1)
    assert [row.token_to_word(token) for token in (-4, 0, 5, 8, 9)] == [None, None, 1, None, None]


def test_an_encoding_of_rows_is_made_by_hand():
    assert BatchEncoding({"a": [1, 2]}, tensor_type="np").a.tolist() == [1, 2]
    assert BatchEncoding({"a": [1, 2]}, PLAIN("a")[0]).tokens() == ["<s>", "a", "</s>"]


# The rest of the surface


def test_token_type_ids_where_they_are_among_the_models_inputs():
    tokenizer = LEDTokenizer.from_pretrained(TINY)
    tokenizer.model_input_names = ["input_ids", "token_type_ids"]
    assert dict(tokenizer("a")) == {"input_ids": [0, 68, 2], "token_type_ids": [0, 0, 0]}
    assert PLAIN.model_input_names == ["input_ids", "attention_mask"]


def test_most_tokens_of_a_text():
    tokenizer = LEDTokenizer.from_pretrained(TINY, model_max_length=64)
    assert (tokenizer.max_len_single_sentence, tokenizer.max_len_sentences_pair) == (62, 60)


def test_numbers_of_numpy_are_numbers():
    whole = PLAIN("a b c", truncation=True, max_length=4)
    assert dict(PLAIN("a b c", truncation=True, max_length=np.int64(4))) == dict(whole)
    assert PLAIN.decode(np.array([68])[0]) == PLAIN.decode(np.array(68)) == PLAIN.decode(68) == "a"


def test_pad_puts_all_padding_on_one_side():
    rows = {"input_ids": [[0, 68, 2], [0, 2]], "global_attention_mask": [[1, 0, 0], [1, 0]]}
    for tokenizer in (PLAIN, LEFT):
        assert tokenizer.pad(rows, padding_side="left")["global_attention_mask"] == [[1, 0, 0], [-1, 1, 0]]
        assert tokenizer.pad(rows, padding_side="right")["global_attention_mask"] == [[1, 0, 0], [1, 0, -1]]


def test_pairs_of_words_in_a_list():
    batch = PREFIXED.batch_encode_plus([(["a"], ["b", "c"]), ["a", "b"]], is_split_into_words=True)
    assert batch.sequence_ids(0) == [None, 0, None, None, 1, 1, None]
    assert batch.sequence_ids(1) == [None, 0, 0, None]


def test_not_verbose_is_silent():
    tokenizer = LEDTokenizer.from_pretrained(TINY)
    tokenizer("a b c", max_length=3, verbose=False)
    tokenizer.pad({"input_ids": [0]}, padding="max_length", verbose=False)
    with pytest.warns(PyledWarning, match="without truncation"):
        tokenizer("a b c", max_length=3)


# Refusals


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: PLAIN(), "text and text_target are both missing"),
        (lambda: PLAIN(["a"], is_split_into_words=True), "add_prefix_space=True"),
        (lambda: PREFIXED("a b", is_split_into_words=True), "a list of its words"),
        (lambda: PREFIXED([["a"], "b"], is_split_into_words=True), r"text\[1\] is str"),
        (lambda: PREFIXED(["a", 3], is_split_into_words=True), r"text\[1\] is int"),
        (lambda: PREFIXED([["a", 3]], is_split_into_words=True), r"text\[0\]\[1\] is int"),
        (lambda: PLAIN("a", stride=-1), "stride is -1"),
        (lambda: PLAIN("a", padding_side="up"), "padding_side is 'up'"),
        (lambda: PLAIN("a b c", truncation=True, max_length=4, stride=2), "room for 2 tokens"),
        (lambda: PLAIN("a", truncation=True, max_length=4, stride=3), "stride 3 is more"),
        (lambda: PLAIN("a", truncation=True, max_length=2, stride=1), "stride 1 is more"),
        (lambda: PLAIN("a", truncation=True, max_length=2, return_overflowing_tokens=True), "room for 0 tokens"),
        (lambda: PLAIN("a", return_tensors="pt"), "torch.from_numpy"),
        (lambda: PLAIN.encode_plus(["a", "b"]), "one text was expected"),
        (lambda: PLAIN.tokenize(["a", "b"]), "one text was expected"),
        (lambda: PLAIN.batch_encode_plus("a"), "a list of texts was expected"),
        (lambda: PLAIN("a").char_to_token(-1), "index -1"),
        (lambda: PLAIN.get_special_tokens_mask([0], [2], True), "one list"),
        (lambda: PLAIN("a").token_to_word(0.5), "index 0.5"),
        (lambda: PLAIN("a").char_to_token(1, 0), "row 1 of 1"),
        (lambda: PLAIN("a")[1], "row 1 of 1"),
        (lambda: PLAIN("a").char_to_token(0, 0, 1), "sequence_index is 1: the row has 1"),
        (lambda: PLAIN("a").word_to_chars(1), "word 1 has no token"),
        (lambda: PLAIN("a").to("cuda"), r"to\('cuda'\): pyled runs on the CPU"),
        (lambda: PLAIN([]).tokens(), "no rows"),
        (lambda: PLAIN.pad({"input_ids": [0]}).word_ids(), "no rows"),
        (lambda: BatchEncoding({"input_ids": [0]})[0], "no rows"),
    ],
)
def test_mistakes_are_refused(ask, message):
    with pytest.raises(InputError, match=message):
        ask()
