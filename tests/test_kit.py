"""The conformance kit: what is written is what the reference and the definition say, and ports are graded by it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from budget import assert_within

import golden
from pyled.porting import kit
from pyled.porting.dumps import read
from pyled.porting.grading import Port, grade

ROOT = Path(kit.__file__).parents[2]
PORT = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
import json, time
from pathlib import Path
import numpy as np
from pyled import reference
from pyled.checkpoint.safetensors import read_safetensors, write_safetensors
from pyled.config import LEDConfig

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


def test_the_stages_are_those_of_the_reference(tiny):
    """Each case of golden/ has the same inputs there, and the stages that are stored there are these."""
    cases = [path for path in sorted((tiny / "forward").iterdir()) if path.name in golden.names()]
    assert len(cases) >= 30
    for path in cases:
        case, truth, inputs = (
            golden.load(path.name),
            read(path / "expected.safetensors"),
            read(path / "inputs.safetensors"),
        )
        for name, array in case.inputs.items():
            assert np.array_equal(inputs[name], array), (path.name, name)
        for name, array in case.truth.items():
            if name in truth:
                assert_within(f"{path.name}: {name}", truth[name], array, 0.0)


GOOD = """
from pyled.porting.kit import _defined
weights = {name: array.astype(np.float64) for name, array in read_safetensors(Path(case, "model.safetensors")).items()}
for name in ("led.encoder.embed_tokens.weight", "led.decoder.embed_tokens.weight", "lm_head.weight"):
    weights.setdefault(name, weights["led.shared.weight"])
config = LEDConfig.from_dict(json.loads(Path(case, "config.json").read_text()))
stages = _defined(config, weights, read_safetensors(Path(case, "inputs.safetensors")))
write_safetensors(Path(out), stages)
"""


def verdicts(folder, port):
    return {verdict.case: verdict for verdict in grade(folder, port)}


def test_a_port_passes_and_one_with_a_mistake_fails_where_it_is(tiny, tmp_path, port):
    folder = few(tiny, tmp_path, forward=["pattern-holes", "decoder-mask"])
    assert {verdict.verdict for verdict in grade(folder, port(GOOD))} == {"passed"}
    judged = verdicts(folder, port("reference.LAYER_NORM_EPSILON = 1e-3\n" + GOOD))
    assert [judged[case].first for case in judged] == 2 * ["encoder.layernorm_embedding"]
    few_stages = GOOD.replace("stages)", "{name: stages[name] for name in stages if 'fc1' in name})")
    assert "lacks logits" in verdicts(folder, port(few_stages))["decoder-mask"].reason


BAD = {
    "sys.exit(64)": ("not done", ""),
    "sys.exit('no such layer\\x1b[2J')": ("failed", "ended with exit status 1: no such layer\\u001b[2J"),
    "import os; os.kill(os.getpid(), 11)": ("failed", "was ended by SIGSEGV"),
    "time.sleep(60)": ("failed", "did not end within 2 seconds"),
    "pass": ("failed", "ended with exit status 0, but wrote nothing at OUT"),
    "Path(out).write_bytes(b'rubbish rubbish rubbish')": ("failed", "what it wrote cannot be read"),
    "Path(out).mkdir()": ("failed", "what it wrote cannot be read"),
    "print('x' * 10**8); sys.exit(3)": ("failed", "ended with exit status 3: xxx"),
    "write_safetensors(Path(out), {'logits': np.zeros(3)})": ("failed", "logits"),
    "write_safetensors(Path(out), {'other': np.zeros(3)})": ("failed", ""),
}


@pytest.mark.parametrize("lines", BAD)
def test_a_bad_program_has_its_verdict_and_breaks_no_run(lines, tiny, tmp_path, port):
    folder, (verdict, reason) = few(tiny, tmp_path, forward=["length-tall-1"]), BAD[lines]
    (judged,) = grade(folder, port(lines + "\n", timeout=2.0 if "sleep" in lines else 60.0))
    assert (judged.verdict, judged.reason[: len(reason)]) == (verdict, reason)


@pytest.mark.parametrize("program", ["/nowhere/port", "/", "a\0b"])
def test_a_program_that_cannot_be_started_fails(program, tiny, tmp_path):
    (judged,) = grade(few(tiny, tmp_path, forward=["length-tall-1"]), Port([program], 60.0))
    assert judged.verdict == "failed" and judged.reason.startswith("cannot be started: ")
