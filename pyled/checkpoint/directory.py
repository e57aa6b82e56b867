"""The files of a checkpoint directory that hold the weights: one safetensors file, or several and an index."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import CheckpointError, brief
from ..files import read_json
from ..hub import incomplete, located
from .safetensors import read_safetensors

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
UNREAD = ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack")


def read_directory(directory: Path, *, mmap: bool = True) -> dict[str, dict[str, NDArray[Any]]]:
    """Return the tensors of a checkpoint directory as they are stored, by file and by name; see `read_safetensors`.

    Raises CheckpointError, also where the directory holds weights of another format only.
    """
    files = {path.name for path in located(directory, None).iterdir()}
    if SINGLE in files:
        return {SINGLE: read_safetensors(directory / SINGLE, mmap=mmap, as_stored=True)}
    if INDEX in files:
        return _read_shards(directory, files, mmap=mmap)
    others = [name for name in UNREAD if name in files]
    if others:
        raise CheckpointError(
            f"{directory}: holds {', '.join(others)}, but pyled reads {SINGLE}: convert it with transformers, "
            f"LEDForConditionalGeneration.from_pretrained(...).save_pretrained(...)",
            "other-format",
        )
    raise incomplete(directory, files, f"neither {SINGLE} nor {INDEX}: fetch the checkpoint's weights")


def _read_shards(directory: Path, files: set[str], *, mmap: bool) -> dict[str, dict[str, NDArray[Any]]]:
    """Return the tensors of each shard, each in the one file that the index names for it, and no other."""
    index = directory / INDEX
    shard_of = read_json(index, CheckpointError).get("weight_map")
    if not isinstance(shard_of, dict) or not all(isinstance(shard, str) for shard in shard_of.values()):
        raise CheckpointError(f"{index}: weight_map must map names of tensors to names of files", "weight-map")
    shards = sorted(set(shard_of.values()))
    for shard in shards:
        if not shard.endswith(".safetensors") or set(shard) & set("/\\:\0"):
            said = f"{index}: {brief(shard)} is no plain name of a .safetensors file beside the index"
            raise CheckpointError(said, "shard-name")
        if shard not in files:
            said = f"{index}: {brief(shard)} is not beside it: fetch every file of the checkpoint"
            raise CheckpointError(said, "shard-missing")
    tensors = {shard: read_safetensors(directory / shard, mmap=mmap, as_stored=True) for shard in shards}
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
