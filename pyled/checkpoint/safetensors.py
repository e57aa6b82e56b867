"""The safetensors format, read strictly and written canonically.

A file is 8 bytes with the length N of the header, little-endian; N bytes of JSON, `{"name": {"dtype", "shape",
"data_offsets": [begin, end]}, ..., "__metadata__": {string: string}}`, padded with white space; then the bytes of the
tensors, little-endian, in C order, without holes. Where the official reader (0.8.0) is looser than its specification,
this one keeps to the specification; docs/differences.md lists the cases.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import CheckpointError, brief
from ..files import GIT_LFS, POINTER, parse_json, replace_files
from .weight_file import MAX_SIZE, DamagedError, are_sizes, bytes_of, reading

# BF16 is the upper half of a float32; NumPy has no such type. `from_bf16` makes float32 of it.
BF16 = np.dtype([("upper_half", "<u2")])
_CODES: dict[str, Any] = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "I16": "<i2", "U16": "<u2", "F16": "<f2", "BF16": BF16, "I32": "<i4",
    "U32": "<u4", "F32": "<f4", "C64": "<c8", "I64": "<i8", "U64": "<u8", "F64": "<f8",
}  # fmt: skip
DTYPES = {name: np.dtype(code) for name, code in _CODES.items()}
TYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
UNREADABLE = {"F4", "F6_E2M3", "F6_E3M2", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"}
MAX_HEADER = 100_000_000  # the official reader's limit
MAX_RANK = 32  # that of NumPy 1, so that a file reads alike with every NumPy
ALIGNMENT = 8  # the data's first byte stands at a multiple of it
CHUNK = 1 << 22  # bytes written at once

Entry = tuple[str, str, tuple[int, ...], int, int]  # name, dtype, shape, begin, end


def read_safetensors(path: Path, *, mmap: bool = True, as_stored: bool = False) -> dict[str, NDArray[Any]]:
    """Return the tensors of a file by name, as read-only arrays.

    With mmap they are views of the file, which must not change meanwhile: a file cut short then kills the process
    (SIGBUS). BF16 becomes float32, exactly.

    as_stored: of the data, nothing is read yet, though it may be of any size: BF16 stays, and BOOL is not checked

    Raises CheckpointError, naming the file, the tensor and the rule it breaks.
    """
    with reading(path, mmap=mmap) as (file, size):
        header, start = _read_header(file, size)
        entries = _checked_entries(header, size - start)
        data = bytes_of(file, start, size, mmap)
        tensors = {name: np.ndarray(shape, DTYPES[dtype], data[a:b]) for name, dtype, shape, a, b in entries}
        return tensors if as_stored else {name: with_values(name, array) for name, array in tensors.items()}


def metadata_of(path: Path) -> dict[str, str]:
    """Return what the header of a file says beside its tensors. Raises CheckpointError; see `read_safetensors`."""
    with reading(path, mmap=True) as (file, size):
        header, start = _read_header(file, size)
        metadata: dict[str, str] = header.get("__metadata__", {})
        _checked_entries(header, size - start)
        return metadata


def type_name(array: NDArray[Any]) -> str:
    """Return the format's name for the type of an array that is as stored."""
    return TYPE_NAMES[array.dtype]


def from_bf16(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that is as stored in a type of NumPy's: BF16 as float32, read-only."""
    if array.dtype != BF16:
        return array
    bits = array["upper_half"].astype(np.uint32)
    np.left_shift(bits, 16, out=bits)
    numbers = bits.view(np.float32)
    numbers.flags.writeable = False
    return numbers


def _read_header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """Return the header, and where the data begins. The sizes are checked before anything is allocated."""
    first = file.read(8)
    if first == GIT_LFS[:8]:
        raise CheckpointError(POINTER, "git-lfs")
    if len(first) < 8:
        raise DamagedError(f"{size} bytes, a safetensors file has at least 8", "file-too-short")
    length = int.from_bytes(first, "little")
    if length > MAX_HEADER:
        raise DamagedError(f"a header of {length:,} bytes, at most {MAX_HEADER:,} are read", "header-too-long")
    if length > size - 8:
        raise DamagedError(f"a header of {length:,} bytes in a file of {size:,}", "header-beyond-end")
    text = file.read(length)
    if not text.startswith(b"{"):
        raise DamagedError(f"the header begins with {brief(text[:1])}, not with '{{'", "header-start")
    return parse_json(text, "header", DamagedError, floats=False), 8 + length


def _checked_entries(header: dict[str, Any], size: int) -> list[Entry]:
    """Return the tensors that the header lists, in the order of their data; they cover it without hole or overlap."""
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise DamagedError("__metadata__ must map strings to strings", "metadata")
    entries = sorted((_checked_entry(name, entry) for name, entry in header.items()), key=lambda e: e[3:])
    position = 0
    for name, _, _, begin, end in entries:
        start = f"tensor {brief(name)} begins at byte {begin:,} and"
        if begin > position:
            raise DamagedError(f"{start} leaves a hole before: {position:,} was expected", "hole")
        if begin < position:
            raise DamagedError(f"{start} overlaps the tensor before: {position:,} was expected", "overlap")
        position = end
    if position > size:
        raise DamagedError(f"cut short: the tensors end at byte {position:,}, the data at {size:,}", "data-cut-short")
    if position < size:
        raise DamagedError(
            f"bytes that no tensor has: the tensors end at byte {position:,}, the data at {size:,}", "data-left-over"
        )
    return entries


def _checked_entry(name: str, entry: Any) -> Entry:
    """Return one line of the header, each field of the right type, its size that of its shape."""

    def refuse(problem: str, rule: str) -> DamagedError:
        return DamagedError(f"tensor {brief(name)}: {problem}", rule)

    if not name or "\0" in name:
        raise refuse("a name is neither empty nor holds a NUL", "name")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise refuse("an entry is an object of dtype, shape and data_offsets, and nothing else", "entry")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if isinstance(dtype, str) and dtype in UNREADABLE:
        said = f"tensor {brief(name)}: dtype {dtype} is not read: convert the file to F32, F16 or BF16"
        raise CheckpointError(said, "dtype-not-read")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise refuse(f"dtype {brief(dtype)} is none of {', '.join(DTYPES)}", "dtype")
    if not are_sizes(shape) or len(shape) > MAX_RANK:
        raise refuse(f"a shape is a list of at most {MAX_RANK} integers from 0 to 2**48 - 1", "shape")
    if not are_sizes(offsets) or len(offsets) != 2:
        raise refuse("data_offsets is a list of two integers from 0 to 2**48 - 1", "offsets")
    begin, end = offsets
    if begin > end:
        raise refuse(f"begins at byte {begin:,} and ends before, at {end:,}", "offsets-reversed")
    itemsize = DTYPES[dtype].itemsize
    if math.prod(side for side in shape if side) * itemsize > MAX_SIZE:  # subtle: a 0 hides no size, wherever it stands
        raise refuse(f"the sizes of shape {shape} multiply to more than 2**48 - 1 bytes", "shape-too-large")
    needed = math.prod(shape) * itemsize
    if needed != end - begin:
        said = f"{dtype} of shape {shape} takes {needed:,} bytes, data_offsets span {end - begin:,}"
        raise refuse(said, "shape-against-offsets")
    return name, dtype, tuple(shape), begin, end


def with_values(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that is as stored with NumPy's values; see `from_bf16`. Raises DamagedError for odd booleans."""
    if array.dtype == bool and (largest := array.view(np.uint8).max(initial=0)) > 1:
        raise DamagedError(f"tensor {brief(name)}: a BOOL byte is {largest}, only 0 and 1 are", "bool")
    return from_bf16(array)


def write_safetensors(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Replace `path` by a file of these tensors. Raises CheckpointError, OSError; see `in_safetensors`."""
    replace_files({path: in_safetensors(path, tensors)})


def in_safetensors(path: Path, tensors: Mapping[str, NDArray[Any]]) -> Iterator[bytes]:
    """Yield a file of these tensors: largest item size first, then by name; the same bytes each time.

    `__metadata__` says {"format": "pt"}: transformers 4.57.6 does not open a file without it.

    Raises CheckpointError for names and types that the format lacks; its message names the path.
    """
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    try:
        text = header_of([(name, tensors[name]) for name in order], {"format": "pt"})
    except CheckpointError as e:
        raise CheckpointError(f"{path} cannot be written: {e}") from None
    yield len(text).to_bytes(8, "little") + text
    for name in order:
        yield from pieces(tensors[name])


def header_of(tensors: list[tuple[str, NDArray[Any]]], metadata: Mapping[str, str]) -> bytes:
    """Return the header of a file with these tensors in this order, held to the rules of reading.

    Raises CheckpointError, whose message lacks the path.
    """
    entries: dict[str, Any] = {}
    position = 0
    for name, array in tensors:
        kind = TYPE_NAMES.get(array.dtype.newbyteorder("<"))
        if kind is None:
            types = ", ".join(str(dtype) for dtype in TYPE_NAMES if dtype != BF16)
            raise CheckpointError(f"tensor {brief(name)} is of {array.dtype}: make it one of {types}")
        end = position + array.nbytes
        entries[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [position, end]}
        position = end
    _checked_entries(dict(entries), position)
    try:
        whole = {"__metadata__": dict(metadata)} | entries
        text = json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as e:
        half = brief(e.object[e.start])
        raise CheckpointError(f"the name of a tensor holds half of a surrogate pair: {half}") from None
    text += b" " * (-len(text) % ALIGNMENT)
    if len(text) > MAX_HEADER:
        raise CheckpointError(
            f"its header takes {len(text):,} bytes, at most {MAX_HEADER:,} are read: shorten the names"
        )
    return text


def pieces(array: NDArray[Any]) -> Iterator[bytes]:
    """Yield the little-endian bytes of an array in C order, a part at a time."""
    flat = array.reshape(-1)
    step = max(1, CHUNK // max(1, array.dtype.itemsize))
    for first in range(0, len(flat), step):
        yield flat[first : first + step].astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
