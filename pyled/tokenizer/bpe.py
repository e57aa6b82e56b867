"""2. Words to ids: the merges of byte-level BPE.

A word starts as the ids of its bytes. As long as some neighbouring pair is in the list of merges, the pair that
stands first in the list becomes one id, its leftmost occurrence first.

>>> ids = {symbol: byte for byte, symbol in enumerate(SYMBOL_OF_BYTE)} | {"he": 256, "the": 257}
>>> bpe = BPE(ids, merges=[("h", "e"), ("t", "he")])
>>> bpe.encode("then he"), bpe.encode_word(" he"), bpe.merge([ord("t"), ord("h"), ord("e")])
([257, 110, 32, 256], (32, 256), [257])
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import chain, pairwise, zip_longest
from typing import Any

from .bytelevel import SYMBOL_OF_BYTE, between_gaps, parts, split, whole_part

CACHED_WORDS = 2**16  # what a long book needs; about 10 MB when full of English, and as much for its parts
LONGEST_CACHED = 24  # characters; longer words are rare, and one may be as long as the text
FEW = 24  # symbols; among so few the next merge is found faster by looking at all than with a heap

_NO_RANK = 1 << 60  # behind all ranks
_GONE = -1  # in the place of a symbol that was merged into the one before it; no id, so no pair with it merges
_POSITION_BITS = 40

Ranks = Mapping[tuple[int, int], int]  # the place of each pair of ids in the list of merges


def merge_few(symbols: list[int], ranks: Ranks, product: Sequence[int]) -> list[int]:
    """Merge until no pair is left to merge, looking at all pairs each time: the definition, in O(n^2).

    product: the id that the merge of each rank makes. With a, b, c = 0, 1, 2 and the merges "b c" and "a bc":

    >>> merge_few([0, 1, 2, 1], {(1, 2): 0, (0, 3): 1}, product=[3, 4])
    [4, 1]
    """
    symbols = symbols.copy()
    rank_of = [ranks.get(pair, _NO_RANK) for pair in pairwise(symbols)]  # of the pair that begins at each symbol
    while rank_of and (rank := min(rank_of)) != _NO_RANK:
        at = rank_of.index(rank)
        symbols[at] = new = product[rank]
        del symbols[at + 1], rank_of[at]
        if at > 0:
            rank_of[at - 1] = ranks.get((symbols[at - 1], new), _NO_RANK)
        if at < len(rank_of):
            rank_of[at] = ranks.get((new, symbols[at + 1]), _NO_RANK)
    return symbols


def merge_many(symbols: list[int], ranks: Ranks, product: Sequence[int]) -> list[int]:
    """Return what `merge_few` returns, in O(n log n).

    Candidates wait in a heap ordered by (rank, position). An entry is stale when the pair at its position is another
    by now; it is dropped when it comes up. Each merge adds at most two entries.

    >>> merge_many([0, 1, 2, 1], {(1, 2): 0, (0, 3): 1}, product=[3, 4])
    [4, 1]
    """
    heap = [
        rank << _POSITION_BITS | at
        for at, pair in enumerate(pairwise(symbols))
        if (rank := ranks.get(pair)) is not None
    ]
    if not heap:
        return symbols
    heapify(heap)
    n = len(symbols)
    symbols = [*symbols, _GONE]  # so that the last has a neighbour; index -1, left of the first, is the same place
    left, right = list(range(-1, n)), list(range(1, n + 2))
    while heap:
        entry = heappop(heap)
        rank, at = entry >> _POSITION_BITS, entry & (1 << _POSITION_BITS) - 1
        after = right[at]
        if ranks.get((symbols[at], symbols[after])) != rank:
            continue
        before, beyond = left[at], right[after]
        symbols[at], symbols[after] = product[rank], _GONE
        right[at], left[beyond] = beyond, at
        for start, end in ((before, at), (at, beyond)):
            new = ranks.get((symbols[start], symbols[end]))
            if new is not None:
                heappush(heap, new << _POSITION_BITS | start)
    return [symbol for symbol in symbols if symbol != _GONE]


class BPE:
    """The merges of one vocabulary, with a bounded memory of words already merged, and of parts of texts.

    ids: the tokens and their ids; merges: pairs of tokens, most urgent first. Both are taken as checked
    (`vocabulary.py`). Several threads may use one: the memory is the only thing that changes.
    """

    def __init__(self, ids: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> None:
        self._id_of_byte = [ids[symbol] for symbol in SYMBOL_OF_BYTE]
        self._ranks = {(ids[left], ids[right]): rank for rank, (left, right) in enumerate(merges)}
        self._product = [ids[left + right] for left, right in merges]
        self.cache = _Cache(self.encode_word)
        self.cache_of_parts = _Cache(self._encode_part)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text without special tokens: those of `encode_word` for every word of `split(text)`."""
        ids: list[int] = []
        stretches = between_gaps(text)
        for stretch, gap in zip_longest(stretches[::2], stretches[1::2]):
            first, *others = parts(stretch)
            ids += self._encode_words(split(first))
            ids += chain.from_iterable(map(self.cache_of_parts.__getitem__, others))
            if gap:
                ids += self.cache[gap]
        return ids

    def _encode_part(self, part: str) -> tuple[int, ...]:
        words = split(whole_part(part))
        return self.cache[words[0]] if len(words) == 1 else tuple(self._encode_words(words))

    def _encode_words(self, words: Iterable[str]) -> list[int]:
        return list(chain.from_iterable(map(self.cache.__getitem__, words)))

    def encode_word(self, word: str) -> tuple[int, ...]:
        """Return the ids of one word, without the cache."""
        return tuple(self.merge([self._id_of_byte[byte] for byte in word.encode("utf-8")]))

    def merge(self, symbols: list[int]) -> list[int]:
        """Merge the symbols of one word until no pair is left to merge."""
        merge = merge_few if len(symbols) <= FEW else merge_many
        return merge(symbols, self._ranks, self._product)


class _Cache(dict[str, tuple[int, ...]]):
    """Ids of words. A missing word is encoded, and remembered if it is short. A full cache is emptied."""

    def __init__(self, encode: Callable[[str], tuple[int, ...]]) -> None:
        super().__init__()
        self._encode = encode

    def __reduce__(self) -> tuple[Any, ...]:
        return _Cache, (self._encode,)  # a copy begins empty, whatever other threads add to this one meanwhile

    def __missing__(self, word: str) -> tuple[int, ...]:
        ids = self._encode(word)
        if len(word) <= LONGEST_CACHED:
            if len(self) >= CACHED_WORDS:
                self.clear()
            self[word] = ids
        return ids
