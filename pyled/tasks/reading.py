"""1. How a text is read: the options, and the text as the encoder takes it.

Letters: S source tokens.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..arrays import Ids
from ..errors import InputError, brief
from ..tokenizer import BatchEncoding, LEDTokenizer
from ..tokenizer.bytelevel import check_text
from .cutting import cut
from .documents import Documents, Text, together

FEWEST = 16  # the least chunk_tokens: room for some characters, of four tokens each at worst, and an overlap
DOC_SEP = "<doc-sep>"  # stands between the documents of one input; PRIMERA's vocabulary has it

_CHOICES = {"too_long": ("error", "truncate", "chunk"), "combine": ("concat", "again")}
_GLOBAL = re.compile(r"first|none|doc-sep|tokens:\d{1,9}(-\d{1,9})?(,\d{1,9}(-\d{1,9})?)*", re.ASCII)


@dataclass(frozen=True)
class Reading:
    """How a text is read.

    too_long: what to do with more tokens than the encoder has positions: "error"; "truncate", to read as many of them
        as it has; "chunk", to summarize it piece by piece
    chunk_tokens: the most tokens of a chunk, `<s>` and `</s>` included; None for all positions of the encoder
    overlap: the most tokens at the end of a chunk that the next one begins with, half of a chunk or less
    combine: "concat" puts a blank line between the summaries of chunks; "again" summarizes that until there is one
    global_attention: which tokens attend to all: "first" `<s>`; "doc-sep" `<s>` and every `<doc-sep>`; "none";
        "tokens:0,5" or "tokens:0-7" those at these places of every chunk, `<s>` being 0. None is "doc-sep" where the
        vocabulary has `<doc-sep>`, else "first"
    prefix: what stands before each text, and before each chunk of it; None is what config.json says

    Raises InputError for any other value, and for what concerns chunks where too_long is not "chunk".
    """

    too_long: Literal["error", "truncate", "chunk"] = "error"
    chunk_tokens: int | None = None
    overlap: int = 0
    combine: Literal["concat", "again"] = "concat"
    global_attention: str | None = None
    prefix: str | None = None

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if not isinstance(getattr(self, name), str) or getattr(self, name) not in allowed:
                choices = " or ".join(map(repr, allowed))
                raise InputError(f"{name} is {brief(getattr(self, name))}: it must be {choices}")
        for name, least in (("chunk_tokens", FEWEST), ("overlap", 0)):
            value = getattr(self, name)
            if (type(value) is not int or value < least) and not (name == "chunk_tokens" and value is None):
                raise InputError(f"{name} is {brief(value)}: it must be an integer of at least {least}")
        for name in ("chunk_tokens", "overlap", "combine"):
            value, how = getattr(self, name), self.too_long
            if how != "chunk" and value != getattr(Reading, name):
                raise InputError(f"{name}={brief(value)} has no effect with too_long='{how}': pass too_long='chunk'")
        if not isinstance(self.prefix, str | None):
            raise InputError(f"prefix is {brief(self.prefix)}: it must be a string, or None for what config.json says")
        self.global_places()

    def global_places(self) -> list[range]:
        """Return the places that "tokens:..." names. Raises InputError."""
        where = self.global_attention
        if not isinstance(where, str | None) or not _GLOBAL.fullmatch(where or "none"):
            names = "'first', 'none', 'doc-sep', or places such as 'tokens:0,5' or 'tokens:0-7'"
            raise InputError(f"global_attention is {brief(where)}: it must be {names}")
        ends = [part.split("-") for part in (where or "").partition(":")[2].split(",") if part]
        places = [range(int(end[0]), int(end[-1]) + 1) for end in ends]
        if not all(places):
            raise InputError(f"global_attention is {brief(where)}: a range goes from its smaller place to its larger")
        return places


@dataclass(frozen=True)
class Chunk:
    """A piece of a text as the encoder takes it: the characters start to stop, as a text of their own."""

    start: int
    stop: int
    ids: Ids  # (1, S)
    is_global: Ids  # (1, S)

    @property
    def key(self) -> str:
        """A name of what the encoder reads: other tokens or global marks give another one."""
        return hashlib.sha256(self.ids.tobytes() + self.is_global.tobytes()).hexdigest()


@dataclass(frozen=True)
class Source:
    """A text as the encoder takes it, in one chunk or several."""

    chunks: tuple[Chunk, ...]
    tokens: int  # of the whole text, `<s>` and `</s>` included
    truncated: int  # those of them that are in no chunk
    notes: tuple[str, ...]  # what was left out or cut


@dataclass(frozen=True)
class Reader:
    """A tokenizer and how it is used, with every question settled."""

    tokenizer: LEDTokenizer
    reading: Reading  # in effect
    limit: int  # the most tokens of a chunk
    side: str = "encoder"  # the part of the model that sets the limit
    can_cut: bool = True  # the task can be done piece by piece

    def __call__(self, text: Text) -> Source:
        """Return a text as tokens, in chunks if it is too long for one and the reading says so. Raises InputError."""
        if isinstance(text, Documents):
            return self._together(text)
        if not check_text(text, "").strip():
            raise InputError("the text is empty: there is nothing to read")
        limit, prefix = self.limit, len(self.reading.prefix or "")
        encoded = self._encoded(text)
        pieces, notes, truncated = [(0, len(text), encoded["input_ids"])], [], 0
        count = len(encoded["input_ids"])
        remedy = self.reading.too_long if count > limit else None
        if remedy == "error":
            piecewise = "too_long='chunk' to summarize it piece by piece, or " if self.can_cut else ""
            raise InputError(
                f"{count:,} tokens, but this {self.side} has {limit:,} positions: shorten the text, or pass "
                f"{piecewise}too_long='truncate' to read {limit:,} of them"
            )
        if remedy == "truncate":
            encoded, truncated = self._encoded(text, truncation=True, max_length=limit), count - limit
            stops = [stop - prefix for _, stop in encoded["offset_mapping"]]  # those of <s> and </s> are not above 0
            pieces = [(0, max(0, *stops), encoded["input_ids"])]
            notes.append(f"{truncated:,} of {count:,} tokens were cut off: the {self.side} has {limit:,} positions")
        elif remedy == "chunk":
            spans = encoded["offset_mapping"][1:-1]
            starts = [max(0, start - prefix) for start, stop in spans if stop > prefix]
            pieces = cut(text, starts, limit, self.reading.overlap, lambda piece: self._encoded(piece)["input_ids"])
            kind = "chunks" if len(pieces) > 1 else "chunk"
            notes.append(f"{count:,} tokens are read in {len(pieces):,} {kind} of at most {limit:,}")
        shortest, where = min(len(ids) for _, _, ids in pieces), self.reading.global_attention
        if any(places.stop > shortest for places in self.reading.global_places()):
            notes.append(f"global_attention={brief(where)} has no effect from {shortest:,} on: a chunk ends there")
        return Source(tuple(self._chunk(*piece) for piece in pieces), count, truncated, tuple(notes))

    def _together(self, documents: Documents) -> Source:
        """Return documents as one chunk. Raises InputError."""
        if self.reading.too_long == "chunk":
            raise InputError("documents are read together, in one piece: leave too_long='chunk' out")
        if DOC_SEP not in self.tokenizer.get_vocab():
            raise InputError(f"this vocabulary has no {DOC_SEP}, which PRIMERA reads between documents: pass one text")
        separator = self.tokenizer.convert_tokens_to_ids(DOC_SEP)
        ids, count, truncated, note = together(
            documents, lambda text: self._encoded(text)["input_ids"], separator, self.limit
        )
        chunk = self._chunk(0, sum(map(len, documents.texts)), ids)
        return Source((chunk,), count, truncated, (note,))

    def _encoded(self, text: str, **arguments: Any) -> BatchEncoding:
        """Return the tokens of a text and their places, behind the prefix; with max_length no limit is warned of."""
        text = (self.reading.prefix or "") + text
        whole = {"truncation": False, "max_length": len(text)}
        return self.tokenizer(text, return_offsets_mapping=True, **(whole | arguments))

    def _chunk(self, start: int, stop: int, ids: list[int]) -> Chunk:
        """Return a piece of a text with its global marks."""
        row = np.array([ids], np.int64)  # (1, S)
        return Chunk(start, stop, row, self.global_marks(row))

    def global_marks(self, ids: Ids) -> Ids:
        """Return which of the ids of a chunk, (1, S), are those of global tokens: 1, others 0."""
        is_global = np.zeros_like(ids)
        for places in self.reading.global_places():
            is_global[:, places.start : places.stop] = 1
        if self.reading.global_attention in ("first", "doc-sep"):
            is_global[:, 0] = 1
        if self.reading.global_attention == "doc-sep":
            is_global[ids == self.tokenizer.convert_tokens_to_ids(DOC_SEP)] = 1
        return is_global
