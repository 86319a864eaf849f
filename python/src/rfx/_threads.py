"""A thread beside an event loop that can be stopped, as far as Python can stop one: not while it is in C code."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, TypeAlias, TypeVar

from rfx._drive import as_coroutine, in_thread
from rfx._errors import TimedOut

T = TypeVar("T")

Wait: TypeAlias = Callable[[Awaitable[Any]], Any]


async def stoppable(call: Callable[[Wait], T]) -> T:
    """Run something in a thread; it gets a function that awaits in this loop. Cancelled, it gets `TimedOut`."""
    loop = asyncio.get_running_loop()

    def wait(awaitable: Awaitable[Any]) -> object:
        thread.awaited = asyncio.run_coroutine_threadsafe(as_coroutine(awaitable), loop)
        return thread.awaited.result()

    thread = _Thread()
    running = asyncio.ensure_future(in_thread(lambda: thread.run(lambda: call(wait))))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        thread.stop()
        return await running


class _Thread:
    """Knows whether the thread is still about its call, so that a stop never hits what comes after."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ident: int | None = None
        self.awaited: Future[Any] | None = None

    def run(self, call: Callable[[], T]) -> T:
        with self._lock:
            self._ident = threading.get_ident()
        try:
            return call()
        finally:
            with self._lock:
                self._ident = None

    def stop(self) -> None:
        if self.awaited is not None:
            self.awaited.cancel()  # no exception gets into a thread that waits for it
        with self._lock:
            if self._ident is not None:
                ident, problem = ctypes.c_ulong(self._ident), ctypes.py_object(TimedOut)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, problem)
