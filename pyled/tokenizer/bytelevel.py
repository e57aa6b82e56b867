"""1. Text to words, and bytes to symbols: what byte-level BPE does before any merge.

A vocabulary file is text, so each of the 256 bytes is written as one printable character, its symbol (GPT-2's
table): a token is a string of symbols, and its length is its number of bytes. A space is written U+0120.

>>> "".join(SYMBOL_OF_BYTE[byte] for byte in " café".encode())
'ĠcafÃ©'
"""

import re
from functools import lru_cache

import regex  # type: ignore[import-untyped]

from ..errors import InputError, TokenizerError

# Bytes that print stand for themselves; the other 68, in order, for the characters from U+0100 upward.
_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]

BYTE_OF_SYMBOL = {chr(byte): byte for byte in _PRINTABLE} | {chr(0x100 + i): byte for i, byte in enumerate(_OTHERS)}
SYMBOL_OF_BYTE = [symbol for symbol, _ in sorted(BYTE_OF_SYMBOL.items(), key=lambda item: item[1])]
SPACE = SYMBOL_OF_BYTE[0x20]

# The characters with the Unicode property White_Space, which is what \s means here.
# subtle: Python's own `re` and `str.strip` also take U+001C to U+001F.
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
WHITE_SPACE += "\u2028\u2029\u202f\u205f\u3000"

# A word takes one space before it along; of a run of white space before a word, the last character stays apart.
_WORD = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def split(text: str) -> list[str]:
    """Cut a text into its words; joined they are the text again. No merge crosses from one word to the next.

    >>> split("It's  two-fold.")
    ['It', "'s", ' ', ' two', '-', 'fold', '.']
    """
    return _WORD.findall(text)


@lru_cache(maxsize=2**16)
def bytes_of_token(token: str) -> bytes:
    """Return the bytes a token stands for. A token with a character that is no symbol (an added token) is its UTF-8.

    >>> bytes_of_token("ĠcafÃ©").decode()
    ' café'
    """
    try:
        return bytes([BYTE_OF_SYMBOL[symbol] for symbol in token])
    except KeyError:
        return token.encode("utf-8")


def check_text(text: object, name: str = "text") -> str:
    """Return `text` if it is a string that has bytes.

    Raises InputError for what is no string, TokenizerError for a string with half of a surrogate pair.

    >>> check_text("a\\ud83d", "text[5]")
    Traceback (most recent call last):
    pyled.errors.TokenizerError: text[5]: character 1 is U+D83D, half of a surrogate pair: remove it, or \
decode the text's source with errors='replace'
    """
    if not isinstance(text, str):
        raise InputError(f"{name or 'a text'} is {type(text).__name__}: pass a string, or a list of strings")
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as e:
            problem = f"character {e.start} is U+{ord(text[e.start]):04X}, half of a surrogate pair"
            remedy = "remove it, or decode the text's source with errors='replace'"
            raise TokenizerError(f"{name}{': ' * bool(name)}{problem}: {remedy}") from None
    return text


# Parts are cut ten times as fast as `split` finds words, and come again and again: bpe.py remembers their ids.

# Three and more white spaces without the last, or two and more at the end of a text: always one word.
_GAP = re.compile(f"([{WHITE_SPACE}][{WHITE_SPACE}]+(?:\\Z|(?=[{WHITE_SPACE}])))")


def between_gaps(text: str) -> list[str]:
    """Cut a text into stretches, which joined are the text. Every second one is a long white space, and one word.

    >>> between_gaps("one two    three")
    ['one two', '   ', ' three']
    """
    return _GAP.split(text)


def parts(stretch: str) -> list[str]:
    """Cut a stretch before every space and newline, where a word always ends.

    The first part is as it stands in the stretch; the space before each of the others is left out (`whole_part`).

    >>> parts("it's one\\nline")
    ["it's", 'one', '\\nline']
    """
    return stretch.replace("\n", " \n").split(" ")


def whole_part(part: str) -> str:
    """Return a part that is not the first as it stands in the text: with the space before it, if it was cut at one.

    >>> [whole_part(part) for part in ("one", "\\nline")]
    [' one', '\\nline']
    """
    return part if part.startswith("\n") else f" {part}"
