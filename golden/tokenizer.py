"""What LEDTokenizerFast of transformers 4.57.6 gives for hostile texts: ids, offsets, texts.

python golden/tokenizer.py            write golden/tokenizer.jsonl
python golden/tokenizer.py --check    make it again and compare with what is stored
PYTHONPATH=. python golden/tokenizer.py --compare N [--vocabulary DIRECTORY] [--seed S]
                                      draw N texts and compare pyled with transformers, live

Each line of the file is one case; its "kind" says what was asked:
  text    one text: ids, offsets with and without trim_offsets, tokens, decoded; and again with add_prefix_space
  call    a call with the arguments given; "left" is padded and cut on the left and has add_prefix_space
  rows    a call, what each of its rows says of its tokens, and where each character and each word is found in it
  refused arguments of calls that end in an exception
  pad     arguments of `pad`, and what it gives
  special what is made of rows of ids; special_tokens_mask of a row without special tokens is the slow class's
  names   the parameters of a method, in their order
  decode  ids to text, with and without special tokens
  files   a directory with the files given beside the vocabulary: the ids of some texts, and all added tokens
"""

import argparse
import copy
import inspect
import json
import random
import shutil
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import transformers
from transformers import LEDTokenizer, LEDTokenizerFast

HERE = Path(__file__).parent
STORED = HERE / "tokenizer.jsonl"
TINY = HERE / "tiny"
REFERENCE = "4.57.6"

Case = dict[str, Any]

# Python's Unicode is 16 or older, so what has a category here is assigned in Unicode 16, where both sides agree.
ASSIGNED = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Co", "Cs")]
WHITE = list("\t\n\v\f\r \x85\xa0\u1680\u2000\u2003\u2009\u200a\u2028\u2029\u202f\u205f\u3000")
NOT_WHITE = list("\x1c\x1d\x1e\x1f\u200b\u2060\ufeff\x00\x7f\xad\u180e")
SPECIAL = ["<s>", "</s>", "<pad>", "<unk>", "<mask>"]
FRAGMENTS = [
    *SPECIAL, *SPECIAL, " <mask>", "<mask> ", "  <mask>", "<mask", "mask>", "<s<s>", "</", "<", ">", "<S>", "<MASK>",
    "<doc-sep>", "'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL", "\u2019s", "''s", "'sa", " 's", "'", "n't",
    *WHITE, *NOT_WHITE, "  ", "   ", "\n\n", "\r\n", " \n ", "\t\t", "\u3000\u3000", " \xa0 ", "     ", "a", "A",
    "the", " the", "document", " documents", "summary", "THE", "window", "long", "x", "zq", "I", "0", "1", "42", " 7",
    "1995", "3.14", "1,024", "\u00b2", "\u2167", "\u0663", "\u216b7", "\U0001d7d9", "e\u0301", "\u00e9", "\u00df",
    "\ufb01", "\u1e9e", "\u0130", "\u01c5", "\u02b0", "\u0e33", "\u0939\u093f\u0928\u094d\u0926\u0940",
    "\u65e5\u672c\u8a9e", "\u4e2d\u6587\u6587\u672c", "\ud55c\uad6d\uc5b4",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629", "\u05e2\u05d1\u05e8\u05d9\u05ea",
    "\u0440\u0443\u0441\u0441\u043a\u0438\u0439", "\u0e44\u0e17\u0e22", "\U0001f600",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u2764\ufe0f", "\U0001f1e9\U0001f1ea", "\U0001f44d\U0001f3fd",
    "1\ufe0f\u20e3", "!", "?", ".", ",", "...", "--", "_", "__init__", "#", "@", "^^", "$5", "%", "&amp;", "://", "\\",
    "\"", "`", "~", "\u20ac", "\u2014", "\u201c", "\u0120", "\u010a", "\u0100", "aaaa", "^^^^^^^", "0000000", "'s's's",
    "-----", "=====", "\ue000", "\U000e0001",
]  # fmt: skip


def hostile(rng: random.Random, most: int = 12) -> str:
    """Return a text of up to `most` fragments, or of code points of all of Unicode, or of one thing repeated."""
    shape = rng.random()
    if shape < 0.7:
        return "".join(rng.choice(FRAGMENTS) for _ in range(rng.randint(1, most)))
    if shape < 0.85:
        mixed = (ASSIGNED, ASSIGNED[:400], WHITE, FRAGMENTS)
        return "".join(rng.choice(rng.choice(mixed)) for _ in range(rng.randint(1, most)))
    return "".join(rng.choice(FRAGMENTS) * rng.randint(1, 2 * most) for _ in range(rng.randint(1, 3)))


FIXED_TEXTS = [
    "".join(f"a{white}<mask>" for white in WHITE), "".join(f"a{character}<mask>" for character in NOT_WHITE),
    "", " ", "  ", "   ", "\n", "\n\n", "\t", "a", " a", "  a", "a ", "a  ", "a  b", "a\n\nb", "\tx", " \tx", "a \n b",
    "Hello world", " Hello world", "A long document has parts.",
    "It's what they've said: we'll see, I'm sure, he'd, don't", "a</s>b", "</s>", "<s></s>", "<s> </s>", " <s> ",
    "<s<s>", "<mask", "<mask>", " <mask>", "  <mask>  ", "\u3000<mask>", "\u200b<mask>", "\x1c<mask>", "a<mask>b",
    "a <mask> b", "<mask> <mask>", "<mask>\n<mask>", "</s> <mask>", "<pad><unk>", "<doc-sep>", "a <doc-sep> b", "'sa",
    "\u2019s", "'S", "''s", "\u00b2\u2167\u0663", "e\u0301e", "\u65e5\u672c\u8a9e\u306e\u6587\u66f8",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 family", "na\u00efve caf\u00e9", "\u00a0\u00a0a", "a\u3000b",
    "a\u2028b", "\x1c\x1d a", "x" * 60, "^" * 50, "0" * 40, "'s" * 30, " " * 50, "\n" * 40, "ab" * 40,
    "a" * 33 + " " + "a" * 33, "\u0120\u0120a", "\ufeffa", "a\x00b", "1,024 of 16,384", "(a)[b]{c}",
]  # fmt: skip

PAIRS = [("A question?", "The long answer is in the document."), ("a", ""), ("", "b"), ("", ""), ("<mask>", " <mask>"),
         ("one two three", "four"), (" a </s> b", "c  "), ("\u65e5\u672c", "\U0001f600 it's")]  # fmt: skip


def calls() -> Iterator[Case]:
    """Give the arguments of calls: pairs, padding, truncation."""
    batch = ["A long document.", "", "It's a summary <mask> of it, in a few words.", "\u65e5\u672c\u8a9e"]
    every = {"return_offsets_mapping": True, "return_special_tokens_mask": True}
    for first, second in PAIRS:
        yield {"text": first, "text_pair": second, **every}
        yield {"text": first, "text_pair": second, "add_special_tokens": False, **every}
        for strategy, length in (("longest_first", 4), ("longest_first", 7), ("longest_first", 10), ("only_first", 30)):
            yield {"text": first, "text_pair": second, "truncation": strategy, "max_length": length, **every}
    yield {"text": [a for a, _ in PAIRS], "text_pair": [b for _, b in PAIRS], "padding": True, **every}
    yield {"text": [list(pair) for pair in PAIRS], "padding": "longest", "pad_to_multiple_of": 16, **every}
    question, document = PAIRS[0]
    for strategy in ("only_second", "only_first", "longest_first"):
        yield {"text": question, "text_pair": document, "truncation": strategy, "max_length": 17, **every}
    for padding in (True, "longest", "max_length", "do_not_pad"):
        for truncation in (True, "longest_first", False):
            for length in (2, 9, 26):
                yield {"text": batch, "padding": padding, "truncation": truncation, "max_length": length}
    for multiple in (1, 8):
        yield {"text": batch, "padding": True, "pad_to_multiple_of": multiple, "return_attention_mask": False}
        yield {"text": batch[2], "padding": True, "pad_to_multiple_of": multiple, "add_special_tokens": False}
    yield {"text": batch[2], "max_length": 6}
    yield {"text": batch, "truncation": True, "max_length": 0, "add_special_tokens": False}
    yield {"text": "a </s> b <mask>", "split_special_tokens": True, **every}
    yield {"text": batch[2], "padding": "max_length", "truncation": True, "max_length": 24, **every}


def row_calls() -> Iterator[tuple[str, Case]]:
    """Give calls that ask for windows, words, targets, sides; and with which tokenizer."""
    text, question, answer = "It's na\u00efve <mask> \u65e5!", "A question  ", "the long answer"
    cut = {"truncation": True, "return_overflowing_tokens": True, "return_attention_mask": False}
    for name in ("plain", "left"):
        yield name, {"text": text, "return_length": True, "return_token_type_ids": True}
        yield name, {"text": text, "padding": "max_length", "max_length": 26}
        yield name, {"text": [text, question], "padding": True, "padding_side": "left"}
        yield name, {"text": question, "text_pair": answer, "padding": "max_length", "max_length": 20}
        for length, stride in ((8, 0), (8, 1), (26, 3)):
            yield name, {"text": text, "max_length": length, "stride": stride, **cut}
        yield name, {"text": text, "max_length": 5, "stride": 2, **cut, "add_special_tokens": False}
        for strategy, length in (("only_first", 14), ("only_second", 14), ("longest_first", 8), ("longest_first", 15)):
            pair = {"text": question, "text_pair": answer, "max_length": length, "stride": 1}
            yield name, {**pair, **cut, "truncation": strategy, "padding": True}
        yield name, {"text": ["a b c d", "", "a b"], "max_length": 4, **cut, "padding": True, "return_length": True}
        yield name, {"text": "a", "text_target": "b c"}
        yield name, {"text": ["a", "b"], "text_target": ["c d", "e"], "text_pair_target": ["f", "g"], "padding": True}
        yield name, {"text_target": question, "text_pair_target": answer}
    words = {"is_split_into_words": True}
    yield "left", {"text": ["It's", "", " a", "<mask>", "long  text", "\u65e5\u672c"], **words}
    yield "left", {"text": ["a", "window"], "text_pair": ["of", "words"], **words}
    yield "left", {"text": [["a", "window"], []], "text_pair": [["of"], ["words"]], "padding": True, **words}
    yield "left", {"text": ["a", "longer", "text"], "max_length": 6, **cut, "stride": 1, **words}
    yield "left", {"text": [], **words}


REFUSED: list[Case] = [
    {}, {"text": "a", "is_split_into_words": True}, {"text": ["a"], "is_split_into_words": True},
    {"text": "a b c d", "truncation": True, "max_length": 4, "stride": 2},
    {"text": "a b c d", "truncation": True, "max_length": 5, "stride": 3, "return_overflowing_tokens": True},
    {"text": "a", "truncation": True, "max_length": 4, "stride": 3},
    {"text": "a", "truncation": True, "max_length": 4, "stride": -1},
    {"text": "a", "truncation": True, "max_length": 4, "stride": None},
    {"text": "a", "padding": True, "padding_side": "up"}, {"text": "a", "return_tensors": "xx"},
    {"text": "a", "text_pair": ["b"]}, {"text": "a", "text_target": 3},
]  # fmt: skip

PADDED: list[Case] = [
    {"padding_side": "left"}, {"padding": "max_length", "max_length": 6}, {"padding": "max_length", "max_length": 1},
    {"pad_to_multiple_of": 4, "padding_side": "right"}, {"return_attention_mask": False}, {"padding": False},
]  # fmt: skip

IDS: list[tuple[list[int], list[int] | None]] = [([], None), ([68, 2, 599], None), ([0, 300, 1], [3]), ([], [70, 71])]
METHODS = ("__call__", "encode", "encode_plus", "batch_encode_plus", "tokenize", "pad", "decode", "batch_decode")


def row_case(name: str, tokenizer: Any, arguments: Case) -> Case:
    batch = tokenizer(**arguments)
    rows = [
        {
            "tokens": batch.tokens(i),
            "word_ids": batch.word_ids(i),
            "sequence_ids": batch.sequence_ids(i),
            "chars": [[batch.char_to_token(i, c, s) for c in range(7)] for s in range(row.n_sequences)],
            "words": [[batch.word_to_tokens(i, w, s) for w in range(4)] for s in range(row.n_sequences)],
        }
        for i, row in enumerate(batch.encodings)
    ]
    return {"kind": "rows", "tokenizer": name, "arguments": arguments, "result": dict(batch), "rows": rows}


def refused_case(tokenizer: Any) -> Case:
    for arguments in REFUSED:
        try:
            tokenizer(**arguments)
        except BaseException:  # a panic of the tokenizers library is no Exception
            continue
        raise AssertionError(f"{arguments} is accepted")
    return {"kind": "refused", "arguments": REFUSED}


def pad_case(tokenizer: Any, arguments: Case) -> Case:
    inputs = {"input_ids": [[0, 68, 2], [0, 2]], "token_type_ids": [[0] * 3, [0] * 2]}
    if "padding_side" not in arguments:  # with it the mask stays on the tokenizer's side: see docs/differences.md
        inputs["global_attention_mask"] = [[1, 0, 0], [1, 0]]
    result = dict(tokenizer.pad(copy.deepcopy(inputs), **arguments))
    return {"kind": "pad", "inputs": inputs, "arguments": arguments, "result": result}


def special_case(tokenizer: Any, slow: Any, ids: list[int], pair: list[int] | None) -> Case:
    return {
        "kind": "special",
        "ids": [ids, pair],
        "row": tokenizer.build_inputs_with_special_tokens(ids, pair),
        "types": tokenizer.create_token_type_ids_from_sequences(ids, pair),
        "mask": slow.get_special_tokens_mask(ids, pair),
        "mask_of_row": tokenizer.get_special_tokens_mask(ids, already_has_special_tokens=True),
        "count": tokenizer.num_special_tokens_to_add(pair is not None),
        "text": tokenizer.convert_tokens_to_string(tokenizer.convert_ids_to_tokens(ids)),
        "batch": tokenizer.batch_encode_plus([("a", "b"), "c"], False)["input_ids"],
        "tokens": tokenizer.tokenize("a b", "c", True, padding="max_length", max_length=9),
        "encoded": tokenizer.encode("a", "b", True, "max_length", True, 9, 0, "left", "np").tolist(),
    }


def file_sets() -> Iterator[dict[str, Any]]:
    """Give files as checkpoints have them beside vocab.json and merges.txt."""

    def token(content: str, **flags: bool) -> dict[str, Any]:
        plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True}
        return {"content": content, **plain, **flags}

    typed = {"__type": "AddedToken"}
    names = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
    plain = dict(zip(names, ("<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"), strict=True))
    yield {}
    yield {"tokenizer_config.json": {"model_max_length": 16384}}
    yield {
        "tokenizer_config.json": {
            "model_max_length": int(1e30),
            "name_or_path": "/gone",
            "tokenizer_class": "LEDTokenizer",
        }
    }
    yield {"special_tokens_map.json": plain}
    yield {"special_tokens_map.json": {**plain, "mask_token": token("<mask>", lstrip=True)}}
    yield {"special_tokens_map.json": {name: token(text, lstrip=name == "mask_token") for name, text in plain.items()}}
    yield {"special_tokens_map.json": {**plain, "mask_token": token("<mask>", normalized=False)}}
    yield {"special_tokens_map.json": {**plain, "mask_token": token("<mask>", rstrip=True)}}
    yield {"special_tokens_map.json": {**plain, "mask_token": token("<mask>", single_word=True)}}
    yield {"added_tokens.json": {"<doc-sep>": 600}}
    yield {"added_tokens.json": {"<doc-sep>": 600, "<sent-sep>": 601}, "special_tokens_map.json": plain}
    yield {
        "added_tokens.json": {"<doc-sep>": 600},
        "special_tokens_map.json": {**plain, "additional_special_tokens": ["<doc-sep>"]},
    }
    yield {"special_tokens_map.json": {**plain, "additional_special_tokens": ["<doc-sep>", token("<b>", rstrip=True)]}}
    yield {
        "tokenizer_config.json": {
            name: {**typed, **token(text, lstrip=name == "mask_token")} for name, text in plain.items()
        }
    }
    yield {"tokenizer_config.json": {**plain, "add_prefix_space": True, "trim_offsets": True, "errors": "replace"}}
    yield {"tokenizer_config.json": {**plain, "trim_offsets": False, "padding_side": "left", "truncation_side": "left"}}
    decoder = {str(i): token(text, lstrip=i == 599, special=True) for i, text in
               ((0, "<s>"), (1, "<pad>"), (2, "</s>"), (3, "<unk>"), (599, "<mask>"), (600, "<doc-sep>"))}  # fmt: skip
    yield {
        "tokenizer_config.json": {**plain, "added_tokens_decoder": decoder, "additional_special_tokens": ["<doc-sep>"]}
    }
    decoder |= {"599": token("<mask>", special=True), "600": token("<doc-sep>", special=False)}
    yield {
        "tokenizer_config.json": {**plain, "added_tokens_decoder": decoder},
        "special_tokens_map.json": {"mask_token": token("<mask>", lstrip=True)},
    }
    split = {**plain, "mask_token": "[MASK]", "split_special_tokens": True}
    yield {"tokenizer_config.json": split, "added_tokens.json": {"[MASK]": 600, "<doc-sep>": 601}}
    overlapping = [
        token("ab"),
        token("abd"),
        token("abc"),
        token("bc", normalized=False),
        token("the", single_word=True),
    ]
    yield {"special_tokens_map.json": {**plain, "additional_special_tokens": overlapping}}
    yield {"tokenizer_config.json": {**plain, "clean_up_tokenization_spaces": True}}


FILE_TEXTS = [
    "a <mask> b",
    "a<doc-sep> b <doc-sep>",
    " <mask>  c",
    "it 's , a [MASK] <b>  x",
    "</s> it <sent-sep>x",
    "abd abc bcthe the, then bathe",
    "a<mask>b <mask>, \u00e9<mask>",
]


def reference(directory: Path = TINY, **options: Any) -> LEDTokenizerFast:
    assert transformers.__version__ == REFERENCE, f"transformers {transformers.__version__}: {REFERENCE} is the truth"
    return LEDTokenizerFast.from_pretrained(str(directory), **options)


def flags(token: Any) -> dict[str, Any]:
    names = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
    return {name: getattr(token, name) for name in names}


def in_directory(files: dict[str, Any], load: Callable[[Path], Any]) -> Any:
    """Return what `load` makes of a directory with the tiny vocabulary and the files given."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for part in ("vocab.json", "merges.txt"):
            shutil.copy(TINY / part, directory)
        for part, content in files.items():
            (directory / part).write_text(json.dumps(content), encoding="utf-8")
        return load(directory)


def file_case(directory: Path) -> Case:
    tokenizer = reference(directory)
    encoded = [dict(tokenizer(text, return_offsets_mapping=True, return_attention_mask=False)) for text in FILE_TEXTS]
    return {
        "texts": FILE_TEXTS,
        "encoded": encoded,
        "cut": dict(tokenizer(FILE_TEXTS[:2], padding="max_length", truncation=True, max_length=5)),
        "decoded": [tokenizer.decode(e["input_ids"], skip_special_tokens=True) for e in encoded],
        "special": [tokenizer.all_special_tokens, tokenizer.all_special_ids],
        "sizes": [tokenizer.vocab_size, len(tokenizer), str(tokenizer.model_max_length)],
        "added": {str(number): flags(token) for number, token in tokenizer.added_tokens_decoder.items()},
    }


def text_case(text: str, plain: Any, prefixed: Any, untrimmed: Any) -> Case:
    first, second, third = (t(text, return_offsets_mapping=True) for t in (plain, prefixed, untrimmed))
    return {
        "kind": "text",
        "text": text,
        "ids": first["input_ids"],
        "offsets": first["offset_mapping"],
        "untrimmed": third["offset_mapping"],
        "tokens": plain.tokenize(text),
        "decoded": [plain.decode(first["input_ids"], skip_special_tokens=skip) for skip in (False, True)],
        "prefixed": {"ids": second["input_ids"], "offsets": second["offset_mapping"]},
    }


def cases() -> Iterator[Case]:
    plain, prefixed = reference(), reference(add_prefix_space=True)
    left = reference(add_prefix_space=True, padding_side="left", truncation_side="left")
    untrimmed = reference(trim_offsets=False)
    rng = random.Random(16384)
    for text in FIXED_TEXTS + [hostile(rng, most=6) for _ in range(200)]:
        yield text_case(text, plain, prefixed, untrimmed)
    for arguments in calls():
        for name, tokenizer in (("plain", plain), ("left", left)):
            yield {"kind": "call", "tokenizer": name, "arguments": arguments, "result": dict(tokenizer(**arguments))}
    for name, arguments in row_calls():
        yield row_case(name, {"plain": plain, "left": left}[name], arguments)
    yield refused_case(plain)
    for arguments in PADDED:
        yield pad_case(plain, arguments)
    slow = LEDTokenizer.from_pretrained(str(TINY))
    for ids, pair in IDS:
        yield special_case(plain, slow, ids, pair)
    for name in METHODS:
        yield {"kind": "names", "method": name, "parameters": list(inspect.signature(getattr(plain, name)).parameters)}
    for _ in range(60):
        ids = [rng.randrange(600) for _ in range(rng.randint(0, 9))] + rng.choices([0, 1, 2, 3, 599, 600, 9999], k=3)
        rng.shuffle(ids)
        yield {
            "kind": "decode",
            "ids": ids,
            "decoded": [plain.decode(ids, skip_special_tokens=skip) for skip in (False, True)],
            "clean": plain.decode(ids, clean_up_tokenization_spaces=True),
            "tokens": plain.convert_ids_to_tokens(ids),
        }
    for files in file_sets():
        yield {"kind": "files", "files": files, **in_directory(files, file_case)}


def lines() -> str:
    return "".join(json.dumps(case, separators=(",", ":")) + "\n" for case in cases())


def compare(n: int, directory: Path, seed: int) -> int:
    """Draw n texts, ask both, print where they differ, and return the number of differences."""
    from pyled.tokenizer import LEDTokenizer  # only here, so that the goldens do not depend on pyled

    options = [
        {"add_prefix_space": prefix, "trim_offsets": trim, "padding_side": side, "truncation_side": side}
        for prefix in (False, True) for trim in (True, False) for side in ("right", "left")
    ]  # fmt: skip
    theirs = [reference(directory, **option) for option in options]
    ours = [LEDTokenizer.from_pretrained(directory, **option) for option in options]
    rng = random.Random(seed)
    differences = n_calls = 0
    for _ in range(n):
        text, arguments = hostile(rng), drawn_arguments(rng)
        which = [0, 4, rng.randrange(8)]
        for i in which:
            full = {"return_offsets_mapping": True, **(arguments if i == which[2] else {})}
            expected = answers(theirs[i], text, full)
            n_calls += 1
            if answers(ours[i], text, full) != expected:
                differences += 1
                print("DIFFERENT", options[i], json.dumps(text), full)
    print(f"{n} texts, {n_calls} calls, each with ids, offsets, tokens and decoding: {differences} differences")
    return differences


def drawn_arguments(rng: random.Random) -> dict[str, Any]:
    arguments: dict[str, Any] = {"return_special_tokens_mask": True}
    if rng.random() < 0.4:
        arguments["text_pair"] = hostile(rng)
    if rng.random() < 0.5:
        arguments |= {"truncation": True, "max_length": rng.randint(4, 24)}
    if rng.random() < 0.3:
        arguments["padding"] = "max_length" if "max_length" in arguments else True
    if rng.random() < 0.2:
        arguments["split_special_tokens"] = True
    if rng.random() < 0.2 and "max_length" not in arguments:
        arguments["add_special_tokens"] = False
    return arguments


def answers(tokenizer: Any, text: str, arguments: dict[str, Any]) -> list[Any]:
    encoded = tokenizer(text, **arguments)
    decoded = [tokenizer.decode(encoded["input_ids"], skip_special_tokens=skip) for skip in (False, True)]
    return [dict(encoded), decoded, tokenizer.tokenize(text)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--compare", type=int, metavar="N")
    parser.add_argument("--vocabulary", type=Path, default=TINY)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.compare:
        sys.exit(1 if compare(arguments.compare, arguments.vocabulary, arguments.seed) else 0)
    text = lines()
    if not arguments.check:
        STORED.write_text(text, encoding="ascii", newline="")
    elif text != STORED.read_text(encoding="ascii"):
        sys.exit(f"{STORED.name} is not what transformers {REFERENCE} gives")
    print(f"{text.count(chr(10))} cases")


if __name__ == "__main__":
    main()
