"""`pyled summarize`: every input is tried, whatever happens to the others."""

import argparse
import contextlib
import gc
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError, InputError, PyledError
from ..generation_config import GenerationConfig
from .shared.chunks import Chunks
from .shared.console import Console, OutputError, put
from .shared.dry_run import costs
from .shared.exit_status import FAILED, OK
from .shared.forms import FORMS
from .shared.inputs import STDIN, Inputs, named_or_piped, shown
from .shared.outputs import Output, chunks_file, open_output
from .shared.parser import UNNAMED, Commands, add_command, add_model
from .shared.settings import add_settings, config_of, in_flags, name_origins, settings_of

if TYPE_CHECKING:
    from ..tasks import Source, Summarizer

# 1. The options


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        summarize,
        usage="summarize [FILE ...] [-m DIR] [options]",
        about="summarize texts",
        description="Summarize texts, one after another. The summaries go to standard output, or where --output says; "
        "all else is told on standard error.",
        examples="""
        man cp | pyled summarize
        pyled summarize report.txt -m led-large-16384-arxiv
        pdftotext paper.pdf - | pyled summarize -m PRIMERA --num-beams 5
        pyled summarize papers/ -m DIR -o summaries/ --format md --skip-existing
        pyled summarize book.txt -m DIR --too-long chunk --overlap 64
        pyled summarize *.txt -m DIR --format jsonl | jq -r .text
        """,
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="a text in UTF-8; a directory: its *.txt and *.md; - or none: standard input",
    )
    add_model(parser)
    _add_outputs(parser.add_argument_group("output"))
    add_reading(parser.add_argument_group("reading"))
    add_settings(parser)
    running = parser.add_argument_group("running")
    add_running(running)
    running.add_argument(
        "--dry-run",
        action="store_true",
        help="summarize nothing; tell tokens, chunks, time and memory",
    )
    running.add_argument("--quiet", action="store_true", help="tell errors only: no progress, no notes")


def _add_outputs(group: Any) -> None:
    group.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        help="a file for all summaries; or a directory, there already or with a / at its end, for a file each: "
        "notes.summary.txt for notes.txt (default: standard output)",
    )
    group.add_argument(
        "--format",
        choices=FORMS,
        default="text",
        help="text: the summary; md: Markdown; json: a list of records, with all settings and figures; jsonl: a "
        "record a line (default: text)",
    )
    existing = group.add_mutually_exclusive_group()
    existing.add_argument("--force", action="store_true", help="replace outputs that are there already")
    existing.add_argument("--skip-existing", action="store_true", help="keep them, and do the others")


def add_reading(group: Any) -> None:
    """Add the options of how a text is read."""
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
        help="join the summaries of the pieces, or summarize them again until one is left (default: concat)",
    )
    group.add_argument(
        "--global",
        dest="global_attention",
        metavar="WHERE",
        help="tokens that see all and are seen by all: first, doc-sep (the first and every <doc-sep>), none, or places "
        "as in tokens:0,5 or tokens:0-7 (default: doc-sep where the vocabulary has it, else first)",
    )


def add_running(group: Any) -> None:
    """Add the options on what is computed with."""
    group.add_argument("--threads", type=int, metavar="N", help="processor threads to use (default: all)")
    group.add_argument("--dtype", choices=("float32", "float64"), help="what to compute in (default: float32)")
    group.add_argument(
        "--weights",
        choices=("float32", "bf16", "int8"),
        help="what to keep the decoder's weights in: fewer bytes are read sooner, rounded numbers may give other words "
        "(default: float32)",
    )


# 2. The work


def summarize(arguments: argparse.Namespace, console: Console) -> int:
    """Do what the command asks, and return its exit status."""
    files = named_or_piped(arguments.files)
    settings, config = settings_of(arguments), config_of(arguments)
    options = {**prepare(arguments), **settings}
    inputs = Inputs(files, console)
    output = open_output(arguments, inputs, console)
    if inputs.names:
        summarizer = load(arguments, config, options, console)
        if arguments.dry_run:
            ways = [summarizer]
            if summarizer.plan.reading.too_long == "error":
                remedies = [{**options, "too_long": remedy} for remedy in ("truncate", "chunk")]
                ways = [type(summarizer)(summarizer.loaded, generation_config=config, **remedy) for remedy in remedies]
            put(costs(inputs, ways, arguments.format))
        else:
            _summarize_all(summarizer, inputs, output, console)
            output.close()
    inputs.report()
    return FAILED if inputs.failed else OK


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
    """Import what computes, check what only it can, and return how texts are read. Raises InputError, ImportError."""
    from ..checkpoint import check_storage
    from ..kernels.jit import set_threads
    from ..tasks import Reading

    check_storage(arguments.weights, arguments.dtype or "float32")

    if arguments.threads is not None:
        try:
            set_threads(arguments.threads)
        except ValueError as e:
            raise InputError(f"--threads: {e}") from None
    names = ("too_long", "chunk_tokens", "overlap", "combine", "global_attention")
    options = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    Reading(**options)
    return options


def load(
    arguments: argparse.Namespace, config: GenerationConfig | None, options: Mapping[str, Any], console: Console
) -> "Summarizer":
    """Return the checkpoint that is named, and how it is used.

    Raises CheckpointError for all that is wrong with it; InputError, GenerationError for options.
    """
    from .. import tasks

    try:
        with _without_collection():
            loaded = tasks.load(arguments.model, None, arguments.dtype, arguments.weights)
    except PyledError as e:
        raise CheckpointError(str(e)) from None
    try:
        summarizer = tasks.Summarizer(loaded, generation_config=config, **options)
    except PyledError as e:
        raise e if options or config else CheckpointError(str(e)) from None
    unnamed = [UNNAMED] if arguments.model is None else []
    for note in (*unnamed, *loaded.surprises, *summarizer.plan.notes):
        console.note(in_flags(note))
    return summarizer


def _summarize_all(summarizer: "Summarizer", inputs: Inputs, output: Output, console: Console) -> None:
    """Summarize each input that can be. Raises OutputError."""
    from ..tasks import Work

    work = Work(console.progress, [_bytes(name) for name in inputs.names])
    for i, name, text in inputs.texts():
        work.turn_to(i)
        try:
            source = summarizer.read(text)
            for note in source.notes:
                console.note(f"{shown(name)}: {in_flags(note)}")
            chunks = _finished(summarizer, name, source, output, console)
            summary = summarizer.write(source, work, chunks)
        except OutputError:
            raise
        except Exception as e:
            inputs.fail(name, e)
            continue
        console.clear()
        told = len(summarizer.loaded.notes) + len(summarizer.plan.notes) + len(source.notes)
        for note in summary.notes[told:]:
            console.note(f"{shown(name)}: {in_flags(note)}")
        record = summary.record()
        name_origins(record["settings"])
        output.put({"input": name, **record})


def _bytes(name: str) -> float:
    """Return the size of an input; 0 if it is no file."""
    return float(Path(name).stat().st_size) if name != STDIN and Path(name).is_file() else 0.0


def _finished(summarizer: "Summarizer", name: str, source: "Source", output: Output, console: Console) -> Chunks | None:
    """Return the summaries of a long text's chunks that an interrupted run left, if its output is a file."""
    path = output.file(name)
    if path is None or len(source.chunks) == 1:
        return None
    chunks, count = Chunks(chunks_file(path), summarizer), len(source.chunks)
    if done := sum(chunk.key in chunks for chunk in source.chunks):
        place = f"{done} of {count} chunks are in {chunks_file(path)}, from a run that did not end"
        console.note(f"{shown(name)}: goes on: {place}")
    return chunks
