"""A run of the works: what the works read, and the turns of the engines."""

import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from engines import CHECKOUT, ChildError, Engine
from works import Work


@dataclass(frozen=True)
class Turn:
    """The seconds of one process, its peak in bytes, and the seconds until the first token where it generates.

    words: how its output differs from the first engine's, where that is known; of a step of training its losses
    """

    seconds: float
    peak: int
    first: float | None = None
    words: str = ""

    def extended(self, tokens: int, target: int) -> "Turn":
        """Return the turn with all `target` tokens: each further one takes what those after the first took.

        Turn(13, 7, first=2).extended(12, 101) takes 2 + 11 / 11 * 100 = 102 seconds.
        """
        if self.first is None or tokens == target:
            return self
        return replace(self, seconds=self.first + (self.seconds - self.first) / (tokens - 1) * (target - 1))


@dataclass
class Measured:
    """A work and what was measured, by the names of the engines: turns, and failures.

    extended: by how many tokens torch's seconds were measured, where it did not generate all
    """

    work: Work
    turns: dict[str, list[Turn]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    extended: int | None = None


class Bench:
    """Prepares what the works read, in a folder, and has the engines do them in turns.

    Each turn has a line in the folder's turns.jsonl: one that has a line is not done again.

    subtle: this process imports no NumPy until all is measured, because the peak of a child is never below what its
    parent had in memory when it started the child.
    """

    def __init__(
        self, engines: Sequence[Engine], folder: Path, model: Path | None, documents: Sequence[str], threads: int
    ) -> None:
        self.engines, self.folder, self.documents, self.threads = engines, folder, documents, threads
        self.model = model or folder / "model"
        if not self.model.exists():
            self.first("checkpoint", output=str(self.model))
        self.record = folder / "turns.jsonl"
        lines = self.record.read_text(encoding="utf-8").splitlines() if self.record.exists() else []
        self.done = {tuple(key): Turn(**turn) for key, turn in map(json.loads, lines)}

    def first(self, kind: str, **request: Any) -> dict[str, Any]:
        """Ask the first engine for something that is not measured."""
        return self.engines[0].ask(self.threads, kind=kind, **{"model": str(self.model)} | request)

    def compile(self, for_training: bool) -> None:
        """Have every pyled compile its kernels, or else the first turns would hold a compiler."""
        for engine in self.engines:
            if engine.kind == "pyled":
                print(f"bench: {engine.name}: compile what is not compiled yet", file=sys.stderr, flush=True)
                engine.ask(self.threads, kind="compile", model=str(self.model), train=for_training, output=None)

    def measure(self, work: Work, turns: int, in_full: bool) -> Measured:
        """Have every engine do a work `turns` times. An engine that fails has no further turns."""
        measured, source = Measured(work), self.prepared(work)
        for number in range(turns):
            for engine in self.engines:
                if engine.name in measured.failed or (work.is_by_the_box and engine.kind == "torch"):
                    continue
                tokens = work.target if in_full or engine.kind == "pyled" else work.few
                if tokens != work.target:
                    measured.extended = tokens
                told = f"bench: {time.strftime('%H:%M:%S')} {work.name}, {engine.name}, {number + 1} of {turns}:"
                try:
                    turn = self.turn(work, engine, number, source, tokens)
                    print(f"{told} {turn.seconds:.3g} s", file=sys.stderr, flush=True)
                    measured.turns.setdefault(engine.name, []).append(turn)
                except ChildError as e:
                    print(f"{told} {e}", file=sys.stderr, flush=True)
                    measured.failed[engine.name] = str(e)
                    measured.turns.pop(engine.name, None)
        return measured

    def turn(self, work: Work, engine: Engine, number: int, source: Path, tokens: int) -> Turn:
        """Return one turn, from the record where it is there. Raises ChildError."""
        key = (work.name, engine.name, number, tokens)
        if key not in self.done:
            output, expected = (self.folder / f"{work.name}-{each.name}.npy" for each in (engine, self.engines[0]))
            request = {"kind": work.kind, "model": self.learner(work), "source": str(source), "output": str(output)}
            request |= {"beams": work.beams, "offsets": work.offsets, "target": tokens, "frozen": work.frozen}
            answer = engine.ask(self.threads, **request, checkpointing=not work.box)
            words = answer.get("losses", "")
            if not words and output != expected and tokens == work.target and expected.exists():
                words = self.first("compare", output=str(output), expected=str(expected))["words"]
            turn = Turn(answer["seconds"], answer["peak"], answer.get("first"), words)
            self.done[key] = turn.extended(tokens, work.target)
            with self.record.open("a", encoding="utf-8") as record:
                print(json.dumps([key, asdict(self.done[key])]), file=record)
        return self.done[key]

    def prepared(self, work: Work) -> Path:
        """Return the file or folder that the work reads, the same for every engine."""
        if work.kind == "tokenize":
            path = self.folder / "text.txt"
            text = "\n\n".join(self.documents).encode("utf-8")[: work.source].decode("utf-8", "ignore")
            path.write_text(text, encoding="utf-8", newline="")
        elif work.kind == "summarize":
            path = self.folder / work.name
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
            for number, text in enumerate(self.texts(work)):
                (path / f"{number:04}.txt").write_text(text, encoding="utf-8", newline="")
        else:
            path = self.folder / f"ids-{work.documents}-{work.source}.npy"
            if not path.exists():
                asked = {"tokens": work.source, "documents": work.documents, "output": str(path)}
                self.first("ids", model=self.learner(work), **asked)
        return path

    def learner(self, work: Work) -> str:
        """Return the folder of the checkpoint that does a work."""
        return str(CHECKOUT / "pyled" / "synopsis" if work.box else self.model)

    def texts(self, work: Work) -> list[str]:
        """Return the documents of a folder: those that there are, or words of them, one after another."""
        if work.is_by_the_box:
            return list(self.documents[: work.documents])
        words = iter(" ".join(self.documents).split())
        return [" ".join(word for _, word in zip(range(count), words, strict=False)) for count in work.words()]
