"""The arguments of a call, checked: ids, embeddings, and what the masks say of which token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Bools, Floats, Ids, as_array
from ..config import LEDConfig
from ..errors import InputError
from ..network.losses import IGNORED_LABEL
from .outputs import LEDEncoderBaseModelOutput


@dataclass(frozen=True)
class SourceMasks:
    """The masks of a batch of sources, merged.

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

    def of_documents(self) -> list[tuple[Bools, Bools, Bools]]:
        """Return per document is_real, is_global and is_key of the tokens that are run."""
        masks = zip(self.is_real, self.is_global, self.is_key, self.lengths, strict=True)
        return [(is_real[:length], is_global[:length], is_key[:length]) for is_real, is_global, is_key, length in masks]


def source_masks(
    attention_mask: ArrayLike | None, global_attention_mask: ArrayLike | None, shape: tuple[int, int]
) -> SourceMasks:
    """Merge the masks of a call as transformers 5.23.0 does (modeling_led.py:1293).

    A token is real to the encoder where attention_mask is not 0 and global_attention_mask is not -1; the decoder
    knows attention_mask only. A document whose attention_mask is a prefix (1 1 1 0) is run at the prefix's length, any
    other in full.

    attention_mask: (B, S) of 0 and 1, or None for all 1
    global_attention_mask: (B, S) of 0, 1 and -1 (padding), or None for all 0

    Raises InputError for another shape or another value.
    """
    is_key = checked_mask(attention_mask, "attention_mask", shape, (0, 1)) == 1
    marks = checked_mask(global_attention_mask, "global_attention_mask", shape, (-1, 0, 1), default=0)
    is_real = is_key & (marks != -1)
    is_marked = marks == 1
    lengths = tuple(_run_length(row) for row in is_key)
    return SourceMasks(is_real, is_marked & is_real, is_key, lengths, int(np.count_nonzero(is_marked & ~is_real)))


def _run_length(is_key: Bools) -> int:
    """Return the length of a mask that is a non-empty prefix; the full length of any other."""
    count = int(np.count_nonzero(is_key))
    return count if count and is_key[:count].all() else len(is_key)


def _as_array(value: ArrayLike | None, name: str, remedy: str) -> Any:
    if isinstance(value, Mapping):
        raise InputError(f"{name} is a {type(value).__name__}: pass what it holds as arguments, with ** in front of it")
    array = as_array(value)
    if array.dtype == object and array.ndim == 0:
        raise InputError(f"{name}: rows of different lengths, or no numbers; {remedy}")
    return array


def checked_mask(
    mask: ArrayLike | None, name: str, shape: tuple[int, int], allowed: tuple[int, ...], default: int = 1
) -> Ids:
    """Return a mask as integers, or all `default` for None. Raises InputError for another shape or value."""
    if mask is None:
        return np.full(shape, default, np.int64)
    array = _as_array(mask, name, f"an array of shape {shape} was expected")
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} holds {array.dtype} values: an array of integers of shape {shape} was expected")
    if array.shape != shape:
        raise InputError(f"{name} has shape {array.shape}: {shape} was expected, one number per token")
    is_allowed = np.isin(array, allowed)
    if not is_allowed.all():
        odd = array[~is_allowed].flat[0]
        hint = "; mark global tokens in global_attention_mask" if name == "attention_mask" and odd == 2 else ""
        raise InputError(f"{name} holds {odd}: only {', '.join(map(str, allowed))} may stand there{hint}")
    return array.astype(np.int64)


def checked_ids(ids: ArrayLike | None, name: str, vocabulary: int, *, also: tuple[int, ...] = ()) -> Ids:
    """Return token ids as an array (B, S). Raises InputError for another shape, and for ids outside the vocabulary."""
    array = _as_array(ids, name, "pad them (tokenizer(..., padding=True))")
    if array.dtype.kind not in "iu":
        raise InputError(f"{name} holds {array.dtype} values: token ids are integers")
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"{name} has shape {array.shape}: (batch, tokens) was expected, with at least one of each")
    is_wrong = (array < 0) | (array >= vocabulary)
    if also:
        is_wrong &= ~np.isin(array, also)
    if is_wrong.any():
        raise InputError(f"{name} holds {array[is_wrong][0]}: this model's ids go from 0 to {vocabulary - 1}")
    return array.astype(np.int64)


def checked_labels(labels: ArrayLike, config: LEDConfig) -> Ids:
    """Return labels as an array (B, T): ids, and -100 for what the loss leaves out. Raises InputError."""
    return checked_ids(labels, "labels", config.vocab_size, also=(IGNORED_LABEL,))


def checked_classes(labels: ArrayLike, count: int) -> Ids:
    """Return the numbers of labels, each below `count` or -100, which the loss leaves out. Raises InputError."""
    array = checked_places(labels, "labels")
    is_wrong = ((array < 0) | (array >= count)) & (array != IGNORED_LABEL)
    if is_wrong.any():
        raise InputError(
            f"labels holds {array[is_wrong][0]}: this model's labels go from 0 to {count - 1}, and {IGNORED_LABEL} is "
            "left out of the loss"
        )
    return array


def checked_places(places: ArrayLike, name: str) -> Ids:
    """Return integers, of any shape and size. Raises InputError for anything else."""
    array = _as_array(places, name, "an integer per row was expected")
    if array.dtype.kind not in "iu":
        raise InputError(f"{name} holds {array.dtype} values: integers were expected, one per row")
    return array.astype(np.int64)


def checked_values(values: ArrayLike, name: str, dtype: Any) -> Floats:
    """Return numbers of the model's dtype, of any shape. Raises InputError for what is no number, or not finite."""
    array = _as_array(values, name, "numbers were expected")
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} holds {array.dtype} values: numbers were expected")
    return _finite(array, name, dtype)


def one_per_row(array: NDArray[Any], name: str, B: int) -> NDArray[Any]:
    """Return an array of shape (B,), also from (B, 1), as upstream. Raises InputError for any other."""
    if array.shape not in ((B,), (B, 1)):
        raise InputError(f"{name} has shape {array.shape}: {(B,)} was expected, one per row")
    return array.reshape(B)


def checked_embeds(embeds: ArrayLike | None, name: str, E: int, dtype: Any) -> Floats:
    """Return embedded tokens as an array (B, S, E) of the model's dtype, copied.

    Raises InputError for another shape, and for NaN and infinities: a kernel that skips masked keys does not pass them
    on as upstream does, and no result could be trusted.
    """
    array = _as_array(embeds, name, f"shape (batch, tokens, {E}) was expected")
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} holds {array.dtype} values: an array of floats was expected")
    if array.ndim != 3 or array.shape[2] != E or array.size == 0:
        raise InputError(
            f"{name} has shape {array.shape}: (batch, tokens, {E}) was expected, with at least one of each"
        )
    return _finite(array, name, dtype, "; where the model itself has computed it, check the model's weights")


def _finite(array: NDArray[Any], name: str, dtype: Any, hint: str = "") -> Floats:
    """Return a copy of that dtype. Raises InputError for numbers that are infinite in it, or NaN."""
    with np.errstate(over="ignore"):  # numbers too large for the dtype become infinite, and are refused below
        floats = np.array(array, dtype=dtype, order="C")
    is_finite = np.isfinite(floats)
    if not is_finite.all():
        raise InputError(
            f"{name} holds {array[~is_finite].flat[0]}: numbers that are finite in {floats.dtype} were expected{hint}"
        )
    return floats


class Tokens(NamedTuple):
    """The tokens of one side of a call, (B, S): their ids, (B, S) int, or else what is embedded, (B, S, E) float."""

    ids: Ids | None
    embeds: Floats | None

    @property
    def shape(self) -> tuple[int, int]:
        """Return (B, S)."""
        array = self.ids if self.embeds is None else self.embeds
        return array.shape[:2]  # type: ignore[union-attr]  # one of them is there

    def embedded(self, table: Floats, place: Any = ...) -> Floats:
        """Return what is embedded for the tokens at a place, an index of (B, S): (..., E) float."""
        embedded: Floats = table[self.ids[place]] if self.ids is not None else self.embeds[place]  # type: ignore[index]
        return embedded


def checked_tokens(
    ids: ArrayLike | None, embeds: ArrayLike | None, config: LEDConfig, dtype: Any, *, side: str = ""
) -> Tokens:
    """Return the tokens of a side of a call, checked. Raises InputError.

    side: "decoder_", which the names of its arguments begin with; "" for the encoder's
    """
    check_either(ids, embeds, f"{side}input_ids", f"{side}inputs_embeds")
    if ids is not None:
        return Tokens(checked_ids(ids, f"{side}input_ids", config.vocab_size), None)
    return Tokens(None, checked_embeds(embeds, f"{side}inputs_embeds", config.d_model, dtype))


def check_either(ids: Any, embeds: Any, ids_name: str, embeds_name: str) -> None:
    """Raise InputError unless exactly one of ids and embeddings is given."""
    if (ids is None) == (embeds is None):
        raise InputError(f"{'neither' if ids is None else 'both'} of {ids_name} and {embeds_name}: give one of them")


def check_length(length: int, positions: int, side: str, remedy: str) -> None:
    """Raise InputError when a sequence is longer than the model's table of positions."""
    if length > positions:
        raise InputError(f"{length:,} tokens, but this {side} has {positions:,} positions: {remedy}")


def as_encoder_output(outputs: Any) -> LEDEncoderBaseModelOutput:
    """Return an encoder's output, also from its tuple. Raises InputError for anything else."""
    if isinstance(outputs, LEDEncoderBaseModelOutput):
        return outputs
    if isinstance(outputs, Sequence) and 1 <= len(outputs) <= len(fields(LEDEncoderBaseModelOutput)):
        return LEDEncoderBaseModelOutput(*outputs)
    size = f" of {len(outputs)} items" if isinstance(outputs, Sequence) else ""
    raise InputError(
        f"encoder_outputs is a {type(outputs).__name__}{size}: an encoder's output, or its tuple, was expected"
    )


def shift_right(ids: Ids, config: LEDConfig) -> Ids:
    """Return the decoder's input for target ids: the start token, then each id one place later; -100 becomes padding.

    ids: (B, T) int
    returns: (B, T) int
    """
    pad, start = config.pad_token_id, config.decoder_start_token_id
    if pad is None or start is None:
        missing = "pad_token_id" if pad is None else "decoder_start_token_id"
        raise InputError(f"the configuration has no {missing}: pass decoder_input_ids")
    shifted = np.concatenate([np.full((len(ids), 1), start, np.int64), ids[:, :-1]], axis=1)
    return np.where(shifted == IGNORED_LABEL, pad, shifted)
