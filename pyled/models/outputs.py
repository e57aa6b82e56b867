"""The output classes of Hugging Face, with NumPy arrays.

A field is read by attribute, by name or by place; fields that are None are left out, as upstream.
"""

from dataclasses import dataclass
from typing import TypeVar, cast

from ..arrays import Floats
from ..network.cache import Cache
from ..output import Output

PerLayer = tuple[Floats, ...]
AnyOutput = TypeVar("AnyOutput", bound=Output)


def in_form(output: AnyOutput, return_dict: bool | None) -> AnyOutput:
    """Return the output, or its tuple where return_dict is False; None is as True, as upstream."""
    return cast(AnyOutput, output.to_tuple()) if return_dict is not None and not return_dict else output


@dataclass
class LEDEncoderBaseModelOutput(Output):
    """What the encoder returns.

    last_hidden_state: (B, S, E) float; rows behind a document's last real token are 0
    hidden_states: per layer, the embedding first, (B, S, E) float
    attentions: per layer (B, H, S, G + K) float: the global keys in order, then the band from i - w to i + w
    global_attentions: per layer (B, H, S, G) float: what each global token attends to; None without any
    """

    last_hidden_state: Floats
    hidden_states: PerLayer | None = None
    attentions: PerLayer | None = None
    global_attentions: PerLayer | None = None


@dataclass
class BaseModelOutputWithPastAndCrossAttentions(Output):
    """What the decoder returns.

    last_hidden_state: (B, T, E) float
    hidden_states: per layer, the embedding first, (B, T, E) float
    attentions: per layer (B, H, T, P + T) float
    cross_attentions: per layer (B, H, T, S) float
    """

    last_hidden_state: Floats
    past_key_values: Cache | None = None
    hidden_states: PerLayer | None = None
    attentions: PerLayer | None = None
    cross_attentions: PerLayer | None = None


@dataclass
class Seq2SeqOutput(Output):
    """The fields that all models return, of the decoder and of the encoder, shaped as in the outputs of these."""

    past_key_values: Cache | None = None
    decoder_hidden_states: PerLayer | None = None
    decoder_attentions: PerLayer | None = None
    cross_attentions: PerLayer | None = None
    encoder_last_hidden_state: Floats | None = None
    encoder_hidden_states: PerLayer | None = None
    encoder_attentions: PerLayer | None = None
    encoder_global_attentions: PerLayer | None = None


@dataclass(kw_only=True)
class LEDSeq2SeqModelOutput(Seq2SeqOutput):
    """What LEDModel returns: `last_hidden_state` (B, T, E), then as Seq2SeqOutput."""

    last_hidden_state: Floats


@dataclass(kw_only=True)
class LEDSeq2SeqLMOutput(Seq2SeqOutput):
    """What LEDForConditionalGeneration returns: `loss` (), `logits` (B, T, V), then as Seq2SeqOutput."""

    loss: Floats | None = None
    logits: Floats


@dataclass(kw_only=True)
class LEDSeq2SeqQuestionAnsweringModelOutput(Seq2SeqOutput):
    """What LEDForQuestionAnswering returns: `loss` (), `start_logits`, `end_logits` (B, T), then as Seq2SeqOutput."""

    loss: Floats | None = None
    start_logits: Floats
    end_logits: Floats


@dataclass(kw_only=True)
class LEDSeq2SeqSequenceClassifierOutput(Seq2SeqOutput):
    """What LEDForSequenceClassification returns: `loss` (), `logits` (B, num_labels), then as Seq2SeqOutput."""

    loss: Floats | None = None
    logits: Floats
