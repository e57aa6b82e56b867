"""Weights that come from no file: random ones for a new model, and new rows for new tokens."""

from typing import Any

import numpy as np

from .. import checkpoint
from ..arrays import Floats, Weights
from ..config import LEDConfig


def random_weights(config: LEDConfig, head: str | None, seed: int, dtype: str) -> Weights:
    """Return the weights of a new model, drawn as upstream initialises (modeling_led.py:1050)."""
    rng = np.random.default_rng(int(seed))
    tensors: dict[str, Floats] = {}
    shapes = checkpoint.expected_shapes(config, head)
    checkpoint.check_memory(shapes.values(), dtype)
    for name, shape in shapes.items():
        if "layer_norm" in name or "layernorm" in name:
            tensors[name] = np.full(shape, float(name.endswith("weight")), dtype)
        elif name.endswith("bias"):
            tensors[name] = np.zeros(shape, dtype)
        else:
            tensors[name] = (rng.standard_normal(shape) * config.init_std).astype(dtype)
            if name.endswith(("shared.weight", "embed_tokens.weight")) and config.pad_token_id is not None:
                tensors[name][config.pad_token_id] = 0
    return checkpoint.assign(tensors, config, head, dtype=dtype, copy=False)[0]


def resized_weights(weights: Weights, config: LEDConfig, head: str | None, rng: np.random.Generator | None) -> Weights:
    """Return the weights with the shapes that a configuration asks for; new rows are as in `_resized`."""
    shapes = checkpoint.expected_shapes(config, head)
    checkpoint.check_memory(shapes.values(), "float32")
    resized: dict[int, Floats] = {}  # by the old array, which tied names share
    for name, old in weights.items():
        if old.shape != shapes[name] and id(old) not in resized:
            resized[id(old)] = _resized(old, shapes[name], rng, config.init_std)
    dtype = weights["shared.weight"].dtype.name
    named: dict[str, Any] = {name: resized.get(id(old), old) for name, old in weights.items()}
    return checkpoint.assign(named, config, head, dtype=dtype, copy=False)[0]


def _resized(old: Floats, shape: tuple[int, ...], rng: np.random.Generator | None, std: float) -> Floats:
    """Return an array of that shape: rows are cut, or added as the mean of the old ones or as `rng` draws them.

    A new bias is 0.
    """
    new = np.zeros(shape, old.dtype)
    shared = tuple(map(slice, np.minimum(old.shape, shape)))
    new[shared] = old[shared]
    added = new[len(old) :]
    if added.size:
        added[:] = old.mean(axis=0, dtype=np.float64) if rng is None else rng.standard_normal(added.shape) * std
    return new
