"""Fixtures of all scopes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import rfx


@rfx.fixture
def journal() -> list[str]:
    """What the fixtures of an attempt did."""
    return []


@rfx.fixture
def outer(journal: list[str]) -> Iterator[str]:
    """A fixture that is finished."""
    journal.append("outer")
    yield "outer"
    journal.append("outer is over")


@rfx.fixture
async def inner(outer: str, journal: list[str], ctx: rfx.Context) -> AsyncIterator[str]:
    """An async fixture that needs another one, and says in the state how it was finished."""
    await asyncio.sleep(0)
    journal.append("inner")
    yield f"inner of {outer}"
    journal.append("inner is over")
    ctx.state.put(f"journal.{ctx.job}", journal)


@rfx.fixture
def unfinished() -> Iterator[int]:
    """A fixture that cannot be finished."""
    yield 1
    raise OSError("it is stuck")


@rfx.fixture
def unmade() -> int:
    """A fixture that cannot be made."""
    raise ConnectionError("nobody listens")


@rfx.fixture(scope="process")
def process() -> Iterator[int]:
    """A fixture of the process, which says where it is made and closed if somebody listens."""
    note(f"open {os.getpid()}")
    yield os.getpid()
    note(f"close {os.getpid()}")


@rfx.fixture(scope="run")
def tenant(ctx: rfx.Context) -> dict[str, str]:
    """A fixture of the run."""
    note("make tenant")
    ctx.undo("fixed.leave", id=f"t-{ctx.run}")
    return {"id": f"t-{ctx.run}"}


def note(line: str) -> None:
    """Write into the diary, if there is one."""
    diary = os.environ.get("CONTEXT_DIARY")
    if diary:
        with Path(diary).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
