"""6. A summary, and the record of how it was made."""

import platform
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from typing import Any

import numpy as np

from ..generation import Settings
from .reading import Reading


@dataclass(frozen=True)
class ChunkSummary:
    """The summary of one chunk: of the characters start to stop of the text.

    source_tokens, global_tokens, generated_tokens, score: as those of a Summary
    """

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
    """A summary and the record of how it was made; `str` gives the text.

    model: the checkpoint's directory, or "in memory"
    version, dtype: pyled's version, and the float type it computed in
    weights: what the matrices that a step of decoding reads were kept in
    settings: every setting of generation in effect; `settings.origin` says where each comes from, "summarize" meaning
        from here
    reading, reading_origin: how the text was read, in the same way
    source_tokens: tokens of the whole text, `<s>` and `</s>` included; truncated_tokens of them were not read
    global_tokens: tokens with global attention, of all chunks
    generated_tokens: tokens of the summary, each end of sequence included
    score: what beam search ranks by (sum of log-probabilities / generated_tokens ** length_penalty); None for greedy,
        and for the summaries of several chunks put together
    chunks: the summary of each chunk of the text; one for a text that was not cut
    rounds: how many times summaries were summarized again
    notes: what was assumed, truncated, missing, tied or unused, in words
    """

    text: str
    model: str
    version: str
    dtype: str
    weights: str
    settings: Settings
    reading: Reading
    reading_origin: Mapping[str, str]
    source_tokens: int
    truncated_tokens: int
    global_tokens: int
    generated_tokens: int
    score: float | None
    chunks: tuple[ChunkSummary, ...]
    rounds: int
    notes: tuple[str, ...]
    encoding_seconds: float
    generating_seconds: float

    def __repr__(self) -> str:
        counts = f"source_tokens={self.source_tokens}, generated_tokens={self.generated_tokens}"
        return f"Summary({reprlib.repr(self.text)}, {counts}, chunks={len(self.chunks)}, model={self.model!r})"

    def __str__(self) -> str:
        return self.text

    def record(self) -> dict[str, Any]:
        """Everything as plain values of JSON, in a fixed order."""
        return {
            "text": self.text,
            "model": self.model,
            "versions": {"pyled": self.version, **versions()},
            "dtype": self.dtype,
            "weights": self.weights,
            "settings": settings_record(self.settings, self.reading, self.reading_origin),
            "source_tokens": self.source_tokens,
            "truncated_tokens": self.truncated_tokens,
            "global_tokens": self.global_tokens,
            "generated_tokens": self.generated_tokens,
            "chunks": [asdict(chunk) for chunk in self.chunks],
            "rounds": self.rounds,
            "score": self.score,
            "encoding_seconds": self.encoding_seconds,
            "generating_seconds": self.generating_seconds,
            "notes": list(self.notes),
        }


def versions() -> dict[str, str]:
    """Of what pyled computes with."""
    return {"numpy": np.__version__, "numba": version("numba"), "python": platform.python_version()}


def settings_record(settings: Settings, reading: Reading, reading_origin: Mapping[str, str]) -> dict[str, Any]:
    """Every setting in effect with who set it, as plain values of JSON: how a text is read, how it is generated."""
    return {
        field.name: {"value": _plain(getattr(held, field.name)), "origin": origin[field.name]}
        for held, origin in ((reading, reading_origin), (settings, settings.origin))
        for field in fields(held)
        if field.name in origin
    }


def _plain(value: Any) -> Any:
    """The same with lists for tuples."""
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
