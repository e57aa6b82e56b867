"""Compare pyled's gradients with the reference's on random models: PYTHONPATH=. python golden/compare_gradients.py

Runs where transformers 5.23.0 and pyled's dependencies are: models with random shapes, windows, masks, global tokens,
ties, labels, smoothing, types and policies of what is kept, as those of `compare_models.py`; then models for question
answering. Where transformers is 4.57.6, models for classification alone. Half of them drop numbers and layers: the
reference then drops, at each of its own places in the order of its code, the numbers that pyled says (`dropping`).
The loss, the gradient of each parameter and of each stage, and which parameters have none are held against the
reference in float64, inside the error budget, with the reference's float32 error measured on the same model (three
seeds of its weights, one and two threads).

Prints what was compared, how often, and the worst ratio of error to budget; an interrupt ends it early. `--only N`
repeats one trial.
"""

import argparse
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ask
import numpy as np
import torch
import transformers
from compare_models import converted, inputs_of_head, ours, random_config, random_head, random_inputs, run_lengths
from gradients import Arrays, ask_gradients, true_gradients
from numpy.typing import NDArray
from weights import TIED, make_weights

from budget import budget, err  # isort: skip  # tests/ is on the path since compare_models is imported
from pyled.config import LEDConfig
from pyled.network.dropout import Dropout
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


RATES = {
    "dropout": 0.2,
    "attention_dropout": 0.3,
    "activation_dropout": 0.1,
    "classifier_dropout": 0.4,
    "encoder_layerdrop": 0.2,
    "decoder_layerdrop": 0.2,
}
DROPPED = (".output", ".out_proj", ".fc2", ".layernorm_embedding")  # stages that pyled shows after dropout


class Factors:
    """What the reference's numbers are multiplied with, call by call of torch's dropout, in the order of its code."""

    def __init__(self, config: dict[str, Any], inputs: Arrays, seed: int) -> None:
        self.config, self.inputs, self.lengths = LEDConfig.from_dict(config), inputs, run_lengths(inputs)
        B, self.S = ask.source_size(inputs)
        sides = ("decoder_input_ids", "decoder_inputs_embeds", "labels", "input_ids")
        self.T = next(inputs[name].shape[1] for name in sides if name in inputs and inputs[name].ndim > 1)
        if config.get("architectures") == [CLASSES] and not {*sides[:2]} & inputs.keys():
            self.T = self.S  # the labels are not those of tokens
        self.source = [Dropout(self.config, seed, b, np.arange(length)) for b, length in enumerate(self.lengths)]
        self.target = [Dropout(self.config, seed, b, np.arange(self.T)) for b in range(B)]

    def layers(self, side: str) -> list[tuple[str, bool]]:
        """Return the names of layers, and whether they are left out."""
        names = [f"{side}.layers.{i}" for i in range(getattr(self.config, f"{side}_layers"))]
        return [(name, self.source[0].skips(name)) for name in names]

    def in_order(self) -> Iterator[tuple[float, NDArray[Any]]]:
        """Yield rates and factors, (B, ...), of each call."""
        E, is_global = self.config.d_model, ask.is_global(self.inputs)
        yield self._states("encoder.layernorm_embedding", E)
        for i, (name, is_left_out) in enumerate(self.layers("encoder")):
            if is_left_out:
                continue
            dense = self._probs(f"{name}.self_attn", self.config.encoder_attention_heads)  # (B, H, S, S)
            yield self.config.attention_dropout, in_band(dense, is_global, self.config.one_sided_window(i))
            if is_global.any():
                rows = np.ones((*dense.shape[:2], is_global.sum(axis=1).max(), self.S))  # (B, H, G, S)
                for b, marks in enumerate(is_global):
                    rows[b, :, : marks.sum()] = dense[b][:, marks]
                yield self.config.attention_dropout, rows.reshape(-1, *rows.shape[2:])
            yield self._states(f"{name}.self_attn.output", E)
            yield from self._feed_forward(name, self.config.encoder_ffn_dim)
        yield self._states("decoder.layernorm_embedding", E)
        for name, is_left_out in self.layers("decoder"):
            if is_left_out:
                continue
            for attention in (f"{name}.self_attn", f"{name}.encoder_attn"):
                dense = self._probs(attention, self.config.decoder_attention_heads)
                yield self.config.attention_dropout, dense.reshape(-1, *dense.shape[2:])
                yield self._states(f"{attention}.out_proj", E)
            yield from self._feed_forward(name, self.config.decoder_ffn_dim)
        for name in ("classification_head.dense", "classification_head.out_proj"):
            rows = np.ones((len(self.target), E))
            for dropout, row, ids in zip(self.target, rows, self.inputs.get("input_ids", ()), strict=False):
                last = np.flatnonzero(ids == 2)[-1:]
                dropout.part(last).classifier(name, row[None][: len(last)])
            yield self.config.classifier_dropout, rows

    def _feed_forward(self, name: str, width: int) -> Iterator[tuple[float, NDArray[Any]]]:
        yield self._states(f"{name}.activation", width)
        yield self._states(f"{name}.fc2", self.config.d_model)

    def _states(self, name: str, width: int) -> tuple[float, NDArray[Any]]:
        is_of_source, is_inner = name.startswith("encoder."), name.endswith("activation")
        factors = np.ones((len(self.source), self.S if is_of_source else self.T, width))
        for b, dropout in enumerate(self.source if is_of_source else self.target):
            rows = factors[b, : self.lengths[b]] if is_of_source else factors[b]
            (dropout.activation if is_inner else dropout.hidden)(name, rows)
        return self.config.activation_dropout if is_inner else self.config.dropout, factors

    def _probs(self, name: str, H: int) -> NDArray[Any]:
        """Return the factors of an attention's probabilities: (B, H, queries, keys)."""
        is_of_source, is_to_source = name.startswith("encoder."), not name.startswith("decoder.") or "encoder_" in name
        factors = np.ones((len(self.source), H, self.S if is_of_source else self.T, self.S if is_to_source else self.T))
        for dropout, length, whole in zip(
            self.source if is_of_source else self.target, self.lengths, factors, strict=True
        ):
            queries, keys = length if is_of_source else self.T, length if is_to_source else self.T
            part = np.ones((H, queries, keys))
            dropout.probs(f"{name}.probs", part)
            whole[:, :queries, :keys] = part
        return factors


def in_band(dense: NDArray[Any], is_global: NDArray[np.bool_], w: int) -> NDArray[Any]:
    """Return factors of all pairs, (B, H, S, S), in the reference's layout: (B, S, H, G + 2w + 1)."""
    B, H, S, _ = dense.shape
    G = int(is_global.sum(axis=1).max())
    band = np.ones((B, S, H, G + 2 * w + 1))
    for b, marks in enumerate(is_global):
        band[b, :, :, : marks.sum()] = np.moveaxis(dense[b][:, :, marks], 0, 1)
        for i in range(S):
            first, stop = max(0, i - w), min(S, i + w + 1)
            band[b, i, :, G + first - i + w : G + stop - i + w] = dense[b, :, i, first:stop]
    return band


@contextmanager
def dropping(config: dict[str, Any], inputs: Arrays, seed: int) -> Iterator[None]:
    """Have the reference train inside this block, and drop what pyled drops."""
    functional, factors = torch.nn.functional, Factors(config, inputs, seed)
    stock = functional.dropout, torch.rand, ask.load
    calls: list[Iterator[Any]] = []

    def load(*arguments: Any) -> Any:
        calls[:] = [factors.in_order(), iter([*factors.layers("encoder"), *factors.layers("decoder")])]
        return stock[2](*arguments).train()

    def dropout(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
        rate, array = next(calls[0])
        assert training and p == rate, (p, rate)
        whole = np.ones(input.shape)
        whole[tuple(slice(n) for n in array.shape)] = array  # behind it is padding to the window
        return input * torch.from_numpy(whole).to(input.dtype)

    def rand(*_: Any) -> torch.Tensor:
        return torch.tensor(0.0 if next(calls[1])[1] else 1.0)

    functional.dropout, torch.rand, ask.load = dropout, rand, load
    try:
        yield
    finally:
        functional.dropout, torch.rand, ask.load = stock


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


def nudged(weights: Arrays, seed: int) -> Arrays:
    """Return weights that differ by parts in a thousand, exact in float32; tied ones alike."""
    arrays = {}
    for name, array in weights.items():
        factors = 1 + np.random.default_rng([seed, *array.shape]).uniform(-1, 1, array.shape) / 1000
        arrays[name] = (array * factors).astype(np.float32).astype(np.float64)
    return arrays


def asked(
    config: dict[str, Any], inputs: Arrays, smoothing: float, trial: int, dtype: str
) -> tuple[Arrays, dict[str, float]]:
    """Return the truth, and the stock reference's float32 error."""
    weights = make_weights(config, trial)
    truth, _ = true_gradients(config, weights, inputs, smoothing)
    errors = dict.fromkeys(truth, 0.0)
    if dtype == "float32":
        # Where a model magnifies roundings, one draw of them says little: near weights have others.
        each = [make_weights(config, seed) for seed in (trial, trial + 1_000_000, trial + 2_000_000)]
        for near in (*each, *(nudged(weights, seed) for seed in range(3))):
            true, _ = true_gradients(config, near, inputs, smoothing)
            for threads in (1, 2):
                torch.set_num_threads(threads)
                stock, _ = ask_gradients(config, near, inputs, torch.float32, smoothing)
                errors = {name: max(errors[name], err(stock[name], true[name])) for name in truth}
            torch.set_num_threads(1)
    return truth, errors


def compare(rng: np.random.Generator, trial: int, kind: str, worst: dict[str, list[float]]) -> Iterator[str]:
    """Compare one random model and call, and give what is wrong, in words. `worst` collects ratios."""
    config, inputs, smoothing = random_trial(rng, kind)
    dtype, policy = str(rng.choice(["float32", "float64"])), str(rng.choice(POLICIES))
    weights, is_training = make_weights(config, trial), bool(rng.random() < 0.5)
    if is_training:
        config |= RATES
        with dropping(config, inputs, trial):
            truth, errors = asked(config, inputs, smoothing, trial, dtype)
    else:
        truth, errors = asked(config, inputs, smoothing, trial, dtype)
    model, stages = ours(config, weights, dtype), Stages()
    model.gradient_checkpointing_enable(policy=policy)
    loss, gradients = model.loss_and_gradients(
        **converted(inputs, dtype),
        see=stages,
        training=is_training,
        seed=trial,
        **({"label_smoothing": smoothing} if kind == LM else {}),
    )
    where = f"{kind} {trial} ({dtype}, {policy}{', with dropout' * is_training})"
    # With inputs_embeds the reference looks up only what pads to the window: a gradient of zeros, where pyled has none.
    for side in ("encoder", "decoder"):
        table = f"led.{side}.embed_tokens.weight"
        if table in truth and table not in gradients and not truth[table].any():
            del truth[table]
    names = {name for name in truth if name in weights}
    others = set(TIED[1:]) if config.get("tie_word_embeddings", True) else set()
    if set(gradients) - others != names:
        yield f"{where}: other parameters have a gradient: {sorted((set(gradients) - others) ^ names)}"
    got = {"out.loss": np.asarray(loss)} | {name: gradients[name] for name in names & set(gradients)}
    lengths = run_lengths(inputs)
    for name in truth.keys() - names - {"out.loss"}:
        if is_training and name.endswith(DROPPED):
            continue
        if name in stages:
            got[name] = in_batch(name, stages[name], truth[name].shape, lengths)
        elif not name.endswith(NEVER_MADE):
            yield f"{where}: the gradient of stage {name} is not seen"
    for name, array in got.items():
        if array.shape != truth[name].shape or array.dtype != dtype or not np.isfinite(array).all():
            yield f"{where}: {name} has shape {array.shape}, type {array.dtype}, or is not finite"
            continue
        ratio = err(array, truth[name]) / budget(np.dtype(dtype), errors[name])
        worst.setdefault(f"{dtype}{' dropping' * is_training} {sort_of(name)}", []).append(ratio)
        if ratio > 1:
            yield f"{where}: {name} is {ratio:.3g} budgets away"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=200, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="this trial alone")
    asked_for = parser.parse_args()
    assert transformers.__version__ in ("5.23.0", "4.57.6"), f"no reference: {transformers.__version__}"
    transformers.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    wrong: list[str] = []
    kinds = (LM, QA) if transformers.__version__ == "5.23.0" else (CLASSES,)
    counts, worst = dict.fromkeys(kinds, 0), {kind: dict[str, list[float]]() for kind in kinds}
    try:
        for trial in range(asked_for.models) if asked_for.only is None else [asked_for.only]:
            for number, kind in enumerate(kinds):
                wrong += compare(np.random.default_rng([asked_for.seed, 11 + number, trial]), trial, kind, worst[kind])
                counts[kind] += 1
    except KeyboardInterrupt:
        print("interrupted")
    for kind, ratios in worst.items():
        print(f"{counts[kind]} models, {kind}; error in budgets, worst of each array:")
        for name in sorted(ratios):
            print(f"  {name:76s} {len(ratios[name]):6d} arrays  {max(ratios[name]):9.2g}")
        print(f"  all: {sum(map(len, ratios.values()))} arrays, {max(map(max, ratios.values()), default=0):.2g}")
    print("\n".join(wrong) or "nothing differs")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
