"""6. What a run of `pyled evaluate` measured: one record for programs, tables of it for people."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import LINE_ENDS, escaped
from ..tasks.planning import FIXED
from .bootstrap import LEVEL, RESAMPLES
from .groups import LONG, Scored, groups
from .rouge import has_words
from .systems import MODEL

TITLES = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L", "rougeLsum": "ROUGE-Lsum"}

Record = Mapping[str, Any]


def record(setup: Record, words: Mapping[str, int], scored: Sequence[Scored], failed: int) -> Record:
    """Return all of it as plain values of JSON.

    setup: the model and its settings, and the "stemmer"
    words: for each input, how many words its baselines are cut to
    failed: how many pairs could not be read or summarized, and are in no mean
    """
    return {
        **setup,
        "inputs": {name: {"cut_to_words": count} for name, count in words.items()},
        "documents": len(scored),
        "failed": failed,
        "truncated": sum(one.truncated > 0 for one in scored),
        "wordless_references": sum(not has_words(one.pair.reference) for one in scored),
        "resamples": RESAMPLES,
        "level": LEVEL,
        "groups": list(groups(scored, list(words))),
    }


def tables(record: Record) -> str:
    """Return the record as plain text."""
    lines = list(_head(record))
    for group in record["groups"]:
        lines += ["", _title(group)]
        for metric in group["systems"][MODEL]["scores"]:
            lines += ["", *_columns(list(_rows(group, metric)))]
    return "".join(f"{escaped(line, LINE_ENDS)}\n" for line in lines)


def _head(record: Record) -> Iterator[str]:
    """Yield what was measured, and how."""
    parts = (f", {part} in {record[part]}" for part in ("weights", "encoder") if record[part] != record["dtype"])
    yield f"{record['model']}, in {record['dtype']}{''.join(parts)}, pyled {record['versions']['pyled']}"
    settings = {name: one for name, one in record["settings"].items() if name not in FIXED}
    values = [f"{name} {json.dumps(one['value'])}" for name, one in settings.items() if one["origin"] != "default"]
    yield f"settings: {', '.join(values)}"
    yield f"{_documents(record['documents'])} of {', '.join(record['inputs'])}"
    exceptions = {
        "failed": "failed, and in no mean",
        "truncated": "truncated: only the beginning was read",
        "wordless_references": "without a word of a-z and 0-9 in the reference: every text scores 0",
    }
    yield from (f"{_documents(record[key])} {words}" for key, words in exceptions.items() if record[key])
    cuts = (f"{one['cut_to_words']:,} in {name}" for name, one in record["inputs"].items())
    yield f"cut: to as many words as references have on average, {', '.join(cuts)}"
    yield f"ROUGE by rouge-score, {'with' if record['stemmer'] else 'without'} its stemmer: means over documents"
    yield "lead: the model's F1 minus that of the row, on the same documents"
    yield f"low, high: {record['level']:.0%} of {record['resamples']:,} resamples of the documents lie between them"


def _documents(count: int) -> str:
    return f"{count:,} document{'s' if count != 1 else ''}"


def _title(group: Record) -> str:
    lengths = {"all": None, "short": f"at most {LONG:,} tokens", "long": f"more than {LONG:,} tokens"}
    part = group["input"] or lengths[group["length"]]
    return f"{_documents(group['documents'])} of {part}" if part else "all documents"


def _rows(group: Record, metric: str) -> Iterator[list[str]]:
    yield [TITLES[metric], "words", "precision", "recall", "F1", "low", "high", "lead", "low", "high"]
    for name, system in group["systems"].items():
        score = system["scores"][metric]
        cells = [name, f"{system['words']:.1f}", f"{score['precision']:.4f}", f"{score['recall']:.4f}"]
        cells += [f"{value:.4f}" for value in score["fmeasure"].values()]
        yield cells + ["" if name == MODEL else f"{value:+.4f}" for value in score["lead"].values()]


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a line for each row: names to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *figures in rows:
        cells = (cell.rjust(width) for cell, width in zip(figures, widths[1:], strict=True))
        yield "  ".join([name.ljust(widths[0]), *cells]).rstrip()
