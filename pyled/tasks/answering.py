"""11. Answers: the pieces of a text that a model takes for the answer to a question.

The question and as much of the text as there is room for are one row, `<s> question </s></s> text </s>`. The question
and `<s>` have global attention. Spans and scores are those of the question-answering pipeline of transformers 4.57.6.

Letters: S source tokens.
"""

import reprlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, overload

import numpy as np

from ..annotations import Count, checked_arguments, is_integer
from ..arrays import Bools, Floats
from ..checkpoint import Arithmetic
from ..config import refuse_keywords
from ..errors import InputError, PyledError
from ..models import LEDForQuestionAnswering
from ..network.attention import softmax
from ..tokenizer.bytelevel import check_text
from ..tokenizer.led.batch_encoding import Encoding
from .loading import Loaded, QuestionModel, Tokenizer, load_for, types_of
from .progress import Watch, Work
from .reading import Chunk, Source
from .running import Errors, checked_scores, one_or_each, one_pass, pass_seconds, positions
from .summary import Recorded, versions

OVERLAP = 128  # tokens that a chunk repeats of the one before, if there is room for twice as many
Overlap = Annotated[int, lambda value: is_integer(value, 0), "an integer of at least 0"]


@dataclass(frozen=True)
class Asking:
    """Options of how a question is asked. The names are those of the pipeline of transformers, but for the last three.

    top_k: the most answers
    max_answer_len: the most tokens of an answer
    handle_impossible_answer: an empty text is an answer too; its score is the least of `<s>` in any chunk
    align_to_words: an answer begins and ends with whole words
    chunk_tokens: the most tokens of a row; None for all that encoder and decoder have positions for
    overlap: tokens of the text that a chunk repeats of the one before; None for 128, or for half of its room where
        that is less
    global_attention: "question" for `<s>` and the question; "none"
    """

    top_k: Count = 1
    max_answer_len: Count = 15
    handle_impossible_answer: bool = False
    align_to_words: bool = True
    chunk_tokens: Count | None = None
    overlap: Overlap | None = None
    global_attention: Literal["question", "none"] = "question"


@dataclass(frozen=True)
class Span:
    """An answer: the characters start to stop of the text."""

    text: str
    start: int
    stop: int
    score: float


@dataclass(frozen=True)
class Extent:
    """The part of a text that a chunk has: the characters start to stop."""

    start: int
    stop: int
    source_tokens: int


@dataclass(frozen=True, repr=False)
class Answer(Recorded):
    """The answers to a question, and the record of how they were made; `str` returns the text of the best."""

    question: str
    text: str  # of the best answer; empty where the model takes none for the best
    # Best first. Answers that differ in capitals alone are one, at the first place; its score is the sum of theirs,
    # which is more than 1 now and then: two chunks that overlap have the same answer twice.
    spans: tuple[Span, ...]
    model: str  # the checkpoint's directory; owner/name@commit, from a hub; or "in memory"
    versions: Mapping[str, str]  # of pyled and of what it computes with
    dtype: str  # of the arithmetic
    encoder: str  # what the encoder multiplies
    settings: Mapping[str, Mapping[str, Any]]  # each part of `Asking` with its value and its origin
    source_tokens: int  # of question and text, `<s>` and `</s>` included
    global_tokens: int  # tokens with global attention, of all chunks
    chunks: tuple[Extent, ...]
    seconds: float
    notes: tuple[str, ...]  # what was assumed, cut, missing, tied or unused

    def __repr__(self) -> str:
        return f"Answer({reprlib.repr(self.text)}, score={self.spans[0].score:.4f}, question={self.question!r})"

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Window(Chunk):
    """A chunk of a text behind a question."""

    encoding: Encoding  # leads from its tokens to words and characters


@dataclass(frozen=True)
class QuestionSource(Source):
    """A question and a text as the model takes them."""

    question: str
    context: str
    overlap: int  # in effect


class Answerer:
    """A model and its tokenizer, loaded once: call it with a question, or several, and a text.

    loaded: the model, its tokenizer, and notes on them; asking: what is asked for; limit: the most tokens of a chunk
    """

    @checked_arguments
    def __init__(
        self,
        model: QuestionModel | Loaded[LEDForQuestionAnswering],
        tokenizer: Tokenizer = None,
        *,
        dtype: Any = None,
        encoder: Arithmetic | None = None,
        revision: str | None = None,
        **options: Any,
    ) -> None:
        """Load a model and settle how it is used.

        model: the directory of a checkpoint of LEDForQuestionAnswering, or its name on a hub; or a loaded model, which
            needs its tokenizer
        tokenizer, dtype, encoder, revision: as of `Summarizer`
        options: by the names of `Asking`, such as top_k=3

        Raises InputError for arguments, CheckpointError, ConfigError, TokenizerError for files.
        """
        refuse_keywords("Answerer", options, [field.name for field in fields(Asking)])
        self.asking = checked_arguments(Asking)(**options)
        self._stated = options.keys()
        self.loaded = load_for(LEDForQuestionAnswering, model, tokenizer, dtype, None, revision, encoder)
        most, side = positions(self.loaded.model.config)
        self.limit = self.asking.chunk_tokens or most
        if self.limit > most:
            raise InputError(f"chunk_tokens is {self.limit:,}, but this {side} has {most:,} positions: pass no more")

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a string is an iterable of strings, too
        self, question: str, context: str, *, errors: Errors = ..., progress: Watch | None = ...
    ) -> Answer: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]  # "record" is one of Errors, too
        self, question: Iterable[str], context: str, *, errors: Literal["record"], progress: Watch | None = ...
    ) -> list[Answer | PyledError]: ...
    @overload
    def __call__(
        self, question: Iterable[str], context: str, *, errors: Errors = ..., progress: Watch | None = ...
    ) -> list[Answer]: ...
    @checked_arguments
    def __call__(self, question: Any, context: str, *, errors: Errors = "raise", progress: Watch | None = None) -> Any:
        """Return the answers that a text has to a question, or a list of them for several questions.

        errors: "raise"; or "record", to put the error of a question in its place in the list, and go on with the others
        progress: called with the Status at each step

        Raises InputError for a question or a text that is empty, and for a question that leaves no room for the text.
        """

        def read(one: str) -> QuestionSource:
            return self.read(one, context)

        def seconds(source: Source) -> float:
            return pass_seconds(self.loaded.model, source)

        return one_or_each("question", question, errors, progress, read, seconds, self.write)

    def read(self, question: str, context: str) -> QuestionSource:
        """Return a question and a text as tokens, in chunks where they are too long for one. Raises InputError."""
        if not check_text(question, "").strip():
            raise InputError("the question is empty: there is nothing to answer")
        if not check_text(context, "").strip():
            raise InputError("the text is empty: there is nothing to read")
        tokenizer, limit = self.loaded.tokenizer, self.limit
        asked = len(tokenizer.tokenize(question, verbose=False))
        overlap = self._overlap(asked, limit - asked - tokenizer.num_special_tokens_to_add(pair=True))
        how: dict[str, Any] = {"truncation": "only_second", "max_length": limit, "stride": overlap}
        rows = tokenizer(question, context, return_overflowing_tokens=True, **how).encodings
        assert rows is not None  # a call has them
        count = sum(len(text.ids) for text in rows[0].texts) + len(rows[0].special)
        notes = (f"{count:,} tokens are read in {len(rows):,} chunks of at most {limit:,}, which share {overlap:,}",)
        chunks = tuple(self._window(row, asked) for row in rows)
        return QuestionSource(chunks, count, 0, notes if len(rows) > 1 else (), question, context, overlap)

    def _overlap(self, asked: int, room: int) -> int:
        """Return the overlap, where a chunk has room for so many tokens of the text. Raises InputError."""
        if room < 1:
            raise InputError(
                f"the question has {asked:,} tokens, which leave none of {self.limit:,} for the text: shorten it"
                + (", or pass a larger chunk_tokens" if self.asking.chunk_tokens else "")
            )
        overlap = self.asking.overlap
        if overlap is not None and overlap > room // 2:
            raise InputError(
                f"overlap is {overlap:,}, but beside this question a chunk has room for {room:,} tokens of the text: "
                f"pass at most half, {room // 2:,}"
            )
        return min(OVERLAP, room // 2) if overlap is None else overlap

    def _window(self, row: Encoding, asked: int) -> Window:
        """Return a row as a chunk, with its global marks; `asked`: tokens of the question."""
        ids = np.array([row.ids], np.int64)  # (1, S)
        is_global = np.zeros_like(ids)
        if self.asking.global_attention == "question":
            is_global[:, : 1 + asked] = 1
        spans = [span for span, text in zip(row.offsets, row.sequence_ids, strict=True) if text == 1]
        return Window(spans[0][0], spans[-1][1], ids, is_global, row)

    @checked_arguments
    def write(self, source: QuestionSource, work: Work | None = None) -> Answer:
        """Return the answers to one question; `work` is told of each step. Raises CheckpointError for bad weights."""
        work, model, asking, began = work or Work(), self.loaded.model, self.asking, time.perf_counter()
        costs = [pass_seconds(model, Source((chunk,), 0, 0, ())) for chunk in source.chunks]
        work.expect(sum(costs), 0.0)
        answers: dict[str, Span] = {}
        least = np.inf  # the score of no answer
        for i, (window, cost) in enumerate(zip(source.chunks, costs, strict=True)):
            assert isinstance(window, Window)
            output = one_pass(model, window, work, cost, (0, i, len(source.chunks)))
            is_text = np.array([text == 1 for text in window.encoding.sequence_ids])  # (S,)
            start, end = (checked_scores(scores[0]) for scores in (output.start_logits, output.end_logits))  # (S,)
            count = asking.top_k * 2 + 10 if asking.align_to_words else asking.top_k
            spans, none = best_spans(start, end, is_text, count, asking.max_answer_len)
            least = min(least, none)
            for first, last, score in spans:
                place = characters(window.encoding, first, last, asking.align_to_words)
                text = source.context[slice(*place)]
                same = answers.get(text.lower(), Span(text, *place, 0.0))
                answers[text.lower()] = Span(same.text, same.start, same.stop, same.score + score)
        impossible = [Span("", 0, 0, least)] if asking.handle_impossible_answer else []
        best = sorted([*answers.values(), *impossible], key=lambda span: -span.score)[: asking.top_k]
        return Answer(
            question=source.question,
            text=best[0].text,
            spans=tuple(best),
            model=self.loaded.name,
            versions=versions(),
            dtype=model.dtype.name,
            encoder=types_of(model)["encoder"],
            settings=self._settings(source.overlap),
            source_tokens=source.tokens,
            global_tokens=sum(int(chunk.is_global.sum()) for chunk in source.chunks),
            chunks=tuple(Extent(chunk.start, chunk.stop, chunk.ids.size) for chunk in source.chunks),
            seconds=time.perf_counter() - began,
            notes=(*self.loaded.notes, *source.notes),
        )

    def _settings(self, overlap: int) -> dict[str, dict[str, Any]]:
        """Return what is in effect, and where it comes from."""
        values = {field.name: getattr(self.asking, field.name) for field in fields(Asking)}
        settings = {
            name: {"value": value, "origin": "call" if name in self._stated else "default"}
            for name, value in values.items()
        }
        computed = {"chunk_tokens": (self.limit, "config.json"), "overlap": (overlap, "pyled")}
        for name, (value, origin) in computed.items():
            if values[name] is None:
                settings[name] = {"value": value, "origin": origin}
        return settings


def best_spans(
    start: Floats, end: Floats, is_text: Bools, count: int, longest: int
) -> tuple[Sequence[tuple[int, int, float]], float]:
    """Return the best spans of one chunk, (first token, last token, score), and the score of no answer.

    A score is the probability of the first token to be one, times that of the last, among the tokens of the text and
    `<s>`, which stands for no answer.

    start, end: (S,) float64, the scores of each token to be the first and the last of the answer
    is_text: (S,), which tokens an answer can have
    longest: the most tokens of a span

    >>> is_text = np.array([False, False, True, True])  # <s>, the question, two tokens of the text
    >>> spans, none = best_spans(np.log([1, 9, 1, 2]), np.log([1, 9, 3, 1]), is_text, 2, 2)
    >>> [(first, last, round(score, 3)) for first, last, score in spans], round(none, 3)
    ([(2, 2, 0.15), (3, 3, 0.1)], 0.05)
    """
    is_possible = is_text | (np.arange(len(is_text)) == 0)
    starts, ends = (softmax(np.where(is_possible, scores, -np.inf)) for scores in (start, end))
    none = float(starts[0] * ends[0])
    first = np.flatnonzero(is_text)
    spans = [(i, j) for i in first.tolist() for j in range(i, min(i + longest, len(is_text))) if is_text[j]]
    scores = np.array([starts[i] * ends[j] for i, j in spans])
    order = np.argsort(-scores, kind="stable")[:count].tolist()
    return [(*spans[k], float(scores[k])) for k in order], none


def characters(row: Encoding, first: int, last: int, align_to_words: bool) -> tuple[int, int]:
    """Return the characters of a span of tokens, those of whole words if that is asked for and all are of words."""
    words = [row.token_to_word(token) for token in (first, last)]
    if align_to_words and None not in words:
        begin, end = (row.word_to_chars(int(word or 0), 1) for word in words)
        return begin.start, end.end
    return row.offsets[first][0], row.offsets[last][1]


@overload
def answer(
    question: str, context: str, model: QuestionModel, tokenizer: Tokenizer = None, **options: Any
) -> Answer: ...
@overload
def answer(
    question: Iterable[str], context: str, model: QuestionModel, tokenizer: Tokenizer = None, **options: Any
) -> list[Answer]: ...
def answer(
    question: Any,
    context: str,
    model: QuestionModel,
    tokenizer: Tokenizer = None,
    *,
    errors: Errors = "raise",
    progress: Watch | None = None,
    **options: Any,
) -> Any:
    """Return the answers that a text has to a question, or a list of them for several: `Answerer(model, ...)(...)`.

    options: those of Answerer; errors, progress: those of its call
    """
    return Answerer(model, tokenizer, **options)(question, context, errors=errors, progress=progress)
