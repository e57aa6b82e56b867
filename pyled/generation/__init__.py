"""From a function `step(ids, state) -> logits, state` to generated ids; knows no model class.

Read in this order: contract, settings, processors, greedy, beam, search.
"""

from .contract import GenerateBeamEncoderDecoderOutput, GenerateEncoderDecoderOutput, State, Step
from .search import generate
from .settings import Settings, resolve

__all__ = [
    "GenerateBeamEncoderDecoderOutput",
    "GenerateEncoderDecoderOutput",
    "Settings",
    "State",
    "Step",
    "generate",
    "resolve",
]
