"""A runner as the worker sees it: a child process at the other end of a socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, TypeAlias

import pytest

from rfx._function import refused, registered
from rfx.testing import Outcome

Frame: TypeAlias = tuple[dict[str, Any], bytes]
_KEPT = ("rfx", "pydantic", "pydantic_core", "msgspec", "asyncio", "numpy")
SOURCE = Path(__file__).parents[1] / "src"


def message(outcome: Outcome) -> str:
    """Say how an attempt ended, in one line."""
    assert outcome.error is not None
    return f"{outcome.kind} {outcome.error.type}: {outcome.error.message}"


class Worker:
    """The worker's end of a runner. Every read has a deadline."""

    def __init__(self, pool: Path, cleanup: ExitStack) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(20)
        with theirs:
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                [sys.executable, "-m", "rfx.runner", "--pool", str(pool), "--runner"],
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(SOURCE)},
            )
        cleanup.enter_context(self.process)
        self._socket = cleanup.enter_context(ours)
        self._frames: IO[bytes] = cleanup.enter_context(ours.makefile("rb"))
        cleanup.callback(self.process.kill)

    def read(self) -> Frame:
        """Read one frame. That something was printed is answered on the way, as if it had been read."""
        while True:
            header, body = struct.unpack(">II", self._frames.read(8))
            frame = json.loads(self._frames.read(header)), self._frames.read(body)
            if frame[0]["type"] != "printed":
                return frame
            self.write({"type": "reply", "ask": frame[0]["ask"]})

    def send(self, function: str, values: object = None, *, raw: bytes | None = None, **fields: object) -> None:
        """Send one call."""
        call = {
            **{"type": "call", "id": 1, "function": function, "version": None, "run": "r-1", "flow": "f"},
            **{"step": "s", "job": "0-0", "attempt": 1, "deadline": None, "target": {"api": "http://x"}},
            **{"traceparent": None, "key": None},
            **fields,
        }
        self.write(call, json.dumps(values or {}).encode() if raw is None else raw)

    def write(self, header: dict[str, Any], body: bytes = b"") -> None:
        """Write one frame."""
        head = json.dumps(header).encode()
        self._socket.sendall(struct.pack(">II", len(head), len(body)) + head + body)

    def call(self, function: str, /, **values: object) -> Frame:
        """Send one call and read how it ended."""
        self.send(function, values)
        return self.read()

    def time_out(self, call: int = 1) -> None:
        """Send the soft timeout."""
        self.write({"type": "stop", "id": call})
        self.process.send_signal(signal.SIGUSR1)

    def hang_up(self) -> tuple[int, str, str]:
        """Close the socket; what the runner ends with, and all that it printed."""
        self._frames.close()
        self._socket.close()
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out.decode(), err.decode()


@pytest.fixture(autouse=True)
def forget_pools() -> Iterator[None]:
    """Let each test import modules of the same names anew."""
    path, meta_path, modules = sys.path.copy(), sys.meta_path.copy(), set(sys.modules)
    yield
    sys.path[:] = path
    sys.meta_path[:] = meta_path
    registered.clear()
    refused.clear()
    for name in [one for one in set(sys.modules) - modules if one.partition(".")[0] not in _KEPT]:
        del sys.modules[name]


MakePool: TypeAlias = Callable[..., Path]
StartWorker: TypeAlias = Callable[..., Worker]


@pytest.fixture
def make_pool(tmp_path: Path) -> MakePool:
    """Write a pool; each argument is a module, named by its path."""

    def make(manifest: str | None = 'name = "sample"', **modules: str) -> Path:
        pool = tmp_path / "pool"
        pool.mkdir(exist_ok=True)
        if manifest is not None:
            (pool / "pool.toml").write_text(manifest, encoding="utf-8")
        for name, source in modules.items():
            path = pool / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(source), encoding="utf-8")
        return pool

    return make


@pytest.fixture
def start_worker() -> Iterator[StartWorker]:
    """Start a runner on a pool."""
    with ExitStack() as cleanup:
        yield lambda pool: Worker(pool, cleanup)
