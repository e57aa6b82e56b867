"""10. LEDTokenizer: text to `<s> text </s>` and back, with the names and the results of transformers 4.57.6."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError, PyledWarning
from .arguments import row_of_ids, rows_to_pad, text_pairs
from .bytelevel import check_text
from .encoding import GLOBAL_PAD, BatchEncoding, Lengths, Row, pad_row, resolve_lengths
from .offsets import Spans, added_span, trimmed
from .table import TokenTable

# What decode(clean_up_tokenization_spaces=True) replaces, in this order, by the same without its spaces.
_SPACED = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")


@dataclass
class _Tokens:
    """One text as ids, with their spans if offsets are wanted."""

    ids: list[int]
    spans: Spans | None

    def cut(self, n: int, side: str) -> None:
        """Keep n tokens; `side` is the end that loses the others."""
        kept = slice(n) if side == "right" else slice(len(self.ids) - n, None)
        self.ids = self.ids[kept]
        self.spans = None if self.spans is None else self.spans[kept]


class LEDTokenizer(TokenTable):
    """LED's tokenizer: byte-level BPE, special tokens found in the raw text, `<s> A </s>`, `<s> A </s></s> B </s>`.

    Made from files or a directory as `TokenTable` says; a call encodes, `decode` gives the text again.
    """

    is_fast = True
    model_input_names = ("input_ids", "attention_mask")

    # Text to ids

    def __call__(
        self,
        text: str | Sequence[Any],
        text_pair: str | Sequence[str] | None = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = None,
        return_attention_mask: bool | None = None,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        split_special_tokens: bool | None = None,
    ) -> BatchEncoding:
        """Encode one text or a list of texts, each with its pair if there are pairs.

        Gives `input_ids` and `attention_mask` (1 is a token, 0 is padding), and on demand `special_tokens_mask` (1 is
        a token the call added) and `offset_mapping`, the span of characters of each token in its own text. A list of
        texts gives lists of rows, one text a row; with return_tensors="np" both give arrays of rows.

        padding: False, True ("longest"), "max_length". truncation: False, True ("longest_first"), "only_first",
        "only_second". split_special_tokens: read special tokens in a text as plain text.

        Raises InputError for a bad argument, TokenizerError for a text that has no UTF-8.
        """
        lengths = resolve_lengths(
            padding, truncation, max_length, pad_to_multiple_of, self.model_max_length, self._warn
        )
        plain_special = self.split_special_tokens if split_special_tokens is None else split_special_tokens
        rows = [
            self._row(first, second, lengths, add_special_tokens, plain_special, return_offsets_mapping)
            for first, second in text_pairs(text, text_pair)
        ]
        names = ["input_ids"] if return_attention_mask is False else ["input_ids", "attention_mask"]
        names += ["special_tokens_mask"] * return_special_tokens_mask + ["offset_mapping"] * return_offsets_mapping
        if max_length is None and any(len(row["input_ids"]) > self.model_max_length for row in rows):
            self._warn(f"a text has more tokens than the model takes, {self.model_max_length}: pass truncation=True")
        if lengths.pad_to is not None:
            length = lengths.padded([len(row["input_ids"]) for row in rows])
            for row in rows:
                pad_row(row, length, self._fill | {"offset_mapping": (0, 0)}, self.padding_side)
        if isinstance(text, str) and return_tensors is None:
            return BatchEncoding({name: rows[0][name] for name in names})
        return BatchEncoding({name: [row[name] for row in rows] for name in names}).convert_to_tensors(return_tensors)

    def encode(self, text: str, text_pair: str | None = None, **arguments: Any) -> Any:
        """The `input_ids` of one text: a list, or (1, n) with return_tensors="np". Takes the arguments of a call."""
        if not isinstance(text, str):
            raise InputError(f"encode takes one text, not {type(text).__name__}: call the tokenizer for a list")
        return self(text, text_pair, **arguments)["input_ids"]

    def tokenize(self, text: str, pair: str | None = None, add_special_tokens: bool = False) -> list[str]:
        """The tokens of a text and its pair as strings of byte symbols; an added token as it stands in the text."""
        tokens: list[str] = []
        for i, part in enumerate([text, pair] if pair else [text]):
            tokens += [self._sep[1] if i else self._cls[1]] * add_special_tokens
            for start, stop, number in self._special.split(check_text(part), self.split_special_tokens):
                if number is None:
                    tokens += [self._tokens[i] for i in self._encode_plain(part[start:stop])]
                else:
                    tokens.append(part[start:stop])
            tokens += [self._sep[1]] * add_special_tokens
        return tokens

    def _encode_plain(self, piece: str) -> list[int]:
        return self._bpe.encode(f" {piece}" if self._is_prefixed(piece) else piece)

    def _is_prefixed(self, piece: str) -> bool:
        return self.add_prefix_space and not piece.startswith(" ")

    def _encode_text(self, text: str, plain_special: bool, with_spans: bool) -> _Tokens:
        ids: list[int] = []
        spans: list[Spans] = [np.empty((0, 4), dtype=np.int64)]
        for start, stop, number in self._special.split(text, plain_special):
            piece = text[start:stop]
            new = self._encode_plain(piece) if number is None else [number]
            ids += new
            if with_spans and number is None:
                spans.append(self._shapes.spans(piece, start, new, self._is_prefixed(piece)))
            elif with_spans:
                spans.append(added_span(piece, start))
        return _Tokens(ids, np.concatenate(spans) if with_spans else None)

    def _row(
        self, text: str, pair: str | None, lengths: Lengths, add_special: bool, plain_special: bool, with_spans: bool
    ) -> Row:
        """One row of a call, cut but not padded."""
        parts = [self._encode_text(part, plain_special, with_spans) for part in (text, pair) if part is not None]
        sizes = [len(part.ids) for part in parts]
        kept = lengths.kept(sizes[0], sizes[1] if pair is not None else None, 2 * len(parts) * add_special)
        row: Row = {"input_ids": [], "special_tokens_mask": [], "offset_mapping": []}
        for i, (part, n) in enumerate(zip(parts, kept, strict=False)):
            part.cut(n, self.truncation_side)
            before = [self._sep[0] if i else self._cls[0]] * add_special
            after = [self._sep[0]] * add_special
            row["input_ids"] += before + part.ids + after
            row["special_tokens_mask"] += [1] * len(before) + [0] * n + [1] * len(after)
            if part.spans is not None:
                offsets = self._offsets(part.spans)
                row["offset_mapping"] += [(0, 0)] * len(before) + offsets + [(0, 0)] * len(after)
        row["attention_mask"] = [1] * len(row["input_ids"])
        return row

    def _offsets(self, spans: Spans) -> list[tuple[int, int]]:
        if self.trim_offsets:
            return trimmed(spans, self.add_prefix_space)
        return list(map(tuple, spans[:, :2].tolist()))

    @property
    def _fill(self) -> dict[str, int]:
        """What padding puts into each list of a row."""
        return {"input_ids": self.pad_token_id, "attention_mask": 0, "special_tokens_mask": 1, "token_type_ids": 0}

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            warnings.warn(message, PyledWarning, stacklevel=3)

    def pad(
        self,
        encoded_inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        padding: bool | str = True,
        *,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
    ) -> BatchEncoding:
        """Pad rows that are encoded already: one encoding, one of several rows, or a list of encodings.

        `global_attention_mask` is padded with -1, if an attention mask is returned. Arrays give arrays. Raises
        InputError.
        """
        inputs, has_arrays = rows_to_pad(encoded_inputs)
        tensors = "np" if has_arrays and return_tensors is None else return_tensors
        ids = inputs["input_ids"]
        if not ids:
            return BatchEncoding(inputs | {"attention_mask": []} if return_attention_mask else inputs)
        is_batch = isinstance(ids[0], list)
        rows = [{k: v[i] for k, v in inputs.items()} for i in range(len(ids))] if is_batch else [inputs]
        lengths = resolve_lengths(padding, False, max_length, pad_to_multiple_of, self.model_max_length, self._warn)
        n = 0 if lengths.pad_to is None else lengths.padded([len(row["input_ids"]) for row in rows])
        fill = self._fill
        if return_attention_mask is False:
            del fill["attention_mask"]
        for row in rows:
            if return_attention_mask is not False:
                row.setdefault("attention_mask", [1] * len(row["input_ids"]))
            pad_row(row, n, fill, self.padding_side)
            if return_attention_mask is not False:
                pad_row(row, len(row["input_ids"]), {"global_attention_mask": GLOBAL_PAD}, self.padding_side)
        padded = {name: [row[name] for row in rows] for name in rows[0]} if is_batch else rows[0]
        return BatchEncoding(padded).convert_to_tensors(tensors)

    # Ids to text

    def decode(
        self, token_ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> str:
        """The text of one id or a row of ids; ids that no token has are left out, as in transformers.

        The bytes of all tokens are joined before they are read as UTF-8; what is none becomes U+FFFD. Raises
        TokenizerError for a negative id, InputError for what is no row of ids.
        """
        ids = row_of_ids([token_ids] if isinstance(token_ids, int) else token_ids)
        skipped = self._special.special_ids if skip_special_tokens else set()
        n = len(self._bytes)
        text = b"".join([self._bytes[i] for i in ids if i < n and i not in skipped]).decode("utf-8", errors="replace")
        clean = (
            self.clean_up_tokenization_spaces if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
        )
        return _cleaned_up(text) if clean else text

    def batch_decode(
        self, sequences: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool | None = None
    ) -> list[str]:
        """The text of each row of ids."""
        return [self.decode(ids, skip_special_tokens, clean_up_tokenization_spaces) for ids in sequences]


LEDTokenizerFast = LEDTokenizer  # the same: it is fast, and it has offsets


def _cleaned_up(text: str) -> str:
    for spaced in _SPACED:
        text = text.replace(spaced, spaced.strip())
    return text
