"""When a row has ended: an end of sequence, the length limit, or a criterion of the user's."""

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
