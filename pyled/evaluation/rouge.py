"""1. ROUGE-1, -2, -L and -Lsum of a text against a reference, by the package rouge-score.

It counts runs of the letters a to z and digits, in lower case, as words: a text in another script has none.
"""

import re
from collections.abc import Callable, Mapping

from ..errors import InputError

METRICS = ("rouge1", "rouge2", "rougeL", "rougeLsum")  # rouge-score's names

# Of each metric: precision, the part of the text that is in the reference; recall, the part of the reference that is in
# the text; F1, their harmonic mean.
Scores = Mapping[str, tuple[float, float, float]]
Scorer = Callable[[str, str], Scores]  # called with the reference, then the text


def scorer(stemmer: bool = False) -> Scorer:
    """Return the function that scores a text against its reference.

    stemmer: compare the stems of words, by Porter's rules

    Raises InputError where rouge-score is not installed.
    """
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as e:
        raise InputError(
            f"ROUGE needs the package rouge-score, and it cannot be imported ({e}): pip install 'pyled[evaluate]'"
        ) from None
    return RougeScorer(METRICS, use_stemmer=stemmer).score  # which has no annotations


def has_words(text: str) -> bool:
    """Return True for a text in which ROUGE counts at least one word."""
    return re.search("[a-z0-9]", text.lower()) is not None
