"""Dropout: the numbers of states and of probabilities that training sets to 0, without a running generator.

A number is dropped by a hash of the seed, of its document, of its token's place there, of its stage's name and of its
channel. So the same numbers are dropped in any batch, slice and order, on any number of threads, and once more where a
layer is recomputed. transformers 5.23.0 drops at the same places (modeling_led.py:229, 660, 830, 889-897, 1451).
"""

import copy
import hashlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import Floats, Ids
from ..config import LEDConfig
from ..kernels.dropout import Dropped, drop

NO_COLUMNS = np.zeros(0, np.int64)


class Dropout:
    """Drops numbers of rows: the tokens of documents, whose states lie one behind the other.

    A stage that is dropped is seen after it, under the name by which it is dropped.
    """

    def __init__(self, config: LEDConfig, seed: int, documents: ArrayLike, places: ArrayLike) -> None:
        """Drop with the rates of a configuration.

        documents: of each row, the number of its document among all of a training step
        places: of each row, its token's place in its document; two shapes that broadcast are flattened
        """
        self._config, self._seed = config, _mixed(np.array([seed % 2**64], np.uint64))
        documents, places = np.broadcast_arrays(documents, places)
        of_documents = _mixed(self._seed + documents.reshape(-1).astype(np.uint64))
        self._rows = _mixed(of_documents + places.reshape(-1).astype(np.uint64))

    def part(self, rows: Any) -> "Dropout":
        """Return what drops the same numbers of some rows."""
        part = copy.copy(self)
        part._rows = self._rows[rows] if self._rows.size else self._rows  # NO_DROPOUT has no rows
        return part

    def hidden(self, name: str, x: Floats) -> None:
        """Drop numbers of states, in place: the stage `name`, (..., E) for all rows."""
        self._drop(name, x, self._config.dropout)

    def activation(self, name: str, x: Floats) -> None:
        """Drop numbers between the two layers of a feed-forward, in place: (..., F) for all rows."""
        self._drop(name, x, self._config.activation_dropout)

    def classifier(self, name: str, x: Floats) -> None:
        """Drop numbers that a layer of the head for classification reads, in place: (..., E) for all rows."""
        self._drop(name, x, self._config.classifier_dropout)

    def attention(self, name: str, H: int, columns: Ids, extra_columns: Ids = NO_COLUMNS) -> Dropped | None:
        """Return which probabilities are dropped, for `banded`; None for none.

        columns, extra_columns: of the keys and of the extra keys, the place in their document
        """
        if not self.drops_probs:
            return None
        return Dropped(self._keys(name, H), columns, extra_columns, float(self._config.attention_dropout))

    def probs(self, name: str, probs: Floats) -> None:
        """Drop the same probabilities where they stand in a dense array, (H, rows, S), of all keys of one document."""
        if self.drops_probs:
            H, _, S = probs.shape
            drop(probs.reshape(-1, S), self._keys(name, H).reshape(-1), self._config.attention_dropout)

    @property
    def drops_probs(self) -> bool:
        return self._config.attention_dropout > 0

    def skips(self, name: str) -> bool:
        """Return True where a whole layer is left out; "encoder.layers.0" is for all documents or for none."""
        rate = self._config.encoder_layerdrop if name.startswith("encoder.") else self._config.decoder_layerdrop
        # subtle: a step of decoding asks for each layer, so nothing is drawn at rate 0.
        return rate > 0 and (rate == 1 or int(_mixed(self._seed ^ _hash(name))[0]) / 2**64 < rate)

    def _drop(self, name: str, x: Floats, rate: float) -> None:
        if rate:
            drop(x.reshape(len(self._rows), -1), self._keys(name, 1)[0], rate)

    def _keys(self, name: str, H: int) -> NDArray[np.uint32]:
        """Return a key for each head and row: (H, rows)."""
        names = np.array([_hash(f"{name} {h}") for h in range(H)], np.uint64)
        return np.asarray(_mixed(names[:, None] ^ self._rows) >> np.uint64(32), np.uint32)


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return numbers whose bits depend on all bits of `x`: the mixing of splitmix64 (Steele, Lea and Flood, 2014)."""
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)


def _hash(name: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big"))


NO_DROPOUT = Dropout(LEDConfig(dropout=0.0), 0, NO_COLUMNS, NO_COLUMNS)
