"""The exceptions of rfx: how a function says how it ended, and what rfx says of bad input, output and pools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

MISSING: Final = object()
"""Stands for a value that was not given, where None is a value like any other."""


MAX_BODY: Final = 64 << 20
"""Bytes of an input, an output or an artifact that a frame carries."""


class Failed(AssertionError):
    """The test said no. Raise it with `rfx.fail`."""

    def __init__(self, message: str, *, expected: object = MISSING, seen: object = MISSING) -> None:
        super().__init__(message)
        self.expected = expected
        self.seen = seen


class Skipped(Exception):
    """The function does not apply here. Raise it with `rfx.skip`."""


class TimedOut(BaseException):
    """The time of the attempt is over.

    Raised inside the running function, so that its `finally` blocks and context managers still run. Not an
    `Exception`, so that a loop that retries on any exception does not swallow it.
    """


class InputError(ValueError):
    """The input of a job does not fit the function's parameters."""


class OutputError(ValueError):
    """What a function returned cannot be written as JSON."""


class SecretError(LookupError):
    """The step names no such secret."""


class TargetError(LookupError):
    """The run's target lacks an address that the function asked for."""


class CallFailed(Exception):
    """A function that was called as a job did not pass. Uncaught, the caller ends as it did."""

    def __init__(self, function: str, verdict: str, error: Mapping[str, Any] | None, output: object) -> None:
        self.function = function
        self.verdict = verdict
        """failed, error, skipped, lost or cancelled."""
        self.error = error
        """Its type, message, traceback and diff, as far as there are any."""
        self.output = output
        said = f": {error['message']}" if error else ""
        super().__init__(f"the call of {function} ended as {verdict}{said}")


class FixtureError(Exception):
    """A fixture could not be set up, or not be finished."""


class PoolError(Exception):
    """A folder is not a usable pool; the message says what to write."""


class UnsupportedTypeError(TypeError):
    """A type hint that rfx cannot bind or describe."""


def fail(message: str, *, expected: object = MISSING, seen: object = MISSING) -> NoReturn:
    """End the function as failed. With `expected` and `seen` the report shows both and their difference."""
    raise Failed(message, expected=expected, seen=seen)


def skip(reason: str) -> NoReturn:
    """End the function as skipped."""
    raise Skipped(reason)
