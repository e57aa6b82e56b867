"""From a function `step(ids, state) -> logits, state` to generated ids; knows no model class.

Read in this order: contract, settings, rules, decoding, greedy, beam, search. docs/generation.md is the page for it.
"""

from .contract import GenerateBeamEncoderDecoderOutput, GenerateEncoderDecoderOutput
from .search import generate
from .settings import Settings, resolve

__all__ = ["GenerateBeamEncoderDecoderOutput", "GenerateEncoderDecoderOutput", "Settings", "generate", "resolve"]
