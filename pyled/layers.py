"""The pieces that both stacks are made of: linear, norm, feed-forward, positions.

`weights` maps a checkpoint's names, without the prefix `led.`, to arrays. Each function equals the one of the same
name in `reference.py`.

Letters: B batch, T tokens of this call, E model size, F feed-forward size.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .kernels.products import few_rows
from .kernels.rows import add_bias_gelu
from .kernels.rows import add_norm as add_norm_rows

Floats = NDArray[Any]
Weights = Mapping[str, Floats]

LAYER_NORM_EPSILON = 1e-5
FEED_FORWARD_ROWS = 4096  # rows of the inner layer held at once: it is four times as wide as the states


def product(x: Floats, weight: Floats) -> Floats:
    """x @ weight.T, with the same bits for a document alone and in a batch.

    A stack of documents is multiplied one by one; where each has a single row, all go through `few_rows`, since
    NumPy's matmul gives a single row other bits than the same row among several.

    x: (..., T, K) float
    weight: (M, K) float
    returns: (..., T, M) float
    """
    if x.shape[-2] == 1:
        rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        return few_rows(rows, weight).reshape(*x.shape[:-1], len(weight))
    return x @ weight.T


def linear(x: Floats, weights: Weights, name: str) -> Floats:
    """x W^T + b: (..., T, K) -> (..., T, M)."""
    out = product(x, weights[f"{name}.weight"])
    out += weights[f"{name}.bias"]
    return out


def add_norm(x: Floats, y: Floats, weights: Weights, name: str) -> Floats:
    """LayerNorm(x + y), row by row; x, y: (..., E), the result stands in y's place."""
    E = x.shape[-1]
    rows = y.reshape(-1, E)
    add_norm_rows(x.reshape(-1, E), rows, weights[f"{name}.weight"], weights[f"{name}.bias"], LAYER_NORM_EPSILON, rows)
    return y


def feed_forward(x: Floats, weights: Weights, name: str, kind: str) -> Floats:
    """Two linear layers with the activation between, in slices of rows: (..., T, E) -> (..., T, E)."""
    if x.ndim == 2 and len(x) > FEED_FORWARD_ROWS:
        out = np.empty_like(x)
        for first in range(0, len(x), FEED_FORWARD_ROWS):
            rows = slice(first, first + FEED_FORWARD_ROWS)
            out[rows] = feed_forward(x[rows], weights, name, kind)
        return out
    inner = product(x, weights[f"{name}.fc1.weight"])  # (..., T, F)
    add_bias_and_activate(inner, weights[f"{name}.fc1.bias"], kind)
    return linear(inner, weights, f"{name}.fc2")


def add_bias_and_activate(x: Floats, bias: Floats, kind: str) -> None:
    """x becomes activation(x + bias), in place; x: (..., F), bias: (F,)."""
    if kind == "gelu":
        add_bias_gelu(x.reshape(-1, x.shape[-1]), bias)
        return
    x += bias
    if kind == "relu":
        np.maximum(x, 0, out=x)
    elif kind in ("gelu_new", "gelu_pytorch_tanh"):
        inner = x * x * x
        inner *= 0.044715
        inner += x
        inner *= math.sqrt(2 / math.pi)
        np.tanh(inner, out=inner)
        inner += 1
        inner *= 0.5
        x *= inner
    else:  # silu, swish, quick_gelu: x times a logistic of x
        slope = -1.702 if kind == "quick_gelu" else -1.0
        with np.errstate(over="ignore"):  # exp of a large number is inf, and x / inf the right 0
            x /= np.exp(x * slope) + 1


def embed(tokens: Floats, first_position: int, weights: Weights, name: str) -> Floats:
    """Token plus position, normed: (..., T, E) -> (..., T, E)."""
    T = tokens.shape[-2]
    positions = weights[f"{name}.embed_positions.weight"][first_position : first_position + T]  # (T, E)
    positions = np.broadcast_to(positions, tokens.shape).copy()
    return add_norm(tokens, positions, weights, f"{name}.layernorm_embedding")
