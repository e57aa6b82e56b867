"""Attention, compiled: `banded` for the many queries of an encoder, `grouped` for the few of a decoding step.

Letters: N groups, R rows (queries) per group, S source tokens, Q queries, H heads, D head size (E = H*D), G global
tokens.
"""

import math
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .elementary import dot, exp
from .jit import kernel

Floats = NDArray[Any]
Bools = NDArray[np.bool_]

QUERY_TILE = 128  # queries are the vector lanes: with 64 keys, a tile's scores and sums stay in the first caches
KEY_TILE = 64
ROWS, DEPTH = 8, 4  # the register block of `_add_product`: KEY_TILE is a multiple of both


# The banded product


@kernel()
def _add_product(a, b, c):
    """c += a @ b, with the columns as vector lanes, 8 rows by 4 steps of depth in registers at a time.

    a: (8m, 4n) float
    b: (4n, lanes) float
    c: (8m, lanes) float
    """
    for r in range(0, a.shape[0], ROWS):
        for u in range(0, a.shape[1], DEPTH):
            a00, a01, a02, a03 = a[r, u], a[r, u + 1], a[r, u + 2], a[r, u + 3]
            a10, a11, a12, a13 = a[r + 1, u], a[r + 1, u + 1], a[r + 1, u + 2], a[r + 1, u + 3]
            a20, a21, a22, a23 = a[r + 2, u], a[r + 2, u + 1], a[r + 2, u + 2], a[r + 2, u + 3]
            a30, a31, a32, a33 = a[r + 3, u], a[r + 3, u + 1], a[r + 3, u + 2], a[r + 3, u + 3]
            a40, a41, a42, a43 = a[r + 4, u], a[r + 4, u + 1], a[r + 4, u + 2], a[r + 4, u + 3]
            a50, a51, a52, a53 = a[r + 5, u], a[r + 5, u + 1], a[r + 5, u + 2], a[r + 5, u + 3]
            a60, a61, a62, a63 = a[r + 6, u], a[r + 6, u + 1], a[r + 6, u + 2], a[r + 6, u + 3]
            a70, a71, a72, a73 = a[r + 7, u], a[r + 7, u + 1], a[r + 7, u + 2], a[r + 7, u + 3]
            for x in range(b.shape[1]):
                b0, b1, b2, b3 = b[u, x], b[u + 1, x], b[u + 2, x], b[u + 3, x]
                c[r, x] += a00 * b0 + a01 * b1 + a02 * b2 + a03 * b3
                c[r + 1, x] += a10 * b0 + a11 * b1 + a12 * b2 + a13 * b3
                c[r + 2, x] += a20 * b0 + a21 * b1 + a22 * b2 + a23 * b3
                c[r + 3, x] += a30 * b0 + a31 * b1 + a32 * b2 + a33 * b3
                c[r + 4, x] += a40 * b0 + a41 * b1 + a42 * b2 + a43 * b3
                c[r + 5, x] += a50 * b0 + a51 * b1 + a52 * b2 + a53 * b3
                c[r + 6, x] += a60 * b0 + a61 * b1 + a62 * b2 + a63 * b3
                c[r + 7, x] += a70 * b0 + a71 * b1 + a72 * b2 + a73 * b3


@kernel()
def _absorb(scores, values, top, total, output):
    """One more tile of keys into a streaming softmax: running maximum, sum of powers, weighted sum of values.

    scores: (keys, lanes) float, -inf where a query may not attend; overwritten by the powers
    values: (D, keys) float
    top: (lanes,) float, the largest score so far
    total: (lanes,) float
    output: (D, lanes) float
    """
    keys, lanes = scores.shape
    shift = top.copy()
    for j in range(keys):
        for x in range(lanes):
            shift[x] = max(shift[x], scores[j, x])
    for x in range(lanes):
        earlier = top[x]
        top[x] = shift[x]
        if shift[x] == -np.inf:  # nothing to attend to yet: any finite shift gives powers of 0
            shift[x] = 0
        scale = exp(earlier - shift[x])
        total[x] *= scale
        for d in range(output.shape[0]):
            output[d, x] *= scale
    for j in range(keys):
        for x in range(lanes):
            scores[j, x] = exp(scores[j, x] - shift[x])
            total[x] += scores[j, x]
    _add_product(values, scores, output)


@kernel()
def _load(source, first, count, column, D, tile):
    """tile[i, d] = source[first + i, column + d] for `count` rows and D columns, 0 beyond."""
    tile[:] = 0
    for i in range(count):
        for d in range(D):
            tile[i, d] = source[first + i, column + d]


@kernel()
def _load_transposed(source, first, count, column, D, tile):
    """tile[d, i] = source[first + i, column + d] for `count` rows and D columns, 0 beyond."""
    tile[:] = 0
    for i in range(count):
        for d in range(D):
            tile[d, i] = source[first + i, column + d]


@kernel()
def _mask(scores, first, j0, count, is_key, w):
    """-inf for what is no key, and for what lies more than w from a query's own place.

    scores: (keys, lanes) float: keys j0 ... j0 + count - 1 against queries first, first + 1, ...
    """
    keys, lanes = scores.shape
    for j in range(keys):
        if j >= count or not is_key[j0 + j]:
            scores[j, :] = -np.inf
        else:
            own_lane = j0 + j - first
            scores[j, : max(0, min(lanes, own_lane - w))] = -np.inf
            scores[j, max(0, min(lanes, own_lane + w + 1)) :] = -np.inf


@kernel()
def _band_tile(q, k, v, is_key, k_extra, v_extra, w, scale, first, column, D, query_tile, key_tile, context):
    """The context of one head for up to `query_tile` queries from `first` on; see `banded`."""
    lanes = min(query_tile, q.shape[0] - first)
    padded = (D + ROWS - 1) // ROWS * ROWS
    queries = np.empty((padded, query_tile), q.dtype)
    keys = np.empty((key_tile, padded), q.dtype)
    values = np.empty((padded, key_tile), q.dtype)
    scores = np.empty((key_tile, query_tile), q.dtype)
    top = np.full(query_tile, -np.inf, q.dtype)
    total = np.zeros(query_tile, q.dtype)
    output = np.zeros((padded, query_tile), q.dtype)
    _load_transposed(q, first, lanes, column, D, queries)
    queries *= scale

    for j0 in range(max(0, first - w), min(k.shape[0], first + lanes + w), key_tile):
        count = min(key_tile, k.shape[0] - j0)
        _load(k, j0, count, column, D, keys)
        _load_transposed(v, j0, count, column, D, values)
        scores[:] = 0
        _add_product(keys, queries, scores)
        _mask(scores, first, j0, count, is_key, w)
        _absorb(scores, values, top, total, output)
    for j0 in range(0, k_extra.shape[0], key_tile):
        count = min(key_tile, k_extra.shape[0] - j0)
        _load(k_extra, j0, count, column, D, keys)
        _load_transposed(v_extra, j0, count, column, D, values)
        scores[:] = 0
        _add_product(keys, queries, scores)
        scores[count:, :] = -np.inf
        _absorb(scores, values, top, total, output)

    for i in range(lanes):
        for d in range(D):
            context[first + i, column + d] = output[d, i] / total[i] if total[i] != 0 else 0  # NaN stays NaN


@kernel(parallel=True)
def _banded(q, k, v, is_key, k_extra, v_extra, w, scale, H, query_tile, key_tile, context):
    D = q.shape[1] // H
    tiles = (q.shape[0] + query_tile - 1) // query_tile
    for task in prange(H * tiles):
        h, tile = task // tiles, task % tiles
        _band_tile(
            q, k, v, is_key, k_extra, v_extra, w, scale, tile * query_tile, h * D, D, query_tile, key_tile, context
        )


def _covering(count: int, unit: int, most: int) -> int:
    """The smallest multiple of `unit` that is not below `count`, at most `most`."""
    return min(most, (count + unit - 1) // unit * unit)


def banded(
    q: Floats,
    k: Floats,
    v: Floats,
    is_key: Bools,
    k_extra: Floats,
    v_extra: Floats,
    w: int,
    H: int,
    query_tile: int | None = None,
    key_tile: int | None = None,
) -> Floats:
    """The context of every query i over the keys j with |i - j| <= w and is_key[j], and over all extra keys.

    Equals, head by head, `softmax(scores) @ values` of `reference.encoder_attention` with those keys; a query without
    any gets 0. Softmax streams over tiles of keys, so nothing of size S x w is ever held. With w >= max(Q, S) it is
    full attention, and Q may differ from S.

    q: (Q, H*D) float
    k, v: (S, H*D) float
    is_key: (S,) bool
    k_extra, v_extra: (G, H*D) float
    query_tile, key_tile: queries and keys at a time, key_tile a multiple of 8; None for QUERY_TILE and KEY_TILE, or
        for what covers a shorter document
    returns: (Q, H*D) float
    """
    query_tile = query_tile or _covering(len(q), 16, QUERY_TILE)
    key_tile = key_tile or _covering(max(len(k), len(k_extra)), ROWS, KEY_TILE)
    context = np.empty_like(q)
    scale = q.dtype.type(1 / math.sqrt(q.shape[1] // H))
    _banded(q, k, v, is_key, k_extra, v_extra, w, scale, H, query_tile, key_tile, context)
    return context


# The few queries of a decoding step


@kernel()
def _attend_rows(q, k, v, is_key, scale, context):
    """The context of a few rows of one head over shared keys, each key and value read once for all rows.

    A row's arithmetic does not depend on the number of rows.

    q, context: (R, D) float
    k, v: (capacity, D) float, of which the first S are read
    is_key: (S,) bool
    """
    R, S = q.shape[0], is_key.shape[0]
    scores = np.empty((R, S), q.dtype)
    top = np.full(R, -np.inf, q.dtype)
    for j in range(S):
        for r in range(R):
            scores[r, j] = dot(q[r], k[j]) * scale if is_key[j] else -np.inf
            top[r] = max(top[r], scores[r, j])
    total = np.zeros(R, q.dtype)
    has_key = is_key.any()
    for r in range(R):
        for j in range(S):
            # without any key, all alike: as transformers 5.23.0
            scores[r, j] = exp(scores[r, j] - top[r]) if has_key else 1
        for j in range(S):
            total[r] += scores[r, j]
    context[:] = 0
    for j in range(S):
        for r in range(R):
            for d in range(q.shape[1]):
                context[r, d] += scores[r, j] * v[j, d]
    for r in range(R):
        for d in range(q.shape[1]):
            context[r, d] /= total[r]


@kernel(parallel=True)
def _grouped(q, k, v, is_key, scale, context):
    N, H = k.shape[:2]
    for task in prange(N * H):
        n, h = task // H, task % H
        _attend_rows(q[n, h], k[n, h], v[n, h], is_key[n], scale, context[n, h])


def grouped(q: Floats, k: Floats, v: Floats, is_key: Bools) -> Floats:
    """The context of R queries in each of N groups over the keys of their group.

    Equals `reference.decoder_attention` between its projections, with `may` the same for all rows of a group; queries
    without any key attend to all keys alike. The same bits for a row, however many rows and groups there are.

    q: (N, H, R, D) float
    k, v: (N, H, capacity, D) float, of which the first S are read
    is_key: (N, S) bool
    returns: (N, H, R, D) float
    """
    context = np.empty_like(q)
    _grouped(q, k, v, is_key, q.dtype.type(1 / math.sqrt(q.shape[3])), context)
    return context
