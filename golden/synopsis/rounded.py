"""What weights in fewer bits cost on real texts: python golden/synopsis/rounded.py DIRECTORY [--count N]

Runs where pyled is; DIRECTORY holds the held-out texts (data.py). The checkpoint in the package summarizes them in
float64, which float32, bf16 and int8 are compared with: the logits at the places of float64's own summaries, the best
token there, and whole summaries. Texts longer than the encoder are cut.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from data import held_out_documents
from numpy.typing import NDArray

import pyled
from pyled.checkpoint import Storage

Marked = dict[str, Any]
STORED: tuple[Storage | None, ...] = (None, "bf16", "int8")
SEARCHES: dict[str, dict[str, Any]] = {"greedy": {"num_beams": 1}, "beams": {}}


def marked(ids: list[int]) -> Marked:
    """One text, all of it real, `<s>` global."""
    row = np.array([ids])
    is_global = np.zeros_like(row)
    is_global[0, 0] = 1
    return {"input_ids": row, "attention_mask": np.ones_like(row), "global_attention_mask": is_global}


def logits(model: pyled.LEDForConditionalGeneration, text: Marked, summary: NDArray[np.int64]) -> NDArray[Any]:
    """(T, V): what the model expects at each place of a summary, given the tokens before it."""
    logits: NDArray[Any] = model(**text, decoder_input_ids=summary[:, :-1]).logits[0]
    return logits


def compare(directory: Path, count: int) -> None:
    """Print how far each storage is from float64."""
    load = pyled.LEDForConditionalGeneration.from_pretrained
    tokenizer, truth = pyled.LEDTokenizer.from_pretrained(pyled.SYNOPSIS), load(pyled.SYNOPSIS, dtype="float64")
    limit = truth.config.max_encoder_position_embeddings
    documents = held_out_documents(directory, count)
    texts = [marked(tokenizer(each, truncation=True, max_length=limit)["input_ids"]) for each in documents]
    summaries = {name: [truth.generate(**text, **how) for text in texts] for name, how in SEARCHES.items()}
    pairs = list(zip(texts, summaries["beams"], strict=True))
    expected = np.concatenate([logits(truth, *pair) for pair in pairs])  # (places, V)
    print(
        f"{len(texts)} texts; at the {len(expected)} places of their summaries logits deviate by {expected.std():.2f}"
    )
    for weights in STORED:
        model = load(pyled.SYNOPSIS, weights=weights)
        actual = np.concatenate([logits(model, *pair) for pair in pairs])
        off = np.abs(actual - expected)
        best = int((actual.argmax(axis=1) == expected.argmax(axis=1)).sum())
        print(f"{weights or 'float32'}: off by {np.sqrt((off**2).mean()):.2g} on average, {off.max():.2g} at most")
        print(f"  the best token is the same at {best} places")
        for name, how in SEARCHES.items():
            both = zip(texts, summaries[name], strict=True)
            same = sum(np.array_equal(model.generate(**text, **how), summary) for text, summary in both)
            print(f"  {name}: {same} summaries are the same", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--count", type=int, default=100, help="of the texts (default %(default)s)")
    arguments = parser.parse_args()
    compare(arguments.directory, arguments.count)


if __name__ == "__main__":
    main()
