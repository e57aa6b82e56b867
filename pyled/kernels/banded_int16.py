"""Banded attention whose two products are those of int16 numbers; softmax is that of float32, as in `banded`.

A query and a key are rounded by a scale of their own in each head, the values of a tile of keys by one scale. The
powers of a tile of keys are 1 at most, as each query's largest score there is subtracted, and become whole numbers up
to POWER.

No sum leaves 32 bits. Of DEPTH products of queries and keys, each is at most (2**31 - 1) / DEPTH; so is each of fewer,
with fewer in place of DEPTH. The sum over a tile of keys is at most KEY_TILE * POWER * VALUE < 2**31.

Letters: S source tokens, Q queries, H heads, D head size, G global tokens, w tokens on each side of a window.
"""

import math

import numpy as np
from numba import prange

from ..arrays import Bools, Floats, Ids
from .banded import KEY_TILE, QUERY_TILE, absorb, load, one_document, store, tiles_of
from .elementary import exp
from .jit import kernel, scratch, thread
from .rounded import DEPTH, largest_factor, rounded_rows, words
from .vectors import add_pairs, add_product, lanes

POWER, VALUE = 8191, 4095  # the largest whole numbers of powers and of values
assert KEY_TILE * POWER * VALUE < 2**31


def largest_size(D: int) -> int:
    """Return the largest whole number of queries and keys, whose sums have DEPTH terms at most."""
    return largest_factor(min(D, DEPTH))


@kernel()
def _pair(first, second):
    """Return a word of two whole numbers; the first may be a float that is no number, which becomes 0."""
    return np.int32(np.int32(first) & np.int32(0xFFFF) | np.int32(second) << np.int32(16))


@kernel()
def _whole(x, scale, largest):
    """Return x / scale as a whole number of at most that size; -largest where it is no number."""
    nearest = np.rint(x / scale)
    nearest = nearest if nearest > -largest else -largest
    return nearest if nearest < largest else largest


@kernel()
def _round_queries(queries, largest, scale, whole):
    """Round each column by a scale of its own, NaN where it holds a number that is not finite.

    queries: (D, lanes) float32
    scale: (lanes,) float32
    whole: (D / 2, lanes) int32, words of two
    """
    D, lanes = queries.shape
    # pass 1: scale = abs(queries).max(axis=0) / largest, or 1 for a column of zeros
    scale[:] = 0
    for d in range(D):
        for x in range(lanes):
            size = abs(queries[d, x])
            scale[x] = scale[x] if size <= scale[x] else size
    for d in range(D):
        for x in range(lanes):
            scale[x] += queries[d, x] * np.float32(0)  # subtle: NaN for what is not finite, which the maximum can lose
    for x in range(lanes):
        scale[x] /= largest
        scale[x] = scale[x] if scale[x] != 0 else np.float32(1)
    # pass 2: whole = np.rint(queries / scale), in pairs
    for d in range(0, D, 2):
        for x in range(lanes):
            second = _whole(queries[d + 1, x], scale[x], largest) if d + 1 < D else np.float32(0)
            whole[d // 2, x] = _pair(_whole(queries[d, x], scale[x], largest), second)


@kernel(parallel=True)
def _round_values(v, is_key, tiles, memory, scale, whole):
    """Round the values of each tile of keys by one scale, NaN where one is not finite; what is no key becomes 0.

    v: (H, S, D) float32
    tiles: (any, 3) int: the first key, the one behind the last, the first pair
    memory: (threads, 2, D) float32, scratch
    scale: (H, tiles) float32
    whole: (H, pairs, D) int32: words of two keys
    """
    H, _, D = v.shape
    largest, zero = np.float32(VALUE), np.float32(0)
    for task in prange(H * tiles.shape[0]):
        h, tile = task // tiles.shape[0], task % tiles.shape[0]
        j0, j1, pair = tiles[tile, 0], tiles[tile, 1], tiles[tile, 2]
        sizes, zeros = memory[thread(), 0], memory[thread(), 1]
        # pass 1: unit = abs(v[h, j0:j1][is_key[j0:j1]]).max() / largest, or 1 for zeros
        sizes[:] = 0
        zeros[:] = 0
        for j in range(j0, j1):
            if is_key[j]:
                for d in range(D):
                    size = abs(v[h, j, d])
                    sizes[d] = sizes[d] if size <= sizes[d] else size
                    zeros[d] += size * zero  # NaN for what is not finite
        unit = zero
        for d in range(D):
            unit = max(unit, sizes[d])
        for d in range(D):
            unit += zeros[d]
        unit /= largest
        unit = unit if unit != 0 else np.float32(1)
        scale[h, tile] = unit
        # pass 2: whole = np.rint(v / unit), in pairs
        for j in range(j0, j1, 2):
            other = min(j + 1, j1 - 1)
            has_first, has_second = is_key[j], j + 1 < j1 and is_key[other]
            for d in range(D):
                first = _whole(v[h, j, d], unit, largest) if has_first else zero
                second = _whole(v[h, other, d], unit, largest) if has_second else zero
                whole[h, pair + (j - j0) // 2, d] = _pair(first, second)


@kernel()
def _score(scores, k_scale, q_scale, is_key, first, j0, w, largest):
    """Turn sums of whole numbers into scores, -inf where a query may not attend, and raise `largest` to the largest.

    scores: (keys, lanes) float32, of keys j0, j0 + 1, ... and queries first, first + 1, ...
    k_scale, q_scale: (S,) and (lanes,) float32
    """
    keys, lanes = scores.shape
    # scores = np.where(is_key[j] & (abs(i - j) <= w), scores * k_scale[j] * q_scale, -np.inf) of key j and query i
    # largest = np.maximum(largest, scores.max(axis=0))
    for j in range(keys):
        unit = k_scale[j0 + j]
        for x in range(lanes):
            scores[j, x] *= unit * q_scale[x]
        same = j0 + j - first  # the lane of the query at the key's place
        if not is_key[j0 + j]:
            scores[j, :] = -np.inf
        elif same > w or lanes - 1 - same > w:
            scores[j, : max(0, min(lanes, same - w))] = -np.inf
            scores[j, max(0, min(lanes, same + w + 1)) :] = -np.inf
        for x in range(lanes):
            score, so_far = scores[j, x], largest[x]
            largest[x] = score if score > so_far else so_far


@kernel()
def _absorb_pairs(scores, v, v_scale, sums, powers, products, output):
    """Add a tile of keys to a streaming softmax; as `banded.absorb`, in whole numbers.

    scores: (2 * pairs, lanes) float32, -inf where a query may not attend; their largest are sums[4]
    v: (pairs, D) int32, words of two keys
    sums: (6, lanes) float32: the largest score so far, the sum of the powers, and four rows of scratch
    powers: (pairs, lanes) int32, scratch
    products: (D, lanes) float32, scratch
    output: (D, lanes) float32
    """
    lanes, zero, unit = scores.shape[1], np.float32(0), np.float32(POWER)
    top, total, shift, keep, share, part = sums[0], sums[1], sums[2], sums[3], sums[4], sums[5]
    # pass 1: shift = scores.max(axis=0), or 0 for a query without a key here
    for x in range(lanes):
        shift[x] = share[x] if share[x] != -np.inf else zero
        part[x] = 0
    # pass 2: powers = np.rint(POWER * np.exp(scores - shift)), in pairs; part = their sum
    for p in range(powers.shape[0]):
        for x in range(lanes):
            first = np.rint(exp(scores[2 * p, x] - shift[x]) * unit)
            second = np.rint(exp(scores[2 * p + 1, x] - shift[x]) * unit)
            part[x] += first + second
            # A power that is no number becomes 0 here, and stays in the sum.
            powers[p, x] = _pair(first if first > 0 else zero, second if second > 0 else zero)
    # pass 3: largest = max(top, share); keep, share = np.exp(top - largest), np.exp(share - largest) / POWER
    for x in range(lanes):
        largest = share[x] if share[x] > top[x] else top[x]
        shift[x] = largest if largest != -np.inf else zero
        keep[x] = exp(top[x] - shift[x])
        share[x] = exp(share[x] - shift[x]) / unit
        top[x] = largest
        total[x] = keep[x] * total[x] + share[x] * part[x]
        # A scale that is NaN is not for those without keys here.
        share[x] = share[x] * v_scale if share[x] != 0 else zero
    # pass 4: output = keep * output + share * (v.T @ powers)
    products[:] = 0
    add_pairs(v.T, powers, products)
    for d in range(output.shape[0]):
        for x in range(lanes):
            output[d, x] = keep[x] * output[d, x] + share[x] * products[d, x]


@kernel()
def _band_tile(
    q, k, k_scale, v, v_scale, is_key, k_extra, v_extra, w, scale, largest, first, key_tile, memory, pairs, context
):  # fmt: skip
    """Compute the context of one head for as many queries from `first` on as `memory` has lanes; see `banded_int16`.

    q: (Q, D) float32
    k: (S, D / 2) int32, words of two numbers
    k_scale: (S,) float32
    v: (S / 2, D) int32, words of two keys
    v_scale: (tiles of keys,) float32
    k_extra, v_extra: (G, D) float32
    memory: (7 + 2D + key_tile, lanes) float32, scratch
    pairs: (D / 2 + key_tile / 2, lanes) int32, scratch
    context: (Q, D) float32
    """
    D, U, S = q.shape[1], k.shape[1], k.shape[0]
    lanes = min(memory.shape[1], q.shape[0] - first)
    sums, q_scale, output, scores = memory[:6], memory[6], memory[7 : 7 + D], memory[7 + 2 * D :]
    queries, whole_queries, powers = memory[7 + D : 7 + 2 * D], pairs[:U], pairs[U:]
    memory[: 7 + 2 * D] = 0  # lanes without a query compute with zeros
    sums[0] = -np.inf
    # pass 1: queries = q[first : first + lanes].T * scale
    load(q[first : first + lanes], scale, queries)
    _round_queries(queries, largest, q_scale, whole_queries)
    # pass 2: the global keys, in floats, as they are few
    for j0 in range(0, k_extra.shape[0], key_tile):
        j1 = min(k_extra.shape[0], j0 + key_tile)
        tile = scores[: j1 - j0]
        tile[:] = 0
        add_product(k_extra[j0:j1], queries, tile)
        absorb(tile, v_extra[j0:j1], sums[:4], output, None)
    # pass 3: the keys of the band; tile = k[j0:j1] @ queries * scales
    stop = min(S, first + lanes + w)
    start = max(0, min(first - w, stop))
    for number in range(start // key_tile, (stop + key_tile - 1) // key_tile):
        # subtle: a tile begins with a pair, and ends with one: behind its last key stands one that nobody sees.
        j0, j1 = max(start // 2 * 2, number * key_tile), min(stop, (number + 1) * key_tile)
        p0, p1 = j0 // 2, (j1 + 1) // 2
        tile = scores[: j1 - j0]
        tile[:] = 0
        for u in range(0, U, DEPTH // 2):
            terms = slice(u, min(U, u + DEPTH // 2))
            add_pairs(k[j0:j1, terms], whole_queries[terms], tile)
        sums[4] = -np.inf
        _score(tile, k_scale, q_scale, is_key, first, j0, w, sums[4])
        scores[j1 - j0 : 2 * (p1 - p0)] = -np.inf
        # The queries are not needed any more: their memory holds the products.
        _absorb_pairs(scores[: 2 * (p1 - p0)], v[p0:p1], v_scale[number], sums, powers[: p1 - p0], queries, output)
    store(output, sums[1], is_key, k_extra.shape[0], w, w, first, context[first : first + lanes])


@kernel(parallel=True)
def _banded_int16(
    q, k, k_scale, v, v_scale, is_key, k_extra, v_extra, w, scale, largest, spans, tiles, key_tile, memory, pairs,
    context,
):  # fmt: skip
    H, _, D = q.shape
    height, height_of_pairs = 7 + 2 * D + key_tile, k.shape[2] + key_tile // 2
    for task in prange(H * tiles.shape[0]):
        h, tile = task // tiles.shape[0], task % tiles.shape[0]
        b, first, query_tile = tiles[tile, 0], tiles[tile, 1], tiles[tile, 2]
        span = spans[b]
        queries, keys, extra = slice(span[0], span[1]), slice(span[2], span[3]), slice(span[4], span[5])
        of_pairs, of_tiles = slice(span[6], span[7]), slice(span[8], span[9])
        _band_tile(
            q[h, queries], k[h, keys], k_scale[h, keys], v[h, of_pairs], v_scale[h, of_tiles], is_key[keys],
            k_extra[h, extra], v_extra[h, extra], w, scale, largest, first, key_tile,
            memory[thread(), : height * query_tile].reshape(height, query_tile),
            pairs[thread(), : height_of_pairs * query_tile].reshape(height_of_pairs, query_tile),
            context[queries, h * D : (h + 1) * D],
        )  # fmt: skip


def banded_int16(
    q: Floats, k: Floats, v: Floats, is_key: Bools, k_extra: Floats, v_extra: Floats, w: int, context: Floats,
    query_tile: int | None = None, key_tile: int | None = None, *, spans: Ids | None = None,
) -> None:  # fmt: skip
    """Write what `banded` writes, by products of whole numbers; all arguments are those of `banded`, in float32.

    The products with extra keys, which are few, are those of floats. NaN or infinity in a query, or in a key or the
    values of a token that it sees, makes NaN; so does one in values that stand in one tile with such a token.

    key_tile: an even number
    """
    H, _, D = q.shape
    key_tile = key_tile or KEY_TILE
    scale, largest = np.float32(1 / math.sqrt(D)), largest_size(D)
    spans = one_document(q, k, k_extra) if spans is None else spans
    starts, counts = spans[:, 2], spans[:, 3] - spans[:, 2]  # keys of each document
    pairs, tiles = (np.cumsum([0, *-(-counts // size)]) for size in (2, key_tile))  # (B + 1,)
    spans = np.column_stack([spans, pairs[:-1], pairs[1:], tiles[:-1], tiles[1:]])
    tiles_of_keys = np.array([
        (start + j0, start + min(count, j0 + key_tile), pair + j0 // 2)
        for start, count, pair in zip(starts.tolist(), counts.tolist(), pairs.tolist(), strict=False)
        for j0 in range(0, count, key_tile)
    ], np.int64).reshape(-1, 3)  # fmt: skip
    keys = rounded_rows(k, largest)
    v_scale, values = np.empty((H, len(tiles_of_keys)), np.float32), np.empty((H, pairs[-1], D), np.int32)
    _round_values(v, is_key, tiles_of_keys, scratch((2, D), np.float32), v_scale, values)
    most = query_tile or QUERY_TILE
    _banded_int16(
        q, words(keys.values), keys.scale, values, v_scale, is_key, k_extra, v_extra, w, scale, np.float32(largest),
        spans, tiles_of(spans[:, 1] - spans[:, 0], w, lanes(q.dtype), query_tile), key_tile,
        scratch(((7 + 2 * D + key_tile) * most,), np.float32),
        scratch((((D + 1) // 2 + key_tile // 2) * most,), np.int32), context,
    )  # fmt: skip
