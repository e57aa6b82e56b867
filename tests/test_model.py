"""The models against the reference's stored answers: every output field of every case, in float64 and float32."""

import warnings

import numpy as np
import pytest
from budget import assert_within

import golden
from pyled import models
from pyled.errors import PyledWarning
from pyled.models import LEDModel
from pyled.models.outputs import LEDEncoderBaseModelOutput
from pyled.network.losses import cross_entropy

DTYPES = ["float64", "float32"]
SINGLE_CALLS = [name for name in golden.names() if not golden.MANIFEST["cases"][name].get("calls")]
STATES = ["untied", "decoder-mask", "decoder-tall"]  # cases that store the decoder's states


def make(case, dtype, kind=None):
    kind = kind or getattr(models, case.architecture)
    model = kind(case.config, dtype=dtype)
    tensors = case.weights(np.dtype(dtype))
    if kind is LEDModel:
        heads = ("lm_head.weight", "final_logits_bias")
        tensors = {name.removeprefix("led."): array for name, array in tensors.items() if name not in heads}
    model.load_state_dict(tensors)
    return model


def arguments(case):
    given = dict(case.inputs)
    if "encoder_outputs" in given:
        given["encoder_outputs"] = LEDEncoderBaseModelOutput(last_hidden_state=given["encoder_outputs"])
    return given


def call(model, given, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyledWarning)  # of global marks on padding, which some cases have on purpose
        return model(**given, **more)


def run_lengths(case):
    """How far each document's rows are defined: pyled leaves 0 behind the last real token of a prefix mask."""
    mask = case.inputs.get("attention_mask")
    B, S = case.source_shape
    if mask is None:
        return [S] * B
    return [int(row.sum()) if row.sum() and row[: row.sum()].all() else S for row in mask]


def error_of(case, stage):
    return case.float32_error[stage]


def assert_states(name, got, truth, error, lengths):
    for b, length in enumerate(lengths):
        assert_within(f"{name}[{b}]", got[b, :length], truth[b, :length], error)
        assert not got[b, length:].any(), f"{name}[{b}]: not 0 behind the document"


def layer_stages(config, field):
    """The stage names of a per-layer output field."""
    encoder, decoder = range(config.encoder_layers), range(config.decoder_layers)
    return {
        "encoder_hidden_states": ["encoder.layernorm_embedding"]
        + [f"encoder.layers.{i}.final_layer_norm" for i in encoder],
        "decoder_hidden_states": ["decoder.layernorm_embedding"]
        + [f"decoder.layers.{i}.final_layer_norm" for i in decoder],
        "encoder_attentions": [f"out.encoder_attentions.{i}" for i in encoder],
        "encoder_global_attentions": [f"out.encoder_global_attentions.{i}" for i in encoder],
        "decoder_attentions": [f"decoder.layers.{i}.self_attn.probs" for i in decoder],
        "cross_attentions": [f"decoder.layers.{i}.encoder_attn.probs" for i in decoder],
    }[field]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SINGLE_CALLS)
def test_every_output_field_is_the_references(name, dtype):
    case = golden.load(name)
    output = call(make(case, dtype), arguments(case), output_attentions=True, output_hidden_states=True)
    assert output.keys() == list(case.fields)
    for field, truth in case.public().items():
        if field == "loss":
            if np.isnan(truth):
                assert np.isnan(output.loss)
            else:
                assert_within("loss", output.loss, np.asarray(truth), error_of(case, "out.loss"))
        elif field.endswith("logits"):
            stage = next(
                name for name in ("logits", "qa_outputs", "classification_head.out_proj") if name in case.truth
            )
            assert_within(field, output[field], truth, error_of(case, stage))
        elif field == "encoder_last_hidden_state":
            stage = golden.norms_of_last_encoder_layer(case.config)
            assert_states(field, output[field], truth, error_of(case, stage), run_lengths(case))
        else:
            stages = layer_stages(case.config, field)
            assert len(output[field]) == len(truth) == len(stages)
            for got, expected, stage in zip(output[field], truth, stages, strict=True):
                if field == "encoder_hidden_states":
                    assert_states(stage, got, expected, error_of(case, stage), run_lengths(case))
                else:
                    assert_within(stage, got, expected, error_of(case, stage))


@pytest.mark.parametrize("name", STATES)
def test_the_base_model_gives_the_decoders_last_states(name):
    case = golden.load(name)
    output = call(make(case, "float64", LEDModel), arguments(case))
    stage = f"decoder.layers.{case.config.decoder_layers - 1}.final_layer_norm"
    assert_within(stage, output.last_hidden_state, case.truth[stage], error_of(case, stage))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", golden.names("cache-"))
def test_calls_that_share_a_cache(name, dtype):
    case = golden.load(name)
    model = make(case, dtype)
    H, layers = case.config.decoder_attention_heads, range(case.config.decoder_layers)
    past, done = None, 0
    given = {n: a for n, a in case.inputs.items() if not n.startswith("decoder_")}
    for n, count in enumerate(case.calls):
        given["decoder_input_ids"] = case.inputs["decoder_input_ids"][:, done : done + count]
        done += count
        if "decoder_attention_mask" in case.inputs:
            given["decoder_attention_mask"] = case.inputs["decoder_attention_mask"][:, :done]
        output = call(model, given, past_key_values=past, use_cache=True, output_attentions=True)
        assert past is None or past.get_seq_length() == done - count  # the past passed in has not changed
        past = output.past_key_values
        assert_within(
            f"call {n} logits", output.logits, case.truth[f"call.{n}.logits"], error_of(case, f"call.{n}.logits")
        )
        for i in layers:
            stage = f"call.{n}.decoder.layers.{i}.self_attn.probs"
            assert_within(stage, output.decoder_attentions[i], case.truth[stage], error_of(case, stage))
    assert len(past) == len(layers) and past.get_seq_length() == done
    for i in layers:
        parts = zip(("self_key", "self_value", "cross_key", "cross_value"), past[i], strict=True)
        for part, got in parts:
            truth = case.truth[f"cache.{i}.{part}"]
            for b, length in enumerate(run_lengths(case)):
                kept = slice(length) if part.startswith("cross") else slice(None)
                assert got.shape[:2] == (len(truth), H)
                assert_within(part, got[b][:, kept], truth[b][:, kept], error_of(case, f"cache.{i}.{part}"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["smoothing", "smoothing-untied"])
def test_smoothed_labels_have_the_loss_that_the_reference_computes_for_training(name, dtype):
    case = golden.load_gradients(name)
    smoothing, given = golden.GRADIENTS["cases"][name]["label_smoothing"], arguments(case)
    output = call(make(case, dtype), given)
    loss = cross_entropy(output.logits, given["labels"], smoothing)
    assert_within("loss", loss, case.truth["out.loss"], error_of(case, "out.loss"), np.dtype(dtype))
    assert abs(loss - output.loss) > 1e-3
