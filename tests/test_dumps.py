"""Dumps: what is written comes back, from each format, and what is damaged is refused in one line."""

import io
import json
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from pyled.errors import CheckpointError, InputError
from pyled.porting.dumps import Writer, read

STAGES = {
    "encoder.layers.0.fc1": np.arange(6, dtype=np.float64).reshape(1, 2, 3) / 7,
    "in.input_ids": np.array([[0, 5, 2]]),
    "loss": np.array(0.25, np.float32),
    "empty": np.zeros((2, 0), np.float32),
}
ABOUT = {"format": "pyled trace 1", "dtype": "float64"}


def written(path, stages=STAGES, about=ABOUT, order=reversed):
    announced = [SimpleNamespace(name=name, shape=a.shape, dtype=a.dtype) for name, a in stages.items()]
    with Writer(path, announced, about) as writer:
        for name in order(list(stages)):
            writer.write(name, stages[name])
            assert np.array_equal(writer.written(name), stages[name])
        assert all(np.array_equal(writer.written(name), array) for name, array in stages.items())
    return path


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_what_is_written_is_read_by_us_and_by_numpy(suffix, tmp_path):
    path = written(tmp_path / f"trace{suffix}", about=dict(ABOUT))
    dump = read(path)
    assert set(dump) == set(STAGES) and len(dump) == 4
    for name, array in STAGES.items():
        assert dump[name].dtype == array.dtype and np.array_equal(dump[name], array) and dump[name].shape == array.shape
        assert dump.type_of(name) == str(array.dtype)
    assert dump.about == ABOUT
    assert path.read_bytes() == written(tmp_path / f"again{suffix}").read_bytes()
    assert [place.name for place in tmp_path.iterdir() if "part" in place.name] == []
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            assert np.array_equal(file["encoder.layers.0.fc1"], STAGES["encoder.layers.0.fc1"])


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_what_joins_the_description_meanwhile_is_written(suffix, tmp_path):
    errors = {f"encoder.layers.{i}.self_attn.longformer_self_attn.query_global": 1.23456789e-07 / 3 for i in range(40)}
    about = dict(ABOUT)
    announced = [SimpleNamespace(name=name, shape=(1,), dtype="float32") for name in errors]
    with Writer(tmp_path / f"x{suffix}", announced, about) as writer:
        for name in errors:
            writer.write(name, np.ones(1, np.float32))
        about["float32_error"], about["weights"] = errors, "0" * 64
    assert read(tmp_path / f"x{suffix}").about["float32_error"] == errors


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_writer_refuses_other_arrays_and_leaves_the_old_file(suffix, tmp_path):
    path = tmp_path / f"trace{suffix}"
    path.write_bytes(b"old")
    one = [SimpleNamespace(name="a", shape=(2,), dtype="float64")]
    for name, array, said in (
        ("b", np.zeros(2), "it was not announced"),
        ("a", np.zeros(3), r"\(2,\) in float64 was announced"),
        ("a", np.zeros(2, np.float32), "in float64 was announced"),
    ):
        with pytest.raises(InputError, match=said), Writer(path, one, {}) as writer:
            writer.write(name, array)
    with pytest.raises(InputError, match="announced and not written"), Writer(path, one, {}):
        pass
    with pytest.raises(KeyboardInterrupt), Writer(path, one, {}) as writer:
        raise KeyboardInterrupt
    assert [place.name for place in tmp_path.iterdir()] == [path.name] and path.read_bytes() == b"old"
    with pytest.raises(InputError, match=r"ends in neither \.npz nor \.safetensors"):
        Writer(tmp_path / "trace.bin", one, {})
    with pytest.raises(FileNotFoundError, match="absent"), Writer(tmp_path / "absent" / path.name, one, {}):
        pass


def npy(array, **how):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **how)
    return file.getvalue()


@given(st.data())
def test_any_array_of_numpys_comes_back_from_a_folder_and_an_archive(tmp_path_factory, data):
    dtype = data.draw(st.sampled_from([">f8", "<f8", "<f4", ">f4", "<f2", "<i8", ">i4", "?", "u1"]))
    array = data.draw(arrays_of.arrays(dtype, arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)))
    array = np.asfortranarray(array) if data.draw(st.booleans()) and array.ndim else array
    folder = tmp_path_factory.mktemp("dump")
    (folder / "logits.npy").write_bytes(npy(array))
    how = data.draw(st.sampled_from([np.savez, np.savez_compressed]))
    how(folder / "dump.npz", logits=array)
    for dump in (read(folder), read(folder / "dump.npz")):
        assert list(dump) == ["logits"] and dump.about == {}
        assert dump["logits"].dtype == array.dtype.newbyteorder("=")
        assert np.array_equal(dump["logits"], array, equal_nan=array.dtype.kind == "f")


def test_bfloat16_is_widened_exactly_from_each_format(tmp_path):
    values = np.array([1.0, -2.5, 3.140625, -np.inf], np.float32)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    (tmp_path / "a.npy").write_bytes(npy(bits.view("V2")))
    header = json.dumps({"a": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}).encode()
    (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bits.tobytes())
    for dump in (read(tmp_path), read(tmp_path / "a.safetensors")):
        assert np.array_equal(dump["a"], values) and dump.type_of("a") == "bfloat16"


def npy_of_shape(shape):
    """A .npy file without data, whose header names a shape that no array of NumPy needs to have."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def zipped(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


ONES = npy(np.ones(3))


@pytest.mark.parametrize(
    "member, data, said",
    [
        ("a.npy", ONES[:-1], r"takes 24 bytes, the file holds 23.*damaged"),
        ("a.npy", ONES + b"x", "the file holds 25"),
        ("a.npy", b"\x93NUMPY\x01\x00\xff\xff{", "no header of a .npy file"),
        ("a.npy", b"\x93NUMPY\x09\x00\x01\x00{", "no header of a .npy file"),
        ("a.npy", b"hello", "no header of a .npy file"),
        ("a.npy", npy_of_shape((0,) + 99 * (1,)), "no shape of an array"),
        ("a.npy", npy_of_shape((0, 2**63 - 1, 9)), "no shape of an array"),
        ("a.npy", npy_of_shape((False,)), "no shape of an array"),
        ("a.npy", npy(np.array([1, "x"], object), allow_pickle=True), "is of object: write float64"),
        ("a.npy", npy(np.ones(2, complex)), "is of complex128: write float64"),
        ("a.npy", ONES.replace(b"(3,)", b"(-3,)").replace(b" \n", b"\n", 1), "damaged"),
        ("a.bin", ONES, "neither NAME.npy nor about.json"),
    ],
)
def test_damaged_archives_are_refused(member, data, said, tmp_path):
    path = zipped(tmp_path / "x.npz", [(member, data)])
    with pytest.raises(CheckpointError, match=said):
        read(path)["a"]


def test_other_files_are_refused(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"no archive")
    (tmp_path / "one.npy").write_bytes(ONES)
    (tmp_path / "lfs.npz").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "empty").mkdir()
    whole = zipped(tmp_path / "whole.npz", [("a.npy", ONES), ("about.json", b"[1]")])
    (tmp_path / "cut.npz").write_bytes(whole.read_bytes()[:-30])
    spoiled = bytearray(whole.read_bytes())
    spoiled[150] ^= 1
    (tmp_path / "spoiled.npz").write_bytes(spoiled)
    for name, said in {
        "x.npz": "cannot be read as a zip archive", "one.npy": "put it into a folder as NAME.npy",
        "lfs.npz": "git lfs pull", "empty": "holds no file NAME.npy", "cut.npz": "cannot be read as a zip archive",
        "absent.npz": "No such file", "spoiled.npz": "Bad CRC-32",
    }.items():  # fmt: skip
        with pytest.raises(CheckpointError, match=said):
            read(tmp_path / name)["a"]
    with pytest.raises(CheckpointError, match=r"about is \[1\]"):
        _ = read(whole).about
    with pytest.warns(UserWarning, match="Duplicate"):
        zipped(tmp_path / "twice.npz", [("a.npy", ONES), ("a.npy", ONES)])
    with pytest.raises(CheckpointError, match="stands twice"):
        read(tmp_path / "twice.npz")
