"""Weights in fewer bits: the matrices that a step of decoding reads, rounded once, when a model is loaded.

A step multiplies a few rows by each of these matrices, so that it takes as long as reading them does. They are widened
on the way to the arithmetic, which stays in float32. Everything else stays in float32: the encoder, which computes more
than it reads; and the tables of embeddings. A head that is tied to one of those tables becomes a rounded copy of it.
"""

import re
from typing import Any, Literal, get_args

import numpy as np

from ..arrays import Weights
from ..errors import CheckpointError, InputError, brief

Storage = Literal["float32", "bf16", "int8"]

READ_BY_A_STEP = re.compile(
    r"decoder\.layers\.\d+\.(self_attn\.[kvq]_proj|encoder_attn\.q_proj|\w+_attn\.out_proj|fc[12])\.weight"
    r"|lm_head\.weight"
)


def check_storage(storage: Any, dtype: str) -> None:
    """Raise InputError for a storage that does not exist, or that is not for this float type; None is for each."""
    if storage is None:
        return
    if storage not in get_args(Storage):
        raise InputError(f"weights is {brief(storage)}: it is one of {', '.join(map(repr, get_args(Storage)))}")
    if dtype != "float32":
        raise InputError(
            f"weights {brief(storage)} with dtype {brief(dtype)}: they are computed with in float32; pass one of both"
        )


def round_decoder(weights: Weights, storage: str) -> dict[str, Any]:
    """Return the weights with the matrices that a step of decoding reads Rounded to "bf16" or "int8", read-only.

    weights: by their names, in float32

    Raises CheckpointError where one is infinite or NaN, which int8 is not.
    """
    from ..kernels.rounded import frozen, rounded  # Numba, which other uses of weights need not wait for

    stored = dict(weights)
    for name in filter(READ_BY_A_STEP.fullmatch, weights):
        stored[name] = matrix = rounded(weights[name], storage)
        if matrix.scale is not None and not np.isfinite(matrix.scale).all():
            raise CheckpointError(f"{name} holds NaN or infinity, which int8 lacks: load it with weights 'float32'")
        frozen(matrix)
    return stored
