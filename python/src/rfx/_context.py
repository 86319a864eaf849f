"""The context of one attempt: where a function learns what it runs for, and where it leaves what it saw."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar, cast

from rfx._alone import Alone
from rfx._calls import Calls, Place
from rfx._drive import Steps, drive, drive_async
from rfx._errors import MISSING, fail, skip
from rfx._expect import Assertion, compared, soft
from rfx._link import Link
from rfx._output import Json
from rfx._poll import polling
from rfx._spans import Spans
from rfx._state import State
from rfx._target import Secrets, Target

if TYPE_CHECKING:
    from logging import Logger

T = TypeVar("T")

_LONGEST_PROGRESS: Final = 4096

current: Final[ContextVar[Context]] = ContextVar("rfx.context")


class Context:
    """What a function knows of the attempt that it runs in.

    `key` is what people call the item. `deadline` is in seconds since the epoch.
    """

    __slots__ = (
        "_calls", "_link", "_spans", "assertions", "attempt", "deadline", "flow", "function", "group", "job",
        "key", "queue", "run", "secrets", "step", "target",
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
        group: str = "",
        queue: str = "",
        link: Link | None = None,
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
        self.key = key
        self.group = group
        self.queue = queue
        self.assertions: list[Assertion] = []
        self._link: Link = Alone() if link is None else link
        self._calls = Calls(self._link)
        self._spans = Spans(self._link, traceparent)

    @property
    def state(self) -> State:
        """What the jobs of the run share."""
        return State(self._link, "run", f"{self.job}/{self.attempt}", self.deadline)

    @property
    def flow_state(self) -> State:
        """What all runs of the flow share."""
        return State(self._link, "flow", f"{self.run}/{self.job}/{self.attempt}", self.deadline)

    @property
    def log(self) -> Logger:
        """A logger that writes to stderr, which the worker keeps with the attempt."""
        from rfx._log import logger  # logging is slow to import, and many functions log nothing

        return logger(self.function)

    @property
    def traceparent(self) -> str | None:
        """The trace context of here, as W3C writes it; None when the run has no trace."""
        return self._spans.traceparent()

    def secret(self, name: str) -> str:
        """The value of a secret that the step names; the worker takes it out of all that leaves it."""
        return self.secrets[name]

    def remaining(self) -> float | None:
        """Seconds until the deadline, 0 when it has passed, None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.time())

    def headers(self) -> dict[str, str]:
        """Headers for outgoing HTTP calls, so that the traces of the system under test join the run's."""
        traceparent = self.traceparent
        return {} if traceparent is None else {"traceparent": traceparent}

    def span(self, name: str, /, **attributes: object) -> AbstractContextManager[None]:
        """Open a span of the run's trace for a `with` block; `headers()` in it are of that span."""
        return self._spans.span(name, attributes)

    def progress(self, message: object) -> None:
        """Tell people who watch the run how far the function is."""
        self._link.tell("progress", {"message": str(message)[:_LONGEST_PROGRESS]})

    def beat(self) -> None:
        """Say that the function is alive, where a long silence would be taken for a hang."""
        self._link.tell("beat", {})

    def artifact(
        self,
        name: str,
        content: object = None,
        *,
        path: str | os.PathLike[str] | None = None,
        media_type: str | None = None,
    ) -> None:
        """Keep a file with the outcome: bytes, text, anything that can be written as JSON, or the file at `path`.

        Without a media type it is guessed from the name. A name that is there already is replaced.
        """
        from rfx._artifact import keep  # many functions leave none

        keep(self._link, name, content, path, media_type)

    def expect(self, seen: object, expected: object, message: str = "") -> bool:
        """Record a comparison and go on. At the end the function has failed if any did not hold."""
        made = compared(seen, expected, message, sys._getframe(1))
        self.assertions.append(made)
        return made.passed

    def soft(self, message: str = "") -> AbstractContextManager[None]:
        """Make the `assert` of a `with` block soft: if it does not hold, it is recorded, and the function goes on."""
        return soft(self.assertions, message)

    def fail(self, message: str, *, expected: object = MISSING, seen: object = MISSING) -> NoReturn:
        """End the function as failed, like `rfx.fail`."""
        fail(message, expected=expected, seen=seen)

    def skip(self, reason: str) -> NoReturn:
        """End the function as skipped, like `rfx.skip`."""
        skip(reason)

    def poll(self, check: Callable[[], T], *, every: float = 1.0, within: float = 60.0, message: str = "") -> T:
        """Wait until `check()` gives something true, and give that; fail with the last value after `within` seconds.

        An `assert` in the check that does not hold means "not yet". Any other exception ends the wait.
        """

        def steps() -> Steps[object]:
            return check()
            yield 0.0  # a generator, although it never waits

        return cast(T, drive(polling(steps, every, within, message, self.remaining())))

    async def poll_async(
        self, check: Callable[[], Awaitable[T]], *, every: float = 1.0, within: float = 60.0, message: str = ""
    ) -> T:
        """Do as `poll` with an async check."""

        def steps() -> Steps[object]:
            value: object = yield check()
            return value

        return cast(T, await drive_async(polling(steps, every, within, message, self.remaining())))

    def call(
        self,
        function: str,
        /,
        *,
        _version: str | None = None,
        _group: str | None = None,
        _queue: str | None = None,
        _timeout: float | None = None,
        **values: object,
    ) -> Json:
        """Call a function as a job of its own, wherever a worker serves it, and wait for its output.

        Raises `rfx.CallFailed` unless it passed. To run a function of this pool in this process, call it as Python
        does.
        """
        return self._calls.call(function, Place(_version, _group, _queue, _timeout), values)

    async def call_async(
        self,
        function: str,
        /,
        *,
        _version: str | None = None,
        _group: str | None = None,
        _queue: str | None = None,
        _timeout: float | None = None,
        **values: object,
    ) -> Json:
        """Do as `call` without holding the event loop, so that several calls run at the same time."""
        return await self._calls.call_async(function, Place(_version, _group, _queue, _timeout), values)

    def undo(
        self,
        function: str,
        /,
        *,
        _version: str | None = None,
        _group: str | None = None,
        _queue: str | None = None,
        _timeout: float | None = None,
        **values: object,
    ) -> None:
        """Have a function called when the run is torn down, also if this process or worker dies before.

        Say so before the side effect: what was not done is easier to undo than what nobody knows of. The last one
        said is called first.
        """
        self._calls.undo(function, Place(_version, _group, _queue, _timeout), values)


def context() -> Context:
    """Find the context of the running function; raises LookupError where none is running."""
    try:
        return current.get()
    except LookupError:
        raise LookupError("no rfx function is running here (threads do not inherit the context)") from None
