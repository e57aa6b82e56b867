"""Results go to standard output, and all else to standard error."""

import contextlib
import io
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .interrupts import held
from .words import in_flags

if TYPE_CHECKING:
    from ...tasks import Status


class Console:
    """Standard error: messages, and one line of progress where somebody watches."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._watched = not quiet and sys.stderr is not None and sys.stderr.isatty()
        self._shown = 0  # characters of progress on the screen
        self._drawn = 0.0

    def error(self, message: str) -> None:
        """Tell an error."""
        self.clear()
        self._write(f"pyled: {message}\n")

    def note(self, message: str) -> None:
        """Tell something that was assumed or left out."""
        if not self._quiet:
            self.error(in_flags(message))

    def progress(self, status: "Status") -> None:
        """Redraw the line, ten times a second at most."""
        now = time.monotonic()
        if not self._watched or (1 < status.done < status.total and now - self._drawn < 0.1):
            return
        self._drawn = now
        place = f"[{status.text + 1}/{status.texts}] " if status.texts > 1 else ""
        again = " again" if status.round else ""
        chunk = f" chunk {status.chunk + 1}/{status.chunks}" if status.chunks > 1 else ""
        unit = "tokens" if status.stage == "generating" else "layers"
        line = f"{place}{status.stage}{again}{chunk} {status.done}/{status.total} {unit}"
        if status.seconds_left is not None:
            line += f", about {clock(status.seconds_left)} left"
        self._redraw(line)

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
    """Tell what the library logs, such as a compilation, as notes."""
    import logging  # which `--help` does not need

    handler = logging.Handler()
    handler.emit = lambda record: console.note(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("pyled").addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger("pyled").removeHandler(handler)


def clock(seconds: float) -> str:
    """Return a time as 1:02:05, or 2:05."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80


class OutputError(Exception):
    """A result that cannot be written, nor could the next; the message is empty where nobody reads it."""


def put(text: str) -> None:
    """Write to standard output, whole and at once. Raises OutputError."""
    if sys.stdout is None:
        raise OutputError("standard output is closed")
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # the bytes of an odd file name survive, and so do the line ends of a text
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape", newline="\n")
        with held():
            sys.stdout.write(text)
            sys.stdout.flush()
    except OSError as e:
        raise OutputError("" if isinstance(e, BrokenPipeError) else f"standard output: {e.strerror}") from None
