"""Grouped attention, compiled: the few queries of a decoding step over keys that a group of rows shares.

Letters: N groups, R rows (queries) per group, S source tokens, H heads, D head size.
"""

import math
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .elementary import exp
from .jit import FAST_SUMS, kernel
from .vectors import add_product_once, dots

Floats = NDArray[Any]
Bools = NDArray[np.bool_]

VALUE_TILE = 64  # values that stay in the first cache while all columns are summed
LANES = 32  # scores of a row that are compared at a time


@kernel(fastmath=FAST_SUMS)
def _powers(row, is_key, scale):
    """A row of scores, (S,), becomes the powers of a softmax; returns their sum.

    The power of what is no key is 0, or 1 where there is none.
    """
    S = row.shape[0]
    tops = np.full(LANES, -np.inf, row.dtype)  # of every LANES-th score: a maximum over one number runs one by one
    whole = S - S % LANES
    for j0 in range(0, whole, LANES):
        for x in range(LANES):
            score, top = row[j0 + x] * scale if is_key[j0 + x] else -np.inf, tops[x]
            row[j0 + x] = score
            tops[x] = score if score > top else top
    for j in range(whole, S):
        row[j] = row[j] * scale if is_key[j] else -np.inf
        tops[0] = max(tops[0], row[j])
    top = tops.max()
    total = row.dtype.type(0)
    if not is_key.any():
        row[:] = 1  # as transformers 5.23.0
        return row.dtype.type(S)
    for j in range(S):
        row[j] = exp(row[j] - top)
        total += row[j]
    return total


@kernel()
def _attend_rows(q, k, v, is_key, key_scale, value_scale, scale, context):
    """The context of a few rows of one head over shared keys, each key and value read once for all rows.

    A row's arithmetic does not depend on the number of rows.

    q, context: (R, D) float
    k, v: (capacity, D), of which the first S are read
    is_key: (S,) bool
    key_scale, value_scale: (S,) float, for int8; or None
    """
    R, S = q.shape[0], is_key.shape[0]
    scores = np.empty((R, S), q.dtype)
    dots(q, k, 0, S, scores)
    totals = np.empty(R, q.dtype)
    for r in range(R):
        if key_scale is not None:
            scores[r] *= key_scale
        totals[r] = _powers(scores[r], is_key, scale)
        if value_scale is not None:
            scores[r] *= value_scale
    context[:] = 0
    for j0 in range(0, S, VALUE_TILE):  # a tile of values stays in the first cache while all columns are summed
        j1 = min(S, j0 + VALUE_TILE)
        add_product_once(scores[:, j0:j1], v[j0:j1], context)
    for r in range(R):
        for d in range(context.shape[1]):
            context[r, d] /= totals[r]


@kernel(parallel=True)
def _grouped(q, k, v, is_key, key_scale, value_scale, scale, context):
    N, H = k.shape[:2]
    for task in prange(N * H):
        n, h = task // H, task % H
        if key_scale is None:
            _attend_rows(q[n, h], k[n, h], v[n, h], is_key[n], None, None, scale, context[n, h])
        else:
            scales = key_scale[n, h], value_scale[n, h]
            _attend_rows(q[n, h], k[n, h], v[n, h], is_key[n], *scales, scale, context[n, h])


def grouped(
    q: Floats,
    k: Floats,
    v: Floats,
    is_key: Bools,
    key_scale: Floats | None = None,
    value_scale: Floats | None = None,
) -> Floats:
    """The context of R queries in each of N groups over the keys of their group.

    Equals `reference.decoder_attention` between its projections, with `may` the same for all rows of a group; queries
    without any key attend to all keys alike. The same bits for a row, however many rows and groups there are.

    q: (N, H, R, D) float
    k, v: (N, H, capacity, D), of which the first S are read: float, or with float32 queries narrow as `narrow` says
    is_key: (N, S) bool
    key_scale, value_scale: (N, H, S) float32, both for int8
    returns: (N, H, R, D) float
    """
    context = np.empty_like(q)
    _grouped(q, k, v, is_key, key_scale, value_scale, q.dtype.type(1 / math.sqrt(q.shape[3])), context)
    return context
