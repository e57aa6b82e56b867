"""Answers and labels: as the pipelines of the reference give them, each with its record, and nothing done silently."""

import json

import numpy as np
import pytest
from budget import budget, err
from checkpoints import TINY, document, headed

import pyled
from golden import FOLDER
from pyled.errors import CheckpointError, InputError, PyledError
from pyled.kernels import jit

STORED = json.loads((FOLDER / "tasks.json").read_text(encoding="utf-8"))
ASKED = [entry for entry in STORED["calls"] if "question" in entry["call"]]
LABELLED = [entry for entry in STORED["calls"] if "text" in entry["call"]]
LAMP, MINUTES = document("lamp.txt"), document("minutes.txt")


@pytest.fixture(autouse=True)
def one_thread():
    jit.set_threads(1)  # small work on a machine that others use too
    yield
    jit.set_threads(None)


@pytest.fixture(scope="module")
def asking(tmp_path_factory):
    return headed(tmp_path_factory.mktemp("heads") / "qa", "qa")


@pytest.fixture(scope="module")
def labelling(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    configurations = STORED["configurations"].items()
    return {name: headed(folder / name, "classification", **changes) for name, changes in configurations}


def assert_scores(results, expected, kind, dtype):
    """The scores are the reference's within the budget, in its order."""
    for result, one in zip(results, expected, strict=True):
        error = err(np.float64(result.score), np.float64(one["score"]))
        assert error <= budget(dtype, STORED["float32_error"][kind])


# As the reference


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("entry", ASKED, ids=lambda entry: entry["call"]["question"].strip())
def test_answers_are_those_of_the_pipeline(asking, entry, dtype):
    call = dict(entry["call"])
    answer = pyled.answer(call.pop("question"), call.pop("context"), asking, dtype=dtype, **call)
    spans = [{"text": span.text, "start": span.start, "stop": span.stop} for span in answer.spans]
    assert spans == [{name: one[name] for name in ("text", "start", "stop")} for one in entry["results"]]
    assert_scores(answer.spans, entry["results"], "answers", dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("entry", LABELLED, ids=lambda entry: entry["call"]["labels"])
def test_labels_are_those_of_the_pipeline(labelling, entry, dtype):
    call = dict(entry["call"])
    result = pyled.classify(call.pop("text"), labelling[call.pop("labels")], dtype=dtype, **call)
    assert [label.label for label in result.labels] == [one["label"] for one in entry["results"]]
    assert_scores(result.labels, entry["results"], "labels", dtype)


# What a result holds


def test_an_answer_is_a_piece_of_its_text_with_a_record(asking):
    answer = pyled.answer("What was decided?", LAMP, asking, top_k=3, chunk_tokens=40)
    assert str(answer) == answer.text == answer.spans[0].text
    assert all(LAMP[span.start : span.stop] == span.text for span in answer.spans)
    question = len(pyled.LEDTokenizer.from_pretrained(TINY).tokenize("What was decided?"))
    room = 40 - question - 4
    assert answer.global_tokens == (1 + question) * len(answer.chunks)
    assert [chunk.source_tokens for chunk in answer.chunks[:-1]] == [40] * (len(answer.chunks) - 1)
    assert (answer.chunks[0].start, answer.chunks[-1].stop) == (0, len(LAMP))
    assert all(a.start < b.start < a.stop for a, b in zip(answer.chunks, answer.chunks[1:], strict=False))
    record = json.loads(json.dumps(answer.record()))
    assert record["settings"]["chunk_tokens"] == {"value": 40, "origin": "call"}
    assert record["settings"]["overlap"] == {"value": room // 2, "origin": "pyled"}  # 128, if there is room for it
    assert record["settings"]["max_answer_len"] == {"value": 15, "origin": "default"}
    count, chunks = answer.source_tokens, len(answer.chunks)
    said = f"{count} tokens are read in {chunks} chunks of at most 40, which share {room // 2}"
    assert record["notes"][-1] == said
    assert record["text"] == record["spans"][0]["text"] and record["model"] == str(asking)


def test_a_short_text_is_read_in_one_chunk_without_a_note(asking):
    answer = pyled.answer("Who?", "The keeper.", asking, handle_impossible_answer=True, top_k=np.int64(99))
    assert json.loads(json.dumps(answer.record()))["settings"]["top_k"] == {"value": 99, "origin": "call"}
    assert len(answer.chunks) == 1 and answer.record()["settings"]["chunk_tokens"]["origin"] == "config.json"
    assert [note for note in answer.notes if "chunk" in note] == []
    assert "" in [span.text for span in answer.spans]


def test_a_classification_has_all_labels_or_the_best(labelling):
    result = pyled.classify(LAMP, labelling["three"])
    assert str(result) == result.label == result.labels[0].label
    assert sum(label.score for label in result.labels) == pytest.approx(1)
    best = pyled.classify(LAMP, labelling["three"], top_k=1)
    assert best.labels == result.labels[:1]
    record = json.loads(json.dumps(result.record()))
    assert (record["function"], record["source_tokens"], record["global_tokens"]) == ("softmax", 76, 1)
    assert record["settings"]["global_attention"] == {"value": "first", "origin": "pyled"}


def test_a_text_is_cut_where_that_is_asked_for_and_told(labelling):
    result = pyled.classify(MINUTES, labelling["three"], too_long="truncate")
    assert (result.source_tokens, result.truncated_tokens) == (520, 392)
    assert result.notes[-1] == "392 of 520 tokens were cut off: the decoder has 128 positions"


# Several


def test_several_questions_and_texts_give_lists(asking, labelling):
    answers = pyled.answer(("Who?", "", "x " * 200), LAMP, asking, errors="record")
    assert answers[0].spans == pyled.answer("Who?", LAMP, asking).spans
    assert [type(one) for one in answers[1:]] == [InputError, InputError]
    assert str(answers[1]) == "question[1]: the question is empty: there is nothing to answer"
    said = "question[2]: the question has 400 tokens, which leave none of 128 for the text: shorten it"
    assert str(answers[2]) == said
    classifier, seen = pyled.Classifier(labelling["three"]), []
    results = classifier(iter([LAMP, " ", "The keeper."]), errors="record", progress=seen.append)
    assert isinstance(results[1], InputError) and results[0].labels == classifier(LAMP).labels
    assert {status.texts for status in seen} == {3} and seen[-1].fraction == 1
    assert [status.fraction for status in seen] == sorted(status.fraction for status in seen)
    with pytest.raises(PyledError, match=r"^text\[0\]: 520 tokens, but this decoder has 128 positions"):
        classifier([MINUTES])


# Mistakes


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"top_k": 0}, "top_k is 0: an integer of at least 1"),
        ({"max_answer_len": 1.5}, "max_answer_len is 1.5"),
        ({"chunk_tokens": 129}, "chunk_tokens is 129, but this decoder has 128 positions: pass no more"),
        ({"chunk_tokens": 5}, "leave none of 5 for the text: shorten it, or pass a larger chunk_tokens"),
        (
            {"overlap": 62},
            "a chunk has room for 12. tokens of the text: pass at most half, 61",
        ),
        ({"global_attention": "first"}, "'question' or 'none' was expected"),
        ({"topk": 2}, "'topk' is no argument of Answerer: did you mean 'top_k'?"),
        ({"errors": "silent"}, "'raise' or 'record' was expected"),
    ],
)
def test_wrong_options_are_told(asking, options, words):
    with pytest.raises(InputError, match=words):
        pyled.answer("?!", LAMP, asking, **options)


@pytest.mark.parametrize("text", ["", " \n", "\ud800", 3, None, b"x"])
def test_what_is_no_text_is_told(asking, labelling, text):
    for call in (
        lambda: pyled.answer(text, LAMP, asking),
        lambda: pyled.answer("Who?", text, asking),
        lambda: pyled.classify(text, labelling["one"]),
    ):
        with pytest.raises(PyledError):
            call()


def test_labels_are_of_a_whole_text(labelling):
    with pytest.raises(InputError, match="a label is for a whole text: pass too_long='truncate'"):
        pyled.classify(LAMP, labelling["one"], too_long="chunk")


def test_a_checkpoint_with_another_head_is_told_with_its_task(asking, labelling):
    for call, task in (
        (lambda: pyled.answer("Who?", LAMP, TINY), "answer needs an LEDForQuestionAnswering: pass it to summarize"),
        (lambda: pyled.classify(LAMP, asking), "classify needs an LEDForSequenceClassification: pass it to answer"),
        (lambda: pyled.summarize(LAMP, labelling["one"]), "summarize needs an LEDForConditionalGeneration: pass it to"),
    ):
        with pytest.raises(CheckpointError, match=task):
            call()
    model = pyled.LEDForQuestionAnswering.from_pretrained(asking)
    assert pyled.answer("Who?", LAMP, model, TINY).spans == pyled.answer("Who?", LAMP, asking).spans
    for call in (lambda: pyled.classify(LAMP, model, TINY), lambda: pyled.answer("Who?", LAMP, None)):
        with pytest.raises(InputError, match="model is"):
            call()
    loaded = pyled.Answerer(asking).loaded
    with pytest.raises(InputError, match="the model is an LEDForQuestionAnswering, and classify needs"):
        pyled.Classifier(loaded)


def test_scores_that_are_no_numbers_are_the_weights_fault(asking):
    model = pyled.LEDForQuestionAnswering.from_pretrained(asking)
    model.load_state_dict(model.state_dict() | {"qa_outputs.bias": np.full(2, np.nan, np.float32)})
    with pytest.raises(CheckpointError, match="no finite numbers"):
        pyled.answer("Who?", LAMP, model, TINY)
