"""The file of `pyled evaluate --output`: one record per line, added as soon as its document is done.

So an interrupt loses one document, and a later run goes on: it takes what the same model with the same settings wrote
for the same document.
"""

import argparse
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
from .outputs import check_names, check_writable, is_device
from .pairs import DIGITS
from .words import name_origins

if TYPE_CHECKING:
    from ...tasks import Summarizer


class Records:
    """The texts that earlier runs wrote, and the file that this run adds its records to."""

    def __init__(self, path: Path | None = None, texts: Mapping[str, Mapping[str, str]] | None = None) -> None:
        """path: None for no file; texts: those in the file by key and system, None to replace it."""
        self._path, self._texts, self._mode = path, texts or {}, "wb" if texts is None else "ab"

    def texts(self, key: str) -> Mapping[str, str]:
        """Return the text of each system that earlier runs wrote under a key."""
        return self._texts.get(key, {})

    def add(self, record: Mapping[str, Any]) -> None:
        """Add a record at the end of the file. Raises OutputError."""
        if self._path is None:
            return
        try:
            with held(), self._path.open(self._mode) as file:
                file.write(as_json(record).encode("utf-8"))
        except OSError as e:
            raise OutputError(f"{self._path}: cannot be written: {e.strerror}") from None
        self._mode = "ab"


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


def open_records(arguments: argparse.Namespace, inputs: Sequence[str], console: Console) -> Records:
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
    try:
        check_names(dict.fromkeys(inputs, path))
        if is_device(path):
            return Records(path)
        check_writable(path.parent, make=False)
        if arguments.force or not path.exists():
            return Records(path)
        if arguments.skip_existing:
            return Records(path, _read(path, console))
    except OSError as e:
        raise InputError(f"{e.filename}: {e.strerror}: name another output") from None
    raise InputError(f"{path} is there already: pass --force to replace it, --skip-existing to go on where it stops")


def _read(path: Path, console: Console) -> dict[str, Mapping[str, str]]:
    """Return the texts in a file of records, and take a last line away that is cut off. Raises InputError, OSError."""
    data, texts = path.read_bytes(), {}
    end = data.rfind(b"\n") + 1
    for number, line in enumerate(data[:end].splitlines(), 1):
        try:
            record = parse_json(line, "not JSON", InputError, digits=DIGITS)
            texts[record["key"]] = record["texts"]
        except (InputError, KeyError, TypeError):
            problem = f"{path}: line {number}: no record of an evaluation"
            raise InputError(f"{problem}: pass --force to replace the file, or name another") from None
    if end < len(data):
        console.note(f"{path}: its last line is cut off, and is removed")
        os.truncate(path, end)
    return texts
