"""What `pyled evaluate` computes: ROUGE and stems as rouge-score has them, baselines, intervals, groups, tables."""

import itertools
import json
import math
import re
from collections import Counter
from pathlib import Path

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
from pyled.evaluation.evaluation import Estimate, Judged, Pair, Results, groups, judge, mean_words, wordless
from pyled.evaluation.porter import stem
from pyled.evaluation.rouge import METRICS, scores, subsequence, subsequence_places, words
from pyled.evaluation.systems import HALVED, MODEL, NO_GLOBAL, halved, systems, windows
from pyled.tasks import Summarizer

STORED = Path(__file__).parent.parent / "golden" / "rouge.jsonl"
ABOUT, WORDS, *PAIRS = (json.loads(line) for line in STORED.read_text(encoding="ascii").splitlines())

quickly = settings(max_examples=EXAMPLES, deadline=None)
few_words = st.lists(st.sampled_from("abcd"), max_size=9)
texts = st.text(st.sampled_from("ab c,.\nÉ7"), max_size=30)


# 1. ROUGE


def test_the_answers_are_those_of_the_versions_that_are_stated():
    assert ABOUT == {"rouge-score": "0.1.2", "nltk": "3.10.4"}
    assert len(PAIRS) > 250 and len(WORDS["words"]) > 1000


def test_stems_are_nltks():
    wrong = {word: found for word, found in WORDS["words"].items() if stem(word) != found}
    assert wrong == {}


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_those_of_rouge_score_bit_for_bit(metric):
    for pair in PAIRS:
        found = scores(pair["reference"], pair["text"])[metric]
        assert [*found] == pair[metric], pair
        stemmed = scores(pair["reference"], pair["text"], stemmer=True)[metric]
        assert [*stemmed] == pair["stemmed"].get(metric, pair[metric]), pair


def test_words_are_letters_and_digits_and_stems_those_of_more_than_three():
    assert words("It's 3.5 km -- na\u00efve_TEXT\u2026") == ["it", "s", "3", "5", "km", "na", "ve", "text"]
    assert words("the cats ran, was lying", stemmer=True) == ["the", "cat", "ran", "was", "lie"]
    assert words("gas bees", stemmer=True) == ["gas", "bee"]


@quickly
@given(texts)
def test_a_text_is_all_of_itself(text):
    found = scores(text, text)
    count = len(words(text))
    for name in METRICS:
        assert [*found[name]] == [float(count > (name == "rouge2"))] * 3


@quickly
@given(texts, texts)
def test_what_is_precision_one_way_is_recall_the_other(one, other):
    there, back = scores(one, other), scores(other, one)
    for name in METRICS[:3]:  # which of several subsequences rougeLsum takes depends on the way
        assert (there[name].precision, there[name].recall) == (back[name].recall, back[name].precision)
        assert math.isclose(there[name].fmeasure, back[name].fmeasure)
        assert 0 <= there[name].fmeasure <= 1
    assert there["rougeL"].recall <= there["rouge1"].recall


@quickly
@given(few_words, few_words)
def test_of_one_line_both_kinds_of_rouge_l_are_one(one, other):
    found = scores(" ".join(one), " ".join(other))
    assert found["rougeL"] == found["rougeLsum"]


def longest(a, b):
    """The longest common subsequence by its definition: of all of `a`, the longest that is one of `b`."""
    return next(
        size for size in range(len(a), -1, -1) if any(is_within(part, b) for part in itertools.combinations(a, size))
    )


def is_within(part, b):
    rest = iter(b)
    return all(word in rest for word in part)


@quickly
@given(few_words, few_words)
def test_the_longest_common_subsequence_by_its_definition(a, b):
    assert subsequence(a, b) == longest(a, b)
    places = subsequence_places(a, b)
    assert len(places) == longest(a, b) and all(place < len(a) for place in places)
    assert is_within([a[place] for place in sorted(places)], b)


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


def likeness(found):
    """The mean cosine of each sentence with all, by matrices of tf-idf."""
    counts = [Counter(sentence.split()) for sentence in found]
    vocabulary = sorted({word for count in counts for word in count})
    times = np.array([[count[word] for word in vocabulary] for count in counts], np.float64)
    rows = times * np.log(1 + len(found) / (times > 0).sum(axis=0))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows @ rows.T).mean(axis=1)


@quickly
@example(["of of", "keeper", "of lamp keeper", "of"])  # where it matters what a word weighs
@given(st.lists(st.lists(st.sampled_from("abcde"), min_size=1, max_size=6).map(" ".join), min_size=1, max_size=6))
def test_the_central_sentence_is_the_one_most_like_all(found):
    expected = likeness(found)
    assert expected[central_sentence(found)] >= expected.max() - 1e-12


def test_of_sentences_that_are_alike_the_first_is_central():
    assert central_sentence(["a b", "c", "a b"]) == 0
    assert central_sentence(["lamp", "keeper the", "of"]) == 0  # two squares of 0.707 are more than 1
    assert central_sentence(["...", "!"]) == 0


def test_baselines_are_sentences_whole_and_cut_and_the_first_words():
    document = "A lamp. The keeper of the lamp burns oil. Oil for the lamp of the keeper burns."
    made = baselines.baselines(document, 3)
    assert tuple(made) == BASELINES
    assert made["first sentence"] == made["first sentence, cut"] == "A lamp."
    assert made["central sentence, cut"] == " ".join(made["central sentence"].split()[:3])
    assert made["central sentence"] in sentences(document)[1:]
    assert made["first words"] == "A lamp. The"
    assert baselines.baselines(document, 1)["first sentence, cut"] == "A"


# 3. Intervals


def test_resamples_are_means_of_documents_drawn_again_and_again(monkeypatch):
    values = np.random.default_rng(3).random((7, 2))
    rng = np.random.default_rng(5)
    expected = [values[rng.integers(0, 7, 7)].mean(axis=0) for _ in range(100)]
    assert np.allclose(resampled_means(values, 5, 100), expected, rtol=0, atol=1e-15)
    monkeypatch.setattr(bootstrap, "_NUMBERS", 50)  # blocks of 7 resamples
    assert np.allclose(resampled_means(values, 5, 100), expected, rtol=0, atol=1e-15)
    assert not np.allclose(resampled_means(values, 6, 100), expected)


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
    low, high = interval(resampled_means(values, 0))
    assert (round(low[0] * N), round(high[0] * N)) == (binomial_quantile(N, 0.025), binomial_quantile(N, 0.975))


def test_as_many_resamples_lie_above_as_below():
    low, high = interval(np.arange(10_001.0)[:, None] / 10_000)
    assert (low[0], high[0]) == (pytest.approx(0.025), pytest.approx(0.975))


# 4. What is compared


def pair(line, document="A lamp. Two lamps.", reference="lamp", input="a"):
    return Pair(input, line, document, reference)


def judged(tokens, text, reference="lamp", input="a", truncated=0, **more):
    one = Pair(input, 1, "A lamp burns. It is old.", reference)
    return judge(one, tokens, truncated, {MODEL: text, **more}, 2, False)


def test_every_text_is_scored_against_the_reference():
    one = judge(pair(1), 9, 3, {MODEL: "the lamps"}, 1, True)
    assert (one.tokens, one.truncated) == (9, 3)
    assert list(one.texts) == list(one.scores) == [MODEL, *BASELINES]
    assert one.scores[MODEL]["rouge1"] == (0.5, 1.0, 2 / 3)
    assert one.texts["first sentence, cut"] == "A"
    assert judge(pair(1), 9, 3, {MODEL: "the lamps"}, 1, False).scores[MODEL]["rouge1"].fmeasure == 0


def test_means_of_references():
    assert mean_words([pair(1, reference="a b c d"), pair(2, reference=" e\n")]) == 2  # 2.5, to the even
    assert mean_words([pair(1, reference="a b c d"), pair(2, reference="e f g")]) == 4
    assert wordless([pair(1), pair(2, reference="\u4e00\u76cf\u706f"), pair(3, reference="...")]) == 2


def test_a_group_has_means_and_leads_over_the_same_documents():
    found = [judged(5, "lamp", other="lamp"), judged(5, "moon", other="the lamp"), judged(5, "lamp", other="lamp")]
    (group,) = groups(found, ["a"], 0)
    assert (group.input, group.tokens, group.documents) == (None, "all", 3)
    of_model, of_other = (group.scores[name]["rouge1"]["fmeasure"] for name in (MODEL, "other"))
    assert of_model.mean == pytest.approx(2 / 3)
    assert (of_model.low, of_model.high) == (0, 1)
    assert of_other.mean == pytest.approx((1 + 2 / 3 + 1) / 3)
    lead = group.leads["other"]["rouge1"]["fmeasure"]
    assert lead.mean == pytest.approx(-(2 / 3) / 3)
    assert (lead.low, lead.high) == (pytest.approx(-2 / 3), 0)
    assert MODEL not in group.leads and list(group.scores) == [MODEL, "other", *BASELINES]
    assert group.lengths["other"] == pytest.approx(4 / 3)
    assert list(group.scores[MODEL]) == ["rouge1", "rouge2", "rougeL"]


def test_a_difference_that_all_documents_share_has_no_width():
    found = [judged(5, "a b", f"a b {tail}", other="a c") for tail in ("c", "c d", "c d e")]
    (group,) = groups(found, ["a"], 0)
    wide = group.scores[MODEL]["rouge1"]["precision"], group.scores["other"]["rouge1"]["precision"]
    assert [one.mean for one in wide] == [1, 1]
    assert group.leads["other"]["rouge1"]["precision"] == Estimate(0, 0, 0)
    varied = group.scores[MODEL]["rouge1"]["recall"]
    assert varied.low < varied.mean < varied.high
    assert group.leads["other"]["rouge1"]["recall"] == Estimate(0, 0, 0)


def test_lines_are_compared_where_references_have_several():
    (group,) = groups([judged(5, "lamp"), judged(5, "lamp", reference="lamp\nmoon")], ["a"], 0)
    assert list(group.scores[MODEL]) == [*METRICS]
    (group,) = groups([judged(5, "lamp", reference="lamp\n")], ["a"], 0)
    assert list(group.scores[MODEL]) == [*METRICS[:3]]


def test_long_documents_and_each_input_are_counted_apart():
    found = [judged(1024, "lamp"), judged(1025, "moon"), judged(4000, "lamp", input="b")]
    made = groups(found, ["a", "b"], 0)
    assert [(one.input, one.tokens, one.documents) for one in made] == [
        (None, "all", 3),
        ("a", "all", 2),
        ("b", "all", 1),
        (None, "short", 1),
        (None, "long", 2),
    ]
    assert [one.scores[MODEL]["rouge1"]["recall"].mean for one in made[1:]] == [0.5, 1, 1, 0.5]
    assert [one.tokens for one in groups(found[1:2], ["a"], 0)] == ["all"]
    assert [one.input for one in groups(found[:1], ["a", "b"], 0)] == [None, "a"]


def test_the_same_seed_gives_the_same_intervals_and_another_others():
    found = [judged(5, text, reference="a b c d e f g") for text in ("a", "a b c", "a b c d e", "a c e g", "x")]
    assert groups(found, ["a"], 7) == groups(found, ["a"], 7) != groups(found, ["a"], 8)


# 5. Systems


@pytest.fixture(scope="module")
def loaded():
    return Summarizer(TINY, max_length=5)


def test_without_ablation_there_is_the_model(loaded):
    (only,) = systems(loaded, ablate=False)
    assert (only.name, only.summarizer) == (MODEL, loaded)


def test_what_is_taken_away_is_taken_away_and_nothing_else(loaded, tmp_path):
    text = "The keeper wrote it down, and went up to the lamp."
    narrow = changed(tmp_path / "narrow", config={"attention_window": 4}, generation={})
    expected = {
        MODEL: summary(text, max_length=5),
        NO_GLOBAL: summary(text, max_length=5, global_attention="none"),
        HALVED: pyled.summarize(text, narrow, max_length=5),
    }
    found = systems(loaded, ablate=True)
    assert [system.name for system in found] == list(expected)
    for system in found:
        made = system.summarizer(text)
        one = expected[system.name]
        assert (made.text, made.score, made.global_tokens) == (one.text, one.score, one.global_tokens)
    assert len({one.score for one in expected.values()}) == 3
    assert windows(loaded) == [8, 8]  # as before


def test_windows_are_halved_to_whole_tokens_on_each_side():
    assert halved([1024, 8, 6, 4, 2]) == [512, 4, 2, 2, 2]


def test_a_window_of_one_token_on_each_side_cannot_be_halved(tmp_path):
    narrow = Summarizer(changed(tmp_path / "narrow", config={"attention_window": 2}, generation={}))
    with pytest.raises(InputError, match="window is 2"):
        systems(narrow, ablate=True)


# 6. Tables

MADE = {
    "model": "my_led",
    "versions": {"pyled": "0.1"},
    "dtype": "float32",
    "weights": "int8",
    "settings": {
        "global_attention": {"value": "first", "origin": "pyled"},
        "num_beams": {"value": 2, "origin": "command line"},
        "output_scores": {"value": False, "origin": "pyled"},
        "min_length": {"value": 0, "origin": "default"},
    },
}


def results(found, inputs=("a",), cuts=None, failed=0, **more):
    cuts = cuts or dict.fromkeys(inputs, 2)
    made = {"made": MADE, "windows": [8, 8], "stemmer": False, "seed": 3, "wordless": 0, **more}
    return Results(cuts=cuts, judged=found, groups=groups(found, inputs, 3), failed=failed, **made)


def cells(text, metric, system):
    """The cells of a system's row in the first table of a metric."""
    table = text[text.index(metric) :].split("\n\n")[0]
    row = next(line for line in table.splitlines() if line.startswith(system + "  "))
    return re.split(r"  +", row)


def test_the_table_says_what_was_found():
    text = report.text(results([judged(5, "lamp"), judged(5, "two moons")]))
    assert cells(text, "ROUGE-1", MODEL) == [MODEL, "1.5", "0.5000", "0.5000", "0.5000", "0.0000", "1.0000"]
    assert cells(text, "ROUGE-L", "first sentence") == [
        *["first sentence", "3.0", "0.3333", "1.0000", "0.5000", "0.5000", "0.5000"],
        *["+0.0000", "-0.5000", "+0.5000"],
    ]
    assert max(map(len, text.splitlines())) <= 100
    assert "\nall documents\n" in text and "ROUGE-Lsum" not in text
    head = text.partition("\n\n")[0].splitlines()
    assert head == [
        "my_led, in float32, weights in int8, pyled 0.1",
        "settings: global_attention first, num_beams 2",
        "2 documents of a",
        "cut: to the mean of the references, 2 words",
        "ROUGE as rouge-score has it, without its stemmer: means over documents",
        "lead: the model's F1 less that of the row, on the same documents",
        "low to high: 95% of 10,000 resamples of the documents, seed 3",
    ]


def test_what_was_left_out_is_said():
    found = [judged(2000, "lamp", truncated=976), judged(5, "lamp", input="b"), judged(1024, "a\nb", "\u4e00\n\u4e8c")]
    text = report.text(results(found, ("a", "b"), {"a": 1, "b": 2}, failed=3, wordless=1, stemmer=True))
    for said in (
        "failed, and in no figure: 3 documents",
        "cut off, so that only the beginning was read: 1 document",
        "with a reference that has no word of a-z and 0-9, so that nothing scores: 1 document",
        "cut: to the mean of the references, 1 word for a, 2 words for b",
        "with its stemmer",
        "3 documents of a, b",
        "2 documents of a",
        "1 document of b",
        "2 documents of 1,024 tokens or less",
        "1 document of more than 1,024 tokens",
    ):
        assert f"{said}\n" in text or said == "with its stemmer" in text, said
    assert "ROUGE-Lsum" in text


def test_windows_are_told_where_they_are_halved():
    found = [judged(5, "lamp", **{NO_GLOBAL: "lamp", HALVED: "lamp"})]
    assert "window halved: 4 tokens instead of 8\n" in report.text(results(found))
    assert "window halved: 4/256 tokens instead of 8/512\n" in report.text(results(found, windows=[8, 512]))


def test_markdown_has_the_same_rows():
    found = results([judged(5, "lamp"), judged(5, "two moons", input="b_c")], ("a", "b_c"))
    text, markdown = report.text(found), report.markdown(found)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if line[:1] == "|"]
    plain = [re.split(r"  +", line) for line in text.splitlines() if re.match(r"ROUGE-|.*\d\.\d{4}", line)]
    assert [[cell for cell in row if cell] for row in rows if row[0] != "---"] == plain
    assert "- my\\_led, in float32" in markdown
    assert "## 1 document of b\\_c\n" in markdown


def test_the_object_has_all_figures():
    found = [judged(5, "lamp"), judged(5, "two moons")]
    record = report.record(results(found, failed=1))
    assert json.loads(json.dumps(record)) == record
    assert (record["model"], record["documents"], record["failed"], record["resamples"]) == ("my_led", 2, 1, 10_000)
    assert record["inputs"] == {"a": {"cut_to_words": 2}} and record["attention_window"] == [8, 8]
    (group,) = record["groups"]
    model, first = group["systems"][MODEL], group["systems"]["first sentence"]
    assert model["scores"]["rouge1"]["recall"] == {"mean": 0.5, "low": 0.0, "high": 1.0}
    assert model["lead"] is None
    assert first["scores"]["rougeL"]["precision"]["mean"] == 0.333333
    assert first["lead"]["rouge1"]["recall"] == {"mean": -0.5, "low": -1.0, "high": 0.0}
    assert first["words"] == 3
    assert isinstance(found[0], Judged)
