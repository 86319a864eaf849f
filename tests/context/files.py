"""Artifacts."""

from __future__ import annotations

import tempfile
from pathlib import Path

import rfx


@rfx.function
def all_kinds(ctx: rfx.Context) -> None:
    """Leave all that can be left."""
    ctx.artifact("raw.bin", bytes(range(256)))
    ctx.artifact("page.html", "<p>é</p>")
    ctx.artifact("host.json", {"name": "web-1", "ports": [80]})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "other name")
        path.write_bytes(b"\r\n\x00")
        ctx.artifact("from-a-path", path=path)
    ctx.artifact("empty.txt", "")
    ctx.artifact("twice.log", "first")
    ctx.artifact("twice.log", "second")


@rfx.function
def failing(ctx: rfx.Context) -> None:
    """Leave something, and fail."""
    ctx.artifact("why.txt", "since")
    rfx.fail("after all")


@rfx.function
def too_many(ctx: rfx.Context) -> None:
    """Leave more than an attempt may."""
    for n in range(101):
        ctx.artifact(f"{n}.txt", "x")


@rfx.function
def the_last_again(ctx: rfx.Context) -> int:
    """Replace one when there is no room for another."""
    for n in range(100):
        ctx.artifact(f"{n}.txt", "x")
    ctx.artifact("99.txt", "y")
    return 100


@rfx.function
def bad_name(name: str, ctx: rfx.Context) -> None:
    """Leave what cannot be a file."""
    ctx.artifact(name, "x")


@rfx.function(secrets=["TOKEN"])
def secret(ctx: rfx.Context) -> None:
    """Leave a secret, which the worker takes out."""
    ctx.artifact("log.txt", f"token={ctx.secret('TOKEN')};")
