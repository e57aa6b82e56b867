"""Write the pairs of docs/fine-tuning.md: python docs/pairs.py DIRECTORY

A document is the code of a function of Python's standard library, without its docstring and comments; its summary is
the first line of the docstring. DIRECTORY gets train.jsonl, valid.jsonl and test.jsonl, each of other modules.
"""

import ast
import hashlib
import json
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

COUNTS = {"train": 1600, "valid": 60, "test": 100}  # pairs of each file
PARTS = {"test": 0.1, "valid": 0.2, "train": 1.0}  # of the modules: upper ends
WORDS, CODE = range(3, 16), range(12, 120)  # words of a summary, and of a document
LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "turtledemo"}


def share(text: str) -> float:
    """A number from 0 to 1 that depends on the text alone."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) / 16**12


def pairs(path: Path) -> Iterator[dict[str, str]]:
    """The functions of a module that have a docstring, each once."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8", errors="replace"))):
        if isinstance(node, ast.FunctionDef) and (docstring := ast.get_docstring(node)):
            node.body = node.body[1:] or [ast.Expr(ast.Constant(...))]
            summary, code = docstring.splitlines()[0].strip(), ast.unparse(node)
            if len(summary.split()) in WORDS and len(code.split()) in CODE:
                yield {"document": code, "summary": summary}


def main() -> None:
    library, folder = Path(sysconfig.get_paths()["stdlib"]), Path(sys.argv[1])
    modules = [path for path in sorted(library.rglob("*.py")) if not LEFT_OUT & {*path.relative_to(library).parts}]
    files: dict[str, dict[str, dict[str, str]]] = {name: {} for name in COUNTS}
    for path in modules:
        number = share(str(path.relative_to(library)))
        name = next(name for name, end in PARTS.items() if number < end)
        files[name] |= {pair["document"]: pair for pair in pairs(path)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in files.items():
        chosen = sorted(rows.values(), key=lambda pair: share(pair["document"]))[: COUNTS[name]]
        text = "".join(json.dumps(pair) + "\n" for pair in chosen)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
        print(f"{name}.jsonl: {len(chosen):,} of {len(rows):,} pairs")


if __name__ == "__main__":
    main()
