"""Make the synopsis model: python golden/synopsis/make.py DIRECTORY [--steps N]

The whole recipe, for a person with a Debian 12 machine, its `man`, `apt-get` and `dpkg-deb`, and an environment with
torch, transformers 5.23.0, tokenizers, regex and pyled; some 0.7 GB are fetched. Before it, as root:

    apt-get -o Acquire::Languages=en update

Each step is skipped where its result stands in DIRECTORY; the training goes on from its last checkpoint:
texts (data.py), vocabulary and ids (tokens.py), weights (train.py), DIRECTORY/model (export.py), how good it is
(evaluate.py), and its README.md (card.py).
"""

import argparse
from pathlib import Path

from card import write_card
from data import SETS, collect
from evaluate import evaluate
from export import export
from tokens import write_tokens
from train import STEPS, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS, help="of the training (default %(default)s)")
    arguments = parser.parse_args()
    directory: Path = arguments.directory
    directory.mkdir(parents=True, exist_ok=True)
    if not all((directory / f"{name}.jsonl").exists() for name in SETS):
        collect(directory)
    write_tokens(directory)
    train(directory, arguments.steps)
    model = directory / "model"
    export(directory, model)
    evaluate(directory, model)
    write_card(directory, model)


if __name__ == "__main__":
    main()
