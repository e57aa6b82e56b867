"""6. Where each token stands in its text: spans of characters, and white space trimmed off them.

A span is a row (start, stop, lead, trail): the characters start to stop, of which `lead` at the beginning and
`trail` at the end are white space. All bytes of one character have that character's span.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .bytelevel import SPACE, WHITE_SPACE

Spans = NDArray[np.int64]  # (n, 4)


class TokenShapes:
    """How many bytes, leading spaces and trailing spaces each token of a vocabulary has. tokens: in order of ids."""

    def __init__(self, tokens: Sequence[str]) -> None:
        table = [(len(t), len(t) - len(t.lstrip(SPACE)), len(t) - len(t.rstrip(SPACE))) for t in tokens]
        self._table = np.array(table, dtype=np.int64)  # (vocabulary, 3)

    def spans(self, text: str, start: int, ids: Sequence[int], is_prefixed: bool) -> Spans:
        """The spans of the ids of a piece of plain text that starts at `start`.

        is_prefixed: a space was put before it; that space counts as part of the first character.
        """
        size, lead, trail = self._table[np.asarray(ids, dtype=np.int64)].T
        stops = np.cumsum(size)
        starts = stops - size
        if is_prefixed or not text.isascii():
            data = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
            character = np.cumsum((data & 0xC0) != 0x80) - 1  # of each byte: those that continue one are 10xxxxxx
            if is_prefixed:
                character = np.concatenate([character[:1], character])
            starts, stops = character[starts], character[stops - 1] + 1
        return np.stack([starts + start, stops + start, lead, trail], axis=1)


def added_span(piece: str, start: int) -> Spans:
    """The span of an added token as it stands in the text, with the white space that it took along."""
    edges = WHITE_SPACE + SPACE
    lead, trail = len(piece) - len(piece.lstrip(edges)), len(piece) - len(piece.rstrip(edges))
    return np.array([[start, start + len(piece), lead, trail]], dtype=np.int64)


def trimmed(spans: Spans, add_prefix_space: bool) -> list[tuple[int, int]]:
    """(start, stop) without the white space, as `trim_offsets` has it (tokenizers 0.22, ByteLevel process_offsets).

    With add_prefix_space the first token keeps a single leading space: it may be the one that was added.
    """
    start, stop, lead, trail = spans.T
    if add_prefix_space:
        is_first = start == 0
        is_first[:1] = True
        lead = np.where(is_first & (lead == 1), 0, lead)
    start = np.minimum(start + lead, stop)
    stop = np.where(stop >= trail, np.maximum(stop - trail, start), stop)
    return list(zip(start.tolist(), stop.tolist(), strict=True))
