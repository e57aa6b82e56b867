"""tf_model.h5 and TensorFlow's classes: what golden/tf_model.py asked of TensorFlow, and files that are refused."""

import json
import sys
from dataclasses import replace

import budget
import h5py
import numpy as np
import pytest

import golden
import pyled
from pyled.checkpoint import convert, tensorflow
from pyled.checkpoint.tensorflow import _checked_places, read_tensorflow, weight_name
from pyled.errors import CheckpointError, InputError

FOLDER = golden.FOLDER / "tf_model"
MANIFEST = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
CLASSES = {"base": pyled.TFLEDModel, "lm": pyled.TFLEDForConditionalGeneration}
OUTPUTS = {"base": pyled.TFLEDSeq2SeqModelOutput, "lm": pyled.TFLEDSeq2SeqLMOutput}
PATH = "led/tfled_model/led/encoder/layers.0/fc1/kernel:0"


def arrays_of(case):
    """The arguments of a case, and the fields of TensorFlow's answer in float64."""
    with np.load(FOLDER / "answers.npz", allow_pickle=False) as file:
        arrays = {key.removeprefix(f"{case}/"): file[key] for key in file.files if key.startswith(f"{case}/")}
    inputs = {name.removeprefix("in."): array for name, array in arrays.items() if name.startswith("in.")}
    return inputs, {name: array for name, array in arrays.items() if not name.startswith("in.")}


def flat(output):
    """The fields of an output as arrays, by the names of the golden file."""
    arrays = {}
    for field, value in output.items():
        if field == "past_key_values":
            arrays |= {
                f"{field}.{i}.{part}": array for i, layer in enumerate(value) for part, array in enumerate(layer)
            }
        elif isinstance(value, tuple):
            arrays |= {f"{field}.{i}": array for i, array in enumerate(value)}
        else:
            arrays[field] = value
    return arrays


def answer(model, case, inputs):
    shown = {"output_attentions": True, "output_hidden_states": True}
    if "encoder_outputs" in inputs:
        inputs["encoder_outputs"] = (inputs["encoder_outputs"].astype(model.dtype),)
    if not case.endswith("past"):
        return model.call(inputs, use_cache=case == "base-masks", **shown)
    target = inputs.pop("decoder_input_ids")
    past = model(inputs, decoder_input_ids=target[:, :-1]).past_key_values
    return model(inputs, decoder_input_ids=target[:, -1:], past_key_values=past, **shown)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", MANIFEST["cases"])
def test_a_file_of_tensorflow_gives_the_outputs_of_its_class(case, dtype):
    entry = MANIFEST["cases"][case]
    model = CLASSES[entry["directory"]].from_pretrained(FOLDER / entry["directory"], dtype=dtype)
    inputs, truth = arrays_of(case)
    output = answer(model, case, inputs)
    assert type(output) is OUTPUTS[entry["directory"]]
    results = flat(output)
    assert list(results) == [name for name in entry["float32_error"] if name in truth]
    for name, array in truth.items():
        if np.isnan(array).all():
            assert np.isnan(results[name]).all() and results[name].shape == array.shape
        else:
            budget.assert_within(f"{case} {name}", results[name], array, entry["float32_error"][name], dtype)


# The file


def h5py_reads(path):
    """Every dataset of a file by its path, as h5py reads it."""
    arrays = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return arrays


@pytest.mark.parametrize("mmap", [True, False])
def test_numbers_are_those_that_h5py_reads_and_kernels_are_transposed(mmap):
    tensors = read_tensorflow(FOLDER / "base" / "tf_model.h5", mmap=mmap)
    stored = h5py_reads(FOLDER / "base" / "tf_model.h5")
    assert len(tensors) == len(stored) == 81
    for path, array in stored.items():
        tensor = tensors[weight_name(path)]
        assert tensor.dtype == np.float32 and not tensor.flags.writeable
        assert np.array_equal(tensor, array.T if path.endswith("/kernel:0") else array)


def test_the_weights_are_those_of_the_hash():
    config = json.loads((FOLDER / "lm" / "config.json").read_text(encoding="utf-8"))
    expected = golden.WEIGHTS.make_weights(config, 0, np.float32)
    for directory, model in ("lm", pyled.LEDForConditionalGeneration), ("base", pyled.LEDModel):
        tensors = model.from_pretrained(FOLDER / directory, from_tf=True).state_dict()
        assert all(np.array_equal(tensors[name], expected[name]) for name in set(tensors) & set(expected))
    assert set(pyled.LEDForConditionalGeneration.from_pretrained(FOLDER / "lm").state_dict()) == set(expected)


def test_the_weights_are_converted(tmp_path):
    for directory, kind in ("lm", pyled.LEDForConditionalGeneration), ("base", pyled.LEDModel):
        convert(FOLDER / directory, tmp_path / directory)
        tensors = kind.from_pretrained(tmp_path / directory).state_dict()
        stored = kind.from_pretrained(FOLDER / directory).state_dict()
        assert all(np.array_equal(tensors[name], array) for name, array in stored.items()) and len(tensors) == len(
            stored
        )


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("led/led.shared/led.shared/embeddings:0", "led.shared.weight"),
        ("led/tf_led_model/led.shared/weight:0", "led.shared.weight"),  # as older versions call it
        ("led/led/decoder/layers.11/final_layer_norm/gamma:0", "led.decoder.layers.11.final_layer_norm.weight"),
        ("led/encoder/layernorm_embedding/beta:0", "led.encoder.layernorm_embedding.bias"),
        ("led/x_1/led/encoder/embed_positions/weight:0", "led.encoder.embed_positions.weight"),
        ("final_logits_bias/final_logits_bias:0", "final_logits_bias"),
        ("top_level_model_weights/final_logits_bias:0", "final_logits_bias"),
        *((path, path) for path in ("led/encoder/kernel", "bert/encoder/kernel:0", "led/pooler/kernel:0", "x", "")),
    ],
)  # fmt: skip
def test_a_path_is_the_name_of_a_weight(path, name):
    assert weight_name(path) == name


def changed(folder, change):
    """A copy of the golden file, changed by a function of the open file."""
    path = folder / "tf_model.h5"
    path.write_bytes((FOLDER / "base" / "tf_model.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def with_bytes(folder, old, new):
    """A copy of the golden file with some of its bytes changed, which stand there once."""
    data = (FOLDER / "base" / "tf_model.h5").read_bytes()
    assert data.count(old) == 1 and len(old) == len(new)
    path = folder / "tf_model.h5"
    path.write_bytes(data.replace(old, new))
    return path


def ring(file):
    file["led/again"] = file["led"]


def many(file):
    """Eight groups, each the only member of the one before, under a hundred names: 100 ** 8 paths."""
    group = file.create_group("a")
    for _ in range(8):
        inner = group.create_group("0")
        for i in range(1, 100):
            group[str(i)] = inner
        group = inner


def dataset(name="led/x/led/encoder/y/bias:0", **options):
    return lambda file: file.create_dataset(name, **options)


def compact(file):
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((2,))
    h5py.h5d.create(file.id, b"bias:0", h5py.h5t.IEEE_F32LE, space, plan).write(space, space, np.zeros(2, "f4"))


def virtual(file):
    layout = h5py.VirtualLayout((6,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "a", shape=(6,))
    file.create_virtual_dataset("bias:0", layout)


ZEROS = np.zeros(2, "f4")
REFUSED = {
    "link": [
        lambda file: file.update({"soft": h5py.SoftLink("/led")}),
        lambda file: file.update({"elsewhere": h5py.ExternalLink("other.h5", "/led")}),
    ],
    "object": [lambda file: file.update({"kind": np.dtype("f4")})],
    "no-floats": [
        *(dataset(data=np.zeros(2, kind)) for kind in ("i4", ">f4", "?", "S3", "c8", [("a", "f4")])),
        dataset(data="text"),
        *(dataset(shape=2, dtype=kind) for kind in (h5py.vlen_dtype("f4"), h5py.ref_dtype)),
    ],
    "external": [dataset(shape=2, dtype="f4", external=[("other", 0, 8)])],
    "layout": [
        dataset(data=ZEROS, chunks=(2,)), dataset(data=ZEROS, compression="gzip"), dataset(shape=2, dtype="f4"),
        dataset(data=h5py.Empty("f4")), dataset(data=ZEROS, maxshape=(None,)), compact, virtual,
    ],
    "too-many-objects": [ring, many],
    "name": [dataset(name, data=ZEROS) for name in ("led/iterations:0", "bert/encoder/layer/bias:0", "x")],
    "one-weight-twice": [dataset("led/other/led/encoder/layers.0/fc1/kernel:0", data=np.zeros((6, 5), "f4"))],
    "overlap": [lambda file: file.update({"led/x/led/encoder/y/bias:0": file["led"][PATH.partition("/")[2]]})],
}  # fmt: skip


def assert_refused(path, rule):
    with pytest.raises(CheckpointError) as caught:
        read_tensorflow(path)
    assert caught.value.rule == rule, caught.value
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(("rule", "number"), [(rule, i) for rule, files in REFUSED.items() for i in range(len(files))])
def test_a_file_that_keras_does_not_write_is_refused(rule, number, tmp_path):
    assert_refused(changed(tmp_path, REFUSED[rule][number]), rule)


@pytest.mark.parametrize(
    "data", [b"", b"\x89HDF", b"PK\3\4" + bytes(99), b"\0" * 512 + b"\x89HDF\r\n\x1a\n" + bytes(99)]
)
def test_what_is_no_hdf5_is_refused(data, tmp_path):
    (tmp_path / "a.h5").write_bytes(data)
    assert_refused(tmp_path / "a.h5", "no-hdf5")


def test_a_pointer_of_git_lfs_is_told(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert_refused(tmp_path / "a.h5", "git-lfs")


def test_a_damaged_file_is_refused(tmp_path):
    data = (FOLDER / "base" / "tf_model.h5").read_bytes()
    for cut in (9, 200, len(data) - 1):
        (tmp_path / "a.h5").write_bytes(data[:cut])
        assert_refused(tmp_path / "a.h5", "hdf5")
    assert_refused(with_bytes(tmp_path, b"HEAP" + data[data.index(b"HEAP") + 4 :][:28], b"HEAT" + bytes(28)), "hdf5")


def test_numbers_behind_the_end_are_refused():
    path = FOLDER / "base" / "tf_model.h5"
    places = _checked_places(path, path.stat().st_size)
    *_, shape, begin = places[-1]
    end = begin + 4 * int(np.prod(shape))
    assert _checked_places(path, end) == places
    with pytest.raises(CheckpointError) as caught:  # HDF5 looks, too
        _checked_places(path, end - 1)
    assert caught.value.rule == "data-cut-short"


def test_too_many_objects_are_too_many(tmp_path, monkeypatch):
    path = FOLDER / "base" / "tf_model.h5"
    with h5py.File(path, "r") as file:
        members = []
        file.visit(members.append)
    monkeypatch.setattr(tensorflow, "MAX_OBJECTS", len(members))
    assert read_tensorflow(path)
    monkeypatch.setattr(tensorflow, "MAX_OBJECTS", len(members) - 1)
    assert_refused(path, "too-many-objects")


@pytest.mark.parametrize("name", ["y", "y" * 255, "y" * 256])
@pytest.mark.parametrize("above", [0, 9, 10])
def test_names_are_no_longer_and_groups_no_deeper_than_may_be(name, above, tmp_path):
    path = changed(tmp_path, dataset("x/" * above + f"led/encoder/{name}/bias:0", data=ZEROS))
    with h5py.File(path, "r+") as file:
        file["x/" * above + "led/encoder/a/bias:0"] = ZEROS
    if above < 10 and len(name) < 256:
        assert np.array_equal(read_tensorflow(path)[f"led.encoder.{name}.bias"], ZEROS)
    else:
        assert_refused(path, "too-many-objects")


@pytest.mark.parametrize(("name", "count"), [(b"y" * 255, 4), (b"y" * 256, 1)])
def test_names_without_end_are_not_all_kept(name, count, monkeypatch):
    class Group:
        def iterate(self, function):
            for _ in range(100):
                if function(name) is not None:
                    break

    monkeypatch.setattr(tensorflow, "MAX_OBJECTS", 3)
    group = Group()
    group.links = group
    assert len(tensorflow._names(group)) == count


def test_halves_and_doubles_are_read(tmp_path):
    for kind in ("f2", "f8"):
        path = changed(tmp_path, dataset(data=np.arange(3, dtype=kind)))
        assert read_tensorflow(path)["led.encoder.y.bias"].dtype == kind


def test_without_h5py_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(CheckpointError, match=r"pip install 'pyled\[tf\]'") as caught:
        pyled.TFLEDModel.from_pretrained(FOLDER / "base")
    assert caught.value.rule == "no-h5py"


# The classes


@pytest.fixture(scope="module")
def model():
    return pyled.TFLEDForConditionalGeneration.from_pretrained(FOLDER / "lm")


def test_the_first_argument_may_hold_the_others(model):
    ids, mask = np.array([[5, 6, 7]]), np.array([[1, 1, 0]])
    expected = model(ids, mask, ids).logits
    for first in (
        [ids, mask, ids],
        (ids, mask, ids),
        {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": ids},
    ):
        assert np.array_equal(model(first).logits, expected)
        assert np.array_equal(model.call(input_ids=first, return_dict=False)[0], expected)
    assert np.array_equal(model([ids], attention_mask=mask, decoder_input_ids=ids).logits, expected)
    assert not np.array_equal(model([ids], decoder_input_ids=ids).logits, expected)


def test_wrong_arguments_are_told(model):
    ids = np.array([[5, 6, 7]])
    base = pyled.TFLEDModel.from_pretrained(FOLDER / "base")
    with pytest.raises(InputError, match="no decoder_input_ids"):
        model(ids)
    with pytest.raises(InputError, match="training=True"):
        model(ids, labels=ids, training=True)
    with pytest.raises(InputError, match="use_cache is 5"):
        model(ids, labels=ids, use_cache=5)
    for wrong in ([ids] * 18, {"x": ids}, {"self": ids}):
        with pytest.raises(TypeError, match="argument"):
            model(wrong)
    with pytest.raises(TypeError, match="labels"):
        base(ids, labels=ids)
    uneven = pyled.TFLEDModel(replace(base.config, encoder_attention_heads=1))
    with pytest.raises(InputError, match=r"head_mask is for encoder .*, but the encoder has 1 heads, the decoder \d+:"):
        uneven(ids, decoder_input_ids=ids, head_mask=np.ones((base.config.encoder_layers, 1)))


def test_a_saved_model_is_one_that_torch_loads(model, tmp_path):
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["LEDForConditionalGeneration"]
    again = pyled.LEDForConditionalGeneration.from_pretrained(tmp_path)
    ids = np.array([[5, 6, 7]])
    assert np.array_equal(again(ids, decoder_input_ids=ids).logits, model(ids, decoder_input_ids=ids).logits)
    assert np.array_equal(again.generate(ids, max_length=5), model.generate(ids, max_length=5))
