"""The options of generation, under Hugging Face's names: what each says, and the value of what was given."""

import argparse
import os
import re
from pathlib import Path
from typing import Any

from ...errors import GenerationError
from ...files import parse_json, read_json
from ...generation_config import GenerationConfig
from .parser import wrapped

# Who set a setting, in the words of the command line; files are called by their names.
_ORIGINS = {"call": "command line", "generation_config": "--generation-config", "summarize": "pyled"}

SETTINGS = {
    "num_beams": "hypotheses that beam search keeps; 1 is greedy search",
    "max_length": "most tokens of the summary, counting the one it starts from",
    "max_new_tokens": "most tokens of the summary, not counting that one",
    "min_length": "fewest tokens, counted as in --max-length",
    "min_new_tokens": "fewest tokens, counted as in --max-new-tokens",
    "length_penalty": "above 0 beam search prefers longer summaries, below 0 shorter ones",
    "no_repeat_ngram_size": "no N tokens in a row twice",
    "encoder_no_repeat_ngram_size": "no N tokens in a row that are in the text",
    "repetition_penalty": "above 1 tokens already written are less likely",
}


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the options of generation."""
    group = parser.add_argument_group(
        "generation",
        wrapped(
            "What is not given is as --generation-config says, or else the checkpoint, or else Hugging Face's default. "
            "A summary has at most 256 tokens where nobody sets a length.",
            76,
        ),
    )
    for name, about in SETTINGS.items():
        group.add_argument(f"--{name.replace('_', '-')}", metavar="N", help=about)
    group.add_argument(
        "--early-stopping",
        metavar="true|false|never",
        help="when beam search ends: true once it has enough summaries, false when better ones are unlikely, never "
        "when they are impossible; without a value true",
    )
    group.add_argument("--no-early-stopping", action="store_true", help="the same as --early-stopping=false")
    group.add_argument(
        "-p",
        "--param",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="any other setting of Hugging Face's generation, its value in JSON",
    )
    group.add_argument(
        "--generation-config", metavar="FILE", help="a generation_config.json to use before the checkpoint's own"
    )


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The generation settings that were given. Raises GenerationError."""
    given = [(name, getattr(arguments, name)) for name in (*SETTINGS, "early_stopping")]
    pairs = [(name, text) for name, text in given if text is not None]
    pairs += [("early_stopping", "false")] * arguments.no_early_stopping
    pairs += [(name.replace("-", "_"), text) for name, text in arguments.param]
    settings: dict[str, Any] = {}
    for name, text in pairs:
        if name in settings:
            raise GenerationError(f"{name} is given twice: leave one out")
        settings[name] = value_of(text)
    GenerationConfig(**settings)  # finds mistakes before the checkpoint is read
    return settings


def value_of(text: str) -> Any:
    """The value of a setting as written: JSON, or Python's True, False and None, or else the string itself."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return parse_json(os.fsencode(text), "the value", GenerationError)
    except GenerationError:
        return text


def config_of(arguments: argparse.Namespace) -> GenerationConfig | None:
    """The file that was given with --generation-config. Raises GenerationError."""
    if arguments.generation_config is None:
        return None
    path = Path(arguments.generation_config)
    values = read_json(path, GenerationError)
    try:
        return GenerationConfig.from_dict(values)
    except GenerationError as e:
        raise GenerationError(f"{path}: {e}") from None


# Arguments of the library that are options here. A name that is a plain word, too, is one only where a value follows.
_OPTIONS = "|".join(("too_long", "chunk_tokens", "global_attention", "early_stopping", *SETTINGS))
_ARGUMENT = re.compile(
    rf"(?<!\.json: )(?<![\w.'/-])(?:({_OPTIONS})(?![\w.]\w)|(overlap|combine|dtype|weights)(?==| is ))"
    r"(?:=('[^']*'|[\w.-]*\w))?+(?! \([\w-]+\.json\))"
)


def in_flags(message: str) -> str:
    """Return a message of the library in the words of the command line: options for arguments.

    >>> in_flags("max_length=9 (call) goes before max_length=40 (config.json): pass too_long='chunk'")
    '--max-length 9 (command line) goes before max_length=40 (config.json): pass --too-long chunk'
    """

    def flag(match: re.Match[str]) -> str:
        name = (match[1] or match[2]).replace("_", "-").removesuffix("-attention")
        return f"--{name}" + (f" {match[3].strip(chr(39))}" if match[3] else "")

    message = _ARGUMENT.sub(flag, message)
    for origin, words in _ORIGINS.items():
        message = message.replace(f"({origin})", f"({words})")
    return message


def name_origins(settings: dict[str, dict[str, Any]]) -> None:
    """Say, for each setting of a record, who set it, in the words of the command line."""
    for setting in settings.values():
        setting["origin"] = _ORIGINS.get(setting["origin"], setting["origin"])
