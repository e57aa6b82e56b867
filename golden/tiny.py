"""Make the tiny checkpoint `golden/tiny/` and the reference's answers on it, or check them.

    python golden/tiny.py --tokenizer PYTHON [--check]

Runs in an environment with transformers 5.23.0, the truth for the model; PYTHON is the interpreter of one with
transformers 4.57.6, the truth for the tokenizer. A whole checkpoint directory, as users have it, for end-to-end tests
and for the README: `vocab.json` and `merges.txt` are made by `train_bpe.py`, the rest here. The weights are those of
the hash (`weights.py`, seed 0) in float32, with the matrices of queries and keys twice as large, so that
attention picks, and every bias an eighth: otherwise random weights give the same few words for every document.

`answers.json`: each text of `documents/` as ids, and what the reference generates from it with global attention on the
first token, greedily and by the checkpoint's own settings (four beams), as ids and as text without special tokens and
without clean-up. The tokens are those of the stock model in float32 and of the true float64 alike; the scores of the
sequences are float64's; `float32_error` is the largest error of the stock model on any of them, one and two threads.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import transformers
from documents import Tokenizer, answers_file, make_or_check, summaries
from weights import TIED, make_weights

HERE = Path(__file__).parent
TINY = HERE / "tiny"
SEED = 0

IDS = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
CONFIG: dict[str, Any] = {
    "architectures": ["LEDForConditionalGeneration"],
    "model_type": "led",
    "vocab_size": 600,
    "d_model": 24,
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 40,
    "decoder_layers": 2,
    "decoder_attention_heads": 3,
    "decoder_ffn_dim": 36,
    "attention_window": [8, 8],
    "max_encoder_position_embeddings": 1024,
    "max_decoder_position_embeddings": 128,
    **IDS,
}
GENERATION: dict[str, Any] = {**IDS, "num_beams": 4, "max_length": 40, "no_repeat_ngram_size": 3}


def tiny_weights() -> dict[str, Any]:
    """Return the tensors of the checkpoint in upstream's names: float32, and every value exact in it."""
    tensors = make_weights(CONFIG, SEED, np.float32)
    for name, array in tensors.items():
        if name.endswith("bias"):
            tensors[name] = array / np.float32(8)
        elif name.rsplit(".", 2)[-2] in ("query", "key", "query_global", "key_global", "q_proj", "k_proj"):
            tensors[name] = array * np.float32(2)
    return tensors


def answers(interpreter: str) -> tuple[list[dict[str, Any]], float]:
    """Return what the reference says of each document, and the largest float32 error of a score."""
    import ask
    import torch

    models = {}
    for dtype in (torch.float32, torch.float64):
        models[dtype] = ask.load(CONFIG, tiny_weights(), dtype)
        models[dtype].generation_config = transformers.GenerationConfig(**GENERATION)
    tokenizer = Tokenizer(interpreter, TINY, CONFIG["max_encoder_position_embeddings"])
    paths = sorted((TINY / "documents").glob("*.txt"))
    entries, errors = [], [0.0]
    all_ids = tokenizer.ids([path.read_text(encoding="utf-8") for path in paths])
    for path, ids in zip(paths, all_ids, strict=True):
        entry, error = summaries(path.name, ids, models, tokenizer)
        entries.append({"document": path.name, "input_ids": ids, **entry})
        errors.append(error)
    return entries, max(errors)


def content(interpreter: str) -> dict[str, bytes]:
    """Return the files of the directory that this script makes."""
    from safetensors.numpy import save

    stored = {name: array for name, array in tiny_weights().items() if name not in TIED[1:]}
    entries, error = answers(interpreter)
    return {
        "config.json": (json.dumps(CONFIG, indent=2) + "\n").encode(),
        "generation_config.json": (json.dumps(GENERATION, indent=2) + "\n").encode(),
        "model.safetensors": save(stored, metadata={"format": "pt"}),
        "answers.json": answers_file(entries, float32_error=float(f"{error:.3g}")),
    }


if __name__ == "__main__":
    sys.exit(make_or_check(__doc__, TINY, content))
