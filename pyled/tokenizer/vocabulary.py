"""4. The two files of a vocabulary, read strictly and written: `vocab.json` and `merges.txt`.

`tokenizer.json`, which newer checkpoints have beside them, holds both and the added tokens.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import chain
from operator import add
from pathlib import Path
from typing import Any

from ..errors import TokenizerError
from ..files import read_file, read_json, replace_file
from .bytelevel import BYTE_OF_SYMBOL, SYMBOL_OF_BYTE
from .special import AddedToken, added_token

_HEADER = "#version"
_PARTS = {
    "model": "BPE",
    "normalizer": None,
    "pre_tokenizer": "ByteLevel",
    "post_processor": "RobertaProcessing",
    "decoder": "ByteLevel",
}
_PLAIN_BPE = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges")

_NO_SYMBOL = re.compile(f"[^{re.escape(''.join(SYMBOL_OF_BYTE))}]")
_GAP = re.compile(r"[\s,]*")
_RIGHT = {"padding_side": "right", "truncation_side": "right"}

Merge = tuple[str, str]


@dataclass(frozen=True)
class Vocabulary:
    """ids: token to id, the ids 0 to n-1; merges: pairs of tokens, most urgent first, whose products are tokens.

    What else a `tokenizer.json` says: added_tokens, by id, in the order of the file; frame, the tokens that are put
    before and after a text; sides, of padding and truncation.
    """

    ids: dict[str, int]
    merges: list[Merge]
    added_tokens: dict[int, AddedToken] = field(default_factory=dict)
    frame: tuple[str, str] | None = None
    sides: dict[str, str] = field(default_factory=lambda: _RIGHT)


def read_vocabulary(vocab_file: Path, merges_file: Path, added: Collection[str]) -> Vocabulary:
    """The vocabulary of a `vocab.json` and its `merges.txt`. Raises TokenizerError naming the file and the line.

    added: tokens that need not be written in byte symbols, because they are looked for in the raw text.
    Every line of the merges after the `#version` header counts, whether or not the last ends in a newline
    (transformers 4.57.6 drops the first line whatever it is, and an unfinished last one; 5.23.0 does not).
    """
    ids = read_json(vocab_file, TokenizerError)
    _check_ids(ids, vocab_file, added)
    try:
        text = read_file(merges_file, TokenizerError).decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise TokenizerError(f"{merges_file}: byte {e.start} is not UTF-8") from None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    first = 2 if lines[0].startswith(_HEADER) else 1
    if lines[-1] == "":
        lines.pop()
    pairs = [line.split(" ") for line in lines[first - 1 :]]
    merges = _check_merges(pairs, ids, lambda i: f"{merges_file}, line {first + i}")
    return Vocabulary(ids, merges)


def read_tokenizer_json(path: Path) -> Vocabulary:
    """The vocabulary in a `tokenizer.json`. Raises TokenizerError, also where it describes no byte-level BPE."""
    content: dict[str, Any] = {**dict.fromkeys(_PARTS), **read_json(path, TokenizerError)}
    for name, kind in _PARTS.items():
        part = content[name]
        found = part.get("type") if isinstance(part, dict) else part
        if found != kind or isinstance(part, str):
            is_bare = ", a string" if isinstance(part, str) else ""
            raise _other(path, f"its {name} is {found!r:.40}{is_bare}, not {kind!r}")
    model, frame = content["model"], content["post_processor"]
    changed = [key for key in _PLAIN_BPE if model.get(key)]
    if changed or not content["pre_tokenizer"].get("use_regex", True):
        raise _other(path, f"{(changed or ['use_regex'])[0]} has another value")
    ids, merges, tokens = model.get("vocab"), model.get("merges"), content.get("added_tokens", [])
    if not (isinstance(ids, dict) and isinstance(merges, list) and isinstance(tokens, list)):
        raise TokenizerError(f"{path}: model.vocab must be an object, model.merges and added_tokens must be lists")
    added = _added_tokens(tokens, path)
    _check_ids(ids, path, [token.content for token in added.values()])
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    cls, sep = (_framing(frame.get(name), ids, added, f"{path}, post_processor, {name}") for name in ("cls", "sep"))
    sections = {f"{name}_side": content.get(name) for name in ("padding", "truncation")}
    said = {name: section.get("direction") for name, section in sections.items() if isinstance(section, dict)}
    return Vocabulary(
        ids=ids,
        merges=_check_merges(pairs, ids, lambda i: f"{path}, line {_line_of_merge(path, i)}"),
        added_tokens=added,
        frame=(cls, sep),
        sides=_RIGHT | {name: side.lower() for name, side in said.items() if isinstance(side, str)},
    )


def _other(path: Path, problem: str) -> TokenizerError:
    return TokenizerError(
        f"{path}: {problem}, so this is not LED's tokenizer: without the file, vocab.json and merges.txt are read"
    )


def _framing(value: Any, ids: dict[str, int], added: dict[int, AddedToken], where: str) -> str:
    """The token that a post_processor puts around texts, if it is one of the file, with its id."""
    content, number = value if isinstance(value, list) and len(value) == 2 else (None, None)
    if (content, number) not in [*ids.items(), *((token.content, i) for i, token in added.items())]:
        raise TokenizerError(f"{where}: {value!r:.80} is no token of this file with its id")
    return str(content)


def _added_tokens(tokens: list[Any], path: Path) -> dict[int, AddedToken]:
    added = {}
    for i, token in enumerate(tokens):
        where = f"{path}, added token {i}"
        number = token.get("id") if isinstance(token, dict) else None
        if type(number) is not int or number in added:
            raise TokenizerError(f"{where}: its id is {number!r:.40}, an integer that no other has was expected")
        added[number] = added_token(token, where)
    return added


def _are_fine(ids: dict[str, Any], added: Collection[str]) -> bool:
    """Whether all is as `_check_ids` wants it, at a fraction of its time."""
    numbers = ids.values()
    return (
        set(map(type, numbers)) == {int}
        and set(numbers) == set(range(len(ids)))
        and BYTE_OF_SYMBOL.keys() <= ids.keys()
        and "" not in ids
        and _NO_SYMBOL.search("".join(ids.keys() - added)) is None
    )


def _check_ids(ids: dict[str, Any], path: Path, added: Collection[str]) -> None:
    if _are_fine(ids, added):
        return

    def refuse(token: str, problem: str) -> TokenizerError:
        return TokenizerError(f"{path}, line {_line_of(path, token)}: the token {token!r:.60} {problem}")

    token_of: dict[int, str] = {}
    for token, number in ids.items():
        if type(number) is not int:
            raise refuse(token, f"has the id {number!r:.40}: an id is an integer")
        if not 0 <= number < len(ids):
            raise refuse(token, f"has the id {number}: the ids of {len(ids)} tokens are 0 to {len(ids) - 1}")
        if number in token_of:
            raise refuse(token, f"has the id {number}, which {token_of[number]!r:.60} has already")
        if not (token and BYTE_OF_SYMBOL.keys() >= set(token)) and token not in added:
            raise refuse(token, "is not written in the 256 byte symbols of byte-level BPE")
        token_of[number] = token
    for byte, symbol in enumerate(SYMBOL_OF_BYTE):
        if symbol not in ids:
            raise TokenizerError(
                f"{path}: the symbol {symbol!r} of byte {byte} is missing, so not every text can be encoded: "
                "a byte-level vocabulary has all 256"
            )


def _are_sound(pairs: Collection[Any], ids: dict[str, int]) -> bool:
    """Whether all is as `_check_merges` wants it, at a fraction of its time."""
    if not pairs or set(map(type, pairs)) != {list} or set(map(len, pairs)) != {2}:
        return False
    parts = list(chain.from_iterable(pairs))
    return (
        set(map(type, parts)) == {str}
        and "" not in ids
        and ids.keys() >= {*parts, *map(add, parts[::2], parts[1::2])}
        and len(set(map(tuple, pairs))) == len(pairs)
    )


def _check_merges(pairs: Collection[Any], ids: dict[str, int], where: Callable[[int], str]) -> list[Merge]:
    if _are_sound(pairs, ids):
        return list(map(tuple, pairs))
    merges: dict[Merge, int] = {}
    for i, pair in enumerate(pairs):
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) and part for part in pair)):
            raise TokenizerError(f"{where(i)}: a merge is two tokens with one space between them, not {pair!r:.80}")
        left, right = pair
        for token in (left, right, left + right):
            if token not in ids:
                raise TokenizerError(
                    f"{where(i)}: {left!r:.60} and {right!r:.60} are merged, but {token!r:.120} has no id"
                )
        if (left, right) in merges:
            raise TokenizerError(
                f"{where(i)}: {left!r:.60} and {right!r:.60} are merged at {where(merges[left, right])} too"
            )
        merges[left, right] = i
    return list(merges)


def _line_of(path: Path, token: str) -> int:
    """The line on which a JSON file has a token as a key, however it is escaped; 1 if it hides too well."""
    text = path.read_text(encoding="utf-8")
    spellings = "|".join(re.escape(json.dumps(token, ensure_ascii=ascii_only)) for ascii_only in (True, False))
    places = [match.start() for match in re.finditer(rf"(?<!\\)(?:{spellings})\s*:", text)]
    return text.count("\n", 0, places[-1] if places else 0) + 1  # of a tokenizer.json, the vocabulary comes last


def _line_of_merge(path: Path, i: int) -> int:
    """The line on which a `tokenizer.json`, which was read already, has a merge; 1 if its key is escaped."""
    text = path.read_text(encoding="utf-8")
    found = re.search(r'"merges"\s*:\s*\[', text)
    if found is None:
        return 1
    at = found.end()
    for _ in range(i + 1):
        start = _GAP.match(text, at).end()  # type: ignore[union-attr]  # it always matches
        _, at = json.JSONDecoder().raw_decode(text, start)
    return text.count("\n", 0, start) + 1


def write_vocabulary(vocabulary: Vocabulary, vocab_file: Path, merges_file: Path) -> None:
    """Write both files, each whole or not at all."""
    in_order = dict(sorted(vocabulary.ids.items(), key=lambda item: item[1]))
    lines = [f"{_HEADER}: 0.2", *(f"{left} {right}" for left, right in vocabulary.merges)]
    for path, content in ((vocab_file, json.dumps(in_order, ensure_ascii=False)), (merges_file, "\n".join(lines))):
        with replace_file(path) as file:
            file.write(f"{content}\n".encode())


def write_tokenizer_json(
    vocabulary: Vocabulary, frame: dict[str, tuple[str, int]], options: Mapping[str, Any], path: Path
) -> None:
    """Write a vocabulary with its added tokens as the `tokenizers` library does.

    frame: the tokens `cls` and `sep` with their ids; options: those of the tokenizer.
    """
    flags = {name: options[name] for name in ("add_prefix_space", "trim_offsets")}
    bytelevel = {"type": "ByteLevel", **flags, "use_regex": True}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, **token.to_dict()} for number, token in vocabulary.added_tokens.items()],
        "normalizer": None,
        "pre_tokenizer": bytelevel,
        "post_processor": {"type": "RobertaProcessing", **frame, **flags},
        "decoder": bytelevel,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary.ids,
            "merges": vocabulary.merges,
        },
    }
    with replace_file(path) as file:
        file.write(json.dumps(content, ensure_ascii=False).encode())
