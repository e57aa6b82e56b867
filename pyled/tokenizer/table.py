"""9. The tokens of a tokenizer: the vocabulary with what was added to it, special tokens by role, and their files."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from ..errors import TokenizerError
from ..files import write_json
from ..hub import located
from .bpe import BPE
from .led.arguments import check_flag, check_limit, check_side, row_of_ids
from .led.offsets import TokenShapes
from .led.pretrained import OPTIONS, read_options, write_options
from .special import (
    NAMES,
    AddedToken,
    AddedTokens,
    Token,
    added_token,
    as_list,
    as_loaded,
    first_added,
    role_token,
    role_tokens,
)
from .vocabulary import Vocabulary, read_tokenizer_json, read_vocabulary, write_tokenizer_json, write_vocabulary

_FILES = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.json")


class _Role:
    """The special token of a role: a string, or None. Setting it adds nothing to the vocabulary, as upstream."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, table: "TokenTable", owner: type | None = None) -> Any:
        token = table._roles[self._name]
        return None if token is None else str(token)

    def __set__(self, table: "TokenTable", value: Any) -> None:
        table._roles[self._name] = role_token(value, self._name)


class _RoleId(_Role):
    """The id of the special token of a role; that of `<unk>` where the vocabulary lacks it, None without a token."""

    def __get__(self, table: "TokenTable", owner: type | None = None) -> Any:
        token = getattr(table, self._name.removesuffix("_id"))
        return None if token is None else table.convert_tokens_to_ids(token)

    def __set__(self, table: "TokenTable", value: Any) -> None:
        setattr(table, self._name.removesuffix("_id"), None if value is None else table.convert_ids_to_tokens(value))


class TokenTable:
    """The tokens of LED's tokenizer and their ids.

    vocab_file, merges_file: the two files of the vocabulary; or tokenizer_file: a `tokenizer.json`, which may have
    been read already. The options are those of transformers 4.57.6 `LEDTokenizerFast`. A special token is a string or
    an AddedToken; as a string, `<mask>` takes the white space before it along, and one that the vocabulary lacks is
    added at its end. Its role can be asked for and set: `pad_token`, `pad_token_id` and so on; None is no token.
    `errors` is kept for the files; decoding always replaces bytes that are no UTF-8, as the fast class does.

    Several threads may use one tokenizer, as long as none adds tokens or sets a role meanwhile.

    Raises TokenizerError for a bad vocabulary or option.
    """

    _roles: dict[str, Token | None]
    _additional: list[Token]
    bos_token = _Role()
    eos_token = _Role()
    unk_token = _Role()
    sep_token = _Role()
    pad_token = _Role()
    cls_token = _Role()
    mask_token = _Role()
    bos_token_id = _RoleId()
    eos_token_id = _RoleId()
    unk_token_id = _RoleId()
    sep_token_id = _RoleId()
    pad_token_id = _RoleId()
    cls_token_id = _RoleId()
    mask_token_id = _RoleId()

    def __init__(
        self,
        vocab_file: str | Path | None = None,
        merges_file: str | Path | None = None,
        tokenizer_file: str | Path | Vocabulary | None = None,
        errors: str = "replace",
        bos_token: Token | None = "<s>",
        eos_token: Token | None = "</s>",
        sep_token: Token | None = "</s>",
        cls_token: Token | None = "<s>",
        unk_token: Token | None = "<unk>",
        pad_token: Token | None = "<pad>",
        mask_token: Token | None = "<mask>",
        add_prefix_space: bool = False,
        trim_offsets: bool = True,
        *,
        additional_special_tokens: Sequence[Token] | None = None,
        added_tokens_decoder: Mapping[int, AddedToken] | None = None,
        model_max_length: int | None = None,
        padding_side: str | None = None,
        truncation_side: str | None = None,
        clean_up_tokenization_spaces: bool = False,
        split_special_tokens: bool = False,
        name_or_path: str = "",
    ) -> None:
        self.name_or_path = name_or_path
        self.errors = errors
        self.add_prefix_space = check_flag("add_prefix_space", add_prefix_space)
        self.trim_offsets = check_flag("trim_offsets", trim_offsets)
        self.model_max_length = check_limit(model_max_length)
        self.clean_up_tokenization_spaces = check_flag("clean_up_tokenization_spaces", clean_up_tokenization_spaces)
        self.split_special_tokens = check_flag("split_special_tokens", split_special_tokens)
        self._warned: set[str] = set()

        roles = (bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token)
        self._roles = {name: role_token(value, name) for name, value in zip(NAMES, roles, strict=True)}
        self.additional_special_tokens = additional_special_tokens
        listed = {i: added_token(token, "added_tokens_decoder") for i, token in (added_tokens_decoder or {}).items()}
        in_text = [str(token) for token in (*self.all_special_tokens, *listed.values())]
        vocabulary = _read(vocab_file, merges_file, tokenizer_file, in_text)
        sides = {"padding_side": padding_side, "truncation_side": truncation_side}
        sides = {name: vocabulary.sides[name] if side is None else side for name, side in sides.items()}
        self.padding_side, self.truncation_side = (check_side(name, side) for name, side in sides.items())
        is_legacy = vocabulary.frame is None
        self._roles = {name: token and as_loaded(token, name, is_legacy) for name, token in self._roles.items()}
        self._additional = [as_loaded(token, "", is_legacy) for token in self._additional]
        self._special = self._first_added(vocabulary, listed)
        self._vocabulary = replace(vocabulary, added_tokens=self._special.of_id)
        self._bpe = BPE(vocabulary.ids, vocabulary.merges)
        cls, sep = vocabulary.frame or (self.cls_token, self.sep_token)
        if cls is None or sep is None:
            raise TokenizerError("a text stands between cls_token and sep_token: give them tokens, not None")
        self._cls, self._sep = (self._ids[cls], cls), (self._ids[sep], sep)  # what texts stand between, from now on

    def _first_added(self, vocabulary: Vocabulary, listed: Mapping[int, AddedToken]) -> AddedTokens:
        """What is added to a vocabulary to begin with; tokens that files list must have the ids that they list."""
        added = AddedTokens(vocabulary.ids)
        added.add(vocabulary.added_tokens.values())
        added.add(first_added(self.all_special_tokens_extended, listed, vocabulary.added_tokens.values()))
        for number, token in [*vocabulary.added_tokens.items(), *listed.items()]:
            if added.ids[token.content] != number:
                raise TokenizerError(
                    f"{self.name_or_path}: the added token {token.content!r:.60} is listed with the id {number}, but "
                    f"its place is {added.ids[token.content]}, for added tokens follow the vocabulary's "
                    f"{len(vocabulary.ids)} in the order in which they are listed, without gaps: number them so"
                )
        return added

    @classmethod
    def from_pretrained(cls, directory: str | Path, **options: Any) -> Self:
        """The tokenizer of a checkpoint directory: `tokenizer.json`, or `vocab.json` and `merges.txt`.

        What `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` say counts as in transformers
        4.57.6; `options` of the constructor count before them. Raises TokenizerError for the files, CheckpointError
        where there is no directory.
        """
        path = located(directory, None)
        if (path / "tokenizer.json").exists():
            vocabulary = read_tokenizer_json(path / "tokenizer.json")
            return cls(tokenizer_file=vocabulary, **read_options(path, options, vocabulary.added_tokens))
        return cls(path / "vocab.json", path / "merges.txt", **read_options(path, options, {}))

    def __copy__(self) -> Self:
        return copy.deepcopy(self)  # so that tokens added to one are not in the other

    # Tokens and ids

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The token of an id, or those of a row of ids; None where no token has the id."""
        skipped = set(self.all_special_ids) if skip_special_tokens and not isinstance(ids, int) else set()
        row = row_of_ids([ids] if isinstance(ids, int) else ids)
        known, n = self._tokens, len(self)
        tokens = [known[i] if i < n else None for i in row if i not in skipped]
        return tokens[0] if isinstance(ids, int) else tokens

    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> Any:
        """The id of a token, or those of a list of tokens; the id of `<unk>` for what is no token."""
        if isinstance(tokens, str):
            return self._ids.get(tokens, self._ids.get(self.unk_token))
        return [self.convert_tokens_to_ids(token) for token in tokens]

    # The vocabulary

    @property
    def _ids(self) -> dict[str, int]:
        return self._special.ids

    @property
    def _tokens(self) -> list[str]:
        return self._special.tokens

    @cached_property
    def _shapes(self) -> TokenShapes:
        return TokenShapes(self._tokens)

    @property
    def vocab_size(self) -> int:
        """The size of the vocabulary without added tokens; len(tokenizer) counts them too."""
        return len(self._vocabulary.ids)

    def __len__(self) -> int:
        return len(self._tokens)

    def get_vocab(self) -> dict[str, int]:
        """Every token and its id, added tokens included; also the property `vocab`."""
        return dict(self._ids)

    vocab = property(get_vocab)

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The added tokens by id: those beyond the vocabulary, and those in it that are looked for in the raw text."""
        return dict(sorted(self._special.of_id.items()))

    def get_added_vocab(self) -> dict[str, int]:
        """The added tokens and their ids; also the property `added_tokens_encoder`."""
        return {token.content: number for number, token in self.added_tokens_decoder.items()}

    added_tokens_encoder = property(get_added_vocab)

    def add_tokens(self, new_tokens: Token | Sequence[Token], special_tokens: bool = False) -> int:
        """Add tokens behind the vocabulary, or change the flags of those there; how many were new or changed.

        special_tokens: `decode(..., skip_special_tokens=True)` leaves them out. A model needs a row for each token:
        `model.resize_token_embeddings(len(tokenizer))`. Raises TokenizerError for what is no token.
        """
        values = [new_tokens] if isinstance(new_tokens, Token) else as_list(new_tokens, "new_tokens")
        tokens = [added_token(value, "new_tokens") for value in values if value != ""]
        n = self._special.add([token.as_special() for token in tokens] if special_tokens else tokens)
        self.__dict__.pop("_shapes", None)
        return n

    # Roles

    def add_special_tokens(
        self, special_tokens_dict: Mapping[str, Any], replace_additional_special_tokens: bool = True
    ) -> int:
        """Give roles to tokens, and add them to the vocabulary; how many were new there or changed.

        special_tokens_dict: tokens by role; `additional_special_tokens` lists tokens, which replace those there, or
        come behind them with replace_additional_special_tokens=False. As upstream, texts stay between the cls_token
        and the sep_token that the tokenizer was made with. Raises TokenizerError for an unknown role.
        """
        wanted: list[AddedToken] = []
        roles, additional = {}, self._additional
        for name, value in special_tokens_dict.items():
            if name == "additional_special_tokens":
                there = [] if replace_additional_special_tokens else self.additional_special_tokens
                tokens = [added_token(token, name).as_special() for token in role_tokens(value, name)]
                tokens = [token for token in tokens if token.content not in there]
                additional = [*([] if tokens and not there else additional), *tokens]
                wanted += tokens
            elif name in NAMES:
                roles[name] = added_token(value, name).as_special()
                wanted.append(roles[name])
            else:
                raise TokenizerError(
                    f"{name!r:.60} is no role of a token: {', '.join(NAMES)}, additional_special_tokens"
                )
        self._roles |= roles
        self._additional = additional
        return self.add_tokens(wanted, special_tokens=True)

    @property
    def additional_special_tokens(self) -> list[str]:
        """The special tokens without a role of their own."""
        return [str(token) for token in self._additional]

    @additional_special_tokens.setter
    def additional_special_tokens(self, values: Sequence[Token] | None) -> None:
        self._additional = role_tokens(values, "additional_special_tokens")

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """The ids of `additional_special_tokens`."""
        return self.convert_tokens_to_ids(self.additional_special_tokens)

    @property
    def special_tokens_map_extended(self) -> dict[str, Token | list[Token]]:
        """The special tokens by role, each as it was given: a string or an AddedToken."""
        named: dict[str, Token | list[Token]] = {name: token for name, token in self._roles.items() if token}
        return named | ({"additional_special_tokens": list(self._additional)} if self._additional else {})

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """The special tokens by role."""
        return {name: getattr(self, name) for name in self.special_tokens_map_extended}

    @property
    def all_special_tokens_extended(self) -> list[Token]:
        """The special tokens, those with a role first, as they were given."""
        first: dict[str, Token] = {}
        for token in self._roles.values():
            if token is not None:
                first.setdefault(str(token), token)
        return [*first.values(), *(token for token in self._additional if str(token) not in first)]

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens, those with a role first."""
        return [str(token) for token in self.all_special_tokens_extended]

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of `all_special_tokens`."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    # Files

    def save_vocabulary(self, save_directory: str | Path, filename_prefix: str | None = None) -> tuple[str, str]:
        """Write `vocab.json` and `merges.txt` into a directory; gives their paths."""
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        vocab, merges = (Path(save_directory) / f"{prefix}{name}" for name in ("vocab.json", "merges.txt"))
        write_vocabulary(self._vocabulary, vocab, merges)
        return str(vocab), str(merges)

    def save_pretrained(
        self, save_directory: str | Path, legacy_format: bool | None = None, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write all files of the tokenizer into a directory, which is made if missing; gives their paths.

        legacy_format: True leaves out `tokenizer.json`, False the files of which it holds the content: `vocab.json`,
        `merges.txt` and, where tokens were added, `added_tokens.json`. filename_prefix: put before each name with a
        hyphen; `from_pretrained` does not find such files.
        """
        directory = Path(save_directory)
        directory.mkdir(parents=True, exist_ok=True)
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        config, special_map, added, whole = (directory / f"{prefix}{name}" for name in _FILES)
        options = {name: getattr(self, name) for name in OPTIONS}
        write_options(config, special_map, self._roles, self._additional, self.added_tokens_decoder, options)
        written = [str(config), str(special_map)]
        if legacy_format is not False:
            beyond = {t: i for t, i in self.get_added_vocab().items() if i >= self.vocab_size}
            if beyond or added.exists():
                write_json(added, beyond)
            written += [*self.save_vocabulary(directory, filename_prefix), str(added)]
        if legacy_format is True:
            whole.unlink(missing_ok=True)  # it would be read instead of these
        else:
            write_tokenizer_json(self._vocabulary, {"sep": self._sep[::-1], "cls": self._cls[::-1]}, options, whole)
            written.append(str(whole))
        return tuple(written)


def _read(vocab_file: Any, merges_file: Any, tokenizer_file: Any, in_text: list[str]) -> Vocabulary:
    if isinstance(tokenizer_file, Vocabulary):
        return tokenizer_file
    if tokenizer_file is not None:
        return read_tokenizer_json(Path(tokenizer_file))
    if vocab_file is None or merges_file is None:
        raise TokenizerError("a vocabulary is missing: pass vocab_file and merges_file, or tokenizer_file")
    return read_vocabulary(Path(vocab_file), Path(merges_file), in_text)
