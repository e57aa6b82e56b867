"""Train the synopsis model: python golden/synopsis/train.py DIRECTORY

Each stage is a `pyled train` of DIRECTORY/stage-N.jsonl, which this writes, into DIRECTORY/trained-N. The first one
starts from DIRECTORY/start (model.py). It may be killed; the same command goes on.
"""

import argparse
import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from data import Pair, read, share, write
from model import CONFIG, LONGEST_SUMMARY

PAIRS = 36  # of a step
VALIDATED = 150  # pairs of each kind
EVERY = 500  # steps between two validations
Cuts = tuple[tuple[float, int], ...]  # which share of the texts is cut to how many characters


@dataclass(frozen=True)
class Stage:
    """What is read, and for how many steps: beginnings first, which say the most and cost the least.

    texts: by kind, its share of the pairs, and how they are cut. Each pair is read as often as that takes
    """

    steps: int
    rate: float
    schedule: str
    texts: dict[str, tuple[float, Cuts]]


WHOLE = 60_000  # characters: more than the encoder's positions hold
STAGES = (
    Stage(3000, 1.2e-3, "constant", {"descriptions": (0.75, ((1.0, 500),)), "pages": (0.25, ((1.0, 800),))}),
    Stage(
        2600,
        1.2e-3,
        "linear",
        {
            "descriptions": (0.6, ((0.6, 750), (0.4, 2000))),
            "pages": (0.25, ((0.5, 1500), (0.4, 3500), (0.1, 14_000))),
            "searches": (0.15, ((1.0, WHOLE),)),
        },
    ),
)


def wrapped(text: str) -> str:
    """The text with its paragraphs wrapped at some width; lines that are lists or indented stay as they are."""
    width = 60 + int(share("wrap", text) * 20)
    lines = []
    for line in text.split("\n"):
        is_paragraph = line and line[0] not in " \t" and line[:2] not in ("- ", "* ", "+ ", "• ", "o ")
        lines += textwrap.wrap(line, width, break_on_hyphens=False) if is_paragraph else [line]
    return "\n".join(lines)


def texts(directory: Path, number: int, stage: Stage) -> Iterator[Pair]:
    """Give the pairs of a stage. Half of the descriptions are wrapped, as a terminal has them."""
    for kind, (part, cuts) in stage.texts.items():
        pairs = read(directory / f"{kind}-train.jsonl")
        for i in range(round(part * stage.steps * PAIRS)):
            pair, key = pairs[i % len(pairs)], (str(number), str(i))
            is_wrapped = kind == "descriptions" and share("wrapped", *key) < 0.5
            document = wrapped(pair.document) if is_wrapped else pair.document
            yield Pair(document[: cut(cuts, share("cut", *key))], pair.summary, pair.source)


def cut(cuts: Cuts, at: float) -> int:
    """Return how many characters are read of a text for which `at` was drawn: cut(((0.6, 9), (0.4, 30)), 0.7) is 30."""
    for part, characters in cuts:
        if at < part:
            return characters
        at -= part
    return cuts[-1][1]


def validated(directory: Path) -> Iterator[Pair]:
    """Give the pairs of the validation: some of each kind, one after the other, since ROUGE takes the first ones."""
    kinds = [read(directory / f"{kind}-valid.jsonl")[:VALIDATED] for kind in STAGES[-1].texts]
    for row in zip_longest(*kinds):
        yield from filter(None, row)


def is_done(trained: Path, steps: int) -> bool:
    log = trained / "training.jsonl"
    if not log.exists() or (trained / "training.state").exists():
        return False
    return bool(json.loads(log.read_text(encoding="utf-8").splitlines()[-1])["step"] == steps)


def train(directory: Path, seed: int = 1) -> None:
    """Do what is left of the stages."""
    start, valid = directory / "start", directory / "valid.jsonl"
    if not valid.exists():
        write(valid, validated(directory))
    for number, stage in enumerate(STAGES, 1):
        pairs, trained = directory / f"stage-{number}.jsonl", directory / f"trained-{number}"
        if not pairs.exists():
            write(pairs, texts(directory, number, stage))
        command = [sys.executable, "-m", "pyled", "train", pairs, "-m", start, "-o", trained, "--seed", seed]
        command += ["--steps", stage.steps, "--batch", PAIRS, "--lr", stage.rate, "--schedule", stage.schedule]
        command += ["--warmup", 50, "--weight-decay", 0.01, "--label-smoothing", 0.1, "--checkpointing", "keep"]
        command += ["--max-source-tokens", CONFIG["max_encoder_position_embeddings"]]
        command += ["--max-target-tokens", LONGEST_SUMMARY, "--validation", valid, "--validate", EVERY]
        if not is_done(trained, stage.steps):
            subprocess.run([str(word) for word in command], check=True)
        start = trained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    train(parser.parse_args().directory)


if __name__ == "__main__":
    main()
