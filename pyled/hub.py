"""Where a checkpoint is: in the package, in a directory, or on a hub, by its name there.

pyled downloads nothing but the checkpoint that it is told by its name on a hub, and of that only the files it reads.
"""

import contextlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .annotations import checked_arguments
from .errors import CheckpointError, InputError, brief
from .files import broken_link, finish_replacing, read_json, reason

# A small LED that writes the one-line synopsis of a software description or a manual page; its README.md says the rest.
SYNOPSIS = Path(__file__).parent / "synopsis"
KNOWN = "descriptions of software and manual pages"  # its training texts
UNNAMED = f"no checkpoint is named: the one in the package is used, which knows {KNOWN}"
ADAPTER = "adapter_config.json"


@dataclass(frozen=True)
class Part:
    """Files of a checkpoint that are read together."""

    name: str
    beside: tuple[str, ...]  # each is read where it is
    ways: tuple[tuple[str, ...], ...]  # the first that is there whole is read


CONFIG = Part("configuration", (), (("config.json",), (ADAPTER,)))
GENERATION = Part("settings of generation", ("generation_config.json",), ())
TOKENIZER = Part(
    "tokenizer",
    ("added_tokens.json", "special_tokens_map.json", "tokenizer_config.json", "tokenizer.json"),
    (("tokenizer.json",), ("vocab.json", "merges.txt")),
)
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
            "tf_model.h5", "tf_model.h5.index.json")  # fmt: skip
WEIGHTS = Part("weights", (), tuple((name,) for name in _WEIGHTS))
MODEL = (CONFIG, GENERATION, WEIGHTS)
PARTS = (CONFIG, GENERATION, TOKENIZER, WEIGHTS)  # the large ones come last
Check = Callable[[Path], object]

# A name on a hub, as huggingface_hub takes it; and a directory of its cache.
_HUB_NAME = re.compile(r"(?!.*(?:--|\.\.|\.git$))\w(?:[\w.-]{0,94}\w)?/\w(?:[\w.-]{0,94}\w)?", re.ASCII)
_CACHED = re.compile(r"models--([^/\\]+)--([^/\\]+)[/\\]snapshots[/\\]([0-9a-f]{40})(?=[/\\]|$)")

# Keywords of Hugging Face's from_pretrained that say how a name on a hub is looked up, ...
_LOOKUP = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token")
# ... those of it and of save_pretrained that change nothing for a directory, whatever their value, ...
_IGNORED = (
    "attn_implementation", "cache_dir", "commit_message", "force_download", "from_pt", "from_slow", "from_tf",
    "legacy_format", "local_files_only", "low_cpu_mem_usage", "max_shard_size", "mirror", "offload_folder", "private",
    "proxies", "repo_id", "resume_download", "save_function", "save_peft_format", "token", "trust_remote_code",
    "use_auth_token", "use_fast", "use_safetensors", "user_agent", "weights_only",
)  # fmt: skip
# ... and those that change nothing at these values, with what to do for another.
_NEUTRAL: dict[str, tuple[tuple[Any, ...], str]] = {
    "revision": ((None, "main"), "pass the directory of that revision, or a name on a hub"),
    "subfolder": ((None, ""), "pass the path of the subfolder"),
    "variant": ((None, ""), "pass a directory that holds those weights as model.safetensors"),
    "device_map": ((None, "auto", "cpu"), "leave it out, pyled computes on the CPU"),
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


def is_hub_name(name: object) -> bool:
    """Return True for `owner/name`, unless a file or directory has that path.

    >>> [is_hub_name(name) for name in ("allenai/led-base-16384", "led", "./led", "a/b/c", Path("a/b"))]
    [True, False, False, False, False]
    """
    return isinstance(name, str) and _HUB_NAME.fullmatch(name) is not None and not os.path.lexists(name)


def located(
    name: str | Path | None, *parts: Part, is_strict: bool = True, check: Check = lambda directory: None, **lookup: Any
) -> Path:
    """Return the directory of a checkpoint; of one on a hub, the directory of a commit in the local cache.

    Fetch what the cache lacks of the parts, of the commit of which it has other files, if there is one.

    name: a directory, or a name on a hub; None is the checkpoint in the package
    parts: what the caller reads; with CONFIG the directory must hold `config.json`
    is_strict: `config.json` must be there, and where another part is not, no later one is fetched: reading will tell
    check: called with the directory before weights are fetched, which take long; what it raises ends the look-up
    lookup: how a name on a hub is looked up, by the names of _LOOKUP

    Raises CheckpointError for what is missing or cannot be fetched, InputError for a name of another type.
    """
    if name is None:
        return SYNOPSIS
    if not isinstance(name, str | Path) or not str(name):
        raise InputError(f"a checkpoint's name is {brief(name)}: pass its directory")
    if is_hub_name(name):
        directory = _fetched(_Revision(str(name), **lookup), parts, is_strict, check)
        files = {path.name for path in directory.iterdir()}
    else:
        directory = Path(name)
        files = _names(directory)
    if is_strict and CONFIG in parts and "config.json" not in files:
        raise incomplete(directory, files, f"no config.json: {_REMEDY}")
    return directory


def opened(
    name: str | Path | None, keywords: Mapping[str, Any], *parts: Part, **how: Any
) -> tuple[Path, dict[str, Any]]:
    """Return the directory of a checkpoint, see `located`, and `other_keywords` of a `from_pretrained`'s keywords."""
    if not is_hub_name(name):
        return located(name, *parts, **how), other_keywords(keywords)
    if keywords.get("proxies"):
        raise InputError("proxies has no effect here: set the environment variables HTTP_PROXY and HTTPS_PROXY")
    lookup = {key: keywords[key] for key in _LOOKUP if keywords.get(key) is not None}
    if keywords.get("use_auth_token") is not None:  # an older name
        lookup.setdefault("token", keywords["use_auth_token"])
    rest = {key: value for key, value in keywords.items() if key not in _LOOKUP}
    return located(name, *parts, **how, **lookup), other_keywords(rest)


def named(directory: Path) -> str:
    """Return the name of a checkpoint: its directory; of one in a hub's cache its name on the hub, @ and the commit."""
    cached = _CACHED.search(str(directory))
    return f"{cached[1]}/{cached[2]}@{cached[3]}" if cached else str(directory)


def _names(directory: Path) -> set[str]:
    """Return the names in a directory. Raises CheckpointError."""
    try:
        finish_replacing(directory)
        return {path.name for path in directory.iterdir()}
    except FileNotFoundError:
        remedy = broken_link(directory) or f"{_REMEDY}, or its name on the Hugging Face Hub, owner/name"
        name, _, revision = str(directory).partition("@")
        if revision and is_hub_name(name):
            remedy = f"pass {name}, if that is its name on the Hugging Face Hub, and revision={brief(revision)}"
        raise CheckpointError(f"{directory} is no directory: {remedy}", "no-directory") from None
    except NotADirectoryError:
        raise CheckpointError(f"{directory} is a file: {_REMEDY}", "no-directory") from None
    except (OSError, ValueError) as e:
        said = f"{directory} cannot be looked up ({reason(directory, e)}): {_REMEDY}"
        raise CheckpointError(said, "no-directory") from None


def incomplete(directory: Path, files: Collection[str], problem: str) -> CheckpointError:
    """Return the error for a directory without a file that a checkpoint has; an adapter's directory is told as such.

    files: the names in the directory; problem: what it holds instead, with the remedy
    """
    if ADAPTER not in files:
        return CheckpointError(f"{named(directory)} holds {problem}", "file-missing")
    base = read_json(directory / ADAPTER, CheckpointError).get("base_model_name_or_path")
    return CheckpointError(
        f"{named(directory)} holds an adapter ({ADAPTER}), not the model that it adapts, {brief(base)}: merge them "
        f"with peft, AutoPeftModelForSeq2SeqLM.from_pretrained(...).merge_and_unload().save_pretrained(...), and pass "
        f"the result",
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


def _fetched(revision: "_Revision", parts: Iterable[Part], is_strict: bool, check: Check) -> Path:
    """Return the directory of a revision, and fetch what it lacks; see `located`."""
    lacking = [part for part in parts if revision.is_forced or not revision.is_settled(part)]
    try:
        if lacking:
            revision.ask_for(lacking)
        for part in lacking:
            if part is WEIGHTS and revision.directory is not None:
                check(revision.directory)
            revision.fetch(part)
            if is_strict and not revision.is_whole(part):
                break
    except CheckpointError as e:
        if e.rule != "hub-offline" or revision.directory is None or not all(map(revision.is_whole, parts)):
            raise
        _logger().warning("%s: taken from the cache, with the files that are there", e)
    if revision.directory is None:
        names = ", ".join(way[0] for part in parts for way in part.ways)
        raise CheckpointError(f"{revision}, holds none of {names}: name a checkpoint that has them", "file-missing")
    return revision.directory


class _Revision:
    """A revision of a checkpoint on a hub: its files in the local cache, and the way to the others.

    directory: with the files of the revision's commit in the cache; None where there is none
    """

    @checked_arguments
    def __init__(
        self,
        name: str,
        revision: str = "main",
        subfolder: str = "",
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
    ) -> None:
        self._hub = _huggingface_hub(name)
        self._name, self._revision, self._subfolder, self._token = name, revision, subfolder, token
        self._cache = str(Path(cache_dir or self._hub.constants.HF_HUB_CACHE).expanduser())
        self._is_offline, self.is_forced = local_files_only, force_download
        self._commit: str | None = None
        self.directory: Path | None = None
        self._new: set[str] = set()  # files that were fetched
        for part in () if force_download else PARTS:
            for file in (*part.beside, *(file for way in part.ways for file in way)):
                self._cached(file)

    def __str__(self) -> str:
        return f"{self._name}, revision {self._commit or self._revision} on {self._hub.constants.ENDPOINT}"

    # What is in the cache

    def _cached(self, file: str) -> Any:
        """Return the path of a file in the cache; None, or another value where the repository is known to lack it."""
        path = f"{self._subfolder}/{file}" if self._subfolder else file
        place = self._hub.try_to_load_from_cache(self._name, path, self._cache, self._commit or self._revision)
        if isinstance(place, str):
            self._stands_at(Path(place))
        return place

    def _stands_at(self, place: Path) -> None:
        self.directory, cached = place.parent, _CACHED.search(str(place))
        self._commit = cached and cached[3]

    def is_whole(self, part: Part) -> bool:
        """Return whether the cache has a part in one of its ways."""
        ways = ([self._cached(file) for file in self._files(way)] for way in part.ways)
        return not part.ways or any(all(isinstance(place, str) for place in way) for way in ways)

    def is_settled(self, part: Part) -> bool:
        """Return whether the cache has a part, and all that the repository has beside it."""
        # subtle: a whole repository has .gitattributes, too; the library marks each other file that is not there
        is_all_there = isinstance(self._cached(".gitattributes"), str)
        return self.is_whole(part) and (is_all_there or all(self._cached(file) is not None for file in part.beside))

    def _files(self, way: Iterable[str]) -> Iterator[str]:
        """Give the files of a way, and those that an index among them names."""
        for file in way:
            yield file
            if file.endswith(".index.json") and isinstance(path := self._cached(file), str):
                names = read_json(Path(path), CheckpointError).get("weight_map")
                names = names.values() if isinstance(names, dict) else ()
                yield from sorted(
                    {name for name in names if isinstance(name, str) and re.fullmatch(r"\w[\w.-]*", name)}
                )

    # What comes from the hub

    def ask_for(self, parts: Iterable[Part]) -> None:
        """Say that the hub is asked, and for what. Raises CheckpointError where it must not be."""
        what = " and ".join(", ".join(part.name for part in parts).rsplit(", ", 1))
        if self._is_offline or self._hub.constants.HF_HUB_OFFLINE:
            cause = "local_files_only is True" if self._is_offline else "HF_HUB_OFFLINE is set"
            raise self._out_of_reach(f"must not be asked for its {what}, because {cause}")
        endpoint, revision = self._hub.constants.ENDPOINT, self._commit or self._revision
        _logger().warning("asking %s for the %s of %s, revision %s", endpoint, what, self._name, revision)
        try:  # the library tries to connect for half a minute
            url = self._hub.hf_hub_url(self._name, "config.json", revision=revision)
            self._hub.get_hf_file_metadata(url, token=self._token)
        except Exception as e:
            if getattr(e, "response", None) is None:
                raise self._out_of_reach(f"cannot be reached ({_said(e)})") from None

    def fetch(self, part: Part) -> None:
        """Fetch what the cache lacks of a part, in the first way that the repository has. Raises CheckpointError."""
        for file in part.beside:
            self._fetch(file)
        for way in part.ways:
            if self._fetch(way[0]):
                for file in self._files(way):
                    self._fetch(file)
                return

    def _fetch(self, file: str) -> bool:
        """Fetch a file if the cache lacks it. Return whether the repository has it. Raises CheckpointError."""
        place = None if self.is_forced and file not in self._new else self._cached(file)
        if place is not None:
            return isinstance(place, str)
        hub, errors = self._hub, self._hub.utils
        try:
            with self._bars():
                place = hub.hf_hub_download(
                    self._name,
                    file,
                    subfolder=self._subfolder or None,
                    revision=self._commit or self._revision,
                    cache_dir=self._cache,
                    token=self._token,
                    force_download=self.is_forced,
                    library_name="pyled",
                )
        except Exception as e:
            responses = [getattr(error, "response", None) for error in (e, e.__cause__)]
            response: Any = next((response for response in responses if response is not None), None)
            status = None if response is None else response.status_code
            if isinstance(e, errors.EntryNotFoundError) and status == 404:  # not every server says more than that
                self._commit = self._commit or response.headers.get("x-repo-commit")
                return False
            raise self._refusal(file, e, status) from None
        self._stands_at(Path(place))
        self._new.add(file)
        return True

    @contextlib.contextmanager
    def _bars(self) -> Iterator[None]:
        """Show no bars of progress, which the library shows on a terminal, where pyled's messages are not wanted."""
        utils = self._hub.utils
        if _logger().isEnabledFor(30) or utils.are_progress_bars_disabled():  # 30 is logging.WARNING
            yield
            return
        utils.disable_progress_bars()
        try:
            yield
        finally:
            utils.enable_progress_bars()

    def _refusal(self, file: str, e: Exception, status: int | None) -> CheckpointError:
        """Return our error for one of the library's, and the status that the hub gave."""
        name, errors, endpoint = self._name, self._hub.utils, self._hub.constants.ENDPOINT
        said = _said(e.__cause__ or e)
        if isinstance(e, errors.GatedRepoError):
            problem = f"{name} is gated on {endpoint}: accept its conditions at {endpoint}/{name}"
            return CheckpointError(f"{problem}, and log in with `hf auth login`, or set HF_TOKEN", "hub-gated")
        if isinstance(e, errors.RepositoryNotFoundError):
            problem = f"{name} is no directory, and {endpoint} has no model of that name, or shows it to others only"
            return CheckpointError(f"{problem}: check the name; for a private model set HF_TOKEN", "hub-absent")
        if isinstance(e, errors.RevisionNotFoundError):
            problem = f"{name} has no revision {brief(self._revision)} on {endpoint}"
            return CheckpointError(f"{problem}: name a branch, a tag or a commit that it has", "hub-revision")
        if status in (401, 403):
            return CheckpointError(f"{endpoint} refuses {file} of {name} ({said}): check HF_TOKEN", "hub-gated")
        if isinstance(e, errors.LocalEntryNotFoundError):
            return self._out_of_reach(f"does not give its {file} ({said})")
        if isinstance(e, OSError) and e.errno is not None and not isinstance(e, ConnectionError | TimeoutError):
            problem = f"{self._cache}: {file} of {name} cannot be kept ({e.strerror})"
            return CheckpointError(f"{problem}: make room, or set HF_HUB_CACHE to another directory", "hub-cache")
        return CheckpointError(f"{file} of {self} was not fetched whole ({said}): try again", "hub-interrupted")

    def _out_of_reach(self, problem: str) -> CheckpointError:
        problem = f"{self._name} is no directory, and {self._hub.constants.ENDPOINT} {problem}"
        remedy = "connect, or pass the directory of the downloaded checkpoint"
        return CheckpointError(f"{problem}, nor has the cache {self._cache} all of it: {remedy}", "hub-offline")


def _logger() -> Any:
    import logging  # which `--help` does not need

    return logging.getLogger("pyled")


def _said(e: BaseException) -> str:
    """Return what another library's exception says, without its further lines."""
    return f"{type(e).__name__}: {(str(e).splitlines() or [''])[0][:200]}"


def _huggingface_hub(name: str) -> Any:
    """Return the library that asks a hub. Raises CheckpointError where it is not installed."""
    try:
        import huggingface_hub.constants
        import huggingface_hub.utils
    except ImportError as e:
        problem = f"{name} is no directory; as a name on the Hugging Face Hub it needs huggingface_hub ({e})"
        remedy = "run `python -m pip install 'pyled[hub]'`, or pass the directory of a downloaded checkpoint"
        raise CheckpointError(f"{problem}: {remedy}", "hub-extra") from None
    return huggingface_hub
