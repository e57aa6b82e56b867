"""Ask the reference for answers and labels, or compare pyled with it on random calls.

    python golden/tasks.py [--check]         writes golden/tasks.json, or compares with it
    PYTHONPATH=. python golden/tasks.py --live N

Runs in an environment with transformers 4.57.6; --live where pyled's dependencies are, too. The truth is the pipelines
`question-answering` and `text-classification` of 4.57.6 in float64 (the model as `ask.py` says), with global attention
on `<s>` and the question, or on `<s>`. The checkpoint is `tiny/` with the head of `weights.head_weights`.

`tasks.json`: for each call its arguments, by the names of pyled (`chunk_tokens` is upstream's max_seq_len, `overlap`
its doc_stride; `labels` names one of `configurations`, changes to tiny's), and the result; `float32_error` is the
reference's own in any score, with one and two threads. Where a text has fewer spans than upstream looks for, it takes
some that end before they begin, of score 0; they are left out.
"""

import argparse
import json
import os
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import ask
import torch
import transformers
from tokenizer import hostile
from transformers import LEDConfig, LEDForQuestionAnswering, LEDForSequenceClassification, LEDTokenizerFast
from transformers.pipelines import QuestionAnsweringPipeline, TextClassificationPipeline, question_answering
from weights import head_weights

HERE = Path(__file__).parent
TINY = HERE / "tiny"
FILE = HERE / "tasks.json"
LIMIT = 128  # positions of tiny's decoder, which reads the whole row
Call = dict[str, Any]

LABELS = {
    "three": {"id2label": {"0": "calm", "1": "windy", "2": "storm"}},
    "each": {"id2label": {"0": "sea", "1": "land"}, "problem_type": "multi_label_classification"},
    "one": {"num_labels": 1},
    "number": {"num_labels": 1, "problem_type": "regression"},
    "numbers": {"num_labels": 3, "problem_type": "regression"},
    "stated": {"num_labels": 2, "problem_type": "single_label_classification"},
}


def model(kind: str, changes: Mapping[str, Any], dtype: torch.dtype) -> Any:
    """Return the reference's model: tiny's weights with a head."""
    from safetensors.torch import load_file

    stated = json.loads((TINY / "config.json").read_text(encoding="utf-8")) | changes
    if "id2label" in stated:
        stated["id2label"] = {int(number): label for number, label in stated["id2label"].items()}
    config = LEDConfig(**{name: value for name, value in stated.items() if name not in ("model_type", "architectures")})
    torch.set_default_dtype(dtype)  # 4.57.6 makes its causal mask in it
    kinds = {"qa": LEDForQuestionAnswering, "classification": LEDForSequenceClassification}
    made = kinds[kind](config).eval()
    of_head = {
        name: torch.from_numpy(array) for name, array in head_weights(kind, config.d_model, config.num_labels).items()
    }
    stored = {
        name: tensor for name, tensor in load_file(TINY / "model.safetensors").items() if name in made.state_dict()
    }
    missing, unexpected = made.load_state_dict(stored | of_head, strict=False)
    assert not unexpected and all(name.endswith("embed_tokens.weight") for name in missing), (missing, unexpected)
    return made.to(dtype)


def with_global(made: Any, where: str) -> Any:
    """Have a model called with global attention: on "first" `<s>`, on all before the first `</s>`, or on "none"."""
    plain = type(made).forward

    def forward(input_ids: Any = None, attention_mask: Any = None, use_cache: Any = None) -> Any:
        is_global = torch.zeros_like(input_ids)
        if where == "first":
            is_global[:, 0] = 1
        elif where == "question":
            is_global = (torch.cumsum(input_ids == 2, dim=1) == 0).long()
        return plain(made, input_ids, attention_mask, global_attention_mask=is_global, use_cache=use_cache)

    made.forward = forward
    return made


@contextmanager
def without_empty_spans() -> Iterator[None]:
    """Have the pipeline find no span of score 0, inside this block."""
    stock = question_answering.decode_spans

    def decode_spans(*arguments: Any) -> tuple[Any, ...]:
        starts, ends, scores = stock(*arguments)
        return starts[scores > 0], ends[scores > 0], scores[scores > 0]

    question_answering.decode_spans = decode_spans
    try:
        yield
    finally:
        question_answering.decode_spans = stock


class Reference:
    """The pipelines of 4.57.6, in one type."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype, self._models = dtype, dict[str, Any]()
        self.tokenizer = LEDTokenizerFast.from_pretrained(TINY)

    def ask(self, call: Call) -> Any:
        torch.set_default_dtype(self.dtype)
        with ask.float64_softmax():
            return self.answers(**call) if "question" in call else self.labels(**call)

    def _model(self, kind: str, changes: Mapping[str, Any]) -> Any:
        key = json.dumps([kind, changes])
        if key not in self._models:
            self._models[key] = model(kind, changes, self.dtype)
        return self._models[key]

    def answers(
        self, question: str, context: str, chunk_tokens: int, overlap: int, global_attention: str, **options: Any
    ) -> list[dict[str, Any]]:
        made = with_global(self._model("qa", {}), global_attention)
        pipeline = QuestionAnsweringPipeline(model=made, tokenizer=self.tokenizer, framework="pt")
        windows = {"max_seq_len": chunk_tokens, "doc_stride": overlap}
        with without_empty_spans():
            found = pipeline(question=question, context=context, **windows, **options)
        return [{"text": one["answer"], "start": one["start"], "stop": one["end"], "score": one["score"]}
                for one in ([found] if isinstance(found, dict) else found)]  # fmt: skip

    def labels(self, text: str, labels: str, too_long: str, global_attention: str) -> list[dict[str, Any]]:
        made = with_global(self._model("classification", LABELS[labels]), global_attention)
        pipeline = TextClassificationPipeline(model=made, tokenizer=self.tokenizer, framework="pt")
        cut = {"truncation": True, "max_length": LIMIT} if too_long == "truncate" else {}
        stock = torch.Tensor.float
        torch.Tensor.float = lambda tensor: tensor  # the pipeline rounds its scores to float32
        try:
            return pipeline(text, top_k=None, **cut)
        finally:
            torch.Tensor.float = stock


# 1. The stored calls


def calls() -> list[Call]:
    """Return the calls whose results are stored."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted((TINY / "documents").glob("*.txt"))}
    usual = {"chunk_tokens": LIMIT, "overlap": 32, "global_attention": "question", "top_k": 1, "max_answer_len": 15,
             "handle_impossible_answer": False, "align_to_words": True}  # fmt: skip
    asked = [
        ("lamp", "Who lit the lamp?", {}),
        ("lamp", "Where?", {"top_k": 4}),
        ("lamp", "Who lit the lamp?", {"global_attention": "none"}),
        ("lamp", "When was the lamp lit, and by whom?", {"top_k": 3, "align_to_words": False}),
        ("lamp", "Who?", {"top_k": 5, "handle_impossible_answer": True}),
        ("lamp", "Who lit the lamp?", {"chunk_tokens": 40, "overlap": 10, "top_k": 3}),
        ("minutes", "What was decided?", {"top_k": 5, "handle_impossible_answer": True}),
        ("lamp", "Who was there?", {"max_answer_len": 1, "top_k": 3}),
        ("lamp", "Who was there?", {"max_answer_len": 60, "chunk_tokens": 60, "overlap": 0}),
        ("lamp", "How many?", {"chunk_tokens": 36, "overlap": 12, "top_k": 4, "align_to_words": False}),
    ]
    made: list[Call] = [{"question": q, "context": texts[t], **usual, **more} for t, q, more in asked]
    odd = "Caf\u00e9 <mask> e\u0301te\u0301 \U0001f600\U0001f600 1,024\u00a0km.\r\n\r\n\u65e5\u672c\u8a9e  </s> end "
    made += [{"question": " what\n is <mask> \u65e5?", "context": odd * n, **usual, "top_k": 6} for n in (1, 4)]
    for labels in LABELS:
        made.append({"text": texts["lamp"], "labels": labels, "too_long": "error", "global_attention": "first"})
    made.append({"text": texts["minutes"], "labels": "three", "too_long": "truncate", "global_attention": "first"})
    made.append({"text": odd, "labels": "each", "too_long": "error", "global_attention": "none"})
    return made


def error(truth: list[dict[str, Any]], stock: list[dict[str, Any]], call: Call) -> float:
    """Return the largest error of a score; the results must be the same but for that."""
    bare = [
        [{name: value for name, value in one.items() if name != "score"} for one in ones] for ones in (truth, stock)
    ]
    assert bare[0] == bare[1], f"float32 and float64 part: {call}"
    return max(abs(a["score"] - b["score"]) / max(1, abs(a["score"])) for a, b in zip(truth, stock, strict=True))


def content() -> str:
    """Return the file."""
    truth, stock = Reference(torch.float64), Reference(torch.float32)
    lines, errors = [], {"answers": 0.0, "labels": 0.0}
    for call in calls():
        results, kind = truth.ask(call), "answers" if "question" in call else "labels"
        lines.append(json.dumps({"call": call, "results": results}))
        for threads in (1, 2):
            torch.set_num_threads(threads)
            errors[kind] = max(errors[kind], error(results, stock.ask(call), call))
    rounded = {kind: float(f"{largest:.3g}") for kind, largest in errors.items()}
    head = {"pipelines": transformers.__version__, "torch": torch.__version__, "float32_error": rounded}
    return f'{json.dumps({**head, "configurations": LABELS})[:-1]}, "calls": [\n' + ",\n".join(lines) + "\n]}\n"


# 2. Random calls


def random_call(rng: random.Random) -> Call:
    """Return a call with texts of every kind."""
    text = hostile(rng, 40).strip() or "a"
    words = (TINY / "documents" / "minutes.txt").read_text(encoding="utf-8").split()
    text = text if rng.random() < 0.5 else " ".join(rng.choices(words, k=rng.randint(1, 300)))
    if rng.random() < 0.3:
        return {"text": text, "labels": rng.choice([*LABELS]), "too_long": "truncate",
                "global_attention": rng.choice(["first", "none"])}  # fmt: skip
    chunk = rng.randint(30, LIMIT)
    return {
        "question": " ".join(rng.choices(words, k=rng.randint(1, 4))),
        "context": text,
        "chunk_tokens": chunk,
        "overlap": rng.randint(0, 5) if rng.random() < 0.5 else rng.randint(0, chunk // 2),
        "global_attention": rng.choice(["question", "none"]),
        "top_k": rng.choice([1, 1, 2, 5, 20]),
        "max_answer_len": rng.choice([1, 3, 15, 40]),
        "handle_impossible_answer": rng.random() < 0.3,
        "align_to_words": rng.random() < 0.6,
    }


class Ours:
    """pyled on the same weights, in float64."""

    def __init__(self) -> None:
        import pyled

        self.pyled, self._models = pyled, dict[str, Any]()
        self.tokenizer = pyled.LEDTokenizer.from_pretrained(TINY)

    def ask(self, call: Call) -> list[dict[str, Any]]:
        options = dict(call)
        if "question" in call:
            asked = [options.pop(name) for name in ("question", "context")]
            result = self.pyled.answer(*asked, self._model("qa", {}), self.tokenizer, **options)
            return [vars(span) for span in result.spans if span.score > 0]
        text, labels = options.pop("text"), LABELS[options.pop("labels")]
        result = self.pyled.classify(text, self._model("classification", labels), self.tokenizer, **options)
        return [vars(one) for one in result.labels]

    def _model(self, kind: str, changes: Mapping[str, Any]) -> Any:
        key = json.dumps([kind, changes])
        if key not in self._models:
            reference = model(kind, changes, torch.float64)
            kinds = {
                "qa": self.pyled.LEDForQuestionAnswering,
                "classification": self.pyled.LEDForSequenceClassification,
            }
            config = self.pyled.LEDConfig.from_pretrained(TINY, **changes)
            made = kinds[kind](config, dtype="float64")
            made.load_state_dict({name: tensor.numpy() for name, tensor in reference.state_dict().items()})
            self._models[key] = made
        return self._models[key]


def live(trials: int, only: int | None) -> int:
    """Compare pyled with the reference on random calls; print those in which they differ."""
    truth, ours, differ, refused = Reference(torch.float64), Ours(), 0, 0
    for trial in range(trials) if only is None else [only]:
        call = random_call(random.Random(trial))
        try:
            got = ours.ask(call)
        except ours.pyled.PyledError:
            refused += 1
            continue
        expected = truth.ask(call)
        try:
            is_same = len(got) == len(expected) and error(expected, got, call) < 1e-10
        except AssertionError:
            is_same = False
        if not is_same:
            differ += 1
            print(f"--only {trial}: {json.dumps(call)[:600]}\n  reference {expected[:3]}\n  pyled     {got[:3]}")
    print(f"{trials:,} calls, {refused:,} refused, {differ:,} differ")
    return 1 if differ else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with what is stored, write nothing")
    parser.add_argument("--live", type=int, metavar="N", help="compare pyled on N random calls")
    parser.add_argument("--only", type=int, metavar="K", help="with --live: call K alone")
    arguments = parser.parse_args()
    assert transformers.__version__ == "4.57.6", f"the judge of tasks is 4.57.6, not {transformers.__version__}"
    transformers.logging.set_verbosity_error()
    if arguments.live is not None:
        return live(arguments.live, arguments.only)
    if not arguments.check:
        FILE.write_text(content(), encoding="utf-8")
    elif FILE.read_text(encoding="utf-8") != content():
        print(f"{FILE.name} is not what was made now")
        return 1
    print(f"golden/{FILE.name}: whole")
    return 0


if __name__ == "__main__":
    sys.exit(main())
