"""Limits in `Annotated`: `Annotated[int, Ge(1)]`.

Taken by the names of their attributes, so that annotated-types, pydantic's Field and msgspec's Meta all work, and
none of them is needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from rfx._problem import Path, Problem, describe
from rfx._schema import Definitions, Schema
from rfx._shapes import Problems, Shape

_LENGTHS: Final = {"string": "Length", "array": "Items", "object": "Properties"}


class _Rule(NamedTuple):
    """How one kind of limit is checked, said and written in a schema."""

    holds: Callable[[Any, Any], bool]
    words: str
    key: str


_RULES: Final = {
    "ge": _Rule(lambda value, limit: bool(value >= limit), "at least {}", "minimum"),
    "gt": _Rule(lambda value, limit: bool(value > limit), "more than {}", "exclusiveMinimum"),
    "le": _Rule(lambda value, limit: bool(value <= limit), "at most {}", "maximum"),
    "lt": _Rule(lambda value, limit: bool(value < limit), "less than {}", "exclusiveMaximum"),
    "multiple_of": _Rule(lambda value, limit: bool(value % limit == 0), "a multiple of {}", "multipleOf"),
    "min_length": _Rule(lambda value, limit: len(value) >= limit, "a length of at least {}", "min"),
    "max_length": _Rule(lambda value, limit: len(value) <= limit, "a length of at most {}", "max"),
    "pattern": _Rule(lambda value, limit: re.search(limit, value) is not None, "a match of {}", "pattern"),
}


def limits(notes: Iterable[object]) -> dict[str, Any]:
    """Find the limits that notes in `Annotated` set."""
    found: dict[str, Any] = {}
    for note in notes:
        if isinstance(note, (str, type)):
            continue
        for name in _RULES:
            limit = getattr(note, name, None)
            if limit is not None and not (name == "min_length" and limit == 0):
                found[name] = limit
    return found


def flat(notes: Iterable[object]) -> Iterator[object]:
    """Give the notes, and those that one of them holds, as pydantic's Field does."""
    for note in notes:
        yield note
        held = getattr(note, "metadata", None)
        if isinstance(held, (list, tuple)):
            yield from held


class Limited(Shape):
    """Another shape whose values are limited."""

    def __init__(self, shape: Shape, limits: dict[str, Any]) -> None:
        self.name = shape.name
        self._shape = shape
        self._limits = limits

    def bind(self, value: object, at: Path, problems: Problems) -> object:
        before = len(problems)
        bound = self._shape.bind(value, at, problems)
        if len(problems) == before:
            for name, limit in self._limits.items():
                rule = _RULES[name]
                if not rule.holds(bound, limit):
                    problems.append(Problem(at, f"expected {rule.words.format(limit)}, got {describe(value)}"))
        return bound

    def schema(self, definitions: Definitions) -> Schema:
        made = self._shape.schema(definitions)
        length = _LENGTHS.get(made.get("type", ""), "Items")
        keys = {name: _RULES[name].key for name in self._limits}
        return made | {key + length if key in ("min", "max") else key: self._limits[name] for name, key in keys.items()}
