"""The heads: the states of the decoder in, what the model is asked for out."""

import numpy as np

from ..arrays import Floats, Weights
from .layers import linear, product


def lm_logits(hidden: Floats, weights: Weights) -> Floats:
    """Return a score for every token of the vocabulary after every target token; equals `reference.lm_logits`.

    hidden: (B, T, E) float
    returns: (B, T, V) float
    """
    return product(hidden, weights["lm_head.weight"], weights["final_logits_bias"][0])


def qa_logits(hidden: Floats, weights: Weights) -> Floats:
    """Return the scores of every target token to be the answer's first, and its last; equals `reference.qa_logits`.

    hidden: (B, T, E) float
    returns: (B, T, 2) float
    """
    return linear(hidden, weights, "qa_outputs")


def classification_logits(state: Floats, weights: Weights) -> Floats:
    """Return the scores of all labels for each row, from one state of it; equals `reference.classification_logits`.

    state: (B, E) float
    returns: (B, num_labels) float
    """
    # subtle: a document of one row each, or else the number of documents would choose the kernel, and the last bits.
    inner = np.tanh(linear(state[:, None], weights, "classification_head.dense"))  # (B, 1, E)
    return linear(inner, weights, "classification_head.out_proj")[:, 0]
