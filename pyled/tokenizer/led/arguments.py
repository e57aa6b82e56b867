"""10. The arguments of users, checked: texts, rows to pad, ids. Each mistake gets one message."""

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...annotations import checked_arguments, is_integer
from ...errors import InputError, TokenizerError, brief
from ..bytelevel import check_text

PADDED = {"input_ids", "attention_mask", "special_tokens_mask", "token_type_ids", "global_attention_mask"}
Row = dict[str, Any]  # the lists of one text: input_ids, attention_mask, ...
Text = str | list[str]  # or the list of its words


@checked_arguments
def is_list_of_texts(text: Any, is_split_into_words: bool) -> bool:
    """Return whether a call has several texts, a row each; or where a text is a list of its words, such lists."""
    is_list = isinstance(text, list | tuple)
    return is_list and (not is_split_into_words or bool(text and isinstance(text[0], list | tuple)))


def text_pairs(text: Any, pair: Any, is_split: bool) -> list[tuple[Text, Text | None]]:
    """Return each text of a call with its pair. An empty pair of a single text counts as none, as in transformers."""
    check = _check_words if is_split else check_text
    if not is_list_of_texts(text, is_split):
        is_single = pair is None or (isinstance(pair, str | list | tuple) and not pair)
        return [(check(text, "text"), None if is_single else check(pair, "text_pair"))]
    if pair is not None and (not isinstance(pair, list | tuple) or len(pair) != len(text)):
        n = f"{len(pair)} texts" if isinstance(pair, list | tuple) else type(pair).__name__
        raise InputError(f"text is a list of {len(text)} texts and text_pair is {n}: pass a list as long")
    pairs: list[tuple[Text, Text | None]] = []
    for i, item in enumerate(text):
        has_both = pair is None and isinstance(item, list | tuple) and len(item) == 2
        has_both = has_both and not (is_split and isinstance(item[0], str))  # two words
        first, second = item if has_both else (item, None if pair is None else pair[i])
        is_single = pair is None and not has_both
        pairs.append((check(first, f"text[{i}]"), None if is_single else check(second, f"text_pair[{i}]")))
    return pairs


def _check_words(words: object, name: str) -> list[str]:
    if not isinstance(words, list | tuple):
        raise InputError(f"{name} is {type(words).__name__}: with is_split_into_words a text is a list of its words")
    return [check_text(word, f"{name}[{i}]") for i, word in enumerate(words)]


def rows_to_pad(inputs: Any) -> tuple[Row, bool]:
    """Return the encodings to pad as one mapping to lists, and whether there was an array among them."""
    if isinstance(inputs, list | tuple) and inputs and all(isinstance(row, Mapping) for row in inputs):
        names = list(inputs[0])
        if any(row.keys() != inputs[0].keys() for row in inputs):
            raise InputError(f"the encodings to pad differ in their keys: each must have {', '.join(map(str, names))}")
        inputs = {name: [row[name] for row in inputs] for name in names}
    if not isinstance(inputs, Mapping) or "input_ids" not in inputs:
        raise InputError("there are no input_ids to pad: pass an encoding, or a list of encodings")
    lists: Row = {}
    has_arrays = False
    for name, value in inputs.items():
        if not isinstance(value, list | tuple | np.ndarray) or not np.iterable(value):
            raise InputError(f"{name} is {type(value).__name__}: a list or an array was expected")
        has_arrays |= isinstance(value, np.ndarray) or any(isinstance(row, np.ndarray) for row in value)
        lists[name] = [_as_list(row, name) for row in value]
    is_batch = any(isinstance(row, list) for row in lists["input_ids"])
    for name, value in lists.items():
        if is_batch and len(value) != len(lists["input_ids"]):
            raise InputError(f"{name} and input_ids to pad have different numbers of rows: give each the same")
        if name in PADDED and any(isinstance(row, list) != is_batch for row in value):
            raise InputError(f"{name} to pad has rows in some places and numbers in others: give one or the other")
    return lists, has_arrays


def _as_list(row: Any, name: str) -> Any:
    if isinstance(row, np.ndarray | np.generic):
        return row.tolist()
    return list(row) if isinstance(row, tuple) and name in PADDED else row


def row_of_ids(ids: Any) -> list[int]:
    """Return a row of ids as Python integers of at least 0."""
    try:
        row = list(ids.tolist() if isinstance(ids, np.ndarray) else ids)
    except TypeError:
        row = [None]
    if not all(map(is_integer, row)):
        problem = f"a row of ids is a list of integers, not {brief(ids)}"
        raise InputError(f"{problem}: for several rows call batch_decode")
    if (least := min(row, default=0)) < 0:
        raise TokenizerError(f"{brief(least)} is no id: replace negative ids, such as -100 in labels, by the pad id")
    return [*map(operator.index, row)]


def strings(values: Any, name: str) -> list[str]:
    """Return a list of strings. Raises InputError for anything else."""
    if isinstance(values, str | bytes | Mapping) or not np.iterable(values):
        raise InputError(f"{name} is {brief(values)}: a list of strings was expected")
    return [check_text(value, f"{name}[{i}]") for i, value in enumerate(values)]
