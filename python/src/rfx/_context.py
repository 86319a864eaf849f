"""The context of one attempt: where a function learns what it runs for, and where it leaves what it saw."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rfx._errors import SecretError, TargetError
from rfx._output import shown

if TYPE_CHECKING:
    from logging import Logger

current: Final[ContextVar[Context]] = ContextVar("rfx.context")


class Assertion(NamedTuple):
    """One recorded comparison: what was expected, what was seen, and whether they agreed."""

    label: str
    passed: bool
    expected: Any
    seen: Any
    message: str


class Target(dict[str, str]):
    """The addresses of the system under test, by name."""

    def __missing__(self, name: str) -> str:
        names = ", ".join(sorted(self)) or "nothing"
        raise TargetError(f'the target has no "{name}"; it has: {names}')


class Secrets(dict[str, str]):
    """The secrets that the step names. Their values are never shown."""

    def __missing__(self, name: str) -> str:
        names = ", ".join(sorted(self)) or "none"
        raise SecretError(f"the step was given no secret {name}, but {names}; add it there: secrets: [{name}]")

    def __repr__(self) -> str:
        return f"<secrets {', '.join(sorted(self))}>"


class Context:
    """What a function knows of the attempt that it runs in.

    `key` is the same for every attempt of a job: give it to a system that drops repeats. `deadline` is in
    seconds since the epoch.
    """

    __slots__ = (
        "_report", "assertions", "attempt", "deadline", "flow", "function", "job", "key", "run", "secrets", "step",
        "target", "traceparent",
    )  # fmt: skip

    def __init__(
        self,
        *,
        function: str = "",
        run: str = "",
        flow: str = "",
        step: str = "",
        job: str = "0-0",
        attempt: int = 1,
        deadline: float | None = None,
        target: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        traceparent: str | None = None,
        key: str | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.function = function
        self.run = run
        self.flow = flow
        self.step = step
        self.job = job
        self.attempt = attempt
        self.deadline = deadline
        self.target = Target(target or {})
        self.secrets = Secrets(secrets or {})
        self.traceparent = traceparent
        self.key = key
        self.assertions: list[Assertion] = []
        self._report = report

    @property
    def log(self) -> Logger:
        """A logger that writes to stderr, which the worker keeps with the attempt."""
        from rfx._log import logger  # logging is slow to import, and many functions log nothing

        return logger(self.function)

    def secret(self, name: str) -> str:
        """The value of a secret that the step names; the worker takes it out of all that leaves it."""
        return self.secrets[name]

    def remaining(self) -> float | None:
        """Seconds until the deadline, 0 when it has passed, None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.time())

    def headers(self) -> dict[str, str]:
        """Headers for outgoing HTTP calls, so that the traces of the system under test join the run's."""
        return {"traceparent": self.traceparent} if self.traceparent else {}

    def progress(self, message: str) -> None:
        """Tell people who watch the run how far the function is."""
        if self._report is None:
            self.log.info("%s", message)
        else:
            self._report(message)

    def expect(self, seen: object, expected: object, message: str = "") -> bool:
        """Record a comparison and go on. At the end the function has failed if any did not hold."""
        caller = sys._getframe(1)
        label = f"{PurePath(caller.f_code.co_filename).name}:{caller.f_lineno}"
        passed = bool(seen == expected)
        # Written down now: what was compared may change before the function ends.
        self.assertions.append(Assertion(label, passed, shown(expected), shown(seen), message))
        return passed


def context() -> Context:
    """Find the context of the running function; raises LookupError where none is running."""
    try:
        return current.get()
    except LookupError:
        raise LookupError("no rfx function is running here (threads do not inherit the context)") from None
