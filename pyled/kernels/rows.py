"""Work on each row alone, compiled, each kernel in one pass over memory: residual with LayerNorm, and backward through
it and through GELU; the past of rows in another order.

Letters: M rows, R rows being decoded, E model size, H heads, D head size, P past tokens.
"""

import math

import numpy as np
from numba import prange

from ..arrays import Floats, Ids
from .elementary import gelu, gelu_slope
from .jit import FAST_SUMS, kernel, scratch, thread

GROUP = 64  # rows per task, whose gradients of a norm's weight are added up


@kernel(fastmath=FAST_SUMS)
def _centre(row, epsilon):
    """Subtract a row's mean in place, and return 1 over its deviation, by which it is multiplied next."""
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
    return row.dtype.type(1) / math.sqrt(squares / row.dtype.type(E) + epsilon)


@kernel(fastmath=FAST_SUMS)
def _norm_row(row, weight, bias, epsilon):
    """Norm one row in place: `reference.layer_norm`."""
    scale = _centre(row, epsilon)
    # pass 3: row = row / np.sqrt(squares / E + epsilon) * weight + bias
    for e in range(row.shape[0]):
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


@kernel(fastmath=FAST_SUMS)
def _norm_row_back(upstream, row, weight, epsilon, out, d_weight, d_bias):
    """Write the gradient of one row before its norm to `out`, which may be `upstream`. Spoils `row`."""
    E, zero = row.shape[0], row.dtype.type(0)
    scale = _centre(row, epsilon)
    # pass 1: row is the normed row without weight and bias; gradient = upstream * weight; the means of gradient and
    # of gradient * row; d_weight += upstream * row; d_bias += upstream
    total = along = zero
    for e in range(E):
        row[e] *= scale
        gradient = upstream[e] * weight[e]
        total += gradient
        along += gradient * row[e]
        d_weight[e] += upstream[e] * row[e]
        d_bias[e] += upstream[e]
    mean, slope = total / row.dtype.type(E), along / row.dtype.type(E)
    # pass 2: out = scale * (gradient - its mean - its part along row)
    for e in range(E):
        out[e] = scale * (upstream[e] * weight[e] - mean - row[e] * slope)


@kernel(parallel=True)
def _add_norm_back(upstream, x, y, weight, epsilon, sums, out, partial):
    M, E = x.shape
    for group in prange(partial.shape[0]):
        partial[group] = 0
        for m in range(group * GROUP, min(M, (group + 1) * GROUP)):
            row = sums[thread()]
            for e in range(E):
                row[e] = x[m, e] + y[m, e]
            _norm_row_back(upstream[m], row, weight, epsilon, out[m], partial[group, 0], partial[group, 1])


def add_norm_back(
    upstream: Floats,
    x: Floats,
    y: Floats,
    weight: Floats,
    epsilon: float,
    out: Floats,
    d_weight: Floats,
    d_bias: Floats,
) -> None:
    """Write the gradient of x + y in `add_norm` to `out`, and add those of its weight and bias to theirs.

    The gradient of a row has no part along 1, which the mean takes away, and next to none along the normed row.

    upstream, x, y: (M, E) float
    weight: (E,) float
    out: (M, E) float, which may be `upstream`
    d_weight, d_bias: (E,) float
    """
    M, E = x.shape
    partial = np.empty((-(-M // GROUP), 2, E), x.dtype)  # subtle: by rows, not by threads, whose number moves last bits
    _add_norm_back(upstream, x, y, weight, x.dtype.type(epsilon), scratch((E,), x.dtype), out, partial)
    of_weight, of_bias = partial.sum(axis=0)
    d_weight += of_weight
    d_bias += of_bias


@kernel(parallel=True)
def gelu_back(x: Floats, upstream: Floats) -> None:
    """Multiply `upstream`, in place, by the derivative of the exact GELU at x.

    x, upstream: (M, E) float
    """
    for m in prange(x.shape[0]):
        for e in range(x.shape[1]):
            upstream[m, e] *= gelu_slope(x[m, e])


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


@kernel(parallel=True)
def gelu_rows(x: Floats) -> None:
    """Replace x, (M, F), by its GELU, with the bits that the products give which compute it on the way."""
    for m in prange(x.shape[0]):
        for f in range(x.shape[1]):
            x[m, f] = gelu(x[m, f])
