"""3. The interval of a mean over documents, by the bootstrap: how far the mean moves if other documents are drawn."""

import numpy as np
from numpy.typing import NDArray

from ..annotations import Count, Seed, checked_arguments

RESAMPLES = 10_000
LEVEL = 0.95  # of the resampled means lie in the interval, as many above it as below it

_NUMBERS = 4_000_000  # drawn at a time

Means = NDArray[np.float64]


@checked_arguments
def resampled_means(values: Means, resamples: Count = RESAMPLES, seed: Seed = 0) -> Means:
    """Return means over as many documents as there are, drawn from them with replacement, again and again.

    All columns of a resample are means over the same documents, so that their differences are paired.

    values: (documents, columns) float
    returns: (resamples, columns) float
    """
    documents, columns = values.shape
    rng = np.random.default_rng(int(seed))
    means = np.empty((resamples, columns), np.float64)
    block = max(1, _NUMBERS // documents)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        draws = rng.integers(0, documents, (rows, documents))
        draws += documents * np.arange(rows)[:, None]  # no number stands in two rows
        times = np.bincount(draws.reshape(-1), minlength=rows * documents).reshape(rows, documents)
        # subtle: a BLAS would sum in an order that depends on the number of threads
        means[start : start + rows] = np.einsum("rd,dc->rc", times.astype(np.float64), values) / documents
    return means


def interval(means: Means) -> tuple[Means, Means]:
    """Return the ends of the interval: percentiles of the resampled means.

    means: (resamples, ...) float
    returns: (...) float, (...) float
    """
    outside = (1 - LEVEL) / 2
    low, high = np.quantile(means, [outside, 1 - outside], axis=0)
    return low, high
