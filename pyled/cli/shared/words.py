"""What the library says, in the words of the command line: options for arguments, a remedy for each kind of error."""

import re
from typing import Any

from ...errors import PyledError
from ...generation_config import KNOWN
from .settings import OPTIONS

# Who set a setting, in the words of the command line; files are called by their names.
_ORIGINS = {"call": "command line", "generation_config": "--generation-config"}

_WITH_VALUE = ("revision(?==)", "tokenizer(?==)")  # options where a value follows
# Arguments of the library that are options here. A name that is a plain word, too, is one only where a value follows.
_TRAINING = ("max_source_tokens", "max_target_tokens", "weight_decay", "label_smoothing")
_ARGUMENTS = "|".join(
    ("too_long", "chunk_tokens", "global_attention", "early_stopping", *OPTIONS, *_WITH_VALUE, *_TRAINING)
)
_WORDS = "overlap|combine|dtype|weights|encoder|ablate|force|names|stream"
_WORDS += "|engine|gradients|stages|accumulate|batch|epochs|lr|schedule|steps|train|validate|warmup"
_PARAMS = "|".join(sorted(KNOWN - {"early_stopping", *OPTIONS}))  # those of -p
_ARGUMENT = re.compile(
    rf"(?<!\.json: )(?<![\w.'/-])(?:({_ARGUMENTS})(?![\w.]\w)"
    rf"|((?:{_WORDS})(?==| is | ')|(?:top_k|max_answer_len)(?= is ))"
    rf"|({_PARAMS})(?==[\w'-]))"
    r"(?:=('[^']*'|[\w.-]*\w))?+(?! \([\w-]+\.json\))"
)


def in_flags(message: str) -> str:
    """Return a message of the library in the words of the command line: options for arguments.

    >>> in_flags("max_length=9 (call) goes before max_length=40 (config.json): pass too_long='chunk'")
    '--max-length 9 (command line) goes before max_length=40 (config.json): pass --too-long chunk'
    >>> in_flags("remove_invalid_values is 3: it must be True or False; pass do_sample=False")
    'remove_invalid_values is 3: it must be true or false; pass -p do_sample false'
    """

    def flag(match: re.Match[str]) -> str:
        if match[3]:
            return f"-p {match[3]} {match[4]}"
        name = (match[1] or match[2]).replace("_", "-").removesuffix("-attention")
        return f"--{name}" + (f" {match[4].strip(chr(39))}" if match[4] not in (None, "True") else "")

    message = _ARGUMENT.sub(flag, message).replace("see GenerationConfig for", "see docs/generation.md for")
    for python, json in {"None": "null", "True": "true", "False": "false"}.items():
        message = re.sub(rf"(?<![\w./'-]){python}(?![\w/'-]|\.\w)", json, message)
    for origin, words in _ORIGINS.items():
        message = message.replace(f"({origin})", f"({words})")
    return message.replace("false or 'never'", "false or never")


def name_origins(settings: dict[str, Any]) -> None:
    """Say, for each setting of a record, who set it, in the words of the command line."""
    for setting in settings.values():
        setting["origin"] = _ORIGINS.get(setting["origin"], setting["origin"])


def in_words(error: Exception) -> str:
    """Return what a user is told, who may be able to mend it."""
    if isinstance(error, PyledError):
        return in_flags(str(error))
    if isinstance(error, MemoryError):
        return f"not enough memory{f' ({error})' if str(error) else ''}: pass a shorter text, or fewer beams"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, ImportError):
        return f"{error}: install pyled again, with its dependencies"
    return f"a mistake in pyled, please report it: {type(error).__name__}: {error}"
