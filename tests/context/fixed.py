"""Functions that take fixtures."""

from __future__ import annotations

import rfx
from _fixtures import note


@rfx.function
def in_order(inner: str, outer: str, journal: list[str]) -> list[str]:
    """Take fixtures of an attempt."""
    return [inner, outer, *journal]


@rfx.function
def fails_in_order(inner: str) -> None:
    """Fail with fixtures to be finished."""
    rfx.fail(f"not {inner}")


@rfx.function
def unfinished_passes(unfinished: int) -> int:
    """Pass with a fixture that cannot be finished."""
    return unfinished


@rfx.function
def unfinished_fails(unfinished: int) -> None:
    """Fail with a fixture that cannot be finished."""
    assert unfinished == 2


@rfx.function
def unmade_fixture(unmade: int) -> int:
    """Take what cannot be made."""
    return unmade


@rfx.function
def of_the_run(tenant: dict, ctx: rfx.Context) -> bool:
    """Take a fixture of the run."""
    return tenant == {"id": f"t-{ctx.run}"}


@rfx.function
def of_the_process(process: int, ctx: rfx.Context) -> int:
    """Take a fixture of the process."""
    return process


@rfx.function
def leave(id: str, ctx: rfx.Context) -> None:
    """Undo the fixture of the run."""
    note(f"leave {id}")
    ctx.state.update("left", lambda all: [*all, id], default=[])
