"""The recipe of weights and inputs, for the models of golden/ and of the conformance kit, which are stored nowhere.

Whoever ports LED to another language can follow it without NumPy. Element i (from 0, row by row) of the tensor
`name` under `seed`, with all arithmetic on unsigned 64-bit integers that wraps around:

    h = 0xcbf29ce484222325;  for each byte c of the ASCII text "{seed}/{name}":  h = (h xor c) * 0x100000001b3
    z = h + (i + 1) * 0x9e3779b97f4a7c15
    z = (z xor (z >> 30)) * 0xbf58476d1ce4e5b9
    z = (z xor (z >> 27)) * 0x94d049bb133111eb
    z = z xor (z >> 31)
    value = (2 * (z >> 52) - 4095) / 8192          an odd multiple of 2^-13 between -1/2 and 1/2, exact in float32

A weight is `value`; the scale of a layer norm (`*norm*.weight`) is 1 + value; the token and position embeddings and
`lm_head.weight` are 2 * value; every other matrix with more than 64 inputs is value / 2^k, with the least k for which
64 * 4^k inputs are no fewer. Tied tensors are all made under the name `led.shared.weight`. Ids are
low + z mod (high - low). (FNV-1a for the name, SplitMix64 for the element.)
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

TIED = ("led.shared.weight", "led.encoder.embed_tokens.weight", "led.decoder.embed_tokens.weight", "lm_head.weight")


def hashed(name: str, seed: int, count: int) -> NDArray[np.uint64]:
    """Return the first `count` values of z for a name: (count,) uint64."""
    h = 0xCBF29CE484222325
    for byte in f"{seed}/{name}".encode("ascii"):
        h = ((h ^ byte) * 0x100000001B3) % 2**64
    z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(h)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def reals(name: str, seed: int, shape: tuple[int, ...], dtype: Any = np.float64) -> NDArray[Any]:
    """Return odd multiples of 2^-13 between -1/2 and 1/2."""
    top = (hashed(name, seed, int(np.prod(shape))) >> np.uint64(52)).astype(np.int64)
    return ((2 * top - 4095) / 8192).reshape(shape).astype(dtype)


def integers(name: str, seed: int, shape: tuple[int, ...], low: int, high: int) -> NDArray[np.int64]:
    """Return integers from low to high - 1."""
    z = hashed(name, seed, int(np.prod(shape))) % np.uint64(high - low)
    return z.astype(np.int64).reshape(shape) + low


def halvings(inputs: int) -> int:
    """Return how often the matrix of a module is halved: the least k with inputs <= 64 * 4^k; 2 for 768.

    Sums of very many terms would otherwise be so large that attention picks one token, and roundings decide which.
    """
    return next(k for k in range(64) if inputs <= 64 * 4**k)


def architecture(config: Mapping[str, Any]) -> str:
    """Return the class of upstream's that a checkpoint is of."""
    (name,) = config.get("architectures") or ("LEDForConditionalGeneration",)
    return str(name)


def head_weights(kind: str, E: int, num_labels: int) -> dict[str, NDArray[Any]]:
    """Return the tensors of a head, "qa" or "classification": of seed 0, matrices 8 or 2 times `value`, in float32."""
    sizes, scale = {"qa_outputs": (2, E)}, 8
    if kind == "classification":
        scale, sizes = 2, {"classification_head.dense": (E, E), "classification_head.out_proj": (num_labels, E)}
    tensors = {}
    for name, size in sizes.items():
        tensors[f"{name}.weight"] = scale * reals(f"{name}.weight", 0, size, np.float32)
        tensors[f"{name}.bias"] = reals(f"{name}.bias", 0, size[:1], np.float32)
    return tensors


def shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the tensors of a checkpoint, in upstream's names, by their shapes; its `architectures` say the head."""
    V, E = config["vocab_size"], config["d_model"]
    sizes: dict[str, tuple[int, ...]] = {"led.shared.weight": (V, E)}

    def linear(name: str, outputs: int, inputs: int) -> None:
        sizes[f"{name}.weight"], sizes[f"{name}.bias"] = (outputs, inputs), (outputs,)

    def norm(name: str) -> None:
        sizes[f"{name}.weight"], sizes[f"{name}.bias"] = (E,), (E,)

    for side in ("encoder", "decoder"):
        F = config[f"{side}_ffn_dim"]
        sizes[f"led.{side}.embed_tokens.weight"] = (V, E)
        sizes[f"led.{side}.embed_positions.weight"] = (config[f"max_{side}_position_embeddings"], E)
        norm(f"led.{side}.layernorm_embedding")
        for i in range(config[f"{side}_layers"]):
            layer = f"led.{side}.layers.{i}"
            if side == "encoder":
                for part in ("query", "key", "value", "query_global", "key_global", "value_global"):
                    linear(f"{layer}.self_attn.longformer_self_attn.{part}", E, E)
                linear(f"{layer}.self_attn.output", E, E)
            else:
                for attention in ("self_attn", "encoder_attn"):
                    for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
                        linear(f"{layer}.{attention}.{part}", E, E)
                norm(f"{layer}.encoder_attn_layer_norm")
            norm(f"{layer}.self_attn_layer_norm")
            linear(f"{layer}.fc1", F, E)
            linear(f"{layer}.fc2", E, F)
            norm(f"{layer}.final_layer_norm")
    match architecture(config):
        case "LEDForConditionalGeneration":
            sizes["final_logits_bias"] = (1, V)
            sizes["lm_head.weight"] = (V, E)
        case "LEDForQuestionAnswering":
            linear("qa_outputs", 2, E)
        case "LEDForSequenceClassification":
            linear("classification_head.dense", E, E)
            linear("classification_head.out_proj", config["num_labels"], E)
    return sizes


def make_weights(config: Mapping[str, Any], seed: int, dtype: Any = np.float64) -> dict[str, NDArray[Any]]:
    """Return every tensor of the model with this `config.json`, in upstream's names; tied ones are one array."""
    tensors: dict[str, NDArray[Any]] = {}
    for name, shape in shapes(config).items():
        if name in TIED and name != TIED[0] and config.get("tie_word_embeddings", True):
            tensors[name] = tensors[TIED[0]]
            continue
        value = reals(name, seed, shape, dtype)
        if name in TIED or "embed_positions" in name:
            value = 2 * value
        elif "norm" in name and name.endswith(".weight"):
            value = 1 + value
        elif name.endswith(".weight"):
            value = value / 2 ** halvings(shape[1])
        tensors[name] = value
    return tensors
