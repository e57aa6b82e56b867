"""`pyled tokenize` and `pyled detokenize`: as the reference's tokenizer has it, and back."""

import json
import os

import pytest
from checkpoints import ANSWERS, TINY, changed, document
from commands import LAMP, SHORT

from pyled.cli.tokenize import rows_of
from pyled.errors import InputError

IDS = ANSWERS["lamp.txt"]["input_ids"]  # the reference's
LINE = " ".join(map(str, IDS)) + "\n"


@pytest.fixture
def tokenize(run):
    return lambda *arguments, **more: run("tokenize", "-m", TINY, *arguments, **more)


@pytest.fixture
def detokenize(run):
    return lambda *arguments, **more: run("detokenize", "-m", TINY, *arguments, **more)


# Texts to ids


def test_ids_are_the_references_on_a_line_per_text(tokenize, note):
    assert tokenize(LAMP) == (0, LINE, "")
    status, out, err = tokenize(LAMP, note)
    assert (status, out.count("\n"), err) == (0, 2, "")
    assert out.startswith(LINE)
    assert tokenize(stdin=document("lamp.txt").encode()) == (0, LINE, "")


def test_tokens_with_special_ones_or_without(tokenize):
    vocabulary = json.loads((TINY / "vocab.json").read_text(encoding="utf-8"))
    tokens = tokenize(LAMP, "--tokens")[1].split()
    assert [vocabulary[token] for token in tokens] == IDS
    assert tokenize(LAMP, "--no-special-tokens")[1].split() == LINE.split()[1:-1]


def test_offsets_are_a_line_per_token(tokenize, note):
    text = "A lamp, é"
    status, out, _ = tokenize("--offsets", stdin=text.encode())
    rows = [line.split("\t") for line in out.splitlines()]
    assert [int(row[2]) for row in rows] == [int(number) for number in tokenize(stdin=text.encode())[1].split()]
    assert (rows[0], rows[-1]) == (["0", "0", "0", "<s>"], ["0", "0", "2", "</s>"])
    plain = {text[int(row[0]) : int(row[1])] for row in rows if row[3].isascii()}
    assert plain == {row[3] for row in rows[1:-1] if row[3].isascii()} | {""}
    assert rows[-2][:2] == ["8", "9"]  # the last byte of é
    heads = tokenize("--offsets", LAMP, note)[1]
    assert heads.startswith(f"==> {LAMP} <==\n0\t0\t0\t<s>\n") and f"</s>\n\n==> {note} <==\n" in heads
    assert status == 0


def test_json_has_it_all(tokenize, note):
    status, out, _ = tokenize(LAMP, note, "--json")
    first, second = map(json.loads, out.splitlines())
    assert (first["input"], first["input_ids"]) == (LAMP, IDS)
    assert second["input"] == str(note)
    for record in (first, second):
        assert len(record["tokens"]) == len(record["offset_mapping"]) == len(record["input_ids"])
    assert list(second) == ["input", "input_ids", "tokens", "offset_mapping"]
    assert status == 0


def test_an_empty_text_is_two_special_tokens(tokenize):
    assert tokenize(stdin=b"") == (0, "0 2\n", "")


def test_a_text_of_more_tokens_than_the_model_takes_is_no_matter(run, tmp_path):
    directory = changed(tmp_path / "led")
    (directory / "tokenizer_config.json").write_text('{"model_max_length": 16}', encoding="utf-8")
    assert run("tokenize", LAMP, "-m", directory) == (0, LINE, "")


def test_line_ends_of_windows_are_line_ends(tokenize):
    lines = tokenize(stdin=b"one\ntwo\n\nthree\n")
    assert tokenize(stdin=b"\xef\xbb\xbfone\r\ntwo\r\n\rthree\r\n") == lines


def test_the_checkpoint_in_the_package_is_named_unless_quiet(run):
    assert run("tokenize", stdin=b"a lamp")[2].startswith("pyled: no checkpoint is named: ")
    assert run("tokenize", "--quiet", stdin=b"a lamp")[2] == ""
    assert run("detokenize", "--quiet", stdin=b"0 2")[1:] == ("<s></s>", "")


def test_a_bad_text_does_not_stop_the_others(tokenize):
    assert tokenize("none", LAMP)[:2] == (1, LINE)


# Ids to texts


@pytest.mark.parametrize(
    "text", [SHORT, "one\ntwo\n\n", " \t", "naïve – 名前 🙂", "<s> is special", "", "ends in </s>"]
)
def test_what_tokenize_prints_is_the_text_again(tokenize, detokenize, text):
    for form in ([], ["--json"]):
        printed = tokenize(*form, "--no-special-tokens", stdin=text.encode())[1]
        assert detokenize(stdin=printed.encode()) == (0, text, "")


def test_what_tokenize_prints_of_several_texts_in_json_are_the_texts_again(tokenize, detokenize, tmp_path):
    odd = os.fsdecode(b"caf\xe9")  # a name that is not UTF-8, whose JSON has half of a surrogate pair
    for name, text in (("a", SHORT), (odd, "naïve")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    printed = tokenize("--json", "--no-special-tokens", tmp_path / "a", tmp_path / odd)[1]
    assert detokenize(stdin=printed.encode()) == (0, f"{SHORT}\nnaïve\n", "")


def test_special_tokens_are_printed_or_skipped(detokenize):
    assert detokenize(stdin=LINE.encode())[1] == f"<s>{document('lamp.txt')}</s>"
    assert detokenize("--skip-special-tokens", stdin=LINE.encode())[1] == document("lamp.txt")


@pytest.mark.parametrize(
    "text",
    ["0 55 262 2", "0,55,262,2", " 0, 55\n262\r\n2,\n", "[0, 55, 262, 2]", '{"input_ids": [0, 55, 262, 2], "x": 1}\n'],
)
def test_ids_are_read_however_they_are_set_apart(text):
    assert rows_of(text) == [[0, 55, 262, 2]]


def test_no_ids_are_no_text(detokenize, tmp_path):
    assert rows_of(" \n") == rows_of("[]") == [[]]
    (tmp_path / "ids").write_text("\n", encoding="utf-8")
    assert detokenize(tmp_path / "ids") == (0, "", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 five", "'five' is no id: write whole numbers"),
        ("-1", "'-1' is no id"),
        ("1.5", "'1.5' is no id"),
        ("٣", "'٣' is no id"),
        ("1" * 40, "is no id"),
        ("[1, -2]", "neither a list of ids nor an object"),
        ("[1, true]", "neither a list of ids nor an object"),
        ('{"ids": [1]}', "neither a list of ids nor an object"),
        ("[1", "its JSON: not JSON"),
        ("[" * 9999, "its JSON: nested too deeply"),
        ('{"input_ids": [1]}\n{"ids": [2]}', "neither a list of ids nor an object"),
    ],
)
def test_what_is_no_list_of_ids_is_refused(text, message):
    with pytest.raises(InputError) as raised:
        rows_of(text)
    assert message in str(raised.value)


def test_mistakes_are_told(detokenize, run, tmp_path):
    assert detokenize(stdin=b"600") == (
        1,
        "",
        "pyled: standard input: holds the id 600, but the ids of this vocabulary end at 599\n",
    )
    status, out, err = detokenize(tmp_path / "none")
    assert (status, out, err) == (1, "", f"pyled: {tmp_path / 'none'}: cannot be read: No such file or directory\n")
    for command in ("tokenize", "detokenize"):
        status, out, err = run(command, "-m", TINY / "documents", stdin=b"1")
        assert (status, out) == (3, "") and "vocab.json" in err
        status, out, err = run(command, "-m", TINY, terminal=True)
        assert (status, out) == (2, "") and "no FILE" in err
