"""10. What a call returns: rows that know where their tokens come from, and a batch of them."""

from bisect import bisect, bisect_left
from collections import UserDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .lengths import Window
from .offsets import EncodedText, trimmed

Token = tuple[int, str]  # id and string
Answer = TypeVar("Answer")


class CharSpan(NamedTuple):
    """Characters `start` to `end` of a text."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Tokens `start` to `end` of a row."""

    start: int
    end: int


@dataclass(eq=False, repr=False)
class Encoding:
    """One row: windows of a text, and of its pair if there is one, special tokens round each, padding beside them.

    The names are those of the `Encoding` of the tokenizers library. What is asked for is computed then, so that a
    plain call pays for its ids only.
    """

    texts: tuple[EncodedText, ...]
    window: Window
    special: tuple[Token, ...]  # two for each text, or none
    pad_token: Token
    trim_offsets: bool
    add_prefix_space: bool
    padding: tuple[int, int] = (0, 0)  # tokens on the left and on the right

    def __post_init__(self) -> None:
        self._n_tokens = len(self.special) + sum([part.stop - part.start for part in self.window])

    def __len__(self) -> int:
        return self._n_tokens + sum(self.padding)

    def __repr__(self) -> str:
        return f"Encoding(num_tokens={len(self)}, n_sequences={self.n_sequences})"

    def pad(self, length: int, side: str) -> None:
        """Put padding beside the row, up to `length`, before anything is asked of it."""
        missing = max(0, length - len(self))
        self.padding = (0, missing) if side == "right" else (missing, 0)

    def _lay_out(self, of_texts: Sequence[Any], special: Sequence[Any], pad: Any) -> list[Any]:
        """One value a token: those of its texts, of the special tokens round each, and of padding."""
        row = [pad] * self.padding[0]
        for i, values in enumerate(of_texts):
            row += [*special[2 * i : 2 * i + 1], *values, *special[2 * i + 1 : 2 * i + 2]]
        return row + [pad] * self.padding[1]

    @property
    def ids(self) -> list[int]:
        """The ids."""
        ids = [text.ids[part] for text, part in zip(self.texts, self.window, strict=True)]
        return self._lay_out(ids, [number for number, _ in self.special], self.pad_token[0])

    @property
    def tokens(self) -> list[str]:
        """The tokens as strings of byte symbols; an added token as it stands in the text."""
        tokens = [text.tokens[part] for text, part in zip(self.texts, self.window, strict=True)]
        return self._lay_out(tokens, [token for _, token in self.special], self.pad_token[1])

    @property
    def attention_mask(self) -> list[int]:
        """1 is a token, 0 is padding."""
        return [0] * self.padding[0] + [1] * self._n_tokens + [0] * self.padding[1]

    @property
    def special_tokens_mask(self) -> list[int]:
        """1 is a token that the call added, 0 is one of a text."""
        return self._lay_out([[0] * (part.stop - part.start) for part in self.window], [1] * len(self.special), 1)

    @property
    def type_ids(self) -> list[int]:
        """0 everywhere: LED does not tell the texts of a pair apart."""
        return [0] * len(self)

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """The span of characters of each token in its own text; (0, 0) for one that the call added."""
        offsets = []
        for text, part in zip(self.texts, self.window, strict=True):
            spans = text.spans[:, part]
            start, stop = trimmed(spans, self.add_prefix_space) if self.trim_offsets else spans[:2]
            offsets.append(zip(start.tolist(), stop.tolist(), strict=True))
        return self._lay_out(offsets, [(0, 0)] * len(self.special), (0, 0))

    @property
    def sequence_ids(self) -> list[int | None]:
        """Which text each token is of: 0, 1, or None."""
        numbers = [[i] * (part.stop - part.start) for i, part in enumerate(self.window)]
        return self._lay_out(numbers, [None] * len(self.special), None)

    @property
    def word_ids(self) -> list[int | None]:
        """Which word of its text each token is of, or None. The words are those that no merge crosses, or as given."""
        words = [text.words[part] for text, part in zip(self.texts, self.window, strict=True)]
        return self._lay_out(words, [None] * len(self.special), None)

    @property
    def n_sequences(self) -> int:
        """How many texts the row has, 1 or 2."""
        return len(self.texts)

    def token_to_sequence(self, token: int) -> int | None:
        """Which text a token is of; None where there is no such token in a text."""
        return next((i for i in range(self.n_sequences) if token in range(*self._range(i))), None)

    def token_to_word(self, token: int) -> int | None:
        """Which word a token is of; None where there is no such token in a text."""
        return self._words[token] if token < len(self) else None

    def token_to_chars(self, token: int) -> CharSpan | None:
        """Which characters a token is; None where there is no such token in a text."""
        return None if self.token_to_sequence(token) is None else CharSpan(*self._chars[token].tolist())

    def char_to_token(self, char: int, sequence_index: int = 0) -> int | None:
        """The first token that a character of a text is in, if there is one: trimmed white space is in none."""
        first, last = self._range(sequence_index)
        start, stop = self._chars[first:last].T
        found = np.flatnonzero((start <= char) & (char < stop))
        return first + int(found[0]) if len(found) else None

    def char_to_word(self, char: int, sequence_index: int = 0) -> int | None:
        """The word that a character of a text is in, if there is one."""
        token = self.char_to_token(char, sequence_index)
        return None if token is None else self._words[token]

    def word_to_tokens(self, word: int, sequence_index: int = 0) -> TokenSpan | None:
        """The tokens of a word of a text; None where the row has none."""
        first, last = self._range(sequence_index)  # where words never fall
        span = TokenSpan(bisect_left(self._words, word, first, last), bisect(self._words, word, first, last))
        return span if span.start < span.end else None

    def word_to_chars(self, word: int, sequence_index: int = 0) -> CharSpan:
        """The characters of a word of a text. Raises InputError where the row has no token of it."""
        tokens = self.word_to_tokens(word, sequence_index)
        if tokens is None:
            raise InputError(f"word {word} has no token in this row")
        return CharSpan(int(self._chars[tokens.start, 0]), int(self._chars[tokens.end - 1, 1]))

    @cached_property
    def _chars(self) -> NDArray[np.int64]:
        return np.array(self.offsets, dtype=np.int64).reshape(-1, 2)

    @cached_property
    def _words(self) -> list[Any]:
        return self.word_ids

    def _range(self, sequence_index: int) -> tuple[int, int]:
        """The first token of a text in the row, and the one after its last."""
        if sequence_index not in range(self.n_sequences):
            raise InputError(
                f"sequence_index is {sequence_index!r}, and the row has {self.n_sequences}, counted from 0"
            )
        sizes = [part.stop - part.start for part in self.window]
        n_before = bool(self.special) * (2 * sequence_index + 1)
        first = self.padding[0] + n_before + sum(sizes[:sequence_index])
        return first, first + sizes[sequence_index]


class BatchEncoding(UserDict[str, Any]):
    """`input_ids`, `attention_mask` and what else was asked for: by key, by attribute, and as **arguments.

    The values are lists for one text, lists of lists for a list of texts, arrays after `convert_to_tensors("np")`.
    What a call returns also has its rows, `encodings`: `batch[0]` is the first. The methods that lead from characters
    and words to tokens and back take (batch_index, index), or the index alone for the first row; indices count from 0.
    They raise InputError where there is no such row.
    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        encoding: Encoding | Sequence[Encoding] | None = None,
        tensor_type: str | None = None,
        prepend_batch_axis: bool = False,
    ) -> None:
        super().__init__(data)
        self.encodings = [encoding] if isinstance(encoding, Encoding) else encoding
        self.convert_to_tensors(tensor_type, prepend_batch_axis)

    def __getitem__(self, item: Any) -> Any:
        """The value of a key, the row of an index; of a slice the rows, or if there are none, a slice of each value."""
        if isinstance(item, slice):
            return {k: v[item] for k, v in self.data.items()} if self.encodings is None else self.encodings[item]
        return self._row(item) if isinstance(item, int | np.integer) else self.data[item]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["data"][name]
        except KeyError:
            raise AttributeError(f"no {name!r} in this encoding") from None

    @property
    def is_fast(self) -> bool:
        """Whether the rows know where their tokens come from: as a call returns them, and not after `pad`."""
        return self.encodings is not None

    @property
    def n_sequences(self) -> int | None:
        """How many texts a row has, 1 or 2; None if that is not known."""
        return self.encodings[0].n_sequences if self.encodings else None

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of a row as strings of byte symbols; an added token as it stands in the text."""
        return self._row(batch_index).tokens

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """Which text of a row each token is of: 0, 1, or None for a token that the call added."""
        return self._row(batch_index).sequence_ids

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """Which word of its text each token of a row is of, or None for a token that the call added."""
        return self._row(batch_index).word_ids

    words = word_ids

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """Which text a token is of; None where there is no such token in a text."""
        return self._ask(Encoding.token_to_sequence, batch_or_token_index, token_index)

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """Which word of its text a token is of; None where there is no such token in a text."""
        return self._ask(Encoding.token_to_word, batch_or_token_index, token_index)

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """Which characters of its text a token is; None where there is no such token in a text."""
        return self._ask(Encoding.token_to_chars, batch_or_token_index, token_index)

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The first token that a character of a text is in, if there is one: trimmed white space is in none."""
        return self._ask(Encoding.char_to_token, batch_or_char_index, char_index, sequence_index)

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The word that a character of a text is in, if there is one."""
        return self._ask(Encoding.char_to_word, batch_or_char_index, char_index, sequence_index)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word of a text; None where the row has none."""
        return self._ask(Encoding.word_to_tokens, batch_or_word_index, word_index, sequence_index)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan:
        """The characters of a word of a text. Raises InputError where the row has no token of it."""
        return self._ask(Encoding.word_to_chars, batch_or_word_index, word_index, sequence_index)

    def _row(self, index: Any) -> Encoding:
        if not self.encodings:
            raise InputError(
                "this encoding has no rows that know their texts: take what a call of the tokenizer returns"
            )
        if index not in range(-len(self.encodings), len(self.encodings)):
            raise InputError(f"row {index} of {len(self.encodings)}: they count from 0")
        return self.encodings[index]

    def _ask(self, question: Callable[..., Answer], first: int, second: int | None, *sequence_index: int) -> Answer:
        row, index = (0, first) if second is None else (first, second)
        if not isinstance(index, int | np.integer) or index < 0:
            raise InputError(f"the index {index!r}: an integer of at least 0 was expected")
        return question(self._row(row), index, *sequence_index)

    def convert_to_tensors(self, tensor_type: str | None = None, prepend_batch_axis: bool = False) -> Self:
        """Make every value an array (None: leave the lists). Rows of several lengths make an array of arrays.

        prepend_batch_axis: put an axis of size 1 in front.
        """
        if tensor_type is None:
            return self
        if tensor_type != "np":
            raise InputError(
                f"return_tensors={tensor_type!r}: pyled gives NumPy arrays ('np') or lists (None); "
                "make tensors of the arrays, with torch.from_numpy for torch"
            )
        for name, value in self.items():
            self[name] = as_array([value] if prepend_batch_axis else value)
        return self


def as_array(value: Any) -> NDArray[Any]:
    """An array; one of arrays if the rows differ in length; of integers even if nothing is in it."""
    if isinstance(value, list) and value and isinstance(value[0], list) and len({len(row) for row in value}) > 1:
        rows = np.empty(len(value), dtype=object)
        rows[:] = [as_array(row) for row in value]
        return rows
    array = np.asarray(value)
    return array if array.size else array.astype(np.int64)
