"""Hold what transformers dumps to `pyled check`, on random batches: `python golden/compare_dumps.py PYTHON ...`.

Runs where pyled's tests run. Each PYTHON is an interpreter with transformers 5.23.0 or 4.57.6, which runs `dump.py`.
The models are `tiny/`, the same with the other heads, and the one in the box; documents have padding, holes and several
global tokens. Every output of a module must be inside the budget of float32. Prints how close the closest came.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import pyled
from pyled import LEDConfig, LEDForQuestionAnswering, LEDForSequenceClassification
from pyled.porting.comparing import check, read_names
from pyled.porting.dumps import read
from pyled.porting.stages import stages_of
from pyled.porting.tracing import write_trace

HERE = Path(__file__).parent


def batch(seed: int, V: int, B: int, S: int, T: int, *, has_target: bool) -> dict[str, np.ndarray]:
    """Return the arguments of a call: each document with holes and padding but for the first, and global tokens."""
    rng = np.random.default_rng(seed)
    arguments = {"input_ids": rng.integers(3, V, (B, S)), "attention_mask": np.ones((B, S), np.int64)}
    for b in range(1, B):
        arguments["attention_mask"][b, S - 3 * b :] = 0
        arguments["attention_mask"][b, rng.integers(1, S, 3)] = 0
    arguments["input_ids"][:, S // 2] = 2  # what a head for labels looks for
    arguments["attention_mask"][:, S // 2] = 1
    arguments["global_attention_mask"] = (rng.random((B, S)) < 0.1) * arguments["attention_mask"]
    arguments["global_attention_mask"][:, 0] = 1
    if has_target:
        arguments["decoder_input_ids"] = rng.integers(3, V, (B, T))
        arguments["decoder_attention_mask"] = np.ones((B, T), np.int64)
        arguments["decoder_attention_mask"][-1, [1, -1]] = 0
    return arguments


def problems(python: str, checkpoint: Path, seed: int, has_target: bool) -> list[str]:
    """Return what is outside, and which outputs of modules are not dumped."""
    config = LEDConfig.from_pretrained(checkpoint)
    inputs = batch(seed, config.vocab_size, 3, 41 + 13 * seed, 7, has_target=has_target)
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("inputs.npz", "theirs.npz", "trace.npz")]
        np.savez(files[0], **inputs)
        arguments = [python, str(HERE / "dump.py"), str(checkpoint), files[0], files[1]]
        done = subprocess.run(arguments, capture_output=True, text=True)
        if "has no attribute LEDForSequenceClassification" in done.stderr:  # 5.23.0
            return []
        assert done.returncode == 0, done.stderr
        print(done.stdout.strip(), end=": ")
        write_trace(checkpoint, inputs, files[2])
        about = read(files[2]).about
        truth = dict(read(files[2]))
        report = check(read(files[1]), truth, read_names("transformers"), about=about)
    rows = [row for row in report.stages if row.theirs]
    share, name = max((row.error / row.budget, row.name) for row in rows if row.error and row.budget)
    print(f"{checkpoint.name}, batch {seed}: {len(rows)} compared, closest {share:.2f} of its budget at {name}")
    outputs = {stage.name for stage in stages_of(config, {k[3:]: truth[k] for k in truth if k[:3] == "in."})
               if stage.is_module_output}  # fmt: skip
    missing = [f"{name} is not dumped" for name in sorted(outputs - {row.name for row in rows})]
    wrong = [f"{row.theirs}: {row.error} of {row.budget}; {row.note}" for row in rows if row.verdict == "outside"]
    # `logits` of a head for labels are those of classification_head.out_proj, which is compared
    return wrong + missing + [f"{name} is unknown" for name in report.unknown if name != "logits"]


def main() -> int:
    parser = argparse.ArgumentParser(description="dumps of transformers against traces")
    parser.add_argument("pythons", nargs="+", metavar="PYTHON")
    parser.add_argument("--batches", type=int, default=1)
    arguments = parser.parse_args()
    found: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        config = LEDConfig.from_pretrained(HERE / "tiny")
        for kind in (LEDForQuestionAnswering, LEDForSequenceClassification):
            kind(config, seed=1).save_pretrained(Path(folder) / kind.__name__)
        for python in arguments.pythons:
            for seed in range(arguments.batches):
                for checkpoint in (HERE / "tiny", *sorted(Path(folder).iterdir()), Path(pyled.SYNOPSIS)):
                    found += problems(python, checkpoint, seed, has_target=checkpoint.parent != Path(folder))
    print("\n".join(found) or "all inside")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
