"""The model card, README.md in the exported directory: python golden/synopsis/card.py DIRECTORY OUT

What the model is, what it was trained on, and how good it is by DIRECTORY/evaluation.json, which evaluate.py writes.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from data import SETS
from model import CONFIG
from train import PAIRS, STAGES

from pyled.checkpoint import read_safetensors

CARD = """\
# A synopsis model

A small LED (Longformer Encoder-Decoder) that reads the description of a software package or a manual page, in English,
and writes its one-line synopsis: 192 wide, {encoder_layers} encoder and {decoder_layers} decoder layers, \
{parameters:,} parameters, a byte-level BPE of
{vocab_size:,} entries, sources of up to {positions:,} tokens, a window of {window} tokens, global attention on `<s>`. \
The weights are float16.

It is what `pyled summarize FILE` uses without `-m`. Hugging Face's `LEDForConditionalGeneration` loads the directory,
too; give it global attention on the first token.

## What it was trained on

`golden/synopsis/` in pyled's repository is the whole recipe. The texts come from Debian 12 and none of them is part of
this directory:

- descriptions of packages: the long one is the document, the short one the synopsis. They are written by Debian's
  maintainers and come under the licence of the packaging of each package (mostly the GPL, MIT, BSD or the licence of
  the program itself), which Debian's archive documents package by package.
- manual pages of packages of Debian's `main`, each under the free licence of its program: the page without its section
  NAME is the document, what NAME says after the dash the synopsis.
- searches: `Find: ` and a word in the first line, and below it 4 to 12 descriptions, a blank line between; the synopsis
  is that of the one in which the word stands.

{pairs}

Texts were split by source package: nothing that belongs to the same source as a held-out text was trained on.

{training}

The weights, the vocabulary and this page are under pyled's licence, Apache-2.0.

## How good it is

{figures}

## What it is not

It has seen software, described in English, and nothing else: for papers, reports or books take a checkpoint trained on
those. It is small: it copies rare names badly, and says plausible things that are not so. Do not rely on a synopsis
that nobody checks.
"""

KINDS = {"descriptions": "descriptions", "pages": "manual pages", "searches": "searches"}
TITLES = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L"}
FIGURES = """\
By the recipe's `evaluate.py`, on {documents:,} of the held-out texts. F1 of ROUGE as the package rouge-score has it,
without stems; behind ROUGE-L the interval that holds 95 % of the resamples of the documents:
"""


def pairs(directory: Path) -> str:
    """How many texts there are of each kind."""
    counts = {}
    for name in SETS:
        with (directory / f"{name}.jsonl").open(encoding="utf-8") as lines:
            counts[name] = sum(1 for _ in lines)
    return "\n".join(
        f"- {said}: {counts[f'{kind}-train']:,} pairs for training, {counts[f'{kind}-valid']:,} for validation, "
        f"{counts[f'{kind}-test']:,} held out"
        for kind, said in KINDS.items()
    )


def training() -> str:
    """How long it took."""
    steps = sum(stage.steps for stage in STAGES)
    return f"`pyled train` took {steps:,} steps of {PAIRS} texts."


def figures(directory: Path) -> str:
    """The tables of each kind of text, and of the long ones."""
    evaluation: dict[str, Any] = json.loads((directory / "evaluation.json").read_text(encoding="utf-8"))
    lines = [FIGURES.format(documents=evaluation["documents"])]
    for group in evaluation["groups"]:
        title = title_of(group)
        if title is not None:
            lines += [*table(title, group), ""]
    return "\n".join(lines).rstrip()


def title_of(group: dict[str, Any]) -> str | None:
    """What a table is headed; None for a group that the card leaves out."""
    if group["length"] == "long":
        return "long texts, of more than 1,024 tokens"
    named = [said for kind, said in KINDS.items() if group["input"] and Path(group["input"]).name.startswith(kind)]
    return named[0] if named else None


def table(title: str, group: dict[str, Any]) -> list[str]:
    lines = [f"| {group['documents']:,} {title} | words | {' | '.join(TITLES.values())} |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for system, row in group["systems"].items():
        scores = [row["scores"][metric]["fmeasure"] for metric in TITLES]
        cells = [f"{one['mean']:.3f}" for one in scores]
        cells[-1] += f" ({scores[-1]['low']:.3f} to {scores[-1]['high']:.3f})"
        lines.append(f"| {system} | {row['words']:.1f} | {' | '.join(cells)} |")
    return lines


def write_card(directory: Path, out: Path) -> None:
    weights = read_safetensors(out / "model.safetensors")
    text = CARD.format(
        **CONFIG,
        pairs=pairs(directory),
        training=training(),
        figures=figures(directory),
        parameters=sum(w.size for name, w in weights.items() if name != "final_logits_bias"),
        positions=CONFIG["max_encoder_position_embeddings"],
        window=CONFIG["attention_window"][0],
    )
    (out / "README.md").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    write_card(arguments.directory, arguments.out)


if __name__ == "__main__":
    main()
