"""1. How a text is read: what happens to a long one, where it is cut, which tokens are global.

Letters: S source tokens.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

SPECIAL = 2  # tokens of any piece: <s> and </s>
FEWEST = 16  # the least that may be asked for: room for some characters, of four tokens each at worst, and an overlap
DOC_SEP = "<doc-sep>"  # stands between the documents of one input; PRIMERA's vocabulary has it

TooLong = Literal["error", "truncate", "chunk"]
Combine = Literal["concat", "again"]

_CHOICES = {"too_long": ("error", "truncate", "chunk"), "combine": ("concat", "again")}
_GLOBAL = re.compile(r"first|none|doc-sep|tokens:\d{1,9}(-\d{1,9})?(,\d{1,9}(-\d{1,9})?)*", re.ASCII)
_SENTENCE_ENDS, _WIDE_ENDS, _CLOSING = ".!?…。！？", "。！？", "\"'”’)]»」』"  # no space follows the wide ones
_OF_CHUNKS = ("chunk_tokens", "overlap", "combine")


@dataclass(frozen=True)
class Reading:
    """How a text is read.

    too_long: what to do with more tokens than the encoder has positions: "error"; "truncate", to read as many of them
        as it has; "chunk", to summarize it piece by piece
    chunk_tokens: the most tokens of a chunk, `<s>` and `</s>` included, and what a text must exceed to be cut into
        chunks; None for all positions of the encoder
    overlap: how many tokens at the end of a chunk the next one begins with, at most: it begins with a sentence or a
        word where it can; no more than half of a chunk
    combine: what becomes of the summaries of chunks: "concat" puts a blank line between them; "again" summarizes what
        that gives, until there is one summary
    global_attention: which tokens attend to all: "first" `<s>`; "doc-sep" `<s>` and every `<doc-sep>`; "none";
        "tokens:0,5" or "tokens:0-7" those at these places of every chunk, `<s>` being 0. None is "doc-sep" where the
        vocabulary has `<doc-sep>`, else "first"

    Raises InputError for any other value, and for what concerns chunks where too_long is not "chunk".
    """

    too_long: TooLong = "error"
    chunk_tokens: int | None = None
    overlap: int = 0
    combine: Combine = "concat"
    global_attention: str | None = None

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                said = ", ".join(map(repr, allowed[:-1]))
                raise InputError(f"{name} is {getattr(self, name)!r}: it must be {said} or {allowed[-1]!r}")
        for name, least in (("chunk_tokens", FEWEST), ("overlap", 0)):
            value = getattr(self, name)
            if (type(value) is not int or value < least) and (name, value) != ("chunk_tokens", None):
                raise InputError(f"{name} is {value!r}: it must be an integer of at least {least}")
        for name in _OF_CHUNKS:
            if self.too_long != "chunk" and getattr(self, name) != getattr(Reading, name):
                raise InputError(
                    f"{name}={getattr(self, name)!r} has no effect with too_long={self.too_long!r}: pass "
                    "too_long='chunk' (--too-long chunk), or leave it out"
                )
        self.global_places()

    def global_places(self) -> list[range]:
        """The places that "tokens:..." names. Raises InputError."""
        asked = self.global_attention
        if asked is None:
            return []
        if not isinstance(asked, str) or not _GLOBAL.fullmatch(asked):
            raise InputError(
                f"global_attention is {asked!r}: it must be 'first', 'none', 'doc-sep', or places such as "
                "'tokens:0,5' or 'tokens:0-7'"
            )
        ends = [part.split("-") for part in asked.partition(":")[2].split(",") if part]
        places = [range(int(end[0]), int(end[-1]) + 1) for end in ends]
        if not all(places):
            raise InputError(f"global_attention is {asked!r}: a range goes from its smaller place to its larger")
        return places


@dataclass(frozen=True)
class Chunk:
    """A piece of a text as the encoder takes it: the characters start to stop, as a text of their own.

    ids, is_global: (1, S) int
    """

    start: int
    stop: int
    ids: NDArray[np.int64]
    is_global: NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """A text as the encoder takes it, in one chunk or several.

    tokens: of the whole text, `<s>` and `</s>` included; truncated of them are in no chunk
    notes: what was left out or cut, in words
    """

    chunks: tuple[Chunk, ...]
    tokens: int
    truncated: int
    notes: tuple[str, ...]


def cut(
    text: str, starts: Sequence[int], limit: int, overlap: int, encode: Callable[[str], list[int]]
) -> list[tuple[int, int, list[int]]]:
    """Cut a text into pieces of at most `limit` tokens each: (start, stop, ids), ids being those of the piece alone.

    A piece goes from where the one before it stops, or from up to `overlap` tokens before that. All pieces together
    are the text, but a piece of nothing but white space is left out. They are about the same size, and cut where a
    paragraph begins if one does in the second half of what fits, else a line, a sentence, a word, else anywhere.

    starts: for each token of the whole text, without special ones, the character it starts with
    encode: a text to its tokens, special ones included

    Raises InputError where a piece cannot be made short enough.
    """
    pieces = []
    place = [0, *starts[1:], len(text)]  # of each token, its character
    begin = done = 0  # tokens: where the piece begins, and how many the pieces before it have
    while done < len(starts):
        room = limit - SPECIAL
        while True:
            if room <= done - begin:
                begin = done  # without an overlap, then
            if room <= 0:
                raise InputError(
                    f"no piece of the text from character {place[done]:,} on fits into {limit:,} tokens: shorten the "
                    "white space there, or pass a larger chunk_tokens (--chunk-tokens)"
                )
            stop = _next_cut(text, place, done, room - (done - begin))
            ids = encode(text[place[begin] : place[stop]])
            if len(ids) <= limit:
                break
            room -= len(ids) - limit  # alone, a piece may have more tokens than within the text
        if text[place[begin] : place[stop]].strip():
            pieces.append((place[begin], place[stop], ids))
        earliest = max(begin + 1, stop - overlap)
        while earliest < stop and place[earliest] == place[earliest - 1]:  # inside a character
            earliest += 1
        begin = _best_cut(text, place, earliest, (earliest + stop) // 2, earliest) if overlap else stop
        done = stop
    return pieces


def _next_cut(text: str, place: Sequence[int], done: int, room: int) -> int:
    """Where to cut a piece that may have `room` tokens behind the `done` ones: so that the rest is cut evenly."""
    left = len(place) - 1 - done
    if left <= room:
        return done + left
    pieces = -(-left // room)
    most = min(room, left - room // 4)  # the last piece is to have some tokens too
    return _best_cut(text, place, done + (room + 1) // 2, done + most, done + -(-left // pieces))


def _best_cut(text: str, place: Sequence[int], first: int, last: int, wanted: int) -> int:
    """The best of the tokens first to last to cut before, of equally good ones the nearest to `wanted`."""
    return max(range(first, last + 1), key=lambda i: (_break(text, place[i]), -abs(i - wanted)))


def _break(text: str, place: int) -> int:
    """What begins at a place: 4 a paragraph (a blank line is before it), 3 a line, 2 a sentence, 1 a word, 0 nothing.

    A sentence begins behind a mark that ends one, although the mark may as well end an abbreviation.
    """
    if text[place : place + 1].isspace():
        return 0
    end = place
    while end and text[end - 1].isspace():
        end -= 1
    lines = text.count("\n", end, place)
    if lines:
        return 4 if lines > 1 else 3
    mark = text[max(0, end - 3) : end].rstrip(_CLOSING)[-1:]
    if mark and mark in (_SENTENCE_ENDS if end < place else _WIDE_ENDS):
        return 2
    return int(end < place)
