"""What a function prints and logs in a test: kept with its outcome, and passed on to where it would have gone."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TextIO

_current: Final[ContextVar[Printed | None]] = ContextVar("rfx.printed", default=None)


class Printed:
    """What one attempt printed. Threads that it starts by itself are not heard."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, str]] = []
        self.logs: list[str] = []

    def text(self, *streams: str) -> str:
        """Join what was written to the named streams, in the order of writing."""
        return "".join(text for stream, text in self.parts if stream in streams)


@contextmanager
def capture() -> Iterator[Printed]:
    """Keep what is printed and logged in this context. Attempts in other threads have their own."""
    printed = Printed()
    token = _current.set(printed)
    _installed.enter()
    try:
        yield printed
    finally:
        _installed.leave()
        _current.reset(token)


class _Stream:
    """Stands in for stdout or stderr while any attempt is captured."""

    def __init__(self, name: str, real: TextIO) -> None:
        self._name = name
        self._real = real

    def write(self, text: str) -> int:
        printed = _current.get()
        if printed is not None:
            printed.parts.append((self._name, text))
        return self._real.write(text)

    def writelines(self, lines: Iterator[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the real one has
        return getattr(self._real, name)


class _Logs(logging.Handler):
    """Keeps what functions log with `ctx.log`."""

    def emit(self, record: logging.LogRecord) -> None:
        printed = _current.get()
        if printed is not None:
            printed.logs.append(f"{record.levelname} {record.getMessage()}")


class _Installed:
    """The stand-ins, there as long as anybody captures."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._saved: list[tuple[str, Any, Any]] = []
        self._logs = _Logs()

    def enter(self) -> None:
        from rfx._log import logger

        with self._lock:
            self._users += 1
            if self._users > 1:
                return
            for name in ("stdout", "stderr"):
                real = getattr(sys, name)
                stand_in = _Stream(name, real)
                setattr(sys, name, stand_in)
                self._saved.append((name, stand_in, real))
            logger("").addHandler(self._logs)

    def leave(self) -> None:
        from rfx._log import logger

        with self._lock:
            self._users -= 1
            if self._users:
                return
            for name, stand_in, real in self._saved:
                if getattr(sys, name) is stand_in:  # else the function put something else there
                    setattr(sys, name, real)
            self._saved.clear()
            logger("").removeHandler(self._logs)


_installed: Final = _Installed()
