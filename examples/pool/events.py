"""Events: what hosts report about themselves."""

from __future__ import annotations

from typing import TypedDict

from _http import call, host_path

import rfx


class Sent(TypedDict):
    """How many events the host has sent so far."""

    host: str
    events: int


@rfx.function(tags=("devices", "events"), timeout=30)
def send(tenant: str, host: str, os_version: str) -> Sent:
    """Send the event of an OS update, as the agent on the host does."""
    answer = call("devices", "POST", f"{host_path(tenant, host)}/events", {"os_version": os_version})
    return {"host": host, "events": answer["events"]}
