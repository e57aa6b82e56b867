"""The decoder's stack: target tokens and documents in, the states that the head turns into words out.

Letters: R rows being decoded, T target tokens of this call, P past tokens, S source tokens, E model size, H heads.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..config import LEDConfig
from .attention import Bools, cross_attention, decoder_self_attention
from .cache import Cache, DocumentKeys, Growing
from .layers import Floats, Weights, add_norm, embed, feed_forward


@dataclass
class DecoderRun:
    """What running the decoder over new target tokens gave.

    hidden_states: (R, T, E) after the embedding and after each layer, or the last alone
    attentions: per layer (R, H, T, P + T), if asked for
    cross_attentions: per layer (R, H, T, S), if asked for
    cache: the past with these tokens
    """

    cache: Cache
    hidden_states: list[Floats] = field(default_factory=list)
    attentions: list[Floats] = field(default_factory=list)
    cross_attentions: list[Floats] = field(default_factory=list)


def empty_past(R: int, documents: tuple[DocumentKeys, ...], config: LEDConfig, dtype: np.dtype[Any]) -> Cache:
    """A past without tokens for R rows, spread evenly over the documents in order."""
    H = config.decoder_attention_heads
    D = config.d_model // H
    own = tuple((Growing.empty(R, H, D, dtype), Growing.empty(R, H, D, dtype)) for _ in range(config.decoder_layers))
    return Cache(own, documents, np.repeat(np.arange(len(documents)), R // len(documents)))


def decoder(
    tokens: Floats,
    past: Cache,
    is_key: Bools | None,
    is_source_key: list[Bools],
    weights: Weights,
    config: LEDConfig,
    *,
    S: int | None = None,
    keep_states: bool = False,
) -> DecoderRun:
    """Run the stack over new target tokens; equals `reference.decoder` over past and new tokens together.

    tokens: (R, T, E) float
    is_key: (R, P + T) bool, or None
    is_source_key: per document (S,) bool
    S: None, or the width of the returned cross-attentions
    """
    H = config.decoder_attention_heads
    want = S is not None
    run = DecoderRun(past)
    own = []
    hidden = embed(tokens, past.get_seq_length(), weights, "decoder")  # (R, T, E)
    for i in range(config.decoder_layers):
        if keep_states:
            run.hidden_states.append(hidden)
        layer = f"decoder.layers.{i}"
        attended, grown, probs = decoder_self_attention(
            hidden, past.own[i], is_key, H, weights, f"{layer}.self_attn", want
        )
        own.append(grown)
        hidden = add_norm(hidden, attended, weights, f"{layer}.self_attn_layer_norm")
        documents = [document.layers[i] for document in past.documents]
        attended, cross_probs = cross_attention(
            hidden, documents, past.document_of_row, is_source_key, H, weights, f"{layer}.encoder_attn", S
        )
        hidden = add_norm(hidden, attended, weights, f"{layer}.encoder_attn_layer_norm")
        fed = feed_forward(hidden, weights, layer, config.activation_function)
        hidden = add_norm(hidden, fed, weights, f"{layer}.final_layer_norm")
        if probs is not None and cross_probs is not None:
            run.attentions.append(probs)
            run.cross_attentions.append(cross_probs)
    run.hidden_states.append(hidden)
    run.cache = replace(past, own=tuple(own))
    return run
