"""5. How long rows are: what the arguments of a call mean, truncation with its windows, padding."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from numbers import Integral

from ...errors import InputError

TRUNCATIONS = ("longest_first", "only_first", "only_second", "do_not_truncate")
PADDINGS = ("longest", "max_length", "do_not_pad")
UNLIMITED = 10**20  # a model_max_length above it means that there is none
SPECIAL_OF_ONE = 2  # special tokens of a row with one text, <s> and </s>; a pair has twice as many

Window = tuple[slice, ...]  # what a row has of the tokens of its text and, if there are two, of the other


@dataclass(frozen=True)
class Lengths:
    """The lengths that one call asks for.

    truncate_to: the most tokens of a row, special ones included, or None; strategy: which text of a pair loses
    tokens; side: the end at which it loses them. has_windows: what does not fit goes into further rows, which repeat
    `stride` tokens. pad_to: "longest", a number, or None; multiple: what a padded length is a multiple of.
    """

    truncate_to: int | None = None
    strategy: str = "longest_first"
    pad_to: str | int | None = None
    multiple: int | None = None
    side: str = "right"
    stride: int = 0
    has_windows: bool = False

    def windows(self, sizes: list[int], n_special: int) -> list[Window]:
        """The windows of a text, or of a text and its pair, that have so many tokens: one window a row.

        The first row is the one that truncation leaves. If both texts of a pair are cut, each window of one meets
        each of the other, in the order of transformers 4.57.6: the first of the first text comes first and last.
        """
        if self.truncate_to is None or sum(sizes) + n_special <= self.truncate_to:
            return [tuple([slice(0, size) for size in sizes])]
        kept = self._kept(sizes[0], sizes[1] if len(sizes) > 1 else None, self.truncate_to, n_special)
        cuts = [self._cut(size, n) for size, n in zip(sizes, kept, strict=False)]
        rows = list(product(*cuts))
        n_second = len(rows) // len(cuts[0])
        return rows[:1] + rows[n_second:] + rows[1:n_second]

    def _cut(self, size: int, kept: int) -> list[slice]:
        """The windows of `kept` tokens of one text."""
        if kept < size and (kept or self.has_windows) and self.stride >= kept:
            raise InputError(
                f"stride is {self.stride}, and max_length leaves room for {kept} tokens of a text in its window: "
                "the stride must be smaller; lower it, or raise max_length"
            )
        is_cut = self.has_windows and kept < size
        starts = range(0, size - self.stride, kept - self.stride) if is_cut else range(1)
        spans = [(start, min(start + kept, size)) for start in starts]
        return [slice(*span) if self.side == "right" else slice(size - span[1], size - span[0]) for span in spans]

    def _kept(self, n: int, second: int | None, most: int, n_special: int) -> tuple[int, int]:
        """How many tokens of a text, and of its pair if there is one, go into a row besides `n_special` others.

        Raises InputError where the row cannot be made short enough.
        """
        m = second or 0
        room = most - n_special
        if room < 0:
            raise InputError(
                f"max_length {most} is less than the {n_special} special tokens of a row: "
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
                f"truncation={self.strategy!r} leaves no token of that text within max_length {most}: "
                "raise max_length, or pass truncation='longest_first'"
            )
        return (kept, m) if self.strategy == "only_first" else (n, kept)

    def padded(self, lengths: list[int]) -> int:
        """The length to which rows of these lengths are padded; a longer row stays as it is."""
        longest = max(lengths, default=0) if self.pad_to == "longest" else self.pad_to
        assert isinstance(longest, int)
        return longest if self.multiple is None else -(-longest // self.multiple) * self.multiple


def _share(n: int, m: int, room: int) -> tuple[int, int]:
    """Take tokens from the longer of two texts until both fit.

    If both lose some, the longer keeps the odd one, and of equal ones the second.
    """
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
    *,
    side: str = "right",
    stride: int = 0,
    has_windows: bool = False,
) -> Lengths:
    """What the arguments of a call mean, by the rules of transformers 4.57.6.

    limit: the tokenizer's model_max_length, in the place of a max_length that is needed and missing. What is assumed
    or left undone goes to `warn`. Raises InputError.
    """
    numbers = (("max_length", max_length, 0), ("pad_to_multiple_of", multiple, 1), ("stride", stride, 0))
    for name, value, least in numbers:
        is_right = isinstance(value, Integral | int) and not isinstance(value, bool) and value >= least
        if not is_right and (value is not None or name == "stride"):
            raise InputError(f"{name} is {value!r}: an integer of at least {least} was expected")
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
    if is_cut and max_length is not None and 0 <= max_length - SPECIAL_OF_ONE < stride:
        raise InputError(f"stride {stride} is more than max_length {max_length} leaves beside <s> and </s>: lower it")
    pad_to = {"longest": "longest", "max_length": max_length}.get(pads)
    return Lengths(max_length if is_cut else None, cuts, pad_to, multiple, side, stride, has_windows)


def _choice(name: str, value: object, of_bool: dict[bool, str], choices: tuple[str, ...]) -> str:
    chosen = of_bool[value] if isinstance(value, bool) else value
    if not isinstance(chosen, str) or chosen not in choices:
        raise InputError(f"{name}={value!r}: pass True, False, or one of {', '.join(map(repr, choices))}")
    return chosen
