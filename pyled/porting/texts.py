"""Texts and ids of the conformance kit, for ports of the tokenizer: from plain to nasty."""

import numpy as np
from numpy.typing import NDArray

_WHITE = "\t\n\v\f\r \x85\xa0\u1680\u2003\u2028\u2029\u202f\u205f\u3000"  # Unicode's White_Space, most of it
_NOT_WHITE = "\x1c\x1f\u200b\u2060\ufeff\x00\x7f\xad\u180e"
TEXTS: dict[str, tuple[str, list[str]]] = {
    "ascii": ("ASCII: words, endings, numbers, signs, runs of spaces", [
        "", " ", "  ", "a", " a", "  a", "a ", "a  b", "a\n\nb", "\tx", " \tx", "a \n b", "Hello world",
        "A long document has parts.", "It's what they've said: we'll see, I'm sure, he'd, don't", "IT'S", "'sa", "''s",
        " 's", "end  ", "3.14 2nd 1,024 of 16,384", "C++(x) snake_case __init__ (a)[b]{c} a-b--c", "$5 #1 50% x@y.zz",
        "if (i < n) {\n    s += a[i];  // sum\n}\n", "x" * 60, "0" * 40, "^" * 50, "'s" * 30, " " * 50, "\n" * 40,
        "ab" * 40, "a\r\nb\x00c\x7f", "The quick brown fox jumps over the lazy dog. " * 8,
    ]),
    "special": ("special tokens in the text", [
        "a</s>b", "</s>", "<s></s>", "<s> </s>", " <s> ", "<s<s>", "<mask", "mask>", "<mask>", " <mask>", "  <mask>  ",
        "a<mask>b", "a <mask> b", "<mask> <mask>", "<mask>\n<mask>", "</s> <mask>", "<pad><unk>", "<S>", "<doc-sep>",
        "a <doc-sep> b", "\u3000<mask>", "\u200b<mask>", "\x1c<mask>",
    ]),
    "unicode": ("letters, digits, marks and white space of all of Unicode", [
        "naïve café", "e\u0301e cafe\u0301", "it’s “so” — €5", "ß ﬁ ẞ İ ǅ ʰ", "²Ⅷ٣ H²O Ⅻ7 𝟙",
        "日本語の文書", "中文文本。", "한국어 한국어", "русский текст",
        "\u0627\u0644\u0639\u0631\u0628\u064a\u0629", "\u05e2\u05d1\u05e8\u05d9\u05ea",
        "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0e44\u0e17\u0e22 \u0e33", "\U0001f600",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 family", "\u2764\ufe0f \U0001f1e9\U0001f1ea 1\ufe0f\u20e3",
        "\xa0\xa0a", "a\u3000b", "a\u2028b", "\x1c\x1d a", "\ufeffa", "ĠĠa Ċ Ā", "\ue000\U000e0001",
        "".join(f"a{white}b" for white in _WHITE), "".join(f"a{white}{white}" for white in _WHITE),
        "".join(f"a{other}b" for other in _NOT_WHITE),
    ]),
}  # fmt: skip
# Ids of the vocabulary in the package, back to text: bytes that are half of a character, special tokens, spaces.
IDS: list[list[int]] = [
    [], [0, 2], [0, 0, 1, 3, 2, 2], [4, 5, 6, 7], [100, 7999, 101], [*range(4, 260)], [*range(259, 3, -1)],
    [7000, 5000, 3000, 1000, 500, 300, 280, 270, 265], [*range(160, 180)], [7998] * 3,
]  # fmt: skip


def packed(parts: list[bytes] | list[list[int]], name: str) -> dict[str, NDArray[np.generic]]:
    """Return arrays of texts, or of lists of ids, one behind the other, and of their lengths.

    >>> {name: array.tolist() for name, array in packed([[5, 6], [], [7]], "ids").items()}
    {'ids': [5, 6, 7], 'ids_lengths': [2, 0, 1]}
    """
    together = [number for part in parts for number in part]
    kind = np.uint8 if parts and isinstance(parts[0], bytes) else np.int64
    return {name: np.array(together, kind), f"{name}_lengths": np.array([len(part) for part in parts], np.int64)}
