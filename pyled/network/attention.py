"""The two attentions: the encoder's, windowed plus global, and the decoder's, to its own past and to the source.

Both project, hand queries, keys and values to a kernel, and project again. The probabilities of `output_attentions`
are computed beside, so that asking for them changes no result.

Letters: S source tokens, R rows being decoded, T target tokens of this call, P past tokens, E model size, H heads,
D head size, G global tokens, K = 2w + 1 the width of the band.
"""

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from ..kernels.banded import banded
from ..kernels.grouped import grouped
from .cache import DocumentKeys, Growing, SourceKeys
from .layers import Buffers, Floats, Weights, heads, join_heads, linear, split_heads

Bools = NDArray[np.bool_]
Ids = NDArray[np.int64]

FEW_GLOBAL = 2  # global queries are few while this times their number is no more than the size of a head


# The encoder


def encoder_self_attention(
    hidden: Floats,
    w: int,
    is_real: Bools,
    is_global: Bools,
    H: int,
    weights: Weights,
    name: str,
    slots: int | None,
    buffers: Buffers | None = None,
) -> tuple[Floats, Floats | None, Floats | None]:
    """Self-attention of one encoder layer over one document; equals `reference.encoder_attention`.

    hidden: (S, E) float
    is_real, is_global: (S,) bool; a global token is real
    slots: None, or how many global tokens the returned probabilities have room for
    buffers: those of an earlier layer, to be used again
    returns: (S, E) float, in the queries' buffer; with slots the probabilities of the local queries, (H, S, slots + K),
        and those of the global ones, (H, S, slots), in upstream's layout, else None twice
    """
    inner = f"{name}.longformer_self_attn"
    buffers = buffers or Buffers()
    places = np.flatnonzero(is_global)  # (G,)
    S, E = hidden.shape
    context = buffers.array("context", (S, E), hidden.dtype)  # and before, what is on the way to heads
    q, k, v = (
        heads(hidden, H, weights, f"{inner}.{part}", buffers.array(part, (H, S, E // H), hidden.dtype), context)
        for part in ("query", "key", "value")
    )  # (H, S, D)
    k_extra, v_extra = (np.take(array, places, axis=1) for array in (k, v))  # (H, G, D), contiguous
    banded(q, k, v, is_real & ~is_global, k_extra, v_extra, w, context)
    context[~is_real] = 0
    local = _local_probs(q, k, w, is_real, is_global, slots) if slots is not None else None
    to_all = np.zeros((H, S, slots), hidden.dtype) if slots is not None else None
    if len(places):
        attend = _attend_to_all if len(places) * FEW_GLOBAL <= E // H else _attend_to_all_projected
        context[places], probs = attend(hidden, places, is_real, H, weights, inner, slots is not None)
        if to_all is not None and probs is not None:
            to_all[:, :, : len(places)] = np.swapaxes(probs, 1, 2)
    return linear(context, weights, f"{name}.output", out=q.reshape(S, E)), local, to_all


def _attend_to_all(
    hidden: Floats, places: Ids, is_real: Bools, H: int, weights: Weights, name: str, want: bool
) -> tuple[Floats, Floats]:
    """What global queries see, without the keys and values of all tokens: `hidden` stands in for both.

    Per head, with the parts of the weights W_k, W_v and biases b_k, b_v that belong to it,
        q (W_k x + b_k) = (q W_k) x + a number that is the same for all tokens, so that softmax drops it,
        sum of p (W_v x + b_v) = W_v (sum of p x) + b_v, since the probabilities p sum to 1.
    That costs 4 S E H G operations in place of 4 S E^2, and is less for few queries.

    hidden: (S, E) float
    places: (G,) int
    want: of no account here, since the probabilities are needed
    returns: their context (G, E), and their probabilities (H, G, S)
    """
    S, E = hidden.shape
    G, D = len(places), E // H
    rows = max(2, G)  # NumPy's matmul takes another path for a single row
    q = np.zeros((H, rows, D), hidden.dtype)
    q[:, :G] = heads(hidden[places], H, weights, f"{name}.query_global")
    key, value = (weights[f"{name}.{part}_global.weight"].reshape(H, D, E) for part in ("key", "value"))
    scores = (q @ key).reshape(H * rows, E) @ hidden.T  # (H * rows, S)
    scores /= math.sqrt(D)
    scores[:, ~is_real] = -np.inf
    probs = softmax(scores)
    seen = (probs @ hidden).reshape(H, rows, E)
    context = join_heads((seen @ np.swapaxes(value, 1, 2))[:, :G])  # (G, E)
    return context + weights[f"{name}.value_global.bias"], probs.reshape(H, rows, S)[:, :G]


def _attend_to_all_projected(
    hidden: Floats, places: Ids, is_real: Bools, H: int, weights: Weights, name: str, want: bool
) -> tuple[Floats, Floats | None]:
    """As `_attend_to_all`, by keys and values of all tokens: better for many queries. `want`: probabilities, too."""
    q = heads(hidden[places], H, weights, f"{name}.query_global")  # (H, G, D)
    k, v = (heads(hidden, H, weights, f"{name}.{part}_global") for part in ("key", "value"))  # (H, S, D)
    context = np.empty((len(places), hidden.shape[1]), hidden.dtype)
    banded(q, k, v, is_real, k[:, :0], v[:, :0], len(hidden), context)
    if not want:
        return context, None
    scores = np.where(is_real, q @ np.swapaxes(k, 1, 2) / math.sqrt(q.shape[2]), -np.inf)  # (H, G, S)
    return context, softmax(scores)


def _local_probs(q: Floats, k: Floats, w: int, is_real: Bools, is_global: Bools, slots: int) -> Floats:
    """(H, S, slots + K): first the global keys in order, then the band from i - w to i + w; q, k: (H, S, D).

    A global key counts in its slot and not in the band. Rows of global and of padded queries are 0, as upstream.
    """
    H, S, D = q.shape
    places = np.flatnonzero(is_global)
    probs = np.zeros((H, S, slots + 2 * w + 1), q.dtype)
    is_key = np.lib.stride_tricks.sliding_window_view(np.pad(is_real & ~is_global, w), 2 * w + 1)  # (S, K)
    for h in range(H):
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(k[h], ((w, w), (0, 0))), 2 * w + 1, axis=0)
        scores = np.full((S, slots + 2 * w + 1), -np.inf, q.dtype)
        scores[:, : len(places)] = q[h] @ k[h, places].T
        scores[:, slots:] = np.where(is_key, np.einsum("sd,sdk->sk", q[h], windows), -np.inf)
        probs[h] = softmax(scores / math.sqrt(D))
    probs[:, ~is_real | is_global] = 0
    return probs


def softmax(scores: Floats) -> Floats:
    """Rows of scores to rows of probabilities; a row of nothing but -inf becomes 0."""
    top = scores.max(axis=-1, keepdims=True)
    powers = np.exp(scores - np.where(np.isfinite(top), top, 0))
    total = powers.sum(axis=-1, keepdims=True)
    return np.divide(powers, total, out=powers, where=total > 0)


# The decoder


def document_keys(states: Floats, layers: int, H: int, weights: Weights) -> DocumentKeys:
    """The cross-attention's keys and values of one document, for each layer, from its states: (S, E).

    They are stored as the layer's own queries' weights are.
    """
    S, E = states.shape
    names = [f"decoder.layers.{layer}.encoder_attn" for layer in range(layers)]
    dtypes = [weights[f"{name}.q_proj.weight"].dtype for name in names]
    are_kept = all(dtype == states.dtype for dtype in dtypes)
    rows = np.empty_like(states)
    # In one piece, since large pieces of memory come in large pages; one layer's place does for all that are rounded.
    made = np.empty((layers if are_kept else 1, 2, H, S, E // H), states.dtype)

    def of_layer(layer: int) -> SourceKeys:
        keys, values = made[layer if are_kept else 0]
        heads(states, H, weights, f"{names[layer]}.k_proj", keys, rows)
        heads(states, H, weights, f"{names[layer]}.v_proj", values, rows)
        return SourceKeys.stored(keys, values, dtypes[layer])

    return DocumentKeys(tuple(of_layer(layer) for layer in range(layers)))


def decoder_self_attention(
    hidden: Floats, past: tuple[Growing, Growing], is_key: Bools | None, H: int, weights: Weights, name: str, want: bool
) -> tuple[Floats, tuple[Growing, Growing], Floats | None]:
    """Attention of new target tokens to themselves and to what came before; equals `reference.decoder_attention`.

    hidden: (R, T, E) float
    past: keys and values, (R, H, P, D)
    is_key: (R, P + T) bool, or None; without effect where T is 1, as in 5.23.0 (modeling_led.py:1651)
    returns: (R, T, E) float; the past with the new tokens; with `want` the probabilities (R, H, T, P + T), else None
    """
    R, T, E = hidden.shape
    q = split_heads(linear(hidden, weights, f"{name}.q_proj"), H)  # (R, H, T, D)
    keys = past[0].append(split_heads(linear(hidden, weights, f"{name}.k_proj"), H))
    values = past[1].append(split_heads(linear(hidden, weights, f"{name}.v_proj"), H))
    L = keys.length
    probs = np.zeros((R, H, T, L), hidden.dtype) if want else None
    context = grouped(q, keys.buffer, values.buffer, np.ones((R, L), np.bool_)) if T == 1 else np.empty_like(q)
    for r in range(R if T > 1 or want else 0):
        may = np.tri(T, L, L - T, dtype=np.bool_)  # (T, P + T): a token sees itself and what came before
        if is_key is not None and T > 1:
            may &= is_key[r]
        for h in range(H):
            head_context, head_probs = _attend(q[r, h], keys.view[r, h], values.view[r, h], may)
            if T > 1:
                context[r, h] = head_context
            if probs is not None:
                probs[r, h] = head_probs
    return linear(join_heads(context), weights, f"{name}.out_proj"), (keys, values), probs


def cross_attention(
    hidden: Floats,
    documents: list[SourceKeys],
    document_of_row: Ids,
    is_key: list[Bools],
    H: int,
    weights: Weights,
    name: str,
    S: int | None,
) -> tuple[Floats, Floats | None]:
    """Attention of target tokens to the document of their row, whose keys all its rows share.

    hidden: (R, T, E) float
    documents: keys and values of each document
    document_of_row: (R,) int
    is_key: per document (S,) bool
    S: None, or the width of the returned probabilities
    returns: (R, T, E) float; with S the probabilities (R, H, T, S), else None
    """
    R, T, E = hidden.shape
    q = split_heads(linear(hidden, weights, f"{name}.q_proj"), H)  # (R, H, T, D)
    context = np.empty_like(q)
    probs = np.zeros((R, H, T, S), hidden.dtype) if S is not None else None
    for document, source in enumerate(documents):
        rows = np.flatnonzero(document_of_row == document)
        if T == 1 and len(rows):
            together = np.ascontiguousarray(np.swapaxes(q[rows, :, 0], 0, 1))[None]  # (1, H, rows, D)
            scales = (None if scale is None else scale[None] for scale in source.scales)
            found = grouped(together, source.keys[None], source.values[None], is_key[document][None], *scales)
            context[rows, :, 0] = np.swapaxes(found[0], 0, 1)
        if len(rows) and (T > 1 or probs is not None):
            k, v = source.widened()
            may = np.broadcast_to(is_key[document], (T, k.shape[1]))
            for r, h in itertools.product(rows, range(H)):
                head_context, head_probs = _attend(q[r, h], k[h], v[h], may)
                if T > 1:
                    context[r, h] = head_context
                if probs is not None:
                    probs[r, h, :, : k.shape[1]] = head_probs
    return linear(join_heads(context), weights, f"{name}.out_proj"), probs


def _attend(q: Floats, k: Floats, v: Floats, may: Bools) -> tuple[Floats, Floats]:
    """One head in full: context (T, D) and probabilities (T, S). A row without any key attends to all alike.

    q: (T, D) float
    k, v: (S, D) float
    may: (T, S) bool
    """
    scores = np.where(may, q @ k.T / math.sqrt(q.shape[1]), -np.inf)
    scores[~may.any(axis=1)] = 0
    probs = softmax(scores)
    return probs @ v, probs
