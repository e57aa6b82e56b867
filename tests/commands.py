"""What the tests of the command line share: short texts, the command as a process, and a terminal to watch it on."""

import os
import pty
import subprocess
import sys
from pathlib import Path

from checkpoints import TINY, summary

import pyled

PACKAGE = Path(pyled.__file__).parent
SHORT = "The keeper wrote it down."
LAMP = str(TINY / "documents" / "lamp.txt")


def expected(text, **settings):
    """The library's summary, of a few tokens."""
    return summary(text, **{"max_length": 5, **settings}).text


def process(*arguments, package=PACKAGE.parent, **more):
    """The arguments of a subprocess that runs the command."""
    environment = {**os.environ, "PYTHONPATH": str(package), "NUMBA_NUM_THREADS": "1", **more.pop("env", {})}
    # -P: this package, and not the one that may lie in the current directory
    return dict(args=[sys.executable, "-P", "-m", "pyled", *map(str, arguments)], env=environment, **more)


def watched(arguments, until=None, then=None, **more):
    """Run with a terminal as standard error; `then(process)` once `until` was seen. (status, output, the terminal's)"""
    master, terminal = pty.openpty()
    with subprocess.Popen(**process(*arguments, stdout=subprocess.PIPE, stderr=terminal, **more)) as child:
        os.close(terminal)
        seen = b""
        while True:
            try:
                seen += os.read(master, 4096)
            except OSError:  # the other end is closed
                break
            if until is not None and until in seen:
                then(child)
                until = None
        out = child.stdout.read()
    os.close(master)
    return child.returncode, out.decode("utf-8"), seen.decode("utf-8")
