"""A thread beside an event loop that can be stopped, as far as Python can stop one: not while it is in C code."""

from __future__ import annotations

import asyncio
import ctypes
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from typing import Any, Final, TypeAlias, TypeVar

from rfx._drive import as_coroutine, in_thread, pauses
from rfx._errors import TimedOut

T = TypeVar("T")

Wait: TypeAlias = Callable[[Awaitable[Any]], Any]


wakers: Final[list[Callable[[], None]]] = []
"""Called when a thread is stopped, so that it looks up from what it waits for."""


class Shield:
    """Puts a stop of this thread off until the end of a block: frames must not be cut, nor locks be kept."""

    def __enter__(self) -> None:
        if (here := _here()) is not None:
            here.shield()

    def __exit__(self, *_: object) -> None:
        if (here := _here()) is not None:
            here.unshield()


def is_stopped() -> bool:
    """Whether this thread is to end as soon as it leaves its shield."""
    here = _here()
    return here is not None and here.is_due


class Stoppable:
    """Runs something in a thread of its own."""

    def __init__(self) -> None:
        self.stopped = False
        self._loop = asyncio.get_running_loop()
        # Whether the thread is still about its call: a stop must never hit what comes after.
        self._lock = threading.Lock()
        self._ident: int | None = None
        self._awaited: Future[Any] | None = None
        self._woken = threading.Event()
        self._shields = 0
        self.is_due = False
        """Whether it was stopped behind its shield."""

    def shield(self) -> None:
        """Put a stop off. One that came just before is noticed in here."""
        with self._lock:
            self._shields += 1

    def unshield(self) -> None:
        """Let a stop happen that was put off."""
        with self._lock:
            self._shields -= 1
            due = self.is_due and not self._shields
            self.is_due = self.is_due and not due
        if due:
            raise TimedOut("the time of the attempt is over")

    async def run(self, call: Callable[[Wait], T]) -> T:
        """Run something that gets a function to await with, in this loop. Cancelled, it gets `TimedOut`."""
        running = asyncio.ensure_future(in_thread(lambda: self._guarded(call)))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self._stop()
            return await running

    def _guarded(self, call: Callable[[Wait], T]) -> T:
        with self._lock:
            self._ident = threading.get_ident()
        _local.stoppable = self
        pauses.sleep = self._sleep
        try:
            return call(self._wait)
        finally:
            with self._lock:
                self._ident = None

    def _sleep(self, seconds: float) -> None:
        # No exception gets into a thread that sleeps.
        if self.stopped:
            time.sleep(seconds)
        else:
            self._woken.wait(seconds)

    def _wait(self, awaitable: Awaitable[Any]) -> object:
        self._awaited = asyncio.run_coroutine_threadsafe(as_coroutine(awaitable), self._loop)
        try:
            return self._awaited.result()
        except CancelledError:
            if self.stopped:
                raise TimedOut("the time of the attempt is over") from None
            raise
        finally:
            self._awaited = None

    def _stop(self) -> None:
        self.stopped = True
        awaited = self._awaited
        if awaited is not None and awaited.cancel():
            return  # no exception gets into a thread that waits for it
        with self._lock:
            if self._shields:
                self.is_due = True
            elif self._ident is not None:
                ident, problem = ctypes.c_ulong(self._ident), ctypes.py_object(TimedOut)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, problem)
        self._woken.set()
        for wake in wakers:
            wake()


_local: Final = threading.local()


def _here() -> Stoppable | None:
    found: Stoppable | None = getattr(_local, "stoppable", None)
    return found
