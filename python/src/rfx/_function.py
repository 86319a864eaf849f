"""The `@rfx.function` decorator and what it keeps about a function."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Final, TypeVar, overload

from rfx._signature import Signature, compile_signature

F = TypeVar("F", bound=Callable[..., Any])

registered: Final[dict[str, list[Function]]] = {}
"""Every decorated function, by the module that defines it, in order of definition."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)
_VERSION: Final = re.compile(r"[0-9]+(\.[0-9]+)*")
_QUEUE: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_LONGEST: Final = 128


class Function:
    """A function of a pool: the callable and what its author said about it."""

    def __init__(
        self,
        call: Callable[..., Any],
        *,
        name: str | None = None,
        version: str = "1",
        tags: Iterable[str] = (),
        owner: str | None = None,
        timeout: float | None = None,
        queue: str | None = None,
        state: Iterable[str] = (),
    ) -> None:
        self.call = call
        self.module = call.__module__
        self.name = name or f"{self.module}.{call.__name__}"
        self.version = version
        self.tags = (tags,) if isinstance(tags, str) else tuple(tags)
        self.owner = owner
        self.timeout = timeout
        self.queue = queue
        self.state = (state,) if isinstance(state, str) else tuple(state)
        self.line: int = inspect.unwrap(call).__code__.co_firstlineno
        self.is_async = inspect.iscoroutinefunction(call)
        self._check()

    @cached_property
    def signature(self) -> Signature:
        """The compiled signature; read late, since hints may name what is defined further down."""
        return compile_signature(self.call)

    @property
    def doc(self) -> str:
        """The docstring, without its indentation."""
        return inspect.getdoc(self.call) or ""

    def _check(self) -> None:
        """Refuse what could not be written into a subject or a deadline."""
        _match(_NAME, "name", self.name, "identifiers joined by dots, such as tenants.create")
        _match(_VERSION, "version", self.version, "whole numbers joined by dots, such as 1 or 2.0.1")
        if self.queue is not None:
            _match(_QUEUE, "queue", self.queue, "lower-case letters, digits and inner hyphens")
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError(f"{self.name}: the timeout is {self.timeout!r}; give seconds above 0")
        if inspect.isgeneratorfunction(self.call) or inspect.isasyncgenfunction(self.call):
            raise TypeError(f"{self.name}: a generator cannot be a function of rfx; return a list")


@overload
def function(call: F, /) -> F: ...


@overload
def function(
    *,
    name: str | None = None,
    version: str = "1",
    tags: Iterable[str] = (),
    owner: str | None = None,
    timeout: float | None = None,
    queue: str | None = None,
    state: Iterable[str] = (),
) -> Callable[[F], F]: ...


def function(call: Callable[..., Any] | None = None, /, **options: Any) -> Callable[..., Any]:
    """Make a function part of its pool. It stays callable as it was.

    `name` replaces the default, `<module>.<function>`. `timeout` is in seconds. `queue` is the lane in which
    its jobs wait; `owner` is who to ask, the pool's owner by default. `state` names what it shares with other
    functions: steps that use the same and may run at the same time are refused.
    """

    def register(call: Callable[..., Any]) -> Callable[..., Any]:
        made = Function(call, **options)
        registered.setdefault(made.module, []).append(made)
        return call

    return register if call is None else register(call)


def _match(pattern: re.Pattern[str], kind: str, text: object, form: str) -> None:
    if not isinstance(text, str) or len(text) > _LONGEST or not pattern.fullmatch(text):
        raise ValueError(f"{text!r} is not a {kind}: use {form} (at most {_LONGEST} characters)")
