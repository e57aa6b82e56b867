"""The backward pass of the band, and causal windows and dropout in the forward one, against dense softmax."""

import math

import numpy as np
from budget import assert_within
from hypothesis import given
from hypothesis import strategies as st
from test_kernels import DTYPES, EXAMPLE, FLOAT32_ERROR, random_arrays

from pyled.kernels import banded, banded_back
from pyled.kernels.dropout import Dropped, uniform

TILES = st.sampled_from([(4, 8), (16, 16), (5, 3), (None, None)])


def attention(seed, dtype, H, Q, S, G, D, key_share):
    """Random (q, k, v, is_key, k_extra, v_extra), and the gradient of the context."""
    *qkv, k_extra, v_extra, upstream = random_arrays(
        seed, dtype, (H, Q, D), (H, S, D), (H, S, D), (H, G, D), (H, G, D), (Q, H * D)
    )
    return (*qkv, np.random.default_rng(seed).random(S) < key_share, k_extra, v_extra), upstream


def within_band(q, k, v, is_key, k_extra, v_extra, w, tiles=(None, None), **options):
    """The context and the log sums that `banded` writes; what it leaves out is NaN."""
    H, Q, D = q.shape
    context, log_sums = np.full((Q, H * D), np.nan, q.dtype), np.full((H, Q), np.nan, q.dtype)
    banded.banded(q, k, v, is_key, k_extra, v_extra, w, context, *tiles, log_sums=log_sums, **options)
    return context, log_sums


def backward(upstream, arrays, w, tiles=(None, None), **options):
    """The gradients that `banded_back` writes, of q, k, v, k_extra, v_extra; what it leaves out is NaN."""
    context, log_sums = within_band(*arrays, w, tiles, **options)
    outs = [np.full_like(arrays[i], np.nan) for i in (0, 1, 2, 4, 5)]
    banded_back.banded_back(upstream, *arrays, w, context, log_sums, *outs, *tiles, **options)
    return outs


def dropped_of(seed, H, Q, S, G, rate):
    """A Dropped with random keys; the extra keys have columns of their own."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 2**32, (H, Q), np.uint32)
    columns = rng.permutation(S + G).astype(np.int64)
    return Dropped(keys, columns[:S].copy(), columns[S:].copy(), rate)


def dense(arrays, w, ahead, dropped=None):
    """The definition, in float64: context (Q, H*D), log_sums (H, Q), and a function from upstream to gradients."""
    q, k, v, is_key, k_extra, v_extra = (array.astype(np.float64) for array in arrays)
    (H, Q, D), S = q.shape, k.shape[1]
    i, j = np.arange(Q)[:, None], np.arange(S)
    may = np.concatenate([(i - w <= j) & (j <= i + ahead) & (is_key > 0), np.ones((Q, k_extra.shape[1]), bool)], axis=1)
    k, v = np.concatenate([k, k_extra], axis=1), np.concatenate([v, v_extra], axis=1)
    scores = np.where(may, q @ k.swapaxes(1, 2) / math.sqrt(D), -np.inf)
    with np.errstate(divide="ignore"):
        log_sums = np.log(np.exp(scores).sum(axis=2))
    probs = np.exp(scores - np.where(np.isfinite(log_sums), log_sums, 0)[..., None])
    factor = 1.0
    if dropped is not None:
        columns = np.concatenate([dropped.columns, dropped.extra_columns])
        hashes = np.array([[[int(uniform(key, x)) for x in columns] for key in keys] for keys in dropped.keys])
        factor = (hashes.reshape(H, Q, -1) >= dropped.rate * 2**32) / (1 - dropped.rate)
    context = ((probs * factor) @ v).swapaxes(0, 1).reshape(Q, H * D)

    def back(upstream):
        upstream = upstream.astype(np.float64).reshape(Q, H, D).swapaxes(0, 1)
        d_probs = upstream @ v.swapaxes(1, 2) * factor
        d_scores = probs * (d_probs - (probs * d_probs).sum(axis=2, keepdims=True)) / math.sqrt(D)
        d_k, d_v = d_scores.swapaxes(1, 2) @ q, (probs * factor).swapaxes(1, 2) @ upstream
        return d_scores @ k, d_k[:, :S], d_v[:, :S], d_k[:, S:], d_v[:, S:]

    return context, log_sums, back


@EXAMPLE
@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(0, 40), st.integers(0, 9), st.integers(1, 9)),
    w=st.integers(1, 45),
    ahead=st.one_of(st.none(), st.integers(0, 12)),
    key_share=st.sampled_from([0.0, 0.5, 1.0]),
    rate=st.sampled_from([None, 0.0, 0.25, 0.9]),
    tiles=TILES,
    dtype=DTYPES,
    seed=st.integers(0, 2**32 - 1),
)
def test_the_band_and_its_gradients_are_those_of_dense_softmax(sizes, w, ahead, key_share, rate, tiles, dtype, seed):
    H, Q, S, G, _ = sizes
    arrays, upstream = attention(seed, dtype, *sizes, key_share)
    dropped = None if rate is None else dropped_of(seed, H, Q, S, G, rate)
    context, log_sums, back = dense(arrays, w, w if ahead is None else ahead, dropped)
    options = {"ahead": ahead, "dropped": dropped}
    some, sums = within_band(*arrays, w, tiles, **options)
    assert_within("context", some, context, FLOAT32_ERROR, dtype)
    has_key = np.isfinite(log_sums)
    assert np.array_equal(sums[~has_key], log_sums[~has_key])
    assert_within("log sums", sums[has_key], log_sums[has_key], FLOAT32_ERROR, dtype)
    outs = backward(upstream, arrays, w, tiles, **options)
    for name, out, truth in zip(("q", "k", "v", "k_extra", "v_extra"), outs, back(upstream), strict=True):
        assert_within(f"gradient of {name}", out, truth, 4 * FLOAT32_ERROR, dtype)
    d_q, d_k, d_v, *_ = outs
    assert not d_q[~has_key].any() and not d_k[:, ~arrays[3]].any() and not d_v[:, ~arrays[3]].any()
