"""What decoding remembers: the keys and values of earlier target tokens, and those of each source document.

Letters: R rows (targets being decoded, several per document in beam search), H heads, P past tokens, S source tokens,
D head size.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..kernels.rounded import bf16, int8, widened
from ..kernels.rows import select_past

Floats = NDArray[Any]

BLOCK = 64  # tokens by which a buffer grows at least


class Growing:
    """Keys or values of past tokens, (R, H, P, D), to which new tokens are appended.

    What an object holds never changes: appending gives a longer one. The first continuation shares the buffer, so that
    plain decoding copies nothing; another continuation of the same past gets a copy.
    """

    def __init__(self, buffer: Floats, length: int) -> None:
        self.buffer = buffer  # (R, H, capacity, D)
        self.length = length
        self._is_continued = False  # whether the buffer's next places belong to a longer past
        self._lock = threading.Lock()

    @classmethod
    def empty(cls, R: int, H: int, D: int, dtype: Any) -> Self:
        return cls(np.zeros((R, H, 0, D), dtype), 0)

    def append(self, new: Floats) -> "Growing":
        """The past with `new`, (R, H, T, D), behind it."""
        length = self.length + new.shape[2]
        with self._lock:
            fits = not self._is_continued and length <= self.buffer.shape[2]
            self._is_continued |= fits
        longer = Growing(self.buffer if fits else self._copied(np.arange(len(self.buffer)), length), length)
        longer.buffer[:, :, self.length : length] = new
        return longer

    def select(self, rows: NDArray[np.int64]) -> "Growing":
        """The past of some rows, in that order; each one a row of this past, which nothing checks here."""
        return Growing(self._copied(rows, self.length), self.length)

    def _copied(self, rows: NDArray[np.int64], length: int) -> Floats:
        """A new buffer for `length` tokens or more, holding the past of some rows."""
        _, H, capacity, D = self.buffer.shape
        if length > capacity:
            capacity = max(length, capacity + max(BLOCK, capacity // 2))
        buffer = np.empty((len(rows), H, capacity, D), self.buffer.dtype)
        select_past(self.buffer, self.length, rows, buffer)
        return buffer

    @property
    def view(self) -> Floats:
        """(R, H, P, D) float, read-only: later pasts may share the buffer."""
        view = self.buffer[:, :, : self.length]
        view.flags.writeable = False
        return view

    def __reduce__(self) -> tuple[Any, ...]:
        """To copy or pickle the past alone, without the buffer's lock and the room behind."""
        return type(self), (self.view.copy(), self.length)


@dataclass(frozen=True, eq=False)
class SourceKeys:
    """The cross-attention's keys and values of one document in one decoder layer.

    keys, values: (H, S, D), float, or narrow as `kernels.narrow` says, each place of a head being a row
    scales: of keys and of values, (H, S) float32, for int8
    """

    keys: Floats
    values: Floats
    scales: tuple[Floats | None, Floats | None] = (None, None)

    @classmethod
    def stored(cls, keys: Floats, values: Floats, dtype: Any) -> Self:
        """Floats as they are, or rounded to bf16 where dtype is uint16, and to int8; each (H, S, D) float."""
        if np.dtype(dtype).kind == "f":
            return cls(keys, values)
        rows = [part.reshape(-1, part.shape[2]) for part in (keys, values)]
        shape = keys.shape
        if dtype == np.uint16:
            rounded = [bf16(part).reshape(shape) for part in rows]
            return cls(rounded[0], rounded[1])
        (keys, key_scale), (values, value_scale) = map(int8, rows)
        scales = key_scale.reshape(shape[:2]), value_scale.reshape(shape[:2])
        return cls(keys.reshape(shape), values.reshape(shape), scales)

    def widened(self) -> tuple[Floats, Floats]:
        """Keys and values, (H, S, D) float."""
        keys, values = (
            widened(stored.reshape(-1, stored.shape[2]), None if scale is None else scale.ravel()).reshape(stored.shape)
            for stored, scale in zip((self.keys, self.values), self.scales, strict=True)
        )
        return keys, values


@dataclass(frozen=True, eq=False)
class DocumentKeys:
    """The cross-attention's keys and values of one document, for each decoder layer."""

    layers: tuple[SourceKeys, ...]


@dataclass(frozen=True, eq=False)
class Cache(Sequence[tuple[Floats, Floats, Floats, Floats]]):
    """The past of a decoder. A call returns a longer one and never changes the one passed in.

    Self-attention keeps keys and values per row, cross-attention once per document, whatever the number of rows.
    `cache[layer]` is the tuple of transformers 4.57.6: self keys and values (R, H, P, D), read-only, and cross keys and
    values (R, H, S, D) - made anew at each access, padded with 0 where documents were run at different lengths.
    """

    own: tuple[tuple[Growing, Growing], ...]
    documents: tuple[DocumentKeys, ...]
    document_of_row: NDArray[np.int64]  # (R,)

    def get_seq_length(self) -> int:
        """P, the number of past tokens."""
        return self.own[0][0].length if self.own else 0

    def select(self, rows: NDArray[np.int64]) -> "Cache":
        """The past of some rows, in that order; documents are shared, not copied.

        A call that goes on from it takes encoder_outputs and attention_mask of the same rows in the same order.
        Raises IndexError for what is no row.
        """
        rows = np.arange(len(self.document_of_row))[rows]
        own = tuple((keys.select(rows), values.select(rows)) for keys, values in self.own)
        return replace(self, own=own, document_of_row=self.document_of_row[rows])

    def __len__(self) -> int:
        return len(self.own)

    def __getitem__(self, layer: Any) -> Any:
        if isinstance(layer, slice):
            return [self[i] for i in range(*layer.indices(len(self)))]
        keys, values = self.own[layer]
        cross = zip(*(document.layers[layer].widened() for document in self.documents), strict=True)
        return keys.view, values.view, *map(self._padded, cross)

    def __iter__(self) -> Iterator[tuple[Floats, Floats, Floats, Floats]]:
        return (self[i] for i in range(len(self)))

    def _padded(self, arrays: Sequence[Floats]) -> Floats:
        H, _, D = arrays[0].shape
        S = max(array.shape[1] for array in arrays)
        out = np.zeros((len(self.document_of_row), H, S, D), arrays[0].dtype)
        for row, document in enumerate(self.document_of_row):
            out[row, :, : arrays[document].shape[1]] = arrays[document]
        return out
