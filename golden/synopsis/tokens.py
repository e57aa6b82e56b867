"""The vocabulary of the synopsis model and its training texts as ids: vocab.json, merges.txt, SET.npz.

A set's arrays: `documents` and `summaries` (uint16, one text after the other, without `<s>` and `</s>`) and their
`document_ends` and `summary_ends` (int64). Descriptions for training stand there twice: their paragraphs in one line
each, and wrapped as a terminal has them.
"""

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from data import KINDS, SETS, Pair, read, share
from tokenizers import ByteLevelBPETokenizer

sys.path.insert(0, str(Path(__file__).parent.parent))
import train_bpe

VOCABULARY = 8000
PAGE_CHARACTERS = 3000  # of each page, that the vocabulary is trained on: pages and descriptions count about the same
LONGEST_DOCUMENT = 4094  # tokens: the encoder's positions without <s> and </s>


def vocabulary_texts(directory: Path) -> Iterator[str]:
    for kind in KINDS:
        for pair in read(directory / f"{kind}-train.jsonl"):
            yield pair.document[:PAGE_CHARACTERS]
            yield pair.summary


def write_vocabulary(directory: Path) -> None:
    vocab, merges = train_bpe.train(vocabulary_texts(directory), VOCABULARY)
    for name, content in train_bpe.files(vocab, merges).items():
        (directory / name).write_text(content, encoding="utf-8", newline="")


def tokenizer(directory: Path) -> ByteLevelBPETokenizer:
    return ByteLevelBPETokenizer(str(directory / "vocab.json"), str(directory / "merges.txt"))


def wrapped(text: str) -> str:
    """The text with its paragraphs wrapped at some width; lines that are lists or indented stay as they are."""
    width = 60 + int(share("wrap", text) * 20)
    lines = []
    for line in text.split("\n"):
        is_paragraph = line and line[0] not in " \t" and not re.match(r"[-*+•o] ", line)
        lines += textwrap.wrap(line, width, break_on_hyphens=False) if is_paragraph else [line]
    return "\n".join(lines)


def write_set(directory: Path, name: str) -> None:
    bpe = tokenizer(directory)
    pairs = read(directory / f"{name}.jsonl")
    if name == "descriptions-train":
        pairs = [Pair(text, p.summary, p.source) for p in pairs for text in (p.document, wrapped(p.document))]
    documents = [e.ids[:LONGEST_DOCUMENT] for e in bpe.encode_batch([p.document for p in pairs])]
    summaries = [e.ids for e in bpe.encode_batch([p.summary for p in pairs])]
    arrays = {
        "documents": np.concatenate([np.array(ids, dtype=np.uint16) for ids in documents]),
        "document_ends": np.cumsum([len(ids) for ids in documents]),
        "summaries": np.concatenate([np.array(ids, dtype=np.uint16) for ids in summaries]),
        "summary_ends": np.cumsum([len(ids) for ids in summaries]),
    }
    unfinished = directory / "unfinished.npz"
    np.savez(unfinished, **arrays)
    unfinished.replace(directory / f"{name}.npz")
    print(
        f"{name}: {len(pairs)} pairs, {len(arrays['documents']) / len(pairs):.0f} tokens in a document and "
        f"{len(arrays['summaries']) / len(pairs):.1f} in a summary",
        flush=True,
    )


def write_tokens(directory: Path) -> None:
    if not (directory / "merges.txt").exists():
        write_vocabulary(directory)
    for name in SETS:
        if not name.endswith("-test") and not (directory / f"{name}.npz").exists():
            write_set(directory, name)
