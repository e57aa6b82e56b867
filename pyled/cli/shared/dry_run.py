"""`pyled summarize --dry-run`: what each input would cost, in a line or as a record."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .console import clock
from .forms import together
from .inputs import Inputs, shown

if TYPE_CHECKING:
    from ...tasks import Source, Summarizer


def costs(inputs: Inputs, summarizers: "Sequence[Summarizer]", form: str) -> str:
    """Return the cost of each input in a form of FORMS.

    summarizers: the one of the command; or, where a text that is too long is refused, one for each remedy
    """
    from ...tasks.cost import measure

    dtype: Any = summarizers[0].loaded.model.dtype.name
    rates = measure(dtype)
    records: list[dict[str, Any]] = []
    read: list[tuple[Any, Summarizer, Source]] = []  # with the remedy, for each record
    for _, name, text in inputs.texts():
        try:
            sources = [summarizer.read(text) for summarizer in summarizers]
        except Exception as e:
            inputs.fail(name, e)
            continue
        for summarizer, source in list(zip(summarizers, sources, strict=True))[: None if sources[0].truncated else 1]:
            remedy = summarizer.plan.reading.too_long if len(sources) > 1 and sources[0].truncated else None
            read.append((remedy, summarizer, source))
            records.append({"input": name, **_record(remedy, summarizer, [source], rates)})
    if form in ("json", "jsonl") and records:
        return together(records, form, is_one=False)
    lines = [_line(shown(record["input"]), record) for record in records]
    count = len({record["input"] for record in records})
    ways = {remedy: summarizer for remedy, summarizer, _ in read}
    remedies: list[Any] = sorted(remedy for remedy in ways if remedy is not None) or [None]
    for remedy in remedies if count > 1 else ():
        summed = [one for one in read if one[0] in (None, remedy)]
        total = _record(remedy, ways[remedy], [source for _, _, source in summed], rates)
        lines.append(_line(f"all {count:,}", total | {"inputs": count}))
    return "".join(lines)


def _record(remedy: str | None, summarizer: "Summarizer", sources: "Sequence[Source]", rates: Any) -> dict[str, Any]:
    """Return the cost of texts: of all together, where they are several."""
    cost = summarizer.estimate(*(source.chunks for source in sources), rates=rates)
    return {
        "too_long": remedy,
        "source_tokens": sum(source.tokens for source in sources),
        "truncated_tokens": sum(source.truncated for source in sources),
        "chunks": [chunk.ids.size for source in sources for chunk in source.chunks],
        "together": cost.together,
        "encoding_seconds": cost.encoding,
        "generating_seconds": cost.generating,
        "memory": dict(cost.memory),
    }


def _line(name: str, record: Mapping[str, Any]) -> str:
    remedy = f" --too-long {record['too_long']}" if record["too_long"] else ""
    chunks = f" in {len(record['chunks']):,} chunks" if len(record["chunks"]) > record.get("inputs", 1) else ""
    cut = f", {record['truncated_tokens']:,} of them cut off" if record["truncated_tokens"] else ""
    encoding, generating = duration(record["encoding_seconds"]), duration(record["generating_seconds"])
    together = f", {record['together']:,} at a time" if record["together"] > 1 else ""
    memory = size(sum(record["memory"].values()))
    seconds = f"about {encoding} to encode, about {generating} or less to generate{together}"
    return f"{name}{remedy}: {record['source_tokens']:,} tokens{chunks}{cut}; {seconds}; {memory} of memory\n"


def duration(seconds: float) -> str:
    """Return a time in seconds, or as a clock has it where it is a minute and more."""
    return f"{max(seconds, 0.1):.1f} s" if seconds < 59.95 else clock(seconds)


def size(count: float) -> str:
    """Return bytes in the largest unit that leaves a number of at least 1."""
    for unit in ("bytes", "kB", "MB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
