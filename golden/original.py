"""What BART says of weights in the layout of allenai's original code: make or check `golden/weight_files/original.json`.

    python golden/original.py [--check]

Runs with transformers 5.23.0. The original code is a BART whose encoder attends within a window; nobody can install it
any more. Where the window reaches from each token to all others, and no token is global, it computes what BART does. Here
one side of the window is just that long, so that half of it would give other numbers, and so would other rows of positions.

`config`: the original's `config.json`; `input_ids`, `decoder_input_ids`, and `logits` in float64. The weights are those
of the hash (`weights.py`, seed 0) for that configuration with two positions more on both sides; `led.` is `model.` in
their names, and nothing is called `lm_head`. BART has the tensors of the encoder's `longformer_self_attn` and of its
`output` as q_proj, k_proj, v_proj and out_proj; those of global tokens are not its.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
import transformers
from transformers.models.bart.modeling_bart import BartLearnedPositionalEmbedding
from weights import integers, make_weights

PATH = Path(__file__).parent / "weight_files" / "original.json"
SEED = 0
S, T = 11, 5  # tokens of the source and of the target
SIZES: dict[str, Any] = {
    "vocab_size": 13,
    "d_model": 6,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 5,
    "decoder_layers": 1,
    "decoder_attention_heads": 3,
    "decoder_ffn_dim": 4,
}
POSITIONS = {"max_encoder_position_embeddings": 12, "max_decoder_position_embeddings": 8}
CONFIG = SIZES | POSITIONS | {
    "architectures": ["LongformerEncoderDecoderForConditionalGeneration"],
    "model_type": "bart",
    "activation_function": "gelu",
    "attention_dilation": [1, 1],
    "attention_mode": "sliding_chunks",
    "attention_window": [S - 1, S - 1],
    "autoregressive": False,
    "extra_pos_embeddings": 2,
    "normalize_before": False,
    "normalize_embedding": True,
    "num_hidden_layers": 2,
    "scale_embedding": False,
    "static_position_embeddings": False,
}  # fmt: skip
PARTS = {"longformer_self_attn.query.": "q_proj.", "longformer_self_attn.key.": "k_proj.",
         "longformer_self_attn.value.": "v_proj.", "self_attn.output.": "self_attn.out_proj."}  # fmt: skip


def bart() -> Any:
    """Return BART with the weights, in float64."""
    config = transformers.BartConfig(**SIZES, max_position_embeddings=12, attn_implementation="eager")
    model = transformers.BartForConditionalGeneration(config)
    for side in ("encoder", "decoder"):
        table = BartLearnedPositionalEmbedding(POSITIONS[f"max_{side}_position_embeddings"], SIZES["d_model"])
        setattr(getattr(model.model, side), "embed_positions", table)
    sizes = CONFIG | {name: count + 2 for name, count in POSITIONS.items()}
    tensors = {}
    for name, array in make_weights(sizes, SEED).items():
        if "_global." not in name:
            name = name.replace("led.", "model.")
            for part, of_bart in PARTS.items():
                name = name.replace(part, of_bart)
            tensors[name] = torch.from_numpy(array)
    model.double().load_state_dict(tensors, strict=True)
    return model.eval()


def answer() -> str:
    """Return the text of the file."""
    inputs = {"input_ids": integers("original.source", SEED, (2, S), 3, 13),
              "decoder_input_ids": integers("original.target", SEED, (2, T), 3, 13)}  # fmt: skip
    with torch.no_grad():
        logits = bart()(**{name: torch.from_numpy(ids) for name, ids in inputs.items()}).logits.numpy()
    assert logits.dtype == np.float64
    stored = {"config": CONFIG, **{name: ids.tolist() for name, ids in inputs.items()}, "logits": logits.tolist()}
    return json.dumps(stored) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with what is stored, write nothing")
    check = parser.parse_args().check
    assert transformers.__version__ == "5.23.0"
    if not check:
        PATH.write_text(answer(), encoding="utf-8")
        return 0
    stored, now = json.loads(PATH.read_text(encoding="utf-8")), json.loads(answer())
    distance = np.abs(np.subtract(stored.pop("logits"), now.pop("logits"))).max()
    same = stored == now and distance < 1e-12
    print(f"{PATH.name}: {'whole' if same else 'not what was made now'}, logits within {distance:.1e}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
