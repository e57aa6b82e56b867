"""The goldens themselves: whole, small, and what the scripts that lie beside them make."""

import functools
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from budget import assert_within, err

import golden

QUERIES_AND_KEYS = (".query.", ".key.", ".query_global.", ".key_global.", ".q_proj.", ".k_proj.")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


MANIFESTS = {"forward": golden.MANIFEST, "gradients": golden.GRADIENTS}


@pytest.mark.parametrize("folder", MANIFESTS)
def test_the_files_are_those_of_the_manifest(folder):
    files = {path.stem: sha256(path) for path in (golden.FOLDER / folder).glob("*.npz")}
    assert files == {name: entry["sha256"] for name, entry in MANIFESTS[folder]["cases"].items()}


@pytest.mark.parametrize("folder", MANIFESTS)
def test_the_scripts_do_what_they_did_when_they_made_them(folder):
    scripts = MANIFESTS[folder]["scripts"]
    assert set(scripts) == {"weights.py", "cases.py", "ask.py", f"{folder}.py"}
    assert golden.BEHAVIOUR.of_scripts(golden.FOLDER, tuple(scripts)) == scripts


SOURCE = '''"""A module."""
def double(x):
    """Return twice x."""
    return [x * 2, None, []]  # twice
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("A module.", "The module."),
        ("Return twice x.", "Return x + x."),
        ('    """Return twice x."""\n', ""),
        ("  # twice", "\n\n# the end"),
        ("x * 2", "(x*2)"),
    ],
)
def test_a_sentence_and_the_form_of_code_change_no_hash(old, new):
    assert old in SOURCE
    assert golden.BEHAVIOUR.behaviour(SOURCE.replace(old, new)) == golden.BEHAVIOUR.behaviour(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x * 2", "x * 3"),
        ("x * 2", "2 * x"),
        ("x * 2", "x + 2"),
        ("None", "'None'"),
        ("None, []", "None"),
        ("None, []", "[None]"),
        ("return", "yield"),
        ("(x)", "(x, y)"),
        ('    """Return twice x."""', '    f"""Return twice x."""'),
    ],
)
def test_what_code_does_changes_the_hash(old, new):
    assert old in SOURCE
    assert golden.BEHAVIOUR.behaviour(SOURCE.replace(old, new)) != golden.BEHAVIOUR.behaviour(SOURCE)


def test_the_goldens_stay_small():
    files = [path for path in golden.FOLDER.rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    assert sum(path.stat().st_size for path in files) < 6_500_000


@pytest.mark.parametrize("name", golden.names())
def test_each_stage_is_float64_and_has_an_error(name):
    case = golden.load(name)
    assert set(case.truth) == set(case.float32_error)
    assert {array.dtype for array in case.truth.values()} == {np.dtype(np.float64)}
    B, _ = case.source_shape
    assert all(len(array) == B for stage, array in case.truth.items() if stage != "out.loss")


@pytest.mark.parametrize("name", golden.names())
def test_no_input_repeats_with_a_period(name):
    for array in golden.load(name).inputs.values():
        if array.ndim == 2 and array.shape[1] > 4 and array.max() > 1:
            for row in array:
                assert all((row[p:] != row[:-p]).any() for p in range(1, len(row) // 2 + 1))


def test_weights_follow_the_definition_in_plain_integers():
    h = 0xCBF29CE484222325
    for c in b"3/led.encoder.layers.0.fc1.weight":
        h = ((h ^ c) * 0x100000001B3) & (2**64 - 1)
    expected = []
    for i in range(6):
        z = (h + (i + 1) * 0x9E3779B97F4A7C15) & (2**64 - 1)
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        expected.append((2 * ((z ^ (z >> 31)) >> 52) - 4095) / 8192)
    array = golden.WEIGHTS.reals("led.encoder.layers.0.fc1.weight", 3, (2, 3))
    assert array.tolist() == [expected[:3], expected[3:]]
    assert (array.astype(np.float32) == array).all()


def test_the_tiny_checkpoint_holds_the_weights_of_the_hash():
    """Tied tensors once; queries' and keys' matrices doubled, biases an eighth (golden/tiny.py says why)."""
    config = json.loads((golden.FOLDER / "tiny" / "config.json").read_text(encoding="utf-8"))
    data = (golden.FOLDER / "tiny" / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    entries = json.loads(data[8 : 8 + size])
    expected = golden.WEIGHTS.make_weights(config, 0, np.float32)
    assert set(entries) - {"__metadata__"} == set(expected) - set(golden.WEIGHTS.TIED[1:])
    for name, array in expected.items():
        if name in entries:
            start, stop = entries[name]["data_offsets"]
            stored = np.frombuffer(data[8 + size + start : 8 + size + stop], "<f4").reshape(entries[name]["shape"])
            factor = 1 / 8 if name.endswith("bias") else 2 if any(p in name for p in QUERIES_AND_KEYS) else 1
            assert np.array_equal(stored, array * np.float32(factor)), name


README = (golden.FOLDER / "README.md").read_text(encoding="utf-8")
KIT = (golden.FOLDER.parent / "pyled" / "porting" / "kit.md").read_text(encoding="utf-8")
STAGES = (golden.FOLDER.parent / "docs" / "porting.md").read_text(encoding="utf-8").partition("\n## Stages\n")[2]


def test_the_page_for_ports_names_every_file_and_its_numbers_are_true():
    names = {path.name for path in golden.FOLDER.iterdir() if path.suffix not in (".py", ".md")} - {"__pycache__"}
    assert all(name in README for name in names)
    h, z = re.search(r"`0/led.shared.weight` h is (0x\w+), and the first element has z (0x\w+)", KIT).groups()
    assert golden.WEIGHTS.hashed("led.shared.weight", 0, 1).tolist() == [int(z, 16)]
    assert functools.reduce(
        lambda h, c: (h ^ c) * 0x100000001B3 % 2**64, b"0/led.shared.weight", 0xCBF29CE484222325
    ) == int(h, 16)
    assert f"= {golden.WEIGHTS.reals('led.shared.weight', 0, (1,))[0]}. " in KIT
    case = golden.load("length-tall-5")
    assert f"ids {' '.join(map(str, case.inputs['input_ids'][0]))};" in README
    assert f"begins {', '.join(f'{x:.4f}' for x in case.truth['logits'][0, 0, :3])}." in README


@pytest.mark.parametrize("name", golden.names())
def test_the_page_for_ports_has_every_stage(name):
    described = README.partition("| name |")[2].partition("\n\n")[0] + STAGES.partition("\n## ")[0]
    for stage in golden.load(name).truth:
        last = [part for part in re.split(r"[.]", stage) if not part.isdigit()][-1]
        assert last in described, stage


def test_the_refused_files_are_those_of_the_tests():
    assert golden.REFUSED.stored() == golden.REFUSED.contents(), "run golden/refused.py"


def test_err_is_absolute_for_small_truth_and_relative_for_large():
    assert err(np.array([0.25]), np.array([0.5])) == 0.25
    assert err(np.array([6.0, 8.0]), np.array([6.0, 4.0])) == 4 / 6
    assert err(np.array([]), np.array([])) == 0


def test_the_budget_lets_pass_what_is_within():
    truth = np.array([[1.0, -2.0]])
    assert_within("stage", truth + 1e-10, truth, 0.0)
    assert_within("stage", (truth + 3e-6).astype(np.float32), truth, 1e-6, np.float32)
    assert_within("stage", (truth + 3e-5).astype(np.float32), truth, 1e-5)


@pytest.mark.parametrize(
    ("got", "error", "message"),
    [
        (np.array([[1.0, -2.0 + 3e-10]]), 1.0, r"stage: float64 differs most at \(0, 1\).*error 1.5e-10, budget 1e-10"),
        (np.array([[1.0 + 5e-6, -2.0]], np.float32), 0.0, r"stage: float32 differs most at \(0, 0\).*budget 2e-06"),
        (np.array([[1.0, np.nan]]), 1.0, r"nan at \(0, 1\), expected -2"),
        (np.array([[np.inf, -2.0]], np.float32), 1.0, r"inf at \(0, 0\)"),
        (np.array([1.0, -2.0]), 1.0, r"shape \(2,\), expected \(1, 2\)"),
        (np.array([[1.0, -2.0]], np.float16), 1.0, "float16 is neither"),
        (np.array([[1, -2]]), 1.0, "int64 is neither"),
        (np.array([[1.0, -2.0]], np.float32), float("nan"), "the reference's error is nan"),
    ],
)
def test_the_budget_stops_what_is_not(got, error, message):
    with pytest.raises(AssertionError, match=message):
        assert_within("stage", got, np.array([[1.0, -2.0]]), error)


def test_the_budget_holds_to_the_type_that_is_asked_for():
    with pytest.raises(AssertionError, match="float64, expected float32"):
        assert_within("stage", np.ones(2), np.ones(2), 0.0, np.float32)
