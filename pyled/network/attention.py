"""The attentions: the encoder's, windowed plus global, and the decoder's, to its own past and to the source.

Each projects, hands queries, keys and values to a kernel, and projects again. Probabilities are computed in addition,
where the observer wants them, so that asking for them changes no result.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..arrays import Bools, Floats, Ids, Weights
from ..kernels.banded import banded
from ..kernels.banded_int16 import banded_int16
from ..kernels.grouped import grouped, rounded_source
from ..kernels.products import FEW_ROWS, by_head, few_rows, many_rows, operand, weighted_sums
from ..kernels.rounded import Rounded, widened
from .batch import Batch, Document
from .cache import Past, SourceKeys
from .dropout import NO_DROPOUT, Dropout
from .layers import Buffers, dots, fixed, heads, join_heads, linear, split_heads
from .observe import Observer

FEW_GLOBAL = 2  # G global queries are few where FEW_GLOBAL * G <= D: `_attend_to_all` is then measured to be faster


# The encoder


def encoder_self_attention(
    hidden: Floats, w: int, documents: Batch, H: int, weights: Weights, name: str, buffers: Buffers
) -> Floats:
    """Return the self-attention of one encoder layer; equals `reference.encoder_attention` of each document.

    Where a document's observer wants `probs` or `scores`, it sees them in three parts: of the ordinary queries
    `probs.band` (H, S, K) and `probs.global_keys` (H, S, G), and of the global queries `probs.global_queries`
    (H, G, S), with the tokens of that document only.

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
    for part, array in (("query", q), ("key", k), ("value", v)):
        see(f"{inner}.{part}", array.swapaxes(0, 1))
    arrays = q, k, v, is_real & ~is_global, k_extra, v_extra, w, context
    if isinstance(weight, Rounded):
        banded_int16(*arrays, spans=documents.spans)
    else:
        log_sums = np.empty((H, S), hidden.dtype) if see.wants(f"{name}.log_sums") else None
        columns = documents.places, documents.places[global_places]
        dropped = documents.dropout.attention(f"{name}.probs", H, *columns)
        banded(*arrays, spans=documents.spans, log_sums=log_sums, dropped=dropped)
        if log_sums is not None:
            see(f"{name}.log_sums", log_sums.T)
    context[~is_real] = 0
    for document in documents.each:
        _show_projections(hidden, document, weights, inner)
        if document.see.wants(f"{name}.probs") or document.see.wants(f"{name}.scores"):
            rows = document.rows
            _show_local(q[:, rows], k[:, rows], w, document, name)
    for attend_to_all, some in _ways_to_all(documents, E // H):
        places = np.concatenate([document.global_places for document in some])
        context[places] = attend_to_all(hidden, some, H, weights, name, documents.dropout)
    see(inner, context)
    output = linear(context, weights, f"{name}.output", out=q.reshape(S, E), multiply=many_rows)
    documents.dropout.hidden(f"{name}.output", output)
    see(f"{name}.output", output)
    return output


def _ways_to_all(documents: Batch, D: int) -> Iterator[tuple[Callable[..., Floats], list[Document]]]:
    """Give the functions that attend from global queries to all tokens, each with the documents that it is fast for."""
    few, many = list[Document](), list[Document]()
    for document in documents.each:
        (few if FEW_GLOBAL * len(document.global_places) <= D else many).append(document)
    for attend_to_all, some in ((_attend_to_all, few), (_attend_to_all_projected, many)):
        some = [document for document in some if len(document.global_places)]
        if some:
            yield attend_to_all, some


def _attend_to_all(
    hidden: Floats, documents: list[Document], H: int, weights: Weights, name: str, dropout: Dropout = NO_DROPOUT
) -> Floats:
    """Return the context of global queries, (G, E), without keys and values of all tokens: `hidden` stands in for both.

    Per head, with the parts of the weights W_k, W_v and biases b_k, b_v that belong to it,
        q (W_k x + b_k) = (q W_k) x + a number that is the same for all tokens, so that softmax drops it,
        sum of p (W_v x + b_v) = W_v (sum of p x) + b_v (sum of p),
    where the probabilities p sum to 1, unless some are dropped. That costs 4 S E H G operations in place of 4 S E^2,
    which is less for few queries.

    hidden: (S, E) float, of all documents
    documents: those whose global queries are meant
    """
    E = hidden.shape[1]
    D, inner = E // H, f"{name}.longformer_self_attn"
    global_places = np.concatenate([document.global_places for document in documents])  # (G,)
    q = heads(hidden[global_places], H, weights, f"{inner}.query_global", multiply=few_rows)  # (H, G, D)
    W_key, W_value = (weights[f"{inner}.{part}_global.weight"].reshape(H, D, E) for part in ("key", "value"))
    queries = weighted_sums(q, W_key)  # (H, G, E)
    mean_states, sums, first = np.empty_like(queries), np.ones((*q.shape[:2], 1), q.dtype), 0
    for document in documents:
        states, G = hidden[document.rows], len(document.global_places)
        columns = slice(first, first + G)
        first += G
        scores = dots(queries[:, columns].reshape(H * G, E), states)  # (H * G, S)
        scores /= math.sqrt(D)
        scores[:, ~document.is_real] = -np.inf
        if document.see.wants(f"{name}.scores"):
            b_key = weights[f"{inner}.key_global.bias"].reshape(H, D, 1)
            of_bias = q[:, columns] @ b_key / math.sqrt(D)  # (H, G, 1), which softmax would drop
            document.see(f"{name}.scores.global_queries", scores.reshape(H, G, -1) + of_bias)
        probs = softmax(scores)  # (H * G, S)
        if document.see.wants(f"{name}.probs"):
            document.see(f"{name}.probs.global_queries", probs.reshape(H, G, -1))
        if dropout.drops_probs:
            dropout.part(document.global_places).probs(f"{name}.probs", probs.reshape(H, G, -1))
            sums[:, columns] = probs.sum(axis=1).reshape(H, G, 1)
        mean_states[:, columns] = weighted_sums(probs[None], fixed(states)[None]).reshape(H, G, E)
    context = by_head(mean_states, W_value)  # (H, G, D)
    context += sums * weights[f"{inner}.value_global.bias"].reshape(H, 1, D)
    return join_heads(context)


def _attend_to_all_projected(
    hidden: Floats, documents: list[Document], H: int, weights: Weights, name: str, dropout: Dropout = NO_DROPOUT
) -> Floats:
    """Return the same as `_attend_to_all`, by keys and values of all tokens: better for many queries."""
    inner = f"{name}.longformer_self_attn"
    contexts = []
    for document in documents:
        states, is_real = hidden[document.rows], document.is_real
        q = heads(hidden[document.global_places], H, weights, f"{inner}.query_global")  # (H, G, D)
        k, v = (heads(states, H, weights, f"{inner}.{part}_global") for part in ("key", "value"))  # (H, S, D)
        context = np.empty((q.shape[1], hidden.shape[1]), hidden.dtype)
        dropped = dropout.part(document.global_places).attention(f"{name}.probs", H, np.arange(len(states)))
        banded(q, k, v, is_real, k[:, :0], v[:, :0], len(states), context, dropped=dropped)
        contexts.append(context)
        if document.see.wants(f"{name}.probs") or document.see.wants(f"{name}.scores"):
            scores = np.stack([dots(q[h], k[h]) for h in range(H)])  # (H, G, S)
            scores = np.where(is_real, scores / math.sqrt(q.shape[2]), -np.inf)
            document.see(f"{name}.scores.global_queries", scores)
            document.see(f"{name}.probs.global_queries", softmax(scores))
    return np.concatenate(contexts)


def _show_projections(hidden: Floats, document: Document, weights: Weights, inner: str) -> None:
    """Show queries, keys and values of the global projections to an observer for which they are computed, (S, E)."""
    for part, rows in ("query", document.global_places), ("key", document.rows), ("value", document.rows):
        if document.see.wants(name := f"{inner}.{part}_global"):
            document.see(name, linear(hidden[rows], weights, name, multiply=many_rows))


def _show_local(q: Floats, k: Floats, w: int, document: Document, name: str) -> None:
    """Show scores and probabilities of the global keys, (H, S, G), and of the band from i - w to i + w, (H, S, K).

    A global key counts among the former and not in the band. Rows of global and of padded queries are -inf and 0.

    q, k: (H, S, D) float
    """
    G, see = len(document.global_places), document.see
    scores = _local_scores(q, k, w, document.is_real, document.is_global)  # (H, S, G + K)
    probs = np.stack([softmax(of_head) for of_head in scores])
    is_other = ~document.is_real | document.is_global
    for stage, array, nothing in (("scores", scores, -np.inf), ("probs", probs, 0)):
        array[:, is_other] = nothing
        see(f"{name}.{stage}.global_keys", array[:, :, :G])
        see(f"{name}.{stage}.band", array[:, :, G:])
        if not G:
            see(f"{name}.{stage}.global_queries", array[:, :, :0].swapaxes(1, 2))


def _local_scores(q: Floats, k: Floats, w: int, is_real: Bools, is_global: Bools) -> Floats:
    """Return the scores of ordinary queries and the global keys, then those of the band, (H, S, G + K).

    A global key and one beyond the ends have -inf in the band.

    q, k: (H, S, D) float
    is_real, is_global: (S,) bool
    """
    H, S, D = q.shape
    global_places = np.flatnonzero(is_global)
    G = len(global_places)
    scores = np.empty((H, S, G + 2 * w + 1), q.dtype)
    is_key = np.lib.stride_tricks.sliding_window_view(np.pad(is_real & ~is_global, w), 2 * w + 1)  # (S, K)
    for h in range(H):
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(k[h], ((w, w), (0, 0))), 2 * w + 1, axis=0)
        scores[h, :, :G] = dots(q[h], k[h, global_places])
        scores[h, :, G:] = np.where(is_key, np.einsum("sd,sdk->sk", q[h], windows), -np.inf)
    return scores / math.sqrt(D)


def softmax(scores: Floats) -> Floats:
    """Return rows of probabilities for rows of scores; a row of nothing but -inf, or with +inf, becomes NaN."""
    with np.errstate(invalid="ignore"):
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers


# The decoder


def source_keys(states: Floats, layers: int, H: int, weights: Weights) -> tuple[SourceKeys, ...]:
    """Return the cross-attention's keys and values for each layer, from the states of all documents: (tokens, E).

    Where the weights of a layer are rounded, its keys and values are rounded in the same way; `weights=` of queries
    comes before `encoder=` of keys.
    """
    tokens, E = states.shape
    storages = [_storage(weights, layer) for layer in range(layers)]
    are_floats = not any(storages)
    # All layers in one array, since large arrays come in large pages; rounded layers use one float array after another.
    floats = np.empty((layers if are_floats else 1, 2, H, tokens, E // H), states.dtype)

    def of_layer(layer: int) -> SourceKeys:
        keys, values = _project_source(states, layer, weights, floats[layer if are_floats else 0])
        storage = storages[layer]
        return SourceKeys(keys, values) if storage is None else SourceKeys(*rounded_source(keys, values, storage))

    return tuple(of_layer(layer) for layer in range(layers))


class SourceKeysByLayer(Sequence[SourceKeys]):
    """The same of one layer at a time, in the same memory: a layer's are valid until those of another are asked for."""

    def __init__(self, states: Floats, layers: int, H: int, weights: Weights) -> None:
        tokens, E = states.shape
        self._states, self._weights, self._layers = states, weights, range(layers)
        self._floats = np.empty((2, H, tokens, E // H), states.dtype)

    def __len__(self) -> int:
        return len(self._layers)

    def __getitem__(self, layer: Any) -> Any:
        return SourceKeys(*_project_source(self._states, self._layers[layer], self._weights, self._floats))


def _project_source(states: Floats, layer: int, weights: Weights, out: Floats) -> Floats:
    """Return keys and values of a layer, in `out`, (2, H, tokens, D)."""
    for part, array in zip("kv", out, strict=True):
        heads(states, len(array), weights, f"decoder.layers.{layer}.encoder_attn.{part}_proj", out=array)
    return out


def _storage(weights: Weights, layer: int) -> str | None:
    """Return in what a layer keeps the source's keys and values: as its queries' weights, or those of the keys."""
    of_parts = (weights[f"decoder.layers.{layer}.encoder_attn.{part}.weight"] for part in ("q_proj", "k_proj"))
    return next((weight.storage for weight in of_parts if isinstance(weight, Rounded)), None)


@functools.lru_cache(1)  # the same for all layers of a step
def past_groups(R: int, T: int, length: int) -> Ids:
    """Return the groups of `grouped` of self-attention: each of T new tokens sees itself and what came before.

    length: P + T

    >>> past_groups(2, 1, 9).tolist()  # of each row, its block, the keys from 0 to 9, and the row itself
    [[0, 0, 9, 0, 1], [1, 0, 9, 1, 2]]
    """
    row, token = np.divmod(np.arange(R * T), T)
    return np.stack([row, np.zeros_like(row), length - T + 1 + token, row * T + token, row * T + token + 1], axis=1)


def source_groups(document_of_row: Ids, lengths: Ids, T: int) -> Ids:
    """Return the groups of `grouped` of cross-attention: the tokens of neighbouring rows of the same document.

    >>> source_groups(np.array([0, 0, 1]), np.array([7, 5]), 1).tolist()  # keys 0 to 7 of two rows, 7 to 12 of another
    [[0, 0, 7, 0, 2], [0, 7, 12, 2, 3]]
    """
    first = np.flatnonzero(np.diff(document_of_row, prepend=-1))
    last = np.append(first[1:], len(document_of_row))
    document = document_of_row[first]
    stop = lengths.cumsum()[document]
    return np.stack([np.zeros_like(first), stop - lengths[document], stop, first * T, last * T], axis=1)


def decoder_self_attention(
    hidden: Floats, past: Past, is_key: Bools | None, H: int, weights: Weights, name: str, see: Observer,
    dropout: Dropout = NO_DROPOUT,
) -> tuple[Floats, Past]:  # fmt: skip
    """Return the attention of new target tokens to themselves and to what came before, and the past with them.

    Equals `reference.decoder_attention`. Where the observer wants `probs` or `scores`, it sees both, (R, H, T, P + T).
    Few tokens give the same bits as one after another: each is multiplied with its own keys alone.

    hidden: (R, T, E) float
    past: keys and values, (R, H, P, D)
    is_key: (R, P + T) bool, or None; without effect where T is 1, as in 5.23.0 (modeling_led.py:1651)
    returns: (R, T, E) float
    """
    R, T, E = hidden.shape
    q, k, v = (linear(hidden, weights, f"{name}.{part}_proj") for part in "qkv")  # (R, T, E)
    for part, array in zip("qkv", (q, k, v), strict=True):
        see(f"{name}.{part}_proj", array)
    new = (np.swapaxes(array.reshape(R, T, H, E // H), 1, 2) for array in (k, v))  # (R, H, T, D)
    keys, values = (array.append(tokens) for array, tokens in zip(past, new, strict=True))
    length = keys.length  # P + T
    is_key = None if T == 1 else is_key
    if is_key is None and _are_few(T, name, see, dropout):
        is_any = np.ones(length, np.bool_)
        context = grouped(q.reshape(R * T, E), keys.buffer, values.buffer, is_any, past_groups(R, T, length))
    else:
        k, v = np.stack([keys.view, values.view]).swapaxes(1, 2).reshape(2, H, R * length, -1)  # a row after another
        row = np.arange(R)
        spans = np.stack([row * T, (row + 1) * T, row * length, (row + 1) * length, 0 * row, 0 * row], axis=1)
        ahead = length - T  # the first of the queries has the number 0, and its own key that of the past's end
        is_any = np.ones(R * length, np.bool_) if is_key is None else is_key.reshape(-1)
        context = _attend(q.reshape(R * T, E), k, v, is_any, spans, ahead, name, see, dropout)
    if see.wants(f"{name}.probs") or see.wants(f"{name}.scores"):
        is_earlier = np.tri(T, length, length - T, dtype=np.bool_)  # (T, P + T): a token itself and what came before
        is_seen = np.broadcast_to(is_earlier if is_key is None else is_earlier & is_key[:, None], (R, T, length))
        scores = np.stack([_scores(*row) for row in zip(q, keys.view, is_seen, strict=True)])
        see(f"{name}.scores", scores)
        see(f"{name}.probs", softmax(scores))
    return _projected(context.reshape(R, T, E), weights, name, see, dropout), (keys, values)


def cross_attention(
    hidden: Floats, source: SourceKeys, groups: Ids, is_key: Bools, H: int, weights: Weights, name: str, see: Observer,
    dropout: Dropout = NO_DROPOUT,
) -> Floats:  # fmt: skip
    """Return the attention of target tokens to the document of their row, whose keys all its rows share.

    Equals `reference.decoder_attention`. Where the observer wants `probs` or `scores`, it sees both, (R, H, T, S), with
    0 and -inf behind the end of a document that is shorter than the longest. Few tokens give the same bits as one after
    another.

    hidden: (R, T, E) float
    source: keys and values of all documents
    groups: those of `source_groups`
    is_key: (tokens,) bool, of all documents
    returns: (R, T, E) float
    """
    R, T, E = hidden.shape
    q = linear(hidden, weights, f"{name}.q_proj")  # (R, T, E)
    see(f"{name}.q_proj", q)
    for part, matrix in (("k_proj", source.keys), ("v_proj", source.values)):
        if see.wants(f"{name}.{part}"):
            see(f"{name}.{part}", widened(matrix).swapaxes(0, 1))
    if _are_few(T, name, see, dropout):
        context = grouped(q.reshape(R * T, E), source.keys[None], source.values[None], is_key, groups)
    else:
        k, v = (widened(matrix) for matrix in source)  # (H, tokens, D)
        spans = np.concatenate([groups[:, 3:], groups[:, 1:3], np.zeros_like(groups[:, :2])], axis=1)
        context = _attend(q.reshape(R * T, E), k, v, is_key, spans, len(is_key), name, see, dropout)
    if see.wants(f"{name}.probs") or see.wants(f"{name}.scores"):
        probs = np.zeros((R, H, T, (groups[:, 2] - groups[:, 1]).max()), hidden.dtype)
        scores = np.full_like(probs, -np.inf)
        for _, start, stop, first, last in groups:
            k, is_seen = widened(source.keys[:, start:stop]), np.broadcast_to(is_key[start:stop], (T, stop - start))
            for r in range(first // T, last // T):
                scores[r, :, :, : stop - start] = _scores(q[r], k, is_seen)
                probs[r, :, :, : stop - start] = softmax(scores[r, :, :, : stop - start])
        see(f"{name}.scores", scores)
        see(f"{name}.probs", probs)
    return _projected(context.reshape(R, T, E), weights, name, see, dropout)


def _are_few(T: int, name: str, see: Observer, dropout: Dropout) -> bool:
    """Return True where the kernel of decoding attends; an observer that wants log-sums has the band's do so."""
    return T <= FEW_ROWS and not see.wants(f"{name}.log_sums") and not dropout.drops_probs


def _attend(
    q: Floats, k: Floats, v: Floats, is_key: Bools, spans: Ids, ahead: int, name: str, see: Observer, dropout: Dropout
) -> Floats:
    """Return the context of many target tokens, (Q, E), without an array of all probabilities.

    A token without any key attends to all keys of its span alike.

    q: (Q, E) float
    k, v: (H, S, D) float
    is_key: (S,) bool
    spans: (N, 6) int: those of `banded`
    ahead: how far behind its own number in its span a query sees
    """
    H, S, _ = k.shape
    queries, context = split_heads(q, H), np.empty_like(q)
    log_sums = np.empty(queries.shape[:2], q.dtype) if see.wants(f"{name}.log_sums") else None
    columns = np.empty(S, np.int64)
    for _, _, start, stop, _, _ in spans:
        columns[start:stop] = np.arange(stop - start)
    dropped, w = dropout.attention(f"{name}.probs", H, columns), len(q)  # so all keys before a query
    none = k[:, :0]
    banded(queries, k, v, is_key, none, none, w, context, spans=spans, ahead=ahead, log_sums=log_sums, dropped=dropped)
    for first, last, start, stop, _, _ in spans:
        keys_so_far = np.cumsum(is_key[start:stop])
        is_blind = keys_so_far[np.minimum(np.arange(last - first) + ahead, stop - start - 1)] == 0
        if is_blind.any():
            blind = first + np.flatnonzero(is_blind)
            probs = np.full((H, len(blind), stop - start), 1 / (stop - start), q.dtype)
            dropout.part(blind).probs(f"{name}.probs", probs)
            context[blind] = join_heads(weighted_sums(probs, fixed(v[:, start:stop])))
    if log_sums is not None:
        see(f"{name}.log_sums", log_sums.T)
    return context


def _projected(context: Floats, weights: Weights, name: str, see: Observer, dropout: Dropout) -> Floats:
    """Return an attention's output from its context, both (R, T, E), and show both."""
    see(f"{name}.context", context)
    output = linear(context, weights, f"{name}.out_proj")
    dropout.hidden(f"{name}.out_proj", output)
    see(f"{name}.out_proj", output)
    return output


def _scores(q: Floats, k: Floats, is_seen: Bools) -> Floats:
    """Return the scores of one row, (H, T, S). A token without any key attends to all alike.

    q: (T, E) float
    k: (H, S, D) float
    is_seen: (T, S) bool
    """
    H, _, D = k.shape
    scores = np.stack([dots(*pair) for pair in zip(split_heads(q, H), k, strict=True)])  # (H, T, S)
    scores = np.where(is_seen, scores / math.sqrt(D), -np.inf)
    scores[:, ~is_seen.any(axis=1)] = 0
    return scores
