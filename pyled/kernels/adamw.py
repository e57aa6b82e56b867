"""AdamW's step, compiled: one pass over a weight, its gradient and two moments."""

import math

from numba import prange

from ..arrays import Floats
from .jit import kernel

PART = 16384  # numbers per task


@kernel(parallel=True)
def _adamw(weight, gradient, m, v, decay, one_minus_beta1, beta2, one_minus_beta2, rate, deviation, epsilon):
    size = weight.shape[0]
    for part in prange(-(-size // PART)):
        for i in range(part * PART, min(size, (part + 1) * PART)):
            g = gradient[i]
            m[i] += (g - m[i]) * one_minus_beta1
            v[i] = v[i] * beta2 + g * g * one_minus_beta2
            weight[i] = weight[i] * decay - rate * m[i] / (math.sqrt(v[i]) / deviation + epsilon)


def adamw(
    weight: Floats,
    gradient: Floats,
    m: Floats,
    v: Floats,
    step: int,
    *,
    lr: float,
    betas: tuple[float, float],
    epsilon: float,
    weight_decay: float,
) -> None:
    """Do one step of AdamW in place, as torch.optim.AdamW does (Loshchilov and Hutter, 2019, algorithm 2).

    weight, gradient: arrays of one shape, whose numbers are neighbours
    m, v: the moving averages of the gradient and of its square, of that shape; 0 before the first step
    step: 1 for the first
    """
    beta1, beta2 = betas
    rate, deviation = lr / (1 - beta1**step), math.sqrt(1 - beta2**step)
    factors = (1 - lr * weight_decay, 1 - beta1, beta2, 1 - beta2, rate, deviation, epsilon)
    arguments = *(array.reshape(-1) for array in (weight, gradient, m, v)), *map(weight.dtype.type, factors)
    _adamw(*arguments)
