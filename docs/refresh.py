"""Bring up to date what README.md, the figures and the manual page repeat from the tree: `python docs/refresh.py`.

The output that the README shows, the figures, and docs/pyled.1; tests/test_docs.py and tests/test_manual.py fail where
one of them is out of date.
"""

import json
import re
from pathlib import Path

import draw_attention
import draw_backward
import draw_checkpoint
import draw_generation
import draw_stacks
import draw_tokenizer
import manual
from drawing import write

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
FIGURES = (
    draw_attention.FIGURES
    | draw_tokenizer.FIGURES
    | draw_checkpoint.FIGURES
    | draw_stacks.FIGURES
    | draw_generation.FIGURES
    | draw_backward.FIGURES
)


def shown_output(readme: str) -> str:
    """What the first command prints: the reference's answer to its document."""
    document = re.search(r"summarize golden/trained/documents/(\S+)", readme)[1]
    answers = json.loads((ROOT / "golden/trained/answers.json").read_text(encoding="utf-8"))["answers"]
    return next(answer["beam"]["text"] for answer in answers if answer["document"] == document)


def main() -> None:
    readme = README.read_text(encoding="utf-8")
    output = shown_output(readme)
    readme = re.sub(r"```text\n.*?```", lambda _: f"```text\n{output}\n```", readme, count=1, flags=re.DOTALL)
    README.write_text(readme, encoding="utf-8")
    write(FIGURES)
    (ROOT / "docs" / "pyled.1").write_text(manual.manual(), encoding="utf-8")


if __name__ == "__main__":
    main()
