"""5. What a step takes, in seconds and bytes, before there is any: from the shapes, as in `tasks/cost.py`.

Letters: S source tokens, T target tokens, E model size, F feed-forward size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..arrays import physical_memory
from ..config import LEDConfig
from ..models import LEDForConditionalGeneration
from ..network.layers import SLICE_ROWS
from ..tasks.cost import (
    BAND,
    PRODUCTS,
    PROGRAM,
    Rates,
    band_operations,
    key_operations,
    product_operations,
    step_weights,
)
from .examples import Example, Order
from .optimizer import shared_weights

Checkpointing = Literal["keep", "selective", "recompute"]
POLICIES: tuple[Checkpointing, ...] = ("keep", "selective", "recompute")  # the fastest first

SAMPLED = 50  # steps whose times are averaged
SHARE = 0.8  # the part of the machine's memory that `auto` fills
# What a layer of the encoder keeps, in states of E numbers for each token; `keep` has two of F numbers besides.
_STATES = {"keep": 8, "selective": 6, "recompute": 1}
# Which part of a forward pass is computed once more.
_AGAIN_PRODUCTS = {"keep": 0.0, "selective": 0.5, "recompute": 1.0}
_AGAIN_BAND = {"keep": 0.0, "selective": 0.0, "recompute": 1.0}
BACK_PRODUCTS = 2  # of a product: one for its input, one for its weight
BACK_BAND = 2.5  # of attention: its scores once more, and the gradients of probabilities, query, key and value


@dataclass(frozen=True)
class Forecast:
    """What a step takes. memory: in bytes, part by part, at the moment when they are most in all."""

    seconds: float
    memory: Mapping[str, int]

    @property
    def bytes(self) -> int:
        """The bytes of all parts."""
        return sum(self.memory.values())


def forecast(
    config: LEDConfig,
    batches: Sequence[Sequence[tuple[int, int]]],
    policy: Checkpointing,
    rates: Rates,
    *,
    size: int,
    weights: int,
    trained: int,
    trains_encoder: bool,
    global_tokens: int = 1,
) -> Forecast:
    """Return what a step of some batches takes.

    batches: for each, the source tokens and the target tokens of its documents
    size: bytes of a number; weights, trained: the numbers of all weights, and of those that are trained
    """
    products = band = 0.0
    E = config.d_model
    again_products, again_band = _AGAIN_PRODUCTS[policy], _AGAIN_BAND[policy]
    for S, T in (pair for batch in batches for pair in batch):
        encoder = product_operations(config, S, global_tokens), band_operations(config, S, global_tokens)
        target = 2 * T * step_weights(config), 4 * E * config.decoder_layers * T * (S + T / 2)
        products += encoder[0] * (1 + (BACK_PRODUCTS + again_products if trains_encoder else 0))
        band += encoder[1] * (1 + (BACK_BAND + again_band if trains_encoder else 0))
        products += target[0] * (1 + BACK_PRODUCTS + again_products) + key_operations(config, S) * (1 + BACK_PRODUCTS)
        band += target[1] * (1 + BACK_BAND + again_band)
    seconds = products / (rates.products * PRODUCTS) + band / (rates.products * BAND)
    seconds += trained * size * 7 / rates.reading  # the optimizer reads four arrays, and writes three
    moments = [_moment(config, batch, policy, size, trains_encoder) for batch in batches]
    activations = max(moments, key=lambda parts: sum(parts.values()))
    held = {"program": PROGRAM, "weights": weights * size, "gradients": trained * size, "optimizer": 2 * trained * size}
    if len(batches) > 1:
        held["gradients"] *= 2  # those of a batch, and their sum
    return Forecast(seconds, held | activations)


def _moment(
    config: LEDConfig, batch: Sequence[tuple[int, int]], policy: Checkpointing, size: int, trains_encoder: bool
) -> dict[str, int]:
    """Return the bytes of what a batch keeps for its backward pass, and of what a layer needs meanwhile."""
    S, T = sum(source for source, _ in batch), len(batch) * max(target for _, target in batch)
    E, F, V = config.d_model, config.encoder_ffn_dim, config.vocab_size
    of_layer = _STATES[policy] * E + (2 * F if policy == "keep" else 0)
    depth = config.encoder_layers if trains_encoder else 0
    return {
        "kept": (depth * S + config.decoder_layers * T) * of_layer * size + S * E * size,
        # the states, query, key, value, context and their gradients; the keys and values of the source, and theirs
        "a layer": (12 if trains_encoder else 7) * S * E * size + 12 * T * E * size,
        "feed-forward": 3 * min(max(S, T), SLICE_ROWS) * F * size,
        "logits": 2 * min(T, SLICE_ROWS) * V * size,
    }


def forecast_training(
    model: LEDForConditionalGeneration,
    trained: set[str],
    order: Order,
    examples: Sequence[Example],
    policy: Checkpointing,
    rates: Rates,
) -> Forecast:
    """Return what a step takes: the mean seconds of some steps of the first epoch, and the bytes of the largest."""
    shapes = [[[examples[i].shape for i in batch] for batch in batches] for batches in order.steps(0)]
    weights = {names[0]: array.size for names, array in shared_weights(model)}
    sizes: dict[str, Any] = {
        "size": model.dtype.itemsize,
        "weights": sum(weights.values()),
        "trained": sum(count for name, count in weights.items() if name in trained),
        "trains_encoder": any(name.startswith(("led.encoder.", "led.shared.")) for name in trained),
        "global_tokens": max(int(one.is_global.sum()) for one in examples),
    }
    timed = shapes[:: max(1, len(shapes) // SAMPLED)]
    seconds = [forecast(model.config, step, policy, rates, **sizes).seconds for step in timed]
    largest = max(shapes, key=lambda step: max(sum(S for S, _ in batch) for batch in step))
    memory = forecast(model.config, largest, policy, rates, **sizes).memory
    return Forecast(sum(seconds) / len(seconds), memory)


def choose(forecasts: Mapping[Checkpointing, Forecast]) -> Checkpointing:
    """Return the fastest policy whose memory this machine has; where none fits, the one that needs least."""
    *others, last = forecasts
    return next((policy for policy in others if forecasts[policy].bytes <= memory_share()), last)


def memory_share() -> int:
    """Return the bytes of this machine's memory that a training may take."""
    return int(SHARE * physical_memory())
