"""6. How far a work is, and how long the rest of it takes."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

Stage = Literal["encoding", "generating"]
Watch = Callable[["Status"], object]
Place = tuple[int, int, int]  # round, chunk, chunks


@dataclass(frozen=True)
class Status:
    """How far a work is: text after text, chunk after chunk, each in two stages."""

    text: int  # the one at work, from 0
    texts: int
    round: int  # from 0; in a later one summaries are summarized again
    chunk: int  # the one at work, from 0
    chunks: int  # of this round
    stage: Stage
    done: int  # layers of the encoder, or generated tokens
    total: int  # all of them, or the most
    fraction: float  # of the whole work: from 0, never less than before, to 1
    seconds_left: float | None  # of the whole work; None until a part of it has been timed


@dataclass
class _Account:
    """Seconds of a stage."""

    expected: float = 0.0  # of all texts begun
    left: float = 0.0  # of those
    timed: float = 0.0  # expected of what was timed
    taken: float = 0.0  # by that


@dataclass
class Work:
    """The work on some texts: it times each part, and compares the time with what was expected.

    A summary counts with its greatest length until one is written, then with the usual share of it.

    watch: called with the Status at each step
    sizes: of the texts, in any unit: one that is not begun is expected to cost in proportion to it
    clock: returns seconds
    """

    watch: Watch = lambda status: None
    sizes: Sequence[float] = (1.0,)
    clock: Callable[[], float] = time.monotonic
    _text: int = 0
    _last: Status | None = None  # that was told
    _begun: float = 0.0  # the sizes of the texts that were begun
    _accounts: dict[Stage, _Account] = field(default_factory=lambda: {"encoding": _Account(), "generating": _Account()})

    def turn_to(self, text: int) -> None:
        """Turn to a text; what is left of the one before is not done."""
        self._text = text
        self._begun += self.sizes[text]
        self.expect(0.0, 0.0)

    def expect(self, encoding: float, generating: float) -> None:
        """Set the cost of what is left of the text at work, in seconds of any machine."""
        for account, cost in zip(self._accounts.values(), (encoding, generating), strict=True):
            account.expected += cost - account.left
            account.left = cost

    @contextmanager
    def part(self, stage: Stage, cost: float, place: Place, steps: int) -> Iterator[Callable[[int, int], None]]:
        """Begin a part of at most so many steps, and yield what counts them. It may end before its last step."""
        account, share, then = self._accounts[stage], 0.0, self.clock()

        def count(new_share: float, now: float) -> None:
            nonlocal share, then
            if share:  # subtle: the first step is no measure, kernels are loaded or compiled in its time
                account.timed += (new_share - share) * cost
                account.taken += now - then
            account.left -= (new_share - share) * cost
            share, then = new_share, now

        def step(done: int, total: int) -> None:
            count(done / total, self.clock())
            self._last = Status(self._text, len(self.sizes), *place, stage, done, total, *self._outlook())
            self.watch(self._last)

        step(0, steps)
        yield step
        count(1.0, then)

    def end(self) -> None:
        """Tell that all is done, where it ended before its last step."""
        if self._last is not None and self._last.fraction < 1:
            self.watch(replace(self._last, fraction=1.0, seconds_left=0.0))

    def _outlook(self) -> tuple[float, float | None]:
        """Return the fraction that is done, and the seconds that are left."""
        ahead = sum(self.sizes[self._text + 1 :]) / (self._begun or self.sizes[0] or 1.0)
        whole = sum((1 + ahead) * one.expected for one in self._accounts.values())
        left = {stage: max(0.0, one.left) + ahead * one.expected for stage, one in self._accounts.items()}
        paces = {stage: one.taken / one.timed for stage, one in self._accounts.items() if one.timed}
        other = min(4.0, next(iter(paces.values()), 0.0))  # a tiny model's encoder, all overhead, is no measure
        seconds = sum(cost * paces.get(stage, other) for stage, cost in left.items()) if paces else None
        fraction = round(1 - sum(left.values()) / whole, 9) if whole else 0.0  # without the error of sums
        return max(0.0 if self._last is None else self._last.fraction, fraction), seconds
