"""`pyled evaluate`: what it reads, what it prints, the records that it writes and goes on from, and the exit status."""

import json
import os
import signal
import subprocess
import time

import pytest
from checkpoints import TINY, changed
from commands import SHORT, expected, process, watched
from test_evaluate import cells

from pyled.cli.shared.records import fingerprint
from pyled.evaluation.rouge import scorer

OTHER = "A second keeper came in the morning. He left at noon."
ROWS = [
    {"document": SHORT, "summary": "A keeper wrote."},
    {"document": OTHER, "summary": "Another keeper came and left."},
]


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


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
    assert (status, err) == (0, "")
    for row, record in zip(ROWS, records(output), strict=True):
        text = expected(row["document"])
        assert (record["input"], record["summary"], record["texts"]["model"]) == (str(pairs), row["summary"], text)
        of_rouge = {metric: list(score) for metric, score in scorer()(row["summary"], text).items()}
        assert record["scores"]["model"] == of_rouge
    assert [record["place"] for record in records(output)] == ["line 1", "line 2"]
    mean = sum(record["scores"]["first sentence"]["rougeL"][2] for record in records(output)) / 2
    assert cells(out, "ROUGE-L", "first sentence")[4] == f"{mean:.4f}"
    assert out.startswith(
        f'{TINY}, in float32, pyled 0.1.0\nsettings: global_attention "first", max_length 5, num_beams 4'
    )
    assert f"\n2 documents of {pairs}\n" in out
    assert evaluate(pairs)[1] == out


def test_one_object_has_it_all(evaluate, pairs):
    status, out, _ = evaluate(pairs, "--json", "--stemmer")
    record = json.loads(out)
    assert (status, record["model"], record["stemmer"], record["documents"]) == (0, str(TINY), True, 2)
    assert record["settings"]["max_length"] == {"value": 5, "origin": "command line"}


def test_ablation_adds_rows(evaluate, pairs, tmp_path):
    output = tmp_path / "out.jsonl"
    status, out, _ = evaluate(pairs, "--ablate", "-o", output)
    assert status == 0
    assert cells(out, "ROUGE-1", "no global attention") and cells(out, "ROUGE-1", "window halved")
    for row, record in zip(ROWS, records(output), strict=True):
        assert record["texts"]["no global attention"] == expected(row["document"], global_attention="none")
        assert list(record["texts"])[:3] == ["model", "no global attention", "window halved"]


def test_inputs_have_means_of_their_own_and_lengths_of_their_own(evaluate, pairs, tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_text(lines({"document": OTHER, "summary": "left"}), encoding="utf-8")
    _, out, _ = evaluate(pairs, other)
    assert f"cut: to as many words as references have on average, 4 in {pairs}, 1 in {other}\n" in out
    assert cells(out[out.index(f"1 document of {other}") :], "ROUGE-1", "first words")[1] == "1.0"
    assert cells(out, "ROUGE-1", "first words")[1] == "3.0"


# 2. What it reads


def test_keys_have_other_names_where_they_are_told(evaluate, tmp_path):
    path = tmp_path / "arxiv.jsonl"
    path.write_text(lines({"article": SHORT, "abstract": "lamp", "n": 12345678901234567890123}), encoding="utf-8")
    status, out, err = evaluate(path, "--document-key", "article", "--summary_key=abstract")
    assert (status, err) == (0, "") and "1 document of" in out
    status, out, err = evaluate(path)
    assert (status, out) == (1, "")
    said = "has no 'document', but 'article', 'abstract', 'n': name the right one with --document-key"
    assert err == f"pyled: {path}: line 1: {said}\n"


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_is_read_whole(evaluate, pairs, indent):
    whole = evaluate(pairs)[1]
    pairs.write_text(json.dumps(ROWS, indent=indent), encoding="utf-8")
    assert evaluate(pairs) == (0, whole, "")
    status, out, err = evaluate(stdin=json.dumps([*ROWS, {"document": SHORT, "summary": ""}]).encode())
    assert (status, err.splitlines()[0]) == (1, "pyled: standard input: item 3: its 'summary' is empty")
    assert "2 documents of standard input\n" in out


REMEDY = "write a JSON object with a document and its summary on each line, or one array of them"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nope\n", f"line 1: not JSON: Expecting value at column 1: {REMEDY}"),
        ("document,summary\n", f"line 1: not JSON: Expecting value at column 1: {REMEDY}"),
        ('{"data": [\n', f"line 1: not JSON: Expecting value at column 11: {REMEDY}"),
        ("[\n", "as a JSON array: not JSON: Expecting ',' delimiter at line 3, column 1"),
        ("[1]", "as a JSON array: not JSON: Extra data at line 1, column 4"),
        ('"a"\n', f"line 1: is a JSON str: {REMEDY}"),
        ('{"document": "a"}\n', "line 1: has no 'summary', but 'document': name the right one with --summary-key"),
        ("{}\n", "line 1: has no 'document', but no other: name the right one with --document-key"),
    ],
)
def test_a_file_of_another_form_is_one_error_and_no_part_of_it_is_read(evaluate, tmp_path, text, problem):
    path = tmp_path / "a.jsonl"
    path.write_text(text + lines(*ROWS), encoding="utf-8")
    assert evaluate(path) == (1, "", f"pyled: {path}: {problem}\n")


BAD = [
    ('{"document": "a", "document": "b", "summary": "c"}', f"the key 'document' stands twice: {REMEDY}"),
    ("[1]", f"is a JSON list: {REMEDY}"),
    ('{"document": ["a"], "summary": "c"}', "its 'document' is of the type list: a string was expected"),
    ('{"document": "a", "summary": " \\n"}', "its 'summary' is empty"),
]


def test_a_bad_line_is_told_and_does_not_stop_the_others(evaluate, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(lines(ROWS[0]) + "\n".join(["", *(line for line, _ in BAD), ""]), encoding="utf-8")
    status, out, err = evaluate(path)
    said = [f"pyled: {path}: line {number}: {problem}" for number, (_, problem) in enumerate(BAD, 3)]
    assert err.splitlines() == [*said, "pyled: 4 of 5 documents failed"]
    assert status == 1 and "4 documents failed, and in no mean\n" in out
    assert f"\n1 document of {path}\n" in out


def test_inputs_that_cannot_be_read_are_told(run, pairs, tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n \n")
    status, out, err = run("evaluate", tmp_path / "none", empty, tmp_path, "-m", "never loaded")
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        f"pyled: {tmp_path}/none: cannot be read: No such file or directory",
        f"pyled: {empty}: is empty: it has no document with a summary",
        f"pyled: {tmp_path}: cannot be read: Is a directory",
        "pyled: 3 of 3 documents failed",
    ]


def test_a_document_that_is_too_long_fails_or_is_truncated(run, pairs, tmp_path):
    led = changed(tmp_path / "led", config={"max_encoder_position_embeddings": 40}, generation={})
    options = ["evaluate", pairs, "-m", led, "--max-length", 5]
    long = json.dumps({"document": "word " * 2000, "summary": "words"})
    with pairs.open("a") as file:
        file.write(long)
    status, out, err = run(*options)
    assert status == 1 and "1 document failed, and in no mean\n" in out
    assert err.startswith(f"pyled: {pairs}: line 3: ") and "this encoder has 40 positions" in err
    assert err.endswith("pyled: 1 of 3 documents failed\n")
    status, out, err = run(*options, "--too-long", "truncate")
    assert status == 0 and "1 document truncated: only the beginning was read\n" in out
    assert "2 documents of at most 1,024 tokens\n" in out and "1 document of more than 1,024 tokens\n" in out
    assert err.startswith(f"pyled: {pairs}: line 3: ") and "were cut off" in err
    assert run(*options, "--too-long", "truncate", "--quiet")[2] == ""
    pairs.write_text(long)
    assert run(*options)[:2] == (1, "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ablate", "--global", "none"], "--global none leaves no global attention to take away: leave --ablate out"),
        (["--force"], "--force is for a file of records"),
        (["--skip-existing"], "--skip-existing is for a file of records"),
        (["-o", "-"], "standard output is for the table"),
        (["-o", ""], "--output names no file"),
        (["-o", "/"], "/ is a directory: name a file for the records"),
        (["-o", "x/"], "x/ is a directory: name a file for the records"),
        (["-o", "/dev/null/x"], "/dev/null is no directory"),
        (["--num-beams", "x"], "--num-beams is 'x'"),
    ],
)
def test_wrong_usage(evaluate, pairs, options, said):
    status, out, err = evaluate(pairs, *options)
    assert (status, out) == (2, "") and said in err


def test_an_input_is_no_output(evaluate, pairs):
    status, _, err = evaluate(pairs, "-o", pairs, "--force")
    assert status == 2 and f"{pairs} is an input" in err


def test_a_bad_checkpoint(run, pairs, tmp_path):
    assert run("evaluate", pairs, "-m", tmp_path)[0] == 3
    narrow = changed(tmp_path / "narrow", config={"attention_window": 2}, generation={})
    status, _, err = run("evaluate", pairs, "-m", narrow, "--ablate")
    assert status == 2 and "cannot be halved" in err
    status, _, err = run("evaluate", pairs, "-m", TINY, "--num-beams", 2, "--global", "doc-sep")
    assert status == 2 and "has no <doc-sep>" in err


# 3. Records


@pytest.fixture
def written(monkeypatch):
    """The calls that write a summary."""
    from pyled.tasks import Summarizer

    calls, write_each = [], Summarizer.write_each

    def counting(*arguments):
        for one in write_each(*arguments):
            calls.append(one)
            yield one

    monkeypatch.setattr(Summarizer, "write_each", counting)
    return calls


def test_a_run_goes_on_from_its_records(evaluate, pairs, tmp_path, written):
    output = tmp_path / "out.jsonl"
    whole = evaluate(pairs, "-o", output)
    both = output.read_bytes()
    first, second = both.splitlines(keepends=True)
    for rest in (second[:1], second[:40], second[:-2], second[:75] + b'"a": -0'):  # cut off by a kill
        output.write_bytes(first + rest)
        written.clear()
        again = evaluate(pairs, "-o", output, "--skip-existing")
        assert again == (0, whole[1], "")
        assert (output.read_bytes(), len(written)) == (both, 1)
    assert evaluate(pairs, "-o", output, "--skip-existing") == (0, whole[1], "")
    assert (output.read_bytes(), len(written)) == (both, 1)


def test_what_is_known_is_scored_anew_and_the_rest_is_written(evaluate, pairs, tmp_path, written):
    output = tmp_path / "out.jsonl"
    evaluate(pairs, "-o", output)
    written.clear()
    status, out, _ = evaluate(pairs, "-o", output, "--skip-existing", "--ablate", "--stemmer")
    assert (status, len(written)) == (0, 4)
    assert out == evaluate(pairs, "--ablate", "--stemmer")[1]
    assert [list(record["texts"])[1] for record in records(output)] == [
        *["first sentence"] * 2,
        *["no global attention"] * 2,
    ]


@pytest.mark.parametrize("change", ["settings", "document", "checkpoint", "name", "a file beside it"])
def test_records_are_of_one_model_with_one_set_of_settings(run, pairs, tmp_path, written, change):
    led, output = changed(tmp_path / "led", generation={}), tmp_path / "out.jsonl"
    pairs.write_text(lines(ROWS[0]), encoding="utf-8")
    options = ["evaluate", pairs, "--max-length", 5, "-o", output, "-m"]
    run(*options, led)
    if change == "settings":
        options[2:2] = ["--num-beams", 2]
    elif change == "document":
        pairs.write_text(pairs.read_text(encoding="utf-8").replace(".", "!"), encoding="utf-8")
    elif change == "checkpoint":
        now = time.time_ns() + 10**10
        os.utime(led / "model.safetensors", ns=(now, now))
    elif change == "a file beside it":  # as the records are, where they are written there
        (led / "table.txt").touch()
    else:
        led = (tmp_path / "other").symlink_to(led) or tmp_path / "other"
    written.clear()
    assert run(*options, led, "--skip-existing")[0] == 0
    assert len(written) == len(records(output)) - 1 == (change not in ("name", "a file beside it"))


def test_torchs_files_are_of_the_checkpoint(tmp_path):
    (tmp_path / "pytorch_model.bin").touch()
    before = fingerprint(tmp_path)
    (tmp_path / "notes.txt").touch()
    assert fingerprint(tmp_path) == before
    (tmp_path / "pytorch_model.bin").write_bytes(b"1")
    assert fingerprint(tmp_path) != before


def test_a_file_that_is_there_is_left_alone_unless_it_may_be_replaced(evaluate, pairs, tmp_path, written):
    output = tmp_path / "out.jsonl"
    output.write_text('{"a": 1}\n')
    status, _, err = evaluate(pairs, "-o", output)
    assert (
        status == 2
        and f"{output} is there already: pass --force to replace it, --skip-existing to go on from it" in err
    )
    status, _, err = evaluate(pairs, "-o", output, "--skip-existing")
    assert status == 2 and f"{output} holds no records: line 1 is" in err
    assert (output.read_text(), written) == ('{"a": 1}\n', [])
    assert evaluate(pairs, "-o", output, "--force")[0] == 0
    assert [record["place"] for record in records(output)] == ["line 1", "line 2"]


ODD = {
    "one line without its end": lambda line, record: b'{"a":1}',
    "two lines of others": lambda line, record: b'{"key": "a", "texts": {}}\n{"key": "b", "te',
    "indented": lambda line, record: json.dumps(record, indent=2).encode(),
    "a CSV": lambda line, record: b"key,texts\na,b",
    "an array": lambda line, record: json.dumps([record]).encode(),
    "a number": lambda line, record: b"5\n",
    "deep": lambda line, record: b"[" * 100_000,
    "NaN": lambda line, record: line.replace(b'"truncated_tokens": 0', b'"truncated_tokens": NaN'),
    "a key twice": lambda line, record: line.replace(b"{", b'{"key": "a", ', 1),
    "a byte order mark": lambda line, record: b"\xef\xbb\xbf" + line,
    "NUL": lambda line, record: line + bytes(4096),
    "a key that is a list": lambda line, record: json.dumps(record | {"key": [record["key"]]}).encode(),
    "a short key": lambda line, record: json.dumps(record | {"key": "abc"}).encode(),
    "texts that are none": lambda line, record: json.dumps(record | {"texts": ["a"]}).encode(),
    "a text that is none": lambda line, record: json.dumps(record | {"texts": {"model": 5}}).encode(),
    "the beginning of a first record": lambda line, record: line[:100],
    "a note behind a record": lambda line, record: line + b"my notes",
    "JSON behind a record": lambda line, record: line + b'{"mine": 1}',
    "another record behind one": lambda line, record: line + json.dumps(record | {"texts": 5}).encode(),
    "a record with NaN behind one": lambda line, record: line + json.dumps(record | {"mine": float("nan")}).encode(),
}


@pytest.mark.parametrize("odd", ODD)
def test_a_file_of_others_is_refused_and_stays(run, evaluate, pairs, tmp_path, odd):
    output = tmp_path / "out.jsonl"
    evaluate(pairs, "-o", output)
    (line, _), record = output.read_bytes().splitlines(keepends=True), records(output)[0]
    data = ODD[odd](line, record)
    assert data != line
    output.write_bytes(data)
    for checkpoint in (TINY, tmp_path / "none"):
        status, out, err = run("evaluate", pairs, "-m", checkpoint, "-o", output, "--skip-existing")
        assert (status, out) == (2, "") and f"{output} holds no records: line " in err and "pass --force" in err
    assert output.read_bytes() == data


def test_a_line_of_a_gigabyte_is_not_read(evaluate, pairs, tmp_path):
    output = tmp_path / "out.jsonl"
    output.touch()
    os.truncate(output, 2**30)
    status, _, err = evaluate(pairs, "-o", output, "--skip-existing")
    assert status == 2 and "line 1 has more than 67,108,864 bytes" in err and output.stat().st_size == 2**30


def test_nothing_is_cut_before_a_record_is_written(run, evaluate, pairs, tmp_path):
    output = tmp_path / "out.jsonl"
    evaluate(pairs, "-o", output)
    cut = output.read_bytes()[:-100]
    output.write_bytes(cut)
    assert run("evaluate", pairs, "-m", tmp_path / "none", "-o", output, "--skip-existing")[0] == 3
    assert run("evaluate", pairs, "-m", tmp_path / "none", "-o", output, "--force")[0] == 3
    assert output.read_bytes() == cut


def test_line_ends_of_an_editor_do_no_harm(evaluate, pairs, tmp_path, written):
    output = tmp_path / "out.jsonl"
    evaluate(pairs, "-o", output)
    first, second = output.read_bytes().splitlines()
    for data in (first + b"\r\n" + second + b"\r\n", first + b"\n\n" + second + b"\n\n", first + b"\n" + second, first):
        output.write_bytes(data)
        assert evaluate(pairs, "-o", output, "--skip-existing")[0] == 0
        assert output.read_bytes().startswith(data) and [json.loads(line) for line in (first, second)] == [
            json.loads(line) for line in output.read_bytes().splitlines() if line
        ]
    assert len(written) == 3


def test_records_of_files_with_odd_names_are_records(tmp_path):
    path, output = os.fsencode(tmp_path) + b"/caf\xe9.jsonl", tmp_path / "out.jsonl"
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(lines(*ROWS).encode())
    for _ in range(2):
        command = ["evaluate", os.fsdecode(path), "-m", TINY, "--max-length", 5, "-o", output, "--skip-existing"]
        done = subprocess.run(**process(*command, capture_output=True))
        assert (done.returncode, done.stderr, len(records(output))) == (0, b"", 2)


@pytest.mark.parametrize("event", ["thesis", "note", "rename", "another run"])
def test_what_happens_to_the_file_meanwhile_loses_nothing(evaluate, pairs, tmp_path, monkeypatch, event):
    """Something happens before each summary of a run."""
    from pyled.tasks import Summarizer

    output, other, write_each = tmp_path / "out.jsonl", tmp_path / "other", Summarizer.write_each
    assert evaluate(pairs, "-o", other)[0] == 0
    first, second = other.read_bytes().splitlines(keepends=True)

    def disturbed(*arguments):
        for one in write_each(*arguments):
            if event == "thesis":
                output.write_text("my thesis")
            elif event == "rename" and output.exists():
                output.rename(other)
            elif event in ("note", "another run") and output.exists():
                with output.open("ab") as file:
                    file.write(b"my note\n" if event == "note" else first)
            yield one

    monkeypatch.setattr(Summarizer, "write_each", disturbed)
    status, _, err = evaluate(pairs, "-o", output, "--skip-existing")
    data = {
        "thesis": b"my thesis",
        "note": first + b"my note\n",
        "rename": second,
        "another run": first + first + second,
    }
    assert (status, output.read_bytes()) == (event in ("thesis", "note"), data[event])
    assert (f"{output} holds no records: line " in err) is (status == 1)
    assert event != "rename" or other.read_bytes() == first


def test_a_file_that_is_moved_away_as_it_appears_loses_nothing(evaluate, pairs, tmp_path, monkeypatch):
    from pyled.cli.shared import records as module

    output, moved, replace_files = tmp_path / "out.jsonl", tmp_path / "moved", module.replace_files

    def replaced(contents, **how):
        replace_files(contents, **how)
        output.rename(moved) if not moved.exists() else None

    monkeypatch.setattr(module, "replace_files", replaced)
    assert evaluate(pairs, "-o", output)[0] == 0
    assert [len(records(path)) for path in (moved, output)] == [1, 1]


def test_an_input_is_known_by_all_its_names(evaluate, pairs, tmp_path, monkeypatch):
    (tmp_path / "hard").hardlink_to(pairs)
    before = pairs.read_bytes()
    assert "is an input" in evaluate(pairs, "-o", tmp_path / "hard", "--force")[2]
    assert "is named twice" in evaluate(pairs, f"{tmp_path}/./{pairs.name}")[2]
    with pairs.open("rb") as file:
        done = subprocess.run(**process("evaluate", "-", "-o", pairs, "--force", stdin=file, capture_output=True))
    assert done.returncode == 2 and b"is an input" in done.stderr
    with (tmp_path / "out").open("wb") as file:
        command = process("evaluate", pairs, "-m", TINY, "-o", "/dev/stdout", stdout=file, stderr=subprocess.PIPE)
        assert b"/dev/stdout is standard output, which is for the table" in subprocess.run(**command).stderr
    assert pairs.read_bytes() == before


def test_a_pipe_gets_all_records(evaluate, pairs, tmp_path):
    output, pipe = tmp_path / "out.jsonl", tmp_path / "pipe"
    evaluate(pairs, "-o", output)
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        done = subprocess.run(**process("evaluate", pairs, "-m", TINY, "--max-length", 5, "-o", pipe), timeout=100)
        assert done.returncode == 0
        # What was open in the command is closed, so the pipe has ended.
        assert reader.stdout.read() == output.read_bytes()


def test_a_device_is_written_to_and_a_full_disk_is_told(evaluate, pairs):
    assert evaluate(pairs, "-o", os.devnull)[0] == 0
    status, out, err = evaluate(pairs, "-o", "/dev/full")
    assert (status, out, err) == (1, "", "pyled: /dev/full: cannot be written: No space left on device\n")


def test_an_interrupt_leaves_whole_records(tmp_path):
    path, output = tmp_path / "many.jsonl", tmp_path / "out.jsonl"
    path.write_text(lines(*ROWS * 40), encoding="utf-8")
    arguments = ["evaluate", path, "-m", TINY, "--min-length", 20, "--max-length", 20, "-o", output]
    status, out, seen = watched(
        arguments, until=b"[49/80, 16 together] encoding", then=lambda child: child.send_signal(signal.SIGINT)
    )
    assert (status, out) == (130, "")
    assert "Traceback" not in seen
    assert output.read_bytes().endswith(b"}\n")
    assert 2 <= len(records(output)) < 80
