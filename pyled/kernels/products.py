"""Products of a few rows with a large matrix, as decoding needs them: the time is that of reading the matrix once.

Letters: R rows being decoded; M rows of the matrix, of U numbers each.
"""

import numpy as np
from numba import prange

from ..arrays import Floats
from .elementary import gelu
from .jit import kernel
from .rounded import Matrix, Rounded
from .vectors import dots

WEIGHT_TILE = 32  # rows of the matrix per task


@kernel(parallel=True)
def _few_rows(x, weight, scale, bias, activate, out):
    M = weight.shape[0]
    for tile in prange((M + WEIGHT_TILE - 1) // WEIGHT_TILE):
        first, stop = tile * WEIGHT_TILE, min(M, (tile + 1) * WEIGHT_TILE)
        # pass 1: out = x @ weight.T, of the columns of this tile
        dots(x, weight, first, stop, out)
        # pass 2: out = out * scale + bias, or its GELU
        for r in range(x.shape[0]):
            if scale is not None:
                for m in range(first, stop):
                    out[r, m] *= scale[m]
            for m in range(first, stop):
                out[r, m] = gelu(out[r, m] + bias[m]) if activate else out[r, m] + bias[m]


def few_rows(x: Floats, weight: Matrix, bias: Floats, *, activate: bool = False) -> Floats:
    """Return x @ weight.T + bias, or its GELU.

    Equals `reference.linear`, then `reference.activation(..., "gelu")` with `activate`. Each weight is read from memory
    once, whatever the number of rows.

    x: (R, U) float
    weight: (M, U) float, or with float32 rows Rounded
    bias: (M,) float
    returns: (R, M) float
    """
    out = np.empty((x.shape[0], weight.shape[0]), x.dtype)
    values, scale = (weight.values, weight.scale) if isinstance(weight, Rounded) else (weight, None)
    _few_rows(x, values, scale, bias, activate, out)
    return out
