"""`pyled tokenize` turns texts into ids, `pyled detokenize` ids into the text."""

import argparse
import re
from typing import TYPE_CHECKING, Any

from ..errors import LINE_ENDS, InputError, brief, escaped
from ..files import parse_json
from ..hub import SYNOPSIS
from .shared.console import Console, put
from .shared.exit_status import FAILED, OK
from .shared.forms import as_json
from .shared.inputs import Inputs, named_or_piped, read_text, shown
from .shared.parser import UNNAMED, Commands, add_command, add_model, add_quiet
from .shared.words import in_words

if TYPE_CHECKING:
    from ..tokenizer import LEDTokenizer


def add(commands: Commands) -> None:
    """Add `tokenize`."""
    parser = add_command(
        commands,
        tokenize,
        usage="tokenize [FILE ...] [-m DIR] [options]",
        about="turn texts into ids",
        description="Print the ids of each text on a line, as the model reads them: between <s> and </s>.",
        examples="""
        pyled tokenize report.txt -m DIR
        echo 'A lamp.' | pyled tokenize -m DIR --offsets
        pyled tokenize *.txt -m DIR --json | jq '.input_ids | length'
        """,
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="as for summarize, but a text may be empty")
    add_model(parser)
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--tokens", action="store_true", help="print the tokens instead: a space in them is written Ġ")
    forms.add_argument(
        "--offsets",
        action="store_true",
        help="print a line per token: the characters where it begins and ends, its id, the token",
    )
    forms.add_argument(
        "--json", action="store_true", help="print input_ids, tokens and offset_mapping of each text on a line"
    )
    parser.add_argument("--no-special-tokens", action="store_true", help="leave <s> and </s> out")
    add_quiet(parser)


def add_inverse(commands: Commands) -> None:
    """Add `detokenize`."""
    parser = add_command(
        commands,
        detokenize,
        usage="detokenize [FILE] [-m DIR] [options]",
        about="turn ids into the text",
        description="Print exactly the text of ids, without a line end of its own; of several texts each on a line.",
        examples="""
        echo 0 713 16 10 16674 4 2 | pyled detokenize -m DIR --skip-special-tokens
        pyled tokenize report.txt -m DIR | pyled detokenize -m DIR
        """,
    )
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="ids between spaces, commas or line ends; or a list of them in JSON, or what tokenize --json prints, a "
        "line for each text; - or none: standard input",
    )
    add_model(parser)
    parser.add_argument("--skip-special-tokens", action="store_true", help="leave <s>, </s> and the like out")
    add_quiet(parser)


def tokenize(arguments: argparse.Namespace, console: Console) -> int:
    """Print each text as tokens, and return the exit status."""
    files = named_or_piped(arguments.files)
    tokenizer = _load(arguments, console)
    inputs = Inputs(files, console, may_be_blank=True)
    for i, name, text in inputs.texts():
        try:
            printed = _tokens(name, text, tokenizer, arguments)
        except Exception as e:
            inputs.fail(name, e)
            continue
        if arguments.offsets and len(inputs.all) > 1:
            printed = "\n" * (i > 0) + f"==> {shown(name)} <==\n{printed}"
        put(printed)
    return inputs.report()


def _tokens(name: str, text: str, tokenizer: "LEDTokenizer", arguments: argparse.Namespace) -> str:
    encoding = tokenizer(
        text,
        add_special_tokens=not arguments.no_special_tokens,
        truncation=False,
        max_length=len(text) + 2,  # with one of its own, the tokenizer does not warn of the model's limit
        return_offsets_mapping=True,
    )
    ids, offsets = encoding["input_ids"], encoding["offset_mapping"]
    tokens = tokenizer.convert_ids_to_tokens(ids)
    if arguments.json:
        return as_json({"input": name, "input_ids": ids, "tokens": tokens, "offset_mapping": offsets})
    lines = [escaped(token, LINE_ENDS) for token in tokens]  # an added token has any characters
    if arguments.offsets:
        rows = zip(offsets, ids, lines, strict=True)
        return "".join(f"{start}\t{stop}\t{id_}\t{token}\n" for (start, stop), id_, token in rows)
    return " ".join(map(str, lines if arguments.tokens else ids)) + "\n"


def detokenize(arguments: argparse.Namespace, console: Console) -> int:
    """Print the text of ids, and return the exit status."""
    (name,) = named_or_piped([arguments.file] if arguments.file is not None else [])
    tokenizer = _load(arguments, console)
    try:
        rows = rows_of(read_text(name, may_be_blank=True))
        if (largest := max(map(max, filter(None, rows)), default=0)) >= len(tokenizer):
            raise InputError(f"holds the id {largest}, but the ids of this vocabulary end at {len(tokenizer) - 1}")
        texts = tokenizer.batch_decode(rows, arguments.skip_special_tokens, clean_up_tokenization_spaces=False)
    except Exception as e:
        console.error(f"{shown(name)}: {in_words(e)}")
        return FAILED
    put(texts[0] if len(texts) == 1 else "".join(f"{text}\n" for text in texts))
    return OK


def rows_of(text: str) -> list[list[int]]:
    """Return the ids that a text lists: plainly, in JSON, or in several lines of JSON. Raises InputError.

    >>> rows_of("0 713, 2"), rows_of('{"input_ids": [0, 713, 2]}\\n[0, 2]')
    ([[0, 713, 2]], [[0, 713, 2], [0, 2]])
    """
    if text.lstrip()[:1] in ("{", "["):
        lines = [line for line in text.split("\n") if line.strip()]
        is_one = not all(line.startswith(("{", "[")) and line.rstrip().endswith(("}", "]")) for line in lines)
        return [_in_json(one) for one in ([text] if is_one else lines)]
    words = re.findall(r"[^\s,]+", text)
    for word in words:
        if not re.fullmatch("[0-9]{1,18}", word):
            raise InputError(f"{brief(word)} is no id: write whole numbers between spaces, commas or line ends")
    return [[int(word) for word in words]]


def _in_json(text: str) -> list[int]:
    value = parse_json(text.encode("utf-8"), "its JSON", InputError, halves=True)  # names of files may hold them
    ids: Any = value.get("input_ids") if isinstance(value, dict) else value
    if not isinstance(ids, list) or not all(type(id_) is int and id_ >= 0 for id_ in ids):
        raise InputError("its JSON is neither a list of ids nor an object with a list of ids as input_ids")
    return ids


def _load(arguments: argparse.Namespace, console: Console) -> "LEDTokenizer":
    """Return the tokenizer of the checkpoint that is named. Raises CheckpointError, TokenizerError."""
    from ..tokenizer import LEDTokenizer

    if arguments.tokenizer is not None:
        return LEDTokenizer.from_pretrained(arguments.tokenizer)
    if arguments.model is None:
        console.note(UNNAMED)
        arguments.model = SYNOPSIS
    return LEDTokenizer.from_pretrained(arguments.model, revision=arguments.revision)
