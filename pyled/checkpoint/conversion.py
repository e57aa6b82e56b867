"""A checkpoint written anew as one safetensors file, with what belongs to it, from any format that is read here.

Numbers stay as they are stored, bit for bit. Names become upstream's, and of tied matrices one is left, so that the
file is what `save_pretrained` of transformers writes.
"""

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from ..annotations import Directory, checked_arguments
from ..arrays import Weights
from ..config import LEDConfig
from ..errors import CheckpointError, ConfigError, InputError
from ..files import is_there, json_text, read_file, read_json, replace_files
from ..hub import CONFIG, GENERATION, MODEL, PARTS, TOKENIZER, Part, named, opened
from .directory import FORMATS, read_directory
from .names import HEADS, PREFIX, account, check_floats, expected_shapes, listed, stored_names, upstream_name
from .original import from_original, is_original
from .safetensors import in_safetensors


def files_of(*parts: Part) -> list[str]:
    """Return the names of the files that parts of a checkpoint can have."""
    return list(dict.fromkeys(chain(*(chain(part.beside, *part.ways) for part in parts))))


STATED = CONFIG.ways[0][0]
BESIDE = files_of(TOKENIZER, GENERATION)


def convert(source: str | Path, target: Directory, *, force: bool = False, revision: str | None = None) -> list[str]:
    """Write a checkpoint anew, and return in words what is not as in the source; see `prepare` and `write`."""
    conversion = prepare(source, target, force=force, revision=revision)
    conversion.write()
    return conversion.notes


@dataclass(frozen=True)
class Conversion:
    """A checkpoint that is read and checked, and not yet written.

    folder: of the target; force: replace what it has
    weights: the tensors to write, as they are stored, by upstream's names; texts: the files beside them
    notes: in words, what is not as in the source
    """

    folder: Path
    force: bool
    weights: dict[str, Any]
    texts: dict[str, bytes]
    notes: list[str]

    def write(self, before_piece: Callable[[], None] = lambda: None) -> None:
        """Write `model.safetensors` and the files beside it, and rename them together once all are whole.

        before_piece: is called before each 4 MiB; what it raises ends the writing, and leaves what was there

        Raises OSError.
        """
        path = self.folder / FORMATS[0].single
        contents: dict[Path, Iterable[bytes]] = {path: _announced(in_safetensors(path, self.weights), before_piece)}
        contents |= {self.folder / name: [text] for name, text in self.texts.items()}
        with _new_folder(self.folder):
            replace_files(contents, outdated=self.folder / STATED if self.force else None, is_new=not self.force)


@checked_arguments
def prepare(source: str | Path, target: Directory, *, force: bool = False, revision: str | None = None) -> Conversion:
    """Read a checkpoint, and return what its conversion will write into the directory `target`, made if missing.

    source: a directory, or a name on a hub, and there a `revision`; force: replace a checkpoint that is in the target

    The head is the one that the names show. A tensor that is no weight of an LED with this head is left out. Files in
    the layout of allenai's original code become LED's; see `from_original`.

    Raises CheckpointError and ConfigError for the source, and InputError for a target that stays as it is.
    """
    folder = Path(target)
    there = _checked_target(folder, source, force)
    directory, _ = opened(source, {"revision": revision}, *MODEL, TOKENIZER)
    beside = [name for name in (*BESIDE, STATED) if is_there(directory / name, CheckpointError)]  # config.json is last
    texts = {name: read_file(directory / name, CheckpointError) for name in beside}
    if stale := [name for name in there if name in BESIDE and name not in texts]:
        said = f"{folder} holds {', '.join(stale)}, which the source does not"
        raise InputError(f"{said}: remove what would be read with the new weights, or name another directory")
    notes: list[str] = []
    stated = read_json(directory / STATED, ConfigError)
    tensors = {name: array for shard in read_directory(directory).values() for name, array in shard.items()}
    try:
        if is_original(tensors):
            tensors, stated, notes = from_original(tensors, stated)
            texts[STATED] = json_text(stated).encode()
        weights, differences = _as_upstream(tensors, LEDConfig.from_dict(stated))
    except ConfigError as e:
        raise e.at(directory / STATED) from None
    except CheckpointError as e:
        raise e.at(named(directory)) from None
    if not texts.keys() & set(chain(*TOKENIZER.ways)):
        notes.append(f"{named(directory)} holds no vocabulary: copy the tokenizer's files of its model into {folder}")
    return Conversion(folder, force, weights, texts, notes + differences)


def _checked_target(folder: Path, source: str | Path, force: bool) -> list[str]:
    """Return the files of a checkpoint that the target has. Raises InputError where they may not be replaced."""
    if os.path.realpath(folder) == os.path.realpath(source):
        raise InputError(f"{folder} is the source itself, which stays as it is: name another directory")
    if not (place := next(one for one in (folder, *folder.absolute().parents) if os.path.lexists(one))).is_dir():
        raise InputError(f"{place} is no directory: name another")
    there = [name for name in files_of(*PARTS) if is_there(folder / name, InputError)]
    if there and not force:
        raise InputError(f"{folder} holds {there[0]} already: pass force=True to replace it, or name another directory")
    return there


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
    has_prefix = any(name.startswith(PREFIX) for name in names)
    of_body = "lm" if has_prefix and config.tie_word_embeddings else None
    return next((head for head, starts in HEADS.items() if any(name.startswith(starts) for name in names)), of_body)


def _announced(pieces: Iterable[bytes], before_piece: Callable[[], None]) -> Iterator[bytes]:
    for piece in pieces:
        before_piece()
        yield piece


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
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
