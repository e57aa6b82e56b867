"""11. The tokens of a tokenizer: the vocabulary with what was added to it, special tokens by role, and their files."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from ...annotations import Directory, File, checked_arguments, is_integer
from ...config import refuse_keywords
from ...errors import InputError, TokenizerError, brief
from ...files import is_there, json_text, replace_files
from ...hub import TOKENIZER, incomplete, opened, other_keywords
from ..bpe import BPE
from ..special import AddedToken, AddedTokens
from ..vocabulary import read_vocabulary, vocabulary_files
from .arguments import row_of_ids, strings
from .pretrained import OPTIONS, check_option, option_files, read_options
from .roles import ADDITIONAL, NAMES, Roles, Token, added_token, as_list
from .tokenizer_json import TokenizerFile, in_tokenizer_json, read_tokenizer_json

_VOCABULARY = ("vocab.json", "merges.txt")
_BESIDE = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.json")


class TokenTable(Roles):
    """The tokens of LED's tokenizer and their ids.

    vocab_file, merges_file: the two files of the vocabulary; or tokenizer_file: a `tokenizer.json`, or what was read
    of one. options: those of transformers 4.57.6 `LEDTokenizerFast`, which are the names of `roles.DEFAULTS` and of
    `pretrained.OPTIONS`, additional_special_tokens, and added_tokens_decoder. A special token is a string or an
    AddedToken; as a string, `<mask>` takes the white space before it along. One that the vocabulary lacks is added.

    Several threads may use one tokenizer, as long as none adds tokens or sets a role meanwhile. Raises TokenizerError
    for a bad vocabulary or option, InputError for an unknown option.
    """

    errors: str
    add_prefix_space: bool
    trim_offsets: bool
    model_max_length: int
    padding_side: str
    truncation_side: str
    clean_up_tokenization_spaces: bool
    split_special_tokens: bool

    @checked_arguments
    def __init__(
        self,
        vocab_file: File | None = None,
        merges_file: File | None = None,
        tokenizer_file: File | TokenizerFile | None = None,
        *,
        name_or_path: str = "",
        **options: Any,
    ) -> None:
        refuse_keywords("a tokenizer", options, (*OPTIONS, *NAMES, ADDITIONAL, "added_tokens_decoder"))
        self.name_or_path = name_or_path
        self.model_input_names = ["input_ids", "attention_mask"]
        self._warned: set[str] = set()
        super().__init__(options)
        listed = options.get("added_tokens_decoder")
        listed = {} if listed is None else listed
        if not isinstance(listed, Mapping) or not all(map(is_integer, listed)):
            raise TokenizerError(f"added_tokens_decoder is {brief(listed)}: a dictionary with ids as keys was expected")
        listed = {number: added_token(token, "added_tokens_decoder") for number, token in listed.items()}
        in_text = [str(token) for token in (*self.all_special_tokens, *listed.values())]
        file = _read(vocab_file, merges_file, tokenizer_file, in_text)
        for name in OPTIONS:
            stated = options.get(name)
            setattr(self, name, check_option(name, file.sides.get(name) if stated is None else stated))
        self.trim_offsets &= file.trims
        self._load(is_legacy=file.frame is None)
        self._vocabulary = file.vocabulary
        self._special = self._first_added(file.added_tokens, listed)
        self._bpe = BPE(file.vocabulary.ids, file.vocabulary.merges)
        cls, sep = file.frame or (self.cls_token, self.sep_token)
        if cls is None or sep is None:
            raise TokenizerError("a text stands between cls_token and sep_token: give them tokens, not None")
        # subtle: texts stand between these two from now on, whatever the roles are set to
        self._cls, self._sep = ((self._special.ids[token], token) for token in (cls, sep))

    def _first_added(self, in_file: Mapping[int, AddedToken], listed: Mapping[int, AddedToken]) -> AddedTokens:
        """Return the vocabulary with what transformers 4.57.6 adds when it loads, in its order: later tokens win.

        in_file: what `tokenizer.json` has added; listed: tokens with the ids that other files give them. A role's
        string adds nothing where there is a token of that string. Raises TokenizerError for an id that is not so.
        """
        added, stated = AddedTokens(self._vocabulary.ids), self.all_special_tokens_extended
        added.add(in_file.values())
        first = [listed[number] for number in sorted(listed)]
        known = {token.content for token in (*in_file.values(), *first)}
        later = [AddedToken(token) if isinstance(token, str) else token for token in stated if token not in known]
        with_role = set(map(str, stated))
        added.add([token.as_special() if token.content in with_role else token for token in (*first, *later)])
        for number, token in [*in_file.items(), *listed.items()]:
            if (place := added.ids[token.content]) != number:
                problem = (
                    f"the added token {brief(token.content)} is listed with the id {number}, but its place is {place}"
                )
                remedy = f"number added tokens without gaps from {self.vocab_size}, in the order of their list"
                raise TokenizerError(f"{self.name_or_path}: {problem}: {remedy}", "added-id")
        return added

    @classmethod
    def from_pretrained(cls, directory: str | Path, **keywords: Any) -> Self:
        """Return the tokenizer of a checkpoint: of `tokenizer.json`, or of `vocab.json` and `merges.txt`.

        What `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` say counts as in transformers
        4.57.6. directory: or the checkpoint's name on a hub, owner/name. keywords: options of the constructor, which
        count before the files; Hugging Face's others are taken, too, see docs/api.md.

        Raises TokenizerError, CheckpointError for missing files, InputError.
        """
        path, options = opened(directory, keywords, TOKENIZER)
        options.pop("config", None)  # scripts pass the model's, which says nothing of the tokenizer
        if is_there(path / "tokenizer.json", TokenizerError):
            file = read_tokenizer_json(path / "tokenizer.json")
            return cls(tokenizer_file=file, **read_options(path, options, file.added_tokens))
        missing = [name for name in _VOCABULARY if not is_there(path / name, TokenizerError)]
        if missing:
            files = f"copy {' and '.join(_VOCABULARY)}, or tokenizer.json, from the model that it was trained from"
            raise incomplete(path, [file.name for file in path.iterdir()], f"no {' and no '.join(missing)}: {files}")
        return cls(path / "vocab.json", path / "merges.txt", **read_options(path, options, {}))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in OPTIONS:
            value = check_option(name, value, InputError)
        super().__setattr__(name, strings(value, name) if name == "model_input_names" else value)

    __copy__ = copy.deepcopy  # so that tokens added to one are not in the other

    # Tokens and ids

    @checked_arguments
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
        return [self.convert_tokens_to_ids(token) for token in strings(tokens, "tokens")]

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

    @checked_arguments
    def add_tokens(self, new_tokens: Token | Sequence[Token], special_tokens: bool = False) -> int:
        """Add tokens behind the vocabulary, or change the flags of those there. Return how many were new or changed.

        special_tokens: `decode(..., skip_special_tokens=True)` leaves them out. A model needs a row for each token:
        `model.resize_token_embeddings(len(tokenizer))`. Raises TokenizerError for what is no token.
        """
        values = [new_tokens] if isinstance(new_tokens, Token) else as_list(new_tokens, "new_tokens")
        tokens = [added_token(value, "new_tokens") for value in values if not isinstance(value, str) or value]
        return self._special.add([token.as_special() for token in tokens] if special_tokens else tokens)

    # Roles

    @checked_arguments
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
                tokens = [added_token(token, name).as_special() for token in as_list(value, name)]
                tokens = [token for token in tokens if token.content not in there]
                additional = [*([] if tokens and not there else additional), *tokens]
                new += tokens
            elif name in NAMES:
                of_role[name] = added_token(value, name).as_special()
                new.append(of_role[name])
            else:
                raise TokenizerError(f"{brief(name)} is no role of a token: {', '.join(NAMES)}, {ADDITIONAL}")
        self._roles |= of_role
        self._additional = additional
        return self.add_tokens(new, special_tokens=True)

    additional_special_tokens_ids = property(lambda self: self.convert_tokens_to_ids(self.additional_special_tokens))
    all_special_ids = property(lambda self: self.convert_tokens_to_ids(self.all_special_tokens))

    # Files

    @checked_arguments
    def save_vocabulary(self, save_directory: Directory, filename_prefix: str | None = None) -> tuple[str, str]:
        """Write `vocab.json` and `merges.txt` into a directory. Return their paths."""
        vocab, merges = _paths(save_directory, filename_prefix, *_VOCABULARY)
        replace_files(vocabulary_files(self._vocabulary, vocab, merges))
        return str(vocab), str(merges)

    @checked_arguments
    def save_pretrained(
        self,
        save_directory: Directory,
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
        **keywords: Any,
    ) -> tuple[str, ...]:
        """Write all files of the tokenizer into a directory, which is made if missing. Return their paths.

        Each older version reads some of them; `added_tokens.json` is written where tokens were added. legacy_format:
        True leaves out `tokenizer.json`, False the files that it replaces. filename_prefix: put before each name with
        a hyphen; `from_pretrained` does not read such files. keywords: Hugging Face's that change nothing here.
        """
        refuse_keywords("save_pretrained", other_keywords(keywords), ())
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        *stated, added, whole = _paths(save_directory, filename_prefix, *_BESIDE)
        options = {name: getattr(self, name) for name in OPTIONS}
        roles = {name: getattr(self, name) for name in (*NAMES, ADDITIONAL)}
        files = option_files(stated, roles, self.added_tokens_decoder, options)
        written = [*stated]
        if legacy_format is not False:
            beyond = {t: i for t, i in self.get_added_vocab().items() if i >= self.vocab_size}
            plain = _paths(save_directory, filename_prefix, *_VOCABULARY)
            files |= vocabulary_files(self._vocabulary, *plain)
            written += [*plain, added]
            if beyond or is_there(added, TokenizerError):
                files[added] = [json_text(beyond).encode()]
        if legacy_format is not True:
            file = TokenizerFile(self._vocabulary, self._special.of_id, (self._cls[1], self._sep[1]))
            files[whole] = [in_tokenizer_json(file, self._special.ids, options)]
            written.append(whole)
        replace_files(files, outdated=whole if legacy_format is True else None)  # it would be read instead of these
        return tuple(map(str, written))


def _paths(directory: str | Path, prefix: str | None, *names: str) -> list[Path]:
    return [Path(directory) / (f"{prefix}-{name}" if prefix else name) for name in names]


def _read(vocab_file: Any, merges_file: Any, tokenizer_file: Any, in_text: list[str]) -> TokenizerFile:
    if isinstance(tokenizer_file, TokenizerFile):
        return tokenizer_file
    if tokenizer_file is not None:
        return read_tokenizer_json(Path(tokenizer_file))
    if vocab_file is None or merges_file is None:
        raise TokenizerError("a vocabulary is missing: pass vocab_file and merges_file, or tokenizer_file")
    return TokenizerFile(read_vocabulary(Path(vocab_file), Path(merges_file), in_text))
