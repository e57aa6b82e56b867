"""The results of a command that runs a model, input after input; one that fails stops none of the others."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from .console import Console
from .inputs import STDIN, Inputs, named_or_piped, shown
from .loading import load_task, use_threads
from .outputs import Output, TakenError, open_output
from .words import name_origins

if TYPE_CHECKING:
    from ...tasks.summary import Recorded


def sizes(inputs: Inputs) -> list[float]:
    """Return the bytes of each input; 0 where it is no file."""
    paths = [None if name == STDIN else Path(name) for name in inputs.readable]
    return [float(path.stat().st_size) if path is not None and path.is_file() else 0.0 for path in paths]


def give(
    output: Output,
    console: Console,
    inputs: Inputs,
    name: str,
    results: "Sequence[Recorded]",
    told: int,
    **changes: Any,
) -> None:
    """Write the results of an input, and tell their notes behind the first `told`. Raises OutputError.

    changes: fields of their records, with other values
    """
    console.clear()
    records = [result.record() for result in results]
    for note in dict.fromkeys(note for record in records for note in record["notes"][told:]):
        console.note(f"{shown(name)}: {note}")
    for record in records:
        name_origins(record["settings"])
    try:
        output.put(*({"input": name, **inputs.parts, **record, **changes} for record in records))
    except TakenError as e:
        inputs.fail(name, InputError(str(e)))


def run_task(
    arguments: argparse.Namespace,
    console: Console,
    task: str,
    options: dict[str, Any],
    apply: Callable[[Any, str, Any], "Sequence[Recorded]"],
    of_each: int = 1,
) -> int:
    """Give the results of every input, and return the exit status.

    task: the name of its class in `pyled.tasks`; options: how it is made
    apply: takes the task, a text and the Work, and returns the text's results, of which there are `of_each`
    """
    files = named_or_piped(arguments.files)
    use_threads(arguments)
    inputs = Inputs(files, console)
    output = open_output(arguments, inputs, console, of_each)
    if inputs.readable:
        from ...tasks import Work

        loaded_task = load_task(task, arguments, options, console)
        work = Work(console.progress, sizes(inputs))
        for i, name, text in inputs.texts():
            work.turn_to(i)
            try:
                results = apply(loaded_task, text, work)
            except Exception as e:
                inputs.fail(name, e)
                continue
            give(output, console, inputs, name, results, len(loaded_task.loaded.notes))
        output.close()
    return inputs.report()
