"""Files to weights: names, ties, shards, the reference's own files (golden/weight_files.py), and what is refused."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import golden
import pyled
from pyled import checkpoint
from pyled.checkpoint import assign, expected_shapes, load, read_safetensors, save, write_safetensors
from pyled.config import LEDConfig
from pyled.errors import CheckpointError, InputError
from pyled.hub import located

FILES = golden.FOLDER / "weight_files"
CONFIG = {
    "vocab_size": 13,
    "d_model": 6,
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 5,
    "decoder_layers": 1,
    "decoder_attention_heads": 3,
    "decoder_ffn_dim": 4,
    "attention_window": 4,
    "max_encoder_position_embeddings": 12,
    "max_decoder_position_embeddings": 8,
}
TIED = LEDConfig(**CONFIG)
UNTIED = LEDConfig(**CONFIG, tie_word_embeddings=False)
EMBEDDINGS = (
    "led.shared.weight",
    "led.encoder.embed_tokens.weight",
    "led.decoder.embed_tokens.weight",
    "lm_head.weight",
)
OWN_EMBEDDINGS = tuple(name.removeprefix("led.") for name in EMBEDDINGS)
INDEX = "model.safetensors.index.json"


def tensors_of(config=TIED, without=(), dtype=np.float32):
    """A whole checkpoint with a language head, from the hash; untied, four different matrices."""
    made = golden.WEIGHTS.make_weights({**CONFIG, "tie_word_embeddings": config.tie_word_embeddings}, 0, dtype)
    return {name: array for name, array in made.items() if name not in without}


def head_tensor(name, shape):
    """What golden/weight_files.py makes of the tensors of other heads."""
    return golden.WEIGHTS.reals(name, 0, shape, np.float32)


def assert_equal(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        assert np.array_equal(found[name], array), name


# The names and shapes


def test_shapes_are_those_of_the_reference():
    stored = json.loads((FILES / "5.23.0" / "tensors.json").read_text())
    config = LEDConfig.from_dict(stored["config"])
    expected = {name: tuple(shape) for name, shape in stored["tensors"].items()}
    found = {checkpoint.names.upstream_name(name, "lm"): s for name, s in expected_shapes(config, "lm").items()}
    assert found == expected
    assert golden.WEIGHTS.shapes(config.to_dict()) == expected
    base = {n.removeprefix("led."): s for n, s in expected.items() if n not in ("lm_head.weight", "final_logits_bias")}
    assert expected_shapes(config, None) == base


def test_other_heads_have_the_body_and_their_own_tensors():
    config = LEDConfig(**CONFIG, num_labels=7)
    body = expected_shapes(config, None)
    assert expected_shapes(config, "qa") == body | {"qa_outputs.weight": (2, 6), "qa_outputs.bias": (2,)}
    assert expected_shapes(config, "classification") == body | {
        "classification_head.dense.weight": (6, 6),
        "classification_head.dense.bias": (6,),
        "classification_head.out_proj.weight": (7, 6),
        "classification_head.out_proj.bias": (7,),
    }


@pytest.mark.parametrize("head", ["LM", "", "seq2seq", 1, False])
def test_an_unknown_head_is_refused(head):
    with pytest.raises(InputError, match=f"head is {head!r}: it is one of None, 'lm', 'qa', 'classification'"):
        expected_shapes(TIED, head)


def test_state_dicts_have_upstreams_names():
    weights, _ = assign(tensors_of(), TIED, "lm")
    assert set(checkpoint.upstream_names(weights, "lm")) == set(tensors_of())
    body, _ = assign(tensors_of(), TIED, None)
    assert set(checkpoint.upstream_names(body, None)) == set(body)


# What the reference writes

HEADS = {"base": None, "lm": "lm", "qa": "qa", "classification": "classification"}
DIRECTORIES = sorted(path.parent for path in FILES.glob("*/*/config.json"))


def expected_weights(directory):
    """The weights of one of golden/weight_files.py's cases, by its name."""
    head, tied, *how = directory.name.split("-")
    config = TIED if tied == "tied" else UNTIED
    made = tensors_of(config)
    if directory.parent.name == "4.57.6":
        made |= dict.fromkeys(EMBEDDINGS[1:3], made[EMBEDDINGS[0]])
    if head != "lm":
        made = {name: array for name, array in made.items() if name not in ("lm_head.weight", "final_logits_bias")}
        outputs = {"qa": {"qa_outputs": (2, 6)}, "classification": {}}.get(head, {})
        if head == "classification":
            outputs = {"classification_head.dense": (6, 6), "classification_head.out_proj": (2, 6)}
        for name, shape in outputs.items():
            made[f"{name}.weight"], made[f"{name}.bias"] = (
                head_tensor(f"{name}.weight", shape),
                head_tensor(f"{name}.bias", shape[:1]),
            )
    if how == ["float16"]:
        made = {name: array.astype(np.float16).astype(np.float32) for name, array in made.items()}
    if how == ["bfloat16"]:
        made = {name: rounded_to_bfloat16(array) for name, array in made.items()}
    return {name.removeprefix("led."): array for name, array in made.items()}


def rounded_to_bfloat16(array):
    """To nearest, ties to even, as torch rounds."""
    bits = array.view(np.uint32).astype(np.uint64)
    kept = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16
    return kept.astype(np.uint32).view(np.float32)


def test_there_are_files_of_both_versions():
    assert {directory.parent.name for directory in DIRECTORIES} == {"5.23.0", "4.57.6"}
    assert {directory.name.split("-")[0] for directory in DIRECTORIES} == set(HEADS)


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("directory", DIRECTORIES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_directory_of_the_reference_is_read_whole(directory, dtype, mmap):
    head = HEADS[directory.name.split("-")[0]]
    config = LEDConfig.from_pretrained(directory)
    weights, report = load(directory, config, head, dtype=dtype, mmap=mmap)
    assert_equal(weights, {name: array.astype(dtype) for name, array in expected_weights(directory).items()})
    assert report.unused == report.assumed == []
    if directory.parent.name == "4.57.6" and not config.tie_word_embeddings:
        assert len(report.conflicts) == 2
    else:
        assert report.conflicts == []
    assert all(not array.flags.writeable and array.flags.c_contiguous for array in weights.values())


def test_a_file_of_the_official_library_with_every_type():
    found = read_safetensors(FILES / "5.23.0" / "types.safetensors")
    assert len(found) == 14 * 3
    for name, array in found.items():
        kind, _, place = name.partition(".")
        assert array.shape == {"": (2, 3), "rank0": (), "empty": (3, 0)}[place]
        itemsize = 2 if kind == "BF16" else array.dtype.itemsize
        data = golden.WEIGHTS.hashed(name, 0, array.size * itemsize // 8 + 1).astype("<u8").tobytes()
        data = data[: array.size * itemsize]
        if kind == "BOOL":
            data = bytes(byte & 1 for byte in data)
        if kind == "BF16":
            data = b"".join(b"\0\0" + data[i : i + 2] for i in range(0, len(data), 2))
        assert array.tobytes() == data, name


# Names and ties


@pytest.mark.parametrize("kept", EMBEDDINGS)
@pytest.mark.parametrize("head", ["lm", None])
def test_any_one_of_the_tied_names_gives_all(kept, head):
    tensors = tensors_of(without=set(EMBEDDINGS) - {kept} | ({"final_logits_bias"} if head is None else set()))
    weights, report = assign(tensors, TIED, head)
    names = OWN_EMBEDDINGS if head == "lm" else OWN_EMBEDDINGS[:3]
    for name in names:
        assert weights[name] is weights["shared.weight"]
        assert np.array_equal(weights[name], tensors[kept])
    assert report.tied == list(names)
    assert report.surprises() == []
    assert report.lines() == [f"tied: {' = '.join(names)}"]


def test_several_equal_ones_are_no_conflict():
    tensors = {name: array.copy() for name, array in tensors_of().items()}
    weights, report = assign(tensors, TIED, "lm")
    assert weights["lm_head.weight"] is weights["shared.weight"]
    assert report.conflicts == report.unused == []


@pytest.mark.parametrize(
    ("there", "differ"), [((0, 1, 2, 3), (1, 2, 3)), ((0, 3), (3,)), ((1, 2), (2,)), ((2, 3), (3,)), ((0, 1, 3), (1,))]
)
def test_of_several_that_differ_the_first_wins_and_it_is_said(there, differ):
    tensors = tensors_of(without=[EMBEDDINGS[i] for i in range(4) if i not in there])
    for i in differ:
        tensors[EMBEDDINGS[i]] = tensors[EMBEDDINGS[i]] + np.float32(i)
    weights, report = assign(tensors, TIED, "lm")
    first = EMBEDDINGS[there[0]]
    for name in OWN_EMBEDDINGS:
        assert weights[name] is weights["shared.weight"]
        assert np.array_equal(weights[name], tensors[first])
    assert len(report.conflicts) == len(differ)
    for i, line in zip(differ, report.conflicts, strict=True):
        assert line.startswith(f"config.json ties {first} and {EMBEDDINGS[i]}, but they differ: the first is taken")
        assert '"tie_word_embeddings": false keeps both' in line
    assert report.surprises() == report.conflicts


@pytest.mark.parametrize("name", EMBEDDINGS)
@pytest.mark.parametrize("head", ["lm", None])
def test_a_tied_copy_of_another_shape_is_refused(name, head):
    tensors = tensors_of() | {name: np.zeros((14, 6), np.float32)}
    with pytest.raises(CheckpointError, match=rf"1 tensors have .*: {name} \(14, 6\), expected \(13, 6\)\."):
        assign(tensors, TIED, head)


def test_copies_with_nan_are_equal_where_the_nan_is():
    tensors = {name: array.copy() for name, array in tensors_of().items()}
    for name in EMBEDDINGS:
        tensors[name][2, 3] = np.nan
    assert assign(tensors, TIED, "lm")[1].conflicts == []
    tensors["lm_head.weight"][2, 4] = np.nan
    assert len(assign(tensors, TIED, "lm")[1].conflicts) == 1


def test_untied_matrices_stay_apart():
    tensors = tensors_of(UNTIED)
    weights, report = assign(tensors, UNTIED, "lm")
    for own, name in zip(OWN_EMBEDDINGS, EMBEDDINGS, strict=True):
        assert np.array_equal(weights[own], tensors[name])
    assert len({weights[name].tobytes() for name in OWN_EMBEDDINGS}) == 4
    assert report.lines() == []


@pytest.mark.parametrize("there", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)])
def test_untied_embeddings_of_4_57_6_are_one_matrix(there):
    """There `embed_tokens` is always `shared`; 5.23.0 makes random numbers of what such a file lacks."""
    tensors = tensors_of(UNTIED, without=[EMBEDDINGS[i] for i in range(3) if i not in there])
    weights, report = assign(tensors, UNTIED, "lm")
    first = EMBEDDINGS[there[0]]
    for i in range(3):
        assert np.array_equal(weights[OWN_EMBEDDINGS[i]], tensors[EMBEDDINGS[i] if i in there else first])
    assert np.array_equal(weights["lm_head.weight"], tensors["lm_head.weight"])
    absent = [OWN_EMBEDDINGS[i] for i in range(3) if i not in there]
    assert [line.split(",")[0] for line in report.conflicts] == [f"config.json unties {name}" for name in absent]
    assert all(f"{first} is taken, as in 4.57.6" in line for line in report.conflicts)
    assert report.surprises() == report.conflicts


def test_an_untied_head_has_no_substitute():
    with pytest.raises(CheckpointError, match=r"^1 weights are missing: lm_head\.weight"):
        assign(tensors_of(UNTIED, without=EMBEDDINGS[3:]), UNTIED, "lm")
    with pytest.raises(CheckpointError, match=r"3 weights are missing: decoder\.embed_tokens\.weight, encoder\.embed"):
        assign(tensors_of(UNTIED, without=EMBEDDINGS[:3]), UNTIED, "lm")


def test_no_embedding_at_all():
    with pytest.raises(CheckpointError, match=r"4 weights are missing: .*shared\.weight"):
        assign(tensors_of(without=EMBEDDINGS), TIED, "lm")


def test_a_base_models_file_goes_into_a_head():
    tensors = {name.removeprefix("led."): array for name, array in tensors_of().items()}
    del tensors["lm_head.weight"], tensors["final_logits_bias"]
    weights, report = assign(tensors, TIED, "lm")
    expected = {name.removeprefix("led."): array for name, array in tensors_of().items()}
    assert_equal(weights, expected | {"final_logits_bias": np.zeros((1, 13), np.float32)})
    assert report.assumed == ["final_logits_bias is not in the file: zeros"]
    assert report.surprises() == []


def test_a_heads_file_goes_into_the_base_model():
    weights, report = assign(tensors_of(), TIED, None)
    heads = ("lm_head.weight", "final_logits_bias")
    assert_equal(weights, {n.removeprefix("led."): a for n, a in tensors_of().items() if n not in heads})
    assert report.unused == ["final_logits_bias"]
    assert report.surprises() == []
    assert str(report).splitlines()[-1] == "unused: final_logits_bias"
    _, report = assign(tensors_of(UNTIED), UNTIED, None)
    assert sorted(report.unused) == ["final_logits_bias", "lm_head.weight"]
    assert report.surprises() == []
    _, report = assign(tensors_of() | {"led.extra": np.zeros(1, np.float32)}, TIED, None)
    assert report.surprises() == ["tensors that are no weight of this model: led.extra"]


def test_another_heads_tensors_are_a_surprise():
    classifier = {"classification_head.dense.bias": np.zeros(6, np.float32)}
    _, report = assign(tensors_of() | classifier, TIED, "lm")
    assert report.surprises() == ["tensors that are no weight of this model: classification_head.dense.bias"]


@pytest.mark.parametrize(("head", "count"), [("qa", 2), ("classification", 4)])
def test_a_head_that_the_file_lacks_is_not_drawn_at_random(head, count):
    with pytest.raises(
        CheckpointError, match=rf"^{count} weights are missing: .*\. The file is of a model without the head '{head}'"
    ):
        assign(tensors_of(), TIED, head)


@pytest.mark.parametrize("name", ["led.lm_head.weight", "led.final_logits_bias"])
def test_a_heads_tensor_has_no_prefix(name):
    _, report = assign(tensors_of() | {name: np.zeros(1, np.float32)}, TIED, "lm")
    assert report.unused == [name]


def test_one_weight_under_two_names_is_refused():
    tensors = tensors_of() | {"shared.weight": tensors_of()["led.shared.weight"]}
    with pytest.raises(CheckpointError, match=r"both 'led\.shared\.weight' and 'shared\.weight' are there: leave one"):
        assign(tensors, TIED, "lm")


# Missing, misshaped, unused, of another type


def test_what_is_unused_is_said_by_its_name_in_the_file():
    more = {f"led.extra.{i}": np.zeros(1, np.float32) for i in range(7)} | {"step": np.array(3)}
    _, report = assign(tensors_of() | more, TIED, "lm")
    assert sorted(report.unused) == sorted(more)
    assert report.surprises() == [
        "tensors that are no weight of this model: "
        "led.extra.0, led.extra.1, led.extra.2, led.extra.3, led.extra.4 and 3 more"
    ]


def test_as_many_names_as_are_shown_are_not_counted():
    more = {f"led.extra.{i}": np.zeros(1, np.float32) for i in range(5)}
    _, report = assign(tensors_of() | more, TIED, "lm")
    assert report.surprises() == [f"tensors that are no weight of this model: {', '.join(more)}"]


def test_a_missing_head_is_no_other_class_where_shapes_differ_too():
    tensors = tensors_of() | {"led.encoder.layernorm_embedding.bias": np.zeros(2, np.float32)}
    with pytest.raises(CheckpointError, match=r"2 weights are missing: qa_outputs.*; 1 tensors .*\. Are config\.json"):
        assign(tensors, TIED, "qa")


def test_what_is_missing_is_listed():
    without = ["led.encoder.layers.0.fc1.weight", "led.decoder.embed_positions.weight"]
    with pytest.raises(CheckpointError) as caught:
        assign(tensors_of(without=without), TIED, "lm")
    assert str(caught.value) == (
        "2 weights are missing: decoder.embed_positions.weight, encoder.layers.0.fc1.weight. "
        "Are config.json and the weights of one checkpoint?"
    )
    with pytest.raises(CheckpointError, match=r"^54 weights are missing: .* and 49 more\."):
        assign({"lm_head.weight": tensors_of()["lm_head.weight"]}, TIED, "lm")


def test_layers_beyond_counting_are_refused_before_they_are_counted():
    for config in (LEDConfig(**CONFIG | {"encoder_layers": 10**17}), LEDConfig(**CONFIG | {"decoder_layers": 10**17})):
        with pytest.raises(
            CheckpointError, match=r"config.json says 100,000,000,000,000,001 layers, .* only 59 tensors"
        ):
            assign(tensors_of(), config, "lm")


def test_every_weight_but_the_bias_of_zeros_is_needed():
    for name in tensors_of():
        if name not in EMBEDDINGS:
            if name == "final_logits_bias":
                weights, _ = assign(tensors_of(without=[name]), TIED, "lm")
                assert weights[name].shape == (1, 13) and not weights[name].any() and not weights[name].flags.writeable
            else:
                with pytest.raises(CheckpointError, match=f"^1 weights are missing: {re.escape(name[4:])}\\. "):
                    assign(tensors_of(without=[name]), TIED, "lm")


def test_what_has_another_shape_is_named_with_both():
    wrong = {"led.encoder.layers.0.fc1.weight": np.zeros((6, 5), np.float32), "final_logits_bias": np.zeros(13)}
    with pytest.raises(CheckpointError) as caught:
        assign(tensors_of() | wrong, TIED, "lm")
    assert str(caught.value) == (
        "2 tensors have another shape than config.json says: final_logits_bias (13,), expected (1, 13), "
        "led.encoder.layers.0.fc1.weight (6, 5), expected (5, 6). Are config.json and the weights of one checkpoint?"
    )


def test_a_tied_matrix_of_another_shape_is_named_once():
    tensors = tensors_of(without=EMBEDDINGS[1:]) | {"led.shared.weight": np.zeros((14, 6), np.float32)}
    with pytest.raises(
        CheckpointError, match=r"^1 tensors have .*: led\.shared\.weight \(14, 6\), expected \(13, 6\)\."
    ):
        assign(tensors, TIED, "lm")


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.bool_, np.complex64])
def test_only_floats_are_weights(dtype):
    name = "led.encoder.layers.0.fc1.weight"
    with pytest.raises(CheckpointError, match=f"{name} holds {np.dtype(dtype)} values: weights are floating-point"):
        assign(tensors_of() | {name: np.zeros((5, 6), dtype)}, TIED, "lm")


@pytest.mark.parametrize("tensors", [{"led.shared.weight": [[1.0]]}, {3: np.zeros(1)}, {None: np.zeros(1)}])
def test_only_named_arrays_are_weights(tensors):
    with pytest.raises(CheckpointError, match="weights are NumPy arrays by their names"):
        assign(tensors, TIED, "lm")


@pytest.mark.parametrize("stored", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_float_type_becomes_the_wanted_one(stored, dtype):
    tensors = tensors_of(dtype=stored)
    weights, _ = assign(tensors, TIED, "lm", dtype=dtype)
    expected = {name.removeprefix("led."): array.astype(dtype) for name, array in tensors.items()}
    assert_equal(weights, expected)


@pytest.mark.parametrize("dtype", ["float16", "int8", np.float32, None, "auto"])
def test_other_types_are_not_computed_in(dtype):
    with pytest.raises(InputError, match="pyled computes in 'float32' or 'float64'"):
        assign(tensors_of(), TIED, "lm", dtype=dtype)


def test_values_beyond_float32_are_refused_in_it():
    name = "led.encoder.layers.0.fc1.bias"
    tensors = tensors_of(dtype=np.float64)
    tensors[name] = np.array([1e-300, np.inf, -np.inf, np.nan, 3e38])
    weights, _ = assign(tensors, TIED, "lm")
    assert np.array_equal(weights[name[4:]], np.float32([0, np.inf, -np.inf, np.nan, 3e38]), equal_nan=True)
    tensors[name][4] = 4e38
    with pytest.raises(CheckpointError, match=f"{name} holds values beyond the range of float32: load it with dtype"):
        assign(tensors, TIED, "lm")
    assert assign(tensors, TIED, "lm", dtype="float64")[0][name[4:]][4] == 4e38


def test_arrays_are_copied_unless_they_fit():
    given = tensors_of()
    copied, _ = assign(given, TIED, "lm")
    kept, _ = assign({name: array.copy() for name, array in given.items()}, TIED, "lm", copy=False)
    given["led.encoder.layers.0.fc1.bias"][:] = 7
    assert not np.any(copied["encoder.layers.0.fc1.bias"] == 7)
    assert given["led.encoder.layers.0.fc1.bias"].flags.writeable
    odd = {
        "led.encoder.layers.0.fc1.weight": np.asfortranarray(given["led.encoder.layers.0.fc1.weight"]),
        "led.encoder.layers.0.fc2.weight": given["led.encoder.layers.0.fc2.weight"].astype(">f4"),
        "led.encoder.layers.0.fc2.bias": np.frombuffer(b"\0" + given["led.encoder.layers.0.fc2.bias"].tobytes(), "u1")[
            1:
        ].view("<f4"),
    }
    weights, _ = assign(given | odd, TIED, "lm", copy=False)
    for name, array in odd.items():
        found = weights[name.removeprefix("led.")]
        assert found.flags.c_contiguous and found.flags.aligned and found.dtype == np.float32 and found is not array
        assert np.array_equal(found, array)
    assert set(kept) == set(copied)


def test_weights_of_a_mapped_file_are_not_copied(tmp_path):
    write_safetensors(tmp_path / "model.safetensors", tensors_of(without=EMBEDDINGS[1:]))
    weights, _ = load(tmp_path, TIED, "lm")
    base = weights["encoder.layers.0.fc1.weight"]
    while isinstance(base, np.ndarray) and base.base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


# Directories


@pytest.mark.parametrize("config", [TIED, UNTIED], ids=["tied", "untied"])
@pytest.mark.parametrize("head", ["lm", None])
def test_what_is_saved_is_loaded(config, head, tmp_path):
    made = tensors_of(config)
    if head is None:
        made = {name.removeprefix("led."): a for name, a in made.items() if name[:4] == "led."}
    weights, _ = assign(made, config, head)
    save(tmp_path, weights, config, head)
    stored = read_safetensors(tmp_path / "model.safetensors")
    embeddings = EMBEDDINGS if head else OWN_EMBEDDINGS[:3]
    assert set(made) - set(stored) == (set(embeddings[1:]) if config is TIED else set())
    loaded, report = load(tmp_path, config, head)
    assert_equal(loaded, weights)
    assert report.surprises() == report.assumed == []


WHOLE = [path for path in DIRECTORIES if (path / "model.safetensors").exists() and "float16" not in path.name]
WHOLE = [path for path in WHOLE if "untied" not in path.name or path.parent.name == "5.23.0"]


@pytest.mark.parametrize("directory", WHOLE, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_is_saved_is_the_references_file_byte_for_byte(directory, tmp_path):
    head, config = HEADS[directory.name.split("-")[0]], LEDConfig.from_pretrained(directory)
    save(tmp_path, load(directory, config, head)[0], config, head)
    assert (tmp_path / "model.safetensors").read_bytes() == (directory / "model.safetensors").read_bytes()


def test_what_is_missing_is_said_with_the_directory(tmp_path):
    write_safetensors(tmp_path / "model.safetensors", {})
    with pytest.raises(CheckpointError, match=f"^{re.escape(str(tmp_path))}: 58 weights are missing"):
        load(tmp_path, TIED, "lm")


def test_a_configuration_goes_with_the_weights_it_describes(tmp_path):
    weights, _ = assign(tensors_of(), TIED, "lm")
    save(tmp_path, weights, TIED, "lm")
    TIED.save_pretrained(tmp_path)
    save(tmp_path, weights, TIED, "lm")
    assert (tmp_path / "config.json").exists()
    for other in (json.dumps({**TIED.to_dict(), "attention_window": 6}), "{", "[]"):
        (tmp_path / "config.json").write_text(other, encoding="utf-8")
        save(tmp_path, weights, TIED, "lm")
        assert not (tmp_path / "config.json").exists()
    for stated, settings in ((None, {}), ({}, {"num_beams": 2}), ({"num_beams": 2}, {"num_beams": 2})):
        TIED.save_pretrained(tmp_path)
        if stated is not None:
            (tmp_path / "generation_config.json").write_text(json.dumps(stated), encoding="utf-8")
        save(tmp_path, weights, TIED, "lm", settings)
        assert (tmp_path / "config.json").exists() is (stated == settings)


def test_a_file_read_while_it_is_replaced_stays_as_it_was(tmp_path):
    weights, _ = assign(tensors_of(), TIED, "lm")
    save(tmp_path, weights, TIED, "lm")
    loaded, _ = load(tmp_path, TIED, "lm")
    save(tmp_path, {name: array * 2 for name, array in loaded.items()}, TIED, "lm")
    assert_equal(loaded, weights)
    assert np.array_equal(load(tmp_path, TIED, "lm")[0]["shared.weight"], weights["shared.weight"] * 2)


@pytest.fixture
def shards(tmp_path):
    """A checkpoint in three files, its index as a dictionary, and how to write the index back."""
    shutil.copytree(FILES / "5.23.0" / "lm-untied-shards", tmp_path, dirs_exist_ok=True)
    return tmp_path, json.loads((tmp_path / INDEX).read_text())


def first_of(index, number):
    """A tensor of one of the three files."""
    shard = f"model-0000{number}-of-00003.safetensors"
    return next(name for name, place in index["weight_map"].items() if place == shard), shard


def refused(directory, index, match):
    (directory / INDEX).write_text(index if isinstance(index, str) else json.dumps(index))
    with pytest.raises(CheckpointError, match=match):
        load(directory, UNTIED, "lm")


def test_a_single_file_comes_before_an_index(shards):
    directory, _ = shards
    expected = assign(tensors_of(UNTIED), UNTIED, "lm")[0]
    doubled = {name: array * 2 for name, array in expected.items()}
    assert_equal(load(directory, UNTIED, "lm")[0], expected)
    save(directory, doubled, UNTIED, "lm")
    assert_equal(load(directory, UNTIED, "lm")[0], doubled)


def test_a_shard_is_missing(shards):
    directory, index = shards
    (directory / first_of(index, 2)[1]).unlink()
    refused(directory, index, "index.json: 'model-00002-of-00003.safetensors' is not beside it: fetch every file")


def test_a_shard_is_damaged(shards):
    directory, index = shards
    path = directory / first_of(index, 3)[1]
    path.write_bytes(path.read_bytes()[:-1])
    refused(directory, index, "model-00003-of-00003.safetensors: cut short: .*fetch it again")


@pytest.mark.parametrize(
    "shard",
    [
        *("../x.safetensors", "a/b.safetensors", "/x.safetensors", "a\\b.safetensors", "c:x.safetensors"),
        *("a\0.safetensors", "model.bin", "model.SAFETENSORS", "", "..", "."),
    ],
)
def test_a_shard_has_a_plain_name(shard, shards):
    directory, index = shards
    index["weight_map"][first_of(index, 1)[0]] = shard
    said = f"index.json: {shard!r} is no plain name of a .safetensors file beside the index"
    refused(directory, index, re.escape(said))


def test_a_tensor_in_two_shards(shards):
    directory, index = shards
    name, first = first_of(index, 1)
    second = directory / first_of(index, 2)[1]
    tensors = read_safetensors(second)
    write_safetensors(second, dict(tensors) | {name: np.zeros(1, np.float32)})
    refused(directory, index, f"{second.name}: tensor '{name}' stands here, but the index has it in {first}")


def test_a_tensor_outside_the_index(shards):
    directory, index = shards
    name, shard = first_of(index, 2)
    del index["weight_map"][name]
    refused(directory, index, f"{shard}: tensor '{name}' stands here, but the index does not have it")


def test_a_tensor_of_the_index_that_its_shard_lacks(shards):
    directory, index = shards
    name, shard = first_of(index, 2)
    index["weight_map"]["led.more"] = shard
    refused(directory, index, f"{shard}: tensor 'led.more' is not here, as the index says")


@pytest.mark.parametrize(
    ("index", "match"),
    [
        ("", "index.json: not JSON"),
        ("[]", "index.json: holds a JSON list, an object was expected"),
        ("{}", "weight_map must map names of tensors to names of files"),
        ('{"weight_map": null}', "weight_map must map"),
        ('{"weight_map": ["a"]}', "weight_map must map"),
        ('{"weight_map": {"a": 1}}', "weight_map must map"),
        ('{"weight_map": {"a": null}}', "weight_map must map"),
        ('{"weight_map": {"a": "x", "a": "y"}}', "the key 'a' stands twice"),
        ('{"weight_map": {}}', "weights are missing"),
    ],
)
def test_an_index_of_wrong_form(index, match, shards):
    refused(shards[0], index, match)


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack"]
)
def test_a_directory_with_another_format_says_how_to_convert_it(name, tmp_path):
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(
        CheckpointError, match=f"holds {re.escape(name)}, but pyled reads model.safetensors: convert it"
    ):
        load(tmp_path, TIED, "lm")


def test_a_directory_without_weights(tmp_path):
    with pytest.raises(
        CheckpointError, match=r"holds neither model\.safetensors nor model\.safetensors\.index\.json: fetch"
    ):
        load(tmp_path, TIED, "lm")


def test_links_are_followed_and_dangling_ones_are_said(tmp_path):
    """The cache of the Hub is a directory of links to files of other names."""
    write_safetensors(tmp_path / "blob", tensors_of(without=EMBEDDINGS[1:]))
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "model.safetensors").symlink_to("../blob")
    assert_equal(load(tmp_path / "snapshot", TIED, "lm")[0], assign(tensors_of(), TIED, "lm")[0])
    (tmp_path / "blob").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be read: No such file"):
        load(tmp_path / "snapshot", TIED, "lm")


# Where a checkpoint is

ADAPTER = {"peft_type": "LORA", "base_model_name_or_path": "someone/a-long-led"}


def test_a_checkpoint_is_located(tmp_path):
    (tmp_path / "config.json").touch()
    assert located(tmp_path) == located(str(tmp_path)) == tmp_path
    assert located(None) == pyled.SYNOPSIS
    (tmp_path / "config.json").rename(tmp_path / "vocab.json")
    assert located(tmp_path, None) == located(tmp_path, "vocab.json") == tmp_path


@pytest.mark.parametrize(
    ("name", "rule", "said"),
    [
        ("absent", "no-directory", "absent is no directory: pass the directory of a downloaded checkpoint, with its"),
        (
            "someone/a-long-led",
            "no-directory",
            "is no directory: pyled downloads nothing.*`hf download someone/a-long-led",
        ),
        ("../x", "no-directory", "x is no directory: pass the directory"),
        ("file", "no-directory", "file is a file: pass the directory"),
        ("x" * 300, "no-directory", r"x cannot be looked up \(File name too long\): pass the directory"),
        ("a\0b", "no-directory", r"cannot be looked up \(.*null.*\): pass the directory"),
        ("empty", "file-missing", "empty holds no config.json: pass the directory"),
        (
            "adapter",
            "adapter",
            "adapter holds an adapter .*'someone/a-long-led': merge them with peft.*merge_and_unload",
        ),
        ("", None, "a checkpoint's name is '': pass its directory"),
        (3, None, "a checkpoint's name is 3: pass its directory"),
    ],
)
def test_where_no_checkpoint_is_it_is_said_why(name, rule, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    for folder in ("empty", "adapter"):
        (tmp_path / folder).mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(ADAPTER))
    with pytest.raises(InputError if rule is None else CheckpointError, match=said) as caught:
        located(name)
    assert caught.value.rule == rule
    if rule == "no-directory":
        with pytest.raises(CheckpointError, match=said):
            load(name, TIED, "lm")


def test_an_adapter_beside_a_configuration_is_no_model_either(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps(ADAPTER))
    with pytest.raises(CheckpointError, match="holds an adapter"):
        load(tmp_path, TIED, "lm")


def test_a_directory_that_may_not_be_looked_into(tmp_path, monkeypatch):
    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", forbidden)
    with pytest.raises(CheckpointError, match=r"cannot be looked up \(Permission denied\): pass"):
        located(tmp_path)
