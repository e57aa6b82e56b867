"""`pyled answer`: the pieces of texts that a model takes for answers to questions."""

import argparse
from typing import Any

from ..errors import InputError
from .shared.console import Console
from .shared.loading import add_running, stated
from .shared.outputs import add_outputs
from .shared.parser import Commands, add_command, add_model
from .shared.results import run_task


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        answer,
        usage="answer -q QUESTION [FILE ...] -m DIR [options]",
        about="find the answer to a question in texts",
        description="Print the piece of each text that a model takes for the answer to a question. A long text is "
        "read in chunks that overlap.",
        examples="""
        pyled answer -q 'Who wrote the report?' report.txt -m DIR
        pdftotext paper.pdf - | pyled answer -q 'Which data?' -m DIR --top-k 3
        pyled answer -q 'Who?' -q 'When?' *.txt -m DIR --format jsonl | jq -r .text
        """,
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="as for summarize")
    parser.add_argument(
        "-q", "--question", action="append", metavar="QUESTION", help="what is asked of each text; may be given again"
    )
    add_model(parser, "the directory of a checkpoint for question answering; none comes with pyled")
    _add_answers(parser.add_argument_group("answers"))
    add_outputs(
        parser, "answer", "the best answer in a line, or with --top-k each and its score; empty where there is none"
    )
    add_running(parser)


def _add_answers(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--top-k", type=int, metavar="N", help="the most answers to a question (default: 1)")
    group.add_argument("--max-answer-len", type=int, metavar="N", help="the most tokens of an answer (default: 15)")
    group.add_argument(
        "--handle-impossible-answer",
        action="store_const",
        const=True,
        help="let the model say that there is no answer: it is empty then",
    )
    group.add_argument(
        "--no-align-to-words",
        dest="align_to_words",
        action="store_const",
        const=False,
        help="let an answer begin and end inside a word",
    )
    group.add_argument(
        "--chunk-tokens",
        type=int,
        metavar="N",
        help="most tokens of a chunk, the question included (default: the positions of encoder or decoder, the fewer)",
    )
    group.add_argument(
        "--overlap", type=int, metavar="N", help="tokens that a chunk repeats of the one before (default: 128)"
    )
    group.add_argument(
        "--global",
        dest="global_attention",
        choices=("question", "none"),
        help="tokens that see all and are seen by all: <s> and those of the question, or none (default: question)",
    )


def answer(arguments: argparse.Namespace, console: Console) -> int:
    """Do what the command asks, and return its exit status."""
    questions: list[str] = arguments.question or []
    if not questions or not all(question.strip() for question in questions):
        raise InputError("no question: ask one with -q 'Who ...?'")
    if arguments.model is None:
        raise InputError("no checkpoint is named, and none that answers questions comes with pyled: name one with -m")
    options = stated(arguments, "top_k", "max_answer_len", "handle_impossible_answer", "align_to_words",
                     "chunk_tokens", "overlap", "global_attention")  # fmt: skip

    def answers(answerer: Any, text: str, work: Any) -> list[Any]:
        sources = [answerer.read(question, text) for question in questions]
        return [answerer.write(source, work) for source in sources]

    return run_task(arguments, console, "Answerer", options, answers, len(questions))
