"""2. Where a long text is cut: before a paragraph, a line, a sentence or a word, and never inside a character."""

from collections.abc import Callable, Sequence, Set

import regex  # type: ignore[import-untyped]

from ..errors import InputError

_SENTENCE_ENDS, _WIDE_ENDS, _CLOSING = ".!?…。！？", "。！？", "\"'”’)]»」』"  # no space follows the wide ones
_CHARACTERS = regex.compile(r"[ -~\n]+(?![^ -~\n])|(\X)")  # plain ASCII in one go, the rest character by character


def cut(
    text: str, starts: Sequence[int], limit: int, overlap: int, encode: Callable[[str], list[int]]
) -> list[tuple[int, int, list[int]]]:
    """Cut a text into pieces of at most `limit` tokens each: (start, stop, ids), ids being those of the piece alone.

    A piece goes from where the one before it stops, or from up to `overlap` tokens before that. All pieces together
    are the text, but a piece of nothing but white space is left out. They are about the same size. The cut is before a
    paragraph, if one begins in the second half of the piece, else before a line, a sentence, a word, a character.

    starts: for each token of the whole text, without special ones, the character it starts with
    encode: a text to its tokens, those included that every piece has

    Raises InputError where a piece cannot be made short enough.
    """
    pieces = []
    place = [0, *starts[1:], len(text)]  # of each token, its character
    inside = inside_characters(text)
    shared = len(encode(""))  # tokens of every piece
    begin = done = 0  # tokens: where the piece begins, and how many the pieces before it have
    while done < len(starts):
        room = limit - shared
        while True:
            if room <= done - begin:
                begin = done  # without an overlap, then
            if room <= 0:
                remedy = "shorten the white space there, or pass a larger chunk_tokens"
                raise InputError(f"no piece from character {place[done]:,} on fits into {limit:,} tokens: {remedy}")
            stop = _next_cut(text, place, inside, done, room - (done - begin))
            ids = encode(text[place[begin] : place[stop]])
            if len(ids) <= limit:
                break
            room -= len(ids) - limit  # alone, a piece may have more tokens than within the text
        if text[place[begin] : place[stop]].strip():
            pieces.append((place[begin], place[stop], ids))
        earliest = max(begin + 1, stop - overlap)
        while earliest < stop and (place[earliest] == place[earliest - 1] or place[earliest] in inside):
            earliest += 1
        begin = _best_cut(text, place, inside, earliest, (earliest + stop) // 2, earliest) if overlap else stop
        done = stop
    return pieces


def inside_characters(text: str) -> Set[int]:
    r"""Return the places of a text that are inside a character as people see it: a grapheme cluster of Unicode.

    >>> inside_characters("te\u0301 \N{REGIONAL INDICATOR SYMBOL LETTER F}\N{REGIONAL INDICATOR SYMBOL LETTER I}\r\n")
    {2, 5, 7}
    """
    spans = (match.span(1) for match in _CHARACTERS.finditer(text))
    return {place for start, stop in spans if stop - start > 1 for place in range(start + 1, stop)}


def _next_cut(text: str, place: Sequence[int], inside: Set[int], done: int, room: int) -> int:
    """Return where to cut a piece that may have `room` tokens behind the `done` ones, to cut the rest evenly."""
    left = len(place) - 1 - done
    if left <= room:
        return done + left
    pieces = -(-left // room)
    last = done + min(room, left - room // 4)  # the last piece is to have some tokens too
    even = done + -(-left // pieces)
    best = _best_cut(text, place, inside, done + (room + 1) // 2, last, even)
    if place[best] in inside:  # a long character fills the second half
        best = _best_cut(text, place, inside, done + 1, last, even)
    return best


def _best_cut(text: str, place: Sequence[int], inside: Set[int], first: int, last: int, nearest: int) -> int:
    """Return the best of the tokens first to last to cut before, of equally good ones the nearest to `nearest`."""
    return max(range(first, last + 1), key=lambda i: (_break(text, place[i], inside), -abs(i - nearest)))


def _break(text: str, place: int, inside: Set[int]) -> int:
    """Return what begins at a place: 4 a paragraph, 3 a line, 2 a sentence, 1 a word, 0 a character, -1 nothing.

    A blank line stands before a paragraph. A sentence begins behind a mark that ends one, although the mark may as well
    end an abbreviation.
    """
    if place in inside:
        return -1
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
