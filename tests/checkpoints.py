"""The checkpoints whose answers golden/ holds, the tiny one and the trained one, and copies of the tiny one changed."""

import functools
import json
import shutil
from pathlib import Path
from typing import Any

import numba
import numpy as np

import pyled
from golden import WEIGHTS
from pyled import LEDConfig
from pyled.checkpoint import read_safetensors, write_safetensors

TINY = Path(__file__).parent.parent / "golden" / "tiny"
TRAINED = TINY.parent / "trained"  # the answers alone: the checkpoint is pyled.SYNOPSIS


def stored(folder: Path) -> dict[str, Any]:
    """What the reference says, as the folder's answers.json has it; its answers by document."""
    found: dict[str, Any] = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    return found | {"answers": {answer["document"]: answer for answer in found["answers"]}}


_STORED = stored(TINY)
ANSWERS: dict[str, dict[str, Any]] = _STORED["answers"]
FLOAT32_ERROR: float = _STORED["float32_error"]  # the reference's own, in the scores of its sequences
DOCUMENTS = ["lamp.txt"] if numba.config.DISABLE_JIT else list(ANSWERS)  # interpreted, the longer ones take minutes


def document(name: str, folder: Path = TINY) -> str:
    """The text of one of the documents."""
    return (folder / "documents" / name).read_text(encoding="utf-8")


@functools.cache
def summary(text: str, **settings: Any) -> pyled.Summary:
    """The checkpoint's summary of a text; made once, because without compilation it takes seconds."""
    return pyled.summarize(text, TINY, **settings)


def changed(directory: Path, *, config: dict[str, Any] | None = None, generation: dict[str, Any] | None = None) -> Path:
    """A copy of the checkpoint with keys changed; `generation=None` leaves generation_config.json out.

    Its tables follow the configuration: cut for fewer positions, with a last row for one more token.
    """
    shutil.copytree(TINY, directory, ignore=shutil.ignore_patterns("documents", "answers.json"))
    stated = json.loads((TINY / "config.json").read_text(encoding="utf-8")) | (config or {})
    (directory / "config.json").write_text(json.dumps(stated), encoding="utf-8")
    if generation is None:
        (directory / "generation_config.json").unlink()
    else:
        own = json.loads((TINY / "generation_config.json").read_text(encoding="utf-8")) | generation
        (directory / "generation_config.json").write_text(json.dumps(own), encoding="utf-8")
    tensors = {name: np.array(tensor) for name, tensor in read_safetensors(TINY / "model.safetensors").items()}
    for name, tensor in tensors.items():
        if name.endswith("encoder.embed_positions.weight"):
            tensors[name] = tensor[: stated["max_encoder_position_embeddings"]]
        elif name.endswith("decoder.embed_positions.weight"):
            tensors[name] = tensor[: stated["max_decoder_position_embeddings"]]
        elif tensor.shape[0] < stated["vocab_size"] and tensor.shape[0] == 600:
            tensors[name] = np.concatenate([tensor, tensor[-1:] / 2])
        elif name == "final_logits_bias":
            tensors[name] = np.pad(tensor, [(0, 0), (0, stated["vocab_size"] - tensor.shape[1])])
    write_safetensors(directory / "model.safetensors", tensors)
    return directory


def primera(directory: Path, positions: int = 64) -> Path:
    """The tiny checkpoint with `<doc-sep>`, as PRIMERA has it."""
    changed(directory, config={"vocab_size": 601, "max_encoder_position_embeddings": positions}, generation={})
    (directory / "added_tokens.json").write_text('{"<doc-sep>": 600}', encoding="utf-8")
    return directory


def headed(directory: Path, kind: str, **config: Any) -> Path:
    """A copy of the tiny checkpoint with the head of golden/weights.py, "qa" or "classification"."""
    name = {"qa": "LEDForQuestionAnswering", "classification": "LEDForSequenceClassification"}[kind]
    changed(directory, config={"architectures": [name], **config}, generation={})
    E, labels = 24, LEDConfig.from_pretrained(directory).num_labels
    stored = {name: np.array(tensor) for name, tensor in read_safetensors(directory / "model.safetensors").items()}
    stored.pop("final_logits_bias")
    write_safetensors(directory / "model.safetensors", stored | WEIGHTS.head_weights(kind, E, labels))
    return directory
