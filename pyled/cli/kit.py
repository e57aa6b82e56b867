"""`pyled kit`: cases that say what a port of LED must give are written, and a port is graded on them."""

import argparse
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, one_line
from .shared.console import Console, OutputError, put
from .shared.exit_status import FAILED, OK
from .shared.forms import as_json
from .shared.interrupts import closed, held, leave_on_termination
from .shared.parser import Commands, add_command, add_quiet
from .shared.places import check_writable

if TYPE_CHECKING:
    from ..porting.grading import Verdict

_OF = {"write": ("output", "weights"), "run": ("kit", "parts", "format", "timeout")}  # options of one action alone


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        kit,
        usage="kit write -o DIR | kit run [options] -- PROGRAM [ARG ...]",
        about="grade a port of LED to another language",
        description="Write cases that say what a port of LED must give: every stage of the forward pass, gradients, "
        "generations, ids of texts, weight files to refuse; DIR/README.md tells how they are read. Or run a port on "
        "each case, and print a report card. PROGRAM gets the part, the folder of the case, and where to write.",
        examples="""
        pyled kit write -o kit --weights
        pyled kit run --parts forward -- ./port --threads 1
        pyled kit run --kit kit --format json -- python3 port.py
        """,
    )
    parser.add_argument("action", choices=("write", "run"), help="write a kit, or run a port")
    parser.add_argument("files", nargs="*", metavar="PROGRAM", help="the port, and its first arguments, behind --")
    writing = parser.add_argument_group("write")
    writing.add_argument("-o", "--output", metavar="DIR", help="a new folder")
    writing.add_argument(
        "--sizes",
        default="tiny",
        metavar="SIZES",
        help="tiny, base (the shape of LED-base) or tiny,base (default: tiny)",
    )
    writing.add_argument(
        "--weights", action="store_true", help="write weights too; without, a port makes them by the recipe"
    )
    running = parser.add_argument_group("run")
    running.add_argument(
        "--kit", metavar="DIR", help="what was written (default: a tiny one with weights, for this run)"
    )
    running.add_argument(
        "--parts", metavar="PARTS", help="forward, gradients, generate, tokenize, refuse (default: all)"
    )
    running.add_argument("--format", choices=("text", "json"), help="what to print (default: text)")
    running.add_argument("--timeout", type=float, metavar="SECONDS", help="most that a case may take (default: 60)")
    add_quiet(parser)


def kit(arguments: argparse.Namespace, console: Console) -> int:
    """Write a kit or run a port, and return the exit status."""
    for action, names in _OF.items():
        for name in names:
            if action != arguments.action and getattr(arguments, name) not in (None, False):
                raise InputError(f"--{name} is an option of pyled kit {action}: leave it out")
    return _write(arguments, console) if arguments.action == "write" else _run(arguments, console)


def _write(arguments: argparse.Namespace, console: Console) -> int:
    from ..porting.kit import check_kit, size_of, unfinished, write_kit

    if not arguments.output or arguments.files:
        raise InputError("pyled kit write takes a new folder, as -o DIR, and no program: name one")
    folder, sizes = Path(arguments.output), arguments.sizes.split(",")
    check_kit(folder, sizes)
    check_writable(folder, is_folder=True)
    console.note(f"{folder} takes about {size_of(sizes, arguments.weights) / 1e6:,.0f} MB")
    try:
        with closed(partial(shutil.rmtree, unfinished(folder), ignore_errors=True)):
            write_kit(folder, sizes, weights=arguments.weights)
    except OSError as e:
        raise OutputError(f"{e.filename or folder}: cannot be written: {e.strerror}") from None
    put(f"{one_line(str(folder))}\n")
    return OK


def _run(arguments: argparse.Namespace, console: Console) -> int:
    from ..porting.grading import Port, grade
    from ..porting.kit import PARTS, check_parts, write_kit

    parts = arguments.parts.split(",") if arguments.parts else PARTS
    check_parts(parts)
    port = Port(arguments.files, 60.0 if arguments.timeout is None else arguments.timeout)
    leave_on_termination()
    scratch = tempfile.TemporaryDirectory(prefix="pyled-kit-")
    port.scratch, port.starting = Path(scratch.name), held
    with closed(port.stop), closed(scratch.cleanup):
        folder = Path(arguments.kit or Path(scratch.name) / "kit")
        if arguments.kit is None:
            write_kit(folder, weights=True, parts=parts)
        verdicts = []
        for part, of_part in groupby(grade(folder, port, parts), key=lambda verdict: verdict.part):
            verdicts += (shown := [*of_part])
            if arguments.format != "json":
                put("".join(f"{line}\n" for line in _lines(part, shown)))
    counts = Counter(verdict.verdict for verdict in verdicts)
    if arguments.format == "json":
        numbers = {name.replace(" ", "_"): counts[name] for name in ("passed", "failed", "not done")}
        put(as_json({"program": arguments.files, **numbers, "cases": [asdict(verdict) for verdict in verdicts]}, 2))
    elif not counts["passed"]:
        console.error("no case passed")
    return FAILED if counts["failed"] or not counts["passed"] else OK


def _lines(part: str, verdicts: list["Verdict"]) -> Iterable[str]:
    """Yield the lines of a part on the report card: how many passed, and why others failed."""
    counts = Counter(verdict.verdict for verdict in verdicts)
    if counts["not done"] == len(verdicts):
        yield f"{part:10} not done"
        return
    not_done = f", {counts['not done']} not done" if counts["not done"] else ""
    yield f"{part:10} {counts['passed']} of {len(verdicts)} passed{not_done}"
    failed: dict[tuple[str, ...], list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.verdict == "failed":
            failed.setdefault((verdict.first or verdict.reason, *verdict.mistakes), []).append(verdict)
    for (_, *mistakes), alike in failed.items():
        others = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        because = f"; this explains it: {', '.join(mistakes)}" if mistakes else ""
        yield f"  {alike[0].case}{others}: {alike[0].reason}{because}"
