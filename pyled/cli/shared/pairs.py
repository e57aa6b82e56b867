"""What `pyled evaluate` reads: documents with their summaries, in JSON, one a line."""

import os
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...files import parse_json
from .console import Console, in_words
from .inputs import read_text, shown

if TYPE_CHECKING:
    from ...evaluation.evaluation import Pair

MOST_TOLD = 10  # lines of an input that are no pair; of the others the number is told
DIGITS = 1000  # of an integer in a record, which may have any keys besides


class Pairs:
    """The pairs of a run.

    found: those to be evaluated, at most `limit` of each input
    failed: how many inputs and lines are left out because they are bad, and pairs because they failed
    asked: how many there were in all: of inputs that cannot be read one each
    """

    def __init__(
        self, inputs: list[str], keys: tuple[str, str], limit: int | None, seed: int, console: Console
    ) -> None:
        """Read all inputs: mistakes are told before any long work. Raises InputError for one that is named twice."""
        twice = [name for name, count in Counter(map(os.path.abspath, inputs)).items() if count > 1]
        if twice:
            raise InputError(f"{twice[0]} is named twice: leave one out")
        self._keys, self._console = keys, console
        self.found: list[Pair] = []
        self.failed = self.asked = 0
        for name in inputs:
            try:
                pairs = self._read(name)
            except InputError as e:
                self.asked += 1
                self.fail(name, e)
                continue
            self.found += drawn(pairs, limit, seed)
        self.asked += len(self.found)

    def fail(self, place: str, error: Exception) -> None:
        """Tell what is left out, and why."""
        self.failed += 1
        self._console.error(f"{place}: {in_words(error)}")

    def report(self) -> None:
        """Say at the end how many failed, where there is more than one to lose sight of."""
        if self.failed and self.asked > 1:
            self._console.error(f"{self.failed:,} of {self.asked:,} documents failed")

    def _read(self, name: str) -> "list[Pair]":
        from ...evaluation.evaluation import Pair

        pairs, bad = [], 0
        for number, line in enumerate(read_text(name, may_be_blank=True).split("\n"), 1):
            if not line.strip():
                continue
            try:
                pairs.append(Pair(shown(name), number, *self._pair(line)))
            except InputError as e:
                bad += 1
                self.asked += 1
                if bad <= MOST_TOLD:
                    self.fail(f"{shown(name)}: line {number}", e)
        if bad > MOST_TOLD:
            self.failed += bad - MOST_TOLD
            self._console.error(f"{shown(name)}: and {bad - MOST_TOLD:,} other lines")
        if not pairs and not bad:
            raise InputError("is empty: there is nothing to evaluate")
        return pairs

    def _pair(self, line: str) -> tuple[str, str]:
        """The document and the summary of a line. Raises InputError."""
        try:
            value: Any = parse_json(line.encode("utf-8"), "a pair", InputError, digits=DIGITS)
        except InputError as e:
            raise InputError(str(e).removeprefix("a pair: ").replace("at line 1, column", "at column")) from None
        if not isinstance(value, dict):
            raise InputError(f"a JSON {type(value).__name__}: an object with a document and its summary was expected")
        return self._text(value, 0), self._text(value, 1)

    def _text(self, value: dict[str, Any], which: int) -> str:
        key = self._keys[which]
        if key not in value:
            option = ("--document-key", "--summary-key")[which]
            named = ", ".join(map(repr, value))[:200] or "no other"
            raise InputError(f"has no {key!r}, but {named}: name the right one with {option}")
        text = value[key]
        if not isinstance(text, str):
            raise InputError(f"its {key!r} is of the type {type(text).__name__}: a string was expected")
        if not text.strip():
            raise InputError(f"its {key!r} is empty")
        return text


def drawn(pairs: "list[Pair]", limit: int | None, seed: int) -> "list[Pair]":
    """At most so many of the pairs, drawn by the seed, in their order. Those of a smaller limit are among them."""
    if limit is None:
        return pairs
    rng = random.Random(seed)
    order = [rng.random() for _ in pairs]  # which every version of Python draws alike
    kept = sorted(range(len(pairs)), key=order.__getitem__)[:limit]
    return [pairs[i] for i in sorted(kept)]
