"""Text in, text and a record out: as the reference says, and nothing done silently."""

import json
from dataclasses import fields

import numpy as np
import pytest
from budget import budget, err
from checkpoints import ANSWERS, DOCUMENTS, FLOAT32_ERROR, TINY, changed, document, summary

import pyled
from pyled.checkpoint import read_safetensors, write_safetensors
from pyled.errors import CheckpointError, ConfigError, GenerationError, InputError, TokenizerError
from pyled.kernels import jit
from pyled.models import LEDForConditionalGeneration, LEDModel
from pyled.tasks import Reading, Summarizer
from pyled.tokenizer import LEDTokenizer

SHORT = "The keeper wrote it down."


@pytest.fixture(autouse=True)
def one_thread():
    jit.set_threads(1)  # small work on a machine that others use too
    yield
    jit.set_threads(jit.numba.config.NUMBA_NUM_THREADS)


@pytest.fixture(scope="module")
def model():
    return LEDForConditionalGeneration.from_pretrained(TINY)


@pytest.fixture(scope="module")
def tokenizer():
    return LEDTokenizer.from_pretrained(TINY)


def read(directory, text, **reading):
    """A text as a checkpoint reads it."""
    summarizer = Summarizer.load(directory)
    return summarizer.read(text, summarizer.plan(None, {}, Reading(**reading)))


def by_hand(model, tokenizer, ids, global_places=(0,), **settings):
    """The text and the score that the low-level calls give for a row of ids."""
    is_global = [int(i in global_places) for i in range(len(ids))]
    answer = model.generate(
        [ids],
        attention_mask=[[1] * len(ids)],
        global_attention_mask=[is_global],
        return_dict_in_generate=True,
        output_scores=True,
        **settings,
    )
    text = tokenizer.decode(answer.sequences[0], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text, float(answer.sequences_scores[0])


# As the reference


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize(("kind", "settings"), [("greedy", {"num_beams": 1}), ("beam", {})])
def test_the_summary_is_the_references(name, kind, settings):
    made = pyled.summarize(document(name), TINY, **settings)
    expected = ANSWERS[name][kind]
    assert made.text == str(made) == expected["text"]
    assert made.source_tokens == len(ANSWERS[name]["input_ids"])
    assert made.generated_tokens == len(expected["sequence"]) - 1
    assert (made.truncated_tokens, made.global_tokens, made.dtype) == (0, 1, "float32")
    assert made.model == str(TINY)
    if kind == "beam":
        error = err(np.float32(made.score), np.float64(expected["sequences_score"]))
        assert error <= budget(np.float32, FLOAT32_ERROR)
    else:
        assert made.score is None
    assert made.encoding_seconds > 0 < made.generating_seconds


def test_in_float64_the_score_is_the_truth():
    made = pyled.summarize(document("lamp.txt"), str(TINY), dtype="float64")
    expected = ANSWERS["lamp.txt"]["beam"]
    assert (made.text, made.dtype) == (expected["text"], "float64")
    # scores are float32 in any dtype, as upstream's: the truth to within its rounding
    assert err(np.float64(made.score), np.float64(expected["sequences_score"])) < 1e-6


def test_several_texts_give_a_list_from_one_model(monkeypatch):
    loads = []
    original = LEDForConditionalGeneration.from_pretrained.__func__

    def counted(cls, *args, **kwargs):
        loads.append(args)
        return original(cls, *args, **kwargs)

    monkeypatch.setattr(LEDForConditionalGeneration, "from_pretrained", classmethod(counted))
    texts = [SHORT, "Nobody asked."]
    several = pyled.summarize(texts, TINY, max_length=5)
    assert len(loads) == 1
    alone = [summary(text, max_length=5) for text in texts]
    assert [(s.text, s.score, s.source_tokens) for s in several] == [(s.text, s.score, s.source_tokens) for s in alone]
    assert pyled.summarize([], TINY) == []


def test_a_model_in_memory_serves_as_well(model, tokenizer):
    for its in (tokenizer, TINY):
        found = pyled.summarize(SHORT, model, its, max_length=5)
        assert (found.text, found.score) == (summary(SHORT, max_length=5).text, summary(SHORT, max_length=5).score)
        assert found.model == "in memory"


def test_documents_in_one_text_are_told_apart(tmp_path):
    directory = changed(tmp_path / "led", config={"vocab_size": 601}, generation={"max_length": 9})
    (directory / "added_tokens.json").write_text('{"<doc-sep>": 600}', encoding="utf-8")
    model, tokenizer = LEDForConditionalGeneration.from_pretrained(directory), LEDTokenizer.from_pretrained(directory)
    ids = tokenizer("One lamp.<doc-sep>Two lamps.<doc-sep>")["input_ids"]
    places = [0, *(i for i, number in enumerate(ids) if number == 600)]
    made = pyled.summarize("One lamp.<doc-sep>Two lamps.<doc-sep>", directory)
    assert made.global_tokens == len(places) == 3
    assert (made.text, made.score) == by_hand(model, tokenizer, ids, places)
    assert made.score != by_hand(model, tokenizer, ids)[1]


# Lengths


def test_a_text_that_is_too_long_is_refused_or_cut(tmp_path):
    directory = changed(tmp_path / "led", config={"max_encoder_position_embeddings": 40}, generation={"max_length": 9})
    text, all_ids = document("lamp.txt"), ANSWERS["lamp.txt"]["input_ids"]
    with pytest.raises(InputError, match=r"76 tokens, but this encoder has 40 positions: .*truncate"):
        pyled.summarize(text, directory)
    with pytest.raises(InputError, match=r"text\[1\]: 76 tokens"):
        pyled.summarize([SHORT, text], directory)
    made = pyled.summarize(text, directory, too_long="truncate")
    assert (made.source_tokens, made.truncated_tokens) == (76, 36)
    assert made.notes[-1] == "36 of 76 tokens were cut off: the encoder has 40 positions"
    model, tokenizer = LEDForConditionalGeneration.from_pretrained(directory), LEDTokenizer.from_pretrained(directory)
    assert (made.text, made.score) == by_hand(model, tokenizer, [*all_ids[:39], 2])
    fits = tokenizer.decode(all_ids[1:39])
    assert len(tokenizer(fits)["input_ids"]) == 40
    assert read(directory, fits).truncated == 0


def test_a_text_beyond_the_tokenizers_own_limit_is_read_and_told(tmp_path):
    directory = changed(tmp_path / "led", generation={"max_length": 3})
    (directory / "tokenizer_config.json").write_text('{"model_max_length": 4}', encoding="utf-8")
    source = read(directory, SHORT)
    assert source.truncated == 0
    assert source.notes[-1].endswith("more than the tokenizer's model_max_length, 4")


@pytest.mark.parametrize(("positions", "most"), [(128, 128), (5, 5)])
def test_without_any_length_the_decoder_gets_a_stated_one(tmp_path, positions, most):
    directory = changed(tmp_path / "led", config={"max_decoder_position_embeddings": positions})
    plan = Summarizer.load(directory).plan(None, {"num_beams": 2})
    assert plan.settings.max_length == most + 1
    assert plan.settings.origin["max_length"] == plan.settings.origin["max_new_tokens"] == "summarize"
    assert plan.settings.notes[0] == f"no length is set: at most {most} tokens are generated; pass max_new_tokens"
    if positions == 5:
        made = pyled.summarize(SHORT, directory, min_new_tokens=5)
        assert (made.generated_tokens, made.notes) == (5, ("tied: " + TIED, *plan.settings.notes))


TIED = "shared.weight = encoder.embed_tokens.weight = decoder.embed_tokens.weight = lm_head.weight"


def test_with_more_positions_it_is_256(tmp_path):
    directory = changed(tmp_path / "led")
    summarizer = Summarizer.load(directory)
    summarizer.model.config.max_decoder_position_embeddings = 1024
    assert summarizer.plan(None, {}).settings.max_length == 257


# The record


def test_the_call_goes_before_its_configuration_and_that_before_the_file(model, tokenizer):
    config = pyled.GenerationConfig(num_beams=2, max_length=6, length_penalty=0.5)
    made = pyled.summarize(SHORT, model, tokenizer, generation_config=config, max_length=4)
    settings = made.settings
    assert (settings.max_length, settings.num_beams, settings.no_repeat_ngram_size) == (4, 2, 3)
    origin = settings.origin
    assert [origin[name] for name in ("max_length", "num_beams", "no_repeat_ngram_size", "early_stopping")] == [
        "call",
        "generation_config",
        "generation_config.json",
        "default",
    ]
    ids = tokenizer(SHORT)["input_ids"]
    expected = by_hand(model, tokenizer, ids, num_beams=2, length_penalty=0.5, max_length=4)
    assert (made.text, made.score) == expected


def test_notes_are_told_each_time_and_warned_of_never(model, tokenizer):
    for _ in range(2):
        made = pyled.summarize(SHORT, model, tokenizer, max_new_tokens=2)
        assert made.notes[-1].startswith("max_new_tokens=2 (call) takes precedence over max_length=40")


def test_what_is_unused_in_the_file_is_told(tmp_path):
    directory = changed(tmp_path / "led", generation={"max_length": 3, "num_return_sequences": 2})
    tensors = {name: np.array(tensor) for name, tensor in read_safetensors(TINY / "model.safetensors").items()}
    write_safetensors(directory / "model.safetensors", {**tensors, "spare.weight": np.zeros(2, np.float32)})
    notes = pyled.summarize(SHORT, directory).notes
    assert any("spare.weight" in note for note in notes)
    assert any(note.startswith("num_return_sequences=2 (generation_config.json) is ignored") for note in notes)


def test_the_record_says_which_pyled():
    assert summary(SHORT, max_length=5).version == pyled.__version__


def test_progress_counts_layers_and_then_tokens():
    seen = []
    pyled.summarize([SHORT, SHORT], TINY, progress=lambda *said: seen.append(said), min_length=5, max_length=5)
    one = [("encoding", n, 2) for n in range(3)] + [("generating", n, 4) for n in range(5)]
    assert seen == [(i, *said) for i in range(2) for said in one]


# Mistakes


@pytest.mark.parametrize("text", ["", " \n\t", "　"])
def test_an_empty_text_is_refused(text):
    with pytest.raises(InputError, match="the text is empty"):
        pyled.summarize(text, TINY)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"text": b"bytes"}, InputError, "text is a bytes: pass a string"),
        ({"text": [SHORT, None]}, InputError, r"text\[1\]: a text is a string, not NoneType"),
        ({"text": [SHORT, " "]}, InputError, r"text\[1\]: the text is empty"),
        ({"too_long": "cut"}, InputError, "too_long is 'cut': it must be 'error', 'truncate' or 'chunk'"),
        ({"model": None}, InputError, "model is a NoneType: pass a checkpoint's directory"),
        ({"model": "allenai/led-base-16384"}, CheckpointError, "is no directory: pass the directory of a downloaded"),
        ({"model": TINY / "config.json"}, CheckpointError, "is a file: pass the directory"),
        ({"model": "x" * 300}, CheckpointError, "xxx .*: pass the directory"),
        ({"model": TINY / "documents"}, ConfigError, "config.json: cannot be read"),
        ({"tokenizer": TINY / "documents"}, TokenizerError, "vocab.json"),
        ({"tokenizer": 3}, InputError, "the tokenizer is a int"),
        ({"generation_config": {"num_beams": 2}}, InputError, "generation_config is a dict"),
        ({"num_beam": 2}, GenerationError, "did you mean 'num_beams'"),
        ({"num_beams": 0}, GenerationError, "num_beams is 0: it must be"),
        ({"do_sample": True}, GenerationError, "pyled does not implement"),
        ({"num_return_sequences": 2}, GenerationError, "num_return_sequences is not for a summary"),
        ({"max_new_tokens": 129}, GenerationError, "128 positions"),
    ],
)
def test_mistakes_are_named(arguments, kind, message):
    with pytest.raises(kind, match=message):
        pyled.summarize(**{"text": SHORT, "model": TINY, **arguments})


def test_a_model_in_memory_needs_its_tokenizer_and_keeps_its_dtype(model, tokenizer):
    with pytest.raises(InputError, match="the tokenizer is missing"):
        pyled.summarize(SHORT, model)
    with pytest.raises(InputError, match="dtype is 'float64', but the model is in float32"):
        pyled.summarize(SHORT, model, tokenizer, dtype="float64")
    with pytest.raises(InputError, match="model is a LEDModel"):
        pyled.summarize(SHORT, LEDModel(model.config), tokenizer)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    directory = changed(tmp_path / "led", config={"d_model": 12})
    with pytest.raises(CheckpointError, match="another shape"):
        pyled.summarize(SHORT, directory)
    (directory / "config.json").write_text(json.dumps({"model_type": "bart"}), encoding="utf-8")
    with pytest.raises(ConfigError, match="model_type 'bart'"):
        pyled.summarize(SHORT, directory)


# The public names


def test_every_public_name_is_there():
    assert set(pyled.__all__) == set(pyled._MODULES) <= set(dir(pyled))
    for name in pyled.__all__:
        assert getattr(pyled, name) is not None
    assert pyled.LEDTokenizerFast is pyled.LEDTokenizer
    assert {field.name for field in fields(pyled.Summary)} >= {"text", "settings", "notes", "score"}
    with pytest.raises(AttributeError, match="'pyled' has no attribute 'LEDForMaskedLM'"):
        pyled.LEDForMaskedLM  # noqa: B018
