"""2. Summaries by simple rules that read the document only: a model is worth its time where it is better than these.

first sentence: the document's first
central sentence: the one whose words, weighted by tf-idf within the document, are most like those of all its sentences
first words: as many words from the document's beginning as references have on average

Both sentences stand there whole, and cut to that many words: which one is better depends on the texts.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

BASELINES = ("first sentence", "first sentence, cut", "central sentence", "central sentence, cut", "first words")

# Marks that end a sentence, although they may as well end an abbreviation; no space follows the wide ones.
_END = re.compile(r"([.!?…][\"'”’)\]»]*)\s+|([。！？][”’」』）]*)")
_PARAGRAPH = re.compile(r"\n\s*\n")


def baselines(document: str, words: int) -> dict[str, str]:
    """Return the text of each of BASELINES; those that are cut have at most so many words."""
    parts = sentences(document)
    first, central = parts[0], parts[central_sentence(parts)]
    texts = (first, cut(first, words), central, cut(central, words), cut(document, words))
    return dict(zip(BASELINES, texts, strict=True))


def cut(text: str, words: int) -> str:
    """Return the first words of a text; white space separates them."""
    return " ".join(text.split()[:words])


def sentences(text: str) -> list[str]:
    """Return the sentences of a text that is not blank, each in one line; a blank line ends a sentence, too."""
    marked = _END.sub(lambda end: (end[1] or end[2]) + "\n\n", text)
    lines = (" ".join(sentence.split()) for sentence in _PARAGRAPH.split(marked))
    return [line for line in lines if line]


def central_sentence(lines: Sequence[str]) -> int:
    """Return the place of the sentence with the largest mean cosine similarity to all; of equal ones the first."""
    counts = [Counter(re.findall(r"\w+", line.lower())) for line in lines]
    sentences_with = Counter(word for count in counts for word in count)
    idf = {word: math.log(1 + len(lines) / number) for word, number in sentences_with.items()}
    rows = [_unit({word: times * idf[word] for word, times in count.items()}) for count in counts]
    total: defaultdict[str, float] = defaultdict(float)
    for row in rows:
        for word, value in row.items():
            total[word] += value
    # subtle: without rounding, the last bit of a sum would choose among sentences that are alike, not their order.
    similarity = [round(sum(value * total[word] for word, value in row.items()), 12) for row in rows]
    return max(range(len(lines)), key=similarity.__getitem__)


def _unit(row: dict[str, float]) -> dict[str, float]:
    """Return the vector of length 1 in the same direction; an empty one stays empty."""
    length = math.sqrt(sum(value * value for value in row.values()))
    return {word: value / length for word, value in row.items()}
