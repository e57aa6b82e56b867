"""Store what `dump.py` says of a small model, for the tests of `pyled check`: `python golden/dumps.py [--check]`.

Runs where transformers 5.23.0 or 4.57.6 is installed: both write the same bytes. They are in
`golden/dumps/transformers.npz`, float32, and in `config.json`, that of the model, whose weights are those of the hash
with seed 0. Of arrays that are the same the first is stored.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import ask
import numpy as np
import torch
import transformers
from ask import Arrays
from cases import TALL, Case
from dump import dumped
from weights import make_weights

FOLDER = Path(__file__).parent / "dumps"
# Two global tokens, in a document with a hole and padding one; 7 tokens in a window of 4, which is padded to 8.
CASE = Case("dump", "", {**TALL, "encoder_layers": 1}, rows=("g..g...", "g.-..--"), targets=("...", "..."))


def made() -> Arrays:
    """Return the distinct arrays of the model."""
    with tempfile.TemporaryDirectory() as folder:
        ask.load(CASE.config, make_weights(CASE.config, 0), torch.float32).save_pretrained(folder)
        arrays = dumped(Path(folder), CASE.inputs(), "float32")
    seen: set[tuple[object, bytes]] = set()
    return {
        name: array
        for name, array in arrays.items()
        if name in CASE.inputs() or not ((key := (array.shape, array.tobytes())) in seen or seen.add(key))
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="stored dumps")
    parser.add_argument("--check", action="store_true", help="compare with what is stored, write nothing")
    check = parser.parse_args().check
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    arrays, path = made(), FOLDER / "transformers.npz"
    if not check:
        FOLDER.mkdir(exist_ok=True)
        np.savez_compressed(path, **arrays)
        (FOLDER / "config.json").write_text(json.dumps(CASE.config, indent=2) + "\n", encoding="utf-8")
        print(f"{len(arrays)} arrays, {path.stat().st_size:,} bytes")
        return 0
    with np.load(path) as stored:
        problems = [f"other names: {sorted(set(stored.files) ^ set(arrays))}"] * (set(stored.files) != set(arrays))
        problems += [name for name in stored.files if name in arrays and not np.allclose(stored[name], arrays[name])]
    print("\n".join(problems) or f"{len(arrays)} arrays agree")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
