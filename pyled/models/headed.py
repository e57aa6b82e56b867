"""What the models with a head share: the loss of a call, and its gradients, with which they are trained."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike

from .. import checkpoint
from ..annotations import Count, Seed, Share, checked_arguments
from ..arrays import Bools, Floats
from ..errors import InputError
from ..gradients.heads import Step
from ..gradients.layers import lookup
from ..gradients.losses import LossAndGradient
from ..gradients.model import loss_and_gradients
from ..gradients.sums import Sums
from ..network.dropout import NO_DROPOUT, Dropout
from ..network.observe import SEES_NOTHING
from .outputs import AnyOutput
from .seq2seq import Seq2SeqModel, Targets


def _is_observer(value: Any) -> bool:
    return value is None or (callable(value) and callable(getattr(value, "wants", None)))


SeesGradients = Annotated[Any, _is_observer, "an observer, called with names and gradients, with a method wants(name),"]


class HeadedModel(Seq2SeqModel[AnyOutput]):
    """A model with a head, and so with a loss; a class for each head says how its loss is differentiated."""

    @checked_arguments
    def loss_and_gradients(
        self,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        decoder_input_ids: ArrayLike | None = None,
        decoder_attention_mask: ArrayLike | None = None,
        global_attention_mask: ArrayLike | None = None,
        inputs_embeds: ArrayLike | None = None,
        decoder_inputs_embeds: ArrayLike | None = None,
        *,
        label_smoothing: Share = 0.0,
        training: bool | None = None,
        seed: Seed = 0,
        first_document: Seed = 0,
        trained: Callable[[str], bool] | None = None,
        count: Count | None = None,
        see: SeesGradients = None,
        **targets: ArrayLike | None,
    ) -> tuple[Floats, dict[str, Floats]]:
        """Return the loss of a call, and its gradient with respect to each weight that it depends on.

        The first seven arguments and the targets are those of a call. What the forward pass keeps for the backward pass
        is as `gradient_checkpointing_enable` has set it: the result has the same bits whatever it is.

        label_smoothing: the share of each label's weight that is spread over the whole vocabulary, or over all classes
        training: whether dropout is on; None is as `train` and `eval` have set it
        seed: of dropout, an integer for each step of training
        first_document: the number of the first document in its step, so that a batch in parts is dropped as in one
        trained: a test on the names of `state_dict`; None for all. What lies below the lowest trained weight is not
            differentiated. Of tied weights each use counts under its own name; with "led.shared.weight" alone, all do
        count: by how many labels the loss is divided; None for those of this call. With those of the whole batch, the
            losses and the gradients of its parts add up to the whole
        see: an observer of the gradients of stages, `see(name, gradient)`; `see.wants(name)` tells which
        returns: () float, which is NaN where no label counts; and arrays by the names of `state_dict`. Tied names share
            one array. A weight that is not trained, or that no path of the loss reaches, is left out

        Raises InputError.
        """
        self.refuse_rounded("differentiate")
        source, masks, target, is_key, checked, is_end = self.checked_call(
            input_ids, attention_mask, decoder_input_ids, decoder_attention_mask, global_attention_mask, inputs_embeds,
            decoder_inputs_embeds, **self._known(targets, ".loss_and_gradients"),
        )  # fmt: skip
        if not checked:
            raise InputError(f"no {' and no '.join(self._targets)}: a loss is computed from them, pass them")
        if label_smoothing and not checked.keys() & {"labels", "classes"}:
            raise InputError(
                f"label_smoothing is {label_smoothing}: this loss has no labels to spread it over, leave it out"
            )
        T = target.shape[1]
        if is_key is None or is_key[:, 0].all():  # subtle: a token without any key attends to those behind it, too
            T = self._tokens_read(checked, T)
        is_run, read = np.arange(source.shape[1]) < np.array(masks.lengths)[:, None], np.s_[:, :T]
        dropout = self._dropout(training, seed, first_document, masks.lengths, T)
        inner_names = checkpoint.upstream_names({name: name for name in self.weights}, self.head)
        asked = {inner: trained is None or bool(trained(name)) for name, inner in inner_names.items()}
        shared = [inner for inner, array in self.weights.items() if array is self.weights["shared.weight"]]
        is_alone = [inner for inner in shared if asked[inner]] == ["shared.weight"]  # a name without a use
        sums = Sums(self.weights, {**asked, **dict.fromkeys(shared if is_alone else (), True)}.__getitem__)
        step = Step(self.weights, sums, dropout[1], count, float(label_smoothing), SEES_NOTHING if see is None else see)
        table = "{}.embed_tokens.weight"
        loss, d_source, d_target = loss_and_gradients(
            source.embedded(self.weights[table.format("encoder")], is_run), masks.of_documents(),
            target.embedded(self.weights[table.format("decoder")], read), None if is_key is None else is_key[read],
            lambda hidden: self._differentiated(hidden, checked, is_end, step), self.config, self.checkpointing,
            dropout, step,
        )  # fmt: skip
        pad = -1 if self.config.pad_token_id is None else self.config.pad_token_id
        sides = ("decoder", d_target, target.ids, read), ("encoder", d_source, source.ids, is_run)
        for side, d_tokens, ids, place in sides:
            if d_tokens is not None and ids is not None:
                lookup(d_tokens, ids[place], pad, table.format(side), sums)
        gradients = sums.by_name()
        return loss, {name: gradients[one] for name, one in inner_names.items() if asked[one] and one in gradients}

    def _dropout(
        self, training: bool | None, seed: int, first_document: int, lengths: Sequence[int], T: int
    ) -> tuple[Dropout, Dropout]:
        """Return what drops numbers of the rows of all sources, and of those of all targets."""
        if not (self.training if training is None else training):
            return NO_DROPOUT, NO_DROPOUT
        numbers = int(first_document) + np.arange(len(lengths))
        places = np.concatenate([np.arange(length) for length in lengths])
        of_source = Dropout(self.config, int(seed), np.repeat(numbers, lengths), places)
        return of_source, Dropout(self.config, int(seed), numbers[:, None], np.arange(T))

    def _tokens_read(self, targets: Targets, T: int) -> int:
        """Return how many of T target tokens the loss depends on: those behind them are not computed."""
        return T

    def _differentiated(self, hidden: Floats, targets: Targets, is_end: Bools | None, step: Step) -> LossAndGradient:
        """Return the loss, and the gradient of the decoder's states, (B, T, E)."""
        raise NotImplementedError
