"""Train the synopsis model: python golden/synopsis/train.py DIRECTORY [--steps N]

Reads the sets and vocabulary that tokens.py wrote to DIRECTORY, writes DIRECTORY/checkpoint.pt every five minutes and
goes on from it. The learning rate rises, stands, and falls to nothing over the last DECAY of N steps, so a sitting that
is to be followed by others takes an N that it does not reach; the last sitting names the N at which to end. It ends by
itself at N, and at SIGTERM or SIGINT after a checkpoint. Its process id is in DIRECTORY/training.pid; it may be stopped
and continued.

A step is a batch of descriptions and a batch of pages. Order and cropping depend on seed, epoch and position alone, so
a training that was cut off goes on as if it had not been.
"""

import argparse
import copy
import math
import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from data import KINDS
from model import CONFIG, EOS, LED, LONGEST_SUMMARY, PAD, check
from tokenizers import ByteLevelBPETokenizer
from tokens import tokenizer
from torch import Tensor

SEED = 1
PEAK = 1.2e-3
WARM_UP = 50
STEPS = 5_080  # of the model in the package
DECAY = 0.2
WEIGHT_DECAY = 0.01
DROPOUT = 0.0
SMOOTHING = 0.1
AVERAGE = 0.999  # of the weights that are validated and exported
THREADS = 2

WEIGHT = {"descriptions": 1.0, "pages": 2.0}  # of a target token in the loss


@dataclass(frozen=True)
class Stage:
    """What is read from step `start` on: beginnings first, which say the most and cost the least.

    budgets: tokens of the sources of a batch, padding counted
    limits: share of the texts, and how many tokens of each of these are read
    """

    start: int
    budgets: dict[str, int]
    limits: dict[str, tuple[tuple[float, int], ...]]


STAGES = (
    Stage(0, {"descriptions": 3072, "pages": 2048}, {"descriptions": ((1.0, 128),), "pages": ((1.0, 256),)}),
    Stage(
        3000,
        {"descriptions": 4096, "pages": 6144},
        {"descriptions": ((0.7, 192), (0.3, 512)), "pages": ((0.6, 320), (0.3, 640), (0.1, 1536))},
    ),
    Stage(
        4000,
        {"descriptions": 4096, "pages": 6144},
        {"descriptions": ((0.5, 192), (0.5, 512)), "pages": ((0.4, 512), (0.4, 1024), (0.2, 4096))},
    ),
)


def stage_at(step: int) -> Stage:
    return next(stage for stage in reversed(STAGES) if stage.start <= step)


SAVE_SECONDS = 300
LOG_STEPS = 50
JUDGED = 150  # validation pairs of each kind
JUDGE_SAVES = 4  # checkpoints from one decoding to the next


class Set:
    """Pairs as ids, and the order of their batches."""

    def __init__(self, directory: Path, kind: str, split: str) -> None:
        arrays = np.load(directory / f"{kind}-{split}.npz")
        self.kind = kind
        self.documents = np.split(arrays["documents"], arrays["document_ends"][:-1])
        self.summaries = np.split(arrays["summaries"], arrays["summary_ends"][:-1])
        self.variants = 2 if (kind, split) == ("descriptions", "train") else 1  # of a document, one after the other

    def batches(self, epoch: int, stage: Stage) -> list[list[tuple[int, int]]]:
        """The batches of an epoch: pair and number of source tokens; similar lengths together, in random order."""
        random = np.random.default_rng([SEED, epoch, *self.kind.encode()])
        count = len(self.documents) // self.variants
        chosen = np.arange(count) * self.variants + random.integers(self.variants, size=count)
        shares, limits = zip(*stage.limits[self.kind], strict=True)
        limit = random.choice(limits, p=shares, size=count)
        lengths = np.minimum([len(self.documents[i]) + 2 for i in chosen], limit)
        batches: list[list[tuple[int, int]]] = [[]]
        for at in np.argsort(lengths * random.uniform(0.9, 1.1, size=count)):
            longest = max(int(lengths[at]), *(n for _, n in batches[-1]), 0)
            if batches[-1] and longest * (len(batches[-1]) + 1) > stage.budgets[self.kind]:
                batches.append([])
            batches[-1].append((int(chosen[at]), int(lengths[at])))
        return [batches[i] for i in random.permutation(len(batches))]

    def tensors(self, batch: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """Sources `<s> ... </s>` (B, S) and targets `</s> ... </s>` (B, T), padded on the right."""
        sources = [[0, *self.documents[i][: n - 2], EOS] for i, n in batch]
        targets = [[EOS, *self.summaries[i][:LONGEST_SUMMARY], EOS] for i, _ in batch]
        return padded(sources), padded(targets)


class Stream:
    """The batches of a set, epoch after epoch; a stage begins one. `epoch` and `position` say where it stands."""

    def __init__(self, pairs: Set, stage: Stage, epoch: int, position: int) -> None:
        self.pairs, self.stage, self.epoch, self.position = pairs, stage, epoch, position
        self.order = pairs.batches(epoch, stage)

    def next(self, stage: Stage) -> tuple[Tensor, Tensor]:
        if self.position == len(self.order) or stage != self.stage:
            self.stage, self.epoch, self.position = stage, self.epoch + 1, 0
            self.order = self.pairs.batches(self.epoch, stage)
        self.position += 1
        return self.pairs.tensors(self.order[self.position - 1])


def padded(rows: list[list[int]]) -> Tensor:
    result = torch.full((len(rows), max(map(len, rows))), PAD)
    for into, row in zip(result, rows, strict=True):
        into[: len(row)] = torch.tensor(np.array(row, dtype=np.int64))
    return result


def rate(step: int, steps: int) -> float:
    return PEAK * min(1.0, (step + 1) / WARM_UP, (steps - step) / (DECAY * steps))


def optimizer(model: LED) -> torch.optim.Optimizer:
    """Weights of matrices decay, biases, norms and embeddings do not."""
    named = list(model.named_parameters())
    matrices = [p for name, p in named if p.ndim == 2 and "embed" not in name and "shared" not in name]
    others = [p for name, p in named if not any(p is m for m in matrices)]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.98), fused=True)


def rouge_l(summary: str, reference: str) -> float:
    """F1 of the longest common subsequence of words; a measure for the log, `pyled evaluate` is the judge."""
    a, b = (re.findall(r"[a-z0-9]+", text.lower()) for text in (summary, reference))
    row = [0] * (len(b) + 1)
    for word in a:
        above_left = 0
        for j, other in enumerate(b, 1):
            above_left, row[j] = row[j], above_left + 1 if word == other else max(row[j], row[j - 1])
    return 2 * row[-1] / (len(a) + len(b)) if a and b else 0.0


class Validation:
    def __init__(self, directory: Path) -> None:
        self.bpe: ByteLevelBPETokenizer = tokenizer(directory)
        self.sets = {kind: Set(directory, kind, "valid") for kind in KINDS}

    def batches(self, kind: str, limit: int) -> list[list[tuple[int, int]]]:
        pairs = self.sets[kind]
        lengths = {i: min(len(pairs.documents[i]) + 2, limit) for i in range(min(JUDGED, len(pairs.documents)))}
        order = sorted(lengths, key=lambda i: lengths[i])
        return [[(i, lengths[i]) for i in order[at : at + 10]] for at in range(0, len(order), 10)]

    @torch.no_grad()
    def loss(self, model: LED, kind: str) -> float:
        """Nats per target token, without smoothing."""
        total, count = 0.0, 0
        for batch in self.batches(kind, 1024):
            source, target = self.sets[kind].tensors(batch)
            labels = target[:, 1:][target[:, 1:] != PAD]
            total += F.cross_entropy(model(source, target), labels, reduction="sum").item()
            count += len(labels)
        return total / count

    def rouge(self, model: LED, kind: str) -> tuple[float, list[str]]:
        """The mean ROUGE-L of greedy outputs, and a few of them beside their references."""
        scores, shown = [], []
        for number, batch in enumerate(self.batches(kind, 4096)):
            source, _ = self.sets[kind].tensors(batch)
            for (i, _), ids in zip(batch, model.greedy(source, LONGEST_SUMMARY), strict=True):
                text, reference = self.bpe.decode(ids), self.bpe.decode(list(self.sets[kind].summaries[i]))
                scores.append(rouge_l(text, reference))
                if number % 4 == 1 and len(scores) % 5 == 1:
                    shown.append(f"    {text!r} for {reference!r}")
        return sum(scores) / len(scores), shown


class Training:
    """The state that a checkpoint holds, and the steps."""

    def __init__(self, directory: Path, steps: int) -> None:
        self.directory, self.steps = directory, steps
        self.path = directory / "checkpoint.pt"
        self.model = LED(CONFIG | {"dropout": DROPOUT})
        self.model.initialise(SEED)
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.optimizer = optimizer(self.model)
        self.step, self.saves, self.seconds = 0, 0, 0.0
        places = dict.fromkeys(KINDS, (0, 0))
        if self.path.exists():
            state: dict[str, Any] = torch.load(self.path, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(state["random"])
            self.step, self.saves, self.seconds, places = (state[k] for k in ("step", "saves", "seconds", "places"))
        stage = stage_at(max(0, self.step - 1))  # that of the last batch
        self.streams = {kind: Stream(Set(directory, kind, "train"), stage, *places[kind]) for kind in KINDS}
        self.validation = Validation(directory)
        self.started = time.process_time()

    def save(self) -> None:
        now = time.process_time()
        self.seconds, self.started = self.seconds + now - self.started, now
        self.saves += 1
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "step": self.step,
            "saves": self.saves,
            "seconds": self.seconds,
            "places": {kind: (stream.epoch, stream.position) for kind, stream in self.streams.items()},
        }
        unfinished = self.path.with_suffix(".unfinished")
        torch.save(state, unfinished)
        unfinished.replace(self.path)

    def judge(self, decode: bool) -> None:
        losses = {kind: self.validation.loss(self.average, kind) for kind in KINDS}
        report = " ".join(f"{kind} {loss:.3f}" for kind, loss in losses.items())
        print(f"step {self.step}: validation loss {report}, {self.seconds / 60:.0f} processor minutes", flush=True)
        for kind in KINDS if decode else ():
            score, shown = self.validation.rouge(self.average, kind)
            print(f"step {self.step}: {kind} ROUGE-L {score:.3f}", *shown, sep="\n", flush=True)

    def one_step(self) -> dict[str, float]:
        """Returns the mean loss of a target token of each kind."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.step, self.steps)
        batches = {kind: stream.next(stage_at(self.step)) for kind, stream in self.streams.items()}
        weights = {kind: WEIGHT[kind] * int((target[:, 1:] != PAD).sum()) for kind, (_, target) in batches.items()}
        losses = {}
        self.model.train()
        self.optimizer.zero_grad()
        for kind, (source, target) in batches.items():
            labels = target[:, 1:][target[:, 1:] != PAD]
            loss = F.cross_entropy(self.model(source, target), labels, label_smoothing=SMOOTHING)
            (loss * weights[kind] / sum(weights.values())).backward()
            losses[kind] = loss.item()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        keep = min(AVERAGE, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - keep)
        return {**losses, "norm": norm.item()}

    def report(self, recent: list[dict[str, float]], seconds: float) -> None:
        means = ", ".join(f"{name} {sum(r[name] for r in recent) / len(recent):.3f}" for name in recent[0])
        places = " ".join(f"{s.epoch + s.position / len(s.order):.2f}" for s in self.streams.values())
        clock = time.strftime("%H:%M:%S")
        print(f"{clock} step {self.step}: {means}, epochs {places}, {seconds:.2f} s a step", flush=True)

    def run(self) -> None:
        is_asked_to_end = False

        def end(*_: object) -> None:
            nonlocal is_asked_to_end
            is_asked_to_end = True

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        saved, recent, began = time.monotonic(), [], time.process_time()
        while self.step < self.steps and not is_asked_to_end:
            recent.append(self.one_step())
            if not all(map(math.isfinite, recent[-1].values())):
                raise SystemExit(f"step {self.step}: {recent[-1]}")
            if self.step % LOG_STEPS == 0:
                self.report(recent, (time.process_time() - began) / len(recent) / THREADS)
                recent, began = [], time.process_time()
            if time.monotonic() - saved > SAVE_SECONDS:
                self.save()
                saved = time.monotonic()
                self.judge(decode=self.saves % JUDGE_SAVES == 0)
                recent, began = [], time.process_time()
        self.save()
        self.judge(decode=self.step >= self.steps)


def train(directory: Path, steps: int) -> None:
    torch.set_num_threads(THREADS)
    check()
    pid = directory / "training.pid"
    pid.write_text(f"{os.getpid()}\n", encoding="utf-8")
    try:
        Training(directory, steps).run()
    finally:
        pid.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS, help="in all, over all sittings (default %(default)s)")
    arguments = parser.parse_args()
    train(arguments.directory, arguments.steps)


if __name__ == "__main__":
    main()
