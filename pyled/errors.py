"""The exceptions and the warning of pyled: one family, one class per kind of mistake.

Every message names the value, the limit and the remedy. It is one line that any terminal shows as it is meant, whatever
a file or an argument has put into it.
"""

import sys
import warnings
from json import dumps
from typing import Self
from unicodedata import category

LONGEST = 1000  # characters of a message
LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # what a reader of lines may take for one


def escaped(text: str, characters: str | None = None) -> str:
    r"""Return a text with some characters as JSON escapes them, so that JSON stays JSON.

    characters: those to escape; None for all that steer a terminal, hide or reorder what is beside them, or are half
        of a surrogate pair, as odd bytes of a file name are

    >>> escaped("\x1b[2J caf\udce9\n"), escaped("two\nlines", LINE_ENDS)
    ('\\u001b[2J caf\\udce9\\n', 'two\\nlines')
    """
    if text.isprintable():
        return text
    kinds = ("Cc", "Cf", "Cs", "Zl", "Zp")
    is_escaped = (lambda c: category(c) in kinds) if characters is None else characters.__contains__
    return "".join(dumps(c)[1:-1] if is_escaped(c) else c for c in text)


def one_line(text: str, characters: str | None = None) -> str:
    """Return a message as a line of at most LONGEST characters: of a longer one the beginning and the end.

    characters: those that are `escaped`
    """
    line = escaped(text if len(text) <= 2 * LONGEST else text[:LONGEST] + text[-LONGEST:], characters)
    return line if len(line) <= LONGEST else f"{line[:600]} ... of {len(text):,} characters ... {line[-300:]}"


def brief(value: object, most: int = 100) -> str:
    """Return a value as messages show it: as `repr` does, of a long one the beginning, the end, and its length.

    >>> brief([1, 2]), brief([7] * 10**6, most=20)
    ('[1, 2]', '[7, 7, 7, 7, ... 7, 7] (of length 1,000,000)')
    """
    count = len(value) if isinstance(value, str | bytes | list | tuple) else 0
    try:
        text = repr(value) if count <= 2 * most else repr(value[:most]) + repr(value[-most:])  # type: ignore[index]
    except Exception:  # subtle: Python writes no integer of more than 4,300 digits; other classes do as they like
        text = hex(value) if isinstance(value, int) else f"<{type(value).__name__}>"
    if len(text) <= most:
        return text
    return f"{text[: most * 2 // 3]}...{text[-(most // 3) :]}" + (f" (of length {count:,})" if count else "")


class PyledError(ValueError):
    """Any mistake in a file or an argument that pyled reports.

    rule: a short code of the rule that a file breaks, such as "header-too-long"; docs/checkpoint.md lists them
    """

    def __init__(self, message: str = "", rule: str | None = None) -> None:
        super().__init__(one_line(message))
        self.rule = rule

    def at(self, place: object) -> Self:
        """Return the same error with a place in front of its message, such as the path of the file."""
        return type(self)(f"{place}: {self}", self.rule)


class CheckpointError(PyledError):
    """A checkpoint is not there, a weight file is damaged, or its tensors are not those of the model."""


class ConfigError(PyledError):
    """A configuration holds a value that no LED can have."""


class TokenizerError(PyledError):
    """A vocabulary is damaged, or a text or id cannot be encoded or decoded."""


class InputError(PyledError):
    """An argument of a model or a task has a wrong shape, type or value."""


class GenerationError(PyledError):
    """A generation setting is unknown, out of range, or contradicts another."""


class PyledWarning(UserWarning):
    """Something was assumed, truncated, dropped or left unused; given once per cause and model."""


def warn(message: str) -> None:
    """Give a PyledWarning for the line outside pyled that called it."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals["__name__"].partition(".")[0] == __package__:
        level, frame = level + 1, frame.f_back
    warnings.warn(one_line(message), PyledWarning, stacklevel=level)
