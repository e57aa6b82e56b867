"""The pieces of both stacks: linear layer, residual with norm, feed-forward, embedding.

A function gives what the one of the same name in `reference.py` gives; some overwrite an argument. A matrix of
`weights` may be Rounded.
"""

import math
from typing import Any

import numpy as np

from ..arrays import Floats, Ids, Weights
from ..kernels.products import Multiplication, many_rows, multiplication
from ..kernels.rounded import Matrix
from ..kernels.rows import add_norm as add_norm_rows
from ..kernels.rows import gelu_rows
from .dropout import NO_DROPOUT, Dropout
from .observe import SEES_NOTHING, Observer, Slices

LAYER_NORM_EPSILON = 1e-5  # torch.nn.LayerNorm's default, which LED keeps
SLICE_ROWS = 512  # rows of a feed-forward at a time: the array between, (rows, F), stays in the last cache


class Buffers:
    """Arrays by name, to be filled again and again: fresh memory costs a page fault for every few KiB."""

    def __init__(self) -> None:
        self._arrays: dict[str, Floats] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: Any) -> Floats:
        """Return the array of that name, with whatever was left in it."""
        array = self._arrays.get(name)
        if array is None or array.shape != shape or array.dtype != dtype:
            array = self._arrays[name] = np.empty(shape, dtype)
        return array


def linear(
    x: Floats, weights: Weights, name: str, *, gelu: bool = False, out: Floats | None = None,
    multiply: Multiplication | None = None,
) -> Floats:  # fmt: skip
    """Return x W^T + b, or its GELU: (..., T, inputs) -> (..., T, outputs). See `product`."""
    return product(x, weights[f"{name}.weight"], weights[f"{name}.bias"], gelu=gelu, out=out, multiply=multiply)


def product(
    x: Floats, weight: Matrix, bias: Floats, *, gelu: bool = False, out: Floats | None = None,
    multiply: Multiplication | None = None,
) -> Floats:  # fmt: skip
    """Return x @ weight.T + bias, or its GELU. No row depends on the others.

    x: (..., T, inputs) float
    weight: (outputs, inputs) float, or Rounded
    bias: (outputs,) float
    out: (..., T, outputs) float, where to put the result; None for a new array
    multiply: the kernel; None for the one that is fast for T rows. The two differ in the last bits, so that the encoder
        names one: the number of its rows is that of all documents
    returns: (..., T, outputs) float
    """
    rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    if out is None:
        out = np.empty((*x.shape[:-1], len(bias)), x.dtype)
    # subtle: the rows of a document choose, T, and not those of a batch.
    multiply = multiply or multiplication(x.shape[-2])
    multiply(rows, weight, bias, out.reshape(1, len(rows), len(bias)), activate=gelu)
    return out


def heads(
    x: Matrix, H: int, weights: Weights, name: str, *, out: Floats | None = None, multiply: Multiplication = many_rows
) -> Floats:
    """Return a linear layer of source tokens, its output parted into heads: (S, E) -> (H, S, D).

    x: floats, or what `kernels.products.operand` makes of them
    out: (H, S, D) float, where to put the result; None for a new array
    """
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    if out is None:
        out = np.empty((H, len(x), len(bias) // H), bias.dtype)
    multiply(x, weight, bias, out)
    return out


def dots(x: Floats, y: Floats) -> Floats:
    """Return x @ y.T: (R, U), (M, U) -> (R, M)."""
    return product(x, fixed(y), fixed(np.zeros(len(y), x.dtype)))


def fixed(x: Floats) -> Floats:
    """Return an array as weights are, read-only and in order; kernels are compiled anew for each other kind."""
    view = np.ascontiguousarray(x).view()
    view.flags.writeable = False
    return view


def split_heads(x: Floats, H: int) -> Floats:
    """Return a copy with the heads in front of the tokens: (..., T, E) -> (..., H, T, D)."""
    *lead, T, E = x.shape
    return np.ascontiguousarray(np.swapaxes(x.reshape(*lead, T, H, E // H), -3, -2))


def join_heads(x: Floats) -> Floats:
    """Undo `split_heads`: (..., H, T, D) -> (..., T, E)."""
    *lead, H, T, D = x.shape
    return np.ascontiguousarray(np.swapaxes(x, -3, -2)).reshape(*lead, T, H * D)


def add_norm(x: Floats, y: Floats, weights: Weights, name: str, see: Observer) -> Floats:
    """Return LayerNorm(x + y), row by row; x, y: (..., E). The result overwrites y."""
    E = x.shape[-1]
    rows = y.reshape(-1, E)
    add_norm_rows(x.reshape(-1, E), rows, weights[f"{name}.weight"], weights[f"{name}.bias"], LAYER_NORM_EPSILON, rows)
    see(name, y)
    return y


def feed_forward(
    x: Floats, weights: Weights, name: str, kind: str, see: Observer = SEES_NOTHING, dropout: Dropout = NO_DROPOUT, *,
    inner: Floats | None = None, out: Floats | None = None, multiply: Multiplication | None = None,
) -> Floats:  # fmt: skip
    """Return two linear layers with the activation between: (..., T, E) -> (..., T, E).

    inner, out: where to put what lies between, (..., T, F), and the result; None for new arrays
    """
    is_activated = kind == "gelu" and not see.wants(f"{name}.fc1")  # by the kernel of the product
    between = linear(x, weights, f"{name}.fc1", gelu=is_activated, out=inner, multiply=multiply)  # (..., T, F)
    if not is_activated:
        see(f"{name}.fc1", between)
        activate(between, kind)
    dropout.activation(f"{name}.activation", between)
    see(f"{name}.activation_fn", between)
    fed = linear(between, weights, f"{name}.fc2", out=out, multiply=multiply)
    dropout.hidden(f"{name}.fc2", fed)
    see(f"{name}.fc2", fed)
    return fed


def feed_forward_in_slices(
    x: Floats, weights: Weights, name: str, kind: str, buffers: Buffers, out: Floats, see: Observer = SEES_NOTHING,
    dropout: Dropout = NO_DROPOUT,
) -> Floats:  # fmt: skip
    """Return `feed_forward` of source tokens, (S, E), computed for a slice of the rows at a time, in `out`.

    out: (S, E) float
    """
    F = len(weights[f"{name}.fc1.bias"])
    inner = buffers.array("inner", (min(len(x), SLICE_ROWS), F), x.dtype)
    slices = Slices(see, len(x))
    for first in range(0, len(x), SLICE_ROWS):
        rows = slices.rows = slice(first, min(len(x), first + SLICE_ROWS))
        feed_forward(
            x[rows], weights, name, kind, slices, dropout.part(rows), inner=inner[: rows.stop - first], out=out[rows],
            multiply=many_rows,
        )  # fmt: skip
    return out


def activate(x: Floats, kind: str) -> None:
    """Replace x by activation(x); (..., F)."""
    if kind == "gelu":
        gelu_rows(x.reshape(-1, x.shape[-1]))
    elif kind == "relu":
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
    elif kind in ("silu", "swish", "quick_gelu"):  # x times a logistic of x
        slope = -1.702 if kind == "quick_gelu" else -1.0
        with np.errstate(over="ignore"):  # exp of a large number is inf, and x / inf the right 0
            x /= np.exp(x * slope) + 1
    else:
        raise ValueError(f"no activation {kind!r}")


def embed(
    tokens: Floats, places: Ids, weights: Weights, name: str, see: Observer, dropout: Dropout = NO_DROPOUT
) -> Floats:
    """Return token plus position, normed: (..., T, E) -> (..., T, E).

    places: (T,) int, of each token in its text
    """
    positions = weights[f"{name}.embed_positions.weight"][places]  # (T, E)
    positions = np.broadcast_to(positions, tokens.shape).copy()
    see(f"{name}.embed_tokens", tokens)
    see(f"{name}.embed_positions", positions)
    hidden = add_norm(tokens, positions, weights, f"{name}.layernorm_embedding", SEES_NOTHING)
    dropout.hidden(f"{name}.layernorm_embedding", hidden)
    see(f"{name}.layernorm_embedding", hidden)
    return hidden
