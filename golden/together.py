"""Ask transformers 4.57.6 for the tokens of several documents that PRIMERA reads together; writes together.jsonl.

    python golden/together.py [--check]

PRIMERA's card has the rule. The tokenizer is that of `tiny/` with `<doc-sep>`, id 600, as PRIMERA's added_tokens.json
adds it. A case has the documents, the encoder's positions, and the ids.
"""

import json
import sys
from pathlib import Path

from transformers import LEDTokenizerFast

HERE = Path(__file__).parent
DOCUMENTS = HERE / "tiny" / "documents"


def together(tokenizer: LEDTokenizerFast, documents: list[str], positions: int) -> list[int]:
    """Return the ids: each document cut to its share, specials included, without them, and `<doc-sep>` behind it."""
    ids = [tokenizer.bos_token_id]
    for document in documents:
        ids += tokenizer.encode(document, truncation=True, max_length=positions // len(documents))[1:-1]
        ids.append(tokenizer.convert_tokens_to_ids("<doc-sep>"))
    return [*ids, tokenizer.eos_token_id]


def main() -> int:
    """Write the answers, or with --check compare them; the exit status."""
    tokenizer = LEDTokenizerFast.from_pretrained(HERE / "tiny")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<doc-sep>"]})
    texts = [path.read_text(encoding="utf-8") for path in sorted(DOCUMENTS.iterdir())]
    short = ["One lamp on the desk.", "  Two lamps\n\non the bench. ", "It's 日本 <mask> here."]
    cases = [(short, 64), (short, 20), (short, 9), (texts, 64), (texts[:1] + short[:1], 33), (short[::-1], 31)]
    answers = [{"documents": d, "positions": n, "ids": together(tokenizer, d, n)} for d, n in cases]
    text = "".join(json.dumps(answer) + "\n" for answer in answers)
    path = HERE / "together.jsonl"
    if "--check" in sys.argv:
        return int(path.read_text(encoding="utf-8") != text)
    path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
