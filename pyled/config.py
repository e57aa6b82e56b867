"""LEDConfig: the shape of a model, as `config.json` states it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import Any, Self

from .errors import ConfigError
from .files import read_json, write_json
from .hub import located

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu", "relu", "silu", "swish")

# Other names under which Hugging Face's LEDConfig offers the same values (attribute_map, transformers 5.23.0).
ALIASES = {
    "hidden_size": "d_model",
    "num_attention_heads": "encoder_attention_heads",
    "num_hidden_layers": "encoder_layers",
    "attention_probs_dropout_prob": "attention_dropout",
    "initializer_range": "init_std",
}

_POSITIVE = (
    "vocab_size",
    "max_encoder_position_embeddings",
    "max_decoder_position_embeddings",
    "encoder_layers",
    "encoder_ffn_dim",
    "encoder_attention_heads",
    "decoder_layers",
    "decoder_ffn_dim",
    "decoder_attention_heads",
    "d_model",
    "num_labels",
)


def _by_field(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by the names of their fields; an alias counts before its field, as in transformers 5.23.0."""
    return {key: value for key, value in values.items() if key not in ALIASES} | {
        ALIASES[key]: value for key, value in values.items() if key in ALIASES
    }


@dataclass
class LEDConfig:
    """The shape of an LED, with the names and defaults of Hugging Face's LEDConfig (transformers 5.23.0).

    The names in ALIASES stand for the same fields, here, in a file, and as attributes.

    `attention_window` is two-sided and even: a token attends to `attention_window // 2` tokens on each side and to
    itself; one number for all encoder layers, or one per layer. Dropout rates and the like are kept for whoever
    reads the file next; nothing here uses them. `extra` holds every key of a file that is not a field; it is
    written back by `save_pretrained`.

    Raises ConfigError for a value that no LED can have.
    """

    vocab_size: int = 50265
    max_encoder_position_embeddings: int = 16384
    max_decoder_position_embeddings: int = 1024
    encoder_layers: int = 12
    encoder_ffn_dim: int = 4096
    encoder_attention_heads: int = 16
    decoder_layers: int = 12
    decoder_ffn_dim: int = 4096
    decoder_attention_heads: int = 16
    encoder_layerdrop: float = 0.0
    decoder_layerdrop: float = 0.0
    use_cache: bool = True
    is_encoder_decoder: bool = True
    activation_function: str = "gelu"
    d_model: int = 1024
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    init_std: float = 0.02
    decoder_start_token_id: int = 2
    classifier_dropout: float = 0.0
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    attention_window: int | list[int] = 512
    tie_word_embeddings: bool = True
    num_labels: int = 2
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            self._check_positive(name)
        for side in ("encoder", "decoder"):
            heads = getattr(self, f"{side}_attention_heads")
            if self.d_model % heads:
                raise ConfigError(
                    f"d_model {self.d_model} does not divide into {heads} {side} heads: "
                    f"make d_model a multiple of {side}_attention_heads"
                )
        self._check_windows()
        for name in ("tie_word_embeddings", "use_cache", "is_encoder_decoder"):
            if type(getattr(self, name)) is not bool:
                raise ConfigError(f"{name} is {getattr(self, name)!r:.60}: it must be true or false")
        if self.activation_function not in ACTIVATIONS:
            raise ConfigError(
                f"activation_function {self.activation_function!r:.60} is not one of those known: "
                f"{', '.join(ACTIVATIONS)}"
            )
        for name in ("pad_token_id", "bos_token_id", "decoder_start_token_id"):
            self._check_token(name, getattr(self, name))
        eos = self.eos_token_id
        for token in eos if isinstance(eos, list) else [eos]:
            self._check_token("eos_token_id", token)

    def _check_positive(self, name: str) -> None:
        value = getattr(self, name)
        if type(value) is not int or value < 1:
            raise ConfigError(f"{name} is {value!r:.60}: it must be an integer of at least 1")

    def _check_windows(self) -> None:
        windows = self.attention_window
        if isinstance(windows, list) and len(windows) != self.encoder_layers:
            raise ConfigError(
                f"attention_window lists {len(windows)} windows for {self.encoder_layers} encoder layers: "
                "give one number, or one per layer"
            )
        for window in windows if isinstance(windows, list) else [windows]:
            if type(window) is not int or window < 2 or window % 2:
                raise ConfigError(f"attention_window {window!r:.60}: a window is an even integer of at least 2")

    def _check_token(self, name: str, token: Any) -> None:
        if token is not None and (type(token) is not int or not 0 <= token < self.vocab_size):
            raise ConfigError(f"{name} is {token!r:.60}: it must be an id below vocab_size {self.vocab_size}, or null")

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(ALIASES.get(name, name), value)

    def __getattr__(self, name: str) -> Any:
        if name in ALIASES:
            return getattr(self, ALIASES[name])
        raise AttributeError(f"LEDConfig has no {name!r}")

    def one_sided_window(self, layer: int) -> int:
        """How many tokens on each side the tokens of one encoder layer attend to."""
        windows = self.attention_window
        return (windows[layer] if isinstance(windows, list) else windows) // 2

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """A configuration from the keys of a `config.json`; what is no field goes to `extra`.

        Raises ConfigError, also for a file of another model family.
        """
        model_type = values.get("model_type", "led")
        if model_type != "led":
            raise ConfigError(f"model_type {model_type!r:.60}: pyled reads LED only ('led')")
        known = {f.name for f in fields(cls)} - {"extra"} | ALIASES.keys()
        kept = {key: value for key, value in values.items() if key in known}
        if "num_labels" not in kept and isinstance(values.get("id2label"), dict):
            kept["num_labels"] = len(values["id2label"])
        extra = {key: value for key, value in values.items() if key not in known}
        extra.pop("model_type", None)
        return cls(**kept, extra=extra)

    @classmethod
    def from_pretrained(cls, directory: str | Path) -> Self:
        """Return the configuration of a checkpoint directory.

        Raises CheckpointError where `config.json` is missing, ConfigError where it is wrong.
        """
        path = located(directory) / "config.json"
        values = read_json(path, ConfigError)
        try:
            return cls.from_dict(values)
        except ConfigError as e:
            raise e.at(path) from None

    def to_dict(self) -> dict[str, Any]:
        """The keys of a `config.json`."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("extra", "num_labels")}
        labels = self.extra.get("id2label")
        if not isinstance(labels, dict) or len(labels) != self.num_labels:
            names = [f"LABEL_{i}" for i in range(self.num_labels)]
            own["id2label"] = {str(i): name for i, name in enumerate(names)}
            own["label2id"] = {name: i for i, name in enumerate(names)}
        return {**self.extra, **own, "model_type": "led"}

    def save_pretrained(self, directory: str | Path) -> None:
        """Write `config.json` into `directory`, which is made if missing."""
        Path(directory).mkdir(parents=True, exist_ok=True)
        write_json(Path(directory) / "config.json", self.to_dict())


def _with_aliases(init: Callable[..., None]) -> Callable[..., None]:
    """An `__init__` that takes the aliases of its arguments too."""

    @wraps(init)
    def taking(self: LEDConfig, *values: Any, **named: Any) -> None:
        init(self, *values, **_by_field(named))

    return taking


LEDConfig.__init__ = _with_aliases(LEDConfig.__init__)  # type: ignore[method-assign]
