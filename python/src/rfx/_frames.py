"""Frames on the socket between worker and runner: `u32 BE header length, u32 BE body length, header, body`."""

from __future__ import annotations

import json
import socket
import struct
import threading
from typing import Any, Final

from rfx._outcome import MAX_BODY
from rfx._output import dump

MAX_HEADER: Final = 16 << 20

_LENGTHS: Final = struct.Struct(">II")
_CHUNK: Final = 256 << 10
"""Bytes asked for at once: a worker that pipelines calls fills many frames with one read."""


class FrameError(Exception):
    """The peer does not speak this protocol."""


class PeerGone(Exception):
    """The worker closed the socket, or died."""


class HeaderTooLarge(Exception):
    """A header is over the limit and was not sent."""


class Connection:
    """The runner's end of the socket."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self._buffer = bytearray()
        self._writing = threading.Lock()  # progress may come from a thread of the function

    def receive(self) -> tuple[dict[str, Any], bytes] | None:
        """Wait for the next frame; None when the peer is gone."""
        if not self._fill(_LENGTHS.size):
            return None
        header_size, body_size = _LENGTHS.unpack_from(self._buffer)
        if header_size > MAX_HEADER or body_size > MAX_BODY:
            raise FrameError(f"a frame of {header_size:,} + {body_size:,} bytes is over the limit")
        start = _LENGTHS.size
        middle = start + header_size
        end = middle + body_size
        if not self._fill(end):
            return None
        header: dict[str, Any] = json.loads(self._buffer[start:middle].decode())
        body = bytes(self._buffer[middle:end])
        del self._buffer[:end]
        return header, body

    def send(self, header: dict[str, Any], body: bytes = b"") -> None:
        """Write one frame with one call. Raises `PeerGone` when nobody reads it."""
        head = dump(header)
        if len(head) > MAX_HEADER:
            raise HeaderTooLarge(f"{len(head):,} bytes, at most {MAX_HEADER:,} are carried")
        frame = b"".join((_LENGTHS.pack(len(head), len(body)), head, body))
        try:
            with self._writing:
                self._peer.sendall(frame)
        except OSError:  # EPIPE, ECONNRESET, or EBADF in a forked child
            raise PeerGone from None

    def close(self) -> None:
        """Close this process's end, as a forked child must."""
        self._peer.close()

    def _fill(self, size: int) -> bool:
        """Read until the buffer holds `size` bytes; False at the end of the stream."""
        buffer, peer = self._buffer, self._peer
        while len(buffer) < size:
            try:
                data = peer.recv(_CHUNK)
            except OSError:
                return False
            if not data:
                return False
            buffer += data
        return True
