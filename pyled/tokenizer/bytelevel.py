"""1. Text to words, and bytes to symbols: what byte-level BPE does before any merge.

A vocabulary file is text, so each of the 256 bytes is written as one printable character, its symbol (GPT-2's
table): a token is a string of symbols, and its length is its number of bytes. A space is written U+0120.
"""

import re
from collections.abc import Callable
from functools import lru_cache

import regex  # type: ignore[import-untyped]

from ..errors import InputError, TokenizerError

# Bytes that print stand for themselves; the other 68, in order, for the characters from U+0100 upward.
_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]

BYTE_OF_SYMBOL = {chr(byte): byte for byte in _PRINTABLE} | {chr(0x100 + i): byte for i, byte in enumerate(_OTHERS)}
SYMBOL_OF_BYTE = [symbol for symbol, _ in sorted(BYTE_OF_SYMBOL.items(), key=lambda item: item[1])]
SPACE = SYMBOL_OF_BYTE[0x20]

# The characters with the Unicode property White_Space, which is what \s means here. Python's own `re` and
# `str.strip` also take U+001C to U+001F.
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
WHITE_SPACE += "\u2028\u2029\u202f\u205f\u3000"

# A word takes one space before it along; of a run of white space before a word, the last character stays apart.
_WORD = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")

# Text to its words; joined they are the text again. No merge crosses from one to the next.
split: Callable[[str], list[str]] = _WORD.findall

# Three and more white spaces without the last, or two and more at the end of a text: always one word.
_GAP = re.compile(f"([{WHITE_SPACE}][{WHITE_SPACE}]+(?:\\Z|(?=[{WHITE_SPACE}])))")


def between_gaps(text: str) -> list[str]:
    """The text in stretches that are split into words by themselves; every second one, a long white space, is a word.

    Joined they are the text.
    """
    return _GAP.split(text)


def parts(stretch: str) -> list[str]:
    """A stretch between gaps in parts that are split into words by themselves, ten times as fast as words are found.

    The first is as it stands in the stretch, for each of the others see `whole_part`. A stretch is cut before every
    space and newline: where white space begins, a word ends, and of two white spaces the first is a word.
    """
    return stretch.replace("\n", " \n").split(" ")


def whole_part(part: str) -> str:
    """A part that is not the first as it stands in the text: with the space before it, where it was cut at a space."""
    return part if part.startswith("\n") else f" {part}"


LETTER = regex.compile(r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]")  # \w of the tokenizers library


def check_text(text: object, name: str = "text") -> str:
    """`text`, if it is a string that has bytes.

    Raises InputError for what is no string, TokenizerError for one with half of a surrogate pair.
    """
    if not isinstance(text, str):
        raise InputError(f"{name} is {type(text).__name__}: pass a string, or a list of strings")
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as e:
            raise TokenizerError(
                f"{name}[{e.start}] is U+{ord(text[e.start]):04X}, half of a surrogate pair, and has no bytes: "
                "remove it, or decode the text's source with errors='replace'"
            ) from None
    return text


@lru_cache(maxsize=2**16)
def bytes_of_token(token: str) -> bytes:
    """The bytes a token stands for. One with a character that is no symbol (an added token) stands for its UTF-8."""
    try:
        return bytes([BYTE_OF_SYMBOL[symbol] for symbol in token])
    except KeyError:
        return token.encode("utf-8")
