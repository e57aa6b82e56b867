"""2. Words to ids: the merges of byte-level BPE.

A word starts as the ids of its bytes. As long as some neighbouring pair is in the list of merges, the pair that
stands first in the list becomes one id, its leftmost occurrence first.
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


class BPE:
    """The merges of one vocabulary, with a bounded memory of words already merged, and of parts of texts.

    ids: the tokens and their ids; merges: pairs of tokens, most urgent first. Both are taken as checked
    (`vocabulary.py`). Safe to use from several threads: the memory is the only thing that changes.
    """

    def __init__(self, ids: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> None:
        self._id_of_byte = [ids[symbol] for symbol in SYMBOL_OF_BYTE]
        self._rank = {(ids[left], ids[right]): rank for rank, (left, right) in enumerate(merges)}
        self._product = [ids[left + right] for left, right in merges]
        self.cache = _Cache(self.encode_word)
        self.cache_of_parts = _Cache(self._encode_part)

    def encode(self, text: str) -> list[int]:
        """The ids of a text without special tokens."""
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
        """The ids of a part of a text."""
        words = split(whole_part(part))
        return self.cache[words[0]] if len(words) == 1 else tuple(self._encode_words(words))

    def _encode_words(self, words: Iterable[str]) -> list[int]:
        return list(chain.from_iterable(map(self.cache.__getitem__, words)))

    def encode_word(self, word: str) -> tuple[int, ...]:
        """The ids of one word, without the cache."""
        return tuple(self.merge([self._id_of_byte[byte] for byte in word.encode("utf-8")]))

    def merge(self, symbols: list[int]) -> list[int]:
        """Merge until no pair is left to merge, in O(n log n)."""
        return self._merge_few(symbols) if len(symbols) <= FEW else self._merge_many(symbols)

    def _merge_few(self, symbols: list[int]) -> list[int]:
        """Merge, looking at all pairs each time: O(n^2)."""
        rank_of, product = self._rank.get, self._product
        symbols = symbols.copy()
        ranks = [rank_of(pair, _NO_RANK) for pair in pairwise(symbols)]  # of the pair that begins at each symbol
        while ranks and (rank := min(ranks)) != _NO_RANK:
            at = ranks.index(rank)
            symbols[at] = new = product[rank]
            del symbols[at + 1], ranks[at]
            if at > 0:
                ranks[at - 1] = rank_of((symbols[at - 1], new), _NO_RANK)
            if at < len(ranks):
                ranks[at] = rank_of((new, symbols[at + 1]), _NO_RANK)
        return symbols

    def _merge_many(self, symbols: list[int]) -> list[int]:
        """Merge in O(n log n).

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
