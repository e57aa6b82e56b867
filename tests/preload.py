"""What the workers of tests/test_workers.py import first: it counts their texts, and does what PRELOAD says."""

import functools
import os

from pyled.tasks import summarizing, summary

write_each = getattr(summarizing.Summarizer.write_each, "__wrapped__", summarizing.Summarizer.write_each)


@functools.wraps(write_each)
def counted(self, sources, *arguments):
    """Write summaries; end the process at the text "deadly"."""
    sources = list(sources)
    if any("deadly" in self.loaded.tokenizer.decode(source.chunks[0].ids[0]) for _, source in sources):
        os._exit(1)
    summarizing.Summarizer.written += len(sources)
    return write_each(self, sources, *arguments)


if not hasattr(summarizing.Summarizer, "written"):  # Dask reads this file twice
    summarizing.Summarizer.written = 0
summarizing.Summarizer.write_each = counted
if os.environ.get("PRELOAD") == "old":
    summary.__version__ = "0.0.1"
