"""The names and shapes of LED's tensors, and which tensor of a file is which weight of a model.

Inside pyled a weight has the name that LEDModel's checkpoints give it: `encoder.layers.0.fc1.weight`. Models with a
head put `led.` in front; a file is read either way. The four embedding matrices are one where the configuration ties
them (`_tied_weights_keys`, transformers 5.23.0 modeling_led.py).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..arrays import Floats, Weights, physical_memory
from ..config import LEDConfig
from ..errors import CheckpointError, InputError, brief, escaped
from .safetensors import BF16, from_bf16

PREFIX = "led."
TIED = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
OPTIONAL = "final_logits_bias"  # a buffer of zeros that many files leave out
HEADS: dict[str | None, tuple[str, ...]] = {  # and how the names of their tensors begin
    None: (), "qa": ("qa_outputs.",), "classification": ("classification_head.",), "lm": ("lm_head.", OPTIONAL)
}  # fmt: skip
OF_HEAD = tuple(start for starts in HEADS.values() for start in starts)  # names that get no prefix
WRAPPERS = {  # the prefixes of a model that was saved inside a wrapper, and what to save instead
    "_orig_mod.": "save model._orig_mod (torch.compile), or ",
    "module.": "save model.module (DataParallel), or ",
    "base_model.model.": "save model.merge_and_unload() (peft), or ",
}
ORIGINAL_PREFIX = "model."  # of allenai's original code; see original.py
ANCHOR = "encoder.layernorm_embedding.weight"  # of every LED: its name in a file shows the prefix of all names
ROWS = 1024  # of two matrices that are compared at a time
SHOWN = 5  # names that a message lists before it counts the rest

Shapes = dict[str, tuple[int, ...]]


def _linear(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, E: int) -> Shapes:
    return {f"{name}.weight": (E,), f"{name}.bias": (E,)}


def _encoder_layer(name: str, E: int, F: int) -> Shapes:
    shapes: Shapes = {}
    for part in ("query", "key", "value", "query_global", "key_global", "value_global"):
        shapes |= _linear(f"{name}.self_attn.longformer_self_attn.{part}", E, E)
    shapes |= _linear(f"{name}.self_attn.output", E, E) | _norm(f"{name}.self_attn_layer_norm", E)
    shapes |= _linear(f"{name}.fc1", F, E) | _linear(f"{name}.fc2", E, F) | _norm(f"{name}.final_layer_norm", E)
    return shapes


def _decoder_layer(name: str, E: int, F: int) -> Shapes:
    shapes: Shapes = {}
    for attention in ("self_attn", "encoder_attn"):
        for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
            shapes |= _linear(f"{name}.{attention}.{part}", E, E)
        shapes |= _norm(f"{name}.{attention}_layer_norm", E)
    shapes |= _linear(f"{name}.fc1", F, E) | _linear(f"{name}.fc2", E, F) | _norm(f"{name}.final_layer_norm", E)
    return shapes


def expected_shapes(config: LEDConfig, head: str | None) -> Shapes:
    """Return every weight of a model by its name, with its shape. `head`: None, "lm", "qa" or "classification"."""
    if head not in [*HEADS]:
        raise InputError(f"head is {brief(head)}: it is one of {', '.join(map(repr, HEADS))}")
    V, E = config.vocab_size, config.d_model
    shapes: Shapes = {"shared.weight": (V, E)}
    sides = (
        ("encoder", config.encoder_layers, config.encoder_ffn_dim, config.max_encoder_position_embeddings),
        ("decoder", config.decoder_layers, config.decoder_ffn_dim, config.max_decoder_position_embeddings),
    )
    for side, depth, F, positions in sides:
        shapes[f"{side}.embed_tokens.weight"] = (V, E)
        shapes[f"{side}.embed_positions.weight"] = (positions, E)
        for i in range(depth):
            layer = _encoder_layer if side == "encoder" else _decoder_layer
            shapes |= layer(f"{side}.layers.{i}", E, F)
        shapes |= _norm(f"{side}.layernorm_embedding", E)
    if head == "lm":
        shapes |= {"final_logits_bias": (1, V), "lm_head.weight": (V, E)}
    elif head == "qa":
        shapes |= _linear("qa_outputs", 2, E)  # start and end of the answer, whatever num_labels says
    elif head == "classification":
        shapes |= _linear("classification_head.dense", E, E)
        shapes |= _linear("classification_head.out_proj", config.num_labels, E)
    return shapes


def learned_shapes(config: LEDConfig, head: str | None) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what a model learns, by name: tied matrices once, and no buffer."""
    shapes = expected_shapes(config, head)
    return {name: shapes[name] for name in stored_names(shapes, config) if name != OPTIONAL}


def stored_names(names: Iterable[str], config: LEDConfig) -> list[str]:
    """Return the names of the weights that a file holds: of tied matrices `shared` alone."""
    return [name for name in names if not (config.tie_word_embeddings and name in TIED[1:])]


def upstream_name(name: str, head: str | None) -> str:
    """Return upstream's name of a weight in the checkpoint of a model with this head."""
    return name if head is None or name.startswith(OF_HEAD) else PREFIX + name


@dataclass
class LoadReport:
    """The account of how a file's tensors became a model's weights.

    head: of the model
    tied: embedding names that share the first one's array
    assumed: weights that no tensor gave, and what was taken instead
    unused: tensors that are no weight of this model, by their names in the file
    conflicts: embeddings that config.json ties and the file does not, or the reverse, and what was taken
    not_rounded: why weights are not rounded for an arithmetic that was asked for
    missing, misshaped: weights without a tensor, and tensors of another shape than expected; `assign` raises for both
    """

    head: str | None = None
    tied: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    not_rounded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    misshaped: list[str] = field(default_factory=list)

    def surprises(self) -> list[str]:
        """Return the lines that a user should hear of: none for an ordinary checkpoint.

        A model without a head is often loaded from the file of one with a head, whose tensors are left over then.
        """
        unused = [name for name in self.unused if self.head is not None or not name.startswith(OF_HEAD)]
        told = self.conflicts + self.not_rounded
        return told + ([f"tensors that are no weight of this model: {listed(unused)}"] if unused else [])

    def lines(self) -> list[str]:
        """Return all of it in words."""
        tied = [f"tied: {' = '.join(self.tied)}"] if self.tied else []
        unused = [f"unused: {', '.join(map(escaped, self.unused))}"] if self.unused else []
        return tied + self.assumed + self.conflicts + self.not_rounded + unused

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def refusal(self) -> CheckpointError:
        """Return the error for missing or misshaped weights, with the reason that the file's names show."""
        problems, rule = [], "weights-missing" if self.missing else "weights-misshaped"
        if self.missing:
            problems.append(f"{len(self.missing)} weights are missing: {listed(self.missing)}")
        if self.misshaped:
            count = len(self.misshaped)
            problems.append(f"{count} tensors have another shape than config.json says: {listed(self.misshaped)}")
        lora = [name for name in self.unused if ".lora_" in name]
        anchors = [name for name in self.unused if name.endswith(f".{ANCHOR}") and ANCHOR in self.missing]
        remedy = "Are config.json and the weights of one checkpoint?"
        if lora:
            rule, remedy = "lora", f"The file holds a LoRA adapter ({listed(lora[:1])}): merge it first, with peft's"
            remedy += " merge_and_unload()"
        elif anchors:
            rule, prefix = "prefix", anchors[0].removesuffix(ANCHOR).removesuffix(PREFIX)
            advice = f"{WRAPPERS.get(prefix, '')}rename the tensors"
            if anchors[0] == ORIGINAL_PREFIX + ANCHOR:
                rule, advice = (
                    "original-layout",
                    f"if allenai's original code wrote it, run `pyled convert`, else {advice}",
                )
            remedy = f"The file has them under names that begin with {brief(prefix)}: {advice}"
        elif self.missing and not self.misshaped and all(name.startswith(OF_HEAD) for name in self.missing):
            remedy = f"The file is of a model without the head '{self.head}': load it with the class it was saved from"
            remedy += ", or fine-tune it with transformers first"
        return CheckpointError(f"{'; '.join(problems)}. {remedy}", rule)


def listed(names: Iterable[str]) -> str:
    """Return a few names in words, what is not printable escaped, and the number of the others."""
    listed = [name if name.isprintable() else repr(name) for name in sorted(names)]
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more


def assign(
    tensors: Weights, config: LEDConfig, head: str | None, *, dtype: str = "float32", copy: bool = True
) -> tuple[dict[str, Floats], LoadReport]:
    """Return the weights of a model from named tensors, accounting for every tensor and every weight.

    tensors: arrays by upstream's names, with `led.` or without
    dtype: of the weights, "float32" or "float64"; half precision is widened
    copy: False passes an array on that is already as it must be: of that type, contiguous, aligned
    returns: the weights, read-only, and the report

    Raises CheckpointError where a weight is missing or has another shape than the configuration says - also where a
    whole head is missing: upstream draws it at random, to be trained. Raises InputError for another dtype or head.
    """
    if dtype not in ("float32", "float64"):
        raise InputError(f"dtype is {brief(dtype)}: pyled computes in 'float32' or 'float64'")
    sources, report = account(tensors, config, head)
    if report.missing or report.misshaped:
        raise report.refusal()
    shapes = expected_shapes(config, head)
    used = sorted({sources[name] for name in shapes if name in sources})
    check_memory((tensors[source].shape for source in used if copy or not _is_fit(tensors[source], dtype)), dtype)
    arrays = {source: _frozen(_converted(tensors[source], source, dtype, copy)) for source in used}
    if OPTIONAL in shapes and OPTIONAL not in sources:
        report.assumed.append(f"{OPTIONAL} is not in the file: zeros")
        sources[OPTIONAL], arrays[OPTIONAL] = OPTIONAL, _frozen(np.zeros(shapes[OPTIONAL], dtype))
    return {name: arrays[sources[name]] for name in shapes}, report


def account(tensors: Weights, config: LEDConfig, head: str | None) -> tuple[dict[str, str], LoadReport]:
    """Return which tensor is which weight, weights to names in the file, and the report, with what is missing.

    Raises CheckpointError where two tensors would be one weight.
    """
    report = LoadReport(head)
    shapes = expected_shapes(config, head)
    plain = _plain_sources(tensors)
    sources = plain | _embedding_sources(shapes, plain, tensors, config.tie_word_embeddings, report)
    expected = dict.fromkeys(TIED, shapes[TIED[0]]) | shapes if config.tie_word_embeddings else shapes
    for name, source in plain.items():
        if name not in expected:
            report.unused.append(source)
        elif tensors[source].shape != expected[name]:
            report.misshaped.append(f"{source} {tensors[source].shape}, expected {expected[name]}")
    report.missing = [name for name in shapes if name not in sources and name != OPTIONAL]
    return sources, report


def _plain_sources(tensors: Weights) -> dict[str, str]:
    """Return the tensor of each weight that the file names: weights to names in the file."""
    sources: dict[str, str] = {}
    for source, array in tensors.items():
        if not isinstance(source, str) or not isinstance(array, np.ndarray):
            said = f"{brief(source)}: {type(array).__name__}; weights are NumPy arrays by their names"
            raise CheckpointError(said, "no-array")
        bare = source.removeprefix(PREFIX)
        name = source if bare.startswith(OF_HEAD) else bare
        if name in sources:
            said = f"both {brief(sources[name])} and {brief(source)} are there: leave one of them out"
            raise CheckpointError(said, "one-weight-twice")
        sources[name] = source
    return sources


def _embedding_sources(
    shapes: Shapes, sources: Mapping[str, str], tensors: Weights, is_tied: bool, report: LoadReport
) -> dict[str, str]:
    """Return the tensor of each embedding matrix that the file does not hold by itself.

    Tied, all are the first that the file has, `shared` before the others, as in transformers 4.57.6; 5.23.0 keeps
    copies that differ apart (modeling_utils.py:2557). Untied, a file of 4.57.6 still has one matrix for `shared` and
    the two `embed_tokens`, because only `lm_head` is untied there.
    """
    group = TIED if is_tied else TIED[:3]
    stored = [name for name in group if name in sources]
    if not stored:
        return {}
    first = sources[stored[0]]
    if not is_tied:
        absent = [name for name in group if name not in sources]
        for name in absent:
            report.conflicts.append(
                f"config.json unties {name}, but it is not in the file: {first} is taken, as in 4.57.6"
            )
        return dict.fromkeys(absent, first)
    report.tied = [name for name in group if name in shapes]
    for other in (sources[name] for name in stored[1:]):
        if tensors[other].shape == shapes[TIED[0]] and not _is_same(tensors[first], tensors[other]):
            report.conflicts.append(
                f"config.json ties {first} and {other}, but they differ: the first is taken for both; "
                f'"tie_word_embeddings": false keeps both'
            )
    return dict.fromkeys(report.tied, first)


def _is_same(a: Floats, b: Floats) -> bool:
    """Return whether two matrices hold the same numbers, comparing some rows at a time."""
    if a is b or a.shape != b.shape:
        return a is b
    blocks = ((from_bf16(a[i : i + ROWS]), from_bf16(b[i : i + ROWS])) for i in range(0, len(a), ROWS))
    return all(x.dtype.kind == y.dtype.kind == "f" and np.array_equal(x, y, equal_nan=True) for x, y in blocks)


def check_memory(shapes: Iterable[tuple[int, ...]], dtype: str) -> None:
    """Raise CheckpointError unless new arrays of these shapes fit into the memory of this machine."""
    size, memory = sum(map(math.prod, shapes)) * np.dtype(dtype).itemsize, physical_memory()
    if size > memory:
        said = f"the weights take {size:,} bytes in {dtype}, and this machine has {memory:,} bytes of memory"
        raise CheckpointError(f"{said}: make the model smaller, or use a larger machine", "memory")


def check_floats(source: str, array: Floats) -> None:
    """Raise CheckpointError for a tensor that holds no floating-point numbers."""
    if array.dtype.kind != "f" and array.dtype != BF16:
        said = f"{source} holds {array.dtype} values: weights are floating-point numbers"
        raise CheckpointError(said, "no-floats")


def _is_fit(array: Floats, dtype: str) -> bool:
    return array.dtype == np.dtype(dtype) and array.flags.c_contiguous and array.flags.aligned


def _converted(array: Floats, source: str, dtype: str, copy: bool) -> Floats:
    check_floats(source, array)
    array = from_bf16(array)
    if _is_fit(array, dtype) and not copy:
        return array
    try:
        with np.errstate(over="raise", under="ignore", invalid="ignore"):  # invalid: a signalling NaN
            return np.array(array, dtype, order="C")
    except FloatingPointError:
        said = f"{source} holds values beyond the range of {dtype}: load it with dtype float64"
        raise CheckpointError(said, "beyond-float32") from None


def _frozen(array: Floats) -> Floats:
    array.flags.writeable = False
    return array
