"""The observer: it sees the stages of a forward pass, under the names of the checkpoint's modules.

An observer of models/stacks.py keeps hidden states and attentions, and counts layers for progress; those of gradients/
keep what the backward pass needs. The definition takes the same observer as its `see`, and reports the same stages but
for these:

- `scores` and `probs` are one dense array there. Here the encoder's have three parts, which the observer of their
  document alone sees, and dropout is not yet applied to probabilities.
- Queries, keys and values of the encoder are (S, H, D) here, as keys and values of the source are, (tokens, H, D).
- `query_global`, `key_global` and `value_global` are seen by the observer of their document alone.
- Only here: the `log_sums` of an attention by the band, (S, H) or (R * T, H), the logarithms of the sums that its
  softmax divides by, before a row is replaced or set to 0.

A stage that dropout changes is seen after it.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from ..arrays import Floats


class Observer(Protocol):
    """Sees each stage as it is computed. It copies what it keeps: the network uses its arrays again."""

    def wants(self, name: str) -> bool:
        """Return True where the observer wants a stage that is computed for it alone."""
        ...

    def __call__(self, name: str, array: Floats) -> None:
        """See a stage; the array is valid until this returns."""
        ...


class _SeesNothing:
    def wants(self, name: str) -> bool:
        return False

    def __call__(self, name: str, array: Floats) -> None:
        pass


SEES_NOTHING: Observer = _SeesNothing()


class Parted:
    """An observer of arrays whose rows belong to several documents: the observer of each sees its rows.

    parts: the observers, each with its rows
    """

    def __init__(self, parts: Sequence[tuple[Observer, slice]]) -> None:
        self._parts = parts

    def wants(self, name: str) -> bool:
        return any(see.wants(name) for see, _ in self._parts)

    def __call__(self, name: str, array: Floats) -> None:
        for see, rows in self._parts:
            see(name, array[rows])


class Slices:
    """An observer of one slice of rows after the other: another observer sees each stage when the last has come.

    rows: the slice that comes next
    """

    def __init__(self, see: Observer, length: int) -> None:
        self.rows = slice(0, length)
        self._see, self._length, self._wholes = see, length, dict[str, Floats]()
        self.wants = see.wants

    def __call__(self, name: str, array: Floats) -> None:
        if not self.wants(name):
            return
        if name not in self._wholes:
            self._wholes[name] = np.empty((self._length, *array.shape[1:]), array.dtype)
        self._wholes[name][self.rows] = array
        if self.rows.stop == self._length:
            self._see(name, self._wholes.pop(name))


class Stages(dict[str, Floats]):
    """An observer that keeps copies of stages, by their names, in the order in which they are computed.

    picks: a test on a stage's name; all are kept by default
    """

    def __init__(self, picks: Callable[[str], bool] = lambda name: True) -> None:
        super().__init__()
        self.wants = picks

    def __call__(self, name: str, array: Floats) -> None:
        if self.wants(name):
            self[name] = array.copy()

    def ending(self, part: str) -> list[Floats]:
        """Return the stages whose names end so, in order."""
        return [array for name, array in self.items() if name.endswith(part)]
