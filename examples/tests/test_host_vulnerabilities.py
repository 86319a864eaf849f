"""The flow's functions against the flow's services: right when they are whole, wrong in the expected place when not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import EXAMPLES, Start

from rfx.testing import Outcome, Pool

Json = Any
Host = dict[str, Any]


def must(outcome: Outcome) -> Json:
    """Give the output of an attempt that passed."""
    assert outcome.kind == "passed", outcome.error
    return outcome.output


def evaluated(pool: Pool, tenant: str, host: Host) -> tuple[list[str], list[str]]:
    """Take a host through the steps of the flow; the ids found in its OS and in its applications."""
    image = {"name": host["name"], "os": host["os"], "os_version": "1.0"}
    must(pool.call("devices.populate", tenant=tenant, host=image))
    must(pool.call("events.send", tenant=tenant, host=host["name"], os_version=host["os_version"]))
    must(pool.call("apps.push", tenant=tenant, host=host["name"], apps=host["apps"]))
    assert must(pool.call("devices.show", tenant=tenant, host=host["name"]))["os"] == host["os"]
    output = must(pool.call("vulnerabilities.evaluate", tenant=tenant, host=host["name"]))
    assert output["evaluated"] is True
    return [one["id"] for one in output["os"]], [one["id"] for one in output["apps"]]


def wrong(pool: Pool, hosts: list[Host]) -> list[str]:
    """Name the hosts whose evaluation is not what the data says."""
    tenant = must(pool.call("tenants.create", name="e2e"))["id"]
    return [
        host["name"]
        for host in hosts
        if evaluated(pool, tenant, host) != (host["os_vulnerabilities"], host["app_vulnerabilities"])
    ]


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (None, []),
        ("devices", ["db-1", "safe-1"]),
        ("applications", ["db-1", "legacy-1"]),
        ("vulnerabilities", ["web-1", "legacy-1"]),
    ],
)
def test_exactly_the_hosts_that_a_break_concerns_are_wrong(
    start: Start, hosts: list[Host], broken: str | None, expected: list[str]
) -> None:
    assert wrong(start(broken), hosts) == expected


def test_tenants_in_parallel_do_not_disturb_each_other(start: Start, hosts: list[Host]) -> None:
    pool = start()

    def one_run(number: int) -> list[tuple[list[str], list[str]]]:
        tenant = must(pool.call("tenants.create", name=f"e2e-{number}"))["id"]
        # Each tenant gives the same host names the data of another row.
        shifted = [{**host, "name": hosts[(place + number) % 4]["name"]} for place, host in enumerate(hosts)]
        return [evaluated(pool, tenant, host) for host in shifted]

    expected = [(host["os_vulnerabilities"], host["app_vulnerabilities"]) for host in hosts]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(one_run, range(16))) == [expected] * 16


def test_a_deleted_tenant_is_gone(start: Start, hosts: list[Host]) -> None:
    pool = start()
    tenant = must(pool.call("tenants.create", name="short"))["id"]
    evaluated(pool, tenant, hosts[0])
    assert must(pool.call("tenants.delete", tenant=tenant)) == {"deleted": True}
    assert must(pool.call("tenants.delete", tenant=tenant)) == {"deleted": False}
    gone = pool.call("vulnerabilities.evaluate", tenant=tenant, host=hosts[0]["name"])
    assert gone.kind == "failed"
    assert gone.error is not None
    assert "has no host web-1" in gone.error.message


def test_the_pool_is_whole(start: Start) -> None:
    pool = start()
    assert pool.broken == []
    assert pool.functions == [
        "apps.push",
        "devices.populate",
        "devices.show",
        "events.send",
        "tenants.create",
        "tenants.delete",
        "vulnerabilities.evaluate",
    ]


def test_a_service_that_is_away_is_an_error_and_no_failure() -> None:
    pool = Pool(EXAMPLES / "pool", target={"devices": "http://127.0.0.1:1"})
    outcome = pool.call("tenants.create", name="x")
    assert outcome.kind == "error"
    assert outcome.error is not None
    assert outcome.error.type == "ConnectionError"
    assert "does not answer" in outcome.error.message
