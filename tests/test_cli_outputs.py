"""Where `pyled summarize` writes, and in which form."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from checkpoints import TINY, document, summary
from commands import LAMP, SHORT, expected, process, watched

import pyled
from pyled.cli.shared.forms import rendered, together
from pyled.cli.shared.outputs import file_names
from pyled.tasks import Summarizer

OTHER = "A second keeper came in the morning."


class Notes:
    """A console that keeps what is told."""

    def __init__(self):
        self.told = []

    def note(self, message):
        self.told.append(message)


@pytest.fixture
def two(tmp_path):
    """A folder with two texts."""
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text(SHORT, encoding="utf-8")
    (folder / "b.md").write_text(OTHER, encoding="utf-8")
    return folder


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


# Forms


def test_a_directory_stands_for_its_texts_in_order(summarize, two):
    status, out, err = summarize(two)
    heads = [f"==> {two / name} <==\n{expected(text)}\n" for name, text in (("a.txt", SHORT), ("b.md", OTHER))]
    assert (status, out, err) == (0, "\n".join(heads), "")


def test_json_is_a_list_also_of_one(summarize, note, two):
    status, out, err = summarize(note, "--format", "json")
    (record,) = json.loads(out)
    assert (status, err) == (0, "")
    assert record["input"] == str(note)
    assert record["text"] == expected(SHORT)
    assert [record["input"] for record in json.loads(summarize(two, "--format", "json")[1])] == [
        str(two / "a.txt"),
        str(two / "b.md"),
    ]


@pytest.mark.parametrize("form", ["text", "json", "jsonl", "md"])
def test_without_a_summary_nothing_is_printed(summarize, tmp_path, form):
    assert summarize(tmp_path / "none.txt", "--format", form)[:2] == (1, "")
    assert summarize("-", "--format", form, stdin=b" ")[:2] == (1, "")


def test_a_record_says_how_the_summary_was_made(run, note, tmp_path):
    file = tmp_path / "generation.json"
    file.write_text(json.dumps({"num_beams": 3, "length_penalty": 2.0, "transformers_version": "4"}), encoding="utf-8")
    options = ["--generation-config", file, "--num-beams", "2", "--max-length", "5", "--global", "tokens:0,2"]
    status, out, _ = run("summarize", note, "-m", TINY, *options, "--format", "jsonl")
    record = json.loads(out)
    made = pyled.summarize(
        SHORT, TINY, num_beams=2, max_length=5, length_penalty=2.0, global_attention="tokens:0,2"
    ).record()
    seconds = ("encoding_seconds", "generating_seconds")
    for one in (record, made):
        assert all(one.pop(name) > 0 and one["chunks"][0].pop(name) > 0 for name in seconds)
    settings, own = record.pop("settings"), made.pop("settings")
    assert record == {"input": str(note), **made}
    assert {name: setting["value"] for name, setting in settings.items()} == {
        name: setting["value"] for name, setting in own.items()
    }
    assert settings["num_beams"] == {"value": 2, "origin": "command line"}
    assert settings["length_penalty"] == {"value": 2.0, "origin": "--generation-config"}
    assert settings["no_repeat_ngram_size"] == {"value": 3, "origin": "generation_config.json"}
    assert settings["global_attention"] == {"value": "tokens:0,2", "origin": "command line"}
    assert settings["min_length"] == {"value": 0, "origin": "default"}
    assert settings["num_return_sequences"]["origin"] == "pyled"
    assert status == 0


RECORD = {
    "input": "a_b.txt",
    "text": " *One*\n- two\n12. three\n# four <s> [x](y) & `z`",
    "model": "led",
    "versions": {"pyled": "9"},
    "source_tokens": 1200,
    "truncated_tokens": 200,
    "generated_tokens": 7,
    "chunks": [{}, {}],
    "score": None,
    "encoding_seconds": 0.25,
    "generating_seconds": 2.0,
}


def test_markdown_shows_a_text_as_it_is():
    assert rendered(RECORD, "md", is_one=True) == (
        "# a\\_b.txt\n\n"
        "\\*One\\*\n\\- two\n12\\. three\n\\# four \\<s\\> \\[x\\](y) \\& \\`z\\`\n\n"
        "*1,000 of 1,200 tokens read in 2 chunks, 7 written, 2.2 s; led, pyled 9*\n"
    )


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_json_keeps_letters_and_survives_odd_names(form):
    name = os.fsdecode(b"caf\xe9 \xc3\xa9.txt")
    text = together([{"input": name, "text": "é\u2028"}, {"input": "b", "text": ""}], form, is_one=False)
    assert "é\u2028" in text
    records = json.loads(text) if form == "json" else [json.loads(line) for line in text.rstrip("\n").split("\n")]
    assert [record["input"] for record in records] == [name, "b"]
    assert os.fsencode(records[0]["input"]) == b"caf\xe9 \xc3\xa9.txt"
    text.encode("utf-8")


# Places


@pytest.mark.parametrize("form", ["text", "jsonl", "json", "md"])
def test_one_file_holds_what_standard_output_would(summarize, note, two, tmp_path, monkeypatch, form):
    made = summary(SHORT, max_length=5)
    monkeypatch.setattr(
        "pyled.tasks.Summarizer.write_each", lambda _, sources, *__, **___: ((i, made) for i, _ in sources)
    )
    for inputs in ([note], [note, two]):
        assert summarize(*inputs, "--format", form, "-o", tmp_path / "out", "--force") == (0, "", "")
        written = (tmp_path / "out").read_text(encoding="utf-8")
        assert written.count(json.dumps(made.text)[1:-1] if "json" in form else made.text.strip()) >= len(inputs)
        assert summarize(*inputs, "--format", form, "-o", "-") == (0, written, "")


@pytest.mark.parametrize(("form", "suffix"), [("text", "txt"), ("json", "json"), ("jsonl", "jsonl"), ("md", "md")])
def test_a_folder_gets_a_file_for_each(summarize, two, tmp_path, form, suffix):
    folder = tmp_path / "new" / "summaries"
    assert summarize(two, "--format", form, "-o", f"{folder}/") == (0, "", "")
    assert left_in(folder) == [f"a.summary.{suffix}", f"b.summary.{suffix}"]
    content = (folder / f"b.summary.{suffix}").read_text(encoding="utf-8")
    if form == "text":
        assert content == expected(OTHER) + "\n"
    elif form == "md":
        assert content.count("# ") == 1
    else:
        assert json.loads(content)["text"] == expected(OTHER)


def test_what_is_there_is_kept_or_replaced_as_asked(summarize, two, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a.summary.txt").write_text("old", encoding="utf-8")
    status, out, err = summarize(two, "-o", folder)
    assert (status, out) == (2, "")
    assert f"{folder / 'a.summary.txt'} is there already: pass --force to replace it, --skip-existing to keep it" in err
    assert left_in(folder) == ["a.summary.txt"]
    (folder / ".a.summary.txt.0123abcd.part").write_text("of a run that was killed")
    os.utime(folder / ".a.summary.txt.0123abcd.part", (0, 0))
    said = "pyled: 1 of 2 results are there already and are kept\n"
    assert summarize(two, "-o", folder, "--skip-existing") == (0, "", said)
    assert (folder / "a.summary.txt").read_text(encoding="utf-8") == "old"
    assert (folder / "b.summary.txt").read_text(encoding="utf-8") == expected(OTHER) + "\n"
    assert left_in(folder) == ["a.summary.txt", "b.summary.txt"]
    assert summarize(two, "-o", folder, "--force") == (0, "", "")
    assert (folder / "a.summary.txt").read_text(encoding="utf-8") == expected(SHORT) + "\n"
    (folder / "b.summary.txt").write_text("older", encoding="utf-8")
    assert summarize(two, "-o", folder / "b.summary.txt", "--skip-existing")[0] == 0
    assert (folder / "b.summary.txt").read_text(encoding="utf-8") == "older"


def test_nothing_to_do_does_not_open_the_checkpoint(run, two, tmp_path):
    (tmp_path / "out.txt").touch()
    status, out, err = run("summarize", two, "-m", tmp_path / "none", "-o", tmp_path / "out.txt", "--skip-existing")
    said = f"{tmp_path / 'out.txt'} is there already and is kept: nothing is done; --force replaces it"
    assert (status, out, err) == (0, "", f"pyled: {said}\n")


def test_a_bad_input_leaves_the_others_in_the_file(summarize, two, tmp_path):
    (two / "a.txt").write_bytes(b"\xff\xfe\0")
    status, out, err = summarize(two, "-o", tmp_path / "out.txt")
    assert (status, out) == (1, "")
    assert "a.txt: is UTF-16" in err and err.endswith("pyled: 1 of 2 inputs failed\n")
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == f"==> {two / 'b.md'} <==\n{expected(OTHER)}\n"
    (two / "b.md").write_bytes(b" ")
    assert summarize(two, "-o", tmp_path / "empty.txt")[0] == 1
    assert not (tmp_path / "empty.txt").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.txt", "-o", "a.txt"], "a.txt is an input: name another output"),
        (["a.txt", "-o", "a.txt", "--force"], "a.txt is an input: name another output"),
        (["a.txt", "-o", "link.txt", "--force"], "link.txt is an input: name another output"),
        (["a.summary.txt", "a.txt", "-o", "."], "a.summary.txt is an input: name another output"),
        (["a.txt", "./a.txt", "-o", "out/"], "a.txt is named twice: leave one out"),
        (["a.txt", "-o", "none/out.txt"], "none is no directory: make it, or name another output"),
        (["a.txt", "-o", "loop.txt"], "loop.txt is a link that leads nowhere: name another output"),
        (["a.txt", "-o", "links"], "none is no directory: make it, or name another output"),
        (["a.txt", "-o", "a.txt/"], "a.txt is a file: name another output"),
        (["a.txt", "-o", "a.txt/b.txt"], "a.txt is a file: name another output"),
        (["a.txt", "-o", ""], "--output names no file"),
        (["a.txt", "-o", "x" * 300], "File name too long: name another output"),
        (["x" * 214 + ".txt", "-o", "out/"], "is too long a name, of more than 225 bytes"),
        (["a.txt", "--force"], "--force is for files: name one, or a directory, with --output"),
        (["a.txt", "--skip-existing", "-o", "-"], "--skip-existing is for files"),
        (["a.txt", "-o", "x", "--force", "--skip-existing"], "not allowed with argument"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_any_work(run, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    texts = ["a.txt", "a.summary.txt", "x" * 214 + ".txt"]
    for name in texts:
        Path(name).write_text(SHORT, encoding="utf-8")
    Path("links").mkdir()
    links = {"link.txt": "a.txt", "loop.txt": "loop.txt", "links/a.summary.txt": "../none/x"}
    for name, target in links.items():
        Path(name).symlink_to(target)
    status, out, err = run("summarize", *arguments, "-m", "no checkpoint")
    assert (status, out) == (2, "")
    assert message in err
    assert left_in(tmp_path) == sorted([*texts, "link.txt", "links", "loop.txt"])
    assert Path("a.txt").read_text(encoding="utf-8") == SHORT


@pytest.mark.parametrize("command", ["summarize", "evaluate"])
def test_an_output_in_a_folder_that_was_deleted_is_named(run, note, tmp_path, monkeypatch, command):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    status, _, err = run(command, note, "-m", "no checkpoint", "-o", "out.txt")
    assert status == 2 and err.endswith("out.txt: No such file or directory: name another output\n")


def test_an_input_that_failed_is_no_output_either(run, note, tmp_path):
    broken = tmp_path / "broken.txt"
    broken.write_bytes(b"caf\xe9")
    status, _, err = run("summarize", note, broken, "-m", "no checkpoint", "-o", broken, "--force")
    assert status == 2 and f"{broken} is an input: name another output" in err
    assert broken.read_bytes() == b"caf\xe9"


def test_an_input_that_failed_keeps_its_name(summarize, note, tmp_path):
    (tmp_path / "note.md").write_bytes(b"caf\xe9")
    status, _, _ = summarize(note, tmp_path / "note.md", "-o", f"{tmp_path}/out/")
    assert status == 1
    assert left_in(tmp_path / "out") == ["note.txt.summary.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_others_is_refused(summarize, note, tmp_path):
    (tmp_path / "out").mkdir(mode=0o500)
    status, _, err = summarize(note, "-o", tmp_path / "out")
    assert status == 2 and "is not yours to write to" in err


def test_a_device_is_written_to_and_not_replaced(summarize, note, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert summarize(note, "-o", pipe) == (0, "", "")
    assert os.read(end, 4096).decode("utf-8") == expected(SHORT) + "\n"
    os.close(end)
    assert pipe.is_fifo()


@pytest.mark.parametrize(("command", "place"), [("summarize", "out"), ("evaluate", "records.jsonl")])
def test_a_lock_of_another_program_is_told_after_a_while(run, tmp_path, monkeypatch, command, place):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr("pyled.files.TRIES", 10)
    text, place = tmp_path / "text", tmp_path / place
    text.write_text(json.dumps({"document": SHORT, "summary": SHORT}), encoding="utf-8")
    place.touch() if place.suffix else place.mkdir()
    handle = os.open(place, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)  # as `flock PLACE pyled ...` has it while pyled runs
    status, _, err = run(command, text, "-m", TINY, "--max-length", 3, "-o", place)
    os.close(handle)
    assert status == 1 and f"cannot be written: another program has locked {place}: end it, or lock another" in err
    assert not (place.read_bytes() if place.suffix else left_in(place))


# Names


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        (["a.txt", "b/c.md"], ["a", "c"]),
        (["x/report.v1.txt", "README"], ["report.v1", "README"]),
        (["-", "a.txt"], ["standard-input", "a"]),
        (["a.txt", "a.md", "b.txt"], ["a.txt", "a.md", "b"]),
        (["1/a.txt", "2/a.txt"], ["1-a.txt", "2-a.txt"]),
        (["1/x/a.txt", "2/x/a.txt", "3/a.txt"], ["1-x-a.txt", "2-x-a.txt", "3-a.txt"]),
        (["x/A.txt", "y/a.txt"], ["x-A.txt", "y-a.txt"]),
        (["-", "standard-input.md"], ["standard-input", "standard-input.md"]),
    ],
)
def test_names_of_files_tell_inputs_apart(inputs, names):
    console = Notes()
    files = file_names(inputs, ".summary.md", console)
    assert list(files.items()) == [(given, f"{name}.summary.md") for given, name in zip(inputs, names, strict=True)]
    assert len(console.told) == any(name.endswith((".txt", ".md")) for name in names)


# Nothing half-written

LIMITED = """
import resource, sys
from pyled.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (4, 4))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("to_folder", [True, False])
def test_a_full_disk_leaves_the_old_file_whole(note, tmp_path, to_folder):
    out = tmp_path / "out"
    out.mkdir()
    path = out / "note.summary.txt"
    path.write_text("the old summary", encoding="utf-8")
    command = process(env={"NUMBA_DISABLE_JIT": "1", "PYTHONDONTWRITEBYTECODE": "1"})
    options = ["-m", TINY, "--max-length", 5, "--force", "-o", out if to_folder else path]
    done = subprocess.run(
        [*command["args"][:2], "-c", LIMITED, "summarize", str(note), *map(str, options)],
        env=command["env"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"pyled: {path}: cannot be written: File too large\n"
    assert left_in(out) == ["note.summary.txt"]
    assert path.read_text(encoding="utf-8") == "the old summary"


CHUNKED = [LAMP, "--too-long", "chunk", "--chunk-tokens", 30]  # three of them


@pytest.mark.parametrize("to_folder", [True, False])
def test_a_long_text_that_was_interrupted_goes_on_from_its_chunks(
    summarize, tmp_path, monkeypatch, two_at_a_time, to_folder
):
    out = tmp_path / "out" / "lamp.summary.jsonl"
    part = out.with_name(".lamp.summary.jsonl.chunks.jsonl")
    out.parent.mkdir()
    arguments = [*CHUNKED, "--format", "jsonl", "-o", out.parent if to_folder else out]
    said = f"pyled: {LAMP}: interrupted: the same command goes on from 2 of 3 chunks\n"
    status, printed, err = summarize(*arguments)
    assert (status, printed) == (130, "") and err.endswith(said)
    assert left_in(out.parent) == [part.name]
    with part.open("ab") as file:
        file.write(b'\n{"key": "0cf')
    for other in (("--num-beams", 1), ("--encoder", "int16")):  # another plan has chunks of its own, another model too
        two_at_a_time.clear()
        assert summarize(*arguments, *other)[0] == 130 and len(two_at_a_time) == 2
    two_at_a_time.clear()
    status, _, err = summarize(*arguments)
    assert status == 0 and f"pyled: {LAMP}: goes on: 2 of 3 chunks are in {part}, from a run that did not end\n" in err
    assert (len(two_at_a_time), left_in(out.parent)) == (1, [out.name])
    chunks = json.loads(out.read_text(encoding="utf-8"))["chunks"]
    text = document("lamp.txt")
    assert "".join(text[chunk["start"] : chunk["stop"]] for chunk in chunks) == text
    monkeypatch.undo()
    assert [chunk["text"] for chunk in chunks] == [expected(text[c["start"] : c["stop"]]) for c in chunks]


def test_force_starts_a_long_text_anew_once_it_has_a_chunk(summarize, run, tmp_path, two_at_a_time):
    arguments = [*CHUNKED, "-o", tmp_path / "out.txt"]
    assert summarize(*arguments)[0] == 130
    part = tmp_path / ".out.txt.chunks.jsonl"
    before = part.read_bytes()
    assert summarize(*arguments, "--force", "--dry-run")[0] == 0
    assert run("summarize", "-m", tmp_path / "none", *arguments, "--force")[0] == 3
    assert summarize(*arguments, "--force")[0] == 130  # before its first chunk
    assert part.read_bytes() == before
    two_at_a_time.clear()
    status, _, err = summarize(*arguments, "--force")
    assert (status, len(two_at_a_time)) == (130, 2) and "the same command without --force goes on from 2 of 3" in err
    assert part.read_bytes().count(b"\n") == before.count(b"\n")


@pytest.mark.parametrize("change", [{"text": 5}, {"start": None}, {"more": 1}, None])
def test_a_file_of_others_with_the_name_of_chunks_stays(summarize, tmp_path, two_at_a_time, note, change):
    out = tmp_path / "out.txt"
    part = tmp_path / ".out.txt.chunks.jsonl"
    assert summarize(*CHUNKED, "-o", out)[0] == 130
    first = json.loads(part.read_bytes().splitlines()[0])
    data = (json.dumps(first | {"summary": first["summary"] | change}) if change else "mine").encode()
    part.write_bytes(data)
    two_at_a_time.clear()
    status, _, err = summarize(*CHUNKED, "-o", out)
    assert status == 1 and f"{part} holds no records: line 1" in err
    assert summarize(note, "-o", out)[0] == 0  # has no chunks
    assert part.read_bytes() == data
    assert summarize(note, part, "-o", out, "--force")[0] == 2  # an input


@pytest.mark.parametrize("to_folder", [True, False])
def test_a_file_that_comes_while_a_run_works_stays(summarize, two, tmp_path, monkeypatch, to_folder):
    out, write_each = tmp_path / "out", Summarizer.write_each
    out.mkdir()
    place = out / "b.summary.txt" if to_folder else out / "all.txt"

    def disturbed(self, *arguments, **more):
        place.write_text("my thesis")
        return write_each(self, *arguments, **more)

    monkeypatch.setattr(Summarizer, "write_each", disturbed)
    status, _, err = summarize(two, "-o", out if to_folder else place)
    assert status == 1 and f"{place} has come since this run began, and stays: pass --force to replace it\n" in err
    assert (place.read_text(), left_in(out)) == ("my thesis", ["a.summary.txt"] * to_folder + [place.name])
    assert summarize(two, "-o", out if to_folder else place, "--force")[0] == 0
    assert place.read_text() != "my thesis"


def test_an_input_is_known_by_its_other_names(summarize, note, tmp_path):
    (tmp_path / "hard").hardlink_to(note)
    assert "is an input" in summarize(note, "-o", tmp_path / "hard", "--force")[2]
    (tmp_path / "far").symlink_to("none/far")
    for out in (tmp_path / "far", f"{tmp_path}/far/"):
        status, _, err = summarize(note, "-o", out)
        assert status == 2 and ("none is no directory" in err or "far is a link that leads nowhere" in err)
    assert note.read_text(encoding="utf-8") == SHORT


@pytest.mark.parametrize("to_folder", [True, False])
def test_an_interrupt_leaves_whole_files_only(note, tmp_path, to_folder):
    for i in range(40):
        (tmp_path / f"{i:02}.txt").write_text(SHORT, encoding="utf-8")
    note.unlink()
    out = tmp_path / "out"
    out.mkdir()
    arguments = ["summarize", tmp_path, "-m", TINY, "--min-length", 9, "--max-length", 9]
    status, printed, seen = watched(
        [*arguments, "-o", out if to_folder else out / "all.txt"],
        until=b"[33/40, 8 together] encoding",
        then=lambda child: child.send_signal(signal.SIGINT),
    )
    assert (status, printed) == (130, "")
    assert "Traceback" not in seen and seen.endswith("\r")
    whole = expected(SHORT, min_length=9, max_length=9) + "\n"
    assert {path.read_text(encoding="utf-8") for path in out.iterdir()} == ({whole} if to_folder else set())
    assert len(left_in(out)) in range(32 * to_folder, 40)
    assert all(name.endswith(".summary.txt") for name in left_in(out))


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
@pytest.mark.parametrize("place", ["out/a.summary.txt", ".all.txt.chunks.jsonl"])
def test_what_is_no_file_in_the_place_of_one_is_told_before_any_work(run, two, tmp_path, make, place):
    (tmp_path / "out").mkdir()
    make(tmp_path / place)
    output = f"{tmp_path}/out/" if place.startswith("out") else tmp_path / "all.txt"
    for option in ("--force", "--skip-existing"):
        status, out, err = run("summarize", two, "-m", tmp_path / "none", "-o", output, option)
        assert (status, out) == (2, "")
        assert f"{tmp_path / place} is no regular file, where one would be written: name another output" in err


@pytest.mark.parametrize("command", ["summarize", "evaluate"])
def test_a_pipe_of_others_is_told_before_any_work(run, note, tmp_path, monkeypatch, command):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(os, "access", lambda path, *_: Path(path) != tmp_path / "pipe")  # as for a user without rights
    status, out, err = run(command, note, "-m", tmp_path / "none", "-o", tmp_path / "pipe")
    assert (status, out) == (2, "") and f"{tmp_path / 'pipe'} is read-only: name another output" in err


def test_a_link_to_a_text_beside_it_has_a_summary_of_its_own(summarize, two, tmp_path):
    (two / "latest.txt").symlink_to("a.txt")
    assert summarize(two, "-o", f"{tmp_path / 'out'}/")[0] == 0
    assert left_in(tmp_path / "out") == ["a.summary.txt", "b.summary.txt", "latest.summary.txt"]
