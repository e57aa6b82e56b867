"""One step of decoding, without the choice: the model's logits, the rules on them, and which rows stop."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Bools, Ids, as_array
from ..errors import GenerationError
from .contract import Generated, Progress, Rule, Scores, Step, StoppingCriterion
from .draws import Draws
from .settings import Settings
from .streamers import Streamer

NAN = "scores of token {} are not numbers; check the model's weights, or pass remove_invalid_values=True"
# Upstream goes on here: greedily with token 0, in beam search with what is left of the prompt.
DEAD_END = (
    "every token is forbidden at position {}; loosen bad_words_ids, suppress_tokens, no_repeat_ngram_size or whatever "
    "else forbids tokens"
)


@dataclass(eq=False)
class Decoding:
    """The parts that all searches share. A search asks for scores, chooses tokens, and asks which rows stop.

    documents: (B,) int64, those at work
    rules_of: the rules for the rows of documents
    draws: what draws the tokens; None where the best are taken
    streamer: gets each step's tokens from the search; None in beam search
    progress: called by the search after each token
    leaves: whether a document that is done leaves the search; else its rows are computed on until all are done
    scores, logits: per step (R, V) float32, as the output returns them; None where the settings do not ask for them
    """

    step: Step
    state: Any
    documents: Ids
    rules_of: Callable[[Ids], Sequence[Rule]]
    criteria: Sequence[StoppingCriterion]
    settings: Settings
    draws: Draws | None
    streamer: Streamer | None
    progress: Progress
    leaves: bool = False

    def __post_init__(self) -> None:
        self._rules = self.rules_of(self.documents)
        self.scores: tuple[Scores, ...] | None = () if self.settings.output_scores else None
        self.logits: tuple[Scores, ...] | None = () if self.settings.output_logits else None

    def next_logits(self, ids: Ids) -> Scores:
        """Return the model's logits of the token after ids: (R, T), one token on from the last call; (R, V)."""
        logits, self.state = self.step(ids, self.state)
        logits = np.asarray(logits, np.float32)
        if self.logits is not None:
            self.logits += (logits,)
        return logits

    def apply_rules(self, ids: Ids, scores: Scores) -> Scores:
        """Return the scores: (R, V) after all rules, in their order; ids: (R, T)."""
        read_only = ids.view()
        read_only.flags.writeable = False
        with np.errstate(over="ignore", invalid="ignore"):  # infinities are how tokens are forbidden
            for rule in self._rules:
                scores = rule(read_only, scores)
        if self.scores is not None:
            self.scores += (scores,)
        return scores

    def is_stopped(self, ids: Ids) -> Bools:
        """Return which rows of ids: (any, T) stop with their last token, (any,).

        A row stops at an end of sequence, at the length limit, or where a criterion of the user says so. Raises
        GenerationError where a criterion does not return one boolean per row.
        """
        rows, length = ids.shape
        is_stopped = np.isin(ids[:, -1], self.settings.eos_token_id) | (length >= self.settings.max_length)
        for criterion in self.criteria:
            answer = as_array(criterion(ids, self.scores))
            if answer.dtype != bool or answer.shape not in ((), (rows,)):
                raise GenerationError(
                    f"a stopping criterion returned {answer.dtype} of shape {answer.shape}: "
                    f"it must return booleans of shape ({rows},)"
                )
            is_stopped |= answer
        return is_stopped

    def leave(
        self, is_done: Bools, length: int, result_of: Callable[[int, int], Generated]
    ) -> Generator[tuple[int, Generated], None, Bools]:
        """Yield the documents that are done, take them out of all but the state, and return which are left, (B,).

        is_done: (B,); result_of: the result of a document, at its end after so many tokens
        """
        if not self.leaves:
            return np.ones_like(is_done)
        for document in self.documents[is_done].tolist():
            yield document, result_of(document, length)
        if is_done.any() and not is_done.all():
            self.documents = self.documents[~is_done]
            self._rules = self.rules_of(self.documents)
            self.draws = self.draws and self.draws.select(~is_done)
        return ~is_done

    def reorder(self, rows: Ids, R: int) -> None:
        """Make row i of the state what row `rows[i]` of R is now; rows: (any,)."""
        if not np.array_equal(rows, np.arange(R)):
            self.state = self.state.select(rows)


def refuse(is_bad: Bools, reason: str, length: int, documents: Ids) -> None:
    """Raise GenerationError if a row is bad, with the reason, at its token `length`; is_bad: (any,), by document."""
    if is_bad.any():
        document = documents[is_bad.argmax() * len(documents) // len(is_bad)]
        raise GenerationError(f"document {document}: {reason.format(length)}")
