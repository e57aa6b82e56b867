"""The choice of what a forward pass keeps for the backward pass: memory against time.

A layer's backward needs the stages between the layer's input and its output. What was not kept is computed again, by
the functions of `network/`, to the same bits. Numbers per token of an encoder layer:

| policy | stages | numbers | computed again |
|---|---|---|---|
| recompute | the input | E | the whole layer |
| selective | and queries, keys, values, context, the logarithms of softmax's sums | 5E + H | all behind the context |
| keep | and both outputs before their residual, the norm between, the feed-forward's inner numbers | 8E + F + H | - |

`recompute` is what others call gradient checkpointing: it costs one more forward pass.
"""

from collections.abc import Mapping
from typing import Literal

from ..arrays import Floats
from ..network.observe import Stages
from .sums import Sums

Policy = Literal["keep", "selective", "recompute"]

INPUTS = ("layernorm_embedding", "final_layer_norm")  # stages that go into the next layer
ATTENTION = (
    ".query", ".key", ".value", ".longformer_self_attn", ".log_sums",  # of the encoder
    ".q_proj", ".self_attn.k_proj", ".self_attn.v_proj", ".context",  # of the decoder; the source's are made by layer
)  # fmt: skip
OUTPUTS = (".output", ".out_proj", ".self_attn_layer_norm", ".encoder_attn_layer_norm", ".fc1", ".fc2")
ENDINGS: dict[Policy, tuple[str, ...]] = {
    "recompute": INPUTS,
    "selective": INPUTS + ATTENTION,
    "keep": INPUTS + ATTENTION + OUTPUTS,
}


def kept_numbers(policy: Policy, E: int, F: int, H: int) -> int:
    """Return how many numbers of a token an encoder layer keeps: the table above."""
    return {"recompute": E, "selective": 5 * E + H, "keep": 8 * E + F + H}[policy]


def products_again(policy: Policy, E: int, F: int) -> float:
    """Return the part of an encoder layer's products that is computed again: of E x E four, and of E x F two."""
    return {"recompute": 1.0, "selective": (E + 2 * F) / (4 * E + 2 * F), "keep": 0.0}[policy]


class Kept(Stages):
    """An observer of a forward pass that keeps copies of the stages that the policy says, of some layers.

    A backward function takes a stage out (`pop`), and computes it again where it is not there.

    layers: by stack ("encoder", "decoder") the numbers of the layers whose stages are kept
    """

    def __init__(self, policy: Policy, layers: Mapping[str, range]) -> None:
        # subtle: who wants the logarithms has the band's kernel attend to few target tokens, too. So all want them.
        of_decoder = ENDINGS["keep"] if policy == "keep" else (*INPUTS, ".log_sums")
        of_stack = {"encoder": ENDINGS[policy], "decoder": of_decoder}

        def picks(name: str) -> bool:
            stack, _, rest = name.partition(".")
            endings = of_stack.get(stack, ())
            number = int(rest.split(".")[1]) if rest.startswith("layers.") else -1  # -1: the embedding
            if name.endswith(INPUTS):
                number += 1  # the output of one layer is the input of the next
            return name.endswith(endings) and number in layers.get(stack, ())

        super().__init__(picks)

    def __call__(self, name: str, array: Floats) -> None:
        if self.wants(name):
            # subtle: in the array's own order. Queries are seen as (S, H, D), and lie in memory as (H, S, D).
            self[name] = array.copy(order="K")


def lowest_layer(stack: str, layers: int, layerdrop: float, sums: Sums) -> int:
    """Return the number of the lowest layer that the backward pass reaches; `layers` where it reaches none.

    What lies below the lowest trained weight is not differentiated, and keeps nothing.
    """
    # subtle: with layerdrop the input of a layer may come from any layer below it. So all are kept.
    if sums.trains(f"{stack}.embed_", f"{stack}.layernorm_embedding") or (layerdrop and sums.trains(f"{stack}.")):
        return 0
    return next((i for i in range(layers) if sums.trains(f"{stack}.layers.{i}.")), layers)
