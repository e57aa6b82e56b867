"""Traces: both engines give the same stages, every stage is announced as it is, and files hold what memory does."""

import numpy as np
import pytest
from budget import assert_within
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from test_stages import small_model as lm_model

from pyled import reference
from pyled.errors import InputError
from pyled.models import LEDForQuestionAnswering, LEDForSequenceClassification, LEDModel
from pyled.porting import stages as graph
from pyled.porting.dumps import read
from pyled.porting.tracing import error, trace, write_trace

EXAMPLE = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
pytestmark = pytest.mark.filterwarnings("ignore:.*global marks stand on padding")
CLASSES = {"LEDModel": LEDModel, "qa": LEDForQuestionAnswering, "classification": LEDForSequenceClassification}


def small_model(seed, kind="gelu", head="lm"):
    model = lm_model(seed, kind)
    if head == "lm":
        return model
    other = CLASSES[head](model.config, seed, dtype="float64")
    rng = np.random.default_rng(seed)
    other.load_state_dict({
        name: array + rng.normal(0, 0.3, array.shape) if array.ndim == 1 else array
        for name, array in other.state_dict().items()
    })  # fmt: skip
    return other


def some_inputs(seed, head="lm", B=2, S=19, T=5, marks=0.2, is_holed=True):
    """A call of several documents; the second has a mask with holes, the first one that is a prefix."""
    rng = np.random.default_rng(seed)
    ids = np.where(rng.random((B, S)) < 0.1, 1, rng.integers(3, 31, (B, S)))
    mask = np.where(np.arange(S) < [[max(1, S - 3)]], 1, 0).repeat(B, axis=0)
    mask[1:] = rng.random((B - 1, S)) < (0.7 if is_holed else 2)
    inputs = {"input_ids": ids, "attention_mask": mask}
    if marks is not None:
        inputs["global_attention_mask"] = np.where(rng.random((B, S)) < marks, 1, rng.integers(-1, 1, (B, S)))
    if head in ("lm", "LEDModel"):
        inputs["decoder_input_ids"] = rng.integers(3, 31, (B, T))
        inputs["decoder_attention_mask"] = (rng.random((B, T)) < 0.7).astype(int)
    if head == "lm":
        inputs["labels"] = np.where(rng.random((B, T)) < 0.2, -100, rng.integers(3, 31, (B, T)))
        inputs["labels"][0, 0] = 5
    elif head == "qa":
        inputs |= {"start_positions": rng.integers(0, S, B), "end_positions": rng.integers(0, S, B)}
    elif head == "classification":
        ids[ids == 2] = 3
        ids[np.arange(B), rng.integers(0, S, B)] = 2
        inputs["labels"] = rng.integers(0, 2, B)
    return inputs


def assert_same(name, got, truth):
    assert got.shape == truth.shape and got.dtype == truth.dtype, name
    if truth.dtype == np.int64:
        assert (got == truth).all(), name
        return
    assert np.array_equal(np.isneginf(got), np.isneginf(truth)), name
    assert_within(name, *(np.where(np.isneginf(x), 0, x) for x in (got, truth)), 0.0)


@EXAMPLE
@given(
    head=st.sampled_from(["lm", "lm", "LEDModel", "qa", "classification"]), B=st.integers(1, 3), S=st.integers(1, 24),
    T=st.sampled_from([1, 4, 18]), kind=st.sampled_from(["gelu", "relu", "silu"]),
    marks=st.sampled_from([None, 0, 0.2, 0.9]), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_both_engines_give_the_same_stages_as_announced(head, B, S, T, kind, marks, seed):
    """Padding included: the fast engine computes it here, too."""
    model, inputs = small_model(seed, kind, head), some_inputs(seed, head, B, S, T, marks)
    truth, fast = trace(model, inputs, "definition"), trace(model, inputs, "fast")
    assert [*fast] == [*truth]
    announced = graph.stages_of(model.config, {name[3:]: truth[name] for name in truth if name[:3] == "in."},
                                head=model.head)  # fmt: skip
    assert [(stage.name, stage.shape, stage.dtype) for stage in announced] == [
        (name, array.shape, str(array.dtype)) for name, array in truth.items()
    ]
    for name in truth:
        assert_same(name, fast[name], truth[name])


def test_the_stages_of_the_definition_are_all_there_and_no_others():
    model, inputs = small_model(1), some_inputs(1, B=1)
    seen = {}
    reference.forward(
        inputs["input_ids"][0], inputs["decoder_input_ids"][0], inputs["attention_mask"][0] > 0,
        np.arange(19) == 0, model.weights, model.config, seen.__setitem__,
    )  # fmt: skip
    names = [stage.name for stage in graph.stages_of(model.config, inputs) if stage.name[:3] != "in."]
    assert names == [*seen, "loss"]
    without = inputs | {"global_attention_mask": 0 * inputs["input_ids"]}
    del without["labels"]
    fewer = {stage.name for stage in graph.stages_of(model.config, without)}
    assert {name for name in names if name not in fewer} == {name for name in names if "_global" in name} | {"loss"}


def test_each_stage_depends_on_its_inputs_and_on_nothing_else():
    """The graph is that of the definition: a change in a module's weight moves what lies behind it, and only that."""
    model, inputs = small_model(3), some_inputs(3)
    before = trace(model, inputs, "definition")
    all_stages = graph.stages_of(model.config, {n[3:]: a for n, a in before.items() if n[:3] == "in."})
    places = {stage.name: i for i, stage in enumerate(all_stages)}
    for stage in all_stages:
        assert all(places[one] < places[stage.name] for one in stage.inputs), stage
    for module in ("encoder.layers.1.self_attn.longformer_self_attn.key_global", "encoder.layers.0.fc1",
                   "decoder.layers.0.encoder_attn.v_proj", "decoder.layers.1.self_attn.q_proj",
                   "encoder.layers.1.self_attn.longformer_self_attn.value", "decoder.layernorm_embedding"):  # fmt: skip
        weights = model.state_dict()
        weights[f"led.{module}.weight"] = weights[f"led.{module}.weight"] * 1.5
        other = small_model(3)
        other.load_state_dict(weights)
        after, behind = trace(other, inputs, "definition"), {module}
        for stage in all_stages:
            if behind & {*stage.inputs}:
                behind.add(stage.name)
        moved = {name for name in before if not np.array_equal(before[name], after[name])}
        assert moved == behind - ({"tokens"} - moved), module


@pytest.mark.parametrize("name", ["trace.npz", "trace.safetensors"])
@pytest.mark.parametrize("engine", ["fast", "definition"])
def test_a_file_holds_the_trace_and_says_of_what(name, engine, tmp_path):
    model, inputs = small_model(2), some_inputs(2)
    model.save_pretrained(tmp_path / "model")
    started = []
    write_trace(tmp_path / "model", inputs, tmp_path / name, engine, started=started.append)
    truth, dump = trace(model, inputs, engine), read(tmp_path / name)
    assert {*dump} == {*truth}
    for stage, array in truth.items():
        assert np.array_equal(dump[stage], array), stage
    size = (tmp_path / name).stat().st_size
    assert started[0].size <= size <= started[0].size + 1000 * len(truth)
    about, rough = dump.about, trace(model, inputs, engine, "float32")
    assert about["format"] == "pyled trace 1" and about["engine"] == engine and about["dtype"] == "float64"
    assert about["checkpoint"] == str(tmp_path / "model") and about["config"]["d_model"] == 12
    assert about["config"]["architectures"] == ["LEDForConditionalGeneration"]
    floats = {stage for stage, array in truth.items() if array.dtype == np.float64}
    assert {*about["float32_error"]} == floats
    for stage in floats:
        is_finite = np.isfinite(truth[stage])
        exact, got = truth[stage][is_finite], rough[stage][is_finite]
        expected = np.abs(got - exact).max(initial=0) / max(1, np.abs(exact).max(initial=0))
        assert about["float32_error"][stage] >= expected * (1 - 1e-12), stage  # the largest of several passes
        assert about["float32_error"][stage] < 1e-5
    write_trace(model, inputs, tmp_path / name, engine)
    assert read(tmp_path / name).about["weights"] == about["weights"]
    write_trace(small_model(4), inputs, tmp_path / name, engine)
    assert read(tmp_path / name).about["weights"] != about["weights"]


@pytest.mark.parametrize("head", ["lm", "qa", "classification"])
def test_gradients_are_those_of_the_model_in_the_shapes_of_the_stages(head):
    model, inputs = small_model(5, head=head), some_inputs(5, head)
    result = trace(model, inputs, gradients=True)
    loss, gradients = model.loss_and_gradients(**inputs)
    assert np.isclose(result["loss"], loss, rtol=1e-12)
    of_weights = {name[5:]: array for name, array in result.items() if name[5:] in gradients}
    assert {id(gradients[name]) for name in gradients} == {id(gradients[name]) for name in of_weights}
    assert all(np.array_equal(array, gradients[name]) for name, array in of_weights.items())
    of_stages = {name[5:]: array for name, array in result.items() if name[:5] == "grad." and name[5:] in result}
    assert {"encoder.embed_tokens", "decoder.embed_tokens", "encoder.layers.1.fc1"} <= {*of_stages}
    for stage, gradient in of_stages.items():
        assert gradient.shape == result[stage].shape
    table = gradients["led.encoder.embed_positions.weight"]
    assert_within("positions", of_stages["encoder.embed_tokens"].sum(axis=0), table[: gradient_rows(inputs)], 0.0)
    rough = trace(model, inputs, dtype="float32", gradients=True)
    assert rough["grad.encoder.embed_tokens"].dtype == np.float32


def gradient_rows(inputs):
    return inputs["input_ids"].shape[1]


def test_a_pattern_picks_stages_and_inputs_are_always_there():
    model, inputs = small_model(1), some_inputs(1)
    picked = trace(model, inputs, stages="encoder.layers.0.fc?, logits")
    assert [*picked] == [*(f"in.{name}" for name in inputs), "encoder.layers.0.fc1", "encoder.layers.0.fc2", "logits"]
    with pytest.raises(InputError, match=r"stages='encoder.layer.0.fc1' matches no stage .*: encoder.layers.0.fc1 is"):
        trace(model, inputs, stages="logits,encoder.layer.0.fc1")


def test_scores_of_too_many_pairs_are_left_out_unless_they_are_asked_for(monkeypatch):
    monkeypatch.setattr(graph, "PAIRS", 100)
    model, inputs = small_model(1), some_inputs(1)
    plain = trace(model, inputs)
    assert not [name for name in plain if name.startswith("encoder") and name.endswith(("scores", "probs"))]
    assert "decoder.layers.0.encoder_attn.probs" in plain  # 5 x 19 pairs
    assert "encoder.layers.0.self_attn.scores" in trace(model, inputs, stages="encoder.*.scores")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"input_ids": np.full((2, 19), 31)}, "input_ids holds 31: this model's ids go from 0 to 30"),
        ({"input_ids": None}, "no input_ids"),
        ({"input_ids": np.full((2, 41), 3), "attention_mask": None, "global_attention_mask": None}, "41 tokens"),
        ({"attention_mask": np.ones((2, 3))}, "attention_mask has shape"),
        ({"head_mask": np.ones((2, 2))}, "inputs has 'head_mask'"),
        ({"labels": np.ones((2, 7), int)}, "labels"),
    ],
)
def test_a_wrong_input_is_refused(change, said):
    with pytest.raises(InputError, match=said):
        trace(small_model(1), some_inputs(1) | change)


def test_what_cannot_be_traced_is_refused(tmp_path):
    model, inputs = small_model(1), some_inputs(1)
    with pytest.raises(InputError, match="has no backward pass: pass engine='fast'"):
        trace(model, inputs, "definition", gradients=True)
    with pytest.raises(InputError, match="no labels"):
        trace(model, {"input_ids": inputs["input_ids"]}, gradients=True)
    with pytest.raises(InputError, match="has no loss"):
        trace(small_model(1, head="LEDModel"), some_inputs(1, "LEDModel"), gradients=True)
    with pytest.raises(InputError, match="model is a dict"):
        trace({}, inputs)
    with pytest.raises(InputError, match="to trace it, load it without weights="):
        model.save_pretrained(tmp_path)
        trace(type(model).from_pretrained(tmp_path, weights="int8"), inputs)


def test_errors_of_numbers_that_are_not_there():
    assert error(np.zeros(0), np.zeros(0)) == 0
    assert error(np.array([1.5, 0, 3]), np.array([1.0, -np.inf, 4])) == 0.25
