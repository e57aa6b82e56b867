"""LED, the Longformer Encoder-Decoder (Beltagy, Peters, Cohan 2020), on NumPy and Numba.

The names below are imported when they are first used: importing Numba takes half a second, which `pyled --help`,
or a program that only reads a configuration, need not wait for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cache import Cache
    from .config import LEDConfig
    from .errors import PyledError, PyledWarning
    from .generation_config import GenerationConfig
    from .models import LEDForConditionalGeneration, LEDModel
    from .outputs import LEDEncoderBaseModelOutput, LEDSeq2SeqLMOutput, LEDSeq2SeqModelOutput
    from .tasks import Summary, summarize
    from .tokenizer import AddedToken, BatchEncoding, LEDTokenizer, LEDTokenizerFast
    from .version import __version__

_MODULES = {
    "AddedToken": "tokenizer",
    "BatchEncoding": "tokenizer",
    "Cache": "cache",
    "GenerationConfig": "generation_config",
    "LEDConfig": "config",
    "LEDEncoderBaseModelOutput": "outputs",
    "LEDForConditionalGeneration": "models",
    "LEDModel": "models",
    "LEDSeq2SeqLMOutput": "outputs",
    "LEDSeq2SeqModelOutput": "outputs",
    "LEDTokenizer": "tokenizer",
    "LEDTokenizerFast": "tokenizer",
    "PyledError": "errors",
    "PyledWarning": "errors",
    "Summary": "tasks",
    "__version__": "version",
    "summarize": "tasks",
}

__all__ = [
    "AddedToken",
    "BatchEncoding",
    "Cache",
    "GenerationConfig",
    "LEDConfig",
    "LEDEncoderBaseModelOutput",
    "LEDForConditionalGeneration",
    "LEDModel",
    "LEDSeq2SeqLMOutput",
    "LEDSeq2SeqModelOutput",
    "LEDTokenizer",
    "LEDTokenizerFast",
    "PyledError",
    "PyledWarning",
    "Summary",
    "__version__",
    "summarize",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'pyled' has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
