"""The border of generation: what a model offers, what users plug in, and what comes back.

Letters: B documents, R rows (row = document * num_beams + beam), T target tokens so far, prompt included, V vocabulary.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ..arrays import Floats, Ids
from ..output import Output

Scores = NDArray[np.float32]  # (R, V)


class State(Protocol):
    """Whatever a model carries from step to step, its cache for example; generation looks at nothing but `select`."""

    def select(self, rows: Ids) -> Self:
        """Return the state whose row i is this one's row `rows[i]`; rows: (R,)."""
        ...


# step(ids: (R, T), state) -> (R, V) logits of the token after the last, and the state of the same rows one token on.
Step = Callable[[Ids, Any], tuple[Floats, Any]]

Rule = Callable[[Ids, Scores], Scores]  # (R, T), (R, V) -> (R, V); changes neither argument
StoppingCriterion = Callable[[Ids, tuple[Scores, ...] | None], Any]  # -> booleans, one per row of ids
PrefixAllowedTokens = Callable[[int, Ids], Sequence[int]]  # (document, its ids: (T,)) -> the tokens that may follow
Progress = Callable[[int, int], object]  # (tokens generated, the most there can be)


@dataclass(kw_only=True)
class _Shown(Output):
    """The fields behind those of a search, which show the model at work, where the settings ask for them.

    encoder_attentions, encoder_hidden_states: as the encoder's output has them, a row per document.
    decoder_attentions, cross_attentions: per step, per layer (R, H, T, P + T) and (R, H, T, S); the first step has the
        T tokens of the prompt, every other has one.
    decoder_hidden_states: per step, per layer, the embedding first, (R, T, E).
    past_key_values: the state behind the last step, whose rows are those of its scores; upstream has reordered them
        for a step that never comes.
    """

    encoder_attentions: tuple[Floats, ...] | None = None
    encoder_hidden_states: tuple[Floats, ...] | None = None
    decoder_attentions: tuple[tuple[Floats, ...], ...] | None = None
    cross_attentions: tuple[tuple[Floats, ...], ...] | None = None
    decoder_hidden_states: tuple[tuple[Floats, ...], ...] | None = None
    past_key_values: Any = None


@dataclass
class GenerateEncoderDecoderOutput(_Shown):
    """The result of greedy search: a row per document; or of sampling: `num_return_sequences` rows per document.

    sequences: (R, any) int64, prompt included; rows that end early are filled with the padding id.
    scores: per step (R, V) float32, the logits after all rules, where `output_scores` is set.
    logits: per step (R, V) float32, the logits of the model, where `output_logits` is set.
    """

    sequences: Ids
    scores: tuple[Scores, ...] | None = None
    logits: tuple[Scores, ...] | None = None


@dataclass
class GenerateBeamEncoderDecoderOutput(_Shown):
    """The result of beam search or beam sampling: `num_return_sequences` rows per document, best first.

    sequences: (B * num_return_sequences, any) int64, prompt included.
    sequences_scores: (B * num_return_sequences,) float32, sum of log-probabilities / generated ** length_penalty;
        upstream returns them with `output_scores` only.
    scores: per step (R, V) float32, the log-probabilities after all rules, where `output_scores` is set.
    logits: per step (R, V) float32, the logits of the model, where `output_logits` is set.
    beam_indices: (B * num_return_sequences, generated) int64, the row of `scores` that each token was chosen from; -1
        behind the end.
    """

    sequences: Ids
    sequences_scores: Scores
    scores: tuple[Scores, ...] | None = None
    logits: tuple[Scores, ...] | None = None
    beam_indices: Ids | None = None


Generated = GenerateEncoderDecoderOutput | GenerateBeamEncoderDecoderOutput

# A search, which yields each document and its result, as that of a batch of one, when it leaves; the result of all is
# the generator's.
Search = Generator[tuple[int, Generated], None, Generated]
