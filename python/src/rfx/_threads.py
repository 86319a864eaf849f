"""A thread beside an event loop that can be stopped, as far as Python can stop one: not while it is in C code."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from typing import Any, TypeAlias, TypeVar

from rfx._drive import as_coroutine, in_thread
from rfx._errors import TimedOut

T = TypeVar("T")

Wait: TypeAlias = Callable[[Awaitable[Any]], Any]


class Stoppable:
    """Runs something in a thread of its own."""

    def __init__(self) -> None:
        self.stopped = False
        self._loop = asyncio.get_running_loop()
        # Whether the thread is still about its call: a stop must never hit what comes after.
        self._lock = threading.Lock()
        self._ident: int | None = None
        self._awaited: Future[Any] | None = None

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
        try:
            return call(self._wait)
        finally:
            with self._lock:
                self._ident = None

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
            if self._ident is not None:
                ident, problem = ctypes.c_ulong(self._ident), ctypes.py_object(TimedOut)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, problem)
