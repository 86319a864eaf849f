#!/usr/bin/env python3
"""A runner that is nothing but the protocol of docs/runner-protocol.md, to be written again in any language.

It executes one call at a time. What it needs from its language: a socket, JSON, and a handler for a signal.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
import time
from typing import Any

LENGTHS = struct.Struct(">II")


class Failed(Exception):
    """The test said no."""


class Stopped(Exception):
    """The time of the attempt is over, or its run was cancelled."""


class Call:
    """What a function gets: its input, and what it can ask the worker for."""

    def __init__(self, worker: Worker, header: dict[str, Any], body: bytes) -> None:
        self.id = header["id"]
        self.input = json.loads(body)
        self.assertions: list[dict[str, Any]] = []
        self._worker = worker
        self._asks = 0

    def ask(self, what: str, body: bytes = b"", **fields: object) -> tuple[dict[str, Any], bytes]:
        """Ask the worker, and wait for its reply."""
        self._asks += 1
        self._worker.send({"type": "ask", "id": self.id, "ask": self._asks, "what": what, **fields}, body)
        while True:
            header, body = self._worker.receive()
            if header["type"] == "stop" and header["id"] == self.id:
                raise Stopped
            # A reply to the call before, which was stopped while it waited, is nobody's any more.
            if header["type"] == "reply" and (header["id"], header["ask"]) == (self.id, self._asks):
                if header["error"] is not None:
                    raise RuntimeError(header["error"]["message"])
                return header, body

    def progress(self, message: str) -> None:
        """Say how far it is."""
        self._worker.send({"type": "progress", "id": self.id, "message": message})

    def expect(self, label: str, expected: object, seen: object) -> None:
        """Record a comparison, and fail where it does not hold."""
        self.assertions.append({"label": label, "passed": expected == seen, "expected": expected, "seen": seen})
        if expected != seen:
            raise Failed(f"{label}: expected {expected}, saw {seen}")


def add(call: Call) -> float:
    """Add two numbers, and compare the sum when there is something to compare it with."""
    total: float = call.input["a"] + call.input["b"]
    if "total" in call.input:
        call.expect("total", call.input["total"], total)
    return total


def count(call: Call) -> int:
    """Count in the state of the run."""
    key = call.input["key"]
    while True:
        header, body = call.ask("state.get", key=key, scope="run")
        number: int = json.loads(body) + 1 if body else 1
        new = json.dumps(number).encode()
        written, _ = call.ask("state.cas", new, key=key, scope="run", revision=header["revision"])
        if written["revision"] is not None:  # else somebody else has written in between
            return number


def wait(call: Call) -> None:
    """Wait until it is stopped, and say so while it does."""
    for second in range(600):
        call.progress(f"waited for {second} s")
        time.sleep(1)


FUNCTIONS: dict[str, tuple[Any, dict[str, Any], list[str]]] = {
    "plain.add": (add, {"a": {"type": "number"}, "b": {"type": "number"}, "total": {"type": "number"}}, ["a", "b"]),
    "plain.count": (count, {"key": {"type": "string"}}, ["key"]),
    "plain.wait": (wait, {}, []),
}


class Worker:
    """The other end of the socket."""

    def __init__(self) -> None:
        # Off descriptor 0, and closed in what functions start: they must neither read frames nor hold them open.
        self._socket = socket.socket(fileno=os.dup(0))
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._interruptible = False
        self._stopped = False
        signal.signal(signal.SIGUSR1, self._stop)
        for ours in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ours, lambda *_: None)  # the worker decides

    def _stop(self, *_: object) -> None:
        # Only out of a function's own code: elsewhere it would tear a frame apart.
        if self._interruptible:
            self._interruptible = False
            raise Stopped
        self._stopped = True

    def send(self, header: dict[str, Any], body: bytes = b"") -> None:
        """Send a frame as a whole, whatever comes meanwhile."""
        before, self._interruptible = self._interruptible, False
        text = json.dumps(header).encode()
        self._socket.sendall(LENGTHS.pack(len(text), len(body)) + text + body)
        self._interruptible = before
        if before and self._stopped:
            raise Stopped

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """Wait for a frame; the end of the socket ends this process, quietly.

        No signal ends the wait: the frame `stop`, which comes with it, does.
        """
        before, self._interruptible = self._interruptible, False
        head, body = LENGTHS.unpack(self._exactly(LENGTHS.size))
        frame = json.loads(self._exactly(head)), self._exactly(body)
        self._interruptible = before
        return frame

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            more = self._socket.recv(min(size - len(data), 1 << 16))
            if not more:
                sys.exit(0)
            data += more
        return bytes(data)

    def serve(self) -> None:
        """Say what there is, and execute calls until the worker is gone."""
        self.send({"type": "hello", "protocol": 2, "functions": [described(name) for name in FUNCTIONS]})
        while True:
            header, body = self.receive()
            if header["type"] == "call":
                self.execute(Call(self, header, body), header["function"])
            # A `stop` or a `reply` of a call that has ended meanwhile, and whatever a later worker may say.

    def execute(self, call: Call, name: str) -> None:
        """Execute a call, and say how it ended."""
        kind, error, output = "passed", None, b""
        self._stopped = False
        try:
            try:
                self._interruptible = True
                output = json.dumps(FUNCTIONS[name][0](call)).encode()
            finally:
                self._interruptible = False
        except Failed as problem:
            kind, error = "failed", {"type": "Failed", "message": str(problem)}
        except Stopped:
            kind, error = "error", {"type": "TimedOut", "message": "it was stopped"}
        except Exception as problem:  # whatever it is, it is this call's alone
            kind, error = "error", {"type": type(problem).__name__, "message": str(problem)}
        sys.stdout.flush()  # what was printed before the end belongs to this call
        end = {"type": "end", "id": call.id, "kind": kind, "error": error, "assertions": call.assertions}
        # What a function did not end by itself may have left anything behind: the next call gets another process.
        self.send({**end, "retire": kind == "error"}, output)


def described(name: str) -> dict[str, Any]:
    """Describe a function for the catalogue."""
    function, properties, required = FUNCTIONS[name]
    schema = {"type": "object", "properties": properties, "required": required}
    line = function.__code__.co_firstlineno
    return {"name": name, "doc": function.__doc__, "input_schema": schema, "file": "runner.py", "line": line}


if __name__ == "__main__":
    Worker().serve()
