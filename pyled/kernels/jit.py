"""How kernels are compiled, kept and run in parallel: the one place that knows Numba's flags, files and threads."""

import contextlib
import errno
import functools
import hashlib
import logging
import math
import os
import pickle
import sys
import threading
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core import compiler, serialize
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import overload

from ..errors import InputError, brief, one_line
from ..files import read_file, remove_abandoned, replace_files
from ..version import __version__

# `reassoc` and `contract` let a sum run in vector lanes and as fused multiply-adds; `nsz` and `arcp` cost nothing.
# `nnan` and `ninf` are never here: masks are infinities.
FAST_SUMS = {"reassoc", "contract", "nsz", "arcp"}
FUSED = {"contract"}  # a product and its addition may become one instruction
CALLED = {"nogil": True, "error_model": "numpy"}  # of functions that Python calls
PART = {**CALLED, "forceinline": True}  # of functions that become part of others
SPINS = "20000"  # some 170 microseconds: longer than from one kernel of a decoding step to the next
F = TypeVar("F", bound=Callable[..., Any])

_log = logging.getLogger("pyled")
_launch_lock = threading.RLock()
_has_lost_its_threads = False
_cannot_keep = False  # machine code on disk
_threads: int | None = None


def thread() -> int:
    """Return the number of the thread that runs a task of a parallel kernel."""
    return 0


@overload(thread, jit_options=PART)
def _compiled_thread():
    return lambda: numba.get_thread_id()


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
    parallel.compile, serial.compile = _uninterrupted(parallel.compile), _uninterrupted(serial.compile)

    @functools.wraps(function)
    def launch(*arguments: Any) -> None:
        with _launch_lock:
            if _has_lost_its_threads or not _start_threads():
                serial(*arguments)
                return
            if _threads is not None:
                numba.set_num_threads(_threads)  # Numba keeps this number per Python thread
            parallel(*arguments)

    launch.parallel = parallel  # type: ignore[attr-defined]
    return launch


def scratch(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return memory for a parallel kernel, whose tasks use part `thread()` of it: (threads, *shape).

    No compiled code allocates: without memory it would leave its tasks undone, and nobody would be told. Here NumPy
    raises MemoryError, before anything is computed.
    """
    threads = numba.config.NUMBA_NUM_THREADS
    size = threads * math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, np.uint8)
    first = -memory.__array_interface__["data"][0] % 64  # bytes before a line of the caches begins
    return memory[first : first + size].view(dtype).reshape(threads, *shape)


def _uninterrupted(compile: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that compiles, or loads machine code, in a thread of its own.

    Handlers of signals run in the main thread. What they raise, as Ctrl-C does, can get lost in a callback of LLVM, or
    leave half a kernel, whose next call crashes. Here it meets a thread that waits: a first signal's exception leaves
    when the code is complete, a second one's at once. Threads of a pool end before the process does.
    """

    def run(*arguments: Any) -> Any:
        try:
            code = futures.ThreadPoolExecutor(1).submit(compile, *arguments)
        except RuntimeError:  # no thread can be started, as when the process ends
            return compile(*arguments)
        try:
            return code.result()
        finally:
            futures.wait([code])

    return run


class _Disk:
    """The machine code of a kernel on disk: a file for each processor and each list of types of arguments.

    A file begins with a hash of the rest and of what that is for. One that is damaged, or another's, is replaced.

    Numba's own cache makes folders during import, raises OSError where it cannot write, and does not tell a kernel with
    threads from the same one without. A name tells kernels apart here, so they are functions of modules, not closures.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def _place(self, types: Any, codegen: Any) -> tuple[bytes, Path]:
        """Return what machine code is for, kernel, types and processor, and the path of its file."""
        key = f"{_VERSION} {self._name} {types} {codegen.magic_tuple()}".encode()
        return key, _folder() / f"{self._name}-{_digest(key)}"

    def load_overload(self, types: Any, context: Any) -> Any:
        """Return the machine code on disk; or announce that there is none, and return None for Numba to compile."""
        context.refresh()
        with contextlib.suppress(Exception):  # no such file, or no use in it
            _check_folder(make=False)
            key, path = self._place(types, context.codegen())
            digest, _, code = read_file(path, InputError).partition(b"\n")
            if digest.decode() == _digest(key + code):
                return compiler.CompileResult._rebuild(context, *pickle.loads(code))
        numbers = next((n for n in ("float64", "int8", "uint16") if f"Array({n}" in str(types)), "float32")
        place = ", on one thread" if self._name.endswith("serial") else ""
        _announce(numbers.replace("uint16", "bf16") + place)
        return None

    def save_overload(self, types: Any, result: Any) -> None:
        """Write machine code to the disk, unless it holds an address in this process; tell a failure, and stop then."""
        global _cannot_keep
        if result.library.has_dynamic_globals or _cannot_keep:
            return
        try:
            _check_folder(make=True)
            key, path = self._place(types, result.codegen)
            code = serialize.dumps(result._reduce())
            replace_files({path: [_digest(key + code).encode(), b"\n", code]})
            remove_abandoned(path.parent)
        except Exception as e:
            _cannot_keep = True
            reason, hint = getattr(e, "strerror", None) or brief(e), "name another folder in NUMBA_CACHE_DIR"
            folder = one_line(str(_folder()))
            _log.warning("each process compiles: nothing can be kept in %s (%s): %s", folder, reason, hint)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


# subtle: of all kernels, because code of one file becomes part of that of others; as they are at import, because an
# update can replace the files before these kernels are compiled.
_VERSION = _digest(
    f"{__version__} {numba.__version__} {sys.version}".encode()
    + b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
)


@functools.cache
def _folder() -> Path:
    """Return the folder of compiled kernels: in NUMBA_CACHE_DIR, else in the user's cache folder. It need not exist."""
    try:
        base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(base, "pyled", f"kernels-{_VERSION}").absolute()
    except (RuntimeError, OSError):  # the user has no home, or the process no working directory
        return Path(os.devnull, "pyled")  # which nobody can make


def _check_folder(*, make: bool) -> None:
    """Raise OSError if another user can write to the folder: its files are pickles, which can run any code."""
    for folder in (_folder().parent, _folder()):
        if make:
            folder.mkdir(0o700, parents=True, exist_ok=True)
        stat = folder.stat()
        if os.name == "posix" and (stat.st_mode & 0o022 or stat.st_uid not in {0, os.geteuid()}):
            raise OSError(errno.EPERM, "another user can write to it")


@functools.cache  # once per process
def _announce(what: str) -> None:
    """Log that kernels are compiled now. A Python warning would fail test suites, with nothing to mend in them."""
    plan = "in each process" if _cannot_keep else f"to be kept in {one_line(str(_folder()))}"
    _log.warning("compiling for this processor (%s), about half a minute, %s", what, plan)


@functools.cache
def _start_threads() -> bool:
    """Have Numba start its threads. Return False where the system does not start as many.

    There workqueue would wait for them for ever, and GNU OpenMP end the process.

    Threads of GNU OpenMP are told to sleep soon after a loop is done. They else look for work 300,000 times, some
    2.5 ms, on processors that NumPy or another process could use. OpenMP reads the environment once, when it is loaded;
    what the user has set there counts, and children inherit nothing.
    """
    numba.config.reload_config()  # later Numba refuses a NUMBA_NUM_THREADS that was set after its import
    ready = threading.Barrier(numba.config.NUMBA_NUM_THREADS)
    with futures.ThreadPoolExecutor(ready.parties) as pool:
        try:
            for _ in range(ready.parties):
                pool.submit(ready.wait)
        except BaseException as e:
            ready.abort()
            if not isinstance(e, RuntimeError):
                raise
    is_free = not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
    if is_free:
        os.environ["GOMP_SPINCOUNT"] = SPINS
    try:
        numba.get_num_threads()
    finally:
        if is_free:
            del os.environ["GOMP_SPINCOUNT"]
    return not ready.broken


def _in_forked_child() -> None:
    global _has_lost_its_threads
    with contextlib.suppress(ValueError):  # no layer has been started yet
        _has_lost_its_threads = numba.threading_layer() == "omp"


if hasattr(os, "register_at_fork"):
    # A fork waits until no other thread is inside a kernel or compiles: its child would get locks without their owners.
    for lock in (global_compiler_lock, _launch_lock):  # the second is acquired first
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    os.register_at_fork(after_in_child=_in_forked_child)


def most_threads() -> int:
    """Return the number of threads that kernels can run on."""
    return int(numba.config.NUMBA_NUM_THREADS)


def set_threads(count: int | None) -> None:
    """Run kernels on `count` threads from now on; None stands for all. Raises InputError."""
    global _threads
    most = most_threads()
    count = most if count is None else count
    if type(count) is not int or not 1 <= count <= most:
        raise InputError(f"{brief(count)} threads: a whole number between 1 and {most} can be used here")
    _threads = count
