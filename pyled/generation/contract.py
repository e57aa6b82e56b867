"""What generation asks of a model, what users may plug in, and what it gives back.

Letters: B documents, R rows (B times the number of beams, row = document * beams + beam), L tokens so far,
N tokens generated, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ..output import Output

Ids = NDArray[np.int64]  # (R, L)
Scores = NDArray[np.float32]  # (R, V)


class State(Protocol):
    """Whatever a model carries from step to step (its cache), opaque here."""

    def select(self, rows: NDArray[np.int64]) -> Self:
        """The state whose row i is this one's row `rows[i]`; rows: (R,)."""
        ...


# step(ids: (R, L), state) -> logits of the token after the last: (R, V), and the state for the same rows one token on.
Step = Callable[[Ids, Any], tuple[NDArray[Any], Any]]

Processor = Callable[[Ids, Scores], Scores]  # neither argument is modified
StoppingCriterion = Callable[[Ids, tuple[Scores, ...] | None], Any]  # to booleans, one per row of ids
PrefixAllowedTokens = Callable[[int, NDArray[np.int64]], Sequence[int]]  # (document, its ids) to what may follow
Progress = Callable[[int, int], object]  # (tokens generated, most that may be)


@dataclass
class GenerateEncoderDecoderOutput(Output):
    """What greedy search returns.

    sequences: (B, L) int64, prompt included, rows that ended early filled with the padding id.
    scores: per step (B, V) float32, the processed logits, where `output_scores` is set.
    logits: per step (B, V) float32, as the model gave them, where `output_logits` is set.
    """

    sequences: Ids
    scores: tuple[Scores, ...] | None = None
    logits: tuple[Scores, ...] | None = None


@dataclass
class GenerateBeamEncoderDecoderOutput(Output):
    """What beam search returns: `num_return_sequences` rows per document, best first.

    sequences: (B * returned, L) int64.
    sequences_scores: (B * returned,) float32: the sum of the log-probabilities divided by the number of generated
        tokens to the power of `length_penalty`; upstream gives them with `output_scores` only.
    scores: per step (R, V) float32, the processed log-probabilities, where `output_scores` is set.
    logits: per step (R, V) float32, as the model gave them, where `output_logits` is set.
    beam_indices: (B * returned, N) int64, the row of `scores` that each generated token was chosen from; -1 after the
        end.
    """

    sequences: Ids
    sequences_scores: NDArray[np.float32]
    scores: tuple[Scores, ...] | None = None
    logits: tuple[Scores, ...] | None = None
    beam_indices: Ids | None = None
