"""pyled's safetensors reader is nowhere looser than the official one.

    python golden/weight_files_headers.py [--files N] [--seed N]

Runs in any environment with the official library, with pyled on the path; stores nothing. Makes N files (20,000): a
header of random tensors spelled in one of many ways, with the data it asks for, and for most of them changes that may
or may not break a rule: of a field, of the tokens of the JSON, of single bytes, of the length, of the data. Whatever
pyled accepts the official reader must accept too, with the same names, shapes, types and bytes, mapped or not; pyled
may raise CheckpointError only. Prints how many each accepted.
"""

import argparse
import json
import random
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import safetensors

from pyled.checkpoint import read_safetensors
from pyled.errors import CheckpointError

SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "C64": 8,
         "I64": 8, "U64": 8, "F64": 8}  # fmt: skip
NAMES = ("a", "b", "led.shared.weight", "é", "😀", "x\ty", '"', "\\", "\x7f", "a.b", "A", " ", "__metadata", "\ud83d")
FACTORS = (0, 0, 1, 1, 2, 3, 5)
NUMBERS = ("0", "1", "2", "7", "8", "16", "-0", "-1", "1.0", "1e0", "01", "4294967296", "281474976710655",
           "281474976710656", "18446744073709551616", "9" * 20, "true", "null", '"0"', "[]", "{}", "NaN")  # fmt: skip
TOKENS = ("{", "}", "[", "]", ",", ":", '"', " ", "\n", "\0", "\ufeff", "\\u0061", "\\ud800", "\\u0000", "//",
          "F8_E4M3", '"F32"', '"f32"', '"F4"', '"BOOL"', '"BF16"', '"shape"', '"dtype"', '"x":1,', '"__metadata__":{},',
          '"__metadata__":{"a":"b"},', '"__metadata__":null,', '"__metadata__":{"a":1},')  # fmt: skip


def valid(rng: random.Random) -> tuple[str, bytes]:
    """A header that keeps the rules, oddly spelled, and its data."""
    fields = []
    data = b""
    for name in rng.sample(NAMES[:-1], rng.randint(0, 4)):
        dtype = rng.choice(list(SIZES))
        shape = [rng.choice(FACTORS) for _ in range(rng.randint(0, 4))]
        size = int(np.prod(shape, dtype=object)) * SIZES[dtype]
        begin, end = len(data), len(data) + size
        data += bytes(rng.randint(0, 1 if dtype == "BOOL" else 255) for _ in range(size))
        entry = [("dtype", dtype), ("shape", shape), ("data_offsets", [begin, end])]
        rng.shuffle(entry)
        fields.append((name, dict(entry)))
    rng.shuffle(fields)
    if rng.random() < 0.3:
        fields.insert(rng.randint(0, len(fields)), ("__metadata__", {"format": "pt"}))
    separators = rng.choice([(",", ":"), (", ", ": "), (",\n", ":\t")])
    text = json.dumps(dict(fields), ensure_ascii=rng.random() < 0.5, separators=separators)
    return text + " " * rng.randint(0, 9), data


def replaced(rng: random.Random, text: str, wanted: str, by: str) -> str:
    """One occurrence of a token, replaced."""
    places = [i for i in range(len(text)) if text.startswith(wanted, i)]
    if not places:
        return text
    place = rng.choice(places)
    return text[:place] + by + text[place + len(wanted) :]


def changed_text(rng: random.Random, text: str) -> str:
    """One change to the JSON."""
    kind = rng.randrange(6)
    place = rng.randint(0, len(text))
    if kind == 0:  # a number becomes another
        digits = re.findall("[0-9]+", text)
        return replaced(rng, text, rng.choice(digits), rng.choice(NUMBERS)) if digits else text
    if kind == 1:  # a token comes in
        return text[:place] + rng.choice(TOKENS) + text[place:]
    if kind == 2:  # a type becomes another, often of its size
        old = rng.choice([dtype for dtype in SIZES if f'"{dtype}"' in text] or ["F32"])
        same = [dtype for dtype in SIZES if SIZES[dtype] == SIZES[old]]
        return replaced(rng, text, f'"{old}"', f'"{rng.choice(same)}"')
    if kind == 3:  # a part goes
        return text[:place] + text[place + rng.randint(1, 12) :]
    if kind == 4:  # a part comes twice
        stop = place + rng.randint(1, 60)
        return text[:stop] + text[place:]
    old, new = rng.sample(NAMES, 2)  # a name becomes another
    return replaced(rng, text, json.dumps(old)[1:-1], json.dumps(new)[1:-1])


def made(rng: random.Random) -> bytes:
    """One file."""
    text, data = valid(rng)
    for _ in range(rng.choice([0, 1, 1, 1, 2])):
        text = changed_text(rng, text)
    header = bytearray(text.encode("utf-8", "surrogatepass"))
    if header and rng.random() < 0.2:
        header[rng.randrange(len(header))] = rng.choice([rng.randrange(256), rng.choice(b'{}[]",:0 ')])
    length = len(header)
    if rng.random() < 0.05:
        length = rng.choice([0, 1, length - 1, length + 1, length + 8, 10**8, 10**8 + 1, 2**63, 2**64 - 1]) % 2**64
    if rng.random() < 0.05:
        data = rng.choice([data[:-1], data + b"\0", b"", data * 2])
    whole = length.to_bytes(8, "little") + bytes(header) + data
    return whole[: rng.randrange(len(whole) + 1)] if rng.random() < 0.02 else whole


def official(whole: bytes) -> dict[str, Any] | None:
    """What the official reader says: name to (type, shape, bytes), or None where it refuses."""
    try:
        found = safetensors.deserialize(whole)
    except safetensors.SafetensorError:
        return None
    return {name: (entry["dtype"], tuple(entry["shape"]), bytes(entry["data"])) for name, entry in found}


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert set(found) == set(expected)
    for name, (dtype, shape, data) in expected.items():
        array = found[name]
        if dtype == "BF16":
            data = b"".join(b"\0\0" + data[i : i + 2] for i in range(0, len(data), 2))
        kind = {"BOOL": "b", "U": "u", "I": "i", "F": "f", "B": "f", "C": "c"}[dtype if dtype == "BOOL" else dtype[0]]
        assert array.shape == shape and array.dtype.kind == kind, (name, array.dtype, dtype)
        assert array.dtype.itemsize == (4 if dtype == "BF16" else SIZES[dtype])
        assert array.tobytes() == data, name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000, help="how many are made")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    counts: Counter[str] = Counter()
    looser = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        for _ in range(arguments.files):
            whole = made(rng)
            path.write_bytes(whole)
            expected = official(whole)
            try:
                found = read_safetensors(path)
            except CheckpointError:
                counts["both refuse" if expected is None else "only pyled refuses"] += 1
                continue
            if expected is None:
                looser.append(whole)
                continue
            assert_same(found, expected)
            assert_same(read_safetensors(path, mmap=False), expected)
            counts["both accept, with the same arrays"] += 1
    counts["only pyled accepts"] = len(looser)
    print(f"safetensors {safetensors.__version__}, {arguments.files} files:", dict(counts))
    for whole in looser[:10]:
        print(repr(whole))
    return 1 if looser else 0


if __name__ == "__main__":
    sys.exit(main())
