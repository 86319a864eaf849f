"""Serve the example's services on loopback: `python3 serve.py all --data DIR`.

When all of them answer, one line of JSON on stdout says where each is. SIGTERM, SIGINT and, with
`--exit-with-stdin`, the end of stdin stop them.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path

from _server import LOOPBACK, Server
from applications import Applications
from devices import Devices
from vulnerabilities import Vulnerabilities

NAMES = ("devices", "applications", "vulnerabilities")


def main() -> None:
    """Start what was asked for and serve until told to stop."""
    options = _options()
    options.data.mkdir(parents=True, exist_ok=True)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if options.exit_with_stdin:
        threading.Thread(target=_wait_for_stdin, args=(stop,), daemon=True).start()
    servers = start(options)
    addresses = {name: server.url for name, server in servers.items()}
    print(json.dumps(addresses, separators=(",", ":")), flush=True)
    stop.wait()
    for server in servers.values():
        server.shutdown()
        server.server_close()


def start(options: argparse.Namespace) -> dict[str, Server]:
    """Bind all ports first, so that each service knows where the others are, then serve."""
    names = NAMES if options.service == "all" else (options.service,)
    base = options.port_base
    ports = {name: base + place if base else 0 for place, name in enumerate(NAMES)}
    servers = {name: Server(ports[name]) for name in names}
    urls = {name: f"http://{LOOPBACK}:{port}" for name, port in ports.items()}
    urls |= {name: url for name in NAMES if (url := getattr(options, f"{name}_url", None))}
    urls |= {name: server.url for name, server in servers.items()}
    for name, server in servers.items():
        file, broken = options.data / f"{name}.sqlite", options.broken == name
        if name == "devices":
            server.service = Devices(file, broken=broken)
        elif name == "applications":
            server.service = Applications(file, broken=broken)
        else:
            others = {"devices": urls["devices"], "applications": urls["applications"]}
            server.service = Vulnerabilities(file, broken=broken, **others)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return servers


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("service", choices=("all", *NAMES))
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of the SQLite files")
    parser.add_argument(
        "--port-base", "--port", type=int, default=8081, help="port of devices, the others follow; 0 takes free ones"
    )
    parser.add_argument("--break", dest="broken", choices=NAMES, help="service that misbehaves")
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop when stdin ends")
    parser.add_argument("--devices-url", help="where devices is, for vulnerabilities served alone")
    parser.add_argument("--applications-url", help="where applications is, for vulnerabilities served alone")
    return parser.parse_args()


def _wait_for_stdin(stop: threading.Event) -> None:
    # os.read and not sys.stdin, whose lock would hold up the interpreter's exit.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


if __name__ == "__main__":
    main()
