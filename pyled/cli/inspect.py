"""`pyled inspect`: what a checkpoint is, and what is wrong with it."""

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import LINE_ENDS, escaped
from ..hub import PARTS, opened
from .shared.console import Console, put
from .shared.exit_status import BAD_CHECKPOINT, OK
from .shared.forms import as_json
from .shared.parser import MODEL, Commands, add_command, add_revision
from .shared.words import name_origins

Facts = Mapping[str, Any]
Rows = Iterator[tuple[str, str]]


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        inspect,
        usage="inspect [DIR] [--json]",
        about="tell what a checkpoint holds",
        description="Print what a checkpoint's files say: the configuration, the parameters, which weights are tied, "
        "missing or unused, the tokenizer, and how summarize generates where no option says otherwise. What can be "
        "read is shown whatever is wrong with the rest.",
        examples="""
        pyled inspect
        pyled inspect led-large-16384-arxiv
        pyled inspect DIR --json | jq .generation.num_beams
        """,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("directory", nargs="?", metavar="DIR", help=MODEL)
    which.add_argument("-m", "--model", metavar="DIR", help="the same")
    add_revision(parser)
    parser.add_argument("--json", action="store_true", help="print all of it as one JSON object")


def inspect(arguments: argparse.Namespace, console: Console) -> int:
    """Print the facts, tell the problems, and return the exit status."""
    from ..tasks.inspection import examine

    name = arguments.model if arguments.directory is None else arguments.directory
    directory, _ = opened(name, {"revision": arguments.revision}, *PARTS, is_strict=False)
    facts = examine(directory)
    name_origins(facts["generation"] or {})
    put(as_json(facts, 2) if arguments.json else "".join(f"{escaped(line, LINE_ENDS)}\n" for line in _lines(facts)))
    for problem in facts["problems"]:
        console.error(problem)
    return BAD_CHECKPOINT if facts["problems"] else OK


def _lines(facts: Facts) -> Iterator[str]:
    yield facts["directory"]
    parts = {"configuration": _configuration, "parameters": _parameters, "memory": _memory, "weights": _weights,
             "tokenizer": _tokenizer, "generation": _generation}  # fmt: skip
    for part, rows in parts.items():
        if facts[part] is not None:
            yield from ("", part)
            for label, value in rows(facts[part]):
                yield f"  {label:<22} {value}"
    if facts["skipped"]:
        names = ", ".join(facts["skipped"][:5]) + (", ..." if len(facts["skipped"]) > 5 else "")
        yield from ("", f"files that are not read: {len(facts['skipped'])} ({names})")
    if facts["notes"]:
        yield from ("", "notes")
        yield from (f"  {note}" for note in facts["notes"])


def _configuration(config: Facts) -> Rows:
    names = config.get("architectures")
    if isinstance(names, list) and names:
        yield "class", ", ".join(map(str, names))
    if names == ["LEDForSequenceClassification"]:
        labels = [*config["id2label"].values()]
        yield "labels", ", ".join(labels[:20]) + (f", ... ({len(labels):,} in all)" if len(labels) > 20 else "")
    yield "size", f"{config['d_model']:,}; {config['vocab_size']:,} tokens; {config['activation_function']}"
    for side in ("encoder", "decoder"):
        layers, heads, F = (config[f"{side}_{name}"] for name in ("layers", "attention_heads", "ffn_dim"))
        positions = config[f"max_{side}_position_embeddings"]
        yield side, f"{layers} layers, {heads} heads, feed-forward {F:,}, {positions:,} positions"
    windows = config["attention_window"]
    is_one = not isinstance(windows, list) or len(set(windows)) == 1
    one = windows[0] if isinstance(windows, list) else windows
    yield "attention_window", f"{one:,}: {one // 2:,} tokens on each side" if is_one else ", ".join(map(str, windows))


def _parameters(parameters: Facts) -> Rows:
    yield from ((part, f"{count:,}") for part, count in parameters.items())
    yield "in all", f"{sum(parameters.values()):,}"


def _memory(memory: Facts) -> Rows:
    for types, size in memory.items():
        flags = [f"--{one.replace('=', ' ')}" for one in types.split() if not one.endswith("float32")]
        yield " ".join(flags) or "float32", f"{size:,} bytes"


def _weights(weights: Facts) -> Rows:
    for file, size in weights["files"].items():
        yield "file", f"{file}, {size:,} bytes"
    yield "numbers", ", ".join(f"{count:,} in {dtype}" for dtype, count in weights["stored"].items())
    explained = {"final_logits_bias": "final_logits_bias (a buffer, which is not learned)"}
    for kind, count in weights.get("no_parameters", {}).items():
        yield "of them no parameters", f"{count:,}: {explained.get(kind, kind)}"
    for name in ("tied", "missing", "misshaped", "unused"):
        if name in weights:  # not where the configuration is broken
            yield name, (" = " if name == "tied" else ", ").join(weights[name]) or "none"


def _tokenizer(tokenizer: Facts) -> Rows:
    yield "tokens", f"{tokenizer['tokens']:,}"
    yield "special tokens", ", ".join(f"{token} {number}" for token, number in tokenizer["special_tokens"].items())
    limit = tokenizer["model_max_length"]
    yield "model_max_length", "none" if limit is None else f"{limit:,}"


def _generation(settings: Facts) -> Rows:
    from ..tasks.planning import FIXED

    for name, setting in settings.items():
        if setting["origin"] != "default" and name not in FIXED:
            yield name, f"{json.dumps(setting['value'])} ({setting['origin']})"
