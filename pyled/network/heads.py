"""The heads: the states of the decoder in, what the model is asked for out."""

import numpy as np

from ..arrays import Floats, Weights
from .layers import fixed, linear, product
from .observe import SEES_NOTHING, Observer


def lm_logits(hidden: Floats, weights: Weights, see: Observer = SEES_NOTHING) -> Floats:
    """Return a score for every token of the vocabulary after every target token; equals `reference.lm_logits`.

    hidden: (B, T, E) float
    returns: (B, T, V) float
    """
    weight, bias = weights["lm_head.weight"], weights["final_logits_bias"][0]
    if see.wants("lm_head"):
        see("lm_head", product(hidden, weight, fixed(np.zeros_like(bias))))
    logits = product(hidden, weight, bias)
    see("logits", logits)
    if see.wants("tokens"):
        see("tokens", logits.argmax(axis=2))
    return logits


def qa_logits(hidden: Floats, weights: Weights, see: Observer = SEES_NOTHING) -> Floats:
    """Return the scores of every target token to be the answer's first, and its last; equals `reference.qa_logits`.

    hidden: (B, T, E) float
    returns: (B, T, 2) float
    """
    logits = linear(hidden, weights, "qa_outputs")
    see("qa_outputs", logits)
    return logits


def classification_logits(state: Floats, weights: Weights, see: Observer = SEES_NOTHING) -> Floats:
    """Return the scores of all labels for each row, from one state of it; equals `reference.classification_logits`.

    state: (B, E) float
    returns: (B, num_labels) float
    """
    # subtle: a document of one row each, or else the number of documents would choose the kernel, and the last bits.
    inner = linear(state[:, None], weights, "classification_head.dense")  # (B, 1, E)
    see("classification_head.dense", inner[:, 0])
    logits = linear(np.tanh(inner), weights, "classification_head.out_proj")[:, 0]
    see("classification_head.out_proj", logits)
    return logits
