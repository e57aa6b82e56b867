"""The heads: the states of the decoder in, what the model is asked for out."""

from ..arrays import Floats, Weights
from .layers import product


def lm_logits(hidden: Floats, weights: Weights) -> Floats:
    """Return a score for every token of the vocabulary after every target token; equals `reference.lm_logits`.

    hidden: (B, T, E) float
    returns: (B, T, V) float
    """
    return product(hidden, weights["lm_head.weight"], weights["final_logits_bias"][0])
