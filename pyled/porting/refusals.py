"""Weight files of the conformance kit: for each rule of the format some that break it, and odd ones that break none."""

import json
from collections.abc import Iterator

F32 = '{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'


def _file(header: str | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """Return a file by the rules: eight bytes of length, the header, the data."""
    header = header.encode() if isinstance(header, str) else header
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


def _one(dtype: str = '"F32"', shape: str = "[2]", offsets: str = "[0,8]", data: bytes = bytes(8)) -> bytes:
    """Return a file of one array, whose entry has these fields."""
    return _file(f'{{"a":{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}}}}}', data)


def _two(first: tuple[int, int], second: tuple[int, int]) -> bytes:
    """Return a file of 8 bytes of data and two arrays of U8, "a" and "b", that lie from offset to offset."""
    spans = {"a": first, "b": second}
    entries = {name: {"dtype": "U8", "shape": [j - i], "data_offsets": [i, j]} for name, (i, j) in spans.items()}
    return _file(json.dumps(entries), bytes(8))


REFUSED: dict[str, list[bytes]] = {
    "file-too-short": [b"", bytes(7)],
    "header-too-long": [_file("{}", length=100_000_001), _file("{}", length=2**64 - 4)],
    "header-beyond-end": [_file("{}", length=3)],
    "header-start": [_file(" {}"), _file(""), _file("[]")],
    "not-utf8": [_file(b'{"\xff":' + F32.encode() + b"}", bytes(8))],
    "not-json": [_file("{}x"), _file("{}{}"), _file("{'a':1}"), _one(offsets="[0,08]")],
    "duplicate-key": [_file(f'{{"a":{F32},"a":{F32}}}', bytes(8)), _file(f'{{"a":{F32},"\\u0061":{F32}}}', bytes(8))],
    "nan": [_file('{"a":NaN}')],
    "lone-surrogate": [_file(f'{{"\\ud800":{F32}}}', bytes(8))],
    "too-deep": [_file('{"a":' + "[" * 10_000 + "]" * 10_000 + "}")],
    "integer": [_one(offsets="[-0,8]"), _one(offsets="[0,18446744073709551624]")],
    "not-integer": [_one(offsets="[0,8.0]"), _one(shape="[2e0]")],
    "metadata": [_file('{"__metadata__":[]}'), _file('{"__metadata__":{"k":1}}')],
    "name": [_file(f'{{"":{F32}}}', bytes(8)), _file(f'{{"a\\u0000b":{F32}}}', bytes(8))],
    "entry": [_file('{"a":null}'), _file('{"a":{"dtype":"F32","shape":[2]}}', bytes(8)), _one(offsets='[0,8],"x":0')],
    "dtype": [_one('"F128"'), _one('"f32"'), _one("null")],
    "dtype-not-read": [_one('"F8_E4M3"', "[8]")],
    "shape": [_one(shape="[true]"), _one(shape="2"), _one(shape="[-1,-2]"), _one(shape=f"[{'1,' * 32}2]")],
    "offsets": [_one(offsets="[8]"), _one(offsets="[-8,0]"), _one(offsets='["0",8]')],
    "offsets-reversed": [_one(offsets="[8,0]")],
    "shape-too-large": [_one(shape=f"[{shape}]", offsets="[0,0]", data=b"")
                        for shape in ("4294967296,4294967296", "0,4294967296,65536")],
    "shape-against-offsets": [_one(shape="[3]"), _one(shape="[]")],
    "hole": [_two((1, 4), (4, 8)), _two((0, 4), (5, 8))],
    "overlap": [_two((0, 5), (4, 8)), _two((0, 8), (0, 8)), _two((0, 8), (4, 4))],
    "data-left-over": [_one(data=bytes(9))],
    "data-cut-short": [_one(data=bytes(7))],
    "bool": [_one('"BOOL"', "[8]", data=bytes([0, 1, 2, 0, 0, 0, 0, 0]))],
}  # fmt: skip
GOOD: dict[str, bytes] = {
    "nothing": _file("{}"),
    "space-behind-the-header": _file("{}\n\t \r\n"),
    "space-inside": _file(f'{{ "a"\n:\t{F32}\r}}', bytes(8)),
    "metadata-alone": _file('{"__metadata__":{"format":"pt","":""}}'),
    "one-number": _one(shape="[]", offsets="[0,4]", data=bytes(4)),
    "32-axes": _one('"U8"', f"[{'1,' * 31}8]"),
    "no-number": _one(shape="[3,0,5]", offsets="[0,0]", data=b""),
    "no-number-at-the-start": _two((0, 0), (0, 8)),
    "no-number-at-the-end": _two((0, 8), (8, 8)),
    "out-of-order": _two((4, 8), (0, 4)),
    "unaligned": _file(f'{{"a":{F32}}} ', bytes(8)),
    "names-of-unicode": _file(f'{{"\\u00e9\\ud83d\\ude00\u0085":{F32}}}', bytes(8)),
    "bfloat16": _one('"BF16"', "[4]"),
}


def weight_files() -> Iterator[tuple[str, str | None, bytes]]:
    """Yield name, rule and bytes of each file; the rule of a good one is None."""
    for rule, files in REFUSED.items():
        for i, data in enumerate(files):
            yield f"{rule}{f'-{i + 1}' if i else ''}", rule, data
    for name, data in GOOD.items():
        yield f"good-{name}", None, data
