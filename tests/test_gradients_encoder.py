"""The backward pass of the encoder, against central differences of the definition, and what must hold for its bits."""

import copy

import numpy as np
import pytest
from budget import assert_within
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from test_model_properties import small_config

from pyled import reference
from pyled.config import ACTIVATIONS
from pyled.gradients import layers
from pyled.gradients.encoder import encoder as encoder_back
from pyled.gradients.keeping import Kept, kept_numbers, lowest_layer
from pyled.gradients.sums import Sums
from pyled.kernels.jit import set_threads
from pyled.models import LEDModel
from pyled.network.batch import Batch
from pyled.network.dropout import Dropout
from pyled.network.encoder import encoder
from pyled.network.observe import SEES_NOTHING, Stages

EXAMPLE = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
SOME = settings(EXAMPLE, max_examples=max(1, EXAMPLES // 3))  # of properties that run the fast way, slow uncompiled
STEP = 1e-6  # of central differences in float64: a loss is rounded to 1e-14 or so, and curved within 1e-3 or so
DIFFERENCES_BUDGET = 1e-7  # relative: ten times what the rounding makes over the step, and what the curve makes
RATES = {"dropout": 0.2, "attention_dropout": 0.3, "activation_dropout": 0.25, "encoder_layerdrop": 0.0}


@pytest.fixture(autouse=True, scope="module")
def small_slices():
    """Several slices, the last one shorter, in texts that are short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "SLICE_ROWS", 5)
        yield


def assert_is_slope(name, gradients, directions, loss):
    """Fail unless gradients give the derivative of loss(step) at 0, where all arrays move along their directions."""
    truth = (loss(STEP) - loss(-STEP)) / (2 * STEP)
    terms = np.concatenate([(gradients[key] * directions[key]).ravel() for key in directions])
    scale = max(1.0, float(np.abs(terms).sum()))
    assert abs(terms.sum() - truth) <= DIFFERENCES_BUDGET * scale, f"{name}: {terms.sum()}, differences {truth}"


class Case:
    """A random encoder, documents and an upstream gradient; and the backward pass of it all."""

    def __init__(self, seed, lengths=(9,), real="all", marks="some", dtype="float64", first_document=0, **changed):
        self.rng = rng = np.random.default_rng(seed)
        self.config = small_config(**{"dropout": 0.0, **changed})
        model = LEDModel(self.config, seed % 1000, dtype="float64")
        self.weights = dict(model.weights)
        for name, weight in self.weights.items():  # norms are not 1 and biases not 0
            if weight.ndim == 1:
                self.weights[name] = weight + rng.standard_normal(weight.shape) / 2
        self.weights = {name: weight.astype(dtype) for name, weight in self.weights.items()}
        for weight in self.weights.values():
            weight.flags.writeable = False
        self.is_real = [
            {"all": np.ones(S, bool), "prefix": np.arange(S) < rng.integers(1, S + 1), "none": np.zeros(S, bool)}.get(
                real, rng.random(S) < 0.6
            )
            for S in lengths
        ]
        self.is_global = [
            {"none": np.zeros(S, bool), "first": np.arange(S) == 0, "all": np.ones(S, bool)}.get(
                marks, rng.random(S) < 0.3
            )
            & mask
            for S, mask in zip(lengths, self.is_real, strict=True)
        ]  # fmt: skip
        S, E = sum(lengths), self.config.d_model
        self.ends = np.cumsum([0, *lengths]).tolist()
        self.tokens = rng.standard_normal((S, E)).astype(dtype)
        self.upstream = rng.standard_normal((S, E)).astype(dtype)
        self.numbers = first_document + np.repeat(np.arange(len(lengths)), lengths)
        self.lengths, self.seed = lengths, seed

    def alone(self, b):
        """The case of one of the documents."""
        case, rows = copy.copy(self), slice(self.ends[b], self.ends[b + 1])
        case.is_real, case.is_global, case.lengths = [self.is_real[b]], [self.is_global[b]], [self.lengths[b]]
        case.tokens, case.upstream, case.numbers = self.tokens[rows], self.upstream[rows], self.numbers[rows]
        return case

    def documents(self, see=SEES_NOTHING):
        places = np.concatenate([np.arange(S) for S in self.lengths])
        dropout = Dropout(self.config, self.seed, self.numbers, places)
        return Batch(self.is_real, self.is_global, see=see, dropout=dropout)

    def states(self, tokens=None, weights=None, see=SEES_NOTHING):
        """The fast forward pass."""
        tokens = self.tokens if tokens is None else tokens
        return encoder(tokens.copy(), self.documents(see), weights or self.weights, self.config)

    def backward(self, policy="keep", is_trained=lambda name: True, see=SEES_NOTHING):
        """The gradient of the tokens, and those of the weights by name."""
        sums, layers = Sums(self.weights, is_trained), self.config.encoder_layers
        lowest = lowest_layer("encoder", layers, self.config.encoder_layerdrop, sums)
        kept = Kept(policy, {"encoder": range(lowest, layers)})
        self.states(see=kept)
        d_tokens = encoder_back(
            self.upstream.copy(), self.tokens, self.documents(), kept, self.weights, self.config, sums, see
        )
        assert not kept or self.config.encoder_layerdrop, f"stages that nobody took out: {list(kept)}"
        return d_tokens, sums.by_name()

    def loss(self, tokens=None, weights=None):
        """The sum of upstream times states, by the definition."""
        tokens, weights, total = self.tokens if tokens is None else tokens, weights or self.weights, 0.0
        for b, (first, stop) in enumerate(zip(self.ends[:-1], self.ends[1:], strict=True)):
            arguments = tokens[first:stop], self.is_real[b], self.is_global[b], weights, self.config
            total += float((self.upstream[first:stop] * reference.encoder(*arguments)).sum())
        return total

    def fast_loss(self, tokens, weights):
        """The same, by the fast forward pass, which has dropout."""
        return float((self.upstream * self.states(tokens, weights)).sum())

    def assert_gradients(self, loss, d_tokens, d_weights, *, each):
        """Fail unless the gradients are the slopes of a loss(tokens, weights): one by one, or all in one direction."""
        gradients, arrays = {"tokens": d_tokens, **d_weights}, {"tokens": self.tokens, **self.weights}
        directions = {name: self.rng.standard_normal(gradient.shape) for name, gradient in gradients.items()}
        for names in [[name] for name in gradients] if each else [list(gradients)]:

            def moved(step, names=names):
                some = {**arrays, **{name: arrays[name] + step * directions[name] for name in names}}
                return loss(some["tokens"], some)

            assert_is_slope(names[0], gradients, {name: directions[name] for name in names}, moved)


CASES = given(
    lengths=st.lists(st.integers(1, 14), min_size=1, max_size=2),
    windows=st.lists(st.sampled_from([2, 4, 10, 64]), min_size=2, max_size=2),
    heads=st.sampled_from([1, 2, 3, 4, 6]),
    kind=st.sampled_from(ACTIVATIONS),
    real=st.sampled_from(["all", "prefix", "holes", "none"]),
    marks=st.sampled_from(["none", "first", "some", "all"]),
    seed=st.integers(0, 2**32 - 1),
)


def changes(windows, heads, kind):
    return {"attention_window": windows, "encoder_attention_heads": heads, "activation_function": kind}


@EXAMPLE
@CASES
def test_gradients_are_the_central_differences_of_the_definition(lengths, windows, heads, kind, real, marks, seed):
    case = Case(seed, lengths, real, marks, **changes(windows, heads, kind))
    d_tokens, d_weights = case.backward()
    case.assert_gradients(case.loss, d_tokens, d_weights, each=True)


@SOME
@CASES
def test_gradients_with_dropout_are_the_central_differences_of_the_forward_pass(
    lengths, windows, heads, kind, real, marks, seed
):
    """In one direction of everything at once: the definition has no dropout, and the fast way is slow uncompiled."""
    case = Case(seed, lengths, real, marks, **changes(windows, heads, kind), **RATES)
    case.assert_gradients(case.fast_loss, *case.backward(), each=False)


@SOME
@CASES
def test_policies_and_company_change_no_bit(lengths, windows, heads, kind, real, marks, seed):
    """Whatever is kept or computed again, alone or beside other documents, dropout on."""
    changed = {**changes(windows, heads, kind), **RATES}
    case = Case(seed, lengths, real, marks, "float32", **changed)
    d_tokens, d_weights = case.backward("keep")
    for policy in ("selective", "recompute"):
        again, of_weights = case.backward(policy)
        assert again.tobytes() == d_tokens.tobytes(), policy
        assert of_weights.keys() == d_weights.keys()
        for name, gradient in of_weights.items():
            assert gradient.tobytes() == d_weights[name].tobytes(), f"{policy}: {name}"
    total = {name: np.zeros_like(gradient) for name, gradient in d_weights.items()}
    for b in range(len(lengths)):
        alone, of_weights = case.alone(b).backward()
        assert alone.tobytes() == d_tokens[case.ends[b] : case.ends[b + 1]].tobytes()
        for name, gradient in of_weights.items():
            total[name] += gradient
    for name, gradient in total.items():
        assert_within(name, gradient, d_weights[name].astype(np.float64), 1e-5)


@SOME
@CASES
def test_float32_is_within_the_budget_of_float64(lengths, windows, heads, kind, real, marks, seed):
    arguments = lengths, real, marks
    d_tokens, d_weights = Case(seed, *arguments, "float32", **changes(windows, heads, kind)).backward()
    truth, of_weights = Case(seed, *arguments, "float64", **changes(windows, heads, kind)).backward()
    assert_within("tokens", d_tokens, truth, 1e-5, np.float32)
    for name, gradient in d_weights.items():
        assert_within(name, gradient, of_weights[name], 1e-5, np.float32)


def test_one_thread_gives_the_bits_of_two():
    case = Case(3, (20, 15), "holes", "some", "float32", **RATES, attention_window=[10, 4])
    results = []
    for threads in (1, 2):
        set_threads(threads)
        d_tokens, d_weights = case.backward("recompute")
        results.append([d_tokens.tobytes(), *(gradient.tobytes() for gradient in d_weights.values())])
    set_threads(None)
    assert results[0] == results[1]


def test_no_gradient_goes_where_no_path_leads():
    """Padding; what lies outside all windows and is not global; and the ordinary query of a global token."""
    S, w, layers = 40, 2, 2
    case = Case(5, (S,), "all", "none", attention_window=2 * w)
    case.is_real[0][30:33] = False
    case.is_global[0][7] = True
    case.upstream[~case.is_real[0]] = 0
    see = Stages()
    d_tokens, _ = case.backward(see=see)
    query, key = (see[f"encoder.layers.0.self_attn.longformer_self_attn.{part}"] for part in ("query", "key"))
    assert not d_tokens[30:33].any() and not query[7].any() and key[7].any() and not key[30:33].any()
    assert not any(stage[30:33].any() for stage in see.values())
    # a loss that looks at one row only, without global tokens: it reaches w tokens in each layer
    case = Case(6, (S,), "all", "none", attention_window=2 * w)
    case.upstream[np.arange(S) != 20] = 0
    d_tokens, d_weights = case.backward()
    is_reached = abs(np.arange(S) - 20) <= layers * w
    assert not d_tokens[~is_reached].any() and d_tokens[is_reached].any(axis=1).all()
    assert not d_weights["encoder.embed_positions.weight"][:S][~is_reached].any()
    assert not any("global" in name or "decoder" in name for name in d_weights)


@pytest.mark.parametrize("pattern", ["layers.1.fc1.bias", "layers.0.self_attn.output.weight", "embed"])
def test_what_is_not_trained_has_no_gradient_and_nothing_below_is_kept(pattern):
    case = Case(7, (12,))
    _, of_all = case.backward()
    d_tokens, d_weights = case.backward("recompute", lambda name: name.startswith("encoder.") and pattern in name)
    assert d_weights and (d_tokens is None) == (pattern != "embed")
    assert {name for name in of_all if name.startswith("encoder.") and pattern in name} == set(d_weights)
    for name, gradient in d_weights.items():
        assert gradient.tobytes() == of_all[name].tobytes()
    sums = Sums(case.weights, lambda name: "layers.1." in name)
    assert [lowest_layer("encoder", 2, layerdrop, sums) for layerdrop in (0.0, 0.5)] == [1, 0]
    kept = Kept("recompute", {"encoder": range(1, 2)})
    case.states(see=kept)
    assert list(kept) == ["encoder.layers.0.final_layer_norm"]


def test_a_layer_that_is_dropped_hands_its_gradient_on():
    for seed in range(8):
        case = Case(seed, (9,), encoder_layerdrop=0.5)
        skipped = [case.documents().dropout.skips(f"encoder.layers.{i}") for i in range(2)]
        d_tokens, d_weights = case.backward("selective")
        for i in range(2):
            assert any(name.startswith(f"encoder.layers.{i}.") for name in d_weights) != skipped[i]
        case.assert_gradients(case.fast_loss, d_tokens, d_weights, each=False)


def test_tied_weights_share_a_sum_and_padding_is_not_looked_up():
    table = np.zeros((5, 3))
    sums = Sums({"a": table, "b": table, "c": np.zeros(2)}, lambda name: name != "c")
    layers.lookup(np.ones((2, 3, 3)), np.array([[0, 1, 4], [4, 4, 1]]), 1, "a", sums)
    assert sums.of("c") is None and sums.of("b") is sums.of("a")
    assert sums.by_name().keys() == {"a", "b"}
    assert sums.of("b")[:, 0].tolist() == [1, 0, 0, 0, 3]


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_the_derivative_of_an_activation(kind):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.standard_normal(300) * 3, [-1e30, -2e3, -30.0, 30.0, 2e3, 1e30]])[:, None]
    upstream = rng.standard_normal(x.shape)
    d_x = upstream.copy()
    layers.activate(d_x, x, kind)
    assert np.isfinite(d_x).all()
    near = abs(x[:, 0]) < 100
    with np.errstate(over="ignore"):
        truth = upstream * (reference.activation(x + STEP, kind) - reference.activation(x - STEP, kind)) / (2 * STEP)
    np.testing.assert_allclose(d_x[near], truth[near], rtol=0, atol=1e-7)
    if kind == "relu":  # as torch has it, where there is no derivative
        layers.activate(d_zero := np.ones((1, 1)), np.zeros((1, 1)), kind)
        assert d_zero == 0
    assert (d_x[x < -100] == 0).all() and (d_x[x > 100] == upstream[x > 100]).all()


@pytest.mark.parametrize("policy", ["keep", "selective", "recompute"])
def test_a_layer_keeps_the_numbers_that_memory_is_forecast_from(policy):
    case = Case(1, (9, 5))
    E, F, H = case.config.d_model, case.config.encoder_ffn_dim, case.config.encoder_attention_heads
    kept = Kept(policy, {"encoder": range(case.config.encoder_layers)})
    case.states(see=kept)
    rows = sum(map(len, case.is_real)) * case.config.encoder_layers
    assert sum(array.size for array in kept.values()) == rows * kept_numbers(policy, E, F, H)
