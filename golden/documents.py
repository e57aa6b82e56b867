"""Texts beside a checkpoint as the reference reads and summarizes them, for tiny.py, trained.py, synopsis/compare.py.

The tokenizer's truth is transformers 4.57.6, in another interpreter, for which this file is a command, `serve`.
"""

import argparse
import functools
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import transformers

Answer = TypeVar("Answer")
KINDS: dict[str, dict[str, Any]] = {"greedy": {"num_beams": 1}, "beam": {}}


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Turn texts into ids, at most `limit` of them, or ids into texts, in the other interpreter."""
    assert transformers.__version__ == "4.57.6", f"the tokenizer's truth is 4.57.6, not {transformers.__version__}"
    tokenizer = transformers.LEDTokenizerFast.from_pretrained(request["checkpoint"])
    texts = [
        tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) for ids in request["ids"]
    ]
    cut = {"truncation": True, "max_length": request["limit"]}
    return {"ids": [tokenizer(text, **cut)["input_ids"] for text in request["texts"]], "texts": texts}


class Tokenizer:
    """The tokenizer of a checkpoint, by another interpreter."""

    def __init__(self, interpreter: str, checkpoint: Path, limit: int) -> None:
        self.interpreter, self.always = interpreter, {"checkpoint": str(checkpoint), "limit": limit}

    def ids(self, texts: list[str]) -> list[list[int]]:
        return self._ask(texts=texts, ids=[])["ids"]

    def text(self, ids: list[int]) -> str:
        """Return the text of ids, without special tokens and without clean-up."""
        return self._ask(texts=[], ids=[ids])["texts"][0]

    def _ask(self, **request: Any) -> dict[str, Any]:
        question = json.dumps(request | self.always)
        done = subprocess.run([self.interpreter, __file__], input=question, capture_output=True, text=True, check=True)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


def marked(ids: list[int]) -> dict[str, Any]:
    """Return the arguments of a call on one document, with global attention on its first token."""
    import torch

    source = torch.tensor([ids])
    is_global = torch.zeros_like(source)
    is_global[:, 0] = 1
    return {"input_ids": source, "attention_mask": torch.ones_like(source), "global_attention_mask": is_global}


def generate(model: Any, ids: list[int], **settings: Any) -> tuple[list[int], float | None]:
    """Return the tokens, and the score of the sequence where beams were searched."""
    answer = model.generate(**marked(ids), return_dict_in_generate=True, output_scores=True, **settings)
    scores = getattr(answer, "sequences_scores", None)
    return answer.sequences[0].tolist(), None if scores is None else float(scores[0])


def truth_and_stock(models: Mapping[Any, Any], question: Callable[[Any], Answer]) -> tuple[Answer, list[Answer]]:
    """Return what the model in float64 answers, and the stock one in float32, on one and two threads."""
    import ask
    import torch

    torch.set_num_threads(1)
    with ask.float64_softmax():
        truth = question(models[torch.float64])
    stock = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        stock.append(question(models[torch.float32]))
    return truth, stock


def summaries(
    name: str, ids: list[int], models: Mapping[Any, Any], tokenizer: Tokenizer
) -> tuple[dict[str, Any], float]:
    """Return what the reference generates from a document in each of KINDS, and the largest float32 error.

    models: by torch type, float32 and float64; their tokens must be the same, the scores are those of float64
    """
    answers: dict[str, Any] = {}
    error = 0.0
    for kind, settings in KINDS.items():
        (tokens, score), stock = truth_and_stock(models, functools.partial(generate, ids=ids, **settings))
        answers[kind] = {"sequence": tokens, "text": tokenizer.text(tokens)}
        if score is not None:
            answers[kind]["sequences_score"] = score
        for tokens32, score32 in stock:
            assert tokens32 == tokens, f"{name}, {kind}: float32 and float64 part"
            if score is not None and score32 is not None:
                error = max(error, abs(score32 - score) / max(1, abs(score)))
    return answers, error


def answers_file(entries: Iterable[dict[str, Any]], **more: Any) -> bytes:
    """Return answers.json: whose answers these are, and what else is said of all, then each entry on a line."""
    head = json.dumps({"model": transformers.__version__, "tokenizer": "4.57.6", **more})
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    return f'{head[:-1]}, "answers": [\n{lines}\n]}}\n'.encode()


def make_or_check(about: str, folder: Path, content: Callable[[str], dict[str, bytes]]) -> int:
    """Write the files of a folder, or with --check say which of them are others: the command of a script.

    content: the files by their names, made with the interpreter of the tokenizer
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", metavar="PYTHON", required=True, help="an interpreter with transformers 4.57.6")
    parser.add_argument("--check", action="store_true", help="compare with what is stored, write nothing")
    arguments = parser.parse_args()
    assert transformers.__version__ == "5.23.0", f"the model's truth is 5.23.0, not {transformers.__version__}"
    transformers.logging.set_verbosity_error()
    differ = []
    for name, data in content(arguments.tokenizer).items():
        if not arguments.check:
            (folder / name).write_bytes(data)
        elif (folder / name).read_bytes() != data:
            differ.append(f"{name} is not what was made now")
    print("\n".join(differ) or f"golden/{folder.name}: whole")
    return 1 if differ else 0


if __name__ == "__main__":
    print(json.dumps(serve(json.load(sys.stdin))))
