"""The works that can be measured: each has a name, and a group's name stands for several."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["encode", "generate", "tokenize", "summarize", "train"]

LONG = 16_384  # source tokens from which on torch generates FEW tokens only
FEW = 12
SHORTEST, LONGEST = 250, 600  # words of the documents of a folder


@dataclass(frozen=True)
class Work:
    """One thing to measure.

    source: tokens of each document; the bytes of a text to tokenize; 0 for documents as they are
    target: tokens to generate, exactly; 0: as many as the checkpoint in the package writes, which does the work then.
        Labels to learn, where the work is a step of training
    documents: how many, in one call, or in one folder
    box: the checkpoint in the package is trained, without gradient checkpointing
    frozen: the decoder alone is trained
    """

    name: str
    group: str
    kind: Kind
    source: int = 0
    target: int = 0
    beams: int = 1
    documents: int = 1
    offsets: bool = False
    box: bool = False
    frozen: bool = False

    @property
    def reads_texts(self) -> bool:
        """Whether the work needs texts, and a vocabulary."""
        return self.kind in ("tokenize", "summarize")

    @property
    def is_by_the_box(self) -> bool:
        """Whether the checkpoint in the package does the work. torch does not."""
        return self.kind == "summarize" and not self.target

    @property
    def few(self) -> int:
        """The number of tokens that torch generates, from which the seconds of all `target` tokens follow."""
        return FEW if self.kind == "generate" and self.source >= LONG and self.target > FEW else self.target

    def words(self) -> list[int]:
        """Return how many words each document of a folder has: from SHORTEST to LONGEST, in no order."""
        places = [number * 7 % self.documents for number in range(self.documents)]
        return [SHORTEST + (LONGEST - SHORTEST) * place // (self.documents - 1) for place in places]


WORKS = (
    Work("encode-16", "short", "encode", 16),
    Work("encode-70", "short", "encode", 70),
    Work("encode-100", "short", "encode", 100),
    Work("encode-32x70", "short", "encode", 70, documents=32),
    Work("encode-1100", "encode", "encode", 1100),
    Work("encode-4096", "encode", "encode", 4096),
    Work("encode-16384", "encode", "encode", 16384),
    Work("greedy-1024", "generate", "generate", 1024, 64),
    Work("beams-4096", "generate", "generate", 4096, 64, 4),
    Work("beams-16384", "generate", "generate", 16384, 128, 4),
    Work("train-4096", "train", "train", 4096, 512),
    Work("train-16384", "train", "train", 16384, 512),
    Work("train-decoder", "train", "train", 16384, 512, frozen=True),
    Work("train-descriptions", "train", "train", 200, 16, documents=64, box=True),
    Work("folder", "folders", "summarize", target=64, beams=4, documents=16),
    Work("descriptions", "folders", "summarize", documents=1000),
    Work("tokenize", "tokenize", "tokenize", 1_000_000),
    Work("tokenize-offsets", "tokenize", "tokenize", 1_000_000, offsets=True),
)
GROUPS = {
    "encode": "the encoder; without any name, these works",
    "generate": "a summary, encoder and all; and these",
    "short": "the encoder on short texts",
    "train": "a step of training: loss, gradients, AdamW",
    "folders": "whole processes; these need --texts",
    "tokenize": "and so do these",
}


def chosen(names: Sequence[str], has_texts: bool) -> list[Work]:
    """Return the works of these names and groups, each once. Raises ValueError for a name that does not exist."""
    for name in names:
        if name not in {work.name for work in WORKS} | GROUPS.keys():
            raise ValueError(f"{name}: no work has this name: see --list")
    works = [work for work in WORKS if {work.name, work.group} & set(names or ("encode", "generate"))]
    if not has_texts and any(work.reads_texts for work in works):
        raise ValueError("folders and tokenize need --texts")
    return works


def listed() -> Iterator[str]:
    """Give the works by their groups, a line for each."""
    for group, about in GROUPS.items():
        yield f"{group}: {about}"
        yield from (f"  {work.name:<20}{described(work)}" for work in WORKS if group == work.group)


def described(work: Work) -> str:
    """Return a work in words."""
    beams = "greedy" if work.beams == 1 else f"{work.beams} beams"
    many = f"{work.documents:,} texts of {work.source:,} tokens" if work.documents > 1 else f"{work.source:,} tokens"
    by = "by the checkpoint in the package" if work.is_by_the_box else f"to {work.target:,} tokens, {beams}"
    return {
        "encode": f"encode {many}",
        "generate": f"{work.source:,} tokens to {work.target:,}, {beams}",
        "train": ("the decoder learns" if work.frozen else "learn") + f" {work.target:,} tokens from {many}",
        "tokenize": f"{work.source:,} bytes of text" + (", with offsets" if work.offsets else ""),
        "summarize": f"{work.documents:,} documents in a folder, {by}",
    }[work.kind]
