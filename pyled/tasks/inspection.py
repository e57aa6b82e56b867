"""What the files of a checkpoint say, each read for itself, so that a broken one hides none of the others."""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..checkpoint import LoadReport, account, expected_shapes, stored_types
from ..checkpoint.directory import INDEX, SINGLE, read_directory
from ..checkpoint.names import OPTIONAL, TIED
from ..config import LEDConfig
from ..errors import CheckpointError, PyledError
from ..files import read_json
from ..generation_config import GenerationConfig
from ..tokenizer import LEDTokenizer
from ..tokenizer.led.lengths import UNLIMITED
from .planning import Plan, plan
from .reading import Reading

# The head of each architecture; one that is not named is taken for a summarizer.
_HEADS = {"LEDModel": None, "LEDForQuestionAnswering": "qa", "LEDForSequenceClassification": "classification"}

Facts = dict[str, Any]


def examine(directory: Path) -> Facts:
    """What a checkpoint's directory holds, as plain values of JSON.

    A part that cannot be read is None. In `generation` each setting has its value and its origin, as in the record of
    a summary. notes: what is unusual; problems: what is wrong, in words.
    """
    facts: Facts = {"directory": str(directory), "configuration": None, "parameters": None, "weights": None}
    facts |= {"tokenizer": None, "generation": None, "notes": [], "problems": []}

    def attempt(function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function gives, or None and a problem more."""
        try:
            return function(*arguments)
        except PyledError as e:
            facts["problems"].append(str(e))
            return None

    config = attempt(LEDConfig.from_pretrained, directory)
    if config is not None:
        facts["configuration"] = config.to_dict()
        facts["parameters"] = parameters(config, _head(config))
    tensors = attempt(read_directory, directory)
    if tensors is not None:
        facts["weights"] = _files(directory)
        report = None if config is None else attempt(_report, tensors, config)
        if report is not None:
            facts["weights"] |= {name: getattr(report, name) for name in ("tied", "missing", "misshaped", "unused")}
            facts["notes"] += report.surprises()
            if report.missing or report.misshaped:
                facts["problems"].append(f"{directory}: {report.accusation()}")
    tokenizer = attempt(LEDTokenizer.from_pretrained, directory)
    if tokenizer is not None:
        facts["tokenizer"] = _tokenizer(tokenizer)
    own = None if config is None else attempt(GenerationConfig.of_checkpoint, directory, config)
    vocabulary = {} if tokenizer is None else tokenizer.get_vocab()
    its = None if own is None else attempt(plan, config, own, vocabulary, Reading(), None, {})
    if its is not None:
        facts["generation"] = _settings(its)
        facts["notes"] += its.notes
    if config is not None and tokenizer is not None and len(tokenizer) != config.vocab_size:
        facts["notes"].append(f"the tokenizer has {len(tokenizer):,} tokens, the model {config.vocab_size:,}")
    return facts


def _head(config: LEDConfig) -> str | None:
    named = config.extra.get("architectures")
    architectures = named if isinstance(named, list) else []
    return next((_HEADS[name] for name in architectures if isinstance(name, str) and name in _HEADS), "lm")


def parameters(config: LEDConfig, head: str | None) -> dict[str, int]:
    """How many numbers a model of this configuration learns, part by part; what is tied counts once."""
    counts: Counter[str] = Counter()
    for name, shape in expected_shapes(config, head).items():
        if name in TIED:
            is_counted = name == TIED[0] or not config.tie_word_embeddings
            part = "embeddings"
        else:
            is_counted = name != OPTIONAL  # a buffer, which is not learned
            side, _, rest = name.partition(".")
            part = f"{side} positions" if rest.startswith("embed_positions") else side
            part = part if side in ("encoder", "decoder") else "head"
        counts[part] += math.prod(shape) * is_counted
    return {part: count for part, count in counts.items() if count}


def _files(directory: Path) -> Facts:
    """The files of weights that were read, with their sizes, and the types of what is in them."""
    names = [SINGLE]
    if not (directory / SINGLE).exists():
        names = sorted(set(read_json(directory / INDEX, CheckpointError)["weight_map"].values()))
    stored: Counter[str] = Counter()
    for name in names:
        stored.update(stored_types(directory / name))
    return {"files": {name: (directory / name).stat().st_size for name in names}, "stored": dict(stored)}


def _report(tensors: Mapping[str, Any], config: LEDConfig) -> LoadReport:
    return account(tensors, config, _head(config))[1]


def _tokenizer(tokenizer: LEDTokenizer) -> Facts:
    limit = tokenizer.model_max_length
    return {
        "tokens": len(tokenizer),
        "special_tokens": dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)),
        "model_max_length": None if limit > UNLIMITED else limit,
    }


def _settings(plan: Plan) -> Facts:
    values = {
        "global_attention": plan.reading.global_attention,
        **{field.name: getattr(plan.settings, field.name) for field in fields(plan.settings)},
    }
    origin = {**plan.origin, **plan.settings.origin}
    return {name: {"value": value, "origin": origin[name]} for name, value in values.items() if name in origin}
