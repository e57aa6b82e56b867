"""7. The files beside a vocabulary: what they say about special tokens and options, read and written.

They have been written by a decade of versions. transformers 4.57.6 takes `tokenizer.json` for the vocabulary where
it exists; `tokenizer_config.json` for the options; and for the special tokens, if that file has no
`added_tokens_decoder`, also `special_tokens_map.json`, which wins, `added_tokens.json` and `tokenizer.json`.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import TokenizerError
from ...files import read_json, write_json
from ..special import NAMES, AddedToken, Token, added_token, as_list, role_token, role_tokens

OPTIONS = (
    "errors",
    "add_prefix_space",
    "trim_offsets",
    "model_max_length",
    "padding_side",
    "truncation_side",
    "clean_up_tokenization_spaces",
    "split_special_tokens",
)
NO_LIMIT = int(1e30)  # model_max_length of a tokenizer without one, in transformers
_DIGITS = 40  # of an integer; NO_LIMIT has 31
_ADDITIONAL = "additional_special_tokens"

Options = dict[str, Any]


def read_options(directory: Path, given: Mapping[str, Any], in_vocabulary: Mapping[int, AddedToken]) -> Options:
    """The options of LEDTokenizer that a checkpoint's files state, those `given` in their place.

    in_vocabulary: the added tokens that `tokenizer.json` lists. Raises TokenizerError.
    """
    path = directory / "tokenizer_config.json"
    config = read_json(path, TokenizerError, digits=_DIGITS) if path.exists() else {}
    config.setdefault("model_max_length", config.get("max_len"))
    options: Options = {key: config[key] for key in OPTIONS if config.get(key) is not None}
    options |= {name: config[name] for name in NAMES if name in config}
    extra = config.get("extra_special_tokens")  # what 5.23.0 writes; in 4.57.6 they have names, which LED does not use
    extra = list(extra.values()) if isinstance(extra, dict) else extra
    options[_ADDITIONAL] = as_list(config.get(_ADDITIONAL), f"{path}, {_ADDITIONAL}")
    options[_ADDITIONAL] += as_list(extra, f"{path}, extra_special_tokens")
    options |= {**given, "name_or_path": str(directory)}
    listed = config.get("added_tokens_decoder")
    if listed is None:
        _add_special_tokens_map(directory / "special_tokens_map.json", options, given)
        roles = [options.get(name) for name in NAMES] + as_list(options[_ADDITIONAL], _ADDITIONAL)
        special = set(map(str, roles))  # tokens; what is an object in tokenizer_config.json is not read yet in 4.57.6
        with_flags = dict(in_vocabulary)
        added = _read_added_tokens(directory / "added_tokens.json", special) | with_flags
    else:
        with_flags = added = _listed_tokens(listed, path)
    of_content = {token.content: token for token in with_flags.values()}
    for name in [name for name in NAMES if name in options]:
        token = role_token(options[name], f"{path}, {name}")
        options[name] = of_content.get(str(token), token)
    return options | {"added_tokens_decoder": added}


def _add_special_tokens_map(path: Path, options: Options, given: Mapping[str, Any]) -> None:
    for name, value in (read_json(path, TokenizerError) if path.exists() else {}).items():
        where = f"{path}, {name}"
        if given.get(name):
            continue
        if name == _ADDITIONAL:
            options[name] = as_list(options[name], name)
            new = dict.fromkeys(map(_special, role_tokens(value, where)))
            options[name] += [token for token in new if token not in options[name]]
        elif name in NAMES:
            options[name] = _special(role_token(value, where))


def _special(token: Any) -> Any:
    return token.as_special() if isinstance(token, AddedToken) else token


def _read_added_tokens(path: Path, special: Collection[str]) -> dict[int, AddedToken]:
    added = {}
    for content, number in (read_json(path, TokenizerError) if path.exists() else {}).items():
        if type(number) is not int:
            raise TokenizerError(f"{path}: {content!r:.60} has the id {number!r:.40}: an id is an integer")
        is_special = content in special
        added[number] = replace(added_token(content, str(path)), normalized=not is_special, special=is_special)
    return added


def _listed_tokens(listed: Any, path: Path) -> dict[int, AddedToken]:
    where = f"{path}, added_tokens_decoder"
    if not isinstance(listed, dict) or not all(key.isdecimal() and len(key) <= _DIGITS for key in listed):
        raise TokenizerError(f"{where}: an object with ids as keys was expected")
    return {int(key): added_token(token, f"{where}, {key}") for key, token in listed.items()}


def write_options(
    tokenizer_config: Path,
    special_tokens_map: Path,
    roles: Mapping[str, Token | None],
    additional: list[Token],
    added: Mapping[int, AddedToken],
    options: Mapping[str, Any],
) -> None:
    """Write what `read_options` reads, so that transformers 4.57.6 and 5.23.0 give the same ids."""
    flags = {name: _without_special(token) for name, token in roles.items() if token is not None}
    flags |= {_ADDITIONAL: [_without_special(token) for token in additional]} if additional else {}
    write_json(special_tokens_map, flags)
    config = {
        **options,
        **{name: None if token is None else str(token) for name, token in roles.items()},
        _ADDITIONAL: [str(token) for token in additional],
        "added_tokens_decoder": {str(number): token.to_dict() for number, token in added.items()},
        "tokenizer_class": "LEDTokenizer",
    }
    write_json(tokenizer_config, config)


def _without_special(token: Token) -> Any:
    """As it stands in a special_tokens_map.json."""
    if isinstance(token, str):
        return token
    return {key: value for key, value in token.to_dict().items() if key != "special"}
