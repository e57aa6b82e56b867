"""Draw the figure of tour.md: `python docs/draw_stacks.py` writes it beside this file."""

from drawing import BLUE, GREY, MONO, OCHRE, PINK, box, figure, text, write

WIDTH, HEIGHT = 760, 560
BOX, GAP = 34, 18  # heights: of a box, and between two
LEFT, RIGHT, WIDE = 90, 440, 210  # where the boxes of the two stacks begin, and how wide they are

# Of each stack from below: the words, the shape that comes out, the colour, and how many boxes a residual jumps over.
Part = tuple[str, str, str, int]
ENCODER: list[Part] = [
    ("token + position, norm", "(S, E)", GREY, 0),
    ("attention: window + global", "(S, E)", BLUE, 1),
    ("add, norm", "(S, E)", GREY, 0),
    ("feed-forward E, F, E", "(S, E)", OCHRE, 1),
    ("add, norm", "(S, E)", GREY, 0),
]
DECODER: list[Part] = [
    ("token + position, norm", "(T, E)", GREY, 0),
    ("attention: to its own past", "(T, E)", BLUE, 1),
    ("add, norm", "(T, E)", GREY, 0),
    ("attention: to the source", "(T, E)", PINK, 1),
    ("add, norm", "(T, E)", GREY, 0),
    ("feed-forward E, F, E", "(T, E)", OCHRE, 1),
    ("add, norm", "(T, E)", GREY, 0),
    ("head E, V", "(T, V)", GREY, 0),
]


def bottom(number: int) -> int:
    """The lower edge of a box, counted from below."""
    return HEIGHT - 70 - number * (BOX + GAP)


def path(d: str, more: str = "") -> str:
    return f'<path d="{d}" stroke="{GREY}" fill="none" {more}/>'


def arrow(d: str, x: float, y: float, turn: int = 0) -> list[str]:
    """A line with a head at (x, y), which points up, or turned."""
    head = f'<path d="M-4 7L0 0L4 7z" fill="{GREY}" transform="translate({x:g} {y:g}) rotate({turn})"/>'
    return [path(d), head]


def stack(x: float, parts: list[Part], ids: str, layer: range, side: int) -> list[str]:
    """One stack from its ids up; `layer`: the boxes that are repeated; `side`: of the residuals, -1 left, 1 right."""
    middle, drawn = x + WIDE / 2, [text(x + WIDE / 2, HEIGHT - 26, ids, anchor="middle", size=12, more=MONO)]
    top, low = bottom(layer[-1]) - BOX - 16, bottom(layer[0]) + 9
    drawn.append(box(x - (34 if side < 0 else 16), top, WIDE + 50, low - top, GREY, 'fill-opacity="0.06"'))
    drawn.append(text(x + 2, top + 12, "one layer", size=11, more=f'fill="{GREY}"'))
    edge = x if side < 0 else x + WIDE
    for number, (words, shape, colour, jumps) in enumerate(parts):
        y = bottom(number)
        drawn += arrow(f"M{middle:g} {y + GAP}V{y}", middle, y)
        drawn += [box(x, y - BOX, WIDE, BOX, colour), text(middle, y - 12, words, anchor="middle", size=12)]
        anchor = "start" if side < 0 else "end"
        drawn.append(text(middle - 8 * side, y - BOX - 4, shape, anchor=anchor, size=10, more=MONO))
        if jumps:  # the residual: around this box, into the sum above it
            d = f"M{middle:g} {y + GAP / 2:g}H{edge + 16 * side:g}V{bottom(number + 1) - BOX / 2:g}H{edge:g}"
            drawn += arrow(d, edge, bottom(number + 1) - BOX / 2, -90 * side)
    return drawn


def stacks() -> str:
    """The encoder and the decoder side by side, one layer of each in full."""
    parts = stack(LEFT, ENCODER, "source ids (S,)", range(1, 5), -1)
    parts += stack(RIGHT, DECODER, "target ids (T,)", range(1, 7), 1)
    top, y = bottom(4) - BOX, bottom(3) - BOX / 2  # from the encoder's states to the decoder's second attention
    middle, between = LEFT + WIDE / 2, (LEFT + WIDE + RIGHT) / 2
    parts += arrow(f"M{middle:g} {top:g}V{top - 34:g}H{between:g}V{y:g}H{RIGHT:g}", RIGHT, y, 90)
    parts.append(text(LEFT, top - 40, "the states: keys and values of the source", size=11))
    parts += arrow(f"M{RIGHT + WIDE / 2:g} {bottom(7) - BOX}V{bottom(8) - 4:g}", RIGHT + WIDE / 2, bottom(8) - 4)
    parts.append(text(RIGHT + WIDE / 2 + 12, bottom(8) + 10, "logits: a score for every token", size=11))
    for x, name in ((LEFT, "encoder"), (RIGHT, "decoder")):
        parts.append(text(x, 22, name, size=14, more='font-weight="600"'))
    description = (
        "Two columns of boxes, read upwards. The encoder: embedding, then per layer windowed attention, add and norm, "
        "feed-forward, add and norm. The decoder: embedding, then per layer attention to its own past, attention to "
        "the encoder's states, feed-forward, each followed by add and norm; and the head. A line around each "
        "attention and each feed-forward is the residual."
    )
    return figure(WIDTH, HEIGHT, "The encoder and the decoder of LED", description, parts)


FIGURES = {"stacks.svg": stacks}


if __name__ == "__main__":
    write(FIGURES)
