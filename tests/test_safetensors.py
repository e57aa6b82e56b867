"""The safetensors reader against files written here byte by byte, and the writer against the reader."""

import io
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

from pyled.checkpoint import read_safetensors, write_safetensors
from pyled.checkpoint import safetensors as module
from pyled.errors import CheckpointError

PROPERTY = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
F32 = b'{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'


def file_of(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A file by the rules: eight bytes of length, the header, the data."""
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


def entry(dtype=b'"F32"', shape=b"[2]", offsets=b"[0,8]", data=b"\0" * 8) -> bytes:
    """A file of one tensor, a field of which is not as it should be."""
    return file_of(b'{"a":{"dtype":%b,"shape":%b,"data_offsets":%b}}' % (dtype, shape, offsets), data)


def two(first, second, size):
    """A file of two U8 tensors that lie from offset to offset."""
    line = '"{}":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}}'
    spans = [("a", *first), ("b", *second)]
    header = ",".join(line.format(name, end - begin, begin, end) for name, begin, end in spans)
    return file_of(f"{{{header}}}".encode(), bytes(size))


def read(data: bytes, folder, **options):
    path = folder / "model.safetensors"
    path.write_bytes(data)
    return read_safetensors(path, **options)


REFUSED = {
    "short_file": (b"\0" * 7, "7 bytes, a safetensors file has at least 8"),
    "empty_file": (b"", "0 bytes, a safetensors file has at least 8"),
    "git_lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer of Git LFS.*git lfs pull"),
    "n_zero": (file_of(b"", b"{}"), "begins with b''"),
    "n_huge": (file_of(b"{}", length=100_000_001), "a header of 100,000,001 bytes, at most 100,000,000"),
    "n_huge_63": (file_of(b"{}", length=2**63), "at most 100,000,000"),
    "n_wrap": (file_of(b"{}", length=2**64 - 4), "at most 100,000,000"),
    "n_max": (file_of(b"{}", length=2**64 - 1), "at most 100,000,000"),
    "n_past_eof": (file_of(b"{}", length=3), "a header of 3 bytes in a file of 10"),
    "n_limit_in_short_file": (file_of(b"{}", length=100_000_000), "a header of 100,000,000 bytes in a file of 10"),
    "not_utf8": (file_of(b'{"\xff":' + F32 + b"}", bytes(8)), "byte 2 is not UTF-8"),
    "bom": (file_of(b"\xef\xbb\xbf{}"), r"begins with b'\\xef'"),
    "leading_ws": (file_of(b" {}"), "begins with b' '"),
    "leading_newline": (file_of(b"\n{}"), r"begins with b'\\n'"),
    "trailing_nul": (file_of(b"{}\0\0"), "not JSON: Extra data"),
    "trailing_garbage": (file_of(b"{}x"), "not JSON: Extra data"),
    "two_objects": (file_of(b"{}{}"), "not JSON: Extra data"),
    "top_array": (file_of(b"[]"), r"begins with b'\['"),
    "not_json": (file_of(b"{'a':1}"), "not JSON: Expecting property name"),
    "trailing_comma": (file_of(b'{"a":' + F32 + b",}", bytes(8)), "not JSON"),
    "comment": (file_of(b"{/* */}"), "not JSON"),
    "dup_tensor": (file_of(b'{"a":' + F32 + b',"a":' + F32 + b"}", bytes(8)), "the key 'a' stands twice"),
    "dup_tensor_escaped": (file_of(b'{"a":' + F32 + b',"\\u0061":' + F32 + b"}", bytes(8)), "the key 'a' stands twice"),
    "dup_field": (
        file_of(b'{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
        "the key 'dtype' stands twice",
    ),
    "dup_metadata": (file_of(b'{"__metadata__":{},"__metadata__":{}}'), "the key '__metadata__' stands twice"),
    "dup_metadata_key": (file_of(b'{"__metadata__":{"k":"1","k":"1"}}'), "the key 'k' stands twice"),
    "missing_field": (file_of(b'{"a":{"dtype":"F32","shape":[2]}}', bytes(8)), "'a': an entry is an object of dtype"),
    "extra_field": (
        file_of(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":0}}', bytes(8)),
        "'a': an entry is an object of dtype, shape and data_offsets, and nothing else",
    ),
    "entry_not_object": (file_of(b'{"a":["F32",[2],[0,8]]}', bytes(8)), "'a': an entry is an object"),
    "entry_null": (file_of(b'{"a":null}'), "'a': an entry is an object"),
    "dtype_unknown": (entry(b'"F128"'), "'a': dtype 'F128' is none of BOOL, "),
    "dtype_lower": (entry(b'"f32"'), "'a': dtype 'f32' is none of"),
    "dtype_not_str": (entry(b'{"F32":1}'), "dtype {'F32': 1} is none of"),
    "dtype_list": (entry(b'["F32"]'), r"dtype \['F32'\] is none of"),
    "dtype_null": (entry(b"null"), "dtype None is none of"),
    "dtype_long": (entry(b'"' + b"F" * 10**6 + b'"'), "dtype 'FF[^ ]{1,60} is none of"),
    "dtype_unreadable": (entry(b'"F8_E4M3"', b"[8]"), "'a': dtype F8_E4M3 is not read: convert the file to F32"),
    "offsets_len_1": (entry(offsets=b"[8]"), "data_offsets is a list of two integers"),
    "offsets_len_3": (entry(offsets=b"[0,8,8]"), "data_offsets is a list of two integers"),
    "offsets_float": (entry(offsets=b"[0,8.0]"), "8.0 stands where only plain integers may"),
    "offsets_exp": (entry(offsets=b"[0,8e0]"), "8e0 stands where only plain integers may"),
    "offsets_bool": (entry(offsets=b"[false,8]"), "data_offsets is a list of two integers"),
    "offsets_str": (entry(offsets=b'["0",8]'), "data_offsets is a list of two integers"),
    "offsets_null": (entry(offsets=b"null"), "data_offsets is a list of two integers"),
    "offsets_neg": (entry(offsets=b"[-8,0]"), "data_offsets is a list of two integers from 0"),
    "offsets_minus_zero": (entry(offsets=b"[-0,8]"), "the integer -0 is refused"),
    "offsets_leading_zero": (entry(offsets=b"[0,08]"), "not JSON"),
    "offsets_plus": (entry(offsets=b"[0,+8]"), "not JSON"),
    "offsets_2_48": (entry(offsets=b"[0,281474976710656]"), r"integers from 0 to 2\*\*48 - 1"),
    "offsets_2_64": (entry(offsets=b"[0,18446744073709551616]"), "at most 18 digits"),
    "shape_float": (entry(shape=b"[2.0]"), "2.0 stands where only plain integers may"),
    "shape_exp": (entry(shape=b"[2e0]"), "2e0 stands where only plain integers may"),
    "shape_bool": (entry(shape=b"[true]"), "a shape is a list of at most 32 integers"),
    "shape_str": (entry(shape=b'["2"]'), "a shape is a list"),
    "shape_null": (entry(shape=b"null"), "a shape is a list"),
    "shape_int": (entry(shape=b"2"), "a shape is a list"),
    "shape_neg": (entry(shape=b"[-1,-2]"), "a shape is a list of at most 32 integers from 0"),
    "shape_minus_zero": (entry(shape=b"[-0]"), "the integer -0 is refused"),
    "shape_2_48": (entry(shape=b"[281474976710656]"), r"integers from 0 to 2\*\*48 - 1"),
    "reversed": (entry(offsets=b"[8,0]"), "begins at byte 8 and ends before, at 0"),
    "hole_start": (two((1, 4), (4, 8), 8), "tensor 'a' begins at byte 1 and leaves a hole before: 0 was expected"),
    "hole_middle": (two((0, 4), (5, 8), 8), "tensor 'b' begins at byte 5 and leaves a hole before: 4 was expected"),
    "overlap": (two((0, 5), (4, 8), 8), "tensor 'b' begins at byte 4 and overlaps the tensor before: 5 was expected"),
    "same_range": (two((0, 8), (0, 8), 8), "tensor 'b' begins at byte 0 and overlaps the tensor before: 8"),
    "zero_size_inside": (two((0, 8), (4, 4), 8), "tensor 'b' begins at byte 4 and overlaps the tensor before: 8"),
    "size_mismatch": (entry(shape=b"[3]"), r"F32 of shape \[3\] takes 12 bytes, data_offsets span 8"),
    "size_mismatch_rank_0": (entry(shape=b"[]"), r"F32 of shape \[\] takes 4 bytes, data_offsets span 8"),
    "product_wrap_to_zero": (
        entry(shape=b"[4294967296,4294967296]", offsets=b"[0,0]", data=b""),
        r"the sizes of shape \[4294967296, 4294967296\] multiply to more than 2\*\*48 - 1 bytes",
    ),
    "product_zero_first": (entry(shape=b"[0,4294967296,65536]", offsets=b"[0,0]", data=b""), "multiply to more than"),
    "product_zero_last": (entry(shape=b"[4294967296,65536,0]", offsets=b"[0,0]", data=b""), "multiply to more than"),
    "product_of_bytes": (entry(shape=b"[70368744177664,0]", offsets=b"[0,0]", data=b""), "multiply to more than"),
    "rank_too_high": (
        entry(b'"U8"', b"[" + b"1," * 32 + b"8]"),
        "a shape is a list of at most 32 integers",
    ),
    "trailing_data": (entry(data=bytes(9)), "bytes that no tensor has: the tensors end at byte 8, the data at 9"),
    "trailing_data_alone": (
        file_of(b"{}", b"\0"),
        "bytes that no tensor has: the tensors end at byte 0, the data at 1",
    ),
    "truncated_data": (entry(data=bytes(7)), "cut short: the tensors end at byte 8, the data at 7"),
    "no_data": (entry(data=b""), "cut short: the tensors end at byte 8, the data at 0"),
    "metadata_not_object": (file_of(b'{"__metadata__":[]}'), "__metadata__ must map strings to strings"),
    "metadata_value_not_str": (file_of(b'{"__metadata__":{"k":1}}'), "__metadata__ must map strings to strings"),
    "metadata_nested": (file_of(b'{"__metadata__":{"k":{"l":"m"}}}'), "__metadata__ must map strings to strings"),
    "metadata_null": (file_of(b'{"__metadata__":null}'), "__metadata__ must map strings to strings"),
    "lone_surrogate": (file_of(b'{"\\ud800":' + F32 + b"}", bytes(8)), "half of a surrogate pair"),
    "lone_surrogate_in_metadata": (file_of(b'{"__metadata__":{"k":"\\udc00"}}'), "half of a surrogate pair"),
    "control_char": (file_of(b'{"a\nb":' + F32 + b"}", bytes(8)), "not JSON: Invalid control character"),
    "nan_constant": (file_of(b'{"a":NaN}'), "NaN is no JSON value"),
    "infinity_constant": (file_of(b'{"a":-Infinity}'), "-Infinity is no JSON value"),
    "deep_nesting": (file_of(b'{"a":' + b"[" * 10**5 + b"]" * 10**5 + b"}"), "nested too deeply"),
    "huge_int_literal": (entry(shape=b"[" + b"1" * 10**5 + b"]"), "the integer 1{24} is refused: at most 18 digits"),
    "name_nul": (
        file_of(b'{"a\\u0000b":' + F32 + b"}", bytes(8)),
        r"'a\\x00b': a name is neither empty nor holds a NUL",
    ),
    "name_empty": (file_of(b'{"":' + F32 + b"}", bytes(8)), "'': a name is neither empty"),
    "name_long": (file_of(b'{"%b":{}}' % (b"n" * 10**6)), "tensor 'n{100}': an entry is an object"),
    "name_long_twice": (file_of(b'{"%b":0,"%b":0}' % (b"n" * 10**6, b"n" * 10**6)), "the key 'n{100}' stands twice"),
    "bool_not_01": (entry(b'"BOOL"', b"[8]", data=b"\0\1\2\0\0\0\0\0"), "'a': a BOOL byte is 2, only 0 and 1 are"),
}
NOT_DAMAGE = ("git_lfs", "dtype_unreadable")  # these have remedies of their own


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("rule", REFUSED)
def test_a_file_that_breaks_a_rule_is_refused_by_its_name(rule, mmap, tmp_path):
    data, said = REFUSED[rule]
    remedy = "" if rule in NOT_DAMAGE else ".*The file is damaged: fetch it again, or write it anew$"
    with pytest.raises(CheckpointError, match=f"(?s)^[^ ]*model.safetensors: .*{said}{remedy}") as caught:
        read(data, tmp_path, mmap=mmap)
    assert len(str(caught.value)) < 1000


BITS_OF_BF16 = b"\x80\x3f\x00\xc0\x80\x7f\x01\x00"  # 1, -2, infinity, the smallest denormal
ACCEPTED = {
    "nothing": (file_of(b"{}"), {}),
    "spaces_behind_the_header": (file_of(b"{}     "), {}),
    "white_space_behind_the_header": (file_of(b"{}\n\t \r\n"), {}),
    "metadata_only": (file_of(b'{"__metadata__":{"format":"pt","":""}}'), {}),
    "white_space_inside": (file_of(b'{ "a"\n:\t' + F32 + b"\r}", bytes(8)), {"a": np.zeros(2, np.float32)}),
    "rank_0": (entry(shape=b"[]", offsets=b"[0,4]", data=b"\0\0\x80\x3f"), {"a": np.array(1, np.float32)}),
    "rank_32": (entry(b'"U8"', b"[" + b"1," * 31 + b"8]"), {"a": np.zeros((1,) * 31 + (8,), np.uint8)}),
    "zero_size": (entry(shape=b"[0]", offsets=b"[0,0]", data=b""), {"a": np.zeros(0, np.float32)}),
    "zero_size_among_sizes": (
        entry(shape=b"[3,0,5]", offsets=b"[0,0]", data=b""),
        {"a": np.zeros((3, 0, 5), np.float32)},
    ),
    "largest_product_with_zero": (
        entry(b'"U8"', b"[281474976710655,0]", b"[0,0]", b""),
        {"a": np.zeros((2**48 - 1, 0), np.uint8)},
    ),
    "zero_size_at_the_start": (two((0, 0), (0, 8), 8), {"a": np.zeros(0, np.uint8), "b": np.zeros(8, np.uint8)}),
    "zero_size_listed_behind": (two((0, 8), (0, 0), 8), {"a": np.zeros(8, np.uint8), "b": np.zeros(0, np.uint8)}),
    "zero_size_at_the_end": (two((0, 8), (8, 8), 8), {"a": np.zeros(8, np.uint8), "b": np.zeros(0, np.uint8)}),
    "out_of_order": (two((4, 8), (0, 4), 8), {"a": np.zeros(4, np.uint8), "b": np.zeros(4, np.uint8)}),
    "unaligned_tensor": (
        file_of(
            b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[1,9]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
            b"\7\0\0\x80\x3f\0\0\0\x40",
        ),
        {"a": np.array([1, 2], np.float32), "b": np.array([7], np.uint8)},
    ),
    "unaligned_data": (file_of(b'{"a":' + F32 + b"} ", b"\0\0\x80\x3f\0\0\0\x40"), {"a": np.array([1, 2], np.float32)}),
    "name_escaped": (file_of(b'{"\\u00e9\\ud83d\\ude00":' + F32 + b"}", bytes(8)), {"é😀": np.zeros(2, np.float32)}),
    "name_utf8": (file_of('{"é😀\u0085":'.encode() + F32 + b"}", bytes(8)), {"é😀\u0085": np.zeros(2, np.float32)}),
    "BOOL": (entry(b'"BOOL"', b"[8]", data=b"\0\1" * 4), {"a": np.array([False, True] * 4)}),
    "U8": (
        entry(b'"U8"', b"[8]", data=bytes(range(249, 256)) + b"\0"),
        {"a": np.array([*range(249, 256), 0], np.uint8)},
    ),
    "I8": (entry(b'"I8"', b"[2,4]", data=b"\xff\x80\x7f\0" * 2), {"a": np.array([[-1, -128, 127, 0]] * 2, np.int8)}),
    "I16": (entry(b'"I16"', b"[4]", data=b"\1\0\0\1\xff\xff\0\x80"), {"a": np.array([1, 256, -1, -32768], np.int16)}),
    "U16": (
        entry(b'"U16"', b"[4]", data=b"\1\0\0\1\xff\xff\0\x80"),
        {"a": np.array([1, 256, 65535, 32768], np.uint16)},
    ),
    "I32": (entry(b'"I32"', b"[2]", data=b"\1\0\0\0\xfe\xff\xff\xff"), {"a": np.array([1, -2], np.int32)}),
    "U32": (entry(b'"U32"', b"[2]", data=b"\1\0\0\0\xfe\xff\xff\xff"), {"a": np.array([1, 2**32 - 2], np.uint32)}),
    "I64": (entry(b'"I64"', b"[1]", data=b"\xfe" + b"\xff" * 7), {"a": np.array([-2], np.int64)}),
    "U64": (entry(b'"U64"', b"[1]", data=b"\xfe" + b"\xff" * 7), {"a": np.array([2**64 - 2], np.uint64)}),
    "F16": (
        entry(b'"F16"', b"[4]", data=b"\0\x3c\0\xc0\0\x7c\1\0"),
        {"a": np.array([1, -2, np.inf, 2**-24], np.float16)},
    ),
    "BF16": (entry(b'"BF16"', b"[4]", data=BITS_OF_BF16), {"a": np.array([1, -2, np.inf, 2**-133], np.float32)}),
    "BF16_rank_0": (entry(b'"BF16"', b"[]", b"[0,2]", b"\x80\x3f"), {"a": np.array(1, np.float32)}),
    "BF16_zero_size": (entry(b'"BF16"', b"[0,2]", b"[0,0]", b""), {"a": np.zeros((0, 2), np.float32)}),
    "F64": (entry(b'"F64"', b"[1]", data=b"\0\0\0\0\0\0\xf8\xbf"), {"a": np.array([-1.5])}),
    "C64": (entry(b'"C64"', b"[1]", data=b"\0\0\x80\x3f\0\0\0\xc0"), {"a": np.array([1 - 2j], np.complex64)}),
}


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("kind", ACCEPTED)
def test_an_odd_file_within_the_rules_is_read(kind, mmap, tmp_path):
    data, expected = ACCEPTED[kind]
    found = read(data, tmp_path, mmap=mmap)
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        assert found[name].tobytes() == array.tobytes()
        assert not found[name].flags.writeable


def test_every_bfloat16_is_widened_exactly(tmp_path):
    bits = np.arange(2**16, dtype="<u2")
    found = read(entry(b'"BF16"', b"[65536]", b"[0,131072]", bits.tobytes()), tmp_path)["a"]
    assert found.dtype == np.float32
    assert found.tobytes() == b"".join(b"\0\0" + pair.tobytes() for pair in bits)


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("dtype", [b'"F32"', b'"BF16"'])
def test_what_is_read_cannot_be_written_to(dtype, mmap, tmp_path):
    array = read(entry(dtype, b"[2]" if dtype == b'"F32"' else b"[4]"), tmp_path, mmap=mmap)["a"]
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    assert isinstance(array, np.ndarray) and not isinstance(array, np.memmap)


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
    found = read_safetensors(path, mmap=mmap)
    assert set(found) == set(tensors)
    for name, array in tensors.items():
        little = array.astype(array.dtype.newbyteorder("<"))
        assert (found[name].dtype, found[name].shape) == (little.dtype, array.shape)
        assert found[name].tobytes() == little.tobytes()
    before = path.read_bytes()
    write_safetensors(path, dict(reversed(tensors.items())))
    assert path.read_bytes() == before
    assert int.from_bytes(before[:8], "little") % 8 == 0


SMALL = {"b": np.arange(6, dtype="<f4").reshape(2, 3), "a": np.array([True, False]), "c": np.array(3, "<i8")}


def small_file(folder) -> bytes:
    write_safetensors(folder / "small.safetensors", SMALL)
    return (folder / "small.safetensors").read_bytes()


@pytest.mark.parametrize("mmap", [True, False])
def test_every_truncation_and_every_extension_is_refused(mmap, tmp_path):
    whole = small_file(tmp_path)
    for data in (*(whole[:size] for size in range(len(whole))), whole + b"\0", whole + whole):
        with pytest.raises(CheckpointError):
            read(data, tmp_path, mmap=mmap)


def test_every_changed_byte_gives_the_same_shapes_or_the_one_error(tmp_path):
    """Each byte with one bit the other way, and each made a quote and a digit.

    Names and types can change so that the file keeps the rules; a change behind the header leaves names as they are.
    """
    whole = small_file(tmp_path)
    start = 8 + int.from_bytes(whole[:8], "little")
    shapes = {array.shape for array in SMALL.values()}
    loaded = refused = 0
    for position in range(len(whole)):
        old = whole[position]
        for new in {*(old ^ (1 << bit) for bit in range(8)), *b'"0'} - {old}:
            changed = whole[:position] + bytes([new]) + whole[position + 1 :]
            try:
                found = read(changed, tmp_path)
            except CheckpointError:
                refused += 1
                continue
            loaded += 1
            assert {array.shape for array in found.values()} == shapes
            if position >= start:
                assert set(found) == set(SMALL)
    assert loaded > 0 and refused > 0


@PROPERTY
@given(data=st.binary(max_size=200), mmap=st.booleans())
def test_any_bytes_give_arrays_or_the_one_error(data, mmap, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    for content in (data, file_of(data), file_of(b'{"a":' + data + b"}", b"\0" * 8)):
        try:
            read(content, folder, mmap=mmap)
        except CheckpointError as e:
            assert "model.safetensors" in str(e)


def peak_of(call) -> int:
    """The most bytes that were allocated at once during a call."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("length", [99_999_999, 2**40, 2**64 - 1])
def test_a_declared_length_allocates_nothing(length, tmp_path):
    data = file_of(b"{}" + b" " * 100, length=length)

    def refused():
        with pytest.raises(CheckpointError):
            read(data, tmp_path)

    assert peak_of(refused) < 200_000


def test_many_tensors_on_one_range_allocate_no_more_than_the_header_deserves(tmp_path):
    shape = b'{"dtype":"F32","shape":[200,200],"data_offsets":[0,160000]}'
    header = b"{" + b",".join(b'"%d":%b' % (i, shape) for i in range(10**5)) + b"}"
    data = file_of(header, bytes(160_000))

    def refused():
        with pytest.raises(CheckpointError, match="overlaps the tensor before"):
            read(data, tmp_path)

    assert peak_of(refused) < 25 * len(header)  # the arrays would be 16 GB


def test_a_mapped_file_is_not_allocated(tmp_path):
    write_safetensors(tmp_path / "large.safetensors", {"a": np.zeros(2**22, np.float32)})
    assert peak_of(lambda: read_safetensors(tmp_path / "large.safetensors")) < 2**20
    assert 2**24 <= peak_of(lambda: read_safetensors(tmp_path / "large.safetensors", mmap=False)) < 2**24 + 2**20


def test_bfloat16_takes_twice_its_file_and_no_more(tmp_path):
    path = tmp_path / "half.safetensors"
    path.write_bytes(entry(b'"BF16"', b"[4194304]", b"[0,8388608]", bytes(2**23)))
    assert peak_of(lambda: read_safetensors(path)) < 2**24 + 2**20


def test_memory_that_does_not_suffice_is_said(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    path.write_bytes(entry(b'"U8"', b"[1000000]", b"[0,1000000]", bytes(10**6)))

    def full(*_):
        raise MemoryError

    monkeypatch.setattr(np, "fromfile", full)
    with pytest.raises(CheckpointError, match="its 1,000,073 bytes do not fit into memory: read it with mmap=True"):
        read_safetensors(path, mmap=False)


def test_a_file_that_cannot_be_opened(tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.safetensors: cannot be read: No such file"):
        read_safetensors(tmp_path / "absent.safetensors")
    with pytest.raises(CheckpointError, match="is no regular file"):
        read_safetensors(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(CheckpointError, match="is no regular file"):
        read_safetensors(tmp_path / "pipe.safetensors")


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("left", ["data", "nothing"])
def test_a_file_that_shrinks_while_it_is_read(left, mmap, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    path.write_bytes(entry())
    check = module._checked_entries

    def shrink(*arguments):
        os.truncate(path, 0 if left == "nothing" else path.stat().st_size - 1)
        return check(*arguments)

    monkeypatch.setattr(module, "_checked_entries", shrink)
    with pytest.raises(CheckpointError, match="changed while it was read: read it again"):
        read_safetensors(path, mmap=mmap)


OPEN_FILES = Path("/proc/self/fd")


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="open files are counted where Linux lists them")
def test_no_file_stays_open(tmp_path):
    path = tmp_path / "model.safetensors"
    before = len(list(OPEN_FILES.iterdir()))
    path.write_bytes(entry())
    for mmap in (True, False):
        array = read_safetensors(path, mmap=mmap)["a"]
        assert array.tolist() == [0, 0]
        del array
    for data, _ in REFUSED.values():
        with pytest.raises(CheckpointError):
            read(data, tmp_path)
    assert len(list(OPEN_FILES.iterdir())) == before


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"": np.zeros(2)}, "tensor '': a name is neither empty nor holds a NUL"),
        ({"a\0b": np.zeros(2)}, "neither empty nor holds a NUL"),
        ({"a\ud800": np.zeros(2)}, r"half of a surrogate pair: '\\ud800'"),
        ({"__metadata__": np.zeros(2)}, "__metadata__ must map strings to strings"),
        ({"a": np.zeros(2, np.complex128)}, "tensor 'a' is of complex128: make it one of bool, uint8"),
        ({"a": np.array(["x"])}, "tensor 'a' is of <U1"),
        ({"a": np.array([None])}, "tensor 'a' is of object"),
        ({"n" * 1000 + str(i): np.zeros(0) for i in range(100)}, "its header takes 1[0-9,]* bytes, at most 50,000"),
    ],
)
def test_what_the_format_lacks_is_not_written(tensors, said, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_HEADER", 50_000)
    path = tmp_path / "model.safetensors"
    with pytest.raises(CheckpointError, match=f"model.safetensors cannot be written: .*{said}"):
        write_safetensors(path, tensors)
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_half_way_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    write_safetensors(path, SMALL)
    before = path.read_bytes()
    pieces = module._pieces
    calls = io.StringIO()

    def fail_at_the_second(array):
        calls.write("x")
        if len(calls.getvalue()) == 2:
            raise OSError(28, "No space left on device")
        return pieces(array)

    monkeypatch.setattr(module, "_pieces", fail_at_the_second)
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
    assert max(len(piece) for piece in module._pieces(array)) == 24


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
