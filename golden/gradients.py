"""Make the goldens of the backward pass, or check them: `python golden/gradients.py [--check]`.

Asks the reference for the loss of small models, and for its gradient with respect to every parameter and every stage;
then for ten steps of torch's AdamW. Runs in an environment with transformers 5.23.0, and in one with 4.57.6; each
makes and checks the cases whose judge it is, and leaves the others as they are. Writes `golden/gradients/<case>.npz`
(the inputs as `in.<name>`, the loss as `out.loss`, and gradients in float64: of a parameter under upstream's name, of a
stage under that of `pyled/reference.py`), `golden/gradients/steps.npz` and `golden/gradients/manifest.json`, which has
what `golden/manifest.json` has, and the names of the parameters that no path of the loss reaches (`absent`).
`--check` compares bit for bit in the environment of the manifest, and within 1e-12 in another.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import ask
import numpy as np
import torch
import transformers
from ask import Arrays
from behaviour import of_scripts
from cases import SEEDS, Case
from forward import environment, error, sha256
from transformers.trainer_pt_utils import LabelSmoother
from weights import make_weights

FOLDER = Path(__file__).parent / "gradients"
MANIFEST = FOLDER / "manifest.json"
SCRIPTS = ("weights.py", "cases.py", "ask.py", "gradients.py")

# Sizes are odd or unequal: of heads (6 = 2 x 3 and 3 x 2), depths, feed-forward parts. One layer of each, two and one,
# one and two with other heads and another window, two with windows of their own.
SMALL = {
    "model_type": "led",
    "vocab_size": 11,
    "d_model": 6,
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 5,
    "decoder_layers": 1,
    "decoder_attention_heads": 3,
    "decoder_ffn_dim": 7,
    "attention_window": 4,
    "max_encoder_position_embeddings": 20,
    "max_decoder_position_embeddings": 9,
}
TALL = {**SMALL, "encoder_layers": 2}
DEEP = {**SMALL, "decoder_layers": 2, "decoder_attention_heads": 1, "attention_window": 6}
MIXED = {**TALL, "attention_window": [4, 8], "encoder_attention_heads": 3}
UNTIED = {
    **SMALL,
    "tie_word_embeddings": False,
    "bos_token_id": 3,
    "pad_token_id": 5,
    "eos_token_id": 9,
    "decoder_start_token_id": 7,
}
QA = {**SMALL, "architectures": ["LEDForQuestionAnswering"]}
CLASSES = {**SMALL, "architectures": ["LEDForSequenceClassification"], "num_labels": 3}

ALL = ("",)
ENCODER = ("encoder.",)
DECODER = ("decoder.", "logits", "shared", "encoder.embed_tokens", "encoder.layers.0.final_layer_norm")
LOSS = ("logits", "shared", "lm_head", "decoder.layers.0.fc", "encoder.embed_tokens", "decoder.embed_")
HEAD = ("qa_outputs", "classification_head", "decoder.layernorm_embedding", "encoder.embed_tokens")
# What is of no interest where only the pattern of attention varies.
ROW_BY_ROW = tuple(f".{part}{of}" for part in ("output", "out_proj", "fc1", "fc2") for of in ("", ".weight", ".bias"))
ROW_BY_ROW += ("self_attn_layer_norm", "norm.weight", "norm.bias", "embedding.weight", "embedding.bias")


@dataclass(frozen=True)
class GradientCase(Case):
    """A call with labels, and how much of each label's probability goes to all words."""

    smoothing: float = 0.0


def patterns() -> list[GradientCase]:
    """Return cases that differ in lengths, global tokens and masks; see cases.py for the letters."""
    listed = {
        "length-1": ("one token", ("g", ".")),
        "length-w": ("as many tokens as a side of the window has", ("..",)),
        "length-w-and-1": ("one more, the first token global", ("g..",)),
        "length-2w": ("twice as many", ("....",)),
        "length-2w-and-1": ("as many as the window has", (".....",)),
        "global-none": ("no masks", (".........",)),
        "global-first": ("the first token global", ("g........",)),
        "global-last": ("the last token global", ("........g",)),
        "global-many": ("neighbours and far ones global", ("gg..g...g",)),
        "global-all": ("every token global", ("ggggggg",)),
        "global-uneven": ("1, 0, 4 global tokens in one batch", ("....g...", "........", "gg..g..g")),
        "global-on-masked": ("global flags on masked tokens are dropped", ("g..G...GG",)),
        "global-only-on-masked": ("the only global flag stands on a masked token", (".....---G",)),
        "masked-suffix": ("padding at the end of one document", ("g....---", "g.......")),
        "masked-holes": ("holes in the mask, the first token among them", ("-.g-..-g.", "..---....")),
        "masked-minus-one": (
            "tokens that -1 in the global mask hides from the encoder, not the decoder",
            ("g..N...N.",),
        ),
        "masked-document": ("one document wholly masked beside one that is not", ("--------", ".g...---")),
    }
    all_cases = [
        GradientCase(name, about, SMALL, rows, ("...",) * len(rows), labels=("..x",) * len(rows), keep=ENCODER,
                     drop=ROW_BY_ROW)
        for name, (about, rows) in listed.items()
    ]  # fmt: skip
    settings: dict[str, Any] = {"targets": ("....",), "labels": ("....",)}
    return [
        *all_cases,
        GradientCase("layers-2-1", "two layers and one; everything is stored", TALL, ("g.......",), **settings),
        GradientCase("layers-1-2", "one layer and two; everything is stored", DEEP, ("..g.....",), **settings),
        GradientCase("windows", "windows 4 and 8, without padding", MIXED, ("........",), keep=ENCODER, **settings),
        GradientCase("windows-global", "windows 4 and 8, holes, global tokens", MIXED, ("g...-..g..--",), keep=ENCODER,
                     drop=ROW_BY_ROW, **settings),
    ]  # fmt: skip


def decoders() -> list[GradientCase]:
    """Return cases that differ in targets, masks, labels, embeddings, ties and the form of the loss."""
    real, short = ".....", "g..--"

    def case(name: str, about: str, targets: Any = None, labels: Any = None, config: Any = SMALL, **more: Any) -> Any:
        labels = labels or ("...",) * len(targets)
        settings = {"rows": (real, short), "keep": DECODER, **more}
        settings["targets_from"] = "labels" if targets is None else "decoder_input_ids"
        if settings["keep"] == DECODER:
            settings["drop"] = ROW_BY_ROW
        return GradientCase(name, about, config, targets=targets or ("..",), labels=labels, **settings)

    of_loss = {"keep": LOSS}
    return [
        case("decoder-1", "one target token", (".", "."), (".", ".")),
        case("decoder-8", "eight target tokens", ("." * 8,), ("." * 8,), rows=(short,)),
        case("decoder-mask", "holes and padding in the target's mask", ("1101", "1110"), ("....", "...x"), DEEP),
        case("decoder-1-mask", "one target token, masked: without effect", ("0", "1"), (".", ".")),
        case("decoder-no-key", "target tokens without an allowed key", ("0011", "0000"), ("....", "....")),
        case("decoder-all-masked", "a source wholly masked", ("...", "..."), rows=("-----", short)),
        case("embeds", "inputs_embeds and decoder_inputs_embeds", ("...", "..."), embeds=True),
        case("labels", "targets made of the labels, of which some are -100", None, ("..x.", ".xxx"), **of_loss),
        case("labels-first-ignored", "first label -100", None, ("x..", "xx."), UNTIED, **of_loss),
        case("labels-one", "one label in all counts", None, ("xxx", ".xx"), **of_loss),
        case("untied", "four embeddings, other special ids; everything is stored", ("...", "..."), config=UNTIED,
             rows=("..g..", "..---"), keep=ALL),
        case("smoothing", "labels smoothed by 0.1, some -100", None, ("..x.", "..xx"), smoothing=0.1, **of_loss),
        case("smoothing-untied", "labels smoothed by 0.5", None, ("...", "..."), UNTIED, smoothing=0.5, **of_loss),
        *[
            case(f"activation-{kind}", f"activation_function {kind}", ("...",), rows=("g....",),
                 config={**SMALL, "activation_function": kind}, keep=("encoder.layers.0.fc", "decoder.layers.0.fc"))
            for kind in ("gelu_new", "quick_gelu", "relu", "silu")
        ],
    ]  # fmt: skip


def heads() -> list[GradientCase]:
    """Return cases of the other heads and their losses."""

    def qa(name: str, about: str, starts: Any, ends: Any, **more: Any) -> GradientCase:
        of_head = {"start_positions": starts, "end_positions": ends}
        settings = {"rows": ("gg...", "g..--"), "targets_from": "input_ids", "keep": HEAD, **more}
        return GradientCase(f"qa-{name}", about, QA, of_head=of_head, **settings)

    def classes(name: str, about: str, labels: Any, config: Any = None, **more: Any) -> GradientCase:
        settings = {"rows": ("g....e", "g..e--"), "targets_from": "input_ids", "keep": HEAD, **more}
        return GradientCase(
            f"classes-{name}", about, {**CLASSES, **(config or {})}, of_head={"labels": labels}, **settings
        )

    quantity, quantities = {"num_labels": 1}, {"problem_type": "regression"}
    return [
        qa("ends", "the first place and the last", [0, 4], [4, 3], keep=(*HEAD, "decoder.layers.0.f")),
        qa("below", "positions below 0 are 0", [-1, 2], [-7, -100]),
        qa("beyond", "positions of T and more are ignored", [5, 2], [1, 99]),
        qa("column", "other targets, positions of shape (B, 1)", [[1], [2]], [[2], [0]], targets=("...", "..."),
           targets_from="decoder_input_ids"),
        classes("single", "one label each", [2, 0], keep=(*HEAD, "decoder.layers.0.f")),
        classes("single-ignored", "one of the labels is -100", [[-100], [1]]),
        classes("last-end", "two ends in each text: the last one counts", [1, 2], rows=("ge...e.", "ge.e---")),
        classes("quantity", "one label of floats", [0.75, -2.5], quantity),
        classes("quantities", "problem_type says regression", [[0.5, -1.0, 2.0], [0.0, 3.0, -0.25]], quantities),
        classes("multi", "labels of floats, one not 0 or 1", [[0.0, 1.0, 1.0], [1.0, 0.0, 0.5]],
                targets=("011011", "111000"), targets_from="decoder_input_ids"),
    ]  # fmt: skip


def gradient_cases() -> list[GradientCase]:
    return [*patterns(), *decoders(), *heads()]


# 1. The gradients of a call


@contextmanager
def without_roundings() -> Iterator[None]:
    """Have `Tensor.sum` ignore its dtype argument on float64 tensors: LabelSmoother otherwise sums in float32.

    And stop gradients at scores that rounding has wiped out. A decoder's query without any key has scores of s + the
    lowest number, which are all equal: its probabilities do not depend on s. Autograd does not know that.
    """
    stock_sum, stock_softmax = torch.Tensor.sum, torch.nn.functional.softmax

    def total(self: torch.Tensor, *args: Any, dtype: torch.dtype | None = None, **more: Any) -> torch.Tensor:
        return stock_sum(self, *args, dtype=None if self.dtype == torch.float64 else dtype, **more)

    def softmax(input: torch.Tensor, *args: Any, **more: Any) -> torch.Tensor:
        has_no_key = (input < torch.finfo(input.dtype).min / 2).all(dim=-1, keepdim=True)
        return stock_softmax(torch.where(has_no_key, input.detach(), input), *args, **more)

    torch.Tensor.sum, torch.nn.functional.softmax = total, softmax
    try:
        yield
    finally:
        torch.Tensor.sum, torch.nn.functional.softmax = stock_sum, stock_softmax


def watch(model: Any, S: int, gradients: Arrays) -> list[Any]:
    """Have the gradients of stages put into `gradients` by a backward pass; return the handles of the hooks.

    `SIDE.embed_tokens` is what the lookup gives, before positions are added; `.context` of the decoder's attentions is
    the context of all heads, as the encoder's `longformer_self_attn` is. A query is the one before its division.
    """

    def caught(name: str, tensor: torch.Tensor) -> None:
        def catch(gradient: torch.Tensor) -> None:
            array = gradient.detach().clone().numpy()
            array = array.swapaxes(0, 1) if name.rsplit(".", 1)[-1] in ask.HEAD_FIRST else array
            is_of_source = name.startswith("encoder.") and not name.endswith("query_global")
            gradients[name] = array[:, :S] if is_of_source else array

        tensor.register_hook(catch)

    def result(name: str) -> Callable[..., Any]:
        def hook(module: Any, arguments: Any, output: Any) -> Any:
            if isinstance(output, tuple):
                caught(name, output[0])
                return output
            caught(name, output)
            return output.clone()  # upstream divides queries in place

        return hook

    def argument(name: str) -> Callable[..., Any]:
        def hook(module: Any, arguments: Any) -> None:
            caught(name, arguments[0])

        return hook

    handles = []
    for full_name, module in model.named_modules():
        name = full_name.removeprefix("led.")
        is_pieces = isinstance(module, (torch.nn.Linear, torch.nn.LayerNorm)) or name.endswith("longformer_self_attn")
        if is_pieces:
            handles.append(module.register_forward_hook(result("logits" if name == "lm_head" else name)))
        if name.endswith("layernorm_embedding"):
            handles.append(module.register_forward_pre_hook(argument(f"{name.split('.')[0]}.embed_tokens")))
        if name.endswith("out_proj") and name.startswith("decoder."):
            handles.append(module.register_forward_pre_hook(argument(f"{name.removesuffix('.out_proj')}.context")))
    return handles


def loss_of(model: Any, inputs: Mapping[str, Any], smoothing: float) -> torch.Tensor:
    """Return the loss of a call, as a trainer computes it: smoothed labels are not passed to the model."""
    arguments = ask.tensors(inputs, model.dtype)
    if not smoothing:
        return model(**arguments, use_cache=False).loss
    labels = arguments.pop("labels")
    if not {"decoder_input_ids", "decoder_inputs_embeds"} & arguments.keys():
        arguments["decoder_input_ids"] = model.prepare_decoder_input_ids_from_labels(labels)
    return LabelSmoother(smoothing)(model(**arguments, use_cache=False), labels)


def ask_gradients(
    config: Mapping[str, Any],
    weights: Mapping[str, Any],
    inputs: Mapping[str, Any],
    dtype: torch.dtype,
    smoothing: float = 0.0,
) -> tuple[Arrays, list[str]]:
    """Return the loss and all gradients, and the names of parameters that have none.

    Of a tied parameter there is one gradient, the sum, under its first name: `led.shared.weight`.
    """
    model = ask.load(config, weights, dtype)
    gradients: Arrays = {}
    handles = watch(model, ask.source_size(inputs)[1], gradients)
    with without_roundings():
        loss = loss_of(model, inputs, smoothing)
    loss.backward()
    for handle in handles:
        handle.remove()
    arrays: Arrays = {"out.loss": loss.detach().numpy()} | dict(reversed(gradients.items()))
    absent = []
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            absent.append(name)
        else:
            arrays[name] = parameter.grad.numpy()
    return arrays, absent


def true_gradients(config: Any, weights: Any, inputs: Any, smoothing: float = 0.0) -> tuple[Arrays, list[str]]:
    """Return the same in float64."""
    with ask.float64_softmax():
        return ask_gradients(config, weights, inputs, torch.float64, smoothing)


def assert_not_rounded(name: str, array: Any) -> None:
    """Fail where all numbers are float32's: then something was rounded on the way, and a patch did not take."""
    is_rounded = np.array_equal(array, array.astype(np.float32).astype(np.float64))
    assert not is_rounded or array.size < 9 or not array.any(), f"{name}: rounded to float32"


def float32_errors(case: GradientCase, true: dict[int, Arrays]) -> dict[str, float]:
    """Return the stock reference's error in float32: the largest over the seeds, one and two threads."""
    worst = dict.fromkeys(true[SEEDS[0]], 0.0)
    for seed in SEEDS:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            weights = make_weights(case.config, seed)
            arrays, _ = ask_gradients(case.config, weights, case.inputs(), torch.float32, case.smoothing)
            for name in worst:
                worst[name] = max(worst[name], error(arrays[name], true[seed][name]))
    torch.set_num_threads(1)
    return worst


def stated(errors: Mapping[str, float]) -> dict[str, float]:
    """Return the errors that count: one below 1e-6 counts as 1e-6 in the budget."""
    return {name: float(f"{e:.3g}") for name, e in errors.items() if e >= 1e-6}


def is_stored(case: GradientCase, name: str) -> bool:
    return name == "out.loss" or (name.removeprefix("led.").startswith(case.keep) and not name.endswith(case.drop))


def make(case: GradientCase) -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays of a case, and what the manifest says of it."""
    answers = {
        seed: true_gradients(case.config, make_weights(case.config, seed), case.inputs(), case.smoothing)
        for seed in SEEDS
    }
    first, absent = answers[SEEDS[0]]
    for name, array in first.items():
        assert_not_rounded(f"{case.name}: {name}", array)
    true = {seed: {n: a for n, a in arrays.items() if is_stored(case, n)} for seed, (arrays, _) in answers.items()}
    entry: dict[str, Any] = {
        "about": case.about,
        "judge": case.judge,
        "config": dict(case.config),
        "seed": SEEDS[0],
        "rows": list(case.rows),
        "targets": case.targets_from if case.targets_from != "decoder_input_ids" else list(case.targets),
        "label_smoothing": case.smoothing,
        "absent": absent,
        "float32_error": stated(float32_errors(case, true)),
    }
    return {f"in.{name}": array for name, array in case.inputs().items()} | true[SEEDS[0]], entry


# 2. Ten steps


STEPS: dict[str, Any] = {
    "judge": "5.23.0",
    "config": TALL,
    "seed": 0,
    "steps": 10,
    "warmup": 3,
    "lr": 0.02,
    "betas": [0.8, 0.95],
    "eps": 1e-7,
    "weight_decay": 0.1,
    "max_norm": 1.5,
}


def batches() -> list[Arrays]:
    """Return the inputs of the even steps, and those of the odd ones."""
    each = []
    for n, rows in enumerate((("g......", "g...---"), ("g........",))):
        case = Case(f"step-{n}", "", TALL, rows, labels=("....", "..xx")[: len(rows)], targets_from="labels")
        each.append(case.inputs())
    return each


def take_steps(seed: int, dtype: torch.dtype) -> Arrays:
    """Return losses, norms and rates of each step, and the weights in the end."""
    model = ask.load(STEPS["config"], make_weights(STEPS["config"], seed), dtype)
    names = ("lr", "betas", "eps", "weight_decay")
    optimizer = torch.optim.AdamW(model.parameters(), **{name: STEPS[name] for name in names})
    linear = transformers.get_linear_schedule_with_warmup(optimizer, STEPS["warmup"], STEPS["steps"])
    losses, norms, rates = [], [], []
    for step in range(STEPS["steps"]):
        loss = loss_of(model, batches()[step % 2], 0.0)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), STEPS["max_norm"])
        rates.append(linear.get_last_lr()[0])
        optimizer.step()
        linear.step()
        losses.append(loss.item())
        norms.append(norm.item())
    arrays: Arrays = {"out.losses": np.array(losses), "out.norms": np.array(norms), "out.rates": np.array(rates)}
    arrays["out.cosine_rates"] = np.array(cosine_rates())
    return arrays | {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}


def cosine_rates() -> list[float]:
    """Return the rates of the other schedule, by half a wave."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=STEPS["lr"])
    schedule = transformers.get_cosine_schedule_with_warmup(optimizer, STEPS["warmup"], STEPS["steps"])
    rates = []
    for _ in range(STEPS["steps"]):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return rates


def make_steps() -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays of the ten steps, and what the manifest says of them."""
    true = {}
    for seed in SEEDS:
        with ask.float64_softmax():
            true[seed] = take_steps(seed, torch.float64)
    norms = true[SEEDS[0]]["out.norms"]
    assert (norms > STEPS["max_norm"]).any() and (norms < STEPS["max_norm"]).any(), norms
    worst = dict.fromkeys(true[SEEDS[0]], 0.0)
    for seed in SEEDS:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            arrays = take_steps(seed, torch.float32)
            worst = {name: max(worst[name], error(arrays[name], true[seed][name])) for name in worst}
    torch.set_num_threads(1)
    inputs = {f"in.{n}.{name}": array for n, batch in enumerate(batches()) for name, array in batch.items()}
    return inputs | true[SEEDS[0]], {**STEPS, "float32_error": stated(worst)}


# 3. Files


def written_as(manifest: Mapping[str, Any]) -> str:
    """Return a manifest as text: a line for each case."""
    lines = [f"{json.dumps(key)}: {json.dumps(value)}," for key, value in manifest.items() if key != "cases"]
    cases = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in manifest["cases"].items()]
    return "\n".join(["{", *lines, '"cases": {', ",\n".join(cases), "}}"]) + "\n"


def write(answers: dict[str, tuple[Arrays, dict[str, Any]]], names: list[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    stored = (
        json.loads(MANIFEST.read_text(encoding="utf-8")) if MANIFEST.exists() else {"environments": {}, "cases": {}}
    )
    for old in FOLDER.glob("*.npz"):
        if old.stem not in names:
            old.unlink()
    listed = stored["cases"]
    for name, (arrays, entry) in answers.items():
        np.savez_compressed(FOLDER / f"{name}.npz", **arrays)
        listed[name] = {"sha256": sha256(FOLDER / f"{name}.npz"), **entry}
    manifest = {
        "environments": stored["environments"] | {transformers.__version__: environment()},
        "seeds": list(SEEDS),
        "threads": [1, 2],
        "scripts": of_scripts(Path(__file__).parent, SCRIPTS),
        "cases": {name: listed[name] for name in names if name in listed},
    }
    MANIFEST.write_text(written_as(manifest), encoding="utf-8")


def differences(answers: dict[str, tuple[Arrays, dict[str, Any]]], names: list[str]) -> list[str]:
    """Return where what is stored differs from what was computed now."""
    stored = json.loads(MANIFEST.read_text(encoding="utf-8"))
    same = stored["environments"].get(transformers.__version__) == environment()
    print("environment of the manifest: bit for bit" if same else "another environment: within 1e-12")
    now = of_scripts(Path(__file__).parent, SCRIPTS)
    problems = [f"{name} does something else since" for name in SCRIPTS if stored["scripts"].get(name) != now[name]]
    problems += [f"{name}: not in both" for name in sorted(set(stored["cases"]) ^ set(names))]
    ignored = {"sha256"} if same else {"sha256", "float32_error"}
    for name in sorted(set(stored["cases"]) & set(answers)):
        arrays, entry = answers[name]
        before, path = stored["cases"][name], FOLDER / f"{name}.npz"
        if before["sha256"] != sha256(path):
            problems.append(f"{path.name}: not the file of the manifest")
        if any(before.get(key) != entry.get(key) for key in (before.keys() | entry.keys()) - ignored):
            problems.append(f"{name}: the manifest's entry differs")
        with np.load(path, allow_pickle=False) as file:
            if set(file.files) != set(arrays):
                problems.append(f"{name}: other arrays: {sorted(set(file.files) ^ set(arrays))}")
                continue
            for key, array in arrays.items():
                limit = 0.0 if same or key.startswith("in.") else 1e-12
                is_like = file[key].dtype == array.dtype and file[key].shape == array.shape
                if not is_like or error(file[key], array) > limit:
                    problems.append(f"{name}: {key} differs")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description="goldens of the backward pass")
    parser.add_argument("--check", action="store_true", help="compare with what is stored, write nothing")
    check = parser.parse_args().check
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    answers = {case.name: make(case) for case in gradient_cases() if case.judge == transformers.__version__}
    assert answers, f"the references are transformers 5.23.0 and 4.57.6, not {transformers.__version__}"
    if transformers.__version__ == STEPS["judge"]:
        answers["steps"] = make_steps()
    names = [*(case.name for case in gradient_cases()), "steps"]
    if not check:
        write(answers, names)
        size = sum(path.stat().st_size for path in FOLDER.iterdir())
        print(f"{len(answers)} cases, {size / 1e6:.2f} MB")
        return 0
    problems = differences(answers, names)
    print("\n".join(problems) or f"{len(answers)} cases agree")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
