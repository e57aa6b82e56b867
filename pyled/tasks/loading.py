"""4. What every task needs: a model, its tokenizer, and what its files said."""

import warnings
from dataclasses import dataclass
from pathlib import Path

from ..checkpoint import Storage
from ..errors import InputError, PyledWarning
from ..hub import SYNOPSIS, UNNAMED
from ..models import DType, LEDForConditionalGeneration
from ..tokenizer import LEDTokenizer


@dataclass(frozen=True)
class Loaded:
    """A model and its tokenizer.

    name: of the model, for the record
    notes: how the weights were loaded; surprises: those of the notes that an ordinary checkpoint does not have
    """

    model: LEDForConditionalGeneration
    tokenizer: LEDTokenizer
    name: str
    notes: tuple[str, ...] = ()
    surprises: tuple[str, ...] = ()


def load(
    model: str | Path | LEDForConditionalGeneration | None = None,
    tokenizer: str | Path | LEDTokenizer | None = None,
    dtype: DType | None = None,
    weights: Storage | None = None,
) -> Loaded:
    """Return the model of a directory, or one in memory; None is the checkpoint in the package.

    Raises CheckpointError, ConfigError, TokenizerError, GenerationError for the files, InputError for arguments.
    """
    unnamed = [UNNAMED] if model is None else []
    model = SYNOPSIS if model is None else model
    if isinstance(model, LEDForConditionalGeneration):
        if dtype not in (None, model.dtype.name):
            raise InputError(f"dtype is {dtype!r}, but the model is in {model.dtype.name}: load it with that dtype")
        if weights not in (None, stored_as(model)):
            raise InputError(
                f"weights is {weights!r}, but those of the model are in {stored_as(model)}: load it with these"
            )
        name, loaded = "in memory", model
    elif isinstance(model, str | Path):
        name, loaded = str(model), _load_model(model, dtype, weights)
        tokenizer = model if tokenizer is None else tokenizer
    else:
        raise InputError(
            f"model is a {type(model).__name__}: pass a checkpoint's directory, or an LEDForConditionalGeneration"
        )
    if isinstance(tokenizer, str | Path):
        tokenizer = LEDTokenizer.from_pretrained(tokenizer)
    if not isinstance(tokenizer, LEDTokenizer):
        kind = "missing" if tokenizer is None else f"a {type(tokenizer).__name__}"
        raise InputError(f"the tokenizer is {kind}: a model in memory needs its LEDTokenizer, or the directory")
    report, beyond = loaded.load_report, []
    if len(tokenizer) > loaded.config.vocab_size:
        beyond.append(
            f"the tokenizer has {len(tokenizer):,} tokens, the model {loaded.config.vocab_size:,}: a text with one "
            "of the others is refused; model.resize_token_embeddings(len(tokenizer)) gives them rows"
        )
    notes, surprises = (report.lines(), report.surprises()) if report is not None else ([], [])
    return Loaded(loaded, tokenizer, name, (*unnamed, *notes, *beyond), (*surprises, *beyond))


def stored_as(model: LEDForConditionalGeneration) -> str:
    """Return the type that holds the matrices which a step of decoding reads."""
    return model.stored_as or model.dtype.name


def _load_model(directory: str | Path, dtype: DType | None, weights: Storage | None) -> LEDForConditionalGeneration:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyledWarning)  # the record tells what was surprising
        return LEDForConditionalGeneration.from_pretrained(directory, dtype=dtype or "float32", weights=weights)
