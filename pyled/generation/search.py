"""The one entry: from settings to the search they ask for."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Ids
from ..errors import GenerationError, brief
from .beam import beam_search
from .contract import (
    Generated,
    PrefixAllowedTokens,
    Progress,
    Rule,
    Search,
    Step,
    StoppingCriterion,
)
from .decoding import Decoding
from .draws import Draws
from .greedy import greedy_search
from .rules import rules_for
from .settings import Settings
from .stop_strings import StopStrings, TokenBytes
from .streamers import Streamer, check_streamer


def generate(*arguments: Any, **more: Any) -> Generated:
    """Continue each row of the prompt, and return the result of all: `search` without a document that leaves."""
    return drained(search(*arguments, **more))


def drained(search: Search) -> Generated:
    """Run a search to its end, and return the result of all documents."""
    while True:
        try:
            next(search)
        except StopIteration as e:
            result: Generated = e.value
            return result


def search(
    step: Step,
    state: Any,
    prompt: Ids,
    settings: Settings,
    *,
    encoder_ids: Ids | None = None,
    skipped: Ids | None = None,
    sources: Sequence[Ids] | None = None,
    prefix_allowed_tokens_fn: PrefixAllowedTokens | None = None,
    logits_processor: Sequence[Rule] | None = None,
    stopping_criteria: Sequence[StoppingCriterion] | None = None,
    token_bytes: TokenBytes | None = None,
    streamer: Streamer | None = None,
    progress: Progress | None = None,
    leaves: bool = False,
) -> Search:
    """Continue each row of the prompt as the settings say; both come from `resolve`.

    step: see contract. Each call gets all tokens so far, rows in document order (row = document *
        `settings.rows_per_document` + beam); the first call gets the prompt once per row.
    state: the state before the first step, of R rows. Beam search selects from it where the order of its rows changes,
        greedy search and sampling never do.
    prompt: (B, any) int64.
    encoder_ids: (B, S) int64, padding included, for the rules that look at the source.
    skipped: (B,) int64, the first tokens of each prompt that repetition_penalty passes over.
    sources: the ids of each document, without padding, for its draws; encoder_ids where they are not passed. Without
        both, all documents get the same draws.
    token_bytes: the bytes of a token, for stop strings.
    streamer: gets the prompt and then each step's tokens; not for beam search.
    leaves: whether a document is yielded with its result as soon as it is done, and leaves the search with its rows, by
        the state's `select`; never where a user's function looks at all rows.

    Raises GenerationError when no token is left, when scores are NaN, and for what users' functions return.
    """
    users_rules = _functions("logits_processor", logits_processor)
    users_criteria = _functions("stopping_criteria", stopping_criteria)
    criteria = users_criteria + _criteria(settings, token_bytes)
    is_watched = bool(users_rules or prefix_allowed_tokens_fn or users_criteria)
    is_one_beam = settings.num_beams == 1
    draws = None
    if settings.do_sample:
        drawn_by = next((ids for ids in (sources, encoder_ids) if ids is not None), prompt[:, :0])
        draws = Draws.of(settings.seed or 0, list(drawn_by), settings.rows_per_document if is_one_beam else 1)
    progress = progress or (lambda generated, limit: None)

    def rules_of(documents: Ids) -> list[Rule]:
        source, passed_over = (None if ids is None else ids[documents] for ids in (encoder_ids, skipped))
        return rules_for(settings, source, prefix_allowed_tokens_fn, users_rules, passed_over)

    documents = np.arange(len(prompt))
    decoding = Decoding(
        step, state, documents, rules_of, criteria, settings, draws, streamer, progress, leaves and not is_watched
    )
    if streamer is not None:
        check_streamer(streamer, settings)
    try:
        if streamer is not None:
            streamer.put(np.repeat(prompt, settings.rows_per_document, axis=0))
        result = yield from (greedy_search if is_one_beam else beam_search)(decoding, prompt, settings)
    finally:  # also after an error, or who waits for the text in another thread waits for ever
        if streamer is not None:
            streamer.end()
    if settings.return_dict_in_generate:
        result.past_key_values = decoding.state
    return result


def _criteria(settings: Settings, token_bytes: TokenBytes | None) -> list[StoppingCriterion]:
    """Return the stopping criteria that `settings` ask for."""
    criteria = list[StoppingCriterion]()
    if settings.max_time is not None:
        end = time.monotonic() + settings.max_time
        criteria.append(lambda ids, scores: np.bool_(time.monotonic() > end))
    if token_bytes is not None and settings.stop_strings:
        criteria.append(StopStrings(settings.stop_strings, token_bytes))
    return criteria


def _functions(name: str, value: Any) -> list[Any]:
    """Return what a user plugged in as a list. Raises GenerationError where it is no list of functions."""
    functions = [] if value is None else list(value) if np.iterable(value) else [None]
    if all(map(callable, functions)):
        return functions
    raise GenerationError(f"{name} is {brief(value)}: it must be a list of functions of (ids, scores)")
