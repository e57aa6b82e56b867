"""What the reference says of checkpoints as people have them: make or check `golden/wild.json`.

    python golden/wild.py [--check]

Runs with transformers 5.23.0.

`settings`: tokens that `generate` gives for the ids of tiny/documents/lamp.txt, its first token global, where
`config.json` of `tiny/` has these keys too, and `generation_config.json` has only those that are named (`null`: is not
there). The tokens are those of float32 and of the true float64 alike.

`distilled`: a model of 12 + 6 layers: its configuration, ids, and logits in float64. The weights are those of the hash,
seed 0.

`original`: weights in the layout of allenai's original code. That code is a BART whose encoder attends within a window;
nobody can install it any more. Where the window reaches from each token to all others, and no token is global, it
computes what BART does. Here one side of the window is just that long, so that half of it would give other numbers, and
so would other rows of positions. `config` is its `config.json`, the logits are BART's in float64. The weights are those
of the hash (seed 0) for two positions more on both sides; `led.` is `model.` in their names, and nothing is called
`lm_head`. BART has the tensors of the encoder's `longformer_self_attn` and of its `output` as q_proj, k_proj, v_proj
and out_proj; it has none of those for global tokens.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
import transformers
from ask import float64_softmax, load
from transformers.models.bart.modeling_bart import BartLearnedPositionalEmbedding
from weights import integers, make_weights

PATH = Path(__file__).parent / "wild.json"
TINY = Path(__file__).parent / "tiny"
SEED = 0

# 1. Settings

RECIPE = {"num_beams": 4, "max_length": 30, "no_repeat_ngram_size": 3}
TRAINER = {  # as config.json of a fine-tuned model has them
    "_name_or_path": "allenai/led-base-16384", "attention_mode": "sliding_chunks", "attention_dilation": [1, 1],
    "autoregressive": False, "gradient_checkpointing": False, "classif_dropout": 0.0, "transformers_version": "4.21.1",
    "torch_dtype": "float32", "prefix": " ", "max_position_embeddings": 1024, "output_past": False,
    "length_penalty": 0.8, "min_length": 8, "early_stopping": True, "use_cache": False, **RECIPE,
    "task_specific_params": {"summarization": {"num_beams": 9, "max_length": 5}},
}  # fmt: skip
TRAINER |= {f"training_argument_{i}": value for i, value in enumerate([None, 0, 1e-5, "no", [], True] * 25)}
FORCED = {"force_bos_token_to_be_generated": True}
OWN = {
    "num_beams": 2,
    "max_length": 12,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "trainer": (TRAINER, None),
    "use-cache-false": ({"use_cache": False, "max_length": 12}, None),
    "length-penalty-0": ({}, {**OWN, **RECIPE, "length_penalty": 0}),
    "length-penalty-0-in-config": ({**RECIPE, "length_penalty": 0}, None),
    "forced-bos-alone": ({**FORCED, "max_length": 12}, None),
    "forced-bos-beside-a-file": (FORCED, OWN),
}


def tokens(config: dict[str, Any], generation: dict[str, Any] | None, input_ids: list[int]) -> list[int]:
    """Return what the checkpoint with these keys generates."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(TINY / "model.safetensors", folder)
        stated = json.loads((TINY / "config.json").read_text(encoding="utf-8"))
        (folder / "config.json").write_text(json.dumps(stated | config), encoding="utf-8")
        if generation is not None:
            (folder / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")
        ids = torch.tensor([input_ids])
        masks = {"attention_mask": torch.ones_like(ids), "global_attention_mask": torch.zeros_like(ids)}
        masks["global_attention_mask"][:, 0] = 1
        answers = []
        for dtype in (torch.float32, torch.float64):
            model = transformers.LEDForConditionalGeneration.from_pretrained(folder, dtype=dtype).eval()
            with float64_softmax(), torch.no_grad():
                answers.append(model.generate(ids, **masks)[0].tolist())
    assert answers[0] == answers[1]
    return list(answers[1])


def settings() -> dict[str, Any]:
    """Return each case with its tokens."""
    lamp = json.loads((TINY / "answers.json").read_text(encoding="utf-8"))["answers"]
    ids = next(answer["input_ids"] for answer in lamp if answer["document"] == "lamp.txt")
    return {
        name: {"config": config, "generation": generation, "tokens": tokens(config, generation, ids)}
        for name, (config, generation) in SETTINGS.items()
    }


# 2. Layouts

SIZES: dict[str, Any] = {
    "vocab_size": 13, "d_model": 6, "encoder_attention_heads": 2, "encoder_ffn_dim": 5, "decoder_attention_heads": 3,
    "decoder_ffn_dim": 4,
}  # fmt: skip
POSITIONS = {"max_encoder_position_embeddings": 12, "max_decoder_position_embeddings": 8}
S, T = 11, 5  # tokens of the source and of the target
DISTILLED = SIZES | POSITIONS | {"encoder_layers": 12, "decoder_layers": 6, "attention_window": [4] * 12}
LAYERS = {"encoder_layers": 2, "decoder_layers": 1}
ORIGINAL = SIZES | LAYERS | POSITIONS | {
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
    config = transformers.BartConfig(**SIZES, **LAYERS, max_position_embeddings=12, attn_implementation="eager")
    model = transformers.BartForConditionalGeneration(config)
    for side in ("encoder", "decoder"):
        table = BartLearnedPositionalEmbedding(POSITIONS[f"max_{side}_position_embeddings"], SIZES["d_model"])
        getattr(model.model, side).embed_positions = table
    tensors = {}
    for name, array in make_weights(
        SIZES | LAYERS | {name: count + 2 for name, count in POSITIONS.items()}, SEED
    ).items():
        if "_global." not in name:
            name = name.replace("led.", "model.")
            for part, of_bart in PARTS.items():
                name = name.replace(part, of_bart)
            tensors[name] = torch.from_numpy(array)
    model.double().load_state_dict(tensors, strict=True)
    return model.eval()


def logits(name: str, config: dict[str, Any], model: Any) -> dict[str, Any]:
    """Return a case of a model in float64."""
    ids = {"input_ids": integers(f"{name}.source", SEED, (2, S), 3, 13),
           "decoder_input_ids": integers(f"{name}.target", SEED, (2, T), 3, 13)}  # fmt: skip
    with torch.no_grad(), float64_softmax():
        out = model(**{name: torch.from_numpy(array) for name, array in ids.items()}).logits.numpy()
    assert out.dtype == np.float64
    return {"config": config, **{name: array.tolist() for name, array in ids.items()}, "logits": out.tolist()}


# 3. The file


def content() -> dict[str, Any]:
    """Return what the file holds."""
    distilled = load(DISTILLED, make_weights(DISTILLED, SEED), torch.float64)
    return {
        "settings": settings(),
        "distilled": logits("distilled", DISTILLED, distilled),
        "original": logits("original", ORIGINAL, bart()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with what is stored, write nothing")
    check = parser.parse_args().check
    assert transformers.__version__ == "5.23.0"
    transformers.logging.set_verbosity_error()
    now = content()
    if not check:
        PATH.write_text(
            "{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in now.items()) + "\n}\n", encoding="utf-8"
        )
        return 0
    stored = json.loads(PATH.read_text(encoding="utf-8"))
    pairs = [(stored[case].pop("logits"), now[case].pop("logits")) for case in ("distilled", "original")]
    distance = max(float(np.abs(np.subtract(*pair)).max()) for pair in pairs)
    same = stored == now and distance < 1e-12
    print(f"{PATH.name}: {'whole' if same else 'not what was made now'}, logits within {distance:.1e}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
