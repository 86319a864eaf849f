"""The example's services, started for real, and its pool, called in this process."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from rfx.testing import Pool

EXAMPLES = Path(__file__).parents[1]

Start: TypeAlias = Callable[..., Pool]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the services, one of them broken if asked for, and give the pool that is pointed at them."""
    with ExitStack() as cleanup:

        def start(broken: str | None = None) -> Pool:
            command = [sys.executable, str(EXAMPLES / "services/serve.py"), "all", "--data", str(tmp_path)]
            command += ["--port-base", "0", "--exit-with-stdin", *(["--break", broken] if broken else [])]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            cleanup.enter_context(process)
            assert process.stdout is not None
            return Pool(EXAMPLES / "pool", target=json.loads(process.stdout.readline()))

        yield start


@pytest.fixture(scope="session")
def hosts() -> list[dict[str, Any]]:
    """Read the flow's data as the flow does: a header may name the type of its column."""
    with (EXAMPLES / "flows/data/hosts.csv").open(newline="", encoding="utf-8") as file:
        return [_typed(row) for row in csv.DictReader(file)]


def _typed(row: dict[str, str]) -> dict[str, Any]:
    cells = ((name.partition(":"), text) for name, text in row.items())
    return {name: json.loads(text) if kind == "json" else text for (name, _, kind), text in cells}
