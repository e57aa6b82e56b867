"""The observer: it sees the stages of a forward pass, under the names of the checkpoint's modules.

Hidden states, attentions and progress are made by observers. The definition takes the same observer as its `see`.
"""

from collections.abc import Callable
from typing import Protocol

from ..arrays import Floats


class Observer(Protocol):
    """Sees each stage as it is computed. It copies what it keeps: the network uses its arrays again."""

    def wants(self, name: str) -> bool:
        """Tell whether a stage is to be computed that no result needs."""
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
