"""Write the averaged weights of a training as a checkpoint directory: python golden/synopsis/export.py DIRECTORY OUT

OUT gets model.safetensors in float16, config.json, generation_config.json and the tokenizer's files. Refused where the
directory would not fit into the package, where transformers 5.23.0 misses a weight or finds one too many, or computes
other logits from the files than the module that was trained.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from model import CONFIG, LED, LONGEST_SUMMARY, difference
from safetensors.torch import load_file, save_file

SIZE_LIMIT = 12_000_000  # bytes of the directory: it is part of the package
LOGIT_LIMIT = 1e-4

IDS = {name: CONFIG[name] for name in ("bos_token_id", "pad_token_id", "eos_token_id", "decoder_start_token_id")}
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
FILES = {
    "config.json": CONFIG | {"dtype": "float16"},
    "generation_config.json": GENERATION,
    "tokenizer_config.json": TOKENIZER,
    "special_tokens_map.json": SPECIAL,
}


def averaged(directory: Path) -> dict[str, torch.Tensor]:
    """The averaged weights of the training's last checkpoint in float16."""
    state = torch.load(directory / "checkpoint.pt", weights_only=True)
    return {name: tensor.to(torch.float16).contiguous() for name, tensor in state["average"].items()}


def verify(out: Path) -> None:
    """The directory as upstream reads it: every weight in its place, and the logits of the module that was trained."""
    import transformers

    reference = transformers.LEDForConditionalGeneration
    other, info = reference.from_pretrained(out, dtype=torch.float32, output_loading_info=True)
    if any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")):
        raise SystemExit(f"upstream does not load {out} as it is: {info}")
    model = LED(CONFIG)
    model.load_state_dict({name: tensor.float() for name, tensor in load_file(out / "model.safetensors").items()})
    worst = difference(model, other.eval())
    size = sum(path.stat().st_size for path in out.iterdir())
    print(f"{out}: {size:,} bytes; largest difference of a logit from upstream's: {worst:.1e}")
    if size >= SIZE_LIMIT:
        raise SystemExit(f"{size:,} bytes, but {SIZE_LIMIT:,} is the limit: make the model or the vocabulary smaller")
    if not worst < LOGIT_LIMIT:
        raise SystemExit(f"upstream computes something else: the limit is {LOGIT_LIMIT}")


def export(directory: Path, out: Path) -> None:
    weights = averaged(directory)
    unfinished = out.with_name(out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    save_file(weights, unfinished / "model.safetensors", metadata={"format": "pt"})
    (unfinished / "model.safetensors").chmod(0o644)  # it was made for its owner alone
    for name, content in FILES.items():
        (unfinished / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(directory / name, unfinished / name)
    verify(unfinished)
    shutil.rmtree(out, ignore_errors=True)
    unfinished.rename(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    export(arguments.directory, arguments.out)


if __name__ == "__main__":
    main()
