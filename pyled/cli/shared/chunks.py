"""The file of the chunks that are done of a long text: beside its output, until the summary is written.

So an interrupt loses one chunk, and the same command goes on with the next one.
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from ...files import parse_json
from .console import OutputError
from .forms import as_json
from .interrupts import held
from .records import identity_of, key_of, setup_of

if TYPE_CHECKING:
    from ...tasks import Summarizer
    from ...tasks.summary import ChunkSummary


class Chunks(dict[str, "ChunkSummary"]):
    """The summaries of chunks by `Chunk.key`: of this model and plan those in the file, and those that are added."""

    def __init__(self, path: Path, summarizer: "Summarizer") -> None:
        from ...tasks.summary import ChunkSummary

        self._path, self._maker = path, key_of("", identity_of(setup_of(summarizer)))
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
