"""3. Special tokens: strings of the raw text that are one token before any splitting.

They are looked for in two rounds, first the tokens that are not `normalized`, then, in what lies between, the
others. In each round, from left to right, and of those that start at one place the longest wins. That a user's text
can hold them is how Hugging Face defines it; `split_special_tokens=True` reads them as plain text.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import TokenizerError
from .bytelevel import LETTER, WHITE_SPACE, check_text

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

    Raises InputError, TokenizerError for a content that is no text, TokenizerError for a flag that is no boolean.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool | None = None
    special: bool = False

    def __post_init__(self) -> None:
        check_text(self.content, "content")
        for name in _FLAGS:
            flag = getattr(self, name)
            if type(flag) is not bool and (name, flag) != ("normalized", None):
                raise TokenizerError(f"{name} is {flag!r:.40}, but a flag of a token is True or False")
        object.__setattr__(self, "_follows", self.normalized is None)  # past the freezing
        if self.normalized is None:
            object.__setattr__(self, "normalized", not self.special)

    def __str__(self) -> str:
        return self.content

    def as_special(self) -> "AddedToken":
        """The same as a special token; `normalized` changes with it unless it was given."""
        return replace(self, special=True, normalized=None if vars(self)["_follows"] else self.normalized)

    def to_dict(self) -> dict[str, Any]:
        """The keys of a `tokenizer_config.json`."""
        return asdict(self)


Token = str | AddedToken  # what may stand for a role


def added_token(value: object, where: str) -> AddedToken:
    """An AddedToken from any spelling found in files: a string, or an object with or without `__type`.

    Raises TokenizerError for anything else; `where` opens the message.
    """
    if isinstance(value, AddedToken):
        token = value
    elif isinstance(value, str):
        token = AddedToken(value)
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


def role_token(value: object, where: str) -> Token | None:
    """What stands for a role: None, a string as it is, or an AddedToken from any other spelling.

    Raises TokenizerError, as `added_token`.
    """
    token = None if value is None else added_token(value, where)
    return value if isinstance(value, str) else token


def as_list(values: object, where: str) -> list[Any]:
    """A list of tokens, None as an empty one. Raises TokenizerError for what is no list."""
    if values is not None and not isinstance(values, list | tuple):
        raise TokenizerError(f"{where} is {values!r:.40}: a list of tokens was expected")
    return list(values or ())


def role_tokens(values: object, where: str) -> list[Token]:
    """The tokens of a list: a string as it is, or an AddedToken. Raises TokenizerError, as the two above."""
    return [
        value if isinstance(value, str) and value else added_token(value, where) for value in as_list(values, where)
    ]


def as_loaded(token: Token, name: str, is_legacy: bool) -> Token:
    """What transformers 4.57.6 makes of the token of a role when it loads a tokenizer.

    is_legacy: there is no `tokenizer.json`, so that the flags of that file cannot count.
    """
    if isinstance(token, str) and (name == "mask_token" or (is_legacy and name in NAMES)):
        token = AddedToken(token, lstrip=name == "mask_token", normalized=True)
    if not isinstance(token, AddedToken):
        return token
    return replace(token, special=True) if is_legacy else token.as_special()


def first_added(
    special: list[Token], listed: Mapping[int, AddedToken], in_file: Iterable[AddedToken]
) -> list[AddedToken]:
    """What transformers 4.57.6 adds to a tokenizer that it loads, in its order; later tokens change earlier ones.

    special: the tokens of roles; listed: tokens with the ids that files give them; in_file: what `tokenizer.json` has
    added already. A string adds nothing where there is a token of that string.
    """
    first = [listed[number] for number in sorted(listed)]
    known = {token.content for token in (*in_file, *first)}
    roles = {str(token) for token in special}
    later = [AddedToken(token) if isinstance(token, str) else token for token in special if token not in known]
    return [token.as_special() if token.content in roles else token for token in (*first, *later)]


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
        """Give an id to each token that has none, the next one, and its flags to each; how many were new or changed.

        Flags that a token has, or had in this call, change it no more.
        """
        for token in tokens:
            if token.special:
                self._special.setdefault(token.content, token)
        seen = set(self.of_id.values())
        n = len(seen)
        for token in tokens:
            if token not in seen:
                seen.add(token)
                self._put(token)
        known = [*self._special.values(), *self._others]
        rounds = [[token.content for token in known if token.normalized is wanted] for wanted in (False, True)]
        self._rounds = [_any_of(contents) for contents in rounds if contents]
        return len(seen) - n

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
        """The text from start to end in pieces (start, stop, id), where id is None for a piece of plain text.

        plain_special: special tokens count as plain text.
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


def _any_of(contents: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(contents, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)))


def _touches_word(text: str, first: int, start: int, stop: int, last: int) -> bool:
    before = start > first and LETTER.match(text[start - 1])
    return bool(before or (stop < last and LETTER.match(text[stop])))
