"""7. The loop: steps, validations, states, and the checkpoint at the end."""

import contextlib
import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Floats
from ..checkpoint.conversion import files_of
from ..errors import CheckpointError, InputError, PyledError, brief
from ..evaluation import rouge
from ..evaluation.groups import Pair
from ..evaluation.systems import texts_of
from ..files import is_there, json_text, read_file, replace_files
from ..hub import TOKENIZER
from ..models import LEDForConditionalGeneration
from ..network.losses import IGNORED_LABEL
from ..tasks import Summarizer, Work
from ..tasks.loading import Loaded
from ..tasks.reading import Reader
from ..tasks.running import raised
from .examples import Example, Order, batch_arrays, digest, dropout_seed
from .optimizer import AdamW, check_number, clip_by_norm, decays_by_default, shared_weights
from .schedules import SCHEDULES, schedule
from .state import LOG, STATE, Place, log_lines, read_state, write_state

MOST_NORM = 1.0  # of all gradients together: the default of transformers' Trainer
SCORED = 100  # documents of a validation that are summarized for ROUGE: the first ones


class DivergedError(PyledError):
    """A loss, or a gradient, is no finite number; the weights are those before it."""


@dataclass(frozen=True)
class Settings:
    """How a model is trained; what --help says of the flags of these names. Raises InputError for a wrong value."""

    batch: int = 4
    accumulate: int = 1
    lr: float = 5e-5
    schedule: str = "linear"
    warmup: int = 0
    weight_decay: float = 0.01
    epochs: int = 3
    steps: int | None = None
    label_smoothing: float = 0.0
    train: str = "all"
    validate: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what only the library can."""
        least = {"batch": 1, "accumulate": 1, "epochs": 1, "steps": 1, "validate": 1, "warmup": 0}
        for name, lowest in {**least, "seed": 0}.items():
            if (value := getattr(self, name)) is not None and not lowest <= value < 2**63:
                raise InputError(f"{name} is {value}: it must be an integer of at least {lowest}, below 2**63")
        for name, most in (("lr", math.inf), ("weight_decay", math.inf), ("label_smoothing", 1.0)):
            check_number(name, getattr(self, name), most)
        if self.schedule not in SCHEDULES:
            raise InputError(f"schedule is {brief(self.schedule)}: it must be {' or '.join(map(repr, SCHEDULES))}")


@dataclass(frozen=True)
class Report:
    """A step that is done: how many are, of how many; its loss; the pace; None where nothing was timed yet."""

    step: int
    steps: int
    loss: float
    tokens_per_second: float | None
    seconds_left: float | None


@dataclass(frozen=True)
class Validation:
    """Pairs that no step sees, as ids and as texts, and how their documents are read."""

    examples: Sequence[Example]
    pairs: Sequence[Pair]
    reader: Reader


@dataclass(frozen=True)
class Watch:
    """What a training calls: after each step; with what is worth a note; and with what went wrong, where it goes on.

    undisturbed: the block in which no interrupt may end the process
    """

    step: Callable[[Report], object] = lambda report: None
    note: Callable[[str], object] = lambda words: None
    problem: Callable[[str], object] = lambda words: None
    undisturbed: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext


class Training:
    """A model, its examples, and how far its training is.

    folder: gets the state, the log, and the checkpoint; identity: all that the result depends on
    """

    def __init__(
        self,
        loaded: Loaded[LEDForConditionalGeneration],
        examples: Sequence[Example],
        settings: Settings,
        folder: Path,
        validation: Validation | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.loaded, self.examples, self.settings, self.folder = loaded, examples, settings, folder
        self.validation, self.watch = validation, watch or Watch()
        self.order = Order(len(examples), settings.batch, settings.accumulate, settings.seed)
        self.trained = trained_names(loaded.model, settings.train)
        self.optimizer = AdamW(
            loaded.model, settings.lr, weight_decay=settings.weight_decay, decays=decays_by_default
        )  # fmt: skip
        of_epochs = 0 if settings.steps else sum(len(self.order.steps(epoch)) for epoch in range(settings.epochs))
        self.steps: int = settings.steps or of_epochs
        self.every = settings.validate or len(self.order.steps(0))  # steps between two validations
        self.place = Place({})
        self._is_busy = False  # weights, or what tells of them, are changed or written
        self._is_saved = False  # the state in the folder is that of now
        self._began, self._first, self._tokens, self._seconds = 0.0, 0, 0, 0.0

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that the result depends on, by name: settings as they are, what is large by its digest."""
        weights = hashlib.sha256(json_text(self.loaded.model.config.to_dict()).encode())
        for array in self.loaded.model.weights.values():
            weights.update(np.ascontiguousarray(array).view(np.uint8).data)
        of_validation = None if self.validation is None else digest(self.validation.examples)
        digests = {"model": weights.hexdigest(), "examples": digest(self.examples), "validation": of_validation}
        settings = {**asdict(self.settings), "steps": self.steps, "epochs": None, "validate": self.every}
        return {**digests, "dtype": self.loaded.model.dtype.name, **settings}

    def resume(self) -> bool:
        """Go on from the state in the folder; return whether there is one. Raises InputError, CheckpointError."""
        place = read_state(self.folder, self.identity, self.optimizer)
        self.place, self._is_saved = place or Place(self.identity), place is not None
        return self._is_saved

    @np.errstate(over="ignore", invalid="ignore")  # what overflows is seen in the loss, and told
    def run(self, seconds: float) -> None:
        """Do all steps that are left, and write the checkpoint: the best validated, or else the last.

        seconds: between two states

        Raises DivergedError, and OSError where the folder cannot be made, or the checkpoint not be written.
        """
        rate = schedule(self.settings.schedule, self.settings.warmup, self.steps)
        saved = self._began = time.monotonic()
        self._first = self.place.step
        self.folder.mkdir(parents=True, exist_ok=True)
        self._save()  # from now on the same command goes on here
        self._validate()
        for step, batches in takewhile(lambda each: each[0] < self.steps, self.order.after(self.place.step)):
            self.optimizer.lr = self.settings.lr * rate(step)
            self._step(step, [[self.examples[i] for i in batch] for batch in batches])
            self._validate()
            if time.monotonic() - saved >= seconds and self.place.step < self.steps:
                self._save()
                saved = time.monotonic()
        with self.watch.undisturbed():
            if self.validation is None:
                write_checkpoint(self.loaded, self.folder)
            replace_files({self.folder / LOG: log_lines(self.place)})
            (self.folder / STATE).unlink(missing_ok=True)

    def save(self) -> bool:
        """Write the state, and return whether it is there; a disk that is full is told.

        Where an interrupt came while weights were changed, or while this is at work, the state before stays.
        """
        if self._is_saved or self._is_busy:
            return self._is_saved
        self._is_busy = True
        try:
            write_state(self.folder, self.place, self.optimizer)
            self._is_saved = True
        except OSError as e:
            self.watch.problem(f"{e.filename or self.folder}: cannot be written: {e.strerror}")
        self._is_busy = False
        return self._is_saved

    def _save(self) -> None:
        with self.watch.undisturbed():
            self.save()

    def _step(self, step: int, batches: Sequence[Sequence[Example]]) -> None:
        """Do one step. Raises DivergedError before a weight is changed."""
        began = time.monotonic()
        loss, gradients = self._gradients(step, batches)
        norm = clip_by_norm(gradients, MOST_NORM)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            places = ", ".join(one.place for batch in batches for one in batch)
            raise DivergedError(
                f"step {step + 1:,}: the loss is {loss:g} and the gradients' norm {norm:g}, of {brief(places, 400)}: "
                "lower the learning rate, warm up longer, or look at these texts"
            )
        with self.watch.undisturbed():
            self._is_busy, self._is_saved = True, False
            self.optimizer.step(gradients)
            self.place.log.append({"step": step + 1, "loss": loss, "norm": norm, "lr": self.optimizer.lr})
            self.place.step = step + 1
            self._is_busy = False
        if step > self._first:  # the first one loads or compiles kernels
            self._seconds += time.monotonic() - began
            self._tokens += sum(sum(one.shape) for batch in batches for one in batch)
        else:
            self._began = time.monotonic()
        self.watch.step(self._report(loss))

    def _gradients(self, step: int, batches: Sequence[Sequence[Example]]) -> tuple[float, dict[str, Floats]]:
        """Return the loss of a step and its gradients: means over all labels of all its batches."""
        model, pad = self.loaded.model, _pad(self.loaded)
        arrays = [batch_arrays(batch, pad) for batch in batches]
        count = sum(int((each["labels"] != IGNORED_LABEL).sum()) for each in arrays)
        total, gradients, documents = 0.0, dict[str, Floats](), 0
        for each in arrays:
            loss, of_batch = model.loss_and_gradients(
                **each,
                label_smoothing=self.settings.label_smoothing,
                training=True,
                seed=dropout_seed(self.settings.seed, step),
                first_document=documents,
                trained=self.trained.__contains__,
                count=count,
            )
            total, documents = total + float(loss), documents + len(each["labels"])
            add_gradients(gradients, of_batch)
        return total, gradients

    def _report(self, loss: float) -> Report:
        done = self.place.step - self._first - 1  # without the first
        pace = self._tokens / self._seconds if self._seconds else None
        left = (time.monotonic() - self._began) / done * (self.steps - self.place.step) if done else None
        return Report(self.place.step, self.steps, loss, pace, left)

    def _validate(self) -> None:
        """Measure the model where it is due and not done yet; write the checkpoint where it is the best so far."""
        place, validation = self.place, self.validation
        is_due = place.step and (place.step % self.every == 0 or place.step == self.steps)
        if validation is None or not is_due or "validation_loss" in place.log[-1]:
            return
        loss = mean_loss(self.loaded, validation.examples, self.settings.batch)
        if not math.isfinite(loss):
            raise DivergedError(f"step {place.step:,}: the validation loss is {loss:g}: lower the learning rate")
        scores = rouge_scores(self.loaded, validation)
        is_best = place.best is None or loss < place.best
        with self.watch.undisturbed():
            if is_best:
                write_checkpoint(self.loaded, self.folder)
            self._is_busy, self._is_saved = True, False
            place.best = loss if is_best else place.best
            place.log.append({"step": place.step, "validation_loss": loss, **scores})
            self._is_busy = False
        figures = "".join(f", {metric} {score:.3f}" for metric, score in scores.items())
        best = ", the best so far" if is_best else ""
        self.watch.note(f"step {place.step:,}: validation loss {loss:.4f}{figures}{best}")


def trained_names(model: LEDForConditionalGeneration, which: str) -> set[str]:
    """Return upstream's names of the weights that are trained.

    which: "all"; "decoder", what the decoder alone uses, not embeddings that the encoder shares; or a pattern as of
        file names, such as "*.bias": all weights with a name that matches

    Raises InputError where no name does.
    """
    shared = [names for names, _ in shared_weights(model)]
    if which == "decoder":
        sides = ("led.decoder.", "lm_head.")
        names = {name for each in shared if all(name.startswith(sides) for name in each) for name in each}
    else:
        pattern = "*" if which == "all" else which
        names = {name for each in shared if any(fnmatchcase(name, pattern) for name in each) for name in each}
    if not names:
        remedy = "pass 'all', 'decoder', or a pattern as 'led.decoder.layers.5.*'"
        raise InputError(f"train is {brief(which)}: this model has no weight of such a name; {remedy}")
    return names


def add_gradients(total: dict[str, Floats], more: Mapping[str, Floats]) -> None:
    """Add gradients to others in place; what tied names share is added once."""
    added: set[int] = set()
    for name, array in more.items():
        if name not in total:
            total[name] = array
        elif id(array) not in added:
            total[name] += array
        added.add(id(array))


def mean_loss(loaded: Loaded[LEDForConditionalGeneration], examples: Sequence[Example], batch: int) -> float:
    """Return the mean of -log p over all labels of all examples, without smoothing and dropout."""
    total, count = 0.0, 0
    for start in range(0, len(examples), batch):
        arrays = batch_arrays(examples[start : start + batch], _pad(loaded))
        labels = int((arrays["labels"] != IGNORED_LABEL).sum())
        total += float(np.asarray(loaded.model(**arrays).loss)) * labels
        count += labels
    return total / count


def rouge_scores(loaded: Loaded[LEDForConditionalGeneration], validation: Validation) -> dict[str, float]:
    """Return the mean F1 of summaries of the first SCORED documents; nothing where rouge-score is not installed."""
    try:
        scorer = rouge.scorer()
    except InputError:
        return {}
    summarizer, pairs = Summarizer(loaded, too_long="truncate"), validation.pairs[:SCORED]
    reader = validation.reader
    summarizer.plan = replace(summarizer.plan, reading=reader.reading, limit=reader.limit)
    documents = [pair.document for pair in pairs]
    texts = texts_of(summarizer, documents, [None] * len(pairs), Work(), range(len(pairs)))
    scores = [scorer(pair.reference, raised(text)) for pair, text in zip(pairs, texts, strict=True)]
    return {metric: float(np.mean([score[metric][2] for score in scores])) for metric in rouge.METRICS[:-1]}


def write_checkpoint(loaded: Loaded[LEDForConditionalGeneration], folder: Path) -> None:
    """Write the model and copies of its tokenizer's files into a folder, made if missing. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(loaded.tokenizer.name_or_path)
    names = [name for name in files_of(TOKENIZER) if is_there(source / name, CheckpointError)]
    replace_files({folder / name: [read_file(source / name, CheckpointError)] for name in names})
    for name in set(files_of(TOKENIZER)) - {*names}:
        (folder / name).unlink(missing_ok=True)  # of another checkpoint, which was to be replaced
    loaded.model.save_pretrained(folder)


def _pad(loaded: Loaded[LEDForConditionalGeneration]) -> int:
    return loaded.model.config.pad_token_id or 0  # what stands there is masked
