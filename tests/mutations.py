"""Mutation testing: every mistake and every flip, one at a time, must make a test fail.

    python tests/mutations.py [--only TEXT] [--third COMMIT] [--jobs J] [--names]

The mistakes stand in `mistakes.py`; the flips are made from the code by `flips.py`. Each worker has a copy of pyled/.
A mutation changes one place of it, and the tests that must notice it run in a fresh process, without compilation. The
tests and `golden/` are those of the repository; `reference.py` is never changed. The exit status is 1 unless the tests
pass without a mutation, fail on an assertion with each mistake, and on an assertion or an exception with each flip.
"""

import argparse
import compileall
import multiprocessing
import os
import py_compile
import queue
import resource
import shutil
import signal
import sys
import tempfile
import time
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from flips import FLIPPED, LEFT_OUT, flips
from mistakes import MISTAKES

ROOT = Path(__file__).parent.parent
TIME_LIMIT = 30  # seconds of a processor for the tests of one mutation: some are endless loops
MEMORY_LIMIT = 4 << 30  # bytes: some allocate what a damaged file declares
# Uncompiled, the time of a tile is that of all its lanes, used or not. Results do not depend on the size of tiles.
SMALL_TILES = {
    "kernels/banded.py": {"QUERY_TILE = 96": "QUERY_TILE = 8", "KEY_TILE = 64": "KEY_TILE = 8"},
    "kernels/banded_back.py": {"QUERY_TILE = 64": "QUERY_TILE = 8", "KEY_TILE = 96": "KEY_TILE = 8"},
    "kernels/grouped.py": {"VALUE_TILE = 64": "VALUE_TILE = 8", "LANES = 32": "LANES = 4"},
}
NOTICED, RAISED, NOT_NOTICED, BROKEN = "noticed", "ended in an exception", "NOT NOTICED", "BROKEN"
UNCHANGED, CLASSIC = "unchanged", "mistakes"  # parts; the others are files
EXPECTED = {UNCHANGED: {NOT_NOTICED}, CLASSIC: {NOTICED}}  # verdicts by part

# Forked children share what has been imported; pyled and the tests are not among it.
processes = multiprocessing.get_context("forkserver")


class Mutation(NamedTuple):
    """changed: what is in the place of pyled/`file`; tests: those below tests/ that must notice it."""

    part: str
    name: str
    file: str
    changed: str
    tests: tuple[str, ...]
    limit: int = TIME_LIMIT


def source_of(file: str) -> str:
    """Return the source of pyled/`file` as it is tested: with small tiles."""
    source = (ROOT / "pyled" / file).read_text(encoding="utf-8")
    for usual, small in SMALL_TILES.get(file, {}).items():
        assert f"\n{usual}" in source, f"{usual} is not in {file}"
        source = source.replace(f"\n{usual}", f"\n{small}")
    return source


def mutations() -> tuple[list[Mutation], list[str]]:
    """Return all mutations, and what has lost its place in the code: mistakes, and flips that are left out."""
    every, lost, left_out = [], [], dict(LEFT_OUT)
    for mistake in MISTAKES:
        try:
            changed = mistake.applied_to(source_of(mistake.file))
            every.append(Mutation(CLASSIC, mistake.name, mistake.file, changed, mistake.tests))
        except LookupError as e:
            lost.append(f"{mistake.name}: {e.args[0]}")
    for file, tests in FLIPPED.items():
        for flip in flips(source_of(file)):
            name = f"{file} {flip.name}"
            if left_out.pop(name, None) is None:
                every.append(Mutation(file, name, file, flip.changed, tests))
    return every, [*lost, *(f"{name}, which is left out" for name in left_out)]


class Failure:
    """A plugin of pytest that keeps the first failure."""

    verdict: tuple[str, str] | None = None

    def pytest_exception_interact(self, node: Any, call: Any) -> None:
        import pytest

        error = call.excinfo.value
        while isinstance(error, BaseExceptionGroup):  # hypothesis's, of a failure that came once and not again
            error = error.exceptions[0]
        what = NOTICED if isinstance(error, (AssertionError, pytest.fail.Exception)) else RAISED
        said = str(error).partition("\n")[0]
        self.verdict = self.verdict or (what, f"{node.name}: {type(error).__name__}: {said}")


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


def run_tests(folder: str, tests: list[str], limit: int, channel: Any) -> None:
    """Run tests on the copy of pyled in a folder, and send (verdict, details) through the channel."""
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
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
    arguments = ["-x", "-q", "--tb=no", "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml")]
    arguments += ["--basetemp", str(Path(folder) / "temporary")]  # pytest's usual place is shared, with races
    arguments += ["-p", "no:cacheprovider", "-p", "no:unraisableexception", "-p", "no:faulthandler"]  # time
    arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is there already
    status = pytest.main([*arguments, *(str(ROOT / "tests" / test) for test in tests)], plugins=[failure])
    used = Path(sys.modules["pyled"].__file__ or "").parent if "pyled" in sys.modules else None
    if used != Path(folder) / "pyled":
        channel.send((BROKEN, f"the tests ran on {used}"))
    elif status == pytest.ExitCode.OK:
        channel.send((NOT_NOTICED, ""))
    else:
        channel.send(failure.verdict or (BROKEN, f"pytest ended with {status!r}"))


def verdict(mutation: Mutation, folder: Path) -> tuple[str, str]:
    """Return what the tests say of the copy in a folder with this one change, asked in a fresh process."""
    path = folder / "pyled" / mutation.file
    path.write_text(mutation.changed, encoding="utf-8")
    receiver, sender = processes.Pipe(duplex=False)
    arguments = (str(folder), list(mutation.tests), mutation.limit, sender)
    process = processes.Process(target=run_tests, args=arguments)
    process.start()
    sender.close()
    try:
        return receiver.recv() if receiver.poll(20 * mutation.limit) else (BROKEN, "the tests wait for ever")
    except EOFError:
        process.join()
        return BROKEN, f"the process ended with {process.exitcode} ({-signal.SIGXCPU} where its time was over)"
    finally:
        process.kill()
        process.join()
        path.write_text(source_of(mutation.file), encoding="utf-8")


def copy_package(folder: Path) -> Path:
    """Make a copy of pyled/ with small tiles, byte-compiled so that a changed source is always seen."""
    shutil.copytree(ROOT / "pyled", folder / "pyled", ignore=shutil.ignore_patterns("__pycache__"))
    for file in SMALL_TILES:
        (folder / "pyled" / file).write_text(source_of(file), encoding="utf-8")
    compileall.compile_dir(folder, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    return folder


def main() -> int:
    """Run the mutations; the exit status."""
    parser = argparse.ArgumentParser(description="Every mutation must make one of its tests fail.")
    parser.add_argument("--only", metavar="TEXT", default="", help="those with TEXT in their name, file or part")
    parser.add_argument("--third", metavar="COMMIT", help="all mistakes, and a third of the flips, by the commit")
    parser.add_argument("--jobs", metavar="J", type=int, default=os.cpu_count(), help="how many at a time")
    parser.add_argument("--names", action="store_true", help="print the names, and run nothing")
    asked = parser.parse_args()
    every, lost = mutations()
    chosen = [one for one in every if asked.only in f"{one.part} {one.name} {one.file}"]
    if not chosen:
        parser.error(f"no mutation has {asked.only} in its name: --names lists all")
    if asked.third:
        numbers = {one.name: zlib.crc32(f"{asked.third} {one.name}".encode()) for one in chosen}
        chosen = [one for one in chosen if one.part == CLASSIC or numbers[one.name] % 3 == 0]
    if asked.names:
        print(*(one.name for one in chosen), sep="\n")
        return 0
    for name in ("CI", "BUILD_NUMBER"):  # with one of them, pytest explains a failure in full, which may take minutes
        os.environ.pop(name, None)
    os.environ |= {"NUMBA_DISABLE_JIT": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    os.environ.setdefault("PYLED_EXAMPLES", "25")
    processes.set_forkserver_preload(["numpy", "numba", "regex", "hypothesis", "hypothesis.extra.numpy", "pytest"])
    tests = tuple(sorted({test for one in chosen for test in one.tests}))
    control = Mutation(UNCHANGED, "no mutation", "version.py", source_of("version.py"), tests, 20 * TIME_LIMIT)
    counts: Counter[str] = Counter()
    times: Counter[str] = Counter()  # in mutations, by part
    seconds: Counter[str] = Counter()  # of a worker, by part
    bad = [f"LOST: {place}" for place in lost]  # told once more at the end, where those who see only that find them
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pyled-mutations-") as temporary, ThreadPoolExecutor(asked.jobs) as pool:
        folders: queue.Queue[Path] = queue.Queue()
        for job in range(asked.jobs):
            folders.put(copy_package(Path(temporary) / str(job)))

        def tried(mutation: Mutation) -> tuple[str, str]:
            folder, begun = folders.get(), time.monotonic()
            try:
                return verdict(mutation, folder)
            finally:
                folders.put(folder)
                seconds[mutation.part] += time.monotonic() - begun

        for one, (what, details) in zip([control, *chosen], pool.map(tried, [control, *chosen]), strict=True):
            counts[what] += one is not control
            times[one.part] += 1
            if what not in EXPECTED.get(one.part, {NOTICED, RAISED}):
                bad.append(f"{what}: {one.name}" + f"\n      {details}" * bool(details))
                print(bad[-1], flush=True)
    print(*(f"{part}: {times[part]} in {seconds[part]:.0f} s of a worker" for part in times), *bad, sep="\n")
    print(f"{len(chosen)} mutations:", ", ".join(f"{count} {what}" for what, count in counts.items()), end="; ")
    print(f"{len(lost)} lost; {time.monotonic() - started:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
