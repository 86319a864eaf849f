"""Models of pydantic and msgspec as inputs and outputs, and limits in `Annotated`."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

import pytest

from rfx import InputError, UnsupportedTypeError
from rfx._output import encode
from rfx._signature import Signature, compile_signature

pydantic = pytest.importorskip("pydantic")
msgspec = pytest.importorskip("msgspec")
annotated_types = pytest.importorskip("annotated_types")


class App(pydantic.BaseModel):  # type: ignore[name-defined,misc]
    """An application."""

    name: str
    since: datetime.date | None = None


class Host(pydantic.BaseModel):  # type: ignore[name-defined,misc]
    model_config = pydantic.ConfigDict(strict=True)
    name: str = pydantic.Field(alias="hostName", description="as in DNS")
    seen: datetime.datetime
    apps: list[App] = pydantic.Field(default_factory=list)


class Tree(pydantic.BaseModel):  # type: ignore[name-defined,misc]
    children: list[Tree] = pydantic.Field(default_factory=list)


class Disk(msgspec.Struct):  # type: ignore[name-defined,misc]
    size: Annotated[int, msgspec.Meta(ge=1)]
    label: str = "root"


class Rack(msgspec.Struct):  # type: ignore[name-defined,misc]
    disks: list[Disk]
    built: datetime.date


class Point(NamedTuple):
    """A point."""

    x: int
    y: int = 0


@dataclass
class Mixed:
    host: Host
    rack: Rack


def positive(value: int) -> int:
    if value <= 0:
        raise ValueError("not positive")
    return value


def takes(hint: object) -> Signature:
    def call(value):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return value

    call.__annotations__ = {"value": hint, "return": hint}
    return compile_signature(call)


def bind(hint: object, value: object) -> object:
    return takes(hint).bind(json.dumps({"value": value}).encode())["value"]


HOST = {"hostName": "a", "seen": "2026-01-31T01:02:03Z"}


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (App, {"name": "a", "since": "2026-01-31"}),
        (list[App], [{"name": "a", "since": None}]),
        (Host, {**HOST, "apps": [{"name": "b", "since": None}]}),
        (Disk, {"size": 1, "label": "x"}),
        (dict[str, Rack], {"r": {"disks": [{"size": 2, "label": "root"}], "built": "2026-01-31"}}),
        (Mixed, {"host": {**HOST, "apps": []}, "rack": {"disks": [], "built": "2026-01-31"}}),
        (Point, {"x": 1, "y": 2}),
        (datetime.time, "10:11:12"),
        (Decimal, "1.10"),
        (pydantic.HttpUrl, "http://example.com/"),
        (Annotated[int, annotated_types.Ge(1), annotated_types.Lt(5)], 4),
        (Annotated[list[int], annotated_types.Len(1, 2)], [1]),
        (Annotated[str, pydantic.Field(pattern="^a")], "ab"),
        (Annotated[int, pydantic.AfterValidator(positive)], 1),
    ],
    ids=str,
)
def test_what_comes_in_goes_out_the_same(hint: object, value: object) -> None:
    assert json.loads(encode(bind(hint, value))) == value


def test_models_are_built() -> None:
    host = bind(Host, {**HOST, "apps": [{"name": "b"}]})
    assert isinstance(host, Host)
    assert host.apps == [App(name="b")]
    assert bind(Rack, {"disks": [{"size": 1}], "built": "2026-01-31"}) == Rack([Disk(1)], datetime.date(2026, 1, 31))
    assert bind(Point, {"x": 1}) == Point(1, 0)


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (list[App], [{"name": 1}], "value[0].name: input should be a valid string, got int 1"),
        (Host, {"hostName": "a", "seen": 3, "apps": [{}]}, "value.apps[0].name: missing"),
        (App, 3, "value: input should be an object, got int 3"),
        (Rack, {"disks": [{"size": "a"}]}, "value.disks[0].size: expected int, got str"),
        (Rack, {"built": "2026-01-31"}, "value: object missing required field disks"),
        (Disk, {"size": 0}, "value.size: expected int >= 1"),
        (Point, {"y": 1}, "value.x: missing, expected int"),
        (Decimal, "x", 'value: expected Decimal, got str "x"'),
        (Annotated[int, annotated_types.Ge(1)], 0, "value: expected at least 1, got int 0"),
        (Annotated[float, annotated_types.Interval(gt=0, le=1)], 2, "value: expected at most 1, got int 2"),
        (Annotated[str, annotated_types.MinLen(2)], "a", 'value: expected a length of at least 2, got str "a"'),
        (Annotated[str, pydantic.Field(pattern="^a")], "b", "value: string should match pattern '^a'"),
        (Annotated[int, annotated_types.MultipleOf(2)], 3, "value: expected a multiple of 2, got int 3"),
        (Annotated[int, pydantic.AfterValidator(positive)], 0, "value: value error, not positive, got int 0"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named(hint: object, value: object, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        bind(hint, value)
    assert message in str(refusal.value)


def test_the_schemas_of_models_are_merged() -> None:
    def call(a: list[App], b: Host, c: Rack, d: Tree) -> Host:
        return b

    made = compile_signature(call)
    schema = made.input_schema()
    assert set(schema["$defs"]) == {"App", "Host", "Rack", "Disk", "Tree"}
    assert schema["properties"]["a"] == {"type": "array", "items": {"$ref": "#/$defs/App"}}
    assert schema["$defs"]["Host"]["properties"]["apps"]["items"] == {"$ref": "#/$defs/App"}
    assert schema["$defs"]["Host"]["properties"]["hostName"]["description"] == "as in DNS"
    assert schema["$defs"]["Disk"]["properties"]["size"] == {"type": "integer", "minimum": 1}
    assert schema["properties"]["d"] == {"$ref": "#/$defs/Tree"}
    assert made.output_schema()["$ref"] == "#/$defs/Host"


def test_two_models_of_one_name_keep_their_own_schemas() -> None:
    def model() -> Any:  # noqa: ANN401
        class App(pydantic.BaseModel):  # type: ignore[name-defined,misc]
            other: int

        return App

    @dataclass
    class Both:
        one: App
        two: Any

    Both.__annotations__ = {"one": App, "two": model()}
    schema = takes(Both).input_schema()
    properties = schema["$defs"]["Both"]["properties"]
    assert properties == {"one": {"$ref": "#/$defs/App"}, "two": {"$ref": "#/$defs/App2"}}
    assert "other" in schema["$defs"]["App2"]["properties"]


def test_limits_are_in_the_schema() -> None:
    schema = takes(Annotated[int, annotated_types.Ge(1), "a count"]).input_schema()
    assert schema["properties"]["value"] == {"type": "integer", "minimum": 1, "description": "a count"}
    schema = takes(Annotated[str, pydantic.Field(min_length=1, description="a name")]).input_schema()
    assert schema["properties"]["value"] == {"type": "string", "minLength": 1, "description": "a name"}
    schema = takes(Annotated[list[int], annotated_types.Len(1, 3)]).input_schema()
    assert schema["properties"]["value"]["maxItems"] == 3


def test_a_named_tuple_keeps_its_names() -> None:
    schema = takes(Point).input_schema()["$defs"]["Point"]
    assert schema["required"] == ["x"]
    assert schema["description"] == "A point."
    assert encode([Point(1)]) == b'[{"x":1,"y":0}]'


def test_bytes_are_refused_with_a_way_out() -> None:
    def call(a: bytes) -> None: ...

    refused: Callable[..., object] = call
    with pytest.raises(UnsupportedTypeError, match="JSON has none; take a str, such as base64 or the name of a file"):
        compile_signature(refused)
