"""7. Special tokens: their roles, and any spelling of them in files and arguments."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...errors import PyledError, TokenizerError, brief
from ..special import FLAGS, AddedToken

# The roles, and the tokens that have them unless a file or an argument says otherwise.
DEFAULTS = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "cls_token": "<s>",
    "mask_token": "<mask>",
}
NAMES = (*DEFAULTS,)
ADDITIONAL = "additional_special_tokens"  # the list of special tokens without a role

Token = str | AddedToken  # what may stand for a role


def added_token(value: object, where: str) -> AddedToken:
    """Return the AddedToken that a file or an argument spells: a string, or an object with or without `__type`.

    where: the beginning of the message of the TokenizerError that anything else raises
    """
    if isinstance(value, AddedToken):
        return value
    fields = value if isinstance(value, dict) else {"content": value}
    fields = {key: field for key, field in fields.items() if key not in ("__type", "id")}
    if not isinstance(fields.get("content"), str) or not fields.keys() <= {"content", *FLAGS}:
        raise TokenizerError(
            f"{where}: {brief(value)} is no token: a string is, or an object with 'content' and {', '.join(FLAGS)}"
        )
    try:
        return AddedToken(**fields)
    except PyledError as e:
        raise TokenizerError(f"{where}: {e}") from None


def as_stated(value: object, where: str) -> Token:
    """Return a token as a file or an argument states it: a string, or an AddedToken. Raises as `added_token`."""
    token = added_token(value, where)
    return value if isinstance(value, str) else token


def as_list(values: object, where: str) -> list[Any]:
    """Return a list of tokens; None is an empty one. Raises TokenizerError for what is no list."""
    if values is not None and not isinstance(values, list | tuple):
        raise TokenizerError(f"{where} is {brief(values)}: a list of tokens was expected")
    return list(values or ())


def role(name: str) -> Any:
    """Return a property, the special token of a role: a string, or None. Setting it adds nothing to the vocabulary."""

    def write(tokenizer: Any, value: Any) -> None:
        tokenizer._roles[name] = None if value is None else as_stated(value, name)

    return property(lambda tokenizer: tokenizer._roles[name] and str(tokenizer._roles[name]), write)


def role_id(name: str) -> Any:
    """Return a property, the id of the special token of a role: of `<unk>` where the vocabulary lacks it, or None."""

    def read(tokenizer: Any) -> int | None:
        token = getattr(tokenizer, name)
        return None if token is None else tokenizer.convert_tokens_to_ids(token)

    def write(tokenizer: Any, value: int | None) -> None:
        setattr(tokenizer, name, None if value is None else tokenizer.convert_ids_to_tokens(value))

    return property(read, write)


class Roles:
    """The special tokens of a tokenizer by role, as they were stated: `pad_token`, `pad_token_id` and so on.

    options: tokens by role, in the place of the defaults, and the list of those without a role; None is no token
    """

    bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token = map(role, NAMES)
    bos_token_id, eos_token_id, unk_token_id, sep_token_id, pad_token_id, cls_token_id, mask_token_id = map(
        role_id, NAMES
    )

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._roles: dict[str, Token | None] = {}
        for name, default in DEFAULTS.items():
            setattr(self, name, options.get(name, default))
        self._additional: list[Token] = []
        self.additional_special_tokens = options.get(ADDITIONAL)

    def _load(self, is_legacy: bool) -> None:
        """Make of each token what transformers 4.57.6 makes of it when it loads a tokenizer.

        is_legacy: there is no `tokenizer.json`, so that the flags of that file cannot count
        """

        def loaded(token: Any) -> Any:
            if not isinstance(token, AddedToken):
                return token
            return replace(token, special=True) if is_legacy else token.as_special()

        for name, token in self._roles.items():
            if isinstance(token, str) and (is_legacy or name == "mask_token"):
                token = AddedToken(token, lstrip=name == "mask_token", normalized=True)
            self._roles[name] = loaded(token)
        self._additional = [loaded(token) for token in self._additional]

    @property
    def additional_special_tokens(self) -> list[str]:
        """The special tokens without a role."""
        return [str(token) for token in self._additional]

    @additional_special_tokens.setter
    def additional_special_tokens(self, values: Sequence[Token] | None) -> None:
        self._additional = [as_stated(value, ADDITIONAL) for value in as_list(values, ADDITIONAL)]

    @property
    def special_tokens_map_extended(self) -> dict[str, Any]:
        """The special tokens by role, each as it was stated: a string or an AddedToken."""
        named = {name: token for name, token in self._roles.items() if token}
        return named | ({ADDITIONAL: [*self._additional]} if self._additional else {})

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """The special tokens by role."""
        return {name: getattr(self, name) for name in self.special_tokens_map_extended}

    @property
    def all_special_tokens_extended(self) -> list[Token]:
        """The special tokens, those with a role first, as they were stated."""
        first: dict[str, Token] = {}
        for token in self._roles.values():
            if token is not None:
                first.setdefault(str(token), token)
        return [*first.values(), *(token for token in self._additional if str(token) not in first)]

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens, those with a role first."""
        return [str(token) for token in self.all_special_tokens_extended]
