"""`pyled trace`: what is traced, what is told, and what is refused before anything is written."""

import os
import re
import resource
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from checkpoints import TINY
from commands import LAMP, process

from pyled import LEDForConditionalGeneration, LEDTokenizer
from pyled.porting import stages as graph
from pyled.porting.dumps import read
from pyled.porting.tracing import trace

START = 2


def test_ids_are_one_document_whose_first_token_is_global_and_the_start_token_is_read(run, tmp_path):
    status, out, err = run("trace", "-m", TINY, "--ids", "0,5 6\n2", "-o", tmp_path / "a.npz")
    dump = read(tmp_path / "a.npz")
    size = sum(dump[name].nbytes for name in dump)
    assert (status, out, err) == (
        0, f"{tmp_path}/a.npz\n", f"pyled: {tmp_path}/a.npz gets {len(dump)} arrays of {size:,} bytes\n"
    )  # fmt: skip
    inputs = {name[3:]: dump[name].tolist() for name in dump if name.startswith("in.")}
    assert inputs == {
        "input_ids": [[0, 5, 6, 2]], "attention_mask": [[1] * 4], "global_attention_mask": [[1, 0, 0, 0]],
        "decoder_input_ids": [[START]],
    }  # fmt: skip
    truth = trace(TINY, inputs)
    assert {*truth} == {*dump} and all(np.array_equal(truth[name], dump[name]) for name in truth)
    assert dump.about["checkpoint"] == str(TINY)
    # A trace's inputs are those of another trace.
    arguments = "--engine", "definition", "--dtype", "float32", "--stages", "logits,encoder.layers.0.fc?", "--quiet"
    assert run("trace", "-m", TINY, "--inputs", tmp_path / "a.npz", "-o", tmp_path / "b.safetensors", *arguments) == (
        0, f"{tmp_path}/b.safetensors\n", ""
    )  # fmt: skip
    other = read(tmp_path / "b.safetensors")
    assert {*other} == {f"in.{name}" for name in inputs} | {"logits", "encoder.layers.0.fc1", "encoder.layers.0.fc2"}
    assert np.array_equal(other["logits"], trace(TINY, inputs, "definition", "float32")["logits"])
    assert "float32_error" not in other.about


def test_texts_are_read_as_all_commands_read_them_and_a_target_has_a_loss_and_gradients(run, tmp_path):
    (tmp_path / "target.txt").write_text("A lamp.")
    arguments = "--target", tmp_path / "target.txt", "--global", "tokens:0,3", "--gradients", "--quiet"
    assert run("trace", "-m", TINY, "--text", LAMP, "-o", tmp_path / "a.npz", *arguments)[0] == 0
    dump, tokenizer = read(tmp_path / "a.npz"), LEDTokenizer.from_pretrained(TINY)
    ids = tokenizer(Path(LAMP).read_text(encoding="utf-8"))["input_ids"]
    target = tokenizer("A lamp.")["input_ids"]
    assert dump["in.input_ids"].tolist() == [ids] and dump["in.labels"].tolist() == [target]
    assert dump["in.decoder_input_ids"].tolist() == [[START, *target[:-1]]]
    assert np.flatnonzero(dump["in.global_attention_mask"]).tolist() == [0, 3]
    inputs = {name[3:]: dump[name] for name in dump if name.startswith("in.")}
    loss, gradients = LEDForConditionalGeneration.from_pretrained(TINY, dtype="float64").loss_and_gradients(**inputs)
    assert np.isclose(dump["loss"], loss, rtol=1e-12)
    name = "led.encoder.layers.0.fc1.weight"
    assert np.array_equal(dump[f"grad.{name}"], gradients[name])
    by_ids = "--target-ids", ",".join(map(str, target)), "--global", "tokens:0,3", "--stages", "loss", "--quiet"
    assert run("trace", "-m", TINY, "--ids", " ".join(map(str, ids)), "-o", tmp_path / "b.npz", *by_ids)[0] == 0
    assert read(tmp_path / "b.npz")["loss"] == dump["loss"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--ids", "0,600,2"), "input_ids holds 600: this model's ids go from 0 to 599"),
        (("--ids", "0,x"), "'x' is no id"),
        (("--ids", ""), "--ids '' holds no ids of one text"),
        (("--ids", "[0]\n[2]"), "holds no ids of one text"),
        (("--ids", "0", "--text", LAMP), "not allowed with argument"),
        ((), "one of the arguments --text --ids --inputs is required"),
        (("--text", "gone.txt"), "gone.txt: cannot be read: No such file"),
        (("--inputs", LAMP), "--inputs: .*lamp.txt"),
        (("--ids", ",".join(["3"] * 2000)), "2,000 tokens, but this encoder has"),
        (("--ids", "0", "--target-ids", ",".join(["3"] * 2000)), "2,000 tokens, but this decoder has"),
        (("--ids", "0", "--stages", "logits,loggits"), "--stages loggits matches no stage of this call: logits is one"),
        (("--ids", "0", "--gradients"), "--gradients are those of a loss: name a target with --target"),
        (("--ids", "0", "--target-ids", "2", "--gradients", "--engine", "definition"), "pass --engine fast"),
        (("--ids", "0", "--global", "tokens:7"), "--global tokens:7, but there are 1 tokens"),
        (("--inputs", LAMP, "--target-ids", "0"), "--target-ids has no effect with --inputs"),
    ],
)
def test_what_cannot_be_traced_is_told_and_leaves_no_file(run, tmp_path, arguments, said):
    status, out, err = run("trace", "-m", TINY, *arguments, "-o", tmp_path / "a.npz")
    assert (status, out) == (2, "") and re.search(said, err), err
    assert not [*tmp_path.iterdir()]


def test_a_place_that_cannot_be_written_is_told(run, tmp_path, monkeypatch):
    def said(*arguments):
        status, out, err = run("trace", "-m", TINY, "--ids", "0,2", *arguments)
        assert (status, out) == (2, "")
        return err

    (tmp_path / "old.npz").write_bytes(b"old")
    assert "ends in neither .npz nor .safetensors" in said("-o", tmp_path / "a.txt")
    assert "is no directory: make it" in said("-o", tmp_path / "gone" / "a.npz")
    assert "is there already: pass --force" in said("-o", tmp_path / "old.npz")
    assert "is an input" in said("-o", tmp_path / "old.npz", "--force", "--target", tmp_path / "old.npz")
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=999))
    assert re.search("gets [0-9,]+ bytes, but the disk has 999 left", said("-o", tmp_path / "a.npz"))
    monkeypatch.undo()
    assert (tmp_path / "old.npz").read_bytes() == b"old"
    assert run("trace", "-m", TINY, "--ids", "0,2", "-o", tmp_path / "old.npz", "--force", "--quiet")[0] == 0
    assert "logits" in read(tmp_path / "old.npz")


def test_what_is_left_out_is_told(run, tmp_path, monkeypatch):
    monkeypatch.setattr(graph, "PAIRS", 8)
    err = run("trace", "-m", TINY, "--ids", "0,4,2", "-o", tmp_path / "a.npz")[2]
    assert "4 stages, encoder.layers.0.self_attn.scores and its like, are left out" in err


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors"])
def test_a_full_disk_leaves_no_file(tmp_path, name):
    def small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    arguments = process("trace", "-m", TINY, "--ids", "0,5,2", "-o", tmp_path / name, "--engine", "definition")
    done = subprocess.run(**arguments, preexec_fn=small, capture_output=True, text=True)
    assert done.returncode == 1 and f"{name}: File too large" in done.stderr, done.stderr
    assert not [*tmp_path.iterdir()]


def test_an_interrupt_leaves_no_file(tmp_path):
    """It waits for the stage that is being computed; the file is there then, half of it."""
    ids = ",".join(["3"] * 200)
    arguments = process("trace", "-m", TINY, "--ids", ids, "-o", tmp_path / "a.npz", "--engine", "definition")
    with subprocess.Popen(**arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        while not [*tmp_path.iterdir()]:
            assert child.poll() is None, child.stderr.read()
        os.kill(child.pid, signal.SIGINT)
        out, err = child.communicate()
    assert (child.returncode, out) == (130, b"") and b"Traceback" not in err
    assert not [*tmp_path.iterdir()]
