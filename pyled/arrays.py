"""The array types, and the one key of letters for shapes.

| letter | size |
|---|---|
| B | documents of a batch |
| S | source tokens |
| T | target tokens of this call |
| P | past tokens |
| R | rows being decoded: B times the number of beams |
| E | the model: numbers of a token's state |
| H | heads of attention |
| D | a head: E = H * D |
| F | a feed-forward between its two projections |
| V | the vocabulary |
| G | global tokens |
| K | the band of a window: K = 2w + 1, with w tokens on each side |
| M, U | in products: rows of a matrix; numbers in a row, which are the terms of a sum |
| N, Q | in kernels: groups of rows that share their keys; queries |
"""

import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]  # float32 or float64
Bools = NDArray[np.bool_]
Ids = NDArray[np.int64]
Weights = Mapping[str, Any]  # arrays by a checkpoint's names without `led.`; kernels.rounded has those in fewer bits


def as_array(value: Any) -> NDArray[Any]:
    """Return the array that NumPy makes of a value: one of objects where it makes none, as of rows of unequal length.

    >>> as_array([[1], [2, 3]]).dtype
    dtype('O')
    """
    try:
        return np.asarray(value)
    except Exception:  # whatever another's class raises
        return np.array(None, object)


def physical_memory() -> int:
    """Return the bytes of memory of this machine, or more where it does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return sys.maxsize
