"""The files of a checkpoint directory that hold the weights: one file of a format, or several and an index."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import CheckpointError, brief
from ..files import read_json
from ..hub import incomplete, located
from .safetensors import read_safetensors
from .tensorflow import read_tensorflow, weight_name
from .torch_file import read_torch

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Format:
    """A format of weight files.

    single: the file that holds all weights; index: names the files that do, where there are several
    suffix: of all its files
    read: returns the tensors of one file, as `read_safetensors` does
    name: returns that of a tensor, for a key of the index
    """

    single: str
    index: str
    suffix: str
    read: Callable[..., Tensors]
    name: Callable[[str], str] = str


FORMATS = (  # the first that a directory has is read
    Format("model.safetensors", "model.safetensors.index.json", ".safetensors", read_safetensors),
    Format("pytorch_model.bin", "pytorch_model.bin.index.json", ".bin", read_torch),
    Format("tf_model.h5", "tf_model.h5.index.json", ".h5", read_tensorflow, weight_name),
)
SINGLES = [form.single for form in FORMATS]
UNREAD = ("flax_model.msgpack",)


def read_directory(directory: Path, *, mmap: bool = True) -> dict[str, Tensors]:
    """Return the tensors of a checkpoint directory as they are stored, by file and by name; see `read_safetensors`.

    Raises CheckpointError, also where the directory holds weights of another format only.
    """
    files = {path.name for path in located(directory).iterdir()}
    for form in FORMATS:
        if form.single in files:
            return {form.single: form.read(directory / form.single, mmap=mmap, as_stored=True)}
        if form.index in files:
            return _read_shards(directory, files, form, mmap=mmap)
    others = [name for name in UNREAD if name in files]
    if others:
        raise CheckpointError(
            f"{directory}: holds {', '.join(others)}, but pyled reads {' and '.join(SINGLES)}: convert it with "
            f"transformers, LEDForConditionalGeneration.from_pretrained(...).save_pretrained(...)",
            "other-format",
        )
    problem = f"neither {' nor '.join(SINGLES)}, nor the index of several files: fetch the checkpoint's weights"
    raise incomplete(directory, files, problem)


def _read_shards(directory: Path, files: set[str], form: Format, *, mmap: bool) -> dict[str, Tensors]:
    """Return the tensors of each shard, each in the one file that the index names for it, and no other."""
    index = directory / form.index
    shard_of = read_json(index, CheckpointError).get("weight_map")
    if not isinstance(shard_of, dict) or not all(isinstance(shard, str) for shard in shard_of.values()):
        raise CheckpointError(f"{index}: weight_map must map names of tensors to names of files", "weight-map")
    shard_of = {form.name(key): shard for key, shard in shard_of.items()}
    shards = sorted(set(shard_of.values()))
    for shard in shards:
        if not shard.endswith(form.suffix) or set(shard) & set("/\\:\0"):
            said = f"{index}: {brief(shard)} is no plain name of a {form.suffix} file beside the index"
            raise CheckpointError(said, "shard-name")
        if shard not in files:
            said = f"{index}: {brief(shard)} is not beside it: fetch every file of the checkpoint"
            raise CheckpointError(said, "shard-missing")
    tensors = {shard: form.read(directory / shard, mmap=mmap, as_stored=True) for shard in shards}
    for shard in shards:
        for name in tensors[shard]:
            if shard_of.get(name) != shard:
                said = f"the index has it in {shard_of[name]}" if name in shard_of else "the index does not have it"
                said = f"{directory / shard}: tensor {brief(name)} stands here, but {said}"
                raise CheckpointError(said, "tensor-elsewhere")
    if absent := sorted(name for name, shard in shard_of.items() if name not in tensors[shard]):
        said = f"{directory / shard_of[absent[0]]}: tensor {brief(absent[0])} is not here, as the index says"
        raise CheckpointError(said, "tensor-absent")
    return tensors
