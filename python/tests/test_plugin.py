"""The plugin for pytest, in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SOURCE

MODULE = """
import rfx
@rfx.function
def show(name: str, ctx):
    print("looking")
    assert name == "web-1"
    return [name, dict(ctx.target), ctx.state.update("n", lambda n: n + 1, default=0)]
"""
TEST = """
import pytest

@pytest.fixture
def rfx_target():
    return {"api": "http://x"}

@pytest.mark.parametrize("number", [1, 2])
def test_show(rfx_pool, number):
    assert rfx_pool.call("hosts.show", name="web-1").require() == ["web-1", {"api": "http://x"}, 1]

def test_fails(rfx_pool):
    assert rfx_pool.call("hosts.show", name="db-1").passed
"""


def run(folder: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-p", "rfx.pytest_plugin", "-p", "no:cacheprovider", "."]
    env = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env)
    return done.returncode, done.stdout


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("pool", ["", "pool__", "sub__deep__pool__"])
def test_the_pool_is_found_and_what_failed_is_shown(tmp_path: Path, pool: str) -> None:
    files = {f"{pool}pool_DOT_toml": 'name = "p"', f"{pool}hosts_DOT_py": MODULE}
    ini = "[pytest]\n" + ("rfx_pool = sub/deep/pool\n" if "deep" in pool else "")
    write(tmp_path, pytest_DOT_ini=ini, tests__test_hosts_DOT_py=TEST, **files)
    status, out = run(tmp_path)
    assert status == 1, out
    assert "1 failed, 2 passed" in out
    assert "--- rfx outcome ---" in out.replace("-" * 10, "---")
    assert "hosts.show: failed" in out
    assert "assert name == \"web-1\": name is 'db-1'" in out


def test_no_pool_at_all_says_what_to_write(tmp_path: Path) -> None:
    write(tmp_path, pytest_DOT_ini="[pytest]\n", test_hosts_DOT_py="def test_it(rfx_pool): pass\n")
    status, out = run(tmp_path)
    assert status == 1
    assert "there is no pool.toml above" in out
    assert "rfx_pool = path/to/pool" in out
