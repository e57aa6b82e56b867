"""Where the truth comes from that a port is compared with: a trace, a case of a kit, or a checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checkpoint
from ..arrays import Floats
from ..config import LEDConfig
from ..errors import CheckpointError, InputError, PyledError
from ..network.observe import Stages
from .comparing import Names, renamed
from .dumps import read
from .measures import hash_of
from .recipe import make_weights
from .stages import INPUTS, head_of

FORMAT = "pyled trace 1"
EXPECTED = "expected.safetensors"  # of a case of a kit


@dataclass
class Truth:
    """What a dump is compared with.

    arrays: the stages and, as `in.NAME`, the inputs
    about: what they are of, see `dumps`
    weights: in float64 by their names without `led.`; None where they were not to be had, which `notes` explain
    """

    arrays: Mapping[str, NDArray[Any]]
    about: Mapping[str, Any]
    weights: Mapping[str, Floats] | None = None
    notes: list[str] = field(default_factory=list)


def truth_for(
    against: Path, theirs: Mapping[str, NDArray[Any]], names: Names | None = None, model: str | None = None
) -> Truth:
    """Return the truth for a dump.

    against: a trace, the folder of a case of a kit, or the directory of a checkpoint: then theirs has the inputs, too
    names: as `comparing.check` takes them
    model: the directory of the weights; None for the one that the trace names

    Raises CheckpointError, InputError.
    """
    is_case = (against / EXPECTED).is_file()
    if (against / "config.json").is_file() and not is_case:
        return _traced(against, theirs, names)
    dump = read(against / EXPECTED if is_case else against)
    about = dump.about
    if about.get("format") != FORMAT or not isinstance(about.get("config"), dict):
        raise CheckpointError(f"{against}: is no trace: write one with pyled trace", "no-trace")
    truth = Truth(dump, about)
    try:
        truth.weights = _weights(about["config"], model or str(about.get("checkpoint")), about.get("weights"))
    except PyledError as e:
        truth.notes.append(f"no known mistake is tried without the weights: {e}")
    return truth


def _traced(directory: Path, theirs: Mapping[str, NDArray[Any]], names: Names | None) -> Truth:
    """Return the stages that a port has dumped, computed from its inputs."""
    from .tracing import Call  # Numba, which other comparisons need not wait for

    own = {renamed(name, names): name for name in theirs}
    inputs = {name: np.atleast_2d(theirs[own[f"in.{name}"]]) for name in INPUTS if f"in.{name}" in own}
    if "input_ids" not in inputs:
        raise InputError(f"the dump holds no in.input_ids, from which {directory} is traced: dump it, or pass a trace")
    call = Call(directory, inputs, "fast", "float64", ",".join(filter(None, own)), gradients=False)
    arrays = Stages()
    call.run(arrays)
    about = call.about() | {"float32_error": call.float32_errors(arrays.__getitem__)}
    return Truth(arrays, about, _weights(about["config"], str(directory)))


def _weights(stated: Mapping[str, Any], model: str, digest: str | None = None) -> dict[str, Floats]:
    """Return the weights of a model: by the recipe, where its configuration has the seed, or from a directory.

    digest: what `hash_of` the weights from a directory must be, or None. Raises InputError where it is not.
    """
    config = LEDConfig.from_dict(dict(stated))
    if "weights_seed" in stated:
        weights = make_weights({**stated, "num_labels": config.num_labels}, stated["weights_seed"], np.float64)
        return {name.removeprefix("led."): array for name, array in weights.items()}
    weights = checkpoint.load(Path(model), config, head_of(config), dtype="float64")[0]
    if digest is not None and hash_of(weights) != digest:
        raise InputError(f"the weights of {model} are not those of the trace: trace it anew, or name its checkpoint")
    return weights
