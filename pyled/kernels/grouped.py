"""Grouped attention, compiled: the few queries of a decoding step over keys that a group of queries shares.

Letters: N groups, Q queries in each, S source tokens, H heads, D head size.
"""

import math

import numpy as np
from numba import prange

from ..arrays import Bools, Floats
from .elementary import exp
from .jit import FAST_SUMS, kernel, scratch, thread
from .rounded import Matrix, parts
from .vectors import add_product_once, dots

VALUE_TILE = 64  # values at a time: they stay in the first cache while all their columns are summed
LANES = 32  # scores that are compared at a time


@kernel(fastmath=FAST_SUMS)
def _powers(row, is_key, scale, tops):
    """Turn a row of scores into the powers of its softmax, in place, and return their sum.

    What is no key has the power 0. Where there is no key at all, every power is 1, as in transformers 5.23.0.

    row: (S,) float
    is_key: (S,) bool
    tops: (LANES,) float, scratch for the largest of every LANES-th score: one maximum would take all one by one
    """
    S = row.shape[0]
    # pass 1: row = np.where(is_key, row * scale, -np.inf); top = row.max()
    tops[:] = -np.inf
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
    # pass 2: row = np.exp(row - top); total = row.sum()
    total = row.dtype.type(0)
    if not is_key.any():
        row[:] = 1
        return row.dtype.type(S)
    for j in range(S):
        row[j] = exp(row[j] - top)
        total += row[j]
    return total


@kernel()
def _attend_rows(q, k, v, is_key, key_scale, value_scale, scale, scores, memory, context):
    """Compute the context of a few queries of one head. Each key and each value is read once, for all queries.

    The arithmetic of a query does not depend on the number of queries.

    q, context: (Q, D) float
    k, v: (capacity, D), of which the first S are read
    is_key: (S,) bool
    key_scale, value_scale: (S,) float, for int8; or None
    scores, memory: scratch, (Q, S) and (at least LANES + Q,) float
    """
    Q, S = q.shape[0], is_key.shape[0]
    # pass 1: scores = q @ k[:S].T
    dots(q, k, 0, S, scores)
    # pass 2: scores = softmax(scores * key_scale * scale) * value_scale, but for the division by `totals`
    tops, totals = memory[:LANES], memory[LANES:]
    for i in range(Q):
        if key_scale is not None:
            for j in range(S):
                scores[i, j] *= key_scale[j]
        totals[i] = _powers(scores[i], is_key, scale, tops)
        if value_scale is not None:
            for j in range(S):
                scores[i, j] *= value_scale[j]
    # pass 3: context = scores @ v[:S]
    context[:] = 0
    for j0 in range(0, S, VALUE_TILE):
        j1 = min(S, j0 + VALUE_TILE)
        add_product_once(scores[:, j0:j1], v[j0:j1], context)
    # pass 4: context /= totals[:, None]
    for i in range(Q):
        for d in range(context.shape[1]):
            context[i, d] /= totals[i]


@kernel(parallel=True)
def _grouped(q, k, v, is_key, key_scale, value_scale, scale, scores, memory, context):
    N, H = k.shape[:2]
    for task in prange(N * H):
        n, h = task // H, task % H
        rest = scale, scores[thread()], memory[thread()], context[n, h]
        if key_scale is None:
            _attend_rows(q[n, h], k[n, h], v[n, h], is_key[n], None, None, *rest)
        else:
            _attend_rows(q[n, h], k[n, h], v[n, h], is_key[n], key_scale[n, h], value_scale[n, h], *rest)


def grouped(q: Floats, k: Matrix, v: Matrix, is_key: Bools) -> Floats:
    """Return the context of the queries of each group over the keys of their group.

    Equals `reference.decoder_attention` between its projections, with `may` the same for all rows of a group; queries
    without any key attend to all keys alike. The same bits for a row, however many rows and groups there are.

    q: (N, H, Q, D) float
    k, v: (N, H, capacity, D), of which the first S are read: float, or with float32 queries both Rounded alike
    is_key: (N, S) bool
    returns: (N, H, Q, D) float
    """
    context = np.empty_like(q)
    (keys, key_scale), (values, value_scale) = parts(k), parts(v)
    scale, scores = q.dtype.type(1 / math.sqrt(q.shape[3])), scratch((q.shape[2], is_key.shape[1]), q.dtype)
    memory = scratch(((2 + q.shape[2] // LANES) * LANES,), q.dtype)  # subtle: whole lines of the caches for each thread
    _grouped(q, keys, values, is_key, key_scale, value_scale, scale, scores, memory, context)
    return context
