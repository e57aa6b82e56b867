"""7. Special tokens: their roles, and any spelling of them in files and arguments."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ...errors import PyledError, TokenizerError
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
            f"{where}: {value!r:.80} is no token: a string is, or an object with 'content' and {', '.join(FLAGS)}"
        )
    if not fields["content"]:
        raise TokenizerError(f"{where}: a token needs at least one character")
    try:
        return AddedToken(**fields)
    except PyledError as e:
        raise TokenizerError(f"{where}: {e}") from None


def role_token(value: object, where: str) -> Token | None:
    """Return the token of a role: None, a string as it is, or an AddedToken. Raises TokenizerError as `added_token`."""
    token = None if value is None else added_token(value, where)
    return value if isinstance(value, str) else token


def as_list(values: object, where: str) -> list[Any]:
    """Return a list of tokens; None is an empty one. Raises TokenizerError for what is no list."""
    if values is not None and not isinstance(values, list | tuple):
        raise TokenizerError(f"{where} is {values!r:.40}: a list of tokens was expected")
    return list(values or ())


def role_tokens(values: object, where: str) -> list[Token]:
    """Return the tokens of a list: a string as it is, or an AddedToken. Raises TokenizerError as the two above."""
    return [
        value if isinstance(value, str) and value else added_token(value, where) for value in as_list(values, where)
    ]


def as_loaded(token: Token, name: str, is_legacy: bool) -> Token:
    """Return what transformers 4.57.6 makes of the token of a role when it loads a tokenizer.

    is_legacy: there is no `tokenizer.json`, so that the flags of that file cannot count
    """
    if isinstance(token, str) and (name == "mask_token" or (is_legacy and name in NAMES)):
        token = AddedToken(token, lstrip=name == "mask_token", normalized=True)
    if not isinstance(token, AddedToken):
        return token
    return replace(token, special=True) if is_legacy else token.as_special()


def first_added(
    special: list[Token], listed: Mapping[int, AddedToken], in_file: Iterable[AddedToken]
) -> list[AddedToken]:
    """Return what transformers 4.57.6 adds to a tokenizer that it loads, in its order; later ones change earlier ones.

    special: the tokens of roles; listed: tokens with the ids that files give them; in_file: what `tokenizer.json` has
    added already. A string adds nothing where there is a token of that string.
    """
    first = [listed[number] for number in sorted(listed)]
    known = {token.content for token in (*in_file, *first)}
    roles = {str(token) for token in special}
    later = [AddedToken(token) if isinstance(token, str) else token for token in special if token not in known]
    return [token.as_special() if token.content in roles else token for token in (*first, *later)]


def role(name: str) -> Any:
    """Return a property, the special token of a role: a string, or None. Setting it adds nothing to the vocabulary."""

    def read(tokenizer: Any) -> str | None:
        return None if tokenizer._roles[name] is None else str(tokenizer._roles[name])

    def write(tokenizer: Any, value: Any) -> None:
        tokenizer._roles[name] = role_token(value, name)

    return property(read, write)


def role_id(name: str) -> Any:
    """Return a property, the id of the special token of a role: of `<unk>` where the vocabulary lacks it, or None."""

    def read(tokenizer: Any) -> int | None:
        token = getattr(tokenizer, name)
        return None if token is None else tokenizer.convert_tokens_to_ids(token)

    def write(tokenizer: Any, value: int | None) -> None:
        setattr(tokenizer, name, None if value is None else tokenizer.convert_ids_to_tokens(value))

    return property(read, write)
