"""Where results can be written: nothing that is read, and no file of somebody else, takes harm."""

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import InputError
from .console import Console
from .inputs import STDIN

LONGEST = 225  # bytes of a file's name: most systems take 255, that of its chunks has 29 more while it is written


def chunks_file(path: Path) -> Path:
    """Return the file of the finished chunks of the texts whose summaries a file is for."""
    return path.with_name(f".{path.name}.chunks.jsonl")


def is_device(path: Path) -> bool:
    """Say whether a path is there and no regular file, such as a terminal, a pipe or a directory."""
    return path.exists() and not path.is_file()


def check_names(inputs: Iterable[str], paths: Iterable[Path], is_folder: bool) -> None:
    """Raise InputError for a result in the place of an input or, in a folder, of a pipe, or with too long a name."""
    sources = {identity(name) for name in inputs}
    for path in paths:
        if len(os.fsencode(path.name)) > LONGEST:
            raise InputError(f"{path.name} is too long a name, of more than {LONGEST} bytes: name a file with --output")
        for place in (path, chunks_file(path)):
            if identity(place) in sources:
                raise InputError(f"{place} is an input: name another output")
            if is_device(place) and (is_folder or place != path):
                raise InputError(f"{place} is no regular file, where one would be written: name another output")
        if path.exists() and not os.access(path, os.W_OK):
            raise InputError(f"{path} is read-only: name another output")
        if path.is_symlink():
            check_writable(path, is_folder=False)


def identity(name: str | Path | int) -> Any:
    """Return what all names of one file share, also its hard links, and the number under which it is open."""
    try:
        status = os.stat(0 if name == STDIN else name)  # noqa: PTH116
        if stat.S_ISREG(status.st_mode):
            return status.st_dev, status.st_ino
    except (OSError, ValueError):  # ValueError: a name with a NUL
        pass
    return name if name == STDIN or isinstance(name, int) else os.path.realpath(name)


def check_writable(path: Path, is_folder: bool) -> None:
    """Raise InputError unless a file can be made: in this folder, which may be missing, or at this path."""
    if not is_folder and is_device(path):
        return
    target = Path(os.path.realpath(path) if path.is_symlink() and not is_folder else path)
    folder = target if is_folder or target.is_symlink() else target.parent  # subtle: in a loop, a link leads to a link
    place = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    if not place.is_dir():
        kind = "a file" if place.is_file() else "no directory" if place.exists() else "a link that leads nowhere"
        raise InputError(f"{place} is {kind}: name another output")
    if place != folder and not is_folder:
        raise InputError(f"{folder} is no directory: make it, or name another output")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"{place} is not yours to write to: name another output")


def check_file(path: Path, inputs: Iterable[str | None], is_replaced: bool) -> None:
    """Raise InputError where a file cannot be made, is an input or no file, or is there and not to be replaced."""
    if str(path) == STDIN or (path.exists() and not path.is_file()):
        raise InputError(f"{path} is no regular file: name another output")
    check_writable(path, is_folder=False)
    check_names(filter(None, inputs), [path], is_folder=False)
    if path.exists() and not is_replaced:
        raise InputError(f"{path} is there already: pass --force to replace it")


def check_once(names: Iterable[str]) -> None:
    """Raise InputError for an input that is named twice."""
    if twice := [name for name, count in Counter(map(os.path.abspath, names)).items() if count > 1]:
        raise InputError(f"{twice[0]} is named twice: leave one out")


def file_names(inputs: Sequence[str], suffix: str, console: Console) -> dict[str, str]:
    """Return the name of the file with the result of each input: notes.summary.txt for notes.txt.

    suffix: what all names end in, as .summary.txt

    Inputs of one name, as notes.txt and notes.md, keep their suffix, and then as many of their folders as it takes
    to tell them apart, which is told. Raises InputError for an input that is named twice.
    """
    check_once(inputs)
    parts = {name: ("standard-input",) if name == STDIN else Path(name).absolute().parts[1:] for name in inputs}
    # File systems may not tell letters from capitals.
    stems = _told_apart(parts, str.casefold) or _told_apart(parts, str)
    if stems is None:
        raise InputError("the results of some inputs would have one name: name fewer at a time")
    files = {name: f"{stem}{suffix}" for name, stem in stems.items()}
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
