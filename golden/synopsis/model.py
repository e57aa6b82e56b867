"""The model before its training: its settings, and its first weights, DIRECTORY/start (`write_start`).

Training alone did not find some paths through the layers in two epochs. So the first weights hold heads that look at
neighbours; a path by which the decoder copies words; and one by which the encoder searches for the word that the first
line names, in what lies behind, however far. Shapes: E model, D head.
"""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyled import LEDConfig, LEDForConditionalGeneration

Floats = NDArray[np.float32]

PLACES = 32  # dimensions that are the positions' own, as many as a head has
SINUSOID = 0.1  # amplitude of a position; an embedding has length 1
FASTEST = 0.6 * math.pi  # turn of the fastest sinusoid from a token to the next; the slowest turns half round in all
ENCODER_SHIFTS = ((-1, 1, -2, 2), (-1, 1, -2, 2), (-1, 1, -3, 3))  # where a layer's first heads look, from each token
DECODER_SHIFTS = ((-1, -2), (-1, -2), ())
SHARP = (2.0, 2.6, 2.6)  # scale of a layer's queries and keys that are to find one place: positions become fainter
QUIET = 0.1  # scale of what attention and feed-forward add to a state
LOUD = 4.0  # scale of what the head that copies adds
COPYING, SEARCHING = 0, 5  # heads
ASKED = 3  # place of the word that a search is for (data.py)

IDS = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
LONGEST_SUMMARY = 48  # tokens
CONFIG: dict[str, Any] = {
    "architectures": ["LEDForConditionalGeneration"],
    "model_type": "led",
    "vocab_size": 8000,
    "d_model": 192,
    "encoder_layers": 3,
    "encoder_attention_heads": 6,
    "encoder_ffn_dim": 768,
    "decoder_layers": 3,
    "decoder_attention_heads": 6,
    "decoder_ffn_dim": 768,
    "attention_window": [256] * 3,
    "max_encoder_position_embeddings": 4096,
    "max_decoder_position_embeddings": 128,
    "activation_function": "gelu",
    "dropout": 0.1,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    **IDS,
    "tie_word_embeddings": True,
}
GENERATION: dict[str, Any] = {  # by ROUGE-L on the validation texts, of 1, 4, 6 and 8 beams, 2 and 3, and 0.5, 1 and 2
    **IDS,
    "num_beams": 6,
    "max_length": LONGEST_SUMMARY,
    "no_repeat_ngram_size": 2,
    "length_penalty": 1.0,
    "early_stopping": True,
}
MASK = {"content": "<mask>", "lstrip": True, "normalized": False, "rstrip": False, "single_word": False}
SPECIAL: dict[str, Any] = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "mask_token": MASK,
    "pad_token": "<pad>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
}
TOKENIZER: dict[str, Any] = {
    "tokenizer_class": "LEDTokenizer",
    "model_max_length": CONFIG["max_encoder_position_embeddings"],
    "add_prefix_space": False,
    "clean_up_tokenization_spaces": False,
    "errors": "replace",
    "trim_offsets": True,
}


def write_settings(directory: Path, vocabulary: Path, config: dict[str, Any]) -> None:
    """Write all of a checkpoint but its weights, with the vocabulary of another folder."""
    contents = {"config": config, "generation_config": GENERATION, "tokenizer_config": TOKENIZER}
    for name, content in (contents | {"special_tokens_map": SPECIAL}).items():
        (directory / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(vocabulary / name, directory / name)


def write_start(directory: Path, checkpoint: Path | None = None, seed: int = 1) -> None:
    """Write the checkpoint that the training starts from, with the weights of another one where that is named.

    It drops nothing: so small a model learns too little, not too much.
    """
    unfinished = directory / "start.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    if checkpoint is None:
        model = LEDForConditionalGeneration(LEDConfig(**CONFIG))
        model.load_state_dict(first_weights(model.state_dict(), np.random.default_rng(seed)))
    else:
        model = LEDForConditionalGeneration.from_pretrained(checkpoint)
    model.save_pretrained(unfinished)
    write_settings(unfinished, directory, CONFIG | {"dropout": 0.0})
    unfinished.rename(directory / "start")


def first_weights(shapes: dict[str, Any], rng: np.random.Generator) -> dict[str, Floats]:
    """Return the weights before training, under upstream's names.

    Matrices by Glorot's rule, those that add to a state QUIET; embeddings for logits of variance 1; positions are
    sinusoids.
    """
    weights: dict[str, Floats] = {}
    for name, array in shapes.items():
        if name.endswith("bias"):
            weights[name] = np.zeros(array.shape, np.float32)
        elif "norm" in name:
            weights[name] = np.ones(array.shape, np.float32)
        elif "shared" in name or "embed" in name or "lm_head" in name:
            weights[name] = rng.normal(0, array.shape[1] ** -0.5, array.shape).astype(np.float32)
        else:
            gain = QUIET if name.endswith(("output.weight", "out_proj.weight", "fc2.weight")) else 1.0
            bound = gain * math.sqrt(6 / sum(array.shape))
            weights[name] = rng.uniform(-bound, bound, array.shape).astype(np.float32)
    turns = _place(weights)
    for layer, shifts in enumerate(ENCODER_SHIFTS):
        for head, shift in enumerate(shifts):
            attention = f"led.encoder.layers.{layer}.self_attn.longformer_self_attn"
            _look(weights[f"{attention}.query.weight"], weights[f"{attention}.key.weight"], head, shift, turns, layer)
    for layer, shifts in enumerate(DECODER_SHIFTS):
        for head, shift in enumerate(shifts):
            attention = f"led.decoder.layers.{layer}.self_attn"
            _look(
                weights[f"{attention}.q_proj.weight"], weights[f"{attention}.k_proj.weight"], head, shift, turns, layer
            )
    _copy_and_search(weights, turns, rng)
    for name in ("led.encoder.embed_tokens.weight", "led.decoder.embed_tokens.weight", "lm_head.weight"):
        if name in weights:
            weights[name] = weights["led.shared.weight"]
    return weights


def _place(weights: dict[str, Floats]) -> Floats:
    """Make positions sinusoids, in dimensions that tokens hardly use, and return their turns a token: (PLACES / 2,)."""
    slowest = math.pi / CONFIG["max_encoder_position_embeddings"]
    turns = FASTEST * (slowest / FASTEST) ** np.linspace(0, 1, PLACES // 2)
    for side in ("encoder", "decoder"):
        positions = weights[f"led.{side}.embed_positions.weight"]
        angles = np.arange(len(positions))[:, None] * turns
        positions[:] = 0
        positions[:, :PLACES] = SINUSOID * np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    weights["led.shared.weight"][:, :PLACES] *= 0.1
    return turns.astype(np.float32)


def _rows(head: int) -> slice:
    """Return the rows of a head in a matrix (E, E)."""
    return slice(head * PLACES, (head + 1) * PLACES)


def _look(query: Floats, key: Floats, head: int, shift: int, turns: Floats, layer: int) -> None:
    """Make a head of a layer look from each token to the one `shift` behind it: its query is that place."""
    cos, sin = np.diag(np.cos(turns * shift)), np.diag(np.sin(turns * shift))
    query[_rows(head)] = key[_rows(head)] = 0
    query[_rows(head), :PLACES] = SHARP[layer] * np.block([[cos, sin], [-sin, cos]])
    key[_rows(head), :PLACES] = SHARP[layer] * np.eye(PLACES)


def _copy_and_search(weights: dict[str, Floats], turns: Floats, rng: np.random.Generator) -> None:
    """Make the paths by which the decoder copies and the encoder searches.

    What follows in the source on the token just written is copied: a head of the encoder says of each token which one
    is before it, a head of the decoder looks for it and adds the token that it finds there.

    A search: a global head of `<s>` in the first layer reads the word that is asked for. In the second layer a head of
    every token looks at `<s>` if that holds the same word: so it learns, a whole text away, that it was meant.
    """
    E = CONFIG["d_model"]
    subspaces = np.linalg.qr(rng.standard_normal((E - PLACES, 4 * PLACES)))[0].T  # without the positions' dimensions
    here, before, copied, told = np.pad(subspaces, ((0, 0), (PLACES, 0))).astype(np.float32).reshape(4, PLACES, E)
    first, second = (f"led.encoder.layers.{layer}.self_attn" for layer in (0, 1))
    weights[f"{first}.longformer_self_attn.value.weight"][_rows(COPYING)] = 1.5 * here
    weights[f"{first}.output.weight"][:, _rows(COPYING)] = 1.5 * before.T
    across = "led.decoder.layers.0.encoder_attn"
    weights[f"{across}.q_proj.weight"][_rows(COPYING)] = SHARP[0] * here
    weights[f"{across}.k_proj.weight"][_rows(COPYING)] = SHARP[0] * before
    weights[f"{across}.v_proj.weight"][_rows(COPYING)] = LOUD * copied
    weights[f"{across}.out_proj.weight"][:, _rows(COPYING)] = LOUD * copied.T

    attention = f"{first}.longformer_self_attn"
    query, key = (weights[f"{attention}.{name}_global.weight"] for name in ("query", "key"))
    _look(query, key, SEARCHING, ASKED, turns, layer=0)
    weights[f"{attention}.value_global.weight"][_rows(SEARCHING)] = 1.5 * here
    weights[f"{attention}.value.weight"][_rows(SEARCHING)] *= QUIET
    weights[f"{first}.output.weight"][:, _rows(SEARCHING)] = 1.5 * told.T
    weights[f"{second}.longformer_self_attn.query.weight"][_rows(SEARCHING)] = SHARP[0] * here
    weights[f"{second}.longformer_self_attn.key.weight"][_rows(SEARCHING)] = SHARP[0] * told
