"""What the reference says of our own documents with trained weights, those of pyled/synopsis/: make it, or check it.

    python golden/trained.py --tokenizer PYTHON [--check]

Runs in an environment with transformers 5.23.0, the truth for the model; PYTHON is the interpreter of one with
transformers 4.57.6, the truth for the tokenizer. Random weights hide what training makes: attention that picks, words
that are nearly certain, beams that disagree late.

`trained/documents/`: the texts, and in `summaries.json` the synopsis of each as its author put it; all are ours. The
longest is pyled's own manual page as it once was, without its section NAME, and is cut to the encoder's positions.
`trained/answers.json`: each text as ids; the places of the stored states; what the reference generates from it, as in
tiny/answers.json; the ids of its synopsis, and the logarithms of the probabilities of these tokens and of `</s>` behind
them, each given those before it.
`trained/states.npz`: the encoder's states of each text at these places, (places, E) float64. `<s>` is global.
Numbers are float64's; each `..._error` is what the stock model in float32 is off, on one or two threads.
"""

import functools
import io
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import ask
import numpy as np
import torch
import transformers
from budget import err
from documents import Tokenizer, answers_file, make_or_check, marked, summaries, truth_and_stock
from numpy.typing import NDArray

HERE = Path(__file__).parent / "trained"
MODEL = Path(__file__).parent.parent / "pyled" / "synopsis"
ROWS = 8  # of a document's states that are stored
Arrays = dict[str, NDArray[Any]]


def places(length: int) -> list[int]:
    """Return which states are stored: the first, the last, and some between, evenly apart."""
    return sorted({round(i * (length - 1) / (ROWS - 1)) for i in range(ROWS)})


def forced(model: Any, ids: list[int], summary: list[int]) -> Arrays:
    """Return the states at `places`, and the log-probability of each token of the summary and of its end."""
    eos = model.config.eos_token_id
    target = torch.tensor([[*summary, eos]])
    prompt = torch.tensor([[model.config.decoder_start_token_id, *summary]])
    with torch.no_grad():
        answer = model(**marked(ids), decoder_input_ids=prompt)
    logs = torch.log_softmax(answer.logits, dim=-1).gather(2, target[:, :, None])[0, :, 0]
    return {
        "states": ask.numbers(answer.encoder_last_hidden_state[0, places(len(ids))]),
        "log_probs": ask.numbers(logs),
    }


def true_forced(models: Mapping[Any, Any], ids: list[int], summary: list[int]) -> tuple[Arrays, dict[str, float]]:
    """Return the same in float64, and the error of float32."""
    truth, stock = truth_and_stock(models, functools.partial(forced, ids=ids, summary=summary))
    return truth, {name: max(err(each[name], array) for each in stock) for name, array in truth.items()}


def content(interpreter: str) -> dict[str, bytes]:
    """Return the files that this script makes."""
    load = transformers.LEDForConditionalGeneration.from_pretrained
    models = {dtype: load(MODEL, dtype=dtype).eval() for dtype in (torch.float32, torch.float64)}
    tokenizer = Tokenizer(interpreter, MODEL, models[torch.float64].config.max_encoder_position_embeddings)
    synopses: dict[str, str] = json.loads((HERE / "documents" / "summaries.json").read_text(encoding="utf-8"))
    texts = [(HERE / "documents" / name).read_text(encoding="utf-8") for name in synopses]
    all_ids, all_synopses = tokenizer.ids(texts), tokenizer.ids(list(synopses.values()))
    entries, states = [], {}
    for name, ids, (_, *synopsis, _) in zip(synopses, all_ids, all_synopses, strict=True):
        generated, score_error = summaries(name, ids, models, tokenizer)
        truth, errors = true_forced(models, ids, synopsis)
        states[name] = truth["states"]
        entry = {
            "document": name,
            "input_ids": ids,
            "places": places(len(ids)),
            **generated,
            "synopsis": synopsis,
            "log_probs": truth["log_probs"].tolist(),
            "score_error": float(f"{score_error:.3g}"),
            **{f"{of}_error": float(f"{error:.3g}") for of, error in errors.items()},
        }
        entries.append(entry)
        print(f"{name}: {len(ids)} tokens; {generated['beam']['text']!r}; float32 is off {errors}", file=sys.stderr)
    stored = io.BytesIO()
    np.savez(stored, **states)
    return {"answers.json": answers_file(entries), "states.npz": stored.getvalue()}


if __name__ == "__main__":
    sys.exit(make_or_check(__doc__, HERE, content))
