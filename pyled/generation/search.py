"""The one entry: from settings to the search they ask for."""

import reprlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import GenerationError
from .beam import beam_search
from .contract import (
    GenerateBeamEncoderDecoderOutput,
    GenerateEncoderDecoderOutput,
    Ids,
    PrefixAllowedTokens,
    Processor,
    Progress,
    Scores,
    Step,
    StoppingCriterion,
)
from .greedy import greedy_search
from .processors import chain
from .settings import Settings
from .stopping import stops


def _no_progress(generated: int, limit: int) -> None:
    """The progress of a caller who wants none."""


def _functions(name: str, given: Any) -> list[Any]:
    """What a user plugged in, as a list. Raises GenerationError when it is no list of functions."""
    functions = list(given or ()) if given is None or isinstance(given, Iterable) else [None]
    if all(callable(function) for function in functions):
        return functions
    raise GenerationError(f"{name} is {reprlib.repr(given)}: it must be a list of functions of (ids, scores)")


def generate(
    step: Step,
    state: Any,
    prompt: Ids,
    settings: Settings,
    *,
    encoder_ids: Ids | None = None,
    prefix_allowed_tokens_fn: PrefixAllowedTokens | None = None,
    logits_processor: Sequence[Processor] | None = None,
    stopping_criteria: Sequence[StoppingCriterion] | None = None,
    progress: Progress | None = None,
) -> GenerateEncoderDecoderOutput | GenerateBeamEncoderDecoderOutput:
    """Continue each row of the prompt as the settings say; both come from `resolve`.

    step: see contract. It is called with all tokens so far, rows in document order (row = document * num_beams +
    beam), the first time with the prompt repeated for every beam. `state` is selected from only when the order of the
    rows has changed, and never in greedy search.
    prompt: (B, P) int64. encoder_ids: (B, S) int64, padding included, for the rules that look at the source.

    Raises GenerationError when no token is left, and for what users' functions return.
    """
    own = _functions("logits_processor", logits_processor)
    ended = stops(settings, _functions("stopping_criteria", stopping_criteria))
    rules = chain(settings, encoder_ids, prefix_allowed_tokens_fn, own)

    def process(ids: Ids, scores: Scores) -> Scores:
        seen = ids.view()
        seen.flags.writeable = False
        with np.errstate(over="ignore", invalid="ignore"):  # infinities are how tokens are forbidden
            for rule in rules:
                scores = rule(seen, scores)
        return scores

    search = greedy_search if settings.num_beams == 1 else beam_search
    return search(step, state, prompt, settings, process, ended, progress or _no_progress)
