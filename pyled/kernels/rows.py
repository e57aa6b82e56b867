"""What happens to each row alone, compiled, in one pass over memory each: bias, alone, with GELU or on the way to
heads, residual with LayerNorm, and the past of rows in another order.

Letters: N rows, E model size, H heads, D head size, F feed-forward size, P past tokens.
"""

import math
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .elementary import gelu
from .jit import FAST_SUMS, kernel

Floats = NDArray[Any]


@kernel(parallel=True)
def _add_bias(x, bias, activate):
    for n in prange(x.shape[0]):
        if activate:
            for f in range(x.shape[1]):
                x[n, f] = gelu(x[n, f] + bias[f])
        else:
            for f in range(x.shape[1]):
                x[n, f] += bias[f]


def add_bias(x: Floats, bias: Floats, *, activate: bool = False) -> None:
    """x becomes x + bias, or its GELU, in place. Equals `reference.activation(x + bias, "gelu")` with `activate`.

    x: (N, F) float
    bias: (F,) float
    """
    _add_bias(x, bias, activate)


@kernel(parallel=True)
def _part_into_heads(x, bias, out):
    H, N, D = out.shape
    for n in prange(N):
        for h in range(H):
            for d in range(D):
                out[h, n, d] = x[n, h * D + d] + bias[h * D + d]


def part_into_heads(x: Floats, bias: Floats, out: Floats) -> None:
    """out becomes x + bias, the columns of each head of all rows together: out[h, n, d] of column h * D + d.

    x: (N, H*D) float
    bias: (H*D,) float
    out: (H, N, D) float
    """
    _part_into_heads(x, bias, out)


@kernel(fastmath=FAST_SUMS)
def _norm_row(row, weight, bias, epsilon):
    """One row normed in place."""
    E = row.shape[0]
    total = row.dtype.type(0)
    for e in range(E):
        total += row[e]
    mean = total / row.dtype.type(E)
    squares = row.dtype.type(0)
    for e in range(E):
        row[e] -= mean
        squares += row[e] * row[e]
    scale = row.dtype.type(1) / math.sqrt(squares / row.dtype.type(E) + epsilon)
    for e in range(E):
        row[e] = row[e] * scale * weight[e] + bias[e]


@kernel(parallel=True)
def _add_norm(x, y, weight, bias, epsilon, out):
    for n in prange(x.shape[0]):
        for e in range(x.shape[1]):
            out[n, e] = x[n, e] + y[n, e]
        _norm_row(out[n], weight, bias, epsilon)


def add_norm(x: Floats, y: Floats, weight: Floats, bias: Floats, epsilon: float, out: Floats) -> None:
    """out becomes LayerNorm(x + y). Equals `reference.layer_norm`. `out` may be `x` or `y`.

    x, y, out: (N, E) float
    weight, bias: (E,) float
    """
    _add_norm(x, y, weight, bias, x.dtype.type(epsilon), out)


@kernel(parallel=True)
def _select_past(past, P, rows, out):
    H = past.shape[1]
    for task in prange(rows.shape[0] * H):
        i, h = task // H, task % H
        out[i, h, :P] = past[rows[i], h, :P]


def select_past(past: Floats, P: int, rows: NDArray[np.int64], out: Floats) -> None:
    """out becomes the first P tokens of some rows, in that order: out[i, :, :P] = past[rows[i], :, :P].

    past: (N, H, capacity, D) float
    rows: (R,) int64, each one a row of past: nothing checks that here
    out: (R, H, room, D) float
    """
    _select_past(past, P, rows, out)
