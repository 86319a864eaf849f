"""The soft timeout: SIGUSR1 from the worker becomes `TimedOut` in the function that is running."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rfx._errors import TimedOut


class Alarm:
    """Decides whether the signal may interrupt now.

    Invariant: nothing is raised outside an attempt, nor while a frame is half written.
    """

    def __init__(self) -> None:
        self.fired = False
        self._armed = False
        self._shields = 0
        self._waiting = False
        self._since = 0.0

    def install(self) -> None:
        """Listen to the signal."""
        signal.signal(signal.SIGUSR1, self._ring)

    def arm(self) -> None:
        """From here on the signal interrupts."""
        self.fired = self._waiting = False
        self._since = time.monotonic()
        self._armed = True

    def disarm(self) -> None:
        """From here on the signal is dropped: what it was meant for has ended."""
        self._armed = False

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Put the signal off until the end of the block."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
            if self._waiting and self._shields == 0:
                self._waiting = False
                signal.raise_signal(signal.SIGUSR1)  # the main thread handles it, whoever we are

    def _ring(self, _signal: int, _frame: FrameType | None) -> None:
        if not self._armed:
            return
        if self._shields:
            self._waiting = True
            return
        self._armed = False
        self.fired = True
        raise TimedOut(f"stopped after {time.monotonic() - self._since:.1f} s: the time of the attempt is over")
