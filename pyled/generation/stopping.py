"""When a row has ended - an end of sequence, the length limit, a criterion of the user's - and when none can go on."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import GenerationError
from .contract import Ids, Scores, StoppingCriterion
from .settings import Settings

Stops = Callable[[Ids, tuple[Scores, ...] | None], NDArray[np.bool_]]


def stops(settings: Settings, criteria: Sequence[StoppingCriterion] = ()) -> Stops:
    """The function that says which rows end with their last token: (ids: (rows, L), scores so far) to (rows,) bool.

    It raises GenerationError when a user's criterion does not give one boolean per row.
    """
    eos = np.array(settings.eos_token_id, np.int64)

    def ended(ids: Ids, scores: tuple[Scores, ...] | None) -> NDArray[np.bool_]:
        rows, length = ids.shape
        done = np.isin(ids[:, -1], eos) | (length >= settings.max_length)
        for criterion in criteria:
            own = np.asarray(criterion(ids, scores))
            if own.dtype != bool or own.shape not in ((), (rows,)):
                raise GenerationError(
                    f"a stopping criterion returned {own.dtype} of shape {own.shape}: "
                    f"it must return booleans of shape ({rows},)"
                )
            done |= own
        return done

    return ended


def refuse_nan(documents: NDArray[np.int64], length: int) -> None:
    """Raise GenerationError if there are any; documents: those with NaN among the scores of their token `length`."""
    if len(documents):
        raise GenerationError(
            f"document {documents[0]}: scores of token {length} are not numbers; check the model's weights, or pass "
            "remove_invalid_values=True"
        )


def refuse_dead_ends(documents: NDArray[np.int64], length: int) -> None:
    """Raise GenerationError if there are any; documents: those that no token may continue and that have no result.

    Upstream goes on: greedily with token 0, in beam search with what is left of the prompt.
    """
    if len(documents):
        raise GenerationError(
            f"document {documents[0]}: every token is forbidden at position {length}; loosen bad_words_ids, "
            "suppress_tokens, no_repeat_ngram_size or whatever else forbids tokens"
        )
