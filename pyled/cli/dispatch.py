"""One run of the command, from its arguments to its exit status: what a process must mind whatever the command does."""

import argparse
import contextlib
import os
import sys

from . import FAILED, evaluate, inspect, summarize, tokenize
from .shared.console import Console, OutputError, in_words, put
from .shared.interrupts import before_leaving
from .shared.parser import as_written, new_parser


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; `run` of what it parses is the function to call."""
    parser, commands = new_parser()
    for add in (summarize.add, inspect.add, tokenize.add, tokenize.add_inverse, evaluate.add):
        add(commands)
    return parser


def run(argv: list[str] | None) -> int:
    """Run a command and give its exit status. Where an interrupt raises KeyboardInterrupt, the screen is left clean."""
    # NumPy's OpenBLAS reads this when NumPy is imported, so before: its threads else wait for work for 2^26 ticks, some
    # 27 ms, after each product, on the processors that the kernels then want. 2^4 ticks, and they sleep.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    console = Console(quiet=False)
    try:
        try:
            arguments = make_parser().parse_args(as_written(sys.argv[1:] if argv is None else argv))
            console = Console(getattr(arguments, "quiet", False))
            before_leaving(console.clear)
            status: int = arguments.run(arguments, console)
            return status
        finally:
            if sys.stdout is not None:
                put("")  # which argparse may have left something for
    except KeyboardInterrupt:
        console.clear()
        raise
    except OutputError as e:
        _abandon_stdout()
        if str(e):
            console.error(str(e))
        return FAILED
    except Exception as e:  # what one input raises is told with its name, and this is something else
        console.error(in_words(e))
        return FAILED


def _abandon_stdout() -> None:
    """Lead standard output nowhere, so that Python's own flush at the end finds nothing to complain about."""
    with contextlib.suppress(OSError, AttributeError):  # AttributeError: it is closed, and None
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
