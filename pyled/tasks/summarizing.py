"""10. The work: a model and its tokenizer, asked for the summary of one text after another."""

import time
from collections.abc import Iterable, MutableMapping, Sequence
from dataclasses import fields, replace
from typing import Any, Literal, overload

import numpy as np

from ..annotations import checked_arguments
from ..checkpoint import Arithmetic, Storage
from ..errors import GenerationError, InputError, PyledError
from ..generation.streamers import check_streamer
from ..generation_config import GenerationConfig
from ..models import LEDForConditionalGeneration
from .cost import TYPICAL, Estimate, Rates, estimate
from .documents import Documents, Text
from .loading import Loaded, Model, Tokenizer, load_for, types_of
from .planning import plan
from .progress import Place, Watch, Work
from .reading import Chunk, Reader, Reading, Source
from .running import Errors, one_or_each
from .streaming import Paragraphs, Stream
from .summary import ChunkSummary, Summary, versions

Finished = MutableMapping[str, ChunkSummary]  # by `Chunk.key`


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
        self.plan = plan(led.config, led.generation_config, vocabulary, reading, generation_config, options)

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a string is an iterable of strings, too
        self, text: Text, *, errors: Errors = ..., progress: Watch | None = ..., stream: Stream | None = ...
    ) -> Summary: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]  # "record" is one of Errors, too
        self, text: Iterable[Text], *, errors: Literal["record"], progress: Watch | None = ...
    ) -> list[Summary | PyledError]: ...
    @overload
    def __call__(
        self, text: Iterable[Text], *, errors: Errors = ..., progress: Watch | None = ...
    ) -> list[Summary]: ...
    @checked_arguments
    def __call__(
        self, text: Any, *, errors: Errors = "raise", progress: Watch | None = None, stream: Stream | None = None
    ) -> Any:
        """Return the summary of a text, or a list of them for several texts, all of which are read first.

        text: a string, or Documents, which have one summary; or several of these in a list or any iterable
        errors: "raise"; or "record", to put the error of a text in its place in the list, and go on with the others
        progress: called with the Status at each step
        stream: called with each piece of the summary of one text as it is written; not for beam search

        Raises InputError for a text that is empty or too long, GenerationError where the plan leaves nothing to stream.
        """
        if stream is not None and not isinstance(text, str | Documents):
            raise InputError("stream shows the summary of one text: pass a string or Documents, or leave it out")

        def seconds(source: Source) -> float:
            return self.estimate(source.chunks).seconds

        def write(source: Source, work: Work) -> Summary:
            return self.write(source, work, stream=stream)

        return one_or_each("text", text, errors, progress, self.read, seconds, write)

    def read(self, text: Text) -> Source:
        """Return a text as tokens, in chunks where it is too long for one and the plan says so. Raises InputError."""
        return Reader(self.loaded.tokenizer, self.plan.reading, self.plan.limit)(text)

    def estimate(self, chunks: Sequence[Chunk], rates: Rates = TYPICAL) -> Estimate:
        """Return the cost of a text's summary, at most, on a machine with these rates."""
        model, plan, sizes = self.loaded.model, self.plan, [chunk.ids.size for chunk in chunks]
        return estimate(
            model.config,
            sizes,
            plan.settings.num_beams,
            plan.settings.max_length - plan.settings.prompt_length,
            rates,
            dtype="float64" if model.dtype == np.float64 else "float32",
            weights=model.stored_as,
            encoder=model.encoder_arithmetic,
            global_tokens=max(int(chunk.is_global.sum()) for chunk in chunks),
            again=plan.limit if plan.reading.combine == "again" else None,
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
        work, finished = work or Work(), {} if finished is None else finished
        streamer = None if stream is None else self.streamer(stream)
        chunks = last = self._write_chunks(source, 0, work, finished, streamer)
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
            last = self._write_chunks(again, rounds, work, finished)
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

    def streamer(self, stream: Stream) -> Paragraphs:
        """Return what hands on the text of tokens. Raises GenerationError where the plan leaves nothing to stream."""
        if self.plan.reading.combine == "again":
            raise GenerationError("combine='again' leaves nothing to stream: what is written first is not the summary")
        streamer = Paragraphs(self.loaded.tokenizer, stream)
        check_streamer(streamer, self.plan.settings)
        return streamer

    def _write_chunks(
        self, source: Source, round_: int, work: Work, finished: Finished, streamer: Paragraphs | None = None
    ) -> tuple[ChunkSummary, ...]:
        """Return the summary of each chunk, one after another."""
        if rest := [chunk for chunk in source.chunks if chunk.key not in finished]:
            cost = self.estimate(rest)
            work.expect(cost.encoding, cost.generating)
        for i, chunk in enumerate(source.chunks):
            if chunk.key not in finished:
                place = (round_, i, len(source.chunks))
                finished[chunk.key] = self._write_chunk(chunk, work, self.estimate([chunk]), place, streamer)
            elif streamer is not None:
                streamer.on_finalized_text(finished[chunk.key].text, stream_end=True)
        return tuple(replace(finished[chunk.key], start=chunk.start, stop=chunk.stop) for chunk in source.chunks)

    def _write_chunk(
        self, chunk: Chunk, work: Work, cost: Estimate, place: Place, streamer: Paragraphs | None
    ) -> ChunkSummary:
        """Return the summary of one chunk, as of a text of its own."""
        model, plan, is_real = self.loaded.model, self.plan, np.ones_like(chunk.ids)
        P = plan.settings.prompt_length
        began = time.perf_counter()
        with work.part("encoding", cost.encoding, place, model.config.encoder_layers) as step:
            output = model.get_encoder()(chunk.ids, is_real, chunk.is_global, progress=step)
        encoded = time.perf_counter()
        with work.part("generating", cost.generating, place, plan.settings.max_length - P) as step:
            result = model.search(
                output,
                is_real,
                plan.prompt,
                plan.settings,
                encoder_ids=chunk.ids,
                tokenizer=self.loaded.tokenizer,
                streamer=streamer,
                progress=step,
            )
        tokens = result.sequences[0]
        text = self.loaded.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        scores = getattr(result, "sequences_scores", None)
        return ChunkSummary(
            start=chunk.start,
            stop=chunk.stop,
            source_tokens=chunk.ids.size,
            global_tokens=int(chunk.is_global.sum()),
            generated_tokens=len(tokens) - P,
            score=None if scores is None else float(scores[0]),
            text=text.strip(),
            encoding_seconds=encoded - began,
            generating_seconds=time.perf_counter() - encoded,
        )


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
    **options: Any,
) -> Any:
    """Return the summary of a text, or a list of them for several texts: `Summarizer(model, ...)(text)`.

    options: those of Summarizer; errors, progress, stream: those of its call
    """
    return Summarizer(model, tokenizer, **options)(text, errors=errors, progress=progress, stream=stream)
