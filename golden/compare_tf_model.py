"""Compare pyled with TensorFlow's classes on random models: PYTHONPATH=. python golden/compare_tf_model.py [--count N]

Runs where TensorFlow and pyled's dependencies are (golden/README.md). Each trial is a random LED: `save_pretrained`
of TensorFlow's class, `from_pretrained` of pyled's, and the fields of a random call against TensorFlow in float64,
inside the error budget. TensorFlow's float32 error is measured on the same call, with three seeds of the weights.
Rows of the decoder without an allowed key, and sources that are masked altogether, are left out: there TensorFlow's
float64 is another function than its float32 (docs/differences.md, section 8). Prints the worst ratios of
error to budget.
"""

import argparse
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import numpy as np
import tf_model
import transformers
from budget import budget, err
from numpy.typing import NDArray

import pyled

Rng = np.random.Generator
Arrays = dict[str, NDArray[Any]]
WINDOWS = ((4,), (6,), (8, 4), (12, 6, 4))  # TensorFlow wants all to divide the largest
ACTIVATIONS = ("gelu", "gelu", "gelu_new", "quick_gelu", "relu", "silu")


def random_config(rng: Rng) -> dict[str, Any]:
    heads, depth, windows = int(rng.integers(1, 4)), int(rng.integers(1, 4)), WINDOWS[rng.integers(len(WINDOWS))]
    listed = [int(w) for w in rng.choice(windows, depth)]
    listed[rng.integers(depth)] = windows[0]
    return {
        "vocab_size": int(rng.integers(20, 40)),
        "d_model": heads * int(rng.integers(1, 8)),
        "encoder_layers": depth,
        "decoder_layers": int(rng.integers(1, 4)),
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "encoder_ffn_dim": int(rng.integers(1, 20)),
        "decoder_ffn_dim": int(rng.integers(1, 20)),
        "max_encoder_position_embeddings": 48,
        "max_decoder_position_embeddings": 12,
        "attention_window": listed,
        "activation_function": ACTIVATIONS[rng.integers(len(ACTIVATIONS))],
    }


def random_inputs(rng: Rng, config: dict[str, Any], has_head: bool) -> Arrays:
    B, S, T = int(rng.integers(1, 4)), int(rng.integers(1, 33)), int(rng.integers(1, 8))
    V, E, H = config["vocab_size"], config["d_model"], config["encoder_attention_heads"]
    real = np.ones((B, S), np.int64)
    kind = rng.choice(["ones", "suffix", "holes"])
    if kind == "suffix":
        real[np.arange(S) >= rng.integers(1, S + 1, (B, 1))] = 0
    elif kind == "holes":
        real[rng.random((B, S)) < 0.3] = 0
        real[:, rng.integers(S)] = 1
    inputs: Arrays = {"attention_mask": real} if kind != "ones" or rng.random() < 0.5 else {}
    if rng.random() < 0.7:
        inputs["global_attention_mask"] = (rng.random((B, S)) < rng.choice([0.1, 0.5, 1])).astype(np.int64)
        if rng.random() < 0.3:
            inputs["global_attention_mask"][real == 0] = -1
    inputs |= (
        {"inputs_embeds": rng.standard_normal((B, S, E)).astype(np.float32).astype(np.float64)}
        if rng.random() < 0.15
        else {"input_ids": rng.integers(0, V, (B, S))}
    )
    if has_head and rng.random() < 0.5:
        inputs["labels"] = np.where(rng.random((B, T)) < 0.3, rng.choice([-100, 1], (B, T)), rng.integers(0, V, (B, T)))
        inputs["labels"][0, 0] = 5
    if "labels" not in inputs or rng.random() < 0.5:
        inputs["decoder_input_ids"] = rng.integers(0, V, (B, T))
        if rng.random() < 0.3:
            inputs["decoder_attention_mask"] = (rng.random((B, T)) < 0.7).astype(np.int64)
            inputs["decoder_attention_mask"][:, 0] = 1
    if rng.random() < 0.2 and config["encoder_layers"] >= config["decoder_layers"]:
        inputs["head_mask"] = rng.integers(0, 3, (config["encoder_layers"], H)) / 2
    if rng.random() < 0.2:
        inputs["decoder_head_mask"] = rng.integers(0, 3, (config["decoder_layers"], H)) / 2
    return inputs


def compare(trial: int, worst: dict[str, float]) -> list[str]:
    """Return what is wrong with one random model and call, in words. `worst` collects ratios by field."""
    rng = np.random.default_rng(trial)
    config, has_head, dtype = random_config(rng), bool(rng.random() < 0.6), str(rng.choice(["float32", "float64"]))
    inputs = random_inputs(rng, config, has_head)
    answers = {
        (seed, kind): tf_model.ask(tf_model.make_model(config, seed, kind, has_head), "", inputs)
        for seed in (trial, trial + 10**6, trial + 2 * 10**6)
        for kind in ("float64", "float32")
        if dtype == "float32" or (seed, kind) == (trial, "float64")
    }
    kind = pyled.TFLEDForConditionalGeneration if has_head else pyled.TFLEDModel
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", pyled.PyledWarning)  # global marks on padding
        tf_model.make_model(config, trial, "float32", has_head).save_pretrained(folder)
        model = kind.from_pretrained(folder, dtype=dtype)
        got = tf_model.flat(model(inputs, output_attentions=True, output_hidden_states=True))
    truth = answers[trial, "float64"]
    if list(got) != list(truth):
        return [f"{trial}: fields differ: {sorted(set(got) ^ set(truth))}"]
    wrong = []
    for name, array in truth.items():
        pairs = [(answers[s, "float32"][name], answers[s, "float64"][name]) for s, k in answers if k == "float32"]
        allowed = budget(np.dtype(dtype), max((err(*pair) for pair in pairs), default=0.0))
        ratio = err(got[name], array) / allowed if got[name].shape == array.shape else np.inf
        field = f"{dtype} {name.partition('.')[0]}"
        worst[field] = max(worst.get(field, 0.0), ratio)
        if not ratio <= 1 or got[name].dtype != dtype:
            wrong.append(f"{trial}: {name}, {got[name].dtype} {got[name].shape}, is {ratio:.3g} budgets away")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    worst: dict[str, float] = {}
    wrong = [line for i in range(arguments.count) for line in compare(arguments.first + i, worst)]
    print("\n".join(wrong + [f"{field}: {ratio:.3f}" for field, ratio in sorted(worst.items())]))
    print(f"{arguments.count} models, {len(wrong)} fields outside the budget")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
