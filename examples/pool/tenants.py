"""Tenants: the space of its own that each run works in."""

from __future__ import annotations

from typing import TypedDict
from urllib.parse import quote

from _http import call

import rfx


class Tenant(TypedDict):
    """A tenant as the devices service knows it."""

    id: str
    name: str


class Deleted(TypedDict):
    """Whether there was something to delete."""

    deleted: bool


@rfx.function(tags=("setup",), timeout=30)
def create(name: str) -> Tenant:
    """Create a tenant. A name that exists gives its tenant, so that a repeat does no harm."""
    answer = call("devices", "POST", "/tenants", {"name": name})
    return {"id": answer["id"], "name": answer["name"]}


@rfx.function(tags=("teardown",), timeout=30)
def delete(tenant: str) -> Deleted:
    """Delete a tenant, its hosts and their applications."""
    path = f"/tenants/{quote(tenant, safe='')}"
    call("applications", "DELETE", path)
    return {"deleted": call("devices", "DELETE", path)["deleted"]}
