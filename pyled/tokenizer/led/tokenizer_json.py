"""8. `tokenizer.json`, the file of the tokenizers library: vocabulary, merges and added tokens in one."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...errors import TokenizerError, brief
from ...files import read_json
from ..special import AddedToken
from ..vocabulary import Vocabulary, check_ids, check_merges
from .roles import added_token

_PARTS = {
    "model": "BPE",
    "normalizer": None,
    "pre_tokenizer": "ByteLevel",
    "post_processor": "RobertaProcessing",
    "decoder": "ByteLevel",
}
_UNTYPED = ("model", "post_processor")  # the library reads these without a type, as its older versions wrote them
_PLAIN_BPE = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges")


@dataclass(frozen=True)
class TokenizerFile:
    """The content of a vocabulary's files: the pair has the vocabulary only, a `tokenizer.json` also the rest.

    added_tokens: by id, in the order of the file; frame: the tokens before and after a text; trims: whether offsets
    may be without white space; sides: padding_side and truncation_side, if it states them
    """

    vocabulary: Vocabulary
    added_tokens: Mapping[int, AddedToken] = field(default_factory=dict)
    frame: tuple[str, str] | None = None
    trims: bool = True
    sides: Mapping[str, str] = field(default_factory=dict)


def read_tokenizer_json(path: Path) -> TokenizerFile:
    """Return what a `tokenizer.json` says. Raises TokenizerError, also where it describes no byte-level BPE."""
    content: dict[str, Any] = {**dict.fromkeys(_PARTS), **read_json(path, TokenizerError)}
    stated = content["post_processor"]
    content["post_processor"] = _without_template(stated)
    for name, kind in _PARTS.items():
        part = content[name]
        type_of_part = part.get("type", kind if name in _UNTYPED else None) if isinstance(part, dict) else part
        if type_of_part != kind or isinstance(part, str):
            is_bare = ", a string" if isinstance(part, str) else ""
            raise _other(path, f"its {name} is {brief(type_of_part)}{is_bare}, not {brief(kind)}")
    model = content["model"]
    changed = [key for key in _PLAIN_BPE if model.get(key)]
    if changed or not content["pre_tokenizer"].get("use_regex", True):
        raise _other(path, f"{(changed or ['use_regex'])[0]} has another value")
    ids, merges, tokens = model.get("vocab"), model.get("merges"), content.get("added_tokens", [])
    if not (isinstance(ids, dict) and isinstance(merges, list) and isinstance(tokens, list)):
        raise TokenizerError(
            f"{path}: model.vocab must be an object, model.merges and added_tokens must be lists", "shape"
        )
    added = _added_tokens(tokens, path)
    check_ids(ids, str(path), [token.content for token in added.values()])
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    merges = check_merges(pairs, ids, lambda i: f"{path}, merge {i + 1}")
    frame = _frame(content["post_processor"], ids | {token.content: i for i, token in added.items()}, path)
    sections = {f"{name}_side": content.get(name) for name in ("padding", "truncation")}
    directions = {name: section.get("direction") for name, section in sections.items() if isinstance(section, dict)}
    sides = {name: side.lower() for name, side in directions.items() if isinstance(side, str)}
    return TokenizerFile(Vocabulary(ids, merges), added, frame, stated is content["post_processor"], sides)


def _without_template(post_processor: Any) -> Any:
    """Return the RobertaProcessing that puts the same tokens around texts as a template, if that is one of the kind.

    Unlike it, a template leaves offsets as they are.
    """
    try:
        single, tokens = post_processor["single"], post_processor["special_tokens"]
        names = [single[i]["SpecialToken"]["id"] for i in (0, -1)]
        cls, sep = ([name, *tokens[name]["ids"]] for name in names)
    except (KeyError, IndexError, TypeError):
        return post_processor
    before, after = ({"SpecialToken": {"id": name, "type_id": 0}} for name in names)
    a, b = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    is_same = (single, post_processor.get("pair")) == ([before, a, after], [before, a, after, after, b, after])
    is_same &= post_processor.get("type") == "TemplateProcessing"
    return {"type": "RobertaProcessing", "cls": cls, "sep": sep} if is_same else post_processor


def _other(path: Path, problem: str) -> TokenizerError:
    remedy = "without the file, vocab.json and merges.txt are read"
    return TokenizerError(f"{path}: {problem}, so this is not LED's tokenizer: {remedy}", "not-led")


def _frame(post_processor: Any, ids: dict[str, int], path: Path) -> tuple[str, str]:
    """Return the tokens that a post_processor puts around texts, if they are tokens of the file, with their ids."""
    frame = {name: post_processor.get(name) for name in ("cls", "sep")}
    for name, pair in frame.items():
        is_pair = isinstance(pair, list) and all(isinstance(value, str | int) for value in pair)
        if not is_pair or tuple(pair) not in ids.items():
            raise TokenizerError(
                f"{path}, post_processor, {name}: {brief(pair)} is no token of this file with its id", "frame"
            )
    return frame["cls"][0], frame["sep"][0]


def _added_tokens(tokens: list[Any], path: Path) -> dict[int, AddedToken]:
    added = {}
    for i, token in enumerate(tokens):
        where = f"{path}, added token {i}"
        number = token.get("id") if isinstance(token, dict) else None
        if type(number) is not int or number in added:
            raise TokenizerError(
                f"{where}: its id is {brief(number)}, an integer that no other has was expected", "added-id"
            )
        added[number] = added_token(token, where)
    return added


def in_tokenizer_json(file: TokenizerFile, ids: Mapping[str, int], options: Mapping[str, Any]) -> bytes:
    """Return a vocabulary with its added tokens as the tokenizers library writes it.

    ids: of all tokens; options: those of the tokenizer
    """
    flags = {name: options[name] for name in ("add_prefix_space", "trim_offsets")}
    bytelevel = {"type": "ByteLevel", **flags, "use_regex": True}
    frame = {name: [token, ids[token]] for name, token in zip(("cls", "sep"), file.frame or (), strict=True)}
    model: dict[str, Any] = {"type": "BPE", "dropout": None, "unk_token": None}
    model |= {"continuing_subword_prefix": "", "end_of_word_suffix": ""}
    model |= dict.fromkeys(("fuse_unk", "byte_fallback", "ignore_merges"), False)
    model |= {"vocab": file.vocabulary.ids, "merges": file.vocabulary.merges}
    listed = [{"id": number, **asdict(token)} for number, token in file.added_tokens.items()]
    content: dict[str, Any] = {"version": "1.0", "truncation": None, "padding": None, "normalizer": None}
    content |= {"added_tokens": listed, "pre_tokenizer": bytelevel, "decoder": bytelevel, "model": model}
    content["post_processor"] = {"type": "RobertaProcessing", **frame, **flags}
    return json.dumps(content, ensure_ascii=False).encode()
