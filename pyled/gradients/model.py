"""A step of training without its optimiser: forward through both stacks and a head, and backward through all."""

from collections.abc import Callable, Sequence

import numpy as np

from ..arrays import Bools, Floats
from ..config import LEDConfig
from ..network.attention import SourceKeysByLayer, source_keys
from ..network.batch import Batch
from ..network.cache import Cache
from ..network.decoder import decoder as decoder_forward
from ..network.dropout import Dropout
from ..network.encoder import encoder as encoder_forward
from .decoder import decoder
from .encoder import encoder
from .heads import Step
from .keeping import Kept, Policy, lowest_layer
from .losses import LossAndGradient


def loss_and_gradients(
    source: Floats, masks: Sequence[tuple[Bools, Bools, Bools]], target: Floats, is_key: Bools | None,
    head: Callable[[Floats], LossAndGradient], config: LEDConfig, policy: Policy, dropout: tuple[Dropout, Dropout],
    step: Step,
) -> tuple[Floats, Floats | None, Floats | None]:  # fmt: skip
    """Return the loss, and the gradients of what is embedded for the source and for the target.

    Add those of the weights to the step's sums. What lies below the lowest trained weight keeps nothing and is not
    differentiated: None stands for its gradient.

    source: (S, E) float, of all documents, one behind the other
    masks: per document three of (its tokens,) bool: those that the encoder attends to, those that are global, and those
        that the decoder attends to
    target: (B, T, E) float
    is_key: (B, T) bool, or None
    head: from the decoder's states, (B, T, E), to the loss and the gradient of these states
    dropout: of the rows of the source, and of the target
    returns: () float, (S, E) float, (B, T, E) float
    """
    weights, sums, see = step.weights, step.sums, step.see
    is_real, is_global, is_source_key = (list(each) for each in zip(*masks, strict=True))
    is_encoder_trained = sums.trains("encoder.")
    # subtle: the lowest layer of the decoder, too, hands its gradient to the encoder's states.
    of_decoder = lowest_layer("decoder", config.decoder_layers, config.decoder_layerdrop, sums)
    lowest = 0 if is_encoder_trained else of_decoder
    of_encoder = lowest_layer("encoder", config.encoder_layers, config.encoder_layerdrop, sums)
    layers = {"encoder": range(of_encoder, config.encoder_layers), "decoder": range(lowest, config.decoder_layers)}
    kept = Kept(policy, layers)
    # forward
    documents = Batch(is_real, is_global, see=kept, dropout=dropout[0])
    states = encoder_forward(source, documents, weights, config)
    H, D = config.decoder_attention_heads, config.d_model // config.decoder_attention_heads
    keys = source_keys if policy == "keep" else SourceKeysByLayer
    sources, lengths = keys(states, config.decoder_layers, H, weights), np.array([*map(len, is_real)])
    cache = Cache.empty(len(target), sources, lengths, H, D, states.dtype)
    hidden, _ = decoder_forward(target, cache, is_key, is_source_key, weights, config, kept, dropout[1])
    loss, d_hidden = head(hidden)
    # backward
    d_states = np.zeros_like(states) if is_encoder_trained else None
    d_target = decoder(
        d_hidden, target, states, cache, is_key, is_source_key, lowest, kept, weights, config, dropout[1], sums, see,
        d_states,
    )  # fmt: skip
    if d_states is None:
        return loss, None, d_target
    return loss, encoder(d_states, source, documents, kept, weights, config, sums, see), d_target
