"""2. Words to ids: the merges of byte-level BPE.

A word starts as the ids of its bytes. As long as some neighbouring pair is in the list of merges, the pair that
stands first in the list becomes one id, its leftmost occurrence first.
"""

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import chain, pairwise
from typing import Any

from .bytelevel import SYMBOL_OF_BYTE, split

CACHED_WORDS = 2**16  # what a long book needs; about 10 MB when full of English
LONGEST_CACHED = 24  # characters; longer words are rare, and one may be as long as the text

_GONE = -1  # in the place of a symbol that was merged into the one before it; no id, so no pair with it merges
_POSITION_BITS = 40


class BPE:
    """The merges of one vocabulary, with a bounded memory of words already merged.

    ids: the tokens and their ids; merges: pairs of tokens, most urgent first. Both are taken as checked
    (`vocabulary.py`). Safe to use from several threads: the memory is the only thing that changes.
    """

    def __init__(self, ids: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> None:
        self._id_of_byte = [ids[symbol] for symbol in SYMBOL_OF_BYTE]
        self._rank = {(ids[left], ids[right]): rank for rank, (left, right) in enumerate(merges)}
        self._product = [ids[left + right] for left, right in merges]
        self.cache = _Cache(self)

    def encode(self, text: str) -> list[int]:
        """The ids of a text without special tokens."""
        return list(chain.from_iterable(map(self.cache.__getitem__, split(text))))

    def encode_word(self, word: str) -> tuple[int, ...]:
        """The ids of one word, without the cache."""
        return tuple(self.merge([self._id_of_byte[byte] for byte in word.encode("utf-8")]))

    def merge(self, symbols: list[int]) -> list[int]:
        """Merge until no pair is left to merge, in O(n log n).

        Candidates wait in a heap ordered by (rank, position). An entry is stale when the pair at its position is
        another by now; it is dropped when it comes up. Each merge adds at most two entries.
        """
        rank_of, product = self._rank, self._product
        heap = [
            rank << _POSITION_BITS | at
            for at, pair in enumerate(pairwise(symbols))
            if (rank := rank_of.get(pair)) is not None
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
            if rank_of.get((symbols[at], symbols[after])) != rank:
                continue
            before, beyond = left[at], right[after]
            symbols[at], symbols[after] = product[rank], _GONE
            right[at], left[beyond] = beyond, at
            for start, end in ((before, at), (at, beyond)):
                new = rank_of.get((symbols[start], symbols[end]))
                if new is not None:
                    heappush(heap, new << _POSITION_BITS | start)
        return [symbol for symbol in symbols if symbol != _GONE]


class _Cache(dict[str, tuple[int, ...]]):
    """Ids of words; a word that is missing is encoded, and kept if it is short. Emptied when full."""

    def __init__(self, bpe: BPE) -> None:
        super().__init__()
        self._bpe = bpe

    def __reduce__(self) -> tuple[Any, ...]:
        return _Cache, (self._bpe,)  # a copy begins empty, whatever other threads add to this one meanwhile

    def __missing__(self, word: str) -> tuple[int, ...]:
        ids = self._bpe.encode_word(word)
        if len(word) <= LONGEST_CACHED:
            if len(self) >= CACHED_WORDS:
                self.clear()
            self[word] = ids
        return ids
