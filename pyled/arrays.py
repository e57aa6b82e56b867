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

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]  # float32 or float64
Bools = NDArray[np.bool_]
Ids = NDArray[np.int64]
Weights = Mapping[str, Any]  # arrays by a checkpoint's names without `led.`; kernels.rounded has those in fewer bits
