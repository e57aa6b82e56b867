"""Draws among scores, which repeat themselves: from a seed, for each document by itself."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np

from ..arrays import Bools, Ids
from .contract import Scores
from .scores import best


@dataclass(frozen=True)
class Draws:
    """Draws by the softmax of scores, without replacement, for each row by a generator of its own."""

    generators: Sequence[np.random.Generator]

    @classmethod
    def of(cls, seed: int, sources: Sequence[Ids], rows: int) -> "Draws":
        """Return the draws for so many rows of each document; sources: the ids of each, (any,), without padding.

        The generator of a row follows from the seed, the ids of its document, and its number among the document's rows.
        So a document gets the same draws alone and in any batch, and other documents get others.

        >>> alone, later = (Draws.of(7, [*others, np.array([4, 5])], 1) for others in ([], [np.array([8])]))
        >>> bool(alone.generators[0].random() == later.generators[1].random())
        True
        """
        digests = [hashlib.sha256(np.asarray(ids, "<i8").tobytes()).digest() for ids in sources]
        keys = [(int.from_bytes(digest, "little"), row) for digest in digests for row in range(rows)]
        return cls([np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key)) for key in keys])

    def select(self, is_left: Bools) -> "Draws":
        """Return the draws of the documents that are left; is_left: (B,)."""
        rows = np.repeat(is_left, len(self.generators) // len(is_left))  # (R,)
        return Draws(list(compress(self.generators, rows)))

    def __call__(self, scores: Scores, count: int) -> Ids:
        """Return `count` places of each row, in the order in which they are drawn; scores: (R, any).

        The largest of scores with Gumbel noise is a draw by their softmax, the second largest is one among the others,
        and so on. What is -inf comes last.

        >>> Draws.of(7, [np.array([4, 5])], 1)(np.float32([[-np.inf, 5, -np.inf, -np.inf]]), 2)
        array([[1, 0]])
        """
        noisy = np.full(scores.shape, -np.inf)  # (R, any) float64
        for row, generator in enumerate(self.generators):
            places = np.flatnonzero(scores[row] > -np.inf)
            noisy[row, places] = scores[row, places] + generator.gumbel(size=places.size)
        return best(noisy, count)
