"""One run of the command, from its arguments to its exit status: what every command needs."""

import argparse
import contextlib
import os
import sys

from ..errors import GenerationError, InputError, PyledError, brief
from . import answer, check, classify, convert, evaluate, inspect, kit, summarize, tokenize, trace, train
from .shared.console import Console, OutputError, noting, put, set_encoding
from .shared.exit_status import BAD_CHECKPOINT, FAILED
from .shared.interrupts import before_leaving, tidy
from .shared.parser import as_written, nearest, new_parser
from .shared.words import in_words

_COMMANDS = {"summarize": summarize.add, "answer": answer.add, "classify": classify.add, "inspect": inspect.add,
             "tokenize": tokenize.add, "detokenize": tokenize.add_inverse, "evaluate": evaluate.add,
             "train": train.add, "convert": convert.add, "trace": trace.add, "check": check.add,
             "kit": kit.add}  # fmt: skip


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; the attribute `run` of what it parses is the command's function."""
    parser, commands = new_parser()
    for add in _COMMANDS.values():
        add(commands)
    return parser


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the arguments of a command, files on both sides of options; end the process where one is wrong."""
    parser, written = make_parser(), as_written(arguments)
    if not written[0].startswith("-") and written[0] not in _COMMANDS:
        hint = nearest(written[0], _COMMANDS)
        parser.error(f"{brief(written[0])} is no command: {hint}'pyled help' lists the commands")
    parsed, rest = parser.parse_known_args(written)
    stop = rest.index("--") if "--" in rest else len(rest)
    for i, argument in enumerate(rest):
        name, is_option = argument.partition("=")[0], i < stop and argument.startswith("-") and argument != "-"
        if is_option or ("files" not in parsed and i != stop):
            hint = nearest(name, parsed.parser._option_string_actions)
            problem = f"is no option: {hint}" if is_option else "is one name too many: "
            parsed.parser.error(f"{name} {problem}'pyled help {parsed.command}' lists the options")
    if rest and "files" in parsed:
        parsed.files += rest[:stop] + rest[stop + 1 :]
    return parsed


def run(argv: list[str] | None) -> int:
    """Run a command, and return its exit status. An interrupt that raises KeyboardInterrupt leaves the screen clean."""
    set_encoding()
    console, failure = Console(quiet=False), FAILED
    try:
        try:
            arguments = parse(sys.argv[1:] if argv is None else argv)
            console = Console(getattr(arguments, "quiet", False))
            failure = getattr(arguments, "failure", FAILED)  # FAILED means something else in some commands
            before_leaving(console.clear)
            with noting(console):
                return int(arguments.run(arguments, console))
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
        return failure
    except Exception as e:  # a command itself tells what one of its inputs raises; this ends the command
        if isinstance(e, InputError | GenerationError):
            arguments.parser.error(in_words(e))
        console.error(in_words(e))
        return BAD_CHECKPOINT if isinstance(e, PyledError) else failure


def _abandon_stdout() -> None:
    """Lead standard output nowhere, so that Python's flush at the end has nothing to complain about."""
    with contextlib.suppress(OSError, AttributeError):  # AttributeError: it is closed, and None
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
