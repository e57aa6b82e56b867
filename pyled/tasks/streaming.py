"""9. A summary piece by piece, while it is written."""

from collections.abc import Callable

from ..generation import TextStreamer
from ..tokenizer import LEDTokenizer

Stream = Callable[[str], object]  # called with each piece of a text; together the pieces are the text


class Paragraphs(TextStreamer):
    """Hands on the summaries of chunks as the paragraphs of one text: without white space at the ends of each.

    >>> pieces = []
    >>> paragraphs = Paragraphs(None, pieces.append)
    >>> for text, is_last in ((" A ", False), ("lamp. ", False), ("", True), (" ", True), ("Lit. ", True)):
    ...     paragraphs.on_finalized_text(text, is_last)
    >>> pieces
    ['A', ' lamp.', '\\n\\nLit.']
    """

    def __init__(self, tokenizer: LEDTokenizer | None, stream: Stream) -> None:
        super().__init__(tokenizer, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        self._stream = stream
        self._gap, self._is_begun = "", False  # what stands before the next piece; whether the paragraph has one

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Take a piece of a paragraph, and hand on what is certain."""
        text = self._gap + (text if self._is_begun else text.lstrip())
        if piece := text.rstrip():
            self._stream(piece)
            self._is_begun = True
        self._gap = text[len(piece) :]
        if stream_end and self._is_begun:
            self._gap, self._is_begun = "\n\n", False
