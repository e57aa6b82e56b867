"""The attentions: the encoder's, windowed plus global, and the decoder's, to its own past and to the source.

Each projects, hands queries, keys and values to a kernel, and projects again. Probabilities are computed in addition,
where the observer wants them, so that asking for them changes no result.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np

from ..arrays import Bools, Floats, Ids, Weights
from ..kernels.banded import banded
from ..kernels.banded_int16 import banded_int16
from ..kernels.grouped import grouped
from ..kernels.products import FEW_ROWS, by_head, few_rows, many_rows, operand, weighted_sums
from ..kernels.rounded import Rounded, rounded, widened
from .cache import DocumentKeys, Past, SourceKeys
from .documents import Document, Documents
from .layers import Buffers, dots, fixed, heads, join_heads, linear, split_heads
from .observe import Observer

FEW_GLOBAL = 2  # G global queries are few where FEW_GLOBAL * G <= D: `_attend_to_all` is then measured to be faster


# The encoder


def encoder_self_attention(
    hidden: Floats, w: int, documents: Documents, H: int, weights: Weights, name: str, buffers: Buffers
) -> Floats:
    """Return the self-attention of one encoder layer; equals `reference.encoder_attention` of each document.

    Where a document's observer wants `probs`, it sees them in three parts: of the ordinary queries `probs.band`
    (H, S, K) and `probs.global_keys` (H, S, G), and of the global queries `probs.global_queries` (H, G, S), with the
    tokens of that document only.

    Where the layer's weights are int16, so are the products of the band. `probs` are then those of the queries and keys
    before they are rounded.

    hidden: (S, E) float
    buffers: those of an earlier layer, to be used again
    returns: (S, E) float, in the queries' buffer
    """
    inner, see = f"{name}.longformer_self_attn", documents.see
    S, E = hidden.shape
    is_real, is_global, global_places = documents.is_real, documents.is_global, documents.global_places
    shape = H, S, E // H
    context = buffers.array("context", (S, E), hidden.dtype)
    weight = weights[f"{inner}.query.weight"]
    x = operand(hidden, weight)  # once for three products
    q, k, v = (
        heads(x, H, weights, f"{inner}.{part}", out=buffers.array(part, shape, hidden.dtype))
        for part in ("query", "key", "value")
    )  # (H, S, D)
    # subtle: the ordinary keys and values of the global tokens, not those of `key_global`: what all others see of them.
    k_extra, v_extra = (np.take(array, global_places, axis=1) for array in (k, v))  # (H, G, D), contiguous
    attend = banded_int16 if isinstance(weight, Rounded) and weight.storage == "int16" else banded
    attend(q, k, v, is_real & ~is_global, k_extra, v_extra, w, context, bounds=documents.bounds)
    context[~is_real] = 0
    for document in documents.each:
        if document.see.wants(f"{name}.probs"):
            rows = document.rows
            global_keys, band = _local_probs(q[:, rows], k[:, rows], w, document.is_real, document.is_global)
            document.see(f"{name}.probs.global_keys", global_keys)
            document.see(f"{name}.probs.band", band)
            if not len(document.global_places):
                document.see(f"{name}.probs.global_queries", global_keys.swapaxes(1, 2))
    for attend_to_all, some in _ways_to_all(documents, E // H):
        places = np.concatenate([document.global_places for document in some])
        context[places] = attend_to_all(hidden, some, H, weights, name)
    see(inner, context)
    output = linear(context, weights, f"{name}.output", out=q.reshape(S, E), multiply=many_rows)
    see(f"{name}.output", output)
    return output


def _ways_to_all(documents: Documents, D: int) -> Iterator[tuple[Callable[..., Floats], list[Document]]]:
    """Give the functions that attend from global queries to all tokens, each with the documents that it is fast for."""
    few, many = list[Document](), list[Document]()
    for document in documents.each:
        (few if FEW_GLOBAL * len(document.global_places) <= D else many).append(document)
    for attend_to_all, some in ((_attend_to_all, few), (_attend_to_all_projected, many)):
        some = [document for document in some if len(document.global_places)]
        if some:
            yield attend_to_all, some


def _attend_to_all(hidden: Floats, documents: list[Document], H: int, weights: Weights, name: str) -> Floats:
    """Return the context of global queries, (G, E), without keys and values of all tokens: `hidden` stands in for both.

    Per head, with the parts of the weights W_k, W_v and biases b_k, b_v that belong to it,
        q (W_k x + b_k) = (q W_k) x + a number that is the same for all tokens, so that softmax drops it,
        sum of p (W_v x + b_v) = W_v (sum of p x) + b_v, since the probabilities p sum to 1.
    That costs 4 S E H G operations in place of 4 S E^2, which is less for few queries.

    hidden: (S, E) float, of all documents
    documents: those whose global queries are meant
    """
    E = hidden.shape[1]
    D, inner = E // H, f"{name}.longformer_self_attn"
    global_places = np.concatenate([document.global_places for document in documents])  # (G,)
    q = heads(hidden[global_places], H, weights, f"{inner}.query_global", multiply=few_rows)  # (H, G, D)
    W_key, W_value = (weights[f"{inner}.{part}_global.weight"].reshape(H, D, E) for part in ("key", "value"))
    queries = weighted_sums(q, W_key)  # (H, G, E)
    mean_states, first = np.empty_like(queries), 0
    for document in documents:
        states, G = hidden[document.rows], len(document.global_places)
        columns = slice(first, first + G)
        first += G
        scores = dots(queries[:, columns].reshape(H * G, E), states)  # (H * G, S)
        scores /= math.sqrt(D)
        scores[:, ~document.is_real] = -np.inf
        probs = softmax(scores)  # (H * G, S)
        mean_states[:, columns] = weighted_sums(probs[None], fixed(states)[None]).reshape(H, G, E)
        if document.see.wants(f"{name}.probs"):
            document.see(f"{name}.probs.global_queries", probs.reshape(H, G, -1))
    context = join_heads(by_head(mean_states, W_value))  # (G, E)
    return context + weights[f"{inner}.value_global.bias"]


def _attend_to_all_projected(hidden: Floats, documents: list[Document], H: int, weights: Weights, name: str) -> Floats:
    """Return the same as `_attend_to_all`, by keys and values of all tokens: better for many queries."""
    inner = f"{name}.longformer_self_attn"
    contexts = []
    for document in documents:
        states, is_real = hidden[document.rows], document.is_real
        q = heads(hidden[document.global_places], H, weights, f"{inner}.query_global")  # (H, G, D)
        k, v = (heads(states, H, weights, f"{inner}.{part}_global") for part in ("key", "value"))  # (H, S, D)
        context = np.empty((q.shape[1], hidden.shape[1]), hidden.dtype)
        banded(q, k, v, is_real, k[:, :0], v[:, :0], len(states), context)
        contexts.append(context)
        if document.see.wants(f"{name}.probs"):
            scores = np.stack([dots(q[h], k[h]) for h in range(H)])  # (H, G, S)
            scores = np.where(is_real, scores / math.sqrt(q.shape[2]), -np.inf)
            document.see(f"{name}.probs.global_queries", softmax(scores))
    return np.concatenate(contexts)


def _local_probs(q: Floats, k: Floats, w: int, is_real: Bools, is_global: Bools) -> tuple[Floats, Floats]:
    """Return the probabilities of the global keys, (H, S, G), and of the band from i - w to i + w, (H, S, K).

    A global key counts among the former and not in the band. Rows of global and of padded queries are 0, as upstream.

    q, k: (H, S, D) float
    is_real, is_global: (S,) bool
    """
    H, S, D = q.shape
    global_places = np.flatnonzero(is_global)
    G = len(global_places)
    probs = np.zeros((H, S, G + 2 * w + 1), q.dtype)
    is_key = np.lib.stride_tricks.sliding_window_view(np.pad(is_real & ~is_global, w), 2 * w + 1)  # (S, K)
    for h in range(H):
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(k[h], ((w, w), (0, 0))), 2 * w + 1, axis=0)
        scores = np.empty((S, G + 2 * w + 1), q.dtype)
        scores[:, :G] = dots(q[h], k[h, global_places])
        scores[:, G:] = np.where(is_key, np.einsum("sd,sdk->sk", q[h], windows), -np.inf)
        probs[h] = softmax(scores / math.sqrt(D))
    probs[:, ~is_real | is_global] = 0
    return probs[:, :, :G], probs[:, :, G:]


def softmax(scores: Floats) -> Floats:
    """Return rows of probabilities for rows of scores; a row of nothing but -inf, or with +inf, becomes NaN."""
    with np.errstate(invalid="ignore"):
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers


# The decoder


def document_keys(states: Floats, layers: int, H: int, weights: Weights) -> DocumentKeys:
    """Return the cross-attention's keys and values of one document, for each layer, from its states: (S, E).

    Where the weights of a layer are rounded, its keys and values are rounded in the same way.
    """
    S, E = states.shape
    names = [f"decoder.layers.{layer}.encoder_attn" for layer in range(layers)]
    weights_of_queries = [weights[f"{name}.q_proj.weight"] for name in names]
    are_floats = not any(isinstance(weight, Rounded) for weight in weights_of_queries)
    # All layers in one array, since large arrays come in large pages; rounded layers use one float array after another.
    floats = np.empty((layers if are_floats else 1, 2, H, S, E // H), states.dtype)

    def of_layer(layer: int) -> SourceKeys:
        keys, values = floats[layer if are_floats else 0]
        heads(states, H, weights, f"{names[layer]}.k_proj", out=keys)
        heads(states, H, weights, f"{names[layer]}.v_proj", out=values)
        weight = weights_of_queries[layer]
        if isinstance(weight, Rounded):
            return SourceKeys(rounded(keys, weight.storage), rounded(values, weight.storage))
        return SourceKeys(keys, values)

    return tuple(of_layer(layer) for layer in range(layers))


def decoder_self_attention(
    hidden: Floats, past: Past, is_key: Bools | None, H: int, weights: Weights, name: str, see: Observer
) -> tuple[Floats, Past]:
    """Return the attention of new target tokens to themselves and to what came before, and the past with them.

    Equals `reference.decoder_attention`. Where the observer wants them, it sees the probabilities, (R, H, T, P + T).
    Few tokens give the same bits as one after another: each is multiplied with its own keys alone.

    hidden: (R, T, E) float
    past: keys and values, (R, H, P, D)
    is_key: (R, P + T) bool, or None; without effect where T is 1, as in 5.23.0 (modeling_led.py:1651)
    returns: (R, T, E) float
    """
    R, T, E = hidden.shape
    q = split_heads(linear(hidden, weights, f"{name}.q_proj"), H)  # (R, H, T, D)
    keys = past[0].append(split_heads(linear(hidden, weights, f"{name}.k_proj"), H))
    values = past[1].append(split_heads(linear(hidden, weights, f"{name}.v_proj"), H))
    length = keys.length  # P + T
    probs = np.zeros((R, H, T, length), hidden.dtype) if see.wants(f"{name}.probs") else None
    are_few = T == 1 or (T <= FEW_ROWS and is_key is None)
    context = np.empty_like(q)
    for t in range(T if are_few else 0):
        one, is_seen = np.ascontiguousarray(q[:, :, t : t + 1]), np.ones((R, length - T + t + 1), np.bool_)
        context[:, :, t : t + 1] = grouped(one, keys.buffer, values.buffer, is_seen)
    for r in range(0 if are_few and probs is None else R):
        is_seen = np.tri(T, length, length - T, dtype=np.bool_)  # (T, P + T): a token sees itself and what came before
        if is_key is not None and T > 1:
            is_seen &= is_key[r]
        context_of_row, probs_of_row = _attend(q[r], keys.view[r], values.view[r], is_seen)
        if not are_few:
            context[r] = context_of_row
        if probs is not None:
            probs[r] = probs_of_row
    if probs is not None:
        see(f"{name}.probs", probs)
    output = linear(join_heads(context), weights, f"{name}.out_proj")
    see(f"{name}.out_proj", output)
    return output, (keys, values)


def cross_attention(
    hidden: Floats,
    sources: list[SourceKeys],
    document_of_row: Ids,
    is_key: list[Bools],
    H: int,
    weights: Weights,
    name: str,
    see: Observer,
) -> Floats:
    """Return the attention of target tokens to the document of their row, whose keys all its rows share.

    Equals `reference.decoder_attention`. Where the observer wants them, it sees the probabilities, (R, H, T, S), with 0
    behind the end of a document that is shorter than the longest. Few tokens give the same bits as one after another.

    hidden: (R, T, E) float
    sources: keys and values of each document
    document_of_row: (R,) int
    is_key: per document (S,) bool
    returns: (R, T, E) float
    """
    R, T, E = hidden.shape
    q = split_heads(linear(hidden, weights, f"{name}.q_proj"), H)  # (R, H, T, D)
    context = np.empty_like(q)
    longest = max(map(len, is_key))
    probs = np.zeros((R, H, T, longest), hidden.dtype) if see.wants(f"{name}.probs") else None
    for document, source in enumerate(sources):
        rows = np.flatnonzero(document_of_row == document)
        if T <= FEW_ROWS and len(rows):
            together = np.swapaxes(q[rows], 0, 1).reshape(1, H, -1, E // H)  # (1, H, rows * T, D)
            context_of_rows = grouped(together, source.keys[None], source.values[None], is_key[document][None])
            context[rows] = np.swapaxes(context_of_rows.reshape(H, -1, T, E // H), 0, 1)
        if len(rows) and (T > FEW_ROWS or probs is not None):
            k, v = widened(source.keys), widened(source.values)  # (H, S, D)
            is_seen = np.broadcast_to(is_key[document], (T, k.shape[1]))
            for r in rows:
                context_of_row, probs_of_row = _attend(q[r], k, v, is_seen)
                if T > FEW_ROWS:
                    context[r] = context_of_row
                if probs is not None:
                    probs[r, :, :, : k.shape[1]] = probs_of_row
    if probs is not None:
        see(f"{name}.probs", probs)
    output = linear(join_heads(context), weights, f"{name}.out_proj")
    see(f"{name}.out_proj", output)
    return output


def _attend(q: Floats, k: Floats, v: Floats, is_seen: Bools) -> tuple[Floats, Floats]:
    """Return the context of each head, (H, T, D), and its probabilities, (H, T, S).

    A row without any key attends to all alike.

    q: (H, T, D) float
    k, v: (H, S, D) float
    is_seen: (T, S) bool
    """
    scores = np.stack([dots(*pair) for pair in zip(q, k, strict=True)])  # (H, T, S)
    scores = np.where(is_seen, scores / math.sqrt(q.shape[2]), -np.inf)
    scores[:, ~is_seen.any(axis=1)] = 0
    probs = softmax(scores)
    return weighted_sums(probs, fixed(v)), probs
