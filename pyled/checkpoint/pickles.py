"""The pickles of torch's weight files, run by a machine that can do nothing but describe tensors.

A pickle is a program for a machine with a stack and a memo. It can name any function of Python and call it, which is
how a weight file can run what it likes. This machine has the instructions that the program of a state dict needs, and
no others; the names that such a program has stand in `NAMES`, for functions and types of this file. So nothing is
imported, and a state dict becomes descriptions of tensors: in which storage, from which element, how large.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, NamedTuple

from ..errors import CheckpointError, brief
from .weight_file import DamagedError

START = b"\x80\x02"  # protocol 2
LARGEST = 2**26  # bytes of a pickle
MOST_INSTRUCTIONS = 10**6  # so many values and memories there are at most
DEEPEST = 10**4  # values and marks on the stack
LONGEST = 4096  # bytes of a string or a name
LONGEST_INTEGER = 8  # bytes
MOST_TENSORS = 10**5
ALONE = "save the state dict alone with torch, torch.save(model.state_dict(), 'pytorch_model.bin')"


@dataclass(frozen=True)
class StorageType:
    """A type of storage. dtype: that of its elements, as safetensors calls it."""

    dtype: str


class Storage(NamedTuple):
    """A run of elements of one type, which tensors are views of.

    key: its name in the file; length: in elements
    """

    key: str
    dtype: str
    length: int


class StoredTensor(NamedTuple):
    """A view of a storage: begin and strides are counted in elements."""

    storage: Storage
    begin: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _OrderedDict(dict[Any, Any]):
    """A collections.OrderedDict of a pickle; it alone has a state, which holds `_metadata`."""


def _ordered_dict(arguments: tuple[Any, ...]) -> _OrderedDict:
    if arguments:
        raise _wrong_call("collections.OrderedDict")
    return _OrderedDict()


def _tensor(arguments: tuple[Any, ...]) -> StoredTensor:
    """Return the tensor of (storage, begin, shape, strides, requires_grad, hooks). Raises DamagedError."""
    if [*map(type, arguments)] != [Storage, int, tuple, tuple, bool, _OrderedDict] or arguments[5]:
        raise _wrong_call("torch._utils._rebuild_tensor_v2")
    return StoredTensor(*arguments[:4])


def _parameter(arguments: tuple[Any, ...]) -> StoredTensor:
    """Return the tensor of (tensor, requires_grad, hooks). Raises DamagedError."""
    if [*map(type, arguments)] != [StoredTensor, bool, _OrderedDict] or arguments[2]:
        raise _wrong_call("torch._utils._rebuild_parameter")
    tensor: StoredTensor = arguments[0]
    return tensor


def _wrong_call(name: str) -> DamagedError:
    return DamagedError(f"its pickle calls {name} with other arguments than torch does", "pickle-call")


NAMES: dict[tuple[str, str], StorageType | Callable[[tuple[Any, ...]], Any]] = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "FloatStorage"): StorageType("F32"),
    ("torch", "HalfStorage"): StorageType("F16"),
    ("torch", "BFloat16Storage"): StorageType("BF16"),
    ("torch", "DoubleStorage"): StorageType("F64"),
    ("torch", "LongStorage"): StorageType("I64"),
    ("torch", "IntStorage"): StorageType("I32"),
    ("torch", "ShortStorage"): StorageType("I16"),
    ("torch", "CharStorage"): StorageType("I8"),
    ("torch", "ByteStorage"): StorageType("U8"),
    ("torch", "BoolStorage"): StorageType("BOOL"),
}
# Names of torch that stand for types which no LED has: complex, quantized, or newer than BF16.
OTHER_TYPES = re.compile(
    r"torch\.(Complex\w+|Q\w+)Storage|torch\.storage\.(Un)?[tT]ypedStorage|torch\._utils\._rebuild_(tensor_v3|qtensor)"
)


class Machine:
    """The machine that runs one pickle.

    position: of the next byte of the data
    storages: that the program named, by their keys
    """

    def __init__(self, data: memoryview, position: int, *, has_views: bool = False) -> None:
        """Begin at a place of the data.

        has_views: the name of a storage has a last part that is None, as in a file of stacked pickles
        """
        self._data, self.position, self._has_views = data, position, has_views
        self._stack: list[Any] = []
        self._marks: list[int] = []  # heights of the stack
        self._memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def run(self) -> Any:
        """Return the value of the program. Raises CheckpointError for one that is no state dict's."""
        if self._take(2) != START:
            raise DamagedError("a pickle of it does not begin with protocol 2, which torch writes", "pickle-protocol")
        for _ in range(MOST_INSTRUCTIONS):
            code = self._take(1)
            if code == b".":
                return self._result()
            if code not in _INSTRUCTIONS:
                raise self._foreign_error(
                    f"has the instruction {brief(code)}, which no state dict needs", "pickle-instruction"
                )
            _INSTRUCTIONS[code](self)
            if len(self._stack) + len(self._marks) > DEEPEST:
                raise self._foreign_error(f"has more than {DEEPEST:,} values on its stack", "pickle-limit")
        raise self._foreign_error(f"has more than {MOST_INSTRUCTIONS:,} instructions", "pickle-limit")

    def _foreign_error(self, problem: str, rule: str) -> CheckpointError:
        """Return the error for a program of another kind than a state dict's."""
        return CheckpointError(f"its pickle {problem}: nothing of it was run. If you trust the file, {ALONE}", rule)

    def _damaged_error(self, problem: str, rule: str) -> DamagedError:
        return DamagedError(f"its pickle {problem}, before byte {self.position:,}", rule)

    def _take(self, count: int) -> bytes:
        """Return the next bytes of the program."""
        taken = bytes(self._data[self.position : self.position + count])
        self.position += count
        if len(taken) < count:
            raise self._damaged_error("ends without an end", "pickle-cut-short")
        return taken

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise self._damaged_error("takes a value from an empty stack", "pickle-stack")
        return self._stack.pop()

    def _pop_to_mark(self) -> list[Any]:
        if not self._marks:
            raise self._damaged_error("goes back to a mark that it has not set", "pickle-stack")
        mark = self._marks.pop()
        values = self._stack[mark:]
        del self._stack[mark:]
        return values

    def _result(self) -> Any:
        value = self._pop()
        if self._stack or self._marks:
            raise self._damaged_error("ends with values on its stack", "pickle-stack")
        return value

    def _line(self) -> str:
        """Return the text up to the next end of a line."""
        line, end, _ = bytes(self._data[self.position : self.position + LONGEST]).partition(b"\n")
        if not end:
            raise self._damaged_error(f"has a name without an end, or of {LONGEST:,} bytes", "pickle-limit")
        self.position += len(line) + 1
        return line.decode("ascii", "backslashreplace")

    def _name(self) -> None:
        module, name = self._line(), self._line()
        if (module, name) not in NAMES:
            whole = f"{module}.{name}"
            if OTHER_TYPES.fullmatch(whole):
                said = (
                    f"its tensors are of a type that is not read ({whole}): save them as float32, float16 or bfloat16"
                )
                raise CheckpointError(said, "dtype-not-read")
            raise self._foreign_error(f"names {brief(whole)}, which no state dict needs", "pickle-name")
        self._stack.append(NAMES[module, name])

    def _text(self) -> None:
        length = self._number("<I")
        if length > LONGEST:
            raise self._damaged_error(f"has a string of {length:,} bytes, at most {LONGEST:,} are read", "pickle-limit")
        try:
            self._stack.append(self._take(length).decode("utf-8"))
        except UnicodeDecodeError:
            raise self._damaged_error("has a string that is not UTF-8", "not-utf8") from None

    def _integer(self, form: str) -> None:
        self._stack.append(self._number(form))

    def _long_integer(self) -> None:
        length = self._take(1)[0]
        if length > LONGEST_INTEGER:
            raise self._damaged_error(
                f"has an integer of {length} bytes, at most {LONGEST_INTEGER} are read", "pickle-limit"
            )
        self._stack.append(int.from_bytes(self._take(length), "little", signed=True))

    def _tuple(self, count: int) -> None:
        self._stack.append(tuple([self._pop() for _ in range(count)][::-1]))

    def _remember(self, form: str) -> None:
        value = self._pop()
        self._stack.append(value)
        self._memo[self._number(form)] = value

    def _recall(self, form: str) -> None:
        number = self._number(form)
        if number not in self._memo:
            raise self._damaged_error("recalls a value that it has not remembered", "pickle-stack")
        self._stack.append(self._memo[number])

    def _call(self) -> None:
        arguments, function = self._pop(), self._pop()
        if type(arguments) is not tuple or not isinstance(function, FunctionType):
            raise self._damaged_error(f"calls {_kind(function)} with {_kind(arguments)}", "pickle-call")
        self._stack.append(function(arguments))

    def _append(self, values: list[Any]) -> None:
        target = self._pop()
        if type(target) is not list:
            raise self._damaged_error(f"appends to {_kind(target)}", "pickle-type")
        target += values
        self._stack.append(target)

    def _set(self, items: list[Any]) -> None:
        target = self._pop()
        if not isinstance(target, dict) or len(items) % 2:
            raise self._damaged_error(f"sets {len(items)} keys and values of {_kind(target)}", "pickle-type")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in (str, int):  # subtle: the hash of a tuple would go through all that is in it
                raise self._damaged_error(f"has {_kind(key)} for a key", "pickle-type")
            if key in target:
                raise self._damaged_error(f"sets the key {brief(key)} twice", "duplicate-key")
            target[key] = value
        self._stack.append(target)

    def _build(self) -> None:
        """Give an OrderedDict its state, which is checked and then left out."""
        state, target = self._pop(), self._pop()
        versions = state.get("_metadata") if isinstance(state, dict) and [*state] == ["_metadata"] else None
        if (
            type(target) is not _OrderedDict
            or not isinstance(versions, dict)
            or not all(
                isinstance(module, str)
                and isinstance(entry, dict)
                and all(type(v) in (int, bool, str, type(None)) for v in entry.values())
                for module, entry in versions.items()
            )
        ):
            raise self._damaged_error(
                f"gives {_kind(target)} a state that is not the _metadata of a state dict", "pickle-type"
            )
        self._stack.append(target)

    def _storage(self) -> None:
        """Replace the name of a storage, ("storage", type, key, device, length), by the storage."""
        name = self._pop()
        form = [str, StorageType, str, str, int] + [type(None)] * self._has_views
        if type(name) is not tuple or [*map(type, name)] != form or name[0] != "storage":
            raise self._damaged_error("names a storage in another way than torch does", "storage-name")
        _, kind, key, _, length, *_ = name
        if not re.fullmatch("0|[1-9][0-9]{0,19}", key) or length < 0:
            raise self._damaged_error(f"names a storage {brief(key)} of {length} elements", "storage-name")
        storage = Storage(key, kind.dtype, length)
        if self.storages.setdefault(key, storage) != storage:
            raise self._damaged_error(f"names the storage {key} twice, with two types or sizes", "storage-twice")
        self._stack.append(storage)


def _kind(value: object) -> str:
    """Return in words what a value is; what it holds may be endless."""
    return f"a value of type {type(value).__name__.lstrip('_')}"


_INSTRUCTIONS: dict[bytes, Callable[[Machine], None]] = {
    b"c": Machine._name,
    b"X": Machine._text,
    b"J": lambda machine: machine._integer("<i"),
    b"K": lambda machine: machine._integer("<B"),
    b"M": lambda machine: machine._integer("<H"),
    b"\x8a": Machine._long_integer,
    b"G": lambda machine: machine._integer(">d"),
    b"N": lambda machine: machine._stack.append(None),
    b"\x88": lambda machine: machine._stack.append(True),
    b"\x89": lambda machine: machine._stack.append(False),
    b")": lambda machine: machine._stack.append(()),
    b"]": lambda machine: machine._stack.append([]),
    b"}": lambda machine: machine._stack.append({}),
    b"(": lambda machine: machine._marks.append(len(machine._stack)),
    b"t": lambda machine: machine._stack.append(tuple(machine._pop_to_mark())),
    b"\x85": lambda machine: machine._tuple(1),
    b"\x86": lambda machine: machine._tuple(2),
    b"\x87": lambda machine: machine._tuple(3),
    b"q": lambda machine: machine._remember("<B"),
    b"r": lambda machine: machine._remember("<I"),
    b"h": lambda machine: machine._recall("<B"),
    b"j": lambda machine: machine._recall("<I"),
    b"R": Machine._call,
    b"a": lambda machine: machine._append([machine._pop()]),
    b"e": lambda machine: machine._append(machine._pop_to_mark()),
    b"s": lambda machine: machine._set([machine._pop(), machine._pop()][::-1]),
    b"u": lambda machine: machine._set(machine._pop_to_mark()),
    b"b": Machine._build,
    b"Q": Machine._storage,
}


def state_dict(value: Any) -> dict[str, StoredTensor]:
    """Return the value of a pickle if it maps names to tensors. Raises CheckpointError, which tells what it is else."""
    if not isinstance(value, dict):
        raise CheckpointError(f"holds {_kind(value)}, not a state dict: {ALONE}", "state-dict")
    for name, tensor in value.items():
        if isinstance(tensor, dict):
            raise CheckpointError(
                f"holds a dictionary under {brief(name)}, as a training run saves it, not a state dict: {ALONE}",
                "training-checkpoint",
            )
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, StoredTensor):
            raise CheckpointError(
                f"holds {_kind(tensor)} under {brief(name)}, where a state dict has tensors by their names: {ALONE}",
                "state-dict",
            )
        if not name or "\0" in name:
            raise DamagedError(f"tensor {brief(name)}: a name is neither empty nor holds a NUL", "name")
    if len(value) > MOST_TENSORS:
        raise CheckpointError(f"holds {len(value):,} tensors, at most {MOST_TENSORS:,} are read", "pickle-limit")
    return value
