"""Write a checkpoint as large as LED-base, with seeded weights and a vocabulary: for `golden/bench -m DIR --text FILE`.

    python golden/base.py DIR TEXT [TEXT ...]

TEXT are files or folders of documentation that the vocabulary is trained on: plain text, Markdown, HTML (its tags are
dropped), and .gz of each. Runs where safetensors and regex are; takes some minutes and 0.7 GB of disk. Nothing of it is
committed.
"""

import argparse
import gzip
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from train_bpe import files, train
from weights import shapes

SEED = 1
CORPUS_BYTES = 12_000_000
ENDINGS = (".txt", ".md", ".rst", ".pod", ".html")

CONFIG = {
    "architectures": ["LEDForConditionalGeneration"],
    "model_type": "led",
    "vocab_size": 50265,
    "d_model": 768,
    "encoder_layers": 6,
    "encoder_attention_heads": 12,
    "encoder_ffn_dim": 3072,
    "decoder_layers": 6,
    "decoder_attention_heads": 12,
    "decoder_ffn_dim": 3072,
    "attention_window": [1024] * 6,
    "max_encoder_position_embeddings": 16384,
    "max_decoder_position_embeddings": 1024,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
GENERATION = {
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "num_beams": 4,
    "max_length": 128,
    "no_repeat_ngram_size": 3,
    "length_penalty": 2.0,
    "early_stopping": True,
}


class Prose(HTMLParser):
    """The text of an HTML page, a blank line after each block."""

    BLOCKS = ("p", "div", "pre", "li", "h1", "h2", "h3", "h4", "dt", "dd", "tr")
    SILENT = ("script", "style", "head")

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.silent += tag in self.SILENT

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in self.SILENT
        if tag in self.BLOCKS:
            self.parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.parts.append(data)


def read_text(path: Path) -> str:
    """Return the text of one file, its paragraphs apart by one blank line."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = data.decode("utf-8", "replace")
    if ".html" in path.suffixes:
        prose = Prose()
        prose.feed(text)
        text = "".join(prose.parts)
    paragraphs = (" ".join(block.split()) for block in text.split("\n\n"))
    return "\n\n".join(p for p in paragraphs if p)


def corpus(places: list[Path]) -> Iterator[str]:
    """Return the texts under the places in the order of their names, up to CORPUS_BYTES in all."""
    left = CORPUS_BYTES
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if not path.is_file() or not path.name.removesuffix(".gz").endswith(ENDINGS) or left <= 0:
                continue
            text = read_text(path)
            left -= len(text)
            yield text


def weights() -> dict[str, np.ndarray]:
    """Return matrices and embeddings normal(0, 0.05), scales of norms 1 + 0.1 n, biases 0.1 n; tied tensors once."""
    tensors = {}
    for index, (name, shape) in enumerate(shapes(CONFIG).items()):
        if name.endswith("embed_tokens.weight") or name == "lm_head.weight":
            continue  # tied to led.shared.weight
        n = np.random.Generator(np.random.PCG64([SEED, index])).standard_normal(shape, dtype=np.float32)
        if name.endswith("bias"):
            tensors[name] = np.float32(0.1) * n
        elif "norm" in name:
            tensors[name] = 1 + np.float32(0.1) * n
        else:
            tensors[name] = np.float32(0.05) * n
    return tensors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("text", type=Path, nargs="+")
    arguments = parser.parse_args()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    for name, value in (("config.json", CONFIG), ("generation_config.json", GENERATION)):
        (out / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    save_file(weights(), out / "model.safetensors", metadata={"format": "pt"})
    vocab, merges = train(corpus(arguments.text), CONFIG["vocab_size"])
    for name, content in files(vocab, merges).items():
        (out / name).write_text(content, encoding="utf-8", newline="")
    print(f"{out}: {len(merges)} merges")


if __name__ == "__main__":
    main()
