"""The options of generation, under Hugging Face's names, and the values that they state."""

import argparse
import os
from pathlib import Path
from typing import Any

from ...errors import GenerationError
from ...files import parse_json, read_json
from ...generation_config import SETTINGS, GenerationConfig
from .parser import wrapped

# The settings that have an option, in the order of `--help`.
OPTIONS = ("num_beams", "max_length", "max_new_tokens", "min_length", "min_new_tokens", "length_penalty",
           "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "repetition_penalty", "seed")  # fmt: skip


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
    for name in OPTIONS:
        group.add_argument(f"--{name.replace('_', '-')}", metavar="N", help=SETTINGS[name].words)
    group.add_argument(
        "--early-stopping",
        metavar="true|false|never",
        help=f"{SETTINGS['early_stopping'].words}; without a value true; a value is written with =: "
        "--early-stopping=never",
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
    """Return the generation settings that the options state. Raises GenerationError."""
    texts = [(name, getattr(arguments, name)) for name in (*OPTIONS, "early_stopping")]
    pairs = [(name, text) for name, text in texts if text is not None]
    pairs += [("early_stopping", "false")] * arguments.no_early_stopping
    pairs += [(name.replace("-", "_"), text) for name, text in arguments.param]
    settings: dict[str, Any] = {}
    for name, text in pairs:
        if name in settings:
            raise GenerationError(f"{name} is given twice: leave one out")
        settings[name] = value_of(text)
    GenerationConfig(**settings)  # raises before the checkpoint is read
    return settings


def value_of(text: str) -> Any:
    """Return the value of a setting as written: JSON, or Python's True, False and None, or else the string itself."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return parse_json(os.fsencode(text), "the value", GenerationError, digits=4_000)  # then its own limit is told
    except GenerationError:
        return text


def config_of(arguments: argparse.Namespace) -> GenerationConfig | None:
    """Return the configuration that --generation-config names. Raises GenerationError."""
    if arguments.generation_config is None:
        return None
    path = Path(arguments.generation_config)
    values = read_json(path, GenerationError, takes_pipes=True)
    try:
        return GenerationConfig.from_dict(values)
    except GenerationError as e:
        raise e.at(path) from None
