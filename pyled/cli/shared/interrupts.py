"""Ctrl-C ends the process at once; while a file is written, as soon as it is whole, or when Ctrl-C comes twice.

No KeyboardInterrupt is raised. It would come between any two steps; in an import it can get lost, or become another
exception.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator

from .exit_status import INTERRUPTED

_is_held = _is_pending = False
_tidy: list[Callable[[], None]] = []  # called before the process ends ...
_close: list[Callable[[], None]] = []  # ... and these after it


def leave_on_interrupt() -> None:
    """Let interrupts end this process from now on; where they are ignored, they stay ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def leave_on_termination() -> None:
    """Let SIGTERM, too, end this process as an interrupt does; where a test runs the command, it stays as it is."""
    if signal.getsignal(signal.SIGINT) in (_leave, signal.SIG_IGN):
        signal.signal(signal.SIGTERM, _leave)


def _leave(*_: object) -> None:
    global _is_pending
    if _is_held and not _is_pending:  # a second interrupt does not wait
        _is_pending = True
        return
    tidy()
    os._exit(INTERRUPTED)


def tidy() -> None:
    """Do what `before_leaving` was told."""
    with contextlib.suppress(Exception):  # the interrupt can have come in the middle of it
        for action in (*_tidy, *_close):
            action()


def before_leaving(action: Callable[[], None]) -> None:
    """Do this, and nothing that was said before, when an interrupt ends the command."""
    _tidy[:] = [action]


@contextlib.contextmanager
def closed(close: Callable[[], None]) -> Iterator[None]:
    """Do this at the end of a block, also when an interrupt ends the command in it."""
    _close.append(close)
    try:
        yield
    finally:
        _close.remove(close)
        close()


def stop_if_interrupted() -> None:
    """Raise KeyboardInterrupt where an interrupt waits for a `held` block, and what the block did so far can go."""
    if _is_pending:
        raise KeyboardInterrupt


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Let an interrupt wait until the block is done."""
    global _is_held
    _is_held = True
    try:
        yield
    finally:
        _is_held = False
        if _is_pending:
            _leave()
