"""13. What a summary costs: seconds and bytes, from the shape of the model and two rates of a machine.

Operations and bytes are counted as the code works. The constants say which part of a rate pyled reaches.

Letters: S source tokens, E model size, F feed-forward size, w one-sided window.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from math import prod

import numpy as np

from ..arrays import physical_memory
from ..checkpoint import Arithmetic, Storage
from ..checkpoint.names import TIED, expected_shapes
from ..config import LEDConfig
from ..kernels.vectors import HAS_AVX512
from ..models import DType
from ..network.attention import FEW_GLOBAL
from ..network.layers import SLICE_ROWS, dots

# Measured in float32 with seeded weights in LED-base's shape, two threads (AVX2, AVX-512), documents of 1,100 to 16,384
# tokens, 1 and 4 beams. The seven times of docs/speed.md are off by a fifth at most; other programs may double them.
PRODUCTS = 0.75  # of the rate of products: the encoder's linear layers, with all that is between them
BAND = 0.6  # of it: the encoder's attention, with its softmax
INT16 = 1.6 if HAS_AVX512 else 1.3  # times as fast as in float32: linear layers and attention in int16
ROWS = 0.8  # of it: what each row adds to a step, in `few_rows` and in the rules and the search over its scores
WEIGHTS = 0.85  # of the rate of reading: a step's weights
KEYS = 0.6  # of it: a step's keys and values of the source, for any few rows
STEP = 0.002  # seconds of a step for Python

PROGRAM = 150_000_000  # bytes of Python, NumPy, Numba, the tokenizer and the compiled kernels
SCORES = 8  # arrays of a row's scores, at a time
NARROW: dict[str | None, int] = {"bf16": 2, "int16": 2, "int8": 1}  # bytes of a number
LARGE = 2**28  # bytes to measure the rate of reading with: more than caches hold


MOST_ROWS = 128  # of a step of decoding; with more of them, a chunk takes no less time
SHARE = 8  # the part of the machine's memory that chunks at work may take: 1 / SHARE

Batches = Callable[[Sequence[int]], list[list[int]]]  # the tokens of chunks -> which are decoded together, by places


@dataclass(frozen=True)
class Rates:
    """What a machine does in a second, with the threads that are set."""

    products: float  # floating-point operations of a large matrix product
    reading: float  # bytes from memory


TYPICAL = Rates(2e11, 2e10)  # two cores


@dataclass(frozen=True)
class Estimate:
    """What a summary of the greatest length costs."""

    encoding: float  # seconds
    generating: float  # seconds
    memory: Mapping[str, int]  # bytes, part by part, at the moment when they are most in all
    together: int = 1  # the most chunks that are decoded together
    of_chunks: int = 1  # bytes that these take, once the weights are in memory

    @property
    def seconds(self) -> float:
        """Seconds of both stages."""
        return self.encoding + self.generating


def measure(dtype: DType = "float32", *, side: int = 1024, spent: float = 0.2) -> Rates:
    """Measure the rates of pyled's products: with square matrices of a side, at least `spent` seconds for each rate."""
    square, row = np.ones((side, side), dtype), np.ones((1, 1024), dtype)
    large = np.ones((LARGE // row.nbytes, 1024), dtype)
    products = 2 * side**3 / _seconds(lambda: dots(square, square), spent)
    return Rates(products, large.nbytes / _seconds(lambda: dots(row, large), spent))


def _seconds(work: Callable[[], object], spent: float) -> float:
    """Return how long some work takes: the median of what fits into `spent` seconds, without the first half."""
    taken, began = list[float](), time.perf_counter()
    while len(taken) < 4 or time.perf_counter() - began < spent:
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken[len(taken) // 2 :]))


def one_by_one(sizes: Sequence[int]) -> list[list[int]]:
    """Return each chunk alone."""
    return [[place] for place in range(len(sizes))]


def together(sizes: Sequence[int], rows: int, memory: Callable[[int], int]) -> list[list[int]]:
    """Return which chunks are decoded together, of like length, by their places.

    sizes: their tokens; rows: of each, in a step; memory: the bytes of one with so many tokens

    >>> together([9, 90, 10, 80, 8], rows=64, memory=lambda tokens: tokens)
    [[0, 2], [1, 3], [4]]
    """
    result: list[list[int]] = []
    most = 0
    for place in sorted(range(len(sizes)), key=lambda place: -sizes[place]):
        if not result or len(result[-1]) == most:
            result.append([])
            most = max(1, min(MOST_ROWS // rows, physical_memory() // SHARE // memory(sizes[place])))
        result[-1].append(place)
    return sorted(sorted(batch) for batch in result)


def estimate(
    config: LEDConfig,
    texts: Sequence[Sequence[int]],
    num_beams: int,
    max_new_tokens: int,
    rates: Rates,
    *,
    dtype: DType = "float32",
    weights: Storage | None = None,
    encoder: Arithmetic | None = None,
    global_tokens: int = 1,
    again: int | None = None,
    batches: Batches = one_by_one,
) -> Estimate:
    """Return the cost of summarizing texts, once the weights are in memory.

    texts: the source tokens of each chunk of each; global_tokens: those of a chunk with global attention
    max_new_tokens: the most that are generated for each
    weights: the type of a step's weights and of the source's keys and values, if it is not dtype
    encoder: what the encoder multiplies, and the type of the source's keys and values, if neither is dtype
    again: the most tokens of a chunk, if summaries are summarized again until there is one
    batches: which chunks are decoded together
    """
    size = np.dtype(dtype).itemsize
    width = NARROW.get(weights, size)  # bytes of a weight that a step reads
    key_width = min(width, NARROW.get(encoder, size))  # of a number of the source's keys and values
    faster = INT16 if encoder == "int16" else 1
    product, band, row = (rates.products * part for part in (PRODUCTS * faster, BAND * faster, ROWS))  # in a second
    read = step_weights(config)
    step, step_row = STEP + read * width / (rates.reading * WEIGHTS), 2 * num_beams * read / row
    encoding = generating = 0.0
    rounds = zip_longest(*(_rounds(chunks, max_new_tokens, again) for chunks in texts), fillvalue=())
    of_each = [
        [sizes[i] for i in batch] for sizes in map(list, map(chain.from_iterable, rounds)) for batch in batches(sizes)
    ]
    for sizes in of_each:
        generating += max_new_tokens * step
        for S in sizes:
            encoding += product_operations(config, S, global_tokens) / product
            encoding += band_operations(config, S, global_tokens) / band
            keys = step_keys(config, S) * key_width / (rates.reading * KEYS)
            generating += key_operations(config, S) / product + max_new_tokens * (step_row + keys)
    moments = [_moments(config, sizes, num_beams, max_new_tokens, size, key_width, global_tokens) for sizes in of_each]
    parts = max((parts for of_batch in moments for parts in of_batch), key=_sum)
    file = {"file": weight_count(config) * 4 if size > 4 else 0}  # while it is widened
    held = {"program": PROGRAM, "weights": weight_bytes(config, weights, encoder, size)}
    memory = held | max(parts, file, key=_sum)
    return Estimate(encoding, generating, memory, max(map(len, of_each)), _sum(parts))


def _sum(parts: Mapping[str, int]) -> int:
    return sum(parts.values())


def _rounds(chunks: Sequence[int], max_new_tokens: int, again: int | None) -> Iterator[Sequence[int]]:
    """Yield the chunks of each round, if every summary has its greatest length."""
    yield chunks
    while again is not None and len(chunks) > 1 and len(chunks) * max_new_tokens < sum(chunks):
        tokens = len(chunks) * max_new_tokens
        count = -(-tokens // again)
        chunks = [-(-tokens // count)] * count
        yield chunks


def _are_few(config: LEDConfig, global_tokens: int) -> bool:
    """Say whether the states stand in for global keys and values, see `attention.encoder_self_attention`."""
    return global_tokens * FEW_GLOBAL <= config.d_model // config.encoder_attention_heads


def product_operations(config: LEDConfig, S: int, global_tokens: int) -> int:
    """Return the operations of the encoder's matrix products: two for each weight and token."""
    E, F = config.d_model, config.encoder_ffn_dim
    squares = 4 if _are_few(config, global_tokens) else 6  # query, key, value, output; global keys and values
    return 2 * S * config.encoder_layers * (squares * E * E + 2 * E * F)


def band_operations(config: LEDConfig, S: int, global_tokens: int) -> int:
    """Return those of the encoder's attention: four for each query, key and number of what stands for a key."""
    pairs = 0
    for layer in range(config.encoder_layers):
        w = min(config.one_sided_window(layer), S - 1)
        pairs += S * (2 * w + 1) - w * (w + 1)  # fewer at both ends
        pairs += S * global_tokens  # the columns that all see
        # The rows that see all; where they are few, each head sees the states, as long as all heads' keys together.
        pairs += global_tokens * S * (config.encoder_attention_heads if _are_few(config, global_tokens) else 1)
    return 4 * config.d_model * pairs


def key_operations(config: LEDConfig, S: int) -> int:
    """Return those of the source's keys and values in the decoder, made once."""
    return 2 * S * config.decoder_layers * 2 * config.d_model**2


def step_weights(config: LEDConfig) -> int:
    """Return the weights that one step of decoding reads: of every layer, and of the head."""
    E, F = config.d_model, config.decoder_ffn_dim
    return config.decoder_layers * (6 * E * E + 2 * E * F) + config.vocab_size * E


def step_keys(config: LEDConfig, S: int) -> int:
    """Return the numbers of the source's keys and values, which one step reads, once for all rows."""
    return config.decoder_layers * 2 * S * config.d_model


def weight_count(config: LEDConfig) -> int:
    """Return the numbers of all weights, tied ones once."""
    tied = TIED[1:] if config.tie_word_embeddings else ()
    return sum(prod(shape) for name, shape in expected_shapes(config, "lm").items() if name not in tied)


def multiplied_weights(config: LEDConfig) -> int:
    """Return the weights of the products for all tokens of a source, of the encoder and for the decoder's keys."""
    E, F = config.d_model, config.encoder_ffn_dim
    return config.encoder_layers * (4 * E * E + 2 * E * F) + config.decoder_layers * 2 * E * E


def weight_bytes(config: LEDConfig, weights: Storage | None, encoder: Arithmetic | None, size: int = 4) -> int:
    """Return the bytes of all weights in memory, where those that are not rounded have `size` bytes for a number."""
    count = weight_count(config) * size - multiplied_weights(config) * (size - NARROW.get(encoder, size))
    if weights in NARROW:  # all but the embeddings, which the encoder reads too
        tied = config.vocab_size * config.d_model if config.tie_word_embeddings else 0
        count -= (step_weights(config) - tied) * size - step_weights(config) * NARROW[weights]
    return count


def _moments(
    config: LEDConfig, sizes: Sequence[int], num_beams: int, max_new_tokens: int, size: int, key_width: int,
    global_tokens: int,
) -> list[dict[str, int]]:  # fmt: skip
    """Return bytes part by part while chunks are encoded together, and while they are decoded.

    sizes: their tokens; size, key_width: bytes of a number, and of one of the source's keys and values
    """
    S, R = sum(sizes), num_beams * len(sizes)
    # three arrays of scores on the way to probabilities; or keys and values
    are_few, scores = _are_few(config, global_tokens), 3 * global_tokens * config.encoder_attention_heads
    row = scores if are_few else 2 * config.d_model
    state = S * config.d_model * size
    inner = min(S, SLICE_ROWS) * config.encoder_ffn_dim * size
    return [
        # embedded tokens, and what becomes of them; query, key, value; the context
        {"states": 6 * state, "feed-forward": inner, "global rows": row * S * size if global_tokens else 0},
        {
            "states": state,
            "source keys": step_keys(config, S) * key_width,
            # twice, while the beams are put into another order
            "target keys": 2 * 2 * config.decoder_layers * R * max_new_tokens * config.d_model * size,
            "scores": SCORES * R * config.vocab_size * 4,
        },
    ]
