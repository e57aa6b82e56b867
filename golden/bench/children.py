"""The children that measure: one process for each request, which is told in words if it fails."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[2]
PEER = Path(__file__).with_name("peer.py")  # never imported
LIBRARIES = ("OMP", "OPENBLAS", "MKL", "RAYON")  # whose threads the environment can set


class ChildError(Exception):
    """What a child could not do, in words."""


class Children:
    """Asks one child at a time, of pyled or of the other engine."""

    def __init__(self, threads: int, python: str) -> None:
        """python: the interpreter that has the other engine."""
        self._threads, self._python = threads, python
        self._running: subprocess.Popen[bytes] | None = None

    def ask(self, engine: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of a new process of pyled, or of another engine. Raises ChildError."""
        environment = {**os.environ, **{f"{name}_NUM_THREADS": str(self._threads) for name in LIBRARIES}}
        if engine == "pyled":
            # -P and this path: the pyled that asks, and not one that lies in the current directory
            path = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
            environment["PYTHONPATH"] = os.pathsep.join(path)
            command = [sys.executable, "-P", "-m", "pyled.tools.bench.worker"]
        else:
            environment |= {"HF_HUB_OFFLINE": "1", "PYTHONSAFEPATH": "1"}  # our modules have names of their own
            command = [self._python, str(PEER)]
        out, err, status = self._run([*command, json.dumps({"threads": self._threads, **request})], environment)
        lines = out.splitlines()
        try:
            answer: dict[str, Any] = json.loads(lines[-1])
        except (IndexError, ValueError):
            raise ChildError(_end(status, err)) from None
        if "error" in answer:
            raise ChildError(answer["error"])
        return answer

    def _run(self, command: list[str], environment: dict[str, str]) -> tuple[str, str, int]:
        try:
            child = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as e:
            raise ChildError(f"{command[0]}: {e.strerror}") from None
        with child:
            self._running = child
            try:
                out, err = child.communicate()
            finally:
                child.kill()
        return out.decode("utf-8", "replace"), err.decode("utf-8", "replace"), child.returncode

    def kill(self) -> None:
        """End the child that runs, if one does."""
        if self._running is not None:
            self._running.kill()


def _end(status: int, err: str) -> str:
    """How a process ended that answered nothing."""
    if status < 0:
        return f"the process was ended by signal {-status}{', perhaps for want of memory' if status == -9 else ''}"
    lines = err.strip().splitlines()
    return f"the process ended with status {status}{f': {lines[-1]}' if lines else ''}"
