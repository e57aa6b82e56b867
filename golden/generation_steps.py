"""Step functions that need no model: logits from integer hashes of the ids so far, the same bits on every side.

A case (a JSON object of golden/generation.json) names its step function under "step": `kind`, `vocab`, `memory` (how
many of the last ids count; 0 for all) and one seed per document. There are two kinds:

- "exact": logits are multiples of 2^-12 between -40 and -24, but that of the last id, which is 0. Its probability is
  1 in float32, so the log-softmax of the others is their logit, to the bit, whoever computes it. The case forbids
  the last id by suppress_tokens. All sums are then exact, and scores must agree to the bit.
- "soft": logits between 0 and `spread`; log-softmax rounds, and scores agree to a few 1e-6.

`eos_bonus` is added to the logits of the ids in `eos`.
"""

from typing import Any

import numpy as np

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def mix(x: np.ndarray) -> np.ndarray:
    """Return a permutation of 64-bit integers that leaves no pattern (the finalizer of SplitMix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def logits(step: dict[str, Any], seeds: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Return the logits after ids: (R, L), for seeds: (R,); (R, vocab) float32."""
    vocab = step["vocab"]
    state = mix(seeds.astype(np.uint64) * MULTIPLIER)
    for token in ids[:, -step["memory"] :].T:
        state = mix(state ^ ((token.astype(np.uint64) + np.uint64(1)) * MULTIPLIER))
    bits = mix(state[:, None] + np.arange(vocab, dtype=np.uint64) * MULTIPLIER) >> np.uint64(48)  # 0..65535
    if step["kind"] == "exact":
        values = bits.astype(np.float64) / 4096 - 40
    else:
        values = bits.astype(np.float64) / 65536 * step["spread"]
    values[:, step.get("eos", [])] += step.get("eos_bonus", 0)
    if step["kind"] == "exact":
        values[:, -1] = 0
    return values.astype(np.float32)


def allowed_after(step: dict[str, Any], modulus: int):
    """Return a prefix_allowed_tokens_fn: no token whose sum with document and last id `modulus` divides."""
    return lambda document, ids: [v for v in range(step["vocab"] - 1) if (v + int(ids[-1]) + document) % modulus]


class HashState:
    """The state of a step function: the seed of each row, and how often it was reordered."""

    def __init__(self, seeds: np.ndarray, ids: np.ndarray | None = None):
        self.seeds, self.ids = seeds, ids

    def select(self, rows: np.ndarray) -> "HashState":
        assert self.ids is not None
        return HashState(self.seeds[rows], self.ids[rows])


def step_function(step: dict[str, Any]):
    """Return step(ids, state) -> logits, state; it refuses ids that do not continue those of its state."""

    def next_step(ids: np.ndarray, state: HashState):
        if state.ids is not None:
            assert np.array_equal(ids[:, :-1], state.ids), "rows were reordered without select, or the reverse"
        return logits(step, state.seeds, ids), HashState(state.seeds, ids.copy())

    return next_step


def start(step: dict[str, Any], beams: int) -> HashState:
    """Return the state before the first step, every document's row once per beam."""
    return HashState(np.repeat(np.array(step["seeds"], np.int64), beams))


def noise(size: int) -> np.ndarray:
    """Return what stands for the noise of draws where draws must be the same on every side: multiples of 2^-12 below 8.

    The draw of a row are the places of the largest sums of scores and this noise.
    """
    return ((mix(np.arange(size, dtype=np.uint64) * MULTIPLIER) >> np.uint64(49)) / 4096).astype(np.float32)
