"""What a summary will cost: seconds and bytes, from the shape of the model and two measured rates.

Letters: S source tokens, E model size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..config import LEDConfig

DType = Literal["float32", "float64"]


@dataclass(frozen=True)
class Rates:
    """What this machine does per second, with the threads that are set.

    products: floating-point operations of a large matrix product
    reading: bytes read from memory
    """

    products: float
    reading: float


@dataclass(frozen=True)
class Estimate:
    """What a summary costs.

    encoding: seconds; generating: seconds if every summary becomes as long as it may, so at most
    memory: bytes, part by part, at the moment when they are most in all
    """

    encoding: float
    generating: float
    memory: Mapping[str, int]

    @property
    def seconds(self) -> float:
        """Encoding and generating, at most."""
        return self.encoding + self.generating

    @property
    def peak(self) -> int:
        """Bytes of all parts together."""
        return sum(self.memory.values())


def measure(dtype: DType = "float32") -> Rates:
    """Measure the rates of this machine: some tenths of a second, with the threads that are set; compiles nothing."""
    raise NotImplementedError


def estimate(
    config: LEDConfig,
    chunks: Sequence[int],
    num_beams: int,
    max_new_tokens: int,
    rates: Rates,
    *,
    dtype: DType = "float32",
    global_tokens: int = 1,
) -> Estimate:
    """The cost of summarizing chunks of so many tokens, one after another.

    chunks: the source tokens of each; global_tokens: those of each with global attention
    max_new_tokens: the most that are generated for each
    """
    raise NotImplementedError
