"""Tokenizers from files as they are found, with tokens added and roles set: transformers 4.57.6, and pyled beside it.

python golden/tokenizer_files.py            write golden/tokenizer_files.jsonl
python golden/tokenizer_files.py --check    make it again and compare with what is stored
PYTHONPATH=. python golden/tokenizer_files.py --compare N [--seed S]
    N drawn tokenizers, live: all that they say and do is compared; then both are saved, and each is loaded by both
PYTHONPATH=. python golden/tokenizer_files.py --save DIRECTORY N
PYTHONPATH=. python golden/tokenizer_files.py --load DIRECTORY
    save N drawn tokenizers with pyled and with the version of transformers that runs this; load all that is in the
    directory with both, and compare. Save with one version, load with the other.

A line of the file is one case: files beside golden/tiny's vocab.json and merges.txt; "whole", what is changed in the
`tokenizer.json` that 4.57.6 writes for it, or null if there is none; what is done to the tokenizer, and its answers.
Its "rows" are the ids and offsets of each text, and its ids with split_special_tokens if they are others.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import transformers
from transformers import AddedToken, LEDTokenizerFast

transformers.logging.set_verbosity_error()
HERE = Path(__file__).parent
STORED = HERE / "tokenizer_files.jsonl"
TINY = HERE / "tiny"
REFERENCE = "4.57.6"

NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
CONTENT_OF = dict(zip(NAMES, ("<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"), strict=True))
CONTENTS = [
    "<doc-sep>", "<sent-sep>", "<b>", "ab", "abc", "bc", "the", "\u0120the", " the", "a b", "\u00e9", "\u65e5", "x",
    "\n", "<s", "</s>", "<mask>", "<s>", "<pad>", "<unk>", "<mask>>", "[MASK]", "e", "'s", "\U0001f600", "<doc-sep> ",
]  # fmt: skip
GLUE = [" ", "  ", "", "\n", "a", "the ", " it's ", "long document", "\u3000", "zq", "1", "."]

Spec = dict[str, Any]


def drawn_token(rng: random.Random, content: str | None = None) -> Spec | str:
    """Return a string, or the arguments of an AddedToken."""
    content = content or rng.choice(CONTENTS)
    if rng.random() < 0.4:
        return content
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return {"content": content, **{name: rng.random() < 0.5 for name in flags if rng.random() < 0.4}}


def full(token: Spec | str, typed: bool) -> Spec | str:
    """Return a token as files have it: every flag is there."""
    if isinstance(token, str):
        return token
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True}
    flags = {name: value for name, value in token.items() if name != "special"}
    return {**plain, **flags, **({"__type": "AddedToken"} if typed else {})}


def drawn_roles(rng: random.Random) -> dict[str, Spec | str]:
    names = [name for name in NAMES if rng.random() < 0.3]
    return {name: drawn_token(rng, CONTENT_OF[name] if rng.random() < 0.6 else None) for name in names}


def drawn_files(rng: random.Random) -> dict[str, Any]:
    """Return files beside the vocabulary, some of them."""
    files: dict[str, Any] = {}
    contents = rng.sample(["<doc-sep>", "<b>", "abc", "the", "a b", "<mask>>", "[MASK]", "\u65e5"], 3)
    config: dict[str, Any] = {}
    if rng.random() < 0.5:
        config |= {name: full(token, typed=True) for name, token in drawn_roles(rng).items()}
    if rng.random() < 0.3:
        config["additional_special_tokens"] = [full(drawn_token(rng), True) for _ in range(rng.randint(0, 3))]
    for name, values in {
        "model_max_length": (16384, 77, int(1e30), None),
        "max_len": (512,),
        "add_prefix_space": (True, False),
        "trim_offsets": (True, False),
        "padding_side": ("left", "right"),
        "truncation_side": ("left", "right"),
        "clean_up_tokenization_spaces": (True,),
        "split_special_tokens": (True,),
        "tokenizer_class": ("LEDTokenizer", "BartTokenizer", "RobertaTokenizer"),
        "name_or_path": ("/gone",),
        "special_tokens_map_file": ("/gone/special_tokens_map.json",),
        "errors": ("replace",),
    }.items():
        if rng.random() < 0.2:
            config[name] = rng.choice(values)
    if rng.random() < 0.2:
        listed = [*CONTENT_OF.values(), *contents]
        ids = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 599}
        tokens = [full(drawn_token(rng, content), False) for content in dict.fromkeys(listed)]
        tokens = [token if isinstance(token, dict) else full({"content": token}, False) for token in tokens]
        config["added_tokens_decoder"] = {
            str(ids.setdefault(token["content"], len(ids) + 595)): {**token, "special": rng.random() < 0.5}
            for token in tokens if isinstance(token, dict)
        }  # fmt: skip
    if config:
        files["tokenizer_config.json"] = config
    if rng.random() < 0.4:
        files["special_tokens_map.json"] = {name: full(t, typed=False) for name, t in drawn_roles(rng).items()}
        if rng.random() < 0.4:
            others = [full(drawn_token(rng), False) for _ in range(rng.randint(0, 3))]
            files["special_tokens_map.json"]["additional_special_tokens"] = others
    others = files.get("special_tokens_map.json", {}).get("additional_special_tokens")
    if rng.random() < 0.2 and not others:  # with both, 4.57.6 gives the last of `others` the last added token's flags
        files["added_tokens.json"] = {content: 600 + i for i, content in enumerate(contents)}
    return files


def drawn_changes(rng: random.Random) -> list[tuple[str, Any, Any]]:
    """Return what is done to a tokenizer: the names of methods or attributes, an argument each, and an option."""
    changes: list[tuple[str, Any, Any]] = []
    for _ in range(rng.choice([0, 1, 1, 2, 4])):
        kind = rng.randrange(6)
        tokens = [drawn_token(rng) for _ in range(rng.randint(0, 3))]
        if kind == 0:
            changes.append(("add_tokens", tokens or "ab", rng.random() < 0.4))
        elif kind == 1:
            changes.append(("add_tokens", drawn_token(rng), rng.random() < 0.4))
        elif kind == 2:
            roles = drawn_roles(rng)
            contents = [token if isinstance(token, str) else token["content"] for token in roles.values()]
            if len(set(contents)) == len(contents):  # of two AddedTokens that differ in nothing, 4.57.6 adds one only
                changes.append(("add_special_tokens", roles, True))
        elif kind == 3:
            changes.append(("add_special_tokens", {"additional_special_tokens": tokens}, rng.random() < 0.5))
        elif kind == 4:
            changes.append((rng.choice(NAMES), rng.choice([drawn_token(rng), "the", "<never>", None]), None))
        else:
            changes.append(rng.choice([("pad_token_id", 7, None), ("additional_special_tokens", tokens, None)]))
    return changes


def ordinary(rng: random.Random) -> tuple[dict[str, Any], list[tuple[str, Any, Any]]]:
    """Return files and changes on which the versions agree: texts stay between `<s>` and `</s>`; `<mask>` has flags."""
    options = {"add_prefix_space": [True], "trim_offsets": [False], "model_max_length": [16384, 77, int(1e30)]}
    options |= {"padding_side": ["left", "right"], "truncation_side": ["left", "right"]}
    config = {name: rng.choice(values) for name, values in options.items() if rng.random() < 0.4}
    config |= {"mask_token": full({"content": "<mask>", "lstrip": rng.random() < 0.7}, typed=True)}
    changes: list[tuple[str, Any, Any]] = []
    contents = [content for content in CONTENTS if content not in CONTENT_OF.values() and content != "<doc-sep> "]
    for _ in range(rng.randint(0, 4)):
        tokens = [drawn_token(rng, content) for content in rng.sample(contents, rng.randint(1, 3))]
        tokens = [t if isinstance(t, str) else {**t, "special": False} for t in tokens]
        kind = rng.randrange(4)
        if kind < 2:
            changes.append(("add_tokens", tokens, kind == 1))
        elif kind == 2:
            changes.append(("add_special_tokens", {"additional_special_tokens": tokens}, True))
        else:
            changes.append(
                ("add_special_tokens", {rng.choice(["pad_token", "bos_token", "unk_token"]): tokens[0]}, True)
            )
    return {"tokenizer_config.json": config}, changes


def as_tokens(value: Any, token_class: Any) -> Any:
    """Return a value with tokens of one library in the place of their arguments."""
    if isinstance(value, list):
        return [as_tokens(item, token_class) for item in value]
    if isinstance(value, dict) and "content" in value:
        return token_class(**value)
    return {key: as_tokens(item, token_class) for key, item in value.items()} if isinstance(value, dict) else value


def changed(tokenizer: Any, changes: list[tuple[str, Any, Any]], token_class: Any) -> list[Any]:
    """Change a tokenizer, and return what the methods return."""
    returned = []
    for name, argument, option in changes:
        if option is None:
            setattr(tokenizer, name, as_tokens(argument, token_class))
        else:
            returned.append(getattr(tokenizer, name)(as_tokens(argument, token_class), option))
    return returned


def flags(token: Any, without: str = "") -> Any:
    if isinstance(token, str):
        return token
    if isinstance(token, list):
        return [flags(item, without) for item in token]
    names = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
    return {name: getattr(token, name) for name in names if name != without}


def drawn_texts(rng: random.Random, n: int = 6) -> list[str]:
    return ["".join(rng.choice([*CONTENTS, *GLUE]) for _ in range(rng.randint(1, 12))) for _ in range(n)]


def work(tokenizer: Any, texts: list[str]) -> dict[str, Any]:
    """Return what a tokenizer does with texts."""
    encoded = [tokenizer(text, return_offsets_mapping=True, return_attention_mask=False) for text in texts]
    rows = [e["input_ids"] for e in encoded]
    return {
        "encoded": json.loads(json.dumps([dict(e) for e in encoded])),
        "plain": [tokenizer(text, split_special_tokens=True)["input_ids"] for text in texts],
        "decoded": [[tokenizer.decode(row, skip_special_tokens=skip) for skip in (False, True)] for row in rows],
        "tokens": [tokenizer.convert_ids_to_tokens(row, skip_special_tokens=True) for row in rows],
        "tokenized": [tokenizer.tokenize(text, add_special_tokens=True) for text in texts],
        "pair": tokenizer(*texts[:2])["input_ids"],
        "cut": tokenizer(texts[0], truncation=True, max_length=4)["input_ids"],
        "ids": tokenizer.convert_tokens_to_ids([*CONTENTS, "<never>"]) if tokenizer.unk_token in tokenizer.vocab else 0,
        "sizes": [tokenizer.vocab_size, len(tokenizer)],
        "vocab": sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])[-9:],
        "limit": str(tokenizer.model_max_length),
        "sides": [tokenizer.padding_side, tokenizer.truncation_side],
        "special": [tokenizer.all_special_tokens, tokenizer.unk_token in tokenizer.vocab and tokenizer.all_special_ids],
        "names": {name: getattr(tokenizer, name) for name in NAMES},
    }


def state(tokenizer: Any, texts: list[str]) -> dict[str, Any]:
    """Return what a tokenizer does, and what it says of its tokens."""
    added = {str(number): flags(token) for number, token in tokenizer.added_tokens_decoder.items()}
    numbers = {token["content"]: int(number) for number, token in added.items()}
    extended = tokenizer.special_tokens_map_extended
    known = [name for name in NAMES if getattr(tokenizer, name) in tokenizer.vocab]
    return work(tokenizer, texts) | {
        "added": added,
        "encoder": [tokenizer.added_tokens_encoder == numbers, tokenizer.get_added_vocab() == numbers],
        "map": tokenizer.special_tokens_map,
        "extended": {name: flags(token, without="special") for name, token in extended.items()},
        "every": [flags(token, without="special") for token in tokenizer.all_special_tokens_extended],
        "role ids": {name: getattr(tokenizer, f"{name}_id") for name in known},
    }


def tried(function: Any, *arguments: Any) -> Any:
    """Return what a function gives, or the error."""
    try:
        return function(*arguments)
    except Exception as e:
        return e


def different(ours: Any, theirs: Any, texts: list[str], say: Any = state) -> str | None:
    """Return how a tokenizer of pyled and one of transformers differ; None if they do not."""
    if isinstance(theirs, Exception):
        return None if type(ours).__name__ == "TokenizerError" else f"accepted; transformers: {theirs!r:.200}"
    if isinstance(ours, Exception):
        return None if "is listed with the id" in str(ours) else f"refused: {ours!r:.300}"
    expected, actual = tried(say, theirs, texts), tried(say, ours, texts)
    if isinstance(expected, RecursionError):  # an <unk> that is no token of the vocabulary
        return None
    if isinstance(actual, Exception):
        return f"failed: {actual!r:.300}"
    return "; ".join(first_difference(k, actual[k], v) for k, v in expected.items() if actual[k] != v) or None


def first_difference(name: str, actual: Any, expected: Any) -> str:
    """Return the innermost place at which two answers differ."""
    both = [dict(enumerate(value)) if isinstance(value, list) else value for value in (actual, expected)]
    if all(isinstance(value, dict) for value in both) and both[0].keys() == both[1].keys():
        key = next(key for key in both[0] if both[0][key] != both[1][key])
        return first_difference(f"{name}[{key!r}]", both[0][key], both[1][key])
    return f"{name}: {actual!r:.200} not {expected!r:.200}"


def in_directory(directory: Path, files: dict[str, Any], whole: dict[str, Any] | None) -> Path:
    directory.mkdir(parents=True)
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(TINY / name, directory)
    if whole is not None:
        LEDTokenizerFast.from_pretrained(str(TINY)).save_pretrained(str(directory / "own"), legacy_format=False)
        content = json.loads((directory / "own" / "tokenizer.json").read_text(encoding="utf-8"))
        shutil.rmtree(directory / "own")
        files = files | {"tokenizer.json": content | {key: value for key, value in whole.items() if key != "merges"}}
        if whole.get("merges") == "strings":
            content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    for name, stated in files.items():
        (directory / name).write_text(json.dumps(stated, indent=1), encoding="utf-8")
    return directory


def drawn_whole(rng: random.Random) -> dict[str, Any]:
    """Return what is changed in a tokenizer.json: tokens added, and a few other things."""
    whole: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        tokenizer = LEDTokenizerFast.from_pretrained(str(TINY))
        for _ in range(rng.randint(0, 2)):
            tokens = [as_tokens(drawn_token(rng), AddedToken) for _ in range(rng.randint(0, 3))]
            tokenizer.add_tokens(tokens, rng.random() < 0.5)
        tokenizer.save_pretrained(name, legacy_format=False)
        content = json.loads((Path(name) / "tokenizer.json").read_text(encoding="utf-8"))
    added = content["added_tokens"]
    if rng.random() < 0.2:
        known = [token for token in added if token["id"] < 600]
        added = rng.sample(known, len(known)) + added[len(known) :]
    if len(added) > 5 or added != sorted(added, key=lambda token: int(token["id"])):
        whole["added_tokens"] = added
    frame, words = content["post_processor"], content["pre_tokenizer"]
    if rng.random() < 0.5:
        whole["merges"] = "strings"
    if rng.random() < 0.2:
        whole["post_processor"] = frame | {"sep": ["<unk>", 3]}
    if rng.random() < 0.3:
        side = rng.choice(["Left", "Right"])
        whole["truncation"] = {"direction": side, "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    if rng.random() < 0.3:
        pad = {"pad_id": 1, "pad_type_id": 0, "pad_token": "<pad>", "pad_to_multiple_of": 8}
        whole["padding"] = {"strategy": {"Fixed": 9}, "direction": rng.choice(["Left", "Right"]), **pad}
    if rng.random() < 0.3:
        whole["pre_tokenizer"] = words | {"add_prefix_space": True}
        whole["post_processor"] = whole.get("post_processor", frame) | {"trim_offsets": False}
    return whole


WILD: list[dict[str, Any]] = [
    {},
    {"tokenizer_config.json": {"model_max_length": 16384}},
    {"tokenizer_config.json": {"tokenizer_class": "BartTokenizer", "model_max_length": 1024}},
    {"tokenizer_config.json": {"tokenizer_class": "RobertaTokenizer", "max_len": 512, "special_tokens_map_file": "/a"}},
    {"tokenizer_config.json": {"name_or_path": "/gone", "model_max_length": int(1e30)}},
    {
        "tokenizer_config.json": {
            "special_tokens_map_file": "/root/.cache/huggingface/transformers/0a.1b",
            "name_or_path": "allenai/led-base-16384",
            "model_max_length": 16384,
        }
    },
    {"tokenizer_config.json": {"pad_token": None, "mask_token": None, "additional_special_tokens": None}},
    {"tokenizer_config.json": {"extra_special_tokens": {}, "max_len": 512, "model_max_length": None}},
    {"special_tokens_map.json": {"mask_token": None, "additional_special_tokens": None}},
    {"special_tokens_map.json": {"foo_token": "x", "additional_special_tokens": ["<b>", "<b>", "<doc-sep>"]}},
    {"added_tokens.json": {"<doc-sep>": 601, "<b>": 600}},
    {"added_tokens.json": {}, "special_tokens_map.json": {}, "tokenizer_config.json": {}},
    {"added_tokens.json": {"<mask>": 599, "<s>": 0}},
    {"tokenizer_config.json": {"added_tokens_decoder": {"599": {"content": "<mask>", "special": True}}}},
    {"added_tokens.json": {"abc": 601, "ab": 600}, "special_tokens_map.json": {"additional_special_tokens": ["ab"]}},
    {
        "added_tokens.json": {"abc": 601, "ab": 600},
        "tokenizer_config.json": {"additional_special_tokens": [full({"content": "ab"}, typed=True)]},
    },
    {
        "tokenizer_config.json": {"additional_special_tokens": ["ab", full({"content": "x"}, typed=True)]},
        "special_tokens_map.json": {"additional_special_tokens": ["ab", "bc"]},
    },
]  # fmt: skip
_BEFORE, _AFTER = ({"SpecialToken": {"id": token, "type_id": 0}} for token in ("<s>", "</s>"))
_A, _B = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
TEMPLATE: dict[str, Any] = {
    "type": "TemplateProcessing",
    "single": [_BEFORE, _A, _AFTER],
    "pair": [_BEFORE, _A, _AFTER, _AFTER, _B, _AFTER],
    "special_tokens": {token: {"id": token, "ids": [i], "tokens": [token]} for token, i in (("<s>", 0), ("</s>", 2))},
}
AGAIN: list[list[Any]] = [  # added, and changed then: a special token keeps its round, others stand in both
    [{"content": "ab", "special": True}, {"content": "ab", "special": True, "normalized": True}, "abc"],
    [{"content": "ab", "special": True, "normalized": True}, {"content": "ab", "special": True}, "abc"],
    ["ab", {"content": "ab", "normalized": False}, "abc"],
    [{"content": "ab", "normalized": False}, {"content": "ab", "lstrip": True}, "abc"],
    ["ab", {"content": "ab", "special": True}, "ab", "abc"],
]
WILD_TEXTS = [" a <mask> b<doc-sep> x abc", "<b>'s  <s> long\u3000<mask>"]


def cases() -> Iterator[dict[str, Any]]:
    """Give the cases: what the wild has, with tokenizer.json and without; then what is drawn."""
    for files in WILD:
        yield {"files": files, "whole": None, "changes": [], "texts": WILD_TEXTS}
        yield {"files": files, "whole": {"merges": "strings"}, "changes": [], "texts": WILD_TEXTS}
    for files in ({}, {"tokenizer_config.json": {"trim_offsets": True, "add_prefix_space": True}}):
        yield {"files": files, "whole": {"post_processor": TEMPLATE}, "changes": [], "texts": WILD_TEXTS}
    for tokens in AGAIN:
        changes = [("add_tokens", token, False) for token in tokens]
        yield {"files": {}, "whole": None, "changes": changes, "texts": ["abc ab", "xabc", "<s>ab"]}
    for i in range(18):
        rng = random.Random(f"stored {i}")
        files, whole = drawn_files(rng), drawn_whole(rng) if i % 2 else None
        files = without_clash(files, whole)
        yield {"files": files, "whole": whole, "changes": drawn_changes(rng), "texts": drawn_texts(rng, n=2)}


def answered(case: dict[str, Any]) -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory() as name:
        directory = in_directory(Path(name) / "given", case["files"], case["whole"])
        tokenizer = tried(LEDTokenizerFast.from_pretrained, str(directory))
        if isinstance(tokenizer, Exception):
            return case | {"error": type(tokenizer).__name__}
        returned = changed(tokenizer, case["changes"], AddedToken)
    answer = tried(state, tokenizer, case["texts"])
    if isinstance(answer, RecursionError):  # its <unk> is no token of the vocabulary
        return None
    fields = ("decoded", "sizes", "limit", "sides", "special")
    flagged = {i: [v if k == "content" else k for k, v in token.items() if v] for i, token in answer["added"].items()}
    encoded = zip(answer["encoded"], answer["plain"], strict=True)
    rows = [[row["input_ids"], row["offset_mapping"], plain] for row, plain in encoded]
    rows = [row[:2] if row[0] == row[2] else row for row in rows]
    answer["decoded"] = [skipped for _, skipped in answer["decoded"]]
    return case | {"returned": returned, "rows": rows, "added": flagged} | {name: answer[name] for name in fields}


def lines() -> str:
    assert transformers.__version__ == REFERENCE, f"transformers {transformers.__version__}: {REFERENCE} is the truth"
    answers = [answer for case in cases() if (answer := answered(case)) is not None]
    return "".join(json.dumps(answer, separators=(",", ":")) + "\n" for answer in answers)


def pyled_too(directory: Path) -> tuple[Any, Any]:
    """Return what pyled makes of a directory, and what transformers makes of it."""
    from pyled.tokenizer import LEDTokenizer  # only here, so that the goldens do not depend on pyled

    return tried(LEDTokenizer.from_pretrained, directory), tried(LEDTokenizerFast.from_pretrained, str(directory))


def both_changed(ours: Any, theirs: Any, changes: list[tuple[str, Any, Any]]) -> tuple[Any, Any]:
    """Do the changes to a tokenizer of pyled and to one of transformers, and return what they return."""
    from pyled.tokenizer import AddedToken as OurToken

    return tried(changed, ours, changes, OurToken), tried(changed, theirs, changes, AddedToken)


def without_clash(files: dict[str, Any], whole: dict[str, Any] | None) -> dict[str, Any]:
    """Return the files without their added tokens where `tokenizer.json` gives the same ids to others."""
    if not any(token["id"] >= 600 for token in (whole or {}).get("added_tokens", [])):
        return files
    config = {k: v for k, v in files.get("tokenizer_config.json", {}).items() if k != "added_tokens_decoder"}
    return {name: content for name, content in files.items() if name != "added_tokens.json"} | {
        "tokenizer_config.json": config
    }


def drawn(rng: random.Random, is_ordinary: bool) -> dict[str, Any]:
    files, changes = ordinary(rng) if is_ordinary else (drawn_files(rng), drawn_changes(rng))
    whole = drawn_whole(rng) if not is_ordinary and rng.random() < 0.5 else None
    return {"files": without_clash(files, whole), "whole": whole, "changes": changes, "texts": drawn_texts(rng)}


def compare(n: int, seed: int) -> int:
    """Compare n drawn tokenizers, print where they differ, and return the number of differences."""
    assert transformers.__version__ == REFERENCE, f"transformers {transformers.__version__}: {REFERENCE} is the truth"
    differences = refused = 0
    for i in range(n):
        rng = random.Random(f"{seed} {i}")
        case = drawn(rng, is_ordinary=False)
        texts = case["texts"]
        with tempfile.TemporaryDirectory() as name:
            ours, theirs = pyled_too(in_directory(Path(name) / "given", case["files"], case["whole"]))
            problems = {"loaded": different(ours, theirs, texts)}
            refused += isinstance(ours, Exception)
            if problems["loaded"] is None and not isinstance(ours, Exception):
                returned, expected = both_changed(ours, theirs, case["changes"])
                problems["returned"] = None if repr(expected) == repr(returned) else f"{returned} not {expected}"
                problems["changed"] = different(ours, theirs, texts)
                legacy = rng.choice([None, None, True, False])
                loaded = []
                for who, saved in (("ours", ours), ("theirs", theirs)):
                    paths = saved.save_pretrained(str(Path(name) / who), legacy)
                    problems[f"{who} named"] = None if [Path(p).name for p in paths] == PATHS[legacy] else str(paths)
                    again = pyled_too(Path(name) / who)
                    problems[f"{who} saved"] = different(*again, texts)
                    loaded.append(again[1])
                if not any(isinstance(tokenizer, Exception) for tokenizer in loaded):
                    problems["saved alike"] = different(*loaded, texts)
        for step, difference in problems.items():
            if difference is not None:
                differences += 1
                print("DIFFERENT", i, step, difference, "\n   ", f"{json.dumps(case):.600}")
    print(f"{n} tokenizers, {refused} refused: {differences} differences")
    return differences


CONFIG = ["tokenizer_config.json", "special_tokens_map.json"]
LEGACY = ["vocab.json", "merges.txt", "added_tokens.json"]
PATHS = {
    None: [*CONFIG, *LEGACY, "tokenizer.json"],
    True: [*CONFIG, *LEGACY],
    False: [*CONFIG, "tokenizer.json"],
}


def save(directory: Path, n: int, seed: int) -> None:
    """Save n drawn tokenizers, each by pyled and by this version of transformers, with texts beside them."""
    for i in range(n):
        case = drawn(random.Random(f"{seed} {i}"), is_ordinary=True)
        with tempfile.TemporaryDirectory() as name:
            ours, theirs = pyled_too(in_directory(Path(name) / "given", case["files"], case["whole"]))
        both_changed(ours, theirs, case["changes"])
        for who, tokenizer in (("pyled", ours), (transformers.__version__, theirs)):
            place = directory / f"{who}-{i}"
            tokenizer.save_pretrained(str(place))
            (place / "case.json").write_text(json.dumps(case), encoding="utf-8")


def load(directory: Path) -> int:
    """Load what was saved with pyled and this version, compare both, and return the number of differences."""
    counts: dict[str, list[int]] = {}
    for place in sorted(directory.iterdir()):
        case = json.loads((place / "case.json").read_text(encoding="utf-8"))
        ours, theirs = pyled_too(place)
        difference = different(ours, theirs, case["texts"], work)
        count = counts.setdefault(place.name.rpartition("-")[0], [0, 0])
        count[0] += 1
        count[1] += difference is not None
        if difference is not None:
            print("DIFFERENT", place.name, difference, "\n   ", f"{json.dumps(case):.600}")
    for who, (n, differences) in counts.items():
        print(f"saved by {who}, loaded by pyled and by {transformers.__version__}: {n}, {differences} differences")
    return sum(differences for _, differences in counts.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--compare", type=int, metavar="N")
    parser.add_argument("--save", nargs=2, metavar=("DIRECTORY", "N"))
    parser.add_argument("--load", type=Path, metavar="DIRECTORY")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.save:
        save(Path(arguments.save[0]), int(arguments.save[1]), arguments.seed)
        sys.exit(0)
    if arguments.load:
        sys.exit(1 if load(arguments.load) else 0)
    if arguments.compare:
        sys.exit(1 if compare(arguments.compare, arguments.seed) else 0)
    text = lines()
    if not arguments.check:
        STORED.write_text(text, encoding="ascii", newline="")
    elif text != STORED.read_text(encoding="ascii"):
        sys.exit(f"{STORED.name} is not what transformers {REFERENCE} gives")
    print(f"{text.count(chr(10))} cases")


if __name__ == "__main__":
    main()
