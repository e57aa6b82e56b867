"""Sampling, stop strings and streams: the reference's answers in golden/sampling.json, definitions, frequencies."""

import itertools
import json
import math
import runpy
import threading
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from checkpoints import TINY, changed
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from test_generation_search import Still, always, plug_ins, run

import pyled
from pyled.errors import GenerationError, InputError
from pyled.generation import generate, resolve, rules, search, warpers
from pyled.generation.draws import Draws
from pyled.generation.scores import best
from pyled.generation.stop_strings import StopStrings
from pyled.generation_config import GenerationConfig
from pyled.tokenizer.bytelevel import bytes_of_token

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "sampling.json").read_text(encoding="utf-8"))
STEPS = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "golden" / "generation_steps.py")))
IDS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
TEXT = "The keeper wrote it down."
FEW = {"max_length": 8, "num_beams": 1}

many = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)


# Rules


def golden_scores(table):
    scores = STEPS.logits(table["step"], np.array(table["seeds"]), np.array(table["ids"])) - np.float32(table["shift"])
    scores[:, table["forbidden"]] = -np.inf
    return scores


@pytest.mark.parametrize("row", GOLDEN["exact"]["rows"], ids=lambda row: row["name"])
def test_a_probability_that_equals_a_bound_is_in_or_out_as_in_the_reference(row):
    after = getattr(warpers, row["name"])(np.array([[2]]), np.float32([GOLDEN["exact"]["scores"]]), **row["arguments"])
    assert np.array_equal(after, np.float32([[-np.inf if v is None else v for v in row["after"][0]]]))


@pytest.mark.parametrize("row", GOLDEN["warpers"]["rows"], ids=lambda row: f"{row['name']} {row['arguments']}")
def test_a_rule_of_sampling_does_what_the_reference_does(row):
    scores = golden_scores(GOLDEN["warpers"])
    before = scores.copy()
    scores.flags.writeable = False
    with np.errstate(invalid="ignore"):
        after = getattr(warpers, row["name"])(np.array(GOLDEN["warpers"]["ids"]), scores, **row["arguments"])
    expected = np.array([[-np.inf if v is None else v for v in values] for values in row["after"]], np.float32)
    assert after.dtype == np.float32 and np.array_equal(after, expected) and np.array_equal(scores, before)


def asked_for(**call):
    settings, _ = resolve({**IDS, **call}, None, GenerationConfig(), batch_size=1, vocab_size=50, positions=100)
    return [(rule.func.__name__, rule.keywords) for rule in rules.rules_for(settings, None, None, [lambda i, s: s])]


def test_the_order_is_the_references_and_beams_keep_a_token_that_goes_on():
    everything = {"eta_cutoff": 0.1, "epsilon_cutoff": 0.1, "typical_p": 0.9, "min_p": 0.1, "top_p": 0.9, "top_k": 7,
                  "top_h": 0.5, "temperature": 0.7, "renormalize_logits": True, "suppress_tokens": [7]}  # fmt: skip
    order = ["suppress_tokens", "users_rule", "temperature", "top_h", "top_k", "top_p", "min_p", "typical_p",
             "epsilon_cutoff", "eta_cutoff", "renormalize"]  # fmt: skip  # facts 5.2; top_h read in 5.23.0
    assert [name for name, _ in asked_for(do_sample=True, **everything)] == order
    assert [name for name, _ in asked_for(**everything)] == ["suppress_tokens", "users_rule", "renormalize"]
    assert asked_for(do_sample=True)[1:] == [("top_k", {"k": 50, "keep": 1})]
    assert asked_for(do_sample=True, top_k=None)[1:] == asked_for(do_sample=True, top_k=0)[1:] == []
    for ends, keep in ((2, 2), ([2, 5, 9], 4), (None, 2)):
        assert asked_for(do_sample=True, num_beams=2, eos_token_id=ends)[1:] == [("top_k", {"k": 50, "keep": keep})]


# Draws


def chi_square(observed, expected):
    """Pearson's statistic and a bound that it passes with a probability below 1e-6 (Laurent and Massart, 2000).

    P(X >= k + 2 sqrt(k x) + 2 x) <= exp(-x) for X with k degrees of freedom; cells that expect fewer than 10 are one.
    """
    observed, expected = np.asarray(observed, float), np.asarray(expected, float)
    rare = expected < 10
    observed = np.append(observed[~rare], observed[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    there = expected > 0
    assert not observed[~there].any()
    k, x = there.sum() - 1, math.log(1e6)
    return float(((observed - expected)[there] ** 2 / expected[there]).sum()), k + 2 * math.sqrt(k * x) + 2 * x


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_sequences_are_drawn_by_their_probabilities(temperature):
    """Exact enumeration, of three tokens at most and six words, of which 2 ends."""
    step = {"kind": "soft", "vocab": 6, "memory": 0, "spread": 3, "seeds": [3], "eos": [2], "eos_bonus": 0}
    call = {**IDS, "do_sample": True, "seed": 1, "top_k": 0, "temperature": temperature, "max_new_tokens": 3}
    drawn = 6_000
    _, output = run(step, {**call, "num_return_sequences": drawn}, encoder_ids=[[4, 5]])
    probabilities = Counter()

    def go_on(ids, probability):
        if len(ids) == 4 or ids[1:].count(2):
            probabilities[(*ids, *[1] * (4 - len(ids)))] += probability
            return
        logits = STEPS.logits(step, np.array([3]), np.array([ids]))[0].astype(np.float64) / temperature
        for token, share in enumerate(np.exp(logits) / np.exp(logits).sum()):
            go_on([*ids, token], probability * share)

    go_on([2], 1.0)
    counts = Counter(map(tuple, output.sequences.tolist()))
    assert counts.keys() <= probabilities.keys()
    statistic, bound = chi_square([counts[row] for row in probabilities], [drawn * p for p in probabilities.values()])
    assert statistic < bound


def test_several_are_drawn_without_replacement_in_order():
    scores = np.float32([1.5, -np.inf, 0, 0.25, -1])
    probs, drawn = np.exp(scores.astype(float)), 6_000
    draws = Draws.of(5, [np.array([1])], drawn)
    counts = Counter(map(tuple, draws(np.tile(scores, (drawn, 1)), 3).tolist()))
    expected = {}
    for a, b, c in itertools.permutations([0, 2, 3, 4], 3):
        left = probs.sum()
        expected[a, b, c] = drawn * probs[a] / left * probs[b] / (left - probs[a])
        expected[a, b, c] *= probs[c] / (left - probs[a] - probs[b])
    assert counts.keys() <= expected.keys()
    statistic, bound = chi_square([counts[row] for row in expected], list(expected.values()))
    assert statistic < bound
    assert Draws.of(5, [[]], 1)(np.float32([[-np.inf, 3, -np.inf]]), 3).tolist() == [[1, 0, 2]]  # never in between


@pytest.mark.parametrize("case", GOLDEN["counts"], ids=lambda case: json.dumps(case["settings"])[70:])
def test_results_come_as_often_as_in_the_reference(case):
    """Sampling and beam sampling; both drew 6,000 times, so the expected count is the mean of both."""
    drawn = sum(case["times"])
    step = {**case["step"], "seeds": case["step"]["seeds"] * drawn}
    _, output = run(step, {**case["settings"], "seed": 3}, encoder_ids=np.arange(drawn)[:, None].tolist())
    ours, theirs = Counter(map(tuple, output.sequences.tolist())), Counter()
    theirs.update({tuple(row): times for row, times in zip(case["rows"], case["times"], strict=True)})
    rows = sorted(ours | theirs)
    mean = np.array([(ours[row] + theirs[row]) / 2 for row in rows])
    statistic, bound = chi_square([ours[row] for row in rows], mean)
    assert 2 * statistic < bound  # of two samples


@pytest.mark.parametrize("number", range(len(GOLDEN["searches"])))
def test_with_the_same_draws_the_search_gives_what_the_reference_gives(number, monkeypatch):
    case, expected = GOLDEN["searches"][number], GOLDEN["searches"][number]["expected"]
    monkeypatch.setattr(
        Draws, "__call__", lambda self, scores, count: best(scores + STEPS.noise(scores.shape[1]), count)
    )
    _, output = run(case["step"], case["settings"], case["encoder_ids"], case.get("prompt"), **plug_ins(case))
    assert output.sequences.tolist() == expected["sequences"] and len(output.scores) == expected["steps"]
    if "beam_indices" in expected:
        assert output.beam_indices.tolist() == expected["beam_indices"]
        np.testing.assert_allclose(
            output.sequences_scores, np.float32(expected["sequences_scores"]), rtol=2e-6, atol=1e-5
        )


def test_the_goldens_reach_what_they_should():
    for name in ("temperature", "top_h", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"):
        for is_beam in (False, True):
            cases = [case["settings"] for case in GOLDEN["searches"] if (case["settings"]["num_beams"] > 1) == is_beam]
            assert sum(name in case for case in cases) >= 3, (name, is_beam)
    assert sum(any(case["is_stopped"]) for case in GOLDEN["stop_strings"]) >= 20


# What repeats itself


@pytest.fixture(scope="module")
def model():
    return pyled.LEDForConditionalGeneration.from_pretrained(TINY)


@pytest.fixture(scope="module")
def tokenizer():
    return pyled.LEDTokenizer.from_pretrained(TINY)


@pytest.mark.parametrize("beams", [1, 2])
def test_a_document_is_sampled_alike_alone_and_in_any_batch(model, beams):
    rng = np.random.default_rng(0)
    ids, mask = rng.integers(3, 600, (3, 6)), np.ones((3, 6), int)
    mask[0, 3:] = mask[2, 5:] = 0
    call = {"do_sample": True, "seed": 11, "num_beams": beams, "max_length": 7, "eos_token_id": None}
    together = model.generate(ids, attention_mask=mask, **call)
    for row, real in enumerate(mask.sum(axis=1)):
        alone = model.generate(ids[row : row + 1, :real], attention_mask=mask[row : row + 1, :real], **call)
        assert alone.tolist() == together[row : row + 1].tolist()
    assert len({tuple(row) for row in together.tolist()}) == 3
    assert model.generate(ids, attention_mask=mask, **call | {"seed": 12}).tolist() != together.tolist()
    if beams == 1:
        several = model.generate(ids, attention_mask=mask, num_return_sequences=3, **call)
        assert several[::3].tolist() == together.tolist() and len({tuple(row) for row in several.tolist()}) == 9


def test_documents_of_equal_logits_have_draws_of_their_own():
    call = {**IDS, "do_sample": True, "seed": 1, "top_k": 0, "max_new_tokens": 6, "eos_token_id": None}
    effective, prompt = resolve(call, None, GenerationConfig(), batch_size=3, vocab_size=9, positions=10)
    for more, different in (({"encoder_ids": np.array([[4], [5], [4]])}, 2), ({}, 1)):
        rows = generate(always([0] * 9), Still(), prompt, effective, **more).sequences.tolist()
        assert len(set(map(tuple, rows))) == different and rows[0] == rows[2]


def test_a_seed_that_nobody_states_is_drawn_and_recorded():
    first, second = (resolve({**IDS, "do_sample": True}, None, GenerationConfig(), batch_size=1, vocab_size=9,
                             positions=9)[0] for _ in range(2))  # fmt: skip
    assert first.seed != second.seed and first.origin["seed"] == "default"
    summary = pyled.summarize(TEXT, TINY, do_sample=True, **FEW)
    stated = summary.record()["settings"]["seed"]
    assert stated["origin"] == "pyled" and any(f"seed={stated['value']} for the same" in n for n in summary.notes)
    again = pyled.summarize([TEXT, TEXT + " Twice.", TEXT], TINY, do_sample=True, seed=stated["value"], **FEW)
    assert [again[0].text, again[2].text] == [summary.text] * 2 != [again[1].text] * 2
    assert not any("seed" in note for note in again[0].notes)


def test_a_checkpoint_that_asks_for_sampling_gets_it(tmp_path):
    directory = changed(tmp_path / "led", generation={"do_sample": True, "num_beams": 1, "max_length": 8, "seed": 4})
    assert pyled.summarize(TEXT, directory).text == pyled.summarize(TEXT, TINY, do_sample=True, seed=4, **FEW).text
    assert pyled.summarize(TEXT, directory, do_sample=False).text == pyled.summarize(TEXT, TINY, **FEW).text


@pytest.mark.parametrize("beams", [1, 2])
def test_scores_that_are_none_end_in_an_error_when_sampling_too(beams):
    def step(ids, state):
        values = np.zeros((len(ids), 9), np.float32)
        values[beams:] = np.nan
        return values, state

    def ask(step, **more):
        call = {**IDS, "do_sample": True, "num_beams": beams, "max_new_tokens": 3, **more}
        effective, prompt = resolve(call, None, GenerationConfig(), batch_size=2, vocab_size=9, positions=10)
        return generate(step, Still(), prompt, effective)

    with pytest.raises(GenerationError, match="document 1: scores of token 1 are not numbers"):
        ask(step)
    with pytest.raises(GenerationError, match="document 0: every token is forbidden at position 1"):
        ask(always([0] * 9), suppress_tokens=[*range(9)])


# Where it stops


@pytest.mark.parametrize("case", GOLDEN["stop_strings"], ids=lambda case: json.dumps(case["strings"]))
def test_a_row_stops_at_the_strings_at_which_the_reference_stops(case, tokenizer):
    tokens = [*tokenizer.convert_ids_to_tokens(list(range(600))), " a b"]
    stop = StopStrings(case["strings"], lambda token: bytes_of_token(tokens[token]))
    assert stop(np.array(case["rows"])).tolist() == case["is_stopped"]


@many
@given(st.lists(st.text("ab", max_size=3), min_size=1, max_size=6), st.lists(st.text("ab", min_size=1, max_size=4),
                                                                             min_size=1, max_size=2))  # fmt: skip
def test_a_stop_string_is_its_definition(tokens, strings):
    text, before = "".join(tokens), len("".join(tokens[:-1]))
    ends = {at + len(s) for s in strings for at in range(len(text)) if text.startswith(s, at)}
    stop = StopStrings(strings, lambda token: tokens[token].encode())
    assert stop(np.arange(len(tokens))[None]).tolist() == [any(end > before for end in ends)]


def test_stop_strings_end_generation(model, tokenizer):
    ids = tokenizer(TEXT, return_tensors="np").input_ids
    text = tokenizer.decode(model.generate(ids, **FEW)[0])
    stop = next(text[i : i + 2] for i in range(4, 40) if "\ufffd" not in text[i : i + 2])
    stopped = model.generate(ids, stop_strings=stop, tokenizer=tokenizer, **FEW)[0]
    assert stop in tokenizer.decode(stopped) and stop not in tokenizer.decode(stopped[:-1])
    with pytest.raises(GenerationError, match=r"stop_strings=\['x'\] \(call\) needs the text of the tokens: pass toke"):
        model.generate(ids, stop_strings="x", max_length=5)
    full = pyled.summarize(TEXT, TINY, **FEW).text
    assert pyled.summarize(TEXT, TINY, stop_strings=[full[1:3]], **FEW).text in full
    assert model.generate(ids, tokenizer=tokenizer, stop_strings="\ufffd?", **FEW).shape == (1, 8)


@pytest.mark.parametrize("beams", [1, 2])
def test_the_next_token_is_the_last_when_time_is_up(beams, monkeypatch):
    now = itertools.count()
    monkeypatch.setattr(search.time, "monotonic", lambda: next(now))
    call = {**IDS, "num_beams": beams, "max_new_tokens": 9, "max_time": 2, "eos_token_id": None}
    effective, prompt = resolve(call, None, GenerationConfig(), batch_size=1, vocab_size=9, positions=10)
    assert generate(always(range(9)), Still(), prompt, effective).sequences.shape == (1, 1 + 3)  # at 1, 2 and 3 > 2


# While it is written


@pytest.mark.parametrize("case", GOLDEN["streams"], ids=lambda case: f"{case['ids']} {[*case['keywords']]}"[-60:])
def test_text_comes_in_the_pieces_of_the_reference(case, tokenizer, capsys):
    pieces = []

    class Pieces(pyled.TextStreamer):
        def on_finalized_text(self, text, stream_end=False):
            pieces.append([text, stream_end])

    printer, queue = (one(tokenizer, **case["keywords"]) for one in (pyled.TextStreamer, pyled.TextIteratorStreamer))
    for streamer in (Pieces(tokenizer, **case["keywords"]), printer, queue):
        for _ in range(2):  # it can be used again
            streamer.put(np.array([case["prompt"]]))
            for token in case["ids"]:
                streamer.put(np.array([token]))
            streamer.end()
    assert pieces == case["pieces"] * 2
    text = "".join(text for text, _ in case["pieces"])
    assert capsys.readouterr().out == (text + "\n") * 2 and "".join(queue) == text


@pytest.mark.parametrize("call", [{}, {"do_sample": True, "seed": 5}])
def test_a_streamer_gets_the_prompt_then_each_token(model, tokenizer, call):
    ids, told = tokenizer(TEXT, return_tensors="np").input_ids, []
    streamer = SimpleNamespace(put=lambda ids: told.append(ids.tolist()), end=lambda: told.append("end"))
    row = model.generate(ids, streamer=streamer, **FEW, **call)[0].tolist()
    assert told == [[row[:1]], *[[token] for token in row[1:]], "end"]
    queue = pyled.TextIteratorStreamer(tokenizer, skip_special_tokens=True, timeout=60)
    thread = threading.Thread(target=lambda: model.generate(ids, streamer=queue, **FEW, **call))
    thread.start()
    assert "".join(queue) == tokenizer.decode(row, skip_special_tokens=True)
    thread.join()


def test_a_stream_ends_with_the_generation_that_fails(model, tokenizer):
    def forbid_all_behind_the_second(ids, scores):
        return scores if ids.shape[1] < 3 else np.full_like(scores, -np.inf)

    queue = pyled.TextIteratorStreamer(tokenizer, timeout=60)
    ids = tokenizer(TEXT, return_tensors="np").input_ids
    with pytest.raises(GenerationError, match="every token is forbidden at position 3"):
        model.generate(ids, streamer=queue, logits_processor=[forbid_all_behind_the_second], **FEW)
    assert "".join(queue).startswith("</s>")


def test_what_cannot_be_streamed_is_refused(model, tokenizer):
    streamer, ids = pyled.TextStreamer(tokenizer), [[0, 5, 2]]
    with pytest.raises(GenerationError, match=r"num_beams=4 \(generation_config.json\) leaves nothing to stream"):
        model.generate(ids, streamer=streamer)
    for no_streamer in (3, SimpleNamespace(put=print)):
        with pytest.raises(GenerationError, match=r"streamer is .*: it must have the methods put and end"):
            model.generate(ids, streamer=no_streamer, **FEW)
    streamer.put([5, 6])  # two tokens of one row
    with pytest.raises(InputError, match="a TextStreamer shows one row, and there are 2"):
        model.generate(ids, streamer=streamer, do_sample=True, num_return_sequences=2, **FEW)
    summarizer = pyled.Summarizer(TINY, **FEW)
    with pytest.raises(InputError, match="stream shows the summary of one text"):
        summarizer([TEXT], stream=print)
    with pytest.raises(GenerationError, match="combine='again' leaves nothing to stream"):
        pyled.summarize(TEXT, TINY, too_long="chunk", combine="again", stream=print, **FEW)


@pytest.mark.parametrize("chunks", [{}, {"too_long": "chunk", "chunk_tokens": 16}])
def test_the_pieces_of_a_summary_are_its_text(chunks):
    text, pieces, finished = TEXT * 4, [], {}
    summarizer = pyled.Summarizer(TINY, do_sample=True, seed=2, max_length=9, num_beams=1, **chunks)
    summary = summarizer(text, stream=pieces.append)
    assert "".join(pieces) == summary.text != "" and len(pieces) > 1 and len(summary.chunks) == (5 if chunks else 1)
    summarizer.write(summarizer.read(text), finished=finished)
    pieces.clear()
    summarizer.write(summarizer.read(text), finished=finished, stream=pieces.append)
    assert "".join(pieces) == summary.text
