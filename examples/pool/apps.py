"""Applications: what is installed on a host."""

from __future__ import annotations

from typing import TypedDict

from _http import call, host_path

import rfx


class App(TypedDict):
    """An installed application."""

    name: str
    version: str


class Pushed(TypedDict):
    """How many applications the service took."""

    host: str
    pushed: int


@rfx.function(tags=("applications",), timeout=30)
def push(tenant: str, host: str, apps: list[App]) -> Pushed:
    """Replace the applications of a host."""
    answer = call("applications", "PUT", f"{host_path(tenant, host)}/applications", {"applications": apps})
    if answer["pushed"] != len(apps):
        rfx.fail(f"not all applications of {host} were taken", expected=len(apps), seen=answer["pushed"])
    return {"host": host, "pushed": answer["pushed"]}
