"""6. What is compared with what: pairs, the texts of all systems for each, and means over groups of them.

Letters: N documents, R resamples, K systems, the model first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .baselines import baselines
from .bootstrap import Floats, interval, resampled_means
from .rouge import METRICS, Score, scores, words

LONG = 1024  # tokens; documents of more are counted apart, too


@dataclass(frozen=True)
class Pair:
    """A document and the summary that somebody wrote of it, from a line of an input."""

    input: str
    line: int
    document: str
    summary: str


@dataclass(frozen=True)
class Judged:
    """What each system made of a pair's document, and how it scores.

    tokens: of the whole document as the model counts them; truncated of them were not read
    """

    pair: Pair
    tokens: int
    truncated: int
    texts: Mapping[str, str]
    scores: Mapping[str, Mapping[str, Score]]


def judge(pair: Pair, tokens: int, truncated: int, made: Mapping[str, str], count: int, stemmer: bool) -> Judged:
    """The texts that models made, and those of the baselines, which are cut to `count` words, with their scores."""
    texts = {**made, **baselines(pair.document, count)}
    found = {name: scores(pair.summary, text, stemmer) for name, text in texts.items()}
    return Judged(pair, tokens, truncated, texts, found)


def mean_words(pairs: Sequence[Pair]) -> int:
    """How many words a reference has on average, rounded: what stands between white space."""
    return round(sum(len(pair.summary.split()) for pair in pairs) / len(pairs))


def metrics(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Those that say something of these references: rougeLsum is rougeL where all have one line."""
    has_lines = any(len(pair.summary.strip("\n").split("\n")) > 1 for pair in pairs)
    return METRICS if has_lines else METRICS[:-1]


def wordless(pairs: Sequence[Pair]) -> int:
    """How many references have no word that ROUGE counts, so that nothing can score on them."""
    return sum(not words(pair.summary) for pair in pairs)


class Estimate(NamedTuple):
    """A mean over documents, and the interval that the bootstrap gives."""

    mean: float
    low: float
    high: float


Table = Mapping[str, Mapping[str, Mapping[str, Estimate]]]  # by system, metric, and field of Score


@dataclass(frozen=True)
class Group:
    """Some of the documents.

    input: the one they are from; None for all
    tokens: "all", or "short" and "long" for those of at most LONG tokens and of more
    lengths: how many words each system's texts have on average
    scores: of each system; leads: how much more the model has than each other one, on the same documents
    """

    input: str | None
    tokens: str
    documents: int
    lengths: Mapping[str, float]
    scores: Table
    leads: Table


def groups(judged: Sequence[Judged], inputs: Sequence[str], seed: int) -> list[Group]:
    """All documents; those of each of several inputs; the short and the long ones, where there are both."""
    found = [group(judged, None, "all", seed)]
    if len(inputs) > 1:
        for one in inputs:
            of_it = [item for item in judged if item.pair.input == one]
            found += [group(of_it, one, "all", seed)] if of_it else []
    short = [item for item in judged if item.tokens <= LONG]
    long = [item for item in judged if item.tokens > LONG]
    if short and long:
        found += [group(short, None, "short", seed), group(long, None, "long", seed)]
    return found


def group(judged: Sequence[Judged], input: str | None, tokens: str, seed: int) -> Group:
    """The means over some documents, of at least one, and their intervals."""
    names = metrics([one.pair for one in judged])
    N, systems = len(judged), list(judged[0].scores)
    values = np.array([[[one.scores[system][name] for name in names] for system in systems] for one in judged])
    # values: (N, K, metrics, 3)
    resampled = resampled_means(values.reshape(N, -1), seed).reshape(-1, *values.shape[1:])  # (R, K, metrics, 3)
    lengths = {system: sum(len(item.texts[system].split()) for item in judged) / N for system in systems}
    means = values.mean(axis=0)
    leads = _table(means[:1] - means[1:], resampled[:, :1] - resampled[:, 1:], systems[1:], names)
    return Group(input, tokens, N, lengths, _table(means, resampled, systems, names), leads)


def _table(means: Floats, resampled: Floats, systems: Sequence[str], names: Sequence[str]) -> Table:
    """Means, and those of resamples, by their names.

    means: (K, metrics, 3) float
    resampled: (R, K, metrics, 3) float
    """
    low, high = interval(resampled)
    return {
        system: {
            name: {
                field: Estimate(*(float(part[k, m, f]) for part in (means, low, high)))
                for f, field in enumerate(Score._fields)
            }
            for m, name in enumerate(names)
        }
        for k, system in enumerate(systems)
    }


@dataclass(frozen=True)
class Results:
    """What a run found.

    made: the record of the model and of how it was used: "model", "versions", "dtype", "weights", "settings"
    windows: the model's attention windows
    cuts: for each input that has a pair, how many words its baselines are cut to
    failed: how many pairs could not be read, or not summarized, and are in no figure
    wordless: how many references have no word that ROUGE counts
    """

    made: Mapping[str, Any]
    windows: Sequence[int]
    cuts: Mapping[str, int]
    judged: Sequence[Judged]
    groups: Sequence[Group]
    stemmer: bool
    seed: int
    failed: int
    wordless: int
