"""One long document through one engine, as a whole process: tokens, scores, seconds and peak memory as JSON.

    python golden/base.py DIR                             a checkpoint of LED-base's size and a long document
    python golden/long_document.py reference DIR > r.json     transformers 5.23.0 on torch, two threads
    python golden/long_document.py pyled DIR > p.json
    python golden/long_document.py compare r.json p.json

Run them in turn on a quiet machine to compare times. Tokens are equal, or where they first
part, the gap between the two candidates is below twice the logit error.
"""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

SETTINGS = {"num_beams": 4, "max_length": 128, "no_repeat_ngram_size": 3}


def pyled_model(directory):
    from pyled.models import LEDForConditionalGeneration

    return LEDForConditionalGeneration.from_pretrained(directory), np.asarray, lambda array: array


def reference_model(directory):
    import torch
    from transformers import LEDForConditionalGeneration

    torch.set_num_threads(2)
    torch.set_grad_enabled(False)
    model = LEDForConditionalGeneration.from_pretrained(directory, dtype=torch.float32).eval()
    return model, torch.tensor, lambda tensor: tensor.numpy()


def token_ids(directory):
    """Return the document's ids, by pyled's tokenizer, which is compared with 4.57.6's elsewhere."""
    from pyled.tokenizer import LEDTokenizer

    text = (directory / "document.txt").read_text(encoding="utf-8")
    return np.array([LEDTokenizer.from_pretrained(directory)(text)["input_ids"]])


def run(engine, directory):
    start = time.perf_counter()
    model, as_input, as_array = (pyled_model if engine == "pyled" else reference_model)(directory)
    ids = token_ids(directory)
    mask, marks = np.ones_like(ids), np.zeros_like(ids)
    marks[0, 0] = 1
    loaded = time.perf_counter()
    output = model.generate(
        as_input(ids),
        attention_mask=as_input(mask),
        global_attention_mask=as_input(marks),
        return_dict_in_generate=True,
        output_scores=True,
        **SETTINGS,
    )
    done = time.perf_counter()
    return {
        "engine": engine,
        "source_tokens": ids.shape[1],
        "seconds": {"load": round(loaded - start, 2), "generate": round(done - loaded, 2)},
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "score": float(as_array(output.sequences_scores)[0]),
        "sequence": as_array(output.sequences)[0].tolist(),
    }


def compare(first, second):
    a, b = (json.loads(Path(path).read_text()) for path in (first, second))
    parts = next((i for i, (x, y) in enumerate(zip(a["sequence"], b["sequence"], strict=False)) if x != y), None)
    same = a["sequence"] == b["sequence"]
    print("tokens:", "equal" if same else f"part at {parts}: {a['sequence'][parts]} and {b['sequence'][parts]}")
    print("scores:", a["score"], b["score"])
    for key in ("load", "generate"):
        print(f"{key}: {a['seconds'][key]} s, {b['seconds'][key]} s, ratio {a['seconds'][key] / b['seconds'][key]:.2f}")
    print(f"peak memory: {a['peak_megabytes']} MB, {b['peak_megabytes']} MB")


if __name__ == "__main__":
    if sys.argv[1] == "compare":
        compare(*sys.argv[2:4])
    else:
        json.dump(run(sys.argv[1], Path(sys.argv[2])), sys.stdout)
