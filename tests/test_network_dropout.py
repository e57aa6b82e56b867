"""Dropout in the forward pass: where it stands, what it depends on, and how much it drops."""

import contextlib
import itertools

import numba
import numpy as np
import pytest
from budget import assert_within
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

from pyled import reference
from pyled.config import LEDConfig
from pyled.kernels.jit import set_threads
from pyled.models import LEDForConditionalGeneration, LEDForSequenceClassification
from pyled.network import layers
from pyled.network.attention import SourceKeysByLayer
from pyled.network.batch import Batch
from pyled.network.cache import Cache
from pyled.network.decoder import decoder
from pyled.network.dropout import Dropout
from pyled.network.encoder import encoder

EXAMPLE = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
NO_RATES = dict.fromkeys(
    ("dropout", "attention_dropout", "activation_dropout", "classifier_dropout", "encoder_layerdrop",
     "decoder_layerdrop"), 0.0
)  # fmt: skip


def small_model(kind=LEDForConditionalGeneration, dtype="float64", **changed):
    values = {
        "vocab_size": 31, "d_model": 12, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
        "decoder_attention_heads": 3, "encoder_ffn_dim": 10, "decoder_ffn_dim": 14, "attention_window": [4, 6],
        "max_encoder_position_embeddings": 40, "max_decoder_position_embeddings": 40, "init_std": 0.5,
        "activation_function": "relu", **NO_RATES, **changed,
    }  # fmt: skip
    model, rng = kind(LEDConfig(**values), 0, dtype=dtype), np.random.default_rng(0)
    model.load_state_dict({  # no bias is 0, and no norm 1
        name: array + rng.normal(0, 0.3, array.shape) if array.ndim == 1 else array
        for name, array in model.state_dict().items()
    })  # fmt: skip
    return model


def documents_of(seed, lengths, T):
    """Per document: ids, which tokens are real and global, and target ids."""
    rng, each = np.random.default_rng(seed), []
    for S in lengths:
        is_real = rng.random(S) < 0.8
        is_real[rng.integers(S)] = True
        ids, targets = rng.integers(3, 31, S), rng.integers(3, 31, T)
        each.append((ids, is_real, is_real & (rng.random(S) < rng.choice([0.2, 0.9])), targets))
    return each


def forward(model, each, seed, numbers, see=None, is_key=None):
    """The encoder's states of documents, one behind the other, and the decoder's, (R, T, E), with dropout."""
    weights, config = model.weights, model.config
    ids, is_real, is_global, targets = zip(*each, strict=True)
    lengths = [*map(len, ids)]
    numbers, T = np.array(numbers), len(targets[0])
    places = np.concatenate([np.arange(S) for S in lengths])
    batch = Batch(is_real, is_global, see=see, dropout=Dropout(config, seed, np.repeat(numbers, lengths), places))
    states = encoder(weights["encoder.embed_tokens.weight"][np.concatenate(ids)], batch, weights, config)
    H = config.decoder_attention_heads
    sources = SourceKeysByLayer(states, config.decoder_layers, H, weights)
    past = Cache.empty(len(each), sources, np.array(lengths), H, config.d_model // H, states.dtype)
    tokens = weights["decoder.embed_tokens.weight"][np.stack(targets)]
    dropout = Dropout(config, seed, numbers[:, None], np.arange(T))
    rest = {} if see is None else {"see": see}
    return states, decoder(tokens, past, is_key, [*is_real], weights, config, **rest, dropout=dropout)[0]


class Dropping:
    """What makes the definition drop the same numbers of one document: the `see` that drops, and its softmax."""

    def __init__(self, config, seed, number, is_real, is_global, T):
        self.is_real, self.is_global, self.config = is_real, is_global, config
        self.rows = {
            "encoder": Dropout(config, seed, number, np.arange(len(is_real))),
            "decoder": Dropout(config, seed, number, np.arange(T)),
        }

    def see(self, name, array):
        rows = self.rows[name.partition(".")[0]]
        if name.endswith(("layernorm_embedding", ".output", ".out_proj", ".fc2")):
            rows.hidden(name, array)
        elif name.endswith(".fc1"):  # relu drops the same before and after
            rows.activation(name.replace("fc1", "activation"), array)
        elif name.endswith((".query", ".k_proj")):
            attention = name.rpartition(".")[0].removesuffix(".longformer_self_attn")
            H = self.config.encoder_attention_heads if ".query" in name else self.config.decoder_attention_heads
            Q = len(self.is_real) if ".query" in name else rows._rows.size
            factors = np.ones((H, Q, len(array)))
            rows.probs(f"{attention}.probs", factors)
            self.factors = factors[:, self.is_real] if ".query" in name else factors  # padding has no softmax

    @contextlib.contextmanager
    def in_definition(self):
        softmax, of_encoder, of_decoder = reference.softmax, reference.encoder_layer, reference.decoder_layer

        def encoder_layer(hidden, w, *rest):
            return hidden if self.rows["encoder"].skips(rest[-2]) else of_encoder(hidden, w, *rest)

        def decoder_layer(hidden, *rest):
            return hidden if self.rows["decoder"].skips(rest[-2]) else of_decoder(hidden, *rest)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reference, "softmax", lambda scores: softmax(scores) * self.factors)
            patch.setattr(reference, "encoder_layer", encoder_layer)
            patch.setattr(reference, "decoder_layer", decoder_layer)
            yield


@EXAMPLE
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    T=st.sampled_from([1, 3, 17, 20]),
    rates=st.tuples(*[st.sampled_from([0.0, 0.3, 1.0])] * 3, *[st.sampled_from([0.0, 0.4, 1.0])] * 2),
    is_masked=st.booleans(),
    seed=st.integers(0, 2**63),
)
def test_a_forward_pass_with_dropout_is_the_definition_with_the_same_numbers_dropped(
    lengths, T, rates, is_masked, seed
):
    names = ("dropout", "attention_dropout", "activation_dropout", "encoder_layerdrop", "decoder_layerdrop")
    model = small_model(**dict(zip(names, rates, strict=True)))
    each = documents_of(seed, lengths, T)
    is_key = np.random.default_rng(seed).random((len(lengths), T)) < 0.6 if is_masked else None
    states, hidden = forward(model, each, seed, range(5, 5 + len(lengths)), is_key=is_key)
    first = 0
    for r, (ids, is_real, is_global, targets) in enumerate(each):
        dropping = Dropping(model.config, seed, 5 + r, is_real, is_global, T)
        source, target = (model.weights[f"{side}.embed_tokens.weight"][i] for side, i in
                          (("encoder", ids), ("decoder", targets)))  # fmt: skip
        with dropping.in_definition():
            rest = model.weights, model.config, dropping.see
            truth = reference.encoder(source, is_real, is_global, *rest)
            seen = None if is_key is None else is_key[r]
            of_targets = reference.decoder(target, seen, truth, is_real, *rest)
        assert_within("states", states[first : first + len(ids)], truth, 0.0)
        assert_within("hidden", hidden[r], of_targets, 0.0)
        first += len(ids)


@EXAMPLE
@given(
    lengths=st.lists(st.integers(1, 20), min_size=2, max_size=4), T=st.sampled_from([2, 18]),
    seed=st.integers(0, 2**63), order=st.randoms(use_true_random=False),
)  # fmt: skip
def test_a_document_drops_the_same_alone_and_in_any_batch_and_order(lengths, T, seed, order):
    model = small_model(dtype="float32", dropout=0.2, attention_dropout=0.3, activation_dropout=0.1)
    each, numbers = documents_of(seed, lengths, T), [*range(len(lengths))]
    order.shuffle(numbers)
    states, hidden = forward(model, [each[number] for number in numbers], seed, numbers)
    ends = np.cumsum([0, *(lengths[number] for number in numbers)])
    for row, number in enumerate(numbers):
        alone = forward(model, [each[number]], seed, [number])
        assert np.array_equal(states[ends[row] : ends[row + 1]], alone[0])
        assert np.array_equal(hidden[row], alone[1][0])
        other = forward(model, [each[number]], seed, [number + 1])
        assert not np.array_equal(other[0], alone[0])


def test_the_seed_the_document_the_place_the_stage_and_the_channel_say_what_is_dropped():
    """No two of them drop alike: each pair shares as many numbers as chance would have it."""
    config, rows, E = LEDConfig(dropout=0.5, attention_dropout=0.5), 40, 250

    def dropped(seed=0, document=0, first=0, name="a"):
        x = np.ones((rows, E))
        Dropout(config, seed, document, np.arange(first, first + rows)).hidden(name, x)
        return x

    def probs(head, name="a"):
        x = np.ones((3, rows, E))
        Dropout(config, 0, 0, np.arange(rows)).probs(name, x)
        return x[head]

    plain = dropped()
    assert set(np.unique(plain)) == {0, 2}
    assert np.array_equal(dropped(), plain)
    assert np.array_equal(dropped(first=1)[:-1], plain[1:])  # the place, and not the row
    others = [dropped(seed=1), dropped(seed=2**63), dropped(document=1), dropped(first=rows), dropped(name="b")]
    others += [probs(1), probs(2), plain[::-1], plain[:, ::-1], dropped(seed=1, document=2), dropped(2, 1)]
    bound = 5 * np.sqrt(rows * E) / 2  # five standard deviations
    for a, b in itertools.combinations([plain, *others], 2):
        assert abs(np.sum(a == b) - rows * E / 2) < bound


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5])
def test_as_many_numbers_are_dropped_as_the_rate_says_and_the_mean_stays(rate):
    of_kinds = {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0, "classifier_dropout": 0.0}
    shape = 150, 200
    for kind, method in zip(of_kinds, ("hidden", "probs", "activation", "classifier"), strict=True):
        dropout = Dropout(LEDConfig(**{**of_kinds, kind: rate}), 7, 3, np.arange(shape[0]))
        for other in ("hidden", "probs", "activation", "classifier"):
            x = np.ones((1, *shape))
            getattr(dropout, other)("a", x)
            if other != method:
                assert (x == 1).all()
                continue
            share, spread = np.mean(x == 0), np.sqrt(rate * (1 - rate) / x.size)
            assert abs(share - rate) < 5 * spread
            assert np.allclose(x[x != 0], 1 / (1 - rate), rtol=1e-12)


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_as_many_layers_are_skipped_as_the_rate_says(side):
    other = "decoder" if side == "encoder" else "encoder"
    config = LEDConfig(**{f"{side}_layerdrop": 0.3})
    skips = [Dropout(config, seed, 0, 0).skips(f"{side}.layers.{seed % 3}") for seed in range(3000)]
    assert abs(np.mean(skips) - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 3000)
    assert not any(Dropout(config, seed, 0, 0).skips(f"{other}.layers.0") for seed in range(50))
    assert [Dropout(config, 1, number, 0).skips(f"{side}.layers.0") for number in (1, 2)] in ([True] * 2, [False] * 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("T", [3, 20])
def test_rates_of_0_change_no_bit(T, dtype):
    model = small_model(dtype=dtype, activation_function="gelu")
    each = [(ids, ids > 0, is_global, targets) for ids, _, is_global, targets in documents_of(1, [9, 17, 4], T)]
    states, hidden = forward(model, each, 3, range(3))
    ids, mask, marks = (np.zeros((3, 17), int) for _ in range(3))
    for b, (row, is_real, is_global, _) in enumerate(each):
        ids[b, : len(row)], mask[b, : len(row)], marks[b, : len(row)] = row, is_real, is_global
    targets = np.stack([targets for *_, targets in each])
    output = model(ids, mask, targets, global_attention_mask=marks, output_hidden_states=True)
    assert np.array_equal(output.decoder_hidden_states[-1], hidden)
    assert np.array_equal(
        np.concatenate([*map(np.ndarray.__getitem__, output.encoder_last_hidden_state, mask == 1)]), states
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", [LEDForConditionalGeneration, LEDForSequenceClassification])
def test_the_loss_of_a_step_of_training_is_that_of_the_definition_with_the_same_numbers_dropped(kind, seed):
    rates = {"dropout": 0.2, "attention_dropout": 0.3, "activation_dropout": 0.1, "classifier_dropout": 0.4}
    model = small_model(kind, num_labels=5, encoder_layerdrop=0.3, decoder_layerdrop=0.3, **rates)
    rng, weights, S = np.random.default_rng(seed), model.weights, 19
    ids, is_real, is_global = rng.integers(3, 31, (2, S)), np.ones(S, bool), np.arange(S) % 7 == 0
    ids[:, [11, 17]] = 2
    is_lm = kind is LEDForConditionalGeneration
    labels = rng.integers(3, 31, (2, 18)) if is_lm else rng.integers(5, size=2)
    arguments = {"input_ids": ids, "global_attention_mask": np.tile(is_global, (2, 1)), "labels": labels}
    loss, _ = model.loss_and_gradients(**arguments, training=True, seed=seed, first_document=3)
    losses = []
    for b in range(2):
        targets = reference.shift_right(labels[b] if is_lm else ids[b], 2, 1)
        dropping = Dropping(model.config, seed, 3 + b, is_real, is_global, len(targets))
        source, target = (weights[f"{side}.embed_tokens.weight"][of_side] for side, of_side in
                          (("encoder", ids[b]), ("decoder", targets)))  # fmt: skip
        with dropping.in_definition():
            states = reference.encoder(source, is_real, is_global, weights, model.config, dropping.see)
            hidden = reference.decoder(target, None, states, is_real, weights, model.config, dropping.see)
        if is_lm:
            losses.append(reference.loss(reference.lm_logits(hidden, weights), labels[b]))
            continue
        names, rows = ("classification_head.dense", "classification_head.out_proj"), dropping.rows["decoder"].part([17])
        state = hidden[[17]]
        rows.classifier(names[0], state)
        inner = np.tanh(reference.linear(state, weights, names[0]))
        rows.classifier(names[1], inner)
        losses.append(reference.loss(reference.linear(inner, weights, names[1]), labels[[b]]))
    assert_within("loss", loss, np.array(np.mean(losses)), 0.0)
    _, gradients = model.loss_and_gradients(**arguments, training=False)
    assert gradients.keys() >= model.loss_and_gradients(**arguments, training=True, seed=seed)[1].keys()


def test_a_slice_of_rows_drops_what_the_whole_does(monkeypatch):
    model = small_model(dropout=0.3, activation_dropout=0.3)
    each = documents_of(2, [20, 13], 18)
    whole = forward(model, each, 1, [0, 1])
    monkeypatch.setattr(layers, "SLICE_ROWS", 5)
    for a, b in zip(forward(model, each, 1, [0, 1]), whole, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="NUMBA_DISABLE_JIT is set: nothing runs in parallel")
def test_one_thread_drops_what_two_do():
    model = small_model(dtype="float32", dropout=0.2, attention_dropout=0.3, activation_dropout=0.1)
    each = documents_of(2, [40, 13], 18)
    two = forward(model, each, 1, [0, 1])
    set_threads(1)
    try:
        one = forward(model, each, 1, [0, 1])
    finally:
        set_threads(None)
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a, b)
