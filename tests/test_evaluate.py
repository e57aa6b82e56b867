"""What `pyled evaluate` computes: the way of a text to rouge-score, baselines, intervals, groups, tables."""

import json
import math
import re
import sys
from collections import Counter

import numpy as np
import pytest
from checkpoints import TINY, changed, summary
from examples import EXAMPLES
from hypothesis import example, given, settings
from hypothesis import strategies as st

import pyled
from pyled.errors import InputError
from pyled.evaluation import baselines, bootstrap, report
from pyled.evaluation.baselines import BASELINES, central_sentence, sentences
from pyled.evaluation.bootstrap import interval, resampled_means
from pyled.evaluation.groups import Pair, groups, mean_words, score
from pyled.evaluation.rouge import METRICS, has_words, scorer
from pyled.evaluation.systems import HALF_WINDOW, MODEL, NO_GLOBAL, systems
from pyled.tasks import Summarizer

quickly = settings(max_examples=EXAMPLES, deadline=None)


# 1. ROUGE


def test_a_text_is_scored_against_its_reference():
    scores = scorer()("The cat sat there.\nA dog ran off.", "A dog, the cat")
    assert tuple(scores) == METRICS
    assert tuple(scores["rouge1"]) == (1, 0.5, 2 / 3)  # precision, recall, F1
    assert tuple(scores["rougeL"])[:2] == (0.5, 0.25)
    assert tuple(scores["rougeLsum"])[:2] == (1, 0.5)  # line by line


def test_stems_are_compared_where_they_are_asked_for():
    assert [scorer(stemmer)("keeper walking", "Keepers walked")["rouge1"][2] for stemmer in (False, True)] == [0, 1]


def test_a_word_has_a_letter_or_a_digit():
    for text in ("lamp", "7", "É\u212a", "...", "\u4e00\u76cf", ""):
        assert has_words(text) == (scorer()(text, text)["rouge1"][2] > 0), text


def test_without_rouge_score_the_remedy_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    with pytest.raises(InputError, match=r"pip install 'pyled\[evaluate\]'"):
        scorer()


# 2. Baselines


def test_sentences_end_with_a_mark_or_a_blank_line():
    text = (
        ' The lamp\n burns. "Does it?" Yes (it does.) No! At 9.5 m,\n\nthe end\u2026 \u4e00\u76cf\u706f\u3002'
        "\u300c\u706f\u3002\u300d\u4ed6 "
    )
    assert sentences(text) == [
        "The lamp burns.",
        '"Does it?"',
        "Yes (it does.)",
        "No!",
        "At 9.5 m,",
        "the end\u2026",
        "\u4e00\u76cf\u706f\u3002",
        "\u300c\u706f\u3002\u300d",
        "\u4ed6",
    ]
    assert sentences("one line\nand another") == ["one line and another"]


def mean_cosines(lines):
    """The mean cosine of each sentence with all, by matrices of tf-idf."""
    counts = [Counter(line.split()) for line in lines]
    vocabulary = sorted({word for count in counts for word in count})
    times = np.array([[count[word] for word in vocabulary] for count in counts], np.float64)
    rows = times * np.log(1 + len(lines) / (times > 0).sum(axis=0))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows @ rows.T).mean(axis=1)


@quickly
@example(["of of", "keeper", "of lamp keeper", "of"])  # where it matters what a word weighs
@given(st.lists(st.lists(st.sampled_from("abcde"), min_size=1, max_size=6).map(" ".join), min_size=1, max_size=6))
def test_the_central_sentence_is_the_one_most_like_all(lines):
    cosines = mean_cosines(lines)
    assert cosines[central_sentence(lines)] >= cosines.max() - 1e-12


def test_of_sentences_that_are_alike_the_first_is_central():
    assert central_sentence(["a b", "c", "a b"]) == 0
    assert central_sentence(["lamp", "keeper the", "of"]) == 0  # two squares of 0.707 are more than 1
    assert central_sentence(["...", "!"]) == 0


def test_baselines_are_sentences_whole_and_cut_and_the_first_words():
    document = "A lamp. The keeper of the lamp burns oil. Oil for the lamp of the keeper burns."
    texts = baselines.baselines(document, 3)
    assert tuple(texts) == BASELINES
    assert texts["first sentence"] == texts["first sentence, cut"] == "A lamp."
    assert texts["central sentence, cut"] == " ".join(texts["central sentence"].split()[:3])
    assert texts["central sentence"] in sentences(document)[1:]
    assert texts["first words"] == "A lamp. The"
    assert baselines.baselines(document, 1)["first sentence, cut"] == "A"


# 3. Intervals


def test_resamples_are_means_of_documents_drawn_again_and_again(monkeypatch):
    values = np.random.default_rng(3).random((7, 2))
    rng = np.random.default_rng(5)
    expected = [values[rng.integers(0, 7, 7)].mean(axis=0) for _ in range(100)]
    assert np.allclose(resampled_means(values, 100, 5), expected, rtol=0, atol=1e-15)
    monkeypatch.setattr(bootstrap, "_NUMBERS", 50)  # blocks of 7 resamples
    assert np.allclose(resampled_means(values, 100, 5), expected, rtol=0, atol=1e-15)
    assert not np.allclose(resampled_means(values, 100, 6), expected)


def binomial_quantile(count, q):
    """The smallest number of heads that count throws have at most with a probability of q."""
    total = 0
    for heads in range(count + 1):
        total += math.comb(count, heads) / 2**count
        if total >= q:
            return heads
    raise AssertionError


@pytest.mark.parametrize("N", [2, 10, 30, 100])
def test_the_interval_of_zeros_and_ones_is_that_of_the_binomial_distribution(N):
    """Of N documents, half of which score 1, a resample has as many ones as N coins have heads."""
    values = np.arange(N)[:, None] % 2.0
    low, high = interval(resampled_means(values))
    assert (round(low[0] * N), round(high[0] * N)) == (binomial_quantile(N, 0.025), binomial_quantile(N, 0.975))


def test_as_many_resamples_lie_above_as_below():
    low, high = interval(np.arange(10_001.0)[:, None] / 10_000)
    assert (low[0], high[0]) == (pytest.approx(0.025), pytest.approx(0.975))


# 4. Groups


def scored(tokens, text, reference="lamp", input="a", truncated=0, words=2, **more):
    pair = Pair(input, "line 1", "A lamp burns. It is old.", reference)
    return score(pair, tokens, truncated, {MODEL: text, **more}, words, scorer())


def estimates(group, system, metric, field="fmeasure"):
    return group["systems"][system]["scores"][metric][field]


def test_every_text_is_scored_against_the_reference():
    one = scored(9, "the lamp", truncated=3, words=1)
    assert (one.tokens, one.truncated) == (9, 3)
    assert list(one.texts) == list(one.scores) == [MODEL, *BASELINES]
    assert tuple(one.scores[MODEL]["rouge1"]) == (0.5, 1.0, 2 / 3)
    assert one.texts["first sentence, cut"] == "A"
    assert mean_words(["a b c d", " e\n"]) == 2.5


def test_a_group_has_means_and_leads_over_the_same_documents():
    (group,) = groups([scored(5, "lamp", other="lamp"), scored(5, "moon", other="the lamp")], ["a"])
    assert (group["input"], group["length"], group["documents"]) == (None, "all", 2)
    assert estimates(group, MODEL, "rouge1") == {"mean": 0.5, "low": 0, "high": 1}
    other = group["systems"]["other"]["scores"]["rouge1"]
    assert (other["precision"], other["recall"]) == (0.75, 1)
    assert other["fmeasure"]["mean"] == pytest.approx((1 + 2 / 3) / 2, abs=1e-6)
    assert other["lead"] == {"mean": pytest.approx(-1 / 3, abs=1e-6), "low": pytest.approx(-2 / 3, abs=1e-6), "high": 0}
    assert list(group["systems"]) == [MODEL, "other", *BASELINES]
    assert group["systems"]["other"]["words"] == 1.5
    assert list(group["systems"][MODEL]["scores"]) == ["rouge1", "rouge2", "rougeL"]


def test_a_difference_that_all_documents_share_has_no_width():
    (group,) = groups([scored(5, "a b", f"a b {tail}", other="b a") for tail in ("c", "c d", "c d e")], ["a"])
    f1 = estimates(group, MODEL, "rouge1")
    assert f1["low"] < f1["mean"] < f1["high"]
    assert estimates(group, "other", "rouge1", "lead") == {"mean": 0, "low": 0, "high": 0}


def test_lines_are_compared_where_references_have_several():
    (group,) = groups([scored(5, "lamp"), scored(5, "lamp", reference="lamp\nmoon")], ["a"])
    assert tuple(group["systems"][MODEL]["scores"]) == METRICS
    (group,) = groups([scored(5, "lamp", reference="lamp\n")], ["a"])
    assert tuple(group["systems"][MODEL]["scores"]) == METRICS[:3]


def test_long_documents_and_each_input_are_counted_apart():
    every = [scored(1024, "lamp"), scored(1025, "moon"), scored(4000, "lamp", input="b")]
    parts = list(groups(every, ["a", "b"]))
    assert [(one["input"], one["length"], one["documents"]) for one in parts] == [
        (None, "all", 3),
        ("a", "all", 2),
        ("b", "all", 1),
        (None, "short", 1),
        (None, "long", 2),
    ]
    assert [estimates(one, MODEL, "rouge1")["mean"] for one in parts[1:]] == [0.5, 1, 1, 0.5]
    assert [one["length"] for one in groups(every[1:2], ["a"])] == ["all"]
    assert [one["input"] for one in groups(every[:1], ["a", "b"])] == [None, "a"]


# 5. Systems


@pytest.fixture(scope="module")
def summarizer():
    return Summarizer(TINY, max_length=5)


def test_without_ablation_there_is_the_model(summarizer):
    assert systems(summarizer, ablate=False) == {MODEL: summarizer}


def test_what_is_taken_away_is_taken_away_and_nothing_else(summarizer, tmp_path):
    text = "The keeper wrote it down, and went up to the lamp."
    narrow = changed(tmp_path / "narrow", config={"attention_window": 4}, generation={})
    expected = {
        MODEL: summary(text, max_length=5),
        NO_GLOBAL: summary(text, max_length=5, global_attention="none"),
        HALF_WINDOW: pyled.summarize(text, narrow, max_length=5),
    }
    summaries = {name: system(text) for name, system in systems(summarizer, ablate=True).items()}
    assert list(summaries) == list(expected)
    for name, one in expected.items():
        assert (summaries[name].text, summaries[name].score) == (one.text, one.score)
        assert summaries[name].global_tokens == one.global_tokens
    assert len({one.score for one in expected.values()}) == 3
    assert summarizer.loaded.model.config.one_sided_window(0) == 4  # as before


def test_what_cannot_be_taken_away_is_told(tmp_path):
    narrow = Summarizer(changed(tmp_path / "narrow", config={"attention_window": 2}, generation={}))
    with pytest.raises(InputError, match="window of 2 tokens cannot be halved"):
        systems(narrow, ablate=True)
    with pytest.raises(InputError, match="leaves no global attention"):
        systems(Summarizer(TINY, global_attention="none"), ablate=True)


# 6. Tables

SETUP = {
    "model": "my_led",
    "versions": {"pyled": "0.1"},
    "dtype": "float32",
    "weights": "int8",
    "encoder": "int16",
    "settings": {
        "global_attention": {"value": "first", "origin": "pyled"},
        "num_beams": {"value": 2, "origin": "command line"},
        "min_length": {"value": 0, "origin": "default"},
    },
    "stemmer": False,
}


def recorded(every, words=None, failed=0, **more):
    return report.record(SETUP | more, words or {"a": 2}, every, failed)


def cells(text, metric, system):
    """The cells of a system's row in the first table of a metric."""
    table = text[text.index(metric) :].split("\n\n")[0]
    row = next(line for line in table.splitlines() if line.startswith(system + "  "))
    return re.split(r"  +", row)


def test_the_table_says_what_was_measured():
    text = report.tables(recorded([scored(5, "lamp"), scored(5, "two moons")]))
    assert cells(text, "ROUGE-1", MODEL) == [MODEL, "1.5", "0.5000", "0.5000", "0.5000", "0.0000", "1.0000"]
    assert cells(text, "ROUGE-L", "first sentence") == [
        *["first sentence", "3.0", "0.3333", "1.0000", "0.5000", "0.5000", "0.5000"],
        *["+0.0000", "-0.5000", "+0.5000"],
    ]
    assert max(map(len, text.splitlines())) <= 100
    assert "\nall documents\n" in text and "ROUGE-Lsum" not in text
    assert text.partition("\n\n")[0].splitlines() == [
        "my_led, in float32, weights in int8, encoder in int16, pyled 0.1",
        'settings: global_attention "first", num_beams 2',
        "2 documents of a",
        "cut: to as many words as references have on average, 2 in a",
        "ROUGE by rouge-score, without its stemmer: means over documents",
        "lead: the model's F1 minus that of the row, on the same documents",
        "low, high: 95% of 10,000 resamples of the documents lie between them",
    ]


def test_what_was_left_out_is_said():
    every = [scored(2000, "lamp", truncated=976), scored(5, "lamp", input="b"), scored(1024, "a\nb", "\u4e00\n\u4e8c")]
    record = recorded(every, {"a": 1, "b": 2}, failed=3, stemmer=True)
    lines = report.tables(record).splitlines()
    for line in (
        "3 documents failed, and in no mean",
        "1 document truncated: only the beginning was read",
        "1 document without a word of a-z and 0-9 in the reference: every text scores 0",
        "cut: to as many words as references have on average, 1 in a, 2 in b",
        "ROUGE by rouge-score, with its stemmer: means over documents",
        "3 documents of a, b",
        "2 documents of a",
        "1 document of b",
        "2 documents of at most 1,024 tokens",
        "1 document of more than 1,024 tokens",
    ):
        assert line in lines
    assert "ROUGE-Lsum" in report.tables(record)
    assert json.loads(json.dumps(record)) == record
    assert (record["documents"], record["failed"], record["truncated"], record["wordless_references"]) == (3, 3, 1, 1)
