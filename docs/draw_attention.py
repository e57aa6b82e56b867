"""Draw the figures of the encoder's attention: `python docs/draw_attention.py` writes them beside this file.

Every coloured square is an answer of `pyled.reference.may_attend`, so that a picture cannot say anything else than the
definition does.
"""

from collections.abc import Callable

import numpy as np
from drawing import BLUE, GREY, GROUND, OCHRE, PINK, figure, grid, moved, text, wrapped, write

from pyled.reference import may_attend

BAND, COLUMN, ROW = BLUE, OCHRE, PINK
NOTHING, PADDING = f'{GREY}" fill-opacity="0.13', f'{GREY}" fill-opacity="0.5'
CELL, TOP = 34, 54  # of the labelled tables: the size of a square, and the room above

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


def pattern() -> str:
    """The README's picture: which token attends to which."""
    is_real, is_global, w = LONG
    S, size, left, top = len(is_real), 12, 30, 34
    parts = [
        text(left, 14, "attends to this token \u2192"),
        text(-top, 14, "this token \u2192", anchor="end", more='transform="rotate(-90)"'),
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
    description = (
        f"A square of {S} rows and {S} columns, one for each token of a document. A diagonal band: each token attends "
        f"to {w} neighbours on either side. Two global tokens have a full row and a full column. The last tokens are "
        "padding: their rows and columns are empty."
    )
    return figure(640, top + S * size + 8, "Which token attends to which in LED's encoder", description, parts)


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
    description = (
        f"Three tables with one row per token; token {slots[0]} is global, token {S - 1} is padding, w is {w}. The "
        "first says who attends to whom. The second is a row of encoder_attentions: a slot for the global token, then "
        "the places from one to the left to one to the right. The third is encoder_global_attentions: one column."
    )
    return figure(720, TOP + S * CELL + 4, title, description, parts)


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
                parts.append(text(*place, label, anchor="middle", size=12, more=f'fill="{GROUND}"'))
    return parts


FIGURES = {"attention.svg": pattern, "layout.svg": layout}


if __name__ == "__main__":
    write(FIGURES)
