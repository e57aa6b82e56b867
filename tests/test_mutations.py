"""The list of mutations does not rot: every line it changes still stands in the source, every test it names exists."""

import ast
import functools
import re
from pathlib import Path

import pytest
from mutation_list import LEFT_OUT, MUTATIONS, ROOT

# Where every comparison, every +-1 and every expression on masks is turned round, or left out with a reason.
TURNED_ROUND = [
    "attention.py",
    "inputs.py",
    "kernels/attention.py",
    "kernels/elementary.py",
    "kernels/narrow.py",
    "kernels/products.py",
    "kernels/rows.py",
    "generation/beam.py",
]


@functools.cache
def source(file):
    return (ROOT / "pyled" / file).read_text(encoding="utf-8")


def line_of(file, place):
    return source(file).count("\n", 0, place) + 1


@pytest.mark.parametrize("number", range(len(MUTATIONS)))
def test_a_mutation_still_changes_a_line_of_code(number):
    mutation = MUTATIONS[number]
    changed = mutation.applied_to(source(mutation.file))
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source(mutation.file)))
    assert mutation.file != "reference.py"


def test_no_mutation_stands_there_twice():
    assert len({(m.file, m.after, m.old, m.new) for m in MUTATIONS}) == len(MUTATIONS)


def test_the_tests_that_are_named_exist():
    for test in {test for mutation in MUTATIONS for test in mutation.tests}:
        file, name = re.fullmatch(r"(\w+\.py)::(\w+)(\[.*\])?", test).group(1, 2)
        assert re.search(rf"^def {name}\(", (Path(__file__).parent / file).read_text(encoding="utf-8"), re.M), test


def test_what_is_left_out_still_stands_there():
    for unchanged in LEFT_OUT:
        assert unchanged.place(source(unchanged.file)) and unchanged.why


def is_flippable(node):
    """A comparison, a condition joined or inverted, a mask expression, or 1 added or taken away."""
    if isinstance(node, ast.BinOp):
        one = isinstance(node.right, ast.Constant) and node.right.value == 1
        return isinstance(node.op, ast.BitAnd | ast.BitOr) or (one and isinstance(node.op, ast.Add | ast.Sub))
    if isinstance(node, ast.AugAssign):
        return isinstance(node.op, ast.BitAnd | ast.BitOr)
    inverted = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert)
    return inverted or isinstance(node, ast.Compare | ast.BoolOp)


def annotations(tree):
    for node in ast.walk(tree):
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            yield from ast.walk(part) if part is not None else ()


@pytest.mark.parametrize("file", TURNED_ROUND)
def test_every_flip_of_a_line_is_in_the_list_or_left_out_with_a_reason(file):
    tree = ast.parse(source(file))
    hints = set(annotations(tree))
    flippable = {node.lineno for node in ast.walk(tree) if is_flippable(node) and node not in hints}
    covered = {line_of(file, m.place(source(file))) for m in [*MUTATIONS, *LEFT_OUT] if m.file == file}
    lines = source(file).splitlines()
    assert [f"{number}: {lines[number - 1].strip()}" for number in sorted(flippable - covered)] == []
