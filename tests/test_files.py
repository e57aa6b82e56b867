"""Strict JSON, and files that are replaced whole or not at all."""

import json
import os
import stat

import pytest
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

from pyled.errors import CheckpointError, ConfigError, PyledError
from pyled.files import parse_json, read_json, replace_file, write_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17) + 1, 10**17)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: str(x) != "-0")
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)

REFUSED = {
    "not_utf8": (b'{"a": "\xff"}', "byte 7 is not UTF-8"),
    "surrogate_bytes": (b'"\xed\xa0\x80"', "byte 1 is not UTF-8"),
    "bom": (b"\xef\xbb\xbf{}", "not JSON: Unexpected UTF-8 BOM"),
    "empty": (b"", "not JSON: Expecting value at line 1, column 1"),
    "second_line": (b'{\n"a" 1}', "at line 2, column 5"),
    "two_values": (b"{} {}", "Extra data"),
    "trailing_nul": (b"{}\0", "Extra data"),
    "duplicate": (b'{"a": 1, "b": {}, "a": 1}', "the key 'a' stands twice"),
    "duplicate_inside": (b'[{"a": {"b": 1, "b": 2}}]', "the key 'b' stands twice"),
    "duplicate_escaped": (b'{"a": 1, "\\u0061": 1}', "the key 'a' stands twice"),
    "nan": (b'{"a": NaN}', "NaN is no JSON value"),
    "infinity": (b"[Infinity]", "Infinity is no JSON value"),
    "minus_infinity": (b"[-Infinity]", "-Infinity is no JSON value"),
    "minus_zero": (b"[-0]", "the integer -0 is refused"),
    "19_digits": (b"[1000000000000000000]", "at most 18 digits"),
    "5000_digits": (b"[" + b"9" * 5000 + b"]", "at most 18 digits"),
    "beyond_float64": (b"[1e999]", "1e999 is beyond the range of float64"),
    "high_surrogate": (b'["\\ud83d"]', "half of a surrogate pair"),
    "low_surrogate": (b'{"\\uDE00": 1}', "half of a surrogate pair"),
    "reversed_pair": (b'["\\ude00\\ud83d"]', "half of a surrogate pair"),
    "deep_arrays": (b"[" * 200_000, "nested too deeply"),
    "deep_objects": (b'{"a":' * 200_000, "nested too deeply"),
    "control_character": (b'["\x01"]', "Invalid control character"),
    "leading_zero": (b"[01]", "not JSON"),
    "plus": (b"[+1]", "not JSON"),
    "hexadecimal": (b"[0x10]", "not JSON"),
    "trailing_comma": (b"[1,]", "not JSON"),
    "comment": (b"[1] // one", "not JSON"),
    "single_quotes": (b"{'a': 1}", "not JSON"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_json_is_refused_with_its_reason(name):
    data, reason = REFUSED[name]
    with pytest.raises(ConfigError) as caught:
        parse_json(data, "here.json", ConfigError)
    assert str(caught.value).startswith("here.json: ")
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("number", ["16.0", "16e0", "1E3", "-0.0", "0.5", "1e-9"])
def test_floats_are_refused_where_only_integers_may_stand(number):
    assert parse_json(number.encode(), "x", PyledError) == float(number)
    with pytest.raises(CheckpointError, match="only plain integers"):
        parse_json(f"[{number}]".encode(), "x", CheckpointError, floats=False)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('"\\\\ud83d"', "\\ud83d"),  # a backslash, and no escape of a surrogate
        ('"\u2028\x7f"', "\u2028\x7f"),
        (" \t\r\n0 ", 0),
        ("999999999999999999", 10**18 - 1),
        ("[true, false, null]", [True, False, None]),
        ("[" * 100 + "]" * 100, None),
    ],
)
def test_what_is_json_is_read(text, value):
    found = parse_json(text.encode(), "x", PyledError)
    assert value is None or (found == value and type(found) is type(value))


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(VALUES)
def test_json_that_python_writes_is_read_back(value):
    for ascii_only in (True, False):
        assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode(), "x", PyledError) == value


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(st.binary(max_size=60) | st.text('{}[]":,\\u01dD8-eE.+ \nNaInfty', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(data):
    try:
        parse_json(data, "x", CheckpointError)
    except CheckpointError as e:
        assert type(e) is CheckpointError  # a ValueError of json, or a subclass of our own, is no CheckpointError


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_a_missing_file_and_a_folder_are_said(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.json: cannot be read: No such file"):
        read_json(tmp_path / "absent.json", ConfigError)
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_json(tmp_path, ConfigError)


@pytest.mark.parametrize(("data", "kind"), [("[]", "list"), ('"a"', "str"), ("null", "NoneType"), ("1", "int")])
def test_a_file_that_holds_no_object_is_refused(tmp_path, data, kind):
    path = tmp_path / "a.json"
    path.write_text(data)
    with pytest.raises(CheckpointError, match=f"a.json: holds a JSON {kind}, an object was expected"):
        read_json(path, CheckpointError)


def test_json_is_written_sorted_indented_and_in_utf8(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, None], "a": "\u00e9"})
    expected = '{\n  "a": "\u00e9",\n  "b": [\n    1,\n    null\n  ]\n}\n'
    assert (tmp_path / "a.json").read_bytes() == expected.encode()


def test_a_file_is_replaced_at_the_end_and_not_before(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    before = path.open("rb")
    with replace_file(path) as file:
        file.write(b"new, and longer")
        file.flush()
        assert path.read_bytes() == b"old"
    with before:
        assert before.read() == b"old"  # whoever had it open, or mapped, keeps the old content
    assert path.read_bytes() == b"new, and longer"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_write_changes_nothing(tmp_path, there, error):
    path = tmp_path / "a"
    if there:
        path.write_bytes(b"old")
    with pytest.raises(error), replace_file(path) as file:
        file.write(b"half of")
        raise error
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"] * there


def test_a_failing_disk_changes_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), replace_file(path) as file:
        file.write(b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def test_json_that_cannot_be_written_changes_nothing(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert read_json(tmp_path / "a.json", ConfigError) == {"a": 1}
    assert names(tmp_path) == ["a.json"]


def test_a_symbolic_link_is_written_through(tmp_path):
    (tmp_path / "blobs").mkdir()
    target = tmp_path / "blobs" / "content"
    target.write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to("blobs/content")
    (tmp_path / "chain").symlink_to("link")
    with replace_file(tmp_path / "chain") as file:
        file.write(b"new")
    assert link.is_symlink()
    assert (tmp_path / "chain").is_symlink()
    assert target.read_bytes() == b"new"
    assert names(tmp_path / "blobs") == ["content"]


def test_a_link_to_nothing_makes_its_target(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("target")
    with replace_file(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_permissions_stay(tmp_path, mode):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(mode)
    with replace_file(path) as file:
        file.write(b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_file_in_a_folder_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError), replace_file(tmp_path / "absent" / "a"):
        pass
