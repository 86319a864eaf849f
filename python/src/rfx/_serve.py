"""A runner's work: take a call, execute its function, say how it ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import struct
import sys
import termios
import time
from collections.abc import Mapping
from typing import Any, Final

from rfx import _linux
from rfx._alarm import Alarm
from rfx._attempt import attempt
from rfx._context import Context
from rfx._errors import TimedOut
from rfx._fixtures import close_process, kept_children
from rfx._frames import Connection, Frame, FrameError, TooLarge
from rfx._function import Function
from rfx._link import AskError
from rfx._outcome import Error, Outcome, of_exception
from rfx._pool import Pool

_INT: Final = struct.Struct("i")
_NONE_UNREAD: Final = _INT.pack(0)
_OUTPUT: Final = 1


class FrameLink:
    """What a context asks and tells, as frames of its call."""

    def __init__(self, connection: Connection, call: int) -> None:
        self._connection = connection
        self._call = call

    def ask(self, what: str, fields: Mapping[str, Any], body: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """Ask the worker, and wait for its answer."""
        if what == "call" and self._connection.reader is not None and _in_loop():
            text = "ctx.call would hold up all that runs in this shared process: await ctx.call_async"
            raise AskError("CallError", text)
        try:
            frame = self._connection.ask({**fields, "type": "ask", "id": self._call, "what": what}, body)
        except TooLarge as problem:
            raise AskError("TooLarge", f"{what}: {problem}") from None
        error = frame.header.get("error")
        if error and "verdict" not in frame.header:  # with one, it is what became of a call
            raise AskError(error["type"], error["message"])
        return frame.header, frame.body

    def tell(self, what: str, fields: Mapping[str, Any]) -> None:
        """Tell the worker."""
        with contextlib.suppress(TooLarge):
            self._connection.send({**fields, "type": what, "id": self._call}, later=what == "span")


class Desk:
    """What serving one call at a time and serving many have in common."""

    def __init__(self, pool: Pool, connection: Connection) -> None:
        self.pool = pool
        self.connection = connection
        self._found: dict[tuple[str, str | None], Function | None] = {}

    def find(self, call: dict[str, Any]) -> Function | None:
        """Find the function of a call."""
        key = (call["function"], call.get("version"))
        if key not in self._found:
            self._found[key] = self.pool.find(*key)
        return self._found[key]

    def unknown(self, call: dict[str, Any]) -> Outcome:
        """Say that the pool has no such function."""
        name, version = call["function"], call.get("version")
        wanted = f"{name} version {version}" if version else name
        versions = [e.function.version for e in self.pool.entries if e.function.name == name]
        known = f"it has version {', '.join(versions)}" if versions else "no function has that name"
        text = f"the pool {self.pool.manifest.name} has no {wanted}: {known}"
        return Outcome("error", b"", Error("UnknownFunction", text))

    def context(self, call: dict[str, Any]) -> Context:
        """Make the context of a call."""
        return Context(
            function=call["function"],
            run=call.get("run", ""),
            flow=call.get("flow", ""),
            step=call.get("step", ""),
            job=call.get("job", ""),
            attempt=call.get("attempt", 1),
            deadline=call.get("deadline"),
            target=call.get("target"),
            secrets=call.get("secrets"),
            traceparent=call.get("traceparent"),
            key=call.get("key"),
            group=call.get("group", ""),
            queue=call.get("queue", ""),
            link=FrameLink(self.connection, call["id"]),
        )

    def answer(self, call: int, outcome: Outcome, **more: object) -> None:
        """Say how a call ended: at once, since the next one may take the process along."""
        try:
            self.connection.send({**end(call, outcome), **more}, outcome.body)
        except TooLarge as problem:
            text = f"the error and assertions of the outcome take {problem}"
            self.connection.send({**end(call, Outcome("error", b"", Error("OutputError", text))), **more})


class Serial:
    """Executes one call at a time, in the main thread, where a function may do as it likes."""

    def __init__(self, pool: Pool, connection: Connection) -> None:
        self._desk = Desk(pool, connection)
        self._connection = connection
        self._alarm = Alarm(self._is_meant)
        self._current = 0
        connection.shield = self._alarm

    def serve(self) -> int:
        """Execute calls until the worker is gone, or one leaves the process unfit; gives the exit code."""
        self._alarm.install()
        while (frame := self._connection.receive()) is not None:
            if frame.header.get("type") != "call":
                raise FrameError(f"a frame of type {frame.header.get('type')!r} is not known; the worker may be newer")
            if not self._take(frame):
                break
        self._connection.flush()
        close_process()
        flush()
        return 3 if _linux.has_children() else 0

    def _take(self, frame: Frame) -> bool:
        """Execute a call and answer it; False when this process is not to be used again."""
        call, body = frame
        self._current = call["id"]
        begun = time.perf_counter()
        outcome = self._execute(call, body)
        took = time.perf_counter() - begun
        flush()
        left = has_strays()
        fit = outcome.kind == "passed" and not left and call.get("isolation") != "fresh"
        self._desk.answer(call["id"], outcome, retire=not fit, left=left, memory=_memory(), took=took)
        if fit and _unread():
            # What the next call prints must not be taken for what this one did.
            self._connection.ask({"type": "printed", "id": call["id"]})
        self._connection.stops.discard(call["id"])
        return fit

    def _execute(self, call: dict[str, Any], body: bytes) -> Outcome:
        function = self._desk.find(call)
        if function is None:
            return self._desk.unknown(call)
        ctx = self._desk.context(call)
        alarm = self._alarm
        try:
            alarm.arm()
            outcome = attempt(function, body, ctx)
            alarm.disarm()
        except TimedOut as late:  # it came while the outcome was being made
            outcome = of_exception(late, ctx)
        return keep_timeout(outcome) if alarm.fired else outcome

    def _is_meant(self) -> bool:
        """Look at what came with the signal: a stop of this call, or the wish to have later ones back."""
        self._connection.poll()
        self._connection.give_back()
        return self._current in self._connection.stops


def end(call: int, outcome: Outcome) -> dict[str, Any]:
    """Describe how a call ended."""
    error = outcome.error
    return {
        "type": "end",
        "id": call,
        "kind": outcome.kind,
        "error": None if error is None else error._asdict(),
        "assertions": [assertion._asdict() for assertion in outcome.assertions],
    }


def flush() -> None:
    """Push out what the function printed. A function that broke its streams loses only its own text."""
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105 - a context manager takes as long as the flush
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass


def keep_timeout(outcome: Outcome) -> Outcome:
    """A function that caught its timeout has timed out all the same."""
    if outcome.error is not None and outcome.error.type == TimedOut.__name__:
        return outcome
    text = f"the time of the attempt is over; the function caught TimedOut and ended as {outcome.kind}"
    traceback = outcome.error.traceback if outcome.error else None
    return Outcome("error", b"", Error(TimedOut.__name__, text, traceback), outcome.assertions)


def has_strays() -> bool:
    """Whether a function left processes behind, other than those that fixtures of this process keep."""
    if not _linux.has_children():
        return False
    if not (kept := kept_children()):
        return True
    return any(p.parent == os.getpid() and p.pid not in kept for p in _linux.processes())


def _in_loop() -> bool:
    """Whether an event loop runs in this thread."""
    return sys.modules["asyncio"]._get_running_loop() is not None


def _unread() -> int:
    """Bytes that were printed and that the worker has not read yet."""
    try:
        return int(_INT.unpack(fcntl.ioctl(_OUTPUT, termios.FIONREAD, _NONE_UNREAD))[0])
    except OSError:  # the function closed it
        return 0


def _memory() -> int:
    """The most memory that this process ever had, in KiB (on macOS in bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
