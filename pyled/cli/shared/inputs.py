"""The texts that a command reads: files, directories, standard input. One that fails stops none of the others."""

import sys
from collections.abc import Iterator
from os.path import isdir  # which raises nothing, unlike the method of Path
from pathlib import Path
from typing import Any

from ...errors import LINE_ENDS, InputError, escaped
from ...files import contents, open_file
from .console import Console
from .exit_status import FAILED, OK
from .words import in_words

STDIN = "-"
TEXTS = (".txt", ".md")  # read from a directory ...
# ... but not what pyled writes there: notes.summary.txt, say
ENDINGS = {"summarize": ".summary", "answer": ".answer", "classify": ".labels"}
LIMIT = 2**30  # bytes of an input: a thousand long books
_RULE = "its .txt and .md are read, but no results (*.summary.*, ...), and nothing in folders below it"

# How files begin that people now and then take for texts, and the remedy.
_NO_TEXT = {
    b"%PDF": "is a PDF: extract its text first, with pdftotext or the like",
    b"PK\x03\x04": "is a ZIP archive, as .docx, .odt and .epub are: extract its text first",
    b"\xd0\xcf\x11\xe0": "is an old Office document: save it as plain text first",
    b"\x1f\x8b": "is compressed: unpack it first, with gunzip or the like",
    b"\xff\xfe": "is UTF-16: convert it first, with iconv -f UTF-16 -t UTF-8 or the like",
    b"\xfe\xff": "is UTF-16: convert it first, with iconv -f UTF-16 -t UTF-8 or the like",
}


def shown(name: str) -> str:
    """Return the name of an input in messages, and in lines of results."""
    return "standard input" if name == STDIN else escaped(name, LINE_ENDS)


class Tally:
    """What fails of several things is told and counted, and stops none of the others."""

    _console: Console
    unit, total, failed = "inputs", 0, 0

    def fail(self, name: str, error: Exception) -> None:
        """Tell why one is left out."""
        self.failed += 1
        self._console.error(f"{shown(name)}: {in_words(error)}")

    def report(self) -> int:
        """Tell how many of several failed, and return the exit status."""
        if self.failed and self.total > 1:
            self._console.error(f"{self.failed:,} of {self.total:,} {self.unit} failed")
        return FAILED if self.failed else OK


class Inputs(Tally):
    """The inputs of a run.

    all: their names, texts of directories by their own
    files: the names of what is read for them
    readable: the names of those that can be read, as far as is known; failed: how many others there are
    """

    def __init__(self, arguments: list[str], console: Console, *, may_be_blank: bool = False) -> None:
        """Look up the arguments, and read every file once: mistakes are told before any long work.

        A pipe can be read only once, so it is not read yet.
        """
        self._console, self._may_be_blank = console, may_be_blank
        self.all: list[str] = []
        self.readable: list[str] = []
        self._walked: set[str] = set()  # names that directories gave, where a pipe is no text
        for argument in arguments:
            try:
                texts = self._texts_in(argument) if isdir(argument) else [argument]  # noqa: PTH112
            except InputError as e:
                self.all.append(argument)
                self.fail(argument, e)
                continue
            for name in texts:
                self.all.append(name)
                try:
                    if not _is_pipe(name) or name in self._walked:
                        read_text(name, may_be_blank, takes_pipes=False)
                    self.readable.append(name)
                except Exception as e:
                    self.fail(name, e)
        self.total, self.files = len(self.all), self.all
        self.parts: dict[str, list[str]] = {}  # of an input, for its record

    def _texts_in(self, directory: str) -> list[str]:
        """Return the texts in a directory, and tell how many other files it has. Raises InputError."""
        try:
            paths = sorted(path for path in Path(directory).iterdir() if not path.name.startswith("."))
        except OSError as e:
            raise InputError(f"cannot be read: {e.strerror}") from None
        texts = [str(path) for path in paths if _is_text(path)]
        self._walked.update(texts)
        if not texts:
            raise InputError("holds no .txt or .md (results, as *.summary.*, and subfolders are not read)")
        if len(texts) < len(paths):
            skipped = len(paths) - len(texts)
            self._console.note(f"{directory}: {skipped:,} of its {len(paths):,} entries are skipped: {_RULE}")
        return texts

    def texts(self) -> Iterator[tuple[int, str, Any]]:
        """Yield the number, name and text of each that can be read, when its turn comes."""
        for i, name in enumerate(self.readable):
            try:
                text = read_text(name, self._may_be_blank, takes_pipes=name not in self._walked)
            except Exception as e:
                self.fail(name, e)
                continue
            yield i, name, text


class Cluster(Inputs):
    """Several inputs that are read together: they are one input, named after the first argument."""

    def __init__(self, arguments: list[str], console: Console) -> None:
        """Look up the arguments, as Inputs does; without one of them nothing is summarized."""
        super().__init__(arguments, console)
        self.all, self._documents = arguments[:1], self.readable
        self.readable = [] if self.failed else self.all
        if self.failed:
            console.error(f"{self.failed:,} of {self.total:,} documents failed: nothing is summarized")
        self.total, self.parts = 1, {"documents": self.files}

    def texts(self) -> Iterator[tuple[int, str, Any]]:
        """Yield the documents as one text, a `pyled.Documents`, under the number and name of the input."""
        from ...tasks import Documents

        texts = []
        for name in self._documents:
            try:
                texts.append(read_text(name, takes_pipes=name not in self._walked))
            except Exception as e:
                self.fail(name, e)
                return
        yield 0, self.all[0], Documents(texts)


def read_text(name: str, may_be_blank: bool = False, *, takes_pipes: bool = True) -> str:
    """Return the text of a file, or of standard input for `-`, as `open(name, encoding="utf-8-sig").read()` does.

    Raises InputError.
    """
    if name == STDIN:
        data = _read_stdin()
    else:
        with open_file(Path(name), InputError, takes_pipes=takes_pipes) as file:
            data = contents(file, InputError, LIMIT)
    for beginning, problem in _NO_TEXT.items():
        if data.startswith(beginning):
            raise InputError(problem)
    if b"\0" in data:
        raise InputError(f"byte {data.index(0):,} is NUL, so this is no text: extract its text first")
    try:
        text = data.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as e:
        # subtle: Windows-1252 has every character of Latin-1, and those that Windows writes as bytes 80 to 9F.
        raise InputError(
            f"byte {e.start:,} is not UTF-8: convert it first, with iconv -f WINDOWS-1252 -t UTF-8 if it is of Windows "
            "or Latin-1"
        ) from None
    if not text.strip() and not may_be_blank:
        raise InputError("the text is empty: there is nothing to read")
    return text


def _read_stdin() -> bytes:
    if sys.stdin is None:
        raise InputError("is closed: name a file")
    return contents(sys.stdin.buffer, InputError, LIMIT)


def _is_pipe(name: str) -> bool:
    """Return True for an input that can be read only once."""
    try:
        return name == STDIN or Path(name).is_fifo()
    except OSError:  # reading tells why
        return False


def _is_text(path: Path) -> bool:
    """Say whether a directory's entry has a text's name. What is none, such as a pipe, is told when it is read."""
    is_named = path.suffix.lower() in TEXTS and not path.stem.endswith((*ENDINGS.values(),))
    return is_named and not isdir(path)  # noqa: PTH112


def named_or_piped(files: list[str]) -> list[str]:
    """Return the names of FILE arguments, or standard input where something is piped in. Raises InputError."""
    if "" in files:
        raise InputError("a FILE has no name: leave it out, or write . for the directory you are in")
    if files:
        return files
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("no FILE, and no text is piped in: name a file, or - to type the text here")
    return [STDIN]
