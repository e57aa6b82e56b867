"""The gradients of the weights: each is a sum, to which every place that uses the weight adds its part."""

from collections.abc import Callable

import numpy as np

from ..arrays import Floats, Weights


class Sums:
    """The gradients of a model's weights, each 0 when it is first asked for.

    A weight that no path of the loss reaches is never asked for, and so has no gradient. Weights that are tied, one
    array under several names, share one sum.

    weights: by their names; none is replaced while this lives
    is_trained: a test on a weight's name
    """

    def __init__(self, weights: Weights, is_trained: Callable[[str], bool] = lambda name: True) -> None:
        self._weights, self._is_trained = weights, is_trained
        self._sums: dict[int, Floats] = {}  # by the identity of the weight

    def of(self, name: str) -> Floats | None:
        """Return the array to add a weight's gradient to, in the weight's shape; None if the weight is not trained."""
        if not self._is_trained(name):
            return None
        weight = self._weights[name]
        if id(weight) not in self._sums:
            self._sums[id(weight)] = np.zeros(weight.shape, weight.dtype)
        return self._sums[id(weight)]

    def trains(self, *beginnings: str) -> bool:
        """Return True where any weight is trained whose name begins so."""
        return any(name.startswith(beginnings) and self._is_trained(name) for name in self._weights)

    def by_name(self) -> dict[str, Floats]:
        """Return the sums by the names of the weights; tied names have the same array."""
        return {name: self._sums[id(weight)] for name, weight in self._weights.items() if id(weight) in self._sums}
