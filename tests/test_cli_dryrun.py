"""`pyled summarize --dry-run`: tokens and chunks as they will be, the cost of each, and nothing done."""

import json

import pytest
from checkpoints import ANSWERS, TINY, changed, document
from commands import LAMP, SHORT

import pyled.tasks.cost
from pyled.tasks import Summarizer, summarizing
from pyled.tasks.cost import Estimate, Rates
from pyled.tokenizer import LEDTokenizer

TOKENS = len(ANSWERS["lamp.txt"]["input_ids"])


@pytest.fixture(autouse=True)
def priced(monkeypatch):
    """A second per 10 tokens to encode, one per token and beam to generate, a megabyte per token.

    Nothing may be summarized. Gives the arguments of each estimate.
    """
    asked = []

    def estimate(
        config, texts, num_beams, max_new_tokens, rates, *, dtype, weights, encoder, global_tokens, again, batches
    ):
        asked.append((texts, num_beams, max_new_tokens, rates, dtype, weights, encoder, global_tokens, again))
        chunks = [size for sizes in texts for size in sizes]
        memory = {"weights": 500_000, "states": 1_000_000 * max(chunks)}
        return Estimate(sum(chunks) / 10, len(chunks) * num_beams * max_new_tokens, memory, len(chunks))

    def refuse(*_):
        raise AssertionError("a dry run summarizes nothing")

    monkeypatch.setattr(pyled.tasks.cost, "measure", lambda dtype: Rates(1e9, 1e9))
    monkeypatch.setattr(summarizing, "estimate", estimate)
    monkeypatch.setattr(Summarizer, "write_each", refuse)
    return asked


def test_each_input_has_its_line_and_all_a_sum(run, note, priced):
    short = len(LEDTokenizer.from_pretrained(TINY)(SHORT)["input_ids"])
    options = ["--max-length", 11, "--num-beams", 3, "--global", "tokens:0-4", "--dtype", "float64"]
    status, out, err = run("summarize", LAMP, note, "-m", TINY, "--dry-run", *options)
    lines = [
        f"{LAMP}: {TOKENS} tokens; about {TOKENS / 10} s to encode, about 30.0 s or less to "
        "generate; 76.5 MB of memory",
        f"{note}: {short} tokens; about {short / 10} s to encode, about 30.0 s or less to "
        f"generate; {short}.5 MB of memory",
        f"all 2: {TOKENS + short} tokens; about {(TOKENS + short) / 10} s to encode, about 1:00 or less to "
        "generate, 2 at a time; 76.5 MB of memory",
    ]
    assert (status, out.splitlines(), err) == (0, lines, "")
    assert priced[0] == ([[TOKENS]], 3, 10, Rates(1e9, 1e9), "float64", None, None, 5, None)


def test_what_is_cut_off_is_told(run, tmp_path):
    directory = changed(tmp_path / "led", config={"max_encoder_position_embeddings": 40}, generation={"max_length": 5})
    status, out, err = run("summarize", LAMP, "-m", directory, "--dry-run", "--too-long", "truncate")
    assert out.startswith(f"{LAMP}: {TOKENS} tokens, {TOKENS - 40} of them cut off; about 4.0 s to encode, ")
    assert (status, err) == (0, "")


def test_a_text_that_is_too_long_is_told_truncated_and_in_chunks(run, note, tmp_path):
    directory = changed(tmp_path / "led", config={"max_encoder_position_embeddings": 40}, generation={"max_length": 5})
    status, out, err = run("summarize", LAMP, note, "-m", directory, "--dry-run")
    starts = [
        f"{LAMP} --too-long truncate: {TOKENS} tokens, {TOKENS - 40} of them cut off; about 4.0 s",
        f"{LAMP} --too-long chunk: {TOKENS} tokens in 3 chunks; about",
        f"{note}: 16 tokens; about 1.6 s",
        f"all 2 --too-long chunk: {TOKENS + 16} tokens in 4 chunks; about",
        f"all 2 --too-long truncate: {TOKENS + 16} tokens, {TOKENS - 40} of them cut off; about 5.6 s",
    ]
    assert (status, err) == (0, "")
    assert all(line.startswith(start) for line, start in zip(out.splitlines(), starts, strict=True))


def test_chunks_are_those_of_the_summary(run, priced):
    status, out, _ = run(
        "summarize", LAMP, "-m", TINY, "--dry-run", "--too-long", "chunk", "--chunk-tokens", 30, "--format", "jsonl"
    )
    record = json.loads(out)
    source = Summarizer(TINY, too_long="chunk", chunk_tokens=30).read(document("lamp.txt"))
    sizes = [chunk.ids.size for chunk in source.chunks]
    assert len(sizes) > 2 and max(sizes) <= 30
    assert record == {
        "input": LAMP,
        "too_long": None,
        "source_tokens": TOKENS,
        "truncated_tokens": 0,
        "chunks": sizes,
        "together": len(sizes),
        "encoding_seconds": sum(sizes) / 10,
        "generating_seconds": float(len(sizes) * 4 * 39),
        "memory": {"weights": 500_000, "states": 1_000_000 * max(sizes)},
    }
    assert status == 0
    reading = ["--too-long", "chunk", "--chunk-tokens", 30, "--combine", "again"]
    assert run("summarize", LAMP, "-m", TINY, "--dry-run", *reading)[0] == 0
    assert [arguments[-1] for arguments in priced] == [None, 30]


def test_nothing_is_written_and_a_bad_input_is_told(run, note, tmp_path):
    out = tmp_path / "out"
    status, printed, err = run("summarize", note, tmp_path / "none", "-m", TINY, "--dry-run", "-o", f"{out}/")
    assert (status, printed.count("\n")) == (1, 1)
    assert err.endswith("pyled: 1 of 2 inputs failed\n")
    assert not out.exists()


def test_large_costs_are_told_in_large_units(run, note, monkeypatch):
    for seconds, size, said in (
        (0.01, 12, "about 0.1 s to encode, about 0.1 s or less to generate; 12 bytes of memory"),
        (59.97, 999_600, "about 1:00 to encode, about 1:00 or less to generate; 1 MB of memory"),
        (3725.0, 6_432_100_000, "about 1:02:05 to encode, about 1:02:05 or less to generate; 6.43 GB of memory"),
    ):
        monkeypatch.setattr(
            summarizing,
            "estimate",
            lambda *_, seconds=seconds, size=size, **__: Estimate(seconds, seconds, {"all": size}),
        )
        assert run("summarize", note, "-m", TINY, "--dry-run")[1].endswith(f"; {said}\n")
