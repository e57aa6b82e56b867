"""5. What a step takes, in seconds and bytes, before there is any: from the shapes, as in `tasks/cost.py`.

Letters: S source tokens, T target tokens, E model size, F feed-forward size, H heads, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..arrays import physical_memory
from ..config import LEDConfig
from ..gradients.keeping import Policy, kept_numbers, products_again
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

POLICIES: tuple[Policy, ...] = ("keep", "selective", "recompute")  # the fastest first

SAMPLED = 50  # steps whose times are averaged
SHARE = 0.8  # the part of the machine's memory that `auto` fills
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
    policy: Policy,
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
    products, band, E = 0.0, 0.0, config.d_model
    again_products, again_band = products_again(policy, E, config.encoder_ffn_dim), float(policy == "recompute")
    of_decoder = policy != "keep"  # all of it is computed again
    for S, T in (pair for batch in batches for pair in batch):
        encoder = product_operations(config, S, global_tokens), band_operations(config, S, global_tokens)
        target = 2 * T * step_weights(config), 4 * E * config.decoder_layers * T * (S + T / 2)
        products += encoder[0] * (1 + (BACK_PRODUCTS + again_products if trains_encoder else 0))
        band += encoder[1] * (1 + (BACK_BAND + again_band if trains_encoder else 0))
        products += (target[0] + key_operations(config, S)) * (1 + BACK_PRODUCTS + of_decoder)
        band += target[1] * (1 + BACK_BAND + of_decoder)
    seconds = products / (rates.products * PRODUCTS) + band / (rates.products * BAND)
    seconds += trained * size * 7 / rates.reading  # the optimizer reads four arrays, and writes three
    held = {"program": PROGRAM, "weights": weights * size, "optimizer": 2 * trained * size}
    moments = [one for batch in batches for one in _moments(config, batch, policy, size, trained, trains_encoder)]
    # the first step of the optimizer: the file of the weights is in memory, until all of them are copied
    moments.append({"gradients": trained * size, "file": weights * size})
    most = max(moments, key=lambda parts: sum(parts.values()))
    gradients = most["gradients"] + trained * size * (len(batches) > 1)  # those of a batch, and their sum
    return Forecast(seconds, held | most | {"gradients": gradients})


def _moments(
    config: LEDConfig, batch: Sequence[tuple[int, int]], policy: Policy, size: int, trained: int, trains_encoder: bool
) -> list[dict[str, int]]:
    """Return the bytes of a batch, part by part, when its backward pass begins with the decoder, and with the encoder.

    A layer has its stages that were not kept, and the gradients of input, query, key, value, context and output.
    """
    S, T = sum(source for source, _ in batch), len(batch) * max(target for _, target in batch)
    E, F, H, V = config.d_model, config.encoder_ffn_dim, config.encoder_attention_heads, config.vocab_size
    numbers, depth = kept_numbers(policy, E, F, H), config.encoder_layers if trains_encoder else 0
    keys = 2 * S * E * (config.decoder_layers if policy == "keep" else 0)  # of all layers, which are kept, too
    states = depth * S * numbers + S * E + keys
    of_target = config.decoder_layers * T * (12 * E + F if policy == "keep" else E)
    inner = {"feed-forward": 3 * min(max(S, T), SLICE_ROWS) * F}
    logits, layer = 2 * min(T, SLICE_ROWS) * V, 12 * T * E + 4 * S * E  # with the keys of the source, and theirs
    of_encoder, of_head = depth * (7 * E * E + 2 * E * F), V * E  # numbers of weights
    decoder = {"kept": states + of_target, "a layer": layer, "logits": logits, "gradients": min(trained, of_head)}
    layer = 6 * S * E + max(0, 8 * E - numbers) * S
    encoder = {"kept": states, "a layer": layer, "gradients": max(0, trained - of_encoder)}
    return [{part: count * size for part, count in (moment | inner).items()} for moment in (decoder, encoder)]


def forecast_training(
    model: LEDForConditionalGeneration,
    trained: set[str],
    order: Order,
    examples: Sequence[Example],
    policy: Policy,
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


def choose(forecasts: Mapping[Policy, Forecast]) -> Policy:
    """Return the fastest policy whose memory this machine has; where none fits, the one that needs least."""
    *others, last = forecasts
    return next((policy for policy in others if forecasts[policy].bytes <= memory_share()), last)


def memory_share() -> int:
    """Return the bytes of this machine's memory that a training may take."""
    return int(SHARE * physical_memory())
