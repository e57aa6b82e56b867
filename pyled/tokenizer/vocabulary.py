"""4. The two files of a vocabulary, read strictly and written: `vocab.json` and `merges.txt`.

>>> from pyled import SYNOPSIS
>>> vocabulary = read_vocabulary(SYNOPSIS / "vocab.json", SYNOPSIS / "merges.txt", added=[])
>>> vocabulary.merges[2], vocabulary.ids["Ġt"]
(('Ġ', 't'), 262)
"""

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import TokenizerError, brief
from ..files import read_file, read_json
from .bytelevel import SYMBOL_OF_BYTE

_HEADER = "#version"
_NO_SYMBOL = re.compile(f"[^{re.escape(''.join(SYMBOL_OF_BYTE))}]")
_REMEDY = "the file is damaged: copy it again from where the model comes from"

Merge = tuple[str, str]


@dataclass(frozen=True)
class Vocabulary:
    """ids: token to id, the ids 0 to n-1; merges: pairs of tokens, most urgent first, whose products are tokens."""

    ids: dict[str, int]
    merges: list[Merge]


def read_vocabulary(vocab_file: Path, merges_file: Path, added: Collection[str]) -> Vocabulary:
    """Return the vocabulary of a `vocab.json` and its `merges.txt`. Raises TokenizerError naming the file and the line.

    added: tokens that need not be written in byte symbols, because they are looked for in the raw text
    """
    ids = read_json(vocab_file, TokenizerError)
    check_ids(ids, str(vocab_file), added)
    try:
        text = read_file(merges_file, TokenizerError).decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise TokenizerError(f"{merges_file}: byte {e.start} is not UTF-8", "not-utf8") from None
    first, pairs = pairs_of_lines(text)
    return Vocabulary(ids, check_merges(pairs, ids, lambda i: f"{merges_file}, line {first + i}"))


def pairs_of_lines(text: str) -> tuple[int, list[list[str]]]:
    """Return the number of the line of a `merges.txt` that has the first merge, and what each line from there has.

    Every line after the `#version` header counts, whether or not the last ends in a newline (transformers 4.57.6
    drops the first line whatever it is, and an unfinished last one; 5.23.0 does not).

    >>> pairs_of_lines("#version: 0.2\\r\\nh e\\r\\nt he\\r\\n")
    (2, [['h', 'e'], ['t', 'he']])
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
    first = 2 if lines[0].startswith(_HEADER) else 1
    return first, [line.split(" ") for line in lines[first - 1 :]]


def check_ids(ids: dict[str, Any], where: str, added: Collection[str]) -> None:
    """Raise TokenizerError unless the ids are 0 to n-1, of tokens in byte symbols, and each byte has its symbol.

    added: tokens that need not be written in byte symbols

    >>> check_ids({"a": 0, "b": 0}, "vocab.json", added=[])
    Traceback (most recent call last):
    pyled.errors.TokenizerError: vocab.json: the token 'b' has the id 0, which 'a' has already; the file is damaged: \
copy it again from where the model comes from
    """
    token_of: dict[int, str] = {}
    for token, number in ids.items():
        if type(number) is not int:
            rule, problem = "id-type", f"has the id {brief(number)}: an id is an integer"
        elif not 0 <= number < len(ids):
            rule, problem = "id-range", f"has the id {number}: the ids of {len(ids)} tokens are 0 to {len(ids) - 1}"
        elif number in token_of:
            rule, problem = "id-twice", f"has the id {number}, which {brief(token_of[number])} has already"
        elif (not token or _NO_SYMBOL.search(token)) and token not in added:
            rule, problem = "not-symbols", "is not written in the 256 byte symbols of byte-level BPE"
        else:
            token_of[number] = token
            continue
        raise TokenizerError(f"{where}: the token {brief(token)} {problem}; {_REMEDY}", rule)
    for byte, symbol in enumerate(SYMBOL_OF_BYTE):
        if symbol not in ids:
            problem = f"the symbol {brief(symbol)} of byte {byte} is missing, a byte-level vocabulary has all 256"
            raise TokenizerError(f"{where}: {problem}; {_REMEDY}", "symbol-missing")


def check_merges(pairs: Sequence[Any], ids: dict[str, int], where: Callable[[int], str]) -> list[Merge]:
    """Return the merges. Raises TokenizerError for one that is no pair of tokens, lacks its product, or stands twice.

    where: of the index of a merge, its place for the message

    >>> check_merges([["h", "e"]], {"h": 0, "e": 1, "he": 2}, "merges.txt, merge {}".format)
    [('h', 'e')]
    """

    def refuse(rule: str, i: int, problem: str) -> TokenizerError:
        return TokenizerError(f"{where(i)}: {problem}; {_REMEDY}", rule)

    index_of: dict[Merge, int] = {}
    for i, pair in enumerate(pairs):
        if type(pair) is not list or len(pair) != 2 or not type(pair[0]) is type(pair[1]) is str or "" in pair:
            raise refuse("merge-form", i, f"a merge is two tokens with one space between them, not {brief(pair)}")
        left, right = pair
        for token in (left, right, left + right):
            if token not in ids:
                problem = f"{brief(left)} and {brief(right)} are merged, but {brief(token)} has no id"
                raise refuse("merge-token", i, problem)
        if (left, right) in index_of:
            problem = f"{brief(left)} and {brief(right)} are merged at {where(index_of[left, right])} too"
            raise refuse("merge-twice", i, problem)
        index_of[left, right] = i
    return list(index_of)


def vocabulary_files(vocabulary: Vocabulary, vocab_file: Path, merges_file: Path) -> dict[Path, list[bytes]]:
    """Return the contents of both files."""
    in_order = dict(sorted(vocabulary.ids.items(), key=lambda item: item[1]))
    merges = "\n".join((f"{_HEADER}: 0.2", *(f"{left} {right}" for left, right in vocabulary.merges)))
    texts = {vocab_file: json.dumps(in_order, ensure_ascii=False), merges_file: merges}
    return {path: [f"{text}\n".encode()] for path, text in texts.items()}
