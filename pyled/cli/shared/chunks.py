"""The chunks of a long text that are done, in a file beside its output until the summary is written.

So an interrupt loses one chunk, and the same command goes on with the next one.
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .records import Records, identity_of, key_of, setup_of

if TYPE_CHECKING:
    from ...tasks import Summarizer
    from ...tasks.summary import ChunkSummary


class Chunks(dict[str, "ChunkSummary"]):
    """The summaries of chunks by `Chunk.key`: of this model and plan those in the file, and those that are added."""

    def __init__(self, path: Path, summarizer: "Summarizer", starts_anew: bool) -> None:
        from ...tasks.summary import ChunkSummary

        self._records, self._maker = Records(path), key_of("", identity_of(setup_of(summarizer)))
        if starts_anew:  # those in the file go when the first is added
            self._records.clear()
        for key, record in self._records.items():
            maker, _, chunk = key.partition(" ")
            if maker == self._maker:
                super().__setitem__(chunk, ChunkSummary(**record["summary"]))

    def __setitem__(self, key: str, summary: "ChunkSummary") -> None:
        """Add a summary, also to the file. Raises OutputError."""
        super().__setitem__(key, summary)
        self._records.add({"key": f"{self._maker} {key}", "summary": asdict(summary)})
