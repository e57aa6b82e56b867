"""The command line: `pyled summarize`.

Summaries alone go to standard output, as UTF-8; everything else to standard error.
"""

import argparse
import contextlib
import io
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import GenerationError, InputError, PyledError
from .files import parse_json
from .generation_config import GenerationConfig
from .version import __version__

if TYPE_CHECKING:
    from .tasks import Summarizer

OK, INPUT_FAILED, USAGE, BAD_CHECKPOINT, INTERRUPTED = 0, 1, 2, 3, 130
STDIN = "-"
EARLY = ("true", "false", "never")

SETTINGS = {
    "num_beams": "hypotheses that beam search keeps; 1 is greedy search",
    "max_length": "most tokens of the summary, counting the one it starts from",
    "max_new_tokens": "most tokens of the summary, not counting that one",
    "min_length": "fewest tokens, counted as in --max-length",
    "min_new_tokens": "fewest tokens, counted as in --max-new-tokens",
    "length_penalty": "above 0 beam search prefers longer summaries, below 0 shorter ones",
    "no_repeat_ngram_size": "no N tokens in a row twice",
    "encoder_no_repeat_ngram_size": "no N tokens in a row that are in the text",
    "repetition_penalty": "above 1 tokens already written are less likely",
}

EPILOG = """\
examples:
  pyled summarize report.txt -m led-large-16384-arxiv
  pdftotext paper.pdf - | pyled summarize -m PRIMERA --num-beams 5 --max-new-tokens 300
  pyled summarize *.txt -m DIR --too-long truncate -p suppress_tokens '[4, 5]'

exit status: 0 all summarized, 1 an input failed, 2 wrong usage, 3 bad checkpoint, 130 interrupted
"""


class Console:
    """Standard error: messages, and one line of progress where somebody watches."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._watched = not quiet and sys.stderr is not None and sys.stderr.isatty()
        self._shown = 0  # characters of progress on the screen
        self._began = self._drawn = 0.0

    def error(self, message: str) -> None:
        """Tell what went wrong."""
        self.clear()
        self._write(f"pyled: {message}\n")

    def note(self, message: str) -> None:
        """Tell what was assumed or left out."""
        if not self._quiet:
            self.error(message)

    def progress(self, place: str, stage: str, done: int, total: int) -> None:
        """Redraw the line, ten times a second at most."""
        if not self._watched:
            return
        now = time.monotonic()
        if done <= 1:
            self._began = now
        elif now - self._drawn < 0.1 and done < total:
            return
        self._drawn = now
        line = f"{place}{stage} {done}/{total}{' tokens' if stage == 'generating' else ' layers'}"
        if done > 1:  # the first is no measure: kernels are loaded or compiled in its time
            most = "at most " if stage == "generating" else ""
            line += f", {most}{_clock((now - self._began) / (done - 1) * (total - done))} left"
        line = line[: _columns() - 1].ljust(self._shown)
        self._shown = len(line.rstrip())  # before it is: an interrupt may come between
        self._write("\r" + line)

    def clear(self) -> None:
        """Take the line of progress away."""
        if self._shown:
            self._write("\r" + " " * self._shown + "\r")
            self._shown = 0

    def _write(self, text: str) -> None:
        if sys.stderr is not None:
            with contextlib.suppress(OSError):  # nobody listens
                sys.stderr.write(text)
                sys.stderr.flush()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80


# 1. The arguments


def make_parser() -> argparse.ArgumentParser:
    """All commands and options."""
    parser = argparse.ArgumentParser(
        prog="pyled", description="LED (Longformer Encoder-Decoder) on a CPU.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"pyled {__version__}", help="print pyled's version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    summarize = commands.add_parser(
        "summarize",
        usage="pyled summarize [FILE ...] -m DIR [options]",
        help="summarize text files",
        description="Summarize text files of any length the model takes, one after another.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    summarize.set_defaults(parser=summarize)
    summarize.add_argument("files", nargs="*", metavar="FILE", help="a UTF-8 text; - or none: standard input")
    summarize.add_argument("-m", "--model", required=True, metavar="DIR", help="the checkpoint's directory")
    summarize.add_argument(
        "--too-long",
        choices=("error", "truncate"),
        default="error",
        help="what to do with a text of more tokens than the encoder has positions (default: error)",
    )
    summarize.add_argument("--threads", type=int, metavar="N", help="processor threads to use (default: all)")
    summarize.add_argument("--dtype", choices=("float32", "float64"), help="what to compute in (default: float32)")
    summarize.add_argument("--quiet", action="store_true", help="print errors only: no progress, no notes")
    _add_settings(
        summarize.add_argument_group(
            "generation", "What is not given is as the checkpoint says, or else as in Hugging Face's."
        )
    )
    return parser


def _add_settings(group: Any) -> None:
    for name, about in SETTINGS.items():
        group.add_argument(f"--{name.replace('_', '-')}", metavar="N", help=about)
    group.add_argument(
        "--early-stopping",
        metavar="true|false|never",
        help="when beam search ends: true once it has enough summaries, false when better ones are unlikely, never "
        "when they are impossible; without a value true",
    )
    group.add_argument("--no-early-stopping", action="store_true", help="the same as --early-stopping=false")
    group.add_argument(
        "-p",
        "--param",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="any other setting of Hugging Face's generation, its value in JSON",
    )


def as_written(arguments: list[str]) -> list[str]:
    """Long options with hyphens for underscores, and `--early-stopping` with the value it has when it has none."""
    stop = arguments.index("--") if "--" in arguments else len(arguments)
    written = []
    for argument, following in zip(arguments[:stop], [*arguments[1:], ""], strict=False):
        name, equals, value = argument.partition("=")
        if name.startswith("--"):
            name = name.replace("_", "-")
            if name == "--early-stopping" and not equals and following.lower() not in EARLY:
                equals, value = "=", "true"
        written.append(name + equals + value)
    return written + arguments[stop:]


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The generation settings that were given. Raises GenerationError."""
    given = [(name, getattr(arguments, name)) for name in (*SETTINGS, "early_stopping")]
    pairs = [(name, text) for name, text in given if text is not None]
    pairs += [("early_stopping", "false")] * arguments.no_early_stopping
    pairs += [(name.replace("-", "_"), text) for name, text in arguments.param]
    settings: dict[str, Any] = {}
    for name, text in pairs:
        if name in settings:
            raise GenerationError(f"{name} is given twice: leave one out")
        settings[name] = value_of(text)
    GenerationConfig(**settings)  # finds mistakes before the checkpoint is read
    return settings


def value_of(text: str) -> Any:
    """The value of a setting as written: JSON, or Python's True, False and None, or else the string itself."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return parse_json(os.fsencode(text), "the value", GenerationError)
    except GenerationError:
        return text


# 2. The inputs


def read_text(name: str) -> str:
    """The text of a file, or of standard input for `-`: strict UTF-8, without its byte order mark.

    Raises InputError.
    """
    try:
        data = _read_stdin() if name == STDIN else Path(name).read_bytes()
    except IsADirectoryError:
        raise InputError("is a directory: name the files in it") from None
    except OSError as e:
        raise InputError(f"cannot be read: {e.strerror}") from None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as e:
        raise InputError(f"byte {e.start:,} is not UTF-8: give a text, converted if its encoding is another") from None
    if "\0" in text:
        raise InputError(f"byte {data.index(0):,} is NUL, so this is no text file: extract its text first")
    return text.removeprefix("\ufeff")


def _read_stdin() -> bytes:
    if sys.stdin is None:
        raise InputError("is closed: name a file")
    return sys.stdin.buffer.read()


def _shown(name: str) -> str:
    """What an input is called in messages."""
    return "standard input" if name == STDIN else name


# 3. The command


def main(argv: list[str] | None = None) -> int:
    """Run a command and give its exit status. `argv`: the arguments, by default those of the process."""
    console = Console(quiet=False)
    try:
        try:
            arguments = make_parser().parse_args(as_written(sys.argv[1:] if argv is None else argv))
            console = Console(arguments.quiet)
            return summarize(arguments, console)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left to do is to leave
        console.clear()
        return INTERRUPTED
    except OSError as e:  # from standard output; all others are told where they arise
        _abandon_stdout()
        if not isinstance(e, BrokenPipeError):
            console.error(f"standard output: {e.strerror}")
        return INPUT_FAILED


def _abandon_stdout() -> None:
    """Lead standard output nowhere, so that Python's own flush at the end finds nothing to complain about."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def in_words(error: Exception) -> str:
    """What to tell a user who can do something about it."""
    if isinstance(error, PyledError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"not enough memory{f' ({error})' if str(error) else ''}: pass a shorter text, or fewer beams"
    if isinstance(error, ImportError):
        return f"{error}: install pyled again, with its dependencies"
    return f"a mistake in pyled, please report it: {type(error).__name__}: {error}"


def summarize(arguments: argparse.Namespace, console: Console) -> int:
    """`pyled summarize`: every input is tried, whatever happens to the others."""
    names = _inputs(arguments)
    try:
        settings = settings_of(arguments)
    except GenerationError as e:
        arguments.parser.error(str(e))
    texts: dict[int, str] = {}
    for i, name in enumerate(names):
        try:
            texts[i] = read_text(name)
        except Exception as e:
            console.error(f"{_shown(name)}: {in_words(e)}")
    if not texts:
        return INPUT_FAILED
    try:
        summarizer = _load(arguments)
    except Exception as e:
        console.error(in_words(e))
        return BAD_CHECKPOINT if isinstance(e, PyledError) else INPUT_FAILED
    from .tasks import Reading

    try:
        plan = summarizer.plan(None, settings, Reading(too_long=arguments.too_long))
    except Exception as e:
        console.error(in_words(e))
        return USAGE
    for note in (*summarizer.surprises, *plan.settings.notes):
        console.note(note)
    _announce_compilation(console)
    written = 0
    for i, text in texts.items():
        place = f"[{i + 1}/{len(names)}] " if len(names) > 1 else ""
        try:
            source = summarizer.read(text, plan)
            for note in source.notes:
                console.note(f"{_shown(names[i])}: {note}")
            summary = summarizer.write(source, plan, partial(console.progress, place))
        except Exception as e:
            console.error(f"{_shown(names[i])}: {in_words(e)}")
            continue
        console.clear()
        head = f"==> {_shown(names[i])} <==\n" if len(names) > 1 else ""
        _put("\n" * (written > 0) + head + summary.text + "\n")
        written += 1
    return OK if written == len(names) else INPUT_FAILED


def _inputs(arguments: argparse.Namespace) -> list[str]:
    """The inputs that were named, or standard input where something is piped in."""
    if sys.stdout is None:
        arguments.parser.error("standard output is closed: there is nowhere to write a summary")
    if arguments.files:
        return list(arguments.files)
    if sys.stdin is None or sys.stdin.isatty():
        arguments.parser.error("no FILE, and no text is piped in: name a file, or - to type the text here")
    return [STDIN]


def _load(arguments: argparse.Namespace) -> "Summarizer":
    """Import what computes, and load the checkpoint. Raises PyledError for the latter."""
    from .kernels.jit import set_threads
    from .tasks import Summarizer

    if arguments.threads is not None:
        try:
            set_threads(arguments.threads)
        except ValueError as e:
            arguments.parser.error(f"--threads: {e}")
    return Summarizer.load(arguments.model, dtype=arguments.dtype)


def _announce_compilation(console: Console) -> None:
    """Say why the first run takes longer."""
    from .kernels.jit import CACHE_FOLDER

    if os.environ.get("NUMBA_DISABLE_JIT", "0") == "0" and not any(CACHE_FOLDER.rglob("*.nbi")):
        console.note(f"compiling for this processor, once, about half a minute; kept in {CACHE_FOLDER}")


def _put(text: str) -> None:
    """Write to standard output, whole and at once."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # the bytes of an odd file name survive
    sys.stdout.write(text)
    sys.stdout.flush()
