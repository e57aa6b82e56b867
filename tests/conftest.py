"""What the tests of the command line share: the command run in this process, on one thread."""

import io
import signal
import sys

import pytest
from checkpoints import TINY
from commands import SHORT

from pyled import cli
from pyled.kernels import jit


@pytest.fixture(autouse=True, scope="session")
def interruptible():
    """A shell that starts the suite in the background has it ignore interrupts, and children inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command in this process: (exit status, standard output, standard error)."""

    def run(*arguments, stdin=b"", terminal=False):
        source = io.TextIOWrapper(io.BytesIO(stdin))
        source.isatty = lambda: terminal
        monkeypatch.setattr(sys, "stdin", source)
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as e:
            status = e.code
        return status, *capsys.readouterr()

    jit.set_threads(1)  # small work on a machine that others use too
    yield run
    jit.set_threads(None)


@pytest.fixture
def summarize(run):
    """`pyled summarize -m golden/tiny`, with summaries of a few tokens."""
    return lambda *arguments, **more: run("summarize", "-m", TINY, "--max-length", 5, *arguments, **more)


@pytest.fixture
def note(tmp_path):
    """A file with a short text."""
    path = tmp_path / "note.txt"
    path.write_text(SHORT, encoding="utf-8")
    return path


@pytest.fixture
def two_at_a_time(monkeypatch):
    """The chunks that were written since the list was cleared; each time the third is interrupted."""
    from pyled.tasks import Summarizer  # most tests do without it

    written, write = [], Summarizer._write_together

    def write_together(*arguments):
        for one in write(*arguments):
            if len(written) == 2:
                raise KeyboardInterrupt
            written.append(one)
            yield one

    monkeypatch.setattr(Summarizer, "_write_together", write_together)
    return written
