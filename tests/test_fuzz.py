"""What fuzzing found stays mended, and the fuzzing itself finds what is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import fuzz
import numpy as np
import pytest

import pyled
from pyled.errors import ConfigError, TokenizerError

ROOT = Path(pyled.__file__).parent.parent
LONG = "x" * 5000


def command(*arguments, code=0):
    """Run the command, with a look at its exit status; what it prints."""
    done = subprocess.run(
        [sys.executable, Path(fuzz.__file__), "--jobs", "1", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_some_cases_of_every_kind():
    lines = command("--count", 1000).splitlines()
    kinds = {line.split()[0]: line for line in lines[: len(fuzz.KINDS)]}
    assert set(kinds) == set(fuzz.KINDS)
    assert all("accepted" in line for line in kinds.values())  # the inputs are not spoiled beyond all use
    assert all("Error" in line for kind, line in kinds.items() if kind != "texts")
    assert lines[-1].startswith("1,000 cases, 0 failed")


def test_a_case_is_the_same_each_time():
    for kind in fuzz.KINDS:
        first, again, other = (repr(fuzz.case(kind, number, 1)[0]) for number in (7, 7, 8))
        assert first != other
        assert first == again or "object at" in first


def test_a_reader_that_ends_its_process_is_noticed(tmp_path):
    script = tmp_path / "aborting.py"
    script.write_text(
        "import os, sys, fuzz\n"
        "fuzz.KINDS['config'] = (9, fuzz.make_config, lambda *_: os.abort())\n"
        "if __name__ == '__main__':\n    sys.exit(fuzz.main())\n"
    )
    done = subprocess.run(
        [sys.executable, script, "--only", "config", "--count", "3", "--jobs", "1"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1
    assert "FAILED: a case ended its process" in done.stdout


def test_a_case_needs_its_kind():
    command("--case", 3, code=2)


@pytest.mark.parametrize("wrong", [KeyError("x"), UserWarning("x"), MemoryError(), AssertionError()])
def test_a_reader_that_does_anything_else_is_noticed(wrong, monkeypatch, tmp_path):
    def read(folder, rng):
        assert (folder / "config.json").exists()
        raise wrong

    monkeypatch.setattr(fuzz, "FOLDER", tmp_path, raising=False)
    monkeypatch.setitem(fuzz.KINDS, "config", (1, fuzz.make_config, read))
    (tmp_path / "config").mkdir()
    kind, counts, failed = fuzz.run(("config", 3, 5, 1))
    assert (kind, counts) == ("config", {"FAILED": 2})
    assert failed[0].startswith("--only config --case 3 --seed 1: FAILED: ")


def test_a_reader_that_hangs_is_noticed(monkeypatch, tmp_path):
    def read(text, rng):
        while True:
            pass

    monkeypatch.setattr(fuzz, "FOLDER", tmp_path, raising=False)
    monkeypatch.setattr(fuzz, "TIME_LIMIT", 0.05)
    monkeypatch.setitem(fuzz.KINDS, "texts", (1, fuzz.make_text, read))
    before = fuzz.signal.signal(fuzz.signal.SIGALRM, fuzz.out_of_time)
    try:
        assert fuzz.try_case("texts", 1, 1).startswith("FAILED: OutOfTimeError")
    finally:
        fuzz.signal.signal(fuzz.signal.SIGALRM, before)


# Found by it


@pytest.mark.parametrize(
    "values",
    [{"eos_token_id": LONG}, {"d_model": LONG}, {"activation_function": LONG}, {"attention_window": LONG},
     {"model_type": LONG}, {"tie_word_embeddings": LONG}],
    ids=str,
)  # fmt: skip
def test_a_long_value_makes_no_long_message(values):
    with pytest.raises(ConfigError) as caught:
        pyled.LEDConfig.from_dict(values)
    assert len(str(caught.value)) < 300


def changed_tokenizer(tmp_path, **model):
    content = {**fuzz.WHOLE_TOKENIZER, "model": {**fuzz.WHOLE_TOKENIZER["model"], **model.pop("model", {})}, **model}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(TokenizerError) as caught:
        pyled.LEDTokenizer.from_pretrained(tmp_path)
    return str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"added_tokens": [{"id": 5000, "content": LONG}]},
        {"model": {"type": fuzz.VOCAB}},
        {"model": {"merges": [[LONG, LONG]]}},
    ],
    ids=["added token", "type", "merge"],
)
def test_a_long_token_makes_no_long_message(changes, tmp_path):
    assert len(changed_tokenizer(tmp_path, **changes)) < 500 + len(str(tmp_path))


def test_a_penalty_that_float32_rounds_to_0_warns_of_nothing():
    ids = fuzz.MODEL.generate([[4, 5, 6]], repetition_penalty=1e-320, max_length=3, num_beams=1)
    assert np.asarray(ids).shape[0] == 1
