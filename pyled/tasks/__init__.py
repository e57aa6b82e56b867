"""Text in, text and a record of what was done out.

The first lines of the files number them, in the order in which they are best read.
"""

from .loading import Loaded, load
from .planning import Plan
from .progress import Status, Work
from .reading import Chunk, Reader, Reading, Source
from .summarizing import Summarizer, summarize
from .summary import ChunkSummary, Summary

__all__ = [
    "Chunk",
    "ChunkSummary",
    "Loaded",
    "Plan",
    "Reader",
    "Reading",
    "Source",
    "Status",
    "Summarizer",
    "Summary",
    "Work",
    "load",
    "summarize",
]
