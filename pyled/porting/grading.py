"""Grade a port: run it on the cases of a kit, and say of each whether it passed.

`PROGRAM ... PART CASE OUT` runs once for each case; README.md of a kit is the page of this protocol.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CheckpointError, InputError, PyledError, brief, one_line
from ..files import read_json
from .comparing import check
from .dumps import Dump, read
from .kit import FORMAT, PARTS, check_parts
from .measures import NEVER, Row
from .refusals import REFUSED as RULES
from .truths import truth_for

NOT_DONE = 64  # the exit status of a port that does not do a part
READ, REFUSED = 0, 1  # the exit statuses in the part `refuse`
TOLD = 65_536  # bytes of what a program prints that are looked at
SCORE_BUDGET = 2e-6  # of the scores of generation, which are float32


@dataclass(frozen=True)
class Verdict:
    """What became of a case.

    verdict: "passed", "failed" or "not done"
    reason: in words why it failed
    first: the first stage that is outside its budget although what it is computed from is inside
    mistakes: names of known mistakes that explain the numbers of that stage, the likeliest first
    """

    part: str
    case: str
    verdict: str
    seconds: float = 0.0
    reason: str = ""
    first: str | None = None
    mistakes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exit:
    """How a program ended. status: None where it did not end in time, or never began; reason: in words, of a failure"""

    status: int | None
    printed: bytes = b""
    reason: str = ""


class Port:
    """A program that is graded, one process at a time, each in a group of its own that `stop` ends with its children.

    command: the program and its first arguments
    timeout: seconds that a case may take
    scratch: a folder for what it writes; None for that of the system
    starting: a block in which it starts, such as one that lets an interrupt wait until `stop` knows the process

    Raises InputError for the first two.
    """

    def __init__(self, command: Sequence[str], timeout: float = 60.0, scratch: Path | None = None) -> None:
        if not command:
            raise InputError("no program to grade: name one")
        if not 0 < timeout < threading.TIMEOUT_MAX:
            raise InputError(f"timeout is {timeout}: it must be a number of seconds above 0")
        self.command, self.timeout, self.scratch = [*command], timeout, scratch
        self.starting: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, *arguments: str) -> Exit:
        """Run it once with further arguments, and tell how it ended."""
        try:
            with self.starting():
                self._process = process = subprocess.Popen(
                    [*self.command, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE, start_new_session=True,
                )  # fmt: skip
        except (OSError, ValueError) as e:  # ValueError: a NUL in an argument
            return Exit(None, reason=f"cannot be started: {getattr(e, 'strerror', None) or e}")
        printed, said = _Beginning(process.stdout), _Beginning(process.stderr)
        try:
            status = process.wait(self.timeout)
        except subprocess.TimeoutExpired:
            return Exit(None, reason=f"did not end within {self.timeout:g} seconds")
        finally:
            self.stop()
        words = said.text() or printed.text()
        because = f": {words}" if words else ""
        if status < 0:
            with contextlib.suppress(ValueError):
                return Exit(status, reason=f"was ended by {signal.Signals(-status).name}{because}")
        return Exit(status, printed.bytes(), f"ended with exit status {status}{because}")

    def stop(self) -> None:
        """End the process that runs, and all that it started."""
        if (process := self._process) is not None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
            process.wait()
            self._process = None


class _Beginning:
    """The beginning of what a process prints; the rest is read, too, so that it never waits for a reader."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        assert stream is not None
        self._stream, self._first = stream, b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._stream:
            while piece := self._stream.read1(TOLD):  # type: ignore[attr-defined]
                self._first += piece[: TOLD - len(self._first)]

    def bytes(self) -> bytes:
        self._thread.join(1)  # subtle: a process that left the group may still hold the stream
        return self._first

    def text(self) -> str:
        """Return the last line that is no blank, short and harmless."""
        lines = self.bytes().decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return one_line(last[:200])


# 2. The parts


def grade(kit: Path, port: Port, parts: Sequence[str] = PARTS) -> Iterator[Verdict]:
    """Yield the verdict on each case of a kit, in the order of its manifest.

    parts: of PARTS those that are graded

    Raises CheckpointError where the folder is no kit, InputError for a part that there is not.
    """
    check_parts(parts)
    for part, case in cases_of(kit):
        if part in parts:
            start = time.monotonic()
            verdict = _graded(kit / part / case, part, port)
            yield Verdict(part, case, **{"seconds": round(time.monotonic() - start, 3), **verdict})


def cases_of(kit: Path) -> list[tuple[str, str]]:
    """Return part and name of the cases of a kit. Raises CheckpointError where the folder is none."""
    manifest = read_json(kit / "manifest.json", CheckpointError)
    try:
        cases = [(one["part"], one["case"]) for one in manifest["cases"]]
        is_kit = manifest["format"] == FORMAT and all(part in PARTS and type(case) is str for part, case in cases)
    except (KeyError, TypeError):
        is_kit = False
    if not is_kit:
        raise CheckpointError(f"{kit} is no kit of this version of pyled ({FORMAT}): write one with pyled kit write")
    return cases


def _graded(case: Path, part: str, port: Port) -> dict[str, Any]:
    """Return the fields of a verdict on one case."""
    with tempfile.TemporaryDirectory(prefix="pyled-kit-", dir=port.scratch, ignore_cleanup_errors=True) as folder:
        out = Path(folder) / "out.safetensors"
        ended = port.run(part, str(case.resolve()), str(out))
        if ended.status == NOT_DONE:
            return {"verdict": "not done"}
        if part == "refuse":
            return _refused(case, ended)
        if ended.status != 0:
            return _failed(ended.reason)
        try:
            if (path := _written(out)) is None:
                return _failed("ended with exit status 0, but wrote nothing at OUT")
            return _COMPARE[part](read(path), read(case / "expected.safetensors"), case)
        except Exception as e:  # subtle: whatever a port writes, the run goes on
            why = e if isinstance(e, PyledError | OSError) else repr(e)
            return _failed(f"what it wrote cannot be compared: {str(why).replace(str(folder), '')}")


def _failed(reason: str, **more: Any) -> dict[str, Any]:
    return {"verdict": "failed", "reason": one_line(reason), **more}


def _written(out: Path) -> Path | None:
    """Return what a port has written at OUT: the file, or in its place an archive or a folder."""
    return next((p for p in (out, out.with_suffix(".npz"), out.with_suffix("")) if p.exists()), None)


def _refused(case: Path, ended: Exit) -> dict[str, Any]:
    """Judge whether a weight file was refused, and by the right rule where the port names one."""
    rule = read_json(case / "expected.json", CheckpointError)["rule"]
    if ended.status not in (READ, REFUSED):
        return _failed(ended.reason)
    if (ended.status == REFUSED) != (rule is not None):
        return _failed(f"was read, but breaks the rule {rule}" if rule else "was refused, but breaks no rule")
    named = [word for word in ended.printed.decode("utf-8", "replace").split() if word in RULES]
    if rule and named and rule not in named:
        return _failed(f"was refused by the rule {named[-1]}, but breaks the rule {rule}")
    return {"verdict": "passed"}


def _stages(theirs: Dump, truth: Dump, case: Path) -> dict[str, Any]:
    """Compare the stages of a forward pass, or gradients: any of them, the results among them."""
    report = check(theirs, truth)
    if report.first is not None:
        row = next(row for row in report.stages if row.name == report.first)
        known = truth_for(case, theirs).weights if case.parent.name == "forward" else None
        mistakes = () if known is None else tuple(check(theirs, truth, weights=known).mistakes)
        unwritten = f"; not written, and perhaps wrong: {', '.join(report.missing[:3])}" if report.missing else ""
        return _failed(f"{row.name}: {_words(row)}{unwritten}", first=report.first, mistakes=mistakes)
    missing = [name for name in results(truth) if name not in theirs]
    return _failed(f"lacks {', '.join(missing[:3])}") if missing else {"verdict": "passed"}


def _words(row: Row) -> str:
    """Return in words how a stage is wrong."""
    if row.error is None:
        return row.note
    note = f"; {row.note}" if row.note else ""
    return f"is off by {row.error:.2g} at {list(row.worst or ())}, its budget is {row.budget:.2g}{note}"


def results(truth: Mapping[str, NDArray[Any]]) -> list[str]:
    """Return the stages that a port must write: what a head gives, the loss, and gradients of weights but zeros."""
    names = [name for name in ("logits", "qa_outputs", "classification_head.out_proj", "loss") if name in truth]
    return names + [name for name in truth if name.startswith("grad.led.") and truth[name].any()]


def _generated(theirs: Dump, truth: Dump, case: Path) -> dict[str, Any]:
    """Compare a transcript: the scores of each step where the port writes them, and the sequences."""
    for name in ("scores", "sequences", "beam_indices", "sequences_scores"):
        if name in truth and name in theirs and (problem := _difference(theirs[name], truth[name])):
            return _failed(f"{name}: {problem}", first=name)
    return {"verdict": "passed"} if "sequences" in theirs else _failed("lacks sequences")


def _difference(array: NDArray[Any], exact: NDArray[Any]) -> str:
    """Return where an array differs first, "" if it does not. NaN in `exact` stands for any number.

    Where one is longer, what both have is compared first: a search that chose another token has another length, too.
    """
    shapes = f"shape {array.shape}, expected {exact.shape}" if array.shape != exact.shape else ""
    if array.ndim != exact.ndim:
        return shapes
    common = tuple(slice(min(sizes)) for sizes in zip(array.shape, exact.shape, strict=True))
    array, exact = array[common], exact[common]
    is_other = array != exact
    if exact.dtype.kind == "f":
        limit = SCORE_BUDGET * np.abs(exact[np.isfinite(exact)]).max(initial=1.0)
        with np.errstate(invalid="ignore"):
            is_near = (np.abs(array - exact) <= limit) | (np.isneginf(exact) & (array < NEVER)) | np.isnan(exact)
        is_other &= ~is_near
    if not is_other.any():
        return shapes
    place = tuple(int(i) for i in np.argwhere(is_other)[0])
    return "; ".join(filter(None, [f"{array[place]} at {list(place)}, expected {exact[place]}", shapes]))


def _tokenized(theirs: Dump, truth: Dump, case: Path) -> dict[str, Any]:
    """Compare the ids of texts, and their offsets where the port writes them; or the texts of ids."""
    for name in truth:
        if name not in theirs and name != "offsets":
            return _failed(f"lacks {name}")
    pairs = [(name, theirs[name], truth[name]) for name in truth if name in theirs]
    lengths = next(name for name in truth if name.endswith("_lengths"))
    ends = np.cumsum(truth[lengths])[:-1]
    for name, array, exact in sorted(pairs, key=lambda pair: pair[0] == lengths):
        for i, (ours, part) in enumerate(zip(np.split(exact, ends), np.split(array, ends), strict=True)):
            if ours.shape != part.shape or (ours != part).any():
                return _failed(
                    f"{name} of text {i}: {brief(part.tolist())}, expected {brief(ours.tolist())}", first=name
                )
    return {"verdict": "passed"}


_COMPARE: dict[str, Callable[[Dump, Dump, Path], dict[str, Any]]] = {
    "forward": _stages, "gradients": _stages, "generate": _generated, "tokenize": _tokenized,
}  # fmt: skip
