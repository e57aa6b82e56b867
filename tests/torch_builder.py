"""Files of torch, built byte by byte: the program of a pickle, and the zip file or the stack round it."""

import struct
import zlib

STOP, ORDERED = b".", b"ccollections\nOrderedDict\n)R"
MAGIC = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
FACTS = {"protocol_version": 1001, "little_endian": True}


def text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def sizes(values) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def name(module: str, attribute: str) -> bytes:
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def storage(key="0", kind="FloatStorage", length=2, last=b"") -> bytes:
    """A storage; last: what the stacked form has more."""
    return b"(" + text("storage") + name("torch", kind) + text(key) + text("cpu") + number(length) + last + b"tQ"


def tensor(of=None, begin=0, shape=(2,), strides=(1,), grad=b"\x89", hooks=ORDERED, **more) -> bytes:
    """A tensor; more: of its storage."""
    of = storage(**more) if of is None else of
    arguments = of + number(begin) + sizes(shape) + sizes(strides) + grad + hooks
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + arguments + b"tR"


def program(content: bytes) -> bytes:
    return b"\x80\x02" + content + STOP


def state(**tensors: bytes) -> bytes:
    """The program of a state dict."""
    return program(ORDERED + b"(" + b"".join(text(key) + value for key, value in tensors.items()) + b"u")


ONE = state(a=tensor())  # of two float32
DATA = struct.pack("<2f", 1, 2)


def records(pickle: bytes = ONE, *data: bytes, **more: bytes) -> list[tuple[str, bytes]]:
    """The records of a zip file in torch's order; more: others behind them."""
    storages = [(f"data/{i}", part) for i, part in enumerate(data or (DATA,))]
    return [("data.pkl", pickle), ("byteorder", b"little"), *storages, ("version", b"3\n"), *more.items()]


def zipped(listed=None, *, folder="archive/", local=None, central=None, end=None, end64=None, between=b"") -> bytes:
    """A zip file as torch writes it.

    local, central: other fields in the headers of a record, by its name: flags, method, crc, packed, size, name, extra,
        and in `central` also at, comment, disk; where "at" is a function, it is of the right place
    end, end64: other fields of the last records: here, count, size, start, comment; end64=False leaves them out
    between: bytes before the central directory
    """
    data, lines = b"", b""
    for key, content in records() if listed is None else listed:
        fields = {"flags": 0x808 if content else 0x800, "method": 0, "crc": zlib.crc32(content), "packed": len(content)}
        fields |= {"size": len(content), "name": (folder + key).encode(), "extra": b""}
        inner = fields | {"crc": 0, "packed": 0, "size": 0} | (local or {}).get(key, {})
        if "extra" not in (local or {}).get(key, {}):
            pad = -(len(data) + 34 + len(inner["name"])) % 64
            inner["extra"] = b"FB" + struct.pack("<H", pad) + b"Z" * pad
        outer = {**fields, "at": len(data), "comment": b"", "disk": 0} | (central or {}).get(key, {})
        outer["at"] = outer["at"](len(data)) if callable(outer["at"]) else outer["at"]
        numbers = [inner[field] for field in ("flags", "method")], [inner[field] for field in ("crc", "packed", "size")]
        head = struct.pack("<4s3H", b"PK\3\4", 0, *numbers[0]) + bytes(4) + struct.pack("<3I", *numbers[1])
        head += struct.pack("<2H", len(inner["name"]), len(inner["extra"])) + inner["name"] + inner["extra"]
        data += head + content
        if inner["flags"] & 8:
            data += struct.pack("<4s3I", b"PK\7\x08", fields["crc"], len(content), len(content))
        lines += struct.pack("<4s4H", b"PK\1\2", 0, 0, outer["flags"], outer["method"]) + bytes(4)
        lines += struct.pack("<3I", *(outer[field] for field in ("crc", "packed", "size")))
        lines += struct.pack("<3H", *(len(outer[field]) for field in ("name", "extra", "comment")))
        lines += struct.pack("<2HII", outer["disk"], 0, 0, outer["at"]) + outer["name"] + outer["extra"]
        lines += outer["comment"]
    count = len(records() if listed is None else listed)
    fields = {"here": count, "count": count, "size": len(lines), "start": len(data + between), "comment": b""}
    data += between + lines
    if end64 is not False:
        last = fields | {"length": 44, "at": len(data), "disk": 0} | (end64 or {})
        data += struct.pack("<4sQ2H2I", b"PK\6\6", last["length"], 0, 0, last["disk"], 0)
        data += struct.pack("<4Q", *(last[field] for field in ("here", "count", "size", "start")))
        data += struct.pack("<4sIQI", b"PK\6\7", 0, last["at"], 1)
    fields |= end or {}
    data += struct.pack("<4s4H2I", b"PK\5\6", 0, 0, *(fields[field] for field in ("here", "count", "size", "start")))
    return data + struct.pack("<H", len(fields["comment"])) + fields["comment"]


def pickled(value) -> bytes:
    """The instructions of a plain value."""
    if isinstance(value, dict):
        return b"}(" + b"".join(pickled(part) for item in value.items() for part in item) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(pickled, value)) + b"e"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    return text(value) if isinstance(value, str) else number(value)


def stacked(content: bytes | None = None, data=((2, DATA),), *, version=1001, facts=None, keys=("0",)) -> bytes:
    """A file of stacked pickles. data: number of elements, and bytes, of each storage."""
    content = state(a=tensor(last=b"N")) if content is None else content
    pickles = program(number(version)) + program(pickled(FACTS if facts is None else facts))
    pickles = MAGIC + pickles + content + program(pickled(list(keys)))
    return pickles + b"".join(struct.pack("<Q", length) + part for length, part in data)
