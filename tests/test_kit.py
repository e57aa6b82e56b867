"""The conformance kit: what is written is what the reference and the definition say, and ports are graded by it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import test_safetensors
from budget import assert_within

import golden
from pyled.checkpoint import read_safetensors
from pyled.errors import CheckpointError
from pyled.porting import kit
from pyled.porting.cases import BASE, SMALL
from pyled.porting.dumps import read
from pyled.porting.grading import Port, grade
from pyled.porting.recipe import halvings, make_weights

ROOT = Path(kit.__file__).parents[2]
PORT = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
import json, time
from pathlib import Path
import numpy as np
from pyled import reference
from pyled.checkpoint.safetensors import read_safetensors, write_safetensors

part, case, out = sys.argv[-3:]
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A kit of the tiny size, with weights."""
    folder = tmp_path_factory.mktemp("kit") / "tiny"
    kit.write_kit(folder, weights=True)
    return folder


@pytest.fixture
def port(tmp_path):
    """A port in Python of what these lines do with part, case and out."""

    def port(lines, timeout=60.0, **more):
        path = tmp_path / "a port.py"
        path.write_text(PORT + lines, encoding="utf-8")
        return Port([sys.executable, "-P", str(path)], timeout)

    return port


def few(folder, tmp_path, **cases):
    """A kit of these cases of another, by part."""
    listed = [{"part": part, "case": case} for part, names in cases.items() for case in names]
    for one in listed:
        (tmp_path / "few" / one["part"]).mkdir(parents=True, exist_ok=True)
        place = Path(one["part"]) / one["case"]
        (tmp_path / "few" / place).symlink_to(folder / place)
    (tmp_path / "few" / "manifest.json").write_text(json.dumps({"format": kit.FORMAT, "cases": listed}))
    return tmp_path / "few"


def bytes_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_kit_has_the_same_bytes_each_time(tiny, tmp_path):
    kit.write_kit(tmp_path / "again", weights=True)
    assert bytes_of(tmp_path / "again") == bytes_of(tiny)
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def arrays_of(folder, name="expected"):
    return dict(read(folder / f"{name}.safetensors"))


@pytest.mark.parametrize("part", ["forward", "gradients"])
def test_the_stages_and_gradients_are_those_of_the_reference(part, tiny):
    """A case has the same inputs in golden/, and what is stored there is what the kit has."""
    cases = [path for path in sorted((tiny / part).iterdir()) if path.name != "labels-padding"]
    compared = 0
    for path in cases:
        case = golden.load(path.name) if part == "forward" else golden.load_gradients(path.name)
        truth, inputs = arrays_of(path), arrays_of(path, "inputs")
        assert inputs.keys() == case.inputs.keys(), path.name
        for name, array in case.inputs.items():
            assert np.array_equal(inputs[name], array), (path.name, name)
        for name, array in case.truth.items():
            name = "loss" if name == "out.loss" else name if part == "forward" else f"grad.{name}"
            if name in truth and np.isfinite(array).all():
                assert_within(f"{path.name}: {name}", truth[name], array, 0.0)
                compared += 1
            elif name == "loss":
                assert np.isnan(truth[name]).all() and np.isnan(array).all()
            else:
                assert name.startswith("out.") or name.endswith("_global"), (path.name, name)
    assert compared >= {"forward": 700, "gradients": 300}[part], compared


def test_generations_and_texts_are_those_of_the_reference(tiny):
    stored = np.load(golden.FOLDER / "kit.npz")
    told = {f"{path.name}/{name}": array for part in ("generate", "tokenize") for path in (tiny / part).iterdir()
            for name, array in arrays_of(path).items()}  # fmt: skip
    assert set(told) == set(stored.files)
    for name, array in told.items():
        exact = stored[name]
        assert array.shape == exact.shape, name
        if name.endswith("/scores"):
            assert np.isnan(array).mean() < 0.7
            array, exact = array[~np.isnan(array)], exact[~np.isnan(array)]
            assert np.array_equal(np.isinf(array), np.isinf(exact)), name
            array, exact = array[np.isfinite(exact)], exact[np.isfinite(exact)]
        if exact.dtype.kind == "f":
            assert_within(name, array, exact.astype(np.float64), 0.0)
        else:
            assert np.array_equal(array, exact), name


def test_weight_files_break_the_rule_they_say(tiny):
    rules = set()
    for path in (tiny / "refuse").iterdir():
        rule = json.loads((path / "expected.json").read_text())["rule"]
        rules.add(rule)
        try:
            read_safetensors(path / "model.safetensors")
            broken = None
        except CheckpointError as e:
            broken = e.rule
        assert broken == rule, path.name
    assert rules == {*test_safetensors.REFUSED, None} - {"git-lfs"}


def test_the_weights_of_a_kit_are_those_of_the_recipe(tiny):
    for path in [*(tiny / "forward").iterdir(), *(tiny / "generate").iterdir()]:
        stated = json.loads((path / "config.json").read_text())
        stored, made = read_safetensors(path / "model.safetensors"), golden.WEIGHTS.make_weights(stated, 0)
        tied = golden.WEIGHTS.TIED[1:] if stated.get("tie_word_embeddings", True) else ()
        assert set(stored) == set(made) - set(tied)
        assert all(np.array_equal(array, made[name]) for name, array in stored.items())
    name, wide = "led.encoder.layers.0.fc2.weight", {**SMALL, "encoder_ffn_dim": 65}
    assert np.array_equal(make_weights(wide, 0)[name], golden.WEIGHTS.reals(name, 0, (6, 65)) / 2)
    shapes = golden.WEIGHTS.shapes(BASE)
    assert shapes["led.encoder.layers.0.fc2.weight"] == (768, 3072)
    halved = {768: 4, 3072: 8, 64: 1, 65: 2, 256: 2, 257: 4}
    assert {inputs: 2 ** halvings(inputs) for inputs in halved} == halved


GOOD = """
from pyled.porting.tracing import trace
stages = trace(case, read_safetensors(Path(case, "inputs.safetensors")), "definition")
write_safetensors(Path(out), stages)
"""


COPYING = """
arrays = {{name: array.copy() for name, array in read_safetensors(Path(case, "expected.safetensors")).items()}}
scores = arrays.get("scores")
{}
write_safetensors(Path(out), arrays)
"""


def verdicts(folder, port):
    return {verdict.case: verdict for verdict in grade(folder, port)}


def test_a_port_passes_and_one_with_a_mistake_fails_where_it_is(tiny, tmp_path, port):
    folder = few(tiny, tmp_path, forward=["pattern-holes", "labels-and-ids", "classification"])
    assert {verdict.verdict for verdict in grade(folder, port(GOOD))} == {"passed"}
    mistake = "gelu = reference.activation\nreference.activation = lambda x, kind: gelu(x, 'gelu_new')\n"
    judged = verdicts(folder, port(mistake + GOOD))
    assert {(one.first, one.mistakes) for one in judged.values()} == {
        ("encoder.layers.0.activation_fn", ("gelu-tanh",))
    }
    few_stages = GOOD.replace("stages)", "{name: stages[name] for name in stages if 'fc1' in name})")
    assert "lacks logits" in verdicts(folder, port(few_stages))["pattern-holes"].reason


@pytest.mark.parametrize("left_out", ["", "in.decoder_input_ids"])
def test_targets_are_shifted_by_the_port_itself(left_out, tiny, tmp_path, port):
    """The decoder's input is not among the arguments of a case with labels, and of the other heads."""
    lines = f"""
from pyled.porting.tracing import trace
inputs = dict(read_safetensors(Path(case, "inputs.safetensors")))
assert "decoder_input_ids" not in inputs
ids = read_safetensors(Path(case, "expected.safetensors"))["in.decoder_input_ids"].copy()
ids[:, 0] = 0
stages = trace(case, inputs | {{"decoder_input_ids": ids}}, "definition")
stages.pop("{left_out}", None)
write_safetensors(Path(out), stages)
"""
    judged = verdicts(few(tiny, tmp_path, forward=["labels-first-ignored", "qa"]), port(lines))
    first = "decoder.embed_tokens" if left_out else "in.decoder_input_ids"
    assert {(one.first, one.mistakes[:1]) for one in judged.values()} == {(first, ("decoder-start-token",))}, judged


def test_gradients_are_compared_and_those_that_are_zero_may_be_left_out(tiny, tmp_path, port):
    folder = few(tiny, tmp_path, gradients=["global-none"])
    zeros = "arrays = {name: array for name, array in arrays.items() if array.any() and name[:3] != 'in.'}"
    wrong = "arrays['grad.led.encoder.layers.0.fc1.bias'] = 2 * arrays['grad.led.encoder.layers.0.fc1.bias']"
    lacking = "del arrays['grad.led.encoder.layers.0.fc1.bias']"
    judged = [verdicts(folder, port(COPYING.format(change)))["global-none"] for change in (zeros, wrong, lacking)]
    assert [one.verdict for one in judged] == ["passed", "failed", "failed"]
    assert judged[1].first == "grad.led.encoder.layers.0.fc1.bias"
    assert judged[2].reason == "lacks grad.led.encoder.layers.0.fc1.bias"


BAD = {
    "sys.exit(64)": ("not done", ""),
    "sys.exit('no such layer\\x1b[2J')": ("failed", "ended with exit status 1: no such layer\\u001b[2J"),
    "import os; os.kill(os.getpid(), 11)": ("failed", "was ended by SIGSEGV"),
    "time.sleep(60)": ("failed", "did not end within 2 seconds"),
    "pass": ("failed", "ended with exit status 0, but wrote nothing at OUT"),
    "Path(out).write_bytes(b'rubbish rubbish rubbish')": ("failed", "what it wrote cannot be compared"),
    "Path(out).mkdir()": ("failed", "what it wrote cannot be compared"),
    "print('x' * 10**8); sys.exit(3)": ("failed", "ended with exit status 3: xxx"),
    "write_safetensors(Path(out), {'logits': np.zeros(3)})": ("failed", "logits"),
    "write_safetensors(Path(out), {'other': np.zeros(3)})": ("failed", ""),
}


@pytest.mark.parametrize("lines", BAD)
def test_a_bad_program_has_its_verdict_and_breaks_no_run(lines, tiny, tmp_path, port):
    folder, (verdict, reason) = few(tiny, tmp_path, forward=["length-tall-1"]), BAD[lines]
    (judged,) = grade(folder, port(lines + "\n", timeout=2.0 if "sleep" in lines else 60.0))
    assert (judged.verdict, judged.reason[: len(reason)]) == (verdict, reason)


REFUSING = {
    "sys.exit(1)": ["passed", "failed"],
    "print('the header is bad'); sys.exit(1)": ["passed", "failed"],
    "print('rule: hole'); sys.exit(1)": ["passed", "failed"],
    "print('overlap'); sys.exit(1)": ["failed", "failed"],
    "pass": ["failed", "passed"],
    "sys.exit(2)": ["failed", "failed"],
}


@pytest.mark.parametrize("lines", REFUSING)
def test_a_file_is_refused_by_the_exit_status_and_by_the_right_rule(lines, tiny, tmp_path, port):
    folder = few(tiny, tmp_path, refuse=["hole", "good-nothing"])
    assert [judged.verdict for judged in grade(folder, port(lines + "\n"))] == REFUSING[lines]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("", ""),
        ("del arrays['scores'], arrays['beam_indices']", ""),
        ("arrays['scores'] = np.nan_to_num(scores, nan=7, neginf=-np.inf)", ""),
        ("arrays['sequences'] = arrays['sequences'].astype('<i4')", ""),
        ("del arrays['sequences']", "lacks sequences"),
        ("arrays['sequences'] = arrays['sequences'] + (np.arange(8) == 3)", "sequences: 13 at [0, 3], expected 12"),
        ("scores[2, 0, 5] += 1e-3; arrays['scores'] = scores", "scores: "),
        ("arrays['scores'] = np.maximum(scores, -1e30)", ""),
        ("arrays['scores'] = np.maximum(scores, -100)", "scores: -100.0 at ["),
        ("arrays['beam_indices'] = arrays['beam_indices'][:, :3]", "beam_indices: shape (1, 3), expected (1, 7)"),
        ("arrays['beam_indices'] = arrays['beam_indices'][0]", "beam_indices: shape (7,), expected (1, 7)"),
        (
            "arrays['sequences'] = np.append(arrays['sequences'] + (np.arange(8) == 3), [[1]], axis=1)",
            "sequences: 13 at [0, 3], expected 12; shape (1, 9), expected (1, 8)",
        ),
    ],
)
def test_a_generation_is_compared_step_by_step(lines, reason, tiny, tmp_path, port):
    (judged,) = grade(few(tiny, tmp_path, generate=["beam-no-repeat-2"]), port(COPYING.format(lines)))
    assert judged.reason.startswith(reason) if reason else judged.verdict == "passed", judged


@pytest.mark.parametrize("program", ["/nowhere/port", "/", "a\0b"])
def test_a_program_that_cannot_be_started_fails(program, tiny, tmp_path):
    (judged,) = grade(few(tiny, tmp_path, forward=["length-tall-1"]), Port([program], 60.0))
    assert judged.verdict == "failed" and judged.reason.startswith("cannot be started: ")


SLOW = """
import subprocess, time
start = subprocess.Popen.__init__
subprocess.Popen.__init__ = lambda *arguments, **more: (start(*arguments, **more), time.sleep({}))[0]
"""


@pytest.mark.parametrize("seconds", [0, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_port_and_what_it_started(number, seconds, tiny, tmp_path):
    """Also one that comes when the port runs, and whoever starts it has not heard of it yet: after so many seconds."""
    folder, program = few(tiny, tmp_path, forward=["length-tall-1"]), tmp_path / "port.sh"
    program.write_text('sleep 300 &\necho $! >"$1"\nwait\n')
    (tmp_path / "scratch").mkdir()
    (tmp_path / "sitecustomize.py").write_text(SLOW.format(seconds))
    command = ["-P", "-m", "pyled", "kit", "run", "--kit", folder, "--", "sh", program, tmp_path / "pid"]
    process = subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "TMPDIR": str(tmp_path / "scratch")},
    )
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    process.send_signal(number)
    assert process.wait(30) == 130
    grandchild = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")
    wait_for(lambda: not grandchild.exists() or grandchild.read_text().split()[2] == "Z", 10)
    assert [*(tmp_path / "scratch").iterdir()] == []


def wait_for(happens, seconds=60):
    stop = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < stop
        time.sleep(0.05)


def test_a_kit_is_written_whole_or_not_at_all(tmp_path, monkeypatch, run):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note").write_text("mine")
    for folder, said in ((tmp_path / "full", "is there already"), (tmp_path / "full" / "note", "is there already")):
        status, _, told = run("kit", "write", "-o", folder)
        assert status == 2 and said in told
    monkeypatch.setattr(
        kit, "write_json", lambda *arguments: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    status, _, told = run("kit", "write", "-o", tmp_path / "kit")
    assert status == 1 and "kit: cannot be written: No space left on device" in told
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_the_report_card(tiny, tmp_path, run, port):
    """A port that passes one case, fails another, and does not do the rest."""
    folder = few(
        tiny, tmp_path, forward=["length-tall-1", "decoder-1"], refuse=["hole", "good-nothing"], tokenize=["back"]
    )
    lines = "if part == 'forward' and 'tall' in case:" + GOOD.replace("\n", "\n    ") + "\nelif part == 'refuse':\n"
    command = port(
        lines + "    print('hole'); sys.exit(1)\nelse:\n    sys.exit(64 if part == 'tokenize' else 5)\n"
    ).command
    status, card, _ = run("kit", "run", "--kit", folder, "--", *command)
    assert status == 1
    assert card.splitlines() == [
        "forward    1 of 2 passed",
        "  decoder-1: ended with exit status 5",
        "refuse     1 of 2 passed",
        "  good-nothing: was refused, but breaks no rule",
        "tokenize   not done",
    ]
    status, card, _ = run("kit", "run", "--kit", folder, "--parts", "refuse", "--format", "json", "--", *command)
    told = json.loads(card)
    assert (status, told["passed"], told["failed"], told["not_done"]) == (1, 1, 1, 0)
    assert [(one["case"], one["verdict"]) for one in told["cases"]] == [("hole", "passed"), ("good-nothing", "failed")]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["run"], 2, "no program to grade"),
        (["run", "--parts", "backward", "--", "x"], 2, "'backward' is no part of a kit: name some of forward, "),
        (["run", "--timeout", "0", "--", "x"], 2, "it must be a number of seconds above 0"),
        (["run", "-o", "k", "--", "x"], 2, "--output is an option of pyled kit write"),
        (["run", "--kit", "/", "--", "x"], 3, "manifest.json"),
        (["write"], 2, "takes a new folder, as -o DIR"),
        (["write", "-o", "k", "--sizes", "huge"], 2, "'huge' is no size of a kit: name some of tiny, base"),
        (["write", "-o", "k", "--timeout", "1"], 2, "--timeout is an option of pyled kit run"),
    ],
)
def test_wrong_usage_is_told(arguments, status, said, run):
    got, _, told = run("kit", *arguments)
    assert got == status and said in " ".join(told.split())


def test_a_folder_that_is_not_ours_is_told_at_once(tmp_path, monkeypatch, run):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    status, out, told = run("kit", "write", "-o", tmp_path / "kit")
    assert (status, out) == (2, "") and "is not yours to write to: name another output" in " ".join(told.split())
