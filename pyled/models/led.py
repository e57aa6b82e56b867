"""The models under Hugging Face's names: arguments in, arrays out.

Letters: B batch, S source tokens, T target tokens of this call, P past tokens, E model size, V vocabulary.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from .. import checkpoint
from ..checkpoint import Storage
from ..config import LEDConfig
from ..errors import InputError, PyledWarning
from ..generation import Settings, generate, resolve
from ..generation_config import GenerationConfig
from ..kernels.rounded import widened
from ..network.attention import document_keys
from ..network.cache import Cache
from ..network.decoder import DecoderRun, decoder, empty_past
from ..network.encoder import EncoderRun, Progress, encoder
from ..network.layers import Floats, Weights, product
from .arguments import Bools, Ids, check_length, checked_embeds, checked_ids, checked_mask, source_masks
from .outputs import (
    BaseModelOutputWithPastAndCrossAttentions,
    LEDEncoderBaseModelOutput,
    LEDSeq2SeqLMOutput,
    LEDSeq2SeqModelOutput,
    Output,
)

IGNORED_LABEL = -100  # labels that the loss leaves out, as torch.nn.CrossEntropyLoss does
DType = Literal["float32", "float64"]


def _either(ids: Any, embeds: Any, ids_name: str, embeds_name: str) -> None:
    if (ids is None) == (embeds is None):
        raise InputError(f"{'neither' if ids is None else 'both'} of {ids_name} and {embeds_name}: give one of them")


def _as_asked(output: Output, return_dict: bool | None) -> Any:
    """The output, or its tuple; None is as True, as upstream."""
    return output if return_dict is None or return_dict else output.to_tuple()


class _Network:
    """Weights and configuration, shared by a model and the encoder and decoder it hands out."""

    def __init__(self, weights: Weights, config: LEDConfig, warned: set[str] | None = None) -> None:
        self.weights = weights
        self.config = config
        self._warned = set() if warned is None else warned  # causes; one set for a model and its parts

    @property
    def dtype(self) -> np.dtype[Any]:
        """The float type of all weights and results."""
        return self.weights["shared.weight"].dtype

    def _warn_once(self, cause: str, message: str) -> None:
        if cause not in self._warned:
            self._warned.add(cause)
            warnings.warn(message, PyledWarning, stacklevel=4)


class LEDEncoder(_Network):
    """The encoder alone: `model.get_encoder()`."""

    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        global_attention_mask: Any = None,
        inputs_embeds: Any = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool | None = True,
        progress: Progress | None = None,
    ) -> Any:
        """The states of a batch of documents.

        Each document runs alone, at its real length, so that it gives the same bits in any batch.

        input_ids: (B, S) int, or inputs_embeds: (B, S, E) float
        attention_mask: (B, S) of 0 and 1; None takes every token as real
        global_attention_mask: (B, S) of 0 and 1; -1 stands for padding
        progress: called with the layers done and the layers there are
        returns: LEDEncoderBaseModelOutput, or its tuple with return_dict=False

        Raises InputError.
        """
        _either(input_ids, inputs_embeds, "input_ids", "inputs_embeds")
        if inputs_embeds is None:
            ids = checked_ids(input_ids, "input_ids", self.config.vocab_size)
            B, S = ids.shape
        else:
            embeds = checked_embeds(inputs_embeds, "inputs_embeds", self.config.d_model, self.dtype)
            B, S, _ = embeds.shape
        masks = source_masks(attention_mask, global_attention_mask, (B, S))
        longest = max(masks.lengths)
        check_length(longest, self.config.max_encoder_position_embeddings, "encoder", "truncate the text, or cut it")
        if masks.dropped:
            self._warn_once("dropped", f"{masks.dropped} global marks stand on padding and have no effect")
        slots = int(masks.is_global.sum(axis=1).max()) if output_attentions else None
        runs = []
        for b, length in enumerate(masks.lengths):
            tokens = embeds[b, :length] if inputs_embeds is not None else self._embed(ids[b, :length])
            runs.append(
                encoder(
                    tokens,
                    masks.is_real[b, :length],
                    masks.is_global[b, :length],
                    self.weights,
                    self.config,
                    slots=slots,
                    keep_states=output_hidden_states,
                    progress=_part_of(progress, b, B),
                )
            )
        output = _encoder_output(runs, S, output_hidden_states, slots)
        return _as_asked(output, return_dict)

    def _embed(self, ids: Ids) -> Floats:
        return self.weights["encoder.embed_tokens.weight"][ids]


def _part_of(progress: Progress | None, b: int, B: int) -> Progress | None:
    """Progress over document b of B, told in the units of the whole batch."""
    if progress is None or B == 1:
        return progress
    return lambda done, total: progress(b * total + done, B * total)


def _padded(arrays: list[Floats], S: int, axis: int) -> Floats:
    """Arrays of one document each, stacked, with 0 behind the shorter ones along an axis of the stack."""
    if all(array.shape[axis - 1] == S for array in arrays):
        return np.stack(arrays) if len(arrays) > 1 else arrays[0][None]
    shape = [len(arrays), *arrays[0].shape]
    shape[axis] = S
    out = np.zeros(shape, arrays[0].dtype)
    for b, array in enumerate(arrays):
        out[b][(slice(None),) * (axis - 1) + (slice(array.shape[axis - 1]),)] = array
    return out


def _encoder_output(runs: list[EncoderRun], S: int, keep_states: bool, slots: int | None) -> LEDEncoderBaseModelOutput:
    """The runs of a batch's documents as one output."""

    def stacked(field: str, axis: int) -> tuple[Floats, ...]:
        per_layer = zip(*(getattr(run, field) for run in runs), strict=True)
        return tuple(_padded(list(arrays), S, axis) for arrays in per_layer)

    states = stacked("hidden_states", axis=1)
    return LEDEncoderBaseModelOutput(
        last_hidden_state=states[-1],
        hidden_states=states if keep_states else None,
        attentions=stacked("attentions", axis=2) if slots is not None else None,
        global_attentions=stacked("global_attentions", axis=2) if slots else None,
    )


class LEDDecoder(_Network):
    """The decoder alone: `model.get_decoder()`."""

    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool | None = True,
    ) -> Any:
        """The states of target tokens, given those of their source.

        input_ids: (B, T) int, or inputs_embeds: (B, T, E) float: the tokens behind the past
        attention_mask: (B, P + T) of 0 and 1; without effect where T is 1, as in transformers 5.23.0
        encoder_hidden_states: (B, S, E) float
        encoder_attention_mask: (B, S) of 0 and 1
        past_key_values: the Cache of an earlier call with the same source
        returns: BaseModelOutputWithPastAndCrossAttentions, or its tuple with return_dict=False

        Raises InputError.
        """
        _either(input_ids, inputs_embeds, "decoder_input_ids", "decoder_inputs_embeds")
        if encoder_hidden_states is None:
            raise InputError("no encoder_hidden_states: run the encoder first, and pass its last_hidden_state")
        E = self.config.d_model
        states = checked_embeds(encoder_hidden_states, "encoder_hidden_states", E, self.dtype)
        if inputs_embeds is None:
            tokens = self._embed(checked_ids(input_ids, "decoder_input_ids", self.config.vocab_size))
        else:
            tokens = checked_embeds(inputs_embeds, "decoder_inputs_embeds", E, self.dtype)
        B, T, _ = tokens.shape
        if len(states) != B:
            raise InputError(f"{B} rows of decoder input for {len(states)} documents: one row per document is needed")
        if past_key_values is None:
            past, is_source_key = self.begin(states, encoder_attention_mask, B)
        else:
            past, is_source_key = (
                past_key_values,
                self.resume(past_key_values, encoder_attention_mask, states.shape[:2]),
            )
        P = past.get_seq_length()
        positions = self.config.max_decoder_position_embeddings
        check_length(P + T, positions, "decoder", "pass fewer decoder tokens")
        is_key = None
        if attention_mask is not None:
            is_key = checked_mask(attention_mask, "decoder_attention_mask", (B, P + T), (0, 1)) == 1
        S = states.shape[1] if output_attentions else None
        run = decoder(
            tokens, past, is_key, is_source_key, self.weights, self.config, S=S, keep_states=output_hidden_states
        )
        keep = self.config.use_cache if use_cache is None else use_cache
        output = BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=run.hidden_states[-1],
            past_key_values=run.cache if keep else None,
            hidden_states=tuple(run.hidden_states) if output_hidden_states else None,
            attentions=tuple(run.attentions) if output_attentions else None,
            cross_attentions=tuple(run.cross_attentions) if output_attentions else None,
        )
        return _as_asked(output, return_dict)

    def begin(self, states: Floats, mask: Any, R: int) -> tuple[Cache, list[Bools]]:
        """An empty past for R rows, spread evenly over the documents, and per document which of its tokens are keys.

        A document is kept up to its last real token where its mask is a prefix, else whole.
        """
        masks = source_masks(mask, None, states.shape[:2])
        H, layers = self.config.decoder_attention_heads, self.config.decoder_layers
        documents = tuple(
            document_keys(np.ascontiguousarray(states[b, :length]), layers, H, self.weights)
            for b, length in enumerate(masks.lengths)
        )
        past = empty_past(R, documents, self.config, self.dtype)
        return past, [masks.is_key[b, :length] for b, length in enumerate(masks.lengths)]

    def resume(self, past: Cache, mask: Any, shape: tuple[int, int]) -> list[Bools]:
        """Per document of a past, which of its kept tokens are keys; the mask, of that shape, is told row by row.

        Raises InputError for a past that is not of this decoder, or not of these rows and masks.
        """
        self._check_past(past, shape[0])
        masks = source_masks(mask, None, shape)
        is_key = []
        for document, keys in enumerate(past.documents):
            rows = np.flatnonzero(past.document_of_row == document)
            kept = keys.layers[0].keys.shape[1]
            found = {masks.lengths[row] for row in rows}
            if found - {kept} or (masks.is_key[rows] != masks.is_key[rows[:1]]).any():
                raise InputError(
                    f"past_key_values was made from a document of {kept} tokens, attention_mask now leaves "
                    f"{', '.join(map(str, sorted(found)))} of it in rows {rows.tolist()}: pass the attention_mask of "
                    "the first call again, in the order of the past's rows"
                )
            is_key.append(masks.is_key[rows[0], :kept] if len(rows) else np.ones(kept, np.bool_))
        return is_key

    def _check_past(self, past: Any, R: int) -> None:
        if not isinstance(past, Cache):
            raise InputError(
                f"past_key_values is a {type(past).__name__}: pass the past_key_values that a call returned"
            )
        H, layers = self.config.decoder_attention_heads, self.config.decoder_layers
        _, found_H, _, found_D = past.own[0][0].buffer.shape
        found = len(past), found_H, found_D, past.own[0][0].buffer.dtype
        if found != (layers, H, self.config.d_model // H, self.dtype):
            raise InputError(
                "past_key_values is of another model, with {} layers of {} heads of size {} in {}".format(*found)
                + f", this one has {layers} of {H} of {self.config.d_model // H} in {self.dtype}: pass one of its own"
            )
        if len(past.document_of_row) != R:
            raise InputError(f"past_key_values holds {len(past.document_of_row)} rows, this call has {R}")

    def _embed(self, ids: Ids) -> Floats:
        return self.weights["decoder.embed_tokens.weight"][ids]

    def step(self, new: Ids, past: Cache, is_source_key: list[Bools]) -> DecoderRun:
        """Decode the ids behind the past, (R, T), R rows spread over the past's documents."""
        return decoder(self._embed(new), past, None, is_source_key, self.weights, self.config)


class _Model(_Network):
    """What all models share: making, loading, saving, and the parts they hand out."""

    head: str | None = None
    stored_as: Storage | None = None  # the matrices that a step of decoding reads; None for as all others
    load_report: checkpoint.LoadReport | None = None  # how the weights were found; None for random ones

    def __init__(self, config: LEDConfig, seed: int = 0, *, dtype: DType = "float32") -> None:
        """A model with random weights, drawn as upstream initialises (modeling_led.py:1050)."""
        if not isinstance(config, LEDConfig):
            raise InputError(
                f"config is a {type(config).__name__}: pass an LEDConfig; from_pretrained takes a directory"
            )
        super().__init__(_random_weights(config, self.head, seed, dtype), config)
        self.generation_config = GenerationConfig.from_model_config(config)

    @classmethod
    def from_pretrained(
        cls, directory: str | Path, *, dtype: DType = "float32", weights: Storage | None = None, mmap: bool = True
    ) -> Self:
        """The model of a checkpoint directory: `config.json`, safetensors, `generation_config.json` if there.

        Weights that the file has in half precision are widened. With mmap the file must not change while the model
        lives. What was tied, missing or unused is told by a PyledWarning where it is unusual.

        weights: "bf16" or "int8" keeps the matrices that a step of decoding reads in 2 bytes or 1 for each number,
            rounded once, here; it is computed with in float32. "float32" as None, which is for dtype "float64", too

        Raises ConfigError, CheckpointError, InputError.
        """
        checkpoint.check_storage(weights, dtype)
        directory = Path(directory)
        config = LEDConfig.from_pretrained(directory)
        loaded, report = checkpoint.load(directory, config, cls.head, dtype=dtype, mmap=mmap)
        model = cls.__new__(cls)
        model.stored_as = None if weights == "float32" else weights
        _Network.__init__(model, model._stored(loaded), config)
        model.load_report = report
        model.generation_config = GenerationConfig.of_checkpoint(directory, config)
        for line in report.surprises():
            model._warn_once(line, f"{directory}: {line}")
        return model

    def save_pretrained(self, directory: str | Path) -> None:
        """Write `model.safetensors`, `generation_config.json` and `config.json`, each file whole or not at all.

        Raises OSError where a file cannot be written, ConfigError, GenerationError; InputError for rounded weights.
        """
        self._refuse_narrow("save")
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        said = {key: value for key, value in self.config.extra.items() if key != "torch_dtype"}  # now "dtype"
        said |= {"architectures": [type(self).__name__], "dtype": self.dtype.name}
        config = replace(self.config, extra=said)
        settings = self.generation_config.to_dict()  # raises before anything is written
        checkpoint.save(directory, self.weights, config, self.head, settings)
        self.generation_config.save_pretrained(directory)
        config.save_pretrained(directory)

    def state_dict(self) -> dict[str, Floats]:
        """Every weight under upstream's name, as it is computed with; tied names share an array.

        Rounded weights are widened, into new arrays; a tied head then differs from the embeddings by the rounding.
        """
        wide = {}
        for name in checkpoint.expected_shapes(self.config, self.head):
            array, scale = self.weights[name], self.weights.get(f"{name.removesuffix('weight')}scale")
            wide[name] = array if array.dtype.kind == "f" else widened(array, scale)
        return checkpoint.upstream_names(wide, self.head)

    def load_state_dict(self, tensors: Mapping[str, Floats]) -> None:
        """Replace all weights by arrays under upstream's names, copied, or rounded where those that were there are.

        Raises CheckpointError.
        """
        weights, self.load_report = checkpoint.assign(tensors, self.config, self.head, dtype=self.dtype.name)
        self.weights = self._stored(weights)

    def _stored(self, weights: Weights) -> Weights:
        """The weights as this model keeps them."""
        return weights if self.stored_as is None else checkpoint.narrowed(weights, self.stored_as)

    def _refuse_narrow(self, act: str) -> None:
        if self.stored_as is not None:
            raise InputError(
                f"the weights of this model were rounded to {self.stored_as} when it was loaded: to {act} it, load it "
                "without weights="
            )

    def _forward(
        self,
        *,
        input_ids: Any,
        attention_mask: Any,
        decoder_input_ids: Any,
        decoder_attention_mask: Any,
        encoder_outputs: Any,
        global_attention_mask: Any,
        past_key_values: Cache | None,
        inputs_embeds: Any,
        decoder_inputs_embeds: Any,
        use_cache: bool | None,
        output_attentions: bool,
        output_hidden_states: bool,
    ) -> LEDSeq2SeqModelOutput:
        """Encoder, unless its outputs are given, and decoder."""
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            if input_ids is None:
                raise InputError("no decoder_input_ids, and no input_ids to make them from: pass decoder_input_ids")
            ids = checked_ids(input_ids, "input_ids", self.config.vocab_size)
            decoder_input_ids = shift_right(ids, self.config)
        if encoder_outputs is None:
            encoder_outputs = self.get_encoder()(
                input_ids=input_ids,
                attention_mask=attention_mask,
                global_attention_mask=global_attention_mask,
                inputs_embeds=inputs_embeds,
                output_attentions=output_attentions,
                output_hidden_states=output_hidden_states,
            )
        source = as_encoder_output(encoder_outputs)
        target = self.get_decoder()(
            input_ids=decoder_input_ids,
            attention_mask=decoder_attention_mask,
            encoder_hidden_states=source.last_hidden_state,
            encoder_attention_mask=attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        return LEDSeq2SeqModelOutput(
            last_hidden_state=target.last_hidden_state,
            past_key_values=target.past_key_values,
            decoder_hidden_states=target.hidden_states,
            decoder_attentions=target.attentions,
            cross_attentions=target.cross_attentions,
            encoder_last_hidden_state=source.last_hidden_state,
            encoder_hidden_states=source.hidden_states,
            encoder_attentions=source.attentions,
            encoder_global_attentions=source.global_attentions,
        )

    def get_encoder(self) -> LEDEncoder:
        """The encoder, as a model of its own over the weights that this one has now."""
        return LEDEncoder(self.weights, self.config, self._warned)

    def get_decoder(self) -> LEDDecoder:
        """The decoder, as a model of its own over the weights that this one has now."""
        return LEDDecoder(self.weights, self.config, self._warned)

    def get_input_embeddings(self) -> Floats:
        """(V, E) float, one row per token; read-only."""
        return self.weights["shared.weight"]

    def resize_token_embeddings(
        self,
        new_num_tokens: int | None = None,
        pad_to_multiple_of: int | None = None,
        mean_resizing: bool = True,
        *,
        seed: int = 0,
    ) -> Floats:
        """Grow or shrink the vocabulary: the rows of all embeddings and of the head, and `config.vocab_size`.

        Rows are dropped or put at the end. A new one is the mean of the old ones (upstream adds noise of 1e-9 times
        their covariance), so that a new token is as likely as the average one; with mean_resizing=False it is drawn
        with `seed` as upstream initialises. A new bias is 0. What is tied stays tied; what is not has rows of its own
        (5.23.0 then takes the encoder's and decoder's from `shared`). An encoder or decoder that was handed out
        before keeps the old size.

        new_num_tokens: len(tokenizer), say; pad_to_multiple_of: rounded up to a multiple of it
        returns: (V, E) float, the new embeddings; read-only

        Raises InputError for no number of tokens and for rounded weights, ConfigError where a special token would be
        cut off.
        """
        self._refuse_narrow("resize")
        for name, value in (("new_num_tokens", new_num_tokens), ("pad_to_multiple_of", pad_to_multiple_of)):
            if value is not None and (type(value) is not int or value < 1):
                raise InputError(f"{name} is {value!r}: an integer of at least 1, or None, was expected")
        multiple = pad_to_multiple_of or 1
        V = -(-(new_num_tokens or self.config.vocab_size) // multiple) * multiple
        config = replace(self.config, vocab_size=V)
        shapes = checkpoint.expected_shapes(config, self.head)
        rng = np.random.default_rng(seed)
        resized: dict[int, Floats] = {}  # by the old array, which tied names share
        for name, old in self.weights.items():
            if old.shape != shapes[name] and id(old) not in resized:
                resized[id(old)] = _resized(old, shapes[name], None if mean_resizing else rng, config.init_std)
        weights = {name: resized.get(id(old), old) for name, old in self.weights.items()}
        self.weights, _ = checkpoint.assign(weights, config, self.head, dtype=self.dtype.name, copy=False)
        self.config = config
        return self.get_input_embeddings()


def _random_weights(config: LEDConfig, head: str | None, seed: int, dtype: DType) -> Weights:
    rng = np.random.default_rng(seed)
    tensors: dict[str, Floats] = {}
    for name, shape in checkpoint.expected_shapes(config, head).items():
        if "layer_norm" in name or "layernorm" in name:
            tensors[name] = np.full(shape, float(name.endswith("weight")), dtype)
        elif name.endswith("bias"):
            tensors[name] = np.zeros(shape, dtype)
        else:
            tensors[name] = (rng.standard_normal(shape) * config.init_std).astype(dtype)
            if name.endswith(("shared.weight", "embed_tokens.weight")) and config.pad_token_id is not None:
                tensors[name][config.pad_token_id] = 0
    return checkpoint.assign(tensors, config, head, dtype=dtype)[0]


def _resized(old: Floats, shape: tuple[int, ...], rng: np.random.Generator | None, std: float) -> Floats:
    """An array of that shape: rows are cut, or added as the mean of the old ones or as `rng` draws; a bias gets 0."""
    new = np.zeros(shape, old.dtype)
    kept = tuple(map(slice, np.minimum(old.shape, shape)))
    new[kept] = old[kept]
    added = new[len(old) :]
    if added.size:
        added[:] = old.mean(axis=0, dtype=np.float64) if rng is None else rng.standard_normal(added.shape) * std
    return new


def as_encoder_output(given: Any) -> LEDEncoderBaseModelOutput:
    """An encoder's output, also from its tuple. Raises InputError for anything else."""
    if isinstance(given, LEDEncoderBaseModelOutput):
        return given
    if isinstance(given, Sequence) and 1 <= len(given) <= len(fields(LEDEncoderBaseModelOutput)):
        return LEDEncoderBaseModelOutput(*given)
    size = f" of {len(given)} items" if isinstance(given, Sequence) else ""
    raise InputError(
        f"encoder_outputs is a {type(given).__name__}{size}: an encoder's output, or its tuple, was expected"
    )


def shift_right(ids: Ids, config: LEDConfig) -> Ids:
    """The decoder's input for wanted outputs: the start token, then each id one place later; -100 becomes padding.

    ids: (B, T) int
    returns: (B, T) int
    """
    if config.pad_token_id is None:
        raise InputError("the configuration has no pad_token_id: pass decoder_input_ids")
    if config.decoder_start_token_id is None:
        raise InputError("the configuration has no decoder_start_token_id: pass decoder_input_ids")
    start = np.full((len(ids), 1), config.decoder_start_token_id, np.int64)
    shifted = np.concatenate([start, ids[:, :-1]], axis=1)
    return np.where(shifted == IGNORED_LABEL, config.pad_token_id, shifted)


def cross_entropy(logits: Floats, labels: Ids) -> Floats:
    """The mean of -log p(label) over all labels of all rows but -100; NaN where there is none.

    logits: (B, T, V) float
    labels: (B, T) int
    returns: () float
    """
    counted = labels != IGNORED_LABEL
    kept, wanted = logits[counted], labels[counted]  # (N, V), (N,)
    if len(wanted) == 0:
        return np.array(np.nan, logits.dtype)
    top = kept.max(axis=1)
    log_total = np.log(np.exp(kept - top[:, None]).sum(axis=1)) + top
    return np.asarray(np.mean(log_total - kept[np.arange(len(wanted)), wanted]))


class LEDModel(_Model):
    """Encoder and decoder without a head: the decoder's states."""

    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        decoder_input_ids: Any = None,
        decoder_attention_mask: Any = None,
        encoder_outputs: Any = None,
        global_attention_mask: Any = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Any = None,
        decoder_inputs_embeds: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool | None = True,
    ) -> Any:
        """The states of target tokens. Arguments as those of `LEDEncoder` and `LEDDecoder`.

        encoder_outputs: an earlier LEDEncoderBaseModelOutput or its tuple, instead of running the encoder
        decoder_input_ids: (B, T) int; None shifts input_ids one place to the right, as upstream
        returns: LEDSeq2SeqModelOutput, or its tuple with return_dict=False

        Raises InputError.
        """
        output = self._forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            encoder_outputs=encoder_outputs,
            global_attention_mask=global_attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        return _as_asked(output, return_dict)


@dataclass(frozen=True)
class _DecodingState:
    """What generation carries from step to step."""

    cache: Cache

    def select(self, rows: Ids) -> "_DecodingState":
        return _DecodingState(self.cache.select(rows))


class LEDForConditionalGeneration(_Model):
    """LED with its language head: the logits of the next token, and `generate`."""

    head = "lm"

    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        decoder_input_ids: Any = None,
        decoder_attention_mask: Any = None,
        encoder_outputs: Any = None,
        global_attention_mask: Any = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Any = None,
        decoder_inputs_embeds: Any = None,
        labels: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool | None = True,
    ) -> Any:
        """The logits of target tokens, and their loss. Arguments as those of LEDModel.

        labels: (B, T) int, the wanted outputs; -100 is left out of the loss, and padding is not. Without
            decoder_input_ids they are shifted right and given to the decoder.
        returns: LEDSeq2SeqLMOutput, or its tuple with return_dict=False

        Raises InputError.
        """
        if labels is not None:
            labels = checked_ids(labels, "labels", self.config.vocab_size, also=(IGNORED_LABEL,))
            use_cache = False
            if decoder_input_ids is None and decoder_inputs_embeds is None:
                decoder_input_ids = shift_right(labels, self.config)
        output = self._forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
            encoder_outputs=encoder_outputs,
            global_attention_mask=global_attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            decoder_inputs_embeds=decoder_inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
        )
        found = dict(output.items())
        logits = self._logits(found.pop("last_hidden_state"))
        if labels is not None and labels.shape != logits.shape[:2]:
            raise InputError(f"labels has shape {labels.shape}: {logits.shape[:2]} was expected, one per target token")
        loss = None if labels is None else cross_entropy(logits, labels)
        result = LEDSeq2SeqLMOutput(loss=loss, logits=logits, **found)
        return _as_asked(result, return_dict)

    def _logits(self, hidden: Floats) -> Floats:
        """(B, T, E) -> (B, T, V)."""
        scale = self.weights.get("lm_head.scale")
        return product(hidden, self.weights["lm_head.weight"], self.weights["final_logits_bias"][0], scale=scale)

    def generate(
        self,
        input_ids: Any = None,
        generation_config: GenerationConfig | None = None,
        *,
        attention_mask: Any = None,
        global_attention_mask: Any = None,
        inputs_embeds: Any = None,
        decoder_input_ids: Any = None,
        encoder_outputs: Any = None,
        logits_processor: Any = (),
        stopping_criteria: Any = (),
        prefix_allowed_tokens_fn: Any = None,
        encoder_progress: Progress | None = None,
        progress: Progress | None = None,
        **settings: Any,
    ) -> Any:
        """Token ids for a batch of documents, by greedy or beam search, with the parameters of Hugging Face.

        Settings come from the call, else from `generation_config`, else from the model's own, else are defaults.
        Without attention_mask every token is real, as in transformers 5.23.0. Decoding always keeps its cache,
        whatever `use_cache` says: it changes no result.

        input_ids: (B, S) int, or inputs_embeds: (B, S, E) float, or encoder_outputs
        global_attention_mask: (B, S) of 0 and 1; None makes no token global, though a summary needs `<s>` to be
        decoder_input_ids: (B, P) int, what every output begins with
        encoder_progress, progress: called with layers done and in all, and with tokens generated and the most
            there may be
        returns: (B * num_return_sequences, L) int64, or with return_dict_in_generate=True a
            GenerateEncoderDecoderOutput or GenerateBeamEncoderDecoderOutput

        Raises InputError, GenerationError.
        """
        encoder_ids = None if input_ids is None else checked_ids(input_ids, "input_ids", self.config.vocab_size)
        source = self._source(encoder_ids, inputs_embeds, encoder_outputs)
        B = len(source)
        effective, prompt = resolve(
            settings,
            generation_config,
            self.generation_config,
            batch_size=B,
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

    def search(self, states: Floats, attention_mask: Any, prompt: Ids, settings: Settings, **more: Any) -> Any:
        """Generate from the encoder's states: `generate` once all its questions are settled.

        states: (B, S, E) float
        prompt, settings: as `generation.resolve` gives them, (B, P) int
        more: what `generation.generate` takes
        returns: GenerateEncoderDecoderOutput or GenerateBeamEncoderDecoderOutput
        """
        decoder = self.get_decoder()
        past, is_source_key = decoder.begin(states, attention_mask, len(states) * settings.num_beams)

        def step(ids: Ids, state: _DecodingState) -> tuple[Floats, _DecodingState]:
            run = decoder.step(ids[:, state.cache.get_seq_length() :], state.cache, is_source_key)
            return self._logits(run.hidden_states[-1][:, -1:])[:, 0], _DecodingState(run.cache)

        return generate(step, _DecodingState(past), prompt, settings, **more)

    def _source(self, ids: Ids | None, embeds: Any, outputs: Any) -> Floats | Ids:
        """What a generation starts from, checked: the encoder's states if given, else its embeddings or ids."""
        if outputs is None:
            _either(ids, embeds, "input_ids", "inputs_embeds")
        E = self.config.d_model
        if outputs is not None:
            states = as_encoder_output(outputs).last_hidden_state
            source = checked_embeds(states, "encoder_outputs.last_hidden_state", E, self.dtype)
        elif ids is None:
            source = checked_embeds(embeds, "inputs_embeds", E, self.dtype)
        else:
            return ids
        if ids is not None and len(ids) != len(source):
            raise InputError(
                f"input_ids has {len(ids)} rows, encoder_outputs {len(source)}: one per document is needed"
            )
        return source

    def _check_padding(self, input_ids: Ids | None, attention_mask: Any) -> None:
        """A pad id that no mask hides is read like any token, as in 5.23.0; more often than not it is an oversight."""
        pad = self.config.pad_token_id
        if attention_mask is None and input_ids is not None and pad is not None and np.any(input_ids == pad):
            self._warn_once(
                "padding", f"input_ids holds the padding id {pad} and there is no attention_mask: pass the tokenizer's"
            )
