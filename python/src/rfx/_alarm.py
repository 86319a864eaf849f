"""The soft timeout: SIGUSR1 from the worker becomes `TimedOut` in the function that is running."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from rfx._errors import TimedOut


class Alarm:
    """Decides whether the signal may interrupt now.

    The signal only says that something is to be looked at. `look` says whether the call that runs is meant: calls
    are sent ahead, so a signal may come when the one that it was sent for has just ended.

    Invariant: nothing is raised outside an attempt, nor while a frame is half read or half written.
    """

    def __init__(self, look: Callable[[], bool]) -> None:
        self.fired = False
        self._look = look
        self._main = threading.main_thread().ident
        self._armed = False
        self._shields = 0
        self._waiting = False
        self._since = 0.0

    def install(self) -> None:
        """Listen to the signal."""
        signal.signal(signal.SIGUSR1, self._ring)

    def arm(self) -> None:
        """From here on the signal interrupts."""
        self.fired = False
        self._since = time.monotonic()
        self._armed = True

    def disarm(self) -> None:
        """From here on the signal is looked at only: what it was meant for has ended."""
        self._armed = False

    def __enter__(self) -> None:
        """Put the signal off until the end of the block."""
        if threading.get_ident() == self._main:
            self._shields += 1

    def __exit__(self, *_: object) -> None:
        if threading.get_ident() != self._main:
            return
        self._shields -= 1
        if self._waiting and self._shields == 0:
            signal.raise_signal(signal.SIGUSR1)

    def _ring(self, _signal: int, _frame: FrameType | None) -> None:
        if self._shields:
            self._waiting = True
            return
        self._waiting = False
        if not self._look() or not self._armed:
            return
        self._armed = False
        self.fired = True
        raise TimedOut(f"stopped after {time.monotonic() - self._since:.1f} s: the time of the attempt is over")
