"""6. How far a work is, and how long the rest of it takes."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

Stage = Literal["encoding", "generating", "summarizing"]
Watch = Callable[["Status"], object]
Place = tuple[int, int, int]  # round, chunk, chunks


@dataclass(frozen=True)
class Status:
    """How far a work is: text after text, chunk after chunk, or some chunks together, each in two stages."""

    text: int  # the one at work, from 0; of several the first
    texts: int
    round: int  # from 0; in a later one summaries are summarized again
    chunk: int  # of this text, the one at work, from 0
    chunks: int  # of this round
    together: int  # chunks at work, of this text and of others
    stage: Stage
    done: int  # layers of the encoder, generated tokens, or texts of several machines
    total: int  # all of them, or the most
    fraction: float  # of the whole work: from 0, never less than before, to 1
    seconds_left: float | None  # of the whole work; None until a part of it has been timed


@dataclass
class _Account:
    """Seconds of a stage."""

    expected: float = 0.0  # of all texts begun
    left: dict[int, float] = field(default_factory=dict)  # of those that are not done
    timed: float = 0.0  # expected of what was timed
    taken: float = 0.0  # by that


@dataclass
class Work:
    """The work on some texts: it times each part, and compares the time with what was expected.

    A summary counts with its greatest length until one is written, then with the usual share of it. Costs are those of
    one chunk after another.

    watch: called with the Status at each step
    sizes: of the texts, in any unit: one that is not begun is expected to cost in proportion to it
    clock: returns seconds
    """

    watch: Watch = lambda status: None
    sizes: Sequence[float] = (1.0,)
    clock: Callable[[], float] = time.monotonic
    text: int = 0  # the one that was begun last
    _last: Status | None = None  # that was told
    _begun: float = 0.0  # the sizes of the texts that were begun
    _accounts: dict[Stage, _Account] = field(default_factory=lambda: {"encoding": _Account(), "generating": _Account()})

    def turn_to(self, text: int) -> None:
        """Turn to a text; what is left of the one before is not done."""
        self.leave(self.text)
        self.begin(text)

    def begin(self, text: int) -> None:
        """Begin a text, beside those at work."""
        self.text = text
        self._begun += self.sizes[text] if text < len(self.sizes) else 0.0

    def leave(self, text: int, is_done: bool = False) -> None:
        """Leave a text that is done; or what is left of it is not done."""
        if not is_done:
            self.expect(0.0, 0.0, text)
        for account in self._accounts.values():
            account.left.pop(text, None)

    def expect(self, encoding: float, generating: float, text: int | None = None) -> None:
        """Set the cost of what is left of a text, or of the last one begun, in seconds of any machine."""
        for account, cost in zip(self._accounts.values(), (encoding, generating), strict=True):
            place = self.text if text is None else text
            account.expected += cost - account.left.get(place, 0.0)
            account.left[place] = cost

    @contextmanager
    def part(
        self, stage: Stage, costs: float | Sequence[tuple[int, float]], place: Place, steps: int
    ) -> Iterator[Callable[[int, int], None]]:
        """Begin a part of at most so many steps, and yield what counts them. It may end before its last step.

        costs: of the text at work; or the text and the cost of each chunk at work, that of the place first
        """
        pairs = [(self.text, costs)] if isinstance(costs, float) else costs
        account, share, then, cost = self._accounts[stage], 0.0, self.clock(), sum(cost for _, cost in pairs)

        def count(new_share: float, now: float) -> None:
            nonlocal share, then
            if share:  # subtle: the first step is no measure, kernels are loaded or compiled in its time
                account.timed += (new_share - share) * cost
                account.taken += now - then
            for text, part in pairs:
                if text in account.left:  # it may be done before the others
                    account.left[text] -= (new_share - share) * part
            share, then = new_share, now

        def step(done: int, total: int) -> None:
            count(done / total, self.clock())
            outlook = self._outlook()
            self._last = Status(pairs[0][0], len(self.sizes), *place, len(pairs), stage, done, total, *outlook)
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
        ahead = sum(self.sizes[self.text + 1 :]) / (self._begun or self.sizes[0] or 1.0)
        whole = sum((1 + ahead) * one.expected for one in self._accounts.values())
        begun = {stage: sum(max(0.0, cost) for cost in one.left.values()) for stage, one in self._accounts.items()}
        left = {stage: begun[stage] + ahead * one.expected for stage, one in self._accounts.items()}
        paces = {stage: one.taken / one.timed for stage, one in self._accounts.items() if one.timed}
        other = min(4.0, next(iter(paces.values()), 0.0))  # a tiny model's encoder, all overhead, is no measure
        seconds = sum(cost * paces.get(stage, other) for stage, cost in left.items()) if paces else None
        fraction = round(1 - sum(left.values()) / whole, 9) if whole else 0.0  # without the error of sums
        return max(0.0 if self._last is None else self._last.fraction, fraction), seconds
