"""Write a trained checkpoint as the one in the package: python golden/synopsis/export.py TRAINED OUT

OUT gets model.safetensors in float16, config.json, generation_config.json and the tokenizer's files. Refused where the
directory would not fit into the package.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
from model import CONFIG, write_settings

from pyled.checkpoint import read_safetensors, write_safetensors

SIZE_LIMIT = 12_000_000  # bytes of the directory: it is part of the package


def export(trained: Path, out: Path) -> None:
    unfinished = out.with_name(out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    weights = read_safetensors(trained / "model.safetensors")
    rounded = {name: array.astype(np.float16) for name, array in weights.items()}
    write_safetensors(unfinished / "model.safetensors", rounded)
    write_settings(unfinished, trained, CONFIG | {"dtype": "float16"})
    size = sum(path.stat().st_size for path in unfinished.iterdir())
    print(f"{out}: {size:,} bytes")
    if size >= SIZE_LIMIT:
        raise SystemExit(f"{size:,} bytes, but {SIZE_LIMIT:,} is the limit: make the model or the vocabulary smaller")
    shutil.rmtree(out, ignore_errors=True)
    unfinished.rename(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trained", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    export(arguments.trained, arguments.out)


if __name__ == "__main__":
    main()
