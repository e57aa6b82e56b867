"""Pages of docs/: a shell runs their sessions, which print what they say; the table of cli.md is that of the parser."""

import doctest
import os
import re
import shlex
import subprocess
import sys

import pytest
from checkpoints import TINY, TRAINED, headed, primera
from commands import PACKAGE

from pyled.cli.shared.exit_status import EXIT_STATUS

PAGES = {path.name: path.read_text(encoding="utf-8") for path in (PACKAGE.parent / "docs").glob("*.md")}
SESSIONS = {
    name: re.findall(r"^```console\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE) for name, page in PAGES.items()
}
END = "--- end ---"  # printed behind each command


@pytest.fixture
def folder(tmp_path_factory):
    """A folder as the pages describe it, with a `pyled` that runs this package."""
    folder = tmp_path_factory.mktemp("page")
    for name in ("lamp.txt", "minutes.txt"):
        (folder / name).write_bytes((TINY / "documents" / name).read_bytes())
    (folder / "ferrypostd.txt").write_bytes((TRAINED / "documents" / "ferrypostd.txt").read_bytes())
    (folder / "paper.pdf").write_bytes(b"%PDF-1.7\n\x80\x81")
    (folder / "led").symlink_to(TINY)
    primera(folder / "primera", positions=1024)
    headed(folder / "led-answers", "qa")
    headed(folder / "led-weather", "classification", id2label={"0": "calm", "1": "windy", "2": "storm"})
    (folder / "bin").mkdir()
    (folder / "bin" / "python3").symlink_to(sys.executable)
    command = folder / "bin" / "pyled"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m pyled "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    return folder


def run(folder, commands):
    """What each command prints, in one shell, on standard output and standard error together."""
    script = "".join(f"{command}\nstatus=$?; echo '{END}'; (exit $status)\n" for command in commands)
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(PACKAGE.parent),
        "NUMBA_DISABLE_JIT": "0",  # as a reader has it
        "NUMBA_NUM_THREADS": "1",
        "COLUMNS": "80",
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    printed = re.sub(r"^pyled: compiling for this processor.*\n", "", done.stdout.decode("utf-8"), flags=re.MULTILINE)
    return printed.split(f"{END}\n")[:-1]


@pytest.mark.parametrize("name", [name for name, sessions in SESSIONS.items() if sessions])
def test_the_sessions_print_what_they_say(folder, name):
    same = doctest.OutputChecker().check_output
    for session in SESSIONS[name]:
        pieces = re.split(r"^\$ (.*)\n", session, flags=re.MULTILINE)
        assert pieces[0] == ""
        commands, wanted = pieces[1::2], pieces[2::2]
        printed = run(folder, commands)
        for command, want, got in zip(commands, wanted, printed, strict=True):
            assert same(want, got, doctest.ELLIPSIS), f"$ {command}\n{got}"


def test_every_command_is_on_the_page():
    pages = {"answer": "answer.md", "classify": "classify.md", "train": "fine-tuning.md"}
    commands = "summarize answer classify inspect tokenize detokenize evaluate train trace check kit"
    for command in commands.split():
        sessions = SESSIONS[pages.get(command, "cli.md")]
        assert any(re.search(rf"^\$.*\bpyled {command}\b", session, re.MULTILINE) for session in sessions)


def test_the_exit_statuses_are_those_of_the_parser():
    rows = re.findall(r"^\| (\d+) \| ([^|;]+?)(?:;[^|]*)? \|$", PAGES["cli.md"], re.MULTILINE)
    assert {int(status): meaning for status, meaning in rows} == EXIT_STATUS
