"""`pyled classify`: the labels that a model gives to texts."""

import argparse

from ..errors import InputError
from .shared.console import Console
from .shared.loading import add_running, stated
from .shared.outputs import add_outputs
from .shared.parser import Commands, add_command, add_model
from .shared.results import run_task


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        classify,
        usage="classify [FILE ...] -m DIR [options]",
        about="give labels to texts",
        description="Print the label that a model gives to each text, with its score.",
        examples="""
        pyled classify letter.txt -m DIR
        pyled classify letters/ -m DIR --too-long truncate -o labels/ --format json
        pyled classify *.txt -m DIR --format jsonl | jq -r '[.input, .label] | @tsv'
        """,
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="as for summarize")
    add_model(parser, "the directory of a checkpoint for classification; none comes with pyled")
    group = parser.add_argument_group("labels")
    group.add_argument(
        "--top-k", type=int, metavar="N", help="the most labels of a text (default: 1 as text, all in JSON)"
    )
    group.add_argument(
        "--too-long",
        metavar="error|truncate",
        help="what to do with a text of more tokens than encoder or decoder has positions: refuse it, or read its "
        "beginning (default: error)",
    )
    group.add_argument("--global", dest="global_attention", metavar="WHERE", help="as for summarize")
    add_outputs(parser, "classify", "a label on each line, a tab, its score")
    add_running(parser)


def classify(arguments: argparse.Namespace, console: Console) -> int:
    """Do what the command asks, and return its exit status."""
    if arguments.model is None:
        raise InputError("no checkpoint is named, and none that gives labels comes with pyled: name one with -m")
    options = stated(arguments, "top_k", "too_long", "global_attention")
    if arguments.format == "text":
        options = {"top_k": 1} | options

    return run_task(
        arguments, console, "Classifier", options, lambda one, text, work: [one.write(one.read(text), work)]
    )
