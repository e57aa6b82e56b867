"""Write the conformance kit: cases that say what a port of LED must give, in files that any language reads.

KIT/README.md, which is `kit.md` of this folder, is the page for whoever writes a port.
"""

import math
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import reference
from ..checkpoint.safetensors import write_safetensors
from ..config import LEDConfig
from ..errors import InputError, brief
from ..files import is_there, write_json
from ..network.observe import Stages
from ..version import __version__
from . import cases as calls
from .dumps import Writer
from .recipe import TIED, make_weights, shapes

FORMAT = "pyled kit 1"
PARTS = ("forward", "gradients", "generate", "tokenize", "refuse")
SIZES = ("tiny", "base")
SEED = 0  # of the weights of all cases
PAGE = Path(__file__).parent / "kit.md"


def check_kit(folder: Path, sizes: Sequence[str]) -> None:
    """Raise InputError for a folder that holds something, and for a size that there is not."""
    for size in sizes:
        if size not in SIZES:
            raise InputError(f"{brief(size)} is no size of a kit: name some of {', '.join(SIZES)}")
    if is_there(folder, InputError) and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder} is there already: name another folder, or remove it")


def write_kit(folder: Path, sizes: Sequence[str] = ("tiny",), *, weights: bool = False) -> None:
    """Write a kit, the same bytes each time, into a folder that appears when all of it is written.

    sizes: of "tiny" and "base", the shape of LED-base
    weights: whether each case holds its weights, too, as model.safetensors

    Raises InputError, OSError.
    """
    check_kit(folder, sizes)
    folder = folder.absolute()
    beside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    try:
        beside.mkdir(parents=True)
        listed = []
        for part, case, about, write in _all(sizes, weights):
            (beside / part / case).mkdir(parents=True)
            write(beside / part / case)
            listed.append({"part": part, "case": case, "about": about})
        manifest = {"format": FORMAT, "pyled": __version__, "sizes": [*sizes], "weights_seed": SEED, "cases": listed}
        write_json(beside / "manifest.json", manifest)
        shutil.copyfile(PAGE, beside / "README.md")
        if folder.is_dir():
            folder.rmdir()  # it is empty
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def size_of(sizes: Sequence[str], weights: bool) -> int:
    """Return about how many bytes a kit takes."""
    total = 0
    for case in calls.forward_cases():
        if case.size in sizes and weights:
            total += 4 * sum(math.prod(shape) for name, shape in shapes(case.config).items() if name not in TIED[1:])
    return total


def _all(sizes: Sequence[str], weights: bool) -> Iterator[tuple[str, str, str, Callable[[Path], None]]]:
    """Yield part, name and words of each case, and what writes it into its folder."""
    for case in calls.forward_cases():
        if case.size in sizes and "architectures" not in case.config:
            yield "forward", case.name, case.about, partial(_write_call, case, weights)


def _write_call(case: calls.Case, weights: bool, folder: Path) -> None:
    """Write a call of a model: its configuration, its arguments and what it gives."""
    config, inputs = _write_model(folder, case.config, weights), case.inputs()
    write_safetensors(folder / "inputs.safetensors", inputs)
    truth, single = (
        _defined(config, make_weights(case.config, SEED, dtype), inputs) for dtype in (np.float64, np.float32)
    )
    about = {
        "format": "pyled trace 1", "pyled": __version__, "engine": "definition", "dtype": "float64",
        "checkpoint": case.name, "config": {**case.config, "weights_seed": SEED},
        "float32_error": {name: _error(single[name], x) for name, x in truth.items() if x.dtype.kind == "f"},
    }  # fmt: skip
    arrays = {f"in.{name}": array for name, array in inputs.items()} | truth
    stages = [SimpleNamespace(name=name, shape=array.shape, dtype=array.dtype) for name, array in arrays.items()]
    with Writer(folder / "expected.safetensors", stages, about) as writer:
        for name, array in arrays.items():
            writer.write(name, array)


def _write_model(folder: Path, stated: Mapping[str, Any], weights: bool) -> LEDConfig:
    """Write a configuration, and where they are asked for its weights, each tied one once; return the former."""
    write_json(folder / "config.json", {**stated, "weights_seed": SEED})
    config = LEDConfig.from_dict(stated)
    if weights:
        tensors = make_weights(stated, SEED, np.float32)
        left_out = TIED[1:] if config.tie_word_embeddings else ()
        write_safetensors(folder / "model.safetensors", {n: a for n, a in tensors.items() if n not in left_out})
    return config


def _error(array: NDArray[Any], exact: NDArray[Any]) -> float:
    is_finite = np.isfinite(exact)
    array, exact = array[is_finite], exact[is_finite]
    return float(np.abs(array - exact).max(initial=0) / max(1.0, np.abs(exact).max(initial=0)))


def _defined(config: LEDConfig, weights: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the stages of the definition, documents one behind the other."""
    weights = {name.removeprefix("led."): array for name, array in weights.items()}
    rows: list[Stages] = []
    shape = inputs["input_ids"].shape
    is_real = inputs.get("attention_mask", np.ones(shape)) > 0
    is_global = inputs.get("global_attention_mask", np.zeros(shape)) > 0
    is_key = [mask > 0 for mask in inputs["decoder_attention_mask"]] if "decoder_attention_mask" in inputs else None
    for b, ids in enumerate(inputs["input_ids"]):
        rows.append(Stages())
        mask = None if is_key is None else is_key[b]
        targets = inputs["decoder_input_ids"][b]
        reference.forward(ids, targets, is_real[b], is_global[b], weights, config, rows[-1], mask)
    stages = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        like = max((row[name] for row in rows if name in row), key=len)
        parts = [row.get(name, np.zeros_like(like)) for row in rows]
        pads = [[(0, len(like) - len(part))] + [(0, 0)] * (part.ndim - 1) for part in parts]
        stages[name] = np.stack([np.pad(part, pad) for part, pad in zip(parts, pads, strict=True)])
    return stages
