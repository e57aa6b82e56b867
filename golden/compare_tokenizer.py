"""Compare pyled's tokenizer with the reference on random calls: PYTHONPATH=. python golden/compare_tokenizer.py [N]

Runs where transformers 4.57.6 and pyled's dependencies are. Each trial draws a vocabulary (golden/tiny, or one of 4,000
tokens trained on the repository's own texts), the tokenizer's options and added tokens, texts, and arguments of one
call, some of them wrong on purpose; and asks `LEDTokenizerFast` and `LEDTokenizer`. Compared are all values in their
order, every row and every method of the result at random places, and whether both raise. Where pyled parts from the
reference on purpose, the trial is counted under the decision that explains it (`EXPLAINED`); all else is printed. Every
trial can be repeated alone: `--only K`.
"""

import argparse
import copy
import os
import pickle
import random
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import train_bpe
import transformers
from tokenizer import FRAGMENTS, HERE, TINY, hostile, reference
from transformers import AddedToken

import pyled
from pyled.tokenizer import AddedToken as OurAddedToken
from pyled.tokenizer import LEDTokenizer

Rng = random.Random
Arguments = dict[str, Any]

WORDS = [
    "the",
    "a",
    " window",
    "it's",
    "",
    " ",
    "  x",
    "é",
    "日本",
    "😀",
    "<mask>",
    " <mask>",
    "<doc-sep>",
    "cat",
    "[new]",
]
FLAGS = ("return_token_type_ids", "return_attention_mask", "return_overflowing_tokens", "return_special_tokens_mask",
         "return_offsets_mapping", "return_length", "split_special_tokens")  # fmt: skip
WRONG = [
    {"padding": "longst"}, {"truncation": "first"}, {"truncation": True, "max_length": -1}, {"return_tensors": "xx"},
    {"truncation": True, "max_length": 6, "stride": -1}, {"padding": True, "padding_side": "up"}, {"text_pair": 3},
    {"text": 3}, {"text": [3]}, {"text": [["a", 3]]}, {"text": ["a", "b"], "text_pair": ["c"]}, {"text": None},
    {"text": ["a", "b"], "text_pair": "c"}, {"text": "a", "text_pair": ["b"]}, {"text": ["a", None]},
    {"text": [["a", "b", "c"]]},
]  # fmt: skip
METHODS = ("token_to_sequence", "token_to_word", "token_to_chars", "char_to_token", "char_to_word", "word_to_tokens",
           "word_to_chars")  # fmt: skip
OF_ROW = ("ids", "type_ids", "tokens", "offsets", "attention_mask", "special_tokens_mask", "word_ids", "sequence_ids",
          "n_sequences")  # fmt: skip


# 1. Tokenizers of both sides


def tokenizers(directory: Path) -> list[tuple[Any, LEDTokenizer]]:
    """Return the same tokenizers of both libraries: all options, with and without added tokens."""
    flags = {"[new]": {"rstrip": True}, "cat": {"single_word": True}, "\u65e5": {"normalized": False}}
    pairs = []
    for prefix in (False, True):
        for trim in (True, False):
            for sides in (("right", "right"), ("left", "left"), ("right", "left")):
                for is_extended in (False, True):
                    options: Arguments = {
                        "add_prefix_space": prefix,
                        "trim_offsets": trim,
                        "padding_side": sides[0],
                        "truncation_side": sides[1],
                        "model_max_length": 16 if is_extended else None,
                    }
                    pair = []
                    for load, token in ((reference, AddedToken), (LEDTokenizer.from_pretrained, OurAddedToken)):
                        added = [token(text, special=text != "cat", **kwargs) for text, kwargs in flags.items()]
                        extra = {"additional_special_tokens": ["<doc-sep>", *added]} if is_extended else {}
                        pair.append(load(directory, **options, **extra))
                    pairs.append((pair[0], pair[1]))
    return pairs


def train(directory: Path) -> None:
    """Train a larger vocabulary, from what the repository has in words."""
    root = HERE.parent
    paths = [TINY / "text.txt", root / "README.md", *sorted((root / "docs").glob("*.md")), *sorted(HERE.glob("*.py"))]
    vocab, merges = train_bpe.train([path.read_text(encoding="utf-8") for path in paths], 4000)
    for name, content in train_bpe.files(vocab, merges).items():
        (directory / name).write_text(content, encoding="utf-8", newline="")


# 2. Random calls


def a_text(rng: Rng) -> str:
    if rng.random() < 0.3:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 12)))
    return hostile(rng, rng.choice([1, 4, 12])) if rng.random() < 0.97 else ""


def words(rng: Rng) -> list[str]:
    return [rng.choice([*WORDS, *FRAGMENTS]) for _ in range(rng.randint(0 if rng.random() < 0.1 else 1, 8))]


def drawn_texts(rng: Rng, is_split: bool) -> Arguments:
    """Return text and perhaps text_pair: one text, a list of them, a list of pairs."""
    draw: Callable[[Rng], Any] = words if is_split else a_text
    if rng.random() < 0.5:
        return {"text": draw(rng), **({"text_pair": draw(rng)} if rng.random() < 0.5 else {})}
    n = rng.randint(1, 4) if rng.random() < 0.97 else 0
    batch = [draw(rng) for _ in range(n)]
    if rng.random() < 0.4:
        return {"text": batch, "text_pair": [draw(rng) for _ in range(n)]}
    if rng.random() < 0.2 and not is_split:
        return {"text": [rng.choice([a_text(rng), (a_text(rng), a_text(rng))]) for _ in range(n)]}
    return {"text": tuple(batch) if rng.random() < 0.1 else batch}


def drawn_arguments(rng: Rng, is_prefixed: bool) -> Arguments:
    """Return the arguments of one call."""
    is_split = rng.random() < (0.3 if is_prefixed else 0.03)
    arguments = drawn_texts(rng, is_split)
    if is_split:
        arguments["is_split_into_words"] = True
    if rng.random() < 0.1:
        target = drawn_texts(rng, is_split)
        arguments |= {"text_target": target["text"], "text_pair_target": target.get("text_pair")}
        if rng.random() < 0.4:
            del arguments["text"]
            arguments.pop("text_pair", None)
    if rng.random() < 0.65:
        arguments["truncation"] = rng.choice([True, True, "longest_first", "only_first", "only_second", False, None])
        if rng.random() < 0.9:
            arguments["max_length"] = rng.choice([rng.randint(0, 6), rng.randint(6, 24), 16])
        if rng.random() < 0.5:
            arguments["stride"] = rng.choice([0, 1, 2, rng.randint(0, 8)])
    if rng.random() < 0.5:
        arguments["padding"] = rng.choice([True, "longest", "max_length", "do_not_pad", False])
        if rng.random() < 0.4:
            arguments["pad_to_multiple_of"] = rng.choice([1, 2, 4, 8])
        if rng.random() < 0.3:
            arguments["padding_side"] = rng.choice(["left", "right", None])
        if rng.random() < 0.1:
            arguments["max_length"] = rng.randint(0, 30)
    if rng.random() < 0.2:
        arguments["add_special_tokens"] = False
    if rng.random() < 0.15:
        arguments["return_tensors"] = "np"
    arguments |= {flag: rng.choice([True, True, False]) for flag in FLAGS if rng.random() < 0.35}
    return arguments | (rng.choice(WRONG) if rng.random() < 0.03 else {})


Question = Callable[[Any], Any]
Outcome = tuple[str, Any]  # "gives" and what, or "raises" and the exception


def drawn_call(rng: Rng, is_prefixed: bool) -> tuple[str, Arguments, Question]:
    """Return the name of a call, its arguments, and what asks a tokenizer for it."""
    arguments = drawn_arguments(rng, is_prefixed)
    name = rng.choice(["call"] * 8 + ["encode", "encode_plus", "batch_encode_plus", "tokenize", "pad", "ids", "ids"])
    if name in ("encode", "encode_plus", "tokenize"):
        for key in ("text_target", "text_pair_target"):
            arguments.pop(key, None)
        if rng.random() < 0.8 and not arguments.get("is_split_into_words"):
            arguments |= {key: a_text(rng) for key in ("text", "text_pair") if key in arguments}
        arguments.setdefault("text", a_text(rng))
        if name == "tokenize" and "text_pair" in arguments:
            arguments["pair"] = arguments.pop("text_pair")
        return name, arguments, lambda t: getattr(t, name)(**arguments)
    if name == "batch_encode_plus":
        for key in ("text_target", "text_pair_target", "text_pair"):
            arguments.pop(key, None)
        batch = arguments.pop("text", ["a"])
        if isinstance(batch, str) and rng.random() < 0.9:
            batch = [batch]
        elif arguments.get("is_split_into_words") and rng.random() < 0.9:
            batch = [words(rng) if rng.random() < 0.5 else (words(rng), words(rng)) for _ in range(rng.randint(1, 3))]
        return name, {"batch": batch, **arguments}, lambda t: t.batch_encode_plus(batch, **arguments)
    if name == "pad":
        arguments = drawn_padding(rng)
        return name, arguments, lambda t: t.pad(**copy.deepcopy(arguments))
    if name == "ids":
        ids = [rng.randrange(610) for _ in range(rng.randint(0, 8))]
        pair = [rng.randrange(610) for _ in range(rng.randint(0, 4))] if rng.random() < 0.5 else None
        return name, {"ids": ids, "pair": pair}, lambda t: of_ids(t, ids, pair)
    return name, arguments, lambda t: t(**arguments)


def drawn_padding(rng: Rng) -> Arguments:
    """Return the arguments of `pad`."""
    rows = [[rng.randrange(600) for _ in range(rng.randint(0, 9))] for _ in range(rng.randint(1, 4))]
    inputs: Arguments = {"input_ids": rows}
    for name in ("attention_mask", "token_type_ids", "special_tokens_mask", "global_attention_mask", "labels"):
        if rng.random() < 0.4:
            inputs[name] = [[rng.randrange(2) for _ in row] for row in rows]
    shape = rng.random()
    encoded: Any = inputs
    if shape < 0.3:
        encoded = {name: value[0] for name, value in inputs.items()}
    elif shape < 0.6:
        encoded = [{name: value[i] for name, value in inputs.items()} for i in range(len(rows))]
    if shape > 0.9:
        encoded = {name: [np.array(row, dtype=np.int64) for row in value] for name, value in inputs.items()}
    arguments: Arguments = {"encoded_inputs": encoded}
    if rng.random() < 0.6:
        arguments["padding"] = rng.choice([True, "longest", "max_length", False, "nothing"])
    if rng.random() < 0.5:
        arguments["max_length"] = rng.randint(0, 12)
    if rng.random() < 0.3:
        arguments["pad_to_multiple_of"] = rng.choice([1, 2, 4])
    if rng.random() < 0.3:
        arguments["padding_side"] = rng.choice(["left", "right"])
    if rng.random() < 0.3:
        arguments["return_attention_mask"] = rng.choice([True, False])
    return arguments


def of_ids(t: Any, ids: list[int], pair: list[int] | None) -> list[Any]:
    """Return what a tokenizer makes of ids."""
    tokens = [token for token in t.convert_ids_to_tokens(ids) if token is not None]
    return [
        [t.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=clean)
         for skip in (False, True) for clean in (False, True, None)],
        t.batch_decode([ids, []]), t.batch_decode(np.array([ids])), tokens, t.convert_tokens_to_string(tokens),
        t.convert_tokens_to_ids(tokens), t.build_inputs_with_special_tokens(ids, pair),
        t.create_token_type_ids_from_sequences(ids, pair),
        t.get_special_tokens_mask(ids, already_has_special_tokens=True), t.num_special_tokens_to_add(pair is not None),
        t.max_len_single_sentence, t.max_len_sentences_pair, t.clean_up_tokenization(" a . b 's n't ' x"),
    ]  # fmt: skip


# 3. What came out


def plain(value: Any) -> Any:
    """Return a result as lists and numbers, with what kind of array it was."""
    if isinstance(value, np.ndarray):
        shape = value.shape if value.dtype != object else len(value)
        return [value.dtype.kind if value.size else "", shape, [plain(row) for row in value]]
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "data") and hasattr(value, "keys"):
        return {name: plain(item) for name, item in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def outcome(ask: Callable[..., Any], *what: Any) -> Outcome:
    """Return what a question gives, or the exception it ends in."""
    try:
        return "gives", ask(*what)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as e:  # a panic of the tokenizers library is no Exception
        return "raises", e


def questions(rng: Rng, result: Any) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Give random questions that a result with rows can be asked."""
    n = len(result.encodings)
    for method in ("tokens", "word_ids", "sequence_ids"):
        yield method, (rng.randrange(-n, n + 1),)
    for method in METHODS:
        for _ in range(3):
            row, index = rng.randrange(n), rng.randrange(0, rng.choice([3, 8, 30]))
            at: tuple[int, ...] = (row, index) if rng.random() < 0.9 else (row, -1)
            yield method, (*at, rng.randrange(3)) if not method.startswith("token") and rng.random() < 0.5 else at
        yield method, (rng.randrange(0, 8),)


def differences(rng: Rng, arguments: Arguments, theirs: Outcome, ours: Outcome) -> Iterator[str]:
    """Give how two outcomes differ, in words or as the name of a decision."""
    if theirs[0] != ours[0]:
        yield explained_outcome(arguments, theirs, ours) or f"{theirs} and {ours}"
        return
    if theirs[0] == "raises":
        if not isinstance(ours[1], pyled.PyledError):
            yield f"pyled breaks with {ours[1]!r}"
        return
    first, second = plain(theirs[1]), plain(ours[1])
    if first != second or (isinstance(first, dict) and list(first) != list(second)):
        yield explained_values(arguments, first, second) or f"{first}\n  and {second}"
    if getattr(theirs[1], "encodings", None):
        copied = rng.choice([lambda e: e, copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
        yield from row_differences(rng, theirs[1], copied(ours[1]))


def row_differences(rng: Rng, theirs: Any, ours: Any) -> Iterator[str]:
    known = [theirs.n_sequences, theirs.is_fast, len(theirs.encodings)]
    if known != [ours.n_sequences, ours.is_fast, len(ours.encodings)]:
        yield "n_sequences, is_fast or the number of encodings"
        return
    for i, (first, second) in enumerate(zip(theirs.encodings, ours.encodings, strict=True)):
        for name in OF_ROW:
            if plain(getattr(first, name)) != plain(getattr(second, name)):
                is_known = name == "type_ids" and set(second.type_ids) == {0}
                yield TYPES if is_known else f"row {i}: {name} {getattr(first, name)} and {getattr(second, name)}"
    for method, at in questions(rng, theirs):
        first, second = (outcome(getattr(b, method), *at) for b in (theirs, ours))
        if first[0] != second[0] or (first[0] == "gives" and plain(first[1]) != plain(second[1])):
            is_known = second[0] == "raises" and "sequence_index" in str(second[1])
            yield SEQUENCE if is_known else f"{method}{at}: {first} and {second}"
        elif second[0] == "raises" and not isinstance(second[1], pyled.PyledError):
            yield f"{method}{at} breaks with {second[1]!r}"


# 4. Where pyled parts from the reference on purpose

TYPES = "token_type_ids of overflowing rows without special tokens: 1 there, 0 here"
SEQUENCE = "a sequence_index that the row does not have: any token there, refused here"
EXPLAINED = {
    "no texts": "an empty list of texts: IndexError there, empty lists here",
    "less than the": "max_length below the special tokens: not cut there, refused here",
    "leaves room for 0": "windows without room: the whole text as overflow there, refused here",
    "one text was expected": "encode and its kin with a list of two: a pair there, refused here",
    "global": "pad(padding_side=) leaves global_attention_mask on the tokenizer's side there",
}


def explained_outcome(arguments: Arguments, theirs: Outcome, ours: Outcome) -> str | None:
    if theirs[0] == "raises" and isinstance(theirs[1], IndexError):
        texts = [arguments[key] for key in ("text", "text_target", "batch") if key in arguments]
        return EXPLAINED["no texts"] if any(not text for text in texts) else None
    if ours[0] == "raises":
        return next((why for sign, why in EXPLAINED.items() if sign in str(ours[1])), None)
    return None


def explained_values(arguments: Arguments, theirs: Any, ours: Any) -> str | None:
    if not isinstance(theirs, dict) or list(theirs) != list(ours):
        return None
    parted = {key for key in theirs if theirs[key] != ours[key]}
    if parted == {"token_type_ids"} and not arguments.get("add_special_tokens", True):
        return TYPES
    if parted == {"global_attention_mask"} and "padding_side" in arguments:
        return EXPLAINED["global"]
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", type=int, nargs="?", default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="this trial alone")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        train(Path(name))
        pairs = tokenizers(TINY) + tokenizers(Path(name))
    counts: Counter[str] = Counter()
    wrong = 0
    for trial in range(arguments.trials) if arguments.only is None else [arguments.only]:
        rng = Rng(f"{arguments.seed} {trial}")
        theirs, ours = rng.choice(pairs)
        kind, drawn, ask = drawn_call(rng, theirs.add_prefix_space)
        answers = [outcome(ask, t) for t in (theirs, ours)]
        counts[f"{kind}: {answers[0][0]}"] += 1
        for difference in set(differences(rng, drawn, answers[0], answers[1])):
            if difference in (TYPES, SEQUENCE, *EXPLAINED.values()):
                counts[f"explained: {difference}"] += 1
            else:
                wrong += 1
                print(f"trial {trial}, {kind} {drawn}\n  of {ours.padding_side=}: {difference}")
    for what, count in sorted(counts.items()):
        print(f"{count:7d}  {what}")
    print(f"{wrong} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
