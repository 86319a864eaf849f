"""rfx: write functions that rfx workers run.

Decorate a function with `@rfx.function` and put its module into a pool, a folder with a `pool.toml`. A worker
imports the pool and calls the function for each job of a flow that uses it.
"""

from rfx._context import Assertion, Context, Target, context
from rfx._errors import (
    Failed,
    InputError,
    OutputError,
    PoolError,
    Skipped,
    TargetError,
    TimedOut,
    UnsupportedTypeError,
    fail,
    skip,
)
from rfx._function import function

__all__ = [
    "Assertion",
    "Context",
    "Failed",
    "InputError",
    "OutputError",
    "PoolError",
    "Skipped",
    "Target",
    "TargetError",
    "TimedOut",
    "UnsupportedTypeError",
    "context",
    "fail",
    "function",
    "skip",
]
__version__ = "0.1.0"
