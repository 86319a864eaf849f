"""The `@rfx.fixture` decorator, and which fixtures a function sees.

A fixture is seen in the module that defines or imports it. What the pool's `_fixtures.py` holds is seen everywhere.
A parameter that is named like one of them receives it, unless it has a default: then it is input.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, overload

from rfx._errors import UnsupportedTypeError

if TYPE_CHECKING:
    from pathlib import Path

    from rfx._shapes import Shape

Scope = Literal["job", "process", "run"]

_SCOPES: Final = ("job", "process", "run")


class Fixture:
    """Something that functions need: how to make it, and how to put it away."""

    def __init__(self, call: Callable[..., Any], scope: Scope) -> None:
        import inspect

        self.call = call
        self.scope = scope
        self.name: str = call.__name__
        self.is_coroutine = inspect.iscoroutinefunction(call)
        self.is_async_generator = inspect.isasyncgenfunction(call)
        self.is_generator = inspect.isgeneratorfunction(call)
        self.context: str | None = None
        self.wants: dict[str, Fixture] = {}
        self.shape: Shape | None = None
        """What a value that was kept as JSON is read as; of run scope only."""
        self._shared: Mapping[str, Fixture] | None = None
        if scope not in _SCOPES:
            raise ValueError(f"fixture {self.name}: the scope is {scope!r}; use job, process or run")
        if scope == "run" and (self.is_generator or self.is_async_generator):
            raise TypeError(
                f"fixture {self.name}: one of a run must not yield, since the process that made it may be gone when "
                f'the run ends; say how to undo it before making it, with ctx.undo("…"), and return the value'
            )

    def __call__(self, *_: object, **__: object) -> NoReturn:
        raise TypeError(f"fixture {self.name} cannot be called; name a parameter of your function `{self.name}`")

    def __repr__(self) -> str:
        return f"<fixture {self.name}>"

    def resolve(self, shared: Mapping[str, Fixture], path: tuple[Fixture, ...] = ()) -> None:
        """Find what the fixture itself needs. Raises `UnsupportedTypeError` where that cannot be had."""
        if self in path:
            names = " → ".join(one.name for one in (*path[path.index(self) :], self))
            raise UnsupportedTypeError(f"fixtures need each other: {names}")
        if self._shared is shared:
            return
        from rfx._wants import of_fixture

        needs = of_fixture(self, shared)
        for other in needs.fixtures.values():
            other.resolve(shared, (*path, self))
        self.context, self.wants, self.shape = needs.context, needs.fixtures, needs.shape
        self._shared = shared


@overload
def fixture(call: Callable[..., Any], /) -> Fixture: ...


@overload
def fixture(*, scope: Scope = "job") -> Callable[[Callable[..., Any]], Fixture]: ...


def fixture(
    call: Callable[..., Any] | None = None, /, *, scope: Scope = "job"
) -> Fixture | Callable[[Callable[..., Any]], Fixture]:
    """Make something that functions get by naming a parameter like it: a client, a session, a tenant.

    It returns the value, or yields it and puts it away behind the `yield`, also when the function failed. It may be
    async, and take other fixtures and `ctx`. `scope` is how long it lives: for one attempt (`"job"`), as long as the
    process that executes attempts (`"process"`), or for the whole run (`"run"`: made once by whoever needs it first,
    and kept as JSON).
    """
    return (lambda call: Fixture(call, scope)) if call is None else Fixture(call, scope)


def fixtures_in(module: types.ModuleType) -> dict[str, Fixture]:
    """The fixtures that a module defines or imports, by their names there."""
    return {name: found for name, found in vars(module).items() if isinstance(found, Fixture)}


def unavailable(path: Path) -> dict[str, Fixture]:
    """Stand in for the fixtures of a module that cannot be imported, as far as its text shows their names.

    Without them a function would take its fixtures for input.
    """
    names = re.findall(r"^(?:async )?def (\w+)", path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return {name: _Unavailable(name, path.name) for name in names}


class _Unavailable(Fixture):
    """A fixture of a module that cannot be imported."""

    def __init__(self, name: str, file: str) -> None:
        super().__init__(self.resolve, "job")
        self.name = name
        self._file = file

    def resolve(self, shared: Mapping[str, Fixture], path: tuple[Fixture, ...] = ()) -> None:
        """Say so to whoever needs it."""
        raise UnsupportedTypeError(f"its fixture {self.name} is in {self._file}, which cannot be imported")


def find(name: str, owner: Callable[..., Any], shared: Mapping[str, Fixture]) -> Fixture | None:
    """Find the fixture that a name means to a function: of its own module first, then of the pool."""
    import inspect

    own = getattr(inspect.unwrap(owner), "__globals__", {}).get(name)
    for found in (own, shared.get(name)):
        if isinstance(found, Fixture) and found.call is not owner:
            return found
    return None
