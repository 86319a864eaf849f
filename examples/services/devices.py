"""The devices service: tenants, their hosts, and the OS version that each host last reported."""

from __future__ import annotations

import uuid
from pathlib import Path

from _server import Answer, Refusal, Request, Service


class Devices(Service):
    """Broken, it answers that it took an event and forgets the OS version in it."""

    schema = """
        CREATE TABLE IF NOT EXISTS tenants (id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL);
        CREATE TABLE IF NOT EXISTS hosts (
            tenant TEXT NOT NULL REFERENCES tenants, name TEXT NOT NULL, os TEXT NOT NULL, os_version TEXT NOT NULL,
            PRIMARY KEY (tenant, name)
        );
        CREATE TABLE IF NOT EXISTS events (tenant TEXT NOT NULL, host TEXT NOT NULL, os_version TEXT NOT NULL);
    """

    def __init__(self, file: Path, *, broken: bool = False) -> None:
        super().__init__(file, broken=broken)
        self.route("POST", "/tenants", self.create_tenant)
        self.route("DELETE", "/tenants/{tenant}", self.delete_tenant)
        self.route("PUT", "/tenants/{tenant}/hosts/{host}", self.populate)
        self.route("GET", "/tenants/{tenant}/hosts/{host}", self.show)
        self.route("POST", "/tenants/{tenant}/hosts/{host}/events", self.take_event)

    def create_tenant(self, request: Request) -> Answer:
        """Create a tenant. The same name gives the same tenant, so that a repeat does no harm."""
        name = request.text("name")
        with self.database() as db:
            db.execute("INSERT OR IGNORE INTO tenants VALUES (?, ?)", (f"t-{uuid.uuid4().hex[:12]}", name))
            row = db.execute("SELECT id, name FROM tenants WHERE name = ?", (name,)).fetchone()
        return 201, dict(row)

    def delete_tenant(self, request: Request) -> Answer:
        """Delete a tenant with all that it has."""
        tenant = request.path["tenant"]
        with self.database() as db:
            for table in ("events", "hosts"):
                db.execute(f"DELETE FROM {table} WHERE tenant = ?", (tenant,))
            deleted = db.execute("DELETE FROM tenants WHERE id = ?", (tenant,)).rowcount
        return 200, {"deleted": bool(deleted)}

    def populate(self, request: Request) -> Answer:
        """Create or replace a host."""
        tenant, host = request.path["tenant"], request.path["host"]
        row = (tenant, host, request.text("os"), request.text("os_version"))
        with self.database() as db:
            if db.execute("SELECT 1 FROM tenants WHERE id = ?", (tenant,)).fetchone() is None:
                raise Refusal(404, f"there is no tenant {tenant}")
            db.execute("INSERT OR REPLACE INTO hosts VALUES (?, ?, ?, ?)", row)
        return 201, {"tenant": tenant, "name": host, "os": row[2], "os_version": row[3]}

    def show(self, request: Request) -> Answer:
        """Show a host as it is known now."""
        key = (request.path["tenant"], request.path["host"])
        with self.database() as db:
            row = db.execute("SELECT * FROM hosts WHERE tenant = ? AND name = ?", key).fetchone()
        if row is None:
            raise Refusal(404, f"tenant {key[0]} has no host {key[1]}")
        return 200, dict(row)

    def take_event(self, request: Request) -> Answer:
        """Take what a host reports: the OS version that it runs now."""
        key = (request.path["tenant"], request.path["host"])
        os_version = request.text("os_version")
        with self.database() as db:
            change = "UPDATE hosts SET os_version = os_version" if self.broken else "UPDATE hosts SET os_version = :new"
            keyed = {"tenant": key[0], "host": key[1], "new": os_version}
            if not db.execute(f"{change} WHERE tenant = :tenant AND name = :host", keyed).rowcount:
                raise Refusal(404, f"tenant {key[0]} has no host {key[1]}")
            db.execute("INSERT INTO events VALUES (?, ?, ?)", (*key, os_version))
            count = db.execute("SELECT count(*) FROM events WHERE tenant = ? AND host = ?", key).fetchone()[0]
        return 202, {"events": count}
