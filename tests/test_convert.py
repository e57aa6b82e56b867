"""`pyled convert`: every number stays, names become upstream's, and nobody finds half of a checkpoint."""

import json
import shutil
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from budget import assert_within
from checkpoints import TINY, changed
from commands import SHORT, process
from test_checkpoint import DIRECTORIES, EMBEDDINGS, FC1, of_reference, plain, tensors_of

import golden
from pyled import LEDForConditionalGeneration, LEDForQuestionAnswering
from pyled.checkpoint import convert, prepare, write_safetensors
from pyled.checkpoint.conversion import BESIDE
from pyled.checkpoint.directory import read_directory
from pyled.checkpoint.safetensors import BF16
from pyled.config import LEDConfig
from pyled.errors import CheckpointError, ConfigError, InputError

SMALL = next(path for path in DIRECTORIES if path.name == "lm-tied")
WILD = json.loads((golden.FOLDER / "wild.json").read_text(encoding="utf-8"))


def stored(directory):
    """Each tensor of a directory as it is stored: its type, its shape, its bytes."""
    arrays = {name: array for shard in read_directory(directory).values() for name, array in shard.items()}
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def checkpoint(folder, tensors, config=SMALL / "config.json"):
    folder.mkdir()
    shutil.copy(config, folder)
    write_safetensors(folder / "model.safetensors", tensors)
    return folder


# What is written


@of_reference
def test_what_the_reference_saved_is_its_file_again(directory, run, tmp_path):
    """Without a word about the head, in any type of numbers, from safetensors and from torch's files."""
    new = tmp_path / "new"
    told = f"pyled: {directory} holds no vocabulary: copy the tokenizer's files of its model into {new}\n"
    status, out, err = run("convert", directory, new)
    assert (status, out) == (0, f"{new}\n") and err.startswith(told)
    before, after = stored(directory), stored(new)
    if (directory.parent.name, directory.name) == ("4.57.6", "lm-untied"):  # 5.23.0 would draw the others at random
        assert "config.json unties decoder.embed_tokens.weight, but it is not in the file" in err
        before |= dict.fromkeys(EMBEDDINGS[1:3], before[EMBEDDINGS[0]])
    else:
        assert err == told
        files = [folder / "model.safetensors" for folder in (directory, new)]
        assert not files[0].exists() or files[0].read_bytes() == files[1].read_bytes()
    if LEDConfig.from_pretrained(directory).tie_word_embeddings:
        before = {name: tensor for name, tensor in before.items() if plain([name])[0] not in plain(EMBEDDINGS[1:])}
    assert after == before
    beside = content(directory).items() & content(new).items()
    assert {name for name, _ in beside} >= {"config.json", "generation_config.json"} & content(directory).keys()


@pytest.mark.parametrize("name", ["base", "lm"])
def test_tensorflows_files_are_converted(name, tmp_path):
    source = golden.FOLDER / "tf_model" / name
    convert(source, tmp_path / "new")
    before = {name: tensor for name, tensor in stored(source).items() if plain([name])[0] not in plain(EMBEDDINGS[1:])}
    assert stored(tmp_path / "new") == before


def test_what_is_converted_is_a_whole_checkpoint(run, tmp_path):
    source = changed(tmp_path / "led", generation={})
    for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        (source / name).write_text("{}", encoding="utf-8")
    (source / "README.md").write_text("no part of it", encoding="utf-8")
    new = tmp_path / "of" / "mine" / "new"
    assert run("convert", source, new) == (0, f"{new}\n", "")
    assert content(new) == {name: data for name, data in content(source).items() if name in content(new)}
    assert content(new).keys() == {*BESIDE, "config.json", "model.safetensors"} - {"tokenizer.json"}
    options = ("--max-length", "5", "--quiet")
    (tmp_path / "note.txt").write_text(SHORT, encoding="utf-8")
    texts = [run("summarize", tmp_path / "note.txt", "-m", folder, *options) for folder in (source, new)]
    assert texts[0] == texts[1] and texts[0][0] == 0


@pytest.mark.parametrize("source", EMBEDDINGS)
def test_any_tied_name_becomes_the_one_that_save_pretrained_leaves(source, tmp_path):
    tensors = tensors_of(without={*EMBEDDINGS} - {source})
    assert convert(checkpoint(tmp_path / "one", tensors), tmp_path / "new")[1:] == []
    assert stored(tmp_path / "new") == stored(SMALL)
    assert convert(checkpoint(tmp_path / "all", tensors_of()), tmp_path / "newer")[1:] == []
    assert stored(tmp_path / "newer") == stored(SMALL)


def test_numbers_keep_their_bits(tmp_path):
    """Half types, NaN with a payload, and several types in one file."""
    tensors = tensors_of(without=EMBEDDINGS[1:])
    tensors |= {name: array.astype(np.float64) for name, array in tensors.items() if ".fc2." in name}
    tensors |= {name: array.astype(np.float16) for name, array in tensors.items() if ".key." in name}
    tensors[FC1] = np.arange(0x7FC0 - 15, 0x7FC0 + 15).astype("<u2").view(BF16).reshape(5, 6)
    tensors["led.encoder.layers.0.fc1.bias"] = np.array([0x7FA00001, 1, 1 << 31, 0x7F800000, 0], "<u4").view("<f4")
    source = checkpoint(tmp_path / "odd", tensors)
    convert(source, tmp_path / "new")
    assert stored(tmp_path / "new") == stored(source)
    assert {dtype for dtype, _, _ in stored(source).values()} == {BF16, *map(np.dtype, ("<f2", "<f4", "<f8"))}


def test_a_language_model_may_have_no_tensor_of_its_head(tmp_path):
    tensors = tensors_of(without=(*EMBEDDINGS[1:], "final_logits_bias"))
    convert(checkpoint(tmp_path / "led", tensors | {"odd": np.zeros(1)}), tmp_path / "new")
    assert set(stored(tmp_path / "new")) == set(tensors)


def test_what_is_left_out_and_what_differs_is_told(run, tmp_path):
    tensors = tensors_of() | {"led.encoder.version": np.zeros(1, np.int64), "qa\33": np.zeros(2, np.float32)}
    tensors["lm_head.weight"] = tensors["lm_head.weight"] * 2
    source = checkpoint(tmp_path / "led", tensors)
    _, _, err = run("convert", source, tmp_path / "new")
    assert "pyled: left out, no weights of this model: led.encoder.version, 'qa\\x1b'\n" in err
    assert "pyled: config.json ties led.shared.weight and lm_head.weight, but they differ: the first is taken" in err
    assert stored(tmp_path / "new") == stored(SMALL)
    assert run("convert", source, tmp_path / "newer", "--quiet") == (0, f"{tmp_path / 'newer'}\n", "")


def test_memory_is_that_of_a_few_pieces(tmp_path):
    rows = 700_000
    config = json.loads((SMALL / "config.json").read_text()) | {"vocab_size": rows}
    (tmp_path / "config.json").write_text(json.dumps(config))
    wide = {"led.shared.weight": np.zeros((rows, 6), np.float32), "final_logits_bias": np.zeros((1, rows), np.float32)}
    tensors = tensors_of(without=EMBEDDINGS[1:]) | wide
    source = checkpoint(tmp_path / "led", tensors, tmp_path / "config.json")
    tracemalloc.start()
    convert(source, tmp_path / "new")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 << 20 < (tmp_path / "new" / "model.safetensors").stat().st_size


# What is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: {f"_orig_mod.{name}": array for name, array in tensors.items()}, "begin with '_orig_mod.'"),
        (lambda tensors: {f"module.{name}": array for name, array in tensors.items()}, "begin with 'module.'"),
        (lambda tensors: {f"base_model.model.{name}": a for name, a in tensors.items()}, "model.merge_and_unload()"),
        (lambda tensors: {f"{FC1[:-6]}lora_A.weight": tensors[FC1]}, "holds a LoRA adapter"),
        (lambda tensors: {n: a for n, a in tensors.items() if n != FC1}, "1 weights are missing: encoder.layers.0.fc1"),
        (lambda tensors: tensors | {FC1: np.zeros((6, 5), np.float32)}, "another shape than config.json says"),
        (lambda tensors: tensors | {FC1: np.zeros((5, 6), np.int8)}, "holds int8 values: weights are floating-point"),
    ],
)
def test_what_is_no_led_is_not_converted(change, message, run, tmp_path):
    source = checkpoint(tmp_path / "odd", change(tensors_of()))
    status, out, err = run("convert", source, tmp_path / "new")
    assert (status, out) == (3, "") and err.startswith(f"pyled: {source}: ") and message in err
    assert not (tmp_path / "new").exists()


def test_what_is_no_checkpoint_is_not_converted(run, tmp_path):
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text('{"base_model_name_or_path": "a/led"}')
    other = checkpoint(tmp_path / "bart", tensors_of())
    (other / "config.json").write_text('{"model_type": "bart"}')
    for name, said in (("adapter", "'a/led': merge them with peft"), ("bart", "config.json: model_type 'bart'"),
                       ("absent", "is no directory")):  # fmt: skip
        status, out, err = run("convert", tmp_path / name, tmp_path / "new")
        assert (status, out) == (3, "") and said in err
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "vocab.json", "pytorch_model.bin"])
def test_a_checkpoint_is_replaced_only_when_forced(name, run, tmp_path):
    (tmp_path / name).write_bytes(b"old")
    status, out, err = run("convert", TINY, tmp_path)
    assert (status, out) == (2, "") and content(tmp_path) == {name: b"old"}
    assert f"{tmp_path} holds {name} already: pass --force to replace it, or name another directory" in err
    (tmp_path / "notes.txt").write_bytes(b"mine")
    assert run("convert", TINY, tmp_path, "--force") == (0, f"{tmp_path}\n", "")
    assert stored(tmp_path) == stored(TINY) and (tmp_path / "notes.txt").read_bytes() == b"mine"
    assert (tmp_path / name).read_bytes() == ((TINY / name).read_bytes() if (TINY / name).exists() else b"old")


def test_no_file_stays_that_would_be_read_with_the_new_weights(run, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(b"old")
    status, _, err = run("convert", TINY, tmp_path, "--force")
    assert status == 2 and "holds tokenizer.json, which the source does not: remove what would be read" in err
    assert content(tmp_path) == {"tokenizer.json": b"old"}


def test_the_source_is_no_target(run, tmp_path):
    source = changed(tmp_path / "led")
    (tmp_path / "link").symlink_to(source)
    before = content(source)
    for name in (source, tmp_path / "link", f"{source}/../led/"):
        assert "is the source itself" in run("convert", source, name)[2]
        status, _, err = run("convert", source, name, "--force")
        assert status == 2 and "is the source itself, which stays as it is: name another directory" in err
    assert content(source) == before


def test_a_target_that_is_no_directory(run, tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    for name in ("file", "file/below"):
        status, out, err = run("convert", TINY, tmp_path / name)
        assert (status, out) == (2, "") and err.endswith(f"{tmp_path / 'file'} is no directory: name another\n")
    assert run("convert", TINY, "")[2].endswith("error: DST names no directory: name one\n")
    assert content(tmp_path) == {"file": b"mine"}


# Whatever happens


def test_a_failure_leaves_what_was_there(tmp_path):
    def fail():
        raise RuntimeError("full")

    for force, old in ((False, None), (True, changed(tmp_path / "old"))):
        target = old or tmp_path / "made" / "new"
        before = content(old) if old else None
        with pytest.raises(RuntimeError, match="full"):
            prepare(TINY, target, force=force).write(before_piece=fail)
        assert (content(target) if target.exists() else None) == before
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


INTERRUPTED = """
import os, signal, sys
from pyled.checkpoint import safetensors
pieces = safetensors.pieces
def interrupted(array):
    os.kill(os.getpid(), signal.SIGINT)
    yield from pieces(array)
safetensors.pieces = interrupted
from pyled.cli import main
sys.exit(main())
"""


def test_an_interrupt_leaves_nothing(tmp_path):
    command = [sys.executable, "-P", "-c", INTERRUPTED, "convert", str(TINY), str(tmp_path / "a" / "new")]
    done = subprocess.run(command, env=process()["env"], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
    assert not list(tmp_path.iterdir())


# The layout of allenai's original code


@pytest.fixture
def original(tmp_path):
    """A directory as that code wrote it."""
    config = WILD["original"]["config"]
    sizes = config | {name: config[name] + 2 for name in config if name.startswith("max_")} | {"architectures": None}
    names = {name: name.replace("led.", "model.") for name in golden.WEIGHTS.shapes(sizes) if name != EMBEDDINGS[3]}
    tensors = golden.WEIGHTS.make_weights(sizes, 0)
    (tmp_path / "config.json").write_text(json.dumps(config))
    return checkpoint(tmp_path / "original", {names[n]: tensors[n] for n in names}, tmp_path / "config.json")


def test_original_weights_compute_what_bart_does(original, run, tmp_path):
    status, _, err = run("convert", original, tmp_path / "new")
    assert status == 0 and "attention_window [10, 10] counts the tokens of one side there: it becomes [20, 20]" in err
    assert "the layout is that of allenai's original code: names begin with led. now, and the first 2 rows" in err
    model = LEDForConditionalGeneration.from_pretrained(tmp_path / "new", dtype="float64")
    ids = {name: np.array(WILD["original"][name]) for name in ("input_ids", "decoder_input_ids")}
    assert_within("logits", model(**ids).logits, np.array(WILD["original"]["logits"]), 0.0)
    assert (
        model.config.attention_window == [20, 20]
        and not {"attention_mode", "extra_pos_embeddings"} & vars(model.config)["extra"].keys()
    )


@pytest.mark.parametrize("kind", [LEDForConditionalGeneration, LEDForQuestionAnswering])
def test_original_weights_are_not_loaded_but_the_converter_is_named(kind, original):
    with pytest.raises(ConfigError, match=r"model_type 'bart'.*original files are read by `pyled convert`"):
        kind.from_pretrained(original)
    config = json.loads((original / "config.json").read_text()) | {"model_type": "led"}
    (original / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="if allenai's original code wrote it, run `pyled convert`") as caught:
        kind.from_pretrained(original)
    assert caught.value.rule == "original-layout"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention_mode": "n2"}, "attention_mode is 'n2', not 'sliding_chunks'"),
        ({"model_type": "mbart"}, "model_type is 'mbart', not 'bart'"),
        ({"normalize_before": True}, "normalize_before is True, not False"),
        ({"scale_embedding": True}, "scale_embedding is True, not False"),
        ({"attention_dilation": [1, 2]}, r"attention_dilation is \[1, 2\], not 1 for each layer"),
        ({"attention_window": [5, 0]}, r"attention_window is \[5, 0\]: it must be a positive integer"),
        ({"attention_window": None}, "attention_window is None"),
        ({"max_decoder_position_embeddings": 10}, r"decoder.* the shape \(10, 6\), and config.json says 10 positions"),
        ({"max_encoder_position_embeddings": None}, r"encoder.*\(14, 6\), and config.json says None positions"),
    ],
)
def test_what_the_original_code_computes_otherwise_is_refused(changes, message, original, tmp_path):
    config = json.loads((original / "config.json").read_text()) | changes
    (original / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=f"as in allenai's original layout, but .*{message}") as caught:
        convert(original, tmp_path / "new")
    assert caught.value.rule == "original-layout"


def test_a_keyword_of_another_type_is_refused():
    with pytest.raises(InputError, match="force is 'yes': True or False was expected"):
        convert(TINY, "new", force="yes")
