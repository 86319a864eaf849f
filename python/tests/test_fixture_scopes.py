"""Fixtures that outlive an attempt: of the runner's process, and of the run."""

from __future__ import annotations

from conftest import MakePool, StartWorker, message

from rfx.testing import Pool

PROCESS = """
import asyncio
import rfx
EVENTS = []

@rfx.fixture(scope="process")
def database():
    EVENTS.append("open")
    yield "db"
    EVENTS.append("close")

@rfx.fixture(scope="process")
async def session(database):
    loop = asyncio.get_running_loop()
    queue = asyncio.Queue()
    async def echo():
        while True:
            await queue.put("echo")
            await asyncio.sleep(0.001)
    task = loop.create_task(echo())
    EVENTS.append("session")
    yield loop, queue
    task.cancel()
    EVENTS.append("no session")

@rfx.function
def first(database):
    return database

@rfx.function
async def second(session):
    loop, queue = session
    left = asyncio.create_task(asyncio.sleep(60))
    return [loop is asyncio.get_running_loop(), await queue.get(), len(asyncio.all_tasks())]
"""


def test_a_fixture_of_the_process_is_made_once_and_its_loop_is_kept(make_pool: MakePool) -> None:
    with Pool(make_pool(p=PROCESS)) as pool:
        assert pool.broken == []
        assert [pool.call("p.first").output for _ in range(2)] == ["db", "db"]
        assert [pool.call("p.second").output for _ in range(2)] == [[True, "echo", 3]] * 2
        import p  # type: ignore[import-not-found]

        assert p.EVENTS == ["open", "session"]
    assert p.EVENTS == ["open", "session", "no session", "close"]


RUN = """
from dataclasses import dataclass
import rfx
MADE = []

@dataclass
class Tenant:
    id: str

@rfx.fixture
def api():
    MADE.append("api")
    yield "api"

@rfx.fixture(scope="run")
def tenant(api, ctx) -> Tenant:
    ctx.undo("r.delete", id="t-1")
    MADE.append("tenant")
    return Tenant("t-1")

@rfx.fixture(scope="run")
async def flag(tenant: Tenant) -> bool:
    if "broken" in MADE:
        raise RuntimeError("broken")
    return tenant.id == "t-1"

@rfx.function
def use(tenant: Tenant):
    return [type(tenant).__name__, tenant.id]

@rfx.function
def both(flag):
    return flag

@rfx.function
def delete(id: str):
    MADE.append("deleted " + id)
"""


def test_a_fixture_of_the_run_is_made_once_and_kept_as_json(make_pool: MakePool) -> None:
    pool = Pool(make_pool(r=RUN))
    assert pool.broken == []
    assert [pool.call("r.use").output for _ in range(3)] == [["Tenant", "t-1"]] * 3
    assert pool.state["fixture.sample.r.tenant"] == {"id": "t-1"}
    import r  # type: ignore[import-not-found]

    assert r.MADE == ["api", "tenant"]
    assert [outcome.kind for outcome in pool.undo()] == ["passed"]
    assert r.MADE == ["api", "tenant", "deleted t-1"]


def test_a_fixture_of_the_run_that_breaks_is_tried_again(make_pool: MakePool) -> None:
    pool = Pool(make_pool(r=RUN))
    import r

    r.MADE.append("broken")
    assert message(pool.call("r.both")).endswith("fixture flag could not be set up: RuntimeError: broken")
    assert "fixture.sample.r.flag" not in pool.state
    r.MADE.clear()
    assert pool.call("r.both").output is True
    pool.state["fixture.sample.r.tenant"] = {"name": "?"}
    assert "fixture tenant is not what its hint says: tenant.id: missing" in message(pool.call("r.use"))


LATE = """
import time
import rfx

@rfx.fixture(scope="process")
def database():
    yield "db"
    print("closed with the process")

@rfx.fixture
def session(database):
    yield database
    print("finished")

@rfx.function
def sleeps(session, ctx):
    try:
        ctx.progress("sleeping")
        time.sleep(30)
    finally:
        print("interrupted")
"""


def test_the_soft_timeout_finishes_fixtures(make_pool: MakePool, start_worker: StartWorker) -> None:
    worker = start_worker(make_pool(late=LATE))
    worker.read()
    worker.send("late.sleeps")
    assert worker.read()[0]["type"] == "progress"
    worker.time_out()
    end, _ = worker.read()
    assert (end["kind"], end["error"]["type"]) == ("error", "TimedOut")
    assert worker.hang_up()[1] == "interrupted\nfinished\nclosed with the process\n"
