"""12. The result of a call: rows that know where their tokens come from, and a batch of them."""

from collections import UserDict, namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ...annotations import checked_arguments, is_cpu, is_integer
from ...arrays import Ids
from ...errors import InputError, brief
from .lengths import Window
from .offsets import EncodedText, trimmed

SpecialToken = tuple[int, str]  # its id and string
Index = int | None

CharSpan = namedtuple("CharSpan", ("start", "end"))  # characters of a text
TokenSpan = namedtuple("TokenSpan", ("start", "end"))  # tokens of a row


@dataclass(eq=False, repr=False)
class Encoding:
    """One row: windows of a text, and of its pair if there is one, special tokens round each, padding beside them.

    The names are those of the `Encoding` of the tokenizers library. Each property is computed when it is asked for,
    so that a plain call pays for its ids only. A question about a token, a character or a word that the text
    (sequence_index, from 0) does not have in this row returns None.
    """

    texts: tuple[EncodedText, ...]
    window: Window
    special: tuple[SpecialToken, ...]  # two for each text, or none
    pad_token: SpecialToken
    trim_offsets: bool
    add_prefix_space: bool
    padding: tuple[int, int] = (0, 0)  # tokens on the left and on the right

    def __post_init__(self) -> None:
        self._sizes = [part.stop - part.start for part in self.window]

    def __len__(self) -> int:
        return len(self.special) + sum(self._sizes) + sum(self.padding)

    def __repr__(self) -> str:
        return f"Encoding(num_tokens={len(self)}, n_sequences={self.n_sequences})"

    def pad(self, length: int, side: str) -> None:
        """Put padding beside the row, up to `length`, before anything is asked of it."""
        missing = max(0, length - len(self))
        self.padding = (0, missing) if side == "right" else (missing, 0)

    def _lay_out(self, of_texts: Sequence[Any], special: Sequence[Any], pad: Any) -> list[Any]:
        """Return one value a token: those of its texts, of the special tokens round each, and of padding."""
        row = [pad] * self.padding[0]
        for i, values in enumerate(of_texts):
            row += [*special[2 * i : 2 * i + 1], *values, *special[2 * i + 1 : 2 * i + 2]]
        return row + [pad] * self.padding[1]

    def _mask(self, of_texts: int, special: int, pad: int) -> list[int]:
        """Return one number for each token of a text, another for special tokens, a third for padding."""
        return self._lay_out([[of_texts] * size for size in self._sizes], [special] * len(self.special), pad)

    def _of_texts(self, name: str) -> list[Any]:
        """Return the part of an attribute of each text that is in its window."""
        return [getattr(text, name)[part] for text, part in zip(self.texts, self.window, strict=True)]

    attention_mask = property(lambda row: row._mask(1, 1, 0))
    special_tokens_mask = property(lambda row: row._mask(0, 1, 1))
    type_ids = property(lambda row: row._mask(0, 0, 0))  # LED does not tell the texts of a pair apart
    n_sequences = property(lambda row: len(row.texts))

    @property
    def ids(self) -> list[int]:
        """The ids."""
        return self._lay_out(self._of_texts("ids"), [number for number, _ in self.special], self.pad_token[0])

    @property
    def tokens(self) -> list[str]:
        """The tokens as strings of byte symbols; an added token as it stands in the text."""
        return self._lay_out(self._of_texts("tokens"), [token for _, token in self.special], self.pad_token[1])

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
    def sequence_ids(self) -> list[Index]:
        """The text of each token: 0, 1, or None for a token that the call added."""
        return self._lay_out([[i] * size for i, size in enumerate(self._sizes)], [None] * len(self.special), None)

    @property
    def word_ids(self) -> list[Index]:
        """The word of each token in its text, or None. Words are those that no merge crosses, or the caller's."""
        return self._lay_out(self._of_texts("words"), [None] * len(self.special), None)

    @cached_property
    def _places(self) -> Ids:  # (4, n)
        """The text, the word and the span of characters of each token; -1 is no text, and no word."""
        numbers = [[-1 if i is None else i for i in values] for values in (self.sequence_ids, self.word_ids)]
        spans = np.array(self.offsets, dtype=np.int64).reshape(-1, 2)
        return np.concatenate([np.array(numbers, dtype=np.int64), spans.T])

    @checked_arguments
    def _place(self, token: int) -> tuple[Index, Index, CharSpan | None]:
        """Return the text, the word and the characters of a token, or None for each."""
        sequence, word, *span = self._places[:, token].tolist() if 0 <= token < len(self) else [-1, -1]
        return (None, None, None) if sequence < 0 else (sequence, word, CharSpan(*span))

    def _tokens_where(self, is_there: NDArray[np.bool_], sequence_index: int) -> TokenSpan | None:
        """Return the first token of a text for which the array says True, and the one after the last."""
        if sequence_index not in range(self.n_sequences):
            raise InputError(f"sequence_index is {brief(sequence_index)}: the row has {self.n_sequences}, from 0 on")
        tokens = np.flatnonzero((self._places[0] == sequence_index) & is_there).tolist()
        return TokenSpan(tokens[0], tokens[-1] + 1) if tokens else None

    def token_to_sequence(self, token: int) -> Index:
        """Return the text that a token is of."""
        return self._place(token)[0]

    def token_to_word(self, token: int) -> Index:
        """Return the word of its text that a token is of."""
        return self._place(token)[1]

    def token_to_chars(self, token: int) -> CharSpan | None:
        """Return the characters of its text that a token is."""
        return self._place(token)[2]

    @checked_arguments
    def char_to_token(self, char: int, sequence_index: int = 0) -> Index:
        """Return the first token that a character of a text is in: trimmed white space is in none."""
        start, stop = self._places[2:]
        tokens = self._tokens_where((start <= char) & (char < stop), sequence_index)
        return tokens and tokens.start

    def char_to_word(self, char: int, sequence_index: int = 0) -> Index:
        """Return the word that a character of a text is in."""
        token = self.char_to_token(char, sequence_index)
        return None if token is None else self.token_to_word(token)

    @checked_arguments
    def word_to_tokens(self, word: int, sequence_index: int = 0) -> TokenSpan | None:
        """Return the tokens of a word of a text."""
        return self._tokens_where(self._places[1] == word, sequence_index)

    def word_to_chars(self, word: int, sequence_index: int = 0) -> CharSpan:
        """Return the characters of a word of a text. Raises InputError, as upstream, where the row has none of it."""
        tokens = self.word_to_tokens(word, sequence_index)
        if tokens is None:
            raise InputError(f"word {word} has no token in this row: word_ids lists the words that have")
        return CharSpan(*self._places[[2, 3], [tokens.start, tokens.end - 1]].tolist())


class BatchEncoding(UserDict[str, Any]):
    """`input_ids`, `attention_mask` and what else was asked for: by key, by attribute, and as **arguments.

    The values are lists for one text, lists of lists for a list of texts, arrays after `convert_to_tensors("np")`.
    The result of a call also has its rows, `encodings`: `batch[0]` is the first. The methods that lead from characters
    and words to tokens and back take (batch_index, index), or the index alone for the first row; indices count from 0.
    They answer as an `Encoding`, and raise InputError where there is no such row.
    """

    @checked_arguments
    def __init__(self, data: Mapping[str, Any] | None = None, encoding: Any = None, tensor_type: str | None = None):
        super().__init__(data)
        self.encodings: Sequence[Encoding] | None = [encoding] if isinstance(encoding, Encoding) else encoding
        self.convert_to_tensors(tensor_type)

    def __getitem__(self, item: Any) -> Any:
        """Return the value of a key, the row of an index, the rows of a slice; without rows a slice of each value."""
        if isinstance(item, slice):
            return {k: v[item] for k, v in self.data.items()} if self.encodings is None else self.encodings[item]
        return self._row(item) if is_integer(item) else self.data[item]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["data"][name]
        except KeyError:
            raise AttributeError(f"no {brief(name)} in this encoding") from None

    is_fast = property(lambda batch: batch.encodings is not None)  # there are rows: after a call, not after `pad`
    n_sequences = property(lambda batch: batch[0].n_sequences if batch.encodings else None)  # texts of a row, 1 or 2

    def tokens(self, batch_index: int = 0) -> list[str]:
        """Return the tokens of a row."""
        return self._row(batch_index).tokens

    def sequence_ids(self, batch_index: int = 0) -> list[Index]:
        """Return the text of each token of a row."""
        return self._row(batch_index).sequence_ids

    def word_ids(self, batch_index: int = 0) -> list[Index]:
        """Return the word of each token of a row."""
        return self._row(batch_index).word_ids

    words = word_ids

    def token_to_sequence(self, batch_or_token_index: int, token_index: Index = None) -> Index:
        """Return the text that a token is of."""
        return self._ask(Encoding.token_to_sequence, batch_or_token_index, token_index)

    def token_to_word(self, batch_or_token_index: int, token_index: Index = None) -> Index:
        """Return the word of its text that a token is of."""
        return self._ask(Encoding.token_to_word, batch_or_token_index, token_index)

    def token_to_chars(self, batch_or_token_index: int, token_index: Index = None) -> CharSpan | None:
        """Return the characters of its text that a token is."""
        return self._ask(Encoding.token_to_chars, batch_or_token_index, token_index)

    def char_to_token(self, batch_or_char_index: int, char_index: Index = None, sequence_index: int = 0) -> Index:
        """Return the first token that a character of a text is in."""
        return self._ask(Encoding.char_to_token, batch_or_char_index, char_index, sequence_index)

    def char_to_word(self, batch_or_char_index: int, char_index: Index = None, sequence_index: int = 0) -> Index:
        """Return the word that a character of a text is in."""
        return self._ask(Encoding.char_to_word, batch_or_char_index, char_index, sequence_index)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: Index = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """Return the tokens of a word of a text."""
        return self._ask(Encoding.word_to_tokens, batch_or_word_index, word_index, sequence_index)

    def word_to_chars(self, batch_or_word_index: int, word_index: Index = None, sequence_index: int = 0) -> CharSpan:
        """Return the characters of a word of a text."""
        return self._ask(Encoding.word_to_chars, batch_or_word_index, word_index, sequence_index)

    @checked_arguments
    def _row(self, index: int) -> Encoding:
        if not self.encodings:
            raise InputError("this encoding has no rows that know their texts: take the result of a call")
        if index not in range(-len(self.encodings), len(self.encodings)):
            raise InputError(f"row {index} of {len(self.encodings)}: they count from 0")
        return self.encodings[index]

    def _ask(self, question: Callable[..., Any], first: int, second: Index, *sequence_index: int) -> Any:
        """Ask a row: (first, second) is (batch_index, index), or `first` alone is an index in the first row."""
        row, index = (0, first) if second is None else (first, second)
        if not is_integer(index, 0):
            raise InputError(f"the index {brief(index)}: an integer of at least 0 was expected")
        return question(self._row(row), int(index), *sequence_index)

    def convert_to_tensors(self, tensor_type: str | None = None) -> Self:
        """Make every value an array (None: leave the lists). Rows of several lengths make an array of arrays."""
        if not isinstance(tensor_type, str | None) or tensor_type not in (None, "np"):
            problem = "pyled gives NumPy arrays ('np') or lists (None); torch.from_numpy makes tensors of the arrays"
            raise InputError(f"return_tensors={brief(tensor_type)}: {problem}")
        if tensor_type == "np":
            try:
                self.data = {name: _as_array(value) for name, value in self.items()}
            except (TypeError, ValueError):
                raise InputError("some rows are lists of numbers and others are not: give each a list") from None
        return self

    def to(self, device: Any) -> Self:
        """Return the encoding for "cpu", where it is. Raises InputError for another device."""
        if not is_cpu(device):
            raise InputError(f"to({brief(device)}): pyled runs on the CPU: leave it out, or pass 'cpu'")
        return self


def _as_array(value: Any) -> NDArray[Any]:
    """Return an array; one of arrays if the rows differ in length; of integers even if nothing is in it."""
    if isinstance(value, list) and value and isinstance(value[0], list) and len({len(row) for row in value}) > 1:
        rows = np.empty(len(value), dtype=object)
        rows[:] = [_as_array(row) for row in value]
        return rows
    array = np.asarray(value)
    return array if array.size else array.astype(np.int64)
