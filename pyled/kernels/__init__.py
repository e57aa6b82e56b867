"""All compiled code."""

import os

from ..errors import InputError, brief

# subtle: before any file here imports Numba, which refuses the same without the name of the variable.
if not (threads := os.environ.get("NUMBA_NUM_THREADS", "1").strip()).isdecimal() or int(threads) < 1:
    raise InputError(f"NUMBA_NUM_THREADS is {brief(threads)}: it must be a whole number of at least 1, or unset")
