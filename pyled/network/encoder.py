"""The encoder's stack: a document's embedded tokens in, its states out.

Letters: S source tokens, E model size, H heads, K = 2w + 1 the width of the band.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from ..config import LEDConfig
from .attention import Bools, encoder_self_attention
from .layers import Buffers, Floats, Weights, add_norm, embed, feed_forward_in_slices

Progress = Callable[[int, int], None]  # called with what is done and what there is to do


@dataclass
class EncoderRun:
    """What running the encoder over one document gave.

    hidden_states: (S, E) after the embedding and after each layer, or the last alone
    attentions: per layer (H, S, slots + K), if asked for
    global_attentions: per layer (H, S, slots), if asked for
    """

    hidden_states: list[Floats] = field(default_factory=list)
    attentions: list[Floats] = field(default_factory=list)
    global_attentions: list[Floats] = field(default_factory=list)


def encoder(
    tokens: Floats,
    is_real: Bools,
    is_global: Bools,
    weights: Weights,
    config: LEDConfig,
    *,
    slots: int | None = None,
    keep_states: bool = False,
    progress: Progress | None = None,
) -> EncoderRun:
    """Run the stack over one document; equals `reference.encoder`.

    tokens: (S, E) float
    is_real, is_global: (S,) bool
    slots: None, or how many global tokens the returned attentions have room for
    """
    run = EncoderRun()
    buffers = Buffers()
    hidden = embed(tokens, 0, weights, "encoder")  # (S, E)
    for i in range(config.encoder_layers):
        if keep_states:
            run.hidden_states.append(hidden.copy())
        layer = f"encoder.layers.{i}"
        w = min(config.one_sided_window(i), len(hidden)) if slots is None else config.one_sided_window(i)
        attended, local, to_all = encoder_self_attention(
            hidden, w, is_real, is_global, config.encoder_attention_heads, weights, f"{layer}.self_attn", slots, buffers
        )
        # Each result takes the place of what is needed no more: of the queries, then of the layer's input.
        between = add_norm(hidden, attended, weights, f"{layer}.self_attn_layer_norm")
        fed = feed_forward_in_slices(between, weights, layer, config.activation_function, buffers, out=hidden)
        hidden = add_norm(between, fed, weights, f"{layer}.final_layer_norm")
        if local is not None and to_all is not None:
            run.attentions.append(local)
            run.global_attentions.append(to_all)
        if progress is not None:
            progress(i + 1, config.encoder_layers)
    run.hidden_states.append(hidden)
    return run
