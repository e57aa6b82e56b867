"""11. The work: a model and its tokenizer, asked for the summary of one text after another."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, Literal, overload

import numpy as np

from ..annotations import checked_arguments
from ..arrays import Ids
from ..checkpoint import Arithmetic, Storage
from ..errors import GenerationError, InputError, PyledError
from ..generation import Generated
from ..generation.streamers import check_streamer
from ..generation_config import GenerationConfig
from ..models import LEDForConditionalGeneration
from .batching import AHEAD, Batching, Finished, Piece, Rounds, Writing, put_in_order, windows
from .cost import MOST_ROWS, TYPICAL, Batches, Estimate, Rates, estimate, one_by_one, together
from .documents import Documents, Text
from .loading import Loaded, Model, Tokenizer, load_for, types_of
from .planning import plan
from .progress import Watch, Work
from .reading import Chunk, Reader, Reading, Source
from .running import Errors, one_or_each, raised
from .streaming import Paragraphs, Stream
from .summary import ChunkSummary, Summary, versions


class Summarizer:
    """A model and its tokenizer, loaded once, with every question settled: call it with a text, or with several.

    loaded: the model, its tokenizer, and notes on them; plan: how texts are read and summaries generated
    """

    @checked_arguments
    def __init__(
        self,
        model: Model | Loaded[LEDForConditionalGeneration] = None,
        tokenizer: Tokenizer = None,
        *,
        dtype: Any = None,
        weights: Storage | None = None,
        encoder: Arithmetic | None = None,
        revision: str | None = None,
        generation_config: GenerationConfig | None = None,
        **options: Any,
    ) -> None:
        """Load a model and settle how it is used.

        model: the directory of a checkpoint, or its name on a hub, owner/name; or a loaded model together with its
            tokenizer; None is pyled.SYNOPSIS, which knows descriptions of software and manual pages
        tokenizer: another than the checkpoint's, or its directory or name on a hub
        dtype: what to compute in, "float32" (as None) or "float64"
        weights: the type of the decoder's weights in memory: "float32" (as None); "bf16" or "int8" are read sooner
        encoder: what the encoder multiplies: "float32" (as None); "int16" is faster, and rounds states a little
        revision: of a name on a hub: a branch, a tag or a commit; None is main, as the local cache has it
        generation_config: settings that go before the checkpoint's
        options: how a text is read, by the names of Reading, such as too_long="chunk"; settings of Hugging Face's
            generation, such as num_beams=4, which go before all others. If nobody sets a length, it is 256 tokens

        Raises InputError for arguments, GenerationError for settings; CheckpointError, ConfigError, TokenizerError.
        """
        reading = Reading(**{field.name: options.pop(field.name) for field in fields(Reading) if field.name in options})
        self.loaded = load_for(LEDForConditionalGeneration, model, tokenizer, dtype, weights, revision, encoder)
        led, vocabulary = self.loaded.model, self.loaded.tokenizer.get_vocab()
        self._costs: dict[tuple[int, ...], Estimate] = {}
        self.plan = plan(led.config, led.generation_config, vocabulary, reading, generation_config, options)

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a string is an iterable of strings, too
        self,
        text: Text,
        *,
        errors: Errors = ...,
        progress: Watch | None = ...,
        stream: Stream | None = ...,
        client: Any = ...,
    ) -> Summary: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]  # "record" is one of Errors, too
        self, text: Iterable[Text], *, errors: Literal["record"], progress: Watch | None = ..., client: Any = ...
    ) -> list[Summary | PyledError]: ...
    @overload
    def __call__(
        self, text: Iterable[Text], *, errors: Errors = ..., progress: Watch | None = ..., client: Any = ...
    ) -> list[Summary]: ...
    @checked_arguments
    def __call__(
        self,
        text: Any,
        *,
        errors: Errors = "raise",
        progress: Watch | None = None,
        stream: Stream | None = None,
        client: Any = None,
    ) -> Any:
        """Return the summary of a text, or a list of them for several texts, all of which are read first.

        text: a string, or Documents, which have one summary; or several of these in a list or any iterable
        errors: "raise"; or "record", to put the error of a text in its place in the list, and go on with the others
        progress: called with the Status at each step
        stream: called with each piece of the summary of one text as it is written; not for beam search
        client: a distributed.Client, whose workers write the summaries (docs/corpus.md); not beside stream

        Raises InputError for a text that is empty or too long, GenerationError where the plan leaves nothing to stream.
        """
        if stream is not None and not isinstance(text, str | Documents):
            raise InputError("stream shows the summary of one text: pass a string or Documents, or leave it out")

        def seconds(source: Source) -> float:
            return self.estimate(source.chunks).seconds

        def write(source: Source, work: Work) -> Summary:
            return self.write(source, work, stream=stream)

        if client is not None:
            if stream is not None:
                raise InputError("stream shows what this machine writes: leave out client, or stream")
            from .workers import Workers

            with Workers(client, self) as workers:
                ways = workers.write, workers.write_each
                return one_or_each("text", text, errors, progress, self.read, seconds, *ways)
        return one_or_each("text", text, errors, progress, self.read, seconds, write, self.write_each)

    def read(self, text: Text) -> Source:
        """Return a text as tokens, in chunks where it is too long for one and the plan says so. Raises InputError."""
        return Reader(self.loaded.tokenizer, self.plan.reading, self.plan.limit)(text)

    def estimate(self, *texts: Sequence[Chunk], rates: Rates = TYPICAL) -> Estimate:
        """Return the cost of the summaries of texts, by their chunks, at most, on a machine with these rates."""
        most = max(int(chunk.is_global.sum()) for chunks in texts for chunk in chunks)
        return self._estimate([[chunk.ids.size for chunk in chunks] for chunks in texts], rates, most, self.together)

    def _one_by_one(self, *sizes: int) -> Estimate:
        """Return the cost of a text with chunks of so many tokens, one after another; many texts are of one length."""
        if sizes not in self._costs:
            self._costs[sizes] = self._estimate([sizes])
        return self._costs[sizes]

    def _estimate(
        self,
        texts: Sequence[Sequence[int]],
        rates: Rates = TYPICAL,
        global_tokens: int = 1,
        batches: Batches = one_by_one,
    ) -> Estimate:
        """Return the cost of texts with chunks of so many tokens."""
        model, plan = self.loaded.model, self.plan
        return estimate(
            model.config,
            texts,
            plan.settings.num_beams,
            plan.settings.max_length - plan.settings.prompt_length,
            rates,
            dtype="float64" if model.dtype == np.float64 else "float32",
            weights=model.stored_as,
            encoder=model.encoder_arithmetic,
            global_tokens=global_tokens,
            again=plan.limit if plan.reading.combine == "again" else None,
            batches=batches,
        )

    @checked_arguments
    def write(
        self,
        source: Source,
        work: Work | None = None,
        finished: Finished | None = None,
        stream: Stream | None = None,
    ) -> Summary:
        """Return the summary of one text.

        work: told of each step
        finished: the summaries of chunks that this model wrote by this plan before; those of others are added at once
        stream: called with each piece of the text as it is written

        Raises InputError, GenerationError.
        """
        work, streamer = work or Work(), None if stream is None else self.streamer(stream)
        text = self._writing(work.text, source, finished)
        ((_, summary),) = self._batching(work, streamer).write([text])
        return raised(summary)

    def write_each(
        self,
        sources: Iterable[tuple[int, Source]],
        work: Work | None = None,
        finished: Callable[[int, Source], Finished | None] = lambda number, source: None,
        in_order: bool = True,
    ) -> Iterator[tuple[int, Summary | Exception]]:
        """Yield the number of each text with its summary, or the error of one that fails, which harms no other.

        Chunks of several texts are decoded together, as many as `together` says. The same tokens come out as from each
        alone. Of many texts only some are read ahead, so that they may come from a generator.

        sources: texts as `read` returns them, each with its number in `Work.sizes`
        finished: returns, for a text, what `write` takes by that name
        in_order: yield them in the order of the sources, not each as soon as it is done
        """
        work, order = work or Work(), deque[int]()

        def results() -> Iterator[tuple[int, Summary | Exception]]:
            for window in windows(sources, AHEAD * max(1, MOST_ROWS // self.plan.settings.num_beams)):
                order.extend(number for number, _ in window)
                for number, _ in window:
                    work.begin(number)
                texts = [self._writing(number, source, finished(number, source)) for number, source in window]
                yield from self._batching(work).write(texts)

        return put_in_order(results(), order) if in_order else results()

    def together(self, sizes: Sequence[int]) -> list[list[int]]:
        """Return which chunks, of so many tokens, are decoded together, by their places.

        One by one go those of a plan with a time limit, which is of each, and with rules that look at the padding.
        """
        settings = self.plan.settings
        looks_at_padding = settings.encoder_no_repeat_ngram_size or settings.encoder_repetition_penalty != 1
        if settings.max_time is not None or looks_at_padding:
            return one_by_one(sizes)
        return together(sizes, settings.num_beams, lambda S: self._one_by_one(S).of_chunks)

    def streamer(self, stream: Stream) -> Paragraphs:
        """Return what hands on the text of tokens. Raises GenerationError where the plan leaves nothing to stream."""
        if self.plan.reading.combine == "again":
            raise GenerationError("combine='again' leaves nothing to stream: what is written first is not the summary")
        streamer = Paragraphs(self.loaded.tokenizer, stream)
        check_streamer(streamer, self.plan.settings)
        return streamer

    def _writing(self, number: int, source: Source, finished: Finished | None) -> Writing:
        """Return a text to be written."""
        return Writing(number, self._rounds(source), {} if finished is None else finished)

    def _batching(self, work: Work, streamer: Paragraphs | None = None) -> Batching:
        """Return what writes texts; one chunk after another, where they are streamed."""

        def write(pieces: Sequence[Piece]) -> Iterator[tuple[Piece, ChunkSummary]]:
            return self._write_together(pieces, work, streamer)

        def cost(chunks: Sequence[Chunk]) -> Estimate:
            return self._one_by_one(*(chunk.ids.size for chunk in chunks))

        batches = self.together if streamer is None else one_by_one
        return Batching(batches, write, work, cost, streamer is not None)

    def _rounds(self, source: Source) -> Rounds:
        """Yield what is to be summarized, round after round, and return the summary."""
        chunks = last = yield source
        spent, notes, rounds, tokens = [*chunks], [*source.notes], 0, source.tokens
        text = _joined(last)
        while self.plan.reading.combine == "again" and len(last) > 1 and text:
            again = self.read(text)
            if again.tokens >= tokens:
                notes.append(
                    f"the {len(last):,} summaries are not summarized again: with {again.tokens:,} tokens together they "
                    f"are no shorter than what they summarize, {tokens:,}; pass a smaller max_new_tokens"
                )
                break
            rounds += 1
            notes.append(f"{len(last):,} summaries, {again.tokens:,} tokens together, were summarized again")
            last = yield again
            spent += last
            tokens, text = again.tokens, _joined(last)
        return Summary(
            text=text,
            model=self.loaded.name,
            versions=versions(),
            **types_of(self.loaded.model),
            plan=self.plan,
            source_tokens=source.tokens,
            truncated_tokens=source.truncated,
            global_tokens=sum(chunk.global_tokens for chunk in chunks),
            generated_tokens=sum(chunk.generated_tokens for chunk in last),
            chunks=chunks,
            rounds=rounds,
            score=last[0].score if len(last) == 1 else None,
            encoding_seconds=sum(chunk.encoding_seconds for chunk in spent),
            generating_seconds=sum(chunk.generating_seconds for chunk in spent),
            notes=(*self.loaded.notes, *self.plan.notes, *notes),
        )

    def _write_together(
        self, pieces: Sequence[Piece], work: Work, streamer: Paragraphs | None
    ) -> Iterator[tuple[Piece, ChunkSummary]]:
        """Yield the summary of each chunk when it is done, as of a text of its own; its seconds are its share."""
        first = pieces[0]
        if first.chunk.key in first.text.finished and streamer is not None:
            summary = first.text.finished[first.chunk.key]
            streamer.on_finalized_text(summary.text, stream_end=True)
            yield first, summary
            return
        model, plan, sizes = self.loaded.model, self.plan, [piece.chunk.ids.size for piece in pieces]
        ids, is_real, is_global = (
            _padded(rows)
            for rows in zip(
                *((c.ids, np.ones_like(c.ids), c.is_global) for c in (p.chunk for p in pieces)), strict=True
            )
        )
        times = _Times(len(pieces))
        parts = [(piece.text.number, piece.cost.encoding) for piece in pieces]
        with work.part("encoding", parts, first.place, len(pieces) * model.config.encoder_layers) as step:
            output = model.get_encoder()(ids, is_real, is_global, progress=step)
        encoding = times.lap()

        def progress(done: int, total: int) -> None:
            times.share()
            step(done, total)

        parts = [(piece.text.number, piece.cost.generating) for piece in pieces]
        with work.part(
            "generating", parts, first.place, plan.settings.max_length - plan.settings.prompt_length
        ) as step:
            documents = model.search(
                output,
                is_real,
                np.repeat(plan.prompt, len(pieces), axis=0),
                plan.settings,
                encoder_ids=ids,
                tokenizer=self.loaded.tokenizer,
                streamer=streamer,
                progress=progress,
                leaves=True,
            )
            for i, result in documents:
                seconds = encoding * sizes[i] / sum(sizes), times.end(i)
                yield pieces[i], self._chunk_summary(pieces[i].chunk, result, *seconds)
                times.lap()

    def _chunk_summary(self, chunk: Chunk, result: Generated, encoding: float, generating: float) -> ChunkSummary:
        """Return the summary of a chunk; encoding, generating: seconds."""
        tokens, scores = result.sequences[0], getattr(result, "sequences_scores", None)
        text = self.loaded.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return ChunkSummary(
            start=chunk.start,
            stop=chunk.stop,
            source_tokens=chunk.ids.size,
            global_tokens=int(chunk.is_global.sum()),
            generated_tokens=len(tokens) - self.plan.settings.prompt_length,
            score=None if scores is None else float(scores[0]),
            text=text.strip(),
            encoding_seconds=encoding,
            generating_seconds=generating,
        )


class _Times:
    """A clock of chunks that share a computer: each has its share of the time while it is at work."""

    def __init__(self, count: int) -> None:
        self._seconds, self._at_work, self._then = [0.0] * count, set(range(count)), time.perf_counter()

    def lap(self) -> float:
        """Return the seconds since the last call, which are nobody's."""
        then, self._then = self._then, time.perf_counter()
        return self._then - then

    def share(self) -> None:
        """Share out the seconds since the last call."""
        share = self.lap() / len(self._at_work)
        for i in self._at_work:
            self._seconds[i] += share

    def end(self, i: int) -> float:
        """Return the seconds of a chunk that is done."""
        self._at_work.remove(i)
        return self._seconds[i]


def _padded(rows: Sequence[Ids]) -> Ids:
    """Return rows of (1, any) as one array, with 0 behind the shorter ones."""
    padded = np.zeros((len(rows), max(row.size for row in rows)), np.int64)
    for place, row in zip(padded, rows, strict=True):
        place[: row.size] = row[0]
    return padded


def _joined(summaries: tuple[ChunkSummary, ...]) -> str:
    """Return the summaries as paragraphs."""
    return "\n\n".join(summary.text for summary in summaries if summary.text)


@overload
def summarize(text: Text, model: Model = None, tokenizer: Tokenizer = None, **options: Any) -> Summary: ...
@overload
def summarize(
    text: Iterable[Text], model: Model = None, tokenizer: Tokenizer = None, **options: Any
) -> list[Summary]: ...
def summarize(
    text: Any,
    model: Model = None,
    tokenizer: Tokenizer = None,
    *,
    errors: Errors = "raise",
    progress: Watch | None = None,
    stream: Stream | None = None,
    client: Any = None,
    **options: Any,
) -> Any:
    """Return the summary of a text, or a list of them for several texts: `Summarizer(model, ...)(text)`.

    options: those of Summarizer; errors, progress, stream, client: those of its call
    """
    call = {"errors": errors, "progress": progress, "stream": stream, "client": client}
    return Summarizer(model, tokenizer, **options)(text, **call)
