"""The signature of a function: how a job's input becomes its arguments, and the schemas of both ends."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from rfx._errors import MISSING, InputError, UnsupportedTypeError
from rfx._fixture import Fixture
from rfx._hints import Reader, as_default, read
from rfx._problem import Problem, describe, summary
from rfx._schema import Schema, document
from rfx._shapes import Field, Object, Shape
from rfx._wants import fixture_of, is_context

_TAKEN_BY_NAME: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Signature(NamedTuple):
    """What a function takes and gives."""

    input: Object
    output: Shape
    context: str | None
    """The parameter that receives the context, which is no part of the input."""
    fixtures: Mapping[str, Fixture]
    """The parameters that receive fixtures, which are no part of it either."""

    def bind(self, body: bytes) -> dict[str, Any]:
        """Turn the input of a job into keyword arguments, or raise `InputError` with all that is wrong."""
        problems: list[Problem] = []
        value = _read_json(body)
        bound = self.input.bind(value, None, problems)
        if problems:
            raise InputError(summary(problems))
        assert isinstance(bound, dict)
        return bound

    def input_schema(self) -> Schema:
        """Describe the input as a JSON Schema document."""
        return document(self.input.plain_schema)

    def output_schema(self) -> Schema:
        """Describe the output as a JSON Schema document."""
        return document(self.output.schema, of_output=True)


def compile_signature(call: Callable[..., object], shared: Mapping[str, Fixture] = MappingProxyType({})) -> Signature:
    """Read the signature of a function; raises `UnsupportedTypeError` for what rfx cannot bind.

    `shared` are the fixtures that it sees besides those of its module.
    """
    hints = read(call)
    reader = Reader()
    takes = Object("an object of parameters")
    context = None
    fixtures: dict[str, Fixture] = {}
    for parameter in inspect.signature(call).parameters.values():
        hint = hints.get(parameter.name, Any)
        if is_context(parameter, hint):
            context = parameter.name
        elif (fixture := fixture_of(parameter, call, shared)) is not None:
            fixture.resolve(shared)
            fixtures[parameter.name] = fixture
            takes.elsewhere[parameter.name] = (
                f"it comes from the fixture {fixture.name} here, and is no input; "
                "to take it as input, give the parameter another name or a default"
            )
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            takes.extra = _shape(reader, hint, parameter.name)
        elif parameter.kind in _TAKEN_BY_NAME:
            takes.fields[parameter.name] = _field(reader, parameter, hint)
        else:
            raise UnsupportedTypeError(f"parameter `{parameter}`: inputs are passed by name, and this one cannot be")
    return Signature(takes, _shape(reader, hints.get("return", Any), "return"), context, fixtures)


def _field(reader: Reader, parameter: inspect.Parameter, hint: object) -> Field:
    shape = _shape(reader, hint, parameter.name)
    if parameter.default is inspect.Parameter.empty:
        return Field(shape, required=True, default=MISSING)
    return Field(shape, required=False, default=as_default(parameter.default))


def _shape(reader: Reader, hint: object, name: str) -> Shape:
    try:
        return reader.shape(hint)
    except UnsupportedTypeError as problem:
        place = "the return type" if name == "return" else f"parameter `{name}`"
        raise UnsupportedTypeError(f"{place}: {problem}") from None


def _read_json(body: bytes) -> object:
    if not body:
        return {}
    try:
        value: object = json.loads(body.decode())
    except (ValueError, RecursionError) as problem:
        raise InputError(f"the input is not JSON: {problem}") from None
    if not isinstance(value, dict):
        raise InputError(f"expected an object of parameters, got {describe(value)}")
    return value
