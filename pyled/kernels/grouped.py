"""Grouped attention, compiled: the few queries of a decoding step over keys that a group of queries shares.

Letters: N groups, Q queries in each, S source tokens, H heads, D head size, R rows: the queries of all groups.
"""

import math

import numpy as np
from numba import prange

from ..arrays import Bools, Floats, Ids
from .elementary import exp
from .jit import FAST_SUMS, kernel, scratch, thread
from .rounded import LARGEST, Matrix, Rounded, largest_factor, parts, rounded, rounded_rows
from .vectors import add_product_once, dots

VALUE_TILE = 64  # values at a time: they stay in the first cache while all their columns are summed
LANES = 32  # scores that are compared at a time


@kernel(fastmath=FAST_SUMS)
def _powers(row, is_key, key_scale, value_scale, scale, tops):
    """Turn a row of scores into the powers of its softmax times `value_scale`, in place; return the sum of the powers.

    What is no key has the power 0. Where there is no key at all, every power is 1, as in transformers 5.23.0.

    row: (S,) float
    is_key: (S,) bool
    key_scale, value_scale: (S,) float, or None
    tops: (LANES,) float, scratch for the largest of every LANES-th score: one maximum would take all one by one
    """
    S = row.shape[0]
    # pass 1: row = np.where(is_key, row * key_scale * scale, -np.inf); top = row.max()
    tops[:] = -np.inf
    whole = S - S % LANES
    if key_scale is not None:
        for j in range(S):
            row[j] *= key_scale[j]
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
    if is_key.any():
        for j in range(S):
            row[j] = exp(row[j] - top)
            total += row[j]
    else:
        row[:] = 1
        total += row.dtype.type(S)
    # pass 3: row = row * value_scale
    if value_scale is not None:
        for j in range(S):
            row[j] *= value_scale[j]
    return total


@kernel()
def _attend_rows(q, k, v, is_key, query_scale, key_scale, value_scale, scale, scores, memory, context):
    """Compute the context of a few queries of one head. Each key and each value is read once, for all queries.

    The arithmetic of a query does not depend on the number of queries.

    q, context: (Q, D)
    k, v: (S, D)
    is_key: (S,) bool
    query_scale, key_scale, value_scale: (Q,) and twice (S,) float, of whole numbers; or None
    scores, memory: scratch, (Q, S) and (at least LANES + Q,) float
    """
    Q, S = scores.shape
    # pass 1: scores = q @ k.T
    dots(q, k, 0, S, scores)
    # pass 2: scores = softmax(scores * query_scale * key_scale * scale) * value_scale, not yet divided by `totals`
    tops, totals = memory[:LANES], memory[LANES:]
    for i in range(Q):
        of_row = scale if query_scale is None else scale * query_scale[i]
        totals[i] = _powers(scores[i], is_key, key_scale, value_scale, of_row, tops)
    # pass 3: context = scores @ v
    context[:] = 0
    for j0 in range(0, S, VALUE_TILE):
        j1 = min(S, j0 + VALUE_TILE)
        add_product_once(scores[:, j0:j1], v[j0:j1], context)
    # pass 4: context /= totals[:, None]
    for i in range(Q):
        for d in range(context.shape[1]):
            context[i, d] /= totals[i]


@kernel(parallel=True)
def _grouped(q, k, v, is_key, query_scale, key_scale, value_scale, groups, scale, scores, memory, context):
    N, H, D = groups.shape[0], k.shape[1], k.shape[3]
    for task in prange(N * H):
        h, (block, start, stop, first, last) = task // N, groups[task % N]
        rows, head, keys = slice(first, last), slice(h * D, (h + 1) * D), slice(start, stop)
        Q, S = last - first, stop - start
        parts = q[rows, head], k[block, h, keys], v[block, h, keys], is_key[keys]
        rest = scale, scores[thread(), : Q * S].reshape(Q, S), memory[thread()], context[rows, head]
        if key_scale is None:
            _attend_rows(*parts, None, None, None, *rest)
        else:
            scales = query_scale[rows, h], key_scale[block, h, keys], value_scale[block, h, keys]
            _attend_rows(*parts, *scales, *rest)


def rounded_source(k: Floats, v: Floats, storage: str) -> tuple[Rounded, Rounded]:
    """Return keys and values, (..., S, D), rounded as `grouped` takes them, with a scale for each token and head."""
    if storage == "int16":
        return rounded_rows(k, largest_factor(k.shape[-1])), rounded_rows(v, LARGEST["int16"])
    return rounded(k, storage), rounded(v, storage)


def grouped(q: Floats, k: Matrix, v: Matrix, is_key: Bools, groups: Ids) -> Floats:
    """Return the context of the queries of each group over the keys of their group, all heads of a row side by side.

    Equals `reference.decoder_attention` between its projections, with `may` the same for all rows of a group; queries
    without any key attend to all keys alike. The same bits for a row, however many rows and groups there are.

    Where keys are whole numbers, so are the queries: they are rounded row by row and head by head. The sums of products
    are exact, because D products of a query's largest number and a key's add up to less than 2^31. With s the scale of
    a query, a score is off by at most s / 2 times the sum of the key's sizes, over sqrt(D), from that of float queries.

    q: (R, H*D) float
    k, v: (blocks, H, capacity, D): float, or with float32 queries both of `rounded_source`
    is_key: (any,) bool, of the keys that the groups reach
    groups: (N, 5) int64: the block of a group, its first key and the end of its keys, its first row and their end
    returns: (R, H*D) float
    """
    context, numbers, query_scale = np.empty_like(q), q, None
    (keys, key_scale), (values, value_scale) = parts(k), parts(v)
    H, D = keys.shape[1], keys.shape[3]
    if key_scale is not None:
        are_int16 = keys.dtype == np.int16
        most = largest_factor(D) if are_int16 else min(LARGEST["int16"], (2**31 - 1) // (D * LARGEST["int8"]))
        whole = rounded_rows(q.reshape(len(q), H, D), most)
        numbers, query_scale = whole.values.reshape(q.shape), whole.scale
    counts = groups[:, 2::2] - groups[:, 1::2]  # (N, 2): keys, queries
    scores = scratch((int(counts.prod(axis=1).max()),), q.dtype)
    lines = 2 + int(counts[:, 1].max()) // LANES  # subtle: whole lines of the caches for each thread
    scale, memory = q.dtype.type(1 / math.sqrt(D)), scratch((lines * LANES,), q.dtype)
    rest = query_scale, key_scale, value_scale, groups, scale, scores, memory, context
    _grouped(numbers, keys, values, is_key, *rest)
    return context
