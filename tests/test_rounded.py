"""Weights as bf16 and int8: rounding by its definition, products, and whole models that differ by storage alone."""

import fractions
import math
from dataclasses import replace

import numba
import numpy as np
import pytest
from budget import assert_within, err
from checkpoints import TINY, document
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernels import in_groups

import pyled
from pyled import reference
from pyled.checkpoint import round_decoder
from pyled.config import LEDConfig
from pyled.errors import CheckpointError, InputError
from pyled.kernels import grouped, products, rounded
from pyled.kernels.rounded import Rounded
from pyled.models import LEDForConditionalGeneration, LEDModel, stacks
from pyled.network import attention
from pyled.network.cache import SourceKeys
from pyled.tasks import cost

EXAMPLE = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
STORAGES = ["bf16", "int8"]
FLOAT32_ERROR = 1e-6  # as in test_kernels.py: the floor of the budget
NAMES = ("self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj", "self_attn.out_proj", "encoder_attn.q_proj")
NAMES += ("encoder_attn.out_proj", "fc1", "fc2")

# Rounding


def widened(stored):
    """What a bf16 means, by the definition of a float32: sign, exponent, and the seven bits that are kept."""
    sign = -1 if stored >> 15 else 1
    exponent, mantissa = stored >> 7 & 255, stored & 127
    if exponent == 255:
        return math.nan if mantissa else sign * math.inf
    if exponent == 0:
        return sign * fractions.Fraction(mantissa) / 2**133
    return sign * fractions.Fraction(128 + mantissa) * fractions.Fraction(2) ** (exponent - 134)


@EXAMPLE
@given(bits=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("low", [None, 0x8000, 0x7FFF, 0x8001, 0])
def test_bf16_is_the_nearest_and_of_two_the_even(low, bits):
    bits = bits if low is None else bits & 0xFFFF0000 | low
    x = np.array([bits], np.uint32).view(np.float32)
    (stored,) = map(int, rounded.rounded(x[None], "bf16").values[0])
    if not np.isfinite(x[0]):
        assert (np.isnan(x[0]) and math.isnan(widened(stored))) or widened(stored) == x[0]
        return
    down = bits >> 16  # towards 0; the other neighbour is the next, of the largest infinity
    value, neighbours = fractions.Fraction(float(x[0])), (down, down + 1)
    far = 2**128 * (-1 if bits >> 31 else 1)  # where the next number would be if there were one
    meant = [far if isinstance(widened(one), float) else widened(one) for one in neighbours]
    gaps = [abs(value - one) for one in meant]
    expected = next(one for one in neighbours if one % 2 == 0) if gaps[0] == gaps[1] else neighbours[gaps[1] < gaps[0]]
    assert stored == expected


def test_bf16_of_numbers_that_are_easily_wrong():
    tiny = np.float32(2.0**-149)
    numbers = [0.0, -0.0, 1.0, np.inf, -np.inf, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-23, tiny, 2**-126, 3.4e38]
    found = rounded.rounded(np.array([numbers], np.float32), "bf16").values
    assert [hex(one) for one in found[0]] == [
        *("0x0", "0x8000", "0x3f80", "0x7f80", "0xff80", "0x3f80", "0x3f82", "0x3f81", "0x0", "0x80", "0x7f80"),
    ]
    every_nan = np.array([[0x7F800001, 0xFF800001, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FC00000]], np.uint32).view(np.float32)
    assert np.isnan((rounded.rounded(every_nan, "bf16").values.astype(np.uint32) << 16).view(np.float32)).all()


@EXAMPLE
@given(
    M=st.integers(1, 3),
    K=st.integers(1, 400),
    power=st.sampled_from([-149, -140, -20, 0, 100]),
    shape=st.sampled_from(["normal", "all at the limit", "one large"]),
    seed=st.integers(0, 99),
)
def test_int16_leaves_room_for_sums_of_32_bits(M, K, power, shape, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((M, K))
    if shape == "all at the limit":
        x = np.sign(x)
    elif shape == "one large":
        x[:, rng.integers(K)] *= 1000
    x = (x * 2.0**power).astype(np.float32)
    rows, weight = rounded.rounded_rows(x), rounded.rounded(x, "int16")
    assert rows.storage == weight.storage == "int16"
    for whole, largest in ((rows, 8191), (weight, 32767)):
        assert np.abs(whole.values).max() <= largest
        error = np.abs(x.astype(np.float64) - whole.values * whole.scale.astype(np.float64)[:, None])
        assert (error <= (0.5 + 1e-5 * largest) * whole.scale[:, None]).all() or power < -126
    sums = [np.abs(weight.values[:, k : k + 128].astype(np.int64)).sum(axis=1).max() for k in range(0, K, 128)]
    assert 8191 * max(sums) < 2**31
    sizes = np.max([np.abs(x[:, k : k + 128], dtype=np.float64).sum(axis=1) for k in range(0, K, 128)], axis=0)
    smallest = np.maximum(np.abs(x).max(axis=1) / 32767, sizes / (2**31 // 8191 - 64))  # no coarser than it must be
    assert np.allclose(weight.scale, np.maximum(smallest, 2.0**-126), rtol=1e-6)


@EXAMPLE
@given(
    M=st.integers(1, 5), K=st.integers(1, 9), power=st.sampled_from([-149, -140, -20, 0, 100]), seed=st.integers(0, 99)
)
def test_int8_is_the_nearest_whole_number_by_a_scale_of_the_largest(M, K, power, seed):
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((M, K)) * 2.0**power * 10).astype(np.float32)
    x[rng.integers(M)] = 0
    whole = rounded.rounded(x, "int8")
    stored, scale = whole.values, whole.scale
    assert (scale.dtype, stored.dtype) == (np.float32, np.int8)
    for m in range(M):
        largest = max(abs(float(one)) for one in x[m])
        assert scale[m] == (np.float32(largest / 127) or 1)
        for k in range(K):
            exact = fractions.Fraction(float(x[m, k])) / fractions.Fraction(float(scale[m]))
            is_coarse = scale[m] < 2.0**-126  # with fewer bits than others, so that 127 is not quite the largest
            assert abs(exact - int(stored[m, k])) <= 0.5 + 1e-5 or (is_coarse and abs(stored[m, k]) == 127)


def test_int8_of_halves_and_of_rows_without_a_scale():
    x = np.array([[127, 0.5, 1.5, -2.5, -127], [0, 0, 0, 0, 0], [2**-149, 0, 0, 0, -(2**-149)]], np.float32)
    whole = rounded.rounded(x, "int8")
    stored, scale = whole.values, whole.scale
    assert scale.tolist() == [1, 1, 1]
    assert stored.tolist() == [[127, 0, 2, -2, -127], [0] * 5, [0] * 5]
    coarse = np.array([[190 * 2.0**-149, -190 * 2.0**-149]], np.float32)  # 190/127 of the least there is: once it
    assert rounded.rounded(coarse, "int8").values.tolist() == [[127, -127]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 3])
def test_what_is_not_finite_has_no_int8(bad, place):
    weight = np.ones((3, 4), np.float32)
    weight[1, place] = bad
    with pytest.raises(CheckpointError, match=r"lm_head\.weight holds NaN or infinity, which int8 lacks"):
        round_decoder({"lm_head.weight": weight}, "int8")
    for whole in (rounded.rounded(weight, "int8"), rounded.rounded(weight, "int16"), rounded.rounded_rows(weight)):
        wide = whole.widened()
        assert np.isnan(wide[1]).all() and np.allclose(wide[[0, 2]], weight[[0, 2]])  # its row, and no other
        assert whole.values.all()


# Products


def stored(weight, storage):
    """A matrix as a model stores it."""
    return round_decoder({"lm_head.weight": weight}, storage)["lm_head.weight"]


def meant(matrix):
    """The numbers that a Rounded stores, in float32, by NumPy."""
    if matrix.scale is None:
        return (matrix.values.astype(np.uint32) << 16).view(np.float32)
    return matrix.values.astype(np.float32) * matrix.scale[..., None]


@EXAMPLE
@given(
    R=st.integers(1, 9),
    K=st.integers(1, 70),
    M=st.integers(1, 70),
    storage=st.sampled_from(STORAGES),
    activate=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_narrow_product_is_that_of_the_widened_matrix_and_rows_are_alone(R, K, M, storage, activate, seed):
    rng = np.random.default_rng(seed)
    x, weight, bias = (rng.standard_normal(shape).astype(np.float32) for shape in ((R, K), (M, K), (M,)))
    weight *= np.float32(K**-0.5)
    weight = stored(weight, storage)
    assert np.array_equal(weight.widened(), meant(weight))
    truth = x.astype(np.float64) @ meant(weight).astype(np.float64).T + bias
    if activate:
        truth = reference.activation(truth, "gelu")
    for multiply in (products.few_rows, products.many_rows):
        together, alone = np.empty((2, 1, R, M), np.float32)
        multiply(x, weight, bias, together, activate=activate)
        assert_within("product", together[0], truth, FLOAT32_ERROR, np.float32)
        for r in range(R):
            multiply(x[r : r + 1], weight, bias, alone[:, r : r + 1], activate=activate)
        assert np.array_equal(alone, together)


@EXAMPLE
@given(
    R=st.integers(1, 9) | st.integers(45, 60),
    K=st.integers(1, 300),
    H=st.integers(1, 3),
    D=st.integers(1, 40),
    extreme=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_an_int16_product_is_that_of_whole_numbers(R, K, H, D, extreme, seed):
    """Bit for bit, with sums of 64 bits; and as near the product of what was rounded as halves of the last bits say."""
    rng = np.random.default_rng(seed)
    x, weight, bias = (rng.standard_normal(shape).astype(np.float32) for shape in ((R, K), (H * D, K), (H * D,)))
    if extreme:  # all at the limit, or one channel above all others
        x, weight = np.sign(x), np.sign(weight) if seed % 2 else weight * np.where(np.arange(K) == seed % K, 1000, 1)
    weight = weight.astype(np.float32)
    left, right = rounded.rounded_rows(x), rounded.rounded(weight, "int16")
    together, alone = np.empty((2, H, R, D), np.float32)
    products.many_rows(left, right, bias, together)
    sums = np.zeros((R, H * D), np.float32)
    for k in range(0, K, 128):
        part = left.values[:, k : k + 128].astype(np.int64) @ right.values[:, k : k + 128].astype(np.int64).T
        assert np.abs(part).max() < 2**31
        sums += part.astype(np.float32)
    expected = sums * (left.scale[:, None] * right.scale) + bias
    assert np.array_equal(together, expected.reshape(R, H, D).swapaxes(0, 1))
    truth = x.astype(np.float64) @ weight.astype(np.float64).T + bias
    sizes = np.abs(x).sum(axis=1, keepdims=True), np.abs(meant(right)).sum(axis=1)
    bound = 0.5 * (left.scale[:, None] * sizes[1] + right.scale * sizes[0]) * (1 + 1e-5)
    floats = 2.0**-22 * (np.abs(x) @ np.abs(weight).T + np.abs(bias))  # sums and scales are rounded, too
    assert (np.abs(expected - truth) <= bound + floats).all()
    for r in range(0, R, 7):  # rows that are rounded by the way, and alone
        products.many_rows(x[r : r + 1], right, bias, alone[:, r : r + 1])
        assert np.array_equal(alone[:, r], together[:, r])
    x[R // 2, K // 2], weight[0, K // 2] = rng.choice([np.nan, np.inf, -np.inf], 2)
    products.many_rows(x, rounded.rounded(weight, "int16"), bias, alone)
    lost = (np.arange(R) == R // 2)[:, None] | (np.arange(H * D) == 0)
    assert np.array_equal(np.isnan(alone), lost.reshape(R, H, D).swapaxes(0, 1))


@EXAMPLE
@given(
    N=st.integers(1, 2),
    R=st.integers(1, 5),
    H=st.integers(1, 2),
    S=st.one_of(st.integers(1, 20), st.integers(grouped.LANES - 1, grouped.VALUE_TILE + 20)),
    D=st.integers(1, 9) | st.integers(60, 70),
    storage=st.sampled_from([*STORAGES, "int16"]),
    key_share=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_narrow_keys_and_values_are_those_of_the_widened_ones(N, R, H, S, D, storage, key_share, seed):
    """Where they are whole numbers, the queries are rounded, too: to the truth of those queries, and by how much."""
    rng = np.random.default_rng(seed)
    q = rng.standard_normal((N, H, R, D)).astype(np.float32)
    is_key = rng.random((N, S)) < key_share
    narrow = grouped.rounded_source(*(rng.standard_normal((2, N, H, S, D)).astype(np.float32)), storage)
    wide = [matrix.widened().astype(np.float64) for matrix in narrow]
    got, exact = in_groups(q, *narrow, is_key), q.astype(np.float64)
    if storage != "bf16":
        largest = 32767 if storage == "int8" else rounded.largest_factor(D)
        unit = np.abs(q).max(axis=3, keepdims=True) / np.float32(largest)
        off = unit / 2 * np.abs(wide[0]).sum(axis=3).max(axis=2)[:, :, None, None] / math.sqrt(D)  # a score, at most
        truth = in_groups(exact, *wide, is_key)
        assert (np.abs(got - truth) <= np.expm1(2 * off) * np.abs(wide[1]).max() + FLOAT32_ERROR).all()
        exact = np.rint(q / unit).astype(np.float64) * unit
    truth = in_groups(exact, *wide, is_key)  # held to the definition in test_kernels.py
    assert_within("context", got, truth, FLOAT32_ERROR, np.float32)
    for r in range(R):
        alone = in_groups(q[:, :, r : r + 1], *narrow, is_key)
        assert np.array_equal(alone[:, :, 0], got[:, :, r])


@pytest.mark.parametrize("storage", ["int8", "int16"])
@pytest.mark.parametrize("D", [1, 2, 8, 63, 64, 517])
def test_the_largest_whole_numbers_leave_no_sum_beyond_32_bits(D, storage):
    """Queries and keys whose numbers are all of one size: a sum is the largest there can be."""
    ones = np.ones((1, 1, 3, D), np.float32)
    k, v = grouped.rounded_source(ones, np.arange(3, dtype=np.float32)[:, None] * ones, storage)
    got = in_groups(ones, k, v, np.array([[True, True, False]]))
    assert np.abs(got - 0.5).max() < 1e-6
    assert D * int(k.values.max()) * (32767 if storage == "int8" else int(k.values.max())) < 2**31 or D > 516


@pytest.mark.parametrize("storage", ["int8", "int16"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_reaches_the_queries_that_attend_to_it(storage, bad):
    q, k, v = np.random.default_rng(0).standard_normal((3, 1, 1, 4, 6)).astype(np.float32)
    all_keys, some_keys = np.ones((1, 4), bool), np.array([[True, True, False, True]])
    q[0, 0, 1, 3] = bad
    assert np.isnan(in_groups(q, *grouped.rounded_source(k, v, storage), all_keys)).all(axis=3).tolist() == [
        [[False, True, False, False]]
    ]
    k[0, 0, 2, 0] = bad
    q = np.ones_like(q)
    assert np.isnan(in_groups(q, *grouped.rounded_source(k, v, storage), all_keys)).all()
    assert np.isfinite(in_groups(q, *grouped.rounded_source(k, v, storage), some_keys)).all()
    assert np.isnan(in_groups(q, *grouped.rounded_source(q, k, storage), all_keys)).all()


# Models


def call(model, T):
    """The logits of T target tokens after a document, and after one more, from the cache."""
    rng = np.random.default_rng(0)
    ids, target = rng.integers(4, 600, (2, 20)), rng.integers(4, 600, (2, T + 1))
    first = model(ids, decoder_input_ids=target[:, :T])
    later = model(
        encoder_outputs=(first.encoder_last_hidden_state,),
        attention_mask=np.ones_like(ids),
        decoder_input_ids=target[:, T:],
        past_key_values=first.past_key_values,
    )
    return np.concatenate([first.logits, later.logits], axis=1)


@pytest.mark.parametrize("is_tied", [True, False])
@pytest.mark.parametrize("storage", STORAGES)
def test_a_model_is_that_whose_matrices_were_rounded_before(storage, is_tied, tmp_path, monkeypatch):
    """The other one is in float64, and untied, because a tied head is rounded and the embeddings are not.

    It is handed the source's keys and values that this one keeps; of these, see the test below. Weights are drawn
    anew: TINY's make float32's error a matter of luck (from 0.4e-6 to 6e-6 by the document, and by the BLAS).
    """
    config = replace(LEDConfig.from_pretrained(TINY), tie_word_embeddings=is_tied, init_std=0.2)
    LEDForConditionalGeneration(config, seed=3).save_pretrained(tmp_path)
    model = LEDForConditionalGeneration.from_pretrained(tmp_path, weights=storage)
    plain = LEDForConditionalGeneration.from_pretrained(tmp_path)
    by_hand = {name: np.array(weight) for name, weight in plain.state_dict().items()}
    names = [f"led.decoder.layers.{i}.{part}.weight" for i in range(plain.config.decoder_layers) for part in NAMES]
    for name in (*names, "lm_head.weight"):
        by_hand[name] = meant(stored(by_hand[name], storage))
    found = model.state_dict()
    assert list(found) == list(by_hand)
    assert all(np.array_equal(found[name], by_hand[name]) for name in by_hand)
    untied = replace(plain.config, tie_word_embeddings=False)
    truth, wide = (LEDForConditionalGeneration(untied, dtype=dtype) for dtype in ("float64", "float32"))
    truth.load_state_dict(by_hand)
    wide.load_state_dict(by_hand)
    before = [call(plain, T) for T in (1, 6)]
    of_floats = attention.grouped  # subtle: of int8 keys it rounds the queries, which the tests above hold
    monkeypatch.setattr(attention, "grouped", lambda q, k, v, *rest: of_floats(q, *map(rounded.widened, (k, v)), *rest))
    kept, own = [], stacks.source_keys
    monkeypatch.setattr(stacks, "source_keys", lambda *given: kept.append(own(*given)) or kept[-1])
    found = [call(model, T) for T in (1, 6)]

    def handed(states, *_):
        return tuple(SourceKeys(*(part.widened().astype(states.dtype) for part in layer)) for layer in kept[0])

    monkeypatch.setattr(stacks, "source_keys", handed)
    for i, T in enumerate((1, 6)):
        expected = call(truth, T)
        assert_within("logits", found[i], expected, err(call(wide, T), expected), np.float32)
        assert np.max(np.abs(before[i] - expected)) > 1e-3  # rounding is not nothing


@pytest.mark.parametrize("storage", STORAGES)
def test_the_source_is_kept_as_narrow_as_the_weights(storage):
    """Its keys and values are those of the plain model, up to half of what the last bit stands for."""
    states = np.random.default_rng(0).standard_normal((1, 9, 24)).astype(np.float32)
    pasts = []
    for kept in ({}, {"weights": storage}):
        model = LEDForConditionalGeneration.from_pretrained(TINY, **kept)
        pasts.append(model(encoder_outputs=(states,), decoder_input_ids=[[2]]).past_key_values)
    assert {part.storage for layer in pasts[1].sources for part in layer} == {storage}
    for plain, narrow in zip(*pasts, strict=True):
        for own, wide, stored_wide in zip(plain[:2], narrow[:2], narrow[2:], strict=True):
            assert own.dtype == wide.dtype == stored_wide.dtype == np.float32
        for exact, wide in zip(plain[2:], narrow[2:], strict=True):  # (1, H, S, D)
            unit = np.abs(exact).max(axis=3, keepdims=True) / 127 if storage == "int8" else np.abs(exact) / 128
            assert 0 < np.max(np.abs(wide - exact) / unit) <= 0.501


@pytest.mark.parametrize("storage", STORAGES)
def test_what_a_step_reads_is_narrow_and_nothing_else(storage):
    model = LEDForConditionalGeneration.from_pretrained(TINY, weights=storage)
    narrow = {name: weight for name, weight in model.weights.items() if isinstance(weight, Rounded)}
    arrays = [part for weight in narrow.values() for part in (weight.values, weight.scale) if part is not None]
    arrays += [weight for name, weight in model.weights.items() if name not in narrow]
    layers = range(model.config.decoder_layers)
    assert narrow.keys() == {f"decoder.layers.{i}.{part}.weight" for i in layers for part in NAMES} | {"lm_head.weight"}
    assert model.dtype == np.float32 and model.stored_as == storage
    assert not any(array.flags.writeable for array in arrays)
    assert {weight.storage for weight in narrow.values()} == {storage}
    count = sum(weight.values.size for weight in narrow.values())
    assert count == cost.step_weights(model.config)
    scales = {id(weight.scale) for weight in narrow.values()}
    size = sum({id(array): array.nbytes for array in arrays if id(array) not in scales}.values())
    told = cost.estimate(model.config, [[10]], 1, 1, cost.Rates(1e9, 1e9), weights=storage)
    assert told.memory["weights"] == size
    assert told.generating < cost.estimate(model.config, [[10]], 1, 1, cost.Rates(1e9, 1e9)).generating


@pytest.mark.parametrize("storage", STORAGES)
def test_a_row_alone_and_in_company(storage):
    """Beams and batches change no bit of a document's own."""
    model = LEDForConditionalGeneration.from_pretrained(TINY, weights=storage)
    ids = np.random.default_rng(1).integers(4, 600, (5, 9))
    together = model(ids, decoder_input_ids=ids[:, :1]).logits
    for b in range(5):
        assert np.array_equal(model(ids[b : b + 1], decoder_input_ids=ids[b : b + 1, :1]).logits[0], together[b])


@pytest.mark.parametrize("storage", STORAGES)
def test_rounded_weights_are_not_saved_and_not_resized(storage, tmp_path):
    model = LEDForConditionalGeneration.from_pretrained(TINY, weights=storage)
    with pytest.raises(InputError, match=f"rounded to {storage} when it was loaded: to save it, load it without"):
        model.save_pretrained(tmp_path / "saved")
    with pytest.raises(InputError, match="to resize it, load it without weights="):
        model.resize_token_embeddings(601)
    assert not (tmp_path / "saved").exists()


def test_new_weights_are_rounded_like_those_they_replace():
    model = LEDForConditionalGeneration.from_pretrained(TINY, weights="int8")
    before = model.state_dict()
    model.load_state_dict(LEDForConditionalGeneration.from_pretrained(TINY).state_dict())
    after = model.state_dict()
    assert list(before) == list(after) and {type(weight) for weight in model.weights.values()} == {np.ndarray, Rounded}
    assert all(np.array_equal(before[name], weight) for name, weight in after.items())


def test_float32_is_what_none_is_and_a_model_without_head_has_it_too():
    plain = LEDForConditionalGeneration.from_pretrained(TINY, weights="float32")
    assert plain.stored_as is None and {weight.dtype.name for weight in plain.weights.values()} == {"float32"}
    model = LEDModel.from_pretrained(TINY, weights="bf16")
    assert model.weights["decoder.layers.0.fc1.weight"].storage == "bf16"


@pytest.mark.parametrize(
    "given, message",
    [
        ({"weights": "fp16"}, "weights is 'fp16': 'float32' or 'bf16' or 'int8' or None was expected"),
        ({"weights": ["bf16"]}, "weights is"),
        ({"weights": "int8", "dtype": "float64"}, "weights 'int8' with dtype 'float64': it goes with float32 alone"),
        ({"weights": "float32", "dtype": "float64"}, "weights 'float32' with dtype 'float64'"),
    ],
)
def test_wrong_weights_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        LEDForConditionalGeneration.from_pretrained(TINY, **given)
    with pytest.raises(InputError, match=message):
        pyled.summarize("A lamp.", TINY, **given)


# Texts


def test_a_summary_says_what_the_weights_were_kept_in():
    settings = {"num_beams": 1, "max_length": 4}
    text = "A lamp on the table." if numba.config.DISABLE_JIT else document("lamp.txt")
    model = LEDForConditionalGeneration.from_pretrained(TINY, weights="bf16")
    tokenizer = pyled.LEDTokenizer.from_pretrained(TINY)
    made = pyled.summarize(text, TINY, weights="bf16", **settings)
    assert (made.weights, made.dtype, made.record()["weights"]) == ("bf16", "float32", "bf16")
    assert pyled.summarize(text, model, tokenizer, weights="bf16", **settings).text == made.text
    with pytest.raises(InputError, match="weights is 'int8', but the model is in float32, its weights in bf16 and"):
        pyled.summarize(text, model, tokenizer, weights="int8")
    assert pyled.summarize(text, TINY, dtype="float64", **settings).weights == "float64"


def test_the_option(summarize, note):
    status, out, _ = summarize(note, "--weights", "int8", "--num-beams", 1, "--format", "jsonl", "--quiet")
    assert status == 0 and '"weights": "int8"' in out
    status, out, err = summarize(note, "--weights", "int8", "--dtype", "float64")
    assert (status, out) == (2, "") and "--weights 'int8' with --dtype 'float64'" in err
    assert summarize(note, "--weights", "int4")[0] == 2
