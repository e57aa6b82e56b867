"""Make the goldens of the forward pass, or check them: `python golden/forward.py [--check]`.

Runs in an environment with transformers 5.23.0, and in one with 4.57.6; in each it makes and checks the cases whose
judge is that version, and leaves the others as they are. Writes `golden/forward/<case>.npz` (the inputs as
`in.<name>`, the truth in float64 under the stages' names) and `golden/manifest.json`: versions, hashes of what the
scripts do and of the files, what each case is, and for each stage the error of the reference in float32: the largest
over three seeds of the weights and over one and two threads. `--check` makes all of it again and compares: bit for
bit in the environment of the manifest, within 1e-12 in another.
"""

import argparse
import hashlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import ask
import numpy as np
import torch
import transformers
from ask import Arrays
from behaviour import of_scripts
from cases import SEEDS, Case, cases
from numpy.typing import NDArray
from weights import make_weights

HERE = Path(__file__).parent
MANIFEST = HERE / "manifest.json"
SCRIPTS = ("weights.py", "cases.py", "ask.py", "forward.py")


def environment() -> dict[str, str]:
    """Return what the last bits depend on."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "machine": platform.machine(),
        "cpu": cpu.partition(":")[2].strip(),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def answer(case: Case, seed: int, dtype: torch.dtype) -> tuple[Arrays, list[str]]:
    """Return what the reference says to a case."""
    model = ask.load(case.config, make_weights(case.config, seed), dtype)
    if case.calls:
        return ask.cached_calls(model, case.inputs(), case.calls), []
    return ask.forward(model, case.inputs())


def truth(case: Case, seed: int) -> tuple[Arrays, list[str]]:
    """Return the answer in float64, with the proof that nothing was rounded to float32 on the way."""
    with ask.float64_softmax():
        stages, fields = answer(case, seed, torch.float64)
    probs = [array for name, array in stages.items() if name.startswith("encoder.") and name.endswith(".probs")]
    if probs and np.isin(list("".join(case.rows)), [".", "g", "e"]).sum() > 3:
        rounded = [np.array_equal(p, p.astype(np.float32).astype(np.float64)) for p in probs]
        assert not any(rounded), f"{case.name}: the probabilities are float32: the patch of softmax did not take"
    return stages, fields


def error(got: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return err as tests/budget.py defines it; NaN where the truth is NaN."""
    if got.size == 0:
        return 0.0
    return float(np.max(np.abs(got.astype(np.float64) - expected)) / max(1.0, np.max(np.abs(expected))))


def float32_errors(case: Case, true: dict[int, Arrays]) -> dict[str, float]:
    """Return the stock reference's error in float32: the largest over the seeds, one and two threads."""
    worst: dict[str, float] = dict.fromkeys(true[SEEDS[0]], 0.0)
    for seed in SEEDS:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            stages, _ = answer(case, seed, torch.float32)
            for name in worst:
                worst[name] = max(worst[name], error(stages[name], true[seed][name]))
    torch.set_num_threads(1)
    return worst


def is_stored(case: Case, name: str) -> bool:
    last = f"encoder.layers.{case.config['encoder_layers'] - 1}.final_layer_norm"
    return name == last or (name.startswith(case.keep) and not name.endswith(case.drop))


def make(case: Case) -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays of a case, and what the manifest says of it."""
    answers = {seed: truth(case, seed) for seed in SEEDS}
    fields = answers[SEEDS[0]][1]
    true = {seed: {n: a for n, a in stages.items() if is_stored(case, n)} for seed, (stages, _) in answers.items()}
    arrays = {f"in.{name}": array for name, array in case.inputs().items()} | true[SEEDS[0]]
    entry: dict[str, Any] = {
        "about": case.about,
        "judge": case.judge,
        "config": dict(case.config),
        "seed": SEEDS[0],
        "rows": list(case.rows),
        "targets": case.targets_from if case.targets_from != "decoder_input_ids" else list(case.targets),
    }
    if case.calls:
        entry["calls"] = list(case.calls)
    else:
        entry["fields"] = fields
    errors = float32_errors(case, true)
    entry["float32_error"] = {name: None if np.isnan(e) else float(f"{e:.3g}") for name, e in sorted(errors.items())}
    return arrays, entry


def write(answers: dict[str, tuple[Arrays, dict[str, Any]]]) -> None:
    folder = HERE / "forward"
    folder.mkdir(exist_ok=True)
    stored = json.loads(MANIFEST.read_text(encoding="utf-8"))
    names = [case.name for case in cases()]
    for old in folder.glob("*.npz"):
        if old.stem not in names:
            old.unlink()
    listed = {name: entry for name, entry in stored["cases"].items() if name in names}
    for name, (arrays, entry) in answers.items():
        path = folder / f"{name}.npz"
        np.savez_compressed(path, **arrays)
        listed[name] = {"sha256": sha256(path), **entry}
    listed = {name: listed[name] for name in names if name in listed}
    head = {
        "environments": stored["environments"] | {transformers.__version__: environment()},
        "seeds": list(SEEDS),
        "threads": [1, 2],
        "scripts": of_scripts(HERE, SCRIPTS),
    }
    lines = ["{"]
    lines += [f"{json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    lines += ['"cases": {']
    lines += [",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in listed.items())]
    lines += ["}}"]
    MANIFEST.write_text("\n".join(lines) + "\n", encoding="utf-8")


def differences(answers: dict[str, tuple[Arrays, dict[str, Any]]]) -> list[str]:
    """Return where what is stored differs from what was computed now."""
    stored = json.loads(MANIFEST.read_text(encoding="utf-8"))
    same = stored["environments"].get(transformers.__version__) == environment()
    print("environment of the manifest: bit for bit" if same else "another environment: within 1e-12")
    now = of_scripts(HERE, SCRIPTS)
    problems = [f"{name} does something else since" for name in SCRIPTS if stored["scripts"].get(name) != now[name]]
    problems += [f"{name}: not in both" for name in sorted(set(stored["cases"]) ^ {case.name for case in cases()})]
    for name in sorted(set(stored["cases"]) & set(answers)):
        arrays, entry = answers[name]
        path = HERE / "forward" / f"{name}.npz"
        before = stored["cases"][name]
        if before["sha256"] != sha256(path):
            problems.append(f"{path.name}: not the file of the manifest")
        ignored = {"sha256"} if same else {"sha256", "float32_error"}
        if {k: v for k, v in before.items() if k not in ignored} != {
            k: v for k, v in entry.items() if k not in ignored
        }:
            problems.append(f"{name}: the manifest's entry differs")
        with np.load(path, allow_pickle=False) as file:
            if set(file.files) != set(arrays):
                problems.append(f"{name}: other stages: {sorted(set(file.files) ^ set(arrays))}")
                continue
            for stage, array in arrays.items():
                limit = 0.0 if same or stage.startswith("in.") else 1e-12
                alike = file[stage].dtype == array.dtype and file[stage].shape == array.shape
                if not alike or not (
                    np.array_equal(file[stage], array, equal_nan=array.dtype.kind == "f")
                    or error(file[stage], array) <= limit
                ):
                    problems.append(f"{name}: {stage} differs")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description="goldens of the forward pass")
    parser.add_argument("--check", action="store_true", help="compare with what is stored, write nothing")
    check = parser.parse_args().check
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    answers = {case.name: make(case) for case in cases() if case.judge == transformers.__version__}
    assert answers, f"the references are transformers 5.23.0 and 4.57.6, not {transformers.__version__}"
    if not check:
        write(answers)
        size = sum(path.stat().st_size for path in (HERE / "forward").iterdir()) + MANIFEST.stat().st_size
        print(f"{len(answers)} cases, {size / 1e6:.2f} MB")
        return 0
    problems = differences(answers)
    print("\n".join(problems) or f"{len(answers)} cases agree")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
