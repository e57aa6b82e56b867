"""The losses, each with its gradient: how the loss changes with every logit.

A loss is a mean. `count` says by how many labels the sum is divided: by its own where it is None, and by those of the
whole batch where the batch comes in parts, so that the losses and the gradients of the parts add up to those of the
whole.
"""

import numpy as np

from ..arrays import Floats, Ids
from ..network import losses as forward
from ..network.attention import softmax
from ..network.losses import IGNORED_LABEL, place_labels

LossAndGradient = tuple[Floats, Floats]  # (), and an array of the logits' shape


def cross_entropy(logits: Floats, labels: Ids, count: int | None = None, smoothing: float = 0.0) -> LossAndGradient:
    """Return the loss of `network.losses.cross_entropy` and its gradient.

    With p = softmax(logits), the loss of a row is -(1 - smoothing) log p(label) - smoothing * mean(log p). Its
    gradient is p, less 1 - smoothing at the label, less smoothing / V everywhere. A row whose label is -100 gets 0.

    logits: (..., V) float
    labels: (...) int
    returns: () float, and (..., V) float
    """
    is_counted = labels != IGNORED_LABEL
    targets = labels[is_counted]  # (labels,)
    loss = forward.cross_entropy(logits, labels, smoothing)
    loss, divisor = _divided(loss, len(targets), count)
    probs = softmax(logits[is_counted])  # (labels, V)
    probs -= smoothing / logits.shape[-1]
    probs[np.arange(len(targets)), targets] -= 1 - smoothing
    probs /= divisor
    if is_counted.all():
        return loss, probs.reshape(logits.shape)
    gradient = np.zeros_like(logits)
    gradient[is_counted] = probs
    return loss, gradient


def span_loss(logits: Floats, starts: Ids, ends: Ids, count: int | None = None) -> LossAndGradient:
    """Return the loss of `network.losses.span_loss` and its gradient.

    logits: (B, T, 2) float, of each place to be the start and the end
    starts, ends: (B,) int
    returns: () float, and (B, T, 2) float
    """
    T = logits.shape[1]
    (of_start, d_start), (of_end, d_end) = (
        cross_entropy(logits[:, :, side], place_labels(places, T), count) for side, places in enumerate((starts, ends))
    )
    gradient = np.stack([d_start, d_end], axis=2)
    gradient /= 2
    return np.asarray((of_start + of_end) / 2), gradient


def squared_error(logits: Floats, values: Floats, count: int | None = None) -> LossAndGradient:
    """Return the loss of `network.losses.squared_error` and its gradient, 2 (logit - value) / count."""
    loss, divisor = _divided(forward.squared_error(logits, values), values.size, count)
    return loss, 2 * (logits - values) / logits.dtype.type(divisor)


def binary_cross_entropy(logits: Floats, values: Floats, count: int | None = None) -> LossAndGradient:
    """Return the loss of its namesake in `network.losses` and its gradient, (sigmoid(logit) - value) / count."""
    loss, divisor = _divided(forward.binary_cross_entropy(logits, values), values.size, count)
    sigmoid = (np.tanh(logits / 2) + 1) / 2  # subtle: 1 / (1 + exp(-x)), without a number beyond the type on the way
    return loss, (sigmoid - values) / logits.dtype.type(divisor)


def _divided(loss: Floats, labels: int, count: int | None) -> tuple[Floats, int]:
    """Return a mean over so many labels as the part of the mean over `count` that it is, and the divisor.

    A part without any label adds 0 to the whole. Alone it has no mean: its loss is NaN, its gradient 0.
    """
    if count is None:
        return loss, max(labels, 1)
    return np.asarray(loss * loss.dtype.type(labels / count) if labels else np.zeros_like(loss)), count
