"""The manual page, docs/pyled.1, made from the parsers that also print `--help`; docs/refresh.py writes it.

It uses the man macros of roff that groff and mandoc both know.
"""

import argparse

from pyled.cli.dispatch import make_parser
from pyled.cli.shared.exit_status import EXIT_STATUS
from pyled.cli.shared.parser import DESCRIPTION
from pyled.version import __version__


def manual() -> str:
    """Return the whole page."""
    commands = next(action.choices for action in make_parser()._actions if isinstance(action.choices, dict))
    lines = [
        f'.TH PYLED 1 "" "pyled {__version__}" "User Commands"',
        *[".SH NAME", "pyled \\- summaries, answers and labels of long texts with LED, on a CPU"],
        ".SH SYNOPSIS",
    ]
    for command in commands.values():
        lines += [roff(command.usage), ".br"]
    lines += [".B pyled help [COMMAND]", ".br", ".B pyled \\-\\-version", ".SH DESCRIPTION", roff(DESCRIPTION)]
    for name, command in commands.items():
        lines += [f".SH {name.upper()}", roff(command.description.replace("\n", " "))]
        lines += options(command)
    lines.append(".SH EXIT STATUS")
    for status, meaning in EXIT_STATUS.items():
        lines += [".TP", f".B {status}", roff(meaning)]
    lines += [".SH EXAMPLES", ".nf"]
    for command in commands.values():
        examples = command.epilog.partition("\n\n")[0].splitlines()[1:]
        lines += [roff(line.strip()) for line in examples]
    return "\n".join([*lines, ".fi"]) + "\n"


def options(command: argparse.ArgumentParser) -> list[str]:
    """Return the lines on the arguments of a command, group by group."""
    lines = []
    for group in command._action_groups:
        actions = [action for action in group._group_actions if action.help != "show this help message and exit"]
        if actions and group.title not in ("positional arguments", "options"):
            lines.append(f".SS {roff(group.title)}")
        if actions and group.description:
            lines.append(roff(group.description.replace("\n", " ")))
        for action in actions:
            lines += [".TP", f".B {roff(invocation(action))}", roff(action.help)]
    return lines


def invocation(action: argparse.Action) -> str:
    """Return an argument as it is typed: -o, --output PATH."""
    value = action.metavar
    if action.nargs == 0:
        value = ""
    elif value is None:
        value = "|".join(action.choices)
    elif isinstance(value, tuple):
        value = " ".join(value)
    return f"{', '.join(action.option_strings)} {value}".strip()


def roff(text: str) -> str:
    """Return the roff of plain text: hyphens that can be typed, no escapes, no requests."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in text)
    return f"\\&{text}" if text[:1] in (".", "'") else text
