"""The zygote: imports the pool once and forks runners, so that one more process costs milliseconds.

It executes nothing itself. The worker asks for a runner with a frame and hands over its socket and its output pipe;
the zygote says which process it is, and later how that ended. Whatever a runner leaves behind is ended with it: its
process group at once, and what left the group when the zygote inherits it.

Invariant: single-threaded, and no thread is ever started here: only so a fork is safe.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, Final, NoReturn

from rfx import _linux
from rfx._frames import LENGTHS, FrameError
from rfx._output import dump


def _first_own_fd(limit: int) -> int:
    """Choose where our own descriptors begin, under a limit of open files."""
    return 800 if limit == resource.RLIM_INFINITY else min(800, limit // 2)


FIRST_OWN_FD: Final = _first_own_fd(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""High, so that functions which close what may be open up to a few hundred leave it alone; below the usual 1,024."""

_SWEEP: Final = 1.0
"""Seconds of killing what a runner left behind: what is killed may just have forked, and what hangs in the kernel does
not end before that lets go of it. Meanwhile nobody is forked."""

_ROUND: Final = 0.05
"""Seconds of waiting for what was killed, before those that it forked are killed, too."""


def unsafe() -> str | None:
    """Say why this process must not be forked, if so. Call it when the pool is imported."""
    threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if threads:
        return f"importing it started the threads {', '.join(threads)}, which a forked process would lack"
    if _linux.thread_count() > 1:
        _fork_once()  # libraries such as OpenBLAS stop their threads before a fork, and start them again
        if (left := _linux.thread_count()) > 1:
            return f"a library that it imports runs {left - 1} threads of its own, which a forked process would lack"
    if sockets := [fd for fd in _linux.open_sockets() if fd < FIRST_OWN_FD]:
        return f"importing it opened {len(sockets)} sockets, which all runners would share"
    if _linux.has_children():
        count = max(1, len(_linux.children()))
        return f"importing it started processes, of which {count} are left, and what a zygote inherits it ends"
    return None


class Zygote:
    """Forks runners for one worker."""

    def __init__(self, control: socket.socket, serve: Callable[[socket.socket, bool], NoReturn]) -> None:
        self._control = control
        self._serve = serve
        self._runners: dict[int, int] = {}
        """Process id to the number that the worker gave."""
        self._wake, self._woken = os.pipe()

    def run(self) -> None:
        """Serve until the worker is gone; then end all runners and what they left."""
        os.set_blocking(self._woken, False)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _noted)
        _linux.adopt_orphans()
        gc.collect()
        gc.freeze()  # so that the collector of a runner leaves the pages alone that it shares with us
        try:
            while self._step():
                pass
        finally:
            self._end_all()

    def _step(self) -> bool:
        ready, _, _ = select.select([self._control.fileno(), self._wake], [], [])
        if self._wake in ready:
            os.read(self._wake, 4096)
            self._reap()
        if self._control.fileno() not in ready:
            return True
        asked = self._receive()
        if asked is None:
            return False
        header, fds = asked
        if header.get("type") == "fork":
            self._fork(header, fds)
        elif header.get("type") == "sweep":
            self._sweep()
            self._reap()  # the sweep took the wake-ups
        else:
            raise FrameError(f"a frame of type {header.get('type')!r} is not known; the worker may be newer")
        return True

    def _fork(self, header: dict[str, Any], fds: list[int]) -> None:
        zygote = os.getpid()
        try:
            pid = os.fork()
        except OSError as problem:  # no room for one more: those that are there go on
            for fd in fds:
                os.close(fd)
            error = f"cannot fork: {problem.strerror or problem}"
            self._say({"type": "refused", "runner": header["runner"], "error": error})
            return
        if pid == 0:
            self._be_runner(zygote, header, fds)
        for fd in fds:
            os.close(fd)
        with contextlib.suppress(OSError):  # the child does the same: whoever is first
            os.setpgid(pid, pid)
        self._runners[pid] = header["runner"]
        self._say({"type": "forked", "runner": header["runner"], "pid": pid})

    def _be_runner(self, zygote: int, header: dict[str, Any], fds: list[int]) -> NoReturn:
        """Be a runner and nothing else: what leaves this must not reach `run`, which would end the other runners."""
        try:
            self._become_runner(zygote, header, fds)
        except BaseException:
            os.write(2, traceback.format_exc().encode(errors="backslashreplace"))
        finally:
            os._exit(1)

    def _become_runner(self, zygote: int, header: dict[str, Any], fds: list[int]) -> NoReturn:
        output = fds[1]
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        os.setpgid(0, 0)
        _linux.end_with_parent(zygote)
        _linux.adopt_orphans()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._control.close()
        os.close(self._wake)
        os.close(self._woken)
        peer = fcntl.fcntl(fds[0], fcntl.F_DUPFD_CLOEXEC, FIRST_OWN_FD)
        os.close(fds[0])
        _reseed()
        self._serve(socket.socket(fileno=peer), header["shared"])

    def _reap(self) -> None:
        """Take in what ended, runners and what they left behind."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            pid = ended.si_pid
            runner = self._runners.pop(pid, None)
            if runner is not None:
                _kill_group(pid)  # while the id is still taken
                by_signal = ended.si_code != os.CLD_EXITED
                code, by = (None, ended.si_status) if by_signal else (ended.si_status, None)
                # Also while it is taken: the worker must not signal another process that is given the same one.
                self._say({"type": "exited", "runner": runner, "pid": pid, "code": code, "signal": by})
            os.waitpid(pid, 0)
            if runner is not None and code != 0:
                self._sweep()

    def _sweep(self) -> None:
        """Kill every child that is no runner: we inherited it from one that ended.

        What does not end in time is taken in by `_reap` when it does. Takes wake-ups: reap afterwards.
        """
        ours = os.getpgrp()
        deadline = time.monotonic() + _SWEEP
        while left := [process for process in _linux.children() if process.pid not in self._runners]:
            for process in left:
                if process.group not in (ours, *self._runners):
                    _kill_group(process.group)
                with contextlib.suppress(OSError):
                    os.kill(process.pid, signal.SIGKILL)
            ended = [_has_ended(process.pid) for process in left]
            if time.monotonic() > deadline:
                return
            if not all(ended) and select.select([self._wake], [], [], _ROUND)[0]:
                os.read(self._wake, 4096)

    def _end_all(self) -> None:
        for pid in self._runners:
            _kill_group(pid)
        self._runners.clear()
        self._sweep()
        signal.set_wakeup_fd(-1)

    def _receive(self) -> tuple[dict[str, Any], list[int]] | None:
        """Read one frame with the descriptors that came with it; None when the worker is gone."""
        try:
            lengths, fds, _, _ = socket.recv_fds(self._control, LENGTHS.size, 2)
            rest = b"" if len(lengths) == LENGTHS.size else self._exactly(LENGTHS.size - len(lengths))
            if not lengths or rest is None:
                return None
            head, body = LENGTHS.unpack(lengths + rest)
            text = self._exactly(head + body)
        except OSError:
            return None
        if text is None:
            return None
        header: dict[str, Any] = json.loads(text[:head].decode())
        return header, list(fds)

    def _exactly(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            more = self._control.recv(size - len(data))
            if not more:
                return None
            data += more
        return data

    def _say(self, header: dict[str, Any]) -> None:
        head = dump(header)
        # A worker that is gone is noticed by the next read.
        with contextlib.suppress(OSError):
            self._control.sendall(LENGTHS.pack(len(head), 0) + head)


def _noted(_signal: int, _frame: object) -> None:
    """Do nothing: the signal's number is in the wake-up pipe."""


def _kill_group(group: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(group, signal.SIGKILL)


def _has_ended(child: int) -> bool:
    """Take a child in, if it has ended."""
    try:
        return os.waitpid(child, os.WNOHANG)[0] == child
    except ChildProcessError:
        return True


def _fork_once() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    deadline = time.monotonic() + 0.05
    while _linux.thread_count() > 1 and time.monotonic() < deadline:
        os.sched_yield()  # threads that were joined still leave the list


def _reseed() -> None:
    """Give each runner random numbers of its own; Python does so for `random`."""
    if "numpy" in sys.modules and "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
