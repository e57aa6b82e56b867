"""Weight files as the reference writes them: make or check the part of one version, `golden/weight_files/<version>/`.

    python golden/weight_files.py [--check]

Runs in an environment with transformers 5.23.0 or 4.57.6; each makes the directories of its own version.

`<head>-<tied|untied>[-<how>]/` is what `save_pretrained` writes of a tiny model with the weights of the hash
(`weights.py`, seed 0, float32; a head's other tensors are `reals` of their names): `base`, `lm`, `qa`, and in 4.57.6
`classification`; <how> is `float16`, `bfloat16`, `shards`, or, for torch's files, `bin` and `bin-shards`. 4.57.6 always
ties both `embed_tokens` to `shared`, so there they are `shared` in untied models too.

Of 5.23.0 there are also `tensors.json`, the names and shapes of a model with unequal sides, and its configuration; and
`types.safetensors`, written by the official library: one tensor of every type that NumPy or torch has, of rank 2, of
rank 0 and of size 0, its bytes those of `hashed(name, 0, ...)`, for BOOL their lowest bits.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import safetensors.torch
import torch
import transformers
from weights import TIED, hashed, make_weights, reals

FOLDER = Path(__file__).parent / "weight_files"
VERSION = transformers.__version__
SEED = 0

CONFIG: dict[str, Any] = {
    "vocab_size": 13,
    "d_model": 6,
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 5,
    "decoder_layers": 1,
    "decoder_attention_heads": 3,
    "decoder_ffn_dim": 4,
    "attention_window": [4],
    "max_encoder_position_embeddings": 12,
    "max_decoder_position_embeddings": 8,
}
UNEQUAL: dict[str, Any] = {**CONFIG, "encoder_layers": 1, "decoder_layers": 2}

CLASSES = {
    "base": "LEDModel",
    "lm": "LEDForConditionalGeneration",
    "qa": "LEDForQuestionAnswering",
    "classification": "LEDForSequenceClassification",
}
CASES = {
    "5.23.0": ("base-untied", "lm-tied", "qa-tied", "lm-tied-bfloat16", "lm-untied-shards"),
    "4.57.6": (
        "base-tied",
        "lm-untied",
        "classification-tied",
        "lm-tied-float16",
        "lm-tied-bin",
        "lm-untied-bin-shards",
    ),
}
SHARD = "2KB"  # several files
TYPES = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16, "U16": torch.uint16,
    "F16": torch.float16, "BF16": torch.bfloat16, "I32": torch.int32, "U32": torch.uint32, "F32": torch.float32,
    "C64": torch.complex64, "I64": torch.int64, "U64": torch.uint64, "F64": torch.float64,
}  # fmt: skip


def make_model(head: str, config: Mapping[str, Any]) -> Any:
    """Return the reference's model with the weights of the hash."""
    model = getattr(transformers, CLASSES[head])(transformers.LEDConfig(**config)).eval()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in tensors_of(head, config, model).items()})
    return model


def tensors_of(head: str, config: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """Return every tensor of the model by upstream's names."""
    tensors = make_weights(config, SEED, np.float32)
    if VERSION == "4.57.6":
        tensors |= dict.fromkeys(TIED[1:3], tensors[TIED[0]])
    if head == "base":
        tensors = {name.removeprefix("led."): array for name, array in tensors.items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    return {name: tensors[name] if name in tensors else reals(name, SEED, shapes[name], np.float32) for name in shapes}


def save_case(case: str, folder: Path) -> None:
    """Write one directory, by `save_pretrained`."""
    head, tied, *how = case.split("-")
    model = make_model(head, {**CONFIG, "tie_word_embeddings": tied == "tied"})
    if how and hasattr(torch, how[0]):
        model = model.to(getattr(torch, how[0]))
    size = {"max_shard_size": SHARD} if "shards" in how else {}
    model.save_pretrained(folder, **size, **({"safe_serialization": False} if "bin" in how else {}))


def save_tensors(path: Path) -> None:
    """Write the names and shapes of a model with its head."""
    model = transformers.LEDForConditionalGeneration(transformers.LEDConfig(**UNEQUAL))
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    path.write_text(json.dumps({"config": UNEQUAL, "tensors": shapes}) + "\n", encoding="utf-8")


def save_types(path: Path) -> None:
    """Write a file of the official library with every type."""
    tensors = {}
    for kind, dtype in TYPES.items():
        for place, shape in (("", (2, 3)), (".rank0", ()), (".empty", (3, 0))):
            count, size = int(np.prod(shape)), dtype.itemsize
            data = hashed(kind + place, SEED, count * size // 8 + 1).astype("<u8").tobytes()[: count * size]
            if kind == "BOOL":
                data = bytes(byte & 1 for byte in data)
            flat = torch.frombuffer(bytearray(data), dtype=dtype) if count else torch.zeros(0, dtype=dtype)
            tensors[kind + place] = flat.reshape(shape)
    safetensors.torch.save_file(tensors, path, metadata={"é": "\n"})  # of several, the order is random


def make(folder: Path) -> None:
    """Write all files of this version."""
    for case in CASES[VERSION]:
        save_case(case, folder / case)
    if VERSION == "5.23.0":
        save_tensors(folder / "tensors.json")
        save_types(folder / "types.safetensors")


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with what is stored, write nothing")
    arguments = parser.parse_args()
    assert VERSION in CASES, f"the files are those of {' and '.join(CASES)}, not of {VERSION}"
    transformers.logging.set_verbosity_error()
    if not arguments.check:
        make(FOLDER / VERSION)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        stored, now = files_of(FOLDER / VERSION), files_of(Path(folder))
    differ = sorted(name for name in stored.keys() | now.keys() if stored.get(name) != now.get(name))
    print("\n".join(f"{name} is not what was made now" for name in differ) or f"weight_files/{VERSION}: whole")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
