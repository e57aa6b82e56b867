"""The reader of torch's files: what torch wrote (golden/torch_files.py), and files built here that must be refused."""

import ast
import gc
import json
import re
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from torch_builder import (
    DATA,
    MAGIC,
    ONE,
    ORDERED,
    name,
    number,
    pickled,
    program,
    records,
    sizes,
    stacked,
    state,
    storage,
    tensor,
    text,
    zipped,
)  # fmt: skip

import golden
from pyled.checkpoint import pickles, read_safetensors, torch_stacked, torch_zip, weight_file
from pyled.checkpoint.directory import read_directory
from pyled.checkpoint.torch_file import read_torch
from pyled.errors import CheckpointError

FILES = golden.FOLDER / "torch_files"
WIDE = 2**32 - 1


def read(data: bytes, folder, **options):
    path = folder / "pytorch_model.bin"
    path.write_bytes(data)
    return read_torch(path, **options)


def holding(content: bytes, *data: bytes) -> bytes:
    """A zip file of a program."""
    return zipped(records(content, *data))


def of(**fields) -> bytes:
    """A zip file of one tensor, a field of which is not as it should be."""
    return holding(state(a=tensor(**fields)))


def other(**fields):
    """Another record: the fields of its headers, in the central directory."""
    return zipped(central={"data/0": fields})


LAUGHS = (
    b"](](" + b"K\0" * 10 + b"eq\0" + b"".join(b"](" + b"h%c" % i * 10 + b"eq%c" % (i + 1) for i in range(60)) + b"e"
)
ITSELF = b"]q\0h\0a"
SPOILED = {"data.pkl": bytes([ONE[0], *ONE[1:-1], ONE[-1] ^ 1]), "data/0": DATA[::-1]}


def damaged(record: str, data: bytes) -> bytes:
    """A zip file whose record has other bytes than its CRC-32 is of."""
    whole = dict(records())[record]
    return zipped().replace(whole, data)


SHORT = {"flags": 0x800, "crc": zlib.crc32(DATA[:4]), "packed": 4, "size": 4}
ELSEWHERE = {"name": b"x/version"}
LAST = zipped().rindex(b"PK\1\2") + 28  # the length of the last name
LONG_NAME = zipped()[:LAST] + b"\xff\xff" + zipped()[LAST + 2 :]

KINDS = {  # case: (rule, file)
    "png": ("no-torch-file", b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "seven_zip": ("no-torch-file", b"7z\xbc\xaf\x27\x1c" + bytes(100)),
    "onnx": ("no-torch-file", b"\x08\x07\x12\x07pytorch" + bytes(100)),
    "bare_pickle": ("no-torch-file", ONE),
    "newer_pickle": ("no-torch-file", b"\x80\x04\x95" + bytes(100)),
    "safetensors": ("no-torch-file", b"\2\0\0\0\0\0\0\0{}"),
    "empty": ("no-torch-file", b""),
    "page": ("no-torch-file", b"<!DOCTYPE html>"),
    "git_lfs": ("git-lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
    "tar": ("torch-tar", bytes(257) + b"ustar\x0000" + bytes(1000)),
    "torchscript": ("torchscript", zipped([*records(), ("constants.pkl", b"\x80\x02).")])),
    "torchscript_code": ("torchscript", zipped([*records(), ("code/__torch__.py", b"op_version_set = 1\n")])),
    "mar": ("zip-record", zipped([("MAR-INF/MANIFEST.json", b"{}"), ("model.pt", b"")], folder="")),
    "magic_by_a_call": ("no-torch-file", b"\x80\x02c__builtin__\neval\nX\1\0\0\x001\x85R." + stacked()[len(MAGIC) :]),
}
PICKLES = {
    "zero_stride": ("strides", of(shape=(1000, 1000), strides=(0, 0))),
    "overlapping_strides": ("strides", holding(state(a=tensor(shape=(2, 2), strides=(1, 1), length=4)), DATA * 2)),
    "gaps": ("strides", holding(state(a=tensor(strides=(2,), length=4)), DATA * 2)),
    "views_that_overlap": (
        "overlap", holding(state(a=tensor(shape=(3,), length=4), b=tensor(begin=2, length=4)), DATA * 2)
    ),
    "one_key_two_types": ("storage-twice", holding(state(a=tensor(), b=tensor(kind="IntStorage")))),
    "one_key_two_sizes": ("storage-twice", holding(state(a=tensor(), b=tensor(length=3)))),
    "bytes_behind_stop": ("pickle-left-over", holding(ONE + b"\0")),
    "second_pickle": ("pickle-left-over", holding(ONE + ONE)),
    "list_in_itself": ("state-dict", holding(state(a=ITSELF))),
    "billion_laughs": ("state-dict", holding(state(a=LAUGHS))),
    "billion_laughs_of_tuples": ("state-dict", holding(state(a=b")" + b"q\0h\0\x86" * 10_000))),
    "dictionary_in_itself": ("training-checkpoint", holding(program(b"}q\0" + text("a") + b"h\0s"))),
    "nested": ("training-checkpoint", holding(program(b"}" + text("state_dict") + ONE[2:-1] + b"s"))),
    "number_among_tensors": ("state-dict", holding(state(a=tensor(), epoch=number(3)))),
    "key_no_string": ("state-dict", holding(program(b"}" + number(1) + tensor() + b"s"))),
    "key_of_tuples": ("pickle-type", holding(program(b"})" + tensor() + b"s"))),
    "duplicate_key": ("duplicate-key", holding(program(b"}(" + (text("a") + tensor()) * 2 + b"u"))),
    "top_level_list": ("state-dict", holding(program(b"](" + tensor() + b"e"))),
    "top_level_tensor": ("state-dict", holding(program(tensor()))),
    "hooks_none": ("pickle-call", of(hooks=b"N")),
    "hooks_with_content": ("pickle-call", of(hooks=ORDERED + number(1) + number(2) + b"s")),
    "metadata_of_a_tensor": ("pickle-call", of(hooks=ORDERED + b"}")),
    "numel_not_record_size": ("storage-size", of(length=3)),
    "size_past_storage": ("beyond-storage", of(shape=(3,))),
    "offset_past_storage": ("beyond-storage", of(begin=1)),
    "negative_offset": ("shape", of(begin=-1)),
    "negative_size": ("shape", of(shape=(-2,))),
    "negative_stride": ("shape", of(strides=(-1,))),
    "negative_numel": ("storage-name", of(length=-2)),
    "rank_mismatch": ("shape", of(strides=(1, 1))),
    "rank_too_high": ("shape", of(shape=(1,) * 8 + (2,), strides=(1,) * 9)),
    "size_too_large": ("shape", of(shape=(2**48,))),
    "size_true": ("shape", holding(state(a=tensor(shape=()).replace(sizes(()), b"(\x88t", 1)))),
    "product_overflow": ("shape-too-large", of(shape=(2**32, 2**32), strides=(2**32, 1))),
    "product_hidden_by_0": ("shape-too-large", of(shape=(0, 2**32, 2**32), strides=(1, 1, 1))),
    "numel_overflow": ("storage-size", of(length=2**62)),
    "missing_record": ("storage-missing", of(key="1")),
    "unused_record": ("storage-unused", holding(ONE, DATA, DATA)),
    "key_with_traversal": ("storage-name", of(key="../0")),
    "key_with_zeros": ("storage-name", of(key="00")),
    "unknown_storage_class": ("pickle-name", of(kind="FloaterStorage")),
    "quantized": ("dtype-not-read", of(kind="QInt8Storage")),
    "complex": ("dtype-not-read", of(kind="ComplexFloatStorage")),
    "newer_types": ("dtype-not-read", holding(program(name("torch._utils", "_rebuild_tensor_v3")))),
    "persistent_id_number": ("storage-name", of(of=number(0) + b"Q")),
    "persistent_id_of_a_module": ("storage-name", of(of=storage().replace(b"storage", b"modules"))),
    "view_metadata_in_a_zip": ("storage-name", of(last=b"N")),
    "name_nul": ("name", holding(state(**{"a\0b": tensor()}))),
    "name_empty": ("name", holding(state(**{"": tensor()}))),
    "name_half_of_a_pair": ("not-utf8", holding(state(**{"\ud800": tensor()}))),
    "stack_global": ("pickle-instruction", holding(program(text("os") + text("system") + b"\x93"))),
    "inst": ("pickle-instruction", holding(program(b"(ios\nsystem\n"))),
    "obj_and_pop": ("pickle-instruction", holding(program(b"(" + name("collections", "OrderedDict") + b"o0"))),
    "ext1": ("pickle-instruction", holding(program(b"\x82\1"))),
    "newobj": ("pickle-instruction", holding(program(name("collections", "OrderedDict") + b")\x81"))),
    "dup": ("pickle-instruction", holding(program(b"]2a"))),
    "frame": ("pickle-instruction", holding(program(b"\x95" + bytes(8)))),
    "long_string": ("pickle-instruction", holding(program(b"\x8d" + bytes(8)))),
    "binbytes": ("pickle-instruction", holding(program(b"B\1\0\0\0a"))),
    "proto_inside": ("pickle-instruction", holding(program(b"\x80\2}"))),
    "protocol_4": ("pickle-protocol", holding(b"\x80\4" + ONE[2:])),
    "no_protocol": ("pickle-protocol", holding(b"}.")),
    "no_stop": ("pickle-cut-short", holding(ONE[:-1])),
    "name_without_end": ("pickle-limit", holding(b"\x80\2ctorch")),
    "dotted_name": ("pickle-name", holding(program(name("torch", "_utils._rebuild_tensor_v2")))),
    "name_not_utf8": ("pickle-name", holding(program(b"c\xff\n\xfe\n"))),
    "call_of_a_text": ("pickle-call", holding(program(text("a") + b")R"))),
    "call_with_a_list": ("pickle-call", holding(program(name("collections", "OrderedDict") + b"]R"))),
    "ordered_dict_with_items": ("pickle-call", holding(program(name("collections", "OrderedDict") + b"]\x85R"))),
    "parameter_of_a_number": (
        "pickle-call",
        holding(program(name("torch._utils", "_rebuild_parameter") + number(1) + b"\x88" + ORDERED + b"\x87R")),
    ),
    "no_memo": ("pickle-stack", holding(program(b"h\0"))),
    "pop_of_nothing": ("pickle-stack", holding(program(b"s"))),
    "pop_through_a_mark": ("pickle-stack", holding(program(b"}" + text("a") + b"(K\1s"))),
    "tuple_without_mark": ("pickle-stack", holding(program(b"K\1t"))),
    "values_left": ("pickle-stack", holding(program(b"}}"))),
    "mark_left": ("pickle-stack", holding(program(b"}q\0(h\0"))),
    "setitem_on_tensor": ("pickle-type", holding(program(tensor() + text("a") + number(1) + b"s"))),
    "setitems_odd": ("pickle-type", holding(program(b"}(" + text("a") + b"u"))),
    "append_to_dictionary": ("pickle-type", holding(program(b"}K\1a"))),
    "build_on_dictionary": ("pickle-type", holding(program(b"}}b"))),
    "build_on_tensor": ("pickle-type", holding(program(tensor() + b"}b"))),
    "build_of_methods": ("pickle-type", holding(program(ORDERED + b"}" + text("items") + number(1) + b"sb"))),
    "build_of_more": ("pickle-type", holding(program(ORDERED + pickled({"_metadata": {}, "items": 1}) + b"b"))),
    "metadata_of_one_module": (
        "pickle-type", holding(program(ORDERED + pickled({"_metadata": {"": {"version": 1}, "a": 1}}) + b"b"))
    ),
    "metadata_with_dictionaries": (
        "pickle-type", holding(program(ORDERED + pickled({"_metadata": {"": {"version": 1, "a": {}}}}) + b"b"))
    ),
    "metadata_with_tensors": (
        "pickle-type", holding(program(ORDERED + b"}" + text("_metadata") + b"}" + text("") + tensor() + b"ssb"))
    ),
    "too_many_instructions": ("pickle-limit", holding(program(b"N\x85" * 500_001))),
    "stack_too_deep": ("pickle-limit", holding(program(b"N" * 10_001))),
    "marks_too_deep": ("pickle-limit", holding(program(b"(" * 10_001))),
    "string_too_long": ("pickle-limit", holding(state(**{"n" * 4097: tensor()}))),
    "integer_too_long": ("pickle-limit", of(begin=2**64)),
}  # fmt: skip
ZIPS = {
    "flag_encrypted_central": ("zip-flags", other(flags=0x809)),
    "flag_encrypted_local": ("zip-local", zipped(local={"data/0": {"flags": 0x809}})),
    "flag_20": ("zip-flags", other(flags=0x828)),
    "flag_40": ("zip-flags", other(flags=0x848)),
    "deflated": ("zip-compressed", other(method=8)),
    "deflated_local": ("zip-local", zipped(local={"data/0": {"method": 8}})),
    "bomb": ("zip-compressed", other(size=2**30)),
    "prefix_bytes": ("no-torch-file", b"\0" + zipped()),
    "prefix_record": ("zip64", zipped()[:60] + zipped()),
    "prefix_record_without_zip64": ("zip-directory", zipped()[:60] + zipped(end64=False)),
    "suffix_bytes": ("zip-end", zipped() + b"\0"),
    "suffix_record": ("zip-directory", zipped() + zipped()[-22:]),
    "comment": ("zip-end", zipped(end={"comment": b"x"})),
    "comment_that_lies": ("zip-end", zipped()[:-2] + b"\1\0"),
    "other_disk": ("zip-end", zipped()[:-18] + b"\1\0" + zipped()[-16:]),
    "count_lie": ("zip-directory", zipped(end={"count": 5}, end64={"count": 5})),
    "count_lie_of_both": ("zip-directory", zipped(end={"here": 3, "count": 3}, end64={"here": 3, "count": 3})),
    "count_here_lie": ("zip-directory", zipped(end={"here": 5}, end64={"here": 5})),
    "count_of_none": ("no-torch-file", zipped([])),
    "count_too_large": ("zip-directory", zipped(end=dict.fromkeys(("here", "count"), 2**16 - 1),
                                                end64=dict.fromkeys(("here", "count"), 2**40))),
    "directory_elsewhere": ("zip-directory", zipped(end={"start": 7}, end64={"start": 7})),
    "dup_name": ("zip-duplicate", zipped([*records(), ("data/0", DATA)])),
    "dup_data_pkl": ("zip-duplicate", zipped([*records(), ("data.pkl", ONE)])),
    "case_dup": ("zip-record", zipped([*records(), ("DATA.pkl", ONE)])),
    "traversal": ("zip-record", zipped([*records(), ("../x", b"")])),
    "traversal_of_the_folder": ("zip-name", zipped(folder="../")),
    "absolute": ("zip-name", zipped(folder="/")),
    "no_folder": ("zip-record", zipped(folder="")),
    "backslash": ("zip-name", zipped(folder="a\\b/")),
    "no_name": ("zip-name", zipped(central={"version": {"name": b""}})),
    "nul_name": ("zip-record", zipped([*records(), ("data.pkl\0", ONE)])),
    "nul_folder": ("zip-name", zipped(folder="a\0/")),
    "name_not_ascii": ("zip-name", zipped(folder="é/")),
    "two_top_dirs": ("zip-name", zipped(local={"version": ELSEWHERE}, central={"version": ELSEWHERE})),
    "local_name_mismatch": ("zip-local", zipped(local={"data/0": {"name": b"archive/data/1"}})),
    "local_signature": ("zip-layout", zipped()[:4] + zipped()[4:].replace(b"PK\3\4", b"PK\3\5")),
    "local_size_behind": ("zip-local", zipped(local={"data/0": {"flags": 0}}, central={"data/0": {"flags": 0}})),
    "local_crc": ("zip-local", zipped(local={"data/0": {"crc": 1}})),
    "local_size": ("zip-local", zipped(local={"data/0": {"packed": 8, "size": 9}})),
    "behind_crc": ("zip-local", zipped().replace(DATA + b"PK\7\x08", DATA + b"PK\7\x09")),
    "behind_size": ("zip-local", zipped().replace(b"\x08\0\0\0" * 2 + b"PK\3", b"\x08\0\0\0\x09\0\0\0PK\3")),
    "overlap": ("zip-layout", other(at=0)),
    "overlap_of_data": ("zip-layout", other(packed=80, size=80)),
    "hole": ("zip-layout", zipped(local={"data/0": SHORT}, central={"data/0": SHORT})),
    "hole_before_the_directory": ("zip-layout", zipped(between=b"\0")),
    "beyond_the_end": ("zip-layout", other(at=2**31)),
    "two_beyond_the_end": (
        "zip-layout", zipped(central={"data/0": {"packed": 2**30, "size": 2**30}, "version": {"at": 2**31}})
    ),
    "bad_crc_pkl": ("crc", damaged("data.pkl", SPOILED["data.pkl"])),
    "bad_crc_data": ("crc", damaged("data/0", SPOILED["data/0"])),
    "bad_crc_version": ("crc", damaged("version", b"2\n")),
    "zip64_lie": ("zip64", zipped(end64={"size": 7})),
    "zip64_elsewhere": ("zip64", zipped(end64={"at": 0})),
    "zip64_length": ("zip64", zipped(end64={"length": 45})),
    "zip64_parts": ("zip64", zipped()[:-26] + b"\2" + zipped()[-25:]),
    "zip64_signature": ("zip64", zipped().replace(b"PK\6\6", b"PK\6\5")),
    "zip64_disk": ("zip64", zipped(end64={"disk": 1})),
    "zip64_missing": ("zip64", zipped(end64=False, end={"start": WIDE})),
    "zip64_of_a_record_missing": ("zip64", other(size=WIDE)),
    "zip64_of_a_record_other": ("zip64", other(size=WIDE, extra=struct.pack("<2HQ", 2, 8, 8))),
    "zip64_of_a_record_long": ("zip64", other(size=WIDE, extra=struct.pack("<2H2Q", 1, 16, 8, 8))),
    "missing_data_pkl": ("record-missing", zipped(records()[1:])),
    "missing_version": ("record-missing", zipped([record for record in records() if record[0] != "version"])),
    "extra_record": ("zip-record", zipped([*records(), ("extra", b"")])),
    "record_with_zeros": ("zip-record", zipped([*records(), ("data/01", b"")])),
    "record_too_long": ("zip-record", zipped([*records(), (".format_version", b"1" * 65)])),
    "version_11": ("zip-version", zipped([(key, b"11\n" if key == "version" else data) for key, data in records()])),
    "big_endian": ("byte-order", zipped([(key, b"big" if key == "byteorder" else data) for key, data in records()])),
    "middle_endian": ("byte-order", zipped([(key, b"pdp" if key == "byteorder" else data) for key, data in records()])),
    "directory_cut_short": ("zip-directory", zipped(central={"version": {"extra": b""}}).replace(b"PK\1\2", b"PK\1\3")),
    "name_runs_out_of_the_directory": ("zip-directory", LONG_NAME),
}  # fmt: skip
STACKS = {
    "other_version": ("stacked-header", stacked(version=1002)),
    "no_facts": ("stacked-header", stacked(facts=[])),
    "facts_of_another_version": ("stacked-header", stacked(facts={"protocol_version": 1000, "little_endian": True})),
    "stacked_big_endian": ("byte-order", stacked(facts={"protocol_version": 1001, "little_endian": False})),
    "keys_of_others": ("stacked-keys", stacked(keys=("1",))),
    "keys_missing": ("stacked-keys", stacked(keys=())),
    "keys_twice": ("stacked-keys", stacked(keys=("0", "0"))),
    "keys_no_list": ("stacked-keys", stacked().replace(program(pickled(["0"])), program(pickled({"0": 1})))),
    "keys_no_strings": ("stacked-keys", stacked(keys=(0,))),
    "stacked_numel": ("storage-size", stacked(data=((3, DATA),))),
    "stacked_cut_short": ("data-cut-short", stacked()[:-1]),
    "stacked_without_storage": ("data-cut-short", stacked(data=())),
    "stacked_left_over": ("data-left-over", stacked() + b"\0"),
    "stacked_view": ("storage-name", stacked(state(a=tensor(last=b"K\1")))),
    "stacked_without_a_view": ("storage-name", stacked(ONE)),
    "stacked_name": ("pickle-name", stacked(program(name("os", "system")))),
    "stacked_no_state": ("state-dict", stacked(program(b"]"), data=(), keys=())),
}
REFUSED = KINDS | PICKLES | ZIPS | STACKS
NOT_DAMAGE = {
    "no-torch-file", "git-lfs", "torch-tar", "torchscript", "strides", "state-dict", "training-checkpoint",
    "dtype-not-read", "pickle-instruction", "pickle-name", "zip-compressed",
}  # fmt: skip  # these have remedies of their own


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_breaks_a_rule_is_refused_by_it(case, mmap, tmp_path):
    rule, data = REFUSED[case]
    with pytest.raises(CheckpointError) as caught:
        read(data, tmp_path, mmap=mmap)
    message = str(caught.value)
    assert caught.value.rule == rule, message
    assert message.startswith(f"{tmp_path / 'pytorch_model.bin'}: ") and len(message) < 1000
    if rule not in ("pickle-limit", "byte-order"):  # some of both kinds
        assert message.endswith("The file is damaged: fetch it again, or write it anew") is (rule not in NOT_DAMAGE)


NAMES = """
builtins.eval builtins.exec builtins.compile builtins.getattr builtins.apply builtins.__import__ builtins.open
__builtin__.eval os.system posix.system nt.system os.popen subprocess.run subprocess.Popen subprocess.check_output
sys.exit socket.socket httplib.HTTPSConnection http.client.HTTPSConnection requests.api.get aiohttp.ClientSession
urllib.request.urlopen pickle.loads pickle.load _pickle.loads _pickle.load cloudpickle.loads runpy._run_code
bdb.Bdb.run venv.create pydoc.pipepager pydoc.locate functools.partial torch.serialization.load
torch.storage._load_from_bytes torch._inductor.codecache.compile_file torch.utils.bottleneck.__main__.run_cprofile
torch.utils.collect_env.run torch._dynamo.guards.GuardBuilder.get torch.fx.experimental.symbolic_shapes.ShapeEnv
torch.jit.unsupported_tensor_ops.execWrapper torch.utils._config_module.ConfigModule.load_config pip.main
timeit.timeit numpy.testing._private.utils.runstring numpy.f2py.crackfortran.getlincoef operator.attrgetter
_operator.attrgetter operator.methodcaller operator.itemgetter ctypes.CDLL pty.spawn distutils.file_util.write_file
asyncio.unix_events._UnixSubprocessTransport._start code.InteractiveInterpreter
idlelib.pyshell.ModifiedInterpreter.runcode lib2to3.pgen2.grammar.Grammar.loads trace.Trace.run profile.run
cProfile.run doctest.debug_script ensurepip._run_pip uuid._get_command_stdout _osx_support._read_output
_aix_support._read_cmd_output imaplib.IMAP4_stream _pyrepl.pager.pipe_pager
test.support.script_helper.assert_python_ok logging.FileHandler io.FileIO types.CodeType pkgutil.resolve_name
ssl.get_server_certificate linecache.getlines _interpreters.run_string pathlib.os.system collections.Counter
torch.nn.parameter.Parameter argparse.Namespace numpy.core.multiarray._reconstruct copyreg._reconstructor
torch._tensor._rebuild_from_type_v2 torch.device torch.Size
transformers.models.led.modeling_led.LEDForConditionalGeneration collections.OrderedDict.fromkeys
""".split()  # noqa: SIM905


@pytest.mark.parametrize("whole", NAMES)
def test_a_name_that_no_state_dict_has_is_refused(whole, tmp_path):
    """Nothing is called in these files: the names alone are refused, however they are split into module and name."""
    for cut in (i for i, character in enumerate(whole) if character == "."):
        content = program(name(whole[:cut], whole[cut + 1 :]))
        for data in (holding(content), stacked(content)):
            with pytest.raises(CheckpointError, match=f"names '{re.escape(whole)}', which no state dict needs") as e:
                read(data, tmp_path)
            assert e.value.rule == "pickle-name"


def test_the_machine_has_no_way_to_what_a_file_names():
    """Its file imports nothing that looks names up, and calls none of Python's functions that do."""
    tree = ast.parse(Path(pickles.__file__).read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert modules == {"re", "struct", "collections.abc", "dataclasses", "types", "typing", "errors", "weight_file"}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not names & {"getattr", "setattr", "eval", "exec", "compile", "globals", "vars", "__import__", "open"}


SAID = {  # what messages tell beyond the rule
    "training-checkpoint": "'state_dict'|'a'",
    "storage-missing": "the record data/1 of a storage",
    "crc": "of (data.pkl|data/0|version) are not those that were written",
    "strides": r"tensor 'a': the elements of shape \(.*\) and strides \(.*\) do not lie side by side",
    "torchscript": "TorchScript",
    "byte-order": "big-endian|neither little nor big",
    "dtype-not-read": "torch.*: save them as float32, float16 or bfloat16",
    "duplicate-key": "the key 'a' twice",
    "pickle-instruction": "has the instruction b'",
}


@pytest.mark.parametrize("case", [case for case, (rule, _) in REFUSED.items() if rule in SAID])
def test_a_refusal_names_what_it_is_about(case, tmp_path):
    rule, data = REFUSED[case]
    with pytest.raises(CheckpointError, match=SAID[rule]):
        read(data, tmp_path)


def test_the_kind_of_another_file_is_told(tmp_path):
    told = {
        "png": "a picture",
        "seven_zip": "7z",
        "safetensors": "name it model.safetensors",
        "page": "page of the web",
    }
    told |= {"newer_pickle": "pickle without torch's frame", "onnx": "no weight file of torch"}
    for case, words in told.items():
        with pytest.raises(CheckpointError, match=words):
            read(REFUSED[case][1], tmp_path)


# What is read

EXPECTED = {"a": np.array([1, 2], np.float32)}
CUBE = np.arange(24, dtype=np.float32)
OLDER = [(key, data) for key, data in records() if key != "byteorder"]
NEWER = [*records(), (".format_version", b"1"), (".storage_alignment", b"64"), (".data/serialization_id", b"7" * 40)]
FULL = {"crc": zlib.crc32(DATA), "packed": 8, "size": 8}
ACCEPTED = {
    "no_byteorder": (zipped(OLDER), EXPECTED),
    "all_records": (zipped(NEWER, folder="pytorch_model/"), EXPECTED),
    "no_zip64": (zipped(end64=False), EXPECTED),
    "sizes_before_the_data": (zipped(local={"data/0": FULL}), EXPECTED),
    "nothing_behind_the_data": (
        zipped(local={"data/0": FULL | {"flags": 0}}, central={"data/0": {"flags": 0}}), EXPECTED
    ),
    "not_aligned": (zipped(local={"data/0": {"extra": b"FB\1\0Z"}}), EXPECTED),
    "version_without_line_end": (zipped([(k, b"10" if k == "version" else d) for k, d in records()]), EXPECTED),
    "no_tensor": (zipped([("data.pkl", state()), ("version", b"3\n")]), {}),
    "plain_dictionary": (holding(program(b"}" + text("a") + tensor() + b"s")), EXPECTED),
    "on_a_gpu": (holding(ONE.replace(text("cpu"), text("cuda:7"))), EXPECTED),
    "parameter": (
        holding(state(a=name("torch._utils", "_rebuild_parameter") + tensor() + b"\x88" + ORDERED + b"\x87R")), EXPECTED
    ),
    "metadata": (
        holding(ONE[:-1] + b"}" + text("_metadata") + ORDERED + text("") + pickled({"version": 2}) + b"ssb."),
        EXPECTED,
    ),
    "transposed": (
        holding(state(a=tensor(shape=(4, 6), strides=(1, 4), length=24)), CUBE.tobytes()), {"a": CUBE.reshape(6, 4).T}
    ),
    "permuted": (
        holding(state(a=tensor(shape=(4, 2, 3), strides=(1, 12, 4), length=24)), CUBE.tobytes()),
        {"a": CUBE.reshape(2, 3, 4).transpose(2, 0, 1)},
    ),
    "odd_stride_of_an_axis_of_1": (of(shape=(1, 2), strides=(2**48 - 1, 1)), {"a": EXPECTED["a"].reshape(1, 2)}),
    "stride_0_of_an_axis_of_1": (of(shape=(2, 1), strides=(1, 0)), {"a": EXPECTED["a"].reshape(2, 1)}),
    "largest_product_with_zero": (
        of(kind="ByteStorage", length=8, shape=(0, 2**48 - 1), strides=(0, 1)),
        {"a": np.zeros((0, 2**48 - 1), np.uint8)},
    ),
    "views_side_by_side": (
        holding(state(a=tensor(shape=(1,)), b=tensor(begin=1, shape=(1,)), c=tensor(begin=1, shape=(0,)))),
        {"a": EXPECTED["a"][:1], "b": EXPECTED["a"][1:], "c": np.zeros(0, np.float32)},
    ),
    "empty_view_in_another": (
        holding(state(a=tensor(), b=tensor(begin=1, shape=(0,)))), {**EXPECTED, "b": np.zeros(0, np.float32)}
    ),
    "part_of_a_storage": (of(shape=(1,), begin=1), {"a": EXPECTED["a"][1:]}),
    "rank_0": (of(shape=(), strides=(), begin=1), {"a": np.float32(2).reshape(())}),
    "rank_8": (of(shape=(1,) * 7 + (2,), strides=(1,) * 8), {"a": EXPECTED["a"].reshape((1,) * 7 + (2,))}),
    "no_element": (of(shape=(0, 3), strides=(3, 1), begin=3), {"a": np.zeros((0, 3), np.float32)}),
    "empty_storage": (holding(state(a=tensor(shape=(0,), length=0)), b""), {"a": np.zeros(0, np.float32)}),
    "longest_string": (holding(state(**{"n" * 4096: tensor()})), {"n" * 4096: EXPECTED["a"]}),
    "name_of_any_characters": (holding(state(**{"é😀\u0085": tensor()})), {"é😀\u0085": EXPECTED["a"]}),
    "large_key": (
        zipped([(k.replace("/0", "/94117389154288"), d) for k, d in records(state(a=tensor(key="94117389154288")))]),
        EXPECTED,
    ),
    "stacked": (stacked(), EXPECTED),
    "stacked_without_a_number": (
        stacked(state(a=tensor(length=0, shape=(0,), last=b"N")), ((0, b""),)), {"a": np.zeros(0, np.float32)}
    ),
    "stacked_in_the_order_of_texts": (
        stacked(
            state(a=tensor(key="9", last=b"N"), b=tensor(key="10", kind="ByteStorage", last=b"N")),
            ((2, b"\7\x09"), (2, DATA)), keys=("10", "9"),
        ),
        {**EXPECTED, "b": np.array([7, 9], np.uint8)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("case", ACCEPTED)
def test_an_odd_file_within_the_rules_is_read(case, mmap, tmp_path):
    data, expected = ACCEPTED[case]
    tensors = read(data, tmp_path, mmap=mmap)
    assert set(tensors) == set(expected)
    for key, array in expected.items():
        assert (tensors[key].shape, tensors[key].dtype) == (array.shape, array.dtype)
        assert np.array_equal(tensors[key], array)
        assert type(tensors[key]) is np.ndarray and not tensors[key].flags.writeable


def test_numbers_of_64_bits(tmp_path):
    """Where a record's size or place is 2**32 - 1, its extra field has the number, the size before the place."""
    for fields in ({"size": WIDE}, {"packed": WIDE}, {"size": WIDE, "packed": WIDE}):
        wide = {**fields, "extra": struct.pack(f"<2H{len(fields)}Q", 1, 8 * len(fields), *[8] * len(fields))}
        assert read(other(**wide), tmp_path)["a"].tolist() == [1, 2]
    at = zipped().index(b"PK\3\4", zipped().index(b"archive/byteorder"))
    wide = {"size": WIDE, "at": WIDE, "extra": struct.pack("<2H2Q", 1, 16, 8, at)}
    assert read(other(**wide), tmp_path)["a"].tolist() == [1, 2]
    whole = zipped()
    behind = whole.index(DATA) + 8
    form = struct.pack("<4sI2Q", b"PK\7\x08", zlib.crc32(DATA), 8, 8)
    assert whole[behind : behind + 4] == form[:4]
    wider = whole[:behind] + form + whole[behind + 16 :]
    with pytest.raises(CheckpointError):  # the places behind have moved by 8 bytes
        read(wider, tmp_path)
    last = {"start": whole.index(b"PK\1\2") + 8}
    last64 = last | {"at": whole.index(b"PK\6\6") + 8}
    moved = zipped(central={"version": {"at": lambda at: at + 8}}, end=last, end64=last64)
    assert read(moved[:behind] + form + moved[behind + 16 :], tmp_path)["a"].tolist() == [1, 2]


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("form", ["zip", "stacked"])
def test_what_torch_wrote_is_read(form, mmap):
    """All types, ranks and views of golden/torch_files.py."""
    tensors = read_torch(FILES / f"{form}.bin", mmap=mmap)
    expected = read_safetensors(FILES / "tensors.safetensors")
    assert set(tensors) == set(expected) and len(expected) == 38
    for key, array in expected.items():
        assert (tensors[key].shape, tensors[key].dtype) == (array.shape, array.dtype)
        assert tensors[key].tobytes() == array.tobytes()
        assert not tensors[key].flags.writeable
    assert tensors["tied.a"] is tensors["tied.b"] is tensors["tied.parameter"]
    stored = read_torch(FILES / f"{form}.bin", mmap=mmap, as_stored=True)
    assert stored["BF16"].dtype.names == ("upper_half",) and stored["tied.a"] is stored["tied.b"]


def test_a_zip_file_is_read_in_place_and_aligned(tmp_path):
    whole = {path.name: path.read_bytes() for path in FILES.glob("*.bin")}
    for mmap in (True, False):
        tensors = read(whole["zip.bin"], tmp_path, mmap=mmap)
        assert all(array.flags.aligned for array in tensors.values())
        with (tmp_path / "pytorch_model.bin").open("r+b") as file:
            file.seek(whole["zip.bin"].index(tensors["F32"].tobytes()))
            file.write(b"\0\0\x80\x3f")
        assert bool(tensors["F32"][0, 0] == 1) is mmap


@pytest.mark.parametrize("form", ["zip", "stacked"])
def test_no_truncation_extension_or_changed_byte_gives_other_shapes(form, tmp_path):
    """Cut anywhere and longer it is refused; of a zip file each byte counts that names, sizes or numbers depend on."""
    whole = zipped() if form == "zip" else stacked()
    for data in (*(whole[:size] for size in range(len(whole))), whole + b"\0", whole + whole):
        with pytest.raises(CheckpointError):
            read(data, tmp_path)
    counts = {"read": 0, "refused": 0}
    for position, old in enumerate(whole):
        for new in {old ^ 1, old ^ 0x80, 0, 255} - {old}:
            try:
                tensors = read(whole[:position] + bytes([new]) + whole[position + 1 :], tmp_path)
            except CheckpointError:
                counts["refused"] += 1
                continue
            counts["read"] += 1
            assert sum(array.nbytes for array in tensors.values()) <= len(DATA)
            assert form == "stacked" or tensors["a"].tolist() == [1, 2]
    assert all(counts.values())


def test_a_boolean_is_0_or_1(tmp_path):
    data = holding(state(a=tensor(kind="BoolStorage")), b"\1\2")
    with pytest.raises(CheckpointError, match="'a': a BOOL byte is 2") as caught:
        read(data, tmp_path)
    assert caught.value.rule == "bool"
    assert read(data, tmp_path, as_stored=True)["a"].shape == (2,)


def test_a_pickle_that_is_too_large(tmp_path, monkeypatch):
    whole = stacked()
    end = whole.index(program(pickled(["0"]))) + len(program(pickled(["0"]))) - len(MAGIC)
    for module, data, size in ((torch_zip, zipped(), len(ONE)), (torch_stacked, whole, end)):
        monkeypatch.setattr(module, "LARGEST", size)
        assert read(data, tmp_path)
        monkeypatch.setattr(module, "LARGEST", size - 1)
        with pytest.raises(CheckpointError) as caught:
            read(data, tmp_path)
        assert caught.value.rule == ("pickle-limit" if module is torch_zip else "pickle-cut-short")


def test_too_many_tensors(tmp_path, monkeypatch):
    monkeypatch.setattr(pickles, "MOST_TENSORS", 2)
    assert len(read(holding(state(a=tensor(), b=tensor())), tmp_path)) == 2
    with pytest.raises(CheckpointError, match="holds 3 tensors, at most 2 are read"):
        read(holding(state(a=tensor(), b=tensor(), c=tensor())), tmp_path)
    monkeypatch.setattr(torch_zip, "MOST_TENSORS", 4 - torch_zip.SMALL)
    assert read(zipped(), tmp_path)
    monkeypatch.setattr(torch_zip, "MOST_TENSORS", 3 - torch_zip.SMALL)
    with pytest.raises(CheckpointError, match="lists 4 records"):
        read(zipped(), tmp_path)


def test_the_limits_of_a_program(tmp_path, monkeypatch):
    """So many instructions, values and marks, bytes of a name and of an integer are still read."""
    monkeypatch.setattr(pickles, "DEEPEST", 9)
    monkeypatch.setattr(pickles, "MOST_INSTRUCTIONS", 12)
    deepest = program(b"(" * 4 + b"N" * 5)
    for data, rule in ((deepest, "pickle-stack"), (program(b"(" * 4 + b"N" * 6), "pickle-limit")):
        with pytest.raises(CheckpointError) as caught:
            read(holding(data), tmp_path)
        assert caught.value.rule == rule
    assert read(zipped([("data.pkl", program(b"}" + b"q\0" * 10)), ("version", b"3\n")]), tmp_path) == {}
    with pytest.raises(CheckpointError, match="more than 12 instructions"):
        read(holding(program(b"}" + b"q\0" * 11)), tmp_path)


def test_records_of_every_length(tmp_path):
    for length in (0, 64, 65):
        data = zipped([*records(), (".data/serialization_id", b"7" * length)])
        if length <= 64:
            assert read(data, tmp_path)["a"].tolist() == [1, 2]
        else:
            with pytest.raises(CheckpointError, match="serialization_id has 65 bytes"):
                read(data, tmp_path)


# Memory, and the system

OPEN_FILES = Path("/proc/self/fd")


def test_a_mapped_file_is_not_allocated(tmp_path):
    many = [(f"data/{i}", bytes(2**20)) for i in range(8)]
    content = state(**{f"t{i}": tensor(key=str(i), shape=(2**18,), length=2**18) for i in range(8)})
    data = zipped([("data.pkl", content), *many, ("version", b"3\n")])
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(data)
    for mmap, least, most in ((True, 0, 2**20), (False, 2**23, 2**23 + 2**20)):
        tracemalloc.start()
        tensors = read_torch(path, mmap=mmap)
        assert least <= tracemalloc.get_traced_memory()[1] < most
        tracemalloc.stop()
        assert len(tensors) == 8


@pytest.mark.parametrize(
    "case", ["zero_stride", "product_overflow", "numel_overflow", "billion_laughs", "bomb", "count_too_large"]
)
def test_what_a_file_declares_allocates_nothing(case, tmp_path):
    tracemalloc.start()
    with pytest.raises(CheckpointError):
        read(REFUSED[case][1], tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 500_000
    tracemalloc.stop()


def test_memory_that_does_not_suffice_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(weight_file, "physical_memory", lambda: len(zipped()) - 1)
    assert read(zipped(), tmp_path)["a"].shape == (2,)
    with pytest.raises(CheckpointError, match="do not fit into memory: read it with mmap=True"):
        read(zipped(), tmp_path, mmap=False)


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="open files are counted where Linux lists them")
def test_no_file_stays_open(tmp_path):
    gc.collect()  # what the tests before caught
    before = len(list(OPEN_FILES.iterdir()))
    for _, data in REFUSED.values():
        with pytest.raises(CheckpointError):
            read(data, tmp_path)
    read(zipped(), tmp_path)
    assert len(list(OPEN_FILES.iterdir())) == before


# The directory


def test_safetensors_is_read_before_torchs_file(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    (tmp_path / "model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    assert read_directory(tmp_path) == {"model.safetensors": {}}
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: is no weight file of torch"):
        read_directory(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(zipped())
    (tmp_path / "pytorch_model.bin.index.json").write_text("{}")
    assert set(read_directory(tmp_path)) == {"pytorch_model.bin"}


@pytest.mark.parametrize(
    ("shard", "rule"),
    [("a.bin", None), ("a.safetensors", "shard-name"), ("../a.bin", "shard-name"), ("b.bin", "shard-missing")],
)
def test_shards_are_torchs_files_beside_the_index(shard, rule, tmp_path):
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    (tmp_path / "a.bin").write_bytes(zipped())
    if rule is None:
        assert read_directory(tmp_path)[shard]["a"].tolist() == [1, 2]
    else:
        with pytest.raises(CheckpointError) as caught:
            read_directory(tmp_path)
        assert caught.value.rule == rule
