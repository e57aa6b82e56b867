"""The settings in effect: who set what, and the lengths, ids and defaults that follow (transformers 5.23.0)."""

import math
import secrets
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from ..arrays import Ids, as_array, physical_memory
from ..errors import GenerationError, InputError, brief
from ..generation_config import (
    ADD_FIELDS,
    HOLD_IDS,
    NOT_IMPLEMENTED,
    REASONS,
    SAMPLING,
    SETTINGS,
    WITHOUT_EFFECT,
    GenerationConfig,
    Settings,
    checked,
    is_neutral,
    refuse_unknown,
)

__all__ = ["Settings", "resolve"]

# With None in a call these are unset, for upstream fails on it; the others get their default, whatever a file says.
_NONE_IS_UNSET = ("max_length", "num_beams", "num_return_sequences", "length_penalty")
_OF_THE_CALLER = ("call", "generation_config")
_LARGEST_EXPONENT = 80.0  # e^80 and e^-80 are normal float32 numbers
COLDEST = 1e-30  # scores up to 10^8 divided by this temperature are float32 numbers


def resolve(
    call: Mapping[str, Any],
    config_of_call: GenerationConfig | None,
    config_of_model: GenerationConfig,
    *,
    batch_size: int,
    vocab_size: int,
    positions: int,
    decoder_input_ids: Any = None,
    has_encoder_ids: bool = True,
    has_tokenizer: bool = False,
) -> tuple[Settings, Ids]:
    """Return the settings in effect for one generation, and its prompt, (batch_size, prompt_length).

    The first of `call` (the arguments of the call), `config_of_call` and `config_of_model` that sets a value wins.

    positions: the size of the decoder's position table. It takes `positions + 1` tokens: the last is never fed back
    decoder_input_ids: (batch_size, any) int, a prompt of the user

    >>> config = GenerationConfig(num_beams=4, decoder_start_token_id=2)
    >>> settings, prompt = resolve({"max_new_tokens": 5}, None, config, batch_size=1, vocab_size=9, positions=16)
    >>> settings.max_length, settings.origin["max_length"], settings.num_beams, prompt.tolist()
    (6, 'call', 4, [[2]])

    Raises GenerationError for an unknown name, a value out of range, a setting that pyled does not implement, and
    settings that contradict each other; InputError for decoder_input_ids of a wrong shape or beyond the vocabulary.
    """
    refuse_unknown(call)
    if config_of_call is not None and not isinstance(config_of_call, GenerationConfig):
        raise GenerationError(f"generation_config is a {type(config_of_call).__name__}: it must be a GenerationConfig")

    def stated(name: str) -> tuple[Any, str]:
        """Return the value of a setting and who set it; (None, "default") where nobody did."""
        if name in call and not (call[name] is None and name in _NONE_IS_UNSET):
            return checked(name, call[name]), "call"
        if config_of_call is not None and getattr(config_of_call, name) is not None:
            return checked(name, getattr(config_of_call, name)), "generation_config"
        value = checked(name, getattr(config_of_model, name))
        return value, "default" if value is None else config_of_model.origin(name)

    _refuse_missing({name: stated(name) for name in NOT_IMPLEMENTED})
    notes = []
    for name in WITHOUT_EFFECT:
        if name in call and not is_neutral(name, call[name]):
            notes.append(f"{name}={brief(call[name])} has no effect")
    values, origin = {}, {}
    for name, setting in SETTINGS.items():
        value, origin[name] = stated(name)
        values[name] = setting.default if value is None else value
    if "top_k" in call and call["top_k"] is None:
        values["top_k"] = 0  # subtle: as upstream, whose default comes before the call
    _refuse_ids_beyond(vocab_size, values, origin)
    prompt = _prompt(values, batch_size, vocab_size, decoder_input_ids)
    _settle_lengths(values, origin, notes, prompt.shape[1], positions)
    _settle_tokens(values, notes)
    _settle_sampling(values, origin, notes)
    _settle_beams(values, origin, notes, prompt, vocab_size)
    _turn_off(values, notes, has_encoder_ids)
    if values["stop_strings"] and not has_tokenizer:
        strings = f"stop_strings={brief(list(values['stop_strings']))} ({origin['stop_strings']})"
        raise GenerationError(f"{strings} needs the text of the tokens: pass tokenizer with it")
    decided = {field.name: values[field.name] for field in fields(Settings) if field.name in values}
    return Settings(**decided, prompt_length=prompt.shape[1], origin=origin, notes=tuple(notes)), prompt


def _refuse_missing(stated: Mapping[str, tuple[Any, str]]) -> None:
    """Raise GenerationError where a setting that pyled does not implement does something."""
    for name, (value, origin) in stated.items():
        if not is_neutral(name, value):
            off = next(iter(NOT_IMPLEMENTED[name]), None)
            what, reason = REASONS.get(name, ("", ""))
            raise GenerationError(
                f"{name}={brief(value)} ({origin}) asks for what pyled does not implement{what}: "
                f"pass {name}={off}{reason}"
            )


def _refuse_ids_beyond(vocab_size: int, values: Mapping[str, Any], origin: Mapping[str, str]) -> None:
    """Raise GenerationError where a setting holds an id that is no token."""
    ids_of = {name: _as_list(values[name]) for name in HOLD_IDS}
    ids_of["bad_words_ids"] = [token for word in values["bad_words_ids"] for token in word]
    ids_of["sequence_bias"] = [token for word, _ in values["sequence_bias"] for token in word]
    for name, ids in ids_of.items():
        if max(ids, default=0) >= vocab_size:
            raise GenerationError(
                f"{name} holds {brief(max(ids))} ({origin[name]}), but this vocabulary has {vocab_size} ids: "
                f"give ids below {vocab_size}, or pass {name}=None"
            )


def _as_list(ids: Any) -> list[int]:
    return [] if ids is None else [ids] if isinstance(ids, int) else list(ids)


def _prompt(values: Mapping[str, Any], batch_size: int, vocab_size: int, decoder_input_ids: Any) -> Ids:
    """Return the ids that the generation of each document begins with: the start token, and then the user's ids.

    As upstream, the start token is put in front of the user's ids unless they begin with it. The rows must agree on
    this: rows of unequal length have no place in a batch, and a document has the same prompt alone and in any batch.
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
    if decoder_input_ids is None:
        return starts.copy()
    ids = as_array(decoder_input_ids)
    if ids.ndim != 2 or len(ids) != batch_size or ids.shape[1] == 0 or ids.dtype.kind not in "iu":
        raise InputError(
            f"decoder_input_ids has shape {ids.shape} and type {ids.dtype}: it must hold integers, "
            f"({batch_size}, at least 1), as many for each document"
        )
    if ids.min() < 0 or ids.max() >= vocab_size:
        raise InputError(
            f"decoder_input_ids holds ids from {ids.min()} to {ids.max()}: they must be in 0..{vocab_size - 1}"
        )
    ids = ids.astype(np.int64)
    begins_with_start = ids[:, 0] == starts[:, 0]  # (B,)
    if begins_with_start.any() and not begins_with_start.all():
        raise InputError(
            f"decoder_input_ids begins with the start token, {brief(start)}, in some rows and not in row "
            f"{begins_with_start.argmin()}: let all rows begin with it, or none"
        )
    return ids if begins_with_start.all() else np.concatenate([starts, ids], axis=1)


def _settle_lengths(
    values: dict[str, Any], origin: dict[str, str], notes: list[str], prompt_length: int, positions: int
) -> None:
    """Make max_length and min_length the final ones, both with the prompt."""
    asked = "max_length" if values["max_new_tokens"] is None else "max_new_tokens"
    if asked == "max_length" and origin["max_length"] == "default":
        notes.append(f"no length is set: at most {values['max_length']} tokens are generated; pass max_new_tokens")
        values["max_length"] += prompt_length
    for new, whole in (("max_new_tokens", "max_length"), ("min_new_tokens", "min_length")):
        if values[new] is not None:
            if origin[whole] != "default":
                notes.append(
                    f"{new}={values[new]} ({origin[new]}) takes precedence over "
                    f"{whole}={values[whole]} ({origin[whole]})"
                )
            values[whole], origin[whole] = values[new] + prompt_length, origin[new]
    limit = positions + 1  # the last token is never fed back
    longest, who = values["max_length"], origin["max_length"]
    if longest > limit and who in _OF_THE_CALLER:
        raise GenerationError(
            f"{asked}={values[asked]} makes {longest} tokens with the prompt, but this decoder has {positions} "
            f"positions: pass max_length of at most {limit}, or max_new_tokens of {max(limit - prompt_length, 0)}"
        )
    if longest > limit:
        notes.append(f"max_length={longest} ({who}) is lowered to {limit}: the decoder has {positions} positions")
        values["max_length"] = longest = limit
    if longest <= prompt_length:
        raise GenerationError(
            f"max_length={longest} ({who}) leaves no room after a prompt of {prompt_length} tokens: "
            f"pass max_new_tokens, or a shorter prompt (this decoder takes {limit} tokens at most)"
        )
    if values["min_length"] > longest:
        notes.append(
            f"min_length={values['min_length']} ({origin['min_length']}) is more than max_length={longest} ({who}): "
            "generation ends at the latter"
        )


def _settle_tokens(values: dict[str, Any], notes: list[str]) -> None:
    """Make tuples of ids and words, and choose the padding id."""
    for name in ("eos_token_id", "forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens"):
        values[name] = tuple(token for token in _as_list(values[name]) if token >= 0)  # -1 is never generated
    eos = values["eos_token_id"]
    if values["pad_token_id"] is None and eos:
        notes.append(f"no pad_token_id is set: ended rows are filled with the end of sequence, {eos[0]}")
        values["pad_token_id"] = eos[0]
    strings = values["stop_strings"]
    values["stop_strings"] = (strings,) if isinstance(strings, str) else tuple(strings)
    words = [tuple(word) for word in values["bad_words_ids"]]
    values["bad_words_ids"] = tuple(word for word in words if not (len(word) == 1 and word[0] in eos))
    values["sequence_bias"] = tuple({tuple(word): bias for word, bias in values["sequence_bias"]}.items())
    decay = values["exponential_decay_length_penalty"]
    values["exponential_decay_length_penalty"] = None if decay is None else tuple(decay)
    if decay is not None and not eos:
        raise GenerationError(
            f"exponential_decay_length_penalty={decay} needs an end of sequence to raise: set eos_token_id"
        )
    for name in ("forced_bos_token_id", "forced_eos_token_id"):
        forced = _as_list(values[name])
        if forced and set(forced) <= set(values["suppress_tokens"]):
            raise GenerationError(
                f"{name}={sorted(forced)} is forced and listed in suppress_tokens too, so no token is left: "
                "take it out of one of them"
            )


def _settle_sampling(values: dict[str, Any], origin: Mapping[str, str], notes: list[str]) -> None:
    """Draw a seed where one is needed and nobody states it; tell of settings of sampling where nothing is drawn.

    Raises GenerationError for a temperature by which float32 divides to infinity.
    """
    if values["do_sample"] and values["temperature"] < COLDEST:
        raise GenerationError(
            f"temperature={values['temperature']} ({origin['temperature']}) is too near to 0 to divide by: pass "
            f"do_sample=False to take the best token, or a temperature of at least {COLDEST}"
        )
    if values["do_sample"] and values["seed"] is None:
        values["seed"] = secrets.randbits(32)
    for name in () if values["do_sample"] else SAMPLING:
        if origin[name] == "call" and values[name] != SETTINGS[name].default:
            notes.append(f"{name}={values[name]} has no effect without sampling: pass do_sample=True")


def _settle_beams(
    values: Mapping[str, Any], origin: Mapping[str, str], notes: list[str], prompt: Ids, vocab_size: int
) -> None:
    """Raise GenerationError where the number of rows contradicts other settings, or the memory of this machine."""
    beams, returned, penalty = values["num_beams"], values["num_return_sequences"], values["length_penalty"]
    rows, asked = max((beams, "num_beams"), (returned, "num_return_sequences"))
    size, memory = 4 * len(prompt) * rows * vocab_size, physical_memory()
    if size > memory:
        raise GenerationError(
            f"{asked}={rows:,} ({origin[asked]}) makes {size:,} bytes of scores at each step, but this machine has "
            f"{memory:,} bytes of memory: pass fewer"
        )
    if returned > beams and not (beams == 1 and values["do_sample"]):
        raise GenerationError(
            f"num_return_sequences={returned} ({origin['num_return_sequences']}) is more than num_beams={beams} "
            f"({origin['num_beams']}): pass num_beams of at least {returned}{', or do_sample=True' * (beams == 1)}"
        )
    if beams == 1:
        for name in ("length_penalty", "early_stopping"):
            if origin[name] == "call" and values[name] != SETTINGS[name].default:
                notes.append(f"{name}={brief(values[name])} has no effect without beams: pass num_beams of at least 2")
        return
    ends = len(values["eos_token_id"])
    if max(ends, 1) >= vocab_size:
        raise GenerationError(f"eos_token_id lists {ends} of {vocab_size} tokens: beam search needs one that goes on")
    longest = values["max_length"] - prompt.shape[1]
    if abs(penalty * math.log(longest)) > _LARGEST_EXPONENT:  # the exponent of e in the divisor of the scores
        raise GenerationError(
            f"length_penalty={penalty} makes {longest} ** {penalty}, which float32 cannot hold: pass one nearer to 0"
        )


def _turn_off(values: dict[str, Any], notes: list[str], has_encoder_ids: bool) -> None:
    """Give their defaults to the settings that lack what they need."""
    needs = [] if has_encoder_ids else ["encoder_repetition_penalty", "encoder_no_repeat_ngram_size"]
    for name in needs + ([] if values["return_dict_in_generate"] else list(ADD_FIELDS)):
        default = SETTINGS[name].default
        if values[name] != default:
            remedy = "it needs input_ids" if name in needs else "pass return_dict_in_generate=True with it"
            notes.append(f"{name}={values[name]} is ignored: {remedy}")
            values[name] = default
