"""Greedy and beam search: the reference's answers (golden/generation.json), a plain definition, and properties."""

import itertools
import json
import math
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

from pyled.errors import GenerationError
from pyled.generation import GenerateBeamEncoderDecoderOutput, GenerateEncoderDecoderOutput, generate, resolve
from pyled.generation.beam import best
from pyled.generation.drafts import LONGEST, DraftedStep, draft
from pyled.generation_config import GenerationConfig

GOLDEN = Path(__file__).parents[1] / "golden"
STEPS = SimpleNamespace(**runpy.run_path(str(GOLDEN / "generation_steps.py")))
CASES = json.loads((GOLDEN / "generation.json").read_text())["searches"]
IDS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
OUTPUTS = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}

many = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)


def run(step, call, encoder_ids=None, prompt=None, **plugged):
    """pyled's answer for a hash step function: settings, output."""
    documents = len(step["seeds"])
    effective, ids = resolve(
        {**OUTPUTS, **call},
        None,
        GenerationConfig(),
        batch_size=documents,
        vocab_size=step["vocab"],
        positions=1000,
        decoder_input_ids=None if prompt is None else np.array(prompt),
    )
    encoder_ids = None if encoder_ids is None else np.array(encoder_ids)
    start = STEPS.start(step, effective.rows_per_document)
    return effective, generate(STEPS.step_function(step), start, ids, effective, encoder_ids=encoder_ids, **plugged)


def plug_ins(case):
    """The functions that a golden case names by numbers, as golden/generation.py builds them."""
    plugged = {}
    if "allowed_modulus" in case:
        plugged["prefix_allowed_tokens_fn"] = STEPS.allowed_after(case["step"], case["allowed_modulus"])
    if "favoured" in case:
        bonus = np.zeros(case["step"]["vocab"], np.float32)
        bonus[case["favoured"]] = 2.5
        plugged["logits_processor"] = [lambda ids, scores: scores + bonus]
    if "stop_token" in case:
        plugged["stopping_criteria"] = [lambda ids, scores: ids[:, -1] == case["stop_token"]]
    return plugged


# Against the reference


@pytest.mark.parametrize("number", range(len(CASES)))
def test_the_search_finds_what_the_reference_finds(number):
    case, expected = CASES[number], CASES[number]["expected"]
    _, output = run(case["step"], case["settings"], case["encoder_ids"], case.get("prompt"), **plug_ins(case))
    assert output.sequences.tolist() == expected["sequences"]
    assert len(output.scores) == len(output.logits) == expected["steps"]
    exact = case["step"]["kind"] == "exact" and not case["settings"].get("renormalize_logits")
    if "beam_indices" in expected:
        assert isinstance(output, GenerateBeamEncoderDecoderOutput)
        assert output.beam_indices.tolist() == expected["beam_indices"]
        scores = np.array(expected["sequences_scores"], np.float32)
        np.testing.assert_allclose(output.sequences_scores, scores, rtol=0 if exact else 2e-6, atol=0)
    else:
        assert isinstance(output, GenerateEncoderDecoderOutput)
    for ours, theirs in zip(output.scores, expected.get("scores", []), strict=False):
        theirs = np.array([[-np.inf if v is None else v for v in row] for row in theirs], np.float32)
        np.testing.assert_allclose(ours, theirs, rtol=0 if exact else 2e-6, atol=0 if exact else 1e-5)


def test_the_goldens_reach_what_they_should():
    def values(name):
        return {json.dumps(case["settings"].get(name)) for case in CASES}

    assert values("num_beams") == {"1", "2", "3", "4", "5"}
    assert values("early_stopping") >= {"true", "false", '"never"'}
    assert values("length_penalty") >= {"-0.5", "0", "0.8", "1.0", "2.0"}
    assert values("eos_token_id") >= {"2", "[2, 5]", "[2, 5, 9]", "null"}
    assert values("pad_token_id") == {"0", "1", "null"}
    assert {len(case["encoder_ids"]) for case in CASES} == {1, 2, 3}
    assert sum("scores" in case["expected"] for case in CASES) >= 5
    for name in ("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "repetition_penalty", "min_new_tokens",
                 "encoder_repetition_penalty", "min_length", "max_new_tokens", "forced_bos_token_id", "sequence_bias",
                 "forced_eos_token_id", "bad_words_ids", "remove_invalid_values", "renormalize_logits",
                 "begin_suppress_tokens", "suppress_tokens", "exponential_decay_length_penalty"):  # fmt: skip
        assert sum(name in case["settings"] for case in CASES) >= 5, name


# Random settings for the properties


UP_TO_THREE, UP_TO_FOUR, TOKEN = st.integers(1, 3), st.integers(1, 4), st.integers(0, 2)


@st.composite
def cases(draw, beams=UP_TO_FOUR, documents=UP_TO_THREE):
    """(step function, arguments of a call, encoder ids); every document can end from its second token on."""
    vocab = draw(st.sampled_from([6, 9, 17]))
    eos = draw(st.sampled_from([[2], [2, 4]]))
    seeds = draw(st.lists(st.integers(0, 2**31), min_size=1, max_size=3, unique=True))[: draw(documents)]
    step = {"kind": "soft", "vocab": vocab, "memory": draw(st.integers(0, 2)), "spread": 5, "seeds": seeds,
            "eos": eos, "eos_bonus": draw(st.sampled_from([-1, 0, 2]))}  # fmt: skip
    n = draw(beams)
    call = {**IDS, "eos_token_id": eos, "num_beams": n, "max_new_tokens": draw(st.integers(2, 9))}
    if n > 1:
        call["num_return_sequences"] = draw(st.integers(1, n))
        call["early_stopping"] = draw(st.sampled_from([True, False, "never"]))
        call["length_penalty"] = draw(st.sampled_from([-1.0, 0.0, 1.0, 2.0]))
    call |= draw(st.fixed_dictionaries({}, optional={
        "no_repeat_ngram_size": st.integers(2, 3),
        "encoder_no_repeat_ngram_size": st.integers(2, 3),
        "repetition_penalty": st.sampled_from([0.7, 1.5]),
        "min_length": st.integers(1, 6),
    }))  # fmt: skip
    encoder_ids = [[(seed >> shift) % vocab for shift in range(8)] for seed in seeds]
    return step, call, encoder_ids


def real_rows(output):
    """The rows that are hypotheses: where fewer were found than asked for, the rest scores about -1e9."""
    scores = getattr(output, "sequences_scores", None)
    return range(len(output.sequences)) if scores is None else np.flatnonzero(scores > -1e8).tolist()


def generated(row, prompt_length, eos, limit):
    """The generated ids of a sequence up to its end of sequence, included."""
    ids = row[prompt_length:].tolist()
    ends = [i for i, token in enumerate(ids) if token in eos]
    return ids[: ends[0] + 1] if ends else ids[:limit]


@many
@given(cases())
def test_lengths_are_obeyed_and_after_the_end_only_padding(case):
    step, call, encoder_ids = case
    effective, output = run(step, call, encoder_ids)
    assert output.sequences.shape[1] <= effective.max_length
    for row in real_rows(output):
        ids = output.sequences[row]
        tokens = generated(ids, 1, call["eos_token_id"], call["max_new_tokens"])
        assert ids[0] == 2 and set(ids[1 + len(tokens) :].tolist()) <= {1}
        if tokens[-1] in call["eos_token_id"]:
            assert len(tokens) >= effective.min_length  # with the prompt there were that many before the end
        else:
            assert 1 + len(tokens) == effective.max_length


@many
@given(cases())
def test_no_ngram_repeats(case):
    step, call, encoder_ids = case
    n, m = call.get("no_repeat_ngram_size"), call.get("encoder_no_repeat_ngram_size")
    _, output = run(step, call, encoder_ids)
    returned = call.get("num_return_sequences", 1)
    for row in real_rows(output):
        ids = [2, *generated(output.sequences[row], 1, call["eos_token_id"], call["max_new_tokens"])]
        if n:
            ngrams = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
            assert len(set(ngrams)) == len(ngrams)
        if m:
            source = encoder_ids[row // returned]
            sources = {tuple(source[i : i + m]) for i in range(len(source) - m + 1)}
            assert not sources & {tuple(ids[i : i + m]) for i in range(len(ids) - m + 1)}


@many
@given(cases(documents=st.just(3)))
def test_a_document_gets_the_same_alone_as_in_a_batch(case):
    step, call, encoder_ids = case
    _, together = run(step, call, encoder_ids)
    beams, returned = call["num_beams"], call.get("num_return_sequences", 1)
    for document, seed in enumerate(step["seeds"]):
        _, alone = run({**step, "seeds": [seed]}, call, encoder_ids[document : document + 1])
        width = alone.sequences.shape[1]
        rows = slice(document * returned, (document + 1) * returned)
        assert together.sequences[rows, :width].tolist() == alone.sequences.tolist()
        assert set(together.sequences[rows, width:].ravel().tolist()) <= {1}
        for step_together, step_alone in zip(together.scores, alone.scores, strict=False):
            assert np.array_equal(step_together[document * beams : (document + 1) * beams], step_alone)
        if beams > 1:
            assert together.sequences_scores[rows].tolist() == alone.sequences_scores.tolist()


@many
@given(cases(beams=st.integers(2, 4)))
def test_fewer_returned_sequences_are_the_first_of_more(case):
    step, call, encoder_ids = case
    n = call["num_beams"]
    _, every = run(step, {**call, "num_return_sequences": n}, encoder_ids)
    for fewer in range(1, n):
        _, some = run(step, {**call, "num_return_sequences": fewer}, encoder_ids)
        width = some.sequences.shape[1]
        first = [row for row in range(len(every.sequences)) if row % n < fewer]
        assert every.sequences[first, :width].tolist() == some.sequences.tolist()
        assert every.sequences_scores[first].tolist() == some.sequences_scores.tolist()
    scores = every.sequences_scores.reshape(-1, n)
    assert (scores[:, :-1] >= scores[:, 1:]).all()


@many
@given(cases(beams=st.integers(2, 4)))
def test_beam_indices_lead_to_the_scores_of_the_sequences(case):
    step, call, encoder_ids = case
    _, output = run(step, call, encoder_ids)
    for row in real_rows(output):
        total, length = 0.0, 0
        for position, beam in enumerate(output.beam_indices[row]):
            if beam >= 0:
                total += float(output.scores[position][beam, output.sequences[row, 1 + position]])
                length += 1
        assert length == len(generated(output.sequences[row], 1, call["eos_token_id"], call["max_new_tokens"]))
        expected = total / length ** call["length_penalty"]
        assert math.isclose(output.sequences_scores[row], expected, rel_tol=1e-5, abs_tol=1e-5)


def plain_greedy(step, seed, steps):
    ids = [2]
    while len(ids) <= steps:
        row = STEPS.logits(step, np.array([seed]), np.array([ids]))[0]
        ids.append(int(np.flatnonzero(row == row.max())[0]))
        if ids[-1] in step["eos"]:
            break
    return ids


@many
@given(cases(beams=st.just(1)))
def test_greedy_without_rules_takes_the_best_token_each_time(case):
    step, call, _ = case
    plain = {name: call[name] for name in (*IDS, "num_beams", "max_new_tokens")}
    _, output = run(step, plain)
    expected = [plain_greedy(step, seed, call["max_new_tokens"]) for seed in step["seeds"]]
    width = max(len(ids) for ids in expected)
    assert output.sequences.tolist() == [ids + [1] * (width - len(ids)) for ids in expected]


class Past(STEPS.HashState):
    def cut(self, length):
        return Past(self.seeds, self.ids[:, :length])


@many
@given(cases(beams=st.just(1), documents=st.just(1)), st.lists(st.integers(0, 5), max_size=9), st.integers(0, 9))
def test_drafts_change_no_result(case, others, copied):
    """The source holds what will be written, with other tokens in between."""
    step, call, encoder_ids = case
    effective, plain = run(step, call, encoder_ids)

    def steps(ids, past, count):
        P, T = 0 if past.ids is None else past.ids.shape[1], ids.shape[1]
        assert P < T < effective.max_length and np.array_equal(ids[:, :P], [[]] if past.ids is None else past.ids)
        logits = [STEPS.logits(step, past.seeds, ids[:, :length]) for length in range(T - count + 1, T + 1)]
        return np.stack(logits, axis=1), Past(past.seeds, ids)

    written = plain.sequences[0, 1:].tolist()
    drafted_step = DraftedStep(
        steps, np.array([*others, *written[:copied], *others, *written[copied:]]), effective.max_length
    )
    ids, past = np.array(encoder_ids), Past(np.array(step["seeds"]))
    drafted = generate(drafted_step, past, plain.sequences[:, :1], effective, encoder_ids=ids)
    assert drafted.sequences.tolist() == plain.sequences.tolist()
    for ours, theirs in zip((*drafted.scores, *drafted.logits), (*plain.scores, *plain.logits), strict=True):
        assert np.array_equal(ours, theirs)
    assert drafted.past_key_values.ids.tolist() == plain.sequences[:, :-1].tolist()


@pytest.mark.parametrize(("length", "counts"), [(9, [1, 4, 3]), (10, [1, 4, 4]), (11, [1, 4, 4, 1])])
def test_a_draft_saves_steps_up_to_the_length_limit(length, counts):
    """Each token is followed by the next higher one, in the source, too."""
    calls = []

    def steps(ids, past, count):
        calls.append(count)
        return np.eye(20, k=1, dtype=np.float32)[ids[:, -count:]], Past(past.seeds, ids)

    effective, prompt = resolve({**IDS, "max_length": length, "eos_token_id": None}, None, GenerationConfig(),
                                batch_size=1, vocab_size=20, positions=20)  # fmt: skip
    result = generate(DraftedStep(steps, np.arange(20), length), Past(np.zeros(1)), prompt, effective)
    assert result.sequences.tolist() == [list(range(2, 2 + length))]
    assert calls == counts


@many
@given(st.lists(TOKEN, max_size=12), st.lists(TOKEN, min_size=1, max_size=6), st.integers(1, 4))
def test_a_draft_follows_the_place_that_shares_most_tokens(source, ids, size):
    def shared(place):
        pairs = zip(source[place::-1], ids[: -1 - LONGEST : -1], strict=False)
        return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))

    places = [place for place in range(len(source) - 1) if shared(place)]
    best_place = max(places, key=shared, default=0)
    is_sure = len(places) == 1 or (places and shared(best_place) > 1)
    expected = source[best_place + 1 :][:size] if is_sure else []
    assert draft(np.array(source, np.int64), np.array(ids), size).tolist() == expected


def continuations(step, seed, ids, steps):
    """Every way to the end of sequence or the limit, with the sum of its log-probabilities, in float64."""
    if len(ids) > steps or (len(ids) > 1 and ids[-1] in step["eos"]):
        return [(0.0, ids)]
    row = STEPS.logits(step, np.array([seed]), np.array([ids]))[0].astype(np.float64)
    row -= math.log(np.exp(row).sum())
    ways = []
    for token, log_probability in enumerate(row):
        ways += [(log_probability + rest, way) for rest, way in continuations(step, seed, [*ids, token], steps)]
    return ways


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 1.0, 3.0])
def test_beams_as_many_as_there_are_ways_find_the_best_of_all(seed, length_penalty):
    step = {"kind": "soft", "vocab": 4, "memory": 0, "spread": 4, "seeds": [seed], "eos": [2], "eos_bonus": 0}
    call = {**IDS, "num_beams": 40, "max_new_tokens": 3, "length_penalty": length_penalty, "early_stopping": "never",
            "num_return_sequences": 5}  # fmt: skip
    _, output = run(step, call)
    ways = [(total / (len(ids) - 1) ** length_penalty, ids) for total, ids in continuations(step, seed, [2], 3)]
    ways.sort(reverse=True)
    for (score, ids), row, returned in zip(ways, output.sequences.tolist(), output.sequences_scores, strict=False):
        assert row == ids + [1] * (len(row) - len(ids))
        assert math.isclose(score, returned, rel_tol=1e-5)


# The pieces


@many
@given(st.integers(1, 6), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_best_is_a_stable_sort(count, kinds, seed):
    rng = np.random.default_rng(seed)
    size = rng.choice([count, 40, 1023, 1024, 3000])
    values = rng.integers(0, 2 + 10**kinds, (2, size)).astype(np.float32)  # ties, from everywhere to hardly any
    values[rng.random(values.shape) < 0.3] = -np.inf
    expected = [sorted(range(size), key=lambda i, row=row: (-row[i], i))[:count] for row in values]
    assert best(values, count).tolist() == expected


def test_best_of_more_than_there_are_groups():
    values = np.random.default_rng(0).permutation(3000).astype(np.float32)
    assert values[best(values[None], 300)[0]].tolist() == list(range(2999, 2699, -1))


class Still:
    """A state of nothing."""

    def select(self, rows):
        return self


def always(scores):
    """The step function whose logits are these, whatever came before."""
    return lambda ids, state: (np.tile(np.float32(scores), (len(ids), 1)), state)


@pytest.mark.parametrize(("ends", "by_criterion"), [([2, 5], False), (None, True), ([2], False)])
def test_among_the_candidates_there_are_enough_that_go_on(ends, by_criterion):
    """Two beams, two ends better than all else, and a reward for length: the ends must not use up all candidates.

    The best are 7, 7 and an end, and then 7, 8 and an end (of equal scores the lowest token comes first).
    """
    scores = [-10, -10, 3, -10, -10, 2.9 if ends == [2, 5] else -10, -10, 2.5, 2.5]
    call = {**IDS, "eos_token_id": ends, "num_beams": 2, "num_return_sequences": 2, "max_new_tokens": 3}
    call |= {"early_stopping": "never", "length_penalty": 4.0}
    effective, prompt = resolve(call, None, GenerationConfig(), batch_size=1, vocab_size=9, positions=10)
    criteria = [lambda ids, scores: ids[:, -1] == 2] if by_criterion else []
    output = generate(always(scores), Still(), prompt, effective, stopping_criteria=criteria)
    assert output.sequences.tolist() == [[2, 7, 7, 2], [2, 7, 8, 2]]


def test_of_equal_tokens_the_lowest_comes_first():
    for beams, expected in ((1, [[2, 0, 0, 0]]), (2, [[2, 0, 0, 0], [2, 0, 0, 1]])):
        call = {**IDS, "eos_token_id": None, "max_new_tokens": 3, "num_beams": beams, "num_return_sequences": beams}
        effective, prompt = resolve(call, None, GenerationConfig(), batch_size=1, vocab_size=7, positions=10)
        assert generate(always([0] * 7), Still(), prompt, effective).sequences.tolist() == expected


EASY = {"kind": "soft", "vocab": 9, "memory": 0, "spread": 5, "seeds": [5, 6], "eos": [2], "eos_bonus": 0}


@pytest.mark.parametrize("beams", [1, 3])
def test_the_output_has_hugging_faces_fields(beams):
    call = {**IDS, "num_beams": beams, "max_new_tokens": 4}
    _, output = run(EASY, call)
    assert output.sequences.dtype == np.int64
    assert {array.dtype for array in (*output.scores, *output.logits)} == {np.dtype(np.float32)}
    assert {array.shape for array in (*output.scores, *output.logits)} == {(2 * beams, 9)}
    if beams > 1:
        assert output.sequences_scores.shape == (2,) and output.sequences_scores.dtype == np.float32
        assert output.beam_indices.shape == (2, output.sequences.shape[1] - 1)
    _, bare = run(EASY, {**call, "output_scores": False, "output_logits": False})
    assert bare.scores is None and bare.logits is None
    if beams > 1:  # upstream has them with output_scores only, which keeps every step's scores too
        assert bare.sequences_scores.tolist() == output.sequences_scores.tolist()
        assert bare.keys() == ["sequences", "sequences_scores", "beam_indices", "past_key_values"]
    assert bare.sequences.tolist() == output.sequences.tolist()
    _, ignored = run(EASY, {**call, "return_dict_in_generate": False})
    assert ignored.scores is None and ignored.logits is None


@pytest.mark.parametrize("beams", [1, 3])
def test_logits_are_those_of_the_model_and_scores_the_processed_ones(beams):
    call = {**IDS, "num_beams": beams, "max_new_tokens": 4, "suppress_tokens": [3]}
    _, output = run(EASY, call, logits_processor=[lambda ids, scores: scores + 1])
    first = STEPS.logits(EASY, np.repeat([5, 6], beams), np.full((2 * beams, 1), 2))
    assert np.array_equal(output.logits[0], first)
    expected = first if beams == 1 else first - np.log(np.exp(first).sum(axis=1, keepdims=True))
    expected[:, 3] = -np.inf
    np.testing.assert_allclose(output.scores[0], expected + 1, rtol=0, atol=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
def test_progress_is_told_after_every_token(beams):
    told, call = [], {**IDS, "num_beams": beams, "max_new_tokens": 6}
    _, output = run(EASY, call, prompt=[[2, 3], [2, 4]], progress=lambda *now: told.append(now))
    assert told == [(i + 1, 6) for i in range(len(output.scores))]


def test_beam_padding_has_the_references_quirk():
    step = {**EASY, "eos_bonus": 3}
    for pad, filler in ((1, 1), (0, 2), (None, 2)):
        call = {**IDS, "pad_token_id": pad, "num_beams": 3, "num_return_sequences": 3, "max_new_tokens": 6}
        _, output = run(step, call)
        after = [row[row.tolist().index(2, 1) + 1 :] for row in output.sequences if 2 in row[1:]]
        assert {int(token) for ids in after for token in ids} == {filler}


def test_a_row_that_ended_greedily_is_padded_with_zero_where_the_padding_id_is_zero():
    step = {**EASY, "seeds": [1, 2, 3, 4], "eos_bonus": 1}
    _, output = run(step, {**IDS, "pad_token_id": 0, "max_new_tokens": 8})
    after = {int(token) for row in output.sequences if 2 in row[1:] for token in row[row.tolist().index(2, 1) + 1 :]}
    assert after == {0}


# By hand


def search_by_hand(table, **call):
    """The sequences and scores of a search where the log-probability of each token after each prefix is given.

    Tokens 0 to 4, of which 2 ends; what is not in the table is out of reach.
    Token 5 takes all the probability and is suppressed, which makes logits log-probabilities.
    """

    def step(ids, state):
        values = np.full((len(ids), 6), -1000, np.float32)
        values[:, 5] = 0
        for row, prefix in enumerate(ids[:, 1:].tolist()):
            for token, value in table.get(tuple(prefix), {}).items():
                values[row, token] = value
        return values, state

    settings = {**IDS, **OUTPUTS, "num_beams": 2, "suppress_tokens": [5], "max_new_tokens": 3, **call}
    effective, prompt = resolve(settings, None, GenerationConfig(), batch_size=1, vocab_size=6, positions=10)
    output = generate(step, Still(), prompt, effective)
    return [row[1:] for row in output.sequences.tolist()], output.sequences_scores.tolist()


def test_a_hope_that_only_equals_the_worst_finished_score_is_given_up():
    table = {
        (): {3: -30, 2: -32, 4: -33},  # [2] ends with -32 / 1
        (3,): {2: -30, 3: -34},  # [3, 2] ends with -60 / 2; [3, 3] has -64, and -64 / 2 is no more than -32
        (3, 3): {2: -22},  # would end with -86 / 3, the best of all
    }
    assert search_by_hand(table, num_return_sequences=2) == ([[3, 2], [2, 1]], [-30, -32])
    assert search_by_hand(table, early_stopping="never")[0] == [[3, 3, 2]]
    table[3,] = {2: -30, 3: -33}  # -63 / 2 is more than -32
    assert search_by_hand(table)[0] == [[3, 3, 2]]


def test_a_document_is_not_done_while_a_slot_is_empty():
    table = {
        (): {2: -25, 3: -40},  # [2] ends with -25, and nothing that goes on is better
        (3,): {3: -40},
        (3, 3): {2: -40},  # and yet the second slot is for what ends with -120 / 3
    }
    assert search_by_hand(table, num_return_sequences=2) == ([[2, 1, 1], [3, 3, 2]], [-25, -40])


def test_the_only_way_is_found_where_there_are_more_beams_than_ways():
    """Beams that do not exist (about -1e9) must not keep the search going beyond the limit."""
    call = {"suppress_tokens": [0, 1, 2, 4, 5], "num_beams": 4, "length_penalty": 1.0}
    sequences, scores = search_by_hand({(): {3: -24}, (3,): {3: -25}, (3, 3): {3: -26}}, **call)
    assert (sequences, scores) == ([[3, 3, 3]], [-25])


def test_a_slot_that_is_not_finished_counts_as_absent_whatever_its_score():
    """What 5.23.0 answers where a bias lifts scores beyond 1e9: a candidate that goes on fills a slot meanwhile."""
    step = {"kind": "exact", "vocab": 12, "memory": 1, "seeds": [2], "eos": [2], "eos_bonus": 0}
    call = {"num_beams": 2, "num_return_sequences": 2, "max_new_tokens": 3, "early_stopping": "never"}
    call |= {"suppress_tokens": [11], "sequence_bias": [[[4], 3 * 2.0**30]]}
    _, output = run(step, {**IDS, **call}, [[3, 4]])
    assert output.sequences.tolist() == [[2, 4, 4, 4]] * 2 and len(output.scores) == 3
    assert output.sequences_scores.tolist() == [3221225472.0, 2887892224.0]


# What users plug in


def test_without_an_end_of_sequence_greedy_rows_that_a_criterion_ended_go_on_as_upstream():
    """Until the last row has ended: there is no padding where there is no end of sequence (utils.py, `_sample`)."""
    step = {**EASY, "eos": []}

    def third_or_fifth(ids, scores):
        return np.array([ids.shape[1] >= 3, ids.shape[1] >= 5])

    call = {**IDS, "eos_token_id": None, "max_new_tokens": 9}
    _, output = run(step, call, stopping_criteria=[third_or_fifth])
    assert output.sequences.tolist() == [plain_greedy(step, seed, 4) for seed in step["seeds"]]


@pytest.mark.parametrize("beams", [1, 3])
def test_a_stopping_criterion_sees_the_ids_and_ends_rows(beams):
    seen = []

    def three(ids, scores):
        seen.append((ids.shape, len(scores)))
        return np.full(len(ids), ids.shape[1] == 3)

    _, output = run(EASY, {**IDS, "eos_token_id": None, "num_beams": beams}, stopping_criteria=[three])
    assert output.sequences.shape == (2, 3)
    rows = 2 * 2 * beams if beams > 1 else 2
    assert seen == [((rows, 2), 1), ((rows, 3), 2)]


@pytest.mark.parametrize("answer", [np.array([True]), [1, 0], "yes", None])
def test_a_criterion_that_returns_something_else_is_refused(answer):
    with pytest.raises(
        GenerationError, match=r"a stopping criterion returned .*: it must return booleans of shape \(2"
    ):
        run(EASY, {**IDS, "max_new_tokens": 3}, stopping_criteria=[lambda ids, scores: answer])


@pytest.mark.parametrize("name", ["logits_processor", "stopping_criteria"])
def test_what_is_plugged_in_must_be_a_list_of_functions(name):
    for value in (len, [3], "ab"):
        with pytest.raises(GenerationError, match=f"{name} is .*: it must be a list of functions"):
            run(EASY, {**IDS, "max_new_tokens": 3}, **{name: value})
    _, plain = run(EASY, {**IDS, "max_new_tokens": 3})
    for nothing in (None, [], ()):
        _, output = run(EASY, {**IDS, "max_new_tokens": 3}, **{name: nothing})
        assert output.sequences.tolist() == plain.sequences.tolist()


def test_users_functions_cannot_change_the_ids():
    def vandal(ids, scores):
        ids[:] = 0
        return scores

    with pytest.raises(ValueError, match="read-only"):
        run(EASY, {**IDS, "max_new_tokens": 3}, logits_processor=[vandal])


# Where there is nothing to choose from


@pytest.mark.parametrize("beams", [1, 3])
def test_no_token_left_is_refused_with_document_and_position(beams):
    call = {**IDS, "num_beams": beams, "max_new_tokens": 5, "bad_words_ids": [[v] for v in range(9)], "min_length": 9}
    with pytest.raises(GenerationError, match="document 0: every token is forbidden at position 1; loosen bad_words"):
        run(EASY, call)


def nothing_from(length):
    """A rule that forbids every token from so many ids on."""
    return lambda ids, scores: np.where(ids.shape[1] >= length, -np.inf, scores)


@pytest.mark.parametrize("beams", [1, 3])
def test_a_later_dead_end_is_refused(beams):
    call = {**IDS, "num_beams": beams, "max_new_tokens": 5, "min_length": 9}
    with pytest.raises(GenerationError, match="document 0: every token is forbidden at position 3"):
        run(EASY, call, logits_processor=[nothing_from(3)])


@pytest.mark.parametrize("hope", [{}, {"early_stopping": "never", "length_penalty": 2.0}])
def test_a_dead_end_leaves_the_beams_that_have_ended(hope):
    """One slot is filled, two are not; also where a better result is hoped for."""
    call = {**IDS, "num_beams": 3, "max_new_tokens": 5, **hope}
    _, output = run({**EASY, "eos_bonus": 9}, call, logits_processor=[nothing_from(2)])
    assert output.sequences.tolist() == [[2, 2], [2, 2]]


def test_tokens_are_suppressed_at_the_beginning_after_a_forced_one():
    _, forced = run(EASY, {**IDS, "forced_bos_token_id": 0, "max_new_tokens": 2})
    assert forced.sequences[:, 1].tolist() == [0, 0]
    second = int(forced.sequences[0, 2])
    call = {**IDS, "forced_bos_token_id": 0, "max_new_tokens": 2, "begin_suppress_tokens": [second]}
    _, output = run(EASY, call)
    assert output.sequences[0, 1] == 0 and output.sequences[0, 2] != second
    _, output = run(EASY, call, prompt=[[2, 0], [2, 0]])  # behind a longer prompt nothing is forced
    assert output.sequences[0, 2] != second


@pytest.mark.parametrize("beams", [1, 3])
def test_scores_that_are_no_numbers_are_refused_or_removed(beams):
    def broken(ids, state):
        values, state = STEPS.step_function(EASY)(ids, state)
        values[-1, 4] = np.nan  # a row of the second document
        return values, state

    def ask(**more):
        call = {**IDS, "num_beams": beams, "max_new_tokens": 3, **more}
        effective, prompt = resolve(call, None, GenerationConfig(), batch_size=2, vocab_size=9, positions=10)
        return generate(broken, STEPS.start(EASY, beams), prompt, effective)

    with pytest.raises(GenerationError, match="document 1: scores of token 1 are not numbers; check the model's weigh"):
        ask()
    assert ask(remove_invalid_values=True).sequences.shape[0] == 2


def test_infinities_of_both_signs_are_told_without_a_warning_of_numpy():
    def add(ids, scores):
        return scores + np.float32([0, 0, 0, np.inf, -np.inf, 0, 0, 0, 0])

    with pytest.raises(GenerationError, match="document 0: scores of token 2 are not numbers"):
        run(EASY, {**IDS, "num_beams": 2, "max_new_tokens": 4}, logits_processor=[add])


@pytest.mark.parametrize("beams", [1, 2])
def test_a_document_that_is_done_may_have_any_scores(beams):
    """The first document ends at once (with two beams: twice, at the first and second token), the second goes on."""

    def run_with(of_the_done):
        def step(ids, state):
            values, state = STEPS.step_function(EASY)(ids, state)
            values[:beams, 2] += 30
            if ids.shape[1] > beams:
                values[:beams] = of_the_done
            return values, state

        call = {**IDS, "num_beams": beams, "max_new_tokens": 6, "early_stopping": True}
        effective, prompt = resolve(call, None, GenerationConfig(), batch_size=2, vocab_size=9, positions=10)
        return generate(step, STEPS.start(EASY, beams), prompt, effective).sequences

    sequences = run_with(0)
    assert sequences.shape[1] > 2 + beams and sequences[0, 1] == 2
    for values in (np.nan, np.inf, -np.inf):
        assert run_with(values).tolist() == sequences.tolist()
