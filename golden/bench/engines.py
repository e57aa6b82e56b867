"""The engines that do works, and their processes: one for each request."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).resolve().with_name("worker.py")
LIBRARIES = ("NUMBA", "OMP", "OPENBLAS", "MKL", "RAYON")  # whose threads the environment sets
# What is said of an engine behind its place; the last ones are how it trains in LED-base's shape, if not "recompute".
OPTIONS = {"bf16": "weights", "int8": "weights", "int16": "encoder", "selective": "policy", "keep": "policy"}


class ChildError(Exception):
    """A child could not do what it was asked; the message says why."""


@dataclass(frozen=True)
class Engine:
    """One that does the works: the pyled of the folder `place`, or torch in the interpreter `place`.

    options: of `from_pretrained`, where they are not float32; and `policy`
    """

    name: str
    place: Path
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The engine's name for worker.py."""
        return "pyled" if self.place.is_dir() else "torch"

    def ask(self, threads: int, **request: Any) -> dict[str, Any]:
        """Return the answer of a new process. Raises ChildError."""
        environment = {**os.environ, **{f"{name}_NUM_THREADS": str(threads) for name in LIBRARIES}}
        environment |= {"OPENBLAS_THREAD_TIMEOUT": "4", "HF_HUB_OFFLINE": "1", "PYTHONSAFEPATH": "1"}
        python = str(self.place)
        if self.kind == "pyled":
            path = [str(self.place), *filter(None, [os.environ.get("PYTHONPATH")])]
            environment["PYTHONPATH"], python = os.pathsep.join(path), sys.executable
        request |= {"engine": self.kind, "checkout": str(self.place), "options": dict(self.options), "threads": threads}
        command = [python, str(WORKER), json.dumps(request)]
        try:
            done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True)
        except OSError as e:
            raise ChildError(f"{python}: {e.strerror}") from None
        try:
            answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        except (IndexError, ValueError):
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise ChildError(": ".join([f"the process ended with status {done.returncode}", *last])) from None
        if "error" in answer:
            raise ChildError(answer["error"])
        return answer


def engine(text: str) -> Engine:
    """Return the engine that PLACE or PLACE:OPTION+OPTION names. Raises ValueError where nothing is there.

    engine("../before:int16+int8") is the pyled of that folder with an encoder in int16 and weights in int8. Its name
    is "before:int16+int8", that of this checkout begins with "pyled", and that of an interpreter with "torch".
    """
    head, _, tail = text.rpartition(":")
    options = {OPTIONS[option]: option for option in tail.split("+") if option in OPTIONS}
    place = Path(head if options else text)
    if not (place / "pyled" / "__init__.py").exists() and not place.is_file():
        raise ValueError(f"{place}: neither a folder with a pyled/ in it nor a Python interpreter")
    # An interpreter keeps its path: a link of a virtual environment leads out of it.
    place = place.resolve() if place.is_dir() else place.absolute()
    name = "torch" if place.is_file() else "pyled" if place == CHECKOUT else place.name
    return Engine(":".join([name, *([tail] if options else [])]), place, options)
