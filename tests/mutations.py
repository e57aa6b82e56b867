"""Mutation testing: every mistake of `mutation_list.py`, one at a time, must make a test fail on an assertion.

    python tests/mutations.py [--only TEXT] [--jobs J]

Each worker has its own copy of pyled/. A mutation replaces one line of it, and the tests named beside it run in a
fresh process, without compilation. The tests and `golden/` are those of the repository; `reference.py` is never
changed. The exit status is 1 unless every mutation is noticed, and the same tests pass without any.
"""

import argparse
import compileall
import multiprocessing
import os
import py_compile
import queue
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mutation_list import MUTATIONS, ROOT, Mutation

TIME_LIMIT = 60.0  # seconds for the tests of one mutation: some mistakes are endless loops
ALL_TESTS_LIMIT = 900.0  # seconds for all these tests at once, which take some 25 to 60
# Uncompiled, the time of a tile is that of all its lanes, used or not. Results do not depend on the size of tiles.
SMALL_TILES = {
    "QUERY_TILE = 96": "QUERY_TILE = 8",
    "KEY_TILE = 64": "KEY_TILE = 8",
    "LANES = 32": "LANES = 4",
}
NOTICED, NOT_NOTICED, CRASHED = "noticed", "NOT NOTICED", "crashed without an assertion"

# Forked children share what has been imported; pyled and the tests are not among it.
processes = multiprocessing.get_context("forkserver")


class Failure:
    """A plugin of pytest that keeps the first failure."""

    found: tuple[str, bool, str] | None = None  # the test, whether an assertion failed, and what was said

    def pytest_exception_interact(self, node: Any, call: Any) -> None:
        import pytest

        if self.found is None:
            error = call.excinfo.value
            while isinstance(error, BaseExceptionGroup):  # hypothesis's, of a failure that came once and not again
                error = error.exceptions[0]
            failed = isinstance(error, (AssertionError, pytest.fail.Exception))
            self.found = node.name, failed, f"{type(error).__name__}: {error}"


def set_what_is_left_unset() -> None:
    """Give memory that NumPy leaves unset one content: a mistake that reads it is seen, and does the same each time."""
    import numpy as np

    def filled(array: np.ndarray) -> np.ndarray:
        if array.dtype.kind in "fc":
            array.fill(np.nan)
        elif array.dtype.kind in "iu":
            array.fill(7)
        return array

    empty, empty_like = np.empty, np.empty_like
    np.empty = lambda *args, **kwargs: filled(empty(*args, **kwargs))
    np.empty_like = lambda *args, **kwargs: filled(empty_like(*args, **kwargs))


def run_tests(folder: str, tests: list[str], channel: Any) -> None:
    """Run tests on the copy of pyled in a folder; what happened, (verdict, details), is sent through the channel."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    sys.path.insert(0, folder)
    set_what_is_left_unset()
    import hypothesis
    import pytest

    quick = {"phases": (hypothesis.Phase.explicit, hypothesis.Phase.generate), "report_multiple_bugs": False}
    hypothesis.settings.register_profile("mutations", database=None, **quick)
    hypothesis.settings.load_profile("mutations")
    failure = Failure()
    arguments = ["-x", "-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml")]
    arguments += ["-p", "no:unraisableexception", "-p", "no:faulthandler"]  # a quarter of the time
    arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is there already
    status = pytest.main([*arguments, *(str(ROOT / "tests" / test) for test in tests)], plugins=[failure])
    used = Path(sys.modules["pyled"].__file__ or "").parent if "pyled" in sys.modules else None
    if used != Path(folder) / "pyled":
        channel.send((CRASHED, f"the tests ran on {used}"))
    elif failure.found is None:
        channel.send((NOT_NOTICED, "") if status == 0 else (CRASHED, f"pytest ended with {status!r}"))
    else:
        test, failed, message = failure.found
        channel.send((NOTICED if failed else CRASHED, f"{test}: {message.splitlines()[0] if message else ''}"))


def verdict(folder: Path, tests: list[str], limit: float = TIME_LIMIT) -> tuple[str, str]:
    """What the tests say of the copy in a folder, asked in a fresh process and within a limit (seconds)."""
    receiver, sender = processes.Pipe(duplex=False)
    process = processes.Process(target=run_tests, args=(str(folder), tests, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv() if receiver.poll(limit) else (CRASHED, f"not done in {limit:.0f} s")
    except EOFError:
        return CRASHED, "the process died"
    finally:
        process.kill()
        process.join()


def copy_package(folder: Path) -> None:
    """A copy of pyled/ with small tiles, byte-compiled so that a changed source is always seen."""
    shutil.copytree(ROOT / "pyled", folder / "pyled", ignore=shutil.ignore_patterns("__pycache__"))
    kernels = folder / "pyled" / "kernels" / "attention.py"
    source = kernels.read_text(encoding="utf-8")
    for usual, small in SMALL_TILES.items():
        assert f"\n{usual}" in source, f"{usual} is not in {kernels}"
        source = source.replace(f"\n{usual}", f"\n{small}")
    kernels.write_text(source, encoding="utf-8")
    compileall.compile_dir(folder, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)


def try_mutation(mutation: Mutation, folder: Path) -> tuple[str, str]:
    """The verdict on a copy with this one change, which is undone afterwards."""
    path = folder / "pyled" / mutation.file
    source = path.read_text(encoding="utf-8")
    try:
        path.write_text(mutation.applied_to(source), encoding="utf-8")
    except ValueError as e:
        return CRASHED, str(e)
    try:
        return verdict(folder, list(mutation.tests))
    finally:
        path.write_text(source, encoding="utf-8")


def main() -> int:
    """Run the mutations; the exit status."""
    parser = argparse.ArgumentParser(description="Every mutation must make one of its tests fail on an assertion.")
    parser.add_argument("--only", metavar="TEXT", default="", help="those whose number is, or file or reason has, TEXT")
    parser.add_argument("--jobs", metavar="J", type=int, default=os.cpu_count(), help="how many at a time")
    given = parser.parse_args()
    numbered = [(i, m) for i, m in enumerate(MUTATIONS) if given.only in (str(i), "") or given.only in m.file + m.why]
    os.environ |= {"NUMBA_DISABLE_JIT": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    os.environ.setdefault("PYLED_EXAMPLES", "25")
    processes.set_forkserver_preload(["numpy", "numba", "regex", "hypothesis", "hypothesis.extra.numpy", "pytest"])
    started = time.monotonic()
    counts = dict.fromkeys((NOTICED, NOT_NOTICED, CRASHED), 0)
    others = []  # told once more at the end, where those who see only the last lines find them
    with tempfile.TemporaryDirectory(prefix="pyled-mutations-") as temporary, ThreadPoolExecutor(given.jobs) as pool:
        folders: queue.Queue[Path] = queue.Queue()
        for job in range(given.jobs):
            copy_package(Path(temporary) / str(job))
            folders.put(Path(temporary) / str(job))

        def work(mutation: Mutation) -> tuple[str, str]:
            folder = folders.get()
            try:
                return try_mutation(mutation, folder)
            finally:
                folders.put(folder)

        every = sorted({test for _, m in numbered for test in m.tests})
        control, details = verdict(Path(temporary) / "0", every, ALL_TESTS_LIMIT)
        told = f"unchanged: {'all tests pass' if control == NOT_NOTICED else f'{control}: {details}'}"
        print(told, flush=True)
        if control != NOT_NOTICED:
            others.append(told)
        for (number, mutation), (found, details) in zip(
            numbered, pool.map(work, [mutation for _, mutation in numbered]), strict=True
        ):
            counts[found] += 1
            print(f"{number:3} {found}: {mutation.file}: {mutation.why}", flush=True)
            if found != NOTICED:
                others.append(f"{number:3} {found}: {mutation.old!r} -> {mutation.new!r}\n      {details}")
                print(others[-1], flush=True)
    print(*others, sep="\n" if others else "")
    print(f"{len(numbered)} mutations:", ", ".join(f"{count} {found}" for found, count in counts.items()), end="; ")
    print(f"{time.monotonic() - started:.0f} s")
    return 0 if control == NOT_NOTICED and counts[NOTICED] == len(numbered) else 1


if __name__ == "__main__":
    sys.exit(main())
