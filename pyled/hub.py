"""Where a checkpoint is: in the package, or in a directory. pyled downloads nothing."""

import re
from collections.abc import Collection
from pathlib import Path

from .errors import CheckpointError, InputError
from .files import read_json

# A small LED that writes the one-line synopsis of a software description or a manual page; its README.md says the rest.
SYNOPSIS = Path(__file__).parent / "synopsis"
KNOWN = "descriptions of software and manual pages"  # its training texts
UNNAMED = f"no checkpoint is named: the one in the package is used, which knows {KNOWN}"
ADAPTER = "adapter_config.json"
_REMEDY = "pass the directory of a downloaded checkpoint, with its config.json, weights and vocabulary"


def located(name: str | Path | None, file: str | None = "config.json") -> Path:
    """Return the directory of a checkpoint.

    name: a directory; None is the checkpoint in the package
    file: the directory must hold it; None asks for the directory alone

    Raises CheckpointError for a directory that is missing or lacks the file, InputError for a name of another type.
    """
    if name is None:
        return SYNOPSIS
    if not isinstance(name, str | Path) or not str(name):
        raise InputError(f"a checkpoint's name is {name!r:.60}: pass its directory, a string or a Path")
    directory = Path(name)
    try:
        files = {path.name for path in directory.iterdir()}
    except FileNotFoundError:
        raise CheckpointError(f"{name} is no directory: {_remedy(str(name))}", "no-directory") from None
    except NotADirectoryError:
        raise CheckpointError(f"{name} is a file: {_REMEDY}", "no-directory") from None
    except (OSError, ValueError) as e:  # no permission, or a name that no file can have
        raise CheckpointError(
            f"{name} cannot be looked up ({getattr(e, 'strerror', e)}): {_REMEDY}", "no-directory"
        ) from None
    if file is not None and file not in files:
        raise incomplete(directory, files, f"no {file}: {_REMEDY}")
    return directory


def _remedy(name: str) -> str:
    """Return what to do about a name that is no directory; it may be one on the Hugging Face Hub."""
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name):
        return _REMEDY
    return (
        "pyled downloads nothing. If this is a name on the Hugging Face Hub, fetch it, for instance with "
        f"`hf download {name} --local-dir {name.partition('/')[2]}`, and pass that directory"
    )


def incomplete(directory: Path, files: Collection[str], problem: str) -> CheckpointError:
    """Return the error for a directory without a file that a checkpoint has; an adapter's directory is told as such.

    files: the names in the directory; problem: what it holds instead, with the remedy
    """
    if ADAPTER not in files:
        return CheckpointError(f"{directory} holds {problem}", "file-missing")
    base = read_json(directory / ADAPTER, CheckpointError).get("base_model_name_or_path")
    return CheckpointError(
        f"{directory} holds an adapter ({ADAPTER}), not the model that it adapts, {base!r:.300}: merge them with peft, "
        f"AutoPeftModelForSeq2SeqLM.from_pretrained(...).merge_and_unload().save_pretrained(...), and pass the result",
        "adapter",
    )
