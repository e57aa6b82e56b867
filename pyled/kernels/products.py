"""Products of a few rows with a large matrix, as decoding needs them: bound by reading the matrix once.

Letters: R rows, K inputs, M outputs.
"""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .elementary import dot
from .jit import kernel

Floats = NDArray[Any]

WEIGHT_TILE = 16  # rows of the matrix per task: they stay in cache while every row of x meets them


@kernel(parallel=True)
def _few_rows(x, weight, out):
    M = weight.shape[0]
    for tile in prange((M + WEIGHT_TILE - 1) // WEIGHT_TILE):
        first = tile * WEIGHT_TILE
        for r in range(x.shape[0]):
            for m in range(first, min(M, first + WEIGHT_TILE)):
                out[r, m] = dot(x[r], weight[m])


def few_rows(x: Floats, weight: Floats) -> Floats:
    """x @ weight.T. Equals `reference.linear` without its bias.

    Each weight is read from memory once, whatever the number of rows, and a row has the same bits alone and among
    others: its sums run in an order that depends on K alone. (NumPy's matmul takes another path for one row.)

    x: (R, K) float
    weight: (M, K) float
    returns: (R, M) float
    """
    out = np.empty((x.shape[0], weight.shape[0]), x.dtype)
    _few_rows(x, weight, out)
    return out
