"""What `pyled summarize` reads: files that are no texts, pipes, directories; each when its turn comes."""

import json
import os
import threading

import pytest
from checkpoints import TINY, primera, summary
from commands import SHORT, expected

import pyled
from pyled.cli.shared.console import Console
from pyled.cli.shared.inputs import Inputs, read_text
from pyled.errors import InputError
from pyled.tasks import Summarizer

OTHER = "A second keeper came in the morning."
RULE = "its .txt and .md are read, but no results (*.summary.*, ...), and nothing in folders below it"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"%PDF-1.7\n%\xe2", "is a PDF: extract its text first"),
        (b"PK\x03\x04\x14\0", "is a ZIP archive, as .docx, .odt and .epub are"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is an old Office document"),
        (b"\x1f\x8b\x08\0", "is compressed: unpack it first"),
        ("é".encode("utf-16"), "is UTF-16: convert it first"),
        ("é".encode("utf-16-be"), "byte 0 is NUL, so this is no text"),
        (b"text\0", "byte 4 is NUL, so this is no text"),
        (b"caf\xe9", "byte 3 is not UTF-8: convert it first, with iconv -f WINDOWS-1252 -t UTF-8"),
        (b"x" * 1234 + b"\xc3", "byte 1,234 is not UTF-8"),
        (b"\xed\xa0\x80", "byte 0 is not UTF-8"),
        (b"\xef\xbb\xbf \n", "the text is empty: there is nothing to read"),
    ],
)
def test_what_is_no_text_is_named(tmp_path, data, message):
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(InputError) as raised:
        read_text(str(path))
    assert message in str(raised.value)


@pytest.mark.parametrize("data", [b"one\r\ntwo\rthree", b"\xef\xbb\xbfone\ntwo\nthree"])
def test_a_text_is_read_as_python_reads_it(tmp_path, data):
    path = tmp_path / "file"
    path.write_bytes(data)
    assert read_text(str(path)) == path.read_text(encoding="utf-8-sig") == "one\ntwo\nthree"


def test_what_may_not_be_read_is_told(summarize, note, tmp_path, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    for read in ("os.open", "pathlib.Path.iterdir"):
        monkeypatch.setattr(read, refuse)
    status, out, err = summarize(note, tmp_path)
    assert (status, out) == (1, "")
    assert err.count("cannot be read: Permission denied") == 2


def test_a_directory_is_not_read_below(tmp_path, summarize):
    (tmp_path / "texts" / "below").mkdir(parents=True)
    (tmp_path / "texts" / "below" / "a.txt").write_text(SHORT, encoding="utf-8")
    assert summarize(tmp_path / "texts") == (
        1,
        "",
        f"pyled: {tmp_path / 'texts'}: holds no .txt or .md (results, as *.summary.*, and subfolders are not read)\n",
    )
    for name in ("B.TXT", "a.summary.txt", "a.tex", ".hidden.md"):
        (tmp_path / "texts" / name).write_text(OTHER, encoding="utf-8")
    told = f"pyled: {tmp_path / 'texts'}: 3 of its 4 entries are skipped: {RULE}\n"
    assert summarize(tmp_path / "texts") == (0, expected(OTHER) + "\n", told)


def test_a_pipe_is_read_once(summarize, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(SHORT,), daemon=True)
    writer.start()
    read = []
    reader = threading.Thread(target=lambda: read.extend(Inputs([str(pipe)], Console(quiet=True)).texts()), daemon=True)
    reader.start()
    reader.join(5)  # a second time would take for ever
    assert read == [(0, str(pipe), SHORT)]
    writer.join(10)


def test_a_text_is_read_when_its_turn_comes(summarize, tmp_path, monkeypatch):
    paths = [tmp_path / f"{name}.txt" for name in "abc"]
    for path in paths:
        path.write_text(SHORT, encoding="utf-8")
    made, read = summary(SHORT, max_length=5), Summarizer.read

    def disturbed(*arguments):
        paths[1].write_bytes(b"\0")
        return read(*arguments)

    monkeypatch.setattr(Summarizer, "read", disturbed)
    status, out, err = summarize(*paths)
    assert status == 1
    assert out == f"==> {paths[0]} <==\n{made.text}\n\n==> {paths[2]} <==\n{made.text}\n"
    assert err == (
        f"pyled: {paths[1]}: byte 0 is NUL, so this is no text: extract its text first\npyled: 1 of 3 inputs failed\n"
    )


def test_a_link_in_a_directory_that_leads_nowhere_is_told(summarize, tmp_path):
    (tmp_path / "a.txt").write_text(SHORT, encoding="utf-8")
    (tmp_path / "b.txt").symlink_to("nowhere")
    status, out, err = summarize(tmp_path)
    assert (status, out) == (1, f"==> {tmp_path / 'a.txt'} <==\n{expected(SHORT)}\n")
    assert f"{tmp_path / 'b.txt'}: cannot be read: it is a link to {tmp_path / 'nowhere'}, which is not there" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["summarize", "", "-m", TINY], "a FILE has no name"),
        (["tokenize", "", "-m", TINY], "a FILE has no name"),
        (["detokenize", "", "-m", TINY], "a FILE has no name"),
        (["summarize", "-", "-m", ""], "a checkpoint's name is ''"),
    ],
)
def test_an_empty_name_is_no_directory(run, arguments, message):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "") and message in err


# Documents that are read together


@pytest.fixture
def group(tmp_path):
    """A checkpoint with <doc-sep>, and a folder with two texts."""
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text(SHORT, encoding="utf-8")
    (tmp_path / "texts" / "b.md").write_text(OTHER, encoding="utf-8")
    return "summarize", "-m", primera(tmp_path / "led"), "--max-length", 5, "--docs", tmp_path / "texts"


def test_documents_have_one_summary(run, group, tmp_path):
    text = pyled.summarize(pyled.Documents([SHORT, OTHER]), tmp_path / "led", max_length=5).text
    status, out, err = run(*group)
    assert (status, out) == (0, f"{text}\n")
    assert err.startswith(f"pyled: {tmp_path / 'texts'}: 2 documents are read together, at most 30 tokens of each")
    (record,) = json.loads(run(*group, "--format", "json")[1])
    assert record["input"] == str(tmp_path / "texts") and record["text"] == text
    assert record["documents"] == [str(tmp_path / "texts" / name) for name in ("a.txt", "b.md")]
    assert run(*group, "--output", f"{tmp_path}/out/")[0] == 0
    assert (tmp_path / "out" / "texts.summary.txt").read_text(encoding="utf-8") == f"{text}\n"
    assert len(run(*group, "--dry-run")[1].splitlines()) == 1


def test_a_group_without_one_of_its_documents_is_not_summarized(run, group, tmp_path):
    status, out, err = run(*group, tmp_path / "gone.txt")
    assert (status, out) == (1, "")
    assert err.endswith("\npyled: 1 of 3 documents failed: nothing is summarized\n")


def test_no_document_of_a_group_is_written_to(run, group, tmp_path):
    for name in ("a.txt", "b.md"):
        status, _, err = run(*group, "--output", tmp_path / "texts" / name, "--force")
        assert status == 2 and "is an input: name another output" in err


def test_documents_are_not_cut_into_chunks(run, group):
    status, _, err = run(*group, "--too-long", "chunk")
    assert status == 2 and "documents are read together, in one piece: leave --too-long chunk out" in err
