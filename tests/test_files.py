"""Strict JSON, and files that are replaced whole or not at all."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

from pyled.errors import CheckpointError, ConfigError
from pyled.files import parse_json, read_json, replace_file, write_json

PROPERTY = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)


def parse(data, **options):
    return parse_json(data if isinstance(data, bytes) else data.encode(), "x.json", ConfigError, **options)


REFUSED = {
    "empty": (b"", "not JSON: Expecting value at line 1, column 1"),
    "not_utf8": (b'{"a": "\xff"}', "byte 7 is not UTF-8"),
    "utf8_of_a_surrogate": (b'"\xed\xa0\x80"', "byte 1 is not UTF-8"),
    "utf8_overlong": (b'"\xc0\xaf"', "byte 1 is not UTF-8"),
    "utf16": ('{"a": 1}'.encode("utf-16"), "byte 0 is not UTF-8"),
    "bom": (b"\xef\xbb\xbf{}", "not JSON: Unexpected UTF-8 BOM"),
    "duplicate_key": ('{"a": 1, "b": 2, "a": 1}', "the key 'a' stands twice"),
    "duplicate_key_escaped": ('{"a": 1, "\\u0061": 2}', "the key 'a' stands twice"),
    "duplicate_key_inside": ('{"x": [{"k": 1, "k": 1}]}', "the key 'k' stands twice"),
    "duplicate_key_long": ('{"a": 1, "a": 1}'.replace("a", "k" * 10**6), "the key 'k{100}' stands twice"),
    "nan": ('{"a": NaN}', "NaN is no JSON value"),
    "infinity": ("[Infinity]", "Infinity is no JSON value"),
    "minus_infinity": ("[-Infinity]", "-Infinity is no JSON value"),
    "beyond_float64": ("[1e400]", "1e400 is beyond the range of float64"),
    "beyond_float64_below": ("[-1.5E+999]", r"-1.5E\+999 is beyond the range of float64"),
    "minus_zero": ("[-0]", "the integer -0 is refused: at most 18 digits, and no -0"),
    "19_digits": ("[1234567890123456789]", "the integer 1234567890123456789 is refused"),
    "million_digits": ("1" * 10**6, "the integer 1{24} is refused"),
    "lone_high_surrogate": ('"\\ud83d"', "a string holds half of a surrogate pair"),
    "lone_low_surrogate": ('{"\\uDE00": 1}', "a string holds half of a surrogate pair"),
    "reversed_surrogates": ('"\\ude00\\ud83d"', "a string holds half of a surrogate pair"),
    "lone_surrogate_inside": ('[[{"a": ["\\ud83dx"]}]]', "a string holds half of a surrogate pair"),
    "deep_list": ("[" * 10**5 + "]" * 10**5, "nested too deeply"),
    "deep_object": ('{"a":' * 10**5 + "1" + "}" * 10**5, "nested too deeply"),
    "leading_zero": ("[01]", "not JSON"),
    "plus": ("[+1]", "not JSON"),
    "hexadecimal": ("[0x1]", "not JSON"),
    "no_digit_after_point": ("[1.]", "not JSON"),
    "no_digit_before_point": ("[.5]", "not JSON"),
    "trailing_comma": ("[1,]", "not JSON"),
    "comment": ("[1] // one", "not JSON: Extra data"),
    "single_quotes": ("{'a': 1}", "not JSON"),
    "control_character": ('"a\tb"', "not JSON: Invalid control character"),
    "bad_escape": (r'"\x41"', "not JSON: Invalid"),
    "two_values": ("{} {}", "not JSON: Extra data at line 1, column 4"),
    "nul_behind": (b"{}\0", "not JSON: Extra data"),
    "second_line": ("{\n  nul\n}", "not JSON: .* at line 2, column 3"),
}


@pytest.mark.parametrize("rule", REFUSED)
def test_what_is_no_strict_json_is_refused(rule):
    data, said = REFUSED[rule]
    with pytest.raises(ConfigError, match=f"^x.json: {said}") as caught:
        parse(data)
    assert type(caught.value) is ConfigError
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("number", ["1.0", "1e3", "-0.0", "1E+2", "0.5"])
def test_only_plain_integers_where_floats_are_not_wanted(number):
    assert parse(f"[{number}]") == [float(number)]
    with pytest.raises(ConfigError, match="stands where only plain integers may"):
        parse(f"[{number}]", floats=False)


@pytest.mark.parametrize("digits", [18, 19, 31])
def test_an_integer_has_at_most_the_digits_asked_for(digits, tmp_path):
    path = tmp_path / "x.json"
    for most in ("9" * digits, "-" + "9" * digits):
        path.write_text(f'{{"a": {most}}}')
        assert read_json(path, ConfigError, digits=digits) == {"a": int(most)}
        with pytest.raises(ConfigError, match=f"the integer {most[:24]}.* is refused: at most {digits} digits"):
            parse(f"[{most}9]", digits=digits)
        with pytest.raises(ConfigError, match=f"at most {digits - 1} digits"):
            read_json(path, ConfigError, digits=digits - 1)


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
        ("[" * 200 + "]" * 200, None),
    ],
)
def test_what_is_json_is_read(data, value):
    found = parse(data)
    if value is not None:
        assert found == value


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
def test_every_value_comes_back(value, escaped, indent):
    found = parse(json.dumps(value, ensure_ascii=escaped, indent=indent))
    assert found == value
    assert json.dumps(found) == json.dumps(value)  # also the types: True is not 1, and 1 is not 1.0


@PROPERTY
@given(data=st.binary(max_size=60) | st.text('{}[]:,"\\ud80/0123456789eE+-.ntrufals \n', max_size=40).map(str.encode))
def test_any_bytes_give_what_pythons_json_gives_or_the_one_error(data):
    try:
        found = parse(data)
    except ConfigError:
        return
    assert found == json.loads(data)


def test_a_json_file(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"b": "é", "a": 1}', encoding="utf-8")
    assert read_json(path, CheckpointError) == {"b": "é", "a": 1}
    for text, kind in (("[]", "list"), ("1", "int"), ("null", "NoneType"), ('"x"', "str")):
        path.write_text(text)
        with pytest.raises(CheckpointError, match=f"x.json: holds a JSON {kind}, an object was expected"):
            read_json(path, CheckpointError)
    path.write_text("{")
    with pytest.raises(CheckpointError, match=r"x\.json: not JSON"):
        read_json(path, CheckpointError)
    with pytest.raises(CheckpointError, match=r"absent\.json: cannot be read: No such file"):
        read_json(tmp_path / "absent.json", CheckpointError)
    with pytest.raises(CheckpointError, match="cannot be read: Is a directory"):
        read_json(tmp_path, CheckpointError)


@PROPERTY
@given(value=st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=5), JSON, max_size=4))
def test_what_is_written_is_read_back(value, tmp_path_factory):
    path = tmp_path_factory.mktemp("json") / "x.json"
    write_json(path, value)
    assert json.dumps(read_json(path, ConfigError), sort_keys=True) == json.dumps(value, sort_keys=True)
    before = path.read_bytes()
    write_json(path, dict(reversed(value.items())))
    assert path.read_bytes() == before


def test_json_is_written_sorted_indented_and_as_utf8(tmp_path):
    write_json(tmp_path / "x.json", {"b": [1], "a": "é"})
    assert (tmp_path / "x.json").read_bytes() == '{\n  "a": "é",\n  "b": [\n    1\n  ]\n}\n'.encode()


# Replacing a file


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "file"
    with replace_file(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert names_in(tmp_path) == ["file"]


def test_the_old_content_stands_until_the_new_is_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with path.open("rb") as opened:
        with replace_file(path) as file:
            file.write(b"new, and longer")
            file.flush()
            assert path.read_bytes() == b"old"
        assert path.read_bytes() == b"new, and longer"
        assert opened.read() == b"old"


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("before", [b"old", None])
def test_an_interrupted_write_leaves_the_old_file_and_no_other(before, error, tmp_path):
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(error), replace_file(path) as file:
        file.write(b"half")
        raise error
    assert names_in(tmp_path) == ([] if before is None else ["file"])
    assert before is None or path.read_bytes() == before


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_at_the_end_leaves_the_old_file_too(step, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OSError, match="No space left"), replace_file(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["file"]


def test_a_killed_process_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    code = (
        "import os, sys, pathlib; from pyled.files import replace_file\n"
        "with replace_file(pathlib.Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); os._exit(9)\n"
    )
    root = str(Path(__file__).parent.parent)
    done = subprocess.run([sys.executable, "-c", code, str(path)], env={**os.environ, "PYTHONPATH": root}, check=False)
    assert done.returncode == 9
    assert path.read_bytes() == b"old"
    with replace_file(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_a_symbolic_link_is_written_through(tmp_path):
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "blob", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to("far/blob")
    with replace_file(link) as file:
        file.write(b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"
    assert (names_in(tmp_path), names_in(tmp_path / "far")) == (["far", "link"], ["blob"])
    target.unlink()
    with replace_file(link) as file:
        file.write(b"again")
    assert link.is_symlink() and target.read_bytes() == b"again"


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_the_mode_is_kept_and_a_new_file_has_the_usual_one(tmp_path):
    path = tmp_path / "file"
    old = os.umask(0o027)
    try:
        with replace_file(path) as file:
            file.write(b"new")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    for mode in (0o600, 0o664, 0o444):
        path.chmod(mode)
        with replace_file(path) as file:
            file.write(b"newer")
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(FileNotFoundError), replace_file(tmp_path / "absent" / "file") as file:
        file.write(b"x")
    with pytest.raises(IsADirectoryError), replace_file(tmp_path) as file:
        file.write(b"x")
    assert names_in(tmp_path) == []
    assert names_in(tmp_path.parent).count(tmp_path.name) == 1
