"""Documents of a batch, laid one behind the other: the encoder works on the rows of all of them at once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..arrays import Bools, Ids
from .dropout import NO_DROPOUT, Dropout
from .observe import SEES_NOTHING, Observer, Parted


class Document(NamedTuple):
    """A document among others.

    rows: where its tokens are
    is_real, is_global: (its tokens,) bool
    global_places: (its global tokens,) int, among the rows of all documents
    see: its observer, which sees it as if it were alone
    """

    rows: slice
    is_real: Bools
    is_global: Bools
    global_places: Ids
    see: Observer


class Batch:
    """The documents of a batch, with S tokens in all, of which G are global.

    each: the documents, in order
    is_real, is_global: (S,) bool; a global token is real
    global_places: (G,) int
    places: (S,) int: each token's place in its own document
    spans: (B, 6) int: where the queries, the keys and the global tokens of each document begin and end
    see: an observer of arrays of S rows
    dropout: of S rows
    """

    def __init__(
        self, is_real: Sequence[Bools], is_global: Sequence[Bools], sees: Sequence[Observer] = (), *,
        see: Observer | None = None, dropout: Dropout = NO_DROPOUT,
    ) -> None:  # fmt: skip
        """Lay documents one behind the other.

        is_real, is_global: per document (its tokens,) bool
        sees: the observer of each; empty for none
        see: one observer of the rows of all; None where each document has its own
        """
        self.is_real, self.is_global = np.concatenate(is_real), np.concatenate(is_global)
        self.global_places = np.flatnonzero(self.is_global)
        self.places = np.concatenate([np.arange(len(mask)) for mask in is_real])
        ends = np.cumsum([0, *map(len, is_real)])  # (B + 1,)
        extra = np.searchsorted(self.global_places, ends)
        self.spans = np.stack(
            [part[side] for part in (ends, ends, extra) for side in (slice(-1), slice(1, None))], axis=1
        )
        self.each = [
            Document(slice(first, stop), real, marks, first + np.flatnonzero(marks), see)
            for first, stop, real, marks, see in zip(
                ends[:-1].tolist(), ends[1:].tolist(), is_real, is_global, sees or [SEES_NOTHING] * len(is_real),
                strict=True,
            )
        ]  # fmt: skip
        parted = Parted([(document.see, document.rows) for document in self.each]) if sees else SEES_NOTHING
        self.see = parted if see is None else see
        self.dropout = dropout
