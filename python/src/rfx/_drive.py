"""One piece of code for sync and async: it yields what it waits for, and a driver does the waiting.

So fixtures, state and attempts are written once. A step is an awaitable, an event that another thread sets, or a
pause in seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Generator
from contextvars import copy_context
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

T = TypeVar("T")

Step: TypeAlias = Awaitable[Any] | threading.Event | float
Steps: TypeAlias = Generator[Step, Any, T]

pauses: Final = threading.local()
"""`sleep` of a thread that must be able to wake up earlier."""


def no_awaiting(step: Awaitable[Any]) -> NoReturn:
    """The waiter of steps that hold no awaitable."""
    raise TypeError(f"{step!r} cannot be awaited here")


def drive(steps: Steps[T], wait: Callable[[Awaitable[Any]], Any] = no_awaiting) -> T:
    """Take the steps in this thread; `wait` awaits."""
    try:
        step = next(steps)
        while True:
            try:
                value = _wait(step, wait)
            except BaseException as problem:  # it belongs to whoever waits
                step = steps.throw(problem)
            else:
                step = steps.send(value)
    except StopIteration as end:
        result: T = end.value
        return result


async def drive_async(steps: Steps[T]) -> T:
    """Take the steps in the running event loop."""
    try:
        step = next(steps)
        while True:
            try:
                value = await _awaitable(step)
            except BaseException as problem:  # it belongs to whoever waits
                step = steps.throw(problem)
            else:
                step = steps.send(value)
    except StopIteration as end:
        result: T = end.value
        return result


async def in_thread(call: Callable[[], T]) -> T:
    """Run something that blocks in a thread of its own, with the contextvars of here.

    Not in the threads of the loop's executor: these are few, and what blocks here may wait for what waits there.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, problem: BaseException | None) -> None:
        if done.done():
            return  # nobody waits any more
        if problem is None:
            done.set_result(result)  # type: ignore[arg-type]  # without a problem it is one
        else:
            done.set_exception(problem)

    def run() -> None:
        result: T | None = None
        problem: BaseException | None = None
        try:
            result = call()
        except StopIteration as stop:  # a future refuses it
            problem = RuntimeError(f"StopIteration: {stop}")
        except BaseException as raised:
            problem = raised
        try:
            loop.call_soon_threadsafe(settle, result, problem)
        except RuntimeError:  # the loop has ended
            return

    threading.Thread(target=copy_context().run, args=(run,), daemon=True, name="rfx").start()
    return await done


async def as_coroutine(awaitable: Awaitable[T]) -> T:
    """Make a coroutine of anything that can be awaited, as tasks want it."""
    return await awaitable


def _wait(step: Step, wait: Callable[[Awaitable[Any]], Any]) -> object:
    sleep: Callable[[float], object] | None = getattr(pauses, "sleep", None)
    if isinstance(step, threading.Event):
        return step.wait() if sleep is None else wait(in_thread(step.wait))
    if isinstance(step, (int, float)):
        (sleep or time.sleep)(step)
        return None
    return wait(step)


async def _awaitable(step: Step) -> object:
    if isinstance(step, threading.Event):
        return await in_thread(step.wait)
    if isinstance(step, (int, float)):
        import asyncio

        await asyncio.sleep(step)
        return None
    return await step
