"""Ask the reference for what the conformance kit has of generations and texts: `python golden/kit.py [--check]`.

Runs in an environment with transformers 5.23.0, the truth for generation, and in one with 4.57.6, the truth for the
tokenizer. The cases are those of `pyled/porting/`: modules that need NumPy alone. Writes `golden/kit.npz`: of each
generation `CASE/NAME`, with the scores of all steps as one array, `scores`; of each list of texts `NAME/ids`,
`NAME/ids_lengths` and `NAME/offsets`, and `back/text` of ids. `--check` compares: scores within 1e-6, the rest exactly.
Each setting of a case counts: with the usual value in its place the reference gives another transcript, or this stops.
"""

import sys
from pathlib import Path

import numpy as np
import transformers
from numpy.typing import NDArray

sys.path.append(str(Path(__file__).parent.parent))

from pyled.porting.cases import SETTINGS, Case, generation_cases
from pyled.porting.texts import IDS, TEXTS, packed

STORED = Path(__file__).parent / "kit.npz"
VOCABULARY = Path(__file__).parent.parent / "pyled" / "synopsis"

Arrays = dict[str, NDArray[np.generic]]


def transcript(case: Case, **changed: object) -> Arrays:
    """Return the fields of a generation by the model in float64; scores are float32, as upstream always has them."""
    import ask
    import torch
    from weights import make_weights

    of_case = {**SETTINGS, **(case.settings or {}), **changed}
    settings = {**of_case, "return_dict_in_generate": True, "output_scores": True}
    with ask.float64_softmax():
        model = ask.load(case.config, make_weights(case.config, 0), torch.float64)
        output = model.generate(**ask.tensors(case.inputs(), torch.float64), **settings)
    arrays = {"sequences": output.sequences.numpy(), "scores": np.stack([ask.numbers(one) for one in output.scores])}
    if settings["num_beams"] > 1:
        arrays |= {name: output[name].numpy() for name in ("sequences_scores", "beam_indices")}
    return arrays


def counting(case: Case) -> Arrays:
    """Return the transcript of a case. Raises SystemExit for a setting without which it is the same."""
    told = transcript(case)
    for name in (case.settings or {}).keys() - {"num_beams"}:
        others = transcript(case, **{name: SETTINGS[name]})
        if all(np.array_equal(array, others[field], equal_nan=True) for field, array in told.items()):
            raise SystemExit(f"{case.name}: {name} has no effect")
    return told


def tokenized() -> dict[str, Arrays]:
    """Return ids and offsets of all texts, and the texts of ids, by the vocabulary in the package."""
    tokenizer = transformers.LEDTokenizerFast(str(VOCABULARY / "vocab.json"), str(VOCABULARY / "merges.txt"))
    answers = {}
    for name, (_, texts) in TEXTS.items():
        encoded = tokenizer(texts, return_offsets_mapping=True)
        offsets = [pair for one in encoded["offset_mapping"] for pair in one]
        answers[name] = packed(encoded["input_ids"], "ids") | {"offsets": np.array(offsets, np.int64)}
    texts = tokenizer.batch_decode(IDS, clean_up_tokenization_spaces=False)
    return answers | {"back": packed([text.encode() for text in texts], "text")}


def answers() -> Arrays:
    """Return what this version says."""
    if transformers.__version__ == "4.57.6":
        told = tokenized()
    else:
        assert transformers.__version__ == "5.23.0", "the references are 5.23.0 and 4.57.6"
        told = {case.name: counting(case) for case in generation_cases()}
    return {f"{case}/{name}": array for case, arrays in told.items() for name, array in arrays.items()}


def main() -> int:
    now = answers()
    stored = dict(np.load(STORED)) if STORED.exists() else {}
    if sys.argv[1:] != ["--check"]:
        np.savez_compressed(STORED, **(stored | now))
        return 0
    differ = [name for name, array in now.items() if not is_same(array, stored.get(name))]
    print("\n".join(f"{name} differs" for name in differ) or f"{len(now)} arrays agree")
    return 1 if differ else 0


def is_same(array: NDArray[np.generic], other: NDArray[np.generic] | None) -> bool:
    if other is None or array.shape != other.shape or array.dtype != other.dtype:
        return False
    return np.array_equal(array, other) if array.dtype.kind != "f" else np.allclose(array, other, rtol=0, atol=1e-6)


if __name__ == "__main__":
    sys.exit(main())
