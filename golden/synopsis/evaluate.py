"""Measure an exported model on the held-out texts: python golden/synopsis/evaluate.py DIRECTORY MODEL [--python PYTHON]

Writes DIRECTORY/evaluation.json, by `pyled evaluate --ablate`. A run that was cut off goes on from the records of
DIRECTORY/evaluation.jsonl. PYTHON is an interpreter that has pyled[evaluate] (default: this one).
"""

import argparse
import random
import subprocess
import sys
from pathlib import Path

from data import KINDS

EVALUATED = 1000  # texts of each kind at most; searches come beside them


def sample(directory: Path, kind: str) -> Path:
    """Draw at most EVALUATED of the held-out texts, always the same ones, in their order, into a file."""
    lines = (directory / f"{kind}-test.jsonl").read_bytes().splitlines(keepends=True)
    rng = random.Random(0)
    order = [rng.random() for _ in lines]  # which every version of Python draws alike
    places = sorted(sorted(range(len(lines)), key=order.__getitem__)[:EVALUATED])
    path = directory / f"{kind}-evaluated.jsonl"
    path.write_bytes(b"".join(lines[i] for i in places))
    return path


def evaluate(directory: Path, model: Path, python: str = sys.executable) -> None:
    inputs = [sample(directory, kind) for kind in (*KINDS, "searches")]
    options = ["-m", model, "--ablate", "--too-long", "truncate", "--json"]
    records = ["-o", directory / "evaluation.jsonl", "--skip-existing"]
    command = [python, "-m", "pyled", "evaluate", *inputs, *options, *records]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    unfinished = directory / "evaluation.unfinished"
    unfinished.write_bytes(done.stdout)
    unfinished.replace(directory / "evaluation.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has pyled")
    arguments = parser.parse_args()
    evaluate(arguments.directory, arguments.model, arguments.python)


if __name__ == "__main__":
    main()
