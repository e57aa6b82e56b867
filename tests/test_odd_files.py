"""What stands in the place of a file: pipes, devices, links to nowhere, absurd sizes. None of it is waited for."""

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import struct

import pytest
from checkpoints import TINY
from commands import SHORT

from pyled import GenerationConfig, LEDConfig, LEDForConditionalGeneration, LEDModel, LEDTokenizer
from pyled.errors import CheckpointError, PyledError

FILES = ["config.json", "generation_config.json", "vocab.json", "merges.txt", "tokenizer.json",
         "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "model.safetensors",
         "model.safetensors.index.json"]  # fmt: skip


@contextlib.contextmanager
def bounded(seconds=20, extra=2**30):
    """Fail soon where a block waits, or takes memory without end."""

    def late(*_):
        raise TimeoutError(f"more than {seconds} seconds")

    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        size = int(file.read().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, late)
    resource.setrlimit(resource.RLIMIT_AS, (size + extra, limits[1]))
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.fixture
def led(tmp_path, monkeypatch):
    """A copy of golden/tiny as `led` in the current directory."""
    shutil.copytree(TINY, tmp_path / "led", ignore=shutil.ignore_patterns("documents", "answers.json"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "led"


@pytest.fixture
def no_rights(tmp_path, monkeypatch, run):
    """The current directory, for a user who has no rights beyond those of everyone; root has all."""
    for command in ("inspect", "tokenize"):  # whose modules may be where only root reads
        run(command, stdin=b"x")

    @contextlib.contextmanager
    def no_rights():
        user = os.geteuid()
        if user == 0:
            tmp_path.chmod(0o755)
            os.seteuid(65534)
        try:
            yield
        finally:
            if user == 0:
                os.seteuid(0)

    monkeypatch.chdir(tmp_path)
    return no_rights


def huge(path):
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse: it takes no place


def socket_at(path):
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(os.path.relpath(path))  # a socket's name is short


PUT = {
    "pipe": (os.mkfifo, "is a pipe: put a file in its place"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a device: put a file in its place"),
    "socket": (socket_at, "cannot be read: No such device or address"),
    "folder": (lambda path: path.mkdir(), "cannot be read: Is a directory"),
    "link": (lambda path: path.symlink_to("blob"), "cannot be read: it is a link to "),
    "loop": (lambda path: path.symlink_to(path.name), "cannot be read: Too many levels of symbolic links"),
    "huge": (huge, "has at least 1,099,511,627,776 bytes, at most 33,554,432 are read: name the right file"),
}


@pytest.mark.parametrize("kind", PUT)
def test_what_stands_in_the_place_of_a_file_is_told(kind, led, run):
    put, said = PUT[kind]
    for name in FILES:
        if (kind, name) == ("huge", "model.safetensors"):
            continue  # its header is read first
        shutil.rmtree(led)
        shutil.copytree(TINY, led)
        (led / "model.safetensors.index.json").write_text('{"weight_map": {}}')
        (led / name).unlink(missing_ok=True)
        if name.endswith("index.json"):
            (led / "model.safetensors").unlink()
        put(led / name)
        with bounded():
            status, _, err = run("inspect", "led")
        assert status == 3 and f"pyled: led/{name}: {said}" in err, err
        with bounded(), pytest.raises(PyledError, match=f"led/{name}: {said}"):
            for part in (LEDForConditionalGeneration, LEDTokenizer):
                part.from_pretrained("led")
    if kind == "link":
        assert f"it is a link to {led / 'blob'}, which is not there: fetch it, or remove the link" in err


def test_a_shard_and_a_directory_that_are_links_to_nowhere(led):
    (led / "model.safetensors").unlink()
    (led / "model-1.safetensors").symlink_to("../blobs/1")
    (led / "model.safetensors.index.json").write_text('{"weight_map": {"shared.weight": "model-1.safetensors"}}')
    with pytest.raises(CheckpointError, match=r"model-1\.safetensors: .*is a link to .*/blobs/1, which is not there"):
        LEDModel.from_pretrained(led)
    led.with_name("latest").symlink_to("led-2")
    for kind in (LEDConfig, LEDTokenizer, GenerationConfig, LEDModel):
        with pytest.raises(CheckpointError, match=r"latest is no directory: it is a link to .*/led-2, which is not"):
            kind.from_pretrained("latest")


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt"])
def test_files_of_a_tokenizer_that_are_named_themselves(name, led):
    (led / name).unlink()
    os.mkfifo(led / name)
    with bounded(), pytest.raises(PyledError, match=f"{name}: is a pipe"):
        LEDTokenizer(led / "vocab.json", led / "merges.txt")


# Who may not


@pytest.mark.parametrize("command", [["inspect", "led"], ["tokenize", "-", "-m", "led"]])
def test_a_directory_whose_files_nobody_may_look_up(command, led, run, no_rights):
    led.chmod(0o644)
    with no_rights():
        status, _, err = run(*command, stdin=b"x")
    assert status == 3
    files = {"inspect": ["config.json", "model.safetensors", "tokenizer.json"]}.get(command[0], ["tokenizer.json"])
    assert [line.split(": ")[1] for line in err.splitlines()] == [f"led/{file}" for file in files]
    assert err.count("Permission denied") == len(files)


def test_a_file_that_may_not_be_read_is_not_taken_for_none(led, no_rights):
    (led / "generation_config.json").chmod(0)
    with no_rights(), pytest.raises(PyledError, match=r"generation_config\.json: cannot be read: Permission denied"):
        GenerationConfig.from_pretrained("led")


def test_texts_that_may_not_be_looked_up_are_told(tmp_path, run, no_rights):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text(SHORT)
    (tmp_path / "texts").chmod(0o644)
    with no_rights():
        status, out, err = run("tokenize", "texts")
    assert (status, out) == (1, "") and "pyled: texts/a.txt: cannot be read: Permission denied\n" in err


# Texts


def test_a_pipe_in_a_directory_of_texts_is_not_waited_for(tmp_path, run):
    (tmp_path / "a.txt").write_text(SHORT)
    os.mkfifo(tmp_path / "b.txt")
    (tmp_path / "c.txt").symlink_to("b.txt")
    with bounded():
        status, out, err = run("tokenize", tmp_path)
    assert (status, out.count("\n")) == (1, 1)
    for name in ("b.txt", "c.txt"):
        assert f"pyled: {tmp_path / name}: is a pipe: put a file in its place\n" in err


@pytest.mark.parametrize("command", ["tokenize", "detokenize", "summarize", "evaluate"])
def test_a_device_is_no_text(command, run):
    with bounded():
        status, out, err = run(command, "/dev/zero")
    assert (status, out) == (1, "") and "/dev/zero: is a device: put a file in its place" in err


# Sizes


def test_settings_beyond_reason_build_no_lists(led, run):
    stated = json.loads((led / "config.json").read_text())
    sizes = [name for name, value in stated.items() if type(value) is int and not name.endswith("_id")]
    assert {"vocab_size", "d_model", "encoder_layers", "attention_window"} & set(sizes)
    for name in [*sizes, "num_labels"]:
        (led / "config.json").write_text(json.dumps(stated | {name: 10**17}))
        with bounded():
            status, _, err = run("inspect", "led")
        assert status == 3 and f"config.json: {name} is 100000000000000000: it must be an " in err and ": " in err
        with bounded(), pytest.raises(PyledError, match=name):
            LEDModel(LEDConfig(**{name: 10**17}))
    for name, value in (("vocab_size", 2**31 - 1), ("d_model", 2**30)):
        with (
            bounded(),
            pytest.raises(CheckpointError, match=r"the weights take .* bytes in float32, and this machine has"),
        ):
            LEDModel(LEDConfig(**{name: value}))


@pytest.mark.parametrize(("code", "itemsize"), [("BF16", 2), ("F16", 2), ("F32", 4), ("BOOL", 1)])
def test_shapes_are_compared_before_data_is_read(code, itemsize, led, run):
    """The file takes 4 kB of the disk, and says that it holds gigabytes."""
    entries, end = {}, 0
    for name in ("shared.weight", "encoder.embed_tokens.weight", "lm_head.weight"):
        entries[name] = {"dtype": code, "shape": [2**14, 2**14], "data_offsets": [end, end := end + 2**28 * itemsize]}
    text = json.dumps(entries).encode()
    with (led / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    with bounded(extra=end + 2**29), pytest.raises(CheckpointError, match="tensors have another shape"):
        LEDForConditionalGeneration.from_pretrained(led)
    with bounded(extra=end + 2**29):
        status, _, err = run("inspect", "led")
    assert status == 3 and "tensors have another shape than config.json says" in err


def test_inspect_sees_that_merges_are_missing(led, run):
    assert "merge" not in run("inspect", "led")[1]
    lines = (led / "merges.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    (led / "merges.txt").write_text("".join(lines[:-40]), encoding="utf-8")
    status, out, err = run("inspect", "led")
    assert (status, err) == (0, "")
    assert "  40 tokens, such as " in out and "are made by no merge: the list of merges may be cut short" in out
