"""The applications service: which applications a host has, in which version."""

from __future__ import annotations

from pathlib import Path

from _server import Answer, Json, Refusal, Request, Service


class Applications(Service):
    """Broken, it loses the last application of each host."""

    schema = """
        CREATE TABLE IF NOT EXISTS applications (
            tenant TEXT NOT NULL, host TEXT NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL,
            version TEXT NOT NULL, PRIMARY KEY (tenant, host, position)
        );
    """

    def __init__(self, file: Path, *, broken: bool = False) -> None:
        super().__init__(file, broken=broken)
        self.route("PUT", "/tenants/{tenant}/hosts/{host}/applications", self.push)
        self.route("GET", "/tenants/{tenant}/hosts/{host}/applications", self.show)
        self.route("DELETE", "/tenants/{tenant}", self.delete_tenant)

    def push(self, request: Request) -> Answer:
        """Replace the applications of a host by those pushed."""
        key = (request.path["tenant"], request.path["host"])
        applications = _checked(request.body.get("applications"))
        stored = applications[:-1] if self.broken else applications
        rows = [(*key, position, app["name"], app["version"]) for position, app in enumerate(stored)]
        with self.database() as db:
            db.execute("DELETE FROM applications WHERE tenant = ? AND host = ?", key)
            db.executemany("INSERT INTO applications VALUES (?, ?, ?, ?, ?)", rows)
        return 200, {"host": key[1], "pushed": len(applications)}

    def show(self, request: Request) -> Answer:
        """List the applications of a host, in the order in which they were pushed."""
        key = (request.path["tenant"], request.path["host"])
        query = "SELECT name, version FROM applications WHERE tenant = ? AND host = ? ORDER BY position"
        with self.database() as db:
            rows = db.execute(query, key).fetchall()
        return 200, {"host": key[1], "applications": [dict(row) for row in rows]}

    def delete_tenant(self, request: Request) -> Answer:
        """Forget all hosts of a tenant."""
        with self.database() as db:
            query = "DELETE FROM applications WHERE tenant = ?"
            deleted = db.execute(query, (request.path["tenant"],)).rowcount
        return 200, {"deleted": bool(deleted)}


def _checked(applications: Json) -> list[dict[str, str]]:
    if not isinstance(applications, list):
        raise Refusal(422, "`applications` must be a list")
    for position, app in enumerate(applications):
        if not isinstance(app, dict) or not all(isinstance(app.get(key), str) for key in ("name", "version")):
            raise Refusal(422, f"`applications[{position}]` must have a name and a version")
    return applications
