"""One run of the command, from its arguments to its exit status: what every command needs."""

import argparse
import contextlib
import os
import sys

from ..errors import GenerationError, InputError, PyledError
from ..kernels.blas import let_threads_sleep
from . import evaluate, inspect, summarize, tokenize
from .shared.console import Console, OutputError, noting, put
from .shared.exit_status import BAD_CHECKPOINT, FAILED
from .shared.interrupts import before_leaving, tidy
from .shared.parser import as_written, new_parser
from .shared.words import in_words


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; the attribute `run` of what it parses is the command's function."""
    parser, commands = new_parser()
    for add in (summarize.add, inspect.add, tokenize.add, tokenize.add_inverse, evaluate.add):
        add(commands)
    return parser


def run(argv: list[str] | None) -> int:
    """Run a command, and return its exit status. An interrupt that raises KeyboardInterrupt leaves the screen clean."""
    let_threads_sleep()
    console = Console(quiet=False)
    try:
        try:
            arguments = make_parser().parse_args(as_written(sys.argv[1:] if argv is None else argv))
            console = Console(getattr(arguments, "quiet", False))
            before_leaving(console.clear)
            with noting(console):
                status: int = arguments.run(arguments, console)
            return status
        finally:
            if sys.stdout is not None:
                put("")  # flushes what argparse has printed
    except KeyboardInterrupt:
        tidy()
        raise
    except OutputError as e:
        _abandon_stdout()
        if str(e):
            console.error(str(e))
        return FAILED
    except Exception as e:  # a command itself tells what one of its inputs raises; this ends the command
        if isinstance(e, InputError | GenerationError):
            arguments.parser.error(in_words(e))
        console.error(in_words(e))
        return BAD_CHECKPOINT if isinstance(e, PyledError) else FAILED


def _abandon_stdout() -> None:
    """Lead standard output nowhere, so that Python's flush at the end has nothing to complain about."""
    with contextlib.suppress(OSError, AttributeError):  # AttributeError: it is closed, and None
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
