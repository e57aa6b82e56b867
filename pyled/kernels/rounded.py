"""Rounded: a matrix in fewer bits, and the kernels that round it and widen it again.

"bf16" is the upper half of a float32's bits, stored as uint16. "int8" and "int16" are whole numbers times a scale that
the numbers of a row share.

int16 is multiplied as it is, with rows rounded to at most ROW_LARGEST, in sums of 32 bits of DEPTH terms at most. No
sum leaves 32 bits: the sizes of DEPTH neighbouring weights add up to ROOM at most before they are rounded, rounding
adds a half to each, and ROW_LARGEST * (ROOM + DEPTH / 2) < 2**31.

Letters: M rows, U numbers in a row.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numba import prange

from ..arrays import Floats
from .jit import kernel

LARGEST = {"int8": 127, "int16": 32767}  # the smallest is its negative: a row's scale is the same to both sides
DEPTH = 128  # terms of a sum before it is added to a float32
ROW_LARGEST = 8191  # a quarter of what int16 holds: the larger the rows, the smaller the weights have to be
ROOM = (2**31 - 1) // ROW_LARGEST - DEPTH // 2


@dataclass(frozen=True, eq=False)
class Rounded:
    """A matrix of float32 numbers in fewer bits, or a stack of them. Indexing takes some of the stack.

    values: (..., M, U) uint16 for bf16, int8 for int8, int16 for int16
    scale: (..., M) float32 for int8 and int16; None for bf16
    """

    values: Any
    scale: Floats | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the numbers that are stored."""
        shape: tuple[int, ...] = self.values.shape
        return shape

    @property
    def storage(self) -> Literal["bf16", "int8", "int16"]:
        """How the numbers are stored."""
        return "bf16" if self.scale is None else "int8" if self.values.dtype == np.int8 else "int16"

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> "Rounded":
        return Rounded(self.values[index], None if self.scale is None else self.scale[index])

    def widened(self) -> Floats:
        """Return the float32 numbers that are stored: (..., M, U)."""
        wide = np.empty(self.shape, np.float32)
        rows = wide.reshape(-1, self.shape[-1])
        scale = None if self.scale is None else self.scale.ravel()
        _widen(self.values.reshape(rows.shape), scale, rows.view(np.uint32) if scale is None else rows)
        return wide


Matrix = Floats | Rounded


def widened(matrix: Matrix) -> Floats:
    """Return a matrix as floats: its own, where it is not rounded."""
    return matrix.widened() if isinstance(matrix, Rounded) else matrix


def frozen(matrix: Matrix) -> Matrix:
    """Make the arrays of a matrix read-only, and return it."""
    for array in parts(matrix):
        if array is not None:
            array.flags.writeable = False
    return matrix


def parts(matrix: Matrix) -> tuple[Any, Floats | None]:
    """Return what a kernel takes for a matrix: its numbers as they are stored, and their scale or None."""
    return (matrix.values, matrix.scale) if isinstance(matrix, Rounded) else (matrix, None)


def largest_factor(terms: int) -> int:
    """Return the largest size of int16 numbers of which so many products add up to less than 2^31."""
    return min(LARGEST["int16"], math.isqrt((2**31 - 1) // terms))


def words(values: Any) -> Any:
    """Return int16 numbers in words of 32 bits, two neighbours of a row in each; behind an odd row stands a 0.

    values: (..., M, U) int16
    returns: (..., M, U / 2) int32
    """
    if values.shape[-1] % 2:
        padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, 1)])
        padded.flags.writeable = values.flags.writeable
        values = padded
    return values.view(np.int32)


def rounded(x: Floats, storage: str) -> Rounded:
    """Round each number to the nearest that the storage has, of two the even one.

    bf16 keeps NaN and infinity. Whole numbers have neither: the scale of a row that holds one is NaN. Any other scale
    is the largest number of its row divided by LARGEST, or 1 for a row of zeros. A scale of int16 is larger where the
    sizes of DEPTH neighbours would else add up to more than ROOM.

    x: (..., M, U) float32
    storage: "bf16", "int8" or "int16"
    """
    rows = x.reshape(-1, x.shape[-1])
    if storage == "bf16":
        halves = np.empty(rows.shape, np.uint16)
        _bf16(rows.view(np.uint32), halves)
        return Rounded(halves.reshape(x.shape))
    if storage == "int8":
        return _rounded(x, LARGEST[storage], np.zeros(len(rows), np.float32), np.int8)
    neighbours = np.arange(0, rows.shape[1], DEPTH)
    sizes = np.add.reduceat(np.abs(rows), neighbours, axis=1, dtype=np.float64).max(axis=1)
    # subtle: a scale that is no normal number lacks bits, and could be a third smaller than it has to be.
    least = np.maximum(sizes / ROOM, np.finfo(np.float32).tiny).astype(np.float32)
    whole = _rounded(x, LARGEST[storage], least, np.int16)
    sizes = np.add.reduceat(np.abs(whole.values).reshape(rows.shape), neighbours, axis=1, dtype=np.int64)
    assert sizes.max(initial=0) * ROW_LARGEST < 2**31
    return whole


def rounded_rows(x: Floats, largest: int = ROW_LARGEST) -> Rounded:
    """Round rows to int16, each by a scale of its own, for products with int16 matrices; as `rounded` does.

    x: (..., M, U) float32
    largest: what the largest number of a row becomes
    """
    return _rounded(x, largest, np.zeros(x.size // x.shape[-1], np.float32), np.int16)


def _rounded(x: Floats, largest: int, scale: Floats, dtype: Any) -> Rounded:
    """Round to whole numbers of at most `largest`. `scale`, (rows,), is the least that a row may have."""
    whole = np.empty((len(scale), x.shape[-1]), dtype)
    _whole(x.reshape(whole.shape), np.float32(largest), scale, whole)
    return Rounded(whole.reshape(x.shape), scale.reshape(x.shape[:-1]))


@kernel(parallel=True)
def _bf16(bits, halves):
    """The upper half of each number's 32 bits, rounded."""
    for m in prange(bits.shape[0]):
        for u in range(bits.shape[1]):
            number = np.int64(bits[m, u])
            if number & 0x7FFFFFFF > 0x7F800000:  # NaN, with a bit that stays
                halves[m, u] = number >> 16 | 0x40
            else:  # subtle: just under a half is added, but a half where the upper half is odd, so that ties go to even
                halves[m, u] = (number + 0x7FFF + (number >> 16 & 1)) >> 16


@kernel(parallel=True)
def _whole(x, largest, scale, whole):
    """whole = rint(x / scale), with scale = the size of the row's largest number / largest, or what it is already."""
    for m in prange(x.shape[0]):
        # subtle: without their signs, floats are in the order of their bits, and NaN is beyond infinity; compilers make
        # vector instructions of such a maximum.
        top = np.int32(0)
        for u in range(x.shape[1]):
            top = max(top, np.int32(np.float32(x[m, u]).view(np.int32) & np.int32(0x7FFFFFFF)))
        unit = max(np.int32(top).view(np.float32) / largest, scale[m])
        if not math.isfinite(unit):
            scale[m] = np.nan
            whole[m] = 1
        else:
            scale[m] = unit if unit > 0 else 1
            for u in range(x.shape[1]):
                nearest = np.rint(x[m, u] / scale[m])
                # subtle: a scale that is no normal number lacks bits, so that a quotient may be beyond the largest.
                whole[m, u] = min(max(nearest, -largest), largest)


@kernel(parallel=True)
def _widen(values, scale, wide):
    """wide = values * scale; or, where there is no scale, the bits of wide = those of values, shifted up."""
    for m in prange(values.shape[0]):
        for u in range(values.shape[1]):
            if scale is None:
                wide[m, u] = np.uint32(values[m, u]) << np.uint32(16)
            else:
                wide[m, u] = np.float32(values[m, u]) * scale[m]
