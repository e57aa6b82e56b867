"""Checkpoints by their names on a hub: a server on the loopback address stands for it."""

import hashlib
import http.server
import json
import logging
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from checkpoints import TINY
from commands import LAMP, process, watched

import pyled
from pyled.checkpoint.directory import FORMATS
from pyled.cli.dispatch import make_parser
from pyled.errors import CheckpointError, GenerationError, InputError
from pyled.hub import CONFIG, MODEL, PARTS, TOKENIZER, WEIGHTS, is_hub_name, located

NAME, COMMIT, LATER = "some/led", "0123456789abcdef" * 2 + "01234567", "f" * 40
FILES = {path.name: path.read_bytes() for path in TINY.iterdir() if path.suffix in (".json", ".txt", ".safetensors")}
FILES = {name: FILES[name] for name in ("config.json", "generation_config.json", "model.safetensors", "vocab.json",
                                        "merges.txt")}  # fmt: skip
TEXT = FILES | {"tokenizer_config.json": b'{"model_max_length": 512}', "README.md": b"# LED"}


class Hub(http.server.ThreadingHTTPServer):
    """A hub: models by name, each with its commits by revision and the files of each commit."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.models = {NAME: {"main": COMMIT, COMMIT: dict(TEXT)}}
        self.asked, self.cut, self.gated, self.broken = [], set(), set(), False
        self.cache = None
        self.endpoint = f"http://127.0.0.1:{self.server_port}"

    def fetched(self):
        """The files that were sent, in their order."""
        return [path.rpartition("/")[2] for method, path in self.asked if method == "GET"]


class _Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if "/resolve/" not in self.path:  # what the library asks for itself
            return self._send(404, {})
        hub, (_, owner, name, _, revision, file) = self.server, self.path.split("/", 5)
        hub.asked.append((self.command, self.path))
        model = hub.models.get(f"{owner}/{name}")
        commit = model and (revision if revision in model and len(revision) == 40 else model.get(revision))
        content = commit and model[commit].get(file)
        if hub.broken:
            return self._send(503, {})
        if model is None:
            return self._send(401, {"X-Error-Code": "RepoNotFound"})
        if self.headers.get("Authorization") == "Bearer broken":
            return self._send(401, {"X-Error-Message": "Invalid credentials in Authorization header"})
        if f"{owner}/{name}" in hub.gated and self.headers.get("Authorization") != "Bearer secret":
            return self._send(401, {"X-Error-Code": "GatedRepo"})
        if commit is None:
            return self._send(404, {"X-Error-Code": "RevisionNotFound"})
        if content is None:
            return self._send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        etag = hashlib.sha1(content).hexdigest()
        return self._send(200, {"ETag": f'"{etag}"', "X-Repo-Commit": commit}, content, cut=file in hub.cut)

    do_HEAD = do_GET  # noqa: N815

    def _send(self, status, headers, content=b"", cut=False):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[: len(content) // 2] if cut else content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that this process and its children ask, with an empty cache."""
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    from huggingface_hub import file_download

    for module in (huggingface_hub.constants, file_download):  # which have read the environment when imported
        for name, value in {
            "ENDPOINT": server.endpoint,
            "HUGGINGFACE_CO_URL_TEMPLATE": server.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(tmp_path / "cache" / "hub"),
        }.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    for name in ("HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS"):
        monkeypatch.delenv(name, raising=False)
    server.cache = tmp_path / "cache"
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
    logging.getLogger("pyled").setLevel(logging.NOTSET)


def told(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "pyled"]


def test_a_name_gives_what_its_files_give_and_the_second_time_nothing_is_asked(hub, caplog):
    summary = pyled.summarize(Path(LAMP).read_text(), NAME, max_length=5)
    assert summary.text == pyled.summarize(Path(LAMP).read_text(), TINY, max_length=5).text
    assert summary.model == f"{NAME}@{COMMIT}"
    what = "configuration, settings of generation, tokenizer and weights"
    assert told(caplog) == [f"asking {hub.endpoint} for the {what} of {NAME}, revision main"]
    assert sorted(hub.fetched()) == sorted({*TEXT} - {"README.md"})
    revisions = [path.split("/")[4] for _, path in hub.asked]
    assert revisions == ["main"] * 3 + [COMMIT] * (len(revisions) - 3)
    hub.asked.clear(), caplog.clear()
    again = pyled.summarize(Path(LAMP).read_text(), NAME, max_length=5)
    assert (again.text, hub.asked, told(caplog)) == (summary.text, [], [])


def test_a_checkpoint_for_another_task_is_told_before_its_weights_are_fetched(hub):
    config = json.loads(TEXT["config.json"]) | {"architectures": ["LEDForQuestionAnswering"]}
    hub.models[NAME][COMMIT] = {**TEXT, "config.json": json.dumps(config).encode()}
    with pytest.raises(CheckpointError, match=f"{NAME}@{COMMIT} holds an LEDForQuestionAnswering, .*: pass it to "):
        pyled.summarize("A lamp.", NAME)
    assert "config.json" in hub.fetched() and "model.safetensors" not in hub.fetched()


def test_each_part_is_fetched_when_it_is_read_and_all_are_of_one_commit(hub):
    hub.models[NAME] |= {LATER: TEXT}
    assert pyled.LEDConfig.from_pretrained(NAME).d_model == pyled.LEDConfig.from_pretrained(TINY).d_model
    assert hub.fetched() == ["config.json"]
    hub.models[NAME]["main"] = LATER  # somebody pushes meanwhile
    tokenizer = pyled.LEDTokenizer.from_pretrained(NAME)
    assert Path(tokenizer.name_or_path).name == COMMIT
    assert (tokenizer("A lamp.").input_ids, tokenizer.model_max_length) == (
        pyled.LEDTokenizer.from_pretrained(TINY)("A lamp.").input_ids, 512)  # fmt: skip
    assert hub.fetched()[1:] == ["tokenizer_config.json", "vocab.json", "merges.txt"]
    assert pyled.GenerationConfig.from_pretrained(NAME).num_beams == 4
    model = pyled.LEDForConditionalGeneration.from_pretrained(NAME)
    assert hub.fetched()[4:] == ["generation_config.json", "model.safetensors"]
    np.testing.assert_array_equal(
        model.get_input_embeddings(), pyled.LEDModel.from_pretrained(TINY).get_input_embeddings()
    )
    heads = [path for method, path in hub.asked if method == "HEAD" and "config.json" not in path]
    assert len(heads) == len(set(heads)) == 6


# The files that are fetched


INDEX = json.dumps(
    {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "../x", "d": 3, "e": ".."}}
).encode()
BIN = json.dumps({"weight_map": {"a": "pytorch_model-1.bin"}}).encode()
REPOSITORIES = {  # the weight files that a repository has, and those of them that are fetched
    "both": ({"model.safetensors": b"s", "pytorch_model.bin": b"p", "tf_model.h5": b"h"}, ["model.safetensors"]),
    "torch": ({"pytorch_model.bin": b"p", "tf_model.h5": b"h", "flax_model.msgpack": b"f"}, ["pytorch_model.bin"]),
    "tensorflow": ({"tf_model.h5": b"h"}, ["tf_model.h5"]),
    "shards": (
        {"model.safetensors.index.json": INDEX, "model-1.safetensors": b"1", "model-2.safetensors": b"2",
         "model-3.safetensors": b"3", "pytorch_model.bin": b"p"},
        ["model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors"],
    ),
    "torch shards": (
        {"pytorch_model.bin.index.json": BIN, "pytorch_model-1.bin": b"1", "tf_model.h5": b"h"},
        ["pytorch_model.bin.index.json", "pytorch_model-1.bin"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "fetched"), REPOSITORIES.values(), ids=REPOSITORIES)
def test_weights_of_one_format_are_fetched_once(hub, files, fetched):
    hub.models[NAME][COMMIT] = {"config.json": b"{}", **files}
    directory = located(NAME, *MODEL)
    assert hub.fetched() == ["config.json", *fetched]
    assert {name: (directory / name).read_bytes() for name in fetched} == {name: files[name] for name in fetched}
    hub.asked.clear()
    assert located(NAME, *MODEL) == directory
    assert hub.asked == []


def test_the_formats_are_those_that_are_read_in_their_order():
    assert WEIGHTS.ways == tuple((name,) for form in FORMATS for name in (form.single, form.index))


def test_a_tokenizer_comes_alone_and_tokenizer_json_in_place_of_its_vocabulary(hub):
    hub.models[NAME][COMMIT] |= {"tokenizer.json": b"{ }", "added_tokens.json": b"{}"}
    located(NAME, TOKENIZER)
    assert hub.fetched() == ["added_tokens.json", "tokenizer_config.json", "tokenizer.json"]


def test_an_interrupted_download_goes_on_with_what_is_missing(hub):
    hub.cut.add("model.safetensors")
    with pytest.raises(
        CheckpointError, match=r"model\.safetensors of some/led, revision 0123.* was not fetched whole"
    ) as e:
        located(NAME, *PARTS)
    assert (e.value.rule, len(str(e.value).splitlines())) == ("hub-interrupted", 1)
    hub.cut.clear(), hub.asked.clear()
    assert sorted(path.name for path in located(NAME, *PARTS).iterdir()) == sorted({*TEXT} - {"README.md"})
    assert hub.fetched() == ["model.safetensors"]


def test_what_other_tools_have_fetched_is_used(hub):
    for name in [*TEXT, ".gitattributes"]:  # as a whole download does
        hub.models[NAME][COMMIT].setdefault(name, b"")
        huggingface_hub.hf_hub_download(NAME, name)
    hub.asked.clear()
    assert (located(NAME, *PARTS) / "model.safetensors").is_file() and hub.asked == []


def test_what_another_tool_has_not_asked_for_is_asked_for_once(hub):
    """transformers fetches the settings of generation after the weights: without them it would be another model."""
    for name in ("config.json", "model.safetensors"):
        huggingface_hub.hf_hub_download(NAME, name)
    hub.asked.clear()
    located(NAME, *MODEL)
    assert hub.fetched() == ["generation_config.json"]


def test_other_revisions_subfolders_and_caches(hub, tmp_path):
    inner = {f"led/{name}": content for name, content in TEXT.items()}
    hub.models[NAME] |= {"v2": LATER, LATER: inner}
    with pytest.raises(CheckpointError, match=f"some/led, revision {LATER} on .*, holds none of config.json"):
        pyled.LEDConfig.from_pretrained(NAME, revision="v2")
    cache = tmp_path / "elsewhere"
    model = pyled.LEDModel.from_pretrained(NAME, revision="v2", subfolder="led", cache_dir=cache)
    assert model.config.d_model == pyled.LEDConfig.from_pretrained(TINY).d_model
    tokenizer = pyled.LEDTokenizer.from_pretrained(NAME, revision=LATER, subfolder="led", cache_dir=cache)
    assert tokenizer.model_max_length == 512
    hub.asked.clear()
    for revision in ("v2", LATER):
        pyled.LEDModel.from_pretrained(NAME, revision=revision, subfolder="led", cache_dir=cache)
    assert hub.asked == []


def test_a_download_is_forced_and_sees_what_was_pushed(hub):
    located(NAME, *PARTS)
    hub.models[NAME] |= {"main": LATER, LATER: TEXT}
    assert located(NAME, *PARTS).name == COMMIT
    hub.asked.clear()
    assert located(NAME, *PARTS, force_download=True).name == LATER
    assert len(hub.fetched()) == len(TEXT) - 1


def test_a_configuration_of_another_name_is_looked_up_in_the_same_way(hub):
    hub.models["other/led"] = hub.models[NAME]
    located(NAME, *MODEL)
    with pytest.raises(CheckpointError, match=r"other/led is no directory, .* local_files_only is True"):
        pyled.LEDModel.from_pretrained(NAME, config="other/led", local_files_only=True)
    assert pyled.LEDModel.from_pretrained(NAME, config="other/led").config.d_model > 0


# What is a name on a hub


def test_an_existing_path_wins_and_only_owner_and_name_is_a_name_on_a_hub(hub):
    shutil.copytree(TINY, NAME)
    assert pyled.LEDConfig.from_pretrained(NAME).d_model > 0
    for name in ("led", "./led", "some/other/", "a/b/c", "/a/b", "a//b", "a/.b", "a/b.git", "a/b--c", "../b", "a/b\n"):
        assert not is_hub_name(name)
        with pytest.raises(CheckpointError, match="is no directory: pass the directory"):
            located(name, CONFIG)
    with pytest.raises(CheckpointError, match="is no directory"):
        located(Path("other/led"), CONFIG)
    assert hub.asked == []


def test_keywords_of_the_hub_have_no_effect_on_a_directory():
    ignored = {"cache_dir": "x", "token": "x", "local_files_only": True, "force_download": True, "proxies": {"a": "x"}}
    assert pyled.LEDConfig.from_pretrained(TINY, **ignored).d_model > 0
    for name in ("revision", "subfolder"):
        with pytest.raises(InputError, match=f"{name}='x' has no effect here: pass the"):
            pyled.LEDConfig.from_pretrained(TINY, **{name: "x"})
    with pytest.raises(InputError, match="proxies has no effect here: set the environment variables HTTP_PROXY"):
        pyled.LEDConfig.from_pretrained(NAME, proxies={"http": "x"})
    for name in ("revision", "subfolder", "cache_dir", "token", "local_files_only", "force_download"):
        with pytest.raises(InputError, match=rf"{name} is 3: .* was expected"):
            pyled.LEDConfig.from_pretrained(NAME, **{name: 3})


# What is refused


def refused(hub, rule, said, name=NAME, *parts, **lookup):
    with pytest.raises(CheckpointError, match=said) as e:
        located(name, *(parts or PARTS), **lookup)
    assert (e.value.rule, e.value.__cause__) == (rule, None)


def test_an_absent_name_and_revision(hub):
    said = f"^other/led is no directory, and {hub.endpoint} has no model of that name, or shows it to others only"
    refused(hub, "hub-absent", said, "other/led")
    refused(hub, "hub-revision", f"^some/led has no revision 'v9' on {hub.endpoint}: name a branch", revision="v9")


def test_a_gated_model_needs_a_token(hub, monkeypatch):
    hub.gated.add(NAME)
    said = f"^some/led is gated on {hub.endpoint}: accept its conditions at {hub.endpoint}/some/led, and log in with"
    refused(hub, "hub-gated", said)
    refused(hub, "hub-gated", said, token="wrong")
    refused(
        hub, "hub-gated", f"^{hub.endpoint} refuses config.json of some/led .*401.*: check HF_TOKEN", token="broken"
    )
    assert located(NAME, CONFIG, token="secret").name == COMMIT
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert pyled.LEDTokenizer.from_pretrained(NAME).model_max_length == 512


def test_what_is_no_checkpoint_lacks_parts_or_is_an_adapter(hub):
    hub.models["some/data"] = {"main": COMMIT, COMMIT: {"README.md": b""}}
    refused(
        hub,
        "file-missing",
        f"^some/data, revision {COMMIT} on .*, holds none of config.json, .*: name a checkpoint that has them",
        "some/data",
    )
    hub.models["some/words"] = {"main": COMMIT, COMMIT: {"vocab.json": b"{}", "merges.txt": b""}}
    refused(hub, "file-missing", "some/words, .* holds none of config.json", "some/words")
    base = json.dumps({"base_model_name_or_path": "a/b"}).encode()
    hub.models["some/lora"] = {"main": COMMIT, COMMIT: {"adapter_config.json": base, "vocab.json": b"{}"}}
    refused(
        hub, "adapter", f"^some/lora@{COMMIT} holds an adapter .adapter_config.json., not .* 'a/b': merge", "some/lora"
    )
    hub.models["some/empty"] = {"main": COMMIT, COMMIT: {"config.json": FILES["config.json"]}}
    with pytest.raises(CheckpointError, match=f"^some/empty@{COMMIT} holds neither model.safetensors nor") as e:
        pyled.LEDModel.from_pretrained("some/empty")
    assert e.value.rule == "file-missing"
    with pytest.raises(GenerationError, match=r"some/empty holds no generation_config\.json: "):
        pyled.GenerationConfig.from_pretrained("some/empty")
    with pytest.raises(CheckpointError, match=r"holds no vocab\.json and no merges\.txt: copy"):
        pyled.LEDTokenizer.from_pretrained("some/empty")


def test_nothing_is_asked_where_it_must_not_be(hub, monkeypatch):
    refused(
        hub,
        "hub-offline",
        r"^some/led is no directory, and .* must not be .* local_files_only is True",
        local_files_only=True,
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    said = (
        "must not be asked for its configuration, settings of generation, tokenizer and weights, because HF_HUB_OFFLINE"
    )
    refused(hub, "hub-offline", said)
    assert hub.asked == []


def test_without_a_connection_the_cache_is_enough_and_else_it_is_said(hub, caplog):
    located(NAME, CONFIG, WEIGHTS)
    hub.shutdown(), hub.server_close()
    refused(hub, "hub-offline", f"^some/led is no directory, and {hub.endpoint} cannot be reached")
    caplog.clear()
    assert (located(NAME, *MODEL) / "model.safetensors").is_file()
    assert "cannot be reached" in told(caplog)[-1] and told(caplog)[-1].endswith(
        "taken from the cache, with the files that are there"
    )


def test_a_hub_that_is_ill_is_told(hub, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the library tries again
    hub.broken = True
    refused(hub, "hub-offline", "^some/led is no directory, and .* does not give its config.json .*503")


def test_a_full_disk_is_told(hub, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    refused(
        hub,
        "hub-cache",
        "file/hub: config.json of some/led cannot be kept .*: make room",
        cache_dir=tmp_path / "file" / "hub",
    )


def test_without_the_extra_its_install_is_told(hub, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
        monkeypatch.setitem(sys.modules, name, None)
    said = (
        r"^some/led is no directory; as a name on the Hugging Face Hub .*: run `python -m pip install 'pyled\[hub\]'`"
    )
    refused(hub, "hub-extra", said)
    assert pyled.LEDConfig.from_pretrained(TINY).d_model > 0


# The command line


def command(*arguments, **more):
    return subprocess.run(**process(*arguments, capture_output=True, text=True, **more), check=False)


def test_the_command_takes_a_name_says_once_that_it_asks_and_needs_no_hub_again(hub):
    arguments = ("summarize", LAMP, "-m", NAME, "--revision", "main", "--max-length", 5)
    first = command(*arguments)
    what = "configuration, settings of generation, tokenizer and weights"
    assert (first.returncode, first.stderr) == (
        0,
        f"pyled: asking {hub.endpoint} for the {what} of {NAME}, revision main\n",
    )
    before = sorted((path, path.lstat().st_mtime_ns) for path in Path(hub.cache).rglob("*"))
    hub.shutdown(), hub.server_close()
    again = command(*arguments, "--format", "json")
    assert (again.returncode, again.stderr) == (0, "")
    record = json.loads(again.stdout)[0]
    assert (record["text"] + "\n", record["model"]) == (first.stdout, f"{NAME}@{COMMIT}")
    assert sorted((path, path.lstat().st_mtime_ns) for path in Path(hub.cache).rglob("*")) == before


def test_the_command_is_quiet_and_shows_progress_on_a_terminal(hub):
    status, _, terminal = watched(["inspect", NAME, "--json"])
    assert status == 0 and terminal.count("\n") > len(hub.fetched())  # bars, on a terminal of no width
    hub.models["other/led"] = hub.models[NAME]
    status, _, terminal = watched(["tokenize", LAMP, "-m", "other/led", "--quiet"])
    assert (status, terminal) == (0, "")


def test_a_checkpoint_without_its_tokenizer_takes_another_one(hub, run):
    hub.models["some/bare"] = {
        "main": COMMIT,
        COMMIT: {k: v for k, v in FILES.items() if k not in ("vocab.json", "merges.txt")},
    }
    status, _, err = run("summarize", LAMP, "-m", "some/bare", "--max-length", 5)
    assert (status, hub.fetched()) == (3, ["config.json", "generation_config.json"])  # no weights for nothing
    assert err.splitlines()[-1].startswith(f"pyled: some/bare@{COMMIT} holds no vocab.json and no merges.txt: copy")
    assert err.endswith("; or pass --tokenizer DIR, the directory of that model, or its name on a hub\n")
    status, out, _ = run(
        "summarize", LAMP, "-m", "some/bare", "--tokenizer", NAME, "--max-length", 5, "--format", "json"
    )
    record = json.loads(out)[0]
    assert (status, record["text"]) == (0, run("summarize", LAMP, "-m", TINY, "--max-length", 5)[1].strip())
    assert f"the tokenizer is that of {NAME}@{COMMIT}" in record["notes"]
    expected = run("tokenize", LAMP, "-m", TINY)[1]
    for arguments in (["--tokenizer", str(TINY)], ["-m", "some/bare", "--tokenizer", NAME]):
        assert run("tokenize", LAMP, *arguments)[:2] == (0, expected)
    assert run("detokenize", "--tokenizer", TINY, stdin=expected.encode())[0] == 0


def test_each_command_that_runs_a_model_or_a_tokenizer_takes_another_tokenizer_and_a_revision():
    commands = next(action.choices for action in make_parser()._actions if isinstance(action.choices, dict))
    options = {name: set(command._option_string_actions) for name, command in commands.items()}
    assert [name for name in options if "--revision" in options[name] and "--tokenizer" not in options[name]] == [
        "inspect", "convert", "check"]  # fmt: skip
    assert [name for name in options if "--model" in options[name] and "--revision" not in options[name]] == []


def test_a_revision_of_a_directory_is_refused_in_the_words_of_the_command(run):
    status, _, err = run("summarize", LAMP, "-m", TINY, "--revision", "v2")
    assert status == 2 and "--revision v2 has no effect here: pass the directory of that revision" in err


def test_records_of_a_name_are_those_of_its_commit(hub, run, tmp_path):
    pairs, records = tmp_path / "pairs.jsonl", tmp_path / "records.jsonl"
    pairs.write_text(json.dumps({"document": "A lamp.", "summary": "lamp"}) + "\n")
    arguments = ("evaluate", pairs, "-m", NAME, "--max-length", 5, "-o", records)
    assert run(*arguments)[0] == 0
    before = records.read_text()
    shutil.rmtree(hub.cache)  # fetched again, the files have other times
    assert run(*arguments, "--skip-existing")[0] == 0
    assert records.read_text() == before
    assert run(*arguments, "--skip-existing", "--tokenizer", TINY)[0] == 0
    assert len(records.read_text().splitlines()) == 2
