"""Where a checkpoint is: in the package, or in a directory. pyled downloads nothing."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from .errors import CheckpointError, InputError, brief
from .files import broken_link, finish_replacing, read_json, reason

# A small LED that writes the one-line synopsis of a software description or a manual page; its README.md says the rest.
SYNOPSIS = Path(__file__).parent / "synopsis"
KNOWN = "descriptions of software and manual pages"  # its training texts
UNNAMED = f"no checkpoint is named: the one in the package is used, which knows {KNOWN}"
ADAPTER = "adapter_config.json"

# Keywords of Hugging Face's from_pretrained and save_pretrained that change nothing here, whatever their value, ...
_IGNORED = (
    "attn_implementation", "cache_dir", "commit_message", "force_download", "from_slow", "legacy_format",
    "local_files_only", "low_cpu_mem_usage", "max_shard_size", "mirror", "offload_folder", "private", "proxies",
    "repo_id", "resume_download", "save_function", "save_peft_format", "token", "trust_remote_code", "use_auth_token",
    "use_fast", "use_safetensors", "user_agent", "weights_only",
)  # fmt: skip
# ... and those that change nothing at these values, with what to do for another.
_NEUTRAL: dict[str, tuple[tuple[Any, ...], str]] = {
    "revision": ((None, "main"), "pass the directory of that revision"),
    "subfolder": ((None, ""), "pass the path of the subfolder"),
    "variant": ((None, ""), "pass a directory that holds those weights as model.safetensors"),
    "device_map": ((None, "auto", "cpu"), "leave it out, pyled computes on the CPU"),
    "from_tf": ((False,), "convert the weights to model.safetensors"),
    "from_flax": ((False,), "convert the weights to model.safetensors"),
    "state_dict": ((None,), "call load_state_dict of the model"),
    "ignore_mismatched_sizes": ((False,), "mend config.json, every weight must have the size that it states"),
    "output_loading_info": ((False,), "read load_report of the model"),
    "load_in_8bit": ((False,), "pass weights='int8' to the from_pretrained of a model"),
    "quantization_config": ((None,), "pass weights='int8' to the from_pretrained of a model"),
    "output_attentions": ((False,), "pass it to the call of the model"),
    "output_hidden_states": ((False,), "pass it to the call of the model"),
    "return_dict": ((True, None), "pass it to the call of the model"),
    "return_unused_kwargs": ((False,), "leave it out, unknown keywords are refused"),
    "is_main_process": ((True,), "call save_pretrained in the main process only"),
    "safe_serialization": ((True,), "leave it out, pyled writes safetensors"),
    "filename_prefix": ((None, ""), "save to another directory"),
    "push_to_hub": ((False,), "save to a directory and upload that with huggingface_hub"),
}
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
        raise InputError(f"a checkpoint's name is {brief(name)}: pass its directory, a string or a Path")
    directory = Path(name)
    try:
        finish_replacing(directory)
        files = {path.name for path in directory.iterdir()}
    except FileNotFoundError:
        remedy = broken_link(directory) or _remedy(str(name))
        raise CheckpointError(f"{name} is no directory: {remedy}", "no-directory") from None
    except NotADirectoryError:
        raise CheckpointError(f"{name} is a file: {_REMEDY}", "no-directory") from None
    except (OSError, ValueError) as e:
        raise CheckpointError(
            f"{name} cannot be looked up ({reason(directory, e)}): {_REMEDY}", "no-directory"
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
        f"`hf download {name} --local-dir {name.partition('/')[2]}`, and pass that directory; "
        "torch weights must be converted first (README, Long documents)"
    )


def incomplete(directory: Path, files: Collection[str], problem: str) -> CheckpointError:
    """Return the error for a directory without a file that a checkpoint has; an adapter's directory is told as such.

    files: the names in the directory; problem: what it holds instead, with the remedy
    """
    if ADAPTER not in files:
        return CheckpointError(f"{directory} holds {problem}", "file-missing")
    base = read_json(directory / ADAPTER, CheckpointError).get("base_model_name_or_path")
    return CheckpointError(
        f"{directory} holds an adapter ({ADAPTER}), not the model that it adapts, {brief(base)}: merge them with peft, "
        f"AutoPeftModelForSeq2SeqLM.from_pretrained(...).merge_and_unload().save_pretrained(...), and pass the result",
        "adapter",
    )


def other_keywords(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of a `from_pretrained` or `save_pretrained` without Hugging Face's that change nothing here.

    The caller reads or refuses the rest; `pyled.config.refuse_keywords` says where one of them belongs.

    Raises InputError for a keyword of Hugging Face's with a value that would change something.
    """
    for name, value in keywords.items():
        values, remedy = _NEUTRAL.get(name, ((), ""))
        if remedy and (not isinstance(value, bool | str | None) or value not in values):
            raise InputError(f"{name}={brief(value)} has no effect here: {remedy}")
    return {name: value for name, value in keywords.items() if name not in _IGNORED and name not in _NEUTRAL}
