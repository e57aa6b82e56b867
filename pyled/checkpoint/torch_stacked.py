"""torch's older files (0.1.10 to 1.5): five pickles in a row, then the storages, each behind its number of elements.

The pickles are a number that marks the format, the version of the format, facts about the machine, the state dict, and
the keys of the storages in their order.
"""

from typing import Any

from ..errors import CheckpointError
from .pickles import LARGEST, Machine, StoredTensor, state_dict
from .safetensors import DTYPES
from .torch_zip import Span
from .weight_file import DamagedError

START = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")  # the whole first pickle
VERSION = 1001
LENGTH = 8  # bytes of a number of elements


def read_stacked(data: memoryview) -> tuple[dict[str, StoredTensor], dict[str, Span]]:
    """Return the tensors of a file, and where each of their storages lies. Raises CheckpointError."""
    head, position = data[: len(START) + LARGEST], len(START)
    machines, values = [], []
    for _ in range(4):
        machines.append(Machine(head, position, has_views=True))
        values.append(machines[-1].run())
        position = machines[-1].position
    version, facts, content, keys = values
    _check_facts(version, facts)
    tensors, storages = state_dict(content), machines[2].storages
    if keys != sorted(storages):
        said = "its list of storages does not hold the keys of its tensors' storages, sorted"
        raise DamagedError(said, "stacked-keys")
    spans: dict[str, Span] = {}
    for key in keys:
        begin = position + LENGTH
        length = int.from_bytes(data[position:begin], "little")
        if begin > len(data):
            raise DamagedError(f"cut short before storage {key}", "data-cut-short")
        if length != storages[key].length:
            said = f"storage {key} has {length:,} elements, its tensors name {storages[key].length:,}"
            raise DamagedError(said, "storage-size")
        position = begin + length * DTYPES[storages[key].dtype].itemsize
        if position > len(data):
            raise DamagedError(
                f"cut short: storage {key} ends at byte {position:,}, the data at {len(data):,}", "data-cut-short"
            )
        spans[key] = begin, position
    if position < len(data):
        said = f"bytes that no storage has: the storages end at byte {position:,}, the data at {len(data):,}"
        raise DamagedError(said, "data-left-over")
    return tensors, spans


def _check_facts(version: Any, facts: Any) -> None:
    if type(version) is not int or type(facts) is not dict or not version == facts.get("protocol_version") == VERSION:
        raise DamagedError(f"its version is not {VERSION}, or it says nothing of its machine", "stacked-header")
    if facts.get("little_endian") is not True:
        raise CheckpointError("its numbers are big-endian: save it on a machine that is little-endian", "byte-order")
