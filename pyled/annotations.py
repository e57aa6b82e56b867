"""The arguments of a call, checked by their annotations, so that what an argument must be is said once.

>>> @checked_arguments
... def repeated(text: str, *, times: Count = 2) -> str:
...     return text * times
>>> repeated("ab"), repeated(text="ab", times=3)
('abab', 'ababab')
>>> repeated("ab", times=[0])
Traceback (most recent call last):
pyled.errors.InputError: times is [0]: an integer of at least 1, below 2**63 was expected
"""

import operator
import os
import re
from collections.abc import Callable, Mapping, MutableMapping
from functools import wraps
from inspect import Parameter, signature
from itertools import chain
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

from .errors import InputError, brief

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Check = tuple[Callable[[Any], bool], str]  # whether a value is right, and what it must be in words


def is_integer(value: object, least: int | None = None) -> bool:
    """Return whether a value is an integer of Python's or NumPy's, of at least `least`, below 2**63; a bool is none."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except Exception:  # TypeError, or whatever another's class raises
        return False
    return not isinstance(value, bool) and (-(2**63) if least is None else least) <= number < 2**63


def _is_flag(value: object) -> bool:
    return type(value).__name__ in ("bool", "bool_") or (isinstance(value, int) and value in (0, 1))


def _is_dictionary(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def is_cpu(device: object) -> bool:
    """Return whether a device is the CPU: by its name, or as torch has it."""
    return brief(device) in ("'cpu'", "device(type='cpu')")


def _is_share(value: object) -> bool:
    try:
        return not isinstance(value, bool | str) and 0 <= float(value) < 1  # type: ignore[arg-type]
    except Exception:  # TypeError, or whatever another's class raises
        return False


def _is_path(value: object) -> bool:
    try:
        return isinstance(value, str | os.PathLike) and bool(re.fullmatch(rb"[^\0]{1,4095}", os.fsencode(value)))
    except UnicodeEncodeError:
        return False


Count = Annotated[int, lambda value: is_integer(value, 1), "an integer of at least 1, below 2**63"]
Seed = Annotated[int, lambda value: is_integer(value, 0), "an integer of at least 0, below 2**63"]
Share = Annotated[float, _is_share, "a number of at least 0, below 1"]
Directory = Annotated[str | Path, _is_path, "the path of a directory"]
File = Annotated[str | os.PathLike[str], _is_path, "the path of a file"]

_OF_TYPE: dict[Any, Check] = {
    NoneType: (lambda value: value is None, "None"),
    bool: (_is_flag, "True or False"),
    int: (is_integer, "an integer"),
    str: (lambda value: isinstance(value, str), "a string"),
    Path: (_is_path, "a path"),
}


def _checks(annotation: Any) -> list[Check]:
    """Return a check for each alternative of an annotation; none where one of them says nothing that can be checked.

    >>> [words for _, words in _checks(int | None)], _checks(int | list[int])
    (['an integer', 'None'], [])
    """
    origin, alternatives = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        checks = [_checks(alternative) for alternative in alternatives]
        return list(chain(*checks)) if all(checks) else []
    if origin is Annotated:
        return [annotation.__metadata__]
    if origin is Literal:
        return [(lambda value: isinstance(value, str) and value in alternatives, " or ".join(map(repr, alternatives)))]
    if origin is Callable:
        return [(callable, "a function")]
    if origin in (Mapping, MutableMapping):
        return [(_is_dictionary, "a dictionary with strings as keys")]
    # subtle: Loaded[LEDModel] is checked as Loaded
    if isinstance(kind := origin or annotation, type) and kind.__module__.partition(".")[0] == __package__:
        article = "an" if kind.__name__.startswith((*"AEIOU", "LED")) else "a"
        return [(lambda value: isinstance(value, kind), f"{article} {kind.__name__}")]
    return [_OF_TYPE[annotation]] if annotation in _OF_TYPE else []


def checked_arguments(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Return the function with its arguments checked: it raises InputError for one that its annotation excludes.

    Arrays, lists and whatever else only the function can judge pass as they are.
    """
    parameters = [p for p in signature(function).parameters.values() if p.kind is not Parameter.VAR_KEYWORD]
    checks = {p.name: checks for p in parameters if (checks := _checks(p.annotation))}
    names = [p.name for p in parameters]

    @wraps(function)
    def call(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> Result:
        for name, value in chain(zip(names, arguments), keywords.items()):  # noqa: B905
            if name in checks and not any(is_right(value) for is_right, _ in checks[name]):
                words = [words for _, words in checks[name]]
                expected = " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
                raise InputError(f"{name} is {brief(value)}: {expected} was expected")
        return function(*arguments, **keywords)

    return call
