"""Files are opened without waiting, read within limits, parsed strictly, and replaced whole."""

import contextlib
import errno
import glob
import io
import json
import math
import os
import re
import secrets
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from .errors import PyledError, brief

LIMIT = 2**25  # bytes of a file that is read whole: ten times LED's largest, a tokenizer.json of 3.5 million
DEPTH = 200  # lists and objects in one another
DIGITS = 18  # enough for every 2**48 a header may hold, far from Python's own limit of 4,300
# git puts a few lines in the place of a file that it did not fetch
GIT_LFS = b"version https://git-lfs.github.com/spec/"
POINTER = "is a pointer of Git LFS, not the file itself: run `git lfs pull` where it was cloned"
_NUMBER = "[0-9a-f]" * 8  # as a pattern: of a file that is being written
TRIES = 6000  # to lock a file, in a minute: much longer than pyled keeps one locked
_ABANDONED = 3600  # seconds since the last byte was written to a file that nobody finished
# Why a file is not replaced.
_REASONS = {errno.EEXIST: "is there already, and stays as it is", errno.EISDIR: "is a directory",
            errno.EINVAL: "is no regular file", errno.EACCES: "is read-only"}  # fmt: skip
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def is_there(path: Path, error: type[PyledError]) -> bool:
    """Return whether a directory has a name, also a link that leads nowhere. Raises `error` where nobody can tell."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as e:
        raise error(f"{path}: cannot be looked up: {reason(path, e)}", "unreadable") from None
    return True


def reason(path: Path, e: Exception) -> str:
    """Return in words why a path cannot be opened: ValueError is for a name that no file can have."""
    return (isinstance(e, FileNotFoundError) and broken_link(path)) or getattr(e, "strerror", None) or str(e)


def broken_link(path: Path) -> str:
    """Return in words that a path that is not there goes through a link, and where that leads; "" if it does not."""
    for link in (path, *path.parents):
        if link.is_symlink() and not link.exists():
            name = "it" if link == path else link
            return f"{name} is a link to {os.path.realpath(link)}, which is not there: fetch it, or remove the link"
    return ""


def open_file(path: Path, error: type[PyledError], *, takes_pipes: bool = False) -> BinaryIO:
    """Open a regular file to read its bytes; with takes_pipes a pipe, too, which waits for whoever writes to it.

    Raises `error` for anything else that is there, at once. Its message lacks the path.
    """
    # subtle: the system opens a pipe only when somebody writes to it, unless it is told not to wait.
    flag = 0 if takes_pipes else getattr(os, "O_NONBLOCK", 0)
    try:
        file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | flag))  # noqa: SIM115
    except (OSError, ValueError) as e:
        raise error(f"cannot be read: {reason(path, e)}", "unreadable") from None
    mode = os.fstat(file.fileno()).st_mode
    if stat.S_ISREG(mode) or (takes_pipes and stat.S_ISFIFO(mode)):
        return file
    file.close()
    raise error(f"is a {'pipe' if stat.S_ISFIFO(mode) else 'device'}: put a file in its place", "no-file")


def contents(file: BinaryIO, error: type[PyledError], limit: int) -> bytes:
    """Return what an open file holds. Raises `error`, whose message lacks the path, for more than `limit` bytes."""
    size, data = 0, bytearray()
    with contextlib.suppress(io.UnsupportedOperation):  # a file in memory
        size = os.fstat(file.fileno()).st_size
    try:
        while max(size, len(data)) <= limit and (piece := file.read(2**20)):
            data += piece
    except OSError as e:
        raise error(f"cannot be read: {e.strerror or e}", "unreadable") from None
    if (size := max(size, len(data))) > limit:
        raise error(f"has at least {size:,} bytes, at most {limit:,} are read: name the right file", "file-too-large")
    if data.startswith(GIT_LFS):
        raise error(POINTER, "git-lfs")
    return bytes(data)


def read_file(path: Path, error: type[PyledError], *, limit: int = LIMIT, takes_pipes: bool = False) -> bytes:
    """Return the bytes of a file. Raises `error`, see `open_file` and `contents`, also for a pointer of Git LFS."""
    try:
        with open_file(path, error, takes_pipes=takes_pipes) as file:
            return contents(file, error, limit)
    except error as e:
        raise e.at(path) from None


def parse_json(
    data: bytes, where: str, error: type[PyledError], *, floats: bool = True, digits: int = DIGITS, halves: bool = False
) -> Any:
    """Return the value of a JSON text, and refuse what `json.loads` lets pass silently.

    Refused: bytes that are not UTF-8, a byte order mark, duplicate keys, NaN, Infinity and 1e999, `-0`, integers of
    more than `digits` digits, lone surrogates unless halves=True, more than DEPTH levels, and, with floats=False,
    every number that is not a plain integer. `where` opens the message; `error` is the class raised.
    """

    def refuse(problem: str, rule: str) -> PyledError:
        return error(f"{where}: {problem}", rule)

    def integer(literal: str) -> int:
        if literal == "-0" or len(literal.removeprefix("-")) > digits:
            raise refuse(f"the integer {literal[:24]} is refused: at most {digits} digits, and no -0", "integer")
        return int(literal)

    def real(literal: str) -> float:
        if not floats:
            raise refuse(f"{literal[:24]} stands where only plain integers may", "not-integer")
        value = float(literal)
        if math.isinf(value):
            raise refuse(f"{literal[:24]} is beyond the range of float64", "float-range")
        return value

    def constant(name: str) -> None:
        raise refuse(f"{name} is no JSON value", "nan")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise refuse(f"the key {brief(twice)} stands twice", "duplicate-key")
        return result

    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=unique, parse_int=integer, parse_float=real, parse_constant=constant)
        if text.count("[") + text.count("{") > DEPTH:
            _check_depth(value)
        if not halves and _SURROGATE_ESCAPE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as e:
        raise refuse(f"byte {e.start} is not UTF-8", "not-utf8") from None
    except UnicodeEncodeError:
        raise refuse("a string holds half of a surrogate pair", "lone-surrogate") from None
    except json.JSONDecodeError as e:
        problem = f"{e.msg.removesuffix(' at')} at line {e.lineno}, column {e.colno}"
        raise refuse(f"not JSON: {problem}", "not-json") from None
    except RecursionError:
        raise refuse(f"nested too deeply: at most {DEPTH} levels are read", "too-deep") from None
    return value


def _check_depth(value: Any) -> None:
    """Raise RecursionError for more than DEPTH lists and objects in one another, which a copy could not follow."""
    level, depth = [value], 0
    while wholes := [part for part in level if isinstance(part, (dict, list))]:
        depth += 1
        if depth > DEPTH:
            raise RecursionError
        level = [part for whole in wholes for part in (whole.values() if isinstance(whole, dict) else whole)]


def read_json(
    path: Path, error: type[PyledError], *, digits: int = DIGITS, takes_pipes: bool = False
) -> dict[str, Any]:
    """Return the JSON object in a file; see `read_file` and `parse_json`. Raises `error`, also for another value."""
    try:
        value = parse_json(read_file(path, error, takes_pipes=takes_pipes), str(path), error, digits=digits)
    except error as e:
        raise (error(f"{e}: mend the file, or fetch it again", e.rule) if e.rule == "not-json" else e) from None
    if not isinstance(value, dict):
        raise error(f"{path}: holds a JSON {type(value).__name__}, an object was expected", "not-an-object")
    return value


def json_text(value: dict[str, Any]) -> str:
    """Return a value as indented JSON with sorted keys. Raises PyledError for what JSON does not have."""
    try:
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
        text.encode("utf-8")
        return text
    except (RecursionError, TypeError, ValueError) as e:
        raise PyledError(f"cannot be written as JSON: {e}") from None


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace `path` by `value`, in a directory that is made if missing; see `json_text`."""
    data = json_text(value).encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_files({path: [data]})


def replace_files(
    contents: Mapping[Path, Iterable[bytes]], *, outdated: Path | None = None, is_new: bool = False
) -> None:
    """Replace files together: write each beside its path and, once all are on the disk, rename them, in order.

    Whoever looks at a path sees the old content or the whole of the new. A symbolic link is written through, the other
    names of a hard link keep the old content, the mode stays. Of several processes only one renames in a folder. Where
    a kill comes between two renamings, `finish_replacing` does the rest.
    outdated: a file that would be wrong beside the new content; it is removed just before
    is_new: replace nothing, not even what comes while the content is written

    A killed process leaves `.NAME.xxxxxxxx.part`, which nothing reads. The next write of that path removes it when it
    is an hour old: a younger one may belong to another process that is still writing.

    Raises OSError, also for what is read-only or no file. It names the path even where the system does not.
    """
    parts: dict[Path, tuple[Path, Path]] = {}
    folder, number = next(iter(contents)).parent, secrets.token_hex(4)
    finish_replacing(folder)
    mark = folder / f".{number}.whole"
    try:
        for path, pieces in contents.items():
            target = Path(os.path.realpath(path))
            remove_abandoned(target.parent, glob.escape(target.name))
            parts[path] = target.with_name(f".{target.name}.{number}.part"), target
            with _beside(*parts[path], is_new) as file:
                file.writelines(pieces)
        with locked(folder):
            if len(parts) > 1:
                mark.touch()  # from here on the new files count
            if outdated is not None:
                outdated.unlink(missing_ok=True)
            for path in parts:
                part, target = parts[path]
                if not (is_new and _linked(part, target)):
                    part.replace(target)
            mark.unlink(missing_ok=True)
    except OSError as e:
        if str(e.filename).endswith(".part"):
            raise OSError(e.errno, e.strerror, str(path)) from None
        e.filename = e.filename or str(path)
        raise
    finally:
        for part, _ in parts.values() if not mark.exists() else ():
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give an empty file to write and read, which replaces `path` when the block is done; see `replace_files`.

    Where the block raises, the old file stays. Raises OSError.
    """
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    remove_abandoned(target.parent, glob.escape(target.name))
    try:
        with _beside(part, target, is_new=False) as file:
            yield file
        with locked(target.parent):
            part.replace(target)
    except OSError as e:
        if e.filename is None or str(e.filename).endswith(".part"):
            raise OSError(e.errno, e.strerror, str(path)) from None
        raise
    finally:
        part.unlink(missing_ok=True)


def finish_replacing(folder: Path) -> None:
    """Rename what `replace_files` had written whole before its process was killed. Raises OSError."""
    for mark in filter(Path.is_file, folder.glob(f".{_NUMBER}.whole")):
        with locked(folder):  # until a process that is alive is done
            for part in folder.glob(f".*.{mark.stem[1:]}.part") if mark.exists() else ():
                target = folder / part.name[1 : -len(".01234567.part")]
                # subtle: a folder that others made must not change files elsewhere
                if part.is_file() and not target.is_symlink() and not target.is_dir():
                    part.replace(target)
            mark.unlink(missing_ok=True)


@contextlib.contextmanager
def _beside(part: Path, target: Path, is_new: bool) -> Iterator[BinaryIO]:
    """Give a file that will replace another, with its mode and, where the system lets us, its owner, to be written."""
    if is_there := os.path.lexists(target):
        is_file, is_folder = target.is_file(), target.is_dir()
        number = errno.EEXIST if is_new else errno.EACCES if is_file else errno.EISDIR if is_folder else errno.EINVAL
        if is_new or not is_file or not os.access(target, os.W_OK):
            raise OSError(number, _REASONS[number])
    with part.open("x+b") as file:
        if is_there:  # before the content comes: it may be private
            old = target.stat()
            with contextlib.suppress(OSError, AttributeError):  # AttributeError: Windows has other owners
                os.chown(part, old.st_uid, old.st_gid)
            part.chmod(old.st_mode & 0o777)
        yield file
        file.flush()
        os.fsync(file.fileno())


def _linked(part: Path, target: Path) -> bool:
    """Give a file its name, which replaces nothing. Return False where the file system has no hard links."""
    with contextlib.suppress(OSError):
        os.link(part, target)
        return True
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, _REASONS[errno.EEXIST])
    return False


@contextlib.contextmanager
def locked(place: Path) -> Iterator[None]:
    """Keep other processes that lock the same file or folder waiting until the block is done, where the system can.

    Raises OSError where another program keeps it locked, as `flock FILE pyled ...` does, which waits for this process.
    """
    tries = 0
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, ImportError):  # ImportError: Windows
            import fcntl

            handle = os.open(place, os.O_RDONLY)
            stack.callback(os.close, handle)
            while (tries := tries + 1) < TRIES:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                time.sleep(0.01)
        if tries == TRIES:
            raise OSError(errno.ETIMEDOUT, f"another program has locked {place}: end it, or lock another file")
        yield


def remove_abandoned(folder: Path, names: str = "*") -> None:
    """Remove what killed processes left in a folder for files of some names, a pattern; see `replace_files`."""
    for part in folder.glob(f".{names}.{_NUMBER}.part"):
        with contextlib.suppress(OSError):  # another process was faster
            if part.stat().st_mtime < time.time() - _ABANDONED:
                part.unlink()
