"""LED, the Longformer Encoder-Decoder (Beltagy, Peters, Cohan 2020), on NumPy and Numba.

The names below are imported when they are first used: importing Numba takes half a second, which `pyled --help`,
or a program that only reads a configuration, need not wait for.
"""

TYPE_CHECKING = False  # type checkers take it for True; typing itself is not needed to start a command

if TYPE_CHECKING:
    from typing import Any

    from .config import LEDConfig
    from .errors import PyledError, PyledWarning
    from .generation import TextIteratorStreamer, TextStreamer
    from .generation_config import GenerationConfig
    from .hub import SYNOPSIS
    from .models import (
        AutoModelForQuestionAnswering,
        AutoModelForSeq2SeqLM,
        AutoModelForSequenceClassification,
        LEDForConditionalGeneration,
        LEDForQuestionAnswering,
        LEDForSequenceClassification,
        LEDModel,
    )
    from .models.outputs import (
        LEDEncoderBaseModelOutput,
        LEDSeq2SeqLMOutput,
        LEDSeq2SeqModelOutput,
        LEDSeq2SeqQuestionAnsweringModelOutput,
        LEDSeq2SeqSequenceClassifierOutput,
    )
    from .models.tensorflow import (
        TFLEDEncoderBaseModelOutput,
        TFLEDForConditionalGeneration,
        TFLEDModel,
        TFLEDSeq2SeqLMOutput,
        TFLEDSeq2SeqModelOutput,
    )
    from .network.cache import Cache
    from .tasks import (
        Answer,
        Answerer,
        Classification,
        Classifier,
        Documents,
        Reading,
        Summarizer,
        Summary,
        answer,
        classify,
        summarize,
    )
    from .tokenizer import AddedToken, AutoTokenizer, BatchEncoding, LEDTokenizer, LEDTokenizerFast
    from .training import AdamW
    from .version import __version__

_MODULES = {
    "SYNOPSIS": "hub",
    "AdamW": "training",
    "AddedToken": "tokenizer",
    "Answer": "tasks",
    "Answerer": "tasks",
    "AutoModelForQuestionAnswering": "models",
    "AutoModelForSeq2SeqLM": "models",
    "AutoModelForSequenceClassification": "models",
    "AutoTokenizer": "tokenizer",
    "BatchEncoding": "tokenizer",
    "Cache": "network.cache",
    "Classification": "tasks",
    "Classifier": "tasks",
    "Documents": "tasks",
    "GenerationConfig": "generation_config",
    "LEDConfig": "config",
    "LEDEncoderBaseModelOutput": "models.outputs",
    "LEDForConditionalGeneration": "models",
    "LEDForQuestionAnswering": "models",
    "LEDForSequenceClassification": "models",
    "LEDModel": "models",
    "LEDSeq2SeqLMOutput": "models.outputs",
    "LEDSeq2SeqModelOutput": "models.outputs",
    "LEDSeq2SeqQuestionAnsweringModelOutput": "models.outputs",
    "LEDSeq2SeqSequenceClassifierOutput": "models.outputs",
    "LEDTokenizer": "tokenizer",
    "LEDTokenizerFast": "tokenizer",
    "PyledError": "errors",
    "PyledWarning": "errors",
    "Reading": "tasks",
    "Summarizer": "tasks",
    "Summary": "tasks",
    "TextIteratorStreamer": "generation",
    "TextStreamer": "generation",
    "TFLEDEncoderBaseModelOutput": "models.tensorflow",
    "TFLEDForConditionalGeneration": "models",
    "TFLEDModel": "models",
    "TFLEDSeq2SeqLMOutput": "models.tensorflow",
    "TFLEDSeq2SeqModelOutput": "models.tensorflow",
    "__version__": "version",
    "answer": "tasks",
    "classify": "tasks",
    "summarize": "tasks",
}

__all__ = [
    "SYNOPSIS",
    "AdamW",
    "AddedToken",
    "Answer",
    "Answerer",
    "AutoModelForQuestionAnswering",
    "AutoModelForSeq2SeqLM",
    "AutoModelForSequenceClassification",
    "AutoTokenizer",
    "BatchEncoding",
    "Cache",
    "Classification",
    "Classifier",
    "Documents",
    "GenerationConfig",
    "LEDConfig",
    "LEDEncoderBaseModelOutput",
    "LEDForConditionalGeneration",
    "LEDForQuestionAnswering",
    "LEDForSequenceClassification",
    "LEDModel",
    "LEDSeq2SeqLMOutput",
    "LEDSeq2SeqModelOutput",
    "LEDSeq2SeqQuestionAnsweringModelOutput",
    "LEDSeq2SeqSequenceClassifierOutput",
    "LEDTokenizer",
    "LEDTokenizerFast",
    "PyledError",
    "PyledWarning",
    "Reading",
    "Summarizer",
    "Summary",
    "TFLEDEncoderBaseModelOutput",
    "TFLEDForConditionalGeneration",
    "TFLEDModel",
    "TFLEDSeq2SeqLMOutput",
    "TFLEDSeq2SeqModelOutput",
    "TextIteratorStreamer",
    "TextStreamer",
    "__version__",
    "answer",
    "classify",
    "summarize",
]


def __getattr__(name: str) -> "Any":
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module 'pyled' has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
