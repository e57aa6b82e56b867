"""The cache: the keys and values of earlier target tokens, and those of each source document."""

import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np

from ..arrays import Floats, Ids
from ..errors import InputError, brief
from ..kernels.rounded import Matrix, widened
from ..kernels.rows import select_past

BLOCK = 16  # tokens by which a buffer grows at least


def _references_of_one_name() -> int:
    array = np.empty(0)
    return sys.getrefcount(array)


ONE_NAME = _references_of_one_name()  # versions of Python count differently


class Growing:
    """Keys or values of past tokens, (R, H, P, D), to which new tokens are appended.

    An object never changes: appending gives a longer one. The first continuation shares the buffer, so that plain
    decoding copies nothing. Another continuation of the same past gets a copy.

    spare: the buffer that this one was copied from, to be written again when nobody holds it any more, as in beam
        search: fresh memory costs a page fault for every few KiB
    """

    def __init__(self, buffer: Floats, length: int, spare: Floats | None = None) -> None:
        self.buffer = buffer  # (R, H, capacity, D)
        self.length = length
        self._spare = spare
        self._is_continued = False  # whether the buffer's next places belong to a longer past
        self._lock = threading.Lock()

    @classmethod
    def empty(cls, R: int, H: int, D: int, dtype: Any) -> Self:
        return cls(np.zeros((R, H, 0, D), dtype), 0)

    def append(self, new: Floats) -> "Growing":
        """Return the past with `new`, (R, H, T, D), behind it."""
        length = self.length + new.shape[2]
        with self._lock:
            fits = not self._is_continued and length <= self.buffer.shape[2]
            self._is_continued |= fits
        buffer = self.buffer if fits else self._copied(np.arange(len(self.buffer)), length)
        longer = Growing(buffer, length, self._spare)
        longer.buffer[:, :, self.length : length] = new
        return longer

    def select(self, rows: Ids) -> "Growing":
        """Return the past of some rows, in that order. subtle: nothing checks here that these rows exist."""
        return Growing(self._copied(rows, self.length), self.length, self.buffer)

    def cut(self, length: int) -> "Growing":
        """Return the past of the first `length` tokens. What is appended to it overwrites the others: let them go."""
        return Growing(self.buffer, length)

    def _copied(self, rows: Ids, length: int) -> Floats:
        """Return a buffer for `length` tokens or more that holds the past of some rows."""
        _, H, capacity, D = self.buffer.shape
        if length > capacity:
            capacity = max(length, capacity + max(BLOCK, capacity // 2))
        shape = len(rows), H, capacity, D
        with self._lock:
            buffer, self._spare = self._spare, None
        # subtle: who holds the buffer, or a view of it, adds a reference to it.
        if buffer is None or buffer.shape != shape or sys.getrefcount(buffer) > ONE_NAME:
            buffer = np.empty(shape, self.buffer.dtype)
        select_past(self.buffer, self.length, rows, buffer)
        return buffer

    @property
    def view(self) -> Floats:
        """The past tokens, (R, H, P, D) float, read-only because later pasts may share the buffer."""
        view = self.buffer[:, :, : self.length]
        view.flags.writeable = False
        return view

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy or pickle the past alone, without the lock and the room behind it."""
        return type(self), (self.view.copy(), self.length)


Past = tuple[Growing, Growing]  # of one layer: keys, values


class SourceKeys(NamedTuple):
    """The cross-attention's keys and values in one decoder layer, of all documents, one behind the other.

    keys, values: (H, tokens, D) float or both Rounded
    """

    keys: Matrix
    values: Matrix


@dataclass(frozen=True, eq=False)
class Cache(Sequence[tuple[Floats, Floats, Floats, Floats]]):
    """The past of a decoder. A call returns a longer one and never changes the one passed in.

    Self-attention keeps keys and values per row. Cross-attention keeps them once per document, for all its rows: two
    documents with two beams each have document_of_row 0, 0, 1, 1.
    `cache[layer]` is the tuple of transformers 4.57.6: self keys and values (R, H, P, D), read-only, and cross keys and
    values (R, H, S, D), made anew at each access and padded with 0 behind the shorter documents.
    """

    pasts: tuple[Past, ...]  # of self-attention, one for each layer
    sources: Sequence[SourceKeys]  # one for each layer
    lengths: Ids  # (documents,): tokens of each
    document_of_row: Ids  # (R,)

    @classmethod
    def empty(cls, R: int, sources: Sequence[SourceKeys], lengths: Ids, H: int, D: int, dtype: Any) -> Self:
        """Return a past without tokens for R rows, spread evenly over the documents in order."""
        pasts = tuple((Growing.empty(R, H, D, dtype), Growing.empty(R, H, D, dtype)) for _ in range(len(sources)))
        return cls(pasts, sources, lengths, np.repeat(np.arange(len(lengths)), R // len(lengths)))

    def get_seq_length(self) -> int:
        """Return P, the number of past tokens."""
        return self.pasts[0][0].length if self.pasts else 0

    def select(self, rows: Ids) -> "Cache":
        """Return the past of some rows, in that order; documents are shared, not copied.

        A call that goes on from it takes encoder_outputs and attention_mask of the same rows in the same order.
        Raises InputError for what is no row.
        """
        try:
            rows = np.arange(len(self.document_of_row))[np.asarray(rows)].reshape(-1)
        except Exception as e:
            count = len(self.document_of_row)
            raise InputError(f"rows is {brief(rows)}: a list of rows was expected, each from 0 to {count - 1}") from e
        pasts = tuple((keys.select(rows), values.select(rows)) for keys, values in self.pasts)
        return replace(self, pasts=pasts, document_of_row=self.document_of_row[rows])

    def cut(self, length: int) -> "Cache":
        """Return the past of the first `length` tokens; this one must not be used any more."""
        pasts = tuple((keys.cut(length), values.cut(length)) for keys, values in self.pasts)
        return replace(self, pasts=pasts)

    def __len__(self) -> int:
        return len(self.pasts)

    def __getitem__(self, layer: Any) -> Any:
        if isinstance(layer, slice):
            return [self[i] for i in range(*layer.indices(len(self)))]
        keys, values = self.pasts[layer]
        return keys.view, values.view, *(self._padded(widened(matrix)) for matrix in self.sources[layer])

    def __iter__(self) -> Iterator[tuple[Floats, Floats, Floats, Floats]]:
        return (self[i] for i in range(len(self)))

    def _padded(self, documents: Floats) -> Floats:
        H, _, D = documents.shape
        out = np.zeros((len(self.document_of_row), H, self.lengths.max(), D), documents.dtype)
        ends = self.lengths.cumsum()
        for row, document in enumerate(self.document_of_row):
            length = self.lengths[document]
            out[row, :, :length] = documents[:, ends[document] - length : ends[document]]
        return out
