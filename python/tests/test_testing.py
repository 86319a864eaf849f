"""`rfx.testing`: what a test sees of a function, and what it puts in the place of others."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import MakePool

import rfx
from rfx.testing import Pool

HOSTS = """
import sys
import rfx

@rfx.function
def register(name: str, ctx) -> dict:
    print("registering", name)
    print("careful", file=sys.stderr)
    ctx.log.info("log %s", name)
    ctx.undo("hosts.remove", name=name)
    ctx.artifact(f"{name}.txt", "ready")
    ctx.state.update("count", lambda count: count + 1, default=0)
    with ctx.span("work"):
        ctx.progress("half")
    return {"id": f"h-{name}"}

@rfx.function
def remove(name: str, ctx) -> None:
    print("removing", name)
    ctx.state.delete(name)

@rfx.function
def fleet(names: list[str], ctx) -> list:
    return [ctx.call("hosts.register", name=name)["id"] for name in names]

@rfx.function
async def fleet_async(names: list[str], ctx) -> list:
    import asyncio
    made = await asyncio.gather(*(ctx.call_async("hosts.register", name=name) for name in names))
    return [one["id"] for one in made] + [ctx.call("hosts.register", name="last")["id"]]

@rfx.function
def elsewhere(ctx):
    return ctx.call("billing.open@2", customer="c")

@rfx.function
async def old(ctx):
    return [ctx.secret("KEY"), ctx.target["api"], ctx.flow_state.get("seen"), ctx.remaining() > 500]

@rfx.function(name="hosts.old", version="2")
def new():
    return "new"
"""


@pytest.fixture
def pool(make_pool: MakePool) -> Pool:
    made = Pool(make_pool(hosts=HOSTS), target={"api": "http://x"}, secrets={"KEY": "s3cret"}, flow_state={"seen": [1]})
    assert made.broken == []
    return made


def test_all_that_an_attempt_leaves(pool: Pool, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = pool.call("hosts.register", name="a")
    assert outcome.passed, outcome
    assert outcome.output == outcome.require() == {"id": "h-a"}
    assert (outcome.stdout, outcome.stderr) == ("registering a\n", "careful\nINFO log a\n")
    assert outcome.printed == "registering a\ncareful\nINFO log a\n"
    assert outcome.logs == ["INFO log a"]
    assert outcome.artifacts["a.txt"].text == "ready"
    assert outcome.progress == ["half"]
    assert outcome.spans[0]["name"] == "work"
    assert [(one.function, one.input) for one in outcome.undos] == [("hosts.remove", {"name": "a"})]
    assert pool.state == {"count": 1}
    assert capsys.readouterr().out == "registering a\n"
    assert repr(outcome) == "<hosts.register passed>"


def test_what_is_undone_at_the_end(pool: Pool) -> None:
    pool.call("hosts.fleet", names=["a", "b"])
    assert [one.input["name"] for one in pool.undos] == ["a", "b"]
    assert [(one.function, one.kind) for one in pool.undo()] == [("hosts.remove", "passed")] * 2
    assert pool.undos == []


def test_a_call_executes_the_function_of_the_pool(pool: Pool) -> None:
    outcome = pool.call("hosts.fleet", names=["a", "b"])
    assert outcome.output == ["h-a", "h-b"]
    assert [one.input for one in outcome.calls] == [{"name": "a"}, {"name": "b"}]
    assert outcome.stdout == ""
    assert pool.state["count"] == 2
    assert pool.call("hosts.fleet_async", names=["a", "b"]).output == ["h-a", "h-b", "h-last"]


def test_stubs_answer_calls(pool: Pool) -> None:
    stub = pool.stub("hosts.register", lambda name: {"id": name.upper()})
    assert pool.call("hosts.fleet", names=["a", "b"]).output == ["A", "B"]
    assert stub.calls == [{"name": "a"}, {"name": "b"}]
    pool.stub("billing.open", returns={"ok": True})
    outcome = pool.call("hosts.elsewhere")
    assert outcome.output == {"ok": True}
    assert outcome.calls[0].version == "2"
    pool.stub("billing.open", raises=rfx.Failed("no credit"))
    outcome = pool.call("hosts.elsewhere")
    assert repr(outcome) == (
        "<hosts.elsewhere failed: CallFailed: the call of billing.open@2 ended as failed: no credit>"
    )
    pool.stub("billing.open", raises=KeyError)
    assert pool.call("hosts.elsewhere").kind == "error"
    with pytest.raises(ValueError, match="give one of a callable, returns and raises"):
        pool.stub("billing.open", returns=1, raises=KeyError)


def test_a_call_of_what_is_not_there_says_how_to_stub_it(pool: Pool) -> None:
    error = pool.call("hosts.elsewhere").error
    assert error is not None
    assert error.message.endswith('this pool has no billing.open; stub it: pool.stub("billing.open", returns=…)')


def test_what_a_function_is_given(pool: Pool) -> None:
    assert pool.call("hosts.old@1").output == ["s3cret", "http://x", [1], True]
    assert pool.call("hosts.old").output == "new"
    with pytest.raises(LookupError, match=r"the pool has no hosts\.old version 3; it has: hosts\.elsewhere"):
        pool.call("hosts.old@3")


def test_a_reset_begins_a_new_run(pool: Pool) -> None:
    pool.state["count"] = 5
    pool.stub("hosts.register", returns={"id": 1})
    pool.call("hosts.fleet", names=["a"])
    pool.reset()
    assert dict(pool.state) == {}
    assert dict(pool.flow_state) == {"seen": [1]}
    assert pool.call("hosts.fleet", names=["a"]).output == ["h-a"]
    with pytest.raises(rfx.OutputError, match="JSON has no object"):
        pool.state["x"] = object()


def test_attempts_in_threads_do_not_mix_what_they_print(pool: Pool) -> None:
    before = (sys.stdout, sys.stderr)
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda n: pool.call("hosts.register", name=str(n)), range(50)))
    assert [one.stdout for one in outcomes] == [f"registering {n}\n" for n in range(50)]
    assert pool.state["count"] == 50
    assert (sys.stdout, sys.stderr) == before


def test_a_pool_is_called_from_an_async_test(pool: Pool) -> None:
    async def main() -> object:
        return pool.call("hosts.fleet_async", names=["a"]).output

    assert asyncio.run(main()) == ["h-a", "h-last"]


def test_a_failure_is_shown_whole(make_pool: MakePool) -> None:
    source = "import rfx\n@rfx.function\ndef f():\n    print('saw it')\n    assert [1, 2] == [1, 3]\n"
    outcome = Pool(make_pool(m=source)).call("m.f")
    with pytest.raises(AssertionError) as failure:
        outcome.require()
    shown = str(failure.value)
    for part in ("m.f: failed", "AssertionError: assert [1, 2] == [1, 3]", "-  3\n+  2", 'm.py", line 5', "saw it"):
        assert part in shown


def test_two_pools_may_have_modules_of_one_name(tmp_path: Path) -> None:
    pools = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "pool.toml").write_text(f'name = "{name}"', encoding="utf-8")
        (folder / "_more.py").write_text(f"NAME = {name!r}\n", encoding="utf-8")
        (folder / "same.py").write_text(
            "import rfx\nfrom _more import NAME\n@rfx.function\ndef f():\n    return NAME\n", encoding="utf-8"
        )
        pools.append(Pool(folder))
    assert [pool.broken for pool in pools] == [[], []]
    assert [pool.call("same.f").output for pool in pools] == ["one", "two"]
    assert Pool(tmp_path / "one").call("same.f").output == "one"
