"""3. Special tokens: strings of the raw text that are one token before any splitting.

They are looked for in two rounds: first the tokens that are not `normalized`, then, in what lies between, the others.
Each round goes from left to right, and of the tokens that start at one place the longest wins. A user's text can hold
them, as Hugging Face defines it; `plain_special` reads them as plain text.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import regex  # type: ignore[import-untyped]

from ..errors import TokenizerError, brief
from .bytelevel import WHITE_SPACE, check_text

FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
_SPACES = re.compile(f"[{WHITE_SPACE}]*")
_LETTER = regex.compile(r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]")  # \w of the tokenizers library

Piece = tuple[int, int, int | None]  # start, stop, and the id of an added token; None is plain text


@dataclass(frozen=True)
class AddedToken:
    """A string that is one token wherever it stands in a text (transformers' AddedToken).

    lstrip, rstrip: the token takes the white space before or after it along. single_word: not inside a word.
    normalized: looked for in the second round; True by default, except for special tokens. special: a control
    token, which `decode(..., skip_special_tokens=True)` leaves out. Raises InputError, TokenizerError.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool | None = None
    special: bool = False

    def __post_init__(self) -> None:
        if not check_text(self.content, "content"):
            raise TokenizerError("a token needs at least one character")  # an empty one would stand everywhere
        for name in FLAGS:
            flag = getattr(self, name)
            if type(flag) is not bool and not (name == "normalized" and flag is None):
                raise TokenizerError(f"{name} is {brief(flag)}, but a flag of a token is True or False")
        object.__setattr__(self, "_follows", self.normalized is None)  # subtle: this way a frozen class can be set
        if self.normalized is None:
            object.__setattr__(self, "normalized", not self.special)

    def __str__(self) -> str:
        return self.content

    def as_special(self) -> "AddedToken":
        """Return the same token as a special one. `normalized` changes with it unless it was stated.

        >>> AddedToken("<doc-sep>").as_special().normalized
        False
        """
        return replace(self, special=True, normalized=None if vars(self)["_follows"] else self.normalized)


class AddedTokens:
    """The tokens added to a vocabulary: their ids and flags, and where they stand in texts.

    ids: the vocabulary, which stays as it is. `self.ids` and `self.tokens`, in the order of the ids, have all tokens;
    `self.of_id` has the added ones. As in the tokenizers library 0.22, what was special once stays special in texts
    and in decoding, and is looked for in the round in which it was first.
    """

    def __init__(self, ids: Mapping[str, int]) -> None:
        self.ids = dict(ids)
        self.tokens = sorted(ids, key=ids.__getitem__)
        self.of_id: dict[int, AddedToken] = {}
        self._special: dict[str, AddedToken] = {}
        self._others: list[AddedToken] = []
        self._rounds: list[re.Pattern[str]] = []

    def add(self, tokens: Collection[AddedToken]) -> int:
        """Give the next id to each token that has none, and its flags to each. Return how many were new or changed.

        Flags that a token has, or had in this call, change it no more.

        >>> added = AddedTokens({"a": 0, "</s>": 1})
        >>> added.add([AddedToken("</s>", special=True), AddedToken("<new>"), AddedToken("<new>")]), added.ids
        (2, {'a': 0, '</s>': 1, '<new>': 2})
        """
        for token in tokens:
            if token.special:
                self._special.setdefault(token.content, token)
        seen = set(self.of_id.values())
        n_before = len(seen)
        for token in tokens:
            if token not in seen:
                seen.add(token)
                self._put(token)
        known = [*self._special.values(), *self._others]
        rounds = [[t.content for t in known if t.normalized is is_normalized] for is_normalized in (False, True)]
        rounds = [sorted(contents, key=len, reverse=True) for contents in rounds if contents]  # the longest wins
        self._rounds = [re.compile("|".join(map(re.escape, contents))) for contents in rounds]
        return len(seen) - n_before

    def _put(self, token: AddedToken) -> None:
        number = self.ids.setdefault(token.content, len(self.tokens))
        if number == len(self.tokens):
            self.tokens.append(token.content)
        self.of_id[number] = token
        if token.content not in self._special:
            self._others.append(token)

    @property
    def special_ids(self) -> set[int]:
        """The ids that `decode(..., skip_special_tokens=True)` leaves out."""
        return {self.ids[content] for content in self._special}

    def split(self, text: str, plain_special: bool = False) -> list[Piece]:
        """Cut a text from start to end into pieces (start, stop, id); the id of a piece of plain text is None.

        plain_special: special tokens count as plain text.

        >>> added = AddedTokens({"a": 0})
        >>> added.add([AddedToken("<mask>", lstrip=True, special=True)])
        1
        >>> added.split("a <mask>.")
        [(0, 1, None), (1, 8, 1), (8, 9, None)]
        """
        pieces: list[Piece] = [(0, len(text), None)] if text else []
        for pattern in self._rounds:
            pieces = [part for piece in pieces for part in self._split_piece(pattern, text, piece, plain_special)]
        return pieces

    def _split_piece(self, pattern: re.Pattern[str], text: str, piece: Piece, plain_special: bool) -> Iterator[Piece]:
        first, last, number = piece
        if number is not None:
            yield piece
            return
        done = first
        for match in pattern.finditer(text, first, last):
            number = self.ids[match[0]]
            token = self.of_id[number]
            start, stop = match.span()
            if plain_special and match[0] in self._special:
                continue
            if token.single_word and _touches_word(text, first, start, stop, last):
                continue
            if token.lstrip:
                start = done + len(text[done:start].rstrip(WHITE_SPACE))
                if start >= stop:  # the token before it took all of it along
                    continue
            if token.rstrip:
                stop += len(_SPACES.match(text, stop, last)[0])  # type: ignore[index]  # it always matches
            if done < start:
                yield done, start, None
            yield start, stop, number
            done = stop
        if done < last:
            yield done, last, None


def _touches_word(text: str, first: int, start: int, stop: int, last: int) -> bool:
    before = start > first and _LETTER.match(text[start - 1])
    return bool(before or (stop < last and _LETTER.match(text[stop])))
