"""3. Summaries by simple rules, which read the document only; a model is worth its while where it is better than these.

first sentence: the document's first
central sentence: the one whose words, weighed by tf-idf within the document, are most like those of all its sentences
first words: as many words from the document's beginning as references have on average

Both sentences stand there as they are and cut to that many words: which is better depends on the texts.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

FIRST, CENTRAL, WORDS, CUT = "first sentence", "central sentence", "first words", ", cut"
BASELINES = (FIRST, FIRST + CUT, CENTRAL, CENTRAL + CUT, WORDS)

# Marks that end a sentence, although they may as well end an abbreviation; behind the wide ones stands no space.
_END = re.compile(r"([.!?…][\"'”’)\]»]*)\s+|([。！？][”’」』）]*)")
_PARAGRAPH = re.compile(r"\n\s*\n")


def baselines(document: str, count: int) -> dict[str, str]:
    """Each of BASELINES; `count`: how many words are left of what is cut."""
    found = sentences(document)
    first, central = found[0], found[central_sentence(found)]
    texts = (first, cut(first, count), central, cut(central, count), cut(document, count))
    return dict(zip(BASELINES, texts, strict=True))


def cut(text: str, count: int) -> str:
    """The first words of a text: what stands between white space."""
    return " ".join(text.split()[:count])


def sentences(text: str) -> list[str]:
    """The sentences of a text that is not blank, in a line each; a blank line ends one, too."""
    marked = _END.sub(lambda end: (end[1] or end[2]) + "\n\n", text)
    lines = (" ".join(sentence.split()) for sentence in _PARAGRAPH.split(marked))
    return [line for line in lines if line]


def central_sentence(found: Sequence[str]) -> int:
    """The place of the sentence with the largest mean cosine similarity to all; the first of several."""
    counts = [Counter(re.findall(r"\w+", sentence.lower())) for sentence in found]
    spread = Counter(word for count in counts for word in count)  # in how many sentences
    weights = {word: math.log(1 + len(found) / times) for word, times in spread.items()}
    rows = [_unit({word: times * weights[word] for word, times in count.items()}) for count in counts]
    total: defaultdict[str, float] = defaultdict(float)
    for row in rows:
        for word, value in row.items():
            total[word] += value
    # Rounded, so that of those that are alike the first is taken, and not the one whose sum was rounded up.
    likeness = [round(sum(value * total[word] for word, value in row.items()), 12) for row in rows]
    return max(range(len(found)), key=likeness.__getitem__)


def _unit(row: dict[str, float]) -> dict[str, float]:
    """A vector of length 1 in the same direction; empty for an empty one."""
    length = math.sqrt(sum(value * value for value in row.values()))
    return {word: value / length for word, value in row.items()}
