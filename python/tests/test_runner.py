"""The runner over a real socket, in a real process: how calls end, and how the process does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import SOURCE, MakePool, StartWorker, Worker

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCE)}

MODULE = '''
import asyncio, os, subprocess, sys, threading, time
import dataclasses
import rfx

@rfx.function(tags=("a", "b"), timeout=5, queue="high")
def greet(name: str, ctx: rfx.Context, polite: bool = True) -> dict[str, str]:
    """Greet someone."""
    print("greeting", name)
    ctx.log.warning("logged %s", ctx.run)
    return {"text": f"hello {name}", "api": ctx.target["api"]}

@rfx.function
def fails(a: int):
    assert a == 2

@rfx.function
def says_no():
    rfx.fail("wrong ids", expected=["a", "b"], seen=["a"])

@rfx.function
def soft(ctx):
    ctx.expect(1, 1)
    ctx.expect({"n": 1}, {"n": 2}, "the count")
    return "done"

@rfx.function
def skips():
    rfx.skip("not here")

def helper():
    raise KeyError("deep")

@rfx.function
def raises():
    helper()

@rfx.function
def exits():
    sys.exit(3)

@rfx.function
def not_a_number():
    return {"values": [1.0, float("nan")]}

@rfx.function
def no_target(ctx):
    ctx.target["db"]

@rfx.function
async def later(seconds: float = 0):
    try:
        await asyncio.sleep(seconds)
    finally:
        print("async cleanup")
    return rfx.context().step

@rfx.function
def sleeps(ctx):
    try:
        ctx.progress("sleeping")
        time.sleep(30)
    finally:
        print("cleanup")

@rfx.function
def stubborn(ctx):
    try:
        ctx.progress("sleeping")
        time.sleep(30)
    except BaseException:
        pass
    return "as if nothing had happened"

@rfx.function
def descriptors():
    listed = subprocess.run(["ls", "/proc/self/fd"], capture_output=True)
    return {"stdin": sys.stdin.read(), "open": listed.stdout.decode().split()}

@rfx.function
def forks():
    pid = os.fork()
    if pid == 0:
        return "from the child"
    os.waitpid(pid, 0)
    return "from the parent"

@rfx.function
def big():
    return "x" * (65 << 20)

@rfx.function
def lingers():
    threading.Thread(target=time.sleep, args=(60,)).start()

@dataclasses.dataclass
class Picky:
    a: int

    def __post_init__(self):
        raise LookupError("picky")

@rfx.function
def binds(picky: Picky):
    pass

@rfx.function
def surrogate():
    raise ValueError("half a pair: \\ud800")
'''


@pytest.fixture
def worker(make_pool: MakePool, start_worker: StartWorker) -> Worker:
    worker = start_worker(make_pool(m=MODULE))
    assert worker.read()[0]["type"] == "hello"
    return worker


def test_hello_describes_the_pool(make_pool: MakePool, start_worker: StartWorker) -> None:
    manifest = 'name = "sample"\ndescription = "d"\nowner = "team"'
    hello, body = start_worker(make_pool(manifest, m=MODULE, broken="import nothing_there")).read()
    assert body == b""
    assert hello["protocol"] == 2
    assert hello["pool"] == {"name": "sample", "description": "d", "version": ""}
    greet = next(one for one in hello["functions"] if one["name"] == "m.greet")
    assert greet["doc"] == "Greet someone."
    assert greet["tags"] == ["a", "b"]
    assert (greet["owner"], greet["queue"], greet["timeout"], greet["version"]) == ("team", "high", 5, "1")
    assert greet["input_schema"]["required"] == ["name"]
    assert greet["output_schema"]["additionalProperties"] == {"type": "string"}
    assert (greet["file"], greet["line"]) == ("m.py", 6)
    assert len(greet["digest"]) == 64
    [broken] = hello["broken"]
    assert (broken["module"], broken["file"], broken["line"]) == ("broken", "broken.py", 1)
    assert broken["error"] == "ModuleNotFoundError: No module named 'nothing_there'"
    assert "importlib" not in broken["traceback"]


def test_a_call_passes_and_its_prints_are_in_the_pipes(worker: Worker) -> None:
    end, body = worker.call("m.greet", name="Ann")
    assert end.pop("memory") > 1000
    assert 0 < end.pop("took") < 20
    assert end == {
        **{"type": "end", "id": 1, "kind": "passed", "error": None, "assertions": []},
        **{"retire": False, "left": False},
    }
    assert body == b'{"text":"hello Ann","api":"http://x"}'
    status, out, err = worker.hang_up()
    assert (status, out, err) == (0, "greeting Ann\n", "WARNING logged r-1\n")


@pytest.mark.parametrize(
    ("function", "kind", "error", "message"),
    [
        ("m.fails", "failed", "AssertionError", "assert a == 2: a is 1"),
        ("m.says_no", "failed", "Failed", "wrong ids"),
        ("m.skips", "skipped", "Skipped", "not here"),
        ("m.raises", "error", "KeyError", "'deep'"),
        ("m.exits", "error", "SystemExit", "3"),
        ("m.not_a_number", "error", "OutputError", "output.values[1]: JSON has no nan; return None or a text"),
        ("m.no_target", "error", "TargetError", 'the target has no "db"; it has: api'),
        ("m.big", "error", "OutputError", "the output has 68,157,442 bytes; at most 67,108,864 are carried"),
        ("m.surrogate", "error", "ValueError", "half a pair: ?"),
        ("m.nothing", "error", "UnknownFunction", "the pool sample has no m.nothing: no function has that name"),
    ],
)
def test_a_call_that_does_not_pass(worker: Worker, function: str, kind: str, error: str, message: str) -> None:
    end, body = worker.call(function, **({"a": 1} if function == "m.fails" else {}))
    assert (end["kind"], end["error"]["type"], end["error"]["message"]) == (kind, error, message)
    assert body == b""
    # A process is as clean as its last call.
    assert end["retire"]
    assert worker.process.wait(20) == 0


def test_input_errors_name_the_place(worker: Worker) -> None:
    end, _ = worker.call("m.greet", nam="Ann", polite="yes")
    assert end["kind"] == "error"
    assert end["error"] == {
        "type": "InputError",
        "message": 'name: missing, expected str\npolite: expected bool, got str "yes"\n'
        "nam: unexpected, did you mean `name`?",
        "traceback": None,
        "diff": None,
    }


@pytest.mark.parametrize("raw", [b"{", b"\xff"])
def test_input_that_is_not_json(worker: Worker, raw: bytes) -> None:
    worker.send("m.greet", raw=raw)
    assert "the input is not JSON" in worker.read()[0]["error"]["message"]


def test_a_traceback_shows_the_author_only_what_is_theirs(worker: Worker) -> None:
    traceback = worker.call("m.raises")[0]["error"]["traceback"]
    assert "in raises" in traceback
    assert "in helper" in traceback
    assert "_attempt.py" not in traceback


def test_a_failed_comparison_has_a_diff_and_an_assertion(worker: Worker) -> None:
    end, _ = worker.call("m.says_no")
    assert '-  "a",\n-  "b"\n+  "a"' in end["error"]["diff"]
    assert "_errors.py" not in end["error"]["traceback"]
    [assertion] = end["assertions"]
    assert (assertion["passed"], assertion["expected"], assertion["seen"]) == (False, ["a", "b"], ["a"])


def test_soft_assertions_are_all_recorded(worker: Worker) -> None:
    end, body = worker.call("m.soft")
    assert (end["kind"], body) == ("failed", b'"done"')
    assert [one["passed"] for one in end["assertions"]] == [True, False]
    assert end["error"]["message"].startswith("1 of 2 expectations did not hold\nm.py:")
    assert '-  "n": 2\n+  "n": 1' in end["error"]["diff"]


def test_an_async_function(worker: Worker) -> None:
    end, body = worker.call("m.later")
    assert (end["kind"], body) == ("passed", b'"s"')


@pytest.mark.parametrize("function", ["m.sleeps", "m.stubborn"])
def test_the_soft_timeout_ends_a_function(worker: Worker, function: str) -> None:
    worker.send(function)
    assert worker.read()[0] == {"type": "progress", "id": 1, "message": "sleeping"}
    worker.time_out()
    end, _ = worker.read()
    assert (end["kind"], end["error"]["type"]) == ("error", "TimedOut")
    _, out, _ = worker.hang_up()
    assert ("cleanup" in out) or function == "m.stubborn"


def test_the_soft_timeout_runs_async_finalizers(worker: Worker) -> None:
    worker.send("m.later", {"seconds": 30})
    time.sleep(0.5)  # there is no sign of an await from outside
    worker.time_out()
    assert worker.read()[0]["error"]["type"] == "TimedOut"
    assert "async cleanup" in worker.hang_up()[1]


def test_a_late_timeout_and_ctrl_c_do_nothing(worker: Worker) -> None:
    for number in (signal.SIGUSR1, signal.SIGINT, signal.SIGTERM):
        worker.process.send_signal(number)
        assert worker.call("m.later")[0]["kind"] == "passed"
    assert worker.hang_up()[0] == 0


def test_functions_get_neither_the_socket_nor_its_bytes(worker: Worker) -> None:
    worker.send("m.descriptors")
    worker.send("m.later")
    _, body = worker.read()
    assert b'"stdin":""' in body
    assert b'"800"' not in body
    assert worker.read()[0]["kind"] == "passed"


def test_a_forked_child_cannot_answer(worker: Worker) -> None:
    assert worker.call("m.forks")[1] == b'"from the parent"'
    assert worker.call("m.later")[0]["kind"] == "passed"
    status, _, err = worker.hang_up()
    assert (status, err) == (0, "")


def test_a_type_of_the_author_that_breaks_costs_only_the_call(worker: Worker) -> None:
    end, _ = worker.call("m.binds", picky={"a": 1})
    assert (end["kind"], end["error"]["type"], end["retire"]) == ("error", "LookupError", True)


def test_a_worker_that_dies_with_answers_unread_leaves_nothing_behind(worker: Worker) -> None:
    for _ in range(300):
        worker.send("m.later")
    status, _, err = worker.hang_up()
    assert (status in (0, 3), err) == (True, "")


def test_calls_may_be_sent_ahead(worker: Worker) -> None:
    for number in range(200):
        worker.send("m.greet", {"name": "x" * number}, id=number)
    assert [worker.read()[0]["id"] for _ in range(200)] == list(range(200))


def test_calls_sent_ahead_are_given_back_when_one_takes_long(worker: Worker) -> None:
    worker.send("m.sleeps", id=1)
    worker.send("m.later", id=2)
    worker.send("m.later", id=3)
    assert worker.read()[0]["type"] == "progress"
    worker.write({"type": "recall"})
    worker.process.send_signal(signal.SIGUSR1)
    assert worker.read()[0] == {"type": "returned", "ids": [2, 3]}
    worker.time_out(1)
    assert worker.read()[0]["error"]["type"] == "TimedOut"


def test_a_stop_that_comes_too_late_hits_no_other_call(worker: Worker) -> None:
    assert worker.call("m.later")[0]["kind"] == "passed"
    worker.send("m.later", {"seconds": 0.3}, id=2)
    worker.time_out(1)
    assert worker.read()[0]["kind"] == "passed"


def test_a_thread_left_behind_does_not_hold_the_process(worker: Worker) -> None:
    worker.call("m.lingers")
    assert worker.hang_up()[0] == 0


def test_a_folder_that_is_no_pool_is_fatal(make_pool: MakePool, start_worker: StartWorker) -> None:
    worker = start_worker(make_pool(None))
    fatal, _ = worker.read()
    assert fatal["type"] == "fatal"
    assert 'name = "my-pool"' in fatal["error"]
    assert worker.process.wait(20) == 1


def test_started_by_hand_it_says_who_starts_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rfx.runner", "--pool", str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env)
    assert done.returncode == 1
    assert done.stderr == "rfx.runner: stdin is not a socket; this program is started by rfx-worker\n"


@pytest.mark.parametrize("limit", [100, 800, 4096])
def test_a_low_limit_of_open_files_is_enough(make_pool: MakePool, limit: int) -> None:
    ours, theirs = socket.socketpair()
    own = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))"
    main = "import runpy; runpy.run_module('rfx.runner', run_name='__main__', alter_sys=True)"
    command = [sys.executable, "-c", f"{own}; {main}", "--pool", str(make_pool(m="import rfx")), "--runner"]
    with ours, theirs, subprocess.Popen(command, stdin=theirs.fileno(), env=ENVIRONMENT) as process:
        ours.settimeout(20)
        assert len(ours.recv(8)) == 8
        assert b'"type":"hello"' in ours.recv(100)
        ours.shutdown(socket.SHUT_RDWR)
        assert process.wait(20) == 0


def test_no_room_for_the_socket_is_said_as_such() -> None:
    ours, theirs = socket.socketpair()
    lower = "from rfx import runner; import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))"
    command = [sys.executable, "-c", f"{lower}; runner._take_socket()"]
    with ours, theirs:
        done = subprocess.run(command, stdin=theirs.fileno(), capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 1
    assert "the socket cannot be moved to file descriptor" in done.stderr
    assert "ulimit -n" in done.stderr
