"""Strict JSON, and files that are replaced whole or not at all."""

import contextlib
import functools
import json
import os
import pickle
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

import pyled
from pyled.errors import CheckpointError, ConfigError
from pyled.files import locked, parse_json, read_json, replace_files, write_json

ROOT = Path(pyled.__file__).parent.parent
PROPERTY = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)


def parse(data, **options):
    return parse_json(data if isinstance(data, bytes) else data.encode(), "x.json", ConfigError, **options)


# rule: (what the message says after the name, the text) of each case
REFUSED = {
    "not-json": [
        ("not JSON: Expecting value at line 1, column 1", ""),
        ("not JSON: Unexpected UTF-8 BOM", b"\xef\xbb\xbf{}"),
        ("not JSON: Extra data at line 1, column 4", "{} {}"),
        ("not JSON: Extra data", b"{}\0"),
        ("not JSON: Unterminated string starting at line 1, column 1", '"a'),
        ("not JSON: Invalid control character", '"a\tb"'),
        ("not JSON: .* at line 2, column 3", "{\n  nul\n}"),
        *(
            ("not JSON", text)
            for text in ("[01]", "[+1]", "[0x1]", "[1.]", "[.5]", "[1,]", "[1] //", "{'a': 1}", r'"\x"')
        ),
    ],
    "not-utf8": [
        ("byte 7 is not UTF-8", b'{"a": "\xff"}'),
        ("byte 1 is not UTF-8", b'"\xed\xa0\x80"'),  # half of a surrogate pair
        ("byte 1 is not UTF-8", b'"\xc0\xaf"'),  # overlong
        ("byte 0 is not UTF-8", '{"a": 1}'.encode("utf-16")),
    ],
    "duplicate-key": [
        ("the key 'a' stands twice", '{"a": 1, "b": 2, "a": 1}'),
        ("the key 'a' stands twice", '{"a": 1, "\\u0061": 2}'),
        ("the key 'k' stands twice", '{"x": [{"k": 1, "k": 1}]}'),
        (r"the key 'k{65}\.{3}k{32}' .of length 1,000,000. stands", '{"a": 1, "a": 1}'.replace("a", "k" * 10**6)),
    ],
    "nan": [(f"{name} is no JSON value", f"[{name}]") for name in ("NaN", "Infinity", "-Infinity")],
    "float-range": [
        ("1e400 is beyond the range of float64", "[1e400]"),
        (r"-1.5E\+999 is beyond the range of float64", "[-1.5E+999]"),
    ],
    "integer": [
        ("the integer -0 is refused: at most 18 digits, and no -0", "[-0]"),
        ("the integer 1234567890123456789 is refused", "[1234567890123456789]"),
        ("the integer 1{24} is refused", "1" * 10**6),
    ],
    "lone-surrogate": [
        ("a string holds half of a surrogate pair", text)
        for text in ('"\\ud83d"', '{"\\uDE00": 1}', '"\\ude00\\ud83d"', '[[{"a": ["\\ud83dx"]}]]')
    ],
    "too-deep": [
        ("nested too deeply", "[" * 10**5 + "]" * 10**5),
        ("nested too deeply", '{"a":' * 10**5 + "1" + "}" * 10**5),
        ("nested too deeply: at most 200 levels are read", '{"a":' * 100 + "[" * 101 + "]" * 101 + "}" * 100),
    ],
}


@pytest.mark.parametrize("rule", REFUSED)
def test_what_is_no_strict_json_is_refused(rule):
    for said, data in REFUSED[rule]:
        with pytest.raises(ConfigError, match=f"^x.json: {said}") as caught:
            parse(data)
        assert (type(caught.value), caught.value.rule) == (ConfigError, rule)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("number", ["1.0", "1e3", "-0.0", "1E+2", "0.5"])
def test_only_plain_integers_where_floats_are_not_wanted(number):
    assert parse(f"[{number}]") == [float(number)]
    with pytest.raises(ConfigError, match="stands where only plain integers may") as caught:
        parse(f"[{number}]", floats=False)
    assert caught.value.rule == "not-integer"


@pytest.mark.parametrize("digits", [18, 19, 31])
def test_an_integer_has_at_most_the_digits_asked_for(digits, tmp_path):
    for literal in ("9" * digits, "-" + "9" * digits):
        (tmp_path / "x.json").write_text(f'{{"a": {literal}}}')
        assert read_json(tmp_path / "x.json", ConfigError, digits=digits) == {"a": int(literal)}
        with pytest.raises(ConfigError, match=f"the integer {literal[:24]} is refused: at most {digits - 1} digits"):
            read_json(tmp_path / "x.json", ConfigError, digits=digits - 1)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("999999999999999999", 999999999999999999),
        ("-999999999999999999", -999999999999999999),
        ("[1.7976931348623157e308]", [1.7976931348623157e308]),
        ("[1e-400]", [0.0]),
        ("[-0.0]", [0.0]),
        ('"\\ud83d\\ude00"', "😀"),
        ('"\\\\ud83d"', "\\ud83d"),
        ('"\\u0000\x7f"', "\0\x7f"),
        (' \n{"": {"a": {"a": [true, null]}}}\t', {"": {"a": {"a": [True, None]}}}),
        ("[" * 200 + "]" * 200, functools.reduce(lambda inner, _: [inner], range(199), [])),
    ],
)
def test_what_is_json_is_read(data, value):
    assert parse(data) == value


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**16), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@PROPERTY
@given(value=JSON, escaped=st.booleans(), indent=st.sampled_from([None, 2]))
def test_every_value_comes_back(value, escaped, indent, tmp_path_factory):
    again = parse(json.dumps(value, ensure_ascii=escaped, indent=indent))
    assert again == value
    assert json.dumps(again) == json.dumps(value)  # also the types: True is not 1, and 1 is not 1.0
    path = tmp_path_factory.mktemp("json") / "x.json"
    write_json(path, {"b": value, "a": 1})
    assert read_json(path, ConfigError) == {"a": 1, "b": value}


@PROPERTY
@given(data=st.binary(max_size=60) | st.text('{}[]:,"\\ud80/0123456789eE+-.ntrufals \n', max_size=40).map(str.encode))
def test_any_bytes_give_what_pythons_json_gives_or_the_one_error(data):
    try:
        value = parse(data)
    except ConfigError:
        return
    assert value == json.loads(data)


def test_a_file_that_is_no_json_object(tmp_path):
    path = tmp_path / "x.json"
    for text, rule, said in (
        ("[]", "not-an-object", "holds a JSON list, an object was expected"),
        ("null", "not-an-object", "holds a JSON NoneType, an object was expected"),
        ("{", "not-json", "not JSON"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 2\n", "git-lfs", "is a pointer of Git LFS"),
    ):
        path.write_text(text)
        with pytest.raises(CheckpointError, match=rf"x\.json: {said}") as caught:
            read_json(path, CheckpointError)
        assert caught.value.rule == rule
    for path, said in (
        (tmp_path / "absent.json", r"absent\.json: cannot be read: No such file"),
        (tmp_path, "Is a dir"),
    ):
        with pytest.raises(CheckpointError, match=said) as caught:
            read_json(path, CheckpointError)
        assert caught.value.rule == "unreadable"


def test_an_error_keeps_its_class_and_its_rule():
    error = pickle.loads(pickle.dumps(ConfigError("no", "nan").at("here").at("there")))
    assert (type(error), str(error), error.rule) == (ConfigError, "there: here: no", "nan")
    assert ConfigError().rule is None


def test_json_is_written_sorted_indented_and_as_utf8(tmp_path):
    write_json(tmp_path / "x.json", {"b": [1], "a": "é"})
    assert (tmp_path / "x.json").read_bytes() == '{\n  "a": "é",\n  "b": [\n    1\n  ]\n}\n'.encode()


# Replacing a file


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def replace_file(path, *pieces, **how):
    replace_files({path: pieces}, **how)


def failing(error, *pieces):
    yield from pieces
    raise error


@pytest.mark.parametrize("before", [b"old", None])
def test_the_old_content_stands_until_the_new_is_whole(before, tmp_path):
    def pieces(here, other):
        for piece in (b"new", b", and longer"):
            assert [place.read_bytes() if place.exists() else None for place in (here, other)] == [before, before]
            yield piece

    path, other = tmp_path / "file", tmp_path / "other"
    for place in (path, other) if before is not None else ():
        place.write_bytes(before)
    replace_files({path: pieces(path, other), other: pieces(path, other)})
    assert path.read_bytes() == other.read_bytes() == b"new, and longer"
    assert names_in(tmp_path) == ["file", "other"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("before", [b"old", None])
def test_an_interrupted_write_leaves_the_old_files_and_no_others(before, error, tmp_path):
    path, other = tmp_path / "file", tmp_path / "other"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(error):
        replace_files({path: [b"whole"], other: failing(error(), b"half")})
    assert names_in(tmp_path) == ([] if before is None else ["file"])
    assert before is None or path.read_bytes() == before


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_at_the_end_leaves_the_old_file_too(step, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["file"]


def test_what_a_killed_process_left_is_removed_when_it_is_old(tmp_path):
    path, others = tmp_path / "file[1]", [tmp_path / ".file[1].part", tmp_path / ".file[1].my-draft.part"]
    old, young, of_another = (
        tmp_path / f".{name}.part" for name in ("file[1].0123abcd", "file[1].4567cdef", "x.0123abcd")
    )
    for left in (old, young, of_another, *others):
        left.write_bytes(b"half")
    for left, age in ((old, 3700), (young, 3500), *((other, 10**6) for other in (of_another, *others))):
        os.utime(left, (time.time() - age,) * 2)
    replace_file(path, b"new")
    assert names_in(tmp_path) == sorted(each.name for each in (path, young, of_another, *others))


def test_what_is_outdated_stands_until_the_new_file_is_whole(tmp_path):
    path, outdated = tmp_path / "file", tmp_path / "about"
    outdated.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        replace_files({path: failing(KeyboardInterrupt(), b"new")}, outdated=outdated)
    assert outdated.exists()
    replace_file(path, b"new", outdated=outdated)
    assert names_in(tmp_path) == ["file"]
    replace_file(path, b"newer", outdated=outdated)
    assert path.read_bytes() == b"newer"


def test_what_comes_while_a_new_file_is_written_stays(tmp_path, monkeypatch):
    def pieces():
        yield b"new"
        path.write_bytes(b"old")

    path = tmp_path / "file"
    replace_file(path, b"first", is_new=True)
    for links in (True, False):
        if not links:  # a file system without hard links
            monkeypatch.setattr(os, "link", lambda *_: failing(OSError(1, "Operation not permitted")).__next__())
            path.unlink()
            replace_file(path, b"first", is_new=True)
        assert path.read_bytes() == b"first"
        with pytest.raises(FileExistsError, match=f"is there already, and stays as it is: '{path}'"):
            replace_file(path, b"new", is_new=True)
        path.unlink()
        with pytest.raises(FileExistsError):
            replace_files({path: pieces()}, is_new=True)
        assert (path.read_bytes(), names_in(tmp_path)) == (b"old", ["file"])


def test_a_system_error_names_the_file(tmp_path):
    with pytest.raises(OSError, match=r"No space left on device: '.*file'$"):
        replace_files({tmp_path / "file": failing(OSError(28, "No space left on device"))})
    with pytest.raises(FileNotFoundError, match=r"'elsewhere'$"):
        replace_files({tmp_path / "file": failing(FileNotFoundError(2, "No such file", "elsewhere"))})


def test_links_stay(tmp_path):
    (tmp_path / "far").mkdir()
    target, link, name = tmp_path / "far" / "blob", tmp_path / "link", tmp_path / "name"
    target.write_bytes(b"old")
    link.symlink_to("far/blob")
    name.hardlink_to(target)
    replace_file(link, b"new")
    assert link.is_symlink() and (target.read_bytes(), name.read_bytes()) == (b"new", b"old")
    assert (names_in(tmp_path), names_in(tmp_path / "far")) == (["far", "link", "name"], ["blob"])
    target.unlink()
    replace_file(link, b"again")
    assert link.is_symlink() and target.read_bytes() == b"again"
    for circle, other in (("a", "b"), ("b", "a")):
        (tmp_path / circle).symlink_to(other)
    with pytest.raises(OSError, match="is no regular file"):
        replace_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").is_symlink() and (tmp_path / "b").is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_what_is_no_regular_file_stays(tmp_path):
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for place in (pipe, link):
        with pytest.raises(OSError, match=f"is no regular file: '{place}'"):
            replace_file(place, b"new")
    assert link.is_symlink() and pipe.is_fifo() and names_in(tmp_path) == ["link", "pipe"]


RENAMING = "import sys; from pathlib import Path; from pyled.files import write_json; write_json(Path(sys.argv[1]), {})"


@pytest.mark.skipif(os.name != "posix", reason="there are no such locks here")
def test_one_process_at_a_time_renames_in_a_folder(tmp_path):
    command = [sys.executable, "-c", RENAMING, str(tmp_path / "file")]
    with contextlib.ExitStack() as stack:
        with locked(tmp_path):
            child = stack.enter_context(subprocess.Popen(command, cwd=ROOT))
            while not names_in(tmp_path):
                time.sleep(0.01)
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(0.5)
            (part,) = names_in(tmp_path)
            assert part.endswith(".part")
        assert child.wait() == 0
    assert names_in(tmp_path) == ["file"]


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_the_mode_stays_and_a_new_file_has_the_usual_one(tmp_path, monkeypatch):
    path = tmp_path / "file"
    old = os.umask(0o027)
    try:
        replace_file(path, b"new")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    for mode in (0o600, 0o664, 0o755):
        path.chmod(mode)
        replace_files({path: (stat.filemode(part.stat().st_mode).encode() for part in tmp_path.glob(".file.*"))})
        assert (stat.S_IMODE(path.stat().st_mode), path.read_text()) == (mode, stat.filemode(path.stat().st_mode))
    path.chmod(0o444)
    monkeypatch.setattr(os, "access", lambda place, mode: False)  # as it is for all but root
    with pytest.raises(PermissionError, match=f"is read-only: '{path}'"):
        replace_file(path, b"newest")
    assert path.read_text() == "-rwxr-xr-x"


def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"'{tmp_path / 'absent' / 'file'}'$"):
        replace_file(tmp_path / "absent" / "file", b"x")
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path, b"x")
    assert names_in(tmp_path) == []
    assert names_in(tmp_path.parent).count(tmp_path.name) == 1
