"""`pyled trace`: every stage of a forward pass goes into a file, for those who port LED."""

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError, InputError, brief, one_line
from ..hub import MODEL, PARTS, opened
from .shared.console import Console, put
from .shared.exit_status import OK
from .shared.inputs import read_text, shown
from .shared.interrupts import held, stop_if_interrupted
from .shared.loading import use_threads
from .shared.parser import UNNAMED, Commands, add_command, add_model, add_quiet
from .shared.places import check_file
from .tokenize import rows_of

if TYPE_CHECKING:
    from ..config import LEDConfig
    from ..porting.tracing import Call

Inputs = dict[str, Any]


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        trace,
        usage="trace (--text FILE | --ids IDS | --inputs FILE) -o OUT [options]",
        about="write every stage of a forward pass into a file",
        description="Write each stage of one forward pass, embeddings, projections, scores, probabilities, norms, "
        "logits, in float64 under the names of the checkpoint's modules: the truth for a port of LED. "
        "docs/porting.md lists the stages.",
        examples="""
        pyled trace -m DIR --ids 0,5,6,2 -o trace.npz
        pyled trace -m DIR --text report.txt --stages 'encoder.*' -o out.npz
        pyled trace -m DIR --ids 0,5,6,2 --target-ids 0,7,2 --gradients -o trace.npz
        """,
    )
    add_model(parser)
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="the file, OUT.npz or OUT.safetensors")
    parser.add_argument("--force", action="store_true", help="replace OUT if it is there already")
    group = parser.add_argument_group("inputs")
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--text", metavar="FILE", help="a text, which the tokenizer turns into ids; - is standard input"
    )
    source.add_argument("--ids", metavar="IDS", help="the ids of a text, as 0,5,6,2")
    source.add_argument(
        "--inputs",
        metavar="FILE",
        help="a file .npz or .safetensors with arrays input_ids, attention_mask, global_attention_mask, "
        "decoder_input_ids, decoder_attention_mask, labels, of one row per document; or a trace, whose inputs count",
    )
    target = group.add_mutually_exclusive_group()
    target.add_argument(
        "--target", metavar="FILE", help="the text that the decoder is to write: it reads it shifted, and has a loss"
    )
    target.add_argument(
        "--target-ids", metavar="IDS", help="the same as ids (default: none, and the start token is read alone)"
    )
    group.add_argument("--global", dest="global_attention", metavar="WHERE", help="as for summarize")
    group = parser.add_argument_group("stages")
    group.add_argument(
        "--stages",
        metavar="PATTERN",
        help="names with * and ?, several with commas between (default: all, but for scores and probs of more than "
        "1,024 x 1,024 pairs of tokens)",
    )
    group.add_argument(
        "--gradients", action="store_true", help="write those of the loss, too, of each weight and stage: grad.NAME"
    )
    group = parser.add_argument_group("running")
    group.add_argument(
        "--engine",
        choices=("fast", "definition"),
        default="fast",
        help="what computes: what summarize does, or pyled/reference.py, slowly (default: fast)",
    )
    group.add_argument(
        "--dtype", choices=("float64", "float32"), default="float64", help="what to compute in (default: float64)"
    )
    group.add_argument("--threads", type=int, metavar="N", help="processor threads to use (default: all)")
    add_quiet(group)


def trace(arguments: argparse.Namespace, console: Console) -> int:
    """Write the trace, and return the exit status. An interrupt leaves nothing behind."""
    path = _checked_path(arguments)
    from ..config import LEDConfig
    from ..porting import tracing

    use_threads(arguments)
    needs_tokenizer = arguments.tokenizer is None and (arguments.text or arguments.target)
    place, _ = opened(arguments.model, {"revision": arguments.revision}, *(PARTS if needs_tokenizer else MODEL))
    if arguments.model is None:
        console.note(UNNAMED)
    inputs = (
        _from_file(arguments) if arguments.inputs else _from_text(arguments, place, LEDConfig.from_pretrained(place))
    )
    if arguments.gradients and not inputs.keys() & {"labels", "start_positions"}:
        raise InputError("--gradients are those of a loss: name a target with --target, or labels in --inputs")

    def started(call: "Call") -> None:
        _tell(call, path, console)

    with held():
        tracing.write_trace(
            place, inputs, path, arguments.engine, arguments.dtype, arguments.stages, arguments.gradients, started,
            stop_if_interrupted,
        )  # fmt: skip
    put(f"{one_line(arguments.output)}\n")
    return OK


def _checked_path(arguments: argparse.Namespace) -> Path:
    """Return the path of the output. Raises InputError where it could not be written, or is there already."""
    from ..porting.dumps import SUFFIXES

    path = Path(arguments.output)
    if path.suffix not in SUFFIXES:
        raise InputError(f"--output {brief(arguments.output)} ends in neither {' nor '.join(SUFFIXES)}: name it so")
    check_file(path, [arguments.text, arguments.target, arguments.inputs], arguments.force)
    return path


def _tell(call: "Call", path: Path, console: Console) -> None:
    """Tell how large the file gets, and what is left out. Raises InputError where the disk has less room."""
    console.note(f"{path} gets {len(call.stages):,} arrays of {call.size:,} bytes")
    free = shutil.disk_usage(path.absolute().parent).free
    if free < call.size:
        raise InputError(f"{path} gets {call.size:,} bytes, but the disk has {free:,} left: name fewer --stages")
    if call.left_out:
        many = f"{len(call.left_out):,} stages, {call.left_out[0]} and its like, are left out"
        console.note(f"{many}: more than 1,024 x 1,024 pairs of tokens are written where --stages names them")


def _from_file(arguments: argparse.Namespace) -> Inputs:
    """Return the inputs in a file: the arrays in.NAME, where it has such, or all. Raises InputError."""
    from ..porting.dumps import read

    for name in ("target", "target_ids", "global_attention"):
        if getattr(arguments, name) is not None:
            option = name.removesuffix("_attention").replace("_", "-")
            raise InputError(f"--{option} has no effect with --inputs, whose arrays say all: leave it out")
    try:
        dump = read(arguments.inputs)
        marked = [name for name in dump if name.startswith("in.")]
        return {name.removeprefix("in."): dump[name] for name in marked or dump}
    except CheckpointError as e:
        raise InputError(f"--inputs: {e}") from None


def _from_text(arguments: argparse.Namespace, place: Path, config: "LEDConfig") -> Inputs:
    """Return the inputs of a text or of ids, and of a target. Raises InputError, TokenizerError."""
    from ..porting.inputs import inputs_of
    from ..tokenizer import LEDTokenizer

    needs_tokenizer = arguments.text or arguments.target or arguments.global_attention == "doc-sep"
    tokenizer = LEDTokenizer.from_pretrained(arguments.tokenizer or place) if needs_tokenizer else None
    source = _ids("--ids", arguments.ids) if arguments.text is None else _text(arguments.text)
    target: Any = None if arguments.target is None else _text(arguments.target)
    if arguments.target_ids is not None:
        target = _ids("--target-ids", arguments.target_ids)
    return inputs_of(config, source, target, arguments.global_attention, tokenizer)


def _text(name: str) -> str:
    try:
        return read_text(name)
    except InputError as e:
        raise InputError(f"{shown(name)}: {e}") from None


def _ids(option: str, text: str) -> list[int]:
    rows = rows_of(text)
    if len(rows) != 1 or not rows[0]:
        raise InputError(f"{option} {brief(text)} holds no ids of one text: write them as 0,5,6,2")
    return rows[0]
