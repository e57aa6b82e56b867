"""LED with its language head: the logits of the next token, their loss, and `generate`."""

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from ..annotations import checked_arguments
from ..arrays import Bools, Floats, Ids
from ..errors import InputError
from ..generation import (
    GenerateBeamEncoderDecoderOutput,
    GenerateEncoderDecoderOutput,
    Settings,
    generate,
    resolve,
)
from ..generation.contract import PrefixAllowedTokens, Progress
from ..generation_config import GenerationConfig
from ..network.cache import Cache
from ..network.heads import lm_logits
from ..network.losses import cross_entropy
from .arguments import as_encoder_output, check_either, checked_embeds, checked_ids, checked_labels, shift_right
from .outputs import LEDEncoderBaseModelOutput, LEDSeq2SeqLMOutput, LEDSeq2SeqModelOutput
from .seq2seq import Seq2SeqModel, Targets

Generated = GenerateEncoderDecoderOutput | GenerateBeamEncoderDecoderOutput


class LEDForConditionalGeneration(Seq2SeqModel[LEDSeq2SeqLMOutput]):
    """LED with its language head: the logits of the next token, and `generate`."""

    head = "lm"

    def _checked_targets(self, targets: dict[str, ArrayLike | None]) -> Targets:
        labels = targets.pop("labels", None)
        super()._checked_targets(targets)
        return {} if labels is None else {"labels": checked_labels(labels, self.config)}

    def _decoder_input_ids(self, input_ids: ArrayLike | None, targets: Targets) -> Ids:
        if "labels" in targets:
            return shift_right(targets["labels"], self.config)
        return super()._decoder_input_ids(input_ids, targets)

    def _output(self, states: LEDSeq2SeqModelOutput, targets: Targets, is_end: Bools | None) -> LEDSeq2SeqLMOutput:
        fields = dict(states.items())
        logits, loss = lm_logits(fields.pop("last_hidden_state"), self.weights), None
        labels = targets.get("labels")
        if labels is not None:
            if labels.shape != logits.shape[:2]:
                raise InputError(
                    f"labels has shape {labels.shape}: {logits.shape[:2]} was expected, one per target token"
                )
            loss = cross_entropy(logits, labels)
        return LEDSeq2SeqLMOutput(loss=loss, logits=logits, **fields)

    @overload
    def generate(
        self, inputs: Any = ..., generation_config: Any = ..., *, return_dict_in_generate: Literal[True], **more: Any
    ) -> Generated: ...
    @overload
    def generate(self, inputs: Any = ..., generation_config: Any = ..., **more: Any) -> Ids: ...
    @checked_arguments
    def generate(
        self,
        inputs: ArrayLike | None = None,
        generation_config: GenerationConfig | None = None,
        *,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        global_attention_mask: ArrayLike | None = None,
        inputs_embeds: ArrayLike | None = None,
        decoder_input_ids: ArrayLike | None = None,
        encoder_outputs: LEDEncoderBaseModelOutput | tuple[ArrayLike, ...] | None = None,
        logits_processor: Any = (),
        stopping_criteria: Any = (),
        prefix_allowed_tokens_fn: PrefixAllowedTokens | None = None,
        encoder_progress: Progress | None = None,
        progress: Progress | None = None,
        **settings: Any,
    ) -> Ids | Generated:
        """Generate token ids for a batch of documents, by greedy or beam search, with the parameters of Hugging Face.

        Settings come from the call, else from `generation_config`, else from the model's own, else are defaults.
        Without attention_mask every token is real, as in transformers 5.23.0. Decoding always keeps its cache,
        whatever `use_cache` says: it changes no result.

        inputs, or input_ids: (B, S) int; or inputs_embeds: (B, S, E) float; or encoder_outputs
        global_attention_mask: (B, S) of 0 and 1; None makes no token global, though a summary needs `<s>` to be
        decoder_input_ids: (B, P) int, the beginning of every output
        encoder_progress, progress: called with layers done and in all, and with tokens generated and the most
            there may be
        returns: (B * num_return_sequences, L) int64, or with return_dict_in_generate=True a
            GenerateEncoderDecoderOutput or GenerateBeamEncoderDecoderOutput

        Raises InputError, GenerationError.
        """
        if inputs is not None and input_ids is not None:
            raise InputError("both of inputs and input_ids: give one of them, they are two names of one argument")
        ids = inputs if input_ids is None else input_ids
        encoder_ids = None if ids is None else checked_ids(ids, "input_ids", self.config.vocab_size)
        source = self._source(encoder_ids, inputs_embeds, encoder_outputs)
        effective, prompt = resolve(
            settings,
            generation_config,
            self.generation_config,
            batch_size=len(source),
            vocab_size=self.config.vocab_size,
            positions=self.config.max_decoder_position_embeddings,
            decoder_input_ids=decoder_input_ids,
            has_encoder_ids=encoder_ids is not None,
        )
        for note in effective.notes:
            self._warn_once(note, note)
        states = source
        if encoder_outputs is None:
            self._check_padding(encoder_ids, attention_mask)
            states = self.get_encoder()(
                encoder_ids, attention_mask, global_attention_mask, inputs_embeds, progress=encoder_progress
            ).last_hidden_state
        result = self.search(
            states,
            attention_mask,
            prompt,
            effective,
            encoder_ids=encoder_ids,
            logits_processor=logits_processor,
            stopping_criteria=stopping_criteria,
            prefix_allowed_tokens_fn=prefix_allowed_tokens_fn,
            progress=progress,
        )
        return result if effective.return_dict_in_generate else result.sequences

    def search(
        self, states: Floats, attention_mask: ArrayLike | None, prompt: Ids, settings: Settings, **more: Any
    ) -> Generated:
        """Generate from the encoder's states: `generate` once all its questions are settled.

        states: (B, S, E) float
        prompt, settings: as `generation.resolve` gives them, (B, P) int
        more: the keywords of `generation.generate`
        """
        decoder = self.get_decoder()
        past, is_source_key = decoder.begin(states, attention_mask, len(states) * settings.num_beams)

        def step(ids: Ids, past: Cache) -> tuple[Floats, Cache]:
            hidden, longer = decoder.step(ids[:, past.get_seq_length() :], past, is_source_key)
            return lm_logits(hidden[:, -1:], self.weights)[:, 0], longer

        return generate(step, past, prompt, settings, **more)

    def _source(self, ids: Ids | None, embeds: ArrayLike | None, outputs: Any) -> Floats | Ids:
        """Return what a generation starts from, checked: the encoder's states, else its embeddings or ids."""
        if outputs is None:
            check_either(ids, embeds, "input_ids", "inputs_embeds")
        E = self.config.d_model
        if outputs is not None:
            states = as_encoder_output(outputs).last_hidden_state
            source = checked_embeds(states, "encoder_outputs.last_hidden_state", E, self.dtype)
        elif embeds is not None:
            source = checked_embeds(embeds, "inputs_embeds", E, self.dtype)
        else:
            return ids  # type: ignore[return-value]  # check_either has seen that one is there
        if ids is not None and len(ids) != len(source):
            raise InputError(
                f"input_ids has {len(ids)} rows, encoder_outputs {len(source)}: one per document is needed"
            )
        return source

    def _check_padding(self, ids: Ids | None, attention_mask: ArrayLike | None) -> None:
        """Warn of a padding id that no mask hides: it is read like any token, as in 5.23.0, mostly by oversight."""
        pad = self.config.pad_token_id
        if attention_mask is None and ids is not None and pad is not None and np.any(ids == pad):
            self._warn_once(
                "padding", f"input_ids holds the padding id {pad} and there is no attention_mask: pass the tokenizer's"
            )
