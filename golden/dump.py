"""Dump what every module of transformers computes, under its own names: `python golden/dump.py CHECKPOINT INPUTS OUT`.

    V5/bin/python golden/dump.py golden/tiny inputs.npz theirs.npz
    pyled trace -m golden/tiny --inputs inputs.npz -o trace.npz
    pyled check theirs.npz --against trace.npz --names transformers

Runs where transformers 5.23.0 or 4.57.6 is installed. INPUTS and OUT are .npz files, or .safetensors; INPUTS has the
arguments of the call by their names (`input_ids`, `attention_mask`, ..., with or without `in.` in front). An array of
OUT has the name of its module and, where that returns several, the key or the number of one. The second call of a
module, as of the embeddings for padding, has `#2` behind its name.
"""

import argparse
import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import ask
import numpy as np
import torch
import transformers
from ask import Arrays
from safetensors.numpy import load_file, save_file


def dumped(checkpoint: Path, inputs: Arrays, dtype: str) -> Arrays:
    """Return the inputs, and all that the modules of a checkpoint's model return for them."""
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    kind = getattr(transformers, ask.architecture(config))
    with ask.float64_softmax() if dtype == "float64" else nullcontext():
        model = kind.from_pretrained(checkpoint, attn_implementation="eager").to(getattr(torch, dtype)).eval()
        arrays: Arrays = dict(inputs)
        running = [""]  # the names of the modules that are being called, one within the other

        def before(names: list[str]) -> Any:
            # subtle: a module with several names, as tied embeddings, goes by that of the module that calls it
            return lambda *_: running.append(max(names, key=lambda name: name.startswith(f"{running[-1]}.")))

        def after(module: Any, arguments: Any, output: Any) -> None:
            add(arrays, running.pop(), output)

        names: dict[Any, list[str]] = {}
        for name, module in model.named_modules(remove_duplicate=False):
            names.setdefault(module, []).append(name)
        for module, own in names.items():
            module.register_forward_pre_hook(before(own))
            module.register_forward_hook(after)
        with torch.no_grad():
            model(
                **ask.tensors(inputs, model.dtype), output_attentions=True, output_hidden_states=True, use_cache=False
            )
    return arrays


def add(arrays: Arrays, name: str, output: Any) -> None:
    """Add copies of the tensors in what a module returns: upstream divides its query in place, after the hook."""
    if isinstance(output, torch.Tensor):
        calls = sum(known.partition("#")[0] == name for known in arrays)
        arrays[f"{name}#{calls + 1}" if calls else name] = np.ascontiguousarray(ask.numbers(output))
    elif isinstance(output, dict | tuple):
        for key, part in output.items() if isinstance(output, dict) else enumerate(output):
            add(arrays, f"{name}.{key}".removeprefix("."), part)


def main() -> int:
    parser = argparse.ArgumentParser(description="every module's output")
    parser.add_argument("checkpoint", type=Path, help="a directory")
    parser.add_argument("inputs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    read = load_file if arguments.inputs.suffix == ".safetensors" else np.load
    inputs = {name.removeprefix("in."): array for name, array in dict(read(arguments.inputs)).items()}
    arrays = dumped(arguments.checkpoint, inputs, arguments.dtype)
    if arguments.out.suffix == ".safetensors":
        save_file(arrays, arguments.out)
    else:
        np.savez(arguments.out, **arrays)
    print(f"{len(arrays)} arrays of transformers {transformers.__version__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
