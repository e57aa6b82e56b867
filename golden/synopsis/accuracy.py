"""What fewer bits cost: python golden/synopsis/accuracy.py DIRECTORY [WAY ...] [--descriptions N]

Each way to compute is held to float64, on texts that the checkpoint in the package was not trained on, and on random
ids in LED-base's shape: the encoder's states, and greedy and beam summaries. Ways that change more than the encoder are
held to it on some of the texts. transformers computes states, and pyled's float32 decoder goes on from them; this needs
an interpreter with torch and with pyled's dependencies.

DIRECTORY keeps the texts (data.py), float64's states, and a line for each way and text, so a run that was cut off goes
on. Delete the files of DIRECTORY/accuracy that are not float64's to measure another pyled.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from data import KINDS, held_out, read, share
from numpy.typing import NDArray

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "bench")]
import worker  # noqa: E402

import pyled  # noqa: E402

Result = dict[str, Any]
TRUTH = "float64"
WAYS: dict[str, dict[str, Any]] = {
    "float32": {},
    "int16 encoder": {"encoder": "int16"},
    "bf16 weights": {"weights": "bf16"},
    "int8 weights": {"weights": "int8"},
    "int16 encoder, int8 weights": {"encoder": "int16", "weights": "int8"},
    "transformers bfloat16": {"torch": "bf16"},
    "transformers int8": {"torch": "int8"},
}
SOME = 150  # texts for all but the encoder's ways
BASE_TOKENS = (1024, 2048, 4096)
EXACTLY_64 = {"min_length": 65, "max_length": 65, "no_repeat_ngram_size": 3}  # with the start token
NORM_TEXTS = 8
FACTORS = (10, 30, 100)


def load(model: Path, way: str) -> Any:
    """Return pyled's model: a way of transformers goes on with the float32 one."""
    options = {name: value for name, value in WAYS.get(way, {"dtype": TRUTH}).items() if name != "torch"}
    return pyled.LEDForConditionalGeneration.from_pretrained(model, **options)


def encoder(model: Path, way: str) -> Callable[[Sequence[int]], NDArray[Any]]:
    """Return a function from the ids of a text, all of it real and `<s>` global, to the encoder's states, (1, S, E)."""
    request: dict[str, Any] = {"engine": "pyled", "model": str(model)}
    if weights := WAYS.get(way, {}).get("torch"):
        request |= {"engine": "torch", "options": {"weights": weights}, "threads": 1}
    encode = (worker.load(request) if weights else load(model, way)).get_encoder()

    def states(ids: Sequence[int]) -> NDArray[Any]:
        output = encode(**worker.marked(request, np.array([ids]))).last_hidden_state
        return np.asarray(output.float() if weights else output)

    return states


def encoded(states: NDArray[Any]) -> dict[str, Any]:
    """Return the arguments of a call that starts from the encoder's states."""
    mask = np.ones(states.shape[:2], np.int64)
    return {"encoder_outputs": pyled.LEDEncoderBaseModelOutput(last_hidden_state=states), "attention_mask": mask}


@dataclass(frozen=True)
class Trial:
    """A model, the texts that it reads, and how it summarizes them."""

    name: str
    model: Path
    texts: Sequence[Sequence[int]]  # ids
    searches: Mapping[str, dict[str, Any]]
    directory: Path

    @cached_property
    def truth(self) -> Any:
        """The model in float64."""
        return load(self.model, TRUTH)

    def states_path(self, number: int) -> Path:
        return self.directory / f"{self.name}-states" / f"{number}.npy"

    def results(self, way: str) -> list[Result]:
        """Return what a way gave for each text, and measure what is not in its file yet."""
        path = self.directory / f"{self.name}-{way.replace(' ', '-').replace(',', '')}.jsonl"
        self.states_path(0).parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        results = [json.loads(line) for line in lines if line.endswith("\n")]  # the last one may be torn
        is_beside = bool(WAYS.get(way, {}).keys() & {"torch", "weights"})
        numbers = range(len(results), min(len(self.texts), SOME) if is_beside else len(self.texts))
        if not numbers:
            return results
        path.write_text("".join(line for line in lines if line.endswith("\n")), encoding="utf-8")
        print(f"{self.name}, {way}: {len(numbers)} texts", file=sys.stderr, flush=True)
        with path.open("a", encoding="utf-8") as file:
            for result in self.measured(way, numbers):
                results.append(result)
                print(json.dumps(result), file=file, flush=True)
        return results

    def measured(self, way: str, numbers: Sequence[int]) -> Iterator[Result]:
        """Give what a way computes: the square of its states' error, and of the truth; the tokens of the summaries."""
        encode = encoder(self.model, way)
        model = self.truth if way == TRUTH else load(self.model, way)
        for number in numbers:
            states = encode(self.texts[number])
            if way == TRUTH:
                np.save(self.states_path(number), states)
            result: Result = squares(states, np.load(self.states_path(number)))
            for name, how in self.searches.items():
                result[name] = model.generate(**encoded(states.astype(model.dtype)), **how)[0].tolist()
            yield result

    def log_probs(self, number: int, sequence: Sequence[int]) -> NDArray[Any]:
        """Return float64's log-probabilities of a summary's tokens after the first: (T,)."""
        states = np.load(self.states_path(number))
        logits = self.truth(**encoded(states), decoder_input_ids=np.array([sequence[:-1]])).logits[0]  # (T, V)
        highest = logits.max(axis=-1, keepdims=True)
        logits = logits - highest - np.log(np.exp(logits - highest).sum(axis=-1, keepdims=True))
        return np.take_along_axis(logits, np.array(sequence[1:])[:, None], axis=-1)[:, 0]

    def gap(self, number: int, search: str, expected: Sequence[int], actual: Sequence[int]) -> float:
        """Return by how much float64 prefers its own summary to another: it was a choice between two that were as near.

        greedy: log-probabilities of the first tokens that part; beams: scores of the whole, as the search compares them
        """
        ours, theirs = (self.log_probs(number, sequence) for sequence in (expected, actual))
        if search == "greedy":
            place = next(i for i, pair in enumerate(zip(expected, actual, strict=False)) if pair[0] != pair[1]) - 1
            return float(ours[place] - theirs[place])
        penalty = self.truth.generation_config.length_penalty
        return float(ours.sum() / len(ours) ** penalty - theirs.sum() / len(theirs) ** penalty)


def of_the_box(directory: Path, descriptions: int) -> Trial:
    """Return the trial of the checkpoint in the package: held-out texts, cut where they are longer than the encoder."""
    held_out(directory)
    tokenizer = pyled.LEDTokenizer.from_pretrained(pyled.SYNOPSIS)
    limit = pyled.LEDConfig.from_pretrained(pyled.SYNOPSIS).max_encoder_position_embeddings
    documents = []
    for kind in KINDS:
        of_kind = {pair.document for pair in read(directory / f"{kind}-test.jsonl")}
        documents += sorted(of_kind, key=lambda d: share("held", d))[: descriptions if kind == "descriptions" else None]
    documents.sort(key=lambda document: share("order", document))  # so that the first ones are of both kinds
    texts = [tokenizer(document, truncation=True, max_length=limit)["input_ids"] for document in documents]
    return Trial("box", Path(pyled.SYNOPSIS), texts, {"greedy": {"num_beams": 1}, "beams": {}}, directory / "accuracy")


def of_base(directory: Path) -> Trial:
    """Return the trial of LED-base's shape: random weights, as the bench has them, and random ids."""
    model = directory / "base"
    if not model.exists():
        worker.checkpoint({"output": str(model)})
    rng = np.random.default_rng(worker.SEED)
    texts = [[0, *rng.integers(4, 50_000, tokens - 2).tolist(), 2] for tokens in BASE_TOKENS]
    searches = {"greedy": {"num_beams": 1, **EXACTLY_64}, "beams": {"num_beams": 4, **EXACTLY_64}}
    return Trial("base", model, texts, searches, directory / "accuracy")


def squares(states: NDArray[Any], truth: NDArray[Any]) -> dict[str, Any]:
    """Return the sums of squares of an error, and of what it is compared with."""
    return {"error": float(np.square(states - truth).sum()), "truth": float(np.square(truth).sum())}


def rms(results: Sequence[Result]) -> float:
    """Return the root of the mean square of the states' error, relative to that of the states."""
    return float(np.sqrt(sum(each["error"] for each in results) / sum(each["truth"] for each in results)))


def report(trial: Trial, ways: Sequence[str]) -> None:
    """Print the table of a trial, and below it each summary that is not float64's."""
    truth, parted = trial.results(TRUTH), list[str]()
    print(f"\n{trial.name}: {len(trial.texts)} texts, {sum(map(len, trial.texts)):,} tokens\n")
    print("| | states off by, rms | worst text | greedy summaries the same | beam summaries the same |")
    print("|---|---|---|---|---|")
    for way in ways:
        results = trial.results(way)
        cells = [way, f"{rms(results):.1e}", f"{max(rms([each]) for each in results):.1e}"]
        for search in trial.searches:
            pairs = [(number, truth[number][search], each[search]) for number, each in enumerate(results)]
            apart = [pair for pair in pairs if pair[1] != pair[2]]
            cells.append(f"{len(pairs) - len(apart):,} of {len(pairs):,}")
            for number, *both in apart:
                gap = trial.gap(number, search, *both)
                parted.append(f"{way}, {search}: text {number}, {len(trial.texts[number])} tokens: {gap:.2g}")
        print(f"| {' | '.join(cells)} |", flush=True)
    if parted:
        print("\nby how much float64 prefers its own, in log-probability (beams: of a token, on average)\n")
        print("\n".join(parted))


def report_norms(trial: Trial, ways: Sequence[str]) -> None:
    """Print how far states are off where one channel of one of the encoder's norms is FACTORS times as large."""
    model = load(trial.model, "float32")
    tensors = model.state_dict()
    norms = [name for name in tensors if re.search(r"\bencoder\..*norm.*weight", name)]
    ways = [way for way in ways if "weights" not in WAYS[way]]
    errors: dict[str, list[float]] = {}
    for number, name in enumerate(norms):
        for factor in FACTORS:
            weight = tensors[name].copy()
            weight[number] *= factor
            model.load_state_dict(tensors | {name: weight})
            with TemporaryDirectory() as directory:
                model.save_pretrained(directory)
                encoders = [encoder(Path(directory), way) for way in [TRUTH, *ways]]
                states = [[encode(ids) for encode in encoders] for ids in trial.texts[:NORM_TEXTS]]
            for place, way in enumerate(ways, 1):
                kind = "of a layer" if ".layers." in name else "of the embeddings"
                error = rms([squares(each[place], each[0]) for each in states])
                errors.setdefault(f"{way}, {kind}, times {factor}", []).append(error)
    print(f"\none channel of one of {len(norms)} norms is larger: states off by, rms, the least and the most\n")
    for key, values in sorted(errors.items()):
        print(f"{key}: {min(values):.1e} to {max(values):.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("way", nargs="*", help=f"of: {'; '.join([TRUTH, *WAYS])}")
    parser.add_argument("--descriptions", type=int, default=1000, help="beside all pages (default %(default)s)")
    arguments = parser.parse_args()
    ways = [way for way in arguments.way or WAYS if way != TRUTH]
    arguments.directory.mkdir(parents=True, exist_ok=True)
    box = of_the_box(arguments.directory, arguments.descriptions)
    for trial in (box, of_base(arguments.directory)):
        report(trial, ways)
    if ways:
        report_norms(box, ways)


if __name__ == "__main__":
    main()
