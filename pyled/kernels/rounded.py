"""Rounded: a matrix in fewer bits, and the kernels that round it and widen it again.

"bf16" is the upper half of a float32's bits, stored as uint16. "int8" is a whole number from -127 to 127 times a scale
that the numbers of a row share.

Letters: M rows, U numbers in a row.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numba import prange

from ..arrays import Floats
from .jit import kernel

LARGEST = 127  # whole number of int8, as -127 is the smallest: a row's scale is the same to both sides


@dataclass(frozen=True, eq=False)
class Rounded:
    """A matrix of float32 numbers in fewer bits, or a stack of them. Indexing takes some of the stack.

    values: (..., M, U) uint16 for bf16, int8 for int8
    scale: (..., M) float32 for int8; None for bf16
    """

    values: Any
    scale: Floats | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the numbers that are stored."""
        shape: tuple[int, ...] = self.values.shape
        return shape

    @property
    def storage(self) -> Literal["bf16", "int8"]:
        """How the numbers are stored."""
        return "bf16" if self.scale is None else "int8"

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


def rounded(x: Floats, storage: str) -> Rounded:
    """Round each number to the nearest that the storage has, of two the even one.

    bf16 keeps NaN and infinity. int8 has neither: the scale of a row that holds one is NaN. Any other scale is the
    largest number of its row divided by LARGEST, or 1 for a row of zeros.

    x: (..., M, U) float32
    storage: "bf16" or "int8"
    """
    rows = x.reshape(-1, x.shape[-1])
    if storage == "bf16":
        halves = np.empty(rows.shape, np.uint16)
        _bf16(rows.view(np.uint32), halves)
        return Rounded(halves.reshape(x.shape))
    whole, scale = np.empty(rows.shape, np.int8), np.empty(len(rows), np.float32)
    _int8(rows, scale, whole)
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
def _int8(x, scale, whole):
    """whole = rint(x / scale), with scale = the largest of a row / LARGEST."""
    for m in prange(x.shape[0]):
        largest = x.dtype.type(0)
        for u in range(x.shape[1]):
            size = abs(x[m, u])
            largest = largest if size <= largest or math.isnan(largest) else size
        if not math.isfinite(largest):
            scale[m] = np.nan
            whole[m] = 1
        else:
            unit = largest / x.dtype.type(LARGEST)
            scale[m] = unit if unit > 0 else 1
            for u in range(x.shape[1]):
                nearest = np.rint(x[m, u] / scale[m])
                # subtle: a scale that is no normal number lacks bits, so that a quotient may be beyond LARGEST.
                whole[m, u] = min(max(nearest, -LARGEST), LARGEST)


@kernel(parallel=True)
def _widen(values, scale, wide):
    """wide = values * scale; or, where there is no scale, the bits of wide = those of values, shifted up."""
    for m in prange(values.shape[0]):
        for u in range(values.shape[1]):
            if scale is None:
                wide[m, u] = np.uint32(values[m, u]) << np.uint32(16)
            else:
                wide[m, u] = np.float32(values[m, u]) * scale[m]
