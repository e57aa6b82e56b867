"""TensorFlow's weight files, `tf_model.h5`: HDF5 as Keras 2 writes it, read without TensorFlow.

Each weight is a dataset in nested groups: `led/tfled_model/led/encoder/layers.0/fc1/kernel:0`. Keras also lists these
paths in attributes. Nothing here reads them: the groups say the same, and texts of any length are HDF5's weakest part.
h5py reads how the file is built, but no number: each array lies in one piece, and is mapped from there.
"""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CheckpointError, brief
from ..files import GIT_LFS, POINTER
from .weight_file import DamagedError, bytes_of, reading

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_OBJECTS = 50_000  # groups and datasets: LED has 70 for a layer
MAX_NAME = 255  # bytes
MAX_DEPTH = 12  # groups in one another: Keras has 9
FLOATS = {"IEEE_F16LE": "<f2", "IEEE_F32LE": "<f4", "IEEE_F64LE": "<f8"}  # HDF5's types
_PATH = re.compile(
    r"(?:.*/)?(?:led[./]((?:encoder|decoder)/.+|shared)/(kernel|gamma|embeddings|weight|beta|bias)|(final_logits_bias)):0"
)

Place = tuple[str, np.dtype[Any], tuple[int, ...], int]  # of an array: path, type, shape, first byte


def weight_name(path: str) -> str:
    """Return upstream's name of the weight that has this path in a file of Keras; any other path as it is.

    >>> weight_name("led/tfled_model/led/encoder/layers.0/fc1/kernel:0")
    'led.encoder.layers.0.fc1.weight'
    """
    match = _PATH.fullmatch(path)
    if match is None:
        return path
    module, kind, bias_of_head = match.groups()
    return bias_of_head or f"led.{module.replace('/', '.')}.{'bias' if kind in ('beta', 'bias') else 'weight'}"


def read_tensorflow(path: Path, *, mmap: bool = True, as_stored: bool = False) -> dict[str, NDArray[Any]]:
    """Return the tensors of a file by upstream's names, as read-only arrays: views, as those of `read_safetensors`.

    Matrices of dense layers are transposed: Keras stores (inputs, outputs). as_stored has no effect.

    Raises CheckpointError, naming the file, the tensor and the rule it breaks; also where h5py is not installed.
    """
    with reading(path, mmap=mmap) as (file, size):
        first = file.read(len(SIGNATURE))
        if first == GIT_LFS[: len(SIGNATURE)]:
            raise CheckpointError(POINTER, "git-lfs")
        if first != SIGNATURE:
            raise DamagedError(f"begins with {brief(first)}, and an HDF5 file with {brief(SIGNATURE)}", "no-hdf5")
        file.seek(0)
        data = bytes_of(file, 0, size, mmap)
        tensors: dict[str, NDArray[Any]] = {}
        for place in _checked_places(path, size):
            where, dtype, shape, begin = place
            name = weight_name(where)
            if name == where:
                raise DamagedError(f"{brief(where)} is the path of no weight of TensorFlow's LED", "name")
            if name in tensors:
                raise DamagedError(f"{brief(where)} is {name}, as another array is", "one-weight-twice")
            array = np.ndarray(shape, dtype, data[begin:])
            tensors[name] = array.T if where.endswith("/kernel:0") else array
        return tensors


def _checked_places(path: Path, size: int) -> list[Place]:
    """Return where each array of a file lies, in order: none beyond the end, and no byte in two of them."""
    try:
        import h5py
    except ImportError:
        said = "TensorFlow's weights are read with h5py, which is not installed: pip install 'pyled[tf]'"
        raise CheckpointError(said, "no-h5py") from None
    try:
        with h5py.File(path, "r", locking=False) as file:
            places = sorted(_below(h5py.h5g.open(file.id, b"/"), h5py), key=lambda place: place[3])
    except CheckpointError:
        raise
    except Exception as e:  # h5py raises many kinds
        raise DamagedError(f"HDF5 cannot read it: {e}", "hdf5") from None
    position = 0
    for where, dtype, shape, begin in places:
        end = begin + math.prod(shape) * dtype.itemsize
        if begin < position:
            raise DamagedError(f"{brief(where)} begins at byte {begin:,}, inside the array before", "overlap")
        if end > size:
            raise DamagedError(f"{brief(where)} ends at byte {end:,}, the file at {size:,}", "data-cut-short")
        position = end
    return places


def _below(root: Any, h5py: Any) -> list[Place]:
    """Return where the arrays of a group lie, and of the groups below it.

    Hard links can make a ring of groups, or many ways to one: the limits end both.
    """
    places, groups, count = [], [("", root)], 0
    while groups:
        parent, group = groups.pop()
        names = _names(group)
        count += len(names)
        if count > MAX_OBJECTS or parent.count("/") > MAX_DEPTH or max(map(len, names), default=0) > MAX_NAME:
            said = f"more than {MAX_OBJECTS:,} groups and arrays, {MAX_DEPTH} groups in one another, or a long name"
            raise DamagedError(said, "too-many-objects")
        for name in names:
            path = f"{parent}{name.decode()}"
            if group.links.get_info(name).type != h5py.h5l.TYPE_HARD:
                raise DamagedError(f"{brief(path)} is a link to elsewhere", "link")
            member = h5py.h5o.open(group, name)
            if isinstance(member, h5py.h5g.GroupID):
                groups.append((f"{path}/", member))
            elif isinstance(member, h5py.h5d.DatasetID):
                places.append(_place(path, member, h5py))
            else:
                raise DamagedError(f"{brief(path)} is neither a group nor an array", "object")
    return places


def _names(group: Any) -> list[bytes]:
    """Return the names in a group: not all of them where they are too many, or one is too long."""
    names: list[bytes] = []

    def add(name: bytes) -> bool | None:
        names.append(name)
        return len(names) > MAX_OBJECTS or len(name) > MAX_NAME or None  # subtle: anything but None ends the loop

    group.links.iterate(add)
    return names


def _place(path: str, dataset: Any, h5py: Any) -> Place:
    """Return where an array lies: plain floating-point numbers in one piece, in this file."""
    kind, plan, space = dataset.get_type(), dataset.get_create_plist(), dataset.get_space()
    dtype = next((FLOATS[name] for name in FLOATS if getattr(h5py.h5t, name) == kind), None)
    if dtype is None:
        said = f"{brief(path)} holds {brief(kind.dtype)}: weights are floats of 2, 4 or 8 bytes, little-endian"
        raise DamagedError(said, "no-floats")
    if plan.get_external_count():
        raise DamagedError(f"{brief(path)} lies in another file", "external")
    if plan.get_layout() != h5py.h5d.CONTIGUOUS or space.get_simple_extent_type() == h5py.h5s.NULL:
        raise DamagedError(f"{brief(path)} is not in one piece: compressed, chunked or virtual", "layout")
    shape, begin = space.get_simple_extent_dims(), dataset.get_offset()
    if begin is None and math.prod(shape):
        raise DamagedError(f"{brief(path)} of shape {shape} was never written", "layout")
    return path, np.dtype(dtype), shape, begin or 0
