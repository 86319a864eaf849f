"""A runner that executes many calls at once: async functions in one event loop, the others in a thread each.

What tells calls apart here is Python's own context: what a function prints with Python is its own, what a C library
or a child process prints belongs to nobody. A thread that is blocked in C cannot be stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, TextIO

from rfx._attempt import attempt_async
from rfx._errors import TimedOut
from rfx._fixtures import close_process_async
from rfx._frames import Connection, Frame
from rfx._outcome import Error, Outcome
from rfx._pool import Pool
from rfx._serve import Desk, flush, keep_timeout
from rfx._threads import Shield, is_stopped, wakers

_HEAD: Final = 4 << 10
_TAIL: Final = 12 << 10


class Tail:
    """What one call printed: its start and its end, and how much is missing in between."""

    def __init__(self) -> None:
        self._head = ""
        self._tail: deque[str] = deque()
        self._size = 0
        self._dropped = 0

    def add(self, text: str) -> None:
        """Take more."""
        room = _HEAD - len(self._head)
        self._head += text[:room]
        rest = text[room:][-_TAIL:]
        self._dropped += len(text[room:]) - len(rest)
        if rest:
            self._tail.append(rest)
            self._size += len(rest)
        while self._size - len(self._tail[0] if self._tail else "") >= _TAIL:
            gone = len(self._tail.popleft())
            self._size -= gone
            self._dropped += gone

    def text(self) -> str:
        """All that is kept."""
        tail = "".join(self._tail)
        cut = max(0, len(tail) - _TAIL)
        dropped = self._dropped + cut
        return self._head + (f"\n… {dropped} characters left out …\n" if dropped else "") + tail[cut:]


_printed: Final[ContextVar[Tail | None]] = ContextVar("rfx.tail", default=None)


class Sorted(io.TextIOBase):
    """A text stream that gives each call what it printed itself."""

    def __init__(self, beneath: TextIO) -> None:
        self._beneath = beneath

    def write(self, text: str) -> int:
        """Write for the call that is running here, else beneath."""
        printed = _printed.get()
        if printed is None:
            self._beneath.write(text)
        else:
            printed.add(text)
        return len(text)

    def flush(self) -> None:
        """Push out what belongs to nobody."""
        self._beneath.flush()

    def fileno(self) -> int:
        """The descriptor beneath, for those who pass it on."""
        return int(self._beneath.fileno())

    def writable(self) -> bool:
        """It is."""
        return True


class Shared:
    """Executes many calls at once."""

    def __init__(self, pool: Pool, connection: Connection) -> None:
        self._desk = Desk(pool, connection)
        self._connection = connection
        self._running: dict[int, asyncio.Task[Outcome]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> int:
        """Execute calls until the worker is gone; gives the exit code."""
        sys.stdout, sys.stderr = Sorted(sys.stdout), Sorted(sys.stderr)
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        # No call may be stopped in the midst of a frame, and none may wait on for an answer that is stopped.
        self._connection.shield, self._connection.interrupted = Shield(), is_stopped
        wakers.append(self._connection.wake)
        # From the loop, since that is what must move for calls to get on.
        self._connection.on_ping = lambda: _soon(loop, self._connection.pong)
        self._connection.on_stop = lambda call: _soon(loop, self._stop, call)

        def read() -> None:
            while (frame := self._connection.receive()) is not None:
                _soon(loop, self._begin, frame)
            _soon(loop, over.set)

        reader = self._connection.reader = threading.Thread(target=read, name="rfx.frames", daemon=True)
        reader.start()
        await over.wait()
        await close_process_async()
        return 3

    def _begin(self, frame: Frame) -> None:
        task = asyncio.create_task(self._take(*frame))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, call: dict[str, Any], body: bytes) -> None:
        number = call["id"]
        printed = Tail()
        _printed.set(printed)  # the attempt is a task of its own, which inherits this
        function = self._desk.find(call)
        if function is None:
            outcome = self._desk.unknown(call)
        elif number in self._connection.stops:
            outcome = Outcome("error", b"", Error(TimedOut.__name__, "it was stopped before it began"))
        else:
            attempt = attempt_async(function, body, self._desk.context(call))
            running = self._running[number] = asyncio.create_task(attempt)
            outcome = await running
            del self._running[number]
        if number in self._connection.stops:
            self._connection.stops.discard(number)
            outcome = keep_timeout(outcome)
        self._desk.answer(number, outcome, tail=printed.text())
        self._connection.flush()

    def _stop(self, call: int) -> None:
        # One that has not begun yet looks for itself: a task that is cancelled before its first step never takes it.
        if (running := self._running.get(call)) is not None:
            asyncio.get_running_loop().call_soon(running.cancel)


def serve(pool: Pool, connection: Connection) -> int:
    """Execute calls until the worker is gone; gives the exit code."""
    status = asyncio.run(Shared(pool, connection).serve())
    flush()
    return status


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *arguments: object) -> None:
    """Have something done in the loop, unless that is closed already."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *arguments)
