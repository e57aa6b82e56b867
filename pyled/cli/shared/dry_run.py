"""`pyled summarize --dry-run`: what each input would cost, in a line or as a record."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .console import clock
from .forms import together
from .inputs import shown

if TYPE_CHECKING:
    from ...tasks import Source, Summarizer


def costs(sources: Iterator[tuple[str, "Source"]], summarizer: "Summarizer", form: str) -> str:
    """What the sources would cost, for each of these names and texts as tokens, in a form of FORMS."""
    from ...tasks.cost import measure

    dtype: Any = summarizer.loaded.model.dtype.name
    rates = measure(dtype)
    records: list[dict[str, Any]] = []
    for name, source in sources:
        cost = summarizer.estimate(source.chunks, rates)
        records.append(
            {
                "input": name,
                "source_tokens": source.tokens,
                "truncated_tokens": source.truncated,
                "chunks": [chunk.ids.size for chunk in source.chunks],
                "encoding_seconds": cost.encoding,
                "generating_seconds": cost.generating,
                "memory": dict(cost.memory),
            }
        )
    if form in ("json", "jsonl") and records:
        return together(records, form, is_one=False)
    lines = [f"{shown(record['input'])}: {_line(record)}\n" for record in records]
    if len(records) > 1:
        lines.append(f"all {len(records)}: {_line(_total(records), len(records))}\n")
    return "".join(lines)


def _total(records: list[dict[str, Any]]) -> Mapping[str, Any]:
    """One record for all: sums, but the memory of the one that needs most, for they come one after another."""
    sums = ("source_tokens", "truncated_tokens", "chunks", "encoding_seconds", "generating_seconds")
    most = max(records, key=lambda record: sum(record["memory"].values()))
    return {name: sum((record[name] for record in records), type(records[0][name])()) for name in sums} | {
        "memory": most["memory"]
    }


def _line(record: Mapping[str, Any], inputs: int = 1) -> str:
    chunks = f" in {len(record['chunks'])} chunks" if len(record["chunks"]) > inputs else ""
    cut = f", {record['truncated_tokens']:,} of them cut off" if record["truncated_tokens"] else ""
    return (
        f"{record['source_tokens']:,} tokens{chunks}{cut}; about {_time(record['encoding_seconds'])} to encode, "
        f"at most {_time(record['generating_seconds'])} to generate; {_size(sum(record['memory'].values()))} of memory"
    )


def _time(seconds: float) -> str:
    return f"{max(seconds, 0.1):.1f} s" if seconds < 59.95 else clock(seconds)


def _size(count: float) -> str:
    """Bytes in the largest unit that leaves a number of at least 1."""
    for unit in ("bytes", "kB", "MB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
