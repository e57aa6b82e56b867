"""Draw the figures of the encoder's attention: `python docs/draw_attention.py` writes them beside this file.

Every coloured square is an answer of `pyled.reference.may_attend`, so that a picture cannot say anything else than the
definition does. The colours are of middle brightness and the ground is empty: they serve on white and on black.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pyled.reference import may_attend

HERE = Path(__file__).parent

BAND, COLUMN, ROW, INK = "#4493f8", "#d29922", "#bf4b8a", "#7d8590"
NOTHING, PADDING = f'{INK}" fill-opacity="0.13', f'{INK}" fill-opacity="0.5'
CELL, TOP = 34, 54  # of the labelled tables: the size of a square, and the room above
FONT = 'font-family="ui-sans-serif, system-ui, Helvetica, Arial, sans-serif"'

Tokens = tuple[np.ndarray, np.ndarray, int]  # is_real, is_global, w


def tokens(letters: str, w: int) -> Tokens:
    """A document in letters, as golden/cases.py writes it: `.` a real token, `g` a global one, `-` padding."""
    found = np.array(list(letters))
    return found != "-", found == "g", w


LONG = tokens("g........g..........----", 3)
SHORT = tokens("..g..-", 1)


def kind(i: int, j: int, document: Tokens) -> str:
    """The colour of the square (i, j): why i attends to j, or why it does not."""
    is_real, is_global, w = document
    if may_attend(i, j, w, is_real, is_global):
        return ROW if is_global[i] else COLUMN if is_global[j] else BAND
    return NOTHING if is_real[i] and is_real[j] else PADDING


def squares(cells: list[tuple[int, int]], size: int, colour: str) -> str:
    """One path of all squares at (row, column), with a thin gap between them."""
    inner = size - 1
    d = "".join(f"M{j * size} {i * size}h{inner}v{inner}h-{inner}z" for i, j in cells)
    return f'<path d="{d}" fill="{colour}"/>'


def text(x: float, y: float, words: str, *, anchor: str = "start", size: int = 13, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" {more}>{words}</text>'


def grid(rows: int, columns: int, size: int, colour_of: Callable[[int, int], str]) -> list[str]:
    """A table of squares, with its origin at the top left."""
    groups: dict[str, list[tuple[int, int]]] = {}
    for i in range(rows):
        for j in range(columns):
            groups.setdefault(colour_of(i, j), []).append((i, j))
    return [squares(cells, size, colour) for colour, cells in groups.items()]


def figure(width: int, height: int, title: str, parts: list[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" {FONT} fill="{INK}">',
            f"<title>{title}</title>",
            *parts,
            "</svg>\n",
        ]
    )


def moved(x: float, y: float, parts: list[str]) -> list[str]:
    return [f'<g transform="translate({x:g} {y:g})">', *parts, "</g>"]


def pattern() -> str:
    """The README's picture: which token attends to which."""
    is_real, is_global, w = LONG
    S, size, left, top = len(is_real), 12, 30, 34
    parts = [
        text(left, 14, "attends to this token &#8594;"),
        text(-top, 14, "this token &#8594;", anchor="end", more='transform="rotate(-90)"'),
        *moved(left, top, grid(S, S, size, lambda i, j: kind(i, j, LONG))),
    ]
    for i in np.flatnonzero(is_global):
        parts.append(text(left - 4, top + i * size + 10, "g", anchor="end", size=11))
        parts.append(text(left + i * size + 6, top - 5, "g", anchor="middle", size=11))
    legend = [
        (BAND, "the band", f"a token sees its neighbours, w = {w} on each side"),
        (COLUMN, "a global column", "every token sees a global token (g)"),
        (ROW, "a global row", "a global token sees every token"),
        (PADDING, "padding", "sees nothing, and nobody sees it"),
        (NOTHING, "nothing", "too far apart, and neither is global"),
    ]
    x = left + S * size + 24
    for n, (colour, name, meaning) in enumerate(legend):
        y = top + 18 + n * 56
        parts.append(f'<rect x="{x}" y="{y - 11}" width="13" height="13" fill="{colour}"/>')
        parts.append(text(x + 22, y, name, more='font-weight="600"'))
        for line, words in enumerate(wrapped(meaning, 40)):
            parts.append(text(x + 22, y + 18 + 16 * line, words, size=12))
    return figure(640, top + S * size + 8, "Which token attends to which in LED's encoder", parts)


def wrapped(words: str, width: int) -> list[str]:
    """Words in lines of at most `width` characters."""
    lines = [""]
    for word in words.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def layout() -> str:
    """docs/attention.md's picture: six tokens, and where their probabilities stand in what a call returns."""
    is_real, is_global, w = SHORT
    S, slots = len(is_real), np.flatnonzero(is_global)
    G = len(slots)

    def in_attentions(i: int, column: int) -> tuple[str, str]:
        """Row i: a slot per global token, then its neighbours; a global neighbour counts in its slot alone."""
        j = int(slots[column]) if column < G else i + column - G - w
        is_shown = 0 <= j < S and not is_global[i] and bool(is_global[j]) == (column < G)
        colour = kind(i, j, SHORT) if is_shown else NOTHING
        return (NOTHING, "") if colour in (NOTHING, PADDING) else (colour, str(j))

    def in_global_attentions(i: int, slot: int) -> tuple[str, str]:
        """Column `slot`: what that global token attends to."""
        colour = kind(int(slots[slot]), i, SHORT)
        return (colour, str(i)) if colour == ROW else (NOTHING, "")

    places = [f"{offset:+d}" if offset else "0" for offset in range(-w, w + 1)]
    globals_ = [f"g{slot}" for slot in range(G)]
    marks = ["g" if is_global[i] else "" if is_real[i] else "pad" for i in range(S)]
    parts = [
        *table(56, "may_attend(i, j)", [str(j) for j in range(S)], S, lambda i, j: (kind(i, j, SHORT), "")),
        *table(350, "attentions[i]", globals_ + places, S, in_attentions),
        *table(560, "global_attentions[j]", globals_, S, in_global_attentions),
        *(text(50, TOP + i * CELL + 21, f"{i} {marks[i]}", anchor="end", size=12) for i in range(S)),
    ]
    title = "Six tokens: who attends to whom, and where the probabilities stand in what a call returns"
    return figure(720, TOP + S * CELL + 4, title, parts)


def table(x: int, title: str, heads: list[str], rows: int, cell: Callable[[int, int], tuple[str, str]]) -> list[str]:
    """A table of labelled squares with its left edge at x; cell(i, j): the colour and the label."""
    parts = [text(x, 16, title, more='font-weight="600"')]
    parts += [text(x + j * CELL + CELL / 2, TOP - 8, head, anchor="middle", size=12) for j, head in enumerate(heads)]
    parts += moved(x, TOP, grid(rows, len(heads), CELL, lambda i, j: cell(i, j)[0]))
    for i in range(rows):
        for j in range(len(heads)):
            label = cell(i, j)[1]
            place = (x + j * CELL + CELL / 2, TOP + i * CELL + 21)
            if label:
                parts.append(text(*place, label, anchor="middle", size=12, more='fill="#ffffff"'))
    return parts


FIGURES = {"attention.svg": pattern, "layout.svg": layout}


if __name__ == "__main__":
    for name, draw in FIGURES.items():
        (HERE / name).write_text(draw(), encoding="utf-8")
