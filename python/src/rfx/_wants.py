"""What a function or a fixture gets that is no input: the context and fixtures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rfx._context import Context
from rfx._errors import UnsupportedTypeError
from rfx._fixture import Fixture, find
from rfx._hints import Reader, read
from rfx._shapes import Shape


class Needs(NamedTuple):
    """What a fixture is made from."""

    context: str | None
    fixtures: dict[str, Fixture]
    shape: Shape | None


def is_context(parameter: inspect.Parameter, hint: object) -> bool:
    """Whether a parameter receives the context."""
    return parameter.name == "ctx" or hint is Context


def fixture_of(
    parameter: inspect.Parameter, owner: Callable[..., Any], shared: Mapping[str, Fixture]
) -> Fixture | None:
    """Find the fixture that a parameter receives. One that has a default is input, whatever its name."""
    if parameter.default is not inspect.Parameter.empty:
        return None
    if parameter.kind in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL):
        return None
    return find(parameter.name, owner, shared)


def of_fixture(fixture: Fixture, shared: Mapping[str, Fixture]) -> Needs:
    """Read what a fixture needs of its parameters."""
    hints = read(fixture.call)
    context, fixtures = None, {}
    for name, parameter in inspect.signature(fixture.call).parameters.items():
        if is_context(parameter, hints.get(name)):
            context = name
        elif (found := fixture_of(parameter, fixture.call, shared)) is not None:
            fixtures[name] = found
        elif parameter.default is inspect.Parameter.empty:
            raise UnsupportedTypeError(
                f"fixture {fixture.name}: there is no fixture `{name}` here; define or import it in this module, "
                "or define it in the pool's _fixtures.py"
            )
    _check_scopes(fixture, context, fixtures)
    return Needs(context, fixtures, _shape(fixture, hints.get("return", Any)))


def _shape(fixture: Fixture, hint: object) -> Shape | None:
    if fixture.scope != "run":
        return None
    try:
        return Reader().shape(hint)
    except UnsupportedTypeError as problem:
        text = f"fixture {fixture.name}: a value of the run is kept as JSON: {problem}"
        raise UnsupportedTypeError(text) from None


def _check_scopes(fixture: Fixture, context: str | None, fixtures: Mapping[str, Fixture]) -> None:
    """Refuse what would outlive that which it is made from."""
    if fixture.scope != "process":
        return
    for other in fixtures.values():
        if other.scope != "process":
            text = f"fixture {fixture.name} outlives attempts, and {other.name}, which it uses, is of one {other.scope}"
            raise UnsupportedTypeError(f"{text}; give both the same scope")
    if context is not None:
        text = f"fixture {fixture.name}: one of a process serves many runs, so it cannot take `{context}` of one"
        raise UnsupportedTypeError(f"{text}; leave it out, or use the scope job")
