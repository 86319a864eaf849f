"""Functions that end as functions do: with a value, an assertion, an exception."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import enum
import os
import sys
import threading
import uuid
from typing import Any

import rfx


class Color(enum.Enum):
    """An enum, which is written as its value."""

    RED = "red"


@dataclasses.dataclass
class Host:
    """A record."""

    name: str
    color: Color
    seen: datetime.datetime
    id: uuid.UUID
    ports: set[int]


@rfx.function
def nothing() -> None:
    """Give nothing."""


@rfx.function
def record() -> Host:
    """Give types that have a plain meaning in JSON."""
    seen = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    return Host("web-1", Color.RED, seen, uuid.UUID(int=1), {443, 80})


@rfx.function
def big() -> str:
    """Give more than a message carries."""
    return "x" * 2_000_000


@rfx.function
def prints() -> str:
    """Print to both streams."""
    print("to stdout")
    print("to stderr", file=sys.stderr)
    return "printed"


@rfx.function
async def awaits() -> int:
    """Run async."""
    await asyncio.sleep(0.01)
    return 7


@rfx.function
def threads() -> int:
    """Use threads that end."""
    seen: list[int] = []
    workers = [threading.Thread(target=seen.append, args=(n,)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(seen)


@rfx.function
def lingering_thread() -> str:
    """Leave a thread behind."""
    threading.Thread(target=threading.Event().wait, daemon=False).start()
    return "left"


@rfx.function
def swaps_streams() -> str:
    """Close stdout and put another in its place."""
    sys.stdout = None  # type: ignore[assignment]
    return "swapped"


@rfx.function
def asserts() -> None:
    """Fail by a plain assertion."""
    total = 3
    assert total == 4


@rfx.function
def fails() -> None:
    """Fail by saying so."""
    rfx.fail("wrong total", expected=4, seen=3)


@rfx.function
def expects(ctx: rfx.Context) -> str:
    """Fail by an expectation, and go on."""
    ctx.expect(1, 2, "one is two")
    return "went on"


@rfx.function
def skips() -> None:
    """Skip."""
    rfx.skip("not here")


@rfx.function
def raises() -> None:
    """Raise."""
    raise LookupError("no such host")


@rfx.function
def raises_in_group() -> None:
    """Raise from a cause."""
    try:
        raise ValueError("inner")
    except ValueError as inner:
        raise RuntimeError("outer") from inner


@rfx.function
def recurses() -> int:
    """Recurse without an end."""

    def down(n: int) -> int:
        return down(n + 1)

    return down(0)


@rfx.function
def exits() -> None:
    """Exit as a script does."""
    sys.exit(3)


@rfx.function
def interrupts_itself() -> None:
    """Raise what Ctrl-C raises."""
    raise KeyboardInterrupt


@rfx.function
def unprintable() -> None:
    """Raise what cannot be printed."""

    class Unprintable(Exception):
        def __str__(self) -> str:
            raise ValueError("no text")

    raise Unprintable


@rfx.function
def long_message() -> None:
    """Raise with a message of a megabyte."""
    raise ValueError("x" * 1_000_000)


@rfx.function
def gives_nan() -> float:
    """Give what JSON has no word for."""
    return float("nan")


@rfx.function
def gives_bytes() -> Any:
    """Give bytes."""
    return b"raw"


@rfx.function
def gives_huge_int() -> int:
    """Give an integer beyond 64 bits."""
    return 2**70


@rfx.function
def gives_cycle() -> Any:
    """Give a list that contains itself."""
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


@rfx.function
def gives_surrogate() -> str:
    """Give half a pair."""
    return "\ud800"


@rfx.function
def gives_object() -> Any:
    """Give what is no value."""
    return object()


@rfx.function
def gives_odd_keys() -> Any:
    """Give keys that are no texts."""
    return {1: "one"}


@rfx.function
def gives_too_much() -> str:
    """Give more than a frame carries."""
    return "x" * (65 << 20)


@dataclasses.dataclass
class Port:
    """A record that refuses what its type allows."""

    number: int

    def __post_init__(self) -> None:
        if not 0 < self.number < 65_536:
            raise ValueError(f"{self.number} is no port")


@rfx.function
def needs(port: Port) -> int:
    """Need what the job does not give."""
    return port.number


@rfx.function
def uses_numpy() -> float:
    """Use numpy, where it is there."""
    try:
        import numpy as np
    except ImportError:
        rfx.skip("numpy is not installed")
    return float(np.ones((50, 50)).dot(np.ones(50)).sum())


@rfx.function
def counts(into: str, number: int) -> int:
    """Leave a line, and end the process at some numbers."""
    with open(into, "a", encoding="utf-8") as lines:
        lines.write(f"{number}\n")
    if number % 400 == 7:
        os._exit(3)
    return number
