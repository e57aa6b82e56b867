"""5. Documents with their references, the scores of every system's texts, and the means over groups of documents.

A system is what summarizes: the model, a variant of it, or a baseline. The model is the first.
"""

from collections.abc import Mapping, Sequence
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

    def record(self) -> dict[str, Any]:
        """Return all but the document, as plain values of JSON; a score is precision, recall and F1."""
        pair = {"input": self.pair.input, "place": self.pair.place, "summary": self.pair.reference}
        tokens = {"source_tokens": self.tokens, "truncated_tokens": self.truncated}
        return {**pair, **tokens, "texts": self.texts, "scores": self.scores}


def score(pair: Pair, tokens: int, truncated: int, summaries: Mapping[str, str], words: int, scorer: Scorer) -> Scored:
    """Score the models' summaries of a pair's document, and the baselines, which are cut to so many words."""
    texts = {**summaries, **baselines(pair.document, words)}
    return Scored(pair, tokens, truncated, texts, {name: scorer(pair.reference, text) for name, text in texts.items()})


def mean_words(texts: Sequence[str]) -> float:
    """Return how many words texts have on average; white space separates them."""
    return sum(len(text.split()) for text in texts) / len(texts)


def groups(scored: Sequence[Scored], inputs: Sequence[str]) -> list[dict[str, Any]]:
    """Return the `means` over all documents; those of each of several inputs; the short and the long ones apart.

    Each has its "input", None for all, and its "length": "all", "short" (at most LONG tokens), or "long".
    """
    parts: list[tuple[str | None, str, Sequence[Scored]]] = [(None, "all", scored)]
    if len(inputs) > 1:
        parts += [(name, "all", [one for one in scored if one.pair.input == name]) for name in inputs]
    short = [one for one in scored if one.tokens <= LONG]
    long = [one for one in scored if one.tokens > LONG]
    if short and long:
        parts += [(None, "short", short), (None, "long", long)]
    return [{"input": name, "length": length, **means(part)} for name, length, part in parts if part]


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

    def of_metric(place: tuple[int, int]) -> dict[str, Any]:
        estimates = [dict(zip(("mean", "low", "high"), each[place].tolist(), strict=True)) for each in (f1s, leads)]
        of_one = {"precision": precision[place].item(), "recall": recall[place].item()}
        return {**of_one, "fmeasure": estimates[0], "lead": estimates[1]}

    by_system = {}
    for s, name in enumerate(systems):
        words = round(mean_words([one.texts[name] for one in scored]), DIGITS)
        by_system[name] = {"words": words, "scores": {metric: of_metric((s, m)) for m, metric in enumerate(metrics)}}
    return {"documents": len(scored), "systems": by_system}
