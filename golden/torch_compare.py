"""Compare pyled's reader of torch's files with torch: PYTHONPATH=.:tests python golden/torch_compare.py

Runs with torch 2.13.0 where pyled's dependencies are.

1. Random state dicts: every type, tied, views of one storage, other strides, Parameters; in both formats of torch.
   pyled reads the same names, types, shapes and bytes, or refuses by `strides` or `overlap`.
2. Mutations of small files, those of tests/fuzz.py: whatever pyled reads, `torch.load(weights_only=True)` reads, with
   the same names, types, shapes and bytes. `--mutations N` of each kind, `--seed N`.

Prints what was compared and how often. Exits with 1 on the first difference.
"""

import argparse
import collections
import json
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import fuzz
import numpy as np
import torch

from pyled.checkpoint.torch_file import read_torch
from pyled.errors import CheckpointError

TYPES = (
    torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool,
)  # fmt: skip


def require(holds: bool, *what: object) -> None:
    if not holds:
        sys.exit("DIFFERENT: " + " ".join(map(str, what)))


def require_same(ours: dict[str, Any], theirs: dict[str, Any], *what: object) -> None:
    """Require the same names in the same order, and of each tensor the same type, shape and bytes."""
    require([*ours] == [*theirs], "names", *what)
    for name, array in ours.items():
        tensor = theirs[name].detach().clone(memory_format=torch.contiguous_format)
        tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor  # as pyled gives it
        data = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
        require(torch.from_numpy(np.zeros(1, array.dtype)).dtype == tensor.dtype, name, "type", *what)
        require(array.shape == tuple(tensor.shape) and array.tobytes() == data, name, *what)


def view_of(rng: np.random.Generator, tensor: torch.Tensor) -> torch.Tensor:
    """Return a view that the file may hold, or one that pyled refuses."""
    kind = rng.choice(["whole", "permuted", "part", "step", "expanded", "parameter"])
    if kind == "permuted":
        return tensor.permute([int(i) for i in rng.permutation(tensor.ndim)])
    if kind == "part" and tensor.ndim:
        return tensor[int(rng.integers(0, len(tensor) + 1)) :]
    if kind == "step" and tensor.ndim:
        return tensor[::2]
    if kind == "expanded":
        return tensor.unsqueeze(0).expand(int(rng.integers(1, 3)), *tensor.shape)
    return torch.nn.Parameter(tensor, requires_grad=False) if kind == "parameter" else tensor


def compare_random(rng: np.random.Generator, path: Path, counts: Counter[str]) -> None:
    """1. Read what torch writes."""
    tensors: dict[str, torch.Tensor] = collections.OrderedDict() if rng.integers(2) else {}
    base: list[torch.Tensor] = []
    for i in range(int(rng.integers(0, 7))):
        if not base or rng.integers(3):
            dtype = TYPES[rng.integers(len(TYPES))]
            shape = tuple(int(n) for n in rng.integers(0, 5, int(rng.integers(0, 5))))
            numbers = torch.from_numpy(rng.integers(-100, 100, shape)).reshape(shape)
            base.append(numbers.to(dtype) if dtype != torch.bool else numbers > 0)
        tensors[f"{'led.é '[: rng.integers(6)]}{i}"] = view_of(rng, base[rng.integers(len(base))])
    form = "zip" if rng.integers(2) else "stacked"
    torch.save(tensors, path, _use_new_zipfile_serialization=form == "zip")
    try:
        ours = read_torch(path, mmap=bool(rng.integers(2)))
    except CheckpointError as e:
        require(e.rule in ("strides", "overlap"), "refused", e, tensors)
        counts[f"files of torch, {form}: refused by {e.rule}"] += 1
        return
    require_same(ours, tensors, tensors)
    counts[f"files of torch, {form}: read"] += 1


def compare_mutation(kind: str, number: int, seed: int, path: Path, counts: Counter[str]) -> None:
    """2. Require that torch reads what pyled reads; anything but CheckpointError ends the script."""
    files, _ = fuzz.case(kind, number, seed)
    path.write_bytes(files["pytorch_model.bin"])
    try:
        ours = read_torch(path, mmap=bool(number % 2))
    except CheckpointError:
        counts[f"mutations, {kind}: pyled refuses"] += 1
        return
    theirs = torch.load(path, weights_only=True, map_location="cpu")
    require_same(ours, theirs, "mutation", kind, number, "seed", seed)
    counts[f"mutations, {kind}: both read"] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000, help="random state dicts")
    parser.add_argument("--mutations", type=int, default=5000, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(arguments.seed)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.files):
            compare_random(rng, Path(folder) / "random.bin", counts)
        for number in range(arguments.mutations):
            for kind in ("torch-zip", "torch-stacked"):
                compare_mutation(kind, number, arguments.seed, Path(folder) / "mutated.bin", counts)
    print(json.dumps({"torch": torch.__version__, **dict(sorted(counts.items()))}, indent=1))


if __name__ == "__main__":
    main()
