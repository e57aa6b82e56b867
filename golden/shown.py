"""Make the goldens of what a generation shows, or check them: `python golden/shown.py [--check]`.

Runs in an environment with transformers 5.23.0; with 4.57.6 for the cases with head masks. Each makes and checks its
own cases. Writes `golden/shown.npz`, arrays under "CASE/in.NAME" (arguments of `generate`) and "CASE/NAME" (fields of
its output: `decoder_attentions.STEP.LAYER`, say, and `transition_scores` with `normalized_scores`), and
`golden/shown.json`: of each case the model's configuration, the settings, the order of the fields, and how far the
reference's float32 is off. The model computes in float64, and scores are float32, as upstream always has them.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ask
import numpy as np
import torch
import transformers
from ask import Arrays
from cases import TALL, WIDE
from numpy.typing import NDArray
from weights import integers, make_weights

HERE = Path(__file__).parent
STORED, ABOUT = HERE / "shown.npz", HERE / "shown.json"
FLAGS = ("return_dict_in_generate", "output_scores", "output_attentions", "output_hidden_states")


@dataclass(frozen=True)
class Case:
    """A generation: lengths of the documents, the settings, and further arguments; the first token is global."""

    name: str
    config: Mapping[str, Any]
    lengths: tuple[int, ...]
    settings: Mapping[str, Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def judge(self) -> str:
        """The version of transformers that is asked."""
        return "4.57.6" if "head_mask" in self.arguments else "5.23.0"

    def inputs(self) -> Arrays:
        """Return the arguments of `generate`."""
        B, S = len(self.lengths), max(self.lengths)
        mask = (np.arange(S) < np.array(self.lengths)[:, None]).astype(np.int64)
        ids = integers(f"{self.name}/input_ids", 0, (B, S), 3, self.config["vocab_size"])
        masks = {"attention_mask": mask, "global_attention_mask": (np.arange(S) == 0) * mask}
        return {
            "input_ids": np.where(mask == 1, ids, 1),
            **masks,
            **{n: np.array(a) for n, a in self.arguments.items()},
        }


PROMPT = {"decoder_input_ids": [[2, 8, 9, 10], [2, 5, 8, 30]], "decoder_attention_mask": [[0, 0, 1, 1], [1, 1, 0, 1]]}
CASES = [
    Case("greedy", TALL, (7, 4), {"max_new_tokens": 5, "no_repeat_ngram_size": 1, "eos_token_id": 21}),
    Case(
        "beams", WIDE, (4, 6),
        {"max_new_tokens": 5, "num_beams": 3, "num_return_sequences": 2, "no_repeat_ngram_size": 1, "eos_token_id": 28},
    ),
    Case("prompt", WIDE, (6, 3), {"max_new_tokens": 4, "repetition_penalty": 2.0}, PROMPT),
    Case(
        "prompt-beams", TALL, (5, 5),
        {"max_new_tokens": 4, "num_beams": 2, "repetition_penalty": 1.5, "no_repeat_ngram_size": 2, "eos_token_id": 19},
        {name: [row[1:] for row in rows] for name, rows in PROMPT.items()},
    ),
    Case(
        "head-masks", WIDE, (6, 5), {"max_new_tokens": 5},
        {"head_mask": [[0.0, 1.0, 0.5, 1.0, 0.0]], "decoder_head_mask": [[1.0, 0.0, 0.5], [0.25, 1.0, 0.0]],
         "cross_attn_head_mask": [[0.0, 1.0, 0.5], [1.0, 0.75, 0.0]]},
    ),
]  # fmt: skip


def flat(output: Mapping[str, Any]) -> Arrays:
    """Return the fields of an output as arrays: `encoder_attentions.LAYER`, `cross_attentions.STEP.LAYER`.

    Of steps the first and the last are there, of layers the last.
    """
    arrays: Arrays = {}
    for name, value in output.items():
        if name in ("sequences", "sequences_scores", "beam_indices"):
            arrays[name] = ask.numbers(value)
        elif name.startswith("encoder_"):
            arrays[f"{name}.{len(value) - 1}"] = ask.numbers(value[-1])
        elif name in ("decoder_attentions", "cross_attentions", "decoder_hidden_states"):
            for step in (0, len(value) - 1):
                layer = len(value[step]) - 1
                arrays[f"{name}.{step}.{layer}"] = ask.numbers(value[step][layer])
    return arrays


def answer(case: Case, dtype: torch.dtype) -> tuple[Arrays, list[str]]:
    """Return all arrays of a generation, and the names of the fields in their order."""
    weights = make_weights(case.config, 0)
    model = ask.load(case.config, weights, dtype)
    settings = {**case.settings, **dict.fromkeys(FLAGS, True)}
    output = model.generate(**ask.tensors(case.inputs(), dtype), **settings)
    arrays = flat(output)
    for name, normalize in (("transition_scores", False), ("normalized_scores", True)):
        scores = model.compute_transition_scores(
            output.sequences, output.scores, output.get("beam_indices"), normalize_logits=normalize
        )
        arrays[name] = ask.numbers(scores)
    return arrays, list(output.keys())


def error(got: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return err as tests/budget.py defines it, to 3 digits; infinities count as 0."""
    got, expected = (np.nan_to_num(a.astype(np.float64), posinf=0, neginf=0) for a in (got, expected))
    far = np.max(np.abs(got - expected), initial=0) / max(1, np.max(np.abs(expected), initial=0))
    return float(f"{far:.3g}")


def make() -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the arrays of the cases of this version, and what is said of each."""
    stored, entries = {}, {}
    for case in CASES:
        if case.judge != transformers.__version__:
            continue
        with ask.float64_softmax():
            truth, fields = answer(case, torch.float64)
        errors = dict.fromkeys(truth, 0.0)
        for threads in (1, 2):
            torch.set_num_threads(threads)
            stock, _ = answer(case, torch.float32)
            assert np.array_equal(stock["sequences"], truth["sequences"]), case.name
            for name in truth:
                errors[name] = max(errors[name], error(stock[name], truth[name]))
        torch.set_num_threads(1)
        stored |= {f"{case.name}/in.{name}": array for name, array in case.inputs().items()}
        stored |= {f"{case.name}/{name}": array for name, array in truth.items()}
        entries[case.name] = {
            "judge": case.judge, "config": case.config, "settings": case.settings, "fields": fields,
            "float32_error": {name: error for name, error in errors.items() if error},
        }  # fmt: skip
    return stored, entries


def main() -> int:
    parser = argparse.ArgumentParser(description="goldens of what a generation shows")
    parser.add_argument("--check", action="store_true", help="compare with what is stored, write nothing")
    check = parser.parse_args().check
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    arrays, entries = make()
    assert entries, f"the references are transformers 5.23.0 and 4.57.6, not {transformers.__version__}"
    before: dict[str, NDArray[Any]] = {}
    about: dict[str, Any] = json.loads(ABOUT.read_text(encoding="utf-8")) if ABOUT.exists() else {}
    if STORED.exists():
        with np.load(STORED, allow_pickle=False) as file:
            before = {name: file[name] for name in file.files}
    if check:
        of_here = {name for name in before if name.split("/")[0] in entries}
        problems = [f"not in both: {name}" for name in sorted(of_here ^ set(arrays))]
        for name in sorted(of_here & set(arrays)):
            limit = 1e-6 if arrays[name].dtype == np.float32 else 1e-12
            if not np.allclose(before[name], arrays[name], rtol=0, atol=limit):
                problems.append(f"{name} differs")
        print("\n".join(problems) or f"{len(entries)} cases agree")
        return 1 if problems else 0
    names = [case.name for case in CASES]
    arrays = {name: a for name, a in before.items() if name.split("/")[0] in set(names) - set(entries)} | arrays
    np.savez_compressed(STORED, **arrays)
    about |= entries
    lines = [f"{json.dumps(name)}: {json.dumps(about[name])}" for name in names if name in about]
    ABOUT.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
