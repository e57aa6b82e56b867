"""The command as a process: its start, progress on a terminal, interrupts, closed pipes, full disks."""

import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from checkpoints import TINY
from commands import PACKAGE, SHORT, expected, process, watched

import pyled
from pyled.cli.shared.console import Console
from pyled.tasks import Status


def test_help_and_version_load_nothing_heavy(run):
    code = (
        "import sys\nfrom pyled import cli\n"
        "try: cli.main(['summarize', '--help'])\n"
        "finally: assert 'numba' not in sys.modules and 'numpy' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], env=process()["env"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for option in ("--num-beams", "--too-long", "--early-stopping", "exit status", "-p NAME VALUE"):
        assert option in done.stdout
    assert run("help", "summarize") == (0, done.stdout, "")
    status, out, err = run("--help")
    assert (status, err) == (0, "") and "commands:" in out
    assert run() == run("help") == (0, out, "")
    assert run("--version") == (0, f"pyled {pyled.__version__}\n", "")


INTERRUPTED_AT = """
import os, signal, sys
module = sys.argv.pop(1)
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from pyled.cli import main
sys.exit(main())
"""
MODULES = [
    "pyled.cli.shared.interrupts",
    "pyled.cli.dispatch",
    "argparse",
    "numpy",
    "numba",
    "pyled.tasks",
    "pyled.tasks.summary",
]


@pytest.mark.parametrize("module", MODULES)
def test_an_interrupt_while_it_starts_ends_it_quietly(module, note):
    command = [sys.executable, "-P", "-c", INTERRUPTED_AT, module, "summarize", str(note), "-m", str(TINY)]
    done = subprocess.run(command, env=process()["env"], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


HELD = """
import os, signal
from pyled.cli.shared.interrupts import before_leaving, held, leave_on_interrupt
leave_on_interrupt()
before_leaving(lambda: print("tidy", flush=True))
with held():
    os.kill(os.getpid(), signal.SIGINT)
    print("whole", flush=True)
print("more", flush=True)
"""


@pytest.mark.parametrize(
    ("shell", "status", "said"),
    [('exec "$@"', 130, "whole tidy"), ('trap "" INT; exec "$@"', 0, "whole more")],
    ids=["interrupted", "where interrupts are ignored"],
)
def test_an_interrupt_waits_until_a_file_is_whole(shell, status, said):
    command = ["sh", "-c", shell, "sh", sys.executable, "-P", "-c", HELD]
    done = subprocess.run(command, env=process()["env"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split(), done.stderr) == (status, said.split(), "")


def test_nothing_is_imported_before_interrupts_are_watched_for():
    code = "import sys; before = set(sys.modules); import pyled.cli; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-P", "-c", code], env=process()["env"], capture_output=True, text=True)
    assert done.stdout.split() == ["pyled", "pyled.cli"]


def test_progress_is_shown_on_a_terminal_and_taken_away(note):
    status, out, seen = watched(["summarize", note, "-m", TINY, "--min-length", 9, "--max-length", 9])
    assert (status, out) == (0, expected(SHORT, min_length=9, max_length=9) + "\n")
    lines = seen[seen.index("\r") :].split("\r")
    assert lines[1] == "encoding 0/2 layers"
    assert any(line.startswith("generating 0/8 tokens") for line in lines)
    assert lines[-3].startswith("generating 8/8 tokens, about 0:00 left")
    assert lines[-2].isspace()
    assert len(lines[-2]) >= len(lines[-3].rstrip())
    assert lines[-1] == ""


def status(done, total, left=None, **more):
    return Status(
        **{
            **dict.fromkeys(("text", "round", "chunk"), 0),
            "texts": 1,
            "chunks": 1,
            "together": 1,
            "stage": "encoding",
            **more,
        }
        | {"done": done, "total": total, "fraction": 0.0, "seconds_left": left}
    )


def test_no_progress_where_nobody_watches_or_wants_it(monkeypatch):
    for quiet, terminal in ((True, True), (False, False), (False, True)):
        stream = io.StringIO()
        stream.isatty = lambda terminal=terminal: terminal
        monkeypatch.setattr(sys, "stderr", stream)
        console = Console(quiet)
        console.progress(status(0, 12))
        console.error("told")
        assert stream.getvalue().endswith("pyled: told\n")
        assert ("encoding" in stream.getvalue()) == (terminal and not quiet)


def test_the_line_of_progress(monkeypatch):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stream)
    times = iter([100.0, 102.0, 102.01, 4000.0])
    monkeypatch.setattr("time.monotonic", lambda: next(times))
    console = Console(quiet=False)
    for done, left in ((0, None), (2, 80.2), (3, 79), (40, 3725.4)):
        place = {"text": 1, "texts": 3, "chunk": 4, "chunks": 9, "round": 1, "together": 7} if done == 40 else {}
        console.progress(status(done, 42, left, stage="generating", **place))
    assert [line.rstrip() for line in stream.getvalue().split("\r")] == [
        "",
        "generating 0/42 tokens",
        "generating 2/42 tokens, about 1:20 left",
        "[2/3, 7 together] generating again chunk 5/9 40/42 tokens, about 1:02:05 left",
    ]


def test_an_interrupt_leaves_whole_summaries_only(note):
    arguments = ["summarize", "-m", TINY, "--min-length", 20, "--max-length", 20, *[note] * 60]
    status, out, seen = watched(
        arguments, until=b"[33/60, 28 together] encoding", then=lambda child: child.send_signal(signal.SIGINT)
    )
    assert status == 130
    one = f"==> {note} <==\n{expected(SHORT, min_length=20, max_length=20)}\n"
    count = out.count("==>")
    assert 32 <= count < 60
    assert out == "\n".join([one] * count)
    assert "Traceback" not in seen
    assert seen.endswith("\r")


def test_nothing_but_the_files_of_the_package_is_needed(tmp_path, note):
    package = tmp_path / "site"
    shutil.copytree(PACKAGE, package / "pyled", ignore=shutil.ignore_patterns("__pycache__"))
    nowhere = str(note / "below a file")
    (tmp_path / "tmp").mkdir()
    environment = {
        "NUMBA_CACHE_DIR": nowhere,
        "XDG_CACHE_HOME": nowhere,
        "TMPDIR": str(tmp_path / "tmp"),
        "NUMBA_DISABLE_JIT": "1",  # compiling takes long; test_processes.py does it
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    arguments = process("summarize", note, "-m", TINY, "--max-length", 5, package=package, env=environment)
    arguments["env"].pop("HOME", None)
    done = subprocess.run(**arguments, cwd="/", capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, expected(SHORT) + "\n", "")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_closed_pipe_ends_it_quietly(note):
    read, write = os.pipe()
    os.close(read)
    arguments = process("summarize", note, "-m", TINY, "--max-length", 5)
    done = subprocess.run(**arguments, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
def test_a_full_disk_is_told(note):
    arguments = process("summarize", note, "-m", TINY, "--max-length", 5)
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(**arguments, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, b"pyled: standard output: No space left on device\n")


def closed(*arguments):
    """Run with standard output closed."""
    command = process(*arguments)
    return subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command["args"]], env=command["env"], stderr=subprocess.PIPE, text=True
    )


def test_a_closed_standard_output_is_told_before_any_work(note):
    done = closed("summarize", note, "-m", "no checkpoint")
    assert done.returncode == 2
    assert done.stderr.endswith("error: standard output is closed: name a file with --output\n")
    done = closed("tokenize", note, "-m", TINY)
    assert (done.returncode, done.stderr) == (1, "pyled: standard output is closed\n")


def test_it_writes_to_a_file_where_standard_output_is_closed(note, tmp_path):
    done = closed("summarize", note, "-m", TINY, "--max-length", 5, "-o", tmp_path / "out.txt")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == expected(SHORT) + "\n"


@pytest.mark.parametrize("threads", ["0", "-1", "two", ""])
def test_a_number_of_threads_that_is_none_is_told(note, threads):
    done = subprocess.run(
        **process("summarize", note, "-m", TINY, env={"NUMBA_NUM_THREADS": threads}), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert f"error: NUMBA_NUM_THREADS is '{threads}': it must be a whole number of at least 1, or unset" in done.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(13, "Permission denied", "x/config.json"), "x/config.json: Permission denied"),
        (KeyError("x"), "a mistake in pyled, please report it: KeyError: 'x'"),
    ],
)
def test_whatever_happens_elsewhere_is_told_in_a_line(run, monkeypatch, error, words):
    def fail(*_):
        raise error

    monkeypatch.setattr("pyled.tasks.inspection.examine", fail)
    assert run("inspect", TINY) == (1, "", f"pyled: {words}\n")
