"""Shapes: what a type hint means for JSON. A shape binds a JSON value to a Python one and describes itself as a schema.

Binding never raises for a bad value: it appends to the list of problems, so that all of them are reported at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

from rfx._errors import MISSING
from rfx._problem import Path, Problem, describe, unexpected
from rfx._schema import Definitions, Schema, choices_schema

Problems: TypeAlias = list[Problem]


class Shape:
    """Any JSON value; the base of all other shapes."""

    name = "Any"

    def bind(self, value: object, at: Path, problems: Problems) -> object:
        """Turn the JSON value into what the function wants; note what does not fit."""
        return value

    def schema(self, definitions: Definitions) -> Schema:
        """Describe the values that this shape takes."""
        return {}

    def refuse(self, value: object, at: Path, problems: Problems) -> object:
        """Note that a value is not of this shape; gives the None that stands in for it."""
        problems.append(Problem(at, f"expected {self.name}, got {describe(value)}"))
        return None


class Scalar(Shape):
    """A str, int, bool or None, taken as it is."""

    def __init__(self, kind: type, json_type: str, name: str | None = None) -> None:
        self.kind = kind
        self.json_type = json_type
        self.name = name or kind.__name__

    def bind(self, value: object, at: Path, problems: Problems) -> object:
        if type(value) is not self.kind:
            self.refuse(value, at, problems)
        return value

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": self.json_type}


class Float(Shape):
    """A number; a whole one becomes a float."""

    name = "float"

    def bind(self, value: object, at: Path, problems: Problems) -> object:
        if type(value) is float:
            return value
        if type(value) is int:
            try:
                return float(value)
            except OverflowError:
                pass
        return self.refuse(value, at, problems)

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": "number"}


class Text(Shape):
    """A text with a form of its own, such as a date or a UUID."""

    def __init__(self, name: str, parse: Callable[[str], object], form: str) -> None:
        self.name = name
        self.parse = parse
        self.form = form

    def bind(self, value: object, at: Path, problems: Problems) -> object:
        if type(value) is str:
            try:
                return self.parse(value)
            except (ValueError, ArithmeticError):  # a Decimal raises the second
                pass
        return self.refuse(value, at, problems)

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": "string", "format": self.form}


class Choice(Shape):
    """One of a few known values: a Literal or an Enum."""

    def __init__(self, choices: Iterable[tuple[Any, object]], title: str | None = None) -> None:
        self.title = title
        # The type is part of the key, since True == 1 and 1.0 == 1.
        self.choices = {(type(raw), raw): bound for raw, bound in choices}
        raws = [raw for _, raw in self.choices]
        self.name = "one of " + ", ".join(describe(raw).partition(" ")[2] or "None" for raw in raws)

    def bind(self, value: object, at: Path, problems: Problems) -> object:
        if value is None or isinstance(value, (str, int, float)):
            found = self.choices.get((type(value), value), MISSING)
            if found is not MISSING:
                return found
        return self.refuse(value, at, problems)

    def schema(self, definitions: Definitions) -> Schema:
        plain = choices_schema([raw for _, raw in self.choices])
        return definitions.refer(self, self.title, lambda: plain) if self.title else plain


class Sequence(Shape):
    """An array of one kind of item, built into a list, tuple, set or frozenset."""

    def __init__(self, item: Shape, build: type) -> None:
        self.item = item
        self.build = build
        self.name = f"{build.__name__}[{item.name}]"

    def bind(self, value: object, at: Path, problems: Problems) -> object:
        if type(value) is not list:
            return self.refuse(value, at, problems)
        before = len(problems)
        bind = self.item.bind
        items = [bind(item, (at, index), problems) for index, item in enumerate(value)]
        if self.build is list or len(problems) > before:
            return items
        try:
            return self.build(items)
        except TypeError:  # a set of items that cannot be in one
            return self.refuse(value, at, problems)

    def schema(self, definitions: Definitions) -> Schema:
        unique: Schema = {"uniqueItems": True} if self.build in (set, frozenset) else {}
        return {"type": "array", "items": self.item.schema(definitions), **unique}


class Fixed(Shape):
    """An array of a fixed length, each place with its own shape: `tuple[str, int]`."""

    def __init__(self, items: list[Shape]) -> None:
        self.items = items
        self.name = f"tuple[{', '.join(item.name for item in items)}]"

    def bind(self, value: object, at: Path, problems: Problems) -> object:
        if type(value) is not list or len(value) != len(self.items):
            return self.refuse(value, at, problems)
        pairs = enumerate(zip(self.items, value, strict=True))
        return tuple(shape.bind(item, (at, index), problems) for index, (shape, item) in pairs)

    def schema(self, definitions: Definitions) -> Schema:
        count = len(self.items)
        items = [item.schema(definitions) for item in self.items]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": count, "maxItems": count}


class Mapping(Shape):
    """An object whose keys are free and whose values are all of one shape."""

    def __init__(self, value: Shape) -> None:
        self.value = value
        self.name = f"dict[str, {value.name}]"

    def bind(self, value: object, at: Path, problems: Problems) -> object:
        if type(value) is not dict:
            return self.refuse(value, at, problems)
        bind = self.value.bind
        return {key: bind(item, (at, key), problems) for key, item in value.items()}

    def schema(self, definitions: Definitions) -> Schema:
        return {"type": "object", "additionalProperties": self.value.schema(definitions)}


class Either(Shape):
    """A union: the first member that fits, as written, but int before float."""

    def __init__(self, members: list[Shape]) -> None:
        self.members = sorted(members, key=lambda member: isinstance(member, Float))
        self.name = " | ".join(member.name for member in members)

    def bind(self, value: object, at: Path, problems: Problems) -> object:
        inner: list[Problems] = []
        for member in self.members:
            attempt: Problems = []
            bound = member.bind(value, at, attempt)
            if not attempt:
                return bound
            if any(problem.at is not at for problem in attempt):
                inner.append(attempt)
        # If the value was of the right kind for one member only, what is wrong inside it says most.
        if len(inner) == 1:
            problems.extend(inner[0])
            return None
        return self.refuse(value, at, problems)

    def schema(self, definitions: Definitions) -> Schema:
        return {"anyOf": [member.schema(definitions) for member in self.members]}


class Described(Shape):
    """Another shape with a description: `Annotated[str, "the host's name"]`."""

    def __init__(self, shape: Shape, description: str) -> None:
        self.name = shape.name
        self.bind = shape.bind  # type: ignore[method-assign]  # one call less for each value
        self._shape = shape
        self._description = description

    def schema(self, definitions: Definitions) -> Schema:
        return {**self._shape.schema(definitions), "description": self._description}


class Field(NamedTuple):
    """A named part of an object."""

    shape: Shape
    required: bool
    default: object = MISSING
    """The default as JSON, for the schema, where it can be written so."""


class Object(Shape):
    """An object with known names: a dataclass, a TypedDict, or the parameters of a function."""

    def __init__(self, name: str, *, title: str | None = None, build: Callable[..., object] | None = None) -> None:
        self.name = name
        self.title = title
        self.build = build
        self.description: str | None = None
        self.fields: dict[str, Field] = {}
        self.elsewhere: dict[str, str] = {}
        """Names that are no part of it, and why."""
        self.extra: Shape | None = None
        """The shape of values under other names; None refuses them."""

    def bind(self, value: object, at: Path, problems: Problems) -> object:
        if type(value) is not dict:
            return self.refuse(value, at, problems)
        before = len(problems)
        bound: dict[str, object] = {}
        for name, field in self.fields.items():
            if name in value:
                bound[name] = field.shape.bind(value[name], (at, name), problems)
            elif field.required:
                problems.append(Problem((at, name), f"missing, expected {field.shape.name}"))
        if len(bound) < len(value):
            self._bind_others(value, bound, at, problems)
        if self.build is None or len(problems) > before:
            return bound
        return self._construct(self.build, bound, at, problems)

    def _bind_others(self, value: dict[str, object], bound: dict[str, object], at: Path, problems: Problems) -> None:
        for name, item in value.items():
            if name in self.fields:
                continue
            if name in self.elsewhere:
                problems.append(Problem((at, name), self.elsewhere[name]))
            elif self.extra is None:
                problems.append(Problem((at, name), unexpected(name, list(self.fields), value)))
            else:
                bound[name] = self.extra.bind(item, (at, name), problems)

    def _construct(
        self, build: Callable[..., object], bound: dict[str, object], at: Path, problems: Problems
    ) -> object:
        try:
            return build(**bound)
        except (ValueError, TypeError, AssertionError) as refusal:  # what a `__post_init__` says
            problems.append(Problem(at, f"not a valid {self.name}: {refusal}"))
            return None

    def schema(self, definitions: Definitions) -> Schema:
        if self.title is None:
            return self.plain_schema(definitions)
        return definitions.refer(self, self.title, lambda: self.plain_schema(definitions))

    def plain_schema(self, definitions: Definitions) -> Schema:
        """Describe the object in place, not by reference."""
        properties: Schema = {}
        for name, field in self.fields.items():
            default: Schema = {} if field.default is MISSING else {"default": field.default}
            properties[name] = {**field.shape.schema(definitions), **default}
        return {
            "type": "object",
            **({"description": self.description} if self.description else {}),
            "properties": properties,
            "required": [name for name, field in self.fields.items() if field.required],
            "additionalProperties": False if self.extra is None else self.extra.schema(definitions),
        }
