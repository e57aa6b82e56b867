"""The list of mistakes and the flips do not rot: each still changes the code, and the tests that they name exist."""

import ast
import doctest
import re
from pathlib import Path

import flips
import pytest
from mistakes import MISTAKES, TRAPS
from mutations import mutations, source_of

ALL, LOST = mutations()


def test_nothing_has_lost_its_place():
    assert LOST == []


@pytest.mark.parametrize("part", sorted({mutation.part for mutation in ALL}))
def test_each_mutation_changes_what_the_code_says(part):
    before = {mutation.file: ast.dump(ast.parse(source_of(mutation.file))) for mutation in ALL if mutation.part == part}
    for mutation in ALL:
        if mutation.part == part:
            assert ast.dump(ast.parse(mutation.changed)) != before[mutation.file], mutation.name
            assert mutation.file != "reference.py"


def test_a_name_stands_for_one_mutation():
    names = [mutation.name for mutation in ALL]
    assert len(set(names)) == len(names) and set(TRAPS) < set(names)
    for mistake in MISTAKES:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", mistake.name) and re.fullmatch(r"\S.+\.", mistake.says)


def test_the_tests_that_are_named_exist():
    for test in {test for mutation in ALL for test in mutation.tests}:
        file, name = re.fullmatch(r"(\w+\.py)(?:::(\w+)(?:\[.*\])?)?", test).groups()
        source = (Path(__file__).parent / file).read_text(encoding="utf-8")
        assert re.search(rf"^def {name or 'test_.*'}\(", source, re.MULTILINE), test


EVERY_KIND = """
def f(a: A | B, b=not 0):
    '''a < b'''
    assert a < b, not a
    if isinstance(a, int | str) and (a) < b != c is not d:
        raise E(f"{a < b}" if a in b else "")
    x |= a & b
    x -= 1
    return min(a, -b - 1) or x.any(a) or ~a
def g(): return a not in "é" or 1 + (a in b)
"""  # annotations, defaults, docstrings, assertions, exceptions, and the types that are asked for stay as they are


def test_every_kind_of_place_is_flipped_once():
    changes = []
    for flip in flips.flips(EVERY_KIND):
        pairs = zip(EVERY_KIND.splitlines(), flip.changed.splitlines(), strict=True)
        changes += [new.strip() for old, new in pairs if old != new]
    assert changes == [
        "if isinstance(a, int | str) or (a) < b != c is not d:",
        "if isinstance(a, int | str) and (a) <= b != c is not d:",
        "if isinstance(a, int | str) and (a) < b == c is not d:",
        "if isinstance(a, int | str) and (a) < b != c is d:",
        "x &= a & b",
        "x |= a | b",
        "x -= 0",
        "return min(a, -b - 1) and x.any(a) or ~a",
        "return min(a, -b - 1) or x.any(a) and ~a",
        "return max(a, -b - 1) or x.any(a) or ~a",
        "return min(a, -b) or x.any(a) or ~a",
        "return min(a, -b - 1) or x.all(a) or ~a",
        "return min(a, -b - 1) or x.any(a) or a",
        'def g(): return a not in "é" and 1 + (a in b)',
        'def g(): return a in "é" or 1 + (a in b)',
        'def g(): return a not in "é" or (a in b)',
        'def g(): return a not in "é" or 1 + (a not in b)',
    ]
    assert doctest.testmod(flips) == (0, 1)
