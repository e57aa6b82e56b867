"""Fine-tuning: the optimizer, the learning rate, the order of examples, and what a killed training goes on from."""

import copy
import itertools
import json
import math
import mmap
import pickle
import warnings

import numpy as np
import pytest
from checkpoints import TINY, changed
from hypothesis import given
from hypothesis import strategies as st

import pyled
from pyled.errors import CheckpointError, InputError
from pyled.evaluation.groups import Pair
from pyled.tasks.cost import TYPICAL, weight_count
from pyled.training import loop, state
from pyled.training.examples import Order, batch_arrays, begins_with_bos, cuts, read_example
from pyled.training.forecast import POLICIES, choose, forecast, forecast_training
from pyled.training.loop import DivergedError, Settings, Training, Validation, Watch, add_gradients, trained_names
from pyled.training.optimizer import AdamW, clip_by_norm, decays_by_default, shared_weights
from pyled.training.schedules import schedule
from pyled.training.starting import reader_for, starting_model

WORDS = ["lamp", "keeper", "harbour", "night", "storm", "ship", "light", "oil", "wick", "glass", "tower", "sea", "wind"]


CHANGED = "led.decoder.layers.1.fc1.weight"
PART = "led.decoder.layers.1.*"  # few numbers, for tests without compilation


def pairs(count, seed=0):
    """Pairs of words, a summary being some of its document."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, rng.integers(3, 9))) for _ in range(count)]
    return [Pair("a", f"line {i}", text, " ".join(text.split()[:3])) for i, text in enumerate(texts, 1)]


def loaded(directory=TINY, **options):
    return starting_model(str(directory), None, **options)[0]


def examples_of(model, count, seed=0):
    reader = reader_for(model, None, None)
    return [read_example(pair, reader, 128, False) for pair in pairs(count, seed)]


# 1. The optimizer


def updated(weight, gradients, lr, betas, eps, decay):
    """The definition of AdamW in float64 (Loshchilov and Hutter 2019, algorithm 2, as torch parametrizes it)."""
    m = v = np.zeros(weight.shape)
    for t, gradient in enumerate(gradients, 1):
        m = betas[0] * m + (1 - betas[0]) * gradient
        v = betas[1] * v + (1 - betas[1]) * gradient**2
        unbiased = (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
        weight = weight - lr * decay * weight - lr * unbiased
    return weight


def test_adamw_is_its_definition_for_each_weight_once():
    model = loaded(dtype="float64").model
    before = {name: np.array(array) for name, array in model.state_dict().items()}
    rng, tied = np.random.default_rng(0), ["led.shared.weight", "lm_head.weight"]
    names = [*tied, "led.encoder.layers.0.fc1.weight", "led.encoder.layers.0.fc1.bias"]
    steps = [{name: rng.standard_normal(before[name].shape) for name in names} for _ in range(3)]
    for gradients in steps:
        gradients[tied[1]] = gradients[tied[0]]
    del steps[1]["led.encoder.layers.0.fc1.bias"]
    options = {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.2}
    optimizer = pyled.AdamW(model, **options, decays=decays_by_default)
    for gradients in steps:
        optimizer.step(gradients)
    after = model.state_dict()
    for name in names:
        own = [gradients[name] for gradients in steps if name in gradients]
        expected = updated(before[name], own, 0.1, (0.8, 0.9), 1e-3, 0.0 if name.endswith("bias") else 0.2)
        assert np.abs(after[name] - expected).max() < 1e-13, name
    assert after["lm_head.weight"] is after["led.shared.weight"] and not after["lm_head.weight"].flags.writeable
    for name in before.keys() - {*names, "led.encoder.embed_tokens.weight", "led.decoder.embed_tokens.weight"}:
        assert np.array_equal(after[name], before[name]), name


def test_the_rate_of_a_step_is_the_one_that_is_set():
    model = loaded().model
    name = "led.encoder.layers.0.fc1.bias"
    before, optimizer = np.array(model.state_dict()[name]), AdamW(model, lr=0.0)
    optimizer.step({name: np.ones_like(before)})
    assert np.array_equal(model.state_dict()[name], before)
    optimizer.lr = 0.5
    optimizer.step({name: np.ones_like(before)})
    assert np.allclose(model.state_dict()[name], before * (1 - 0.5 * 0.01) - 0.5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lr": -1}, "lr is -1: a number of at least 0 was"),
        ({"lr": "x"}, "lr is 'x'"),
        ({"lr": math.nan}, "lr is nan"),
        ({"eps": True}, "eps is True"),
        ({"betas": (0.9, 1.0)}, "betas is 1.0: a number of at least 0 and below 1 was"),
        ({"betas": 0.9}, "betas is 0.9: two numbers"),
        ({"weight_decay": math.inf}, "weight_decay is inf"),
    ],
)
def test_wrong_options_of_the_optimizer(options, said):
    with pytest.raises(InputError, match=said):
        AdamW(loaded().model, **options)


@pytest.mark.parametrize("between", ["nothing", "load_state_dict", "another optimizer", "deepcopy", "pickle"])
def test_a_step_changes_the_weights_that_the_model_has_now(between):
    model = loaded().model
    name, tensors = "led.encoder.layers.0.fc1.bias", {key: array.copy() for key, array in model.state_dict().items()}
    gradients = {name: np.ones(40, np.float32), "lm_head.weight": None}  # None is as no gradient
    optimizer = AdamW(model, lr=0.5, weight_decay=0)
    optimizer.step(gradients)
    if between == "load_state_dict":
        model.load_state_dict(tensors)
    elif between == "another optimizer":
        AdamW(model, lr=0.5, weight_decay=0).step(gradients)
    elif between != "nothing":
        both = model, optimizer
        model, optimizer = copy.deepcopy(both) if between == "deepcopy" else pickle.loads(pickle.dumps(both))
    before = model.state_dict()[name].copy()
    optimizer.step(gradients)
    assert np.allclose(model.state_dict()[name], before - 0.5, atol=1e-5)


def test_what_is_no_gradient_of_the_model_is_refused():
    model = loaded().model
    optimizer, name = AdamW(model), "led.encoder.layers.0.fc1.bias"
    first, before = (
        {"led.shared.weight": np.ones((600, 24), np.float32)},
        model.state_dict()["led.shared.weight"].copy(),
    )
    for wrong, said in (
        (None, "gradients is None: a dictionary"),
        ([1.0], "an array of floats"),
        (np.ones(40, int), "floats"),
    ):
        with pytest.raises(InputError, match=said):
            optimizer.step(wrong if wrong is None else {**first, name: wrong})
        assert np.array_equal(model.state_dict()["led.shared.weight"], before)  # of a wrong step nothing is done
    optimizer.step(first)
    model.resize_token_embeddings(640)
    with pytest.raises(InputError, match=r"has shape \(640, 24\) now, .* make a new AdamW"):
        optimizer.step({"led.shared.weight": np.ones((640, 24), np.float32)})
    with pytest.raises(InputError, match="lr is -1"):
        optimizer.lr = -1
        optimizer.step({})
    optimizer = AdamW(loaded().model)
    with pytest.raises(InputError, match="gradients has 'fc': this model has no weight"):
        optimizer.step({"fc": np.zeros(3)})
    with pytest.raises(InputError, match="has shape \\(3,\\): \\(40,\\) was expected"):
        optimizer.step({"led.encoder.layers.0.fc1.bias": np.zeros(3)})
    with pytest.raises(InputError, match="to train it, load it without weights="):
        AdamW(pyled.LEDForConditionalGeneration.from_pretrained(TINY, weights="bf16"))


def test_no_part_of_the_file_of_weights_stays_in_memory():
    def in_file(array):
        return in_file(array.base) if isinstance(array, np.ndarray) else isinstance(array, mmap.mmap)

    model = pyled.LEDForConditionalGeneration.from_pretrained(TINY)
    assert any(map(in_file, model.weights.values()))
    optimizer = AdamW(model)
    for names, _ in shared_weights(model):
        optimizer.weight(names[0])
    assert not any(map(in_file, model.weights.values()))


def test_weights_that_decay_are_those_of_transformers_trainer():
    names = [name for names, _ in shared_weights(loaded().model) for name in names]
    kept = {name for name in names if not decays_by_default(name)}
    assert kept == {name for name in names if name.endswith("bias") or "norm" in name} and 0 < len(kept) < len(names)


def test_clipping_is_by_the_norm_of_all_together():
    rng = np.random.default_rng(0)
    gradients = {name: rng.standard_normal(shape) for name, shape in (("a", (300, 400)), ("b", (7,)))}
    gradients["c"] = gradients["a"]  # tied
    norm = np.linalg.norm([*gradients["a"].reshape(-1), *gradients["b"]])
    small = {name: array.copy() for name, array in gradients.items()}
    assert np.isclose(
        clip_by_norm(small, 2 * norm), np.sqrt(2 * np.sum(gradients["a"] ** 2) + np.sum(gradients["b"] ** 2))
    )
    expected = {name: array / (norm + 1e-6) * 3 for name, array in gradients.items()}
    assert np.isclose(clip_by_norm(gradients, 3.0), norm, rtol=1e-12)
    for name, array in gradients.items():
        assert np.allclose(array, expected[name], rtol=1e-12)
    assert clip_by_norm(dict(gradients), 4.0) <= 3.0 and np.allclose(gradients["b"], expected["b"])
    gradients["b"][0] = math.nan
    assert math.isnan(clip_by_norm(gradients, 1.0)) and np.isfinite(gradients["a"]).all()


# transformers 5.23.0, get_linear_schedule_with_warmup and its namesakes: 3 steps of warm-up of 8
RATES = {
    "linear": [0.0, 1 / 3, 2 / 3, 1.0, 0.8, 0.6, 0.4, 0.2],
    "cosine": [
        0.0,
        1 / 3,
        2 / 3,
        1.0,
        0.9045084971874737,
        0.6545084971874737,
        0.34549150281252633,
        0.09549150281252633,
    ],
    "constant": [0.0, 1 / 3, 2 / 3, 1.0, 1.0, 1.0, 1.0, 1.0],
}


@pytest.mark.parametrize("kind", RATES)
def test_the_learning_rate_is_that_of_transformers(kind):
    assert np.allclose([schedule(kind, 3, 8)(step) for step in range(8)], RATES[kind], atol=1e-15)
    assert schedule("linear", 0, 4)(0) == 1.0 and schedule("linear", 9, 4)(3) == 3 / 9


# 2. Examples


def test_an_example_is_what_the_tokenizer_makes_of_its_texts():
    model = loaded()
    pair = Pair("a.jsonl", "line 3", "The keeper lit the lamp. " * 40, "The lamp is lit.")
    reader = reader_for(model, 20, None)
    ids, summary = (model.tokenizer(text).input_ids for text in (pair.document, pair.reference))
    one = read_example(pair, reader, 128, True)
    assert (one.place, one.source.tolist(), one.target.tolist()) == ("a.jsonl: line 3", [*ids[:19], 2], summary)
    assert (one.source_cut, one.target_cut, one.is_global.tolist()) == (len(ids) - 20, 0, [1] + [0] * 19)
    short = read_example(pair, reader, 5, False)
    assert short.target.tolist() == [*summary[1:5], 2] and short.target_cut == len(summary) - 6
    assert cuts([one, short], 20, 5) == [
        f"pairs: 2, of 40 source tokens and {len(summary) + 5} target tokens",
        f"documents of more than 20 tokens: 2, of which {2 * (len(ids) - 20):,} tokens are cut off",
        f"summaries of more than 5 tokens: 1, of which {len(summary) - 6} tokens are cut off",
    ]
    arrays = batch_arrays([one, short], pad=1)
    assert arrays["labels"][1].tolist() == [*short.target, *[-100] * (len(summary) - 5)]
    wide = read_example(pairs(1)[0], reader_for(model, None, "tokens:0-3"), 9, False)
    arrays = batch_arrays([wide, one], pad=1)
    assert arrays["global_attention_mask"].sum(axis=1).tolist() == [4, 1]
    for row, each in zip(range(2), (wide, one), strict=True):
        S = len(each.source)
        assert arrays["input_ids"][row].tolist() == [*each.source, *[1] * (arrays["input_ids"].shape[1] - S)]
        assert arrays["attention_mask"][row].tolist() == [1] * S + [0] * (arrays["input_ids"].shape[1] - S)


def test_targets_begin_as_the_model_does(tmp_path):
    model = loaded()
    (example,) = examples_of(model, 1)
    assert not begins_with_bos(model.model, example)
    tensors = {name: np.array(array) for name, array in model.model.state_dict().items()}
    tensors["final_logits_bias"][0, model.tokenizer.bos_token_id] = 50
    model.model.load_state_dict(tensors)
    assert begins_with_bos(model.model, example)


def test_limits_are_those_of_the_model():
    model = loaded()
    for most in (2, 1025, -1):
        with pytest.raises(
            InputError, match=f"max_source_tokens is {most:,}: it must be from 3 to the 1,024 positions"
        ):
            reader_for(model, most, None)


@given(count=st.integers(1, 30), batch=st.integers(1, 7), accumulate=st.integers(1, 4), done=st.integers(0, 40))
def test_an_epoch_has_each_example_once_and_any_step_is_found_again(count, batch, accumulate, done):
    order = Order(count, batch, accumulate, seed=5)
    for epoch in range(2):
        steps = order.steps(epoch)
        batches = [batch for step in steps for batch in step]
        assert sorted(i for batch in batches for i in batch) == list(range(count))
        assert all(len(step) == accumulate for step in steps[:-1]) and 0 < len(steps[-1]) <= accumulate
        assert all(len(one) == batch for one in batches[:-1]) and 0 < len(batches[-1]) <= batch
    whole = list(itertools.islice(order.after(0), done + 5))
    assert [number for number, _ in whole] == list(range(done + 5))
    assert list(itertools.islice(order.after(done), 5)) == whole[done:]


def test_the_order_differs_from_epoch_to_epoch_and_with_the_seed():
    orders = [Order(30, 30, 1, seed).steps(epoch)[0][0] for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple(order) for order in orders}) == 3


# 3. What a step takes


def test_what_keeps_less_takes_longer():
    model = loaded()
    examples, order = examples_of(model, 9), Order(9, 2, 2, 0)
    trained = trained_names(model.model, "all")
    costs = {p: forecast_training(model.model, trained, order, examples, p, TYPICAL) for p in POLICIES}
    assert costs["keep"].seconds < costs["selective"].seconds < costs["recompute"].seconds
    part = trained_names(model.model, "decoder")
    decoder = forecast_training(model.model, part, order, examples, "keep", TYPICAL)
    assert decoder.seconds < costs["keep"].seconds / 1.5 and decoder.bytes < costs["keep"].bytes


@pytest.mark.parametrize("policy", POLICIES)
def test_the_forecast_of_memory_is_the_measured_peak(policy):
    """In GB, of two steps of a process each, on 4,096 and on 16,384 tokens to 512, with weights mapped from a file."""
    measured = {"keep": (3.70, 7.0), "selective": (3.38, 4.5), "recompute": (3.39, 3.5)}
    config = pyled.LEDConfig(encoder_layers=6, decoder_layers=6, d_model=768, encoder_attention_heads=12,
                             decoder_attention_heads=12, encoder_ffn_dim=3072, decoder_ffn_dim=3072)  # fmt: skip
    count = weight_count(config)
    sizes = {"size": 4, "weights": count, "trained": count, "trains_encoder": True}
    for S, peak in zip((4096, 16384), measured[policy], strict=True):
        memory = forecast(config, [[(S, 512)]], policy, TYPICAL, **sizes).memory
        assert sum(memory.values()) / 1e9 == pytest.approx(peak, rel=0.05), memory


def test_the_fastest_policy_that_fits_is_chosen(monkeypatch):
    from pyled.training import forecast

    costs = {p: forecast.Forecast(1.0, {"all": size}) for p, size in zip(POLICIES, (90, 60, 30), strict=True)}
    for memory, policy in ((120, "keep"), (112, "selective"), (74, "recompute"), (10, "recompute")):
        monkeypatch.setattr(forecast, "physical_memory", lambda memory=memory: memory)
        assert choose(costs) == policy


# 4. The loop


def training(folder, model=None, watch=None, validation=False, count=7, **settings):
    """A training of the tiny model, at a rate at which a few steps change it."""
    model = model or loaded()
    held_out = Validation(examples_of(model, 2, 1), pairs(2, 1), reader_for(model, None, None)) if validation else None
    options = Settings(
        **{"batch": 2, "accumulate": 2, "lr": 1e-2, "warmup": 1, "steps": 5, "seed": 3, "train": PART, **settings}
    )
    return Training(model, examples_of(model, count), options, folder, held_out, watch)


def log_of(folder):
    return [json.loads(line) for line in (folder / state.LOG).read_text(encoding="utf-8").splitlines()]


def stop_after(step):
    def check(report):
        if report.step == step:
            raise KeyboardInterrupt

    return Watch(step=check)


@pytest.mark.parametrize("validation", [False, True])
def test_a_training_that_was_stopped_goes_on_with_the_same_bits(tmp_path, validation, monkeypatch):
    monkeypatch.setattr(loop, "rouge_scores", lambda *_: {"rouge1": 0.5})
    whole = training(tmp_path / "whole", validation=validation)
    assert not whole.resume()
    whole.run(1e9)
    first = training(tmp_path / "parts", watch=stop_after(2), validation=validation)
    first.resume()
    with pytest.raises(KeyboardInterrupt):
        first.run(0.0)
    first.save()
    assert (tmp_path / "parts" / state.STATE).exists()
    second = training(tmp_path / "parts", watch=stop_after(4), validation=validation)
    assert second.resume() and second.place.step == 2
    with pytest.raises(KeyboardInterrupt):
        second.run(0.0)  # a kill: what came behind the last state is lost
    third = training(tmp_path / "parts", validation=validation)
    assert third.resume() and third.place.step == 3
    third.run(1e9)
    assert log_of(tmp_path / "parts") == log_of(tmp_path / "whole") == third.place.log
    assert [record["step"] for record in third.place.log if "loss" in record] == [1, 2, 3, 4, 5]
    same = (tmp_path / "parts" / "model.safetensors").read_bytes()
    assert same == (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert same != (TINY / "model.safetensors").read_bytes()
    assert not (tmp_path / "parts" / state.STATE).exists()


def test_the_result_is_a_checkpoint_with_the_weights_of_the_model(tmp_path):
    one = training(tmp_path)
    one.resume()
    one.run(1e9)
    result = pyled.LEDForConditionalGeneration.from_pretrained(tmp_path)
    for name, array in one.loaded.model.state_dict().items():
        assert np.array_equal(result.state_dict()[name], array)
    assert pyled.summarize("The keeper lit the lamp.", tmp_path, max_length=5).text
    assert pyled.LEDTokenizer.from_pretrained(tmp_path).get_vocab() == one.loaded.tokenizer.get_vocab()


def test_the_best_of_all_validations_is_the_result(tmp_path, monkeypatch):
    losses, seen = iter([3.0, 1.0, 2.0]), []
    monkeypatch.setattr(loop, "mean_loss", lambda *_: seen.append(1) or next(losses))
    weights = {}
    notes = []
    watch = Watch(note=notes.append)
    one = training(tmp_path, watch=watch, validation=True, validate=2)
    monkeypatch.setattr(
        loop,
        "rouge_scores",
        lambda *_: weights.update({one.place.step: one.loaded.model.state_dict()[CHANGED].copy()}) or {"rouge1": 0.5},
    )
    one.resume()
    one.run(1e9)
    assert sorted(weights) == [2, 4, 5] and len(seen) == 3
    assert notes == [
        "step 2: validation loss 3.0000, rouge1 0.500, the best so far",
        "step 4: validation loss 1.0000, rouge1 0.500, the best so far",
        "step 5: validation loss 2.0000, rouge1 0.500",
    ]
    result = pyled.LEDForConditionalGeneration.from_pretrained(tmp_path).state_dict()[CHANGED]
    assert np.array_equal(result, weights[4]) and not np.array_equal(result, weights[5])


def test_a_validation_has_the_mean_loss_of_all_labels_and_rouge_of_the_summaries():
    from pyled.evaluation import rouge

    model = loaded()
    examples, texts = examples_of(model, 3), pairs(3)
    arrays = batch_arrays(examples, 1)
    whole = float(model.model(**arrays).loss)
    assert np.isclose(loop.mean_loss(model, examples, 2), whole, rtol=1e-6)
    held_out = Validation(examples, texts, reader_for(model, 6, "none"))
    own = pyled.Summarizer(model, too_long="truncate", global_attention="none")
    cut = [model.tokenizer.decode(example.source[1:5]) for example in examples]
    summaries = [own(model.tokenizer.decode(model.tokenizer(pair.document).input_ids[1:5])).text for pair in texts]
    scores = [rouge.scorer()(pair.reference, text)["rouge1"][2] for pair, text in zip(texts, summaries, strict=True)]
    assert loop.rouge_scores(model, held_out)["rouge1"] == pytest.approx(np.mean(scores)) and cut


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lr": 2e-2}, "lr=0.01, not 0.02"),
        ({"steps": 6, "seed": 4}, "steps=5, not 6, seed=3, not 4"),
        ({"count": 6}, "other examples"),
        ({"validation": True}, "another validation"),
        ({"model": {"dtype": "float64"}}, "dtype='float32', not 'float64'"),
    ],
)
def test_the_state_of_another_training_is_refused_with_what_differs(tmp_path, change, said):
    first = training(tmp_path, watch=stop_after(2))
    first.resume()
    with pytest.raises(KeyboardInterrupt):
        first.run(0.0)
    before = (tmp_path / state.STATE).read_bytes()
    model = loaded(**change.pop("model", {}))
    other = training(tmp_path, model=model, **change)
    weights = {name: np.array(array) for name, array in model.model.state_dict().items()}
    with pytest.raises(InputError, match=f"training.state is of a training with .*{said}.*: go on with the same, pass"):
        other.resume()
    for name, array in model.model.state_dict().items():
        assert np.array_equal(array, weights[name])
    assert (tmp_path / state.STATE).read_bytes() == before


def test_a_damaged_state_is_told(tmp_path):
    (tmp_path / state.STATE).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"training\.state"):
        training(tmp_path).resume()
    (tmp_path / state.STATE).write_bytes((TINY / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"training\.state: holds no state of this version of pyled"):
        training(tmp_path).resume()


@pytest.mark.parametrize("which", ["loss", "gradients"])
def test_what_is_no_number_changes_no_weight(tmp_path, monkeypatch, which):
    one = training(tmp_path)
    one.resume()
    computed = one._gradients

    def broken(step, batches):
        loss, gradients = computed(step, batches)
        if step == 2 and which == "gradients":
            next(iter(gradients.values())).reshape(-1)[0] = math.inf
        return (math.nan if step == 2 and which == "loss" else loss), gradients

    monkeypatch.setattr(one, "_gradients", broken)
    weights = {}
    one.watch = Watch(step=lambda report: weights.update(one.loaded.model.state_dict()))
    with (
        warnings.catch_warnings(),
        pytest.raises(DivergedError, match=r"step 3: the loss is .*, of 'a: line .*: lower the learning rate"),
    ):
        warnings.simplefilter("ignore")
        one.run(1e9)
    assert one.place.step == 2 and one.save() and state.read_state(tmp_path, one.identity, one.optimizer).step == 2
    assert all(np.isfinite(array).all() for array in one.loaded.model.state_dict().values())


def test_a_full_disk_is_told_and_loses_nothing(tmp_path, monkeypatch):
    whole = training(tmp_path / "whole")
    whole.resume()
    whole.run(1e9)
    problems = []
    one = training(tmp_path / "full", watch=Watch(problem=problems.append))
    one.resume()
    written, calls = loop.write_state, iter(range(99))

    def full(folder, place, optimizer):
        if 0 < next(calls) < 3:
            raise OSError(28, "No space left on device", str(folder / state.STATE))
        written(folder, place, optimizer)

    monkeypatch.setattr(loop, "write_state", full)
    one.run(0.0)
    assert problems == [f"{tmp_path}/full/training.state: cannot be written: No space left on device"] * 2
    assert log_of(tmp_path / "full") == log_of(tmp_path / "whole")


def test_a_step_of_several_batches_is_that_of_one(tmp_path):
    """Weighted by the tokens of each: a mean over batches would be another one."""
    for name, settings in {"one": {"batch": 4, "accumulate": 1}, "several": {"batch": 1, "accumulate": 4}}.items():
        one = training(tmp_path / name, model=loaded(dtype="float64"), **settings)
        one.resume()
        one.run(1e9)
    logs = [log_of(tmp_path / name) for name in ("one", "several")]
    for first, second in zip(*logs, strict=True):
        assert first["loss"] == pytest.approx(second["loss"], rel=1e-10)
        assert first["norm"] == pytest.approx(second["norm"], rel=1e-9)


def test_gradients_of_tied_names_are_added_once():
    shared, more = np.ones(3), np.full(3, 2.0)
    total = {"a": shared, "b": shared}
    add_gradients(total, {"a": more, "b": more, "c": np.ones(2)})
    assert total["a"] is total["b"] and total["a"].tolist() == [3, 3, 3] and total["c"].tolist() == [1, 1]


def test_which_weights_are_trained(tmp_path):
    model = loaded().model
    every = {name for names, _ in shared_weights(model) for name in names}
    assert trained_names(model, "all") == every == model.state_dict().keys() - {"final_logits_bias"}
    of_decoder = {name for name in every if name.startswith("led.decoder.") and "embed_tokens" not in name}
    assert trained_names(model, "decoder") == of_decoder
    assert trained_names(model, "led.shared.*") == {
        name for name in every if "embed_tokens" in name or "lm_head" in name or "shared" in name
    }
    with pytest.raises(InputError, match="train is 'fc1': this model has no weight of such a name"):
        trained_names(model, "fc1")
    before = {name: np.array(array) for name, array in model.state_dict().items()}
    one = training(tmp_path, train="decoder")
    one.resume()
    one.run(1e9)
    after = one.loaded.model.state_dict()
    assert {name for name in before if not np.array_equal(before[name], after[name])} == of_decoder


def test_a_model_without_weights_is_drawn_with_the_seed(tmp_path):
    directory = changed(tmp_path / "new", generation={})
    (directory / "model.safetensors").unlink()
    model, is_new = starting_model(str(directory), None, seed=4)
    expected = pyled.LEDForConditionalGeneration(pyled.LEDConfig.from_pretrained(TINY), seed=4).state_dict()
    assert is_new and all(np.array_equal(array, expected[name]) for name, array in model.model.state_dict().items())
    assert model.model.generation_config.num_beams == 4 and not starting_model(str(TINY), None)[1]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"batch": 0}, "batch is 0: it must be an integer of at least 1"),
        ({"warmup": -1}, "warmup is -1"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0: a number of at least 0 and below 1"),
        ({"schedule": "flat"}, "schedule is 'flat': it must be 'linear' or 'cosine' or 'constant'"),
    ],
)
def test_wrong_settings(settings, said):
    with pytest.raises(InputError, match=said):
        Settings(**settings)
