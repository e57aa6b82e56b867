"""What must hold for any model and any input: invariances, caches, threads, and every error an argument can cause."""

import copy
import itertools
import json
import pickle
import threading
import warnings

import numba
import numpy as np
import pytest
from budget import assert_within, err
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

from pyled import reference
from pyled.config import ACTIVATIONS, LEDConfig
from pyled.errors import CheckpointError, GenerationError, InputError, PyledWarning
from pyled.generation import drafts, generate, resolve
from pyled.generation_config import GenerationConfig
from pyled.kernels.jit import set_threads
from pyled.models import LEDForConditionalGeneration, LEDModel
from pyled.models.arguments import check_length, checked_embeds, checked_ids, checked_mask, source_masks
from pyled.network import attention, cache, layers, losses
from pyled.network.batch import Batch
from pyled.network.observe import Stages

EXAMPLE = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
FLOAT32_ERROR = 1e-6


def small_config(**changed):
    values = {
        "vocab_size": 31,
        "d_model": 12,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 3,
        "encoder_ffn_dim": 10,
        "decoder_ffn_dim": 14,
        "attention_window": [4, 6],
        "max_encoder_position_embeddings": 40,
        "max_decoder_position_embeddings": 12,
        "init_std": 0.5,
    }
    return LEDConfig(**{**values, **changed})


def small_model(dtype="float32", kind=LEDForConditionalGeneration, seed=0, **changed):
    return kind(small_config(**changed), seed, dtype=dtype)


def some_ids(seed, *shape):
    return np.random.default_rng(seed).integers(3, 31, shape)


@EXAMPLE
@given(
    S=st.integers(1, 30),
    T=st.integers(1, 6),
    windows=st.lists(st.sampled_from([2, 4, 10, 64]), min_size=2, max_size=2),
    heads=st.sampled_from([1, 2, 3, 4, 6]),
    kind=st.sampled_from(["gelu", "relu", "silu", "gelu_new", "quick_gelu"]),
    real=st.sampled_from(["all", "prefix", "holes", "none"]),
    marks=st.sampled_from(["none", "first", "some", "all"]),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_fast_way_computes_the_definition(S, T, windows, heads, kind, real, marks, dtype, seed):
    """Windows of 2, and windows that do not divide each other, too: the reference itself cannot run those."""
    rng = np.random.default_rng(seed)
    model = small_model(dtype, attention_window=windows, encoder_attention_heads=heads, activation_function=kind)
    is_real = {"all": np.ones(S, bool), "prefix": np.arange(S) < rng.integers(1, S + 1)}.get(real, rng.random(S) < 0.6)
    is_real &= real != "none"
    is_global = {"none": np.zeros(S, bool), "first": np.arange(S) == 0}.get(marks, rng.random(S) < 0.3)
    is_global |= marks == "all"
    ids, targets = some_ids(seed, 1, S), some_ids(seed + 1, 1, T)
    exact = {name.removeprefix("led."): array.astype(np.float64) for name, array in model.state_dict().items()}
    truth = reference.forward(ids[0], targets[0], is_real, is_global, exact, model.config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyledWarning)  # marks on padding
        output = model(ids, is_real[None].astype(int), targets, global_attention_mask=is_global[None].astype(int))
    # Plain NumPy in float32 is what the budget of a model without a stored answer is measured by.
    plain = {name: array.astype(np.float32) for name, array in exact.items()}
    rough = reference.forward(ids[0], targets[0], is_real, is_global, plain, model.config)
    error = np.max(np.abs(rough - truth)) / max(1, np.max(np.abs(truth)))
    assert_within("logits", output.logits[0], truth, max(error, FLOAT32_ERROR), dtype)


@pytest.mark.parametrize("kind", sorted({*ACTIVATIONS} - {"gelu"}))  # which the kernels have
def test_an_activation_function_is_that_of_the_definition(kind):
    x = np.linspace(-4, 4, 33)
    fast = x.copy()
    layers.activate(fast, kind)
    assert_within(kind, fast, reference.activation(x, kind), 0.0)


@EXAMPLE
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=4), T=st.integers(1, 4), seed=st.integers(0, 2**32 - 1)
)
def test_a_document_gives_the_same_bits_alone_and_in_any_batch(lengths, T, seed):
    model = small_model()
    B, S = len(lengths), max(lengths)
    ids, targets = some_ids(seed, B, S), some_ids(seed + 1, B, T)
    mask = (np.arange(S) < np.array(lengths)[:, None]).astype(int)
    marks = (np.random.default_rng(seed).random((B, S)) < 0.2).astype(int) * mask
    is_shown = {"output_attentions": bool(seed % 2), "output_hidden_states": bool(seed % 2)}
    together = model(ids, mask, targets, global_attention_mask=marks, **is_shown)
    for b, length in enumerate(lengths):
        one, few = slice(b, b + 1), {"global_attention_mask": marks[b : b + 1, :length], **is_shown}
        alone = model(ids[one, :length], mask[one, :length], targets[one], **few)
        assert np.array_equal(alone.encoder_last_hidden_state[0], together.encoder_last_hidden_state[b, :length])
        assert np.array_equal(alone.logits[0], together.logits[b])
        for mine, all_of_them in zip(alone.encoder_attentions or (), together.encoder_attentions or (), strict=True):
            K = mine.shape[3] - marks[b].sum()
            assert np.array_equal(mine[0, :, :, -K:], all_of_them[b, :, :length, -K:])
        for mine, all_of_them in zip(
            alone.encoder_hidden_states or (), together.encoder_hidden_states or (), strict=True
        ):
            assert np.array_equal(mine[0], all_of_them[b, :length])


@EXAMPLE
@given(
    cuts=st.lists(st.integers(1, 15), max_size=4),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_cache_gives_the_same_bits_at_any_split_of_few_tokens(cuts, dtype, seed):
    model = small_model(dtype, max_decoder_position_embeddings=16)
    ids, targets = some_ids(seed, 2, 15), some_ids(seed + 1, 2, 16)
    whole = model(ids, decoder_input_ids=targets)
    source, past, parts = model.get_encoder()(ids), None, []
    edges = sorted({0, *cuts, 16})
    for start, stop in itertools.pairwise(edges):
        output = model(encoder_outputs=source, decoder_input_ids=targets[:, start:stop], past_key_values=past)
        past = output.past_key_values
        parts.append(output.logits)
    assert np.array_equal(np.concatenate(parts, axis=1), whole.logits)


def test_many_tokens_at_once_give_the_logits_of_few():
    model = small_model("float64", max_decoder_position_embeddings=20)
    ids, targets = some_ids(1, 2, 15), some_ids(2, 2, 20)
    source = {"input_ids": ids, "attention_mask": np.array([[1] * 15, [1, 1, 0] * 5])}
    few = model(**source, decoder_input_ids=targets[:, :3])
    many = model(**source, decoder_input_ids=targets[:, 3:], past_key_values=few.past_key_values).logits
    assert_within("logits", many, model(**source, decoder_input_ids=targets).logits[:, 3:], 0.0)
    assert_within("logits", many[:, :2], model(**source, decoder_input_ids=targets[:, :5]).logits[:, 3:], 0.0)


def test_two_continuations_of_one_past_do_not_disturb_each_other():
    model = small_model("float64")
    ids, targets = some_ids(1, 1, 9), some_ids(2, 1, 6)
    source = model.get_encoder()(ids)
    past = model(encoder_outputs=source, decoder_input_ids=targets[:, :2]).past_key_values

    def go_on(new):
        return model(encoder_outputs=source, decoder_input_ids=new, past_key_values=past).logits

    first = go_on(targets[:, 2:4])
    second = go_on(targets[:, 4:6])
    assert np.array_equal(go_on(targets[:, 2:4]), first)
    assert not np.array_equal(first, second)
    truth = model(ids, decoder_input_ids=targets[:, :4]).logits[:, 2:]
    assert_within("logits", first, truth, 0.0)


def test_a_token_beyond_all_windows_cannot_matter_unless_it_is_global():
    model = small_model("float64", kind=LEDModel, attention_window=4)  # two layers reach 4 tokens to each side
    ids = some_ids(3, 1, 30)
    other = ids.copy()
    other[0, 20] = (ids[0, 20] - 3 + 1) % 28 + 3
    mark = (np.arange(30) == 20).astype(int)[None]

    def states(given, **masks):
        return model.get_encoder()(given, **masks).last_hidden_state[0]

    near = abs(np.arange(30) - 20) <= 4
    changed = (states(ids) != states(other)).any(axis=1)
    assert not changed[~near].any() and changed[near].all()
    assert (states(ids, global_attention_mask=mark) != states(other, global_attention_mask=mark)).any(axis=1).all()


@EXAMPLE
@given(
    S=st.integers(1, 30),
    windows=st.lists(st.sampled_from([2, 4, 6]), min_size=2, max_size=2),
    place=st.integers(0, 29),
    real_share=st.sampled_from([0.7, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_content_outside_of_all_windows_changes_no_bit(S, windows, place, real_share, seed):
    """A token reaches half a window further with each layer; one that is masked reaches nothing but its own row."""
    model = small_model(kind=LEDModel, attention_window=windows)
    ids, mask = some_ids(seed, 1, S), (np.random.default_rng(seed).random((1, S)) < real_share).astype(int)
    place %= S
    other = ids.copy()
    other[0, place] = (ids[0, place] - 2) % 28 + 3
    before, after = (model.get_encoder()(given, mask).last_hidden_state[0] for given in (ids, other))
    reach = sum(windows) // 2 if mask[0, place] else 0
    far = abs(np.arange(S) - place) > reach
    assert np.array_equal(before[far], after[far])
    assert not mask[0, place] or (before[place] != after[place]).any()


@EXAMPLE
@given(S=st.integers(1, 30), wider=st.integers(0, 300), seed=st.integers(0, 2**32 - 1))
def test_a_window_over_the_whole_document_is_full_attention(S, wider, seed):
    """As in the definition with every token global, and the projections of those that are not."""
    ids = some_ids(seed, 1, S)
    one, other = (small_model("float64", attention_window=window) for window in (2 * S, 2 * (S + wider)))
    assert np.array_equal(one(ids, decoder_input_ids=IDS).logits, other(ids, decoder_input_ids=IDS).logits)
    exact = {name.removeprefix("led."): array for name, array in one.state_dict().items()}
    same = {name: exact[name.replace("_global", "")] for name in exact}
    everything = np.ones(S, bool)
    truth = reference.forward(ids[0], IDS[0], everything, everything, same, one.config)
    assert_within("logits", one(ids, decoder_input_ids=IDS).logits[0], truth, 0.0)


PROJECTIONS = [f"{part}{kind}" for part in ("query", "key", "value") for kind in ("", "_global")]


def attention_weights(rng, E, dtype, loud=()):
    """Weights of one encoder attention, `a`, whose last projection changes nothing.

    loud: which input and which output of all global projections is multiplied by 100, if any: (axis, part)
    """
    weights = {"a.output.weight": np.eye(E), "a.output.bias": np.zeros(E)}
    for part in PROJECTIONS:
        weight = rng.standard_normal((E, E)) / np.sqrt(E)
        if loud and part == f"{loud[1]}_global":
            weight[(slice(None), rng.integers(E)) if loud[0] == "input" else rng.integers(E)] *= 100
        weights[f"a.longformer_self_attn.{part}.weight"] = weight
        weights[f"a.longformer_self_attn.{part}.bias"] = rng.standard_normal(E)
    return {name: array.astype(dtype) for name, array in weights.items()}


LOUD = st.sampled_from([(), *itertools.product(("input", "output"), ("query", "key", "value"))])


@EXAMPLE
@given(
    S=st.integers(1, 24),
    G=st.sampled_from([1, 2, 3, 5, 8]),
    H=st.integers(1, 3),
    D=st.integers(1, 6),
    real_share=st.sampled_from([0.6, 1.0]),
    loud=LOUD,
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**32 - 1),
)
def test_global_queries_see_the_same_with_and_without_keys_of_their_own(S, G, H, D, real_share, loud, dtype, seed):
    """Both ways are the definition, for few of them and for many, context and probabilities."""
    rng = np.random.default_rng(seed)
    E, S = H * D, max(S, G)
    hidden = rng.standard_normal((S, E)).astype(dtype)
    weights = attention_weights(rng, E, dtype, loud)
    places = np.sort(rng.permutation(S)[:G])
    is_global = np.isin(np.arange(S), places)
    is_real = is_global | (rng.random(S) < real_share)

    def definition(number, order):
        """Context and probabilities, all sums over the states' channels taken in an order."""
        seen = {}
        given = {name: array.astype(number) for name, array in weights.items()}
        for name in given:
            if "global.weight" in name:
                given[name] = given[name][:, order]
        ordered = np.ascontiguousarray(hidden[:, order].astype(number))
        reference.encoder_attention(ordered, 2, is_real, is_global, H, given, "a", seen.__setitem__)
        return seen["a.longformer_self_attn"][places], seen["a.probs"][:, places]

    exact = definition(np.float64, np.arange(E))
    rough = [definition(np.float32, rng.permutation(E)) for _ in range(3)]  # one alone may be right by luck
    errors = [max(FLOAT32_ERROR, *(err(one[i], exact[i]) for one in rough)) for i in (0, 1)]
    found = []
    for attend in (attention._attend_to_all, attention._attend_to_all_projected):
        seen = Stages()
        context = attend(hidden, Batch([is_real], [is_global], [seen]).each, H, weights, "a")
        probs = seen["a.probs.global_queries"]
        for name, got, truth, error in zip(("context", "probs"), (context, probs), exact, errors, strict=True):
            assert_within(f"{name} by {attend.__name__}", got, truth, error, dtype)
        assert not probs[:, :, ~is_real].any()
        unseen = attend(hidden, Batch([is_real], [is_global]).each, H, weights, "a")
        assert np.array_equal(unseen, context)
        found.append(context.astype(np.float64))
    assert_within("one way and the other", found[0].astype(dtype), found[1], errors[0], dtype)


@pytest.mark.parametrize(("G", "D", "expected"), [(1, 2, "few"), (1, 1, "many"), (2, 4, "few"), (3, 5, "many")])
def test_few_global_queries_go_without_keys_of_their_own(G, D, expected, monkeypatch):
    """Those are few whose number is no more than half of the size of a head."""
    assert (expected == "few") == (attention.FEW_GLOBAL * G <= D)
    rng, S, E, taken = np.random.default_rng(G), 7, 2 * D, []
    hidden, weights = rng.standard_normal((S, E)), attention_weights(rng, E, np.float64)
    is_real, is_global = np.arange(S) != 5, np.arange(S) < G

    def noted(way, function):
        return lambda *arguments: (taken.append(way), function(*arguments))[1]

    for name, way in (("_attend_to_all", "few"), ("_attend_to_all_projected", "many")):
        monkeypatch.setattr(attention, name, noted(way, getattr(attention, name)))
    documents = Batch([is_real], [is_global])
    got = attention.encoder_self_attention(hidden, 2, documents, 2, weights, "a", layers.Buffers())
    assert taken == [expected]
    truth = reference.encoder_attention(hidden, 2, is_real, is_global, 2, weights, "a", reference.see_nothing)
    assert_within("attended", got, truth, 0.0)


def test_a_softmax_is_that_of_the_definition_also_beyond_the_float_type():
    scores = np.array([[0, 1, -np.inf], [-np.inf] * 3, [np.inf, 0, 1], [np.nan, 0, 1], [np.inf, -np.inf, np.inf]])
    with np.errstate(invalid="ignore"):
        assert np.array_equal(attention.softmax(scores), reference.softmax(scores), equal_nan=True)
    assert np.isnan(attention.softmax(scores)).any(axis=1).tolist() == [False, True, True, True, True]


def test_states_beyond_float32_are_no_numbers_and_calls_say_so():
    model = small_model(dtype="float32")
    embeds = np.random.default_rng(0).standard_normal((1, 9, model.config.d_model)).astype(np.float32) * 1e25
    with np.errstate(all="ignore"):
        assert np.isnan(model.get_encoder()(inputs_embeds=embeds).last_hidden_state).all()
        with pytest.raises(InputError, match=r"encoder_hidden_states holds nan.*check the model's weights"):
            model(inputs_embeds=embeds, decoder_input_ids=[[2, 0]])
        with pytest.raises(GenerationError, match="scores of token 1 are not numbers; check the model's weights"):
            model.generate(inputs_embeds=embeds, max_length=4)
        states, embeds = (embeds[:, :3] / 1e25,), embeds[:, :2]
        assert np.isnan(model(encoder_outputs=states, decoder_inputs_embeds=embeds).logits).all()


def test_two_threads_calling_one_model_get_the_right_answers():
    model = small_model()
    inputs = [some_ids(seed, 2, 25) for seed in range(8)]
    expected = [model.generate(ids, num_beams=2, max_length=10) for ids in inputs]
    found = [[None] * 8, [None] * 8]

    def work(mine):
        for i, ids in enumerate(inputs):
            mine[i] = model.generate(ids, num_beams=2, max_length=10)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine in found:
        assert all(np.array_equal(got, truth) for got, truth in zip(mine, expected, strict=True))


def test_generation_gives_the_same_tokens_alone_and_in_a_batch():
    model = small_model(init_std=1.0)
    lengths = [20, 7, 13]
    ids = some_ids(4, 3, 20)
    mask = (np.arange(20) < np.array(lengths)[:, None]).astype(int)
    for beams in (1, 3):
        together = model.generate(ids, attention_mask=mask, num_beams=beams, max_length=12, no_repeat_ngram_size=2)
        for b, length in enumerate(lengths):
            alone = model.generate(ids[b : b + 1, :length], num_beams=beams, max_length=12, no_repeat_ngram_size=2)[0]
            assert np.array_equal(alone, together[b, : len(alone)])
            assert (together[b, len(alone) :] == model.config.pad_token_id).all()


@EXAMPLE
@given(
    rules=st.fixed_dictionaries({}, optional={
        "no_repeat_ngram_size": st.integers(1, 3),
        "encoder_no_repeat_ngram_size": st.integers(2, 3),
        "repetition_penalty": st.just(1.5),
        "min_length": st.integers(2, 20),
        "forced_eos_token_id": st.just(2),
        "eos_token_id": st.sampled_from([[2], [2, 7, 8, 9], None]),
    }),
    cut=st.integers(0, 6),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_a_model_generates_the_same_bits_with_drafts_and_without(rules, cut, dtype, seed):
    """The source holds parts of what is generated, with wrong tokens between them."""
    model = small_model(dtype, init_std=1.0, max_decoder_position_embeddings=20)
    call = {"num_beams": 1, "output_scores": True, "return_dict_in_generate": True, "max_length": 20, **rules}
    call["encoder_outputs"] = model.get_encoder()(some_ids(seed, 1, 9))
    source = model.generate(some_ids(seed, 1, 19), **call).sequences[:, 1:]
    source[:, cut::5] = some_ids(seed + 1, 1, 1)
    drafted = model.generate(source, **call)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drafts, "SIZE", 0)
        plain = model.generate(source, **call)
    assert drafted.sequences.tolist() == plain.sequences.tolist()
    for ours, theirs in zip(drafted.scores, plain.scores, strict=True):
        assert np.array_equal(ours, theirs)
        assert ours.base is None or ours.base.size == ours.size  # the logits of wrong guesses are let go
    for ours, theirs in zip(drafted.past_key_values[1], plain.past_key_values[1], strict=True):
        assert np.array_equal(ours, theirs)


class DocumentOfRow:
    """The state of a search that keeps no cache: which document each row belongs to."""

    def __init__(self, rows):
        self.rows = rows

    def select(self, rows):
        return DocumentOfRow(self.rows[rows])


@pytest.mark.parametrize("beams", [1, 2, 3])
def test_generation_with_a_cache_is_the_search_over_the_definition(beams):
    """The definition decodes all tokens anew in each step, each row with its own document."""
    model = small_model("float64", init_std=1.0)
    ids, begin = some_ids(9, 2, 9), np.array([[2, 7, 9], [2, 8, 5]])
    mask = np.array([[1, 1, 1, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0, 0, 0]])
    exact = {name.removeprefix("led."): array for name, array in model.state_dict().items()}

    def step(rows, state):
        logits = []
        for row, document in zip(rows, state.rows, strict=True):
            is_real = mask[document] == 1
            logits.append(reference.forward(ids[document], row, is_real, np.zeros(9, bool), exact, model.config)[-1])
        return np.stack(logits), state

    call = {"num_beams": beams, "max_length": 9, "no_repeat_ngram_size": 2}
    call |= {"return_dict_in_generate": True, "output_logits": True}
    own = GenerationConfig.from_model_config(model.config)
    effective, prompt = resolve(
        call, None, own, batch_size=2, vocab_size=31, positions=12, decoder_input_ids=begin, has_encoder_ids=True
    )
    truth = generate(step, DocumentOfRow(np.repeat([0, 1], beams)), prompt, effective)
    got = model.generate(ids, attention_mask=mask, decoder_input_ids=begin, **call)
    assert got.sequences.tolist() == truth.sequences.tolist()
    for n, (ours, exact_logits) in enumerate(zip(got.logits, truth.logits, strict=True)):
        assert_within(f"logits {n}", ours, exact_logits.astype(np.float64), FLOAT32_ERROR)


def test_a_selected_cache_goes_on_as_its_rows_would():
    model = small_model("float64")
    ids, targets = some_ids(10, 2, 9), some_ids(11, 2, 5)
    past = model(ids, decoder_input_ids=targets[:, :4]).past_key_values.select(np.array([1, 0]))
    got = model(ids[::-1], decoder_input_ids=targets[::-1, 4:], past_key_values=past).logits
    assert_within("logits", got, model(ids, decoder_input_ids=targets).logits[::-1, 4:], 0.0)


def test_a_past_that_is_held_stays_as_it_is():
    """One that is not is written again: a search goes from one buffer to another and back."""
    past = small_model()(some_ids(10, 2, 9), decoder_input_ids=some_ids(11, 2, 5)).past_key_values
    exact = past[0][0].copy()
    pasts, order, orders = [past], np.arange(2), [np.arange(2)]
    for rows in ([1, 0], [0, 0], [0, 1], [1, 1]):
        pasts.append(pasts[-1].select(rows))
        orders.append(order := order[rows])
    for selected, rows in zip(pasts, orders, strict=True):
        assert np.array_equal(selected[0][0], exact[rows])
    view, selected = past[0][0], past.select([1, 0])
    del past, pasts
    places = []
    for _ in range(5):
        selected = selected.select([1, 0])
        places.append(selected.pasts[0][0].buffer.ctypes.data)
    assert np.array_equal(view, exact) and np.array_equal(selected[0][0], exact)
    assert len(set(places)) == 2
    assert np.array_equal(selected.select([1])[0][0], exact[1:])


@pytest.mark.parametrize("row", [2, -3])
def test_what_is_no_row_cannot_be_selected(row):
    past = small_model()(some_ids(10, 2, 9), decoder_input_ids=some_ids(11, 2, 5)).past_key_values
    with pytest.raises(InputError, match="each from 0 to 1"):
        past.select(np.array([0, row]))


def test_a_continuation_keeps_its_tokens_when_the_same_past_is_continued_otherwise():
    model = small_model("float64")
    ids, targets = some_ids(1, 1, 9), some_ids(2, 1, 8)
    source = model.get_encoder()(ids)
    past = model(encoder_outputs=source, decoder_input_ids=targets[:, :2]).past_key_values
    first = model(encoder_outputs=source, decoder_input_ids=targets[:, 2:4], past_key_values=past).past_key_values
    model(encoder_outputs=source, decoder_input_ids=targets[:, 6:8], past_key_values=past)
    got = model(encoder_outputs=source, decoder_input_ids=targets[:, 4:6], past_key_values=first).logits
    assert_within("logits", got, model(ids, decoder_input_ids=targets[:, :6]).logits[:, 4:], 0.0)


def test_a_cache_that_grows_with_every_token_keeps_its_past(monkeypatch):
    monkeypatch.setattr(cache, "BLOCK", 1)
    model = small_model("float64")
    ids, targets = some_ids(1, 2, 9), some_ids(2, 2, 7)
    source, past, parts = model.get_encoder()(ids), None, []
    for i in range(7):
        output = model(encoder_outputs=source, decoder_input_ids=targets[:, i : i + 1], past_key_values=past)
        past = output.past_key_values
        parts.append(output.logits)
    assert_within("logits", np.concatenate(parts, axis=1), model(ids, decoder_input_ids=targets).logits, 0.0)


def test_asking_for_probabilities_changes_no_bit():
    model = small_model(encoder_layers=1, attention_window=4)
    ids, mask, marks = some_ids(7, 2, 9), [[1] * 9, [1] * 6 + [0] * 3], [[1] + [0] * 8] * 2
    source = model.get_encoder()(ids, mask, marks)
    shown = model.get_encoder()(ids, mask, marks, output_attentions=True)
    assert np.array_equal(source.last_hidden_state, shown.last_hidden_state)
    for P, T in ((0, 1), (4, 1), (0, 5), (4, 2)):
        given = {"encoder_outputs": source, "attention_mask": mask}
        targets = some_ids(P + T, 2, P + T)
        if P:
            given["past_key_values"] = model(decoder_input_ids=targets[:, :P], **given).past_key_values
        plain = model(decoder_input_ids=targets[:, P:], **given).logits
        assert np.array_equal(plain, model(decoder_input_ids=targets[:, P:], output_attentions=True, **given).logits)


def test_the_loss_counts_padding_and_leaves_out_what_is_ignored():
    labels = np.array([[5, 1, -100], [-100, 1, 7]])
    output = small_model("float64")(some_ids(1, 2, 5), labels=labels)
    powers = np.exp(output.logits)
    probs = powers / powers.sum(axis=2, keepdims=True)
    each = [-np.log(probs[b, t, labels[b, t]]) for b, t in ((0, 0), (0, 1), (1, 1), (1, 2))]
    assert_within("loss", output.loss, np.array(np.mean(each)), 0.0)


def test_the_loss_survives_logits_of_any_size():
    assert losses.cross_entropy(np.array([[[0.0, 1000.0], [-1000.0, 0.0]]]), np.array([[0, 1]])) == 500


@pytest.mark.parametrize("slice_rows", [4, 7])  # with so few rows in all slices, and in some
@pytest.mark.parametrize("kind", ["relu", "gelu"])
def test_rows_beyond_a_slice_of_the_feed_forward(slice_rows, kind, monkeypatch):
    monkeypatch.setattr(layers, "SLICE_ROWS", slice_rows)
    shapes = ((22, 12), (7, 12), (12, 7), (7,), (12,))
    x, w1, w2, b1, b2 = (np.random.default_rng(0).standard_normal(shape) for shape in shapes)
    weights = {"x.fc1.weight": w1, "x.fc1.bias": b1, "x.fc2.weight": w2, "x.fc2.bias": b2}
    truth = reference.feed_forward(x, weights, "x", kind, reference.see_nothing)
    kept = layers.Buffers()
    for rows in (3, 4, 5, 7, 8, 9, 10, 11, 12, 14, 15, 22, 9):
        out = np.full((rows, 12), np.nan)
        in_slices = layers.feed_forward_in_slices(x[:rows], weights, "x", kind, kept, out)
        assert in_slices is out
        for got in (layers.feed_forward(x[:rows], weights, "x", kind), in_slices):
            assert_within(f"fed, {rows} rows", got, truth[:rows], 0.0)


def test_hidden_states_of_layers_are_not_overwritten_by_later_ones():
    model = small_model("float64")
    output = model(some_ids(5, 1, 9), decoder_input_ids=some_ids(6, 1, 3), output_hidden_states=True)
    for states in (output.encoder_hidden_states, output.decoder_hidden_states):
        assert len(states) == 3
        assert all(not np.array_equal(a, b) for a, b in itertools.pairwise(states))


def test_outputs_are_read_by_attribute_name_and_place_without_the_fields_that_are_none():
    output = small_model()(some_ids(1, 1, 5), decoder_input_ids=some_ids(2, 1, 2), use_cache=False)
    assert output.keys() == ["logits", "encoder_last_hidden_state"]
    assert output[0] is output.logits and output["logits"] is output.logits
    assert output.to_tuple()[1] is output.encoder_last_hidden_state
    assert "loss" not in output and output.loss is None
    with pytest.raises(KeyError, match="logits"):
        output["loss"]
    as_tuple = small_model()(some_ids(1, 1, 5), decoder_input_ids=some_ids(2, 1, 2), use_cache=False, return_dict=False)
    assert isinstance(as_tuple, tuple) and np.array_equal(as_tuple[0], output.logits)


IDS = np.array([[5, 6, 7]])
MISTAKES = [
    ({}, "neither of input_ids and inputs_embeds"),
    ({"input_ids": IDS, "inputs_embeds": np.zeros((1, 3, 12))}, "both of input_ids and inputs_embeds"),
    ({"input_ids": [[1, 2], [3]]}, "different lengths"),
    ({"input_ids": [5, 6]}, r"shape \(2,\)"),
    ({"input_ids": np.zeros((1, 0), int)}, r"shape \(1, 0\)"),
    ({"input_ids": [[5.0]]}, "float64"),
    ({"input_ids": [[5, 31]]}, "holds 31: this model's ids go from 0 to 30"),
    ({"input_ids": [[5, -1]]}, "holds -1"),
    (
        {"input_ids": np.full((1, 41), 5), "decoder_input_ids": IDS[:1]},
        "41 tokens, but this encoder has 40 positions",
    ),
    (
        {"input_ids": np.full((1, 13), 5)},
        "13 tokens, but this decoder, in which LEDForConditionalGeneration reads the whole text, too, has 12 "
        "positions: truncate the text, or pass decoder_input_ids",
    ),
    (
        {
            "input_ids": np.full((2, 41), 5),
            "attention_mask": np.tri(2, 41, k=39, dtype=int),
            "decoder_input_ids": np.full((2, 1), 5),
        },
        "41 tokens, but this enc",
    ),
    ({"input_ids": IDS, "attention_mask": [[1, 1]]}, r"attention_mask has shape \(1, 2\): \(1, 3\) was expected"),
    ({"input_ids": IDS, "attention_mask": [[1, 2, 1]]}, "holds 2: only 0, 1.*global_attention_mask"),
    ({"input_ids": IDS, "attention_mask": [[1, 0.5, 1]]}, "holds 0.5"),
    ({"input_ids": IDS, "attention_mask": "all"}, "array of integers"),
    ({"input_ids": IDS, "attention_mask": [[1, 1], [1]]}, "attention_mask: rows of different lengths"),
    ({"input_ids": IDS, "attention_mask": [[1, 1, 2**70]]}, "attention_mask holds object values"),
    ({"input_ids": IDS, "attention_mask": [[1, 1, np.nan]]}, "attention_mask holds nan"),
    ({"input_ids": IDS, "attention_mask": np.ones((1, 3), complex)}, "attention_mask holds complex128 values"),
    ({"input_ids": IDS, "global_attention_mask": [[1, 2, 0]]}, "holds 2: only -1, 0, 1"),
    ({"inputs_embeds": np.zeros((1, 3, 11))}, r"\(1, 3, 11\): \(batch, tokens, 12\) was expected"),
    ({"inputs_embeds": "text"}, "array of floats"),
    ({"inputs_embeds": [[[0.0] * 12], [[0.0] * 11]]}, "inputs_embeds: rows of different lengths"),
    ({"inputs_embeds": np.zeros((1, 3, 12), complex)}, "inputs_embeds holds complex128 values"),
    ({"inputs_embeds": np.full((1, 3, 12), np.nan)}, "inputs_embeds holds nan: numbers that are finite in float32"),
    ({"inputs_embeds": np.full((1, 3, 12), 1e300)}, r"inputs_embeds holds 1e\+300: numbers that are finite in float32"),
    ({"inputs_embeds": np.zeros((0, 3, 12))}, r"\(0, 3, 12\): \(batch, tokens, 12\) was expected, with at least one"),
    ({"inputs_embeds": np.zeros((1, 3, 12)), "decoder_input_ids": None}, "no decoder_input_ids"),
    ({"input_ids": IDS, "decoder_input_ids": np.full((1, 13), 5)}, "13 tokens, but this decoder has 12 positions"),
    ({"input_ids": IDS, "decoder_input_ids": np.full((2, 2), 5)}, "2 rows of decoder input for 1 documents"),
    ({"input_ids": IDS, "decoder_input_ids": IDS, "decoder_inputs_embeds": np.zeros((1, 3, 12))}, "both of decoder"),
    ({"input_ids": IDS, "decoder_attention_mask": [[1, 1]]}, "decoder_attention_mask has shape"),
    ({"encoder_outputs": 5, "decoder_input_ids": IDS}, "encoder_outputs is a int"),
    (
        {"encoder_outputs": (np.zeros((1, 3, 12)),) * 5, "decoder_input_ids": IDS},
        "encoder_outputs is a tuple of 5 items",
    ),
    ({"input_ids": IDS, "labels": [[5, -99, 6]]}, "labels holds -99"),
    ({"input_ids": IDS, "decoder_input_ids": IDS, "labels": [[5]]}, r"labels has shape \(1, 1\)"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_every_mistake_in_an_argument_has_its_message(arguments, message):
    arguments = {"decoder_input_ids": IDS, **arguments} if "input_ids" not in arguments else arguments
    with pytest.raises(InputError, match=message):
        small_model()(**arguments)


def refusal(function, *arguments, **more):
    """The message with which a function refuses its arguments; "" if it takes them."""
    try:
        function(*arguments, **more)
    except InputError as e:
        return str(e)
    return ""


def test_masks_say_what_they_should():
    mask, marks = [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], [[1, -1, -1, 1], [0, 1, 0, -1], [1, 1, 0, 0]]
    masks = source_masks(mask, marks, (3, 4))
    assert masks.is_key.tolist() == [[bool(m) for m in row] for row in mask]
    assert masks.is_real.tolist() == [[True, False, False, False], [False, True, True, False], [False] * 4]
    assert masks.is_global.tolist() == [[True, False, False, False], [False, True, False, False], [False] * 4]
    assert masks.lengths == (2, 4, 4)  # a prefix; one that begins with padding; nothing real
    assert masks.dropped == 3
    every = source_masks(None, None, (1, 3))
    assert every.is_real.all() and every.is_key.all() and not every.is_global.any() and every.dropped == 0


def test_what_a_mask_may_hold():
    source = "attention_mask", (1, 3), (0, 1)
    assert refusal(checked_mask, [[1, 0, 1]], *source) == ""
    assert "has shape (1, 2)" in refusal(checked_mask, [[1, 1]], *source)
    assert "holds 0.5" in refusal(checked_mask, [[1, 0.5, 1]], *source)
    assert "holds 3" in refusal(checked_mask, [[1, 3, 1]], *source)
    assert "; mark global tokens" in refusal(checked_mask, [[1, 2, 1]], *source)
    assert "; mark global tokens" not in refusal(checked_mask, [[1, 2, 1]], "another", (1, 3), (0, 1))


def test_ids_and_embeds_at_the_edge_of_what_is_allowed():
    assert refusal(checked_ids, [[0, 30]], "ids", 31) == ""
    assert refusal(checked_ids, [[-100, 5]], "ids", 31, also=(-100,)) == ""
    for ids, more in (([[31]], {}), ([[-1]], {}), ([[5.0]], {}), ([5], {}), ([[]], {}), ([[-99]], {"also": (-100,)})):
        assert refusal(checked_ids, ids, "ids", 31, **more) != ""
    assert refusal(checked_ids, np.zeros((1, 0), int), "ids", 31) != ""
    assert refusal(checked_embeds, np.zeros((1, 3, 12)), "embeds", 12, np.float32) == ""
    for shape in ((1, 3, 12, 1), (3, 12), (1, 3, 11), (1, 0, 12)):
        assert refusal(checked_embeds, np.zeros(shape), "embeds", 12, np.float32) != ""
    embeds = np.ones((1, 2, 12))
    embeds[0, 1, 3] = np.nan
    assert "holds nan" in refusal(checked_embeds, embeds, "embeds", 12, np.float32)
    assert refusal(check_length, 12, 12, "decoder", "cut") == ""
    assert refusal(check_length, 13, 12, "decoder", "cut") == "13 tokens, but this decoder has 12 positions: cut"


def test_arrays_of_any_type_order_and_layout_give_the_same_answer():
    model = small_model()
    ids, mask, marks = some_ids(1, 2, 5), np.array([[1, 1, 1, 1, 1], [1, 0, 1, 0, 1]]), np.eye(2, 5, -1, dtype=int)
    embeds = model.get_input_embeddings()[ids]
    expected = model(ids, mask, ids, global_attention_mask=marks).logits
    for kind in (bool, np.uint8, np.int32, np.float16, list):
        masks = [each.tolist() if kind is list else each.astype(kind) for each in (mask, marks)]
        assert np.array_equal(model(ids.tolist(), masks[0], ids, global_attention_mask=masks[1]).logits, expected)
    for array in (ids.astype(np.uint8), ids.astype(np.uint64), np.asfortranarray(ids), ids[:, ::-1].copy()[:, ::-1]):
        assert np.array_equal(model(array, mask, array, global_attention_mask=marks).logits, expected)
    read_only = embeds.astype(np.float64)
    read_only.flags.writeable = False
    for array in (read_only, embeds.tolist(), np.asfortranarray(embeds), np.repeat(embeds, 2, axis=2)[:, :, ::2]):
        got = model(None, mask, None, None, None, marks, inputs_embeds=array, decoder_inputs_embeds=array).logits
        assert np.array_equal(got, expected)


def test_a_past_of_other_documents_is_refused():
    model = small_model()
    mask = [[1, 1, 0]]
    output = model(IDS, mask, decoder_input_ids=IDS)
    with pytest.raises(InputError, match="pass the attention_mask of the first call again"):
        model(IDS, decoder_input_ids=IDS, past_key_values=output.past_key_values)
    with pytest.raises(InputError, match="holds 1 rows, this call has 2"):
        two = np.repeat(IDS, 2, axis=0)
        model(two, decoder_input_ids=two, past_key_values=output.past_key_values)


@pytest.mark.parametrize(
    ("past", "message"),
    [
        ((), r"past_key_values is \(\): a Cache or None was expected"),
        ({"decoder_layers": 1}, "with 1 layers of 3 heads of size 4 in float32, this one has 2 of 3 of 4 in float32"),
        ({"decoder_layers": 3}, "with 3 layers"),
        ({"decoder_attention_heads": 6}, "of 6 heads of size 2"),
        ({"dtype": "float64"}, "in float64, this one has 2 of 3 of 4 in float32: pass one of its own"),
    ],
)
def test_a_past_that_is_none_of_this_model_is_refused(past, message):
    if isinstance(past, dict):
        past = small_model(**past)(IDS, decoder_input_ids=IDS).past_key_values
    for T in (1, 2):
        with pytest.raises(InputError, match=message):
            small_model()(IDS, decoder_input_ids=IDS[:, :T], past_key_values=past)


@pytest.mark.parametrize("rows", [[1, 0, 2], [1, 1, 0], [2], [0, 0, 1, 1, 2, 2]])
def test_a_call_goes_on_from_selected_rows_of_a_past(rows):
    """Masks with holes and of different lengths: each row must meet its own document."""
    model = small_model("float64")
    ids, targets = some_ids(1, 3, 9), some_ids(2, 3, 4)
    mask = np.array([[1, 0, 1, 1, 0, 1, 1, 0, 1], [1, 1, 0, 0, 1, 0, 1, 1, 0], [1, 1, 1, 1, 1, 0, 0, 0, 0]])
    source = model.get_encoder()(ids, mask)
    past = model(None, mask, targets[:, :2], encoder_outputs=source).past_key_values.select(np.array(rows))
    states = (source.last_hidden_state[rows],)
    for T in (1, 2):
        new = targets[rows, 2 : 2 + T]
        got = model(None, mask[rows], new, encoder_outputs=states, past_key_values=past).logits
        whole = model(ids[rows], mask[rows], targets[rows, : 2 + T]).logits
        assert_within("logits", got, whole[:, 2:], 0.0)


def test_rows_of_one_document_have_one_mask():
    model = small_model()
    ids = some_ids(1, 1, 4)
    past = model(ids, [[1, 0, 1, 1]], ids).past_key_values.select(np.array([0, 0]))
    two = np.repeat(ids, 2, axis=0)
    with pytest.raises(InputError, match=r"rows \[0, 1\].* in the order of the past's rows"):
        model(two, [[1, 0, 1, 1], [1, 1, 0, 1]], two, past_key_values=past)


def test_a_past_cannot_be_written_into_and_can_be_copied():
    model = small_model()
    past = model(IDS, decoder_input_ids=IDS).past_key_values
    with pytest.raises(ValueError, match="read-only"):
        past[0][0][...] = 0
    expected = model(IDS, decoder_input_ids=IDS, past_key_values=past).logits
    for copied in (copy.deepcopy(past), pickle.loads(pickle.dumps(past))):
        assert np.array_equal(model(IDS, decoder_input_ids=IDS, past_key_values=copied).logits, expected)
        assert copied != past and copied in {copied}


STATES = np.zeros((2, 3, 12), np.float32)
GENERATION_MISTAKES = [
    ({}, "neither of input_ids and inputs_embeds"),
    ({"input_ids": [[5, 6], [7]]}, "rows of different lengths"),
    ({"input_ids": [[5, 6], [7]], "encoder_outputs": (STATES,)}, "rows of different lengths"),
    ({"input_ids": [[5, 31]] * 2, "encoder_outputs": (STATES,)}, "holds 31"),
    ({"input_ids": [[5, -9]] * 2, "encoder_outputs": (STATES,)}, "holds -9"),
    ({"input_ids": [[5, 6]], "encoder_outputs": (STATES,)}, "input_ids has 1 rows, encoder_outputs 2"),
    ({"encoder_outputs": (STATES[0],)}, r"encoder_outputs.last_hidden_state has shape \(3, 12\)"),
    ({"encoder_outputs": (STATES[:0],)}, r"has shape \(0, 3, 12\)"),
    ({"encoder_outputs": (STATES[:, :, :11],)}, r"has shape \(2, 3, 11\)"),
    ({"encoder_outputs": (5,)}, r"has shape \(\)"),
]


@pytest.mark.parametrize(("arguments", "message"), GENERATION_MISTAKES, ids=[m for _, m in GENERATION_MISTAKES])
def test_every_mistake_in_an_argument_of_generate_has_its_message(arguments, message):
    with pytest.raises(InputError, match=message):
        small_model().generate(**arguments, max_length=5, encoder_repetition_penalty=2.0)


def test_a_wrong_setting_is_told_before_any_work():
    layers = []
    with pytest.raises(GenerationError, match="max_length"):
        small_model().generate(IDS, max_length=99, encoder_progress=lambda done, total: layers.append(done))
    assert layers == []


def test_generation_goes_on_from_states_of_any_type():
    model = small_model()
    ids = some_ids(3, 2, 8)
    states = model.get_encoder()(ids).last_hidden_state
    expected = model.generate(ids, num_beams=2, max_length=9)
    for array in (states.tolist(), states.astype(np.float64), np.asfortranarray(states)):
        for rest in ((), (None, None, None)):  # hidden states and attentions
            got = model.generate(encoder_outputs=(array, *rest), num_beams=2, max_length=9)
            assert np.array_equal(got, expected)


def test_no_return_dict_is_the_default_one():
    assert small_model()(IDS, decoder_input_ids=IDS, return_dict=None).keys()[0] == "logits"


def test_a_configuration_without_a_start_token_cannot_shift():
    model = small_model(decoder_start_token_id=None)
    for arguments in ({}, {"labels": IDS}):
        with pytest.raises(InputError, match="no decoder_start_token_id: pass decoder_input_ids"):
            model(IDS, **arguments)


def test_a_model_is_made_from_a_configuration():
    for given_instead in ("allenai/led-base-16384", {}):
        with pytest.raises(InputError, match="pass an LEDConfig; from_pretrained takes a directory"):
            LEDModel(given_instead)


def test_padding_is_0_in_all_random_embeddings():
    """torch.nn.Embedding with a padding_idx, in transformers 5.23.0, untied."""
    weights = small_model(tie_word_embeddings=False).state_dict()
    for name in ("shared", "encoder.embed_tokens", "decoder.embed_tokens"):
        assert not weights[f"led.{name}.weight"][1].any() and weights[f"led.{name}.weight"][2].any()
    assert weights["lm_head.weight"][1].any()


def test_marks_on_padding_and_unmasked_padding_are_told_once():
    model = small_model()
    with pytest.warns(PyledWarning, match="1 global marks stand on padding"):
        model(IDS, [[1, 1, 0]], IDS, global_attention_mask=[[1, 0, 1]])
    model(IDS, [[1, 1, 0]], IDS, global_attention_mask=[[1, 0, 1]])  # a second warning would fail here
    with pytest.warns(PyledWarning, match="padding id 1"):
        model.generate([[5, 6, 1]], max_length=3)


def test_a_saved_model_loads_again_with_its_type_and_weights(tmp_path):
    model = small_model("float64", tie_word_embeddings=False)
    model.config.extra["torch_dtype"] = "bfloat16"  # of the file it might have come from
    model.save_pretrained(tmp_path)
    stated = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert (stated["dtype"], stated["architectures"]) == ("float64", ["LEDForConditionalGeneration"])
    assert "torch_dtype" not in stated
    again = LEDForConditionalGeneration.from_pretrained(tmp_path, dtype="float64")
    for name, array in model.state_dict().items():
        assert np.array_equal(again.state_dict()[name], array)


def test_a_directory_that_is_not_there_is_named():
    with pytest.raises(CheckpointError, match="led is no directory: pass the directory of a downloaded checkpoint"):
        LEDModel.from_pretrained("./led")


def test_a_past_is_indexed_as_a_tuple_of_layers():
    past = small_model()(IDS, decoder_input_ids=IDS).past_key_values
    assert len(past) == len(list(past)) == len(past[:]) == 2
    for layer, arrays in enumerate(past):
        assert [array.shape for array in arrays] == [(1, 3, 3, 4)] * 4
        for array, again in zip(arrays, past[-2:][layer], strict=True):
            assert np.array_equal(array, again)


def test_an_output_is_a_mapping_of_the_fields_that_are_there():
    output = small_model()(IDS, decoder_input_ids=IDS, use_cache=False)
    assert list(output) == list(output.keys()) and "logits" in output and "loss" not in output


def test_progress_over_a_batch_counts_the_layers_of_all_documents():
    told = []
    small_model().get_encoder()(some_ids(1, 3, 5), progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 6) for done in range(1, 7)]


def test_a_decoder_needs_the_states_of_a_source():
    with pytest.raises(InputError, match="no encoder_hidden_states: run the encoder first"):
        small_model().get_decoder()(IDS)


def test_a_configuration_without_padding_cannot_shift():
    with pytest.raises(InputError, match="no pad_token_id: pass decoder_input_ids"):
        small_model(pad_token_id=None)(IDS)


def test_generation_from_embedded_tokens_is_that_from_their_ids():
    model = small_model()
    ids = some_ids(4, 2, 8)
    embeds = model.get_input_embeddings()[ids]
    assert np.array_equal(model.generate(inputs_embeds=embeds, max_length=8), model.generate(ids, max_length=8))


@pytest.mark.parametrize("activate", [reference.activation, layers.activate])
def test_both_ways_know_the_activations_of_a_configuration_and_no_other(activate):
    with pytest.raises(ValueError, match="no activation 'no_such'"):
        activate(np.zeros(2), "no_such")


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="NUMBA_DISABLE_JIT is set: nothing runs in parallel")
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")
@pytest.mark.parametrize("E", [192, 768])
def test_one_thread_gives_the_states_and_tokens_of_two(E):
    """At sizes of real models, at which a BLAS sums in an order that depends on the number of threads."""
    config = LEDConfig(
        vocab_size=211, d_model=E, encoder_layers=2, decoder_layers=1, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=2 * E, decoder_ffn_dim=2 * E, attention_window=32,
        max_encoder_position_embeddings=256, max_decoder_position_embeddings=64, init_std=0.2,
    )  # fmt: skip
    model = LEDForConditionalGeneration(config, seed=0)
    ids, targets = (np.random.default_rng(E + T).integers(3, 211, (2, T)) for T in (150, 40))
    marks = np.zeros_like(ids)
    marks[:, 0] = marks[0, :120] = 1  # in the first document so many that keys are projected for them
    runs = []
    try:
        for threads in (1, 2):
            set_threads(threads)
            output = model(ids, decoder_input_ids=targets, global_attention_mask=marks, output_attentions=True)
            step = model(ids, decoder_input_ids=targets[:, :1], global_attention_mask=marks)
            tokens = model.generate(ids, global_attention_mask=marks, num_beams=3, max_length=20)
            states, global_probs = output.encoder_last_hidden_state, output.encoder_global_attentions[1]
            crossed, probs = output.cross_attentions[0], output.decoder_attentions[0]
            runs.append([states, global_probs, crossed, probs, output.logits, step.logits, tokens])
    finally:
        set_threads(None)
    assert all(np.array_equal(one, two) for one, two in zip(*runs, strict=True))
