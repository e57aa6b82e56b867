"""How far an array is from the truth, and how far it may be.

The measures of a stage, with x the port's numbers and t the truth:

- max_abs: max|x - t|; worst: where that is
- error: max|x - t| / max(1, max|t|), which the budget limits
- relative: max|x - t| / max|t|
- nmse: sum (x - t)^2 / sum t^2
- ulp: |x - t| at the worst place, in units in the last place of t there, in the type of the dump

The budget is 1e-10 for float64; for float32 it is twice what float32 costs pyled in that stage, or 2e-6 if that is
more; for float16 and bfloat16 it is 2^13 and 2^16 times as much, as they have so many bits fewer. A score of minus
infinity must stand where the truth has one. Integers are equal.
"""

import hashlib
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..arrays import Bools, Floats, Weights

FLOAT64_BUDGET, FLOAT32_FLOOR = 1e-10, 1e-6
LOST = {"float32": 1, "float16": 2**13, "bfloat16": 2**16}  # how much coarser than float32
BITS = {"float64": (52, -1022), "float32": (23, -126), "float16": (10, -14), "bfloat16": (7, -126)}
NEVER = -1e4  # a score below it stands for minus infinity: the lowest number of float16 is -65504
PASSES, PASSES_OF_LONG, LONG = 8, 3, 2048  # in float32, whose errors are compared; fewer for more tokens than LONG
FEW = 100  # different numbers: fewer do not tell in which type they were computed


@dataclass(frozen=True)
class Row:
    """A stage in a report; what could not be measured is None."""

    name: str
    theirs: str | None = None  # under which name the port has it
    layout: str = ""
    max_abs: float | None = None
    relative: float | None = None
    nmse: float | None = None
    ulp: float | None = None
    worst: tuple[int, ...] | None = None
    error: float | None = None
    budget: float | None = None
    verdict: Literal["inside", "outside", "not dumped"] = "not dumped"
    note: str = ""

    def noted(self, *notes: str) -> "Row":
        """Return the row with more notes."""
        return replace(self, note="; ".join(filter(None, [self.note, *notes])))


def type_of(arrays: Mapping[str, NDArray[Any]], name: str) -> str:
    """Return the type in which an array is stored, by NumPy's name, or "bfloat16"."""
    if hasattr(arrays, "type_of"):
        return str(arrays.type_of(name))
    return str(arrays[name].dtype)


def common_type(arrays: Mapping[str, NDArray[Any]], names: Iterable[str]) -> str | None:
    """Return the type that all numbers of some arrays have, if it is narrower than the one they are stored in."""
    kinds, distinct = ["bfloat16", "float16", "float32"], 0
    for name in names:
        if (array := arrays[name]).dtype.kind == "f":
            bits = BITS[type_of(arrays, name)][0]
            kinds = [kind for kind in kinds if BITS[kind][0] < bits and _is_exact(array, kind)]
            distinct += len(np.unique(array[np.isfinite(array)]))
    return kinds[0] if kinds and distinct >= FEW else None


def _is_exact(array: Floats, kind: str) -> bool:
    """Return whether a type has all numbers of an array."""
    with np.errstate(over="ignore"):
        rounded = array.astype(np.float32 if kind == "bfloat16" else kind)
    if kind == "bfloat16":
        rounded = (rounded.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    return np.array_equal(rounded, array, equal_nan=True)


def budget(kind: str | None, float32_error: float) -> float:
    """Return how large the error of a stage may be; `kind`: the float type, None for integers."""
    if kind is None:
        return 0.0
    return FLOAT64_BUDGET if kind == "float64" else 2 * max(float32_error, FLOAT32_FLOOR) * LOST[kind]


def passes(tokens: int) -> range:
    """Return the seeds of the passes in float32 from which the error of a stage is taken, for so many source tokens.

    subtle: the error of one pass says little about that of another port. It is a largest value of roundings; where one
    token's weighs most, two of them differ by a factor of 2 as often as not.
    """
    return range(PASSES_OF_LONG if tokens > LONG else PASSES)


def nudged(name: str, weight: Floats, seed: int) -> Floats:
    """Return a weight for the pass `seed`: in all but the first its numbers are 2^-22 larger or smaller, at random.

    This stands for the roundings of another port, whose sums have another order. Tables of tokens are as they are.
    """
    if not seed or name == "lm_head.weight" or name.endswith(("shared.weight", "embed_tokens.weight")):
        return weight
    is_up = np.random.default_rng([seed, zlib.crc32(name.encode())]).random(weight.shape, np.float32) < 0.5
    return weight * np.where(is_up, np.float32(1 + 2**-22), np.float32(1 - 2**-22))


def short(value: float | None) -> str:
    """Return a measure with two digits, "-" for none."""
    if value is None or not math.isfinite(value):
        return "-"
    if value == 0:
        return "0"
    return f"{value:.2g}" if 0.01 <= value < 100 else f"{value:,.0f}" if 100 <= value < 1e5 else f"{value:.0e}"


def _finite(number: float) -> float | None:
    """Return a number, or None for infinity, which JSON has not."""
    return number if math.isfinite(number) else None


def measured(row: Row, x: Floats, t: Floats, is_out: Bools, kind: str | None) -> tuple[Row, Bools]:
    """Return the row of an array with its measures and its verdict, and the places that are wrong.

    x, t: of theirs and the truth, in one layout, in float64
    is_out: the places that are not compared
    """
    is_odd, is_compared = _told_apart(row.name, x, t, is_out)
    notes = [f"{places.sum():,} numbers are {what}" for what, places in is_odd.items() if places.any()]
    is_wrong = np.logical_or.reduce([*is_odd.values()])
    if not (is_compared | is_wrong).any():
        return replace(row, verdict="inside").noted("nothing of it is compared" if x.size else "empty"), is_wrong
    if not np.isfinite(x[is_compared]).all() or not is_compared.any():
        return replace(row, verdict="outside", worst=_place(is_wrong)).noted(*notes), is_wrong
    difference = np.abs(np.where(is_compared, x, 0) - np.where(is_compared, t, 0))
    largest, worst = float(np.abs(t[is_compared]).max()), _place(difference)
    max_abs, scale = float(difference[worst]), max(1.0, largest)
    exponent = math.frexp(float(t[worst]))[1] - 1
    bits, lowest = BITS[kind or "float64"]
    assert row.budget is not None
    is_wrong = is_wrong | (difference > row.budget * scale)
    with np.errstate(over="ignore"):
        squares = float((difference**2).sum())
    row = replace(
        row,
        max_abs=max_abs,
        relative=max_abs / largest if largest else None,
        nmse=_finite(squares / float(total)) if (total := (t[is_compared] ** 2).sum()) else None,
        ulp=_finite(max_abs / 2.0 ** (max(exponent, lowest) - bits)),
        worst=_place(is_wrong) if notes else worst if max_abs else None,
        error=max_abs / scale,
        verdict="outside" if is_wrong.any() else "inside",
    )
    return row.noted(*notes), is_wrong


def times_budget(x: Floats, t: Floats, is_out: Bools, row: Row) -> Floats:
    """Return how far each number is from the truth, as many times as the budget allows; above 1 is outside.

    NaN is what is not compared; infinity, where one of the two is no number. See `measured`.
    """
    is_odd, is_compared = _told_apart(row.name, x, t, is_out)
    difference = np.abs(np.where(is_compared, x, 0) - np.where(is_compared, t, 0))
    scale = max(1.0, float(np.abs(t[is_compared]).max(initial=0.0)))
    with np.errstate(divide="ignore", invalid="ignore"):  # integers have no budget
        times: Floats = np.where(difference > 0, difference / ((row.budget or 0.0) * scale), 0.0)
    times[is_out] = np.nan
    times[np.logical_or.reduce([*is_odd.values()])] = np.inf
    return times


def _told_apart(name: str, x: Floats, t: Floats, is_out: Bools) -> tuple[dict[str, Bools], Bools]:
    """Return the places where one of the two is no number, by what is odd, and those where both are compared."""
    is_out = is_out | (np.isnan(t) & np.isnan(x))
    never, their_never = t == -np.inf, (x < NEVER if name.endswith(".scores") else x == -np.inf)
    is_odd = {
        "-inf in theirs alone": their_never & ~never & ~is_out,
        "-inf in the truth alone": never & ~their_never & ~is_out,
        "NaN or infinite": ~np.isfinite(x) & ~never & ~their_never & ~is_out,
    }
    return is_odd, ~(is_out | never | their_never)


def _place(array: NDArray[Any]) -> tuple[int, ...]:
    """Return where the largest number of an array stands, the first of them."""
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(array)), array.shape))


def hash_of(weights: Weights) -> str:
    """Return the SHA-256 of a model's weights, in the order of their names: each name, and its numbers in float64.

    What is tied to `shared.weight` counts once, under that name.
    """
    total, shared = hashlib.sha256(), weights["shared.weight"]
    for name in sorted(weights):
        if name == "shared.weight" or weights[name] is not shared:
            total.update(name.encode())
            for numbers in pieces_of(weights[name]):
                total.update(numbers.astype("<f8").tobytes())
    return total.hexdigest()


def pieces_of(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Give all numbers, a million at a time: what is made of them takes little memory."""
    numbers = array.reshape(-1)
    for first in range(0, len(numbers), 2**20):
        yield numbers[first : first + 2**20]
