"""`pyled check` and its parts: names, layouts, measures, verdicts, and the first stage that is wrong."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from checkpoints import TINY
from hypothesis import given
from hypothesis import strategies as st

import golden
from pyled import LEDConfig, LEDForConditionalGeneration
from pyled.checkpoint.safetensors import read_safetensors, write_safetensors
from pyled.errors import CheckpointError, InputError
from pyled.porting import diagnosis
from pyled.porting.comparing import check, read_names, renamed
from pyled.porting.dumps import read
from pyled.porting.layouts import layouts
from pyled.porting.measures import Row, budget, common_type, measured
from pyled.porting.tracing import write_trace
from pyled.porting.truths import truth_for

DUMPS = Path(__file__).parent.parent / "golden" / "dumps"

RNG = np.random.default_rng(17)


def measure(x, t, *, name="encoder.layers.0.fc1", kind="float32", allowed=2e-6, out=False):
    """The row of numbers against the truth."""
    x, t = np.array(x, np.float64), np.array(t, np.float64)
    return measured(Row(name, budget=allowed), x, t, np.broadcast_to(out, x.shape), kind)[0]


def test_the_measures_are_those_that_one_computes_by_hand():
    row = measure([[1.0, 2.5, -4.0]], [[1.0, 2.0, -3.75]])
    assert (row.max_abs, row.worst, row.error, row.relative) == (0.5, (0, 1), 0.5 / 3.75, 0.5 / 3.75)
    assert row.nmse == pytest.approx((0.25 + 0.0625) / (1 + 4 + 3.75**2), rel=1e-12)
    assert row.ulp == 0.5 * 2**22  # float32 has 23 bits behind the first: a step at 2 is 2^-22
    assert [measure([2.5], [2.0], kind=kind).ulp for kind in ("float64", "float16", "bfloat16")] == [2**50, 2**8, 2**5]
    small = measure([0.25], [0.125])
    assert (small.error, small.relative, small.verdict) == (0.125, 1.0, "outside")  # not relative to what is below 1
    assert measure([0.0], [0.0]).relative is None and measure([0.0], [0.0]).verdict == "inside"


@pytest.mark.parametrize(
    "kind, error, allowed",
    [("float64", 1e-3, 1e-10), ("float32", 0.0, 2e-6), ("float32", 3e-6, 6e-6), ("float16", 0.0, 2e-6 * 2**13),
     ("bfloat16", 2e-6, 4e-6 * 2**16), (None, 1.0, 0.0)],
)  # fmt: skip
def test_the_budget_is_an_edge(kind, error, allowed):
    assert budget(kind, error) == allowed
    t = np.array([1.0, 0.5])
    for step, verdict in ((0.999, "inside"), (1.001, "outside")):
        step = step if allowed else step - 0.999  # integers are equal
        x = t + np.array([step * (allowed or 500), 0])
        assert measure(x, t, kind=kind, allowed=allowed).verdict == verdict


def test_minus_infinity_stands_at_the_same_places():
    scores = "encoder.layers.0.self_attn.scores"
    t = [[1.0, -np.inf, 2.0]]
    for low in (-np.inf, -1e9, -65504.0, -10000.5):
        assert measure([[1.0, low, 2.0]], t, name=scores).verdict == "inside"
    for row in ([1.0, -9999.0, 2.0], [-np.inf, -np.inf, 2.0], [1.0, -np.inf, np.inf], [1.0, -np.inf, np.nan]):
        assert measure([row], t, name=scores).verdict == "outside", row
    assert measure([[1.0, -20000.0, 2.0]], t).verdict == "outside"  # no score
    assert "1 numbers are -inf in the truth alone" in measure([[1.0, 0.0, 2.0]], t, name=scores).note


def test_a_number_that_is_none_is_outside_and_said():
    for odd in (np.nan, np.inf, -np.inf):
        row = measure([1.0, odd, 5.0], [1.0, 2.0, 3.0])
        assert (row.verdict, row.worst) == ("outside", (1,)) and "numbers are" in row.note
    assert measure([np.nan], [np.nan]).verdict == "inside"  # the loss of no labels
    assert measure([np.nan, 1.0], [2.0, 1.0], out=[True, False]).verdict == "inside"


def test_numbers_that_a_narrower_type_has_are_of_that_type():
    x = RNG.normal(size=500)
    halves = {"a": x.astype(np.float16).astype(np.float64), "b": np.zeros(9, np.float32)}
    assert common_type(halves, halves) == "float16"
    assert common_type({"a": x.astype(np.float16)}, ["a"]) is None  # it is stored as what it is
    brain = (x.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    assert common_type({"a": brain}, ["a"]) == "bfloat16"
    assert common_type({"a": x.astype(np.float32).astype(np.float64)}, ["a"]) == "float32"
    assert common_type({"a": x}, ["a"]) is common_type({"a": x.astype(np.float32)}, ["a"]) is None
    assert common_type({"a": halves["a"], "b": x}, ["a", "b"]) is None  # one array needs its type
    assert common_type({"b": np.zeros(5000)}, ["b"]) is None  # zeros are of any type


SIZES = {"B": 2, "S": 5, "T": 4, "E": 6, "H": 3, "D": 2, "F": 7, "G": 2, "V": 11}


@given(st.data())
def test_any_order_of_axes_is_recognized(data):
    axes = data.draw(st.sampled_from(["BSE", "BTE", "BSF", "BGE", "BTV", "BHSS", "BHTS", "BE"]))
    sizes = SIZES | {"B": data.draw(st.integers(1, 3)), "S": data.draw(st.integers(1, 6))}
    array = RNG.normal(size=[sizes[letter] for letter in axes])
    letters = [*axes]
    dumped = array
    if "E" in axes and data.draw(st.booleans()):
        letters[letters.index("E") :] = ["H", "D"]
        dumped = array.reshape(*array.shape[:-1], 3, 2)
    order = data.draw(st.permutations(range(len(letters))))
    if axes == "BHSS":  # the two axes of tokens keep their order
        rest = iter([2, 3])
        order = [next(rest) if i in (2, 3) else i for i in order]
    dumped = dumped.transpose(order)
    if sizes["B"] == 1 and data.draw(st.booleans()):
        dumped = dumped.reshape([n for n, i in zip(dumped.shape, order, strict=True) if i != 0])
    laid = layouts(dumped, axes, array.shape, 3, None)
    assert any(np.array_equal(one.array, array) for one in laid)
    assert (laid[0].layout == "") <= (dumped.size == array.size and dumped.ndim >= array.ndim)


def test_layouts_are_said():
    x = RNG.normal(size=(2, 5, 6))
    split = x.reshape(2, 5, 3, 2)
    for dumped, said in {
        "heads split (B, H, S, D)": split.transpose(0, 2, 1, 3),
        "heads split (B, S, H, D)": split,
        "heads split, flattened (B*H, S, D)": split.transpose(0, 2, 1, 3).reshape(6, 5, 2),
        "flattened (B*S, E)": x.reshape(10, 6),
        "flattened (B*S*E)": x.ravel(),
        "transposed (B, E, S)": x.transpose(0, 2, 1),
        "S padded from 5 to 8": np.pad(x, ((0, 0), (0, 3), (0, 0))),
        "S padded from 5 to 8, transposed (S, B, E)": np.pad(x, ((0, 0), (0, 3), (0, 0))).swapaxes(0, 1),
    }.items():
        found = {one.layout: one.array for one in layouts(said, "BSE", x.shape, 3, None)}
        assert np.array_equal(found[dumped], x), dumped
    (one,) = layouts(x[:1, :, 0], "BS", (1, 5), 3, None)
    assert one.layout == ""
    assert [laid.layout for laid in layouts(x[0], "BSE", (1, 5, 6), 3, None)] == ["batch axis missing"]
    is_real = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 0, 0]], bool)
    (packed,) = layouts(x[is_real], "BSE", x.shape, 3, is_real)
    assert packed.layout == "rows of padding left out" and np.array_equal(packed.is_absent[..., 0], ~is_real)
    assert np.array_equal(packed.array[is_real], x[is_real])
    (cut,) = layouts(x[:, :3], "BSE", x.shape, 3, is_real)
    assert cut.layout == "rows of padding cut off" and np.array_equal(cut.array[:, :3], x[:, :3])
    assert cut.is_absent[:, 3:].all() and not cut.is_absent[:, :3].any()
    interleaved = split.swapaxes(2, 3).reshape(2, 5, 6)  # a mistake, no layout
    assert [one.layout for one in layouts(interleaved, "BSE", x.shape, 3, None)] == [""]
    assert layouts(x[:, :4], "BSE", x.shape, 3, None) == layouts(x[..., :5], "BSE", x.shape, 3, None) == []


def test_names_are_mapped_by_an_object_or_by_expressions(tmp_path):
    pairs = [[r"^enc\.(\d+)\.", r"led.encoder.layers.\1."], ["ffn_in$", "fc1"]]
    assert renamed("enc.3.ffn_in", pairs) == "encoder.layers.3.fc1"
    assert renamed("h0", {"h0": "encoder.layernorm_embedding"}) == "encoder.layernorm_embedding"
    assert renamed("input_ids", None) == "in.input_ids" and renamed("led.decoder.fc1", None) == "decoder.fc1"
    assert renamed("noise", [["^noise$", ""]]) == ""
    for bad in ([["(", "x"]], [["a", r"\1"]]):
        with pytest.raises(InputError, match="names: "):
            renamed("abc", bad)
    path = tmp_path / "names.json"
    for text in ("3", '{"a": 1}', '[["a"]]', '[["a", 1]]', '["ab"]', "[", '{"a": "x", "a": "y"}'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"names\.json: "):
            read_names(str(path))
    with pytest.raises(InputError, match="No such file"):
        read_names("absent")


# Whole reports


def model_of(config):
    """The model of a configuration with the weights of the hash, seed 0."""
    model = LEDForConditionalGeneration(LEDConfig.from_dict(config), dtype="float64")
    model.load_state_dict(golden.WEIGHTS.make_weights(config, 0))
    return model


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    """What transformers 5.23.0 and 4.57.6 dumped, float32, and the trace of the same call."""
    theirs, path = read(DUMPS / "transformers.npz"), tmp_path_factory.mktemp("trace") / "trace.npz"
    names = ("input_ids", "attention_mask", "global_attention_mask", "decoder_input_ids")
    config = json.loads((DUMPS / "config.json").read_text())
    write_trace(model_of(config), {name: theirs[name] for name in names}, path)
    return theirs, read(path)


def test_upstream_is_inside_at_every_output_of_a_module(upstream):
    theirs, truth = upstream
    report = check(theirs, truth, read_names("transformers"))
    assert (report.first, report.unknown, report.notes) == (None, {}, [])
    judged = {row.name for row in report.stages if row.verdict == "inside"}
    missing = {row.name for row in report.stages} - judged
    assert {name.rpartition(".")[2] for name in missing} == {"scores", "context", "tokens"}  # no results of modules
    layouts = {row.theirs: row.layout for row in report.stages}
    inner = "led.encoder.layers.0.self_attn.longformer_self_attn"
    assert layouts[f"{inner}.query"] == "S padded from 7 to 8, transposed (S, B, E)"
    assert layouts[f"{inner}.1"].startswith("upstream's columns, all but the rows of global tokens")
    assert layouts[f"{inner}.2"].startswith("upstream's columns, the rows of global tokens")
    assert all(row.error < row.budget for row in report.stages if row.budget and row.error)


def test_each_array_of_upstreams_that_is_changed_is_outside(upstream):
    theirs, truth = upstream
    names = read_names("transformers")
    changed = [name for name in theirs if theirs[name].dtype.kind == "f" and renamed(name, names)]
    assert len(changed) > 35
    for name in changed:
        report = check({**theirs, name: theirs[name] * np.float32(1.001)}, truth, names)
        assert report.first == renamed(name, names), name


def ours(truth, **changes):
    """A port's dump: the trace in float32, with some stages changed, or left out where None."""
    arrays = {name: a.astype(np.float32) if a.dtype == np.float64 else a for name, a in truth.items()}
    arrays |= {name.replace("__", "."): change for name, change in changes.items()}
    return {name: array for name, array in arrays.items() if array is not None}


def test_the_first_is_the_one_whose_inputs_are_inside(upstream):
    _, truth = upstream
    layer = "encoder.layers.0"
    wrong = {f"{layer}.{part}": truth[f"{layer}.{part}"] + 1 for part in ("fc2", "final_layer_norm")}
    report = check(ours(truth, **wrong, **{f"{layer}.activation_fn": None, f"{layer}.fc1": None}), truth)
    assert report.first == f"{layer}.fc2" and report.missing == [f"{layer}.fc1", f"{layer}.activation_fn"]
    verdicts = {row.name: row.verdict for row in report.stages}
    assert verdicts[f"{layer}.final_layer_norm"] == "outside" and verdicts[f"{layer}.fc1"] == "not dumped"
    alone = check({f"{layer}.fc2": wrong[f"{layer}.fc2"]}, truth)
    assert [row.note for row in alone.stages if row.theirs] == ["none of its inputs is dumped"]
    other = check(ours(truth, in__input_ids=truth["in.input_ids"] + 1), truth)
    assert other.first == "in.input_ids" and other.mistakes == []
    assert [row.note for row in other.stages if row.name == "in.input_ids"] == [""]


def test_rows_of_padding_may_be_left_out_and_that_is_said(upstream):
    _, truth = upstream
    is_real, name = truth["in.attention_mask"] == 1, "encoder.layers.0.fc1"
    for nothing in (0.0, np.nan):
        x = np.where(is_real[..., None], truth[name], nothing)
        (row,) = [row for row in check({name: x}, truth).stages if row.theirs]
        assert row.verdict == "inside" and row.note == "3 rows of padding are not computed"
        x[0, 1] = nothing  # a real token
        assert check({name: x}, truth).first == name
    x = np.where(is_real[..., None], truth[name], 7.0)
    (row,) = [row for row in check({name: x}, truth).stages if row.theirs]
    assert row.verdict == "outside" and "only rows of padding are wrong" in row.note
    packed = check({name: truth[name][is_real]}, truth)
    assert packed.first is None and "rows of padding left out" in [row.layout for row in packed.stages]


def test_rows_that_a_port_must_compute_are_not_padding(tmp_path):
    """Those of masked targets, those of a source that is wholly padding; columns of padding are no rows."""
    about = json.loads((DUMPS / "config.json").read_text())
    source = {"input_ids": np.full((2, 5), 4), "attention_mask": np.array([[1, 1, 1, 0, 0], [0] * 5])}
    target = {"decoder_input_ids": np.full((2, 3), 4), "decoder_attention_mask": np.array([[1, 1, 0], [1, 0, 0]])}
    write_trace(model_of(about), source | target, tmp_path / "trace.npz")
    truth = read(tmp_path / "trace.npz")
    is_target, is_source = target["decoder_attention_mask"][..., None] == 1, source["attention_mask"][..., None] == 1
    is_source[1, 0] = True  # the other rows of the document are 0
    cross = "decoder.layers.0.encoder_attn"
    seen = np.where(np.isneginf(truth[f"{cross}.scores"]), 0, truth[f"{cross}.scores"])
    for wrong in (
        {"logits": np.where(is_target, truth["logits"], 0)},
        {"logits": np.where(is_target, truth["logits"], np.nan)},
        {"encoder.layers.0.fc1": np.where(is_source, truth["encoder.layers.0.fc1"], 0)},
        {f"{cross}.scores": seen},
    ):
        assert check(wrong, truth).first in wrong, wrong.keys()
    is_source[1] = True  # rows of padding beside real ones may be 0
    x = np.where(is_source, truth["encoder.layers.0.fc1"], 0)
    assert check({"encoder.layers.0.fc1": x}, truth).first is None


def test_scores_before_the_mask_are_inside_if_the_probabilities_are(upstream):
    _, truth = upstream
    scores, probs = "decoder.layers.0.self_attn.scores", "decoder.layers.0.self_attn.probs"
    bare = np.where(np.isneginf(truth[scores]), 0.5, truth[scores])
    report = check({scores: bare, probs: truth[probs]}, truth)
    assert report.first is None
    assert "dumped before the mask, which the probabilities have" in [row.note for row in report.stages]
    assert check({scores: bare}, truth).first == scores
    assert check({scores: bare, probs: truth[probs] + 0.1}, truth).first == scores
    assert check({scores: bare + 0.1, probs: truth[probs]}, truth).first == scores


def test_exchanged_tokens_are_a_mistake_and_exchanged_axes_a_layout(upstream):
    _, truth = upstream
    name = "encoder.layers.0.self_attn.scores"
    (row,) = [row for row in check({name: truth[name].swapaxes(2, 3)}, truth).stages if row.theirs]
    assert row.verdict == "outside" and "its transpose is inside" in row.note
    assert check({"encoder.layers.0.fc2": truth["encoder.layers.0.fc2"].swapaxes(1, 2)}, truth).first is None


def test_wrong_numbers_keep_the_simplest_layout(upstream):
    _, truth = upstream
    name = "encoder.layers.0.fc2"
    square = {**{n: truth[n] for n in truth}, name: truth[name][:, :, :7]}  # S is 7, too
    rng = np.random.default_rng(2)
    for _ in range(20):
        report = check({name: rng.normal(size=(2, 7, 7))}, square, about=truth.about)
        assert [row.layout for row in report.stages if row.theirs] == [""]
    report = check({name: square[name].swapaxes(1, 2)}, square, about=truth.about)
    assert [(row.layout, row.verdict) for row in report.stages if row.theirs] == [("transposed (B, E, S)", "inside")]


def test_tokens_may_differ_where_two_are_as_likely(upstream):
    _, truth = upstream
    logits, other = truth["logits"].copy(), truth["tokens"].copy()
    other[0, 0] = (other[0, 0] + 1) % logits.shape[-1]
    assert check({"tokens": other}, truth).first == "tokens"
    logits[0, 0, other[0, 0]] = logits[0, 0].max() - 1e-7
    close = {name: truth[name] for name in truth} | {"logits": logits}
    assert check({"tokens": other}, close, about=truth.about).first is None


def test_narrow_numbers_in_a_wide_type_are_judged_as_what_they_are(upstream):
    _, truth = upstream
    halves = {n: a.astype(np.float16).astype(np.float64) for n, a in truth.items() if not n.startswith("in.")}
    report = check(halves, truth)
    assert report.first is None and "float16" in report.notes[0]
    assert check(halves | {"extra": 0.1 * np.ones(3), "logits": halves["logits"] + 1e-9}, truth).first is not None


def test_unknown_names_are_listed_with_the_nearest(upstream):
    theirs, truth = upstream
    report = check(ours(truth) | {"encoder.layers.0.fc3": np.zeros(3)}, truth)
    assert report.unknown["encoder.layers.0.fc3"][0] in ("encoder.layers.0.fc1", "encoder.layers.0.fc2")
    assert "names='transformers'" in " ".join(check(theirs, truth).notes)
    with pytest.raises(InputError, match="none of 1 arrays has the name of a stage, 'enc0'"):
        check({"enc0": np.zeros(3)}, truth)
    shape = check({"logits": np.zeros((3, 4))}, truth)
    assert shape.first == "logits" and "no layout of" in next(row for row in shape.stages if row.theirs).note


# The command


def write_port(folder):
    """Write a trace of the tiny checkpoint, and a port's dump of the same call in float32, into a folder."""
    rng = np.random.default_rng(5)
    inputs = {"input_ids": rng.integers(3, 600, (1, 19)), "decoder_input_ids": np.array([[2, 5, 9]])}
    inputs["global_attention_mask"] = np.eye(1, 19, dtype=int)
    write_trace(TINY, inputs, folder / "trace.npz")
    np.savez(folder / "right.npz", **ours(read(folder / "trace.npz")))
    return folder


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    return write_port(tmp_path_factory.mktemp("port"))


def test_the_command_says_that_all_is_inside(run, traced):
    for against in (traced / "trace.npz", TINY):
        status, out, err = run("check", traced / "right.npz", "--against", against)
        assert status == 0, err
        assert out.splitlines()[-1].startswith("All ") and max(map(len, out.splitlines())) <= 100
    status, out, _ = run("check", traced / "right.npz", "--against", traced / "trace.npz", "--format", "json")
    answer = json.loads(out)
    assert set(answer) == {"first", "mistakes", "stages"} and answer["first"] is None and answer["mistakes"] == []
    assert {field.name for field in dataclasses.fields(Row)} == set(answer["stages"][0])


def test_the_command_names_the_first_stage_and_the_mistake(run, traced, tmp_path):
    arrays = dict(np.load(traced / "right.npz"))
    x = arrays["encoder.layers.1.fc1"].astype(np.float64)
    tanh = x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2  # in place of erf
    arrays["encoder.layers.1.activation_fn"] = tanh.astype(np.float32)
    np.savez(tmp_path / "wrong.npz", **arrays)
    status, out, _ = run("check", tmp_path / "wrong.npz", "--against", traced / "trace.npz")
    assert status == 1
    framed = out.partition("=" * 100)[2].partition("=" * 100)[0]
    assert framed.split()[0] == "OUTSIDE" and "activation_fn" in framed
    assert "encoder.layers.1.activation_fn is the first stage outside" in out
    assert re.search(r"This known mistake gives these numbers: gelu-tanh\..* See \S+\.md#\S+\.\n", out, re.DOTALL)
    status, out, _ = run("check", tmp_path / "wrong.npz", "--against", traced / "trace.npz", "--format", "json")
    answer = json.loads(out)
    assert (status, answer["first"]) == (1, "encoder.layers.1.activation_fn") and answer["mistakes"][0] == "gelu-tanh"


@pytest.mark.parametrize("scale", [np.inf, 1e300])
def test_numbers_beyond_all_measure_are_no_known_mistake(traced, scale):
    truth = truth_for(traced / "trace.npz", {})
    with np.errstate(invalid="ignore", over="ignore"):
        theirs = {name: a if name.startswith("in.") else a * scale for name, a in truth.arrays.items()}
    report = check(theirs, truth.arrays, about=truth.about, weights=truth.weights)
    assert (report.first, report.mistakes) == ("encoder.embed_tokens", [])


def test_the_command_tells_in_a_line_that_not_every_mistake_was_tried(run, traced, tmp_path, monkeypatch):
    monkeypatch.setattr(diagnosis, "NARROW", 0)
    np.savez(tmp_path / "logits.npz", logits=np.random.default_rng(1).normal(size=(1, 3, 600)))
    status, _, err = run("check", tmp_path / "logits.npz", "--against", traced / "trace.npz")
    (line,) = err.splitlines()
    assert status == 1 and line.startswith("pyled: ") and line.endswith("dump a shorter text, or more stages")


def test_the_command_maps_names_and_tells_what_it_cannot_do(run, traced, tmp_path):
    arrays = {f"net-{name}": array for name, array in np.load(traced / "right.npz").items()}
    np.savez(tmp_path / "named.npz", **arrays)
    (tmp_path / "names.json").write_text('[["^net-", ""]]')
    status, out, err = run("check", tmp_path / "named.npz", "--against", traced / "trace.npz", "--names",
                           tmp_path / "names.json")  # fmt: skip
    assert status == 0, err
    status, _, err = run("check", tmp_path / "named.npz", "--against", traced / "trace.npz")
    assert status == 2 and "has the name of a stage" in err and "--names" in err
    np.savez(tmp_path / "inputs.npz", **{name: array for name, array in np.load(traced / "right.npz").items()
                                         if name.startswith("in.")})  # fmt: skip
    status, _, err = run("check", tmp_path / "inputs.npz", "--against", traced / "trace.npz")
    assert status == 2 and "the dump holds no stage, but 3 other arrays" in err
    np.savez(tmp_path / "bare.npz", logits=np.zeros((1, 3, 600), np.float32))
    status, _, err = run("check", tmp_path / "bare.npz", "--against", TINY)
    assert status == 2 and "holds no in.input_ids" in err
    status, _, err = run("check", tmp_path / "bare.npz", "--against", tmp_path / "bare.npz")
    assert status == 3 and "is no trace" in err
    status, _, err = run("check", tmp_path / "absent.npz", "--against", traced / "trace.npz")
    assert status == 3 and "No such file" in err


def test_a_trace_without_its_weights_is_compared_but_no_mistake_is_tried(traced, tmp_path):
    theirs = read(traced / "right.npz")
    truth = truth_for(traced / "trace.npz", theirs, None, str(tmp_path / "absent"))
    assert truth.weights is None and "without the weights" in truth.notes[0]
    with pytest.raises(CheckpointError, match="absent"):
        truth_for(tmp_path / "absent", theirs)


def test_other_weights_than_those_of_the_trace_are_told(traced, tmp_path):
    theirs, other = read(traced / "right.npz"), tmp_path / "other"
    assert truth_for(traced / "trace.npz", theirs, None, str(TINY)).notes == []
    shutil.copytree(TINY, other)
    weights = read_safetensors(other / "model.safetensors")
    name = "led.decoder.layers.0.fc1.weight"
    write_safetensors(other / "model.safetensors", {**weights, name: weights[name] + np.float32(0.5)})
    truth = truth_for(traced / "trace.npz", theirs, None, str(other))
    assert truth.weights is None and f"the weights of {other} are not those of the trace" in truth.notes[0]


def test_a_case_of_a_kit_brings_its_weights_by_the_recipe(run, tmp_path):
    config = json.loads((DUMPS / "config.json").read_text()) | {"weights_seed": 0}
    inputs = {"input_ids": np.array([[0, 5, 6, 2]]), "decoder_input_ids": np.array([[2, 7]])}
    write_trace(model_of(config), inputs, tmp_path / "expected.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    truth = read(tmp_path / "expected.safetensors")
    name = "decoder.embed_tokens"
    np.savez(tmp_path / "theirs.npz", **ours(truth, **{name: (truth[name] * 21**0.5).astype(np.float32)}))
    status, out, _ = run("check", tmp_path / "theirs.npz", "--against", tmp_path, "--format", "json")
    answer = json.loads(out)
    assert (status, answer["first"], answer["mistakes"][:1]) == (1, name, ["embedding-scale"])
