"""Make the synopsis model: python golden/synopsis/make.py DIRECTORY [--packages FILE] [--start CHECKPOINT]

The whole recipe, for a person with a Debian 12 machine, its `man`, `apt-get` and `dpkg-deb`, and pyled[evaluate]; some
0.7 GB are fetched. Before it, as root:

    apt-get -o Acquire::Languages=en update

Each step is skipped where its result stands in DIRECTORY; the training goes on from its last state: texts (data.py),
vocabulary (vocabulary.py), first weights (model.py), the training (train.py), DIRECTORY/model (export.py), how good it
is (evaluate.py), and its README.md (card.py).

FILE names the packages whose manual pages are fetched beside those of this machine: fewer, where 4,406 are too many.
With CHECKPOINT, the one in the package or another of its shape, the training goes on from its weights and vocabulary.
"""

import argparse
from pathlib import Path

from card import write_card
from data import PACKAGES, SETS, collect
from evaluate import evaluate
from export import export
from model import write_start
from train import STAGES, train
from vocabulary import write_vocabulary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--packages", type=Path, default=PACKAGES, metavar="FILE")
    parser.add_argument("--start", type=Path, metavar="CHECKPOINT")
    arguments = parser.parse_args()
    directory: Path = arguments.directory
    directory.mkdir(parents=True, exist_ok=True)
    if not all((directory / f"{name}.jsonl").exists() for name in SETS):
        collect(directory, arguments.packages)
    if not (directory / "merges.txt").exists():
        write_vocabulary(directory, arguments.start)
    if not (directory / "start").exists():
        write_start(directory, arguments.start)
    train(directory)
    model = directory / "model"
    export(directory / f"trained-{len(STAGES)}", model)
    evaluate(directory, model)
    write_card(directory, model)


if __name__ == "__main__":
    main()
