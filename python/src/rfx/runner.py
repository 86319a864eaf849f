"""The process that executes the functions of a pool for a worker: `python -m rfx.runner --pool DIR`.

The worker passes a connected AF_UNIX stream socket as fd 0 and pipes as fds 1 and 2. What is said over it stands in
`docs/runner-protocol.md`. First it imports the pool and says `hello`. Where it is safe to fork it is then the zygote of
the pool: it forks a runner whenever the worker asks for one. Otherwise it says why, and is itself a runner, as
it is when started with `--runner` or, for many calls at once, with `--shared`.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import signal
import socket
import stat
import sys
import traceback
from pathlib import Path
from typing import Any, Final, NoReturn

from rfx import _linux
from rfx._errors import PoolError
from rfx._fixtures import keep_children
from rfx._frames import Connection, FrameError, PeerGone
from rfx._pool import Entry, Pool, load
from rfx._serve import Serial, flush
from rfx._zygote import FIRST_OWN_FD, Zygote, unsafe

PROTOCOL: Final = 2
_MODES: Final = ("--zygote", "--runner", "--shared")


def hello(pool: Pool, reason: str | None) -> dict[str, Any]:
    """Describe the pool to the worker. The reason is why this process is not to be forked; None when it may be."""
    manifest = pool.manifest
    return {
        "type": "hello",
        "protocol": PROTOCOL,
        "python": ".".join(map(str, sys.version_info[:3])),
        "pid": os.getpid(),
        "forks": reason is None,
        "reason": reason,
        "pool": {"name": manifest.name, "description": manifest.description, "version": manifest.version},
        "functions": [_described(entry) for entry in pool.entries],
        "broken": [broken._asdict() for broken in pool.broken],
    }


def main() -> NoReturn:
    """Run until the worker is gone."""
    arguments = sys.argv[1:]
    mode = arguments.pop() if arguments and arguments[-1] in _MODES else "--zygote"
    if len(arguments) != 2 or arguments[0] != "--pool":  # argparse takes longer to import than all else here
        sys.exit("usage: python -m rfx.runner --pool DIR [--runner | --shared]")
    directory = Path(arguments[1])
    peer = _take_socket()
    connection = Connection(peer)
    _prepare_process(directory)
    try:
        pool = load(directory)
    except (PoolError, OSError) as problem:
        connection.send({"type": "fatal", "error": str(problem)})
        _exit(1)
    reason = "this process was started as a runner" if mode != "--zygote" else _why_not_fork()
    try:
        connection.send(hello(pool, reason))
    except PeerGone:
        _exit(0)
    if reason is not None:
        _linux.adopt_orphans()
        keep_children()
        _serve(pool, connection, shared=mode == "--shared")
    if any(entry.function.is_async for entry in pool.entries):
        import asyncio  # noqa: F401 - so that runners need not
    flush()
    try:
        Zygote(peer, lambda peer, shared: _serve(pool, Connection(peer), shared)).run()
    except FrameError as problem:
        print(f"rfx.runner: {problem}", file=sys.stderr)
        _exit(1)
    _exit(0)


def _serve(pool: Pool, connection: Connection, shared: bool) -> NoReturn:
    """Be a runner, until the worker is gone or the process is worn."""
    os.register_at_fork(after_in_child=connection.close)
    try:
        if shared:
            from rfx import _shared  # asyncio is slow to import, and few need it

            status = _shared.serve(pool, connection)
        else:
            status = Serial(pool, connection).serve()
    except PeerGone:
        status = 3 if _linux.has_children() else 0
    except FrameError as problem:
        print(f"rfx.runner: {problem}", file=sys.stderr)
        status = 1
    except BaseException:  # a task that called sys.exit, or streams that are broken
        os.write(2, traceback.format_exc().encode(errors="backslashreplace"))
        status = 1
    _exit(status)


def _exit(status: int) -> NoReturn:
    try:
        flush()
    finally:
        os._exit(status)  # not sys.exit: threads that a function left behind must not hold the process


def _why_not_fork() -> str | None:
    if not hasattr(os, "fork"):
        return "this system cannot fork"
    return unsafe()


def _take_socket() -> socket.socket:
    """Move the socket out of the way of functions: off fd 0, and closed in what they start."""
    if not _is_socket(0):
        sys.exit("rfx.runner: stdin is not a socket; this program is started by rfx-worker")
    try:
        own = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, FIRST_OWN_FD)
    except OSError as problem:
        text = f"the socket cannot be moved to file descriptor {FIRST_OWN_FD} or above: {problem.strerror}"
        sys.exit(f"rfx.runner: {text}; raise the limit of open files (ulimit -n)")
    peer = socket.socket(fileno=own)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return peer


def _is_socket(fd: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:  # it is closed
        return False


def _prepare_process(directory: Path) -> None:
    _linux.prepare()
    faulthandler.enable()
    # Works whatever the process is busy with: the worker sends it before it kills, so that every timeout says where.
    faulthandler.register(signal.SIGUSR2, all_threads=True)
    # The streams are pipes: without this, a crash would lose what was printed before it.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    # Handlers and not SIG_IGN, which would be inherited by the programs that functions start.
    # SIGUSR1 would end the process if it came before the one who takes it is ready.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, _leave_to_the_worker)
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


if __name__ == "__main__":
    main()
