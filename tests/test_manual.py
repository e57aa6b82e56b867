"""The manual page is what its generator makes, says what --help says, and is sound roff."""

import itertools
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from pyled.cli.dispatch import make_parser, parse
from pyled.cli.shared.exit_status import EXIT_STATUS

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "pyled.1"
COMMANDS = (
    "summarize",
    "answer",
    "classify",
    "inspect",
    "tokenize",
    "detokenize",
    "evaluate",
    "train",
    "convert",
    "trace",
    "check",
    "kit",
)


@pytest.fixture
def helped(capsys, monkeypatch):
    """What `--help` prints at 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def helped(*arguments):
        with pytest.raises(SystemExit) as ended:
            make_parser().parse_args([*arguments, "--help"])
        assert ended.value.code == 0
        return capsys.readouterr().out

    return helped


def plain(roff):
    """The words of a page, without its macros and escapes."""
    text = re.sub(r"^\.(B|SS|SH|TP|nf|fi|br|TH)\b ?", "", roff, flags=re.MULTILINE)
    text = re.sub(r"\\\[u([0-9A-F]{4,6})\]", lambda match: chr(int(match[1], 16)), text)
    return text.replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")


def words(text):
    return " ".join(text.split())


def test_the_page_is_what_the_generator_makes(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import manual

    assert PAGE.read_text(encoding="utf-8") == manual.manual(), "run docs/refresh.py"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_says_what_help_says(helped, command):
    shown = helped(command)
    page = words(plain(PAGE.read_text(encoding="utf-8")))
    options = re.findall(r"^  (-.*?)(?:  .*)?$", shown, re.MULTILINE)
    assert len(options) >= 2
    for name in {name for option in options for name in re.findall(r"--[a-z-]+", option)} - {"--help"}:
        assert re.search(rf"{name}( |$)", page), name
    texts = re.split(r"\n(?= {0,2}\S)", shown)  # one piece per option or paragraph
    told = [words(re.sub(r"^ {2}\S.*?(?:\n|  +)", "", text)) for text in texts if text.startswith("  -")]
    for text in told:
        assert text in page or text == "show this help message and exit", text


def test_the_page_has_every_exit_status_and_example(helped):
    page = words(plain(PAGE.read_text(encoding="utf-8")))
    for status, meaning in EXIT_STATUS.items():
        assert f"{status} {meaning}" in page
    for command in COMMANDS:
        examples = re.search(r"examples:\n((?:  .*\n)+)", helped(command))[1].splitlines()
        assert len(examples) >= 2
        for example in examples:
            assert words(example) in page


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_are_commands_with_options_that_exist(helped, command):
    examples = re.search(r"examples:\n((?:  .*\n)+)", helped(command))[1].splitlines()
    commands = 0
    for example in examples:
        lexer = shlex.shlex(example, posix=True, punctuation_chars="|")
        lexer.whitespace_split = True
        for is_pipe, part in itertools.groupby(lexer, key="|".__eq__):
            name, *arguments = part
            if not is_pipe and name == "pyled":
                assert callable(parse(arguments).run)
                commands += 1
    assert commands >= len(examples)


@pytest.mark.parametrize("command", [(), *((command,) for command in COMMANDS)])
def test_help_fits_80_columns_and_names_the_exit_status(helped, command):
    shown = helped(*command)
    assert max(map(len, shown.splitlines())) <= 80
    assert "130 interrupted" in words(shown)


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
def test_the_page_is_sound():
    done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-b", PAGE], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "a space in them is written Ġ" in words(done.stdout.decode("utf-8"))


def test_the_page_is_installed_where_man_looks():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["setuptools"]["data-files"] == {"share/man/man1": ["docs/pyled.1"]}
    assert project["project"]["scripts"] == {"pyled": "pyled.cli:main"}
