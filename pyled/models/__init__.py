"""Hugging Face's names: arguments in, checked; arrays out."""

from .base import DType, PreTrainedModel
from .conditional_generation import LEDForConditionalGeneration
from .seq2seq import LEDModel
from .stacks import LEDDecoder, LEDEncoder

__all__ = ["DType", "LEDDecoder", "LEDEncoder", "LEDForConditionalGeneration", "LEDModel", "PreTrainedModel"]
