"""Work on each row alone, compiled, each kernel in one pass over memory: residual with LayerNorm; the past of rows in
another order.

Letters: M rows, R rows being decoded, E model size, H heads, D head size, P past tokens.
"""

import math

import numpy as np
from numba import prange

from ..arrays import Floats, Ids
from .jit import FAST_SUMS, kernel


@kernel(fastmath=FAST_SUMS)
def _norm_row(row, weight, bias, epsilon):
    """Norm one row in place: `reference.layer_norm`."""
    E = row.shape[0]
    # pass 1: mean = row.mean()
    total = row.dtype.type(0)
    for e in range(E):
        total += row[e]
    mean = total / row.dtype.type(E)
    # pass 2: row = row - mean; squares = (row**2).sum()
    squares = row.dtype.type(0)
    for e in range(E):
        row[e] -= mean
        squares += row[e] * row[e]
    if math.isinf(squares):  # subtle: a row divided by infinity would become its bias, and nobody would see the loss
        squares = row.dtype.type(np.nan)
    # pass 3: row = row / np.sqrt(squares / E + epsilon) * weight + bias
    scale = row.dtype.type(1) / math.sqrt(squares / row.dtype.type(E) + epsilon)
    for e in range(E):
        row[e] = row[e] * scale * weight[e] + bias[e]


@kernel(parallel=True)
def _add_norm(x, y, weight, bias, epsilon, out):
    # out = layer_norm(x + y)
    for m in prange(x.shape[0]):
        for e in range(x.shape[1]):
            out[m, e] = x[m, e] + y[m, e]
        _norm_row(out[m], weight, bias, epsilon)


def add_norm(x: Floats, y: Floats, weight: Floats, bias: Floats, epsilon: float, out: Floats) -> None:
    """Write LayerNorm(x + y) to `out`, which may be `x` or `y`. Equals `reference.layer_norm`.

    x, y, out: (M, E) float
    weight, bias: (E,) float
    """
    _add_norm(x, y, weight, bias, x.dtype.type(epsilon), out)


@kernel(parallel=True)
def select_past(past: Floats, P: int, rows: Ids, out: Floats) -> None:
    """Write the first P tokens of some rows to `out`, in the order of `rows`.

    past: (before, H, capacity, D) float
    rows: (R,) int64, each one a row of past: nothing checks that here
    out: (R, H, room, D) float
    """
    H = past.shape[1]
    # out[:, :, :P] = past[rows, :, :P]
    for task in prange(rows.shape[0] * H):
        i, h = task // H, task % H
        for p in range(P):
            for d in range(past.shape[3]):
                out[i, h, p, d] = past[rows[i], h, p, d]
