"""What every model shares: its weights and configuration, loading, saving, and the parts that it hands out."""

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike

from .. import checkpoint
from ..annotations import Count, Directory, Seed, checked_arguments, is_cpu
from ..arrays import Floats, Ids, Weights
from ..checkpoint import Arithmetic, Storage
from ..config import LEDConfig, refuse_keywords
from ..errors import ConfigError, InputError, brief, warn
from ..generation_config import GenerationConfig
from ..gradients.keeping import Policy
from ..hub import MODEL, is_hub_name, opened, other_keywords
from ..kernels.rounded import frozen, widened
from ..kernels.vectors import HAS_AVX2
from .arguments import checked_labels, shift_right
from .initial import random_weights, resized_weights

DType = Literal["float32", "float64"]
NO_AVX2 = "encoder 'int16' has no effect: this processor lacks AVX2, the encoder computes in float32"


def dtype_name(dtype: Any) -> str:
    """Return "float32" or "float64" for a dtype of any library. Raises InputError for another one."""
    if dtype is None or (isinstance(dtype, str) and dtype == "auto"):
        return "float32"
    try:
        name = np.dtype(dtype).name if isinstance(dtype, type) else str(dtype).removeprefix("torch.")
    except Exception:  # NumPy makes no type of a class, or a value has no words
        name = ""
    if name not in ("float32", "float64"):
        raise InputError(
            f"dtype is {brief(dtype)}: pyled computes in 'float32' or 'float64'; weights='bf16' or 'int8' makes the "
            "weights that decoding reads smaller"
        )
    return name


def _check_kind(value: Any, kind: type, name: str, remedy: str) -> None:
    if not isinstance(value, kind):
        raise InputError(f"{name} is a {type(value).__name__}: pass {remedy}")


class Network:
    """Weights and configuration, shared by a model and the encoder and decoder that it hands out."""

    def __init__(self, weights: Weights, config: LEDConfig, warned: set[str] | None = None) -> None:
        self.weights = weights
        self._config = config.fixed()
        self._warned = set() if warned is None else warned  # causes; one set for a model and its parts

    @property
    def config(self) -> LEDConfig:
        """The configuration; its shape is that of the weights, and cannot be set."""
        return self._config

    @config.setter
    def config(self, config: LEDConfig) -> None:
        raise ConfigError("a model keeps its configuration: pass another one to from_pretrained(..., config=)")

    @property
    def dtype(self) -> np.dtype[Any]:
        """The float type of all weights and results."""
        dtype: np.dtype[Any] = self.weights["shared.weight"].dtype
        return dtype

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._config = self._config.fixed()  # subtle: a copy of a configuration belongs to no model until now
        for weight in self.weights.values():
            frozen(weight)  # subtle: NumPy's copies of an array can be written, and what it unpickles, too

    def _warn_once(self, cause: str, message: str) -> None:
        if cause not in self._warned:
            self._warned.add(cause)
            warn(message)


class PreTrainedModel(Network):
    """The base of all models.

    head: the name of the head, for the names of the weights
    training: whether `loss_and_gradients` drops numbers; a new model does not
    checkpointing: what it keeps for the backward pass: "keep" for all, or as `gradient_checkpointing_enable` has set it
    stored_as: what the matrices that a step of decoding reads are rounded to; None where they are not
    encoder_arithmetic: what the encoder multiplies, "int16"; None where it is `dtype`
    load_report: how the weights were matched with those of the file; None for random ones
    """

    head: str | None = None
    training = False
    checkpointing: Policy = "keep"
    stored_as: Storage | None = None
    encoder_arithmetic: Arithmetic | None = None
    load_report: checkpoint.LoadReport | None = None
    device = "cpu"

    @checked_arguments
    def __init__(self, config: Any, seed: Seed = 0, *, dtype: Any = "float32") -> None:
        """Make a model with random weights, drawn as upstream initialises (modeling_led.py:1050)."""
        _check_kind(config, LEDConfig, "config", "an LEDConfig; from_pretrained takes a directory")
        config = copy.copy(config)  # two models never share one
        super().__init__(random_weights(config, self.head, seed, dtype_name(dtype)), config)
        self.generation_config = GenerationConfig.from_model_config(config)

    @classmethod
    @checked_arguments
    def from_pretrained(
        cls,
        directory: str | Path,
        *,
        config: LEDConfig | str | Path | None = None,
        dtype: Any = "float32",
        weights: Storage | None = None,
        encoder: Arithmetic | None = None,
        mmap: bool = True,
        **overrides: Any,
    ) -> Self:
        """Load a checkpoint: `config.json`, the weights, `generation_config.json` if it is there.

        Half-precision weights are widened. A PyledWarning tells which weights were tied, missing or unused where that
        is unusual.

        directory: or the checkpoint's name on a hub, owner/name; then also `revision` and its like, see docs/api.md
        config: used in place of `config.json`, or the directory of another one, or a name on a hub
        dtype: "float32" or "float64", or `torch_dtype`, the older name; "auto" is float32
        weights: "bf16" or "int8" keeps the matrices that a step of decoding reads in 2 bytes or 1 for each number,
            rounded once, here; the arithmetic stays in float32. "float32" as None, which is for dtype "float64", too
        encoder: "int16" multiplies whole numbers in the encoder, which is faster; weights and states are rounded for
            that. "float32" as None. A processor without AVX2 has nothing to win by it, and computes in float32
        mmap: whether the weights stay in the file, which then must not change while the model lives
        overrides: values in place of those in `config.json`; other keywords of Hugging Face's

        Raises ConfigError, CheckpointError, InputError.
        """
        dtype = dtype_name(overrides.pop("torch_dtype", dtype))
        place, values = opened(directory, overrides, *MODEL)
        if config is None or isinstance(config, str | Path):
            config = LEDConfig.from_pretrained(config or place, **(overrides if is_hub_name(config) else values))
        else:
            config = LEDConfig.from_dict(config.to_dict(), **values)
        model = cls.of_checkpoint(place, config, dtype, weights, encoder, mmap)
        model._tell_surprises(directory)
        return model

    @classmethod
    def of_checkpoint(
        cls,
        directory: Path,
        config: LEDConfig,
        dtype: str,
        weights: Storage | None = None,
        encoder: Arithmetic | None = None,
        mmap: bool = True,
    ) -> Self:
        """Return what `from_pretrained` does, without a warning: `load_report` has what it would tell."""
        checkpoint.check_rounding(weights, encoder, dtype)
        loaded, report = checkpoint.load(directory, config, cls.head, dtype=dtype, mmap=mmap)
        model = cls.__new__(cls)
        model.stored_as = None if weights == "float32" else weights
        if encoder == "int16" and HAS_AVX2:
            model.encoder_arithmetic = encoder
        elif encoder == "int16":
            report.not_rounded.append(NO_AVX2)
        Network.__init__(model, model._as_stored(loaded), config)
        model.load_report = report
        model.generation_config = GenerationConfig.of_checkpoint(directory, config)
        return model

    @checked_arguments
    def save_pretrained(self, directory: Directory, **keywords: Any) -> None:
        """Write `model.safetensors`, `generation_config.json` and `config.json`, together.

        keywords: those of Hugging Face's that mean nothing here

        Raises OSError where a file cannot be written, ConfigError, GenerationError; InputError for rounded weights.
        """
        refuse_keywords("save_pretrained", other_keywords(keywords), ())
        self.refuse_rounded("save")
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        extra = {key: value for key, value in self.config.extra.items() if key != "torch_dtype"}  # now "dtype"
        extra |= {"architectures": [type(self).__name__.removeprefix("TF")], "dtype": self.dtype.name}
        config = replace(self.config, extra=extra)
        checkpoint.save(directory, self.weights, config, self.head, self.generation_config.to_dict())

    @property
    def generation_config(self) -> GenerationConfig:
        """The model's own settings of generation."""
        return self._generation_config

    @generation_config.setter
    def generation_config(self, config: GenerationConfig) -> None:
        _check_kind(config, GenerationConfig, "generation_config", "a GenerationConfig")
        self._generation_config = config

    def state_dict(self) -> dict[str, Floats]:
        """Return every weight under upstream's name, as the arithmetic uses it; tied names share an array.

        Rounded weights are widened, into new arrays; a tied head then differs from the embeddings by the rounding.
        """
        wide = {name: widened(weight) for name, weight in self.weights.items()}
        return checkpoint.upstream_names(wide, self.head)

    @checked_arguments
    def load_state_dict(self, tensors: Mapping[str, Floats]) -> None:
        """Replace all weights by copies of arrays under upstream's names, rounded where the model's weights are.

        A PyledWarning tells which arrays were unused, as from_pretrained does. Raises CheckpointError.
        """
        weights, self.load_report = checkpoint.assign(tensors, self.config, self.head, dtype=self.dtype.name)
        self.weights = self._as_stored(weights)
        self._tell_surprises("load_state_dict")

    def _tell_surprises(self, source: object) -> None:
        for line in self.load_report.surprises() if self.load_report else ():
            self._warn_once(line, f"{source}: {line}")

    def _as_stored(self, weights: Weights) -> Weights:
        if self.encoder_arithmetic is not None:
            weights = checkpoint.round_encoder(weights)
        return weights if self.stored_as is None else checkpoint.round_decoder(weights, self.stored_as)

    def refuse_rounded(self, action: str) -> None:
        """Raise InputError where the weights were rounded. `action`: what cannot be done with them."""
        types = {"weights=": self.stored_as, "encoder=": self.encoder_arithmetic}
        if rounded := {argument: str(storage) for argument, storage in types.items() if storage is not None}:
            raise InputError(
                f"the weights of this model were rounded to {' and '.join(rounded.values())} when it was loaded: to "
                f"{action} it, load it without {' and '.join(rounded)}"
            )

    def with_attention_window(self, attention_window: int | list[int]) -> Self:
        """Return a model of the same weights whose encoder has another window. Raises ConfigError."""
        model = copy.copy(self)
        model._config = replace(self.config, attention_window=attention_window).fixed()
        model._generation_config = copy.deepcopy(self.generation_config)  # two models never share one
        return model

    def get_input_embeddings(self) -> Floats:
        """Return the embeddings, (V, E) float, one row per token; read-only."""
        embeddings: Floats = self.weights["shared.weight"]
        return embeddings

    def get_output_embeddings(self) -> Floats | None:
        """Return the matrix of the language head, (V, E) float; None for a model without one."""
        matrix = self.weights.get("lm_head.weight")
        return None if matrix is None else widened(matrix)

    def num_parameters(self) -> int:
        """Return how many numbers the model learns; what is tied counts once."""
        return sum(map(math.prod, checkpoint.learned_shapes(self.config, self.head).values()))

    @checked_arguments
    def resize_token_embeddings(
        self,
        new_num_tokens: Count | None = None,
        pad_to_multiple_of: Count | None = None,
        mean_resizing: bool = True,
        *,
        seed: Seed = 0,
    ) -> Floats:
        """Grow or shrink the vocabulary: the rows of all embeddings and of the head, and `config.vocab_size`.

        Rows are dropped or put at the end. A new row is the mean of the old ones (upstream adds noise of 1e-9 times
        their covariance), so that a new token is as likely as the average one. With mean_resizing=False it is drawn
        with `seed` as upstream initialises. A new bias is 0. Tied matrices stay tied, others have rows of their own
        (5.23.0 then takes the encoder's and decoder's from `shared`). An encoder or decoder that was handed out
        before keeps the old size.

        new_num_tokens: len(tokenizer), say
        pad_to_multiple_of: what the number is rounded up to a multiple of
        returns: (V, E) float, the new embeddings; read-only

        Raises InputError for no number of tokens and for rounded weights, ConfigError where a special token would be
        cut off.
        """
        self.refuse_rounded("resize")
        multiple = int(pad_to_multiple_of or 1)
        V = -(-int(new_num_tokens or self.config.vocab_size) // multiple) * multiple
        config = replace(self.config, vocab_size=V)
        rng = None if mean_resizing else np.random.default_rng(int(seed))
        self.weights = resized_weights(self.weights, config, self.head, rng)
        self._config = config.fixed()
        return self.get_input_embeddings()

    def prepare_decoder_input_ids_from_labels(self, labels: ArrayLike) -> Ids:
        """Return the decoder's input for these labels: the start token, then each label one place later; (B, T)."""
        return shift_right(checked_labels(labels, self.config), self.config)

    def eval(self) -> Self:
        """Return the model, with dropout off for `loss_and_gradients`; a call never drops."""
        return self.train(False)

    @checked_arguments
    def train(self, mode: bool = True) -> Self:
        """Return the model, with dropout on for `loss_and_gradients`, or off; a call never drops."""
        self.training = bool(mode)
        return self

    @checked_arguments
    def gradient_checkpointing_enable(
        self, policy: Policy = "recompute", gradient_checkpointing_kwargs: Any = None
    ) -> None:
        """Have `loss_and_gradients` keep less for the backward pass, which computes it again, to the same bits.

        policy: "recompute" keeps the input of each layer, which costs one more forward pass; "selective" keeps what the
            encoder's attentions compute in addition
        gradient_checkpointing_kwargs: torch's, without effect
        """
        self.checkpointing = policy

    def gradient_checkpointing_disable(self) -> None:
        """Have `loss_and_gradients` keep all that the backward pass needs, as a new model does."""
        self.checkpointing = "keep"

    def to(self, device: Any = "cpu", dtype: Any = None) -> Self:
        """Return the model for "cpu", where it is. Raises InputError for another device, and for another dtype."""
        if not is_cpu(device) or dtype is not None:
            words = f"device={brief(device)}" + ("" if dtype is None else f", dtype={brief(dtype)}")
            raise InputError(f"to({words}): pyled runs on the CPU; dtype= and weights= are for from_pretrained")
        return self

    def cpu(self) -> Self:
        """Return the model: it is on the CPU."""
        return self

    def half(self) -> NoReturn:
        """Raise InputError: half precision is chosen when a model is loaded."""
        raise InputError("half(): load the model with weights='bf16' to read half as much in each step")
