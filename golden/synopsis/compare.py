"""Have the reference and pyled summarize the same held-out texts: python golden/synopsis/compare.py DIRECTORY MODEL ...

Runs where transformers 5.23.0 and pyled's dependencies are, with pyled's repository in PYTHONPATH; --tokenizer is an
interpreter with transformers 4.57.6. MODEL is an exported directory. Input ids and output tokens must be the same;
counted and not judged are texts on which the reference's own float32 and float64 part. Exits with 1 where one differs.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import ask
import torch
import transformers
from data import held_out_documents
from documents import Tokenizer, generate, marked
from model import CONFIG

import pyled


def ours(model: Any, ids: list[int]) -> list[int]:
    return model.generate(**{name: tensor.numpy() for name, tensor in marked(ids).items()})[0].tolist()


def compare(directory: Path, exported: Path, interpreter: str, count: int) -> int:
    """How many texts differ; says which."""
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    load = transformers.LEDForConditionalGeneration.from_pretrained
    stock = {dtype: load(exported, dtype=dtype).eval() for dtype in (torch.float32, torch.float64)}
    model = pyled.LEDForConditionalGeneration.from_pretrained(exported)
    tokenizer = pyled.LEDTokenizer.from_pretrained(exported)
    documents, limit = held_out_documents(directory, count), CONFIG["max_encoder_position_embeddings"]
    wrong = undecided = 0
    for number, (text, ids) in enumerate(
        zip(documents, Tokenizer(interpreter, exported, limit).ids(documents), strict=True)
    ):
        if tokenizer(text, truncation=True, max_length=limit)["input_ids"] != ids:
            wrong += 1
            print(f"text {number}: other ids")
            continue
        expected, _ = generate(stock[torch.float32], ids)
        with ask.float64_softmax():
            is_decided = generate(stock[torch.float64], ids)[0] == expected
        undecided += not is_decided
        tokens = ours(model, ids)
        if tokens != expected and is_decided:
            wrong += 1
            print(
                f"text {number}, of {len(ids)} tokens: {tokenizer.decode(tokens)!r}, not {tokenizer.decode(expected)!r}"
            )
    print(f"{len(documents)} texts: {wrong} differ; on {undecided} the reference's float32 and float64 part")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--tokenizer", metavar="PYTHON", required=True, help="an interpreter with transformers 4.57.6")
    parser.add_argument("--count", type=int, default=200)
    arguments = parser.parse_args()
    return 1 if compare(arguments.directory, arguments.model, arguments.tokenizer, arguments.count) else 0


if __name__ == "__main__":
    sys.exit(main())
