"""Attempts beside each other in one event loop, as a runner of isolation `shared` makes them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import rfx
from rfx._attempt import attempt, attempt_async
from rfx._fixtures import Process, close_process, kept_children
from rfx._function import Function
from rfx._outcome import Outcome
from rfx.testing import Error

EVENTS: list[str] = []


@rfx.fixture
async def resource():  # type: ignore[no-untyped-def]  # noqa: ANN201
    EVENTS.append("open")
    yield asyncio.get_running_loop()
    await asyncio.sleep(0)
    EVENTS.append("close")


@rfx.fixture(scope="process")
async def connection():  # type: ignore[no-untyped-def]  # noqa: ANN201
    await asyncio.sleep(0.05)  # long enough for the others to ask for it
    EVENTS.append("connect")
    return "connected"


async def waits(resource: Any) -> str:  # noqa: ANN401
    await asyncio.sleep(60)
    return "too late"


def blocks(resource: Any) -> str:  # noqa: ANN401
    try:
        for _ in range(6000):
            time.sleep(0.01)
    finally:
        EVENTS.append("finally")
    return "too late"


@rfx.fixture
async def slow():  # type: ignore[no-untyped-def]  # noqa: ANN201
    EVENTS.append("slow")
    await asyncio.sleep(60)


def never_begins(resource: Any, slow: Any) -> None:  # noqa: ANN401
    EVENTS.append("begun")


async def uses(connection: str) -> str:
    await asyncio.sleep(0)
    return f"{connection} {rfx.context().job}"


def uses_in_a_thread(connection: str) -> list[object]:
    return [connection, threading.current_thread() is threading.main_thread(), rfx.context().job]


@pytest.fixture(autouse=True)
def forget() -> None:
    EVENTS.clear()


def run(main: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401
    async def start() -> Any:  # noqa: ANN401
        return await asyncio.wait_for(main(), 20)

    return asyncio.run(start())


def begin(call: Callable[..., object], job: int = 0, process: Process | None = None) -> Awaitable[Outcome]:
    ctx = rfx.Context(job=f"0-{job}")
    return asyncio.ensure_future(attempt_async(Function(call, name="f"), b"", ctx, process or Process()))


def test_many_run_at_once_and_share_what_is_of_the_process() -> None:
    async def main() -> list[Outcome]:
        process = Process()
        calls = [begin(uses if job % 2 else uses_in_a_thread, job, process) for job in range(20)]
        return list(await asyncio.gather(*calls))

    outcomes = run(main)
    assert [one.output for one in outcomes[1::2]] == [f"connected 0-{job}" for job in range(1, 20, 2)]
    assert [one.output for one in outcomes[::2]] == [["connected", False, f"0-{job}"] for job in range(0, 20, 2)]
    assert EVENTS == ["connect"]


@pytest.mark.parametrize("call", [waits, blocks, never_begins])
def test_a_cancelled_attempt_has_timed_out_and_its_fixtures_are_finished(call: Callable[..., object]) -> None:
    async def main() -> Outcome:
        began = begin(call)
        while not EVENTS:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        assert isinstance(began, asyncio.Task)
        began.cancel()
        outcome: Outcome = await began
        return outcome

    outcome = run(main)
    assert outcome.kind == "error"
    assert outcome.error[:2] == ("TimedOut", "the time of the attempt is over")
    between = {waits: [], blocks: ["finally"], never_begins: ["slow"]}[call]
    assert ["open", *between, "close"] == EVENTS


def test_what_a_function_cancels_itself_is_its_own_error() -> None:
    async def cancels() -> None:
        task = asyncio.ensure_future(asyncio.sleep(60))
        await asyncio.sleep(0)
        task.cancel()
        await task

    async def main() -> Outcome:
        return await begin(cancels)

    error: Error = run(main).error
    assert error.type in ("CancelledError", "TimedOut")  # Python 3.10 cannot tell who cancelled


def test_closing_a_process_tells_what_went_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    close_process()
    assert kept_children() == set()
    assert capsys.readouterr().err == ""


def test_a_timeout_that_comes_while_the_loop_runs_a_callback_is_not_lost() -> None:
    def late() -> None:
        raise rfx.TimedOut("late")

    async def waits_long() -> None:
        asyncio.get_running_loop().call_soon(late)
        try:
            await asyncio.sleep(60)
        finally:
            EVENTS.append("finally")

    outcome = attempt(Function(waits_long, name="f"), b"", rfx.Context())
    assert outcome.error is not None
    assert outcome.error[:2] == ("TimedOut", "late")
    assert EVENTS == ["finally"]


def test_what_an_async_function_leaves_running_is_ended_with_it() -> None:
    async def leaves() -> str:
        async def background() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                EVENTS.append("ended")

        leaves.task = asyncio.create_task(background())  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        return "done"

    assert attempt(Function(leaves, name="f"), b"", rfx.Context()).output == "done"
    assert EVENTS == ["ended"]
