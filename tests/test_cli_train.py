"""`pyled train`: what it reads and tells, what it leaves when it is stopped or killed, and the exit status."""

import errno
import json
import os
import signal
import subprocess
import time

import pytest
from checkpoints import TINY, changed
from commands import process, watched

from pyled.training.state import LOG, STATE

ROWS = [
    {"document": f"The {name} lit a lamp in the {place}.", "summary": f"The {name}."}
    for name in ("keeper", "sailor", "miller")
    for place in ("tower", "harbour")
]
QUICK = ["--batch", 2, "--lr", "1e-3", "--max-target-tokens", 6, "--train", "led.decoder.layers.1.*"]


@pytest.fixture
def pairs(tmp_path):
    """A file with six pairs."""
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


@pytest.fixture
def train(run, tmp_path):
    """`pyled train -m golden/tiny -o out` with a few pairs in a batch."""
    return lambda *arguments, **more: run("train", "-m", TINY, "-o", tmp_path / "out", *QUICK, *arguments, **more)


def log_of(folder):
    return [json.loads(line) for line in (folder / LOG).read_text(encoding="utf-8").splitlines()]


def test_it_tells_what_a_step_takes_and_what_is_cut_off(train, pairs, tmp_path):
    status, out, err = train(pairs, "--dry-run", "--max-source-tokens", 9)
    lines = out.splitlines()
    assert (status, err) == (0, "") and not (tmp_path / "out").exists()
    assert lines[0].startswith("pairs: 6, of 54 source tokens and ") and lines[0].endswith(" target tokens")
    assert lines[1].startswith("documents of more than 9 tokens: 6, of which ")
    assert lines[2].startswith("summaries of more than 6 tokens: 6, of which ")
    assert lines[3].startswith("a step: about ") and lines[3].endswith(" of memory with --checkpointing keep")
    assert lines[4].startswith("steps: 9, about ")


def test_a_training_gives_a_checkpoint_and_tells_of_it(train, run, pairs, tmp_path):
    out = tmp_path / "out"
    status, printed, err = train(pairs, "--steps", 2, "--checkpointing", "recompute")
    assert (status, printed) == (0, f"{out}\n")
    assert err.splitlines()[0].startswith("pyled: pairs: 6, of ") and "with --checkpointing recompute\n" in err
    assert {path.name for path in out.iterdir()} == {
        *("config.json", "generation_config.json", "model.safetensors", "vocab.json", "merges.txt", LOG)
    }
    assert [list(record) for record in log_of(out)] == [["step", "loss", "norm", "lr"]] * 2
    assert run("summarize", pairs, "-m", out, "--max-length", 5)[0] == 0
    status, _, err = train(pairs)
    said = (
        f"{out} holds added_tokens.json already" if (out / "added_tokens.json").exists() else f"{out} holds config.json"
    )
    assert status == 2 and f"{said} already: pass --force to replace it, or name another directory" in err
    assert train(pairs, "--steps", 1, "--force", "--quiet") == (0, f"{out}\n", "") and len(log_of(out)) == 1


def test_held_out_pairs_are_measured(train, pairs, tmp_path):
    held_out = tmp_path / "valid.jsonl"
    held_out.write_text(json.dumps(ROWS[0]), encoding="utf-8")
    status, _, err = train(pairs, "--epochs", 1, "--validation", held_out, "--validate", 2)
    told = [line for line in err.splitlines() if "validation loss" in line]
    assert status == 0 and [line.split(":")[1] for line in told] == [" step 2", " step 3"]
    assert all(", rougeL 0." in line for line in told)
    assert [record["step"] for record in log_of(tmp_path / "out") if "validation_loss" in record] == [2, 3]


def test_a_bad_line_is_told_and_does_not_stop_the_others(train, pairs, tmp_path):
    text = pairs.read_text(encoding="utf-8")
    pairs.write_text(text + "nope\n", encoding="utf-8")
    status, out, err = train(pairs, "--steps", 1)
    assert (status, out) == (1, f"{tmp_path}/out\n") and f"pyled: {pairs}: line 7: not JSON" in err
    assert "pyled: pairs: 6, of" in err and err.endswith("pyled: 1 of 7 documents failed\n")
    pairs.write_text("nope\n" + text, encoding="utf-8")
    status, out, err = train(pairs, "--force")
    assert (status, out) == (1, "") and f"pyled: {pairs}: line 1: not JSON" in err
    renamed = text.replace("summary", "gist").encode()
    assert train("-", "--summary-key", "gist", "--dry-run", "--force", stdin=renamed)[0] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--lr", "-1"], "--lr is -1.0: a number of at least 0 was expected"),
        (["--batch", "0"], "--batch is 0: it must be an integer of at least 1"),
        (["--max-source-tokens", "2000"], "--max-source-tokens is 2,000: it must be from 3 to the 1,024 positions"),
        (["--train", "fc"], "--train is 'fc': this model has no weight of such a name; pass 'all'"),
        (["--schedule", "x"], "--schedule is 'x': it must be 'linear'"),
        (["--label-smoothing", "1"], "--label-smoothing is 1.0: a number"),
        (["--validate", "3"], "--validate is for the pairs of --validation"),
        (["--save-minutes", "-1"], "--save-minutes is -1.0: it must be a number of at least 0"),
        (["--global", "doc-sep"], "has no <doc-sep>"),
        (["-o", ""], "--output names no directory"),
        (["-o", TINY], f"{TINY} is the model that training starts from"),
        (["-o", TINY / "config.json"], "is a file: name another output"),
    ],
)
def test_wrong_usage(train, pairs, options, said):
    status, out, err = train(pairs, *options)
    assert (status, out) == (2, "") and said in err


def test_a_model_without_weights_begins_at_random(run, pairs, tmp_path):
    directory = changed(tmp_path / "new", generation={})
    (directory / "model.safetensors").unlink()
    command = ["train", pairs, "-m", directory, "-o", tmp_path / "out", *QUICK, "--steps", 1, "--seed", 5]
    status, _, err = run(*command)
    assert status == 0 and f"pyled: {directory} has no weights: they are drawn with --seed 5\n" in err
    assert log_of(tmp_path / "out")[0]["loss"] == pytest.approx(6.4, abs=0.5)  # log 600 is 6.4


def test_what_diverges_is_told_and_its_state_is_there(train, pairs, tmp_path):
    status, out, err = train(pairs, "--lr", "1e30", "--steps", 9)
    assert (status, out) == (1, "") and "of '" in err
    assert "lower the learning rate" in err and f"{tmp_path}/out has the state before it\n" in err
    assert (tmp_path / "out" / STATE).exists()


def test_steps_are_not_lost_where_the_checkpoint_cannot_be_written(train, pairs, tmp_path, monkeypatch):
    def is_full(loaded, folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "model.safetensors"))

    with monkeypatch.context() as patch:
        patch.setattr("pyled.training.loop.write_checkpoint", is_full)
        status, out, err = train(pairs, "--steps", 2)
    reason = "model.safetensors: cannot be written: No space left on device"
    assert (status, out) == (1, "") and err.endswith(f"{reason}; {tmp_path}/out has the state\n")
    status, _, err = train(pairs, "--steps", 2)
    assert status == 0 and f"{tmp_path}/out: goes on from step 2\n" in err


def test_a_directory_that_cannot_be_made_is_told_before_the_first_step(run, pairs):
    status, out, err = run("train", pairs, "-m", TINY, *QUICK, "--steps", 1, "-o", "/proc/out")
    assert (status, out) == (1, "") and err.count("/proc/out: cannot be written: ") == 1


COMPILED = {"NUMBA_DISABLE_JIT": "0"}
LONG = ["train", "-m", TINY, *QUICK, "--steps", 60, "--save-minutes", 0.0001]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a training of sixty steps, and its pairs."""
    folder = tmp_path_factory.mktemp("whole")
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    assert subprocess.run(**process(*LONG, path, "-o", folder / "out", env=COMPILED)).returncode == 0
    return folder


def same(whole, out):
    files = [(folder / "model.safetensors").read_bytes() for folder in (whole / "out", out)]
    return log_of(whole / "out") == log_of(out) and files[0] == files[1] and not (out / STATE).exists()


def test_a_killed_training_goes_on_with_the_same_losses(whole, tmp_path):
    out, command = tmp_path / "out", [*LONG, whole / "pairs.jsonl", "-o", tmp_path / "out"]
    for steps in (5, 20):
        with subprocess.Popen(**process(*command, stderr=subprocess.DEVNULL, env=COMPILED)) as child:
            while child.poll() is None and not ((out / LOG).exists() and len(log_of(out)) >= steps):
                time.sleep(0.01)
            child.kill()
        assert child.returncode == -signal.SIGKILL
    done = subprocess.run(**process(*command, capture_output=True, env=COMPILED))
    assert done.returncode == 0 and b": goes on from step " in done.stderr and same(whole, out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_writes_a_state(whole, tmp_path, number):
    out = tmp_path / "out"
    command = [*LONG, whole / "pairs.jsonl", "-o", out]
    status, printed, seen = watched(
        [*command, "--save-minutes", 9],
        until=b"training 9/60 steps, loss ",
        then=lambda child: child.send_signal(number),
        env=COMPILED,
    )
    assert (status, printed) == (130, "") and "Traceback" not in seen
    step = len(log_of(out))
    assert 9 <= step < 60 and f"interrupted after step {step}: the same command goes on from the state in {out}" in seen
    assert "tokens a second, about 0:" in seen
    status, printed, seen = watched(command, env=COMPILED)
    assert (status, printed) == (0, f"{out}\n") and f"goes on from step {step}" in seen and same(whole, out)
    with (out / STATE).open("wb") as file:
        file.write(b"x")
    assert subprocess.run(**process(*command, capture_output=True, env=COMPILED)).returncode == 3
