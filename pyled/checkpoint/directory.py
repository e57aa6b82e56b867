"""Which files of a checkpoint directory hold the weights: one safetensors file, or several and an index."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import CheckpointError
from ..files import read_json
from ..hub import incomplete, located
from .safetensors import read_safetensors

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
UNREAD = ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack")


def read_directory(directory: Path, *, mmap: bool = True) -> dict[str, NDArray[Any]]:
    """Return the tensors of a checkpoint directory by the names in its files; see `read_safetensors`.

    Raises CheckpointError, also where the directory holds weights of another format only.
    """
    files = {path.name for path in located(directory, None).iterdir()}
    if SINGLE in files:
        return read_safetensors(directory / SINGLE, mmap=mmap)
    if INDEX in files:
        return _read_shards(directory, files, mmap=mmap)
    found = [name for name in UNREAD if name in files]
    if found:
        raise CheckpointError(
            f"{directory}: holds {', '.join(found)}, but pyled reads {SINGLE}: convert it with transformers, "
            f"LEDForConditionalGeneration.from_pretrained(...).save_pretrained(...)"
        )
    raise incomplete(directory, files, f"neither {SINGLE} nor {INDEX}: fetch the checkpoint's weights")


def _read_shards(directory: Path, files: set[str], *, mmap: bool) -> dict[str, NDArray[Any]]:
    """The tensors of all shards, each in the one file that the index names for it, and no other."""
    index = directory / INDEX
    places = read_json(index, CheckpointError).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(shard, str) for shard in places.values()):
        raise CheckpointError(f"{index}: weight_map must map names of tensors to names of files")
    shards = sorted(set(places.values()))
    for shard in shards:
        if not shard.endswith(".safetensors") or set(shard) & set("/\\:\0"):
            raise CheckpointError(f"{index}: {shard[:100]!r} is no plain name of a .safetensors file beside the index")
        if shard not in files:
            raise CheckpointError(f"{index}: {shard} is not beside it: fetch every file of the checkpoint")
    tensors: dict[str, NDArray[Any]] = {}
    for shard in shards:
        for name, array in read_safetensors(directory / shard, mmap=mmap).items():
            if places.get(name) != shard:
                said = f"the index has it in {places[name]}" if name in places else "the index does not have it"
                raise CheckpointError(f"{directory / shard}: tensor {name!r} stands here, but {said}")
            tensors[name] = array
    absent = sorted(set(places) - set(tensors))
    if absent:
        raise CheckpointError(f"{directory / places[absent[0]]}: tensor {absent[0]!r} is not here, as the index says")
    return tensors
