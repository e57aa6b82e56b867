"""The losses that training and evaluation look at."""

import numpy as np

from ..arrays import Floats, Ids

IGNORED_LABEL = -100  # torch.nn.CrossEntropyLoss's default ignore_index


def cross_entropy(logits: Floats, labels: Ids) -> Floats:
    """Return the mean of -log p(label) over all labels of all rows but -100; NaN where there is none.

    Equals `reference.loss`.

    logits: (B, T, V) float
    labels: (B, T) int
    returns: () float
    """
    is_counted = labels != IGNORED_LABEL
    scores, targets = logits[is_counted], labels[is_counted]  # (labels, V), (labels,)
    if len(targets) == 0:
        return np.array(np.nan, logits.dtype)
    top = scores.max(axis=1)
    log_total = np.log(np.exp(scores - top[:, None]).sum(axis=1)) + top
    return np.asarray(np.mean(log_total - scores[np.arange(len(targets)), targets]))
