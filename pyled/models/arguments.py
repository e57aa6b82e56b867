"""The arguments of a call, checked: ids, embeddings, and what the masks say of which token.

Letters: B batch, S tokens (of a source or a target), E model size.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Floats = NDArray[Any]
Bools = NDArray[np.bool_]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class SourceMasks:
    """What the masks of a batch of sources say.

    is_real: (B, S) bool, tokens that the encoder attends to
    is_global: (B, S) bool, real tokens that attend to all, and all to them
    is_key: (B, S) bool, tokens that the decoder attends to
    lengths: how many tokens of each document are run
    dropped: how many global flags stood on padding
    """

    is_real: Bools
    is_global: Bools
    is_key: Bools
    lengths: tuple[int, ...]
    dropped: int


def source_masks(attention_mask: Any, global_attention_mask: Any, shape: tuple[int, int]) -> SourceMasks:
    """The masks of a call, merged as transformers 5.23.0 does (modeling_led.py:1293).

    A token is real to the encoder where attention_mask is not 0 and global_attention_mask is not -1; the decoder
    knows attention_mask only. A document whose mask is a prefix is run at the prefix's length, any other in full.

    attention_mask: (B, S) of 0 and 1, or None for all 1
    global_attention_mask: (B, S) of 0, 1 and -1 (padding), or None for all 0

    Raises InputError for another shape or another value.
    """
    is_key = checked_mask(attention_mask, "attention_mask", shape, (0, 1)) == 1
    global_marks = checked_mask(global_attention_mask, "global_attention_mask", shape, (-1, 0, 1), default=0)
    is_real = is_key & (global_marks != -1)
    marked = global_marks == 1
    lengths = tuple(_run_length(row) for row in is_key)
    return SourceMasks(is_real, marked & is_real, is_key, lengths, int(np.count_nonzero(marked & ~is_real)))


def _run_length(is_key: Bools) -> int:
    """The length of a mask that is a non-empty prefix; the full length of any other."""
    count = int(np.count_nonzero(is_key))
    return count if count and is_key[:count].all() else len(is_key)


def checked_mask(mask: Any, name: str, shape: tuple[int, int], allowed: tuple[int, ...], default: int = 1) -> Ids:
    """A mask as integers, or all `default` for None. Raises InputError for another shape or value."""
    if mask is None:
        return np.full(shape, default, np.int64)
    try:
        given = np.asarray(mask)
    except ValueError:
        raise InputError(f"{name}: rows of different lengths; an array of shape {shape} was expected") from None
    if given.dtype.kind not in "biuf":
        raise InputError(f"{name} holds {given.dtype} values: an array of integers of shape {shape} was expected")
    if given.shape != shape:
        raise InputError(f"{name} has shape {given.shape}: {shape} was expected, one number per token")
    is_allowed = np.isin(given, allowed)
    if not is_allowed.all():
        odd = given[~is_allowed].flat[0]
        hint = "; mark global tokens in global_attention_mask" if name == "attention_mask" and odd == 2 else ""
        raise InputError(f"{name} holds {odd}: only {', '.join(map(str, allowed))} may stand there{hint}")
    return given.astype(np.int64)


def checked_ids(ids: Any, name: str, vocabulary: int, *, also: tuple[int, ...] = ()) -> Ids:
    """Token ids as an array (B, S). Raises InputError for another shape, and for ids outside the vocabulary."""
    try:
        given = np.asarray(ids)
    except ValueError:
        raise InputError(f"{name}: rows of different lengths; pad them (tokenizer(..., padding=True))") from None
    if given.dtype.kind not in "iu":
        raise InputError(f"{name} holds {given.dtype} values: token ids are integers")
    if given.ndim != 2 or given.size == 0:
        raise InputError(f"{name} has shape {given.shape}: (batch, tokens) was expected, with at least one of each")
    wrong = (given < 0) | (given >= vocabulary)
    if also:
        wrong &= ~np.isin(given, also)
    if wrong.any():
        raise InputError(f"{name} holds {given[wrong][0]}: this model's ids go from 0 to {vocabulary - 1}")
    return given.astype(np.int64)


def checked_embeds(embeds: Any, name: str, E: int, dtype: Any) -> Floats:
    """Embedded tokens as an array (B, S, E) of the model's dtype, copied.

    Raises InputError for another shape, and for NaN and infinities: a kernel that skips masked keys does not pass them
    on as upstream does, and no result could be trusted.
    """
    try:
        given = np.asarray(embeds)
    except ValueError:
        raise InputError(f"{name}: rows of different lengths; shape (batch, tokens, {E}) was expected") from None
    if given.dtype.kind not in "fiu":
        raise InputError(f"{name} holds {given.dtype} values: an array of floats was expected")
    if given.ndim != 3 or given.shape[2] != E or given.size == 0:
        raise InputError(
            f"{name} has shape {given.shape}: (batch, tokens, {E}) was expected, with at least one of each"
        )
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is refused below
        array = np.array(given, dtype=dtype, order="C")
    is_finite = np.isfinite(array)
    if not is_finite.all():
        raise InputError(f"{name} holds {given[~is_finite][0]}: numbers that are finite in {array.dtype} were expected")
    return array


def check_length(length: int, positions: int, side: str, remedy: str) -> None:
    """Raises InputError when a sequence is longer than the model's table of positions."""
    if length > positions:
        raise InputError(f"{length:,} tokens, but this {side} has {positions:,} positions: {remedy}")
