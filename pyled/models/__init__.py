"""Hugging Face's names: arguments in, checked; arrays out."""

from .base import DType, PreTrainedModel
from .conditional_generation import LEDForConditionalGeneration
from .question_answering import LEDForQuestionAnswering
from .seq2seq import LEDModel
from .sequence_classification import LEDForSequenceClassification
from .stacks import LEDDecoder, LEDEncoder
from .tensorflow import TFLEDForConditionalGeneration, TFLEDModel

# The names by which scripts of transformers load any such model.
AutoModelForSeq2SeqLM = LEDForConditionalGeneration
AutoModelForQuestionAnswering = LEDForQuestionAnswering
AutoModelForSequenceClassification = LEDForSequenceClassification

__all__ = [
    "AutoModelForQuestionAnswering",
    "AutoModelForSeq2SeqLM",
    "AutoModelForSequenceClassification",
    "DType",
    "LEDDecoder",
    "LEDEncoder",
    "LEDForConditionalGeneration",
    "LEDForQuestionAnswering",
    "LEDForSequenceClassification",
    "LEDModel",
    "PreTrainedModel",
    "TFLEDForConditionalGeneration",
    "TFLEDModel",
]
