"""The one entry: from settings to the search they ask for."""

from collections.abc import Sequence
from typing import Any

import numpy as np

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


def generate(
    step: Step,
    state: Any,
    prompt: Ids,
    settings: Settings,
    *,
    encoder_ids: Ids | None = None,
    prefix_allowed_tokens_fn: PrefixAllowedTokens | None = None,
    logits_processor: Sequence[Processor] = (),
    stopping_criteria: Sequence[StoppingCriterion] = (),
    progress: Progress | None = None,
) -> GenerateEncoderDecoderOutput | GenerateBeamEncoderDecoderOutput:
    """Continue each row of the prompt as the settings say; both come from `resolve`.

    step: see contract. It is called with all tokens so far, rows in document order (row = document * num_beams +
    beam), the first time with the prompt repeated for every beam. `state` is selected from only when the order of the
    rows has changed, and never in greedy search.
    prompt: (B, P) int64. encoder_ids: (B, S) int64, padding included, for the rules that look at the source.

    Raises GenerationError when no token is left, and for what users' functions return.
    """
    rules = chain(settings, encoder_ids, prefix_allowed_tokens_fn, logits_processor)

    def process(ids: Ids, scores: Scores) -> Scores:
        seen = ids.view()
        seen.flags.writeable = False
        with np.errstate(over="ignore", invalid="ignore"):  # infinities are how tokens are forbidden
            for rule in rules:
                scores = rule(seen, scores)
        return scores

    search = greedy_search if settings.num_beams == 1 else beam_search
    ended = stops(settings, stopping_criteria)
    return search(step, state, prompt, settings, process, ended, progress or _no_progress)
