"""`pyled inspect`: what a checkpoint holds, and what is wrong with it, also where parts of it are broken."""

import json

import numpy as np
import pytest
from checkpoints import TINY, changed, headed

import golden
from pyled.checkpoint import read_safetensors, write_safetensors
from pyled.config import LEDConfig
from pyled.models import LEDForConditionalGeneration
from pyled.tasks.inspection import parameters

BASE = {
    "vocab_size": 50265,
    "d_model": 768,
    "encoder_layers": 6,
    "decoder_layers": 6,
    "encoder_attention_heads": 12,
    "decoder_attention_heads": 12,
    "encoder_ffn_dim": 3072,
    "decoder_ffn_dim": 3072,
}  # led-base-16384


@pytest.fixture
def inspect(run):
    """`pyled inspect DIR --json`: (exit status, the facts, standard error)."""

    def inspect(directory):
        status, out, err = run("inspect", directory, "--json")
        return status, json.loads(out), err

    return inspect


def tensors_of(directory):
    return {name: np.array(tensor) for name, tensor in read_safetensors(directory / "model.safetensors").items()}


# What it holds


@pytest.mark.parametrize(
    ("config", "head", "count"),
    [  # num_parameters() of transformers 5.23.0
        (BASE, None, 161_844_480),
        (BASE, "lm", 161_844_480),
        (BASE, "qa", 161_846_018),
        (BASE | {"tie_word_embeddings": False}, None, 239_051_520),
        (BASE | {"tie_word_embeddings": False}, "lm", 277_655_040),
        (BASE | {"tie_word_embeddings": False}, "qa", 239_053_058),
    ],
)
def test_parameters_are_as_many_as_the_reference_counts(config, head, count):
    assert sum(parameters(LEDConfig(**config), head).values()) == count


def test_parameters_by_part():
    config = LEDConfig.from_pretrained(TINY)
    parts = parameters(config, "lm")
    assert sum(parts.values()) == 68_168  # as above
    E = config.d_model
    assert parts["embeddings"] == 600 * E
    assert (parts["encoder positions"], parts["decoder positions"]) == (1024 * E, 128 * E)
    assert set(parameters(config, "qa")) - set(parts) == {"head"}


def test_all_is_there_in_json(inspect):
    status, facts, err = inspect(TINY)
    assert (status, err, facts["problems"], facts["notes"]) == (0, "", [], [])
    stated = json.loads((TINY / "config.json").read_text(encoding="utf-8"))
    assert {name: facts["configuration"][name] for name in stated} == stated
    size = (TINY / "model.safetensors").stat().st_size
    assert facts["weights"] == {
        "files": {"model.safetensors": size},
        "stored": {"F32": sum(tensor.size for tensor in tensors_of(TINY).values())},
        "tied": [f"{name}.weight" for name in ("shared", "encoder.embed_tokens", "decoder.embed_tokens", "lm_head")],
        "missing": [],
        "misshaped": [],
        "unused": [],
        "no_parameters": {"final_logits_bias": 600},
    }
    assert facts["skipped"] == ["answers.json", "documents", "text.txt"]
    assert len(facts["memory"]) == 6
    for weights, encoder in (("float32", "float32"), ("int8", "int16")):
        model = LEDForConditionalGeneration.from_pretrained(TINY, weights=weights, encoder=encoder)
        arrays = {id(array): array.nbytes for array in (getattr(one, "values", one) for one in model.weights.values())}
        assert facts["memory"][f"weights={weights} encoder={encoder}"] == sum(arrays.values())
    assert facts["tokenizer"] == {
        "tokens": 600,
        "special_tokens": {"<s>": 0, "</s>": 2, "<unk>": 3, "<pad>": 1, "<mask>": 599},
        "model_max_length": None,
    }
    own = json.loads((TINY / "generation_config.json").read_text(encoding="utf-8"))
    stated = {name: setting["value"] for name, setting in facts["generation"].items() if "json" in setting["origin"]}
    assert stated == {
        name: own[name] for name in ("max_length", "num_beams", "no_repeat_ngram_size", "pad_token_id")
    } | {"eos_token_id": [2]}
    assert facts["generation"]["global_attention"] == {"value": "first", "origin": "pyled"}
    assert facts["generation"]["length_penalty"] == {"value": 1.0, "origin": "default"}


def test_the_same_is_told_to_people(run):
    status, out, err = run("inspect", TINY)
    assert (status, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    for line in (
        str(TINY),
        "encoder 2 layers, 4 heads, feed-forward 40, 1,024 positions",
        "decoder 2 layers, 3 heads, feed-forward 36, 128 positions",
        "attention_window 8: 4 tokens on each side",
        "in all 68,168",
        "numbers 68,768 in F32",
        "float32 275,072 bytes",
        "--weights int8 --encoder int16 236,864 bytes",
        "missing none",
        "tokens 600",
        "special tokens <s> 0, </s> 2, <unk> 3, <pad> 1, <mask> 599",
        "model_max_length none",
        "num_beams 4 (generation_config.json)",
    ):
        assert line in lines
    assert not any("return_dict" in line or "(default)" in line for line in lines)


def test_what_nobody_sets_is_as_a_summary_has_it(inspect, run, tmp_path):
    directory = changed(tmp_path / "led", config={"num_beams": 3, "max_decoder_position_embeddings": 40})
    facts = inspect(directory)[1]
    assert facts["generation"]["num_beams"] == {"value": 3, "origin": "config.json"}
    assert facts["generation"]["max_length"] == {"value": 41, "origin": "pyled"}
    assert facts["notes"] == ["no length is set: at most 40 tokens are generated; pass max_new_tokens"]
    assert "\nnotes\n  no length is set" in run("inspect", directory)[1]


def test_several_windows_and_limits(run, tmp_path):
    directory = changed(tmp_path / "led", config={"attention_window": [8, 16]})
    (directory / "tokenizer_config.json").write_text('{"model_max_length": 1024}', encoding="utf-8")
    lines = [" ".join(line.split()) for line in run("inspect", directory)[1].splitlines()]
    assert "attention_window 8, 16" in lines
    assert "model_max_length 1,024" in lines


def test_the_types_in_the_file_are_told(inspect, tmp_path):
    directory = changed(tmp_path / "led")
    tensors = tensors_of(directory)
    half = {name: tensor.astype(np.float16) for name, tensor in tensors.items() if "encoder.layers" in name}
    write_safetensors(directory / "model.safetensors", tensors | half)
    stored = inspect(directory)[1]["weights"]["stored"]
    count = sum(tensor.size for tensor in half.values())
    assert stored == {"F16": count, "F32": sum(tensor.size for tensor in tensors.values()) - count}


def test_shards_are_listed(inspect, tmp_path):
    directory = changed(tmp_path / "led")
    tensors = tensors_of(directory)
    (directory / "model.safetensors").unlink()
    parts = {"a.safetensors": list(tensors)[:9], "b.safetensors": list(tensors)[9:]}
    for file, names in parts.items():
        write_safetensors(directory / file, {name: tensors[name] for name in names})
    places = {name: file for file, names in parts.items() for name in names}
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}), encoding="utf-8")
    status, facts, _ = inspect(directory)
    assert facts["weights"]["files"] == {file: (directory / file).stat().st_size for file in parts}
    assert facts["weights"]["stored"] == {"F32": 68_768}
    assert status == 0


def test_torchs_shards_are_listed_too(inspect):
    directory = golden.FOLDER / "weight_files" / "4.57.6" / "lm-untied-bin-shards"
    facts = inspect(directory)[1]
    sizes = {path.name: path.stat().st_size for path in directory.glob("*.bin")}
    assert facts["weights"]["files"] == sizes and len(sizes) == 3
    assert facts["weights"]["stored"] == {"F32": 1_288}
    assert (facts["weights"]["missing"], facts["skipped"]) == ([], [])


# What is wrong with it


def test_missing_misshaped_and_unused_are_all_listed(inspect, tmp_path):
    directory = changed(tmp_path / "led")
    tensors = tensors_of(directory)
    gone = [name for name in tensors if ".fc1." in name]
    assert len(gone) > 5
    kept = {name: tensor for name, tensor in tensors.items() if name not in gone} | {"spare": np.zeros(2, np.float32)}
    wrong = next(name for name in kept if name.endswith("fc2.bias"))
    write_safetensors(directory / "model.safetensors", kept | {wrong: np.zeros(3, np.float32)})
    status, facts, err = inspect(directory)
    assert status == 3
    assert sorted(facts["weights"]["missing"]) == sorted(name.removeprefix("led.") for name in gone)
    assert facts["weights"]["unused"] == ["spare"]
    assert facts["weights"]["misshaped"] == [f"{wrong} (3,), expected (24,)"]
    assert facts["notes"][0] == "tensors that are no weight of this model: spare"
    assert "weights are missing" in err and err == f"pyled: {facts['problems'][0]}\n"


@pytest.mark.parametrize(
    ("file", "content", "part", "message"),
    [
        ("config.json", b"{", "configuration", "config.json: not JSON"),
        ("config.json", b'{"model_type": "bart"}', "configuration", "model_type 'bart'"),
        ("model.safetensors", b"\xff" * 9, "weights", "The file is damaged"),
        ("model.safetensors", None, "weights", "fetch the checkpoint's weights"),
        ("vocab.json", b"[]", "tokenizer", "vocab.json"),
        ("merges.txt", None, "tokenizer", "holds no merges.txt: copy"),
        ("generation_config.json", b'{"num_beams": 0}', "generation", "num_beams is 0"),
        ("generation_config.json", b'{"use_mtp": true}', "generation", "pyled does not implement"),
    ],
)
def test_a_broken_part_hides_none_of_the_others(inspect, run, tmp_path, file, content, part, message):
    directory = changed(tmp_path / "led", generation={})
    (directory / file).unlink()
    if content is not None:
        (directory / file).write_bytes(content)
    status, facts, err = inspect(directory)
    assert status == 3
    (problem,) = facts["problems"]
    assert message in problem and err == f"pyled: {problem}\n"
    hidden = {"configuration", "parameters", "generation"} if part == "configuration" else {part}
    parts = ("configuration", "parameters", "weights", "tokenizer", "generation")
    assert {name for name in parts if facts[name] is None} == hidden
    status, out, err = run("inspect", directory)
    assert (status, err) == (3, f"pyled: {problem}\n")
    assert all((f"\n{name}\n" in out) == (name not in hidden) for name in parts)


def test_weights_of_another_format_are_named(inspect, tmp_path):
    directory = changed(tmp_path / "led")
    (directory / "model.safetensors").rename(directory / "flax_model.msgpack")
    status, facts, _ = inspect(directory)
    assert (status, facts["weights"]) == (3, None)
    assert "holds flax_model.msgpack, but" in facts["problems"][0]
    assert facts["parameters"]["embeddings"] == 14_400


def test_a_tokenizer_of_another_model_is_noted(inspect, tmp_path):
    directory = changed(tmp_path / "led")
    (directory / "added_tokens.json").write_text('{"<doc-sep>": 600}', encoding="utf-8")
    status, facts, _ = inspect(directory)
    assert facts["notes"][-1] == "the tokenizer has 601 tokens, the model 600"
    assert facts["generation"]["global_attention"] == {"value": "doc-sep", "origin": "pyled"}
    assert status == 0


def test_the_head_is_that_of_the_architecture(inspect, tmp_path):
    directory = changed(tmp_path / "led", config={"architectures": ["LEDForQuestionAnswering"]})
    status, facts, _ = inspect(directory)
    assert sorted(facts["weights"]["missing"]) == ["qa_outputs.bias", "qa_outputs.weight"]
    assert "final_logits_bias" in facts["weights"]["unused"]
    assert status == 3


@pytest.mark.parametrize("kind", ["none", "file"])
def test_what_is_no_directory(run, tmp_path, kind):
    path = tmp_path / "x"
    if kind == "file":
        path.touch()
    status, out, err = run("inspect", path)
    assert (status, out) == (3, "")
    problem = "is a file" if kind == "file" else "is no directory"
    assert (
        err.startswith(f"pyled: {path} {problem}: pass the directory of a downloaded checkpoint")
        and err.count("\n") == 1
    )


def test_an_empty_directory_is_told_part_by_part(run, tmp_path):
    status, out, err = run("inspect", tmp_path)
    assert (status, out) == (3, f"{tmp_path}\n")
    problems = [line.rsplit("/", 1)[-1] for line in err.splitlines()]
    expected = [
        f"{tmp_path.name} holds no config.json",
        f"{tmp_path.name} holds neither",
        f"{tmp_path.name} holds no vocab.json",
    ]
    assert all(problem.startswith(words) for problem, words in zip(problems, expected, strict=True))


def test_a_name_that_is_no_utf8_leaves_valid_json(inspect, tmp_path):
    directory = tmp_path / "caf\udce9"
    changed(directory)
    status, facts, _ = inspect(directory)
    assert (status, facts["directory"]) == (0, str(directory))


def test_the_class_and_its_labels_are_shown(run, tmp_path):
    labels = {str(i): f"label {i}" for i in range(22)}
    out = run("inspect", headed(tmp_path / "labels", "classification", id2label=labels))[1]
    assert "  class                  LEDForSequenceClassification\n  labels                 label 0, label 1," in out
    assert "label 19, ... (22 in all)\n" in out and "label 20" not in out
    status, out, err = run("inspect", headed(tmp_path / "qa", "qa"))
    assert (status, err) == (0, "") and "LEDForQuestionAnswering" in out
    assert "  labels" not in out and "\ngeneration\n" not in out
