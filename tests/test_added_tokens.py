"""Tokens that are added, roles that are set, and what is saved of them: as in transformers 4.57.6."""

import copy
import json
import pickle
import re
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

from pyled.errors import InputError, PyledError, TokenizerError
from pyled.tokenizer import AddedToken, LEDTokenizer

GOLDEN = Path(__file__).parent.parent / "golden"
TINY = GOLDEN / "tiny"
STORED = (GOLDEN / "tokenizer_files.jsonl").read_text(encoding="ascii").splitlines()
CASES = [json.loads(line) for line in STORED]


@pytest.fixture
def tokenizer():
    return LEDTokenizer.from_pretrained(TINY)


# What the reference answers


def directory_of(case, place):
    """The directory of a stored case, as golden/tokenizer_files.py makes it."""
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(TINY / name, place)
    files = dict(case["files"])
    if case["whole"] is not None:
        LEDTokenizer.from_pretrained(TINY).save_pretrained(place / "whole")
        content = json.loads((place / "whole" / "tokenizer.json").read_text(encoding="utf-8"))
        if case["whole"].get("merges") == "strings":
            content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
        files["tokenizer.json"] = content | {key: value for key, value in case["whole"].items() if key != "merges"}
    for name, stated in files.items():
        (place / name).write_text(json.dumps(stated), encoding="utf-8")
    return place


def as_tokens(value):
    if isinstance(value, list):
        return [as_tokens(item) for item in value]
    if isinstance(value, dict) and "content" in value:
        return AddedToken(**value)
    return {key: as_tokens(item) for key, item in value.items()} if isinstance(value, dict) else value


def changed(tokenizer, changes):
    returned = []
    for name, argument, option in changes:
        if option is None:
            setattr(tokenizer, name, as_tokens(argument))
        else:
            returned.append(getattr(tokenizer, name)(as_tokens(argument), option))
    return returned


def flagged(tokenizer):
    tokens = {str(number): asdict(token) for number, token in tokenizer.added_tokens_decoder.items()}
    return {i: sorted(v if k == "content" else k for k, v in token.items() if v) for i, token in tokens.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: json.dumps([case["files"], case["changes"]])[:60])
def test_it_answers_as_the_reference(case, tmp_path):
    if "error" in case:
        with pytest.raises(TokenizerError):
            LEDTokenizer.from_pretrained(directory_of(case, tmp_path))
        return
    tokenizer = LEDTokenizer.from_pretrained(directory_of(case, tmp_path))
    assert changed(tokenizer, case["changes"]) == case["returned"]
    assert flagged(tokenizer) == {number: sorted(words) for number, words in case["added"].items()}
    for text, (ids, offsets, *plain) in zip(case["texts"], case["rows"], strict=True):
        encoded = tokenizer(text, return_offsets_mapping=True)
        assert encoded["input_ids"] == ids
        assert list(map(list, encoded["offset_mapping"])) == offsets
        assert tokenizer.encode(text, split_special_tokens=True) == (plain[0] if plain else ids)
    assert tokenizer.batch_decode([row[0] for row in case["rows"]], skip_special_tokens=True) == case["decoded"]
    assert [tokenizer.all_special_tokens, tokenizer.all_special_ids] == case["special"]
    assert [tokenizer.vocab_size, len(tokenizer)] == case["sizes"]
    assert [str(tokenizer.model_max_length), [tokenizer.padding_side, tokenizer.truncation_side]] == [
        case["limit"],
        case["sides"],
    ]


# Adding


def test_what_is_counted(tokenizer):
    """New tokens, and new flags: 4.57.6 returns 5 for these seven, and `<mask>` has lost its lstrip then."""
    tokens = ["the", "<q>", "<q>", AddedToken("<q>", lstrip=True), "<mask>", "", AddedToken("<s>")]
    assert tokenizer.add_tokens(tokens) == 5
    assert (len(tokenizer), tokenizer.vocab_size) == (602, 600)
    assert tokenizer.convert_tokens_to_ids(["the", "<q>", "<mask>"]) == [600, 601, 599]
    assert tokenizer.added_tokens_decoder[601] == AddedToken("<q>", lstrip=True)
    assert not tokenizer.added_tokens_decoder[599].lstrip
    assert tokenizer.add_tokens("the") == 0
    assert tokenizer.get_added_vocab()["<q>"] == tokenizer.added_tokens_encoder["<q>"] == tokenizer.vocab["<q>"] == 601


def test_tables_made_before_grow_with_the_vocabulary(tokenizer):
    text = "a [one] of [two]"
    before = tokenizer(text, return_offsets_mapping=True)["input_ids"]
    assert tokenizer.decode(before, skip_special_tokens=True) == text
    tokenizer.add_tokens(["[one]"])
    tokenizer.add_tokens([AddedToken("[two]", lstrip=True)], special_tokens=True)
    encoded = tokenizer(text, return_offsets_mapping=True)
    assert (encoded["input_ids"][3], encoded["input_ids"][-2]) == (600, 601)
    assert (encoded["offset_mapping"][3], encoded["offset_mapping"][-2]) == ((2, 7), (11, 16))
    assert tokenizer.decode(encoded["input_ids"], skip_special_tokens=True) == "a [one] of"
    assert tokenizer.convert_ids_to_tokens([600, 601, 602]) == ["[one]", "[two]", None]


def test_a_special_token_is_not_normalized_unless_it_says_so(tokenizer):
    """The tokens that are not are looked for first: "ab" is found before the longer "abc"."""
    assert AddedToken("x").normalized and not AddedToken("x", special=True).normalized
    tokenizer.add_tokens([AddedToken("ab"), AddedToken("bd", normalized=True)], special_tokens=True)
    tokenizer.add_tokens(["abc", "bde"])
    assert tokenizer.tokenize("abc") == ["ab", "c"]
    assert tokenizer.tokenize("bde") == ["bde"]


def test_what_was_special_once_stays_so_in_texts(tokenizer):
    tokenizer.add_tokens("</s>")
    assert not tokenizer.added_tokens_decoder[2].special
    assert tokenizer.decode(tokenizer.encode("a"), skip_special_tokens=True) == "a"
    assert 2 not in tokenizer.encode("</s>", split_special_tokens=True, add_special_tokens=False)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("x the", ["x ", " the"]), ("x\n\n", ["x\n\n", "\n", "\n"]), ("x \n", ["x \n", "\n"])],
)
def test_white_space_that_one_token_takes_along_may_be_anothers(text, tokens, tokenizer):
    """As the reference does: asked on these texts."""
    tokenizer.add_tokens([AddedToken("x", rstrip=True), " the", "\n"])
    assert tokenizer.tokenize(text) == tokens


@pytest.mark.parametrize(("text", "tokens"), [("x the", ["x ", "the"]), ("x\n", ["x\n"]), ("x  the", ["x  ", "the"])])
def test_with_lstrip_only_what_is_left_of_it(text, tokens, tokenizer):
    tokenizer.add_tokens([AddedToken("x", rstrip=True), AddedToken(" the", lstrip=True), AddedToken("\n", lstrip=True)])
    assert tokenizer.tokenize(text) == tokens
    assert "".join(tokenizer.tokenize(f"{text}\n\na")).endswith("a")  # where the reference panics


CONTENTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)


@settings(max_examples=EXAMPLES, derandomize=True, deadline=None)
@given(contents=st.lists(CONTENTS, min_size=1, max_size=6, unique=True))
def test_each_added_token_is_one_token(contents):
    tokenizer = LEDTokenizer.from_pretrained(TINY)
    there = set(tokenizer.get_vocab())
    n = len(tokenizer)
    tokenizer.add_tokens(contents)
    assert len(tokenizer) == n + len(set(contents) - there)
    for content in contents:
        ids = tokenizer.encode(content, add_special_tokens=False)
        assert ids == [tokenizer.convert_tokens_to_ids(content)]
        assert tokenizer.convert_ids_to_tokens(ids) == [content]


@pytest.mark.parametrize("tokens", [[3], [None], 3.5, [["a"]], {"a": 1}.items()])
def test_what_is_no_token_is_not_added(tokens, tokenizer):
    with pytest.raises(TokenizerError, match="new_tokens"):
        tokenizer.add_tokens(tokens)
    assert len(tokenizer) == 600


# Roles


def test_a_role_is_set_without_adding_to_the_vocabulary(tokenizer):
    tokenizer.pad_token = "[PAD]"
    assert (tokenizer.pad_token, tokenizer.pad_token_id, len(tokenizer)) == ("[PAD]", tokenizer.unk_token_id, 600)
    tokenizer.pad_token_id = 599
    assert (tokenizer.pad_token, tokenizer.special_tokens_map["pad_token"]) == ("<mask>", "<mask>")
    tokenizer.pad_token = tokenizer.unk_token = None
    assert tokenizer.pad_token is None and tokenizer.pad_token_id is None
    assert "pad_token" not in tokenizer.special_tokens_map
    assert tokenizer.convert_tokens_to_ids(["nowhere", "a"]) == [None, 68]
    assert tokenizer.all_special_tokens == ["<s>", "</s>", "<mask>"]


def test_roles_that_are_added(tokenizer):
    assert tokenizer.add_special_tokens({"pad_token": "[PAD]", "additional_special_tokens": ["<a>", "<b>"]}) == 3
    assert (tokenizer.pad_token_id, tokenizer.additional_special_tokens) == (600, ["<a>", "<b>"])
    assert tokenizer.added_tokens_decoder[601] == AddedToken("<a>", special=True)
    assert tokenizer("a", padding="max_length", max_length=4)["input_ids"][-1] == 600
    extended = {"additional_special_tokens": ["<b>", "<c>"]}
    assert tokenizer.add_special_tokens(extended, replace_additional_special_tokens=False) == 1
    assert tokenizer.additional_special_tokens == ["<a>", "<b>", "<c>"]
    assert tokenizer.additional_special_tokens_ids == [601, 602, 603]
    assert tokenizer.add_special_tokens({"additional_special_tokens": ["<c>"]}) == 0
    assert tokenizer.additional_special_tokens == ["<c>"]
    assert tokenizer.add_special_tokens({"additional_special_tokens": []}) == 0
    assert tokenizer.all_special_tokens == ["<s>", "</s>", "<unk>", "[PAD]", "<mask>", "<c>"]
    assert tokenizer.decode([601, 68], skip_special_tokens=True) == "a"  # <a> has no role any more, but is special


def test_a_text_stays_between_the_tokens_it_was_made_with(tokenizer):
    ids = tokenizer.encode("a", "b")
    tokenizer.cls_token, tokenizer.sep_token = "<mask>", "<unk>"
    assert tokenizer.encode("a", "b") == ids
    assert tokenizer.tokenize("a", add_special_tokens=True) == ["<s>", "a", "</s>"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.add_special_tokens({"pad": "x"}), "'pad' is no role of a token: bos_token, .*additional"),
        (lambda t: t.add_special_tokens({"pad_token": 3}), "pad_token: 3 is no token"),
        (lambda t: t.add_special_tokens({"additional_special_tokens": "<a>"}), "a list of tokens was expected"),
        (lambda t: setattr(t, "pad_token", 3), "pad_token: 3 is no token"),
        (lambda t: setattr(t, "additional_special_tokens", "<a>"), "a list of tokens was expected"),
        (lambda t: setattr(t, "additional_special_tokens", [None]), "None is no token"),
    ],
)
def test_what_is_no_role_is_refused(change, message, tokenizer):
    with pytest.raises(TokenizerError, match=message):
        change(tokenizer)


def test_roles_that_are_refused_change_nothing(tokenizer):
    with pytest.raises(TokenizerError, match="'bogus' is no role"):
        tokenizer.add_special_tokens({"pad_token": "[PAD]", "additional_special_tokens": ["<a>"], "bogus": "x"})
    assert (tokenizer.pad_token, tokenizer.additional_special_tokens, len(tokenizer)) == ("<pad>", [], 600)


@pytest.mark.parametrize(
    ("arguments", "flags", "message"),
    [
        ([3], {}, "content is int"),
        ([""], {}, "a token needs at least one character"),
        (["\ud800"], {}, r"content: character 0 is U\+D800"),
        (["a"], {"normalized": 1}, "normalized is 1, but a flag"),
        (["a"], {"lstrip": []}, r"lstrip is \[\], but a flag"),
        (["a"], {"special": None}, "special is None, but a flag"),
    ],
)
def test_what_is_no_added_token_is_refused(arguments, flags, message):
    with pytest.raises(PyledError, match=message):
        AddedToken(*arguments, **flags)


@pytest.mark.parametrize("add", [lambda t: t.add_tokens("\ud800"), lambda t: setattr(t, "bos_token", "\ud800")])
def test_a_token_without_bytes_is_refused_and_spoils_nothing(add, tokenizer):
    with pytest.raises(TokenizerError, match="U\\+D800"):
        add(tokenizer)
    assert tokenizer.decode(tokenizer("it is").input_ids, skip_special_tokens=True) == "it is"


def test_a_single_word_may_end_where_an_added_token_begins(tokenizer):
    """As 4.57.6 answers: what counts is the piece of text, not the whole."""
    tokenizer.add_tokens([AddedToken("cat", single_word=True)])
    tokenizer.add_tokens(["abc"], special_tokens=True)
    assert tokenizer.tokenize("catabc") == ["cat", "abc"]


def test_an_added_token_that_begins_with_the_symbol_of_a_space(tokenizer):
    """Its offsets leave the symbol out, as 4.57.6 answers."""
    tokenizer.add_tokens("\u0120x")
    encoded = tokenizer("\u0120x a", add_special_tokens=False, return_offsets_mapping=True)
    assert encoded.offset_mapping == [(1, 2), (3, 4)]


@pytest.mark.parametrize(
    ("name", "value"), [("padding_side", "up"), ("truncation_side", ["left"]), ("model_max_length", "8")]
)
def test_an_option_that_is_set_wrong_is_told_at_once(name, value, tokenizer):
    with pytest.raises(InputError, match=re.escape(f"{name} is {value!r}")):
        setattr(tokenizer, name, value)


def test_padding_needs_a_token(tokenizer):
    tokenizer.pad_token, tokenizer.unk_token = "[PAD]", None
    with pytest.raises(InputError, match=r"pad_token is '\[PAD\]': set tokenizer"):
        tokenizer("a", padding=True)
    tokenizer.pad_token = None
    assert tokenizer(["a", "b c"]).input_ids == [[0, 68, 2], [0, 69, 289, 2]]
    for pad in (lambda: tokenizer("a", padding=True), lambda: tokenizer.pad({"input_ids": [68]})):
        with pytest.raises(InputError, match="pad_token is None: set tokenizer"):
            pad()


# Copies and files


def test_a_copy_does_not_carry_the_words_met(tokenizer):
    tokenizer("a")
    empty = len(pickle.dumps(tokenizer))
    tokenizer(" ".join(map(str, range(1000))))
    assert len(pickle.dumps(tokenizer)) == empty


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_a_copy_is_one_of_its_own(copied, tokenizer):
    tokenizer.add_tokens(AddedToken("<a>", lstrip=True))
    encoded = tokenizer("it is <a>", return_offsets_mapping=True)
    other = copied(tokenizer)
    assert other("it is <a>", return_offsets_mapping=True) == encoded
    assert other.add_special_tokens({"pad_token": "<b>"}) == 1
    assert (len(other), len(tokenizer), tokenizer.pad_token) == (602, 601, "<pad>")
    assert 601 not in tokenizer.encode("<b>", return_offsets_mapping=True)
    assert tokenizer.decode([601]) == ""


FLAGS = st.fixed_dictionaries(
    {}, optional={name: st.booleans() for name in ("single_word", "lstrip", "rstrip", "normalized")}
)
NEW = st.builds(lambda content, flags: AddedToken(content, **flags), CONTENTS, FLAGS) | CONTENTS


@settings(max_examples=EXAMPLES, derandomize=True, deadline=None)
@given(
    batches=st.lists(st.tuples(st.lists(NEW, max_size=3), st.booleans()), max_size=3),
    role=st.sampled_from(["additional_special_tokens", "pad_token", "bos_token"]),
    special=NEW,
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    flags=st.fixed_dictionaries({"add_prefix_space": st.booleans(), "trim_offsets": st.booleans()}),
    legacy=st.sampled_from([None, True, False]),
)
def test_what_is_saved_is_loaded(tmp_path_factory, batches, role, special, text, flags, legacy):
    """All that is added once: what is changed afterwards is looked for in its first round until it is saved."""
    tokenizer = LEDTokenizer.from_pretrained(TINY, **flags, model_max_length=9999)
    seen = set(tokenizer.get_vocab())
    for tokens, are_special in [*batches, ([special], True)]:
        new = [token for token in {str(token): token for token in tokens}.values() if str(token) not in seen]
        seen |= set(map(str, new))
        if new == [special]:
            tokenizer.add_special_tokens({role: new if role.startswith("additional") else special})
        else:
            tokenizer.add_tokens(new, special_tokens=are_special)
    text = text.join([*sorted(tokenizer.get_added_vocab()), " "])
    place = tmp_path_factory.mktemp("saved")
    tokenizer.save_pretrained(place, legacy)
    loaded = LEDTokenizer.from_pretrained(place)
    assert loaded.added_tokens_decoder == tokenizer.added_tokens_decoder
    assert loaded(text, return_offsets_mapping=True) == tokenizer(text, return_offsets_mapping=True)
    assert loaded.special_tokens_map == tokenizer.special_tokens_map
    assert (loaded.model_max_length, loaded.add_prefix_space) == (9999, flags["add_prefix_space"])


CONFIG = ["tokenizer_config.json", "special_tokens_map.json"]
LEGACY = ["vocab.json", "merges.txt", "added_tokens.json"]


@pytest.mark.parametrize(
    ("legacy", "names"),
    [(None, [*CONFIG, *LEGACY, "tokenizer.json"]), (True, [*CONFIG, *LEGACY]), (False, [*CONFIG, "tokenizer.json"])],
)
@pytest.mark.parametrize("prefix", [None, "my"])
def test_the_names_of_what_is_saved(legacy, names, prefix, tokenizer, tmp_path):
    """Upstream's names in upstream's order; added_tokens.json is named even where nothing is added."""
    names = [f"{prefix}-{name}" if prefix else name for name in names]
    paths = tokenizer.save_pretrained(tmp_path / "new", legacy, prefix)
    assert paths == tuple(str(tmp_path / "new" / name) for name in names)
    files = {path.name for path in (tmp_path / "new").iterdir()}
    assert files == set(names) - {"added_tokens.json", "my-added_tokens.json"}
    tokenizer.add_tokens("<a>")
    tokenizer.save_pretrained(tmp_path / "new", legacy, prefix)
    assert {path.name for path in (tmp_path / "new").iterdir()} == set(names)


def test_a_tokenizer_json_that_would_be_read_instead_goes(tokenizer, tmp_path):
    tokenizer.add_tokens("<a>")
    tokenizer.save_pretrained(tmp_path)
    LEDTokenizer.from_pretrained(TINY).save_pretrained(tmp_path, legacy_format=True)
    assert len(LEDTokenizer.from_pretrained(tmp_path)) == 600


def test_special_tokens_as_they_were_stated(tokenizer):
    """transformers 4.57.6 gives the same."""
    pad, extra = AddedToken("<p>", special=True, normalized=False), AddedToken("<x>", lstrip=True, special=True)
    tokenizer.pad_token = "</s>"
    tokenizer.add_special_tokens({"cls_token": pad, "additional_special_tokens": [extra]})
    assert tokenizer.special_tokens_map_extended["pad_token"] == "</s>"
    assert tokenizer.special_tokens_map_extended["cls_token"] == pad
    assert tokenizer.special_tokens_map_extended["additional_special_tokens"] == [extra]
    assert tokenizer.all_special_tokens_extended[-2:] == [tokenizer.special_tokens_map_extended["mask_token"], extra]


def test_added_tokens_of_an_earlier_save_do_not_stay(tokenizer, tmp_path):
    grown = copy.deepcopy(tokenizer)
    grown.add_tokens("<a>")
    grown.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "added_tokens.json").read_text(encoding="utf-8")) == {}
    assert len(LEDTokenizer.from_pretrained(tmp_path)) == 600
