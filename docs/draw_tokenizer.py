"""Draw the figures of tokenizer.md: `python docs/draw_tokenizer.py` writes them beside this file.

The string goes through golden/tiny's tokenizer. The order of the merges follows from its merges.txt, by the plain
definition.
"""

from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

from drawing import BLUE, GREY, GROUND, INK, MONO, OCHRE, PINK, box, figure, grid, moved, text, write

from pyled.tokenizer import LEDTokenizer
from pyled.tokenizer.bytelevel import SYMBOL_OF_BYTE, split

TINY = Path(__file__).parent.parent / "golden" / "tiny"
EXAMPLE = "The other café <mask>."
SPACE_SHOWN = "\u2423"  # an open box

CELL, GAP, LEFT = 28, 12, 78  # a symbol's width, between words, of the first word
TEXT_AT, WORDS_AT, SYMBOLS_AT, TREE_AT, LEVEL = 44, 96, 148, 196, 38  # heights
NARROW = f'stroke="{INK}" stroke-width="1" fill="none"'


# The way of one string


@dataclass(frozen=True)
class Node:
    """A token: the merge of two others, by its rank, or a symbol. first, last: its symbols in the word."""

    token: str
    first: int
    last: int
    rank: int | None = None
    parts: tuple["Node", ...] = ()

    @property
    def height(self) -> int:
        return 1 + max(part.height for part in self.parts) if self.parts else 0


def read_ranks() -> dict[tuple[str, ...], int]:
    lines = (TINY / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    return {tuple(line.split(" ")): rank for rank, line in enumerate(lines)}


def merged(word: str, ranks: dict[tuple[str, ...], int]) -> list[Node]:
    """Return the tokens of a word, each as a tree of merges: the lowest rank first, of equal ones the leftmost."""
    nodes = [Node(SYMBOL_OF_BYTE[byte], i, i) for i, byte in enumerate(word.encode("utf-8"))]
    while True:
        pairs = [(a.token, b.token) for a, b in pairwise(nodes)]
        candidates = [(ranks[pair], at) for at, pair in enumerate(pairs) if pair in ranks]
        if not candidates:
            return nodes
        rank, at = min(candidates)
        a, b = nodes[at : at + 2]
        nodes[at : at + 2] = [Node(a.token + b.token, a.first, b.last, rank, (a, b))]


def shown(words: str) -> str:
    return words.replace(" ", SPACE_SHOWN)


def pieces(tokenizer: LEDTokenizer) -> list[tuple[str, bool]]:
    """Return the example in pieces, and whether each is an added token as it stands in the text."""
    encoded = tokenizer(EXAMPLE, return_offsets_mapping=True, add_special_tokens=False)
    parts, done = [], 0
    for number, (start, stop) in zip(encoded.input_ids, encoded.offset_mapping, strict=True):
        if number in tokenizer.all_special_ids:
            parts += [(EXAMPLE[done:start], False), (EXAMPLE[start:stop], True)]
            done = stop
    return [*parts, (EXAMPLE[done:], False)]


def label(x: float, y: float, words: str, *, size: int = 13, more: str = "", anchor: str = "middle") -> str:
    return text(x, y, words, anchor=anchor, size=size, more=f"{MONO} {more}".strip())


def tree(node: Node, left: float, bottom: float) -> list[str]:
    """Draw a node, its parts above it, and lines between; a symbol alone has a line to the bottom."""

    def place(node: Node) -> tuple[float, float]:
        return left + (node.first + node.last + 1) * CELL / 2, TREE_AT + node.height * LEVEL

    x, y = place(node)
    parts = []
    for part in node.parts:
        above_x, above_y = place(part)
        parts.append(f'<path d="M{above_x:g} {above_y + (8 if part.parts else -14):g}L{x:g} {y - 11:g}" {NARROW}/>')
        parts += tree(part, left, 0)
    if node.parts:
        parts.append(label(x, y + 3, node.token))
        parts.append(text(x + 5 + 4 * len(node.token), y - 4, str(node.rank), size=10, more=f'fill="{PINK}"'))
    if bottom:
        parts.append(f'<path d="M{x:g} {y + 8 if node.parts else y - 14:g}V{bottom:g}" {NARROW}/>')
    return parts


def example() -> str:
    """Draw the way of one string from text to ids."""
    tokenizer = LEDTokenizer.from_pretrained(TINY, trim_offsets=False)
    ranks, x = read_ranks(), float(LEFT)
    rows = {"text": TEXT_AT, "words": WORDS_AT, "symbols": SYMBOLS_AT, "merges": TREE_AT + 2 * LEVEL}
    bottom = TREE_AT + 5 * LEVEL - 8
    parts = [text(8, y + 17, name, more='font-weight="600"') for name, y in [*rows.items(), ("ids", bottom)]]
    tokens = [(tokenizer.cls_token, x + 17.0)]
    x += 34 + GAP
    for piece, is_added in pieces(tokenizer):
        words = [piece] if is_added else split(piece)
        begin = x
        for word in words:
            count = 3 if is_added else len(word.encode("utf-8"))
            width = count * CELL
            if is_added:
                tokens.append((word.strip(), x + width / 2))
                parts.append(f'<path d="M{x + width / 2:g} {TEXT_AT + 26}V{bottom}" {NARROW} stroke-dasharray="3 3"/>')
            else:
                parts += [box(x, WORDS_AT, width, 24, BLUE), label(x + width / 2, WORDS_AT + 17, shown(word))]
                for i, byte in enumerate(word.encode("utf-8")):
                    parts.append(box(x + i * CELL + 1, SYMBOLS_AT, CELL - 2, 24, GREY))
                    parts.append(label(x + (i + 0.5) * CELL, SYMBOLS_AT + 17, SYMBOL_OF_BYTE[byte]))
                for node in merged(word, ranks):
                    parts += tree(node, x, bottom)
                    tokens.append((node.token, x + (node.first + node.last + 1) * CELL / 2))
            x += width + GAP
        parts.append(box(begin, TEXT_AT, x - GAP - begin, 24, OCHRE if is_added else BLUE, 'fill-opacity="0.3"'))
        parts.append(label((begin + x - GAP) / 2, TEXT_AT + 17, shown(piece)))
    tokens.append((tokenizer.sep_token, x + 20))
    for token, middle in tokens:
        parts.append(label(middle, bottom + 17, str(tokenizer.convert_tokens_to_ids(token)), size=12))
        if token in tokenizer.all_special_tokens:
            parts.append(label(middle, bottom + 34, token, size=11, more=f'fill="{OCHRE}"'))
    parts.append(text(8, 18, "The small numbers are ranks: the lines of merges.txt, counted from 0.", size=12))
    description = (
        f"The text {EXAMPLE!r} in five stages: pieces with the added token found in the raw text, words, byte symbols, "
        "the merges of each word as a tree, and ids, with <s> before and </s> behind."
    )
    return figure(round(x + 48), bottom + 44, "One string, from text to ids", description, parts)


# The byte table


def byte_table() -> str:
    """Draw the 256 bytes as symbols: high half down, low half across."""
    cell, left, top = 30, 40, 34

    def is_printable(byte: int) -> bool:
        return ord(SYMBOL_OF_BYTE[byte]) == byte

    parts = moved(left, top, grid(16, 16, cell, lambda i, j: BLUE if is_printable(16 * i + j) else OCHRE))
    middles = " ".join(f"{left + (j + 0.5) * cell - 0.5:g}" for j in range(16))
    for high in range(16):
        row = "".join(SYMBOL_OF_BYTE[16 * high : 16 * high + 16])
        y = top + high * cell + 20
        parts.append(label(left - 8, y, f"{high:X}_", anchor="end", size=12))
        parts.append(
            f'<text x="{middles}" y="{y}" text-anchor="middle" {MONO} fill="{GROUND}">{escape(row, quote=False)}</text>'
        )
    parts += [label(left + (j + 0.5) * cell, top - 8, f"_{j:X}", size=12) for j in range(16)]
    notes = [
        (BLUE, "stands for itself: 0x21-0x7E, 0xA1-0xAC, 0xAE-0xFF"),
        (OCHRE, "moved: the other 68, in order, to U+0100 and upward"),
    ]
    y = top + 16 * cell + 20
    for n, (colour, words) in enumerate(notes):
        parts += [box(left, y + 20 * n - 10, 12, 12, colour, ""), text(left + 20, y + 20 * n, words, size=12)]
    description = (
        "A table of 16 rows and 16 columns: the symbol of each byte. The printable characters of Latin-1 stand for "
        "themselves; the other 68 bytes, space and line feed among them, have the characters from U+0100 upward."
    )
    return figure(left + 16 * cell + 12, y + 30, "The symbol of each byte", description, parts)


FIGURES = {"tokens.svg": example, "bytes.svg": byte_table}


if __name__ == "__main__":
    write(FIGURES)
