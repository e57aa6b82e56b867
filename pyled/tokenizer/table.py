"""9. The tokens of a tokenizer: the vocabulary with what was added to it, special tokens by role, and their files."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from ..errors import TokenizerError
from .arguments import check_flag, check_limit, check_side, row_of_ids
from .bpe import BPE
from .bytelevel import bytes_of_token
from .offsets import TokenShapes
from .pretrained import OPTIONS, check_token_list, content_of, read_options, write_options
from .special import NAMES, AddedToken, SpecialTokens, added_token, number_added, special_tokens
from .vocabulary import Vocabulary, read_tokenizer_json, read_vocabulary, write_tokenizer_json, write_vocabulary


class TokenTable:
    """The tokens of LED's tokenizer and their ids.

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

    # Tokens and ids

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


def _read(vocab_file: Any, merges_file: Any, tokenizer_file: Any, in_text: list[str]) -> Vocabulary:
    if isinstance(tokenizer_file, Vocabulary):
        return tokenizer_file
    if tokenizer_file is not None:
        return read_tokenizer_json(Path(tokenizer_file))
    if vocab_file is None or merges_file is None:
        raise TokenizerError("a vocabulary is missing: pass vocab_file and merges_file, or tokenizer_file")
    return read_vocabulary(Path(vocab_file), Path(merges_file), in_text)
