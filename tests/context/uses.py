"""What functions say, expect and wait for."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import Any

import rfx
from _helpers import leave, refuse


@rfx.function
def helper_fails() -> None:
    """Fail in a helper."""
    refuse("no such host")


@rfx.function
def helper_skips() -> None:
    """Skip in a helper."""
    leave("not on this system")


@rfx.function
def expects(ctx: rfx.Context) -> str:
    """Go on after expectations that do not hold."""
    ctx.expect(1, 1, "one")
    ctx.expect({"a": 1}, {"a": 2}, "the map")
    with ctx.soft("three is even"):
        assert 3 % 2 == 0
    return "went on"


@rfx.function
def polls(ctx: rfx.Context) -> list[int]:
    """Wait for what comes."""
    seen: list[int] = []

    def look() -> bool:
        seen.append(len(seen))
        assert len(seen) > 1
        return len(seen) == 4

    ctx.poll(look, every=0.01, within=10)
    return seen


@rfx.function
def polls_in_vain(ctx: rfx.Context) -> None:
    """Wait for what does not come."""
    ctx.poll(lambda: [], every=0.01, within=0.05, message="no hosts")


@rfx.function
async def polls_async(ctx: rfx.Context) -> int:
    """Wait in a coroutine."""
    seen = 0

    async def look() -> int:
        nonlocal seen
        await asyncio.sleep(0)
        seen += 1
        return seen if seen > 2 else 0

    return await ctx.poll_async(look, every=0.01)


@rfx.function
def spans_nest(ctx: rfx.Context) -> bool:
    """Open spans, and fail in one."""
    with ctx.span("outer", size=3), ctx.span("inner"):
        inside = ctx.headers()
    with rfx.raises(ValueError, match="in it"), ctx.span("broken"):
        raise ValueError("in it")
    return inside != ctx.headers() or not inside


@rfx.function
def from_a_thread(ctx: rfx.Context) -> list[Any]:
    """Use the context in threads of its own."""
    threads = [threading.Thread(target=ctx.state.put, args=(f"thread.{n}", n)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [ctx.state.get(f"thread.{n}") for n in range(8)]


@rfx.function
def closes_stdout(ctx: rfx.Context) -> int:
    """Close stdout, and ask and tell all the same."""
    print("before")
    if ctx.run != "test":  # pytest needs its own
        sys.stdout.close()
        os.close(1)
        sys.stdout = sys.__stdout__ = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    ctx.progress("closed")
    ctx.beat()
    ctx.state.put("closed", 1)
    return ctx.state.get("closed")


@rfx.function(secrets=["TOKEN"])
def has_secret(ctx: rfx.Context) -> int:
    """Take a secret that the function itself names."""
    return len(ctx.secret("TOKEN"))


@rfx.function
def lacks_secret(ctx: rfx.Context) -> str:
    """Take a secret that nobody names."""
    return ctx.secret("OTHER")


@rfx.function
def lacks_target(ctx: rfx.Context) -> str:
    """Take an address that is not there."""
    return ctx.target["hosts"]


@rfx.function(name="uses.versioned", version="1")
def versioned_1() -> str:
    """Be the first."""
    return "one"


@rfx.function(name="uses.versioned", version="2")
def versioned_2() -> str:
    """Be the second."""
    return "two"


@rfx.function
def traced(ctx: rfx.Context) -> list[str | None]:
    """Give the traces of the attempt, of a span and of a span inside of it."""
    with ctx.span("outer"):
        outer = ctx.headers().get("traceparent")
        with ctx.span("inner", size=3):
            inner = ctx.headers().get("traceparent")
    return [ctx.traceparent, outer, inner]
