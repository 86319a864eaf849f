"""The event loop of a process that executes one attempt at a time. asyncio is slow to import, so only when needed."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rfx._drive import as_coroutine
from rfx._errors import TimedOut

if TYPE_CHECKING:
    import asyncio


class Loop:
    """Awaits for code that is not async.

    It lives as long as one attempt, as with `asyncio.run`, unless something that lives in it is kept.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._kept: set[asyncio.Task[Any]] | None = None
        self._late: TimedOut | None = None

    def wait(self, awaitable: Awaitable[Any]) -> object:
        """Await in this thread. Whatever interrupts the wait cancels what is awaited first."""
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._loop.set_exception_handler(self._handle)
        self._late = None
        task = self._task = self._loop.create_task(as_coroutine(awaitable))
        try:
            return self._loop.run_until_complete(task)
        except BaseException as problem:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    self._loop.run_until_complete(task)
            if self._late is not None:
                raise self._late from problem
            raise

    def keep(self) -> None:
        """Let the loop, and the tasks that run in it now, outlive the attempt."""
        import asyncio

        if self._loop is not None:
            self._kept = asyncio.all_tasks(self._loop)

    def clear(self) -> None:
        """End what an attempt left running; and the loop, unless something in it is kept."""
        if self._loop is None:
            return
        loop = self._loop
        self._cancel(self._kept or set())
        if self._kept is None:
            self._loop = None
            try:
                loop.run_until_complete(loop.shutdown_asyncgens())
                loop.run_until_complete(loop.shutdown_default_executor())
            finally:
                loop.close()

    def close(self) -> None:
        """End the loop and all that is kept in it."""
        self._kept = None
        self.clear()

    def _cancel(self, kept: set[asyncio.Task[Any]]) -> None:
        import asyncio

        assert self._loop is not None
        left = asyncio.all_tasks(self._loop) - kept
        for task in left:
            task.cancel()
        if left:
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))

    def _handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Keep a timeout that came while the loop ran a callback, which would only log it."""
        problem = context.get("exception")
        if isinstance(problem, TimedOut):
            self._late = problem
            self._task.cancel()
        else:
            loop.default_exception_handler(context)
