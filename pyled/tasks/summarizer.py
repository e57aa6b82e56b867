"""3. The work: a model and its tokenizer, asked for one text after another.

Letters: P prompt tokens, S source tokens.
"""

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ..checkpoint import Storage
from ..errors import GenerationError, InputError, PyledWarning
from ..generation import Settings, resolve
from ..generation_config import GenerationConfig
from ..hub import SYNOPSIS, UNNAMED
from ..models import DType, LEDForConditionalGeneration
from ..tokenizer import BatchEncoding, LEDTokenizer
from ..version import __version__
from .reading import DOC_SEP, FEWEST, Chunk, Combine, Reading, Source, TooLong, cut
from .summary import ChunkSummary, Summary

NEW_TOKENS = 256  # the most that are generated where neither the call nor the checkpoint sets a length

# What a summary settles itself, and what it asks for to fill the record.
OWN = {"num_return_sequences": 1, "return_dict_in_generate": True, "output_scores": False, "output_logits": False}

# (stage, what is done of it, what there is to do at most). A stage is "encoding" or "generating", with a space and
# words behind that say of what, where a text has several chunks.
StageProgress = Callable[[str, int, int], None]
Progress = Callable[[int, str, int, int], None]  # the same behind the number of the text in its list


def _no_progress(stage: str, done: int, total: int) -> None:
    """The progress of a caller who wants none."""


@dataclass(frozen=True)
class Plan:
    """How to read and to generate, with every question settled.

    prompt: (1, P) int, what every summary begins with
    reading, origin: the reading in effect, and where each part of it comes from
    limit: the most tokens of a chunk
    """

    settings: Settings
    prompt: NDArray[np.int64]
    reading: Reading
    origin: Mapping[str, str]
    limit: int


@dataclass(frozen=True)
class Summarizer:
    """A model and its tokenizer: what `summarize` loads once, and asks for one text after another.

    name: of the model, for the record
    notes: how the weights were found; surprises: those of the notes that an ordinary checkpoint does not have
    """

    model: LEDForConditionalGeneration
    tokenizer: LEDTokenizer
    name: str
    notes: tuple[str, ...] = ()
    surprises: tuple[str, ...] = ()

    @classmethod
    def load(
        cls,
        model: str | Path | LEDForConditionalGeneration | None = None,
        tokenizer: str | Path | LEDTokenizer | None = None,
        dtype: DType | None = None,
        weights: Storage | None = None,
    ) -> "Summarizer":
        """From a checkpoint's directory, or from what is in memory already; None is the checkpoint in the package.

        Raises CheckpointError, ConfigError, TokenizerError, GenerationError for the files, InputError for arguments.
        """
        unnamed = [UNNAMED] if model is None else []
        model = SYNOPSIS if model is None else model
        if isinstance(model, LEDForConditionalGeneration):
            if dtype not in (None, model.dtype.name):
                raise InputError(f"dtype is {dtype!r}, but the model is in {model.dtype.name}: load it with that dtype")
            if weights not in (None, stored_as(model)):
                raise InputError(
                    f"weights is {weights!r}, but those of the model are in {stored_as(model)}: load it with these"
                )
            name, loaded = "in memory", model
        elif isinstance(model, str | Path):
            name, loaded = str(model), _load_model(model, dtype, weights)
            tokenizer = model if tokenizer is None else tokenizer
        else:
            raise InputError(
                f"model is a {type(model).__name__}: pass a checkpoint's directory, or an LEDForConditionalGeneration"
            )
        if isinstance(tokenizer, str | Path):
            tokenizer = LEDTokenizer.from_pretrained(tokenizer)
        if not isinstance(tokenizer, LEDTokenizer):
            given = "missing" if tokenizer is None else f"a {type(tokenizer).__name__}"
            raise InputError(f"the tokenizer is {given}: a model in memory needs its LEDTokenizer, or the directory")
        report, beyond = loaded.load_report, []
        if len(tokenizer) > loaded.config.vocab_size:
            beyond.append(
                f"the tokenizer has {len(tokenizer):,} tokens, the model {loaded.config.vocab_size:,}: a text with one "
                "of the others is refused; model.resize_token_embeddings(len(tokenizer)) gives them rows"
            )
        notes, surprises = (report.lines(), report.surprises()) if report is not None else ([], [])
        return cls(loaded, tokenizer, name, (*unnamed, *notes, *beyond), (*surprises, *beyond))

    def plan(
        self, generation_config: GenerationConfig | None, settings: Mapping[str, Any], reading: Reading | None = None
    ) -> Plan:
        """Settle all questions before any work; `reading` is Reading() where it is None.

        Raises GenerationError for settings, InputError for a reading that is beyond this model or its vocabulary.
        """
        if not isinstance(generation_config, GenerationConfig | None):
            raise InputError(f"generation_config is a {type(generation_config).__name__}: pass a GenerationConfig")
        if not isinstance(reading, Reading | None):
            raise InputError(f"reading is a {type(reading).__name__}: pass a Reading")
        effective, prompt = self._plan_generation(generation_config, settings)
        limit, reading, origin = self._plan_reading(Reading() if reading is None else reading)
        return Plan(effective, prompt, reading, origin, limit)

    def _plan_generation(
        self, generation_config: GenerationConfig | None, settings: Mapping[str, Any]
    ) -> tuple[Settings, NDArray[np.int64]]:
        """The settings in effect, and the prompt (1, P)."""
        for name in OWN:
            if name in settings:
                raise GenerationError(
                    f"{name} is not for a summary, which is one text with its score: leave it out, or call "
                    "model.generate"
                )
        arguments = {**settings, **OWN}
        effective, prompt = self._resolve(generation_config, arguments)
        origin = dict.fromkeys(OWN, "summarize")
        notes = []
        if effective.origin["max_length"] == "default":
            arguments["max_new_tokens"] = min(NEW_TOKENS, self.model.config.max_decoder_position_embeddings)
            effective, prompt = self._resolve(generation_config, arguments)
            origin |= {"max_length": "summarize", "max_new_tokens": "summarize"}
            notes.append(
                f"no length is set: at most {arguments['max_new_tokens']} tokens are generated; pass max_new_tokens"
            )
        configs = [config for config in (generation_config, self.model.generation_config) if config is not None]
        asked = next((c for c in configs if c.num_return_sequences is not None), configs[-1])
        if (asked.num_return_sequences or 1) > 1:
            notes.append(
                f"num_return_sequences={asked.num_return_sequences} ({asked.source}) is ignored: the best is given"
            )
        notes += effective.notes
        return replace(effective, origin={**effective.origin, **origin}, notes=tuple(notes)), prompt

    def _resolve(
        self, generation_config: GenerationConfig | None, arguments: Mapping[str, Any]
    ) -> tuple[Settings, NDArray[np.int64]]:
        config = self.model.config
        return resolve(
            arguments,
            generation_config,
            self.model.generation_config,
            batch_size=1,
            vocab_size=config.vocab_size,
            positions=config.max_decoder_position_embeddings,
        )

    def _plan_reading(self, asked: Reading) -> tuple[int, Reading, dict[str, str]]:
        """The most tokens of a chunk, the reading in effect, and where each part of it comes from."""
        positions = self.model.config.max_encoder_position_embeddings
        limit = asked.chunk_tokens or positions
        if limit > positions:
            raise InputError(
                f"chunk_tokens is {limit:,}, but this encoder has {positions:,} positions: pass at most {positions:,}"
            )
        if asked.too_long == "chunk" and limit < FEWEST:
            raise InputError(f"this encoder has {positions} positions: chunks need at least {FEWEST}")
        if asked.overlap > limit // 2:
            raise InputError(
                f"overlap is {asked.overlap:,}, of chunks of {limit:,} tokens: pass at most half, {limit // 2:,}"
            )
        has_doc_sep = DOC_SEP in self.tokenizer.get_vocab()
        if asked.global_attention == "doc-sep" and not has_doc_sep:
            raise InputError(
                f"global_attention is 'doc-sep', but this vocabulary has no {DOC_SEP}: pass 'first', 'none' or places"
            )
        beyond = [places[-1] for places in asked.global_places() if places[-1] >= limit]
        if beyond:
            raise InputError(
                f"global_attention is {asked.global_attention!r}, but at most {limit:,} tokens are read at a time: "
                f"pass places below {limit:,}"
            )
        origin = {f.name: "default" if getattr(asked, f.name) == f.default else "call" for f in fields(asked)}
        if asked.global_attention is None:
            asked = replace(asked, global_attention="doc-sep" if has_doc_sep else "first")
            origin["global_attention"] = "summarize"
        if asked.too_long == "chunk" and asked.chunk_tokens is None:
            asked = replace(asked, chunk_tokens=limit)
            origin["chunk_tokens"] = "config.json"
        return limit, asked, origin

    def read(self, text: str, plan: Plan) -> Source:
        """A text as tokens, in chunks where the plan asks for them and the text is too long for one.

        Raises InputError, TokenizerError.
        """
        if not isinstance(text, str):
            raise InputError(f"a text is a string, not {type(text).__name__}")
        if not text.strip():
            raise InputError("the text is empty: there is nothing to summarize")
        limit, reading = plan.limit, plan.reading
        encoded = self._encoded(text)
        count = len(encoded["input_ids"])
        pieces, notes = [(0, len(text), encoded["input_ids"])], []
        if count > limit and reading.too_long == "error":
            raise InputError(
                f"{count:,} tokens, but this encoder has {limit:,} positions: shorten the text, or pass "
                "too_long='chunk' (--too-long chunk) to summarize it piece by piece, or too_long='truncate' "
                f"(--too-long truncate) to read {limit:,} of them"
            )
        if count > limit and reading.too_long == "truncate":
            encoded = self._encoded(text, truncation=True, max_length=limit)
            places = encoded["offset_mapping"][1:-1] or [(0, 0)]
            pieces = [(places[0][0], places[-1][1], encoded["input_ids"])]
            notes.append(f"{count - limit:,} of {count:,} tokens were cut off: the encoder has {limit:,} positions")
        elif count > limit:
            starts = [start for start, _ in encoded["offset_mapping"][1:-1]]
            pieces = cut(text, starts, limit, reading.overlap, lambda piece: self._encoded(piece)["input_ids"])
            notes.append(f"{count:,} tokens are read in {len(pieces):,} chunks of at most {limit:,}")
        chunks = tuple(self._chunk(*piece, reading) for piece in pieces)
        longest = max(chunk.ids.size for chunk in chunks)
        if longest > self.tokenizer.model_max_length:
            notes.append(
                f"{longest:,} tokens are read, more than the tokenizer's model_max_length, "
                f"{self.tokenizer.model_max_length:,}"
            )
        shortest = min(chunk.ids.size for chunk in chunks)
        if any(places.stop > shortest for places in reading.global_places()):
            notes.append(
                f"global_attention={reading.global_attention!r} has no effect from {shortest:,} on: a chunk ends there"
            )
        truncated = max(0, count - limit) if reading.too_long == "truncate" else 0
        return Source(chunks, count, truncated, tuple(notes))

    def _encoded(self, text: str, **arguments: Any) -> BatchEncoding:
        """The tokens of a text with their places, all of them unless arguments say otherwise.

        (With max_length the tokenizer does not warn of its own limit, which `read` notes.)
        """
        whole = {"truncation": False, "max_length": len(text)}
        return self.tokenizer(text, return_offsets_mapping=True, **(whole | arguments))

    def _chunk(self, start: int, stop: int, ids: list[int], reading: Reading) -> Chunk:
        """A piece of a text with its global marks."""
        row = np.array([ids], np.int64)  # (1, S)
        is_global = np.zeros_like(row)
        for places in reading.global_places():
            is_global[:, places.start : places.stop] = 1
        if reading.global_attention in ("first", "doc-sep"):
            is_global[:, 0] = 1
        if reading.global_attention == "doc-sep":
            is_global[row == self.tokenizer.convert_tokens_to_ids(DOC_SEP)] = 1
        return Chunk(start, stop, row, is_global)

    def write(self, source: Source, plan: Plan, progress: StageProgress = _no_progress) -> Summary:
        """The summary of one text. Raises InputError, GenerationError."""
        chunks = last = self._write_chunks(source, plan, "", progress)
        spent, notes, rounds, tokens = [*chunks], [*source.notes], 0, source.tokens
        text = _joined(last)
        while plan.reading.combine == "again" and len(last) > 1 and text:
            again = self.read(text, plan)
            if again.tokens >= tokens:
                notes.append(
                    f"the {len(last)} summaries are not summarized again: with {again.tokens:,} tokens together they "
                    f"are no shorter than what they summarize, {tokens:,}; pass a smaller max_new_tokens"
                )
                break
            rounds += 1
            notes.append(f"{len(last)} summaries, {again.tokens:,} tokens together, were summarized again")
            last = self._write_chunks(again, plan, " again", progress)
            spent += last
            tokens, text = again.tokens, _joined(last)
        return Summary(
            text=text,
            model=self.name,
            version=__version__,
            dtype=self.model.dtype.name,
            weights=stored_as(self.model),
            settings=plan.settings,
            reading=plan.reading,
            reading_origin=plan.origin,
            source_tokens=source.tokens,
            truncated_tokens=source.truncated,
            global_tokens=sum(chunk.global_tokens for chunk in chunks),
            generated_tokens=sum(chunk.generated_tokens for chunk in last),
            score=last[0].score if len(last) == 1 else None,
            chunks=chunks,
            rounds=rounds,
            notes=(*self.notes, *plan.settings.notes, *notes),
            encoding_seconds=sum(chunk.encoding_seconds for chunk in spent),
            generating_seconds=sum(chunk.generating_seconds for chunk in spent),
        )

    def _write_chunks(
        self, source: Source, plan: Plan, round_: str, progress: StageProgress
    ) -> tuple[ChunkSummary, ...]:
        """The summary of each chunk, one after another."""
        count = len(source.chunks)
        written = []
        for i, chunk in enumerate(source.chunks):
            place = f"{round_} chunk {i + 1}/{count}" if count > 1 else round_

            def told(stage: str, done: int, total: int, place: str = place) -> None:
                progress(stage + place, done, total)

            written.append(self._write_chunk(chunk, plan, told))
        return tuple(written)

    def _write_chunk(self, chunk: Chunk, plan: Plan, progress: StageProgress) -> ChunkSummary:
        """The summary of one chunk, as of a text of its own."""
        model, is_real, P = self.model, np.ones_like(chunk.ids), plan.settings.prompt_length
        began = time.perf_counter()
        progress("encoding", 0, model.config.encoder_layers)
        states = model.get_encoder()(
            chunk.ids, is_real, chunk.is_global, progress=lambda done, total: progress("encoding", done, total)
        )
        encoded = time.perf_counter()
        progress("generating", 0, plan.settings.max_length - P)
        answer = model.search(
            states.last_hidden_state,
            is_real,
            plan.prompt,
            plan.settings,
            encoder_ids=chunk.ids,
            progress=lambda done, total: progress("generating", done, total),
        )
        tokens = answer.sequences[0]
        scores = getattr(answer, "sequences_scores", None)
        return ChunkSummary(
            start=chunk.start,
            stop=chunk.stop,
            source_tokens=chunk.ids.size,
            global_tokens=int(chunk.is_global.sum()),
            generated_tokens=len(tokens) - P,
            score=None if scores is None else float(scores[0]),
            text=self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False),
            encoding_seconds=encoded - began,
            generating_seconds=time.perf_counter() - encoded,
        )


def _joined(summaries: tuple[ChunkSummary, ...]) -> str:
    """A single summary as it is; several as paragraphs."""
    if len(summaries) == 1:
        return summaries[0].text
    return "\n\n".join(summary.text.strip() for summary in summaries if summary.text.strip())


def stored_as(model: LEDForConditionalGeneration) -> str:
    """What the matrices that a step of decoding reads are kept in."""
    return model.stored_as or model.dtype.name


def _load_model(directory: str | Path, dtype: DType | None, weights: Storage | None) -> LEDForConditionalGeneration:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyledWarning)  # the record tells what was surprising
        return LEDForConditionalGeneration.from_pretrained(directory, dtype=dtype or "float32", weights=weights)


@overload
def summarize(
    text: str,
    model: str | Path | LEDForConditionalGeneration | None = None,
    tokenizer: str | Path | LEDTokenizer | None = None,
    *,
    too_long: TooLong = "error",
    chunk_tokens: int | None = None,
    overlap: int = 0,
    combine: Combine = "concat",
    global_attention: str | None = None,
    dtype: DType | None = None,
    weights: Storage | None = None,
    progress: Progress | None = None,
    generation_config: GenerationConfig | None = None,
    **settings: Any,
) -> Summary: ...


@overload
def summarize(
    text: list[str] | tuple[str, ...],
    model: str | Path | LEDForConditionalGeneration | None = None,
    tokenizer: str | Path | LEDTokenizer | None = None,
    *,
    too_long: TooLong = "error",
    chunk_tokens: int | None = None,
    overlap: int = 0,
    combine: Combine = "concat",
    global_attention: str | None = None,
    dtype: DType | None = None,
    weights: Storage | None = None,
    progress: Progress | None = None,
    generation_config: GenerationConfig | None = None,
    **settings: Any,
) -> list[Summary]: ...


def summarize(
    text: str | list[str] | tuple[str, ...],
    model: str | Path | LEDForConditionalGeneration | None = None,
    tokenizer: str | Path | LEDTokenizer | None = None,
    *,
    too_long: TooLong = "error",
    chunk_tokens: int | None = None,
    overlap: int = 0,
    combine: Combine = "concat",
    global_attention: str | None = None,
    dtype: DType | None = None,
    weights: Storage | None = None,
    progress: Progress | None = None,
    generation_config: GenerationConfig | None = None,
    **settings: Any,
) -> Summary | list[Summary]:
    """The summary of a text, or a list of them for a list of texts, which are worked on one after another.

    Where neither the call nor the checkpoint sets a length, at most 256 tokens are generated.

    model: the directory of a checkpoint, or a loaded model together with its tokenizer; None is pyled.SYNOPSIS, which
        knows descriptions of software and manual pages
    too_long, chunk_tokens, overlap, combine, global_attention: how a text is read; see Reading
    dtype: what to compute in, "float32" (as None) or "float64"
    weights: what to keep the decoder's weights in, "float32" (as None), or to read less in each step "bf16" or "int8"
    progress: called with the text's place in its list, "encoding" or "generating" (and behind that which chunk, where
        a text has several), layers or tokens done, and how many there are at most
    settings: those of Hugging Face's generation, such as num_beams=4 or max_new_tokens=200

    Raises InputError for a text that is empty or too long, and for wrong arguments; CheckpointError, ConfigError,
    TokenizerError for bad files; GenerationError for bad settings. All are PyledErrors.
    """
    is_one = isinstance(text, str)
    if not isinstance(text, str | list | tuple):
        raise InputError(f"text is a {type(text).__name__}: pass a string, or a list of strings")
    reading = Reading(too_long, chunk_tokens, overlap, combine, global_attention)
    summarizer = Summarizer.load(model, tokenizer, dtype, weights)
    plan = summarizer.plan(generation_config, settings, reading)
    sources = []
    for i, one in enumerate([text] if isinstance(text, str) else text):
        try:
            sources.append(summarizer.read(one, plan))
        except InputError as e:
            raise e if is_one else InputError(f"text[{i}]: {e}") from None
    watch = [_no_progress if progress is None else partial(progress, i) for i in range(len(sources))]
    summaries = [summarizer.write(source, plan, watch[i]) for i, source in enumerate(sources)]
    return summaries[0] if is_one else summaries
