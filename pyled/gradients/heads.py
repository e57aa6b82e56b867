"""The backward of the heads: the decoder's states in, the loss and the gradient of these states out."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..arrays import Floats, Ids, Weights
from ..kernels.products import back_to_rows, back_to_weight
from ..network import heads as forward
from ..network.dropout import NO_DROPOUT, Dropout
from ..network.layers import linear as forward_linear
from ..network.layers import product
from ..network.losses import IGNORED_LABEL
from ..network.observe import SEES_NOTHING, Observer
from .layers import linear
from .losses import LossAndGradient, cross_entropy, span_loss
from .sums import Sums

LOGITS = 1 << 22  # numbers of a block of logits at most, 16 MiB in float32, unless one row has more


@dataclass(frozen=True)
class Step:
    """What a head needs for a step of training.

    dropout: of the rows of all targets, B * T
    count: by how many labels the loss is divided, see `losses`
    smoothing: see `losses.cross_entropy`
    """

    weights: Weights
    sums: Sums
    dropout: Dropout = NO_DROPOUT
    count: int | None = None
    smoothing: float = 0.0
    see: Observer = SEES_NOTHING


def lm_logits(hidden: Floats, labels: Ids, step: Step) -> LossAndGradient:
    """Return the loss of target tokens, and the gradient of the decoder's states.

    Logits exist for a block of rows at a time, and only for rows whose label counts: those of all rows, (B * T, V),
    would be larger than all that the decoder keeps.

    hidden: (B, T, E) float
    labels: (B, T) int
    returns: () float, and (B, T, E) float
    """
    weight, bias = step.weights["lm_head.weight"], step.weights["final_logits_bias"][0]
    (V, E), sums, see = weight.shape, step.sums, step.see
    rows, targets = hidden.reshape(-1, E), labels.reshape(-1)
    counted = np.flatnonzero(targets != IGNORED_LABEL)
    count = max(1, len(counted)) if step.count is None else step.count
    d_rows, d_weight = np.zeros_like(rows), sums.of("lm_head.weight")
    d_logits = np.zeros((len(rows), V), rows.dtype) if see.wants("logits") else None
    loss = 0.0 if len(counted) or step.count is not None else np.nan
    size = max(1, LOGITS // V)
    for block in (counted[first : first + size] for first in range(0, len(counted), size)):
        x = rows[block]
        of_block, upstream = cross_entropy(product(x, weight, bias), targets[block], count, step.smoothing)
        loss += float(of_block)
        if d_logits is not None:
            d_logits[block] = upstream
        if d_weight is not None:
            back_to_weight(upstream, x, d_weight, None)
        d_x = np.empty_like(x)
        back_to_rows(upstream, weight, d_x)
        d_rows[block] = d_x
    if d_logits is not None:
        see("logits", d_logits.reshape(*labels.shape, V))
    return np.array(loss, rows.dtype), d_rows.reshape(hidden.shape)


def qa_logits(hidden: Floats, starts: Ids, ends: Ids, step: Step) -> LossAndGradient:
    """Return the loss of where answers start and end, and the gradient of the decoder's states.

    hidden: (B, T, E) float
    starts, ends: (B,) int
    returns: () float, and (B, T, E) float
    """
    loss, upstream = span_loss(forward.qa_logits(hidden, step.weights), starts, ends, step.count)
    step.see("qa_outputs", upstream)
    return loss, linear(upstream, hidden, step.weights, "qa_outputs", step.sums)


def classification_logits(
    hidden: Floats, last: Ids, loss: Callable[[Floats], LossAndGradient], step: Step
) -> LossAndGradient:
    """Return the loss of each text's labels, and the gradient of the decoder's states.

    hidden: (B, T, E) float
    last: (B,) int, the place of the state that the head reads
    loss: of logits, (B, num_labels) float, with its gradient
    returns: () float, and (B, T, E) float
    """
    B, T, E = hidden.shape
    dense, out_proj = "classification_head.dense", "classification_head.out_proj"
    dropout, weights, sums = step.dropout.part(np.arange(B) * T + last), step.weights, step.sums
    state = hidden[np.arange(B), last]  # (B, E), a copy
    dropout.classifier(dense, state)
    inner = np.tanh(forward_linear(state[:, None], weights, dense))[:, 0]  # (B, E)
    dropped = inner.copy()
    dropout.classifier(out_proj, dropped)
    value, upstream = loss(forward_linear(dropped[:, None], weights, out_proj)[:, 0])
    step.see(out_proj, upstream)
    d_inner = linear(upstream, dropped, weights, out_proj, sums)
    dropout.classifier(out_proj, d_inner)
    d_inner *= 1 - inner * inner  # the derivative of tanh
    step.see(dense, d_inner)
    d_state = linear(d_inner, state, weights, dense, sums)
    dropout.classifier(dense, d_state)
    d_hidden = np.zeros_like(hidden)
    d_hidden[np.arange(B), last] = d_state
    return value, d_hidden
