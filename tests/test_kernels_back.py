"""The kernels of the backward pass but for attention's, and AdamW's step: each against plain float64 of NumPy."""

import math

import numba
import numpy as np
import pytest
from budget import assert_within
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

from pyled import reference
from pyled.kernels import adamw, jit, products, rows

FLOAT32_ERROR = 1e-6  # as in test_kernels.py
EXAMPLE = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
DTYPES = st.sampled_from([np.float32, np.float64])
SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 60) | st.integers(125, 135) | st.integers(190, 200)  # about a tile, a sum of DEPTH terms, a part


def random_arrays(seed, dtype, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def exactly(*arrays):
    return [array.astype(np.float64) for array in arrays]


@EXAMPLE
@given(R=SIZES | st.just(0), M=SIZES, U=SIZES | st.integers(380, 390), dtype=DTYPES, seed=SEEDS)
def test_the_gradients_of_a_product_of_rows(R, M, U, dtype, seed):
    upstream, x, weight, before = random_arrays(seed, dtype, (R, M), (R, U), (M, U), (R, U))
    d_weight, d_bias = random_arrays(seed + 1, dtype, (M, U), (M,))
    exact, exact_x, exact_weight, *sums = exactly(upstream, x, weight, before, d_weight, d_bias)
    out, added = np.full((R, U), np.nan, dtype), before.copy()
    products.back_to_rows(upstream, weight, out)
    products.back_to_rows(upstream, weight, added, add=True)
    assert_within("rows", out, exact @ exact_weight, FLOAT32_ERROR, dtype)
    assert_within("added rows", added, sums[0] + exact @ exact_weight, FLOAT32_ERROR, dtype)
    without_bias = d_weight.copy()
    products.back_to_weight(upstream, x, d_weight, d_bias)
    products.back_to_weight(upstream, x, without_bias)
    assert_within("weight", d_weight, sums[1] + exact.T @ exact_x, FLOAT32_ERROR, dtype)
    assert_within("bias", d_bias, sums[2] + exact.sum(axis=0), FLOAT32_ERROR, dtype)
    assert np.array_equal(d_weight, without_bias)
    for r in range(0, R, 37):  # the same bits in any company
        alone = np.full((1, U), np.nan, dtype)
        products.back_to_rows(upstream[r : r + 1], weight, alone)
        assert np.array_equal(alone[0], out[r])


@pytest.mark.parametrize("parts", [(1, 1), (2, 2), (5, 3)])
def test_the_size_of_a_part_changes_no_bit(parts, monkeypatch):
    upstream, x, weight = random_arrays(1, np.float32, (201, 130), (201, 150), (130, 150))

    def results():
        out, d_weight, d_bias = np.empty_like(x), np.ones_like(weight), np.ones(130, np.float32)
        products.back_to_rows(upstream, weight, out)
        products.back_to_weight(upstream, x, d_weight, d_bias)
        return out, d_weight, d_bias

    usual = results()
    monkeypatch.setattr(products, "PART_TILES", parts[0])
    monkeypatch.setattr(products, "PART_PANELS", parts[1])
    assert all(np.array_equal(a, b) for a, b in zip(usual, results(), strict=True))


def norm_back(upstream, x, weight, epsilon):
    """The gradients of x, weight and bias of a norm, by the matrix of derivatives of each row."""
    E = x.shape[1]
    deviation = np.sqrt(x.var(axis=1, keepdims=True) + epsilon)
    normed = (x - x.mean(axis=1, keepdims=True)) / deviation
    derivatives = np.eye(E) - 1 / E - normed[:, :, None] * normed[:, None] / E
    d_x = np.einsum("me,mef->mf", upstream * weight, derivatives) / deviation
    return d_x, (upstream * normed).sum(axis=0), upstream.sum(axis=0)


@EXAMPLE
@given(
    M=st.integers(1, 5) | st.integers(rows.GROUP - 1, 2 * rows.GROUP + 1),
    E=st.integers(1, 40),
    in_place=st.booleans(),
    dtype=DTYPES,
    seed=SEEDS,
)
def test_the_gradients_of_residual_and_norm(M, E, in_place, dtype, seed):
    upstream, x, y, weight, d_weight, d_bias = random_arrays(seed, dtype, *[(M, E)] * 3, *[(E,)] * 3)
    exact, total, *sums = exactly(upstream, x + y, d_weight, d_bias)
    d_x, of_weight, of_bias = norm_back(exact, total, weight.astype(np.float64), reference.LAYER_NORM_EPSILON)
    out = upstream if in_place else np.full((M, E), np.nan, dtype)
    rows.add_norm_back(upstream, x, y, weight, reference.LAYER_NORM_EPSILON, out, d_weight, d_bias)
    # A variance near 0 makes more of the mean's rounding, as in the norm itself.
    spread = max(1.0, 1 / math.sqrt(1e-5 + (x + y).var(axis=1).min()))
    largest = max(1.0, np.abs(weight).max())
    assert_within("rows", out, d_x, FLOAT32_ERROR * spread**2 * largest, dtype)
    assert_within("weight", d_weight, sums[0] + of_weight, FLOAT32_ERROR * spread, dtype)
    assert_within("bias", d_bias, sums[1] + of_bias, FLOAT32_ERROR, dtype)


def test_the_gradient_of_a_norm_is_its_slope():
    """By central differences of the definition, along random directions."""
    x, weight, bias, upstream, along, along_weight = random_arrays(3, np.float64, (4, 9), 9, 9, (4, 9), (4, 9), 9)
    out, d_weight, d_bias, h = np.empty_like(x), np.zeros(9), np.zeros(9), 6e-6
    rows.add_norm_back(upstream, 0.25 * x, 0.75 * x, weight, reference.LAYER_NORM_EPSILON, out, d_weight, d_bias)

    def loss(step):
        named = {"n.weight": weight + step * along_weight, "n.bias": bias + step * along_weight}
        return np.sum(upstream * reference.layer_norm(x + step * along, named, "n"))

    slope = np.sum(out * along) + np.sum((d_weight + d_bias) * along_weight)
    assert abs((loss(h) - loss(-h)) / (2 * h) - slope) < 1e-8 * abs(slope)


def test_the_gradient_of_a_norm_beyond_the_float_type_is_no_number():
    x, weight, upstream = random_arrays(5, np.float32, (2, 7), (7,), (2, 7))
    x[0] = np.where(np.arange(7) % 2, 1e21, -1e21)
    out, d_weight, d_bias = np.empty_like(x), *np.zeros((2, 7), np.float32)
    with np.errstate(all="ignore"):
        rows.add_norm_back(upstream, x, np.zeros_like(x), weight, 1e-5, out, d_weight, d_bias)
    assert np.isnan(out[0]).all() and np.isfinite(out[1]).all()
    assert np.isnan(d_weight).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_slope_of_gelu_over_the_whole_range(dtype):
    x = np.concatenate([np.linspace(-15, 15, 3001), [1e-30, -1e-30, 1e15, -1e15]]).astype(dtype)
    upstream = random_arrays(0, dtype, x.shape)[0] + 3
    exact = upstream * np.array(
        [math.erfc(-v / math.sqrt(2)) / 2 + v * math.exp(-v * v / 2) / math.sqrt(2 * math.pi) for v in exactly(x)[0]]
    )
    got = np.stack([upstream, upstream])
    rows.gelu_back(np.stack([x, x]), got)
    assert np.array_equal(got[0], got[1])
    assert_within("slope", got[0], exact, FLOAT32_ERROR, dtype)


# The weights after each of three steps of torch.optim.AdamW of torch 2.13.0 in float64
ADAMW = [
    [0.4791980198019802, -1.2275099950024988, 2.9939999999999998, -0.000820181818181818],
    [0.4890133906578238, -1.2208084986927021, 2.9725393903761237, -0.0016494354047240855],
    [0.4785681016865363, -1.2136701433155328, 2.978957028517277, -0.003559263848384092],
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_of_adamw_are_those_of_torch(dtype):
    copies = 5000  # more than a part
    weight = np.tile(np.array([0.5, -1.25, 3.0, 1e-3], dtype), copies).reshape(8, -1)
    m, v = np.zeros_like(weight), np.zeros_like(weight)
    gradients = [0.1, -2.0, 0.0, 1e-4], [-0.3, 1.0, 0.5, 0.0], [0.7, -0.25, -4.0, 2e-4]
    for step, (gradient, truth) in enumerate(zip(gradients, ADAMW, strict=True), 1):
        gradient = np.tile(np.array(gradient, dtype), copies).reshape(8, -1)
        adamw.adamw(weight, gradient, m, v, step, lr=0.02, betas=(0.8, 0.95), epsilon=1e-3, weight_decay=0.1)
        assert_within("weight", weight, np.tile(truth, copies).reshape(8, -1), FLOAT32_ERROR, dtype)


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="NUMBA_DISABLE_JIT is set: nothing runs in parallel")
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")
@EXAMPLE
@given(R=SIZES, M=SIZES, U=SIZES, dtype=DTYPES, seed=SEEDS)
def test_one_thread_gives_the_bits_of_two(R, M, U, dtype, seed):
    upstream, x, weight = random_arrays(seed, dtype, (R, M), (R, U), (M, U))

    def results():
        out, normed, d_weight, d_bias, d_norm = (
            np.zeros(shape, dtype) for shape in ((R, U), (R, U), (M, U), M, (2, U))
        )
        products.back_to_rows(upstream, weight, out)
        products.back_to_weight(upstream, x, d_weight, d_bias)
        rows.add_norm_back(out, x, x, weight[0], 1e-5, normed, *d_norm)
        return out, normed, d_weight, d_bias, d_norm

    try:
        jit.set_threads(1)
        one = results()
    finally:
        jit.set_threads(None)
    assert all(np.array_equal(a, b) for a, b in zip(one, results(), strict=True))
