"""6. Where each token stands in its text: spans of characters, white space trimmed off them, words.

A span is a row (start, stop, lead, trail, word): the characters start to stop, of which `lead` at the beginning and
`trail` at the end are white space, and the index of their word. All bytes of one character have that character's span.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .bytelevel import SPACE, WHITE_SPACE, split

Spans = NDArray[np.int64]  # (n, 5)


class TokenShapes:
    """How many bytes, leading spaces and trailing spaces each token of a vocabulary has. tokens: in order of ids."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tokens

    @cached_property
    def table(self) -> NDArray[np.int64]:  # (vocabulary, 3)
        shapes = [(len(t), len(t) - len(t.lstrip(SPACE)), len(t) - len(t.rstrip(SPACE))) for t in self.tokens]
        return np.array(shapes, dtype=np.int64)


class Piece(NamedTuple):
    """A part of a text that starts at `start`: plain text, or an added token with the white space it took along.

    is_prefixed: a space was put before it; that space counts as part of the first character. given_word: the index
    of the word that the piece is part of, if the words were given.
    """

    text: str
    start: int
    n_ids: int
    is_added: bool
    is_prefixed: bool
    given_word: int | None


@dataclass(eq=False, repr=False)
class EncodedText:
    """One text as ids, with what it takes to say where each token stands; that is computed when first asked for."""

    ids: list[int]
    pieces: list[Piece]
    shapes: TokenShapes

    @cached_property
    def tokens(self) -> list[str]:
        """The tokens as strings of byte symbols; an added token as it stands in the text."""
        tokens = [self.shapes.tokens[i] for i in self.ids]
        at = 0
        for piece in self.pieces:
            if piece.is_added:
                tokens[at] = piece.text
            at += piece.n_ids
        return tokens

    @cached_property
    def spans(self) -> Spans:
        """The span of every token. Words count through the text; an added token is a word."""
        spans = np.empty((len(self.ids), 5), dtype=np.int64)
        at = n_words = 0
        for piece in self.pieces:
            new = spans[at : at + piece.n_ids]
            if piece.is_added:
                new[:] = _added_span(piece.text, piece.start)
            else:
                new[:] = _plain_spans(piece, self.shapes.table[self.ids[at : at + piece.n_ids]])
            new[:, 4] += n_words
            n_words = int(new[-1, 4]) + 1
            if piece.given_word is not None:
                new[:, 4] = piece.given_word
            at += piece.n_ids
        return spans

    def __getstate__(self) -> dict[str, Any]:
        """For a pickle: what can be asked for, without the vocabulary and the text."""
        return {"ids": self.ids, "tokens": self.tokens, "spans": self.spans}


def _plain_spans(piece: Piece, shapes: NDArray[np.int64]) -> Spans:
    """The spans of a piece of plain text, whose tokens have these shapes, (n, 3)."""
    text, start = piece.text, piece.start
    size, lead, trail = shapes.T
    stops = np.cumsum(size)
    starts = stops - size
    words = split(f" {text}" if piece.is_prefixed else text)
    word_stops = np.cumsum([len(word) if word.isascii() else len(word.encode("utf-8")) for word in words])
    word = np.searchsorted(word_stops, starts, side="right")
    if piece.is_prefixed or not text.isascii():
        data = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
        character = np.cumsum((data & 0xC0) != 0x80) - 1  # of each byte: those that continue one are 10xxxxxx
        if piece.is_prefixed:
            character = np.concatenate([character[:1], character])
        starts, stops = character[starts], character[stops - 1] + 1
    return np.stack([starts + start, stops + start, lead, trail, word], axis=1)


def _added_span(piece: str, start: int) -> tuple[int, int, int, int, int]:
    """The span of an added token as it stands in the text, with the white space that it took along."""
    edges = WHITE_SPACE + SPACE
    lead, trail = len(piece) - len(piece.lstrip(edges)), len(piece) - len(piece.rstrip(edges))
    return start, start + len(piece), lead, trail, 0


def trimmed(spans: Spans, add_prefix_space: bool) -> NDArray[np.int64]:
    """(start, stop) without the white space, as `trim_offsets` has it (tokenizers 0.22, ByteLevel process_offsets).

    With add_prefix_space the first token keeps a single leading space: it may be the one that was added.
    """
    start, stop, lead, trail, _ = spans.T
    if add_prefix_space:
        is_first = start == 0
        is_first[:1] = True
        lead = np.where(is_first & (lead == 1), 0, lead)
    start = np.minimum(start + lead, stop)
    stop = np.where(stop >= trail, np.maximum(stop - trail, start), stop)
    return np.stack([start, stop], axis=1)
