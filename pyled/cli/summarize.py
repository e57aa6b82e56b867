"""`pyled summarize`: every input is tried, whatever happens to the others."""

import argparse
import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .shared.chunks import Chunks
from .shared.console import Console, OutputError, put
from .shared.dry_run import costs
from .shared.forms import FORMS
from .shared.inputs import Cluster, Inputs, named_or_piped, shown
from .shared.interrupts import before_leaving, closed
from .shared.loading import add_options, load, prepare
from .shared.outputs import Output, add_outputs, open_output
from .shared.parser import Commands, add_command, add_model
from .shared.places import chunks_file
from .shared.results import give, sizes

if TYPE_CHECKING:
    from ..tasks import Source, Status, Summarizer
    from ..tasks.streaming import Stream
    from ..tasks.workers import Workers

# 1. The options


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        summarize,
        usage="summarize [FILE ...] [-m DIR] [options]",
        about="summarize texts",
        description="Summarize texts, several at a time where that is faster. The summaries go to standard output, or "
        "where --output says; all else is told on standard error.",
        examples="""
        man cp | pyled summarize
        pyled summarize report.txt -m led-large-16384-arxiv
        pdftotext paper.pdf - | pyled summarize -m PRIMERA --num-beams 5
        pyled summarize papers/ -m DIR -o summaries/ --format md --skip-existing
        pyled summarize reports/ -m PRIMERA --docs
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
    parser.add_argument(
        "--docs",
        action="store_true",
        help="write one summary of all texts together, as PRIMERA does: each is cut to its share of the encoder's "
        "positions, <doc-sep> stands behind each and is global",
    )
    add_model(parser)
    add_outputs(parser, "summarize", "the summary", tuple(FORMS))
    running = add_options(parser)
    running.add_argument(
        "--stream", action="store_true", help="show the summary of one text as it is written; needs --num-beams 1"
    )
    running.add_argument(
        "--dry-run", action="store_true", help="summarize nothing; tell tokens, chunks, time and memory"
    )
    running.add_argument(
        "--scheduler",
        metavar="WHERE",
        help="share the texts out to the workers of a Dask scheduler, tcp://HOST:PORT, or to N on this machine, "
        "local:N; --threads is then of each worker, or of all N together",
    )


# 2. The work


def summarize(arguments: argparse.Namespace, console: Console) -> int:
    """Do what the command asks, and return its exit status."""
    files = named_or_piped(arguments.files)
    if arguments.scheduler is not None and (arguments.stream or arguments.dry_run):
        raise InputError(
            "--scheduler goes with neither --stream nor --dry-run: they are of this machine, leave one out"
        )
    options = prepare(arguments)
    if arguments.docs and arguments.too_long == "chunk":
        raise InputError("documents are read together, in one piece: leave too_long='chunk' out")
    inputs = Cluster(files, console) if arguments.docs else Inputs(files, console)
    if arguments.stream:
        _check_stream(arguments, inputs)
    output = open_output(arguments, inputs, console)
    if not inputs.readable:
        return inputs.report()
    with _workers(arguments) as on_workers:
        summarizer = load(arguments, options, console)
        if arguments.stream:
            summarizer.streamer(put)  # raises before any work
        if arguments.dry_run:
            ways = [summarizer]
            if summarizer.plan.reading.too_long == "error" and not arguments.docs:
                remedies = [{**options, "too_long": remedy} for remedy in ("truncate", "chunk")]
                ways = [type(summarizer)(summarizer.loaded, **remedy) for remedy in remedies]
            put(costs(inputs, ways, arguments.format))
        else:
            stream = put if arguments.stream else None
            _summarize_all(summarizer, on_workers(summarizer), inputs, output, console, stream)
            output.close()
    return inputs.report()


def _check_stream(arguments: argparse.Namespace, inputs: Inputs) -> None:
    """Raise InputError for what does not go with --stream."""
    if arguments.format != "text" or arguments.output not in (None, "-"):
        raise InputError("--stream writes text to standard output as it comes: leave out --format and --output")
    if len(inputs.all) != 1:
        raise InputError(f"--stream shows the summary of one text, and there are {len(inputs.all)}: name one")


@contextlib.contextmanager
def _workers(arguments: argparse.Namespace) -> "Iterator[Callable[[Summarizer], Summarizer | Workers]]":
    """Yield what puts a Summarizer on the workers of --scheduler, or leaves it as it is. Raises InputError."""
    if arguments.scheduler is None:
        yield lambda summarizer: summarizer
        return
    from ..tasks.workers import Workers, connected

    with contextlib.ExitStack() as stack, closed(stack.close):
        client, threads = stack.enter_context(connected(arguments.scheduler, arguments.threads))
        try:
            yield lambda summarizer: stack.enter_context(Workers(client, summarizer, threads))
        except ConnectionError as e:
            raise OutputError(str(e)) from None


@dataclass(frozen=True)
class _Begun:
    """An input that is read and not done."""

    name: str
    source: "Source"
    chunks: Chunks | None  # those of a long text that are finished, where they have a file


def _summarize_all(
    summarizer: "Summarizer",
    writer: "Summarizer | Workers",
    inputs: Inputs,
    output: Output,
    console: Console,
    stream: "Stream | None",
) -> None:
    """Summarize each input that can be. Raises OutputError."""
    from ..tasks import Summary, Work
    from ..tasks.running import one_after_another

    def watch(status: "Status") -> None:
        if stream is None or status.stage == "encoding":
            console.progress(status)
        elif status.done == 0:
            console.clear()  # the text comes where the line of progress is

    work = Work(watch, sizes(inputs))
    begun: dict[int, _Begun] = {}  # by their numbers
    files: dict[Path, Chunks] = {}  # one for all inputs, where their output is one file
    before_leaving(lambda: _tell_of_chunks(begun.values(), output, console))

    def sources() -> "Iterator[tuple[int, Source]]":
        for i, name, text in inputs.texts():
            try:
                source = summarizer.read(text)
                for note in source.notes:
                    console.note(f"{shown(name)}: {note}")
                begun[i] = _Begun(name, source, _finished(summarizer, name, source, output, files, console))
            except Exception as e:
                inputs.fail(name, e)
            else:
                yield i, source

    def write(source: "Source", work: Work) -> Summary:
        return summarizer.write(source, work, stream=stream)

    if stream is None:
        order = not output.is_folder
        results = writer.write_each(sources(), work, lambda i, _: begun[i].chunks, in_order=order)
    else:
        results = one_after_another(write, sources(), work)
    for i, result in results:
        one = begun.pop(i)
        if isinstance(result, OutputError):
            raise result
        if not isinstance(result, Summary):
            inputs.fail(one.name, result)
            continue
        told = len(summarizer.loaded.notes) + len(summarizer.plan.notes) + len(one.source.notes)
        text_is_shown = {"text": ""} if stream is not None else {}  # only the line end is left to write
        give(output, console, inputs, one.name, [result], told, **text_is_shown)


def _finished(
    summarizer: "Summarizer", name: str, source: "Source", output: Output, files: dict[Path, Chunks], console: Console
) -> Chunks | None:
    """Return the summaries of a long text's chunks that an interrupted run left, if its output is a file."""
    path = output.file(name)
    if path is None or len(source.chunks) == 1:
        return None
    file = chunks_file(path)
    if file not in files:
        files[file] = Chunks(file, summarizer, output.starts_anew)
    chunks = files[file]

    if done := _done(chunks, source):
        console.note(f"{shown(name)}: goes on: {done} are in {file}, from a run that did not end")
    return chunks


def _done(chunks: Chunks, source: "Source") -> str:
    count = sum(chunk.key in chunks for chunk in source.chunks)
    return f"{count:,} of {len(source.chunks):,} chunks" if count else ""


def _tell_of_chunks(begun: "Iterable[_Begun]", output: Output, console: Console) -> None:
    """Tell how to go on with the texts of which some chunks are written, when the command is interrupted."""
    console.clear()
    for one in begun:
        path = output.file(one.name)
        if (
            one.chunks is not None
            and path is not None
            and (done := _done(one.chunks, one.source))
            and chunks_file(path).exists()
        ):
            command = "the same command without --force" if output.starts_anew else "the same command"
            console.note(f"{shown(one.name)}: interrupted: {command} goes on from {done}")
