"""Text in, text and a record out: as the reference says, and nothing done silently."""

import io
import itertools
import json
import sys
from dataclasses import fields

import numpy as np
import pytest
from budget import budget, err
from checkpoints import ANSWERS, DOCUMENTS, FLOAT32_ERROR, TINY, changed, document, primera, summary
from examples import EXAMPLES
from hypothesis import example, given, settings
from hypothesis import strategies as st

import pyled
from pyled import GenerationConfig, LEDConfig
from pyled.checkpoint import read_safetensors, write_safetensors
from pyled.errors import CheckpointError, ConfigError, GenerationError, InputError, PyledError, PyledWarning
from pyled.kernels import jit
from pyled.models import LEDForConditionalGeneration, LEDModel
from pyled.tasks import Reading, Summarizer, Work, load
from pyled.tasks.cutting import cut
from pyled.tasks.planning import plan as planned
from pyled.tokenizer import LEDTokenizer

SHORT = "The keeper wrote it down."


@pytest.fixture(autouse=True)
def one_thread():
    jit.set_threads(1)  # small work on a machine that others use too
    yield
    jit.set_threads(jit.numba.config.NUMBA_NUM_THREADS)


@pytest.fixture(scope="module")
def model():
    return LEDForConditionalGeneration.from_pretrained(TINY)


@pytest.fixture(scope="module")
def tokenizer():
    return LEDTokenizer.from_pretrained(TINY)


def read(directory, text, **reading):
    """A text as a checkpoint reads it."""
    return Summarizer(directory, **reading).read(text)


def by_hand(model, tokenizer, ids, global_places=(0,), **settings):
    """The text and the score that the low-level calls give for a row of ids."""
    is_global = [int(i in global_places) for i in range(len(ids))]
    answer = model.generate(
        [ids],
        attention_mask=[[1] * len(ids)],
        global_attention_mask=[is_global],
        return_dict_in_generate=True,
        output_scores=True,
        **settings,
    )
    text = tokenizer.decode(answer.sequences[0], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text.strip(), float(answer.sequences_scores[0])


# As the reference


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize(("kind", "settings"), [("greedy", {"num_beams": 1}), ("beam", {})])
def test_the_summary_is_the_references(name, kind, settings):
    made = pyled.summarize(document(name), TINY, **settings)
    expected = ANSWERS[name][kind]
    assert made.text == str(made) == expected["text"].strip()
    assert made.source_tokens == len(ANSWERS[name]["input_ids"])
    assert made.generated_tokens == len(expected["sequence"]) - 1
    assert (made.truncated_tokens, made.global_tokens, made.dtype) == (0, 1, "float32")
    assert made.model == str(TINY)
    if kind == "beam":
        error = err(np.float32(made.score), np.float64(expected["sequences_score"]))
        assert error <= budget(np.float32, FLOAT32_ERROR)
    else:
        assert made.score is None
    assert made.encoding_seconds > 0 < made.generating_seconds


def test_in_float64_the_score_is_the_truth():
    made = pyled.summarize(document("lamp.txt"), str(TINY), dtype="float64")
    expected = ANSWERS["lamp.txt"]["beam"]
    assert (made.text, made.dtype) == (expected["text"].strip(), "float64")
    # scores are float32 in any dtype, as upstream's: the truth to within its rounding
    assert err(np.float64(made.score), np.float64(expected["sequences_score"])) < 1e-6


def test_a_summarizer_loads_once_and_takes_texts_from_any_iterable(monkeypatch):
    texts = [SHORT, "Nobody asked."]
    alone = [summary(text, max_length=5) for text in texts]
    summarizer = Summarizer(TINY, max_length=5)
    monkeypatch.setattr(LEDForConditionalGeneration, "from_pretrained", None)
    for several in (texts, tuple(texts), iter(texts)):
        result = summarizer(several)
        assert [(s.text, s.score, s.source_tokens) for s in result] == [
            (s.text, s.score, s.source_tokens) for s in alone
        ]
    assert summarizer([]) == []
    assert summarizer(SHORT).text == alone[0].text


def test_a_bad_text_is_named_and_stops_the_others_unless_it_is_recorded():
    texts = ["a lamp"] * 5 + ["bad \ud83d here", "", SHORT]
    with pytest.raises(PyledError, match=r"^text\[5\]: character 4 is U\+D83D, half of a surrogate pair: remove it"):
        pyled.summarize(texts, TINY, max_length=5)
    results = pyled.summarize(texts[4:], TINY, max_length=5, errors="record")
    assert [str(result) for result in results[1:3]] == [
        "text[1]: character 4 is U+D83D, half of a surrogate pair: remove it, or decode the text's source with "
        "errors='replace'",
        "text[2]: the text is empty: there is nothing to read",
    ]
    assert all(isinstance(result, PyledError) for result in results[1:3])
    assert results[3].text == summary(SHORT, max_length=5).text


def test_a_model_in_memory_serves_as_well(model, tokenizer):
    for its in (tokenizer, TINY):
        found = pyled.summarize(SHORT, model, its, max_length=5)
        assert (found.text, found.score) == (summary(SHORT, max_length=5).text, summary(SHORT, max_length=5).score)
        assert found.model == "in memory"


def test_tokens_without_a_row_in_the_model_are_told_at_once(tmp_path):
    directory = changed(tmp_path / "led", generation={"max_length": 3})
    assert load(directory).surprises == ()
    (directory / "added_tokens.json").write_text('{"<a>": 600, "<b>": 601}', encoding="utf-8")
    loaded = load(directory)
    assert loaded.surprises == loaded.notes[-1:]
    assert loaded.notes[-1].startswith("the tokenizer has 602 tokens, the model 600: ")
    with pytest.raises(InputError, match="600"):
        pyled.summarize("One <a> lamp.", directory)


# Lengths


def test_a_text_that_is_too_long_is_refused_or_cut(tmp_path):
    directory = changed(tmp_path / "led", config={"max_encoder_position_embeddings": 40}, generation={"max_length": 9})
    text, all_ids = document("lamp.txt"), ANSWERS["lamp.txt"]["input_ids"]
    with pytest.raises(InputError, match=r"76 tokens, but this encoder has 40 positions: .*truncate"):
        pyled.summarize(text, directory)
    with pytest.raises(InputError, match=r"text\[1\]: 76 tokens"):
        pyled.summarize([SHORT, text], directory)
    made = pyled.summarize(text, directory, too_long="truncate")
    assert (made.source_tokens, made.truncated_tokens) == (76, 36)
    assert made.notes[-1] == "36 of 76 tokens were cut off: the encoder has 40 positions"
    model, tokenizer = LEDForConditionalGeneration.from_pretrained(directory), LEDTokenizer.from_pretrained(directory)
    assert (made.text, made.score) == by_hand(model, tokenizer, [*all_ids[:39], 2])
    fits = tokenizer.decode(all_ids[1:39])
    assert len(tokenizer(fits)["input_ids"]) == 40
    assert read(directory, fits).truncated == 0


def test_a_text_may_be_cut_to_nothing(tmp_path):
    directory = changed(tmp_path / "led", config={"max_encoder_position_embeddings": 2}, generation={})
    source = read(directory, SHORT, too_long="truncate")
    (chunk,) = source.chunks
    assert (chunk.start, chunk.stop, chunk.ids.tolist(), source.truncated) == (0, 0, [[0, 2]], 14)


# Chunks

LAMP = document("lamp.txt")  # 76 tokens


def test_a_chunk_has_the_summary_of_that_piece_of_text_alone():
    made = pyled.summarize(LAMP, TINY, too_long="chunk", chunk_tokens=30, max_length=5)
    assert len(made.chunks) == 3
    assert (made.source_tokens, made.truncated_tokens, made.global_tokens, made.rounds) == (76, 0, 3, 0)
    assert "".join(LAMP[chunk.start : chunk.stop] for chunk in made.chunks) == LAMP
    for chunk in made.chunks:
        alone = summary(LAMP[chunk.start : chunk.stop], max_length=5)
        assert (chunk.text, chunk.score, chunk.source_tokens) == (alone.text, alone.score, alone.source_tokens)
        assert chunk.generated_tokens == alone.generated_tokens
        assert chunk.source_tokens <= 30
    assert made.text == "\n\n".join(chunk.text.strip() for chunk in made.chunks)
    assert made.generated_tokens == sum(chunk.generated_tokens for chunk in made.chunks)
    assert made.score is None
    assert made.notes[-1] == "76 tokens are read in 3 chunks of at most 30"
    assert made.encoding_seconds == sum(chunk.encoding_seconds for chunk in made.chunks)
    assert made.generating_seconds == sum(chunk.generating_seconds for chunk in made.chunks)


@pytest.mark.parametrize(("limit", "chunks"), [(76, 1), (75, 2)])
def test_a_text_is_cut_where_it_is_longer_than_a_chunk_and_not_before(limit, chunks):
    source = read(TINY, LAMP, too_long="chunk", chunk_tokens=limit)
    assert (len(source.chunks), source.tokens, source.truncated) == (chunks, 76, 0)
    assert (source.notes == ()) == (chunks == 1)


def pieces_of(tokenizer, text, limit, overlap=0):
    """(start, stop, ids) of each piece, and (start, stop) of each token of the text."""
    spans = tokenizer(text, return_offsets_mapping=True)["offset_mapping"][1:-1]
    starts = [start for start, _ in spans]
    return cut(text, starts, limit, overlap, lambda piece: tokenizer(piece)["input_ids"]), spans


def tokens_between(spans, start, stop):
    return sum(first < stop and last > start for first, last in spans)


TEXTS = st.lists(
    st.sampled_from(["lamp ", "the keeper", ". ", ".\n", "\n\n", "\r\n", " ", "   ", "it's", "'s", "?!'", "é", "火。",
                     "🔥", "<mask>", "</s>", "unbelievably", "\t", "9,876 "]),
    min_size=1,
    max_size=120,
).map("".join)  # fmt: skip


@settings(max_examples=4 * EXAMPLES, derandomize=True, deadline=None)
@given(text=TEXTS, limit=st.integers(16, 60), share=st.floats(0, 0.5))
@example(text="lamp " * 5 + "火。" + "lamp " * 2, limit=32, share=0.125)  # an overlap of four tokens, of six in 火。
def test_chunks_are_the_text_and_no_longer_than_asked_for(tokenizer, text, limit, share):
    overlap = int(share * limit)
    pieces, spans = pieces_of(tokenizer, text, limit, overlap)
    done = 0
    for start, stop, ids in pieces:
        assert ids == tokenizer(text[start:stop])["input_ids"]
        assert 2 < len(ids) <= limit
        assert not text[done:start].strip()  # nothing is lost
        assert tokens_between(spans, start, done) <= overlap  # nor repeated beyond the overlap
        assert done < stop
        done = stop
    assert not text[done:].strip()
    assert [start for start, _, _ in pieces] == sorted({start for start, _, _ in pieces})
    for special in (tokenizer.mask_token_id, tokenizer.eos_token_id) if overlap == 0 else ():
        whole = tokenizer(text)["input_ids"][1:-1].count(special)
        assert sum(ids[1:-1].count(special) for _, _, ids in pieces) == whole  # none was cut in two


@settings(max_examples=EXAMPLES, derandomize=True, deadline=None)
@given(words=st.integers(20, 400), limit=st.integers(16, 100))
@example(words=60, limit=32)  # two chunks that are full, each with a space at its end that is a token more
@example(words=40, limit=42)  # one that is full
def test_chunks_are_filled_and_none_is_tiny(tokenizer, words, limit):
    text = "on " * (words - 1) + "on"  # a token each
    pieces, _ = pieces_of(tokenizer, text, limit)
    needed = -(-words // (limit - 2))
    sizes = [len(ids) for _, _, ids in pieces]
    assert max(sizes) <= limit
    assert needed <= len(pieces) <= (needed + 1 + needed // (limit - 3) if needed > 1 else 1)
    assert len(pieces) == 1 or min(sizes) - 2 >= (limit - 2) // 4


def test_words_are_kept_whole(tokenizer):
    text = "unbelievably " * 20
    for limit in range(30, 60, 7):
        pieces, _ = pieces_of(tokenizer, text, limit)
        assert len(pieces) > 2
        assert all(text[stop - 2 : stop] == "y " for _, stop, _ in pieces)


# A limit of 26 leaves 24 tokens: the cut lies among the last 12 of them.
@pytest.mark.parametrize(
    ("breaks", "expected"),
    [
        ({14: "\n\n", 18: "\n", 20: ". "}, 14),
        ({14: "\n \n", 18: "\n", 20: ". "}, 14),
        ({14: "\r\n\r\n", 18: "\r\n", 20: ". "}, 14),
        ({6: "\n\n", 15: "\n", 20: ". "}, 15),
        ({6: "\n\n", 8: "\n", 15: ". "}, 15),
        ({6: "\n\n", 8: "\n", 12: '." '}, 12),
        ({17: "\n\n\n\n\n\n"}, 17),
        ({14: "\n\n", 16: "\n\n", 21: "\n\n"}, 16),
    ],
)
def test_a_text_is_cut_at_the_best_place_near(tokenizer, breaks, expected):
    """`breaks`: what stands behind which word, in the place of its space."""
    words = ["on"] * 34
    text = "".join(word + breaks.get(i + 1, " ") for i, word in enumerate(words)).strip()
    pieces, _ = pieces_of(tokenizer, text, 26)
    first = "".join(word + breaks.get(i + 1, " ") for i, word in enumerate(words[:expected]))
    assert text[: pieces[0][1]] == first


def test_a_text_is_cut_between_numbers_at_spaces(tokenizer):
    text = "9.5 9.5 " * 20
    pieces, _ = pieces_of(tokenizer, text, 24)
    assert len(pieces) > 1
    assert all(text[stop - 1] == " " for _, stop, _ in pieces)


CLUSTERS = ["กี่", "e\u0301", "👩\u200d👩\u200d👧", "🇫🇮", "각", "\r\n", "x", "火", "☂\ufe0f"]


@settings(max_examples=EXAMPLES, derandomize=True, deadline=None)
@given(clusters=st.lists(st.sampled_from(CLUSTERS), min_size=20, max_size=90), overlap=st.integers(0, 20))
@example(clusters=["กี่"] * 60, overlap=0)
@example(clusters=["🇫🇮"] * 80, overlap=7)
@example(clusters=["👩\u200d👩\u200d👧"] * 20, overlap=30)  # of some 17 tokens each
def test_a_character_as_people_see_it_is_never_cut(tokenizer, clusters, overlap):
    text = "".join(clusters)
    pieces, _ = pieces_of(tokenizer, text, 64, overlap)
    boundaries = {0, *itertools.accumulate(map(len, clusters))}
    assert {place for start, stop, _ in pieces for place in (start, stop)} <= boundaries
    assert all("\ufffd" not in tokenizer.decode(ids) for _, _, ids in pieces)


def test_a_character_longer_than_a_chunk_is_cut_between_its_parts(tokenizer):
    text = "e" + "\u0301" * 40
    pieces, _ = pieces_of(tokenizer, text, 16)
    assert "".join(text[start:stop] for start, stop, _ in pieces) == text


def test_wide_punctuation_ends_a_sentence_without_a_space(tokenizer):
    text = ("ab" * 4 + "。") * 12
    pieces, _ = pieces_of(tokenizer, text, 40)
    assert len(pieces) > 1
    assert all(text[stop - 1] == "。" for _, stop, _ in pieces)


def test_an_overlap_begins_with_a_sentence_where_it_can(tokenizer):
    text = "One lamp on. " * 30
    pieces, spans = pieces_of(tokenizer, text, 60, 24)
    assert len(pieces) > 2
    for (_, stop, _), (start, _, _) in itertools.pairwise(pieces):
        assert text.startswith("One", start)
        assert 12 <= tokens_between(spans, start, stop) <= 24


def test_an_overlap_is_shorter_than_its_chunk(tokenizer):
    text = "x1" * 7 + "x"  # 15 tokens: after a chunk of 8, an overlap of 8 would be all of it
    pieces, _ = pieces_of(tokenizer, text, 16, 8)
    assert [(start, stop) for start, stop, _ in pieces] == [(0, 8), (1, 15)]


def test_a_piece_of_nothing_but_white_space_is_left_out(tokenizer):
    text = "lamp" + "\n" * 100 + "lamp"
    pieces, _ = pieces_of(tokenizer, text, 20)
    assert [text[start:stop].strip() for start, stop, _ in pieces] == ["lamp", "lamp"]


def test_white_space_that_a_special_token_hides_is_refused(tokenizer):
    text = ("lamp" + " " * 300 + "<mask>") * 9  # which takes the spaces along: they are no tokens
    with pytest.raises(InputError, match=r"from character 0 on fits into 20 tokens: shorten the white space"):
        pieces_of(tokenizer, text, 20)


def test_summaries_are_summarized_again_until_there_is_one():
    asked = {"too_long": "chunk", "chunk_tokens": 30, "max_length": 7, "num_beams": 1}
    made = pyled.summarize(LAMP, TINY, combine="again", **asked)
    assert made.rounds > 1
    step = pyled.summarize(LAMP, TINY, **asked)
    assert made.chunks[0].text == step.chunks[0].text
    for _ in range(made.rounds):
        assert made.text != step.text
        step = pyled.summarize(step.text, TINY, **asked)
    assert (made.text, made.generated_tokens) == (step.text, step.generated_tokens)
    assert len(step.chunks) == 1
    told = [note for note in made.notes if note.endswith("were summarized again")]
    assert (len(told), told[0][:13]) == (made.rounds, "3 summaries, ")


def test_summaries_that_get_no_shorter_are_left_as_they_are():
    asked = {"too_long": "chunk", "chunk_tokens": 30, "min_length": 30, "max_length": 30, "num_beams": 1}
    made = pyled.summarize(LAMP, TINY, combine="again", **asked)
    assert made.text == "\n\n".join(chunk.text.strip() for chunk in made.chunks)
    assert (len(made.chunks), made.rounds, made.score, made.generated_tokens) == (3, 0, None, 3 * 29)
    assert "the 3 summaries are not summarized again: with" in made.notes[-1]


def test_a_single_chunk_is_summarized_once():
    made = pyled.summarize(SHORT, TINY, too_long="chunk", combine="again", max_length=5)
    alone = summary(SHORT, max_length=5)
    assert (made.text, made.score, made.rounds, made.notes) == (alone.text, alone.score, 0, alone.notes)


def test_rules_on_the_source_see_their_own_chunk(model, tokenizer):
    asked = {"num_beams": 2, "max_length": 5, "encoder_repetition_penalty": 9.0}
    made = pyled.summarize(LAMP, model, tokenizer, too_long="chunk", chunk_tokens=40, **asked)
    for chunk in made.chunks:
        ids = tokenizer(LAMP[chunk.start : chunk.stop])["input_ids"]
        assert (chunk.text, chunk.score) == by_hand(model, tokenizer, ids, **asked)
        assert chunk.text != by_hand(model, tokenizer, ids, num_beams=2, max_length=5)[0]


# Global attention


@pytest.mark.parametrize(
    ("asked", "places"),
    [(None, [0]), ("first", [0]), ("none", []), ("tokens:3", [3]), ("tokens:0,5-7,6", [0, 5, 6, 7])],
)
def test_each_chunk_has_the_global_tokens_asked_for(model, tokenizer, asked, places):
    source = read(TINY, LAMP, too_long="chunk", chunk_tokens=30, global_attention=asked)
    assert len(source.chunks) == 3
    for chunk in source.chunks:
        assert np.flatnonzero(chunk.is_global[0]).tolist() == places
    ids = tokenizer(SHORT)["input_ids"]
    made = pyled.summarize(SHORT, model, tokenizer, global_attention=asked, max_length=5)
    assert (made.text, made.score) == by_hand(model, tokenizer, ids, places, max_length=5)
    assert made.global_tokens == len(places)


def test_doc_sep_counts_where_the_vocabulary_has_it(tmp_path):
    directory = changed(tmp_path / "led", config={"vocab_size": 601}, generation={"max_length": 9})
    (directory / "added_tokens.json").write_text('{"<doc-sep>": 600}', encoding="utf-8")
    text = "One lamp on the desk.<doc-sep>Two lamps on the bench.<doc-sep>"
    for asked, count in ((None, 3), ("doc-sep", 3), ("first", 1), ("none", 0), ("tokens:0-1", 2)):
        (chunk,) = read(directory, text, global_attention=asked).chunks
        assert chunk.is_global.sum() == count
        assert (chunk.is_global[0] == 1)[chunk.ids[0] == 600].all() == (count == 3)
    chunks = read(directory, text * 3, too_long="chunk", chunk_tokens=40).chunks
    assert len(chunks) > 1
    for chunk in chunks:
        assert np.flatnonzero(chunk.is_global[0]).tolist() == [0, *np.flatnonzero(chunk.ids[0] == 600)]
    assert sum((chunk.ids == 600).sum() for chunk in chunks) == 6


def test_documents_are_read_together_as_primera_reads_them(tmp_path):
    cases = [json.loads(line) for line in (TINY.parent / "together.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(cases) == 6
    for i, case in enumerate(cases):
        directory = primera(tmp_path / str(i), case["positions"])
        source = read(directory, pyled.Documents(case["documents"]))
        (chunk,) = source.chunks
        assert chunk.ids[0].tolist() == case["ids"]
        assert np.flatnonzero(chunk.is_global[0]).tolist() == [0, *np.flatnonzero(chunk.ids[0] == 600)]
        assert source.tokens - source.truncated == len(case["ids"])
    whole = (
        sum(len(pyled.LEDTokenizer.from_pretrained(directory)(one)["input_ids"]) - 1 for one in case["documents"]) + 2
    )
    assert (source.tokens, source.truncated) == (whole, whole - len(case["ids"]))


def test_documents_have_one_summary_and_a_note_on_what_was_cut_off(tmp_path):
    directory = primera(tmp_path / "led")
    documents = pyled.Documents(["One lamp on the desk.", "Two lamps on the bench. " * 9])
    one, other = pyled.summarize([documents, SHORT], directory, max_length=5)
    assert one.text == pyled.summarize(documents, directory, max_length=5).text
    assert other.text == pyled.summarize(SHORT, directory, max_length=5).text
    assert (one.global_tokens, one.source_tokens - one.truncated_tokens) == (3, one.chunks[0].source_tokens)
    (note,) = [note for note in one.notes if "documents" in note]
    assert note.startswith("2 documents are read together, at most 30 tokens of each: ") and "of document 2)" in note


def test_one_document_alone_fits_into_the_positions(tmp_path):
    (chunk,) = read(primera(tmp_path / "led"), pyled.Documents([SHORT * 30])).chunks
    assert chunk.ids.size == 64


def test_documents_that_cannot_be_read_together_are_refused(tmp_path):
    directory = primera(tmp_path / "led")
    for texts, options, message in [
        ([], {}, r"texts is \[\]: pass a list of at least one document"),
        (["a", " "], {}, r"texts\[1\] is empty: pass a document, a string"),
        (["a", 3], {}, r"texts"),
        ("ab", {}, "texts is 'ab': pass a list of at least one document"),
        ((text for text in "ab"), {}, "texts is <generator .*: pass a list"),
        (["a"] * 22, {}, "22 documents, but there is room for 21: pass fewer"),
        (["a"], {"too_long": "chunk"}, "documents are read together, in one piece: leave too_long='chunk' out"),
    ]:
        with pytest.raises(InputError, match=message):
            read(directory, pyled.Documents(texts), **options)
    with pytest.raises(InputError, match="this vocabulary has no <doc-sep>"):
        read(TINY, pyled.Documents(["a"]))


def test_places_behind_the_end_of_a_chunk_are_told():
    source = read(TINY, SHORT, global_attention="tokens:0,500")
    assert source.notes == ("global_attention='tokens:0,500' has no effect from 16 on: a chunk ends there",)


@pytest.mark.parametrize(("positions", "most"), [(1024, 256), (128, 128), (5, 5)])
def test_without_any_length_the_decoder_gets_a_stated_one(tmp_path, positions, most):
    directory = changed(tmp_path / "led", config={"max_decoder_position_embeddings": positions})
    config = LEDConfig.from_pretrained(directory)
    plan = planned(config, GenerationConfig.from_model_config(config), {}, Reading(), None, {"num_beams": 2})
    assert plan.settings.max_length == most + 1
    assert plan.settings.origin["max_length"] == plan.settings.origin["max_new_tokens"] == "pyled"
    assert plan.notes[0] == f"no length is set: at most {most} tokens are generated; pass max_new_tokens"
    if positions == 5:
        made = pyled.summarize(SHORT, directory, min_new_tokens=5)
        assert (made.generated_tokens, made.notes) == (5, ("tied: " + TIED, *plan.notes))


TIED = "shared.weight = encoder.embed_tokens.weight = decoder.embed_tokens.weight = lm_head.weight"


# The record


def test_the_call_goes_before_its_configuration_and_that_before_the_file(model, tokenizer):
    config = pyled.GenerationConfig(num_beams=2, max_length=6, length_penalty=0.5)
    made = pyled.summarize(SHORT, model, tokenizer, generation_config=config, max_length=4)
    settings = made.settings
    assert (settings.max_length, settings.num_beams, settings.no_repeat_ngram_size) == (4, 2, 3)
    origin = settings.origin
    assert [origin[name] for name in ("max_length", "num_beams", "no_repeat_ngram_size", "early_stopping")] == [
        "call",
        "generation_config",
        "generation_config.json",
        "default",
    ]
    ids = tokenizer(SHORT)["input_ids"]
    expected = by_hand(model, tokenizer, ids, num_beams=2, length_penalty=0.5, max_length=4)
    assert (made.text, made.score) == expected


def test_notes_are_told_each_time_and_warned_of_never(tokenizer):
    model = LEDForConditionalGeneration.from_pretrained(TINY)
    for _ in range(2):
        made = pyled.summarize(SHORT, model, tokenizer, max_new_tokens=2)
        assert made.notes[-1].startswith("max_new_tokens=2 (call) takes precedence over max_length=40")
    with pytest.warns(PyledWarning, match="takes precedence"):  # the model's own are left to it
        model.generate(tokenizer(SHORT, return_tensors="np").input_ids, max_new_tokens=2)


def test_what_is_unused_in_the_file_is_told(tmp_path):
    directory = changed(tmp_path / "led", generation={"max_length": 3, "num_return_sequences": 2})
    tensors = {name: np.array(tensor) for name, tensor in read_safetensors(TINY / "model.safetensors").items()}
    write_safetensors(directory / "model.safetensors", {**tensors, "spare.weight": np.zeros(2, np.float32)})
    notes = pyled.summarize(SHORT, directory).notes
    assert any("spare.weight" in note for note in notes)
    assert any(note.startswith("num_return_sequences=2 (generation_config.json) is ignored") for note in notes)


def test_a_summary_is_shown_on_one_line():
    made = summary(SHORT, max_length=5)
    assert repr(made) == f"Summary({made.text!r}, source_tokens=16, generated_tokens=4, chunks=1, model={str(TINY)!r})"


def test_the_record_is_plain_json_and_says_who_set_what():
    reading = {"too_long": "chunk", "chunk_tokens": 30, "global_attention": "tokens:0,2"}
    made = pyled.summarize(LAMP, TINY, **reading, num_beams=2, max_length=4)
    record = made.record()
    assert json.loads(json.dumps(record)) == record
    names = """text model versions dtype weights encoder settings source_tokens truncated_tokens global_tokens
        generated_tokens chunks rounds score encoding_seconds generating_seconds notes"""
    assert list(record) == names.split()
    versions = {"pyled": pyled.__version__, "numpy": np.__version__, "numba": jit.numba.__version__}
    assert record["versions"] == versions | {"python": ".".join(map(str, sys.version_info[:3]))}
    assert record["model"] == str(TINY)
    settings = record["settings"]
    assert list(settings)[:7] == [*(field.name for field in fields(Reading)), "max_length"]
    assert {name: settings[name]["value"] for name in reading} == reading
    for name, value, origin in [
        ("chunk_tokens", 30, "call"),
        ("overlap", 0, "default"),
        ("num_beams", 2, "call"),
        ("no_repeat_ngram_size", 3, "generation_config.json"),
        ("eos_token_id", [2], "generation_config.json"),
        ("num_return_sequences", 1, "pyled"),
    ]:
        assert settings[name] == {"value": value, "origin": origin}
    assert [chunk["text"] for chunk in record["chunks"]] == [chunk.text for chunk in made.chunks]
    assert record["chunks"][1]["start"] == record["chunks"][0]["stop"] > 0
    assert record["notes"] == list(made.notes)


def test_what_was_not_asked_for_has_its_origin(tmp_path):
    plan = Summarizer(TINY, too_long="chunk").plan
    assert (plan.limit, plan.reading.chunk_tokens, plan.reading.global_attention) == (1024, 1024, "first")
    assert plan.origin == {
        "too_long": "call",
        "chunk_tokens": "config.json",
        "overlap": "default",
        "combine": "default",
        "global_attention": "pyled",
        "prefix": "default",
    }
    plain = Summarizer(TINY).plan
    assert (plain.limit, plain.reading.chunk_tokens, plain.origin["chunk_tokens"]) == (1024, None, "default")


# Prefix


def test_the_prefix_of_the_configuration_stands_before_each_text_and_chunk(tmp_path):
    """The summarization pipeline of transformers 4.57.6 reads " lamp keeper" as 8 tokens, and "lamp keeper" as 9."""
    directory = changed(tmp_path / "led", config={"prefix": " "}, generation={"max_length": 5})
    made = pyled.summarize("lamp keeper", directory)
    assert made.source_tokens == 8 and made.text == summary(" lamp keeper", max_length=5).text
    assert made.record()["settings"]["prefix"] == {"value": " ", "origin": "config.json"}
    assert made.notes[-1] == "prefix=' ' (config.json) is put before each text"
    plain = pyled.summarize("lamp keeper", directory, prefix="")
    assert (plain.source_tokens, plain.notes[1:]) == (9, ())
    chunks = read(directory, LAMP, too_long="chunk", chunk_tokens=30).chunks
    tokenizer = LEDTokenizer.from_pretrained(directory)
    assert "".join(LAMP[chunk.start : chunk.stop] for chunk in chunks) == LAMP
    for chunk in chunks:
        assert chunk.ids[0].tolist() == tokenizer(" " + LAMP[chunk.start : chunk.stop])["input_ids"]


def test_the_prefix_of_the_task_goes_first(tmp_path):
    parts = {"summarization": {"prefix": "lamp: "}, "translation": {"prefix": "no"}}
    config = {"max_encoder_position_embeddings": 40, "prefix": " ", "task_specific_params": parts}
    directory = changed(tmp_path / "led", config=config, generation={})
    (chunk,) = read(directory, LAMP, too_long="truncate").chunks
    ids = LEDTokenizer.from_pretrained(directory)("lamp: " + LAMP)["input_ids"]
    assert chunk.ids[0].tolist() == [*ids[:39], 2]
    assert LEDTokenizer.from_pretrained(directory)("lamp: " + LAMP[: chunk.stop])["input_ids"] == [*ids[:39], 2]
    config["task_specific_params"] = {"summarization": {"prefix": 3}}
    with pytest.raises(ConfigError, match="prefix is 3: it must be a string"):
        Summarizer(changed(tmp_path / "bad", config=config, generation={}))


# Progress, and chunks that are done


def test_progress_tells_the_text_the_chunk_and_the_round():
    seen = []
    asked = {"too_long": "chunk", "chunk_tokens": 40, "combine": "again", "max_length": 5, "num_beams": 1}
    made = pyled.summarize([SHORT, LAMP], TINY, progress=seen.append, **asked, min_length=5)
    assert made[1].rounds == 1
    together, again = (0, 0, 0, 1, 4), (1, 1, 0, 1, 1)  # the text and the three chunks of the other; their summaries
    assert [(s.text, s.round, s.chunk, s.chunks, s.together, s.stage, s.done, s.total) for s in seen] == [
        (*place, stage, n, total)
        for place, layers in ((together, 8), (again, 2))
        for stage, total in (("encoding", layers), ("generating", 4))
        for n in range(total + 1)
    ]
    assert {s.texts for s in seen} == {2}
    assert seen[0].fraction == 0 and seen[-1].fraction == pytest.approx(1)
    assert seen[0].seconds_left is None and seen[-1].seconds_left == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("texts", [LAMP, [SHORT, LAMP]])
def test_the_fraction_goes_from_0_to_1_also_where_a_summary_ends_early(texts):
    ends = {"num_beams": 1, "max_length": 40, "eos_token_id": list(range(600))}  # after one token
    seen = []
    pyled.summarize(texts, TINY, progress=seen.append, too_long="chunk", chunk_tokens=40, combine="again", **ends)
    fractions = [status.fraction for status in seen]
    assert fractions == sorted(fractions) and (fractions[0], fractions[-1]) == (0, 1)
    assert seen[-1].done < seen[-1].total and seen[-1].seconds_left == 0


def test_the_time_left_is_that_of_the_whole_work():
    """Encoding takes 3 s a unit of cost, generating 2 s, but the first step of each part 100 s, for its compilation."""
    clock, seen = [0.0], []
    work = Work(seen.append, [1.0, 3.0], lambda: clock[0])

    def part(stage, cost, seconds, steps, until):
        with work.part(stage, cost, (0, 0, 1), steps) as step:
            for n in range(1, until + 1):
                clock[0] += seconds if n > 1 else 100
                step(n, steps)

    work.turn_to(0)
    work.expect(4.0, 6.0)
    part("encoding", 4.0, 3.0, 4, 4)
    assert seen[1].seconds_left is None  # after the first step
    assert seen[2].seconds_left == pytest.approx(3 * (4 - 2 + 6 + 3 * (4 + 6)))  # the second text costs 3 times as much
    assert seen[-1].seconds_left == pytest.approx(3 * (6 + 3 * 10)) and seen[-1].fraction == pytest.approx(4 / 40)
    part("generating", 6.0, 2.0, 6, 4)  # ends two steps early: its later 5 units of cost took 3 * 2 s
    assert seen[-1].seconds_left == pytest.approx(2 * (2 + 3 * 6) + 3 * 3 * 4)
    work.turn_to(1)
    work.expect(8.0, 12.0)  # a third of it was done before
    part("encoding", 8.0, 3.0, 4, 1)
    assert seen[-1].seconds_left == pytest.approx(3 * 6 + 6 / 5 * 12)
    work = Work(seen.append, clock=lambda: clock[0])
    work.expect(2.0, 10.0)
    part("encoding", 2.0, 50.0, 2, 2)  # 50 s a unit, which a model that is all overhead takes
    assert seen[-1].seconds_left == pytest.approx(4 * 10)


def test_chunks_that_are_done_are_not_written_again(request, monkeypatch):
    summarizer = Summarizer(TINY, too_long="chunk", chunk_tokens=40, combine="again", max_length=5, num_beams=1)
    source, finished = summarizer.read(LAMP), {}
    expected = summarizer.write(source)
    request.getfixturevalue("two_at_a_time")
    with pytest.raises(KeyboardInterrupt):
        summarizer.write(source, finished=finished)
    assert list(finished) == [chunk.key for chunk in source.chunks[:2]]
    monkeypatch.undo()
    taken = dict(finished)
    made = summarizer.write(source, finished=finished)
    assert (made.text, made.rounds, len(finished)) == (expected.text, expected.rounds, 4)
    assert made.chunks[:2] == tuple(taken.values())


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"text": b"bytes"}, InputError, "text is a bytes: pass a string"),
        ({"text": [SHORT, None]}, InputError, r"text\[1\]: a text is NoneType: pass a string"),
        ({"text": " \n\u3000"}, InputError, "^the text is empty"),
        ({"text": {SHORT: 1}}, InputError, "text is a dict: pass a string"),
        ({"text": io.StringIO(SHORT)}, InputError, "text is a StringIO: pass a string"),
        ({"progress": 5}, InputError, "progress is 5: a function or None was expected"),
        ({"errors": "ignore"}, InputError, "errors is 'ignore': 'raise' or 'record' was expected"),
        ({"too_long": "cut"}, InputError, "too_long is 'cut': it must be 'error' or 'truncate' or 'chunk'"),
        ({"combine": "all"}, InputError, "combine is 'all': it must be 'concat' or 'again'"),
        ({"too_long": "chunk", "chunk_tokens": 15}, InputError, "chunk_tokens is 15: .* integer of at least 16"),
        ({"too_long": "chunk", "chunk_tokens": 99.0}, InputError, "chunk_tokens is 99.0: it must be an integer"),
        ({"too_long": "chunk", "chunk_tokens": 1025}, InputError, "chunk_tokens is 1,025, but .* 1,024 positions"),
        ({"too_long": "chunk", "overlap": -1}, InputError, "overlap is -1: .* integer of at least 0"),
        ({"too_long": "chunk", "overlap": None}, InputError, "overlap is None: it must be an integer"),
        ({"too_long": "chunk", "overlap": 513}, InputError, "overlap is 513, of chunks of 1,024 tokens: .* 512"),
        (
            {"chunk_tokens": 99},
            InputError,
            "chunk_tokens=99 has no effect with too_long='error': pass",
        ),
        ({"overlap": 9, "too_long": "truncate"}, InputError, "overlap=9 has no effect with too_long='truncate'"),
        ({"global_attention": "all"}, InputError, "global_attention is 'all': it must be 'first', 'none', 'doc-sep'"),
        ({"global_attention": "tokens:"}, InputError, "global_attention is 'tokens:': it must be"),
        ({"global_attention": "tokens:1,-2"}, InputError, "global_attention is 'tokens:1,-2': it must be"),
        ({"global_attention": 0}, InputError, "global_attention is 0: it must be"),
        ({"global_attention": "tokens:7-5"}, InputError, "tokens:7-5': a range goes from its smaller place"),
        ({"global_attention": "tokens:0,1024"}, InputError, "only 1,024 tokens are read at a time"),
        ({"global_attention": "doc-sep"}, InputError, "this vocabulary has no <doc-sep>"),
        ({"model": 3}, InputError, "model is 3: a string, a path, an LEDForConditionalGeneration"),
        ({"model": "./led"}, CheckpointError, "led is no directory: pass the directory of a downloaded checkpoint"),
        ({"tokenizer": TINY / "documents"}, CheckpointError, "vocab.json"),
        ({"tokenizer": 3}, InputError, "tokenizer is 3: a string, a path, an LEDTokenizer or None was expected"),
        (
            {"generation_config": {"num_beams": 2}},
            InputError,
            "generation_config is .*: a GenerationConfig or None was",
        ),
        ({"num_beam": 2}, GenerationError, "did you mean 'num_beams'"),
        ({"num_return_sequences": 2}, GenerationError, "num_return_sequences is not for a summary"),
    ],
)
def test_mistakes_are_named(arguments, kind, message):
    with pytest.raises(kind, match=message):
        pyled.summarize(**{"text": SHORT, "model": TINY, **arguments})


def test_a_model_in_memory_needs_its_tokenizer_and_keeps_its_dtype(model, tokenizer):
    with pytest.raises(InputError, match="the tokenizer is missing"):
        pyled.summarize(SHORT, model)
    with pytest.raises(InputError, match=r"dtype is 'float64', .* the model is in float32"):
        pyled.summarize(SHORT, model, tokenizer, dtype="float64")
    with pytest.raises(InputError, match=r"model is .*: .* an LEDForConditionalGeneration"):
        pyled.summarize(SHORT, LEDModel(model.config), tokenizer)


def test_an_encoder_too_small_for_chunks_is_told(tmp_path):
    directory = changed(tmp_path / "led", config={"max_encoder_position_embeddings": 15}, generation={})
    with pytest.raises(InputError, match="this encoder has 15 positions: chunks need at least 16"):
        pyled.summarize(SHORT, directory, too_long="chunk")


# The public names


def test_every_public_name_is_there():
    assert set(pyled.__all__) == set(pyled._MODULES) <= set(dir(pyled))
    for name in pyled.__all__:
        assert getattr(pyled, name) is not None
    assert pyled.LEDTokenizerFast is pyled.LEDTokenizer
    assert {field.name for field in fields(pyled.Summary)} >= {"text", "plan", "notes", "score"}
    with pytest.raises(AttributeError, match="'pyled' has no attribute 'LEDForMaskedLM'"):
        pyled.LEDForMaskedLM  # noqa: B018
