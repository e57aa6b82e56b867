"""1. The optimizer: how gradients change weights.

A gradient has upstream's name of its weight. Tied names share one weight and one gradient: both are used once.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..annotations import checked_arguments
from ..arrays import Floats
from ..checkpoint.names import OPTIONAL, upstream_name
from ..errors import InputError, brief
from ..kernels.adamw import adamw
from ..kernels.rounded import frozen
from ..models import PreTrainedModel

SLICE = 2**16  # numbers whose squares are summed at a time, for a small error of the sum
NORM_EPSILON = 1e-6  # torch.nn.utils.clip_grad_norm_


@dataclass
class Moments:
    """What the optimizer remembers of a weight: means of its gradients and their squares, and how many there were."""

    mean: Floats
    square: Floats
    steps: int = 0


class AdamW:
    """torch's AdamW (Loshchilov and Hutter 2019), in place: `step` changes the weights of the model.

    lr: the learning rate, which may be set anew before each step
    moments: by upstream's name, the first of those that share a weight; for weights that had a gradient so far
    """

    @checked_arguments
    def __init__(
        self,
        model: PreTrainedModel,
        lr: Any = 1e-3,
        betas: Any = (0.9, 0.999),
        eps: Any = 1e-8,
        weight_decay: Any = 0.01,
        *,
        decays: Callable[[str], bool] = lambda name: True,
    ) -> None:
        """Take a model whose weights are not rounded.

        decays: returns, for upstream's name, whether the weight decays; torch's default is all. `decays_by_default` is
            the choice of transformers' Trainer

        Raises InputError for a number out of its range, and for a rounded model.
        """
        model._refuse_rounded("train")
        for name, value in (("lr", lr), ("eps", eps), ("weight_decay", weight_decay)):
            check_number(name, value)
        if not isinstance(betas, list | tuple) or len(betas) != 2:
            raise InputError(f"betas is {brief(betas)}: two numbers from 0 to below 1 were expected")
        for beta in betas:
            check_number("betas", beta, 1.0)
        self.lr, self.eps, self.weight_decay = float(lr), float(eps), float(weight_decay)
        self.betas = float(betas[0]), float(betas[1])
        self.moments: dict[str, Moments] = {}
        self._model, self._decays = model, decays
        self._names = {names[0]: names for names, _ in shared_weights(model)}
        self._weights: dict[str, Floats] = {}  # copies that can be written, by the first of their names
        if (buffer := model.weights.get(OPTIONAL)) is not None:
            # subtle: it is no weight, and alone it would hold the whole file of weights in memory
            model.weights = {**model.weights, OPTIONAL: frozen(np.array(buffer))}

    def step(self, gradients: Mapping[str, Floats]) -> None:
        """Change each weight that has a gradient; the others stay as they are, and so do their moments.

        gradients: by upstream's names, as `loss_and_gradients` returns them

        Raises InputError for a name that the model does not have, or another shape.
        """
        if unknown := gradients.keys() - {name for names in self._names.values() for name in names}:
            raise InputError(f"gradients has {brief(min(unknown))}: this model has no weight of that name")
        for name, names in self._names.items():
            gradient = next((gradients[other] for other in names if other in gradients), None)
            if gradient is not None:
                weight, moments = self.weight(name), self._moments_of(name, gradient)
                moments.steps += 1
                adamw(
                    weight, gradient, moments.mean, moments.square, moments.steps, lr=self.lr, betas=self.betas,
                    epsilon=self.eps, weight_decay=self.weight_decay if self._decays(name) else 0.0,
                )  # fmt: skip

    def weight(self, name: str) -> Floats:
        """Return a weight by its first name, to be written to; the model has what is written."""
        if name not in self._weights:
            weights = dict(self._model.weights)
            inner = [key for key in weights if upstream_name(key, self._model.head) in self._names[name]]
            copy = np.array(weights[inner[0]], order="C")
            self._weights[name] = copy
            shown = frozen(copy.view())  # subtle: one view for all tied names, which are known as tied by that
            self._model.weights = {**weights, **dict.fromkeys(inner, shown)}
        return self._weights[name]

    def _moments_of(self, name: str, gradient: Floats) -> Moments:
        weight = self._weights[name]
        if gradient.shape != weight.shape:
            raise InputError(f"gradients[{brief(name)}] has shape {gradient.shape}: {weight.shape} was expected")
        if name not in self.moments:
            self.moments[name] = Moments(np.zeros_like(weight), np.zeros_like(weight))
        return self.moments[name]


def slices(array: Floats) -> Iterator[Floats]:
    """Yield the numbers of an array in C order, SLICE at a time, as views."""
    flat = array.reshape(-1)
    return (flat[start : start + SLICE] for start in range(0, len(flat), SLICE))


def shared_weights(model: PreTrainedModel) -> list[tuple[list[str], Floats]]:
    """Return each weight that is learned, with all names under which upstream knows it: several where it is tied."""
    weights: dict[int, tuple[list[str], Floats]] = {}
    for name, array in model.weights.items():
        if name != OPTIONAL:  # a buffer, which is not learned
            weights.setdefault(id(array), ([], array))[0].append(upstream_name(name, model.head))
    return list(weights.values())


def decays_by_default(name: str) -> bool:
    """Return whether transformers' Trainer lets a weight decay: matrices and embeddings, no bias, no norm.

    >>> [decays_by_default(f"led.{name}") for name in ("shared.weight", "encoder.layers.0.fc1.bias")]
    [True, False]
    """
    return not name.endswith("bias") and "layer_norm" not in name and "layernorm" not in name


def clip_by_norm(gradients: Mapping[str, Floats], most: float) -> float:
    """Scale gradients in place so that the norm of all together is at most `most`; return the norm before.

    It is 1e-6 less, as torch's clip_grad_norm_ makes it. An array that tied names share counts once.
    """
    arrays = list({id(array): array for array in gradients.values()}.values())
    # subtle: einsum sums in one order; a BLAS would sum in another one with another number of threads
    squares = (float(np.einsum("i,i->", part, part)) for array in arrays for part in slices(array))
    norm = math.sqrt(math.fsum(squares))
    if norm + NORM_EPSILON > most and math.isfinite(norm):
        for array in arrays:
            array *= most / (norm + NORM_EPSILON)
    return norm


def check_number(name: str, value: Any, most: float = math.inf) -> None:
    """Raise InputError for what is no number from 0 to below `most`."""
    try:
        is_right = 0 <= float(value) < most and not isinstance(value, str | bool)
    except (TypeError, ValueError, OverflowError):
        is_right = False
    if not is_right:
        below = "" if most == math.inf else f" and below {most:g}"
        raise InputError(f"{name} is {brief(value)}: a number of at least 0{below} was expected")
