"""The place for summaries: standard output, one file for all, or a file for each input.

A file is replaced whole once it is complete: whatever happens, nobody finds half of one.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ...errors import InputError
from ...files import replace_file
from .console import Console, OutputError, put
from .forms import FORMS, Record, between, rendered, together
from .inputs import MADE, STDIN, Inputs
from .interrupts import held

LONGEST = 240  # bytes of a file's name: most file systems take 255, and while it is written it has 15 more

# 1. The place


class Output:
    """The place for summaries: a file for each input, one file for all, or standard output."""

    def __init__(self, paths: Mapping[str, Path | None], is_folder: bool, is_one: bool, form: str, anew: bool) -> None:
        """paths: the file of each input's summary, None for standard output

        is_folder: each has a file of its own; is_one: there is one input, so that a text needs no head
        anew: the finished chunks of an earlier run are not used
        """
        self._paths, self._is_folder, self._is_one, self._form = paths, is_folder, is_one, form
        self.starts_anew = anew
        self._records: list[Record] = []  # for the end
        self._between = ""

    def put(self, record: Record) -> None:
        """Write a summary: at once to a file of its own, and to standard output but for JSON. Raises OutputError."""
        path = self._paths[record["input"]]
        if path is not None and self._is_folder:
            _replace(path, rendered(record, self._form, is_one=True))
        elif path is None and self._form != "json":
            put(self._between + rendered(record, self._form, self._is_one))
            self._between = between(self._form)
        else:
            self._records.append(record)

    def close(self) -> None:
        """Write what is one piece: a file for all, a list in JSON. Raises OutputError."""
        if self._records:
            text = together(self._records, self._form, self._is_one)
            path = self._paths[self._records[0]["input"]]
            put(text) if path is None else _replace(path, text)

    def file(self, name: str) -> Path | None:
        """Return the file of an input's summary; None for standard output and for a device."""
        path = self._paths[name]
        return None if path is None or is_device(path) else path


def _replace(path: Path, text: str) -> None:
    """Write a file whole, and remove that of its chunks."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        if is_device(path):
            path.write_bytes(data)
            return
        with held():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replace_file(path) as file:
                file.write(data)
            chunks_file(path).unlink(missing_ok=True)
    except OSError as e:
        raise OutputError(f"{path}: cannot be written: {e.strerror}") from None


def chunks_file(path: Path) -> Path:
    """Return the file of the finished chunks of the texts whose summaries a file is for."""
    return path.with_name(f".{path.name}.chunks.jsonl")


def is_device(path: Path) -> bool:
    """Say whether a path is something to write to that is no file, such as a terminal or a pipe."""
    return path.exists() and not path.is_file()


# 2. The place that the arguments name


def open_output(arguments: argparse.Namespace, inputs: Inputs, console: Console) -> Output:
    """Return the place for summaries. Inputs whose summaries are there already and stay leave `inputs.readable`.

    Raises InputError for an output that is there already, is an input, or could not be written.
    """
    is_one = len(inputs.all) == 1
    if arguments.output in (None, "-"):
        for option in ("force", "skip_existing"):
            if getattr(arguments, option):
                raise InputError(f"--{option.replace('_', '-')} is for files: name one, or a directory, with --output")
        if sys.stdout is None:
            raise InputError("standard output is closed: name a file with --output")
        return Output(dict.fromkeys(inputs.all), False, is_one, arguments.format, False)
    if not arguments.output:
        raise InputError("--output names no file: name one, or a directory")
    path = Path(arguments.output)
    try:
        is_folder = arguments.output.endswith(os.sep) or path.is_dir()
        paths = dict.fromkeys(inputs.all, path)
        if is_folder:
            names = file_names(inputs.all, FORMS[arguments.format], console)
            paths = {name: path / file for name, file in names.items()}
        if is_folder or not is_device(path):
            check_writable(path if is_folder else path.parent, make=is_folder)
        check_names(paths)
        _settle_existing(paths, arguments, inputs, console)
    except OSError as e:
        raise InputError(f"{e.filename or path}: {e.strerror}: name another output") from None
    return Output(paths, is_folder, is_one, arguments.format, arguments.force)


def _settle_existing(
    paths: Mapping[str, Path], arguments: argparse.Namespace, inputs: Inputs, console: Console
) -> None:
    """Raise InputError for outputs that are there already, unless an option says what becomes of them."""
    if arguments.force:
        return
    there = {name: paths[name] for name in inputs.readable if paths[name].is_file()}
    if not there:
        return
    if not arguments.skip_existing:
        first, *others = dict.fromkeys(there.values())
        more = f", and {len(others):,} other{'s are' if len(others) > 1 else ' is'}" if others else ""
        raise InputError(f"{first} is there already{more}: pass --force to replace it, --skip-existing to keep it")
    if len(files := set(paths.values())) == 1:
        console.note(f"{files.pop()} is there already and is kept: nothing is summarized; --force replaces it")
    else:
        console.note(f"{len(there):,} of {len(inputs.readable):,} summaries are there already and are kept")
    inputs.readable = [name for name in inputs.readable if name not in there]


def check_names(paths: Mapping[str, Path]) -> None:
    """Raise InputError where a summary would take the place of a text or a directory, or have too long a name."""
    sources = {os.path.realpath(name) for name in paths if name != STDIN}
    for path in paths.values():
        if len(os.fsencode(path.name)) > LONGEST:
            raise InputError(f"{path.name} is too long a name, of more than {LONGEST} bytes: name a file with --output")
        if os.path.realpath(path) in sources:
            raise InputError(f"{path} is an input: name another output")
        if path.is_dir():
            raise InputError(f"{path} is a directory, where a summary would be: name another output")


def check_writable(folder: Path, make: bool) -> None:
    """Raise InputError unless a file can be made in a folder, which may be missing where it will be made."""
    place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not place.is_dir():
        raise InputError(f"{place} is {'a file' if place.is_file() else 'no directory'}: name another output")
    if place != folder and not make:
        raise InputError(f"{folder} is no directory: make it, or name another output")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"{place} is not yours to write to: name another output")


def file_names(inputs: Sequence[str], suffix: str, console: Console) -> dict[str, str]:
    """Return the name of the file with the summary of each input: notes.summary.txt for notes.txt.

    Inputs of one name, as notes.txt and notes.md, keep their suffix, and then as many of their folders as it takes
    to tell them apart, which is told. Raises InputError for an input that is named twice.
    """
    if twice := [name for name, count in Counter(map(os.path.abspath, inputs)).items() if count > 1]:
        raise InputError(f"{twice[0]} is named twice: leave one out")
    parts = {name: ("standard-input",) if name == STDIN else Path(name).absolute().parts[1:] for name in inputs}
    # File systems may not tell letters from capitals.
    stems = _told_apart(parts, str.casefold) or _told_apart(parts, str)
    if stems is None:
        raise InputError("the summaries of some inputs would have one name: name fewer at a time")
    files = {name: f"{stem}{MADE}{suffix}" for name, stem in stems.items()}
    if longer := [files[name] for name, stem in stems.items() if stem != Path(parts[name][-1]).stem]:
        console.note(f"{len(longer):,} inputs share a name: their files are named after folders too, as {longer[0]}")
    return files


def _told_apart(parts: Mapping[str, Sequence[str]], fold: Callable[[str], str]) -> dict[str, str] | None:
    """Return a stem for each path, by its parts, as short as all differ when folded; None if they never do."""
    depth = dict.fromkeys(parts, 0)
    while True:
        stems = {name: "-".join(parts[name][-n:]) if n else Path(parts[name][-1]).stem for name, n in depth.items()}
        count = Counter(map(fold, stems.values()))
        same = [name for name, stem in stems.items() if count[fold(stem)] > 1]
        deeper = [name for name in same if depth[name] < len(parts[name])]
        if not deeper:
            return None if same else stems
        for name in deeper:
            depth[name] += 1
