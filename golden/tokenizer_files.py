"""The files of a tokenizer and its added tokens: pyled beside transformers, live, on random ones.

PYTHONPATH=. python golden/tokenizer_files.py --compare N [--seed S]
    With 4.57.6: N tokenizers from random files and options, with tokens added and roles set; everything that they
    say and do is compared, then both are saved, and each is loaded again by both.
PYTHONPATH=. python golden/tokenizer_files.py --save DIRECTORY N
PYTHONPATH=. python golden/tokenizer_files.py --load DIRECTORY
    N such tokenizers saved into a directory by pyled and by the version of transformers that runs this; and all of
    them loaded by both and compared. Save with one version and load with the other.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import transformers
from transformers import AddedToken as TheirToken
from transformers import LEDTokenizerFast

from pyled.errors import PyledError
from pyled.tokenizer import AddedToken, LEDTokenizer

transformers.logging.set_verbosity_error()
HERE = Path(__file__).parent
TINY = HERE / "tiny"
IS_TRUTH = transformers.__version__ == "4.57.6"

NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
OWN = dict(zip(NAMES, ("<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"), strict=True))
CONTENTS = [
    "<doc-sep>", "<sent-sep>", "<b>", "ab", "abc", "bc", "the", "\u0120the", " the", "a b", "\u00e9", "\u65e5", "x",
    "\n", "<s", "</s>", "<mask>", "<s>", "<pad>", "<unk>", "<mask>>", "[MASK]", "e", "'s", "\U0001f600", "<doc-sep> ",
]  # fmt: skip
GLUE = [" ", "  ", "", "\n", "a", "the ", " it's ", "long document", "\u3000", "zq", "1", "."]

Spec = dict[str, Any]


def drawn_token(rng: random.Random, content: str | None = None) -> Spec | str:
    """A string, or the arguments of an AddedToken."""
    content = content or rng.choice(CONTENTS)
    if rng.random() < 0.4:
        return content
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return {"content": content, **{name: rng.random() < 0.5 for name in flags if rng.random() < 0.4}}


def full(token: Spec | str, typed: bool) -> Spec | str:
    """As files have it: every flag is there."""
    if isinstance(token, str):
        return token
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True}
    kept = {name: value for name, value in token.items() if name != "special"}
    return {**plain, **kept, **({"__type": "AddedToken"} if typed else {})}


def drawn_roles(rng: random.Random) -> dict[str, Spec | str]:
    names = [name for name in NAMES if rng.random() < 0.3]
    return {name: drawn_token(rng, OWN[name] if rng.random() < 0.6 else None) for name in names}


def drawn_files(rng: random.Random) -> dict[str, Any]:
    """Files beside the vocabulary, some of them."""
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
        listed = [*OWN.values(), *contents]
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
    """What is done to a tokenizer: the name of a method or of an attribute, what it is given, and an option."""
    changes: list[tuple[str, Any, Any]] = []
    for _ in range(rng.choice([0, 1, 1, 2, 4])):
        kind = rng.randrange(6)
        tokens = [drawn_token(rng) for _ in range(rng.randint(0, 3))]
        if kind == 0:
            changes.append(("add_tokens", tokens or "ab", rng.random() < 0.4))
        elif kind == 1:
            changes.append(("add_tokens", drawn_token(rng), rng.random() < 0.4))
        elif kind == 2:
            changes.append(("add_special_tokens", drawn_roles(rng), True))
        elif kind == 3:
            changes.append(("add_special_tokens", {"additional_special_tokens": tokens}, rng.random() < 0.5))
        elif kind == 4:
            changes.append((rng.choice(NAMES), rng.choice([drawn_token(rng), "the", "<never>", None]), None))
        else:
            changes.append(rng.choice([("pad_token_id", 7, None), ("additional_special_tokens", tokens, None)]))
    return changes


def ordinary(rng: random.Random) -> tuple[dict[str, Any], list[tuple[str, Any, Any]]]:
    """Files and changes on which the versions agree: texts stay between `<s>` and `</s>`, `<mask>` says its flags."""
    options = {"add_prefix_space": [True], "trim_offsets": [False], "model_max_length": [16384, 77, int(1e30)]}
    options |= {"padding_side": ["left", "right"], "truncation_side": ["left", "right"]}
    config = {name: rng.choice(values) for name, values in options.items() if rng.random() < 0.4}
    config |= {"mask_token": full({"content": "<mask>", "lstrip": rng.random() < 0.7}, typed=True)}
    changes: list[tuple[str, Any, Any]] = []
    contents = [content for content in CONTENTS if content not in OWN.values() and content != "<doc-sep> "]
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


def made(value: Any, token_class: Any) -> Any:
    """A value with tokens of one library in the place of their arguments."""
    if isinstance(value, list):
        return [made(item, token_class) for item in value]
    if isinstance(value, dict) and "content" in value:
        return token_class(**value)
    return {key: made(item, token_class) for key, item in value.items()} if isinstance(value, dict) else value


def changed(tokenizer: Any, changes: list[tuple[str, Any, Any]]) -> list[Any]:
    """Do it; what the methods return."""
    token_class = AddedToken if isinstance(tokenizer, LEDTokenizer) else TheirToken
    returned = []
    for name, argument, option in changes:
        if option is None:
            setattr(tokenizer, name, made(argument, token_class))
        else:
            returned.append(getattr(tokenizer, name)(made(argument, token_class), option))
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
    """What it does with texts."""
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
    """What it does, and what it says of its tokens."""
    added = {str(number): flags(token) for number, token in tokenizer.added_tokens_decoder.items()}
    extended = tokenizer.special_tokens_map_extended
    known = [name for name in NAMES if getattr(tokenizer, name) in tokenizer.vocab]
    return work(tokenizer, texts) | {
        "added": added,
        "encoder": tokenizer.added_tokens_encoder
        == tokenizer.get_added_vocab()
        == {t["content"]: int(i) for i, t in added.items()},
        "map": tokenizer.special_tokens_map,
        "extended": {name: flags(token, without="special") for name, token in extended.items()},
        "every": [flags(token, without="special") for token in tokenizer.all_special_tokens_extended],
        "role ids": {name: getattr(tokenizer, f"{name}_id") for name in known},
    }


def tried(function: Any, *arguments: Any) -> Any:
    """What it gives, or the error."""
    try:
        return function(*arguments)
    except Exception as e:
        return e


def different(ours: Any, theirs: Any, texts: list[str], say: Any = state) -> str | None:
    """How a tokenizer of pyled and one of transformers differ; None if they do not."""
    if isinstance(theirs, Exception):
        return None if isinstance(ours, PyledError) else f"accepted; transformers: {theirs!r:.200}"
    if isinstance(ours, Exception):
        return None if "is listed with the id" in str(ours) else f"refused: {ours!r:.300}"
    expected, found = tried(say, theirs, texts), tried(say, ours, texts)
    if isinstance(expected, RecursionError):  # an <unk> that is no token of the vocabulary
        return None
    if isinstance(found, Exception):
        return f"failed: {found!r:.300}"
    return "; ".join(first_difference(k, found[k], v) for k, v in expected.items() if found[k] != v) or None


def first_difference(name: str, found: Any, expected: Any) -> str:
    """The innermost place at which two answers differ."""
    both = [dict(enumerate(value)) if isinstance(value, list) else value for value in (found, expected)]
    if all(isinstance(value, dict) for value in both) and both[0].keys() == both[1].keys():
        key = next(key for key in both[0] if both[0][key] != both[1][key])
        return first_difference(f"{name}[{key!r}]", both[0][key], both[1][key])
    return f"{name}: {found!r:.200} not {expected!r:.200}"


def in_directory(directory: Path, files: dict[str, Any], whole: dict[str, Any] | None) -> Path:
    directory.mkdir(parents=True)
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(TINY / name, directory)
    for name, content in files.items():
        (directory / name).write_text(json.dumps(content), encoding="utf-8")
    if whole is not None:
        (directory / "tokenizer.json").write_text(json.dumps(whole, indent=1), encoding="utf-8")
    return directory


def drawn_whole(rng: random.Random) -> dict[str, Any]:
    """A tokenizer.json as the library writes it, with tokens added and a few things changed."""
    with tempfile.TemporaryDirectory() as name:
        tokenizer = LEDTokenizerFast.from_pretrained(str(TINY))
        for _ in range(rng.randint(0, 2)):
            tokenizer.add_tokens(
                [made(drawn_token(rng), TheirToken) for _ in range(rng.randint(0, 3))], rng.random() < 0.5
            )
        tokenizer.save_pretrained(name, legacy_format=False)
        content: dict[str, Any] = json.loads((Path(name) / "tokenizer.json").read_text(encoding="utf-8"))
    if rng.random() < 0.5:
        content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    if rng.random() < 0.2:
        content["post_processor"]["sep"] = ["<unk>", 3]
    if rng.random() < 0.3:
        side = rng.choice(["Left", "Right"])
        content["truncation"] = {"direction": side, "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    if rng.random() < 0.3:
        own = {"pad_id": 1, "pad_type_id": 0, "pad_token": "<pad>", "pad_to_multiple_of": 8}
        content["padding"] = {"strategy": {"Fixed": 9}, "direction": rng.choice(["Left", "Right"]), **own}
    if rng.random() < 0.3:
        content["pre_tokenizer"]["add_prefix_space"] = content["post_processor"]["trim_offsets"] = rng.random() < 0.5
    if rng.random() < 0.2:
        own = [token for token in content["added_tokens"] if token["id"] < 600]
        rng.shuffle(own)
        content["added_tokens"] = own + [token for token in content["added_tokens"] if token["id"] >= 600]
    return content


def drawn(rng: random.Random, place: Path, is_ordinary: bool) -> tuple[list[Any], list[Any], list[str], str]:
    """A tokenizer of transformers and one of pyled from the same random files, what to change, texts, and a note."""
    files, changes = ordinary(rng) if is_ordinary else (drawn_files(rng), drawn_changes(rng))
    whole = drawn_whole(rng) if not is_ordinary and rng.random() < 0.5 else None
    directory = in_directory(place, files, whole)
    both = [tried(library.from_pretrained, str(directory)) for library in (LEDTokenizerFast, LEDTokenizer)]
    return both, changes, drawn_texts(rng), f"{json.dumps(files):.600} {whole is not None} {changes!s:.600}"


def compare(n: int, seed: int) -> int:
    """Compare n drawn tokenizers, and print where they differ. The number of differences."""
    assert IS_TRUTH, f"transformers {transformers.__version__}: 4.57.6 is the truth for the tokenizer"
    differences = refused = 0
    for i in range(n):
        rng = random.Random(f"{seed} {i}")
        with tempfile.TemporaryDirectory() as name:
            (theirs, ours), changes, texts, note = drawn(rng, Path(name) / "given", False)
            found = {"loaded": different(ours, theirs, texts)}
            refused += isinstance(ours, Exception)
            if found["loaded"] is None and not isinstance(ours, Exception):
                expected, returned = tried(changed, theirs, changes), tried(changed, ours, changes)
                found["returned"] = None if repr(expected) == repr(returned) else f"{returned} not {expected}"
                found["changed"] = different(ours, theirs, texts)
                legacy = rng.choice([None, None, True, False])
                for who, saved in (("ours", ours), ("theirs", theirs)):
                    paths = saved.save_pretrained(str(Path(name) / who), legacy)
                    found[f"{who} named"] = None if paths_of(paths) == PATHS[legacy] else str(paths)
                    again = [
                        tried(lib.from_pretrained, str(Path(name) / who)) for lib in (LEDTokenizer, LEDTokenizerFast)
                    ]
                    found[f"{who} saved"] = different(*again, texts)
                alike = [tried(LEDTokenizerFast.from_pretrained, str(Path(name) / who)) for who in ("ours", "theirs")]
                if not any(isinstance(tokenizer, Exception) for tokenizer in alike):
                    found["saved alike"] = different(*alike, texts)
        for step, difference in found.items():
            if difference is not None:
                differences += 1
                print("DIFFERENT", i, step, difference, "\n   ", note)
    print(f"{n} tokenizers, {refused} refused: {differences} differences")
    return differences


CONFIG = ["tokenizer_config.json", "special_tokens_map.json"]
LEGACY = ["vocab.json", "merges.txt", "added_tokens.json"]
PATHS = {
    None: [*CONFIG, *LEGACY, "tokenizer.json"],
    True: [*CONFIG, *LEGACY],
    False: [*CONFIG, "tokenizer.json"],
}


def paths_of(paths: Any) -> list[str]:
    return [Path(path).name for path in paths]


def save(directory: Path, n: int, seed: int) -> None:
    """Save n drawn tokenizers, each by pyled and by this version of transformers, with texts beside them."""
    for i in range(n):
        rng = random.Random(f"{seed} {i}")
        with tempfile.TemporaryDirectory() as name:
            (theirs, ours), changes, texts, note = drawn(rng, Path(name) / "given", True)
        for who, tokenizer in (("pyled", ours), (transformers.__version__, theirs)):
            if isinstance(tokenizer, Exception) or isinstance(tried(changed, tokenizer, changes), Exception):
                continue
            place = directory / f"{who}-{i}"
            tokenizer.save_pretrained(str(place))
            (place / "texts.json").write_text(json.dumps({"texts": texts, "note": note}), encoding="utf-8")


def load(directory: Path) -> int:
    """Load what was saved with pyled and with this version, and compare what they do. The number of differences."""
    counts: dict[str, list[int]] = {}
    for place in sorted(directory.iterdir()):
        beside = json.loads((place / "texts.json").read_text(encoding="utf-8"))
        ours, theirs = (tried(library.from_pretrained, str(place)) for library in (LEDTokenizer, LEDTokenizerFast))
        difference = different(ours, theirs, beside["texts"], work)
        count = counts.setdefault(place.name.rpartition("-")[0], [0, 0])
        count[0] += 1
        if difference is not None:
            count[1] += 1
            print("DIFFERENT", place.name, difference, "\n   ", beside["note"])
    for who, (n, differences) in counts.items():
        print(f"saved by {who}, loaded by pyled and by {transformers.__version__}: {n}, {differences} differences")
    return sum(differences for _, differences in counts.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compare", type=int, metavar="N")
    parser.add_argument("--save", nargs=2, metavar=("DIRECTORY", "N"))
    parser.add_argument("--load", type=Path, metavar="DIRECTORY")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.save:
        save(Path(arguments.save[0]), int(arguments.save[1]), arguments.seed)
    elif arguments.load:
        sys.exit(1 if load(arguments.load) else 0)
    elif arguments.compare:
        sys.exit(1 if compare(arguments.compare, arguments.seed) else 0)


if __name__ == "__main__":
    main()
