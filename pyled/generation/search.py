"""The one entry: from settings to the search they ask for."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Ids
from ..errors import GenerationError, brief
from .beam import beam_search
from .contract import (
    GenerateBeamEncoderDecoderOutput,
    GenerateEncoderDecoderOutput,
    PrefixAllowedTokens,
    Progress,
    Rule,
    Step,
    StoppingCriterion,
)
from .decoding import Decoding
from .greedy import greedy_search
from .rules import rules_for
from .settings import Settings


def generate(
    step: Step,
    state: Any,
    prompt: Ids,
    settings: Settings,
    *,
    encoder_ids: Ids | None = None,
    skipped: Ids | None = None,
    prefix_allowed_tokens_fn: PrefixAllowedTokens | None = None,
    logits_processor: Sequence[Rule] | None = None,
    stopping_criteria: Sequence[StoppingCriterion] | None = None,
    progress: Progress | None = None,
) -> GenerateEncoderDecoderOutput | GenerateBeamEncoderDecoderOutput:
    """Continue each row of the prompt as the settings say; both come from `resolve`.

    step: see contract. Each call gets all tokens so far, rows in document order (row = document * num_beams + beam);
        the first call gets the prompt once per beam.
    state: the state before the first step, of R rows. Beam search selects from it where the order of its rows changes,
        greedy search never does.
    prompt: (B, any) int64.
    encoder_ids: (B, S) int64, padding included, for the rules that look at the source.
    skipped: (B,) int64, the first tokens of each prompt that repetition_penalty passes over.

    Raises GenerationError when no token is left, when scores are NaN, and for what users' functions return.
    """
    users_rules = _functions("logits_processor", logits_processor)
    criteria = _functions("stopping_criteria", stopping_criteria)
    rules = rules_for(settings, encoder_ids, prefix_allowed_tokens_fn, users_rules, skipped)
    decoding = Decoding(step, state, rules, criteria, settings, progress or (lambda generated, limit: None))
    search = greedy_search if settings.num_beams == 1 else beam_search
    result = search(decoding, prompt, settings)
    if settings.return_dict_in_generate:
        result.past_key_values = decoding.state
    return result


def _functions(name: str, value: Any) -> list[Any]:
    """Return what a user plugged in as a list. Raises GenerationError where it is no list of functions."""
    functions = [] if value is None else list(value) if np.iterable(value) else [None]
    if all(map(callable, functions)):
        return functions
    raise GenerationError(f"{name} is {brief(value)}: it must be a list of functions of (ids, scores)")
