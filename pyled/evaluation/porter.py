"""1. The stem of an English word, as ROUGE counts it where it is asked to: "running" and "runs" are "run".

Porter's algorithm (1980) with the changes that NLTK makes by default (its mode NLTK_EXTENSIONS), which are those of
rouge-score: irregular words, words of four letters in "ies" and "ied", "y" behind a consonant only, "alli" before all
else in step 2, "fulli" and "logi", and an "e" behind words as "us" in steps 1b and 5a.

The measure of a word is how many times a vowel is followed by a consonant: 0 in "tree", 1 in "trouble", 2 in "private".
"""

IRREGULAR = {
    "canning": "canning",
    "cannings": "canning",
    "dying": "die",
    "exceed": "exceed",
    "howe": "howe",
    "inning": "inning",
    "innings": "inning",
    "lying": "lie",
    "news": "news",
    "outing": "outing",
    "outings": "outing",
    "proceed": "proceed",
    "skies": "sky",
    "succeed": "succeed",
    "tying": "tie",
}

# Endings and what takes their places, where what stands before has a measure above 0 (steps 2 and 3) or 1 (step 4).
# The first that fits is the only one that counts, so a longer one stands before those that it ends in.
STEP_2 = {
    "ational": "ate",
    "tional": "tion",
    "enci": "ence",
    "anci": "ance",
    "izer": "ize",
    "bli": "ble",
    "entli": "ent",
    "eli": "e",
    "ousli": "ous",
    "ization": "ize",
    "ation": "ate",
    "ator": "ate",
    "alism": "al",
    "iveness": "ive",
    "fulness": "ful",
    "ousness": "ous",
    "aliti": "al",
    "iviti": "ive",
    "biliti": "ble",
    "fulli": "ful",
}
STEP_3 = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
STEP_4 = {"al": "", "ance": "", "ence": "", "er": "", "ic": "", "able": "", "ible": "", "ant": "", "ement": ""} | {
    "ment": "", "ent": "", "ou": "", "ism": "", "ate": "", "iti": "", "ous": "", "ive": "", "ize": ""
}  # fmt: skip


def stem(word: str) -> str:
    """The stem of a word of more than three characters, small letters and digits; ROUGE leaves shorter ones alone."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    for step in (_plural, _past, _final_y, _step_2, _step_3, _step_4, _final_e, _final_ll):
        word = step(word)
    return word


# What is asked of words


def _sounds(word: str) -> str:
    """A word as `c` for each consonant, digits among them, and `v` for each vowel, y behind a consonant among them."""
    sounds = ""
    for letter in word:
        is_vowel = letter in "aeiou" or (letter == "y" and sounds.endswith("c"))
        sounds += "v" if is_vowel else "c"
    return sounds


def _measure(word: str) -> int:
    return _sounds(word).count("vc")


def _is_short(word: str) -> bool:
    """Whether it ends as "hop" does, consonant, vowel, consonant (not w, x, y), or is as "us" is."""
    sounds = _sounds(word)
    return sounds == "vc" or (sounds.endswith("cvc") and word[-1] not in "wxy")


def _ends_twice(word: str) -> bool:
    """Whether it ends with the same consonant twice."""
    return word[-1:] == word[-2:-1] and _sounds(word).endswith("c")


def _replaced(word: str, endings: dict[str, str], least: int) -> str:
    """A word with the first ending that it has replaced, if what stands before has at least that measure."""
    for ending, new in endings.items():
        if word.endswith(ending):
            before = word.removesuffix(ending)
            return before + new if _measure(before) >= least else word
    return word


# The steps


def _plural(word: str) -> str:
    """1a."""
    if word.endswith("ies"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _past(word: str) -> str:
    """1b."""
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for ending in ("ed", "ing"):
        before = word.removesuffix(ending)
        if before != word and "v" in _sounds(before):
            return _mended(before)
    return word


def _mended(word: str) -> str:
    """The word that "ed" or "ing" was put to: its end may have been changed for them."""
    if word.endswith(("at", "bl", "iz")):
        return word + "e"
    if _ends_twice(word):
        return word if word[-1] in "lsz" else word[:-1]
    return word + "e" if _measure(word) == 1 and _is_short(word) else word


def _final_y(word: str) -> str:
    """1c."""
    is_behind_consonant = len(word) > 2 and _sounds(word[:-1]).endswith("c")
    return word[:-1] + "i" if word.endswith("y") and is_behind_consonant else word


def _step_2(word: str) -> str:
    if word.endswith("alli") and _measure(word[:-4]) > 0:
        word = word[:-2]
    if word.endswith("logi"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    return _replaced(word, STEP_2, 1)


def _step_3(word: str) -> str:
    return _replaced(word, STEP_3, 1)


def _step_4(word: str) -> str:
    if word.endswith(("sion", "tion")):
        return word[:-3] if _measure(word[:-3]) > 1 else word
    return _replaced(word, STEP_4, 2)


def _final_e(word: str) -> str:
    """5a."""
    before = word.removesuffix("e")
    measure = _measure(before)
    return before if measure > 1 or (measure == 1 and not _is_short(before)) else word


def _final_ll(word: str) -> str:
    """5b."""
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word
