"""Draw the figure of checkpoint.md: `python docs/draw_checkpoint.py` writes it beside this file.

Every number and every width is read from golden/tiny's model.safetensors, by hand.
"""

import json
from pathlib import Path
from typing import Any

from drawing import BLUE, GREY, INK, MONO, OCHRE, PINK, box, figure, text, write

FILE = Path(__file__).parent.parent / "golden" / "tiny" / "model.safetensors"

WIDTH, LEFT, RIGHT = 760, 20, 740
FILE_AT, HEADER_AT, DATA_AT, BAR = 34, 130, 306, 34  # heights
LINE, SHOWN = 24, 3  # of an entry; entries shown at the start of the header
FADED = 'fill-opacity="0.3"'


def read() -> tuple[bytes, int, list[tuple[str, dict[str, Any]]]]:
    """Return the first 8 bytes, the file's size, and the tensors' entries in the order of their data."""
    data = FILE.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    del header["__metadata__"]
    return data[:8], len(data), sorted(header.items(), key=lambda item: item[1]["data_offsets"])


def lines(points: str) -> str:
    """Return grey lines."""
    return f'<path d="{points}" stroke="{GREY}" fill="none"/>'


def layout() -> str:
    """Return the figure: the file, its header in words, its data to scale."""
    first, size, entries = read()
    length = int.from_bytes(first, "little")
    start = 8 + length
    buffer = size - start
    scale = (RIGHT - LEFT) / buffer
    mono = f'{MONO} xml:space="preserve"'

    parts = [text(LEFT, 20, f"golden/tiny/model.safetensors, {size:,} bytes", more='font-weight="600"')]
    bars = [
        (LEFT, 184, PINK, first.hex(" "), "8 bytes: N, little-endian"),
        (LEFT + 186, 200, BLUE, '{"__metadata__":{...', f"N = {length:,} bytes of JSON"),
        (LEFT + 388, RIGHT - LEFT - 388, OCHRE, "data", f"{buffer:,} bytes: the tensors, from byte {start:,} on"),
    ]
    for x, width, colour, inside, meaning in bars:
        parts += [box(x, FILE_AT, width, BAR, colour, FADED), text(x, FILE_AT + BAR + 18, meaning, size=12)]
        parts.append(text(x + width / 2, FILE_AT + 22, inside, anchor="middle", size=12, more=mono))
    parts.append(
        lines(f"M{LEFT + 186} {FILE_AT + BAR + 26}L{LEFT} {HEADER_AT - 14}H{RIGHT}L{LEFT + 386} {FILE_AT + BAR + 26}")
    )

    listed = [*entries[:SHOWN], None, entries[-1]]
    for n, entry in enumerate(listed):
        y = HEADER_AT + 14 + n * LINE
        if entry is None:
            parts.append(text(LEFT, y, f"... {len(entries) - SHOWN - 1} more", size=12, more=mono))
            continue
        name, fields = entry
        parts.append(text(LEFT, y, f'"{name}":{json.dumps(fields, separators=(",", ":"))}', size=12, more=mono))

    d = "".join(
        f"M{LEFT + fields['data_offsets'][0] * scale:.1f} {DATA_AT}V{DATA_AT + BAR}" for _, fields in entries[1:]
    )
    parts.append(box(LEFT, DATA_AT, RIGHT - LEFT, BAR, OCHRE, FADED))
    parts.append(f'<path d="{d}" stroke="{INK}" stroke-width="0.5"/>')
    parts.append(text(LEFT, DATA_AT - 30, f"The data, to scale: {len(entries)} tensors without gaps", size=12))
    for name, fields in entries:
        begin, end = fields["data_offsets"]
        if (end - begin) * scale > 30:
            words = name.removeprefix("led.").removesuffix(".weight")
            parts.append(text(LEFT + begin * scale, DATA_AT - 8, words, size=11, more=MONO))
    parts.append(text(LEFT, DATA_AT + BAR + 16, "0", size=11))
    parts.append(text(RIGHT, DATA_AT + BAR + 16, f"{entries[-1][1]['data_offsets'][1]:,}", anchor="end", size=11))
    description = (
        f"A file of {size} bytes in three parts: 8 bytes that hold the number {length}, a header of so many bytes with "
        f"one entry per tensor, and {buffer} bytes of data in which the {len(entries)} tensors follow each other."
    )
    return figure(WIDTH, DATA_AT + BAR + 26, "The layout of a safetensors file", description, parts)


FIGURES = {"safetensors.svg": layout}


if __name__ == "__main__":
    write(FIGURES)
