"""4. Pairs of texts as the model reads and writes them, and the order in which they come.

Letters: B documents, S source tokens, T target tokens.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..evaluation.groups import Pair
from ..models import LEDForConditionalGeneration
from ..network.losses import IGNORED_LABEL
from ..tasks.reading import Reader

SEPARATE = 2**32  # orders of epochs and masks of dropout are drawn from seeds of their own


@dataclass(frozen=True)
class Example:
    """A document and its summary as ids, in few bytes; place: where the pair stands, as "pairs.jsonl: line 3"."""

    place: str
    source: NDArray[np.int32]  # (S,)
    is_global: NDArray[np.int8]  # (S,)
    target: NDArray[np.int32]  # (T,)
    source_cut: int  # tokens of the document that are cut off
    target_cut: int  # tokens of the summary that are

    @property
    def shape(self) -> tuple[int, int]:
        """Tokens of the document and of the summary, (S, T)."""
        return len(self.source), len(self.target)


def read_example(pair: Pair, reader: Reader, limit: int, begins: bool) -> Example:
    """Return a pair as ids. Raises InputError for a text that cannot be read.

    limit: the most tokens of the target; begins: whether it has `<s>` in front, beside the `</s>` at its end
    """
    source = reader(pair.document)
    (chunk,) = source.chunks
    ids, is_global = chunk.ids[0].astype(np.int32), chunk.is_global[0].astype(np.int8)
    whole = reader.tokenizer(pair.reference, truncation=False, verbose=False)["input_ids"][0 if begins else 1 :]
    target = whole if len(whole) <= limit else [*whole[: limit - 1], whole[-1]]
    cut = source.truncated, len(whole) - len(target)
    return Example(f"{pair.input}: {pair.place}", ids, is_global, np.array(target, np.int32), *cut)


def cuts(examples: Sequence[Example], most_source: int, most_target: int) -> list[str]:
    """Return in words how many tokens are read, and what is cut off."""
    S, T = (sum(sizes) for sizes in zip(*(one.shape for one in examples), strict=True))
    lines = [f"pairs: {len(examples):,}, of {S:,} source tokens and {T:,} target tokens"]
    of_source, of_target = [one.source_cut for one in examples], [one.target_cut for one in examples]
    for what, most, cut in (("documents", most_source, of_source), ("summaries", most_target, of_target)):
        if count := np.count_nonzero(cut):
            lines.append(f"{what} of more than {most:,} tokens: {count:,}, of which {sum(cut):,} tokens are cut off")
    return lines


def begins_with_bos(model: LEDForConditionalGeneration, example: Example) -> bool:
    """Return whether a model writes `<s>` first, as led-base and its like do: a target then begins with it, too.

    Hugging Face's notebooks put it in front of each target. A model that was trained without it would have to learn it.
    """
    ids, is_global = example.source[None].astype(np.int64), example.is_global[None]
    start = model.prepare_decoder_input_ids_from_labels([[0]])
    logits = model(ids, global_attention_mask=is_global, decoder_input_ids=start, use_cache=False).logits
    scores = logits[0, -1].astype(np.float64)
    return bool(2 * np.exp(scores[model.config.bos_token_id]) > np.exp(scores).sum())


def batch_arrays(examples: Sequence[Example], pad: int) -> dict[str, Any]:
    """Return the arguments of a model for some examples, padded on the right: (B, S) and, for the labels, (B, T)."""
    S = max(len(one.source) for one in examples)
    T = max(len(one.target) for one in examples)
    ids = np.full((len(examples), S), pad, np.int64)
    is_real, is_global = np.zeros_like(ids), np.zeros_like(ids)
    labels = np.full((len(examples), T), IGNORED_LABEL, np.int64)
    for row, one in enumerate(examples):
        s, t = len(one.source), len(one.target)
        ids[row, :s], is_real[row, :s], is_global[row, :s], labels[row, :t] = one.source, 1, one.is_global, one.target
    return {"input_ids": ids, "attention_mask": is_real, "global_attention_mask": is_global, "labels": labels}


def digest(examples: Sequence[Example]) -> str:
    """Return a value that changes with what any of the examples holds, and with their order."""
    whole = hashlib.sha256()
    for one in examples:
        for array in (one.source, one.is_global, one.target):
            whole.update(len(array).to_bytes(8, "little") + array.tobytes())
    return whole.hexdigest()


@dataclass(frozen=True)
class Order:
    """The order of examples: it depends on the seed and the epoch alone, so that any step can be found again.

    count: how many examples there are; batch: of them are computed together; accumulate: batches that make a step
    """

    count: int
    batch: int
    accumulate: int
    seed: int

    def steps(self, epoch: int) -> list[list[list[int]]]:
        """Return the steps of an epoch: each some batches, each some examples by their places."""
        order = np.random.default_rng([self.seed, epoch]).permutation(self.count).tolist()
        batches = [order[start : start + self.batch] for start in range(0, self.count, self.batch)]
        return [batches[start : start + self.accumulate] for start in range(0, len(batches), self.accumulate)]

    def after(self, step: int) -> Iterator[tuple[int, list[list[int]]]]:
        """Yield the number of each step and its batches, epoch after epoch, where the first `step` of them are done."""
        number, epoch = 0, 0
        while True:
            steps = self.steps(epoch)
            yield from ((number + i, batches) for i, batches in enumerate(steps) if number + i >= step)
            number, epoch = number + len(steps), epoch + 1


def dropout_seed(seed: int, step: int) -> int:
    """Return the seed of a step's masks."""
    return int(np.random.default_rng([SEPARATE, seed, step]).integers(2**63))
