"""14. What the files of a checkpoint say, each read for itself, so that a broken one hides none of the others."""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from ..checkpoint import Arithmetic, Storage, account, learned_shapes, type_name
from ..checkpoint.directory import FORMATS, read_directory
from ..checkpoint.names import OPTIONAL, TIED
from ..config import LEDConfig
from ..errors import PyledError, brief
from ..generation_config import GenerationConfig
from ..tokenizer import LEDTokenizer
from ..tokenizer.bytelevel import SYMBOL_OF_BYTE
from ..tokenizer.led.lengths import UNLIMITED
from .cost import weight_bytes
from .loading import architecture
from .planning import plan
from .reading import Reading
from .summary import settings_record

# The head of each architecture; one that is not named is taken for a summarizer.
_HEADS = {"LEDModel": None, "LEDForQuestionAnswering": "qa", "LEDForSequenceClassification": "classification"}

# Files that are read beside those of the weights.
FILES = {"merges.txt"} | {form.index for form in FORMATS} | {f"{name}.json" for name in (
    "config", "generation_config", "vocab", "tokenizer", "tokenizer_config", "special_tokens_map", "added_tokens")
}  # fmt: skip
SUFFIXES = {form.suffix for form in FORMATS}  # of the files of the weights

LONG = 1000  # characters of a token; merges hardly make a longer one
Facts = dict[str, Any]


def examine(directory: Path) -> Facts:
    """Return what a checkpoint's directory holds, as plain values of JSON; a part that cannot be read is None.

    memory: bytes of the weights, by what they are kept in; generation: as the settings of a summary's record
    notes: what is unusual; problems: what is wrong, in words
    """
    facts: Facts = dict.fromkeys(("configuration", "parameters", "memory", "weights", "tokenizer", "generation"))
    facts = {"directory": str(directory), **facts, "skipped": [], "notes": [], "problems": []}

    def attempt(function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function returns; or None, and note the problem."""
        try:
            return function(*arguments)
        except PyledError as e:
            if str(e) not in facts["problems"]:  # an adapter's directory lacks several files
                facts["problems"].append(str(e))
            return None

    config = attempt(LEDConfig.from_pretrained, directory)
    if config is not None:
        facts["configuration"] = config.to_dict()
        facts["parameters"] = parameters(config, _head(config))
        if _head(config) in (None, "lm"):
            facts["memory"] = {
                f"weights={weights} encoder={encoder}": weight_bytes(config, weights, encoder)
                for weights in get_args(Storage)
                for encoder in get_args(Arithmetic)
            }
    files = attempt(read_directory, directory)
    if files is not None:
        tensors = {name: array for shard in files.values() for name, array in shard.items()}
        facts["weights"] = {"files": {name: (directory / name).stat().st_size for name in files}, "stored": Counter()}
        for array in tensors.values():
            facts["weights"]["stored"][type_name(array)] += array.size
        report = None if config is None else attempt(lambda: account(tensors, config, _head(config))[1])
        if report is not None:
            facts["weights"] |= {name: getattr(report, name) for name in ("tied", "missing", "misshaped", "unused")}
            facts["weights"]["no_parameters"] = _no_parameters(tensors, report.tied, report.unused)
            facts["notes"] += report.surprises()
            if report.missing or report.misshaped:
                facts["problems"].append(str(report.refusal().at(directory)))
    tokenizer = attempt(LEDTokenizer.from_pretrained, directory)
    if tokenizer is not None:
        ids, limit = tokenizer.all_special_ids, tokenizer.model_max_length
        facts["tokenizer"] = {
            "tokens": len(tokenizer),
            "special_tokens": dict(zip(tokenizer.all_special_tokens, ids, strict=True)),
            "model_max_length": None if limit > UNLIMITED else limit,
        }
        if unmade := _unmade(tokenizer):
            problem = f"{len(unmade):,} tokens, such as {brief(unmade[0])}, are made by no merge"
            facts["notes"].append(f"{problem}: the list of merges may be cut short, fetch it again")
    settings = None if config is None else attempt(GenerationConfig.of_checkpoint, directory, config)
    vocabulary = {} if tokenizer is None else tokenizer.get_vocab()
    usual = None if settings is None else attempt(plan, config, settings, vocabulary, Reading(), None, {})
    if usual is not None and config is not None and _head(config) in (None, "lm"):
        facts["generation"] = settings_record(usual)
        facts["notes"] += usual.notes
    if config is not None and tokenizer is not None and len(tokenizer) != config.vocab_size:
        facts["notes"].append(f"the tokenizer has {len(tokenizer):,} tokens, the model {config.vocab_size:,}")
    read = FILES | set((facts["weights"] or {}).get("files", ()))
    facts["skipped"] = sorted(path.name for path in directory.iterdir() if path.name not in read)
    return facts


def _head(config: LEDConfig) -> str | None:
    return _HEADS.get(str(architecture(config)), "lm")


def parameters(config: LEDConfig, head: str | None) -> dict[str, int]:
    """Return how many numbers a model of this configuration learns, part by part; what is tied counts once."""
    counts: Counter[str] = Counter()
    for name, shape in learned_shapes(config, head).items():
        side, _, rest = name.partition(".")
        part = f"{side} positions" if rest.startswith("embed_positions") else side
        part = part if side in ("encoder", "decoder") else "head"
        counts["embeddings" if name in TIED else part] += math.prod(shape)
    return dict(counts)


def _unmade(tokenizer: LEDTokenizer) -> list[str]:
    """Return the tokens that two others make up but no merge makes; the whole list of merges leaves none."""
    ids, merges = tokenizer._vocabulary.ids, tokenizer._vocabulary.merges
    rest = ids.keys() - {left + right for left, right in merges} - {*SYMBOL_OF_BYTE, *tokenizer.get_added_vocab()}
    unmade = (t for t in rest if any(t[:i] in ids and t[i:] in ids for i in range(1, min(len(t), LONG))))
    return sorted(unmade, key=ids.__getitem__)


def _no_parameters(tensors: Mapping[str, Any], tied: list[str], unused: list[str]) -> dict[str, int]:
    """Return the numbers in the files that no parameter is made of, by their kind."""
    copies = [name for name in tensors if name.endswith(tuple(tied))][1:] if tied else []
    kinds = dict.fromkeys(copies, "copies of tied weights") | dict.fromkeys(unused, "unused")
    counts: Counter[str] = Counter()
    for name, kind in (kinds | {OPTIONAL: OPTIONAL}).items():
        counts[kind] += tensors[name].size if name in tensors else 0
    return {kind: count for kind, count in counts.items() if count}
