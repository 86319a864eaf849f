"""The vulnerabilities service: evaluates a host against a small catalogue, with the data of the other two services."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from _server import Answer, Request, Service, fetch

CATALOGUE: Final = [
    # kind, product, versions below this one are vulnerable, id, title
    ("os", "example-linux", "2.4", "CVE-EX-0001", "Example Linux: a local user becomes root"),
    ("os", "example-server", "1.3", "CVE-EX-0002", "Example Server: remote code execution in the print spooler"),
    ("app", "example-tls", "3.0.7", "CVE-EX-0101", "Example TLS: buffer overflow in certificate names"),
    ("app", "example-logger", "2.17.1", "CVE-EX-0102", "Example Logger: a logged text is executed"),
    ("app", "example-shell", "4.4", "CVE-EX-0103", "Example Shell: commands hidden in variables"),
]


class Vulnerabilities(Service):
    """Broken, it reports no vulnerabilities of operating systems."""

    schema = """
        CREATE TABLE IF NOT EXISTS catalogue (
            kind TEXT NOT NULL, product TEXT NOT NULL, fixed_in TEXT NOT NULL, id TEXT PRIMARY KEY, title TEXT NOT NULL
        );
    """

    def __init__(self, file: Path, *, devices: str, applications: str, broken: bool = False) -> None:
        super().__init__(file, broken=broken)
        self._devices = devices
        self._applications = applications
        with self.database() as db:
            db.executemany("INSERT OR REPLACE INTO catalogue VALUES (?, ?, ?, ?, ?)", CATALOGUE)
        self.route("POST", "/tenants/{tenant}/hosts/{host}/evaluations", self.evaluate)

    def evaluate(self, request: Request) -> Answer:
        """Compare what a host runs with the catalogue."""
        tenant, host = request.path["tenant"], request.path["host"]
        device = fetch(f"{self._devices}/tenants/{tenant}/hosts/{host}", request.traceparent)
        listed = fetch(f"{self._applications}/tenants/{tenant}/hosts/{host}/applications", request.traceparent)
        found_os = [] if self.broken else self._find("os", device["os"], device["os_version"])
        found_apps = [
            {"name": app["name"], "version": app["version"], "id": found["id"]}
            for app in listed["applications"]
            for found in self._find("app", app["name"], app["version"])
        ]
        return 200, {"host": host, "evaluated": True, "os": found_os, "apps": found_apps}

    def _find(self, kind: str, product: str, version: str) -> list[dict[str, str]]:
        query = "SELECT id, title, fixed_in FROM catalogue WHERE kind = ? AND product = ? ORDER BY id"
        with self.database() as db:
            rows = db.execute(query, (kind, product)).fetchall()
        return [{"id": row["id"], "title": row["title"]} for row in rows if _order(version) < _order(row["fixed_in"])]


def _order(version: str) -> list[int]:
    """Make versions comparable: 2.10 comes after 2.9."""
    return [int(part) if part.isdigit() else 0 for part in version.split(".")]
