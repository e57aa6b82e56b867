"""From a function `step(ids, state) -> logits, state` to generated ids; knows no model class.

Read in this order: contract, settings, scores, rules, warpers, draws, stop_strings, streamers, decoding, greedy, beam,
search, drafts, transitions. docs/generation.md is the page for it.
"""

from .contract import GenerateBeamEncoderDecoderOutput, Generated, GenerateEncoderDecoderOutput, Search
from .search import generate
from .settings import Settings, resolve
from .streamers import Streamer, TextIteratorStreamer, TextStreamer

__all__ = [
    "GenerateBeamEncoderDecoderOutput",
    "GenerateEncoderDecoderOutput",
    "Generated",
    "Search",
    "Settings",
    "Streamer",
    "TextIteratorStreamer",
    "TextStreamer",
    "generate",
    "resolve",
]
