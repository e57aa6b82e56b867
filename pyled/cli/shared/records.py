"""Files of records, one per line, each added as soon as it is done: what an interrupted run has done is not lost."""

import argparse
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...files import parse_json
from .console import OutputError
from .forms import as_json
from .inputs import STDIN
from .interrupts import held
from .outputs import check_names, check_writable, is_device
from .pairs import DIGITS
from .words import name_origins

if TYPE_CHECKING:
    from ...tasks import Summarizer


class Records(dict[str, Mapping[str, Any]]):
    """Records by their "key": those in a file, and those that are added to it."""

    def __init__(self, path: Path | None = None) -> None:
        """Read the records of a file, if it is there, without what is none; path: None for no file."""
        data = path.read_bytes() if path is not None and path.is_file() else b""
        self._path, self._end = path, data.rfind(b"\n") + 1  # behind it is the rest of a record that was cut off
        for line in data[: self._end].splitlines():
            try:
                record = parse_json(line, "a record", InputError, digits=DIGITS)
                self[str(record["key"])] = record
            except (InputError, KeyError, TypeError):
                continue

    def clear(self) -> None:
        """Forget all records, and replace the file when one is added."""
        super().clear()
        self._end = 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Add a record, also at the end of the file. Raises OutputError."""
        self[record["key"]] = record
        if self._path is None:
            return
        line = as_json(record).encode("utf-8")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with held(), self._path.open("ab" if self._end else "wb") as file:
                if self._end:
                    file.truncate(self._end)
                file.write(line)
        except OSError as e:
            raise OutputError(f"{self._path}: cannot be written: {e.strerror}") from None
        self._end += len(line) * self._path.is_file()  # a device has no end


def key_of(document: str, setup: Mapping[str, Any]) -> str:
    """Return what tells a document and the model that summarizes it from all others."""
    return _sha256(as_json([document, setup]))


def setup_of(summarizer: "Summarizer") -> dict[str, Any]:
    """Return the model and its settings, as the record of a summary has them."""
    from ...tasks.loading import stored_as
    from ...tasks.summary import settings_record, versions

    loaded, settings = summarizer.loaded, settings_record(summarizer.plan)
    name_origins(settings)
    setup = {"model": loaded.name, "versions": versions(), "dtype": loaded.model.dtype.name}
    return {**setup, "weights": stored_as(loaded.model), "settings": settings}


def identity_of(setup: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what of a setup changes summaries: a directory's files, not its name; settings, not who set them."""
    values = {name: setting["value"] for name, setting in setup["settings"].items()}
    return {**setup, "model": fingerprint(Path(setup["model"])), "settings": values}


def fingerprint(directory: Path) -> str:
    """Return a value that changes with the names, sizes and times of a checkpoint's files."""
    files = sorted((path.name, path.stat()) for path in directory.iterdir() if path.is_file())
    return _sha256(as_json([[name, status.st_size, status.st_mtime_ns] for name, status in files]))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def open_records(arguments: argparse.Namespace, inputs: Sequence[str]) -> Records:
    """Return the records that --output names.

    Raises InputError for a file that is there already and may not be changed, is an input, or cannot be written.
    """
    if arguments.output is None:
        for option in ("force", "skip_existing"):
            if getattr(arguments, option):
                raise InputError(f"--{option.replace('_', '-')} is for a file of records: name one with --output")
        return Records()
    if arguments.output in ("", STDIN):
        raise InputError("--output names no file, and standard output is for the table: name a file")
    path = Path(arguments.output)
    if arguments.output.endswith(os.sep) or path.is_dir():
        raise InputError(f"{arguments.output} is a directory: name a file for the records")
    try:
        check_names(dict.fromkeys(inputs, path))
        if not is_device(path):
            check_writable(path.parent, make=False)
        records, is_there = Records(path), path.is_file() and path.stat().st_size > 0
    except OSError as e:
        raise InputError(f"{e.filename or path}: {e.strerror}: name another output") from None
    if arguments.force:
        records.clear()
    elif is_there and not arguments.skip_existing:
        raise InputError(f"{path} is there already: pass --force to replace it, --skip-existing to go on from it")
    elif is_there and not records:
        raise InputError(f"{path} holds no record: pass --force to replace it, or name another")
    return records
