"""The backward of the decoder's attentions: to its own past, and to the source.

Both are one softmax for each query over its keys. With P the probabilities of a head and d_P their gradient, that of
the scores is d_S = P * (d_P - rowsum(P * d_P)). The kernel computes P again from the logarithm of each query's sum,
tile by tile, so that no array of queries times keys exists.
"""

import numpy as np

from ..arrays import Bools, Floats, Ids, Weights
from ..kernels.banded_back import banded_back
from ..kernels.rounded import widened
from ..network.cache import SourceKeys
from ..network.dropout import Dropout
from ..network.layers import join_heads
from ..network.observe import Observer
from .layers import linear, linear_weights
from .sums import Sums


def decoder_self_attention(
    upstream: Floats, hidden: Floats, is_key: Bools | None, H: int, stages: dict[str, Floats], weights: Weights,
    name: str, dropout: Dropout, sums: Sums, see: Observer, d_hidden: Floats,
) -> None:  # fmt: skip
    """Add to `d_hidden` the gradient of `hidden`, the rows of the target: queries, keys and values at once.

    upstream, hidden, d_hidden: (R, T, E) float
    is_key: (R, T) bool, or None
    stages: of this attention, the queries, keys, values, context and logarithms of sums
    """
    R, T, E = hidden.shape
    starts, none = np.arange(0, R * T, T), np.zeros(R, np.int64)
    spans = np.stack([starts, starts + T, starts, starts + T, none, none], axis=1)
    is_seen = np.ones(R * T, np.bool_) if is_key is None or T == 1 else is_key.reshape(-1)
    q, k, v = (_by_head(stages[f"{name}.{part}_proj"], H) for part in "qkv")  # (H, R * T, D)
    d_context = _through_output(upstream, stages, weights, name, sums, see)
    gradients = _attend(d_context, q, k, v, is_seen, spans, 0, stages, name, dropout)
    for part, gradient in zip("qkv", map(join_heads, gradients), strict=True):
        see(f"{name}.{part}_proj", gradient.reshape(R, T, E))
        linear(gradient.reshape(R, T, E), hidden, weights, f"{name}.{part}_proj", sums, out=d_hidden, add=True)


def cross_attention(
    upstream: Floats, hidden: Floats, source: SourceKeys, groups: Ids, is_key: Bools, H: int,
    stages: dict[str, Floats], weights: Weights, name: str, states: Floats, dropout: Dropout, sums: Sums, see: Observer,
    d_hidden: Floats, d_states: Floats | None,
) -> None:  # fmt: skip
    """Add to `d_hidden` the gradient of `hidden`, the rows of the target, and to `d_states` that of the encoder's.

    The keys and values of all layers are made from the same states. Each layer adds its part when it is differentiated,
    so that the gradients of one layer's keys and values exist at a time.

    upstream, hidden, d_hidden: (R, T, E) float
    source, groups, is_key: as in the forward pass
    stages: of this attention, the queries, context and logarithms of sums
    states: (tokens, E) float, of all documents
    d_states: (tokens, E) float, or None where nothing that is trained lies below
    """
    spans = np.concatenate([groups[:, 3:], groups[:, 1:3], np.zeros_like(groups[:, :2])], axis=1)
    q, k, v = _by_head(stages[f"{name}.q_proj"], H), *map(widened, source)  # (H, R * T, D), (H, tokens, D)
    d_context = _through_output(upstream, stages, weights, name, sums, see)
    gradients = _attend(d_context, q, k, v, is_key, spans, len(is_key), stages, name, dropout)
    d_q, d_k, d_v = map(join_heads, gradients)  # (R * T, E), (tokens, E), (tokens, E)
    see(f"{name}.q_proj", d_q.reshape(hidden.shape))
    linear(d_q.reshape(hidden.shape), hidden, weights, f"{name}.q_proj", sums, out=d_hidden, add=True)
    for part, gradient in (("k_proj", d_k), ("v_proj", d_v)):
        see(f"{name}.{part}", gradient)
        if d_states is None:
            linear_weights(gradient, states, f"{name}.{part}", sums)
        else:
            linear(gradient, states, weights, f"{name}.{part}", sums, out=d_states, add=True)


def _through_output(
    upstream: Floats, stages: dict[str, Floats], weights: Weights, name: str, sums: Sums, see: Observer
) -> Floats:
    """Return the gradient of an attention's context, (Q, E), from that of its output, (R, T, E)."""
    d_context = linear(upstream, stages[f"{name}.context"], weights, f"{name}.out_proj", sums)
    see(f"{name}.context", d_context)
    return d_context.reshape(-1, d_context.shape[-1])


def _attend(
    upstream: Floats, q: Floats, k: Floats, v: Floats, is_key: Bools, spans: Ids, ahead: int,
    stages: dict[str, Floats], name: str, dropout: Dropout,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Return the gradients of queries, keys and values, in their shapes, from that of the context.

    upstream: (Q, E) float
    q: (H, Q, D) float
    k, v: (H, S, D) float
    is_key, spans, ahead: as in the forward pass
    """
    H = len(k)
    context, log_sums = stages[f"{name}.context"].reshape(upstream.shape), stages[f"{name}.log_sums"]  # (Q, H)
    columns = np.concatenate([np.arange(stop - start) for _, _, start, stop, _, _ in spans])  # (S,)
    dropped, w = dropout.attention(f"{name}.probs", H, columns), len(upstream)
    d_q, d_k, d_v = (np.empty_like(array) for array in (q, k, v))
    none, d_none = k[:, :0], np.empty_like(k[:, :0])
    banded_back(
        upstream, q, k, v, is_key, none, none, w, context, np.ascontiguousarray(log_sums.T), d_q, d_k, d_v, d_none,
        d_none, spans=spans, ahead=ahead, dropped=dropped,
    )  # fmt: skip
    for first, last, start, stop, _, _ in spans:
        blind = first + np.flatnonzero(np.isneginf(log_sums[first:last, 0]))
        if len(blind):
            # subtle: a query without any key attends to all alike, whatever the scores are: values alone get something.
            probs = np.full((H, len(blind), stop - start), 1 / (stop - start), q.dtype)
            dropout.part(blind).probs(f"{name}.probs", probs)
            d_v[:, start:stop] += np.swapaxes(probs, 1, 2) @ _by_head(upstream[blind], H)
    return d_q, d_k, d_v


def _by_head(x: Floats, H: int) -> Floats:
    """Return rows with the heads in front, in order: (..., E) -> (H, rows, D)."""
    E = x.shape[-1]
    return np.ascontiguousarray(np.swapaxes(x.reshape(-1, H, E // H), 0, 1))
