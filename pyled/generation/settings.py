"""Effective settings: who set what, and the lengths, ids and defaults that follow (transformers 5.23.0)."""

import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Ids
from ..errors import GenerationError, InputError
from ..generation_config import (
    CHECKS,
    NOT_IMPLEMENTED,
    NOT_RETURNED,
    WITHOUT_EFFECT,
    GenerationConfig,
    checked,
    is_neutral,
    refuse_unknown,
)

DEFAULTS: dict[str, Any] = {
    "max_length": 20,  # then counted without the prompt, unlike a max_length that someone set
    "min_length": 0,
    "num_beams": 1,
    "num_return_sequences": 1,
    "early_stopping": False,
    "length_penalty": 1.0,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "remove_invalid_values": False,
    "renormalize_logits": False,
    "use_cache": True,
    "output_scores": False,
    "output_logits": False,
    "return_dict_in_generate": False,
}

# For the others, None in a call overrules the files and means the default; with these upstream fails on it.
_NONE_IS_UNSET = ("max_length", "num_beams", "num_return_sequences", "length_penalty")
_OF_THE_CALLER = ("call", "generation_config")
_HOLD_IDS = ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id", "forced_bos_token_id",
             "forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens")  # fmt: skip
_LARGEST_EXPONENT = 80.0  # e^80 and e^-80 are normal float32 numbers


@dataclass(frozen=True)
class Settings:
    """What a generation does, with every question settled; the names are those of GenerationConfig.

    `max_length` and `min_length` count the prompt of `prompt_length` tokens. `origin` says for every setting where it
    comes from: "call", "generation_config", "generation_config.json", "config.json" or "default". `notes` says in
    words what was assumed, changed or ignored.
    """

    prompt_length: int
    max_length: int
    min_length: int
    num_beams: int
    num_return_sequences: int
    early_stopping: bool | str
    length_penalty: float
    repetition_penalty: float
    encoder_repetition_penalty: float
    no_repeat_ngram_size: int
    encoder_no_repeat_ngram_size: int
    bad_words_ids: tuple[tuple[int, ...], ...]
    sequence_bias: tuple[tuple[tuple[int, ...], float], ...]
    exponential_decay_length_penalty: tuple[int, float] | None
    suppress_tokens: tuple[int, ...]
    begin_suppress_tokens: tuple[int, ...]
    forced_bos_token_id: int | None
    forced_eos_token_id: tuple[int, ...]
    remove_invalid_values: bool
    renormalize_logits: bool
    pad_token_id: int | None
    eos_token_id: tuple[int, ...]
    output_scores: bool
    output_logits: bool
    return_dict_in_generate: bool
    origin: Mapping[str, str]
    notes: tuple[str, ...]


def resolve(
    call: Mapping[str, Any],
    argument: GenerationConfig | None,
    own: GenerationConfig,
    *,
    batch_size: int,
    vocab_size: int,
    positions: int,
    decoder_input_ids: Any = None,
    has_encoder_ids: bool = True,
) -> tuple[Settings, Ids]:
    """The effective settings of one generation, and its prompt (batch_size, P).

    `call` are the arguments of the call, `argument` the GenerationConfig given with it, `own` the model's; the
    first that sets a value wins. `positions` is the size of the decoder's position table: it takes `positions + 1`
    tokens, because the last is never fed back. decoder_input_ids: (batch_size, any), a prompt of the user's.

    Raises GenerationError for an unknown name, a value out of range, a setting pyled does not implement, and settings
    that contradict each other; InputError for decoder_input_ids of a wrong shape or with ids that do not exist.
    """
    refuse_unknown(call)
    if argument is not None and not isinstance(argument, GenerationConfig):
        raise GenerationError(f"generation_config is a {type(argument).__name__}: it must be a GenerationConfig")
    notes = _refuse_what_is_missing(call, argument, own)
    values, origin = _merge(call, argument, own)
    _refuse_ids_beyond(vocab_size, values, origin)
    prompt = _prompt(values, batch_size, vocab_size, decoder_input_ids)
    P = prompt.shape[1]
    _settle_lengths(values, origin, notes, P, positions)
    _settle_tokens(values, notes)
    _settle_beams(values, origin, notes, P, vocab_size)
    if not has_encoder_ids:
        for name in ("encoder_repetition_penalty", "encoder_no_repeat_ngram_size"):
            if values[name] != DEFAULTS[name]:
                notes.append(f"{name}={values[name]} is ignored: it needs input_ids, and none were given")
                values[name] = DEFAULTS[name]
    if not values["return_dict_in_generate"]:
        for name in ("output_scores", "output_logits"):
            if values[name]:
                notes.append(f"{name} is ignored: pass return_dict_in_generate=True with it")
                values[name] = False
    kept = {name: values[name] for name in Settings.__dataclass_fields__ if name in values}
    return Settings(**kept, prompt_length=P, origin=origin, notes=tuple(notes)), prompt


def _refuse_what_is_missing(
    call: Mapping[str, Any], argument: GenerationConfig | None, own: GenerationConfig
) -> list[str]:
    """Raise GenerationError where a setting that pyled lacks would matter; notes on those that do nothing."""
    notes = []
    files = ({} if argument is None else argument.extra, "generation_config"), (own.extra, own.source)
    for name, neutral in {**NOT_IMPLEMENTED, **NOT_RETURNED}.items():
        found = [(extra[name], source) for extra, source in files if extra.get(name) is not None]
        value, source = (call[name], "call") if name in call else found[0] if found else (None, "default")
        if is_neutral(name, value):
            continue
        shown = f"{name}={reprlib.repr(value)} ({source})"
        if name in NOT_RETURNED and source not in _OF_THE_CALLER:
            notes.append(f"{shown} is ignored: generation does not return it here")
        else:
            off = neutral[0] if neutral else None
            raise GenerationError(f"{shown} asks for what pyled does not implement: pass {name}={off}")
    for name in WITHOUT_EFFECT:
        if name in call and not is_neutral(name, call[name]):
            notes.append(f"{name}={call[name]!r} has no effect on greedy and beam search")
    return notes


def _merge(
    call: Mapping[str, Any], argument: GenerationConfig | None, own: GenerationConfig
) -> tuple[dict[str, Any], dict[str, str]]:
    """The value of each setting, and where it comes from."""
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    configs = [(own, own.source)] if argument is None else [(argument, "generation_config"), (own, own.source)]
    for name in CHECKS:
        found = [(getattr(config, name), source) for config, source in configs]
        if name in call and not (call[name] is None and name in _NONE_IS_UNSET):
            found = [(call[name], "call")]
        elif not any(value is not None for value, _ in found):
            found = [(None, "default")]
        value, origin[name] = next(((value, source) for value, source in found if value is not None), found[0])
        values[name] = DEFAULTS.get(name) if value is None else checked(name, value)
    return values, origin


def _refuse_ids_beyond(vocab_size: int, values: Mapping[str, Any], origin: Mapping[str, str]) -> None:
    """Raise GenerationError where a setting holds an id that is no token."""
    held = {name: _as_list(values[name]) for name in _HOLD_IDS}
    held["bad_words_ids"] = [token for word in values["bad_words_ids"] or [] for token in word]
    held["sequence_bias"] = [token for word, _ in values["sequence_bias"] or [] for token in word]
    for name, ids in held.items():
        beyond = [token for token in ids if token >= vocab_size]
        if beyond:
            raise GenerationError(
                f"{name} holds {beyond[0]} ({origin[name]}), but this vocabulary has {vocab_size} ids: "
                f"give ids below {vocab_size}, or pass {name}=None"
            )


def _as_list(ids: int | list[int] | None) -> list[int]:
    return [] if ids is None else ids if isinstance(ids, list) else [ids]


def _prompt(values: Mapping[str, Any], batch_size: int, vocab_size: int, given: Any) -> Ids:
    """The ids that every document's generation begins with: the start token, and then what the user gave.

    As upstream, the start token is put in front of the user's ids only where none of the rows begins with it.
    """
    start = values["decoder_start_token_id"]
    start = values["bos_token_id"] if start is None else start
    if start is None:
        raise GenerationError("neither decoder_start_token_id nor bos_token_id is set: pass decoder_start_token_id")
    if isinstance(start, list) and len(start) != batch_size:
        raise GenerationError(
            f"decoder_start_token_id lists {len(start)} ids for {batch_size} documents: give one, or one per document"
        )
    starts = np.broadcast_to(np.array(start, np.int64), batch_size)[:, None]  # (B, 1)
    if given is None:
        return starts.copy()
    try:
        given = np.asarray(given)
    except ValueError:
        raise InputError("decoder_input_ids has rows of unequal length: give all documents as many ids") from None
    if given.ndim != 2 or len(given) != batch_size or given.shape[1] == 0 or given.dtype.kind not in "iu":
        raise InputError(
            f"decoder_input_ids has shape {given.shape} and type {given.dtype}: it must hold integers, "
            f"({batch_size}, at least 1)"
        )
    if given.min() < 0 or given.max() >= vocab_size:
        raise InputError(
            f"decoder_input_ids holds ids from {given.min()} to {given.max()}: they must be in 0..{vocab_size - 1}"
        )
    ids = given.astype(np.int64)
    return np.concatenate([starts, ids], axis=1) if (ids[:, :1] != starts).all() else ids


def _settle_lengths(
    values: dict[str, Any], origin: dict[str, str], notes: list[str], prompt_length: int, positions: int
) -> None:
    """Make max_length and min_length the final ones, both with the prompt."""
    P, asked = prompt_length, "max_length"
    if values["max_new_tokens"] is not None:
        if origin["max_length"] != "default":
            notes.append(
                f"max_new_tokens={values['max_new_tokens']} ({origin['max_new_tokens']}) takes precedence over "
                f"max_length={values['max_length']} ({origin['max_length']})"
            )
        asked = "max_new_tokens"
        values["max_length"] = values["max_new_tokens"] + P
        origin["max_length"] = origin["max_new_tokens"]
    elif origin["max_length"] == "default":
        notes.append(f"no length is set: at most {DEFAULTS['max_length']} tokens are generated; pass max_new_tokens")
        values["max_length"] += P
    limit = positions + 1  # the last token is never fed back
    if values["max_length"] > limit:
        if origin["max_length"] in _OF_THE_CALLER:
            raise GenerationError(
                f"{asked}={values[asked]} makes {values['max_length']} tokens with the prompt, but this decoder has "
                f"{positions} positions: pass max_length of at most {limit}, or max_new_tokens of {max(limit - P, 0)}"
            )
        notes.append(
            f"max_length={values['max_length']} ({origin['max_length']}) is lowered to {limit}: the decoder has "
            f"{positions} positions"
        )
        values["max_length"] = limit
    if values["max_length"] <= P:
        raise GenerationError(
            f"max_length={values['max_length']} ({origin['max_length']}) leaves no room after a prompt of {P} tokens: "
            f"pass max_new_tokens, or a shorter prompt (this decoder takes {limit} tokens at most)"
        )
    _settle_min_length(values, origin, notes, P)


def _settle_min_length(values: dict[str, Any], origin: dict[str, str], notes: list[str], prompt_length: int) -> None:
    if values["min_new_tokens"] is not None:
        if origin["min_length"] != "default":
            notes.append(
                f"min_new_tokens={values['min_new_tokens']} ({origin['min_new_tokens']}) takes precedence over "
                f"min_length={values['min_length']} ({origin['min_length']})"
            )
        values["min_length"] = values["min_new_tokens"] + prompt_length
        origin["min_length"] = origin["min_new_tokens"]
    if values["min_length"] > values["max_length"]:
        notes.append(
            f"min_length={values['min_length']} ({origin['min_length']}) is more than max_length="
            f"{values['max_length']} ({origin['max_length']}): generation ends at the latter"
        )


def _settle_tokens(values: dict[str, Any], notes: list[str]) -> None:
    """Make tuples of what may be one id, several or none, and find the padding id."""
    for name in ("eos_token_id", "forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens"):
        values[name] = tuple(_as_list(values[name]))
    eos = values["eos_token_id"]
    if values["pad_token_id"] is None and eos:
        notes.append(f"no pad_token_id is set: ended rows are filled with the end of sequence, {eos[0]}")
        values["pad_token_id"] = eos[0]
    words = [tuple(word) for word in values["bad_words_ids"] or []]
    values["bad_words_ids"] = tuple(word for word in words if not (len(word) == 1 and word[0] in eos))
    values["sequence_bias"] = tuple({tuple(word): bias for word, bias in values["sequence_bias"] or []}.items())
    decay = values["exponential_decay_length_penalty"]
    values["exponential_decay_length_penalty"] = None if decay is None else tuple(decay)
    if decay is not None and not eos:
        raise GenerationError(
            f"exponential_decay_length_penalty={decay} needs an end of sequence to raise: set eos_token_id"
        )
    suppressed = set(values["suppress_tokens"])
    for name in ("forced_bos_token_id", "forced_eos_token_id"):
        forced = {values[name]} - {None} if name == "forced_bos_token_id" else set(values[name])
        if forced and forced <= suppressed:
            raise GenerationError(
                f"{name}={sorted(forced)} is forced and listed in suppress_tokens too, so no token is left: "
                "take it out of one of them"
            )


def _settle_beams(
    values: dict[str, Any], origin: Mapping[str, str], notes: list[str], prompt_length: int, vocab_size: int
) -> None:
    """Raise GenerationError where the number of beams contradicts other settings."""
    beams, returned, penalty = values["num_beams"], values["num_return_sequences"], values["length_penalty"]
    if returned > beams:
        raise GenerationError(
            f"num_return_sequences={returned} ({origin['num_return_sequences']}) is more than num_beams={beams} "
            f"({origin['num_beams']}): pass num_beams of at least {returned}"
        )
    if beams == 1:
        for name in ("length_penalty", "early_stopping"):
            if origin[name] == "call" and values[name] != DEFAULTS[name]:
                notes.append(f"{name}={values[name]!r} has no effect without beams: pass num_beams of at least 2")
        return
    if len(values["eos_token_id"]) >= vocab_size or vocab_size < 2:
        raise GenerationError(
            f"eos_token_id lists {len(values['eos_token_id'])} of {vocab_size} tokens: beam search needs one that "
            "goes on"
        )
    longest = values["max_length"] - prompt_length
    exponent = penalty * math.log(longest)  # of e, in the divisor of the scores
    if abs(exponent) > _LARGEST_EXPONENT:
        raise GenerationError(
            f"length_penalty={penalty} makes {longest} ** {penalty}, which float32 cannot hold: pass a number nearer "
            "to 0"
        )
