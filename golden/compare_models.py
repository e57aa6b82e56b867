"""Compare pyled with the reference on random models: PYTHONPATH=. python golden/compare_models.py [--seed N]

Runs where transformers 5.23.0 and pyled's dependencies are. First the forward pass: random shapes, windows, masks,
global tokens, types; every field of the answer against the reference in float64, inside the error budget, with the
reference's float32 error measured on the same model (three seeds of its weights, one and two threads). Then the same
of the model for question answering. Where transformers is 4.57.6, that of the model for classification alone. Then
generation: random settings; the tokens must be the same. Counted and not judged are generations on which the
reference's own float32 and float64 part, and returned beams that are dead: where forbidden tokens leave fewer
candidates than beams, the reference fills up with sequences of score -1e9, among which torch.topk decides.

Prints what was compared, how often, and the worst ratio of error to budget. Every trial can be repeated alone:
`--only N`.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import ask
import numpy as np
import torch
import transformers
from budget import budget, err
from numpy.typing import NDArray
from weights import architecture, make_weights

from pyled import models
from pyled.config import LEDConfig

Rng = np.random.Generator
Arrays = dict[str, NDArray[Any]]

ACTIVATIONS = ("gelu", "gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu", "relu", "silu", "swish")
WINDOWS = ((4,), (6,), (8, 4), (10,), (12, 6, 4), (16, 8, 4))  # the reference wants all to divide the largest
PAD = 1
DEAD = -1e5  # the score of a beam that came from a forbidden token is about -1e9, divided by up to its length squared
TYPES = {"float32": torch.float32, "float64": torch.float64}
FIELDS = (
    "loss",
    "logits",
    "start_logits",
    "end_logits",
    "past_key_values",
    "decoder_hidden_states",
    "decoder_attentions",
    "cross_attentions",
    "encoder_last_hidden_state",
    "encoder_hidden_states",
    "encoder_attentions",
    "encoder_global_attentions",
)


# 1. Random models and inputs


def random_config(rng: Rng) -> dict[str, Any]:
    """Return a small LED that the reference can run: no window of 2, and windows that divide the largest."""
    heads = int(rng.integers(1, 6))
    E = heads * int(rng.integers(1, 10))
    depth = int(rng.integers(1, 4))
    windows = WINDOWS[rng.integers(len(WINDOWS))]
    listed = [int(w) for w in rng.choice(windows, depth)]
    listed[rng.integers(depth)] = windows[0]
    return {
        "model_type": "led",
        "vocab_size": int(rng.integers(20, 60)),
        "d_model": E,
        "encoder_layers": depth,
        "encoder_attention_heads": heads,
        "encoder_ffn_dim": int(rng.integers(1, 30)),
        "decoder_layers": int(rng.integers(1, 4)),
        "decoder_attention_heads": int(rng.choice([h for h in range(1, E + 1) if E % h == 0])),
        "decoder_ffn_dim": int(rng.integers(1, 30)),
        "attention_window": listed if len(windows) > 1 else windows[0],
        "max_encoder_position_embeddings": 64,
        "max_decoder_position_embeddings": 32,
        "activation_function": ACTIVATIONS[rng.integers(len(ACTIVATIONS))],
        "tie_word_embeddings": bool(rng.random() < 0.8),
    }


def random_masks(rng: Rng, B: int, S: int) -> Arrays:
    """Return attention_mask and global_attention_mask, each perhaps absent."""
    masks: Arrays = {}
    real = np.ones((B, S), np.int64)
    kind = rng.choice(["absent", "ones", "suffix", "holes", "one document masked"])
    if kind == "suffix":
        real[np.arange(S) >= rng.integers(1, S + 1, (B, 1))] = 0
    elif kind == "holes":
        real[rng.random((B, S)) < 0.3] = 0
    elif kind == "one document masked":
        real[rng.integers(B)] = 0
    if kind != "absent":
        masks["attention_mask"] = real
    flags = rng.choice(["absent", "zeros", "first", "some", "many", "all", "minus one"])
    is_global = np.zeros((B, S), np.int64)
    if flags == "first":
        is_global[:, 0] = 1
    elif flags == "all":
        is_global[:] = 1
    elif flags in ("some", "many"):
        is_global[rng.random((B, S)) < (0.1 if flags == "some" else 0.5)] = 1
    elif flags == "minus one":
        is_global[:, 0] = 1
        is_global[real == 0] = -1
    if flags != "absent":
        masks["global_attention_mask"] = is_global
    return masks


def random_inputs(rng: Rng, config: dict[str, Any]) -> Arrays:
    """Return the arguments of one forward call."""
    B, S, T = int(rng.integers(1, 4)), int(rng.integers(1, 45)), int(rng.integers(1, 9))
    V, E = config["vocab_size"], config["d_model"]
    inputs = random_masks(rng, B, S)
    if rng.random() < 0.15:
        inputs["inputs_embeds"] = rng.standard_normal((B, S, E)).astype(np.float32).astype(np.float64)
    else:
        inputs["input_ids"] = rng.integers(0, V, (B, S))
    targets = rng.choice(["ids", "ids", "labels", "both", "embeds"])
    if targets in ("ids", "both"):
        inputs["decoder_input_ids"] = rng.integers(0, V, (B, T))
    if targets in ("labels", "both"):
        inputs["labels"] = np.where(rng.random((B, T)) < 0.3, -100, rng.integers(0, V, (B, T)))
        inputs["labels"][0, 0] = rng.integers(0, V)  # one at least counts, or the loss is NaN
    if targets == "embeds":
        inputs["decoder_inputs_embeds"] = rng.standard_normal((B, T, E)).astype(np.float32).astype(np.float64)
    if rng.random() < 0.3:
        inputs["decoder_attention_mask"] = (rng.random((B, T)) < 0.7).astype(np.int64)
    return inputs


def random_head(rng: Rng, kind: str) -> dict[str, Any]:
    """Return a small LED with another head."""
    config = {**random_config(rng), "architectures": [kind], "max_decoder_position_embeddings": 50}
    if kind == "LEDForSequenceClassification":
        config["tie_word_embeddings"] = True  # 4.57.6 never unties the encoder's and the decoder's
        config["num_labels"] = int(rng.integers(1, 6))
        problems = (None, None, "regression", "single_label_classification", "multi_label_classification")
        config["problem_type"] = problems[rng.integers(len(problems))]
    return config


def inputs_of_head(rng: Rng, config: dict[str, Any]) -> Arrays:
    """Return the arguments of one forward call of a model with another head; no loss is NaN."""
    inputs = random_inputs(rng, config)
    for name in ("labels", "decoder_attention_mask"):
        inputs.pop(name, None)
    B, S = ask.source_size(inputs)
    if rng.random() < 0.6 and "input_ids" in inputs:
        inputs = {name: array for name, array in inputs.items() if not name.startswith("decoder_")}
    elif not {"decoder_input_ids", "decoder_inputs_embeds"} & inputs.keys():
        inputs["decoder_input_ids"] = rng.integers(0, config["vocab_size"], (B, int(rng.integers(1, 9))))
    if config["architectures"] == ["LEDForQuestionAnswering"]:
        T = next((inputs[n].shape[1] for n in ("decoder_input_ids", "decoder_inputs_embeds") if n in inputs), S)
        if rng.random() < 0.6:
            for name in ("start_positions", "end_positions"):
                inputs[name] = rng.integers(-2, T + 3, B)
                inputs[name][rng.integers(B)] = rng.integers(-1, T)
                inputs[name] = inputs[name][:, None] if rng.random() < 0.3 else inputs[name]
        return inputs
    return classification_inputs(rng, config, inputs)


def classification_inputs(rng: Rng, config: dict[str, Any], inputs: Arrays) -> Arrays:
    """Return inputs whose rows have as many end tokens, a decoder token for each, and perhaps labels.

    In 4.57.6 a decoder row whose mask leaves it no key is another than in 5.23.0: the first token is always one.
    """
    B, S = ask.source_size(inputs)
    V, C, ends = config["vocab_size"], config["num_labels"], int(rng.integers(1, min(S, 4) + 1))
    inputs.pop("inputs_embeds", None)
    ids = inputs["input_ids"] = rng.integers(3, V, (B, S))
    for row in ids:
        row[rng.choice(S, ends, replace=False)] = 2
    for name in ("decoder_input_ids", "decoder_inputs_embeds"):
        if name in inputs:
            shape = (B, S, config["d_model"]) if name.endswith("embeds") else (B, S)
            values = rng.standard_normal(shape) if name.endswith("embeds") else rng.integers(0, V, shape)
            inputs[name] = values.astype(np.float32).astype(np.float64) if name.endswith("embeds") else values
    if rng.random() < 0.3:
        inputs["decoder_attention_mask"] = (rng.random((B, S)) < 0.7).astype(np.int64)
        inputs["decoder_attention_mask"][:, 0] = 1
    problem = config["problem_type"] or (
        "regression" if C == 1 else rng.choice(["single_label_classification", "multi_label_classification"])
    )
    if rng.random() < 0.3:
        return inputs
    if problem == "single_label_classification":
        labels = np.where(rng.random(B) < 0.2, -100, rng.integers(0, C, B))
        labels[rng.integers(B)] = rng.integers(0, C)
        inputs["labels"] = labels[:, None] if rng.random() < 0.3 else labels
    elif problem == "regression":
        labels = rng.standard_normal((B, C)).astype(np.float32).astype(np.float64)
        inputs["labels"] = labels[:, 0] if C == 1 and rng.random() < 0.5 else labels
    else:
        inputs["labels"] = rng.integers(0, 2, (B, C)).astype(np.float64)
    return inputs


def ours(config: dict[str, Any], weights: Arrays, dtype: str) -> Any:
    """Return pyled's model with these weights, computing in `dtype`."""
    model = getattr(models, architecture(config))(LEDConfig.from_dict(config), dtype=dtype)
    model.load_state_dict({name: array.astype(dtype) for name, array in weights.items()})
    return model


def converted(inputs: Arrays, dtype: str) -> Arrays:
    return {name: array.astype(dtype) if array.dtype.kind == "f" else array for name, array in inputs.items()}


# 2. The forward pass


def flat(answer: Any, numbers: Callable[[Any], NDArray[Any]], cache: Callable[[Any], list[Any]]) -> Arrays:
    """Return an answer as arrays: `field`, or `field[i]` of a tuple, or `past_key_values[layer][part]`."""
    arrays: Arrays = {}
    for field in FIELDS:
        value = getattr(answer, field, None)
        if value is None:
            continue
        if field == "past_key_values":
            for i, parts in enumerate(cache(value)):
                for part, array in zip(("self_key", "self_value", "cross_key", "cross_value"), parts, strict=True):
                    arrays[f"{field}[{i}].{part}"] = numbers(array)
        elif isinstance(value, tuple):
            arrays |= {f"{field}[{i}]": numbers(array) for i, array in enumerate(value)}
        else:
            arrays[field] = numbers(value)
    return arrays


def upstream_cache(cache: Any) -> list[Any]:
    within, across = cache.self_attention_cache.layers, cache.cross_attention_cache.layers
    return [(s.keys, s.values, c.keys, c.values) for s, c in zip(within, across, strict=True)]


def upstream(config: dict[str, Any], weights: Arrays, inputs: Arrays, dtype: torch.dtype) -> Arrays:
    """Return the reference's answer in pyled's form.

    Global rows are trimmed to S. Their unused slots are 0, and so is what lies behind a document's last real token,
    where pyled does not run.
    """
    model = ask.load(config, weights, dtype)
    with torch.no_grad():
        answer = model(**ask.tensors(inputs, dtype), output_attentions=True, output_hidden_states=True)
    arrays = flat(answer, ask.numbers, upstream_cache)
    _, S = ask.source_size(inputs)
    mask = inputs.get("attention_mask", 1)
    is_global = mask * (inputs.get("global_attention_mask", np.zeros(ask.source_size(inputs), np.int64)) + 1) > 1
    for name in [n for n in arrays if n.startswith("encoder_global_attentions")]:
        rows = arrays[name][:, :, :S]
        unused = np.arange(rows.shape[3]) >= is_global.sum(axis=1)[:, None]  # (B, G)
        arrays[name] = np.where(unused[:, None, None, :], 0, rows)
    lengths = run_lengths(inputs)
    for name, array in arrays.items():
        if name.startswith(("encoder_hidden_states", "encoder_last_hidden_state")):
            behind = np.arange(S) >= lengths[:, None]  # (B, S)
            arrays[name] = np.where(behind[:, :, None], 0, array)
        elif ".cross_" in name:
            behind = np.arange(lengths.max()) >= lengths[:, None]
            arrays[name] = np.where(behind[:, None, :, None], 0, array[:, :, : lengths.max()])
    return arrays


def run_lengths(inputs: Arrays) -> NDArray[np.int64]:
    """Return how many tokens of each document pyled runs: (B,). All where the mask is no prefix, or empty."""
    B, S = ask.source_size(inputs)
    mask = inputs.get("attention_mask", np.ones((B, S), np.int64))
    counts = mask.sum(axis=1)
    return np.array([n if n and row[:n].all() else S for n, row in zip(counts, mask, strict=True)])


def field_of(name: str) -> str:
    return name.partition("[")[0] + (name.partition("].")[1] and "." + name.partition("].")[2])


def true_forward(config: dict[str, Any], weights: Arrays, inputs: Arrays) -> tuple[Arrays, dict[str, float]]:
    """Return the answer in float64, and the stock reference's float32 error, the larger of one and two threads."""
    with ask.float64_softmax():
        truth = upstream(config, weights, inputs, torch.float64)
    errors = dict.fromkeys(truth, 0.0)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        stock = upstream(config, weights, inputs, torch.float32)
        errors = {name: max(errors[name], err(stock[name], truth[name])) for name in truth}
    torch.set_num_threads(1)
    return truth, errors


def compare_forward(rng: Rng, trial: int, worst: dict[str, list[float]], kind: str | None = None) -> Iterator[str]:
    """Compare one random model and call, and give what is wrong, in words. `worst` collects ratios by field.

    kind: the class of a model with another head
    """
    config, dtype = random_head(rng, kind) if kind else random_config(rng), str(rng.choice(list(TYPES)))
    inputs = inputs_of_head(rng, config) if kind else random_inputs(rng, config)
    weights = make_weights(config, trial)
    truth, errors = true_forward(config, weights, inputs)
    if dtype == "float32":
        for seed in (trial + 1_000_000, trial + 2_000_000):
            _, more = true_forward(config, make_weights(config, seed), inputs)
            errors = {name: max(error, more[name]) for name, error in errors.items()}
    answer = ours(config, weights, dtype)(
        **converted(inputs, dtype), output_attentions=True, output_hidden_states=True, return_dict=True
    )
    got = flat(answer, np.asarray, list)
    where = f"{kind or 'forward'} {trial} ({dtype})"
    if set(got) != set(truth):
        yield f"{where}: fields differ: {sorted(set(got) ^ set(truth))}"
    for name in sorted(set(got) & set(truth)):
        if got[name].shape != truth[name].shape:
            yield f"{where}: {name} has shape {got[name].shape}, expected {truth[name].shape}"
            continue
        if name != "loss" and got[name].dtype != dtype:
            yield f"{where}: {name} is {got[name].dtype}"
            continue
        if not np.isfinite(got[name]).all():
            yield f"{where}: {name} is not finite"
            continue
        ratio = err(got[name], truth[name]) / budget(np.dtype(dtype), errors[name])
        worst.setdefault(f"{dtype} {field_of(name)}", []).append(ratio)
        if ratio > 1:
            yield f"{where}: {name} is {ratio:.3g} budgets away"


# 3. Generation


def random_settings(rng: Rng, config: dict[str, Any]) -> dict[str, Any]:
    """Return parameters of `generate`, by Hugging Face's names; most at their defaults."""
    V = config["vocab_size"]
    beams = int(rng.integers(1, 5))
    choices: dict[str, Callable[[], Any]] = {
        "no_repeat_ngram_size": lambda: int(rng.integers(2, 5)),
        "encoder_no_repeat_ngram_size": lambda: int(rng.integers(2, 5)),
        "repetition_penalty": lambda: float(rng.choice([0.8, 1.2, 2.0])),
        "encoder_repetition_penalty": lambda: float(rng.choice([0.8, 1.3])),
        "min_length": lambda: int(rng.integers(1, 12)),
        "min_new_tokens": lambda: int(rng.integers(1, 12)),
        "forced_bos_token_id": lambda: int(rng.integers(V)),
        "forced_eos_token_id": lambda: 2,
        "bad_words_ids": lambda: [[int(i) for i in rng.integers(3, V, n)] for n in (1, 2)],
        "suppress_tokens": lambda: [int(i) for i in rng.integers(3, V, 3)],
        "begin_suppress_tokens": lambda: [int(rng.integers(3, V))],
        "renormalize_logits": lambda: True,
        "remove_invalid_values": lambda: True,
        "exponential_decay_length_penalty": lambda: (int(rng.integers(1, 8)), float(rng.choice([1.01, 1.2]))),
        "eos_token_id": lambda: [2, int(rng.integers(3, V))],
        "use_cache": lambda: False,
    }
    settings: dict[str, Any] = {"num_beams": beams, "do_sample": False}
    if rng.random() < 0.5:
        settings["max_length"] = int(rng.integers(2, 25))
    else:
        settings["max_new_tokens"] = int(rng.integers(1, 24))
    for name, choose in choices.items():
        if rng.random() < 0.15:
            settings[name] = choose()
    if beams > 1:
        settings["length_penalty"] = float(rng.choice([-0.5, 0.0, 1.0, 2.0]))
        settings["early_stopping"] = [True, False, "never"][rng.integers(3)]
        settings["num_return_sequences"] = int(rng.integers(1, beams + 1))
    return settings


def upstream_generate(
    config: dict[str, Any], weights: Arrays, inputs: Arrays, dtype: torch.dtype, settings: dict[str, Any]
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    model = ask.load(config, weights, dtype)
    answer = model.generate(**ask.tensors(inputs, dtype), **settings, return_dict_in_generate=True, output_scores=True)
    scores = getattr(answer, "sequences_scores", None)
    return answer.sequences.numpy(), None if scores is None else scores.numpy().astype(np.float64)


def compare_generation(rng: Rng, trial: int, counts: dict[str, int], ratios: list[float]) -> Iterator[str]:
    """Compare one random model and its generation, and give what is wrong, in words."""
    config, dtype = random_config(rng), str(rng.choice(list(TYPES)))
    weights = make_weights(config, trial)
    weights["final_logits_bias"] = weights["final_logits_bias"].copy()
    weights["final_logits_bias"][0, 2] += rng.uniform(0, 3)  # or random models never end
    B, S = int(rng.integers(1, 4)), int(rng.integers(1, 45))
    inputs = {"input_ids": rng.integers(0, config["vocab_size"], (B, S)), **random_masks(rng, B, S)}
    settings = random_settings(rng, config)
    with ask.float64_softmax():
        truth, true_scores = upstream_generate(config, weights, inputs, torch.float64, settings)
    stock, stock_scores = upstream_generate(config, weights, inputs, torch.float32, settings)
    if not np.array_equal(truth, stock):
        counts["the reference's float32 and float64 part"] += 1
        return
    answer = ours(config, weights, dtype).generate(
        **inputs, **settings, return_dict_in_generate=True, output_scores=True
    )
    where = f"generation {trial} ({dtype}, {settings})"
    live = np.ones(len(truth), bool) if true_scores is None else true_scores > DEAD
    counts["dead beams"] += int(np.count_nonzero(~live))
    if any(sequence(a) != sequence(b) for a, b in zip(answer.sequences[live], truth[live], strict=True)):
        counts["other tokens"] += 1
        yield f"{where}:\n  got      {answer.sequences.tolist()}\n  expected {truth.tolist()}"
        return
    counts["the same tokens"] += 1
    if true_scores is None or stock_scores is None or not live.any():
        return
    # Scores are float32 sums in the reference, whatever the model's type.
    reference_error = err(stock_scores[live], true_scores[live])
    ratio = err(answer.sequences_scores[live], true_scores[live]) / budget(np.dtype("float32"), reference_error)
    ratios.append(ratio)
    if ratio > 1:
        yield f"{where}: sequences_scores are {ratio:.3g} budgets away"


def sequence(row: NDArray[Any]) -> list[int]:
    """Return a row without the padding behind it, whose width depends on the other rows."""
    last = np.flatnonzero(row != PAD)
    return [int(token) for token in row[: last[-1] + 1]] if len(last) else []


# 4. The table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--heads", type=int, default=300)
    parser.add_argument("--generations", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="this trial alone")
    arguments = parser.parse_args()
    is_current = transformers.__version__ == "5.23.0"
    assert is_current or transformers.__version__ == "4.57.6", f"no reference: {transformers.__version__}"
    if not is_current:
        arguments.models = arguments.generations = 0
    transformers.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)

    def trials(count: int) -> list[int]:
        return list(range(count)) if arguments.only is None else [arguments.only] if count else []

    wrong: list[str] = []
    worst: dict[str, list[float]] = {}
    for trial in trials(arguments.models):
        wrong += compare_forward(np.random.default_rng([arguments.seed, 1, trial]), trial, worst)
    kind = "LEDForQuestionAnswering" if is_current else "LEDForSequenceClassification"
    for trial in trials(arguments.heads):
        rng, of_head = np.random.default_rng([arguments.seed, 3, trial]), dict[str, list[float]]()
        wrong += compare_forward(rng, trial, of_head, kind)
        for name, ratios in of_head.items():
            worst.setdefault(f"{kind} {name}", []).extend(ratios)
    counts = dict.fromkeys(
        ("the same tokens", "other tokens", "dead beams", "the reference's float32 and float64 part"), 0
    )
    ratios: list[float] = []
    for trial in trials(arguments.generations):
        wrong += compare_generation(np.random.default_rng([arguments.seed, 2, trial]), trial, counts, ratios)

    print("\n".join(wrong))
    print(f"{len(trials(arguments.models))} models, {len(trials(arguments.heads))} of {kind};", end=" ")
    print("error in budgets, worst of each field:")
    for name in sorted(worst):
        print(f"  {name:64s} {len(worst[name]):6d} tensors  {max(worst[name]):9.2g}")
    print(f"{len(trials(arguments.generations))} generations:")
    for kind, count in counts.items():
        print(f"  {kind:48s} {count:6d}")
    print(f"  {'sequences_scores':48s} {len(ratios):6d} answers  {max(ratios, default=0):9.2g}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
