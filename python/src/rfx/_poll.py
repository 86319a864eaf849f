"""Waiting inside an attempt until something is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from rfx._drive import Steps
from rfx._errors import MISSING, Failed
from rfx._output import shown

_RESERVE: Final = 1.0
"""Seconds before the deadline at which a poll gives up: a failure with the last value says more than a timeout."""


def polling(
    check: Callable[[], Steps[object]], every: float, within: float, message: str, remaining: float | None
) -> Steps[object]:
    """Check again and again until the check gives something true; that is what the steps give.

    An assertion of the check that does not hold means "not yet"; any other exception ends the poll.
    """
    if not (every > 0 and within > 0):
        raise ValueError(f"poll every {every!r} s within {within!r} s: give seconds above 0")
    end = time.monotonic() + (within if remaining is None else min(within, max(0.0, remaining - _RESERVE)))
    while True:
        value, refusal = None, None
        try:
            value = yield from check()
        except AssertionError as problem:
            refusal = problem
        if value:
            return value
        left = end - time.monotonic()
        if left <= 0:
            break
        yield min(every, left)
    raise _failure(message or f"it was not there within {within:g} s", value, refusal) from refusal


def _failure(message: str, value: object, refusal: AssertionError | None) -> Failed:
    if refusal is None:
        return Failed(f"{message}; the last value was {shown(value)!r}", seen=value)
    expected, seen = getattr(refusal, "expected", MISSING), getattr(refusal, "seen", MISSING)
    return Failed(f"{message}; at last: {refusal}", expected=expected, seen=seen)
