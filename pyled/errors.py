"""The exceptions and the warning of pyled: one family, one class per kind of mistake.

Every message names the value, the limit and the remedy.
"""

import sys
import warnings
from typing import Self


class PyledError(ValueError):
    """Any mistake in a file or an argument that pyled reports.

    rule: a short code of the rule that a file breaks, such as "header-too-long"; docs/checkpoint.md lists them
    """

    def __init__(self, message: str = "", rule: str | None = None) -> None:
        super().__init__(message)
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
    warnings.warn(message, PyledWarning, stacklevel=level)
