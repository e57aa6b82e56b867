"""Make the goldens of TensorFlow's files and classes, or check them: `python golden/tf_model.py [--check]`.

Runs in an environment with transformers 4.57.6, tensorflow-cpu and tf-keras 2.21; torch is not needed. Each directory
of `golden/tf_model/` is what `save_pretrained` of a class writes, with the weights of the hash (`weights.py`, seed 0):
`base` of TFLEDModel in one file, `lm` of TFLEDForConditionalGeneration in several.

`answers.npz` has, for each case, its arguments as `CASE/in.NAME` and the fields of the answer in float64 (Keras's
floatx), as `CASE/FIELD` or `CASE/FIELD.LAYER`. TensorFlow rounds the root of 2 in GELU to float32 even there,
so GELU is replaced then. `manifest.json`: versions, hashes, what each case is, and the error of float32, the largest
over three seeds of the weights.
"""

import argparse
import hashlib
import json
import math
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}

import h5py
import numpy as np
import tensorflow as tf
import tf_keras
import transformers
from behaviour import of_scripts
from numpy.typing import NDArray
from transformers.activations_tf import ACT2FN
from weights import integers, make_weights, reals

Arrays = dict[str, NDArray[Any]]

FOLDER = Path(__file__).parent / "tf_model"
SCRIPTS = ("weights.py", "tf_model.py")
SEEDS = (0, 1, 2)
CONFIG: dict[str, Any] = {
    "vocab_size": 13, "d_model": 6, "encoder_attention_heads": 2, "encoder_ffn_dim": 5, "decoder_attention_heads": 2,
    "decoder_ffn_dim": 4, "max_encoder_position_embeddings": 16, "max_decoder_position_embeddings": 8,
}  # fmt: skip
DEPTHS = {"base": (1, 2, [4]), "lm": (2, 1, [4, 8])}  # encoder, decoder, attention_window
STOCK = dict(ACT2FN)  # their constants are float32 in float64, too
EXACT = {  # in float64; a number of Python beside a tensor of float64 is float64
    "gelu": lambda x: x * (1 + tf.math.erf(x / math.sqrt(2))) / 2,
    "gelu_new": lambda x: x * (1 + tf.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))) / 2,
    "quick_gelu": lambda x: x * tf.sigmoid(1.702 * x),
}
KINDS = ("kernel", "gamma", "embeddings", "beta", "bias")


def config_of(directory: str) -> dict[str, Any]:
    encoder_layers, decoder_layers, window = DEPTHS[directory]
    layers = {"encoder_layers": encoder_layers, "decoder_layers": decoder_layers, "attention_window": window}
    return CONFIG | layers


def upstream_name(variable: str) -> str:
    """Return torch's name of a variable: tfled_model/led/encoder/fc1/kernel:0 is led.encoder.fc1.weight."""
    if variable.startswith("final_logits_bias"):
        return "final_logits_bias"
    if variable.startswith("led.shared"):
        return "led.shared.weight"
    *parts, kind = variable.removesuffix(":0").split("/")
    assert kind in KINDS, variable
    return ".".join(parts[1:]) + (".bias" if kind in ("beta", "bias") else ".weight")


def make_model(config: Mapping[str, Any], seed: int, dtype: str, has_head: bool) -> Any:
    """Return the model of TensorFlow with the weights of the hash, in float32 or float64."""
    tf_keras.backend.clear_session()  # names count anew
    tf_keras.backend.set_floatx(dtype)
    ACT2FN.update(STOCK | (EXACT if dtype == "float64" else {}))
    kind = transformers.TFLEDForConditionalGeneration if has_head else transformers.TFLEDModel
    model = kind(transformers.LEDConfig(**config))
    ids = tf.constant([[3, 4]])
    model(ids, decoder_input_ids=ids)  # builds it
    tensors = make_weights(config, seed)
    for variable in model.weights:
        array = tensors[upstream_name(variable.name)]
        variable.assign(array.T if variable.name.endswith("/kernel:0") else array)
        assert variable.dtype == dtype
    return model


def masks(*rows: str) -> Arrays:
    """Return the masks that rows of letters say: g global, n -1 in the global mask, - padding."""
    letters = np.array([list(row) for row in rows])
    flags = (letters == "g").astype(np.int64) - (letters == "n")
    return {"attention_mask": (letters != "-").astype(np.int64), "global_attention_mask": flags}


def cases() -> dict[str, tuple[str, str, Arrays]]:
    """Return the cases: of which directory, what they are, and the arguments."""
    V, E = CONFIG["vocab_size"], CONFIG["d_model"]
    ids, target = integers("ids", 0, (2, 11), 2, V), integers("target", 0, (2, 4), 2, V)
    labels = np.array([[5, -100, 1, 7], [1, 3, -100, -100]])
    both = {"input_ids": ids, **masks("g....g.....", ".g.-..g----"), "decoder_input_ids": target}
    target_mask = np.array([[1, 1, 0, 1], [1, 0, 0, 0]])
    numbers = {"inputs_embeds": 2 * reals("embeds", 0, (1, 9, E)), "decoder_inputs_embeds": reals("d", 0, (1, 3, E))}
    heads = {"head_mask": np.array([[0.5, 1], [0, 2]]), "decoder_head_mask": np.array([[1, 0.25]])}
    states = {"encoder_outputs": 2 * reals("states", 0, (2, 5, E)), "attention_mask": masks("....-", "..---")}
    states["attention_mask"] = states["attention_mask"]["attention_mask"]
    return {
        "base-masks": ("base", "padding, a hole, global tokens", {**both, "decoder_attention_mask": target_mask}),
        "base-plain": ("base", "no mask", {"input_ids": ids, "decoder_input_ids": target[:, :1]}),
        "base-embeds": ("base", "embeddings for ids", numbers),
        "base-states": ("base", "the encoder's states", {**states, "decoder_input_ids": target}),
        "lm-masks": ("lm", "padding, a hole, global tokens", {**both, "decoder_attention_mask": target_mask}),
        "lm-minus-one": ("lm", "-1 in the global mask", {**both, **masks("g......n..n", "..n........")}),
        "lm-labels": ("lm", "targets made of labels, with -100 and padding", {"input_ids": ids, "labels": labels}),
        "lm-labels-and-ids": ("lm", "labels beside other targets", {**both, "labels": labels}),
        "lm-all-padding": ("lm", "labels that are padding: the loss is NaN", {**both, "labels": np.ones_like(labels)}),
        "lm-head-masks": ("lm", "head_mask and decoder_head_mask", {**both, **heads}),
        "lm-past": ("lm", "the target's last token alone, with the past of the others", both),
    }


def call(model: Any, inputs: Arrays, **more: Any) -> Any:
    """Call the model, with attentions and hidden states."""
    arguments = {
        name: tf.constant(array, tf_keras.backend.floatx() if array.dtype.kind == "f" else tf.int32)
        for name, array in inputs.items()
    }
    if "encoder_outputs" in arguments:
        arguments["encoder_outputs"] = (arguments["encoder_outputs"],)
    return model(
        arguments.pop("input_ids", None), **arguments, **more, output_attentions=True, output_hidden_states=True
    )


def ask(model: Any, case: str, inputs: Arrays) -> Arrays:
    """Return the fields of the answer, trimmed to the tokens there are; unused slots of global tokens are 0."""
    if case.endswith("past"):
        target = inputs["decoder_input_ids"]
        past = call(model, {**inputs, "decoder_input_ids": target[:, :-1]}).past_key_values
        answer = call(model, {**inputs, "decoder_input_ids": target[:, -1:]}, past_key_values=past)
    else:
        answer = call(model, inputs, use_cache=case in ("", "base-masks"))
    return trimmed(flat(answer), inputs)


def flat(answer: Any) -> Arrays:
    """Return the fields of TensorFlow's answer, or of pyled's, as arrays."""
    arrays: Arrays = {}
    for field, value in answer.items():
        if field == "past_key_values":
            parts = {(i, part): x for i, layer in enumerate(value) for part, x in enumerate(layer)}
            arrays |= {f"{field}.{i}.{part}": np.asarray(x) for (i, part), x in parts.items()}
        elif isinstance(value, tuple):
            arrays |= {f"{field}.{i}": np.asarray(x) for i, x in enumerate(value)}
        else:
            arrays[field] = np.asarray(value)
    return arrays


def trimmed(arrays: Arrays, inputs: Arrays) -> Arrays:
    """Return an answer without TensorFlow's padding to the window: pyled does not run there."""
    source = next(inputs[name] for name in ("input_ids", "inputs_embeds", "encoder_outputs") if name in inputs)
    B, S = source.shape[:2]
    real = inputs.get("attention_mask", np.ones((B, S), np.int64))
    is_global = real * (inputs.get("global_attention_mask", np.zeros((B, S), np.int64)) + 1) > 1
    counts = real.sum(axis=1)
    lengths = np.array([n if n and row[:n].all() else S for n, row in zip(counts, real, strict=True)])
    behind = np.arange(S) >= lengths[:, None]  # (B, S): where pyled does not run
    for name in list(arrays):
        if name.startswith("encoder_global_attentions"):
            rows = arrays.pop(name)[:, :, :S]
            unused = np.arange(rows.shape[3]) >= is_global.sum(axis=1)[:, None]
            if rows.size:
                arrays[name] = np.where(unused[:, None, None, :], 0, rows)
        elif name.startswith(("encoder_hidden", "encoder_last_hidden")) and "encoder_outputs" not in inputs:
            arrays[name] = np.where(behind[:, :, None], 0, arrays[name])
        elif name.startswith("past_key_values") and name.endswith((".2", ".3")):
            arrays[name] = np.where(behind[:, None, :, None], 0, arrays[name])[:, :, : lengths.max()]
    return arrays


def error(got: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return err as tests/budget.py defines it."""
    return float(np.max(np.abs(got.astype(np.float64) - expected)) / max(1.0, np.max(np.abs(expected))))


def answers() -> tuple[Arrays, dict[str, Any]]:
    """Return all arrays, and what the manifest says of the cases."""
    arrays: Arrays = {}
    entries: dict[str, Any] = {}
    for case, (directory, about, inputs) in cases().items():
        worst: dict[str, float] = {}
        for seed in SEEDS:
            truth, single = (
                ask(make_model(config_of(directory), seed, dtype, directory != "base"), case, inputs)
                for dtype in ("float64", "float32")
            )
            assert all(array.dtype == np.float64 for array in truth.values()), case
            for name, array in truth.items():
                worst[name] = max(worst.get(name, 0.0), error(single[name], array))
            if seed == SEEDS[0]:
                arrays |= {f"{case}/in.{name}": array for name, array in inputs.items()}
                arrays |= {f"{case}/{name}": array for name, array in truth.items()}
        errors = {name: None if np.isnan(e) else float(f"{e:.3g}") for name, e in worst.items()}
        entries[case] = {"directory": directory, "about": about, "float32_error": errors}
    return arrays, entries


def save_directories(folder: Path) -> None:
    for directory in DEPTHS:
        model = make_model(config_of(directory), SEEDS[0], "float32", directory != "base")
        model.save_pretrained(folder / directory, max_shard_size="2KB" if directory == "lm" else "1GB")


def make(folder: Path) -> None:
    """Write everything."""
    save_directories(folder)
    arrays, entries = answers()
    np.savez_compressed(folder / "answers.npz", **arrays)
    packages = {"transformers": transformers, "tensorflow": tf, "tf_keras": tf_keras, "h5py": h5py, "numpy": np}
    manifest = {
        "versions": {name: package.__version__ for name, package in packages.items()}
        | {"hdf5": h5py.version.hdf5_version},
        "scripts": of_scripts(Path(__file__).parent, SCRIPTS),
        "files": {str(p.relative_to(folder)): digest(p) for p in sorted(folder.rglob("*.*")) if p.suffix != ".npz"},
        "cases": entries,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with what is stored, write nothing")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    if not arguments.check:
        make(FOLDER)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        stored, now = ({str(p.relative_to(f)): digest(p) for p in f.rglob("*.h5")} for f in (FOLDER, Path(folder)))
        differ = [name for name in stored.keys() | now.keys() if stored.get(name) != now.get(name)]
        with np.load(FOLDER / "answers.npz") as old, np.load(Path(folder) / "answers.npz") as new:
            differ += [n for n in {*old, *new} if n not in old or n not in new or not is_close(old[n], new[n])]
    print("\n".join(f"{name} is not what was made now" for name in sorted(differ)) or "tf_model: whole")
    return 1 if differ else 0


def is_close(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return a.shape == b.shape and np.allclose(a, b, rtol=0, atol=1e-12, equal_nan=True)


if __name__ == "__main__":
    sys.exit(main())
