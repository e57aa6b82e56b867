"""Layouts: the same numbers with other axes, as ports hold them, brought to the axes of a stage.

A stage has letters for its axes, as BSE or BHSS (see pyled/arrays.py). A port may have them in another order, without
the batch, with the heads split off, with several axes as one, or with more rows than there are tokens. All layouts that
the shape admits are returned; only the numbers tell which of them it is. Two axes of one letter, as of scores BHSS, are
never exchanged: that is a mistake, not a layout.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arrays import Bools

PADDED = "STVG"  # axes that a port may make longer than they are


class Laid(NamedTuple):
    """An array in the axes of its stage.

    layout: what was done to it in words, "" where nothing was
    is_absent: the places that the port's array does not have, or None where it has all
    """

    layout: str
    array: NDArray[Any]
    is_absent: Bools | None = None


def layouts(array: NDArray[Any], axes: str, shape: Sequence[int], H: int, is_real: Bools | None) -> list[Laid]:
    """Return the array in the axes of a stage, once for each layout that its shape admits, the simplest first.

    axes, shape: of the stage
    H: heads, which E may be split into
    is_real: (B, S) where there is padding, which a port may leave out

    >>> [(laid.layout, laid.array.shape) for laid in layouts(np.zeros((5, 2, 6)), "BSE", (2, 5, 6), 3, None)]
    [('transposed (S, B, E)', (2, 5, 6))]
    >>> [laid.layout for laid in layouts(np.zeros((3, 5, 2)), "BSE", (1, 5, 6), 3, None)]
    ['batch axis missing, heads split (H, S, D)']
    >>> [laid.layout for laid in layouts(np.zeros((2, 8, 6)), "BSE", (2, 5, 6), 3, None)]
    ['S padded from 5 to 8']
    """
    sizes = dict(zip(axes, shape, strict=True))
    exact = [*_arranged(array, axes, sizes, H)]
    if exact or not array.size:
        return exact
    laid: list[Laid] = []
    if is_real is not None and axes[:2] == "BS" and "S" not in axes[2:]:
        sizes_of_rows = {"N": int(is_real.sum()), **{letter: sizes[letter] for letter in axes[2:]}}
        for layout, rows, _ in _arranged(array, "N" + axes[2:], sizes_of_rows, H):
            whole = np.zeros(shape, rows.dtype)
            whole[is_real] = rows
            is_absent = np.broadcast_to(~is_real.reshape(*is_real.shape, *[1] * (len(shape) - 2)), shape)
            laid.append(Laid(_joined("rows of padding left out", layout), whole, is_absent))
    for letter in dict.fromkeys(letter for letter in axes if letter in PADDED):
        longest = (
            0 if is_real is None or letter != "S" else int(np.flatnonzero(is_real.any(axis=0)).max(initial=-1)) + 1
        )
        for n in dict.fromkeys(n for n in array.shape if n > sizes[letter] or n == longest):
            for layout, part, _ in _arranged(array, axes, sizes | {letter: n}, H):
                kind = (
                    f"{letter} padded from {sizes[letter]} to {n}" if n > sizes[letter] else "rows of padding cut off"
                )
                laid.append(_resized(part, shape, _joined(kind, layout)))
    return laid


def _joined(*words: str) -> str:
    return ", ".join(filter(None, words))


def _resized(array: NDArray[Any], shape: Sequence[int], layout: str) -> Laid:
    """Return an array cut to a shape, or filled up with places that are absent."""
    cut = array[tuple(map(slice, shape))]
    if cut.shape == tuple(shape):
        return Laid(layout, cut)
    whole, is_absent = np.zeros(shape, array.dtype), np.ones(shape, bool)
    whole[tuple(map(slice, cut.shape))] = cut
    is_absent[tuple(map(slice, cut.shape))] = False
    return Laid(layout, whole, is_absent)


def _arranged(array: NDArray[Any], axes: str, sizes: Mapping[str, int], H: int) -> Iterator[Laid]:
    """Yield the array in the axes of a stage for each order and grouping of them that has its shape."""
    shape = [sizes[letter] for letter in axes]
    letters = [letter * (1 + axes[:i].count(letter)) for i, letter in enumerate(axes)]  # the second S of BHSS is SS
    of_letter = dict(zip(letters, shape, strict=True))
    wide_axes = [n for n in array.shape if n != 1]
    if wide_axes == [n for n in shape if n != 1]:
        yield Laid("batch axis missing" if sizes.get("B") == 1 and array.ndim < len(axes) else "", array.reshape(shape))
    if H > 1 and of_letter.get("E", 1) % H == 0 and "E" in letters:
        at = letters.index("E")
        of_letter |= {"H": H, "D": of_letter["E"] // H}
        letters[at : at + 1] = ["H", "D"]
    wide = [letter for letter in letters if of_letter[letter] != 1]
    for order in itertools.permutations(wide):
        groups = _grouped(wide_axes, order, of_letter)
        is_exchanged = any(2 * letter in order and order.index(2 * letter) < order.index(letter) for letter in order)
        if groups is None or is_exchanged or not all(_may_be_one(group, wide, i) for i, group in enumerate(groups)):
            continue
        if words := _words(groups, wide):
            is_bare = sizes.get("B") == 1 and array.ndim < len(groups) + len(letters) - len(wide)
            inverse = [order.index(letter) for letter in wide]
            laid = array.reshape([of_letter[letter] for letter in order]).transpose(inverse).reshape(shape)
            yield Laid(_joined("batch axis missing" if is_bare else "", words), laid)


def _may_be_one(group: list[str], canonical: list[str], place: int) -> bool:
    """Return whether ports have these letters as one axis: the batch with what it is of, heads and channels, or all."""
    is_of_batch = place == 0 and group in (["B", "S"], ["B", "T"], ["B", "H"], ["B", "G"])
    return len(group) == 1 or is_of_batch or group in (["H", "D"], canonical)


def _grouped(shape: Sequence[int], order: Sequence[str], sizes: Mapping[str, int]) -> list[list[str]] | None:
    """Return which letters, in this order, each axis of a shape consists of; None where they do not fit.

    >>> _grouped([6, 5], ["B", "S", "E"], {"B": 2, "S": 3, "E": 5}), _grouped([6], ["S"], {"S": 5})
    ([['B', 'S'], ['E']], None)
    """
    groups, rest = [], list(order)
    for n in shape:
        group: list[str] = []
        while rest and math.prod(sizes[letter] for letter in group) < n:
            group.append(rest.pop(0))
        if math.prod(sizes[letter] for letter in group) != n:
            return None
        groups.append(group)
    return None if rest else groups


def _words(groups: list[list[str]], canonical: list[str]) -> str:
    """Return in words how groups of letters differ from one axis for each in the canonical order; "" if they do not."""
    order = [letter for group in groups for letter in group]
    are_heads_split = "H" in order and "D" in order and ["H", "D"] not in [group[-2:] for group in groups]
    merged = [group for group in groups if len(group) > 1 and group != ["H", "D"]]
    kinds = ["heads split"] * are_heads_split + ["flattened"] * bool(merged)
    if not are_heads_split and order != canonical:
        kinds.append("transposed")
    if not kinds:
        return ""
    names = ["*".join(letter[0] for letter in group).replace("H*D", "E") for group in groups]
    return f"{', '.join(kinds)} ({', '.join(names)})"


def upstream_attentions(array: NDArray[Any], w: int, is_global: Bools, H: int) -> list[Laid]:
    """Return the encoder's probabilities as dense matrices (B, H, S, S), if an array has one of upstream's two layouts.

    `attentions` are (B, H, S, G + 2w + 1): columns of global tokens, then the band, without the rows of global tokens.
    `global_attentions` are these rows: (B, H, S, G), each as a column. G is the most of a document.

    w: tokens on each side
    is_global: (B, S) bool
    """
    (B, S), G = is_global.shape, int(is_global.sum(axis=1).max(initial=0))
    sizes = {"B": B, "H": H, "S": S, "G": G, "K": G + 2 * w + 1}
    laid = []
    for letter in "KG" if G else "K":
        axes = f"BHS{letter}"
        for layout, part, _ in layouts(array, axes, [sizes[axis] for axis in axes], H, None):
            dense = _from_band(part, w, is_global) if letter == "K" else _from_global_rows(part, is_global)
            is_other = is_global if letter == "K" else ~is_global
            kind = "all but the rows of global tokens" if letter == "K" else "the rows of global tokens"
            is_absent = np.broadcast_to(is_other[:, None, :, None], dense.shape)
            laid.append(Laid(_joined(f"upstream's columns, {kind}", layout), dense, is_absent))
    return laid


def _from_band(band: NDArray[Any], w: int, is_global: Bools) -> NDArray[Any]:
    """Return a dense matrix of columns of global tokens and the band, without what stands beyond a document's ends.

    >>> band = np.array([[0.5, 0.0, 0.25, 0.25], [0.5, 0.0, 0.5, 0.0]])[None, None]
    >>> _from_band(band, 1, np.array([[False, True]]))[0, 0].tolist()
    [[0.25, 0.75], [0.0, 1.0]]
    """
    B, H, S, columns = band.shape
    G = columns - (2 * w + 1)
    dense = np.zeros((B, H, S, S), band.dtype)
    for i in range(S):
        first, stop = max(0, i - w), min(S, i + w + 1)
        dense[:, :, i, first:stop] = band[:, :, i, G + first - i + w : G + stop - i + w]
    for b in range(B):
        keys = np.flatnonzero(is_global[b])
        dense[b][:, :, keys] += band[b, :, :, : len(keys)]
    return dense


def _from_global_rows(columns: NDArray[Any], is_global: Bools) -> NDArray[Any]:
    """Return a dense matrix with the rows of global tokens, which are columns in upstream's layout."""
    B, H, S, G = columns.shape
    dense = np.zeros((B, H, S, S), columns.dtype)
    for b in range(B):
        rows = np.flatnonzero(is_global[b])
        dense[b][:, rows] = columns[b, :, :, : len(rows)].swapaxes(1, 2)
    return dense
