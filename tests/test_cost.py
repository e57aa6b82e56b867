"""The model of cost: what it counts is what the code has, by other ways of counting; no clock."""

import itertools
import tracemalloc
from dataclasses import replace

import numba
import numpy as np
import pytest
from checkpoints import TINY

from pyled.config import LEDConfig
from pyled.kernels import jit
from pyled.models import LEDForConditionalGeneration
from pyled.tasks import cost
from pyled.tasks.cost import Rates, estimate

RATES = Rates(products=2e11, reading=2e10)
CONFIG = LEDConfig.from_pretrained(TINY)
SMALL = LEDConfig(
    vocab_size=11,
    d_model=6,
    encoder_layers=2,
    encoder_attention_heads=2,
    encoder_ffn_dim=10,
    decoder_layers=3,
    decoder_attention_heads=3,
    decoder_ffn_dim=8,
    attention_window=[2, 8],
    max_encoder_position_embeddings=40,
    max_decoder_position_embeddings=20,
)


@pytest.fixture(scope="module")
def model():
    return LEDForConditionalGeneration(SMALL)


def matrices(model, side, *parts):
    """How many numbers the weight matrices of a side's layers have whose names hold one of the parts."""
    return sum(
        array.size
        for name, array in model.weights.items()
        if name.startswith(f"{side}.layers.") and array.ndim == 2 and any(part in name for part in parts)
    )


# What is counted


@pytest.mark.parametrize(
    ("global_tokens", "parts"),
    [
        (0, (".query.", ".key.", ".value.", "output", "fc")),
        (1, (".query.", ".key.", ".value.", "output", "fc")),
        (2, (".query.", ".key.", ".value.", "output", "fc", "key_global", "value_global")),
    ],
)
def test_the_encoders_products_take_two_operations_per_weight_and_token(model, global_tokens, parts):
    assert cost.product_operations(SMALL, 7, global_tokens) == 2 * 7 * matrices(model, "encoder", *parts)


@pytest.mark.parametrize("S", [1, 2, 5, 9, 30])
def test_the_band_takes_four_operations_per_pair_and_number(S):
    pairs = sum(abs(i - j) <= w for w in (1, 4) for i in range(S) for j in range(S))
    assert cost.band_operations(SMALL, S, 0) == 4 * 6 * pairs
    # each of 2 layers has one extra column, and the query that sees all, whose 2 heads see the states instead of keys
    assert cost.band_operations(SMALL, S, 1) == 4 * 6 * (pairs + 2 * (S + 2 * S))
    assert cost.band_operations(SMALL, S, 17) == 4 * 6 * (pairs + 2 * (17 * S + 17 * S))


def test_a_step_reads_the_decoders_weights_but_those_of_the_sources_keys_and_values(model):
    own = matrices(model, "decoder", "self_attn", "encoder_attn.q_proj", "encoder_attn.out_proj", "fc")
    assert cost.step_weights(SMALL) == own + model.weights["lm_head.weight"].size
    made = matrices(model, "decoder", "encoder_attn.k_proj", "encoder_attn.v_proj")
    assert cost.key_operations(SMALL, 7) == 2 * 7 * made


def test_a_step_reads_the_sources_keys_and_values_once_for_all_beams(model):
    past, _ = model.get_decoder().begin(np.zeros((1, 7, 6), np.float32), None, 4)
    kept = sum(layer.keys.size + layer.values.size for layer in past.sources)
    assert cost.step_keys(SMALL, 7) == kept


@pytest.mark.parametrize("tied", [True, False])
def test_the_weights_are_counted_once_where_they_are_tied(tied):
    config = replace(SMALL, tie_word_embeddings=tied)
    arrays = {id(array): array for array in LEDForConditionalGeneration(config).weights.values()}
    assert cost.weight_count(config) == sum(array.size for array in arrays.values())


# What follows from it


def test_seconds_are_operations_and_bytes_by_their_rates():
    found = estimate(SMALL, [[7]], 3, 5, RATES)
    product, band = 2e11 * cost.PRODUCTS, 2e11 * cost.BAND
    assert found.encoding == pytest.approx(
        cost.product_operations(SMALL, 7, 1) / product + cost.band_operations(SMALL, 7, 1) / band
    )
    assert found.seconds == found.encoding + found.generating
    weights, keys = cost.step_weights(SMALL), cost.step_keys(SMALL, 7)
    for dtype, stored, size in (("float32", None, 4), ("float64", None, 8), ("float32", "int8", 1)):
        step = cost.STEP + size * weights / (2e10 * cost.WEIGHTS) + size * keys / (2e10 * cost.KEYS)
        step += 3 * 2 * weights / (2e11 * cost.ROWS)
        found = estimate(SMALL, [[7]], 3, 5, RATES, dtype=dtype, weights=stored)
        assert found.generating == pytest.approx(cost.key_operations(SMALL, 7) / product + 5 * step)


def test_chunks_take_the_time_of_each_and_the_memory_of_the_largest():
    one, other = estimate(CONFIG, [[600]], 4, 50, RATES), estimate(CONFIG, [[90]], 4, 50, RATES)
    both = estimate(CONFIG, [[90, 600]], 4, 50, RATES)
    assert both.encoding == pytest.approx(one.encoding + other.encoding)
    assert both.generating == pytest.approx(one.generating + other.generating)
    assert both.memory == one.memory
    assert sum(both.memory.values()) > sum(other.memory.values())


@pytest.mark.parametrize(
    ("chunks", "later"),
    [
        ([900], []),
        ([900, 900, 900], [150]),
        ([900] * 21, [525, 525, 100]),
        ([40, 40], []),  # no shorter together than the text: left as they are
    ],
)
def test_later_rounds_cost_what_their_chunks_do(chunks, later):
    made = estimate(CONFIG, [chunks], 2, 50, RATES, again=1000)
    assert made.seconds == pytest.approx(estimate(CONFIG, [chunks + later], 2, 50, RATES).seconds)
    assert (made.seconds > estimate(CONFIG, [chunks], 2, 50, RATES).seconds) == bool(later)


def peak_of(model, S):
    """The most bytes that a call of the encoder takes."""
    ids = np.random.default_rng(0).integers(4, 600, (1, S))
    is_global = np.zeros_like(ids)
    is_global[0, 0] = 1
    tracemalloc.start()
    model.get_encoder()(ids, np.ones_like(ids), is_global)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="the tiles of interpreted kernels are arrays too")
def test_the_encoder_holds_as_many_states_at_a_time_as_are_counted():
    jit.set_threads(1)
    model = LEDForConditionalGeneration.from_pretrained(TINY, dtype="float64")
    peak_of(model, 300)  # kernels are loaded
    measured = (peak_of(model, 900) - peak_of(model, 300)) / (600 * 24 * 8)
    memory = estimate(replace(CONFIG, decoder_layers=1), [[900]], 1, 1, RATES).memory
    assert memory["states"] == 6 * 900 * 24 * 4 and memory["feed-forward"] == 512 * 40 * 4
    rows = 3 * CONFIG.encoder_attention_heads
    assert memory["global rows"] == rows * 900 * 4
    expected = 6 + 40 * (512 - 300) / 600 / 24
    # ids and masks are the rest. So few global rows take less than the tiles of a kernel at another moment
    assert expected <= measured < expected + rows / 24 + 0.5


def test_memory_is_that_of_the_moment_that_needs_most():
    weights = {"program": cost.PROGRAM, "weights": 4 * cost.weight_count(CONFIG)}
    short = estimate(CONFIG, [[10]], 2, 3, RATES).memory
    assert short == weights | {
        "states": 10 * 24 * 4,
        "source keys": 2 * 2 * 10 * 24 * 4,
        "target keys": 2 * 2 * 2 * 2 * 3 * 24 * 4,
        "scores": cost.SCORES * 2 * 600 * 4,
    }
    wide = estimate(replace(CONFIG, encoder_ffn_dim=999, decoder_layers=1), [[5000]], 1, 1, RATES).memory
    assert (wide["states"], wide["feed-forward"]) == (6 * 5000 * 24 * 4, 512 * 999 * 4)
    assert estimate(CONFIG, [[10]], 1, 1, RATES, dtype="float64").memory == {
        "program": cost.PROGRAM,
        "weights": 8 * cost.weight_count(CONFIG),
        "file": 4 * cost.weight_count(CONFIG),
    }


def test_rates_are_operations_and_bytes_by_the_second(monkeypatch):
    monkeypatch.setattr(cost, "LARGE", 2**20)
    monkeypatch.setattr("time.perf_counter", itertools.count(step=0.25).__next__)
    for dtype in ("float32", "float64"):
        assert cost.measure(dtype, side=64) == Rates(products=2 * 64**3 / 0.25, reading=2**20 / 0.25)
    assert cost.measure(side=8, spent=1) == Rates(products=2 * 8**3 / 0.25, reading=2**20 / 0.25)
