"""The direction of imports (docs/tour.md): a layer imports from lower layers only, and few packages from outside."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pyled

PACKAGE = Path(pyled.__file__).parent

# A place's layer, and what it may import besides the standard library and lower layers.
LAYERS = {
    "errors": (0, set()),
    "files": (0, set()),
    "config": (0, set()),
    "default_model": (0, set()),
    "version": (0, set()),
    "generation_config": (0, {"numpy"}),
    "reference": (0, {"numpy"}),
    "kernels": (0, {"numpy", "numba", "llvmlite"}),  # llvmlite is Numba's own compiler, and comes with it
    "tokenizer": (1, {"numpy", "regex"}),
    "checkpoint": (1, {"numpy"}),
    "inputs": (2, {"numpy"}),
    "layers": (2, {"numpy"}),
    "cache": (2, {"numpy"}),
    "attention": (2, {"numpy"}),
    "outputs": (3, {"numpy"}),
    "encoder": (3, {"numpy"}),
    "decoder": (3, {"numpy"}),
    "generation": (4, {"numpy"}),
    "models": (5, {"numpy"}),
    "tasks": (6, {"numpy"}),
    "tools": (7, {"numpy"}),
    "cli": (8, set()),
    "__main__": (9, set()),
    "__init__": (9, set()),
}
WITHIN = {"files": {"errors"}, "config": {"errors", "files"}, "generation_config": {"errors", "files", "config"}}
# The one file that imports torch: another interpreter runs it as a file, and no process of pyled imports it.
PEER = PACKAGE / "tools" / "bench" / "peer.py"
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
    assert place in LAYERS, f"{place} has no layer: add it to the table here and in docs/tour.md"
    layer, allowed = LAYERS[place]
    outside, inside = imported(path)
    assert outside <= allowed | ({"torch", "transformers"} if path == PEER else set())
    for other in inside - {place} - WITHIN.get(place, set()):
        same = {2: {"layers", "cache", "inputs"}, 3: {"outputs"}}.get(layer, set())
        assert LAYERS[other][0] < layer or other in same, f"{place} imports {other}"


def test_what_another_interpreter_runs_uses_nothing_of_ours_and_nothing_of_ours_imports_it():
    assert imported(PEER) == ({"numpy", "torch", "transformers"}, set())
    for path in FILES:
        modules = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        assert not any(
            "peer" in (node.module or "").split(".") or "peer" in (alias.name for alias in node.names)
            for node in modules
        ), path


def test_the_definition_imports_nothing_of_ours():
    assert imported(PACKAGE / "reference.py")[1] == set()
    assert len((PACKAGE / "reference.py").read_text().splitlines()) <= 400


def test_functions_and_layers_stay_small():
    """Layers 0 to 6 by statements, which formatting cannot stretch; a function by the lines of code it fills.

    Imports do not count: there are more of them the better the code is divided.
    """
    total = 0
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if LAYERS[place_of(path)][0] <= 6:
            total += sum(isinstance(node, ast.stmt) and not is_free(node) for node in ast.walk(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                length = lines_of_code(node)
                assert length <= 60, f"{path.name}: {node.name} has {length} lines of code"
    assert total <= 4250


def is_free(node):
    return isinstance(node, ast.Import | ast.ImportFrom) or is_docstring(node)


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
        "from pyled.kernels import attention; "
        "assert not getattr(attention._banded.parallel, 'signatures', [])"
    )
    subprocess.run(
        [sys.executable, "-P", "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    )
