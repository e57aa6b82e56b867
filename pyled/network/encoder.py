"""The encoder's stack: a document's embedded tokens in, its states out."""

from ..arrays import Bools, Floats, Weights
from ..config import LEDConfig
from .attention import encoder_self_attention
from .layers import Buffers, add_norm, embed, feed_forward_in_slices
from .observe import SEES_NOTHING, Observer


def encoder_layer(
    hidden: Floats,
    w: int,
    is_real: Bools,
    is_global: Bools,
    weights: Weights,
    config: LEDConfig,
    name: str,
    see: Observer = SEES_NOTHING,
    buffers: Buffers | None = None,
) -> Floats:
    """Return the output of one layer; equals `reference.encoder_layer`. `hidden` is overwritten.

    hidden: (S, E) float
    is_real, is_global: (S,) bool; a global token is real
    buffers: those of an earlier layer, to be used again
    returns: (S, E) float
    """
    buffers = buffers or Buffers()
    H, kind = config.encoder_attention_heads, config.activation_function
    # `attended` and `between` are in the buffer of the queries; `fed` and the result overwrite `hidden`.
    attended = encoder_self_attention(hidden, w, is_real, is_global, H, weights, f"{name}.self_attn", see, buffers)
    between = add_norm(hidden, attended, weights, f"{name}.self_attn_layer_norm", see)
    fed = feed_forward_in_slices(between, weights, name, kind, buffers, out=hidden)
    see(f"{name}.fc2", fed)
    return add_norm(between, fed, weights, f"{name}.final_layer_norm", see)


def encoder(
    tokens: Floats,
    is_real: Bools,
    is_global: Bools,
    weights: Weights,
    config: LEDConfig,
    see: Observer = SEES_NOTHING,
) -> Floats:
    """Return the states of one document; equals `reference.encoder`.

    tokens: (S, E) float
    is_real, is_global: (S,) bool; a global token is real
    returns: (S, E) float
    """
    buffers = Buffers()
    hidden = embed(tokens, 0, weights, "encoder", see)
    for i in range(config.encoder_layers):
        w, name = config.one_sided_window(i), f"encoder.layers.{i}"
        hidden = encoder_layer(hidden, w, is_real, is_global, weights, config, name, see, buffers)
    return hidden
