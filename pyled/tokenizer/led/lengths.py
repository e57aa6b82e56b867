"""5. How long rows are: the arguments of a call that say so, truncation with its windows, padding."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from ...annotations import is_integer
from ...errors import InputError, brief

# The values of two arguments, and what each stands for.
TRUNCATIONS = {True: "longest_first", False: None, "do_not_truncate": None, None: None}
TRUNCATIONS |= {name: name for name in ("longest_first", "only_first", "only_second")}
PADDINGS = {True: "longest", False: None, "do_not_pad": None, "longest": "longest", "max_length": "max_length"}
UNLIMITED = 10**20  # a model_max_length above it means that there is none
_LONGEST = 10**8  # tokens of a padded row
SPECIAL_OF_ONE = 2  # special tokens of a row with one text, <s> and </s>; a pair has twice as many

Window = tuple[slice, ...]  # what a row has of the tokens of its text and, if there are two, of the other


@dataclass(frozen=True)
class Lengths:
    """The lengths that one call asks for.

    truncate_to: the most tokens of a row, special ones included, or None; strategy: which text of a pair loses
    tokens; side: the end at which it loses them. has_windows: what does not fit goes into further rows, which repeat
    `stride` tokens. pad_to: "longest", a number, or None; multiple: what a padded length is a multiple of.
    """

    truncate_to: int | None
    strategy: str | None
    pad_to: str | int | None
    multiple: int | None
    side: str
    stride: int
    has_windows: bool

    def windows(self, sizes: list[int], n_special: int) -> list[Window]:
        """Return the windows of a text, or of a text and its pair, that have so many tokens: one window a row.

        The first row is the one that truncation leaves. If both texts of a pair are cut, each window of one meets
        each of the other, in the order of transformers 4.57.6: the first of the first text comes first and last.
        """
        if self.truncate_to is None or sum(sizes) + n_special <= self.truncate_to:
            return [tuple([slice(0, size) for size in sizes])]
        cuts = [self._cut(*text) for text in zip(sizes, self._rooms(sizes, n_special, self.truncate_to), strict=True)]
        rows = list(product(*cuts))
        n_second = len(rows) // len(cuts[0])
        return rows[:1] + rows[n_second:] + rows[1:n_second]

    def _cut(self, size: int, room: int) -> list[slice]:
        """Return the windows of `room` tokens of one text."""
        if room < size and (room or self.has_windows) and self.stride >= room:
            problem = f"max_length leaves room for {room} tokens of a text in its window"
            raise InputError(f"stride is {self.stride}, but {problem}: lower the stride, or raise max_length")
        is_cut = self.has_windows and room < size
        starts = range(0, size - self.stride, room - self.stride) if is_cut else range(1)
        spans = [(start, min(start + room, size)) for start in starts]
        return [slice(*span) if self.side == "right" else slice(size - span[1], size - span[0]) for span in spans]

    def _rooms(self, sizes: list[int], n_special: int, most: int) -> list[int]:
        """Return how many tokens of each text go into a row of at most `most` tokens, `n_special` of them special.

        Raises InputError where the row cannot be made short enough.
        """
        room = most - n_special
        if room < 0:
            raise InputError(f"max_length {most} is less than the {n_special} special tokens of a row: raise it")
        if room == 0:
            return [0] * len(sizes)
        if self.strategy == "longest_first":
            return [room] if len(sizes) == 1 else _share(sizes[0], sizes[1], room)
        if self.strategy == "only_second" and len(sizes) == 1:
            raise InputError("truncation='only_second' needs a text_pair: pass one, or truncation='longest_first'")
        cut = 0 if self.strategy == "only_first" else 1
        rooms = [*sizes]
        rooms[cut] += room - sum(sizes)
        if rooms[cut] <= 0:
            problem = f"leaves no token of that text within max_length {most}"
            raise InputError(f"truncation='{self.strategy}' {problem}: raise it, or pass truncation='longest_first'")
        return rooms

    def padded(self, lengths: list[int]) -> int:
        """Return the length to which rows of these lengths are padded; a longer row stays as it is."""
        longest = max(lengths, default=0) if self.pad_to == "longest" else self.pad_to
        assert isinstance(longest, int)
        length = longest if self.multiple is None else -(-longest // self.multiple) * self.multiple
        if length > _LONGEST:
            raise InputError(f"padding to {length:,} tokens: pass max_length and pad_to_multiple_of that make fewer")
        return length


def _share(n: int, m: int, room: int) -> list[int]:
    """Take tokens from the longer of two texts, of n and m tokens, until both fit.

    If both lose some, the longer keeps the odd one, and of equal ones the second.
    """
    short = min(n, m)
    rooms = [short, max(short, room - short)]
    if sum(rooms) > room:
        rooms = [room // 2, room - room // 2]
    return rooms if n <= m else rooms[::-1]


def resolve_lengths(
    padding: bool | str,
    truncation: bool | str | None,
    max_length: int | None,
    multiple: int | None,
    limit: int,
    tell: Callable[[str], None],
    side: str,
    stride: int = 0,
    has_windows: bool = False,
) -> Lengths:
    """Return what the arguments of a call mean, by the rules of transformers 4.57.6.

    limit: the tokenizer's model_max_length, in the place of a max_length that is needed and missing. `tell`
    gets what is assumed or left undone. Raises InputError.
    """
    numbers = (("max_length", max_length, 0), ("pad_to_multiple_of", multiple, 1), ("stride", stride, 0))
    for name, value, least in numbers:
        if not is_integer(value, least) and (value is not None or name == "stride"):
            raise InputError(f"{name} is {brief(value)}: an integer of at least {least} was expected")
    if max_length is not None and padding is False and truncation is None:
        tell("max_length is given without truncation: rows are cut to it, as with truncation=True")
        truncation = True
    pads, cuts = _choice("padding", padding, PADDINGS), _choice("truncation", truncation, TRUNCATIONS)
    if padding is True and max_length is not None and not cuts:
        tell("max_length changes nothing with padding=True: pass padding='max_length', or truncation=True")
    if max_length is None and limit <= UNLIMITED:
        max_length = limit
    if max_length is None and pads == "max_length":
        tell("padding='max_length' pads nothing: neither max_length nor the tokenizer's model_max_length is set")
        pads = None
    if max_length is None and cuts:
        tell("truncation cuts nothing: neither max_length nor the tokenizer's model_max_length is set")
        cuts = None
    if cuts and pads and multiple is not None and max_length is not None and max_length % multiple:
        raise InputError(
            f"max_length {max_length} must be a multiple of pad_to_multiple_of {multiple} to truncate to it"
        )
    if cuts and max_length is not None and 0 <= max_length - SPECIAL_OF_ONE < stride:
        raise InputError(f"stride {stride} is more than max_length {max_length} leaves beside <s> and </s>: lower it")
    pad_to = max_length if pads == "max_length" else pads
    return Lengths(max_length if cuts else None, cuts, pad_to, multiple, side, stride, has_windows)


def _choice(name: str, value: Any, choices: Mapping[Any, str | None]) -> str | None:
    if not isinstance(value, str | bool | None) or value not in choices:
        raise InputError(f"{name}={brief(value)}: pass one of {', '.join(map(repr, choices))}")
    return choices[value]
