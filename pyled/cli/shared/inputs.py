"""What a command reads: files, the texts of directories, standard input; each alone, so that none stops another."""

import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from ...errors import InputError
from .console import Console, in_words

STDIN = "-"
TEXTS = (".txt", ".md")  # what is taken from a directory ...
MADE = ".summary"  # ... unless it is called as what we write: notes.summary.txt

# How files begin that are now and then taken for texts, and what to do about it.
_NO_TEXT = {
    b"%PDF": "is a PDF: extract its text first, with pdftotext or the like",
    b"PK\x03\x04": "is a ZIP archive, as .docx, .odt and .epub are: extract its text first",
    b"\xd0\xcf\x11\xe0": "is an old Office document: save it as plain text first",
    b"\x1f\x8b": "is compressed: unpack it first, with gunzip or the like",
    b"\xff\xfe": "is UTF-16: convert it first, with iconv -f UTF-16 -t UTF-8 or the like",
    b"\xfe\xff": "is UTF-16: convert it first, with iconv -f UTF-16 -t UTF-8 or the like",
}


def shown(name: str) -> str:
    """What an input is called in messages."""
    return "standard input" if name == STDIN else name


class Inputs:
    """The inputs of a run.

    found: all of them, texts of directories by their own names
    names: those to be read; failed: those that cannot be, as far as is known
    """

    def __init__(self, given: list[str], console: Console, *, may_be_blank: bool = False) -> None:
        """Look up what is given, and read every file once: mistakes are told before any long work.

        A pipe can be read only once, and is not yet.
        """
        self._console, self._may_be_blank = console, may_be_blank
        self.found: list[str] = []
        self.names: list[str] = []
        self.failed: list[str] = []
        for name in given:
            try:
                texts = _texts_of(name)
            except Exception as e:
                self.found.append(name)
                self.fail(name, e)
                continue
            for text in texts:
                self.found.append(text)
                try:
                    if not _is_pipe(text):
                        read_text(text, may_be_blank)
                    self.names.append(text)
                except Exception as e:
                    self.fail(text, e)

    def texts(self) -> Iterator[tuple[int, str, str]]:
        """The number, name and text of each that can be read, when its turn comes."""
        for i, name in enumerate(self.names):
            try:
                text = read_text(name, self._may_be_blank)
            except Exception as e:
                self.fail(name, e)
                continue
            yield i, name, text

    def fail(self, name: str, error: Exception) -> None:
        """Tell why an input is left out."""
        self.failed.append(name)
        self._console.error(f"{shown(name)}: {in_words(error)}")

    def report(self) -> None:
        """Say at the end how many inputs failed, where there is more than one to lose sight of."""
        if self.failed and len(self.found) > 1:
            self._console.error(f"{len(self.failed)} of {len(self.found)} inputs failed")


def read_text(name: str, may_be_blank: bool = False) -> str:
    """The text of a file, or of standard input for `-`: strict UTF-8, without its byte order mark.

    Raises InputError.
    """
    try:
        data = _read_stdin() if name == STDIN else Path(name).read_bytes()
    except (OSError, ValueError) as e:  # ValueError: a name with a NUL
        raise InputError(f"cannot be read: {getattr(e, 'strerror', None) or e}") from None
    for beginning, problem in _NO_TEXT.items():
        if data.startswith(beginning):
            raise InputError(problem)
    if b"\0" in data:
        raise InputError(f"byte {data.index(0):,} is NUL, so this is no text: extract its text first")
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as e:
        raise InputError(
            f"byte {e.start:,} is not UTF-8: convert it first, as with iconv -f LATIN1 -t UTF-8 if it is Latin-1"
        ) from None
    if not text.strip() and not may_be_blank:
        raise InputError("the text is empty: there is nothing to summarize")
    return text


def _read_stdin() -> bytes:
    if sys.stdin is None:
        raise InputError("is closed: name a file")
    return sys.stdin.buffer.read()


def _texts_of(name: str) -> list[str]:
    """The texts that a name stands for: itself, or those in the directory of that name. Raises InputError."""
    if name == STDIN or not stat.S_ISDIR(_mode(name)):
        return [name]
    try:
        paths = sorted(Path(name).iterdir())
    except OSError as e:
        raise InputError(f"cannot be read: {e.strerror}") from None
    texts = [str(path) for path in paths if _is_text(path)]
    if not texts:
        raise InputError(f"holds no text: its {' and '.join(TEXTS)} are read, not *{MADE}.*, and not those below it")
    return texts


def _mode(name: str) -> int:
    """What kind of file it is, as in the module stat; 0 for one that cannot be looked up."""
    try:
        return Path(name).stat().st_mode
    except (OSError, ValueError):  # ValueError: a name with a NUL
        return 0


def _is_pipe(name: str) -> bool:
    """Whether it can be read only once."""
    mode = _mode(name)
    return name == STDIN or (mode != 0 and not stat.S_ISREG(mode))


def _is_text(path: Path) -> bool:
    is_named_so = path.suffix.lower() in TEXTS and not path.name.startswith(".")
    return is_named_so and not path.stem.endswith(MADE) and (path.is_file() or path.is_symlink())


def named_or_piped(files: list[str]) -> list[str]:
    """The inputs that were named, or standard input where something is piped in. Raises InputError."""
    if "" in files:
        raise InputError("a FILE has no name: leave it out, or write . for the directory you are in")
    if files:
        return files
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("no FILE, and no text is piped in: name a file, or - to type the text here")
    return [STDIN]
