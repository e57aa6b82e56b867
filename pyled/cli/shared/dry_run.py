"""`pyled summarize --dry-run`: what each input would cost, in a line or as a record."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .console import clock
from .forms import together
from .inputs import Inputs, shown

if TYPE_CHECKING:
    from ...tasks import Source, Summarizer

_SUMS = ("source_tokens", "truncated_tokens", "chunks", "encoding_seconds", "generating_seconds")


def costs(inputs: Inputs, summarizers: "Sequence[Summarizer]", form: str) -> str:
    """Return the cost of each input in a form of FORMS.

    summarizers: the one of the command; or, where a text that is too long is refused, one for each remedy
    """
    from ...tasks.cost import measure

    dtype: Any = summarizers[0].loaded.model.dtype.name
    rates = measure(dtype)
    records: list[dict[str, Any]] = []
    for _, name, text in inputs.texts():
        try:
            sources = [summarizer.read(text) for summarizer in summarizers]
        except Exception as e:
            inputs.fail(name, e)
            continue
        for summarizer, source in list(zip(summarizers, sources, strict=True))[: None if sources[0].truncated else 1]:
            remedy = summarizer.plan.reading.too_long if len(sources) > 1 and sources[0].truncated else None
            records.append(_record(name, remedy, summarizer, source, rates))
    if form in ("json", "jsonl") and records:
        return together(records, form, is_one=False)
    lines = [_line(shown(record["input"]), record) for record in records]
    count = len({record["input"] for record in records})
    remedies = {record["too_long"] for record in records} - {None}
    for remedy in (sorted(remedies) or [None]) if count > 1 else ():
        summed = [record for record in records if record["too_long"] in (None, remedy)]
        lines.append(_line(f"all {count:,}", _total(summed, remedy)))
    return "".join(lines)


def _record(name: str, remedy: str | None, summarizer: "Summarizer", source: "Source", rates: Any) -> dict[str, Any]:
    cost = summarizer.estimate(source.chunks, rates)
    return {
        "input": name,
        "too_long": remedy,
        "source_tokens": source.tokens,
        "truncated_tokens": source.truncated,
        "chunks": [chunk.ids.size for chunk in source.chunks],
        "encoding_seconds": cost.encoding,
        "generating_seconds": cost.generating,
        "memory": dict(cost.memory),
    }


def _total(records: list[dict[str, Any]], remedy: str | None) -> dict[str, Any]:
    """Return sums, but the memory of the input that needs most, because they come one after another."""
    most = max(records, key=lambda record: sum(record["memory"].values()))
    total = {name: sum((record[name] for record in records), type(records[0][name])()) for name in _SUMS}
    return total | {"too_long": remedy, "memory": most["memory"], "inputs": len(records)}


def _line(name: str, record: Mapping[str, Any]) -> str:
    remedy = f" --too-long {record['too_long']}" if record["too_long"] else ""
    chunks = f" in {len(record['chunks']):,} chunks" if len(record["chunks"]) > record.get("inputs", 1) else ""
    cut = f", {record['truncated_tokens']:,} of them cut off" if record["truncated_tokens"] else ""
    encoding, generating = _time(record["encoding_seconds"]), _time(record["generating_seconds"])
    memory = _size(sum(record["memory"].values()))
    seconds = f"about {encoding} to encode, about {generating} or less to generate"
    return f"{name}{remedy}: {record['source_tokens']:,} tokens{chunks}{cut}; {seconds}; {memory} of memory\n"


def _time(seconds: float) -> str:
    return f"{max(seconds, 0.1):.1f} s" if seconds < 59.95 else clock(seconds)


def _size(count: float) -> str:
    """Return bytes in the largest unit that leaves a number of at least 1."""
    for unit in ("bytes", "kB", "MB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
