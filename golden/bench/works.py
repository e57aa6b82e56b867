"""The works that can be measured: each has a name, and a group's name stands for several."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["encode", "decode", "whole", "tokenize", "process"]

LONG = 16_384  # source tokens from which on torch generates FEW tokens only
FEW = 24


@dataclass(frozen=True)
class Work:
    """One thing to measure.

    source: its tokens; the bytes of a text to tokenize; the words of a text to summarize
    target: tokens to generate, exactly
    window: the encoder's attention_window, where it is not the checkpoint's
    """

    name: str
    groups: tuple[str, ...]
    kind: Kind
    source: int
    target: int = 0
    beams: int = 1
    window: int | None = None
    offsets: bool = False

    @property
    def reads_text(self) -> bool:
        """Whether the work needs a text, and a checkpoint with a vocabulary."""
        return self.kind in ("tokenize", "process")

    @property
    def few(self) -> int:
        """The number of tokens that torch generates, from which the seconds of all `target` tokens follow."""
        return FEW if self.source >= LONG and self.target > FEW else self.target


MAIN, TEXT, GROWTH = ("main",), ("text",), ("growth",)
WORKS = (
    Work("encode-1100", MAIN, "encode", 1100),
    Work("encode-2048", GROWTH, "encode", 2048),
    Work("encode-4096", MAIN + GROWTH, "encode", 4096),
    Work("encode-8192", GROWTH, "encode", 8192),
    Work("encode-16384", MAIN + GROWTH, "encode", 16384),
    Work("window-64", GROWTH, "encode", 4096, window=64),
    Work("window-256", GROWTH, "encode", 4096, window=256),
    Work("window-1024", GROWTH, "encode", 4096, window=1024),
    Work("greedy-1024", MAIN, "decode", 1024, 64),
    Work("beams-1024", GROWTH, "decode", 1024, 64, 4),
    Work("beams-4096", MAIN + GROWTH, "decode", 4096, 64, 4),
    Work("beams-16384", MAIN + GROWTH, "decode", 16384, 64, 4),
    Work("whole", MAIN, "whole", 16384, 256, 4),
    Work("tokenize", TEXT, "tokenize", 1_000_000),
    Work("tokenize-offsets", TEXT, "tokenize", 1_000_000, offsets=True),
    Work("process", TEXT, "process", 200, 32, 4),
)
GROUPS = {
    "main": "without any name, these works",
    "text": "... and these, where --text names a text",
    "growth": "how seconds grow with the length, the window, and the source of a decoding",
}


def chosen(names: Sequence[str], has_text: bool) -> list[Work]:
    """Return the works of these names and groups, each once. Raises ValueError for a name that does not exist."""
    for name in names:
        if name not in {work.name for work in WORKS} | GROUPS.keys():
            raise ValueError(f"{name}: no work has this name: see --list")
    groups = set(names or (("main", "text") if has_text else ("main",)))
    works = [work for work in WORKS if {work.name, *work.groups} & groups]
    if not has_text and any(work.reads_text for work in works):
        raise ValueError("tokenize and process need a text, --text, and a checkpoint with a vocabulary, -m")
    return works


def listed() -> Iterator[str]:
    """Give the works by their groups, a line for each."""
    for group, about in GROUPS.items():
        yield f"{group}: {about}"
        yield from (f"  {work.name:<18}{described(work)}" for work in WORKS if group in work.groups)


def described(work: Work) -> str:
    """Return a work in words."""
    beams = "greedy" if work.beams == 1 else f"{work.beams} beams"
    return {
        "encode": f"encode {work.source:,} tokens" + (f" with a window of {work.window:,}" if work.window else ""),
        "decode": f"{work.target:,} tokens from the states of {work.source:,}, {beams}",
        "whole": f"{work.source:,} tokens to {work.target:,}, {beams}",
        "tokenize": f"{work.source:,} bytes of the text" + (", with offsets" if work.offsets else ""),
        "process": f"a process from start to end: {work.source:,} words to {work.target:,} tokens, {beams}",
    }[work.kind]
