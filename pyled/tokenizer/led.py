"""9. LEDTokenizer: text to `<s> text </s>` and back, with the names and the results of transformers 4.57.6."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..errors import InputError, PyledWarning, TokenizerError
from .arguments import check_flag, check_limit, check_side, row_of_ids, rows_to_pad, text_pairs
from .bpe import BPE
from .bytelevel import bytes_of_token, check_text
from .encoding import GLOBAL_PAD, BatchEncoding, Lengths, Row, pad_row, resolve_lengths
from .offsets import Spans, TokenShapes, added_span, trimmed
from .pretrained import OPTIONS, check_token_list, content_of, read_options, write_options
from .special import NAMES, AddedToken, SpecialTokens, added_token, number_added, special_tokens
from .vocabulary import Vocabulary, read_tokenizer_json, read_vocabulary, write_tokenizer_json, write_vocabulary

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


class LEDTokenizer:
    """LED's tokenizer: byte-level BPE, special tokens found in the raw text, `<s> A </s>`, `<s> A </s></s> B </s>`.

    vocab_file, merges_file: the two files of the vocabulary; or tokenizer_file: a `tokenizer.json`, which may have
    been read already. The options are those of transformers 4.57.6 `LEDTokenizerFast`. A special token is a string or
    an AddedToken; as a string, `<mask>` takes the white space before it along, and one that the vocabulary lacks is
    added at its end. `errors` is kept for the files; decoding always replaces bytes that are no UTF-8, as the fast
    class does.

    Raises TokenizerError for a bad vocabulary or option.
    """

    bos_token: str
    eos_token: str
    unk_token: str
    sep_token: str
    pad_token: str
    cls_token: str
    mask_token: str
    bos_token_id: int
    eos_token_id: int
    unk_token_id: int
    sep_token_id: int
    pad_token_id: int
    cls_token_id: int
    mask_token_id: int

    is_fast = True
    model_input_names = ("input_ids", "attention_mask")

    def __init__(
        self,
        vocab_file: str | Path | None = None,
        merges_file: str | Path | None = None,
        tokenizer_file: str | Path | Vocabulary | None = None,
        errors: str = "replace",
        bos_token: str | AddedToken = "<s>",
        eos_token: str | AddedToken = "</s>",
        sep_token: str | AddedToken = "</s>",
        cls_token: str | AddedToken = "<s>",
        unk_token: str | AddedToken = "<unk>",
        pad_token: str | AddedToken = "<pad>",
        mask_token: str | AddedToken = "<mask>",
        add_prefix_space: bool = False,
        trim_offsets: bool = True,
        *,
        additional_special_tokens: Sequence[str | AddedToken] = (),
        added_tokens_decoder: Mapping[int, AddedToken] | None = None,
        model_max_length: int | None = None,
        padding_side: str = "right",
        truncation_side: str = "right",
        clean_up_tokenization_spaces: bool = False,
        split_special_tokens: bool = False,
    ) -> None:
        self.errors = errors
        self.add_prefix_space = check_flag("add_prefix_space", add_prefix_space)
        self.trim_offsets = check_flag("trim_offsets", trim_offsets)
        self.model_max_length = check_limit(model_max_length)
        self.padding_side = check_side("padding_side", padding_side)
        self.truncation_side = check_side("truncation_side", truncation_side)
        self.clean_up_tokenization_spaces = check_flag("clean_up_tokenization_spaces", clean_up_tokenization_spaces)
        self.split_special_tokens = check_flag("split_special_tokens", split_special_tokens)
        self._warned: set[str] = set()

        roles = (bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token)
        given = dict(zip(NAMES, roles, strict=True))
        check_token_list(additional_special_tokens)
        listed = {i: added_token(t, "added_tokens_decoder") for i, t in (added_tokens_decoder or {}).items()}
        in_text = [content_of(token) for token in (*roles, *additional_special_tokens, *listed.values())]
        vocabulary = _read(vocab_file, merges_file, tokenizer_file, in_text)
        named, additional = special_tokens(given, additional_special_tokens, vocabulary.added_tokens, listed)
        special = {token.content: token for token in [*named.values(), *additional]}
        added = number_added(vocabulary.ids, vocabulary.added_tokens | listed, special.values())
        self._set_vocabulary(replace(vocabulary, added_tokens=added))
        self._named = named
        for name, token in named.items():
            setattr(self, name, token.content)
            setattr(self, f"{name}_id", self._ids[token.content])
        self._additional = additional
        self.additional_special_tokens = [token.content for token in additional]
        self.all_special_tokens = list(special)

    def _set_vocabulary(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._bpe = BPE(vocabulary.ids, vocabulary.merges)
        self._special = SpecialTokens(vocabulary.added_tokens)
        self._ids = vocabulary.ids | {token.content: number for number, token in vocabulary.added_tokens.items()}
        self._tokens = [token for token, _ in sorted(self._ids.items(), key=lambda item: item[1])]

    @cached_property
    def _shapes(self) -> TokenShapes:
        return TokenShapes(self._tokens)

    @cached_property
    def _bytes(self) -> list[bytes]:
        return [bytes_of_token(token) for token in self._tokens]

    @classmethod
    def from_pretrained(cls, directory: str | Path, **options: Any) -> Self:
        """The tokenizer of a checkpoint directory: `tokenizer.json`, or `vocab.json` and `merges.txt`.

        What `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` say counts as in transformers
        4.57.6; `options` of the constructor count before them. Raises TokenizerError.
        """
        path = Path(directory)
        if not path.is_dir():
            raise TokenizerError(f"{path} is no directory: pass the directory of a downloaded checkpoint")
        if (path / "tokenizer.json").exists():
            vocabulary = read_tokenizer_json(path / "tokenizer.json")
            return cls(tokenizer_file=vocabulary, **read_options(path, options, vocabulary.added_tokens))
        return cls(path / "vocab.json", path / "merges.txt", **read_options(path, options, {}))

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
            tokens += [self.sep_token if i else self.cls_token] * add_special_tokens
            for start, stop, number in self._special.split(check_text(part), self.split_special_tokens):
                if number is None:
                    tokens += [self._tokens[i] for i in self._encode_plain(part[start:stop])]
                else:
                    tokens.append(part[start:stop])
            tokens += [self.sep_token] * add_special_tokens
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
            before = [self.sep_token_id if i else self.cls_token_id] * add_special
            after = [self.sep_token_id] * add_special
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
        added = self._vocabulary.added_tokens
        skipped = {number for number, token in added.items() if token.special} if skip_special_tokens else set()
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

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The token of an id, or those of a row of ids; None where no token has the id."""
        n = len(self._tokens)
        tokens = [
            self._tokens[i] if i < n else None
            for i in row_of_ids([ids] if isinstance(ids, int) else ids)
            if not (skip_special_tokens and i in self.all_special_ids) or isinstance(ids, int)
        ]
        return tokens[0] if isinstance(ids, int) else tokens

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> Any:
        """The id of a token, or those of a list of tokens; the id of `<unk>` for what is no token."""
        if isinstance(tokens, str):
            return self._ids.get(tokens, self.unk_token_id)
        return [self._ids.get(token, self.unk_token_id) for token in tokens]

    # The vocabulary

    @property
    def vocab_size(self) -> int:
        """The size of the vocabulary without added tokens; len(tokenizer) counts them too."""
        return len(self._vocabulary.ids)

    def __len__(self) -> int:
        return len(self._tokens)

    def get_vocab(self) -> dict[str, int]:
        """Every token and its id, added tokens included."""
        return dict(self._ids)

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of `all_special_tokens`."""
        return [self._ids[token] for token in self.all_special_tokens]

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """The special tokens by the names of their roles."""
        named: dict[str, str | list[str]] = {name: token.content for name, token in self._named.items()}
        return named | (
            {"additional_special_tokens": self.additional_special_tokens} if self.additional_special_tokens else {}
        )

    def save_vocabulary(self, save_directory: str | Path, filename_prefix: str | None = None) -> tuple[str, str]:
        """Write `vocab.json` and `merges.txt` into a directory; gives their paths."""
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        vocab, merges = (Path(save_directory) / f"{prefix}{name}" for name in ("vocab.json", "merges.txt"))
        write_vocabulary(self._vocabulary, vocab, merges)
        return str(vocab), str(merges)

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write all files of the tokenizer into a directory, which is made if missing."""
        directory = Path(save_directory)
        directory.mkdir(parents=True, exist_ok=True)
        self.save_vocabulary(directory)
        flags = {"add_prefix_space": self.add_prefix_space, "trim_offsets": self.trim_offsets}
        sep, cls = (self.sep_token, self.sep_token_id), (self.cls_token, self.cls_token_id)
        write_tokenizer_json(self._vocabulary, sep, cls, flags, directory / "tokenizer.json")
        options = {name: getattr(self, name) for name in OPTIONS}
        write_options(directory, self._named, self._additional, self._vocabulary, options)


LEDTokenizerFast = LEDTokenizer  # the same: it is fast, and it has offsets


def _read(vocab_file: Any, merges_file: Any, tokenizer_file: Any, in_text: list[str]) -> Vocabulary:
    if isinstance(tokenizer_file, Vocabulary):
        return tokenizer_file
    if tokenizer_file is not None:
        return read_tokenizer_json(Path(tokenizer_file))
    if vocab_file is None or merges_file is None:
        raise TokenizerError("a vocabulary is missing: pass vocab_file and merges_file, or tokenizer_file")
    return read_vocabulary(Path(vocab_file), Path(merges_file), in_text)


def _cleaned_up(text: str) -> str:
    for spaced in _SPACED:
        text = text.replace(spaced, spaced.strip())
    return text
