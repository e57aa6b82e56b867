"""LED with its head for classification: scores of labels for a whole text, from one state of the decoder."""

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Bools, Floats, as_array
from ..errors import InputError, brief
from ..network.heads import classification_logits
from ..network.losses import binary_cross_entropy, cross_entropy, squared_error
from .arguments import checked_classes, checked_ids, checked_values, one_per_row
from .outputs import LEDSeq2SeqModelOutput, LEDSeq2SeqSequenceClassifierOutput
from .seq2seq import Seq2SeqModel, Targets


class LEDForSequenceClassification(Seq2SeqModel[LEDSeq2SeqSequenceClassifierOutput]):
    """LED with scores of `num_labels` labels for each text.

    The decoder reads `input_ids`, shifted one place to the right. The head takes its state at the last end token
    (`eos_token_id`, `</s>`) of each text; every row must have as many of them.

    The loss follows `config.problem_type`; where it is None, one label is "regression", labels that are integers are
    "single_label_classification", and others "multi_label_classification".
    """

    head = "classification"
    _if_too_long = "truncate the text"

    def _checked_targets(self, targets: dict[str, ArrayLike | None]) -> Targets:
        labels = targets.pop("labels", None)
        super()._checked_targets(targets)
        if labels is None:
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
        assert is_end is not None  # `_is_end` has returned it
        fields = dict(states.items())
        hidden = fields.pop("last_hidden_state")  # (B, T, E)
        if hidden.shape[:2] != is_end.shape:
            raise InputError(
                f"the decoder's input has shape {hidden.shape[:2]}, input_ids {is_end.shape}: the place of the last "
                "end token is that of the state which the head reads; pass a decoder token for each token of the text"
            )
        last = is_end.shape[1] - 1 - np.argmax(is_end[:, ::-1], axis=1)  # (B,)
        logits = classification_logits(hidden[np.arange(len(hidden)), last], self.weights)
        return LEDSeq2SeqSequenceClassifierOutput(loss=self._loss(logits, targets), logits=logits, **fields)

    def _loss(self, logits: Floats, targets: Targets) -> Floats | None:
        """Return the loss of targets that `_checked_targets` has named by what they are; None without any."""
        if "classes" in targets:
            return cross_entropy(logits, one_per_row(targets["classes"], "labels", len(logits)))
        if "values" not in targets:
            return None
        values = targets["values"]
        if self.config.num_labels == 1:
            values = one_per_row(values, "labels", len(logits))[:, None]
        if values.shape != logits.shape:
            raise InputError(f"labels has shape {values.shape}: {logits.shape} was expected, a number per label")
        return (squared_error if self._problem_type("f") == "regression" else binary_cross_entropy)(logits, values)
