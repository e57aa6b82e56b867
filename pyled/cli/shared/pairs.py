"""The documents with their summaries that `pyled evaluate` reads: JSON Lines, or one JSON array."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...files import parse_json
from .console import Console, in_words
from .inputs import read_text, shown

if TYPE_CHECKING:
    from ...evaluation.groups import Pair

DIGITS = 1000  # of an integer in a record, which may have any keys besides


class Pairs:
    """The pairs of a run.

    readable: those to evaluate
    failed: how many inputs and rows cannot be read, and pairs cannot be evaluated
    """

    def __init__(self, inputs: list[str], keys: tuple[str, str], console: Console) -> None:
        """Read all inputs: mistakes are told before any long work. Raises InputError for one that is named twice.

        keys: of the document, and of its summary
        """
        twice = [name for name, count in Counter(map(os.path.abspath, inputs)).items() if count > 1]
        if twice:
            raise InputError(f"{twice[0]} is named twice: leave one out")
        self._console = console
        self.readable: list[Pair] = []
        self.failed = self._unreadable = 0
        for name in inputs:
            self._read(name, keys)

    def _read(self, name: str, keys: tuple[str, str]) -> None:
        """Read one input. A first row of another form says that the whole input is of another form."""
        from ...evaluation.groups import Pair

        place = ""
        try:
            rows = list(_rows(read_text(name, may_be_blank=True)))
            if not rows:
                raise InputError("is empty: there is nothing to evaluate")
            place = f"{rows[0][0]}: "
            _object(rows[0][1], keys)
        except InputError as e:
            self._unreadable += 1
            self.fail(shown(name), InputError(f"{place}{e}"))
            return
        for place, row in rows:
            try:
                texts = _object(row, keys)
                self.readable.append(Pair(shown(name), place, *(_text(texts, key) for key in keys)))
            except InputError as e:
                self._unreadable += 1
                self.fail(f"{shown(name)}: {place}", e)

    def fail(self, place: str, error: Exception) -> None:
        """Tell what is left out, and why."""
        self.failed += 1
        self._console.error(f"{place}: {in_words(error)}")

    def report(self) -> None:
        """Tell at the end how many of several failed."""
        total = len(self.readable) + self._unreadable
        if self.failed and total > 1:
            self._console.error(f"{self.failed:,} of {total:,} documents failed")


def _rows(text: str) -> Iterator[tuple[str, str]]:
    """Yield each row as JSON, with its place: the lines of JSON Lines, the items of an array. Raises InputError."""
    if text.lstrip().startswith("["):
        items = parse_json(text.encode("utf-8"), "as a JSON array", InputError, digits=DIGITS)
        yield from ((f"item {number}", json.dumps(item)) for number, item in enumerate(items, 1))
    else:
        yield from ((f"line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip())


def _object(row: str, keys: tuple[str, str]) -> dict[str, Any]:
    """Return the JSON object of a row that has both keys. Raises InputError."""
    try:
        value = parse_json(row.encode("utf-8"), "", InputError, digits=DIGITS)
    except InputError as e:
        problem = str(e).removeprefix(": ").replace("at line 1, column", "at column")
        raise InputError(f"{problem}: write a JSON object with a document and its summary on each line") from None
    if not isinstance(value, dict):
        raise InputError(f"is a JSON {type(value).__name__}: write an object with a document and its summary")
    for key, option in zip(keys, ("--document-key", "--summary-key"), strict=True):
        if key not in value:
            others = ", ".join(map(repr, value))[:200] or "no other"
            raise InputError(f"has no {key!r}, but {others}: name the right one with {option}")
    return value


def _text(texts: dict[str, Any], key: str) -> str:
    text = texts[key]
    if not isinstance(text, str):
        raise InputError(f"its {key!r} is of the type {type(text).__name__}: a string was expected")
    if not text.strip():
        raise InputError(f"its {key!r} is empty")
    return text
