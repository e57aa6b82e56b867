"""The backward pass against the reference's autograd: every stored gradient of every case; and steps of AdamW."""

import warnings

import numpy as np
import pytest
from budget import assert_within
from test_model import make, run_lengths

import golden
from pyled import AdamW, LEDConfig, LEDForConditionalGeneration, reference
from pyled.errors import PyledWarning
from pyled.network.observe import Stages
from pyled.training.optimizer import clip_by_norm
from pyled.training.schedules import schedule

DTYPES = ["float64", "float32"]
CASES = [name for name in golden.GRADIENTS["cases"] if name != "steps"]
TIED = golden.WEIGHTS.TIED
# Stages that no array of the backward pass always stands for: see `_attend_to_all`.
NEVER_MADE = ("query_global", "key_global", "value_global")


def differentiate(model, inputs, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyledWarning)  # of global marks on padding, which some cases have on purpose
        return model.loss_and_gradients(**inputs, **more)


def smoothing(name):
    return golden.GRADIENTS["cases"][name]["label_smoothing"]


def is_of_source(stage):
    """Whether a stage has a row for each token of the source; those of all documents lie one behind the other."""
    return stage.startswith("encoder.") or stage.endswith(("encoder_attn.k_proj", "encoder_attn.v_proj"))


def in_batch(case, name, array):
    """The gradient of a stage as the reference has it, (B, S, E) or (B, T, E): 0 where pyled does not run."""
    truth = case.truth[name]
    if not is_of_source(name):
        whole = np.zeros(truth.shape, array.dtype)
        whole[:, : array.shape[1]] = array  # without the tokens behind the last label
        return whole if array.ndim == 3 else array
    whole, first = np.zeros(truth.shape, array.dtype), 0
    for row, length in zip(whole, run_lengths(case), strict=True):
        row[:length] = array[first : first + length].reshape(length, -1)
        first += length
    assert first == len(array)
    return whole


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_gradients_are_the_references(name, dtype):
    case = golden.load_gradients(name)
    model, stages = make(case, dtype), Stages()
    loss, gradients = differentiate(model, case.inputs, label_smoothing=smoothing(name), see=stages)
    assert_within("loss", loss, case.truth["out.loss"], case.float32_error["out.loss"], dtype)
    is_stage = {stage: stage not in gradients and stage != "out.loss" for stage in case.truth}
    # Stages first, from the last to the first: so the first that is wrong on the way back is named.
    for stage in sorted(case.truth, key=[*stages, *case.truth].index):
        if is_stage[stage] and not stage.endswith(NEVER_MADE):
            got = in_batch(case, stage, stages[stage])
            assert_within(stage, got, case.truth[stage], case.float32_error[stage], dtype)
    for parameter, truth in case.truth.items():
        if not is_stage[parameter] and parameter != "out.loss":
            assert_within(parameter, gradients[parameter], truth, case.float32_error[parameter], dtype)


@pytest.mark.parametrize("name", CASES)
def test_what_no_path_reaches_has_no_gradient_or_exact_zeros(name):
    case = golden.load_gradients(name)
    model, stages = make(case, "float32"), Stages()
    _, gradients = differentiate(model, case.inputs, label_smoothing=smoothing(name), see=stages)
    parameters = set(model.state_dict()) - {"final_logits_bias"}
    assert set(gradients) == parameters - set(golden.GRADIENTS["cases"][name]["absent"])
    assert all(gradients[weight].shape == model.state_dict()[weight].shape for weight in gradients)
    if case.config.tie_word_embeddings:
        assert len({id(gradients[weight]) for weight in TIED if weight in gradients}) == 1
    else:
        assert len({id(array) for array in gradients.values()}) == len(gradients)
        table, is_real = gradients["led.encoder.embed_tokens.weight"], case.inputs["attention_mask"] > 0
        is_looked_up = np.isin(np.arange(len(table)), case.inputs["input_ids"][is_real])
        is_looked_up[case.config.pad_token_id] = False
        assert not table[~is_looked_up].any() and table[is_looked_up].any(axis=1).all()
    lengths = run_lengths(case)
    assert not gradients["led.encoder.embed_positions.weight"][max(lengths) :].any()
    mask = case.inputs.get("attention_mask", np.ones(case.source_shape, np.int64)) > 0
    marks = case.inputs.get("global_attention_mask", np.zeros(case.source_shape, np.int64)) > 0
    is_run = np.arange(case.source_shape[1]) < np.array(lengths)[:, None]
    is_padding = (~mask & mask.any(axis=1, keepdims=True))[is_run]  # the decoder sees a document that is wholly masked
    for stage, gradient in stages.items():
        if is_of_source(stage):
            assert not gradient[is_padding].any(), stage
        if stage.endswith(".query"):
            assert not gradient[(mask & marks)[is_run]].any(), stage


@pytest.mark.parametrize("name", ["layers-2-1", "untied"])
def test_weights_that_are_not_trained_have_no_gradient_and_change_no_other(name):
    case = golden.load_gradients(name)
    model = make(case, "float64")
    loss, gradients = differentiate(model, case.inputs)
    for pick in (".decoder.", "lm_head", "encoder.layers.0", "final_layer_norm", "fc2.bias", "_global", "nothing"):
        part_loss, part = differentiate(model, case.inputs, trained=lambda weight, pick=pick: pick in weight)
        assert_within("loss", part_loss, np.asarray(loss), 0.0)
        assert set(part) == {weight for weight in gradients if pick in weight}
        for weight in set(part) - (set(TIED) if case.config.tie_word_embeddings else set()):
            assert_within(weight, part[weight], gradients[weight], 0.0)


def definition_loss(weights, case):
    """The loss of a case with one document by the definition."""
    inputs = {name: array[0] for name, array in case.inputs.items()}
    is_global = inputs["global_attention_mask"] > 0
    weights = {name.removeprefix("led."): array for name, array in weights.items()}
    logits = reference.forward(
        inputs["input_ids"], inputs["decoder_input_ids"], np.ones_like(is_global), is_global, weights, case.config
    )
    return reference.loss(logits, inputs["labels"])


@pytest.mark.parametrize("name", ["layers-2-1", "layers-1-2"])
def test_gradients_are_central_differences_of_the_definition(name):
    """In a random direction of all weights, and in that of each weight's own gradient; tied weights move together.

    The row of the padding id in the tables that are looked up does not move: torch's `padding_idx` keeps it.
    """
    case, step = golden.load_gradients(name), 6e-6
    assert case.config.pad_token_id in case.inputs["input_ids"]
    weights, rng = case.weights(), np.random.default_rng(5)
    _, gradients = differentiate(make(case, "float64"), case.inputs)
    gradients = {weight: array for weight, array in gradients.items() if weight not in TIED[1:]}
    directions = [{weight: rng.standard_normal(array.shape) for weight, array in gradients.items()}]
    directions += [{weight: array / max(1e-9, np.abs(array).max())} for weight, array in gradients.items()]
    for direction in directions:
        moves = {weight: direction.get(TIED[0] if weight in TIED else weight, 0) for weight in weights}
        for weight in TIED[1:3]:
            moves[weight] = moves[weight] * (np.arange(len(weights[weight])) != case.config.pad_token_id)[:, None]
        ahead, behind = (
            definition_loss({weight: array + sign * step * moves[weight] for weight, array in weights.items()}, case)
            for sign in (1, -1)
        )
        expected = sum(float((gradients[weight] * moved).sum()) for weight, moved in direction.items())
        slope = (ahead - behind) / (2 * step)
        assert abs(slope - expected) <= 1e-7 * max(1, abs(expected)), (min(direction), slope, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_ten_steps_of_adamw_have_the_losses_of_torchs(dtype):
    case, said = golden.load_gradients("steps"), golden.GRADIENTS["cases"]["steps"]
    model = make(case, dtype)
    optimizer = AdamW(model, **{name: said[name] for name in ("lr", "betas", "eps", "weight_decay")})
    part = schedule("linear", said["warmup"], said["steps"])
    losses, norms, rates = [], [], []
    for step in range(said["steps"]):
        prefix = f"{step % 2}."
        inputs = {n.removeprefix(prefix): array for n, array in case.inputs.items() if n.startswith(prefix)}
        loss, gradients = differentiate(model, inputs)
        norms.append(clip_by_norm(gradients, said["max_norm"]))
        optimizer.lr = said["lr"] * part(step)
        optimizer.step(gradients)
        rates.append(optimizer.lr)
        losses.append(loss)
    for name, got in (("out.losses", losses), ("out.norms", norms), ("out.rates", rates)):
        got = np.array(got, dtype) if name != "out.rates" else np.array(got)
        assert_within(name, got, case.truth[name], case.float32_error[name])
    if dtype == "float64":  # in float32 a gradient that is only rounding decides where a weight without effect goes
        for name, array in model.state_dict().items():
            if name in case.truth:
                assert_within(name, array, case.truth[name], 0.0)


def test_the_other_schedule_is_the_references():
    case, said = golden.load_gradients("steps"), golden.GRADIENTS["cases"]["steps"]
    part = schedule("cosine", said["warmup"], said["steps"])
    rates = np.array([said["lr"] * part(step) for step in range(said["steps"])])
    assert_within("rates", rates, case.truth["out.cosine_rates"], 0.0)


def test_two_documents_are_learned_by_heart():
    config = LEDConfig(
        vocab_size=30, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, attention_window=4,
        decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_encoder_position_embeddings=16,
        max_decoder_position_embeddings=12, dropout=0.0, init_std=0.2,
    )  # fmt: skip
    model, rng = LEDForConditionalGeneration(config, seed=1), np.random.default_rng(1)
    source = rng.integers(4, 30, (2, 12))
    inputs = {"input_ids": source, "global_attention_mask": (np.arange(12) == 0) * np.ones((2, 1), np.int64)}
    labels = np.concatenate([rng.integers(4, 30, (2, 6)), [[2], [2]]], axis=1)
    optimizer = AdamW(model, lr=0.02, weight_decay=0.0)
    for _ in range(150):
        loss, gradients = model.loss_and_gradients(**inputs, labels=labels)
        if loss < 0.01:
            break
        clip_by_norm(gradients, 1.0)
        optimizer.step(gradients)
    assert loss < 0.01
    answers = model.generate(**inputs, max_length=9, num_beams=1)
    assert answers[:, 1:8].tolist() == labels.tolist()
