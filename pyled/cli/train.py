"""`pyled train`: a model is trained on documents with their summaries, and what it did is kept whatever happens."""

import argparse
import os
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, one_line
from ..files import is_there
from ..hub import PARTS
from .shared.console import Console, OutputError, put
from .shared.dry_run import duration, size
from .shared.exit_status import FAILED
from .shared.inputs import named_or_piped
from .shared.interrupts import before_leaving, held, leave_on_termination
from .shared.loading import add_computing, add_global, of_checkpoint, stated, use_threads
from .shared.pairs import Pairs, add_keys
from .shared.parser import UNNAMED, Commands, add_command, add_model, add_quiet
from .shared.places import check_once, check_writable
from .shared.words import in_words

if TYPE_CHECKING:
    from ..training.loop import Settings, Training

# 1. The options

# The settings, by the names of `training.loop.Settings`: what the option takes, and its words.
_SETTINGS: dict[str, tuple[str, Any, str]] = {
    "batch": ("N", int, "pairs that are computed together (default: 4)"),
    "accumulate": ("N", int, "batches of a step; a step's loss is the mean over all its target tokens (default: 1)"),
    "lr": ("X", float, "learning rate of AdamW, at its highest (default: 5e-5)"),
    "schedule": ("NAME", str, "how it falls behind the warm-up: linear or cosine, to 0, or constant (default: linear)"),
    "warmup": ("N", int, "steps over which it rises from 0 (default: 0)"),
    "weight_decay": ("X", float, "decay of matrices; biases and norms have none, as in transformers (default: 0.01)"),
    "epochs": ("N", int, "how many times all pairs are read (default: 3)"),
    "steps": ("N", int, "in place of that: how many steps are done"),
    "label_smoothing": ("X", float, "part of each target that goes to all tokens (default: 0)"),
    "train": ("WHICH", str, "which weights: all; decoder, the rest stays and keeps nothing in memory; or those whose "
              "names in the checkpoint match a pattern, as 'led.decoder.layers.5.*' (default: all)"),
    "seed": ("N", int, "of the order, of dropout, and of the weights of a model that has none yet (default: 0)"),
}  # fmt: skip


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        train,
        usage="train [FILE ...] -o DIR [-m DIR] [options]",
        about="fine-tune a model on documents with summaries",
        description="Train a model on documents of which there are summaries, and write the result as a checkpoint, "
        "which -m DIR loads, and so does transformers. What a step takes, and what is cut off, is told before. The "
        "same command goes on where it was interrupted or killed. Gradients are clipped to a norm of 1.",
        examples="""
        pyled train train.jsonl -m DIR -o tuned --validation valid.jsonl
        pyled train papers.jsonl -m allenai/led-base-16384 -o tuned --batch 1
        pyled train papers.jsonl -m DIR -o tuned --train decoder --dry-run
        """,
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="documents with summaries, as pyled evaluate reads them; - or none: standard input",
    )
    add_model(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        required=True,
        help="a directory, made if missing: gets the checkpoint, a record of each step in training.jsonl and, until "
        "the end, the state in training.state, as large as three times the trained weights",
    )
    output.add_argument("--force", action="store_true", help="replace what it holds, and go on from no state")
    output.add_argument("--save-minutes", type=float, default=5.0, metavar="X", help="between states (default: 5)")
    reading = parser.add_argument_group("documents")
    add_keys(reading)
    for side, positions in (("source", "encoder"), ("target", "decoder")):
        words = f"cut longer {'documents' if side == 'source' else 'summaries'} to N tokens"
        reading.add_argument(
            f"--max-{side}-tokens", type=int, metavar="N", help=f"{words} (default: the {positions}'s positions)"
        )
    add_global(reading)
    learning = parser.add_argument_group("training")
    for name, (metavar, kind, words) in _SETTINGS.items():
        learning.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=metavar, help=words)
    learning.add_argument(
        "--validation",
        metavar="FILE",
        help="pairs that are not trained on: their loss is told, and, where pyled[evaluate] is installed, ROUGE of the "
        "first 100; the checkpoint of the least loss is the result",
    )
    learning.add_argument(
        "--validate", type=int, metavar="N", help="steps between two validations (default: those of an epoch)"
    )
    running = add_computing(parser)
    running.add_argument(
        "--checkpointing",
        choices=("auto", "keep", "selective", "recompute"),
        default="auto",
        help="what is kept for the backward pass, of three with the same result: keep all, fastest; selective; "
        "recompute, least memory; auto: the fastest that this machine has the memory for (default: auto)",
    )
    running.add_argument("--dry-run", action="store_true", help="train nothing; tell what is cut off, time and memory")
    add_quiet(running)


# 2. The work


def train(arguments: argparse.Namespace, console: Console) -> int:
    """Train the model, and return the exit status."""
    from ..training.loop import DivergedError, Settings
    from ..training.state import STATE

    settings = Settings(**stated(arguments, *_SETTINGS, "validate"))
    files = named_or_piped(arguments.files)
    check_once([*files, *filter(None, [arguments.validation])])
    use_threads(arguments)
    folder = _checked_folder(arguments)
    keys = arguments.document_key, arguments.summary_key
    pairs = [Pairs(names, keys, console) for names in (files, [arguments.validation]) if names != [None]]
    if not all(each.readable for each in pairs):
        return max(each.report() for each in pairs)
    training, lines = _prepared(arguments, settings, folder, pairs, console)
    if arguments.dry_run:
        put("".join(f"{line}\n" for line in lines))
        return max(each.report() for each in pairs)
    if arguments.force:
        (folder / STATE).unlink(missing_ok=True)
    if training.resume():
        console.note(f"{folder}: goes on from step {training.place.step:,}")
    for line in lines:
        console.note(line)
    before_leaving(lambda: _leave(training, console, arguments.force))
    leave_on_termination()
    try:
        training.run(60 * arguments.save_minutes)
    except DivergedError as e:
        training.save()
        console.error(f"{in_words(e)}; {folder} has the state before it")
        return FAILED
    except OSError as e:
        state = f"; {folder} has the state" if training.place.step and training.save() else ""
        raise OutputError(f"{e.filename or folder}: cannot be written: {e.strerror}{state}") from None
    put(f"{one_line(str(folder))}\n")
    return max(each.report() for each in pairs)


def _checked_folder(arguments: argparse.Namespace) -> Path:
    """Return the directory of the result. Raises InputError for one that holds something else, or is the model's."""
    from ..checkpoint.conversion import files_of
    from ..training.state import STATE

    folder = Path(arguments.output)
    if not arguments.output:
        raise InputError("--output names no directory: name one")
    if arguments.validate is not None and arguments.validation is None:
        raise InputError("--validate is for the pairs of --validation: name them, too")
    check_writable(folder, is_folder=True)
    if not 0 <= arguments.save_minutes < inf:
        raise InputError(f"--save-minutes is {arguments.save_minutes}: it must be a number of at least 0")
    if arguments.model is not None and os.path.realpath(folder) == os.path.realpath(arguments.model):
        raise InputError(f"{folder} is the model that training starts from, which stays: name another directory")
    there = [name for name in files_of(*PARTS) if is_there(folder / name, InputError)]
    if there and not arguments.force and not is_there(folder / STATE, InputError):
        raise InputError(f"{folder} holds {there[0]} already: pass --force to replace it, or name another directory")
    return folder


def _prepared(
    arguments: argparse.Namespace, settings: "Settings", folder: Path, pairs: list[Pairs], console: Console
) -> tuple["Training", list[str]]:
    """Return the training with all that it needs, and in words what it will take. Raises InputError for options."""
    from ..tasks.cost import measure
    from ..training import examples, forecast, loop, starting

    loaded, is_new = of_checkpoint(partial(starting.starting_model, seed=settings.seed), arguments)
    unnamed = [UNNAMED] if arguments.model is None else []
    new = [f"{arguments.model} has no weights: they are drawn with --seed {settings.seed}"] if is_new else []
    for note in (*unnamed, *new, *loaded.surprises):
        console.note(note)
    reader = starting.reader_for(loaded, arguments.max_source_tokens, arguments.global_attention)
    positions = loaded.model.config.max_decoder_position_embeddings
    limit = starting.checked_limit("max_target_tokens", arguments.max_target_tokens, "decoder", positions)
    first = examples.read_example(pairs[0].readable[0], reader, limit, True)
    begins = not is_new and examples.begins_with_bos(loaded.model, first)
    read = [[examples.read_example(pair, reader, limit, begins) for pair in each.readable] for each in pairs]
    validation = loop.Validation(read[1], pairs[1].readable, reader) if len(pairs) > 1 else None
    watch = loop.Watch(console.training, console.note, console.error, held)
    training = loop.Training(loaded, read[0], settings, folder, validation, watch)
    policies = [arguments.checkpointing] if arguments.checkpointing != "auto" else forecast.POLICIES
    rates, which = measure(loaded.model.dtype.name), (loaded.model, training.trained, training.order, read[0])
    forecasts = {policy: forecast.forecast_training(*which, policy, rates) for policy in policies}
    policy = forecast.choose(forecasts)
    if policy != "keep":
        loaded.model.gradient_checkpointing_enable(policy=policy)
    cost, memory = forecasts[policy], forecast.memory_share()
    lines = [
        *examples.cuts(read[0], reader.limit, limit),
        f"a step: about {duration(cost.seconds)}, and {size(cost.bytes)} of memory with --checkpointing {policy}",
        f"steps: {training.steps:,}, about {duration(cost.seconds * training.steps)} in all",
    ]
    if cost.bytes > memory:
        remedy = "pass a smaller --batch and more --accumulate, a smaller --max-source-tokens, or --train decoder"
        lines.append(f"this machine has about {size(memory)} for it: {remedy}")
    return training, lines


def _leave(training: "Training", console: Console, force: bool) -> None:
    """Write the state before an interrupt ends the command."""
    console.clear()
    training.save()
    command = "the same command without --force" if force else "the same command"
    console.note(
        f"interrupted after step {training.place.step:,}: {command} goes on from the state in {training.folder}"
    )
