"""The threads of NumPy's OpenBLAS: how long they wait for work, and how many there are. This file imports no NumPy."""

import ctypes
import os
import sys
from pathlib import Path

NAMES = ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads", "openblas_set_num_threads")


def let_threads_sleep() -> None:
    """Have the threads sleep soon after a product, unless the user has set a time. Call it before NumPy is imported.

    OpenBLAS reads the environment as it is loaded. Its threads else look for work for 2^26 ticks, some 27 ms, on the
    processors that the kernels then want; now for 2^4.
    """
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")


def set_threads(count: int) -> bool:
    """Run products on `count` threads from now on. Return False, without effect, where NumPy has another BLAS."""
    package = Path(str(sys.modules["numpy"].__file__)).parent
    libraries = [*package.parent.glob("numpy.libs/*openblas*"), *package.glob(".dylibs/*openblas*")]
    for library in map(ctypes.CDLL, map(str, libraries)):
        for setter in (getattr(library, name) for name in NAMES if hasattr(library, name)):
            setter.argtypes, setter.restype = [ctypes.c_int], None
            setter(count)
            return True
    return False
