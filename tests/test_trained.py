"""The checkpoint in the package, whose weights were trained: what the reference says of our own texts, we say, too.

Random weights attend to everything alike and choose among all tokens; trained ones pick, and are nearly certain.
"""

import functools
import json
from typing import Any

import numba
import numpy as np
import pytest
from budget import assert_within, budget, err
from checkpoints import TRAINED, document, stored

import pyled
from pyled.hub import UNNAMED
from pyled.tokenizer import LEDTokenizer

ANSWERS: dict[str, dict[str, Any]] = stored(TRAINED)["answers"]
SHORTEST = min(ANSWERS, key=lambda name: len(ANSWERS[name]["input_ids"]))
# Interpreted, the others take minutes.
DOCUMENTS = [SHORTEST] if numba.config.DISABLE_JIT else list(ANSWERS)


@functools.cache
def model(dtype: str) -> pyled.LEDForConditionalGeneration:
    return pyled.LEDForConditionalGeneration.from_pretrained(pyled.SYNOPSIS, dtype=dtype)


def marked(ids: list[int]) -> dict[str, Any]:
    """The arguments of a call on one document, with global attention on its first token."""
    source = np.array([ids])
    is_global = np.zeros_like(source)
    is_global[:, 0] = 1
    return {"input_ids": source, "global_attention_mask": is_global}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_tokens_are_the_references(name):
    tokenizer = LEDTokenizer.from_pretrained(pyled.SYNOPSIS)
    assert tokenizer(document(name, TRAINED))["input_ids"] == ANSWERS[name]["input_ids"]
    synopses = json.loads(document("summaries.json", TRAINED))
    assert tokenizer(synopses[name])["input_ids"][1:-1] == ANSWERS[name]["synopsis"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_states_and_probabilities_are_the_references(name, dtype):
    led, expected = model(dtype), ANSWERS[name]
    target = np.array([[*expected["synopsis"], led.config.eos_token_id]])
    prompt = np.array([[led.config.decoder_start_token_id, *expected["synopsis"]]])
    answer = led(**marked(expected["input_ids"]), decoder_input_ids=prompt)
    logits = answer.logits[0]  # (T, V)
    shifted = logits - logits.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    found = np.take_along_axis(logs, target[0][:, None], axis=1)[:, 0]
    assert_within("log_probs", found, np.array(expected["log_probs"]), expected["log_probs_error"], dtype)
    with np.load(TRAINED / "states.npz", allow_pickle=False) as states:
        truth = states[name]
    found = answer.encoder_last_hidden_state[0, expected["places"]]
    assert_within("states", found, truth, expected["states_error"], dtype)


@pytest.mark.parametrize("kind", ["greedy", "beam"])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_summary_is_the_references(name, kind):
    expected = ANSWERS[name][kind]
    settings = {"num_beams": 1} if kind == "greedy" else {}
    made = pyled.summarize(document(name, TRAINED), model("float32"), pyled.SYNOPSIS, **settings)
    assert (made.text, made.generated_tokens) == (expected["text"], len(expected["sequence"]) - 1)
    if kind == "beam":
        error = err(np.float32(made.score), np.float64(expected["sequences_score"]))
        assert error <= budget(np.float32, ANSWERS[name]["score_error"])


def test_the_library_takes_it_where_no_model_is_named():
    made = pyled.summarize(document(SHORTEST, TRAINED), max_length=3)
    assert made.text == pyled.summarize(document(SHORTEST, TRAINED), pyled.SYNOPSIS, max_length=3).text
    assert (made.model, made.notes[0]) == (str(pyled.SYNOPSIS), UNNAMED)


def test_the_commands_take_it_where_no_model_is_named_and_say_so(run):
    name, told = TRAINED / "documents" / SHORTEST, f"pyled: {UNNAMED}; pass another with -m\n"
    expected = pyled.summarize(document(SHORTEST, TRAINED), pyled.SYNOPSIS, max_length=3).text
    assert run("summarize", name, "--max-length", 3) == (0, f"{expected}\n", told)
    assert run("summarize", name, "--max-length", 3, "--quiet") == (0, f"{expected}\n", "")
    ids = " ".join(map(str, ANSWERS[SHORTEST]["input_ids"])) + "\n"
    assert run("tokenize", name) == (0, ids, told)
    assert run("detokenize", "--skip-special-tokens", stdin=ids.encode()) == (0, document(SHORTEST, TRAINED), told)
    pair = json.dumps({"document": document(SHORTEST, TRAINED), "summary": expected})
    status, out, err = run("evaluate", "--max-length", 3, "--json", stdin=pair.encode())
    assert (status, err) == (0, told)
    assert json.loads(out)["groups"][0]["systems"]["model"]["scores"]["rougeL"]["fmeasure"]["mean"] == 1


def test_inspect_shows_it_where_no_directory_is_named(run):
    assert run("inspect") == run("inspect", pyled.SYNOPSIS)
    status, out, err = run("inspect")
    assert (status, out.splitlines()[0], err) == (0, str(pyled.SYNOPSIS), "")


def test_beams_find_other_summaries_than_the_best_token_each_time():
    differ = [name for name, answer in ANSWERS.items() if answer["greedy"]["text"] != answer["beam"]["text"]]
    assert len(differ) > 2


def test_it_fits_into_the_package():
    assert sum(path.stat().st_size for path in pyled.SYNOPSIS.iterdir() if path.is_file()) < 12_000_000
