"""3. Several documents that are read together, as PRIMERA reads them: each cut to its share of the encoder."""

from collections.abc import Callable
from dataclasses import dataclass

from ..annotations import checked_arguments
from ..errors import InputError, brief

FEWEST_OF_DOCUMENT = 3  # tokens, its <s> and </s> included, which become one <doc-sep>


@dataclass(frozen=True, init=False)
class Documents:
    """Several documents with one summary: `pyled.summarize(Documents(texts), model=PRIMERA)`.

    texts: the documents, in the order in which they are read
    """

    texts: tuple[str, ...]

    @checked_arguments
    def __init__(self, texts: list[str] | tuple[str, ...]) -> None:
        """Take the documents. Raises InputError for none, and for one that is empty."""
        if not isinstance(texts, list | tuple) or not texts:
            raise InputError(f"texts is {brief(texts)}: pass a list of at least one document")
        for i, text in enumerate(texts):
            if not isinstance(text, str) or not text.strip():
                kind = "empty" if isinstance(text, str) else f"a {type(text).__name__}"
                raise InputError(f"texts[{i}] is {kind}: pass a document, a string")
        object.__setattr__(self, "texts", tuple(texts))


Text = str | Documents


def together(
    documents: Documents, encode: Callable[[str], list[int]], separator: int, limit: int
) -> tuple[list[int], int, int, str]:
    """Return the tokens of documents as one text, how many all have, how many are cut off, and a note on that.

    Each document is cut to `limit // number of documents` tokens, `<s>` and `</s>` included, and ends in `<doc-sep>`
    in place of these; the whole stands between `<s>` and `</s>` (the preprocessing of PRIMERA, allenai/PRIMERA's card).
    One document alone has one token less than `limit`, where PRIMERA's script exceeds the encoder's positions by one.

    encode: a text to its tokens, `<s>` and `</s>` included

    >>> together(Documents(["a lamp", "tables"]), lambda text: [0, *map(ord, text), 2], separator=9, limit=10)[:3]
    ([0, 97, 32, 108, 9, 116, 97, 98, 9, 2], 16, 6)

    Raises InputError for more documents than there is room for.
    """
    count = len(documents.texts)
    share = min(limit // count, limit - 1)
    if share < FEWEST_OF_DOCUMENT:
        raise InputError(f"{count:,} documents, but there is room for {limit // FEWEST_OF_DOCUMENT:,}: pass fewer")
    ids, tokens, cut_off, begin, end = [], 2, [], 0, 0
    for i, text in enumerate(documents.texts, 1):
        begin, *inner, end = encode(text)
        ids += [*inner[: share - 2], separator]
        tokens += len(inner) + 1
        if len(inner) > share - 2:
            cut_off.append((i, len(inner) - (share - 2)))
    truncated = sum(number for _, number in cut_off)
    note = f"{count:,} document{'s are' if count > 1 else ' is'} read together, at most {share - 2:,} tokens of each"
    if cut_off:
        each = ", ".join(f"{number:,} of document {i}" for i, number in cut_off)
        note += f": {truncated:,} of {tokens:,} tokens were cut off ({each})"
    return [begin, *ids, end], tokens, truncated, note
