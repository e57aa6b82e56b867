"""The backward of the decoder's stack: the gradient of its states in, those of the target and of the source out."""

import numpy as np

from ..arrays import Bools, Floats, Ids, Weights
from ..config import LEDConfig
from ..kernels.products import multiplication
from ..network import decoder as forward
from ..network.attention import source_groups
from ..network.cache import Cache, SourceKeys
from ..network.dropout import Dropout
from ..network.observe import Observer, Stages
from .attention_decoder import cross_attention, decoder_self_attention
from .keeping import ATTENTION, OUTPUTS
from .layers import add_norm, embed, feed_forward_in_slices
from .sums import Sums


def decoder_layer(
    upstream: Floats, hidden: Floats, source: SourceKeys, groups: Ids, is_key: Bools | None, is_source_key: Bools,
    states: Floats, stages: dict[str, Floats], weights: Weights, config: LEDConfig, name: str, dropout: Dropout,
    sums: Sums, see: Observer, d_states: Floats | None,
) -> Floats:  # fmt: skip
    """Return the gradient of one layer's input, `hidden`, and add to `d_states` that of the encoder's states.

    upstream: (R, T, E) float, the gradient of the layer's output; overwritten by the result
    hidden: (R, T, E) float
    source, groups, is_key, is_source_key: as of the forward pass
    states, d_states: (tokens, E) float, of all documents; d_states is None where nothing that is trained lies below
    stages: all that the forward pass shows of this layer
    returns: (R, T, E) float
    """
    H, kind = config.decoder_attention_heads, config.activation_function
    multiply = multiplication(hidden.shape[1])  # that of the forward pass: a slice has other numbers of rows
    to_target, to_source = f"{name}.self_attn", f"{name}.encoder_attn"
    between, behind = stages[f"{to_target}_layer_norm"], stages[f"{to_source}_layer_norm"]
    see(f"{name}.final_layer_norm", upstream)
    d = feed_forward_in_slices(upstream, behind, weights, name, kind, stages, dropout, sums, see, multiply)
    d_attended = _norm(d, between, stages, weights, to_source, dropout, sums, see)
    cross_attention(
        d_attended, between, source, groups, is_source_key, H, stages, weights, to_source, states, dropout, sums, see,
        d, d_states,
    )  # fmt: skip
    d_attended = _norm(d, hidden, stages, weights, to_target, dropout, sums, see)
    decoder_self_attention(d_attended, hidden, is_key, H, stages, weights, to_target, dropout, sums, see, d)
    return d


def _norm(
    d: Floats, x: Floats, stages: dict[str, Floats], weights: Weights, attention: str, dropout: Dropout, sums: Sums,
    see: Observer,
) -> Floats:  # fmt: skip
    """Return the gradient of an attention's output, from that of the norm behind it; leave in `d` the residual's.

    d: (R, T, E) float, the gradient of LayerNorm(x + output)
    """
    see(f"{attention}_layer_norm", d)
    output = stages[f"{attention}.out_proj"]
    add_norm(d, x, output, weights, f"{attention}_layer_norm", sums, out=d)
    see(f"{attention}.out_proj", d)
    d_output = d.copy()
    dropout.hidden(f"{attention}.out_proj", d_output)
    return d_output


def decoder(
    upstream: Floats, tokens: Floats, states: Floats, cache: Cache, is_key: Bools | None, is_source_key: list[Bools],
    lowest: int, kept: dict[str, Floats], weights: Weights, config: LEDConfig, dropout: Dropout, sums: Sums,
    see: Observer, d_states: Floats | None,
) -> Floats | None:  # fmt: skip
    """Return the gradient of the target's embedded tokens, and add to `d_states` that of the encoder's states.

    upstream: (R, T, E) float, the gradient of the decoder's states; overwritten
    tokens: (R, T, E) float
    states, d_states: (tokens, E) float, of all documents; d_states is None where nothing that is trained lies below
    cache, is_key, is_source_key: as of the forward pass, which began without a past
    lowest: the number of the lowest layer to be differentiated; above 0, the embedding is not
    kept: what the observer of the forward pass kept, a `Kept`; emptied of the decoder's stages
    returns: (R, T, E) float, or None where `lowest` is above 0
    """
    T, embedding = tokens.shape[1], "decoder.layernorm_embedding"
    groups, is_any_key = source_groups(cache.document_of_row, cache.lengths, T), np.concatenate(is_source_key)
    layers = [i for i in range(config.decoder_layers) if not dropout.skips(f"decoder.layers.{i}")]
    inputs = [embedding, *(f"decoder.layers.{i}.final_layer_norm" for i in layers)]
    for i, stage in reversed([*zip(layers, inputs, strict=False)]):
        if i < lowest:
            return None
        name, hidden, source = f"decoder.layers.{i}", kept.pop(stage), cache.sources[i]
        stages = Stages(lambda stage: stage.endswith(ATTENTION + OUTPUTS))
        if f"{name}.fc2" in kept:
            stages.update({stage: kept.pop(stage) for stage in [*kept] if stage.startswith(f"{name}.")})
        else:
            past = cache.pasts[i]
            forward.decoder_layer(
                hidden, past, source, groups, is_key, is_any_key, weights, config, name, stages, dropout
            )
        upstream = decoder_layer(
            upstream, hidden, source, groups, is_key, is_any_key, states, stages, weights, config, name, dropout, sums,
            see, d_states,
        )  # fmt: skip
    if lowest > 0:
        return None
    return embed(upstream, tokens, np.arange(T), weights, "decoder", dropout, sums, see)
