"""golden/bench: the works, whose turn it is, what a worker computes, and what the table tells; nothing is timed."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from budget import err
from checkpoints import TINY, changed

import golden
from pyled import LEDConfig, LEDForConditionalGeneration, LEDTokenizer
from pyled.tasks import cost

BENCH = golden.FOLDER / "bench"
sys.path.append(str(BENCH))
import engines  # noqa: E402
import table  # noqa: E402
import worker  # noqa: E402
import works  # noqa: E402
from engines import ChildError, Engine, engine  # noqa: E402
from session import Bench, Measured, Turn  # noqa: E402
from works import WORKS, Work, chosen  # noqa: E402

ROOT = golden.FOLDER.parent
ENCODE = Work("encode-20", "encode", "encode", 20)
BEAMS = Work("beams-20", "generate", "generate", 20, 5, 2)
LONG = replace(BEAMS, name="long", source=16384, target=64)
TRAIN = Work("train-20", "train", "train", 20, 6, documents=3, frozen=True)
FOLDER = Work("folder", "folders", "summarize", target=32, beams=4, documents=3)
OURS, OTHER = Engine("pyled", ROOT), Engine("torch", Path(sys.executable), {"weights": "int8"})
MACHINE = {"products": 2e11, "reading": 2e10}
CONFIG = LEDConfig(**worker.SHAPE)


# 1. The works


def names(works):
    return [work.name for work in works]


def test_without_a_name_the_encoder_and_summaries_are_measured():
    assert names(chosen([], False)) == [work.name for work in WORKS if work.group in ("encode", "generate")]


def test_works_are_named_alone_or_by_their_group_and_done_once():
    assert names(chosen(["folder", "encode-1100"], True)) == ["encode-1100", "folder"]
    assert names(chosen(["short", "encode-70"], False)) == ["encode-16", "encode-70", "encode-100", "encode-32x70"]


@pytest.mark.parametrize(("name", "message"), [("decode", "no work has this name"), ("folder", "need --texts")])
def test_a_work_that_cannot_be_done_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        chosen([name], False)


def test_torch_generates_few_tokens_of_the_long_works_and_the_others_are_taken_to_last_as_long():
    assert {work.name: work.few for work in WORKS if work.few != work.target} == {"beams-16384": 12}
    assert Turn(13.0, 7, 2.0).extended(12, 101) == Turn(2.0 + 100, 7, 2.0)
    assert Turn(13.0, 7, 2.0).extended(12, 12) == Turn(13.0, 7, 2.0)
    assert Turn(13.0, 7).extended(0, 0) == Turn(13.0, 7)


# 2. The engines


def test_an_engine_is_a_folder_or_an_interpreter_and_its_options(tmp_path):
    assert engine(str(ROOT)) == OURS and OURS.kind == "pyled"
    assert engine(f"{ROOT}:int8").options == {"weights": "int8"}
    both = engine(f"{ROOT}:int16+int8")
    assert (both.name, both.place, both.options) == ("pyled:int16+int8", ROOT, {"encoder": "int16", "weights": "int8"})
    (tmp_path / "pyled").mkdir()
    (tmp_path / "pyled" / "__init__.py").touch()
    assert engine(f"{tmp_path}:bf16").name == f"{tmp_path.name}:bf16"
    python = engine(sys.executable)
    assert (python.name, python.place, python.options, python.kind) == ("torch", Path(sys.executable), {}, "torch")
    for text in ("none", "none:bf16", str(TINY)):
        with pytest.raises(ValueError, match="neither a folder with a pyled/ in it nor"):
            engine(text)


def test_a_checkout_is_measured_with_its_pyled_and_with_as_many_threads(tmp_path, monkeypatch):
    (tmp_path / "pyled").mkdir()
    code = "import os\n__version__ = 'of the checkout, ' + os.environ['NUMBA_NUM_THREADS'] + ' threads'\n"
    (tmp_path / "pyled" / "__init__.py").write_text(code, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert engine(str(tmp_path)).ask(3, kind="versions")["pyled"] == "of the checkout, 3 threads"
    with pytest.raises(ImportError, match="is imported, not the pyled of"):
        worker.versions({"engine": "pyled", "checkout": str(tmp_path)})


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print(json.dumps({'error': 'ModuleNotFoundError: torch'}))", "^ModuleNotFoundError: torch$"),
        ("sys.exit('no torch')", "^the process ended with status 1: no torch$"),
        ("", "^the process ended with status 0$"),
        ("os.kill(os.getpid(), 9)", "^the process ended with status -9$"),
    ],
)
def test_a_process_that_answers_nothing_is_told_in_words(tmp_path, code, message):
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable} -S\nimport json, os, sys\n{code}\n", encoding="utf-8")
    with pytest.raises(ChildError, match="Permission denied"):
        engine(str(python)).ask(1, kind="versions")
    python.chmod(0o755)
    with pytest.raises(ChildError, match=message):
        engine(str(python)).ask(1, kind="versions")


# 3. Whose turn it is


@pytest.fixture
def asked(monkeypatch):
    """What the engines are asked for, in order; nothing is done. (engine, request)"""
    requests = []

    def ask(self, threads, **request):
        requests.append((self.name, request))
        if request.get("output") and request["kind"] != "checkpoint":
            Path(request["output"]).touch()
        losses = {"losses": f"loss of {self.name}"} if request["kind"] == "train" else {}
        return {"seconds": 26.0, "peak": 10, "first": 3.0, "words": "equal", **losses}

    monkeypatch.setattr(engines.Engine, "ask", ask)
    return requests


def timed(requests):
    """(engine, tokens) of each turn."""
    return [(name, request["target"]) for name, request in requests if "beams" in request]


def test_engines_take_turns_on_the_same_files(tmp_path, asked):
    measured = Bench([OURS, OTHER], tmp_path, None, [], 1).measure(BEAMS, 2, False)
    assert [request["kind"] for _, request in asked][:3] == ["checkpoint", "ids", "generate"]
    assert timed(asked) == [("pyled", 5), ("torch", 5)] * 2
    assert {request["source"] for _, request in asked if "beams" in request} == {str(tmp_path / "ids-1-20.npy")}
    turn = Turn(26.0, 10, 3.0)
    assert measured.turns == {"pyled": [turn] * 2, "torch": [replace(turn, words="equal")] * 2}
    assert measured.extended is None


def test_a_run_that_was_cut_off_goes_on(tmp_path, asked):
    first = Bench([OURS, OTHER], tmp_path, TINY, [], 1).measure(BEAMS, 1, False)
    asked.clear()
    second = Bench([OURS, OTHER], tmp_path, TINY, [], 1).measure(BEAMS, 2, False)
    assert timed(asked) == [("pyled", 5), ("torch", 5)]
    assert second.turns == {name: turns * 2 for name, turns in first.turns.items()}


def test_torch_alone_generates_few_tokens_and_their_output_is_not_compared(tmp_path, asked):
    bench = Bench([OURS, OTHER], tmp_path, TINY, [], 1)
    measured = bench.measure(LONG, 1, False)
    assert timed(asked) == [("pyled", 64), ("torch", 12)]
    expected = Turn(3.0 + 23.0 / 11 * 63, 10, 3.0)
    assert (measured.turns["torch"], measured.extended) == ([expected], 12)
    assert bench.measure(LONG, 1, True).extended is None
    assert timed(asked)[2:] == [("torch", 64)]


def test_torch_does_not_what_the_checkpoint_in_the_package_does(tmp_path, asked):
    Bench([OURS, OTHER], tmp_path, TINY, ["a"], 1).measure(replace(FOLDER, target=0), 1, False)
    assert timed(asked) == [("pyled", 0)]


def test_both_train_the_same_checkpoint_in_full_and_their_losses_are_told(tmp_path, asked):
    bench = Bench([OURS, OTHER], tmp_path, TINY, [], 1)
    measured = bench.measure(replace(TRAIN, source=16384, target=512), 1, False)
    bench.measure(replace(TRAIN, box=True), 1, False)
    assert timed(asked) == [("pyled", 512), ("torch", 512), ("pyled", 6), ("torch", 6)]
    trained = [request for _, request in asked if request["kind"] in ("ids", "train")]
    assert [Path(request["model"]).name for request in trained] == ["tiny"] * 3 + ["synopsis"] * 3
    assert [request.get("checkpointing") for request in trained] == [None, True, True, None, False, False]
    assert [turns[0].words for turns in measured.turns.values()] == ["loss of pyled", "loss of torch"]


def test_what_fails_stops_nothing_else(tmp_path, monkeypatch, asked):
    def ask(self, threads, **request):
        asked.append((self.name, request))
        if self.name == "torch":
            raise ChildError("no")
        return {"seconds": 1.0, "peak": 10}

    monkeypatch.setattr(engines.Engine, "ask", ask)
    measured = Bench([OURS, OTHER], tmp_path, TINY, [], 1).measure(ENCODE, 2, False)
    assert [name for name, _ in timed(asked)] == ["pyled", "torch", "pyled"]
    assert measured.failed == {"torch": "no"} and set(measured.turns) == {"pyled"}


def test_texts_are_cut_to_bytes_and_words(tmp_path, monkeypatch):
    bench = Bench([OURS], tmp_path, TINY, ["ab é", "cd e f g h i"], 1)
    path = bench.prepared(Work("tokenize", "tokenize", "tokenize", 8))
    assert path.read_text(encoding="utf-8") == "ab é\n\nc"  # é has two bytes
    monkeypatch.setattr(works, "SHORTEST", 2)
    monkeypatch.setattr(works, "LONGEST", 4)
    files = sorted(bench.prepared(FOLDER).iterdir())
    assert [path.read_text(encoding="utf-8") for path in files] == ["ab é", "cd e f", "g h i"]  # the last one of four
    files = sorted(bench.prepared(replace(FOLDER, target=0)).iterdir())
    assert [path.read_text(encoding="utf-8") for path in files] == bench.documents


# 4. What a worker computes, in this process


@pytest.fixture
def ask(tmp_path, capsys, monkeypatch):
    """The answer to a request, as the process prints it, and the array that it leaves."""
    monkeypatch.setattr(worker, "WARM_TOKENS", 4)
    monkeypatch.setattr(worker, "LEAST", 1e-9)

    def ask(kind, **request):
        output = tmp_path / "out.npy"
        output.unlink(missing_ok=True)
        common = {"engine": "pyled", "options": {}, "model": str(TINY), "output": str(output)}
        monkeypatch.setattr(sys, "argv", ["worker.py", json.dumps({"kind": kind, **common, **request})])
        worker.main()
        return json.loads(capsys.readouterr().out), np.load(output) if output.exists() else None

    return ask


def test_encoding_and_generating_give_what_the_library_gives(ask, tmp_path):
    _, ids = ask("ids", tokens=20, documents=2)
    assert ids.shape == (2, 20) and set(ids[:, 0]) == {0} and set(ids[:, -1]) == {2} and len(set(ids[0])) > 10
    np.save(tmp_path / "ids.npy", ids)
    model = LEDForConditionalGeneration.from_pretrained(TINY)
    masks = {"attention_mask": np.ones_like(ids), "global_attention_mask": (np.arange(20) == 0) * np.ones_like(ids)}
    answer, states = ask("encode", source=str(tmp_path / "ids.npy"))
    assert np.array_equal(states, model.get_encoder()(ids, **masks).last_hidden_state)
    assert set(answer) == {"seconds", "peak"} and answer["seconds"] > 0 and answer["peak"] > 10_000_000
    expected = model.generate(ids, **masks, num_beams=2, min_length=6, max_length=6, no_repeat_ngram_size=3)
    answer, tokens = ask("generate", source=str(tmp_path / "ids.npy"), target=5, beams=2)
    assert tokens.shape == (2, 6) and np.array_equal(tokens, expected)
    assert 0 < answer["first"] < answer["seconds"]


def test_a_short_work_is_done_again_and_its_median_counts(monkeypatch):
    clock = iter([0.0, 0.25, 1.0, 1.5, 2.0, 2.2])
    monkeypatch.setattr(worker.time, "perf_counter", lambda: next(clock))
    done = []
    assert worker.timed(lambda: done.append(1) or len(done)) == (0.375, 2) and len(done) == 2


@pytest.mark.parametrize(("frozen", "options"), [(False, {}), (True, {"policy": "selective"})])
def test_a_step_of_training_tells_its_loss_without_dropout_first(ask, tmp_path, monkeypatch, frozen, options):
    steps, losses = [], LEDForConditionalGeneration.loss_and_gradients

    def loss_and_gradients(self, **arguments):
        loss, gradients = losses(self, **arguments)
        steps.append((loss, set(gradients), arguments["training"]))
        return loss, gradients

    monkeypatch.setattr(LEDForConditionalGeneration, "loss_and_gradients", loss_and_gradients)
    monkeypatch.setattr(worker, "WARM_TOKENS", 9)
    np.save(tmp_path / "ids.npy", np.random.default_rng(0).integers(4, 600, (3, 20)))
    request = {"frozen": frozen, "options": options, "checkpointing": True, "target": 6}
    answer, loss = ask("train", source=str(tmp_path / "ids.npy"), **request)
    assert answer["losses"] == f"loss {loss:.5f}, with dropout {steps[1][0]:.3f}" and 5 < loss < 12
    assert len(steps) == 2 and all(training for _, _, training in steps)
    assert any("encoder.layers" in name for name in steps[1][1]) != frozen and len(steps[1][1]) > 20


def test_compiling_runs_every_shape(ask, monkeypatch):
    monkeypatch.setattr(worker, "COMPILED", ((1, 5), (2, 6)))
    assert ask("compile", train=True) == ({}, None)


def test_tokenizing_gives_ids_or_offsets(ask, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("The lamp \u00e9.", encoding="utf-8")
    expected = LEDTokenizer.from_pretrained(TINY)(text.read_text(encoding="utf-8"), return_offsets_mapping=True)
    assert ask("tokenize", source=str(text), offsets=False)[1].tolist() == expected["input_ids"]
    assert ask("tokenize", source=str(text), offsets=True)[1].tolist() == [list(p) for p in expected["offset_mapping"]]


def test_a_folder_is_the_command_with_exactly_as_many_tokens(ask, monkeypatch):
    commands = []

    def run(command, **_):
        commands.append(" ".join(command))
        return SimpleNamespace(returncode=len(commands) // 3, stdout=b"words\n", stderr=b"pyled: no\n")

    monkeypatch.setattr(subprocess, "run", run)
    options = {"weights": "int8", "encoder": "int16"}
    answer, text = ask("summarize", source="texts", target=32, beams=4, options=options)
    assert bytes(text) == b"words" and answer["seconds"] >= 0
    for part in ("-m pyled summarize texts", f"-m {TINY}", "--num-beams 4", "--min-length 33", "--max-length 33"):
        assert part in commands[0]
    assert "--weights int8 --encoder int16" in commands[0]
    ask("summarize", source="texts", target=0, beams=1)
    assert commands[1].endswith("-m pyled summarize texts --quiet")
    assert ask("summarize", source="texts", target=32, beams=4)[0] == {"error": "ChildProcessError: pyled: no"}


def test_the_checkpoint_with_random_weights_loads_and_is_the_same_each_time(ask, monkeypatch, tmp_path):
    shape = {"vocab_size": 30, "d_model": 6, "encoder_layers": 1, "encoder_attention_heads": 2, "attention_window": 4}
    monkeypatch.setattr(worker, "SHAPE", shape | {"decoder_layers": 1, "decoder_attention_heads": 3, "init_std": 0.05})
    for name in "ab":
        ask("checkpoint", output=str(tmp_path / name))
    model = LEDForConditionalGeneration.from_pretrained(tmp_path / "a")
    assert not model.load_report.missing and 0.04 < model.state_dict()["led.shared.weight"].std() < 0.06
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert files[0] == files[1]


def test_outputs_are_compared_as_floats_or_to_the_first_difference(ask, tmp_path):
    def compared(output, expected):
        for name, array in (("output", output), ("expected", expected)):
            np.save(tmp_path / f"{name}.npy", np.array(array))
        paths = {"output": str(tmp_path / "output.npy"), "expected": str(tmp_path / "expected.npy")}
        return ask("compare", **paths)[0]["words"]

    output, expected = np.float32([[1.0, 4.5]]), np.float32([[1.25, 5.0]])
    assert compared(output, expected) == "1.0e-01" == f"{err(output, expected.astype(np.float64)):.1e}"
    assert compared(np.float32([0.25]), np.float32([0.5])) == "2.5e-01"
    assert compared(output, output) == compared([[1, 2, 3]], [[1, 2, 3]]) == "equal"
    assert compared([1, 5, 6], [1, 2, 3]) == "part at 1"
    assert compared([1, 2], [1, 2, 3]) == "part at 2"


def test_what_fails_is_answered_in_words(ask, tmp_path):
    directory = changed(tmp_path / "led")
    (directory / "config.json").unlink()
    assert ask("ids", model=str(directory), tokens=5)[0]["error"].startswith(("CheckpointError: ", "ConfigError: "))


# 5. The tables

INT8, INT16 = Engine("pyled:int8", ROOT, {"weights": "int8"}), Engine("pyled:int16", ROOT, {"encoder": "int16"})
BEFORE = Engine("before", ROOT.parent)


def turns(*seconds):
    return [Turn(each, 10**9, 0.1) for each in seconds]


def test_each_of_ours_is_compared_with_the_fastest_rival_turn_by_turn():
    slow, fast = Engine("torch", Path(sys.executable)), replace(OTHER, name="torch:int8")
    measured = Measured(BEAMS, {"pyled": turns(1, 2, 1), "pyled:int8": turns(0.5, 0.5, 1), "torch": turns(9, 9, 9)})
    measured.turns["torch:int8"] = turns(3, 8, 9)
    other = Measured(ENCODE, {"pyled": turns(2), "torch": turns(3)}, {"pyled:int8": "no", "torch:int8": "no"}, 12)
    lines = [" ".join(line.split()) for line in table.comparison([OURS, INT8, slow, fast], [measured, other])]
    assert lines[0] == "seconds pyled pyled:int8 torch torch:int8 x pyled x pyled:int8"
    assert lines[1] == "beams-20 1.00 0.5 9.00 8.00 4.00 9.00"  # the medians of 3, 4, 9 and of 6, 16, 9
    assert lines[2] == "encode-20 2.00 3.00* 1.50"


def test_without_torch_other_checkouts_are_the_rivals_and_without_any_there_is_no_ratio():
    measured = Measured(BEAMS, {"pyled": turns(1), "pyled:int8": turns(0.5), "before": turns(3)})
    assert list(table.comparison([OURS, INT8, BEFORE], [measured]))[1].split()[1:] == [
        "1.00",
        "0.5",
        "3.00",
        "3.00",
        "6.00",
    ]
    assert list(table.comparison([OURS], [measured]))[1].split() == ["beams-20", "1.00"]


def test_a_row_of_a_work_tells_what_was_reached_and_the_others_are_compared_turn_by_turn():
    first = [Turn(1.0, 3 * 10**9), Turn(2.0, 5 * 10**9), Turn(1.0, 4 * 10**9)]
    others = [Turn(3.0, 10**9, words="2.5e-07"), Turn(8.0, 10**9), Turn(9.0, 10**9)]
    measured = Measured(replace(ENCODE, documents=2), {"pyled": first, "torch": others})
    lines = list(table.details([OURS, OTHER], [measured], MACHINE, CONFIG.to_dict()))
    operations = 2 * (cost.product_operations(CONFIG, 20, 1) + cost.band_operations(CONFIG, 20, 1))
    assert lines[1].split() == [
        "encode-20", "1.00", "1.00", "25", "5.00", f"{operations / 1e9:.3g}", "GFLOP/s", f"{operations / 2e11:.0%}",
    ]  # fmt: skip
    assert lines[2].split()[-4:] == ["4.00", "3.00", "9.00", "2.5e-07"]  # the median of 3, 4 and 9
    measured = Measured(TRAIN, {"pyled": [Turn(1.0, 1, words="loss 2")], "torch": [Turn(2.0, 1, words="loss 3")]})
    lines = list(table.details([OURS, OTHER], [measured], MACHINE, CONFIG.to_dict()))
    assert [line.endswith(words) for line, words in zip(lines[1:], ("loss 2", "loss 3"), strict=True)] == [True, True]


@pytest.mark.parametrize(
    ("options", "weights", "keys"),
    [
        ({}, 4, 4),
        ({"weights": "bf16"}, 2, 2),
        ({"encoder": "int16"}, 4, 2),
        ({"encoder": "int16", "weights": "int8"}, 1, 1),
    ],
)
def test_a_step_must_read_weights_and_the_sources_keys_and_values(options, weights, keys):
    three = [Turn(4.63, 1, 4.0), Turn(5.26, 1, 4.0), Turn(6.52, 1, 4.0)]
    read = (weights * cost.step_weights(CONFIG) + keys * cost.step_keys(CONFIG, 16384)) / 0.02
    row = table.figures(LONG, three, replace(OURS, options=options), MACHINE, CONFIG)
    assert row[:4] == ["5.26", "4.63", "4.00", "20"]
    assert row[5:] == [f"{read / 1e9:.3g} GB/s", f"{read / 2e10:.0%}"]


def test_other_rates():
    text = Work("tokenize", "tokenize", "tokenize", 6_000_000)
    assert table.rate(text, 3.0, None, {}, MACHINE, CONFIG) == ("2 MB/s", "")
    assert table.rate(FOLDER, 4.0, None, {}, MACHINE, CONFIG) == ("45 a minute", "")


def test_seconds_have_three_digits_or_hundredths():
    examples = {0.00012: "0.00012", 0.1234: "0.123", 0.99951: "1.00", 2.0: "2.00", 100.254: "100.25"}
    assert {seconds: table.shown(seconds) for seconds in examples} == examples


# 6. The command


def command(*arguments):
    return subprocess.run([sys.executable, BENCH, *arguments], capture_output=True, encoding="utf-8", cwd=ROOT)


def test_the_list_needs_nothing():
    done = command("--list")
    assert done.returncode == 0 and "  greedy-1024         1,024 tokens to 64, greedy\n" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "none: no work has this name"),
        (["--against", "none"], "none: neither a folder"),
        (["--texts", "none"], "No such file"),
        (["--against", "."], "two engines have one name: pyled, pyled"),
    ],
)
def test_wrong_usage_is_told_at_once(arguments, message):
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (2, "") and message in done.stderr


def test_two_engines_are_compared_in_one_run(tmp_path):
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"document": "The lamp."}\n', encoding="utf-8")
    options = ["--texts", texts, "--turns", "1", "--threads", "1", "--against", f"{ROOT}:int8"]
    done = command("tokenize", "-m", TINY, *options)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-2].split()[0] == "tokenize-offsets" and lines[-1].split()[0] == "pyled:int8"
    assert lines[-1].endswith("equal") and "tokenize, pyled, 1 of 1:" in done.stderr
