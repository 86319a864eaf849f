"""Hosts that exist in name only."""

from __future__ import annotations

from typing import TypedDict

import rfx


class Host(TypedDict):
    """A host as it was created."""

    id: str
    name: str
    os: str


class State(TypedDict):
    """How far a host is."""

    id: str
    state: str


@rfx.function(tags=("hosts",))
def create(name: str, os: str = "linux") -> Host:
    """Create a host. One that is called `broken` cannot be created."""
    if name == "broken":
        rfx.fail(f"{name} cannot be created")
    return {"id": f"h-{name}", "name": name, "os": os}


@rfx.function(tags=("hosts",))
def state(id: str, ctx: rfx.Context) -> State:
    """Say how far a host is: ready when it is asked for the third time."""
    return {"id": id, "state": "ready" if ctx.attempt > 2 else "starting"}


@rfx.function(tags=("hosts",))
def delete(id: str) -> None:
    """Delete a host."""
