"""What all figures share: words, squares, and the sheet they stand on.

A figure has a white ground of its own, so that it reads alike on light and dark pages, and a title and a description
for those who do not see it.
"""

from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path

HERE = Path(__file__).parent

GROUND, INK, GREY = "#ffffff", "#1f2328", "#59636e"
BLUE, OCHRE, PINK = "#0969da", "#9a6700", "#a33d76"  # each dark enough for white letters
SANS = 'font-family="ui-sans-serif, system-ui, Helvetica, Arial, sans-serif"'
MONO = 'font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace"'


def text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 13, more: str = "") -> str:
    """A line of words; & and < in them are themselves."""
    place = f'x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"'
    return f"<text {f'{place} {more}'.strip()}>{escape(words, quote=False)}</text>"


def squares(cells: Iterable[tuple[int, int]], size: int, colour: str) -> str:
    """One path of all squares at (row, column), with a thin gap between them."""
    inner = size - 1
    d = "".join(f"M{j * size} {i * size}h{inner}v{inner}h-{inner}z" for i, j in cells)
    return f'<path d="{d}" fill="{colour}"/>'


def grid(rows: int, columns: int, size: int, colour_of: Callable[[int, int], str]) -> list[str]:
    """A table of squares, with its origin at the top left."""
    groups: dict[str, list[tuple[int, int]]] = {}
    for i in range(rows):
        for j in range(columns):
            groups.setdefault(colour_of(i, j), []).append((i, j))
    return [squares(cells, size, colour) for colour, cells in groups.items()]


def box(x: float, y: float, width: float, height: float, colour: str, more: str = 'fill-opacity="0.15"') -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{colour}" {more}/>'


def moved(x: float, y: float, parts: list[str]) -> list[str]:
    return [f'<g transform="translate({x:g} {y:g})">', *parts, "</g>"]


def figure(width: int, height: int, title: str, description: str, parts: list[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" aria-labelledby="title what" {SANS} fill="{INK}">',
            f'<title id="title">{escape(title, quote=False)}</title>',
            f'<desc id="what">{escape(description, quote=False)}</desc>',
            f'<rect width="{width}" height="{height}" fill="{GROUND}"/>',
            *parts,
            "</svg>\n",
        ]
    )


def wrapped(words: str, width: int) -> list[str]:
    """Words in lines of at most `width` characters."""
    lines = [""]
    for word in words.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def write(figures: dict[str, Callable[[], str]]) -> None:
    """Draw figures and write them beside this file."""
    for name, draw in figures.items():
        (HERE / name).write_text(draw(), encoding="utf-8")
