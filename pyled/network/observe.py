"""The observer: it sees the stages of a forward pass, under the names of the checkpoint's modules.

An observer of models/stacks.py keeps hidden states and attentions, and counts layers for progress. The definition takes
the same observer as its `see`. It reports more stages (every projection), and `probs` as one dense array.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

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
