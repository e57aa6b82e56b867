"""Streamers: what shows a text while it is written (transformers 5.23.0, generation/streamers.py).

A streamer has a method `put`, which gets the prompt, (R, T), and then each step's tokens, (R,); and a method `end`.
"""

import re
from queue import Queue
from typing import Any, Protocol, Self

from ..arrays import as_array
from ..errors import GenerationError, InputError, brief
from .settings import Settings

# Characters of Chinese, Japanese and Korean ideographs: words without spaces between them.
_IDEOGRAPH = re.compile(
    "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002ceaf\U0002f800-\U0002fa1f]"
)


class Streamer(Protocol):
    """An object that takes tokens while they are generated."""

    def put(self, value: Any) -> object:
        """Take the prompt, (R, T) int64, or the tokens of a step, (R,) int64."""
        ...

    def end(self) -> object:
        """Take notice that there are no more tokens."""
        ...


def check_streamer(streamer: Any, settings: Settings) -> None:
    """Raise GenerationError for what is no streamer, and for beam search."""
    if not all(callable(getattr(streamer, name, None)) for name in ("put", "end")):
        raise GenerationError(f"streamer is {brief(streamer)}: it must have the methods put and end")
    if settings.num_beams > 1:
        raise GenerationError(
            f"num_beams={settings.num_beams} ({settings.origin['num_beams']}) leaves nothing to stream: beam search "
            "changes what it began until it ends; pass num_beams=1"
        )


class TextStreamer:
    """Prints the text of one row to standard output, word by word: what is printed does not change any more.

    tokenizer: whose `decode` makes the text, with `decode_kwargs`
    skip_prompt: whether the prompt, which begins with the start token, is left out

    A subclass can take the text elsewhere: each piece goes to `on_finalized_text`.

    >>> class Words:
    ...     def decode(self, ids):
    ...         return "".join(["the", " cat", "nap"][i] for i in ids)
    >>> class Pieces(TextStreamer):
    ...     def on_finalized_text(self, text, stream_end=False):
    ...         print([text, stream_end])
    >>> pieces = Pieces(Words())
    >>> pieces.put([[0]]), pieces.put([1]), pieces.put([2]), pieces.end()
    ['', False]
    ['the ', False]
    ['', False]
    ['catnap', True]
    (None, None, None, None)
    """

    def __init__(self, tokenizer: Any, skip_prompt: bool = False, **decode_kwargs: Any) -> None:
        self.tokenizer, self.skip_prompt, self.decode_kwargs = tokenizer, skip_prompt, decode_kwargs
        self._tokens: list[int] = []  # since the last line end
        self._done = 0  # characters of their text that went on
        self._is_prompt = True

    def put(self, value: Any) -> None:
        """Take more tokens, (T,) or (1, T), and let go on what they complete. Raises InputError for several rows."""
        ids = as_array(value)
        if ids.ndim > 1 and len(ids) > 1:
            raise InputError(f"a TextStreamer shows one row, and there are {len(ids)}: pass one text at a time")
        is_prompt, self._is_prompt = self._is_prompt, False
        if is_prompt and self.skip_prompt:
            return
        self._tokens += ids.ravel().tolist()
        text = self._text()
        if text.endswith("\n"):
            self._go_on(text, len(text))
            self._tokens, self._done = [], 0
        else:  # a word can go on, but an ideograph is one
            self._go_on(text, len(text) if _IDEOGRAPH.match(text[-1:]) else text.rfind(" ") + 1)

    def end(self) -> None:
        """Let go on what is left."""
        text = self._text() if self._tokens else ""
        rest = text[self._done :]
        self._tokens, self._done, self._is_prompt = [], 0, True
        self.on_finalized_text(rest, stream_end=True)

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Print a piece of the text, which can be empty, and a line end behind the last one."""
        print(text, end="\n" if stream_end else "", flush=True)

    def _text(self) -> str:
        text: str = self.tokenizer.decode(self._tokens, **self.decode_kwargs)
        return text

    def _go_on(self, text: str, stop: int) -> None:
        piece = text[self._done : stop]
        self._done += len(piece)
        self.on_finalized_text(piece)


class TextIteratorStreamer(TextStreamer):
    """Yields the text of one row, piece by piece, to the thread that iterates over it, while another one generates.

    timeout: seconds after which a piece that does not come raises queue.Empty; None waits for ever
    """

    def __init__(
        self, tokenizer: Any, skip_prompt: bool = False, timeout: float | None = None, **decode_kwargs: Any
    ) -> None:
        super().__init__(tokenizer, skip_prompt, **decode_kwargs)
        self.timeout = timeout
        self._pieces: Queue[str | None] = Queue()

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Put a piece of the text in the queue, and None behind the last one."""
        self._pieces.put(text)
        if stream_end:
            self._pieces.put(None)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        piece = self._pieces.get(timeout=self.timeout)
        if piece is None:
            raise StopIteration
        return piece
