"""What pyled raises and warns with: one family, one class per kind of mistake.

Every message names the value, the limit and the remedy.
"""


class PyledError(ValueError):
    """Any mistake in a file or an argument that pyled reports."""


class CheckpointError(PyledError):
    """A weight file is damaged, or its tensors are not those of the model."""


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
