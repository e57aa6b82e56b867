"""What the tokenizer reads from files and writes to them, and the files it refuses."""

import json
import re
import shutil
from pathlib import Path

import pytest
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

from pyled.errors import CheckpointError, InputError, TokenizerError
from pyled.tokenizer import AddedToken, LEDTokenizer
from pyled.tokenizer.led.pretrained import OPTIONS
from pyled.tokenizer.led.roles import NAMES

GOLDEN = Path(__file__).parent.parent / "golden"
TINY = GOLDEN / "tiny"
CASES = [json.loads(line) for line in (GOLDEN / "tokenizer.jsonl").read_text(encoding="ascii").splitlines()]
FILE_CASES = [case for case in CASES if case["kind"] == "files"]
RULES = set(re.findall(r"`([a-z-]+)`", (GOLDEN.parent / "docs" / "tokenizer.md").read_text(encoding="utf-8")))
TEXTS = ["A long <mask> document.", "  <mask>it's\n\n日本 😀", "<doc-sep> a<doc-sep>b", "<s></s> <pad>"]


def directory(tmp_path, files=()):
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(TINY / name, tmp_path)
    for name, content in dict(files).items():
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


def check_case(tokenizer, case):
    for text, expected in zip(case["texts"], case["encoded"], strict=True):
        encoded = tokenizer(text, return_offsets_mapping=True, return_attention_mask=False)
        assert json.loads(json.dumps(dict(encoded))) == expected
    assert dict(tokenizer(case["texts"][:2], padding="max_length", truncation=True, max_length=5)) == case["cut"]
    ids = [expected["input_ids"] for expected in case["encoded"]]
    assert tokenizer.batch_decode(ids, skip_special_tokens=True) == case["decoded"]
    assert [tokenizer.all_special_tokens, tokenizer.all_special_ids] == case["special"]
    assert [tokenizer.vocab_size, len(tokenizer), str(tokenizer.model_max_length)] == case["sizes"]


@pytest.mark.parametrize("case", FILE_CASES, ids=lambda case: json.dumps(case["files"])[:70])
def test_files_beside_the_vocabulary_count_as_in_transformers(case, tmp_path):
    check_case(LEDTokenizer.from_pretrained(directory(tmp_path, case["files"])), case)


@pytest.mark.parametrize("case", FILE_CASES, ids=lambda case: json.dumps(case["files"])[:70])
def test_saved_and_read_again_it_is_the_same(case, tmp_path):
    """Through `tokenizer.json`, and through the other files without it."""
    tokenizer = LEDTokenizer.from_pretrained(directory(tmp_path, case["files"]))
    saved = tmp_path / "new" / "place"
    tokenizer.save_pretrained(saved)
    check_case(LEDTokenizer.from_pretrained(saved), case)
    listed = json.loads((saved / "tokenizer_config.json").read_text(encoding="utf-8"))["added_tokens_decoder"]
    assert listed == case["added"]
    (saved / "tokenizer.json").unlink()
    check_case(LEDTokenizer.from_pretrained(saved), case)


def test_tokenizer_json_alone_is_enough(tmp_path):
    LEDTokenizer.from_pretrained(TINY).save_pretrained(tmp_path)
    for path in tmp_path.iterdir():
        if path.name != "tokenizer.json":
            path.unlink()
    expected = LEDTokenizer.from_pretrained(TINY)
    for tokenizer in (LEDTokenizer.from_pretrained(tmp_path), LEDTokenizer(tokenizer_file=tmp_path / "tokenizer.json")):
        assert [tokenizer.encode(text) for text in TEXTS] == [expected.encode(text) for text in TEXTS]


def as_older_versions_wrote_it(content):
    content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    for part, key in (("model", "type"), ("model", "dropout"), ("post_processor", "type"), ("decoder", "use_regex")):
        del content[part][key]
    for key in ("version", "truncation", "padding", "normalizer"):
        del content[key]


def test_what_a_tokenizer_json_may_let_out(tmp_path):
    """Both references read one without these keys."""
    tokenizer = LEDTokenizer.from_pretrained(changed_json(tmp_path, as_older_versions_wrote_it))
    assert [tokenizer.encode(text) for text in TEXTS] == [LEDTokenizer.from_pretrained(TINY).encode(t) for t in TEXTS]


def test_paths_of_another_machine_are_not_followed(tmp_path):
    """4.57.6 follows some of them, and fails."""
    names = ("vocab_file", "merges_file", "tokenizer_file", "special_tokens_map_file", "added_tokens_file")
    dead = dict.fromkeys(names, "/root/.cache/huggingface/transformers/0a.1b")
    tokenizer = LEDTokenizer.from_pretrained(directory(tmp_path, {"tokenizer_config.json": dead}))
    assert [tokenizer.encode(text) for text in TEXTS] == [LEDTokenizer.from_pretrained(TINY).encode(t) for t in TEXTS]


SPELLINGS = ["escaped", "utf-8", "indented", "no header", "no newline", "crlf", "cr", "mark"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings_of_the_same_vocabulary(spelling, tmp_path):
    vocab = json.loads((TINY / "vocab.json").read_text(encoding="utf-8"))
    merges = (TINY / "merges.txt").read_text(encoding="utf-8")
    written = json.dumps(
        vocab, ensure_ascii=spelling == "escaped", indent=2 if spelling in ("indented", "crlf") else None
    )
    written = written.replace("\n", "\r\n" if spelling == "crlf" else "\n")
    merges = {
        "no header": merges.partition("\n")[2],
        "no newline": merges.removesuffix("\n"),
        "crlf": merges.replace("\n", "\r\n"),
        "cr": merges.replace("\n", "\r"),
        "mark": f"\ufeff{merges}",
    }.get(spelling, merges)
    (tmp_path / "vocab.json").write_bytes(written.encode("utf-8"))
    (tmp_path / "merges.txt").write_bytes(merges.encode("utf-8"))
    saved = tmp_path / "saved"
    saved.mkdir()
    LEDTokenizer.from_pretrained(tmp_path).save_vocabulary(saved)
    assert json.loads((saved / "vocab.json").read_text(encoding="utf-8")) == vocab
    assert (saved / "merges.txt").read_bytes() == (TINY / "merges.txt").read_bytes()


def test_save_vocabulary_with_a_prefix(tmp_path):
    paths = LEDTokenizer.from_pretrained(TINY).save_vocabulary(tmp_path, "led")
    assert [Path(path).name for path in paths] == ["led-vocab.json", "led-merges.txt"]
    assert LEDTokenizer(*paths).encode(TEXTS[0]) == LEDTokenizer.from_pretrained(TINY).encode(TEXTS[0])


def test_arguments_count_before_the_files(tmp_path):
    path = directory(tmp_path, {"tokenizer_config.json": {"model_max_length": 7, "add_prefix_space": True}})
    assert LEDTokenizer.from_pretrained(path).model_max_length == 7
    tokenizer = LEDTokenizer.from_pretrained(path, model_max_length=9, add_prefix_space=False)
    assert tokenizer.model_max_length == 9
    assert tokenizer.encode("a") == LEDTokenizer.from_pretrained(TINY).encode("a")


def test_a_special_token_as_an_argument_counts_before_the_files(tmp_path):
    path = directory(tmp_path, {"special_tokens_map.json": {"mask_token": "[A]", "sep_token": "<unk>"}})
    tokenizer = LEDTokenizer.from_pretrained(path, mask_token="[B]")
    assert (tokenizer.mask_token, tokenizer.sep_token) == ("[B]", "<unk>")


def test_usual_keywords_that_mean_nothing_here_are_taken(tmp_path):
    usual = {"use_fast": True, "local_files_only": True, "cache_dir": "x", "revision": "main", "config": None}
    tokenizer = LEDTokenizer.from_pretrained(TINY, **usual, trust_remote_code=True)
    tokenizer.save_pretrained(tmp_path, legacy_format=False, push_to_hub=False)
    assert LEDTokenizer.from_pretrained(tmp_path).get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize(
    ("keywords", "place"),
    [
        ({"use_cache": False}, "'use_cache' is no argument of a tokenizer: "),
        ({"num_beams": 2}, "a setting of generation"),
        ({"torch_dtype": "float32"}, "from_pretrained of a model"),
        ({"attention_window": 4}, "a value of the configuration"),
        ({"add_prefixspace": True}, "did you mean 'add_prefix_space'"),
        ({"revision": "v2"}, "pass the directory of that revision"),
    ],
)
def test_other_keywords_are_refused_with_the_place_where_they_belong(keywords, place):
    with pytest.raises(InputError, match=place):
        LEDTokenizer.from_pretrained(TINY, **keywords)


# Refusals


def broken(tmp_path, change_vocab=lambda vocab: vocab, change_merges=lambda lines: lines):
    vocab = json.loads((TINY / "vocab.json").read_text(encoding="utf-8"))
    lines = (TINY / "merges.txt").read_text(encoding="utf-8").splitlines()
    (tmp_path / "vocab.json").write_text(json.dumps(change_vocab(vocab), indent=1), encoding="utf-8")
    (tmp_path / "merges.txt").write_text("\n".join(change_merges(lines)) + "\n", encoding="utf-8")
    return tmp_path


BAD_VOCABULARIES = {
    "id twice": (lambda v: {**v, "Ġthe": v["Ġa"]}, r"vocab\.json: the token 'Ġthe' has the id \d+, which"),
    "id beyond": (lambda v: {**v, "<pad>": 600}, r"the token '<pad>' has the id 600: the ids of 600 tokens"),
    "negative id": (lambda v: {**v, "<pad>": -1}, r"the token '<pad>' has the id -1"),
    "float id": (lambda v: {**v, "</s>": 2.0}, r"the token '</s>' has the id 2\.0: an id is an integer"),
    "bool id": (lambda v: {**v, "<pad>": True}, r"the token '<pad>' has the id True: an id is an integer"),
    "string id": (lambda v: {**v, "<pad>": "1"}, r"the token '<pad>' has the id '1'"),
    "gap": (lambda v: {t: i + (i > 9) for t, i in v.items()}, r"the token '<mask>' has the id 600"),
    "no byte": (lambda v: {("!!!!!" if t == "ĉ" else t): i for t, i in v.items()}, r"symbol 'ĉ' of byte 9 is missing"),
    "not a symbol": (lambda v: {**v, "a b": 600}, r"the token 'a b' is not written in the 256 byte"),
    "empty token": (lambda v: {**v, "": 600}, r"the token '' is not written in"),
    "a list": (lambda v: list(v), r"holds a JSON list, an object was expected"),
}


@pytest.mark.parametrize(("change", "message"), BAD_VOCABULARIES.values(), ids=BAD_VOCABULARIES)
def test_a_bad_vocabulary_is_refused_with_its_token(change, message, tmp_path):
    with pytest.raises(TokenizerError, match=message) as raised:
        LEDTokenizer.from_pretrained(broken(tmp_path, change_vocab=change))
    assert raised.value.rule in RULES | {"not-an-object"}


BAD_MERGES = {
    "twice": (lambda m: [*m, m[1]], r"merges\.txt, line 341: .* are merged at .*merges\.txt, line 2 too"),
    "no product": (lambda m: [*m, "q z"], r"line 341: 'q' and 'z' are merged, but 'qz' has no id"),
    "no part": (lambda m: [*m[:5], "qz z", *m[5:]], r"line 6: 'qz' and 'z' are merged, but 'qz' has no id"),
    "blank": (lambda m: [*m[:9], "", *m[9:]], r"line 10: a merge is two tokens with one space"),
    "blank at the end": (lambda m: [*m, ""], r"line 341: a merge is two tokens"),
    "one token": (lambda m: [*m, "a"], r"line 341: a merge is two tokens"),
    "three tokens": (lambda m: [*m, "a b c"], r"line 341: a merge is two tokens"),
    "two spaces": (lambda m: [*m, "a  b"], r"line 341: a merge is two tokens"),
    "space in front": (lambda m: [*m, " a"], r"line 341: a merge is two tokens"),
    "second header": (lambda m: [m[0], *m], r"line 2: '#version:' and '0\.2' are merged, but"),
}


@pytest.mark.parametrize(("change", "message"), BAD_MERGES.values(), ids=BAD_MERGES)
def test_bad_merges_are_refused_with_their_line(change, message, tmp_path):
    with pytest.raises(TokenizerError, match=message) as raised:
        LEDTokenizer.from_pretrained(broken(tmp_path, change_merges=change))
    assert raised.value.rule in RULES


def test_a_key_twice_and_bytes_that_are_no_utf8(tmp_path):
    path = directory(tmp_path)
    text = (path / "vocab.json").read_text(encoding="utf-8")
    (path / "vocab.json").write_text(text.replace('"<pad>": 1,', '"<pad>": 1, "<pad>": 1,'), encoding="utf-8")
    with pytest.raises(TokenizerError, match="the key '<pad>' stands twice"):
        LEDTokenizer.from_pretrained(path)
    (path / "vocab.json").write_text(text, encoding="utf-8")
    (path / "merges.txt").write_bytes(b"#version: 0.2\na \xff\n")
    with pytest.raises(TokenizerError, match=r"merges\.txt: byte 16 is not UTF-8"):
        LEDTokenizer.from_pretrained(path)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 2108630\n"


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"])
def test_a_pointer_of_git_lfs_is_told_as_such(name, tmp_path):
    (directory(tmp_path) / name).write_bytes(POINTER)
    with pytest.raises(TokenizerError, match=rf"{name}: is a pointer of Git LFS") as raised:
        LEDTokenizer.from_pretrained(tmp_path)
    assert raised.value.rule == "git-lfs"


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no directory"):
        LEDTokenizer.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"holds no vocab\.json and no merges\.txt: copy .* trained from"):
        LEDTokenizer.from_pretrained(tmp_path)
    shutil.copy(TINY / "vocab.json", tmp_path)
    with pytest.raises(CheckpointError, match=r"holds no merges\.txt: copy vocab\.json and merges\.txt, or tokenizer"):
        LEDTokenizer.from_pretrained(tmp_path)
    with pytest.raises(TokenizerError, match="pass vocab_file and merges_file, or tokenizer_file"):
        LEDTokenizer(TINY / "vocab.json")


BAD_FILES = {
    "added id": ({"added_tokens.json": {"<doc-sep>": 700}}, "listed with the id 700, but its place is 600"),
    "added id no integer": ({"added_tokens.json": {"<doc-sep>": "600"}}, "has the id '600'"),
    "moved": ({"added_tokens.json": {"<mask>": 600}}, "'<mask>' is listed with the id 600, but its place is 599"),
    "token without content": (
        {"special_tokens_map.json": {"mask_token": {"lstrip": True}}},
        "mask_token: .* is no token: a string",
    ),
    "unknown flag": ({"special_tokens_map.json": {"mask_token": {"content": "x", "strip": True}}}, "'strip': True"),
    "flag no bool": ({"special_tokens_map.json": {"mask_token": {"content": "x", "lstrip": 1}}}, "lstrip is 1"),
    "number as token": ({"special_tokens_map.json": {"pad_token": 1}}, "pad_token: 1 is no token"),
    "empty token": ({"special_tokens_map.json": {"pad_token": ""}}, "at least one character"),
    "no list": ({"special_tokens_map.json": {"additional_special_tokens": "<a>"}}, "a list of tokens was expected"),
    "no list in config": ({"tokenizer_config.json": {"additional_special_tokens": 3}}, "a list of tokens was expected"),
    "decoder": ({"tokenizer_config.json": {"added_tokens_decoder": {"x": {}}}}, "an object with ids as keys"),
    "config no object": ({"tokenizer_config.json": []}, "holds a JSON list"),
    "no flag": ({"tokenizer_config.json": {"add_prefix_space": "yes"}}, "add_prefix_space is 'yes'"),
    "no side": ({"tokenizer_config.json": {"padding_side": "up"}}, "padding_side is 'up'"),
    "no limit": ({"tokenizer_config.json": {"model_max_length": 0}}, "model_max_length is 0"),
    "null frame": ({"tokenizer_config.json": {"cls_token": None}}, "between cls_token and sep_token: give them tokens"),
    "no list of others": ({"tokenizer_config.json": {"extra_special_tokens": 3}}, "extra_special_tokens is 3"),
    "gap": ({"added_tokens.json": {"<a>": 600, "<b>": 602}}, r"'<b>' is listed with the id 602, but its place is 601"),
    "which file": ({"tokenizer_config.json": {"sep_token": 7}}, r"tokenizer_config\.json, sep_token: 7 is no token"),
    "limit broken": ({"tokenizer_config.json": {"model_max_length": 1.5}}, "model_max_length is 1.5"),
    "limit no number": ({"tokenizer_config.json": {"model_max_length": "16384"}}, "model_max_length is '16384'"),
}


@pytest.mark.parametrize(("files", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_files_beside_the_vocabulary_are_refused(files, message, tmp_path):
    with pytest.raises(TokenizerError, match=message):
        LEDTokenizer.from_pretrained(directory(tmp_path, files))


def template(ids=(0, 2), pair="<A>>B>"):
    """A TemplateProcessing; < and > stand for the tokens before and after a text."""
    names, contents = {"<": "<s>", ">": "</s>"}, dict(zip(("<s>", "</s>"), ids, strict=True))
    single, pair = (
        [
            {"SpecialToken": {"id": names[c], "type_id": 0}} if c in names else {"Sequence": {"id": c, "type_id": 0}}
            for c in written
        ]
        for written in ("<A>", pair)
    )
    tokens = {content: {"id": content, "ids": [i], "tokens": [content]} for content, i in contents.items()}
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens}


def test_a_template_with_the_same_frame_is_read_for_pairs_too(tmp_path):
    """As 4.57.6 answers; golden/tokenizer_files.jsonl has it for single texts."""
    tokenizer = LEDTokenizer.from_pretrained(changed_json(tmp_path, lambda c: c.update(post_processor=template())))
    encoded = tokenizer("a long", "the document", return_offsets_mapping=True)
    assert encoded.input_ids == [0, 68, 341, 2, 2, 87, 262, 340, 2]
    assert encoded.offset_mapping == [(0, 0), (0, 1), (1, 6), (0, 0), (0, 0), (0, 1), (1, 3), (3, 12), (0, 0)]


BAD_TOKENIZER_JSON = {
    "model": (lambda c: c["model"].update(type="Unigram"), "its model is 'Unigram', not 'BPE', so this is not LED's"),
    "no model": (lambda c: c.pop("model"), "its model is None, not 'BPE'"),
    "dropout": (lambda c: c["model"].update(dropout=0.1), "dropout has another value"),
    "ignore_merges": (lambda c: c["model"].update(ignore_merges=True), "ignore_merges has another value"),
    "pattern": (lambda c: c["pre_tokenizer"].update(use_regex=False), "use_regex has another value"),
    "normalizer": (lambda c: c.update(normalizer={"type": "NFC"}), "its normalizer is 'NFC', not None"),
    "pre_tokenizer": (lambda c: c.update(pre_tokenizer={"type": "Whitespace"}), "its pre_tokenizer is 'Whitespace'"),
    "post_processor": (lambda c: c.update(post_processor=None), "its post_processor is None, not 'RobertaProcessing'"),
    "a name for an object": (
        lambda c: c.update(post_processor="RobertaProcessing"),
        "its post_processor is 'RobertaProcessing', a string, not",
    ),
    "template": (lambda c: c.update(post_processor={"type": "TemplateProcessing"}), "is 'TemplateProcessing', not"),
    "another template": (lambda c: c.update(post_processor=template(pair="AB")), "is 'TemplateProcessing', not"),
    "a template's ids": (lambda c: c.update(post_processor=template(ids=(0, 3))), r"\['</s>', 3\] is no token of this"),
    "decoder": (lambda c: c.update(decoder=None), "its decoder is None, not 'ByteLevel'"),
    "remedy": (lambda c: c.update(decoder="x"), r"without the file, vocab\.json and merges\.txt are read"),
    "frame": (lambda c: c["post_processor"].update(sep=["</s>", 3]), r"sep: \['</s>', 3\] is no token of this file"),
    "no frame": (lambda c: c["post_processor"].pop("cls"), "cls: None is no token of this file"),
    "no merges": (lambda c: c["model"].update(merges=None), "must be lists"),
    "vocab": (lambda c: c["model"]["vocab"].update({"<pad>": 0}), "'<pad>' has the id 0, which '<s>' has already"),
    "a merge": (
        lambda c: c["model"]["merges"].insert(7, "q z"),
        r"tokenizer\.json, merge 8: 'q' and 'z' are merged, but",
    ),
    "no pair": (lambda c: c["model"]["merges"].insert(0, "a"), r"merge 1: a merge is two tokens"),
    "no vocab": (lambda c: c["model"].update(vocab=[]), r"model\.vocab must be an object"),
    "added token": (lambda c: c["added_tokens"].append({"content": "x"}), "added token 5: its id is None"),
    "added twice": (lambda c: c["added_tokens"].append({"content": "x", "id": 0}), "added token 5: its id is 0"),
    "added later": (
        lambda c: c["added_tokens"].extend({"content": x, "id": i} for x, i in (("x y", 601), ("y z", 600))),
        "'x y' is listed with the id 601, but its place is 600",
    ),
}


def changed_json(tmp_path, change):
    LEDTokenizer.from_pretrained(TINY).save_pretrained(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    change(content)
    (tmp_path / "tokenizer.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("change", "message"), BAD_TOKENIZER_JSON.values(), ids=BAD_TOKENIZER_JSON)
def test_a_tokenizer_json_that_is_not_leds_is_refused(change, message, tmp_path):
    with pytest.raises(TokenizerError, match=message):
        LEDTokenizer.from_pretrained(changed_json(tmp_path, change))


def test_an_id_of_many_digits_is_refused(tmp_path):
    path = directory(tmp_path, {"tokenizer_config.json": {"added_tokens_decoder": {"9" * 5000: "<a>"}}})
    with pytest.raises(TokenizerError, match="added_tokens_decoder: an object with ids as keys"):
        LEDTokenizer.from_pretrained(path)


def test_a_tokenizer_json_comes_before_the_other_files(tmp_path):
    """As in 4.57.6. Its own flags do not count, its sides of truncation and padding do; a length of it does not."""

    def change(content):
        content["model"]["merges"] = content["model"]["merges"][:30]
        content["pre_tokenizer"]["add_prefix_space"] = True
        content["post_processor"].update(sep=["<unk>", 3], trim_offsets=False)
        content["truncation"] = {"direction": "Left", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
        content["padding"] = {"direction": "Left", "strategy": {"Fixed": 9}, "pad_id": 3, "pad_token": "<unk>"}

    path = changed_json(tmp_path, change)
    tokenizer = LEDTokenizer.from_pretrained(path)
    assert tokenizer.tokenize("the document", add_special_tokens=True)[-1] == "<unk>"
    assert tokenizer("the document", return_offsets_mapping=True)["offset_mapping"][1] == (0, 1)
    assert len(tokenizer.tokenize("the document")) > len(LEDTokenizer.from_pretrained(TINY).tokenize("the document"))
    assert (tokenizer.padding_side, tokenizer.truncation_side) == ("right", "right")  # tokenizer_config.json says so
    (path / "tokenizer_config.json").unlink()
    tokenizer = LEDTokenizer.from_pretrained(path)
    assert (tokenizer.padding_side, tokenizer.truncation_side) == ("left", "left")
    assert tokenizer("a", padding="max_length", max_length=4)["input_ids"][0] == tokenizer.pad_token_id == 1


def test_what_5_23_0_saves_is_read(tmp_path):
    """Two files: special tokens without a role are under another name, which 4.57.6 cannot read."""
    LEDTokenizer.from_pretrained(TINY, additional_special_tokens=["<doc-sep>"]).save_pretrained(tmp_path)
    for name in ("special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt"):
        (tmp_path / name).unlink()
    config = {"extra_special_tokens": ["<doc-sep>"], "tokenizer_class": "RobertaTokenizer", "backend": "tokenizers"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = LEDTokenizer.from_pretrained(tmp_path)
    assert (tokenizer.additional_special_tokens, tokenizer.all_special_ids[-1]) == (["<doc-sep>"], 600)


def test_added_tokens_need_not_be_written_in_byte_symbols(tmp_path):
    path = broken(tmp_path, change_vocab=lambda v: {**v, "[a b]": 600})
    with pytest.raises(TokenizerError, match=r"'\[a b\]' is not written"):
        LEDTokenizer.from_pretrained(path)
    tokenizer = LEDTokenizer.from_pretrained(path, additional_special_tokens=[AddedToken("[a b]", special=True)])
    ids = tokenizer.encode("x[a b]", add_special_tokens=False)
    assert ids[-1] == 600 and tokenizer.decode(ids) == "x[a b]"


# Any values

CONTENTS = ["<s>", "<mask>", "</s>", "the", "x y", "", "a", "\ud800"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 602) | st.floats(allow_nan=False) | st.sampled_from(CONTENTS),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(st.sampled_from([*CONTENTS, "content", "lstrip", "id", "600", "type", "direction"]), values)
    ),
    max_leaves=5,
)
KEYS = {
    "tokenizer_config.json": [*NAMES, *OPTIONS, "additional_special_tokens", "added_tokens_decoder", "max_len"],
    "special_tokens_map.json": [*NAMES, "additional_special_tokens", "other"],
    "added_tokens.json": ["<a>", "<mask>", "the", ""],
    "tokenizer.json": ["model", "added_tokens", "post_processor", "pre_tokenizer", "normalizer", "decoder", "padding"],
}


@settings(max_examples=2 * EXAMPLES, derandomize=True, deadline=None)
@given(
    stated=st.lists(
        st.sampled_from(sorted(KEYS)).flatmap(
            lambda name: st.tuples(st.just(name), st.sampled_from(KEYS[name]), VALUES)
        ),
        min_size=1,
        max_size=3,
    )
)
def test_any_values_in_the_files_give_a_tokenizer_or_the_one_error(tmp_path_factory, stated):
    place = tmp_path_factory.mktemp("any")
    LEDTokenizer.from_pretrained(TINY).save_pretrained(place)
    for name in {"tokenizer_config.json", "tokenizer.json"} - {stated[0][0]}:
        (place / name).unlink()
    for name, key, value in stated:
        path = place / name
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        part = content.get(key)
        content[key] = {**part, **value} if isinstance(part, dict) and isinstance(value, dict) else value
        path.write_text(json.dumps(content), encoding="utf-8")
    try:
        tokenizer = LEDTokenizer.from_pretrained(place)
    except TokenizerError:
        return
    assert tokenizer.encode("a", add_special_tokens=False) == [tokenizer.convert_tokens_to_ids("a")]
    assert [tokenizer.convert_ids_to_tokens(i) for i in tokenizer.added_tokens_decoder] == [
        *tokenizer.get_added_vocab()
    ]
