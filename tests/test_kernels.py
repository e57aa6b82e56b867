"""Every kernel against its plain definition, with random shapes, windows and masks; compiled or not."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from budget import assert_within
from checkpoints import TINY
from examples import EXAMPLES
from hypothesis import example, given, settings
from hypothesis import strategies as st

import pyled
from pyled import reference
from pyled.errors import InputError
from pyled.kernels import banded, elementary, grouped, jit, products, rows, vectors
from pyled.kernels.rounded import Rounded, parts

# The definitions run in float64; a kernel in float32 is granted what rounding its inputs' products costs: the
# arithmetic here is a few hundred operations on numbers of size 1, so the floor of the budget holds.
FLOAT32_ERROR = 1e-6
EXAMPLE = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
DTYPES = st.sampled_from([np.float32, np.float64])
COMPILED = not numba.config.DISABLE_JIT


def random_arrays(seed, dtype, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def output_of(code, *arguments, **environment):
    """What Python code prints in a process of its own."""
    root = str(Path(pyled.__file__).parent.parent)
    command = [sys.executable, "-P", "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": root, **environment}
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout


def dense_attention(q, k, v, may):
    """softmax(q k^T / sqrt(D)) v, head by head, in float64; a row without any key is 0.

    q: (H, Q, D), k and v: (H, S, D), may: (Q, S); returns (Q, H*D)
    """
    q, k, v = (array.astype(np.float64) for array in (q, k, v))
    H, Q, D = q.shape
    out = np.zeros((Q, H * D))
    some = may.any(axis=1)
    for h in range(H):
        scores = np.where(may, q[h] @ k[h].T / math.sqrt(D), -np.inf)
        out[some, h * D : h * D + D] = reference.softmax(scores[some]) @ v[h]
    return out


def in_groups(q, k, v, is_key):
    """`grouped.grouped`, the keys of the groups one behind the other: (N, H, Q, D), (N, H, any, D), is_key: (N, S)."""
    (N, H, Q, D), capacity, n = q.shape, k.shape[2], np.arange(len(q))

    def behind(array):
        return np.ascontiguousarray(array.swapaxes(0, 1)).reshape(1, H, N * capacity, *array.shape[3:])

    k, v = (
        Rounded(*(part if part is None else behind(part) for part in parts(matrix)))
        if isinstance(matrix, Rounded)
        else behind(matrix)
        for matrix in (k, v)
    )
    mask = np.pad(is_key, ((0, 0), (0, capacity - is_key.shape[1]))).ravel()
    groups = np.stack([0 * n, n * capacity, n * capacity + is_key.shape[1], n * Q, n * Q + Q], axis=1)
    of_rows = np.ascontiguousarray(q.swapaxes(1, 2)).reshape(N * Q, H * D)
    return grouped.grouped(of_rows, k, v, mask, groups).reshape(N, Q, H, D).swapaxes(1, 2)


def within_band(q, k, v, is_key, k_extra, v_extra, w, *tiles):
    """What `banded.banded` writes; what it leaves out is NaN."""
    H, Q, D = q.shape
    context = np.full((Q, H * D), np.nan, q.dtype)
    banded.banded(q, k, v, is_key, k_extra, v_extra, w, context, *tiles)
    return context


# The blocks that all products are made of


@numba.njit
def add_product(a, b, c):
    vectors.add_product(a, b, c)


@numba.njit
def add_product_once(a, b, c):
    vectors.add_product_once(a, b, c)


@numba.njit
def add_pairs(a, b, c):
    vectors.add_pairs(a, b, c)


@numba.njit
def dots(x, weight, first, stop, out):
    vectors.dots(x, weight, first, stop, out)


@numba.njit
def transpose(a, b):
    vectors.transpose(a, b)


def stored_as(kind, seed, shape, dtype):
    """Random numbers as they are stored, and the same as floats."""
    (numbers,) = random_arrays(seed, dtype, shape)
    if kind == "int8":
        stored = np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)
        return stored, stored.astype(np.float64)
    if kind == "uint16":
        stored = (numbers.view(np.uint32) >> 16).astype(np.uint16)
        return stored, (stored.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return numbers, numbers.astype(np.float64)


# What the second operand of a product is stored as, and what is computed in. (The halves are those of float32.)
STORED = st.sampled_from(
    [("float", np.float32), ("float", np.float64), ("uint16", np.float32), ("int8", np.float32), ("int8", np.float64)]
)


@EXAMPLE
@given(
    add=st.sampled_from([add_product, add_product_once]),
    R=st.integers(1, 9),
    depth=st.integers(0, 30),
    wide=st.integers(0, 2),
    narrow=st.integers(0, vectors.VECTORS - 1),
    single=st.integers(0, 3),
    is_transposed=st.booleans(),
    stored=STORED,
    seed=st.integers(0, 2**32 - 1),
)
def test_add_product_adds_a_product(add, R, depth, wide, narrow, single, is_transposed, stored, seed):
    """In rows that fill no block, or one and a part; in columns that fill no vector, some, or as many as there are."""
    kind, dtype = stored
    columns = wide * vectors.lanes(dtype) + narrow * vectors.lanes(dtype) // vectors.VECTORS + single
    a, before = random_arrays(seed, dtype, (depth, R) if is_transposed else (R, depth), (R, columns))
    b, exact = stored_as(kind, seed + 1, (depth, columns), dtype)
    a = a.T if is_transposed else a
    a /= np.abs(exact).max(initial=1)
    c = before.copy()
    add(a, b, c)
    assert_within("sum", c, before.astype(np.float64) + a.astype(np.float64) @ exact, FLOAT32_ERROR, dtype)
    for r in range(R):  # the same bits in any company, of rows and of columns
        alone = before[r : r + 1].copy()
        add(np.ascontiguousarray(a[r : r + 1]), b, alone)
        assert np.array_equal(alone[0], c[r])
    for x in range(0, columns, 5):
        alone = np.ascontiguousarray(before[:, x : x + 1])
        add(a, np.ascontiguousarray(b[:, x : x + 1]), alone)
        assert np.array_equal(alone[:, 0], c[:, x])


@EXAMPLE
@given(
    R=st.integers(1, 17),
    words=st.integers(1, 64),
    wide=st.integers(0, 2),
    narrow=st.integers(0, vectors.PAIR_VECTORS - 1),
    single=st.integers(0, 3),
    is_transposed=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_add_pairs_adds_exact_sums_of_whole_numbers(R, words, wide, narrow, single, is_transposed, seed):
    """Bit for bit what 64-bit sums give, up to the largest that 32 bits hold."""
    columns = wide * vectors.lanes(np.int32) + narrow * vectors.lanes(np.int32) // vectors.PAIR_VECTORS
    columns += single or not columns
    rng = np.random.default_rng(seed)
    a, b = (
        rng.integers(-n, n + 1, shape).astype(np.int16)
        for n, shape in ((8191, (R, words, 2)), (2048, (words, columns, 2)))
    )
    a[0], b[:, :1] = 8191, rng.choice([-2048, 2048])
    (before,) = random_arrays(seed, np.float32, (R, columns))
    c, left = before.copy(), a.view(np.int32)[..., 0]
    add_pairs(left.T.copy().T if is_transposed else left, b.view(np.int32)[..., 0], c)
    sums = a.reshape(R, -1).astype(np.int64) @ b.swapaxes(1, 2).reshape(-1, columns).astype(np.int64)
    assert np.array_equal(c, before + sums.astype(np.float32))


@EXAMPLE
@given(
    R=st.integers(1, 9),
    turns=st.integers(0, 2),
    rest=st.integers(0, vectors.VECTOR_BYTES // 4 - 1),
    M=st.integers(1, 2 * vectors.ALONE + 1),
    edges=st.tuples(st.integers(0, 2 * vectors.ALONE + 1), st.integers(0, 2 * vectors.ALONE + 1)),
    stored=STORED,
    seed=st.integers(0, 2**32 - 1),
)
def test_dots_are_products_with_some_rows_of_a_matrix(R, turns, rest, M, edges, stored, seed):
    kind, dtype = stored
    K = turns * vectors.VECTOR_BYTES // np.dtype(dtype).itemsize + rest
    (x,) = random_arrays(seed, dtype, (R, K))
    weight, exact = stored_as(kind, seed + 1, (M, K), dtype)
    x /= np.abs(exact).max(initial=1)
    first, stop = sorted(min(M, edge) for edge in edges)
    out = np.full((R, M), np.nan, dtype)
    dots(x, weight, first, stop, out)
    assert_within("dots", out[:, first:stop], x.astype(np.float64) @ exact[first:stop].T, FLOAT32_ERROR, dtype)
    assert np.isnan(out[:, :first]).all() and np.isnan(out[:, stop:]).all()
    for r in range(R):  # the same bits in any company
        alone = np.full((1, M), np.nan, dtype)
        dots(x[r : r + 1], weight, first, stop, alone)
        assert np.array_equal(alone[0], out[r], equal_nan=True)


# Attention


@EXAMPLE
@given(
    S=st.integers(1, 40),
    H=st.integers(1, 3),
    D=st.integers(1, 9),
    w=st.integers(1, 45),
    G=st.integers(0, 10),
    key_share=st.sampled_from([0.0, 0.5, 1.0]),
    tiles=st.sampled_from([(4, 8), (16, 16), (banded.QUERY_TILE, banded.KEY_TILE)]),
    dtype=DTYPES,
    seed=st.integers(0, 2**32 - 1),
)
def test_banded_is_dense_attention_within_the_band(S, H, D, w, G, key_share, tiles, dtype, seed):
    q, k, v, k_extra, v_extra = random_arrays(seed, dtype, *[(H, S, D)] * 3, *[(H, G, D)] * 2)
    is_key = np.random.default_rng(seed).random(S) < key_share
    i, j = np.arange(S)[:, None], np.arange(S)
    may = np.concatenate([(abs(i - j) <= w) & is_key, np.ones((S, G), bool)], axis=1)
    truth = dense_attention(q, np.concatenate([k, k_extra], axis=1), np.concatenate([v, v_extra], axis=1), may)
    got = within_band(q, k, v, is_key, k_extra, v_extra, w, *tiles)
    assert_within("context", got, truth, FLOAT32_ERROR, dtype)


@pytest.mark.parametrize("w", [1, 2, 3, 4, 5, 7, 8, 9, 23, 24])
def test_banded_at_every_edge_of_a_tile(w):
    """Tiles of 4 queries by 8 keys, where a band begins and ends within a tile, at its edge, and one beyond."""
    q, k, v, none = random_arrays(w, np.float64, *[(1, 24, 3)] * 3, (1, 0, 3))
    i, j = np.arange(24)[:, None], np.arange(24)
    for S in (24, 21):
        cut, is_key = [array[:, :S] for array in (q, k, v)], np.ones(S, bool)
        truth = dense_attention(*cut, (abs(i - j) <= w)[:S, :S])
        got = within_band(*cut, is_key, none, none, w, 4, 8)
        assert_within(f"context of {S}", got, truth, FLOAT32_ERROR)


@EXAMPLE
@given(Q=st.integers(1, 20), S=st.integers(1, 20), seed=st.integers(0, 2**32 - 1), dtype=DTYPES)
def test_banded_with_a_wide_window_is_full_attention_of_any_queries(Q, S, seed, dtype):
    q, k, v, none = random_arrays(seed, dtype, (2, Q, 3), (2, S, 3), (2, S, 3), (2, 0, 3))
    is_key = np.ones(S, bool)
    truth = dense_attention(q, k, v, np.ones((Q, S), bool))
    assert_within("context", within_band(q, k, v, is_key, none, none, max(Q, S), 4, 8), truth, FLOAT32_ERROR)


@EXAMPLE
@given(
    lengths=st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20), st.integers(0, 9)), min_size=1, max_size=4),
    w=st.integers(1, 25),
    dtype=DTYPES,
    seed=st.integers(0, 2**32 - 1),
)
def test_banded_documents_one_behind_the_other_have_the_bits_that_each_has_alone(lengths, w, dtype, seed):
    ends = np.cumsum([(0, 0, 0), *lengths], axis=0)
    Q, S, G = ends[-1].tolist()
    spans = np.stack([ends[:-1], ends[1:]], axis=2).reshape(-1, 6)
    arrays = random_arrays(seed, dtype, (2, Q, 3), *[(2, S, 3)] * 2, *[(2, G, 3)] * 2)
    is_key = np.random.default_rng(seed).random(S) < 0.8
    together = np.full((Q, 6), np.nan, dtype)
    banded.banded(*arrays[:3], is_key, *arrays[3:], w, together, spans=spans)
    for span in spans:
        queries, keys, extra = (slice(*span[[i, i + 1]]) for i in (0, 2, 4))
        q, k, v, *extras = (a[:, rows] for a, rows in zip(arrays, (queries, keys, keys, extra, extra), strict=True))
        alone = within_band(q, k, v, is_key[keys], *extras, w)
        assert np.array_equal(together[queries], alone)


@EXAMPLE
@given(S=st.integers(2, 40), w=st.integers(1, 6), seed=st.integers(0, 2**32 - 1))
def test_what_lies_outside_the_window_changes_no_bit(S, w, seed):
    q, k, v, none = random_arrays(seed, np.float32, *[(2, S, 3)] * 3, (2, 0, 3))
    is_key = np.random.default_rng(seed).random(S) < 0.8
    before = within_band(q, k, v, is_key, none, none, w, 4, 8)
    far = np.random.default_rng(seed).integers(S)
    k[:, far], v[:, far] = 1e30, -1e30
    outside = abs(np.arange(S) - far) > w if is_key[far] else np.ones(S, bool)
    after = within_band(q, k, v, is_key, none, none, w, 4, 8)
    assert np.array_equal(before[outside], after[outside])


def test_attention_survives_scores_of_any_size():
    q, k, v, none = random_arrays(1, np.float32, *[(1, 30, 8)] * 3, (1, 0, 8))
    q *= 1e4  # all but the largest score of a row have probability 0
    i, j = np.arange(30)[:, None], np.arange(30)
    truth = dense_attention(q, k, v, abs(i - j) <= 5)
    got = within_band(q, k, v, np.ones(30, bool), none, none, 5, 4, 8)
    assert np.isfinite(got).all()
    assert_within("context", got, truth, 1e-3)  # float32 scores of 1e4 are known to 1e-3
    lanes = grouped.LANES
    for S in (4 * lanes - 1, 2 * lanes, lanes + 1, lanes, 5, 1):
        q, k, v = random_arrays(S, np.float32, (1, 1, 8, 8), *[(1, 1, S, 8)] * 2)
        q *= 1e4  # in eight rows, the largest score is in many places
        got = in_groups(q, k, v, np.ones((1, S), bool))[0, 0]
        assert np.isfinite(got).all()
        assert_within(f"context of {S}", got, dense_attention(q[0], k[0], v[0], np.ones((8, S), bool)), 1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64] if COMPILED else [np.float64])  # see exp_float32
def test_what_is_no_number_reaches_every_query_that_attends_to_it_and_no_other(dtype):
    q, k, v, none = random_arrays(1, dtype, *[(1, 30, 4)] * 3, (1, 0, 4))
    is_key = np.arange(30) < 25  # what lies behind 26 has no key
    q[0, 3, 2] = k[0, 20, 1] = np.nan

    def are_no_numbers(context):
        return np.flatnonzero(np.isnan(context).any(axis=-1)).tolist()

    assert are_no_numbers(within_band(q, k, v, is_key, none, none, 2, 4, 8)) == [3, 18, 19, 20, 21, 22]
    assert are_no_numbers(within_band(q, k, v, is_key, k[:, 20:21], v[:, :1], 2, 4, 8)) == list(range(30))
    few, keys, values = (array[None] for array in (q[:, :6], k[:, :9], v[:, :9]))
    assert are_no_numbers(in_groups(few, keys, values, np.ones((1, 9), bool))[0, 0]) == [3]
    few, keys, values = few[:, :, :2], k[None, :, 18:22], v[None, :, :4]
    assert are_no_numbers(in_groups(few, keys, values, np.ones((1, 4), bool))[0, 0]) == [0, 1]
    assert are_no_numbers(in_groups(few, keys, values, np.array([[True, True, False, True]]))[0, 0]) == []


@pytest.mark.parametrize("dtype", [np.float32, np.float64] if COMPILED else [np.float64])
def test_a_query_whose_scores_are_all_beyond_the_float_type_is_no_number_and_one_without_keys_is_0(dtype):
    q, v, none = random_arrays(1, dtype, (1, 30, 4), (1, 30, 4), (1, 0, 4))
    q[:] = np.sqrt(np.finfo(dtype).max)
    k, is_key, has_key = -q, np.isin(np.arange(30), range(3, 20)), np.isin(np.arange(30), range(1, 22))
    with np.errstate(all="ignore"):
        context = within_band(q, k, v, is_key, none, none, 2, 4, 8)
        assert np.isnan(context[has_key]).all() and not context[~has_key].any()
        assert np.isnan(within_band(q, k, v, is_key, k[:, :1], v[:, :1], 2, 4, 8)).all()
        for is_any in (True, False):
            few = in_groups(q[None, :, :6], k[None], v[None], np.full((1, 30), is_any))
            assert np.isnan(few).all() == is_any == np.isnan(few).any()


@EXAMPLE
@given(
    N=st.integers(1, 3),
    R=st.integers(1, 5),
    H=st.integers(1, 3),
    S=st.one_of(st.integers(1, 20), st.integers(grouped.LANES - 1, banded.KEY_TILE + 20)),
    D=st.integers(1, 9),
    spare=st.integers(0, 3),
    key_share=st.sampled_from([0.0, 0.5, 1.0]),
    dtype=DTYPES,
    seed=st.integers(0, 2**32 - 1),
)
@example(N=1, R=1, H=1, S=2, D=1, spare=0, key_share=0.5, dtype=np.float64, seed=8)  # the last key is masked
def test_grouped_is_dense_attention_within_each_group(N, R, H, S, D, spare, key_share, dtype, seed):
    q, k, v = random_arrays(seed, dtype, (N, H, R, D), (N, H, S + spare, D), (N, H, S + spare, D))
    is_key = np.random.default_rng(seed).random((N, S)) < key_share
    got = in_groups(q, k, v, is_key)
    for n in range(N):
        may = np.broadcast_to(is_key[n] if is_key[n].any() else np.ones(S, bool), (R, S))  # no key: all alike
        for h in range(H):
            scores_of = q[n, h] if is_key[n].any() else np.zeros_like(q[n, h])
            truth = dense_attention(scores_of[None], k[n, h : h + 1, :S], v[n, h : h + 1, :S], may)
            assert_within("context", got[n, h], truth, FLOAT32_ERROR, dtype)
    if is_key.all():  # a block for each group gives the same bits
        n, of_rows = np.arange(N), np.ascontiguousarray(q.swapaxes(1, 2)).reshape(N * R, H * D)
        in_blocks = grouped.grouped(
            of_rows, k, v, np.ones(S, bool), np.stack([n, 0 * n, 0 * n + S, n * R, n * R + R], axis=1)
        )
        assert np.array_equal(in_blocks.reshape(N, R, H, D).swapaxes(1, 2), got)
        keys, uneven = (k, v, np.ones(S, bool)), np.array([[N - 1, 0, 1, 0, 1], [0, 0, S, 1, N * R]])
        first, rest = of_rows[:1], of_rows[1:]
        if len(rest):  # groups of any sizes
            alone = (
                grouped.grouped(first, *keys, uneven[:1]),
                grouped.grouped(rest, *keys, uneven[1:] - [0, 0, 0, 1, 1]),
            )
            assert np.array_equal(grouped.grouped(of_rows, *keys, uneven), np.concatenate(alone))


def product(multiply, x, weight, bias, H=1, activate=False):
    out = np.full((H, len(x), len(weight) // H), np.nan, x.dtype)
    multiply(x, weight, bias, out, activate=activate)
    return out


@EXAMPLE
@given(
    multiply=st.sampled_from([products.few_rows, products.many_rows]),
    R=st.integers(1, 6) | st.integers(90, 110),
    K=st.integers(1, 50) | st.integers(250, 260),
    H=st.integers(1, 4),
    D=st.integers(1, 40),
    dtype=DTYPES,
    seed=st.integers(0, 2**32 - 1),
)
def test_products_of_rows_are_parted_into_heads_and_a_row_does_not_depend_on_its_company(
    multiply, R, K, H, D, dtype, seed
):
    x, weight, bias = random_arrays(seed, dtype, (R, K), (H * D, K), (H * D,))
    exact = x.astype(np.float64) @ weight.T.astype(np.float64) + bias
    for truth, activate in ((exact, False), (reference.activation(exact, "gelu"), True)):
        got = product(multiply, x, weight, bias, H, activate)
        assert_within("product", got, truth.reshape(R, H, D).swapaxes(0, 1), FLOAT32_ERROR, dtype)
        for r in range(0, R, 7):
            assert np.array_equal(product(multiply, x[r : r + 1], weight, bias, H, activate)[:, 0], got[:, r])


def test_sixteen_rows_are_few():
    chosen = [products.multiplication(rows) for rows in (1, 16, 17)]
    assert chosen == [products.few_rows, products.few_rows, products.many_rows]


def test_many_rows_are_all_computed_whatever_the_size_of_a_chunk(monkeypatch):
    x, weight, bias = random_arrays(1, np.float32, (301, 20), (70, 20), (70,))
    one = product(products.many_rows, x, weight, bias)
    for chunk in (1, 64, 100, 300, 301):
        monkeypatch.setattr(products, "CHUNK", chunk)
        assert np.array_equal(product(products.many_rows, x, weight, bias), one)


@EXAMPLE
@given(
    H=st.integers(1, 3),
    R=st.integers(1, 20),
    U=st.integers(0, 50) | st.integers(250, 260),
    M=st.integers(1, 110),
    dtype=DTYPES,
    seed=st.integers(0, 2**32 - 1),
)
def test_products_head_by_head(H, R, U, M, dtype, seed):
    x, y = random_arrays(seed, dtype, (H, R, U), (H, U, M))
    truth = x.astype(np.float64) @ y.astype(np.float64)
    assert_within("sums", products.weighted_sums(x, y), truth, FLOAT32_ERROR, dtype)
    weight = np.ascontiguousarray(y.swapaxes(1, 2))
    got = products.by_head(x, weight)
    assert_within("products", got, truth, FLOAT32_ERROR, dtype)
    for h in range(H):
        assert np.array_equal(got[h], product(products.few_rows, x[h], weight[h], np.zeros(M, dtype))[0])


@EXAMPLE
@given(M=st.integers(1, 40), U=st.integers(1, 40), stored=STORED, seed=st.integers(0, 2**32 - 1))
def test_transpose_exchanges_rows_and_columns_and_widens(M, U, stored, seed):
    kind, dtype = stored
    a, exact = stored_as(kind, seed, (M, U), dtype)
    b = np.full((U, M + 3), np.nan, dtype)
    transpose(a, b[:, :M])
    assert np.array_equal(b[:, :M], exact.T)
    assert np.isnan(b[:, M:]).all()


@EXAMPLE
@given(R=st.integers(2, 5), S=st.integers(1, 90), D=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
def test_a_row_of_grouped_attention_does_not_depend_on_its_company(R, S, D, seed):
    q, k, v = random_arrays(seed, np.float32, (1, 2, R, D), (1, 2, S, D), (1, 2, S, D))
    together = in_groups(q, k, v, np.ones((1, S), bool))
    for r in range(R):
        alone = in_groups(q[:, :, r : r + 1], k, v, np.ones((1, S), bool))
        assert np.array_equal(alone[:, :, 0], together[:, :, r])


@EXAMPLE
@given(N=st.integers(1, 5), E=st.integers(1, 40), dtype=DTYPES, seed=st.integers(0, 2**32 - 1))
def test_residual_and_norm_in_one_pass(N, E, dtype, seed):
    x, y, weight, bias = random_arrays(seed, dtype, (N, E), (N, E), (E,), (E,))
    named = {"n.weight": weight.astype(np.float64), "n.bias": bias.astype(np.float64)}
    truth = reference.layer_norm(x.astype(np.float64) + y, named, "n")
    rows.add_norm(x, y, weight, bias, reference.LAYER_NORM_EPSILON, out=y)
    # For a variance near 0 the sum's own rounding is divided by it: seen with E = 2 and near-equal elements.
    spread = max(1.0, float(np.max(np.abs(weight)) / np.sqrt(1e-5 + (x + y).var(axis=1).min())))
    assert_within("norm", y, truth, FLOAT32_ERROR * spread, dtype)


@pytest.mark.parametrize("E", [2, 7, 100])
@pytest.mark.parametrize(("size", "is_number"), [(1e17, True), (1e21, False), (3e38, False), (np.inf, False)])
def test_a_norm_beyond_float32_is_no_number_and_never_the_bias(E, size, is_number):
    x, weight, bias = random_arrays(E, np.float32, (2, E), (E,), (E,))
    x[0] = np.where(np.arange(E) % 2, size, -size)
    with np.errstate(all="ignore"):
        exact = reference.layer_norm(x.astype(np.float64), {"n.weight": weight, "n.bias": bias}, "n")
        truth = reference.layer_norm(x, {"n.weight": weight, "n.bias": bias}, "n")
        rows.add_norm(x, np.zeros_like(x), weight, bias, reference.LAYER_NORM_EPSILON, out=x)
    for got in (x, truth):
        assert_within("ordinary row", got[1], exact[1], 1e-5, np.float32)
        if is_number:
            assert_within("large row", got[0], exact[0], 1e-5, np.float32)
        else:
            assert np.isnan(got[0]).all()


@EXAMPLE
@given(
    N=st.integers(1, 4), H=st.integers(1, 3), P=st.integers(0, 9), room=st.integers(0, 4), dtype=DTYPES, data=st.data()
)
def test_the_past_of_rows_in_another_order(N, H, P, room, dtype, data):
    order = data.draw(st.lists(st.integers(0, N - 1), max_size=5))
    (past,) = random_arrays(0, dtype, (N, H, P + 2, 5))
    selected = np.full((len(order), H, P + room, 5), np.nan, dtype)
    rows.select_past(past, P, np.array(order, np.int64), selected)
    assert np.array_equal(selected[:, :, :P], past[order, :, :P])
    assert np.isnan(selected[:, :, P:]).all()


def test_gelu_over_the_whole_range_of_float32():
    x = np.concatenate([np.linspace(-40, 40, 4001), [1e-30, -1e-30, 1e30, -1e30, np.inf]]).astype(np.float32)
    got = np.array([elementary.gelu_float32(value) for value in x])
    truth = np.array([value * 0.5 * math.erfc(-value * math.sqrt(0.5)) for value in x.astype(np.float64)])
    finite = np.isfinite(truth)
    assert np.array_equal(got[~finite], truth[~finite])
    error = np.abs(got[finite] - truth[finite])
    assert np.all(error <= 1.5e-7 * np.maximum(1, np.abs(truth[finite])))


def test_exp_is_0_for_what_is_masked_and_good_to_a_unit_and_a_half_elsewhere():
    assert elementary.exp_float32(np.float32(-np.inf)) == 0
    assert elementary.exp_float32(np.float32(0)) == 1
    x = np.linspace(-87, 0, 5001).astype(np.float32)
    got = np.array([elementary.exp_float32(value) for value in x], np.float64)
    truth = np.exp(x.astype(np.float64))
    assert np.max(np.abs(got - truth) / truth) <= 1.5 * 2.0**-23


@pytest.mark.skipif(not COMPILED, reason="NUMBA_DISABLE_JIT is set: there is nothing compiled to count")
def test_models_have_each_kernel_compiled_once_per_float_type_and_without_allocations():
    """The band's also with the logarithms of sums, with dropout, and with both; its backward with dropout.

    An array that is cut, strided, unaligned or not read-only where others are would add a signature.

    Machine code that cannot allocate leaves its task undone, and nobody is told: it names no function that allocates.
    """
    code = (Path(__file__).parent / "specialisations.py").read_text(encoding="utf-8")
    lines = output_of(code, TINY, "float32", "float64").splitlines()
    of_model = ("_banded", "_grouped", "_add_norm", "select_past", "gelu_rows")
    of_training = ("_banded_back", "_add_norm_back", "gelu_back", "_back", "_drop", "_adamw")
    kernels = (*of_model, *of_training, "_few_rows", "_many_rows", "_by_head", "_weighted_sums")
    times = {"_banded": 4, "_banded_back": 2}
    types = {name: times.get(name, 1) * ["float32"] + times.get(name, 1) * ["float64"] for name in kernels}
    assert sorted(lines) == sorted(" ".join([name, *types[name]]) for name in kernels)
    allocates = re.compile(rb"NRT_(?:Allocate|Reallocate|MemInfo_(?:alloc|new|varsize))")
    names = {path.name.split("-")[0]: allocates.findall(path.read_bytes()) for path in jit._folder().iterdir()}
    assert len(names) >= len(kernels) and set().union(*names.values()) == set(), names


@pytest.mark.skipif(not COMPILED, reason="NUMBA_DISABLE_JIT is set: nothing runs in parallel")
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")
def test_one_thread_gives_the_bits_of_two():
    one, two = (output_of(ALL_KERNELS, threads) for threads in (1, 2))
    assert one == two


@pytest.mark.skipif(not COMPILED, reason="NUMBA_DISABLE_JIT is set: nothing runs in parallel")
@EXAMPLE
@given(
    S=st.integers(1, 200),
    H=st.integers(1, 3),
    D=st.integers(1, 9),
    w=st.integers(1, 50),
    threads=st.integers(1, numba.config.NUMBA_NUM_THREADS),
    dtype=DTYPES,
    seed=st.integers(0, 2**32 - 1),
)
def test_any_number_of_threads_gives_the_same_bits(S, H, D, w, threads, dtype, seed):
    q, k, v, k_extra, v_extra = random_arrays(seed, dtype, *[(H, S, D)] * 3, *[(H, 2, D)] * 2)
    x, weight, bias = random_arrays(seed + 1, dtype, (3, H * D), (3 * S, H * D), (3 * S,))
    results = []
    try:
        for count in (1, threads):
            jit.set_threads(count)
            context = within_band(q, k, v, np.ones(S, bool), k_extra, v_extra, w)
            both = (products.few_rows, products.many_rows)
            results.append((context, *(product(multiply, x, weight, bias) for multiply in both)))
    finally:
        jit.set_threads(None)
    for one, many in zip(*results, strict=True):
        assert np.array_equal(one, many)


@pytest.mark.skipif(not COMPILED, reason="NUMBA_DISABLE_JIT is set: nothing runs in parallel")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_without_threads_kernels_give_the_same_bits(dtype, monkeypatch):
    """As in a child that OpenMP would end; sizes that fill no vector, one, and many."""

    def results():
        for S, H, D in ((5, 1, 3), (33, 2, 8), (300, 3, 13)):
            q, k, v, k_extra, v_extra = random_arrays(S, dtype, *[(H, S, D)] * 3, *[(H, 2, D)] * 2)
            x, y, weight = random_arrays(S + 1, dtype, *[(S, H * D)] * 3)
            bias, scale, shift = random_arrays(S + 2, dtype, (S,), *[(H * D,)] * 2)
            yield within_band(q, k, v, np.arange(S) % 7 > 0, k_extra, v_extra, 40)
            yield in_groups(q[None, :, :4], k[None], v[None], np.ones((1, S), bool))
            for activate in (False, True):
                yield product(products.few_rows, x[:4], weight, bias, activate=activate)
                yield product(products.many_rows, x, weight, bias, activate=activate)
            yield products.weighted_sums(x[None], y.T[None].copy())
            rows.add_norm(x, y, scale, shift, 1e-5, x)
            yield x
            rows.select_past(q[None], S, np.zeros(2, np.int64), both := np.empty((2, H, S, D), dtype))
            yield both

    expected = list(results())
    monkeypatch.setattr(jit, "_has_lost_its_threads", True)
    assert all(np.array_equal(a, b) for a, b in zip(expected, results(), strict=True))


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2", 10**6])
def test_a_wrong_number_of_threads_is_refused_and_changes_nothing(count):
    with pytest.raises(InputError, match="a whole number between 1 and"):
        jit.set_threads(count)
    x, weight, bias = random_arrays(4, np.float32, (2, 6), (5, 6), (5,))
    assert np.isfinite(product(products.few_rows, x, weight, bias)).all()


ALL_KERNELS = """
import hashlib, itertools, sys
import numpy as np
from pyled.kernels import adamw, banded, banded_back, banded_int16, dropout, grouped, jit, products, rows
if sys.argv[1:]:
    jit.set_threads(int(sys.argv[1]))
rng = np.random.default_rng(0)
def some(*shape):
    return rng.standard_normal(shape).astype(np.float32)
q, k, v, x, y = some(4, 76, 6), some(4, 76, 6), some(4, 76, 6), some(2076, 40), some(76, 24)
context = np.empty_like(y)
rows.add_norm(some(76, 24), y, some(24), some(24), 1e-5, y)
rows.select_past(q[None], 70, np.array([0, 0]), both := np.zeros((2, 4, 76, 6), np.float32))
banded.banded(q, k, v, np.ones(76, bool), some(4, 2, 6), some(4, 2, 6), 4, context)
results = [y, both, context.copy(), products.weighted_sums(q, some(4, 6, 200))]
banded_int16.banded_int16(q, k, v, np.ones(76, bool), some(4, 2, 6), some(4, 2, 6), 4, context)
results.append(context)
results += [some(76, 24), some(24), some(24), some(60, 40), some(60)]
rows.add_norm_back(some(76, 24), y, y, some(24), 1e-5, *results[-5:-2])
products.back_to_weight(upstream := some(2076, 60), x, *results[-2:])
results += [some(2076, 40), some(50, 30), np.ones((50, 30), np.float32)]
products.back_to_rows(upstream, some(60, 40), results[-3], add=True)
rows.gelu_back(some(50, 30), results[-2])
dropout.drop(results[-1], np.arange(50, dtype=np.uint32), 0.1)
step = [some(50000) for _ in range(2)] + [np.zeros(50000, np.float32) for _ in range(2)]
adamw.adamw(*step, 1, lr=0.1, betas=(0.9, 0.999), epsilon=1e-8, weight_decay=0.01)
results += step
for multiply, activate in itertools.product((products.few_rows, products.many_rows), (False, True)):
    results.append(np.empty((2, len(x), 30), np.float32))
    multiply(x, some(60, 40), some(60), results[-1], activate=activate)
dropped = dropout.Dropped(np.arange(304, dtype=np.uint32).reshape(4, 76), np.arange(76), np.arange(2), 0.1)
arrays = q, k, v, np.ones(76, bool), some(4, 2, 6), some(4, 2, 6), 40
results += [np.empty((76, 24), np.float32), np.empty((4, 76), np.float32)]
results += [np.empty_like(arrays[i]) for i in (0, 1, 2, 4, 5)]
banded.banded(*arrays, results[-7], log_sums=results[-6], dropped=dropped)
banded_back.banded_back(some(76, 24), *arrays, *results[-7:], dropped=dropped)
keys = some(1, 4, 76, 6), some(1, 4, 76, 6), np.ones(76, bool), np.array([[0, 0, 70, 0, 4], [0, 70, 76, 4, 5]])
results.append(grouped.grouped(some(5, 24), *keys))
print([hashlib.sha256(np.ascontiguousarray(result).tobytes()).hexdigest() for result in results])
"""


@pytest.mark.skipif(not COMPILED, reason="NUMBA_DISABLE_JIT is set: nothing is compiled")
def test_the_process_that_compiles_gets_the_bits_of_those_that_load(tmp_path):
    runs = [output_of(ALL_KERNELS, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)]
    assert list(tmp_path.rglob("*._banded-parallel-*"))
    assert runs[0] == runs[1]


def test_vectors_are_those_of_the_processor_that_numba_compiles_for():
    code = "from pyled.kernels import vectors; print(vectors.VECTOR_BYTES, vectors.CACHE)"
    assert output_of(code, NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES="") == "32 2\n"
    assert output_of(code, NUMBA_CPU_NAME="znver4", NUMBA_CPU_FEATURES="+avx512f") == "64 1\n"


INT16 = """
import hashlib, numba, numpy as np
from pyled.kernels import products, rounded, vectors
rng = np.random.default_rng(0)
x, weight, bias = (rng.standard_normal(shape).astype(np.float32) for shape in ((50, 201), (70, 201), (70,)))
out = np.empty((2, 50, 35), np.float32)
products.many_rows(x, rounded.rounded(weight, "int16"), bias, out)
multiply = numba.njit(lambda a, b, c: vectors.add_pairs(a, b, c))
multiply(np.ones((2, 3), np.int32), np.ones((3, 100), np.int32), np.zeros((2, 100), np.float32))
code = "".join(multiply.inspect_asm().values()) if multiply.signatures else ""
print(hashlib.sha256(out.tobytes()).hexdigest(), vectors.VECTOR_BYTES, "vpmaddwd" in code or "vpdpwssd" in code)
"""


@pytest.mark.skipif(not COMPILED or "+avx2" not in vectors.FEATURES, reason="no other code can run here")
def test_int16_has_the_same_bits_on_a_processor_with_narrower_vectors():
    here, there = output_of(INT16), output_of(INT16, NUMBA_CPU_NAME="znver3", NUMBA_CPU_FEATURES="")
    assert (here.split()[0], there.split()[1:]) == (there.split()[0], ["32", "True"])


def test_nobody_outside_the_kernels_knows_numba_its_files_or_its_threads():
    package = Path(pyled.__file__).parent
    for path in set(package.rglob("*.py")) - set((package / "kernels").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"import numba|NUMBA_|openblas|_num_threads|kernels-|GOMP|OMP_", text, re.IGNORECASE) == [], (
            path
        )
