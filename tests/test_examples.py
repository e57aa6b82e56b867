"""The worked examples in docstrings run, and the functions that must have one have it."""

import doctest
import importlib
import inspect
import re

import pytest
from test_imports import FILES, PACKAGE

from pyled.generation import beam, rules

TOKENIZER = ["tokenizer.bytelevel", "tokenizer.bpe", "tokenizer.special", "tokenizer.vocabulary"]
MODULES = sorted(path for path in FILES if ">>> " in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_examples_of_a_module_give_what_they_say(path):
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0
    assert results.failed == 0


def test_every_rule_and_every_step_of_a_beam_search_has_an_example():
    functions = [function for _, function in inspect.getmembers(rules, inspect.isfunction)]
    functions = [
        function for function in functions if list(inspect.signature(function).parameters)[:2] == ["ids", "scores"]
    ]
    functions += [beam._candidates, beam._per_length, beam._next_finished, beam._next_running, beam.best]
    assert len(functions) > 15
    assert [function.__name__ for function in functions if ">>>" not in function.__doc__] == []


@pytest.mark.parametrize("name", TOKENIZER)
def test_every_function_of_the_tokenizers_algorithm_has_an_example(name):
    module = importlib.import_module(f"pyled.{name}")
    places = [module, *(value for value in vars(module).values() if inspect.isclass(value))]
    functions = [f for place in places for f in vars(place).values() if getattr(f, "__module__", "") == module.__name__]
    names = [f.__name__ for f in functions if inspect.isroutine(inspect.unwrap(f)) and f.__name__[0] != "_"]
    assert names
    source = inspect.getsource(module)
    shown = [name for name in names if re.search(rf">>> .*\b{name}\(", source)]
    assert set(names) - set(shown) <= {"vocabulary_files"}
