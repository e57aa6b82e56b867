"""LED with its head for question answering: where in the decoder's input the answer starts, and where it ends."""

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Bools
from ..errors import InputError
from ..network.heads import qa_logits
from ..network.losses import span_loss
from .arguments import checked_places, one_per_row
from .outputs import LEDSeq2SeqModelOutput, LEDSeq2SeqQuestionAnsweringModelOutput
from .seq2seq import Seq2SeqModel, Targets


class LEDForQuestionAnswering(Seq2SeqModel[LEDSeq2SeqQuestionAnsweringModelOutput]):
    """LED with scores of each token to be the answer's first, and its last.

    The tokens are those of the decoder: `input_ids` shifted one place to the right, unless `decoder_input_ids` are
    passed. So place i stands for token i of the source, and the decoder must have a position for each.
    """

    head = "qa"

    def _checked_targets(self, targets: dict[str, ArrayLike | None]) -> Targets:
        positions = {name: targets.pop(name, None) for name in ("start_positions", "end_positions")}
        super()._checked_targets(targets)
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
            starts, ends = (one_per_row(positions, name, len(logits)) for name, positions in targets.items())
            loss = span_loss(start_logits, end_logits, starts, ends)
        return LEDSeq2SeqQuestionAnsweringModelOutput(
            loss=loss, start_logits=start_logits, end_logits=end_logits, **fields
        )
