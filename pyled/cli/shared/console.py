"""Results go to standard output, and all else to standard error: the only code that writes to either.

What a file or an argument brings is escaped on a terminal, which it could steer. A pipe or a file gets it as it is; but
a message is one line there, too, and so is a name in a line of results.
"""

import contextlib
import io
import os
import re
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from ...errors import LINE_ENDS, escaped, one_line
from .interrupts import held
from .words import in_flags

if TYPE_CHECKING:
    from ...tasks import Status
    from ...training.loop import Report

# What stays in results on a terminal: line ends, tabs, and joiners behind what they join, as Persian letters or emoji.
_STAYS = re.compile("([\n\t]|(?<=[^\0-\xff\u2000-\u206f])[\u200c\u200d])")


class Console:
    """Standard error: messages, and one line of progress where somebody watches."""

    def __init__(self, quiet: bool) -> None:
        self.is_quiet = quiet
        self._watched = not quiet and _is_terminal(sys.stderr)
        self._shown = 0  # characters of progress on the screen
        self._drawn = 0.0

    def error(self, message: str) -> None:
        """Tell an error."""
        self.clear()
        self._write(f"pyled: {one_line(message, None if _is_terminal(sys.stderr) else LINE_ENDS)}\n")

    def note(self, message: str) -> None:
        """Tell something that was assumed or left out."""
        if not self.is_quiet:
            self.error(in_flags(message))

    def progress(self, status: "Status") -> None:
        """Redraw the line, ten times a second at most."""
        now = time.monotonic()
        if not self._watched or (1 < status.done < status.total and now - self._drawn < 0.1):
            return
        self._drawn = now
        several = f", {status.together} together" if status.together > 1 else ""
        place = f"[{status.text + 1}/{status.texts}{several}] " if status.texts > 1 or several else ""
        again = " again" if status.round else ""
        chunk = f" chunk {status.chunk + 1}/{status.chunks}" if status.chunks > 1 else ""
        unit = {"encoding": "layers", "generating": "tokens", "summarizing": "texts"}[status.stage]
        line = f"{'' if unit == 'texts' else place}{status.stage}{again}{chunk} {status.done}/{status.total} {unit}"
        if status.seconds_left is not None:
            line += f", about {clock(status.seconds_left)} left"
        self._redraw(line)

    def training(self, report: "Report") -> None:
        """Redraw the line with how far a training is."""
        if self._watched:
            pace = "" if report.tokens_per_second is None else f", {report.tokens_per_second:,.0f} tokens a second"
            left = "" if report.seconds_left is None else f", about {clock(report.seconds_left)} left"
            self._redraw(f"training {report.step}/{report.steps} steps, loss {report.loss:.3f}{pace}{left}")

    def _redraw(self, line: str) -> None:
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


@contextlib.contextmanager
def noting(console: Console) -> Iterator[None]:
    """Tell what the library logs, such as a compilation, as notes; where nobody wants them, it shows nothing itself."""
    import logging  # which `--help` does not need

    handler = logging.Handler()
    handler.emit = lambda record: console.note(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("pyled")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR if console.is_quiet else level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def clock(seconds: float) -> str:
    """Return a time as 1:02:05, or 2:05."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80


def set_encoding() -> None:
    """Let both streams take any text: as UTF-8; on a terminal as that takes it, with escapes for what it does not."""
    # the bytes of an odd file name survive in results, and so do the line ends of a text
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper) and stream.isatty():
            stream.reconfigure(errors="backslashreplace", newline="\n")
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors, newline="\n")


def for_terminal(text: str) -> str:
    r"""Return a result as a terminal may have it: nothing in it moves the cursor, or hides or reorders characters.

    >>> for_terminal("one\n\ttwo\x1b[2J\r")
    'one\n\ttwo\\u001b[2J\\r'
    """
    return "".join(part if i % 2 else escaped(part) for i, part in enumerate(_STAYS.split(text)))


class OutputError(Exception):
    """A result that cannot be written, nor could the next; the message is empty where nobody reads it."""


def put(text: str) -> None:
    """Write to standard output, whole and at once. Raises OutputError."""
    if sys.stdout is None:
        raise OutputError("standard output is closed")
    try:
        with held():
            sys.stdout.write(for_terminal(text) if _is_terminal(sys.stdout) else text)
            sys.stdout.flush()
    except OSError as e:
        raise OutputError("" if isinstance(e, BrokenPipeError) else f"standard output: {e.strerror}") from None
