"""Functions that are stopped, and what they leave running."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import rfx
from rfx._link import AskError


@rfx.function
def says_how_far(ctx: rfx.Context) -> None:
    """Say how far it is, and hang."""
    ctx.progress("2 of 10")
    ctx.progress("3 of 10")
    ctx.beat()
    while True:
        time.sleep(0.05)


@rfx.function
def floods(ctx: rfx.Context) -> None:
    """Never stop talking."""
    while True:
        ctx.progress("again")


@rfx.function
def hangs_in_call(ctx: rfx.Context) -> None:
    """Be stopped while it waits for what it called, and use its context once more."""
    try:
        ctx.call("calling.rests", seconds=20.0)
    finally:
        ctx.state.put("finalized.call", ctx.state.get("nothing", "in step"))


@rfx.function
async def hangs_in_async_call(ctx: rfx.Context) -> None:
    """Be stopped while it awaits what it called, and use its context once more."""
    try:
        await ctx.call_async("calling.rests", seconds=20.0)
    finally:
        ctx.state.put("finalized.async", ctx.state.get("nothing", "in step"))


@rfx.function
def hangs_in_poll(ctx: rfx.Context) -> None:
    """Be stopped while it asks again and again."""
    try:
        while True:
            ctx.state.get("nothing")
    finally:
        ctx.state.put("finalized.poll", ctx.state.get("nothing", "in step"))


@rfx.function
def hangs_in_claim(ctx: rfx.Context) -> None:
    """Be stopped while it makes a value, so that the next one may."""

    def make() -> int:
        while True:
            time.sleep(0.05)

    ctx.state.get_or_create("claimed", make)


@rfx.function
def finalized(ctx: rfx.Context) -> list[object]:
    """Give what the others left when they were stopped."""
    made = ctx.state.get_or_create("claimed", lambda: "made by another one")
    return [*(ctx.state.get(f"finalized.{name}") for name in ("call", "async", "poll")), made]


@rfx.function
def leaves_asking(file: str, ctx: rfx.Context) -> None:
    """Leave a thread that asks when the attempt has ended."""

    def ask() -> None:
        while True:
            try:
                ctx.state.get("anything")
            except AskError as refusal:
                Path(file).write_text(f"{refusal.type}: {refusal}", encoding="utf-8")
                return

    threading.Thread(target=ask, daemon=True).start()
