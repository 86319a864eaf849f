"""rfx: write functions that rfx workers run.

Decorate a function with `@rfx.function` and put its module into a pool, a folder with a `pool.toml`. A worker
imports the pool and calls the function for each job of a flow that uses it.
"""

from rfx._context import Context, context
from rfx._errors import (
    CallFailed,
    Failed,
    FixtureError,
    InputError,
    OutputError,
    PoolError,
    SecretError,
    Skipped,
    TargetError,
    TimedOut,
    UnsupportedTypeError,
    fail,
    skip,
)
from rfx._expect import Assertion, raises
from rfx._fixture import fixture
from rfx._function import function
from rfx._link import AskError
from rfx._options import Retry
from rfx._state import Entry, State
from rfx._target import Target

__all__ = [
    "AskError",
    "Assertion",
    "CallFailed",
    "Context",
    "Entry",
    "Failed",
    "FixtureError",
    "InputError",
    "OutputError",
    "PoolError",
    "Retry",
    "SecretError",
    "Skipped",
    "State",
    "Target",
    "TargetError",
    "TimedOut",
    "UnsupportedTypeError",
    "context",
    "fail",
    "fixture",
    "function",
    "raises",
    "skip",
]
__version__ = "0.1.0"
