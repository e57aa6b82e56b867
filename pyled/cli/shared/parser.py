"""How a command is added, and how its arguments are read: the source of `--help` and of docs/pyled.1."""

import argparse
import difflib
import textwrap
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from ... import hub
from ...errors import one_line
from ...version import __version__
from .exit_status import EXIT_STATUS

DESCRIPTION = "LED, the Longformer Encoder-Decoder, on a CPU, without torch: summaries, answers, labels of long texts."

EARLY = ("true", "false", "never")  # the values of --early-stopping
MODEL = (
    "the checkpoint's directory, or its name on the Hugging Face Hub, owner/name (default: the one in the package, "
    f"which knows {hub.KNOWN})"
)
UNNAMED = f"{hub.UNNAMED}; pass another with -m"
WIDTH = 78  # of lines that argparse does not wrap

Command = Callable[[argparse.Namespace, Any], int]  # takes the arguments and the Console
Commands = Any  # what add_subparsers returns: its class is private to argparse


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help that leaves words with hyphens whole, and has a command and what it does on one line."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._action_max_length = len("    detokenize")

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors show no more of an argument than other messages do."""

    def error(self, message: str) -> NoReturn:
        super().error(one_line(message))


def wrapped(text: str, width: int = WIDTH) -> str:
    """Return a paragraph in lines."""
    return textwrap.fill(text, width, break_on_hyphens=False)


def _exit_status() -> str:
    return wrapped("exit status: " + ", ".join(f"{status} {meaning}" for status, meaning in EXIT_STATUS.items()))


def new_parser() -> tuple[argparse.ArgumentParser, Commands]:
    """Return the parser of the whole command, and the object that commands are added to."""
    parser = _Parser(
        prog="pyled",
        usage="pyled COMMAND ...",
        description=wrapped(DESCRIPTION),
        epilog=f"{_exit_status()}\n\n'pyled help COMMAND' lists the options of a command.",
        formatter_class=_Help,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"pyled {__version__}", help="print the version")
    return parser, parser.add_subparsers(
        title="commands", prog="pyled", dest="command", metavar="COMMAND", required=True
    )


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a question for a name that there is not: whether the nearest of those that there are is meant."""
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}? " if near else ""


def add_command(
    commands: Commands, run: Command, usage: str, about: str, description: str, examples: str
) -> argparse.ArgumentParser:
    """Add a command, named by the first word of its usage; `run` does its work and returns the exit status."""
    parser: argparse.ArgumentParser = commands.add_parser(
        usage.split()[0],
        usage=f"pyled {usage}",
        help=about,
        description=wrapped(description),
        epilog=f"examples:\n{textwrap.indent(textwrap.dedent(examples).strip(), '  ')}\n\n{_exit_status()}",
        formatter_class=_Help,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def add_model(parser: Any, words: str = MODEL) -> None:
    """Add the options that name the checkpoint."""
    parser.add_argument("-m", "--model", metavar="DIR", help=words)
    add_revision(parser)
    parser.add_argument(
        "--tokenizer",
        metavar="DIR",
        help="the directory, or the name on the hub, of another checkpoint, whose tokenizer is used",
    )


def add_revision(parser: Any) -> None:
    """Add the option that names a revision of a checkpoint on a hub."""
    parser.add_argument(
        "--revision",
        metavar="REV",
        help="the branch, tag or commit of a checkpoint on the hub (default: main, as the local cache has it)",
    )


def add_quiet(parser: Any) -> None:
    """Add the option that leaves errors only."""
    parser.add_argument("--quiet", action="store_true", help="tell errors only: no progress, no notes")


def as_written(arguments: list[str]) -> list[str]:
    """Return arguments as argparse takes them.

    No argument, and `help`, become `--help`; long options get hyphens for underscores; `--early-stopping` without a
    value gets `true`.
    """
    if arguments[:1] in ([], ["help"]):
        return [*arguments[1:2], "--help"]
    stop = arguments.index("--") if "--" in arguments else len(arguments)
    written = []
    for argument, following in zip(arguments[:stop], [*arguments[1:], ""], strict=False):
        name, equals, value = argument.partition("=")
        if name.startswith("--"):
            name = name.replace("_", "-")
            if name == "--early-stopping" and not equals and following.lower() not in EARLY:
                equals, value = "=", "true"
        written.append(name + equals + value)
    return written + arguments[stop:]
