"""The worked examples in docstrings run; every function on scores, and every step of the beam search, has one."""

import doctest
import importlib
import inspect

import pytest

from pyled.generation import beam, rules

MODULES = ["generation.beam", "generation.rules"]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_give_what_they_say(name):
    results = doctest.testmod(importlib.import_module(f"pyled.{name}"))
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
