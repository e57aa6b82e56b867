"""ROUGE by rouge-score 0.1.2, and stems by NLTK's Porter stemmer, which it uses; and pyled beside both.

python golden/rouge.py            write golden/rouge.jsonl
python golden/rouge.py --check    make it again and compare with what is stored
PYTHONPATH=. python golden/rouge.py --compare N [--seed S]
    N drawn pairs of texts, live: every score, with the stemmer and without, and N drawn words with their stems

Runs where rouge-score is (and NLTK, which comes with it). The first line of the file says which they were. A line with
"words" has words with their stems. Each other line is a pair: the reference, the text, and of each metric precision,
recall and F1; "stemmed" has those with the stemmer that are others.
"""

import argparse
import json
import random
import string
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer

STORED = Path(__file__).parent / "rouge.jsonl"
REFERENCE = {"rouge-score": "0.1.2", "nltk": "3.10.4"}
METRICS = ("rouge1", "rouge2", "rougeL", "rougeLsum")

# 1. What is asked

TEXTS = [
    ("", ""),
    ("", "a lamp"),
    ("a lamp", ""),
    ("lamp", "lamp"),
    ("lamp", "harbour"),
    ("...", "!?"),
    (" \n\t ", "lamp"),
    ("\n\n", "\n"),
    ("The lamp, the lamp; the LAMP!", "the lamp"),
    ("the the the the", "the the"),
    ("a b c d e f g", "g f e d c b a"),
    ("a b a b a b", "b a b a"),
    ("lists files in 2 columns", "List the files, in two (2) columns."),
    ("version 1.20.3-4", "version 1 20 3 4"),
    ("snake_case and kebab-case", "snake case and kebab case"),
    ("it's the keeper's lamp", "its the keepers lamp"),
    ("na\u00efve caf\u00e9 \u00dcbung", "naive cafe Ubung"),
    ("na\u00efve caf\u00e9 \u00dcbung", "NA\u00cfVE CAF\u00c9 \u00fcbung"),
    ("\u0130stanbul \u212aelvin stra\u00dfe", "istanbul kelvin strasse"),
    ("\u65e5\u672c\u8a9e\u306e\u6587", "\u65e5\u672c\u8a9e\u306e\u6587"),
    ("\u0660\u0661\u0662 \uff11\uff12 \u00b2", "012 12 2"),
    ("\U0001f600 lamp \U0001f600", "lamp"),
    ("a\u00a0lamp\u2028burns\u0085here\x0b!", "a lamp burns here"),
    ("The keepers were running and flying", "a keeper runs and flies"),
    ("He was lying, dying, tying skies", "he lied, died and tied the sky"),
    ("conditional rationally relationally", "condition rational relate"),
    ("news of outings and innings", "new outing inning"),
    ("First the lamp.\nThen the harbour.", "Then the harbour.\nFirst the lamp."),
    ("a b c\nd e f\ng h", "a x c e\n\nd f g\nh b"),
    ("one two three\none two\none", "one one one two two three\nthree"),
    ("a b c d\n...\n\n e f", "e f a b\nc d"),
    ("a c b d a\nb d a c", "a b c d\nd c b a\na d"),
    ("windows line\r\nends here\r\n", "windows line ends\nhere"),
]
SUFFIXES = (
    "ational tional enci anci izer bli alli entli eli ousli ization ation ator alism iveness fulness ousness aliti "
    "iviti biliti fulli logi icate ative alize iciti ical ful ness al ance ence er ic able ible ant ement ment ent ion "
    "sion tion ou ism ate iti ous ive ize e ll ss s ies sses ied eed ed ing y ly at bl iz ated bling ized nned ssing "
    "lled zzing yed ey"
)
IRREGULAR = "skies dying lying tying news innings inning outings outing cannings canning howe proceed exceed succeed"
EASILY_WRONG = "keyed rowed boxing hopped hoping falling relativing using ties died agreed feed sing rolled controlling"
GLUE = (" ", " ", " ", " ", "  ", ", ", ". ", "\n", "\n\n", "-", "_", "'", "\u00e9", "\u2026 ", "\u3000", ".", "/")


def drawn_word(rng: random.Random) -> str:
    """A word that the rules of the stemmer are for."""
    letters = string.ascii_lowercase + "aeiouyaeiouylsty" + "1"
    word = "".join(rng.choice(letters) for _ in range(rng.randint(1, 5)))
    word += "".join(rng.choice(SUFFIXES.split()) for _ in range(rng.choice((0, 1, 1, 1, 2))))
    return word + word[-1] * (rng.random() < 0.1)


def drawn_text(rng: random.Random, vocabulary: list[str], most: int, lines: bool) -> str:
    parts = []
    for _ in range(rng.randint(0, most)):
        word = rng.choice(vocabulary)
        parts += [word.upper() if rng.random() < 0.1 else word, rng.choice(GLUE[: 7 if not lines else None])]
    return "".join(parts)


def drawn_pair(rng: random.Random, most: int) -> tuple[str, str]:
    """Two texts of some words, so that many are in both and come again."""
    roots = [drawn_word(rng) for _ in range(rng.randint(1, 6))]
    vocabulary = roots + [root + rng.choice(SUFFIXES.split()) for root in roots] + ["a", "of", "the", "7", "2000"]
    lines = rng.random() < 0.7
    reference = drawn_text(rng, vocabulary, most, lines)
    if rng.random() < 0.1:
        return reference, reference
    return reference, drawn_text(rng, vocabulary, most, lines)


# 2. The answers

SCORERS = {stemmed: RougeScorer(METRICS, use_stemmer=stemmed) for stemmed in (False, True)}


def answers(reference: str, text: str, stemmed: bool) -> dict[str, list[float]]:
    """[precision, recall, F1] of each metric."""
    found = SCORERS[stemmed].score(reference, text)
    return {name: [float(x) for x in found[name]] for name in METRICS}


def lines() -> Iterator[dict[str, Any]]:
    yield {name: version(name) for name in REFERENCE}
    rng = random.Random(1)
    asked = IRREGULAR.split() + EASILY_WRONG.split() + [drawn_word(rng) for _ in range(1200)]
    yield {"words": {word: PorterStemmer().stem(word) for word in asked if len(word) > 3}}
    for reference, text in TEXTS + [drawn_pair(rng, 14) for _ in range(250)]:
        plain, stemmed = (answers(reference, text, is_stemmed) for is_stemmed in (False, True))
        others = {name: score for name, score in stemmed.items() if score != plain[name]}
        yield {"reference": reference, "text": text, **plain, "stemmed": others}


def stored() -> str:
    return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines())


def compare(n: int, seed: int) -> int:
    """Draw n pairs and n words, ask both, and print where they differ. The number of differences."""
    from pyled.evaluation.porter import stem  # only here, so that the goldens do not depend on pyled
    from pyled.evaluation.rouge import scores

    rng = random.Random(seed)
    differences = 0
    stemmer = PorterStemmer()
    words = {word for word in (drawn_word(rng) for _ in range(n)) if len(word) > 3}
    for word in sorted(words):
        if stem(word) != stemmer.stem(word):
            differences += 1
            print("DIFFERENT", word, stem(word), stemmer.stem(word))
    for _ in range(n):
        reference, text = drawn_pair(rng, rng.choice((5, 20, 80)))
        for stemmed in (False, True):
            ours = {name: [*score] for name, score in scores(reference, text, stemmed).items()}
            if ours != answers(reference, text, stemmed):
                differences += 1
                print("DIFFERENT", json.dumps([reference, text]), stemmed)
    print(f"{n} pairs, each with the stemmer and without; {len(words)} words: {differences} differences")
    return differences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--compare", type=int, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    found = {name: version(name) for name in REFERENCE}
    if found != REFERENCE:
        sys.exit(f"this is {found}: install {REFERENCE}")
    if arguments.compare:
        sys.exit(1 if compare(arguments.compare, arguments.seed) else 0)
    made = stored()
    if not arguments.check:
        STORED.write_text(made, encoding="ascii", newline="")
    elif made != STORED.read_text(encoding="ascii"):
        sys.exit(f"{STORED.name} is not what {REFERENCE} give")
    print(f"{made.count(chr(10)) - 2} pairs")


if __name__ == "__main__":
    main()
