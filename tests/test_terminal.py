"""What files and arguments bring does not steer a terminal, and no message is long, whatever it shows."""

import ast
import inspect as signatures
import json
import os
import pty
import subprocess
import sys
import threading
import tty
import unicodedata
import warnings

import numpy as np
import pytest
from checkpoints import TINY
from commands import SHORT, expected, process
from test_imports import FILES, PACKAGE

import pyled
from pyled import cli
from pyled.checkpoint import read_safetensors, write_safetensors
from pyled.cli.dispatch import make_parser
from pyled.generation_config import SETTINGS
from pyled.kernels import jit

ODD = "a\x1b[2J\x9b31m\r\n\u2028\u202e\u200b\u200d\udce9"
SHOWN = r"a\u001b[2J\u009b31m\r\n\u2028\u202e\u200b\u200d\udce9"
ON_A_LINE = "a\x1b[2J\x9b31m\\r\\n\\u2028\u202e\u200b\u200d\udce9"  # on a pipe, where all but line ends is as it is


def steering(text):
    """The characters of a text that steer a terminal, hide or reorder others, or that nothing can encode."""
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - {"\n", "\t"}


# The terminal


@pytest.fixture
def screen(run, monkeypatch):
    """Run the command with a terminal, or a pipe, as standard output and error: (exit status, what that was sent)."""

    def screen(*arguments, encoding="utf-8", pipe=False):
        master, terminal = os.pipe() if pipe else pty.openpty()
        if not pipe:
            tty.setraw(terminal)  # no line end becomes two characters
        seen = []

        def watch():
            try:
                while data := os.read(master, 4096):
                    seen.append(data)
            except OSError:  # the other end is closed
                return

        watcher = threading.Thread(target=watch)
        watcher.start()
        opened = (os.fdopen(end, "w", encoding=encoding) for end in (terminal, os.dup(terminal)))
        with next(opened) as out, next(opened) as err, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            try:
                status = cli.main([str(argument) for argument in arguments])
            except SystemExit as e:
                status = e.code
        watcher.join()
        os.close(master)
        return status, b"".join(seen).decode(encoding, "surrogateescape")

    return screen


@pytest.fixture
def odd(tmp_path, monkeypatch):
    """The current directory, with inputs and a checkpoint that are full of odd names."""
    monkeypatch.chdir(tmp_path)
    for name in (f"{ODD}.txt", "note.txt"):
        (tmp_path / name).write_text(SHORT, encoding="utf-8")
    pair = json.dumps({f"{ODD[:-1]}x": "", "document": SHORT, "summary": "It is down."})
    (tmp_path / f"{ODD}.jsonl").write_text(f"{pair}\n")
    directory = tmp_path / ODD
    directory.mkdir()
    for path in TINY.iterdir():
        if path.is_file():
            (directory / path.name).write_bytes(path.read_bytes())
    tensors = dict(read_safetensors(TINY / "model.safetensors"))
    write_safetensors(directory / "model.safetensors", {**tensors, f"{ODD[:-1]}.weight": np.zeros(2, "float32")})
    token = {"additional_special_tokens": [f"<{ODD[:-1]}>"]}
    (directory / "special_tokens_map.json").write_text(json.dumps(token))
    (directory / f"{ODD}.bin").write_bytes(b"")
    return tmp_path


FEW = ("-m", TINY, "--max-length", 5, "--quiet")
COMMANDS = {
    "head": ("summarize", f"{ODD}.txt", "note.txt", *FEW),
    "Markdown": ("summarize", f"{ODD}.txt", *FEW, "--format", "md"),
    "JSON": ("summarize", f"{ODD}.txt", *FEW, "--format", "json"),
    "dry run": ("summarize", f"{ODD}.txt", *FEW, "--dry-run"),
    "no input": ("summarize", f"{ODD}.no", *FEW),
    "no folder": ("summarize", "note.txt", *FEW, "-o", f"{ODD}.no/x/y"),
    "output there": ("summarize", "note.txt", *FEW, "-o", f"{ODD}.txt"),
    "no checkpoint": ("summarize", "note.txt", "-m", f"{ODD}.no"),
    "note on a folder": ("tokenize", ODD, "-m", TINY),
    "tokens": ("tokenize", "note.txt", f"{ODD}.txt", "-m", TINY, "--offsets"),
    "tokens in JSON": ("tokenize", f"{ODD}.txt", "-m", TINY, "--json"),
    "ids": ("detokenize", f"{ODD}.no", "-m", TINY),
    "scores": ("evaluate", f"{ODD}.jsonl", *FEW),
    "scores in JSON": ("evaluate", f"{ODD}.jsonl", *FEW, "--json"),
    "facts": ("inspect", ODD),
    "facts in JSON": ("inspect", ODD, "--json"),
    "command": (ODD,),
    "option": ("summarize", f"--{ODD}"),
    "choice": ("summarize", "--format", ODD),
    "setting": ("summarize", "note.txt", "-p", ODD, "1"),
    "value": ("summarize", "note.txt", "--num-beams", ODD),
}


AS_REPR_SHOWS_IT = ("Markdown", "command", "choice", "setting", "value")


def strings(value):
    """All strings in a value of JSON."""
    if isinstance(value, str):
        return [value]
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for part in parts for text in strings(part)]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_name_steers_a_terminal(command, screen, odd):
    status, text = screen(*COMMANDS[command])
    assert steering(text) == set()
    assert "a mistake in pyled" not in text
    assert SHOWN in text or command in AS_REPR_SHOWS_IT
    if command.endswith("JSON"):
        assert any(ODD in each for each in strings(json.loads(text)))


def test_a_pipe_gets_names_as_they_are_but_on_one_line(screen, odd):
    text = screen("tokenize", f"{ODD}.txt", "note.txt", f"{ODD}.no", "-m", TINY, "--offsets", pipe=True)[1]
    on_stderr = ON_A_LINE.replace("\udce9", r"\udce9")  # where nothing reads a name back
    assert text.startswith(
        f"pyled: {on_stderr}.no: cannot be read: No such file or directory\n==> {ON_A_LINE}.txt <==\n"
    )
    assert screen("inspect", ODD, pipe=True)[1].startswith(f"{ON_A_LINE}\n")
    summary = screen("summarize", f"{ODD}.txt", "note.txt", *FEW, pipe=True)[1]
    assert summary == f"==> {ON_A_LINE}.txt <==\n{expected(SHORT)}\n\n==> note.txt <==\n{expected(SHORT)}\n"
    assert f" of {ON_A_LINE}.jsonl\n" in screen("evaluate", f"{ODD}.jsonl", *FEW, pipe=True)[1]


STEERS = "\x1b]0;x\x07 ok\n\tend\x9b \u202eno"


def test_a_text_keeps_its_lines_and_tabs_and_what_joins_its_letters(screen, run, tmp_path):
    joined = "\u0645\u06cc\u200c\u0631\u0648\u0645 \U0001f469\u200d\U0001f680"
    (tmp_path / "in").write_text(STEERS + joined, encoding="utf-8")
    (tmp_path / "ids").write_text(run("tokenize", tmp_path / "in", "-m", TINY, "--no-special-tokens")[1])
    command = ("detokenize", tmp_path / "ids", "-m", TINY)
    assert run(*command)[1] == STEERS + joined
    assert screen(*command) == (0, r"\u001b]0;x\u0007 ok" + "\n\t" + rf"end\u009b \u202eno{joined}")


def test_a_summary_and_a_terminal_named_as_output(screen, note):
    shown = expected(SHORT).replace("\x06", r"\u0006")
    assert shown != expected(SHORT)
    command = ("summarize", note, *FEW)
    assert screen(*command) == (0, f"{shown}\n")
    master, terminal = pty.openpty()
    tty.setraw(terminal)
    done = subprocess.run(**process(*command, "-o", os.ttyname(terminal), stderr=subprocess.PIPE))
    assert (done.returncode, done.stderr, os.read(master, 999)) == (0, b"", f"{shown}\n".encode())
    os.close(master)
    os.close(terminal)


@pytest.mark.parametrize("command", [("tokenize", "--help"), ("summarize", "caf\xe9.txt", *FEW, "--format", "json")])
def test_a_terminal_that_cannot_show_every_character(command, screen, run, odd):
    (odd / "caf\xe9.txt").write_text(SHORT)
    status, text = screen(*command, encoding="ascii")
    assert status == 0 and (r"\u0120" if "--help" in command else r"caf\xe9.txt") in text
    done = subprocess.run(**process(*command, env={"PYTHONIOENCODING": "ascii"}, capture_output=True))
    assert (done.returncode, done.stderr) == (0, b"")
    assert ("\u0120" if "--help" in command else "caf\xe9.txt") in done.stdout.decode("utf-8")


# Messages


class Unshown:
    def __repr__(self):
        raise RuntimeError("no words")


HUGE = {
    "numbers": [0] * 10**5,
    "text": "x" * 10**6,
    "integer": 10**5000,
    "odd": ODD * 20,
    "array": np.zeros(999, int),
    "unshown": Unshown(),
    "mapping": {ODD: dict.fromkeys(range(10**4), ODD)},
}
huge = pytest.mark.parametrize("value", HUGE.values(), ids=HUGE)


def told(function, *arguments, **keywords):
    """The messages of a call: of its error, and of its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            function(*arguments, **keywords)
        except pyled.PyledError as e:
            return [str(e), *(str(warning.message) for warning in caught)]
    return [str(warning.message) for warning in caught]


def assert_short(messages):
    for message in messages:
        assert len(message) <= 1000 and steering(message) == set() and "\n" not in message


CONFIG = [*pyled.LEDConfig().to_dict(), "extra", ODD]
READING = [*signatures.signature(pyled.Reading).parameters]
OF_PRETRAINED = ["revision", "device_map", "quantization_config", "dtype", "padding_side", "pad_token", ODD]


@huge
def test_no_value_makes_a_message_long(value):
    for name in CONFIG:
        assert_short(told(pyled.LEDConfig, **{name: value}))
    for name in [*SETTINGS, ODD, "y" * 10**5]:
        assert_short(told(pyled.GenerationConfig, **{name: value}))
    for name in READING:
        for how in {"error", "chunk"} if name != "too_long" else {value if isinstance(value, str) else 3}:
            assert_short(told(pyled.Reading, **{"too_long": how, name: value}))
    for cls in (pyled.LEDConfig, pyled.LEDTokenizer, pyled.LEDForConditionalGeneration, pyled.GenerationConfig):
        assert_short(told(cls.from_pretrained, value))
        for name in OF_PRETRAINED:
            assert_short(told(cls.from_pretrained, TINY, **{name: value}))


@huge
def test_no_argument_of_a_call_makes_a_message_long(value):
    model, tokenizer = pyled.LEDForConditionalGeneration.from_pretrained(TINY), pyled.LEDTokenizer.from_pretrained(TINY)
    ids = {"input_ids": [[0, 4, 5, 2]]}
    for call, usual in (
        (tokenizer, {"text": "A"}),
        (model, {**ids, "labels": ids["input_ids"]}),
        (model.generate, ids),
    ):
        names = [n for n, p in signatures.signature(call).parameters.items() if p.kind != p.VAR_KEYWORD]
        for name in [*names, *(SETTINGS if call == model.generate else ())]:
            length = {"max_new_tokens": 1} if call == model.generate else {}
            assert_short(told(call, **usual | length | {name: value}))
    for call in (tokenizer.decode, tokenizer.convert_ids_to_tokens, model.to, model.save_pretrained, tokenizer.pad):
        if not (call == model.save_pretrained and isinstance(value, str) and len(value) < 4096):
            assert_short(told(call, value))


def test_what_loading_tells_and_what_objects_show_is_readable(odd, caplog, monkeypatch):
    messages = told(pyled.LEDForConditionalGeneration.from_pretrained, ODD)
    assert any("no weight of this model" in message for message in messages)
    assert_short(messages)
    with pytest.warns(pyled.PyledWarning):
        report = pyled.LEDForConditionalGeneration.from_pretrained(ODD).load_report
    assert SHOWN.removesuffix(r"\udce9") in str(report) and steering(str(report)) == set()
    assert steering(repr(pyled.GenerationConfig.from_dict({f"{ODD}": ODD}))) == set()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(odd / ODD))
    monkeypatch.setattr(jit, "_folder", jit._folder.__wrapped__)  # a process looks for it once
    jit._announce("for a test")  # each is announced once
    assert_short([caplog.messages[-1]])
    assert SHOWN in caplog.messages[-1]


def test_the_middle_of_a_long_message_is_left_out():
    (message,) = told(pyled.GenerationConfig, num_beams=[7] * 10**6)
    assert message.startswith("num_beams is [7, 7, 7,") and len(message) < 250
    assert "7, 7] (of length 1,000,000): it must be an integer" in message
    (message,) = told(pyled.GenerationConfig, num_beams=-(10**5000))
    assert message.startswith("num_beams is -0x")
    (message,) = told(pyled.LEDConfig.from_pretrained, "x" * 10**6)
    assert message.startswith("xxx") and " ... of 1,000," in message and message.endswith("weights and vocabulary")


def flags():
    """(command, option) of each option that has a value, and (command, None) for its inputs."""
    for name, parser in make_parser()._subparsers._group_actions[0].choices.items():
        yield from (
            (name, option) for action in parser._actions for option in action.option_strings[:1] if action.nargs != 0
        )
        yield name, None


@pytest.mark.parametrize(("command", "option"), list(flags()))
def test_no_argument_makes_a_message_long(command, option, run, odd):
    for value in ("x" * 10**5, ODD * 20, "9" * 5000, f"[{'9, ' * 10**4}9]"):
        values = [value, value] if option == "-p" else [value]
        checkpoint = ["-m", "gone"] if option != "-m" else []  # so that what is no mistake ends soon, too
        files, options = (["note.txt"], [option]) if option else ([], [])
        status, out, err = run(command, *files, *checkpoint, *options, *values)
        assert status in (0, 1, 2, 3) and "a mistake in pyled" not in err
        assert all(len(line) < 1100 for line in err.splitlines())


# Whoever writes a message


def test_every_message_shows_a_value_by_the_one_function():
    """`brief`, not `!r` or `repr`: a heart that imports nothing of ours, and what is no message, aside."""
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        aside = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "__repr__"]
        aside = {id(node) for function in aside for node in ast.walk(function)}
        shown = [n for n in ast.walk(tree) if isinstance(n, ast.FormattedValue) and n.conversion == ord("r")]
        if path.relative_to(PACKAGE).parts[0] not in ("reference.py", "network", "__init__.py"):
            assert [node.lineno for node in shown if id(node) not in aside] == [], path
