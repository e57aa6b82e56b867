"""The TensorFlow classes of transformers 4.57.6, by their names: pyled's models, called as those are, on NumPy arrays.

`from_pretrained` reads what that of every model reads, `save_pretrained` writes safetensors, `generate` is the same.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import signature
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike

from ..annotations import checked_arguments
from ..arrays import Bools, Ids, as_array
from ..errors import InputError
from ..network.cache import Cache
from ..network.losses import IGNORED_LABEL
from .conditional_generation import LEDForConditionalGeneration
from .outputs import AnyOutput, LEDEncoderBaseModelOutput, LEDSeq2SeqLMOutput, LEDSeq2SeqModelOutput
from .seq2seq import LEDModel, Seq2SeqModel, Targets

# Their fields and order are the same.
TFLEDEncoderBaseModelOutput = LEDEncoderBaseModelOutput
TFLEDSeq2SeqModelOutput = LEDSeq2SeqModelOutput
TFLEDSeq2SeqLMOutput = LEDSeq2SeqLMOutput

Call = TypeVar("Call", bound=Callable[..., Any])


def _unpacking(call: Call) -> Call:
    """Return a method whose first argument may hold the others: by name in a dictionary, by place in a list."""
    parameters = signature(call)

    @wraps(call)
    def unpack(*arguments: Any, **keywords: Any) -> Any:
        bound = parameters.bind(*arguments, **keywords).arguments
        first = bound.get("input_ids")
        if isinstance(first, Mapping):
            bound = {**bound, "input_ids": None, **parameters.bind(bound["self"], **first).arguments}
        elif isinstance(first, list | tuple):
            bound = {**bound, **parameters.bind(bound["self"], *first).arguments}
        return call(**bound)

    return cast(Call, unpack)


class TFLEDPreTrainedModel(Seq2SeqModel[AnyOutput]):
    """The call of the TensorFlow classes, and what they do otherwise than LEDModel."""

    @_unpacking
    @checked_arguments
    def call(
        self,
        input_ids: Any = None,
        attention_mask: ArrayLike | None = None,
        decoder_input_ids: ArrayLike | None = None,
        decoder_attention_mask: ArrayLike | None = None,
        head_mask: ArrayLike | None = None,
        decoder_head_mask: ArrayLike | None = None,
        encoder_outputs: LEDEncoderBaseModelOutput | tuple[ArrayLike, ...] | None = None,
        global_attention_mask: ArrayLike | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: ArrayLike | None = None,
        decoder_inputs_embeds: ArrayLike | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        labels: ArrayLike | None = None,
        training: bool = False,
    ) -> AnyOutput:
        """Run the model, as `LEDModel` and `LEDForConditionalGeneration` do, whose arguments these are.

        input_ids: (B, S) int; or a dictionary with arguments by their names, or a list of them in order
        head_mask: (layers, H) float, for the encoder and, as in TensorFlow, for the decoder's attention to the source
        labels: of TFLEDForConditionalGeneration alone; padding is left out of the loss (1,), and -100 counts as token 0
        training: False; `loss_and_gradients` alone knows dropout

        Raises InputError, also where there is neither decoder input nor labels.
        """
        if training:
            raise InputError("training=True: a call computes without dropout, leave it out; loss_and_gradients has it")
        encoder, decoder = self.config.encoder_attention_heads, self.config.decoder_attention_heads
        if head_mask is not None and encoder != decoder:
            counts = f"the encoder has {encoder} heads, the decoder {decoder}"
            raise InputError(f"head_mask is for encoder and decoder here, as in TensorFlow, but {counts}: leave it out")
        of_source = None if head_mask is None else np.atleast_1d(as_array(head_mask))[: self.config.decoder_layers]
        others = {"head_mask": head_mask, "decoder_head_mask": decoder_head_mask, "cross_attn_head_mask": of_source}
        others["labels"] = labels
        return Seq2SeqModel.__call__(
            self,
            input_ids,
            attention_mask,
            decoder_input_ids,
            decoder_attention_mask,
            encoder_outputs=encoder_outputs,
            global_attention_mask=global_attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=return_dict,
            **{name: value for name, value in others.items() if value is not None},
        )

    __call__ = forward = call  # type: ignore[assignment]  # other arguments than LEDModel's

    def _decoder_input_ids(self, input_ids: ArrayLike | None, targets: Targets) -> Ids:
        if "labels" not in targets:
            raise InputError("no decoder_input_ids: pass them; TensorFlow's classes make none from input_ids")
        return super()._decoder_input_ids(input_ids, targets)


class TFLEDModel(TFLEDPreTrainedModel[LEDSeq2SeqModelOutput], LEDModel):
    """LEDModel, called as in TensorFlow."""


class TFLEDForConditionalGeneration(TFLEDPreTrainedModel[LEDSeq2SeqLMOutput], LEDForConditionalGeneration):
    """LEDForConditionalGeneration, called as in TensorFlow, with the loss of TensorFlow's class."""

    def _output(self, states: LEDSeq2SeqModelOutput, targets: Targets, is_end: Bools | None) -> LEDSeq2SeqLMOutput:
        output = super()._output(states, targets, is_end)
        output.loss = None if output.loss is None else output.loss[None]
        return output

    def _fitted(self, targets: Targets, is_end: Bools | None, shape: tuple[int, int]) -> Targets:
        labels = super()._fitted(targets, is_end, shape)["labels"]
        is_counted = labels != self.config.pad_token_id
        return {"labels": np.where(is_counted, np.maximum(labels, 0), IGNORED_LABEL)}
