"""Bring up to date what README.md, the figures and some pages repeat from the tree: `python docs/refresh.py`.

The output that the README shows, the figures, docs/pyled.1, and the tables of traps in docs/porting.md;
tests/test_docs.py, tests/test_manual.py and tests/test_porting_page.py fail where one of them is out of date.
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

from pyled.porting.mistakes import MISTAKES, Mistake

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PORTING = ROOT / "docs" / "porting.md"
TRAPS = "| trap | what is wrong | shows |\n|---|---|---|\n"
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


def with_traps(page: str) -> str:
    """Return docs/porting.md with the known mistakes in its tables of traps: in each section those that point to it."""
    sections = []
    for section in re.split(r"^(?=## )", page, flags=re.MULTILINE):
        anchor = section.partition("\n")[0].removeprefix("## ").lower().replace(" ", "-")
        rows = "".join(_row(mistake) for mistake in MISTAKES if mistake.where == f"docs/porting.md#{anchor}")
        head, table, rest = section.partition(TRAPS)
        sections.append(head + table + (rows + re.sub(r"\A(\|.*\n)*", "", rest) if table else rest))
    return "".join(sections)


def _row(mistake: Mistake) -> str:
    """Return a row of a table of traps; the last sentence of what a mistake says tells where it shows."""
    says, _, place = re.sub(r"</?s>", r"`\g<0>`", mistake.says).rpartition(" Shows ")
    return f"| `{mistake.name}` | {says} | {place.removesuffix('.')} |\n"


def main() -> None:
    readme = README.read_text(encoding="utf-8")
    output = shown_output(readme)
    readme = re.sub(r"```text\n.*?```", lambda _: f"```text\n{output}\n```", readme, count=1, flags=re.DOTALL)
    README.write_text(readme, encoding="utf-8")
    PORTING.write_text(with_traps(PORTING.read_text(encoding="utf-8")), encoding="utf-8")
    write(FIGURES)
    (ROOT / "docs" / "pyled.1").write_text(manual.manual(), encoding="utf-8")


if __name__ == "__main__":
    main()
