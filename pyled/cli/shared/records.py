"""Files of records, one per line, each added as soon as it is done: what an interrupted run has done is not lost."""

import argparse
import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError, brief
from ...files import locked, parse_json, replace_files
from ...hub import named
from .console import OutputError, for_terminal
from .forms import as_json
from .inputs import STDIN
from .interrupts import held
from .pairs import DIGITS
from .places import check_names, check_writable, identity, is_device
from .words import name_origins

if TYPE_CHECKING:
    from ...tasks import Summarizer

_HEAD = b'{"key": "'
_LONGEST = 2**26  # bytes of a line


class Records(dict[str, Any]):
    """What the records of a file have under one of their fields, by their "key"; `add` adds one to both.

    A record is a JSON object on a line, with a key that begins with the 64 digits of a hash. A file with any other line
    is not pyled's, and refused. A last line without its end, behind records, can be one that was cut off: it is taken
    out when the next record is added.
    """

    def __init__(self, path: Path | None, field: str, is_value: Callable[[Any], bool], replaces: bool = False) -> None:
        """Read a file of records, if it is there.

        path: None for no file; field: whose values must pass `is_value`
        replaces: do not read the file, and replace it when the first record is added

        Raises InputError for what is no file of such records.
        """
        self._path, self._field, self._is_value, self._replaces = path, field, is_value, replaces
        self._end, self._gap = 0, b""  # where the next record begins, and what ends the line before it
        self._state: Any = None  # of the file when it was last read or written
        self._device: int | None = None
        if path is not None and not replaces and path.exists() and not is_device(path):
            self._read(path)

    def _read(self, path: Path) -> None:
        is_ours = False
        try:
            with path.open("rb") as file:
                self._state, self._end, self._gap = _state(file.fileno()), 0, b""
                for number, line in enumerate(iter(lambda: file.readline(_LONGEST), b""), 1):
                    is_whole = line.endswith(b"\n")
                    try:
                        is_ours |= self._take(line, f"line {number:,}")
                    except InputError as e:
                        if is_ours and not is_whole and _is_cut_off(line, e.rule):
                            return
                        remedy = "pass --force to replace it, or name another output"
                        raise InputError(f"{path} holds no records: {e}: {remedy}") from None
                    self._end, self._gap = self._end + len(line), b"" if is_whole else b"\n"
        except OSError as e:
            raise InputError(f"{path}: cannot be read: {e.strerror}: name another output") from None

    def _take(self, line: bytes, place: str) -> bool:
        """Take a record from its line; return False for a blank one. Raises InputError."""
        if len(line) == _LONGEST:
            raise InputError(f"{place} has more than {_LONGEST:,} bytes")
        if not line.strip():
            return False
        record: Any = parse_json(line, place, InputError, digits=DIGITS, halves=True)
        record = record if isinstance(record, dict) else {}
        key, value = record.get("key"), record.get(self._field)
        if not isinstance(key, str) or not re.match("[0-9a-f]{64}", key) or not self._is_value(value):
            raise InputError(f"{place} is {brief(line[:60].decode(errors='replace'))}")
        self[key] = {**self.get(key, {}), **value}
        return True

    def add(self, record: Mapping[str, Any]) -> None:
        """Add a record, also at the end of the file. Raises OutputError."""
        self[record["key"]] = record[self._field]
        if self._path is None:
            return
        line = as_json(record).encode("utf-8")
        try:
            with held():
                self._write(self._path, line)
        except InputError as e:
            raise OutputError(str(e)) from None
        except OSError as e:
            raise OutputError(f"{self._path}: cannot be written: {e.strerror}") from None

    def _write(self, path: Path, line: bytes) -> None:
        if is_device(path):
            if self._device is None:  # it stays open: a pipe would end
                self._device = os.open(path, os.O_WRONLY)
            _write_all(self._device, for_terminal(line.decode()).encode() if os.isatty(self._device) else line)
            return
        if self._replaces or not path.exists():
            with contextlib.suppress(FileExistsError):  # another process was faster
                replace_files({path: [line]}, is_new=not self._replaces)
                self._replaces, self._state = False, None
                return
        with locked(path), path.open("ab", buffering=0) as file:
            if _state(file.fileno()) != self._state:
                self._read(path)
            if self._state[1] > self._end:
                file.truncate(self._end)
            try:
                _write_all(file.fileno(), self._gap + line)
            except OSError:
                file.truncate(self._end)
                raise
            self._end, self._gap, self._state = file.tell(), b"", _state(file.fileno())


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _state(file: Path | int) -> Any:
    """Return what changes when a file is replaced or written to; its size is the second."""
    status = os.stat(file)  # noqa: PTH116
    return status.st_ino, status.st_size, status.st_mtime_ns


def _is_cut_off(line: bytes, rule: str | None) -> bool:
    """Return True for the beginning of a record: what is no JSON by the rule that it breaks, or ends as no object."""
    begins = _HEAD.startswith(line[: len(_HEAD)]) and not line[len(_HEAD) : len(_HEAD) + 64].strip(b"0123456789abcdef")
    return begins and (rule in ("not-json", "not-utf8") or not line.rstrip().endswith(b"}"))


def key_of(document: str, setup: Mapping[str, Any]) -> str:
    """Return what tells a document and the model that summarizes it from all others."""
    return _sha256(as_json([document, setup]))


def setup_of(summarizer: "Summarizer") -> dict[str, Any]:
    """Return the model and its settings, as the record of a summary has them."""
    from ...tasks.loading import types_of
    from ...tasks.summary import settings_record, versions

    loaded, settings = summarizer.loaded, settings_record(summarizer.plan)
    name_origins(settings)
    tokenizer = named(Path(loaded.tokenizer.name_or_path))
    names = {"model": loaded.name} | ({} if tokenizer == loaded.name else {"tokenizer": tokenizer})
    return {**names, "versions": versions(), **types_of(loaded.model), "settings": settings}


def identity_of(setup: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what of a setup changes summaries: a directory's files, not its name; settings, not who set them."""
    values = {name: setting["value"] for name, setting in setup["settings"].items()}
    places = {part: Path(setup[part]) for part in ("model", "tokenizer") if part in setup}
    # from a hub, the name has the commit, which stands for the files
    files = {part: fingerprint(place) if place.is_dir() else setup[part] for part, place in places.items()}
    return {**setup, **files, "settings": values}


def fingerprint(directory: Path) -> str:
    """Return a value that changes with the names, sizes and times of a checkpoint's files; others lie beside them."""
    from ...tasks.inspection import FILES, SUFFIXES

    paths = (path for path in directory.iterdir() if path.name in FILES or path.suffix in SUFFIXES)
    return _sha256(as_json(sorted([p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in paths if p.is_file())))


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
        return Records(None, "texts", _are_texts)
    if arguments.output in ("", STDIN):
        raise InputError("--output names no file, and standard output is for the table: name a file")
    path = Path(arguments.output)
    if arguments.output.endswith(os.sep) or path.is_dir():
        raise InputError(f"{arguments.output} is a directory: name a file for the records")
    try:
        check_names(inputs, [path], is_folder=False)
        check_writable(path, is_folder=False)
        if path.is_file() and identity(path) == identity(1):
            raise InputError(f"{path} is standard output, which is for the table: name another output")
        if path.is_file() and path.stat().st_size and not (arguments.force or arguments.skip_existing):
            raise InputError(f"{path} is there already: pass --force to replace it, --skip-existing to go on from it")
    except OSError as e:
        raise InputError(f"{e.filename or path}: {e.strerror}: name another output") from None
    return Records(path, "texts", _are_texts, arguments.force)


def _are_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
