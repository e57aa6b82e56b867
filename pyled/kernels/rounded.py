"""Numbers in fewer bits, and back: bf16 and int8, each row of a matrix in one pass over memory.

"bf16" is the upper half of a float32's bits, stored as uint16. "int8" is a whole number from -127 to 127 times a scale
that the numbers of a row share.

Letters: M rows, K numbers in each.
"""

import math
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .jit import kernel

Floats = NDArray[Any]

LARGEST = 127  # whole number of int8, as -127 is the smallest: a row's scale is the same to both sides


@kernel(parallel=True)
def _bf16(bits, out):
    for m in prange(bits.shape[0]):
        for k in range(bits.shape[1]):
            number = np.int64(bits[m, k])
            if number & 0x7FFFFFFF > 0x7F800000:  # NaN, with a bit that stays
                out[m, k] = number >> 16 | 0x40
            else:  # just under a half is added, or a half where the upper half is odd
                out[m, k] = (number + 0x7FFF + (number >> 16 & 1)) >> 16


def bf16(x: Floats) -> NDArray[np.uint16]:
    """The upper half of each number's bits, rounded to the nearest, of two the even; NaN stays NaN.

    x: (M, K) float32
    returns: (M, K) uint16
    """
    out = np.empty(x.shape, np.uint16)
    _bf16(x.view(np.uint32), out)
    return out


@kernel(parallel=True)
def _int8(x, scale, out):
    for m in prange(x.shape[0]):
        largest = x.dtype.type(0)
        for k in range(x.shape[1]):
            size = abs(x[m, k])
            largest = largest if size <= largest or math.isnan(largest) else size
        if not math.isfinite(largest):
            scale[m] = np.nan
            out[m] = 1
        else:
            unit = largest / x.dtype.type(LARGEST)
            scale[m] = unit if unit > 0 else 1
            for k in range(x.shape[1]):
                whole = np.rint(x[m, k] / scale[m])
                out[m, k] = min(max(whole, -LARGEST), LARGEST)  # beyond: by scales that lack some of their bits


def int8(x: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Each number by its row's scale, rounded to the nearest whole number, of two the even; and the scales.

    A scale is the largest number of its row by LARGEST, and 1 for a row of zeros; NaN for one with NaN or infinity.

    x: (M, K) float32
    returns: (M, K) int8; (M,) float32
    """
    out, scale = np.empty(x.shape, np.int8), np.empty(len(x), x.dtype)
    _int8(x, scale, out)
    return out, scale


@kernel(parallel=True)
def _widen(stored, scale, out):
    for m in prange(stored.shape[0]):
        for k in range(stored.shape[1]):
            if scale is None:
                out[m, k] = np.uint32(stored[m, k]) << np.uint32(16)
            else:
                out[m, k] = np.float32(stored[m, k]) * scale[m]


def widened(stored: Floats, scale: Floats | None = None) -> Floats:
    """The float32 numbers that narrow ones stand for; floats themselves.

    stored: (M, K), uint16 as `bf16` gives it, or int8
    scale: (M,) float32, for int8
    returns: (M, K) float
    """
    if stored.dtype.kind == "f":
        return stored
    out = np.empty(stored.shape, np.float32)
    _widen(stored, scale, out.view(np.uint32) if scale is None else out)
    return out
