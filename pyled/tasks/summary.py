"""7. Records of how a result was made, and a summary."""

import platform
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np

from ..generation import Settings
from ..version import __version__
from .planning import Plan


class Recorded:
    """The result of a task: a dataclass."""

    def record(self) -> dict[str, Any]:
        """Return everything as plain values of JSON, in a fixed order."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]


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
class Summary(Recorded):
    """A summary and the record of how it was made; `str` returns the text."""

    text: str
    model: str  # the checkpoint's directory; owner/name@commit, from a hub; or "in memory"
    versions: Mapping[str, str]  # of pyled and of what it computes with
    dtype: str  # of the arithmetic
    weights: str  # the type of the matrices that a step of decoding reads
    encoder: str  # what the encoder multiplies
    plan: Plan  # every setting in effect, and where each comes from
    source_tokens: int  # of the whole text, `<s>` and `</s>` included
    truncated_tokens: int  # those of them that were not read
    global_tokens: int  # tokens with global attention, of all chunks
    generated_tokens: int  # of the summary, each end of sequence included
    chunks: tuple[ChunkSummary, ...]  # of the text; one if it was not cut
    rounds: int  # how many times summaries were summarized again
    # The score is what beam search ranks by: sum of log-probabilities / generated_tokens ** length_penalty. None for
    # greedy search, and for the summaries of several chunks put together.
    score: float | None
    encoding_seconds: float
    generating_seconds: float
    notes: tuple[str, ...]  # what was assumed, truncated, missing, tied or unused

    @property
    def settings(self) -> Settings:
        """Every setting of generation in effect."""
        return self.plan.settings

    def __repr__(self) -> str:
        counts = f"source_tokens={self.source_tokens}, generated_tokens={self.generated_tokens}"
        return f"Summary({reprlib.repr(self.text)}, {counts}, chunks={len(self.chunks)}, model={self.model!r})"

    def __str__(self) -> str:
        return self.text

    def record(self) -> dict[str, Any]:
        """Return everything as plain values of JSON, in a fixed order; the plan as settings."""
        return {("settings" if name == "plan" else name): value for name, value in super().record().items()}


@cache
def versions() -> dict[str, str]:
    """Return the versions of pyled and of what it computes with."""
    python = platform.python_version()
    return {"pyled": __version__, "numpy": np.__version__, "numba": version("numba"), "python": python}


def settings_record(plan: Plan) -> dict[str, Any]:
    """Return every setting with its origin, as plain values of JSON: how a text is read, how a summary is generated."""
    return {
        field.name: {"value": _plain(getattr(settings, field.name)), "origin": origin[field.name]}
        for settings, origin in ((plan.reading, plan.origin), (plan.settings, plan.settings.origin))
        for field in fields(settings)
        if field.name in origin
    }


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, Plan):
        return settings_record(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, np.generic):  # an argument that is a number of NumPy's
        return value.item()
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
