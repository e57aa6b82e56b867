"""Head masks: a factor for each head of attention, by which its probabilities are multiplied (transformers 4.57.6).

The context of a head is the product of its probabilities and values, and the output projection has columns of its own
for it. So the network runs as it is, without a mask, on weights in which these columns are multiplied.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats, Weights
from ..errors import InputError
from ..kernels.rounded import frozen, widened
from .arguments import checked_values

Factors = Mapping[str, Floats]  # of the heads, (H,), by the name of the attention: "decoder.layers.0.self_attn"

ATTENTIONS = {  # of layer {}, by the argument of a model that masks its heads
    "head_mask": "encoder.layers.{}.self_attn",
    "decoder_head_mask": "decoder.layers.{}.self_attn",
    "cross_attn_head_mask": "decoder.layers.{}.encoder_attn",
}


def factors(mask: ArrayLike | None, name: str, shape: tuple[int, int], dtype: Any) -> Factors:
    """Return the factors that the argument of that name states, of a shape (layers, H); none for None.

    Raises InputError.
    """
    if mask is None:
        return {}
    array = checked_values(mask, name, dtype)
    if array.shape != shape:
        raise InputError(f"{name} has shape {array.shape}: {shape} was expected, a number for each head of each layer")
    return {ATTENTIONS[name].format(i): heads for i, heads in enumerate(array)}


def masked(weights: Weights, factors: Factors) -> Weights:
    """Return weights with which each head counts as often as its factor says; a rounded matrix is widened for that.

    Of two heads, the first counts not at all and the second half:

    >>> name = "decoder.layers.0.self_attn"
    >>> masked({f"{name}.out_proj.weight": np.ones((2, 4))}, {name: np.array([0, 0.5])})[f"{name}.out_proj.weight"]
    array([[0. , 0. , 0.5, 0.5],
           [0. , 0. , 0.5, 0.5]])
    """
    multiplied = dict(weights)
    for attention, heads in factors.items():
        name = f"{attention}.{'output' if attention.startswith('encoder') else 'out_proj'}.weight"
        weight = widened(weights[name])  # (E, E)
        multiplied[name] = frozen(weight * np.repeat(heads, weight.shape[1] // len(heads)))
    return multiplied
