"""Text in, text and a record of what was done out. The first line of a file tells its place in the order of reading."""

from .answering import Answer, Answerer, answer
from .classifying import Classification, Classifier, classify
from .documents import Documents
from .loading import load
from .progress import Status, Work
from .reading import Reading, Source
from .summarizing import Summarizer, summarize
from .summary import Summary

__all__ = [
    "Answer",
    "Answerer",
    "Classification",
    "Classifier",
    "Documents",
    "Reading",
    "Source",
    "Status",
    "Summarizer",
    "Summary",
    "Work",
    "answer",
    "classify",
    "load",
    "summarize",
]
