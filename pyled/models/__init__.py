"""The models under Hugging Face's names: arguments in, arrays out."""

from .led import DType, LEDDecoder, LEDEncoder, LEDForConditionalGeneration, LEDModel

__all__ = ["DType", "LEDDecoder", "LEDEncoder", "LEDForConditionalGeneration", "LEDModel"]
