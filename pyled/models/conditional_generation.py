"""LED with its language head: the logits of the next token, their loss, and `generate`."""

from dataclasses import replace
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from ..annotations import checked_arguments
from ..arrays import Bools, Floats, Ids
from ..errors import InputError
from ..generation import Generated, Search, Settings, resolve
from ..generation.contract import PrefixAllowedTokens, Progress, Scores
from ..generation.drafts import DraftedStep
from ..generation.search import drained, search
from ..generation.streamers import check_streamer
from ..generation.transitions import transition_scores
from ..generation_config import GenerationConfig
from ..gradients import heads as gradient_heads
from ..gradients.heads import Step
from ..gradients.losses import LossAndGradient
from ..network.cache import Cache
from ..network.heads import lm_logits
from ..network.losses import IGNORED_LABEL, cross_entropy
from ..tokenizer import LEDTokenizer
from ..tokenizer.bytelevel import bytes_of_token
from .arguments import (
    as_encoder_output,
    check_either,
    checked_embeds,
    checked_ids,
    checked_labels,
    checked_mask,
    shift_right,
)
from .headed import HeadedModel
from .outputs import LEDEncoderBaseModelOutput, LEDSeq2SeqLMOutput, LEDSeq2SeqModelOutput, PerLayer
from .seq2seq import Targets
from .stacks import LEDDecoder


class LEDForConditionalGeneration(HeadedModel[LEDSeq2SeqLMOutput]):
    """LED with its language head: the logits of the next token, and `generate`."""

    head = "lm"
    _targets = ("labels",)

    def _checked_targets(self, targets: dict[str, ArrayLike | None]) -> Targets:
        labels = targets.get("labels")
        return {} if labels is None else {"labels": checked_labels(labels, self.config)}

    def _decoder_input_ids(self, input_ids: ArrayLike | None, targets: Targets) -> Ids:
        if "labels" in targets:
            return shift_right(targets["labels"], self.config)
        return super()._decoder_input_ids(input_ids, targets)

    def _output(self, states: LEDSeq2SeqModelOutput, targets: Targets, is_end: Bools | None) -> LEDSeq2SeqLMOutput:
        fields = dict(states.items())
        logits, loss = lm_logits(fields.pop("last_hidden_state"), self.weights), None
        if targets:
            loss = cross_entropy(logits, self._fitted(targets, is_end, logits.shape[:2])["labels"])
        return LEDSeq2SeqLMOutput(loss=loss, logits=logits, **fields)

    def _fitted(self, targets: Targets, is_end: Bools | None, shape: tuple[int, int]) -> Targets:
        if targets["labels"].shape != shape:
            raise InputError(f"labels has shape {targets['labels'].shape}: {shape} was expected, one per target token")
        return targets

    def _tokens_read(self, targets: Targets, T: int) -> int:
        counted = np.flatnonzero((targets["labels"] != IGNORED_LABEL).any(axis=0))
        return int(counted[-1]) + 1 if len(counted) else 1

    def _differentiated(self, hidden: Floats, targets: Targets, is_end: Bools | None, step: Step) -> LossAndGradient:
        return gradient_heads.lm_logits(hidden, targets["labels"][:, : hidden.shape[1]], step)

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
        decoder_attention_mask: ArrayLike | None = None,
        head_mask: ArrayLike | None = None,
        decoder_head_mask: ArrayLike | None = None,
        cross_attn_head_mask: ArrayLike | None = None,
        encoder_outputs: LEDEncoderBaseModelOutput | tuple[ArrayLike, ...] | None = None,
        logits_processor: Any = (),
        stopping_criteria: Any = (),
        prefix_allowed_tokens_fn: PrefixAllowedTokens | None = None,
        tokenizer: LEDTokenizer | None = None,
        streamer: Any = None,
        encoder_progress: Progress | None = None,
        progress: Progress | None = None,
        **settings: Any,
    ) -> Ids | Generated:
        """Generate token ids for a batch of documents, by greedy or beam search or sampling, as Hugging Face does.

        Settings come from the call, else from `generation_config`, else from the model's own, else are defaults.
        Without attention_mask every token is real, as in transformers 5.23.0. Decoding always keeps its cache,
        whatever `use_cache` says: it changes no result.

        inputs, or input_ids: (B, S) int; or inputs_embeds: (B, S, E) float; or encoder_outputs
        global_attention_mask: (B, S) of 0 and 1; None makes no token global, though a summary needs `<s>` to be
        decoder_input_ids: (B, P) int, the beginning of every output
        decoder_attention_mask: (B, P) of 0 and 1: the first step hides tokens from each other, and repetition_penalty
            passes over those that are masked in front; later steps see all tokens, as in transformers 5.23.0
        head_mask, decoder_head_mask, cross_attn_head_mask: (layers, H) float, as in a call, for each step
        tokenizer: for stop_strings
        streamer: with the methods put and end, such as a TextStreamer; not for beam search
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
            settings, generation_config, self.generation_config, batch_size=len(source),
            vocab_size=self.config.vocab_size, positions=self.config.max_decoder_position_embeddings,
            decoder_input_ids=decoder_input_ids, has_encoder_ids=encoder_ids is not None,
            has_tokenizer=tokenizer is not None,
        )  # fmt: skip
        decoder = self.get_decoder().with_head_masks(decoder_head_mask, cross_attn_head_mask)
        is_seen = self._prompt_mask(decoder_attention_mask, decoder_input_ids, prompt)
        if streamer is not None:
            check_streamer(streamer, effective)
        for note in effective.notes:
            self._warn_once(note, note)
        if encoder_outputs is None:
            self._check_padding(encoder_ids, attention_mask)
            encoded = self.get_encoder()(
                encoder_ids, attention_mask, global_attention_mask, inputs_embeds, effective.output_attentions,
                effective.output_hidden_states, progress=encoder_progress, head_mask=head_mask,
            )  # fmt: skip
        else:
            self._tell_unused(
                inputs_embeds=inputs_embeds, global_attention_mask=global_attention_mask, head_mask=head_mask
            )
            encoded = replace(as_encoder_output(encoder_outputs), last_hidden_state=source)
        # Without an end of sequence, rows that have stopped are not padded, as upstream.
        is_watched = effective.return_dict_in_generate or not effective.eos_token_id or streamer is not None
        documents = self.search(
            encoded, attention_mask, prompt, effective, decoder=decoder, is_seen=is_seen, encoder_ids=encoder_ids,
            logits_processor=logits_processor, stopping_criteria=stopping_criteria,
            prefix_allowed_tokens_fn=prefix_allowed_tokens_fn, tokenizer=tokenizer, streamer=streamer,
            progress=progress, leaves=not is_watched,
        )  # fmt: skip
        result = drained(documents)
        return result if effective.return_dict_in_generate else result.sequences

    def search(
        self,
        encoded: LEDEncoderBaseModelOutput,
        attention_mask: ArrayLike | None,
        prompt: Ids,
        settings: Settings,
        *,
        decoder: LEDDecoder | None = None,
        is_seen: Bools | None = None,
        encoder_ids: Ids | None = None,
        tokenizer: LEDTokenizer | None = None,
        **more: Any,
    ) -> Search:
        """Generate from the encoder's output: `generate` once all its questions are settled.

        With leaves=True, each document and its result is yielded when it is done; the result of all is returned.

        prompt, settings: as `generation.resolve` gives them, (B, P) int
        decoder: of this model, for heads that are masked
        is_seen: (B, P) bool, the tokens of the prompt that its others see; None for all
        encoder_ids: (B, S) int, of which those that are masked count for rules only
        tokenizer: for stop strings
        more: other keywords of `generation.search`
        """
        decoder, states = decoder or self.get_decoder(), encoded.last_hidden_state
        past, is_source_key = decoder.begin(states, attention_mask, len(states) * settings.rows_per_document)
        is_key = None if is_seen is None else np.repeat(is_seen, settings.rows_per_document, axis=0)  # (R, P)
        shown: list[tuple[PerLayer | None, ...]] = []
        if encoder_ids is not None:
            pairs = zip(encoder_ids, is_source_key, strict=True)
            more["sources"] = [ids[: len(is_key)][is_key[: len(ids)]] for ids, is_key in pairs]
        if tokenizer is not None:
            more["token_bytes"] = lambda token: bytes_of_token(tokenizer.convert_ids_to_tokens(token) or "")

        def steps(ids: Ids, past: Cache, count: int) -> tuple[Floats, Cache | None]:
            P = past.get_seq_length()
            output = decoder.step(
                decoder.embedded(ids[:, P:]), past, None if P else is_key, is_source_key, states.shape[1],
                settings.output_attentions, settings.output_hidden_states,
            )  # fmt: skip
            shown.append((output.attentions, output.cross_attentions, output.hidden_states))
            return lm_logits(output.last_hidden_state[:, -count:], self.weights), output.past_key_values

        is_shown = settings.output_attentions or settings.output_hidden_states  # step by step
        is_drafted = len(states) == settings.rows_per_document == 1 and not (settings.do_sample or is_shown)
        source = more["sources"][0] if is_drafted and encoder_ids is not None else np.zeros(0, np.int64)
        step = DraftedStep(steps, source, settings.max_length)
        skipped = None if is_seen is None else is_seen.argmax(axis=1)  # (B,): those in front of the first that is seen
        result = yield from search(step, past, prompt, settings, encoder_ids=encoder_ids, skipped=skipped, **more)
        names = "decoder_attentions", "cross_attentions", "decoder_hidden_states"
        for name, of_steps in zip(names, zip(*shown, strict=True), strict=True):
            setattr(result, name, None if of_steps[0] is None else of_steps)
        result.encoder_attentions = encoded.attentions if settings.output_attentions else None
        result.encoder_hidden_states = encoded.hidden_states if settings.output_hidden_states else None
        return result

    @checked_arguments
    def compute_transition_scores(
        self, sequences: ArrayLike, scores: Any, beam_indices: ArrayLike | None = None, normalize_logits: bool = False
    ) -> Scores:
        """Return the score by which each token of a result of `generate` was chosen, (rows, generated tokens) float.

        sequences, scores, beam_indices: fields of the result
        normalize_logits: whether the scores become log-probabilities first, which those of beam search mostly are

        Raises InputError.
        """
        return transition_scores(sequences, scores, beam_indices, bool(normalize_logits))

    def _prompt_mask(self, mask: ArrayLike | None, ids: ArrayLike | None, prompt: Ids) -> Bools | None:
        """Return the mask of a prompt, (B, P), checked; where a start token was put in front of the ids, it is seen."""
        if mask is None:
            return None
        shape = (len(prompt), prompt.shape[1] if ids is None else np.shape(ids)[1])
        is_seen = checked_mask(mask, "decoder_attention_mask", shape, (0, 1)) == 1
        return np.pad(is_seen, ((0, 0), (prompt.shape[1] - shape[1], 0)), constant_values=True)

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
