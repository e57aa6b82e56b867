"""12. Labels for a whole text, with scores as those of the text-classification pipeline of transformers 4.57.6."""

import reprlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np

from ..annotations import Count, checked_arguments
from ..arrays import Floats
from ..checkpoint import Arithmetic
from ..config import LEDConfig
from ..errors import InputError, PyledError, brief
from ..models import LEDForSequenceClassification
from ..network.attention import softmax
from .loading import ClassificationModel, Loaded, Tokenizer, load_for, types_of
from .planning import plan_reading
from .progress import Watch, Work
from .reading import Reader, Reading, Source
from .running import Errors, checked_scores, one_or_each, one_pass, pass_seconds, positions
from .summary import Recorded, versions


@dataclass(frozen=True)
class Label:
    """A label and its score, which is of the kind that `Classification.function` says."""

    label: str
    score: float


@dataclass(frozen=True, repr=False)
class Classification(Recorded):
    """The labels of a text, and the record of how they were made; `str` returns the best label."""

    label: str  # the best
    labels: tuple[Label, ...]  # best first
    function: str  # what makes scores of the model's numbers: "softmax", "sigmoid"; "none" for regression
    model: str  # the checkpoint's directory, or "in memory"
    versions: Mapping[str, str]  # of pyled and of what it computes with
    dtype: str  # of the arithmetic
    encoder: str  # what the encoder multiplies
    settings: Mapping[str, Mapping[str, Any]]  # what is in effect, and where it comes from
    source_tokens: int  # of the whole text, `<s>` and `</s>` included
    truncated_tokens: int  # those of them that were not read
    global_tokens: int  # tokens with global attention
    seconds: float
    notes: tuple[str, ...]  # what was assumed, truncated, missing, tied or unused

    def __repr__(self) -> str:
        best = self.labels[0]
        return f"Classification({reprlib.repr(best.label)}, score={best.score:.4f}, labels={len(self.labels)})"

    def __str__(self) -> str:
        return self.label


class Classifier:
    """A model and its tokenizer, loaded once: call it with a text, or with several.

    loaded: the model, its tokenizer, and notes on them; reader: how texts are read
    """

    @checked_arguments
    def __init__(
        self,
        model: ClassificationModel | Loaded[LEDForSequenceClassification],
        tokenizer: Tokenizer = None,
        *,
        dtype: Any = None,
        encoder: Arithmetic | None = None,
        revision: str | None = None,
        top_k: Count | None = None,
        too_long: str = "error",
        global_attention: str | None = None,
    ) -> None:
        """Load a model and settle how it is used.

        model: the directory of an LEDForSequenceClassification, or its name on a hub; or a loaded model, which
            needs its tokenizer
        tokenizer, dtype, encoder, revision: as of `Summarizer`
        top_k: the most labels; None for all
        too_long: what to do with more tokens than encoder and decoder have positions for: "error", or "truncate"
        global_attention: as that of `Reading`

        Raises InputError for arguments, CheckpointError, ConfigError, TokenizerError for files.
        """
        if too_long not in ("error", "truncate"):
            raise InputError(f"too_long={brief(too_long)}, but a label is for a whole text: pass too_long='truncate'")
        reading = Reading(too_long, global_attention=global_attention, prefix="")  # type: ignore[arg-type]
        self.loaded = load_for(LEDForSequenceClassification, model, tokenizer, dtype, None, revision, encoder)
        self.top_k = top_k
        config, vocabulary = self.loaded.model.config, self.loaded.tokenizer.get_vocab()
        most, side = positions(config)
        reading, origin, limit = plan_reading(config, vocabulary, reading, positions=most)
        self.reader = Reader(self.loaded.tokenizer, reading, limit, side, can_cut=False)
        self.settings = {
            name: {"value": getattr(reading, name), "origin": origin[name]} for name in ("too_long", "global_attention")
        } | {"top_k": {"value": top_k, "origin": "default" if top_k is None else "call"}}

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a string is an iterable of strings, too
        self, text: str, *, errors: Errors = ..., progress: Watch | None = ...
    ) -> Classification: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]  # "record" is one of Errors, too
        self, text: Iterable[str], *, errors: Literal["record"], progress: Watch | None = ...
    ) -> list[Classification | PyledError]: ...
    @overload
    def __call__(
        self, text: Iterable[str], *, errors: Errors = ..., progress: Watch | None = ...
    ) -> list[Classification]: ...
    @checked_arguments
    def __call__(self, text: Any, *, errors: Errors = "raise", progress: Watch | None = None) -> Any:
        """Return the labels of a text, or a list of them for several texts, all of which are read first.

        errors: "raise"; or "record", to put the error of a text in its place in the list, and go on with the others
        progress: called with the Status at each step

        Raises InputError for a text that is empty or too long.
        """

        def seconds(source: Source) -> float:
            return pass_seconds(self.loaded.model, source)

        return one_or_each("text", text, errors, progress, self.read, seconds, self.write)

    def read(self, text: str) -> Source:
        """Return a text as tokens. Raises InputError."""
        return self.reader(text)

    @checked_arguments
    def write(self, source: Source, work: Work | None = None) -> Classification:
        """Return the labels of one text; `work` is told of each step. Raises CheckpointError for broken weights."""
        work, model, began = work or Work(), self.loaded.model, time.perf_counter()
        cost = pass_seconds(model, source)
        work.expect(cost, 0.0)
        logits = checked_scores(one_pass(model, source.chunks[0], work, cost, (0, 0, 1)).logits[0])  # (labels,)
        function = function_of(model.config)
        names, scores = model.config.id2label, FUNCTIONS[function](logits).tolist()
        labels = [Label(names.get(i, f"LABEL_{i}"), score) for i, score in enumerate(scores)]
        labels = sorted(labels, key=lambda label: -label.score)[: self.top_k]
        return Classification(
            label=labels[0].label,
            labels=tuple(labels),
            function=function,
            model=self.loaded.name,
            versions=versions(),
            dtype=model.dtype.name,
            encoder=types_of(model)["encoder"],
            settings=self.settings,
            source_tokens=source.tokens,
            truncated_tokens=source.truncated,
            global_tokens=int(source.chunks[0].is_global.sum()),
            seconds=time.perf_counter() - began,
            notes=(*self.loaded.notes, *source.notes),
        )


def _sigmoid(logits: Floats) -> Floats:
    return 0.5 + 0.5 * np.tanh(logits / 2)  # 1 / (1 + exp(-x)), which never overflows


FUNCTIONS: dict[str, Callable[[Floats], Floats]] = {"softmax": softmax, "sigmoid": _sigmoid, "none": np.positive}


def function_of(config: LEDConfig) -> str:
    """Return what makes scores of a model's numbers, by the rule of transformers 4.57.6.

    >>> function_of(LEDConfig(num_labels=3)), function_of(LEDConfig(num_labels=1))
    ('softmax', 'sigmoid')
    >>> function_of(LEDConfig(num_labels=1, problem_type="regression"))
    'none'
    """
    if config.problem_type == "regression":
        return "none"
    is_each = config.problem_type == "multi_label_classification" or config.num_labels == 1
    return "sigmoid" if is_each else "softmax"


@overload
def classify(text: str, model: ClassificationModel, tokenizer: Tokenizer = None, **options: Any) -> Classification: ...
@overload
def classify(
    text: Iterable[str], model: ClassificationModel, tokenizer: Tokenizer = None, **options: Any
) -> list[Classification]: ...
def classify(
    text: Any,
    model: ClassificationModel,
    tokenizer: Tokenizer = None,
    *,
    errors: Errors = "raise",
    progress: Watch | None = None,
    **options: Any,
) -> Any:
    """Return the labels of a text, or a list of them for several texts: `Classifier(model, ...)(text)`.

    options: those of Classifier; errors, progress: those of its call
    """
    return Classifier(model, tokenizer, **options)(text, errors=errors, progress=progress)
