"""`pyled convert`: a checkpoint of any format becomes a directory with one safetensors file."""

import argparse

from ..errors import InputError, one_line
from .shared.console import Console, put
from .shared.exit_status import OK
from .shared.interrupts import held, stop_if_interrupted
from .shared.parser import Commands, add_command, add_quiet, add_revision


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        convert,
        usage="convert SRC DST [options]",
        about="write a checkpoint anew as safetensors",
        description="Write the checkpoint SRC into the directory DST, and print its name: the weights as "
        "model.safetensors, every number as it is stored, and copies of config.json, generation_config.json and the "
        "tokenizer's files. DST is complete: -m DST loads it, and so does transformers. What was left out or changed "
        "is told.",
        examples="""
        pyled convert allenai/led-large-16384-arxiv arxiv
        pyled convert longformer-encdec-base-16384 led-base
        """,
    )
    parser.add_argument(
        "source",
        metavar="SRC",
        help="a checkpoint's directory, or its name on the Hugging Face Hub: weights of torch, of "
        "TensorFlow, in shards, or of allenai's original code, whose names, positions and window become LED's",
    )
    parser.add_argument("target", metavar="DST", help="another directory, which is made if missing")
    parser.add_argument("--force", action="store_true", help="replace the checkpoint that DST holds")
    add_revision(parser)
    add_quiet(parser)


def convert(arguments: argparse.Namespace, console: Console) -> int:
    """Convert the checkpoint, and return the exit status. An interrupt leaves nothing behind."""
    from ..checkpoint import prepare

    if not arguments.target:
        raise InputError("DST names no directory: name one")
    conversion = prepare(arguments.source, arguments.target, force=arguments.force, revision=arguments.revision)
    with held():
        conversion.write(before_piece=stop_if_interrupted)
    for note in conversion.notes:
        console.note(note)
    put(f"{one_line(arguments.target)}\n")
    return OK
