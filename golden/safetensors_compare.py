"""Compare pyled's checkpoints with the reference, both ways: PYTHONPATH=. python golden/safetensors_compare.py

Runs with transformers 5.23.0 and with 4.57.6 (the mutations need one of them only):

1. What `save_pretrained` writes - every kind of model, tied and untied, three types, whole and in shards - pyled loads,
   with every weight equal and no surprise but the one that 4.57.6's untied files are due.
2. What pyled saves, the reference loads with no key missing, unexpected, mismatched or newly initialised, every tensor
   equal.
3. Random tensors of every type: bytes of the official writer, and ours, read by the other side.
4. Mutations of the headers of small files: whatever pyled reads, the official reader reads, with the same names, shapes
   and bytes. `--mutations N`, `--seed N`.

Prints what was compared and how often. Exits with 1 on the first difference.
"""

import argparse
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import safetensors
import safetensors.numpy
import torch
import transformers
from numpy.typing import NDArray

from pyled import checkpoint
from pyled.config import LEDConfig
from pyled.errors import CheckpointError

Rng = np.random.Generator
KINDS = {
    None: "LEDModel",
    "lm": "LEDForConditionalGeneration",
    "qa": "LEDForQuestionAnswering",
    "classification": "LEDForSequenceClassification",
}
INPUTS = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
IS_HALF_TIED = transformers.__version__ == "4.57.6"  # tie_word_embeddings=False unties lm_head alone
TYPES = "bool uint8 int8 int16 uint16 float16 int32 uint32 float32 complex64 float64 int64 uint64".split()  # noqa: SIM905


def require(holds: bool, *what: object) -> None:
    if not holds:
        sys.exit("DIFFERENT: " + " ".join(map(str, what)))


def configs(rng: Rng) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """Give a random small shape for each kind of model, tied and untied."""
    for head, name in KINDS.items():
        for is_tied in (True, False):
            if hasattr(transformers, name):
                heads = int(rng.integers(1, 4))
                yield (
                    head,
                    {
                        "vocab_size": int(rng.integers(5, 30)),
                        "d_model": 6 * int(rng.integers(1, 4)),
                        "encoder_layers": int(rng.integers(1, 4)),
                        "decoder_layers": int(rng.integers(1, 4)),
                        "encoder_attention_heads": heads,
                        "decoder_attention_heads": 1 + heads % 3,
                        "encoder_ffn_dim": int(rng.integers(1, 9)),
                        "decoder_ffn_dim": int(rng.integers(1, 9)),
                        "max_encoder_position_embeddings": int(rng.integers(4, 20)),
                        "max_decoder_position_embeddings": int(rng.integers(2, 9)),
                        "attention_window": 4,
                        "num_labels": int(rng.integers(3, 7)),
                        "tie_word_embeddings": is_tied,
                    },
                )


def compare_loading(rng: Rng, head: str | None, values: dict[str, Any], counts: Counter[str]) -> None:
    """1. Load with pyled what the reference saves."""
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        model = getattr(transformers, KINDS[head])(transformers.LEDConfig(**values)).to(dtype)
        with torch.no_grad():
            for tensor in (*model.parameters(), *model.buffers()):
                tensor.copy_(torch.from_numpy(rng.standard_normal(tensor.shape)))
        for size in ("1GB", "6KB"):
            with tempfile.TemporaryDirectory() as folder:
                model.save_pretrained(folder, max_shard_size=size)
                files = list(Path(folder).glob("model*.safetensors"))
                weights, report = checkpoint.load(Path(folder), LEDConfig.from_pretrained(folder), head)
                stock = {n.removeprefix("led."): t.float().numpy() for n, t in model.state_dict().items()}
                require(weights.keys() == stock.keys(), head, values, weights.keys() ^ stock.keys())
                for name, array in weights.items():
                    require(np.array_equal(array, stock[name]), head, values, dtype, name)
                expected = 2 if IS_HALF_TIED and not values["tie_word_embeddings"] else 0
                require(len(report.surprises()) == expected, head, values, report.surprises())
            counts[f"directories of the reference that pyled loads, {'shards' if len(files) > 1 else 'whole'}"] += 1


def compare_saving(rng: Rng, head: str | None, values: dict[str, Any], counts: Counter[str]) -> None:
    """2. Load with the reference what pyled saves."""
    config = LEDConfig(**values)
    tensors = {n: rng.standard_normal(s) for n, s in checkpoint.expected_shapes(config, head).items()}
    if IS_HALF_TIED or config.tie_word_embeddings:
        tied = (*INPUTS, "lm_head.weight") if config.tie_word_embeddings else INPUTS
        tensors |= {name: tensors["shared.weight"] for name in tied if name in tensors}
    for dtype in ("float32", "float64"):
        weights, _ = checkpoint.assign(tensors, config, head, dtype=dtype)
        with tempfile.TemporaryDirectory() as folder:
            checkpoint.save(Path(folder), weights, config, head)
            config.save_pretrained(folder)
            model, info = getattr(transformers, KINDS[head]).from_pretrained(
                folder, output_loading_info=True, dtype=getattr(torch, dtype)
            )
            require(not any(info.values()), head, values, info)
            stock = {n.removeprefix("led."): t.numpy() for n, t in model.state_dict().items()}
            require(weights.keys() == stock.keys(), head, values, weights.keys() ^ stock.keys())
            for name, array in weights.items():
                require(stock[name].dtype == array.dtype and np.array_equal(array, stock[name]), head, dtype, name)
        counts["directories of pyled that the reference loads"] += 1


def random_tensors(rng: Rng) -> dict[str, NDArray[Any]]:
    tensors = {}
    for i in range(int(rng.integers(0, 9))):
        dtype = np.dtype(TYPES[rng.integers(len(TYPES))])
        shape = tuple(int(n) for n in rng.integers(0, 5, int(rng.integers(0, 4))))
        count = int(np.prod(shape))
        data = rng.integers(0, 2 if dtype == np.bool_ else 256, count * dtype.itemsize, dtype=np.uint8)
        tensors[rng.choice(["w", "\u00fc \u2603", 'a"\\', "\t\x01\x7f", "\U0001f600", "layer.weight"]) + str(i)] = (
            np.array(data.view(dtype).reshape(shape))
        )
    return tensors


def is_same(a: dict[str, NDArray[Any]], b: dict[str, NDArray[Any]]) -> bool:
    return a.keys() == b.keys() and all(
        a[n].dtype == b[n].dtype and a[n].shape == b[n].shape and a[n].tobytes() == b[n].tobytes() for n in a
    )


def compare_files(rng: Rng, folder: Path, counts: Counter[str]) -> None:
    """3. Read one writer's file with the other's reader."""
    tensors = random_tensors(rng)
    theirs, ours = folder / "theirs", folder / "ours"
    theirs.write_bytes(safetensors.numpy.save(tensors, metadata={"format": "pt"}))
    require(is_same(checkpoint.read_safetensors(theirs, mmap=bool(rng.integers(2))), tensors), "their file", tensors)
    checkpoint.write_safetensors(ours, tensors)
    require(is_same(safetensors.numpy.load_file(ours), tensors), "our file", tensors)
    counts["files with random tensors, each way"] += 1
    counts["... of which the bytes are the same"] += ours.read_bytes() == theirs.read_bytes()


# 4. Mutations

TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[0-9]+|.', re.DOTALL)
STRINGS = (
    b'"dtype" "shape" "data_offsets" "__metadata__" "a" "b" "\\u0061" "F32" "F16" "BF16" "U8" "BOOL" "F8_E5M2" "F4"'
)
WORDS = b'null true false NaN Infinity [] [0] {} {"k":"v"} ,"x":1 ,"k":"v" "" "\\u0000" "\\ud800" "\xc3\xa9" "\xff"'
NUMBERS = b"0 0 0 1 1 2 2 3 4 4 8 16 20 00 -0 -1 1.0 1e1 18446744073709551615 4294967296 281474976710656"
BYTES = b'{}[]":, \n\t0123456789-+.eE\0\\/\xff'
F32, U8 = b'{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}', b'{"dtype":"U8","shape":[4],"data_offsets":[16,20]}'
EMPTY, I64 = (
    b'{"dtype":"BOOL","shape":[0,3],"data_offsets":[0,0]}',
    b'{"dtype":"I64","shape":[1,2],"data_offsets":[0,16]}',
)
SEEDS = [
    (b'{"a":' + F32 + b',"b":' + U8 + b"}", 20),
    (b'{"__metadata__":{"format":"pt","k":"v"},"b":{"dtype":"F16","shape":[],"data_offsets":[0,2]}}      ', 2),
    (b'{"a":' + EMPTY + b',"b":' + I64 + b"}", 16),
    (b"{}", 0),
]


def mutated(rng: Rng) -> bytes:
    """Return a small file with one to three tokens of its header changed, and now and then its length or data."""

    def one_of(choices: bytes) -> bytes:
        listed = choices.split(b" ")
        return listed[rng.integers(len(listed))]

    header, size = SEEDS[rng.integers(len(SEEDS))]
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        tokens = TOKEN.findall(header)
        i = int(rng.integers(len(tokens)))
        j = i + int(rng.integers(1, 12))
        like = one_of(NUMBERS) if tokens[i].isdigit() else one_of(STRINGS) if tokens[i][:1] == b'"' else one_of(WORDS)
        byte = bytes([BYTES[rng.integers(len(BYTES))]])
        changes = {
            "another": [like],
            "white": [b" \n\t"[: rng.integers(1, 4)], tokens[i]],
            "gone": [],
            "twice": [*tokens[i:j], *tokens[i:j], *tokens[i + 1 : j]],
            "word": [tokens[i], one_of(WORDS)],
            "byte": [tokens[i][: len(tokens[i]) // 2], byte, tokens[i][len(tokens[i]) // 2 :]],
        }
        tokens[i : j if rng.integers(4) == 0 else i + 1] = changes[str(rng.choice(list(changes)))]
        header = b"".join(tokens) or b" "
    length = len(header) + (int(rng.integers(-3, 4)) if rng.integers(20) == 0 else 0)
    size += int(rng.integers(-2, 3)) if rng.integers(10) == 0 else 0
    return max(0, length).to_bytes(8, "little") + header + bytes(max(0, size))


def compare_mutation(data: bytes, path: Path, counts: Counter[str]) -> None:
    """Require that the official reader reads what pyled reads; anything but CheckpointError ends the script."""
    path.write_bytes(data)
    try:
        theirs = dict(safetensors.deserialize(data))
    except safetensors.SafetensorError:
        theirs = None
    try:
        ours = checkpoint.read_safetensors(path, mmap=False)
    except CheckpointError:
        ours = None
    counts[f"mutations: official reader {'refuses' if theirs is None else 'reads'}, pyled "
           f"{'refuses' if ours is None else 'reads'}"] += 1  # fmt: skip
    if ours is None:
        return
    require(theirs is not None, "only pyled reads", data)
    require(ours.keys() == theirs.keys(), "other names", data)
    for name, array in ours.items():
        raw = np.frombuffer(bytes(theirs[name]["data"]), np.uint8)
        if theirs[name]["dtype"] == "BF16":
            raw = (raw.view("<u2").astype("<u4") << 16).view(np.uint8)
        require(list(array.shape) == theirs[name]["shape"] and array.tobytes() == raw.tobytes(), name, data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    rng = np.random.default_rng(arguments.seed)
    counts: Counter[str] = Counter()
    for _ in range(3):
        for head, values in configs(rng):
            compare_loading(rng, head, values, counts)
            compare_saving(rng, head, values, counts)
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(500):
            compare_files(rng, Path(folder), counts)
        for _ in range(arguments.mutations):
            compare_mutation(mutated(rng), Path(folder) / "mutated", counts)
    print(json.dumps({"transformers": transformers.__version__, **dict(sorted(counts.items()))}, indent=1))


if __name__ == "__main__":
    main()
