"""Compare pyled's gradients with the reference's on random models: PYTHONPATH=. python golden/compare_gradients.py

Runs where transformers 5.23.0 and pyled's dependencies are: models with random shapes, windows, masks, global tokens,
ties, labels, smoothing, types and policies of what is kept, as those of `compare_models.py`; then models for question
answering. Where transformers is 4.57.6, models for classification alone. The loss, the gradient of each parameter and
of each stage, and which parameters have none are held against the reference in float64, inside the error budget, with
the reference's float32 error measured on the same model (three seeds of its weights, one and two threads).

Prints what was compared, how often, and the worst ratio of error to budget. `--only N` repeats one trial.
"""

import argparse
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import transformers
from compare_models import converted, inputs_of_head, ours, random_config, random_head, random_inputs, run_lengths
from gradients import Arrays, ask_gradients, true_gradients
from numpy.typing import NDArray
from weights import TIED, make_weights

from budget import budget, err  # isort: skip  # tests/ is on the path since compare_models is imported
from pyled.network.observe import Stages

POLICIES = ("keep", "selective", "recompute")
LM, QA, CLASSES = "LEDForConditionalGeneration", "LEDForQuestionAnswering", "LEDForSequenceClassification"
NEVER_MADE = ("query_global", "key_global", "value_global")  # stages whose gradients pyled does not compute


def random_trial(rng: np.random.Generator, kind: str) -> tuple[dict[str, Any], Arrays, float]:
    """Return a configuration, the arguments of a call that has a loss, and label smoothing."""
    while True:
        config = random_config(rng) if kind == LM else random_head(rng, kind)
        inputs = random_inputs(rng, config) if kind == LM else inputs_of_head(rng, config)
        if kind == LM and "labels" not in inputs:
            array = next(inputs[name] for name in ("decoder_input_ids", "decoder_inputs_embeds") if name in inputs)
            inputs["labels"] = rng.integers(0, config["vocab_size"], array.shape[:2])
            inputs["labels"][rng.random(array.shape[:2]) < 0.3] = -100
        if kind == LM and rng.random() < 0.4:  # many target tokens attend by another kernel than few
            columns = rng.integers(0, inputs["labels"].shape[1], int(rng.integers(9, 33)))
            sides = ("decoder_input_ids", "decoder_inputs_embeds", "decoder_attention_mask", "labels")
            inputs |= {name: np.take(inputs[name], columns, axis=1) for name in sides if name in inputs}
        if kind == LM:
            inputs["labels"][0, 0] = 3  # one at least counts, or the loss is NaN
        if "labels" in inputs or "start_positions" in inputs:
            smoothing = float(rng.choice([0.0, 0.0, 0.1, 0.7])) if kind == LM else 0.0
            return config, inputs, smoothing


def in_batch(name: str, array: NDArray[Any], shape: tuple[int, ...], lengths: NDArray[np.int64]) -> NDArray[Any]:
    """Return the gradient of a stage in the reference's shape, with 0 where pyled does not run."""
    whole = np.zeros(shape, array.dtype)
    if not name.startswith("encoder.") and not name.endswith(("encoder_attn.k_proj", "encoder_attn.v_proj")):
        whole[:, : array.shape[1]] = array.reshape(*array.shape[:2], *shape[2:])
        return whole
    for row, part in zip(whole, np.split(array, np.cumsum(lengths)[:-1]), strict=True):
        row[: len(part)] = part.reshape(len(part), -1)
    return whole


def sort_of(name: str) -> str:
    """Return a name without the number of its layer."""
    return ".".join(part for part in name.split(".") if not part.isdigit())


def compare(rng: np.random.Generator, trial: int, kind: str, worst: dict[str, list[float]]) -> Iterator[str]:
    """Compare one random model and call, and give what is wrong, in words. `worst` collects ratios."""
    config, inputs, smoothing = random_trial(rng, kind)
    dtype, policy = str(rng.choice(["float32", "float64"])), str(rng.choice(POLICIES))
    weights = make_weights(config, trial)
    truth, absent = true_gradients(config, weights, inputs, smoothing)
    errors = dict.fromkeys(truth, 0.0)
    if dtype == "float32":
        for seed in (trial, trial + 1_000_000, trial + 2_000_000):
            weights_of_seed = make_weights(config, seed)
            true, _ = true_gradients(config, weights_of_seed, inputs, smoothing)
            for threads in (1, 2):
                torch.set_num_threads(threads)
                stock, _ = ask_gradients(config, weights_of_seed, inputs, torch.float32, smoothing)
                errors = {name: max(errors[name], err(stock[name], true[name])) for name in truth}
            torch.set_num_threads(1)
    model, stages = ours(config, weights, dtype), Stages()
    model.gradient_checkpointing_enable(policy=policy)
    loss, gradients = model.loss_and_gradients(
        **converted(inputs, dtype), see=stages, **({"label_smoothing": smoothing} if kind == LM else {})
    )
    where = f"{kind} {trial} ({dtype}, {policy})"
    names = {name for name in truth if name in gradients or name in absent or name in weights}
    others = set(TIED[1:]) if config.get("tie_word_embeddings", True) else set()
    if set(gradients) - others != names:
        yield f"{where}: other parameters have a gradient: {sorted((set(gradients) - others) ^ names)}"
    got = {"out.loss": np.asarray(loss)} | {name: gradients[name] for name in names & set(gradients)}
    lengths = run_lengths(inputs)
    for name in truth.keys() - names - {"out.loss"}:
        if name in stages:
            got[name] = in_batch(name, stages[name], truth[name].shape, lengths)
        elif not name.endswith(NEVER_MADE):
            yield f"{where}: the gradient of stage {name} is not seen"
    for name, array in got.items():
        if array.shape != truth[name].shape or array.dtype != dtype or not np.isfinite(array).all():
            yield f"{where}: {name} has shape {array.shape}, type {array.dtype}, or is not finite"
            continue
        ratio = err(array, truth[name]) / budget(np.dtype(dtype), errors[name])
        worst.setdefault(f"{dtype} {sort_of(name)}", []).append(ratio)
        if ratio > 1:
            yield f"{where}: {name} is {ratio:.3g} budgets away"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=200, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="this trial alone")
    asked = parser.parse_args()
    assert transformers.__version__ in ("5.23.0", "4.57.6"), f"no reference: {transformers.__version__}"
    transformers.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    wrong: list[str] = []
    trials = range(asked.models) if asked.only is None else [asked.only]
    for number, kind in enumerate((LM, QA) if transformers.__version__ == "5.23.0" else (CLASSES,)):
        worst: dict[str, list[float]] = {}
        for trial in trials:
            wrong += compare(np.random.default_rng([asked.seed, 11 + number, trial]), trial, kind, worst)
        print(f"{len(trials)} models, {kind}; error in budgets, worst of each array:")
        for name in sorted(worst):
            print(f"  {name:76s} {len(worst[name]):6d} arrays  {max(worst[name]):9.2g}")
        print(f"  all: {sum(map(len, worst.values()))} arrays, {max(map(max, worst.values()), default=0):.2g}")
    print("\n".join(wrong) or "nothing differs")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
