"""The process that executes the functions of a pool for a worker: `python -m rfx.runner --pool DIR`.

The worker passes a connected AF_UNIX stream socket as fd 0 and pipes as fds 1 and 2. A frame is
`u32 BE header length, u32 BE body length, header (UTF-8 JSON), body`, at most 16 MiB and 64 MiB.

- First the runner sends `hello` with the functions of the pool and what is broken in it, or `fatal` and exits 1.
- The worker sends `call`, with the input as JSON in the body. Calls are executed one at a time, in order, and
  may be sent ahead, as long as the worker reads the answers meanwhile.
- The runner answers each with one `end`, the output as JSON in the body; `progress` may come before it. stdout and
  stderr are flushed before `end`.
- SIGUSR1 is the soft timeout. SIGINT and SIGTERM are left to the worker, which closes the socket or kills the
  process group. When the socket is closed the runner exits quietly.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from rfx._alarm import Alarm
from rfx._attempt import attempt
from rfx._context import Context
from rfx._errors import PoolError, TimedOut
from rfx._frames import Connection, FrameError, HeaderTooLarge, PeerGone
from rfx._function import Function
from rfx._link import AskError
from rfx._outcome import Error, Outcome, of_exception
from rfx._pool import Entry, Pool, load

PROTOCOL: Final = 1
_FIRST_OWN_FD: Final = 100


class Runner:
    """Answers the calls of one worker."""

    def __init__(self, pool: Pool, connection: Connection) -> None:
        self._pool = pool
        self._connection = connection
        self._alarm = Alarm()
        self._found: dict[tuple[str, str | None], Function | None] = {}

    def serve(self) -> None:
        """Say hello, then execute calls until the worker is gone."""
        self._alarm.install()
        self._connection.send(hello(self._pool))
        while (frame := self._connection.receive()) is not None:
            header, body = frame
            if header.get("type") != "call":
                raise FrameError(f"a frame of type {header.get('type')!r} is not known; the worker may be newer")
            self._answer(header["id"], self._execute(header, body))

    def _execute(self, call: dict[str, Any], body: bytes) -> Outcome:
        function = self._find(call["function"], call.get("version"))
        if function is None:
            return self._unknown(call)
        ctx = self._context(call)
        alarm = self._alarm
        try:
            alarm.arm()
            outcome = attempt(function, body, ctx)
            alarm.disarm()
        except TimedOut as late:  # it came while the outcome was being made
            outcome = of_exception(late, ctx)
        return _keep_timeout(outcome) if alarm.fired else outcome

    def _find(self, name: str, version: str | None) -> Function | None:
        key = (name, version)
        if key not in self._found:
            self._found[key] = self._pool.find(name, version)
        return self._found[key]

    def _unknown(self, call: dict[str, Any]) -> Outcome:
        name, version = call["function"], call.get("version")
        wanted = f"{name} version {version}" if version else name
        versions = [e.function.version for e in self._pool.entries if e.function.name == name]
        known = f"it has version {', '.join(versions)}" if versions else "no function has that name"
        text = f"the pool {self._pool.manifest.name} has no {wanted}: {known}"
        return Outcome("error", b"", Error("UnknownFunction", text))

    def _context(self, call: dict[str, Any]) -> Context:
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
            link=self._link(call["id"]),
        )

    def _link(self, call_id: int) -> _FrameLink:
        return _FrameLink(self, call_id)

    def tell(self, call_id: int, what: str, fields: Mapping[str, Any]) -> None:
        """Tell the worker something about a call."""
        with self._alarm.shield():
            self._connection.send({**fields, "type": what, "id": call_id})

    def _answer(self, call_id: int, outcome: Outcome) -> None:
        flush()
        try:
            self._connection.send(end(call_id, outcome), outcome.body)
        except HeaderTooLarge as problem:
            text = f"the error and assertions of the outcome take {problem}"
            self._connection.send(end(call_id, Outcome("error", b"", Error("OutputError", text))))


class _FrameLink(NamedTuple):
    """What a context tells, as frames of its call."""

    runner: Runner
    call_id: int

    def ask(self, what: str, fields: Mapping[str, Any], body: bytes = b"") -> tuple[dict[str, Any], bytes]:
        raise AskError("Unsupported", f"{what}: this worker does not answer it yet")

    def tell(self, what: str, fields: Mapping[str, Any]) -> None:
        self.runner.tell(self.call_id, what, fields)


def hello(pool: Pool) -> dict[str, Any]:
    """Describe the pool to the worker."""
    manifest = pool.manifest
    return {
        "type": "hello",
        "protocol": PROTOCOL,
        "python": ".".join(map(str, sys.version_info[:3])),
        "pid": os.getpid(),
        "pool": {"name": manifest.name, "description": manifest.description, "version": manifest.version},
        "functions": [_described(entry) for entry in pool.entries],
        "broken": [broken._asdict() for broken in pool.broken],
    }


def end(call_id: int, outcome: Outcome) -> dict[str, Any]:
    """Describe how a call ended."""
    error = outcome.error
    return {
        "type": "end",
        "id": call_id,
        "kind": outcome.kind,
        "error": None if error is None else error._asdict(),
        "assertions": [assertion._asdict() for assertion in outcome.assertions],
    }


def flush() -> None:
    """Push out what the function printed. A function that broke its streams loses only its own text."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def main() -> NoReturn:
    """Run until the worker is gone."""
    if len(sys.argv) != 3 or sys.argv[1] != "--pool":  # argparse takes longer to import than all else here
        sys.exit("usage: python -m rfx.runner --pool DIR")
    directory = Path(sys.argv[2])
    connection = Connection(_take_socket())
    _prepare_process(connection, directory)
    try:
        status = _run(directory, connection)
    except PeerGone:
        status = 0
    flush()
    os._exit(status)  # not sys.exit: threads that a function left behind must not hold the process


def _run(directory: Path, connection: Connection) -> int:
    try:
        pool = load(directory)
    except (PoolError, OSError) as problem:
        connection.send({"type": "fatal", "error": str(problem)})
        return 1
    try:
        Runner(pool, connection).serve()
    except FrameError as problem:
        print(f"rfx.runner: {problem}", file=sys.stderr)
        return 1
    return 0


def _take_socket() -> socket.socket:
    """Move the socket out of the way of functions: off fd 0, and closed in what they start."""
    try:
        own = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, _FIRST_OWN_FD)
        peer = socket.socket(fileno=own)
    except OSError:
        sys.exit("rfx.runner: stdin is not a socket; this program is started by rfx-worker")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return peer


def _prepare_process(connection: Connection, directory: Path) -> None:
    faulthandler.enable()
    # The streams are pipes: without this, a crash would lose what was printed before it.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    # Handlers and not SIG_IGN, which would be inherited by the programs that functions start.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave_to_the_worker)
    os.register_at_fork(after_in_child=connection.close)
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = str(directory.resolve())  # where `-m` put the current folder, which is the worker's


def _leave_to_the_worker(_signal: int, _frame: object) -> None:
    """Do nothing: Ctrl-C goes to the whole process group, and the worker decides what it means."""


def _described(entry: Entry) -> dict[str, Any]:
    function = entry.function
    return {
        "name": function.name,
        "version": function.version,
        "doc": function.doc,
        "tags": function.tags,
        "owner": function.owner,
        "queue": function.queue,
        "state": list(function.state),
        "timeout": function.timeout,
        "isolation": function.isolation,
        "retry": None if function.retry is None else function.retry.described(),
        "secrets": list(function.secrets),
        "examples": list(function.examples),
        "async": function.is_async,
        "input_schema": function.signature.input_schema(),
        "output_schema": function.signature.output_schema(),
        "file": entry.file,
        "line": function.line,
        "digest": entry.digest,
    }


def _keep_timeout(outcome: Outcome) -> Outcome:
    """A function that caught its timeout has timed out all the same."""
    if outcome.error is not None and outcome.error.type == TimedOut.__name__:
        return outcome
    text = f"the time of the attempt is over; the function caught TimedOut and ended as {outcome.kind}"
    traceback = outcome.error.traceback if outcome.error else None
    return Outcome("error", b"", Error(TimedOut.__name__, text, traceback), outcome.assertions)


if __name__ == "__main__":
    main()
