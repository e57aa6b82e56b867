"""The encoder in int16, through the public surface: what is rounded, how far it is off, and where it is refused."""

import copy
import json
import pickle

import numba
import numpy as np
import pytest
from checkpoints import ANSWERS, DOCUMENTS, TINY, TRAINED, document, headed, stored

import pyled
from pyled.checkpoint import read_safetensors, write_safetensors
from pyled.errors import CheckpointError, InputError, PyledWarning
from pyled.kernels import jit
from pyled.kernels.rounded import Rounded
from pyled.models import LEDForConditionalGeneration, LEDModel, base
from pyled.tasks import cost

PARTS = [f"self_attn.longformer_self_attn.{part}" for part in ("query", "key", "value")] + [
    "self_attn.output",
    "fc1",
    "fc2",
]
FEW = np.random.default_rng(4).integers(4, 600, (3, 21))
MASK = np.array([[1] * 21, [1] * 9 + [0] * 12, [1] * 20 + [0]])
IS_GLOBAL = np.zeros_like(FEW)
IS_GLOBAL[:, 0] = 1


def int16(kind=LEDForConditionalGeneration, directory=TINY, **how):
    return kind.from_pretrained(directory, encoder="int16", **how)


def plain(kind=LEDForConditionalGeneration, **how):
    return kind.from_pretrained(TINY, **how)


def global_first(ids):
    """The arguments of a call on one document, with global attention on its first token."""
    is_global = np.zeros((1, len(ids)), np.int64)
    is_global[:, 0] = 1
    return {"input_ids": np.array([ids]), "global_attention_mask": is_global}


def rms(found, truth):
    return float(np.sqrt(np.mean((found.astype(np.float64) - truth) ** 2)))


# What is rounded


@pytest.mark.parametrize("weights", [None, "int8"])
def test_what_all_tokens_are_multiplied_with_is_in_int16_and_nothing_else(weights):
    model = int16(weights=weights)
    narrow = {name for name, weight in model.weights.items() if getattr(weight, "storage", None) == "int16"}
    config = model.config
    names = {f"encoder.layers.{i}.{part}.weight" for i in range(config.encoder_layers) for part in PARTS}
    of_keys = {f"encoder_attn.{part}_proj" for part in "kv"}
    names |= {f"decoder.layers.{i}.{part}.weight" for i in range(config.decoder_layers) for part in of_keys}
    assert narrow == names
    assert (model.encoder_arithmetic, model.stored_as, model.dtype) == ("int16", weights, np.float32)
    parts = [(w.values, w.scale) if isinstance(w, Rounded) else (w, w[:0]) for w in model.weights.values()]
    assert not any(array.flags.writeable for part in parts for array in part)
    size = sum({id(numbers): numbers.nbytes for numbers, _ in parts}.values())
    rates = cost.Rates(1e9, 1e9)
    told = cost.estimate(config, [[10]], 1, 1, rates, weights=weights, encoder="int16")
    assert told.memory["weights"] == size
    assert told.memory["source keys"] == cost.step_keys(config, 10) * (1 if weights else 2)
    before = cost.estimate(config, [[10]], 1, 1, rates, weights=weights)
    assert told.encoding < before.encoding and told.generating < before.generating


def test_state_dict_gives_what_is_multiplied_and_new_weights_are_rounded_alike():
    model, exact = int16(), plain().state_dict()
    found = model.state_dict()
    assert list(found) == list(exact)
    for name, array in exact.items():
        weight = model.weights[name.removeprefix("led.")]
        if isinstance(weight, Rounded):
            off = np.abs(found[name] - array) / weight.scale[:, None]
            assert 0 < off.max() <= 0.5 + 2**-8  # 15 bits of a whole number, of float32's 24
        else:
            assert found[name] is weight and np.array_equal(weight, array)
    model.load_state_dict(exact)
    again = model.state_dict()
    assert all(np.array_equal(found[name], array) for name, array in again.items())


# How far it is off


@pytest.mark.parametrize("name", DOCUMENTS)
def test_random_weights_states_are_off_by_two_thousandths_at_most(name):
    """Nothing is certain there: beams part now and then, the best token each time stays."""
    call = global_first(ANSWERS[name]["input_ids"])
    found, truth = (model.get_encoder()(**call).last_hidden_state for model in (int16(), plain()))
    assert 0 < rms(found, truth) <= 2e-3
    made = pyled.summarize(document(name), TINY, encoder="int16", num_beams=1)
    assert made.text == ANSWERS[name]["greedy"]["text"].strip()


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="interpreted, a document takes minutes")
@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_trained_states_are_off_by_a_thousandth_at_most_and_summaries_are_the_same(weights):
    answers = stored(TRAINED)["answers"]
    model = int16(directory=pyled.SYNOPSIS, weights=weights)
    with np.load(TRAINED / "states.npz", allow_pickle=False) as states:
        for name, answer in answers.items():
            states_of = model.get_encoder()(**global_first(answer["input_ids"])).last_hidden_state
            found = states_of[0, answer["places"]]
            assert 0 < rms(found, states[name]) <= 1e-3, name
            for kind, settings in (("greedy", {"num_beams": 1}), ("beam", {})) if weights == "float32" else ():
                made = pyled.summarize(document(name, TRAINED), model, pyled.SYNOPSIS, **settings)
                assert made.text == answer[kind]["text"], (name, kind)


# A document's own


@pytest.mark.parametrize("kind", [LEDModel, LEDForConditionalGeneration, pyled.TFLEDModel])
def test_a_document_has_the_same_bits_alone_in_a_batch_and_on_any_thread(kind):
    model = int16(kind)

    def call(rows, width):
        part = rows, slice(width)
        output = model(FEW[part], MASK[part], FEW[rows, :3], global_attention_mask=IS_GLOBAL[part])
        return output.encoder_last_hidden_state, output[0]

    together, logits = call(slice(None), 21)
    try:
        jit.set_threads(1)
        assert all(map(np.array_equal, call(slice(None), 21), (together, logits)))
    finally:
        jit.set_threads(None)
    for b, length in enumerate(MASK.sum(axis=1)):
        states, last = call(slice(b, b + 1), length)
        assert np.array_equal(states[0], together[b, :length]) and np.array_equal(last[0], logits[b])


def test_parts_copies_and_other_windows_compute_the_same():
    model = int16()
    states = model(FEW, decoder_input_ids=FEW[:, :2]).encoder_last_hidden_state
    assert not np.array_equal(states, plain()(FEW, decoder_input_ids=FEW[:, :2]).encoder_last_hidden_state)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.with_attention_window(4)):
        assert other.encoder_arithmetic == "int16" and isinstance(other.weights["encoder.layers.0.fc1.weight"], Rounded)
        found = other.with_attention_window(model.config.attention_window).get_encoder()(FEW).last_hidden_state
        assert np.array_equal(found, states)
    output = model.get_decoder()(FEW[:, :2], encoder_hidden_states=states)
    assert np.array_equal(output.last_hidden_state, int16(LEDModel)(FEW, decoder_input_ids=FEW[:, :2])[0])
    labels = model(FEW, labels=FEW[:, :4]), plain()(FEW, labels=FEW[:, :4])
    assert labels[0].loss == pytest.approx(float(labels[1].loss), rel=1e-3)


def test_heads_are_masked_with_it():
    """The probabilities of a masked head are multiplied, so that a factor of 0 is a head without output."""
    shape = plain().config.encoder_layers, plain().config.encoder_attention_heads
    factors = np.linspace(-1, 2, shape[0] * shape[1]).reshape(shape)
    truth, found = (model.get_encoder()(FEW, head_mask=factors).last_hidden_state for model in (plain(), int16()))
    assert 0 < rms(found, truth) < 1e-2 < rms(found, int16().get_encoder()(FEW).last_hidden_state)


# What is refused, and told


def test_infinite_weights_are_refused(tmp_path):
    names = ("encoder.layers.1.fc2.weight", "decoder.layers.0.encoder_attn.k_proj.weight")
    for name, value in zip(names, (np.nan, np.inf), strict=True):
        tensors = {key: np.array(tensor) for key, tensor in read_safetensors(TINY / "model.safetensors").items()}
        tensors[f"led.{name}"][3, 2] = value
        message = f"{name} holds NaN or infinity, which int16 lacks: load it with encoder 'float32'"
        with pytest.raises(CheckpointError, match=message):
            int16().load_state_dict(tensors)
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_bytes((TINY / "config.json").read_bytes())
        write_safetensors(folder / "model.safetensors", tensors)
        with pytest.raises(CheckpointError, match=message):
            int16(directory=folder)


def test_rounded_weights_are_not_saved_and_not_resized(tmp_path):
    message = "rounded to bf16 and int16 when it was loaded: to save it, load it without weights= and encoder="
    with pytest.raises(InputError, match=message):
        int16(weights="bf16").save_pretrained(tmp_path / "saved")
    with pytest.raises(InputError, match=r"rounded to int16 .* to resize it, load it without encoder="):
        int16().resize_token_embeddings(601)
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize(
    "how, message",
    [
        ({"encoder": "int8"}, "encoder is 'int8': 'float32' or 'int16' or None was expected"),
        ({"encoder": "int16", "dtype": "float64"}, "encoder 'int16' with dtype 'float64': it goes with float32 alone"),
        ({"encoder": "float32", "dtype": "float64"}, "encoder 'float32' with dtype 'float64'"),
    ],
)
def test_wrong_types_are_refused(how, message):
    with pytest.raises(InputError, match=message):
        LEDModel.from_pretrained(TINY, **how)
    with pytest.raises(InputError, match=message):
        pyled.Summarizer(TINY, **how)


def test_a_processor_without_avx2_computes_in_float32_and_says_so(monkeypatch, run, note):
    monkeypatch.setattr(base, "HAS_AVX2", False)
    told = "encoder 'int16' has no effect: this processor lacks AVX2, the encoder computes in float32"
    with pytest.warns(PyledWarning, match=told) as warnings:
        model = int16()
        model.load_state_dict(plain().state_dict())
    assert len(warnings) == 1 and model.encoder_arithmetic is None
    assert np.array_equal(model.get_encoder()(FEW)[0], plain().get_encoder()(FEW)[0])
    made = pyled.summarize("A lamp.", TINY, encoder="int16", max_length=3)
    assert made.encoder == "float32" and told in made.notes
    status, _, err = run("summarize", note, "-m", TINY, "--max-length", 3, "--encoder", "int16")
    assert status == 0 and told.replace("encoder '", "--encoder '", 1) in err


# Texts


def test_a_result_says_what_the_encoder_multiplied(tmp_path):
    text, settings = "A lamp on the table.", {"num_beams": 1, "max_length": 4}
    tokenizer = pyled.LEDTokenizer.from_pretrained(TINY)
    made = pyled.summarize(text, TINY, encoder="int16", **settings)
    assert (made.encoder, made.weights, made.dtype, made.record()["encoder"]) == ("int16", *["float32"] * 2, "int16")
    assert pyled.summarize(text, int16(), tokenizer, encoder="int16", **settings).text == made.text
    with pytest.raises(InputError, match=r"encoder is 'int16', but .* its encoder in float32: load it with these"):
        pyled.summarize(text, plain(), tokenizer, encoder="int16")
    assert pyled.summarize(text, TINY, dtype="float64", **settings).encoder == "float64"
    asking, labelling = headed(tmp_path / "qa", "qa"), headed(tmp_path / "labels", "classification")
    for encoder in ("int16", "float32"):
        assert pyled.answer("Where?", text, asking, encoder=encoder).record()["encoder"] == encoder
        assert pyled.classify(text, labelling, encoder=encoder).record()["encoder"] == encoder


def test_the_option(run, note, tmp_path):
    asking, labelling = headed(tmp_path / "qa", "qa"), headed(tmp_path / "labels", "classification")
    for command in (
        ("summarize", note, "-m", TINY, "--max-length", 3),
        ("answer", "-q", "Where?", note, "-m", asking),
        ("classify", note, "-m", labelling),
    ):
        status, out, _ = run(*command, "--encoder", "int16", "--format", "jsonl", "--quiet")
        assert status == 0 and json.loads(out)["encoder"] == "int16"
        status, out, err = run(*command, "--encoder", "int16", "--dtype", "float64")
        assert (status, out) == (2, "") and "--encoder 'int16' with --dtype 'float64'" in err
    pairs = json.dumps({"document": "A lamp.", "summary": "Lamp."}).encode()
    status, out, _ = run("evaluate", "-m", TINY, "--max-length", 3, "--encoder", "int16", stdin=pairs)
    assert status == 0 and "in float32, encoder in int16, pyled" in out
