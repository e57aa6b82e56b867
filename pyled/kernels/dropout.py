"""Dropout without a running generator: a hash of a key and a place says which numbers are dropped.

So whoever computes a number again drops it again: in another slice, on another thread, or when a layer is recomputed.

Letters: R rows, M numbers in a row; H heads, Q queries, S keys, G extra keys.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numba.extending import intrinsic, overload
from numba.types import uint32
from numpy.typing import NDArray

from ..arrays import Floats, Ids
from .jit import PART, kernel

FIRST, SECOND = 0x7FEB352D, 0x846CA68B  # factors of lowbias32
STEP = 0x9E3779B1  # 2^32 over the golden ratio, odd: neighbouring numbers become distant ones (Knuth, volume 3, 6.4)


def uniform(key: Any, number: Any) -> Any:
    """Return one of the 2^32 numbers of uint32, all as likely, for a key and a number of at least 0.

    The mixing is `lowbias32` (C. Wellons, nullprogram.com/blog/2018/07/31): each bit of the input turns round each bit
    of the output in half of all cases, but for 0.17 parts in a thousand. Outside of kernels, arrays give an array.

    key: uint32
    number: int64
    """
    # The key is combined bit by bit: were it added, the numbers of one row could be those of another, shifted.
    x = _times(np.uint32(number), STEP) ^ key
    x = _times(x ^ x >> 16, FIRST)
    x = _times(x ^ x >> 15, SECOND)
    return x ^ x >> 16


def _times(x: Any, factor: int) -> Any:
    """Return the lower 32 bits of a product. NumPy warns of a product of uint32 that has more."""
    return np.uint32(np.uint64(x) * np.uint64(factor))


@overload(uniform, jit_options=PART)
def _compiled_uniform(key, number):
    return lambda key, number: _hash(np.uint32(key), np.uint32(number))


@intrinsic
def _hash(typing_context, key, number):
    """Have compiled code compute `uniform` in 32 bits. Numba makes 64 of them, in vectors of half as many numbers."""

    def generate(context, builder, signature, arguments):
        def mixed(x, shift):
            return builder.xor(x, builder.lshr(x, x.type(shift)))

        key, number = arguments
        x = builder.xor(builder.mul(number, number.type(STEP)), key)
        x = builder.mul(mixed(x, 16), x.type(FIRST))
        return mixed(builder.mul(mixed(x, 15), x.type(SECOND)), 16)

    return uint32(uint32, uint32), generate


@kernel()
def threshold(rate):
    """Return the uint32 below which a `uniform` number says that something is dropped.

    At rate 1, one number in 2^32 is not below it; the `scale` makes that 0, too.
    """
    return np.uint32(min(rate * 2.0**32, 2.0**32 - 1))


@kernel()
def scale(rate):
    """Return the factor of what is not dropped, by which the expected sum stays the same: 1 / (1 - rate)."""
    return 1 / (1 - rate) if rate < 1 else 0.0


@kernel(parallel=True)
def _drop(x, keys, rate):
    bound, factor, zero = threshold(rate), x.dtype.type(scale(rate)), x.dtype.type(0)
    for r in prange(x.shape[0]):
        # x[r] = where(uniform(keys[r], arange(M)) < bound, 0, x[r] * factor)
        for m in range(x.shape[1]):
            x[r, m] *= zero if uniform(keys[r], m) < bound else factor


def drop(x: Floats, keys: NDArray[np.uint32], rate: float) -> None:
    """Drop numbers of rows in place, each with probability `rate`, and multiply the others by 1 / (1 - rate).

    Number m of row r is dropped where `uniform(keys[r], m)` is below `rate` times 2^32. The gradient goes backward
    through the same call.

    x: (R, M) float
    keys: (R,) uint32
    """
    _drop(x, keys, float(rate))


class Dropped(NamedTuple):
    """The probabilities that attention drops: that of query i for a key, where `uniform(keys[h, i], column)` is low.

    A key has one column, within the band and as an extra key: its place in its document.

    keys: (H, Q) uint32
    columns: (S,) int64
    extra_columns: (G,) int64
    rate: of all probabilities, the share that is dropped
    """

    keys: NDArray[np.uint32]
    columns: Ids
    extra_columns: Ids
    rate: float
