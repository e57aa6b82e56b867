"""Stop strings: a row ends with the token that completes one of them (transformers 5.23.0, stopping_criteria.py)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Bools, Ids

TokenBytes = Callable[[int], bytes]  # the bytes of a token; none for an id that is no token


@dataclass(frozen=True)
class StopStrings:
    """A stopping criterion.

    Text is compared as bytes, and special tokens and the prompt are text, too, as upstream.
    """

    strings: Sequence[str]
    bytes_of: TokenBytes

    def __call__(self, ids: Ids, scores: object = None) -> Bools:
        """Return which rows of ids: (R, T) have a stop string that ends inside their last token, (R,).

        The token may go on behind the string. A string that ended earlier stops nothing:

        >>> stop = StopStrings(["stop"], [b"a s", b"to", b"pper", b"at"].__getitem__)
        >>> stop(np.array([[0, 1, 2]])), stop(np.array([[0, 1, 2, 3]]))
        (array([ True]), array([False]))
        """
        return np.array([self._ends_in_last(row.tolist()) for row in ids], bool)

    def _ends_in_last(self, row: list[int]) -> bool:
        strings = [string.encode("utf-8") for string in self.strings]
        last, text = len(self.bytes_of(row[-1])), b""
        for token in reversed(row):
            text = self.bytes_of(token) + text
            if len(text) >= last + max(map(len, strings)):
                break
        # behind the last token's first byte less the string's length, whatever is there ends inside that token
        return any(string in text[max(0, len(text) - last - len(string) + 1) :] for string in strings)
