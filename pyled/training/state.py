"""6. The state of a training in one file, so that a training that was cut off goes on as if it had not been.

A file of safetensors: the trained weights, the optimizer's two means of each, and, as bytes of JSON, where the training
stands. No state of a random generator is needed: orders and masks depend on the seed and the step alone.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import read_safetensors
from ..checkpoint.safetensors import in_safetensors
from ..errors import CheckpointError, InputError, brief
from ..files import finish_replacing, parse_json, replace_files
from .optimizer import AdamW, Moments

STATE, LOG = "training.state", "training.jsonl"
_WORDS = "place"  # the tensor of the JSON
_PARTS = ("weight", "mean", "square")


@dataclass
class Place:
    """Where a training stands.

    identity: all that its result depends on, by name
    step: how many steps are done; best: the least loss of a validation so far
    log: a record of each step and of each validation so far
    """

    identity: dict[str, Any]
    step: int = 0
    best: float | None = None
    log: list[dict[str, Any]] = field(default_factory=list)


def write_state(folder: Path, place: Place, optimizer: AdamW) -> None:
    """Replace the state in a folder, and the log as lines of JSON, both together. Raises OSError."""
    tensors: dict[str, Any] = {}
    steps: dict[str, int] = {}
    for name, moments in optimizer.moments.items():
        arrays = optimizer.weight(name), moments.mean, moments.square
        tensors |= {f"{part} {name}": array for part, array in zip(_PARTS, arrays, strict=True)}
        steps[name] = moments.steps
    words = json.dumps({**asdict(place), "steps": steps}).encode()
    tensors[_WORDS] = np.frombuffer(words, np.uint8)
    path = folder / STATE
    contents: dict[Path, Iterable[bytes]] = {path: in_safetensors(path, tensors), folder / LOG: log_lines(place)}
    replace_files(contents)


def log_lines(place: Place) -> list[bytes]:
    """Return the log as lines of JSON."""
    return [json.dumps(record).encode() + b"\n" for record in place.log]


def read_state(folder: Path, identity: dict[str, Any], optimizer: AdamW) -> Place | None:
    """Set the weights and the optimizer as the state in a folder has them, and return its place; None for no state.

    Raises InputError for the state of a training that differs in its identity, CheckpointError for a damaged file.
    """
    if folder.is_dir():
        finish_replacing(folder)
    path = folder / STATE
    if not path.exists():
        return None
    tensors = read_safetensors(path)
    try:
        words = parse_json(bytes(tensors.pop(_WORDS)), str(path), CheckpointError, digits=20)
        steps, place = words.pop("steps"), Place(**words)
        differing = [name for name, value in identity.items() if place.identity[name] != value]
        if not differing:
            for name, count in steps.items():
                weight, mean, square = (tensors[f"{part} {name}"] for part in _PARTS)
                optimizer.weight(name)[...] = weight
                optimizer.moments[name] = Moments(np.array(mean), np.array(square), count)
    except (KeyError, TypeError, ValueError) as e:
        raise CheckpointError(f"{path}: holds no state of this version of pyled ({e}): remove it") from None
    if differing:
        each = ", ".join(_difference(name, place.identity[name], identity[name]) for name in differing)
        remedy = "go on with the same, pass force=True to start anew, or name another directory"
        raise InputError(f"{path} is of a training with {each}: {remedy}")
    return place


def _difference(name: str, before: Any, now: Any) -> str:
    """Return how two trainings differ, as a message shows it."""
    digests = {"model": "another model", "examples": "other examples", "validation": "another validation"}
    return digests.get(name) or f"{name}={brief(before)}, not {brief(now)}"
