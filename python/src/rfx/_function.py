"""The `@rfx.function` decorator and what it keeps about a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, overload

from rfx import _options
from rfx._options import Retry
from rfx._problem import unexpected

if TYPE_CHECKING:
    from rfx._fixture import Fixture
    from rfx._signature import Signature

F = TypeVar("F", bound=Callable[..., Any])


class Refused(NamedTuple):
    """A function whose decorator did not like it."""

    name: str
    line: int
    problem: Exception


registered: Final[dict[str, list[Function]]] = {}
"""Every decorated function, by the module that defines it, in order of definition."""

refused: Final[dict[str, list[Refused]]] = {}
"""Functions that were refused while a pool was loaded, by module: they cost only themselves."""

loading: Final[set[str]] = set()
"""Modules that a pool is importing."""


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
        retry: int | Retry | None = None,
        isolation: str | None = None,
        queue: str | None = None,
        secrets: Iterable[str] = (),
        state: Iterable[str] = (),
        examples: Iterable[Mapping[str, object]] = (),
    ) -> None:
        import inspect  # slow to import, and needed by pools only

        if not callable(call) or not hasattr(call, "__name__"):
            raise TypeError(f"{call!r} is not a function; decorate a `def`")
        self.call = call
        self.module = call.__module__
        self.name = _options.name(f"{self.module}.{call.__name__}" if name is None else name)
        self.version = _options.version(version)
        self.tags = _options.texts("tags", tags)
        self.owner = _options.owner(owner)
        self.timeout = _options.timeout(timeout)
        self.retry = _options.retry(retry)
        self.isolation = _options.isolation(isolation)
        self.queue = _options.queue(queue)
        self.secrets = _options.secrets(secrets)
        self.state = _options.texts("state", state)
        self.examples = _options.examples(examples)
        self.shared: Mapping[str, Fixture] = {}
        """The fixtures that every function of its pool sees."""
        self.pool = ""
        """The name of its pool, once it is loaded."""
        self.line = line_of(call)
        self.doc = inspect.getdoc(call) or ""
        self.is_async = inspect.iscoroutinefunction(call)
        if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
            raise TypeError(f"{self.name}: a generator cannot be a function of rfx; return a list")

    @cached_property
    def signature(self) -> Signature:
        """The compiled signature; read late, since hints may name what is defined further down."""
        from rfx._signature import compile_signature

        return compile_signature(self.call, self.shared)


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
    retry: int | Retry | None = None,
    isolation: str | None = None,
    queue: str | None = None,
    secrets: Iterable[str] = (),
    state: Iterable[str] = (),
    examples: Iterable[Mapping[str, object]] = (),
) -> Callable[[F], F]: ...


def function(call: Callable[..., Any] | None = None, /, **options: Any) -> Callable[..., Any]:
    """Make a function part of its pool. It stays callable as it was.

    `name` replaces the default, `<module>.<function>`. `timeout` is in seconds. `retry` is how often it is attempted
    at most, or an `rfx.Retry`. `isolation` is `"warm"`, `"fresh"` or `"shared"`: a process that is kept, one of its
    own, or one that executes many attempts at once. `queue` is the lane in which its jobs wait; `owner` is who to ask,
    the pool's owner by default. `secrets` are those that it needs. `state` names what it shares with other functions:
    steps that use the same and may run at the same time are refused. `examples` are inputs for its readers.
    """

    def register(call: Callable[..., Any]) -> Callable[..., Any]:
        module = getattr(call, "__module__", "")
        try:
            _check_options(options)
            registered.setdefault(module, []).append(Function(call, **options))
        except (ValueError, TypeError) as problem:
            if module not in loading:  # the author is right here
                raise
            name = options.get("name") or f"{module}.{getattr(call, '__name__', call)}"
            refused.setdefault(module, []).append(Refused(str(name), line_of(call), problem))
        return call

    return register if call is None else register(call)


_OPTIONS: Final = (
    *("name", "version", "tags", "owner", "timeout", "retry"),
    *("isolation", "queue", "secrets", "state", "examples"),
)


def _check_options(options: Mapping[str, object]) -> None:
    for name in options:
        if name not in _OPTIONS:
            raise TypeError(f"rfx.function has no option {name}: {unexpected(name, list(_OPTIONS))}")


def line_of(call: object) -> int:
    """Find the line that a function begins in, 1 for what has none."""
    import inspect

    code = getattr(inspect.unwrap(call), "__code__", None) if callable(call) else None
    return int(getattr(code, "co_firstlineno", 1))
