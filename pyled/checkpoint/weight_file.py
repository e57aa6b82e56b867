"""What the readers of weight files share: a file is opened, held as bytes, and each mistake in it becomes one error."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..arrays import physical_memory
from ..errors import CheckpointError
from ..files import open_file

MAX_SIZE = 2**48 - 1  # of a dimension, an offset or a tensor, by the JSON schema of safetensors


class DamagedError(CheckpointError):
    """A file breaks a rule of its format; the message still lacks the file's name and the remedy."""


@contextlib.contextmanager
def reading(path: Path, *, mmap: bool) -> Iterator[tuple[BinaryIO, int]]:
    """Open a weight file, and give it with its size. Raises CheckpointError for what goes wrong meanwhile.

    Its message has the path in front and the remedy at the end.
    """
    size = 0
    try:
        with open_file(path, CheckpointError) as file:
            size = os.fstat(file.fileno()).st_size
            yield file, size
    except OSError as e:
        raise CheckpointError(f"{path}: cannot be read: {e.strerror or e}", "unreadable") from None
    except MemoryError:
        remedy = "free some" if mmap else "read it with mmap=True"
        raise CheckpointError(f"{path}: its {size:,} bytes do not fit into memory: {remedy}", "memory") from None
    except DamagedError as e:
        raise CheckpointError(f"{path}: {e}. The file is damaged: fetch it again, or write it anew", e.rule) from None
    except CheckpointError as e:
        raise e.at(path) from None


def bytes_of(file: BinaryIO, start: int, size: int, mmap: bool) -> NDArray[np.uint8]:
    """Return the bytes of a file from a place on, read-only: those of a map, or of memory.

    start: where the file stands, too; size: of the file
    """
    if not mmap and size > physical_memory():
        raise MemoryError
    try:
        data = np.memmap(file, np.uint8, "r")[start:] if mmap else np.fromfile(file, np.uint8, size - start)
    except ValueError:  # there is nothing left to map
        data = np.zeros(0, np.uint8)
    if len(data) != size - start:
        raise CheckpointError(f"was of {size:,} bytes and changed while it was read: read it again", "changed")
    data.flags.writeable = False
    return data


def are_sizes(values: Any) -> bool:
    """Return whether a list or tuple holds plain integers only, each from 0 to MAX_SIZE."""
    return isinstance(values, list | tuple) and all(type(value) is int and 0 <= value <= MAX_SIZE for value in values)
