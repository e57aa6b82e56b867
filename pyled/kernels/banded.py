"""Banded attention, compiled: an encoder's many queries over the keys of their windows, and over global keys.

Letters: S source tokens, Q queries, H heads, D head size (E = H*D), G global tokens.
"""

import math
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .elementary import exp
from .jit import kernel
from .vectors import add_product, lanes

Floats = NDArray[Any]
Bools = NDArray[np.bool_]

QUERY_TILE = 96  # queries are the vector lanes; with 64 keys, a tile's scores and sums stay in the second cache
KEY_TILE = 64


@kernel()
def _absorb(scores, values, top, total, output):
    """One more tile of keys into a streaming softmax: running maximum, sum of powers, weighted sum of values.

    scores: (keys, lanes) float, -inf where a query may not attend; overwritten by the powers
    values: (keys, D) float
    top: (lanes,) float, the largest score so far
    total: (lanes,) float
    output: (D, lanes) float
    """
    keys, lanes = scores.shape
    shift = top.copy()
    for j in range(keys):
        for x in range(lanes):
            score, largest = scores[j, x], shift[x]
            shift[x] = score if score > largest else largest  # as the vector instruction does it, unlike max()
    scale = np.empty_like(shift)
    for x in range(lanes):
        earlier = top[x]
        top[x] = shift[x]
        if shift[x] == -np.inf:  # nothing to attend to yet: any finite shift gives powers of 0
            shift[x] = 0
        scale[x] = exp(earlier - shift[x])
        total[x] *= scale[x]
    for d in range(output.shape[0]):
        for x in range(lanes):
            output[d, x] *= scale[x]
    for j in range(keys):
        for x in range(lanes):
            scores[j, x] = exp(scores[j, x] - shift[x])
        for x in range(lanes):
            total[x] += scores[j, x]
    add_product(values.T, scores, output)


@kernel()
def _mask(scores, first, j0, is_key, w):
    """-inf for what is no key, and for what lies more than w from a query's own place.

    scores: (keys, lanes) float: keys j0, j0 + 1, ... against queries first, first + 1, ...
    """
    keys, lanes = scores.shape
    for j in range(keys):
        if is_key[j0 + j]:
            own_lane = j0 + j - first
            scores[j, : max(0, min(lanes, own_lane - w))] = -np.inf
            scores[j, max(0, min(lanes, own_lane + w + 1)) :] = -np.inf
        else:
            scores[j, :] = -np.inf


@kernel()
def _band_tile(q, k, v, is_key, k_extra, v_extra, w, scale, first, query_tile, key_tile, context):
    """The context of one head for up to `query_tile` queries from `first` on; see `banded`.

    q: (Q, D) float
    k, v: (S, D) float
    k_extra, v_extra: (G, D) float
    context: (Q, D) float
    """
    D = q.shape[1]
    lanes = min(query_tile, q.shape[0] - first)
    queries = np.zeros((D, query_tile), q.dtype)  # lanes without a query compute with zeros
    scores = np.empty((key_tile, query_tile), q.dtype)
    top = np.full(query_tile, -np.inf, q.dtype)
    total = np.zeros(query_tile, q.dtype)
    output = np.zeros((D, query_tile), q.dtype)
    for i in range(lanes):
        for d in range(D):
            queries[d, i] = q[first + i, d] * scale

    stop = min(k.shape[0], first + lanes + w)
    for j0 in range(max(0, first - w), stop, key_tile):
        j1 = min(stop, j0 + key_tile)
        tile = scores[: j1 - j0]
        tile[:] = 0
        add_product(k[j0:j1], queries, tile)
        _mask(tile, first, j0, is_key, w)
        _absorb(tile, v[j0:j1], top, total, output)
    for j0 in range(0, k_extra.shape[0], key_tile):
        j1 = min(k_extra.shape[0], j0 + key_tile)
        tile = scores[: j1 - j0]
        tile[:] = 0
        add_product(k_extra[j0:j1], queries, tile)
        _absorb(tile, v_extra[j0:j1], top, total, output)

    for i in range(query_tile):
        total[i] = 1 / total[i] if total[i] != 0 else 0  # NaN stays NaN
    for i in range(lanes):
        for d in range(D):
            context[first + i, d] = output[d, i] * total[i]


@kernel(parallel=True)
def _banded(q, k, v, is_key, k_extra, v_extra, w, scale, query_tile, key_tile, context):
    H, Q, D = q.shape
    tiles = (Q + query_tile - 1) // query_tile
    for task in prange(H * tiles):
        h, first = task // tiles, task % tiles * query_tile
        own = context[:, h * D : (h + 1) * D]
        _band_tile(q[h], k[h], v[h], is_key, k_extra[h], v_extra[h], w, scale, first, query_tile, key_tile, own)


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
    context: Floats,
    query_tile: int | None = None,
    key_tile: int | None = None,
) -> None:
    """context becomes that of every query i over the keys j with |i - j| <= w and is_key[j], and over all extra keys.

    Equals, head by head, `softmax(scores) @ values` of `reference.encoder_attention` with those keys; a query without
    any gets 0. Softmax streams over tiles of keys, so nothing of size S x w is ever held. With w >= max(Q, S) it is
    full attention, and Q may differ from S.

    q: (H, Q, D) float
    k, v: (H, S, D) float
    is_key: (S,) bool
    k_extra, v_extra: (H, G, D) float
    query_tile, key_tile: queries and keys at a time; None for QUERY_TILE and KEY_TILE, or, where the window or the
        document is smaller, for fewer queries: a tile of them computes with the keys of all of their windows
    context: (Q, H*D) float
    """
    _, Q, D = q.shape
    query_tile = query_tile or _covering(min(Q, w), lanes(q.dtype), QUERY_TILE)
    key_tile = key_tile or KEY_TILE
    _banded(q, k, v, is_key, k_extra, v_extra, w, q.dtype.type(1 / math.sqrt(D)), query_tile, key_tile, context)
