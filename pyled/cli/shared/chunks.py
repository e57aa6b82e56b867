"""The file of the chunks that are done of a long text: beside its output, until the summary is written.

So an interrupt loses one chunk, and the same command goes on with the next one.
"""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...files import parse_json
from .console import OutputError
from .forms import as_json
from .interrupts import held

if TYPE_CHECKING:
    from ...tasks import Summarizer
    from ...tasks.summary import ChunkSummary


def chunks_file(output: Path) -> Path:
    """Return the path of the chunks of an output: .NAME.chunks.jsonl."""
    return output.with_name(f".{output.name}.chunks.jsonl")


class Chunks(dict[str, "ChunkSummary"]):
    """The summaries of chunks by `Chunk.key`: of this model and plan those in the file, and those that are added."""

    def __init__(self, path: Path, summarizer: "Summarizer") -> None:
        from ...tasks.summary import ChunkSummary

        self._path, self._maker = path, _identity(summarizer)
        for line in path.read_bytes().splitlines() if path.is_file() else ():
            try:
                record = parse_json(line, "a chunk", InputError)
                key, maker = record.pop("key"), record.pop("maker")
                if maker == self._maker:
                    super().__setitem__(key, ChunkSummary(**record))
            except (InputError, AttributeError, KeyError, TypeError):
                continue  # no chunk, or the rest of one that was cut off

    def __setitem__(self, key: str, summary: "ChunkSummary") -> None:
        """Add a summary, and a line to the file. Raises OutputError."""
        super().__setitem__(key, summary)
        line = as_json({"key": key, "maker": self._maker, **asdict(summary)})
        try:
            with held():
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("ab") as file:
                    file.write(b"\n" + line.encode("utf-8"))  # subtle: the last line may have been cut off
        except OSError as e:
            raise OutputError(f"{self._path}: cannot be written: {e.strerror}") from None


def fingerprint(directory: Path) -> str:
    """Return a value that changes with the names, sizes and times of a checkpoint's files."""
    files = sorted((path.name, path.stat()) for path in directory.iterdir() if path.is_file())
    return _sha256([[name, status.st_size, status.st_mtime_ns] for name, status in files])


def _sha256(value: Any) -> str:
    return hashlib.sha256(as_json(value).encode("utf-8")).hexdigest()


def _identity(summarizer: "Summarizer") -> str:
    """Return a hash of everything that a chunk's summary depends on, but the chunk."""
    from ...tasks.loading import stored_as
    from ...tasks.summary import settings_record, versions

    model = summarizer.loaded.model
    settings = {name: setting["value"] for name, setting in settings_record(summarizer.plan).items()}
    return _sha256(
        [fingerprint(Path(summarizer.loaded.name)), versions(), model.dtype.name, stored_as(model), settings]
    )
