"""Functions that race for shared state, and what cannot be undone."""

from __future__ import annotations

import os
from typing import Any

import rfx


@rfx.function
def once(ctx: rfx.Context) -> Any:
    """Make a value that is made once, and count who asked."""

    def make() -> dict[str, Any]:
        return {"by": ctx.job, "id": os.urandom(4).hex()}

    made = ctx.state.get_or_create("made", make)
    ctx.state.update("count", lambda n: n + 1, default=0)
    return made


@rfx.function
def seen(ctx: rfx.Context) -> list[Any]:
    """Give the count, and how many runs there were."""
    return [ctx.state.get("count"), ctx.flow_state.update("runs", lambda n: n + 1, default=0)]


@rfx.function
def leaks(ctx: rfx.Context) -> None:
    """Say what undoes it, and cannot."""
    ctx.undo("racing.stuck")


@rfx.function
def stuck() -> None:
    """Undo nothing."""
    raise OSError("it is in use")
