"""2. ROUGE-1, -2, -L and -Lsum of a text against a reference: the numbers of Google's `rouge-score`, bit for bit.

Words are runs of the letters a to z and digits, in small letters; all else separates them. So a text in another script
has none.
"""

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import NamedTuple

from .porter import stem

METRICS = ("rouge1", "rouge2", "rougeL", "rougeLsum")  # as rouge-score calls them
STEMMED = 4  # characters of a word from which on it may be stemmed

_WORD = re.compile("[a-z0-9]+")


class Score(NamedTuple):
    """precision: the part of the text that is in the reference; recall: the part of the reference that is in the text;
    fmeasure: their harmonic mean, F1.
    """

    precision: float
    recall: float
    fmeasure: float


def scores(reference: str, text: str, stemmer: bool = False) -> dict[str, Score]:
    """Each of METRICS.

    rouge1, rouge2: common words, and pairs of neighbouring words, each as often as both have it
    rougeL: the longest common subsequence of words
    rougeLsum: the same line by line: words of a line of the reference count that are in such a subsequence with any
        line of the text, but no word more often than the text has it
    """
    wanted, given = words(reference, stemmer), words(text, stemmer)
    wanted_lines, given_lines = ([words(line, stemmer) for line in one.split("\n")] for one in (reference, text))
    hits = {
        "rouge1": _common(wanted, given),
        "rouge2": _common(list(pairwise(wanted)), list(pairwise(given))),
        "rougeL": subsequence(wanted, given),
        "rougeLsum": _common_of_lines(wanted_lines, given_lines),
    }
    sizes = {name: (len(wanted), len(given)) for name in METRICS}
    sizes["rouge2"] = len(wanted) - 1, len(given) - 1  # pairs
    return {name: _score(hits[name], *sizes[name]) for name in METRICS}


def words(text: str, stemmer: bool = False) -> list[str]:
    """The words of a text, or their stems."""
    found = _WORD.findall(text.lower())
    return [stem(word) if len(word) >= STEMMED else word for word in found] if stemmer else found


def _score(hits: int, wanted: int, given: int) -> Score:
    """hits: how many of the wanted and of the given are both."""
    if hits == 0:
        return Score(0.0, 0.0, 0.0)
    precision, recall = hits / given, hits / wanted
    return Score(precision, recall, 2 * precision * recall / (precision + recall))


def _common(wanted: Sequence[Hashable], given: Sequence[Hashable]) -> int:
    return (Counter(wanted) & Counter(given)).total()


def _common_of_lines(wanted: Sequence[Sequence[str]], given: Sequence[Sequence[str]]) -> int:
    in_common: Counter[str] = Counter()
    for line in wanted:
        places = set().union(*(subsequence_places(line, other) for other in given))
        in_common.update(line[place] for place in places)
    return (in_common & Counter(word for line in given for word in line)).total()


# The longest common subsequence, by bits: a row of the table of lengths is one integer (Crochemore and others 2001).


def subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """The length of the longest common subsequence."""
    return _length(_rows(a, b)[-1], len(b))


def subsequence_places(a: Sequence[str], b: Sequence[str]) -> set[int]:
    """The places in `a` of a longest common subsequence; of several, the one that rouge-score takes."""
    rows = _rows(a, b)
    i, j, places = len(a), len(b), set()
    while i and j:
        if a[i - 1] == b[j - 1]:
            i, j = i - 1, j - 1
            places.add(i)
        elif _length(rows[i], j - 1) > _length(rows[i - 1], j):
            j -= 1
        else:
            i -= 1
    return places


def _rows(a: Sequence[str], b: Sequence[str]) -> list[int]:
    """For the first 0, 1, ... words of `a` an integer with a bit for each word of `b`: 0 where it makes the longest
    common subsequence with the words of `b` up to it longer, 1 where it does not.
    """
    places: dict[str, int] = {}
    for j, word in enumerate(b):
        places[word] = places.get(word, 0) | 1 << j
    all_ = (1 << len(b)) - 1
    rows = [all_]
    for word in a:
        row = rows[-1]
        at = row & places.get(word, 0)
        rows.append((row + at | row - at) & all_)
    return rows


def _length(row: int, count: int) -> int:
    """Of the longest common subsequence with the first `count` words."""
    return count - (row & ((1 << count) - 1)).bit_count()
