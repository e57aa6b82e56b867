"""The call that all models share, from ids to an output, and LEDModel, which has no head."""

from typing import Any, Generic, NamedTuple

from numpy.typing import ArrayLike, NDArray

from ..annotations import checked_arguments
from ..arrays import Bools, Ids, as_array
from ..errors import InputError, brief
from ..network.cache import Cache
from .arguments import SourceMasks, Tokens, as_encoder_output, check_length, checked_ids, shift_right
from .base import PreTrainedModel
from .outputs import AnyOutput, LEDEncoderBaseModelOutput, LEDSeq2SeqModelOutput, in_form
from .stacks import LEDDecoder, LEDEncoder

Targets = dict[str, NDArray[Any]]  # what a loss is computed from, by the name of the argument


class Checked(NamedTuple):
    """The arguments of a call, checked; is_key: (B, T) bool, or None; is_end: that of `_is_end`."""

    source: Tokens
    masks: SourceMasks
    target: Tokens
    is_key: Bools | None
    targets: Targets
    is_end: Bools | None


class Seq2SeqModel(PreTrainedModel, Generic[AnyOutput]):
    """A model of an encoder and a decoder; a class for each head says what it makes of the decoder's states."""

    _targets: tuple[str, ...] = ()  # the arguments that a loss is computed from
    _if_too_long = "truncate the text, or pass decoder_input_ids"

    @checked_arguments
    def __call__(
        self,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        decoder_input_ids: ArrayLike | None = None,
        decoder_attention_mask: ArrayLike | None = None,
        encoder_outputs: LEDEncoderBaseModelOutput | tuple[ArrayLike, ...] | None = None,
        global_attention_mask: ArrayLike | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: ArrayLike | None = None,
        decoder_inputs_embeds: ArrayLike | None = None,
        *,
        head_mask: ArrayLike | None = None,
        decoder_head_mask: ArrayLike | None = None,
        cross_attn_head_mask: ArrayLike | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = False,
        output_hidden_states: bool | None = False,
        return_dict: bool | None = True,
        **targets: ArrayLike | None,
    ) -> AnyOutput:
        """Run the encoder, unless its outputs are passed, the decoder, and the head.

        input_ids: (B, S) int, or inputs_embeds: (B, S, E) float
        attention_mask: (B, S) of 0 and 1; None takes every token as real
        decoder_input_ids: (B, T) int, or decoder_inputs_embeds: (B, T, E) float; None takes the labels, or else
            input_ids, shifted one place to the right, as upstream
        decoder_attention_mask: (B, P + T) of 0 and 1; without effect where T is 1, as in transformers 5.23.0
        encoder_outputs: an earlier LEDEncoderBaseModelOutput or its tuple, instead of running the encoder
        global_attention_mask: (B, S) of 0 and 1; -1 stands for padding; None makes no token global
        past_key_values: the Cache of an earlier call with the same source
        head_mask, decoder_head_mask, cross_attn_head_mask: (layers, H) float, factors on the heads' probabilities:
            the encoder's, those of the decoder's self-attention, and those of its cross-attention
        use_cache: whether the output has a Cache; None is as the configuration says
        targets: what the class computes a loss from; no Cache comes with a loss
            LEDForConditionalGeneration: `labels` (B, T) int, where -100 is left out of the loss and padding is not
            LEDForQuestionAnswering: `start_positions`, `end_positions` (B,) int, places in the decoder's input; one
            below 0 is as 0, one behind the end is left out
            LEDForSequenceClassification: `labels` (B,) int, or (B, num_labels) float, as `problem_type` has it
        returns: the class's output, or its tuple with return_dict=False

        Raises InputError.
        """
        checked, is_end = self._checked_targets(self._known(targets)), self._is_end(input_ids)
        if checked and use_cache:
            self._warn_once("use_cache", "use_cache=True has no effect here: no Cache comes with a loss, leave it out")
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self._decoder_input_ids(input_ids, checked)
        if encoder_outputs is None:
            encoder_outputs = self.get_encoder()(
                input_ids, attention_mask, global_attention_mask, inputs_embeds, output_attentions,
                output_hidden_states, head_mask=head_mask,
            )  # fmt: skip
        else:
            self._tell_unused(
                inputs_embeds=inputs_embeds, global_attention_mask=global_attention_mask, head_mask=head_mask
            )
        source = as_encoder_output(encoder_outputs)
        target = self.get_decoder()(
            input_ids=decoder_input_ids,
            attention_mask=decoder_attention_mask,
            encoder_hidden_states=source.last_hidden_state,
            encoder_attention_mask=attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=decoder_inputs_embeds,
            use_cache=False if checked else use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            head_mask=decoder_head_mask,
            cross_attn_head_mask=cross_attn_head_mask,
        )
        states = LEDSeq2SeqModelOutput(
            last_hidden_state=target.last_hidden_state,
            past_key_values=target.past_key_values,
            decoder_hidden_states=target.hidden_states,
            decoder_attentions=target.attentions,
            cross_attentions=target.cross_attentions,
            encoder_last_hidden_state=as_array(source.last_hidden_state),
            encoder_hidden_states=source.hidden_states,
            encoder_attentions=source.attentions,
            encoder_global_attentions=source.global_attentions,
        )
        return in_form(self._output(states, checked, is_end), return_dict)

    forward = __call__

    def checked_call(
        self,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        decoder_input_ids: ArrayLike | None = None,
        decoder_attention_mask: ArrayLike | None = None,
        global_attention_mask: ArrayLike | None = None,
        inputs_embeds: ArrayLike | None = None,
        decoder_inputs_embeds: ArrayLike | None = None,
        **targets: ArrayLike | None,
    ) -> Checked:
        """Return the arguments of a call that runs both stacks, checked. Raises InputError."""
        checked, is_end = self._checked_targets(self._known(targets)), self._is_end(input_ids)
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self._decoder_input_ids(input_ids, checked)
        encoder, decoder = self.get_encoder(), self.get_decoder()
        source, masks = encoder.checked(input_ids, attention_mask, global_attention_mask, inputs_embeds)
        target = decoder.checked(decoder_input_ids, decoder_inputs_embeds, len(masks.lengths))
        is_key = decoder.checked_mask(decoder_attention_mask, target.shape)
        fitted = self._fitted(checked, is_end, target.shape) if checked else {}
        return Checked(source, masks, target, is_key, fitted, is_end)

    def _known(self, targets: dict[str, ArrayLike | None], method: str = "") -> dict[str, ArrayLike | None]:
        """Return the targets of a call, or of a method as ".generate". Raises TypeError for another keyword."""
        for name in targets.keys() - self._targets:
            raise TypeError(f"{type(self).__name__}{method}() got an unexpected keyword argument {brief(name)}")
        return targets

    def _checked_targets(self, targets: dict[str, ArrayLike | None]) -> Targets:
        """Return the targets that are not None. Raises InputError."""
        return {}

    def _fitted(self, targets: Targets, is_end: Bools | None, shape: tuple[int, int]) -> Targets:
        """Return the targets of decoder tokens of that shape, (B, T). Raises InputError where they do not fit."""
        raise NotImplementedError

    def _decoder_input_ids(self, input_ids: ArrayLike | None, targets: Targets) -> Ids:
        """Return what the decoder reads where the call does not say it, (B, T)."""
        if input_ids is None:
            raise InputError("no decoder_input_ids, and no input_ids to make them from: pass decoder_input_ids")
        ids = checked_ids(input_ids, "input_ids", self.config.vocab_size)
        side = f"decoder, in which {type(self).__name__} reads the whole text, too,"
        check_length(ids.shape[1], self.config.max_decoder_position_embeddings, side, self._if_too_long)
        return shift_right(ids, self.config)

    def _is_end(self, input_ids: ArrayLike | None) -> Bools | None:
        """Return which tokens end a text, (B, S), for a head that reads one state of it; None for any other."""
        return None

    def _output(self, states: LEDSeq2SeqModelOutput, targets: Targets, is_end: Bools | None) -> AnyOutput:
        """Return what the head makes of the decoder's states."""
        raise NotImplementedError

    def _tell_unused(self, **of_encoder: ArrayLike | None) -> None:
        """Warn of arguments of the encoder where its outputs are passed in place of a run."""
        for name, value in of_encoder.items():
            if value is not None:
                self._warn_once(f"{name} unused", f"{name} has no effect beside encoder_outputs: leave one of them out")

    def get_encoder(self) -> LEDEncoder:
        """Return the encoder, as a model of its own over the weights that this one has now."""
        return LEDEncoder(self.weights, self.config, self._warned)

    def get_decoder(self) -> LEDDecoder:
        """Return the decoder, as a model of its own over the weights that this one has now."""
        return LEDDecoder(self.weights, self.config, self._warned)


class LEDModel(Seq2SeqModel[LEDSeq2SeqModelOutput]):
    """Encoder and decoder without a head: the decoder's states."""

    def _output(self, states: LEDSeq2SeqModelOutput, targets: Targets, is_end: Bools | None) -> LEDSeq2SeqModelOutput:
        return states
