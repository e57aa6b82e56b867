"""4. How far a mean over documents would move if others had been drawn: its interval by the bootstrap.

Letters: N documents, R resamples, M means of interest.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES = 10_000
LEVEL = 0.95  # of the means of resamples lie in the interval, as many above it as below it

_NUMBERS = 4_000_000  # at a time: a resample has N


def resampled_means(values: Floats, seed: int, resamples: int = RESAMPLES) -> Floats:
    """The means over as many documents as there are, drawn from them with replacement, again and again.

    All M means of a resample are over the same documents, so that their differences are paired.

    values: (N, M) float
    returns: (R, M) float
    """
    N, M = values.shape
    rng = np.random.default_rng(seed)
    block = max(1, _NUMBERS // N)
    means = np.empty((resamples, M), np.float64)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(0, N, (rows, N)) + N * np.arange(rows)[:, None]  # (rows, N), no number in two rows
        times = np.bincount(drawn.reshape(-1), minlength=rows * N).reshape(rows, N)  # that each document was drawn
        means[start : start + rows] = times.astype(np.float64) @ values / N
    return means


def interval(means: Floats) -> tuple[Floats, Floats]:
    """The ends of the interval of each of the means that were resampled: percentiles of them.

    means: (R, ...) float
    returns: (...) float, (...) float
    """
    outside = (1 - LEVEL) / 2
    low, high = np.quantile(means, [outside, 1 - outside], axis=0)
    return low, high
