"""4. The plan: how texts are read and summaries generated, with every question settled before any work.

A plan needs no weights: a configuration, settings and a vocabulary are enough. Letters: P prompt tokens.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ..arrays import Ids
from ..config import LEDConfig
from ..errors import ConfigError, GenerationError, InputError, brief
from ..generation import Settings, resolve
from ..generation_config import ADD_FIELDS, GenerationConfig
from .reading import DOC_SEP, FEWEST, Reading

NEW_TOKENS = 256  # the most that are generated where neither the call nor the checkpoint sets a length

# Settings of every summary, which is one text, and of its record.
FIXED = {"num_return_sequences": 1, "return_dict_in_generate": True, **dict.fromkeys(ADD_FIELDS, False)}


@dataclass(frozen=True)
class Plan:
    """How to read and to generate."""

    reading: Reading  # in effect
    origin: Mapping[str, str]  # where each part of the reading comes from
    limit: int  # the most tokens of a chunk
    settings: Settings  # of generation, with the origin of each
    prompt: Ids  # (1, P), what every summary begins with
    notes: tuple[str, ...]  # what was assumed or ignored


def plan(
    config: LEDConfig,
    checkpoint: GenerationConfig,
    vocabulary: Collection[str],
    reading: Reading,
    generation_config: GenerationConfig | None,
    settings: Mapping[str, Any],
) -> Plan:
    """Return the plan for a model; a setting comes from `settings`, else `generation_config`, else `checkpoint`.

    Raises GenerationError, InputError for a reading beyond this model or its vocabulary, ConfigError for a prefix.
    """
    if fixed := sorted(settings.keys() & FIXED):
        raise GenerationError(f"{fixed[0]} is not for a summary, which is one text with its score: leave it out")
    positions, size = config.max_decoder_position_embeddings, config.vocab_size

    def resolved(**more: int) -> tuple[Settings, Ids]:
        call = {**settings, **FIXED, **more}
        return resolve(
            call,
            generation_config,
            checkpoint,
            batch_size=1,
            vocab_size=size,
            positions=positions,
            has_tokenizer=True,
        )

    effective, prompt = resolved()
    origin, notes = dict.fromkeys(FIXED, "pyled"), []
    if effective.origin["max_length"] == "default":
        most = min(NEW_TOKENS, positions)
        effective, prompt = resolved(max_new_tokens=most)
        origin |= {"max_length": "pyled", "max_new_tokens": "pyled"}
        notes.append(f"no length is set: at most {most} tokens are generated; pass max_new_tokens")
    if effective.do_sample and effective.origin["seed"] == "default":
        origin["seed"] = "pyled"
        notes.append(f"no seed is set: {effective.seed} is drawn; pass seed={effective.seed} for the same again")
    name = "num_return_sequences"
    stated = next((one for one in (generation_config, checkpoint) if one and one.num_return_sequences), checkpoint)
    if (number := stated.num_return_sequences or 1) > 1:
        notes.append(f"{name}={number} ({stated.origin(name)}) is ignored: the best is returned")
    effective = replace(effective, origin={**effective.origin, **origin})
    reading, origin, limit = plan_reading(config, vocabulary, reading)
    notes += effective.notes
    if reading.prefix and origin["prefix"] == "config.json":
        notes.append(f"prefix={brief(reading.prefix)} (config.json) is put before each text")
    return Plan(reading, origin, limit, effective, prompt, tuple(notes))


def plan_reading(
    config: LEDConfig,
    vocabulary: Collection[str],
    reading: Reading,
    positions: int | None = None,
) -> tuple[Reading, dict[str, str], int]:
    """Return the reading in effect, where each part of it comes from, and the most tokens of a chunk.

    positions: the most tokens that the task can read at a time; None for all positions of the encoder
    """
    positions, where = positions or config.max_encoder_position_embeddings, reading.global_attention
    limit = reading.chunk_tokens or positions
    if limit > positions:
        raise InputError(f"chunk_tokens is {limit:,}, but this encoder has {positions:,} positions: pass no more")
    if reading.too_long == "chunk" and limit < FEWEST:
        raise InputError(f"this encoder has {positions} positions: chunks need at least {FEWEST}")
    if reading.overlap > limit // 2:
        half = f"{limit // 2:,}"
        raise InputError(f"overlap is {reading.overlap:,}, of chunks of {limit:,} tokens: pass at most half, {half}")
    if where == "doc-sep" and DOC_SEP not in vocabulary:
        raise InputError(f"global_attention is 'doc-sep', but this vocabulary has no {DOC_SEP}: pass 'first' or places")
    if any(places[-1] >= limit for places in reading.global_places()):
        raise InputError(f"global_attention is {brief(where)}, but only {limit:,} tokens are read at a time: pass less")
    origin = {f.name: "default" if getattr(reading, f.name) == f.default else "call" for f in fields(reading)}
    if where is None:
        reading = replace(reading, global_attention="doc-sep" if DOC_SEP in vocabulary else "first")
        origin["global_attention"] = "pyled"
    if reading.too_long == "chunk" and reading.chunk_tokens is None:
        reading = replace(reading, chunk_tokens=limit)
        origin["chunk_tokens"] = "config.json"
    if reading.prefix is None and (prefix := _prefix(config)) is not None:
        reading = replace(reading, prefix=prefix)
        origin["prefix"] = "config.json"
    return reading, origin, limit


def _prefix(config: LEDConfig) -> str | None:
    """Return the prefix for summarization, or for all tasks (4.57.6, pipelines/base.py); 5.23.0 ignores both."""
    tasks = config.extra.get("task_specific_params")
    places = [tasks.get("summarization") if isinstance(tasks, dict) else None, config.extra]
    prefix = next((place["prefix"] for place in places if isinstance(place, dict) and "prefix" in place), None)
    if not isinstance(prefix, str | None):
        raise ConfigError(f"prefix is {brief(prefix)}: it must be a string, or null")
    return prefix
