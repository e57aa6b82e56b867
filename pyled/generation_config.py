"""The settings of generation, each said once, and GenerationConfig, as `generation_config.json` states them."""

import difflib
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

from .annotations import Directory, File, checked_arguments
from .errors import GenerationError, brief, escaped
from .files import is_there, json_text, read_json, write_json
from .hub import CONFIG, Part, opened, other_keywords

# 1. What a value must be

Check = tuple[Callable[[Any], bool], str]  # whether a plain Python value is right; in words


def _plain(value: Any, depth: int = 3) -> Any:
    """Return a value of lists and Python's numbers for one of tuples, NumPy's numbers and the like.

    >>> _plain({(3, 4): 0.5})
    [[[3, 4], 0.5]]
    """
    is_of_numpy = hasattr(value, "tolist") and not isinstance(value, type)
    value = list(value.items()) if isinstance(value, Mapping) else value.tolist() if is_of_numpy else value
    if depth == 0 or not isinstance(value, list | tuple | Set):
        return value
    return [_plain(part, depth - 1) for part in value]


def _integer(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and value >= least


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _list_of(is_item: Callable[[Any], bool], least: int = 0) -> Callable[[Any], bool]:
    return lambda value: type(value) is list and len(value) >= least and all(map(is_item, value))


def _pair_of(is_first: Callable[[Any], bool], is_second: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: type(value) is list and len(value) == 2 and is_first(value[0]) and is_second(value[1])


def _one_or_more(is_item: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: is_item(value) or _list_of(is_item, 1)(value)


_is_word = _list_of(_integer(0), 1)

_COUNT: Check = (_integer(1), "an integer of at least 1")
_COUNT_OR_0: Check = (_integer(0), "an integer of at least 0 (0 turns it off)")
_NUMBER: Check = (_is_number, "a finite number (0 leaves sums of log-probabilities as they are)")
_PENALTY: Check = (_is_positive, "a number above 0 (1 turns it off)")
_EARLY: Check = (
    lambda value: type(value) is bool or (type(value) is str and value == "never"),
    "True, False or 'never'",
)
_DECAY: Check = (_pair_of(_integer(0), _is_positive), "a pair of an integer of at least 0 and a number above 0")
# subtle: a temperature of 0 stands in many files that do not sample, where it harms nothing.
_DIVISOR: Check = (lambda value: _is_number(value) and value >= 0, "a number above 0 (1 turns it off)")
_SHARE: Check = (lambda value: _is_number(value) and 0 <= value <= 1, "a number from 0 to 1")
_MASS: Check = (lambda value: _is_number(value) and 0 < value <= 1, "a number above 0, at most 1")
_CUTOFF: Check = (lambda value: _is_number(value) and 0 <= value < 1, "a number from 0 to below 1 (0 turns it off)")
_SEED: Check = (_integer(0), "an integer of at least 0, or None")
_TIME: Check = (_is_positive, "a number of seconds above 0, or None")
_STRINGS: Check = (
    _one_or_more(lambda value: type(value) is str and bool(re.fullmatch("[^\ud800-\udfff]+", value))),
    "a string or some, none empty nor with half of a surrogate pair, or None",
)
_FLAG: Check = (lambda value: type(value) is bool, "True or False")
_TOKEN: Check = (_integer(0), "the id of a token, an integer of at least 0, or None")
_TOKEN_OR_TOKENS: Check = (_one_or_more(_integer(0)), "the id of a token, a list of at least one id, or None")
_ENDS: Check = (_one_or_more(_integer(-1)), "the id of a token, a list of at least one id, -1 for no end, or None")
_TOKENS: Check = (_list_of(_integer(0)), "a list of ids, each an integer of at least 0, or None")
_WORDS: Check = (_list_of(_is_word), "a list of words, each a list of at least one id, or None")
_BIASES: Check = (_list_of(_pair_of(_is_word, _is_number)), "a list of [ids, bias] pairs, a dict of such, or None")

# 2. The settings


class Setting(NamedTuple):
    """A setting: its value where nobody sets one, what a value must be, and what it does in words for a user."""

    default: Any
    check: Check
    words: str


def _setting(default: Any, check: Check, words: str) -> Any:
    return field(default=default, metadata={"setting": Setting(default, check, words)})


@dataclass(frozen=True)
class Settings:
    """The settings of one generation, all decided; `pyled.generation.resolve` makes them.

    Each line says one setting: its name, which is Hugging Face's (transformers 5.23.0), the type of its final value,
    its default, its check, and its words. `max_length` and `min_length` count the `prompt_length` tokens of the prompt.
    `origin` says who set each setting: "call", "generation_config", "generation_config.json", "config.json" or
    "default". `notes` say what was assumed, changed or ignored.
    """

    # Lengths, in tokens. subtle: the default of max_length does not count the prompt, a value that someone sets does.
    max_length: int = _setting(20, _COUNT, "most tokens of a summary, counting the one it starts from")
    min_length: int = _setting(0, _COUNT_OR_0, "fewest tokens of a summary, counting the one it starts from")
    # The search.
    num_beams: int = _setting(1, _COUNT, "hypotheses that beam search keeps; 1 is greedy search")
    num_return_sequences: int = _setting(1, _COUNT, "summaries of one document, at most num_beams")
    early_stopping: bool | str = _setting(
        False, _EARLY, "when beam search ends: true once it has enough summaries, false when better ones are unlikely, "
        "never when they are impossible"
    )  # fmt: skip
    length_penalty: float = _setting(1.0, _NUMBER, "above 0 beam search prefers longer summaries, below 0 shorter ones")
    max_time: float | None = _setting(None, _TIME, "seconds of generation after which the next token is the last")
    stop_strings: tuple[str, ...] = _setting(
        (), _STRINGS, "a string, or several, that end a summary where they are whole"
    )
    # Sampling.
    do_sample: bool = _setting(False, _FLAG, "whether tokens are drawn by their probabilities: see docs/generation.md")
    seed: int | None = _setting(None, _SEED, "with the same seed the same is drawn; the default is drawn, and recorded")
    temperature: float = _setting(1.0, _DIVISOR, "above 1 the probabilities of tokens are more alike, below 1 less")
    top_h: float | None = _setting(None, _MASS, "draw likely tokens only, with this share of the entropy together")
    top_k: int = _setting(50, _COUNT_OR_0, "draw the K likeliest tokens only")
    top_p: float = _setting(1.0, _SHARE, "draw likely tokens only, with this probability together; 1 draws all")
    min_p: float | None = _setting(None, _SHARE, "draw tokens only with this share of the likeliest one's probability")
    typical_p: float = _setting(
        1.0, _MASS, "draw tokens of usual surprise only, with this probability together; 1 draws all"
    )
    epsilon_cutoff: float = _setting(0.0, _CUTOFF, "draw tokens of at least this probability only")
    eta_cutoff: float = _setting(0.0, _CUTOFF, "the same, but of less where many tokens are likely")
    # Rules that change logits before a token is chosen.
    repetition_penalty: float = _setting(1.0, _PENALTY, "above 1 tokens already written are less likely")
    encoder_repetition_penalty: float = _setting(1.0, _PENALTY, "above 1 tokens of the text are more likely")
    no_repeat_ngram_size: int = _setting(0, _COUNT_OR_0, "no N tokens in a row twice")
    encoder_no_repeat_ngram_size: int = _setting(0, _COUNT_OR_0, "no N tokens in a row that are in the text")
    bad_words_ids: tuple[tuple[int, ...], ...] = _setting((), _WORDS, "words, in ids, that are never written")
    sequence_bias: tuple[tuple[tuple[int, ...], float], ...] = _setting(
        (), _BIASES, "words, in ids, and what is added to the logit of the last id of each"
    )
    exponential_decay_length_penalty: tuple[int, float] | None = _setting(
        None, _DECAY, "behind that many tokens the end becomes more likely, by that factor for each token"
    )
    suppress_tokens: tuple[int, ...] = _setting((), _TOKENS, "ids that are never written")
    begin_suppress_tokens: tuple[int, ...] = _setting((), _TOKENS, "ids that are never written first")
    forced_bos_token_id: int | None = _setting(None, _TOKEN, "the id that is written first")
    forced_eos_token_id: tuple[int, ...] = _setting((), _TOKEN_OR_TOKENS, "the ids that can be written last")
    remove_invalid_values: bool = _setting(False, _FLAG, "whether NaN and infinity become finite logits")
    renormalize_logits: bool = _setting(False, _FLAG, "whether the changed logits become log-probabilities again")
    # Special tokens.
    pad_token_id: int | None = _setting(None, _TOKEN, "the id behind the end of a summary")
    eos_token_id: tuple[int, ...] = _setting((), _ENDS, "the ids that end a summary; -1 ends none")
    # The form of the result.
    output_scores: bool = _setting(False, _FLAG, "whether the scores of each step are returned")
    output_logits: bool = _setting(False, _FLAG, "whether the logits of each step are returned")
    output_attentions: bool = _setting(False, _FLAG, "whether the attentions of each step are returned")
    output_hidden_states: bool = _setting(False, _FLAG, "whether the states of each step are returned")
    return_dict_in_generate: bool = _setting(False, _FLAG, "whether more than the ids is returned")
    # What is no setting.
    prompt_length: int = 1
    origin: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def rows_per_document(self) -> int:
        """The targets of each document that are decoded side by side: beams, or draws that are independent."""
        return max(self.num_beams, self.num_return_sequences)


@dataclass(frozen=True)
class _AllSettings(Settings):
    """The settings that can be set: those above, and these, which `resolve` turns into others and into the prompt."""

    max_new_tokens: int | None = _setting(None, _COUNT, "most tokens of a summary, not counting that one")
    min_new_tokens: int | None = _setting(None, _COUNT_OR_0, "fewest tokens of a summary, not counting that one")
    bos_token_id: int | None = _setting(None, _TOKEN, "the id that a summary starts from if there is no other")
    decoder_start_token_id: int | None = _setting(None, _TOKEN_OR_TOKENS, "the id that a summary starts from")
    use_cache: bool = _setting(True, _FLAG, "without effect: what was computed of earlier tokens is always kept")


SETTINGS: dict[str, Setting] = {f.name: f.metadata["setting"] for f in fields(_AllSettings) if f.metadata}
HOLD_IDS = [n for n, s in SETTINGS.items() if s.check in (_TOKEN, _TOKEN_OR_TOKENS, _ENDS, _TOKENS)]

SAMPLING = ("seed", "temperature", "top_h", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")

# Settings of Hugging Face's that pyled does not implement, with the values at which they do nothing beside None.
NOT_IMPLEMENTED: dict[str, tuple[Any, ...]] = {
    "num_beam_groups": (1, 0), "penalty_alpha": (0,), "constraints": ([],),
    "force_words_ids": ([],), "dola_layers": (), "assistant_model": (), "assistant_early_exit": (),
    "use_mtp": (False,), "guidance_scale": (1,), "negative_prompt_ids": (),
    "negative_prompt_attention_mask": (), "watermarking_config": (), "token_healing": (False,), "low_memory": (False,),
    "synced_gpus": (False,), "custom_generate": (),
}  # fmt: skip

# What they are called, and what to do instead, as parts of a message.
_GONE = "; transformers 5.23.0 no longer has it, either:"
_FASTER = "; it makes the same tokens sooner, with help that LED does not have"
_TWICE = "; it needs a second prompt: use sequence_bias or a logits_processor"
REASONS: dict[str, tuple[str, str]] = {
    "num_beam_groups": (", diverse beam search", f"{_GONE} use do_sample=True for summaries that differ"),
    "penalty_alpha": (", contrastive search", f"{_GONE} use no_repeat_ngram_size, or do_sample=True and top_p=0.9"),
    "constraints": (", constrained beam search", f"{_GONE} use prefix_allowed_tokens_fn or sequence_bias"),
    "force_words_ids": (", constrained beam search", f"{_GONE} use prefix_allowed_tokens_fn or sequence_bias"),
    "dola_layers": (", DoLa decoding", f"{_GONE} use repetition_penalty"),
    "assistant_model": (", assisted generation", _FASTER),
    "assistant_early_exit": (", assisted generation", _FASTER),
    "use_mtp": (", prediction of several tokens", _FASTER),
    "guidance_scale": (", classifier-free guidance", _TWICE),
    "negative_prompt_ids": (", classifier-free guidance", _TWICE),
    "negative_prompt_attention_mask": (", classifier-free guidance", _TWICE),
}

# Settings that change no result.
WITHOUT_EFFECT: dict[str, tuple[Any, ...]] = {
    "diversity_penalty": (0,), "use_cache": (True,), "cache_implementation": (), "prefill_chunk_size": (),
    "prompt_lookup_num_tokens": (), "max_matching_ngram_size": (),
}  # fmt: skip

KNOWN = frozenset(SETTINGS) | NOT_IMPLEMENTED.keys() | WITHOUT_EFFECT.keys()
OF_CALLS = {"output_attentions", "output_hidden_states"}  # where a config.json has them, they are those of a call
ADD_FIELDS = ("output_scores", "output_logits", *sorted(OF_CALLS))  # to the output of a generation

# Arguments of the call of a model, which are no settings.
_OF_A_CALL = (
    "input_ids", "attention_mask", "global_attention_mask", "inputs_embeds", "encoder_outputs", "decoder_input_ids",
    "decoder_attention_mask", "decoder_inputs_embeds", "past_key_values", "labels", "return_dict", "head_mask",
    "decoder_head_mask", "cross_attn_head_mask", "cache_position", "streamer", "tokenizer",
)  # fmt: skip
_METADATA = {"transformers_version", "_from_model_config"}  # keys that files have beside the settings


def is_neutral(name: str, value: Any) -> bool:
    """Return whether a setting that pyled does not act on has a value at which it does nothing anyway."""
    plain, neutral = _plain(value), {**NOT_IMPLEMENTED, **WITHOUT_EFFECT}[name]
    return plain is None or (isinstance(plain, int | float | str | list) and plain in neutral)


def checked(name: str, value: Any) -> Any:
    """Return the plain Python value of a setting; None and names that are no setting pass as they are.

    >>> checked("suppress_tokens", (3, 4))
    [3, 4]
    >>> checked("num_beams", 0)
    Traceback (most recent call last):
    pyled.errors.GenerationError: num_beams is 0: it must be an integer of at least 1

    Raises GenerationError for a value that the setting cannot have.
    """
    if value is None or name not in SETTINGS:
        return value
    plain, (is_right, words) = _plain(value), SETTINGS[name].check
    is_huge = isinstance(plain, int) and abs(plain) >= 2**63  # where NumPy's integers end
    if is_huge or not is_right(plain):
        raise GenerationError(f"{name} is {brief(value)}: it must be {words}{', below 2**63' * is_huge}")
    return plain


def refuse_unknown(names: Iterable[str]) -> None:
    """Raise GenerationError for a name that is no setting, with what it is or the nearest name that is one."""
    for name in names:
        if name in _OF_A_CALL:
            raise GenerationError(f"{brief(name)} is no generation setting: pass it to the call of the model")
        if name not in KNOWN:
            near = difflib.get_close_matches(name, sorted(KNOWN), n=1, cutoff=0.7)
            hint = f"did you mean {brief(near[0])}?" if near else "see GenerationConfig for the names"
            raise GenerationError(f"{brief(name)} is no generation setting: {hint}")


# 3. The configuration


class GenerationConfig:
    """Settings of generation, as attributes with the names of `Settings` and `_AllSettings`; None is unset.

    An unset value leaves the decision to whoever stands lower: the arguments of a call come first, then a
    GenerationConfig passed to the call, the model's, and the defaults (`pyled.generation.resolve`). `max_length` and
    `min_length` count the prompt (one token, unless more is passed), `max_new_tokens` and `min_new_tokens` do not.
    `extra` holds what is set or stated beyond the settings; it is an attribute too, and is written back.

    >>> config = GenerationConfig(num_beams=4)
    >>> config.max_new_tokens = 60
    >>> config.to_dict()
    {'max_new_tokens': 60, 'num_beams': 4}

    Raises GenerationError, whenever a value is set, for one out of range and for a name that is no setting.
    """

    extra: dict[str, Any]
    origins: dict[str, str]  # the file that set a setting, where no code did

    def __init__(self, /, **settings: Any) -> None:
        vars(self).update(dict.fromkeys(SETTINGS), extra={}, origins={})
        for name, value in settings.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in SETTINGS:
            vars(self)[name] = checked(name, value)
        else:
            refuse_unknown({name} - self.extra.keys() - _METADATA)
            self.extra[name] = value
        self.origins.pop(name, None)

    def __getattr__(self, name: str) -> Any:
        extra = vars(self).get("extra", {})
        if name not in extra and name not in KNOWN:
            raise AttributeError(f"GenerationConfig has no {brief(name)}")
        return extra.get(name)

    def __copy__(self) -> Self:
        config = type(self)()
        vars(config).update({name: dict(v) if isinstance(v, dict) else v for name, v in vars(self).items()})
        return config

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GenerationConfig) and vars(self) | {"origins": 0} == vars(other) | {"origins": 0}

    def __repr__(self) -> str:
        stated = {name: value for name, value in vars(self).items() if name in SETTINGS and value is not None}
        words = (f"{escaped(name)}={value!r}" for name, value in (stated | self.extra).items())
        return f"GenerationConfig({', '.join(words)})"

    @checked_arguments
    def origin(self, name: str) -> str:
        """Return who set a setting: "generation_config.json", "config.json", or "generation_config" for code."""
        return self.origins.get(name, "generation_config")

    def update(self, /, **settings: Any) -> dict[str, Any]:
        """Set those that are settings, all or none of them, and return the others, as upstream."""
        known = {name: checked(name, value) for name, value in settings.items() if name in KNOWN | self.extra.keys()}
        for name, value in known.items():
            setattr(self, name, value)
        return {name: value for name, value in settings.items() if name not in known}

    @classmethod
    @checked_arguments
    def from_dict(cls, values: Mapping[str, Any], /, **overrides: Any) -> Self:
        """Return a configuration of the keys of a `generation_config.json`, with others in their place.

        A key that is no setting goes to `extra`; an override must be one.
        """
        config = cls()
        config.extra.update((name, value) for name, value in values.items() if name not in SETTINGS)
        for name, value in [*values.items(), *overrides.items()]:
            setattr(config, name, value)
        return config

    @classmethod
    @checked_arguments
    def from_pretrained(cls, directory: str | Path, config_file_name: File | None = None, **overrides: Any) -> Self:
        """Return the configuration in a checkpoint's `generation_config.json`, or in another file there.

        directory: or the checkpoint's name on a hub, owner/name; then also `revision` and its like, see docs/api.md

        Raises GenerationError where the file is missing or wrong, CheckpointError for no directory, InputError.
        """
        name = str(config_file_name or "generation_config.json")
        path, overrides = opened(directory, overrides, CONFIG, Part(name, (name,), ()), is_strict=False)
        refuse_unknown(overrides)
        path /= name
        if not is_there(path, GenerationError):
            raise GenerationError(
                f"{directory} holds no {path.name}: GenerationConfig.from_model_config reads a config.json instead"
            )
        values = read_json(path, GenerationError)
        try:
            config = cls.from_dict(values)
        except GenerationError as e:
            raise e.at(path) from None
        config.origins.update(dict.fromkeys(values, "generation_config.json"))
        config.update(**overrides)
        return config

    @classmethod
    def from_model_config(cls, model_config: Any) -> Self:
        """Return what a `config.json` says of generation: the keys of older days, and the ids of special tokens.

        This stands in for a missing `generation_config.json`, and only for that: where the file exists, transformers
        5.23.0 ignores these keys altogether. `force_bos_token_to_be_generated` sets `forced_bos_token_id` (as its
        configuration_utils.py does, even over another value). `task_specific_params` are not read.

        model_config: an LEDConfig, or its dictionary
        """
        stated = model_config.to_dict() if hasattr(model_config, "to_dict") else model_config
        if not isinstance(stated, Mapping):
            raise GenerationError(f"model_config is {brief(model_config)}: pass an LEDConfig, or its dictionary")
        names = KNOWN - OF_CALLS - {"use_cache"}
        settings = {name: value for name, value in stated.items() if name in names}
        if stated.get("force_bos_token_to_be_generated"):
            settings["forced_bos_token_id"] = settings.get("bos_token_id")
        config = cls.from_dict(settings)
        config.origins.update(dict.fromkeys(settings, "config.json"))
        return config

    @classmethod
    def of_checkpoint(cls, directory: Path, model_config: Any) -> Self:
        """Return what `generation_config.json` of a checkpoint says, or, where there is none, its `config.json`."""
        is_stated = is_there(directory / "generation_config.json", GenerationError)
        return cls.from_pretrained(directory) if is_stated else cls.from_model_config(model_config)

    def to_dict(self) -> dict[str, Any]:
        """Return the keys of a `generation_config.json`: what is set, and `extra`. Raises GenerationError."""
        settings = {name: checked(name, vars(self)[name]) for name in sorted(SETTINGS)}
        return {**self.extra, **{name: value for name, value in settings.items() if value is not None}}

    def to_json_string(self) -> str:
        """Return the text of a `generation_config.json`."""
        return json_text(self.to_dict())

    @checked_arguments
    def save_pretrained(self, directory: Directory, config_file_name: File | None = None, **keywords: Any) -> None:
        """Write `generation_config.json`, or another file, into `directory`, which is made if missing.

        Raises GenerationError for a keyword that is not of `other_keywords`, and for what was changed within a list.
        """
        for name in other_keywords(keywords):
            raise GenerationError(f"{brief(name)} is no argument of save_pretrained: set it on the configuration first")
        write_json(Path(directory) / (config_file_name or "generation_config.json"), self.to_dict())
