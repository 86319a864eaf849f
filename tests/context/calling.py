"""Functions that call others."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import rfx


@rfx.function
def down(depth: int, ctx: rfx.Context) -> list[Any]:
    """Call itself until it is deep enough."""
    return [depth, ctx.call("calling.down", depth=depth - 1)] if depth else []


@rfx.function
def uncaught(uses: str, ctx: rfx.Context, input: dict[str, Any] | None = None) -> Any:
    """Call something, and leave to it what comes of it."""
    return ctx.call(uses, **(input or {}))


@rfx.function
def caught(uses: str, ctx: rfx.Context, input: dict[str, Any] | None = None) -> Any:
    """Call something that does not pass."""
    try:
        return ctx.call(uses, **(input or {}))
    except rfx.CallFailed as refusal:
        assert refusal.error is not None
        return [refusal.verdict, refusal.error["type"], refusal.error["message"], refusal.output]


@rfx.function
def rests(seconds: float) -> float:
    """Take its time."""
    time.sleep(seconds)
    return seconds


@rfx.function
async def at_once(ctx: rfx.Context) -> list[Any]:
    """Call several at once; the fast one comes back first."""
    came: list[float] = []

    async def one(seconds: float) -> float:
        rested = await ctx.call_async("calling.rests", seconds=seconds)
        came.append(rested)
        return rested

    rested = await asyncio.gather(one(1.5), one(0.0), one(0.1))
    return [rested, came[-1]]


@rfx.function
async def impatient(ctx: rfx.Context) -> str:
    """Do not wait for what was called."""
    try:
        await asyncio.wait_for(ctx.call_async("calling.rests", seconds=2.0), 0.3)
    except asyncio.TimeoutError:
        return "went on"
    return "waited"


@rfx.function(secrets=["TOKEN"])
def tells_secret(ctx: rfx.Context) -> Any:
    """Call something with a secret."""
    return ctx.call("calling.uncaught", uses="uses.helper_skips", input={"token": ctx.secret("TOKEN")})


@rfx.function
def no_name(ctx: rfx.Context) -> Any:
    """Call what cannot be a name."""
    return ctx.call("Not A Name")


@rfx.function
def undoes(names: list[str], ctx: rfx.Context) -> list[str]:
    """Say what undoes it."""
    for name in names:
        ctx.undo("fixed.leave", id=name)
    return names


@rfx.function
def crashes_behind_undo(names: list[str], ctx: rfx.Context) -> None:
    """Say what undoes it, and crash before it is done."""
    for name in names:
        ctx.undo("fixed.leave", id=name)
    os._exit(9)


@rfx.function
def goes_on_when_told(gate: str, marks: str, ctx: rfx.Context) -> list[Any]:
    """Call twice, and wait between the calls for what is outside."""
    first = ctx.call("calling.marks", file=marks, line="first")
    ctx.poll(Path(gate).exists, every=0.02, within=50)
    return [first, ctx.call("calling.marks", file=marks, line="second")]


@rfx.function
def marks(file: str, line: str) -> str:
    """Say that it was executed."""
    with Path(file).open("a", encoding="utf-8") as marks:
        marks.write(line + "\n")
    return line
