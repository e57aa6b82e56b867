"""2. The learning rate: it rises while the optimizer's means are young, and falls towards the end."""

import math
from collections.abc import Callable

SCHEDULES = ("linear", "cosine", "constant")  # as transformers' Trainer names them; its "constant_with_warmup"


def schedule(kind: str, warmup: int, steps: int) -> Callable[[int], float]:
    """Return the function from a step, the first being 0, to the part of the learning rate that it has.

    It is that of get_linear_schedule_with_warmup and its namesakes (transformers 5.23.0, optimization.py).

    kind: one of SCHEDULES; warmup: steps over which the rate rises, from 0; steps: of the whole training

    >>> [schedule("linear", 2, 6)(step) for step in range(6)]
    [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]
    """

    def part(step: int) -> float:
        if step < warmup:
            return step / warmup
        done = (step - warmup) / max(1, steps - warmup)
        falling = {"linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done)), "constant": 1.0}
        return max(0.0, falling[kind])

    return part
