"""The definition of LED: its whole forward pass in plain NumPy, read top to bottom.

Slow on purpose, and the judge of everything else in pyled. It computes one document at a time, each attention as a
dense matrix, in the float type of the weights (float64 for the truth). `weights` maps the names of a checkpoint,
without the prefix `led.`, to arrays; `config` is a LEDConfig. Every function that stands for a module of the checkpoint
reports its result by `see(name, array)`, under the module's own name. Further stages are `scores`, `probs` and, of the
decoder, `context` of each attention, and `logits` and `tokens`.

Letters: S source tokens, T target tokens, E model size, H heads, D head size (E = H*D), F feed-forward size,
V vocabulary, G global tokens.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
Weights = Mapping[str, Floats]
See = Callable[[str, Floats], None]

LAYER_NORM_EPSILON = 1e-5  # torch.nn.LayerNorm's default, which LED keeps
IGNORED_LABEL = -100  # torch.nn.CrossEntropyLoss's default ignore_index


def see_nothing(name: str, array: Floats) -> None:
    """The `see` of a caller who wants results only."""


# 1. The pieces


def linear(x: Floats, weights: Weights, name: str, see: See = see_nothing) -> Floats:
    """x W^T + b, with W: (outputs, inputs) as torch stores it."""
    y = x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    see(name, y)
    return y


def layer_norm(x: Floats, weights: Weights, name: str) -> Floats:
    """Each row shifted to mean 0 and scaled to (biased) variance 1, then scaled and shifted by the weights."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    variance = np.where(np.isinf(variance), np.nan, variance)  # too large for the float type: what follows is unknown
    return centred / np.sqrt(variance + LAYER_NORM_EPSILON) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def softmax(scores: Floats) -> Floats:
    """Rows of scores to rows of probabilities; -inf means never."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def activation(x: Floats, kind: str) -> Floats:
    """The non-linearity of the feed-forward layers. `gelu` is the exact one, by erf; BART's and LED's."""
    if kind == "gelu":
        erf = np.vectorize(math.erf, otypes=[x.dtype])
        return x * (1 + erf(x / math.sqrt(2))) / 2
    if kind in ("gelu_new", "gelu_pytorch_tanh"):
        return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))) / 2
    if kind == "quick_gelu":
        return x / (1 + np.exp(-1.702 * x))
    if kind in ("silu", "swish"):
        return x / (1 + np.exp(-x))
    if kind == "relu":
        return np.maximum(x, 0)
    raise ValueError(f"no activation {kind!r}")


def add_norm(x: Floats, y: Floats, weights: Weights, name: str, see: See) -> Floats:
    """LayerNorm(x + y): a layer adds its result y to what came in, x, so that what came in is never lost."""
    hidden = layer_norm(x + y, weights, name)
    see(name, hidden)
    return hidden


def feed_forward(x: Floats, weights: Weights, name: str, kind: str, see: See) -> Floats:
    """Two linear layers with the activation between: E -> F -> E."""
    inner = linear(x, weights, f"{name}.fc1", see)  # (S, F)
    activated = activation(inner, kind)
    see(f"{name}.activation_fn", activated)
    return linear(activated, weights, f"{name}.fc2", see)  # (S, E)


def split_heads(x: Floats, H: int) -> Floats:
    """Each head's columns, D next to each other, as a matrix of their own: (S, E) -> (H, S, D)."""
    return x.reshape(len(x), H, x.shape[1] // H).swapaxes(0, 1)


def join_heads(x: Floats) -> Floats:
    """Undo `split_heads`: (H, S, D) -> (S, E)."""
    return x.swapaxes(0, 1).reshape(x.shape[1], -1)


def dots(q: Floats, k: Floats) -> Floats:
    """The dot products of all queries with all keys, head by head: (H, T, D), (H, S, D) -> (H, T, S)."""
    return q @ k.swapaxes(1, 2)


def embed(tokens: Floats, weights: Weights, name: str, see: See) -> Floats:
    """Token plus position, normed. Positions start at 0, without BART's offset of 2; there is no scale."""
    positions = weights[f"{name}.embed_positions.weight"][np.arange(len(tokens))]  # (S, E)
    see(f"{name}.embed_tokens", tokens)
    see(f"{name}.embed_positions", positions)
    return add_norm(tokens, positions, weights, f"{name}.layernorm_embedding", see)  # (S, E)


# 2. The encoder


def may_attend(i: Any, j: Any, w: int, is_real: NDArray[np.bool_], is_global: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether token i attends to token j: the whole of LED's pattern. Both are a place, or an array of places.

    Every token sees its neighbours up to w away and every global token; a global token sees all. Nobody sees
    padding, and padding sees nothing.
    """
    is_near = abs(i - j) <= w
    return (is_near | is_global[i] | is_global[j]) & is_real[i] & is_real[j]


def encoder_attention(
    hidden: Floats,
    w: int,
    is_real: NDArray[np.bool_],
    is_global: NDArray[np.bool_],
    H: int,
    weights: Weights,
    name: str,
    see: See,
) -> Floats:
    """Self-attention of one encoder layer: windowed for most tokens, full for the global ones.

    A global token's own row is computed by a second set of projections (`*_global`); as a key it is seen by the
    others through the first set.

    hidden: (S, E) float
    is_real: (S,) bool
    is_global: (S,) bool
    returns: (S, E) float
    """
    S, E = hidden.shape
    inner = f"{name}.longformer_self_attn"
    is_global = is_global & is_real  # a global flag on padding is dropped, as upstream

    q, k, v = (linear(hidden, weights, f"{inner}.{part}", see) for part in ("query", "key", "value"))  # (S, E)
    scores = dots(split_heads(q, H), split_heads(k, H)) / math.sqrt(E // H)  # (H, S, S)
    q_global = linear(hidden[is_global], weights, f"{inner}.query_global", see)  # (G, E)
    k_global = linear(hidden, weights, f"{inner}.key_global", see)  # (S, E)
    v_global = linear(hidden, weights, f"{inner}.value_global", see)  # (S, E)
    scores[:, is_global] = dots(split_heads(q_global, H), split_heads(k_global, H)) / math.sqrt(E // H)
    is_seen = may_attend(np.arange(S)[:, None], np.arange(S), w, is_real, is_global)  # (S, S)
    scores[:, ~is_seen] = -np.inf
    see(f"{name}.scores", scores)

    probs = np.zeros_like(scores)  # and so the rows of padding stay
    probs[:, is_real] = softmax(scores[:, is_real])
    see(f"{name}.probs", probs)
    context = probs @ split_heads(v, H)  # (H, S, D)
    context[:, is_global] = probs[:, is_global] @ split_heads(v_global, H)
    context = join_heads(context)  # (S, E)
    see(inner, context)
    return linear(context, weights, f"{name}.output", see)


def encoder_layer(
    hidden: Floats,
    w: int,
    is_real: NDArray[np.bool_],
    is_global: NDArray[np.bool_],
    weights: Weights,
    config: Any,
    name: str,
    see: See,
) -> Floats:
    """Attention and feed-forward of one layer, each with its residual and norm.

    hidden: (S, E) float
    is_real: (S,) bool
    is_global: (S,) bool
    returns: (S, E) float
    """
    H = config.encoder_attention_heads
    attended = encoder_attention(hidden, w, is_real, is_global, H, weights, f"{name}.self_attn", see)
    hidden = add_norm(hidden, attended, weights, f"{name}.self_attn_layer_norm", see)
    fed = feed_forward(hidden, weights, name, config.activation_function, see)
    return add_norm(hidden, fed, weights, f"{name}.final_layer_norm", see)


def encoder(
    tokens: Floats,
    is_real: NDArray[np.bool_],
    is_global: NDArray[np.bool_],
    weights: Weights,
    config: Any,
    see: See = see_nothing,
) -> Floats:
    """The encoder's stack over the embedded tokens of one document.

    tokens: (S, E) float
    is_real: (S,) bool
    is_global: (S,) bool
    returns: (S, E) float
    """
    hidden = embed(tokens, weights, "encoder", see)
    for i in range(config.encoder_layers):
        w, name = config.one_sided_window(i), f"encoder.layers.{i}"
        hidden = encoder_layer(hidden, w, is_real, is_global, weights, config, name, see)
    return hidden


# 3. The decoder


def decoder_attention(
    hidden: Floats, source: Floats, is_seen: NDArray[np.bool_], H: int, weights: Weights, name: str, see: See
) -> Floats:
    """Attention of the target's rows to the rows of `source`: the target itself, or the encoder's states.

    A row that may attend to nothing attends to all keys alike, as in transformers 5.23.0.

    hidden: (T, E) float
    source: (S, E) float
    is_seen: (T, S) bool
    returns: (T, E) float
    """
    E = hidden.shape[1]
    q = linear(hidden, weights, f"{name}.q_proj", see)  # (T, E)
    k = linear(source, weights, f"{name}.k_proj", see)  # (S, E)
    v = linear(source, weights, f"{name}.v_proj", see)  # (S, E)
    scores = dots(split_heads(q, H), split_heads(k, H)) / math.sqrt(E // H)  # (H, T, S)
    scores[:, ~is_seen] = -np.inf
    scores[:, ~is_seen.any(axis=1)] = 0
    see(f"{name}.scores", scores)
    probs = softmax(scores)
    see(f"{name}.probs", probs)
    context = join_heads(probs @ split_heads(v, H))  # (T, E)
    see(f"{name}.context", context)
    return linear(context, weights, f"{name}.out_proj", see)


def decoder_layer(
    hidden: Floats,
    is_earlier: NDArray[np.bool_],
    states: Floats,
    is_source_key: NDArray[np.bool_],
    weights: Weights,
    config: Any,
    name: str,
    see: See,
) -> Floats:
    """Attention to the target, attention to the source and feed-forward, each with its residual and norm.

    hidden: (T, E) float
    is_earlier: (T, T) bool
    states: (S, E) float
    is_source_key: (T, S) bool
    returns: (T, E) float
    """
    H = config.decoder_attention_heads
    attended = decoder_attention(hidden, hidden, is_earlier, H, weights, f"{name}.self_attn", see)
    hidden = add_norm(hidden, attended, weights, f"{name}.self_attn_layer_norm", see)
    attended = decoder_attention(hidden, states, is_source_key, H, weights, f"{name}.encoder_attn", see)
    hidden = add_norm(hidden, attended, weights, f"{name}.encoder_attn_layer_norm", see)
    fed = feed_forward(hidden, weights, name, config.activation_function, see)
    return add_norm(hidden, fed, weights, f"{name}.final_layer_norm", see)


def decoder(
    tokens: Floats,
    target_is_real: NDArray[np.bool_] | None,
    states: Floats,
    source_is_real: NDArray[np.bool_],
    weights: Weights,
    config: Any,
    see: See = see_nothing,
) -> Floats:
    """The decoder's stack over the embedded target tokens, given the encoder's states.

    tokens: (T, E) float
    target_is_real: (T,) bool, or None; without effect where T is 1, as in 5.23.0
    states: (S, E) float
    source_is_real: (S,) bool
    returns: (T, E) float
    """
    T = len(tokens)
    is_earlier = np.tri(T, dtype=bool)  # (T, T): a row sees itself and what came before
    if target_is_real is not None and T > 1:
        is_earlier &= target_is_real
    is_source_key = np.broadcast_to(source_is_real, (T, len(states)))

    hidden = embed(tokens, weights, "decoder", see)
    for i in range(config.decoder_layers):
        hidden = decoder_layer(hidden, is_earlier, states, is_source_key, weights, config, f"decoder.layers.{i}", see)
    return hidden


# 4. The heads, and the losses


def lm_logits(hidden: Floats, weights: Weights, see: See = see_nothing) -> Floats:
    """A score for every word of the vocabulary after every target token: (T, E) -> (T, V)."""
    scores = hidden @ weights["lm_head.weight"].T
    see("lm_head", scores)
    logits = scores + weights["final_logits_bias"]
    see("logits", logits)
    see("tokens", logits.argmax(axis=-1))  # the likeliest next token after each
    return logits


def qa_logits(hidden: Floats, weights: Weights, see: See = see_nothing) -> Floats:
    """Two scores for every target token: to be the answer's first, and its last. (T, E) -> (T, 2)"""
    return linear(hidden, weights, "qa_outputs", see)


def classification_logits(hidden: Floats, weights: Weights, see: See = see_nothing, *, end: int) -> Floats:
    """A score for every label, from the state at the place `end` of the text's last `</s>`: (T, E) -> (labels,).

    The target is the text, shifted right; so this state has seen all that stands before the `</s>`.
    """
    inner = linear(hidden[end], weights, "classification_head.dense", see)  # (E,)
    return linear(np.tanh(inner), weights, "classification_head.out_proj", see)


def shift_right(labels: NDArray[np.int64], start: int, pad: int) -> NDArray[np.int64]:
    """The decoder's input for targets, or for a text: the start token, then each id one place later. (T,) -> (T,)"""
    shifted = np.concatenate([[start], labels[:-1]])
    return np.where(shifted == IGNORED_LABEL, pad, shifted)


def loss(logits: Floats, labels: NDArray[np.int64]) -> float:
    """The mean of -log p(label) over all labels but -100, of one document or of a batch.

    logits: (..., V) float
    labels: (...) int
    """
    logits, labels = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
    is_counted = labels != IGNORED_LABEL
    scores, targets = logits[is_counted], labels[is_counted]
    top = scores.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(scores - top).sum(axis=1)) + top[:, 0]
    return float(np.mean(log_total - scores[np.arange(len(targets)), targets])) if len(targets) else math.nan


def span_loss(start_logits: Floats, end_logits: Floats, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> float:
    """The mean loss of both ends, (B,), by logits (B, T); a place below 0 counts as 0, one of T or more is left out."""
    T = start_logits.shape[1]
    starts, ends = (np.where(places < T, np.maximum(places, 0), IGNORED_LABEL) for places in (starts, ends))
    return (loss(start_logits, starts) + loss(end_logits, ends)) / 2


def squared_error(logits: Floats, values: Floats) -> float:
    """The mean of (logit - value)^2, for labels that are quantities."""
    return float(np.mean((logits - values) ** 2))


def binary_cross_entropy(logits: Floats, values: Floats) -> float:
    """The mean of -log p, for labels that are each there (1, with p = 1 / (1 + exp(-logit))) or not (0, with 1 - p)."""
    return float(np.mean(values * np.log1p(np.exp(-logits)) + (1 - values) * np.log1p(np.exp(logits))))


# 5. The whole


def forward(
    input_ids: NDArray[np.int64],
    decoder_input_ids: NDArray[np.int64],
    is_real: NDArray[np.bool_],
    is_global: NDArray[np.bool_],
    weights: Weights,
    config: Any,
    see: See = see_nothing,
    target_is_real: NDArray[np.bool_] | None = None,
    head: Callable[..., Floats] = lm_logits,
) -> Floats:
    """One document and one target, from ids to the logits of a head.

    input_ids: (S,) int
    decoder_input_ids: (T,) int
    is_real: (S,) bool
    is_global: (S,) bool
    target_is_real: (T,) bool, or None
    """
    source = weights["encoder.embed_tokens.weight"][input_ids]  # (S, E)
    target = weights["decoder.embed_tokens.weight"][decoder_input_ids]  # (T, E)
    states = encoder(source, is_real, is_global, weights, config, see)
    hidden = decoder(target, target_is_real, states, is_real, weights, config, see)
    return head(hidden, weights, see)
