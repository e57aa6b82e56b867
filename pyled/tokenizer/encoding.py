"""5. What a call returns, and how long its rows are: truncation and padding."""

from collections import UserDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

TRUNCATIONS = ("longest_first", "only_first", "only_second", "do_not_truncate")
PADDINGS = ("longest", "max_length", "do_not_pad")
PADDED = {"input_ids", "attention_mask", "special_tokens_mask", "token_type_ids", "global_attention_mask"}
Row = dict[str, Any]  # the lists of one text: input_ids, attention_mask, ...
UNLIMITED = 10**20  # a model_max_length above it means that there is none
GLOBAL_PAD = -1  # transformers 4.57.6 pads global_attention_mask so, for 0 means "attends locally" there


class BatchEncoding(UserDict[str, Any]):
    """`input_ids`, `attention_mask` and what else was asked for: by key, by attribute, and as **arguments.

    The values are lists for one text, lists of lists for a list of texts, arrays after `convert_to_tensors("np")`.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["data"][name]
        except KeyError:
            raise AttributeError(f"no {name!r} in this encoding") from None

    def convert_to_tensors(self, tensor_type: str | None) -> Self:
        """Make every value an array (None: leave the lists). Rows of several lengths make an array of arrays."""
        if tensor_type is None:
            return self
        if tensor_type != "np":
            raise InputError(f"return_tensors={tensor_type!r}: pyled gives NumPy arrays ('np') or lists (None)")
        for name, value in self.items():
            self[name] = as_array(value)
        return self


def as_array(value: Any) -> NDArray[Any]:
    """An array; one of arrays if the rows differ in length; of integers even if nothing is in it."""
    if isinstance(value, list) and value and isinstance(value[0], list) and len({len(row) for row in value}) > 1:
        rows = np.empty(len(value), dtype=object)
        rows[:] = [as_array(row) for row in value]
        return rows
    array = np.asarray(value)
    return array if array.size else array.astype(np.int64)


@dataclass(frozen=True)
class Lengths:
    """The lengths that one call asks for.

    truncate_to: the most tokens of a row, special ones included, or None; strategy: which text of a pair loses
    tokens. pad_to: "longest", a number, or None; multiple: what a padded length is a multiple of.
    """

    truncate_to: int | None = None
    strategy: str = "longest_first"
    pad_to: str | int | None = None
    multiple: int | None = None

    def kept(self, first: int, second: int | None, n_special: int) -> tuple[int, int]:
        """How many tokens of a text, and of its pair if there is one, go into a row besides `n_special` others.

        Raises InputError where the row cannot be made short enough.
        """
        n, m = first, second or 0
        if self.truncate_to is None or n + m + n_special <= self.truncate_to:
            return n, m
        room = self.truncate_to - n_special
        if room < 0:
            raise InputError(
                f"max_length {self.truncate_to} is less than the {n_special} special tokens of a row: "
                "raise it, or pass add_special_tokens=False"
            )
        if room == 0:
            return 0, 0
        if self.strategy == "longest_first":
            return (room, 0) if second is None else _share(n, m, room)
        if self.strategy == "only_second" and second is None:
            raise InputError("truncation='only_second' needs a text_pair: pass one, or truncation='longest_first'")
        kept = room - (m if self.strategy == "only_first" else n)
        if kept <= 0:
            raise InputError(
                f"truncation={self.strategy!r} leaves no token of that text within max_length {self.truncate_to}: "
                "raise max_length, or pass truncation='longest_first'"
            )
        return (kept, m) if self.strategy == "only_first" else (n, kept)

    def padded(self, lengths: list[int]) -> int:
        """The length to which rows of these lengths are padded; a longer row stays as it is."""
        longest = max(lengths, default=0) if self.pad_to == "longest" else self.pad_to
        assert isinstance(longest, int)
        return longest if self.multiple is None else -(-longest // self.multiple) * self.multiple


def _share(n: int, m: int, room: int) -> tuple[int, int]:
    """Take tokens from the longer of two texts until both fit; if both lose some, the second keeps the odd one."""
    short = min(n, m)
    long = max(short, room - short)
    if short + long <= room:
        return (short, long) if n <= m else (long, short)
    half = (room // 2, room - room // 2)
    return half if n <= m else half[::-1]


def resolve_lengths(
    padding: bool | str,
    truncation: bool | str | None,
    max_length: int | None,
    multiple: int | None,
    limit: int,
    warn: Callable[[str], None],
) -> Lengths:
    """What the arguments of a call mean, by the rules of transformers 4.57.6.

    limit: the tokenizer's model_max_length, in the place of a max_length that is needed and missing. What is assumed
    or left undone goes to `warn`. Raises InputError.
    """
    for name, value, least in (("max_length", max_length, 0), ("pad_to_multiple_of", multiple, 1)):
        if value is not None and (type(value) is not int or value < least):
            raise InputError(f"{name} is {value!r}: an integer of at least {least}, or None, was expected")
    if max_length is not None and padding is False and truncation is None:
        warn("max_length is given without truncation: rows are cut to it, as with truncation=True")
        truncation = True
    pads = _choice("padding", padding, {True: "longest", False: "do_not_pad"}, PADDINGS)
    cuts = _choice("truncation", truncation or False, {True: "longest_first", False: "do_not_truncate"}, TRUNCATIONS)
    if padding is True and max_length is not None and cuts == "do_not_truncate":
        warn("max_length changes nothing with padding=True: pass padding='max_length', or truncation=True")
    if max_length is None and limit <= UNLIMITED:
        max_length = limit
    if max_length is None and pads == "max_length":
        warn("padding='max_length' pads nothing: neither max_length nor the tokenizer's model_max_length is set")
        pads = "do_not_pad"
    if max_length is None and cuts != "do_not_truncate":
        warn("truncation cuts nothing: neither max_length nor the tokenizer's model_max_length is set")
        cuts = "do_not_truncate"
    is_cut, is_padded = cuts != "do_not_truncate", pads != "do_not_pad"
    if is_cut and is_padded and multiple is not None and max_length is not None and max_length % multiple:
        raise InputError(
            f"max_length {max_length} is no multiple of pad_to_multiple_of {multiple}: with truncation it must be"
        )
    pad_to = {"longest": "longest", "max_length": max_length}.get(pads)
    return Lengths(max_length if is_cut else None, cuts, pad_to, multiple)


def _choice(name: str, value: object, of_bool: dict[bool, str], choices: tuple[str, ...]) -> str:
    chosen = of_bool[value] if isinstance(value, bool) else value
    if not isinstance(chosen, str) or chosen not in choices:
        raise InputError(f"{name}={value!r}: pass True, False, or one of {', '.join(map(repr, choices))}")
    return chosen


def pad_row(row: dict[str, Any], length: int, fill: Mapping[str, Any], side: str) -> None:
    """Lengthen, in place, each list of a row that `fill` has a value for."""
    for name, value in fill.items():
        if name in row:
            missing = [value] * (length - len(row[name]))
            row[name] = row[name] + missing if side == "right" else missing + row[name]
