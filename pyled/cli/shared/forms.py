"""The forms of a result: the text alone, Markdown, and the record in JSON."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import LINE_ENDS, escaped
from .inputs import shown

FORMS = {"text": ".txt", "json": ".json", "jsonl": ".jsonl", "md": ".md"}  # and how their files end

Record = Mapping[str, Any]  # of one result: "input", and what was made of it, and how


def rendered(record: Record, form: str, is_one: bool) -> str:
    """Return a record in a form of FORMS; `is_one`: it stands alone, so that a text needs no head."""
    if form == "text":
        question = f": {escaped(record['question'], LINE_ENDS)}" if "question" in record else ""
        return ("" if is_one else f"==> {shown(record['input'])}{question} <==\n") + f"{_text(record)}\n"
    if form == "md":
        parts = (f"# {_plain(shown(record['input']))}", _plain(record["text"].strip()), f"*{_plain(_made(record))}*")
        return "\n\n".join(parts) + "\n"
    return as_json(record, None if form == "jsonl" else 2)


def _text(record: Record) -> str:
    """Return a summary, a label on each line with its score, or the best answer; of several, as of labels."""
    if "labels" in record:
        return "\n".join(f"{_in_line(one['label'])}\t{one['score']:.4f}" for one in record["labels"])
    if "spans" in record and record["settings"]["top_k"]["origin"] != "default":
        return "\n".join(f"{_in_line(one['text'])}\t{one['score']:.4f}" for one in record["spans"])
    return _in_line(record["text"]) if "spans" in record else str(record["text"])


def _in_line(text: str) -> str:
    """Return a text in one line, each run of white space in it being a space."""
    return " ".join(text.split())


def together(records: Sequence[Record], form: str, is_one: bool) -> str:
    """Return several records in one form; in JSON a list, also of one."""
    if form == "json":
        return as_json(records, 2)
    return between(form).join(rendered(record, form, is_one) for record in records)


def between(form: str) -> str:
    """Return what stands between two records in a form that is no list."""
    return "" if form == "jsonl" else "\n"


def as_json(value: Any, indent: int | None = None) -> str:
    """Return JSON for people too: only halves of surrogate pairs, odd bytes of file names, are escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent) + "\n"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _plain(text: str) -> str:
    """Return Markdown that shows a text as it is."""
    text = re.sub(r"[\\`*_\[\]<>&|~#]", r"\\\g<0>", text)
    return re.sub(r"^(\s*\d*)([-+=.)])", r"\1\\\2", text, flags=re.MULTILINE)


def _made(record: Record) -> str:
    """Return, in a line, how a summary was made."""
    read = record["source_tokens"] - record["truncated_tokens"]
    of = f" of {record['source_tokens']:,}" if record["truncated_tokens"] else ""
    chunks = f" in {len(record['chunks']):,} chunks" if len(record["chunks"]) > 1 else ""
    score = "" if record["score"] is None else f", score {record['score']:.3f}"
    seconds = record["encoding_seconds"] + record["generating_seconds"]
    return (
        f"{read:,}{of} tokens read{chunks}, {record['generated_tokens']:,} written{score}, {seconds:.1f} s; "
        f"{escaped(record['model'], LINE_ENDS)}, pyled {record['versions']['pyled']}"
    )
