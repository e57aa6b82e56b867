"""`pyled answer` and `pyled classify`: their results, where they go, and mistakes; the rest is as that of summarize."""

import json

import pytest
from checkpoints import TINY, headed
from commands import LAMP, SHORT

import pyled

QUESTION = "Who lit the lamp?"
LABELS = {"0": "calm", "1": "windy", "2": "storm"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    headed(folder / "qa", "qa")
    headed(folder / "labels", "classification", id2label=LABELS)
    return folder


@pytest.fixture
def answer(run, folder):
    return lambda *arguments, **more: run("answer", "-m", folder / "qa", *arguments, **more)


@pytest.fixture
def classify(run, folder):
    return lambda *arguments, **more: run("classify", "-m", folder / "labels", *arguments, **more)


# Results


def test_the_best_answer_alone_is_printed(answer, folder, note):
    best = pyled.answer(QUESTION, SHORT, folder / "qa", top_k=2)
    assert answer("-q", QUESTION, note) == (0, f"{best.text}\n", "")
    assert answer("-q", QUESTION, stdin=SHORT.encode()) == answer(note, "-q", QUESTION)
    lines = "".join(f"{span.text}\t{span.score:.4f}\n" for span in best.spans)
    assert answer(note, "--question", QUESTION, "--top-k", 2) == (0, lines, "")
    assert answer(note, "--question", QUESTION, "--top-k", 1)[1] == lines.splitlines(keepends=True)[0]


def test_an_answer_of_several_lines_is_one_and_no_answer_an_empty_one(answer, tmp_path, monkeypatch):
    (tmp_path / "lines.txt").write_text("The\n\n  keeper\twrote.", encoding="utf-8")
    monkeypatch.setattr("pyled.tasks.answering.best_spans", lambda *_: ([(9, 9, 0.25)], 0.5))
    monkeypatch.setattr("pyled.tasks.answering.characters", lambda *_: (0, 14))
    ask = "-q", "Who?", tmp_path / "lines.txt"
    assert answer(*ask) == (0, "The keeper\n", "")
    assert json.loads(answer(*ask, "--format", "jsonl")[1])["text"] == "The\n\n  keeper\t"
    assert answer(*ask, "--handle-impossible-answer") == (0, "\n", "")


def test_each_question_to_each_text_has_a_record(answer, note, tmp_path):
    questions, other = ("-q", "Who?", "-q", "What\nthen?"), tmp_path / "other.txt"
    other.write_text("A lamp.", encoding="utf-8")
    status, out, err = answer(other, note, *questions, "--format", "jsonl")
    records = [json.loads(line) for line in out.splitlines()]
    assert (status, err) == (0, "")
    assert [(record["input"], record["question"]) for record in records] == [
        (name, question) for name in (str(other), str(note)) for question in ("Who?", "What\nthen?")
    ]
    assert records[0]["settings"]["top_k"] == {"value": 1, "origin": "default"}
    out = answer(note, *questions)[1]
    assert [line for line in out.splitlines() if line.startswith("==>")] == [
        f"==> {note}: Who? <==",
        f"==> {note}: What\\nthen? <==",
    ]
    assert answer(note, *questions, "-o", f"{tmp_path}/out/", "--format", "json") == (0, "", "")
    stored = json.loads((tmp_path / "out" / "note.answer.json").read_text(encoding="utf-8"))
    assert [record["question"] for record in stored] == ["Who?", "What\nthen?"]
    assert answer(other, "-q", "Who?", "-o", f"{tmp_path}/one/", "--format", "json")[0] == 0
    assert json.loads((tmp_path / "one" / "other.answer.json").read_text(encoding="utf-8"))["question"] == "Who?"


def test_options_are_those_of_the_library(answer, folder, note):
    options = {"top_k": 2, "max_answer_len": 3, "chunk_tokens": 26, "overlap": 2, "global_attention": "none"}
    flags = "--top-k 2 --max-answer-len 3 --chunk-tokens 26 --overlap 2 --global none --no-align-to-words"
    status, out, err = answer("-q", QUESTION, note, *flags.split(), "--dtype", "float64", "--format", "jsonl")
    result = pyled.answer(QUESTION, SHORT, folder / "qa", dtype="float64", align_to_words=False, **options)
    expected = result.record()
    assert len(expected["chunks"]) > 1
    record = json.loads(out)
    assert (record["spans"], record["dtype"]) == (expected["spans"], "float64")
    assert record["settings"]["overlap"] == {"value": 2, "origin": "command line"}
    assert err == f"pyled: {note}: {expected['notes'][-1]}\n"


def test_the_best_label_is_printed_and_json_has_all(classify, folder, note):
    result = pyled.classify(SHORT, folder / "labels")
    lines = [f"{label.label}\t{label.score:.4f}\n" for label in result.labels]
    assert classify(note) == (0, lines[0], "")
    assert classify(note, "--top-k", 9) == (0, "".join(lines), "")
    (record,) = json.loads(classify(note, "--format", "json", "--top-k", 2)[1])
    assert record["settings"]["top_k"] == {"value": len(record["labels"]), "origin": "command line"}
    (record,) = json.loads(classify(note, "--format", "json")[1])
    assert record["labels"] == [vars(label) for label in result.labels] and record["input"] == str(note)


def test_a_folder_gets_the_labels_of_each_text_and_is_not_read_again(classify, note, tmp_path):
    assert classify(note.parent, "-o", note.parent, "--format", "text") == (0, "", "")
    assert (tmp_path / "note.labels.txt").exists()
    said = f"pyled: {note.parent}: 1 of its 2 entries are skipped: its .txt and .md are read, but no results "
    status, out, err = classify(note.parent, "-o", note.parent, "--skip-existing")
    assert (status, out) == (0, "") and err.startswith(said)
    assert "note.labels.txt is there already and is kept: nothing is done; --force replaces it" in err


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["answer", LAMP, "-m", "x"], "no question: ask one with -q"),
        (["answer", LAMP, "-q", " ", "-m", "x"], "no question: ask one with -q"),
        (["answer", LAMP, "-q", "Who?"], "none that answers questions comes with pyled: name one with -m"),
        (["classify", LAMP], "none that gives labels comes with pyled: name one with -m"),
        (["answer", LAMP, "-q", "Who?", "-m", "QA", "--top-k", "0"], "--top-k is 0: an integer of at least 1"),
        (
            ["answer", LAMP, "-q", "Who?", "-m", "QA", "--chunk-tokens", "129"],
            "--chunk-tokens is 129, but this",
        ),
        (
            ["classify", LAMP, "-m", "LABELS", "--too-long", "chunk"],
            "--too-long chunk, but a label is for a whole",
        ),
        (["classify", LAMP, "-m", "LABELS", "--too-long", "cut"], "--too-long cut, but a label is for a whole"),
        (["classify", LAMP, "-m", ""], "a checkpoint's name is '': pass its directory\n"),
        (["classify", LAMP, "-m", "LABELS", "--format", "md"], "invalid choice: 'md'"),
        (["classify", LAMP, "-m", "LABELS", "--threads", "0"], "--threads: 0 threads"),
    ],
)
def test_wrong_usage(run, folder, arguments, message):
    places = {"QA": folder / "qa", "LABELS": folder / "labels"}
    status, out, err = run(*(places.get(argument, argument) for argument in arguments))
    assert (status, out) == (2, "")
    assert message in err


def test_a_checkpoint_for_another_task_is_bad(run, folder):
    status, out, err = run("answer", "-q", "Who?", LAMP, "-m", TINY)
    assert (status, out) == (3, "")
    assert err.endswith("answer needs an LEDForQuestionAnswering: pass it to summarize, or pass another checkpoint\n")
    assert run("classify", LAMP, "-m", folder / "qa")[0] == run("summarize", LAMP, "-m", folder / "labels")[0] == 3


def test_an_input_that_fails_stops_no_other(answer, classify, note, tmp_path):
    long = TINY / "documents" / "minutes.txt"
    status, out, err = classify(tmp_path / "none.txt", long, note)
    assert status == 1 and out.startswith(f"==> {note} <==\n")
    assert f"{long}: 520 tokens, but this decoder has 128 positions: shorten the text, or pass --too-long" in err
    assert err.endswith("pyled: 2 of 3 inputs failed\n")
    status, out, err = answer("-q", "who " * 200, note)
    assert (status, out) == (1, "") and "tokens, which leave none of 128 for the text: shorten it" in err
