"""5. Documents with their references, the scores of every system's texts, and the means over groups of documents.

A system is what summarizes: the model, a variant of it, or a baseline. The model is the first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .baselines import baselines
from .bootstrap import interval, resampled_means
from .rouge import METRICS, Scorer, Scores

LONG = 1024  # tokens; documents of more are a group of their own, too
DIGITS = 6  # of a mean behind its point: what follows may differ from machine to machine


@dataclass(frozen=True)
class Pair:
    """A document and its reference, the summary that somebody wrote; place: in the input, as "line 3"."""

    input: str
    place: str
    document: str
    reference: str


@dataclass(frozen=True)
class Scored:
    """A pair with the text of every system and its scores.

    tokens: of the whole document, as the model counts them; `truncated` of them are not read
    """

    pair: Pair
    tokens: int
    truncated: int
    texts: Mapping[str, str]
    scores: Mapping[str, Scores]


def score(pair: Pair, tokens: int, truncated: int, summaries: Mapping[str, str], words: int, scorer: Scorer) -> Scored:
    """Score the models' summaries of a pair's document, and the baselines, which are cut to so many words."""
    texts = {**summaries, **baselines(pair.document, words)}
    return Scored(pair, tokens, truncated, texts, {name: scorer(pair.reference, text) for name, text in texts.items()})


def mean_words(texts: Sequence[str]) -> float:
    """Return how many words texts have on average; white space separates them."""
    return sum(len(text.split()) for text in texts) / len(texts)


def groups(scored: Sequence[Scored], inputs: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the `means` over all documents; those of each of several inputs; the short and the long ones apart.

    Each has its "input", None for all, and its "length": "all", "short" (at most LONG tokens), or "long".
    """
    yield {"input": None, "length": "all", **means(scored)}
    for name in inputs if len(inputs) > 1 else ():
        if of_input := [one for one in scored if one.pair.input == name]:
            yield {"input": name, "length": "all", **means(of_input)}
    short = [one for one in scored if one.tokens <= LONG]
    long = [one for one in scored if one.tokens > LONG]
    if short and long:
        yield {"input": None, "length": "short", **means(short)}
        yield {"input": None, "length": "long", **means(long)}


def means(scored: Sequence[Scored]) -> dict[str, Any]:
    """Return the means over some documents, at least one, as plain values of JSON: by system, then by metric.

    fmeasure: the mean F1, and the ends of its interval
    lead: the same of the model's F1 minus the system's, on the same documents
    """
    # rougeLsum compares line by line: it equals rougeL where every reference has one line.
    has_lines = any("\n" in one.pair.reference.strip("\n") for one in scored)
    metrics, systems = METRICS if has_lines else METRICS[:-1], list(scored[0].scores)
    scores = np.array([[[one.scores[name][metric] for metric in metrics] for name in systems] for one in scored])
    # scores: (documents, systems, metrics, 3)
    precision, recall, f1 = np.moveaxis(scores.mean(axis=0).round(DIGITS), -1, 0)  # each (systems, metrics)
    resampled = resampled_means(scores[..., 2].reshape(len(scored), -1)).reshape(-1, *f1.shape)
    # resampled: (resamples, systems, metrics)
    f1s = np.stack([f1, *interval(resampled)], axis=-1).round(DIGITS)  # (systems, metrics, 3)
    leads = np.stack([f1[:1] - f1, *interval(resampled[:, :1] - resampled)], axis=-1).round(DIGITS)
    ends = ("mean", "low", "high")

    def of_metric(s: int, m: int) -> dict[str, Any]:
        return {
            "precision": precision[s, m].item(),
            "recall": recall[s, m].item(),
            "fmeasure": dict(zip(ends, f1s[s, m].tolist(), strict=True)),
            "lead": dict(zip(ends, leads[s, m].tolist(), strict=True)),
        }

    return {
        "documents": len(scored),
        "systems": {
            name: {
                "words": round(mean_words([one.texts[name] for one in scored]), DIGITS),
                "scores": {metric: of_metric(s, m) for m, metric in enumerate(metrics)},
            }
            for s, name in enumerate(systems)
        },
    }
