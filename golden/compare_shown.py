"""Compare what pyled shows of random generations, and its head masks, with the reference.

    PYTHONPATH=. V5/bin/python golden/compare_shown.py [--seed N]
    PYTHONPATH=. V4/bin/python golden/compare_shown.py [--seed N]

With 5.23.0: generations with random settings, prompts and masks of prompts; the fields of the output, their order, the
cache of greedy search, and transition scores. With 4.57.6: calls of each class with head masks, and generations with
them. (4.57.6 repeats head masks for each beam, and then refuses them; here it is kept from that.) Every field is held
to the error budget. Counted and not judged are generations on which the reference's own float32 and float64 part.
"""

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import ask
import compare_models
import numpy as np
import torch
import transformers
from ask import Arrays
from budget import budget, err
from compare_models import (
    TYPES,
    Rng,
    converted,
    random_config,
    random_inputs,
    random_masks,
    random_settings,
    run_lengths,
)
from numpy.typing import NDArray
from weights import architecture, make_weights

from pyled import models
from pyled.config import LEDConfig

FLAGS = ("return_dict_in_generate", "output_scores", "output_attentions", "output_hidden_states", "output_logits")
KINDS = ("LEDForConditionalGeneration", "LEDForQuestionAnswering", "LEDForSequenceClassification")
SEARCH = ("num_", "max_", "length_penalty", "early_stopping", "no_repeat", "min_")  # 4.57.6 fails on others in float64
HEAD_MASKS = ("head_mask", "decoder_head_mask", "cross_attn_head_mask")


def large_config(rng: Rng) -> dict[str, Any]:
    """Return a configuration of at least 3 numbers a token; with fewer, tokens are alike, and beams tie."""
    while (config := random_config(rng))["d_model"] < 3:
        pass
    return config | {"tie_word_embeddings": True}


def ours(config: dict[str, Any], weights: Arrays, dtype: str) -> Any:
    """Return pyled's model of the class in `architectures`, computing in `dtype`."""
    model = getattr(models, architecture(config))(LEDConfig.from_dict(config), dtype=dtype)
    model.load_state_dict({name: array.astype(dtype) for name, array in weights.items()})
    return model


def flat(output: Any) -> Arrays:
    """Return the fields of an output as arrays: `logits`, `cross_attentions.STEP.LAYER`; without the cache."""
    arrays: Arrays = {}

    def put(name: str, value: Any) -> None:
        if isinstance(value, tuple):
            for i, part in enumerate(value):
                put(f"{name}.{i}", part)
        else:
            arrays[name] = ask.numbers(value) if isinstance(value, torch.Tensor) else np.asarray(value)

    for name, value in output.items():
        if name != "past_key_values":
            put(name, value)
    return arrays


def in_pyleds_form(arrays: Arrays, inputs: Arrays) -> Arrays:
    """Return the reference's arrays with 0 where pyled does not run, and global rows of the input's length."""
    _, S = ask.source_size(inputs)
    behind = np.arange(S) >= run_lengths(inputs)[:, None]  # (B, S)
    counts = ask.is_global(inputs).sum(axis=1)  # (B,)
    for name, array in arrays.items():
        if name.startswith(("encoder_hidden_states", "encoder_last_hidden_state")):
            arrays[name] = np.where(behind[:, :, None], 0, array)
        elif name.startswith("encoder_global_attentions"):
            unused = np.arange(array.shape[3]) >= counts[:, None]  # (B, G)
            arrays[name] = np.where(unused[:, None, None, :], 0, array[:, :, :S])
    return arrays


def finite(array: NDArray[Any]) -> NDArray[np.float64]:
    return np.nan_to_num(array.astype(np.float64), posinf=0, neginf=0)


def judged(upstream: Callable[[int, torch.dtype], Arrays], trial: int) -> tuple[Arrays, Arrays, dict[str, float]]:
    """Return the answers in float64 and float32, and the reference's own error in float32 of each field.

    The error is the largest over the field's layers and steps, three seeds of the weights, one and two threads.
    Generations with other tokens than in float64 do not count.
    """
    errors: Counter[str] = Counter()
    answers = []
    for seed, threads in ((trial, 1), (trial, 2), (trial + 1_000_000, 1), (trial + 2_000_000, 1)):
        torch.set_num_threads(threads)
        with ask.float64_softmax():
            truth = upstream(seed, torch.float64)
        stock = upstream(seed, torch.float32)
        torch.set_num_threads(1)
        answers.append((truth, stock))
        if all(np.array_equal(stock.get(name), truth.get(name)) for name in ("sequences", "beam_indices")):
            for name, expected in truth.items():
                field = name.split(".")[0]
                errors[field] = max(errors[field], err(finite(stock[name]), finite(expected)))
    return *answers[0], errors


def differences(
    where: str, got: Arrays, truth: Arrays, errors: dict[str, float], dtype: str, worst: Counter[str]
) -> Iterator[str]:
    """Give what is wrong, in words; `worst` has the largest ratio of error to budget of each field."""
    if list(got) != list(truth):
        yield f"{where}: other fields: {sorted(set(got) ^ set(truth))}"
        return
    for name, expected in truth.items():
        kind = "float32" if "scores" in name or (name.startswith("logits.")) else dtype
        if got[name].shape != expected.shape or (
            expected.dtype.kind == "f" and name != "loss" and got[name].dtype != kind
        ):
            yield f"{where}: {name} is {got[name].dtype} {got[name].shape}, expected {expected.shape}"
            continue
        if not np.array_equal(np.isfinite(got[name]), np.isfinite(expected)):
            yield f"{where}: {name} is not finite in other places"
            continue
        field = name.split(".")[0]
        ratio = err(finite(got[name]), finite(expected)) / budget(np.dtype(kind), errors[field])
        worst[f"{kind} {field}"] = max(worst[f"{kind} {field}"], ratio)
        if not ratio <= 1:
            yield f"{where}: {name} is {ratio:.3g} budgets away"


# 1. Generations


def random_prompt(rng: Rng, inputs: Arrays, settings: dict[str, Any], vocabulary: int) -> None:
    """Put a prompt into the arguments of a generation, perhaps with a mask."""
    B, P = len(inputs["input_ids"]), int(rng.integers(1, 6))
    inputs["decoder_input_ids"] = rng.integers(3, vocabulary, (B, P))
    if rng.random() < 0.5:
        inputs["decoder_input_ids"][:, 0] = 2
    if rng.random() < 0.7:
        inputs["decoder_attention_mask"] = (rng.random((B, P)) < 0.6).astype(np.int64)
    settings.pop("max_length", None)
    settings["max_new_tokens"] = int(rng.integers(1, 20))
    if rng.random() < 0.5:
        settings["repetition_penalty"] = float(rng.choice([0.7, 1.5, 3.0]))


def with_transitions(model: Any, output: Any) -> tuple[Any, Arrays]:
    """Return an output, and its arrays with the two kinds of transition scores."""
    arrays = flat(output)
    for name, normalize in (("transition_scores", False), ("normalized_scores", True)):
        scores = model.compute_transition_scores(
            output["sequences"], output["scores"], output.get("beam_indices"), normalize_logits=normalize
        )
        arrays[name] = np.asarray(scores)
    return output, arrays


def compare_generation(rng: Rng, trial: int, counts: Counter[str], worst: Counter[str]) -> Iterator[str]:
    """Compare one random model and its generation."""
    config, dtype = large_config(rng), str(rng.choice(list(TYPES)))
    bonus = rng.uniform(0, 3)  # or random models never end
    B, S = int(rng.integers(1, 4)), int(rng.integers(1, 45))
    inputs = {"input_ids": rng.integers(0, config["vocab_size"], (B, S)), **random_masks(rng, B, S)}
    inputs.setdefault("attention_mask", np.ones((B, S), np.int64))  # 4.57.6 guesses another one
    settings = random_settings(rng, config)
    settings.pop("use_cache", None)  # without a cache every step shows all tokens
    if transformers.__version__ == "4.57.6":
        inputs |= head_masks(rng, config)
        settings = {name: value for name, value in settings.items() if name.startswith(SEARCH)}
    elif rng.random() < 0.5:
        random_prompt(rng, inputs, settings, config["vocab_size"])
    flags = {**settings, **dict.fromkeys(FLAGS, True)}

    def weights(seed: int) -> Arrays:
        arrays = make_weights(config, seed)
        arrays["final_logits_bias"] = arrays["final_logits_bias"] + bonus * (np.arange(config["vocab_size"]) == 2)
        return arrays

    outputs = []

    def upstream(seed: int, kind: torch.dtype) -> Arrays:
        model = ask.load(config, weights(seed), kind)
        output, arrays = with_transitions(model, model.generate(**ask.tensors(inputs, kind), **flags))
        outputs.append(output)
        return in_pyleds_form(arrays, inputs)

    truth, stock, errors = judged(upstream, trial)
    output = outputs[0]
    if not np.array_equal(truth["sequences"], stock["sequences"]):
        counts["the reference's float32 and float64 part"] += 1
        return
    model = ours(config, weights(trial), dtype)
    answer, got = with_transitions(model, model.generate(**converted(inputs, dtype), **flags))
    where = f"generation {trial} ({dtype}, {settings})"
    beams = truth.get("beam_indices")
    if any(not np.array_equal(got[name], truth[name]) for name in ("sequences", "beam_indices") if name in truth):
        if beams is not None and truth["sequences_scores"].min() < compare_models.DEAD:
            counts["dead beams"] += 1
            return
        yield f"{where}:\n  got      {got['sequences'].tolist()}\n  expected {truth['sequences'].tolist()}"
        return
    counts["the same tokens"] += 1
    if list(answer.keys()) != list(output.keys()):
        yield f"{where}: fields {list(answer.keys())}, expected {list(output.keys())}"
    yield from differences(where, got, truth, errors, dtype, worst)
    if beams is None:
        for i, layer in enumerate(output.past_key_values.self_attention_cache.layers):
            for ours_of, theirs in zip(answer.past_key_values[i], (layer.keys, layer.values), strict=False):
                if not err(ours_of.astype(np.float64), ask.numbers(theirs)) <= 1e-4:
                    yield f"{where}: the cache of layer {i} differs"


# 2. Head masks


def head_masks(rng: Rng, config: dict[str, Any]) -> Arrays:
    """Return some of the three head masks, of factors that are mostly 0 and 1."""
    shapes = [
        (config[f"{side}_layers"], config[f"{side}_attention_heads"]) for side in ("encoder", "decoder", "decoder")
    ]
    factors = [0.0, 1.0, 0.0, 1.0, 0.5, -1.5, 2.0]
    return {
        name: rng.choice(factors, shape) for name, shape in zip(HEAD_MASKS, shapes, strict=True) if rng.random() < 0.7
    }


def keep_head_masks() -> None:
    """Keep 4.57.6 from repeating head masks for each beam."""
    kind = transformers.LEDForConditionalGeneration
    stock = kind._expand_inputs_for_generation

    def expanded(**arguments: Any) -> Any:
        masks = {name: arguments.pop(name) for name in HEAD_MASKS if name in arguments}
        ids, others = stock(**arguments)
        return ids, {**others, **masks}

    kind._expand_inputs_for_generation = staticmethod(expanded)


def compare_call(rng: Rng, trial: int, counts: Counter[str], worst: Counter[str]) -> Iterator[str]:
    """Compare one call with head masks, of a random class."""
    kind, dtype = KINDS[rng.integers(3)], str(rng.choice(list(TYPES)))
    config = large_config(rng) | {"architectures": [kind], "num_labels": 3}
    inputs = random_inputs(rng, config) | head_masks(rng, config)
    inputs.pop("decoder_attention_mask", None)  # a row without a key is something else in 4.57.6
    if kind != KINDS[0]:
        inputs.pop("labels", None)
        for name in ("inputs_embeds", "decoder_inputs_embeds", "decoder_input_ids"):
            inputs.pop(name, None)
        B, S = inputs.get("attention_mask", np.ones((2, 9), np.int64)).shape
        if "attention_mask" not in inputs:
            inputs.pop("global_attention_mask", None)
        ids = rng.integers(3, config["vocab_size"], (B, S))
        ids[:, -1] = 2
        inputs["input_ids"] = ids
        config["max_decoder_position_embeddings"] = 64

    def upstream(seed: int, kind: torch.dtype) -> Arrays:
        with torch.no_grad():
            answer = ask.load(config, make_weights(config, seed), kind)(
                **ask.tensors(inputs, kind), output_attentions=True, output_hidden_states=True
            )
        return in_pyleds_form(flat(answer), inputs)

    truth, _, errors = judged(upstream, trial)
    model = ours(config, make_weights(config, trial), dtype)
    answer = model(**converted(inputs, dtype), output_attentions=True, output_hidden_states=True)
    counts[f"calls of {kind}"] += 1
    yield from differences(f"call {trial} ({kind}, {dtype})", flat(answer), truth, errors, dtype, worst)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=300, help="with head masks, where 4.57.6 is asked")
    parser.add_argument("--generations", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="this trial alone")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    counts, worst, wrong = Counter[str](), Counter[str](), list[str]()
    if transformers.__version__ == "4.57.6":
        keep_head_masks()
    for kind, compare, number in ((3, compare_call, arguments.calls), (4, compare_generation, arguments.generations)):
        if kind == 3 and transformers.__version__ != "4.57.6":
            continue
        for trial in range(number) if arguments.only is None else [arguments.only] if number else []:
            wrong += compare(np.random.default_rng([arguments.seed, kind, trial]), trial, counts, worst)
    print("\n".join(wrong))
    for name, count in sorted(counts.items()):
        print(f"  {name:48s} {count:6d}")
    print("error in budgets, worst of each field:")
    for name, ratio in sorted(worst.items()):
        print(f"  {name:48s} {ratio:9.2g}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
