"""Files as torch writes them: `golden/torch_files/`. python golden/torch_files.py [--check]

Runs in an environment with torch 2.13.0. `zip.bin` and `stacked.bin` are what `torch.save` writes of one state dict, in
its format and in that of torch before 1.6; `tensors.safetensors` has the same tensors, each with numbers of its own:

`KIND`, `KIND.rank0`, `KIND.empty`: each type of number, of rank 2, 0, and without elements; `tied.a`, `tied.b`: one
tensor; `tied.parameter`: a Parameter with its storage; `transposed`, `permuted`: views with other strides;
`slice.begin`, `slice.end`: parts of one storage, whose middle no tensor has; `axis.of.1`: a stride that no element
needs.

The keys of storages in `stacked.bin` are addresses, so that --check compares what it holds, not its bytes.
"""

import argparse
import collections
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from weights import hashed

FOLDER = Path(__file__).parent / "torch_files"
TYPES = {
    "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


def numbers(name: str, dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """Return a tensor of the bytes of the hash; of BOOL their lowest bits."""
    size = int(np.prod(shape)) * dtype.itemsize
    data = hashed(name, 0, size // 8 + 1).astype("<u8").tobytes()[:size]
    data = bytes(byte & 1 for byte in data) if dtype == torch.bool else data
    return torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape) if size else torch.zeros(shape, dtype=dtype)


def state_dict() -> dict[str, torch.Tensor]:
    """Return the tensors of both files."""
    tensors: dict[str, torch.Tensor] = collections.OrderedDict()
    for kind, dtype in TYPES.items():
        tensors |= {kind: numbers(kind, dtype, 2, 3), f"{kind}.rank0": numbers(f"{kind}.rank0", dtype)}
        tensors[f"{kind}.empty"] = numbers("", dtype, 3, 0)
    shapes = {"tied": (4, 3), "cube": (2, 3, 4), "line": (10,)}
    tied, cube, line = (numbers(name, torch.float32, *shape) for name, shape in shapes.items())
    tensors |= {"tied.a": tied, "tied.b": tied, "tied.parameter": torch.nn.Parameter(tied), "transposed": tied.T}
    tensors |= {"permuted": cube.permute(2, 0, 1), "slice.begin": line[:3], "slice.end": line[6:].reshape(2, 2)}
    tensors["axis.of.1"] = numbers("axis", torch.float32, 4, 1).as_strided((1, 4), (77, 1))
    metadata: Any = collections.OrderedDict({"": {"version": 1}, "layer": {"version": 2}})
    tensors._metadata = metadata  # type: ignore[attr-defined]
    return tensors


def make(folder: Path) -> None:
    tensors = state_dict()
    torch.save(tensors, folder / "zip.bin")
    torch.save(tensors, folder / "stacked.bin", _use_new_zipfile_serialization=False)
    copies = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    safetensors.torch.save_file(copies, folder / "tensors.safetensors")


def facts(tensor: torch.Tensor) -> tuple[Any, ...]:
    data = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    return tensor.dtype, tensor.shape, tensor.stride(), data.tolist()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with what is stored, write nothing")
    if not parser.parse_args().check:
        FOLDER.mkdir(exist_ok=True)
        make(FOLDER)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        differ = [name for name in ("zip.bin", "tensors.safetensors")
                  if (FOLDER / name).read_bytes() != (Path(folder) / name).read_bytes()]  # fmt: skip
    stored, now = torch.load(FOLDER / "stacked.bin", weights_only=True), state_dict()
    if [(name, facts(tensor)) for name, tensor in stored.items()] != [(n, facts(t)) for n, t in now.items()]:
        differ.append("stacked.bin")
    print("\n".join(f"{name} is not what was made now" for name in differ) or "torch_files: whole")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
