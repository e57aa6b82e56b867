"""Fuzzing of the readers and the tokenizer: any bytes give a value or a PyledError, soon and in little memory.

    python tests/fuzz.py [--count N] [--seed S] [--only KIND] [--case C] [--jobs J]

Each case begins with a good input and spoils it in a few places, some with respect for its structure (an odd value
in the place of another, a key twice, a list in itself a hundred thousand times), some by bytes. A case is the same
each time for its kind, number and seed; `--only KIND --case C` runs one, shows what it read, and where it failed.
The exit status is 1 unless every case of every kind behaves.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import pickletools
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import torch_builder as torch

import pyled
from pyled import checkpoint
from pyled.checkpoint.directory import read_directory
from pyled.checkpoint.tensorflow import read_tensorflow, weight_name
from pyled.checkpoint.torch_file import read_torch
from pyled.errors import CheckpointError, PyledError, PyledWarning, TokenizerError
from pyled.tokenizer.bytelevel import SYMBOL_OF_BYTE

Rng = random.Random
Files = dict[str, bytes]

TIME_LIMIT = 5.0  # seconds for a case: the slowest takes a hundredth of it
MEMORY_LIMIT = 1 << 30  # bytes that a process may take beyond what it has at the start
CHUNK = 500  # cases that a process does at a time


# Odd JSON


class Raw(str):
    """A piece of JSON that is written as it stands."""


class Pairs(list[tuple[str, Any]]):
    """A JSON object whose keys may stand twice."""


ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, 7, 2**31, 2**32, 2**48 - 1, 2**48, 2**63, 2**64, 10**17, 10**18, -(10**18)),
    *(0.0, 0.5, 1.0, -2.5, 1e-320, 1e308, int(1e30), 10**400),
    *map(Raw, ("-0", "1e400", "-1E+999", "NaN", "-Infinity", "01", "1.", "'a'", "[1,]", "\t", "//", '"\\x"', "nul")),
    *map(Raw, ('"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"\x01"', "9" * 5000, "[" * 90000 + "]" * 90000)),
    *(Raw('{"a":' * 50000 + "1" + "}" * 50000), Raw("[" * 60 + "]" * 60)),
    *("", "x", "\0", "<s>", "<mask>", "Ġ", "é", "\u2028", "😀", "F32", "BF16", "F8_E4M3", "gelu", "left", "x" * 5000),
    *("BPE", "ByteLevel", "RobertaProcessing"),
    *([], {}, [[]], [None], [0], [0, 4], [2, 2], [0, 1, 2], [2**32, 2**32], [0, 2**47, 2**47], [2.0], ["a", "b"]),
    *({"": 0}, {"a": {"a": {}}}, {"content": "<x>"}, {"content": "", "special": 1}, {"__type": "AddedToken"}),
]


def as_pairs(value: Any) -> Any:
    """JSON with every object as Pairs, so that it can be spoiled in place."""
    if isinstance(value, dict):
        return Pairs((key, as_pairs(inner)) for key, inner in value.items())
    return [as_pairs(inner) for inner in value] if isinstance(value, list | tuple) else value


def text_of(value: Any) -> str:
    """The JSON text of Pairs, lists, plain values and Raw pieces."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(key)}: {text_of(inner)}" for key, inner in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(text_of, value)) + "]"
    return json.dumps(value)


def spoil_json(rng: Rng, root: Any) -> Any:
    """JSON with one change at a random depth: another value, or a key or item more, less, twice or moved."""
    if not isinstance(root, list) or not root or rng.random() < 0.02:
        return as_pairs(rng.choice(ODD))
    place = rng.randrange(len(root))
    key, inner = root[place] if isinstance(root, Pairs) else ("", root[place])
    if isinstance(inner, list) and inner and rng.random() < 0.7:
        new = spoil_json(rng, inner)
        root[place] = (key, new) if isinstance(root, Pairs) else new
        return root
    kind = rng.choice(("value", "value", "value", "key", "delete", "twice", "insert", "swap"))
    odd = as_pairs(rng.choice(ODD))
    odd_key = rng.choice(("", "a", "\0", "é", "\ud800", "__metadata__", "x" * 300, "dtype", "00", "-1", key.upper()))
    other = rng.randrange(len(root))
    if kind == "delete":
        del root[place]
    elif kind == "twice":
        root.insert(other, root[place])
    elif not isinstance(root, Pairs):
        root[place], root[other] = (root[other], root[place]) if kind == "swap" else (odd, root[other])
    elif kind == "swap":
        root[place], root[other] = (key, root[other][1]), (root[other][0], inner)
    elif kind == "insert":
        root.insert(place, (odd_key, odd))
    else:
        root[place] = (key, odd) if kind == "value" else (odd_key, inner)
    return root


PIECES = (
    *(b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":"),
    *(
        b"\n",
        b"\r\n",
        b" ",
        b"  ",
        b"\t",
        b"1",
        b"-",
        b"9" * 30,
        b"\\u",
        b"\\ud8",
        "\u2028".encode(),
        b"#version",
        b"a",
    ),
)


def spoil_bytes(rng: Rng, data: bytes) -> bytes:
    """Bytes with one change: a bit, a piece more, less, twice or moved, or an end."""
    a, b = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    if rng.random() < 0.8:
        b = min(b, a + rng.choice((1, 2, 8, 30)))
    kind = rng.choice(("bit", "piece", "piece", "delete", "twice", "end", "random"))
    if kind == "bit" and a < len(data):
        return data[:a] + bytes([data[a] ^ 1 << rng.randrange(8)]) + data[a + 1 :]
    if kind == "end":
        return data[:a]
    return (
        data[:a]
        + {"piece": rng.choice(PIECES), "delete": b"", "twice": data[a:b] * 2}.get(kind, rng.randbytes(b - a))
        + data[b if kind != "piece" or rng.random() < 0.5 else a :]
    )


def spoiled(rng: Rng, value: Any) -> bytes:
    """The text of a JSON value, spoiled in one to three places."""
    root = as_pairs(value)
    count = rng.choice((1, 1, 1, 2, 3))
    by_bytes = rng.random() < 0.25
    for _ in range(0 if by_bytes else count):
        root = spoil_json(rng, root)
    data = text_of(root).encode("utf-8", "surrogatepass")
    for _ in range(count if by_bytes else rng.random() < 0.03):
        data = spoil_bytes(rng, data)
    return data


# The good inputs

SHAPE = {
    "vocab_size": 11, "d_model": 4, "attention_window": [4], "encoder_layers": 1, "decoder_layers": 1,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 3, "decoder_ffn_dim": 3,
    "max_encoder_position_embeddings": 8, "max_decoder_position_embeddings": 8,
}  # fmt: skip
MODEL = pyled.LEDForConditionalGeneration(pyled.LEDConfig(**SHAPE))
WEIGHTS = {name: array for name, array in MODEL.state_dict().items() if "embed_tokens" not in name}
CONFIG = {**MODEL.config.to_dict(), "architectures": ["LEDForConditionalGeneration"], "hidden_size": 4}
GENERATION = {
    "num_beams": 4, "max_length": 9, "min_length": 1, "no_repeat_ngram_size": 3, "length_penalty": 2.0,
    "early_stopping": True, "forced_bos_token_id": 0, "forced_eos_token_id": 2, "bad_words_ids": [[5, 6]],
    "repetition_penalty": 1.2, "suppress_tokens": [7], "begin_suppress_tokens": [8], "eos_token_id": [2, 3],
    "pad_token_id": 1, "bos_token_id": 0, "decoder_start_token_id": 2, "do_sample": False, "top_p": 1.0,
    "sequence_bias": [[[5], -1.0]], "transformers_version": "4.57.6", "num_return_sequences": 1,
}  # fmt: skip
TENSORS = (
    ("f", "F32", [2, 3], 24),
    ("half", "BF16", [2], 4),
    ("none", "F64", [0, 5], 0),
    ("one", "I64", [], 8),
    ("led.é", "F16", [2, 1, 2], 8),
    ("b", "BOOL", [3], 3),
)
STORAGES = (bytes(range(32)), b"\x80\x3f\x40\xc0\x80\x7f", b"\0\1\1")  # of float32, bfloat16 and BOOL
MERGES = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("Ġ", "w"), ("Ġ", "Ġ"), ("o", "r"), ("Ġw", "or")]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
WORDS = [*SPECIAL[:4], *SYMBOL_OF_BYTE, *map("".join, MERGES), "<mask>"]
VOCAB = {word: i for i, word in enumerate(WORDS)}
SIZE = len(WORDS)
FLAGS = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
OPTIONS: dict[str, Any] = {
    "tokenizer_config.json": {
        "bos_token": "<s>",
        "mask_token": {"__type": "AddedToken", "content": "<mask>", **FLAGS, "lstrip": True},
        "model_max_length": 16384,
        "padding_side": "right",
        "add_prefix_space": False,
        "trim_offsets": True,
        "added_tokens_decoder": {"0": {"content": "<s>", **FLAGS}, str(SIZE): {"content": "<new>", **FLAGS}},
        "additional_special_tokens": ["<new>"],
        "clean_up_tokenization_spaces": False,
        "errors": "replace",
    },
    "special_tokens_map.json": {"eos_token": "</s>", "cls_token": {"content": "<s>", **FLAGS}, "sep_token": "</s>"},
    "added_tokens.json": {"<new>": SIZE, "<newer>": SIZE + 1},
}
WHOLE_TOKENIZER = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "normalizer": None,
    "added_tokens": [{"id": VOCAB[word], "content": word, **FLAGS} for word in SPECIAL],
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True},
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "dropout": None, "unk_token": None, "vocab": VOCAB, "merges": MERGES},
}
PLAIN_FILES: Files = {
    "vocab.json": json.dumps(VOCAB).encode(),
    "merges.txt": ("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in MERGES)).encode(),
}


# The kinds of cases: an input, and its reader


def make_safetensors(rng: Rng) -> Files:
    """A weight file: its header spoiled as JSON or as bytes, its length, its data."""
    header, position = {}, 0
    for name, dtype, shape, size in TENSORS:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + size]}
        position += size
    body = bytes(position - 3) + b"\0\1\1"
    root = {"__metadata__": {"format": "pt"}, **header}
    kind = rng.random()
    text = spoiled(rng, root) if kind < 0.75 else json.dumps(root).encode()
    if rng.random() < 0.05:
        text += rng.choice((b" ", b"\n", b"\0", b"{}", b" " * 5000))
    if 0.75 <= kind < 0.8:
        body = spoil_bytes(rng, body)
    length = len(text) + (rng.choice((-1, 1, 8, -9, 10**6, 10**8, 2**62)) if 0.8 <= kind < 0.83 else 0)
    data = struct.pack("<Q", max(0, length)) + text + body
    for _ in range(rng.choice((1, 1, 2, 3)) if kind >= 0.83 else 0):
        data = spoil_bytes(rng, data)
    return {"model.safetensors": data}


def read_weights(folder: Path, rng: Rng) -> None:
    """Read both ways; the bytes of every tensor must be there, and the same."""
    path = folder / "model.safetensors"
    read = [checkpoint.read_safetensors(path, mmap=mmap) for mmap in (True, False)]
    for name, array in read[0].items():
        assert array.tobytes() == read[1][name].tobytes() and not array.flags.writeable


def torch_program(last: bytes) -> list[bytes]:
    """The instructions of a state dict of three storages; last: what its storages have more."""
    first = torch.storage("0", "FloatStorage", 8, last)
    part = torch.tensor(first, 6)
    tensors = {
        "f": torch.tensor(first, 0, (2, 3), (3, 1)) + b"q\x09",
        "tied": b"h\x09",
        "led.\u00e9": torch.tensor(first, 0, (3, 2), (1, 3)),
        "part": torch.name("torch._utils", "_rebuild_parameter") + part + b"\x88" + torch.ORDERED + b"\x87R",
        "half": torch.tensor(torch.storage("1", "BFloat16Storage", 3, last), 0, (3,), (1,)),
        "b": torch.tensor(torch.storage("2", "BoolStorage", 3, last), 1),
        "none": torch.tensor(first, 0, (0, 5), (5, 1)),
    }
    state = torch.state(**tensors)
    metadata = b"}" + torch.text("_metadata") + torch.ORDERED + torch.text("") + torch.pickled({"version": 1}) + b"ssb"
    whole = state[:-1] + metadata + b"."
    places = [place for _, _, place in pickletools.genops(whole)]
    return [whole[a:b] for a, b in zip(places, [*places[1:], len(whole)], strict=True)]


PROGRAMS = {last: torch_program(last) for last in (b"", b"N")}
TORCH_NAMES = (
    ("collections", "OrderedDict"), ("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_parameter"),
    ("torch", "FloatStorage"), ("torch", "HalfStorage"), ("torch", "ByteStorage"), ("torch", "QInt8Storage"),
    ("os", "system"), ("torch", "x" * 5000),
)  # fmt: skip
INSTRUCTIONS = (
    *(bytes([code]) for code in b"N)]}(taesubQR.02\x85\x86\x87\x88\x89\x93\x81\x94"),
    *map(torch.number, (-1, 0, 1, 2, 3, 6, 7, 2**31, 2**48, 2**62, 2**64)),
    *map(torch.text, ("", "a", "f", "storage", "0", "1", "3", "00", "cpu", "_metadata", "x" * 5000, "a\0", "\ud800")),
    *(torch.name(*whole) for whole in TORCH_NAMES),
    *(code + bytes([number]) for code in (b"h", b"q") for number in (0, 1, 9)),
    *(b"]q\0h\0a", b"\x95" + bytes(8), b"j\xff\xff\xff\xff", b"r\xff\xff\xff\x7f", b"(" * 9000, b"h\x09" * 9000),
)


def spoil_program(rng: Rng, program: list[bytes]) -> bytes:
    """A program with one to three instructions more, less, twice, moved, or replaced."""
    program = program.copy()
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        a, b = rng.randrange(len(program)), rng.randrange(len(program))
        kind = rng.choice(("replace", "replace", "replace", "insert", "delete", "twice", "swap", "move"))
        if kind == "replace" and rng.random() < 0.6:  # by another of the same kind
            alike = [other for other in INSTRUCTIONS if other[:1] == program[a][:1]]
            program[a] = rng.choice(alike or INSTRUCTIONS)
        elif kind in ("replace", "delete"):
            program[a : a + 1] = [rng.choice(INSTRUCTIONS)] if kind == "replace" else []
        elif kind in ("insert", "twice"):
            program.insert(b if rng.random() < 0.5 else a, rng.choice(INSTRUCTIONS) if kind == "insert" else program[a])
        else:
            program[a], program[b] = program[b], program[a]
        program = program or [b"."]
    return b"".join(program)


ODD_FIELDS = {
    "flags": (0, 8, 0x800, 0x808, 0x809, 0x840), "method": (0, 8), "crc": (0, 1, 2**32 - 1),
    "packed": (0, 1, 8, 32, 2**31, 2**32 - 1), "size": (0, 1, 8, 32, 2**31, 2**32 - 1), "at": (0, 64, 2**31, 2**32 - 1),
    "name": (b"", b"archive/", b"archive/data/0", b"../data/0", b"/data.pkl", b"a\0", b"archive/" + b"x" * 5000),
    "extra": (b"", b"FB\0\0", struct.pack("<2HQ", 1, 8, 32), struct.pack("<2H2Q", 1, 16, 32, 32), b"\1\0\xff\xff"),
    "comment": (b"", b"x"), "disk": (0, 1), "here": (0, 1, 7, 2**16 - 1), "count": (0, 1, 7, 2**16 - 1),
    "start": (0, 4, 2**31, 2**32 - 1), "length": (44, 45, 0),
}  # fmt: skip
LOCAL, CENTRAL, END = (
    ("flags", "method", "crc", "packed", "size", "name", "extra"),
    ("flags", "method", "crc", "packed", "size", "name", "extra", "comment", "disk", "at"),
    ("here", "count", "size", "start"),
)
ODD_RECORDS = ("data/0", "data/1", "data/3", "data/00", "version", "byteorder", "constants.pkl", "../x", "Data.pkl", "")


def odd_fields(rng: Rng, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: rng.choice(ODD_FIELDS[name]) for name in rng.sample(names, rng.choice((1, 1, 2)))}


def make_torch_zip(rng: Rng) -> Files:
    """A zip file: its program spoiled, or its records, or the fields of its headers, or its bytes."""
    kind = rng.choice(("program", "program", "records", "fields", "fields", "bytes"))
    program = spoil_program(rng, PROGRAMS[b""]) if kind == "program" else b"".join(PROGRAMS[b""])
    records = torch.records(program, *STORAGES)
    options: dict[str, Any] = {"folder": rng.choice(("archive/", "pytorch_model/"))}
    if rng.random() < 0.2:
        options["end64"] = False
    for _ in range(rng.choice((1, 1, 2)) if kind == "records" else 0):
        a, b = rng.randrange(len(records)), rng.randrange(len(records))
        name, data = records[a]
        change = rng.choice(("swap", "delete", "twice", "name", "data"))
        if change in ("delete", "twice"):
            records[a : a + 1] = [records[a]] * 2 if change == "twice" else []
        elif change == "swap":
            records[a], records[b] = records[b], records[a]
        else:
            records[a] = (rng.choice(ODD_RECORDS), data) if change == "name" else (name, spoil_bytes(rng, data))
        records = records or [("version", b"3\n")]
    for _ in range(rng.choice((1, 1, 2, 3)) if kind == "fields" else 0):
        record = rng.choice(records)[0]
        change = rng.choice(("local", "central", "central", "both", "end", "end64"))
        if change in ("end", "end64"):
            options[change] = odd_fields(rng, END)
            continue
        fields = odd_fields(rng, CENTRAL if change == "central" else LOCAL)
        for place in ("local", "central") if change == "both" else (change,):
            options.setdefault(place, {})[record] = fields
    data = torch.zipped(records, **options)
    for _ in range(rng.choice((1, 1, 2, 3)) if kind == "bytes" else 0):
        data = spoil_bytes(rng, data)
    return {"pytorch_model.bin": data}


def make_torch_stacked(rng: Rng) -> Files:
    """A file of stacked pickles: its program spoiled, or what is before and behind it, or its bytes."""
    kind = rng.choice(("program", "program", "frame", "bytes"))
    program = spoil_program(rng, PROGRAMS[b"N"]) if kind == "program" else b"".join(PROGRAMS[b"N"])
    stack: dict[str, Any] = {"data": [*zip((8, 3, 3), STORAGES, strict=True)], "keys": ["0", "1", "2"]}
    if kind == "frame":
        change = rng.choice(("version", "facts", "data", "keys"))
        if change in ("version", "facts"):
            odd = (
                (1000, -1)
                if change == "version"
                else ({}, {**torch.FACTS, "little_endian": False}, [], {"a": {"b": 1}})
            )
            stack[change] = rng.choice(odd)
        else:
            rest = stack[change]
            place = rng.randrange(len(rest))
            other = (
                rng.choice(("0", "3", "", 0)) if change == "keys" else (rng.choice((0, 2, 2**62)), rng.choice(STORAGES))
            )
            rest[place : place + 1] = rng.choice(([], [rest[place]] * 2, [other]))
    data = torch.stacked(program, **stack)
    for _ in range(rng.choice((1, 1, 2, 3)) if kind == "bytes" else 0):
        data = spoil_bytes(rng, data)
    return {"pytorch_model.bin": data}


def read_torch_file(folder: Path, rng: Rng) -> None:
    """Read both ways; every tensor must be there, the same, and no larger than the file makes it."""
    path = folder / "pytorch_model.bin"
    read = [read_torch(path, mmap=mmap) for mmap in (True, False)]
    assert sum(array.nbytes for array in {id(a): a for a in read[0].values()}.values()) <= 4 * path.stat().st_size
    for name, array in read[0].items():
        assert array.tobytes() == read[1][name].tobytes() and not array.flags.writeable


KERAS_FILE = (Path(__file__).parent.parent / "golden" / "tf_model" / "base" / "tf_model.h5").read_bytes()
BUILT = [place for place, byte in enumerate(KERAS_FILE) if byte]  # most of the file is room for more
MARKS = (b"TREE", b"SNOD", b"HEAP", b"GCOL")  # of HDF5's parts


def make_hdf5(rng: Rng) -> Files:
    """A file of Keras with one to eight changes: a bit, a byte, a number, a piece of another place, or an end."""
    data = bytearray(KERAS_FILE)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        place, other = rng.choice(BUILT) if rng.random() < 0.7 else rng.randrange(len(data)), rng.randrange(len(data))
        kind = rng.choice(("bit", "bit", "bit", "byte", "byte", "number", "number", "number", "piece", "mark", "end"))
        if kind == "mark":
            place = max(0, data.find(rng.choice(MARKS), other)) + rng.randrange(4, 64)
        place = min(place, len(data) - 1)
        if kind == "bit":
            data[place] ^= 1 << rng.randrange(8)
        elif kind in ("byte", "mark"):
            data[place] = rng.choice((0, 1, 2, 3, 4, 8, 16, 32, 127, 128, 254, 255))
        elif kind == "number":
            odd = (0, 1, 96, 2**31, 2**40, 2**63, 2**64 - 1, len(data), other, other & ~7)
            data[place : place + 8] = rng.choice(odd).to_bytes(8, "little")[: rng.choice((2, 4, 8))].ljust(8, b"\0")
        elif kind == "piece":
            size = rng.choice((4, 8, 24, 40, 100))
            data[place : place + size] = data[other : other + size]
        elif rng.random() < 0.3:
            del data[place : place + rng.choice((1, 8, 100, len(data)))]
    return {"tf_model.h5": bytes(data)}


def read_hdf5(folder: Path, rng: Rng) -> None:
    """Read in a process of its own, because HDF5 is written in C; what is read is what h5py reads."""
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        said: list[str | None] = []
        try:
            compare_hdf5(folder / "tf_model.h5", rng.random() < 0.5)
        except PyledError as e:
            said = [str(e), e.rule]
        except BaseException as e:
            said = [f"FAILED: {type(e).__name__}: {e}"]
        os.write(sink, json.dumps(said).encode())
        os._exit(0)
    os.close(sink)
    with os.fdopen(source, "rb") as file:
        answer = file.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"it ended with {status}"
    if answer := json.loads(answer):
        assert not answer[0].startswith("FAILED"), answer[0]
        raise CheckpointError(*answer)


def compare_hdf5(path: Path, mmap: bool) -> None:
    """Read within limits of time and memory."""
    import h5py  # the other kinds are compared with torch, too, where there is none

    resource.setrlimit(resource.RLIMIT_CPU, (int(TIME_LIMIT),) * 2)
    tensors = read_tensorflow(path, mmap=mmap)
    with h5py.File(path, "r", locking=False) as file:
        groups = [file]
        for group in groups:
            for member in group.values():
                if isinstance(member, h5py.Group):
                    groups.append(member)
                else:
                    tensor = tensors.pop(weight_name(member.name[1:]))
                    array = member[()]
                    assert (tensor.T if member.name.endswith("/kernel:0") else tensor).tobytes() == array.tobytes()
    assert not tensors


def make_index(rng: Rng) -> Files:
    names = sorted(WEIGHTS)
    shard_of = {name: f"model-{i % 2 + 1}.safetensors" for i, name in enumerate(names)}
    return {"model.safetensors.index.json": spoiled(rng, {"metadata": {"total_size": 1}, "weight_map": shard_of})}


def read_shards(folder: Path, rng: Rng) -> None:
    """No tensor appears from nowhere."""
    assert {name for shard in read_directory(folder).values() for name in shard} <= set(WEIGHTS)


def make_config(rng: Rng) -> Files:
    return {"config.json": spoiled(rng, CONFIG)}


def read_model(folder: Path, rng: Rng) -> None:
    """What is loaded and written down is read as the same."""
    config = pyled.LEDForConditionalGeneration.from_pretrained(folder).config.to_dict()
    assert pyled.LEDConfig.from_dict(config).to_dict() == config


def make_generation(rng: Rng) -> Files:
    return {"generation_config.json": spoiled(rng, GENERATION)}


def read_generation(folder: Path, rng: Rng) -> None:
    config = pyled.GenerationConfig.from_pretrained(folder)
    assert pyled.GenerationConfig.from_dict(config.to_dict()) == config
    with contextlib.suppress(PyledError):
        MODEL.generate([[4, 5, 6]], generation_config=config, max_length=3, num_beams=1)


def make_vocabulary(rng: Rng) -> Files:
    return {"vocab.json": spoiled(rng, VOCAB), "merges.txt": PLAIN_FILES["merges.txt"]}


ODD_LINES = (b"", b" ", b"a", b"a b c", b"a  b", b"\t", b"\xc3\xa9 x", b"#version: 0.2", b"# a", b"h e", b"h\r e")
SPACES = " \t\n\r\f\v\x1c\x85\xa0\u1680\u2003\u2028\u200b\u3000\ufeff"
PARTS = ("hello", " world", "'s", "don't", "HELLO", "123", "4.5", "e\u0301", "ﬁ", "ſ", "İ")


def make_merges(rng: Rng) -> Files:
    lines = PLAIN_FILES["merges.txt"].split(b"\n")
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
        kind = rng.choice(("swap", "delete", "twice", "insert", "replace"))
        if kind == "swap":
            lines[a], lines[b] = lines[b], lines[a]
        elif kind in ("delete", "replace"):
            lines[a : a + 1] = [rng.choice(ODD_LINES)] if kind == "replace" else []
        else:
            lines.insert(a, lines[b] if kind == "twice" else rng.choice(ODD_LINES))
        lines = lines or [b""]
    data = b"\n".join(lines)
    for _ in range(rng.choice((0, 0, 1, 2))):
        data = spoil_bytes(rng, data)
    return {"vocab.json": PLAIN_FILES["vocab.json"], "merges.txt": data}


def make_options(rng: Rng) -> Files:
    """One to three of the files beside a vocabulary, at least one of them spoiled."""
    names = rng.sample(sorted(OPTIONS), rng.choice((1, 1, 2, 3)))
    good = {name: json.dumps(OPTIONS[name]).encode() for name in names}
    return {**PLAIN_FILES, **good, names[0]: spoiled(rng, OPTIONS[names[0]])}


def make_tokenizer(rng: Rng) -> Files:
    return {"tokenizer.json": spoiled(rng, WHOLE_TOKENIZER)}


def read_tokenizer(folder: Path, rng: Rng) -> None:
    """Use the tokenizer, if it can be loaded."""
    tokenizer = pyled.LEDTokenizer.from_pretrained(folder)
    text = "hello <mask> world, <new>"
    ids = tokenizer(text, return_offsets_mapping=True).input_ids
    assert max(ids) < len(tokenizer)
    assert isinstance(tokenizer.decode(ids), str)


def make_text(rng: Rng) -> str:
    """Words, spaces of all kinds, any characters, special tokens whole and in parts, and long runs."""
    parts = []
    for _ in range(rng.choice((1, 2, 5, 12))):
        kind = rng.random()
        if kind < 0.3:
            parts.append(rng.choice(PARTS))
        elif kind < 0.5:
            parts.append(rng.choice(SPACES) * rng.choice((1, 2, 7)))
        elif kind < 0.6:
            parts.append(rng.choice((*SPECIAL, "<new>", "<s", "mask>", "< s>", "<S>", "<mask><mask>", "a<s>b")))
        elif kind < 0.65:
            parts.append(rng.choice(("a", "ab", " ", "é", "😀", "<", "1", "\n")) * rng.choice((50, 400)))
        else:
            top = rng.choice((128, 256, 0x3000, 0x110000))
            parts.append("".join(chr(rng.randrange(top)) for _ in range(rng.choice((1, 3, 8)))))
    return "".join(parts)


def read_text(text: str, rng: Rng) -> None:
    """Encoded and decoded it is the same; its offsets follow one another from its start to its end."""
    try:
        encoded = TOKENIZER(text, add_special_tokens=False, return_offsets_mapping=True)
    except TokenizerError:
        assert any("\ud800" <= character <= "\udfff" for character in text)
        raise
    reached = 0
    for start, stop in encoded.offset_mapping:
        assert start <= reached <= stop and start < stop, "offsets"
        reached = stop
    assert reached == len(text), "offsets do not cover the text"
    assert all(0 <= i < len(TOKENIZER) for i in encoded.input_ids)
    if not any(token in text for token in TOKENIZER.all_special_tokens):
        assert TOKENIZER.decode(encoded.input_ids) == text, "decode(encode(text))"
    plain = TOKENIZER(text, add_special_tokens=False, split_special_tokens=True).input_ids
    assert TOKENIZER.decode(plain) == text, "decode(encode(text)) of plain text"
    cut = TOKENIZER(text, text, truncation=True, max_length=7).input_ids
    assert len(cut) <= 7, "truncation"


def make_ids(rng: Rng) -> Any:
    """A row of ids, or what somebody might take for one."""
    row: list[Any] = [rng.randrange(SIZE + 3) for _ in range(rng.choice((0, 1, 3, 20)))]
    kind = rng.random()
    if kind < 0.3:
        return row
    if kind < 0.6:
        odd = (None, True, -1, -(10**9), 2**31, 2**63, 10**30, 0.0, 1.5, float("nan"), "1", b"1", [], [1], {}, object())
        arrays = (np.int8(3), np.float32(2), np.array(4), np.array([4, 5]))
        row.insert(rng.randrange(len(row) + 1), rng.choice((*odd, *arrays)))
        return tuple(row) if rng.random() < 0.2 else row
    if kind < 0.9:
        dtype = rng.choice(("int8", "uint8", "int64", "uint64", "float32", "bool", "object", "U3", "complex64"))
        array = np.array(row, np.int64).astype(dtype)
        return rng.choice((array, array[::-1], array[None], array.reshape(-1, 1), np.array(5).astype(dtype), array[:0]))
    return rng.choice(
        (None, 5, -5, 10**30, True, 1.0, "", "5", "ab", b"ab", {1: 2}, {3, 4}, range(5), iter([1]), object())
    )


def read_ids(ids: Any, rng: Rng) -> None:
    assert isinstance(TOKENIZER.decode(ids, skip_special_tokens=rng.random() < 0.5), str)
    TOKENIZER.convert_ids_to_tokens(ids)


# name: (share of the cases, in hundredths; what makes an input; what reads it)
KINDS: dict[str, tuple[int, Callable[[Rng], Any], Callable[[Any, Rng], None]]] = {
    "safetensors": (20, make_safetensors, read_weights),
    "torch-zip": (9, make_torch_zip, read_torch_file),
    "torch-stacked": (7, make_torch_stacked, read_torch_file),
    "hdf5": (1, make_hdf5, read_hdf5),
    "index": (5, make_index, read_shards),
    "config": (9, make_config, read_model),
    "generation": (7, make_generation, read_generation),
    "vocabulary": (4, make_vocabulary, read_tokenizer),
    "merges": (4, make_merges, read_tokenizer),
    "options": (7, make_options, read_tokenizer),
    "tokenizer": (5, make_tokenizer, read_tokenizer),
    "texts": (15, make_text, read_text),
    "ids": (7, make_ids, read_ids),
}

WEIGHT_FILES = ("safetensors", "torch-zip", "torch-stacked", "hdf5", "index")  # each of their errors carries a rule


# Running them


class OutOfTimeError(BaseException):
    """A case took more than TIME_LIMIT; no `except Exception` may catch it."""


def out_of_time(*_: Any) -> None:
    raise OutOfTimeError(f"not done in {TIME_LIMIT:.0f} s")


def prepare(folder: str) -> None:
    """Make a process ready: its own folder, the limits, and a tokenizer for texts and ids."""
    global FOLDER, TOKENIZER
    FOLDER = Path(tempfile.mkdtemp(dir=folder))
    for kind in KINDS:
        (FOLDER / kind).mkdir()
    for part in (1, 2):
        shard = {name: WEIGHTS[name] for name in sorted(WEIGHTS)[part - 1 :: 2]}
        checkpoint.write_safetensors(FOLDER / "index" / f"model-{part}.safetensors", shard)
    MODEL.save_pretrained(FOLDER / "config")
    for name, data in PLAIN_FILES.items():
        (FOLDER / "texts" / name).write_bytes(data)
    TOKENIZER = pyled.LEDTokenizer.from_pretrained(FOLDER / "texts", trim_offsets=False)
    MODEL.generate([[4, 5, 6]], max_length=3, num_beams=1)  # compiled before time and memory count
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", PyledWarning)
    signal.signal(signal.SIGALRM, out_of_time)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY_LIMIT,) * 2)


def case(kind: str, number: int, seed: int) -> tuple[Any, Rng]:
    """The input of a case, and the dice for what else there is to choose."""
    rng = Rng(f"{seed} {kind} {number}")
    return KINDS[kind][1](rng), rng


def try_case(kind: str, number: int, seed: int) -> str:
    """How a case ended: "accepted", the name of a PyledError, or "FAILED: " and what happened."""
    value, rng = case(kind, number, seed)
    folder = FOLDER / kind
    if isinstance(value, dict) and kind != "ids":
        for name in {*OPTIONS, "generation_config.json"} - set(value):
            (folder / name).unlink(missing_ok=True)
        for name, data in value.items():
            (folder / name).write_bytes(data)
        value = folder
    signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT)
    try:
        KINDS[kind][2](value, rng)
    except PyledError as e:
        if len(str(e)) >= 2000:
            return f"FAILED: a message of {len(str(e)):,} characters"
        return f"FAILED: no rule: {e}" if e.rule is None and kind in WEIGHT_FILES else type(e).__name__
    except (Exception, OutOfTimeError) as e:
        place = traceback.extract_tb(e.__traceback__)[-1]
        return f"FAILED: {type(e).__name__} at {Path(place.filename).name}:{place.lineno}: {str(e)[:200]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "accepted"


def run(task: tuple[str, int, int, int]) -> tuple[str, Counter[str], list[str]]:
    """Some cases of a kind: how many ended how, and which failed."""
    kind, first, last, seed = task
    counts: Counter[str] = Counter()
    failed = []
    for number in range(first, last):
        ended = try_case(kind, number, seed)
        counts[ended.partition(":")[0]] += 1
        if ended.startswith("FAILED"):
            failed.append(f"--only {kind} --case {number} --seed {seed}: {ended}")
    return kind, counts, failed


def tasks(only: str | None, count: int, seed: int) -> Iterator[tuple[str, int, int, int]]:
    for kind, (share, _, _) in KINDS.items():
        if only in (None, kind):
            most = count * share // 100 if only is None else count
            for first in range(0, most, CHUNK):
                yield kind, first, min(most, first + CHUNK), seed


def show(kind: str, number: int, seed: int) -> int:
    """One case, with what it reads and where it fails."""
    value, _ = case(kind, number, seed)
    for name, data in value.items() if isinstance(value, dict) and kind != "ids" else [("", value)]:
        print(f"{name}: {data!r}"[:4000])
    ended = try_case(kind, number, seed)
    print(ended)
    return int(ended.startswith("FAILED"))


def main() -> int:
    """Run the cases and print what became of them; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="cases in all, or of the one kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=KINDS, help="one kind of case")
    parser.add_argument("--case", type=int, help="with --only: one case, shown")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    if arguments.case is not None and arguments.only is None:
        parser.error("--case needs --only")
    started = time.monotonic()
    os.environ |= {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # each process has a core
    with tempfile.TemporaryDirectory(prefix="pyled-fuzz-") as folder:
        if arguments.case is not None:
            prepare(folder)
            return show(arguments.only, arguments.case, arguments.seed)
        counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
        failed: list[str] = []
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(arguments.jobs, context, prepare, (folder,)) as pool:
            try:
                for kind, ended, wrong in pool.map(run, tasks(arguments.only, arguments.count, arguments.seed)):
                    counts[kind] += ended
                    failed += wrong
            except BrokenProcessPool:
                failed.append("FAILED: a case ended its process; --only KIND tells of which kind it is")
    for kind, ended in counts.items():
        if ended:
            print(f"{kind:13}", ", ".join(f"{count:,} {what}" for what, count in sorted(ended.items())))
    print("\n".join(failed[:100]))
    total = sum(ended.total() for ended in counts.values())
    print(f"{total:,} cases, {len(failed)} failed; {time.monotonic() - started:.0f} s")
    return 1 if failed or not total else 0


if __name__ == "__main__":
    sys.exit(main())
