"""Vulnerabilities: what is wrong with a host."""

from __future__ import annotations

from typing import TypedDict

from _http import call, host_path

import rfx


class OsVulnerability(TypedDict):
    """A vulnerability of the operating system."""

    id: str
    title: str


class AppVulnerability(TypedDict):
    """A vulnerability of an installed application."""

    name: str
    version: str
    id: str


class Evaluation(TypedDict):
    """What is known about a host. Both lists are in the order of the catalogue and of the applications."""

    host: str
    evaluated: bool
    os: list[OsVulnerability]
    apps: list[AppVulnerability]


@rfx.function(tags=("vulnerabilities",), timeout=60)
def evaluate(tenant: str, host: str, ctx: rfx.Context) -> Evaluation:
    """Evaluate a host with what the services know of it now."""
    answer = call("vulnerabilities", "POST", f"{host_path(tenant, host)}/evaluations", {})
    ctx.log.info("%s: %d in the OS, %d in applications", host, len(answer["os"]), len(answer["apps"]))
    return {"host": answer["host"], "evaluated": answer["evaluated"], "os": answer["os"], "apps": answer["apps"]}
