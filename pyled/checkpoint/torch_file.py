"""torch's weight files, `pytorch_model.bin`, read without torch: their kind, and arrays from what they describe."""

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CheckpointError, brief
from ..files import GIT_LFS, POINTER
from . import torch_stacked, torch_zip
from .pickles import StoredTensor
from .safetensors import DTYPES, with_values
from .torch_zip import Span
from .weight_file import MAX_SIZE, DamagedError, are_sizes, bytes_of, reading

MAX_RANK = 8
# Beginnings of other files, and what they are.
OTHERS = (
    (b"\x80", "a pickle without torch's frame round it: save the state dict with torch.save"),
    (b"\x89HDF", "an HDF5 file: name it tf_model.h5"),
    (b"\x89PNG", "a picture"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it"),
    (b"\x1f\x8b", "a gzip archive: unpack it"),
    (b"<", "a page of the web, such as a server's message: fetch the file again"),
    (b"", "no weight file of torch: fetch the file again"),
)


def read_torch(path: Path, *, mmap: bool = True, as_stored: bool = False) -> dict[str, NDArray[Any]]:
    """Return the tensors of a file that `torch.save` wrote of a state dict, by name, as read-only arrays.

    Tensors that are one in torch are one array. With mmap they are views of the file, as in `read_safetensors`; all
    bytes of a zip file are read once all the same, for their CRC-32.

    as_stored: BF16 stays, and BOOL is not checked

    Raises CheckpointError, naming the file, the tensor and the rule it breaks.
    """
    with reading(path, mmap=mmap) as (file, size):
        read = _reader(file.read(512))
        file.seek(0)
        data = bytes_of(file, 0, size, mmap)
        tensors, spans = read(data.data)
        for name, tensor in tensors.items():
            _check_tensor(name, tensor, spans[tensor.storage.key])
        _check_views(tensors)
        arrays: dict[StoredTensor, NDArray[Any]] = {}
        for name, tensor in tensors.items():
            if tensor not in arrays:
                array = _array(tensor, data, spans[tensor.storage.key][0])
                arrays[tensor] = array if as_stored else with_values(name, array)
        return {name: arrays[tensor] for name, tensor in tensors.items()}


def _reader(head: bytes) -> Callable[[memoryview], tuple[dict[str, StoredTensor], dict[str, Span]]]:
    """Return what reads a file that begins so. A file is of one kind: no second one is tried when the first fails."""
    if head.startswith(torch_zip.START):
        return torch_zip.read_zip
    if head.startswith(torch_stacked.START):
        return torch_stacked.read_stacked
    if head.startswith(GIT_LFS):
        raise CheckpointError(POINTER, "git-lfs")
    if head[257:262] == b"ustar":
        said = "is a tar archive, as torch wrote before 0.1.10: save it anew with a newer torch"
        raise CheckpointError(said, "torch-tar")
    kind = next(words for start, words in OTHERS if head.startswith(start))
    if head[8:9] == b"{":
        kind = "a safetensors file: name it model.safetensors"
    raise CheckpointError(f"is {kind} (it begins with {brief(head[:8])})", "no-torch-file")


def _check_tensor(name: str, tensor: StoredTensor, span: Span) -> None:
    """Check that a tensor is a packed view inside its storage, and the storage as large as it says."""

    def refuse(problem: str, rule: str) -> DamagedError:
        return DamagedError(f"tensor {brief(name)}: {problem}", rule)

    (key, dtype, length), begin, shape, strides = tensor
    itemsize = DTYPES[dtype].itemsize
    if length * itemsize != span[1] - span[0]:
        said = f"{length:,} elements of {dtype} in storage {key} of {span[1] - span[0]:,} bytes"
        raise refuse(said, "storage-size")
    if not are_sizes((begin, *shape, *strides)) or len(shape) > MAX_RANK or len(strides) != len(shape):
        said = f"a shape has at most {MAX_RANK} sizes, and as many strides, each an integer from 0 to 2**48 - 1"
        raise refuse(said, "shape")
    if math.prod(side for side in shape if side) * itemsize > MAX_SIZE:
        raise refuse(f"the sizes of shape {shape} multiply to more than 2**48 - 1 bytes", "shape-too-large")
    packed = 1
    for stride, side in sorted((stride, side) for side, stride in zip(shape, strides, strict=True) if side != 1):
        if stride != packed and 0 not in shape:
            said = f"the elements of shape {shape} and strides {strides} do not lie side by side: make it contiguous"
            raise CheckpointError(f"tensor {brief(name)}: {said}", "strides")
        packed *= side
    if 0 not in shape and begin + math.prod(shape) > length:  # subtle: torch itself puts an empty view anywhere
        said = f"{shape} from element {begin:,} ends behind storage {key}, which has {length:,}"
        raise refuse(said, "beyond-storage")


def _check_views(tensors: dict[str, StoredTensor]) -> None:
    """Check that two views of a storage have the same elements or none in common: else a small file seems huge."""
    views = {(t.storage.key, t.begin, t.begin + math.prod(t.shape)): name for name, t in tensors.items()}
    for (view, name), (other, second) in pairwise(sorted(item for item in views.items() if item[0][1] < item[0][2])):
        if view[0] == other[0] and other[1] < view[2]:
            said = f"tensors {brief(name)} and {brief(second)} overlap in storage {view[0]}"
            raise DamagedError(said, "overlap")


def _array(tensor: StoredTensor, data: NDArray[np.uint8], start: int) -> NDArray[Any]:
    """Return the array of a tensor whose storage begins at a byte of the data."""
    dtype = DTYPES[tensor.storage.dtype]
    if 0 in tensor.shape:
        return np.ndarray(tensor.shape, dtype, data[:0])
    strides = [stride * dtype.itemsize for stride in tensor.strides]
    return np.ndarray(tensor.shape, dtype, data, start + tensor.begin * dtype.itemsize, strides)
