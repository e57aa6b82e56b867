"""The backward of the pieces of both stacks: linear layer, residual with norm, feed-forward, embedding."""

import math

import numpy as np

from ..arrays import Floats, Ids, Weights
from ..kernels.products import Multiplication, back_to_rows, back_to_weight, many_rows
from ..kernels.rows import add_norm_back, gelu_back
from ..network import layers as forward
from ..network.dropout import Dropout
from ..network.layers import LAYER_NORM_EPSILON
from ..network.observe import Observer
from .sums import Sums

SLICE_ROWS = 2048  # rows of a feed-forward at a time: more take no less time for the gradients of the weights


def linear(
    upstream: Floats, x: Floats, weights: Weights, name: str, sums: Sums, *, out: Floats | None = None,
    add: bool = False,
) -> Floats:  # fmt: skip
    """Return the gradient of x, where y = x W^T + b: d_x = d_y W. Add those of the weights, see `linear_weights`.

    upstream: (..., M) float, d_y
    x: (..., U) float
    out: (..., U) float, where to put d_x, in order; None for a new array
    add: adds d_x to what is in `out`
    returns: (..., U) float
    """
    linear_weights(upstream, x, name, sums)
    weight = weights[f"{name}.weight"]
    if out is None:
        out = np.empty(x.shape, x.dtype)
    back_to_rows(_rows(upstream), weight, out.reshape(-1, x.shape[-1]), add=add)
    return out


def linear_weights(upstream: Floats, x: Floats, name: str, sums: Sums) -> None:
    """Add the gradients of a linear layer's weights: d_W = d_y^T x, and d_b = d_y, both summed over all rows."""
    d_weight, d_bias = sums.of(f"{name}.weight"), sums.of(f"{name}.bias")
    if d_weight is not None:
        back_to_weight(_rows(upstream), _rows(x), d_weight, d_bias)
    elif d_bias is not None:
        d_bias += _rows(upstream).sum(axis=0)


def add_norm(
    upstream: Floats, x: Floats, y: Floats, weights: Weights, name: str, sums: Sums, *, out: Floats | None = None
) -> Floats:
    """Return the gradient of x + y, which is that of x and that of y, where z = LayerNorm(x + y), row by row.

    With n = (x + y - mean) / deviation, so that z = n w + b, and d_n = d_z w:
        d_(x + y) = (d_n - mean(d_n) - n mean(d_n n)) / deviation,   d_w = sum of d_z n,   d_b = sum of d_z.
    subtle: n is computed again from the sum. (z - b) / w is n, too, but has no digits left where w is tiny.

    upstream: (..., E) float, d_z
    x, y: (..., E) float
    out: where to put the result, (..., E); it may be `upstream`; None for a new array
    returns: (..., E) float
    """
    E = x.shape[-1]
    if out is None:
        out = np.empty(x.shape, x.dtype)
    totals = (sums.of(f"{name}.{part}") for part in ("weight", "bias"))
    d_weight, d_bias = (np.zeros(E, x.dtype) if total is None else total for total in totals)
    weight, rows = weights[f"{name}.weight"], out.reshape(-1, E)
    add_norm_back(_rows(upstream), _rows(x), _rows(y), weight, LAYER_NORM_EPSILON, rows, d_weight, d_bias)
    return out


def feed_forward_in_slices(
    upstream: Floats, x: Floats, weights: Weights, name: str, kind: str, kept: dict[str, Floats], dropout: Dropout,
    sums: Sums, see: Observer, multiply: Multiplication = many_rows,
) -> Floats:  # fmt: skip
    """Return the gradient of x, where z = LayerNorm(x + feed_forward(x)): a layer's second half, in slices of rows.

    With y = W_2 f(a) + b_2 and a = W_1 x + b_1:
        d_y = d_(x + y),   d_a = (d_y W_2) * f'(a),   d_x = d_(x + y) + d_a W_1.
    A slice's numbers between, (SLICE_ROWS, F), are computed again where they were not kept.

    upstream: (..., E) float, d_z; overwritten by the result
    x: (..., E) float
    multiply: the kernel of the forward pass, which chooses the last bits
    """
    E = x.shape[-1]
    pres, feds = (None if stage not in kept else _rows(kept.pop(stage)) for stage in (f"{name}.fc1", f"{name}.fc2"))
    d_z, x_rows = upstream.reshape(-1, E), _rows(x)
    d_stages = {
        stage: np.empty((len(x_rows), len(weights[f"{stage}.bias"])), x.dtype)
        for stage in (f"{name}.fc1", f"{name}.fc2") if see.wants(stage)
    }  # fmt: skip
    for first in range(0, len(x_rows), SLICE_ROWS):
        rows = slice(first, first + SLICE_ROWS)
        part, x_part = dropout.part(rows), x_rows[rows]
        # forward: what lies between x and the norm
        pre = forward.linear(x_part, weights, f"{name}.fc1", multiply=multiply) if pres is None else pres[rows]  # (, F)
        inner = pre.copy()
        forward.activate(inner, kind)
        part.activation(f"{name}.activation", inner)
        if feds is None:
            fed = forward.linear(inner, weights, f"{name}.fc2", multiply=multiply)
            part.hidden(f"{name}.fc2", fed)
        else:
            fed = feds[rows]
        # backward
        d_x = add_norm(d_z[rows], x_part, fed, weights, f"{name}.final_layer_norm", sums, out=d_z[rows])
        d_fed = fed  # its memory
        d_fed[:] = d_x
        # subtle: a mask is drawn from the names of its number's place. So the same call drops the gradient's numbers.
        part.hidden(f"{name}.fc2", d_fed)
        d_inner = linear(d_fed, inner, weights, f"{name}.fc2", sums)
        part.activation(f"{name}.activation", d_inner)
        activate(d_inner, pre, kind)
        for stage, d_stage in d_stages.items():
            d_stage[rows] = d_x if stage.endswith("fc2") else d_inner
        linear(d_inner, x_part, weights, f"{name}.fc1", sums, out=d_x, add=True)
    for stage, d_stage in d_stages.items():
        see(stage, d_stage.reshape(*x.shape[:-1], -1))
    return upstream


def activate(upstream: Floats, x: Floats, kind: str) -> None:
    """Multiply `upstream` by the activation's derivative at x, what went into it."""
    if kind == "gelu":
        # subtle: the derivative of the exact GELU, share(x) + x density(x) of a normal distribution; not that of tanh's
        gelu_back(x, upstream)
    elif kind == "relu":
        upstream[x <= 0] = 0
    elif kind in ("gelu_new", "gelu_pytorch_tanh"):
        # x (1 + t) / 2 with t = tanh(c (x + 0.044715 x^3))
        # subtle: beyond 10 the derivative is 0 or 1 to the last bit, and x^3 leaves the float type
        x, c = np.clip(x, -10, 10), math.sqrt(2 / math.pi)
        t = np.tanh(c * (x + 0.044715 * x * x * x))
        upstream *= (1 + t) / 2 + x * (1 - t * t) * (c / 2) * (1 + 3 * 0.044715 * x * x)
    else:  # silu, swish, quick_gelu: the forward pass has refused all others
        # x s with s = 1 / (1 + exp(-slope x))
        slope = 1.702 if kind == "quick_gelu" else 1.0
        with np.errstate(over="ignore"):  # exp of a large number is inf, and 1 / inf the right 0
            s = 1 / (1 + np.exp(-slope * x))
        upstream *= s * (1 + slope * x * (1 - s))


def embed(
    upstream: Floats, tokens: Floats, places: Ids, weights: Weights, name: str, dropout: Dropout, sums: Sums,
    see: Observer,
) -> Floats:  # fmt: skip
    """Return the gradient of the tokens' rows: (..., T, E) -> (..., T, E). `upstream` is overwritten by it.

    places: (T,) int, of each token in its text
    """
    E = tokens.shape[-1]
    see(f"{name}.layernorm_embedding", upstream)
    dropout.hidden(f"{name}.layernorm_embedding", upstream)
    # subtle: a view is read-only, and the kernel would be compiled for it anew.
    positions = np.broadcast_to(weights[f"{name}.embed_positions.weight"][places], tokens.shape).copy()
    d_tokens = add_norm(upstream, tokens, positions, weights, f"{name}.layernorm_embedding", sums, out=upstream)
    d_positions = sums.of(f"{name}.embed_positions.weight")
    if d_positions is not None:
        for text in d_tokens.reshape(-1, len(places), E):
            _add_rows(text, places, d_positions)
    see(f"{name}.embed_tokens", d_tokens)
    return d_tokens


def lookup(upstream: Floats, ids: Ids, pad: int, name: str, sums: Sums) -> None:
    """Add to the gradient of an embedding that of the rows that were looked up.

    subtle: the padding's row gets nothing, because torch's `padding_idx` keeps it as it is. That holds for lookups
    alone: a language head that is tied to this embedding does add to that row.

    upstream: (..., E) float
    ids: (...) int
    """
    d_weight = sums.of(name)
    if d_weight is not None:
        is_counted = ids != pad
        _add_rows(upstream[is_counted], ids[is_counted], d_weight)


def _add_rows(rows: Floats, places: Ids, out: Floats) -> None:
    """Add each row to its place in `out`, in order; a loop, since `np.add.at` takes twenty times as long."""
    for place, row in zip(places.tolist(), rows, strict=True):
        out[place] += row


def _rows(x: Floats) -> Floats:
    """Return an array as the kernels take it: (..., U) -> (rows, U), in order."""
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])
