"""Several texts at a time: each as alone, in their order, and one that fails harms no other."""

import itertools
from collections import Counter

import numpy as np
import pytest
from checkpoints import TINY, document
from commands import SHORT

import pyled
from pyled.errors import GenerationError
from pyled.kernels import jit
from pyled.models import LEDForConditionalGeneration
from pyled.tasks import Summarizer, cost
from pyled.tokenizer import LEDTokenizer

TEXT = document("lamp.txt")
TEXTS = [SHORT, TEXT[:200], TEXT[:50], TEXT[50:120], "The table and the lamp."]


@pytest.fixture(autouse=True)
def one_thread():
    jit.set_threads(1)  # small work on a machine that others use too
    yield
    jit.set_threads(jit.numba.config.NUMBA_NUM_THREADS)


def without_seconds(record):
    return {name: value for name, value in record.items() if not name.endswith("_seconds")}


def alike(result):
    """The record of a summary without its seconds; or the words of an error."""
    if isinstance(result, Exception):
        return str(result)
    record = result.record() | {"chunks": [without_seconds(vars(chunk)) for chunk in result.chunks]}
    return without_seconds(record)


@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 4, "early_stopping": True, "eos_token_id": [2, *range(9, 200)]},
        {"num_beams": 1, "no_repeat_ngram_size": 2, "repetition_penalty": 1.3, "eos_token_id": [2, *range(9, 100)]},
        {"num_beams": 1, "do_sample": True, "seed": 3, "eos_token_id": [2, *range(9, 100)]},
        {"num_beams": 2, "do_sample": True, "seed": 3, "eos_token_id": [2, *range(9, 100)]},
        {"too_long": "chunk", "chunk_tokens": 30, "combine": "again", "max_length": 9},
        {"num_beams": 1, "eos_token_id": None, "stop_strings": ["a", "e"]},
        {"encoder_no_repeat_ngram_size": 2, "num_beams": 2},
        {"encoder_repetition_penalty": 1.5, "num_beams": 2},
        {"weights": "int8", "num_beams": 2},
        {"dtype": "float64", "num_beams": 2},
    ],
    ids=[
        "beams",
        "greedy",
        "sampling",
        "beam sampling",
        "chunks",
        "stop strings",
        "ngrams",
        "penalty",
        "int8",
        "float64",
    ],
)
def test_a_text_has_the_same_summary_alone_and_together_with_others(options, monkeypatch):
    monkeypatch.setattr(cost, "MOST_ROWS", 3 * options.get("num_beams", 4))  # the last two come in a batch of their own
    summarizer = Summarizer(TINY, **{"max_length": 10, **options})
    together = summarizer(TEXTS)
    assert [alike(one) for one in together] == [alike(summarizer(text)) for text in TEXTS]
    assert len({one.text for one in together}) > 1


@pytest.fixture(scope="module")
def failing():
    """A summarizer whose scores are no numbers for a text of more than 40 tokens, as the second is."""
    model = LEDForConditionalGeneration.from_pretrained(TINY)
    name = "encoder.embed_positions.weight"
    is_beyond = np.arange(len(model.weights[name]))[:, None] >= 42
    model.weights = {**model.weights, name: np.where(is_beyond, np.float32(np.nan), model.weights[name])}
    return Summarizer(model, LEDTokenizer.from_pretrained(TINY), num_beams=2, max_length=5)


def test_a_text_that_fails_harms_no_other(failing):
    assert [failing.read(text).tokens > 40 for text in TEXTS] == [False, True, False, False, False]
    results = failing(TEXTS, errors="record")
    assert isinstance(results[1], GenerationError)
    with pytest.raises(GenerationError, match="document 0: scores of token 1 are not numbers") as alone:
        failing(TEXTS[1])
    assert str(results[1]) == f"text[1]: {alone.value}"
    with pytest.raises(GenerationError, match=r"^text\[1\]: "):
        failing(TEXTS)
    others = [i for i in range(len(TEXTS)) if i != 1]
    assert [alike(results[i]) for i in others] == [alike(failing(TEXTS[i])) for i in others]


def test_what_a_batch_that_fails_leaves_is_written_alone(monkeypatch):
    summarizer = Summarizer(TINY, max_length=5, num_beams=1)
    alone = [alike(summarizer(text)) for text in TEXTS]
    write = Summarizer._write_together

    def failing_at_the_last(self, pieces, *more):
        for i, outcome in enumerate(write(self, pieces, *more), 1):
            if i == len(pieces) > 1:
                raise MemoryError
            yield outcome

    monkeypatch.setattr(Summarizer, "_write_together", failing_at_the_last)
    assert [alike(one) for one in summarizer(TEXTS)] == alone


@pytest.mark.parametrize(
    "how", [{"num_beams": 1}, {"num_beams": 2}, {"do_sample": True, "seed": 3, "num_return_sequences": 3}]
)
def test_documents_of_a_batch_end_as_each_alone(how):
    model, tokenizer = LEDForConditionalGeneration.from_pretrained(TINY), LEDTokenizer.from_pretrained(TINY)
    settings = {"max_length": 10, "num_beams": 1, "eos_token_id": [2, *range(9, 150)], **how}
    together = model.generate(**tokenizer(TEXTS, padding=True), **settings)
    alone = [row for text in TEXTS for row in model.generate(**tokenizer([text]), **settings)]
    rows, rows_alone = ([[id_ for id_ in row if id_ != 1] for row in side] for side in (together, alone))
    assert rows == rows_alone
    assert all(len(row) == 10 or row[-1] in settings["eos_token_id"] for row in rows)
    if "do_sample" not in how:
        counts = [np.count_nonzero(row != 1) - 1 for row in alone]
        summaries = Summarizer(TINY, global_attention="none", **settings)(TEXTS)
        assert [summary.generated_tokens for summary in summaries] == counts and len(set(counts)) > 1


@pytest.mark.parametrize("num_beams", [1, 2])
@pytest.mark.parametrize("kind", ["logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn"])
def test_functions_of_a_user_see_the_rows_of_all_documents(kind, num_beams):
    model, tokenizer = LEDForConditionalGeneration.from_pretrained(TINY), LEDTokenizer.from_pretrained(TINY)
    seen = Counter()  # rows, by their tokens
    functions = {
        "logits_processor": [lambda ids, scores: seen.update([ids.shape[1]] * len(ids)) or scores],
        "stopping_criteria": [lambda ids, scores: seen.update([ids.shape[1]] * len(ids)) or np.zeros(len(ids), bool)],
        "prefix_allowed_tokens_fn": lambda document, ids: seen.update([len(ids)]) or range(model.config.vocab_size),
    }
    batch = tokenizer(TEXTS[2:], padding=True)
    sequences = model.generate(
        **batch, max_length=10, num_beams=num_beams, eos_token_id=[2, *range(9, 200)],
        **{kind: functions[kind]},
    )  # fmt: skip
    assert len({np.count_nonzero(row != 1) for row in sequences}) > 1  # one document ends before another
    assert len(seen) > 1 and len(set(seen.values())) == 1


@pytest.mark.parametrize("in_order", [True, False])
def test_texts_are_read_ahead_a_few_at_a_time_and_come_in_order(failing, in_order, monkeypatch):
    monkeypatch.setattr(cost, "MOST_ROWS", 4)  # two texts together
    monkeypatch.setattr("pyled.tasks.summarizing.MOST_ROWS", 4)
    begun = []

    def sources():
        for i, text in enumerate(itertools.islice(itertools.cycle(TEXTS[:3]), 10)):
            begun.append(i)
            yield i, failing.read(text)

    results = failing.write_each(sources(), in_order=in_order)
    first, _ = next(results)
    assert len(begun) == 8
    numbers = [first, *(i for i, _ in results)]
    assert sorted(numbers) == list(range(10)) and (numbers == list(range(10))) == in_order
    assert len(begun) == 10


def test_the_command_gives_each_its_summary_whatever_the_others_do(run, tmp_path, monkeypatch):
    folder, out = tmp_path / "texts", tmp_path / "out"
    folder.mkdir()
    for i, text in enumerate(TEXTS):
        (folder / f"{i}.txt").write_text(text, encoding="utf-8")
    (folder / "3.txt").write_bytes(b"\xff")
    options = ["--max-length", 9, "--too-long", "chunk", "--chunk-tokens", 30]
    monkeypatch.setattr(cost, "MOST_ROWS", 8)
    status, printed, err = run("summarize", folder, "-m", TINY, *options)
    assert status == 1 and f"{folder}/3.txt: byte 0 is not UTF-8" in err and err.endswith("1 of 5 inputs failed\n")
    alone = {
        i: pyled.summarize(TEXTS[i], TINY, max_length=9, too_long="chunk", chunk_tokens=30).text for i in (0, 1, 2, 4)
    }
    assert printed == "\n".join(f"==> {folder}/{i}.txt <==\n{text.strip()}\n" for i, text in alone.items())
    assert run("summarize", folder, "-m", TINY, *options, "-o", f"{out}/")[0] == 1
    assert {path.name: path.read_text(encoding="utf-8") for path in out.iterdir()} == {
        f"{i}.summary.txt": f"{text}\n" for i, text in alone.items()
    }


def test_as_many_are_decoded_together_as_memory_allows(monkeypatch):
    summarizer = Summarizer(TINY, num_beams=4, max_length=9)
    sizes = [30] * 40
    assert [len(batch) for batch in summarizer.together(sizes)] == [32, 8]  # 128 rows
    of_one = cost.estimate(summarizer.loaded.model.config, [[30]], 4, 8, cost.TYPICAL).of_chunks
    monkeypatch.setattr(cost, "physical_memory", lambda: 8 * 5 * of_one)
    assert [len(batch) for batch in summarizer.together(sizes)] == [5] * 8
    monkeypatch.setattr(cost, "physical_memory", lambda: 1)
    assert summarizer.together(sizes) == [[i] for i in range(40)]
    assert Summarizer(TINY, max_length=9, max_time=99).together([30, 30]) == [[0], [1]]


def test_memory_and_seconds_are_those_of_chunks_together():
    config, rates = Summarizer(TINY).loaded.model.config, cost.Rates(products=2e11, reading=2e10)
    one = cost.estimate(config, [[30]], 4, 8, rates)
    both = cost.estimate(config, [[30], [30]], 4, 8, rates, batches=lambda sizes: [[0, 1]])
    step = cost.STEP + cost.step_weights(config) * 4 / (rates.reading * cost.WEIGHTS)
    assert both.seconds == pytest.approx(2 * one.seconds - 8 * step)  # which they share
    assert (both.together, both.of_chunks) == (2, 2 * one.of_chunks)
