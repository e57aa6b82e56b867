"""Ask transformers 5.23.0 to generate from hash step functions, and keep what it says in golden/generation.json.

    python golden/generation.py            write golden/generation.json
    python golden/generation.py --check    make it again in memory and compare
    python golden/generation.py --live N   compare pyled with the reference on N random cases (pyled importable)

The reference's own `generate` searches: a stub model stands in for LED, whose logits are those of generation_steps.
"""

import argparse
import contextlib
import json
import os
import random
import sys
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

import numpy as np
import torch
import transformers
from generation_steps import allowed_after, logits, start, step_function
from transformers import GenerationConfig, GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.generation import logits_process as processors
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

GOLDEN = Path(__file__).with_name("generation.json")

# 1. The reference, driven by a hash


class StubConfig(PreTrainedConfig):
    model_type = "stub"


class StubEncoder(torch.nn.Module):
    """An encoder whose states are the seeds of the documents."""

    main_input_name = "input_ids"

    def __init__(self):
        super().__init__()
        self.seeds = []

    def forward(self, input_ids, attention_mask=None, **unused):
        return BaseModelOutput(last_hidden_state=torch.tensor(self.seeds, dtype=torch.float64).reshape(-1, 1, 1))


class Stub(PreTrainedModel, GenerationMixin):
    config_class = StubConfig
    main_input_name = "input_ids"

    def __init__(self, config):
        super().__init__(config)
        self.encoder = StubEncoder()
        self.anchor = torch.nn.Parameter(torch.zeros(1))
        self.step = {}
        self.post_init()

    def get_encoder(self, *unused, **also_unused):
        return self.encoder

    def forward(self, input_ids=None, attention_mask=None, decoder_input_ids=None, encoder_outputs=None, **unused):
        seeds = encoder_outputs[0][:, 0, 0].numpy().astype(np.int64)
        values = logits(self.step, seeds, decoder_input_ids.numpy())
        return Seq2SeqLMOutput(logits=torch.from_numpy(values)[:, None])


def stub():
    model = Stub(StubConfig(is_encoder_decoder=True, vocab_size=50))
    model.eval()
    return model


def plug_ins(case, tensor):
    """Return the callables a case asks for by numbers, for torch or for NumPy."""
    plugged = {}
    if "allowed_modulus" in case:
        plugged["prefix_allowed_tokens_fn"] = allowed_after(case["step"], case["allowed_modulus"])
    if "favoured" in case:
        bonus = np.zeros(case["step"]["vocab"], np.float32)
        bonus[case["favoured"]] = 2.5
        plugged["logits_processor"] = [lambda ids, scores: scores + tensor(bonus)]
    if "stop_token" in case:
        plugged["stopping_criteria"] = [lambda ids, scores: ids[:, -1] == case["stop_token"]]
    return plugged


def ask(model, case):
    """Return the reference's answer to a case."""
    model.step, model.encoder.seeds = case["step"], case["step"]["seeds"]
    settings = dict(case["settings"])
    model.generation_config = GenerationConfig()
    more = plug_ins(case, torch.from_numpy)
    if "prompt" in case:
        more["decoder_input_ids"] = torch.tensor(case["prompt"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = model.generate(
            torch.tensor(case["encoder_ids"]),
            use_cache=False,
            return_dict_in_generate=True,
            output_scores=True,
            **settings,
            **more,
        )
    result = {"sequences": answer.sequences.tolist()}
    if getattr(answer, "beam_indices", None) is not None:
        result["beam_indices"] = answer.beam_indices.tolist()
        result["sequences_scores"] = answer.sequences_scores.tolist()
    result["steps"] = len(answer.scores)
    return result, answer


# 2. Cases


def random_case(rng):
    """Return a step function, sources and settings; ids 0, 1, 2 are bos, pad and eos as LED's."""
    vocab = rng.choice([12, 24, 40])
    documents = rng.choice([1, 1, 2, 3])
    beams = rng.choice([1, 2, 3, 4, 5])
    eos = rng.choice([[2], [2], [2], [2, 5], [2, 5, 9], []])
    kind = rng.choice(["exact", "exact", "soft"])
    step = {
        "kind": kind,
        "vocab": vocab,
        "memory": rng.choice([0, 0, 1, 2]),
        "seeds": [rng.randrange(2**31) for _ in range(documents)],
        "eos": eos,
        "eos_bonus": rng.choice([0, 0, 1, 2.5]) if kind == "exact" else rng.choice([-2, 0, 1]),
    }
    if kind == "soft":
        step["spread"] = rng.choice([3, 6, 10])
    length = rng.choice([4, 8, 12])
    encoder_ids = [[rng.randrange(3, vocab) for _ in range(length)] for _ in range(documents)]
    settings = {
        "pad_token_id": rng.choice([1, 1, 1, 0, None]),
        "bos_token_id": 0,
        "eos_token_id": eos[0] if len(eos) == 1 else eos or None,
        "decoder_start_token_id": 2,
        "num_beams": beams,
    }
    if kind == "exact":
        settings["suppress_tokens"] = [vocab - 1]
    if rng.random() < 0.5:
        settings["max_length"] = rng.choice([3, 6, 10, 16])
    elif rng.random() < 0.6:
        settings["max_new_tokens"] = rng.choice([1, 5, 12])
    if beams > 1:
        settings["length_penalty"] = rng.choice([-0.5, 0, 0.0, 0.8, 1, 1.0, 2.0])
        settings["early_stopping"] = rng.choice([True, False, "never"])
        settings["num_return_sequences"] = rng.choice([1, beams, rng.randint(1, beams)])
    case = {"step": step, "encoder_ids": encoder_ids, "settings": settings}
    for chance, change in OPTIONAL:
        if rng.random() < chance:
            change(rng, case, vocab)
    return case


def setting(name, choose):
    return lambda rng, case, vocab: case["settings"].__setitem__(name, choose(rng, vocab))


def plug(name, choose):
    return lambda rng, case, vocab: case.__setitem__(name, choose(rng, vocab))


def words(rng, vocab):
    return [[rng.randrange(vocab - 1) for _ in range(rng.choice([1, 1, 2, 3]))] for _ in range(rng.randint(1, 12))]


def biases(rng, vocab):
    return [[word, rng.choice([-2.0, 1.5, 4.25])] for word in words(rng, vocab)]


def more_suppressed(rng, case, vocab):
    chosen = {rng.randrange(3, vocab) for _ in range(3)} | set(case["settings"].get("suppress_tokens", []))
    case["settings"]["suppress_tokens"] = sorted(chosen)


def decay(rng, case, vocab):
    if case["settings"]["eos_token_id"] is not None:
        case["settings"]["exponential_decay_length_penalty"] = [rng.choice([0, 2, 5]), rng.choice([1.1, 1.5, 0.9])]


def prompt(rng, case, vocab):
    length = rng.choice([1, 2, 3])
    first = rng.choice([2, 4])
    rows = [[first, *(rng.randrange(vocab - 1) for _ in range(length - 1))] for _ in case["encoder_ids"]]
    case["prompt"] = rows
    if case["settings"].get("max_length", 20) < 6:
        case["settings"]["max_length"] = 8


OPTIONAL = [
    (0.3, setting("no_repeat_ngram_size", lambda rng, vocab: rng.choice([1, 2, 3]))),
    (0.25, setting("encoder_no_repeat_ngram_size", lambda rng, vocab: rng.choice([1, 2, 3]))),
    (0.25, setting("repetition_penalty", lambda rng, vocab: rng.choice([1.3, 3.5, 0.7]))),
    (0.15, setting("encoder_repetition_penalty", lambda rng, vocab: rng.choice([1.2, 0.8]))),
    (0.2, setting("min_length", lambda rng, vocab: rng.choice([2, 4, 9]))),
    (0.15, setting("min_new_tokens", lambda rng, vocab: rng.choice([1, 4, 9]))),
    (0.15, setting("forced_bos_token_id", lambda rng, vocab: rng.choice([0, 4]))),
    (0.15, setting("forced_eos_token_id", lambda rng, vocab: rng.choice([2, [2, 5]]))),
    (0.2, setting("bad_words_ids", words)),
    (0.15, setting("sequence_bias", biases)),
    (0.1, setting("remove_invalid_values", lambda rng, vocab: True)),
    (0.1, setting("renormalize_logits", lambda rng, vocab: True)),
    (0.1, setting("begin_suppress_tokens", lambda rng, vocab: [rng.randrange(vocab) for _ in range(4)])),
    (0.15, more_suppressed),
    (0.1, decay),
    (0.2, prompt),
    (0.1, plug("allowed_modulus", lambda rng, vocab: rng.choice([2, 3, 5]))),
    (0.1, plug("favoured", lambda rng, vocab: rng.randrange(vocab - 1))),
    (0.05, plug("stop_token", lambda rng, vocab: rng.randrange(3, vocab - 1))),
]  # fmt: skip


# 3. pyled beside the reference


def ours(case):
    """Return pyled's answer to a case."""
    from pyled.generation import generate, resolve
    from pyled.generation_config import GenerationConfig as Config

    settings, ids = resolve(
        {"return_dict_in_generate": True, "output_scores": True, **case["settings"]},
        None,
        Config(),
        batch_size=len(case["encoder_ids"]),
        vocab_size=case["step"]["vocab"],
        positions=1000,
        decoder_input_ids=np.array(case["prompt"]) if "prompt" in case else None,
    )
    return generate(
        step_function(case["step"]),
        start(case["step"], settings.rows_per_document),
        ids,
        settings,
        encoder_ids=np.array(case["encoder_ids"]),
        **plug_ins(case, lambda array: array),
    )


@contextlib.contextmanager
def torchs_order():
    """Give pyled torch.topk's order of equal scores, and torch's rounding of log-softmax: it explains a difference."""
    from pyled.generation import beam, rules

    def best(scores, count):
        return torch.topk(torch.from_numpy(scores), count)[1].numpy()

    def log_softmax(scores):
        return torch.log_softmax(torch.from_numpy(scores), dim=-1).numpy()

    stock = beam.best, beam.log_softmax, rules.log_softmax
    beam.best, beam.log_softmax, rules.log_softmax = best, log_softmax, log_softmax
    yield
    beam.best, beam.log_softmax, rules.log_softmax = stock


def differences(case, expected, answer):
    """Return what differs between pyled and the reference, in words, and the largest difference of scores."""
    mine = ours(case)
    differing, worst = set(), 0.0
    if mine.sequences.tolist() != expected["sequences"]:
        differing.add("sequences")
    if "beam_indices" in expected:
        if mine.beam_indices.tolist() != expected["beam_indices"]:
            differing.add("beam indices")
        theirs = answer.sequences_scores.numpy()
        with np.errstate(invalid="ignore"):
            worst = float(np.where(mine.sequences_scores == theirs, 0, np.abs(mine.sequences_scores - theirs)).max())
    if len(mine.scores) != expected["steps"]:
        differing.add("number of steps")
    if differing:
        return differing, worst
    for a, b in zip(mine.scores, answer.scores, strict=True):
        b = b.numpy()
        with np.errstate(invalid="ignore"):
            difference = float(np.where(a == b, 0, np.abs(a - b)).max())
        if difference > 1e-4:
            differing.add("scores of a step")
        else:
            worst = max(worst, difference)
    exact = case["step"]["kind"] == "exact" and not case["settings"].get("renormalize_logits")
    if worst > (0 if exact else 1e-4):
        differing.add("values of scores")
    return differing, worst


def is_dead_end(case, expected, answer):
    """Return whether the reference, too, found no token for a document.

    It then goes on with a score of -inf, or with nothing but absent hypotheses.
    """
    if "beam_indices" in expected:
        per_document = np.array(expected["sequences_scores"]).reshape(len(case["encoder_ids"]), -1)
        return bool((per_document[:, 0] < -1e8).any())
    length = answer.sequences.shape[1] - len(answer.scores)
    chosen = answer.sequences[:, length:].T
    scores = [step[torch.arange(len(tokens)), tokens] for step, tokens in zip(answer.scores, chosen, strict=True)]
    return bool(torch.isneginf(torch.stack(scores)).any())


def attempt(case, expected, answer):
    from pyled.errors import GenerationError

    try:
        return differences(case, expected, answer)
    except GenerationError as e:
        return {f"refused, {e}"}, np.inf


def compare(case, expected, answer):
    """Return a verdict in words, and the largest difference of scores where all is the same."""
    differing, worst = attempt(case, expected, answer)
    if not differing:
        return "same", worst
    if any(bool(torch.isnan(step).any()) for step in answer.scores):
        return "the reference goes on with NaN", 0.0
    if np.inf in expected.get("sequences_scores", []):  # remove_invalid_values, then a decay penalty on what it left
        return "the reference returns infinite scores", 0.0
    if any("token is forbidden" in words for words in differing) and is_dead_end(case, expected, answer):
        return "a dead end for both", 0.0
    with torchs_order():
        still_differing, worst_then = attempt(case, expected, answer)
    if not still_differing or (still_differing <= {"sequences", "beam indices"} and worst_then == 0):
        return f"same but for the order of equals: {', '.join(sorted(words.split(',')[0] for words in differing))}", 0.0
    return f"DIFFERENT: {', '.join(sorted(still_differing))}", 0.0


def live(count, seed):
    """Compare on `count` random cases and print every one that is not the same."""
    model = stub()
    counts, worst = {}, 0.0
    for number in range(count):
        case = random_case(random.Random(seed * 1_000_000 + number))
        try:
            expected, answer = ask(model, case)
        except (ValueError, IndexError, RuntimeError) as e:
            verdict = f"the reference fails: {type(e).__name__}: {e}"[:80]
        else:
            verdict, difference = compare(case, expected, answer)
            worst = max(worst, difference)
        counts[verdict] = counts.get(verdict, 0) + 1
        if verdict != "same":
            print(number, verdict, json.dumps(case))
    for verdict, times in sorted(counts.items(), key=lambda item: -item[1]):
        print(f"{times:6d}  {verdict}")
    print(f"worst difference of scores where the same: {worst:.3g}")


# 4. What is kept


def is_decided(case, model):
    """Return the reference's answer, and whether every choice in it was clear: not between equals, or nearly so."""
    margin = 0 if case["step"]["kind"] == "exact" else 1e-3
    gaps = []
    choose = GenerationMixin._get_top_k_continuations

    def watch(self, accumulated_log_probs, beams_to_keep, **more):
        top = torch.topk(accumulated_log_probs, beams_to_keep + 1)[0]
        gaps.extend(gap for row in top.double() for gap in (-torch.diff(row[row > -1e8])).tolist())
        return choose(self, accumulated_log_probs=accumulated_log_probs, beams_to_keep=beams_to_keep, **more)

    type(model)._get_top_k_continuations = watch
    try:
        expected, answer = ask(model, case)
    except ValueError:
        return None, None, False
    finally:
        type(model)._get_top_k_continuations = choose
    gaps += [float(gap) for step in answer.scores for gap in torch.diff(torch.sort(step)[0][:, -2:])[:, 0]]
    scores = np.array(expected.get("sequences_scores", [0.0]))
    real = not is_dead_end(case, expected, answer) and (scores > -1e8).all()
    return expected, answer, bool(real and min(gaps) > margin)


def searches(count):
    """Return cases with the reference's answers; some short ones with the scores of their steps."""
    model = stub()
    cases, number = [], 0
    while len(cases) < count:
        case = random_case(random.Random(number))
        number += 1
        expected, answer, decided = is_decided(case, model)
        if decided:
            if "sequences_scores" in expected:
                expected["sequences_scores"] = short(expected["sequences_scores"])
            if case["step"]["vocab"] == 12 and len(answer.scores) < 6 and len(cases) % 4 == 0:
                expected["scores"] = [plain(step.numpy()) for step in answer.scores]
            cases.append({**case, "expected": expected})
    return cases


def short(values):
    """Return float32 values with as many digits as they need."""
    return [float(str(np.float32(value))) for value in values]


def plain(array):
    """Return nested lists, with None for -inf, which JSON has not."""
    return [[None if value == -np.inf else value for value in short(row)] for row in array]


PROCESSORS = [
    ("repetition_penalty", {"penalty": 1.3}, processors.RepetitionPenaltyLogitsProcessor),
    ("repetition_penalty", {"penalty": 0.5}, processors.RepetitionPenaltyLogitsProcessor),
    ("no_repeat_ngram", {"n": 1}, processors.NoRepeatNGramLogitsProcessor),
    ("no_repeat_ngram", {"n": 2}, processors.NoRepeatNGramLogitsProcessor),
    ("no_repeat_ngram", {"n": 3}, processors.NoRepeatNGramLogitsProcessor),
    ("no_repeat_ngram", {"n": 9}, processors.NoRepeatNGramLogitsProcessor),
    ("encoder_repetition_penalty", {"penalty": 1.7}, processors.EncoderRepetitionPenaltyLogitsProcessor),
    ("encoder_no_repeat_ngram", {"n": 1}, processors.EncoderNoRepeatNGramLogitsProcessor),
    ("encoder_no_repeat_ngram", {"n": 2}, processors.EncoderNoRepeatNGramLogitsProcessor),
    ("encoder_no_repeat_ngram", {"n": 3}, processors.EncoderNoRepeatNGramLogitsProcessor),
    ("encoder_no_repeat_ngram", {"n": 9}, processors.EncoderNoRepeatNGramLogitsProcessor),
    ("bad_words", {"words": [[4], [1, 5], [2, 1, 6], [9, 9, 9, 9, 9, 9, 1]]}, processors.NoBadWordsLogitsProcessor),
    (
        "sequence_bias",
        {"biases": [[[4], -1.5], [[1, 5], 2.25], [[2, 1, 5], 0.5], [[3], 4.0]]},
        processors.SequenceBiasLogitsProcessor,
    ),
    ("min_length", {"least": 6, "eos": [2, 7]}, processors.MinLengthLogitsProcessor),
    ("min_length", {"least": 5, "eos": [2, 7]}, processors.MinLengthLogitsProcessor),
    ("forced_bos", {"token": 5}, processors.ForcedBOSTokenLogitsProcessor),
    ("forced_eos", {"max_length": 6, "tokens": [2, 7]}, processors.ForcedEOSTokenLogitsProcessor),
    ("forced_eos", {"max_length": 7, "tokens": [2, 7]}, processors.ForcedEOSTokenLogitsProcessor),
    ("suppress_tokens", {"tokens": [0, 11]}, processors.SuppressTokensLogitsProcessor),
    ("begin_suppress_tokens", {"tokens": [0, 11], "begin": 5}, processors.SuppressTokensAtBeginLogitsProcessor),
    ("begin_suppress_tokens", {"tokens": [0, 11], "begin": 4}, processors.SuppressTokensAtBeginLogitsProcessor),
    (
        "exponential_decay_length_penalty",
        {"start": 3, "factor": 1.5, "eos": [2, 7]},
        lambda start, factor, eos: processors.ExponentialDecayLengthPenalty((start, factor), eos, 0),
    ),
    (
        "exponential_decay_length_penalty",
        {"start": 5, "factor": 1.5, "eos": [2, 7]},
        lambda start, factor, eos: processors.ExponentialDecayLengthPenalty((start, factor), eos, 0),
    ),
    ("renormalize", {}, processors.LogitNormalization),
]  # fmt: skip

TABLE = {
    "step": {"kind": "soft", "vocab": 12, "memory": 0, "spread": 6},
    "seeds": [5, 6, 7, 8],
    "shift": 3,  # taken from the logits, so that scores have both signs
    "ids": [[2, 1, 3, 2, 1], [2, 1, 5, 2, 1], [4, 4, 4, 4, 4], [2, 8, 9, 10, 11]],
    "encoder_ids": [[2, 1, 6, 2, 1, 7, 0, 0], [4, 4, 3, 9, 10, 11, 8, 2]],
}


def processor_table():
    """Return what each of the reference's processors makes of the same scores, two rows per document."""
    scores = logits(TABLE["step"], np.array(TABLE["seeds"]), np.array(TABLE["ids"])) - np.float32(TABLE["shift"])
    ids, encoder_ids = torch.tensor(TABLE["ids"]), torch.tensor(TABLE["encoder_ids"])
    rows = []
    for name, arguments, processor in PROCESSORS:
        values = list(arguments.values()) + ([encoder_ids] if name.startswith("encoder") else [])
        after = processor(*values)(ids, torch.from_numpy(scores.copy()))
        rows.append({"name": name, "arguments": arguments, "after": plain(after.numpy())})
    return {**TABLE, "rows": rows}


class SettledError(Exception):
    """Carries the effective settings out of `generate`, before it searches."""


IDS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}

SETTINGS = [  # the model's own, the GenerationConfig of the call, the arguments of the call, and decoder ids
    {"own": {}},
    {"own": {"max_length": 9}},
    {"own": {"max_length": 9}, "argument": {"max_length": 8}},
    {"own": {"max_length": 9}, "argument": {"max_length": 8}, "call": {"max_length": 7}},
    {"own": {"max_length": 9}, "call": {"max_new_tokens": 5}},
    {"own": {"max_new_tokens": 9}, "call": {"max_length": 5}},
    {"own": {"max_new_tokens": 9}, "argument": {"max_length": 5}, "call": {"min_length": 3}},
    {"own": {"max_new_tokens": 9}, "call": {"max_new_tokens": None, "max_length": 6}},
    {"own": {}, "prompt": [[2, 5, 6]]},
    {"own": {}, "prompt": [[5, 6]]},
    {"own": {}, "prompt": [[5, 6], [2, 7]]},
    {"own": {}, "prompt": [[5, 6], [3, 7]]},
    {"own": {}, "prompt": [[5, 6]], "call": {"max_new_tokens": 4}},
    {"own": {}, "prompt": [[5, 6]], "call": {"max_length": 3}},
    {"own": {}, "prompt": [[5, 6]], "call": {"max_length": 4}},
    {"own": {"min_length": 4}, "call": {"min_new_tokens": 4}},
    {"own": {"min_new_tokens": 6}, "call": {"min_length": 3}},
    {"own": {"min_length": 30}},
    {"own": {"num_beams": 4, "early_stopping": True, "length_penalty": 2.0, "no_repeat_ngram_size": 3}},
    {"own": {"num_beams": 4, "length_penalty": 2.0}, "argument": {"num_beams": 2}, "call": {"length_penalty": 0}},
    {"own": {"num_beams": 4, "early_stopping": True}, "call": {"early_stopping": None}},
    {"own": {"num_beams": 4, "early_stopping": "never"}, "call": {"num_beams": 1}},
    {"own": {"no_repeat_ngram_size": 3, "encoder_no_repeat_ngram_size": 2}, "call": {"no_repeat_ngram_size": None}},
    {"own": {"repetition_penalty": 2.5}, "argument": {"repetition_penalty": None}},
    {"own": {"repetition_penalty": 2.5}, "call": {"repetition_penalty": None}},
    {"own": {"forced_bos_token_id": 0}, "call": {"forced_bos_token_id": None}},
    {"own": {"forced_bos_token_id": 0, "forced_eos_token_id": [2, 5]}},
    {"own": {"eos_token_id": [2, 5]}},
    {"own": {"eos_token_id": [2, 5], "pad_token_id": None}, "call": {}},
    {"own": {}, "call": {"eos_token_id": None}},
    {"own": {}, "call": {"pad_token_id": None}},
    {"own": {}, "call": {"pad_token_id": None, "eos_token_id": [7, 8]}},
    {"own": {}, "call": {"decoder_start_token_id": 5}},
    {"own": {}, "call": {"decoder_start_token_id": None}},
    {"own": {}, "call": {"decoder_start_token_id": [5]}},
    {"own": {"bos_token_id": None, "decoder_start_token_id": None}},
    {"own": {"suppress_tokens": [3, 4]}, "argument": {"suppress_tokens": [5]}},
    {"own": {}, "call": {"num_return_sequences": 2}},
    {"own": {}, "call": {"num_return_sequences": 3, "num_beams": 2}},
    {"own": {"num_beams": 3}, "call": {"num_return_sequences": 3}},
    {"own": {}, "call": {"max_new_tokens": 0}},
    {"own": {}, "call": {"max_length": 1}},
    {"own": {}, "call": {"early_stopping": "soon"}},
    {"own": {}, "call": {"repetition_penalty": -1.0}},
    {"own": {}, "call": {"suppress_tokens": [0], "forced_bos_token_id": 0}},
    {"own": {}, "call": {"num_beems": 3}},
    {"own": {}, "call": {"do_sample": True}},
    {"own": {}, "call": {"do_sample": True, "top_k": None}},
    {"own": {}, "call": {"do_sample": True, "num_return_sequences": 3}},
    {"own": {}, "call": {"do_sample": True, "num_return_sequences": 3, "num_beams": 2}},
    {"own": {"do_sample": True, "top_k": 7, "temperature": 0.7, "top_p": 0.9}, "call": {"top_p": None, "min_p": 0.1}},
    {"own": {"do_sample": True, "typical_p": 0.5}, "argument": {"top_k": 0, "top_h": 0.3}, "call": {"eta_cutoff": 0.1}},
    {"own": {"do_sample": True, "epsilon_cutoff": 0.1}, "call": {"do_sample": False}},
    {"own": {"top_k": 7, "temperature": 0.7}},
    {"own": {}, "call": {"do_sample": True, "temperature": 0.0}},
    {"own": {}, "call": {"do_sample": True, "temperature": -1.0}},
    {"own": {}, "call": {"do_sample": True, "top_k": -1}},
    {"own": {}, "call": {"do_sample": True, "top_p": 1.5}},
    {"own": {}, "call": {"do_sample": True, "top_h": 0.0}},
    {"own": {}, "call": {"do_sample": True, "min_p": -0.1}},
    {"own": {}, "call": {"do_sample": True, "typical_p": 0.0}},
]  # fmt: skip

EFFECTIVE = (
    "max_length", "min_length", "num_beams", "num_return_sequences", "early_stopping", "length_penalty",
    "repetition_penalty", "encoder_repetition_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size",
    "forced_bos_token_id", "forced_eos_token_id", "suppress_tokens", "do_sample", "temperature", "top_h", "top_k",
    "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff",
)  # fmt: skip


DEFAULT = dict.fromkeys(EFFECTIVE) | GenerationConfig._get_default_generation_params()


def settle(model, case):
    """Return the effective settings of the reference where they are not the default, or the name of what it raises."""

    def searched(self, input_ids, generation_config, **unused):
        raise SettledError(generation_config, input_ids)

    model.generation_config = GenerationConfig(**{**IDS, **case["own"]})
    argument = GenerationConfig(**case["argument"]) if "argument" in case else None
    rows = len(case.get("prompt", [0]))
    model.encoder.seeds = [0] * rows
    more = {"decoder_input_ids": torch.tensor(case["prompt"])} if "prompt" in case else {}
    modes = type(model)._sample, type(model)._beam_search
    type(model)._sample = type(model)._beam_search = searched
    try:
        model.generate(torch.full((rows, 4), 5), argument, use_cache=False, **case.get("call", {}), **more)
    except SettledError as stopped:
        config, ids = stopped.args
        eos, pad = config._eos_token_tensor, config._pad_token_tensor
        return {
            **{name: getattr(config, name) for name in EFFECTIVE if getattr(config, name) != DEFAULT[name]},
            "eos_token_id": None if eos is None else eos.tolist(),
            "pad_token_id": None if pad is None else int(pad),
            "prompt": ids[:: max(config.num_beams, config.num_return_sequences)].tolist(),
        }
    except (ValueError, TypeError) as e:
        return {"refused": type(e).__name__}
    finally:
        type(model)._sample, type(model)._beam_search = modes


LEGACY = [  # keys of a config.json without a generation_config.json beside it
    {},
    {"num_beams": 4, "min_length": 32, "max_length": 1024, "length_penalty": 0.8, "no_repeat_ngram_size": 3,
     "early_stopping": True, "use_cache": False, "task_specific_params": {"summarization": {"num_beams": 6}}},
    {"force_bos_token_to_be_generated": True},
    {"force_bos_token_to_be_generated": True, "forced_bos_token_id": 7},
    {"force_bos_token_to_be_generated": False, "forced_bos_token_id": 7},
    {"eos_token_id": [2, 5], "length_penalty": 0, "attention_mode": "sliding", "max_position_embeddings": 1024},
]  # fmt: skip


def legacy(keys):
    """Return what the reference makes of the keys of a config.json, without what is unset and its own book-keeping."""
    config = GenerationConfig.from_model_config({**IDS, **keys}).to_dict()
    dropped = ("_from_model_config", "transformers_version", "use_cache", "return_dict_in_generate")
    return {name: value for name, value in config.items() if value is not None and name not in dropped}


def make():
    """Return the whole of golden/generation.json."""
    model = stub()
    return {
        "made with": {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0]},
        "ids": IDS,
        "settings": [{**case, "expected": settle(model, case)} for case in SETTINGS],
        "legacy": [{"keys": keys, "expected": legacy(keys)} for keys in LEGACY],
        "processors": processor_table(),
        "searches": searches(200),
    }


def text(golden):
    """Return JSON with one case per line."""
    parts = []
    for name, part in golden.items():
        if isinstance(part, list):
            lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in part)
            parts.append(f"{json.dumps(name)}: [\n{lines}\n]")
        else:
            parts.append(f"{json.dumps(name)}: {json.dumps(part, separators=(',', ':'))}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with what is stored")
    parser.add_argument("--live", type=int, metavar="N", help="compare pyled with the reference on N random cases")
    parser.add_argument("--seed", type=int, default=0, help="of the random cases of --live")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.live:
        live(arguments.live, arguments.seed)
    elif not arguments.check:
        GOLDEN.write_text(text(make()))
    elif GOLDEN.read_text() != text(make()):
        sys.exit("golden/generation.json is not what the reference says")


if __name__ == "__main__":
    main()
