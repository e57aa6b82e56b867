"""The direction of imports (docs/tour.md): a layer imports from lower layers only, and few packages from outside."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pyled

PACKAGE = Path(pyled.__file__).parent

# From the ground up: a place imports from places above it in this table only, and these packages from outside.
RINGS = [
    {"errors": set(), "version": set(), "arrays": {"numpy"}, "reference": {"numpy"}},
    {"files": set(), "output": set(), "annotations": set()},
    {"hub": {"huggingface_hub"}},
    {"generation_config": set()},
    {"config": set(), "kernels": {"numpy", "numba", "llvmlite"}},  # llvmlite comes with Numba
    {"network": {"numpy"}, "tokenizer": {"numpy", "regex"}, "checkpoint": {"numpy", "h5py"}, "generation": {"numpy"}},
    {"gradients": {"numpy"}},
    {"models": {"numpy"}},
    {"tasks": {"numpy", "regex", "distributed"}},
    {"evaluation": {"numpy", "rouge_score"}, "porting": {"numpy"}},
    {"training": {"numpy"}},
    {"cli": set()},
    {"__main__": set(), "__init__": set()},
]
RING = {place: number for number, ring in enumerate(RINGS) for place in ring}
OUTSIDE = {place: packages for ring in RINGS for place, packages in ring.items()}
FILES = sorted(PACKAGE.rglob("*.py"))


def place_of(path):
    """The part of pyled a file belongs to: a folder below the package, or a file."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """(outside packages, places of pyled) that a file imports."""
    outside, inside = set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            outside |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            outside.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            folder = path.parent
            for _ in range(node.level - 1):
                folder = folder.parent
            module = folder.joinpath(*(node.module or "").split("."))
            names = [module] if node.module else [folder / alias.name for alias in node.names]
            inside |= {place_of(name) for name in names if name != PACKAGE}
    return outside - set(sys.stdlib_module_names), inside


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_from_lower_layers_only(path):
    place = place_of(path)
    assert place in RING, f"{place} has no ring: add it to the table here and in docs/tour.md"
    outside, inside = imported(path)
    assert outside <= OUTSIDE[place]
    for other in inside - {place}:
        assert RING[other] < RING[place], f"{place} imports {other}"


def test_the_definition_imports_nothing_of_ours():
    assert imported(PACKAGE / "reference.py")[1] == set()
    assert len((PACKAGE / "reference.py").read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_functions_stay_small(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            length = lines_of_code(node)
            assert length <= 60, f"{path.name}: {node.name} has {length} lines of code"


def is_docstring(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def lines_of_code(tree):
    """Lines with a statement or an expression on them: no docstrings, comments, blanks."""
    docstrings = [range(node.lineno, node.end_lineno + 1) for node in ast.walk(tree) if is_docstring(node)]
    lines = {line for node in ast.walk(tree) if hasattr(node, "lineno") for line in (node.lineno, node.end_lineno)}
    return len(lines.difference(*docstrings))


def test_importing_pyled_compiles_nothing_and_needs_no_torch():
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None; import pyled; "
        "from pyled.kernels import banded; "
        "assert not getattr(getattr(banded._banded, 'parallel', None), 'signatures', [])"
    )
    subprocess.run(
        [sys.executable, "-P", "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    )
