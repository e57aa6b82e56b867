"""The encoder and the decoder, as models of their own."""

import itertools
from collections.abc import Callable, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from ..annotations import checked_arguments
from ..arrays import Bools, Floats, Ids
from ..errors import InputError
from ..generation.contract import Progress
from ..network.attention import source_keys
from ..network.batch import Batch
from ..network.cache import Cache
from ..network.decoder import decoder
from ..network.encoder import encoder
from ..network.observe import SEES_NOTHING, Observer, Stages
from .arguments import (
    SourceMasks,
    Tokens,
    check_length,
    checked_embeds,
    checked_mask,
    checked_tokens,
    source_masks,
)
from .base import Network
from .head_masks import Factors, factors, masked
from .outputs import BaseModelOutputWithPastAndCrossAttentions, LEDEncoderBaseModelOutput, PerLayer, in_form

ROWS = 1024  # tokens of documents that the encoder computes together: more take no less time, and more memory


class _Watch(Stages):
    """An observer that keeps the stages that an output shows, and calls `layer_done` after each layer.

    factors: of heads, by which their probabilities are multiplied
    """

    def __init__(
        self, hidden_states: bool, attentions: bool, factors: Factors, layer_done: Callable[[], object] = lambda: None
    ) -> None:
        ends = ("layernorm_embedding", "final_layer_norm") if hidden_states else ()
        super().__init__(lambda name: name.endswith(ends) or (attentions and ".probs" in name))
        self._factors, self._layer_done = factors, layer_done

    def __call__(self, name: str, array: Floats) -> None:
        if self.wants(name):
            heads = self._factors.get(name.partition(".probs")[0])
            super().__call__(name, array if heads is None else array * heads[:, None, None])  # (..., H, queries, keys)
        if name.endswith("final_layer_norm"):
            self._layer_done()

    def hidden_states(self) -> list[Floats]:
        """Return the embedding and the output of each layer, in order."""
        return [array for name, array in self.items() if ".probs" not in name]


class LEDEncoder(Network):
    """The encoder alone: `model.get_encoder()`."""

    @checked_arguments
    def __call__(
        self,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        global_attention_mask: ArrayLike | None = None,
        inputs_embeds: ArrayLike | None = None,
        output_attentions: bool | None = False,
        output_hidden_states: bool | None = False,
        return_dict: bool | None = True,
        progress: Progress | None = None,
        *,
        head_mask: ArrayLike | None = None,
    ) -> LEDEncoderBaseModelOutput:
        """Return the states of a batch of documents.

        Each document runs at its real length, and has the same bits alone and in any batch.

        input_ids: (B, S) int, or inputs_embeds: (B, S, E) float
        attention_mask: (B, S) of 0 and 1; None takes every token as real
        global_attention_mask: (B, S) of 0 and 1; -1 stands for padding
        progress: called with the layers done and the layers there are
        head_mask: (layers, H) float, factors on the probabilities of each head
        returns: an LEDEncoderBaseModelOutput, or its tuple with return_dict=False

        Raises InputError.
        """
        source, masks = self.checked(input_ids, attention_mask, global_attention_mask, inputs_embeds)
        (B, S), table = source.shape, self.weights["encoder.embed_tokens.weight"]
        shape = self.config.encoder_layers, self.config.encoder_attention_heads
        heads = factors(head_mask, "head_mask", shape, self.dtype)
        weights = masked(self.weights, heads)
        layers_done, layers = itertools.count(1), B * self.config.encoder_layers

        def layer_done() -> None:
            if progress is not None:
                progress(next(layers_done), layers)

        states = []
        watches = [_Watch(bool(output_hidden_states), bool(output_attentions), heads, layer_done) for _ in range(B)]
        are_watched = bool(output_hidden_states or output_attentions or progress is not None)
        for group in _groups(masks.lengths):
            places = [(b, slice(masks.lengths[b])) for b in group]
            tokens = np.concatenate([source.embedded(table, place) for place in places])
            documents = Batch(
                [masks.is_real[place] for place in places], [masks.is_global[place] for place in places],
                [watches[b] for b in group] if are_watched else (),
            )  # fmt: skip
            together = encoder(tokens, documents, weights, self.config)
            states += [together[document.rows] for document in documents.each]
        rows = S, self.config.d_model
        output = LEDEncoderBaseModelOutput(last_hidden_state=_stacked(states, rows))
        if output_hidden_states:
            per_layer = zip(*(watch.hidden_states() for watch in watches), strict=True)
            output.hidden_states = tuple(_stacked(layer, rows) for layer in per_layer)
        if output_attentions:
            G = int(masks.is_global.sum(axis=1).max())
            output.attentions, to_all = _attentions(watches, self.config.encoder_layers, S, G)
            output.global_attentions = to_all if G else None
        return in_form(output, return_dict)

    def checked(
        self, ids: ArrayLike | None, mask: ArrayLike | None, global_mask: ArrayLike | None, embeds: ArrayLike | None
    ) -> tuple[Tokens, SourceMasks]:
        """Return the tokens and the masks of a call, checked. Raises InputError."""
        source = checked_tokens(ids, embeds, self.config, self.dtype)
        masks = source_masks(mask, global_mask, source.shape)
        positions = self.config.max_encoder_position_embeddings
        check_length(max(masks.lengths), positions, "encoder", "truncate the text, or cut it")
        if masks.dropped:
            self._warn_once("dropped", f"{masks.dropped} global marks stand on padding and have no effect")
        return source, masks


def _groups(lengths: Sequence[int]) -> list[list[int]]:
    """Return the numbers of the documents that are computed together: as many, in order, as have ROWS tokens in all.

    >>> _groups([1, ROWS - 2, 1, 1, 2 * ROWS, 3])
    [[0, 1, 2], [3], [4], [5]]
    """
    groups, rows = list[list[int]](), 0
    for b, length in enumerate(lengths):
        if not groups or rows + length > ROWS:
            groups.append([])
            rows = 0
        groups[-1].append(b)
        rows += length
    return groups


def _stacked(arrays: Sequence[Floats], shape: tuple[int, ...]) -> Floats:
    """Stack arrays of one document each, (B, *shape), with 0 behind those that are smaller."""
    if all(array.shape == shape for array in arrays):
        return np.stack(arrays) if len(arrays) > 1 else arrays[0][None]
    stack = np.zeros((len(arrays), *shape), arrays[0].dtype)
    for place, array in zip(stack, arrays, strict=True):
        place[tuple(map(slice, array.shape))] = array
    return stack


def _attentions(watches: Sequence[_Watch], layers: int, S: int, G: int) -> tuple[PerLayer, PerLayer]:
    """Return upstream's layout of what ordinary and global queries attend to: per layer (B, H, S, G + K), (B, H, S, G).

    The first G columns of the former are the global keys in order; the latter has a column for each global query.
    """
    ordinary, to_all = [], []
    for name in (f"encoder.layers.{i}.self_attn.probs" for i in range(layers)):
        global_keys, band, global_queries = (
            [watch.pop(f"{name}.{part}") for watch in watches] for part in ("global_keys", "band", "global_queries")
        )  # popped, because such arrays are large
        H, _, K = band[0].shape
        ordinary.append(np.concatenate([_stacked(global_keys, (H, S, G)), _stacked(band, (H, S, K))], axis=3))
        to_all.append(_stacked([np.swapaxes(probs, 1, 2) for probs in global_queries], (H, S, G)))
    return tuple(ordinary), tuple(to_all)


class LEDDecoder(Network):
    """The decoder alone: `model.get_decoder()`.

    factors: of the heads that are masked
    """

    factors: Factors = MappingProxyType({})

    @checked_arguments
    def __call__(
        self,
        input_ids: ArrayLike | None = None,
        attention_mask: ArrayLike | None = None,
        encoder_hidden_states: ArrayLike | None = None,
        encoder_attention_mask: ArrayLike | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: ArrayLike | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = False,
        output_hidden_states: bool | None = False,
        return_dict: bool | None = True,
        *,
        head_mask: ArrayLike | None = None,
        cross_attn_head_mask: ArrayLike | None = None,
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        """Return the states of target tokens, given those of their source.

        input_ids: (B, T) int, or inputs_embeds: (B, T, E) float: the tokens behind the past
        attention_mask: (B, P + T) of 0 and 1; without effect where T is 1, as in transformers 5.23.0
        encoder_hidden_states: (B, S, E) float
        encoder_attention_mask: (B, S) of 0 and 1
        past_key_values: the Cache of an earlier call with the same source
        head_mask, cross_attn_head_mask: (layers, H) float, factors on the probabilities of each head
        returns: a BaseModelOutputWithPastAndCrossAttentions, or its tuple with return_dict=False

        Raises InputError.
        """
        if encoder_hidden_states is None:
            raise InputError("no encoder_hidden_states: run the encoder first, and pass its last_hidden_state")
        states = checked_embeds(encoder_hidden_states, "encoder_hidden_states", self.config.d_model, self.dtype)
        target = self.checked(input_ids, inputs_embeds, len(states))
        if past_key_values is None:
            past, is_source_key = self.begin(states, encoder_attention_mask, len(states))
        else:
            past = past_key_values
            is_source_key = self._resume(past, encoder_attention_mask, states.shape[:2])
        is_key = self.checked_mask(attention_mask, target.shape, past.get_seq_length())
        tokens = target.embedded(self.weights["decoder.embed_tokens.weight"])
        output = self.with_head_masks(head_mask, cross_attn_head_mask).step(
            tokens, past, is_key, is_source_key, states.shape[1], bool(output_attentions), bool(output_hidden_states)
        )
        if not (self.config.use_cache if use_cache is None else use_cache):
            output.past_key_values = None
        return in_form(output, return_dict)

    def checked(self, ids: ArrayLike | None, embeds: ArrayLike | None, documents: int) -> Tokens:
        """Return the tokens of a call for so many documents, checked. Raises InputError."""
        target = checked_tokens(ids, embeds, self.config, self.dtype, side="decoder_")
        if target.shape[0] != documents:
            raise InputError(
                f"{target.shape[0]} rows of decoder input for {documents} documents: one row per document is needed"
            )
        return target

    def checked_mask(self, mask: ArrayLike | None, shape: tuple[int, int], P: int = 0) -> Bools | None:
        """Return which tokens of the past and of a call of that shape, (B, T), are keys, (B, P + T); None for all.

        Raises InputError, also where there are more tokens than positions.
        """
        B, T = shape
        check_length(P + T, self.config.max_decoder_position_embeddings, "decoder", "pass fewer tokens or labels")
        return None if mask is None else checked_mask(mask, "decoder_attention_mask", (B, P + T), (0, 1)) == 1

    def with_head_masks(self, head_mask: ArrayLike | None, cross_attn_head_mask: ArrayLike | None) -> "LEDDecoder":
        """Return the decoder with factors for its heads: two of (layers, H) float, or None. Raises InputError."""
        shape = self.config.decoder_layers, self.config.decoder_attention_heads
        heads = {
            **factors(head_mask, "decoder_head_mask", shape, self.dtype),
            **factors(cross_attn_head_mask, "cross_attn_head_mask", shape, self.dtype),
        }
        if not heads:
            return self
        decoder = LEDDecoder(masked(self.weights, heads), self.config, self._warned)
        decoder.factors = heads
        return decoder

    def begin(self, states: Floats, mask: ArrayLike | None, R: int) -> tuple[Cache, list[Bools]]:
        """Return an empty past for R rows, spread evenly over the documents, and per document which tokens are keys.

        A document is kept up to its last real token where its mask is a prefix, else whole.

        states: (B, S, E) float
        """
        masks = source_masks(mask, None, states.shape[:2])
        H, layers = self.config.decoder_attention_heads, self.config.decoder_layers
        of_all = np.concatenate([document[:length] for document, length in zip(states, masks.lengths, strict=True)])
        sources = source_keys(of_all, layers, H, self.weights)
        past = Cache.empty(R, sources, np.array(masks.lengths), H, self.config.d_model // H, self.dtype)
        return past, [masks.is_key[b, :length] for b, length in enumerate(masks.lengths)]

    def step(
        self, tokens: Floats, past: Cache, is_key: Bools | None, is_source_key: list[Bools], S: int,
        attentions: bool, hidden_states: bool,
    ) -> BaseModelOutputWithPastAndCrossAttentions:  # fmt: skip
        """Return the output for tokens behind the past, of R rows that are spread over the past's documents.

        tokens: (R, T, E) float
        is_key: (R, P + T) bool, or None
        is_source_key: per document (any,) bool, at most S
        attentions, hidden_states: whether the output shows them
        """
        watch = _Watch(hidden_states, attentions, self.factors)
        see: Observer = watch if hidden_states or attentions else SEES_NOTHING
        hidden, cache = decoder(tokens, past, is_key, is_source_key, self.weights, self.config, see)
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=hidden,
            past_key_values=cache,
            hidden_states=tuple(watch.hidden_states()) if hidden_states else None,
            attentions=tuple(watch.ending(".self_attn.probs")) if attentions else None,
            cross_attentions=_widened_to(watch.ending(".encoder_attn.probs"), S) if attentions else None,
        )

    def embedded(self, ids: Ids) -> Floats:
        """Return the rows of the embeddings: (R, T) -> (R, T, E)."""
        embeddings: Floats = self.weights["decoder.embed_tokens.weight"][ids]
        return embeddings

    def _resume(self, past: Cache, mask: ArrayLike | None, shape: tuple[int, int]) -> list[Bools]:
        """Return per document of a past which of its tokens are keys; the mask, of that shape, has a row per row.

        Raises InputError for a past that is not of this decoder, or not of these rows and masks.
        """
        self._check_past(past, shape[0])
        masks = source_masks(mask, None, shape)
        is_key = []
        for document, length in enumerate(past.lengths.tolist()):
            rows = np.flatnonzero(past.document_of_row == document)
            lengths = {masks.lengths[row] for row in rows}
            if lengths - {length} or (masks.is_key[rows] != masks.is_key[rows[:1]]).any():
                raise InputError(
                    f"past_key_values was made from a document of {length} tokens, attention_mask now leaves "
                    f"{', '.join(map(str, sorted(lengths)))} of it in rows {rows.tolist()}: pass the attention_mask of "
                    "the first call again, in the order of the past's rows"
                )
            is_key.append(masks.is_key[rows[0], :length] if len(rows) else np.ones(length, np.bool_))
        return is_key

    def _check_past(self, past: Cache, R: int) -> None:
        H, layers = self.config.decoder_attention_heads, self.config.decoder_layers
        buffer = past.pasts[0][0].buffer
        shape = len(past), buffer.shape[1], buffer.shape[3], buffer.dtype
        if shape != (layers, H, self.config.d_model // H, self.dtype):
            raise InputError(
                "past_key_values is of another model, with {} layers of {} heads of size {} in {}".format(*shape)
                + f", this one has {layers} of {H} of {self.config.d_model // H} in {self.dtype}: pass one of its own"
            )
        if len(past.document_of_row) != R:
            raise InputError(f"past_key_values holds {len(past.document_of_row)} rows, this call has {R}")


def _widened_to(probs: list[Floats], S: int) -> PerLayer:
    """Return cross-attentions with S columns: those behind the longest document are 0."""
    return tuple(np.pad(layer, ((0, 0), (0, 0), (0, 0), (0, S - layer.shape[3]))) for layer in probs)
