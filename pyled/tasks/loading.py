"""4. What every task needs: a model, its tokenizer, and what their files said."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..annotations import checked_arguments
from ..checkpoint import Storage
from ..config import LEDConfig
from ..errors import CheckpointError, InputError, brief
from ..hub import MODEL, PARTS, UNNAMED, named, opened
from ..models import LEDForConditionalGeneration
from ..models.base import dtype_name
from ..tokenizer import LEDTokenizer


@dataclass(frozen=True)
class Loaded:
    """A model and its tokenizer."""

    model: LEDForConditionalGeneration
    tokenizer: LEDTokenizer
    name: str  # of the model, for the record: its directory; or, from a hub, owner/name@commit
    notes: tuple[str, ...]  # how the weights were loaded
    surprises: tuple[str, ...]  # those of the notes that an ordinary checkpoint does not have


Model = str | Path | LEDForConditionalGeneration | None
Tokenizer = str | Path | LEDTokenizer | None


@checked_arguments
def load(
    model: Model = None,
    tokenizer: Tokenizer = None,
    dtype: Any = None,
    weights: Storage | None = None,
    revision: str | None = None,
) -> Loaded:
    """Return the model of a directory or of a name on a hub, or one in memory; None is the checkpoint in the package.

    tokenizer: another than the model's; revision: of a name on a hub, a branch, a tag or a commit

    Raises CheckpointError, ConfigError, TokenizerError, GenerationError for the files, InputError for arguments.
    """
    dtype = None if dtype is None else dtype_name(dtype)
    notes, surprises, name = [UNNAMED] if model is None else [], [], "in memory"
    if isinstance(tokenizer, str | Path):
        tokenizer = LEDTokenizer.from_pretrained(tokenizer)
        notes.append(f"the tokenizer is that of {named(Path(tokenizer.name_or_path))}")
    if isinstance(model, str | Path | None):
        directory, _ = opened(model, {"revision": revision}, *(PARTS if tokenizer is None else MODEL))
        name, tokenizer = named(directory), _tokenizer_of(directory) if tokenizer is None else tokenizer
        config = LEDConfig.from_pretrained(directory)
        model = LEDForConditionalGeneration.of_checkpoint(directory, config, dtype or "float32", weights)
    elif revision is not None:
        raise InputError(f"revision={brief(revision)} has no effect here: the model is in memory")
    elif dtype not in (None, model.dtype.name) or weights not in (None, stored_as(model)):
        asked = {"dtype": dtype, "weights": weights}
        words = " and ".join(f"{name} is {brief(value)}" for name, value in asked.items() if value is not None)
        actual = f"the model is in {model.dtype.name}, and its weights in {stored_as(model)}"
        raise InputError(f"{words}, but {actual}: load it with these")
    if not isinstance(tokenizer, LEDTokenizer):
        kind = "missing" if tokenizer is None else f"a {type(tokenizer).__name__}"
        raise InputError(f"the tokenizer is {kind}: a model in memory needs its LEDTokenizer, or the directory")
    if (report := model.load_report) is not None:
        notes, surprises = [*notes, *report.lines()], report.surprises()
    if len(tokenizer) > model.config.vocab_size:
        beyond = f"the tokenizer has {len(tokenizer):,} tokens, the model {model.config.vocab_size:,}: "
        beyond += "texts with one of the others are refused; model.resize_token_embeddings(len(tokenizer)) adds rows"
        notes, surprises = [*notes, beyond], [*surprises, beyond]
    return Loaded(model, tokenizer, name, tuple(notes), tuple(surprises))


def _tokenizer_of(directory: Path) -> LEDTokenizer:
    """Return the tokenizer of a checkpoint. Raises CheckpointError for one that was pushed without, TokenizerError."""
    try:
        return LEDTokenizer.from_pretrained(directory)
    except CheckpointError as e:
        if e.rule != "file-missing":
            raise
        remedy = "or pass tokenizer='DIR', the directory of that model, or its name on a hub"
        raise CheckpointError(f"{e}; {remedy}", e.rule) from None


def stored_as(model: LEDForConditionalGeneration) -> str:
    """Return the type of the matrices that a step of decoding reads."""
    return model.stored_as or model.dtype.name
