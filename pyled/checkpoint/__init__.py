"""Checkpoint directories: files to weights and back."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..arrays import Floats, Weights
from ..config import LEDConfig
from ..errors import CheckpointError
from ..files import json_text, read_json, replace_files
from .conversion import convert, prepare
from .directory import read_directory
from .names import (
    LoadReport,
    account,
    assign,
    check_memory,
    expected_shapes,
    learned_shapes,
    stored_names,
    upstream_name,
)
from .rounding import Arithmetic, Storage, check_rounding, round_decoder, round_encoder
from .safetensors import in_safetensors, read_safetensors, type_name, write_safetensors

__all__ = [
    "Arithmetic",
    "LoadReport",
    "Storage",
    "account",
    "assign",
    "check_memory",
    "check_rounding",
    "convert",
    "expected_shapes",
    "learned_shapes",
    "load",
    "prepare",
    "read_safetensors",
    "round_decoder",
    "round_encoder",
    "save",
    "type_name",
    "upstream_names",
    "write_safetensors",
]


def load(
    directory: Path, config: LEDConfig, head: str | None, *, dtype: str = "float32", mmap: bool = True
) -> tuple[dict[str, Floats], LoadReport]:
    """Return the weights of a checkpoint directory, read-only, and the account of them; see `assign`.

    Raises CheckpointError, InputError.
    """
    files = read_directory(directory, mmap=mmap)
    tensors = {name: array for shard in files.values() for name, array in shard.items()}
    try:
        return assign(tensors, config, head, dtype=dtype, copy=False)
    except CheckpointError as e:
        raise e.at(directory) from None


def save(
    directory: Path, weights: Weights, config: LEDConfig, head: str | None, settings: dict[str, Any] | None = None
) -> None:
    """Replace `model.safetensors`, with these weights under upstream's names, and `config.json`, both together.

    Tied, the file holds `shared` alone of the embedding matrices, as the files of transformers do. Untied, it holds all
    four: 5.23.0 makes random numbers of those that a file lacks. 4.57.6 loads either file whole, but uses `lm_head`
    and `shared` of the untied one: there both `embed_tokens` are always `shared`.

    settings: the content of `generation_config.json`, which is replaced, too

    `config.json` is removed just before, unless it and `generation_config.json` have their coming content already, and
    comes last. So what a kill between two renamings leaves is never read as new weights with old settings, and pyled
    finishes it when the directory is read or written the next time: see `replace_files`.

    Raises CheckpointError, OSError.
    """
    texts = {"config.json": config.to_dict()}
    if settings is not None:
        texts = {"generation_config.json": settings, **texts}
    is_current = all(_holds(directory / name, value) for name, value in texts.items())
    tensors = {upstream_name(name, head): weights[name] for name in stored_names(weights, config)}
    path = directory / "model.safetensors"
    contents: dict[Path, Iterable[bytes]] = {path: in_safetensors(path, tensors)}
    contents |= {directory / name: [json_text(value).encode()] for name, value in texts.items()}
    replace_files(contents, outdated=None if is_current else directory / "config.json")


def _holds(path: Path, value: dict[str, Any]) -> bool:
    try:
        return read_json(path, CheckpointError) == value
    except CheckpointError:
        return False


def upstream_names(weights: Weights, head: str | None) -> dict[str, Any]:
    """Return the weights under the names that upstream's model with this head has."""
    return {upstream_name(name, head): array for name, array in weights.items()}
