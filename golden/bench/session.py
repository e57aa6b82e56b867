"""A run of the works: what is asked of which process, in which order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...config import LEDConfig
from .children import ChildError
from .works import VARIANTS, Work

OURS = "pyled"

Ask = Callable[[str, Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Turn:
    """What one process took: seconds, bytes at the peak, and seconds until the first token where it generates."""

    seconds: float
    peak: int
    first: float | None = None


@dataclass
class Measured:
    """A work and its turns, by engine: pyled's, and those of each variant of the other one.

    outputs: by engine, how its output differs from the other engine's in float32, as `worker.compare` says
    extrapolated: the other engine's seconds follow from so many steps; None where it did all
    failed: by engine, why there is nothing of it
    """

    work: Work
    turns: dict[str, list[Turn]] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    extrapolated: int | None = None
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What a run does.

    model: the checkpoint; None: one with random weights
    against: in which variants the other engine takes its turns: none, or the first of VARIANTS and others
    in_full: it does all steps of the long works
    text: what the works that read one read
    weights: what pyled keeps the decoder's weights in
    """

    works: Sequence[Work]
    config: LEDConfig
    model: Path | None
    turns: int
    against: Sequence[str] = ()
    in_full: bool = False
    text: str = ""
    weights: str = "float32"


@dataclass
class Results:
    """What a run found: the machine with its rates, and each work; peer: the versions of the other engine."""

    plan: Plan
    machine: dict[str, Any]
    measured: list[Measured]
    peer: dict[str, str] | None = None


def extrapolated(turn: Turn, steps: int, target: int) -> Turn:
    """A turn of some steps as one of all `target` steps: each further one takes what the later ones took."""
    if turn.first is None or steps == target:
        return turn
    return replace(turn, seconds=turn.first + (turn.seconds - turn.first) / (steps - 1) * (target - 1))


class Session:
    """Prepares what the works read, in a folder, and has them done."""

    def __init__(self, plan: Plan, folder: Path, ask: Ask, tell: Callable[[str], None]) -> None:
        """tell: what is being done, in words, before it is."""
        self._plan, self._folder, self._ask, self._tell = plan, folder, ask, tell
        self._model = folder / "model" if plan.model is None else plan.model

    def run(self) -> Results:
        """Do all of it. Raises ChildError where nothing can be measured; a work that fails is a result."""
        plan = self._plan
        peer = None
        if plan.against:
            self._tell("looking for transformers")
            try:
                peer = self._ask("peer", {"kind": "versions"})
            except ChildError as e:
                remedy = "pass the Python that has torch and transformers, --python"
                raise ChildError(f"transformers cannot be asked: {e}: {remedy}") from None
        machine = self._machine()
        if plan.model is None:
            self._tell("making a checkpoint with random weights")
            self._ask(OURS, {"kind": "model", "output": str(self._model)})
        if any(work.kind != "tokenize" for work in plan.works):
            self._tell("compiling what is not yet compiled")  # or else the first turns would hold a compiler
            self._ask(OURS, {"kind": "warm", "model": str(self._model)})
        measured = [self._measure(work) for work in plan.works]
        # A ceiling is the most that the machine gave, and machines that others use do not give it at all times.
        for name, rate in self._machine()["rates"].items():
            machine["rates"][name] = max(machine["rates"][name], rate)
        return Results(plan, machine, measured, peer)

    def _machine(self) -> dict[str, Any]:
        self._tell("measuring the machine")
        return self._ask(OURS, {"kind": "machine"})

    def _measure(self, work: Work) -> Measured:
        found = Measured(work)
        try:
            self._tell(f"{work.name}: preparing")
            source = self._prepare(found)
        except ChildError as e:
            found.failed[OURS] = str(e)
            return found
        engines = [OURS]
        if self._plan.against:
            # a tokenizer knows no floats
            engines += self._plan.against[:1] if work.kind == "tokenize" else self._plan.against
        steps = work.target if self._plan.in_full else work.steps
        for turn in range(self._plan.turns):
            for engine in engines:
                self._tell(f"{work.name}: {engine}, turn {turn + 1} of {self._plan.turns}")
                target = work.target if engine == OURS else steps
                done = self._turn(found, engine, source, target)
                if done is not None:
                    found.turns.setdefault(engine, []).append(extrapolated(done, target, work.target))
        if self._plan.against:
            found.extrapolated = steps if steps != work.target else None
            self._compare(found, source, steps)
        for path in self._folder.glob("output-*.npy"):
            path.unlink()
        return found

    def _turn(self, found: Measured, engine: str, source: Path, target: int) -> Turn | None:
        """One turn, or None where it fails or has failed before."""
        if engine in found.failed:
            return None
        work = found.work
        request = {
            "kind": work.kind,
            "variant": self._plan.weights if engine == OURS else engine,
            "model": str(self._model),
            "source": str(source),
            "output": str(self._output(engine)) if self._plan.against else None,
            "target": target,
            "beams": work.beams,
            "window": work.window,
            "offsets": work.offsets,
        }
        try:
            answer = self._ask(OURS if engine == OURS else "peer", request)
        except ChildError as e:
            self._fail(found, engine, str(e))
            return None
        return Turn(answer["seconds"], answer["peak"], answer.get("first"))

    def _fail(self, found: Measured, engine: str, why: str) -> None:
        found.failed[engine] = why
        found.turns.pop(engine, None)

    def _output(self, engine: str) -> Path:
        return self._folder / f"output-{engine}.npy"

    def _compare(self, found: Measured, source: Path, steps: int) -> None:
        """Compare the last outputs with those in float32. Where that made fewer tokens, pyled makes as many once."""
        truth = self._output(VARIANTS[0])
        if VARIANTS[0] in found.failed:
            return
        if steps != found.work.target:
            self._tell(f"{found.work.name}: {steps} tokens by pyled, to compare")
            self._turn(found, OURS, source, steps)
        for engine in (OURS, *VARIANTS[1:]):
            if engine in found.turns:
                request = {"kind": "compare", "output": str(self._output(engine)), "truth": str(truth)}
                try:
                    found.outputs[engine] = self._ask(OURS, request)
                except ChildError as e:
                    self._fail(found, engine, f"its output cannot be compared: {e}")

    def _prepare(self, found: Measured) -> Path:
        """The file that the work reads, which is made once."""
        work = found.work
        if work.needs_text:
            return self._prepare_text(found)
        made = {"model": str(self._model), "window": None, "variant": "float32"}
        ids = self._folder / f"ids-{work.source}.npy"
        if not ids.exists():
            self._ask(OURS, {"kind": "source", **made, "tokens": work.source, "output": str(ids)})
        if work.kind != "decode":
            return ids
        states = self._folder / f"states-{work.source}.npy"
        if not states.exists():
            self._ask(OURS, {"kind": "states", **made, "source": str(ids), "output": str(states)})
        return states

    def _prepare_text(self, found: Measured) -> Path:
        """The beginning of the text: so many bytes or words, or all of it where it is shorter, which is told."""
        work = found.work
        if work.kind == "tokenize":
            kept = self._plan.text.encode("utf-8")[: work.source].decode("utf-8", "ignore")
            size = len(kept.encode("utf-8"))
        else:
            words = self._plan.text.split()[: work.source]
            kept, size = " ".join(words), len(words)
        found.work = replace(work, source=size)
        path = self._folder / f"text-{work.kind}.txt"
        path.write_text(kept, encoding="utf-8", newline="")
        return path
