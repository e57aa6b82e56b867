"""7. What a run found: tables for people, in plain text or Markdown, and one object for programs."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..tasks.planning import FIXED
from .bootstrap import LEVEL, RESAMPLES
from .columns import aligned
from .evaluation import LONG, Estimate, Group, Results, Table
from .systems import HALVED, MODEL, halved

TITLES = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L", "rougeLsum": "ROUGE-Lsum"}
DIGITS = 6  # of figures in JSON: those behind them may differ from machine to machine

# 1. Tables


def text(results: Results) -> str:
    """All of it in plain text."""
    lines = list(_about(results))
    for group in results.groups:
        lines += ["", _title(group)]
        for metric in group.scores[MODEL]:
            lines += ["", *aligned(_rows(group, metric))]
    return "\n".join(lines) + "\n"


def markdown(results: Results) -> str:
    """The same in Markdown."""
    lines = [f"- {_plain(line)}" for line in _about(results)]
    for group in results.groups:
        lines += ["", f"## {_plain(_title(group))}"]
        for metric in group.scores[MODEL]:
            head, *rows = _rows(group, metric)
            ruler = ["---", *["---:"] * (len(head) - 1)]
            lines += ["", *(f"| {' | '.join(row)} |" for row in (head, ruler, *rows))]
    return "\n".join(lines) + "\n"


def _about(results: Results) -> Iterator[str]:
    """What the figures are of, and how they were come by."""
    made = results.made
    kept = "" if made["weights"] == made["dtype"] else f", weights in {made['weights']}"
    yield f"{made['model']}, in {made['dtype']}{kept}, pyled {made['versions']['pyled']}"
    settings = {name: setting for name, setting in made["settings"].items() if name not in FIXED}
    said = [f"{name} {_value(one['value'])}" for name, one in settings.items() if one["origin"] != "default"]
    yield f"settings: {', '.join(said)}"
    if HALVED in results.groups[0].scores:
        yield f"{HALVED}: {_sizes(halved([*results.windows]))} tokens instead of {_sizes(results.windows)}"
    yield f"{_documents(len(results.judged))} of {', '.join(results.cuts)}"
    yield from _left_out(results)
    yield f"cut: to the mean of the references, {', '.join(_cuts(results.cuts))}"
    yield f"ROUGE as rouge-score has it, {'with' if results.stemmer else 'without'} its stemmer: means over documents"
    yield "lead: the model's F1 less that of the row, on the same documents"
    yield f"low to high: {LEVEL:.0%} of {RESAMPLES:,} resamples of the documents, seed {results.seed}"


def _cuts(cuts: Mapping[str, int]) -> Iterator[str]:
    for name, count in cuts.items():
        yield f"{count:,} word{'s' if count != 1 else ''}{f' for {name}' if len(cuts) > 1 else ''}"


def _left_out(results: Results) -> Iterator[str]:
    counts = {
        "failed, and in no figure": results.failed,
        "cut off, so that only the beginning was read": sum(one.truncated > 0 for one in results.judged),
        "with a reference that has no word of a-z and 0-9, so that nothing scores": results.wordless,
    }
    yield from (f"{said}: {_documents(count)}" for said, count in counts.items() if count)


def _title(group: Group) -> str:
    if group.input is not None:
        return f"{_documents(group.documents)} of {group.input}"
    lengths = {"short": f" of {LONG:,} tokens or less", "long": f" of more than {LONG:,} tokens"}
    return f"{_documents(group.documents)}{lengths[group.tokens]}" if group.tokens in lengths else "all documents"


def _rows(group: Group, metric: str) -> Iterator[list[str]]:
    yield [TITLES[metric], "words", "precision", "recall", "F1", "low", "high", "lead", "low", "high"]
    for system, scores in group.scores.items():
        precision, recall, fmeasure = scores[metric].values()
        row = [system, f"{group.lengths[system]:.1f}", f"{precision.mean:.4f}", f"{recall.mean:.4f}"]
        row += [f"{value:.4f}" for value in fmeasure]
        lead = group.leads[system][metric]["fmeasure"] if system in group.leads else None
        yield row + (["", "", ""] if lead is None else [f"{value:+.4f}" for value in lead])


def _documents(count: int) -> str:
    return f"{count:,} document{'s' if count != 1 else ''}"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _sizes(windows: Sequence[int]) -> str:
    """Windows, one number for all that are the same."""
    return "/".join(f"{size:,}" for size in (windows if len(set(windows)) > 1 else windows[:1]))


def _plain(line: str) -> str:
    """Markdown that shows a line as it is."""
    return re.sub(r"[\\`*_\[\]<>&|~#]", r"\\\g<0>", line)


# 2. JSON


def record(results: Results) -> dict[str, Any]:
    """All of it as plain values of JSON."""
    return {
        **results.made,
        "attention_window": [*results.windows],
        "inputs": {name: {"cut_to_words": count} for name, count in results.cuts.items()},
        "documents": len(results.judged),
        "failed": results.failed,
        "truncated": sum(item.truncated > 0 for item in results.judged),
        "wordless_references": results.wordless,
        "stemmer": results.stemmer,
        "seed": results.seed,
        "resamples": RESAMPLES,
        "level": LEVEL,
        "groups": [_group(group) for group in results.groups],
    }


def _group(group: Group) -> dict[str, Any]:
    return {
        "input": group.input,
        "tokens": group.tokens,
        "documents": group.documents,
        "systems": {
            system: {
                "words": round(group.lengths[system], DIGITS),
                "scores": _plain_table(group.scores, system),
                "lead": _plain_table(group.leads, system),
            }
            for system in group.scores
        },
    }


def _plain_table(table: Table, system: str) -> dict[str, Any] | None:
    """What a table has of a system; None for nothing."""
    if system not in table:
        return None
    return {metric: {field: _rounded(one) for field, one in fields.items()} for metric, fields in table[system].items()}


def _rounded(estimate: Estimate) -> Mapping[str, float]:
    return {name: round(value, DIGITS) for name, value in estimate._asdict().items()}
