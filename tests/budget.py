"""The error budget: the one tolerance of the suite for floating-point results.

err(x) = max|x - truth| / max(1, max|truth|). A float64 result passes at 1e-10, a float32 result at twice the error
that the reference itself has in float32 on the same tensor, where an error below 1e-6 counts as 1e-6.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT64_BUDGET = 1e-10
FLOAT32_FLOOR = 1e-6


def err(got: NDArray[Any], truth: NDArray[Any]) -> float:
    """The largest difference from the truth, relative to the truth's largest value where that is above 1."""
    if truth.size == 0:
        return 0.0
    return float(np.max(np.abs(got.astype(np.float64) - truth)) / max(1.0, float(np.max(np.abs(truth)))))


def budget(dtype: Any, reference_float32_error: float) -> float:
    """How large err may be for a result of this type."""
    if dtype == np.float64:
        return FLOAT64_BUDGET
    assert dtype == np.float32, f"no budget for {dtype}"
    assert np.isfinite(reference_float32_error), f"the reference's error is {reference_float32_error}"
    return 2 * max(reference_float32_error, FLOAT32_FLOOR)


def assert_within(name: str, got: Any, truth: NDArray[Any], reference_float32_error: float, dtype: Any = None) -> None:
    """Fail, naming the stage `name`, unless `got` is the truth within its budget.

    got: an array of float32 or float64 (of `dtype`, where that is given), with the truth's shape and no NaN or inf
    truth: float64
    """
    got = np.asarray(got)
    assert truth.dtype == np.float64, f"{name}: the truth is {truth.dtype}, not float64"
    assert got.dtype in (np.float32, np.float64), f"{name}: {got.dtype} is neither float32 nor float64"
    assert dtype is None or got.dtype == dtype, f"{name}: {got.dtype}, expected {np.dtype(dtype)}"
    assert got.shape == truth.shape, f"{name}: shape {got.shape}, expected {truth.shape}"
    assert np.isfinite(truth).all(), f"{name}: the truth is not finite"
    if not np.isfinite(got).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(got))[0])
        raise AssertionError(f"{name}: {got[where]} at {where}, expected {truth[where]}")
    error, allowed = err(got, truth), budget(got.dtype, reference_float32_error)
    if error <= allowed:
        return
    distance = np.abs(got.astype(np.float64) - truth)
    where = tuple(int(i) for i in np.unravel_index(int(np.argmax(distance)), distance.shape))
    raise AssertionError(
        f"{name}: {got.dtype} differs most at {where}: got {got[where]!r}, expected {truth[where]!r}; "
        f"error {error:.3g}, budget {allowed:.3g}"
    )
