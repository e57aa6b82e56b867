"""The encoder's stack: the embedded tokens of documents in, their states out."""

from ..arrays import Floats, Weights
from ..config import LEDConfig
from .attention import encoder_self_attention
from .batch import Batch
from .layers import Buffers, add_norm, embed, feed_forward_in_slices


def encoder_layer(
    hidden: Floats,
    w: int,
    documents: Batch,
    weights: Weights,
    config: LEDConfig,
    name: str,
    buffers: Buffers | None = None,
) -> Floats:
    """Return the output of one layer; equals `reference.encoder_layer` of each document. `hidden` is overwritten.

    hidden: (S, E) float
    buffers: those of an earlier layer, to be used again
    returns: (S, E) float
    """
    buffers, see = buffers or Buffers(), documents.see
    H, kind = config.encoder_attention_heads, config.activation_function
    # `attended` and `between` are in the buffer of the queries; `fed` and the result overwrite `hidden`.
    attended = encoder_self_attention(hidden, w, documents, H, weights, f"{name}.self_attn", buffers)
    between = add_norm(hidden, attended, weights, f"{name}.self_attn_layer_norm", see)
    fed = feed_forward_in_slices(between, weights, name, kind, buffers, hidden, see, documents.dropout)
    return add_norm(between, fed, weights, f"{name}.final_layer_norm", see)


def encoder(tokens: Floats, documents: Batch, weights: Weights, config: LEDConfig) -> Floats:
    """Return the states of documents; equals `reference.encoder` of each.

    The rows of all documents go through products, norms and activation together, and each document attends to itself.
    No number depends on the other documents, nor does the order of any sum: a document has the same bits in any batch.

    tokens: (S, E) float, those of all documents, one behind the other
    returns: (S, E) float
    """
    buffers = Buffers()
    hidden = embed(tokens, documents.places, weights, "encoder", documents.see, documents.dropout)
    for i in range(config.encoder_layers):
        w, name = config.one_sided_window(i), f"encoder.layers.{i}"
        if not documents.dropout.skips(name):
            hidden = encoder_layer(hidden, w, documents, weights, config, name, buffers)
    return hidden
