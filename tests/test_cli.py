"""The command line: what goes to standard output, what to standard error, and the exit status."""

import io
import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from checkpoints import ANSWERS, DOCUMENTS, TINY, changed, summary

import pyled
from pyled import cli
from pyled.errors import GenerationError
from pyled.kernels import jit

PACKAGE = Path(pyled.__file__).parent
SHORT = "The keeper wrote it down."
LAMP = str(TINY / "documents" / "lamp.txt")


@pytest.fixture(autouse=True)
def one_thread():
    jit.set_threads(1)  # small work on a machine that others use too
    yield
    jit.set_threads(jit.numba.config.NUMBA_NUM_THREADS)


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command in this process: (exit status, standard output, standard error)."""

    def run(*arguments, stdin=b"", terminal=False):
        source = io.TextIOWrapper(io.BytesIO(stdin))
        source.isatty = lambda: terminal
        monkeypatch.setattr(sys, "stdin", source)
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as e:
            status = e.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def summarize(run):
    """`pyled summarize -m golden/tiny`, with summaries of a few tokens."""
    return lambda *arguments, **more: run("summarize", "-m", TINY, "--max-length", 5, *arguments, **more)


@pytest.fixture
def note(tmp_path):
    """A file with a short text."""
    path = tmp_path / "note.txt"
    path.write_text(SHORT, encoding="utf-8")
    return path


def process(*arguments, package=PACKAGE.parent, **more):
    """The arguments of a subprocess that runs the command."""
    environment = {**os.environ, "PYTHONPATH": str(package), "NUMBA_NUM_THREADS": "1", **more.pop("env", {})}
    return dict(args=[sys.executable, "-m", "pyled", *map(str, arguments)], env=environment, **more)


def expected(text, **settings):
    return summary(text, **{"max_length": 5, **settings}).text


# Summaries


def test_the_command_gives_the_references_summaries_and_nothing_else():
    paths = [TINY / "documents" / name for name in DOCUMENTS]
    done = subprocess.run(**process("summarize", *paths, "-m", TINY, capture_output=True, timeout=500), check=True)
    texts = [ANSWERS[name]["beam"]["text"] for name in DOCUMENTS]
    heads = [f"==> {path} <==\n" if len(paths) > 1 else "" for path in paths]
    whole = "\n".join(f"{head}{text}\n" for head, text in zip(heads, texts, strict=True))
    assert done.stdout.decode("utf-8") == whole
    compiling = [line for line in done.stderr.splitlines() if b"compiling for this processor" in line]
    assert done.stderr.splitlines() == compiling


def test_standard_input_is_read_where_it_is_piped_or_asked_for(summarize):
    assert summarize(stdin=SHORT.encode()) == (0, expected(SHORT) + "\n", "")
    assert cli.read_text("-") == ""  # and to its end
    assert summarize("-", stdin=SHORT.encode(), terminal=True) == (0, expected(SHORT) + "\n", "")


def test_a_byte_order_mark_is_dropped_and_nothing_else(summarize):
    text = "Eén lamp,\r\ntwo lamps\n"
    assert summarize(stdin=b"\xef\xbb\xbf" + text.encode()) == (0, expected(text) + "\n", "")


def test_flags_are_the_settings_of_generation(run, note):
    flags = "--num-beams=3 --max-new-tokens 9 --min_new_tokens 4 --length-penalty -0.5 --no-repeat-ngram-size 2"
    more = "--encoder-no-repeat-ngram-size 3 --repetition-penalty 1.5 --early-stopping -p suppress_tokens [84,45]"
    arguments = ["summarize", str(note), "--model", str(TINY), *flags.split(), *more.split()]
    settings = cli.settings_of(cli.make_parser().parse_args(cli.as_written(arguments)))
    assert settings == {
        "num_beams": 3,
        "max_new_tokens": 9,
        "min_new_tokens": 4,
        "length_penalty": -0.5,
        "no_repeat_ngram_size": 2,
        "encoder_no_repeat_ngram_size": 3,
        "repetition_penalty": 1.5,
        "early_stopping": True,
        "suppress_tokens": [84, 45],
    }
    status, out, _ = run(*arguments)
    assert (status, out) == (0, pyled.summarize(SHORT, TINY, **settings).text + "\n")


@pytest.mark.parametrize(
    ("flags", "value"),
    [
        (["--early-stopping"], True),
        (["--early_stopping", "True"], True),
        (["--early-stopping=never"], "never"),
        (["--early-stopping", "never"], "never"),
        (["--no-early-stopping"], False),
        (["-p", "early-stopping", "false"], False),
    ],
)
def test_early_stopping_may_go_without_a_value(flags, value):
    arguments = cli.make_parser().parse_args(cli.as_written(["summarize", "-m", "x", *flags, "true.txt"]))
    assert cli.settings_of(arguments) == {"early_stopping": value}
    assert arguments.files == ["true.txt"]


def test_what_stands_behind_two_hyphens_is_a_file():
    written = cli.as_written(["summarize", "--num_beams=2", "--", "--my_file=1", "--early-stopping"])
    assert written == ["summarize", "--num-beams=2", "--", "--my_file=1", "--early-stopping"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4),
        ("-0.5", -0.5),
        ("true", True),
        ("None", None),
        ("[[1, 2]]", [[1, 2]]),
        ("never", "never"),
        ("NaN", "NaN"),
    ],
)
def test_a_setting_is_written_in_json(text, value):
    assert cli.value_of(text) == value


def test_what_was_assumed_is_said_unless_quiet(run, tmp_path, note):
    directory = changed(tmp_path / "led", config={"max_decoder_position_embeddings": 4})
    said = "pyled: no length is set: at most 4 tokens are generated; pass max_new_tokens\n"
    status, out, err = run("summarize", note, "-m", directory)
    assert (status, err) == (0, said)
    assert run("summarize", note, "-m", directory, "--quiet") == (0, out, "")


def test_too_long(run, tmp_path, note):
    directory = changed(tmp_path / "led", config={"max_encoder_position_embeddings": 40}, generation={"max_length": 5})
    status, out, err = run("summarize", LAMP, note, "-m", directory)
    assert (status, out) == (1, f"==> {note} <==\n{expected(SHORT)}\n")
    assert err.startswith(f"pyled: {LAMP}: 76 tokens, but this encoder has 40 positions: ")
    assert "--too-long truncate" in err
    status, out, err = run("summarize", LAMP, "-m", directory, "--too-long", "truncate")
    assert (status, out.count("\n")) == (0, 1)
    assert err == f"pyled: {LAMP}: 36 of 76 tokens were cut off: the encoder has 40 positions\n"


# Mistakes


def test_a_bad_input_does_not_stop_the_others(summarize, tmp_path, note):
    contents = {"empty.txt": b"", "space.txt": b" \n", "latin.txt": b"caf\xe9", "binary.txt": b"ab\0c"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    bad = [*(tmp_path / name for name in contents), tmp_path, tmp_path / "none.txt"]
    status, out, err = summarize(*bad, note)
    assert (status, out) == (1, f"==> {note} <==\n{expected(SHORT)}\n")
    assert sorted(err.splitlines()) == sorted(
        f"pyled: {path}: {problem}"
        for path, problem in zip(
            bad,
            [
                "the text is empty: there is nothing to summarize",
                "the text is empty: there is nothing to summarize",
                "byte 3 is not UTF-8: give a text, converted if its encoding is another",
                "byte 2 is NUL, so this is no text file: extract its text first",
                "is a directory: name the files in it",
                "cannot be read: No such file or directory",
            ],
            strict=True,
        )
    )


def test_without_any_good_input_the_checkpoint_is_not_opened(run, tmp_path):
    status, out, err = run("summarize", tmp_path / "none.txt", "-m", tmp_path / "neither")
    assert (status, out) == (1, "")
    assert "neither" not in err
    assert run("summarize", "-m", TINY, stdin=b"") == (
        1,
        "",
        "pyled: standard input: the text is empty: there is nothing to summarize\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["summarize", LAMP], "required: -m/--model"),
        ([], "required: COMMAND"),
        (["summarize", "-m", TINY, "--num-beam", "2"], "unrecognized arguments: --num-beam"),
        (["summarize", LAMP, "-m", TINY, "--num-beams", "two"], "num_beams is 'two': it must be an integer"),
        (["summarize", LAMP, "-m", TINY, "--max-length", "9", "-p", "max-length", "8"], "max_length is given twice"),
        (["summarize", LAMP, "-m", TINY, "-p", "num_beans", "8"], "did you mean 'num_beams'"),
        (["summarize", LAMP, "-m", TINY, "-p", "do_sample", "true"], "pyled does not implement"),
        (["summarize", LAMP, "-m", TINY, "--max-new-tokens", "129"], "128 positions"),
        (["summarize", LAMP, "-m", TINY, "--threads", "0"], "--threads: 0 threads: a whole number between 1 and"),
        (["summarize", LAMP, "-m", TINY, "--too-long", "chunk"], "invalid choice: 'chunk'"),
    ],
)
def test_wrong_usage(run, arguments, message):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert message in err


def test_no_file_and_a_terminal(run):
    status, out, err = run("summarize", "-m", TINY, terminal=True)
    assert (status, out) == (2, "")
    assert "no FILE, and no text is piped in" in err


@pytest.mark.parametrize(
    ("directory", "message"),
    [
        ("allenai/led-base-16384", "pyled: allenai/led-base-16384 is no directory: pass the directory of a downloaded"),
        (TINY / "documents", "config.json: cannot be read"),
    ],
)
def test_a_bad_checkpoint(run, directory, message):
    status, out, err = run("summarize", LAMP, "-m", directory)
    assert (status, out) == (3, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_generation_config_of_the_checkpoint_is_part_of_it(run, tmp_path):
    directory = changed(tmp_path / "led", generation={"num_beams": 0})
    status, _, err = run("summarize", LAMP, "-m", directory)
    assert status == 3
    assert "generation_config.json: num_beams is 0" in err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (GenerationError("no token is left"), "no token is left"),
        (MemoryError("3 GiB"), "not enough memory (3 GiB): pass a shorter text, or fewer beams"),
        (ImportError("no llvmlite"), "no llvmlite: install pyled again, with its dependencies"),
        (KeyError("x"), "a mistake in pyled, please report it: KeyError: 'x'"),
    ],
)
def test_whatever_happens_is_told_in_a_line(summarize, note, monkeypatch, error, words):
    def fail(*_):
        raise error

    monkeypatch.setattr("pyled.tasks.Summarizer.write", fail)
    assert summarize(note) == (1, "", f"pyled: {note}: {words}\n")


def test_the_first_compilation_is_announced(summarize, note, monkeypatch, tmp_path):
    made = summary(SHORT, max_length=5)
    monkeypatch.setattr("pyled.tasks.Summarizer.write", lambda *_: made)
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    monkeypatch.setattr(jit, "CACHE_FOLDER", tmp_path / "cache")
    assert summarize(note)[2].startswith("pyled: compiling for this processor, once")
    (tmp_path / "cache" / "kernels").mkdir(parents=True)
    (tmp_path / "cache" / "kernels" / "rows.nbi").touch()
    assert summarize(note)[2] == ""


# The process


def test_help_and_version_load_nothing_heavy(run):
    code = (
        "import sys\nfrom pyled import cli\n"
        "try: cli.main(['summarize', '--help'])\n"
        "finally: assert 'numba' not in sys.modules and 'numpy' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], env=process()["env"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for option in ("--num-beams", "--too-long", "--early-stopping", "exit status", "-p NAME VALUE"):
        assert option in done.stdout
    assert run("--version") == (0, f"pyled {pyled.__version__}\n", "")


def watched(arguments, until=None, then=None, **more):
    """Run with a terminal as standard error; `then(process)` once `until` was seen. (status, output, the terminal's)"""
    master, terminal = pty.openpty()
    with subprocess.Popen(**process(*arguments, stdout=subprocess.PIPE, stderr=terminal, **more)) as child:
        os.close(terminal)
        seen = b""
        while True:
            try:
                seen += os.read(master, 4096)
            except OSError:  # the other end is closed
                break
            if until is not None and until in seen:
                then(child)
                until = None
        out = child.stdout.read()
    os.close(master)
    return child.returncode, out.decode("utf-8"), seen.decode("utf-8")


def test_progress_is_shown_on_a_terminal_and_taken_away(note):
    status, out, seen = watched(["summarize", note, "-m", TINY, "--min-length", 9, "--max-length", 9])
    assert (status, out) == (0, expected(SHORT, min_length=9, max_length=9) + "\n")
    lines = seen[seen.index("\r") :].split("\r")
    assert lines[1] == "encoding 0/2 layers"
    assert any(line.startswith("generating 0/8 tokens") for line in lines)
    assert lines[-3].startswith("generating 8/8 tokens, at most 0:00 left")
    assert lines[-2].isspace()
    assert len(lines[-2]) >= len(lines[-3].rstrip())
    assert lines[-1] == ""


def test_no_progress_where_nobody_watches_or_wants_it(monkeypatch):
    for quiet, terminal in ((True, True), (False, False), (False, True)):
        stream = io.StringIO()
        stream.isatty = lambda terminal=terminal: terminal
        monkeypatch.setattr(sys, "stderr", stream)
        console = cli.Console(quiet)
        console.progress("", "encoding", 0, 12)
        console.error("told")
        assert stream.getvalue().endswith("pyled: told\n")
        assert ("encoding" in stream.getvalue()) == (terminal and not quiet)


def test_time_left_is_reckoned_from_the_second_step_on(monkeypatch):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stream)
    clock = iter([0.0, 100.0, 102.0, 102.01, 4000.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    console = cli.Console(quiet=False)
    for done in (0, 1, 2, 3, 40):
        console.progress("[2/3] ", "generating", done, 42)
    assert [line.rstrip() for line in stream.getvalue().split("\r")] == [
        "",
        "[2/3] generating 0/42 tokens",
        "[2/3] generating 1/42 tokens",
        "[2/3] generating 2/42 tokens, at most 1:20 left",
        "[2/3] generating 40/42 tokens, at most 3:20 left",
    ]
    assert cli._clock(3725.4) == "1:02:05"


def test_an_interrupt_leaves_whole_summaries_only(note):
    arguments = ["summarize", "-m", TINY, "--min-length", 20, "--max-length", 20, *[note] * 60]
    status, out, seen = watched(
        arguments, until=b"[2/60] encoding", then=lambda child: child.send_signal(signal.SIGINT)
    )
    assert status == 130
    one = f"==> {note} <==\n{expected(SHORT, min_length=20, max_length=20)}\n"
    count = out.count("==>")
    assert 1 <= count < 60
    assert out == "\n".join([one] * count)
    assert "Traceback" not in seen
    assert seen.endswith("\r")


def test_nothing_but_the_files_of_the_package_is_needed(tmp_path, note):
    package = tmp_path / "site"
    shutil.copytree(PACKAGE, package / "pyled", ignore=shutil.ignore_patterns("__pycache__"))
    (package / "pyled" / "kernels" / "__pycache__").touch()  # a file, so no folder: not even root can write there
    nowhere = str(note / "below a file")
    (tmp_path / "tmp").mkdir()
    environment = {
        "NUMBA_CACHE_DIR": nowhere,
        "XDG_CACHE_HOME": nowhere,
        "TMPDIR": str(tmp_path / "tmp"),
        "NUMBA_DISABLE_JIT": "1",  # compiling takes long, and would go to the private folder
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    arguments = process("summarize", note, "-m", TINY, "--max-length", 5, package=package, env=environment)
    arguments["env"].pop("HOME", None)
    done = subprocess.run(**arguments, cwd="/", capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, expected(SHORT) + "\n", "")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_closed_pipe_ends_it_quietly(note):
    read, write = os.pipe()
    os.close(read)
    arguments = process("summarize", note, "-m", TINY, "--max-length", 5)
    done = subprocess.run(**arguments, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
def test_a_full_disk_is_told(note):
    arguments = process("summarize", note, "-m", TINY, "--max-length", 5)
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(**arguments, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, b"pyled: standard output: No space left on device\n")
