"""Devices: the hosts of a tenant."""

from __future__ import annotations

from dataclasses import dataclass

from _http import call, host_path

import rfx


@dataclass(frozen=True)
class Host:
    """A host with the operating system that it was installed with."""

    name: str
    os: str
    os_version: str


@rfx.function(tags=("devices",), timeout=30)
def populate(tenant: str, host: Host) -> Host:
    """Create a host, or replace what is known of it."""
    body = {"os": host.os, "os_version": host.os_version}
    answer = call("devices", "PUT", host_path(tenant, host.name), body)
    return Host(answer["name"], answer["os"], answer["os_version"])


@rfx.function(tags=("devices",), timeout=30)
def show(tenant: str, host: str) -> Host:
    """Show a host as the devices service knows it now."""
    answer = call("devices", "GET", host_path(tenant, host))
    return Host(answer["name"], answer["os"], answer["os_version"])
