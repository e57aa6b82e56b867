"""What must hold for the gradients of any model, with dropout: bits, sums of parts, central differences."""

import warnings

import numpy as np
import pytest
from budget import assert_within
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from test_model_properties import small_config, some_ids

from pyled import models
from pyled.errors import PyledWarning
from pyled.kernels.jit import set_threads

EXAMPLE = settings(deadline=None, derandomize=True, max_examples=(EXAMPLES + 2) // 3)  # each is several passes
STEP = 6e-6  # of central differences in float64, near the cube root of the rounding
DROPPED = {
    "dropout": 0.2, "attention_dropout": 0.3, "activation_dropout": 0.1, "classifier_dropout": 0.25,
    "encoder_layerdrop": 0.3, "decoder_layerdrop": 0.3,
}  # fmt: skip
KINDS = ["LEDForConditionalGeneration", "LEDForQuestionAnswering", "LEDForSequenceClassification"]
CALL = {
    "kind": st.sampled_from([*KINDS, *KINDS[:1] * 2]),
    "lengths": st.lists(st.integers(1, 12), min_size=1, max_size=3),
    "T": st.integers(1, 20),
    "marks": st.sampled_from([0.0, 0.1, 0.6]),
    "mask": st.sampled_from(["suffix", "holes"]),
    "is_tied": st.booleans(),
    "seed": st.integers(0, 2**32 - 1),
}


def random_model(kind, seed, dtype, **changed):
    """A model whose norms are not 1 and whose biases are not 0."""
    config = small_config(**{"max_decoder_position_embeddings": 20, "num_labels": 3, **DROPPED, **changed})
    model, rng = getattr(models, kind)(config, seed % 1000, dtype=dtype), np.random.default_rng(seed)
    weights = model.state_dict()
    model.load_state_dict(
        {name: array + rng.standard_normal(array.shape) / 2 * (array.ndim == 1) for name, array in weights.items()}
    )
    return model


def random_call(kind, lengths, T, marks, mask, seed):
    rng, B, S = np.random.default_rng(seed), len(lengths), max(lengths)
    is_real = np.arange(S) < np.array(lengths)[:, None]
    if mask == "holes":
        is_real &= rng.random((B, S)) < 0.8
    inputs = {
        "input_ids": some_ids(seed, B, S), "decoder_input_ids": some_ids(seed + 1, B, T),
        "attention_mask": is_real.astype(int), "global_attention_mask": (rng.random((B, S)) < marks).astype(int),
    }  # fmt: skip
    if mask == "holes":
        inputs["decoder_attention_mask"] = (rng.random((B, T)) < 0.8).astype(int)
    if kind == KINDS[0]:
        inputs["labels"] = np.where(rng.random((B, T)) < 0.7, some_ids(seed + 2, B, T), -100)
        inputs["labels"][0, 0] = 5
    elif kind == KINDS[1]:
        inputs |= {f"{end}_positions": rng.integers(0, T, B) for end in ("start", "end")}
    else:
        inputs["decoder_input_ids"] = some_ids(seed + 1, B, S)
        inputs["input_ids"][:, -1] = 2
        inputs["labels"] = rng.integers(0, 3, B)
        inputs.pop("decoder_attention_mask", None)
    return inputs


def differentiate(model, inputs, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyledWarning)  # of marks on padding
        return model.loss_and_gradients(**inputs, training=True, seed=7, **more)


def assert_same_bits(some, others):
    assert some[0] == others[0]
    assert some[1].keys() == others[1].keys()
    for name, gradient in some[1].items():
        assert np.array_equal(gradient, others[1][name]), name


@EXAMPLE
@given(**CALL, dtype=st.sampled_from(["float64", "float32"]))
def test_what_is_kept_and_how_many_threads_there_are_changes_no_bit(
    kind, lengths, T, marks, mask, is_tied, seed, dtype
):
    model = random_model(kind, seed, dtype, tie_word_embeddings=is_tied)
    inputs = random_call(kind, lengths, T, marks, mask, seed)
    expected = differentiate(model, inputs)
    for policy in ("recompute", "selective"):
        model.gradient_checkpointing_enable(policy=policy)
        assert_same_bits(differentiate(model, inputs), expected)
    model.gradient_checkpointing_disable()
    set_threads(1)
    try:
        assert_same_bits(differentiate(model, inputs), expected)
    finally:
        set_threads(None)


@EXAMPLE
@given(**CALL)
def test_documents_one_by_one_in_any_order_add_up_to_the_batch(kind, lengths, T, marks, mask, is_tied, seed):
    """A document drops the same numbers alone. Layers are dropped for a whole call: here none is."""
    model = random_model(
        kind, seed, "float64", tie_word_embeddings=is_tied, encoder_layerdrop=0.0, decoder_layerdrop=0.0
    )
    inputs = random_call(kind, lengths, T, marks, mask, seed)
    loss, gradients = differentiate(model, inputs)
    count = int((inputs["labels"] != -100).sum()) if kind == KINDS[0] else len(lengths)
    total, sums = 0.0, dict.fromkeys(gradients, 0.0)
    for b in np.random.default_rng(seed).permutation(len(lengths)):
        part = {name: array[b : b + 1] for name, array in inputs.items()}
        of_part, gradients_of_part = differentiate(model, part, count=count, first_document=int(b))
        total += of_part
        sums = {name: total + gradients_of_part.get(name, 0.0) for name, total in sums.items()}
        assert gradients_of_part.keys() <= gradients.keys()
    assert_within("loss", np.float64(total), np.asarray(loss), 0.0)
    for name, gradient in gradients.items():
        assert_within(name, sums[name], gradient, 0.0)


@EXAMPLE
@given(**CALL, smoothing=st.sampled_from([0.0, 0.2]))
def test_gradients_are_the_slope_of_the_loss_that_is_returned(kind, lengths, T, marks, mask, is_tied, seed, smoothing):
    """Dropped numbers stay dropped while the weights move, in a random direction."""
    model = random_model(kind, seed, "float64", tie_word_embeddings=is_tied)
    inputs, rng = random_call(kind, lengths, T, marks, mask, seed), np.random.default_rng(seed)
    more = {"label_smoothing": smoothing} if kind == KINDS[0] else {}
    _, gradients = differentiate(model, inputs, **more)
    weights = model.state_dict()
    of_array = {id(gradient): rng.standard_normal(gradient.shape) for gradient in gradients.values()}  # tied: one
    directions = {name: of_array[id(gradient)] for name, gradient in gradients.items()}
    length = np.sqrt(sum(float((direction**2).sum()) for direction in directions.values()))
    directions = {name: direction / length for name, direction in directions.items()}
    # subtle: some_ids are 3 at least, so that no padding is looked up, whose row torch's padding_idx keeps as it is
    losses = []
    for sign in (1, -1):
        moved = {name: array + sign * STEP * directions[name] for name, array in weights.items() if name in gradients}
        model.load_state_dict({**weights, **moved})
        losses.append(float(differentiate(model, inputs, **more)[0]))
    slope = (losses[0] - losses[1]) / (2 * STEP)
    distinct = {id(gradient): (gradient, directions[name]) for name, gradient in gradients.items()}
    expected = sum(float((gradient * direction).sum()) for gradient, direction in distinct.values())
    assert abs(slope - expected) <= 1e-7 * max(1.0, abs(expected)), (slope, expected)


@pytest.mark.parametrize("kind", KINDS[:1])
def test_dropout_is_off_unless_the_model_trains(kind):
    model = random_model(kind, 3, "float64")
    inputs = random_call(kind, [9, 4], 5, 0.1, "suffix", 3)
    expected = model(**inputs).loss
    assert_within("loss", model.loss_and_gradients(**inputs)[0], np.asarray(expected), 0.0)
    dropped = differentiate(model, inputs)[0]
    assert dropped != expected
    model.train()
    assert model.loss_and_gradients(**inputs, seed=7)[0] == dropped
    assert model.loss_and_gradients(**inputs, seed=8)[0] != dropped
    assert model.loss_and_gradients(**inputs, seed=7, first_document=1)[0] != dropped
    assert model.loss_and_gradients(**inputs, training=False)[0] == model.eval().loss_and_gradients(**inputs)[0]
