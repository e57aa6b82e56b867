"""pyled/reference.py is LED: every stage of every case equals what transformers 5.23.0 computes in float64."""

import functools
from dataclasses import dataclass

import numpy as np
import pytest
from budget import assert_within

import golden
from pyled import reference

CASES = [name for name in golden.names() if name not in golden.names("masked-")]  # the definition has no head masks
FLOAT32_CASES = ["length-tall-17-global", "pattern-uneven", "windows-far", "decoder-mask", "untied", "activation-silu"]


@dataclass
class Document:
    """What one document of a batch means, in plain words."""

    is_real: np.ndarray
    is_global: np.ndarray
    flagged: np.ndarray  # as the caller said it, on padding too
    seen_by_decoder: np.ndarray


def documents(case):
    """Upstream multiplies: mask * (flag + 1) is 0, 1, 2 for padding, local, global; the decoder has the mask alone."""
    mask = case.inputs.get("attention_mask", np.ones(case.source_shape, np.int64))
    flags = case.inputs.get("global_attention_mask", np.zeros(case.source_shape, np.int64))
    merged = mask * (flags + 1)
    return [Document(m > 0, m > 1, f > 0, real > 0) for m, f, real in zip(merged, flags, mask, strict=True)]


def target_ids(case, b):
    if "decoder_input_ids" in case.inputs:
        return case.inputs["decoder_input_ids"][b]
    has_targets = "labels" in case.inputs and case.architecture == "LEDForConditionalGeneration"
    wanted = case.inputs["labels" if has_targets else "input_ids"][b]
    return reference.shift_right(wanted, case.config.decoder_start_token_id, case.config.pad_token_id)


def run(case, b, dtype):
    """The definition on document b: its stages by name, and the logits."""
    weights = {name.removeprefix("led."): array for name, array in case.weights(dtype).items()}
    config, inputs, document = case.config, case.inputs, documents(case)[b]
    seen = {}

    def see(name, array):
        assert name not in seen, f"{name} is reported twice"
        seen[name] = array.copy()

    if "encoder_outputs" in inputs:
        states = inputs["encoder_outputs"][b].astype(dtype)
    else:
        embeds = inputs.get("inputs_embeds")
        source = weights["encoder.embed_tokens.weight"][inputs["input_ids"][b]] if embeds is None else embeds[b]
        states = reference.encoder(source.astype(dtype), document.is_real, document.flagged, weights, config, see)
    embeds = inputs.get("decoder_inputs_embeds")
    target = weights["decoder.embed_tokens.weight"][target_ids(case, b)] if embeds is None else embeds[b]
    mask = inputs.get("decoder_attention_mask")
    first_call = case.calls[0] if case.calls and mask is not None else len(target)
    hidden = reference.decoder(
        target[:first_call].astype(dtype),
        None if mask is None else mask[b, :first_call] > 0,
        states,
        document.seen_by_decoder,
        weights,
        config,
        see,
    )
    heads = {
        "LEDForConditionalGeneration": reference.lm_logits,
        "LEDForQuestionAnswering": reference.qa_logits,
        "LEDForSequenceClassification": functools.partial(reference.classification_logits, end=last_end(case, b)),
    }
    heads[case.architecture](hidden, weights, see)
    return seen


def last_end(case, b):
    ends = np.flatnonzero(case.inputs.get("input_ids", [()] * (b + 1))[b] == case.config.eos_token_id)
    return ends[-1] if len(ends) else None


def stages(case):
    """The names of the truth that the definition reports too."""
    return [name for name in case.truth if not name.startswith(("out.", "call.", "cache."))]


def assert_stages(case, dtype):
    for b, document in enumerate(documents(case)):
        seen = run(case, b, dtype)
        for name in stages(case):
            truth = case.truth[name][b]
            if name.startswith("encoder.") and "encoder_outputs" in case.inputs:
                raise AssertionError("no encoder ran")
            if name.endswith("query_global"):
                truth = truth[: document.is_global.sum()]
            assert_within(f"{case.name}[{b}] {name}", seen[name], truth, case.float32_error[name], dtype)


@pytest.mark.parametrize("name", CASES)
def test_every_stage_in_float64(name):
    assert_stages(golden.load(name), np.float64)


@pytest.mark.parametrize("name", FLOAT32_CASES)
def test_every_stage_in_float32(name):
    assert_stages(golden.load(name), np.float32)


# Stages without a golden: each follows from one that has one, or leads to one, by a single formula.
DERIVED = (".embed_tokens", ".embed_positions", ".scores", ".activation_fn", ".q_proj", ".context", "lm_head", "tokens")


def test_every_other_stage_of_the_definition_has_a_golden():
    def others(name, b):
        return {stage for stage in run(golden.load(name), b, np.float64) if not stage.endswith(DERIVED)}

    for name in ("untied", "embeds"):
        assert set(stages(golden.load(name))) == others(name, 1)
    tall = golden.load("decoder-tall").truth
    assert {stage for stage in others("decoder-tall", 0) if stage.startswith("decoder.")} <= set(tall)


@pytest.mark.parametrize("name", ["untied", "pattern-uneven", "decoder-no-key", "activation-relu"])
def test_a_stage_without_a_golden_follows_from_others_by_one_formula(name):
    case = golden.load(name)
    weights = {name.removeprefix("led."): array for name, array in case.weights(np.float64).items()}
    for b in range(case.source_shape[0]):
        seen = run(case, b, np.float64)
        assert (seen["tokens"] == np.argmax(case.truth["logits"][b], axis=1)).all()
        expected = {"lm_head": case.truth["logits"][b] - weights["final_logits_bias"][0]}
        for side, ids in (("encoder", case.inputs["input_ids"][b]), ("decoder", target_ids(case, b))):
            expected[f"{side}.embed_tokens"] = weights[f"{side}.embed_tokens.weight"][ids]
            expected[f"{side}.embed_positions"] = weights[f"{side}.embed_positions.weight"][: len(ids)]
        for stage, truth in expected.items():
            assert_within(f"{name}[{b}] {stage}", seen[stage], truth, 0.0)
        for stage, following in ((".activation_fn", ".fc2"), (".context", ".out_proj")):
            for module in [n.removesuffix(stage) for n in seen if n.endswith(stage)]:
                output = seen[module + stage] @ weights[f"{module}{following}.weight"].T
                output += weights[f"{module}{following}.bias"]
                assert_within(f"{name}[{b}] {module}{stage}", output, seen[module + following], 0.0)


@pytest.mark.parametrize("name", ["untied", "pattern-uneven", "pattern-holes", "decoder-no-key", "decoder-mask"])
def test_scores_are_those_of_the_queries_and_keys_of_a_pair_and_infinite_where_it_has_no_probability(name):
    case = golden.load(name)
    for b, document in enumerate(documents(case)):
        seen = run(case, b, np.float64)
        for module in [stage.removesuffix(".scores") for stage in seen if stage.endswith(".scores")]:
            scores, is_seen = seen[f"{module}.scores"], seen[f"{module}.probs"] > 0
            H, Q, _ = scores.shape

            def product(q, k, module=module, seen=seen, H=H):
                q, k = (seen[f"{module}.{part}"].reshape(-1, H, case.config.d_model // H) for part in (q, k))
                return np.einsum("ihd,jhd->hij", q, k) / np.sqrt(case.config.d_model // H)

            if module.startswith("encoder"):
                inner, flags = "longformer_self_attn", document.is_global
                exact = product(f"{inner}.query", f"{inner}.key")
                if flags.any():
                    exact[:, flags] = product(f"{inner}.query_global", f"{inner}.key_global")
            else:
                exact = product("q_proj", "k_proj")
                mask = case.inputs.get("decoder_attention_mask")
                if mask is not None and module.endswith("self_attn"):
                    exact[:, np.cumsum(mask[b, :Q]) == 0] = 0  # no key: all alike
            assert (np.isneginf(scores) == ~is_seen).all()
            assert_within(f"{name}[{b}] {module}", np.where(is_seen, scores, 0), np.where(is_seen, exact, 0), 0.0)


def upstream_layout(probs, is_global, G, w):
    """Dense probabilities (H, S, S) of one document in upstream's two layouts.

    returns: (H, S, G + 2w + 1), where column g < G is the g-th global token and column G + c the neighbour c - w away,
    for tokens that are not global; and (H, S, G), the rows of the global tokens.
    """
    H, S, _ = probs.shape
    band, rows = np.zeros((H, S, G + 2 * w + 1)), np.zeros((H, S, G))
    for g, position in enumerate(np.flatnonzero(is_global)):
        rows[:, :, g] = probs[:, position]
        band[:, ~is_global, g] = probs[:, ~is_global, position]
    for i in np.flatnonzero(~is_global):
        for j in np.flatnonzero(~is_global):
            if abs(i - j) <= w:
                band[:, i, G + j - i + w] = probs[:, i, j]
    return band, rows


@pytest.mark.parametrize("name", [n for n in CASES if "out.encoder_attentions.0" in golden.load(n).truth])
def test_attentions_in_the_layout_of_upstream(name):
    case = golden.load(name)
    flags = [document.is_global for document in documents(case)]
    G = max(int(f.sum()) for f in flags)
    assert ("encoder_global_attentions" in case.fields) == (G > 0)
    for b, is_global in enumerate(flags):
        seen = run(case, b, np.float64)
        for i in range(case.config.encoder_layers):
            probs = seen[f"encoder.layers.{i}.self_attn.probs"]
            band, rows = upstream_layout(probs, is_global, G, case.config.one_sided_window(i))
            assert_within(f"{name}[{b}] attentions {i}", band, case.truth[f"out.encoder_attentions.{i}"][b], 0.0)
            if G:
                assert_within(f"{name}[{b}] rows {i}", rows, case.truth[f"out.encoder_global_attentions.{i}"][b], 0.0)


@pytest.mark.parametrize("name", golden.names("labels"))
def test_loss(name):
    case = golden.load(name)
    logits = np.stack([run(case, b, np.float64)["logits"] for b in range(case.source_shape[0])])
    loss = reference.loss(logits, case.inputs["labels"])
    if name == "labels-ignored":
        assert np.isnan(loss) and np.isnan(case.truth["out.loss"])
    else:
        assert_within(f"{name} loss", np.float64(loss), case.truth["out.loss"], 0.0)


@pytest.mark.parametrize(
    "name", [name for name in golden.names("qa", "classification") if "loss" in golden.load(name).public()]
)
def test_losses_of_the_other_heads(name):
    """Where the configuration states no problem_type, the type of the labels does, as in 4.57.6."""
    case = golden.load(name)
    inputs, public = case.inputs, case.public()
    if "labels" not in inputs:
        starts, ends = inputs["start_positions"].reshape(-1), inputs["end_positions"].reshape(-1)
        loss = reference.span_loss(public["start_logits"], public["end_logits"], starts, ends)
    elif inputs["labels"].dtype.kind == "i":
        loss = reference.loss(public["logits"], inputs["labels"].reshape(-1))
    elif "regression" in name:
        loss = reference.squared_error(public["logits"], inputs["labels"].reshape(public["logits"].shape))
    else:
        loss = reference.binary_cross_entropy(public["logits"], inputs["labels"])
    if np.isnan(public["loss"]):
        assert name.endswith("-ignored") and np.isnan(loss)
    else:
        assert_within(f"{name} loss", np.float64(loss), public["loss"], 0.0)


@pytest.mark.parametrize("name", golden.names("cache-"))
def test_calls_that_share_a_cache_compute_the_same(name):
    """With a mask only the first call: a later row depends on which calls came before, which the definition has not."""
    case = golden.load(name)
    masked = "decoder_attention_mask" in case.inputs
    counted = range(1 if masked else len(case.calls))
    for b in range(case.source_shape[0]):
        seen = run(case, b, np.float64)
        logits = np.concatenate([case.truth[f"call.{n}.logits"][b] for n in counted])
        assert_within(f"{name}[{b}] logits", seen["logits"], logits, 0.0)
        start = 0
        for n in counted:
            stop = start + case.calls[n]
            for i in range(case.config.decoder_layers):
                probs = seen[f"decoder.layers.{i}.self_attn.probs"][:, start:stop, :stop]
                truth = case.truth[f"call.{n}.decoder.layers.{i}.self_attn.probs"][b]
                assert_within(f"{name}[{b}] call {n} layer {i}", probs, truth, 0.0)
            start = stop
        for i in range(case.config.decoder_layers):
            for kind, attention in (("self", "self_attn"), ("cross", "encoder_attn")):
                for part in ("key", "value"):
                    flat = seen[f"decoder.layers.{i}.{attention}.{part[0]}_proj"]  # (P, E)
                    heads = flat.reshape(len(flat), case.config.decoder_attention_heads, -1).swapaxes(0, 1)
                    truth = case.truth[f"cache.{i}.{kind}_{part}"][b][:, : len(flat)]
                    assert_within(f"{name}[{b}] cache.{i}.{kind}_{part}", heads, truth, 0.0)
