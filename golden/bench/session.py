"""A run of the works: what the works read, and the turns of the engines."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engines import ChildError, Engine
from works import Work


@dataclass(frozen=True)
class Turn:
    """The seconds of one process, its peak in bytes, and the seconds until the first token where it generates."""

    seconds: float
    peak: int
    first: float | None = None

    def extended(self, tokens: int, target: int) -> "Turn":
        """Return the turn with all `target` tokens: each further one takes what those after the first took.

        Turn(13, 7, first=2).extended(12, 101) takes 2 + 11 / 11 * 100 = 102 seconds.
        """
        if self.first is None or tokens == target:
            return self
        return replace(self, seconds=self.first + (self.seconds - self.first) / (tokens - 1) * (target - 1))


@dataclass
class Measured:
    """A work and what was measured, by the names of the engines: turns, how outputs differ from the first's, failures.

    extended: by how many tokens torch's seconds were measured, where it did not generate all
    """

    work: Work
    turns: dict[str, list[Turn]] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    extended: int | None = None


class Bench:
    """Prepares what the works read, in a folder, and has the engines do them in turns.

    subtle: this process imports no NumPy until all is measured, because the peak of a child is never below what its
    parent had in memory when it started the child.
    """

    def __init__(self, engines: Sequence[Engine], folder: Path, model: Path | None, text: str, threads: int) -> None:
        self.engines, self.folder, self.text, self.threads = engines, folder, text, threads
        self.model = model or folder / "model"
        if model is None:
            self.first("checkpoint", output=str(self.model))

    def first(self, kind: str, **request: Any) -> dict[str, Any]:
        """Ask the first engine for something that is not measured."""
        if kind != "compare":
            print(f"bench: {kind}", file=sys.stderr)
        return self.engines[0].ask(self.threads, kind=kind, model=str(self.model), **request)

    def compile(self) -> None:
        """Have every pyled compile its kernels, or else the first turns would hold a compiler."""
        source = self.ids(64)
        for engine in self.engines:
            for beams in (1, 2) if engine.kind == "pyled" else ():
                print(f"bench: {engine.name}: compile what is not compiled yet", file=sys.stderr)
                request = {"model": str(self.model), "source": str(source), "output": None, "beams": beams, "target": 2}
                engine.ask(self.threads, kind="whole", **request)

    def measure(self, work: Work, turns: int, in_full: bool) -> Measured:
        """Have every engine do a work `turns` times. An engine that fails has no further turns."""
        work, source = self.prepared(work)
        measured = Measured(work)
        request = {"kind": work.kind, "model": str(self.narrowed(work.window)), "source": str(source)}
        request |= {"beams": work.beams, "offsets": work.offsets}
        for turn in range(turns):
            for engine in self.engines:
                if engine.name in measured.failed:
                    continue
                print(f"bench: {work.name}: {engine.name}, turn {turn + 1} of {turns}", file=sys.stderr)
                tokens = work.target if in_full or engine.kind == "pyled" else work.few
                if tokens != work.target:
                    measured.extended = tokens
                output = self.folder / f"output-{self.engines.index(engine)}.npy"
                try:
                    answer = engine.ask(self.threads, **request, target=tokens, output=str(output))
                    done = Turn(answer["seconds"], answer["peak"], answer.get("first"))
                    measured.turns.setdefault(engine.name, []).append(done.extended(tokens, work.target))
                    if turn == 0 and engine is not self.engines[0] and tokens == work.target:
                        expected = str(self.folder / "output-0.npy")
                        compared = self.first("compare", output=str(output), expected=expected)
                        measured.outputs[engine.name] = compared["words"]
                except ChildError as e:
                    measured.failed[engine.name] = str(e)
                    measured.turns.pop(engine.name, None)
        return measured

    def prepared(self, work: Work) -> tuple[Work, Path]:
        """Return the file that the work reads, and the work with the source's true size."""
        if work.kind == "tokenize":
            part = self.text.encode("utf-8")[: work.source].decode("utf-8", "ignore")
            return self.text_file(replace(work, source=len(part.encode("utf-8"))), part)
        if work.kind == "process":
            words = self.text.split()[: work.source]
            return self.text_file(replace(work, source=len(words)), " ".join(words))
        ids = self.ids(work.source)
        if work.kind != "decode":
            return work, ids
        states = self.folder / f"states-{work.source}.npy"
        if not states.exists():
            self.first("encode", source=str(ids), output=str(states))
        return work, states

    def text_file(self, work: Work, text: str) -> tuple[Work, Path]:
        path = self.folder / f"{work.kind}.txt"
        path.write_text(text, encoding="utf-8", newline="")
        return work, path

    def ids(self, tokens: int) -> Path:
        """Return a file of random ids, the same for every engine."""
        path = self.folder / f"ids-{tokens}.npy"
        if not path.exists():
            self.first("ids", tokens=tokens, output=str(path))
        return path

    def narrowed(self, window: int | None) -> Path:
        """Return the checkpoint, or one of the same weights with another window."""
        folder = self.folder / f"window-{window}"
        if window is None or folder.exists():
            return folder if window else self.model
        config = json.loads((self.model / "config.json").read_text(encoding="utf-8"))
        config["attention_window"] = [window] * config["encoder_layers"]
        folder.mkdir()
        for path in self.model.iterdir():
            if path.name != "config.json":
                (folder / path.name).symlink_to(path.resolve())
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return folder
