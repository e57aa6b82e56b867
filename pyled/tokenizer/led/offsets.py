"""6. Where each token stands in its text: spans of characters, white space trimmed off them, and words.

A span is a column (start, stop, lead, trail): the characters start to stop, of which `lead` at the beginning and
`trail` at the end are white space. All bytes of one character have that character's span.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..bytelevel import SPACE, WHITE_SPACE, split

Spans = NDArray[np.int64]  # (4, n)


class TokenShapes:
    """How many bytes, leading spaces and trailing spaces each token of a vocabulary has. tokens: in order of ids."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = tokens

    @cached_property
    def table(self) -> NDArray[np.int64]:  # (3, vocabulary)
        size, without_lead, without_trail = (
            np.array(list(map(len, tokens)), dtype=np.int64)
            for tokens in (self.tokens, *(map(strip, self.tokens, repeat(SPACE)) for strip in (str.lstrip, str.rstrip)))
        )
        return np.stack([size, size - without_lead, size - without_trail])


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

    @property
    def encoded(self) -> str:
        """The plain text that was encoded."""
        return f" {self.text}" if self.is_prefixed else self.text


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
        """The span of every token."""
        spans = [np.empty((4, 0), dtype=np.int64)]
        spans += [
            _added_span(piece) if piece.is_added else _plain_spans(piece, *shapes) for piece, shapes in self._shaped()
        ]
        return np.concatenate(spans, axis=1)

    @cached_property
    def words(self) -> list[int]:
        """The index of every token's word. Words count through the text; an added token is a word."""
        words: list[int] = []
        n = 0
        for piece, (size, _, _) in self._shaped():
            if piece.given_word is not None:
                words += [piece.given_word] * piece.n_ids
            elif piece.is_added:
                words.append(n)
                n += 1
            else:
                stops = np.cumsum([len(word.encode("utf-8")) for word in split(piece.encoded)])
                words += (n + np.searchsorted(stops, np.cumsum(size), side="left")).tolist()
                n += len(stops)
        return words

    def _shaped(self) -> Iterator[tuple[Piece, NDArray[np.int64]]]:
        """Every piece with the shapes of its tokens, (3, n)."""
        shapes = self.shapes.table[:, np.array(self.ids, dtype=np.int64)]
        at = 0
        for piece in self.pieces:
            yield piece, shapes[:, at : at + piece.n_ids]
            at += piece.n_ids

    def __getstate__(self) -> dict[str, Any]:
        """For a pickle: what can be asked for, without the vocabulary and the text."""
        return {"ids": self.ids, "tokens": self.tokens, "spans": self.spans, "words": self.words}


def _plain_spans(piece: Piece, size: NDArray[np.int64], lead: NDArray[np.int64], trail: NDArray[np.int64]) -> Spans:
    stops = np.cumsum(size)
    starts = stops - size
    if piece.is_prefixed or not piece.text.isascii():
        data = np.frombuffer(piece.text.encode("utf-8"), dtype=np.uint8)
        character = np.cumsum((data & 0xC0) != 0x80) - 1  # of each byte: those that continue one are 10xxxxxx
        if piece.is_prefixed:
            character = np.concatenate([character[:1], character])
        starts, stops = character[starts], character[stops - 1] + 1
    return np.stack([starts + piece.start, stops + piece.start, lead, trail])


def _added_span(piece: Piece) -> Spans:
    """The span of an added token as it stands in the text, with the white space that it took along."""
    text, edges = piece.text, WHITE_SPACE + SPACE
    lead, trail = len(text) - len(text.lstrip(edges)), len(text) - len(text.rstrip(edges))
    return np.array([[piece.start], [piece.start + len(text)], [lead], [trail]], dtype=np.int64)


def trimmed(spans: Spans, add_prefix_space: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(start, stop) without the white space, as `trim_offsets` has it (tokenizers 0.22, ByteLevel process_offsets).

    With add_prefix_space the first token keeps a single leading space: it may be the one that was added.
    """
    start, stop, lead, trail = spans
    if add_prefix_space:
        is_first = start == 0
        is_first[:1] = True
        lead = np.where(is_first & (lead == 1), 0, lead)
    start = np.minimum(start + lead, stop)
    return start, np.maximum(stop - trail, start)
