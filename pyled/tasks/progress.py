"""5. How far a work is, and how long the rest of it takes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Stage = Literal["encoding", "generating"]


@dataclass(frozen=True)
class Status:
    """How far a work is: its texts come one after another, their chunks too, and each chunk has two stages.

    text, chunk, round: which one is at work, from 0; in a round above 0 summaries are summarized again
    texts, chunks: how many there are; chunks of this round
    done, total: layers of the encoder; or tokens, and the most of them
    fraction: of the whole work, from 0 to 1
    seconds_left: of the whole work; None until a part of it has been timed. A summary counts with its greatest length
        until one is written, then with the usual share of it
    """

    text: int
    texts: int
    round: int
    chunk: int
    chunks: int
    stage: Stage
    done: int
    total: int
    fraction: float
    seconds_left: float | None


@dataclass
class _Account:
    """Seconds of a stage: expected of all texts begun, of what is left, of what was timed; and taken by the last."""

    expected: float = 0.0
    left: float = 0.0
    timed: float = 0.0
    taken: float = 0.0


Watch = Callable[[Status], object]


class Work:
    """The work on some texts. It times each part and compares the time with the expected one.

    watch: called with the Status at each step
    sizes: of the texts, in any unit: a text that is not begun is expected to cost in proportion to it
    clock: returns seconds
    """

    def __init__(
        self,
        watch: Watch = lambda status: None,
        sizes: Sequence[float] = (1.0,),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watch, self._sizes, self._clock = watch, sizes, clock
        self._at = 0.0  # when the last step was done
        self._text, self._begun, self._ahead = -1, 0.0, 0.0  # ahead: sizes of the texts to come, by those begun
        self._accounts: dict[Stage, _Account] = {"encoding": _Account(), "generating": _Account()}

    def turn_to(self, text: int) -> None:
        """Turn to a text; what is left of the one before is not done."""
        self._text = text
        self._begun += self._sizes[text]
        self._ahead = sum(self._sizes[text + 1 :]) / self._begun if self._begun else 0.0
        self.expect(0.0, 0.0)

    def expect(self, encoding: float, generating: float) -> None:
        """Set the cost of what is left of the text at work, in seconds of any machine."""
        if self._text < 0:
            self.turn_to(0)
        for account, cost in zip(self._accounts.values(), (encoding, generating), strict=True):
            account.expected += cost - account.left
            account.left = cost

    def begin(self, stage: Stage, cost: float, total: int, place: tuple[int, int, int]) -> None:
        """Begin a part, of the round, the chunk and the chunks in `place`; total: its steps, at most."""
        self._stage: Stage = stage
        self._cost, self._place, self._done = cost, place, 0
        self.step(0, total)

    def step(self, done: int, total: int) -> None:
        """Count the steps that are done of the part at work."""
        now, account = self._clock(), self._accounts[self._stage]
        cost = (done - self._done) / total * self._cost
        if self._done:  # subtle: the first step is no measure, kernels are loaded or compiled in its time
            account.timed += cost
            account.taken += now - self._at
        account.left -= cost
        self._at, self._done, self._total = now, done, total
        left, expected = (
            sum(getattr(one, name) + self._ahead * one.expected for one in self._accounts.values())
            for name in ("left", "expected")
        )
        fraction = 1 - left / expected if expected else 0.0
        text = max(self._text, 0)
        self._watch(
            Status(text, len(self._sizes), *self._place, self._stage, done, total, fraction, self._seconds_left())
        )

    def end(self) -> None:
        """End the part at work, also before its last step."""
        account, rest = self._accounts[self._stage], (1 - self._done / self._total) * self._cost
        account.timed += rest if self._done else 0.0
        account.left -= rest

    def skip(self, encoding: float, generating: float) -> None:
        """Leave out parts that were done before."""
        for account, cost in zip(self._accounts.values(), (encoding, generating), strict=True):
            account.left -= cost

    def _seconds_left(self) -> float | None:
        paces = {stage: one.taken / one.timed for stage, one in self._accounts.items() if one.timed}
        if not paces:
            return None
        other = next(iter(paces.values()))
        return sum(
            (one.left + self._ahead * one.expected) * paces.get(stage, other) for stage, one in self._accounts.items()
        )
