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
        decays: Callable[[str], bool] | None = None,
    ) -> None:
        """Take a model whose weights are not rounded.

        decays: returns, for upstream's name, whether the weight decays; None, torch's default, for all.
            `decays_by_default` is the choice of transformers' Trainer

        Raises InputError for a number out of its range, and for a rounded model.
        """
        model.refuse_rounded("train")
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
        if (buffer := model.weights.get(OPTIONAL)) is not None:
            # subtle: it is no weight, and alone it would hold the whole file of weights in memory
            model.weights = {**model.weights, OPTIONAL: frozen(np.array(buffer))}

    @checked_arguments
    def step(self, gradients: Mapping[str, Any]) -> None:
        """Change each weight that has a gradient; the others stay as they are, and so do their moments.

        The weights are those that the model has now. Each is copied before it is changed for the first time: what the
        model has handed out until then (a part, a copy with another window, a `state_dict`) keeps it as it was.

        gradients: by upstream's names, as `loss_and_gradients` returns them; None is as no gradient

        Raises InputError for a name that the model does not have, another shape, and what is no array of floats; then
        no weight has changed.
        """
        check_number("lr", self.lr)
        shared = shared_weights(self._model)
        if unknown := gradients.keys() - {name for names, _ in shared for name in names}:
            raise InputError(f"gradients has {brief(min(unknown))}: this model has no weight of that name")
        changed = []
        for names, weight in shared:
            gradient = next((gradients[name] for name in names if gradients.get(name) is not None), None)
            if gradient is not None:
                self._check(names[0], gradient, weight)
                changed.append((names[0], gradient.astype(weight.dtype, copy=False), weight))
        for name, gradient, shown in changed:
            weight, moments = self._writable(shown), self.moments.get(name)
            if moments is None:
                moments = self.moments[name] = Moments(np.zeros_like(weight), np.zeros_like(weight))
            moments.steps += 1
            adamw(
                weight, gradient, moments.mean, moments.square, moments.steps, lr=self.lr, betas=self.betas,
                epsilon=self.eps, weight_decay=self.weight_decay if self._decays is None or self._decays(name) else 0.0,
            )  # fmt: skip

    def weight(self, name: str) -> Floats:
        """Return a weight by upstream's name, to be written to; the model has what is written."""
        return self._writable(self._model.state_dict()[name])

    def _writable(self, shown: Floats) -> Floats:
        """Return what a weight of the model is a view of, which can be written to; first make it so."""
        weight = shown.base
        if not isinstance(weight, np.ndarray) or not weight.flags.writeable or weight.shape != shown.shape:
            weight = np.array(shown, order="C")
            view = frozen(weight.view())  # subtle: one view for all tied names, which are known as tied by that
            weights = self._model.weights
            self._model.weights = {name: view if array is shown else array for name, array in weights.items()}
        return weight

    def _check(self, name: str, gradient: Any, weight: Floats) -> None:
        """Raise InputError where a gradient is no array of floats in the shape of its weight and moments."""
        if not isinstance(gradient, np.ndarray) or gradient.dtype.kind != "f":
            raise InputError(f"gradients[{brief(name)}] is {brief(gradient)}: an array of floats was expected")
        if gradient.shape != weight.shape:
            raise InputError(f"gradients[{brief(name)}] has shape {gradient.shape}: {weight.shape} was expected")
        if name in self.moments and self.moments[name].mean.shape != weight.shape:
            raise InputError(
                f"{name} has shape {weight.shape} now, and had {self.moments[name].mean.shape} in the steps before: "
                "make a new AdamW for a model that was resized"
            )


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
