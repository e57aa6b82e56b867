"""The file of `pyled evaluate --output`: a record a line, which is added as its document is finished.

So an interrupt loses one document, and a later run goes on: what the same model made of the same document is not made
again.
"""

import argparse
import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...files import parse_json
from .console import Console, OutputError
from .forms import as_json
from .inputs import STDIN
from .interrupts import held
from .outputs import check_writable, is_device
from .pairs import DIGITS

if TYPE_CHECKING:
    from ...evaluation.evaluation import Judged, Pair

KEYS = ("input", "line", "document_sha256", "texts", "made")  # of a record, without which it is none


class Records:
    """The records of a run, and those that were there before it."""

    def __init__(self, path: Path | None, there: Sequence[bytes]) -> None:
        """path: None to keep none; there: the lines that the file has and that are kept."""
        self._path, self._there = path, set(there)
        self._is_new = not there
        records = map(_parsed, there)
        self._texts = {(record["document_sha256"], as_json(record["made"])): record["texts"] for record in records}
        self.made: dict[str, Any] = {}  # the model and how it is used, by which a record is told from another's

    def texts(self, pair: "Pair") -> Mapping[str, str]:
        """What is known already of a pair: the text of each system."""
        return self._texts.get((_sha256(pair.document), as_json(self.made)), {})

    def put(self, judged: "Judged") -> None:
        """Add what was found, unless it is there. Raises OutputError."""
        if self._path is None:
            return
        line = as_json(self._record(judged)).encode("utf-8")
        if line in self._there:
            return
        try:
            with held():
                _add(self._path, line, "wb" if self._is_new else "ab")
        except OSError as e:
            raise OutputError(f"{self._path}: cannot be written: {e.strerror}") from None
        self._is_new = False

    def _record(self, judged: "Judged") -> dict[str, Any]:
        pair = judged.pair
        return {
            "input": pair.input,
            "line": pair.line,
            "document_sha256": _sha256(pair.document),
            "source_tokens": judged.tokens,
            "truncated_tokens": judged.truncated,
            "summary": pair.summary,
            "texts": {**judged.texts},
            "scores": {
                system: {metric: score._asdict() for metric, score in scores.items()}
                for system, scores in judged.scores.items()
            },
            "made": self.made,
        }


def _add(path: Path, line: bytes, mode: str) -> None:
    """Write a line at the end of a file, or of an empty one; all of it or nothing."""
    whole = path.stat().st_size if mode == "ab" and path.is_file() else 0
    try:
        with path.open(mode) as file:
            file.write(line)
    except OSError:
        with contextlib.suppress(OSError):
            os.truncate(path, whole)
        raise


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _parsed(line: bytes) -> dict[str, Any]:
    """Raises InputError."""
    record = parse_json(line, "a record", InputError, digits=DIGITS)
    if not isinstance(record, dict) or not all(key in record for key in KEYS):
        raise InputError("no record of an evaluation")
    return record


# What was asked for


def fingerprint(directory: Path) -> str:
    """Of a checkpoint: other names, sizes or times of its files give another one."""
    files = sorted((path.name, path.stat()) for path in directory.iterdir() if path.is_file())
    said = [[name, status.st_size, status.st_mtime_ns] for name, status in files]
    return _sha256(as_json(said))


def open_records(arguments: argparse.Namespace, inputs: Sequence[str], console: Console) -> Records:
    """Those that were asked for.

    Raises InputError for a file that is there already and may not be changed, is an input, or cannot be written.
    """
    if arguments.output is None:
        for option in ("force", "skip_existing"):
            if getattr(arguments, option):
                raise InputError(f"--{option.replace('_', '-')} is for a file of records: name one with --output")
        return Records(None, ())
    if arguments.output in ("", STDIN):
        raise InputError("--output names no file, and standard output is for the table: name a file")
    path = Path(arguments.output)
    try:
        if path.is_dir():
            raise InputError(f"{path} is a directory: name a file with --output")
        if os.path.realpath(path) in {os.path.realpath(name) for name in inputs if name != STDIN}:
            raise InputError(f"{path} is an input: name another output")
        if is_device(path):
            return Records(path, ())
        check_writable(path.parent, make=False)
        if arguments.force or not path.exists():
            return Records(path, ())
        if not arguments.skip_existing:
            raise InputError(
                f"{path} is there already: pass --force to replace it, --skip-existing to go on where it stops"
            )
        return Records(path, _there(path, console))
    except OSError as e:
        raise InputError(f"{e.filename}: {e.strerror}: name another output") from None


def _there(path: Path, console: Console) -> list[bytes]:
    """The lines of a file of records. The rest of one that was cut off is taken out. Raises InputError, OSError."""
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    lines = data[:whole].splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            _parsed(line)
        except InputError as e:
            raise InputError(f"{path}: line {number}: {e}: pass --force to replace the file, or name another") from None
    if whole < len(data):
        console.note(f"{path}: its last line is cut off, and taken out")
        os.truncate(path, whole)
    return lines
