"""The chunks of a long text that are done, in a file beside its output until the summary is written.

So an interrupt loses the chunks at work, and the same command goes on with the others.
"""

import contextlib
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from .places import chunks_file
from .records import Records, identity_of, key_of, setup_of

if TYPE_CHECKING:
    from ...tasks import Summarizer
    from ...tasks.summary import ChunkSummary


class Chunks(dict[str, "ChunkSummary"]):
    """The summaries of chunks by `Chunk.key`: of this model and plan those in the file, and those that are added."""

    def __init__(self, path: Path, summarizer: "Summarizer", starts_anew: bool) -> None:
        """Read a file; where the run starts anew, it is replaced when the first summary is added. Raises InputError."""
        from ...tasks.summary import ChunkSummary

        self._records, self._maker = _records(path, starts_anew), key_of("", identity_of(setup_of(summarizer)))
        for key, summary in self._records.items():
            maker, _, chunk = key.partition(" ")
            if maker == self._maker:
                super().__setitem__(chunk, ChunkSummary(**summary))

    def __setitem__(self, key: str, summary: "ChunkSummary") -> None:
        """Add a summary, also to the file. Raises OutputError."""
        super().__setitem__(key, summary)
        self._records.add({"key": f"{self._maker} {key}", "summary": asdict(summary)})


def _records(path: Path, starts_anew: bool = False) -> Records:
    return Records(path, "summary", _is_summary, starts_anew)


def _is_summary(value: Any) -> bool:
    """Return True for the fields of a ChunkSummary, each of its type."""
    from ...tasks.summary import ChunkSummary

    types: dict[str, Any] = {field.name: field.type for field in fields(ChunkSummary)}
    is_whole = isinstance(value, dict) and value.keys() == types.keys()
    return is_whole and all(isinstance(value[name], type_) for name, type_ in types.items())


def remove_chunks(path: Path) -> None:
    """Remove the finished chunks of an output; another file by that name stays. Raises OSError."""
    with contextlib.suppress(InputError):
        file = chunks_file(path)
        _records(file)
        file.unlink(missing_ok=True)
