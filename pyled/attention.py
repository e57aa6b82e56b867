"""The two attentions: the encoder's, windowed plus global, and the decoder's, to its own past and to the source.

Both project, hand queries, keys and values to a kernel, and project again. The probabilities of `output_attentions`
are computed beside, so that asking for them changes no result.

Letters: S source tokens, R rows being decoded, T target tokens of this call, P past tokens, E model size, H heads,
D head size, G global tokens, K = 2w + 1 the width of the band.
"""

import math

import numpy as np
from numpy.typing import NDArray

from .cache import DocumentKeys, Growing
from .kernels.attention import banded, grouped
from .layers import Floats, Weights, linear

Bools = NDArray[np.bool_]


# The encoder


def encoder_self_attention(
    hidden: Floats, w: int, is_real: Bools, is_global: Bools, H: int, weights: Weights, name: str, slots: int | None
) -> tuple[Floats, Floats | None, Floats | None]:
    """Self-attention of one encoder layer over one document; equals `reference.encoder_attention`.

    hidden: (S, E) float
    is_real, is_global: (S,) bool; a global token is real
    slots: None, or how many global tokens the returned probabilities have room for
    returns: (S, E) float; with slots the probabilities of the local queries, (H, S, slots + K), and those of the
        global ones, (H, S, slots), in upstream's layout, else None twice
    """
    S, E = hidden.shape
    inner = f"{name}.longformer_self_attn"
    places = np.flatnonzero(is_global)  # (G,)
    q, k, v = (linear(hidden, weights, f"{inner}.{part}") for part in ("query", "key", "value"))  # (S, E)
    context = banded(q, k, v, is_real & ~is_global, k[places], v[places], w, H)  # (S, E)
    context[~is_real] = 0
    q_global = k_global = hidden[:0]
    if len(places):
        q_global = linear(hidden[places], weights, f"{inner}.query_global")  # (G, E)
        k_global = linear(hidden, weights, f"{inner}.key_global")  # (S, E)
        v_global = linear(hidden, weights, f"{inner}.value_global")  # (S, E)
        context[places] = banded(q_global, k_global, v_global, is_real, hidden[:0], hidden[:0], S, H)
    output = linear(context, weights, f"{name}.output")  # (S, E)
    if slots is None:
        return output, None, None
    local = _local_probs(q, k, w, is_real, is_global, H, slots)
    return output, local, _global_probs(q_global, k_global, is_real, H, slots)


def _local_probs(q: Floats, k: Floats, w: int, is_real: Bools, is_global: Bools, H: int, slots: int) -> Floats:
    """(H, S, slots + K): first the global keys in order, then the band from i - w to i + w.

    A global key counts in its slot and not in the band. Rows of global and of padded queries are 0, as upstream.
    """
    S, E = q.shape
    D = E // H
    places = np.flatnonzero(is_global)
    probs = np.zeros((H, S, slots + 2 * w + 1), q.dtype)
    is_key = np.lib.stride_tricks.sliding_window_view(np.pad(is_real & ~is_global, w), 2 * w + 1)  # (S, K)
    for h in range(H):
        column = slice(h * D, h * D + D)
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(k[:, column], ((w, w), (0, 0))), 2 * w + 1, axis=0)
        scores = np.full((S, slots + 2 * w + 1), -np.inf, q.dtype)
        scores[:, : len(places)] = q[:, column] @ k[places, column].T
        scores[:, slots:] = np.where(is_key, np.einsum("sd,sdk->sk", q[:, column], windows), -np.inf)
        probs[h] = softmax(scores / math.sqrt(D))
    probs[:, ~is_real | is_global] = 0
    return probs


def _global_probs(q: Floats, k: Floats, is_real: Bools, H: int, slots: int) -> Floats:
    """(H, S, slots): what each global query attends to, in its slot's column; unused slots are 0."""
    G, E = q.shape
    D = E // H
    probs = np.zeros((H, len(is_real), slots), q.dtype)
    for h in range(H if G else 0):
        column = slice(h * D, h * D + D)
        scores = np.where(is_real, q[:, column] @ k[:, column].T / math.sqrt(D), -np.inf)  # (G, S)
        probs[h, :, :G] = softmax(scores).T
    return probs


def softmax(scores: Floats) -> Floats:
    """Rows of scores to rows of probabilities; a row of nothing but -inf becomes 0."""
    top = scores.max(axis=-1, keepdims=True)
    powers = np.exp(scores - np.where(np.isfinite(top), top, 0))
    total = powers.sum(axis=-1, keepdims=True)
    return np.divide(powers, total, out=powers, where=total > 0)


# The decoder


def split_heads(x: Floats, H: int) -> Floats:
    """(..., T, E) -> (..., H, T, D), a copy in that order."""
    *lead, T, E = x.shape
    return np.ascontiguousarray(np.swapaxes(x.reshape(*lead, T, H, E // H), -3, -2))


def join_heads(x: Floats) -> Floats:
    """(..., H, T, D) -> (..., T, E)."""
    *lead, H, T, D = x.shape
    return np.ascontiguousarray(np.swapaxes(x, -3, -2)).reshape(*lead, T, H * D)


def document_keys(states: Floats, layers: int, H: int, weights: Weights) -> DocumentKeys:
    """The cross-attention's keys and values of one document: states (S, E), a pair of (H, S, D) per layer."""
    names = [f"decoder.layers.{i}.encoder_attn" for i in range(layers)]
    return DocumentKeys(
        tuple(
            (
                split_heads(linear(states, weights, f"{name}.k_proj"), H),
                split_heads(linear(states, weights, f"{name}.v_proj"), H),
            )
            for name in names
        )
    )


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
    documents: list[tuple[Floats, Floats]],
    document_of_row: NDArray[np.int64],
    is_key: list[Bools],
    H: int,
    weights: Weights,
    name: str,
    S: int | None,
) -> tuple[Floats, Floats | None]:
    """Attention of target tokens to the document of their row, whose keys all its rows share.

    hidden: (R, T, E) float
    documents: keys and values of each document, (H, S, D)
    document_of_row: (R,) int
    is_key: per document (S,) bool
    S: None, or the width of the returned probabilities
    returns: (R, T, E) float; with S the probabilities (R, H, T, S), else None
    """
    R, T, E = hidden.shape
    q = split_heads(linear(hidden, weights, f"{name}.q_proj"), H)  # (R, H, T, D)
    context = np.empty_like(q)
    probs = np.zeros((R, H, T, S), hidden.dtype) if S is not None else None
    for document, (k, v) in enumerate(documents):
        rows = np.flatnonzero(document_of_row == document)
        if T == 1 and len(rows):
            together = np.ascontiguousarray(np.swapaxes(q[rows, :, 0], 0, 1))[None]  # (1, H, rows, D)
            found = grouped(together, k[None], v[None], is_key[document][None])
            context[rows, :, 0] = np.swapaxes(found[0], 0, 1)
        for r in rows if T > 1 or probs is not None else rows[:0]:
            may = np.broadcast_to(is_key[document], (T, k.shape[1]))
            for h in range(H):
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
