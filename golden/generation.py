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
from generation_steps import HashState, allowed_after, logits, start, step_function
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
    """The callables a case asks for by numbers, for torch or for NumPy."""
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
    """The reference's answer to a case."""
    model.step, model.encoder.seeds = case["step"], case["step"]["seeds"]
    own = dict(case["settings"])
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
            **own,
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
    """A step function, sources and settings; ids 0, 1, 2 are bos, pad and eos as LED's."""
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
    (0.15, setting("sequence_bias", lambda rng, vocab: [[w, rng.choice([-2.0, 1.5, 4.25])] for w in words(rng, vocab)])),
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
    """pyled's answer to a case."""
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
        start(case["step"], settings.num_beams),
        ids,
        settings,
        encoder_ids=np.array(case["encoder_ids"]),
        **plug_ins(case, lambda array: array),
    )


@contextlib.contextmanager
def torchs_order():
    """pyled with torch.topk's order of equal scores, and torch's rounding of log-softmax: to explain a difference."""
    from pyled.generation import beam, processors

    def best(scores, count):
        return torch.topk(torch.from_numpy(scores), count)[1].numpy()

    def log_softmax(scores):
        return torch.log_softmax(torch.from_numpy(scores), dim=-1).numpy()

    kept = beam.best, beam.log_softmax, processors.log_softmax
    beam.best, beam.log_softmax, processors.log_softmax = best, log_softmax, log_softmax
    yield
    beam.best, beam.log_softmax, processors.log_softmax = kept


def differences(case, expected, answer):
    """What differs between pyled and the reference, as a set of words, and the largest difference of scores."""
    mine = ours(case)
    found, worst = set(), 0.0
    if mine.sequences.tolist() != expected["sequences"]:
        found.add("sequences")
    if "beam_indices" in expected:
        if mine.beam_indices.tolist() != expected["beam_indices"]:
            found.add("beam indices")
        theirs = answer.sequences_scores.numpy()
        with np.errstate(invalid="ignore"):
            worst = float(np.where(mine.sequences_scores == theirs, 0, np.abs(mine.sequences_scores - theirs)).max())
    if len(mine.scores) != expected["steps"]:
        found.add("number of steps")
    if found:
        return found, worst
    for a, b in zip(mine.scores, answer.scores, strict=True):
        b = b.numpy()
        with np.errstate(invalid="ignore"):
            difference = float(np.where(a == b, 0, np.abs(a - b)).max())
        if difference > 1e-4:
            found.add("scores of a step")
        else:
            worst = max(worst, difference)
    exact = case["step"]["kind"] == "exact" and not case["settings"].get("renormalize_logits")
    if worst > (0 if exact else 1e-4):
        found.add("values of scores")
    return found, worst


def is_dead_end(case, expected, answer):
    """Whether the reference, too, found no token for a document.

    It then goes on with a score of -inf, with nothing but absent hypotheses, or, after renormalize_logits, with NaN.
    """
    if any(bool(torch.isnan(step).any()) for step in answer.scores):
        return True
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
    """A verdict in words, and the largest difference of scores where all is the same."""
    found, worst = attempt(case, expected, answer)
    if not found:
        return "same", worst
    if any("token is forbidden" in words for words in found) and is_dead_end(case, expected, answer):
        return "a dead end for both", 0.0
    with torchs_order():
        found_then, worst_then = attempt(case, expected, answer)
    if not found_then or (found_then <= {"sequences", "beam indices"} and worst_then == 0):
        return f"same but for the order of equals: {', '.join(sorted(words.split(',')[0] for words in found))}", 0.0
    return f"DIFFERENT: {', '.join(sorted(found_then))}", 0.0


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


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--live", type=int, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.live:
        live(arguments.live, arguments.seed)
