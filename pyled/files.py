"""Strict JSON in, whole files out: the only code of pyled that parses JSON or replaces a file."""

import contextlib
import json
import math
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .errors import PyledError

DIGITS = 18  # enough for every 2**48 a header may hold, far from Python's own limit of 4,300
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(data: bytes, where: str, error: type[PyledError], *, floats: bool = True, digits: int = DIGITS) -> Any:
    """The value of a JSON text, refusing what `json.loads` lets pass silently.

    Refused: bytes that are not UTF-8, a byte order mark, duplicate keys, NaN, Infinity and 1e999, `-0`, integers of
    more than `digits` digits, lone surrogates, nesting too deep to parse, and, with floats=False, every number that
    is not a plain integer. `where` opens the message; `error` is the class raised.
    """

    def refuse(problem: str) -> PyledError:
        return error(f"{where}: {problem}")

    def integer(literal: str) -> int:
        if literal == "-0" or len(literal.removeprefix("-")) > digits:
            raise refuse(f"the integer {literal[:24]} is refused: at most {digits} digits, and no -0")
        return int(literal)

    def real(literal: str) -> float:
        if not floats:
            raise refuse(f"{literal[:24]} stands where only plain integers may")
        value = float(literal)
        if math.isinf(value):
            raise refuse(f"{literal[:24]} is beyond the range of float64")
        return value

    def constant(name: str) -> None:
        raise refuse(f"{name} is no JSON value")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise refuse(f"the key {twice[:100]!r} stands twice")
        return result

    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=unique, parse_int=integer, parse_float=real, parse_constant=constant)
        if _SURROGATE_ESCAPE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as e:
        raise refuse(f"byte {e.start} is not UTF-8") from None
    except UnicodeEncodeError:
        raise refuse("a string holds half of a surrogate pair") from None
    except json.JSONDecodeError as e:
        raise refuse(f"not JSON: {e.msg} at line {e.lineno}, column {e.colno}") from None
    except RecursionError:
        raise refuse("nested too deeply") from None
    return value


def read_json(path: Path, error: type[PyledError], *, digits: int = DIGITS) -> dict[str, Any]:
    """The JSON object in a file; see `parse_json`.

    Raises `error` when the file is missing, unreadable or holds no object.
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise error(f"{path}: cannot be read: {e.strerror or e}") from None
    value = parse_json(data, str(path), error, digits=digits)
    if not isinstance(value, dict):
        raise error(f"{path}: holds a JSON {type(value).__name__}, an object was expected")
    return value


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace `path` by `value` as indented JSON with sorted keys."""
    with replace_file(path) as file:
        file.write((json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8"))


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write beside `path`, renamed to `path` when the block ends well and removed when it does not.

    Whoever looks at `path` sees the old content or the whole of the new. A symbolic link is written through.
    """
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with beside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            beside.chmod(target.stat().st_mode & 0o777)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
