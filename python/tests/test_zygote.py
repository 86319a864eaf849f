"""The zygote as the worker sees it: it forks runners, tells how they end, and leaves nothing behind."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import pytest
from conftest import SOURCE, MakePool

MODULE = """
import os, random, subprocess, sys, time
import rfx

STARTED = os.getpid()

@rfx.function
def pids():
    return {"imported_in": STARTED, "here": os.getpid(), "random": random.random()}

@rfx.function
def daemons():
    pids = []
    for _ in range(2):
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.write(writer, b"%d" % os.getpid())
                os.closerange(0, 3)
                time.sleep(600)
            os._exit(0)
        os.wait()
        pids.append(int(os.read(reader, 20)))
    return pids

@rfx.function
def leaves_and_stays():
    print(daemons()[0], flush=True)
    time.sleep(600)

@rfx.function
def exits():
    os._exit(0)

@rfx.function
async def leaves_a_task_that_exits():
    import asyncio

    async def leave():
        sys.exit(4)

    asyncio.get_running_loop().call_later(0.01, lambda: asyncio.ensure_future(leave()))

class Broken:
    def __init__(self, problem):
        self.problem = problem

    def write(self, text):
        return len(text)

    def flush(self):
        raise self.problem

@rfx.function
def breaks_its_streams():
    sys.stdout = Broken(RuntimeError("broken"))

@rfx.function
def leaves_by_its_streams():
    sys.stdout = Broken(SystemExit(5))
"""


_PTRACE_SEIZE = 0x4206


class Runner:
    """A forked runner."""

    def __init__(self, number: int, peer: socket.socket, output: IO[bytes]) -> None:
        self.number = number
        self.peer = peer
        self.frames = peer.makefile("rb")
        self.output = output
        self.pid = 0

    def call(self, function: str, **fields: object) -> tuple[dict[str, Any], Any]:
        """Call a function and read how it ended."""
        write(self.peer, {"type": "call", "id": 1, "function": function, "version": None, **fields})
        header, body = read(self.frames)
        return header, json.loads(body) if body else None


class Zygote:
    """The worker's end of a zygote."""

    def __init__(self, pool: Path, cleanup: ExitStack) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(20)
        command = [sys.executable, "-m", "rfx.runner", "--pool", str(pool), "--zygote"]
        with theirs:
            env = {**os.environ, "PYTHONPATH": str(SOURCE)}
            self.process = subprocess.Popen(command, stdin=theirs.fileno(), env=env)
        cleanup.enter_context(self.process)
        self.control = cleanup.enter_context(ours)
        self.frames = cleanup.enter_context(ours.makefile("rb"))
        self._cleanup = cleanup
        self._started = 0
        cleanup.callback(self.process.kill)
        self.hello = self.said()

    def said(self) -> dict[str, Any]:
        """Read what it says."""
        return read(self.frames)[0]

    def fork(self, *, shared: bool = False) -> Runner:
        """Have a runner forked."""
        runner, told = self.ask(shared=shared)
        assert (told["type"], told["runner"]) == ("forked", self._started)
        runner.pid = told["pid"]
        return runner

    def ask(self, *, shared: bool = False) -> tuple[Runner, dict[str, Any]]:
        """Ask for a runner; also what the zygote says to that."""
        self._started += 1
        ours, theirs = socket.socketpair()
        ours.settimeout(20)
        reader, writer = os.pipe()
        output = self._cleanup.enter_context(os.fdopen(reader, "rb"))
        header = json.dumps({"type": "fork", "runner": self._started, "shared": shared}).encode()
        frame = struct.pack(">II", len(header), 0) + header
        socket.send_fds(self.control, [frame], [theirs.fileno(), writer])
        theirs.close()
        os.close(writer)
        runner = Runner(self._started, self._cleanup.enter_context(ours), output)
        return runner, self.said()


def write(peer: socket.socket, header: dict[str, Any]) -> None:
    head = json.dumps(header).encode()
    peer.sendall(struct.pack(">II", len(head), 0) + head)


def read(frames: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    header, body = struct.unpack(">II", frames.read(8))
    return json.loads(frames.read(header)), frames.read(body)


def gone(pid: int) -> bool:
    """Whether a process has ended; one that waits for its parent has, too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def eventually(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def start() -> Iterator[Callable[[Path], Zygote]]:
    """Start a zygote on a pool."""
    with ExitStack() as cleanup:
        yield lambda pool: Zygote(pool, cleanup)


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="orphans are inherited on Linux only")


def test_runners_are_forks_of_one_import_with_random_numbers_of_their_own(
    make_pool: MakePool, start: Callable[[Path], Zygote]
) -> None:
    zygote = start(make_pool(m=MODULE))
    assert (zygote.hello["forks"], zygote.hello["reason"]) == (True, None)
    seen = [zygote.fork().call("m.pids")[1] for _ in range(3)]
    assert {one["imported_in"] for one in seen} == {zygote.process.pid}
    assert len({one["here"] for one in seen}) == 3
    assert len({one["random"] for one in seen}) == 3


def test_how_a_runner_ended_is_told(make_pool: MakePool, start: Callable[[Path], Zygote]) -> None:
    zygote = start(make_pool(m=MODULE))
    runner = zygote.fork()
    runner.peer.shutdown(socket.SHUT_RDWR)
    assert zygote.said() == {"type": "exited", "runner": 1, "pid": runner.pid, "code": 0, "signal": None}
    runner = zygote.fork()
    os.kill(runner.pid, signal.SIGKILL)
    assert zygote.said() == {"type": "exited", "runner": 2, "pid": runner.pid, "code": None, "signal": 9}


def test_what_a_call_left_in_sessions_of_its_own_is_ended_with_its_runner(
    make_pool: MakePool, start: Callable[[Path], Zygote]
) -> None:
    zygote = start(make_pool(m=MODULE))
    other, runner = zygote.fork(), zygote.fork()
    kept = other.call("m.daemons")[1]
    end, pids = runner.call("m.daemons")
    assert (end["kind"], end["left"], end["retire"]) == ("passed", True, True)
    assert {zygote.said()["runner"], zygote.said()["runner"]} == {1, 2}
    eventually(lambda: all(gone(pid) for pid in [*pids, *kept]))


def test_those_of_a_runner_that_hides_its_end_are_swept_when_asked(
    make_pool: MakePool, start: Callable[[Path], Zygote]
) -> None:
    zygote = start(make_pool(m=MODULE))
    runner = zygote.fork()
    write(runner.peer, {"type": "call", "id": 1, "function": "m.exits", "version": None})
    assert zygote.said()["code"] == 0
    write(zygote.control, {"type": "sweep"})
    assert zygote.fork().call("m.pids")[0]["kind"] == "passed"


@pytest.mark.parametrize(
    ("function", "shared", "ends", "says"),
    [
        ("m.leaves_a_task_that_exits", True, True, b"SystemExit: 4"),
        ("m.leaves_by_its_streams", False, True, b"SystemExit: 5"),
        ("m.breaks_its_streams", False, False, b""),
    ],
)
def test_a_runner_that_breaks_ends_no_other(
    make_pool: MakePool, start: Callable[[Path], Zygote], function: str, shared: bool, ends: bool, says: bytes
) -> None:
    zygote = start(make_pool(m=MODULE))
    others = [zygote.fork(), zygote.fork(shared=True)]
    runner = zygote.fork(shared=shared)
    write(runner.peer, {"type": "call", "id": 1, "function": function, "version": None})
    if ends:
        told = zygote.said()
        assert (told["type"], told["runner"], told["code"]) == ("exited", 3, 1)
        assert says in runner.output.read()
    else:
        assert read(runner.frames)[0]["kind"] == "passed"
    assert [other.call("m.pids")[0]["kind"] for other in others] == ["passed"] * 2


def test_a_runner_that_cannot_begin_ends_no_other(make_pool: MakePool, start: Callable[[Path], Zygote]) -> None:
    zygote = start(make_pool(m=MODULE))
    other = zygote.fork()
    # No descriptor is left for its socket.
    resource.prlimit(zygote.process.pid, resource.RLIMIT_NOFILE, (20, 20))
    runner = zygote.fork()
    assert zygote.said() == {"type": "exited", "runner": 2, "pid": runner.pid, "code": 1, "signal": None}
    assert b"OSError" in runner.output.read()
    assert other.call("m.pids")[0]["kind"] == "passed"


def test_a_fork_that_fails_is_refused(make_pool: MakePool, start: Callable[[Path], Zygote]) -> None:
    # Processes of the superuser are not counted, and those of an ordinary user would be all on the machine.
    limit = "import os\ndef refuse(): raise BlockingIOError(11, 'Resource temporarily unavailable')\n"
    zygote = start(make_pool(m=MODULE, other=limit + "fork, os.fork = os.fork, refuse"))
    runner, told = zygote.ask()
    error = "cannot fork: Resource temporarily unavailable"
    assert told == {"type": "refused", "runner": 1, "error": error}
    assert runner.peer.recv(1) == b""  # nobody holds its ends any more
    assert runner.output.read() == b""
    assert zygote.process.poll() is None


def test_the_end_of_a_runner_is_told_before_what_it_left_is_swept_and_the_sweep_has_an_end(
    make_pool: MakePool, start: Callable[[Path], Zygote]
) -> None:
    zygote = start(make_pool(m=MODULE))
    runner = zygote.fork()
    write(runner.peer, {"type": "call", "id": 1, "function": "m.leaves_and_stays", "version": None})
    held = int(runner.output.readline())
    # What somebody traces cannot be taken in by its parent, as what hangs in the kernel cannot.
    libc = ctypes.CDLL(None)
    if libc.ptrace(_PTRACE_SEIZE, held, 0, 0) != 0:
        pytest.skip("processes cannot be traced here")
    try:
        begun = time.monotonic()
        os.kill(runner.pid, signal.SIGKILL)
        told = zygote.said()
        assert (told["type"], told["runner"]) == ("exited", 1)
        assert time.monotonic() - begun < 0.9
        assert zygote.fork().call("m.pids")[0]["kind"] == "passed"
    finally:
        os.waitpid(held, 0)


@pytest.mark.parametrize("shared", [False, True])
def test_all_end_with_the_worker(make_pool: MakePool, start: Callable[[Path], Zygote], shared: bool) -> None:
    zygote = start(make_pool(m=MODULE))
    runners = [zygote.fork(shared=shared) for _ in range(3)]
    zygote.control.shutdown(socket.SHUT_RDWR)
    assert zygote.process.wait(20) == 0
    eventually(lambda: all(gone(runner.pid) for runner in runners))


def test_all_end_with_a_zygote_that_is_killed(make_pool: MakePool, start: Callable[[Path], Zygote]) -> None:
    zygote = start(make_pool(m=MODULE))
    runners = [zygote.fork() for _ in range(3)]
    zygote.process.kill()
    eventually(lambda: all(gone(runner.pid) for runner in runners))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "import threading\nthreading.Thread(target=threading.Event().wait, name='poller', daemon=True).start()",
            "poller",
        ),
        ("import socket\nheld = socket.socket()", "opened 1 sockets"),
        ("import subprocess\nheld = subprocess.Popen(['sleep', '600'])", "1 are left"),
    ],
)
def test_a_pool_that_must_not_be_forked_says_why(
    make_pool: MakePool, start: Callable[[Path], Zygote], source: str, reason: str
) -> None:
    zygote = start(make_pool(m=MODULE, other=source))
    assert zygote.hello["forks"] is False
    assert reason in zygote.hello["reason"]
    # It is a runner itself.
    for _ in range(2):
        write(zygote.control, {"type": "call", "id": 1, "function": "m.pids", "version": None})
        end = zygote.said()
        assert (end["kind"], end["left"], end["retire"]) == ("passed", False, False)
