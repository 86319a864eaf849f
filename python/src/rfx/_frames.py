"""Frames on the socket between worker and runner: `u32 BE header length, u32 BE body length, header, body`."""

from __future__ import annotations

import json
import select
import signal
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, NamedTuple

from rfx._outcome import MAX_BODY
from rfx._output import dump

MAX_HEADER: Final = 16 << 20

LENGTHS: Final = struct.Struct(">II")
_CHUNK: Final = 256 << 10
"""Bytes asked for at once: a worker that sends calls ahead fills many frames with one read."""


class FrameError(Exception):
    """The peer does not speak this protocol."""


class PeerGone(Exception):
    """The worker closed the socket, or died."""


class TooLarge(Exception):
    """A header or body is over the limit and was not sent."""


class Frame(NamedTuple):
    """What one side says to the other."""

    header: dict[str, Any]
    body: bytes


class Connection:
    """The runner's end of the socket.

    Any thread may ask and tell. What comes in is sorted by whoever reads: replies to those who asked, the ids of
    calls to be stopped into `stops`, calls into a queue. One thread reads at a time; whoever waits for something
    takes over when that one has what it wanted.
    """

    def __init__(self, peer: socket.socket) -> None:
        self.stops: set[int] = set()
        self.recalled = False
        """Whether the worker wants the calls back that wait."""
        self.on_stop: Callable[[int], None] = _wake_main_thread
        """Called by whoever reads that a call is to be stopped."""
        self.on_recall: Callable[[], None] = lambda: _wake_main_thread(0)
        """Called by whoever reads that the worker wants calls back."""
        self.interrupted: Callable[[], bool] = lambda: False
        """Whether this thread, that waits for an answer while another one reads, is to do so no longer."""
        self.on_ping: Callable[[], None] = self.pong
        """Called by whoever reads that the worker wants to know whether anything moves here."""
        self.shield: AbstractContextManager[None] = nullcontext()
        """Puts the soft timeout off: bytes that were received must not get lost in its exception."""
        self.reader: threading.Thread | None = None
        """The thread that does nothing but receive, if there is one; then nobody else reads."""
        self._peer = peer
        self._buffer = bytearray()
        self._calls: deque[Frame] = deque()
        self._replies: dict[int, Frame] = {}
        self._asked = 0
        self._outbox = bytearray()
        self._writing = threading.RLock()
        self._came = threading.Condition()
        self._reading = False
        self._gone = False

    def receive(self) -> Frame | None:
        """Wait for the next call; None when the peer is gone. What was put off is sent before the wait."""
        while True:
            with self.shield:  # a signal takes calls back that wait
                if self._calls:
                    return self._calls.popleft()
            self.flush()
            if not self._read_until(lambda: bool(self._calls)):
                return None

    def ask(self, header: Mapping[str, Any], body: bytes = b"") -> Frame:
        """Send a frame that the worker answers, and wait for the answer. Raises `PeerGone` without one."""
        with self._writing:
            self._asked += 1
            number = self._asked
        self.send({**header, "ask": number}, body)
        if self.reader is not None:
            with self.shield, self._came:
                self._came.wait_for(lambda: number in self._replies or self._gone or self.interrupted())
        else:
            self._read_until(lambda: number in self._replies)
        if number not in self._replies:
            raise PeerGone
        return self._replies.pop(number)

    def wake(self) -> None:
        """Have those who wait look whether they still are to."""
        with self._came:
            self._came.notify_all()

    def poll(self) -> None:
        """Sort what has come without a wait. Safe in a signal handler: whoever reads already goes on to do so."""
        if not self._begin_to_read():
            return
        try:
            while select.select([self._peer], [], [], 0)[0] and self._read():
                pass
        finally:
            self._end_to_read()

    def give_back(self) -> None:
        """Give up the calls that wait, if the worker wants them executed elsewhere, and say which they are."""
        if self.recalled:
            self.recalled = False
            ids = [frame.header["id"] for frame in self._calls]
            self._calls.clear()
            self.send({"type": "returned", "ids": ids})

    def send(self, header: Mapping[str, Any], body: bytes = b"", *, later: bool = False) -> None:
        """Write one frame. With `later` it waits for the next one, or for the moment when no call waits."""
        head = dump(header)
        if len(head) > MAX_HEADER:
            raise TooLarge(f"{len(head):,} bytes, at most {MAX_HEADER:,} are carried")
        if len(body) > MAX_BODY:
            raise TooLarge(f"{len(body):,} bytes, at most {MAX_BODY:,} are carried")
        with self.shield, self._writing:
            self._outbox += LENGTHS.pack(len(head), len(body))
            self._outbox += head
            self._outbox += body
            if not (later and self._calls):
                self.flush()

    def flush(self) -> None:
        """Write what was put off. Raises `PeerGone` when nobody reads it."""
        with self.shield, self._writing:
            if not self._outbox:
                return
            data, self._outbox = self._outbox, bytearray()
            try:
                self._peer.sendall(data)
            except OSError:  # EPIPE, ECONNRESET, or EBADF in a forked child
                raise PeerGone from None

    def pong(self) -> None:
        """Say that something moves here."""
        self.send({"type": "pong"})

    def close(self) -> None:
        """Close this process's end, as a forked child must."""
        self._peer.close()

    def _read_until(self, done: Callable[[], bool]) -> bool:
        """Read, or wait for whoever does, until something has come; False when the peer is gone before."""
        while not done():
            with self._came:
                self._came.wait_for(lambda: done() or self._gone or not self._reading)
            if self._gone:
                break
            took = False
            try:
                with self.shield:
                    took = not done() and self._begin_to_read()
                if took and not self._read():
                    self._gone = True
            finally:
                if took:
                    self._end_to_read()
        return done()

    def _begin_to_read(self) -> bool:
        with self._came:
            if self._reading:
                return False
            self._reading = True
            return True

    def _end_to_read(self) -> None:
        with self.shield, self._came:
            self._reading = False
            self._came.notify_all()

    def _read(self) -> bool:
        """Read once and sort the frames that are whole; False at the end of the stream."""
        try:
            select.select([self._peer], [], [])  # the wait can be interrupted, the read cannot
            with self.shield:
                data = self._peer.recv(_CHUNK)
                self._buffer += data
                while self._sort():
                    pass
        except (OSError, ValueError):
            return False
        return bool(data)

    def _sort(self) -> bool:
        """Take one whole frame out of the buffer; False when there is none."""
        buffer = self._buffer
        if len(buffer) < LENGTHS.size:
            return False
        head, body = LENGTHS.unpack_from(buffer)
        if head > MAX_HEADER or body > MAX_BODY:
            raise FrameError(f"a frame of {head:,} + {body:,} bytes is over the limit")
        middle = LENGTHS.size + head
        end = middle + body
        if len(buffer) < end:
            return False
        frame = Frame(json.loads(buffer[LENGTHS.size : middle].decode()), bytes(buffer[middle:end]))
        del buffer[:end]
        kind = frame.header.get("type")
        if kind == "reply":
            with self._came:
                self._replies[frame.header["ask"]] = frame
                self._came.notify_all()
        elif kind == "stop":
            self.stops.add(frame.header["id"])
            self.on_stop(frame.header["id"])
        elif kind == "ping":
            self.on_ping()
        elif kind == "recall":
            self.recalled = True
            self.on_recall()
        else:
            self._calls.append(frame)
        return True


def _wake_main_thread(_call: int) -> None:
    """Have the alarm look: the signal that came with this may have been handled before it was read."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
