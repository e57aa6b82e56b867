"""How kernels are compiled, kept and run in parallel: the one place that knows Numba's flags, files and threads."""

import contextlib
import functools
import hashlib
import logging
import os
import pickle
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import compiler, serialize

from ..errors import InputError, brief
from ..files import replace_files
from . import blas

# `reassoc` and `contract` let a sum run in vector lanes and as fused multiply-adds; `nsz` and `arcp` cost nothing.
# `nnan` and `ninf` are never here: masks are infinities.
FAST_SUMS = {"reassoc", "contract", "nsz", "arcp"}
FUSED = {"contract"}  # a product and its addition may become one instruction
CALLED = {"nogil": True, "error_model": "numpy"}  # of functions that Python calls
PART = {**CALLED, "forceinline": True}  # of functions that become part of others
SPINS = "20000"  # some 170 microseconds: longer than from one kernel of a decoding step to the next
F = TypeVar("F", bound=Callable[..., Any])

_launch_lock = threading.RLock()
_has_lost_its_threads = False
_threads: int | None = None


def kernel(*, parallel: bool = False, fastmath: set[str] = FUSED) -> Callable[[F], F]:
    """Return the decorator of compiled functions. Each is compiled at its first call, and runs without the GIL.

    Python calls a `parallel` function, see `_launched`. Any other becomes part of the machine code of its callers. Were
    it called instead, a process that compiles and one that loads machine code would run differently optimised versions
    of it, whose sums run in other orders: measured with numba 0.68.1, results differ in the last bits.
    """
    return functools.partial(_launched, fastmath) if parallel else numba.njit(fastmath=fastmath, **PART)


def _launched(fastmath: set[str], function: Any) -> Any:
    """Return a function that runs a parallel kernel, on the threads of Numba's threading layer.

    It runs one at a time, because Numba's plainest layer, workqueue, must not be entered by two Python threads at once.

    A process that forks after a first call leaves its threads behind. Workqueue starts new ones in the child; GNU
    OpenMP, the usual layer on Linux, ends the child instead. There the same loops run on the child's own thread,
    compiled a second time without threads, and give the same bits. (Workqueue everywhere would spare that, but takes
    0.1 to 0.4 ms longer for each of the hundred launches of a decoding step, measured on two cores.)
    """
    if numba.config.DISABLE_JIT:
        return function
    parallel, serial = (numba.njit(parallel=p, fastmath=fastmath, **CALLED)(function) for p in (True, False))
    name = f"{function.__module__}.{function.__name__}"
    parallel._cache, serial._cache = _Disk(f"{name}-parallel"), _Disk(f"{name}-serial")

    @functools.wraps(function)
    def launch(*arguments: Any) -> None:
        with _launch_lock:
            if _has_lost_its_threads:
                serial(*arguments)
                return
            _start_threads()
            if _threads is not None:
                numba.set_num_threads(_threads)  # Numba keeps this number per Python thread
            parallel(*arguments)

    launch.parallel = parallel  # type: ignore[attr-defined]
    return launch


class _Disk:
    """The machine code of a kernel on disk: a file for each processor and each list of types of arguments.

    Numba's own cache makes folders during import, raises OSError where it cannot write, and does not tell a kernel with
    threads from the same one without. A name tells kernels apart here, so they are functions of modules, not closures.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def _path(self, types: Any, codegen: Any) -> Path:
        return _folder() / f"{self._name}-{_digest(f'{types} {codegen.magic_tuple()}')}"  # of the processor

    def load_overload(self, types: Any, context: Any) -> Any:
        """Return the machine code on disk; or announce that there is none, and return None for Numba to compile."""
        context.refresh()
        with contextlib.suppress(Exception):  # no such file, or a damaged one, which will be replaced
            if _has_access(os.R_OK):
                parts = pickle.loads(self._path(types, context.codegen()).read_bytes())
                return compiler.CompileResult._rebuild(context, *parts)
        numbers = next((n for n in ("float64", "int8", "uint16") if n in str(types)), "float32")
        place = ", on one thread after a fork" if self._name.endswith("serial") else ""
        _announce(numbers.replace("uint16", "bf16") + place)
        return None

    def save_overload(self, types: Any, result: Any) -> None:
        """Write machine code to the disk, if that is possible, and if it holds no address in this process."""
        if _has_access(os.W_OK) and not result.library.has_dynamic_globals:
            with contextlib.suppress(OSError):
                replace_files({self._path(types, result.codegen): [serialize.dumps(result._reduce())]})


@functools.cache
def _folder() -> Path:
    """Return the folder of compiled kernels: in NUMBA_CACHE_DIR, else in the user's cache folder. It need not exist.

    Its name has a hash of all kernels, because code of one file becomes part of that of others.
    """
    try:
        base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # the user has no home
        base = os.devnull  # in which nobody can make a folder
    sources = "".join(path.read_text("utf-8") for path in sorted(Path(__file__).parent.glob("*.py")))
    return Path(base, "pyled", f"kernels-{_digest(f'{numba.__version__} {sys.implementation.cache_tag} {sources}')}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _has_access(mode: int) -> bool:
    """Return True if this process can read the folder, or write to it, where only its user or root can write.

    Its files are pickles, which can run any code. For writing, the folder is made.
    """
    with contextlib.suppress(OSError):
        for folder in (_folder().parent, _folder()):
            if mode == os.W_OK:
                folder.mkdir(0o700, parents=True, exist_ok=True)
            stat = folder.stat()
            if os.name == "posix" and (stat.st_mode & 0o022 or stat.st_uid not in {0, os.geteuid()}):
                return False
        return os.access(_folder(), mode)
    return False


@functools.cache  # once per process
def _announce(what: str) -> None:
    """Log that kernels are compiled now. A Python warning would fail test suites, with nothing to mend in them."""
    kept = f"once; kept in {_folder()}"
    if not _has_access(os.W_OK):
        kept = f"in each process: the folder {_folder()} cannot be used: name another in NUMBA_CACHE_DIR"
    logging.getLogger("pyled").warning("compiling for this processor (%s), about half a minute, %s", what, kept)


@functools.cache
def _start_threads() -> None:
    """Have Numba start its threads, and those of GNU OpenMP sleep soon after a loop is done.

    They else look for work 300,000 times, some 2.5 ms, on the processors that NumPy's OpenBLAS then wants: a page took
    1.6 times as long to encode. OpenMP reads the environment once, when it is loaded; what the user has set there
    counts, and children inherit nothing.
    """
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


def set_threads(count: int | None) -> None:
    """Run kernels and NumPy's OpenBLAS on `count` threads from now on; None stands for all. Raises InputError."""
    global _threads
    most = numba.config.NUMBA_NUM_THREADS
    count = most if count is None else count
    if type(count) is not int or not 1 <= count <= most:
        raise InputError(f"{brief(count)} threads: a whole number between 1 and {most} can be used here")
    _threads = count
    blas.set_threads(count)
