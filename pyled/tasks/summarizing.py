"""7. The work: a model and its tokenizer, asked for the summary of one text after another.

Letters: P prompt tokens.
"""

import io
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from ..checkpoint import Storage
from ..errors import InputError, PyledError
from ..generation_config import GenerationConfig
from ..models import DType, LEDForConditionalGeneration
from ..tokenizer import LEDTokenizer
from ..version import __version__
from .cost import TYPICAL, Estimate, Rates, estimate
from .loading import Loaded, load, stored_as
from .planning import plan
from .progress import Watch, Work
from .reading import Chunk, Reader, Reading, Source
from .summary import ChunkSummary, Summary

Model = str | Path | LEDForConditionalGeneration | Loaded | None
Tokenizer = str | Path | LEDTokenizer | None
Errors = Literal["raise", "record"]


class Summarizer:
    """A model and its tokenizer, loaded once, with every question settled: call it with a text, or with several.

    loaded: the model, its tokenizer, and notes on them; plan: how texts are read and summaries generated
    """

    def __init__(
        self,
        model: Model = None,
        tokenizer: Tokenizer = None,
        *,
        dtype: DType | None = None,
        weights: Storage | None = None,
        generation_config: GenerationConfig | None = None,
        **options: Any,
    ) -> None:
        """Load a model and settle how it is used.

        Where neither the call nor the checkpoint sets a length, at most 256 tokens are generated.

        model: the directory of a checkpoint, or a loaded model together with its tokenizer; None is pyled.SYNOPSIS,
            which knows descriptions of software and manual pages
        dtype: what to compute in, "float32" (as None) or "float64"
        weights: what to keep the decoder's weights in, "float32" (as None), or to read less in each step "bf16" or
            "int8"
        generation_config: settings that go before the checkpoint's
        options: how a text is read, by the names of Reading, such as too_long="chunk"; and settings of Hugging Face's
            generation, such as num_beams=4 or max_new_tokens=200, which go before all others

        Raises InputError for arguments; CheckpointError, ConfigError, TokenizerError for bad files; GenerationError for
        settings. All are PyledErrors.
        """
        reading = Reading(**{field.name: options.pop(field.name) for field in fields(Reading) if field.name in options})
        self.loaded = model if isinstance(model, Loaded) else load(model, tokenizer, dtype, weights)
        its, vocabulary = self.loaded.model, self.loaded.tokenizer.get_vocab()
        self.plan = plan(its.config, its.generation_config, vocabulary, reading, generation_config, options)

    @overload
    def __call__(self, text: str, *, progress: Watch | None = None) -> Summary: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(
        self, text: Iterable[str], *, errors: Literal["raise"] = ..., progress: Watch | None = None
    ) -> list[Summary]: ...
    @overload
    def __call__(
        self, text: Iterable[str], *, errors: Errors, progress: Watch | None = None
    ) -> list[Summary | PyledError]: ...
    def __call__(self, text: Any, *, errors: Errors = "raise", progress: Watch | None = None) -> Any:
        """Return the summary of a text, or a list of them for several texts, which are worked on one after another.

        All texts are read before the first is summarized.

        errors: "raise", or "record" to put the error in the place of the summary, and go on with the other texts
        progress: called with the Status at each step

        Raises InputError for a text that is empty or too long.
        """
        if errors not in ("raise", "record"):
            raise InputError(f"errors is {errors!r}: it must be 'raise' or 'record'")
        if isinstance(text, str):
            return self.write(self.read(text), progress and Work(progress))
        if isinstance(text, bytes | Mapping | io.IOBase) or not isinstance(text, Iterable):
            raise InputError(f"text is a {type(text).__name__}: pass a string, or a list or iterable of strings")

        def attempt(i: int, function: Callable[..., Any], *arguments: Any) -> Any:
            try:
                return function(*arguments)
            except PyledError as e:
                error = type(e)(f"text[{i}]: {e}")
                if errors == "raise":
                    raise error from None
                return error

        results = [attempt(i, self.read, one) for i, one in enumerate(text)]
        sizes = [self.estimate(one).seconds if isinstance(one, Source) else 0.0 for one in results]
        work = Work(progress, sizes) if progress else None
        for i, source in enumerate(results):
            if isinstance(source, Source):
                if work is not None:
                    work.turn_to(i)
                results[i] = attempt(i, self.write, source, work)
        return results

    def read(self, text: str) -> Source:
        """Return a text as tokens, in chunks where it is too long for one and the plan says so.

        Raises InputError, TokenizerError.
        """
        return Reader(self.loaded.tokenizer, self.plan.reading, self.plan.limit)(text)

    def estimate(self, source: Source, rates: Rates = TYPICAL) -> Estimate:
        """Return the cost of a text's summary, at most, on a machine with these rates."""
        return self._estimate(source.chunks, rates)

    def _estimate(self, chunks: Sequence[Chunk], rates: Rates = TYPICAL) -> Estimate:
        model, settings, reading = self.loaded.model, self.plan.settings, self.plan.reading
        return estimate(
            model.config,
            [chunk.ids.size for chunk in chunks],
            settings.num_beams,
            self.plan.new_tokens,
            rates,
            dtype="float64" if model.dtype == np.float64 else "float32",
            weights=model.stored_as,
            global_tokens=max(chunk.global_tokens for chunk in chunks),
            again=self.plan.limit if reading.combine == "again" else None,
        )

    def write(
        self, source: Source, work: Work | None = None, done: MutableMapping[str, ChunkSummary] | None = None
    ) -> Summary:
        """Return the summary of one text.

        work: told of each step
        done: the summaries of chunks that this model wrote by this plan before, by `Chunk.key`; those of others are
            added as they are finished

        Raises InputError, GenerationError.
        """
        work, done = work or Work(), {} if done is None else done
        chunks = last = self._write_chunks(source, 0, work, done)
        spent, notes, rounds, tokens = [*chunks], [*source.notes], 0, source.tokens
        text = _joined(last)
        while self.plan.reading.combine == "again" and len(last) > 1 and text:
            again = self.read(text)
            if again.tokens >= tokens:
                notes.append(
                    f"the {len(last)} summaries are not summarized again: with {again.tokens:,} tokens together they "
                    f"are no shorter than what they summarize, {tokens:,}; pass a smaller max_new_tokens"
                )
                break
            rounds += 1
            notes.append(f"{len(last)} summaries, {again.tokens:,} tokens together, were summarized again")
            last = self._write_chunks(again, rounds, work, done)
            spent += last
            tokens, text = again.tokens, _joined(last)
        loaded, plan = self.loaded, self.plan
        return Summary(
            text=text,
            model=loaded.name,
            version=__version__,
            dtype=loaded.model.dtype.name,
            weights=stored_as(loaded.model),
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
            notes=(*loaded.notes, *plan.notes, *notes),
            encoding_seconds=sum(chunk.encoding_seconds for chunk in spent),
            generating_seconds=sum(chunk.generating_seconds for chunk in spent),
        )

    def _write_chunks(
        self, source: Source, round_: int, work: Work, done: MutableMapping[str, ChunkSummary]
    ) -> tuple[ChunkSummary, ...]:
        """Return the summary of each chunk, one after another."""
        whole = self.estimate(source)
        work.expect(whole.encoding, whole.generating)
        written, count = [], len(source.chunks)
        for i, chunk in enumerate(source.chunks):
            cost, summary = self._estimate([chunk]), done.get(chunk.key)
            if summary is None:
                summary = done[chunk.key] = self._write_chunk(chunk, work, cost, (round_, i, count))
            else:
                work.skip(cost.encoding, cost.generating)
            written.append(replace(summary, start=chunk.start, stop=chunk.stop))
        return tuple(written)

    def _write_chunk(self, chunk: Chunk, work: Work, cost: Estimate, place: tuple[int, int, int]) -> ChunkSummary:
        """Return the summary of one chunk, as of a text of its own."""
        model, plan = self.loaded.model, self.plan
        is_real = np.ones_like(chunk.ids)
        began = time.perf_counter()
        work.begin("encoding", cost.encoding, model.config.encoder_layers, place)
        states = model.get_encoder()(chunk.ids, is_real, chunk.is_global, progress=work.step)
        work.end()
        encoded = time.perf_counter()
        work.begin("generating", cost.generating, plan.new_tokens, place)
        answer = model.search(
            states.last_hidden_state, is_real, plan.prompt, plan.settings, encoder_ids=chunk.ids, progress=work.step
        )
        work.end()
        tokens = answer.sequences[0]
        text = self.loaded.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        scores = getattr(answer, "sequences_scores", None)
        return ChunkSummary(
            start=chunk.start,
            stop=chunk.stop,
            source_tokens=chunk.ids.size,
            global_tokens=chunk.global_tokens,
            generated_tokens=len(tokens) - plan.settings.prompt_length,
            score=None if scores is None else float(scores[0]),
            text=text.strip(),
            encoding_seconds=encoded - began,
            generating_seconds=time.perf_counter() - encoded,
        )


def _joined(summaries: tuple[ChunkSummary, ...]) -> str:
    """Return the summaries as paragraphs."""
    return "\n\n".join(summary.text for summary in summaries if summary.text)


@overload
def summarize(  # a string is an iterable of strings, too
    text: str, model: Model = None, tokenizer: Tokenizer = None, **options: Any
) -> Summary: ...
@overload
def summarize(
    text: Iterable[str], model: Model = None, tokenizer: Tokenizer = None, **options: Any
) -> list[Summary]: ...
def summarize(
    text: Any,
    model: Model = None,
    tokenizer: Tokenizer = None,
    *,
    errors: Errors = "raise",
    progress: Watch | None = None,
    **options: Any,
) -> Any:
    """Return the summary of a text, or a list of them for several texts: `Summarizer(model, ...)(text)`.

    options: those of Summarizer; errors, progress: those of its call
    """
    return Summarizer(model, tokenizer, **options)(text, errors=errors, progress=progress)
