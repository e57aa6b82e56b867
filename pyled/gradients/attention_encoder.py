"""The backward of the encoder's attention: windowed for most tokens, full for the global ones."""

import copy
import math

import numpy as np

from ..arrays import Floats, Weights
from ..kernels.banded import banded
from ..kernels.banded_back import banded_back
from ..kernels.products import back_to_rows, back_to_weight, by_head, few_rows, many_rows, weighted_sums
from ..network import attention as forward
from ..network.attention import softmax
from ..network.batch import Batch, Document
from ..network.dropout import Dropout
from ..network.layers import Buffers, dots, fixed, heads, join_heads, split_heads
from ..network.layers import linear as forward_linear
from ..network.observe import Observer
from .layers import linear
from .sums import Sums


def attended(
    hidden: Floats, w: int, documents: Batch, H: int, weights: Weights, name: str, kept: dict[str, Floats]
) -> Floats:
    """Return the attention's output, (S, E). Put the other stages into `kept` that were not kept, computed again."""
    inner, output = f"{name}.longformer_self_attn", f"{name}.output"
    if inner not in kept:
        again = copy.copy(documents)
        again.see = _Again(kept)
        forward.encoder_self_attention(hidden, w, again, H, weights, name, Buffers())
    elif output not in kept:
        kept[output] = forward_linear(kept[inner], weights, output, multiply=many_rows)
        documents.dropout.hidden(output, kept[output])
    return kept.pop(output)


class _Again:
    """An observer that puts an attention's stages into `kept` as they are: nobody else uses their buffers."""

    def __init__(self, kept: dict[str, Floats]) -> None:
        self._kept = kept

    def wants(self, name: str) -> bool:
        return True

    def __call__(self, name: str, array: Floats) -> None:
        # subtle: the output overwrites the queries
        self._kept[name] = array.copy(order="K") if name.endswith(".query") else array


def encoder_self_attention(
    upstream: Floats, hidden: Floats, w: int, documents: Batch, H: int, weights: Weights, name: str,
    kept: dict[str, Floats], sums: Sums, see: Observer, d_hidden: Floats,
) -> None:  # fmt: skip
    """Add to `d_hidden` the gradient of `hidden`, what the attention of one encoder layer attends among.

    For a query i and its keys j, with p_ij = softmax of s_ij = q_i k_j / sqrt(D) over j, and context_i = sum p_ij v_j:
        d_p_ij = d_context_i v_j,   d_s_ij = p_ij (d_p_ij - sum over j of p_ij d_p_ij),
        d_q_i = sum over j of d_s_ij k_j / sqrt(D),   d_k_j = sum over i of d_s_ij q_i / sqrt(D),
        d_v_j = sum over i of p_ij d_context_i.

    upstream: (S, E) float, overwritten
    hidden, d_hidden: (S, E) float
    kept: has what `attended` puts there; each stage is taken out when it is used
    """
    inner = f"{name}.longformer_self_attn"
    context = kept.pop(inner)
    d_context = linear(upstream, context, weights, f"{name}.output", sums)  # (S, E)
    see(inner, d_context)
    places = documents.global_places
    for attend_to_all, some in forward._ways_to_all(documents, hidden.shape[1] // H):
        of_some = np.concatenate([document.global_places for document in some])
        back = _attend_to_all if attend_to_all is forward._attend_to_all else _attend_to_all_projected
        back(d_context[of_some], hidden, some, H, weights, name, documents.dropout, sums, d_hidden)
    # subtle: a global row's own context was overwritten by that of the second projections. So its ordinary query gets
    # nothing, while its ordinary key and value get what all others see of them.
    d_context[places] = 0
    d_context[~documents.is_real] = 0  # subtle: padding's context was set to 0, and no gradient goes through that

    stages = (kept.pop(stage) for stage in (f"{inner}.query", f"{inner}.key", f"{inner}.value", f"{name}.log_sums"))
    q, k, v, log_sums = (np.ascontiguousarray(stage.swapaxes(0, 1)) for stage in stages)  # (H, S, D), (H, S)
    k_extra, v_extra = (np.take(array, places, axis=1) for array in (k, v))  # (H, G, D)
    d_q = upstream.reshape(q.shape)  # its memory
    d_k, d_v, d_k_extra, d_v_extra = (np.empty_like(array) for array in (k, v, k_extra, v_extra))
    is_key = documents.is_real & ~documents.is_global
    columns = documents.places, documents.places[places]
    banded_back(
        d_context, q, k, v, is_key, k_extra, v_extra, w, context, log_sums, d_q, d_k, d_v, d_k_extra, d_v_extra,
        spans=documents.spans, dropped=documents.dropout.attention(f"{name}.probs", H, *columns),
    )  # fmt: skip
    del q, k, v, context, d_context
    # subtle: a global key was taken out of the band and stood behind it: what it gets comes from there alone, and once.
    d_k[:, places], d_v[:, places] = d_k_extra, d_v_extra
    # subtle: d_q has the factor 1 / sqrt(D) already, which divides the query behind its bias: so has the bias's part.
    for part in ("query", "key", "value"):
        d_part = join_heads({"query": d_q, "key": d_k, "value": d_v}[part])
        see(f"{inner}.{part}", d_part)
        linear(d_part, hidden, weights, f"{inner}.{part}", sums, out=d_hidden, add=True)


def _attend_to_all(
    upstream: Floats, hidden: Floats, documents: list[Document], H: int, weights: Weights, name: str,
    dropout: Dropout, sums: Sums, d_hidden: Floats,
) -> None:  # fmt: skip
    """Add to `d_hidden` the gradient of `hidden`, to which the global queries attend.

    The forward pass computes no keys and values of all tokens; nor does this. Per head, with x the rows of `hidden`,
        r = q W_k,   s_j = r x_j / sqrt(D),   p = softmax(s),   m = sum of p_j x_j,
        context = W_v m + b_v sum of p_j,
        d_m = d_context W_v,   d_W_v = d_context m,   d_p_j = d_m x_j + d_context b_v,
        d_s = p (d_p - sum of p d_p) / sqrt(D),
        d_r = sum of d_s_j x_j,   d_W_k = q d_r,   d_q = W_k d_r,   d_x_j = p_j d_m + d_s_j r.

    upstream: (G, E) float, of the global tokens of these documents
    """
    E = hidden.shape[1]
    D, inner = E // H, f"{name}.longformer_self_attn"
    global_places = np.concatenate([document.global_places for document in documents])  # (G,)
    rows = hidden[global_places]
    q = heads(rows, H, weights, f"{inner}.query_global", multiply=few_rows)  # (H, G, D)
    W_key, W_value = (weights[f"{inner}.{part}_global.weight"].reshape(H, D, E) for part in ("key", "value"))
    queries = weighted_sums(q, W_key)  # (H, G, E)
    d_context = split_heads(upstream, H)  # (H, G, D)
    d_means = weighted_sums(d_context, W_value)  # (H, G, E)
    d_totals = (d_context * weights[f"{inner}.value_global.bias"].reshape(H, 1, D)).sum(axis=2, keepdims=True)
    totals = np.ones_like(d_totals)  # of probabilities: (H, G, 1)
    means, d_queries, first = np.empty_like(queries), np.empty_like(queries), 0
    for document in documents:
        states, G = hidden[document.rows], len(document.global_places)
        columns = slice(first, first + G)
        first += G
        r, d_m = (array[:, columns].reshape(H * G, E) for array in (queries, d_means))
        scores = dots(r, states)  # (H * G, S)
        scores /= math.sqrt(D)
        scores[:, ~document.is_real] = -np.inf
        probs = softmax(scores)
        dropped, d_probs = probs, dots(d_m, states)
        if dropout.drops_probs:
            # subtle: the probabilities' sum is no longer 1, so it has a gradient, too
            dropped = probs.copy()
            dropout.part(document.global_places).probs(f"{name}.probs", dropped.reshape(H, G, -1))
            totals[:, columns] = dropped.sum(axis=1).reshape(H, G, 1)
            d_probs += d_totals[:, columns].reshape(-1, 1)
        d_scores = dropped * d_probs
        d_scores -= probs * d_scores.sum(axis=1, keepdims=True)
        d_scores /= math.sqrt(D)
        means[:, columns] = weighted_sums(dropped[None], fixed(states)[None]).reshape(H, G, E)
        d_queries[:, columns] = weighted_sums(d_scores[None], fixed(states)[None]).reshape(H, G, E)
        factors = np.ascontiguousarray(np.concatenate([dropped, d_scores]).T)  # (S, 2 * H * G)
        back_to_rows(factors, fixed(np.concatenate([d_m, r])), d_hidden[document.rows], add=True)
    # subtle: with rows of G numbers these sums cost 4 G E^2 / H per head, where d_keys^T x would cost 2 S E^2.
    _by_head_to_weight(d_context, means, sums.of(f"{inner}.value_global.weight"))
    _by_head_to_weight(q, d_queries, sums.of(f"{inner}.key_global.weight"))
    d_bias = sums.of(f"{inner}.value_global.bias")
    if d_bias is not None:
        d_bias += join_heads(d_context * totals).sum(axis=0)
    sums.of(f"{inner}.key_global.bias")  # subtle: 0, since softmax drops what all scores have in common
    d_q = by_head(d_queries, W_key)  # (H, G, D)
    d_hidden[global_places] += linear(join_heads(d_q), rows, weights, f"{inner}.query_global", sums)


def _by_head_to_weight(upstream: Floats, x: Floats, d_weight: Floats | None) -> None:
    """Add upstream[h].T @ x[h] to the rows of each head: (H, G, D), (H, G, E) -> (H * D, E)."""
    if d_weight is not None:
        for of_head, rows, d_rows in zip(upstream, x, np.split(d_weight, len(upstream)), strict=True):
            back_to_weight(of_head, rows, d_rows, None)


def _attend_to_all_projected(
    upstream: Floats, hidden: Floats, documents: list[Document], H: int, weights: Weights, name: str,
    dropout: Dropout, sums: Sums, d_hidden: Floats,
) -> None:  # fmt: skip
    """Do the same as `_attend_to_all`, by keys and values of all tokens."""
    inner, ends = f"{name}.longformer_self_attn", np.cumsum([len(document.global_places) for document in documents])
    for document, d_context in zip(documents, np.split(upstream, ends[:-1]), strict=True):
        states, rows = hidden[document.rows], hidden[document.global_places]
        q = heads(rows, H, weights, f"{inner}.query_global")  # (H, G, D)
        k, v = (heads(states, H, weights, f"{inner}.{part}_global") for part in ("key", "value"))  # (H, S, D)
        context, log_sums, none = np.empty_like(rows), np.empty(q.shape[:2], q.dtype), k[:, :0]
        dropped = dropout.part(document.global_places).attention(f"{name}.probs", H, np.arange(len(states)))
        arrays = q, k, v, document.is_real, none, none, len(states), context
        banded(*arrays, log_sums=log_sums, dropped=dropped)
        d_q, d_k, d_v, d_none = (np.empty_like(array) for array in (q, k, v, none))
        banded_back(d_context, *arrays, log_sums, d_q, d_k, d_v, d_none, d_none, dropped=dropped)
        for part, d_part in (("key", d_k), ("value", d_v)):
            out = d_hidden[document.rows]
            linear(join_heads(d_part), states, weights, f"{inner}.{part}_global", sums, out=out, add=True)
        d_hidden[document.global_places] += linear(join_heads(d_q), rows, weights, f"{inner}.query_global", sums)
