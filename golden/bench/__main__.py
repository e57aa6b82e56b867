"""`pyled bench`: seconds and memory on this machine, alone or turn by turn with transformers."""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import LEDConfig
from ..errors import InputError, PyledError
from . import BAD_CHECKPOINT, FAILED, OK
from .console import Console, put
from .forms import as_json
from .inputs import read_text, shown
from .interrupts import before_leaving
from .parser import Commands, add_command, add_model

if TYPE_CHECKING:
    from ..tools.bench.session import Plan, Results

VOCABULARIES = ("vocab.json", "tokenizer.json")
ENGINES = ("transformers",)


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        bench,
        usage="bench [--work NAME ...] [options]",
        about="measure speed and memory on this machine",
        description="Measure how long this machine takes for works of LED, how much memory they need, and which part "
        "that is of what the processor and its memory can do. Each turn of a work is a process of its own. With "
        "--against, transformers takes its turns too: in float32, in bfloat16 and in int8.",
        examples="""
        pyled bench
        pyled bench --work encode-4096 --work beams-4096 --turns 3
        pyled bench -m DIR --text book.txt --format json | jq .machine.rates
        pyled bench --against transformers --python torch-env/bin/python
        """,
    )
    add_model(parser, without="random weights, LED-base in shape")
    parser.add_argument("--work", action="append", default=[], metavar="NAME", help="a work or a group of --list")
    parser.add_argument("--list", action="store_true", help="print the works there are, and measure nothing")
    parser.add_argument(
        "--text", metavar="FILE", help="a text in UTF-8, for works that read one: 1 MB of it or all, and 200 words"
    )
    against = parser.add_argument_group("another engine")
    against.add_argument("--against", choices=ENGINES, help="measure this one too, turn by turn")
    against.add_argument(
        "--python",
        metavar="PATH",
        help="the Python that has torch and transformers (default: the one that runs pyled)",
    )
    against.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME",
        help="measure it in float32 and in this one only: bfloat16, which takes minutes where the processor has no "
        "instructions for it, or int8 (default: all three)",
    )
    against.add_argument(
        "--in-full",
        action="store_true",
        help="let it generate all tokens of sources of 16,384, instead of 24 from which its seconds are extrapolated",
    )
    running = parser.add_argument_group("running")
    running.add_argument("--turns", type=int, default=2, metavar="N", help="processes for each work (default: 2)")
    running.add_argument(
        "--weights",
        choices=("float32", "bf16", "int8"),
        default="float32",
        help="what pyled keeps the decoder's weights in (default: float32)",
    )
    running.add_argument("--threads", type=int, metavar="N", help="processor threads to use (default: all)")
    running.add_argument(
        "--format", choices=("text", "json"), default="text", help="text: tables; json: an object (default: text)"
    )
    running.add_argument("--quiet", action="store_true", help="tell errors only: no progress, no notes")


def bench(arguments: argparse.Namespace, console: Console) -> int:
    """Do what the command asks, and give its exit status."""
    from ..tools.bench.works import SHAPE, chosen, listed, shortfalls, variants

    if arguments.list:
        put(listed())
        return OK
    try:
        config = LEDConfig(**SHAPE) if arguments.model is None else LEDConfig.from_pretrained(arguments.model)
    except PyledError as e:
        console.error(str(e))
        return BAD_CHECKPOINT
    try:
        _check(arguments)
        text = _text(arguments)
        works, left_out = chosen(arguments.work, bool(text), config)
        against = [] if arguments.against is None else variants(arguments.variant)
    except InputError as e:
        arguments.parser.error(str(e))
    for note in [*left_out, *shortfalls(works, text)]:
        console.note(note)
    from ..tools.bench.session import Plan

    model = None if arguments.model is None else Path(arguments.model)
    plan = Plan(works, config, model, arguments.turns, against, arguments.in_full, text, arguments.weights)
    return _run(plan, arguments, console)


def _check(arguments: argparse.Namespace) -> None:
    """Raises InputError for options that no run can have, or not together."""
    most = _processors()
    if arguments.threads is None:
        arguments.threads = most
    if not 1 <= arguments.threads <= most:
        raise InputError(f"--threads {arguments.threads}: between 1 and {most} can be used here")
    if arguments.turns < 1:
        raise InputError(f"--turns {arguments.turns}: at least 1 is needed")
    if arguments.against is None and (arguments.python is not None or arguments.in_full or arguments.variant):
        raise InputError("--python, --variant and --in-full are for another engine: pass --against too")


def _text(arguments: argparse.Namespace) -> str:
    """The text that is given, empty if none is. Raises InputError where it cannot be read, or not be of use."""
    if arguments.text is None:
        return ""
    if arguments.model is None:
        raise InputError("--text needs a vocabulary: pass a checkpoint that has one, -m")
    if not any((Path(arguments.model) / name).exists() for name in VOCABULARIES):
        raise InputError(f"--text: {arguments.model} has no vocabulary: {' or '.join(VOCABULARIES)}")
    try:
        return read_text(arguments.text)
    except InputError as e:
        raise InputError(f"--text: {shown(arguments.text)}: {e}") from None


def _processors() -> int:
    """The processor threads that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run(plan: "Plan", arguments: argparse.Namespace, console: Console) -> int:
    """Measure, and print what came of it."""
    from ..tools.bench.children import ChildError, Children
    from ..tools.bench.session import Session

    children = Children(arguments.threads, arguments.python or sys.executable)
    with tempfile.TemporaryDirectory(prefix="pyled-bench-") as folder:

        def tidy() -> None:
            console.clear()
            children.kill()
            shutil.rmtree(folder, ignore_errors=True)

        before_leaving(tidy)
        try:
            results = Session(plan, Path(folder), children.ask, console.status).run()
        except ChildError as e:
            console.error(str(e))
            return FAILED
        finally:
            before_leaving(console.clear)
            console.clear()
    from ..tools.bench import report  # with NumPy and Numba, which would have made this process a large parent

    put(as_json(report.record(results), 2) if arguments.format == "json" else report.text(results))
    return _failures(results, console)


def _failures(results: "Results", console: Console) -> int:
    """Tell what failed; the exit status."""
    failed = [(found.work.name, engine, why) for found in results.measured for engine, why in found.failed.items()]
    for name, engine, why in failed:
        console.error(f"{name}: {engine}: {why}")
    return FAILED if failed else OK
