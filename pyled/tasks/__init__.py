"""Text in, text and a record of what was done out.

To be read in this order: `reading` (how a text is read, and cut), `summary` (the record), `summarizer` (the work).
"""

from .reading import Chunk, Reading, Source
from .summarizer import Plan, Progress, StageProgress, Summarizer, summarize
from .summary import ChunkSummary, Summary

__all__ = [
    "Chunk",
    "ChunkSummary",
    "Plan",
    "Progress",
    "Reading",
    "Source",
    "StageProgress",
    "Summarizer",
    "Summary",
    "summarize",
]
