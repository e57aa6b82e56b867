"""`pyled evaluate`: how close summaries come to those that people wrote."""

import argparse
from typing import Any

from .shared.console import Console, put
from .shared.forms import as_json
from .shared.inputs import named_or_piped
from .shared.loading import add_options, load, prepare
from .shared.pairs import Pairs, add_keys
from .shared.parser import Commands, add_command, add_model
from .shared.places import check_once
from .shared.records import identity_of, key_of, open_records, setup_of

# 1. The options


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        evaluate,
        usage="evaluate [FILE ...] [-m DIR] [options]",
        about="score summaries against those of people",
        description="Summarize documents of which there are summaries, and print how much both have in common: "
        "ROUGE-1, -2 and -L as the package rouge-score defines them, with intervals, beside the scores of simple rules "
        "that take a sentence, or the first words, of the document.",
        examples="""
        pyled evaluate test.jsonl -m DIR
        pyled evaluate test.jsonl -m DIR --ablate -o records.jsonl
        pyled evaluate test.jsonl -m DIR --document-key article --summary-key abstract
        head -n 99 test.jsonl | pyled evaluate -m DIR --json | jq .groups
        """,
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="JSON Lines, an object with a document and its summary on each line, or one JSON array of such objects; - "
        "or none: standard input",
    )
    add_model(parser)
    _add_scores(parser.add_argument_group("documents and scores"))
    add_options(parser)


def _add_scores(group: Any) -> None:
    add_keys(group)
    group.add_argument("--stemmer", action="store_true", help="compare the stems of words, by Porter's rules")
    group.add_argument(
        "--ablate",
        action="store_true",
        help="score also the same model without global attention, and with half its attention window",
    )
    group.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    group.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="a file for a record of each document, in JSON, one per line as it is done: all texts and their scores",
    )
    existing = group.add_mutually_exclusive_group()
    existing.add_argument("--force", action="store_true", help="replace that file if it is there already")
    existing.add_argument(
        "--skip-existing",
        action="store_true",
        help="add to it, and take from it what the same checkpoint with the same settings wrote for the same documents",
    )


# 2. The work


def evaluate(arguments: argparse.Namespace, console: Console) -> int:
    """Score summaries of all pairs, print the record or its tables, and return the exit status."""
    from ..evaluation import report, rouge
    from ..evaluation.groups import mean_words, score
    from ..evaluation.systems import systems, texts_of
    from ..tasks import Work
    from ..tasks.running import raised

    files = named_or_piped(arguments.files)
    check_once(files)
    options = prepare(arguments)
    scorer = rouge.scorer(arguments.stemmer)
    records = open_records(arguments, files)
    pairs = Pairs(files, (arguments.document_key, arguments.summary_key), console)
    if not pairs.readable:
        return pairs.report()
    summarizer = load(arguments, options, console)
    models, setup = systems(summarizer, arguments.ablate), setup_of(summarizer)
    identity = identity_of(setup)
    keys = [key_of(pair.document, identity) for pair in pairs.readable]
    inputs = dict.fromkeys(pair.input for pair in pairs.readable)
    words = {name: round(mean_words([one.reference for one in pairs.readable if one.input == name])) for name in inputs}
    known = [records.get(key, {}) for key in keys]  # what earlier runs wrote
    work = Work(console.progress, [float(name not in texts) for texts in known for name in models])
    scored, documents = [], [pair.document for pair in pairs.readable]
    columns = [
        texts_of(model, documents, [texts.get(name) for texts in known], work, range(j, len(work.sizes), len(models)))
        for j, (name, model) in enumerate(models.items())
    ]
    for i, (key, pair, *results) in enumerate(zip(keys, pairs.readable, *columns, strict=True)):
        place = f"{pair.input}: {pair.place}"
        try:
            source = summarizer.read(pair.document)
            for note in source.notes:
                console.note(f"{place}: {note}")
            texts = {name: raised(result) for name, result in zip(models, results, strict=True)}
            scored.append(score(pair, source.tokens, source.truncated, texts, words[pair.input], scorer))
        except Exception as e:
            pairs.fail(place, e)
            continue
        console.clear()
        if any(name not in known[i] for name in models):
            records.add({"key": key, **scored[-1].record(), "setup": setup})
    if scored:
        record = report.record(setup | {"stemmer": arguments.stemmer}, words, scored, pairs.failed)
        put(as_json(record, 2) if arguments.json else report.tables(record))
    return pairs.report()
