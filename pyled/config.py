"""LEDConfig: the shape of a model, and what else its `config.json` states."""

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, get_type_hints

from .annotations import Directory, checked_arguments
from .errors import ConfigError, InputError, brief
from .files import json_text, read_json, write_json
from .generation_config import KNOWN, OF_CALLS
from .hub import CONFIG, opened, other_keywords

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu", "relu", "silu", "swish")
PROBLEMS = ("regression", "single_label_classification", "multi_label_classification")

# Other names under which Hugging Face's LEDConfig offers the same values (attribute_map, transformers 5.23.0).
ALIASES = {
    "hidden_size": "d_model",
    "num_attention_heads": "encoder_attention_heads",
    "num_hidden_layers": "encoder_layers",
    "attention_probs_dropout_prob": "attention_dropout",
    "initializer_range": "init_std",
}
_OF_CALLS = {"output_attentions": False, "output_hidden_states": False, "return_dict": True}  # and their values here
# Attributes of other names, with the value that each has unless it is stated.
_UNSTATED = dict.fromkeys(("architectures", "dtype", "torch_dtype", "transformers_version")) | _OF_CALLS


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _of_python(value: Any) -> Any:
    """Return Python's numbers and lists for those of NumPy, and for tuples."""
    parts = value if (is_list := isinstance(value, list | tuple)) else [value]
    plain = [part.tolist() if hasattr(part, "tolist") and not isinstance(part, type) else part for part in parts]
    return plain if is_list else plain[0]


def _from_1_to(most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and 1 <= value <= most


# The type of a value, whether a value is right, and in words what it must be. Layers and labels are counted one by one.
Size = Annotated[int, _from_1_to(2**31 - 1), "an integer from 1 to 2,147,483,647"]
Layers = Annotated[int, _from_1_to(1000), "an integer from 1 to 1,000"]
Labels = Annotated[int, _from_1_to(100_000), "an integer from 1 to 100,000"]
Rate = Annotated[float, lambda value: type(value) in (int, float) and 0 <= value <= 1, "a number from 0 to 1"]
Deviation = Annotated[float, lambda value: type(value) in (int, float) and 0 <= value <= 1e9, "a number from 0 to 1e9"]
Flag = Annotated[bool, lambda value: type(value) is bool, "true or false"]
Activation = Annotated[
    str, lambda value: type(value) is str and value in ACTIVATIONS, f"one of {', '.join(ACTIVATIONS)}"
]
Problem = Annotated[
    str | None,
    lambda value: value is None or (type(value) is str and value in PROBLEMS),
    f"one of {', '.join(PROBLEMS)}, or null",
]
Windows = Annotated[
    int | list[int],
    lambda value: all(type(w) is int and 2 <= w < 2**31 and w % 2 == 0 for w in _each(value)),
    "an even integer from 2 to 2,147,483,646, or a list of one for each encoder layer",
]
Id = Annotated[
    int | None, lambda value: value is None or (type(value) is int and value >= 0), "an id below vocab_size, or null"
]
Ends = Annotated[
    int | list[int] | None,
    lambda value: value is None or all(type(token) is int and token >= -1 for token in _each(value)),
    "an id below vocab_size, a list of them, -1 for no end, or null",
]


@dataclass(init=False)
class Shape:
    """The fields that the arithmetic of a model depends on: nobody can set them on the configuration of a model.

    `attention_window` is two-sided and even: a token attends to `attention_window // 2` tokens on each side and to
    itself; one number for all encoder layers, or one per layer.
    """

    vocab_size: Size = 50265
    max_encoder_position_embeddings: Size = 16384
    max_decoder_position_embeddings: Size = 1024
    encoder_layers: Layers = 12
    encoder_ffn_dim: Size = 4096
    encoder_attention_heads: Size = 16
    decoder_layers: Layers = 12
    decoder_ffn_dim: Size = 4096
    decoder_attention_heads: Size = 16
    d_model: Size = 1024
    attention_window: Windows = 512
    activation_function: Activation = "gelu"
    tie_word_embeddings: Flag = True
    num_labels: Labels = 2


@dataclass(init=False)
class LEDConfig(Shape):
    """The configuration of an LED, with the names and defaults of Hugging Face's LEDConfig (transformers 5.23.0).

    Each line, here and in `Shape`, says a field once: its name, its type with what a value must be, and its default.
    The names in ALIASES stand for the same fields, here, in a file, and as attributes. Every other name goes to
    `extra`; it is an attribute too, and `save_pretrained` writes it back. Nothing here uses dropout rates and the like.

    >>> config = LEDConfig(encoder_layers=2, attention_window=[4, 6], architectures=["LEDModel"])
    >>> config.hidden_size, config.id2label, config.architectures
    (1024, {0: 'LABEL_0', 1: 'LABEL_1'}, ['LEDModel'])

    Raises ConfigError, whenever a value is set, for one that no LED can have; `update` sets several at once.
    """

    model_type: ClassVar[str] = "led"
    _fixed: ClassVar[dict[str, Any] | None] = None  # the shape of the model that an instance belongs to

    encoder_layerdrop: Rate = 0.0
    decoder_layerdrop: Rate = 0.0
    dropout: Rate = 0.1
    attention_dropout: Rate = 0.0
    activation_dropout: Rate = 0.0
    classifier_dropout: Rate = 0.0
    init_std: Deviation = 0.02
    problem_type: Problem = None
    use_cache: Flag = True
    is_encoder_decoder: Flag = True
    decoder_start_token_id: Id = 2
    pad_token_id: Id = 1
    bos_token_id: Id = 0
    eos_token_id: Ends = 2
    extra: dict[str, Any] = field(default_factory=dict)

    def __init__(self, /, **values: Any) -> None:
        vars(self).update({name: getattr(LEDConfig, name) for name in _CHECKS}, extra={})
        self._set(values)

    def __setattr__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def __getattr__(self, name: str) -> Any:
        if name in ALIASES:
            return getattr(self, ALIASES[name])
        extra = vars(self).get("extra", {})
        if name in extra or name in _UNSTATED:
            return extra.get(name, _UNSTATED.get(name))
        if name == "id2label":
            return {number: f"LABEL_{number}" for number in range(self.num_labels)}
        if name == "label2id":
            return {label: number for number, label in self.id2label.items()}
        raise AttributeError(f"LEDConfig has no {brief(name)}")

    @checked_arguments
    def update(self, values: Mapping[str, Any], /) -> None:
        """Set several values, all or none of them. Raises ConfigError, also for a setting of generation."""
        for name in values:
            if name in _OF_GENERATION:
                raise ConfigError(f"{name} is a setting of generation: {_TO_GENERATION}")
            if name in _OF_CALLS and values[name] is not None and values[name] is not _OF_CALLS[name]:
                raise ConfigError(f"{name}={brief(values[name])} has no effect here: pass it to the call of the model")
        names, numbers, count = (values.get(name) for name in ("id2label", "label2id", "num_labels"))
        if isinstance(names, dict) and count is not None and len(names) != count:
            raise ConfigError(f"id2label names {len(names)} labels, num_labels is {brief(count)}: pass one of them")
        count = len(names) if isinstance(names, dict) else self.num_labels if count is None else count
        if isinstance(numbers, dict) and len(numbers) != count:
            raise ConfigError(f"label2id numbers {len(numbers)} labels, there are {brief(count)}: pass id2label, too")
        self._set(values)

    def _set(self, values: Mapping[str, Any]) -> None:
        # subtle: an alias counts before its field, as in transformers 5.23.0.
        rest = {name: value for name, value in values.items() if name not in ALIASES}
        rest |= {ALIASES[name]: value for name, value in values.items() if name in ALIASES}
        if not isinstance(kind := rest.pop("model_type", "led"), str) or kind != "led":
            hint = "; allenai's original files are read by `pyled convert`" if "attention_window" in values else ""
            raise ConfigError(f"model_type {brief(values['model_type'])}: pyled reads LED only ('led'){hint}")
        if rest.get("id2label") is not None:
            rest = {"label2id": None, **rest, "id2label": _labels(rest["id2label"])}
            rest.setdefault("num_labels", len(rest["id2label"]))
        extra = rest.pop("extra", self.extra)
        if not isinstance(extra, Mapping):
            raise ConfigError(f"extra is {brief(extra)}: it must be a dictionary")
        new = {name: _of_python(rest.pop(name, vars(self)[name])) for name in _CHECKS}
        self._check(new)
        vars(self).update(new, extra={**extra, **rest})
        for name in ("id2label", "label2id"):  # as in 5.23.0, num_labels wins; and what they are anyway is not stored
            labels = self.extra.pop(name, None)
            if isinstance(labels, dict) and len(labels) == self.num_labels and labels != getattr(self, name):
                self.extra[name] = labels

    def _check(self, values: Mapping[str, Any]) -> None:
        for name, (is_right, words) in _CHECKS.items():
            if not is_right(values[name]):
                raise ConfigError(f"{name} is {brief(values[name])}: it must be {words}")
        for name, value in (self._fixed or {}).items():
            if values[name] != value:
                remedy = "state it in from_pretrained, or in another LEDConfig"
                remedy = "call resize_token_embeddings" if name == "vocab_size" else remedy
                raise ConfigError(f"{name} is fixed at {value} since the model was made: {remedy}")
        for side in ("encoder", "decoder"):
            E, H = values["d_model"], values[f"{side}_attention_heads"]
            if E % H:
                raise ConfigError(f"d_model {E} does not divide into {H} {side} heads: make it a multiple of {H}")
        windows, layers = values["attention_window"], values["encoder_layers"]
        if isinstance(windows, list) and len(windows) != layers:
            raise ConfigError(
                f"attention_window lists {len(windows)} windows for {layers} encoder layers: "
                "give one number, or one per layer"
            )
        V = values["vocab_size"]
        for name in ("pad_token_id", "bos_token_id", "decoder_start_token_id", "eos_token_id"):
            for token in _each(values[name]):
                if token is not None and token >= V:
                    raise ConfigError(f"{name} is {brief(token)}: it must be an id below vocab_size {V}, or null")

    def fixed(self) -> Self:
        """Return this configuration for a model: a copy whose shape nobody can change, or itself if it is one."""
        if self._fixed is not None:
            return self
        copy = replace(self)
        vars(copy)["_fixed"] = {f.name: deepcopy(vars(copy)[f.name]) for f in fields(Shape)}
        return copy

    def __copy__(self) -> Self:
        """Return a copy that belongs to no model: its shape can be set."""
        copy = object.__new__(type(self))
        vars(copy).update({name: deepcopy(value) for name, value in vars(self).items() if name != "_fixed"})
        return copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.__copy__()

    def one_sided_window(self, layer: int) -> int:
        """Return on how many tokens of each side an encoder layer attends."""
        windows = (self._fixed or vars(self))["attention_window"]
        window = int(windows[layer] if isinstance(windows, list) else windows)
        return min(window // 2, self.max_encoder_position_embeddings)  # a wider one reaches no further token

    @classmethod
    @checked_arguments
    def from_dict(cls, values: Mapping[str, Any], /, **overrides: Any) -> Self:
        """Return a configuration of the keys of a `config.json`, with others in their place.

        Raises ConfigError, also for a file of another model family; InputError for an override that is no key.
        """
        config = cls()
        config._set({name: value for name, value in values.items() if name != "extra"})
        names = {*_CHECKS, *ALIASES, *_UNSTATED, *values, "id2label", "label2id"} - {"torch_dtype"}
        refuse_keywords("from_pretrained", overrides, names)
        config.update(overrides)
        if "extra" in values:
            config.extra["extra"] = values["extra"]
        return config

    @classmethod
    def from_pretrained(cls, directory: str | Path, **overrides: Any) -> Self:
        """Return the configuration of a checkpoint, with other values in place of the file's.

        directory: or the checkpoint's name on a hub, owner/name; then also `revision` and its like, see docs/api.md

        Raises CheckpointError where `config.json` is missing, ConfigError where it is wrong, InputError.
        """
        path, overrides = opened(directory, overrides, CONFIG)
        path /= "config.json"
        values = read_json(path, ConfigError)
        try:
            config = cls.from_dict(values)
        except ConfigError as e:
            raise e.at(path) from None
        return cls.from_dict(config.to_dict(), **overrides) if overrides else config

    def to_dict(self) -> dict[str, Any]:
        """Return the keys of a `config.json`. Raises ConfigError for what was changed within a list."""
        self._check(vars(self))
        stated = {name: vars(self)[name] for name in _CHECKS if name != "num_labels"}
        labels = {"id2label": {str(i): label for i, label in self.id2label.items()}, "label2id": self.label2id}
        return {**self.extra, **stated, **labels, "model_type": self.model_type}

    def to_json_string(self) -> str:
        """Return the text of a `config.json`."""
        return json_text(self.to_dict())

    @checked_arguments
    def save_pretrained(self, directory: Directory, **keywords: Any) -> None:
        """Write `config.json` into `directory`, which is made if missing; keywords as those of `other_keywords`."""
        refuse_keywords("save_pretrained", other_keywords(keywords), ())
        write_json(Path(directory) / "config.json", self.to_dict())


_CHECKS = {
    name: h.__metadata__
    for name, h in get_type_hints(LEDConfig, include_extras=True).items()
    if hasattr(h, "__metadata__")
}
_OF_GENERATION = KNOWN - OF_CALLS - _CHECKS.keys()
_TO_GENERATION = "set it on model.generation_config, or pass it to generate"


def _labels(labels: Any) -> dict[int, str]:
    """Return the names of labels by their numbers, which are strings in a file."""
    if not isinstance(labels, dict) or not all(str(number).isdecimal() and len(str(number)) < 10 for number in labels):
        raise ConfigError(f"id2label is {brief(labels)}: it must map the number of each label to its name")
    return {int(number): str(label) for number, label in labels.items()}


def refuse_keywords(function: str, keywords: Iterable[str], names: Collection[str]) -> None:
    """Raise InputError for the first keyword that is none of the names, with the place where it belongs."""
    for name in keywords:
        if name in names:
            continue
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
        if name in ("dtype", "torch_dtype"):
            hint = "pass dtype to the from_pretrained of a model"
        elif name in _OF_GENERATION:
            hint = f"a setting of generation, {_TO_GENERATION}"
        elif name in _CHECKS or name in ALIASES:
            hint = "a value of the configuration, pass it to the from_pretrained of a model or of LEDConfig"
        else:
            hint = f"did you mean {brief(near[0])}?" if near else "leave it out"
        raise InputError(f"{brief(name)} is no argument of {function}: {hint}")
