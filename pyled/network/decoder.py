"""The decoder's stack: target tokens and documents in, the states that a head turns into tokens out."""

from dataclasses import replace

import numpy as np

from ..arrays import Bools, Floats, Ids, Weights
from ..config import LEDConfig
from .attention import cross_attention, decoder_self_attention, source_groups
from .cache import Cache, Past, SourceKeys
from .dropout import NO_DROPOUT, Dropout
from .layers import add_norm, embed, feed_forward
from .observe import SEES_NOTHING, Observer


def decoder_layer(
    hidden: Floats,
    past: Past,
    source: SourceKeys,
    groups: Ids,
    is_key: Bools | None,
    is_source_key: Bools,
    weights: Weights,
    config: LEDConfig,
    name: str,
    see: Observer = SEES_NOTHING,
    dropout: Dropout = NO_DROPOUT,
) -> tuple[Floats, Past]:
    """Return the output of one layer for new target tokens, and its past with them.

    Equals `reference.decoder_layer` over past and new tokens together.

    hidden: (R, T, E) float
    source: this layer's keys and values of all documents
    groups: those of `source_groups`
    is_key: (R, P + T) bool, or None
    is_source_key: (tokens,) bool, of all documents
    returns: (R, T, E) float
    """
    H = config.decoder_attention_heads
    attended, past = decoder_self_attention(hidden, past, is_key, H, weights, f"{name}.self_attn", see, dropout)
    hidden = add_norm(hidden, attended, weights, f"{name}.self_attn_layer_norm", see)
    attended = cross_attention(hidden, source, groups, is_source_key, H, weights, f"{name}.encoder_attn", see, dropout)
    hidden = add_norm(hidden, attended, weights, f"{name}.encoder_attn_layer_norm", see)
    fed = feed_forward(hidden, weights, name, config.activation_function, see, dropout)
    return add_norm(hidden, fed, weights, f"{name}.final_layer_norm", see), past


def decoder(
    tokens: Floats,
    cache: Cache,
    is_key: Bools | None,
    is_source_key: list[Bools],
    weights: Weights,
    config: LEDConfig,
    see: Observer = SEES_NOTHING,
    dropout: Dropout = NO_DROPOUT,
) -> tuple[Floats, Cache]:
    """Return the states of new target tokens, and the cache with them.

    Equals `reference.decoder` over past and new tokens together.

    tokens: (R, T, E) float
    is_key: (R, P + T) bool, or None
    is_source_key: per document (S,) bool
    returns: (R, T, E) float
    """
    P, T = cache.get_seq_length(), tokens.shape[1]
    hidden = embed(tokens, np.arange(P, P + T), weights, "decoder", see, dropout)
    groups, is_any_key = source_groups(cache.document_of_row, cache.lengths, T), np.concatenate(is_source_key)
    pasts = []
    for i, (past, source) in enumerate(zip(cache.pasts, cache.sources, strict=True)):
        name = f"decoder.layers.{i}"
        if not dropout.skips(name):
            hidden, past = decoder_layer(
                hidden, past, source, groups, is_key, is_any_key, weights, config, name, see, dropout
            )
        pasts.append(past)
    return hidden, replace(cache, pasts=tuple(pasts))
