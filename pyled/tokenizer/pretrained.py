"""7. The files beside a vocabulary: what they say about special tokens and options, read and written.

They have been written by a decade of versions. transformers 4.57.6 takes `tokenizer.json` for the vocabulary where
it exists; `tokenizer_config.json` for the options; and for the special tokens, if that file has no
`added_tokens_decoder`, also `special_tokens_map.json`, which wins, `added_tokens.json` and `tokenizer.json`.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import TokenizerError
from ..files import parse_json, read_json, write_json
from .special import NAMES, AddedToken, added_token
from .vocabulary import Vocabulary

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
_LIMIT_OF_MANY_DIGITS = re.compile(rb'("(?:model_max_length|max_len)"\s*:\s*)\d{19,}')

Options = dict[str, Any]


def read_options(directory: Path, given: Mapping[str, Any], in_vocabulary: Mapping[int, AddedToken]) -> Options:
    """The options of LEDTokenizer that a checkpoint's files state, those `given` in their place.

    in_vocabulary: the added tokens that `tokenizer.json` lists. Raises TokenizerError.
    """
    config = _read_config(directory / "tokenizer_config.json")
    options = {
        key: config[key] for key in (*NAMES, *OPTIONS, "additional_special_tokens") if config.get(key) is not None
    }
    options |= given
    check_token_list(options.get("additional_special_tokens", []))
    listed = config.get("added_tokens_decoder")
    if listed is None:
        _add_special_tokens_map(directory / "special_tokens_map.json", options, given)
        special = {content_of(options[name]) for name in NAMES if name in options}
        special |= {content_of(token) for token in options.get("additional_special_tokens", ())}
        with_flags = dict(in_vocabulary)
        added = _read_added_tokens(directory / "added_tokens.json", special) | with_flags
    else:
        with_flags = added = _listed_tokens(listed, directory / "tokenizer_config.json")
    of_content = {token.content: token for token in with_flags.values()}
    for name in NAMES:
        if name in options:
            options[name] = of_content.get(content_of(options[name]), options[name])
    return options | {"added_tokens_decoder": added}


def _read_config(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        data = path.read_bytes()
    except OSError as e:
        raise TokenizerError(f"{path}: cannot be read: {e.strerror}") from None
    # transformers writes "no limit" as int(1e30), which is more digits than strict JSON has here
    config = parse_json(_LIMIT_OF_MANY_DIGITS.sub(rb"\1null", data), str(path), TokenizerError)
    if not isinstance(config, dict):
        raise TokenizerError(f"{path}: holds a JSON {type(config).__name__}, an object was expected")
    config.setdefault("model_max_length", config.get("max_len"))
    return config


def _add_special_tokens_map(path: Path, options: Options, given: Mapping[str, Any]) -> None:
    if not path.exists():
        return
    for name, value in read_json(path, TokenizerError).items():
        if given.get(name):
            continue
        if name == "additional_special_tokens":
            check_token_list(value)
            known = options.get(name, [])
            options[name] = [*known, *(added_token(token, f"{path}, {name}", special=True) for token in value)]
        elif name in NAMES:
            options[name] = value | {"special": True} if isinstance(value, dict) else value


def _read_added_tokens(path: Path, special: Collection[str]) -> dict[int, AddedToken]:
    added = {}
    for content, number in (read_json(path, TokenizerError) if path.exists() else {}).items():
        if type(number) is not int:
            raise TokenizerError(f"{path}: {content!r:.60} has the id {number!r:.40}: an id is an integer")
        added[number] = added_token(content, str(path), special=content in special)
    return added


def _listed_tokens(listed: Any, path: Path) -> dict[int, AddedToken]:
    where = f"{path}, added_tokens_decoder"
    if not isinstance(listed, dict) or not all(key.isdecimal() for key in listed):
        raise TokenizerError(f"{where}: an object with ids as keys was expected")
    return {int(key): added_token(token, f"{where}, {key}") for key, token in listed.items()}


def check_token_list(value: object) -> None:
    """Raise TokenizerError unless `value` is a list of tokens."""
    if not isinstance(value, list | tuple):
        raise TokenizerError(f"additional_special_tokens is {value!r:.40}: a list of tokens was expected")


def content_of(value: object) -> str:
    """The string of a token in any spelling; "" for what is no token."""
    content = value.get("content") if isinstance(value, dict) else value
    return str(content) if isinstance(content, str | AddedToken) else ""


def write_options(
    directory: Path,
    named: Mapping[str, AddedToken],
    additional: Sequence[AddedToken],
    vocabulary: Vocabulary,
    options: Mapping[str, Any],
) -> None:
    """Write what `read_options` reads, so that transformers 4.57.6 and 5.23.0 give the same ids."""
    added = vocabulary.added_tokens
    tokens = {name: token.content for name, token in named.items()}
    flags: dict[str, Any] = {name: _without_special(token) for name, token in named.items()}
    if additional:
        flags["additional_special_tokens"] = [_without_special(token) for token in additional]
    config = {
        **options,
        **tokens,
        "additional_special_tokens": [token.content for token in additional],
        "added_tokens_decoder": {str(number): token.to_dict() for number, token in added.items()},
        "tokenizer_class": "LEDTokenizer",
    }
    write_json(directory / "special_tokens_map.json", flags)
    write_json(directory / "tokenizer_config.json", config)
    beyond = {token.content: number for number, token in added.items() if number >= len(vocabulary.ids)}
    if beyond or (directory / "added_tokens.json").exists():
        write_json(directory / "added_tokens.json", beyond)


def _without_special(token: AddedToken) -> dict[str, Any]:
    return {key: value for key, value in token.to_dict().items() if key != "special"}
