"""Hugging Face's names: arguments in, checked; arrays out."""

from .base import DType, PreTrainedModel
from .conditional_generation import LEDForConditionalGeneration
from .seq2seq import LEDModel
from .stacks import LEDDecoder, LEDEncoder

AutoModelForSeq2SeqLM = LEDForConditionalGeneration  # the name by which scripts of transformers load any such model

__all__ = [
    "AutoModelForSeq2SeqLM",
    "DType",
    "LEDDecoder",
    "LEDEncoder",
    "LEDForConditionalGeneration",
    "LEDModel",
    "PreTrainedModel",
]
