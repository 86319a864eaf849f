"""Calls of other functions, and what is to be undone."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from rig import Rig

import rfx
from rfx._memory import Answer, Call


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_calls_and_undos_are_numbered_by_themselves() -> None:
    asked: list[tuple[str, dict[str, Any], bytes]] = []

    class Recorder:
        def ask(self, what: str, fields: Any, body: bytes = b"") -> tuple[dict[str, Any], bytes]:  # noqa: ANN401
            asked.append((what, dict(fields), body))
            return {"verdict": "passed", "error": None}, b'{"id":1}'

        def tell(self, what: str, fields: Any) -> None: ...  # noqa: ANN401

    ctx = rfx.Context(link=Recorder())
    ctx.undo("hosts.delete", id=1)
    assert ctx.call("hosts.register@2", _queue="slow", _timeout=5, name="a") == {"id": 1}
    ctx.call("hosts.register", _version="1")
    assert [(what, fields["n"]) for what, fields, _ in asked] == [("undo", 1), ("call", 1), ("call", 2)]
    assert asked[1][1:] == (
        {"n": 1, "function": "hosts.register", "version": "2", "group": None, "queue": "slow", "timeout": 5},
        b'{"name":"a"}',
    )
    assert asked[2][1]["version"] == "1"


@pytest.mark.parametrize(
    ("verdict", "kind"), [("failed", "failed"), ("error", "error"), ("skipped", "skipped"), ("lost", "error")]
)
def test_a_call_that_does_not_pass(rig: Rig, verdict: str, kind: str) -> None:
    rig.answers = lambda call: Answer(verdict, {"type": "X", "message": "why"}, b'"out"')
    outcome = rig.run(lambda: rig.ctx.call("a.b", x=1))
    assert outcome.kind == kind
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == ("CallFailed", f"the call of a.b ended as {verdict}: why")
    with pytest.raises(rfx.CallFailed) as failed:
        rig.ctx.call("a.b")
    assert (failed.value.verdict, failed.value.output, failed.value.error) == (
        *(verdict, "out"),
        {"type": "X", "message": "why"},
    )


def test_async_calls_run_at_the_same_time(rig: Rig) -> None:
    barrier = threading.Barrier(3)

    def answer(call: Call) -> Answer:
        barrier.wait(10)
        return Answer("passed", None, str(call.input["n"]).encode())

    rig.answers = answer

    async def use(ctx: rfx.Context) -> object:
        import asyncio

        return await asyncio.gather(*(ctx.call_async("a.b", n=n) for n in range(3)))

    assert rig.run(use).output == [0, 1, 2]


def test_a_call_that_passed_at_a_later_attempt_has_passed(rig: Rig) -> None:
    rig.answers = lambda call: Answer("flaky", None, b'"out"')
    assert rig.ctx.call("a.b") == "out"
