"""LED with its head for classification: scores of labels for a whole text, from one state of the decoder."""

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Bools, Floats, Ids, as_array
from ..errors import InputError, brief
from ..gradients import heads as gradient_heads
from ..gradients import losses as gradient_losses
from ..gradients.heads import Step
from ..gradients.losses import LossAndGradient
from ..network import losses
from ..network.heads import classification_logits
from .arguments import checked_classes, checked_ids, checked_values, one_per_row
from .headed import HeadedModel
from .outputs import LEDSeq2SeqModelOutput, LEDSeq2SeqSequenceClassifierOutput
from .seq2seq import Targets


class LEDForSequenceClassification(HeadedModel[LEDSeq2SeqSequenceClassifierOutput]):
    """LED with scores of `num_labels` labels for each text.

    The decoder reads `input_ids`, shifted one place to the right. The head takes its state at the last end token
    (`eos_token_id`, `</s>`) of each text; every row must have as many of them.

    The loss follows `config.problem_type`; where it is None, one label is "regression", labels that are integers are
    "single_label_classification", and others "multi_label_classification".
    """

    head = "classification"
    _targets = ("labels",)
    _if_too_long = "truncate the text"

    def _checked_targets(self, targets: dict[str, ArrayLike | None]) -> Targets:
        if (labels := targets.get("labels")) is None:
            return {}
        if self._problem_type(as_array(labels).dtype.kind) == "single_label_classification":
            return {"classes": checked_classes(labels, self.config.num_labels)}
        return {"values": checked_values(labels, "labels", self.dtype)}

    def _problem_type(self, kind: str) -> str:
        """Return the problem that the configuration states, or else that labels of this kind of dtype mean."""
        stated: str | None = self.config.problem_type
        if stated is not None:
            return stated
        if self.config.num_labels == 1:
            return "regression"
        return "single_label_classification" if kind in "iu" else "multi_label_classification"

    def _is_end(self, input_ids: ArrayLike | None) -> Bools:
        if input_ids is None:
            raise InputError(
                f"no input_ids: {type(self).__name__} needs them to see where the last end token stands; it takes no "
                "inputs_embeds"
            )
        ids = checked_ids(input_ids, "input_ids", self.config.vocab_size)
        ends = self.config.eos_token_id
        is_end = np.isin(ids, [] if ends is None else ends)  # (B, S)
        counts = is_end.sum(axis=1)  # (B,)
        if counts[0] == 0 or (counts != counts[0]).any():
            raise InputError(
                f"the rows of input_ids hold {brief(counts.tolist())} end tokens (eos_token_id {brief(ends)}): each "
                "must have the same number of them, at least one; end each text with one"
            )
        return is_end

    def _output(
        self, states: LEDSeq2SeqModelOutput, targets: Targets, is_end: Bools | None
    ) -> LEDSeq2SeqSequenceClassifierOutput:
        fields = dict(states.items())
        hidden = fields.pop("last_hidden_state")  # (B, T, E)
        last, loss = self.last_end(is_end, hidden.shape[:2]), None
        logits = classification_logits(hidden[np.arange(len(hidden)), last], self.weights)
        if targets:
            targets = self._fitted(targets, is_end, hidden.shape[:2])
            loss = getattr(losses, self.loss_name(targets))(logits, *targets.values())
        return LEDSeq2SeqSequenceClassifierOutput(loss=loss, logits=logits, **fields)

    def last_end(self, is_end: Bools | None, shape: tuple[int, int]) -> Ids:
        """Return the place of each text's last end token, (B,), whose state the head reads. Raises InputError."""
        assert is_end is not None  # `_is_end` has returned it
        if is_end.shape != shape:
            raise InputError(
                f"the decoder's input has shape {shape}, input_ids {is_end.shape}: the place of the last end token is "
                "that of the state which the head reads; pass a decoder token for each token of the text"
            )
        return shape[1] - 1 - np.argmax(is_end[:, ::-1], axis=1)

    def loss_name(self, targets: Targets) -> str:
        """Return the name of the loss of targets that `_checked_targets` has named by what they are."""
        if "classes" in targets:
            return "cross_entropy"
        return "squared_error" if self._problem_type("f") == "regression" else "binary_cross_entropy"

    def _fitted(self, targets: Targets, is_end: Bools | None, shape: tuple[int, int]) -> Targets:
        expected = shape[0], self.config.num_labels
        if "classes" in targets:
            return {"classes": one_per_row(targets["classes"], "labels", shape[0])}
        values = targets["values"]
        if self.config.num_labels == 1:
            values = one_per_row(values, "labels", shape[0])[:, None]
        if values.shape != expected:
            raise InputError(f"labels has shape {values.shape}: {expected} was expected, a number per label")
        return {"values": values}

    def _differentiated(self, hidden: Floats, targets: Targets, is_end: Bools | None, step: Step) -> LossAndGradient:
        (labels,), name = targets.values(), self.loss_name(targets)
        smoothing = [step.smoothing] if name == "cross_entropy" else []

        def loss(logits: Floats) -> LossAndGradient:
            result: LossAndGradient = getattr(gradient_losses, name)(logits, labels, step.count, *smoothing)
            return result

        return gradient_heads.classification_logits(hidden, self.last_end(is_end, hidden.shape[:2]), loss, step)
