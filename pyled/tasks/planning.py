"""3. The plan: how texts are read and summaries generated, with every question settled before any work.

A plan needs no weights: a configuration, settings and a vocabulary are enough. Letters: P prompt tokens.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ..arrays import Ids
from ..config import LEDConfig
from ..errors import ConfigError, GenerationError, InputError
from ..generation import Settings, resolve
from ..generation_config import GenerationConfig
from .reading import DOC_SEP, FEWEST, Reading

NEW_TOKENS = 256  # the most that are generated where neither the call nor the checkpoint sets a length

# Settings of every summary, which is one text, and of its record.
FIXED = {"num_return_sequences": 1, "return_dict_in_generate": True, "output_scores": False, "output_logits": False}


@dataclass(frozen=True)
class Plan:
    """How to read and to generate.

    reading: the reading in effect; origin: where each part of it comes from
    limit: the most tokens of a chunk
    settings: those of generation, with the origin of each
    prompt: (1, P) int, what every summary begins with
    notes: what was assumed or ignored, in words
    """

    reading: Reading
    origin: Mapping[str, str]
    limit: int
    settings: Settings
    prompt: Ids
    notes: tuple[str, ...]

    @property
    def new_tokens(self) -> int:
        """The most tokens that are generated for a chunk."""
        return self.settings.max_length - self.settings.prompt_length


def plan(
    config: LEDConfig,
    checkpoint: GenerationConfig,
    vocabulary: Collection[str],
    reading: Reading,
    generation_config: GenerationConfig | None,
    settings: Mapping[str, Any],
) -> Plan:
    """Return the plan for a model; each setting comes from `settings`, else `generation_config`, else `checkpoint`.

    Raises GenerationError for settings, InputError for a reading that is beyond this model or its vocabulary,
    ConfigError for a bad prefix in the configuration.
    """
    if not isinstance(generation_config, GenerationConfig | None):
        raise InputError(f"generation_config is a {type(generation_config).__name__}: pass a GenerationConfig")
    effective, prompt, notes = _plan_generation(config, checkpoint, generation_config, settings)
    reading, origin, limit = plan_reading(config, vocabulary, reading)
    if reading.prefix and origin["prefix"] == "config.json":
        notes = [*notes, f"prefix={reading.prefix!r} (config.json) is put before each text"]
    return Plan(reading, origin, limit, effective, prompt, tuple(notes))


def plan_reading(
    config: LEDConfig, vocabulary: Collection[str], reading: Reading, task: str = "summarization"
) -> tuple[Reading, dict[str, str], int]:
    """Return the reading in effect, where each part of it comes from, and the most tokens of a chunk.

    task: whose prefix is taken from the configuration
    """
    positions = config.max_encoder_position_embeddings
    limit = reading.chunk_tokens or positions
    if limit > positions:
        raise InputError(
            f"chunk_tokens is {limit:,}, but this encoder has {positions:,} positions: pass at most {positions:,}"
        )
    if reading.too_long == "chunk" and limit < FEWEST:
        raise InputError(f"this encoder has {positions} positions: chunks need at least {FEWEST}")
    if reading.overlap > limit // 2:
        raise InputError(
            f"overlap is {reading.overlap:,}, of chunks of {limit:,} tokens: pass at most half, {limit // 2:,}"
        )
    has_doc_sep = DOC_SEP in vocabulary
    if reading.global_attention == "doc-sep" and not has_doc_sep:
        raise InputError(
            f"global_attention is 'doc-sep', but this vocabulary has no {DOC_SEP}: pass 'first', 'none' or places"
        )
    if any(places[-1] >= limit for places in reading.global_places()):
        raise InputError(
            f"global_attention is {reading.global_attention!r}, but at most {limit:,} tokens are read at a time: "
            f"pass places below {limit:,}"
        )
    origin = {f.name: "default" if getattr(reading, f.name) == f.default else "call" for f in fields(reading)}
    if reading.global_attention is None:
        reading = replace(reading, global_attention="doc-sep" if has_doc_sep else "first")
        origin["global_attention"] = "summarize"
    if reading.too_long == "chunk" and reading.chunk_tokens is None:
        reading = replace(reading, chunk_tokens=limit)
        origin["chunk_tokens"] = "config.json"
    if reading.prefix is None and (prefix := _prefix(config, task)) is not None:
        reading = replace(reading, prefix=prefix)
        origin["prefix"] = "config.json"
    return reading, origin, limit


def _prefix(config: LEDConfig, task: str) -> str | None:
    """Return the prefix of a task, or of all (transformers 4.57.6, pipelines/base.py); 5.23.0 ignores both."""
    of_tasks = config.extra.get("task_specific_params")
    of_task = of_tasks.get(task) if isinstance(of_tasks, dict) else None
    places = [of_task if isinstance(of_task, dict) else {}, config.extra]
    prefix = next((place["prefix"] for place in places if "prefix" in place), None)
    if not isinstance(prefix, str | None):
        raise ConfigError(f"prefix is {prefix!r:.60}: it must be a string, or null")
    return prefix


def _plan_generation(
    config: LEDConfig,
    checkpoint: GenerationConfig,
    generation_config: GenerationConfig | None,
    settings: Mapping[str, Any],
) -> tuple[Settings, Ids, list[str]]:
    """Return the settings in effect, the prompt (1, P), and notes."""
    for name in FIXED:
        if name in settings:
            raise GenerationError(
                f"{name} is not for a summary, which is one text with its score: leave it out, or call model.generate"
            )

    def resolved(arguments: Mapping[str, Any]) -> tuple[Settings, Ids]:
        positions = config.max_decoder_position_embeddings
        return resolve(
            arguments, generation_config, checkpoint, batch_size=1, vocab_size=config.vocab_size, positions=positions
        )

    arguments = {**settings, **FIXED}
    effective, prompt = resolved(arguments)
    origin = dict.fromkeys(FIXED, "summarize")
    notes = []
    if effective.origin["max_length"] == "default":
        most = min(NEW_TOKENS, config.max_decoder_position_embeddings)
        effective, prompt = resolved({**arguments, "max_new_tokens": most})
        origin |= {"max_length": "summarize", "max_new_tokens": "summarize"}
        notes.append(f"no length is set: at most {most} tokens are generated; pass max_new_tokens")
    configs = [given for given in (generation_config, checkpoint) if given is not None]
    first = next((one for one in configs if one.num_return_sequences is not None), configs[-1])
    if (first.num_return_sequences or 1) > 1:
        notes.append(
            f"num_return_sequences={first.num_return_sequences} ({first.source}) is ignored: the best is returned"
        )
    return replace(effective, origin={**effective.origin, **origin}), prompt, [*notes, *effective.notes]
