"""Banded attention in int16: what is exact, bit for bit; the rest within a bound that follows from the rounding."""

import itertools
import math

import numba
import numpy as np
import pytest
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernels import dense_attention, random_arrays

from pyled.kernels import banded, banded_int16
from pyled.kernels.banded_int16 import POWER, VALUE, largest_size

EXAMPLE = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
TILES = st.sampled_from([(4, 8), (16, 16), (5, 2), (banded.QUERY_TILE, banded.KEY_TILE)])


@numba.njit
def round_queries(queries, largest, scale, whole):
    banded_int16._round_queries(queries, largest, scale, whole)


def within_band(q, k, v, is_key, k_extra, v_extra, w, *tiles, spans=None):
    """What the kernel writes; what it leaves out is NaN."""
    H, Q, D = q.shape
    context = np.full((Q, H * D), np.nan, np.float32)
    banded_int16.banded_int16(q, k, v, is_key, k_extra, v_extra, w, context, *tiles, spans=spans)
    return context


def bound(q, k, v, may, G, key_tile):
    """The most by which rounding can change the context of each query of one head, (Q,).

    may: (Q, S + G) bool, with the extra keys behind the S others

    A number of a query or key that is rounded to whole numbers up to L moves by half of its row's largest / L at most;
    so a score moves by `moved` at most, and a power by a factor of exp(moved). Powers of a tile move by half a POWER of
    its largest. Weights p / p.sum() then move, all together, by twice what the p do, relative to their sum.
    """
    D, S = q.shape[1], k.shape[0] - G
    q, L, is_seen = q / math.sqrt(D), largest_size(D), may[:, :S]
    largest_q, largest_k = np.abs(q).max(axis=1)[:, None], np.abs(k[:S]).max(axis=1)
    moved = (np.abs(q).sum(axis=1)[:, None] * largest_k + largest_q * np.abs(k[:S]).sum(axis=1)) / (2 * L)
    moved += D * largest_q * largest_k / (2 * L) ** 2
    most = np.where(is_seen, moved, 0).max(axis=1, initial=0)
    powers = np.expm1(most) + np.exp(most) * key_tile / 2 / POWER
    sizes = np.abs(v).max(axis=1)
    seen_values = np.where(may, sizes, 0).max(axis=1, initial=0)
    return 2 * powers * seen_values + sizes.max(initial=0) / 2 / VALUE


@EXAMPLE
@given(
    S=st.integers(1, 40) | st.sampled_from([63, 64, 65, 127, 128, 129]),
    H=st.integers(1, 2),
    D=st.integers(1, 9) | st.sampled_from([127, 130]),
    w=st.integers(1, 70),
    G=st.integers(0, 10),
    key_share=st.sampled_from([0.0, 0.5, 1.0]),
    loud=st.sampled_from([1, 1, 30]),
    tiles=TILES,
    seed=st.integers(0, 2**32 - 1),
)
def test_int16_is_dense_attention_within_the_band_but_for_what_rounding_moves(
    S, H, D, w, G, key_share, loud, tiles, seed
):
    q, k, v, k_extra, v_extra = random_arrays(seed, np.float32, *[(H, S, D)] * 3, *[(H, G, D)] * 2)
    q[:, :: 2 * w] *= loud  # of such queries, one power is 1 and all others are small
    is_key = np.random.default_rng(seed).random(S) < key_share
    i, j = np.arange(S)[:, None], np.arange(S)
    may = np.concatenate([(abs(i - j) <= w) & is_key, np.ones((S, G), bool)], axis=1)
    keys, values = np.concatenate([k, k_extra], axis=1), np.concatenate([v, v_extra], axis=1)
    truth = dense_attention(q, keys, values, may)
    got = within_band(q, k, v, is_key, k_extra, v_extra, w, *tiles)
    for h in range(H):
        parts = (array[h].astype(np.float64) for array in (q, keys, values))
        error = np.abs(got - truth)[:, h * D : h * D + D].max(axis=1)
        assert (error <= bound(*parts, may, G, tiles[1]) + 1e-5).all()
    assert np.array_equal(got, within_band(q, k, v, is_key, k_extra, v_extra, w, 8, tiles[1]))  # whatever their tile


@pytest.mark.parametrize("w", [1, 2, 3, 4, 5, 7, 8, 9, 23, 24])
def test_int16_at_every_edge_of_a_tile(w):
    """A single key weighs all that it can, so that one too many or one too few is seen."""
    q, k, v, none = random_arrays(w, np.float32, *[(1, 24, 3)] * 3, (1, 0, 3))
    i, j = np.arange(24)[:, None], np.arange(24)
    for S in (24, 21):
        cut, is_key = [array[:, :S].copy() for array in (0 * q, 0 * k, v)], np.ones(S, bool)
        truth = dense_attention(*cut, (abs(i - j) <= w)[:S, :S])
        for tiles in ((4, 8), (6, 2)):
            assert np.abs(within_band(*cut, is_key, none, none, w, *tiles) - truth).max() <= np.abs(v).max() / VALUE


@EXAMPLE
@given(
    lengths=st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20), st.integers(0, 9)), min_size=1, max_size=4),
    w=st.integers(1, 25),
    key_tile=st.sampled_from([2, 8, 64]),
    seed=st.integers(0, 2**32 - 1),
)
def test_int16_documents_one_behind_the_other_have_the_bits_that_each_has_alone(lengths, w, key_tile, seed):
    ends = np.cumsum([(0, 0, 0), *lengths], axis=0)
    Q, S, G = ends[-1].tolist()
    spans = np.stack([ends[:-1], ends[1:]], axis=2).reshape(-1, 6)
    arrays = random_arrays(seed, np.float32, (2, Q, 3), *[(2, S, 3)] * 2, *[(2, G, 3)] * 2)
    is_key = np.random.default_rng(seed).random(S) < 0.8
    together = within_band(*arrays[:3], is_key, *arrays[3:], w, 8, key_tile, spans=spans)
    for span in spans:
        queries, keys, extra = (slice(*span[[i, i + 1]]) for i in (0, 2, 4))
        q, k, v, *extras = (a[:, rows] for a, rows in zip(arrays, (queries, keys, keys, extra, extra), strict=True))
        assert np.array_equal(together[queries], within_band(q, k, v, is_key[keys], *extras, w, 8, key_tile))


def halves(whole, axis):
    """The whole numbers of words of two, which are neighbours along an axis."""
    both = np.stack([(whole << shift >> 16) for shift in (16, 0)], axis=axis + 1)
    return both.reshape(*whole.shape[:axis], -1, *whole.shape[axis + 1 :])


@EXAMPLE
@given(D=st.integers(1, 9), lanes=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_queries_are_rounded_by_the_largest_of_each(D, lanes, seed):
    (queries,) = random_arrays(seed, np.float32, (D, lanes))
    queries *= np.exp(np.random.default_rng(seed).uniform(-80, 80, lanes)).astype(np.float32)
    queries[:, 0] = 0
    scale, whole = np.empty(lanes, np.float32), np.empty(((D + 1) // 2, lanes), np.int32)
    largest = largest_size(D)
    round_queries(queries, np.float32(largest), scale, whole)
    sizes = np.abs(queries).max(axis=0) / np.float32(largest)
    assert np.array_equal(scale, np.where(sizes == 0, np.float32(1), sizes))
    rounded = halves(whole, 0)
    assert np.array_equal(rounded[:D], np.clip(np.rint(queries / scale), -largest, largest))
    assert not rounded[D:].any()
    for odd in (np.nan, np.inf, -np.inf):
        queries[0, 0] = odd
        with np.errstate(all="ignore"):
            round_queries(queries, np.float32(largest), scale, whole)
        assert np.isnan(scale[0]) and not np.isnan(scale[1:]).any()


@EXAMPLE
@given(S=st.integers(1, 30), D=st.integers(1, 9), key_tile=st.sampled_from([2, 4, 16]), seed=st.integers(0, 2**32 - 1))
def test_values_are_rounded_by_the_largest_of_a_tile_without_what_is_no_key(S, D, key_tile, seed):
    (v,) = random_arrays(seed, np.float32, (2, S, D))
    is_key = np.random.default_rng(seed).random(S) < 0.7
    v[:, ~is_key] = np.nan
    tiles = np.array([(j, min(S, j + key_tile), j // 2) for j in range(0, S, key_tile)])
    scale, whole = np.empty((2, len(tiles)), np.float32), np.empty((2, (S + 1) // 2, D), np.int32)
    banded_int16._round_values(v, is_key, tiles, banded_int16.scratch((2, D), np.float32), scale, whole)
    rounded = halves(whole, 1)
    assert not rounded[:, S:].any() and not rounded[:, :S][:, ~is_key].any()
    for tile, (j0, j1, _) in enumerate(tiles.tolist()):
        values = v[:, j0:j1][:, is_key[j0:j1]]
        sizes = np.abs(values).max(axis=(1, 2), initial=0) / np.float32(VALUE)
        assert np.array_equal(scale[:, tile], np.where(sizes == 0, np.float32(1), sizes))
        expected = np.rint(values / scale[:, tile, None, None])
        assert np.array_equal(rounded[:, j0:j1][:, is_key[j0:j1]], expected)


def test_no_sum_leaves_32_bits():
    for D in range(1, 300):
        terms, largest = min(D, banded_int16.DEPTH), largest_size(D)
        assert terms * largest**2 < 2**31 and (largest == 2**15 - 1 or terms * (largest + 1) ** 2 >= 2**31)
    for D in (1, 64, 128, 130, 257):  # the largest sums that there can be, of both signs
        q = np.full((1, 130, D), -1, np.float32)
        for k, v in itertools.product((q, -q), (q, -q)):
            none = q[:, :0]
            got = within_band(q, k, v, np.ones(130, bool), none, none, 130)
            assert np.allclose(got, v[0], rtol=1e-5)


def test_what_is_no_number_reaches_every_query_that_attends_to_it():
    arrays = random_arrays(1, np.float32, *[(1, 30, 4)] * 3)
    is_key, none = np.arange(30) < 25, np.zeros((1, 0, 4), np.float32)  # what lies behind 26 has no key

    def are_no_numbers(odd, place, which, w=2):
        q, k, v = (array.copy() for array in arrays)
        (q, k, v)[which][0, place, 1] = odd
        with np.errstate(all="ignore"):
            context = within_band(q, k, v, is_key, none, none, w, 4, 8)
        return np.flatnonzero(np.isnan(context).any(axis=-1)).tolist()

    for odd in (np.nan, np.inf, -np.inf):
        assert are_no_numbers(odd, 3, 0) == [3]
        assert are_no_numbers(odd, 20, 1) == [18, 19, 20, 21, 22]
        # The keys from 16 to 23 are one tile: who sees one of them has the values of all of them.
        assert are_no_numbers(odd, 20, 2) == list(range(14, 26))
        assert are_no_numbers(odd, 26, 1) == are_no_numbers(odd, 26, 2) == []


def test_a_query_whose_scores_are_all_beyond_the_float_type_is_no_number_and_one_without_keys_is_0():
    q, v, none = random_arrays(1, np.float32, (1, 30, 4), (1, 30, 4), (1, 0, 4))
    q[:] = np.sqrt(np.finfo(np.float32).max)
    k, is_key, has_key = -q, np.isin(np.arange(30), range(3, 20)), np.isin(np.arange(30), range(1, 22))
    with np.errstate(all="ignore"):
        context = within_band(q, k, v, is_key, none, none, 2, 4, 8)
    assert np.isnan(context[has_key]).all() and not context[~has_key].any()
