"""LED with its head for question answering: where in the decoder's input the answer starts, and where it ends."""

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Bools, Floats
from ..errors import InputError
from ..gradients import heads as gradient_heads
from ..gradients.heads import Step
from ..gradients.losses import LossAndGradient
from ..network.heads import qa_logits
from ..network.losses import span_loss
from .arguments import checked_places, one_per_row
from .headed import HeadedModel
from .outputs import LEDSeq2SeqModelOutput, LEDSeq2SeqQuestionAnsweringModelOutput
from .seq2seq import Targets


class LEDForQuestionAnswering(HeadedModel[LEDSeq2SeqQuestionAnsweringModelOutput]):
    """LED with scores of each token to be the answer's first, and its last.

    The tokens are those of the decoder: `input_ids` shifted one place to the right, unless `decoder_input_ids` are
    passed. So place i stands for token i of the source, and the decoder must have a position for each.
    """

    head = "qa"
    _targets = ("start_positions", "end_positions")

    def _checked_targets(self, targets: dict[str, ArrayLike | None]) -> Targets:
        positions = {name: targets.get(name) for name in self._targets}
        checked = {name: checked_places(value, name) for name, value in positions.items() if value is not None}
        if len(checked) == 1:
            raise InputError(f"{next(iter(checked))} alone: a loss needs both, start_positions and end_positions")
        return checked

    def _output(
        self, states: LEDSeq2SeqModelOutput, targets: Targets, is_end: Bools | None
    ) -> LEDSeq2SeqQuestionAnsweringModelOutput:
        fields = dict(states.items())
        logits = qa_logits(fields.pop("last_hidden_state"), self.weights)
        start_logits, end_logits = np.ascontiguousarray(np.moveaxis(logits, 2, 0))  # (B, T) each
        loss = None
        if targets:
            loss = span_loss(start_logits, end_logits, *self._fitted(targets, is_end, logits.shape[:2]).values())
        return LEDSeq2SeqQuestionAnsweringModelOutput(
            loss=loss, start_logits=start_logits, end_logits=end_logits, **fields
        )

    def _fitted(self, targets: Targets, is_end: Bools | None, shape: tuple[int, int]) -> Targets:
        return {name: one_per_row(positions, name, shape[0]) for name, positions in targets.items()}

    def _differentiated(self, hidden: Floats, targets: Targets, is_end: Bools | None, step: Step) -> LossAndGradient:
        starts, ends = targets.values()
        return gradient_heads.qa_logits(hidden, starts, ends, step)
