"""Files to weights: names, ties, shards, the reference's own files (golden/weight_files.py), and what is refused."""

import contextlib
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
from pyled.files import finish_replacing
from pyled.hub import MODEL, TOKENIZER, located

FILES = golden.FOLDER / "weight_files"
CONFIG = {
    "vocab_size": 13, "d_model": 6, "attention_window": 4, "encoder_layers": 1, "decoder_layers": 1,
    "encoder_attention_heads": 2, "decoder_attention_heads": 3, "encoder_ffn_dim": 5, "decoder_ffn_dim": 4,
    "max_encoder_position_embeddings": 12, "max_decoder_position_embeddings": 8,
}  # fmt: skip
TIED = LEDConfig(**CONFIG)
UNTIED = LEDConfig(**CONFIG, tie_word_embeddings=False)
EMBEDDINGS = (
    "led.shared.weight",
    "led.encoder.embed_tokens.weight",
    "led.decoder.embed_tokens.weight",
    "lm_head.weight",
)
OF_HEAD = ("lm_head.weight", "final_logits_bias")
FC1 = "led.encoder.layers.0.fc1.weight"  # (5, 6)
INDEX = "model.safetensors.index.json"


def plain(names):
    """Names of a file as names inside pyled, of a dictionary or a sequence."""
    if isinstance(names, dict):
        return {name.removeprefix("led."): array for name, array in names.items()}
    return [name.removeprefix("led.") for name in names]


def tensors_of(config=TIED, without=(), dtype=np.float32):
    """A whole checkpoint with a language head, from the hash; untied, four different matrices."""
    tensors = golden.WEIGHTS.make_weights({**CONFIG, "tie_word_embeddings": config.tie_word_embeddings}, 0, dtype)
    return {name: array for name, array in tensors.items() if name not in without}


def assert_equal(arrays, expected):
    assert set(arrays) == set(expected)
    for name, array in expected.items():
        assert arrays[name].dtype == array.dtype, name
        assert np.array_equal(arrays[name], array), name


def assert_refused(tensors, config, head, match, rule):
    with pytest.raises(CheckpointError, match=match) as caught:
        assign(tensors, config, head)
    assert caught.value.rule == rule


# The names and shapes


def test_shapes_are_those_of_the_reference():
    stored = json.loads((FILES / "5.23.0" / "tensors.json").read_text())
    config = LEDConfig.from_dict(stored["config"])
    expected = {name: tuple(shape) for name, shape in stored["tensors"].items()}
    assert {checkpoint.names.upstream_name(n, "lm"): s for n, s in expected_shapes(config, "lm").items()} == expected
    assert golden.WEIGHTS.shapes(config.to_dict()) == expected
    assert expected_shapes(config, None) == plain({n: shape for n, shape in expected.items() if n not in OF_HEAD})


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


@pytest.mark.parametrize("head", ["LM", "", 1, False])
def test_an_unknown_head_is_refused(head):
    with pytest.raises(InputError, match=f"head is {head!r}: it is one of None, 'qa', 'classification', 'lm'"):
        expected_shapes(TIED, head)


def test_state_dicts_have_upstreams_names():
    weights, _ = assign(tensors_of(), TIED, "lm")
    assert set(checkpoint.upstream_names(weights, "lm")) == set(tensors_of())
    body, _ = assign(tensors_of(), TIED, None)
    assert set(checkpoint.upstream_names(body, None)) == set(body)


# The files of the reference

TYPES = {"BOOL": "?", "BF16": "<f4"}  # in NumPy, of the types that are not called alike
HEADS = {"base": None, "lm": "lm", "qa": "qa", "classification": "classification"}
SHAPES = {
    "qa": {"qa_outputs": (2, 6)},
    "classification": {"classification_head.dense": (6, 6), "classification_head.out_proj": (2, 6)},
}
DIRECTORIES = sorted(path.parent for path in FILES.glob("*/*/config.json"))
of_reference = pytest.mark.parametrize("directory", DIRECTORIES, ids=lambda path: f"{path.parent.name}/{path.name}")


def expected_weights(directory):
    """The weights of one of golden/weight_files.py's cases, by its name."""
    head, tied, *how = directory.name.split("-")
    tensors = tensors_of(TIED if tied == "tied" else UNTIED, () if head == "lm" else OF_HEAD)
    if directory.parent.name == "4.57.6":
        tensors |= dict.fromkeys(EMBEDDINGS[1:3], tensors[EMBEDDINGS[0]])
    for name, shape in SHAPES.get(head, {}).items():
        for part, size in (("weight", shape), ("bias", shape[:1])):
            tensors[f"{name}.{part}"] = golden.WEIGHTS.reals(f"{name}.{part}", 0, size, np.float32)
    if how == ["float16"]:
        tensors = {name: array.astype(np.float16).astype(np.float32) for name, array in tensors.items()}
    if how == ["bfloat16"]:
        tensors = {name: rounded_to_bfloat16(array) for name, array in tensors.items()}
    return plain(tensors)


def rounded_to_bfloat16(array):
    """To nearest, ties to even, as torch rounds."""
    bits = array.view(np.uint32).astype(np.uint64)
    upper = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16
    return upper.astype(np.uint32).view(np.float32)


def test_there_are_files_of_both_versions():
    assert {directory.parent.name for directory in DIRECTORIES} == {"5.23.0", "4.57.6"}
    assert {directory.name.split("-")[0] for directory in DIRECTORIES} == set(HEADS)


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@of_reference
def test_a_directory_of_the_reference_is_read_whole(directory, dtype, mmap):
    config = LEDConfig.from_pretrained(directory)
    weights, report = load(directory, config, HEADS[directory.name.split("-")[0]], dtype=dtype, mmap=mmap)
    assert_equal(weights, {name: array.astype(dtype) for name, array in expected_weights(directory).items()})
    assert report.unused == report.assumed == []
    lacks_copies = directory.parent.name == "4.57.6" and not config.tie_word_embeddings and "-bin" not in directory.name
    assert len(report.conflicts) == (2 if lacks_copies else 0)
    assert all(not array.flags.writeable and array.flags.c_contiguous for array in weights.values())


@of_reference
def test_what_is_saved_is_the_references_file_byte_for_byte(directory, tmp_path):
    head, config = HEADS[directory.name.split("-")[0]], LEDConfig.from_pretrained(directory)
    save(tmp_path, load(directory, config, head)[0], config, head)
    path = directory / "model.safetensors"
    is_whole = path.exists() and "float16" not in path.parent.name
    if is_whole and (config.tie_word_embeddings or directory.parent.name == "5.23.0"):
        assert (tmp_path / "model.safetensors").read_bytes() == path.read_bytes()
    assert_equal(load(tmp_path, config, head)[0], expected_weights(directory))


def test_a_file_of_the_official_library_with_every_type():
    tensors = read_safetensors(FILES / "5.23.0" / "types.safetensors")
    assert len(tensors) == 14 * 3
    for name, array in tensors.items():
        kind, _, place = name.partition(".")
        assert array.dtype == (TYPES.get(kind) or f"<{kind[0].lower()}{int(kind[1:]) // 8}")
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


@pytest.mark.parametrize("source", EMBEDDINGS)
@pytest.mark.parametrize("head", ["lm", None])
def test_any_one_of_the_tied_names_gives_all(source, head):
    tensors = tensors_of(without={*EMBEDDINGS, "final_logits_bias"} - {source, *(OF_HEAD[1:] if head else ())})
    weights, report = assign(tensors, TIED, head)
    names = plain(EMBEDDINGS if head == "lm" else EMBEDDINGS[:3])
    for name in names:
        assert weights[name] is weights["shared.weight"]
        assert np.array_equal(weights[name], tensors[source])
    assert report.tied == names
    assert report.surprises() == []
    assert report.lines() == [f"tied: {' = '.join(names)}"]


@pytest.mark.parametrize(
    ("stored", "differ"),
    [((0, 1, 2, 3), ()), ((0, 1, 2, 3), (1, 2, 3)), ((0, 3), (3,)), ((1, 2), (2,)), ((2, 3), (3,)), ((0, 1, 3), (1,))],
)
def test_of_several_that_differ_the_first_wins_and_it_is_said(stored, differ):
    tensors = {name: array.copy() for name, array in tensors_of().items()}
    tensors = {n: array for n, array in tensors.items() if n not in EMBEDDINGS or EMBEDDINGS.index(n) in stored}
    for i in differ:
        tensors[EMBEDDINGS[i]] += np.float32(i)
    weights, report = assign(tensors, TIED, "lm")
    first = EMBEDDINGS[stored[0]]
    for name in plain(EMBEDDINGS):
        assert weights[name] is weights["shared.weight"]
        assert np.array_equal(weights[name], tensors[first])
    assert len(report.conflicts) == len(differ)
    for i, line in zip(differ, report.conflicts, strict=True):
        assert line.startswith(f"config.json ties {first} and {EMBEDDINGS[i]}, but they differ: the first is taken")
        assert '"tie_word_embeddings": false keeps both' in line
    assert (report.surprises(), report.unused) == (report.conflicts, [])


def test_copies_with_nan_are_equal_where_the_nan_is():
    tensors = {name: array.copy() for name, array in tensors_of().items()}
    for name in EMBEDDINGS:
        tensors[name][2, 3] = np.nan
    assert assign(tensors, TIED, "lm")[1].conflicts == []
    tensors["lm_head.weight"][2, 4] = np.nan
    assert len(assign(tensors, TIED, "lm")[1].conflicts) == 1


@pytest.mark.parametrize("stored", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_untied_embeddings_of_4_57_6_are_one_matrix(stored):
    """There `embed_tokens` is always `shared`; 5.23.0 makes random numbers of what such a file lacks."""
    tensors = tensors_of(UNTIED, without=[EMBEDDINGS[i] for i in range(3) if i not in stored])
    weights, report = assign(tensors, UNTIED, "lm")
    first = EMBEDDINGS[stored[0]]
    for i, name in enumerate(plain(EMBEDDINGS)):
        assert np.array_equal(weights[name], tensors[EMBEDDINGS[i] if i in (*stored, 3) else first])
    absent = [name for i, name in enumerate(plain(EMBEDDINGS[:3])) if i not in stored]
    assert [line.split(",")[0] for line in report.conflicts] == [f"config.json unties {name}" for name in absent]
    assert all(f"{first} is taken, as in 4.57.6" in line for line in report.conflicts)
    assert report.surprises() == report.lines() == report.conflicts


def test_untied_matrices_stay_apart():
    weights, _ = assign(tensors_of(UNTIED), UNTIED, "lm")
    assert len({weights[name].tobytes() for name in plain(EMBEDDINGS)}) == 4


def test_where_no_embedding_can_be_taken():
    assert_refused(
        tensors_of(UNTIED, EMBEDDINGS[3:]), UNTIED, "lm", r"^1 weights are missing: lm_head\.weight", "weights-missing"
    )
    said = r"3 weights are missing: decoder\.embed_tokens\.weight, encoder\.embed"
    assert_refused(tensors_of(UNTIED, EMBEDDINGS[:3]), UNTIED, "lm", said, "weights-missing")
    assert_refused(tensors_of(without=EMBEDDINGS), TIED, "lm", r"4 weights .*shared\.weight", "weights-missing")


def test_a_base_models_file_goes_into_a_head():
    weights, report = assign(plain(tensors_of(without=OF_HEAD)), TIED, "lm")
    assert_equal(weights, plain(tensors_of()) | {"final_logits_bias": np.zeros((1, 13), np.float32)})
    assert not weights["final_logits_bias"].flags.writeable
    assert report.assumed == ["final_logits_bias is not in the file: zeros"]
    assert report.surprises() == []


def test_a_heads_file_goes_into_the_base_model():
    weights, report = assign(tensors_of(), TIED, None)
    assert_equal(weights, plain(tensors_of(without=OF_HEAD)))
    assert report.unused == ["final_logits_bias"]
    assert report.surprises() == []
    assert str(report).splitlines()[-1] == "unused: final_logits_bias"
    _, report = assign(tensors_of(UNTIED), UNTIED, None)
    assert sorted(report.unused) == sorted(OF_HEAD)
    assert report.surprises() == []
    _, report = assign(tensors_of() | {"led.extra\033": np.zeros(1, np.float32)}, TIED, None)
    assert report.surprises() == [r"tensors that are no weight of this model: 'led.extra\x1b'"]


@pytest.mark.parametrize("count", [5, 8])
def test_what_is_unused_is_said_by_its_name_in_the_file(count):
    more = {f"led.extra.{i}": np.zeros(1, np.float32) for i in range(count - 1)} | {"led.lm_head.weight": np.array(3)}
    _, report = assign(tensors_of() | more, TIED, "lm")
    assert sorted(report.unused) == sorted(more)
    shown = ", ".join(sorted(more)[:5]) + (" and 3 more" if count == 8 else "")
    assert report.surprises() == [f"tensors that are no weight of this model: {shown}"]


def test_one_weight_under_two_names_is_refused():
    tensors = tensors_of() | {"shared.weight": tensors_of()["led.shared.weight"]}
    said = r"both 'led\.shared\.weight' and 'shared\.weight' are there: leave one"
    assert_refused(tensors, TIED, "lm", said, "one-weight-twice")


# Missing, misshaped, of another type


@pytest.mark.parametrize(("head", "count"), [("qa", 2), ("classification", 4)])
def test_a_head_that_the_file_lacks_is_not_drawn_at_random(head, count):
    said = rf"^{count} weights are missing: .*\. The file is of a model without the head '{head}'"
    assert_refused(tensors_of(), TIED, head, said, "weights-missing")
    tensors = tensors_of() | {"led.encoder.layernorm_embedding.bias": np.zeros(2, np.float32)}
    said = rf"{count} weights are missing: .*; 1 tensors .*\. Are config\.json"
    assert_refused(tensors, TIED, head, said, "weights-missing")


def test_what_is_missing_is_listed():
    said = (
        "2 weights are missing: decoder.embed_positions.weight, encoder.layers.0.fc1.weight. "
        "Are config.json and the weights of one checkpoint?"
    )
    tensors = tensors_of(without=[FC1, "led.decoder.embed_positions.weight"])
    assert_refused(tensors, TIED, "lm", f"^{re.escape(said)}$", "weights-missing")
    alone = {"lm_head.weight": tensors_of()["lm_head.weight"]}
    assert_refused(alone, TIED, "lm", r"^54 weights are missing: .* and 49 more\.", "weights-missing")


def test_every_weight_but_the_bias_of_zeros_is_needed():
    for name in set(tensors_of()) - {*EMBEDDINGS, "final_logits_bias"}:
        said = f"^1 weights are missing: {re.escape(name[4:])}\\. "
        assert_refused(tensors_of(without=[name]), TIED, "lm", said, "weights-missing")


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "net.", "base_model.model.", "module._orig_mod."])
@pytest.mark.parametrize("has_head", [True, False])
def test_weights_under_names_with_a_prefix_are_told_as_such(prefix, has_head):
    tensors = tensors_of() if has_head else plain(tensors_of(without=OF_HEAD))
    advice = {"_orig_mod.": "save model._orig_mod", "module.": "save model.module", "base_model.model.": ".*merge_and"}
    said = f"58 weights are missing.*names that begin with '{re.escape(prefix)}': {advice.get(prefix, 'rename')}"
    assert_refused({prefix + name: array for name, array in tensors.items()}, TIED, "lm", said, "prefix")


def test_an_adapter_inside_the_weights_is_to_be_merged_first():
    query = "led.encoder.layers.0.self_attn.longformer_self_attn.query"
    tensors = tensors_of(without=[f"{query}.weight"])
    tensors |= {
        f"{query}.{part}.weight": np.zeros((6, 6)) for part in ("base_layer", "lora_A.default", "lora_B.default")
    }
    said = rf"1 weights are missing.*holds a LoRA adapter \({query}.lora_A.default.weight\): merge it first"
    assert_refused(tensors, TIED, "lm", said, "lora")


def test_what_has_another_shape_is_named_with_both():
    wrong = {FC1: np.zeros((6, 5), np.float32), "final_logits_bias": np.zeros(13)}
    said = (
        "2 tensors have another shape than config.json says: final_logits_bias (13,), expected (1, 13), "
        "led.encoder.layers.0.fc1.weight (6, 5), expected (5, 6). Are config.json and the weights of one checkpoint?"
    )
    assert_refused(tensors_of() | wrong, TIED, "lm", f"^{re.escape(said)}$", "weights-misshaped")


@pytest.mark.parametrize("name", EMBEDDINGS)
@pytest.mark.parametrize("is_alone", [True, False])
def test_a_tied_matrix_of_another_shape_is_named_once(name, is_alone):
    tensors = tensors_of(without=EMBEDDINGS if is_alone else ()) | {name: np.zeros((14, 6), np.float32)}
    for head in ("lm", None):
        said = rf"^1 tensors have .*: {name} \(14, 6\), expected \(13, 6\)\."
        assert_refused(tensors, TIED, head, said, "weights-misshaped")


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.bool_, np.complex64])
def test_only_floats_are_weights(dtype):
    said = f"{FC1} holds {np.dtype(dtype)} values: weights are floating-point"
    assert_refused(tensors_of() | {FC1: np.zeros((5, 6), dtype)}, TIED, "lm", said, "no-floats")


@pytest.mark.parametrize("tensors", [{"led.shared.weight": [[1.0]]}, {3: np.zeros(1)}, {None: np.zeros(1)}])
def test_only_named_arrays_are_weights(tensors):
    assert_refused(tensors, TIED, "lm", "weights are NumPy arrays by their names", "no-array")


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
    said = f"{name} holds values beyond the range of float32: load it with dtype"
    assert_refused(tensors, TIED, "lm", said, "beyond-float32")
    assert assign(tensors, TIED, "lm", dtype="float64")[0][name[4:]][4] == 4e38


def test_a_signalling_nan_is_a_nan_without_a_warning():
    name = "led.encoder.layers.0.fc1.bias"
    tensors = tensors_of()
    tensors[name] = np.array([0x7FA00000, 0, 0, 0, 0], np.uint32).view(np.float32)
    weights, _ = assign(tensors, TIED, "lm", dtype="float64")
    assert np.array_equal(weights[name[4:]], [np.nan, 0, 0, 0, 0], equal_nan=True)


def test_arrays_are_copied_unless_they_fit():
    tensors = tensors_of()
    bias = tensors["led.encoder.layers.0.fc2.bias"]
    odd = {
        FC1: np.asfortranarray(tensors[FC1]),
        "led.encoder.layers.0.fc2.weight": tensors["led.encoder.layers.0.fc2.weight"].astype(">f4"),
        "led.encoder.layers.0.fc2.bias": np.frombuffer(b"\0" + bias.tobytes(), "u1")[1:].view("<f4"),  # not aligned
    }
    for copy in (True, False):
        weights, _ = assign(tensors | odd, TIED, "lm", copy=copy)
        for name, array in (tensors | odd).items():
            weight = weights[name.removeprefix("led.")]
            assert np.array_equal(weight, array) and weight.dtype == np.float32
            assert weight.flags.c_contiguous and weight.flags.aligned
            if name not in EMBEDDINGS:
                assert (weight is array) is (not copy and name not in odd)
            assert array.flags.writeable or not copy or name in odd


def test_weights_of_a_mapped_file_are_not_copied(tmp_path):
    write_safetensors(tmp_path / "model.safetensors", tensors_of(without=EMBEDDINGS[1:]))
    base = load(tmp_path, TIED, "lm")[0]["encoder.layers.0.fc1.weight"]
    while isinstance(base, np.ndarray) and base.base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


# Directories


@pytest.mark.parametrize("renamings", [0, 1, 2, 3])
def test_a_configuration_goes_with_the_weights_it_describes(renamings, tmp_path, monkeypatch):
    """A save that is killed between two renamings leaves no configuration of other weights, and can be finished."""
    stated, of_generation = tmp_path / "config.json", tmp_path / "generation_config.json"
    weights, _ = assign(tensors_of(), TIED, "lm")

    def after_a_kill(settings=None):
        """The configuration that an interrupted save leaves."""
        left = [*[Path.replace] * renamings, None]
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", lambda part, target: left.pop(0)(part, target))
            with contextlib.suppress(TypeError):
                save(tmp_path, weights, TIED, "lm", settings)
        text = stated.read_text(encoding="utf-8") if stated.exists() else None
        finish_replacing(tmp_path)
        assert json.loads(stated.read_text(encoding="utf-8")) == TIED.to_dict()
        assert settings is None or json.loads(of_generation.read_text(encoding="utf-8")) == settings
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
        return text

    save(tmp_path, weights, TIED, "lm")
    now = stated.read_text(encoding="utf-8")
    assert after_a_kill() == now
    for other in (json.dumps({**TIED.to_dict(), "attention_window": 6}), "{", "[]"):
        stated.write_text(other, encoding="utf-8")
        assert after_a_kill() == (now if renamings > 1 else None)
    for before, settings in ((None, {}), ({}, {"num_beams": 2}), ({"num_beams": 2}, {"num_beams": 2})):
        of_generation.unlink(missing_ok=True)
        if before is not None:
            of_generation.write_text(json.dumps(before), encoding="utf-8")
        assert after_a_kill(settings) == (now if before == settings or renamings > 2 else None)


def test_finishing_a_save_changes_no_file_elsewhere(tmp_path):
    (tmp_path / "led").mkdir()
    (tmp_path / "mine").write_text("old")
    (tmp_path / "led" / "config.json").symlink_to("../mine")
    for name in (".01234567.whole", ".config.json.01234567.part"):
        (tmp_path / "led" / name).touch()
    for name in (".89abcdef.whole", "...01234567.part", ".merges.txt.01234567.part", "vocab.json"):  # not pyled's
        (tmp_path / "led" / name).mkdir()
    (tmp_path / "led" / ".vocab.json.01234567.part").touch()
    finish_replacing(tmp_path / "led")
    assert (tmp_path / "led" / "config.json").is_symlink() and (tmp_path / "mine").read_text() == "old"
    assert not (tmp_path / "led" / "merges.txt").exists() and (tmp_path / "led" / "vocab.json").is_dir()


def test_a_file_read_while_it_is_replaced_stays_as_it_was(tmp_path):
    weights, _ = assign(tensors_of(), TIED, "lm")
    save(tmp_path, weights, TIED, "lm")
    loaded, _ = load(tmp_path, TIED, "lm")
    save(tmp_path, {name: array * 2 for name, array in loaded.items()}, TIED, "lm")
    assert_equal(loaded, weights)
    assert np.array_equal(load(tmp_path, TIED, "lm")[0]["shared.weight"], weights["shared.weight"] * 2)


@pytest.fixture
def shards(tmp_path):
    """A checkpoint in three files, and its index as a dictionary."""
    shutil.copytree(FILES / "5.23.0" / "lm-untied-shards", tmp_path, dirs_exist_ok=True)
    return tmp_path, json.loads((tmp_path / INDEX).read_text())


def first_of(index, number):
    """A tensor of one of the three files, and the file."""
    shard = f"model-0000{number}-of-00003.safetensors"
    return next(name for name, place in index["weight_map"].items() if place == shard), shard


def assert_directory_refused(directory, index, match, rule):
    (directory / INDEX).write_text(index if isinstance(index, str) else json.dumps(index))
    with pytest.raises(CheckpointError, match=match) as caught:
        load(directory, UNTIED, "lm")
    assert caught.value.rule == rule


def test_a_single_file_comes_before_an_index(shards):
    directory, _ = shards
    doubled = {name: array * 2 for name, array in load(directory, UNTIED, "lm")[0].items()}
    save(directory, doubled, UNTIED, "lm")
    assert_equal(load(directory, UNTIED, "lm")[0], doubled)


def test_a_shard_is_damaged_or_missing(shards):
    directory, index = shards
    path = directory / first_of(index, 3)[1]
    path.write_bytes(path.read_bytes()[:-1])
    assert_directory_refused(directory, index, f"{path.name}: cut short: .*fetch it again", "data-cut-short")
    path.unlink()
    assert_directory_refused(directory, index, f"'{path.name}' is not beside it: fetch every file", "shard-missing")


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
    assert_directory_refused(directory, index, re.escape(said), "shard-name")


def test_a_tensor_is_in_the_file_of_the_index_and_in_no_other(shards):
    directory, index = shards
    name, shard = first_of(index, 2)
    index["weight_map"]["led.more"] = shard
    said = f"{shard}: tensor 'led.more' is not here, as the index says"
    assert_directory_refused(directory, index, said, "tensor-absent")
    del index["weight_map"]["led.more"], index["weight_map"][name]
    said = f"{shard}: tensor '{name}' stands here, but the index does not have it"
    assert_directory_refused(directory, index, said, "tensor-elsewhere")
    index["weight_map"][name] = first = first_of(index, 1)[1]
    said = f"{shard}: tensor '{name}' stands here, but the index has it in {first}"
    assert_directory_refused(directory, index, said, "tensor-elsewhere")


@pytest.mark.parametrize(
    ("index", "match", "rule"),
    [
        ("", "index.json: not JSON", "not-json"),
        ("[]", "index.json: holds a JSON list, an object was expected", "not-an-object"),
        *(
            (index, "weight_map must map names of tensors to names of files", "weight-map")
            for index in (
                "{}",
                *(f'{{"weight_map": {value}}}' for value in ("null", '["a"]', '{"a": 1}', '{"a": null}')),
            )
        ),
        ('{"weight_map": {"a": "x", "a": "y"}}', "the key 'a' stands twice", "duplicate-key"),
        ('{"weight_map": {}}', "weights are missing", "weights-missing"),
    ],
)
def test_an_index_of_wrong_form(index, match, rule, shards):
    assert_directory_refused(shards[0], index, match, rule)


@pytest.mark.parametrize(
    ("files", "said", "rule"),
    [
        (
            ["flax_model.msgpack"],
            r"holds flax_model\.msgpack, but pyled reads model.safetensors and pytorch_model.bin and tf_model.h5:",
            "other-format",
        ),
        (
            [],
            r"holds neither model\.safetensors nor pytorch_model\.bin nor tf_model\.h5, nor the index of several files",
            "file-missing",
        ),
        (["model.safetensors"], "58 weights are missing", "weights-missing"),
        (["adapter_config.json", "config.json"], "holds an adapter", "adapter"),
    ],
)
def test_a_directory_without_weights(files, said, rule, tmp_path):
    for name in files:
        (tmp_path / name).write_bytes(b"\2\0\0\0\0\0\0\0{}" if name.endswith("safetensors") else b"{}")
    with pytest.raises(CheckpointError, match=f"^{re.escape(str(tmp_path))}:? {said}") as caught:
        load(tmp_path, TIED, "lm")
    assert caught.value.rule == rule


def test_links_are_followed_and_dangling_ones_are_said(tmp_path):
    """The cache of the Hub is a directory of links to files of other names."""
    write_safetensors(tmp_path / "blob", tensors_of(without=EMBEDDINGS[1:]))
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "model.safetensors").symlink_to("../blob")
    assert_equal(load(tmp_path / "snapshot", TIED, "lm")[0], plain(tensors_of()))
    (tmp_path / "blob").unlink()
    with pytest.raises(CheckpointError, match=r"cannot be read: it is a link to .*/blob, which is not there"):
        load(tmp_path / "snapshot", TIED, "lm")


# Where a checkpoint is


def test_a_checkpoint_is_located(tmp_path):
    (tmp_path / "config.json").touch()
    assert located(tmp_path, *MODEL) == located(str(tmp_path), *MODEL) == tmp_path
    assert located(None, *MODEL) == pyled.SYNOPSIS
    (tmp_path / "config.json").rename(tmp_path / "vocab.json")
    assert located(tmp_path) == located(tmp_path, TOKENIZER) == located(tmp_path, *MODEL, is_strict=False) == tmp_path


@pytest.mark.parametrize(
    ("name", "rule", "said"),
    [
        ("absent", "no-directory", "absent is no directory: pass the directory of a downloaded checkpoint, with its"),
        ("absent/", "no-directory", "absent is no directory: .*, or its name on the Hugging Face Hub, owner/name"),
        ("a/b@0123", "no-directory", "no directory: pass a/b, if that is its name on .*, and revision='0123'"),
        ("../x", "no-directory", "x is no directory: pass the directory"),
        ("file", "no-directory", "file is a file: pass the directory"),
        ("x" * 300, "no-directory", r"x cannot be looked up \(File name too long\): pass the directory"),
        ("a\0b", "no-directory", r"cannot be looked up \(.*null.*\): pass the directory"),
        ("empty", "file-missing", "empty holds no config.json: pass the directory"),
        ("adapter", "adapter", "adapter holds an adapter .*'some/led': merge them with peft.*merge_and_unload"),
        ("", None, "a checkpoint's name is '': pass its directory"),
        (3, None, "a checkpoint's name is 3: pass its directory"),
    ],
)
def test_where_no_checkpoint_is_it_is_said_why(name, rule, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    for folder in ("empty", "adapter"):
        (tmp_path / folder).mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text('{"base_model_name_or_path": "some/led"}')
    with pytest.raises(InputError if rule is None else CheckpointError, match=said) as caught:
        located(name, *MODEL)
    assert caught.value.rule == rule
    if rule == "no-directory":
        with pytest.raises(CheckpointError, match=said):
            load(name, TIED, "lm")


def test_a_directory_that_may_not_be_looked_into(tmp_path, monkeypatch):
    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", forbidden)
    with pytest.raises(CheckpointError, match=r"cannot be looked up \(Permission denied\): pass"):
        located(tmp_path)
