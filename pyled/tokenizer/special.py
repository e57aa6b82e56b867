"""3. Special tokens: strings of the raw text that are one token before any splitting.

They are looked for in two rounds, first the tokens that are not `normalized`, then, in what lies between, the
others. In each round, from left to right, and of those that start at one place the longest wins. That a user's text
can hold them is how Hugging Face defines it; `split_special_tokens=True` reads them as plain text.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from operator import itemgetter
from typing import Any

from ..errors import TokenizerError
from .bytelevel import LETTER, WHITE_SPACE

NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
_SPACES = re.compile(f"[{WHITE_SPACE}]*")

Piece = tuple[int, int, int | None]  # start, stop, and the id of an added token or None for plain text


@dataclass(frozen=True)
class AddedToken:
    """A string that is one token wherever it stands in a text (transformers' AddedToken).

    lstrip, rstrip: the token takes the white space before or after it along. single_word: not inside a word.
    normalized: looked for in the second round; True by default, except for special tokens. special: a control
    token, which `decode(..., skip_special_tokens=True)` leaves out.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool | None = None
    special: bool = False

    def __post_init__(self) -> None:
        if self.normalized is None:
            object.__setattr__(self, "normalized", not self.special)

    def __str__(self) -> str:
        return self.content

    def to_dict(self) -> dict[str, Any]:
        """The keys of a `tokenizer_config.json`."""
        return asdict(self)


def added_token(value: object, where: str, **defaults: bool) -> AddedToken:
    """An AddedToken from any spelling found in files: a string, or an object with or without `__type`.

    `defaults` are the flags of a plain string. Raises TokenizerError for anything else; `where` opens the message.
    """
    if isinstance(value, AddedToken):
        token = value
    elif isinstance(value, str):
        token = AddedToken(value, **defaults)
    elif isinstance(value, dict):
        values = {key: v for key, v in value.items() if key not in ("__type", "id")}
        if not isinstance(values.get("content"), str):
            raise TokenizerError(f"{where}: an added token needs a 'content' that is a string, not {value!r:.80}")
        for key, flag in values.items():
            if key != "content" and (key not in _FLAGS or type(flag) is not bool):
                raise TokenizerError(f"{where}: {key} = {flag!r:.40} is no flag of a token: {', '.join(_FLAGS)}")
        token = AddedToken(**values)
    else:
        raise TokenizerError(f"{where}: {value!r:.80} is no token: a string or an object with 'content' is")
    if not token.content:
        raise TokenizerError(f"{where}: a token needs at least one character")
    return token


def number_added(
    ids: Mapping[str, int], listed: Mapping[int, AddedToken], wanted: Iterable[AddedToken]
) -> dict[int, AddedToken]:
    """The id of every added token: its own if the vocabulary has it, else the next one after the vocabulary.

    ids: the vocabulary; listed: tokens with the ids that files give them; wanted: tokens that must exist, whose flags
    overrule those of a listed token of that name. Raises TokenizerError where a listed id is not the one due.
    """
    id_of: dict[str, int] = {}
    added: dict[int, AddedToken] = {}
    numbered: list[tuple[int | None, AddedToken]] = [*sorted(listed.items(), key=itemgetter(0))]
    for number, token in [*numbered, *((None, token) for token in wanted)]:
        due = id_of.setdefault(token.content, ids.get(token.content, len(ids) + sum(i >= len(ids) for i in added)))
        if number is not None and number != due:
            raise TokenizerError(
                f"the added token {token.content!r:.60} is listed with the id {number}, but its place is {due}: "
                f"{len(ids)} tokens are in the vocabulary, and added ones follow without gaps"
            )
        added[due] = token
    return dict(sorted(added.items()))


def special_tokens(
    given: Mapping[str, Any],
    additional: Sequence[Any],
    in_file: Mapping[int, AddedToken],
    listed: Mapping[int, AddedToken],
) -> tuple[dict[str, AddedToken], list[AddedToken]]:
    """The token of each role, and the additional ones. Roles that share a string share the first one's flags.

    A string takes the flags that `tokenizer.json` has for it, an additional one also those of added_tokens_decoder;
    `<mask>` always has its own: lstrip.
    """
    of_content = {token.content: token for token in in_file.values()}
    special: dict[str, AddedToken] = {}

    def resolve(value: Any, name: str) -> AddedToken:
        if isinstance(value, str) and value in of_content and name != "mask_token":
            token = of_content[value]
        else:
            token = added_token(value, name, lstrip=name == "mask_token", special=name not in NAMES)
        return special.setdefault(token.content, replace(token, special=True))

    named = {name: resolve(value, name) for name, value in given.items()}
    of_content |= {token.content: token for token in listed.values()}
    others = [resolve(value, "additional_special_tokens") for value in additional]
    return named, list(dict.fromkeys(others))


class SpecialTokens:
    """Finds the added tokens of a vocabulary, given by id, in texts."""

    def __init__(self, added: Mapping[int, AddedToken]) -> None:
        self._of_content = {token.content: (token, number) for number, token in added.items()}
        rounds = [[token for token in added.values() if token.normalized is wanted] for wanted in (False, True)]
        self._rounds = [_any_of(tokens) for tokens in rounds if tokens]

    def split(self, text: str, plain_special: bool = False) -> list[Piece]:
        """The text from start to end in pieces (start, stop, id), where id is None for a piece of plain text.

        plain_special: tokens that are `special` count as plain text.
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
            token, number = self._of_content[match[0]]
            start, stop = match.span()
            if plain_special and token.special:
                continue
            if token.single_word and _touches_word(text, first, start, stop, last):
                continue
            if token.lstrip:
                start = done + len(text[done:start].rstrip(WHITE_SPACE))
            if token.rstrip:
                stop += len(_SPACES.match(text, stop, last)[0])  # type: ignore[index]  # it always matches
            if done < start:
                yield done, start, None
            yield start, stop, number
            done = stop
        if done < last:
            yield done, last, None


def _any_of(tokens: Iterable[AddedToken]) -> re.Pattern[str]:
    longest_first = sorted((token.content for token in tokens), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)))


def _touches_word(text: str, first: int, start: int, stop: int, last: int) -> bool:
    before = start > first and LETTER.match(text[start - 1])
    return bool(before or (stop < last and LETTER.match(text[stop])))
