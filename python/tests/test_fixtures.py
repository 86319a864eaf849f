"""Fixtures: which a function sees, how long they live, and that they are finished whatever happens."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from conftest import MakePool, message

import rfx
from rfx import _fixtures
from rfx._errors import TimedOut
from rfx.testing import Pool

SHARED = """
import rfx
EVENTS = []

@rfx.fixture
def client(ctx):
    EVENTS.append("open")
    yield ctx.target["api"]
    EVENTS.append("close")

@rfx.fixture
def token():
    return "shared"
"""

MODULE = """
import asyncio
import rfx
from _fixtures import EVENTS
from _more import session as connection

@rfx.fixture
def token(token):
    return token + " and own"

@rfx.fixture
async def later(client):
    await asyncio.sleep(0)
    EVENTS.append("later")
    yield client + "/later"
    await asyncio.sleep(0)
    EVENTS.append("earlier")

@rfx.function
def sync(client, later, name: str = "n"):
    assert asyncio._get_running_loop() is None
    return [client, later, name]

@rfx.function
async def not_sync(later):
    await asyncio.sleep(0)
    return later

@rfx.function
def overridden(token):
    return token

@rfx.function
def an_input(token: str = "given"):
    return token

@rfx.function
def imported(connection):
    return connection

@rfx.function
def fails(later):
    EVENTS.append("body")
    assert later == 1

@rfx.function
def prints_in_teardown(noisy):
    raise KeyError("first")

@rfx.fixture
def noisy():
    yield
    raise ValueError("second")

@rfx.function
def passes_but(noisy, client):
    return 1

@rfx.fixture
def refuses():
    assert 1 == 2

@rfx.function
def needs_it(refuses):
    pass

@rfx.fixture
def skips():
    rfx.skip("not here")

@rfx.function
def skipped(client, skips):
    pass

@rfx.fixture
def silent():
    if False:
        yield

@rfx.function
def gets_nothing(silent):
    pass

@rfx.fixture
def twice():
    yield 1
    yield 2

@rfx.function
def gets_two(twice):
    pass
"""

MORE = """
import rfx

@rfx.fixture
def session():
    return "imported"
"""


@pytest.fixture
def pool(make_pool: MakePool) -> Pool:
    made = Pool(make_pool(_fixtures=SHARED, _more=MORE, m=MODULE), target={"api": "http://x"})
    assert made.broken == []
    return made


def events() -> list[str]:
    import _fixtures  # type: ignore[import-not-found]

    found: list[str] = list(_fixtures.EVENTS)
    _fixtures.EVENTS.clear()
    return found


def test_a_fixture_is_no_part_of_the_input(pool: Pool) -> None:
    assert pool.call("m.sync").output == ["http://x", "http://x/later", "n"]
    assert events() == ["open", "later", "earlier", "close"]
    assert message(pool.call("m.sync", client=1)) == (
        "error InputError: client: it comes from the fixture client here, and is no input; "
        "to take it as input, give the parameter another name or a default"
    )


def test_async_functions_get_sync_and_async_fixtures(pool: Pool) -> None:
    assert pool.call("m.not_sync").output == "http://x/later"
    assert events() == ["open", "later", "earlier", "close"]


def test_a_module_overrides_a_fixture_of_the_pool_and_a_default_makes_an_input(pool: Pool) -> None:
    assert pool.call("m.overridden").output == "shared and own"
    assert pool.call("m.an_input").output == "given"
    assert pool.call("m.an_input", token="other").output == "other"
    assert pool.call("m.imported").output == "imported"


def test_fixtures_are_finished_in_reverse_when_the_function_fails(pool: Pool) -> None:
    assert message(pool.call("m.fails")).startswith("failed AssertionError: assert later == 1: later is 'http")
    assert events() == ["open", "later", "body", "earlier", "close"]


def test_an_error_at_the_end_is_an_error_of_what_passed_and_a_note_of_what_did_not(pool: Pool) -> None:
    late = "fixture noisy could not be finished: ValueError: second"
    outcome = pool.call("m.passes_but")
    assert message(outcome) == f"error FixtureError: {late}"
    assert outcome.error is not None
    assert "m.py" in (outcome.error.traceback or "")
    assert events() == ["open", "close"]
    assert message(pool.call("m.prints_in_teardown")) == f"error KeyError: 'first'\nbesides, {late}"


def test_a_fixture_that_cannot_be_set_up_is_never_a_failure_of_the_test(pool: Pool) -> None:
    assert message(pool.call("m.needs_it")) == (
        "error FixtureError: fixture refuses could not be set up: AssertionError: assert 1 == 2"
    )
    assert message(pool.call("m.skipped")) == "skipped Skipped: not here"
    assert events() == ["open", "close"]
    assert message(pool.call("m.gets_nothing")) == "error FixtureError: fixture silent ended without a yield"
    assert message(pool.call("m.gets_two")) == (
        "error FixtureError: fixture twice could not be finished: FixtureError: it yields more than once"
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("@rfx.fixture\ndef a(nothing): ...", "fixture a: there is no fixture `nothing` here; define or import it"),
        ("@rfx.fixture\ndef a(b): ...\n@rfx.fixture\ndef b(a): ...", "fixtures need each other: a → b → a"),
        (
            "@rfx.fixture(scope='process')\ndef a(ctx): ...",
            "serves many runs, so it cannot take `ctx`",
        ),
        (
            "@rfx.fixture\ndef b(): ...\n@rfx.fixture(scope='process')\ndef a(b): ...",
            "fixture a outlives attempts, and b, which it uses, is of one job; give both the same scope",
        ),
        ("@rfx.fixture(scope='run')\ndef a() -> bytes: ...", "a value of the run is kept as JSON: rfx does not bind"),
    ],
)
def test_a_fixture_that_cannot_work_costs_those_that_name_it(make_pool: MakePool, source: str, said: str) -> None:
    module = f"import rfx\n{source}\n@rfx.function\ndef f(a): ...\n@rfx.function\ndef good(): ...\n"
    pool = Pool(make_pool(m=module))
    [broken] = pool.broken
    assert said in broken.error
    assert pool.functions == ["m.good"]


def test_what_a_decorator_refuses() -> None:
    with pytest.raises(ValueError, match="the scope is 'session'; use job, process or run"):
        rfx.fixture(scope="session")(lambda: 1)  # type: ignore[call-overload]

    def yields():  # type: ignore[no-untyped-def]  # noqa: ANN202
        yield 1

    with pytest.raises(TypeError, match=r'one of a run must not yield.* with ctx\.undo\("…"\)'):
        rfx.fixture(scope="run")(yields)
    with pytest.raises(TypeError, match="fixture yields cannot be called; name a parameter"):
        rfx.fixture(yields)()


def test_broken_shared_fixtures_cost_those_that_name_one(make_pool: MakePool) -> None:
    shared = "import rfx\n@rfx.fixture\ndef client(): ...\nimport nothing_there\n"
    module = "import rfx\n@rfx.function\ndef a(client): ...\n@rfx.function\ndef b(name: str): ...\n"
    pool = Pool(make_pool(_fixtures=shared, m=module))
    errors = [one.error for one in pool.broken]
    assert errors[0] == "ModuleNotFoundError: No module named 'nothing_there'"
    assert errors[1].endswith("its fixture client is in _fixtures.py, which cannot be imported")
    assert pool.functions == ["m.b"]


THREE = """
import rfx
OPEN = set()

@rfx.fixture
def a():
    OPEN.add("a")
    yield
    OPEN.remove("a")

@rfx.fixture
async def b(a):
    OPEN.add("b")
    yield
    OPEN.remove("b")

@rfx.fixture
def c(b):
    OPEN.add("c")
    yield
    OPEN.remove("c")

@rfx.function
def f(c):
    return len(OPEN)
"""


def test_a_timeout_at_any_moment_of_the_teardown_leaves_no_fixture_unfinished(make_pool: MakePool) -> None:
    pool = Pool(make_pool(m=THREE))

    def stopped_at(moment: int) -> bool:
        """Whether there was such a moment."""
        left = moment

        def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
            nonlocal left
            code = frame.f_code
            if code.co_filename != _fixtures.__file__ or "finish" not in code.co_name:
                return None
            if event in ("call", "line"):
                left -= 1
                if left == -1:
                    raise TimedOut("stopped")
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            outcome = pool.call("m.f")
        finally:
            sys.settrace(before)
        assert set() == sys.modules["m"].OPEN, moment
        assert outcome.kind == ("error" if left < 0 else "passed"), moment
        return left < 0

    moments = 0
    while stopped_at(moments):
        moments += 1
    assert moments > 20
