"""`rfx.step`, as `rfx-worker execute` starts it: a pool, a spec, a file for the result."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SRC = Path(__file__).parents[1] / "src"

CODE = """
import rfx


@rfx.function(name="t.shared")
def shared(ctx: rfx.Context) -> dict[str, object]:
    seen = ctx.state.get("tenant")
    ctx.state.put("tenant", {"id": "changed"})
    lost = ctx.state.cas("tenant", {}, 0)
    made = ctx.flow_state.get_or_create("token", lambda: "made")
    ctx.artifact("notes.txt", "looked")
    ctx.undo("t.drop", tenant="t-1")
    ctx.progress("half")
    doubled = ctx.call("t.double", n=4)
    return {"seen": seen, "now": ctx.state.get("tenant"), "lost": lost, "made": made, "doubled": doubled}


@rfx.function(name="t.double")
def double(n: int) -> int:
    return n * 2


@rfx.function(name="t.asks")
def asks(ctx: rfx.Context) -> None:
    ctx.call("other.thing")


@rfx.function(name="t.fails")
async def fails(n: int) -> None:
    wrong = n + 1
    raise ValueError(f"{wrong} is wrong")


@rfx.function(name="t.refuses")
def refuses(n: int) -> None:
    wrong = n + 1
    rfx.fail("it is wrong", expected=n, seen=wrong)
"""


def spec(**changes: object) -> dict[str, Any]:
    return {
        "run": "0190b5b2-7c1e-7000-8000-000000000001",
        "flow": "f",
        "step": "steps.a",
        "job": "0-0",
        "attempt": 1,
        "key": None,
        "group": "main",
        "queue": "main",
        "target": {},
        "secrets": [],
        "timeout": 30_000_000,
        "input": {},
        "state": [],
        "debug": None,
        **changes,
    }


def step(folder: Path, given: dict[str, Any], stdin: str = "") -> tuple[dict[str, Any], str]:
    pool = folder / "pool"
    pool.mkdir()
    (pool / "pool.toml").write_text('name = "t"\n')
    (pool / "t.py").write_text(CODE)
    given["artifacts"] = str(folder / "artifacts")
    (folder / "spec.json").write_text(json.dumps(given))
    result = folder / "result.json"
    args = [sys.executable, "-m", "rfx.step", "--pool", str(pool), "--version", "1", "--result", str(result)]
    ran = subprocess.run(
        [*args, str(folder / "spec.json")],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(SRC)},
    )
    written = json.loads(result.read_text()) if result.exists() else {"code": ran.returncode}
    return written, ran.stdout + ran.stderr


def test_state_is_a_copy_and_the_rest_stays_here(tmp_path: Path) -> None:
    seen = [{"scope": "run", "key": "tenant", "revision": 7, "value": {"id": "t-1"}}]
    ended, said = step(tmp_path, spec(function="t.shared", state=seen))
    assert ended["kind"] == "passed", said
    assert ended["output"] == {
        "seen": {"id": "t-1"},
        "now": {"id": "changed"},
        "lost": None,
        "made": "made",
        "doubled": 8,
    }
    assert (tmp_path / "artifacts" / "notes.txt").read_text() == "looked"
    for part in (
        "state 'token' of the flow: the attempt did not read it",
        'undo 1: t.drop {"tenant":"t-1"} is noted',
        "call 1: t.double passed",
        "progress: half",
    ):
        assert part in said


def test_a_call_out_of_the_pool_is_refused(tmp_path: Path) -> None:
    ended, _ = step(tmp_path, spec(function="t.asks"))
    assert ended["error"]["type"] == "unserved"
    assert "calls functions of this pool only" in ended["error"]["message"]


@pytest.mark.parametrize(
    ("stdin", "kind", "parts"),
    [
        ("p n + 1000\nc\np wrong * 100\nq\n", "error", ["fails()", "1006", "post mortem: ValueError", "700"]),
        ("q\n", None, ["left the debugger"]),
    ],
)
def test_pdb_stops_in_async_functions_too(tmp_path: Path, stdin: str, kind: str | None, parts: list[str]) -> None:
    ended, said = step(tmp_path, spec(function="t.fails", input={"n": 6}, debug="pdb"), stdin)
    assert ended["kind"] == kind, said
    for part in parts:
        assert part in said


def test_the_post_mortem_of_fail_stops_where_it_is_called(tmp_path: Path) -> None:
    ended, said = step(
        tmp_path, spec(function="t.refuses", input={"n": 6}, debug="pdb"), "c\np wrong * 100\nu\nd\nd\nq\n"
    )
    assert ended["kind"] == "failed", said
    assert "post mortem: Failed: it is wrong" in said
    assert "700" in said
    assert said.count("refuses()") == 2  # at its first line, and at the end: there is no frame above or below
    assert "_errors.py" not in said.partition("post mortem")[2].partition("Traceback")[0]


@pytest.mark.skipif(importlib.util.find_spec("debugpy") is not None, reason="debugpy is installed")
def test_a_debugger_that_is_missing_says_how_to_get_it(tmp_path: Path) -> None:
    ended, said = step(tmp_path, spec(function="t.double", input={"n": 1}, debug={"debugpy": 5678}))
    assert ended == {"code": 2}
    assert "-m pip install debugpy" in said
