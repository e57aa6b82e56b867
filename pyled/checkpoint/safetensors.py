"""The safetensors format, read strictly and written canonically.

A file is 8 bytes with the length N of the header, little-endian; N bytes of JSON, `{"name": {"dtype", "shape",
"data_offsets": [begin, end]}, ..., "__metadata__": {string: string}}`, padded with spaces; then the tensors' bytes,
little-endian, in C order, without holes. Where the official reader (0.8.0) is looser than its specification, this one
keeps to the specification; docs/differences.md lists the cases.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import CheckpointError
from ..files import parse_json, replace_file

DTYPES = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "I16": "<i2",
    "U16": "<u2",
    "F16": "<f2",
    "BF16": "<u2",  # the upper half of a float32; NumPy has no such type, so it is widened when read
    "I32": "<i4",
    "U32": "<u4",
    "F32": "<f4",
    "C64": "<c8",
    "I64": "<i8",
    "U64": "<u8",
    "F64": "<f8",
}
UNREADABLE = {"F4", "F6_E2M3", "F6_E3M2", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"}
MAX_HEADER = 100_000_000  # the official reader's limit
MAX_SIZE = 2**48 - 1  # of a dimension or an offset, by the format's JSON schema
MAX_RANK = 64  # NumPy's limit
ALIGNMENT = 8  # the data's first byte stands at a multiple of it
CHUNK = 1 << 24  # bytes written at once


def read_safetensors(path: Path, *, mmap: bool = True) -> dict[str, NDArray[Any]]:
    """The tensors of a file by name, as read-only arrays.

    With mmap they are views of the file, which must not change meanwhile: a file cut short then kills the process
    (SIGBUS). BF16 becomes float32, exactly.

    Raises CheckpointError, naming the file, the tensor and the rule it breaks.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            header, start = _read_header(file, size, path)
            entries = _checked_entries(header, size - start, path)
            if size == start:
                data = np.zeros(0, np.uint8)
            elif mmap:
                data = np.memmap(file, np.uint8, "r", offset=0, shape=(size,))[start:]
            else:
                data = np.fromfile(file, np.uint8, size - start)
    except OSError as e:
        raise CheckpointError(f"{path}: cannot be read: {e.strerror or e}") from None
    if len(data) != size - start:
        raise CheckpointError(f"{path}: ended after {start + len(data):,} of {size:,} bytes: it changed while read")
    return {name: _tensor(data[begin:end], dtype, shape, name, path) for name, dtype, shape, begin, end in entries}


def _read_header(file: BinaryIO, size: int, path: Path) -> tuple[dict[str, Any], int]:
    """The header, and where the data begins. Nothing is allocated before the sizes are checked."""
    length_bytes = file.read(8)
    if len(length_bytes) < 8:
        raise CheckpointError(f"{path}: {size} bytes, a safetensors file has at least 8")
    length = int.from_bytes(length_bytes, "little")
    if length > MAX_HEADER:
        raise CheckpointError(f"{path}: a header of {length:,} bytes, at most {MAX_HEADER:,} are read")
    if length > size - 8:
        raise CheckpointError(f"{path}: a header of {length:,} bytes in a file of {size:,}")
    text = file.read(length)
    if not text.startswith(b"{"):
        raise CheckpointError(f"{path}: the header begins with {text[:1]!r}, not with '{{'")
    header = parse_json(text.rstrip(b" "), f"{path}: header", CheckpointError, floats=False)
    if text.rstrip(b" ")[-1:] != b"}":
        raise CheckpointError(f"{path}: the header ends with something else than '}}' and spaces")
    return header, 8 + length


Entry = tuple[str, str, tuple[int, ...], int, int]  # name, dtype, shape, begin, end


def _checked_entries(header: dict[str, Any], size: int, path: Path) -> list[Entry]:
    """The tensors that the header lists, in the order of their data, which they cover without hole or overlap."""
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError(f"{path}: __metadata__ must map strings to strings")
    entries = sorted((_checked_entry(name, entry, path) for name, entry in header.items()), key=lambda e: e[3:])
    position = 0
    for name, _, _, begin, end in entries:
        if begin != position:
            kind = "overlaps the tensor before" if begin < position else "leaves a hole before"
            raise CheckpointError(f"{path}: {name} begins at byte {begin:,} and {kind}: {position:,} was expected")
        position = end
    if position != size:
        raise CheckpointError(f"{path}: the tensors end at byte {position:,}, the data at {size:,}")
    return entries


def _checked_entry(name: str, entry: Any, path: Path) -> Entry:
    """One line of the header, each field of the right type, its size that of its shape."""

    def refuse(problem: str) -> CheckpointError:
        return CheckpointError(f"{path}: tensor {name[:100]!r}: {problem}")

    if not name or "\0" in name:
        raise refuse("a name is neither empty nor holds a NUL")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise refuse("an entry is an object of dtype, shape and data_offsets, and nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        known = "pyled does not read" if isinstance(dtype, str) and dtype in UNREADABLE else "the format does not have"
        raise refuse(f"dtype {dtype!r}, which {known}; read are {', '.join(DTYPES)}")
    if not _are_sizes(shape) or len(shape) > MAX_RANK:
        raise refuse(f"a shape is a list of at most {MAX_RANK} integers from 0 to 2**48 - 1")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise refuse("data_offsets is a list of two integers from 0 to 2**48 - 1")
    begin, end = offsets
    if begin > end:
        raise refuse(f"begins at byte {begin:,} and ends before, at {end:,}")
    needed = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
    if needed != end - begin:
        raise refuse(f"{dtype} of shape {shape} takes {needed:,} bytes, data_offsets span {end - begin:,}")
    return name, dtype, tuple(shape), begin, end


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value <= MAX_SIZE for value in values)


def _tensor(data: NDArray[np.uint8], dtype: str, shape: tuple[int, ...], name: str, path: Path) -> NDArray[Any]:
    if dtype == "BOOL" and np.any(data > 1):
        raise CheckpointError(f"{path}: tensor {name!r}: a BOOL byte is {data.max()}, only 0 and 1 are")
    array = np.ndarray(shape, DTYPES[dtype], data)
    if dtype == "BF16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    array.flags.writeable = False
    return array


NAMES = {np.dtype(code): name for name, code in DTYPES.items() if name != "BF16"}


def write_safetensors(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Replace `path` by a file of these tensors: largest item size first, then by name; the same bytes each time.

    `__metadata__` says {"format": "pt"}, without which transformers 4.57.6 does not open the file.

    Raises CheckpointError for a type that the format lacks, OSError where the file cannot be written.
    """
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name in order:
        array = tensors[name]
        kind = NAMES.get(array.dtype.newbyteorder("<"))
        if kind is None or not name or "\0" in name:
            raise CheckpointError(f"{path}: tensor {name!r} of {array.dtype} cannot be written as safetensors")
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [position, position + array.nbytes]}
        position += array.nbytes
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with replace_file(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            for piece in _pieces(tensors[name]):
                file.write(piece)


def _pieces(array: NDArray[Any]) -> Iterator[bytes]:
    """The little-endian bytes of an array in C order, a part at a time."""
    flat = array.reshape(-1)
    step = max(1, CHUNK // max(1, array.dtype.itemsize))
    for first in range(0, len(flat), step):
        yield flat[first : first + step].astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
