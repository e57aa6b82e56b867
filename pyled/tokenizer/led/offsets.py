"""6. Where each token stands in its text: spans of characters, white space trimmed off them, and words.

A span is a column (start, stop, lead, trail): the characters start to stop, of which `lead` at the beginning and
`trail` at the end are white space. All bytes of one character have that character's span.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ...arrays import Ids
from ..bytelevel import SPACE, WHITE_SPACE, split


class EncodedPiece(NamedTuple):
    """A part of a text that starts at `start`: plain text, or an added token with the white space it took along.

    is_prefixed: a space was put before it; that space counts as part of the first character. word: the index of the
    word that the piece is part of, if the caller split the text into words.
    """

    text: str
    start: int
    n_ids: int
    is_added: bool
    is_prefixed: bool
    word: int | None


@dataclass(eq=False, repr=False)
class EncodedText:
    """One text as ids. The place of each token is computed when it is first asked for."""

    ids: list[int]
    pieces: list[EncodedPiece]
    vocabulary: Sequence[str]  # the tokens in the order of their ids

    @cached_property
    def tokens(self) -> list[str]:
        """The tokens as strings of byte symbols; an added token as it stands in the text."""
        tokens = [self.vocabulary[i] for i in self.ids]
        at = 0
        for piece in self.pieces:
            if piece.is_added:
                tokens[at] = piece.text
            at += piece.n_ids
        return tokens

    @cached_property
    def spans(self) -> Ids:  # (4, n)
        """The span of every token."""
        spans = [_added_span(part) if part.is_added else _plain_spans(part, *shapes) for part, shapes in self._parts()]
        return np.concatenate([np.empty((4, 0), dtype=np.int64), *spans], axis=1)

    @cached_property
    def words(self) -> list[int]:
        """The index of every token's word. Words count through the text; an added token is a word."""
        words: list[int] = []
        n = 0
        for piece, (size, _, _) in self._parts():
            if piece.word is not None:
                words += [piece.word] * piece.n_ids
            elif piece.is_added:
                words.append(n)
                n += 1
            else:
                text = f" {piece.text}" if piece.is_prefixed else piece.text
                stops = np.cumsum([len(word.encode("utf-8")) for word in split(text)])
                words += (n + np.searchsorted(stops, np.cumsum(size), side="left")).tolist()
                n += len(stops)
        return words

    def _parts(self) -> Iterator[tuple[EncodedPiece, Ids]]:
        """Return every piece with how many bytes, leading spaces and trailing spaces each of its tokens has, (3, n)."""
        numbers, place = np.unique(np.array(self.ids, dtype=np.int64), return_inverse=True)
        tokens = [self.vocabulary[i] for i in numbers]
        without = [tokens, [token.lstrip(SPACE) for token in tokens], [token.rstrip(SPACE) for token in tokens]]
        size, without_lead, without_trail = np.array([list(map(len, each)) for each in without], dtype=np.int64)
        shapes, at = np.stack([size, size - without_lead, size - without_trail])[:, place], 0
        for piece in self.pieces:
            yield piece, shapes[:, at : at + piece.n_ids]
            at += piece.n_ids

    def __getstate__(self) -> dict[str, Any]:
        """Return for a pickle what can be asked for, without the vocabulary and the text."""
        return {"ids": self.ids, "tokens": self.tokens, "spans": self.spans, "words": self.words}


def _plain_spans(piece: EncodedPiece, size: Ids, lead: Ids, trail: Ids) -> Ids:
    stops = np.cumsum(size)
    starts = stops - size
    if piece.is_prefixed or not piece.text.isascii():
        data = np.frombuffer(piece.text.encode("utf-8"), dtype=np.uint8)
        character = np.cumsum((data & 0xC0) != 0x80) - 1  # of each byte: those that continue one are 10xxxxxx
        if piece.is_prefixed:
            character = np.concatenate([character[:1], character])
        starts, stops = character[starts], character[stops - 1] + 1
    return np.stack([starts + piece.start, stops + piece.start, lead, trail])


def _added_span(piece: EncodedPiece) -> Ids:
    """Return the span of an added token as it stands in the text, with the white space that it took along."""
    text, edges = piece.text, WHITE_SPACE + SPACE
    lead, trail = len(text) - len(text.lstrip(edges)), len(text) - len(text.rstrip(edges))
    return np.array([[piece.start], [piece.start + len(text)], [lead], [trail]], dtype=np.int64)


def trimmed(spans: Ids, add_prefix_space: bool) -> tuple[Ids, Ids]:
    """Return (start, stop) without the white space, as `trim_offsets` has it (tokenizers 0.22, ByteLevel).

    With add_prefix_space the first token keeps a single leading space: it may be the one that was added.
    """
    start, stop, lead, trail = spans
    if add_prefix_space:
        is_first = start == 0
        is_first[:1] = True
        lead = np.where(is_first & (lead == 1), 0, lead)
    start = np.minimum(start + lead, stop)
    return start, np.maximum(stop - trail, start)
