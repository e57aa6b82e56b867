"""Ask transformers 5.23.0 to sample, to stop at strings and to stream text, and keep it in golden/sampling.json.

    python golden/sampling.py              write golden/sampling.json
    python golden/sampling.py --check      make it again in memory and compare
    python golden/sampling.py --live N     compare pyled with the reference on N random searches (pyled importable)
    python golden/sampling.py --warpers N  compare the rules of sampling on N random scores

Draws cannot be the same on both sides, so two things are compared. In `searches` the reference's `torch.multinomial` is
replaced by one that takes the places of the largest sums of scores and a fixed noise (`generation_steps.noise`): all
else of sampling and beam sampling must agree. In `counts` nothing is replaced: how often the reference drew each
result.
"""

import argparse
import contextlib
import json
import random
import sys
import warnings
from pathlib import Path

import generation
import numpy as np
import torch
from generation import IDS, ask, is_dead_end, plain, random_case, short, stub
from generation_steps import logits, noise
from transformers import RobertaTokenizer
from transformers.generation import TextStreamer, stopping_criteria
from transformers.generation import logits_process as processors

GOLDEN = Path(__file__).with_name("sampling.json")
TINY = Path(__file__).with_name("tiny")

# 1. The rules of sampling

WARPERS = {
    "temperature": lambda value: processors.TemperatureLogitsWarper(value),
    "top_h": lambda share: processors.TopHLogitsWarper(share),
    "top_k": lambda k, keep: processors.TopKLogitsWarper(k, min_tokens_to_keep=keep),
    "top_p": lambda p, keep: processors.TopPLogitsWarper(p, min_tokens_to_keep=keep),
    "min_p": lambda share, keep: processors.MinPLogitsWarper(share, min_tokens_to_keep=keep),
    "typical_p": lambda mass, keep: processors.TypicalLogitsWarper(mass, min_tokens_to_keep=keep),
    "epsilon_cutoff": lambda epsilon, keep: processors.EpsilonLogitsWarper(epsilon, min_tokens_to_keep=keep),
    "eta_cutoff": lambda epsilon, keep: processors.EtaLogitsWarper(epsilon, min_tokens_to_keep=keep),
}

ROWS = [
    ("temperature", {"value": 0.7}), ("temperature", {"value": 3.0}),
    ("top_h", {"share": 0.2}), ("top_h", {"share": 0.6}), ("top_h", {"share": 1.0}),
    ("top_k", {"k": 1, "keep": 1}), ("top_k", {"k": 5, "keep": 1}), ("top_k", {"k": 1, "keep": 3}),
    ("top_k", {"k": 99, "keep": 1}),
    ("top_p", {"p": 0.0, "keep": 1}), ("top_p", {"p": 0.5, "keep": 1}), ("top_p", {"p": 0.9, "keep": 1}),
    ("top_p", {"p": 0.1, "keep": 3}),
    ("min_p", {"share": 0.05, "keep": 1}), ("min_p", {"share": 0.5, "keep": 1}), ("min_p", {"share": 1.0, "keep": 3}),
    ("min_p", {"share": 1.0, "keep": 99}),
    ("typical_p", {"mass": 0.2, "keep": 1}), ("typical_p", {"mass": 0.9, "keep": 1}),
    ("typical_p", {"mass": 0.05, "keep": 3}), ("typical_p", {"mass": 0.99999999, "keep": 1}),
    ("epsilon_cutoff", {"epsilon": 0.05, "keep": 1}), ("epsilon_cutoff", {"epsilon": 0.9, "keep": 3}),
    ("eta_cutoff", {"epsilon": 0.02, "keep": 1}), ("eta_cutoff", {"epsilon": 0.9, "keep": 3}),
    ("eta_cutoff", {"epsilon": 0.9, "keep": 8}),
    ("eta_cutoff", {"epsilon": 0.9, "keep": 1}), ("eta_cutoff", {"epsilon": 0.0005, "keep": 1}),
]  # fmt: skip

TABLE = {
    "step": {"kind": "soft", "vocab": 24, "memory": 0, "spread": 7},
    "seeds": [5, 6, 7, 8],
    "shift": 3,
    "ids": [[2, 1], [2, 5], [4, 4], [2, 8]],
    "forbidden": [3, 11, 20],  # their score is -inf in every row
}


# A row whose probabilities are exact: a half, a quarter and twice an eighth. Bounds are equal to some of them.
EXACT = [0.0, -0.6931472, -1.3862944, -1.3862944]
EXACT_ROWS = [
    ("top_p", {"p": 0.75, "keep": 1}), ("min_p", {"share": 0.5, "keep": 1}),
    ("epsilon_cutoff", {"epsilon": 0.25, "keep": 1}), ("top_h", {"share": 1.0}),
]  # fmt: skip


def exact():
    """Return what each warper of the reference makes of the row of exact probabilities."""
    scores, rows = torch.tensor([EXACT], dtype=torch.float32), []
    for name, arguments in EXACT_ROWS:
        after = WARPERS[name](*arguments.values())(torch.tensor([[2]]), scores.clone())
        rows.append({"name": name, "arguments": arguments, "after": plain(after.numpy())})
    return {"scores": EXACT, "rows": rows}


def table():
    """Return what each warper of the reference makes of the same scores."""
    scores = logits(TABLE["step"], np.array(TABLE["seeds"]), np.array(TABLE["ids"])) - np.float32(TABLE["shift"])
    scores[:, TABLE["forbidden"]] = -np.inf
    rows = []
    for name, arguments in ROWS:
        after = WARPERS[name](*arguments.values())(torch.tensor(TABLE["ids"]), torch.from_numpy(scores.copy()))
        rows.append({"name": name, "arguments": arguments, "after": plain(after.numpy())})
    return {**TABLE, "rows": rows}


def random_warper(rng):
    """Return a warper's name and arguments, and scores of two rows."""
    name = rng.choice(list(WARPERS))
    generator = np.random.default_rng(rng.randrange(2**32))
    vocab = int(rng.choice([3, 12, 60, 300, 5000]))
    scores = generator.normal(size=(2, vocab)) * rng.choice([0.1, 1, 4, 20]) + rng.choice([-30, 0, 10])
    if rng.random() < 0.3:
        scores = np.round(scores * 2) / 2  # equals
    scores = scores.astype(np.float32)
    scores[:, 1:][generator.random((2, vocab - 1)) < rng.choice([0, 0, 0.5])] = -np.inf
    value = {"temperature": rng.uniform(0.05, 4), "top_k": rng.randint(1, 80), "top_h": rng.uniform(0.01, 1)}
    small = rng.choice([rng.uniform(1e-5, 0.01), rng.uniform(0.01, 0.99)])
    value = value.get(name, small if "cutoff" in name else rng.uniform(0.01, 0.99))
    keep = rng.choice([1, 1, 2, 3])
    return name, [value, keep][: 1 if name in ("temperature", "top_h") else 2], scores


def compare_warpers(count, seed):
    """Compare on random scores; print every one whose masks differ."""
    from pyled.generation import warpers

    counts, worst = {}, 0.0
    np.seterr(invalid="ignore")
    for number in range(count):
        name, arguments, scores = random_warper(random.Random(seed * 1_000_000 + number))
        ids = np.zeros((2, 1), np.int64)
        theirs = WARPERS[name](*arguments)(torch.from_numpy(ids), torch.from_numpy(scores.copy())).numpy()
        ours = getattr(warpers, name)(ids, scores, *arguments)
        if np.array_equal(np.isneginf(ours), np.isneginf(theirs)):
            verdict = "same"
            worst = max(worst, float(np.abs(ours - theirs)[np.isfinite(ours)].max(initial=0)))
        else:
            equals = np.array_equal(np.sort(ours, axis=1), np.sort(theirs, axis=1))
            verdict = "same but for the order of equals" if equals else "DIFFERENT"
        counts[name, verdict] = counts.get((name, verdict), 0) + 1
        if verdict == "DIFFERENT":
            print(number, name, arguments, scores.shape)
    for (name, verdict), times in sorted(counts.items()):
        print(f"{times:6d}  {name}: {verdict}")
    print(f"largest difference of values: {worst:.3g}")


# 2. Searches with the same draws on both sides


@contextlib.contextmanager
def fixed_draws(gaps):
    """Let the reference draw by fixed noise; `gaps` collects by how much each choice was clear."""
    functional, multinomial, softmax = torch.nn.functional, torch.multinomial, torch.nn.functional.softmax
    last = []

    def remember(scores, dim=None, **more):
        last[:] = [scores]
        return softmax(scores, dim=dim, **more)

    def draw(probs, num_samples, **unused):
        noisy = last[0] + torch.from_numpy(noise(probs.shape[-1]))
        places = torch.topk(noisy, num_samples)[1]
        drawn = torch.gather(last[0], 1, places)
        for values in (torch.topk(noisy, min(num_samples + 1, noisy.shape[-1]))[0], torch.sort(drawn)[0]):
            gaps.extend(gap for row in values.double() for gap in torch.diff(row[row > -1e8]).abs().tolist())
        return places

    functional.softmax, torch.multinomial = remember, draw
    try:
        yield
    finally:
        functional.softmax, torch.multinomial = softmax, multinomial


def sampled_case(rng):
    """Return a random case of `generation` that samples."""
    case = random_case(rng)
    settings, step = case["settings"], case["step"]
    if step["kind"] == "exact":
        case["step"] = {**step, "kind": "soft", "spread": rng.choice([3, 6, 10])}
    settings.update(do_sample=True, top_k=rng.choice([0, 3, 8, 50]))
    if settings["num_beams"] == 1 and "allowed_modulus" not in case:  # which gets the row there, and the document here
        settings["num_return_sequences"] = rng.choice([1, 1, 2, 4])
    for name, values in {
        "temperature": [0.5, 1.7], "top_p": [0.6, 0.95], "min_p": [0.02, 0.3], "typical_p": [0.3, 0.9],
        "epsilon_cutoff": [0.01, 0.1], "eta_cutoff": [0.01, 0.2], "top_h": [0.4, 0.9],
    }.items():  # fmt: skip
        if rng.random() < 0.4:
            settings[name] = rng.choice(values)
    return case


def sampled(model, case):
    """Return the reference's answer, and the least gap between what was chosen and what was not."""
    gaps = [np.inf]
    with fixed_draws(gaps):
        expected, answer = ask(model, case)
    return expected, answer, min(gaps)


def searches(count):
    """Return cases with the reference's answers whose choices were all clear."""
    model, cases, number = stub(), [], 0
    while len(cases) < count:
        case = sampled_case(random.Random(number))
        number += 1
        try:
            expected, answer, gap = sampled(model, case)
        except (ValueError, RuntimeError):
            continue
        real = not is_dead_end(case, expected, answer) and min(expected.get("sequences_scores", [0.0])) > -1e8
        if real and gap > 1e-3:
            if "sequences_scores" in expected:
                expected["sequences_scores"] = short(expected["sequences_scores"])
            cases.append({**case, "expected": expected})
    return cases


@contextlib.contextmanager
def fixed_draws_of_ours():
    from pyled.generation import beam
    from pyled.generation.draws import Draws

    stock = Draws.__call__
    Draws.__call__ = lambda self, scores, count: beam.best(scores + noise(scores.shape[1]), count)
    try:
        yield
    finally:
        Draws.__call__ = stock


def live(count, seed):
    """Compare on `count` random cases and print every one that is not the same."""
    model, counts = stub(), {}
    for number in range(count):
        case = sampled_case(random.Random(seed * 1_000_000 + number))
        try:
            expected, answer, gap = sampled(model, case)
        except (ValueError, IndexError, RuntimeError) as e:
            verdict = f"the reference fails: {type(e).__name__}: {e}"[:80]
        else:
            with fixed_draws_of_ours():
                verdict, _ = generation.compare(case, expected, answer)
            if verdict.startswith("DIFFERENT") and gap < 1e-5:
                verdict = "a choice between equals"
        counts[verdict] = counts.get(verdict, 0) + 1
        if verdict.startswith("DIFFERENT"):
            print(number, verdict, gap, json.dumps(case))
    for verdict, times in sorted(counts.items(), key=lambda item: -item[1]):
        print(f"{times:6d}  {verdict}")


# 3. How often the reference draws each result

COUNTED = [
    {"settings": {"do_sample": True, "num_beams": 1, "top_k": 0, "temperature": 1.5, "max_new_tokens": 2}},
    {"settings": {"do_sample": True, "num_beams": 1, "top_k": 3, "max_new_tokens": 2}},
    {"settings": {"do_sample": True, "num_beams": 2, "top_k": 0, "max_new_tokens": 2}},
    {"settings": {"do_sample": True, "num_beams": 3, "top_k": 4, "max_new_tokens": 3, "length_penalty": 0.5}},
]
DRAWN = 6_000


def counts():
    """Return how often each sequence comes first, of as many documents, all of which have the same logits."""
    model, cases = stub(), []
    for case in COUNTED:
        step = {"kind": "soft", "vocab": 6, "memory": 0, "spread": 3, "seeds": [7], "eos": [2], "eos_bonus": 0}
        torch.manual_seed(0)
        many = {**step, "seeds": [7] * DRAWN}
        settings = {**IDS, **case["settings"]}
        _, answer = ask(model, {"step": many, "settings": settings, "encoder_ids": [[5]] * DRAWN})
        rows, times = torch.unique(answer.sequences, dim=0, return_counts=True)
        cases.append({"step": step, "settings": settings, "rows": rows.tolist(), "times": times.tolist()})
    return cases


# 4. Stop strings, and text piece by piece


def tokenizer():
    """Return the tokenizer of tiny/, as 5.23.0 has it, with a token that is no string of symbols."""
    result = RobertaTokenizer.from_pretrained(TINY)
    result.add_tokens([" a b"])
    return result


def stop_strings(count):
    """Return random rows of ids, and which of them the reference takes for stopped."""
    tokens, rng, cases = tokenizer(), random.Random(0), []
    texts = [path.read_text(encoding="utf-8") for path in sorted((TINY / "documents").glob("*.txt"))]
    while len(cases) < count:
        ids = tokens(rng.choice(texts), add_special_tokens=rng.random() < 0.3)["input_ids"]
        ids = [rng.choice([600, 2, rng.randrange(601)]) if rng.random() < 0.05 else token for token in ids]
        begin = rng.randrange(len(ids) - 30)
        rows = [ids[begin : begin + 20], ids[begin + 5 : begin + 25]]
        text = tokens.decode(rows[0])
        places = [rng.randrange(len(text)) for _ in range(rng.randint(1, 3))]
        strings = [text[max(0, at - rng.randint(1, 7)) : at + 1] for at in places]
        last = tokens.decode(rows[1][-2:])
        strings.append(last[: rng.randint(1, len(last))] if rng.random() < 0.5 else last)
        criterion = stopping_criteria.StopStringCriteria(tokens, strings)
        is_stopped = criterion(torch.tensor(rows), None).tolist()
        cases.append({"strings": strings, "rows": rows, "is_stopped": is_stopped})
    return cases


class Pieces(TextStreamer):
    """Keeps what it is handed."""

    def on_finalized_text(self, text, stream_end=False):
        self.pieces.append([text, stream_end])


def streams():
    """Return the pieces in which the reference's streamer lets go on some texts."""
    tokens, cases = tokenizer(), []
    texts = [
        "A lamp stood on the table.",
        "one\ntwo\n\n three ",
        "\u65e5\u672c\u8a9e and caf\u00e9 \u00fc\U0001f600 x",
        "",
        " ",
        "a\u3042b \u4e00",
    ]
    for text in texts:
        for keywords in ({}, {"skip_prompt": True}, {"skip_prompt": True, "skip_special_tokens": True}):
            streamer = Pieces(tokens, **keywords)
            streamer.pieces = []
            ids = [*tokens(text, add_special_tokens=False)["input_ids"], 2]
            streamer.put(torch.tensor([[2, 0]]))
            for token in ids:
                streamer.put(torch.tensor([token]))
            streamer.end()
            cases.append({"prompt": [2, 0], "ids": ids, "keywords": keywords, "pieces": streamer.pieces})
    return cases


def make():
    """Return the whole of golden/sampling.json."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "warpers": table(),
            "exact": exact(),
            "searches": searches(80),
            "counts": counts(),
            "stop_strings": stop_strings(60),
            "streams": streams(),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with what is stored")
    parser.add_argument("--live", type=int, metavar="N", help="compare pyled with the reference on N random searches")
    parser.add_argument("--warpers", type=int, metavar="N", help="compare the rules of sampling on N random scores")
    parser.add_argument("--seed", type=int, default=0, help="of what is random")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.live:
        live(arguments.live, arguments.seed)
    elif arguments.warpers:
        compare_warpers(arguments.warpers, arguments.seed)
    elif not arguments.check:
        GOLDEN.write_text(generation.text(make()))
    elif GOLDEN.read_text() != generation.text(make()):
        sys.exit("golden/sampling.json is not what the reference says")


if __name__ == "__main__":
    main()
