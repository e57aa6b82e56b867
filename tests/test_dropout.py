"""The hash that drops numbers: its definition in whole numbers of Python, and its statistics."""

import numpy as np
import pytest
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

from pyled.kernels import dropout

EXAMPLE = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)


def lowbias32(key, number):
    x = number * 2654435761 % 2**32 ^ key
    x = (x ^ x >> 16) * 0x7FEB352D % 2**32
    x = (x ^ x >> 15) * 0x846CA68B % 2**32
    return x ^ x >> 16


@EXAMPLE
@given(
    keys=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4),
    M=st.integers(1, 70),
    rate=st.sampled_from([0, 0.1, 0.5, 0.9, 1]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**32 - 1),
)
def test_what_is_dropped_follows_from_the_key_and_the_place(keys, M, rate, dtype, seed):
    x = np.random.default_rng(seed).standard_normal((len(keys), M)).astype(dtype)
    numbers = np.array([[lowbias32(key, m) for m in range(M)] for key in keys])
    truth = np.where(numbers >= rate * 2**32, x * dtype(1 / (1 - rate) if rate < 1 else 0), 0)
    rows = np.array(keys, np.uint32)
    assert np.array_equal(dropout.uniform(rows[:, None], np.arange(M)), numbers)
    dropout.drop(x, rows, rate)
    assert np.array_equal(x, truth)


def test_no_number_is_left_at_rate_1_and_none_is_dropped_at_rate_0():
    assert dropout.threshold(1) == 2**32 - 1 and dropout.scale(1) == 0
    assert dropout.threshold(0) == 0 and dropout.scale(0) == 1


@pytest.mark.parametrize("first_key", [0, 12345, 2**31])
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_a_number_is_dropped_at_the_rate_whatever_its_neighbours_are(first_key, rate):
    """Keys and columns are successive numbers, which a poor hash would leave alike."""
    keys, columns = np.arange(first_key, first_key + 512, dtype=np.uint32)[:, None], np.arange(2048)
    is_dropped = dropout.uniform(keys, columns) < dropout.threshold(rate)

    def assert_share(events, probability):
        error = np.sqrt(probability * (1 - probability) / events.shape[-1] / (events.size // events.shape[-1]))
        assert abs(events.mean() - probability) < 5 * error

    assert_share(is_dropped, rate)
    for distance in (1, 2, 3, 16, 256):
        assert_share(is_dropped[distance:] & is_dropped[:-distance], rate**2)
        assert_share(is_dropped[:, distance:] & is_dropped[:, :-distance], rate**2)
        assert_share(is_dropped[distance:, distance:] & is_dropped[:-distance, :-distance], rate**2)
    for bit in range(32):
        others = dropout.uniform(keys ^ np.uint32(1 << bit), columns) < dropout.threshold(rate)
        assert_share(is_dropped & others, rate**2)
    for axis, n in ((0, 512), (1, 2048)):  # sums of rows and of columns vary as those of independent numbers do
        sums = is_dropped.sum(axis=axis)
        assert abs(sums.var() / (n * rate * (1 - rate)) - 1) < 5 * np.sqrt(2 / len(sums))
