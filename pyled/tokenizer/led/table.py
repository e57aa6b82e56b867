"""11. The tokens of a tokenizer: the vocabulary with what was added to it, special tokens by role, and their files."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from ...errors import InputError, TokenizerError
from ...files import write_json
from ...hub import incomplete, located
from ..bpe import BPE
from ..special import AddedToken, AddedTokens
from ..vocabulary import read_vocabulary, write_vocabulary
from . import roles
from .arguments import row_of_ids
from .pretrained import OPTIONS, check_option, read_options, write_options
from .roles import ADDITIONAL, NAMES, Token, added_token, role, role_id
from .tokenizer_json import TokenizerFile, read_tokenizer_json, write_tokenizer_json

_VOCABULARY = ("vocab.json", "merges.txt")
_FILES = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.json")


class TokenTable:
    """The tokens of LED's tokenizer and their ids.

    vocab_file, merges_file: the two files of the vocabulary; or tokenizer_file: a `tokenizer.json`, or what was read
    of one. The options are those of transformers 4.57.6 `LEDTokenizerFast`: the names of `roles.DEFAULTS` and of
    `pretrained.OPTIONS`, additional_special_tokens, added_tokens_decoder and name_or_path. A special token is a string
    or an AddedToken; as a string, `<mask>` takes the white space before it along, and one that the vocabulary lacks is
    added at its end. Its role can be asked for and set: `pad_token`, `pad_token_id` and so on; None is no token.

    Several threads may use one tokenizer, as long as none adds tokens or sets a role meanwhile.

    Raises TokenizerError for a bad vocabulary or option, InputError for an unknown one.
    """

    errors: str
    add_prefix_space: bool
    trim_offsets: bool
    model_max_length: int
    padding_side: str
    truncation_side: str
    clean_up_tokenization_spaces: bool
    split_special_tokens: bool

    bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token = map(role, NAMES)
    bos_token_id, eos_token_id, unk_token_id, sep_token_id, pad_token_id, cls_token_id, mask_token_id = map(
        role_id, NAMES
    )

    def __init__(
        self,
        vocab_file: str | Path | None = None,
        merges_file: str | Path | None = None,
        tokenizer_file: str | Path | TokenizerFile | None = None,
        *,
        additional_special_tokens: Sequence[Token] | None = None,
        added_tokens_decoder: Mapping[int, AddedToken] | None = None,
        name_or_path: str = "",
        **options: Any,
    ) -> None:
        for name in options.keys() - OPTIONS.keys() - {*NAMES}:
            raise InputError(f"{name!r:.60} is no option of a tokenizer: {', '.join((*OPTIONS, *NAMES, ADDITIONAL))}")
        self.name_or_path = name_or_path
        self.model_input_names = ["input_ids", "attention_mask"]
        self._warned: set[str] = set()
        self._roles = {name: roles.role_token(options.get(name, token), name) for name, token in roles.DEFAULTS.items()}
        self._additional = roles.role_tokens(additional_special_tokens, ADDITIONAL)
        listed = {i: added_token(token, "added_tokens_decoder") for i, token in (added_tokens_decoder or {}).items()}
        in_text = [str(token) for token in (*self.all_special_tokens, *listed.values())]
        file = _read(vocab_file, merges_file, tokenizer_file, in_text)
        for name in OPTIONS:
            stated = options.get(name)
            setattr(self, name, check_option(name, file.sides.get(name) if stated is None else stated))
        is_legacy = file.frame is None
        self._roles = {name: token and roles.as_loaded(token, name, is_legacy) for name, token in self._roles.items()}
        self._additional = [roles.as_loaded(token, "", is_legacy) for token in self._additional]
        self._vocabulary = file.vocabulary
        self._special = self._first_added(file.added_tokens, listed)
        self._bpe = BPE(file.vocabulary.ids, file.vocabulary.merges)
        cls, sep = file.frame or (self.cls_token, self.sep_token)
        if cls is None or sep is None:
            raise TokenizerError("a text stands between cls_token and sep_token: give them tokens, not None")
        # subtle: texts stand between these two from now on, whatever the roles are set to
        self._cls, self._sep = ((self._special.ids[token], token) for token in (cls, sep))

    def _first_added(self, in_file: Mapping[int, AddedToken], listed: Mapping[int, AddedToken]) -> AddedTokens:
        """Return the tokens of the vocabulary and those that are added to begin with, if these have the ids listed."""
        added = AddedTokens(self._vocabulary.ids)
        added.add(in_file.values())
        added.add(roles.first_added(self._stated(), listed, in_file.values()))
        for number, token in [*in_file.items(), *listed.items()]:
            if added.ids[token.content] != number:
                raise TokenizerError(
                    f"{self.name_or_path}: the added token {token.content!r:.60} is listed with the id {number}, but "
                    f"its place is {added.ids[token.content]}: number added tokens in the order in which they are "
                    f"listed, without gaps, behind the vocabulary's {self.vocab_size}"
                )
        return added

    @classmethod
    def from_pretrained(cls, directory: str | Path, **options: Any) -> Self:
        """Return the tokenizer of a checkpoint directory: of `tokenizer.json`, or of `vocab.json` and `merges.txt`.

        What `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` say counts as in transformers
        4.57.6; `options` of the constructor count before them. Raises TokenizerError for the files, CheckpointError
        where there is no directory.
        """
        path = located(directory, None)
        if (path / "tokenizer.json").exists():
            file = read_tokenizer_json(path / "tokenizer.json")
            return cls(tokenizer_file=file, **read_options(path, options, file.added_tokens))
        missing = [name for name in _VOCABULARY if not (path / name).exists()]
        if missing:
            files = f"copy {' and '.join(_VOCABULARY)}, or tokenizer.json, from the model that it was trained from"
            raise incomplete(path, [file.name for file in path.iterdir()], f"no {' and no '.join(missing)}: {files}")
        return cls(path / "vocab.json", path / "merges.txt", **read_options(path, options, {}))

    def __copy__(self) -> Self:
        return copy.deepcopy(self)  # so that tokens added to one are not in the other

    # Tokens and ids

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Return the token of an id, or those of a row of ids; None where no token has the id."""
        if isinstance(ids, int):
            return self.convert_ids_to_tokens([ids])[0]
        skipped = set(self.all_special_ids) if skip_special_tokens else set()
        tokens, n = self._special.tokens, len(self)
        return [tokens[i] if i < n else None for i in row_of_ids(ids) if i not in skipped]

    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> Any:
        """Return the id of a token, or those of a list of tokens; the id of `<unk>` for what is no token."""
        if isinstance(tokens, str):
            return self._special.ids.get(tokens, self._special.ids.get(self.unk_token))
        return [self.convert_tokens_to_ids(token) for token in tokens]

    # The vocabulary

    @property
    def vocab_size(self) -> int:
        """The size of the vocabulary without added tokens; len(tokenizer) counts them too."""
        return len(self._vocabulary.ids)

    def __len__(self) -> int:
        return len(self._special.tokens)

    def get_vocab(self) -> dict[str, int]:
        """Return every token and its id, added tokens included; also the property `vocab`."""
        return dict(self._special.ids)

    vocab = property(get_vocab)

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The added tokens by id: those beyond the vocabulary, and those in it that are looked for in the raw text."""
        return dict(sorted(self._special.of_id.items()))

    def get_added_vocab(self) -> dict[str, int]:
        """Return the added tokens and their ids; also the property `added_tokens_encoder`."""
        return {token.content: number for number, token in self.added_tokens_decoder.items()}

    added_tokens_encoder = property(get_added_vocab)

    def add_tokens(self, new_tokens: Token | Sequence[Token], special_tokens: bool = False) -> int:
        """Add tokens behind the vocabulary, or change the flags of those there. Return how many were new or changed.

        special_tokens: `decode(..., skip_special_tokens=True)` leaves them out. A model needs a row for each token:
        `model.resize_token_embeddings(len(tokenizer))`. Raises TokenizerError for what is no token.
        """
        values = [new_tokens] if isinstance(new_tokens, Token) else roles.as_list(new_tokens, "new_tokens")
        tokens = [added_token(value, "new_tokens") for value in values if value != ""]
        return self._special.add([token.as_special() for token in tokens] if special_tokens else tokens)

    # Roles

    def add_special_tokens(
        self, special_tokens_dict: Mapping[str, Any], replace_additional_special_tokens: bool = True
    ) -> int:
        """Give roles to tokens, and add them to the vocabulary. Return how many were new there or changed.

        special_tokens_dict: tokens by role; `additional_special_tokens` lists tokens, which replace those there, or
        come behind them with replace_additional_special_tokens=False. As upstream, texts stay between the cls_token
        and the sep_token that the tokenizer was made with. Raises TokenizerError for an unknown role.
        """
        new: list[AddedToken] = []
        of_role, additional = {}, self._additional
        for name, value in special_tokens_dict.items():
            if name == ADDITIONAL:
                there = [] if replace_additional_special_tokens else self.additional_special_tokens
                tokens = [added_token(token, name).as_special() for token in roles.role_tokens(value, name)]
                tokens = [token for token in tokens if token.content not in there]
                additional = [*([] if tokens and not there else additional), *tokens]
                new += tokens
            elif name in NAMES:
                of_role[name] = added_token(value, name).as_special()
                new.append(of_role[name])
            else:
                raise TokenizerError(f"{name!r:.60} is no role of a token: {', '.join(NAMES)}, {ADDITIONAL}")
        self._roles |= of_role
        self._additional = additional
        return self.add_tokens(new, special_tokens=True)

    @property
    def additional_special_tokens(self) -> list[str]:
        """The special tokens without a role of their own."""
        return [str(token) for token in self._additional]

    @additional_special_tokens.setter
    def additional_special_tokens(self, values: Sequence[Token] | None) -> None:
        self._additional = roles.role_tokens(values, ADDITIONAL)

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """The ids of `additional_special_tokens`."""
        return self.convert_tokens_to_ids(self.additional_special_tokens)

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """The special tokens by role."""
        named: dict[str, str | list[str]] = {name: str(token) for name, token in self._roles.items() if token}
        return named | ({ADDITIONAL: self.additional_special_tokens} if self._additional else {})

    def _stated(self) -> list[Token]:
        """Return the special tokens, those with a role first, as they were stated."""
        first: dict[str, Token] = {}
        for token in self._roles.values():
            if token is not None:
                first.setdefault(str(token), token)
        return [*first.values(), *(token for token in self._additional if str(token) not in first)]

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens, those with a role first."""
        return [str(token) for token in self._stated()]

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of `all_special_tokens`."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    # Files

    def save_vocabulary(self, save_directory: str | Path) -> tuple[str, str]:
        """Write `vocab.json` and `merges.txt` into a directory. Return their paths."""
        vocab, merges = (Path(save_directory) / name for name in _VOCABULARY)
        write_vocabulary(self._vocabulary, vocab, merges)
        return str(vocab), str(merges)

    def save_pretrained(self, save_directory: str | Path) -> tuple[str, ...]:
        """Write all files of the tokenizer into a directory, which is made if missing. Return their paths.

        Each older version reads some of them; `added_tokens.json` is written where tokens were added.
        """
        directory = Path(save_directory)
        directory.mkdir(parents=True, exist_ok=True)
        config, special_map, added, whole = (directory / name for name in _FILES)
        options = {name: getattr(self, name) for name in OPTIONS}
        stated = self._roles | {ADDITIONAL: self._additional}
        write_options(config, special_map, stated, self.added_tokens_decoder, options)
        beyond = {t: i for t, i in self.get_added_vocab().items() if i >= self.vocab_size}
        if beyond or added.exists():
            write_json(added, beyond)
        frame = {"sep": self._sep[::-1], "cls": self._cls[::-1]}
        write_tokenizer_json(self._vocabulary, self._special.of_id, frame, options, whole)
        return str(config), str(special_map), *self.save_vocabulary(directory), str(added), str(whole)


def _read(vocab_file: Any, merges_file: Any, tokenizer_file: Any, in_text: list[str]) -> TokenizerFile:
    if isinstance(tokenizer_file, TokenizerFile):
        return tokenizer_file
    if tokenizer_file is not None:
        return read_tokenizer_json(Path(tokenizer_file))
    if vocab_file is None or merges_file is None:
        raise TokenizerError("a vocabulary is missing: pass vocab_file and merges_file, or tokenizer_file")
    return TokenizerFile(read_vocabulary(Path(vocab_file), Path(merges_file), in_text))
