"""`pyled evaluate`: what it reads, what it prints, the records it keeps and goes on from, and the exit status."""

import itertools
import json
import os
import signal
import subprocess
import time

import pytest
from checkpoints import TINY, changed
from commands import SHORT, expected, process, watched
from test_evaluate import cells

from pyled.cli.evaluate import _Pace
from pyled.cli.shared.pairs import drawn
from pyled.evaluation.evaluation import Pair
from pyled.evaluation.rouge import scores

OTHER = "A second keeper came in the morning. He left at noon."
ROWS = [
    {"document": SHORT, "summary": "A keeper wrote."},
    {"document": OTHER, "summary": "Another keeper came and left."},
]


def lines(*rows, **more):
    return "".join(json.dumps(row, **more) + "\n" for row in rows)


@pytest.fixture
def pairs(tmp_path):
    """A file with two pairs."""
    path = tmp_path / "pairs.jsonl"
    path.write_text(lines(*ROWS), encoding="utf-8")
    return path


@pytest.fixture
def evaluate(run):
    """`pyled evaluate -m golden/tiny`, with summaries of a few tokens."""
    return lambda *arguments, **more: run("evaluate", "-m", TINY, "--max-length", 5, *arguments, **more)


def records(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# 1. What it prints


def test_the_scores_are_those_of_the_summaries(evaluate, pairs, tmp_path):
    output = tmp_path / "out.jsonl"
    status, out, err = evaluate(pairs, "-o", output)
    assert (status, err, output.exists()) == (0, "", True)
    for row, record in zip(ROWS, records(output), strict=True):
        text = expected(row["document"])
        assert (record["input"], record["summary"], record["texts"]["model"]) == (str(pairs), row["summary"], text)
        for metric, score in scores(row["summary"], text).items():
            assert record["scores"]["model"][metric] == score._asdict()
    assert [record["line"] for record in records(output)] == [1, 2]
    mean = sum(record["scores"]["first sentence"]["rougeL"]["fmeasure"] for record in records(output)) / 2
    assert cells(out, "ROUGE-L", "first sentence")[4] == f"{mean:.4f}"
    assert out.startswith(
        f"{TINY}, in float32, pyled 0.1.0\nsettings: global_attention first, max_length 5, num_beams 4"
    )
    assert f"\n2 documents of {pairs}\n" in out


def test_the_same_seed_prints_the_same(evaluate, pairs):
    assert evaluate(pairs) == evaluate(pairs)
    assert "seed 0\n" in evaluate(pairs)[1] and "seed 5\n" in evaluate(pairs, "--seed", 5)[1]


def test_forms(evaluate, pairs):
    status, out, _ = evaluate(pairs, "--format", "json", "--stemmer")
    record = json.loads(out)
    assert (status, record["model"], record["stemmer"], record["documents"]) == (0, str(TINY), True, 2)
    assert record["settings"]["max_length"] == {"value": 5, "origin": "command line"}
    assert record["groups"][0]["systems"]["model"]["scores"]["rouge1"].keys() == {"precision", "recall", "fmeasure"}
    assert "| ROUGE-1 | words |" in evaluate(pairs, "--format", "md")[1]


def test_stems_are_compared_where_they_are_asked_for(evaluate, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(lines({"document": "Keepers walked here.", "summary": "keeper walking"}), encoding="utf-8")
    assert cells(evaluate(path)[1], "ROUGE-1", "first sentence")[3] == "0.0000"
    assert cells(evaluate(path, "--stemmer")[1], "ROUGE-1", "first sentence")[3] == "1.0000"


def test_ablation_adds_rows(evaluate, pairs, tmp_path):
    output = tmp_path / "out.jsonl"
    status, out, _ = evaluate(pairs, "--ablate", "--limit", 1, "-o", output)
    assert status == 0 and "window halved: 4 tokens instead of 8\n" in out
    assert cells(out, "ROUGE-1", "no global attention") and cells(out, "ROUGE-1", "window halved")
    (record,) = records(output)
    text = next(row["document"] for row in ROWS if row["summary"] == record["summary"])
    assert record["texts"]["no global attention"] == expected(text, global_attention="none")
    assert list(record["texts"])[:3] == ["model", "no global attention", "window halved"]


def test_keys_have_other_names_where_they_are_told(evaluate, tmp_path):
    path = tmp_path / "arxiv.jsonl"
    path.write_text(lines({"article": SHORT, "abstract": "lamp", "n": 12345678901234567890123}), encoding="utf-8")
    status, out, err = evaluate(path, "--document-key", "article", "--summary_key=abstract")
    assert (status, err) == (0, "") and "1 document of" in out
    status, out, err = evaluate(path)
    assert (status, out) == (1, "")
    said = "has no 'document', but 'article', 'abstract', 'n': name the right one with --document-key"
    assert err == f"pyled: {path}: line 1: {said}\n"


def test_standard_input_is_read(evaluate):
    status, out, _ = evaluate(stdin=lines(ROWS[0]).encode())
    assert status == 0 and "1 document of standard input\n" in out


def test_inputs_have_means_of_their_own_and_their_own_lengths(evaluate, pairs, tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_text(lines({"document": OTHER, "summary": "left"}), encoding="utf-8")
    _, out, _ = evaluate(pairs, other)
    assert f"cut: to the mean of the references, 4 words for {pairs}, 1 word for {other}\n" in out
    apart = out[out.index(f"1 document of {other}") :]
    assert cells(apart, "ROUGE-1", "first words")[1] == "1.0"
    assert cells(out, "ROUGE-1", "first words")[1] == "3.0"


# 2. What it reads


BAD = [
    ("nope", "not JSON: Expecting value at column 1"),
    ('{"document": "a", "document": "b", "summary": "c"}', "the key 'document' stands twice"),
    ("[1]", "a JSON list: an object with a document and its summary was expected"),
    ('{"document": "a"}', "has no 'summary', but 'document': name the right one with --summary-key"),
    ("{}", "has no 'document', but no other: name the right one with --document-key"),
    ('{"document": ["a"], "summary": "c"}', "its 'document' is of the type list: a string was expected"),
    ('{"document": "a", "summary": " \\n"}', "its 'summary' is empty"),
    ('{"document": "", "summary": "c"}', "its 'document' is empty"),
]


def test_a_bad_line_is_told_and_does_not_stop_the_others(evaluate, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([line for line, _ in BAD] + ["", " ", lines(ROWS[0])]), encoding="utf-8")
    status, out, err = evaluate(path)
    said = [f"pyled: {path}: line {number}: {problem}" for number, (_, problem) in enumerate(BAD, 1)]
    assert err.splitlines() == [*said, "pyled: 8 of 9 documents failed"]
    assert status == 1 and "failed, and in no figure: 8 documents\n" in out
    assert f"\n1 document of {path}\n" in out


def test_of_many_bad_lines_the_first_are_told(evaluate, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("1\n" * 25, encoding="utf-8")
    status, out, err = evaluate(path)
    assert (status, out) == (1, "")
    assert len(err.splitlines()) == 12
    assert err.splitlines()[-2:] == [f"pyled: {path}: and 15 other lines", "pyled: 25 of 25 documents failed"]


def test_inputs_that_cannot_be_read_are_told(evaluate, pairs, tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n \n")
    status, out, err = evaluate(tmp_path / "none", empty, pairs, tmp_path)
    assert status == 1 and "2 documents of" in out
    assert err.splitlines() == [
        f"pyled: {tmp_path}/none: cannot be read: No such file or directory",
        f"pyled: {empty}: is empty: there is nothing to evaluate",
        f"pyled: {tmp_path}: cannot be read: Is a directory",
        "pyled: 3 of 5 documents failed",
    ]


def test_a_document_that_is_too_long_fails_or_is_cut_off(run, pairs, tmp_path):
    led = changed(tmp_path / "led", config={"max_encoder_position_embeddings": 40}, generation={})
    options = ["evaluate", pairs, "-m", led, "--max-length", 5]
    long = json.dumps({"document": "word " * 2000, "summary": "words"})
    with pairs.open("a") as file:
        file.write(long)
    status, out, err = run(*options)
    assert status == 1 and "failed, and in no figure: 1 document\n" in out
    assert err.startswith(f"pyled: {pairs}: line 3: ") and "this encoder has 40 positions" in err
    assert err.endswith("pyled: 1 of 3 documents failed\n")
    status, out, err = run(*options, "--too-long", "truncate")
    assert status == 0 and "only the beginning was read: 1 document\n" in out
    assert "2 documents of 1,024 tokens or less\n" in out and "1 document of more than 1,024 tokens\n" in out
    assert err.startswith(f"pyled: {pairs}: line 3: ") and "were cut off" in err
    assert run(*options, "--too-long", "truncate", "--quiet")[2] == ""
    pairs.write_text(long)
    assert run(*options)[:2] == (1, "")


def test_a_limit_draws_by_the_seed_and_keeps_the_order():
    pairs = [Pair("a", line, "x", "y") for line in range(100)]
    few, more, others = drawn(pairs, 5, 0), drawn(pairs, 20, 0), drawn(pairs, 5, 1)
    assert len(few) == 5 and set(few) < set(more) and len(more) == 20
    assert few != others
    assert more == sorted(more, key=lambda pair: pair.line)
    assert drawn(pairs, 1000, 0) == drawn(pairs, None, 0) == pairs
    assert more != pairs[:20]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--limit", "0"], "--limit 0: at least 1"),
        (["--seed", "-1"], "--seed -1: at least 0"),
        (["--ablate", "--global", "none"], "pass one of both"),
        (["--force"], "--force is for a file of records"),
        (["--skip-existing"], "--skip-existing is for a file of records"),
        (["-o", "-"], "standard output is for the table"),
        (["-o", ""], "--output names no file"),
        (["-o", "/"], "/ is a directory"),
        (["-o", "/dev/null/x"], "/dev/null is no directory"),
        (["--num-beams", "x"], "num_beams"),
        (["--format", "jsonl"], "invalid choice"),
    ],
)
def test_wrong_usage(evaluate, pairs, options, said):
    status, out, err = evaluate(pairs, *options)
    assert (status, out) == (2, "") and said in err


def test_inputs_are_told_apart(evaluate, pairs):
    status, _, err = evaluate(pairs, "-o", pairs, "--force")
    assert status == 2 and f"{pairs} is an input" in err
    status, _, err = evaluate(pairs, pairs)
    assert status == 2 and f"{pairs} is named twice" in err


def test_a_bad_checkpoint(run, pairs, tmp_path):
    assert run("evaluate", pairs, "-m", tmp_path)[0] == 3
    narrow = changed(tmp_path / "narrow", config={"attention_window": 2}, generation={})
    status, _, err = run("evaluate", pairs, "-m", narrow, "--ablate")
    assert status == 2 and "window is 2, and cannot be halved" in err
    status, _, err = run("evaluate", pairs, "-m", TINY, "--num-beams", 2, "--global", "doc-sep")
    assert status == 2 and "has no <doc-sep>" in err


# 3. Records


@pytest.fixture
def counted(monkeypatch):
    """How many summaries are made."""
    from pyled.tasks import Summarizer

    made = []
    write = Summarizer.write

    def counting(self, *arguments):
        made.append(arguments[0])
        return write(self, *arguments)

    monkeypatch.setattr(Summarizer, "write", counting)
    return made


def test_a_run_goes_on_from_its_records(evaluate, pairs, tmp_path, counted):
    output = tmp_path / "out.jsonl"
    whole = evaluate(pairs, "-o", output)
    records_of_all = output.read_bytes()
    first = records_of_all.splitlines(keepends=True)[0]
    output.write_bytes(first + b'{"input": "cut of')
    counted.clear()
    again = evaluate(pairs, "-o", output, "--skip-existing")
    assert again == (0, whole[1], f"pyled: {output}: its last line is cut off, and taken out\n")
    assert output.read_bytes() == records_of_all
    assert len(counted) == 1
    assert evaluate(pairs, "-o", output, "--skip-existing") == (0, whole[1], "")
    assert (output.read_bytes(), len(counted)) == (records_of_all, 1)


def test_what_is_known_is_scored_anew_and_what_is_not_is_made(evaluate, pairs, tmp_path, counted):
    output = tmp_path / "out.jsonl"
    evaluate(pairs, "-o", output)
    counted.clear()
    status, out, _ = evaluate(pairs, "-o", output, "--skip-existing", "--ablate", "--stemmer")
    assert (status, len(counted)) == (0, 4)
    assert out == evaluate(pairs, "--ablate", "--stemmer")[1]
    assert len(records(output)) == 4
    assert [list(record["texts"])[1] for record in records(output)] == ["first sentence"] * 2 + [
        "no global attention"
    ] * 2


@pytest.mark.parametrize("what", ["settings", "document", "checkpoint"])
def test_records_of_something_else_are_no_use(run, pairs, tmp_path, counted, what):
    led, output = changed(tmp_path / "led", generation={}), tmp_path / "out.jsonl"
    options = ["evaluate", pairs, "-m", led, "--max-length", 5, "--limit", 1, "-o", output]
    run(*options)
    if what == "settings":
        options += ["--num-beams", 2]
    elif what == "document":
        pairs.write_text(pairs.read_text(encoding="utf-8").replace(".", "!"), encoding="utf-8")
    else:
        now = time.time_ns() + 10**10
        os.utime(led / "model.safetensors", ns=(now, now))
    counted.clear()
    assert run(*options, "--skip-existing")[0] == 0
    assert len(counted) == 1
    assert len(records(output)) == 2


def test_records_know_a_directory_by_another_name(run, pairs, tmp_path, counted):
    (tmp_path / "led").symlink_to(TINY)
    options = ["evaluate", pairs, "--max-length", 5, "-o", tmp_path / "out.jsonl"]
    assert run(*options, "-m", TINY)[0] == 0 and len(counted) == 2
    assert run(*options, "-m", tmp_path / "led", "--skip-existing")[0] == 0
    assert len(counted) == 2


def test_a_file_that_is_there_is_kept_unless_it_may_be_replaced(evaluate, pairs, tmp_path, counted):
    output = tmp_path / "out.jsonl"
    output.write_text('{"a": 1}\n')
    status, _, err = evaluate(pairs, "-o", output)
    assert status == 2 and f"{output} is there already: pass --force to replace it, --skip-existing to go on" in err
    status, _, err = evaluate(pairs, "-o", output, "--skip-existing")
    assert status == 2 and f"{output}: line 1: no record of an evaluation: pass --force" in err
    assert (output.read_text(), counted) == ('{"a": 1}\n', [])
    assert evaluate(pairs, "-o", output, "--force")[0] == 0
    assert [record["line"] for record in records(output)] == [1, 2]


def test_a_device_is_written_to(evaluate, pairs):
    assert evaluate(pairs, "-o", os.devnull)[0] == 0


def test_a_full_disk_is_told(evaluate, pairs):
    status, out, err = evaluate(pairs, "-o", "/dev/full")
    assert (status, out, err) == (1, "", "pyled: /dev/full: cannot be written: No space left on device\n")


def test_a_line_that_does_not_fit_is_taken_out(tmp_path, monkeypatch):
    from pyled.cli import records as module

    path = tmp_path / "out.jsonl"
    path.write_bytes(b"first\n")

    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data):
            self.file.write(data[:3])
            self.file.flush()
            raise OSError(28, "No space left on device")

    opened = type(path).open
    monkeypatch.setattr(type(path), "open", lambda self, mode: Full(opened(self, mode)))
    with pytest.raises(OSError, match="No space left"):
        module._add(path, b"second\n", "ab")
    monkeypatch.undo()
    assert path.read_bytes() == b"first\n"


def test_an_interrupt_leaves_whole_records(tmp_path):
    path, output = tmp_path / "many.jsonl", tmp_path / "out.jsonl"
    path.write_text(lines(*ROWS * 40), encoding="utf-8")
    arguments = ["evaluate", path, "-m", TINY, "--min-length", 20, "--max-length", 20, "-o", output]
    status, out, seen = watched(arguments, until=b"[3/80", then=lambda child: child.send_signal(signal.SIGINT))
    assert (status, out) == (130, "")
    assert "Traceback" not in seen and "for all] encoding 0/2 layers" in seen
    assert output.read_bytes().endswith(b"}\n")
    assert 2 <= len(records(output)) < 80


def test_the_time_for_all_is_reckoned_from_the_second_document_on(monkeypatch):
    times = itertools.chain([100.0, 130.0, 140.0, 250.0], itertools.repeat(999.0))
    monkeypatch.setattr("time.monotonic", lambda: next(times))
    pace = _Pace(5)
    assert [pace.place(is_known) for is_known in (True, False, False, False, False)] == [
        "[1/5] ",
        "[2/5] ",
        "[3/5] ",
        "[4/5, about 0:20 for all] ",
        "[5/5, about 1:00 for all] ",
    ]


def test_nothing_is_loaded_where_there_is_nothing_to_evaluate(pairs, tmp_path):
    pairs.write_text("1\n")
    done = subprocess.run(**process("evaluate", pairs, "-m", "none", capture_output=True, text=True))
    assert done.returncode == 1 and "none" not in done.stderr.replace(str(tmp_path), "")
