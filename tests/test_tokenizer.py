"""LEDTokenizer against the stored answers of transformers 4.57.6, and what holds for every text."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from examples import EXAMPLES
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import pyled
from pyled.errors import InputError, PyledWarning, TokenizerError
from pyled.tokenizer import AddedToken, BatchEncoding, LEDTokenizer, LEDTokenizerFast

GOLDEN = Path(__file__).parent.parent / "golden"
TINY = GOLDEN / "tiny"
CASES = [json.loads(line) for line in (GOLDEN / "tokenizer.jsonl").read_text(encoding="ascii").splitlines()]
SPECIAL = ["<s>", "</s>", "<pad>", "<unk>", "<mask>"]

PLAIN = LEDTokenizer.from_pretrained(TINY)
PREFIXED = LEDTokenizer.from_pretrained(TINY, add_prefix_space=True)
UNTRIMMED = LEDTokenizer.from_pretrained(TINY, trim_offsets=False)
LEFT = LEDTokenizer.from_pretrained(TINY, add_prefix_space=True, padding_side="left", truncation_side="left")

properties = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
anything = st.text(st.characters(exclude_categories=["Cs"]))
pieces = st.sampled_from([*SPECIAL, " ", "  ", "\n", "\u3000", "'s", "the", " document", "7", "é", "日本", "😀", "^^"])
hostile = st.lists(pieces | anything, max_size=8).map("".join)


def cases(kind):
    return [case for case in CASES if case["kind"] == kind]


def as_stored(value):
    """Tuples as lists, as JSON has them."""
    return json.loads(json.dumps(value))


# Goldens


@pytest.mark.parametrize("case", cases("text"), ids=lambda case: repr(case["text"][:30]))
def test_ids_offsets_tokens_and_decoding_of_a_text(case):
    text = case["text"]
    plain, prefixed, untrimmed = (t(text, return_offsets_mapping=True) for t in (PLAIN, PREFIXED, UNTRIMMED))
    assert plain["input_ids"] == case["ids"]
    assert as_stored(plain["offset_mapping"]) == case["offsets"]
    assert as_stored(untrimmed["offset_mapping"]) == case["untrimmed"]
    assert PLAIN.tokenize(text) == case["tokens"]
    assert [PLAIN.decode(case["ids"], skip_special_tokens=skip) for skip in (False, True)] == case["decoded"]
    assert prefixed["input_ids"] == case["prefixed"]["ids"]
    assert as_stored(prefixed["offset_mapping"]) == case["prefixed"]["offsets"]


@pytest.mark.parametrize("case", cases("call"), ids=lambda case: json.dumps(case["arguments"])[:80])
def test_padding_truncation_and_pairs(case):
    tokenizer = {"plain": PLAIN, "left": LEFT}[case["tokenizer"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyledWarning)
        result = tokenizer(**case["arguments"])
    assert list(result) == list(case["result"])
    assert as_stored(dict(result)) == case["result"]


@pytest.mark.parametrize("case", cases("decode"), ids=lambda case: str(case["ids"])[:40])
def test_decoding_of_any_ids(case):
    ids = case["ids"]
    for row in (ids, np.array(ids)):
        assert [PLAIN.decode(row, skip_special_tokens=skip) for skip in (False, True)] == case["decoded"]
        assert PLAIN.convert_ids_to_tokens(row) == case["tokens"]
    assert PLAIN.decode(ids, clean_up_tokenization_spaces=True) == case["clean"]
    assert PLAIN.batch_decode([ids, []], skip_special_tokens=True) == [case["decoded"][1], ""]


# What holds for every text


@properties
@given(anything)
def test_decode_undoes_encode(text):
    assume(not any(token in text for token in SPECIAL))
    assert PLAIN.decode(PLAIN.encode(text, add_special_tokens=False)) == text
    assert PLAIN.decode(PLAIN.encode(text), skip_special_tokens=True) == text


@properties
@given(hostile)
def test_decode_undoes_encode_where_special_tokens_are_plain_text(text):
    ids = PLAIN(text, split_special_tokens=True)["input_ids"]
    assert not set(ids[1:-1]) & set(PLAIN.all_special_ids)
    assert PLAIN.decode(ids[1:-1]) == text


@properties
@given(st.lists(hostile, min_size=1, max_size=4))
def test_a_batch_is_its_texts(texts):
    batch = PLAIN(texts, return_offsets_mapping=True)
    for i, text in enumerate(texts):
        alone = PLAIN(text, return_offsets_mapping=True)
        assert {name: rows[i] for name, rows in batch.items()} == dict(alone)


@properties
@given(hostile)
def test_untrimmed_offsets_follow_one_another_and_cover_the_text(text):
    offsets = UNTRIMMED(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    reached = 0
    for start, stop in offsets:
        assert start <= reached <= stop and start < stop  # tokens that share a character share its span
        reached = stop
    assert reached == len(text)


@properties
@given(hostile, st.integers(2, 12))
def test_truncation_keeps_the_start_and_both_ends(text, length):
    whole, cut = PLAIN(text)["input_ids"], PLAIN(text, truncation=True, max_length=length)["input_ids"]
    assert cut == whole if len(whole) <= length else cut == [*whole[: length - 1], PLAIN.sep_token_id]


# The surface


def test_the_class_by_other_names():
    assert LEDTokenizerFast is pyled.AutoTokenizer is LEDTokenizer


def test_names_and_ids_of_special_tokens():
    assert [PLAIN.bos_token, PLAIN.pad_token, PLAIN.eos_token, PLAIN.unk_token, PLAIN.mask_token] == [
        "<s>", "<pad>", "</s>", "<unk>", "<mask>",
    ]  # fmt: skip
    assert [PLAIN.bos_token_id, PLAIN.pad_token_id, PLAIN.eos_token_id, PLAIN.unk_token_id] == [0, 1, 2, 3]
    assert [PLAIN.cls_token_id, PLAIN.sep_token_id, PLAIN.mask_token_id] == [0, 2, 599]
    assert PLAIN.all_special_ids == [0, 2, 3, 1, 599]
    assert PLAIN.special_tokens_map["mask_token"] == "<mask>"


def test_the_vocabulary():
    stored = json.loads((TINY / "vocab.json").read_text(encoding="utf-8"))
    assert PLAIN.get_vocab() == stored
    assert PLAIN.vocab_size == len(PLAIN) == 600
    assert PLAIN.convert_tokens_to_ids("Ġdocument") == stored["Ġdocument"]
    assert PLAIN.convert_tokens_to_ids(["a", "no such token"]) == [stored["a"], 3]
    assert PLAIN.convert_ids_to_tokens(stored["Ġdocument"]) == "Ġdocument"
    assert PLAIN.convert_ids_to_tokens([0, stored["a"], 2], skip_special_tokens=True) == ["a"]


def test_arrays():
    one = PLAIN("a b", return_tensors="np")
    assert one["input_ids"].shape == one["attention_mask"].shape == (1, 4)
    assert one["input_ids"].dtype == np.int64
    several = PLAIN(["a", "a b c"], padding=True, return_tensors="np", return_offsets_mapping=True)
    assert several["input_ids"].shape == (2, 5)
    assert several["offset_mapping"].shape == (2, 5, 2)
    assert several["attention_mask"].sum(axis=1).tolist() == [3, 5]
    ragged = PLAIN(["a", "a b c"], return_tensors="np")["input_ids"]
    assert ragged.dtype == object and [len(row) for row in ragged] == [3, 5]
    assert PLAIN.encode("a", return_tensors="np").tolist() == [PLAIN.encode("a")]


def test_an_encoding_is_reached_by_key_attribute_and_as_arguments():
    encoding = PLAIN("a")
    assert isinstance(encoding, BatchEncoding)
    assert encoding.input_ids is encoding["input_ids"]
    assert dict(**encoding) == {"input_ids": encoding.input_ids, "attention_mask": [1, 1, 1]}
    with pytest.raises(AttributeError, match="labels"):
        _ = encoding.labels


def test_no_texts_are_no_rows():
    assert dict(PLAIN([])) == {"input_ids": [], "attention_mask": []}
    assert dict(PLAIN([], padding=True)) == {"input_ids": [], "attention_mask": []}


def test_pad_fills_the_global_attention_mask_with_minus_one():  # the case of transformers' own test of LED
    ids = [PLAIN.encode("A long document."), PLAIN.encode("A")]
    n, m = map(len, ids)
    encoded = {"input_ids": ids, "global_attention_mask": [[0] * n, [0] * m]}
    padded = PLAIN.pad(encoded)
    assert padded["global_attention_mask"] == [[0] * n, [0] * m + [-1] * (n - m)]
    assert padded["attention_mask"] == [[1] * n, [1] * m + [0] * (n - m)]
    assert padded["input_ids"][1] == ids[1] + [1] * (n - m)
    assert encoded["global_attention_mask"][1] == [0] * m, "what was passed in has changed"
    left = LEFT.pad([{"input_ids": row, "global_attention_mask": [1] * len(row)} for row in ids])
    assert left["global_attention_mask"][1] == [-1] * (n - m) + [1] * m


def test_pad_without_attention_mask_leaves_the_global_one():
    rows = {"input_ids": [[0, 2], [0, 9, 2]], "global_attention_mask": [[1, 0], [1, 0, 0]]}
    padded = PLAIN.pad(rows, return_attention_mask=False)
    assert dict(padded) == {"input_ids": [[0, 2, 1], [0, 9, 2]], "global_attention_mask": [[1, 0], [1, 0, 0]]}


def test_pad_of_one_row_of_arrays_and_to_a_multiple():
    assert PLAIN.pad({"input_ids": [0, 9, 2]}, pad_to_multiple_of=4)["attention_mask"] == [1, 1, 1, 0]
    padded = PLAIN.pad({"input_ids": np.array([[0, 9, 2]])}, padding="max_length", max_length=5)
    assert padded["input_ids"].tolist() == [[0, 9, 2, 1, 1]]
    assert PLAIN.pad({"input_ids": []}, return_attention_mask=True)["attention_mask"] == []
    assert PLAIN.pad({"input_ids": [[0, 2], [0, 9, 2]]}, padding=False)["input_ids"] == [[0, 2], [0, 9, 2]]


def test_added_tokens_have_ids_after_the_vocabulary():
    tokenizer = LEDTokenizer(
        TINY / "vocab.json", TINY / "merges.txt", mask_token="[M]", additional_special_tokens=["<doc-sep>"]
    )
    assert (tokenizer.mask_token_id, tokenizer.convert_tokens_to_ids("<doc-sep>")) == (600, 601)
    assert (tokenizer.vocab_size, len(tokenizer)) == (600, 602)
    assert tokenizer.encode("<doc-sep>  [M]", add_special_tokens=False) == [601, 600]
    assert tokenizer.decode([601, 36, 600], skip_special_tokens=True) == tokenizer.decode([36])


def test_a_special_token_given_whole_keeps_its_flags():
    mask = AddedToken("<mask>", rstrip=True)
    tokenizer = LEDTokenizer.from_pretrained(TINY, mask_token=mask)
    assert tokenizer.tokenize(" <mask> a") == ["Ġ", "<mask> ", "a"]


def test_of_added_tokens_that_begin_alike_the_longest():
    tokenizer = LEDTokenizer.from_pretrained(TINY, additional_special_tokens=["##", "###", "##a"])
    assert tokenizer.tokenize("###a##a##") == ["###", "a", "##a", "##"]


def test_added_tokens_that_are_not_special_are_found_where_special_ones_are_text():
    tokenizer = LEDTokenizer(TINY / "vocab.json", TINY / "merges.txt", added_tokens_decoder={600: AddedToken("[new]")})
    ids = tokenizer("a[new]</s>", split_special_tokens=True)["input_ids"]
    assert ids.count(600) == 1 and ids.count(PLAIN.eos_token_id) == 1


def test_single_words_at_the_edges_of_a_text():
    tokenizer = LEDTokenizer(
        TINY / "vocab.json", TINY / "merges.txt", added_tokens_decoder={600: AddedToken("cat", single_word=True)}
    )
    for text, count in (("cat", 1), ("cat a", 1), ("a cat", 1), ("cats", 0), ("a scat", 0), ("cat, cat", 2)):
        assert tokenizer.encode(text).count(600) == count, text


# Warnings and refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_length": 3}, "without truncation"),
        ({"max_length": 3, "padding": True}, "changes nothing"),
        ({"padding": "max_length"}, "pads nothing"),
        ({"truncation": True}, "cuts nothing"),
    ],
)
def test_what_is_assumed_is_said_once(arguments, message):
    tokenizer = LEDTokenizer.from_pretrained(TINY)
    with pytest.warns(PyledWarning, match=message):
        tokenizer("a b c", **arguments)
    tokenizer("a b c", **arguments)


def test_a_text_longer_than_the_model_is_reported():
    tokenizer = LEDTokenizer.from_pretrained(TINY, model_max_length=4)
    with pytest.warns(PyledWarning, match="more tokens than the model takes, 4"):
        assert len(tokenizer("a b c")["input_ids"]) == 5
    assert len(tokenizer("a b c", truncation=True)["input_ids"]) == 4
    assert len(tokenizer("a", padding="max_length")["input_ids"]) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ab\ud800c", r"text: character 2 is U\+D800"),
        ("\udfff", r"text: character 0 is U\+DFFF"),
        (["a", "é\udc00"], r"text\[1\]: character 1 is U\+DC00"),
        ("\ud83d\ude00", r"text: character 0 is U\+D83D"),
    ],
)
def test_half_a_surrogate_pair_is_refused_with_its_place(text, message):
    with pytest.raises(TokenizerError, match=message):
        PLAIN(text)


@pytest.mark.parametrize("text", [None, b"a", 3, ["a", None], [b"a"], [["a"]], [["a", 3]], {"a": 1}])
def test_what_is_no_text_is_refused(text):
    with pytest.raises(InputError, match="pass a string"):
        PLAIN(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text_pair": ["b"]}, "text_pair is list"),
        ({"text_pair": 3}, "text_pair is int"),
        ({"text": ["a", "b"], "text_pair": ["c"]}, "a list of 2 texts and text_pair is 1 texts"),
        ({"text": ["a", "b"], "text_pair": "c"}, "text_pair is str"),
        ({"text": ["a"], "text_pair": [None]}, r"text_pair\[0\] is NoneType"),
        ({"padding": "longst"}, "padding='longst'"),
        ({"padding": None}, "padding is None"),
        ({"truncation": "first"}, "truncation='first'"),
        ({"truncation": True, "max_length": -1}, "max_length is -1"),
        ({"truncation": True, "max_length": True}, "max_length is True"),
        ({"truncation": True, "max_length": 1}, "less than the 2 special tokens"),
        ({"text_pair": "b", "truncation": True, "max_length": 3}, "less than the 4 special tokens"),
        ({"text": "a b c", "truncation": "only_second", "max_length": 4}, "needs a text_pair"),
        ({"text_pair": "b c d e f", "truncation": "only_first", "max_length": 6}, "leaves no token"),
        ({"text": "a b c d", "text_pair": "b", "truncation": "only_second", "max_length": 8}, "leaves no token"),
        ({"padding": True, "pad_to_multiple_of": 0}, "pad_to_multiple_of is 0"),
        (
            {"padding": True, "truncation": True, "max_length": 9, "pad_to_multiple_of": 4},
            "max_length 9 must be a multiple of pad_to_multiple_of 4",
        ),
        ({"return_tensors": "pt"}, "return_tensors='pt'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        PLAIN(**{"text": "a", **arguments})


@pytest.mark.parametrize("ids", [[-100, 5], -1, np.array([3, -1])])
def test_negative_ids_are_refused(ids):
    with pytest.raises(TokenizerError, match="is no id"):
        PLAIN.decode(ids)


@pytest.mark.parametrize("ids", [[1.5], "12", [[0, 2]], None, np.array([[0, 2]]), np.array([0.5])])
def test_what_is_no_row_of_ids_is_refused(ids):
    with pytest.raises(InputError, match="a row of ids"):
        PLAIN.decode(ids)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"attention_mask": [1]}, "no input_ids"),
        ([], "no input_ids"),
        ([{"input_ids": [0]}, {"labels": [0]}], "differ in their keys"),
        ({"input_ids": [[0], [0, 1]], "attention_mask": [[1]]}, "different numbers of rows"),
        ({"input_ids": 3}, "input_ids is int"),
        ({"input_ids": [[0], 3]}, "rows in some places"),
        ({"input_ids": [[0], [2]], "attention_mask": [1, 1]}, "attention_mask to pad has rows in some places"),
    ],
)
def test_what_cannot_be_padded_is_refused(inputs, message):
    with pytest.raises(InputError, match=message):
        PLAIN.pad(inputs)


def test_encode_takes_one_text():
    with pytest.raises(InputError, match="call the tokenizer for a list"):
        PLAIN.encode(["a"])
