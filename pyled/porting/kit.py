"""Write the conformance kit: cases that say what a port of LED must give, in files that any language reads.

KIT/README.md, which is `kit.md` of this folder, is the page for whoever writes a port.
"""

import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from ..models import LEDForConditionalGeneration
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


def write_kit(
    folder: Path, sizes: Sequence[str] = ("tiny",), *, weights: bool = False,
    before: Callable[[str, str], None] = lambda part, case: None,
) -> None:  # fmt: skip
    """Write a kit, the same bytes each time, into a folder that appears when all of it is written.

    sizes: of "tiny" and "base", the shape of LED-base
    weights: whether each case holds its weights, too, as model.safetensors
    before: called with part and case before each

    Raises InputError, OSError.
    """
    check_kit(folder, sizes)
    folder = folder.absolute()
    beside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    try:
        beside.mkdir(parents=True)
        manifest: dict[str, Any] = {"format": FORMAT, "pyled": __version__, "sizes": [*sizes], "seed": SEED, "parts": {}}
        for part, case, about, write in _all(sizes, weights):
            before(part, case)
            (beside / part / case).mkdir(parents=True)
            write(beside / part / case)
            manifest["parts"].setdefault(part, {})[case] = about
        write_json(beside / "manifest.json", manifest)
        shutil.copyfile(PAGE, beside / "README.md")
        if folder.is_dir():
            folder.rmdir()  # it is empty
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _all(sizes: Sequence[str], weights: bool) -> Iterable[tuple[str, str, str, Callable[[Path], None]]]:
    """Yield part, name and words of each case, and what writes it into its folder."""
    for case in calls.forward_cases():
        if case.size in sizes:
            yield "forward", case.name, case.about, lambda folder, case=case: _write_call(folder, case, weights)


def _write_call(folder: Path, case: calls.Case, weights: bool) -> None:
    """Write a call of a model: its configuration, its arguments and what it gives."""
    config = _write_model(folder, case.config, weights)
    inputs = case.inputs()
    write_safetensors(folder / "inputs.safetensors", inputs)
    truth = _defined(config, make_weights(case.config, SEED), inputs)
    single = _defined(config, make_weights(case.config, SEED, np.float32), inputs)
    errors = {name: _error(single[name], array) for name, array in truth.items() if array.dtype.kind == "f"}
    about = {"format": "pyled trace 1", "pyled": __version__, "engine": "definition", "dtype": "float64",
             "checkpoint": case.name, "config": case.config | {"weights_seed": SEED}, "float32_error": errors}  # fmt: skip
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
    return float(np.abs(array - exact)[is_finite].max(initial=0) / max(1.0, np.abs(exact[is_finite]).max(initial=0)))


def _defined(config: LEDConfig, weights: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    weights = {name.removeprefix("led."): array for name, array in weights.items()}
    rows: list[dict[str, NDArray[Any]]] = []
    shape = inputs["input_ids"].shape
    is_real = inputs.get("attention_mask", np.ones(shape)) > 0
    is_global = inputs.get("global_attention_mask", np.zeros(shape)) > 0
    for b, ids in enumerate(inputs["input_ids"]):
        seen: dict[str, NDArray[Any]] = {}
        mask = inputs["decoder_attention_mask"][b] > 0 if "decoder_attention_mask" in inputs else None
        reference.forward(ids, inputs["decoder_input_ids"][b], is_real[b], is_global[b], weights, config,
                          lambda name, array: seen.update({name: array.copy()}), mask)  # fmt: skip
        rows.append(seen)
    stages = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        like = max((row[name] for row in rows if name in row), key=len)
        parts = [row.get(name, np.zeros_like(like)) for row in rows]
        stages[name] = np.stack([np.pad(part, [(0, len(like) - len(part))] + [(0, 0)] * (part.ndim - 1)) for part in parts])
    return stages
