"""What can be measured: each work has a name, and groups have names that stand for several."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...config import LEDConfig
from ...errors import InputError

Kind = Literal["encode", "decode", "whole", "tokenize", "process"]

# LED-base's shape, for a model with random weights; as golden/base.py writes it.
SHAPE: dict[str, Any] = {
    "vocab_size": 50265,
    "d_model": 768,
    "encoder_layers": 6,
    "encoder_attention_heads": 12,
    "encoder_ffn_dim": 3072,
    "decoder_layers": 6,
    "decoder_attention_heads": 12,
    "decoder_ffn_dim": 3072,
    "attention_window": [1024] * 6,
    "max_encoder_position_embeddings": 16384,
    "max_decoder_position_embeddings": 1024,
}

GLOBAL_TOKENS = 1  # <s>
STEPS = 24  # of a long decoding by the other engine, from which the time of the others follows
LONG = 16_384  # source tokens from which on it is long


@dataclass(frozen=True)
class Work:
    """One thing to measure.

    groups: names that stand for it and others
    source: its tokens; of a text to tokenize the bytes, of one to summarize the words
    target: tokens to generate, exactly
    window: the encoder's attention_window instead of the checkpoint's own
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
    def needs_text(self) -> bool:
        """Whether it reads a text, with the checkpoint's vocabulary."""
        return self.kind in ("tokenize", "process")

    @property
    def steps(self) -> int:
        """How many tokens the other engine generates, where the time of the others follows from these."""
        return STEPS if self.source >= LONG and self.target > STEPS else self.target

    @property
    def about(self) -> str:
        """In words."""
        beams = "greedy" if self.beams == 1 else f"{self.beams} beams"
        if self.kind == "encode":
            window = f" with a window of {self.window:,}" if self.window else ""
            return f"encode {self.source:,} tokens{window}"
        if self.kind == "tokenize":
            return f"tokenize {self.source:,} bytes{' with offsets' if self.offsets else ''}, seen for the first time"
        if self.kind == "process":
            return f"a process from start to end: {self.source:,} words to {self.target:,} tokens, {beams}"
        counted = "" if self.kind == "whole" else ", encoder not counted"
        return f"{self.source:,} tokens to {self.target:,}, {beams}{counted}"


VARIANTS = ("float32", "bfloat16", "int8")  # of another engine; the first is the measure of all
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
    "main": "measured where no --work says otherwise",
    "text": "and these too, where --text gives a text",
    "growth": "how seconds grow with the length, the window, and the source while decoding",
}


def chosen(names: Sequence[str], has_text: bool, config: LEDConfig) -> tuple[list[Work], list[str]]:
    """The works of these names and groups, and what was left out because the model is too small for it, in words.

    No names stand for the main ones, and those on a text where there is one. Raises InputError for a name that there
    is not, and for a work that was named and cannot be done.
    """
    known = {work.name for work in WORKS} | GROUPS.keys()
    for name in names:
        if name not in known:
            raise InputError(f"--work {name}: there is no such work: see --list")
    groups = names or (("main", "text") if has_text else ("main",))
    works, left_out = [], []
    for work in WORKS:
        if not {work.name, *work.groups} & set(groups):
            continue
        problem = _problem(work, has_text, config)
        if not problem:
            works.append(work)
        elif work.name in names:
            raise InputError(f"--work {work.name}: {problem}")
        else:
            left_out.append(f"{work.name} is left out: {problem}")
    return works, left_out


def variants(names: Sequence[str]) -> list[str]:
    """The variants of these names, all for none, in order and the first among them. Raises InputError for another."""
    for name in names:
        if name not in VARIANTS:
            raise InputError(f"--variant {name}: {', '.join(VARIANTS)} are there")
    return [variant for variant in VARIANTS if variant in (VARIANTS[0], *(names or VARIANTS))]


def _problem(work: Work, has_text: bool, config: LEDConfig) -> str:
    """Why a work cannot be done; empty where it can."""
    if work.needs_text:
        problem = "" if has_text else "it needs a checkpoint with a vocabulary, -m, and a text, --text"
    else:
        positions = config.max_encoder_position_embeddings
        problem = f"the encoder has {positions:,} positions only" if work.source > positions else ""
    positions = config.max_decoder_position_embeddings
    return problem or (f"the decoder has {positions:,} positions only" if work.target + 1 > positions else "")


def shortfalls(works: Iterable[Work], text: str) -> list[str]:
    """Which works get less of the text than they should, in words."""
    lengths = {"tokenize": (len(text.encode("utf-8")), "bytes"), "process": (len(text.split()), "words")}
    found = [(work, *lengths[work.kind]) for work in works if work.needs_text]
    return [
        f"{work.name}: the text has {length:,} {unit} only, instead of {work.source:,}"
        for work, length, unit in found
        if length < work.source
    ]


def listed(works: Iterable[Work] = WORKS) -> str:
    """The works by their groups, each on a line."""
    lines = []
    for group, about in GROUPS.items():
        lines.append(f"{group}: {about}")
        lines += [f"  {work.name:<18}{work.about}" for work in works if group in work.groups]
    return "\n".join(lines) + "\n"
