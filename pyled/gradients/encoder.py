"""The backward of the encoder's stack: the gradient of its states in, that of the embedded tokens out."""

from ..arrays import Floats, Weights
from ..config import LEDConfig
from ..network.batch import Batch
from ..network.layers import add_norm as add_norm_forward
from ..network.observe import SEES_NOTHING, Observer
from .attention_encoder import attended, encoder_self_attention
from .keeping import lowest_layer
from .layers import add_norm, embed, feed_forward_in_slices
from .sums import Sums


def encoder_layer(
    upstream: Floats, hidden: Floats, w: int, documents: Batch, weights: Weights, config: LEDConfig, name: str,
    kept: dict[str, Floats], sums: Sums, see: Observer = SEES_NOTHING,
) -> Floats:  # fmt: skip
    """Return the gradient of one layer's input, `hidden`, and add those of its weights to `sums`.

    upstream: (S, E) float, the gradient of the layer's output; overwritten by the result
    hidden: (S, E) float
    kept: stages of the forward pass; those of this layer are taken out
    returns: (S, E) float
    """
    H, kind, dropout = config.encoder_attention_heads, config.activation_function, documents.dropout
    # forward, where it was not kept: the attention, and what lies between the layer's two halves
    output = attended(hidden, w, documents, H, weights, f"{name}.self_attn", kept)
    between = kept.pop(f"{name}.self_attn_layer_norm", None)
    if between is None:
        between = add_norm_forward(hidden, output.copy(), weights, f"{name}.self_attn_layer_norm", SEES_NOTHING)
    # backward: feed-forward and its norm
    see(f"{name}.final_layer_norm", upstream)
    d_between = feed_forward_in_slices(upstream, between, weights, name, kind, kept, dropout, sums, see)
    del between
    # backward: norm
    see(f"{name}.self_attn_layer_norm", d_between)
    d_hidden = add_norm(d_between, hidden, output, weights, f"{name}.self_attn_layer_norm", sums, out=d_between)
    # backward: attention. The residual hands its gradient to both, to `hidden` as it is.
    see(f"{name}.self_attn.output", d_hidden)
    d_output = output  # its memory
    d_output[:] = d_hidden
    dropout.hidden(f"{name}.self_attn.output", d_output)
    encoder_self_attention(d_output, hidden, w, documents, H, weights, f"{name}.self_attn", kept, sums, see, d_hidden)
    return d_hidden


def encoder(
    upstream: Floats, tokens: Floats, documents: Batch, kept: dict[str, Floats], weights: Weights, config: LEDConfig,
    sums: Sums, see: Observer = SEES_NOTHING,
) -> Floats | None:  # fmt: skip
    """Return the gradient of the embedded tokens of documents, and add those of the encoder's weights to `sums`.

    Layers below the lowest trained weight are not differentiated; the result is then None.

    upstream: (S, E) float, the gradient of the states; overwritten
    tokens: (S, E) float, what went into the forward pass
    kept: what its observer kept, a `Kept`; emptied of the encoder's stages
    returns: (S, E) float
    """
    lowest = lowest_layer("encoder", config.encoder_layers, config.encoder_layerdrop, sums)
    layers = [i for i in range(config.encoder_layers) if not documents.dropout.skips(f"encoder.layers.{i}")]
    inputs = ["encoder.layernorm_embedding", *(f"encoder.layers.{i}.final_layer_norm" for i in layers)]
    for i, stage in reversed([*zip(layers, inputs, strict=False)]):
        if i >= lowest:
            hidden = kept.pop(stage)
            w, name = config.one_sided_window(i), f"encoder.layers.{i}"
            upstream = encoder_layer(upstream, hidden, w, documents, weights, config, name, kept, sums, see)
    if not sums.trains("encoder.embed_", "encoder.layernorm_embedding") and not see.wants("encoder.embed_tokens"):
        return None
    return embed(upstream, tokens, documents.places, weights, "encoder", documents.dropout, sums, see)
