"""The options of a command that runs a model, and the loading of what they name."""

import argparse
import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import CheckpointError, GenerationError, InputError, PyledError
from .console import Console
from .parser import UNNAMED, add_quiet
from .settings import add_settings, config_of, settings_of

if TYPE_CHECKING:
    from ...tasks import Summarizer


def add_options(parser: argparse.ArgumentParser) -> Any:
    """Add the options of how a model reads, generates and runs, and return the group of the last ones."""
    _add_reading(parser.add_argument_group("reading"))
    add_settings(parser)
    group = add_running(parser)
    group.add_argument(
        "--weights",
        choices=("float32", "bf16", "int8"),
        help="what to keep the decoder's weights in: fewer bytes are read sooner, rounded numbers may give other words "
        "(default: float32)",
    )
    return group


def add_computing(parser: argparse.ArgumentParser) -> Any:
    """Add the options of threads and of what is computed in, and return their group, "running"."""
    group = parser.add_argument_group("running")
    group.add_argument("--threads", type=int, metavar="N", help="processor threads to use (default: all)")
    group.add_argument("--dtype", choices=("float32", "float64"), help="what to compute in (default: float32)")
    return group


def add_running(parser: argparse.ArgumentParser) -> Any:
    """Add the options of how a model runs, and return their group."""
    group = add_computing(parser)
    group.add_argument(
        "--encoder",
        choices=("float32", "int16"),
        help="what the encoder multiplies: int16 is faster, and may change a result now and then (default: float32)",
    )
    add_quiet(group)
    return group


def _add_reading(group: Any) -> None:
    group.add_argument(
        "--too-long",
        choices=("error", "truncate", "chunk"),
        help="what to do with a text of more tokens than the encoder has positions: refuse it, read its beginning, or "
        "summarize it piece by piece (default: error)",
    )
    group.add_argument(
        "--chunk-tokens", type=int, metavar="N", help="most tokens of a piece (default: the encoder's positions)"
    )
    group.add_argument(
        "--overlap", type=int, metavar="N", help="tokens that a piece repeats of the one before (default: 0)"
    )
    group.add_argument(
        "--combine",
        choices=("concat", "again"),
        help="join the summaries of the pieces, or summarize them again until one is left or until they get no shorter "
        "(default: concat)",
    )
    add_global(group)


def add_global(group: Any) -> None:
    """Add the option of which tokens are global."""
    group.add_argument(
        "--global",
        dest="global_attention",
        metavar="WHERE",
        help="tokens that see all and are seen by all: first, doc-sep (the first and every <doc-sep>), none, or places "
        "as in tokens:0,5 or tokens:0-7 (default: doc-sep where the vocabulary has it, else first)",
    )


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Put off the search for garbage, which finds none in modules and vocabularies: a sixth of the time they take."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_without_collection()
def prepare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Import what computes, check what only it can, and return what the options say to a Summarizer.

    Raises InputError, GenerationError.
    """
    options = {**settings_of(arguments), "generation_config": config_of(arguments)}
    from ...checkpoint import check_rounding
    from ...tasks import Reading

    check_rounding(arguments.weights, arguments.encoder, arguments.dtype or "float32")
    use_threads(arguments)
    reading = stated(arguments, "too_long", "chunk_tokens", "overlap", "combine", "global_attention")
    Reading(**reading)
    return options | reading


def stated(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return the options that are given, by the names of arguments of the library; a command lacks some of them."""
    return {name: value for name in names if (value := getattr(arguments, name, None)) is not None}


def use_threads(arguments: argparse.Namespace) -> None:
    """Set the number of threads. Raises InputError."""
    from ...kernels.jit import set_threads

    is_elsewhere = "://" in (getattr(arguments, "scheduler", None) or "")  # the threads are those of its workers
    if arguments.threads is not None and not is_elsewhere:
        try:
            set_threads(arguments.threads)
        except ValueError as e:
            raise InputError(f"--threads: {e}") from None


def load(arguments: argparse.Namespace, options: Mapping[str, Any], console: Console) -> "Summarizer":
    """Return the checkpoint that is named, and how it is used.

    Raises CheckpointError for all that is wrong with it; InputError, GenerationError for options.
    """
    from ... import tasks

    loaded = of_checkpoint(tasks.load, arguments)
    try:
        summarizer = tasks.Summarizer(loaded, **options)
    except PyledError as e:
        try:
            tasks.Summarizer(loaded)
        except PyledError as own:  # the fault is the checkpoint's, whatever the options say
            if str(own) == str(e):
                file = Path(loaded.name) / "generation_config.json"
                raise CheckpointError(f"{file if file.exists() else loaded.name}: {e}") from None
        raise
    unnamed = [UNNAMED] if arguments.model is None else []
    for note in (*unnamed, *loaded.surprises, *summarizer.plan.notes):
        console.note(note)
    return summarizer


def load_task(task: str, arguments: argparse.Namespace, options: Mapping[str, Any], console: Console) -> Any:
    """Return a class of `pyled.tasks` over the checkpoint that is named. Raises CheckpointError, InputError."""
    from ... import tasks

    loaded_task = of_checkpoint(getattr(tasks, task), arguments, **options)
    for note in loaded_task.loaded.surprises:
        console.note(note)
    return loaded_task


def of_checkpoint(make: Callable[..., Any], arguments: argparse.Namespace, **options: Any) -> Any:
    """Return what a function or a class makes of the checkpoint that is named. Raises CheckpointError, InputError."""
    types = stated(arguments, "dtype", "weights", "encoder", "revision")
    try:
        with _without_collection():
            return make(arguments.model, arguments.tokenizer, **types, **options)
    except GenerationError as e:  # in its generation_config.json
        raise CheckpointError(str(e)) from None
