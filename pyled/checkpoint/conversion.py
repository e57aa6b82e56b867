"""A checkpoint written anew as one safetensors file, with what belongs to it, from any format that is read here.

Numbers stay as they are stored, bit for bit. Names become upstream's, and of tied matrices one is left, so that the
file is what `save_pretrained` of transformers writes.
"""

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from ..annotations import Directory, checked_arguments
from ..arrays import Weights
from ..config import LEDConfig
from ..errors import CheckpointError, ConfigError, InputError
from ..files import is_there, json_text, read_file, read_json, replace_files
from ..hub import MODEL, TOKENIZER, located
from .directory import FORMATS, UNREAD, read_directory
from .names import OPTIONAL, PREFIX, account, check_floats, expected_shapes, listed, stored_names, upstream_name
from .original import from_original, is_original
from .safetensors import in_safetensors

WEIGHTS, CONFIG = FORMATS[0].single, "config.json"
VOCABULARY = ("vocab.json", "merges.txt", "tokenizer.json")
BESIDE = (
    *VOCABULARY,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
)
_MARKS = {"qa": ("qa_outputs.",), "classification": ("classification_head.",), "lm": ("lm_head.", OPTIONAL)}


@checked_arguments
def convert(
    source: str | Path, target: Directory, *, force: bool = False, before_piece: Callable[[], None] = lambda: None
) -> list[str]:
    """Write the checkpoint `source` into the directory `target`, and return in words what is not as in the source.

    target: is made if missing. `model.safetensors`, `config.json`, and the files of BESIDE that the source has, are
        renamed together once all are written, so that a failure leaves the directory as it was
    force: replace a checkpoint that is there
    before_piece: is called before each 4 MiB; what it raises ends the writing

    The head is the one that the names show. A tensor that is no weight of an LED with this head is left out. Files in
    the layout of allenai's original code become LED's; see `from_original`.

    Raises CheckpointError and ConfigError for the source, OSError, and InputError for a target that is the source or
    holds files that may not be replaced, or would stay.
    """
    directory, folder = located(source, *MODEL, TOKENIZER), Path(target)
    beside = [name for name in (*BESIDE, CONFIG) if is_there(directory / name, CheckpointError)]
    _check_target(folder, directory, beside, force)
    texts = {name: read_file(directory / name, CheckpointError) for name in beside}
    stated = read_json(directory / CONFIG, ConfigError)
    tensors = {name: array for shard in read_directory(directory).values() for name, array in shard.items()}
    notes: list[str] = []
    try:
        if is_original(tensors):
            tensors, stated, notes = from_original(tensors, stated)
            texts[CONFIG] = json_text(stated).encode()
        weights, differences = _as_upstream(tensors, LEDConfig.from_dict(stated))
    except ConfigError as e:
        raise e.at(directory / CONFIG) from None
    except CheckpointError as e:
        raise e.at(directory) from None
    if not any(name in texts for name in VOCABULARY):
        notes.append(f"{directory} holds no vocabulary: copy the tokenizer's files of its model into {folder}")
    pieces = in_safetensors(folder / WEIGHTS, weights)
    contents: dict[Path, Iterable[bytes]] = {folder / WEIGHTS: _announced(pieces, before_piece)}
    contents |= {folder / name: [text] for name, text in texts.items()}
    with _made(folder):
        replace_files(contents, outdated=folder / CONFIG if force else None, is_new=not force)
    return notes + differences


def _as_upstream(tensors: Weights, config: LEDConfig) -> tuple[dict[str, Any], list[str]]:
    """Return the tensors to write, as they are stored, by upstream's names, and in words what differs from the file."""
    head = _head(tensors, config)
    sources, report = account(tensors, config, head)
    if report.missing or report.misshaped:
        raise report.refusal()
    weights = {name: sources[name] for name in stored_names(expected_shapes(config, head), config) if name in sources}
    for source in weights.values():
        check_floats(source, tensors[source])
    unused = [f"left out, no weights of this model: {listed(report.unused)}"] if report.unused else []
    return {upstream_name(name, head): tensors[source] for name, source in weights.items()}, report.conflicts + unused


def _head(names: Collection[str], config: LEDConfig) -> str | None:
    """Return the head whose tensors are there; a tied language head can have none, but its body's names show it."""
    for head, marks in _MARKS.items():
        if any(name.startswith(marks) for name in names):
            return head
    has_prefix = any(name.startswith(PREFIX) for name in names)
    return "lm" if has_prefix and config.tie_word_embeddings else None


def _check_target(folder: Path, directory: Path, beside: Collection[str], force: bool) -> None:
    """Raise InputError where files may not be replaced, or would stay and be read with the new ones.

    folder: of the target; directory: of the source; beside: the files of the source that are not its weights
    """
    if os.path.realpath(folder) == os.path.realpath(directory):
        raise InputError(f"{folder} is the source itself, which stays as it is: name another directory")
    of_weights = [name for form in FORMATS for name in (form.single, form.index)]
    there = [name for name in (*of_weights, *UNREAD, CONFIG, *BESIDE) if is_there(folder / name, InputError)]
    if there and not force:
        raise InputError(f"{folder} holds {there[0]} already: pass force=True to replace it, or name another directory")
    if others := [name for name in there if name in BESIDE and name not in beside]:
        raise InputError(
            f"{folder} holds {', '.join(others)}, which the source does not: remove what would be read with the new "
            "weights, or name another directory"
        )


def _announced(pieces: Iterable[bytes], before_piece: Callable[[], None]) -> Iterator[bytes]:
    for piece in pieces:
        before_piece()
        yield piece


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder for the block; where the block fails, nothing of what was made stays."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for place in missing:
            with contextlib.suppress(OSError):
                place.rmdir()
        raise
