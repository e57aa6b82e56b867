"""The safetensors reader against files written here byte by byte, and the writer against the reader."""

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pyled.checkpoint import read_safetensors, weight_file, write_safetensors
from pyled.checkpoint import safetensors as module
from pyled.errors import CheckpointError

PROPERTY = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
F32 = b'{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"


def file_of(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A file by the rules: eight bytes of length, the header, the data."""
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


def entry(dtype=b'"F32"', shape=b"[2]", offsets=b"[0,8]", data=b"\0" * 8) -> bytes:
    """A file of one tensor, a field of which is not as it should be."""
    return file_of(b'{"a":{"dtype":%b,"shape":%b,"data_offsets":%b}}' % (dtype, shape, offsets), data)


def named(name: bytes, second: bytes = b"") -> bytes:
    """A file of one F32 tensor of this name, and of a second entry."""
    return file_of(b'{"%b":%b%b}' % (name, F32, second), bytes(8))


def test_a_file_that_memory_does_not_hold_is_mapped_or_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    path.write_bytes(entry())
    for memory in (path.stat().st_size, path.stat().st_size - 1):
        monkeypatch.setattr(weight_file, "physical_memory", lambda memory=memory: memory)
        assert read_safetensors(path)["a"].shape == (2,)
        if memory == path.stat().st_size:
            assert read_safetensors(path, mmap=False)["a"].shape == (2,)
    with pytest.raises(CheckpointError, match="do not fit into memory: read it with mmap=True"):
        read_safetensors(path, mmap=False)


def two(first, second, size=8):
    """A file of two U8 tensors that lie from offset to offset."""
    line = '"{}":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}}'
    spans = [("a", *first), ("b", *second)]
    header = ",".join(line.format(name, end - begin, begin, end) for name, begin, end in spans)
    return file_of(f"{{{header}}}".encode(), bytes(size))


def read(data: bytes, folder, **options):
    path = folder / "model.safetensors"
    path.write_bytes(data)
    return read_safetensors(path, **options)


def fields(field, *values, **more):
    """Files of one tensor, with each of these values in a field."""
    return [entry(**{field: value.encode()}, **more) for value in values]


# rule: (what its message says of the first file, the files that break it)
REFUSED = {
    "file-too-short": ("7 bytes, a safetensors file has at least 8", [bytes(7), b""]),
    "git-lfs": ("is a pointer of Git LFS.*git lfs pull", [LFS]),
    "header-too-long": (
        "a header of 100,000,001 bytes, at most 100,000,000",
        [file_of(b"{}", length=n) for n in (100_000_001, 2**63, 2**64 - 4, 2**64 - 1)],
    ),
    "header-beyond-end": (
        "a header of 3 bytes in a file of 10", [file_of(b"{}", length=3), file_of(b"{}", length=100_000_000)]
    ),
    "header-start": (
        "begins with b' ', not with '{'", list(map(file_of, (b" {}", b"\n{}", b"", b"\xef\xbb\xbf{}", b"[]")))
    ),
    "not-utf8": ("byte 2 is not UTF-8", [named(b"\xff")]),
    "not-json": (
        "not JSON: Extra data",
        [*map(file_of, (b"{}\0\0", b"{}x", b"{}{}", b"{}\v", b"{'a':1}", b"{/* */}")), named(b"a", b","),
         named(b"a\nb"), *fields("offsets", "[0,08]", "[0,+8]")],
    ),
    "duplicate-key": (
        "the key 'a' stands twice",
        [named(b"a", b',"a":' + F32), named(b"a", b',"\\u0061":' + F32), entry(b'"F32","dtype":"F32"'),
         file_of(b'{"__metadata__":{},"__metadata__":{}}'), file_of(b'{"__metadata__":{"k":"1","k":"1"}}'),
         named(b"n" * 10**6, b',"%b":0' % (b"n" * 10**6))],
    ),
    "nan": ("NaN is no JSON value", [file_of(b'{"a":NaN}'), file_of(b'{"a":-Infinity}')]),
    "lone-surrogate": ("half of a surrogate pair", [named(b"\\ud800"), file_of(b'{"__metadata__":{"k":"\\udc00"}}')]),
    "too-deep": ("nested too deeply", [file_of(b'{"a":' + b"[" * 10**5 + b"]" * 10**5 + b"}")]),
    "integer": (
        "the integer -0 is refused: at most 18 digits",
        [*fields("offsets", "[-0,8]", f"[0,{2**64}]"), *fields("shape", "[-0]", f"[{'1' * 10**5}]")],
    ),
    "not-integer": (
        "8.0 stands where only plain integers may",
        [*fields("offsets", "[0,8.0]", "[0,8e0]"), *fields("shape", "[2.0]", "[2e0]")],
    ),
    "metadata": (
        "__metadata__ must map strings to strings",
        [file_of(b'{"__metadata__":%b}' % value) for value in (b"[]", b'{"k":1}', b'{"k":{"l":"m"}}', b"null")],
    ),
    "name": (r"'a\\x00b': a name is neither empty nor holds a NUL", [named(b"a\\u0000b"), named(b"")]),
    "entry": (
        "'a': an entry is an object of dtype, shape and data_offsets, and nothing else",
        [file_of(b'{"a":{"dtype":"F32","shape":[2]}}', bytes(8)), file_of(b'{"a":["F32",[2],[0,8]]}', bytes(8)),
         file_of(b'{"a":null}'), file_of(b'{"%b":{}}' % (b"n" * 10**6)), entry(offsets=b'[0,8],"x":0')],
    ),
    "dtype": (
        "'a': dtype 'F128' is none of BOOL, ",
        fields("dtype", '"F128"', '"f32"', '{"F32":1}', '["F32"]', "null", f'"{"F" * 10**6}"'),
    ),
    "dtype-not-read": ("'a': dtype F8_E4M3 is not read: convert the file to F32", fields("dtype", '"F8_E4M3"', '"F4"')),
    "shape": (
        r"'a': a shape is a list of at most 32 integers from 0 to 2\*\*48 - 1",
        fields("shape", "[true]", '["2"]', "null", "2", "[-1,-2]", f"[{2**48}]", f"[{'1,' * 32}2]"),
    ),
    "offsets": (
        r"'a': data_offsets is a list of two integers from 0 to 2\*\*48 - 1",
        fields("offsets", "[8]", "[0,8,8]", "[false,8]", '["0",8]', "null", "[-8,0]", f"[0,{2**48}]"),
    ),
    "offsets-reversed": ("begins at byte 8 and ends before, at 0", fields("offsets", "[8,0]")),
    "shape-too-large": (  # products that wrap to 0 in 64 bits, and a 0 that may hide one
        r"the sizes of shape \[4294967296, 4294967296\] multiply to more than 2\*\*48 - 1 bytes",
        fields(
            *("shape", "[4294967296,4294967296]", "[0,4294967296,65536]", "[4294967296,65536,0]", "[70368744177664,0]"),
            offsets=b"[0,0]", data=b"",
        ),
    ),
    "shape-against-offsets": (r"F32 of shape \[3\] takes 12 bytes, data_offsets span 8", fields("shape", "[3]", "[]")),
    "hole": (
        "tensor 'a' begins at byte 1 and leaves a hole before: 0 was expected",
        [two((1, 4), (4, 8)), two((0, 4), (5, 8))],
    ),
    "overlap": (
        "tensor 'b' begins at byte 4 and overlaps the tensor before: 5 was expected",
        [two((0, 5), (4, 8)), two((0, 8), (0, 8)), two((0, 8), (4, 4))],
    ),
    "data-left-over": (
        "bytes that no tensor has: the tensors end at byte 8, the data at 9",
        [entry(data=bytes(9)), file_of(b"{}", b"\0")],
    ),
    "data-cut-short": (
        "cut short: the tensors end at byte 8, the data at 7", [entry(data=bytes(7)), entry(data=b"")]
    ),
    "bool": ("'a': a BOOL byte is 2, only 0 and 1 are", [entry(b'"BOOL"', b"[8]", data=b"\0\1\2\0\0\0\0\0")]),
}  # fmt: skip
NOT_DAMAGE = ("git-lfs", "dtype-not-read")  # these have remedies of their own


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("rule", REFUSED)
def test_a_file_that_breaks_a_rule_is_refused_by_it(rule, mmap, tmp_path):
    said, files = REFUSED[rule]
    for data in files:
        with pytest.raises(CheckpointError, match=f"(?s)safetensors: .*{said if data is files[0] else ''}") as caught:
            read(data, tmp_path, mmap=mmap)
        message = str(caught.value)
        assert caught.value.rule == rule, message
        assert message.startswith(f"{tmp_path / 'model.safetensors'}: ") and len(message) < 1000
        assert message.endswith("The file is damaged: fetch it again, or write it anew") is (rule not in NOT_DAMAGE)


def one(dtype, shape, data, values, kind):
    """A file of one tensor, and its array."""
    return entry(f'"{dtype}"'.encode(), shape, b"[0,%d]" % len(data), data), {"a": np.array(values, kind)}


ACCEPTED = {
    "nothing": (file_of(b"{}"), {}),
    "spaces_behind_the_header": (file_of(b"{}     "), {}),
    "white_space_behind_the_header": (file_of(b"{}\n\t \r\n"), {}),
    "metadata_only": (file_of(b'{"__metadata__":{"format":"pt","":""}}'), {}),
    "white_space_inside": (file_of(b'{ "a"\n:\t' + F32 + b"\r}", bytes(8)), {"a": np.zeros(2, np.float32)}),
    "rank_0": one("F32", b"[]", b"\0\0\x80\x3f", 1, "f4"),
    "rank_32": (entry(b'"U8"', b"[" + b"1," * 31 + b"8]"), {"a": np.zeros((1,) * 31 + (8,), np.uint8)}),
    "zero_size": one("F32", b"[0]", b"", [], "f4"),
    "zero_size_among_sizes": one("F32", b"[3,0,5]", b"", np.zeros((3, 0, 5)), "f4"),
    "largest_product_with_zero": one("U8", b"[281474976710655,0]", b"", np.zeros((2**48 - 1, 0), "u1"), "u1"),
    "zero_size_at_the_start": (two((0, 0), (0, 8)), {"a": np.zeros(0, "u1"), "b": np.zeros(8, "u1")}),
    "zero_size_listed_behind": (two((0, 8), (0, 0)), {"a": np.zeros(8, "u1"), "b": np.zeros(0, "u1")}),
    "zero_size_at_the_end": (two((0, 8), (8, 8)), {"a": np.zeros(8, "u1"), "b": np.zeros(0, "u1")}),
    "out_of_order": (two((4, 8), (0, 4)), {"a": np.zeros(4, "u1"), "b": np.zeros(4, "u1")}),
    "unaligned_tensor": (
        file_of(
            b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[1,9]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
            b"\7\0\0\x80\x3f\0\0\0\x40",
        ),
        {"a": np.array([1, 2], np.float32), "b": np.array([7], np.uint8)},
    ),
    "unaligned_data": (file_of(b'{"a":' + F32 + b"} ", b"\0\0\x80\x3f\0\0\0\x40"), {"a": np.array([1, 2], "f4")}),
    "name_escaped": (named(b"\\u00e9\\ud83d\\ude00"), {"é😀": np.zeros(2, np.float32)}),
    "name_utf8": (named("é😀\u0085".encode()), {"é😀\u0085": np.zeros(2, np.float32)}),
    "BF16": one("BF16", b"[4]", b"\x80\x3f\x00\xc0\x80\x7f\x01\x00", [1, -2, np.inf, 2**-133], "f4"),
}


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("kind", ACCEPTED)
def test_an_odd_file_within_the_rules_is_read(kind, mmap, tmp_path):
    data, expected = ACCEPTED[kind]
    tensors = read(data, tmp_path, mmap=mmap)
    assert set(tensors) == set(expected)
    for name, array in expected.items():
        assert (tensors[name].shape, tensors[name].dtype) == (array.shape, array.dtype)
        assert tensors[name].tobytes() == array.tobytes()
        assert type(tensors[name]) is np.ndarray and not tensors[name].flags.writeable


def test_every_bfloat16_is_widened_exactly(tmp_path):
    bits = np.arange(2**16, dtype="<u2")
    widened = read(entry(b'"BF16"', b"[65536]", b"[0,131072]", bits.tobytes()), tmp_path)["a"]
    assert widened.dtype == np.float32
    expected = np.frombuffer(b"".join(b"\0\0" + pair.tobytes() for pair in bits), "<u4")
    assert np.array_equal(widened.view("<u4"), expected)


def test_mapped_arrays_are_views_of_the_file_and_others_are_not(tmp_path):
    mapped, copied = (read(entry(), tmp_path, mmap=mmap)["a"] for mmap in (True, False))
    with (tmp_path / "model.safetensors").open("r+b") as file:
        file.seek(-8, os.SEEK_END)
        file.write(b"\0\0\x80\x3f")
    assert (mapped.tolist(), copied.tolist()) == ([1, 0], [0, 0])


TENSORS = st.dictionaries(
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12).filter(
        lambda name: name != "__metadata__"
    ),
    st.one_of(
        *(
            arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
            for dtype in ("?", "u1", "i1", "<i2", "<u2", "<f2", "<i4", "<u4", "<f4", "<c8", "<i8", "<u8", "<f8")
        ),
        arrays.arrays(">f4", arrays.array_shapes(max_dims=2, max_side=4)),
        arrays.arrays("<f8", arrays.array_shapes(min_dims=2, max_dims=3, max_side=4)).map(lambda a: a.T[::-1]),
    ),
    max_size=6,
)


@PROPERTY
@given(tensors=TENSORS, mmap=st.booleans())
def test_what_is_written_is_read_back(tensors, mmap, tmp_path_factory):
    path = tmp_path_factory.mktemp("round") / "model.safetensors"
    write_safetensors(path, tensors)
    again = read_safetensors(path, mmap=mmap)
    assert set(again) == set(tensors)
    for name, array in tensors.items():
        little = array.astype(array.dtype.newbyteorder("<"))
        assert (again[name].dtype, again[name].shape) == (little.dtype, array.shape)
        assert again[name].tobytes() == little.tobytes()
    before = path.read_bytes()
    write_safetensors(path, dict(reversed(tensors.items())))
    assert path.read_bytes() == before
    assert int.from_bytes(before[:8], "little") % 8 == 0


SMALL = {"b": np.arange(6, dtype="<f4").reshape(2, 3), "a": np.array([True, False]), "c": np.array(3, "<i8")}


def test_no_truncation_extension_or_changed_byte_gives_other_shapes(tmp_path):
    """Cut anywhere and longer it is refused. Each bit may turn, each byte become a quote or a digit.

    Names and types can change so that the file keeps the rules; a change behind the header leaves names as they are.
    """
    write_safetensors(tmp_path / "small.safetensors", SMALL)
    whole = (tmp_path / "small.safetensors").read_bytes()
    for data in (*(whole[:size] for size in range(len(whole))), whole + b"\0", whole + whole):
        with pytest.raises(CheckpointError):
            read(data, tmp_path)
    start = 8 + int.from_bytes(whole[:8], "little")
    shapes = {array.shape for array in SMALL.values()}
    counts = {"loaded": 0, "refused": 0}
    for position, old in enumerate(whole):
        for new in {*(old ^ (1 << bit) for bit in range(8)), *b'"0'} - {old}:
            try:
                tensors = read(whole[:position] + bytes([new]) + whole[position + 1 :], tmp_path)
            except CheckpointError:
                counts["refused"] += 1
                continue
            counts["loaded"] += 1
            assert {array.shape for array in tensors.values()} == shapes
            assert position < start or set(tensors) == set(SMALL)
    assert all(counts.values())


# Memory, and the system


def peak_of(call) -> int:
    """The most bytes that were allocated at once during a call."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refused(data, folder, rule):
    def call():
        with pytest.raises(CheckpointError) as caught:
            read(data, folder)
        assert caught.value.rule == rule

    return call


def test_what_a_header_declares_allocates_nothing(tmp_path):
    for length, rule in ((99_999_999, "header-beyond-end"), (2**40, "header-too-long"), (2**64 - 1, "header-too-long")):
        assert peak_of(refused(file_of(b"{}" + b" " * 100, length=length), tmp_path, rule)) < 200_000
    shape = b'{"dtype":"F32","shape":[200,200],"data_offsets":[0,160000]}'
    header = b"{" + b",".join(b'"%d":%b' % (i, shape) for i in range(10**5)) + b"}"
    many = refused(file_of(header, bytes(160_000)), tmp_path, "overlap")
    assert peak_of(many) < 25 * len(header)  # the arrays would be 16 GB


def test_a_mapped_file_is_not_allocated_and_bfloat16_takes_twice_its_size(tmp_path):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": np.zeros(2**22, np.float32)})
    assert peak_of(lambda: read_safetensors(path)) < 2**20
    assert 2**24 <= peak_of(lambda: read_safetensors(path, mmap=False)) < 2**24 + 2**20
    path.write_bytes(entry(b'"BF16"', b"[4194304]", b"[0,8388608]", bytes(2**23)))
    assert peak_of(lambda: read_safetensors(path)) < 2**24 + 2**20


def test_memory_that_does_not_suffice_is_said(tmp_path, monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(np, "fromfile", full)
    with pytest.raises(CheckpointError, match="its 1,000,073 bytes do not fit into memory: read it with mmap=True"):
        read(entry(b'"U8"', b"[1000000]", b"[0,1000000]", bytes(10**6)), tmp_path, mmap=False)


def test_a_file_that_cannot_be_opened(tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.safetensors: cannot be read: No such file") as caught:
        read_safetensors(tmp_path / "absent.safetensors")
    assert caught.value.rule == "unreadable"
    with pytest.raises(CheckpointError, match="cannot be read: Is a directory"):
        read_safetensors(tmp_path)


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("left", ["data", "nothing"])
def test_a_file_that_shrinks_while_it_is_read(left, mmap, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    check = module._checked_entries

    def shrink(*arguments):
        os.truncate(path, 0 if left == "nothing" else path.stat().st_size - 1)
        return check(*arguments)

    monkeypatch.setattr(module, "_checked_entries", shrink)
    with pytest.raises(CheckpointError, match="changed while it was read: read it again") as caught:
        read(entry(), tmp_path, mmap=mmap)
    assert caught.value.rule == "changed"


OPEN_FILES = Path("/proc/self/fd")


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="open files are counted where Linux lists them")
def test_no_file_stays_open(tmp_path):
    before = len(list(OPEN_FILES.iterdir()))
    for mmap in (True, False):
        read(entry(), tmp_path, mmap=mmap)
    for _, files in REFUSED.values():
        for data in files:
            with pytest.raises(CheckpointError):
                read(data, tmp_path)
    assert len(list(OPEN_FILES.iterdir())) == before


# Writing


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"": np.zeros(2)}, "tensor '': a name is neither empty nor holds a NUL"),
        ({"a\ud800": np.zeros(2)}, r"half of a surrogate pair: '\\ud800'"),
        ({"__metadata__": np.zeros(2)}, "__metadata__ must map strings to strings"),
        ({"a": np.zeros(2, np.complex128)}, "tensor 'a' is of complex128: make it one of bool, uint8"),
        ({"a": np.array([None])}, "tensor 'a' is of object"),
        ({"n" * 1000 + str(i): np.zeros(0) for i in range(100)}, "its header takes 1[0-9,]* bytes, at most 50,000"),
    ],
)
def test_what_the_format_lacks_is_not_written(tensors, said, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_HEADER", 50_000)
    with pytest.raises(CheckpointError, match=f"model.safetensors cannot be written: .*{said}"):
        write_safetensors(tmp_path / "model.safetensors", tensors)
    assert not list(tmp_path.iterdir())


def test_a_header_is_as_long_as_can_be_read(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, SMALL)
    length = int.from_bytes(path.read_bytes()[:8], "little")
    monkeypatch.setattr(module, "MAX_HEADER", length)
    write_safetensors(path, SMALL)
    assert read_safetensors(path).keys() == SMALL.keys()
    monkeypatch.setattr(module, "MAX_HEADER", length - 1)
    with pytest.raises(CheckpointError, match="its header takes"):
        write_safetensors(path, SMALL)


def test_a_write_that_fails_half_way_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, SMALL)
    before, pieces = path.read_bytes(), iter([[b"1"], OSError(28, "No space left on device")])

    def fail_at_the_second(array):
        piece = next(pieces)
        if isinstance(piece, OSError):
            raise piece
        return piece

    monkeypatch.setattr(module, "pieces", fail_at_the_second)
    with pytest.raises(OSError, match="No space left"):
        write_safetensors(path, {name: array * 2 for name, array in SMALL.items()})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_large_arrays_are_written_a_part_at_a_time(tmp_path, monkeypatch):
    array = np.arange(1000, dtype=np.float64).reshape(10, 100)
    write_safetensors(tmp_path / "whole", {"a": array, "b": array.T})
    monkeypatch.setattr(module, "CHUNK", 24)
    write_safetensors(tmp_path / "parts", {"a": array, "b": array.T})
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    assert max(len(piece) for piece in module.pieces(array)) == 24


def test_the_bytes_of_a_file(tmp_path):
    """Larger items first, then by name; the header padded to a multiple of 8; what transformers 4.57.6 asks for."""
    write_safetensors(
        tmp_path / "file", {"a": np.array([7], np.uint8), "c": np.ones(1, ">f4"), "b": np.zeros(1, "<f4")}
    )
    header = {
        "__metadata__": {"format": "pt"},
        "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        "c": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]},
        "a": {"dtype": "U8", "shape": [1], "data_offsets": [8, 9]},
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    assert (tmp_path / "file").read_bytes() == file_of(text, b"\0\0\0\0\0\0\x80\x3f\7")
