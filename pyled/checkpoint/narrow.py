"""Weights in fewer bits: the matrices that a step of decoding reads, rounded once, when a model is loaded.

A step reads each of these matrices whole to multiply a few rows by it, so that it takes as long as reading them does.
They are widened on the way to the arithmetic, which stays in float32. All else stays in float32 altogether: the
encoder, which computes more than it reads; and the tables that rows are looked up in, also where one is tied to the
head, which then has a rounded copy of it.

"bf16" is the upper half of a float32's bits, stored as uint16. "int8" is a whole number from -127 to 127 times a scale
that the numbers of a row share; a layer that has it has the scales beside `weight` and `bias`, under the name `scale`.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import CheckpointError, InputError

Floats = NDArray[Any]
Storage = Literal["float32", "bf16", "int8"]

READ_BY_A_STEP = re.compile(
    r"decoder\.layers\.\d+\.(self_attn\.[kvq]_proj|encoder_attn\.q_proj|\w+_attn\.out_proj|fc[12])\.weight"
    r"|lm_head\.weight"
)
LARGEST = 127  # whole number of int8, as -127 is the smallest: a row's scale is the same to both sides
ROWS = 1024  # of a matrix that are rounded at a time


def check_storage(storage: Any, dtype: str) -> None:
    """Raises InputError for a storage that is none, or that is not for this float type; None is for each."""
    if storage is None:
        return
    if storage not in get_args(Storage):
        raise InputError(f"weights is {storage!r}: it is one of {', '.join(map(repr, get_args(Storage)))}")
    if dtype != "float32":
        raise InputError(
            f"weights {storage!r} with dtype {dtype!r}: they are computed with in float32; pass one of both"
        )


def narrowed(weights: Mapping[str, Floats], storage: str) -> dict[str, Floats]:
    """The weights with those that a step of decoding reads as "bf16" or "int8", read-only.

    weights: by their names, in float32

    Raises CheckpointError where one is infinite or NaN, which int8 is not.
    """
    made: dict[str, Floats] = {}
    for name, array in weights.items():
        if not READ_BY_A_STEP.fullmatch(name):
            made[name] = array
        elif storage == "bf16":
            made[name] = _in_parts(array, np.uint16, bf16)
        else:
            scale = scale_of(array)
            if not np.isfinite(scale).all():
                raise CheckpointError(f"{name} holds NaN or infinity, which int8 lacks: load it with weights 'float32'")
            made[name] = _in_parts(array, np.int8, int8, scale)
            made[f"{name.removesuffix('weight')}scale"] = scale
            scale.flags.writeable = False
        made[name].flags.writeable = False
    return made


def _in_parts(array: Floats, dtype: Any, rounded: Any, *beside: Floats) -> Floats:
    """All rows rounded, some at a time: less memory is taken, and what is worked on stays in the caches."""
    made = np.empty(array.shape, dtype)
    for first in range(0, len(array), ROWS):
        rows = slice(first, first + ROWS)
        made[rows] = rounded(array[rows], *(other[rows] for other in beside))
    return made


def bf16(x: Floats) -> NDArray[np.uint16]:
    """The upper half of each number's bits, rounded to the nearest, of two the even; NaN stays NaN.

    x: any shape, float32
    """
    bits = x.view(np.uint32)
    half = np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))  # just under a half, or a half where odd
    upper = np.where(np.isnan(x), bits >> np.uint32(16) | np.uint32(0x40), (bits + half) >> np.uint32(16))
    return upper.astype(np.uint16)


def scale_of(x: Floats) -> Floats:
    """What 1 of int8 stands for in each row: LARGEST is the row's largest number; 1 for a row of zeros.

    x: (M, K) float32
    returns: (M,) float32
    """
    scale = np.maximum(x.max(axis=1), -x.min(axis=1)) / np.float32(LARGEST)
    scale[scale == 0] = 1
    return scale


def int8(x: Floats, scale: Floats) -> NDArray[np.int8]:
    """The nearest whole number to each number by its row's scale, of two the even.

    x: (M, K) float32
    scale: (M,) float32
    returns: (M, K) int8
    """
    return np.clip(np.rint(x / scale[:, None]), -LARGEST, LARGEST).astype(np.int8)  # beyond: scales without all bits
