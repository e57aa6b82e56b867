"""The known mistakes of those who port LED: each a changed line of the definition, and a paragraph that explains it.

A mistake is added by one entry. `diagnosis.py` tries them, and tests/mutations.py puts those of the same name into the
fast path. This file is loaded by its path there: it imports nothing of pyled.
"""

import ast
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
Lookup = Callable[[Mapping[str, Floats], str, Any], Floats]  # (weights, name, config) -> the array that is used
Change = tuple[str, str, str]  # a function of reference.py, a text that it has once, what replaces it
Way = tuple[Change | Lookup, ...]
SUMS = 10**8  # terms that are added one by one, at most


class Mistake(NamedTuple):
    """A mistake and the ways to make it.

    says: what is wrong, how it comes about, and where it shows
    where: page#section of the documentation
    ways: each is all of its changes together; an empty list where no line is wrong, but the numbers are narrow
    """

    name: str
    says: str
    where: str
    ways: tuple[Way, ...]


# What changed lines call


def rounded(x: Floats, kind: str) -> Floats:
    """Return numbers rounded to the nearest of a narrower type, in the type they have."""
    if kind in ("float16", "float32"):
        return x.astype(kind).astype(x.dtype)
    bits = {"bfloat16": 16, "tf32": 13}[kind]  # that a float32 loses
    number = x.astype(np.float32).view(np.uint32)
    nearest = number + np.uint32((1 << (bits - 1)) - 1) + ((number >> np.uint32(bits)) & np.uint32(1))
    return (nearest >> np.uint32(bits) << np.uint32(bits)).view(np.float32).astype(x.dtype)


def summed(x: Floats, W: Floats, bias: Floats, kind: str, rounds: str) -> Floats:
    """Return x W^T + bias, summed term by term in a narrow type, each term rounded to another type before."""
    if x.size * len(W) > SUMS:
        raise ValueError(f"{x.size * len(W):,} terms are too many to be summed one by one")
    total = np.broadcast_to(rounded(bias, kind), (*x.shape[:-1], len(W)))
    for i in range(x.shape[-1]):
        total = rounded(total + rounded(x[..., i, None] * W[:, i], rounds), kind)
    return total


def seen(see: Callable[[str, Floats], None], name: str, array: Floats) -> Floats:
    """Return an array that is reported."""
    see(name, array)
    return array


def softmax_beside(scores: Floats, counts: Floats) -> Floats:
    """Return the softmax of rows that have some keys of score 0 more each: (H, S, S), (S,) -> (H, S, S)."""
    with np.errstate(divide="ignore"):
        extra = np.broadcast_to(np.log(counts.astype(scores.dtype))[:, None], (*scores.shape[:2], 1))
    scores = np.concatenate([scores, extra], axis=2)
    powers = np.exp(scores - scores.max(axis=2, keepdims=True))
    return (powers / powers.sum(axis=2, keepdims=True))[..., :-1]


def softmax_in_parts(scores: Floats, is_apart: NDArray[np.bool_], *, both: bool) -> Floats:
    """Return the softmax of each row over the keys that are not apart; the others divide by that sum, or their own."""
    powers = np.exp(scores - scores.max(axis=2, keepdims=True))
    sums = (powers * ~is_apart).sum(axis=2, keepdims=True)
    sums_apart = (powers * is_apart).sum(axis=2, keepdims=True) if both else sums
    return powers / np.where(is_apart, np.where(sums_apart == 0, 1, sums_apart), sums)


def interleaved(x: Floats, H: int) -> Floats:
    """Return heads of every H-th column: (S, E) -> (H, S, D)"""
    return x.reshape(len(x), -1, H).transpose(2, 0, 1)


def neighbouring(x: Floats) -> Floats:
    """Return heads of neighbours, where those of every H-th column were joined: (H, S, D) -> (H, S, D)"""
    return x.transpose(1, 2, 0).reshape(x.shape[1], len(x), -1).swapaxes(0, 1)


def mirrored(probs: Floats) -> Floats:
    """Return rows turned round the diagonal: what belongs to j stands at 2i - j. (H, S, S) -> (H, S, S)"""
    i, j = np.indices(probs.shape[1:])
    other = 2 * i - j
    is_inside = (other >= 0) & (other < probs.shape[2])
    return np.where(is_inside, probs[:, i, np.where(is_inside, other, 0)], 0)


def log_softmax(scores: Floats) -> Floats:
    """Return the logarithms of the softmax of rows."""
    scores = scores - scores.max(axis=-1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))


def rough_erf(x: Floats) -> Floats:
    """Return erf by formula 7.1.26 of Abramowitz and Stegun, which is off by up to 1.5e-7."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.sign(x) * (1 - series * np.exp(-x * x))


HELPERS = {
    f.__name__: f
    for f in (
        rounded,
        summed,
        seen,
        softmax_beside,
        softmax_in_parts,
        interleaved,
        neighbouring,
        mirrored,
        log_softmax,
        rough_erf,
    )
}


# Weights under other names


def _renamed(pattern: str, replacement: str) -> Lookup:
    return lambda weights, name, config: weights[re.sub(pattern, replacement, name)]


def _swapped(one: str, other: str) -> Lookup:
    pairs = {one: other, other: one}
    pattern = "|".join(rf"{re.escape(text)}(?=\.|$)" for text in pairs)
    return lambda weights, name, config: weights[re.sub(pattern, lambda match: pairs[match[0]], name)]


def _of_layer(other: Callable[[int, int], int]) -> Lookup:
    """Return the lookup of a layer by its number and how many there are."""

    def lookup(weights: Mapping[str, Floats], name: str, config: Any) -> Floats:
        match = re.match(r"(encoder|decoder)\.layers\.(\d+)\.", name)
        if match is None:
            return weights[name]
        layer = other(int(match[2]), getattr(config, f"{match[1]}_layers"))
        return weights[f"{match[1]}.layers.{layer}.{name[match.end() :]}"]

    return lookup


def _narrow(kind: str) -> Lookup:
    return lambda weights, name, config: rounded(weights[name], kind)


class Looked(Mapping[str, Floats]):
    """Weights, each of which is what a lookup says."""

    def __init__(self, weights: Mapping[str, Floats], lookup: Lookup, config: Any) -> None:
        self._weights, self._lookup, self._config = weights, lookup, config

    def __getitem__(self, name: str) -> Floats:
        return self._lookup(self._weights, name, self._config)

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)


# The list. Of several that explain the same numbers, the commoner stands first.

# Sections of docs/porting.md, whose tables of traps are made from the list.
WEIGHTS = "docs/porting.md#weights"
INPUTS = "docs/porting.md#inputs"
EMBEDDINGS = "docs/porting.md#embeddings"
NORMS = "docs/porting.md#norms"
WINDOW = "docs/porting.md#windowed-attention"
FORWARD = "docs/porting.md#feed-forward"
GLOBALS = "docs/porting.md#global-attention"
MASKS = "docs/porting.md#masks"
DECODER = "docs/porting.md#decoder"
CROSS = "docs/porting.md#cross-attention"
HEADS = "docs/porting.md#heads"
LOSSES = "docs/porting.md#losses"
TYPES = "docs/porting.md#precision"

# Texts of reference.py that several entries change.
LOCAL = "scores = dots(split_heads(q, H), split_heads(k, H)) / math.sqrt(E // H)"
GLOBAL = "dots(split_heads(q_global, H), split_heads(k_global, H)) / math.sqrt(E // H)"
LOCAL_SUMS = "context = probs @ split_heads(v, H)"
NEAR = "abs(i - j) <= w"
SEEN = "(is_near | is_global[i] | is_global[j]) & is_real[i] & is_real[j]"
ROWS = "probs[:, is_real] = softmax(scores[:, is_real])"
IN_ENCODER, IN_DECODER = "encoder_attention", "decoder_attention"
LINEAR = 'x @ weights[f"{name}.weight"].T'
EMBEDDED = 'add_norm(tokens, positions, weights, f"{name}.layernorm_embedding", see)'
NORMED = "layer_norm(x + y, weights, name)"
AVERAGE, MEAN = "x.mean(axis=-1, keepdims=True)", "(centred * centred).mean(axis=-1, keepdims=True)"
SPLIT, JOIN = "x.reshape(len(x), H, x.shape[1] // H).swapaxes(0, 1)", "x.swapaxes(0, 1).reshape(x.shape[1], -1)"
ACTIVATED = "activation(inner, kind)"
FED, FED_NAME = "add_norm(hidden, fed, ", 'add_norm(hidden, fed, weights, f"{name}.final_layer_norm", see)'
# The input of the feed-forward is normed, and the result of the layer, or that of the norm, is shown.
PRE_NORMED = (
    ('feed_forward(layer_norm(hidden, weights, f"{name}.final_layer_norm"),',
     'seen(see, f"{name}.final_layer_norm", hidden + fed)'),
    (f"feed_forward({FED_NAME.replace('fed', '0')},", "hidden + fed"),
)  # fmt: skip
FIRST_NORM = 'add_norm(hidden, attended, weights, f"{name}.self_attn_layer_norm", see)'
CROSS_NORM = 'add_norm(hidden, attended, weights, f"{name}.encoder_attn_layer_norm", see)'
TWICE = "math.log(2) * (is_global & ~is_global[:, None] & (abs(np.arange(S) - np.arange(S)[:, None]) <= w))"
APART = "(is_global & ~is_global[:, None])[is_real]"
BEYOND = "np.where(is_global, 0, sum(np.maximum(w - side, 0) for side in (np.arange(S), np.arange(S)[::-1])))"


def _products(kind: str) -> Way:
    """Return the changes by which every product of matrices takes its two factors rounded."""
    return (
        ("linear", LINEAR, f'rounded(x, "{kind}") @ rounded(weights[f"{{name}}.weight"], "{kind}").T'),
        ("dots", "q @ k.swapaxes(1, 2)", f'rounded(q, "{kind}") @ rounded(k, "{kind}").swapaxes(1, 2)'),
        (IN_ENCODER, "probs @ split_heads(v, H)", f'rounded(probs, "{kind}") @ rounded(split_heads(v, H), "{kind}")'),
        (IN_ENCODER, "probs[:, is_global] @ split_heads(v_global, H)",
         f'rounded(probs[:, is_global], "{kind}") @ rounded(split_heads(v_global, H), "{kind}")'),
        (IN_DECODER, "probs @ split_heads(v, H)", f'rounded(probs, "{kind}") @ rounded(split_heads(v, H), "{kind}")'),
        ("lm_logits", 'hidden @ weights["lm_head.weight"].T',
         f'rounded(hidden, "{kind}") @ rounded(weights["lm_head.weight"], "{kind}").T'),
    )  # fmt: skip


def _sums(kind: str) -> list[Way]:
    """Return the ways to sum in a narrow type: from 0 or the bias on, with terms of that type or a wider one."""
    W, b = 'weights[f"{name}.weight"]', 'weights[f"{name}.bias"]'
    return [
        (("linear", f"{LINEAR} + {b}", f'summed(x, {W}, {first}, "{kind}", "{terms}"){rest}'),)
        for first, rest in ((f"0 * {b}", f" + {b}"), (b, ""))
        for terms in (kind, "float32")
    ]


def _in_attention(old: str, new: str) -> list[Way]:
    """Return a change of the encoder's and one of the decoder's attention."""
    return [((function, old, new),) for function in (IN_ENCODER, IN_DECODER)]


def _rounded_probs(kind: str) -> list[Way]:
    """Return the ways to round probabilities: in either attention, or in the encoder's local rows alone."""
    shown, text = 'see(f"{name}.probs", probs)', f'rounded(probs, "{kind}")'
    local = (IN_ENCODER, shown, f"probs = np.where(is_global[:, None], probs, {text}); {shown}")
    return [*_in_attention(shown, f"probs = {text}; {shown}"), (local,)]


_ENTRIES: list[tuple[str, str, str, list[Any]]] = [
    # The inputs
    ("decoder-start-token", "The decoder's input begins with <s>, or with padding; LED's begins with </s>, id 2. Ports "
     "of other models begin so. Shows in the first row of the decoder, and by attention in all.", INPUTS,
     [("shift_right", "[[start]", "[[CONFIG.bos_token_id]"), ("shift_right", "[[start]", "[[pad]"),
      ("shift_right", "[[start]", "[[0]")]),
    ("shift-missing", "The labels themselves are the decoder's input, so that each place sees what it shall predict. "
     "They are shifted one place to the right. Shows in the decoder's embedding.", INPUTS,
     [("shift_right", "np.concatenate([[start], labels[:-1]])", "labels")]),
    ("shift-left", "Targets are shifted to the left. Shows in the decoder's embedding.", INPUTS,
     [("shift_right", "labels[:-1]", "labels[1:]"),
      ("shift_right", "np.concatenate([[start], labels[:-1]])", "np.concatenate([labels[1:], [pad]])")]),
    ("shift-keeps-ignored", "A label of -100 becomes another token than padding in the decoder's input: the start "
     "token, or the one that a negative index reaches. Shows in the decoder's embedding.", INPUTS,
     [("shift_right", "IGNORED_LABEL, pad,", "IGNORED_LABEL, start,"),
      ("shift_right", "IGNORED_LABEL, pad,", "IGNORED_LABEL, 0,"),
      ("shift_right", "IGNORED_LABEL, pad,", "IGNORED_LABEL, CONFIG.vocab_size - 100,")]),
    ("global-missing", "No token is global: global_attention_mask is not read, or not passed on. Shows in the scores "
     "of the first layer, and the global projections are never computed.", GLOBALS,
     [("forward", "encoder(source, is_real, is_global,", "encoder(source, is_real, is_global & False,")]),
    ("global-everywhere", "Every token is global: a mask is taken for global_attention_mask that is not it. Shows in "
     "the first layer's scores.", GLOBALS,
     [("forward", "encoder(source, is_real, is_global,", "encoder(source, is_real, is_global | True,")]),
    ("global-first-only", "The first token is global, whatever global_attention_mask says. Shows in the first layer's "
     "scores.", GLOBALS,
     [("forward", "is_real, is_global, w", "is_real, np.arange(len(is_real)) == 0, w")]),
    ("mask-missing", "The encoder has no attention_mask: padding is computed, and seen, like text. Shows in the scores "
     "of the first layer.", MASKS,
     [("forward", "encoder(source, is_real,", "encoder(source, is_real | True,")]),
    ("mask-inverted", "1 is padding: the mask is read as one of what is left out. Shows in the scores of the first "
     "layer.", MASKS,
     [("forward", "encoder(source, is_real,", "encoder(source, ~is_real,"),
      [("forward", "encoder(source, is_real,", "encoder(source, ~is_real,"),
       ("forward", "states, is_real, w", "states, ~is_real, w")]]),
    # The embedding
    ("position-offset-2", "Positions begin at 2, as in BART, whose table has two rows more; LED's begin at 0. Shows at "
     "embed_positions, else at layernorm_embedding.", EMBEDDINGS,
     [("embed", "np.arange(len(tokens))", "np.arange(len(tokens)) + 2")]),
    ("position-offset-1", "The first position is 1. Shows at embed_positions, else at layernorm_embedding.", EMBEDDINGS,
     [("embed", "np.arange(len(tokens))", "np.arange(len(tokens)) + 1")]),
    ("position-of-mask", "Positions count real tokens by the cumulative sum of the mask, as in RoBERTa; LED's count "
     "places, padding too. Shows where padding stands before or between real tokens.", EMBEDDINGS,
     [[("encoder", 'embed(tokens, weights, "encoder", see)', f'embed(tokens, weights, "encoder", see, {places})'),
       ("embed", "name: str, see: See)", "name: str, see: See, places=None)"),
       ("embed", "np.arange(len(tokens))", "np.arange(len(tokens)) if places is None else places")]
      for places in ("np.maximum(np.cumsum(is_real) - 1, 0)", "np.cumsum(is_real) * is_real",
                     "np.maximum(np.cumsum(is_real) * is_real - 1, 0)")]),
    ("position-missing", "No positions are added. Shows at layernorm_embedding.", EMBEDDINGS,
     [("embed", "add_norm(tokens, positions,", "add_norm(tokens, 0 * positions,")]),
    ("position-of-encoder", "The decoder takes its positions from the encoder's table. Shows at the decoder's "
     "embed_positions.", EMBEDDINGS, [_renamed("^decoder.embed_positions", "encoder.embed_positions")]),
    ("embedding-scale", "Embedded tokens are multiplied by sqrt(E), as in BART's larger relatives with "
     "scale_embedding; LED has no scale. Shows at embed_tokens or layernorm_embedding.", EMBEDDINGS,
     [("embed", "add_norm(tokens,", "add_norm(tokens * math.sqrt(tokens.shape[1]),"),
      ("embed", "positions = weights", "tokens = tokens * math.sqrt(tokens.shape[1]); positions = weights")]),
    ("embedding-norm-missing", "The sum of token and position is not normed. Shows at layernorm_embedding, else in the "
     "first layer.", EMBEDDINGS,
     [("embed", EMBEDDED, 'seen(see, f"{name}.layernorm_embedding", tokens + positions)')]),
    ("embedding-norm-first", "Tokens are normed before their positions are added, not after it. Shows at "
     "layernorm_embedding.", EMBEDDINGS,
     [("embed", EMBEDDED, 'seen(see, f"{name}.layernorm_embedding", layer_norm(tokens, weights, '
       'f"{name}.layernorm_embedding") + positions)')]),
    ("embedding-tied", "One matrix embeds the tokens of both sides though the configuration unties them. Shows at "
     "embed_tokens of one side.", WEIGHTS,
     [_renamed("^decoder.embed_tokens", "encoder.embed_tokens"), _renamed("^.+coder.embed_tokens", "shared"),
      _renamed("^encoder.embed_tokens", "decoder.embed_tokens"), _renamed("^.+coder.embed_tokens", "lm_head")]),
    # Matrices
    ("bias-missing", "Linear layers have no bias, or one of them has none. Shows at the projection itself.", WEIGHTS,
     [("linear", ' + weights[f"{name}.bias"]', "")]),
    ("weight-transposed", "A matrix is multiplied from the wrong side: torch stores (outputs, inputs), and x W^T is "
     "meant. One that is not square is read as if its rows were columns. Shows at the projection itself.", WEIGHTS,
     [("linear", 'weights[f"{name}.weight"].T', 'weights[f"{name}.weight"].reshape(x.shape[-1], -1)')]),
    ("weights-of-first-layer", "All layers have the weights of the first. Shows at the first projection of the second "
     "layer.", WEIGHTS, [_of_layer(lambda i, n: 0)]),
    ("weights-of-next-layer", "Layers count from 1: each has the weights of the next. Shows at the first projection of "
     "a layer.", WEIGHTS, [_of_layer(lambda i, n: (i + 1) % n)]),
    ("weights-of-previous-layer", "Each layer has the weights of the one before. Shows at the first projection of the "
     "second layer.", WEIGHTS, [_of_layer(lambda i, n: max(i - 1, 0)), _of_layer(lambda i, n: (i - 1) % n)]),
    ("layers-reversed", "The layers stand in reversed order. Shows at the first projection.", WEIGHTS,
     [_of_layer(lambda i, n: n - 1 - i)]),
    ("layer-missing", "The last layer is left out: a loop ends too early. Shows behind it, at the decoder's k_proj of "
     "the source, or at lm_head.", WEIGHTS,
     [("encoder", "range(config.encoder_layers)", "range(config.encoder_layers - 1)"),
      ("decoder", "range(config.decoder_layers)", "range(config.decoder_layers - 1)")]),
    ("query-key-swapped", "Queries come from the projection of keys, and keys from that of queries. Shows at the "
     "projections, or at the scores, which are transposed.", WEIGHTS,
     [_swapped(".query", ".key"), _swapped(".q_proj", ".k_proj"),
      (IN_ENCODER, '("query", "key", "value")', '("key", "query", "value")'),
      [(IN_DECODER, 'f"{name}.q_proj"', 'f"{name}." + "k_proj"'),
       (IN_DECODER, 'f"{name}.k_proj"', 'f"{name}." + "q_proj"')]]),
    ("value-is-key", "The keys are summed in place of the values. Shows at the projection of values, or at the "
     "context.", WEIGHTS,
     [_renamed(r"\.value\.", ".key."), _renamed(r"\.value_global\.", ".key_global."),
      _renamed(r"self_attn\.v_proj", "self_attn.k_proj"),
      (IN_ENCODER, "context = probs @ split_heads(v, H)", "context = probs @ split_heads(k, H)"),
      (IN_DECODER, "probs @ split_heads(v, H)", "probs @ split_heads(k, H)")]),
    ("key-value-swapped", "Keys come from the projection of values, and values from that of keys. Shows at the "
     "projections, or at the scores.", WEIGHTS,
     [_swapped(".key", ".value"), _swapped(".k_proj", ".v_proj"), _swapped(".key_global", ".value_global"),
      (IN_ENCODER, '("query", "key", "value")', '("query", "value", "key")')]),
    ("value-output-swapped", "The matrices of values and of the output are taken for each other: both have the same "
     "shape. Shows at the projection of values.", WEIGHTS,
     [_swapped(".longformer_self_attn.value", ".output"), _swapped("self_attn.v_proj", "self_attn.out_proj"),
      _swapped("encoder_attn.v_proj", "encoder_attn.out_proj")]),
    ("output-projection-missing", "The contexts of the heads are not multiplied by the output's matrix. Shows at "
     "output or out_proj.", WINDOW,
     [(IN_ENCODER, 'linear(context, weights, f"{name}.output", see)', 'seen(see, f"{name}.output", context)'),
      (IN_DECODER, 'linear(context, weights, f"{name}.out_proj", see)', 'seen(see, f"{name}.out_proj", context)')]),
    # Heads and scores
    ("heads-interleaved", "A head has every H-th column, not D neighbours. Shows at the scores; at the output alone "
     "where heads are joined so.", WINDOW,
     [[("split_heads", SPLIT, "x.reshape(len(x), x.shape[1] // H, H).transpose(2, 0, 1)"),
       ("join_heads", JOIN, "x.transpose(1, 2, 0).reshape(x.shape[1], -1)")],
      ("split_heads", SPLIT, "x.reshape(len(x), x.shape[1] // H, H).transpose(2, 0, 1)"),
      ("join_heads", JOIN, "x.transpose(1, 2, 0).reshape(x.shape[1], -1)"),
      # where the code of global rows is right
      [(IN_ENCODER, LOCAL, LOCAL.replace("split_heads", "interleaved")),
       (IN_ENCODER, LOCAL_SUMS, "context = neighbouring(probs @ interleaved(v, H))")],
      [(IN_ENCODER, LOCAL, LOCAL.replace("split_heads", "interleaved")),
       (IN_ENCODER, LOCAL_SUMS, "context = probs @ interleaved(v, H)")],
      (IN_ENCODER, LOCAL_SUMS, "context = neighbouring(probs @ split_heads(v, H))")]),
    ("heads-not-transposed", "Arrays are reshaped between (S, E) and (H, S, D) without exchanging the axes of tokens "
     "and heads. Shows at the scores, or at the context.", WINDOW,
     [("join_heads", JOIN, "x.reshape(x.shape[1], -1)"),
      ("split_heads", SPLIT, "x.reshape(H, len(x), x.shape[1] // H)"),
      [("split_heads", SPLIT, "x.reshape(H, len(x), x.shape[1] // H)"),
       ("join_heads", JOIN, "x.reshape(x.shape[1], -1)")]]),
    ("scale-missing", "Scores are not divided by sqrt(D). Shows at the scores.", WINDOW,
     [(IN_ENCODER, LOCAL, LOCAL.replace(" / math.sqrt(E // H)", "")),
      [(IN_ENCODER, LOCAL, LOCAL.replace(" / math.sqrt(E // H)", "")),
       (IN_ENCODER, GLOBAL, GLOBAL.replace(" / math.sqrt(E // H)", ""))]]),
    ("global-scale-missing", "The scores of global queries are not divided by sqrt(D). The global rows are code of "
     "their own, in which it is forgotten. Shows at the scores of global tokens.", GLOBALS,
     [(IN_ENCODER, GLOBAL, GLOBAL.replace(" / math.sqrt(E // H)", ""))]),
    ("decoder-scale-missing", "The decoder's scores are not divided by sqrt(D). Shows at its scores.", DECODER,
     [(IN_DECODER, " / math.sqrt(E // H)", "")]),
    ("scale-twice", "Scores are divided by sqrt(D) twice: once in the query and once in the product, say. Shows at the "
     "scores.", WINDOW,
     [(IN_ENCODER, LOCAL, LOCAL.replace("math.sqrt(E // H)", "(E // H)")),
      [(IN_ENCODER, LOCAL, LOCAL.replace("math.sqrt(E // H)", "(E // H)")),
       (IN_ENCODER, GLOBAL, GLOBAL.replace("math.sqrt(E // H)", "(E // H)"))],
      (IN_ENCODER, GLOBAL, GLOBAL.replace("math.sqrt(E // H)", "(E // H)")),
      (IN_DECODER, "math.sqrt(E // H)", "(E // H)")]),
    ("scale-by-model-size", "Scores are divided by the square root of the model's size, not of a head's. Shows at the "
     "scores.", WINDOW,
     [(IN_ENCODER, LOCAL, LOCAL.replace("E // H", "E")),
      [(IN_ENCODER, LOCAL, LOCAL.replace("E // H", "E")), (IN_ENCODER, GLOBAL, GLOBAL.replace("E // H", "E"))],
      (IN_ENCODER, GLOBAL, GLOBAL.replace("E // H", "E")), (IN_DECODER, "E // H", "E")]),
    ("scale-before-bias", "Queries are divided by sqrt(D) before their bias is added, which counts sqrt(D) times too "
     "much. Shows at the scores.", WINDOW,
     [(IN_ENCODER, LOCAL, LOCAL.replace(
         "(q,", '(q + (math.sqrt(E // H) - 1) * weights[f"{inner}.query.bias"],')),
      [(IN_ENCODER, LOCAL, LOCAL.replace(
          "(q,", '(q + (math.sqrt(E // H) - 1) * weights[f"{inner}.query.bias"],')),
       (IN_ENCODER, GLOBAL, GLOBAL.replace(
           "(q_global,", '(q_global + (math.sqrt(E // H) - 1) * weights[f"{inner}.query_global.bias"],'))],
      (IN_ENCODER, GLOBAL, GLOBAL.replace(
          "(q_global,", '(q_global + (math.sqrt(E // H) - 1) * weights[f"{inner}.query_global.bias"],')),
      (IN_DECODER, "split_heads(q,", 'split_heads(q + (math.sqrt(E // H) - 1) * weights[f"{name}.q_proj.bias"],')]),
    ("query-shown-scaled", "No mistake of the port, but of its dump: the query is shown after its division by sqrt(D); "
     "the truth has the projection itself. Shows at query or q_proj, and nowhere behind it.", WINDOW,
     [(IN_ENCODER, "scores = dots(", 'see(f"{inner}.query", q / math.sqrt(E // H)); scores = dots('),
      (IN_ENCODER, "scores[:, is_global] = dots(",
       'see(f"{inner}.query_global", q_global / math.sqrt(E // H)); scores[:, is_global] = dots('),
      (IN_DECODER, "scores = dots(", 'see(f"{name}.q_proj", q / math.sqrt(E // H)); scores = dots(')]),
    ("softmax-over-queries", "The softmax runs along the wrong axis: columns sum to 1, not rows. Shows at the probs.",
     WINDOW,
     [(IN_ENCODER, "softmax(scores[:, is_real])", "softmax(scores.swapaxes(1, 2)).swapaxes(1, 2)[:, is_real]"),
      (IN_DECODER, "softmax(scores)", "softmax(scores.swapaxes(1, 2)).swapaxes(1, 2)"),
      (IN_ENCODER, "softmax(scores[:, is_real])", "softmax(scores.swapaxes(0, 2)).swapaxes(0, 2)[:, is_real]")]),
    ("softmax-base-2", "The softmax has powers of 2 in the place of powers of e: where a chip has exp2 alone, scores "
     "are multiplied by log2(e) before. Shows at the probs.", WINDOW, [("softmax", "np.exp(", "np.exp2(")]),
    ("probs-transposed", "The values are summed by the columns of the probabilities, not by their rows. Shows at the "
     "context.", WINDOW, _in_attention("probs @ split_heads(v, H)", "probs.swapaxes(1, 2) @ split_heads(v, H)")),
    # The encoder's pattern
    ("global-columns-missing", "Local queries do not see global keys beyond their window. Shows at the scores of "
     "tokens that are far from the global ones.", GLOBALS,
     [("may_attend", SEEN, SEEN.replace(" | is_global[j]", ""))]),
    ("global-columns-masked", "Local queries see no global key, not even in their window: the band leaves them out, "
     "because they have columns of their own, and these are not added. Shows at the scores.", GLOBALS,
     [("may_attend", SEEN, SEEN.replace("(is_near | is_global[i] | is_global[j])",
                                       "((is_near & ~is_global[j]) | is_global[i])"))]),
    ("global-columns-twice", "A global key in the window counts twice, in the band and as a column. Shows at the probs "
     "of the neighbours of a global token.", GLOBALS,
     [(IN_ENCODER, ROWS, f"probs[:, is_real] = softmax((scores + {TWICE})[:, is_real])")]),
    ("global-columns-of-global-projection", "Local queries see global tokens through key_global or value_global; the "
     "token that asks decides which projections are used. Shows at the scores or the context of local tokens.",
     GLOBALS,
     [[(IN_ENCODER, "scores[:, is_global] = dots", "scores[:, :, is_global] = dots(split_heads(q, H), split_heads("
        "k_global[is_global], H)) / math.sqrt(E // H); scores[:, is_global] = dots"),
       (IN_ENCODER, "context = probs @ split_heads(v, H)", "context = probs @ split_heads("
        "np.where(is_global[:, None], v_global, v), H)")],
      (IN_ENCODER, "scores[:, is_global] = dots", "scores[:, :, is_global] = dots(split_heads(q, H), split_heads("
       "k_global[is_global], H)) / math.sqrt(E // H); scores[:, is_global] = dots"),
      (IN_ENCODER, "context = probs @ split_heads(v, H)", "context = probs @ split_heads("
       "np.where(is_global[:, None], v_global, v), H)")]),
    ("global-query-local", "Global tokens attend to their window only, or their rows stay those of local tokens: they "
     "are never replaced. Shows at the scores of global tokens.", GLOBALS,
     [("may_attend", SEEN, SEEN.replace(" | is_global[i]", "")),
      [("may_attend", SEEN, SEEN.replace(" | is_global[i]", "")),
       (IN_ENCODER, "scores[:, is_global] = dots", "_ = dots"),
       (IN_ENCODER, "context[:, is_global] =", "_ =")]]),
    ("global-projection-missing", "Global tokens ask with the local projections, for query, key and value. Shows at "
     "query_global or the scores of global tokens.", GLOBALS,
     [[(IN_ENCODER, "scores[:, is_global] = dots", "_ = dots"), (IN_ENCODER, "context[:, is_global] =", "_ =")],
      _renamed(r"_global\.", ".")]),
    ("global-projection-query", "Global queries come from the local projection. Shows at query_global, or at the "
     "scores of global tokens.", GLOBALS, [_renamed(r"\.query_global\.", ".query."),
      (IN_ENCODER, "split_heads(q_global, H)", "split_heads(q[is_global], H)")]),
    ("global-projection-key", "Global queries see keys of the local projection. Shows at key_global, or at the scores "
     "of global tokens.", GLOBALS, [_renamed(r"\.key_global\.", ".key."),
      (IN_ENCODER, "split_heads(k_global, H)", "split_heads(k, H)")]),
    ("global-projection-value", "Global queries see values of the local projection. Shows at value_global, or at the "
     "context of global tokens.", GLOBALS, [_renamed(r"\.value_global\.", ".value."),
      (IN_ENCODER, "split_heads(v_global, H)", "split_heads(v, H)")]),
    ("global-projections-swapped", "Local tokens have the global projections, and global tokens the local ones. Shows "
     "at query.", GLOBALS,
     [lambda weights, name, config: weights[re.sub(r"\.(query|key|value)(_global)?\.", lambda match: (
         f".{match[1]}{'' if match[2] else '_global'}."), name)]]),
    ("global-query-first", "The first tokens ask in place of the global ones. Shows at query_global.", GLOBALS,
     [(IN_ENCODER, "linear(hidden[is_global],", "linear(hidden[: is_global.sum()],")]),
    ("global-columns-first", "The first tokens are seen by all in the place of the global ones. Shows at the scores.",
     GLOBALS, [("may_attend", SEEN, SEEN.replace("is_global[j]", "(j < is_global.sum())"))]),
    ("global-mask-missing", "Global queries see padding. Shows at the scores of global tokens.", MASKS,
     [("may_attend", SEEN, SEEN.replace("is_real[j]", "(is_real[j] | is_global[i])"))]),
    ("band-one-short", "The window lacks its last token, on one side or on both. Shows at the scores.", WINDOW,
     [("may_attend", NEAR, "(i - j <= w) & (j - i < w)"), ("may_attend", NEAR, "(i - j < w) & (j - i <= w)"),
      ("may_attend", NEAR, "abs(i - j) < w")]),
    ("band-one-long", "The window has a token too many, on one side or on both. Shows at the scores.", WINDOW,
     [("may_attend", NEAR, "(i - j <= w) & (j - i <= w + 1)"), ("may_attend", NEAR, "(i - j <= w + 1) & (j - i <= w)"),
      ("may_attend", NEAR, "abs(i - j) <= w + 1")]),
    ("window-one-sided", "A token sees what is behind it, not what is ahead, or the reverse. Shows at the scores.",
     WINDOW, [("may_attend", NEAR, "(i - j <= w) & (j <= i)"), ("may_attend", NEAR, "(j - i <= w) & (i <= j)")]),
    ("window-not-halved", "A window reaches as far to each side as it is wide: attention_window is two-sided in "
     "Hugging Face's LED, and one-sided in allenai's code. Shows at the scores.", WINDOW,
     [("encoder", "config.one_sided_window(i)", "2 * config.one_sided_window(i)")]),
    ("window-halved-twice", "A window reaches a quarter of its width to each side. Shows at the scores.", WINDOW,
     [("encoder", "config.one_sided_window(i)", "config.one_sided_window(i) // 2")]),
    ("window-of-first-layer", "All layers have the window of the first, or each that of a neighbour: attention_window "
     "may be a list. Shows at the scores of a later layer.", WINDOW,
     [("encoder", "config.one_sided_window(i)", "config.one_sided_window(0)"),
      ("encoder", "config.one_sided_window(i)", "config.one_sided_window((i + 1) % config.encoder_layers)"),
      ("encoder", "config.one_sided_window(i)", "config.one_sided_window(max(i - 1, 0))"),
      ("encoder", "config.one_sided_window(i)", "config.one_sided_window(config.encoder_layers - 1 - i)")]),
    ("window-of-largest", "All layers have the largest window of attention_window, a list. Shows at the scores of a "
     "layer.", WINDOW,
     [("encoder", "config.one_sided_window(i)", "max(map(config.one_sided_window, range(config.encoder_layers)))"),
      ("encoder", "config.one_sided_window(i)", "min(map(config.one_sided_window, range(config.encoder_layers)))")]),
    ("window-missing", "Every token sees every other, as in BART. Shows at the scores of a text that is longer than "
     "the window.", WINDOW, [("may_attend", NEAR, "abs(i - j) >= 0")]),
    ("band-corners", "The band is computed in blocks of w tokens, each with the blocks before and behind it, and the "
     "corners of these are not masked. Shows at the scores.", WINDOW,
     [("may_attend", NEAR, "abs(i // w - j // w) <= 1"), ("may_attend", NEAR, "i // (2 * w) == j // (2 * w)"),
      ("may_attend", NEAR, "i // w == j // w")]),
    ("band-mirrored", "The two halves of the band are swapped: the probability of the neighbour d behind goes to the "
     "value of the one d ahead. Shows at the context.", WINDOW,
     [(IN_ENCODER, "context = probs @", "context = mirrored(probs) @")]),
    ("mask-at-document-end", "Windows go beyond the ends of the document, to keys of zeros, which take a part of the "
     "probabilities. Shows at the probs of the first and last tokens.", MASKS,
     [(IN_ENCODER, ROWS, f"probs[:, is_real] = softmax_beside(scores, {BEYOND})[:, is_real]")]),
    ("mask-on-padding-keys", "Local queries see padding, or all queries do. Shows at the scores of a text with "
     "padding.", MASKS,
     [("may_attend", SEEN, SEEN.replace(" & is_real[j]", "")),
      ("may_attend", SEEN, SEEN.replace("is_real[j]", "(is_real[j] | ~is_global[i])"))]),
    ("mask-on-padding-queries", "The context of padding is not 0: its rows attend like others, or to all alike. Shows "
     "at the context in rows of padding, and nowhere else.", MASKS,
     [[("may_attend", SEEN, SEEN.replace("is_real[i] & ", "")),
       (IN_ENCODER, ROWS, "scores[:, ~is_seen.any(axis=1)] = 0; probs = softmax(scores)")],
      (IN_ENCODER, ROWS, ROWS + "; probs[:, ~is_real] = 1 / S")]),
    ("mask-is-zero", "A masked score becomes 0, not -inf: the mask is a factor. Shows at the scores.", MASKS,
     [(IN_ENCODER, "scores[:, ~is_seen] = -np.inf", "scores[:, ~is_seen] = 0"),
      (IN_DECODER, "scores[:, ~is_seen] = -np.inf", "scores[:, ~is_seen] = 0")]),
    ("mask-after-softmax", "Probabilities are masked after the softmax and do not sum to 1. Shows at the probs.",
     MASKS,
     [[(IN_ENCODER, "scores[:, ~is_seen] = -np.inf", "unmasked = scores.copy(); scores[:, ~is_seen] = -np.inf"),
       (IN_ENCODER, ROWS, "probs[:, is_real] = softmax(unmasked[:, is_real]) * is_seen[is_real]")],
      [(IN_DECODER, "scores[:, ~is_seen] = -np.inf", "unmasked = scores.copy(); scores[:, ~is_seen] = -np.inf"),
       (IN_DECODER, "softmax(scores)", "softmax(unmasked) * is_seen")]]),
    ("probs-over-band-only", "The probabilities of the band sum to 1 without the global columns. Shows at the probs of "
     "local tokens.", GLOBALS,
     [(IN_ENCODER, ROWS, f"probs[:, is_real] = softmax_in_parts(scores[:, is_real], {APART}, both=True)"),
      (IN_ENCODER, ROWS, f"probs[:, is_real] = softmax_in_parts(scores[:, is_real], {APART}, both=False)")]),
    # The decoder
    ("causal-mask-missing", "A token sees all later ones. Shows at the scores of the decoder's self-attention.",
     DECODER, [("decoder", "np.tri(T, dtype=bool)", "np.ones((T, T), bool)")]),
    ("causal-mask-off-by-one", "A token sees the next one. Shows at the scores of the decoder's self-attention.",
     DECODER, [("decoder", "np.tri(T, dtype=bool)", "np.tri(T, k=1, dtype=bool)")]),
    ("causal-mask-without-itself", "A token does not see itself. Shows at the scores of the decoder's self-attention.",
     DECODER, [("decoder", "np.tri(T, dtype=bool)", "np.tri(T, k=-1, dtype=bool)")]),
    ("causal-mask-reversed", "A token sees itself and what comes after, not what came before. Shows at the scores of "
     "the decoder's self-attention.", DECODER, [("decoder", "np.tri(T, dtype=bool)", "np.tri(T, dtype=bool).T")]),
    ("decoder-mask-missing", "The decoder's own mask has no effect. Shows at the scores of its self-attention.",
     DECODER, [("decoder", "if target_is_real is not None and T > 1:", "if False:")]),
    ("cross-mask-missing", "The decoder sees the source's padding. Shows at the scores of encoder_attn.", CROSS,
     [("decoder", "np.broadcast_to(source_is_real, (T, len(states)))", "np.ones((T, len(states)), bool)")]),
    ("cross-mask-causal", "The cross-attention is causal, as the decoder's self-attention is: a token does not see "
     "what stands behind its own place in the source. Shows at the scores of encoder_attn.", CROSS,
     [("decoder", "is_source_key = np.broadcast_to(source_is_real, (T, len(states)))",
       "is_source_key = source_is_real & np.tri(T, len(states), dtype=bool)")]),
    ("cross-value-is-key", "The source's values come from the projection of its keys. Shows at encoder_attn.v_proj.",
     CROSS, [_renamed(r"encoder_attn\.v_proj", "encoder_attn.k_proj")]),
    ("cross-keys-of-one-layer", "All layers see the source by the projections of the first. Shows at "
     "encoder_attn.k_proj of the second layer.", CROSS,
     [_renamed(r"layers\.\d+\.encoder_attn\.([kv])_proj", r"layers.0.encoder_attn.\1_proj")]),
    ("cross-keys-of-target", "The keys and values of the cross-attention come from the decoder's states, not from the "
     "encoder's. Shows at encoder_attn.k_proj.", CROSS,
     [("decoder_layer", "(hidden, states, is_source_key,", f"(hidden, hidden, {mask},")
      for mask in ("is_earlier", "is_earlier | True")]),
    ("cross-projection-of-self", "The cross-attention has the projections of the self-attention. Shows at "
     "encoder_attn.q_proj.", CROSS, [_renamed(r"encoder_attn\.(\w+)_proj", r"self_attn.\1_proj")]),
    ("row-without-keys", "A decoder row that may see nothing becomes 0, or no number; it sees all keys alike. Shows at "
     "the probs.", DECODER,
     [(IN_DECODER, "probs = softmax(scores)", "probs = softmax(scores) * is_seen.any(axis=1)[:, None]"),
      (IN_DECODER, "scores[:, ~is_seen.any(axis=1)] = 0", "pass")]),
    # Residuals and norms
    ("residual-missing", "The input of a layer's part is not added to its output. Shows at the norm behind it.",
     NORMS,
     [("add_norm", NORMED, 'layer_norm(x + y if "embedding" in name else y, weights, name)')]),
    ("norm-before", "The output of a part is normed before the residual is added, or its input is normed as in GPT-2; "
     "LED norms the sum of both. Shows at self_attn_layer_norm, or at the first projection.", NORMS,
     [("add_norm", NORMED, f'{NORMED} if "embedding" in name else x + layer_norm(y, weights, name)'),
      [("add_norm", NORMED, 'layer_norm(x + y if "embedding" in name else y, weights, name)'),
       ("add_norm", "return hidden", 'return hidden if "embedding" in name else x + hidden')],
      *([("encoder_layer", "encoder_attention(hidden,", f"encoder_attention({FIRST_NORM.replace('attended', '0')},"),
         ("encoder_layer", f"hidden = {FIRST_NORM}", "hidden = hidden + attended"),
         ("encoder_layer", "feed_forward(hidden,", pre_normed),
         ("encoder_layer", FED_NAME, result)] for pre_normed, result in PRE_NORMED),
      *([("decoder_layer", "decoder_attention(hidden, hidden,",
          f"decoder_attention(x := {FIRST_NORM.replace('attended', '0')}, x,"),
         ("decoder_layer", f"hidden = {FIRST_NORM}", "hidden = hidden + attended"),
         ("decoder_layer", "decoder_attention(hidden, states,",
          f"decoder_attention({CROSS_NORM.replace('attended', '0')}, states,"),
         ("decoder_layer", f"hidden = {CROSS_NORM}", "hidden = hidden + attended"),
         ("decoder_layer", "feed_forward(hidden,", pre_normed),
         ("decoder_layer", FED_NAME, result)] for pre_normed, result in PRE_NORMED)]),
    ("residual-of-layer", "The feed-forward's residual is the layer's input, not the normed sum behind the attention. "
     "Shows at final_layer_norm.", NORMS,
     [[(layer, f"hidden = {FIRST_NORM}", f"entering, hidden = hidden, {FIRST_NORM}"),
       (layer, FED, "add_norm(entering, fed, ")] for layer in ("encoder_layer", "decoder_layer")]),
    ("norm-missing", "The sum of a part's input and output is not normed. Shows at the norm.", NORMS,
     [("add_norm", NORMED, 'layer_norm(x + y, weights, name) if "embedding" in name else x + y')]),
    ("variance-unbiased", "The variance is divided by E - 1. Shows at a norm.", NORMS,
     [("layer_norm", MEAN, "(centred * centred).sum(axis=-1, keepdims=True) / (x.shape[-1] - 1)")]),
    ("epsilon-wrong", "Epsilon is that of another model, BERT's 1e-12 or T5's 1e-6; LED's is 1e-5. Shows at a norm, in "
     "rows of small variance.", NORMS,
     [("layer_norm", "LAYER_NORM_EPSILON", epsilon)
      for epsilon in ("1e-12", "1e-6", "1e-8", "0", "1e-3", "1e-7", "1e-4", "1e-9", "1e-10")]),
    ("epsilon-outside-root", "Epsilon is added to the deviation, not to the variance. Shows at a norm.", NORMS,
     [("layer_norm", "np.sqrt(variance + LAYER_NORM_EPSILON)", "(np.sqrt(variance) + LAYER_NORM_EPSILON)")]),
    ("norm-root-missing", "Rows are divided by their variance, not by its root. Shows at a norm.", NORMS,
     [("layer_norm", "np.sqrt(variance + LAYER_NORM_EPSILON)", "(variance + LAYER_NORM_EPSILON)")]),
    ("mean-not-subtracted", "The norm is that of RMSNorm. Shows at a norm.", NORMS,
     [("layer_norm", f"x - {AVERAGE}", "x")]),
    ("norm-over-tokens", "The mean and variance are those of a column, or of the whole document, not of a row. Shows "
     "at a norm.", NORMS,
     [[("layer_norm", AVERAGE, AVERAGE.replace("-1", axis)), ("layer_norm", MEAN, MEAN.replace("-1", axis))]
      for axis in ("0", "None")]),
    ("norm-weight-missing", "The normed row is not multiplied by the norm's weight. Shows at a norm.", NORMS,
     [("layer_norm", ' * weights[f"{name}.weight"]', "")]),
    ("norm-bias-missing", "The norm's bias is not added. Shows at a norm.", NORMS,
     [("layer_norm", ' + weights[f"{name}.bias"]', "")]),
    ("norms-swapped", "The norms behind the attention and behind the feed-forward are taken for each other. Shows at "
     "self_attn_layer_norm.", NORMS, [_swapped(".self_attn_layer_norm", ".final_layer_norm")]),
    ("norm-of-attention", "The feed-forward has the norm of the attention. Shows at final_layer_norm.", NORMS,
     [_renamed("final_layer_norm", "self_attn_layer_norm")]),
    ("cross-norm-of-self", "The cross-attention has the norm of the self-attention. Shows at encoder_attn_layer_norm.",
     NORMS, [_renamed("encoder_attn_layer_norm", "self_attn_layer_norm")]),
    ("final-norm-added", "A norm stands behind the last layer, as in mBART and T5; LED has none. Shows behind it, at "
     "the decoder's k_proj of the source, or at lm_head.", NORMS,
     [(side, "return hidden", f"return {norm}") for side in ("encoder", "decoder") for norm in (
         f'layer_norm(hidden, weights, "{side}.layernorm_embedding")',
         'layer_norm(hidden, {"1.weight": hidden.dtype.type(1), "1.bias": hidden.dtype.type(0)}, "1")')]),
    # The feed-forward
    ("gelu-tanh", "GELU has the form by tanh, not the exact one by erf: many frameworks call both gelu, and some have "
     "the former as default. Shows at activation_fn, else at fc2.", FORWARD,
     [("feed_forward", ACTIVATED, 'activation(inner, "gelu_new")')]),
    ("gelu-quick", "GELU is x sigmoid(1.702 x), as in CLIP, not the exact one. Shows at activation_fn, else at fc2.",
     FORWARD, [("feed_forward", ACTIVATED, 'activation(inner, "quick_gelu")')]),
    ("gelu-exact", "GELU is the exact one, by erf, where the configuration names another. Shows at activation_fn.",
     FORWARD, [("feed_forward", ACTIVATED, 'activation(inner, "gelu")')]),
    ("activation-relu", "The activation is ReLU. Shows at activation_fn, else at fc2.", FORWARD,
     [("feed_forward", ACTIVATED, 'activation(inner, "relu")')]),
    ("activation-silu", "The activation is SiLU. Shows at activation_fn, else at fc2.", FORWARD,
     [("feed_forward", ACTIVATED, 'activation(inner, "silu")')]),
    ("activation-missing", "There is no activation between the two halves of the feed-forward. Shows at fc2.", FORWARD,
     [("feed_forward", ACTIVATED, "inner")]),
    ("gelu-before-bias", "The bias is added behind the activation. Shows at activation_fn, else at fc2.", FORWARD,
     [[("feed_forward", "inner = ", 'bias, inner = weights[f"{name}.fc1.bias"], '),
       ("feed_forward", ACTIVATED, "activation(inner - bias, kind) + bias")]]),
    ("gelu-new-constant", "gelu_new has a wrong constant. Shows at activation_fn.", FORWARD,
     [("activation", "0.044715", "0.44715")]),
    ("gelu-erf-unscaled", "The argument of erf is not divided by sqrt(2). Shows at activation_fn.", FORWARD,
     [("activation", "erf(x / math.sqrt(2))", "erf(x)")]),
    ("gelu-half-missing", "GELU is x (1 + erf(x / sqrt(2))), without its division by 2. Shows at activation_fn.",
     FORWARD, [("activation", "return x * (1 + erf(x / math.sqrt(2))) / 2", "return x * (1 + erf(x / math.sqrt(2)))")]),
    ("gelu-erf-approximate", "erf is a formula that is off by 1e-7, where a language has no erf. Shows at "
     "activation_fn in float64 alone.", FORWARD,
     [("activation", "erf = np.vectorize(math.erf, otypes=[x.dtype])", "erf = rough_erf")]),
    # The heads
    ("logits-bias-missing", "final_logits_bias is not added. Shows at logits, and not at lm_head.", HEADS,
     [("lm_logits", ' + weights["final_logits_bias"]', "")]),
    ("lm-head-transposed", "The tied embedding is read as (E, V), not transposed from (V, E). Shows at lm_head.", HEADS,
     [("lm_logits", 'weights["lm_head.weight"].T', 'weights["lm_head.weight"].reshape(hidden.shape[1], -1)')]),
    ("lm-head-tied", "The logits come from an embedding though the configuration unties lm_head. Shows at lm_head.",
     HEADS, [_renamed("^lm_head", other) for other in ("shared", "decoder.embed_tokens", "encoder.embed_tokens")]),
    ("logits-scaled", "States are divided by sqrt(E) before the logits, as in T5. Shows at lm_head.", HEADS,
     [("lm_logits", "scores = hidden", "scores = hidden.shape[1] ** -0.5 * hidden")]),
    ("logits-normed", "The logits are probabilities already, or their logarithms. Shows at logits.", HEADS,
     [("lm_logits", 'scores + weights["final_logits_bias"]', f'{normed}(scores + weights["final_logits_bias"])')
      for normed in ("log_softmax", "softmax")]),
    ("ends-swapped", "The first score is that of the end. Shows at qa_outputs.", HEADS,
     [lambda weights, name, config: weights[name][:: -1 if name.startswith("qa_outputs") else 1]]),
    ("classification-tanh-missing", "The two layers of the head for classification have no tanh between them. Shows at "
     "classification_head.out_proj.", HEADS, [("classification_logits", "np.tanh(inner)", "inner")]),
    ("last-token", "The head for classification reads the state at the last token, be it padding, or at the first; it "
     "reads that at the last </s>. Shows at classification_head.dense.", HEADS,
     [("classification_logits", "hidden[end]", "hidden[-1]"), ("classification_logits", "hidden[end]", "hidden[0]")]),
    # The loss
    ("loss-without-padding", "The loss leaves padding out; it leaves -100 out. Shows at loss.", LOSSES,
     [("loss", "labels != IGNORED_LABEL", "(labels != IGNORED_LABEL) & (labels != CONFIG.pad_token_id)")]),
    ("loss-counts-ignored", "A label of -100 counts, as padding. Shows at loss.", LOSSES,
     [("loss", "labels.reshape(-1)", f"np.where(labels == IGNORED_LABEL, {label}, labels).reshape(-1)")
      for label in ("CONFIG.pad_token_id", "0")]),
    ("loss-mean-of-means", "The loss is divided by all labels, the ignored ones included. Shows at loss.", LOSSES,
     [("loss", "np.mean(log_total - scores[np.arange(len(targets)), targets])",
       "np.sum(log_total - scores[np.arange(len(targets)), targets]) / labels.size")]),
    ("loss-of-documents", "The loss is the mean of the documents' means; it is that of all their labels. Shows at loss "
     "where documents have different numbers of labels.", LOSSES,
     [("loss", "logits, labels = logits.reshape", "if logits.ndim == 3: return float(np.mean([loss(*one) for one in "
       "zip(logits, labels)]))\n    logits, labels = logits.reshape")]),
    ("loss-sum", "The loss is the sum over the labels, not their mean. Shows at loss.", LOSSES,
     [("loss", "np.mean(log_total", "np.sum(log_total")]),
    ("loss-shifted", "The logits of a place are held to the next label, as in models without encoder: here the "
     "decoder's input is shifted instead. Shows at loss.", LOSSES,
     [("loss", "logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)",
       "logits[..., :-1, :].reshape(-1, logits.shape[-1]), labels[..., 1:].reshape(-1)")]),
    # Narrow numbers
    ("weights-in-float16", "The weights are rounded to float16: the checkpoint is loaded in half precision. Shows at "
     "embed_tokens, or at the first projection.", TYPES, [_narrow("float16")]),
    ("weights-in-bfloat16", "The weights are rounded to bfloat16. Shows at embed_tokens, or at the first projection.",
     TYPES, [_narrow("bfloat16")]),
    ("weights-in-float32", "The weights are rounded to float32, in a port that computes in float64. Shows at "
     "embed_tokens, or at the first projection.", TYPES, [_narrow("float32")]),
    ("products-in-tf32", "Products of matrices round their factors to 10 bits (TF32), the default of some libraries on "
     "GPUs. Shows at the first projection.", TYPES, [_products("tf32"), _products("tf32")[:1]]),
    ("products-in-bfloat16", "Products of matrices round their factors to bfloat16, sums are in float32. Shows at the "
     "first projection.", TYPES, [_products("bfloat16"), _products("bfloat16")[:1]]),
    ("products-in-float16", "Products of matrices round their factors to float16, sums are in float32. Shows at the "
     "first projection.", TYPES, [_products("float16"), _products("float16")[:1]]),
    ("probs-in-float16", "The probabilities of the attention are rounded to float16. Shows at probs or context.", TYPES,
     _rounded_probs("float16")),
    ("probs-in-bfloat16", "The probabilities of the attention are rounded to bfloat16. Shows at probs or context.",
     TYPES,
     _rounded_probs("bfloat16")),
    ("probs-in-float32", "The probabilities of the attention are rounded to float32, in a port that computes in "
     "float64, as transformers does in the encoder. Shows at probs or context.", TYPES,
     _rounded_probs("float32")),
    ("float16-accumulation", "Sums are computed in float16: the numbers are all of that type, and off by what it "
     "rounds away. Shows at the first stage that is computed.", TYPES,
     _sums("float16")),
    ("bfloat16-accumulation", "Sums are computed in bfloat16: the numbers are all of that type, and off by what it "
     "rounds away. Shows at the first stage that is computed.", TYPES,
     _sums("bfloat16")),
]  # fmt: skip


def _way(way: Any) -> Way:
    """Return a way: all changes of a list, or a change or lookup alone."""
    return tuple(way) if isinstance(way, list) or (isinstance(way, tuple) and not isinstance(way[0], str)) else (way,)


MISTAKES = tuple(Mistake(name, says, where, tuple(map(_way, ways))) for name, says, where, ways in _ENTRIES)


# The definition with a mistake in it


@functools.cache
def _definition() -> tuple[CodeType, dict[str, str]]:
    """Return the code of reference.py, and the source of each of its functions."""
    source = (Path(__file__).parents[1] / "reference.py").read_text(encoding="utf-8")
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    texts = {node.name: ast.get_source_segment(source, node) or "" for node in functions}
    return compile(source, "reference.py", "exec"), texts


@functools.cache
def _changed(way: Way) -> dict[str, CodeType]:
    """Return the code of the functions that a way changes. Raises LookupError unless a text stands there once."""
    texts = dict(_definition()[1])
    for function, old, new in (change for change in way if isinstance(change, tuple)):
        if texts[function].count(old) != 1:
            raise LookupError(f"{function} has {texts[function].count(old)} times: {old}")
        texts[function] = texts[function].replace(old, new)
    return {f: compile(text, f, "exec") for f, text in texts.items() if text != _definition()[1][f]}


def changed_functions(way: Way) -> set[str]:
    """Return the functions of the definition that a way changes."""
    return {change[0] for change in way if isinstance(change, tuple)}


def definition_with(way: Way, config: Any = None) -> ModuleType:
    """Return reference.py as a module of its own, with the changed lines of one way to make a mistake."""
    module = ModuleType("reference")
    module.__dict__.update(HELPERS, CONFIG=config)
    for code in (_definition()[0], *_changed(way).values()):
        exec(code, module.__dict__)
    return module


def weights_with(way: Way, weights: Mapping[str, Floats], config: Any) -> Mapping[str, Floats]:
    """Return the weights as one way to make a mistake looks them up."""
    for change in way:
        if not isinstance(change, tuple):
            weights = Looked(weights, change, config)
    return weights
