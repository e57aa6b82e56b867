"""The reference's stored answers: what `golden/forward.py` and `golden/gradients.py` wrote, case by case."""

import functools
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyled.config import LEDConfig

FOLDER = Path(__file__).parent.parent / "golden"
MANIFEST: dict[str, Any] = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
GRADIENTS: dict[str, Any] = json.loads((FOLDER / "gradients" / "manifest.json").read_text(encoding="utf-8"))


def _script(name: str) -> ModuleType:
    """One of golden/'s files as a module; the folder is no package."""
    spec = importlib.util.spec_from_file_location(f"golden_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WEIGHTS = _script("weights")
BEHAVIOUR = _script("behaviour")
REFUSED = _script("refused")


@dataclass(frozen=True)
class Golden:
    """One case.

    inputs: the arguments of the call by Hugging Face's names (`encoder_outputs` is its last_hidden_state)
    truth: float64, by the stage names of pyled/reference.py with the batch in front; `out.*` are answers that are no
        stage, `call.N.*` and `cache.*` those of several calls that share a cache (`calls`: target tokens of each)
    float32_error: the reference's own error in float32 on each of them, for `budget.assert_within`
    fields: the fields that upstream's answer has when attentions and hidden states are asked for
    """

    name: str
    config: LEDConfig
    seed: int
    inputs: dict[str, NDArray[Any]]
    truth: dict[str, NDArray[np.float64]]
    float32_error: dict[str, float]
    calls: tuple[int, ...]
    fields: tuple[str, ...]

    @property
    def source_shape(self) -> tuple[int, int]:
        """(B, S)"""
        array = next(self.inputs[n] for n in ("input_ids", "inputs_embeds", "encoder_outputs") if n in self.inputs)
        return array.shape[0], array.shape[1]

    def weights(self, dtype: Any = np.float64) -> dict[str, NDArray[Any]]:
        """The model's tensors in upstream's names (`led.` in front), remade from the hash."""
        stated = self.config.to_dict() | {"num_labels": self.config.num_labels}
        tensors: dict[str, NDArray[Any]] = WEIGHTS.make_weights(stated, self.seed, dtype)
        return tensors

    @property
    def architecture(self) -> str:
        """The name of the model's class."""
        name: str = WEIGHTS.architecture(self.config.to_dict())
        return name

    def public(self) -> dict[str, Any]:
        """The truth by the names of upstream's output fields, as far as it is stored: arrays, or tuples of arrays."""
        fields: dict[str, Any] = {}
        for side, depth in (("encoder", self.config.encoder_layers), ("decoder", self.config.decoder_layers)):
            layers = range(depth)
            norms = [f"{side}.layernorm_embedding", *(f"{side}.layers.{i}.final_layer_norm" for i in layers)]
            fields[f"{side}_hidden_states"] = self._all(norms)
        fields["encoder_last_hidden_state"] = self.truth.get(norms_of_last_encoder_layer(self.config))
        layers = range(self.config.decoder_layers)
        fields["decoder_attentions"] = self._all([f"decoder.layers.{i}.self_attn.probs" for i in layers])
        fields["cross_attentions"] = self._all([f"decoder.layers.{i}.encoder_attn.probs" for i in layers])
        for name in ("encoder_attentions", "encoder_global_attentions"):
            fields[name] = self._all([f"out.{name}.{i}" for i in range(self.config.encoder_layers)])
        fields["loss"] = self.truth.get("out.loss")
        fields["logits"] = self.truth.get("logits", self.truth.get("classification_head.out_proj"))
        if "qa_outputs" in self.truth:
            fields["start_logits"], fields["end_logits"] = np.moveaxis(self.truth["qa_outputs"], 2, 0)
        return {name: value for name, value in fields.items() if value is not None}

    def _all(self, names: list[str]) -> tuple[NDArray[np.float64], ...] | None:
        return tuple(self.truth[n] for n in names) if all(n in self.truth for n in names) else None


def norms_of_last_encoder_layer(config: LEDConfig) -> str:
    """The stage that is the encoder's last hidden state."""
    return f"encoder.layers.{config.encoder_layers - 1}.final_layer_norm"


def names(*prefixes: str) -> list[str]:
    """The cases whose names begin so; all of them where nothing is said."""
    return [name for name in MANIFEST["cases"] if name.startswith(prefixes or ("",))]


@functools.cache
def load(name: str) -> Golden:
    """One case of the forward pass by its name. Its arrays are read-only."""
    return _read(name, MANIFEST["cases"][name], "forward")


@functools.cache
def load_gradients(name: str) -> Golden:
    """One case of the backward pass by its name; an error that is not stored is below what counts."""
    return _read(name, GRADIENTS["cases"][name], "gradients")


def _read(name: str, entry: dict[str, Any], folder: str) -> Golden:
    inputs, truth = {}, {}
    with np.load(FOLDER / folder / f"{name}.npz", allow_pickle=False) as file:
        for key in file.files:
            array = file[key]
            array.flags.writeable = False
            if key.startswith("in."):
                inputs[key.removeprefix("in.")] = array
            else:
                truth[key] = array
    errors = entry["float32_error"] if folder == "forward" else dict.fromkeys(truth, 0.0) | entry["float32_error"]
    return Golden(
        name=name,
        config=LEDConfig.from_dict(entry["config"]),
        seed=entry["seed"],
        inputs=inputs,
        truth=truth,
        float32_error={n: float("nan") if e is None else e for n, e in errors.items()},
        calls=tuple(entry.get("calls", ())),
        fields=tuple(entry.get("fields", ())),
    )
