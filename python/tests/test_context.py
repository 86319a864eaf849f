"""The context: state, artifacts, spans, polls, calls and undos, as a function uses them."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from conftest import MakePool
from rig import Rig

import rfx
from rfx._function import Function
from rfx._memory import Answer, MemoryLink, Store
from rfx.testing import Pool

PARENT = "00-0190b5b27c1e70008000000000000001-b7ad6b7169203331-01"


@pytest.fixture
def rig() -> Rig:
    return Rig(traceparent=PARENT, run="r-1", job="0-0")


def test_state_is_read_and_written_with_revisions(rig: Rig) -> None:
    state = rig.ctx.state
    assert state.get("a") is None
    assert state.get("a", 7) == 7
    assert state.read("a") is None
    first = state.put("a", {"n": 1})
    assert state.read("a") == rfx.Entry({"n": 1}, first)
    assert state.cas("a", 2, first + 5) is None
    assert state.cas("a", 2, first) == first + 1
    assert state.cas("b", 1, 0) is not None
    assert state.cas("b", 2, 0) is None
    assert state.update("count", lambda count: count + 1, default=0) == 1
    assert state.update("count", lambda count: count + 1, default=0) == 2
    state.delete("a")
    state.delete("a")
    assert dict(rig.store) == {"b": 1, "count": 2}
    rig.ctx.flow_state.put("seen", True)
    assert dict(rig.flow) == {"seen": True}
    with pytest.raises(rfx.OutputError, match=r"the state a: value\.b: JSON has no object"):
        state.put("a", {"b": object()})


def test_update_tries_again_when_somebody_was_faster(rig: Rig) -> None:
    seen = []

    def change(count: int) -> int:
        seen.append(count)
        if len(seen) == 1:
            rig.store["count"] = 10
        return count + 1

    assert rig.ctx.state.update("count", change, default=0) == 11
    assert seen == [0, 10]


def test_get_or_create_makes_it_once_among_many() -> None:
    store, made = Store(), []

    def use(number: int) -> None:
        link = MemoryLink({"run": store}, lambda call: Answer("passed", None, b""), [])
        ctx = rfx.Context(link=link, job=f"0-{number}")

        def make() -> dict[str, int]:
            made.append(number)
            time.sleep(0.1)  # long enough for the others to find the claim
            return {"by": number}

        values.append(ctx.state.get_or_create("tenant", make))

    values: list[dict[str, int]] = []
    threads = [threading.Thread(target=use, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert values == [{"by": made[0]}] * 12


def test_a_claim_ends_with_its_maker(rig: Rig) -> None:
    with pytest.raises(ZeroDivisionError):
        rig.ctx.state.get_or_create("a", lambda: 1 // 0)
    assert rig.ctx.state.get("a") is None
    assert rig.ctx.state.get_or_create("a", lambda: 1) == 1
    assert rig.ctx.state.get_or_create("a", lambda: 2) == 1

    # A process died while it made the value, and left its claim, which is over soon.
    rig.store["b"] = {"$rfx.claim": {"by": "0-9/1", "until": time.time() + 0.2}}
    began = time.monotonic()
    assert rig.ctx.state.get_or_create("b", lambda: 3) == 3
    assert time.monotonic() - began >= 0.1


def test_who_made_it_too_late_takes_what_is_there(rig: Rig) -> None:
    def slow() -> int:
        rig.store["a"] = "of somebody else"
        return 1

    assert rig.ctx.state.get_or_create("a", slow) == "of somebody else"


def test_get_or_create_may_be_async(rig: Rig) -> None:
    async def use() -> object:
        async def make() -> list[int]:
            return [1]

        return await rig.ctx.state.get_or_create_async("a", make)

    outcome = rig.run(use)
    assert outcome.output == [1]
    assert rig.store["a"] == [1]


def test_artifacts_have_a_media_type(rig: Rig, tmp_path: Any) -> None:  # noqa: ANN401
    (tmp_path / "shot.png").write_bytes(b"png")
    rig.ctx.artifact("notes", "ü")
    rig.ctx.artifact("page.html", "<p>")
    rig.ctx.artifact("data.json", {"a": 1})
    rig.ctx.artifact("raw", b"\0")
    rig.ctx.artifact("shot.png", path=tmp_path / "shot.png")
    rig.ctx.artifact("odd", b"x", media_type="text/x-odd")
    left = [(one.name, one.media_type, one.content) for one in rig.link.told.artifacts.values()]
    assert left == [
        ("notes", "text/plain; charset=utf-8", "ü".encode()),
        ("page.html", "text/html; charset=utf-8", b"<p>"),
        ("data.json", "application/json", b'{"a":1}'),
        ("raw", "application/octet-stream", b"\0"),
        ("shot.png", "image/png", b"png"),
        ("odd", "text/x-odd", b"x"),
    ]
    with pytest.raises(ValueError, match=r"'a/b' is no name of an artifact"):
        rig.ctx.artifact("a/b", "x")
    with pytest.raises(ValueError, match="give either its content or the path"):
        rig.ctx.artifact("a")


def test_spans_nest_and_headers_are_of_the_one_that_is_open(rig: Rig) -> None:
    assert rig.ctx.headers() == {"traceparent": PARENT}
    with rig.ctx.span("outer", size=3):
        outer = rig.ctx.headers()["traceparent"].split("-")[2]
        with pytest.raises(ValueError, match="no"), rig.ctx.span("inner"):  # noqa: PT012
            inner = rig.ctx.headers()["traceparent"].split("-")
            raise ValueError("no")
    assert rig.ctx.traceparent == PARENT
    first, second = rig.link.told.spans
    assert (first["name"], first["parent"], first["ok"], first["error"]) == ("inner", outer, False, "ValueError: no")
    assert (second["name"], second["parent"], second["ok"]) == ("outer", "b7ad6b7169203331", True)
    assert second["attributes"] == {"size": 3}
    assert inner == ["00", PARENT.split("-")[1], first["span"], "01"]
    assert second["start"] <= first["start"] <= first["end"] <= second["end"]


def test_a_span_without_a_trace(rig: Rig) -> None:
    untraced = Rig()
    with untraced.ctx.span("a"):
        assert untraced.ctx.headers() == {}
    assert untraced.link.told.spans[0]["parent"] is None


def test_a_poll_waits_until_it_is_there(rig: Rig) -> None:
    answers = iter([None, 0, AssertionError("not yet"), "there"])

    def check() -> object:
        answer = next(answers)
        if isinstance(answer, AssertionError):
            raise answer
        return answer

    assert rig.ctx.poll(check, every=0.001) == "there"


def test_a_poll_that_ends_in_vain_shows_the_last_value(rig: Rig) -> None:
    outcome = rig.run(lambda: rig.ctx.poll(lambda: [], every=0.001, within=0.01, message="no hosts"))
    assert outcome.kind == "failed"
    assert outcome.error is not None
    assert outcome.error.message == "no hosts; the last value was []"
    assert outcome.assertions[0].seen == []

    def check() -> None:
        rfx.fail("too few", expected=3, seen=2)

    outcome = rig.run(lambda: rig.ctx.poll(check, every=0.001, within=0.01))
    assert outcome.error is not None
    assert outcome.error.message == "it was not there within 0.01 s; at last: too few"
    assert "-3\n+2" in (outcome.error.diff or "")
    with pytest.raises(ZeroDivisionError):
        rig.ctx.poll(lambda: 1 // 0)
    with pytest.raises(ValueError, match="give seconds above 0"):
        rig.ctx.poll(lambda: 1, every=0)


def test_a_poll_gives_up_before_the_deadline() -> None:
    rig = Rig(deadline=time.time() + 1.02)
    with pytest.raises(rfx.Failed, match="the last value was None"):
        rig.ctx.poll(lambda: None, every=0.01, within=600)


def test_an_async_poll(rig: Rig) -> None:
    async def use(ctx: rfx.Context) -> object:
        answers = iter([None, "there"])

        async def check() -> object:
            return next(answers)

        return await ctx.poll_async(check, every=0.001)

    assert rig.run(use).output == "there"


def test_what_the_worker_refuses_is_an_error_of_its_name() -> None:
    from rfx._attempt import attempt

    outcome = attempt(Function(lambda ctx: ctx.state.get("a"), name="f"), b"", rfx.Context())
    assert outcome.error is not None
    assert outcome.error[:2] == ("NoWorker", "state.get: nobody executes this function; test it with rfx.testing.Pool")


def test_raises() -> None:
    with rfx.raises(KeyError, match="host") as caught:
        raise KeyError("host")
    assert caught.value.args == ("host",)
    with pytest.raises(rfx.Failed, match="nothing was raised, expected KeyError or ValueError"):
        rfx.raises((KeyError, ValueError)).__exit__(None, None, None)
    with pytest.raises(rfx.Failed, match="its message does not match"), rfx.raises(KeyError, match="host"):
        raise KeyError("tenant")
    with pytest.raises(ZeroDivisionError), rfx.raises(KeyError):
        1 / 0  # noqa: B018


def test_fail_and_skip_are_members_too(make_pool: MakePool) -> None:
    source = """
    import rfx
    @rfx.function
    def no(ctx): ctx.fail("no", expected=1, seen=2)
    @rfx.function
    def later(ctx):
        ctx.beat()
        ctx.progress(50)
        ctx.skip("later")
    """
    pool = Pool(make_pool(m=source))
    assert pool.call("m.no").kind == "failed"
    outcome = pool.call("m.later")
    assert (outcome.kind, outcome.progress) == ("skipped", ["50"])
