"""The stages of a forward pass: their names, shapes and order, and which is computed from which.

A stage has the name of the checkpoint's module whose result it is, without `led.`; docs/porting.md lists them all.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import LEDConfig
from ..tasks.loading import architecture

INPUTS = (
    "input_ids", "attention_mask", "global_attention_mask", "decoder_input_ids", "decoder_attention_mask", "labels",
    "start_positions", "end_positions",
)  # fmt: skip
HEADS = {"LEDModel": None, "LEDForQuestionAnswering": "qa", "LEDForSequenceClassification": "classification"}
PAIRS = 1024**2  # pairs of tokens from which on a stage of pairs is left out unless it is asked for


@dataclass(frozen=True)
class Stage:
    """An array of a trace.

    inputs: the stages that it is computed from, directly
    is_module_output: a module of the checkpoint, or of transformers' model, has it as its result
    axes: a letter for each axis, see arrays.py; "L" are labels, "2" the two ends of an answer
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    inputs: tuple[str, ...] = ()
    is_module_output: bool = False
    axes: str = ""

    @property
    def size(self) -> int:
        """Return its bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize

    @property
    def is_large(self) -> bool:
        """Return True for scores and probabilities of so many pairs that a trace leaves them out unless asked."""
        return self.name.endswith((".scores", ".probs")) and self.shape[2] * self.shape[3] > PAIRS


def head_of(config: LEDConfig) -> str | None:
    """Return the head of the model that a configuration names: "lm" where it names none."""
    return HEADS.get(architecture(config) or "", "lm")


def stages_of(
    config: LEDConfig, inputs: Mapping[str, NDArray[Any]], *, head: str | None = "config", dtype: str = "float64"
) -> list[Stage]:
    """Return the stages of a call in the order in which they are computed, those of its inputs first.

    inputs: arrays by the names of Hugging Face's arguments, decoder_input_ids among them
    head: "lm", "qa", "classification" or None for none; "config" for that of the class which the configuration names

    >>> config = LEDConfig(encoder_layers=1, decoder_layers=1, attention_window=[4])
    >>> call = {"input_ids": np.zeros((1, 9), int), "decoder_input_ids": np.zeros((1, 2), int)}
    >>> stages = {stage.name: stage for stage in stages_of(config, call)}
    >>> stages["encoder.layers.0.fc1"].shape, stages["encoder.layers.0.fc1"].inputs
    ((1, 9, 4096), ('encoder.layers.0.self_attn_layer_norm',))
    """
    graph = _Graph(config, inputs, head_of(config) if head == "config" else head, dtype)
    return [*graph.all()]


class _Graph:
    """The stages of one call, built from first to last; `last` is the stage that the next part begins from."""

    def __init__(self, config: LEDConfig, inputs: Mapping[str, Any], head: str | None, dtype: str) -> None:
        self.config, self.inputs, self.head, self.dtype = config, inputs, head, dtype
        (B, S), T = np.shape(inputs["input_ids"]), np.shape(inputs["decoder_input_ids"])[1]
        self.sizes = {"B": B, "S": S, "T": T, "E": config.d_model, "V": config.vocab_size, "2": 2}
        self.sizes |= {"G": int(global_tokens(inputs).sum(axis=1).max()), "L": config.num_labels}
        self.last = ""

    def all(self) -> Iterator[Stage]:
        for name in INPUTS:
            if name in self.inputs:
                array = np.asarray(self.inputs[name])
                yield Stage(f"in.{name}", array.shape, "float64" if array.dtype.kind == "f" else "int64")
        yield from self.stack("encoder", "S", "input_ids")
        states = self.last
        yield from self.stack("decoder", "T", "decoder_input_ids", states)
        yield from self.of_head()

    def stage(self, name: str, axes: str, *inputs: str, is_module: bool = True, dtype: str | None = None) -> Stage:
        """Return a stage; of inputs that begin with "in." only those that were passed count."""
        there = tuple(one for one in inputs if one and (one[:3] != "in." or one[3:] in self.inputs))
        shape = tuple(self.sizes[axis] for axis in axes)
        return Stage(name, shape, dtype or self.dtype, there, is_module, axes)

    def stack(self, side: str, rows: str, ids: str, states: str = "") -> Iterator[Stage]:
        axes = f"B{rows}E"
        tokens, positions, self.last = (
            f"{side}.{part}" for part in ("embed_tokens", "embed_positions", "layernorm_embedding")
        )
        self.sizes["H"] = getattr(self.config, f"{side}_attention_heads")
        self.sizes["F"] = getattr(self.config, f"{side}_ffn_dim")
        yield self.stage(tokens, axes, f"in.{ids}")
        yield self.stage(positions, axes, f"in.{ids}")
        yield self.stage(self.last, axes, tokens, positions)
        for i in range(getattr(self.config, f"{side}_layers")):
            name = f"{side}.layers.{i}"
            if states:
                yield from self.decoder_attention(f"{name}.self_attn", self.last, "T", "in.decoder_attention_mask")
                yield from self.decoder_attention(f"{name}.encoder_attn", states, "S", "in.attention_mask")
            else:
                yield from self.encoder_attention(f"{name}.self_attn")
            yield self.stage(f"{name}.fc1", f"B{rows}F", self.last)
            yield self.stage(f"{name}.activation_fn", f"B{rows}F", f"{name}.fc1")
            yield self.stage(f"{name}.fc2", axes, f"{name}.activation_fn")
            yield self.norm(f"{name}.final_layer_norm", axes, f"{name}.fc2")

    def norm(self, name: str, axes: str, output: str) -> Stage:
        """Return the stage of a residual and its norm, which the next part begins from."""
        before, self.last = self.last, name
        return self.stage(name, axes, before, output)

    def encoder_attention(self, name: str) -> Iterator[Stage]:
        inner, masks = f"{name}.longformer_self_attn", ("in.attention_mask", "in.global_attention_mask")
        parts = [f"{inner}.{part}" for part in ("query", "key", "value")]
        for part in parts:
            yield self.stage(part, "BSE", self.last)
        if self.sizes["G"]:
            yield self.stage(f"{parts[0]}_global", "BGE", self.last, *masks)
            yield self.stage(f"{parts[1]}_global", "BSE", self.last)
            yield self.stage(f"{parts[2]}_global", "BSE", self.last)
            parts += [f"{part}_global" for part in parts]
        values = [part for part in parts if "value" in part]
        yield self.stage(
            f"{name}.scores", "BHSS", *(part for part in parts if part not in values), *masks, is_module=False
        )
        yield self.stage(f"{name}.probs", "BHSS", f"{name}.scores", is_module=False)
        yield self.stage(inner, "BSE", f"{name}.probs", *values)
        yield self.stage(f"{name}.output", "BSE", inner)
        yield self.norm(f"{name}_layer_norm", "BSE", f"{name}.output")

    def decoder_attention(self, name: str, source: str, keys: str, mask: str) -> Iterator[Stage]:
        q, k, v, output = (f"{name}.{part}_proj" for part in ("q", "k", "v", "out"))
        yield self.stage(q, "BTE", self.last)
        yield self.stage(k, f"B{keys}E", source)
        yield self.stage(v, f"B{keys}E", source)
        yield self.stage(f"{name}.scores", f"BHT{keys}", q, k, mask, is_module=False)
        yield self.stage(f"{name}.probs", f"BHT{keys}", f"{name}.scores", is_module=False)
        yield self.stage(f"{name}.context", "BTE", f"{name}.probs", v, is_module=False)
        yield self.stage(output, "BTE", f"{name}.context")
        yield self.norm(f"{name}_layer_norm", "BTE", output)

    def of_head(self) -> Iterator[Stage]:
        if self.head == "lm":
            yield self.stage("lm_head", "BTV", self.last)
            yield self.stage("logits", "BTV", "lm_head", is_module=False)
            yield self.stage("tokens", "BT", "logits", is_module=False, dtype="int64")
        elif self.head == "qa":
            yield self.stage("qa_outputs", "BT2", self.last)
        elif self.head == "classification":
            yield self.stage("classification_head.dense", "BE", self.last, "in.input_ids")
            yield self.stage("classification_head.out_proj", "BL", "classification_head.dense")
        logits = {"lm": "logits", "qa": "qa_outputs", "classification": "classification_head.out_proj"}
        targets = [f"in.{name}" for name in ("labels", "start_positions", "end_positions") if name in self.inputs]
        if targets and self.head is not None:
            yield self.stage("loss", "", logits[self.head], *targets, is_module=False)


def global_tokens(inputs: Mapping[str, Any]) -> Any:
    """Return which tokens are global, (B, S) bool: those that are marked and real."""
    ids = np.asarray(inputs["input_ids"])
    marks, mask = (np.asarray(inputs.get(name, default)) for name, default in (
        ("global_attention_mask", np.zeros_like(ids)), ("attention_mask", np.ones_like(ids))
    ))  # fmt: skip
    return (marks > 0) & (mask > 0)
