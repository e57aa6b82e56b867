"""Banded attention, compiled: the many queries of an encoder over the keys of their windows, and over global keys.

Letters: S source tokens, Q queries, H heads, D head size, G global tokens, w tokens on each side of a window.
"""

import math

import numpy as np
from numba import prange

from ..arrays import Bools, Floats, Ids
from . import dropout
from .elementary import exp
from .jit import kernel, scratch, thread
from .vectors import VECTORS, add_product, lanes, transpose

QUERY_TILE = 96  # queries are the vector lanes; with 64 keys, a tile's scores and sums stay in the second cache
KEY_TILE = 64


@kernel()
def absorb(scores, values, sums, output, dropped):
    """Add a tile of keys to a streaming softmax: to its running maximum, sum of powers and weighted sum of values.

    scores: (keys, lanes) float, -inf where a query may not attend; overwritten by the powers
    values: (keys, D) float
    sums: (4, lanes) float: the largest score so far, the sum of the powers, and two rows of scratch
    output: (D, lanes) float
    dropped: what is dropped of the powers after they are summed, the `keys`, `columns` and `rate` of `Dropped`; or None
    """
    keys, lanes = scores.shape
    top, total, shift, scale = sums[0], sums[1], sums[2], sums[3]
    # pass 1: shift = np.maximum(top, scores.max(axis=0))
    for x in range(lanes):
        shift[x] = top[x]
    for j in range(keys):
        for x in range(lanes):
            score, largest = scores[j, x], shift[x]
            shift[x] = score if score > largest else largest  # subtle: a vector instruction treats NaN so, max() not
    # pass 2: scale = np.exp(top - shift); top = shift; total *= scale
    for x in range(lanes):
        earlier = top[x]
        top[x] = shift[x]
        if shift[x] == -np.inf:  # subtle: no key so far. Any finite shift gives powers of 0, where -inf gives NaN
            shift[x] = 0
        scale[x] = exp(earlier - shift[x])
        total[x] *= scale[x]
    # pass 3: output *= scale
    for d in range(output.shape[0]):
        for x in range(lanes):
            output[d, x] *= scale[x]
    # pass 4: scores = np.exp(scores - shift); total += scores.sum(axis=0)
    for j in range(keys):
        for x in range(lanes):
            scores[j, x] = exp(scores[j, x] - shift[x])
        for x in range(lanes):
            total[x] += scores[j, x]
    # pass 5: scores = np.where(uniform(of_queries, columns[:, None]) < bound, 0, scores * factor)
    if dropped is not None:
        of_queries, columns, rate = dropped
        bound, factor, zero = dropout.threshold(rate), scores.dtype.type(dropout.scale(rate)), scores.dtype.type(0)
        for j in range(keys):
            for x in range(of_queries.shape[0]):
                scores[j, x] *= zero if dropout.uniform(of_queries[x], columns[j]) < bound else factor
    # pass 6: output += values.T @ scores
    add_product(values.T, scores, output)


@kernel()
def _mask(scores, first, j0, is_key, w, ahead):
    """Set the scores to -inf of what is no key, and of keys more than w before or `ahead` after their query.

    scores: (keys, lanes) float, of keys j0, j0 + 1, ... and queries first, first + 1, ...
    """
    keys, lanes = scores.shape
    # scores = np.where(is_key[j] & (i - w <= j) & (j <= i + ahead), scores, -np.inf) of key j and query i
    for j in range(keys):
        if is_key[j0 + j]:
            same = j0 + j - first  # the lane of the query at the key's place
            scores[j, : max(0, min(lanes, same - ahead))] = -np.inf
            scores[j, max(0, min(lanes, same + w + 1)) :] = -np.inf
        else:
            scores[j, :] = -np.inf


@kernel()
def _band_tile(q, k, v, is_key, k_extra, v_extra, w, ahead, scale, first, memory, context, log_sums, dropped):
    """Compute the context of one head for as many queries from `first` on as `memory` has lanes; see `banded`.

    q: (Q, D) float
    k, v: (S, D) float
    k_extra, v_extra: (G, D) float
    memory: (4 + 2D + keys at a time, lanes) float, scratch
    context: (Q, D) float
    log_sums: (Q,) float, or None
    dropped: the `Dropped` of this head, or None
    """
    D, query_tile = q.shape[1], memory.shape[1]
    lanes = min(query_tile, q.shape[0] - first)
    sums, output, queries, scores = memory[:4], memory[4 : 4 + D], memory[4 + D : 4 + 2 * D], memory[4 + 2 * D :]
    key_tile = scores.shape[0]
    memory[: 4 + 2 * D] = 0  # lanes without a query compute with zeros
    sums[0] = -np.inf
    # pass 1: queries = q[first : first + lanes].T * scale
    load(q[first : first + lanes], scale, queries)
    of_queries = None if dropped is None else dropped.keys[first : first + lanes]

    # pass 2: the keys of the band; tile = k[j0:j1] @ queries
    stop = min(k.shape[0], first + lanes + ahead)
    for j0 in range(max(0, first - w), stop, key_tile):
        j1 = min(stop, j0 + key_tile)
        tile = scores[: j1 - j0]
        tile[:] = 0
        add_product(k[j0:j1], queries, tile)
        _mask(tile, first, j0, is_key, w, ahead)
        of_tile = None if dropped is None else (of_queries, dropped.columns[j0:j1], dropped.rate)
        absorb(tile, v[j0:j1], sums, output, of_tile)
    # pass 3: the global keys; all of them are real, so no mask is needed
    for j0 in range(0, k_extra.shape[0], key_tile):
        j1 = min(k_extra.shape[0], j0 + key_tile)
        tile = scores[: j1 - j0]
        tile[:] = 0
        add_product(k_extra[j0:j1], queries, tile)
        of_tile = None if dropped is None else (of_queries, dropped.extra_columns[j0:j1], dropped.rate)
        absorb(tile, v_extra[j0:j1], sums, output, of_tile)

    # pass 4: log_sums = top + np.log(total)
    if log_sums is not None:
        for i in range(lanes):
            total = sums[1, i]
            log_sums[first + i] = sums[0, i] + math.log(total) if total != 0 else -np.inf
    store(output, sums[1], is_key, k_extra.shape[0], w, ahead, first, context[first : first + lanes])


@kernel()
def load(q, scale, queries):
    """Set queries = q.T * scale: (Q, D) to (D, at least Q)."""
    transpose(q, queries[:, : q.shape[0]])
    for d in range(queries.shape[0]):
        for i in range(queries.shape[1]):
            queries[d, i] *= scale


@kernel()
def store(output, total, is_key, G, w, ahead, first, context):
    """Set context = (output / total).T, and 0 for a query without any key.

    output: (D, at least Q) float, overwritten
    total: (at least Q,) float, overwritten
    is_key: (S,) bool; there are G extra keys
    context: (Q, D) float, of queries from `first` on
    """
    for i in range(context.shape[0]):
        if total[i] != 0:  # NaN stays NaN
            total[i] = 1 / total[i]
        elif G > 0 or is_key[max(0, first + i - w) : first + i + ahead + 1].any():
            total[i] = np.nan  # all scores are -inf, products beyond the float type
    for d in range(output.shape[0]):
        for i in range(output.shape[1]):
            output[d, i] *= total[i]
    transpose(output[:, : context.shape[0]], context)


@kernel()
def of_head(dropped, h, queries, keys, extra):
    """Return the part of a `Dropped` that a head of a document needs, whose keys have one axis less; None for None."""
    if dropped is None:
        return None
    return dropout.Dropped(dropped.keys[h, queries], dropped.columns[keys], dropped.extra_columns[extra], dropped.rate)


@kernel()
def _of_queries(log_sums, h, queries):
    return None if log_sums is None else log_sums[h, queries]


@kernel(parallel=True)
def _banded(
    q, k, v, is_key, k_extra, v_extra, w, ahead, scale, spans, tiles, height, memory, context, log_sums, dropped
):  # fmt: skip
    H, _, D = q.shape
    for task in prange(H * tiles.shape[0]):
        h, tile = task // tiles.shape[0], task % tiles.shape[0]
        b, first, query_tile = tiles[tile, 0], tiles[tile, 1], tiles[tile, 2]
        span = spans[b]
        queries, keys, extra = slice(span[0], span[1]), slice(span[2], span[3]), slice(span[4], span[5])
        memory_of_tile = memory[thread(), : height * query_tile].reshape(height, query_tile)
        columns = context[queries, h * D : (h + 1) * D]
        _band_tile(
            q[h, queries], k[h, keys], v[h, keys], is_key[keys], k_extra[h, extra], v_extra[h, extra], w, ahead, scale,
            first, memory_of_tile, columns, _of_queries(log_sums, h, queries),
            of_head(dropped, h, queries, keys, extra),
        )  # fmt: skip


def tiles_of(lengths: Ids, w: int, unit: int, query_tile: int | None) -> Ids:
    """Return tiles of queries: for each its document, its first query there, and how many lanes it has for them.

    Their size depends on the document alone: no more than the window or the document, since a tile computes with the
    keys of all its windows. The last tile of a document has as few vectors as hold its queries.

    lengths: (B,) int, the queries of each document
    unit: `lanes` of the float type
    """
    sizes = [query_tile or min(QUERY_TILE, -(-min(Q, w) // unit) * unit) for Q in lengths]
    vector = unit // VECTORS
    tiles = [
        (b, first, min(size, -(-(lengths[b] - first) // vector) * vector))
        for b, size in enumerate(sizes)
        for first in range(0, lengths[b], size)
    ]
    return np.array(tiles, np.int64).reshape(-1, 3)


def one_document(q: Floats, k: Floats, k_extra: Floats) -> Ids:
    """Return the spans of a document that has all queries, keys and extra keys."""
    return np.array([(0, q.shape[1], 0, k.shape[1], 0, k_extra.shape[1])])


def banded(
    q: Floats, k: Floats, v: Floats, is_key: Bools, k_extra: Floats, v_extra: Floats, w: int, context: Floats,
    query_tile: int | None = None, key_tile: int | None = None, *, spans: Ids | None = None, ahead: int | None = None,
    log_sums: Floats | None = None, dropped: dropout.Dropped | None = None,
) -> None:  # fmt: skip
    """Write the context of every query i over the keys j from i - w to i + ahead with is_key[j], and all extra keys.

    It equals, head by head, `softmax(scores) @ values` of `reference.encoder_attention` with those keys. A query
    without any key gets 0. Softmax streams over tiles of keys, so no array of size S x K exists. With w >= max(Q, S)
    this is full attention, and Q may differ from S; with `ahead` 0 in addition it is causal attention.

    Queries, keys and extra keys may belong to several documents, which lie one behind the other. Each document is
    computed as if it were alone, with the same bits: no tile has tokens of two.

    q: (H, Q, D) float
    k, v: (H, S, D) float
    is_key: (S,) bool
    k_extra, v_extra: (H, G, D) float
    w: at least 1
    query_tile, key_tile: queries and keys at a time; None for KEY_TILE keys, and as many queries as `tiles_of` says
    spans: (B, 6) int: of each document where its queries, its keys and its extra keys begin and end; None for one
        document. Queries and keys have their places in it.
    ahead: None for w
    log_sums: (H, Q) float, where the logarithm of the sum of all powers of scores goes, -inf without any key; or None
    dropped: the probabilities that dropout drops after the softmax; or None
    context: (Q, H*D) float
    """
    D = q.shape[2]
    scale, height = q.dtype.type(1 / math.sqrt(D)), 4 + 2 * D + (key_tile or KEY_TILE)
    spans = one_document(q, k, k_extra) if spans is None else spans
    tiles = tiles_of(spans[:, 1] - spans[:, 0], w, lanes(q.dtype), query_tile)
    memory = scratch((height * (query_tile or QUERY_TILE),), q.dtype)
    _banded(
        q, k, v, is_key, k_extra, v_extra, w, w if ahead is None else ahead, scale, spans, tiles, height, memory,
        context, log_sums, dropped,
    )  # fmt: skip
