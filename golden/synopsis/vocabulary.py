"""The vocabulary of the synopsis model: vocab.json and merges.txt, from the training texts."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from data import KINDS, read
from model import CONFIG

sys.path.insert(0, str(Path(__file__).parent.parent))
import train_bpe

PAGE_CHARACTERS = 3000  # of each page: so pages and descriptions count about the same


def texts(directory: Path) -> Iterator[str]:
    """Give the texts that the vocabulary is made for."""
    for kind in KINDS:
        for pair in read(directory / f"{kind}-train.jsonl"):
            yield pair.document[:PAGE_CHARACTERS]
            yield pair.summary


def write_vocabulary(directory: Path, checkpoint: Path | None = None) -> None:
    """Write both files, or copy those of a checkpoint."""
    if checkpoint is not None:
        for name in ("vocab.json", "merges.txt"):
            shutil.copy(checkpoint / name, directory / name)
        return
    vocab, merges = train_bpe.train(texts(directory), CONFIG["vocab_size"])
    for name, content in train_bpe.files(vocab, merges).items():
        (directory / name).write_text(content, encoding="utf-8", newline="")
