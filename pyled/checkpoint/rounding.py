"""Weights in fewer bits, rounded once, when a model is loaded: of the decoder to read less, of the encoder to multiply.

A step of decoding multiplies a few rows by each of its matrices, so that it takes as long as reading them does. They
are widened on the way to the arithmetic, which stays in float32. The tables of embeddings stay in float32, too. A head
that is tied to one of those tables becomes a rounded copy of it.

The encoder computes more than it reads. Its matrices in int16 are multiplied as whole numbers, twice as many at a time
as in float32; and so are those that make the source's keys and values for the decoder, once for each document.
"""

import re
from typing import Literal

import numpy as np

from ..arrays import Weights
from ..errors import CheckpointError, InputError, brief

Storage = Literal["float32", "bf16", "int8"]  # of the matrices that a step of decoding reads
Arithmetic = Literal["float32", "int16"]  # of the encoder's products

READ_BY_A_STEP = re.compile(
    r"decoder\.layers\.\d+\.(self_attn\.[kvq]_proj|encoder_attn\.q_proj|\w+_attn\.out_proj|fc[12])\.weight"
    r"|lm_head\.weight"
)
# subtle: without those of global attention, whose few rows stay in float32.
MULTIPLIED_FOR_ALL_TOKENS = re.compile(
    r"encoder\.layers\.\d+\.(self_attn\.(longformer_self_attn\.(query|key|value)|output)|fc[12])\.weight"
    r"|decoder\.layers\.\d+\.encoder_attn\.[kv]_proj\.weight"
)


def check_rounding(weights: Storage | None, encoder: Arithmetic | None, dtype: str) -> None:
    """Raise InputError for one that is not for this float type; None is for each."""
    for name, value in {"weights": weights, "encoder": encoder}.items():
        if value is not None and dtype != "float32":
            raise InputError(
                f"{name} {brief(value)} with dtype {brief(dtype)}: it goes with float32 alone; pass one of both"
            )


def round_decoder(weights: Weights, storage: Storage) -> Weights:
    """Return the weights with the matrices that a step of decoding reads Rounded to "bf16" or "int8", read-only.

    weights: by their names, in float32

    Raises CheckpointError where one is infinite or NaN, which int8 is not.
    """
    return _rounded(weights, READ_BY_A_STEP, storage, "weights 'float32'")


def round_encoder(weights: Weights) -> Weights:
    """Return the weights with the matrices that are multiplied for all tokens of a source Rounded to int16, read-only.

    weights: by their names, in float32

    Raises CheckpointError where one is infinite or NaN, which int16 is not.
    """
    return _rounded(weights, MULTIPLIED_FOR_ALL_TOKENS, "int16", "encoder 'float32'")


def _rounded(weights: Weights, names: re.Pattern[str], storage: str, remedy: str) -> Weights:
    from ..kernels.rounded import frozen, rounded  # Numba, which other uses of weights need not wait for

    stored = dict(weights)
    for name in filter(names.fullmatch, weights):
        stored[name] = matrix = rounded(weights[name], storage)
        if matrix.scale is not None and not np.isfinite(matrix.scale).all():
            raise CheckpointError(f"{name} holds NaN or infinity, which {storage} lacks: load it with {remedy}")
        frozen(matrix)
    return stored
