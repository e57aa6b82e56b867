"""6. A summary, and the record of how it was made."""

import platform
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from typing import Any

import numpy as np

from ..generation import Settings
from ..version import __version__
from .planning import Plan
from .reading import Reading


@dataclass(frozen=True)
class ChunkSummary:
    """The summary of one chunk: of the characters start to stop of the text. Its counts are as those of a Summary."""

    start: int
    stop: int
    source_tokens: int
    global_tokens: int
    generated_tokens: int
    score: float | None
    text: str
    encoding_seconds: float
    generating_seconds: float


@dataclass(frozen=True, repr=False)
class Summary:
    """A summary and the record of how it was made; `str` returns the text.

    model: the checkpoint's directory, or "in memory"
    versions: of pyled and of what it computes with; dtype: the float type it computed in
    weights: the type of the matrices that a step of decoding reads
    plan: every setting in effect, and where each comes from, "summarize" being pyled
    source_tokens: tokens of the whole text, `<s>` and `</s>` included; truncated_tokens of them were not read
    global_tokens: tokens with global attention, of all chunks
    generated_tokens: tokens of the summary, each end of sequence included
    chunks: the summary of each chunk of the text; one for a text that was not cut
    rounds: how many times summaries were summarized again
    score: what beam search ranks by (sum of log-probabilities / generated_tokens ** length_penalty); None for greedy,
        and for the summaries of several chunks put together
    notes: what was assumed, truncated, missing, tied or unused, in words
    """

    text: str
    model: str
    versions: Mapping[str, str]
    dtype: str
    weights: str
    plan: Plan
    source_tokens: int
    truncated_tokens: int
    global_tokens: int
    generated_tokens: int
    chunks: tuple[ChunkSummary, ...]
    rounds: int
    score: float | None
    encoding_seconds: float
    generating_seconds: float
    notes: tuple[str, ...]

    @property
    def settings(self) -> Settings:
        """Every setting of generation in effect."""
        return self.plan.settings

    @property
    def reading(self) -> Reading:
        """How the text was read."""
        return self.plan.reading

    def __repr__(self) -> str:
        counts = f"source_tokens={self.source_tokens}, generated_tokens={self.generated_tokens}"
        return f"Summary({reprlib.repr(self.text)}, {counts}, chunks={len(self.chunks)}, model={self.model!r})"

    def __str__(self) -> str:
        return self.text

    def record(self) -> dict[str, Any]:
        """Return everything as plain values of JSON, in a fixed order."""
        record: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Plan):
                record["settings"] = settings_record(value)
            elif field.name == "chunks":
                record["chunks"] = [asdict(chunk) for chunk in value]
            else:
                record[field.name] = _plain(value)
        return record


def versions() -> dict[str, str]:
    """Return the versions of pyled and of what it computes with."""
    numba, python = version("numba"), platform.python_version()
    return {"pyled": __version__, "numpy": np.__version__, "numba": numba, "python": python}


def settings_record(plan: Plan) -> dict[str, Any]:
    """Return every setting with its origin, as plain values of JSON: how a text is read, how a summary is generated."""
    return {
        field.name: {"value": _plain(getattr(settings, field.name)), "origin": origin[field.name]}
        for settings, origin in ((plan.reading, plan.origin), (plan.settings, plan.settings.origin))
        for field in fields(settings)
        if field.name in origin
    }


def _plain(value: Any) -> Any:
    """Return the same with lists for tuples and dicts for mappings."""
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
