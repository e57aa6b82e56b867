"""torch's zip files (since 1.6): a pickle that describes tensors, and a record of bytes for each storage.

All records stand under one folder: `data.pkl`, `data/0`, `data/1`, ..., `version`, and a few small ones. Zip leaves
much open, and its readers differ in what they take for the content. This one holds a file to what torch writes:
records are not compressed, lie one behind the other from the first byte on, and say the same before, behind and in the
central directory. So they can be read in place.
"""

import re
import struct
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from ..errors import CheckpointError, brief
from .pickles import LARGEST, MOST_TENSORS, Machine, Storage, StoredTensor, state_dict
from .weight_file import DamagedError

START = b"PK\3\4"
LOCAL = struct.Struct("<4s5H3I2H")  # a record's header before its data
CENTRAL = struct.Struct("<4s6H3I5H2I")  # a record's header in the central directory
END = struct.Struct("<4s4H2IH")
LOCATOR = struct.Struct("<4sIQI")  # of END64, which stands before it; both before END
END64 = struct.Struct("<4sQ2H2I4Q")
BEHIND, BEHIND64 = struct.Struct("<4s3I"), struct.Struct("<4sI2Q")  # what may follow a record's data
MOST16, MOST32 = 2**16 - 1, 2**32 - 1  # stand for a number that the fields of ZIP64 hold
HAS_BEHIND, IS_UTF8 = 0x8, 0x800  # the flags that torch sets
SMALL = 64  # bytes at most of what is neither the pickle nor a storage
THREADS = 2

ALLOWED = re.compile(
    r"data\.pkl|data/(0|[1-9][0-9]{0,19})|version|byteorder|\.format_version|\.storage_alignment"
    r"|\.data/serialization_id"
)
OF_CODE = re.compile(r"constants\.pkl|code/.*")  # what TorchScript adds

Span = tuple[int, int]  # the first byte, and the one behind the last


class Record(NamedTuple):
    """A record of a zip file. at: where its header begins; begin, end: of its data, once they are looked up."""

    name: str
    flags: int
    crc: int
    size: int
    at: int
    begin: int = 0

    @property
    def span(self) -> Span:
        return self.begin, self.begin + self.size


def read_zip(data: memoryview) -> tuple[dict[str, StoredTensor], dict[str, Span]]:
    """Return the tensors of a file, and where each of their storages lies. Raises CheckpointError."""
    records = _records(data)
    for name in ("data.pkl", "version"):
        if name not in records:
            raise DamagedError(f"the record {name} is missing", "record-missing")
    small = {name: record for name, record in records.items() if not name.startswith("data")}
    for name, record in small.items():
        if record.size > SMALL:
            raise DamagedError(f"the record {name} has {record.size:,} bytes, at most {SMALL} are read", "zip-record")
    if records["data.pkl"].size > LARGEST:
        raise DamagedError(f"the record data.pkl has more than {LARGEST:,} bytes", "pickle-limit")
    _check_sums(data, [*small.values(), records["data.pkl"]])
    _check_small(data, small)
    begin, end = records["data.pkl"].span
    machine = Machine(data[begin:end], 0)
    tensors = state_dict(machine.run())
    if machine.position < end - begin:
        raise DamagedError("the record data.pkl goes on behind the end of its pickle", "pickle-left-over")
    storages = {name.removeprefix("data/"): record for name, record in records.items() if name.startswith("data/")}
    _check_storages(machine.storages, storages)
    _check_sums(data, [*storages.values()])
    return tensors, {key: record.span for key, record in storages.items()}


def _check_small(data: memoryview, records: dict[str, Record]) -> None:
    """Check the version and the order of bytes. Raises CheckpointError."""
    contents = {name: bytes(data[slice(*record.span)]) for name, record in records.items()}
    if not re.fullmatch(rb"([1-9]|10)\n?", contents["version"]):
        raise DamagedError(f"its version is {brief(contents['version'])}, 1 to 10 are read", "zip-version")
    order = contents.get("byteorder", b"little")
    if order == b"big":
        raise CheckpointError("its numbers are big-endian: save it on a machine that is little-endian", "byte-order")
    if order != b"little":
        raise DamagedError(f"its order of bytes is {brief(order)}, neither little nor big", "byte-order")


def _check_storages(named: dict[str, Storage], records: dict[str, Record]) -> None:
    if absent := named.keys() - records.keys():
        raise DamagedError(f"the record data/{min(absent)} of a storage is missing", "storage-missing")
    if unused := records.keys() - named.keys():
        raise DamagedError(f"no tensor uses the record data/{min(unused)}", "storage-unused")


def _check_sums(data: memoryview, records: Sequence[Record]) -> None:
    """Check the CRC-32 of records, on several threads. Raises DamagedError."""

    def first_spoiled(part: Sequence[Record]) -> str | None:
        return next((r.name for r in part if zlib.crc32(data[slice(*r.span)]) != r.crc), None)

    with ThreadPoolExecutor(THREADS) as pool:
        spoiled = [*filter(None, pool.map(first_spoiled, (records[i::THREADS] for i in range(THREADS))))]
    if spoiled:
        raise DamagedError(f"the bytes of {min(spoiled)} are not those that were written: the CRC-32 differs", "crc")


# The structure of the archive


def _records(data: memoryview) -> dict[str, Record]:
    """Return the records by their names without the folder; they cover the file up to the central directory."""
    start, end, count = _central_directory(data)
    records: dict[str, Record] = {}
    listed: list[Record] = []
    position, reached = start, 0
    for _ in range(count):
        record, position = _central_header(data, position, end)
        listed.append(record)
    if position != end:
        raise DamagedError(f"the central directory ends at byte {position:,}, not at {end:,}", "zip-directory")
    for record, following in zip(listed, [*(min(r.at, start) for r in listed[1:]), start], strict=True):
        name = _name_in_folder(record.name, listed[0].name.partition("/")[0])
        if name in records:
            raise DamagedError(f"the record {name} stands twice", "zip-duplicate")
        if record.at != reached:
            said = f"the record {name} begins at byte {record.at:,}, not at {reached:,} behind the one before"
            raise DamagedError(said, "zip-layout")
        record, reached = _local_header(data, record, following)
        records[name] = record._replace(name=name)
    if reached != start:
        raise DamagedError(f"the records end at byte {reached:,}, not at {start:,}", "zip-layout")
    return records


def _name_in_folder(whole: str, folder: str) -> str:
    """Return the name of a record without the folder, which all of them stand in. Raises CheckpointError."""
    top, _, name = whole.partition("/")
    if top != folder or folder in ("", ".", "..") or "\\" in whole or not folder.isprintable():
        said = f"the record {brief(whole)} is not in the one folder that all records stand in"
        raise DamagedError(said, "zip-name")
    if OF_CODE.fullmatch(name):
        said = "is a TorchScript model, which is a program: save the state dict of the model it was made from"
        raise CheckpointError(said, "torchscript")
    if not ALLOWED.fullmatch(name):
        raise DamagedError(f"the record {brief(name)} is none that torch writes for a state dict", "zip-record")
    return name


def _is_at(data: memoryview, position: int, signature: bytes) -> bool:
    return position >= 0 and bytes(data[position : position + 4]) == signature


def _central_directory(data: memoryview) -> tuple[int, int, int]:
    """Return where the central directory begins and ends, and how many records it lists."""
    at = len(data) - END.size
    if not _is_at(data, at, b"PK\5\6"):
        raise DamagedError("does not end with the last record of a zip file: cut short, or longer", "zip-end")
    _, *disks, here, count, size, start, comment = END.unpack_from(data, at)
    if comment or any(disks):
        raise DamagedError("has a comment at its end, or parts on other disks", "zip-end")
    fields, end = (here, count, size, start), at
    if _is_at(data, at - LOCATOR.size, b"PK\6\7"):
        at -= LOCATOR.size
        _, disk, end, parts = LOCATOR.unpack_from(data, at)
        if (disk, parts) != (0, 1) or end != at - END64.size or not _is_at(data, end, b"PK\6\6"):
            raise DamagedError("its ZIP64 records are not one behind the other", "zip64")
        _, length, _, _, *disks, here, count, size, start = END64.unpack_from(data, end)
        limits = (MOST16, MOST16, MOST32, MOST32)
        if length != END64.size - 12 or any(disks) or fields != (*map(min, (here, count, size, start), limits),):
            raise DamagedError("its ZIP64 records differ from the last record", "zip64")
    elif MOST16 in fields[:2] or MOST32 in fields[2:]:
        raise DamagedError("its ZIP64 records are missing", "zip64")
    if start + size != end or here != count:
        said = f"the central directory of {size:,} bytes at {start:,} does not end at {end:,}"
        raise DamagedError(f"{said}, or {here:,} of {count:,} records are here", "zip-directory")
    if count > MOST_TENSORS + SMALL:
        raise DamagedError(f"lists {count:,} records, at most {MOST_TENSORS:,} are read", "zip-directory")
    return start, end, count


def _central_header(data: memoryview, position: int, end: int) -> tuple[Record, int]:
    """Return the record that a line of the central directory describes, and where the next line begins."""
    fixed = position + CENTRAL.size
    if fixed > end or not _is_at(data, position, b"PK\1\2"):
        raise DamagedError(f"no record is described at byte {position:,}", "zip-directory")
    _, _, _, flags, method, _, _, crc, packed, size, *lengths, disk, _, _, at = CENTRAL.unpack_from(data, position)
    behind = fixed + sum(lengths)
    if behind > end:
        raise DamagedError(f"the description of a record at byte {position:,} is cut short", "zip-directory")
    name = bytes(data[fixed : fixed + lengths[0]]).decode("ascii", "backslashreplace")
    packed, size, at = _wide(name, (packed, size, at), data[fixed + lengths[0] : behind - lengths[2]])
    if flags & ~(HAS_BEHIND | IS_UTF8) or disk:
        raise DamagedError(f"the record {brief(name)} is encrypted, or marked in another odd way", "zip-flags")
    if method or packed != size:
        said = f"the record {brief(name)} is compressed: save the file with torch, which does not compress"
        raise CheckpointError(said, "zip-compressed")
    return Record(name, flags, crc, size, at), behind


def _wide(name: str, narrow: tuple[int, int, int], extra: memoryview) -> tuple[int, int, int]:
    """Return the two sizes and the place of a record, those of 64 bits from its extra field."""
    missing = [i for i in (1, 0, 2) if narrow[i] == MOST32]  # the size comes first
    if not missing:
        return narrow
    form = struct.Struct(f"<2H{len(missing)}Q")
    if len(extra) != form.size or form.unpack(extra)[:2] != (1, form.size - 4):
        raise DamagedError(f"the record {brief(name)} lacks its numbers of 64 bits", "zip64")
    numbers = list(narrow)
    for i, number in zip(missing, form.unpack(extra)[2:], strict=True):
        numbers[i] = number
    return numbers[0], numbers[1], numbers[2]


def _local_header(data: memoryview, record: Record, following: int) -> tuple[Record, int]:
    """Return a record with the place of its data, and where its bytes end.

    following: where they must end, before the central directory, which is longer than the header
    """
    if not _is_at(data, record.at, START):
        raise DamagedError(f"no record begins at byte {record.at:,}", "zip-layout")
    _, _, flags, method, _, _, crc, packed, size, name, extra = LOCAL.unpack_from(data, record.at)
    fixed = record.at + LOCAL.size
    begin = fixed + name + extra
    record = record._replace(begin=begin)
    end = begin + record.size
    if end > following:
        raise DamagedError(f"the record {brief(record.name)} runs into the next", "zip-layout")
    expected = {(record.crc, min(record.size, MOST32), min(record.size, MOST32))}
    if record.flags & HAS_BEHIND:
        expected.add((0, 0, 0))
    if (
        (flags, method) != (record.flags, 0)
        or bytes(data[fixed : fixed + name]) != record.name.encode()
        or (crc, packed, size) not in expected
    ):
        raise DamagedError(f"the record {brief(record.name)} differs from its line in the directory", "zip-local")
    if not record.flags & HAS_BEHIND:
        return record, end
    form = BEHIND64 if following - end == BEHIND64.size else BEHIND
    if end + form.size > following or form.unpack_from(data, end) != (
        b"PK\7\x08",
        record.crc,
        record.size,
        record.size,
    ):
        raise DamagedError(f"what is behind {brief(record.name)} differs from its line in the directory", "zip-local")
    return record, end + form.size
