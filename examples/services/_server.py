"""What the three services share: routing, JSON over HTTP, an SQLite file, and calls to each other."""

from __future__ import annotations

import json
import re
import socketserver
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeAlias

LOOPBACK = "127.0.0.1"


class Refusal(Exception):
    """An answer other than 2xx, with a message for the caller."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Request(NamedTuple):
    """What a route gets to see of a request."""

    path: dict[str, str]
    body: dict[str, Any]
    traceparent: str | None

    def text(self, name: str) -> str:
        """Read a text from the body; the request is refused without it."""
        value = self.body.get(name)
        if not isinstance(value, str) or not value:
            raise Refusal(422, f"`{name}` must be a text that is not empty")
        return value


Json: TypeAlias = Any
Answer: TypeAlias = tuple[int, dict[str, Any]]
Route: TypeAlias = Callable[[Request], Answer]


class Service:
    """A set of routes over one SQLite file."""

    schema: ClassVar[str] = ""

    def __init__(self, file: Path, *, broken: bool = False) -> None:
        self.broken = broken
        self._file = file
        self._routes: list[tuple[str, re.Pattern[str], Route]] = []
        with self.database() as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(self.schema)

    def route(self, method: str, path: str, answer: Route) -> None:
        """Serve `answer` at a path such as `/tenants/{tenant}`."""
        pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))
        self._routes.append((method, pattern, answer))

    def answer(self, method: str, path: str, body: dict[str, Any], traceparent: str | None) -> Answer:
        """Find the route of a request and call it."""
        for route_method, pattern, answer in self._routes:
            match = pattern.fullmatch(path)
            if match and method == route_method:
                return answer(Request(match.groupdict(), body, traceparent))
        raise Refusal(404, f"there is no {method} {path}")

    @contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one request. Writers wait for each other, readers wait for nobody."""
        db = sqlite3.connect(self._file, timeout=30)
        db.row_factory = sqlite3.Row
        try:
            with db:
                yield db
        finally:
            db.close()


class Server(ThreadingHTTPServer):
    """One service on one loopback port."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int) -> None:
        super().__init__((LOOPBACK, port), _Handler)
        self.service: Service | None = None

    @property
    def url(self) -> str:
        """The base URL of the service."""
        return f"http://{LOOPBACK}:{self.server_address[1]}"

    def server_bind(self) -> None:
        """Bind without the look-up of the host's name that the base class does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, self.server_address[1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def _serve(self) -> None:
        try:
            if self.server.service is None:
                raise Refusal(503, "the service is starting")
            body = self._read_body()
            status, answer = self.server.service.answer(self.command, self.path, body, self.headers.get("traceparent"))
        except Refusal as refusal:
            status, answer = refusal.status, {"error": str(refusal)}
        except Exception as problem:  # every answer is JSON, that of a bug too
            status, answer = 500, {"error": f"{type(problem).__name__}: {problem}"}
        self._write(status, answer)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # the names that http.server calls

    def _read_body(self) -> dict[str, Any]:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            body = json.loads(raw or b"{}")
        except ValueError as problem:
            raise Refusal(400, f"the body is not JSON: {problem}") from None
        if not isinstance(body, dict):
            raise Refusal(400, "the body must be a JSON object")
        return body

    def _write(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: what matters is in the answers."""


def fetch(url: str, traceparent: str | None) -> dict[str, Any]:
    """Get JSON from another service, as part of the caller's trace."""
    headers = {"traceparent": traceparent} if traceparent else {}
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as refusal:
        raise Refusal(refusal.code, str(json.load(refusal).get("error"))) from None
    except OSError as problem:
        raise Refusal(502, f"{url} does not answer: {problem}") from None
    return answer
