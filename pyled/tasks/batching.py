"""10. Several texts at a time: which chunks are decoded together, and which text is done when.

A step of decoding reads all weights, for one row as for many. So chunks that share their steps take less time each, and
have the same bits as alone.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from .cost import Batches, Estimate
from .progress import Place, Work
from .reading import Chunk, Source
from .summary import ChunkSummary, Summary

AHEAD = 4  # batches whose texts are read before the first is done, to put those of like length together

T = TypeVar("T")
Finished = MutableMapping[str, ChunkSummary]  # by `Chunk.key`
Cost = Callable[[Sequence[Chunk]], Estimate]
Rounds = Generator[Source, tuple[ChunkSummary, ...], Summary]  # yields a round's chunks, and gets their summaries


class Writing:
    """A text on its way to its summary, round after round.

    number: of the text; finished: gets the summary of each chunk
    """

    def __init__(self, number: int, rounds: Rounds, finished: Finished) -> None:
        self.number, self.finished, self.round = number, finished, 0
        self._rounds, self.source = rounds, next(rounds)
        self.pieces: list[Piece] = []  # of this round, that are not written yet

    def begin_round(self, cost: Cost, rewrites: bool) -> None:
        """Set the pieces of a round, one for equal chunks; rewrites: also of chunks that are finished."""
        keys = [chunk.key for chunk in self.source.chunks]
        self.pieces = [
            Piece(self, chunk, (self.round, i, len(keys)), cost([chunk]))
            for i, chunk in enumerate(self.source.chunks)
            if rewrites or (keys[i] not in self.finished and keys[i] not in keys[:i])
        ]

    def end_round(self) -> Summary | None:
        """Turn to the next round, or return the summary, where there is none."""
        chunks = self.source.chunks
        summaries = (replace(self.finished[chunk.key], start=chunk.start, stop=chunk.stop) for chunk in chunks)
        try:
            self.source = self._rounds.send(tuple(summaries))
        except StopIteration as e:
            summary: Summary = e.value
            return summary
        self.round += 1
        return None


@dataclass(frozen=True, eq=False)
class Piece:
    """A chunk of a text that is to be summarized."""

    text: Writing
    chunk: Chunk
    place: Place
    cost: Estimate


Write = Callable[[Sequence[Piece]], Iterator[tuple[Piece, ChunkSummary]]]


@dataclass
class Batching:
    """Texts that are written a few at a time.

    batches: which chunks are decoded together; write_together: yields the summary of each of these when it is done
    cost: what chunks take alone, with all later rounds; rewrites: whether chunks that are finished are written, too
    """

    batches: Batches
    write_together: Write
    work: Work
    cost: Cost
    rewrites: bool = False

    def write(self, texts: Iterable[Writing]) -> Iterator[tuple[int, Summary | Exception]]:
        """Yield the number and the summary of each text, or its error, when it is done.

        Where chunks fail together, each is written alone, so that only what fails alone is lost.
        """
        waiting: list[Piece] = []
        alone: list[Piece] = []
        for text in texts:
            yield from self._begun(text, waiting)
        while waiting or alone:
            if alone:
                batch = [alone.pop(0)]
            else:
                numbers = self.batches([piece.chunk.ids.size for piece in waiting])[0]
                batch = [waiting[i] for i in numbers]
                waiting = [piece for piece in waiting if piece not in batch]
            is_alone = len(batch) == 1
            for outcome in attempted(self.write_together(tuple(batch))):
                if isinstance(outcome, Exception):
                    if not is_alone:
                        alone = batch
                        break
                    text = batch[0].text
                    waiting, alone = ([piece for piece in rest if piece.text is not text] for rest in (waiting, alone))
                    self.work.leave(text.number)
                    yield text.number, outcome
                    continue
                piece, summary = outcome
                batch.remove(piece)
                piece.text.pieces.remove(piece)
                piece.text.finished[piece.chunk.key] = summary
                if not piece.text.pieces:
                    yield from self._ended(piece.text, waiting)

    def _begun(self, text: Writing, waiting: list[Piece]) -> Iterator[tuple[int, Summary | Exception]]:
        """Begin a round of a text: let its chunks wait; or end it, where none is left."""
        text.begin_round(self.cost, self.rewrites)
        if text.pieces:
            cost = self.cost([piece.chunk for piece in text.pieces])
            self.work.expect(cost.encoding, cost.generating, text.number)
        place = 0 if text.round else len(waiting)  # a later round is next
        waiting[place:place] = text.pieces
        if not text.pieces:
            yield from self._ended(text, waiting)

    def _ended(self, text: Writing, waiting: list[Piece]) -> Iterator[tuple[int, Summary | Exception]]:
        """End a round of a text: yield its summary, or an error, or begin the next round."""
        try:
            summary: Summary | Exception | None = text.end_round()
        except Exception as e:
            summary = e
        if summary is None:
            yield from self._begun(text, waiting)
        else:
            self.work.leave(text.number, is_done=isinstance(summary, Summary))
            yield text.number, summary


def attempted(results: Iterator[T]) -> Iterator[T | Exception]:
    """Yield what an iterator does, and then the error that ends it.

    >>> list(attempted(1 / number for number in (1, 0)))
    [1.0, ZeroDivisionError('division by zero')]
    """
    try:
        yield from results
    except Exception as e:
        yield e


def windows(texts: Iterable[tuple[int, Source]], chunks: float) -> Iterator[list[tuple[int, Source]]]:
    """Yield texts by so many that they have that number of chunks together, or one more text's."""
    window, count = list[tuple[int, Source]](), 0
    for number, source in texts:
        window.append((number, source))
        count += len(source.chunks)
        if count >= chunks:
            yield window
            window, count = [], 0
    if window:
        yield window


def put_in_order(results: Iterable[tuple[int, T]], order: deque[int]) -> Iterator[tuple[int, T]]:
    """Yield results by their numbers in that order, each as soon as those before it are there.

    >>> list(put_in_order([(7, "b"), (5, "a"), (9, "c")], deque([5, 7, 9])))
    [(5, 'a'), (7, 'b'), (9, 'c')]
    """
    waiting: dict[int, T] = {}
    for number, result in results:
        waiting[number] = result
        while order and order[0] in waiting:
            yield order[0], waiting.pop(order.popleft())
