"""5. The model, and the same model with something taken away: what that was good for."""

import copy
from dataclasses import dataclass, replace

from ..errors import InputError
from ..tasks import Summarizer

MODEL, NO_GLOBAL, HALVED = "model", "no global attention", "window halved"


@dataclass(frozen=True)
class System:
    """A model and how it is used."""

    name: str
    summarizer: Summarizer


def systems(summarizer: Summarizer, ablate: bool) -> list[System]:
    """The model; where `ablate` is set, also without global attention and with half its attention window.

    Raises InputError where the window cannot be halved.
    """
    found = [System(MODEL, summarizer)]
    if not ablate:
        return found
    narrower = halved(windows(summarizer))
    if narrower == windows(summarizer):
        raise InputError("--ablate: this model's attention window is 2, and cannot be halved: leave --ablate out")
    without, narrow = copy.copy(summarizer), copy.copy(summarizer)
    without.plan = replace(without.plan, reading=replace(without.plan.reading, global_attention="none"))
    model = copy.copy(summarizer.loaded.model)
    model.config = replace(model.config, attention_window=narrower)
    narrow.loaded = replace(narrow.loaded, model=model)
    return [*found, System(NO_GLOBAL, without), System(HALVED, narrow)]


def windows(summarizer: Summarizer) -> list[int]:
    """The attention window of each layer of the encoder, both sides together."""
    config = summarizer.loaded.model.config
    return [2 * config.one_sided_window(layer) for layer in range(config.encoder_layers)]


def halved(sizes: list[int]) -> list[int]:
    """Half of each window, rounded down to a whole number of tokens on each side, at least 1."""
    return [max(2, size // 4 * 2) for size in sizes]
