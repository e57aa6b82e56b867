"""9. The options of a tokenizer, and the files beside a vocabulary that state them and special tokens.

A decade of versions has written these files. transformers 4.57.6 takes `tokenizer.json` for the vocabulary where
it exists; `tokenizer_config.json` for the options; and for the special tokens, if that file has no
`added_tokens_decoder`, also `special_tokens_map.json`, which wins, `added_tokens.json` and `tokenizer.json`.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ...errors import PyledError, TokenizerError, brief
from ...files import is_there, json_text, read_json
from ..special import AddedToken
from .roles import ADDITIONAL, NAMES, Token, added_token, as_list, as_stated

NO_LIMIT = int(1e30)  # model_max_length of a tokenizer without one, in transformers
_DIGITS = 40  # of an integer; NO_LIMIT has 31

# The values of each option, the default first. `errors` changes nothing: decoding always replaces.
OPTIONS: dict[str, tuple[Any, ...]] = {
    "errors": ("replace", "strict", "ignore"),
    "add_prefix_space": (False, True),
    "trim_offsets": (True, False),
    "model_max_length": (NO_LIMIT,),
    "padding_side": ("right", "left"),
    "truncation_side": ("right", "left"),
    "clean_up_tokenization_spaces": (False, True),
    "split_special_tokens": (False, True),
}


def check_option(name: str, value: Any, error: type[PyledError] = TokenizerError) -> Any:
    """Return the value of an option; None is the default, and model_max_length an integer (files also say 1e30).

    Raises `error` for a value that the option cannot have.
    """
    choices = OPTIONS[name]
    if value is None:
        return choices[0]
    if name == "model_max_length":
        if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < math.inf or value % 1:
            raise error(f"{name} is {brief(value)}: an integer of at least 1 was expected")
        return int(value)
    if type(value) is not type(choices[0]) or value not in choices:
        raise error(f"{name} is {brief(value)}: {' or '.join(map(repr, choices))} was expected")
    return value


def read_options(directory: Path, arguments: Mapping[str, Any], in_file: Mapping[int, AddedToken]) -> dict[str, Any]:
    """Return the options of LEDTokenizer that a checkpoint's files state; `arguments` take their place.

    in_file: the added tokens that `tokenizer.json` lists. Raises TokenizerError.
    """
    path = directory / "tokenizer_config.json"
    config = _read(path)
    config.setdefault("model_max_length", config.get("max_len"))
    options: dict[str, Any] = {key: config[key] for key in OPTIONS if config.get(key) is not None}
    options |= {name: config[name] for name in NAMES if name in config}
    extra = config.get("extra_special_tokens")  # written by 5.23.0; in 4.57.6 they have names, which LED does not use
    extra = list(extra.values()) if isinstance(extra, dict) else extra
    options[ADDITIONAL] = as_list(config.get(ADDITIONAL), f"{path}, {ADDITIONAL}")
    options[ADDITIONAL] += as_list(extra, f"{path}, extra_special_tokens")
    options |= {**arguments, "name_or_path": str(directory)}
    listed = config.get("added_tokens_decoder")
    if listed is None:
        _add_special_tokens_map(directory / "special_tokens_map.json", options, arguments)
        roles = [options.get(name) for name in NAMES] + as_list(options[ADDITIONAL], ADDITIONAL)
        # 4.57.6 does not read the objects of tokenizer_config.json here
        special = {str(role) for role in roles if isinstance(role, str | AddedToken)}
        with_flags = dict(in_file)
        added = _read_added_tokens(directory / "added_tokens.json", special) | with_flags
    else:
        with_flags = added = _listed_tokens(listed, path)
    of_content = {token.content: token for token in with_flags.values()}
    for name in [name for name in NAMES if name in options]:
        token = None if options[name] is None else as_stated(options[name], f"{path}, {name}")
        options[name] = of_content.get(str(token), token)
    return options | {"added_tokens_decoder": added}


def _read(path: Path) -> dict[str, Any]:
    return read_json(path, TokenizerError, digits=_DIGITS) if is_there(path, TokenizerError) else {}


def _add_special_tokens_map(path: Path, options: dict[str, Any], arguments: Mapping[str, Any]) -> None:
    def special(value: Any) -> Token:
        token = as_stated(value, f"{path}, {name}")
        return token.as_special() if isinstance(token, AddedToken) else token

    for name, value in _read(path).items():
        if arguments.get(name):
            continue
        if name == ADDITIONAL:
            options[name] = as_list(options[name], name)
            new = dict.fromkeys(map(special, as_list(value, f"{path}, {name}")))
            options[name] += [token for token in new if token not in options[name]]
        elif name in NAMES:
            options[name] = None if value is None else special(value)


def _read_added_tokens(path: Path, special: Collection[str]) -> dict[int, AddedToken]:
    added = {}
    for content, number in _read(path).items():
        if type(number) is not int:
            raise TokenizerError(f"{path}: {brief(content)} has the id {brief(number)}: an id is an integer")
        is_special = content in special
        added[number] = replace(added_token(content, str(path)), normalized=not is_special, special=is_special)
    return added


def _listed_tokens(listed: Any, path: Path) -> dict[int, AddedToken]:
    where = f"{path}, added_tokens_decoder"
    if not isinstance(listed, dict) or not all(key.isdecimal() and len(key) <= _DIGITS for key in listed):
        raise TokenizerError(f"{where}: an object with ids as keys was expected")
    return {int(key): added_token(token, f"{where}, {key}") for key, token in listed.items()}


def option_files(
    paths: Sequence[Path], roles: Mapping[str, Any], added: Mapping[int, AddedToken], options: dict[str, Any]
) -> dict[Path, list[bytes]]:
    """Return the two files that `read_options` reads, so that transformers 4.57.6 and 5.23.0 give the same ids.

    paths: tokenizer_config.json, special_tokens_map.json; roles: each one's token or None, and the additional list
    """
    listed = {str(number): asdict(token) for number, token in added.items()}
    config = {**options, **roles, "added_tokens_decoder": listed, "tokenizer_class": "LEDTokenizer"}
    stated = {name: token for name, token in roles.items() if token}
    return {path: [json_text(value).encode()] for path, value in zip(paths, (config, stated), strict=True)}
