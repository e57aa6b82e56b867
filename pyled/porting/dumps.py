"""Files of stages: a trace, which pyled writes, and the dump of a port, in any of three formats.

- `.npz`: a zip archive with a member `NAME.npy` for each array, and perhaps `about.json`
- `.safetensors`, whose `__metadata__` perhaps has `about`
- a folder with a file `NAME.npy` for each array, and perhaps `about.json`

`about` is a JSON object that says what the arrays are of: that of a trace has the format "pyled trace 1".
"""

import contextlib
import io
import itertools
import json
import math
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..arrays import physical_memory
from ..checkpoint.safetensors import BF16, from_bf16, header_of, metadata_of, pieces, read_safetensors, with_values
from ..checkpoint.weight_file import DamagedError, bytes_of, reading
from ..errors import CheckpointError, InputError, PyledError, brief
from ..files import GIT_LFS, POINTER, parse_json, read_file, replacing

ABOUT = "about.json"
SUFFIXES = (".npz", ".safetensors")
ROOM = 4096  # bytes in the header of a safetensors file for what joins `about` while it is written
_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_LONGEST = 65_536  # bytes of the header of a .npy file


class Dump(Mapping[str, NDArray[Any]]):
    """The arrays of a dump by name, each read when it is asked for, read-only. Raises CheckpointError meanwhile."""

    def __init__(self, path: Path, arrays: Mapping[str, Callable[[], NDArray[Any]]], about: Callable[[], bytes | None]):
        self.path = path
        self._arrays, self._about = arrays, about

    def __getitem__(self, name: str) -> NDArray[Any]:
        return from_bf16(self._arrays[name]())

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def type_of(self, name: str) -> str:
        """Return the type in which an array is stored: that of NumPy's, or "bfloat16", which is read as float32."""
        dtype = self._arrays[name]().dtype
        return "bfloat16" if dtype == BF16 else str(dtype)

    @property
    def about(self) -> dict[str, Any]:
        """What the arrays are of; empty where the file does not say."""
        if (text := self._about()) is None:
            return {}
        about = parse_json(text, f"{self.path}: about", CheckpointError)
        if not isinstance(about, dict):
            raise CheckpointError(f"{self.path}: about is {brief(about)}: a JSON object was expected", "not-an-object")
        return about


def read(path: str | Path) -> Dump:
    """Return the arrays of a file or folder, see the top of this file, by name. Raises CheckpointError."""
    path = Path(path)
    if path.is_dir():
        return _read_folder(path)
    with reading(path, mmap=True) as (file, _):
        start = file.read(len(GIT_LFS))
        if start == GIT_LFS:
            raise CheckpointError(POINTER, "git-lfs")
        if start.startswith(np.lib.format.MAGIC_PREFIX):
            said = "holds one array without a name: put it into a folder as NAME.npy, and pass the folder"
            raise CheckpointError(said, "one-array")
    if path.suffix == ".npz" or start.startswith(b"PK"):
        return _read_npz(path)
    tensors = read_safetensors(path, as_stored=True)

    def of_tensor(name: str) -> Callable[[], NDArray[Any]]:
        return lambda: tensors[name] if tensors[name].dtype != bool else _valid(path, name, tensors[name])

    about = metadata_of(path).get("about")
    return Dump(path, {name: of_tensor(name) for name in tensors}, lambda: None if about is None else about.encode())


def _valid(path: Path, name: str, array: NDArray[Any]) -> NDArray[Any]:
    with reading(path, mmap=True):
        return with_values(name, array)


def _read_folder(path: Path) -> Dump:
    """Return the arrays of the files NAME.npy of a folder."""

    def of_file(file: Path) -> Callable[[], NDArray[Any]]:
        def array() -> NDArray[Any]:
            with reading(file, mmap=True) as (opened, size):
                return _from_npy(file.stem, bytes_of(opened, 0, size, mmap=True))

        return array

    arrays = {file.name.removesuffix(".npy"): of_file(file) for file in sorted(path.glob("*.npy"))}
    if not arrays:
        raise CheckpointError(f"{path}: holds no file NAME.npy: name the folder of a dump", "no-arrays")
    about = path / ABOUT
    return Dump(path, arrays, lambda: read_file(about, CheckpointError) if about.exists() else None)


def _read_npz(path: Path) -> Dump:
    """Return the arrays of an archive, whose members are all NAME.npy, or about.json."""
    with _archive(path) as archive:
        members = archive.namelist()
        if len(set(members)) < len(members):
            twice = next(name for name in members if members.count(name) > 1)
            raise DamagedError(f"the member {brief(twice)} stands twice", "zip-duplicate")
        for name in members:
            if not (name.endswith(".npy") or name == ABOUT):
                raise DamagedError(f"the member {brief(name)} is neither NAME.npy nor {ABOUT}", "zip-record")

    def content(member: str) -> bytes:
        with _archive(path) as archive:
            if archive.getinfo(member).file_size > physical_memory():
                raise MemoryError
            return archive.read(member)

    def of_member(name: str) -> Callable[[], NDArray[Any]]:
        def array() -> NDArray[Any]:
            data = np.frombuffer(content(f"{name}.npy"), np.uint8)
            with reading(path, mmap=True):
                return _from_npy(name, data)

        return array

    names = [member.removesuffix(".npy") for member in members if member != ABOUT]
    return Dump(path, {name: of_member(name) for name in names}, lambda: content(ABOUT) if ABOUT in members else None)


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive. Raises CheckpointError for what goes wrong meanwhile."""
    with reading(path, mmap=True) as (file, _):
        try:
            with zipfile.ZipFile(file) as archive:
                yield archive
        except (PyledError, OSError, MemoryError):
            raise
        except Exception as e:  # subtle: zipfile raises whatever its parts do, zlib.error and struct.error among them
            raise DamagedError(f"cannot be read as a zip archive: {e}", "zip") from None


def _from_npy(name: str, data: NDArray[np.uint8]) -> NDArray[Any]:
    """Return the array in the bytes of a .npy file, a view of them; no pickle is ever read. Raises DamagedError."""
    file = io.BytesIO(data[:_LONGEST].tobytes())
    try:
        version = np.lib.format.read_magic(file)
        shape, is_fortran, dtype = _READERS[version](file, max_header_size=_LONGEST)
    except Exception as e:  # subtle: NumPy raises whatever Python's parsers do
        raise DamagedError(f"array {brief(name)}: no header of a .npy file: {brief(str(e))}", "npy-header") from None
    dtype = BF16 if dtype == np.dtype("V2") else dtype  # JAX's bfloat16
    if dtype != BF16 and (dtype.kind not in "biuf" or dtype.itemsize > 8):
        said = f"array {brief(name)} is of {dtype}: write float64, float32, float16, bfloat16 or integers"
        raise CheckpointError(said, "dtype-not-read")
    needed, held = math.prod(shape) * dtype.itemsize, len(data) - file.tell()
    if needed != held:
        said = f"array {brief(name)}: {dtype} of shape {shape} takes {needed:,} bytes, the file holds {held:,}"
        raise DamagedError(said, "data-cut-short" if needed > held else "data-left-over")
    try:
        array: NDArray[Any] = np.ndarray(shape, dtype, data[file.tell() :], order="F" if is_fortran else "C")
    except (TypeError, ValueError) as e:  # a size of True, too many axes, or an empty array whose others are too long
        raise DamagedError(f"array {brief(name)}: no shape of an array: {brief(str(e))}", "npy-header") from None
    return array if dtype == BF16 else array.astype(dtype.newbyteorder("="), copy=False)


class Writer:
    """Writes arrays as they come, each once, in any order, into one file that is renamed into its place when whole.

    path: ends in .npz or .safetensors
    stages: all that will be written, each with `name`, `shape` and `dtype`
    about: written when the block ends, with what has joined it until then, at most some hundred bytes for each stage

    Raises InputError for arrays that are not those that were announced, OSError.

    >>> import tempfile
    >>> from types import SimpleNamespace
    >>> folder, about = tempfile.TemporaryDirectory(), {"format": "pyled trace 1"}
    >>> path = Path(folder.name) / "trace.npz"
    >>> with Writer(path, [SimpleNamespace(name="logits", shape=(2,), dtype="float64")], about) as writer:
    ...     writer.write("logits", np.array([0.5, 1.5]))
    ...     about["float32_error"] = {"logits": 1e-7}
    >>> dump = read(path)
    >>> dump["logits"].tolist(), dump.about["float32_error"]
    ([0.5, 1.5], {'logits': 1e-07})
    >>> folder.cleanup()
    """

    def __init__(self, path: str | Path, stages: Iterable[Any], about: dict[str, Any]) -> None:
        self.path, self.about = Path(path), about
        if self.path.suffix not in SUFFIXES:
            raise InputError(f"{self.path} ends in neither {' nor '.join(SUFFIXES)}: name the file so")
        # subtle: an array of one number that stands for all has the shape and the size, and takes no memory
        like = [(stage.name, np.broadcast_to(np.zeros((), stage.dtype), stage.shape)) for stage in stages]
        self._announced = dict(sorted(like, key=lambda item: -item[1].dtype.itemsize))
        self._missing = dict(self._announced)
        self._places: dict[str, int] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._file = self._stack.enter_context(replacing(self.path))
        if self.path.suffix == ".npz":
            self._archive = self._stack.enter_context(zipfile.ZipFile(self._file, "w"))
            return self
        room = ROOM + len(json.dumps(json.dumps(self.about))) + sum(100 + len(name) for name in self._missing)
        place = self._start = 8 + len(self._header(" " * room))
        for name, array in self._announced.items():
            self._places[name] = place
            place += array.nbytes
        return self

    def _header(self, about: str) -> bytes:
        return header_of([*self._announced.items()], {"format": "pt", "about": about})

    def write(self, name: str, array: NDArray[Any]) -> None:
        """Write an array."""
        announced = self._missing.pop(name, None)
        if announced is None or (announced.shape, announced.dtype) != (array.shape, array.dtype):
            one = (
                "it was not announced" if announced is None else f"{announced.shape} in {announced.dtype} was announced"
            )
            raise InputError(f"stage {brief(name)} is of shape {array.shape} in {array.dtype}: {one}")
        if self.path.suffix == ".npz":
            header, dtype = io.BytesIO(), array.dtype.newbyteorder("<")
            np.lib.format.write_array_header_1_0(
                header, {"descr": dtype.str, "fortran_order": False, "shape": array.shape}
            )
            self._add(f"{name}.npy", array.nbytes, itertools.chain([header.getvalue()], pieces(array)))
            self._places[name] = self._file.tell() - array.nbytes
        else:
            self._file.seek(self._places[name])
            self._file.writelines(pieces(array))

    def written(self, name: str) -> NDArray[Any]:
        """Return an array that was written, from the file."""
        array, place = self._announced[name], self._file.tell()
        self._file.seek(self._places[name])
        data: NDArray[Any] = np.fromfile(self._file, array.dtype.newbyteorder("<"), array.size)
        self._file.seek(place)
        return data.reshape(array.shape)

    def _add(self, member: str, size: int, data: Iterable[bytes]) -> None:
        """Add a member of about this size to the archive: without the hour, so that the same arrays give one file."""
        info = zipfile.ZipInfo(member)
        info.file_size = size
        with self._archive.open(info, "w") as file:
            file.writelines(data)

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        with self._stack:  # which leaves the old file in its place where something is raised
            if e is not None:
                raise e
            if self._missing:
                raise InputError(f"stage {brief(next(iter(self._missing)))} was announced and not written")
            if self.path.suffix == ".npz":
                text = json.dumps(self.about, indent=1).encode()
                self._add(ABOUT, len(text), [text])
                return
            header = self._header(json.dumps(self.about))
            assert len(header) <= self._start - 8, "about outgrew the header's room"
            self._file.seek(0)
            self._file.write((self._start - 8).to_bytes(8, "little") + header.ljust(self._start - 8))
