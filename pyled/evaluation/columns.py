"""Rows of a table in columns, for people."""

from collections.abc import Iterator


def aligned(rows: Iterator[list[str]]) -> Iterator[str]:
    """A line for each row: names to the left, figures to the right."""
    kept = list(rows)
    widths = [max(map(len, column)) for column in zip(*kept, strict=True)]
    for row in kept:
        name, *figures = (f"{cell:<{widths[0]}}" if i == 0 else cell.rjust(widths[i]) for i, cell in enumerate(row))
        yield "  ".join([name, *figures]).rstrip()
