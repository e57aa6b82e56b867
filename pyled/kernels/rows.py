"""What happens to each row alone, compiled, in one pass over memory each: bias with GELU, residual with LayerNorm.

Letters: N rows, E model size, F feed-forward size.
"""

import math
from typing import Any

from numba import prange
from numpy.typing import NDArray

from .elementary import gelu
from .jit import FAST_SUMS, kernel

Floats = NDArray[Any]


@kernel(parallel=True)
def _add_bias_gelu(x, bias):
    for n in prange(x.shape[0]):
        for f in range(x.shape[1]):
            x[n, f] = gelu(x[n, f] + bias[f])


def add_bias_gelu(x: Floats, bias: Floats) -> None:
    """x becomes gelu(x + bias), in place. Equals `reference.activation(x + bias, "gelu")`.

    x: (N, F) float
    bias: (F,) float
    """
    _add_bias_gelu(x, bias)


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
