"""5. What every task needs: a model, its tokenizer, and what their files said."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..annotations import checked_arguments
from ..checkpoint import Arithmetic, Storage
from ..config import LEDConfig
from ..errors import CheckpointError, InputError, brief
from ..hub import MODEL, PARTS, UNNAMED, named, opened
from ..models import (
    LEDForConditionalGeneration,
    LEDForQuestionAnswering,
    LEDForSequenceClassification,
    PreTrainedModel,
)
from ..models.base import dtype_name
from ..tokenizer import LEDTokenizer

AnyModel = TypeVar("AnyModel", bound=PreTrainedModel)

# The task of each class with a head.
TASKS = {
    "LEDForConditionalGeneration": "summarize",
    "LEDForQuestionAnswering": "answer",
    "LEDForSequenceClassification": "classify",
}


@dataclass(frozen=True)
class Loaded(Generic[AnyModel]):
    """A model and its tokenizer."""

    model: AnyModel
    tokenizer: LEDTokenizer
    name: str  # of the model, for the record: its directory; or, from a hub, owner/name@commit
    notes: tuple[str, ...]  # how the weights were loaded
    surprises: tuple[str, ...]  # those of the notes that an ordinary checkpoint does not have


Model = str | Path | LEDForConditionalGeneration | None
QuestionModel = str | Path | LEDForQuestionAnswering
ClassificationModel = str | Path | LEDForSequenceClassification
Tokenizer = str | Path | LEDTokenizer | None


@checked_arguments
def load(
    model: Model = None,
    tokenizer: Tokenizer = None,
    dtype: Any = None,
    weights: Storage | None = None,
    revision: str | None = None,
    encoder: Arithmetic | None = None,
) -> Loaded[LEDForConditionalGeneration]:
    """Return the model of a directory or of a name on a hub, or one in memory; None is the checkpoint in the package.

    tokenizer: another than the model's; revision: of a name on a hub, a branch, a tag or a commit

    Raises CheckpointError, ConfigError, TokenizerError, GenerationError for the files, InputError for arguments.
    """
    return load_for(LEDForConditionalGeneration, model, tokenizer, dtype, weights, revision, encoder)


def load_for(
    kind: type[AnyModel],
    model: Any,
    tokenizer: Tokenizer,
    dtype: Any = None,
    weights: Storage | None = None,
    revision: str | None = None,
    encoder: Arithmetic | None = None,
) -> Loaded[AnyModel]:
    """Return what `load` does, for the task of a class of models; what is loaded already is only checked."""
    if isinstance(model, Loaded):
        _check_kind(model.model, kind)
        return model
    dtype = None if dtype is None else dtype_name(dtype)
    notes, surprises, name = [UNNAMED] if model is None else [], [], "in memory"
    if isinstance(tokenizer, str | Path):
        tokenizer = LEDTokenizer.from_pretrained(tokenizer)
        notes.append(f"the tokenizer is that of {named(Path(tokenizer.name_or_path))}")
    if isinstance(model, str | Path | None):
        parts = PARTS if tokenizer is None else MODEL
        directory, _ = opened(model, {"revision": revision}, *parts, check=lambda place: _config_for(kind, place))
        name, tokenizer = named(directory), _tokenizer_of(directory) if tokenizer is None else tokenizer
        config = _config_for(kind, directory)
        model = kind.of_checkpoint(directory, config, dtype or "float32", weights, encoder)
    elif revision is not None:
        raise InputError(f"revision={brief(revision)} has no effect here: the model is in memory")
    else:
        _check_types(model, {"dtype": dtype, "weights": weights, "encoder": encoder})
    _check_kind(model, kind)
    if not isinstance(tokenizer, LEDTokenizer):
        what = "missing" if tokenizer is None else f"a {type(tokenizer).__name__}"
        raise InputError(f"the tokenizer is {what}: a model in memory needs its LEDTokenizer, or the directory")
    if (report := model.load_report) is not None:
        notes, surprises = [*notes, *report.lines()], report.surprises()
    if len(tokenizer) > model.config.vocab_size:
        beyond = f"the tokenizer has {len(tokenizer):,} tokens, the model {model.config.vocab_size:,}: "
        beyond += "texts with one of the others are refused: name the tokenizer that the model was trained with"
        notes, surprises = [*notes, beyond], [*surprises, beyond]
    return Loaded(model, tokenizer, name, tuple(notes), tuple(surprises))


def _config_for(kind: type[PreTrainedModel], directory: Path) -> LEDConfig:
    """Return the configuration of a checkpoint. Raises CheckpointError where it names another class, ConfigError."""
    config = LEDConfig.from_pretrained(directory)
    if (stated := architecture(config)) in TASKS and stated != kind.__name__:
        said = f"{named(directory)} holds an {stated}, as its config.json says, and {_task(kind)}"
        raise CheckpointError(f"{said}: pass it to {TASKS[stated]}, or pass another checkpoint")
    return config


def _tokenizer_of(directory: Path) -> LEDTokenizer:
    """Return the tokenizer of a checkpoint. Raises CheckpointError for one that was pushed without, TokenizerError."""
    try:
        return LEDTokenizer.from_pretrained(directory)
    except CheckpointError as e:
        if e.rule != "file-missing":
            raise
        remedy = "or pass tokenizer='DIR', the directory of that model, or its name on a hub"
        raise CheckpointError(f"{e}; {remedy}", e.rule) from None


def architecture(config: LEDConfig) -> str | None:
    """Return the class that a checkpoint's config.json names, if it is one of LED's; the first of several."""
    names = config.extra.get("architectures")
    names = names if isinstance(names, list) else []
    return next((name for name in names if name == "LEDModel" or (isinstance(name, str) and name in TASKS)), None)


def _task(kind: type[PreTrainedModel]) -> str:
    return f"{TASKS[kind.__name__]} needs an {kind.__name__}"


def _check_kind(model: PreTrainedModel, kind: type[PreTrainedModel]) -> None:
    if not isinstance(model, kind):
        raise InputError(f"the model is an {type(model).__name__}, and {_task(kind)}: load it with that class")


def _check_types(model: PreTrainedModel, types: dict[str, str | None]) -> None:
    """Raise InputError where a model in memory has another of the types that are asked for; None is any."""
    asked, actual = {name: value for name, value in types.items() if value is not None}, types_of(model)
    if any(actual[name] != value for name, value in asked.items()):
        words = " and ".join(f"{name} is {brief(value)}" for name, value in asked.items())
        held = "the model is in {dtype}, its weights in {weights} and its encoder in {encoder}".format(**actual)
        raise InputError(f"{words}, but {held}: load it with these")


def types_of(model: PreTrainedModel) -> dict[str, str]:
    """Return, for a record, the types of the arithmetic, of the matrices that a step reads, and of the encoder's."""
    dtype = model.dtype.name
    return {"dtype": dtype, "weights": model.stored_as or dtype, "encoder": model.encoder_arithmetic or dtype}
