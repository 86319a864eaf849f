"""One table of type hints: what each binds, what it refuses and with which words, and its schema."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal, Optional, TypedDict, Union

import pytest

from rfx import Context, InputError, UnsupportedTypeError
from rfx._signature import compile_signature


class Color(Enum):
    """A plain enum."""

    RED = "red"
    BLUE = "blue"


@dataclass
class Disk:
    """A disk of a host."""

    size: int
    label: str = "root"

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("the size is negative")


@dataclass
class Node:
    name: str
    children: list[Node] = field(default_factory=list)


class Row(TypedDict):
    name: str
    disk: Disk


class Partial(TypedDict, total=False):
    note: str


def signature(hint: object) -> Any:  # noqa: ANN401 - a private type
    """Compile a function with one parameter of the given type."""

    def call(value):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return value

    call.__annotations__ = {"value": hint}
    return compile_signature(call)


def bind(hint: object, value: object) -> object:
    return signature(hint).bind(json.dumps({"value": value}).encode())["value"]


UUID = uuid.UUID("12345678123456781234567812345678")

GOOD: list[tuple[object, object, object]] = [
    (str, "a", "a"),
    (int, 1, 1),
    (float, 1, 1.0),
    (float, 1.5, 1.5),
    (bool, True, True),
    (None, None, None),
    (Any, {"a": [1]}, {"a": [1]}),
    (list, [1, "a"], [1, "a"]),
    (list[int], [1, 2], [1, 2]),
    (dict, {"a": 1}, {"a": 1}),
    (dict[str, int], {"a": 1}, {"a": 1}),
    (tuple[str, int], ["a", 1], ("a", 1)),
    (tuple[int, ...], [1, 2], (1, 2)),
    (set[int], [1, 2, 2], {1, 2}),
    (Optional[int], None, None),  # noqa: UP045
    (Union[float, int], 1, 1),  # noqa: UP007
    (int | str, "a", "a"),
    (Literal["a", 1], 1, 1),
    (Color, "red", Color.RED),
    (list[Color], ["red"], [Color.RED]),
    (Disk, {"size": 1}, Disk(1, "root")),
    (Row, {"name": "n", "disk": {"size": 1}}, {"name": "n", "disk": Disk(1)}),
    (Partial, {}, {}),
    (Node, {"name": "a", "children": [{"name": "b"}]}, Node("a", [Node("b")])),
    (Disk | None, {"size": 2}, Disk(2)),
    (Annotated[str, "a name"], "a", "a"),
    (datetime.date, "2026-01-31", datetime.date(2026, 1, 31)),
    (datetime.datetime, "2026-01-31T01:02:03Z", datetime.datetime(2026, 1, 31, 1, 2, 3, tzinfo=datetime.timezone.utc)),
    (uuid.UUID, str(UUID), UUID),
]

BAD: list[tuple[object, object, str]] = [
    (str, 1, "value: expected str, got int 1"),
    (int, True, "value: expected int, got bool True"),
    (int, 1.0, "value: expected int, got float 1.0"),
    (float, "1", 'value: expected float, got str "1"'),
    (float, 10**400, f"value: expected float, got int {10**400}"),
    (bool, None, "value: expected bool, got None"),
    (None, 0, "value: expected None, got int 0"),
    (list[int], [1, "a", None], 'value[1]: expected int, got str "a"\nvalue[2]: expected int, got None'),
    (list[str], {"a": 1}, "value: expected list[str], got dict of 1"),
    (dict[str, int], {"a b": "x"}, 'value["a b"]: expected int, got str "x"'),
    (tuple[str, int], ["a"], "value: expected tuple[str, int], got list of 1"),
    (set[dict[str, int]], [{}], "value: expected set[dict[str, int]], got list of 1"),
    (int | None, "a", 'value: expected int | None, got str "a"'),
    (list[int] | None, ["a"], 'value[0]: expected int, got str "a"'),
    (Literal["a", 1], True, 'value: expected one of "a", 1, got bool True'),
    (Color, "green", 'value: expected one of "red", "blue", got str "green"'),
    (Color, ["red"], 'value: expected one of "red", "blue", got list of 1'),
    (Disk, {"size": -1}, "value: not a valid Disk: the size is negative"),
    (Disk, {"size": 1, "labl": "x"}, "value.labl: unexpected, did you mean `label`?"),
    (Row, {"disk": {"size": "1"}}, 'value.name: missing, expected str\nvalue.disk.size: expected int, got str "1"'),
    (list[Row], [{"name": 1, "disk": {"size": 1}}], "value[0].name: expected str, got int 1"),
    (datetime.date, "yesterday", 'value: expected date, got str "yesterday"'),
    (uuid.UUID, "x", 'value: expected UUID, got str "x"'),
]

SCHEMAS: list[tuple[object, dict[str, Any]]] = [
    (str, {"type": "string"}),
    (float, {"type": "number"}),
    (Any, {}),
    (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
    (list[bool], {"type": "array", "items": {"type": "boolean"}}),
    (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
    (set[str], {"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
    (Literal["a", 1], {"enum": ["a", 1]}),
    (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
    (Annotated[str, "a name"], {"type": "string", "description": "a name"}),
    (uuid.UUID, {"type": "string", "format": "uuid"}),
    (
        tuple[str, int],
        {
            "type": "array",
            "prefixItems": [{"type": "string"}, {"type": "integer"}],
            "items": False,
            "minItems": 2,
            "maxItems": 2,
        },
    ),
    (Color, {"$ref": "#/$defs/Color"}),
]


@pytest.mark.parametrize(("hint", "value", "bound"), GOOD, ids=repr)
def test_a_value_that_fits_is_bound(hint: object, value: object, bound: object) -> None:
    result = bind(hint, value)
    assert result == bound
    assert type(result) is type(bound)


@pytest.mark.parametrize(("hint", "value", "message"), BAD, ids=lambda value: repr(value)[:40])
def test_a_value_that_does_not_fit_is_named(hint: object, value: object, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        bind(hint, value)
    assert str(refusal.value) == message


@pytest.mark.parametrize(("hint", "schema"), SCHEMAS, ids=repr)
def test_the_schema_of_a_hint(hint: object, schema: dict[str, Any]) -> None:
    document = signature(hint).input_schema()
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["properties"] == {"value": schema}


def test_a_shape_that_contains_itself_has_a_finite_schema() -> None:
    children = {"type": "array", "items": {"$ref": "#/$defs/Node"}}
    assert signature(Node).input_schema()["$defs"]["Node"]["properties"]["children"] == children


def test_the_context_is_no_part_of_the_input() -> None:
    def by_name(ctx: object, a: int = 3) -> Disk: ...  # type: ignore[empty-body]
    def by_hint(where: Context, a: int = 3) -> Disk: ...  # type: ignore[empty-body]

    for call, name in ((by_name, "ctx"), (by_hint, "where")):
        made = compile_signature(call)
        assert made.context == name
        assert made.input_schema()["properties"] == {"a": {"type": "integer", "default": 3}}
        disk = made.output_schema()["$defs"]["Disk"]
        assert disk["description"] == "A disk of a host."
        assert disk["required"] == ["size"]


def test_free_keyword_parameters_take_the_rest() -> None:
    def call(a: int, **rest: str) -> None: ...

    made = compile_signature(call)
    assert made.bind(b'{"a":1,"b":"x"}') == {"a": 1, "b": "x"}
    assert made.input_schema()["additionalProperties"] == {"type": "string"}


def _positional(a: int, /) -> None: ...
def _variable(*a: int) -> None: ...
def _bytes(a: bytes) -> None: ...
def _keys(a: dict[int, str]) -> None: ...


@pytest.mark.parametrize("call", [_positional, _variable, _bytes, _keys])
def test_what_cannot_be_bound_is_refused_when_the_pool_loads(call: Callable[..., None]) -> None:
    with pytest.raises(UnsupportedTypeError, match=r"parameter `[*]?a"):
        compile_signature(call)
