"""The layout of allenai's original code, github.com/allenai/longformer: BART whose encoder attends within a window.

It differs from LED's in three points. Names begin with `model.`. The position tables have two rows in front that no
position uses, as BART's have. In `config.json`, the model is a `bart`, and `attention_window` counts the tokens of one
side. Nothing in the files says so of the window, so that only a conversion that somebody asks for reads them.

Sources: longformer/longformer_encoder_decoder.py and scripts/convert_bart_to_longformerencoderdecoder.py there;
Convert_to_hf_LED.ipynb in github.com/allenai/PRIMER.
"""

from collections.abc import Mapping
from typing import Any

from ..arrays import Weights
from ..errors import CheckpointError, brief
from .names import ANCHOR, ORIGINAL_PREFIX, PREFIX

UNUSED_ROWS = 2  # in front of a table of positions
# What the original's configuration can say, with the only values that LED computes; None is for a missing key.
_FIXED: dict[str, tuple[Any, ...]] = {
    "model_type": ("bart", "led", None),
    "attention_mode": ("sliding_chunks", "tvm", None),  # two ways to compute the same
    "autoregressive": (False, None),
    "extra_pos_embeddings": (UNUSED_ROWS, None),
    "normalize_before": (False, None),
    "normalize_embedding": (True, None),
    "add_final_layer_norm": (False, None),
    "scale_embedding": (False, None),
    "static_position_embeddings": (False, None),
}
_DROPPED = (*_FIXED, "attention_dilation")


def is_original(tensors: Weights) -> bool:
    """Return whether names are those of the original code."""
    return ORIGINAL_PREFIX + ANCHOR in tensors


def from_original(tensors: Weights, stated: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Return tensors and configuration as LED has them, and in words what changed. Nothing is copied.

    tensors: by their names in the file; stated: what `config.json` says

    Raises CheckpointError for what the original code can compute and LED cannot, and for tables without the two rows.
    """
    for key, values in _FIXED.items():
        if stated.get(key) not in values:
            raise _refusal(f"{key} is {brief(stated[key])}, not {brief(values[0])}")
    dilations = stated.get("attention_dilation") or []
    if not isinstance(dilations, list) or any(dilation != 1 for dilation in dilations):
        raise _refusal(f"attention_dilation is {brief(dilations)}, not 1 for each layer")
    windows = stated.get("attention_window")
    one_sided: list[Any] = windows if isinstance(windows, list) else [windows]
    if not all(type(w) is int and w > 0 for w in one_sided):
        raise _refusal(f"attention_window is {brief(windows)}: it must be a positive integer, or a list of them")
    both = [2 * w for w in one_sided]
    renamed = {
        PREFIX + name.removeprefix(ORIGINAL_PREFIX) if name.startswith(ORIGINAL_PREFIX) else name: array
        for name, array in tensors.items()
    }
    if len(renamed) < len(tensors):
        raise _refusal("some tensors are there without it, too")
    for side in ("encoder", "decoder"):
        table, positions = f"{PREFIX}{side}.embed_positions.weight", stated.get(f"max_{side}_position_embeddings")
        shape = renamed[table].shape if table in renamed else ()
        if type(positions) is not int or shape[:1] != (positions + UNUSED_ROWS,):
            said = f"{brief(positions)} positions: {UNUSED_ROWS} rows more were expected"
            raise _refusal(f"{table} has the shape {shape}, and config.json says {said}")
        renamed[table] = renamed[table][UNUSED_ROWS:]
    config = {key: value for key, value in stated.items() if key not in _DROPPED} | {
        "model_type": "led",
        "architectures": ["LEDForConditionalGeneration"],
        "attention_window": both if isinstance(windows, list) else both[0],
    }
    notes = [
        f"the layout is that of allenai's original code: names begin with {PREFIX} now, and the "
        f"first {UNUSED_ROWS} rows of both position tables, which nothing uses, are left out",
        f"attention_window {brief(windows)} counts the tokens of one side there: it becomes "
        f"{brief(config['attention_window'])}, of both sides",
    ]
    return renamed, config, notes


def _refusal(problem: str) -> CheckpointError:
    return CheckpointError(
        f"names begin with {ORIGINAL_PREFIX}, as in allenai's original layout, but {problem}: "
        "this is another model, or config.json is not of these weights",
        "original-layout",
    )
