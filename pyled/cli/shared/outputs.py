"""The place for results: standard output, one file for all, or a file for each input.

A file is replaced whole once it is complete: whatever happens, nobody finds half of one.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...errors import InputError
from ...files import remove_abandoned, replace_files
from .chunks import remove_chunks
from .console import Console, OutputError, for_terminal, put
from .forms import FORMS, Record, between, rendered, together
from .inputs import ENDINGS, Inputs
from .interrupts import held
from .places import check_names, check_writable, file_names, is_device

# 1. The place


class Output:
    """The place for results: a file for each input, one file for all, or standard output."""

    def __init__(self, paths: Mapping[str, Path | None], is_folder: bool, is_one: bool, form: str, anew: bool) -> None:
        """paths: the file of each input's results, None for standard output

        is_folder: each has a file of its own; is_one: there is one result, so that a text needs no head
        anew: files are replaced, and the finished chunks of an earlier run are not used
        """
        self._paths, self.is_folder, self._is_one, self._form = paths, is_folder, is_one, form
        self.starts_anew = anew
        self._records: list[Record] = []  # for the end
        self._between = ""

    def put(self, *records: Record) -> None:
        """Write the results of an input: at once to a file of its own, and to standard output but for JSON.

        Raises OutputError, and TakenError.
        """
        path = self._paths[records[0]["input"]]
        if path is not None and self.is_folder:
            is_one = len(records) == 1
            whole = rendered(records[0], self._form, is_one) if is_one else together(records, self._form, is_one)
            _replace(path, whole, not self.starts_anew)
        elif path is None and self._form != "json":
            for record in records:
                put(self._between + rendered(record, self._form, self._is_one))
                self._between = between(self._form)
        else:
            self._records += records

    def close(self) -> None:
        """Write what is one piece: a file for all, a list in JSON. Raises OutputError."""
        if self._records:
            text = together(self._records, self._form, self._is_one)
            path = self._paths[self._records[0]["input"]]
            put(text) if path is None else _replace(path, text, not self.starts_anew)

    def file(self, name: str) -> Path | None:
        """Return the file of an input's results; None for standard output and for a device."""
        path = self._paths[name]
        return None if path is None or is_device(path) else path


class TakenError(OutputError):
    """A file that is not to be replaced has come since the run began; those of other inputs can be written."""


def _replace(path: Path, text: str, is_new: bool) -> None:
    """Write a file whole, and remove that of its chunks. Raises OutputError, and TakenError where it is to be new."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        if is_device(path):
            with path.open("wb") as file:
                file.write(for_terminal(text).encode("utf-8") if file.isatty() else data)
            return
        with held():
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_files({path: [data]}, is_new=is_new)
            remove_chunks(path)
    except FileExistsError:
        raise TakenError(f"{path} has come since this run began, and stays: pass --force to replace it") from None
    except OSError as e:
        raise OutputError(f"{path}: cannot be written: {e.strerror}") from None


# 2. The place that the arguments name


def add_outputs(
    parser: argparse.ArgumentParser, command: str, text: str, forms: Sequence[str] = ("text", "json", "jsonl")
) -> None:
    """Add the options of where a command's results go, and in which of FORMS; `text` is what the form "text" shows."""
    group = parser.add_argument_group("output")
    group.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        help="a file for all results; or a directory, there already or with a / at its end, for a file each: "
        f"notes{ENDINGS[command]}.txt for notes.txt (default: standard output)",
    )
    markdown = "md: Markdown; " if "md" in forms else ""
    group.add_argument(
        "--format",
        choices=forms,
        default="text",
        help=f"text: {text}; {markdown}json: a list of records, with all settings and figures; jsonl: a record a line "
        "(default: text)",
    )
    existing = group.add_mutually_exclusive_group()
    existing.add_argument("--force", action="store_true", help="replace outputs that are there already")
    existing.add_argument("--skip-existing", action="store_true", help="keep what is there already, do the others")


def open_output(arguments: argparse.Namespace, inputs: Inputs, console: Console, of_each: int = 1) -> Output:
    """Return the place for results. Inputs whose results are there already and stay leave `inputs.readable`.

    of_each: how many results an input has

    Raises InputError for an output that is there already, is an input, or could not be written.
    """
    is_one = len(inputs.all) * of_each == 1
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
            ending = ENDINGS[arguments.command]
            names = file_names(inputs.all, ending + FORMS[arguments.format], console)
            paths = {name: path / file for name, file in names.items()}
            remove_abandoned(path, f"*{ending}.*")
        check_writable(path, is_folder)
        check_names(inputs.files, paths.values(), is_folder)
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
        console.note(f"{files.pop()} is there already and is kept: nothing is done; --force replaces it")
    else:
        console.note(f"{len(there):,} of {len(inputs.readable):,} results are there already and are kept")
    inputs.readable = [name for name in inputs.readable if name not in there]
