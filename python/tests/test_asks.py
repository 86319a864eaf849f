"""What functions ask on the socket: several at once, while others wait, and while they are stopped."""

from __future__ import annotations

import json
import signal
import time

import pytest
from conftest import MakePool, StartWorker, Worker

POOL = '''
    import threading
    import rfx

    came = []

    @rfx.function
    def two(ctx: rfx.Context) -> list:
        """Ask in two threads; the other one is answered last."""
        def ask() -> None:
            ctx.state.get("slow")
            came.append("slow")
        slow = threading.Thread(target=ask)
        slow.start()
        ctx.state.get("fast")
        came.append("fast")
        ctx.state.get("again")
        came.append("again")
        slow.join()
        return came

    @rfx.function
    def leaves(ctx: rfx.Context) -> None:
        """Leave a thread that waits for an answer."""
        threading.Thread(target=ctx.state.get, args=("late",), daemon=True).start()

    @rfx.function
    def calls(ctx: rfx.Context) -> object:
        """Call, and give what comes of it."""
        try:
            return ctx.call("other.one")
        except rfx.CallFailed as refusal:
            return [refusal.verdict, refusal.error["message"], refusal.output]

    @rfx.function
    def quick() -> int:
        """Be quick."""
        return 1
'''


@pytest.fixture
def worker(make_pool: MakePool, start_worker: StartWorker) -> Worker:
    worker = start_worker(make_pool(asking=POOL))
    assert worker.read()[0]["type"] == "hello"
    return worker


def reply(worker: Worker, ask: int, body: bytes = b"", **fields: object) -> None:
    """Answer something that was asked."""
    worker.write({"type": "reply", "id": 1, "ask": ask, "error": None, "revision": 0, **fields}, body)


def test_a_slow_answer_does_not_hold_up_a_fast_one(worker: Worker) -> None:
    worker.send("asking.two")
    first, second = worker.read()[0], worker.read()[0]
    asks = {first["key"]: first["ask"], second["key"]: second["ask"]}
    time.sleep(0.05)  # so that both threads wait, whichever of them reads
    reply(worker, asks["fast"])
    again = worker.read()[0]
    assert again["key"] == "again"
    reply(worker, again["ask"])
    reply(worker, asks["slow"])
    header, body = worker.read()
    assert header["kind"] == "passed"
    assert set(json.loads(body)) == {"fast", "again", "slow"}


def test_a_thread_that_waits_does_not_hold_up_the_next_call(worker: Worker) -> None:
    worker.send("asking.leaves")
    kinds = sorted(worker.read()[0]["type"] for _ in range(2))
    assert kinds == ["ask", "end"]
    for number in range(2, 12):
        worker.send("asking.quick", id=number)
        header, body = worker.read()
        assert (header["id"], header["kind"], body) == (number, "passed", b"1")


def test_calls_that_wait_behind_a_caller_are_given_back(worker: Worker) -> None:
    worker.send("asking.calls")
    asked = worker.read()[0]
    worker.send("asking.quick", id=2)
    worker.write({"type": "recall"})
    worker.process.send_signal(signal.SIGUSR1)
    assert worker.read()[0] == {"type": "returned", "ids": [2]}
    reply(worker, asked["ask"], b"7", verdict="passed")
    assert worker.read()[1] == b"7"


def test_a_call_that_did_not_pass_is_no_refusal(worker: Worker) -> None:
    worker.send("asking.calls")
    error = {"type": "Failed", "message": "no", "traceback": None, "diff": None}
    reply(worker, worker.read()[0]["ask"], b"3", verdict="failed", error=error)
    header, body = worker.read()
    assert (header["kind"], json.loads(body)) == ("passed", ["failed", "no", 3])


def test_a_refusal_is_an_error(worker: Worker) -> None:
    worker.send("asking.calls")
    reply(worker, worker.read()[0]["ask"], error={"type": "call", "message": "too deep"})
    error = worker.read()[0]["error"]
    assert (error["type"], error["message"]) == ("call", "too deep")
