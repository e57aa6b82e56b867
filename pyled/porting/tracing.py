"""The trace: every stage of a forward pass, by the definition or by the fast path, and gradients, into a file.

Both engines compute all tokens, padding too, and give the same arrays within the error budget. Each stage is written
when it is computed, so that memory holds few of them at a time; where the definition computes several documents, it
holds all, since it takes one document after the other.
"""

import copy
import difflib
import fnmatch
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .. import reference
from ..annotations import checked_arguments
from ..arrays import Bools, Floats, Ids, Weights
from ..checkpoint.directory import read_directory
from ..config import LEDConfig
from ..errors import InputError, brief
from ..hub import MODEL, named, opened
from ..models import (
    LEDForConditionalGeneration,
    LEDForQuestionAnswering,
    LEDForSequenceClassification,
    LEDModel,
)
from ..models.arguments import Tokens
from ..models.base import DType
from ..models.headed import HeadedModel
from ..models.seq2seq import Checked, Seq2SeqModel
from ..network import heads, losses
from ..network.attention import SourceKeysByLayer
from ..network.batch import Batch
from ..network.cache import Cache
from ..network.decoder import decoder
from ..network.encoder import encoder
from ..network.layers import fixed
from ..network.observe import Stages
from ..version import __version__
from .dumps import Writer
from .measures import hash_of, nudged, passes, pieces_of
from .stages import INPUTS, Stage, head_of, stages_of

Engine = Literal["fast", "definition"]
CLASSES: dict[str | None, type[Seq2SeqModel[Any]]] = {
    None: LEDModel, "lm": LEDForConditionalGeneration, "qa": LEDForQuestionAnswering,
    "classification": LEDForSequenceClassification,
}  # fmt: skip

# 1. What is asked for


@checked_arguments
def trace(
    model: Any,
    inputs: Mapping[str, Any],
    engine: Engine = "fast",
    dtype: DType = "float64",
    stages: str | None = None,
    gradients: bool = False,
) -> dict[str, NDArray[Any]]:
    """Return the stages of a call by their names, see docs/porting.md, in the order in which they are computed.

    model: one in memory, or the directory of a checkpoint, or its name on a hub
    inputs: arrays by the names of a call's arguments: input_ids, attention_mask, ..., labels
    engine: "definition" computes by pyled/reference.py, "fast" as a model does
    stages: names with * and ? for what is asked for, several with commas between; None for all, but for scores and
        probabilities of more than 1024 x 1024 pairs
    gradients: whether those of the loss with respect to weights and stages are there, too, as "grad.NAME"

    Raises InputError for arguments, CheckpointError, ConfigError for files.
    """
    call, by_name = Call(model, inputs, engine, dtype, stages, gradients), dict[str, NDArray[Any]]()
    call.run(lambda name, array: by_name.update({name: array.copy()}))
    return {stage.name: by_name[stage.name] for stage in call.stages}


@checked_arguments
def write_trace(
    model: Any,
    inputs: Mapping[str, Any],
    path: str | Path,
    engine: Engine = "fast",
    dtype: DType = "float64",
    stages: str | None = None,
    gradients: bool = False,
    started: Callable[["Call"], object] = lambda call: None,
    before: Callable[[], object] = lambda: None,
) -> None:
    """Write what `trace` returns into a file, .npz or .safetensors, a stage at a time; see `dumps.Writer`.

    The file says of what it is, and has the error of the same engine in float32 for each stage: the largest difference,
    divided by the stage's largest number or by 1.

    started: called with the Call when all is known of what will be written, and nothing is yet
    before: called before each stage is written; what it raises leaves no file

    Raises InputError for arguments, CheckpointError, ConfigError for files, OSError.
    """
    call = Call(model, inputs, engine, dtype, stages, gradients)
    started(call)
    about = call.about()
    with Writer(path, call.stages, about) as writer:

        def put(name: str, array: NDArray[Any]) -> None:
            before()
            writer.write(name, array)

        def written(name: str) -> NDArray[Any]:
            before()
            return writer.written(name)

        call.run(put)
        if dtype == "float64":
            about["float32_error"] = call.float32_errors(written)


class Call:
    """A call to be traced, all questions settled.

    inputs: the arrays of "in.NAME", by NAME; stages: what will be there; left_out: stages of too many pairs
    """

    def __init__(
        self, model: Any, inputs: Mapping[str, Any], engine: str, dtype: str, pattern: str | None, gradients: bool
    ) -> None:
        if gradients and engine == "definition":
            raise InputError("gradients=True with engine='definition', which has no backward pass: pass engine='fast'")
        self.name, self.engine, self.dtype = "in memory", engine, dtype
        if isinstance(model, str | Path):
            model, self.name = _loaded(model)
        if not isinstance(model, Seq2SeqModel):
            raise InputError(f"model is a {type(model).__name__}: pass an LED model, or the directory of a checkpoint")
        model.refuse_rounded("trace")
        self.model = model
        inputs = {name.removeprefix("in."): array for name, array in inputs.items() if array is not None}
        if unknown := sorted(inputs.keys() - {*INPUTS}):
            raise InputError(f"inputs has {brief(unknown[0])}: a trace takes {', '.join(INPUTS)}")
        if "input_ids" not in inputs:
            raise InputError("inputs has no input_ids: pass the ids of the source")
        self.checked: Checked = model.checked_call(**inputs)
        inputs["decoder_input_ids"] = _ids(self.checked.target)
        arrays = {name: np.asarray(inputs[name]) for name in INPUTS if name in inputs}
        self.inputs = {
            name: array.astype(np.float64 if array.dtype.kind == "f" else np.int64) for name, array in arrays.items()
        }
        every = stages_of(model.config, self.inputs, head=model.head, dtype=dtype)
        self._gradients = self._differentiated(every) if gradients else {}
        names = [stage.name for stage in every] + [*self._gradients]
        _check_pattern(pattern, names)
        of_gradients = [Stage(name, array.shape, str(array.dtype)) for name, array in self._gradients.items()]
        self.stages, self.left_out = _picked(every + of_gradients, pattern)

    @property
    def size(self) -> int:
        """Return the bytes of all arrays."""
        return sum(stage.size for stage in self.stages)

    def about(self) -> dict[str, Any]:
        """Return what a file says of itself."""
        config = self.model.config.to_dict() | {"architectures": [type(self.model).__name__]}
        return {
            "format": "pyled trace 1", "pyled": __version__, "engine": self.engine, "dtype": self.dtype,
            "checkpoint": self.name, "weights": hash_of(self.model.weights), "config": config,
        }  # fmt: skip

    def run(self, put: Callable[[str, NDArray[Any]], object]) -> None:
        """Hand each array to a function when it is computed; it is valid until that returns."""
        for name, array in self.inputs.items():
            put(f"in.{name}", array)
        self._run(put, self.stages, self.dtype)
        for stage in self.stages:
            if stage.name in self._gradients:
                put(stage.name, self._gradients[stage.name])

    def float32_errors(self, truth: Callable[[str], NDArray[Any]]) -> dict[str, float]:
        """Return the error of each stage in float32, where the truth is finite: the largest of several passes."""
        errors: dict[str, float] = {}

        def put(name: str, array: NDArray[Any]) -> None:
            errors[name] = max(errors.get(name, 0.0), error(array, truth(name)))

        for seed in passes(self.inputs["input_ids"].size):
            self._run(put, [stage for stage in self.stages if stage.dtype == "float64"], "float32", seed)
        return {name: error for name, error in errors.items() if np.isfinite(error)}

    def _run(
        self, put: Callable[[str, NDArray[Any]], object], stages: Iterable[Stage], dtype: str, seed: int = 0
    ) -> None:
        engine, weights = (
            _by_definition if self.engine == "definition" else _fast,
            _InType(self.model.weights, dtype, seed),
        )
        with np.errstate(over="ignore", invalid="ignore"):
            engine(self.model, weights, self.checked, _Sink(put, stages))

    def _differentiated(self, every: list[Stage]) -> dict[str, NDArray[Any]]:
        """Return the gradients of the loss by "grad.NAME": of stages, the last first, in their shapes, and of weights.

        Of tied weights there is one, the sum of all uses, under the name of the first.
        """
        model, seen, arguments = self.model, Stages(), dict[str, Any](self.inputs)
        if not isinstance(model, HeadedModel):
            raise InputError(f"gradients=True, but an {type(model).__name__} has no loss: pass a model with a head")
        model = model if model.dtype == self.dtype else _in_type(model, self.dtype)
        _, of_weights = model.loss_and_gradients(**arguments, training=False, see=seen)
        lengths = self.checked.masks.lengths
        gradients = {
            f"grad.{stage.name}": _in_batch(seen[stage.name], stage, lengths)
            for stage in reversed(every) if stage.name in seen
        }  # fmt: skip
        names = {id(of_weights[name]): name for name in sorted(of_weights, reverse=True)}
        names |= {id(array): name for name, array in of_weights.items() if name.endswith("shared.weight")}
        return gradients | {f"grad.{name}": of_weights[name] for name in sorted(names.values())}


def _loaded(name: str | Path) -> tuple[Seq2SeqModel[Any], str]:
    """Return the model of a checkpoint, in float64 where its numbers have more bits than float32, and its name."""
    place, _ = opened(name, {}, *MODEL)
    config = LEDConfig.from_pretrained(place)
    tensors = (array for shard in read_directory(place).values() for array in shard.values())
    dtype = "float64" if any(array.dtype == np.float64 for array in tensors) else "float32"
    return CLASSES[head_of(config)].of_checkpoint(place, config, dtype), named(place)


def _in_type(model: HeadedModel[Any], dtype: str) -> HeadedModel[Any]:
    """Return a model of the same weights in another float type; what is tied stays tied."""
    arrays = {id(array): array for array in model.weights.values()}
    other = copy.copy(model)
    converted = {number: fixed(array.astype(dtype)) for number, array in arrays.items()}
    other.weights = {name: converted[id(array)] for name, array in model.weights.items()}
    return other


def _picked(every: list[Stage], pattern: str | None) -> tuple[list[Stage], list[str]]:
    """Return the stages that a pattern names, with all inputs, and the names of those that are too large."""
    left_out = [stage.name for stage in every if pattern is None and stage.is_large]
    picked = [
        stage for stage in every
        if stage.name.startswith("in.") or (is_picked(stage.name, pattern) and stage.name not in left_out)
    ]  # fmt: skip
    return picked, left_out


def is_picked(name: str, pattern: str | None) -> bool:
    """Return True for a name that a pattern names."""
    return pattern is None or any(fnmatch.fnmatchcase(name, part.strip()) for part in pattern.split(","))


def _check_pattern(pattern: str | None, names: list[str]) -> None:
    """Raise InputError for a part of a pattern that matches no name."""
    for part in () if pattern is None else pattern.split(","):
        if not fnmatch.filter(names, part.strip()):
            stages = [name for name in names if not name.startswith("in.")]
            (near,) = difflib.get_close_matches(part.strip(), stages, n=1, cutoff=0.0) or stages[:1]
            raise InputError(f"stages={brief(part.strip())} matches no stage of this call: {near} is one")


def error(numbers: NDArray[Any], truth: NDArray[Any]) -> float:
    """Return the largest difference from the truth where that is finite, divided by its largest number or by 1."""
    most, largest = 0.0, 1.0
    for got, exact in zip(pieces_of(numbers), pieces_of(truth), strict=True):
        is_finite = np.isfinite(exact)
        got, exact = got[is_finite].astype(np.float64), exact[is_finite]
        most = float(np.max(np.abs(got - exact), initial=most))
        largest = float(np.max(np.abs(exact), initial=largest))
    return most / largest


# 2. From the engines' arrays to those of a batch


class _InType(Mapping[str, Any]):
    """Weights in a float type; another than theirs is made of each when it is asked for, and let go. See `nudged`."""

    def __init__(self, weights: Weights, dtype: str, seed: int) -> None:
        self._weights, self.dtype, self._seed = weights, np.dtype(dtype), seed

    def __getitem__(self, name: str) -> Floats:
        array: Floats = self._weights[name]
        array = nudged(name, array.astype(self.dtype, copy=False), self._seed)
        return array if array is self._weights[name] else fixed(array)

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    def embedded(self, side: str, ids: Ids) -> Floats:
        """Return the rows of an embedding."""
        rows: Floats = self._weights[f"{side}.embed_tokens.weight"][ids]
        return rows.astype(self.dtype)


class _Sink:
    """An observer that hands stages of some names to a function, in the shape that they have for the whole batch."""

    def __init__(self, put: Callable[[str, NDArray[Any]], object], stages: Iterable[Stage]) -> None:
        self.put, self.shapes = put, {stage.name: stage.shape for stage in stages}

    def wants(self, name: str) -> bool:
        return name in self.shapes

    def __call__(self, name: str, array: NDArray[Any]) -> None:
        if name in self.shapes:
            self.put(name, np.ascontiguousarray(array).reshape(self.shapes[name]))


class _Rows:
    """Puts the stages of documents into arrays of the batch, (B, ...), and shows each when it is whole."""

    def __init__(self, sink: _Sink, B: int) -> None:
        self.sink, self._B = sink, B
        self._wholes: dict[str, NDArray[Any]] = {}
        self._missing: dict[str, int] = {}

    def put(self, b: int, name: str, array: NDArray[Any]) -> None:
        """Put in the stage of document b; rows behind those of a smaller array are 0, or -inf for scores."""
        if not self.sink.wants(name):
            return
        if name not in self._wholes:
            nothing = -np.inf if name.endswith(".scores") else 0
            self._wholes[name] = np.full(self.sink.shapes[name], nothing, array.dtype)
            self._missing[name] = self._B
        self._wholes[name][b][tuple(map(slice, array.shape))] = array
        self._missing[name] -= 1
        if not self._missing[name]:
            self.sink(name, self._wholes.pop(name))


class _Document:
    """The observer of one document of the fast path: of scores and probabilities it makes dense arrays."""

    def __init__(self, rows: _Rows, b: int, is_global: Bools) -> None:
        self._rows, self._b, self._places = rows, b, np.flatnonzero(is_global)
        self._parts: dict[str, Floats] = {}
        self.wants = rows.sink.wants

    def __call__(self, name: str, array: Floats) -> None:
        stage, _, part = name.rpartition(".")
        if self.wants(name):
            self._rows.put(self._b, name, array)
        elif self.wants(stage) and part != "global_queries":
            self._parts[name] = array.copy()
        elif self.wants(stage):
            keys, band = (self._parts.pop(f"{stage}.{one}") for one in ("global_keys", "band"))
            self._rows.put(self._b, stage, _dense(keys, band, array, self._places, stage.endswith(".scores")))


def _dense(keys: Floats, band: Floats, queries: Floats, places: Ids, are_scores: bool) -> Floats:
    """Return what all queries have of all keys, (H, S, S), from the three parts in which the fast path shows it.

    keys: (H, S, G), band: (H, S, K), queries: (H, G, S) float, of global keys, of neighbours, of global queries
    places: (G,) int
    """
    H, S, K = band.shape
    dense = np.full((H, S, S), -np.inf if are_scores else 0, band.dtype)
    for column in range(K):
        ahead = column - K // 2
        i = np.arange(max(0, -ahead), min(S, S - ahead))
        dense[:, i, i + ahead] = band[:, i, column]
    dense[:, :, places] = keys
    dense[:, places] = queries
    return dense


# 3. The engines


def _fast(model: Seq2SeqModel[Any], weights: _InType, call: Checked, sink: _Sink) -> None:
    """Run the forward pass of network/ over all tokens of a batch, and show its stages."""
    config, masks = model.config, call.masks
    ids, target_ids = _ids(call.source), _ids(call.target)
    B, S = ids.shape
    H, rows = config.decoder_attention_heads, _Rows(sink, B)
    sees = [_Document(rows, b, is_global) for b, is_global in enumerate(masks.is_global)]
    documents = Batch([*masks.is_real], [*masks.is_global], sees, see=sink)
    states = encoder(weights.embedded("encoder", ids.reshape(-1)), documents, weights, config)
    sources = SourceKeysByLayer(states, config.decoder_layers, H, weights)
    cache = Cache.empty(B, sources, np.full(B, S), H, config.d_model // H, weights.dtype)
    tokens = weights.embedded("decoder", target_ids)
    hidden, _ = decoder(tokens, cache, call.is_key, [*masks.is_key], weights, config, sink)
    if isinstance(model, LEDForSequenceClassification):
        last = model.last_end(call.is_end, target_ids.shape)
        logits = heads.classification_logits(hidden[np.arange(B), last], weights, sink)
    elif model.head is not None:
        logits = (heads.lm_logits if model.head == "lm" else heads.qa_logits)(hidden, weights, sink)
    if call.targets:
        sink("loss", np.asarray(_loss(model, losses, logits, call), weights.dtype))


def _by_definition(model: Seq2SeqModel[Any], weights: _InType, call: Checked, sink: _Sink) -> None:
    """Run the definition, one document after the other, and show its stages."""
    config, masks = model.config, call.masks
    ids, target_ids = _ids(call.source), _ids(call.target)
    rows, logits = _Rows(sink, len(ids)), []
    heads = {None: lambda hidden, weights, see: hidden, "lm": reference.lm_logits, "qa": reference.qa_logits}
    for b in range(len(ids)):
        see = functools.partial(rows.put, b)
        source, target = weights.embedded("encoder", ids[b]), weights.embedded("decoder", target_ids[b])
        states = reference.encoder(source, masks.is_real[b], masks.is_global[b], weights, config, see)
        seen = None if call.is_key is None else call.is_key[b]
        hidden = reference.decoder(target, seen, states, masks.is_key[b], weights, config, see)
        if isinstance(model, LEDForSequenceClassification):
            end = int(model.last_end(call.is_end, target_ids.shape)[b])
            logits.append(reference.classification_logits(hidden, weights, see, end=end))
        else:
            logits.append(heads[model.head](hidden, weights, see))
    if call.targets:
        sink("loss", np.asarray(_loss(model, reference, np.stack(logits), call), weights.dtype))


def _loss(model: Seq2SeqModel[Any], functions: Any, logits: Floats, call: Checked) -> Any:
    """Return the loss of a batch by the functions of the definition, or of the fast path."""
    if model.head == "qa":
        return functions.span_loss(logits[..., 0], logits[..., 1], *call.targets.values())
    name = "cross_entropy"
    if isinstance(model, LEDForSequenceClassification):
        name = model.loss_name(call.targets)
    name = "loss" if functions is reference and name == "cross_entropy" else name
    return getattr(functions, name)(logits, *call.targets.values())


def _ids(tokens: Tokens) -> Ids:
    assert tokens.ids is not None  # a trace takes no embeddings
    return tokens.ids


def _in_batch(array: Floats, stage: Stage, lengths: Sequence[int]) -> Floats:
    """Return the gradient of a stage in the stage's shape, with 0 where the backward pass does not come."""
    whole = np.zeros(stage.shape, array.dtype)
    parts = np.split(array, np.cumsum(lengths)[:-1]) if stage.axes[1:2] == "S" else array
    for row, part in zip(whole, parts, strict=True):
        row[: len(part)] = part.reshape(len(part), *row.shape[1:])
    return whole
