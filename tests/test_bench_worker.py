"""The child of `pyled bench`: each kind of request, asked in this process, gives what the library gives."""

import json
import subprocess
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from budget import err
from checkpoints import TINY, changed
from pyled.tools.bench import worker

from pyled import LEDConfig, LEDForConditionalGeneration, LEDTokenizer
from pyled.tasks import cost
from pyled.tasks.cost import Rates


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Warming up takes no time, which it does without compilation."""
    monkeypatch.setattr(worker, "WARM_TOKENS", 4)


@pytest.fixture
def ask(tmp_path, capsys):
    """The answer to a request, as the process prints it, and the array that it leaves."""

    def ask(kind, **request):
        output = tmp_path / "out.npy"
        output.unlink(missing_ok=True)
        asked = {"kind": kind, "threads": 1, "model": str(TINY), "window": None, "output": str(output), **request}
        assert worker.main([json.dumps(asked)]) == 0
        answer = json.loads(capsys.readouterr().out)
        return answer, np.load(output) if output.exists() else None

    return ask


@pytest.fixture
def ids(ask, tmp_path):
    """A file of 20 ids, and they."""
    _, made = ask("source", tokens=20)
    path = tmp_path / "ids.npy"
    np.save(path, made)
    return str(path), made


def marks(ids):
    return {"attention_mask": np.ones_like(ids), "global_attention_mask": (np.arange(ids.size) == 0)[None].astype(int)}


def test_ids_lie_between_those_of_start_and_end(ids):
    _, made = ids
    assert made.shape == (1, 20) and made.dtype == np.int64
    assert (made[0, 0], made[0, -1]) == (0, 2) and len(set(made[0])) > 10


def test_encoding_gives_the_states_with_the_first_token_global(ask, ids):
    path, made = ids
    encoder = LEDForConditionalGeneration.from_pretrained(TINY).get_encoder()
    truth = encoder(made, **marks(made)).last_hidden_state
    answer, states = ask("encode", source=path)
    assert (states == truth).all() and set(answer) == {"seconds", "peak"}
    assert answer["seconds"] > 0 and answer["peak"] > 10_000_000
    assert (ask("states", source=path)[1] == truth).all()


def test_another_window_is_as_if_the_configuration_said_so(ask, ids, tmp_path):
    path, made = ids
    directory = changed(tmp_path / "led", config={"attention_window": 4})
    narrow = LEDForConditionalGeneration.from_pretrained(directory).get_encoder()
    _, states = ask("encode", source=path, window=4)
    assert (states == narrow(made, **marks(made)).last_hidden_state).all()


def test_generating_gives_exactly_as_many_tokens_and_tells_of_the_first(ask, ids, tmp_path):
    path, made = ids
    model = LEDForConditionalGeneration.from_pretrained(TINY)
    settings = {"num_beams": 2, "min_length": 6, "max_length": 6, "no_repeat_ngram_size": 3}
    truth = model.generate(made, **marks(made), **settings)
    answer, tokens = ask("whole", source=path, target=5, beams=2)
    assert tokens.shape == (1, 6) and (tokens == truth).all()
    assert 0 < answer["first"] < answer["seconds"]
    states = tmp_path / "states.npy"
    np.save(states, ask("states", source=path)[1])
    answer, decoded = ask("decode", source=str(states), target=5, beams=2, output=None)
    assert decoded is None and 0 < answer["first"] < answer["seconds"]
    assert (ask("decode", source=str(states), target=5, beams=2)[1] == truth).all()


def test_tokenizing_gives_ids_or_offsets(ask, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("The lamp \u00e9.", encoding="utf-8")
    encoded = LEDTokenizer.from_pretrained(TINY)(text.read_text(encoding="utf-8"), return_offsets_mapping=True)
    assert ask("tokenize", source=str(text), offsets=False)[1].tolist() == encoded["input_ids"]
    assert ask("tokenize", source=str(text), offsets=True)[1].tolist() == [list(p) for p in encoded["offset_mapping"]]


def test_a_process_is_the_command_with_exactly_as_many_tokens(ask, monkeypatch):
    commands, failed = [], 0

    def run(command, **_):
        commands.append(command)
        return SimpleNamespace(returncode=failed, stdout=b"words\n", stderr=b"pyled: no\n")

    monkeypatch.setattr(subprocess, "run", run)
    answer, text = ask("process", source="text.txt", target=32, beams=4)
    assert bytes(text) == b"words\n" and answer["seconds"] >= 0
    told = " ".join(commands[0])
    assert "-m pyled summarize text.txt -m " in told
    for option in ("--num-beams 4", "--min-length 33", "--max-length 33", "--no-repeat-ngram-size 3", "--threads 1"):
        assert option in told
    failed = 1
    assert ask("process", source="text.txt", target=32, beams=4)[0] == {"error": "InputError: pyled: no"}


def test_what_is_compiled_is_run_and_leaves_nothing(ask):
    assert ask("warm") == ({}, None)


def test_the_checkpoint_with_random_weights_loads_and_is_the_same_each_time(ask, monkeypatch, tmp_path):
    shape = {
        "vocab_size": 30, "d_model": 6, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 8,
        "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 8, "attention_window": 4,
        "max_encoder_position_embeddings": 40, "max_decoder_position_embeddings": 50,
    }  # fmt: skip
    monkeypatch.setattr(worker, "SHAPE", shape)
    for name in "ab":
        ask("model", output=str(tmp_path / name))
    model = LEDForConditionalGeneration.from_pretrained(tmp_path / "a")
    assert not model.load_report.missing and not model.load_report.unused
    assert LEDConfig.from_pretrained(tmp_path / "a").extra["architectures"] == ["LEDForConditionalGeneration"]
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert files[0] == files[1]
    weights = model.weights
    assert 0.03 < weights["shared.weight"].std() < 0.07
    assert 0.8 < weights["encoder.layernorm_embedding.weight"].mean() < 1.2
    assert 0 < abs(weights["encoder.layers.0.fc1.bias"]).max() < 0.5


def test_outputs_are_compared_as_floats_or_to_the_first_difference(ask, tmp_path):
    def compared(got, truth):
        for name, array in (("got", got), ("truth", truth)):
            np.save(tmp_path / f"{name}.npy", np.array(array))
        answer, _ = ask("compare", output=str(tmp_path / "got.npy"), truth=str(tmp_path / "truth.npy"))
        return answer

    got, truth = np.float32([[1.0, 4.5]]), np.float32([[1.25, 5.0]])
    assert compared(got, truth) == {"difference": 0.1} == {"difference": err(got, truth.astype(np.float64))}
    assert compared(np.float32([0.25]), np.float32([0.5])) == {"difference": 0.25}
    assert compared([[1, 2, 3]], [[1, 2, 3]]) == {"part": None, "count": 3}
    assert compared([1, 5, 6], [1, 2, 3]) == {"part": 1, "count": 3}
    assert compared([1, 2], [1, 2, 3]) == {"part": 2, "count": 3}


def test_the_machine_is_described(ask, monkeypatch):
    asked = []

    def measure(**more):
        asked.append(more)
        return Rates(3.0, 4.0)

    monkeypatch.setattr(cost, "measure", measure)
    answer, _ = ask("machine")
    assert answer["rates"] == {"products": 3.0, "reading": 4.0} and asked == [{"side": worker.SIDE, "spent": 1}]
    assert answer["threads"] == 1 and answer["cores"] >= 1 and answer["memory"] > 10**8
    assert answer["versions"]["numpy"] == np.__version__ and answer["processor"] and answer["blas"]
    assert answer["threading_layer"].startswith("not" if numba.config.DISABLE_JIT else "Numba on ")
    monkeypatch.setattr(worker.Path, "read_text", lambda *_, **__: (_ for _ in ()).throw(OSError()))
    assert worker._processor()


def test_what_fails_is_answered_in_words(ask):
    answer, _ = ask("encode", model="none", source="none")
    assert answer["error"].startswith("CheckpointError: none is no directory")
