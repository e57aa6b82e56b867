"""The backward pass of `banded`: gradients of queries, keys and values from that of the context.

With the probabilities p = softmax(scores) of one query, the context c = sum of p_j v_j and its gradient g:

    dv_j = p_j g,
    dp_j = g v_j,
    dscore_j = p_j (dp_j - mean), with mean = sum of p_j dp_j = g c.

The mean is known before any key is visited, and p_j = exp(score_j - log_sum) from the logarithm that the forward pass
stored. So nothing is kept of the size of queries times keys: a tile of scores is computed again, used and forgotten.
Dropout multiplies p_j by a factor m_j in the first two lines only; the mean stays g c.

A tile has a row for each query and a lane for each key. So four of its five products have keys as lanes.

Letters: S source tokens, Q queries, H heads, D head size, G global tokens, w tokens before a query in its window.
"""

import math

import numpy as np
from numba import prange

from ..arrays import Bools, Floats, Ids
from . import dropout
from .banded import of_head, one_document
from .elementary import exp
from .jit import kernel, scratch, thread
from .vectors import VECTORS, add_product, lanes, transpose

QUERY_TILE = 64
KEY_TILE = 96  # keys are the vector lanes


@kernel()
def _mask(scores, i0, j0, count, is_key, w, ahead):
    """Set the scores to -inf of what is no key, and of keys more than w before or `ahead` after their query.

    scores: (rows, lanes) float, of queries i0, i0 + 1, ... and `count` keys j0, j0 + 1, ...
    """
    rows, lanes = scores.shape
    # scores = np.where(is_key[j] & (i - w <= j) & (j <= i + ahead), scores, -np.inf) of query i and key j
    for r in range(rows):
        same = i0 + r - j0  # the lane of the key at the query's place
        scores[r, : max(0, min(lanes, same - w))] = -np.inf
        scores[r, max(0, min(lanes, same + ahead + 1)) :] = -np.inf
    for x in range(count):
        if not is_key[j0 + x]:
            scores[:, x] = -np.inf


@kernel()
def _through_softmax(scores, d_probs, lanes, log_sums, means, dropped):
    """Turn scores into probabilities, those that are dropped into 0; and their gradients into those of the scores.

    scores, d_probs: (rows, at least `lanes`) float; scores are -inf where a query may not attend
    log_sums, means: (rows,) float
    dropped: the `keys`, `columns` and `rate` of `Dropped`; or None
    """
    for r in range(scores.shape[0]):
        shift, mean = log_sums[r], means[r]
        shift = shift if shift != -np.inf else scores.dtype.type(0)  # subtle: without any key, as in `absorb`
        # probs = np.exp(scores - log_sums)
        for x in range(lanes):
            scores[r, x] = exp(scores[r, x] - shift)
        # d_scores = probs * (d_probs - means)
        if dropped is None:
            for x in range(lanes):
                d_probs[r, x] = scores[r, x] * (d_probs[r, x] - mean)
        else:
            of_queries, columns, rate = dropped
            bound, factor, zero = dropout.threshold(rate), scores.dtype.type(dropout.scale(rate)), scores.dtype.type(0)
            for x in range(columns.shape[0]):
                stays = zero if dropout.uniform(of_queries[r], columns[x]) < bound else factor
                d_probs[r, x] = scores[r, x] * (stays * d_probs[r, x] - mean)
                scores[r, x] *= stays


@kernel()
def _head_back(
    upstream, q, k, v, is_key, k_extra, v_extra, w, ahead, scale, context, log_sums, dropped, query_tile, size, memory,
    row_memory, means, d_q, d_k, d_v, d_k_extra, d_v_extra,
):  # fmt: skip
    """Compute the gradients of one head of a document; see `banded_back`.

    upstream, q, context, d_q: (Q, D) float
    k, v, d_k, d_v: (S, D) float
    k_extra, v_extra, d_k_extra, d_v_extra: (G, D) float
    log_sums: (Q,) float
    dropped: the `Dropped` of this head, or None
    size: numbers in a vector
    memory: (4D + 2 * query_tile, keys at a time) float, scratch
    row_memory: (2 * query_tile + keys at a time, D) float, scratch
    means: (Q,) float, scratch
    """
    (Q, D), S, G = q.shape, k.shape[0], k_extra.shape[0]
    lanes = memory.shape[1]
    keys, values, d_keys, d_values = memory[:D], memory[D : 2 * D], memory[2 * D : 3 * D], memory[3 * D : 4 * D]
    scores, d_scores = memory[4 * D : 4 * D + query_tile], memory[4 * D + query_tile :]
    queries, gradients = row_memory[:query_tile], row_memory[query_tile : 2 * query_tile]
    rows_of_keys = row_memory[2 * query_tile :]
    # pass 1: means = (upstream * context).sum(axis=1)
    for i in range(Q):
        total = means.dtype.type(0)
        for d in range(D):
            total += upstream[i, d] * context[i, d]
        means[i] = total
    d_q[:] = 0
    # pass 2: tile by tile of the keys of the band, then of the extra keys
    n_band, n_extra = (S + lanes - 1) // lanes, (G + lanes - 1) // lanes
    for tile in range(n_band + n_extra):
        is_extra = tile >= n_band
        j0 = (tile - n_band if is_extra else tile) * lanes
        count = min((G if is_extra else S) - j0, lanes)
        filled = min(lanes, (count + size - 1) // size * size)  # lanes that are computed
        some_k = (k_extra if is_extra else k)[j0 : j0 + count]
        some_v = (v_extra if is_extra else v)[j0 : j0 + count]
        memory[: 4 * D] = 0
        transpose(some_k, keys[:, :count])
        transpose(some_v, values[:, :count])
        for j in range(count):
            for d in range(D):
                rows_of_keys[j, d] = some_k[j, d] * scale
        first = 0 if is_extra else max(0, j0 - ahead)
        stop = Q if is_extra else min(Q, j0 + count + w)
        for i0 in range(first, stop, query_tile):
            rows = min(stop - i0, query_tile)
            for i in range(rows):
                for d in range(D):
                    queries[i, d] = q[i0 + i, d] * scale
                    gradients[i, d] = upstream[i0 + i, d]
            # scores = q @ k.T, d_probs = upstream @ v.T
            scores[:rows] = 0
            d_scores[:rows] = 0
            add_product(queries[:rows], keys[:, :filled], scores[:rows, :filled])
            add_product(gradients[:rows], values[:, :filled], d_scores[:rows, :filled])
            scores[:rows, count:] = -np.inf
            if not is_extra:
                _mask(scores[:rows], i0, j0, count, is_key, w, ahead)
            some = slice(i0, i0 + rows)
            columns = None if dropped is None else (dropped.extra_columns if is_extra else dropped.columns)
            of_tile = None if dropped is None else (dropped.keys[some], columns[j0 : j0 + count], dropped.rate)
            _through_softmax(scores[:rows], d_scores[:rows], filled, log_sums[some], means[some], of_tile)
            # d_v += probs.T @ upstream, d_k += d_scores.T @ q, d_q += d_scores @ k
            add_product(gradients[:rows].T, scores[:rows, :filled], d_values[:, :filled])
            add_product(queries[:rows].T, d_scores[:rows, :filled], d_keys[:, :filled])
            add_product(d_scores[:rows, :count], rows_of_keys[:count], d_q[some])
        transpose(d_keys[:, :count], (d_k_extra if is_extra else d_k)[j0 : j0 + count])
        transpose(d_values[:, :count], (d_v_extra if is_extra else d_v)[j0 : j0 + count])


@kernel(parallel=True)
def _banded_back(
    upstream, q, k, v, is_key, k_extra, v_extra, w, ahead, scale, spans, context, log_sums, dropped, query_tile, size,
    widths, memory, row_memory, means, d_q, d_k, d_v, d_k_extra, d_v_extra,
):  # fmt: skip
    H, _, D = q.shape
    for task in prange(H * spans.shape[0]):
        h, b = task // spans.shape[0], task % spans.shape[0]
        span, width, height = spans[b], widths[b], 4 * D + 2 * query_tile
        queries, keys, extra = slice(span[0], span[1]), slice(span[2], span[3]), slice(span[4], span[5])
        head = slice(h * D, (h + 1) * D)
        _head_back(
            upstream[queries, head], q[h, queries], k[h, keys], v[h, keys], is_key[keys], k_extra[h, extra],
            v_extra[h, extra], w, ahead, scale, context[queries, head], log_sums[h, queries],
            of_head(dropped, h, queries, keys, extra), query_tile, size,
            memory[thread(), : height * width].reshape(height, width), row_memory[thread(), : 2 * query_tile + width],
            means[h, queries], d_q[h, queries], d_k[h, keys], d_v[h, keys], d_k_extra[h, extra], d_v_extra[h, extra],
        )  # fmt: skip


def banded_back(
    upstream: Floats, q: Floats, k: Floats, v: Floats, is_key: Bools, k_extra: Floats, v_extra: Floats, w: int,
    context: Floats, log_sums: Floats, d_q: Floats, d_k: Floats, d_v: Floats, d_k_extra: Floats, d_v_extra: Floats,
    query_tile: int | None = None, key_tile: int | None = None, *, spans: Ids | None = None, ahead: int | None = None,
    dropped: dropout.Dropped | None = None,
) -> None:  # fmt: skip
    """Write the gradients of the queries, the keys and the values of `banded`, from the gradient of its context.

    What `banded` was called with is passed again, with the context and the log sums that it wrote. Each document has
    the same bits alone and among others, on any number of threads. A query without any key has the gradient 0, and so
    have keys and values that no query attends to.

    upstream: (Q, H*D) float
    q, d_q: (H, Q, D) float
    k, v, d_k, d_v: (H, S, D) float
    is_key: (S,) bool
    k_extra, v_extra, d_k_extra, d_v_extra: (H, G, D) float
    context: (Q, H*D) float
    log_sums: (H, Q) float
    query_tile, key_tile: queries and keys at a time; None for QUERY_TILE queries, and for as many keys as the document
        or its windows have, KEY_TILE at most
    spans, ahead, dropped: as in `banded`; no two documents share queries or keys, and each of these is in one
    """
    H, Q, D = q.shape
    scale, query_tile, block = q.dtype.type(1 / math.sqrt(D)), query_tile or QUERY_TILE, lanes(q.dtype)
    spans = one_document(q, k, k_extra) if spans is None else spans
    ahead = w if ahead is None else ahead
    lengths = (spans[:, 3] - spans[:, 2]).tolist()
    sizes = [key_tile or min(KEY_TILE, min(S, w) // block * block + block) for S in lengths]
    width = key_tile or KEY_TILE
    memory = scratch(((4 * D + 2 * query_tile) * width,), q.dtype)
    row_memory = scratch((2 * query_tile + width, D), q.dtype)
    _banded_back(
        upstream, q, k, v, is_key, k_extra, v_extra, w, ahead, scale, spans, context, log_sums, dropped, query_tile,
        block // VECTORS, np.array(sizes, np.int64), memory, row_memory, np.empty((H, Q), q.dtype), d_q, d_k, d_v,
        d_k_extra, d_v_extra,
    )  # fmt: skip
