"""GenerationConfig: how a model is asked to generate, as `generation_config.json` states it.

What a value must be is said once, in CHECKS; `checked` applies it, here and to the arguments of a call.
"""

import difflib
import math
import numbers
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from .config import LEDConfig
from .errors import GenerationError
from .files import read_json, write_json

# 1. What a value must be

Check = tuple[Callable[[Any], Any], str]  # to the plain value, ValueError or TypeError when it is none; in words


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError


def _integer(least: int) -> Callable[[Any], int]:
    def plain(value: Any) -> int:
        _require(isinstance(value, numbers.Integral) and not isinstance(value, bool))
        _require(int(value) >= least)
        return int(value)

    return plain


def _number(value: Any) -> float:
    _require(isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value))
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def _positive(value: Any) -> float:
    plain = _number(value)
    _require(plain > 0)
    return plain


def _flag(value: Any) -> bool:
    _require(isinstance(value, bool))
    return bool(value)


_token = _integer(0)


def _tokens(value: Any) -> list[int]:
    _require(isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)))
    return [_token(token) for token in value]


def _word(value: Any) -> list[int]:
    word = _tokens(value)
    _require(len(word) > 0)
    return word


def _token_or_word(value: Any) -> int | list[int]:
    return _word(value) if isinstance(value, Iterable) else _token(value)


def _words(value: Any) -> list[list[int]]:
    _require(isinstance(value, (list, tuple)))
    return [_word(word) for word in value]


def _biases(value: Any) -> list[list[Any]]:
    pairs = list(value.items()) if isinstance(value, Mapping) else [(word, bias) for word, bias in value]
    return [[_word(word), _number(bias)] for word, bias in pairs]


def _early(value: Any) -> bool | str:
    _require(isinstance(value, bool) or value == "never")
    return value


def _decay(value: Any) -> list[float]:
    start, factor = value
    return [_integer(0)(start), _positive(factor)]


_COUNT: Check = (_integer(1), "an integer of at least 1")
_COUNT_OR_0: Check = (_integer(0), "an integer of at least 0 (0 turns it off)")
_PENALTY: Check = (_positive, "a number above 0 (1 turns it off)")
_FLAG: Check = (_flag, "True or False")
_TOKEN: Check = (_token, "the id of a token, an integer of at least 0, or None")
_TOKEN_OR_TOKENS: Check = (_token_or_word, "the id of a token, a list of at least one id, or None")
_TOKENS: Check = (_tokens, "a list of ids, each an integer of at least 0, or None")

CHECKS: dict[str, Check] = {
    "max_length": _COUNT,
    "max_new_tokens": _COUNT,
    "min_length": _COUNT_OR_0,
    "min_new_tokens": _COUNT_OR_0,
    "num_beams": _COUNT,
    "num_return_sequences": _COUNT,
    "early_stopping": (_early, "True, False or 'never'"),
    "length_penalty": (_number, "a finite number (0 leaves sums of log-probabilities as they are)"),
    "repetition_penalty": _PENALTY,
    "encoder_repetition_penalty": _PENALTY,
    "no_repeat_ngram_size": _COUNT_OR_0,
    "encoder_no_repeat_ngram_size": _COUNT_OR_0,
    "bad_words_ids": (_words, "a list of words, each a list of at least one id, or None"),
    "sequence_bias": (_biases, "a list of [ids, bias] pairs or a dict of ids to bias, or None"),
    "exponential_decay_length_penalty": (_decay, "a pair (start, factor), an integer of at least 0 and a number > 0"),
    "suppress_tokens": _TOKENS,
    "begin_suppress_tokens": _TOKENS,
    "forced_bos_token_id": _TOKEN,
    "forced_eos_token_id": _TOKEN_OR_TOKENS,
    "remove_invalid_values": _FLAG,
    "renormalize_logits": _FLAG,
    "pad_token_id": _TOKEN,
    "bos_token_id": _TOKEN,
    "eos_token_id": _TOKEN_OR_TOKENS,
    "decoder_start_token_id": _TOKEN_OR_TOKENS,
    "use_cache": _FLAG,
    "output_scores": _FLAG,
    "output_logits": _FLAG,
    "return_dict_in_generate": _FLAG,
}

# Settings of Hugging Face's that pyled does not implement, with the values at which they do nothing.
NOT_IMPLEMENTED: dict[str, tuple[Any, ...]] = {
    "do_sample": (False,),
    "num_beam_groups": (1, 0),
    "penalty_alpha": (0,),
    "constraints": ([],),
    "force_words_ids": ([],),
    "guidance_scale": (1,),
    "dola_layers": (),
    "prompt_lookup_num_tokens": (),
    "assistant_early_exit": (),
    "assistant_model": (),
    "use_mtp": (False,),
    "watermarking_config": (),
    "token_healing": (False,),
    "low_memory": (False,),
    "max_time": (),
    "stop_strings": (),
    "streamer": (),
    "synced_gpus": (False,),
    "custom_generate": (),
    "negative_prompt_ids": (),
    "negative_prompt_attention_mask": (),
}

# The same for what they would only add to the result: a file that asks for it is no reason not to generate.
NOT_RETURNED: dict[str, tuple[Any, ...]] = {"output_attentions": (False,), "output_hidden_states": (False,)}

# Settings that change nothing in greedy and beam search (the first eight act when sampling).
WITHOUT_EFFECT: dict[str, tuple[Any, ...]] = {
    "temperature": (1,),
    "top_k": (50,),
    "top_p": (1,),
    "min_p": (),
    "top_h": (),
    "typical_p": (1,),
    "epsilon_cutoff": (0,),
    "eta_cutoff": (0,),
    "diversity_penalty": (0,),
    "use_cache": (True,),
    "cache_implementation": (),
    "prefill_chunk_size": (),
}

KNOWN = frozenset(CHECKS) | frozenset(NOT_IMPLEMENTED) | frozenset(NOT_RETURNED) | frozenset(WITHOUT_EFFECT)


def checked(name: str, value: Any) -> Any:
    """The plain Python value of a setting. Raises GenerationError when it is none; None and unknown names pass."""
    if value is None or name not in CHECKS:
        return value
    plain, words = CHECKS[name]
    try:
        return plain(value)
    except (ValueError, TypeError, OverflowError):
        raise GenerationError(f"{name} is {reprlib.repr(value)}: it must be {words}") from None


def refuse_unknown(names: Iterable[str]) -> None:
    """Raise GenerationError for a name that is no setting, with the nearest name that is one."""
    for name in names:
        if name not in KNOWN:
            near = difflib.get_close_matches(name, sorted(KNOWN), n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see GenerationConfig for the names"
            raise GenerationError(f"{name!r} is no generation setting: {hint}")


# 2. The configuration


@dataclass(init=False)
class GenerationConfig:
    """How to generate, with the names of Hugging Face's GenerationConfig (transformers 5.23.0); None is unset.

    An unset value leaves the decision to whoever stands lower: the call's arguments come first, then a
    GenerationConfig passed to the call, the model's own, and the defaults (`pyled.generation.settings`).
    `max_length` and `min_length` count the prompt (one token, unless more is given), `max_new_tokens` and
    `min_new_tokens` do not. `extra` holds what a file states beyond the fields; it is written back. `source` says
    where the values come from: "generation_config.json", "config.json", or "generation_config" for code.

    Raises GenerationError for a value out of range, and for a name that is no setting.
    """

    max_length: int | None = None
    max_new_tokens: int | None = None
    min_length: int | None = None
    min_new_tokens: int | None = None
    num_beams: int | None = None
    num_return_sequences: int | None = None
    early_stopping: bool | str | None = None
    length_penalty: float | None = None
    repetition_penalty: float | None = None
    encoder_repetition_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    encoder_no_repeat_ngram_size: int | None = None
    bad_words_ids: list[list[int]] | None = None
    sequence_bias: list[list[Any]] | None = None
    exponential_decay_length_penalty: list[float] | None = None
    suppress_tokens: list[int] | None = None
    begin_suppress_tokens: list[int] | None = None
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | list[int] | None = None
    remove_invalid_values: bool | None = None
    renormalize_logits: bool | None = None
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    decoder_start_token_id: int | list[int] | None = None
    use_cache: bool | None = None
    output_scores: bool | None = None
    output_logits: bool | None = None
    return_dict_in_generate: bool | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    source: str = field(default="generation_config", compare=False)

    def __init__(self, **settings: Any) -> None:
        refuse_unknown(settings)
        self._set(settings)

    def _set(self, settings: Mapping[str, Any]) -> None:
        for name in CHECKS:
            setattr(self, name, checked(name, settings.get(name)))
        self.extra = {name: value for name, value in settings.items() if name not in CHECKS}
        self.source = "generation_config"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """A configuration from the keys of a `generation_config.json`; what is no field goes to `extra`."""
        config = cls()
        config._set(values)
        return config

    @classmethod
    def from_pretrained(cls, directory: str | Path) -> Self:
        """The configuration in a checkpoint directory's `generation_config.json`.

        Raises GenerationError where the file is missing or wrong.
        """
        path = Path(directory) / "generation_config.json"
        values = read_json(path, GenerationError)
        try:
            config = cls.from_dict(values)
        except GenerationError as e:
            raise GenerationError(f"{path}: {e}") from None
        config.source = "generation_config.json"
        return config

    @classmethod
    def from_model_config(cls, model: LEDConfig) -> Self:
        """The generation keys that a `config.json` of older days holds, and the ids of the model.

        The stand-in for a missing `generation_config.json`, and only that: where the file exists, transformers 5.23.0
        ignores these keys altogether. `force_bos_token_to_be_generated` sets `forced_bos_token_id` (as its
        configuration_utils.py does, even over another value). Its other keys, `task_specific_params` among them, are
        not read.
        """
        settings = {name: value for name, value in model.extra.items() if name in KNOWN - set(NOT_RETURNED)}
        for name in ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"):
            settings[name] = getattr(model, name)
        if model.extra.get("force_bos_token_to_be_generated"):
            settings["forced_bos_token_id"] = model.bos_token_id
        config = cls.from_dict(settings)
        config.source = "config.json"
        return config

    def to_dict(self) -> dict[str, Any]:
        """The keys of a `generation_config.json`: what is set, and `extra`. Raises GenerationError as the class."""
        own = {name: checked(name, getattr(self, name)) for name in CHECKS}
        return {**self.extra, **{name: value for name, value in own.items() if value is not None}}

    @classmethod
    def of_checkpoint(cls, directory: Path, config: LEDConfig) -> Self:
        """What `generation_config.json` of a checkpoint says, or, where there is none, its `config.json`."""
        stated = (directory / "generation_config.json").exists()
        return cls.from_pretrained(directory) if stated else cls.from_model_config(config)

    def save_pretrained(self, directory: str | Path) -> None:
        """Write `generation_config.json` into `directory`, which is made if missing."""
        values = self.to_dict()
        Path(directory).mkdir(parents=True, exist_ok=True)
        write_json(Path(directory) / "generation_config.json", values)


def is_neutral(name: str, value: Any) -> bool:
    """Whether a setting that pyled does not act on has a value at which it does nothing anyway."""
    return value is None or value in {**NOT_IMPLEMENTED, **NOT_RETURNED, **WITHOUT_EFFECT}[name]
