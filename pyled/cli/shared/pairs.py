"""The documents with their summaries that `pyled evaluate` reads: JSON Lines, or one JSON array."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...errors import InputError, brief
from ...files import parse_json
from .console import Console
from .inputs import STDIN, Tally, read_text, shown

if TYPE_CHECKING:
    from ...evaluation.groups import Pair

DIGITS = 1000  # of an integer in a record, which may have any keys besides


def add_keys(group: Any) -> None:
    """Add the options that name the keys of a document and its summary."""
    for key in ("document", "summary"):
        group.add_argument(
            f"--{key}-key", default=key, metavar="KEY", help=f"the key of the {key} in the objects (default: {key})"
        )


class Pairs(Tally):
    """The pairs of a run.

    readable: those to evaluate
    failed: how many inputs and rows cannot be read, and how many pairs cannot be evaluated
    """

    unit = "documents"

    def __init__(self, inputs: list[str], keys: tuple[str, str], console: Console) -> None:
        """Read all inputs: mistakes are told before any long work. keys: of the document, and of its summary."""
        self._console, self._keys = console, keys
        self.readable: list[Pair] = []
        for name in inputs:
            self._read(shown(name) if name == STDIN else name, name)
        self.total = len(self.readable) + self.failed

    def _read(self, input: str, name: str) -> None:
        """Read an input. It is of another form where its first row is, and no part of it is read."""
        from ...evaluation.groups import Pair

        try:
            rows = list(_rows(read_text(name, may_be_blank=True)))
            if not rows:
                raise InputError("is empty: it has no document with a summary")
            _fields(*rows[0], self._keys)
        except InputError as e:
            self.fail(input, e)
            return
        for place, row in rows:
            try:
                fields = _fields(place, row, self._keys)
                texts = [_text(place, key, fields[key]) for key in self._keys]
                self.readable.append(Pair(input, place, *texts))
            except InputError as e:
                self.fail(input, e)


def _rows(text: str) -> Iterator[tuple[str, str]]:
    """Yield each row as JSON, with its place: the lines of JSON Lines, the items of an array. Raises InputError."""
    if text.lstrip().startswith("["):
        items = parse_json(text.encode("utf-8"), "as a JSON array", InputError, digits=DIGITS)
        yield from ((f"item {number}", json.dumps(item)) for number, item in enumerate(items, 1))
    else:
        yield from ((f"line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip())


def _fields(place: str, row: str, keys: tuple[str, str]) -> dict[str, Any]:
    """Return what the JSON object of a row has under the keys. Raises InputError."""
    remedy = "write a JSON object with a document and its summary on each line, or one array of them"
    try:
        value = parse_json(row.encode("utf-8"), place, InputError, digits=DIGITS)
    except InputError as e:
        raise InputError(f"{str(e).replace('at line 1, column', 'at column')}: {remedy}") from None
    if not isinstance(value, dict):
        raise InputError(f"{place}: is a JSON {type(value).__name__}: {remedy}")
    for key, option in zip(keys, ("--document-key", "--summary-key"), strict=True):
        if key not in value:
            others = ", ".join(map(repr, value))[:200] or "no other"
            raise InputError(f"{place}: has no {brief(key)}, but {others}: name the right one with {option}")
    return {key: value[key] for key in keys}


def _text(place: str, key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{place}: its {brief(key)} is of the type {type(value).__name__}: a string was expected")
    if not value.strip():
        raise InputError(f"{place}: its {brief(key)} is empty")
    return value
