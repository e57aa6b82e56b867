"""`pyled summarize`: what goes to standard output, what to standard error, and the exit status."""

import gc
import json
import logging
import re
import subprocess

import pytest
from checkpoints import ANSWERS, DOCUMENTS, TINY, changed
from commands import LAMP, SHORT, expected, process

import pyled
from pyled.cli import summarize as command
from pyled.cli.dispatch import make_parser, parse
from pyled.cli.shared import outputs
from pyled.cli.shared.inputs import read_text
from pyled.cli.shared.parser import as_written
from pyled.cli.shared.settings import settings_of, value_of
from pyled.errors import GenerationError

# Summaries


def test_the_command_gives_the_references_summaries_and_nothing_else():
    paths = [TINY / "documents" / name for name in DOCUMENTS]
    done = subprocess.run(**process("summarize", *paths, "-m", TINY, capture_output=True, timeout=500), check=True)
    texts = [ANSWERS[name]["beam"]["text"].strip() for name in DOCUMENTS]
    heads = [f"==> {path} <==\n" if len(paths) > 1 else "" for path in paths]
    whole = "\n".join(f"{head}{text}\n" for head, text in zip(heads, texts, strict=True))
    assert done.stdout.decode("utf-8") == whole
    compiling = [line for line in done.stderr.splitlines() if b"compiling for this processor" in line]
    assert done.stderr.splitlines() == compiling


def test_standard_input_is_read_where_it_is_piped_or_asked_for(summarize):
    assert summarize(stdin=SHORT.encode()) == (0, expected(SHORT) + "\n", "")
    assert read_text("-", may_be_blank=True) == ""  # and to its end
    assert summarize("-", stdin=SHORT.encode(), terminal=True) == (0, expected(SHORT) + "\n", "")


def test_a_summary_is_shown_as_it_is_written_and_a_seed_repeats_it(summarize, note, monkeypatch):
    arguments = (note, "--num-beams", 1, "--max-length", 9, "-p", "do_sample", "true")
    status, whole, told = summarize(*arguments)
    seed = re.fullmatch(r"pyled: no --seed is set: (\d+) is drawn; pass --seed \1 for the same again\n", told)[1]
    assert summarize(*arguments, "--seed", seed) == (status, whole, "") == (0, whole, "")
    pieces, put = [], outputs.put
    monkeypatch.setattr(command, "put", lambda text: (pieces.append(text), put(text)))
    status, whole, _ = summarize(*arguments, "--seed", 2)
    assert summarize(*arguments, "--seed", 2, "--stream") == (status, whole, "")
    assert len(pieces) > 1 and "".join(pieces) + "\n" == whole
    full = expected(SHORT, num_beams=1)
    cut = summarize(note, "--num-beams", 1, "-p", "stop_strings", json.dumps([full[:2]]))[1].strip()
    assert full.startswith(cut) and full[:2] in cut


def test_flags_are_the_settings_of_generation(run, note):
    flags = "--num-beams=3 --max-new-tokens 9 --min_new_tokens 4 --length-penalty -0.5 --no-repeat-ngram-size 2"
    more = "--encoder-no-repeat-ngram-size 3 --repetition-penalty 1.5 --early-stopping -p suppress_tokens [84,45]"
    arguments = ["summarize", str(note), "--model", str(TINY), *flags.split(), *more.split()]
    settings = settings_of(make_parser().parse_args(as_written(arguments)))
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
    arguments = make_parser().parse_args(as_written(["summarize", "-m", "x", *flags, "true.txt"]))
    assert settings_of(arguments) == {"early_stopping": value}
    assert arguments.files == ["true.txt"]


def test_files_stand_on_both_sides_of_options():
    arguments = parse(["summarize", "a.txt", "--format", "md", "b.txt", "--quiet", "-", "--", "--c"])
    assert arguments.files == ["a.txt", "b.txt", "-", "--c"]
    assert (arguments.format, arguments.quiet) == ("md", True)


def test_inspect_takes_its_directory_as_the_others_do(run):
    assert run("inspect", "-m", TINY) == run("inspect", TINY)


def test_what_stands_behind_two_hyphens_is_a_file():
    written = as_written(["summarize", "--num_beams=2", "--", "--my_file=1", "--early-stopping"])
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
        ("9" * 40, 10**40 - 1),
    ],
)
def test_a_setting_is_written_in_json(text, value):
    assert value_of(text) == value


def test_what_was_assumed_is_said_unless_quiet(run, tmp_path, note):
    directory = changed(tmp_path / "led", config={"max_decoder_position_embeddings": 4})
    said = "pyled: no length is set: at most 4 tokens are generated; pass --max-new-tokens\n"
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
    (tmp_path / "folder").mkdir()
    bad = [*(tmp_path / name for name in contents), tmp_path / "folder", tmp_path / "none.txt", "x" * 300, "nul\0"]
    status, out, err = summarize(*bad, note)
    assert (status, out) == (1, f"==> {note} <==\n{expected(SHORT)}\n")
    problems = [
        "the text is empty: there is nothing to read",
        "the text is empty: there is nothing to read",
        "byte 3 is not UTF-8: convert it first, with iconv -f WINDOWS-1252 -t UTF-8 if it is of Windows or Latin-1",
        "byte 2 is NUL, so this is no text: extract its text first",
        "holds no .txt or .md (results, as *.summary.*, and subfolders are not read)",
        "cannot be read: No such file or directory",
        "cannot be read: File name too long",
        "cannot be read: embedded null byte",
    ]
    lines = [f"pyled: {path}: {problem}" for path, problem in zip(bad, problems, strict=True)]
    assert err.splitlines() == [*lines, "pyled: 8 of 9 inputs failed"]


def test_without_any_good_input_the_checkpoint_is_not_opened(run, tmp_path):
    status, out, err = run("summarize", tmp_path / "none.txt", "-m", tmp_path / "neither")
    assert (status, out) == (1, "")
    assert "neither" not in err
    assert run("summarize", "-m", TINY, stdin=b"") == (
        1,
        "",
        "pyled: standard input: the text is empty: there is nothing to read\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sumarize"], "pyled: error: 'sumarize' is no command: did you mean summarize? 'pyled help' lists"),
        (
            ["summarize", "-m", TINY, "--num-beam", "2"],
            "pyled summarize: error: --num-beam is no option: did you mean --num-beams? 'pyled help summarize' lists",
        ),
        (["inspect", TINY, "--zzz=3"], "pyled inspect: error: --zzz is no option: 'pyled help inspect' lists"),
        (["inspect", TINY, "--json", "x"], "pyled inspect: error: x is one name too many"),
        (["inspect", TINY, "-m", TINY], "argument -m/--model: not allowed with argument DIR"),
        (["summarize", LAMP, "-p", "penalty_alpha", "0.6"], "penalty_alpha 0.6 (command line) asks for"),
        (["summarize", LAMP, "-p", "use_mtp", "true"], "pass -p use_mtp false"),
        (["summarize", LAMP, "-p", "pad_token_id", "x"], "an integer of at least 0, or null"),
        (["summarize", LAMP, "-p", "xyz", "x"], "'xyz' is no generation setting: see docs/generation.md for the names"),
        (["summarize", LAMP, "--early-stopping=no"], "it must be true, false or never"),
        (["summarize", LAMP, "-m", TINY, "--num-beams", "two"], "--num-beams is 'two': it must be an integer"),
        (["summarize", LAMP, "-m", TINY, "--max-length", "9", "-p", "max-length", "8"], "--max-length is given twice"),
        (["summarize", LAMP, "-m", TINY, "--max-new-tokens", "129"], "128 positions"),
        (["summarize", LAMP, "-m", TINY, "--threads", "0"], "--threads: 0 threads: a whole number between 1 and"),
        (
            ["summarize", LAMP, "-m", TINY, "--threads", "99999"],
            "--threads: 99999 threads: a whole number between 1 and",
        ),
        (
            ["summarize", LAMP, "-m", TINY, "--generation-config", "none.json"],
            "none.json: cannot be read: No such file",
        ),
        (["summarize", LAMP, "-m", TINY, "--generation-config", TINY / "merges.txt"], "merges.txt: not JSON"),
        (["summarize", LAMP, "-m", TINY, "--generation-config", TINY], "cannot be read: Is a directory"),
        (["summarize", LAMP, "-m", TINY, "--too-long", "cut"], "invalid choice: 'cut'"),
        (["summarize", LAMP, "-m", TINY, "--stream"], "num_beams=4 (generation_config.json) leaves nothing to stream"),
        (["summarize", LAMP, "-m", TINY, "--stream"], "it ends; pass --num-beams 1"),
        (["summarize", LAMP, LAMP, "-m", TINY, "--stream"], "--stream shows the summary of one text, and there are 2:"),
        (["summarize", LAMP, "-m", TINY, "--stream", "-o", "x"], "as it comes: leave out --format and --output"),
        (["summarize", LAMP, "-m", TINY, "--stream", "--format", "jsonl"], "as it comes: leave out --format and --out"),
        (["summarize", LAMP, "-m", TINY, "--seed", "-1"], "--seed is -1: it must be an integer of at least 0, or null"),
        (
            ["summarize", LAMP, "-m", TINY, "--overlap", "3"],
            "--overlap 3 has no effect with --too-long error: pass --too-long chunk",
        ),
        (["summarize", LAMP, "-m", TINY, "--global", "all"], "--global is 'all': it must be 'first'"),
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
        ("./led", "pyled: led is no directory: pass the directory of a downloaded checkpoint"),
        (TINY / "documents", "holds no config.json: pass the directory of a downloaded"),
    ],
)
def test_a_bad_checkpoint(run, directory, message):
    status, out, err = run("summarize", LAMP, "-m", directory)
    assert (status, out) == (3, "")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("directory", [TINY, "nowhere"])
def test_garbage_is_collected_again_once_all_is_loaded(run, directory):
    assert gc.isenabled()
    run("summarize", LAMP, "-m", str(directory), "--max-length", "5")
    assert gc.isenabled()


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
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("pyled.models.LEDForConditionalGeneration.search", fail)
    assert summarize(note) == (1, "", f"pyled: {note}: {words}\n")


def test_what_the_library_logs_is_a_note(summarize, note, monkeypatch):
    """A compilation, for one; see test_processes.py."""

    search = pyled.LEDForConditionalGeneration.search

    def logged(*arguments, **more):
        logging.getLogger("pyled").warning("compiling for %s", "this processor")
        return search(*arguments, **more)

    monkeypatch.setattr("pyled.LEDForConditionalGeneration.search", logged)
    assert summarize(note)[2] == "pyled: compiling for this processor\n"
    assert summarize(note, "--quiet")[2] == ""
    assert logging.getLogger("pyled").handlers == []


def test_what_the_checkpoint_itself_asks_for_in_vain_is_its_fault(run, note, tmp_path):
    directory = changed(tmp_path / "led", generation={"use_mtp": True, "max_length": 5})
    said = f"pyled: {directory}/generation_config.json: use_mtp=true (generation_config.json) asks for "
    for options in ((), ("--num-beams", 2)):
        status, _, err = run("summarize", note, "-m", directory, *options)
        assert status == 3 and err.startswith(said)
    assert run("summarize", note, "-m", directory, "--max-new-tokens", "999")[0] == 3  # its own fault comes first
    assert run("summarize", note, "-m", directory, "-p", "use_mtp", "true")[0] == 2
    assert run("summarize", note, "-m", directory, "-p", "use_mtp", "false")[0] == 0


def test_what_came_of_summarizing_again_is_told(run, tmp_path):
    directory = changed(tmp_path / "led", generation={"max_length": 5})
    options = ["--too-long", "chunk", "--chunk-tokens", 30, "--combine", "again", "--max-length"]
    status, _, err = run("summarize", LAMP, "-m", directory, *options, 40)
    assert status == 0 and f"pyled: {LAMP}: the " in err and "summaries are not summarized again" in err
    status, _, err = run("summarize", LAMP, "-m", directory, *options, 5)
    assert status == 0 and "were summarized again" in err
    assert run("summarize", LAMP, "-m", directory, *options, 40, "--quiet")[2] == ""
