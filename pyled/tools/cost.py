"""What a summary will cost: seconds and bytes, from the shape of the model and two measured rates.

The operations and the bytes of each part are counted as the code works; the rates are those of this machine, times what
part of them pyled's kernels reach (the constants below).

Letters: S source tokens, E model size, F feed-forward size, w one-sided window.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np

from ..checkpoint.names import TIED, expected_shapes
from ..config import LEDConfig
from ..layers import FEED_FORWARD_ROWS

DType = Literal["float32", "float64"]

# Which part of the two rates pyled reaches. Measured in float32 with seeded weights in LED-base's shape, two threads of
# an otherwise idle machine (AVX-512), documents of 1,024, 4,096 and 16,384 tokens and 1 to 8 beams, the rates taken
# directly before and after each; chosen so that none of these is off by more than a fifth. Where other programs want
# the processors too, rates vary from moment to moment, and encoding or generating by a factor of two or three.
PRODUCTS = 0.58  # of the rate of products: the encoder's linear layers, with all that is between them
BAND = 0.17  # of it: the encoder's attention, with its softmax
ROWS = 0.13  # of it: what each row adds to a step, in `few_rows` and in the rules and the search over its scores
WEIGHTS = 0.95  # of the rate of reading: a step's weights
KEYS = 0.45  # of it: a step's keys and values of the source, for any few rows
STEP = 0.0015  # seconds of a step for Python

PROGRAM = 150_000_000  # bytes of Python, NumPy, Numba, the tokenizer and the compiled kernels
SCORES = 8  # arrays of a row's scores, at a time
LANES = 16  # the fewest queries that `banded` computes at a time
LARGE = 2**28  # bytes to measure the rate of reading with: more than caches hold


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
    """The rates of this machine, with the threads that are set: in about half a second, compiling nothing."""
    square = np.ones((1024, 1024), dtype)
    operations = 2 * 1024**3
    large = np.ones((LARGE // square[0].nbytes, 1024), dtype)
    row = square[0]
    return Rates(operations / _seconds(lambda: square @ square), large.nbytes / _seconds(lambda: large @ row))


def _seconds(work: Callable[[], object], spent: float = 0.2) -> float:
    """How long some work takes: the median of what fits into `spent` seconds, without the first half."""
    taken: list[float] = []
    began = time.perf_counter()
    while len(taken) < 4 or time.perf_counter() - began < spent:
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken[len(taken) // 2 :]))


def estimate(
    config: LEDConfig,
    chunks: Sequence[int],
    num_beams: int,
    max_new_tokens: int,
    rates: Rates,
    *,
    dtype: DType = "float32",
    global_tokens: int = 1,
    again: int | None = None,
) -> Estimate:
    """The cost of summarizing chunks of so many tokens, one after another, once the weights are in memory.

    chunks: the source tokens of each; global_tokens: those of each with global attention
    max_new_tokens: the most that are generated for each
    again: the most tokens of a chunk, where summaries are to be summarized again until there is one
    """
    size = np.dtype(dtype).itemsize
    product, band, row = (rates.products * part for part in (PRODUCTS, BAND, ROWS))  # operations per second
    weights, keys = (rates.reading * part / size for part in (WEIGHTS, KEYS))  # numbers per second
    encoding = generating = 0.0
    for S in [*chunks, *_later_chunks(chunks, max_new_tokens, again)]:
        encoding += product_operations(config, S, global_tokens) / product
        encoding += band_operations(config, S, global_tokens) / band
        read = step_weights(config)
        step = STEP + read / weights + 2 * num_beams * read / row + step_keys(config, S) / keys
        generating += key_operations(config, S) / product + max_new_tokens * step
    memory = _memory(config, max(chunks), num_beams, max_new_tokens, size, global_tokens)
    return Estimate(encoding, generating, memory)


def _later_chunks(chunks: Sequence[int], max_new_tokens: int, again: int | None) -> list[int]:
    """The chunks of the later rounds, if every summary becomes as long as it may."""
    later: list[int] = []
    while again is not None and len(chunks) > 1 and len(chunks) * max_new_tokens < sum(chunks):
        tokens = len(chunks) * max_new_tokens
        count = -(-tokens // again)
        chunks = [-(-tokens // count)] * count
        later += chunks
    return later


def product_operations(config: LEDConfig, S: int, global_tokens: int) -> int:
    """Floating-point operations of the encoder's matrix products: two for each weight and token."""
    E, F = config.d_model, config.encoder_ffn_dim
    squares = 6 if global_tokens else 4  # query, key, value, output; and key and value once more for global queries
    return 2 * S * config.encoder_layers * (squares * E * E + 2 * E * F)


def band_operations(config: LEDConfig, S: int, global_tokens: int) -> int:
    """Those of the encoder's attention: four for each query, key and number of a state."""
    pairs = 0
    for layer in range(config.encoder_layers):
        w = min(config.one_sided_window(layer), S - 1)
        pairs += S * (2 * w + 1) - w * (w + 1)  # fewer at both ends
        pairs += S * global_tokens
        pairs += -(-global_tokens // LANES) * LANES * S  # global queries see all
    return 4 * config.d_model * pairs


def key_operations(config: LEDConfig, S: int) -> int:
    """Those of the source's keys and values in the decoder, made once."""
    return 2 * S * config.decoder_layers * 2 * config.d_model**2


def step_weights(config: LEDConfig) -> int:
    """Weights that one step of decoding reads: of every layer, and of the head."""
    E, F = config.d_model, config.decoder_ffn_dim
    return config.decoder_layers * (6 * E * E + 2 * E * F) + config.vocab_size * E


def step_keys(config: LEDConfig, S: int) -> int:
    """Numbers of the source's keys and values, which one step reads, once for all rows."""
    return config.decoder_layers * 2 * S * config.d_model


def weight_count(config: LEDConfig) -> int:
    """Numbers of all weights, tied ones once."""
    tied = TIED[1:] if config.tie_word_embeddings else ()
    return sum(prod(shape) for name, shape in expected_shapes(config, "lm").items() if name not in tied)


def _memory(
    config: LEDConfig, S: int, num_beams: int, max_new_tokens: int, size: int, global_tokens: int
) -> dict[str, int]:
    """Bytes part by part, at the moment when they are most."""
    state = S * config.d_model * size
    inner = min(S, FEED_FORWARD_ROWS) * config.encoder_ffn_dim * size
    count = weight_count(config)
    moments = [
        # embedded tokens, hidden, two on the way to it, query, key, value, context; two more for global queries
        {"states": state * (10 if global_tokens else 8)},
        {"states": 4 * state, "feed-forward": inner},
        {
            "states": 3 * state,  # two of them on the way to keys and values
            "source keys": step_keys(config, S) * size,
            # twice, while the beams are put into another order
            "target keys": 2 * 2 * config.decoder_layers * num_beams * max_new_tokens * config.d_model * size,
            "scores": SCORES * num_beams * config.vocab_size * 4,
        },
        {"file": count * 4 if size > 4 else 0},  # while it is widened
    ]
    return {"program": PROGRAM, "weights": count * size} | max(moments, key=lambda parts: sum(parts.values()))
