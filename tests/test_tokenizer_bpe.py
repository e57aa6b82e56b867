"""The merges: equal to the plain definition, in O(n log n), with a bounded memory, from any thread."""

import json
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, product
from pathlib import Path

import pytest
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

from pyled.tokenizer import bpe as bpe_module
from pyled.tokenizer.bpe import BPE
from pyled.tokenizer.bytelevel import (
    BYTE_OF_SYMBOL,
    SYMBOL_OF_BYTE,
    WHITE_SPACE,
    between_gaps,
    parts,
    split,
    whole_part,
)

GOLDEN = Path(__file__).parent.parent / "golden"
sys.path.insert(0, str(GOLDEN))
from train_bpe import SMALLEST_VOCABULARY, byte_symbols, train  # noqa: E402

SYMBOLS = byte_symbols()

properties = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
letters = st.text("abcé' \n", min_size=1, max_size=40)
corpora = st.lists(letters, min_size=1, max_size=6)


def tiny():
    vocab = json.loads((GOLDEN / "tiny" / "vocab.json").read_text(encoding="utf-8"))
    lines = (GOLDEN / "tiny" / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    return vocab, [tuple(line.split()) for line in lines]


def defined(word, vocab, merges):
    """The definition: merge the pair of lowest rank, its leftmost occurrence, until none is left. Quadratic."""
    rank = {pair: i for i, pair in enumerate(merges)}
    tokens = [SYMBOLS[byte] for byte in word.encode("utf-8")]
    while ranks := [(rank[pair], at) for at, pair in enumerate(pairwise(tokens)) if pair in rank]:
        _, at = min(ranks)
        tokens[at : at + 2] = [tokens[at] + tokens[at + 1]]
    return [vocab[token] for token in tokens]


def all_at_once(word, merges):
    """GPT-2's wording: every occurrence of the best pair is merged in one pass from the left."""
    rank = {pair: i for i, pair in enumerate(merges)}
    tokens = [SYMBOLS[byte] for byte in word.encode("utf-8")]
    while ranks := [rank[pair] for pair in pairwise(tokens) if pair in rank]:
        best, at, after = merges[min(ranks)], 0, []
        while at < len(tokens):
            step = 2 if tuple(tokens[at : at + 2]) == best else 1
            after.append("".join(tokens[at : at + step]))
            at += step
        tokens = after
    return tokens


@properties
@given(corpora, st.integers(0, 60), letters)
def test_merging_equals_both_definitions_on_trained_merges(texts, n_merges, word):
    vocab, merges = train(texts, SMALLEST_VOCABULARY + n_merges)
    ids = list(BPE(vocab, merges).encode_word(word))
    assert ids == defined(word, vocab, merges)
    assert ids == [vocab[token] for token in all_at_once(word, merges)]


@properties
@given(corpora, st.randoms(use_true_random=False), letters)
def test_merging_equals_the_definition_on_merges_in_any_order(texts, rng, word):
    vocab, merges = train(texts, SMALLEST_VOCABULARY + 60)
    rng.shuffle(merges)
    assert list(BPE(vocab, merges).encode_word(word)) == defined(word, vocab, merges)


@pytest.mark.parametrize("few", [0, 7])
@pytest.mark.parametrize("seed", range(12))
def test_every_short_word_merges_by_the_order_of_the_list(seed, few, monkeypatch):
    """Pairs that compete for a letter, in several orders; all words of up to 7 letters a and b; both ways to merge."""
    monkeypatch.setattr(bpe_module, "FEW", few)
    merges = [("a", "b"), ("b", "a"), ("a", "a"), ("ab", "a"), ("a", "ba"), ("ab", "ab"), ("aa", "b"), ("ba", "ab")]
    random.Random(seed).shuffle(merges)
    tokens = dict.fromkeys([*SYMBOLS.values(), *("".join(pair) for pair in merges)])
    vocab = {token: number for number, token in enumerate(tokens)}
    bpe = BPE(vocab, merges)
    for length in range(1, 8):
        for word in map("".join, product("ab", repeat=length)):
            assert list(bpe.encode_word(word)) == defined(word, vocab, merges), word


@properties
@given(corpora, st.randoms(use_true_random=False), st.text("abcé' ", max_size=2 * bpe_module.FEW))
def test_both_ways_to_merge_are_one(texts, rng, word):
    vocab, merges = train(texts, SMALLEST_VOCABULARY + 60)
    rng.shuffle(merges)
    bpe, symbols = BPE(vocab, merges), [vocab[SYMBOLS[byte]] for byte in word.encode("utf-8")]
    both = [merge(symbols, bpe._ranks, bpe._product) for merge in (bpe_module.merge_few, bpe_module.merge_many)]
    assert both == [defined(word, vocab, merges)] * 2 == [bpe.merge(symbols)] * 2
    assert symbols == [vocab[SYMBOLS[byte]] for byte in word.encode("utf-8")]  # still


@pytest.mark.parametrize("excess", [0, 1])
def test_only_few_symbols_are_looked_at_again_and_again(excess, monkeypatch):
    asked = []
    monkeypatch.setattr(bpe_module, "merge_few", lambda symbols, *_: asked.append(len(symbols)) or symbols)
    BPE(*tiny()).merge([1] * (bpe_module.FEW + excess))
    assert asked == ([] if excess else [bpe_module.FEW])


@properties
@given(corpora, letters, st.data())
def test_a_stretch_of_an_encoding_encodes_its_own_bytes(texts, word, data):
    vocab, merges = train(texts, SMALLEST_VOCABULARY + 60)
    bpe, token_of = BPE(vocab, merges), {number: token for token, number in vocab.items()}
    ids = list(bpe.encode_word(word))
    start = data.draw(st.integers(0, len(ids)))
    stretch = ids[start : data.draw(st.integers(start, len(ids)))]
    symbols = [vocab[symbol] for number in stretch for symbol in token_of[number]]
    assert bpe.merge(symbols) == stretch


@properties
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_words_joined_are_the_text_and_have_white_space_only_in_front(text):
    words = split(text)
    assert "".join(words) == text
    for word in words:
        rest = word[1:] if word.startswith(" ") else word
        assert not rest.strip(WHITE_SPACE) or not set(rest) & set(WHITE_SPACE)


SPACED = st.text("ab1.é's \n\t\r\x1c\x85\xa0\u2028\u3000", max_size=30)


@properties
@given(SPACED | st.text(" \n\ta", max_size=12))
def test_words_are_those_of_the_parts(text):
    """Cut at gaps, and between them at spaces and newlines, each part is split by itself."""
    words = []
    for i, stretch in enumerate(between_gaps(text)):
        first, *others = parts(stretch)
        assert "".join([first, *map(whole_part, others)]) == stretch
        words += [stretch] if i % 2 else split(first) + [word for part in others for word in split(whole_part(part))]
    assert words == split(text)


@pytest.mark.parametrize("n", range(1, 7))
def test_every_short_run_of_white_space_is_cut_into_its_words(n):
    bpe = BPE(*tiny())
    for spaces in map("".join, product(" \n\x1c\u3000", repeat=n)):
        for text in (spaces, f"a{spaces}", f"{spaces}a", f"a{spaces}a"):
            assert bpe.encode(text) == [number for word in split(text) for number in bpe.encode_word(word)], repr(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a  b", ["a", " ", " b"]),
        ("a\n\nb", ["a", "\n", "\n", "b"]),
        ("\tx", ["\t", "x"]),
        ("it's 'sa ’s 'S", ["it", "'s", " '", "sa", " ’", "s", " '", "S"]),
        ("we'll they'RE", ["we", "'ll", " they", "'", "RE"]),
        ("²Ⅷ٣x", ["²Ⅷ٣", "x"]),
        ("e\u0301e", ["e", "\u0301", "e"]),
        ("\x1c a", ["\x1c", " a"]),
        ("a \u3000b", ["a", " ", "\u3000", "b"]),
        ("", []),
    ],
)
def test_the_split(text, words):
    assert split(text) == words


def test_the_byte_table_is_gpt2s():
    assert dict(enumerate(SYMBOL_OF_BYTE)) == SYMBOLS
    assert {symbol: byte for byte, symbol in SYMBOLS.items()} == BYTE_OF_SYMBOL
    assert [SYMBOL_OF_BYTE[byte] for byte in b"\x00\n !~\x7f\xa0\xad\xff"] == list("ĀĊĠ!~ġłŃÿ")


@pytest.fixture(scope="module")
def runs():
    """A vocabulary with merges for long runs, so that every neighbour in a run can merge."""
    vocab, merges = train([char * length for char in "a^0 \n" for length in (64, 256)] * 2 + ["'s's"] * 4, 300)
    assert {"a" * 64, "^" * 64, "Ġ" * 32} <= vocab.keys()
    return vocab, merges


@pytest.mark.parametrize("unit", ["a", "^", "0", "'s", " ", "\n"], ids=repr)
def test_operations_on_a_run_grow_linearly(runs, unit, monkeypatch):
    """At most 3n entries enter the heap: n - 1 pairs at the start, and two more for each of at most n - 1 merges."""
    entries = []

    def heapify(heap):
        entries.append(len(heap))
        real_heapify(heap)

    def heappush(heap, entry):
        entries.append(1)
        real_heappush(heap, entry)

    real_heapify, real_heappush = bpe_module.heapify, bpe_module.heappush
    monkeypatch.setattr(bpe_module, "heapify", heapify)
    monkeypatch.setattr(bpe_module, "heappush", heappush)
    monkeypatch.setattr(bpe_module, "LONGEST_CACHED", 0)
    monkeypatch.setattr(bpe_module, "FEW", 0)  # words of two symbols count, too
    counted = {}
    for n in (25_000, 100_000):
        entries.clear()
        ids = BPE(*runs).encode(unit * n)
        assert len(ids) < n * len(unit)
        counted[n] = sum(entries)
        assert 0 < counted[n] <= 3 * n * len(unit)
    assert counted[100_000] == pytest.approx(4 * counted[25_000], rel=0.01)


def test_the_cache_is_bounded_and_changes_nothing(monkeypatch):
    monkeypatch.setattr(bpe_module, "CACHED_WORDS", 50)
    vocabulary, rng = tiny(), random.Random(0)
    bpe = BPE(*vocabulary)
    for _ in range(40):
        words = [" " + "".join(rng.choices("thedocumn", k=rng.randint(1, 40))) for _ in range(20)]
        assert bpe.encode("".join(words)) == [number for word in words for number in defined(word, *vocabulary)]
        assert 0 < len(bpe.cache) <= 50
        assert 0 < len(bpe.cache_of_parts) <= 50
        assert all(len(word) <= bpe_module.LONGEST_CACHED for word in (*bpe.cache, *bpe.cache_of_parts))


def test_the_cache_never_holds_more_than_its_bound(monkeypatch):
    monkeypatch.setattr(bpe_module, "CACHED_WORDS", 10)
    bpe = BPE(*tiny())
    for i in range(35):
        bpe.encode(chr(ord("A") + i % 26) * (1 + i // 26))
        assert 0 < len(bpe.cache) <= 10


def test_a_cached_word_is_merged_once(monkeypatch):
    bpe = BPE(*tiny())
    merged = []
    monkeypatch.setattr(bpe.cache, "_encode", lambda word: merged.append(word) or (7,))
    assert bpe.encode("long long long") == [7, 7, 7]
    assert merged == ["long", " long"]


def test_two_threads_agree_with_one(monkeypatch):
    monkeypatch.setattr(bpe_module, "CACHED_WORDS", 20)
    text = (GOLDEN / "tiny" / "text.txt").read_text(encoding="utf-8")
    shared, expected = BPE(*tiny()), BPE(*tiny()).encode(text)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(shared.encode, [text] * 8))
    assert all(result == expected for result in results)
