"""The report of `check` as one page of HTML: its table, and for each stage a map of where it is how far off.

A map has a row for each position and a column for each channel: the last axis of the stage is across, all others are
down, one behind the other. A cell is the largest error in a block of it, in budgets of the stage.
"""

import base64
import struct
import zlib
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Floats
from ..errors import escaped
from .measures import Row, short

if TYPE_CHECKING:
    from .comparing import Report

LARGEST = 96, 192  # cells down and across
INSIDE = 10.0 ** np.arange(-3, 0.5, 0.5)  # where the colours change, in budgets
RED_STEPS = 7  # from the budget up to the largest error of a stage, or 1,000 budgets
_BLUE, _WHITE, _RED = np.array([[29, 78, 137], [244, 244, 244], [160, 16, 28]])
NOT_COMPARED, EQUAL = 0, 1  # cells of other kinds: in front of the steps, and behind them
NO_NUMBER = EQUAL + len(INSIDE) + RED_STEPS + 1
_MEASURES = ("max_abs", "relative", "nmse", "ulp")
_LETTERS = ("B documents", "S source tokens", "T target tokens", "G global tokens", "E, F channels", "H heads", "V ids")

_STYLE = """
:root { color-scheme: light dark; --line: #8886 }
body { font: 14px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em }
table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid var(--line); padding: .2em .6em; text-align: right; vertical-align: top }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere }
tr.outside td:first-child { background: #a0101c; color: white; font-weight: bold }
tr.not { opacity: .6 }
tr.first { outline: 3px solid #a0101c; outline-offset: -1px }
img { border: 1px solid var(--line); display: block; image-rendering: pixelated; margin: .4em 0; max-width: 100% }
small { display: block; opacity: .8 }
.legend img { display: inline-block; height: 1em; margin: 0 .3em; vertical-align: -.1em; width: 26em }
"""


def page(report: "Report", title: str, said: Sequence[str]) -> Iterator[str]:
    """Yield the page in pieces, a stage at a time.

    title: what was compared
    said: what is concluded, in paragraphs
    """
    yield f'<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{_shown(title)}</title>\n'
    yield f"<style>{_STYLE}</style>\n<h1>{_shown(title)}</h1>\n"
    yield from (f"<p>{_shown(paragraph)}</p>\n" for paragraph in said)
    yield (
        "<p>A stage opens, and shows a map: its last axis is across, all others are down, one behind the other. A cell "
        "is the largest error in it, as a part of the budget. Blue is inside, red outside; magenta is NaN or infinite; "
        f"what is not compared has no colour. Axes: {', '.join(_LETTERS)}.</p>\n"
        f'<p class="legend">equal, 0.001 {_image(np.arange(EQUAL, NO_NUMBER)[None])} the largest, or 1,000</p>\n'
        "<table>\n<tr><th>verdict<th>stage<th>max abs<th>relative<th>NMSE<th>ULP<th>worst\n"
    )
    shown: set[str] = set()
    for is_dumped, rows in groupby(report.stages, key=lambda row: row.verdict != "not dumped"):
        if not is_dumped:
            yield f'<tr class="not"><td>-<td colspan="6">{", ".join(_shown(row.name) for row in rows)}\n'
        for row in rows if is_dumped else ():
            yield _row(row, report, is_again=row.name in shown)
            shown.add(row.name)
    yield "</table>\n</html>\n"


def _row(row: Row, report: "Report", is_again: bool) -> str:
    """Return a row of the table; the first of a stage that could be laid out has a map, in a box that opens."""
    comparison, is_first = report.comparison, row.name == report.first and row.verdict == "outside"
    theirs = f"theirs: {row.theirs}" if row.theirs != row.name else ""
    name, said = _shown(row.name), _shown("; ".join(filter(None, [theirs, row.layout, row.note])))
    if not is_again and row.name in comparison:
        axes, (grid, most) = comparison.stages[row.name].axes, heat_map(comparison.times_budget(row))
        shape = " x ".join(map(str, comparison.truth[row.name].shape)) or "a number"
        text = f"<small>{axes} {shape}, {grid.shape[0]} x {grid.shape[1]} cells, up to {short(most)} budgets</small>"
        name = f"<details{' open' * is_first}><summary>{name}</summary>{text}{_image(grid, 4)}</details>"
    numbers = "".join(f"<td>{short(getattr(row, measure))}" for measure in _MEASURES)
    worst = "" if row.worst is None else ", ".join(map(str, row.worst))
    kind = f"{row.verdict}{' first' * is_first}"
    return f'<tr class="{kind}"><td>{row.verdict}<td>{name}<small>{said}</small>{numbers}<td>{worst}\n'


def _shown(text: str) -> str:
    return escape(escaped(text))


def heat_map(times: Floats) -> tuple[NDArray[np.uint8], float]:
    """Return the cells of a map, at most LARGEST of them, and its largest number.

    times: errors in budgets; NaN is what is not compared

    >>> cells, most = heat_map(np.array([[0.0, 1.0, 5e9, np.inf, np.nan]]))
    >>> cells.tolist() == [[EQUAL, EQUAL + len(INSIDE), NO_NUMBER - 1, NO_NUMBER, NOT_COMPARED]], most
    (True, 5000000000.0)
    """
    times = times.reshape(-1, times.shape[-1] if times.ndim else 1)
    times = np.where(np.isnan(times), -1.0, times)
    for axis, most in enumerate(LARGEST):
        starts = np.unique(np.linspace(0, times.shape[axis], most, endpoint=False).astype(int))
        times = np.maximum.reduceat(times, starts, axis=axis) if times.size else times
    largest = float(np.max(times, where=np.isfinite(times), initial=0.0))
    steps = [*INSIDE[:-1], *np.geomspace(1.0, max(1000.0, largest), RED_STEPS + 1)[:-1]]
    cells = EQUAL + (times > 0) + np.searchsorted(steps, times, side="left")
    cells = np.where(np.isinf(times), NO_NUMBER, np.where(times < 0, NOT_COMPARED, cells))
    return cells.astype(np.uint8), largest


def _palette() -> NDArray[np.uint8]:
    """Return the colours of all cells, (N, 3): blue below the budget, red above it."""
    cells = np.linspace(-1, 1, NO_NUMBER - EQUAL)[:, None]
    colours = _WHITE + np.abs(cells) * (np.where(cells < 0, _BLUE, _RED) - _WHITE)
    return np.concatenate([[[0, 0, 0]], colours, [[255, 0, 255]]]).round().astype(np.uint8)


def _image(grid: NDArray[Any], times: int = 1) -> str:
    """Return an image of cells, each so many pixels wide and high, as a tag with a PNG in it (ISO/IEC 15948)."""
    height, width = grid.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), grid.astype(np.uint8)], axis=1)  # each has no filter
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)  # a byte for each cell, a number of a colour
    chunks = ((b"IHDR", header), (b"PLTE", _palette().tobytes()), (b"tRNS", b"\0"),
              (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))  # fmt: skip
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    size = f'width="{width * times}" height="{height * times}"'
    return f'<img alt="" {size} src="data:image/png;base64,{base64.b64encode(data).decode()}">'
