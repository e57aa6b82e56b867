"""13. LEDTokenizer: text to `<s> text </s>` and back, with the names and the results of transformers 4.57.6."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from ...annotations import checked_arguments
from ...errors import InputError, brief, warn
from ..bytelevel import bytes_of_token
from .arguments import Text, is_list_of_texts, row_of_ids, rows_to_pad, strings, text_pairs
from .batch_encoding import BatchEncoding, Encoding, SpecialToken
from .lengths import SPECIAL_OF_ONE, Lengths, resolve_lengths
from .offsets import EncodedPiece, EncodedText
from .pretrained import check_option
from .table import TokenTable

# clean_up_tokenization replaces these, in this order, by the same without their spaces.
_SPACED = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")

_OF_ROW: dict[str, Callable[[Encoding], Any]] = {  # the values that a call may return, each of a row
    "input_ids": lambda row: row.ids,
    "token_type_ids": lambda row: row.type_ids,
    "attention_mask": lambda row: row.attention_mask,
    "special_tokens_mask": lambda row: row.special_tokens_mask,
    "offset_mapping": lambda row: row.offsets,
    "length": len,
}
GLOBAL_PAD = -1  # transformers 4.57.6 pads global_attention_mask so, for 0 means "attends locally" there


@dataclass(frozen=True)
class _Call:
    """The arguments of a call, checked. names: the keys of the result; special: the tokens round two texts."""

    lengths: Lengths
    padding_side: str
    names: list[str]
    special: tuple[SpecialToken, ...]
    plain_special: bool
    is_split: bool
    return_tensors: str | None


class LEDTokenizer(TokenTable):
    """LED's tokenizer: byte-level BPE, special tokens in the raw text, `<s> A </s>`, `<s> A </s></s> B </s>`.

    `TokenTable` says how it is made from files or a directory. A call encodes; `decode` returns the text again.
    """

    is_fast = True

    # Text to ids

    @checked_arguments
    def __call__(
        self,
        text: str | Sequence[Any] | None = None,
        text_pair: str | Sequence[Any] | None = None,
        text_target: str | Sequence[Any] | None = None,
        text_pair_target: str | Sequence[Any] | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        *,
        split_special_tokens: bool | None = None,
    ) -> BatchEncoding:
        """Encode one text or a list of texts, each with its pair if there are pairs.

        Returns `input_ids` and `attention_mask` (1 is a token, 0 is padding), and on demand `token_type_ids` (0 in
        LED), `special_tokens_mask` (1 is a token the call added), `offset_mapping` (the characters of each token in
        its text) and `length`. A list of texts gives lists of rows; with return_tensors="np" both give arrays of rows.
        text_target gives the same, as `labels` if there is a text too.

        padding: False, True ("longest"), "max_length". truncation: False, True ("longest_first"), "only_first",
        "only_second". return_overflowing_tokens: the tokens that truncation cuts off go into further rows, each of
        which repeats `stride` tokens of the one before; `overflow_to_sample_mapping` has the index of each row's text.
        is_split_into_words: a text is a list of its words, encoded one by one, which needs add_prefix_space.
        split_special_tokens: read special tokens in a text as plain text. verbose: warn of what is assumed.
        Raises InputError for a bad argument, TokenizerError for a text that has no UTF-8.
        """
        if is_split_into_words and not self.add_prefix_space:
            raise InputError("is_split_into_words needs a tokenizer that was made with add_prefix_space=True")
        flags = (True, return_token_type_ids, return_attention_mask, return_special_tokens_mask, return_offsets_mapping)
        asked = zip(_OF_ROW, (*flags, return_length), strict=True)
        tell = self._warn if verbose else lambda _: None
        lengths = self._lengths(
            tell, padding=padding, truncation=truncation, max_length=max_length, multiple=pad_to_multiple_of,
            stride=stride, has_windows=return_overflowing_tokens,
        )  # fmt: skip
        call = _Call(
            lengths=lengths,
            padding_side=self._option("padding_side", padding_side),
            names=[name for name, flag in asked if (name in self.model_input_names if flag is None else flag)],
            special=(self._cls, self._sep, self._sep, self._sep) if add_special_tokens else (),
            plain_special=self.split_special_tokens if split_special_tokens is None else split_special_tokens,
            is_split=is_split_into_words,
            return_tensors=return_tensors,
        )
        both = ((text, text_pair), (text_target, text_pair_target))
        batches = [self._encode(texts, pairs, call) for texts, pairs in both if texts is not None]
        if not batches:
            raise InputError("text and text_target are both missing: pass a string, or a list of strings")
        if len(batches) == 2:
            batches[0]["labels"] = batches[1]["input_ids"]
        rows = chain.from_iterable(batch.encodings or () for batch in batches)
        if max_length is None and any(len(row) > self.model_max_length for row in rows):
            tell(f"a text has more tokens than the model takes, {self.model_max_length}: pass truncation=True")
        return batches[0]

    def encode_plus(self, text: Any, text_pair: Any = None, *arguments: Any, **options: Any) -> BatchEncoding:
        """Call the tokenizer for one text: an older name. Further arguments: a call's, without targets."""
        if is_list_of_texts(text, options.get("is_split_into_words", False)):
            raise InputError(f"one text was expected, not {type(text).__name__}: call the tokenizer for a list of them")
        return self(text, text_pair, None, None, *arguments, **options)

    def batch_encode_plus(self, batch_text_or_text_pairs: Any, *arguments: Any, **options: Any) -> BatchEncoding:
        """Call the tokenizer for a list of texts or of pairs: an older name, as `encode_plus`."""
        if not is_list_of_texts(batch_text_or_text_pairs, options.get("is_split_into_words", False)):
            raise InputError("a list of texts was expected: call the tokenizer for a single text")
        return self(batch_text_or_text_pairs, None, None, None, *arguments, **options)

    def encode(
        self,
        text: str | Sequence[str],
        text_pair: str | Sequence[str] | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        **options: Any,
    ) -> Any:
        """Return the `input_ids` of one text: a list, or (1, n) with return_tensors="np". Takes a call's arguments."""
        options |= {"padding_side": padding_side, "return_tensors": return_tensors}
        arguments = (add_special_tokens, padding, truncation, max_length, stride)
        return self.encode_plus(text, text_pair, *arguments, **options)["input_ids"]

    def tokenize(self, text: str, pair: Any = None, add_special_tokens: bool = False, **options: Any) -> list[str]:
        """Return the tokens of a text and its pair in byte symbols; an added token as it stands in the text."""
        return self.encode_plus(text, pair, add_special_tokens, **options).tokens()

    def _encode(self, text: Any, pair: Any, call: _Call) -> BatchEncoding:
        samples = [self._rows(both, call) for both in text_pairs(text, pair, call.is_split)]
        rows = [row for rows in samples for row in rows]
        if call.lengths.pad_to is not None:
            length = call.lengths.padded([len(row) for row, *_ in samples])
            for row in rows:
                row.pad(length, call.padding_side)
        data: dict[str, Any] = {name: list(map(_OF_ROW[name], rows)) for name in call.names}
        if call.lengths.has_windows:
            data["overflow_to_sample_mapping"] = [i for i, rows in enumerate(samples) for _ in rows]
        elif call.return_tensors is None and not is_list_of_texts(text, call.is_split):
            data = {name: value[0] if isinstance(value[0], list) else value for name, value in data.items()}
        return BatchEncoding(data, rows, call.return_tensors)

    def _rows(self, both: Sequence[Text | None], call: _Call) -> list[Encoding]:
        """Return the row of a text and its pair, and those of what overflows, not padded."""
        texts = tuple([self._encode_text(text, call.plain_special) for text in both if text is not None])
        special = call.special[: SPECIAL_OF_ONE * len(texts)]
        pad = (self.pad_token_id, self.pad_token)
        windows = call.lengths.windows([len(text.ids) for text in texts], len(special))
        return [Encoding(texts, window, special, pad, self.trim_offsets, self.add_prefix_space) for window in windows]

    def _encode_text(self, text: Text, plain_special: bool) -> EncodedText:
        ids: list[int] = []
        pieces: list[EncodedPiece] = []
        words: list[tuple[int | None, str]] = [(None, text)] if isinstance(text, str) else [*enumerate(text)]
        for word, part in words:
            for start, stop, number in self._special.split(part, plain_special):
                piece = part[start:stop]
                is_prefixed = number is None and self.add_prefix_space and not piece.startswith(" ")
                new = self._bpe.encode(f" {piece}" if is_prefixed else piece) if number is None else [number]
                ids += new
                pieces.append(EncodedPiece(piece, start, len(new), number is not None, is_prefixed, word))
        return EncodedText(ids, pieces, self._special.tokens)

    def _lengths(self, tell: Callable[[str], None], **arguments: Any) -> Lengths:
        limit, side = self._option("model_max_length"), self._option("truncation_side")
        lengths = resolve_lengths(limit=limit, tell=tell, side=side, **arguments)
        if lengths.pad_to is not None and self.pad_token_id is None:
            problem = f"padding needs a token with an id, and pad_token is {brief(self.pad_token)}"
            raise InputError(f"{problem}: set tokenizer.pad_token = '<pad>', or add it with add_special_tokens")
        return lengths

    def _option(self, name: str, argument: str | None = None) -> Any:
        """Return an option, or the argument that takes its place. Raises InputError for a value it cannot have."""
        return getattr(self, name) if argument is None else check_option(name, argument, InputError)

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            warn(message)

    @checked_arguments
    def pad(
        self,
        encoded_inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad rows that are encoded already: one encoding, one of several rows, or a list of encodings.

        `global_attention_mask` is padded with -1, if an attention mask is returned. Arrays give arrays.
        """
        side, tell = self._option("padding_side", padding_side), self._warn if verbose else lambda _: None
        inputs, has_arrays = rows_to_pad(encoded_inputs)
        tensors = "np" if has_arrays and return_tensors is None else return_tensors
        ids = inputs["input_ids"]
        if not ids:
            return BatchEncoding(inputs | {"attention_mask": []} if return_attention_mask else inputs)
        is_batch = isinstance(ids[0], list)
        rows = [{k: v[i] for k, v in inputs.items()} for i in range(len(ids))] if is_batch else [inputs]
        lengths = self._lengths(
            tell, padding=padding, truncation=False, max_length=max_length, multiple=pad_to_multiple_of
        )
        n = 0 if lengths.pad_to is None else lengths.padded([len(row["input_ids"]) for row in rows])
        fill = {"input_ids": self.pad_token_id, "special_tokens_mask": 1, "token_type_ids": 0}
        if return_attention_mask is not False:
            fill |= {"attention_mask": 0, "global_attention_mask": GLOBAL_PAD}
        for row in rows:
            if return_attention_mask is not False:
                row.setdefault("attention_mask", [1] * len(row["input_ids"]))
            n_ids = max(n, len(row["input_ids"]))
            for name in fill.keys() & row.keys():
                missing = [fill[name]] * (n_ids - len(row[name]))
                row[name] = row[name] + missing if side == "right" else missing + row[name]
        padded = {name: [row[name] for row in rows] for name in rows[0]} if is_batch else rows[0]
        return BatchEncoding(padded).convert_to_tensors(tensors)

    # Rows of ids, and the special tokens round them

    # The most tokens of a text, and of a text and its pair together, that the model takes:
    max_len_single_sentence = property(lambda self: self.model_max_length - SPECIAL_OF_ONE)
    max_len_sentences_pair = property(lambda self: self.model_max_length - 2 * SPECIAL_OF_ONE)

    @checked_arguments
    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return how many tokens a call puts round a text, or round a text and its pair."""
        return 2 * SPECIAL_OF_ONE if pair else SPECIAL_OF_ONE

    def build_inputs_with_special_tokens(self, token_ids_0: list[int], token_ids_1: Any = None) -> list[int]:
        """Return the row of a text's ids, and its pair's: `<s> A </s>`, `<s> A </s></s> B </s>`."""
        row = [self.bos_token_id, *row_of_ids(token_ids_0), self.eos_token_id]
        return row if token_ids_1 is None else [*row, self.eos_token_id, *row_of_ids(token_ids_1), self.eos_token_id]

    def create_token_type_ids_from_sequences(self, token_ids_0: list[int], token_ids_1: Any = None) -> list[int]:
        """Return 0 for every token of that row."""
        return [0] * len(self.build_inputs_with_special_tokens(token_ids_0, token_ids_1))

    @checked_arguments
    def get_special_tokens_mask(
        self, token_ids_0: Any, token_ids_1: Any = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """Return 1 for the special tokens of that row, 0 for its texts; token_ids_0 may be the row that has them."""
        if already_has_special_tokens:
            if token_ids_1 is not None:
                raise InputError("a row that has its special tokens is one list: pass no token_ids_1")
            special = set(self.all_special_ids)
            return [int(i in special) for i in row_of_ids(token_ids_0)]
        mask = [1, *[0] * len(row_of_ids(token_ids_0)), 1]
        return mask if token_ids_1 is None else mask + self.get_special_tokens_mask(token_ids_1)

    # Ids to text

    @checked_arguments
    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> str:
        """Return the text of one id or a row of ids; ids that no token has are left out, as in transformers.

        Raises TokenizerError for a negative id, InputError for what is no row of ids.
        """
        is_one = isinstance(token_ids, int) or getattr(token_ids, "ndim", 1) == 0
        ids = row_of_ids([token_ids] if is_one else token_ids)
        skipped = self._special.special_ids if skip_special_tokens else set()
        tokens = self._special.tokens
        text = _text_of([tokens[i] for i in ids if i < len(tokens) and i not in skipped])
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self.clean_up_tokenization_spaces
        return self.clean_up_tokenization(text) if clean_up_tokenization_spaces else text

    def batch_decode(
        self, sequences: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> list[str]:
        """Return the text of each row of ids."""
        if not np.iterable(sequences):
            raise InputError(f"sequences is {brief(sequences)}: a list of rows of ids was expected")
        return [self.decode(ids, skip_special_tokens, clean_up_tokenization_spaces) for ids in sequences]

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Return the text of the bytes of all tokens; U+FFFD stands for what is no UTF-8."""
        return _text_of(strings(tokens, "tokens"))

    @staticmethod
    @checked_arguments
    def clean_up_tokenization(out_string: str) -> str:
        """Return a text without the spaces that old tokenizers put before punctuation and contractions."""
        for spaced in _SPACED:
            out_string = out_string.replace(spaced, spaced.strip())
        return out_string


def _text_of(tokens: Sequence[str]) -> str:
    return b"".join(map(bytes_of_token, tokens)).decode("utf-8", errors="replace")


LEDTokenizerFast = LEDTokenizer  # it is fast, and has offsets
