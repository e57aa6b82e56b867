"""The band's gradients, and what a training step asks of the forward band, against dense softmax; compiled or not."""

import math

import numba
import numpy as np
import pytest
from budget import assert_within, err
from hypothesis import given
from hypothesis import strategies as st
from test_kernels import COMPILED, DTYPES, EXAMPLE, random_arrays

from pyled.kernels import banded, banded_back, jit
from pyled.kernels.dropout import Dropped, uniform

TILES = st.sampled_from([(4, 8), (16, 16), (5, 3), (None, None)])
SEEDS = st.integers(0, 2**32 - 1)
NAMES = "q", "k", "v", "k_extra", "v_extra"


def attention(seed, dtype, H, Q, S, G, D, key_share=1.0):
    """Random (q, k, v, is_key, k_extra, v_extra), and a gradient of the context."""
    shapes = (H, Q, D), (H, S, D), (H, S, D), (H, G, D), (H, G, D), (Q, H * D)
    *qkv, k_extra, v_extra, upstream = random_arrays(seed, dtype, *shapes)
    return (*qkv, np.random.default_rng(seed).random(S) < key_share, k_extra, v_extra), upstream


def within_band(q, k, v, is_key, k_extra, v_extra, w, tiles=(None, None), **options):
    """The context and the log sums that `banded` writes; what it leaves out is NaN."""
    H, Q, D = q.shape
    context, log_sums = np.full((Q, H * D), np.nan, q.dtype), np.full((H, Q), np.nan, q.dtype)
    banded.banded(q, k, v, is_key, k_extra, v_extra, w, context, *tiles, log_sums=log_sums, **options)
    return context, log_sums


def backward(upstream, arrays, w, tiles=(None, None), **options):
    """The gradients that `banded_back` writes, as in NAMES; what it leaves out is NaN."""
    context, log_sums = within_band(*arrays, w, tiles, **options)
    outs = [np.full_like(arrays[i], np.nan) for i in (0, 1, 2, 4, 5)]
    banded_back.banded_back(upstream, *arrays, w, context, log_sums, *outs, *tiles, **options)
    return outs


def dropped_of(seed, H, Q, S, G, rate):
    """Random keys of the hash, and columns in a random order; None for the rate None."""
    rng = np.random.default_rng(seed)
    keys, columns = rng.integers(0, 2**32, (H, Q), np.uint32), rng.permutation(S + G)
    return None if rate is None else Dropped(keys, columns[:S].copy(), columns[S:].copy(), rate)


class Dense:
    """The definition in NumPy, with one row of all keys and extra keys for each query, in a float type."""

    def __init__(self, arrays, w, ahead, dropped, dtype=np.float64):
        q, k, v, k_extra, v_extra = (arrays[i].astype(dtype) for i in (0, 1, 2, 4, 5))
        (self.H, self.Q, self.D), self.S = q.shape, k.shape[1]
        i, j = np.arange(self.Q)[:, None], np.arange(self.S)
        may = (i - w <= j) & (j <= i + (w if ahead is None else ahead)) & arrays[3]
        may = np.concatenate([may, np.ones((self.Q, k_extra.shape[1]), bool)], axis=1)
        self.q, self.scale = q, dtype(1 / math.sqrt(self.D))
        self.k, self.v = np.concatenate([k, k_extra], axis=1), np.concatenate([v, v_extra], axis=1)
        scores = np.where(may, q @ self.k.swapaxes(1, 2) * self.scale, -np.inf)
        top = np.where(may.any(axis=1)[:, None], scores.max(axis=2, keepdims=True, initial=-np.inf), 0)
        powers = np.exp(scores - top)
        total = powers.sum(axis=2, keepdims=True)
        self.probs = powers / np.where(total == 0, 1, total)
        with np.errstate(divide="ignore"):
            self.log_sums = np.where(total == 0, -np.inf, top + np.log(total))[..., 0]
        self.factor = np.ones_like(self.probs)
        if dropped is not None:
            columns = np.concatenate([dropped.columns, dropped.extra_columns])
            stays = uniform(dropped.keys[..., None], columns) >= dropped.rate * 2**32
            self.factor = (stays / (1 - dropped.rate)).astype(dtype) if dropped.rate < 1 else 0 * self.factor
        self.context = ((self.probs * self.factor) @ self.v).swapaxes(0, 1).reshape(self.Q, -1)

    def back(self, upstream):
        """The gradients, as in NAMES, by the formulas for a whole row; nothing is known of log sums."""
        g = upstream.astype(self.q.dtype).reshape(self.Q, self.H, self.D).swapaxes(0, 1)
        d_probs = g @ self.v.swapaxes(1, 2) * self.factor
        mean = (self.probs * d_probs).sum(axis=2, keepdims=True)
        return self.products(self.probs * (d_probs - mean) * self.scale, g, self.q, self.k)

    def products(self, d_scores, g, q, k):
        """The gradients, from those of the scores and of the context of each head."""
        d_k, d_v = d_scores.swapaxes(1, 2) @ q, (self.probs * self.factor).swapaxes(1, 2) @ g
        return d_scores @ k, d_k[:, : self.S], d_v[:, : self.S], d_k[:, self.S :], d_v[:, self.S :]

    def errors(self, upstream, unit):
        """Bounds of the kernel's rounding errors, as in NAMES; `unit` is that of a single operation.

        A probability is off by a share of itself: the errors of its score, of its log sum and of exp. A gradient is off
        by that share, and the shares of its sums, of the sum of the sizes of its terms.
        """
        n, D = self.k.shape[1] + self.Q, self.D
        q, k, v, g = (np.abs(array) for array in (self.q, self.k, self.v, upstream.astype(np.float64)))
        size_of_scores = (q @ k.swapaxes(1, 2) * self.scale).max(initial=0)
        share = unit * (3 * (n + D + 8) + 2 * (D + 4) * size_of_scores)
        g = g.reshape(self.Q, self.H, D).swapaxes(0, 1)
        d_probs = g @ v.swapaxes(1, 2) * self.factor
        d_scores = self.probs * (d_probs + (self.probs * d_probs).sum(axis=2, keepdims=True)) * self.scale
        return [3 * share * each + 1e-30 for each in self.products(d_scores, g, q, k)]

    def along(self, d_q, d_k, d_v, d_k_extra, d_v_extra):
        """How the context changes along a direction: the derivative forward, which knows no transposed product."""
        d_k, d_v = np.concatenate([d_k, d_k_extra], axis=1), np.concatenate([d_v, d_v_extra], axis=1)
        d_scores = (d_q @ self.k.swapaxes(1, 2) + self.q @ d_k.swapaxes(1, 2)) * self.scale
        d_probs = self.probs * (d_scores - (self.probs * d_scores).sum(axis=2, keepdims=True))
        change = (d_probs * self.factor) @ self.v + (self.probs * self.factor) @ d_v
        return change.swapaxes(0, 1).reshape(self.Q, -1)


BANDS = {
    "sizes": st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(0, 40), st.integers(0, 9), st.integers(1, 9)),
    "w": st.integers(1, 45),
    "ahead": st.one_of(st.none(), st.integers(0, 12)),
    "key_share": st.sampled_from([0.0, 0.5, 1.0]),
    "rate": st.sampled_from([None, 0.0, 0.25, 0.9, 1.0]),
    "tiles": TILES,
    "seed": SEEDS,
}


@EXAMPLE
@given(**BANDS, size=st.sampled_from([1, 1, 100]), dtype=DTYPES)
def test_the_band_and_its_gradients_are_those_of_dense_softmax(
    sizes, w, ahead, key_share, rate, tiles, size, dtype, seed
):
    arrays, upstream = attention(seed, dtype, *sizes, key_share)
    arrays[0][:] *= dtype(size)
    options = {"ahead": ahead, "dropped": dropped_of(seed, *sizes[:4], rate)}
    truth, rough = (Dense(arrays, w, *options.values(), kind) for kind in (np.float64, np.float32))
    context, log_sums = within_band(*arrays, w, tiles, **options)
    assert_within("context", context, truth.context, err(rough.context, truth.context), dtype)
    has_key = np.isfinite(truth.log_sums)
    assert np.array_equal(log_sums[~has_key], truth.log_sums[~has_key])
    sums = truth.log_sums[has_key]
    assert_within("log sums", log_sums[has_key], sums, err(rough.log_sums[has_key], sums), dtype)
    outs = backward(upstream, arrays, w, tiles, **options)
    errors = truth.errors(upstream, np.finfo(dtype).eps)
    for name, out, exact, bound in zip(NAMES, outs, truth.back(upstream), errors, strict=True):
        assert out.dtype == dtype and np.all(np.abs(out - exact) <= bound), name
    d_q, d_k, d_v, *_ = outs
    assert not d_q[~has_key].any() and not d_k[:, ~arrays[3]].any() and not d_v[:, ~arrays[3]].any()


@EXAMPLE
@given(**BANDS)
def test_the_gradients_are_the_adjoint_of_the_derivative(sizes, w, ahead, key_share, rate, tiles, seed):
    """<change of the context along a direction, upstream> = <direction, gradients>: exact, no step size."""
    arrays, upstream = attention(seed, np.float64, *sizes, key_share)
    options = {"ahead": ahead, "dropped": dropped_of(seed, *sizes[:4], rate)}
    direction = random_arrays(seed + 1, np.float64, *(arrays[i].shape for i in (0, 1, 2, 4, 5)))
    change = Dense(arrays, w, *options.values()).along(*direction)
    left = change.ravel() @ upstream.ravel()
    outs = backward(upstream, arrays, w, tiles, **options)
    right = sum(d.ravel() @ out.ravel() for d, out in zip(direction, outs, strict=True))
    scale = np.linalg.norm(change) * np.linalg.norm(upstream) + sum(
        np.abs(d * o).sum() for d, o in zip(direction, outs, strict=True)
    )
    assert abs(left - right) <= 1e-13 * max(1.0, scale)


@EXAMPLE
@given(**BANDS)
def test_the_context_is_linear_in_the_values(sizes, w, ahead, key_share, rate, tiles, seed):
    """The band's linear piece by its own kernels: <band(v), upstream> = <v, gradient of v>."""
    arrays, upstream = attention(seed, np.float64, *sizes, key_share)
    options = {"ahead": ahead, "dropped": dropped_of(seed, *sizes[:4], rate)}
    context, _ = within_band(*arrays, w, tiles, **options)
    _, _, d_v, _, d_v_extra = backward(upstream, arrays, w, tiles, **options)
    left = context.ravel() @ upstream.ravel()
    right = arrays[2].ravel() @ d_v.ravel() + arrays[5].ravel() @ d_v_extra.ravel()
    assert abs(left - right) <= 1e-13 * max(1.0, np.linalg.norm(context) * np.linalg.norm(upstream))


@EXAMPLE
@given(**BANDS, which=st.sampled_from(NAMES))
def test_central_differences_of_the_forward_band(sizes, w, ahead, key_share, rate, tiles, seed, which):
    arrays, upstream = attention(seed, np.float64, *sizes, key_share)
    options = {"ahead": ahead, "dropped": dropped_of(seed, *sizes[:4], rate)}
    place, h = (0, 1, 2, 4, 5)[NAMES.index(which)], 6e-6
    (direction,) = random_arrays(seed + 1, np.float64, arrays[place].shape)
    contexts = []
    for step in (h, -h):
        moved = [array + step * direction if n == place else array for n, array in enumerate(arrays)]
        contexts.append(within_band(*moved, w, tiles, **options)[0])
    change = ((contexts[0] - contexts[1]) / (2 * h)).ravel() @ upstream.ravel()
    gradient = backward(upstream, arrays, w, tiles, **options)[NAMES.index(which)]
    assert abs(change - gradient.ravel() @ direction.ravel()) <= 1e-8 * max(
        1.0, np.linalg.norm(upstream) * math.sqrt(direction.size)
    )


@EXAMPLE
@given(**BANDS, dtype=DTYPES, data=st.data())
def test_no_gradient_flows_where_no_path_leads(sizes, w, ahead, key_share, rate, tiles, dtype, seed, data):
    """From one query, to itself and to the keys in its window and the extra keys: all others get 0, to the last bit.

    So the gradients of a global token's row stay 0 once the caller has set its upstream to 0; as a key it gets its own.
    """
    arrays, upstream = attention(seed, dtype, *sizes, key_share)
    _, Q, S, _, _ = sizes
    i, j = data.draw(st.integers(0, Q - 1)), np.arange(S)
    upstream[np.arange(Q) != i] = 0
    d_q, d_k, d_v, *_ = backward(upstream, arrays, w, tiles, ahead=ahead, dropped=dropped_of(seed, *sizes[:4], rate))
    outside = ~((i - w <= j) & (j <= i + (w if ahead is None else ahead)) & arrays[3])
    assert not d_q[:, np.arange(Q) != i].any() and not d_k[:, outside].any() and not d_v[:, outside].any()
    if rate in (None, 0.0):
        assert d_v[:, ~outside].all()


@EXAMPLE
@given(
    lengths=st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20), st.integers(0, 9)), min_size=1, max_size=4),
    w=st.integers(1, 25),
    ahead=st.one_of(st.none(), st.integers(0, 12)),
    rate=st.sampled_from([None, 0.25]),
    tiles=st.sampled_from([(4, 8), (8, 8), (None, None)]),
    dtype=DTYPES,
    seed=SEEDS,
)
def test_documents_one_behind_the_other_have_the_bits_that_each_has_alone(lengths, w, ahead, rate, tiles, dtype, seed):
    ends = np.cumsum([(0, 0, 0), *lengths], axis=0)
    spans = np.stack([ends[:-1], ends[1:]], axis=2).reshape(-1, 6)
    sizes = 2, *ends[-1].tolist(), 3
    arrays, upstream = attention(seed, dtype, *sizes, 0.8)
    dropped = dropped_of(seed, *sizes[:4], rate)
    together = (
        *within_band(*arrays, w, tiles, ahead=ahead, spans=spans, dropped=dropped),
        *backward(upstream, arrays, w, tiles, ahead=ahead, spans=spans, dropped=dropped),
    )
    for span in spans:
        queries, keys, extra = (slice(*span[[i, i + 1]]) for i in (0, 2, 4))
        parts = queries, keys, keys, keys, extra, extra
        own = [
            np.ascontiguousarray(a[..., rows, :] if a.ndim > 1 else a[rows])
            for a, rows in zip(arrays, parts, strict=True)
        ]
        drops = dropped and Dropped(
            dropped.keys[:, queries].copy(), dropped.columns[keys], dropped.extra_columns[extra], dropped.rate
        )
        alone = (
            *within_band(*own, w, tiles, ahead=ahead, dropped=drops),
            *backward(upstream[queries], own, w, tiles, ahead=ahead, dropped=drops),
        )
        where = (queries,), *[(slice(None), part) for part in (queries, queries, keys, keys, extra, extra)]
        for both, part, one in zip(together, where, alone, strict=True):
            assert np.array_equal(both[part], one)


@pytest.mark.skipif(not COMPILED, reason="NUMBA_DISABLE_JIT is set: nothing runs in parallel")
@EXAMPLE
@given(
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 200), st.integers(1, 200), st.integers(0, 2), st.integers(1, 9)),
    w=st.integers(1, 50),
    rate=st.sampled_from([None, 0.25]),
    threads=st.integers(1, numba.config.NUMBA_NUM_THREADS),
    dtype=DTYPES,
    seed=SEEDS,
)
def test_any_number_of_threads_gives_the_same_bits(sizes, w, rate, threads, dtype, seed):
    arrays, upstream = attention(seed, dtype, *sizes)
    dropped, results = dropped_of(seed, *sizes[:4], rate), []
    try:
        for count in (1, threads):
            jit.set_threads(count)
            results.append(backward(upstream, arrays, w, dropped=dropped))
    finally:
        jit.set_threads(None)
    assert all(np.array_equal(one, many) for one, many in zip(*results, strict=True))
