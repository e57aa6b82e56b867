"""How kernels are compiled, cached and run in parallel: the one place for flags, cache folder and threads."""

import atexit
import contextlib
import ctypes
import functools
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

# `reassoc` and `contract` let a sum run in vector lanes and as fused multiply-adds; `nsz` and `arcp` cost nothing.
# `nnan` and `ninf` are never here: masks are infinities.
FAST_SUMS = {"reassoc", "contract", "nsz", "arcp"}
FUSED = {"contract"}
PART = {"forceinline": True, "nogil": True, "error_model": "numpy"}  # of functions that become part of others


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _cache_folder() -> Path:
    """Where compiled kernels are kept: the first of several places that can be written.

    The name carries a hash of all kernels, because Numba notices a change only in the file that a function stands
    in. Cache files are pickles, so no place shared between users is ever chosen: where nothing of the user's own
    can be written, a private folder serves this process and goes with it.
    """
    here = Path(__file__).parent
    sources = b"".join(path.read_bytes() for path in sorted(here.glob("*.py")))
    name = f"kernels-{hashlib.sha256(sources).hexdigest()[:16]}"
    candidates = [here / "__pycache__" / name]
    if os.environ.get("NUMBA_CACHE_DIR"):
        candidates = [Path(os.environ["NUMBA_CACHE_DIR"]) / "pyled" / name]
    with contextlib.suppress(RuntimeError):  # no home
        candidates.append(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pyled" / name)
    for folder in candidates:
        if _is_writable(folder):
            return folder
    private = tempfile.mkdtemp(prefix="pyled-")  # mode 0700
    process = os.getpid()

    def remove() -> None:
        if os.getpid() == process:  # not in a fork
            shutil.rmtree(private, ignore_errors=True)

    atexit.register(remove)
    return Path(private)


CACHE_FOLDER = _cache_folder()


def kernel(*, parallel: bool = False, fastmath: set[str] = FUSED) -> Callable[[Callable[..., Any]], Any]:
    """The decorator of every compiled function: lazily compiled, cached in CACHE_FOLDER, without the GIL.

    A `parallel` function is called by Python, see `Launched`. One that is not is a part of others, and becomes part
    of each one's machine code. Were it called instead, a process that compiles and one that loads from the cache would
    run differently optimised versions of it, whose sums run in other orders: measured with numba 0.68.1, results that
    differ in the last bits.
    """

    def compile_lazily(function: Callable[..., Any]) -> Any:
        if parallel:
            return Launched(function, fastmath)
        return _compiled(function, CACHE_FOLDER, forceinline=True, fastmath=fastmath)

    return compile_lazily


def _compiled(function: Callable[..., Any], folder: Path, **options: Any) -> Any:
    configured = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder)  # read when the dispatcher is made, below
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)
    finally:
        numba.config.CACHE_DIR = configured


class Launched:
    """A parallel kernel: one call at a time, on the threads of Numba's threading layer.

    One at a time, because Numba's plainest layer, workqueue, must not be entered by two Python threads at once.

    A process that forks after a first call leaves its threads behind. Workqueue starts new ones in the child; GNU
    OpenMP, the usual layer on Linux, ends the child instead. There the same loops run on the child's own thread,
    compiled a second time without threads, and give the same bits. (Workqueue everywhere would spare that, but takes
    0.1 to 0.4 ms longer for each of the hundred launches of a decoding step, measured on two cores.)
    """

    def __init__(self, function: Callable[..., Any], fastmath: set[str]) -> None:
        self.parallel = _compiled(function, CACHE_FOLDER, parallel=True, fastmath=fastmath)
        # Numba's cache does not tell the two apart: each has a folder.
        self.serial = _compiled(function, CACHE_FOLDER / "serial", fastmath=fastmath)

    def __call__(self, *arguments: Any) -> None:
        """Run the kernel; it returns nothing, but fills one of its arguments."""
        with _launch_lock:
            if _has_lost_its_threads:
                self.serial(*arguments)
                return
            _start_threads()
            if _threads is not None:
                numba.set_num_threads(_threads)  # Numba keeps this number per Python thread
            self.parallel(*arguments)


_launch_lock = threading.RLock()
_has_lost_its_threads = False
SPINS = "20000"  # some 170 microseconds: longer than from one kernel of a decoding step to the next


@functools.cache
def _start_threads() -> None:
    """Have Numba start its threads, and those of GNU OpenMP sleep soon after a loop is done.

    They else look for work 300,000 times, some 2.5 ms, on the processors that NumPy's OpenBLAS then wants: a page took
    1.6 times as long to encode. OpenMP reads the environment once, when it is loaded; what the user has set there
    counts, and children inherit nothing.
    """
    if numba.config.DISABLE_JIT:
        return
    is_free = not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
    if is_free:
        os.environ["GOMP_SPINCOUNT"] = SPINS
    numba.get_num_threads()
    if is_free:
        del os.environ["GOMP_SPINCOUNT"]


def _in_forked_child() -> None:
    global _launch_lock, _has_lost_its_threads
    _launch_lock = threading.RLock()
    with contextlib.suppress(ValueError):  # no layer has been started yet
        _has_lost_its_threads = numba.threading_layer() == "omp"


if hasattr(os, "register_at_fork"):
    # A fork waits until no other thread is inside a kernel: its child would inherit Numba's locks without their owner.
    os.register_at_fork(
        before=lambda: _launch_lock.acquire(),
        after_in_parent=lambda: _launch_lock.release(),
        after_in_child=_in_forked_child,
    )

_threads: int | None = None


def set_threads(count: int) -> None:
    """Run kernels, and NumPy's OpenBLAS where it is found, on `count` threads from now on. Raises ValueError."""
    global _threads
    most = numba.config.NUMBA_NUM_THREADS
    if type(count) is not int or not 1 <= count <= most:
        raise ValueError(f"{count!r} threads: a whole number between 1 and {most} can be used here")
    _threads = count
    set_blas = _openblas_setter()
    if set_blas is not None:
        set_blas(count)


def _openblas_setter() -> Callable[[int], None] | None:
    """The function of NumPy's own OpenBLAS that sets its number of threads, or None for another BLAS."""
    package = Path(np.__file__).parent
    for library in [*package.parent.glob("numpy.libs/*openblas*"), *package.glob(".dylibs/*openblas*")]:
        loaded = ctypes.CDLL(str(library))
        for name in ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads", "openblas_set_num_threads"):
            if hasattr(loaded, name):
                setter = getattr(loaded, name)
                setter.argtypes, setter.restype = [ctypes.c_int], None
                return setter
    return None
