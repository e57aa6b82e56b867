"""The losses that training and evaluation look at."""

import numpy as np

from ..arrays import Floats, Ids

IGNORED_LABEL = -100  # torch.nn.CrossEntropyLoss's default ignore_index


def cross_entropy(logits: Floats, labels: Ids, smoothing: float = 0.0) -> Floats:
    """Return the mean of -log p(label) over all labels of all rows but -100; NaN where there is none.

    Equals `reference.loss`. With smoothing, that share of -log p(label) is replaced by the mean of -log p over the
    whole vocabulary, as by transformers' LabelSmoother.

    logits: (..., V) float, or a number for each place or class
    labels: (...) int
    returns: () float
    """
    is_counted = labels != IGNORED_LABEL
    scores, targets = logits[is_counted], labels[is_counted]  # (labels, V), (labels,)
    if len(targets) == 0:
        return np.array(np.nan, logits.dtype)
    top = scores.max(axis=1)
    log_total = np.log(np.exp(scores - top[:, None]).sum(axis=1)) + top
    losses = log_total - scores[np.arange(len(targets)), targets]
    if smoothing:
        losses = (1 - smoothing) * losses + smoothing * (log_total - scores.mean(axis=1))
    return np.asarray(np.mean(losses))


def span_loss(start_logits: Floats, end_logits: Floats, starts: Ids, ends: Ids) -> Floats:
    """Return the mean of the cross-entropies of where answers start and end; equals `reference.span_loss`.

    start_logits, end_logits: (B, T) float
    starts, ends: (B,) int, as `place_labels` takes them
    returns: () float
    """
    T = start_logits.shape[1]
    of_start, of_end = (
        cross_entropy(logits, place_labels(places, T))
        for logits, places in ((start_logits, starts), (end_logits, ends))
    )
    return np.asarray((of_start + of_end) / 2)


def place_labels(places: Ids, T: int) -> Ids:
    """Return the labels that places among T tokens stand for: below 0 is as 0, and T or more is left out."""
    return np.where(places < T, np.maximum(places, 0), IGNORED_LABEL)


def squared_error(logits: Floats, values: Floats) -> Floats:
    """Return the mean of (logit - value)^2, of arrays of one shape; equals `reference.squared_error`."""
    return np.asarray(np.mean((logits - values) ** 2))


def binary_cross_entropy(logits: Floats, values: Floats) -> Floats:
    """Return the mean of -log p, where p is of a label being there (1) or not (0); equals its namesake in `reference`.

    logits, values: (B, num_labels) float
    returns: () float
    """
    # -value * log(sigmoid(x)) - (1 - value) * log(sigmoid(-x)), without a number beyond the type on the way
    losses = np.maximum(logits, 0) - logits * values + np.log1p(np.exp(-np.abs(logits)))
    return np.asarray(np.mean(losses))
