"""Hash what a script does, not its bytes: a comment or a docstring can be mended, and the hash stays."""

import ast
import hashlib
from pathlib import Path
from typing import Any

# A script that only loads another file does what that file does.
SOURCES = {"weights.py": Path(__file__).parent.parent / "pyled" / "porting" / "recipe.py"}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def behaviour(source: str) -> str:
    """Return the SHA-256 of what Python source does.

    behaviour("x = 1  # one") and behaviour("x=1") are equal; behaviour("x = 2") is another.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return hashlib.sha256(repr(plain(tree)).encode("utf-8")).hexdigest()


def of_scripts(folder: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Return the hashes of the scripts of a folder, by their names."""
    return {name: behaviour(SOURCES.get(name, folder / name).read_text(encoding="utf-8")) for name in names}


def plain(node: Any) -> Any:
    """Return a tree as tuples: a node is its class and its fields.

    subtle: fields that are None or empty are left out, because later versions of Python add such fields.
    """
    if isinstance(node, list):
        return tuple(plain(item) for item in node)
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(name, plain(value)) for name, value in ast.iter_fields(node) if value is not None and value != []]
    return type(node).__name__, *fields
