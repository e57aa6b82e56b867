"""Weights in fewer bits: the matrices that a step of decoding reads, rounded once, when a model is loaded.

A step reads each of these matrices whole to multiply a few rows by it, so that it takes as long as reading them does.
They are widened on the way to the arithmetic, which stays in float32. All else stays in float32 altogether: the
encoder, which computes more than it reads; and the tables that rows are looked up in, also where one is tied to the
head, which then has a rounded copy of it.

A layer in int8 has the scales of its rows beside `weight` and `bias`, under the name `scale`.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import CheckpointError, InputError
from ..kernels.rounded import bf16, int8

Floats = NDArray[Any]
Storage = Literal["float32", "bf16", "int8"]

READ_BY_A_STEP = re.compile(
    r"decoder\.layers\.\d+\.(self_attn\.[kvq]_proj|encoder_attn\.q_proj|\w+_attn\.out_proj|fc[12])\.weight"
    r"|lm_head\.weight"
)


def check_storage(storage: Any, dtype: str) -> None:
    """Raises InputError for a storage that is none, or that is not for this float type; None is for each."""
    if storage is None:
        return
    if storage not in get_args(Storage):
        raise InputError(f"weights is {storage!r}: it is one of {', '.join(map(repr, get_args(Storage)))}")
    if dtype != "float32":
        raise InputError(
            f"weights {storage!r} with dtype {dtype!r}: they are computed with in float32; pass one of both"
        )


def narrowed(weights: Mapping[str, Floats], storage: str) -> dict[str, Floats]:
    """The weights with those that a step of decoding reads as "bf16" or "int8", read-only.

    weights: by their names, in float32

    Raises CheckpointError where one is infinite or NaN, which int8 is not.
    """
    made: dict[str, Floats] = {}
    for name, array in weights.items():
        if not READ_BY_A_STEP.fullmatch(name):
            made[name] = array
        elif storage == "bf16":
            made[name] = bf16(array)
        else:
            made[name], scale = int8(array)
            if not np.isfinite(scale).all():
                raise CheckpointError(f"{name} holds NaN or infinity, which int8 lacks: load it with weights 'float32'")
            made[f"{name.removesuffix('weight')}scale"] = scale
            scale.flags.writeable = False
        made[name].flags.writeable = False
    return made
