"""Train a byte-level BPE: python golden/train_bpe.py TEXT VOCAB_SIZE DIRECTORY [--check]

Writes DIRECTORY/vocab.json and DIRECTORY/merges.txt; with --check it compares them with what stands there instead.
The vocabulary of the tiny models: python golden/train_bpe.py golden/tiny/text.txt 600 golden/tiny

Deterministic, and independent of pyled: the split and the byte table are written here once more.
"""

import argparse
import heapq
import itertools
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import regex

SPECIAL_FIRST = ("<s>", "<pad>", "</s>", "<unk>")  # ids 0 to 3
SPECIAL_LAST = "<mask>"
SMALLEST_VOCABULARY = len(SPECIAL_FIRST) + 256 + 1
LEAST_COUNT = 2  # a pair seen once teaches nothing

WORD = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")

Pair = tuple[str, str]


def byte_symbols() -> dict[int, str]:
    """Return GPT-2's printable character for each byte, those that stand for themselves first."""
    themselves = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in themselves]
    return {b: chr(b) for b in themselves} | {b: chr(256 + i) for i, b in enumerate(others)}


class PairCounts:
    """How often each pair of neighbouring symbols stands in the words, kept up to date while pairs are merged."""

    def __init__(self, words: Counter[str]) -> None:
        symbols = byte_symbols()
        self.words = [[symbols[byte] for byte in word.encode("utf-8")] for word in words]
        self.frequencies = list(words.values())
        self.counts: Counter[Pair] = Counter()
        self.where: defaultdict[Pair, set[int]] = defaultdict(set)  # words that hold, or once held, the pair
        for index in range(len(self.words)):
            self._count(index, sign=1)
        self.heap = [(-count, pair) for pair, count in self.counts.items()]
        heapq.heapify(self.heap)

    def _count(self, index: int, sign: int) -> set[Pair]:
        word, frequency = self.words[index], sign * self.frequencies[index]
        pairs = set()
        for pair in itertools.pairwise(word):
            self.counts[pair] += frequency
            self.where[pair].add(index)
            pairs.add(pair)
        return pairs

    def most_frequent(self, known: dict[str, int]) -> Pair | None:
        """Return the most frequent pair whose product is not known, the alphabet's first of equals; None when spent."""
        while self.heap:
            count, pair = heapq.heappop(self.heap)
            is_current = -count == self.counts[pair]
            if is_current and -count >= LEAST_COUNT and "".join(pair) not in known:
                return pair
        return None

    def merge(self, pair: Pair) -> None:
        """Replace the pair by its product in every word, from left to right."""
        changed: set[Pair] = set()
        for index in self.where.pop(pair):
            changed |= self._count(index, sign=-1)
            self.words[index] = merged(self.words[index], pair)
            changed |= self._count(index, sign=1)
        del self.counts[pair]
        changed.discard(pair)
        for other in changed:
            heapq.heappush(self.heap, (-self.counts[other], other))


def merged(word: list[str], pair: Pair) -> list[str]:
    result, at = [], 0
    while at < len(word):
        if at + 1 < len(word) and (word[at], word[at + 1]) == pair:
            result.append(word[at] + word[at + 1])
            at += 2
        else:
            result.append(word[at])
            at += 1
    return result


def train(texts: Iterable[str], vocab_size: int) -> tuple[dict[str, int], list[Pair]]:
    """Return a vocabulary of exactly `vocab_size` entries in Hugging Face's layout, and its merges in order of rank.

    `<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3, the 256 byte symbols in code point order, the products of the merges,
    `<mask>` last. Where the texts give too few merges, `<unused0>`, `<unused1>`, ... fill the vocabulary: no merge
    makes them, so no text reaches them.
    """
    if vocab_size < SMALLEST_VOCABULARY:
        raise ValueError(f"vocab_size {vocab_size}: the smallest vocabulary has {SMALLEST_VOCABULARY} entries")
    vocab = {token: i for i, token in enumerate([*SPECIAL_FIRST, *sorted(byte_symbols().values())])}
    vocab[SPECIAL_LAST] = vocab_size - 1
    pairs = PairCounts(Counter(word for text in texts for word in WORD.findall(text)))
    merges: list[Pair] = []
    while len(vocab) < vocab_size and (pair := pairs.most_frequent(vocab)):
        vocab["".join(pair)] = len(vocab) - 1
        merges.append(pair)
        pairs.merge(pair)
    unused = (f"<unused{i}>" for i in itertools.count())
    while len(vocab) < vocab_size:
        vocab.setdefault(next(unused), len(vocab) - 1)
    return dict(sorted(vocab.items(), key=lambda item: item[1])), merges


def files(vocab: dict[str, int], merges: list[Pair]) -> dict[str, str]:
    """Return the content of vocab.json and merges.txt."""
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    return {"vocab.json": json.dumps(vocab) + "\n", "merges.txt": "\n".join(lines) + "\n"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("vocab_size", type=int)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    vocab, merges = train([arguments.text.read_text(encoding="utf-8")], arguments.vocab_size)
    for name, content in files(vocab, merges).items():
        path = arguments.directory / name
        if not arguments.check:
            path.write_text(content, encoding="utf-8", newline="")
        elif path.read_bytes() != content.encode("utf-8"):
            sys.exit(f"{path} is not what training gives")
    print(f"{len(vocab)} entries, {len(merges)} merges, {sum(t.startswith('<unused') for t in vocab)} unused")


if __name__ == "__main__":
    main()
