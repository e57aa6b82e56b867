"""`pyled evaluate`: how near summaries come to those that people wrote."""

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import GenerationError, InputError
from . import FAILED, OK, USAGE
from .shared.console import Console, clock, in_words, put
from .shared.forms import as_json
from .shared.inputs import named_or_piped
from .shared.pairs import Pairs
from .shared.parser import Commands, add_command, add_model
from .shared.records import Records, fingerprint, open_records
from .shared.settings import add_settings, config_of, name_origins, settings_of
from .summarize import add_reading, add_running, announce_compilation, load, prepare

if TYPE_CHECKING:
    from ..evaluation.evaluation import Judged, Pair, Results
    from ..evaluation.systems import System
    from ..tasks import Summarizer

# 1. The options


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        evaluate,
        usage="evaluate [FILE ...] [-m DIR] [options]",
        about="score summaries against those of people",
        description="Summarize documents of which there are summaries, and print how much both have in common: "
        "ROUGE-1, -2 and -L as the package rouge-score defines them, with intervals, beside what simple rules reach "
        "that take a sentence, or the first words, of the document.",
        examples="""
        pyled evaluate test.jsonl -m DIR
        pyled evaluate test.jsonl -m DIR --ablate --limit 200 -o records.jsonl
        pyled evaluate test.jsonl -m DIR --document-key article --summary-key abstract
        pyled evaluate test.jsonl -m DIR --format json | jq '.groups[0].systems.model'
        """,
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="JSON Lines: an object with a document and its summary on each line; - or none: standard input",
    )
    add_model(parser)
    _add_pairs(parser.add_argument_group("documents"))
    _add_scores(parser.add_argument_group("scores"))
    add_reading(parser.add_argument_group("reading"))
    add_settings(parser)
    running = parser.add_argument_group("running")
    add_running(running)
    running.add_argument("--quiet", action="store_true", help="tell errors only: no progress, no notes")


def _add_pairs(group: Any) -> None:
    group.add_argument(
        "--document-key", default="document", metavar="KEY", help="the key of the document (default: document)"
    )
    group.add_argument(
        "--summary-key", default="summary", metavar="KEY", help="the key of the summary (default: summary)"
    )
    group.add_argument(
        "--limit", type=int, metavar="N", help="evaluate N documents of each FILE, drawn by the seed (default: all)"
    )
    group.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of this draw, and of the resamples (default: 0)"
    )


def _add_scores(group: Any) -> None:
    group.add_argument("--stemmer", action="store_true", help="compare the stems of words, by Porter's rules")
    group.add_argument(
        "--ablate",
        action="store_true",
        help="evaluate the same model without global attention, and with half its attention window, too",
    )
    group.add_argument(
        "--format",
        choices=("text", "md", "json"),
        default="text",
        help="text: tables; md: tables in Markdown; json: an object, with the intervals of all figures (default: text)",
    )
    group.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="a file for a record of each document, in JSON, a line each as it is finished: the texts of all, and "
        "their scores",
    )
    existing = group.add_mutually_exclusive_group()
    existing.add_argument("--force", action="store_true", help="replace that file if it is there already")
    existing.add_argument(
        "--skip-existing",
        action="store_true",
        help="add to it, and take from it what the same checkpoint with the same settings made of the same documents",
    )


# 2. The work


@dataclass
class _Run:
    """What is evaluated, and how."""

    arguments: argparse.Namespace
    console: Console
    pairs: Pairs
    records: Records
    systems: "list[System]"
    made: Mapping[str, Any]


def evaluate(arguments: argparse.Namespace, console: Console) -> int:
    """Do what the command asks, and give its exit status."""
    try:
        if arguments.limit is not None and arguments.limit < 1:
            raise InputError(f"--limit {arguments.limit}: at least 1 is needed")
        if arguments.seed < 0:
            raise InputError(f"--seed {arguments.seed}: at least 0 is needed")
        if arguments.ablate and arguments.global_attention == "none":
            raise InputError("--ablate with --global none: no global attention is there to take away: pass one of both")
        given = named_or_piped(arguments.files)
        settings, config = settings_of(arguments), config_of(arguments)
        options = {**prepare(arguments), **settings}
        records = open_records(arguments, given, console)
        keys = arguments.document_key, arguments.summary_key
        pairs = Pairs(given, keys, arguments.limit, arguments.seed, console)
    except (InputError, GenerationError) as e:
        arguments.parser.error(str(e))
    except ImportError as e:
        console.error(in_words(e))
        return FAILED
    status: int = OK
    if pairs.found:
        loaded = load(arguments, config, options, console)
        status = loaded if isinstance(loaded, int) else _evaluate(arguments, console, pairs, records, loaded)
    pairs.report()
    return status or (FAILED if pairs.failed else OK)


def _evaluate(
    arguments: argparse.Namespace,
    console: Console,
    pairs: Pairs,
    records: Records,
    summarizer: "Summarizer",
) -> int:
    """Evaluate the pairs, and print what came of it."""
    from ..evaluation import report
    from ..evaluation.systems import systems

    try:
        found = systems(summarizer, arguments.ablate)
    except InputError as e:
        console.error(str(e))
        return USAGE
    run = _Run(arguments, console, pairs, records, found, _made(summarizer))
    values = {name: setting["value"] for name, setting in run.made["settings"].items()}
    records.made = {**run.made, "checkpoint": fingerprint(Path(summarizer.loaded.name)), "settings": values}
    del records.made["model"]  # a directory may have several names
    announce_compilation(console)
    results = _results(run)
    if results is not None:
        forms = {"text": report.text, "md": report.markdown}
        form = arguments.format
        put(as_json(report.record(results), 2) if form == "json" else forms[form](results))
    return OK


def _made(summarizer: "Summarizer") -> dict[str, Any]:
    """The model and how it is used, as the record of a summary has it."""
    from ..tasks.loading import stored_as
    from ..tasks.summary import settings_record, versions

    loaded = summarizer.loaded
    settings = settings_record(summarizer.plan)
    name_origins(settings)
    return {
        "model": loaded.name,
        "versions": versions(),
        "dtype": loaded.model.dtype.name,
        "weights": stored_as(loaded.model),
        "settings": settings,
    }


def _results(run: _Run) -> "Results | None":
    """Evaluate each pair that can be; None where none could. Raises OutputError."""
    from ..evaluation.evaluation import Results, groups, mean_words, wordless
    from ..evaluation.systems import windows

    pairs, arguments = run.pairs.found, run.arguments
    inputs = list(dict.fromkeys(pair.input for pair in pairs))
    cuts = {name: mean_words([pair for pair in pairs if pair.input == name]) for name in inputs}
    judged = []
    pace = _Pace(len(pairs))
    for pair in pairs:
        known = run.records.texts(pair)
        place = pace.place(is_known=all(system.name in known for system in run.systems))
        try:
            one = _judged(run, pair, known, cuts[pair.input], place)
        except Exception as e:
            run.pairs.fail(_named(pair), e)
            continue
        run.console.clear()
        run.records.put(one)
        judged.append(one)
    if not judged:
        return None
    kept = [one.pair for one in judged]
    return Results(
        made=run.made,
        windows=windows(run.systems[0].summarizer),
        cuts=cuts,
        judged=judged,
        groups=groups(judged, inputs, arguments.seed),
        stemmer=arguments.stemmer,
        seed=arguments.seed,
        failed=run.pairs.failed,
        wordless=wordless(kept),
    )


def _judged(run: _Run, pair: "Pair", known: Mapping[str, str], count: int, place: str) -> "Judged":
    """What all systems make of a pair's document, baselines cut to `count` words, with their scores.

    known: what some made of it in another run
    """
    from ..evaluation.evaluation import judge
    from ..tasks import Work

    sources = [system.summarizer.read(pair.document) for system in run.systems]
    for note in sources[0].notes:
        run.console.note(f"{_named(pair)}: {note}")
    texts = {}
    for system, source in zip(run.systems, sources, strict=True):
        if system.name in known:
            texts[system.name] = known[system.name]
            continue
        name = f"{system.name}: " if len(sources) > 1 else ""
        work = Work(partial(run.console.progress, before=place + name))
        texts[system.name] = system.summarizer.write(source, work).text
    return judge(pair, sources[0].tokens, sources[0].truncated, texts, count, run.arguments.stemmer)


def _named(pair: "Pair") -> str:
    return f"{pair.input}: line {pair.line}"


class _Pace:
    """Which document it is, and how long the others may take."""

    def __init__(self, total: int) -> None:
        self._total, self._begun, self._made = total, 0, 0
        self._second = 0.0  # when the second was begun of those that are made: in the first, kernels are loaded

    def place(self, is_known: bool) -> str:
        """What stands before the progress of the next document; known: of which nothing has to be made."""
        self._begun += 1
        place = f"[{self._begun}/{self._total}"
        if is_known:
            return f"{place}] "
        now = time.monotonic()
        self._made += 1
        if self._made <= 2:
            self._second = now
            return f"{place}] "
        left = (now - self._second) / (self._made - 2) * (self._total - self._begun + 1)
        return f"{place}, about {clock(left)} for all] "
