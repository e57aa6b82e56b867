"""`pyled check`: where the numbers of a port differ from the truth first, and which known mistake explains it."""

import argparse
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import LINE_ENDS, escaped
from ..files import replace_files
from ..hub import MODEL, opened
from .shared.console import Console, OutputError, put
from .shared.exit_status import FAILED, OK, UNDONE
from .shared.forms import as_json
from .shared.interrupts import held, stop_if_interrupted
from .shared.parser import Commands, add_command, add_quiet, add_revision
from .shared.places import check_file

if TYPE_CHECKING:
    from ..porting.comparing import Report
    from ..porting.measures import Row

_WIDTH = 100  # columns of the table
_NAMED = 8  # unknown names that are listed
_MEASURES = ("max_abs", "relative", "nmse", "ulp")


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        check,
        usage="check THEIRS --against TRACE [options]",
        about="tell a port of LED where it went wrong",
        description="Compare the arrays that a port has dumped with the truth, stage by stage. The table goes from "
        "input to output. The first stage that is outside, although what it is computed from is inside, has a frame, "
        "and the known mistakes that give its numbers are named. Other layouts, such as transposed arrays, are "
        "recognised.",
        examples="""
        pyled check dump.npz --against trace.npz
        pyled check dump --against kit/forward/labels --format json | jq .first
        pyled check theirs.npz --against led-base --names transformers
        """,
    )
    parser.set_defaults(failure=UNDONE)
    parser.add_argument(
        "theirs", metavar="THEIRS", help="the port's arrays: .npz, .safetensors, or a folder of NAME.npy files"
    )
    parser.add_argument(
        "--against",
        required=True,
        metavar="TRACE",
        help="what pyled trace wrote, a case of a kit, or a checkpoint's directory: then THEIRS holds the inputs, too, "
        "as in.input_ids and so on",
    )
    parser.add_argument(
        "-m",
        "--model",
        metavar="DIR",
        help="the checkpoint whose weights the known mistakes are tried with (default: the one that TRACE names)",
    )
    add_revision(parser)
    parser.add_argument(
        "--names",
        metavar="FILE",
        help='which name of ours each of theirs means: a JSON file of [["regular expression", "replacement"], ...] or '
        '{"their name": "ours", ...}; transformers: the one that comes along',
    )
    parser.add_argument(
        "--html", metavar="FILE", help="also write a page with the table and, for each stage, a map of its errors"
    )
    parser.add_argument("--force", action="store_true", help="replace the page if it is there already")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="what to print (default: text)")
    add_quiet(parser)


def check(arguments: argparse.Namespace, console: Console) -> int:
    """Print the report, and return the exit status: FAILED where a stage is outside."""
    from ..porting import comparing, dumps
    from ..porting.truths import truth_for

    page = None if arguments.html is None else Path(arguments.html)
    if page is not None:
        check_file(page, _inputs(arguments), arguments.force)
    model = None
    if arguments.model is not None or arguments.revision is not None:
        model = str(opened(arguments.model, {"revision": arguments.revision}, *MODEL)[0])
    theirs = dumps.read(arguments.theirs)
    names = None if arguments.names is None else comparing.read_names(arguments.names)
    truth = truth_for(Path(arguments.against), theirs, names, model)
    report = comparing.check(theirs, truth.arrays, names, about=truth.about, weights=truth.weights)
    for note in (*truth.notes, *report.notes):
        console.note(note)
    conclusion = [*_conclusion(report, is_tried=truth.weights is not None)]
    if page is not None:
        said = [*conclusion, *_unknown(report), *truth.notes, *report.notes]
        _write(page, report, f"{arguments.theirs} against {arguments.against}", said)
    if arguments.format == "json":
        for line in _unknown(report):
            console.note(line)
        stages = [asdict(row) for row in report.stages]
        put(as_json({"first": report.first, "mistakes": report.mistakes, "stages": stages}, 2))
    else:
        lines = (*_table(report), *(line for paragraph in conclusion for line in _wrapped(paragraph)))
        put("".join(f"{escaped(line, LINE_ENDS)}\n" for line in lines))
    return OK if report.first is None else FAILED


def _inputs(arguments: argparse.Namespace) -> Iterator[str]:
    """Yield the files that are read; those of a folder, which may hold an older page, but for pages."""
    for name in filter(None, (arguments.theirs, arguments.against, arguments.names, arguments.model)):
        yield name
        if Path(name).is_dir():
            yield from (str(path) for path in Path(name).iterdir() if path.suffix != ".html")


def _write(path: Path, report: "Report", title: str, said: Sequence[str]) -> None:
    """Write the page, whole or not at all. Raises OutputError."""
    from ..porting.html import page

    def pieces() -> Iterator[bytes]:
        for piece in page(report, title, [*filter(None, said)]):
            stop_if_interrupted()
            yield piece.encode("utf-8", "backslashreplace")

    try:
        with held():
            replace_files({path: pieces()})
    except OSError as e:
        raise OutputError(f"{path}: cannot be written: {e.strerror}") from None


def _table(report: "Report") -> Iterator[str]:
    """Yield the lines of the table; what is to be said of a row stands below, by a number."""
    notes: dict[str, int] = {}
    yield f"{'':10} {'stage':43}{'max abs':>8}{'relative':>9}{'NMSE':>8}{'ULP':>8}  worst"
    seen: set[str] = set()
    for place, rows in groupby(report.stages, key=lambda row: _place(row.name)):
        yield place
        for is_dumped, part in groupby(rows, key=lambda row: row.verdict != "not dumped"):
            if is_dumped:
                for row in part:
                    yield from _lines(row, row.name in seen, notes, report)
                    seen.add(row.name)
            else:
                left_out = ", ".join(row.name.removeprefix(f"{place}.") for row in part)
                yield from textwrap.wrap(
                    left_out, _WIDTH, initial_indent="-          ", subsequent_indent=" " * 11, break_on_hyphens=False
                )
    yield ""
    for note, number in notes.items():
        yield from textwrap.wrap(f"[{number}] {note}", _WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    yield from _unknown(report)


def _place(name: str) -> str:
    """Return the part of the model that a stage is of: a layer, a side, or "model"."""
    match = re.match(r"((?:grad\.)?(?:encoder|decoder)(?:\.layers\.\d+)?)\.", name)
    return match[1] if match else "in" if name.startswith("in.") else "model"


def _lines(row: "Row", is_again: bool, notes: dict[str, int], report: "Report") -> Iterator[str]:
    """Yield the line of a row, with a frame round the first that is outside."""
    from ..porting.measures import short

    said = "; ".join(filter(None, [row.layout, row.note]))
    number = str(notes.setdefault(said, len(notes) + 1)) if said else ""
    is_first = row.name == report.first and row.verdict == "outside"
    name = f"= {row.theirs}" if is_again else row.name.removeprefix(f"{_place(row.name)}.")
    verdict = {"inside": "ok", "outside": "OUTSIDE"}[row.verdict]
    numbers = "".join(f"{short(getattr(row, name)):>{8 + (name == 'relative')}}" for name in _MEASURES)
    worst = "" if row.worst is None else ",".join(map(str, row.worst))
    line = f"{verdict:7} {number:>2} {name[:43]:43}{numbers}  {worst}".rstrip()
    yield from (["=" * _WIDTH, line, "=" * _WIDTH] if is_first else [line])


def _unknown(report: "Report") -> Iterator[str]:
    """Yield the names that are no stage's, the first of many."""
    for name, near in [*report.unknown.items()][:_NAMED]:
        yield f"{name} is the name of no stage" + (f": did you mean {' or '.join(near)}?" if near else "")
    if (rest := len(report.unknown) - _NAMED) > 0:
        yield f"... and {rest:,} more names are of no stage"


def _conclusion(report: "Report", is_tried: bool) -> Iterator[str]:
    """Yield what is wrong in plain words, a paragraph for each mistake that explains it."""
    from ..porting.mistakes import MISTAKES

    judged = [row for row in report.stages if row.verdict != "not dumped"]
    if report.first is None:
        missing = len({row.name for row in report.stages if row.verdict == "not dumped"})
        others = f"; {missing:,} stages were not dumped" if missing else ""
        said = (
            f"All {len(judged):,} arrays are inside their budgets" if judged[1:] else "The array is inside its budget"
        )
        yield f"{said}{others}."
        return
    row = next(row for row in judged if row.name == report.first and row.verdict == "outside")
    yield f"{report.first} is the first stage outside its budget: {_why(row)}."
    if report.missing:
        names = ", ".join(report.missing)
        yield f"Not dumped, between it and the stages before that are inside: {names}."
    known = {mistake.name: mistake for mistake in MISTAKES}
    for i, name in enumerate(report.mistakes):
        kind = "This known mistake gives these numbers" if i == 0 else "And so does this one"
        yield from ("", f"{kind}: {name}. {known[name].says} See {known[name].where}.")
    if not report.mistakes:
        yield "No known mistake explains it." if is_tried else "No known mistake was tried: there are no weights."


def _why(row: "Row") -> str:
    from ..porting.measures import short

    if row.error is None:
        return row.note
    note = f"; {row.note}" if row.note else ""
    return f"its error is {short(row.error)}, where {short(row.budget)} is allowed{note}"


def _wrapped(text: str) -> Sequence[str]:
    return textwrap.wrap(text, _WIDTH, break_on_hyphens=False) or [text]
